"""How the window looks: it reads the editor's state, and paints anew what has changed.

    view = View(editor, figure)     # its buttons and sliders are the editor's commands
    figure.canvas.draw(); view.capture()
    editor.random(); view.paint(); view.blit()
"""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from formats.activation_matrix import INSTRUMENTS
from instrument import widgets
from instrument.editor import DENSEST, FASTEST, HOTTEST, MOST_BARS, SLOWEST
from instrument.widgets import (ACCENT, BACKGROUND, BEAT, LINE, QUIET, TEXT, WARNING, Panel, cut_short, padlock_marker,
                                shorten)

# Boxes: left, bottom, width, height, in fractions of the figure.
MAP, GRID = (0.03, 0.165, 0.395, 0.735), (0.508, 0.475, 0.405, 0.375)
STRIP = (0.755, 0.892, 0.222, 0.031)
SIZE, DPI = (1300, 700), 100  # pixels of the window for which texts and lines have their sizes, in points
MESSAGE_COLOURS = {"info": TEXT, "warning": WARNING}
HINT = "Drag on the map to morph; click a cell to change it, a name to lock it, a style to ask for it."
HELP = """\
click, drag      on the map: hear that point, morph
click            on the bar: put a hit in, take it out
click            on an instrument: lock its row, redraw the others around it
click - 4 +      beside a row: its hits; on the number: the model's own
click            on a style, or y: ask for it
space            play, stop
r, t             a random point; another variation of this point
b, backspace     undo
p                a path: p, go to its end, p again (8 bars) or 2 to 9 (so many)
n, N             hear the nearest bar that a drummer played; the next nearest
m                hear what the model makes of your bar
o                open a bar of yours, MIDI or .npy, and see where it lies
v                humanise: velocities as a drummer would strike these hits
right, left      one hit more, one fewer;  a  as many as the model draws
< >              temperature: lower, higher
up, down, + -    tempo, by 5 or by 1 bpm
s                save MIDI, WAV and PNG
h, q             show or hide this; quit"""


