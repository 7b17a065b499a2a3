"""The mixer: a strip for each row (level, pan, tune, decay, mute, solo), and the master's level.

    mixer = Mixer().with_strip(SNARE, level=-3.0, pan=0.2, tune=-2.0)
    left, right = mixer.gains(SNARE)

All values are plain and immutable, so that undo is to keep an old one.
"""

from dataclasses import dataclass, replace

import numpy as np

from formats.activation_matrix import INSTRUMENTS

# {name: (lowest, highest)} of what a strip holds: dB, from left to right, semitones, a share of the length.
RANGES = {"level": (-40.0, 12.0), "pan": (-1.0, 1.0), "tune": (-12.0, 12.0), "decay": (0.05, 1.0)}
MASTER = (-40.0, 12.0)  # dB


@dataclass(frozen=True)
class Strip:
    """How a row sounds; by default as its sound is. level in dB, pan from -1 (left) to 1, tune in semitones, decay: the
    share of its length after which a sound has died away. Raises ValueError for what is out of range."""

    level: float = 0.0
    pan: float = 0.0
    tune: float = 0.0
    decay: float = 1.0
    mute: bool = False
    solo: bool = False

    def __post_init__(self):
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:  # false for nan too
                raise ValueError(f"{name}: expected {low:g} to {high:g}, found {getattr(self, name)}")


@dataclass(frozen=True)
class Mixer:
    """Eight strips, and the master's level in dB."""

    strips: tuple = (Strip(),) * len(INSTRUMENTS)
    master: float = 0.0

    def __post_init__(self):
        if not MASTER[0] <= self.master <= MASTER[1]:
            raise ValueError(f"master: expected {MASTER[0]:g} to {MASTER[1]:g} dB, found {self.master}")

    def with_strip(self, row, **changes):
        """The mixer with another strip of a row."""
        strips = list(self.strips)
        strips[row] = replace(strips[row], **changes)
        return replace(self, strips=tuple(strips))

    def heard(self, row):
        """Is a row heard: not muted, and if any is solo, solo itself?"""
        strip = self.strips[row]
        return not strip.mute and (strip.solo or not any(other.solo for other in self.strips))

    def gains(self, row):
        """The gains of a row for left and right, where it is heard, the master's not in: (2,).

        Constant power, 1 each in the middle.
        """
        strip = self.strips[row]
        angle = (strip.pan + 1) * np.pi / 4
        gain = 10 ** (strip.level / 20) * np.sqrt(2)
        return gain * np.array([np.cos(angle), np.sin(angle)])
