"""The bar that is shown, cell by cell. Commands of a PatternEditor.

    editor.toggle(SNARE, 16)
"""

from editor.stateful import command
from formats.activation_matrix import INSTRUMENTS

NEW_HIT = 100  # MIDI velocity of a hit that a click puts in


class Cells:
    """The commands of a PatternEditor on cells."""

    @command
    def toggle(self, row, step):
        """Put a hit in a cell of the bar, or take it out."""
        bars = self.shown_bars.copy()
        bars[self.index, row, step] = 0 if bars[self.index, row, step] else NEW_HIT
        self.set_bars(bars, edited=True)
        velocity, place = int(self.bar[row, step]), f"beat {1 + step // 16}, step {1 + step % 16} of 16"
        self.report("toggle", f"{INSTRUMENTS[row]}, {place}: hit {'added' if velocity else 'removed'}.",
                    row=row, step=step, velocity=velocity)