class View:
    """The map on the left, the bar on the right, and the controls below, on a figure whose canvas is of the Agg family.

    open_file: what the button Open does. map, grid: the axes of the map and of the bar. captured: the figure has been
    drawn in full, once or more.
    """

    def __init__(self, editor, figure, open_file=None):
        self.editor, self.figure, self.canvas, self.panel = editor, figure, figure.canvas, Panel(figure)
        self.captured = False
        self.shown_step = None  # where the playhead is painted
        figure.set_facecolor(BACKGROUND)
        self.fit_size()
        self.canvas.mpl_connect("resize_event", lambda event: self.fit_size())
        self.panel.text(0.03, 0.945, "Drum map", size=17, fontweight="bold")
        self.make_map()
        self.make_legend()
        self.make_bar()
        self.make_bar_text()
        self.make_bar_numbers()
        self.make_rows()
        self.make_sliders()
        self.make_buttons(open_file)
        self.make_status()
        self.help = self.panel.text(0.5, 0.5, HELP, size=11, family="monospace", ha="center", multialignment="left",
                                    visible=False, linespacing=1.6,
                                    bbox=dict(boxstyle="round,pad=1.6", facecolor=BEAT, edgecolor=QUIET))
        for artist in (self.playhead, self.help, *(artist for region in self.panel.regions
                                                   for artist in region.artists)):
            artist.set_animated(True)

    def fit_size(self):
        """Scale texts and lines with the figure, so that none overlap at any size."""
        size = self.figure.bbox.size  # (width, height) in pixels
        dpi = DPI * min(size / SIZE)
        self.figure._set_dpi(dpi, forward=False)  # the public setter would resize the window, too
        self.figure.set_size_inches(size / dpi, forward=False)

    # The map

    def make_map(self):
        editor, plane = self.editor, self.editor.plane
        self.map = self.figure.add_axes(MAP)
        self.density_image, self.emphasise = widgets.draw_map(self.map, plane, editor.hit_density)
        if len(plane.points):
            self.panel.text(0.425, 0.955, "each dot is a bar that a drummer played", QUIET, 9.5, ha="right")
            self.make_scale()
        lines = [self.map.axvline(color=TEXT, lw=0.8, alpha=0.25), self.map.axhline(color=TEXT, lw=0.8, alpha=0.25)]
        path = self.map.plot([], [], "o-", color=ACCENT, lw=1.5, ms=5, mec=BACKGROUND, mew=0.8)[0]
        near = self.map.plot([], [], "o", ms=9, mfc="none", mec="white", mew=1.4)[0]
        rings = [self.map.plot([], [], "o", ms=size, mfc=face, mec=edge, mew=width)[0] for size, face, edge, width in
                 ((15, "none", BACKGROUND, 5), (15, "none", "white", 2.2), (5, ACCENT, BACKGROUND, 1))]

        def move(point, path_points, neighbours):
            lines[0].set_xdata([point[0]] * 2)
            lines[1].set_ydata([point[1]] * 2)
            path.set_data(*np.array(path_points or np.zeros((0, 2))).T)
            near.set_data(*np.array(neighbours or np.zeros((0, 2))).T)
            for ring in rings:
                ring.set_data([point[0]], [point[1]])

        self.panel.region(MAP, [*lines, path, near, *rings],
                          lambda: (editor.point(), self.path_points(), self.neighbour_points()), move)

    def path_points(self):
        """The points of a pattern of several bars, or of a path that has begun: ((x, y), ...)."""
        editor = self.editor
        codes = editor.codes if editor.path_start is None else np.stack([editor.path_start, editor.code])
        return tuple(map(tuple, editor.plane.from_codes(codes).tolist())) if len(codes) > 1 else ()

    def neighbour_points(self):
        """Where the nearest training bars lie, while they are heard or the bar is from a file: ((x, y), ...)."""
        editor, auditioned = self.editor, self.editor.audition_source == "nearest"
        if not len(editor.training_bars) or not (editor.own or auditioned):
            return ()
        indices = editor.nearest()[0][[editor.rank]] if auditioned else editor.nearest()[0]
        return tuple(tuple(editor.plane.from_codes(editor.training_bars.code(index)).tolist()) for index in indices)

    def make_scale(self):
        axes = self.figure.add_axes((0.335, 0.914, 0.045, 0.012))
        axes.set_axis_off()
        shades = np.linspace(to_rgb(widgets.FEW_HITS), to_rgb(widgets.MANY_HITS), 50)  # (50, 3)
        axes.imshow(shades[None], aspect="auto")
        low, high = (self.panel.text(x, 0.919, "", QUIET, 9.5, ha="right") for x in (0.331, 0.425))

        def change(ends):
            axes.set_visible(ends is not None)
            low.set_text("" if ends is None else f"shade: bars of {ends[0]:.0f}")
            high.set_text("" if ends is None else f"{ends[1]:.0f} hits")

        self.panel.region((0.15, 0.902, 0.285, 0.034), [axes, low, high],
                          lambda: (self.editor.hit_density.range(),), change)

    def make_legend(self):
        editor, groups = self.editor, widgets.style_groups(self.editor.plane)
        if not groups:
            return
        others = [name for name in editor.plane.names if name not in [name for _, name, _ in groups]]

        def entry(place, name, action, look, dot):
            row, column = divmod(place, 5)
            self.panel.button(name, (0.03 + 0.0795 * column, 0.105 - 0.05 * row, 0.077, 0.042), action, look, dot)

        entry(0, "any style", lambda: editor.set_style(None), lambda: ("any style", editor.style_name() is None), "")
        for place, (_, name, colour) in enumerate(groups, start=1):
            entry(place, name, lambda name=name: editor.set_style(name),
                  lambda name=name: (cut_short(name, 11), editor.style_name() == name), colour)
        if others:
            entry(len(groups) + 1, "others", lambda: editor.step_style(1, others),
                  lambda: (cut_short(editor.style_name(), 11), True) if editor.style_name() in others else
                  ("others", False), widgets.OTHER_STYLES)

    # The bar

    def make_bar(self):
        editor = self.editor
        self.grid = self.figure.add_axes(GRID)
        cells, lines = widgets.draw_bar(self.grid, editor.bar)
        self.bar_region = self.panel.region(GRID, [cells, lines], lambda: (editor.bar.tobytes(),),
                                            lambda _: cells.set_array(widgets.bar_pixels(editor.bar)))
        self.playhead = self.grid.add_patch(Rectangle((0, -0.5), 1, len(INSTRUMENTS), color="white", alpha=0.3, lw=0))

    def make_bar_text(self):
        editor, text = self.editor, self.panel.changing_text
        text(0.508, 0.945, (0.503, 0.925, 0.297, 0.045), size=13, fontweight="bold",
             look=lambda: (editor.describe().replace(", ", "  \N{MIDDLE DOT}  "),))
        text(0.975, 0.945, (0.8, 0.925, 0.2, 0.045), size=9.5, ha="right", patient=True,
             look=lambda: ("point {:.2f} {:.2f}, seed {}".format(*editor.point(), editor.seed), QUIET))
        text(0.508, 0.907, (0.503, 0.892, 0.25, 0.031), size=9.5, patient=True,
             look=lambda: (self.novelty_text(), ACCENT if editor.audition_source else QUIET))

    def novelty_text(self):
        """How far the bar is from the training bars."""
        editor = self.editor
        if not len(editor.training_bars):
            return ""
        cells = editor.nearest()[1]
        if editor.audition_source == "nearest":
            rank = ("", "second ", "third ")[editor.rank]
            return f"the {rank}nearest played bar, {cells[editor.rank]} cells away"
        return f"novelty {cells[0]}: cells from the nearest played bar" if cells[0] else "novelty 0: as it was played"

    def make_bar_numbers(self):
        editor, (left, bottom, width, height) = self.editor, STRIP
        numbers = [self.panel.text(0, bottom + height / 2, str(i + 1), size=9.5, ha="center")
                   for i in range(MOST_BARS)]

        def change(count, index):
            for i, number in enumerate(numbers):
                number.set(visible=i < count, x=left + width * (i + 0.5) / max(count, 1),
                           color=BACKGROUND if i == index else QUIET,
                           bbox=dict(boxstyle="round,pad=0.2", lw=0, fc=ACCENT if i == index else BACKGROUND))

        def choose(x, y):
            if len(editor.bars) > 1:
                editor.choose_bar(int(x * len(editor.bars)))

        self.panel.region(STRIP, numbers, lambda: (len(editor.bars), editor.index) if len(editor.bars) > 1 else (0, 0),
                          change)
        self.panel.area("strip", STRIP, choose)

    def make_rows(self):
        """Left of the bar its rows' names, with a lock; right of it how many hits each has, to be asked for."""
        self.panel.text(0.946, 0.866, "hits", QUIET, 9.5, ha="center")
        height = GRID[3] / len(INSTRUMENTS)
        for row, name in enumerate(INSTRUMENTS):
            bottom = GRID[1] + GRID[3] - (row + 1) * height
            self.make_row_name(row, name, (0.442, bottom, 0.062, height), bottom + height / 2)
            self.make_row_hits(row, name, (0.917, bottom, 0.058, height), bottom + height / 2)

    def make_row_name(self, row, name, box, middle):
        lock = self.figure.add_artist(Line2D([0.452], [middle], marker=padlock_marker(), markersize=10,
                                             markeredgewidth=0))
        label = self.panel.text(0.5, middle, name, size=10, ha="right")

        def change(locked, hovered):
            lock.set_color(ACCENT if locked else QUIET if hovered else LINE)
            label.set_color(ACCENT if locked else TEXT)

        area = self.panel.area(name, box, lambda x, y: self.editor.lock(row))
        self.panel.region(box, [lock, label], lambda: (row in self.editor.locks, self.panel.hovered is area), change)

    def make_row_hits(self, row, name, box, middle):
        number = self.panel.text(0.946, middle, size=10, ha="center")
        for x, sign in ((0.924, "\N{MINUS SIGN}"), (0.968, "+")):
            self.panel.text(x, middle, sign, QUIET, 11, ha="center")

        def change(hits, asked):
            number.set(text=str(hits), color=ACCENT if asked else TEXT if hits else LINE,
                       fontweight="bold" if asked else "normal")

        self.panel.area(f"{name} hits", box,
                        lambda x, y: self.editor.change_row(row, -1 if x < 0.3 else 1 if x > 0.7 else None))
        self.panel.region((0.934, box[1], 0.024, box[3]), [number], lambda: (
            np.count_nonzero(self.editor.bar[row]), row in self.editor.constraints.row_hits), change)

    # The controls

    def make_sliders(self):
        editor, slider = self.editor, self.panel.slider
        self.tempo_slider = slider(0.385, "Tempo", SLOWEST, FASTEST, 1, editor.set_tempo,
                                   lambda: (editor.bpm, f"{editor.bpm:g} bpm"))
        self.density_slider = slider(0.325, "Density", 0, DENSEST, 1, editor.set_density,
                                     lambda: (editor.wanted_hits(), f"{editor.wanted_hits()} hits"))
        self.temperature_slider = slider(
            0.265, "Temperature", 0, HOTTEST, 0.05, editor.set_temperature,
            lambda: (editor.constraints.temperature, f"{editor.constraints.temperature:.2f}"))

    def make_buttons(self, open_file):
        editor, button = self.editor, self.panel.button
        button("Auto", (0.925, 0.323, 0.05, 0.044), lambda: editor.change_density(None),
               lambda: ("Auto", editor.constraints.hits is None))
        button("Play", (0.508, 0.1, 0.09, 0.125), editor.play_or_stop,
               lambda: ("Stop" if editor.playing else "Play", editor.playing))

        def path_look():
            begun = editor.path_start is not None
            return "To here" if begun else "Path", begun

        rows = ((("Random", editor.random), ("Variation", editor.next_variation), ("Path", editor.path, path_look),
                 ("Nearest", editor.audition_nearest, lambda: ("Nearest", editor.audition_source == "nearest")),
                 ("Model", editor.audition_model, lambda: ("Model", editor.audition_source == "model"))),
                (("Open", open_file), ("Humanise", editor.humanise), ("Undo", editor.undo), ("Save", editor.save),
                 ("Keys", self.toggle_help)))
        for row, entries in enumerate(rows):
            for column, (label, action, *look) in enumerate(entries):
                button(label, (0.6055 + 0.075 * column, 0.167 - 0.067 * row, 0.0695, 0.058), action,
                       look[0] if look else lambda label=label: (label, False))

    def make_status(self):
        editor = self.editor

        def hint():
            if not editor.sound_error:
                return HINT, QUIET
            reason = cut_short(editor.sound_error[0].upper() + editor.sound_error[1:], 52)
            return f"{reason}. Bars still show, and save as WAV.", WARNING

        self.panel.changing_text(0.508, 0.064, (0.503, 0.047, 0.497, 0.035), lambda: (
            shorten(editor.message, 84), MESSAGE_COLOURS[editor.message_kind]))
        self.panel.changing_text(0.508, 0.028, (0.503, 0.012, 0.497, 0.033), hint, size=9.5)

    def toggle_help(self):
        """Show or hide the list of keys."""
        self.help.set_visible(not self.help.get_visible())
        self.canvas.draw_idle()

    # Painting

    def hover(self, x, y):
        """Light up what is under the mouse, at a pixel of the figure."""
        area, _ = self.panel.area_at(x, y)
        if area is not self.panel.hovered:
            self.panel.hovered, self.editor.needs_paint = area, True

    def capture(self):
        """After a full draw (the first one, a new size, the help): keep what never changes, paint the rest over it."""
        self.captured = True
        self.panel.capture()
        self.paint_changes()
        if self.help.get_visible():
            self.figure.draw_artist(self.help)

    def paint(self, dragging=False):
        """Paint what has changed. Not over the help, which is translucent and would show twice: then paint it all."""
        if self.help.get_visible():
            self.canvas.draw()
        else:
            self.paint_changes(dragging)

    def paint_changes(self, dragging=False):
        """Paint the regions that have changed, and the playhead."""
        painted = self.bar_region.painted
        self.panel.paint(dragging)
        if self.bar_region.painted is not painted:
            self.bar_alone = self.canvas.copy_from_bbox(self.bar_region.pixel_box(self.figure))
        self.paint_playhead()

    def paint_playhead(self):
        """Paint the bar with the playhead where the sound is."""
        self.canvas.restore_region(self.bar_alone)
        self.shown_step = self.editor.player.position() if self.editor.playing else None
        if self.shown_step is not None:
            self.playhead.set_x(self.shown_step[1] - 0.5)
            self.figure.draw_artist(self.playhead)

    def show_playhead(self):
        """Move the playhead on the screen, where that is all that changes."""
        if not self.help.get_visible() and self.editor.player.position() != self.shown_step:
            self.paint_playhead()
            self.canvas.blit(self.bar_region.pixel_box(self.figure))

    def blit(self):
        """Bring what was painted to the screen."""
        self.canvas.blit(self.figure.bbox)

    def show_density(self):
        """Show the hit density and the style that is asked for, with the next full draw."""
        editor, name = self.editor, self.editor.style_name()
        self.emphasise(editor.plane.names.index(name) if name in editor.plane.names else None)
        self.density_image.set_data(widgets.density_pixels(editor.hit_density))
        self.canvas.draw_idle()
