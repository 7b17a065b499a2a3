"""Levelling against BS.1770 measured on the samples: clicks and kits are alike, and what is soft is not blown up."""

import numpy as np
import pytest
from scipy import signal

from engine.loudness import MOST_PEAK, TARGET, Loudness, energies_of, k_weighting
from engine.mixer import Mixer
from engine.sequencer import render
from engine.timing import find_hits
from formats.activation_matrix import CLOSED_HAT, INSTRUMENTS, KICK
from formats.kit import Sound, load_kit, plain_sound

RATE, BAR = 44100, 88200

# The filters of ITU-R BS.1770-4, tables 1 and 2, at 48 kHz.
SHELF = ([1.53512485958697, -2.69169618940638, 1.19839281085285], [1, -1.69065929318241, 0.73248077421585])
HIGH_PASS = ([1, -2, 1], [1, -1.99004745483398, 0.99007225036621])


def measured(samples, rate):
    """The integrated loudness of stereo samples (n, 2) at 48 kHz or so, in LUFS: annex 1 of BS.1770, step by step."""
    samples = signal.resample_poly(samples, 160, 147, axis=0) if rate == 44100 else samples
    weighted = signal.lfilter(*HIGH_PASS, signal.lfilter(*SHELF, samples, axis=0), axis=0)
    block, step = 19200, 4800
    powers = np.array([np.square(weighted[i:i + block]).mean(0).sum()
                       for i in range(0, len(weighted) - block + 1, step)])
    loudness = -0.691 + 10 * np.log10(np.maximum(powers, 1e-20))
    powers, loudness = powers[loudness > -70], loudness[loudness > -70]
    gate = -0.691 + 10 * np.log10(powers.mean()) - 10
    return -0.691 + 10 * np.log10(powers[loudness > gate].mean())


def some_kit(seed):
    """Eight decaying noises, dark or bright, of levels over 30 dB: alternates and layers too."""
    generator, kit = np.random.default_rng(seed), []
    for name in INSTRUMENTS:
        time = np.arange(generator.integers(2000, 20000)) / RATE
        noises = signal.lfilter([1], [1, generator.uniform(-0.95, 0.5)], generator.normal(size=(3, len(time))))
        noises *= 10 ** generator.uniform(-1.5, 0) * np.exp(-time * generator.uniform(8, 40))
        kit.append(Sound(name, ((noises[0],), (noises[1], noises[2])), (60, 127)))
    return tuple(kit)


def some_bar(seed, most=40):
    generator, bar = np.random.default_rng(seed), np.zeros((1, 8, 64), np.uint8)
    count = int(generator.integers(4, most))
    bar[0, generator.integers(0, 8, count), 4 * generator.integers(0, 16, count)] = generator.integers(30, 128, count)
    bar[0, CLOSED_HAT] = 0  # it would cut the open one
    return bar


def test_the_reference_measure_and_the_weighting_are_the_standard_s():
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * 48000) / 48000)
    assert measured(np.stack([sine, 0 * sine], 1), 48000) == pytest.approx(-3.01, abs=0.02)  # BS.1770, annex 1
    hertz = np.fft.rfftfreq(1 << 14, 1 / 44100)[5:7000]
    expected = np.prod([np.abs(signal.freqz(*filters, hertz, fs=48000)[1]) for filters in (SHELF, HIGH_PASS)], axis=0)
    ours = np.abs(k_weighting(1 << 14))[5:7000]
    assert np.abs(20 * np.log10(ours / expected)).max() < 0.15  # another rate bends the shelf a little


def test_the_energy_of_a_sound_is_that_of_the_filtered_samples():
    sound = plain_sound("a", np.random.default_rng(0).uniform(-1, 1, 30000))
    (energy,), = energies_of(sound)
    stereo = np.tile(sound.samples()[:, None], 2)
    power = 10 ** ((measured(np.tile(stereo, (4, 1)), RATE) + 0.691) / 10)
    assert 10 * np.log10(energy.sum() / 30000 / power) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("seed", range(16))
def test_patterns_and_kits_are_as_loud_as_each_other(seed):
    bar, kit = some_bar(seed), some_kit(seed)
    gain = Loudness(kit).gain(find_hits(bar), BAR)
    soft = 100 * render(bar, kit, mixer=Mixer(master=-40.0))
    beat = Loudness(kit).gain_of_beat * 10 ** (9 / 20)
    found = measured(np.tile(soft, (3, 1)), RATE)
    assert found <= TARGET + 0.7
    if gain < 0.99 * beat and np.abs(soft).max() < 0.99 * MOST_PEAK:  # neither bound holds it
        assert found >= TARGET - 1.5  # sounds that overlap do not add quite as their energies


def test_the_same_kit_at_another_level_is_as_loud():
    bar = some_bar(3)
    kit, softer = (tuple(plain_sound(sound.name, level * sound.samples()) for sound in load_kit())
                   for level in (1, 1 / 16))
    np.testing.assert_allclose(render(bar, softer), render(bar, kit), atol=1e-5)


def test_a_soft_bar_of_one_hit_stays_soft_and_one_of_none_is_silent():
    kit = load_kit()
    bar = np.zeros((1, 8, 64), np.uint8)
    assert not render(bar, kit).any()
    levels = {}
    for velocity in (20, 127):
        bar[0, KICK, 0] = velocity
        levels[velocity] = measured(np.tile(render(bar, kit), (3, 1)), RATE)
    assert levels[127] == pytest.approx(TARGET, abs=3) and levels[20] < TARGET - 8


def test_a_click_is_not_driven_far_into_the_limiter():
    kit = tuple(plain_sound(name, np.full(1, 0.01)) for name in INSTRUMENTS)
    bar = some_bar(4)
    gain = Loudness(kit).gain(find_hits(bar), BAR)
    assert 0.5 < gain * 0.01 * (0.1 + 0.9 * (bar.max() - 1) / 126) ** 2 <= MOST_PEAK * 1.0001


def test_silent_sounds_have_a_gain():
    kit = tuple(plain_sound(name, np.zeros(10)) for name in INSTRUMENTS)
    assert np.isfinite(Loudness(kit).gain(find_hits(some_bar(5)), BAR)) and not render(some_bar(5), kit).any()
