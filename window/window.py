"""The window: what mouse and keys do to the pattern editor, and when its view is painted.

    figure = pyplot.figure(figsize=(13, 7))
    window = Window(figure, PatternEditor(model, kit, Player(kit), folder=Path("saved_patterns")))
    timer = figure.canvas.new_timer(33); timer.add_callback(window.tick); timer.start()
"""

import numpy as np

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from window.view import View

EDITOR_KEYS = {  # key: the editor's command, its arguments
    " ": ("play_or_stop",), "r": ("random",), "t": ("next_variation",), "T": ("play_anew",),
    **dict.fromkeys(("b", "backspace", "ctrl+z", "cmd+z"), ("undo",)),
    **dict.fromkeys(("ctrl+Z", "ctrl+shift+z", "ctrl+y", "cmd+Z"), ("redo",)),
    "s": ("save",), "p": ("path",), "g": ("begin_or_end_morph",), "escape": ("leave",), "v": ("humanise",),
    "d": ("step_drummer",), "n": ("audition_nearest",),
    "N": ("audition_nearest", 1), "m": ("audition_model",), "y": ("step_style", 1), "Y": ("step_style", -1),
    "a": ("change_density", None), "right": ("change_density", 1), "left": ("change_density", -1),
    **{key: ("change_tempo", by) for key, by in (("up", 5), ("down", -5), ("shift+up", 1), ("shift+down", -1))},
    **{key: ("change_steady", by) for key, by in (("[", 0.1), ("]", -0.1))},
    **{key: ("change_temperature", by) for key, by in (("<", -0.1), (",", -0.1), (">", 0.1), (".", 0.1))},
    **{str(count): ("end_path", count) for count in range(2, 10)}}
WINDOW_KEYS = {"o": ("open_file",), "0": ("show_whole",), **dict.fromkeys(("q", "ctrl+w", "cmd+w"), ("quit",)),
               **{key: ("zoom", by) for key, by in (("+", 1), ("=", 1), ("-", -1))}}
ZOOM_STEP = 1.25  # of a notch of the wheel; of a key, three


