"""sounds/descriptors.py against oracles: envelopes of known attack and decay, noise, tones, so many bursts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from sounds.descriptors import (NAMES, attack_ms, band_numbers, bursts, decay_ms, describe, describe_all, envelope,
                                falling_fit, flatness_db, level_db, roughness_db)

RATE = 44100


def noise(seconds, seed=0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def time(seconds):
    return np.arange(round(seconds * RATE)) / RATE


def tone(hertz, seconds=0.5):
    return np.sin(2 * np.pi * hertz * time(seconds))


def test_an_envelope_is_the_rms_over_its_window():
    samples = noise(0.01)
    found = envelope(samples, RATE, 0.001)
    assert len(found) == len(samples)
    for i in (0, 100, 440):
        inside = np.pad(samples, 44)[i + 22:i + 66]
        assert math.isclose(found[i], np.sqrt(np.mean(inside ** 2)), rel_tol=1e-9), i
    assert np.allclose(envelope(np.ones(1000), RATE)[100:-100], 1)


@pytest.mark.parametrize("milliseconds", [5, 20, 60])
def test_the_attack_of_a_straight_rise_takes_eight_tenths_of_it(milliseconds):
    rise = np.clip(time(0.2) / (milliseconds / 1000), 0, 1) * np.where(np.arange(8820) % 2, 1, -1)
    assert attack_ms(rise, RATE) == pytest.approx(0.8 * milliseconds, abs=0.3)
    late = np.concatenate([np.zeros(1000), rise])
    assert attack_ms(0.01 * late, RATE) == attack_ms(late, RATE) == pytest.approx(attack_ms(rise, RATE), abs=0.1)


def test_an_attack_at_once_takes_less_than_the_window():
    assert attack_ms(np.exp(-30 * time(0.3)), RATE) < 1


@settings(deadline=None, max_examples=10)
@given(st.floats(0.05, 0.3))
def test_the_decay_of_an_exponential_is_that_of_its_decibels(seconds):
    """60 dB in `seconds`: 20 of them in a third."""
    sound = np.where(np.arange(44100) % 2, 1, -1) * 10 ** (-3 * time(1) / seconds)
    for decibels in (20, 40):
        assert decay_ms(sound, RATE, decibels) == pytest.approx(1000 * seconds * decibels / 60, abs=11)


def test_a_fit_that_falls_is_that_of_isotonic_regression():
    values = -np.arange(30) + 3 * np.random.default_rng(0).standard_normal(30)
    oracle = IsotonicRegression(increasing=False).fit_transform(np.arange(30), values)
    assert np.allclose(falling_fit(values), oracle)
    assert np.array_equal(falling_fit(-np.arange(5)), -np.arange(5))


def test_a_decay_that_falls_is_smooth_and_one_that_swells_by_3_db_is_rough():
    even = np.where(np.arange(44100) % 2, 1, -1) * 10 ** (-1.5 * time(1))
    assert roughness_db(even, RATE) < 1e-6
    steps = np.repeat(np.arange(50) % 2, 882)  # every other 20 ms is 6 dB softer, which falls in the mean
    assert roughness_db(even * 10 ** (-0.3 * steps), RATE) == pytest.approx(3, abs=0.5)


def test_noise_is_flat_and_tones_are_not_and_pink_noise_lies_between():
    white = flatness_db(noise(0.6), RATE)
    assert white == pytest.approx(-10 * np.euler_gamma / math.log(10), abs=0.15)
    assert flatness_db(tone(4000), RATE) < -30
    metal = sum(tone(hertz) for hertz in np.geomspace(3100, 5900, 40)) + 0.3 * noise(0.5)
    assert -20 < flatness_db(metal, RATE) < white - 3
    assert flatness_db(noise(0.6) * np.exp(-10 * time(0.6)), RATE) == pytest.approx(white, abs=0.3)


def test_the_band_of_a_tone_is_where_it_is_and_that_of_noise_is_all():
    low, high, both = band_numbers(tone(100), RATE), band_numbers(tone(12000), RATE), band_numbers(noise(1), RATE)
    assert low["low_share"] > 0.95 and high["high_share"] > 0.99 and high["low_share"] < 0.01
    assert high["centroid_hz"] == pytest.approx(12000, rel=0.01) and high["bandwidth_octaves"] < 0.1
    assert both["high_share"] == pytest.approx(0.5, abs=0.03)
    assert both["rolloff_hz"] == pytest.approx(0.85 * RATE / 2, rel=0.02)
    assert both["centroid_hz"] == pytest.approx(RATE / 4, rel=0.02)


def test_the_level_at_half_a_second_is_that_of_the_decay():
    assert level_db(tone(1000, 1) * 10 ** (-2 * time(1)), RATE) == pytest.approx(-20, abs=0.5)
    assert level_db(tone(1000, 0.4), RATE) == -100


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_bursts_are_counted(count):
    clap = np.zeros(RATE // 4)
    for i in range(count):
        start = round(i * 0.011 * RATE)
        clap[start:] += (np.exp(-900 * time(0.25)) * noise(0.25, i))[:len(clap) - start]
    assert bursts(clap, RATE) == bursts(0.01 * clap, RATE) == count


def test_a_sound_that_decays_without_a_second_hit_is_one_burst():
    assert bursts(noise(0.3) * np.exp(-15 * time(0.3)), RATE) == 1
    assert bursts(np.zeros(5000), RATE) == 0


def test_a_description_ignores_level_and_the_silence_at_the_end():
    sound = noise(0.3) * np.exp(-40 * time(0.3))
    one, other = describe(sound, RATE), describe(0.02 * np.pad(sound, (0, 20000)), RATE)
    assert set(one) == set(NAMES)
    assert {name: other[name] for name in NAMES} == pytest.approx({name: one[name] for name in NAMES}, abs=0.05)
    assert one["first_step"] == pytest.approx(abs(sound[0]) / np.abs(sound).max())
    assert describe(tone(1000), RATE)["crest_db"] == pytest.approx(3.01, abs=0.02)


def test_descriptions_are_rows_and_finite_for_silence_a_click_and_steps():
    rows = describe_all([np.zeros(500), np.eye(1, 900)[0], np.ones(3, np.float32), noise(0.2)], RATE)
    assert rows.shape == (4, len(NAMES)) and np.isfinite(rows).all()
    assert rows[2, NAMES.index("first_step")] == 1
