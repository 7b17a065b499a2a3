"""The window on a map of drum bars: what a click, a drag or a key does on the desk, and when the picture is painted.

    figure = pyplot.figure(figsize=(13, 7))
    window = Window(figure, model, kit, Player(kit), folder="saved_patterns")
    timer = figure.canvas.new_timer(33); timer.add_callback(window.tick); timer.start()
"""

import numpy as np

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from instrument.editor import PatternEditor
from instrument.view import Picture
from instrument.widgets import WARNING


class Window(PatternEditor):
    """A desk with a figure, a mouse and a keyboard.

    `tick`, called by a timer, paints what is old: so the sound never waits for the picture, and however fast the mouse
    is, there is one decoding a frame.

    The rest of the arguments are those of PatternEditor. leave: ends the program. choose_file: asks for a path, None where a
    person types it into the window. paste: gives the clipboard's text, or None.
    """

    KEYS = {" ": ("play_or_stop",), "r": ("random",), "t": ("take",), "b": ("back",), "backspace": ("back",),
            "s": ("save",), "h": ("show_help",), "q": ("quit",), "ctrl+w": ("quit",), "cmd+w": ("quit",),
            "a": ("change_density", None), "right": ("change_density", 1), "left": ("change_density", -1),
            "up": ("change_tempo", 5), "down": ("change_tempo", -5), "+": ("change_tempo", 1),
            "=": ("change_tempo", 1), "-": ("change_tempo", -1), "<": ("change_temperature", -0.1),
            ">": ("change_temperature", 0.1), ",": ("change_temperature", -0.1), ".": ("change_temperature", 0.1),
            "y": ("step_style", 1), "Y": ("step_style", -1), "p": ("path",), "escape": ("leave_path",),
            "n": ("hear_nearest",), "N": ("hear_next_nearest",), "m": ("hear_model",), "o": ("open",),
            "v": ("humanise",),
            **{str(count): ("end_path", count) for count in range(2, 10)}}

    def __init__(self, figure, *desk, leave=None, choose_file=None, paste=None, **more_of_desk):
        super().__init__(*desk, **more_of_desk)
        self.figure, self.canvas = figure, figure.canvas
        self.leave, self.choose_file, self.paste = leave, choose_file, paste
        self.typed = None  # of a file's name, while one is typed
        self.dragging = self.touched = self.leaving = False
        self.hovered = None  # the place under the mouse
        for event, act in (("button_press_event", self.on_press), ("motion_notify_event", self.on_motion),
                           ("button_release_event", self.on_release),
                           ("key_press_event", lambda event: self.on_key(event.key))):
            self.canvas.mpl_connect(event, act)  # before the sliders connect theirs: `back` needs the state before
        self.picture = Picture(self)
        self.canvas.mpl_connect("draw_event", self.on_draw)

    def on_press(self, event):
        if event.button != 1:
            return
        picture = self.picture
        if event.inaxes is picture.map:
            self.dragging = True
            self.go_to(self.plane.to_code(event.xdata, event.ydata), "This point")
        elif event.inaxes is picture.grid:
            self.toggle(*(int(np.clip(round(place), 0, count - 1)) for place, count in
                          ((event.ydata, len(INSTRUMENTS)), (event.xdata, STEPS_PER_BAR))))
        elif event.inaxes in (picture.density_slider.ax, picture.temperature_slider.ax):
            self.remember()
        else:
            zone, place = picture.zone_at(event.x, event.y)
            if zone:
                zone.act(*place)

    def on_motion(self, event):
        if not self.touched:  # open the sound card now, so that the first click is not late
            self.touched = True
            self.has_sound()
        zone, _ = self.picture.zone_at(event.x, event.y)
        if zone is not self.hovered:  # a button lights up under the mouse
            self.hovered, self.old = zone, True
        if self.dragging and event.inaxes is self.picture.map:
            self.codes, self.undrawn = self.plane.to_code(event.xdata, event.ydata)[None], True

    def on_release(self, event):
        if self.dragging:
            self.dragging = False
            if self.undrawn:
                self.redraw()
            if self.message_colour != WARNING:
                self.say(f"This point: {self.describe()}.")
            self.log("release", point=self.point(), hits=np.count_nonzero(self.bar))

    def on_key(self, key):
        if self.typed is not None:
            self.type(key)
        elif key in self.KEYS:
            act, *arguments = self.KEYS[key]
            getattr(self, act)(*arguments)

    def open(self):
        """Ask for a file of bars: by the toolkit's dialogue, or by its name, typed."""
        if self.choose_file:
            path = self.choose_file()
            return self.open_file(path) if path else None
        self.typed = ""
        self.say_typed()

    def say_typed(self):
        self.say(f"File (MIDI or .npy), then Enter, or Esc:  {self.typed}\N{LEFT ONE EIGHTH BLOCK}")

    def type(self, key):
        """A key while the name of a file is typed."""
        if key == "enter":
            path, self.typed = self.typed, None
            self.open_file(path.strip())
        elif key == "escape":
            self.typed = None
            self.say("Nothing opened.")
        else:
            if key in ("ctrl+v", "cmd+v") and self.paste:
                self.typed += self.paste() or ""
            elif key == "backspace":
                self.typed = self.typed[:-1]
            elif key and len(key) == 1:
                self.typed += key
            self.say_typed()

    def show_help(self):
        self.picture.help.set_visible(not self.picture.help.get_visible())
        self.canvas.draw_idle()

    def quit(self):
        self.leaving = True  # the next tick ends the program

    def on_draw(self, event):
        first = not self.picture.shown
        self.old = False
        self.picture.on_draw(event)
        if first:
            self.log("ready")

    def tick(self):
        """What the timer calls for each frame."""
        if self.leaving:
            return self.leave()
        if self.undrawn:
            self.redraw()
        if not self.picture.shown:
            return
        if self.playing and len(self.bars) > 1:
            heard = self.player.position()
            if heard and heard[0] != self.index and heard[0] < len(self.bars):
                self.index, self.old = heard[0], True
        if self.old:
            self.old = False
            self.picture.paint()
            self.picture.blit()
        elif self.playing:
            self.picture.show_playhead()
        if not self.dragging:
            self.picture.go_on_with_ground()
