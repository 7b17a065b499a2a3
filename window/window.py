"""The window: what mouse and keys do to the pattern editor, and when its view is painted.

    figure = pyplot.figure(figsize=(13, 7))
    window = Window(figure, PatternEditor(model, kit, Player(kit), folder=Path("saved_patterns")))
    timer = figure.canvas.new_timer(33); timer.add_callback(window.tick); timer.start()
"""

import contextlib
import time

from formats.activation_matrix import INSTRUMENTS
from session.state import SLOTS
from window.bar_page import EVOLVED, FILLS, SEEN, following
from window.map_view import ZOOM_STEP
from window.view import View

EDITOR_KEYS = {  # key: the editor's command, its arguments
    " ": ("play_or_stop",), "r": ("random",), "t": ("next_variation",), "T": ("play_anew",), "p": ("path",),
    "g": ("begin_or_end_morph",), "v": ("humanise",), "d": ("step_drummer",),
    "n": ("audition_nearest",), "N": ("audition_nearest", 1), "m": ("audition_model",),
    "y": ("step_style", 1), "Y": ("step_style", -1),
    "a": ("change_density", None), "right": ("change_density", 1), "left": ("change_density", -1),
    **dict.fromkeys(("ctrl+z", "b", "backspace"), ("undo",)), **dict.fromkeys(("ctrl+s", "s"), ("save",)),
    **dict.fromkeys(("ctrl+y", "ctrl+Z", "ctrl+shift+z"), ("redo",)),
    **{key: ("change_tempo", by) for key, by in (("up", 5), ("down", -5), ("shift+up", 1), ("shift+down", -1))},
    **{key: ("change_steady", by) for key, by in (("[", 0.1), ("]", -0.1))},
    **{key: ("change_temperature", by) for key, by in (("<", -0.1), (",", -0.1), (">", 0.1), (".", 0.1))},
    "f9": ("record",), "enter": ("tap",), "x": ("toggle_metronome",), "w": ("set_take_over",),
    "c": ("continue_bars", 8), "P": ("play_song",), "u": ("recover",),
    **{letter: ("choose_slot", slot) for slot, letter in enumerate(SLOTS)},
    "ctrl+e": ("export_all",), "k": ("new_kit",), **{f"f{row + 1}": ("mute", row) for row in range(len(INSTRUMENTS))},
    **{f"shift+f{row + 1}": ("solo", row) for row in range(len(INSTRUMENTS))},
    **{str(count): ("end_path", count) for count in range(2, 10)}}
WINDOW_KEYS = {**dict.fromkeys(("o", "ctrl+o"), ("open_file",)),
               "0": ("show_whole",), "tab": ("step_page", 1), "escape": ("go_back",),
               **dict.fromkeys(("shift+tab", "shift+iso_left_tab"), ("step_page", -1)),
               **dict.fromkeys(("h", "?"), ("show_help",)), **dict.fromkeys(("q", "ctrl+w"), ("ask_to_quit",)),
               "ctrl+c": ("edit", "copy"), "ctrl+v": ("edit", "paste"), "R": ("edit", "reverse"),
               "delete": ("edit", "clear"), "shift+left": ("shift_by", -1), "shift+right": ("shift_by", 1),
               "l": ("play_by_keys",), "e": ("step_evolve",), "f": ("step_fills",), "i": ("fill_around",),
               **{key: ("zoom", by) for key, by in (("+", 1), ("=", 1), ("-", -1))}}
LIVE_KEYS = {key: row for row, key in enumerate("asdfghjk")}  # that play the rows, while they do
REPEAT = 0.004  # seconds from a release to a press of a key that is held down: some systems repeat both
FILES = {  # kind: title, words, names; None for a folder
    "bars": ("A bar or a session of yours", "File (MIDI, .npy or a session)", "*.mid *.midi *.MID *.npy *.json *.wav"),
    "sound": ("A sound of yours", "Sound file", "*.wav *.WAV *.flac *.aif *.aiff *.ogg *.mp3"),
    "kit": ("A kit: a folder of sounds", "Folder of sounds", None)}
HINTS = {"click": "Click anywhere on the map.", "drag": "Drag to morph, scroll to zoom.",
         "sounds": "Sounds, top right: another kit, other drums."}
ASKED = "Not saved: q again quits, Ctrl+S saves first, Esc stays."