class Window:
    """A pattern editor with a view, a mouse and a keyboard.

    `tick`, called by a timer, decodes and paints, once a frame however fast the mouse is: the sound never waits for it.
    leave: ends the program. choose_file: asks for a path, None where a person types it into the window.
    """

    def __init__(self, figure, editor, leave=None, choose_file=None):
        self.figure, self.canvas, self.editor = figure, figure.canvas, editor
        self.leave, self.choose_file = leave, choose_file
        self.typed = None  # of a file's name, while one is typed
        self.dragged = None  # the editor's codes as the last move of a drag left them
        self.panned = None  # pixels of the mouse while it moves the map
        self.followed = editor.point()  # the point that is known to be seen
        self.mouse = None  # the point of the map under the mouse
        self.sound_asked_for = self.leaving = False
        self.density_style = editor.constraints.style  # the style that the map's hit density is drawn in
        for event, action in (("button_press_event", self.on_press), ("motion_notify_event", self.on_motion),
                              ("button_release_event", self.on_release),
                              ("scroll_event", self.on_scroll),
                              ("key_press_event", lambda event: self.on_key(event.key))):
            self.canvas.mpl_connect(event, action)  # before the sliders connect theirs: `undo` needs the state before
        self.view = View(editor, figure, self.open_file)
        self.canvas.mpl_connect("draw_event", self.on_draw)

    @property
    def dragging(self):
        """Does the mouse drag on the map? A command that goes elsewhere ends the drag, or its bars would be lost."""
        return self.dragged is not None and self.dragged is self.editor.codes

    def on_press(self, event):
        editor, view = self.editor, self.view
        if view.map_view.listing:
            view.map_view.choose_style(event.x, event.y)
        elif event.inaxes is view.map and event.button in (2, 3):
            self.panned = (event.x, event.y)
        elif event.button != 1:
            return
        elif event.inaxes is view.map:
            editor.begin_gesture()
            editor.go_to(view.map_view.code_at(event), "This point")
            self.dragged = editor.codes
        elif event.inaxes is view.grid:
            editor.toggle(*(int(np.clip(round(place), 0, count - 1)) for place, count in
                            ((event.ydata, len(INSTRUMENTS)), (event.xdata, STEPS_PER_BAR))))
        elif event.inaxes in view.drawing_sliders:
            editor.begin_gesture()
        else:
            area, place = view.panel.area_at(event.x, event.y)
            if area is view.panel.areas["Variation"] and "shift" in {event.key, *event.modifiers}:
                editor.play_anew()
            elif area:
                area.action(*place)

    def on_motion(self, event):
        editor, view = self.editor, self.view
        if not self.sound_asked_for:  # open the sound card now, so that the first click is not late
            self.sound_asked_for = True
            editor.open_sound()
        view.hover(event.x, event.y)
        self.mouse = (event.xdata, event.ydata) if event.inaxes is view.map else None
        if self.panned:
            (left, bottom), (right, top) = view.map.transData.inverted().transform([self.panned, (event.x, event.y)])
            self.panned = (event.x, event.y)
            view.map_view.pan(left - right, bottom - top)
        elif self.dragging and event.inaxes is view.map:
            editor.move_to(editor.plane.to_code(event.xdata, event.ydata))
            self.dragged = editor.codes

    def on_scroll(self, event):
        """The wheel, or a pinch in a browser: zoom around the mouse; over a row's milliseconds, one more or fewer."""
        if event.inaxes is self.view.map:
            return self.view.map_view.zoom_by(ZOOM_STEP ** np.clip(event.step, -3, 3), event.xdata, event.ydata)
        area, _ = self.view.panel.area_at(event.x, event.y)
        for row, name in enumerate(INSTRUMENTS):
            if area is self.view.panel.areas[f"{name} ms"]:
                self.editor.change_push(row, int(np.sign(event.step)))

    def zoom(self, steps):
        """Zoom in or out, around the mouse if it is on the map, else around the point that is heard."""
        self.view.map_view.zoom_by(ZOOM_STEP ** (3 * steps), *self.mouse or self.editor.point())

    def show_whole(self):
        """Show the whole map."""
        self.view.map_view.show_whole()

    def on_release(self, event):
        editor, dragging, self.dragged, self.panned = self.editor, self.dragging, None, None
        editor.frame()
        editor.end_gesture()
        if dragging:
            if editor.message_kind != "warning":
                editor.show_message(f"This point: {editor.describe()}.")
            editor.log("release", point=editor.point(), hits=np.count_nonzero(editor.bar))

    def on_key(self, key):
        if self.typed is not None:
            self.type(key)
        elif key in EDITOR_KEYS:
            command, *arguments = EDITOR_KEYS[key]
            getattr(self.editor, command)(*arguments)
        elif key in WINDOW_KEYS:
            command, *arguments = WINDOW_KEYS[key]
            getattr(self, command)(*arguments)
        elif key == "h":
            self.view.toggle_help()

    def open_file(self):
        """Ask for a file of bars: by the toolkit's dialogue, or by its name, typed."""
        if self.choose_file:
            path = self.choose_file()
            return self.editor.open_file(path) if path else None
        self.typed = ""
        self.type(None)

    def type(self, key):
        """A key while the name of a file is typed."""
        if key in ("enter", "escape"):
            path, self.typed = self.typed.strip(), None
            return self.editor.open_file(path) if key == "enter" else self.editor.show_message("Nothing opened.")
        if key == "backspace":
            self.typed = self.typed[:-1]
        elif key and len(key) == 1:
            self.typed += key
        self.editor.show_message(f"File (MIDI or .npy), then Enter, or Esc:  {self.typed}\N{LEFT ONE EIGHTH BLOCK}")

    def quit(self):
        """End the program with the next frame."""
        self.leaving = True

    def on_draw(self, event):
        first = not self.view.captured
        self.editor.needs_paint = False
        self.view.capture()
        if first:
            self.editor.log("ready")

    def tick(self):
        """What the timer calls for each frame."""
        editor = self.editor
        if self.leaving:
            return self.leave()
        editor.frame()
        if not self.view.captured:
            return
        if editor.playing:
            bar, _ = editor.player.position() or (editor.index, 0)
            if bar != editor.index and bar < len(editor.bars):
                editor.index, editor.needs_paint = bar, True
        if editor.needs_paint:
            self.follow()
        if self.view.panel.stale:
            self.canvas.draw()
        elif editor.needs_paint:
            editor.needs_paint = False
            self.view.paint(self.dragging)
        elif editor.playing:
            self.view.show_playhead()
        if not self.dragging:
            self.compute_density()

    def follow(self):
        """Move the map to the bar that is shown, where a command has brought it out of sight."""
        point = self.editor.point()
        if point != self.followed and not self.dragging:
            self.followed = point
            self.view.map_view.follow(point)

    def compute_density(self):
        """Draw a few more cells of the map's hit density, anew for another style; show it when it is complete."""
        density, style = self.editor.hit_density, self.editor.constraints.style
        if style != self.density_style:
            self.density_style = style
            density.reset()
            self.view.show_density()
        elif len(density.left) and density.compute_next(self.editor.model, style, count=16):
            self.view.show_density()


def file_dialog(figure):
    """A function that asks for a file's name by the dialog of tkinter, and gives it, or ""."""
    from tkinter import filedialog

    return lambda: filedialog.askopenfilename(
        parent=figure.canvas.get_tk_widget(), title="A bar of yours",
        filetypes=[("MIDI or matrix", "*.mid *.midi *.MID *.npy"), ("All", "*")])
