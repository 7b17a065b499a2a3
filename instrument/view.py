"""How the window looks: every artist of it, made once and painted anew where its look changes.

    picture = Picture(window)       # a Window: its state says how everything looks, its acts are what the buttons do
    picture.paint()                 # what has changed since
    picture.paint_playhead()
"""

import time

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.widgets import Slider

from formats.activation_matrix import INSTRUMENTS
from instrument import widgets
from instrument.editor import DENSEST, FASTEST, HOTTEST, MOST_BARS, SLOWEST
from instrument.widgets import (ACCENT, BEAT, GROUND, LINE, QUIET, TEXT, WARNING, Part, ClickArea, cut_short,
                                padlock_marker, rgb, shortened)

# Boxes: left, bottom, width, height, in fractions of the figure.
MAP, GRID = (0.03, 0.165, 0.395, 0.735), (0.508, 0.475, 0.405, 0.375)
STRIP = (0.755, 0.892, 0.222, 0.031)
GROUND_SECONDS = 0.02  # a frame, about, for the ground of the map
HINT = "Drag the map to morph; click a cell to change it, a name to keep its row, a style to ask for it."
HELP = """\
click, drag      on the map: hear that point, morph
click            on the bar: put a hit in, take it out
click            on an instrument: keep its row, redraw the others around it
click - 4 +      beside a row: its hits; on the number: free again
click            on a style, or y: ask for it
space            play, stop
r, t             a random point; another take at this point
b, backspace     back to the bar before
p                a path: p, go to its end, p again (8 bars) or 2 to 9 (so many)
n, N             hear the nearest bar that a drummer played; the next nearest
m                hear what the model makes of your bar
o                open a bar of yours, MIDI or .npy, and see where it lands
v                velocities as a drummer would strike these hits
right, left      one hit more, one fewer;  a  as many as the model draws
< >              temperature: tamer, wilder
up, down, + -    tempo, by 5 or by 1 bpm
s                save MIDI, WAV and PNG
h, q             show or hide this; quit"""


