"""How the window looks: it reads the editor's state, and paints anew what has changed.

    view = View(editor, figure)     # its buttons and sliders are the editor's commands
    figure.canvas.draw(); view.capture()
    editor.random(); view.paint()
"""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from formats.activation_matrix import INSTRUMENTS
from instrument import widgets
from instrument.editor import DENSEST, FASTEST, HOTTEST, MOST_BARS, SLOWEST
from instrument.widgets import ACCENT, BACKGROUND, BEAT, LINE, QUIET, TEXT, WARNING, Panel, shorten

# Boxes: left, bottom, width, height, in fractions of the figure.
MAP, GRID = (0.03, 0.165, 0.395, 0.735), (0.508, 0.475, 0.405, 0.375)
STRIP = (0.755, 0.892, 0.222, 0.031)
SIZE, DPI = (1300, 700), 100  # pixels of the window for which texts and lines have their sizes, in points
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
    """The map on the left, the bar on the right, the controls below it, on a figure with a canvas of the Agg family.

    open_file: what Open does. map, grid: the axes of the map and of the bar. captured: has it been drawn in full?
    """

    def __init__(self, editor, figure, open_file=None):
        self.editor, self.figure, self.canvas, self.panel = editor, figure, figure.canvas, Panel(figure)
        self.open_file, self.captured = open_file, False
        self.shown_step = None  # where the playhead is painted
        figure.set_facecolor(BACKGROUND)
        self.fit_size()
        self.canvas.mpl_connect("resize_event", lambda event: self.fit_size())
        self.panel.text(0.03, 0.945, "Drum map", size=17, fontweight="bold")
        for make in (self.make_map, self.make_legend, self.make_bar, self.make_bar_text, self.make_bar_numbers,
                     self.make_rows, self.make_sliders, self.make_buttons, self.make_status):
            make()
        self.help = self.panel.text(0.5, 0.5, HELP, size=11, family="monospace", ha="center", multialignment="left",
                                    visible=False, linespacing=1.6,
                                    bbox=dict(boxstyle="round,pad=1.6", facecolor=BEAT, edgecolor=QUIET))
        for artists in ([self.playhead, self.help], *(region.artists for region in self.panel.regions)):
            for artist in artists:
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
        across, up = (line(color=TEXT, lw=0.8, alpha=0.25) for line in (self.map.axvline, self.map.axhline))
        path = self.map.plot([], [], "o-", color=ACCENT, lw=1.5, ms=5, mec=BACKGROUND, mew=0.8)[0]
        near = self.map.plot([], [], "o", ms=9, mfc="none", mec="white", mew=1.4)[0]
        rings = [self.map.plot([], [], "o", ms=size, mfc=face, mec=edge, mew=width)[0] for size, face, edge, width in
                 ((15, "none", BACKGROUND, 5), (15, "none", "white", 2.2), (5, ACCENT, BACKGROUND, 1))]

        def move(point, path_points, neighbours):
            across.set_xdata([point[0]] * 2)
            up.set_ydata([point[1]] * 2)
            for marks, points in ((path, path_points), (near, neighbours), *((ring, (point,)) for ring in rings)):
                marks.set_data(*zip(*points) if points else ((), ()))

        self.panel.region(MAP, [across, up, path, near, *rings],
                          lambda: (editor.point(), self.path_points(), self.neighbour_points()), move)

    def points_of(self, codes):
        """Where codes lie on the map: ((x, y), ...)."""
        return tuple(tuple(self.editor.plane.from_codes(code).tolist()) for code in codes)

    def path_points(self):
        """The points of a pattern of several bars, or of a path that has begun: ((x, y), ...)."""
        editor = self.editor
        codes = editor.codes if editor.path_start is None else (editor.path_start, editor.code)
        return self.points_of(codes) if len(codes) > 1 else ()

    def neighbour_points(self):
        """Where the nearest training bars lie, while they are heard or the bar is from a file: ((x, y), ...)."""
        editor, auditioned = self.editor, self.editor.audition_source == "nearest"
        if not len(editor.training_bars) or not (editor.own or auditioned):
            return ()
        indices = editor.nearest()[0][[editor.rank]] if auditioned else editor.nearest()[0]
        return self.points_of(map(editor.training_bars.code, indices))

    def make_scale(self):
        axes = self.figure.add_axes((0.335, 0.914, 0.045, 0.012))
        axes.set_axis_off()
        axes.imshow(np.linspace(to_rgb(widgets.FEW_HITS), to_rgb(widgets.MANY_HITS), 50)[None], aspect="auto")
        low, high = (self.panel.text(x, 0.919, "", QUIET, 9.5, ha="right") for x in (0.331, 0.425))

        def change(ends):
            axes.set_visible(ends is not None)
            low.set_text(f"shade: bars of {ends[0]:.0f}" if ends else "")
            high.set_text(f"{ends[1]:.0f} hits" if ends else "")

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
                  lambda name=name: (name[:10], editor.style_name() == name), colour)
        if others:
            entry(len(groups) + 1, "others", lambda: editor.step_style(1, others), lambda: (
                (editor.style_name()[:10], True) if editor.style_name() in others else ("others", False)),
                widgets.OTHER_STYLES)

    # The bar

    def make_bar(self):
        editor = self.editor
        self.grid = self.figure.add_axes(GRID)
        cells, *lines = widgets.draw_bar(self.grid, editor.bar)
        self.bar_region = self.panel.region(GRID, [cells, *lines], lambda: (editor.bar.tobytes(),),
                                            lambda _: cells.set_array(widgets.bar_pixels(editor.bar)))
        self.playhead = self.grid.add_patch(Rectangle((0, -0.5), 1, len(INSTRUMENTS), color="white", alpha=0.3, lw=0))

    def make_bar_text(self):
        editor, text = self.editor, self.panel.changing_text
        text(0.508, 0.945, (0.503, 0.925, 0.297, 0.045), lambda: (
            editor.describe().replace(", ", "  \N{MIDDLE DOT}  "),), size=13, fontweight="bold")
        text(0.975, 0.945, (0.8, 0.925, 0.2, 0.045), lambda: (
            "point {:.2f} {:.2f}, seed {}".format(*editor.point(), editor.seed), QUIET), patient=True, size=9.5,
            ha="right")
        text(0.508, 0.907, (0.503, 0.892, 0.25, 0.031), lambda: (
            self.novelty_text(), ACCENT if editor.audition_source else QUIET), patient=True, size=9.5)

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
        numbers = [self.panel.text(0, bottom + height / 2, str(i), size=9.5, ha="center")
                   for i in range(1, MOST_BARS + 1)]

        def change(count, index):
            for i, number in enumerate(numbers):
                ink, paper = (BACKGROUND, ACCENT) if i == index else (QUIET, BACKGROUND)
                number.set(visible=count > 1 and i < count, x=left + width * (i + 0.5) / count, color=ink,
                           bbox=dict(boxstyle="round,pad=0.2", lw=0, fc=paper))

        self.panel.region(STRIP, numbers, lambda: (len(editor.bars), editor.index), change)
        self.panel.area("strip", STRIP, lambda x, y: editor.choose_bar(int(x * len(editor.bars))))

    def make_rows(self):
        """Left of the bar its rows' names, each with a lock; right of it the hits of each, to be asked for."""
        self.panel.text(0.946, 0.866, "hits", QUIET, 9.5, ha="center")
        height = GRID[3] / len(INSTRUMENTS)
        for row, name in enumerate(INSTRUMENTS):
            bottom = GRID[1] + GRID[3] - (row + 1) * height
            self.make_row_name(row, name, (0.442, bottom, 0.062, height))
            self.make_row_hits(row, f"{name} hits", (0.917, bottom, 0.058, height))

    def make_row_name(self, row, name, box):
        middle = box[1] + box[3] / 2
        lock = self.figure.add_artist(Line2D([0.452], [middle], marker=widgets.PADLOCK, ms=10, mew=0))
        label = self.panel.text(0.5, middle, name, size=10, ha="right")

        def change(locked, hovered):
            lock.set_color(ACCENT if locked else QUIET if hovered else LINE)
            label.set_color(ACCENT if locked else TEXT)

        area = self.panel.area(name, box, lambda x, y: self.editor.lock(row))
        self.panel.region(box, [lock, label], lambda: (row in self.editor.locks, self.panel.hovered is area), change)

    def make_row_hits(self, row, name, box):
        editor, (_, bottom, _, height) = self.editor, box
        number, *_ = (self.panel.text(x, bottom + height / 2, text, QUIET, size, ha="center")
                      for x, text, size in ((0.946, "", 10), (0.924, "\N{MINUS SIGN}", 11), (0.968, "+", 11)))

        def change(hits, asked):
            number.set(text=str(hits), color=ACCENT if asked else TEXT if hits else LINE,
                       fontweight="bold" if asked else "normal")

        self.panel.area(name, box, lambda x, y: editor.change_row(row, -1 if x < 0.3 else 1 if x > 0.7 else None))
        self.panel.region((0.934, bottom, 0.024, height), [number],
                          lambda: (np.count_nonzero(editor.bar[row]), row in editor.constraints.row_hits), change)

    # The controls

    def make_sliders(self):
        editor, slider = self.editor, self.panel.slider
        self.tempo_slider = slider(0.385, "Tempo", SLOWEST, FASTEST, 1, editor.set_tempo,
                                   lambda: editor.bpm, "{:g} bpm")
        self.density_slider = slider(0.325, "Density", 0, DENSEST, 1, editor.set_density, editor.wanted_hits, "{} hits")
        self.temperature_slider = slider(0.265, "Temperature", 0, HOTTEST, 0.05, editor.set_temperature,
                                         lambda: editor.constraints.temperature, "{:.2f}")

    def make_buttons(self):
        editor, button = self.editor, self.panel.button
        button("Auto", (0.925, 0.323, 0.05, 0.044), lambda: editor.change_density(None),
               lambda: ("Auto", editor.constraints.hits is None))
        button("Play", (0.508, 0.1, 0.09, 0.125), editor.play_or_stop,
               lambda: ("Stop" if editor.playing else "Play", editor.playing))
        looks = {"Path": lambda: ("Path", False) if editor.path_start is None else ("To here", True),
                 "Nearest": lambda: ("Nearest", editor.audition_source == "nearest"),
                 "Model": lambda: ("Model", editor.audition_source == "model")}
        actions = {"Random": editor.random, "Variation": editor.next_variation, "Path": editor.path,
                   "Nearest": editor.audition_nearest, "Model": editor.audition_model, "Open": self.open_file,
                   "Humanise": editor.humanise, "Undo": editor.undo, "Save": editor.save, "Keys": self.toggle_help}
        for place, (label, action) in enumerate(actions.items()):
            row, column = divmod(place, 5)
            button(label, (0.6055 + 0.075 * column, 0.167 - 0.067 * row, 0.0695, 0.058), action,
                   looks.get(label, lambda label=label: (label, False)))

    def make_status(self):
        editor, text = self.editor, self.panel.changing_text

        def hint():
            if not editor.sound_error:
                return HINT, QUIET
            reason = shorten(editor.sound_error[0].upper() + editor.sound_error[1:], 52)
            return f"{reason}. Bars still show, and save as WAV.", WARNING

        text(0.508, 0.064, (0.503, 0.047, 0.497, 0.035), lambda: (
            shorten(editor.message, 84), WARNING if editor.message_kind == "warning" else TEXT))
        text(0.508, 0.028, (0.503, 0.012, 0.497, 0.033), hint, size=9.5)

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
        """Bring what has changed to the screen. The help is translucent and would show twice: with it, draw it all."""
        if self.help.get_visible():
            self.canvas.draw()
        else:
            self.paint_changes(dragging)
        self.canvas.blit(self.figure.bbox)

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
        """Move the playhead alone on the screen."""
        if not self.help.get_visible() and self.editor.player.position() != self.shown_step:
            self.paint_playhead()
            self.canvas.blit(self.bar_region.pixel_box(self.figure))

    def show_density(self):
        """Show the hit density and the style that is asked for, with the next full draw."""
        self.emphasise(self.editor.style_name())
        self.density_image.set_data(widgets.density_pixels(self.editor.hit_density))
        self.canvas.draw_idle()
