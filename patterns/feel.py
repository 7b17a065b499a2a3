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

# What shows the grid of a beat: where its notes may be, in beats; how far hits stray from them, in steps; the nats that
# one hit costs at most; those against the last two grids, which are rare; those by which a beat departs from its bar.
SIXTEENTHS, THIRTY_SECONDS = np.arange(4) / 4, np.arange(8) / 8
TRIPLETS, SEXTUPLETS, SHUFFLED = np.arange(3) / 3, np.arange(6) / 6, np.array([0, 2, 3, 5]) / 6
STRAY, MOST_NATS, RARE, SURE = 0.8, 4.0, 1.0, 2.0
FAST = 3  # steps: hits of a row no further apart may belong to one roll
CLEAR = 0.5  # steps that two hits of a row are kept apart


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

    Tight first, towards the grid of each beat (`beat_grids`); then Swing, which leaves ternary beats alone; then Push.
    The hits of a row keep their order. The first may move before the loop's start, the last beyond its end, where it
    repeats.
    """
    bars = check_bars(bars)
    grid = bars.transpose(1, 0, 2).reshape(len(INSTRUMENTS), -1)  # (8, 64 n)
    rows, steps = np.nonzero(grid)
    times = steps.astype(float)
    grids = beat_grids(bars) if feel.tight or feel.swing > 50 else None
    for row in np.unique(rows) if feel.tight else ():
        mine = rows == row
        times[mine] += feel.tight / 100 * (_on_grid(steps[mine], grid[row, steps[mine]], grids) - steps[mine])
    if feel.swing > 50:
        times = _swung(times, feel, grids)
    for row, milliseconds in feel.push.items():
        times[rows == row] += milliseconds * bpm * BEAT / 60_000
    offsets = np.zeros(grid.shape)
    offsets[rows, steps] = times - steps
    return offsets.reshape(len(INSTRUMENTS), len(bars), STEPS_PER_BAR).transpose(1, 0, 2)  # (n, 8, 64)


def beat_grids(bars):
    """The notes a beat that the hits of each beat imply, int (4 n,): 4 (sixteenths), 3 or 6 (ternary: triplets).

    A beat reaches from two steps before its first to fourteen after. The steps that are struck have a likelihood under
    each grid (any of its notes alike, normal around it, after the drummer's own lead, which the hits on the beats
    show). The bar takes the likelier kind: sixteenths or thirty-seconds, against triplets, sixteenth-triplets or
    sixteenths shuffled to those. A beat departs from its bar where its own hits are e^SURE times likelier so.
    """
    bars = check_bars(bars)
    hits = np.count_nonzero(bars, axis=1).reshape(-1)  # (64 n,)
    struck = np.flatnonzero(hits)
    beat, place = (struck + 2) // BEAT % (4 * len(bars)), (struck + 2) % BEAT - 2  # -2 to 13
    on_beat = hits[struck] * (place <= 1)
    lead = (np.bincount(beat // 4, on_beat * place, len(bars))
            / (np.bincount(beat // 4, on_beat, len(bars)) + 1))  # (n,), drawn to 0 as by one hit more
    place = place - lead[beat // 4]

    def nats(notes):
        stray = np.abs((place[:, None] - BEAT * notes + BEAT / 2) % BEAT - BEAT / 2).min(1)  # (steps struck,)
        cost = np.minimum(stray ** 2 / (2 * STRAY ** 2), MOST_NATS) + np.log(len(notes))
        return np.bincount(beat, cost, 4 * len(bars))

    triplets, sixths = nats(TRIPLETS), np.minimum(nats(SEXTUPLETS), nats(SHUFFLED)) + RARE
    gain = np.minimum(nats(SIXTEENTHS), nats(THIRTY_SECONDS)) - np.minimum(triplets, sixths)  # (4 n,)
    bar_is_ternary = np.repeat(gain.reshape(-1, 4).sum(1) > 0, 4)
    ternary = gain > np.where(bar_is_ternary, -SURE, SURE)
    return np.where(ternary, np.where(triplets <= sixths, 3, 6), 4)


def _on_grid(steps, velocities, grids):
    """Where the hits of one row belong, float (hits,): steps in order, int, of a loop of len(grids) beats.

    A hit belongs to the nearest note of its beat's grid, but for those of which several would meet: see `_apart`.
    """
    length, count = BEAT * len(grids), len(steps)
    turn = 1 + int(np.argmax(np.diff(steps, append=steps[0] + length)))
    again = length * (np.arange(count) >= count - turn)  # the loop begins after the widest gap: no roll crosses it
    steps, velocities = np.roll(steps, -turn) + again, np.roll(velocities, -turn).astype(int)
    beat = (steps + 2) // BEAT
    width = BEAT / grids[beat % len(grids)]
    home = BEAT * beat + np.floor((steps - BEAT * beat + width / 2) / width) * width
    if (np.diff(steps) == 1).any() or (np.diff(home, append=home[0] + length) < CLEAR).any():
        home = _apart(steps, velocities, home, length)
    return np.roll(home - again, turn)


def _apart(steps, velocities, home, length):
    """Where the hits of a row belong that has some too fast for its grid: float (hits,), in the order of time.

    Hits on neighbouring steps are one event (a flam, a drag): the loudest goes home, the others keep their distance. Of
    two events with one home, the nearer goes there and the other keeps its distance; where three or more follow each
    other closely and two have one home, they are a roll. What would still meet stays as it was played.
    """
    stray = np.abs(home - steps)
    events = np.split(np.arange(len(steps)), np.flatnonzero(np.diff(steps) > 1) + 1)
    mains = np.array([event[np.argmax((velocities - stray / BEAT)[event])] for event in events])
    moves = (home - steps)[mains]  # (events,)
    for run in np.split(np.arange(len(mains)), np.flatnonzero(np.diff(steps[mains]) > FAST) + 1):
        if (np.diff(home[mains[run]]) < CLEAR).any():
            nearer = run[np.argmax((velocities / 128 - stray)[mains[run]])]
            moves[run] = _roll(steps[mains[run]]) if len(run) > 2 else moves[nearer]
    first, last = (steps[[event[end] for event in events]] for end in (0, -1))
    following = np.append(first[1:], first[0] + length)
    while (meeting := following + np.roll(moves, -1) < last + moves + CLEAR).any():
        moves[meeting | np.roll(meeting, 1)] = 0
    return steps + np.repeat(moves, [len(event) for event in events])


def _roll(steps):
    """How far the hits of a roll are from the thirty-seconds, or from the sixteenth-triplets if those are nearer."""
    found = [np.floor(steps / width + 0.5) * width - steps for width in (BEAT / 8, BEAT / 6)]
    found = [moves for moves in found if (np.diff(steps + moves) > 0).all()]  # notes of their own: 32nds always
    return min(found, key=lambda moves: (moves ** 2).sum())


def _swung(times, feel, grids):
    """Times in steps with the second of each pair of notes later: piecewise linear, each pair begins and ends as is."""
    pair, share = SWUNG[feel.swing_of], feel.swing / 100
    begin = np.floor(times / pair) * pair
    swung = begin + np.interp(times - begin, (0, pair / 2, pair), (0, pair * share, pair))
    binary = grids[np.floor(times / BEAT).astype(int) % len(grids)] == 4
    return np.where(binary, swung, times)
