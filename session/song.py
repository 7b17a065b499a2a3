"""The song: parts in order, each a slot's pattern so many times, as bars.

    state = replace(state, song=(Part(slot=0, repeats=4, fill=True), Part(slot=1, repeats=2, morph=2)))
    bars, places = song_bars(state, model)              # uint8 (n, 8, 64), a SongBar of each
    places[4].part, places[4].letter, places[4].kind    # 1, "B", ""
"""

import functools
from collections import namedtuple
from dataclasses import replace

import numpy as np

from patterns import paths, sampling
from patterns.noise import Surface
from session.state import MOST_SONG_BARS, SLOTS, Pattern, State

APART = 1e-4  # codes of a file's bars: bars of one score have one code, and each is to be found again
FILL_BEATS = 2  # of the last bar of a part with a fill

# Of a bar of a song: the index of its part, the letter of its slot, "fill", "morph" or "", which time the slot's
# pattern is played in this part, from 0, which of its bars it is. A bar of a morph counts as the last of its part.
SongBar = namedtuple("SongBar", "part letter kind repeat bar")


def song_bars(state, model):
    """The bars of a state's song and where each comes from: (uint8 (n, 8, 64), [SongBar, ...]).

    A part with a fill ends in one, and the bar after it opens with a crash, after the last bar the first. The bars of
    a morph come between the last bar of its part and the first of the next, after the last part the first one's; these
    two stay as they are. The present pattern counts as drawn. Raises ValueError for a song that cannot be played.
    """
    check_song(state)
    sources = {part.slot: Source(state.pattern_of(part.slot)) for part in state.song}
    bars, places = [], []
    for i, part in enumerate(state.song):
        source, letter = sources[part.slot], SLOTS[part.slot]
        for repeat in range(part.repeats):
            bars += list(source.pattern.bars)
            places += [SongBar(i, letter, "", repeat, bar) for bar in range(len(source.pattern.bars))]
        if part.fill:
            bars[-1], places[-1] = fill_of(model, source), places[-1]._replace(kind="fill")
        if part.morph:
            after = sources[state.song[(i + 1) % len(state.song)].slot]
            bars += list(morph_of(model, source, after, part.morph))
            places += [places[-1]._replace(kind="morph")] * part.morph
    for i in [i for i, place in enumerate(places) if place.kind == "fill"]:
        after = (i + 1) % len(bars)
        locks = state.pattern_of(SLOTS.index(places[after].letter)).locks
        bars[after] = paths.with_crash(bars[after], locks)
    return np.stack(bars), places


def state_of_bars(model, slots, song, constraints, seed):
    """A State whose slots, {number: bars (n, 8, 64)}, hold bars of one's own, as the window opens them from files."""
    patterns = {slot: own_pattern(model, bars, constraints, seed) for slot, bars in slots.items()}
    first = min(patterns)
    return State(**vars(patterns[first]), slots=tuple(map(patterns.get, range(len(SLOTS)))), slot=first, song=song)


def own_pattern(model, bars, constraints, seed):
    """A Pattern of bars of one's own, which lie on the surface of a seed where the encoder finds them."""
    codes = file_codes(model, bars, constraints.style)
    anchors = tuple(sampling.anchor(model, *pair, constraints) for pair in zip(bars, codes))
    return Pattern(codes=codes, bars=bars, constraints=constraints, surface=Surface(seed, anchors=anchors),
                   anchors=anchors, own=True)


def file_codes(model, bars, style=None):
    """Where bars of a file lie, float32 (n, latent): by the encoder, each a little way from the one before."""
    codes = sampling.encode(model, bars, style)
    return codes + np.float32(APART) * np.arange(len(bars), dtype=np.float32)[:, None]


def check_song(state):
    """Raise ValueError, in a musician's words, where a song cannot be played."""
    if not state.song:
        raise ValueError("The song has no parts yet.")
    length = 0
    for i, part in enumerate(state.song, start=1):
        pattern = state.pattern_of(part.slot) if part.slot in range(len(SLOTS)) else None
        if pattern is None:
            raise ValueError(f"Part {i} of the song: expected a slot with a pattern, found {slot_name(part.slot)}.")
        if part.repeats < 1 or part.morph < 0:
            raise ValueError(f"Part {i} of the song: expected at least 1 time and a morph of at least 0 bars, found "
                             f"{part.repeats} and {part.morph}.")
        length += len(pattern.bars) * part.repeats + part.morph
    if length > MOST_SONG_BARS:
        raise ValueError(f"The song: expected at most {MOST_SONG_BARS} bars, found {length}.")


def slot_name(slot):
    return f"{SLOTS[slot]}, which is empty" if slot in range(len(SLOTS)) else repr(slot)


class Source:
    """A pattern, equal to another where all that its fills and morphs are made of is equal: so these are kept."""

    def __init__(self, pattern):
        self.pattern = pattern
        self.key = (pattern.bars.tobytes(), pattern.codes.tobytes(), pattern.surface, repr(pattern.constraints),
                    pattern.locks)

    def __eq__(self, other):
        return self.key == other.key

    def __hash__(self):
        return hash(self.key)

    def constraints(self, bar):
        """The pattern's constraints on what is played in place of a bar: its locked rows stay."""
        return replace(self.pattern.constraints, locked=bar, locked_rows=tuple(sorted(self.pattern.locks)))


@functools.lru_cache(maxsize=64)
def fill_of(model, source):
    """The last bar of a pattern with a fill: uint8 (8, 64)."""
    bar, code = source.pattern.bars[-1], source.pattern.codes[-1]
    return paths.fill(model, bar, code, FILL_BEATS, source.pattern.surface, source.constraints(bar))


@functools.lru_cache(maxsize=64)
def morph_of(model, source, after, count):
    """The bars between the last bar of a pattern and the first of another: uint8 (count, 8, 64)."""
    constraints = replace(source.pattern.constraints, hits=None, row_hits={})
    ends = np.stack([source.pattern.bars[-1], after.pattern.bars[0]])
    codes = np.stack([source.pattern.codes[-1], after.pattern.codes[0]])
    return sampling.morph_of_bars(model, ends, codes, count + 2, constraints)[0][1:-1]
