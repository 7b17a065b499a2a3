"""The window on a map of drum bars: the map on the left, the bar on the right, and what a click, a drag or a key does.

    figure = pyplot.figure(figsize=(13, 7))
    window = Window(figure, model, kit, Player(kit), folder="saved_patterns")
    timer = figure.canvas.new_timer(33); timer.add_callback(window.tick); timer.start()
"""

import contextlib
import itertools
import json
import time

import numpy as np

import drum_map
import sequencer
from command_line import one_line, replacing
from drum_map import ACCENT, BEAT, GROUND, LINE, QUIET, TEXT, WARNING
from Midi_To_Activation_Matrix import INSTRUMENTS, STEPS_PER_BAR, write_midi, write_picture

SLOWEST, FASTEST = 40, 240  # bpm
NEW_HIT = 100  # MIDI velocity of a hit that a click puts in
DENSEST = 100  # hits at the right end of the slider; the command line goes to every cell
MAP, GRID = (0.03, 0.165, 0.395, 0.735), (0.515, 0.455, 0.46, 0.405)  # boxes: left, bottom, width, height of the figure
HINT = "Drag on the map to morph, click the bar to change a hit, s saves, h shows all keys."
HELP = """\
click, drag      on the map: hear that point, morph
click            on the bar: put a hit in, take it out
space            play, stop
r                a random point
b, backspace     back to the bar before
s                save MIDI, WAV and PNG
up, down, + -    tempo, by 5 or by 1 bpm
right, left      one hit more, one fewer
a                as many hits as the model expects
h                show or hide this
q                quit"""


class Part:
    """Artists that are painted over a box of the figure, anew whenever their look changes.

    box: left, bottom, width and height, in fractions of the figure. look: a function that gives the look as a tuple;
    change: brings the artists up to one.
    """

    def __init__(self, box, artists, look, change):
        self.box, self.artists, self.look, self.change = box, artists, look, change
        self.under = self.shown = None  # the pixels below; the look that is painted

    def box_in(self, figure):
        """The box in pixels, and a little more for what rounding paints at its edge."""
        from matplotlib.transforms import Bbox, TransformedBbox

        return TransformedBbox(Bbox.from_bounds(*self.box), figure.transFigure).padded(2)

    def paint(self, canvas):
        """Paint the artists if their look has changed; return whether."""
        look = self.look()
        if look == self.shown:
            return False
        self.shown = look
        self.change(*look)
        canvas.restore_region(self.under)
        for artist in self.artists:
            canvas.figure.draw_artist(artist)
        return True


