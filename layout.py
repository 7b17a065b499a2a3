"""How the window looks: every artist of it, made once and painted anew where its look changes.

    picture = Picture(window)       # a Window: its state says how everything looks, its acts are what the buttons do
    picture.paint()                 # what has changed since
    picture.paint_playhead()
"""

import numpy as np

import drum_map
from bar_tools import DENSEST, FASTEST, HOTTEST, MOST_BARS, SLOWEST
from drum_map import ACCENT, BEAT, GROUND, LINE, QUIET, TEXT, WARNING
from Midi_To_Activation_Matrix import INSTRUMENTS, STEPS_PER_BAR

# Boxes: left, bottom, width, height, in fractions of the figure.
MAP, GRID = (0.03, 0.165, 0.395, 0.735), (0.508, 0.475, 0.405, 0.375)
NAMES, COUNTS = (0.445, 0.475, 0.06, 0.375), (0.917, 0.475, 0.058, 0.375)
HINT = "Drag on the map to morph; click a cell to change it, a name to keep its row, a style to ask for it."
HELP = """\
click, drag      on the map: hear that point, morph
click            on the bar: put a hit in, take it out
click            on an instrument: keep its row, redraw the others around it
click - 4 +      beside a row: its hits; on the number: free again
click            on a style, or y: ask for it
space            play, stop
r, t             a random point; another take at this point
b, backspace     back to the bar before
p                a path: p, go to its end, p again (8 bars), or 2 to 9 (so many)
n, N             hear the nearest bar that a drummer played; the next nearest
m                hear what the model makes of your bar
o                open a bar of yours, MIDI or .npy, and see where it lands
v                velocities as a drummer would strike these hits
right, left      one hit more, one fewer;  a  as many as the model draws
< >              temperature: tamer, wilder
up, down, + -    tempo, by 5 or by 1 bpm
s                save MIDI, WAV and PNG
h, q             show or hide this; quit"""


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


