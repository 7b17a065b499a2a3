"""The page of the bar: its cells, the hits of each row, what bars are drawn by, and how they are played.

    page = BarPage(editor, Panel(figure), ask_for)      # ask_for(kind, action): action(path) of a file that is chosen
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.patches import Rectangle

from editor.cells import SIXTEENTH, snap
from editor.controls import DENSEST, HOTTEST
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from patterns.sampling import STEADY, TEMPERATURE
from session.state import MOST_BARS, SLOTS
from window import widgets
from window.widgets import ACCENT, BACKGROUND, BEAT, FAINT, LINE, QUIET, TEXT

# Boxes: left, bottom, width, height, in fractions of the right half.
GRID, STRIP = (0.155, 0.445, 0.725, 0.395), (0.5, 0.884, 0.47, 0.034)
SLOT_BOXES = (0.03, 0.884, 0.05, 0.034)  # of the first slot
EVOLVED, FILLS = (0, 1, 2, 4, 8, 16), (0, 4, 8)  # cells that change with each pass; bars from a fill to the next
SEEN = (64, 32, 16)  # steps of the bar that are seen: all, two beats, one
STILL, LOUDER = 0.03, 340  # shares of the bar's height: a move that is none; velocity for a move as high as the bar
ACTIONS = (0.155, 0.052)  # bottom and height of the row of buttons


@dataclass
class Stroke:
    """A drag on the bar, from a hit that was there, or that is new. up: where it began, a share of the bar's height.
    last: the cell it has come to. kind: "draw" once it goes along the row, "velocity" once it goes up or down, None
    before; or "erase"."""

    row: int
    step: int
    up: float
    velocity: int
    was_there: bool
    last: int
    kind: str = None


class BarGrid:
    """The cells of the bar, and what the mouse does to them: it draws hits, sets velocities, erases, zooms in.

    first, count: the steps that are seen. Seen whole, the bar has cells of a sixteenth, and each hit lies in one.
    """

    def __init__(self, editor, panel):
        self.editor, self.panel = editor, panel
        self.first, self.count, self.turned, self.stroke = 0, STEPS_PER_BAR, 0.0, None
        self.axes = panel.part.add_axes(GRID)
        self.cells, *lines = widgets.draw_bar(self.axes, editor.bar)
        left, bottom, width, height = GRID
        self.counts = [panel.text(left, bottom + height + 0.022, f"{1 + i // 4}{'e&a'[i % 4 - 1] if i % 4 else ''}",
                                  QUIET, 10, ha="center") for i in range(STEPS_PER_BAR // SIXTEENTH)]
        self.region = panel.region(GRID, [self.cells, *lines],
                                   lambda: (editor.bar.tobytes(), self.first, self.count), self.change)
        panel.region((left - 0.01, bottom + height + 0.005, width + 0.02, 0.035), self.counts,
                     lambda: (self.first, self.count), self.place_counts)
        tip = "Click: a hit, or none. Drag along: more; up: louder. Right button: erase."
        self.area = panel.area("bar", GRID, tip, self.press, drag=self.drag, release=self.release, pan=self.erase,
                               drag_pan=self.erase_on, wheel=self.turn, slide=self.slide)

    def change(self, _, first, count):
        self.cells.set_array(widgets.bar_pixels(self.editor.bar))
        self.axes.set_xlim(first - 0.5, first + count - 0.5)

    def place_counts(self, first, count):
        """Place the beats' numbers; where one has zoomed in, their sixteenths too."""
        for i, number in enumerate(self.counts):
            place = (SIXTEENTH * i + 0.5 - first) / count
            number.set(x=GRID[0] + place * GRID[2], visible=0 < place < 1 and (i % 4 == 0 or count < STEPS_PER_BAR))

    # What is seen

    def turn(self, x, y, steps):
        """Zoom in or out around a place, by notches of the wheel; a pinch sends fractions."""
        self.turned += steps
        if abs(self.turned) >= 1:
            self.zoom(np.sign(self.turned), x)
            self.turned = 0.0

    def zoom(self, steps, x=0.5):
        """See less of the bar, larger, or more of it."""
        count = SEEN[int(np.clip(SEEN.index(self.count) + steps, 0, len(SEEN) - 1))]
        first, self.count = self.first + x * (self.count - count), count
        self.look_at(first)

    def slide(self, x, y, steps):
        """See what is later, or earlier."""
        self.look_at(self.first - SIXTEENTH * np.sign(steps))

    def look_at(self, first):
        self.first = int(np.clip(SIXTEENTH * round(first / SIXTEENTH), 0, STEPS_PER_BAR - self.count))
        self.editor.needs_paint = True

    # The mouse

    @property
    def cell(self):
        """The steps of a cell: a sixteenth, or one where one has zoomed in."""
        return SIXTEENTH if self.count == STEPS_PER_BAR else 1

    def row_at(self, y):
        """The row at a height, a share of the grid's; None beside."""
        row = int(np.floor((1 - y) * len(INSTRUMENTS)))
        return row if 0 <= row < len(INSTRUMENTS) else None

    def step_at(self, x):
        """The step at a place across."""
        return self.first + int(np.clip(x * self.count, 0, self.count - 1))

    def press(self, x, y):
        row, step = self.row_at(np.clip(y, 1e-9, 1)), self.step_at(x)
        there = self.editor.hit_near(row, step, self.cell) is not None
        if not there:
            self.editor.toggle(row, step, self.cell)
        step = self.editor.hit_near(row, step, self.cell)
        self.stroke = Stroke(row, step, y, int(self.editor.bar[row, step]), there, snap(step, self.cell))

    def drag(self, x, y):
        """Draw along the row, or set the velocity: the way of the first move decides."""
        stroke = self.stroke
        moved = y - stroke.up
        if self.editor.gesture is None:  # it was undone meanwhile
            return
        if stroke.kind is None and snap(self.step_at(x), self.cell) != stroke.last:
            stroke.kind = "draw"
        elif stroke.kind is None and abs(moved) > STILL:
            stroke.kind, stroke.up = "velocity", stroke.up + np.copysign(STILL, moved)
        if stroke.kind == "velocity":
            self.editor.set_velocity(stroke.row, stroke.step, round(stroke.velocity + (y - stroke.up) * LOUDER))
        if stroke.kind == "draw":
            self.set_cells(x, None)

    def set_cells(self, x, velocity):
        """Set the cells of the stroke's row from the last one to a place across."""
        row, last, now = self.stroke.row, self.stroke.last, snap(self.step_at(x), self.cell)
        self.stroke.last, (low, high) = now, sorted((last, now))
        self.editor.set_cells({(row, step): velocity for step in range(low, high + 1, self.cell)}, self.cell)

    def release(self):
        stroke, self.stroke = self.stroke, None
        if stroke.was_there and stroke.kind is None and self.editor.gesture is not None:
            self.editor.toggle(stroke.row, stroke.step)

    def erase(self, x, y):
        """Erase a cell, and what the mouse goes over from there."""
        self.stroke = Stroke(None, None, y, 0, False, None, "erase")
        self.erase_on(x, y)

    def erase_on(self, x, y):
        row = self.row_at(y)
        if row is None or self.editor.gesture is None:
            return
        if row != self.stroke.row:
            self.stroke.row, self.stroke.last = row, snap(self.step_at(x), self.cell)
        self.set_cells(x, 0)


