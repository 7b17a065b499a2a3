"""The window: what mouse and keys do to the pattern editor, and when its view is painted.

    figure = pyplot.figure(figsize=(13, 7))
    window = Window(figure, PatternEditor(model, kit, Player(kit), folder=Path("saved_patterns")))
    timer = figure.canvas.new_timer(33); timer.add_callback(window.tick); timer.start()
"""

import contextlib
import time

import numpy as np

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from instrument.view import View

DENSITY_SECONDS = 0.02  # a frame, about, for the hit density of the map

EDITOR_KEYS = {  # key: the editor's command, its arguments
    " ": ("play_or_stop",), "r": ("random",), "t": ("next_variation",), "b": ("undo",), "backspace": ("undo",),
    "s": ("save",), "p": ("path",), "escape": ("leave_path",), "v": ("humanise",),
    "n": ("audition_nearest",), "N": ("audition_next_nearest",), "m": ("audition_model",),
    "y": ("step_style", 1), "Y": ("step_style", -1),
    "a": ("change_density", None), "right": ("change_density", 1), "left": ("change_density", -1),
    "up": ("change_tempo", 5), "down": ("change_tempo", -5), "+": ("change_tempo", 1), "=": ("change_tempo", 1),
    "-": ("change_tempo", -1), "<": ("change_temperature", -0.1), ">": ("change_temperature", 0.1),
    ",": ("change_temperature", -0.1), ".": ("change_temperature", 0.1),
    **{str(count): ("end_path", count) for count in range(2, 10)}}
WINDOW_KEYS = {"o": "open_file", "q": "quit", "ctrl+w": "quit", "cmd+w": "quit"}