class Picture:
    """The map on the left, the bar on the right, and the controls below. What never changes is drawn once; the rest is
    made of Parts.

    Attributes:
        map, grid, names, counts, strip: the axes that the mouse acts in.
    """

    def __init__(self, window):
        self.window, self.figure, self.canvas, self.parts = window, window.figure, window.figure.canvas, []
        self.shown = False  # for the first time
        self.shown_step = None  # where the playhead is painted
        self.shown_style = window.wishes["style"]
        self.figure.set_facecolor(GROUND)
        self.words(0.03, 0.945, "Drum map", size=17, fontweight="bold")
        self.make_map()
        self.make_legend()
        self.make_bar()
        self.make_rows()
        self.make_controls()
        self.help = self.words(0.5, 0.5, HELP, size=11, family="monospace", ha="center", multialignment="left",
                               visible=False, linespacing=1.6,
                               bbox=dict(boxstyle="round,pad=1.6", facecolor=BEAT, edgecolor=QUIET))
        for artist in (self.playhead, self.help, *(artist for part in self.parts for artist in part.artists)):
            artist.set_animated(True)

    # What a picture is made of

    def words(self, x, y, text="", colour=TEXT, size=10.5, **style):
        return self.figure.text(x, y, text, color=colour, fontsize=size, va="center", **style)

    def changing_words(self, x, y, box, look, **style):
        place = self.words(x, y, **style)
        self.parts.append(Part(box, [place], look, lambda text, colour=TEXT: place.set(text=text, color=colour)))

    def slider(self, y, label, low, high, step, act, look):
        """look gives (value, its text)."""
        from matplotlib.widgets import Slider

        slider = Slider(self.figure.add_axes((0.53, y, 0.315, 0.04)), label, low, high, valstep=step, color=ACCENT,
                        track_color=BEAT, initcolor="none",
                        handle_style={"facecolor": TEXT, "edgecolor": GROUND, "size": 13})
        slider.drawon = False  # `paint` draws it
        slider.on_changed(act)
        slider.label.set(color=TEXT, fontsize=10.5)
        slider.valtext.set(color=TEXT, fontsize=10.5)

        def change(value, text):
            slider.eventson = False
            slider.set_val(np.clip(value, low, high))
            slider.eventson = True
            slider.valtext.set_text(text)

        self.parts.append(Part((0.445, y, 0.468, 0.04), [slider.ax], look, change))
        return slider

    def button(self, box, act, look, dot=None):
        """look gives (label, is it lit); dot: a function that gives the colour of a dot before the label, or none."""
        from matplotlib.widgets import Button

        button = Button(self.figure.add_axes(box), "", useblit=False)
        button.drawon = False
        button.label.set_fontsize(10 if dot is None else 9.5)
        button.ax.spines[:].set_visible(False)
        button.on_clicked(lambda event: act())
        spot = None
        if dot:
            button.label.set(x=0.24, ha="left")
            spot = button.ax.plot(0.13, 0.5, "o", markersize=7, markeredgewidth=0, transform=button.ax.transAxes)[0]

        def change(label, lit, hovered, colour=None):
            plain, plain_hovered, plain_lit = (BEAT, LINE, ACCENT) if dot is None else (GROUND, BEAT, LINE)
            button.label.set(text=label, color=GROUND if lit and dot is None else TEXT)
            button.color = button.hovercolor = plain_lit if lit else plain_hovered if hovered else plain
            button.ax.set_facecolor(button.color)
            if spot:
                spot.set(color=colour or GROUND, visible=colour is not None)

        def whole_look():
            return *look(), self.window.hovered is button.ax, *([dot()] if dot else [])

        self.parts.append(Part(box, [button.ax], whole_look, change))

    # The map

    def make_map(self):
        window, plane = self.window, self.window.plane
        self.map = self.figure.add_axes(MAP)
        self.ground_image, self.emphasise = drum_map.draw_map(self.map, plane, window.ground)
        if len(plane.points):
            self.words(0.425, 0.955, "each dot is a bar that a drummer played", QUIET, 9.5, ha="right")
            self.make_scale()
        lines = [self.map.axvline(color=TEXT, lw=0.8, alpha=0.25), self.map.axhline(color=TEXT, lw=0.8, alpha=0.25)]
        way = self.map.plot([], [], "o-", color=ACCENT, lw=1.5, ms=5, mec=GROUND, mew=0.8)[0]
        near = self.map.plot([], [], "o", ms=9, mfc="none", mec="white", mew=1.4)[0]
        rings = [self.map.plot([], [], "o", ms=size, mfc=face, mec=edge, mew=width)[0] for size, face, edge, width in
                 ((15, "none", GROUND, 5), (15, "none", "white", 2.2), (5, ACCENT, GROUND, 1))]

        def move(point, path, neighbours):
            lines[0].set_xdata([point[0]] * 2)
            lines[1].set_ydata([point[1]] * 2)
            way.set_data(*np.array(path or np.zeros((0, 2))).T)
            near.set_data(*np.array(neighbours or np.zeros((0, 2))).T)
            for ring in rings:
                ring.set_data([point[0]], [point[1]])

        self.parts.append(Part(MAP, [*lines, way, near, *rings],
                               lambda: (window.point(), window.path_points(), window.neighbour_points()), move))

    def make_scale(self):
        """What the ground's shades mean."""
        axes = self.figure.add_axes((0.335, 0.914, 0.045, 0.012))
        axes.set_axis_off()
        axes.imshow(np.linspace(_rgb(drum_map.FEW_HITS), _rgb(drum_map.MANY_HITS), 50)[None], aspect="auto")
        low, high = (self.words(x, 0.919, "", QUIET, 9.5, ha="right") for x in (0.331, 0.425))

        def change(ends):
            axes.set_visible(ends is not None)
            low.set_text("" if ends is None else f"the ground: bars of {ends[0]:.0f}")
            high.set_text("" if ends is None else f"{ends[1]:.0f} hits")

        self.parts.append(Part((0.15, 0.902, 0.285, 0.034), [axes, low, high],
                               lambda: (self.window.ground.range(),), change))

    def make_legend(self):
        """The styles under the map: what the colours mean, and what one asks for."""
        window, groups = self.window, drum_map.style_groups(self.window.plane)
        if not groups:
            return
        others = [name for name in window.plane.names if name not in [name for _, name, _ in groups]]

        def entry(place, act, look, dot):
            row, column = divmod(place, 5)
            self.button((0.03 + 0.0795 * column, 0.105 - 0.05 * row, 0.077, 0.042), act, look, dot)

        entry(0, lambda: window.ask_for_style(None), lambda: ("any style", window.style_name() is None), lambda: None)
        for place, (_, name, colour) in enumerate(groups, start=1):
            entry(place, lambda name=name: window.ask_for_style(name),
                  lambda name=name: (_cut(name, 11), window.style_name() == name), lambda colour=colour: colour)
        if others:
            entry(len(groups) + 1, lambda: window.step_style(1, others),
                  lambda: (_cut(window.style_name(), 11), True) if window.style_name() in others else ("others", False),
                  lambda: drum_map.OTHER_STYLES)

    # The bar

    def make_bar(self):
        from matplotlib.patches import Rectangle

        window = self.window
        self.grid = self.figure.add_axes(GRID)
        cells, lines = drum_map.draw_bar(self.grid, window.bar)
        self.bar_part = Part(GRID, [cells, lines], lambda: (window.bar.tobytes(),),
                             lambda *_: cells.set_array(drum_map.bar_pixels(window.bar)))
        self.parts.append(self.bar_part)
        self.playhead = self.grid.add_patch(Rectangle((0, -0.5), 1, len(INSTRUMENTS), color="white", alpha=0.3, lw=0))
        self.changing_words(0.508, 0.945, (0.503, 0.925, 0.297, 0.045), size=13, fontweight="bold",
                            look=lambda: (window.describe().replace(", ", "  \N{MIDDLE DOT}  "),))
        self.changing_words(0.975, 0.945, (0.8, 0.925, 0.2, 0.045), size=9.5, ha="right",
                            look=lambda: ("point {:.2f} {:.2f}, seed {}".format(*window.point(), window.seed), QUIET))
        self.changing_words(0.508, 0.907, (0.503, 0.892, 0.25, 0.031), size=9.5,
                            look=lambda: (window.novelty_in_words(), ACCENT if window.heard else QUIET))
        self.strip = self.figure.add_axes((0.755, 0.893, 0.22, 0.028))
        self.strip.set_axis_off()
        self.strip.set(xlim=(0, 1), ylim=(0, 1))

        def change(count, index):
            while self.strip.texts:
                self.strip.texts[0].remove()
            for i in range(count):
                self.strip.text((i + 0.5) / count, 0.45, str(i + 1), ha="center", va="center", fontsize=9.5,
                                color=GROUND if i == index else QUIET,
                                bbox=dict(boxstyle="round,pad=0.25", lw=0, fc=ACCENT if i == index else GROUND))

        def look():
            count = len(window.bars)
            return (0, 0) if not 1 < count <= MOST_BARS else (count, window.index)

        self.parts.append(Part((0.755, 0.892, 0.222, 0.031), [self.strip], look, change))

    def make_rows(self):
        """Left of the bar its rows' names, with a lock; right of it how many hits each has, to be asked for."""
        window = self.window
        self.names, self.counts = self.figure.add_axes(NAMES), self.figure.add_axes(COUNTS)
        for axes in (self.names, self.counts):
            axes.set(xlim=(0, 1), ylim=(len(INSTRUMENTS) - 0.5, -0.5))
            axes.set_axis_off()
        self.words(0.946, 0.866, "hits", QUIET, 9.5, ha="center")
        rows = range(len(INSTRUMENTS))
        locks = [self.names.plot(0.1, row, marker=_padlock(), markersize=10, markeredgewidth=0)[0] for row in rows]
        names = [self.names.text(0.93, row, name, ha="right", va="center", fontsize=10)
                 for row, name in enumerate(INSTRUMENTS)]

        def show_locks(kept):
            for row in rows:
                names[row].set_color(ACCENT if row in kept else TEXT)
                locks[row].set_color(ACCENT if row in kept else LINE)

        self.parts.append(Part(NAMES, [self.names], lambda: (window.locks,), show_locks))
        signs = [[self.counts.text(x, row, sign, ha="center", va="center", fontsize=11, color=QUIET)
                  for x, sign in ((0.1, "\N{MINUS SIGN}"), (0.9, "+"))] for row in rows]
        numbers = [self.counts.text(0.5, row, "", ha="center", va="center", fontsize=10) for row in rows]

        def show_counts(counts, asked):
            for row in rows:
                numbers[row].set(text=str(counts[row]), color=ACCENT if row in asked else TEXT if counts[row] else LINE,
                                 fontweight="bold" if row in asked else "normal")
                for sign in signs[row]:
                    sign.set_color(QUIET if row not in window.locks else GROUND)

        self.parts.append(Part(COUNTS, [self.counts], lambda: (tuple(np.count_nonzero(window.bar, axis=1)),
                                                               frozenset(window.wishes["row_hits"])),
                               lambda counts, asked: show_counts(counts, asked)))

    # The controls

    def make_controls(self):
        window = self.window
        self.tempo_slider = self.slider(0.385, "Tempo", SLOWEST, FASTEST, 1, window.set_tempo,
                                        lambda: (window.bpm, f"{window.bpm:g} bpm"))
        self.density_slider = self.slider(0.325, "Density", 0, DENSEST, 1, window.set_density,
                                          lambda: (window.wanted_hits(), f"{window.wanted_hits()} hits"))
        self.temperature_slider = self.slider(
            0.265, "Temperature", 0, HOTTEST, 0.05, window.set_temperature,
            lambda: (window.wishes["temperature"], f"{window.wishes['temperature']:.2f}"))
        self.button((0.925, 0.323, 0.05, 0.044), lambda: window.change_density(None),
                    lambda: ("Auto", window.density is None))
        self.button((0.508, 0.1, 0.09, 0.125), window.play_or_stop,
                    lambda: ("Stop" if window.playing else "Play", window.playing))
        lit_path = lambda: ("To here" if window.path_start is not None else "Path", window.path_start is not None)
        labels = ((("Random", window.random), ("Take", window.take), ("Path", window.path, lit_path),
                   ("Nearest", window.hear_nearest, lambda: ("Nearest", window.heard == "nearest")),
                   ("Model", window.hear_model, lambda: ("Model", window.heard == "model"))),
                  (("Open", window.open), ("Humanise", window.humanise), ("Back", window.back), ("Save", window.save),
                   ("Keys", window.show_help)))
        for row, entries in enumerate(labels):
            for column, (label, act, *look) in enumerate(entries):
                self.button((0.6055 + 0.075 * column, 0.167 - 0.067 * row, 0.0695, 0.058), act,
                            look[0] if look else lambda label=label: (label, False))
        self.changing_words(0.508, 0.064, (0.503, 0.047, 0.497, 0.035),
                            look=lambda: (shortened(window.message, 84), window.message_colour))
        self.changing_words(0.508, 0.028, (0.503, 0.012, 0.497, 0.033), size=9.5,
                            look=lambda: (f"{shortened(window.silence.capitalize(), 60)}. Bars still show, and save as "
                                          "WAV.", WARNING) if window.silence else (HINT, QUIET))

    # Painting

    def on_draw(self, event):
        """After a full draw (the first one, a new size, the help): keep what never changes, paint the rest over it."""
        self.shown = True
        for part in self.parts:
            part.under = self.canvas.copy_from_bbox(part.box_in(self.figure))
            part.shown = None
        self.paint()

    def paint(self):
        """Paint the parts whose look has changed."""
        for part in self.parts:
            if part.paint(self.canvas) and part is self.bar_part:
                self.bar_alone = self.canvas.copy_from_bbox(part.box_in(self.figure))
        self.paint_playhead()
        if self.help.get_visible():
            self.figure.draw_artist(self.help)

    def paint_playhead(self):
        """Paint the bar with the playhead where the sound is."""
        self.canvas.restore_region(self.bar_alone)
        self.shown_step = self.window.player.position() if self.window.playing else None
        if self.shown_step is not None:
            self.playhead.set_x(self.shown_step[1] - 0.5)
            self.figure.draw_artist(self.playhead)

    def blit(self):
        self.canvas.blit(self.figure.bbox)

    def go_on_with_ground(self):
        """Draw some more of the map's ground, anew for another style; the whole figure once it is complete."""
        window, style = self.window, self.window.wishes["style"]
        if style != self.shown_style:
            self.shown_style = style
            window.ground.start()
            name = window.style_name()
            self.emphasise(window.plane.names.index(name) if name in window.plane.names else None)
            self.ground_image.set_data(window.ground.pixels())
            self.canvas.draw_idle()
        elif len(window.ground.left) and window.ground.go_on(window.model, style):
            self.ground_image.set_data(window.ground.pixels())
            self.canvas.draw_idle()

    def show_playhead(self):
        """Move the playhead on the screen, where that is all that changes."""
        if not self.help.get_visible() and self.window.player.position() != self.shown_step:
            self.paint_playhead()
            self.canvas.blit(self.bar_part.box_in(self.figure))


def shortened(text, most=100):
    """A text that fits the status line: its end is kept, a file's name is there."""
    return text if len(text) <= most else f"{text[:most // 3]} ... {text[5 + most // 3 - most:]}"


def _cut(text, most):
    return text if len(text) <= most else f"{text[:most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _rgb(colour):
    from matplotlib.colors import to_rgb

    return np.array(to_rgb(colour))


def _padlock():
    """A marker: a closed padlock."""
    from matplotlib.path import Path

    angles = np.linspace(0, np.pi, 12)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    shackle = np.concatenate([0.4 * arc, 0.22 * arc[::-1], 0.4 * arc[:1]]) + (0, 0.05)
    body = np.array([(-0.55, -0.75), (0.55, -0.75), (0.55, 0.1), (-0.55, 0.1), (-0.55, -0.75)])
    return Path.make_compound_path(Path(body, closed=True), Path(shackle, closed=True))
