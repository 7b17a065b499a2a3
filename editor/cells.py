"""The bar that is shown, cell by cell. Commands of a PatternEditor.

    editor.toggle(SNARE, 16); editor.set_cells({(HHC, step): None for step in range(0, 64, 8)})
    editor.copy(KICK); editor.paste(TOM); editor.shift(-4, SNARE); editor.reverse(); editor.undo()

grid: 4, a cell is a sixteenth, and what is struck anywhere in it is its hit; 1, a cell is a step.
"""

import numpy as np

from editor.stateful import command
from formats.activation_matrix import INSTRUMENTS
from patterns.variation import expected_velocity
from session.state import SLOTS

SOFTEST, HARDEST = 1, 127  # MIDI velocities
SIXTEENTH, EARLIEST = 4, 2  # steps; a hit so many steps before a sixteenth belongs to it


class Cells:
    """The commands of a PatternEditor on cells. row: None for all rows."""

    clipboard = None  # what `copy` took: a bar (8, 64), or a row (64,) and its number

    @command
    def toggle(self, row, step, grid=1):
        """Put a hit in a cell of the bar, or take out the one that is there."""
        there = self.hit_near(row, step, grid)
        step = snap(step, grid) if there is None else there
        velocity = self.new_velocity(row, step) if there is None else 0
        self.edit(self.with_cells({(row, step): velocity}), "toggle",
                  f"{place_name(row, step)}: hit {'added' if velocity else 'removed'}.", row=row, step=step,
                  velocity=velocity)

    @command
    def set_cells(self, cells, grid=1):
        """Set cells, {(row, step): velocity}, as one does by drawing along a row: 0 takes out all hits of a cell, None
        puts one in where there is none."""
        changes = {}
        for (row, step), velocity in cells.items():
            first, there = snap(step, grid), self.hit_near(row, step, grid)
            if velocity == 0:
                changes |= {(row, first + i): 0 for i in range(grid)}
            elif there is None:
                changes[row, first] = self.new_velocity(row, first) if velocity is None else playable(velocity)
            elif velocity is not None:
                changes[row, there] = playable(velocity)
        self.edit(self.with_cells(changes), "cells", self.message,
                  cells=[[*cell, velocity] for cell, velocity in changes.items()])

    @command
    def set_velocity(self, row, step, velocity, grid=1):
        """Strike the hit of a cell harder or softer: MIDI velocity, 1 to 127."""
        step = self.hit_near(row, step, grid)
        if step is None:
            return
        velocity = playable(velocity)
        self.edit(self.with_cells({(row, step): velocity}), "velocity",
                  f"{place_name(row, step)}: velocity {velocity}.", row=row, step=step, velocity=velocity)

    def hit_near(self, row, step, grid=1):
        """The step of the hit in a cell, of several the nearest one to the step; None where there is none."""
        first = snap(step, grid)
        hits = first + np.flatnonzero(self.bar[row, first:first + grid])
        return int(min(hits, key=lambda hit: abs(hit - step))) if len(hits) else None

    def new_velocity(self, row, step):
        """The velocity that the model expects of a hit that comes new into a cell."""
        return expected_velocity(self.model, self.bar, row, step, self.code, self.constraints)

    @command
    def copy(self, row=None):
        """Keep the bar, or a row of it, for `paste`."""
        self.clipboard = (self.bar.copy(), None) if row is None else (self.bar[row].copy(), row)
        self.report("copy", f"{rows_name(row)} copied.", row=row)

    @command
    def paste(self, row=None):
        """Put what was copied in place of the bar; into a row, what was copied of a row, or that row of a bar. A row
        without a place of its own goes where it came from."""
        if self.clipboard is None:
            return self.show_message("Nothing is copied yet.", "warning")
        cells, source = self.clipboard
        bar = self.bar.copy()
        if source is not None:
            row = source if row is None else row
            bar[row] = cells
        else:
            bar[rows_of(row)] = cells[rows_of(row)]
        self.edit(bar, "paste", f"{rows_name(row)} pasted.", row=row, source=source)

    @command
    def shift(self, steps, row=None):
        """Let the hits come so many steps later, or earlier; of several bars they go on from one to the next, and from
        the end of the last to the first."""
        by = f"{abs(steps) / SIXTEENTH:g} sixteenth{'s' * (abs(steps) != SIXTEENTH)}"
        self.edit(shifted(self.shown_bars, steps, row), "shift",
                  f"{rows_name(row)}: {by} {'later' if steps > 0 else 'earlier'}.", row=row, steps=steps)

    @command
    def reverse(self, row=None):
        """Play the sixteenths of the bar backwards."""
        self.edit(backwards(self.bar, row), "reverse", f"{rows_name(row)} reversed.", row=row)

    @command
    def clear(self, row=None):
        """Take all hits out of the bar."""
        bar = self.bar.copy()
        bar[rows_of(row)] = 0
        self.edit(bar, "clear", f"{rows_name(row)} cleared.", row=row)

    def with_cells(self, cells):
        """The bar that is shown with these cells, {(row, step): velocity}."""
        bar = self.bar.copy()
        for cell, velocity in cells.items():
            bar[cell] = velocity
        return bar

    def edit(self, made, action, message, **details):
        """Let the bar that is shown, (8, 64), or all bars be those made by hand, and report it. What was heard in place
        of the pattern is the pattern then."""
        bars = self.shown_bars.copy()
        bars[self.index if made.ndim == 2 else slice(None)] = made
        if self.audition_source == "song":
            message = f"{message} The song ends: this is slot {SLOTS[self.slot]}."
        elif self.audition_source in ("nearest", "model"):
            message = f"{message} This is your bar now."
        if self.audition_source or not np.array_equal(bars, self.bars):
            self.set_bars(bars, edited=True)
        self.report(action, message, **details)


def playable(velocity):
    """A MIDI velocity of a hit, as near as there is."""
    return int(np.clip(velocity, SOFTEST, HARDEST))


def snap(step, grid=SIXTEENTH):
    """The first step of the cell of a grid that a step lies in."""
    return step - step % grid


def rows_of(row):
    return slice(None) if row is None else [row]


def rows_name(row):
    return "The bar" if row is None else INSTRUMENTS[row]


def place_name(row, step):
    return f"{INSTRUMENTS[row]}, beat {1 + step // 16}, step {1 + step % 16} of 16"


def shifted(bars, steps, row=None):
    """Bars (n, 8, 64) with all hits, or those of a row, so many steps later, around the end of the last bar."""
    bars, rows = bars.copy(), rows_of(row)
    along = bars[:, rows].transpose(1, 0, 2)                                          # (rows, n, 64)
    bars[:, rows] = np.roll(along.reshape(len(along), -1), steps, 1).reshape(along.shape).transpose(1, 0, 2)
    return bars


def backwards(bars, row=None):
    """Bars (..., 8, 64) with their sixteenths backwards, or those of a row; a hit before or after its sixteenth stays
    so."""
    bars, rows = bars.copy(), rows_of(row)
    steps = np.roll(bars[..., rows, :], EARLIEST, -1)                                 # (..., rows, 64)
    blocks = steps.reshape(*steps.shape[:-1], -1, SIXTEENTH)[..., ::-1, :]            # (..., rows, 16, 4)
    bars[..., rows, :] = np.roll(blocks.reshape(steps.shape), -EARLIEST, -1)
    return bars
