"""Time: where the steps and the hits of a pattern stand, in samples, and where a loop of them stands on a clock.

    starts = step_starts(len(bars), bpm=120)            # int64 (64 n + 1,)
    hits = find_hits(bars, Feel(swing=60), bpm=120)     # [(sample, step, row, velocity, number), ...]
    line = line_through(loop, step=0, at=1000, tempo=120)  # the loop's start is at sample 1000
    line.at(64)                                         # and its next bar here
"""

from collections import namedtuple

import numpy as np

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR, check_bars
from formats.kit import SAMPLE_RATE, check_rate
from patterns.feel import Feel, time_offsets

TAKE_OVER = ("now", "beat", "bar")  # when a pattern replaces another: with the next step, beat or bar
MOST_COUNT_IN = 8  # bars of metronome before a pattern starts
BPM_RANGE = (10.0, 1000.0)  # what the arithmetic is tested for; the window offers 40 to 240


def step_starts(bars_count, bpm, sample_rate=SAMPLE_RATE):
    """The sample at which each step starts, int64 (64 * bars_count + 1,); the last is the length of the loop."""
    if not BPM_RANGE[0] <= bpm <= BPM_RANGE[1]:  # false for nan too
        raise ValueError(f"bpm: expected a number from {BPM_RANGE[0]:g} to {BPM_RANGE[1]:g}, found {bpm}")
    check_rate(sample_rate)
    return _samples_at(np.arange(STEPS_PER_BAR * bars_count + 1), bpm, sample_rate)


def find_hits(bars, feel=Feel(), bpm=120.0, sample_rate=SAMPLE_RATE):
    """Every hit of bars (n, 8, 64) as (sample, step of the loop, row, velocity, number), in the order of steps.

    The sample may be below 0: before the loop's start is at its end. number: of the hit in its row, from 0.
    """
    bar, steps, rows = np.nonzero(bars.transpose(0, 2, 1))
    places = (bar, rows, steps)
    steps = bar * STEPS_PER_BAR + steps
    starts = _samples_at(steps + time_offsets(bars, feel, bpm)[places], bpm, sample_rate)
    counts = np.cumsum(rows[:, None] == np.arange(len(INSTRUMENTS)), axis=0)  # (hits, 8)
    numbers = np.take_along_axis(counts, rows[:, None], 1)[:, 0] - 1  # (hits,)
    return list(zip(*(each.tolist() for each in (starts, steps, rows, bars[places], numbers))))


def check_start(when, count_in):
    """Raises ValueError for what is no time of TAKE_OVER, or no count of bars from 0 to MOST_COUNT_IN."""
    if when not in TAKE_OVER:
        raise ValueError(f"when: expected {', '.join(TAKE_OVER[:-1])} or {TAKE_OVER[-1]}, found {when!r}")
    if count_in not in range(MOST_COUNT_IN + 1):
        raise ValueError(f"count_in: expected 0 to {MOST_COUNT_IN} bars, found {count_in!r}")


def check_pattern(bars):
    """Bars as uint8 (bars, 8, 64). Matrices of 0.0 and 1.0 are refused: as velocities they would be silent."""
    if np.asarray(bars).dtype.kind not in "ui":
        raise ValueError(f"bars: expected whole velocities from 0 to 127, found the type {np.asarray(bars).dtype}")
    return check_bars(bars)


def samples_a_step(bpm, sample_rate):
    """How long a step lasts, in samples, as a fraction."""
    return 240.0 / bpm / STEPS_PER_BAR * sample_rate


class Loop(namedtuple("Loop", "bars feel bpm sample_rate found hits ahead length gain asked")):
    """A pattern made ready to play: its hits as `find_hits` gives them, those (samples after the step, row, velocity,
    number) of each step, by how many samples the earliest is ahead of its step, the samples of a pass, the gain of all,
    the `Asked` of the call that asked for it."""

    def offset(self, step):
        """The sample of a step, or of a place between two, after the loop's start: each pass has whole samples."""
        passes, step = divmod(step, len(self.hits))
        return passes * self.length + round(step * (240.0 / self.bpm / STEPS_PER_BAR) * self.sample_rate)


# Which run it belongs to, from a start to the next stop; which call of play() it is; when it takes over; the count-in.
Asked = namedtuple("Asked", "run number when count_in")


class Line(namedtuple("Line", "loop first base origin stretch")):
    """A loop on the clock, from step `first` of a run on: its own first is step `base`, at sample `origin`, and its
    time is `stretch` times that at which it was prepared (1 and whole samples: exactly as in a file)."""

    def at(self, step):
        """The sample at which a step of the run starts, or of a place between two."""
        return round(self.origin + self.stretch * self.loop.offset(step - self.base))

    def index(self, step):
        """Which step of the loop a step of the run is."""
        return (step - self.base) % len(self.loop.hits)


def line_through(loop, step, at, tempo, first=0, base=0):
    """The Line of a loop that is at a step of the run at a sample, at a tempo in bpm."""
    stretch = loop.bpm / tempo
    return Line(loop, first, base, at - stretch * loop.offset(step - base), stretch)


def _samples_at(steps, bpm, sample_rate):
    """The samples at times in steps, rounded: int64, as many."""
    return np.rint(steps * (240.0 / bpm / STEPS_PER_BAR) * sample_rate).astype(np.int64)