class Window:
    """A pattern editor with a view, a mouse and a keyboard.

    `tick`, called by a timer, paints what has changed: so the sound never waits for the picture, and however fast the
    mouse is, there is one decoding a frame.

    Args:
        editor: a PatternEditor. leave: ends the program.
        choose_file: asks for a path, None where a person types it into the window.
        paste: gives the clipboard's text, or None.
    """

    def __init__(self, figure, editor, leave=None, choose_file=None, paste=None):
        self.figure, self.canvas, self.editor = figure, figure.canvas, editor
        self.leave, self.choose_file, self.paste = leave, choose_file, paste
        self.typed = None  # of a file's name, while one is typed
        self.dragged = None  # the editor's codes as the last move of a drag left them
        self.touched = self.leaving = False
        self.density_style = editor.constraints.style  # the style that the map's hit density is drawn in
        self.density_batch = 16  # cells of it that are drawn in a frame
        for event, action in (("button_press_event", self.on_press), ("motion_notify_event", self.on_motion),
                              ("button_release_event", self.on_release),
                              ("key_press_event", lambda event: self.on_key(event.key))):
            self.canvas.mpl_connect(event, action)  # before the sliders connect theirs: `undo` needs the state before
        self.view = View(editor, figure, self.open_file)
        self.canvas.mpl_connect("draw_event", self.on_draw)

    # The mouse

    @property
    def dragging(self):
        """Does the mouse drag on the map? A command that goes elsewhere ends the drag, or its bars would be lost."""
        return self.dragged is not None and self.dragged is self.editor.codes

    def on_press(self, event):
        if event.button != 1:
            return
        editor, view = self.editor, self.view
        if event.inaxes is view.map:
            editor.go_to(editor.plane.to_code(event.xdata, event.ydata), "This point")
            self.dragged = editor.codes
        elif event.inaxes is view.grid:
            editor.toggle(*(int(np.clip(round(place), 0, count - 1)) for place, count in
                            ((event.ydata, len(INSTRUMENTS)), (event.xdata, STEPS_PER_BAR))))
        elif event.inaxes in (view.density_slider.ax, view.temperature_slider.ax):
            editor.save_undo()
        else:
            area, place = view.panel.area_at(event.x, event.y)
            if area:
                area.action(*place)

    def on_motion(self, event):
        editor = self.editor
        if not self.touched:  # open the sound card now, so that the first click is not late
            self.touched = True
            editor.open_sound()
        self.view.hover(event.x, event.y)
        if self.dragging and event.inaxes is self.view.map:
            editor.move_to(editor.plane.to_code(event.xdata, event.ydata))
            self.dragged = editor.codes

    def on_release(self, event):
        editor, dragging, self.dragged = self.editor, self.dragging, None
        if dragging:
            if editor.needs_draw:
                editor.redraw()
            if editor.message_kind != "warning":
                editor.show_message(f"This point: {editor.describe()}.")
            editor.log("release", point=editor.point(), hits=np.count_nonzero(editor.bar))

    # The keyboard

    def on_key(self, key):
        if self.typed is not None:
            self.type(key)
        elif key in EDITOR_KEYS:
            command, *arguments = EDITOR_KEYS[key]
            getattr(self.editor, command)(*arguments)
        elif key in WINDOW_KEYS:
            getattr(self, WINDOW_KEYS[key])()
        elif key == "h":
            self.view.toggle_help()

    def open_file(self):
        """Ask for a file of bars: by the toolkit's dialogue, or by its name, typed."""
        if self.choose_file:
            path = self.choose_file()
            return self.editor.open_file(path) if path else None
        self.typed = ""
        self.show_typed()

    def show_typed(self):
        self.editor.show_message(f"File (MIDI or .npy), then Enter, or Esc:  {self.typed}\N{LEFT ONE EIGHTH BLOCK}")

    def type(self, key):
        """A key while the name of a file is typed."""
        if key == "enter":
            path, self.typed = self.typed, None
            self.editor.open_file(path.strip())
        elif key == "escape":
            self.typed = None
            self.editor.show_message("Nothing opened.")
        else:
            if key in ("ctrl+v", "cmd+v") and self.paste:
                self.typed += self.paste() or ""
            elif key == "backspace":
                self.typed = self.typed[:-1]
            elif key and len(key) == 1:
                self.typed += key
            self.show_typed()

    def quit(self):
        """End the program with the next frame."""
        self.leaving = True

    # Frames

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
        if editor.needs_draw:
            editor.redraw()
        if not self.view.captured:
            return
        if editor.playing and len(editor.bars) > 1:
            position = editor.player.position()
            if position and position[0] != editor.index and position[0] < len(editor.bars):
                editor.index, editor.needs_paint = position[0], True
        if editor.needs_paint:
            editor.needs_paint = False
            self.view.paint(self.dragging)
            self.view.blit()
        elif editor.playing:
            self.view.show_playhead()
        if not self.dragging:
            self.compute_density()

    def compute_density(self):
        """Draw some more of the map's hit density, anew for another style, and show it once it is complete.

        As much at a time as keeps the window quick, on a slow machine too.
        """
        density, style = self.editor.hit_density, self.editor.constraints.style
        if style != self.density_style:
            self.density_style = style
            density.reset()
            self.view.show_density()
        elif len(density.left):
            started = time.perf_counter()
            complete = density.compute_next(self.editor.model, style, count=self.density_batch)
            late = time.perf_counter() - started > DENSITY_SECONDS
            self.density_batch = max(8, self.density_batch // 2) if late else self.density_batch + 4
            if complete:
                self.view.show_density()


def tk_helpers(figure):
    """What a window of tkinter offers: (a dialogue that gives a file's name or "", the clipboard's text)."""
    import tkinter
    from tkinter import filedialog

    widget = figure.canvas.get_tk_widget()

    def choose_file():
        return filedialog.askopenfilename(parent=widget, title="A bar of yours",
                                          filetypes=[("MIDI or matrix", "*.mid *.midi *.MID *.npy"), ("All", "*")])

    def paste():
        with contextlib.suppress(tkinter.TclError):  # nothing there, or no text
            return widget.clipboard_get()

    return choose_file, paste
