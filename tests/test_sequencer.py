"""The sequencer against a naive oracle: when hits sound, how they add, what a loop is, and that live equals file."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sequencer import AMPLITUDE, CEILING, Sequencer, render, step_starts
from formats.activation_matrix import INSTRUMENTS
from formats.kit import load_kit, plain_sound

CLOSE = dict(rtol=0, atol=2e-6)  # float32 sums in another order


def kit_of(arrays):
    """A kit of eight arrays (n,), each the same at every velocity."""
    return tuple(plain_sound(name, samples) for name, samples in zip(INSTRUMENTS, arrays))


def small_kit(seed=0, longest=3000, peak=0.05):
    """Eight decaying noises of different lengths, soft enough that no pattern here needs a gain."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest, 8)
    return kit_of([peak * generator.uniform(-1, 1, n) * np.linspace(1, 0, n) for n in lengths])


def some_bars(seed=0, bars=1, share=0.08):
    generator = np.random.default_rng(seed)
    return (generator.integers(1, 128, (bars, 8, 64)) * (generator.random((bars, 8, 64)) < share)).astype(np.uint8)


def impulses(amplitude=0.01):
    """A kit whose every sound is one sample: the output shows the hits themselves."""
    return kit_of([np.full(1, amplitude)] * 8)


def oracle_hits(bars, bpm, rate):
    """(start, row, velocity) by the formula of the contract, in plain Python."""
    bar_seconds = 240 / bpm
    return [(round((64 * b + s) * bar_seconds / 64 * rate), row, int(bars[b, row, s]))
            for b in range(len(bars)) for s in range(64) for row in range(8) if bars[b, row, s]]


def oracle_sum(events, kit, count):
    """Sounds added one by one at (start, row, amplitude), in float64: (count,)."""
    samples = np.zeros(count)
    for start, row, amplitude in events:
        sound = kit[row].samples()
        for i in range(max(0, -start), min(len(sound), count - start)):
            samples[start + i] += amplitude * float(sound[i])
    return samples


def oracle_loop(bars, kit, bpm, rate):
    """The pass that repeats: hits of this pass and of all earlier ones whose tails still sound."""
    length = round(64 * len(bars) * (240 / bpm) / 64 * rate)
    longest = max(len(sound.samples()) for sound in kit)
    events = [(start - earlier, row, float(AMPLITUDE[velocity]))
              for start, row, velocity in oracle_hits(bars, bpm, rate)
              for earlier in range(0, longest + length, length)]
    return oracle_sum(events, kit, length)


def play_through(engine, count, seed=0, most=700):
    """`count` samples from the engine in blocks of random size."""
    generator, parts = np.random.default_rng(seed), []
    while (have := sum(map(len, parts))) < count:
        parts.append(engine.fill(min(int(generator.integers(1, most)), count - have)))
    return np.concatenate(parts)


TEMPI = [(120.0, 44100), (97.3, 48000), (40.0, 22050), (240.0, 44100), (133.7, 96000), (173, 8000)]


@pytest.mark.parametrize("bpm, rate", TEMPI)
def test_steps_start_where_the_formula_says(bpm, rate):
    starts = step_starts(3, bpm, rate)
    assert starts.dtype == np.int64
    assert starts.tolist() == [round(k * (240 / bpm) / 64 * rate) for k in range(3 * 64 + 1)]


@pytest.mark.parametrize("bpm, rate", TEMPI)
def test_every_step_of_every_row_sounds_at_its_own_sample(bpm, rate):
    for row in range(8):
        bars = np.zeros((2, 8, 64), np.uint8)
        bars[:, row] = 127
        samples = render(bars, impulses(), bpm, rate)
        assert len(samples) == round(2 * 240 / bpm * rate)
        assert np.flatnonzero(samples).tolist() == [round(k * (240 / bpm) / 64 * rate) for k in range(128)]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10 ** 6), bpm=st.floats(300, 1000), rate=st.integers(1000, 3000), bars=st.integers(1, 2))
def test_render_equals_the_oracle(seed, bpm, rate, bars):
    kit, bars = small_kit(seed, longest=900, peak=0.004), some_bars(seed, bars)  # up to four loops of tail at 1000 bpm
    looped = render(bars, kit, bpm, rate)
    assert looped.dtype == np.float32
    np.testing.assert_allclose(looped, oracle_loop(bars, kit, bpm, rate), **CLOSE)
    once = render(bars, kit, bpm, rate, loop=False)
    hits = [(start, row, float(AMPLITUDE[velocity])) for start, row, velocity in oracle_hits(bars, bpm, rate)]
    end = max([len(looped)] + [start + len(kit[row].samples()) for start, row, _ in hits])
    assert len(once) == end
    np.testing.assert_allclose(once, oracle_sum(hits, kit, end), **CLOSE)


