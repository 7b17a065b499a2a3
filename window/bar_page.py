"""The page of the bar: its cells, the hits of each row, what bars are drawn by, and how they are played.

    page = BarPage(editor, Panel(figure), ask_for)      # ask_for(kind, action): action(path) of a file that is chosen
"""

import numpy as np
from matplotlib.patches import Rectangle

from editor.controls import DENSEST, HOTTEST
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from patterns.sampling import STEADY, TEMPERATURE
from session.state import MOST_BARS
from window import widgets
from window.widgets import ACCENT, BACKGROUND, LINE, QUIET, TEXT

# Boxes: left, bottom, width, height, in fractions of the right half.
GRID, STRIP = (0.155, 0.445, 0.725, 0.395), (0.5, 0.884, 0.47, 0.034)
ACTIONS = (0.155, 0.052)  # bottom and height of the row of buttons


class BarPage:
    """grid: the axes of the bar. bar_region: its cells, without the playhead."""

    def __init__(self, editor, panel, ask_for):
        self.editor, self.panel, self.figure = editor, panel, panel.figure
        self.shown_time = None  # where the playhead is painted
        self.make_bar()
        self.make_facts()
        self.make_strip()
        self.make_rows()
        self.make_sliders()
        self.make_buttons(ask_for)

    # The bar

    def make_bar(self):
        editor = self.editor
        self.grid = self.panel.part.add_axes(GRID)
        cells, *lines = widgets.draw_bar(self.grid, editor.bar)
        self.bar_region = self.panel.region(GRID, [cells, *lines], lambda: (editor.bar.tobytes(),),
                                            lambda _: cells.set_array(widgets.bar_pixels(editor.bar)))
        self.playhead = self.grid.add_patch(Rectangle((0, -0.5), 1, len(INSTRUMENTS), color="white", alpha=0.3, lw=0,
                                                      animated=True))

        def toggle(x, y):
            editor.toggle(min(int((1 - y) * len(INSTRUMENTS)), 7), min(int(x * STEPS_PER_BAR), STEPS_PER_BAR - 1))

        self.panel.area("bar", GRID, "Click a cell: put a hit in, or take it out.", toggle)

    def make_facts(self):
        text = self.panel.changing_text(0.03, 0.901, (0.02, 0.884, 0.46, 0.034), lambda: (
            self.novelty_text(), ACCENT if self.editor.audition_source else QUIET), patient=True, size=9.5)
        self.panel.second_rank.append(text)

    def novelty_text(self):
        """How far the bar is from the training bars."""
        editor = self.editor
        if not len(editor.training_bars):
            return ""
        cells = editor.nearest()[1]
        if editor.audition_source == "nearest":
            rank = ("", "second ", "third ")[editor.rank]
            return f"the {rank}nearest played bar, {cells[editor.rank]} cells away"
        if not cells[0]:
            return "as a drummer played it"
        return f"{cells[0]} cell{'s' * int(cells[0] > 1)} unlike the nearest played bar"

    def make_strip(self):
        editor, (left, bottom, width, height) = self.editor, STRIP
        numbers = [self.panel.text(0, bottom + height / 2, str(i), size=9.5, ha="center")
                   for i in range(1, MOST_BARS + 1)]

        def change(count, index):
            for i, number in enumerate(numbers):
                ink, paper = (BACKGROUND, ACCENT) if i == index else (QUIET, BACKGROUND)
                number.set(visible=count > 1 and i < count, x=left + width * (i + 0.5) / count, color=ink,
                           bbox=dict(boxstyle="round,pad=0.2", lw=0, fc=paper))

        self.panel.region(STRIP, numbers, lambda: (len(editor.bars), editor.index), change)
        self.panel.area("strip", STRIP, "Click a bar's number: see it. Again: keep it alone.",
                        lambda x, y: editor.choose_bar(int(x * len(editor.bars))))

    def make_rows(self):
        """Left of the bar its rows' names, each with a padlock; right of it the hits of each, to be asked for."""
        editor, panel = self.editor, self.panel
        panel.text(0.934, 0.862, "hits", QUIET, 9.5, ha="center")
        height = GRID[3] / len(INSTRUMENTS)
        for row, name in enumerate(INSTRUMENTS):
            bottom = GRID[1] + GRID[3] - (row + 1) * height
            panel.row_name(name, name, (0.02, bottom, 0.13, height), f"Lock {name}: it stays, the others are redrawn.",
                           lambda row=row: editor.lock(row), lambda row=row: (row in editor.locks, False))
            self.make_hits(row, name, (0.889, bottom, 0.09, height))

    def make_hits(self, row, name, box):
        """The hits of a row with - and + beside them; a click on the number leaves them to the model."""
        left, bottom, width, height = box
        number, *_ = (self.panel.text(left + share * width, bottom + height / 2, text, QUIET, size, ha="center")
                      for share, text, size in ((0.5, "", 10), (0.1, "\N{MINUS SIGN}", 11), (0.9, "+", 11)))

        def look():
            hits = np.count_nonzero(self.editor.bar[row])
            return str(hits), row in self.editor.constraints.row_hits, bool(hits)

        def change(text, asked, some):
            number.set(text=text, color=ACCENT if asked else TEXT if some else LINE,
                       fontweight="bold" if asked else "normal")

        def press(x, y):
            self.editor.change_row(row, -1 if x < 0.26 else 1 if x > 0.74 else None)

        self.panel.area(f"{name} hits", box, f"{name}: one hit fewer or more; on the number: the model's own.", press,
                        wheel=lambda x, y, steps: self.editor.change_row(row, int(np.sign(steps))))
        self.panel.region((left + 0.2 * width, bottom, 0.6 * width, height), [number], look, change, patient=True)

    # The controls

    def make_sliders(self):
        """On the left what bars are drawn by, on the right how they are played; below the bar that of a morph."""
        editor, slider = self.editor, self.panel.slider
        left, right = dict(room=(0.195, 0.13)), dict(room=(0.105, 0.105))  # of label and value

        def density():
            hits = editor.constraints.hits
            return editor.wanted_hits(), "{} hits", hits is None

        def steady():
            steady = editor.constraints.steady
            return (STEADY, "any", True) if steady is None else (steady, "{:.2f}")

        slider("Density", (0, 0.345, 0.53, 0.045), (0, DENSEST, 1), editor.set_density, density,
               "How many hits. Double click: as many as the model draws.", label="Density", **left,
               default=lambda: editor.change_density(None))
        slider("Steady", (0, 0.285, 0.53, 0.045), (0, 1, 0.05), editor.set_steady, steady,
               "From fills to bars as a loop goes on. Double click: any.", label="Steady", **left,
               default=editor.any_steady)
        slider("Temperature", (0, 0.225, 0.53, 0.045), (0, HOTTEST, 0.05), editor.set_temperature,
               lambda: (editor.constraints.temperature, "{:.2f}"), "From the likeliest bar to a daring one.",
               label="Temperature", **left, default=lambda: editor.set_temperature(TEMPERATURE))
        slider("Tight", (0.53, 0.345, 0.355, 0.045), (0, 100, 1), lambda tight: editor.set_feel(tight=tight),
               lambda: (editor.feel.tight, "{:.0f} %"), "From the drummer's timing to the grid's.", label="Tight",
               **right, default=lambda: editor.set_feel(tight=0))
        slider("Swing", (0.53, 0.285, 0.355, 0.045), (50, 75, 0.5), lambda swing: editor.set_feel(swing=swing),
               lambda: (editor.feel.swing, "{:g} %"), "From straight to shuffled.", label="Swing", **right,
               default=lambda: editor.set_feel(swing=50))
        self.panel.button("Swing of", (0.889, 0.288, 0.081, 0.039), editor.change_swing_of,
                          lambda: ("8ths" if editor.feel.swing_of == "eighth" else "16ths", False),
                          "Swing eighths, or sixteenths.")
        slider("Morph slider", (0.03, 0.393, 0.93, 0.042), (0, 1, 0.01), editor.morph_to,
               lambda: (editor.share, "{:.2f}"), "From the first bar of the morph to the second.", label="Morph",
               room=(0.125, 0.09), shown=lambda: editor.morph is not None)

    def make_buttons(self, ask_for):
        editor = self.editor
        buttons = (
            ("Random", editor.random, lambda: ("Random", False), "Somewhere else on the map."),
            ("Variation", editor.next_variation, lambda: ("Variation", False),
             "Another bar like this one. With Shift: the same, played anew."),
            ("Path", editor.path, lambda: ("Path", False) if editor.path_start is None else ("To here", True),
             "Eight bars from this point to another, with fills."),
            ("Morph", editor.begin_or_end_morph,
             lambda: ("Morph", editor.morph is not None) if editor.morph_start is None else ("To this", True),
             "A slider between this bar and another."),
            ("Open", lambda: ask_for("bars", editor.open_file), lambda: ("Open", False),
             "A bar of your own: a MIDI file or a matrix."))
        for i, (name, action, look, tip) in enumerate(buttons):
            self.panel.button(name, (0.03 + 0.19 * i, ACTIONS[0], 0.18, ACTIONS[1]), action, look, tip,
                              shifted=editor.play_anew if name == "Variation" else None)

    # Painting

    def paint(self, dragging):
        """Paint what has changed, and the playhead."""
        painted = self.bar_region.painted
        self.panel.paint(dragging)
        if self.bar_region.painted is not painted:
            self.bar_alone = self.figure.canvas.copy_from_bbox(self.pixel_box())
        self.paint_time()

    def pixel_box(self):
        return self.panel.pixel_box(GRID).padded(2)

    def paint_time(self):
        """Paint the bar with the playhead where the sound is; return the pixels that it takes."""
        self.figure.canvas.restore_region(self.bar_alone)
        self.shown_time = self.editor.player.position() if self.editor.playing else None
        if self.shown_time is not None:
            self.playhead.set_x(self.shown_time[1] - 0.5)
            self.figure.draw_artist(self.playhead)
        return self.pixel_box()