class Hints:
    """What a beginner reads, one hint after the other, each until its act was done; a file remembers which were."""

    def __init__(self, path):
        self.path, self.done = path, set()
        if path:
            with contextlib.suppress(OSError, ValueError):
                self.done = set(path.read_text(encoding="utf-8").split())

    @property
    def text(self):
        """The hint of the first act that was not done."""
        return next((text for act, text in HINTS.items() if act not in self.done), "")

    def note(self, act):
        """An act was done; return whether it was for the first time."""
        if act in self.done:
            return False
        self.done.add(act)
        if self.path:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.write_text(" ".join(sorted(self.done)) + "\n", encoding="utf-8")
        return True


class Window:
    """A pattern editor with a view, a mouse and a keyboard.

    `tick`, called by a timer, decodes and paints, once a frame however fast the mouse is: the sound never waits for it.
    leave: ends the program. choose_file(kind): asks for a path, a kind of FILES; None where a person types it into the
    window.
    """

    def __init__(self, figure, editor, leave=None, choose_file=None):
        self.figure, self.canvas, self.editor = figure, figure.canvas, editor
        self.leave, self.choose_file = leave, choose_file
        self.typed = self.asking = None  # of a file's name, while one is typed: its kind, and what is done with it
        self.held = None  # (panel, area, what a move of the mouse does) while a button is down
        self.frames, self.held_since = 0, None  # painted so far; (moment, frames) at which a button went down
        self.followed = editor.point()  # the point that is known to be seen
        self.mouse = (-1, -1)  # the pixel that it is at
        self.counting = False  # was the sound in a count-in with the last frame?
        self.pressed, self.released = set(), {}  # keys that are down; of the others the moment of their release
        self.shift = self.sound_asked_for = self.asked_to_quit = self.leaving = False
        self.density_style = editor.constraints.style  # the style that the map's hit density is drawn in
        self.hints = Hints(editor.folder and editor.folder / ".hints")
        self.view = View(editor, figure, self.ask_for, self.hints)
        for event, action in (("button_press_event", self.on_press), ("motion_notify_event", self.on_motion),
                              ("button_release_event", self.on_release), ("scroll_event", self.on_scroll),
                              ("key_press_event", lambda event: self.on_key(event.key, moment_of(event))),
                              ("key_release_event", lambda event: self.on_key_release(event.key, moment_of(event))),
                              ("draw_event", self.on_draw)):
            self.canvas.mpl_connect(event, action)

    # The mouse

    def on_press(self, event):
        view = self.view
        overlay = view.overlay
        panel, area = view.area_at(event.x, event.y)
        if overlay:  # it takes the click
            overlay.show(False)
        if not area or event.button not in (1, 2, 3):
            return
        place, left = panel.place_in(area, event.x, event.y), event.button == 1
        if left and area.press and not (area.reset and event.dblclick):
            if area.drag:
                self.editor.begin_gesture()
            shift = area.shifted and "shift" in {event.key, *event.modifiers}
            (area.shifted if shift else area.press)(*place)
            self.hold(panel, area, area.drag)
            self.note(area, "click")
        elif area.reset:
            area.reset(*place)
        elif area.pan and not left:
            self.editor.begin_gesture()
            area.pan(*place)
            self.hold(panel, area, area.drag_pan)

    def hold(self, panel, area, drag):
        """A button is down on an area: moves of the mouse are drags, until it is released."""
        self.held, self.held_since = (panel, area, drag), (time.perf_counter(), self.frames)

    def on_motion(self, event):
        view = self.view
        if not self.sound_asked_for:  # open the sound card now, so that the first click is not late
            self.sound_asked_for = True
            self.editor.open_sound()
        if not self.held:
            view.hover(event.x, event.y)
        self.mouse = event.x, event.y
        if self.held and self.held[2]:
            panel, area, drag = self.held
            drag(*panel.place_in(area, event.x, event.y))
            self.note(area, "drag")

    def note(self, area, act):
        """Let a hint go whose act was done, on the map."""
        if area is self.view.map_view.area and self.hints.note(act):
            self.editor.needs_paint = True

    def on_scroll(self, event):
        """The wheel, or a pinch in a browser: zoom around the mouse; over a control, a little more or less."""
        panel, area = self.view.area_at(event.x, event.y)
        if area and area.wheel and not self.view.overlay:
            shift = area.slide and "shift" in {event.key, *event.modifiers}
            (area.slide if shift else area.wheel)(*panel.place_in(area, event.x, event.y), event.step)
            self.note(area, "drag")

    def on_release(self, event):
        if self.held:
            area, self.held = self.held[1], None
            self.view.left.frame()
            self.editor.frame()
            if area.release:
                area.release()
            self.editor.end_gesture()
            since, frames = self.held_since
            self.editor.log("let go", seconds=time.perf_counter() - since, frames=self.frames - frames)

    # The keyboard

    def on_key(self, key, moment=None):
        """A key is pressed, at a moment in seconds of any clock."""
        key = self.customary(key)
        if self.typed is not None:
            self.type(key)
        elif self.view.overlay:  # it takes the key
            self.view.overlay.show(False)
        elif self.view.live and key in LIVE_KEYS:
            self.play_row(key, moment)
        elif key in EDITOR_KEYS:
            command, *arguments = EDITOR_KEYS[key]
            getattr(self.editor, command)(*arguments)
        elif key in WINDOW_KEYS:
            command, *arguments = WINDOW_KEYS[key]
            getattr(self, command)(*arguments)

    def customary(self, key):
        """A key's name as the tables have it, whatever toolkit it comes from: Tk leaves Shift out after Ctrl."""
        key = (key or "").replace("cmd+", "ctrl+")
        last = key.split("+")[-1]
        if last == "shift":
            self.shift = True
        elif key == "ctrl+z" and self.shift:
            return "ctrl+shift+z"
        return key.lower() if len(last) > 1 else key

    def on_key_release(self, key, moment=None):
        if (key or "").endswith("shift"):
            self.shift = False
        self.pressed.discard(key)
        self.released[key] = moment

    def play_row(self, key, moment):
        """Play a row by its key, but not again while it is held down, which a system repeats."""
        released = self.released.get(key)
        repeated = None not in (released, moment) and moment - released < REPEAT
        if key not in self.pressed and not repeated:
            self.editor.play_row(LIVE_KEYS[key])
            self.editor.log("play row", row=LIVE_KEYS[key])
        self.pressed.add(key)

    def play_by_keys(self):
        """Let keys play the rows, or no more."""
        self.view.live = not self.view.live
        self.editor.show_message(f"Play the rows: {' '.join(LIVE_KEYS)}. Esc ends it." if self.view.live else
                                 "These keys are commands again.")

    def go_back(self):
        """Leave what was begun: rows by keys, a question, the sound map, a path or a morph."""
        if self.view.live:
            self.play_by_keys()
        elif self.asked_to_quit and self.editor.message == ASKED:
            self.editor.show_message("")
        elif self.view.left is self.view.sound_map:
            self.view.show_patterns()
        else:
            self.editor.leave()

    def place_on(self, area):
        """Where on an area the mouse is, in fractions of its box, or None."""
        panel, under = self.view.area_at(*self.mouse)
        return panel.place_in(area, *self.mouse) if under is area else None

    def zoom(self, steps):
        """Zoom in or out around the mouse, where it is on the bar or on the map, else around the point heard."""
        left, bar = self.view.left, self.view.bar
        on_bar, on_map = self.place_on(bar.area), self.place_on(left.area)
        if on_bar:
            return bar.zoom(steps, on_bar[0])
        left.zoom_by(ZOOM_STEP ** (3 * steps), *left.at(*on_map) if on_map else left.point() or (0, 0))

    def show_whole(self):
        """Show the whole map, or bar."""
        if self.place_on(self.view.bar.area):
            return self.view.bar.zoom(-len(SEEN))
        self.view.left.show_whole()

    def edit(self, command):
        """Copy, paste, reverse or clear the row under the mouse, or else the bar; or remove a part of the song."""
        page = self.view.pages[self.view.page]
        if self.view.page == "Bar":
            getattr(self.editor, command)(page.row_at(*self.mouse))
        elif self.view.page == "Song" and command == "clear":
            page.remove()

    def shift_by(self, cells):
        """Shift the row under the mouse, or else the bar, or a part of the song."""
        page = self.view.pages[self.view.page]
        if self.view.page == "Bar":
            self.editor.shift(cells * page.grid.cell, page.row_at(*self.mouse))
        elif self.view.page == "Song":
            page.move(cells)

    def step_evolve(self):
        """Let more cells change with each pass of the pattern, or none."""
        self.editor.set_evolve(following(EVOLVED, self.editor.evolve))

    def step_fills(self):
        """Ask for fills more seldom, or for none."""
        self.editor.set_fill_every(following(FILLS, self.editor.fill_every))

    def fill_around(self):
        """Keep the rows that were recorded and those that are locked, and draw the others around them."""
        if self.editor.rows_played or self.editor.locks:
            return self.editor.fill_around(self.editor.rows_played)
        self.editor.show_message("Record some rows first (F9, then l), or lock them; i draws the others around these.")

    def show_help(self):
        """Show the keys."""
        self.view.toggle_help()

    def step_page(self, step):
        """Show the next page, or the one before."""
        names = list(self.view.pages)
        self.view.show_page(names[(names.index(self.view.page) + step) % len(names)])

    def open_file(self):
        """Ask for a file of bars, or a session."""
        self.ask_for("bars", self.editor.open_file)

    def ask_for(self, kind, action):
        """Ask for a file of a kind, by the toolkit's dialogue or by its name, typed; then do action(path)."""
        if self.choose_file:
            path = self.choose_file(kind)
            return action(path) if path else None
        self.typed, self.asking = "", (kind, action)
        self.type(None)

    def type(self, key):
        """A key while the name of a file is typed."""
        kind, action = self.asking
        if key in ("enter", "escape"):
            path, self.typed = self.typed.strip(), None
            return action(path) if key == "enter" else self.editor.show_message("Nothing opened.")
        if key == "backspace":
            self.typed = self.typed[:-1]
        elif key and len(key) == 1:
            self.typed += key
        self.editor.show_message(f"{FILES[kind][1]}, then Enter, or Esc:  {self.typed}\N{LEFT ONE EIGHTH BLOCK}")

    def ask_to_quit(self):
        """End the program; ask first if there is work that is not saved."""
        if not self.editor.unsaved or self.asked_to_quit and self.editor.message == ASKED:
            return self.quit()
        self.asked_to_quit = True
        self.editor.show_message(ASKED, "warning")

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
        self.view.left.frame()
        editor.frame()
        if not self.view.captured:
            return
        place = editor.player.position() if editor.playing else None
        if place:
            editor.follow_sound(place[0])
        if editor.recording and (place is None) != self.counting:
            self.counting, editor.needs_paint = place is None, True
        if editor.needs_paint:
            self.follow()
        dragging = self.view.map_view.dragging
        self.frames += bool(self.view.stale or editor.needs_paint)
        if self.view.stale:
            self.canvas.draw()
        elif editor.needs_paint:
            editor.needs_paint = False
            self.view.paint(dragging)
        elif editor.playing:
            self.view.show_time()
        if not self.held:
            self.compute_ground()

    def follow(self):
        """Move the map to the bar that is shown, where a command has brought it out of sight."""
        point = self.editor.point()
        if point != self.followed and not self.view.map_view.dragging:
            self.followed = point
            self.view.map_view.follow(point)

    def compute_ground(self):
        """Compute a little more of what the map that is shown has as its ground."""
        if self.view.left is self.view.sound_map:
            self.view.sound_map.compute()
        else:
            self.compute_density()

    def compute_density(self):
        """Draw a few more cells of the map's hit density, anew for another style; show it when it is complete."""
        density, style = self.editor.hit_density, self.editor.constraints.style
        if style != self.density_style:
            self.density_style = style
            density.reset()
            self.view.map_view.show_density()
        elif len(density.left) and density.compute_next(self.editor.model, style, count=16):
            self.view.map_view.show_density()


def moment_of(event):
    """When an event was, in seconds: by the toolkit's clock where it has one, since it may come late."""
    milliseconds = getattr(event.guiEvent, "time", None)
    return time.perf_counter() if milliseconds is None else milliseconds / 1000


def file_dialog(figure):
    """A function that asks for a file of a kind by the dialogue of tkinter, and gives its name, or ""."""
    from tkinter import filedialog

    def ask(kind):
        title, words, patterns = FILES[kind]
        if patterns is None:
            return filedialog.askdirectory(parent=figure.canvas.get_tk_widget(), title=title)
        return filedialog.askopenfilename(parent=figure.canvas.get_tk_widget(), title=title,
                                          filetypes=[(words, patterns), ("All", "*")])

    return ask