class Window:
    """The map on the left, the bar on the right.

    Acts, the methods that keys, buttons and the mouse call, change the state and the sound at once, and mark the
    picture as old. `tick`, called by a timer, paints what is old: so the sound never waits for the picture, and
    however fast the mouse is, there is one decoding a frame.

    model: a BernoulliVAE of bars. kit, player: of `sequencer`. folder: where `save` writes. density: hits wanted, None
    for the model's own number. seed: of the random points. log: an open text file, or None. leave: ends the program.
    """

    KEYS = {" ": ("play_or_stop",), "r": ("random",), "b": ("back",), "backspace": ("back",), "s": ("save",),
            "h": ("show_help",), "q": ("quit",), "ctrl+w": ("quit",), "cmd+w": ("quit",), "a": ("change_density", None),
            "right": ("change_density", 1), "left": ("change_density", -1), "up": ("change_tempo", 5),
            "down": ("change_tempo", -5), "+": ("change_tempo", 1), "=": ("change_tempo", 1), "-": ("change_tempo", -1)}

    def __init__(self, figure, model, kit, player, folder, bpm=120, density=None, seed=None, log=None, leave=None):
        self.figure, self.canvas, self.model, self.kit, self.player = figure, figure.canvas, model, kit, player
        self.folder, self.bpm, self.density, self.log_file, self.leave = folder, bpm, density, log, leave
        self.first_seed = seed or 0
        self.seed = self.first_seed  # of what the model draws: one for all points, till the next random one
        self.random_seed = np.random.SeedSequence().entropy if seed is None else seed  # of the random points
        self.plane = drum_map.Plane(model)
        self.code = self.plane.to_code(0, 0)
        self.bar = drum_map.decode(model, self.code, density, self.seed)
        self.history, self.randoms = [], 0
        self.playing = self.dragging = self.leaving = False
        self.undrawn = False  # the code or the density has changed, the bar has not yet
        self.old = True  # the picture does not show the state
        self.touched = False  # by the mouse
        self.silence = None  # why there is no sound
        self.shown = False  # the figure, for the first time
        self.hovered = self.shown_step = None  # the axes under the mouse; where the playhead is painted
        self.say("Click anywhere on the map.")
        for event, act in (("button_press_event", self.on_press), ("motion_notify_event", self.on_motion),
                           ("button_release_event", self.on_release),
                           ("key_press_event", lambda event: self.on_key(event.key))):
            self.canvas.mpl_connect(event, act)  # before the sliders connect theirs: `back` needs the state before
        self.lay_out()
        self.canvas.mpl_connect("draw_event", self.on_draw)

    # Acts

    def go_to(self, code, words, seed=None):
        """Play the bar that the model draws at a code; with a seed of its own, or as at the points before."""
        started = time.perf_counter()
        self.remember()
        self.code, self.seed = code, self.seed if seed is None else seed
        self.redraw_bar()
        if not self.playing:
            self.play()
        milliseconds = 1000 * (time.perf_counter() - started)
        self.say(f"{words}: {self.describe()}.")
        self.log("point", point=self.point(), hits=np.count_nonzero(self.bar), milliseconds=milliseconds)

    def redraw_bar(self):
        """Decode the bar at the code; if one plays, this one takes over."""
        self.bar = drum_map.decode(self.model, self.code, self.density, self.seed)
        self.undrawn, self.old = False, True
        if self.playing:
            self.play()

    def play(self):
        """Play the bar, or take over without a gap from the one that plays."""
        if self.has_sound():
            self.player.play(self.bar[None])
            self.playing = self.old = True

    def has_sound(self):
        """Open the sound card if it is not open; False, and the reason kept, where there is none."""
        if not self.silence:
            try:
                self.player.open()
            except OSError as error:  # no sound card, no PortAudio: everything else works
                self.silence, self.old = one_line(error), True
                self.log("no sound", reason=self.silence)
        return not self.silence

    def play_or_stop(self):
        if self.playing:
            return self.stop()
        self.silence = None  # a sound card may have come since
        self.play()
        self.say(f"Playing: {self.describe()}." if self.playing else "There is nothing to play on.")
        self.log("play")

    def stop(self):
        self.player.stop()
        self.playing = False
        self.say("Stopped.")
        self.log("stop", underruns=self.player.underruns)

    def random(self):
        self.randoms += 1
        code = drum_map.random_code(len(self.code), self.random_seed, self.randoms - 1)
        self.go_to(code, "A random point", self.first_seed + self.randoms - 1)

    def remember(self):
        """Keep the state for `back`."""
        self.history = self.history[-99:] + [(self.code, self.bar, self.density, self.seed)]

    def back(self):
        """Return to the state before the last act that changed it."""
        while self.history:
            code, bar, density, self.seed = self.history.pop()
            if density != self.density or not (np.array_equal(bar, self.bar) and np.array_equal(code, self.code)):
                self.code, self.bar, self.density, self.undrawn = code, bar, density, False
                if self.playing:
                    self.play()
                self.say(f"Back to {self.describe()}.")
                return self.log("back")
        self.say("There is nothing to go back to.")

    def toggle(self, row, step):
        """Put a hit in a cell of the bar, or take it out."""
        self.remember()
        self.bar = self.bar.copy()
        self.bar[row, step] = 0 if self.bar[row, step] else NEW_HIT
        if self.playing:
            self.play()
        self.say(f"{INSTRUMENTS[row]}, beat {1 + step // 16}, step {1 + step % 16} of 16: "
                 f"{'a hit put in' if self.bar[row, step] else 'the hit taken out'}.")
        self.log("toggle", row=row, step=step, velocity=int(self.bar[row, step]))

    def set_tempo(self, bpm):
        self.bpm, self.old = float(bpm), True
        self.player.set_bpm(self.bpm)
        self.log("tempo", bpm=self.bpm)

    def change_tempo(self, difference):
        self.set_tempo(np.clip(self.bpm + difference, SLOWEST, FASTEST))

    def set_density(self, hits):
        """Ask for a number of hits; None for as many as the model expects at the point."""
        self.density, self.undrawn = None if hits is None else int(hits), True
        self.log("density", hits=self.density)

    def change_density(self, difference):
        self.remember()
        self.set_density(None if difference is None else np.clip(self.wanted_hits() + difference, 0, DENSEST))

    def save(self):
        """Write the bar as MIDI, WAV and PNG under the next free name; what goes wrong is said in the window."""
        try:
            name = next_name(self.folder)
            midi, wav, png = (self.folder / f"{name}{suffix}" for suffix in (".mid", ".wav", ".png"))
            write_all(self.bar[None], self.bpm, self.kit, midi=midi, wav=wav, png=png)
            self.say(f"Saved {name}.mid, .wav and .png in {self.folder}")
            self.log("save", path=str(midi.with_suffix("")))
        except (OSError, ValueError) as error:
            self.say(f"Not saved: {one_line(error)}", WARNING)
            self.log("not saved", reason=one_line(error))

    def show_help(self):
        self.help.set_visible(not self.help.get_visible())
        self.canvas.draw_idle()

    def quit(self):
        self.leaving = True  # the next tick ends the program

    # Words and numbers

    def point(self):
        """Where the code is on the map, (x, y)."""
        return tuple(self.plane.from_codes(self.code).tolist())

    def wanted_hits(self):
        return np.count_nonzero(self.bar) if self.density is None else self.density

    def describe(self):
        style = self.plane.style_near(*self.point())
        hits = int(np.count_nonzero(self.bar))
        return f"{hits} hit{'s' * (hits != 1)}" + (f", near {style}" if style else "")

    def say(self, message, colour=TEXT):
        self.message, self.message_colour, self.old = message, colour, True

    def log(self, act, **details):
        """One JSON line: the time in seconds since 1970, the act, its details."""
        if self.log_file:
            print(json.dumps({"time": time.time(), "act": act, **details}, default=int), file=self.log_file, flush=True)

    # Mouse and keyboard

    def on_press(self, event):
        if event.button != 1:
            return
        if event.inaxes is self.map:
            self.dragging = True
            self.go_to(self.plane.to_code(event.xdata, event.ydata), "This point")
        elif event.inaxes is self.grid:
            self.toggle(*(int(np.clip(round(place), 0, count - 1)) for place, count in
                          ((event.ydata, len(INSTRUMENTS)), (event.xdata, STEPS_PER_BAR))))
        elif event.inaxes is self.density_slider.ax:
            self.remember()

    def on_motion(self, event):
        if not self.touched:  # open the sound card now, so that the first click is not late
            self.touched = True
            self.has_sound()
        if event.inaxes is not self.hovered:  # a button lights up under the mouse
            self.hovered, self.old = event.inaxes, True
        if self.dragging and event.inaxes is self.map:
            self.code, self.undrawn = self.plane.to_code(event.xdata, event.ydata), True

    def on_release(self, event):
        if self.dragging:
            self.dragging = False
            if self.undrawn:
                self.redraw_bar()
            self.say(f"This point: {self.describe()}.")
            self.log("release", point=self.point(), hits=np.count_nonzero(self.bar))

    def on_key(self, key):
        if key in self.KEYS:
            act, *arguments = self.KEYS[key]
            getattr(self, act)(*arguments)

    # The picture

    def lay_out(self):
        """Make every artist. What never changes is drawn once; each Part is painted over it when its look changes."""
        from matplotlib.patches import Rectangle
        from matplotlib.widgets import Button, Slider

        figure, self.parts = self.figure, []
        figure.set_facecolor(GROUND)

        def words(x, y, text="", colour=TEXT, size=10.5, **style):
            return figure.text(x, y, text, color=colour, fontsize=size, va="center", **style)

        def changing_words(x, y, box, look, **style):
            place = words(x, y, **style)
            self.parts.append(Part(box, [place], look, lambda text, colour=TEXT: place.set(text=text, color=colour)))

        def slider(y, label, low, high, act, look):
            slider = Slider(figure.add_axes((0.515, y, 0.34, 0.04)), label, low, high, valstep=1, color=ACCENT,
                            track_color=BEAT, initcolor="none",
                            handle_style={"facecolor": TEXT, "edgecolor": GROUND, "size": 14})
            slider.drawon = False  # `paint` draws it
            slider.on_changed(act)
            slider.label.set(color=TEXT, fontsize=10.5)
            slider.valtext.set(color=TEXT, fontsize=10.5)

            def change(value, text):
                slider.eventson = False
                slider.set_val(np.clip(value, low, high))
                slider.eventson = True
                slider.valtext.set_text(text)

            self.parts.append(Part((0.45, y, 0.47, 0.04), [slider.ax], look, change))
            return slider

        def button(box, act, look):
            button = Button(figure.add_axes(box), "", useblit=False)
            button.drawon = False
            button.label.set_fontsize(10.5)
            button.ax.spines[:].set_visible(False)
            button.on_clicked(lambda event: act())

            def change(label, lit, hovered):
                button.label.set(text=label, color=GROUND if lit else TEXT)
                button.color = button.hovercolor = (ACCENT, "#ffc878", BEAT, LINE)[2 * (not lit) + hovered]
                button.ax.set_facecolor(button.color)

            self.parts.append(Part(box, [button.ax], lambda: (*look(), self.hovered is button.ax), change))

        words(0.03, 0.945, "Drum map", size=17, fontweight="bold")
        if len(self.plane.points):
            words(0.425, 0.942, "each dot is a bar that a drummer played", QUIET, 9.5, ha="right")
        self.map = figure.add_axes(MAP)
        drum_map.draw_map(self.map, self.plane)
        cross = [self.map.axvline(color=TEXT, lw=0.8, alpha=0.25), self.map.axhline(color=TEXT, lw=0.8, alpha=0.25)]
        rings = [self.map.plot(0, 0, "o", ms=size, mfc=face, mec=edge, mew=width)[0] for size, face, edge, width in
                 ((15, "none", GROUND, 5), (15, "none", "white", 2.2), (5, ACCENT, GROUND, 1))]

        def move(x, y):
            cross[0].set_xdata([x, x])
            cross[1].set_ydata([y, y])
            for ring in rings:
                ring.set_data([x], [y])

        self.parts.append(Part(MAP, [*cross, *rings], self.point, move))
        self.grid = figure.add_axes(GRID)
        cells, lines = drum_map.draw_bar(self.grid, self.bar)
        self.bar_part = Part(GRID, [cells, lines], lambda: (self.bar.tobytes(),),
                             lambda *_: cells.set_array(drum_map.bar_pixels(self.bar)))
        self.parts.append(self.bar_part)
        self.playhead = self.grid.add_patch(Rectangle((0, -0.5), 1, len(INSTRUMENTS), color="white", alpha=0.3, lw=0))

        changing_words(0.515, 0.945, (0.51, 0.91, 0.29, 0.06), size=13, fontweight="bold",
                       look=lambda: (self.describe().replace(", ", "  \N{MIDDLE DOT}  "),))
        changing_words(0.975, 0.942, (0.8, 0.91, 0.2, 0.06), size=9.5, ha="right",
                       look=lambda: ("point {:.2f} {:.2f}, seed {}".format(*self.point(), self.seed), QUIET))
        changing_words(0.458, 0.082, (0.45, 0.062, 0.55, 0.04),
                       look=lambda: (shortened(self.message), self.message_colour))
        changing_words(0.458, 0.04, (0.45, 0.02, 0.55, 0.04), size=9.5,
                       look=lambda: (f"{shortened(self.silence.capitalize(), 60)}. Bars still show, and save as WAV.",
                                     WARNING) if self.silence else (HINT, QUIET))
        self.tempo_slider = slider(0.335, "Tempo", SLOWEST, FASTEST, self.set_tempo,
                                   lambda: (self.bpm, f"{self.bpm:g} bpm"))
        self.density_slider = slider(0.262, "Density", 0, DENSEST, self.set_density,
                                     lambda: (self.wanted_hits(), f"{self.wanted_hits()} hits"))
        button((0.925, 0.259, 0.05, 0.046), lambda: self.change_density(None), lambda: ("Auto", self.density is None))
        button((0.515, 0.145, 0.12, 0.07), self.play_or_stop,
               lambda: ("Stop" if self.playing else "Play", self.playing))
        for left, label, act in ((0.645, "Random", self.random), (0.73, "Back", self.back), (0.815, "Save", self.save),
                                 (0.9, "Keys", self.show_help)):
            button((left, 0.145, 0.075, 0.07), act, lambda label=label: (label, False))
        self.help = words(0.5, 0.5, HELP, size=11, family="monospace", ha="center", multialignment="left",
                          visible=False, linespacing=1.7,
                          bbox=dict(boxstyle="round,pad=1.6", facecolor=BEAT, edgecolor=QUIET))
        for artist in (self.playhead, self.help, *(artist for part in self.parts for artist in part.artists)):
            artist.set_animated(True)

    def on_draw(self, event):
        """After a full draw (the first one, a new size, the help): keep what never changes, paint the rest over it."""
        if not self.shown:
            self.shown = True
            self.log("ready")
        for part in self.parts:
            part.under = self.canvas.copy_from_bbox(part.box_in(self.figure))
            part.shown = None
        self.paint()

    def paint(self):
        """Paint the parts whose look has changed."""
        self.old = False
        for part in self.parts:
            if part.paint(self.canvas) and part is self.bar_part:
                self.bar_alone = self.canvas.copy_from_bbox(part.box_in(self.figure))
        self.paint_playhead()
        if self.help.get_visible():
            self.figure.draw_artist(self.help)

    def paint_playhead(self):
        """Paint the bar with the playhead where the sound is."""
        self.canvas.restore_region(self.bar_alone)
        self.shown_step = self.player.position() if self.playing else None
        if self.shown_step is not None:
            self.playhead.set_x(self.shown_step[1] - 0.5)
            self.figure.draw_artist(self.playhead)

    def tick(self):
        """What the timer calls for each frame."""
        if self.leaving:
            return self.leave()
        if self.undrawn:
            self.redraw_bar()
        if not self.shown:
            return
        if self.old:
            self.paint()
            self.canvas.blit(self.figure.bbox)
        elif self.playing and not self.help.get_visible() and self.player.position() != self.shown_step:
            self.paint_playhead()
            self.canvas.blit(self.bar_part.box_in(self.figure))


