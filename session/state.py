"""All that a musician has made: one immutable State.

    state = State(codes=codes, bars=bars, constraints=CLICK, surface=Surface(18))
    other = replace(state, bpm=96.0, song=(Part(slot=0, repeats=4, fill=True), Part(slot=1)))
    other.same_as(state)                                # False
"""

from collections import namedtuple
from dataclasses import dataclass, fields, replace

import numpy as np

from engine.mixer import Mixer
from patterns.feel import Feel
from patterns.noise import Surface
from patterns.sampling import Constraints

MOST_BARS, MOST_SONG_BARS = 16, 256  # of a pattern in the window, of a song
SLOWEST, FASTEST = 40, 240  # bpm that the window offers
MOST_EVOLVING, MOST_BETWEEN_FILLS = 32, 16  # cells that a pass changes, bars from a fill to the next
SLOTS = "ABCDEFGH"

# The noise between the ends (`noise.Morph`), the bars (2, 8, 64) at them, the constraints under which they are these.
MorphEnds = namedtuple("MorphEnds", "noise bars constraints")


@dataclass(frozen=True, eq=False, kw_only=True)
class Pattern:
    """A pattern of one bar or several, and how it is drawn: what a slot holds.

    codes (bars, latent); bars uint8 (bars, 8, 64); index: the bar that is shown. drawn: the bars are what codes and
    constraints ask for; else they are drawn with the next frame. constraints: on what is drawn next. surface: the noise
    by which bars are drawn. anchors: bars of one's own, opened or edited, that lie on it; the surface has variations of
    them after `next_variation`. own: the bars are from a file. edited: they are not what the surface gives at the
    codes. on_path: they are a path with fills. locks: the rows that stay when the others are redrawn.
    path_start: the code at which a path begins. morph_start, morph, share: see editor/transitions.py.
    """

    codes: np.ndarray
    bars: np.ndarray
    constraints: Constraints
    surface: Surface
    index: int = 0
    drawn: bool = True
    anchors: tuple = ()
    edited: bool = False
    own: bool = False
    on_path: bool = False
    locks: frozenset = frozenset()
    path_start: np.ndarray | None = None
    morph_start: tuple | None = None
    morph: MorphEnds | None = None
    share: float = 1.0

    def same_pattern(self, other):
        """Would nobody see or hear a difference, but for the bar that is shown?"""
        return (self.codes.tobytes(), self.bars.tobytes(), self.morph is None) == (
            other.codes.tobytes(), other.bars.tobytes(), other.morph is None) and all(
            getattr(self, name) == getattr(other, name) for name in ("constraints", "drawn", "locks", "share"))


@dataclass(frozen=True)
class Part:
    """A part of a song: the slot's pattern so many times. fill: its last bar ends in one. morph: the bars that come
    after it and lead to the next part."""

    slot: int
    repeats: int = 1
    fill: bool = False
    morph: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class State(Pattern):
    """The present pattern, and all else.

    sounds: of each row its `Sound`, or the `MadeSound` that describes it. mixer: their strips. sound_locks: the rows
    whose sounds stay in a new kit. kit_seed: of the kit made last. follow: the kit follows the place on the map.
    slots: of each slot its Pattern, or None; the one of `slot` is out of date, since the present pattern is what it
    holds. song: Parts in order. evolve: the cells that change with each pass; fill_every: 4 makes each fourth bar a
    fill; 0 for none. take_over: when a pattern replaces the one that sounds, of timing.TAKE_OVER. metronome: is it on?
    audition_source: "nearest", "model", "song" or "fill" while audition_bars are heard in place of the pattern; rank:
    which of the nearest, from 0.
    """

    sounds: tuple = ()
    mixer: Mixer = Mixer()
    sound_locks: frozenset = frozenset()
    kit_seed: int = 0
    follow: bool = False
    feel: Feel = Feel()
    bpm: float = 120.0
    slots: tuple = (None,) * len(SLOTS)
    slot: int = 0
    song: tuple = ()
    evolve: int = 0
    fill_every: int = 0
    take_over: str = "now"
    metronome: bool = False
    audition_source: str | None = None
    audition_bars: np.ndarray | None = None
    rank: int = 0

    @property
    def pattern(self):
        """The present pattern."""
        return Pattern(**{field.name: getattr(self, field.name) for field in fields(Pattern)})

    def with_pattern(self, pattern, **changes):
        """This state with another pattern."""
        return replace(self, **{field.name: getattr(pattern, field.name) for field in fields(Pattern)}, **changes)

    def pattern_of(self, slot):
        """The Pattern of a slot, None where it is empty."""
        return self.pattern if slot == self.slot else self.slots[slot]

    def in_slot(self, slot):
        """This state with the pattern of another slot as the present one, which its slot keeps; an empty slot begins
        as a copy of it."""
        if slot == self.slot:
            return self
        slots = tuple(self.pattern if i == self.slot else pattern for i, pattern in enumerate(self.slots))
        return self.with_pattern(self.slots[slot] or self.pattern, slots=slots, slot=slot)

    def same_as(self, other):
        """Would nobody see or hear a difference, but for the bar that is shown and what is only auditioned?"""
        return self.same_pattern(other) and all(
            getattr(self, name) == getattr(other, name) for name in COMPARED) and all(
            one is two or one and two and one.same_pattern(two)
            for slot, (one, two) in enumerate(zip(self.slots, other.slots)) if slot != self.slot)

    def work(self):
        """What would be lost without saving: bars by hand, sounds, the mixer, the other slots, the song."""
        return (self.bars.tobytes() if self.edited else None, list(map(id, self.anchors)), self.sounds, self.mixer,
                [other.bars.tobytes() for slot, other in enumerate(self.slots) if other and slot != self.slot],
                self.song)


COMPARED = ("sounds", "mixer", "sound_locks", "kit_seed", "follow", "feel", "bpm", "slot", "song", "evolve",
            "fill_every", "take_over", "metronome")
