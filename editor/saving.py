"""Files: bars and sessions opened, and all that is saved. Commands of a PatternEditor.

    editor.open_file("my_bar.mid"); editor.save()
"""

from pathlib import Path

import numpy as np

from command_line import one_line
from editor.stateful import command
from patterns import sampling
from session.export import read_with_tempo, save_pattern
from session.state import FASTEST, MOST_BARS, SLOWEST

APART = 1e-4  # codes of a file's bars: bars of one score have one code, and each is to be found again


class Saving:
    """The commands of a PatternEditor on files."""

    @command
    def open_file(self, path):
        """Make the bars of a file the pattern, anchored at the codes that the encoder gives them, at its tempo."""
        try:
            bars, bpm = read_with_tempo(Path(path).expanduser(), MOST_BARS)
        except (OSError, ValueError) as error:
            raise ValueError(f"Not opened: {one_line(error)}") from error
        unsaved = self.unsaved
        self.anchor_edits()
        codes = sampling.encode(self.model, bars, self.constraints.style)
        codes += np.float32(APART) * np.arange(len(bars), dtype=np.float32)[:, None]
        self.set_bars(bars, start=True, codes=codes, index=0, on_path=False, own=True, morph=None, edited=True)
        self.anchor_edits()
        self.bpm = self.bpm if bpm is None else float(np.clip(bpm, SLOWEST, FASTEST))
        tempo = f" ({self.bpm:g} bpm here, not its {bpm:g})" if bpm not in (None, self.bpm) else ""
        self.saved = self.saved if unsaved else self.state
        self.report("open", f"{Path(path).name}{tempo}. m: what the model makes of it, n: the nearest training bar.",
                    bars=len(bars))

    def save(self):
        """Write the bars as MIDI, WAV and PNG under the next free name; an error becomes a warning."""
        try:
            path = save_pattern(self.folder, self.heard_bars, self.bpm, self.whole_kit(), self.feel, self.mixer)
            self.saved = self.state
            self.report("save", f"Saved {path.name}.mid, .wav and .png in {self.folder}", path=str(path))
        except (OSError, ValueError) as error:
            self.report("not saved", f"Not saved: {one_line(error)}", "warning")