def following(values, value):
    """The value after one, the first after the last or after one that is not there."""
    return values[(values.index(value) + 1) % len(values)] if value in values else values[0]


def make_slots(editor, panel):
    """The letters of the slots: the present one lit, empty ones faint."""
    left, bottom, width, height = SLOT_BOXES
    for slot, letter in enumerate(SLOTS):
        box = (left + slot * width, bottom, 0.9 * width, height)
        face = panel.part.add_artist(Rectangle(box[:2], *box[2:], lw=0))
        words = panel.text(box[0] + box[2] / 2, bottom + 0.48 * height, letter, size=9.5, ha="center")
        tip = f"Slot {letter}: its pattern; an empty one begins as this. Right click: empty it."
        area = panel.area(f"slot {letter}", box, tip, lambda x, y, slot=slot: editor.choose_slot(slot),
                          pan=lambda x, y, slot=slot: editor.clear_slot(slot))

        def change(present, filled, hovered, face=face, words=words):
            face.set_facecolor(ACCENT if present else LINE if hovered else BEAT if filled else BACKGROUND)
            words.set_color(BACKGROUND if present else TEXT if filled or hovered else FAINT)

        panel.region(box, [face, words], lambda slot=slot, area=area: (
            slot == editor.slot, editor.slots[slot] is not None, panel.hovered is area), change)


