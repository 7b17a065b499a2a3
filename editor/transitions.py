"""From one bar to another: a path of several bars with fills, a morph by a slider, bars that follow, a loop that
evolves. Commands of a PatternEditor.

    editor.path(); editor.go_to(code, "There"); editor.end_path(8)
    editor.begin_or_end_morph(); editor.open_file("b.mid"); editor.begin_or_end_morph(); editor.morph_to(0.5)
    editor.continue_bars(8); editor.fill_around({KICK, SNARE})
    editor.set_evolve(4); editor.set_fill_every(8)      # from now on, each pass of the loop is another

While a loop evolves, the next version of a bar is made in the second half of the bar before it, and takes over at the
bar line, for the ear and the eye. All that it changes until the next command is one step of undo.
"""

from collections import namedtuple
from dataclasses import replace

import numpy as np

from editor.stateful import command
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from patterns import noise, paths, sampling, variation
from session.state import MOST_BARS, MOST_BETWEEN_FILLS, MOST_EVOLVING, MorphEnds

# What takes over at the next bar line: the bars before, those after, and these with a fill, or None.
Ahead = namedtuple("Ahead", "origin bars filled")


class Transitions:
    """The commands of a PatternEditor that go from one bar to another."""

    heard_place, lines_passed = None, 0  # (bar, step) heard with the last frame, bar lines since play
    ahead = evolved_from = None  # an Ahead; the State that undo returns to from all that has evolved since
    continued = 0  # times that bars were made to follow

    # A path

    @command
    def path(self):
        """Begin a path at this point; the second time, end it here."""
        if self.path_start is not None:
            return self.end_path()
        self.anchor_edits()
        self.path_start = self.code
        self.show_message("A path from here: click or drag to its end, then p again.")

    @command
    def leave(self):
        """Begin neither path nor morph, and stay at the bar that is shown."""
        self.path_start = self.morph_start = self.morph = None
        self.show_message("No path, no morph.")

    @command
    def end_path(self, count=8):
        """Play a path of `count` bars from where it began to this point, with fills; nothing changes if it fails."""
        if self.path_start is None:
            return self.show_message("A path begins with p.")
        self.anchor_edits()
        codes = np.linspace(self.path_start, self.code, count).astype(np.float32)     # (count, latent)
        bars = self.draw(codes, on_path=True)
        self.set_bars(bars, start=True, codes=codes, index=0, path_start=None, on_path=True, own=False, morph=None,
                      edited=False)
        self.report("path", f"A path of {count} bars; the last ends in a fill. Click a number to keep that bar.",
                    bars=count)

    # A morph

    @command
    def begin_or_end_morph(self):
        """Begin a morph at the bar that is shown; the second time, end it at the one shown then."""
        if self.morph_start is None:
            self.morph_start, self.morph = (self.bar, self.code), None
            return self.show_message("A morph from this bar: click, edit or open another, then g again.")
        (first, start), (last, end) = self.morph_start, (self.bar, self.code)
        if np.abs(end - start).max() < sampling.CLOSEST:
            end = start + np.float32(sampling.CLOSEST)
        ends = (sampling.anchor(self.model, *pair, self.constraints) for pair in ((first, start), (last, end)))
        morph = MorphEnds(noise.Morph(*ends), np.stack([first, last]), self.constraints)
        self.set_bars(last[None], start=True, codes=end[None], index=0, morph=morph, share=1.0, morph_start=None,
                      on_path=False, own=False, edited=False)
        self.report("morph", "A morph of two bars: move its slider, below the bar. Esc leaves it.")

    @command
    def morph_to(self, share):
        """Be a share, 0 to 1, of the way from the first bar of the morph to the second."""
        if self.morph and share != self.share:
            start, end = (np.asarray(anchor.code) for anchor in (self.morph.noise.start, self.morph.noise.end))
            codes = (start + np.float32(share) * (end - start))[None]
            self.state = replace(self.state, codes=codes, share=float(share), audition_source=None, edited=False,
                                 drawn=False)
            self.log("morph to", share=self.share)

    def draw_morph(self, constraints):
        """The bar of the morph at `share`, under constraints: uint8 (1, 8, 64)."""
        if self.share in (0, 1) and self.constraints == self.morph.constraints:
            bars, rows = self.morph.bars[[int(self.share)]], list(constraints.locked_rows)
            bars[:, rows] = constraints.locked[rows]
            return bars
        return sampling.draw(self.model, self.codes, self.morph.noise, constraints)

    # Bars that follow, and rows around those that are there

    @command
    def continue_bars(self, count=8):
        """Let the bar that is shown be followed by others in its style, `count` in all; each time by others."""
        check_range("bars", count, 2, MOST_BARS)
        self.anchor_edits()
        self.continued += 1
        constraints = self.locked_constraints()[self.index]
        bars, codes = variation.continue_bars(self.model, self.bar[None], self.code[None], count,
                                              self.surface.seed + self.continued, constraints)
        bars = variation.with_fills(self.model, bars, codes, self.fill_every, self.surface.seed, constraints)
        self.set_bars(bars, start=True, codes=codes, index=0, on_path=False, own=False, morph=None, edited=True)
        self.report("continue", f"This bar and {count - 1} that follow it. Again for others.", bars=count)

    @command
    def fill_around(self, rows):
        """Keep these rows and those that are locked, and draw the others around them, where the bars lie."""
        kept = tuple(sorted(self.locks.union(rows)))
        codes = sampling.encode(self.model, self.shown_bars, self.constraints.style)
        row_hits = {row: hits for row, hits in self.constraints.row_hits.items() if row not in kept}
        each = [replace(self.constraints, row_hits=row_hits, locked=bar, locked_rows=kept) for bar in self.shown_bars]
        bars = self.draw_each(codes, each, self.surface.with_anchor())
        self.set_bars(bars, start=True, codes=codes, on_path=False, own=False, morph=None, edited=True)
        names = ", ".join(INSTRUMENTS[row] for row in kept)
        self.report("fill around", f"The other rows are drawn around {names or 'none'}: {self.describe()}.", rows=kept)

    # A loop that evolves

    @command
    def set_evolve(self, cells):
        """Change so many cells of a bar with each pass while it plays; 0 for none."""
        check_range("cells to change", cells, 0, MOST_EVOLVING)
        self.evolve = int(cells)
        self.leave_fill()
        self.report("evolve", f"Each pass changes {cells} cell{'s' * (cells != 1)} of a bar, while it plays. Undo "
                    "brings back the bars it began with." if cells else "The loop stays as it is.", cells=cells)

    @command
    def set_fill_every(self, bars):
        """Let every `bars`-th bar end in a fill while it plays; 0 for none."""
        check_range("bars from fill to fill", bars, 0, MOST_BETWEEN_FILLS)
        self.fill_every = int(bars)
        self.leave_fill()
        self.report("fill every", f"A fill in one bar of {bars}, while it plays." if bars else "No fills.", bars=bars)

    @property
    def written_bars(self):
        """What is saved: what is heard, but for a fill, which is left again: uint8 (bars, 8, 64)."""
        return self.bars if self.audition_source == "fill" else self.heard_bars

    def leave_fill(self):
        """Be without a fill, and without what was to come."""
        self.ahead, self.playing_bars = None, self.playing_bars if self.ahead is None else None
        if self.audition_source == "fill":
            self.state = replace(self.state, audition_source=None, audition_bars=None)

    def go_on(self):
        """Once a frame: let a loop that evolves go on, what comes next take over at the bar line."""
        idle = self.gesture or self.recording or not self.drawn or self.audition_source not in (None, "fill")
        if not self.playing or not (self.evolve or self.fill_every):
            if self.ahead or self.audition_source == "fill":
                self.leave_fill()
                self.update()
            self.heard_place, self.lines_passed = None, 0
            return
        before, self.heard_place = self.heard_place, self.player.position()
        if before is None or self.heard_place is None or idle:
            return
        if self.heard_place[0] != before[0] or self.heard_place[1] < before[1]:  # a bar line
            self.lines_passed += 1
            self.enter_bar()
        elif self.heard_place[1] >= STEPS_PER_BAR // 2 and (self.ahead is None or self.ahead.origin is not self.bars):
            self.prepare_bar()

    def prepare_bar(self):
        """Make the next version of the bar that comes next, and let the player take it at the bar line."""
        index, number = (self.heard_place[0] + 1) % len(self.bars), self.lines_passed + 1
        constraints = replace(self.constraints, locked=self.bars[index], locked_rows=tuple(sorted(self.locks)))
        bars, code, seed, filled = self.bars, self.codes[index], self.surface.seed + number, None
        try:
            if self.evolve and number >= len(bars):
                bars = bars.copy()
                bars[index] = variation.evolve(self.model, bars[index], code, self.evolve, seed, constraints)
            if self.fill_every and (number + 1) % self.fill_every == 0:
                filled = bars.copy()
                filled[index] = paths.fill(self.model, bars[index], code, variation.FILL_BEATS, seed, constraints)
        except ValueError:  # counts that edited bars do not have
            bars = self.bars
        self.ahead = Ahead(self.bars, bars, filled)
        shown = bars if filled is None else filled
        if shown is not self.heard_bars:
            self.with_sound(self.player.play, shown, self.feel, "bar")

    def enter_bar(self):
        """At a bar line: show what takes over there. What evolves is one step of undo until the next command."""
        ahead, self.ahead, before = self.ahead, None, self.state
        if ahead is None or ahead.origin is not self.bars:
            return
        self.state = replace(self.state, bars=ahead.bars, edited=self.edited or ahead.bars is not ahead.origin,
                             audition_source=None if ahead.filled is None else "fill", audition_bars=ahead.filled)
        self.playing_bars = self.heard_bars
        if ahead.bars is not ahead.origin and not (self.past and self.past[-1] is self.evolved_from):
            self.evolved_from = before
            self.remember(before)
        self.update()


def check_range(what, number, least, most):
    """Raise ValueError where a number is none of those that are offered."""
    if not least <= number <= most:
        raise ValueError(f"{what}: expected {least} to {most}, found {number}")