def test_a_tail_longer_than_the_loop_wraps_as_often_as_it_needs():
    kit = kit_of([np.full(5000 if row == 6 else 1, 0.01) for row in range(8)])
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, 6, 0] = 127
    looped = render(bars, kit, 240, 1800)
    assert len(looped) == 1800
    np.testing.assert_allclose(looped[:1400], 0.03, rtol=1e-5)  # 5000 = 2 * 1800 + 1400
    np.testing.assert_allclose(looped[1400:], 0.02, rtol=1e-5)


def test_hits_add_and_nothing_chokes():
    kit, bars = small_kit(1), some_bars(1, 2, share=0.2)
    half = np.random.default_rng(2).random(bars.shape) < 0.5
    for loop in (True, False):
        whole, one, two = (render(part, kit, 131, 8000, loop) for part in (bars, bars * half, bars * ~half))
        assert np.abs(whole).max() < CEILING
        total = np.zeros(len(whole))
        total[:len(one)] += one
        total[:len(two)] += two
        np.testing.assert_allclose(whole, total, **CLOSE)


def test_velocity_scales_by_the_square_law():
    levels = []
    for velocity in range(1, 128):
        bars = np.zeros((1, 8, 64), np.uint8)
        bars[0, 3, 5] = velocity
        levels.append(np.abs(render(bars, impulses(0.5), 120)).max())
    assert np.all(np.diff(levels) > 0)
    assert levels[-1] == np.float32(0.5)
    np.testing.assert_allclose(20 * np.log10(np.array(levels)[[0, 29, 63]] / 0.5), [-40, -20.5, -10.4], atol=0.4)


def test_the_fullest_pattern_stays_below_one_with_our_kit():
    full = np.full((1, 8, 64), 127, np.uint8)
    kit = load_kit()
    for bpm in (40, 240):
        for loop in (True, False):
            samples = render(full, kit, bpm, loop=loop)
            assert 0.5 < np.abs(samples).max() <= CEILING + 1e-6


def test_a_loud_pattern_is_the_plain_sum_under_one_gain():
    kit, bars = small_kit(3, peak=1.0), some_bars(3, share=0.3)
    loud, plain = render(bars, kit, 150, 8000), oracle_loop(bars, kit, 150, 8000)
    assert np.abs(plain).max() > 1
    gain = np.dot(loud, plain) / np.dot(plain, plain)
    np.testing.assert_allclose(loud, gain * plain, **CLOSE)
    assert np.abs(loud).max() == pytest.approx(CEILING, rel=0.25) and np.abs(loud).max() <= CEILING + 1e-6


def test_render_leaves_its_arguments_alone():
    kit, bars = small_kit(4, peak=1.0), some_bars(4, share=0.3)
    before = bars.copy(), [sound.samples().copy() for sound in kit]
    render(bars, kit, 150, 8000)
    np.testing.assert_array_equal(bars, before[0])
    for sound, was in zip(kit, before[1]):
        np.testing.assert_array_equal(sound.samples(), was)


# The live engine ----------------------------------------------------------------------------------------------------

