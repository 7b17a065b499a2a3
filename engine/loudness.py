"""Loudness: the gain of a pattern at which it sounds as loud as others, by ITU-R BS.1770 (K-weighted, gated).

    gain = Loudness(kit).gain(find_hits(bars), length=88200)

Energies of sounds that do not know of each other add: those of each sound are computed once, in parts of 0.1 s, and a
pattern's are sums of them, in microseconds. The mixer's faders have no part in it: they act on what is levelled.
"""

import functools
import weakref

import numpy as np

from engine.voices import AMPLITUDE
from formats.activation_matrix import CLOSED_HAT, KICK, SNARE, STEPS_PER_BAR
from formats.kit import HARDEST, SAMPLE_RATE

TARGET = -18.0  # LUFS of a pattern
MOST_ABOVE_BEAT = 9.0  # dB that a pattern's gain is at most above that of BEAT
MOST_PEAK = 1.4  # of a single hit, which the limiter brings below 1: 3 dB at most for one
PART = round(0.1 * SAMPLE_RATE)  # samples
BLOCK = 4  # parts: BS.1770 measures in blocks of 0.4 s, every 0.1 s
SILENCE, GATE = 1e-7, 0.1  # powers below -70 LUFS, and blocks 10 dB below the others', do not count
OFFSET = 10 ** -0.0691  # of power to loudness

# A plain beat at 120 bpm, of which each kit shall be as loud as any other: [(sample, step, row, velocity, number), ...]
BEAT_LENGTH = 2 * SAMPLE_RATE
BEAT = [(step * BEAT_LENGTH // STEPS_PER_BAR, step, row, 100, 0) for row, steps in (
    (KICK, (0, 32)), (SNARE, (16, 48)), (CLOSED_HAT, range(0, 64, 8))) for step in steps]

_energies = weakref.WeakKeyDictionary()  # {Sound: energies_of it}


class Loudness:
    """How loud patterns are with a kit of eight Sounds. gain_of_beat: the gain of BEAT, and of a pattern of no hits."""

    def __init__(self, kit):
        self._places, energies = np.zeros((2, len(kit), HARDEST + 1), int), []  # of a layer: its first, how many
        for row, sound in enumerate(kit):
            slowest = 0
            for fastest, layer in zip(sound.velocities, energies_of(sound)):
                self._places[:, row, slowest:fastest + 1] = [[len(energies)], [len(layer)]]
                energies, slowest = energies + layer, fastest + 1
        self._energies = np.zeros((len(energies), max(map(len, energies))))  # (sounds, parts)
        for mine, energy in zip(self._energies, energies):
            mine[:len(energy)] = energy
        self._peaks = np.array([np.abs(samples).max() for sound in kit for layer in sound.layers for samples in layer])
        self._least = max(self.power(BEAT, BEAT_LENGTH) * 10 ** (-MOST_ABOVE_BEAT / 10), SILENCE)
        self.gain_of_beat = self.gain(BEAT, BEAT_LENGTH)

    def gain(self, hits, length):
        """The gain at which a pattern has the loudness TARGET: of its hits by `find_hits` and its samples."""
        if not hits:
            return self.gain_of_beat
        _, sounds, amplitudes = self._parts_of(hits)
        gain = np.sqrt(10 ** (TARGET / 10) / max(self.power(hits, length), self._least))
        return float(min(gain, MOST_PEAK / max((amplitudes * self._peaks[sounds]).max(), 1e-9)))

    def power(self, hits, length):
        """The gated power of hits in a loop of `length` samples at gain 1, both channels: BS.1770, eq. 5 to 7."""
        at, sounds, amplitudes = self._parts_of(hits)
        energies = amplitudes[:, None] ** 2 * self._energies[sounds]  # (hits, parts)
        count = max(1, round(length / PART))
        parts = (at % length * count // length)[:, None] + np.arange(energies.shape[1])  # (hits, parts)
        powers = np.bincount((parts % count).ravel(), energies.ravel(), count) * (count / length)
        return gated_mean(OFFSET * sum(np.roll(powers, -shift) for shift in range(BLOCK)) / BLOCK)

    def _parts_of(self, hits):
        """The samples at which hits are, which sounds, and the amplitudes: three arrays (hits,)."""
        at, _, rows, velocities, numbers = np.array(hits).T
        first, count = self._places[:, rows, velocities]
        return at, first + numbers % count, AMPLITUDE[velocities].astype(float)


def gated_mean(powers):
    """The mean of the powers that pass both gates of BS.1770, or 0."""
    powers = powers[powers > SILENCE]
    return powers[powers > GATE * powers.mean()].mean() if len(powers) else 0.0


def energies_of(sound):
    """The K-weighted energy of each layer's alternates, both channels, in parts of 0.1 s: [[(parts,), ...], ...]."""
    if sound not in _energies:
        _energies[sound] = [[_energy(samples) for samples in layer] for layer in sound.layers]
    return _energies[sound]


def _energy(samples):
    size = 1 << (len(samples) + PART).bit_length()
    weighted = np.fft.irfft(np.fft.rfft(samples, size) * k_weighting(size), size)  # (size,)
    count = -(-len(samples) // PART) + 1
    squares = 2 * np.pad(weighted[:count * PART], (0, max(0, count * PART - size))) ** 2
    return squares.reshape(count, PART).sum(1)  # (count,)


@functools.lru_cache(maxsize=8)
def k_weighting(size):
    """The K-weighting of BS.1770 at the frequencies of numpy's rfft of `size` samples: complex (size // 2 + 1,).

    A high shelf for the head, then a high-pass, by their analogue frequencies, quality and gain (libebur128's).
    """
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    k, q, gain = np.tan(np.pi * 1681.974450955533 / SAMPLE_RATE), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    middle = gain ** 0.4996667741545416
    shelf = (((gain + middle * k / q + k * k) + 2 * (k * k - gain) * z + (gain - middle * k / q + k * k) * z * z)
             / ((1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z * z))
    k, q = np.tan(np.pi * 38.13547087602444 / SAMPLE_RATE), 0.5003270373238773
    pass_high = (1 - z) ** 2 / (1 + 2 * (k * k - 1) / (1 + k / q + k * k) * z
                                + (1 - k / q + k * k) / (1 + k / q + k * k) * z * z)
    return shelf * pass_high
