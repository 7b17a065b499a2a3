"""The limiter against a plain one, sample by sample: its ceiling, its silence where nothing is loud, any blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.limiter import CEILING, LOOK_AHEAD, RELEASE, Limiter

RATE = 8000
LEAST = 1e-6


def some_noise(seed, count=3000, peak=3.0):
    """Stereo noise (2, count) with silences, soft and loud passages."""
    generator = np.random.default_rng(seed)
    levels = np.repeat(generator.choice([0, 0.1, 0.5, 1], 20), -(-count // 20))[:count]
    return (peak * levels * generator.uniform(-1, 1, (2, count))).astype(np.float32)


def in_blocks(limiter, samples, seed):
    generator, parts, begin = np.random.default_rng(seed), [np.zeros((2, 0), np.float32)], 0
    while begin < samples.shape[1]:
        end = begin + int(generator.integers(1, 500))
        parts.append(limiter.process(samples[:, begin:end]))
        begin = end
    return np.concatenate(parts, axis=1)


def slow_gains(samples, delay):
    """The gain of each sample (n,), by the definition, one by one."""
    count = samples.shape[1]
    needed = [max(0.0, 1 - CEILING / max(1e-9, float(np.abs(samples[:, i]).max()))) for i in range(count)] + [0] * delay
    held = [0.0] * delay
    for i in range(count + delay):
        now = max(max(needed[max(0, i - delay):i + 1]), held[-1] * np.exp(-1 / (RELEASE * RATE)))
        held.append(now if now >= LEAST else 0.0)
    half = delay // 2 + 1
    window = np.convolve(np.ones(half) / half, np.ones(delay + 1 - half) / (delay + 1 - half))
    return np.array([1 - np.dot(window, held[i + 1 + delay:i + 1 + 2 * delay]) for i in range(count)])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10 ** 6), peak=st.sampled_from([0.9, 1.1, 3.0, 100.0]))
def test_it_equals_the_plain_one_whatever_the_blocks_and_never_passes_its_ceiling(seed, peak):
    samples, limiter = some_noise(seed, peak=peak), Limiter(RATE)
    delay, silence = limiter.delay, np.zeros((2, limiter.delay), np.float32)
    out = in_blocks(limiter, np.concatenate([samples, silence], axis=1), seed)
    assert not out[:, :delay].any() and out.dtype == np.float32
    assert np.abs(out).max() <= np.float32(CEILING)
    np.testing.assert_allclose(out[:, delay:], samples * slow_gains(samples, delay), rtol=0, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10 ** 6), rate=st.sampled_from([1000, 44100, 96000]))
def test_what_is_below_the_ceiling_passes_bit_by_bit(seed, rate):
    samples, limiter = some_noise(seed, peak=CEILING), Limiter(rate)
    out = in_blocks(limiter, samples, seed)
    np.testing.assert_array_equal(out[:, limiter.delay:], samples[:, :samples.shape[1] - limiter.delay])


def test_after_a_peak_it_is_exactly_transparent_again():
    samples, limiter = 0.5 * some_noise(1, 20_000, 1.0), Limiter(RATE)
    samples[:, 100] = 4
    out = limiter.process(samples)[:, limiter.delay:]
    far = 100 + limiter.memory
    np.testing.assert_array_equal(out[:, far:], samples[:, far:-limiter.delay])
    assert not np.array_equal(out[:, 100:far], samples[:, 100:far])


def test_one_gain_for_both_channels_that_moves_smoothly_and_recovers_in_time():
    samples = np.full((2, 44100), 0.5, np.float32)
    samples[1] = -0.25
    samples[0, 20000] = 1.9  # 6 dB too loud
    limiter = Limiter(44100)
    gains = limiter.process(samples)[:, limiter.delay:] / samples[:, :-limiter.delay]
    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-6)
    assert gains[0, 20000] == pytest.approx(0.5) and np.abs(np.diff(gains[0])).max() < 0.02
    assert np.all(gains[0, :20000 - limiter.delay] == 1) and limiter.delay == round(LOOK_AHEAD * 44100)
    assert 1 - gains[0, 20000 + int(0.06 * 44100)] == pytest.approx(0.5 / np.e, rel=0.05)


def test_large_blocks_at_a_low_rate_neither_overflow_nor_lose_precision():
    samples = some_noise(3, 100_000)
    one, many = Limiter(1000), Limiter(1000)
    with np.errstate(all="raise"):
        np.testing.assert_allclose(one.process(samples), in_blocks(many, samples, 3), rtol=0, atol=1e-6)
    assert Limiter(RATE).process(samples[:, :0]).shape == (2, 0)
