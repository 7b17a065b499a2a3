"""How the window looks: it reads the editor's state, and paints anew what has changed.

    view = View(editor, figure)     # its buttons and sliders are the editor's commands
    figure.canvas.draw(); view.capture()
    editor.random(); view.paint()
"""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from editor.controls import DENSEST, FASTEST, HOTTEST, SLOWEST
from editor.pattern_editor import MOST_BARS
from formats.activation_matrix import INSTRUMENTS
from patterns.sampling import STEADY
from window import widgets
from window.map_view import MapView
from window.widgets import ACCENT, BACKGROUND, BEAT, LINE, QUIET, TEXT, WARNING, Panel, shorten

# Boxes: left, bottom, width, height, in fractions of the figure.
GRID, STRIP = (0.508, 0.475, 0.362, 0.375), (0.755, 0.892, 0.222, 0.031)
SIZE, DPI = (1300, 700), 100  # pixels of the window for which texts and lines have their sizes, in points
PUSH_STEP = 5  # milliseconds
HINT = "Drag on the map to morph, scroll to zoom; click a cell to change it, a name to lock its row."
HELP = """\
click, drag      on the map: hear that point, morph; a diamond is a bar of your own, around it are its variations
scroll, + - 0    zoom around the mouse; the whole map; drag with the right button to move it
click            on the bar: put a hit in, take it out
click            on an instrument: lock its row, redraw the others around it
click - 4 +      beside a row: its hits, or how late it is played in ms (the model's own: on the number)
click            on a style, or y: ask for it; styles of your own data are folders or the start of file names
space            play, stop
r, t, T          a random point; another variation of this one; the same score played anew (T or Shift and click)
b, backspace     undo
p, g             a path or a morph: p, go to its end, p again (8 bars) or 2 to 9 (so many); g, go to its end, g again
n, N             hear the nearest bar that a drummer played; the next nearest
m                hear what the model makes of your bar
o                open a bar of yours, MIDI or .npy: it lies on the map, with its variations around it
v, d             humanise: velocities as a drummer would strike these hits; time hits as the next drummer does
right, left      one hit more, one fewer;  a  as many as the model draws
< >              temperature: lower, higher
[ ]              steadier bars, or fills
up, down         tempo, by 5 bpm; with Shift by 1
s                save MIDI, WAV and PNG
h, q             show or hide this; quit"""


