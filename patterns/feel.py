"""Feel: how far each hit stands from its step in time, by Tight, Swing and Push. The matrix stays what it is.

    feel = Feel(tight=100, swing=60, swing_of="eighth", push={KICK: -8.0})
    offsets = time_offsets(bars, feel, bpm=120)              # float64 (bars, 8, 64), in steps; 0 where no hit is
"""

from dataclasses import dataclass, field

import numpy as np

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR, check_bars

BEAT = STEPS_PER_BAR // 4  # steps
SWUNG = {"eighth": BEAT, "sixteenth": BEAT // 2}  # steps that hold a pair of them
LATEST = 100  # milliseconds that a row may be pushed, to either side


@dataclass(frozen=True)
class Feel:
    """How hits are moved in time; as it is by default, they are not. Raises ValueError for what is out of range.

    tight: 0 to 100 % of the way to the grid. swing: 50 to 75, where in a pair of notes the second begins, in % of the
    pair; swing_of: "eighth" or "sixteenth". push: {row: milliseconds later, -100 to 100}.
    """

    tight: float = 0.0
    swing: float = 50.0
    swing_of: str = "sixteenth"
    push: dict = field(default_factory=dict)

    def __post_init__(self):
        for name, least, most in (("tight", 0, 100), ("swing", 50, 75)):
            if not least <= getattr(self, name) <= most:  # false for nan too
                raise ValueError(f"{name}: expected {least} to {most} %, found {getattr(self, name)}")
        if self.swing_of not in SWUNG:
            raise ValueError(f"swing_of: expected {' or '.join(SWUNG)}, found {self.swing_of!r}")
        for row, milliseconds in self.push.items():
            if row not in range(len(INSTRUMENTS)):
                raise ValueError(f"push: expected a row from 0 to {len(INSTRUMENTS) - 1}, found {row!r}")
            if not -LATEST <= milliseconds <= LATEST:
                raise ValueError(f"push: expected -{LATEST} to {LATEST} milliseconds, found {milliseconds}")


def time_offsets(bars, feel, bpm):
    """By how many steps each hit is moved, float64 (n, 8, 64), 0 where no hit is: bars (n, 8, 64), a loop.

    The first hits may move before the loop's start, and the last beyond its end: there it repeats.
    """
    bars = check_bars(bars)
    grid = bars.transpose(1, 0, 2).reshape(len(INSTRUMENTS), -1)  # (8, 64 n)
    rows, steps = np.nonzero(grid)
    times = steps + 0.0
    if feel.swing > 50:
        times = _swung(times, feel)
    for row, milliseconds in feel.push.items():
        times[rows == row] += milliseconds * bpm * BEAT / 60_000
    offsets = np.zeros(grid.shape)
    offsets[rows, steps] = times - steps
    return offsets.reshape(len(INSTRUMENTS), len(bars), STEPS_PER_BAR).transpose(1, 0, 2)  # (n, 8, 64)


def _swung(times, feel):
    """Times in steps with the second half of each pair begun later: piecewise linear, each pair's ends stay."""
    pair, share = SWUNG[feel.swing_of], feel.swing / 100
    begin = np.floor(times / pair) * pair
    return begin + np.interp(times - begin, (0, pair / 2, pair), (0, pair * share, pair))