def write_all(bars, bpm, kit, npy=None, midi=None, wav=None, png=None):
    """Write bars (bars, 8, 64) to every path that is given, all or none; return those paths.

    The sound is a loop: its length is exact, and its last tails wrap to its start. kit: of `sequencer.load_kit`.
    """
    from audio2nsgt import save_audio

    writers = ((npy, lambda path: np.save(path, bars)), (midi, lambda path: write_midi(bars, path, bpm)),
               (wav, lambda path: save_audio(path, sequencer.render(bars, kit, bpm), sequencer.SAMPLE_RATE)),
               (png, lambda path: write_picture(bars, f"{bpm:g} bpm", path)))
    with contextlib.ExitStack() as stack:  # every file under a temporary name first: an error leaves all as it was
        for path, write in writers:
            if path:
                write(stack.enter_context(replacing(path)))
    return [path for path, _ in writers if path]


def shortened(text, most=100):
    """A text that fits the status line: its end is kept, a file's name is there."""
    return text if len(text) <= most else f"{text[:most // 3]} ... {text[5 + most // 3 - most:]}"


def next_name(folder):
    """The first of pattern_001, pattern_002, ... that no file in the folder bears."""
    taken = {path.stem for path in folder.glob("pattern_*")} if folder.is_dir() else set()
    return next(name for i in itertools.count(1) if (name := f"pattern_{i:03d}") not in taken)