class View:
    """The map on the left, the bar on the right, the controls below it, on a figure with a canvas of the Agg family.

    open_file: what Open does. map_view: see map_view.py. map, grid: the axes of the map and of the bar. captured: has
    it been drawn in full?
    """

    def __init__(self, editor, figure, open_file=None):
        self.editor, self.figure, self.canvas, self.panel = editor, figure, figure.canvas, Panel(figure)
        self.open_file, self.captured = open_file, False
        self.shown_step = None  # where the playhead is painted
        figure.set_facecolor(BACKGROUND)
        self.fit_size()
        self.canvas.mpl_connect("resize_event", lambda event: self.fit_size())
        self.panel.text(0.03, 0.945, "Drum map", size=17, fontweight="bold")
        self.map_view = MapView(editor, self.panel)
        self.map = self.map_view.axes
        for make in (self.make_bar, self.make_bar_text, self.make_bar_numbers, self.make_rows, self.make_sliders,
                     self.make_buttons, self.make_status):
            make()
        self.help = self.panel.text(0.5, 0.5, HELP, size=10.5, family="monospace", ha="center", multialignment="left",
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
            "point {:.2f} {:.2f}, seed {}".format(*editor.point(), editor.surface.seed), QUIET), patient=True, size=9.5,
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
        """Left of the bar its rows' names, each with a lock; right of it the hits of each, to be asked for, and by how
        many milliseconds it is played late."""
        editor = self.editor
        for x, heading in ((0.899, "hits"), (0.9615, "late, ms")):
            self.panel.text(x, 0.866, heading, QUIET, 9.5, ha="center")
        height = GRID[3] / len(INSTRUMENTS)
        for row, name in enumerate(INSTRUMENTS):
            bottom = GRID[1] + GRID[3] - (row + 1) * height

            def hits(row=row):
                asked, found = row in editor.constraints.row_hits, np.count_nonzero(editor.bar[row])
                return str(found), asked, bool(found)

            def late(row=row):
                late = editor.feel.push.get(row, 0)
                return f"{late:+g}".replace("-", "\N{MINUS SIGN}") if late else "0", bool(late), False

            self.make_row_name(row, name, (0.442, bottom, 0.062, height))
            self.make_row_number(f"{name} hits", (0.874, bottom, 0.05, height), hits,
                                 lambda change, row=row: editor.change_row(row, change))
            self.make_row_number(f"{name} ms", (0.933, bottom, 0.057, height), late,
                                 lambda change, row=row: editor.change_push(row, change and PUSH_STEP * change))

    def make_row_name(self, row, name, box):
        middle = box[1] + box[3] / 2
        lock = self.figure.add_artist(Line2D([0.452], [middle], marker=widgets.PADLOCK, ms=10, mew=0))
        label = self.panel.text(0.5, middle, name, size=10, ha="right")

        def change(locked, hovered):
            lock.set_color(ACCENT if locked else QUIET if hovered else LINE)
            label.set_color(ACCENT if locked else TEXT)

        area = self.panel.area(name, box, lambda x, y: self.editor.lock(row))
        self.panel.region(box, [lock, label], lambda: (row in self.editor.locks, self.panel.hovered is area), change)

    def make_row_number(self, name, box, look, change_by):
        """A number with - and + beside it: change_by(-1 or 1), or None where the number is clicked. look gives the
        text, whether it is asked for, and whether it stands for something."""
        left, bottom, width, height = box
        number, *_ = (self.panel.text(left + share * width, bottom + height / 2, text, QUIET, size, ha="center")
                      for share, text, size in ((0.5, "", 10), (0.1, "\N{MINUS SIGN}", 11), (0.9, "+", 11)))

        def change(text, asked, some):
            number.set(text=text, color=ACCENT if asked else TEXT if some else LINE,
                       fontweight="bold" if asked else "normal")

        self.panel.area(name, box, lambda x, y: change_by(-1 if x < 0.26 else 1 if x > 0.74 else None))
        self.panel.region((left + 0.2 * width, bottom, 0.6 * width, height), [number], look, change)

    # The controls

    def make_sliders(self):
        """On the left what bars are drawn by, on the right how they are played; below the bar that of a morph."""
        editor, slider, button = self.editor, self.panel.slider, self.panel.button
        left, right = (0.436, 0.522, 0.097), (0.728, 0.79, 0.093)
        self.density_slider = slider((*left, 0.378), "Density", (0, DENSEST, 1), editor.set_density,
                                     lambda: (editor.wanted_hits(), "{} hits"))
        self.steady_slider = slider((*left, 0.318), "Steady", (0, 1, 0.05), editor.set_steady, lambda: (
            (STEADY, "any") if editor.constraints.steady is None else (editor.constraints.steady, "{:.2f}")))
        self.temperature_slider = slider((*left, 0.258), "Temperature", (0, HOTTEST, 0.05), editor.set_temperature,
                                         lambda: (editor.constraints.temperature, "{:.2f}"))
        self.tempo_slider = slider((*right, 0.378), "Tempo", (SLOWEST, FASTEST, 1), editor.set_tempo,
                                   lambda: (editor.bpm, "{:g} bpm"))
        self.tight_slider = slider((*right, 0.318), "Tight", (0, 100, 1), lambda tight: editor.set_feel(tight=tight),
                                   lambda: (editor.feel.tight, "{:.0f} %"))
        self.swing_slider = slider((*right, 0.258), "Swing", (50, 75, 0.5), lambda swing: editor.set_feel(swing=swing),
                                   lambda: (editor.feel.swing, "{:g} %"))
        button("Auto", (0.683, 0.38, 0.037, 0.036), lambda: editor.change_density(None),
               lambda: ("Auto", editor.constraints.hits is None))
        button("Any", (0.683, 0.32, 0.037, 0.036), editor.any_steady,
               lambda: ("Any", editor.constraints.steady is None))
        button("Swing of", (0.949, 0.26, 0.04, 0.036), editor.change_swing_of,
               lambda: ("8ths" if editor.feel.swing_of == "eighth" else "16ths", False))
        self.morph_slider = slider((0.503, 0.57, 0.296, 0.428), "Morph", (0, 1, 0.01), editor.morph_to,
                                   lambda: (editor.share, "{:.2f}"), shown=lambda: editor.morph is not None)

    @property
    def drawing_sliders(self):
        """The axes of the sliders that change the bars."""
        return [slider.ax for slider in (self.density_slider, self.steady_slider, self.temperature_slider,
                                         self.morph_slider) if slider.ax.get_visible()]

    def make_buttons(self):
        editor, button = self.editor, self.panel.button
        button("Play", (0.508, 0.1, 0.085, 0.125), editor.play_or_stop,
               lambda: ("Stop" if editor.playing else "Play", editor.playing))
        looks = {"Path": lambda: ("Path", False) if editor.path_start is None else ("To here", True),
                 "Morph": lambda: ("Morph", editor.morph is not None) if editor.morph_start is None else (
                     "To this", True),
                 "Nearest": lambda: ("Nearest", editor.audition_source == "nearest"),
                 "Model": lambda: ("Model", editor.audition_source == "model"),
                 "Drummer": lambda: ((editor.drummer() or "Drummer").replace("drummer", "No. "),
                                     editor.drummer() is not None)}
        actions = {"Random": editor.random, "Variation": editor.next_variation, "Path": editor.path,
                   "Morph": editor.begin_or_end_morph, "Nearest": editor.audition_nearest,
                   "Model": editor.audition_model, "Open": self.open_file, "Humanise": editor.humanise,
                   "Drummer": editor.step_drummer, "Undo": editor.undo, "Save": editor.save, "Keys": self.toggle_help}
        for place, (label, action) in enumerate(actions.items()):
            row, column = divmod(place, 6)
            button(label, (0.5995 + 0.065 * column, 0.167 - 0.067 * row, 0.0605, 0.058), action,
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
        self.panel.stale = True

    # Painting

    def hover(self, x, y):
        """Light up what is under the mouse, at a pixel of the figure."""
        area, _ = self.panel.area_at(x, y)
        if area is not self.panel.hovered:
            self.panel.hovered, self.editor.needs_paint = area, True

    @property
    def covered(self):
        """Does the help or the list of styles lie over all?"""
        return self.help.get_visible() or self.map_view.listing

    def capture(self):
        """After a full draw (the first one, a new size, the help): keep what never changes, paint the rest over it."""
        self.captured, self.map_view.moved, self.panel.stale = True, False, False
        self.panel.capture()
        self.paint_changes()
        for artist in (self.help, *(self.map_view.list_artists if self.map_view.listing else ())):
            if artist.get_visible():
                self.figure.draw_artist(artist)

    def paint(self, dragging=False):
        """Bring what has changed to the screen; all of it, where something lies over it."""
        if self.covered:
            self.canvas.draw()
        else:
            self.paint_changes(dragging)
        self.canvas.blit(self.figure.bbox)

    def paint_changes(self, dragging=False):
        """Paint the regions that have changed, and the playhead."""
        painted = self.bar_region.painted
        if self.map_view.moved:
            self.map_view.paint_ground()
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
        if not self.covered and self.editor.player.position() != self.shown_step:
            self.paint_playhead()
            self.canvas.blit(self.bar_region.pixel_box(self.figure))

    def show_density(self):
        """Show the hit density and the style that is asked for."""
        self.map_view.show_density()
        self.panel.stale = True
