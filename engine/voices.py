"""What sounds: the sounds of a kit as a mixer's strips make them, and the tails of all hits so far.

    voices = Voices(kit, mixer)                         # tuned and shortened once, for all hits to come
    tails.add(at, SNARE, voices.sounds[SNARE].samples(velocity=90, hit=3), voices.gains[SNARE])
"""

import weakref
from dataclasses import replace

import numpy as np

from formats.activation_matrix import CLOSED_HAT, INSTRUMENTS, OPEN_HAT
from formats.audio import resample
from formats.kit import Sound

# By velocity, (128,): the square law (Dannenberg, The Interpretation of MIDI Velocity, ICMC 2006). 127 is the sound as
# it is, 64 is -10 dB, 30 (a ghost note) -21 dB, 1 is -40 dB; 0 is no hit.
AMPLITUDE = np.r_[0, np.linspace(0.1, 1, 127) ** 2].astype(np.float32)

CHOKES = {CLOSED_HAT: OPEN_HAT}  # {row: the row that it cuts}; another pair would need a ring of its own in Tails
TOGETHER = tuple(int(row in CHOKES.values()) for row in range(len(INSTRUMENTS)))  # rings: what may be cut, the others
CLICK_SECONDS, CLICK_LEVEL = 0.04, 0.4  # of the metronome: its peak
CHOKE_SECONDS = 0.005  # in which what is cut fades away

_shaped = weakref.WeakKeyDictionary()  # {Sound: ((tune, decay), what they make of it)}, the last of each


class Voices:
    """What each row plays, made before it is struck. sounds: eight Sounds; gains: eight (left, right), the master's
    level in; heard: eight bools; longest: of the samples of them all. Raises ValueError for what is not a kit."""

    def __init__(self, kit, mixer):
        if len(kit) != len(INSTRUMENTS) or not all(isinstance(sound, Sound) for sound in kit):
            raise ValueError(f"kit: expected {len(INSTRUMENTS)} Sounds, found {len(kit)} of "
                             f"{', '.join(sorted({type(sound).__name__ for sound in kit}))}")
        self.sounds = tuple(shaped(sound, strip.tune, strip.decay) for sound, strip in zip(kit, mixer.strips))
        master = 10 ** (mixer.master / 20)
        self.gains = tuple(tuple((master * mixer.gains(row)).tolist()) for row in range(len(kit)))
        self.heard = tuple(map(mixer.heard, range(len(kit))))
        self.longest = max(len(samples) for sound in self.sounds for layer in sound.layers for samples in layer)


def shaped(sound, tune=0.0, decay=1.0):
    """A Sound `tune` semitones higher and dying away by `decay` of its length; the last of each is kept."""
    if (tune, decay) == (0, 1):
        return sound
    kept, made = _shaped.get(sound, (None, None))
    if kept != (tune, decay):
        made = replace(sound, layers=tuple(tuple(_shape(samples, tune, decay) for samples in layer)
                                           for layer in sound.layers))
        _shaped[sound] = (tune, decay), made
    return made


def _shape(samples, tune, decay):
    samples = resample(samples, 2 ** (tune / 12), 1.0)
    if not len(samples):
        samples = np.zeros(1, np.float32)
    shares = np.arange(len(samples)) / len(samples)
    return (samples * 10 ** (-3 * shares * (1 / decay - 1))).astype(np.float32)


def metronome_click(sample_rate, accent):
    """A short click, higher on the first beat of a bar: float32 (n,)."""
    seconds = np.arange(round(CLICK_SECONDS * sample_rate)) / sample_rate
    pitch = 1760 if accent else 1174.7  # Hz: a, and the d below
    return (CLICK_LEVEL * np.sin(2 * np.pi * pitch * seconds) * np.exp(-7 * seconds / CLICK_SECONDS)).astype(np.float32)


class Tails:
    """What the hits so far have yet to sound, stereo, in rings; ring_of: the ring of each row, those that may be cut in
    one by themselves."""

    def __init__(self, sample_rate, ring_of=TOGETHER):
        self.clock = 0  # samples taken so far
        self._ring_of = ring_of
        self._rings = np.zeros((max(ring_of) + 1, 2, 1), np.float32)  # (ring, channel, samples)
        self._scaled = np.empty(1, np.float32)
        self._fade = np.linspace(1, 0, max(2, round(CHOKE_SECONDS * sample_rate)), dtype=np.float32)
        self._cut_until = 0  # where the tails end that may be cut

    def reserve(self, longest):
        """Make room for sounds of so many samples, beyond those that are taken at once."""
        old = self._rings.shape[2]
        if longest <= old:
            return
        grown = np.zeros((len(self._rings), 2, 1 << (longest - 1).bit_length()), np.float32)
        at = self.clock + np.arange(old)
        grown[:, :, at % grown.shape[2]] = self._rings[:, :, at % old]
        self._rings, self._scaled = grown, np.empty(longest, np.float32)

    def add(self, at, row, samples, gains):
        """Sound samples (n,) of a row from sample `at` on with gains (left, right)."""
        if row in CHOKES.values():
            self._cut_until = max(self._cut_until, at + len(samples))
        scaled, now = self._scaled[:len(samples)], None
        for channel, gain in zip(self._rings[self._ring_of[row]], gains):
            if gain != now:  # in the middle both are the same
                np.multiply(samples, np.float32(gain), out=scaled)
                now = gain
            for place, part in self._spans(at, len(samples)):
                channel[place] += scaled[part]

    def cut(self, at, row):
        """Fade what rings of a row that may be cut away from sample `at` on."""
        fade, ring = self._fade[:max(0, self._cut_until - at)], self._rings[self._ring_of[row]]
        for place, part in self._spans(at, len(fade)):
            ring[:, place] *= fade[part]
        for place, _ in self._spans(at + len(fade), self._cut_until - at - len(fade)):
            ring[:, place] = 0
        self._cut_until = min(self._cut_until, at + len(fade))

    def take(self, frames):
        """The next samples of each ring, float32 (rings, 2, frames)."""
        taken = np.empty((len(self._rings), 2, frames), np.float32)
        for place, part in self._spans(self.clock, frames):
            taken[:, :, part] = self._rings[:, :, place]
            self._rings[:, :, place] = 0
        self.clock += frames
        return taken

    def _spans(self, at, count):
        """Where `count` samples from `at` on stand in a ring: [(slice of the ring, which of the samples), ...]."""
        if count <= 0:
            return ()
        start = at % self._rings.shape[2]
        first = min(count, self._rings.shape[2] - start)
        return (slice(start, start + first), slice(first)), (slice(count - first), slice(first, count))
