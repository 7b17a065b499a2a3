"""From one bar to another: a path of several bars with fills, and a morph by a slider. Commands of a PatternEditor.

    editor.path(); editor.go_to(code, "There"); editor.end_path(8)
    editor.begin_or_end_morph(); editor.open_file("b.mid"); editor.begin_or_end_morph(); editor.morph_to(0.5)
"""

from dataclasses import replace

import numpy as np

from editor.stateful import command
from patterns import noise, sampling
from session.state import MorphEnds


class Transitions:
    """The commands of a PatternEditor that go from one bar to another."""

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