@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10 ** 6), bpm=st.floats(60, 900), bars=st.integers(1, 2), peak=st.sampled_from([0.05, 1.0]))
def test_live_equals_render_whatever_the_blocks(seed, bpm, bars, peak):
    kit, bars, rate = small_kit(seed, 2000, peak), some_bars(seed, bars), 4000
    looped, once = render(bars, kit, bpm, rate), render(bars, kit, bpm, rate, loop=False)
    length = len(looped)
    before = -(-2000 // length)  # passes until every tail has met the start
    engine = Sequencer(kit, rate, bpm)
    engine.play(bars)
    samples = play_through(engine, (before + 2) * length, seed)
    np.testing.assert_allclose(samples[:length], once[:length], **CLOSE)
    for first in (before * length, (before + 1) * length):
        np.testing.assert_allclose(samples[first:first + length], looped, **CLOSE)


def test_a_new_pattern_takes_over_with_the_next_step_and_old_tails_ring_on():
    kit, rate, bpm = small_kit(5, 4000, peak=0.6), 8000, 120
    old, new = some_bars(5, share=0.3), some_bars(6, share=0.3)
    starts = step_starts(1, bpm, rate).tolist()
    engine = Sequencer(kit, rate, bpm)
    engine.play(old)
    swap = starts[20] + 77  # within step 20: step 21 is the new pattern's
    samples = np.concatenate([play_through(engine, swap, 1)] + [np.zeros(0)])
    engine.play(new)
    samples = np.concatenate([samples, play_through(engine, starts[-1] - swap, 2)])
    gains = [render(bars, kit, bpm, rate).max() / oracle_loop(bars, kit, bpm, rate).max() for bars in (old, new)]
    assert max(gains) < 0.9 and abs(gains[0] - gains[1]) > 0.001  # both are too loud, by different amounts
    events = [(start, row, gains[0] * AMPLITUDE[v]) for start, row, v in oracle_hits(old, bpm, rate) if start < swap]
    events += [(start, row, gains[1] * AMPLITUDE[v]) for start, row, v in oracle_hits(new, bpm, rate) if start >= swap]
    expected = oracle_sum(events, kit, starts[-1])
    below = np.abs(expected) <= CEILING  # so loud a change may be bent near full scale, and only there
    assert below.mean() > 0.99
    np.testing.assert_allclose(samples[below], expected[below], rtol=0, atol=1e-5)
    assert np.abs(samples).max() < 1


def test_swapping_between_one_and_two_bars_keeps_the_step():
    rate, bpm = 8000, 120
    one, two = np.zeros((1, 8, 64), np.uint8), np.zeros((2, 8, 64), np.uint8)
    one[:, 0, ::4], two[:, 1, ::4] = 127, 127
    engine = Sequencer(impulses(), rate, bpm)
    engine.play(two)
    parts = [engine.fill(int(rate * 2.9))]  # into the second bar
    engine.play(one)
    parts.append(engine.fill(rate * 4))
    engine.play(two)
    parts.append(engine.fill(rate * 4))
    hits = np.flatnonzero(np.concatenate(parts))
    assert hits.tolist() == [1000 * k for k in range(len(hits))] and len(hits) == 88  # a hit each 125 ms, never a seam


def test_a_change_that_is_far_too_loud_bends_below_full_scale():
    kit = kit_of([np.full(4000, 0.9 if row in (0, 1) else 0.0) for row in range(8)])
    patterns = np.zeros((2, 1, 8, 64), np.uint8)
    patterns[0, 0, 0, 0] = patterns[1, 0, 1, 8] = 127
    engine = Sequencer(kit, 8000, 120)
    engine.play(patterns[0])
    first = engine.fill(1500)
    engine.play(patterns[1])
    samples = np.concatenate([first, engine.fill(8000)])
    np.testing.assert_allclose(samples[:1500], 0.9, rtol=1e-5)
    assert CEILING < samples.max() < 1  # 0.9 + 0.9 for as long as both sound
    np.testing.assert_allclose(samples[4100:5900], 0.9, rtol=1e-5)


def test_the_first_pattern_starts_with_the_very_next_sample():
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, 0, 0] = 127
    engine = Sequencer(impulses(), 8000, 120)
    assert not engine.fill(1234).any()
    engine.play(bars)
    assert np.flatnonzero(engine.fill(5000)).tolist() == [0]


def test_stop_strikes_no_more_and_lets_tails_ring():
    kit = kit_of([np.full(3000, 0.1)] * 8)
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, 0, 0::2] = 127  # every 250 samples
    engine = Sequencer(kit, 4000, 240)
    engine.play(bars)
    engine.fill(260)
    engine.stop()
    rest = engine.fill(6000)
    np.testing.assert_allclose(np.flatnonzero(rest)[-1], 250 // 2 * 2 + 3000 - 260 - 1, atol=130)
    assert np.all(np.diff(rest) <= 1e-7)  # no new strike
    engine.play(bars)
    assert engine.fill(1)[0] > 0  # step 0 again, at once


def test_stop_and_play_between_two_blocks_restarts_at_step_zero():
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, 0, 0] = 127
    engine = Sequencer(impulses(), 8000, 120)
    engine.play(bars)
    engine.fill(3000)
    engine.stop()
    engine.play(bars)
    assert np.flatnonzero(engine.fill(5000)).tolist() == [0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(40, 240), st.integers(1, 3000)), min_size=1, max_size=12))