class Picture:
    """The map on the left, the bar on the right, and the controls below. What never changes is drawn once; the rest is
    made of Parts.

    Attributes:
        map, grid: the axes of the map and of the bar. zones: the other places that the mouse acts in, by their names.
    """

    def __init__(self, window):
        self.window, self.figure, self.canvas, self.parts = window, window.figure, window.figure.canvas, []
        self.zones = {}
        self.shown = False  # for the first time
        self.ground_batch = 16  # cells of the map's ground that are drawn in a frame
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

    def changing_words(self, x, y, box, look, patient=False, **style):
        place = self.words(x, y, **style)
        self.parts.append(Part(box, [place], look, lambda text, colour=TEXT: place.set(text=text, color=colour),
                               patient))

    def slider(self, y, label, low, high, step, act, look):
        """look gives (value, its text)."""
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

    def button(self, name, box, act, look, dot=None):
        """look gives (label, is it lit); dot: the colour of a dot before the label, "" to leave its place free."""
        left, bottom, width, height = box
        face = self.figure.add_artist(Rectangle((left, bottom), width, height, lw=0))
        place, size = ((left + width / 2, 10) if dot is None else (left + 0.019, 9.5))
        label = self.words(place, bottom + 0.48 * height, size=size, ha="center" if dot is None else "left")
        artists = [face, label]
        if dot:
            artists.append(self.figure.add_artist(Line2D([left + 0.01], [bottom + height / 2], marker="o", color=dot,
                                                         markersize=7, markeredgewidth=0)))
        plain, lit_face, lit_text = (BEAT, ACCENT, GROUND) if dot is None else (GROUND, LINE, TEXT)

        def change(text, lit, hovered):
            label.set(text=text, color=lit_text if lit else TEXT)
            face.set_facecolor(lit_face if lit else LINE if hovered else plain)

        zone = self.zone(name, box, lambda x, y: act())
        self.parts.append(Part(box, artists, lambda: (*look(), self.window.hovered is zone), change))

    def zone(self, name, box, act):
        """A place that does act(x, y) when it is clicked at these fractions of its box, counted from the lower left."""
        self.zones[name] = ClickArea(name, box, act)
        return self.zones[name]

    def zone_at(self, x, y):
        """The ClickArea at a pixel of the figure, and where in it, or (None, None)."""
        x, y = x / self.figure.bbox.width, y / self.figure.bbox.height
        for zone in self.zones.values():
            left, bottom, width, height = zone.box
            if 0 <= x - left < width and 0 <= y - bottom < height:
                return zone, ((x - left) / width, (y - bottom) / height)
        return None, None

    # The map

    def make_map(self):
        window, plane = self.window, self.window.plane
        self.map = self.figure.add_axes(MAP)
        self.ground_image, self.emphasise = widgets.draw_map(self.map, plane, window.ground)
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
        axes.imshow(np.linspace(rgb(widgets.FEW_HITS), rgb(widgets.MANY_HITS), 50)[None], aspect="auto")
        low, high = (self.words(x, 0.919, "", QUIET, 9.5, ha="right") for x in (0.331, 0.425))

        def change(ends):
            axes.set_visible(ends is not None)
            low.set_text("" if ends is None else f"the ground: bars of {ends[0]:.0f}")
            high.set_text("" if ends is None else f"{ends[1]:.0f} hits")

        self.parts.append(Part((0.15, 0.902, 0.285, 0.034), [axes, low, high],
                               lambda: (self.window.ground.range(),), change))

    def make_legend(self):
        """The styles under the map: what the colours mean, and what one asks for."""
        window, groups = self.window, widgets.style_groups(self.window.plane)
        if not groups:
            return
        others = [name for name in window.plane.names if name not in [name for _, name, _ in groups]]

        def entry(place, name, act, look, dot):
            row, column = divmod(place, 5)
            self.button(name, (0.03 + 0.0795 * column, 0.105 - 0.05 * row, 0.077, 0.042), act, look, dot)

        entry(0, "any style", lambda: window.ask_for_style(None),
              lambda: ("any style", window.style_name() is None), "")
        for place, (_, name, colour) in enumerate(groups, start=1):
            entry(place, name, lambda name=name: window.ask_for_style(name),
                  lambda name=name: (cut_short(name, 11), window.style_name() == name), colour)
        if others:
            entry(len(groups) + 1, "others", lambda: window.step_style(1, others),
                  lambda: (cut_short(window.style_name(), 11), True) if window.style_name() in others else ("others", False),
                  widgets.OTHER_STYLES)

    # The bar

    def make_bar(self):
        window = self.window
        self.grid = self.figure.add_axes(GRID)
        cells, lines = widgets.draw_bar(self.grid, window.bar)
        self.bar_part = Part(GRID, [cells, lines], lambda: (window.bar.tobytes(),),
                             lambda *_: cells.set_array(widgets.bar_pixels(window.bar)))
        self.parts.append(self.bar_part)
        self.playhead = self.grid.add_patch(Rectangle((0, -0.5), 1, len(INSTRUMENTS), color="white", alpha=0.3, lw=0))
        self.changing_words(0.508, 0.945, (0.503, 0.925, 0.297, 0.045), size=13, fontweight="bold",
                            look=lambda: (window.describe().replace(", ", "  \N{MIDDLE DOT}  "),))
        self.changing_words(0.975, 0.945, (0.8, 0.925, 0.2, 0.045), size=9.5, ha="right", patient=True,
                            look=lambda: ("point {:.2f} {:.2f}, seed {}".format(*window.point(), window.seed), QUIET))
        self.changing_words(0.508, 0.907, (0.503, 0.892, 0.25, 0.031), size=9.5, patient=True,
                            look=lambda: (window.novelty_in_words(), ACCENT if window.heard else QUIET))
        left, bottom, width, height = STRIP
        numbers = [self.words(0, bottom + height / 2, str(i + 1), size=9.5, ha="center") for i in range(MOST_BARS)]

        def change(count, index):
            for i, number in enumerate(numbers):
                number.set(visible=i < count, x=left + width * (i + 0.5) / max(count, 1),
                           color=GROUND if i == index else QUIET,
                           bbox=dict(boxstyle="round,pad=0.2", lw=0, fc=ACCENT if i == index else GROUND))

        def look():
            return (0, 0) if len(window.bars) < 2 else (len(window.bars), window.index)

        self.parts.append(Part(STRIP, numbers, look, change))
        self.zone("strip", STRIP, lambda x, y: len(window.bars) > 1 and window.choose_bar(int(x * len(window.bars))))

    def make_rows(self):
        """Left of the bar its rows' names, with a lock; right of it how many hits each has, to be asked for."""
        window, padlock = self.window, padlock_marker()
        self.words(0.946, 0.866, "hits", QUIET, 9.5, ha="center")
        for row, name in enumerate(INSTRUMENTS):
            height = GRID[3] / len(INSTRUMENTS)
            bottom = GRID[1] + GRID[3] - (row + 1) * height
            middle = bottom + height / 2
            lock = self.figure.add_artist(Line2D([0.452], [middle], marker=padlock, markersize=10, markeredgewidth=0))
            label = self.words(0.5, middle, name, size=10, ha="right")
            number = self.words(0.946, middle, size=10, ha="center")
            for x, sign in ((0.924, "\N{MINUS SIGN}"), (0.968, "+")):
                self.words(x, middle, sign, QUIET, 11, ha="center")

            def show_lock(kept, hovered, lock=lock, label=label):
                lock.set_color(ACCENT if kept else QUIET if hovered else LINE)
                label.set_color(ACCENT if kept else TEXT)

            def show_hits(hits, asked, number=number):
                number.set(text=str(hits), color=ACCENT if asked else TEXT if hits else LINE,
                           fontweight="bold" if asked else "normal")

            zone = self.zone(name, (0.442, bottom, 0.062, height), lambda x, y, row=row: window.lock(row))
            self.parts.append(Part(zone.box, [lock, label], lambda row=row, zone=zone: (
                row in window.locks, window.hovered is zone), show_lock))
            self.zone(f"{name} hits", (0.917, bottom, 0.058, height), lambda x, y, row=row: window.change_row(
                row, -1 if x < 0.3 else 1 if x > 0.7 else None))
            self.parts.append(Part((0.934, bottom, 0.024, height), [number], lambda row=row: (
                np.count_nonzero(window.bar[row]), row in window.wishes["row_hits"]), show_hits))

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
        self.button("Auto", (0.925, 0.323, 0.05, 0.044), lambda: window.change_density(None),
                    lambda: ("Auto", window.density is None))
        self.button("Play", (0.508, 0.1, 0.09, 0.125), window.play_or_stop,
                    lambda: ("Stop" if window.playing else "Play", window.playing))
        lit_path = lambda: ("To here" if window.path_start is not None else "Path", window.path_start is not None)
        labels = ((("Random", window.random), ("Take", window.take), ("Path", window.path, lit_path),
                   ("Nearest", window.hear_nearest, lambda: ("Nearest", window.heard == "nearest")),
                   ("Model", window.hear_model, lambda: ("Model", window.heard == "model"))),
                  (("Open", window.open), ("Humanise", window.humanise), ("Back", window.back), ("Save", window.save),
                   ("Keys", window.show_help)))
        for row, entries in enumerate(labels):
            for column, (label, act, *look) in enumerate(entries):
                self.button(label, (0.6055 + 0.075 * column, 0.167 - 0.067 * row, 0.0695, 0.058), act,
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
        self.paint_parts()
        if self.help.get_visible():
            self.figure.draw_artist(self.help)

    def paint(self):
        """Paint what has changed. Not over the help, which is translucent and would show twice: then paint it all."""
        if self.help.get_visible():
            self.canvas.draw()
        else:
            self.paint_parts()

    def paint_parts(self):
        """Paint the parts whose look has changed, and the playhead."""
        for part in self.parts:
            if part.patient and self.window.dragging and part.shown:
                continue
            if part.paint(self.canvas) and part is self.bar_part:
                self.bar_alone = self.canvas.copy_from_bbox(part.box_in(self.figure))
        self.paint_playhead()

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
        """Draw some more of the map's ground, anew for another style; the whole figure once it is complete.

        As much at a time as keeps the window quick, on a slow machine too.
        """
        window, style = self.window, self.window.wishes["style"]
        if style != self.shown_style:
            self.shown_style = style
            window.ground.reset()
            name = window.style_name()
            self.emphasise(window.plane.names.index(name) if name in window.plane.names else None)
            self.ground_image.set_data(widgets.ground_pixels(window.ground))
            self.canvas.draw_idle()
        elif len(window.ground.left):
            started = time.perf_counter()
            complete = window.ground.compute_next(window.model, style, count=self.ground_batch)
            late = time.perf_counter() - started > GROUND_SECONDS
            self.ground_batch = max(8, self.ground_batch // 2) if late else self.ground_batch + 4
            if complete:
                self.ground_image.set_data(widgets.ground_pixels(window.ground))
                self.canvas.draw_idle()

    def show_playhead(self):
        """Move the playhead on the screen, where that is all that changes."""
        if not self.help.get_visible() and self.window.player.position() != self.shown_step:
            self.paint_playhead()
            self.canvas.blit(self.bar_part.box_in(self.figure))