class BarPage:
    """grid: the cells of the bar."""

    def __init__(self, editor, panel, ask_for):
        self.editor, self.panel, self.figure = editor, panel, panel.figure
        self.shown_time = None  # where the playhead is painted
        self.grid = BarGrid(editor, panel)
        self.playhead = self.grid.axes.add_patch(Rectangle((0, -0.5), 1, len(INSTRUMENTS), color="white", alpha=0.3,
                                                           lw=0, animated=True))
        make_slots(editor, panel)
        self.make_strip()
        self.make_rows()
        self.make_sliders()
        self.make_buttons(ask_for)

    # The bar

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
        """The numbers of a pattern's bars; of a single bar, how far it is from the training bars."""
        editor, panel, (left, bottom, width, height) = self.editor, self.panel, STRIP
        numbers = [panel.text(0, bottom + height / 2, str(i), size=9.5, ha="center") for i in range(1, MOST_BARS + 1)]
        facts = panel.text(left + width, bottom + height / 2, size=9.5, ha="right")
        panel.second_rank.append(facts)

        def look():
            one = len(editor.bars) == 1
            auditioned = editor.audition_source in ("nearest", "model")
            return len(editor.bars), editor.index, self.novelty_text() if one else "", auditioned

        shown = [None]  # what the numbers show

        def change(count, index, text, auditioned):
            panel.fit_text(facts, text, width)
            facts.set_color(ACCENT if auditioned else QUIET)
            for i, number in enumerate(numbers if shown != [(count, index)] else ()):
                ink, paper = (BACKGROUND, ACCENT) if i == index else (QUIET, BACKGROUND)
                number.set(visible=count > 1 and i < count, x=left + width * (i + 0.5) / count, color=ink,
                           bbox=dict(boxstyle="round,pad=0.2", lw=0, fc=paper))
            shown[0] = count, index

        panel.region(STRIP, [*numbers, facts], look, change, patient=True)
        panel.area("strip", STRIP, "Click a bar's number: see it. Again: keep it alone.",
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
        slider("Evolve", (0.515, 0.225, 0.37, 0.045), (0, EVOLVED[-1], 1), lambda cells: editor.set_evolve(int(cells)),
               lambda: (editor.evolve, "{:g} cells" if editor.evolve else "off", not editor.evolve),
               "Cells that change each time the pattern comes round.", label="Evolve", room=(0.12, 0.105),
               default=lambda: editor.set_evolve(0))
        self.panel.button("Fill every", (0.889, 0.228, 0.081, 0.039),
                          lambda: editor.set_fill_every(following(FILLS, editor.fill_every)),
                          lambda: (f"fill {editor.fill_every}" if editor.fill_every else "no fill", False),
                          "A fill in each fourth bar, each eighth, or none.")
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
             "A bar or a session of yours: MIDI, .npy, .json, .wav."))
        for i, (name, action, look, tip) in enumerate(buttons):
            self.panel.button(name, (0.03 + 0.19 * i, ACTIONS[0], 0.18, ACTIONS[1]), action, look, tip,
                              shifted=editor.play_anew if name == "Variation" else None)

    # Painting

    def row_at(self, x, y):
        """The row at a pixel of the figure, over its name, its cells or its hits; None beside."""
        grid = self.panel.pixel_box(GRID)
        return self.grid.row_at((y - grid.y0) / grid.height) if self.panel.part.bbox.contains(x, y) else None

    def paint(self, dragging):
        """Paint what has changed, and the playhead."""
        painted = self.grid.region.painted
        self.panel.paint(dragging)
        if self.grid.region.painted is not painted:
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