def test_tempo_changes_neither_skip_nor_repeat_a_step_and_keep_the_place(changes):
    rate = 8000
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, 0] = 1 + np.arange(64)  # each step has a velocity of its own
    engine = Sequencer(impulses(), rate, 120)
    engine.play(bars)
    parts, place, bpm = [], 0.0, 120  # place: steps played, in continuous time
    for new, frames in changes:
        parts.append(engine.fill(frames))
        place += frames / rate * bpm / 240 * 64
        bpm = new
        engine.set_bpm(bpm)
    parts.append(engine.fill(64))
    place += 64 / rate * bpm / 240 * 64
    samples = np.concatenate(parts)
    struck = samples[samples != 0]
    velocities = np.searchsorted(AMPLITUDE, struck / np.float32(0.01) - 1e-6)
    assert velocities.tolist() == [1 + k % 64 for k in range(len(velocities))]
    # each change rounds to a sample, an eighth of a step at the least
    assert abs(len(struck) - place) < 1 + len(changes) / 10


def test_a_tempo_change_within_a_step_scales_what_is_left_of_it():
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, 0] = 127
    engine = Sequencer(impulses(), 44100, 60)  # 2756.25 samples a step
    engine.play(bars)
    parts = [engine.fill(1000)]
    engine.set_bpm(120)  # 1378.125 samples a step; 1756 / 2 are left
    parts.append(engine.fill(9000))
    hits = np.flatnonzero(np.concatenate(parts))
    assert hits[1] == 1000 + 1756 // 2
    np.testing.assert_allclose(np.diff(hits[1:]), 1378.125, atol=1)


def test_place_at_gives_the_step_of_a_past_sample():
    bars = some_bars(7, 2)
    engine = Sequencer(impulses(), 8000, 120)
    assert engine.place_at(0) is None
    engine.play(bars)
    play_through(engine, 20000)
    starts = step_starts(2, 120, 8000)
    for sample in range(17000, 20000, 37):
        step = int(np.searchsorted(starts, sample, "right")) - 1
        assert engine.place_at(sample) == divmod(step, 64)
    engine.stop()
    engine.fill(100)
    assert engine.place_at(20050) is None and engine.place_at(19990) is not None


def test_other_threads_may_ask_while_it_fills():
    engine, errors, asked = Sequencer(small_kit(8), 8000, 120), [], [0, 0, 0]
    over = threading.Event()

    def ask(seed):
        generator = np.random.default_rng(seed)
        try:
            while not over.is_set():
                choice = generator.integers(10)
                if choice == 0:
                    engine.stop()
                elif choice < 4:
                    engine.set_bpm(generator.uniform(40, 240))
                else:
                    engine.play(some_bars(int(generator.integers(1000)), int(generator.integers(1, 3))))
                asked[seed] += 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    filled, deadline = [], time.monotonic() + 20
    while (min(asked) < 20 or len(filled) < 500) and not errors and time.monotonic() < deadline:
        filled.append(engine.fill(64))
    over.set()
    for thread in threads:
        thread.join()
    assert not errors and min(asked) >= 20
    samples = np.concatenate(filled)
    assert np.isfinite(samples).all() and 0 < np.abs(samples).max() < 1


# What is refused ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("bars, word", [
    (np.zeros((0, 8, 64), np.uint8), "shape"), (np.zeros((8, 32), np.uint8), "shape"),
    (np.zeros(64, np.uint8), "shape"), (np.zeros((1, 7, 64), np.uint8), "shape"),
    (np.full((8, 64), 128, np.uint8), "128"), (np.full((8, 64), -1), "-1"),
    (np.zeros((8, 64)), "float64")])
def test_what_is_not_a_pattern_is_refused(bars, word):
    for play in (lambda: render(bars, impulses()), lambda: Sequencer(impulses()).play(bars)):
        with pytest.raises(ValueError, match=word):
            play()


@pytest.mark.parametrize("bpm", [0, -120, 5, 1001, float("nan"), float("inf")])
def test_an_impossible_tempo_is_refused_and_changes_nothing(bpm):
    with pytest.raises(ValueError, match="bpm"):
        render(some_bars(), impulses(), bpm)
    engine = Sequencer(impulses(), bpm=100)
    with pytest.raises(ValueError, match="bpm"):
        engine.set_bpm(bpm)
    assert engine.bpm == 100


@pytest.mark.parametrize("kit", [impulses()[1:], [np.ones(3)] * 8, ()])
def test_what_is_not_a_kit_is_refused(kit):
    for play in (lambda: render(some_bars(), kit), lambda: Sequencer(kit)):
        with pytest.raises(ValueError, match="^kit: expected 8 Sounds, found"):
            play()


def test_the_engine_needs_neither_torch_nor_matplotlib(root):
    script = ("import sys, engine.sequencer, engine.player, formats.kit; "
              "print({'torch', 'matplotlib'} & set(sys.modules))")
    found = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert found.stdout.strip() == "set()", found.stderr
