"""Feel: the grid that bars imply, how hits move to it, swing and push; and that sample, tick and live play carry it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session.export import write_all
from engine.sequencer import Sequencer, render
from engine.timing import find_hits
from formats import midi_file
from formats.kit import plain_sound
from Midi_To_Activation_Matrix import INSTRUMENT_TO_PITCH, write_midi
from patterns.feel import Feel, beat_grids, time_offsets

TIGHT = Feel(tight=100)
CLICK = (plain_sound("a", np.full(1, 0.01)),) * 8  # one sample a hit: the output shows the hits themselves


def bars_of(*rows, count=1):
    """Bars uint8 (count, 8, 64): for each row a list of steps of the loop, or a dict of velocities."""
    bars = np.zeros((8, 64 * count), np.uint8)
    for row, steps in enumerate(rows):
        for step in steps:
            bars[row, step] = steps[step] if isinstance(steps, dict) else 100
    return bars.reshape(8, count, 64).transpose(1, 0, 2)


def times_of(bars, feel, bpm=120):
    """Where the hits of each row are, in steps of the loop: [[time, ...] * 8]."""
    times = np.arange(bars.size // 8).reshape(len(bars), 1, 64) + time_offsets(bars, feel, bpm)
    return [times[:, row][bars[:, row] > 0].tolist() for row in range(8)]


def first_row(steps, feel=TIGHT, count=1):
    return pytest.approx(times_of(bars_of(steps, count=count), feel)[0])


@st.composite
def some_bars(draw):
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape, share = (draw(st.integers(1, 2)), 8, 64), draw(st.sampled_from([0.03, 0.1, 0.3, 0.7, 1]))
    return (generator.integers(1, 128, shape) * (generator.random(shape) < share)).astype(np.uint8)


feels = st.builds(Feel, st.sampled_from([0, 30, 100.0]), st.sampled_from([50, 58.0, 66.67, 75]),
                  st.sampled_from(["eighth", "sixteenth"]),
                  st.dictionaries(st.integers(0, 7), st.floats(-100, 100), max_size=3))


# What a feel is.

@pytest.mark.parametrize("wrong, word", [
    ({"tight": -1}, "tight"), ({"tight": float("nan")}, "tight"), ({"swing": 49}, "swing"), ({"swing": 76}, "swing"),
    ({"swing_of": "quarter"}, "swing_of"), ({"push": {8: 1}}, "push"), ({"push": {0: 101}}, "push")])
def test_what_is_no_feel_is_refused_in_one_line(wrong, word):
    with pytest.raises(ValueError, match=f"^{word}: expected .*, found ") as error:
        Feel(**wrong)
    assert "\n" not in str(error.value)


@given(some_bars(), st.sampled_from([Feel(), Feel(swing_of="eighth"), Feel(push={0: 0.0})]))
def test_without_feel_nothing_moves(bars, feel):
    offsets = time_offsets(bars, feel, 93)
    assert offsets.shape == bars.shape and offsets.dtype == np.float64 and not offsets.any()


def test_without_feel_sound_and_midi_are_the_same_bytes(tmp_path):
    bars = bars_of(range(64), range(0, 64, 3), [63])
    write_midi(bars, tmp_path / "plain.mid", 97, name="b")
    write_all(bars, 97, CLICK, midi=tmp_path / "a.mid", wav=tmp_path / "a.wav")
    write_all(bars, 97, CLICK, midi=tmp_path / "b.mid", wav=tmp_path / "b.wav", feel=Feel())
    assert (tmp_path / "plain.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@given(some_bars(), feels)
@settings(max_examples=60, deadline=None)
def test_hits_keep_their_order_and_none_meets_another(bars, feel):
    """Of each row, round the loop too; at most a 16th from where they were, the push aside."""
    offsets = time_offsets(bars, feel, 120)
    assert offsets.shape == bars.shape and not offsets[bars == 0].any()
    for row, times in enumerate(times_of(bars, feel)):
        if times:
            assert (np.diff([*times, times[0] + bars.size // 8]) > 0.2).all()
        push = feel.push.get(row, 0) * 120 * 16 / 60_000
        assert (np.abs(offsets[:, row][bars[:, row] > 0] - push) <= 8).all()


# Tight.

@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 15), st.sampled_from([-1, 0, 0, 1])), max_size=40))
@settings(deadline=None)
def test_bars_of_sixteenths_come_to_the_sixteenths(hits):
    """Played up to a 64th beside them, the beats and eighths on the grid."""
    cells = {(row, note): (4 * note + off * (note % 2)) % 64 for row, note, off in hits}
    bars = bars_of([0, 8, 16, 24, 32, 40, 48, 56])
    for (row, _), step in cells.items():
        bars[0, row, step] = 100
    assert (beat_grids(bars) == 4).all()
    for row, times in enumerate(times_of(bars, TIGHT)):
        assert times == [float(4 * ((step + 2) // 4)) for step in np.flatnonzero(bars[0, row])]


def test_an_early_downbeat_comes_to_the_start_of_the_next_bar_and_of_the_loop():
    assert first_row([0, 16, 32, 48, 62]) == [0, 16, 32, 48, 62]  # with the downbeat it is a flam
    assert first_row([16, 32, 48, 63]) == [16, 32, 48, 64]
    assert first_row([16, 62, 80, 127], count=2) == [16, 64, 80, 128]
    assert times_of(bars_of([17, 63]), Feel(tight=50))[0] == [16.5, 63.5]


@pytest.mark.parametrize("off", [-1, 0])
@pytest.mark.parametrize("places", [[0, 11], [0, 5, 11], [0, 5, 11, 16, 27, 32, 43, 48, 59]])
def test_ternary_bars_stay_ternary(places, off):
    """Triplets and shuffles on the nearest steps, or on those with the off-beats all one 64th early."""
    beats = [b + p for b in range(0, 64, 16) for p in places] if max(places) < 16 else places
    steps = [step + off * (step % 16 > 0) for step in beats]
    expected = [step // 16 * 16 + {0: 0, 5: 16 / 3, 11: 32 / 3}[step % 16] for step in beats]
    assert first_row(steps) == expected
    assert first_row(steps, Feel(tight=100, swing=66, swing_of="eighth")) == expected  # not swung again


def test_shuffled_sixteenths_stay_shuffled():
    steps = [beat + place for beat in range(0, 64, 16) for place in (0, 5, 8, 13)]
    assert first_row(steps) == [beat + place for beat in range(0, 64, 16) for place in (0, 16 / 3, 8, 40 / 3)]
    lightly = [step - (step % 32 == 5) for step in steps]  # some of them straight
    assert (beat_grids(bars_of(lightly)[0]) == 4).all()


def test_a_beat_of_triplets_among_sixteenths_is_its_own_and_the_reverse():
    straight, triplets = [0, 4, 8, 12], [0, 5, 11]
    one = [b + p for b in (0, 16, 32) for p in straight] + [48 + p for p in triplets]
    assert beat_grids(bars_of(one)).tolist() == [4, 4, 4, 3]
    assert first_row(one) == one[:-2] + [48 + 16 / 3, 48 + 32 / 3]
    other = [b + p for b in (0, 16, 32) for p in triplets] + [48 + p for p in straight]
    assert beat_grids(bars_of(other)).tolist() == [3, 3, 3, 4]


def test_fast_hits_do_not_meet():
    every = [0, 4, 8, 12]
    roll = list(range(16, 32, 2))
    assert first_row(every + roll + [32, 40, 48]) == every + roll + [32, 40, 48]  # thirty-seconds
    assert first_row(every + [s - 1 for s in roll[1:]] + [32, 40]) == every + roll[1:] + [32, 40]  # a little early
    sextuplets = [16, 19, 21, 24, 27, 29, 32]  # in a bar of straight sixteenths
    exact = [16 + 8 / 3 * k for k in range(7)]
    assert first_row(every + sextuplets + [36, 40, 44, 48]) == every + exact + [36, 40, 44, 48]
    assert first_row(range(64)) == list(range(64))


@pytest.mark.parametrize("grace, main, expected", [(7, 8, 8), (8, 9, 8), (4, 5, 4), (6, 8, 8), (2, 5, 4), (63, 0, 0)])
def test_flams_keep_their_distance_and_the_louder_goes_to_the_grid(grace, main, expected):
    steps = {20: 100, 32: 100, grace: 30, main: 100}
    times = dict(zip(sorted(steps), times_of(bars_of(steps), TIGHT)[0]))
    assert times[main] == expected and (times[main] - times[grace]) % 64 == (main - grace) % 64


@given(some_bars())
@settings(max_examples=30, deadline=None)
def test_half_tight_is_half_way(bars):
    np.testing.assert_allclose(time_offsets(bars, Feel(tight=50), 120), time_offsets(bars, TIGHT, 120) / 2)


# Swing and push.

def test_two_thirds_of_an_eighth_are_triplets():
    straight, swing = bars_of(range(0, 64, 8)), Feel(swing=200 / 3, swing_of="eighth")
    assert times_of(straight, swing)[0] == pytest.approx([16 / 3 * k for k in range(12) if k % 3 != 1])


@pytest.mark.parametrize("tight", [0, 100])
def test_swing_is_piecewise_linear_from_note_to_note(tight):
    steps = [0, 4, 8, 12, 17, 24]  # one late
    late = 17 if tight == 0 else 16
    assert first_row(steps, Feel(tight, 60, "eighth")) == [0, 4.8, 9.6, 12.8, 16 + 1.2 * (late - 16), 25.6]
    assert first_row(steps, Feel(tight, 75, "sixteenth")) == [0, 6, 8, 14, 16 + 1.5 * (late - 16), 24]


def test_push_moves_its_row_by_milliseconds_after_all_else():
    bars = bars_of([0, 9], [8])
    kick, snare, *_ = times_of(bars, Feel(tight=100, swing=75, swing_of="eighth", push={0: -10, 1: 25}), bpm=150)
    step = 240_000 / 150 / 64  # milliseconds
    assert kick == pytest.approx([0 - 10 / step, 12 - 10 / step]) and snare == pytest.approx([12 + 25 / step])


# Samples, ticks and live play.

def expected_starts(bars, feel, bpm, per_step, length):
    """[(time in whole units, row, velocity)] in order, by the formula of the contract, round the loop."""
    offsets, found = time_offsets(bars, feel, bpm), []
    for bar, row, step in np.argwhere(bars).tolist():
        at = round((64 * bar + step + offsets[bar, row, step]) * per_step)
        found.append((at % length, row, int(bars[bar, row, step])))
    return sorted(found)


@given(some_bars(), feels, st.sampled_from([97.3, 120, 240]))
@settings(max_examples=25, deadline=None)
def test_every_hit_sounds_at_its_exact_sample(bars, feel, bpm):
    rate = 8000
    samples = render(bars, CLICK, bpm, rate, feel=feel)
    assert len(samples) == round(len(bars) * 240 / bpm * rate)
    found = expected_starts(bars, feel, bpm, 240 / bpm / 64 * rate, len(samples))
    assert struck(samples) == sorted({at for at, *_ in found})


@given(some_bars(), feels)
@settings(max_examples=25, deadline=None)
def test_midi_has_every_hit_at_its_tick_and_no_note_outlives_the_next(tmp_path_factory, bars, feel):
    path = tmp_path_factory.mktemp("feel") / "loop.mid"
    write_all(bars, 111, CLICK, midi=path, feel=feel)
    (part,), end, ticks_per_quarter, *_ = midi_file.read_parts(path)
    assert end == len(bars) * 4 * ticks_per_quarter and ticks_per_quarter >= 480
    row_of = {pitch: row for row, pitch in enumerate(INSTRUMENT_TO_PITCH)}
    found = sorted((tick, row_of[pitch], velocity) for tick, pitch, velocity in part[2].T.tolist())
    assert found == expected_starts(bars, feel, 111, ticks_per_quarter / 16, end)
    sounding = set()
    for status, pitch in events_of(path):
        assert (pitch in sounding) == (status == 0x89)  # on and off in turn
        sounding ^= {pitch}
    assert not sounding


def events_of(path):
    """(status, pitch) of the notes of a file of ours, in the order of the file."""
    data = path.read_bytes()
    track, found, i = data[data.index(b"MTrk") + 8:], [], 0
    while i < len(track):
        while track[i] >= 0x80:  # a time in variable-length form
            i += 1
        if track[i + 1] == 0xff:
            i += 4 + track[i + 3]
        else:
            found.append((track[i + 1], track[i + 2]))
            i += 4
    return found


def struck(samples):
    """At which samples of (n, 2) anything sounds."""
    return np.flatnonzero(np.abs(samples).max(1)).tolist()


def struck_of(engine, count):
    """At which of the next `count` samples of the engine anything sounds, its look-ahead counted in."""
    return [at - engine.delay for at in struck(engine.fill(count))]


def play_through(engine, count, seed):
    generator, parts = np.random.default_rng(seed), []
    while (have := sum(map(len, parts))) < count:
        parts.append(engine.fill(min(int(generator.integers(1, 1500)), count - have)))
    return np.concatenate(parts)


def some_kit(seed):
    generator = np.random.default_rng(seed)
    return tuple(plain_sound("a", 0.05 * generator.uniform(-1, 1, n)) for n in generator.integers(1, 3000, 8))


@given(some_bars(), feels, st.sampled_from([97.3, 300]), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_live_equals_render(bars, feel, bpm, seed):
    kit, rate = some_kit(seed), 4000
    looped, once = (render(bars, kit, bpm, rate, loop, feel) for loop in (True, False))
    length = len(looped)
    before = 2 - (-7000 // length)  # passes until every tail has met the start, and the limiter forgotten it
    engine = Sequencer(kit, rate, bpm)
    engine.play(bars, feel)
    samples = play_through(engine, (before + 1) * length + engine.delay, seed)[engine.delay:]
    next_pass = min([length] + [length + at for at, *_ in find_hits(bars, feel, bpm, rate)])
    np.testing.assert_allclose(samples[:next_pass], once[:next_pass], rtol=0, atol=2e-6)
    np.testing.assert_allclose(samples[before * length:], looped, rtol=0, atol=2e-6)


def test_a_hit_before_the_start_is_struck_at_the_start_and_then_before_each_pass():
    bars, rate = bars_of([0, 32]), 8000
    engine = Sequencer(CLICK, rate, 120)
    engine.play(bars, Feel(push={0: -10}))
    assert struck_of(engine, 2 * 16000) == [0, 7920, 15920, 23920, 31920]


near_feels = st.builds(Feel, st.sampled_from([0, 100.0]), st.sampled_from([50, 60.0, 75]),
                       st.sampled_from(["eighth", "sixteenth"]),
                       st.dictionaries(st.integers(0, 7), st.sampled_from([-30.0, 30]), max_size=8))


@given(st.lists(st.tuples(st.integers(1, 9000), near_feels, st.sampled_from([100, 120, 160])), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_a_change_of_feel_or_tempo_neither_loses_nor_doubles_a_hit(changes):
    """The hits of a loop, a row each and further apart than a feel moves them, sound in turn whatever changes."""
    kit = [plain_sound("a", np.array([1, (row + 1) / 8])) for row in range(8)]
    bars = bars_of(*[{8 * row + 3: 127} for row in range(8)])
    engine, samples = Sequencer(kit, 4000, 120), []
    engine.play(bars, Feel())
    for wait, feel, bpm in changes:
        samples.append(engine.fill(wait))
        engine.play(bars, feel)
        engine.set_bpm(bpm)
    heard = np.concatenate([*samples, engine.fill(16000)])[:-1, 0]
    hits = np.flatnonzero(heard)[::2]
    rows = np.rint(8 * heard[hits + 1] / heard[hits]) - 1
    assert np.array_equal(rows, np.arange(len(rows)) % 8) and len(rows) >= 8


def test_a_change_of_tempo_moves_what_is_about_to_sound():
    engine = Sequencer(CLICK, 8000, 120)
    engine.play(bars_of([32], [32]), Feel(push={0: -100}))
    assert struck_of(engine, 7500) == [7200]
    engine.set_bpm(240)
    assert struck_of(engine, 4000)[0] == 250  # half of the 500 samples that were left


def test_stop_strikes_nothing_that_was_about_to_sound():
    engine = Sequencer(CLICK, 8000, 120)
    engine.play(bars_of([32], [32]), Feel(push={0: -100}))
    assert engine.fill(7500).any()
    engine.stop()
    assert not engine.fill(8000).any()


def test_a_change_of_tempo_computes_the_push_anew():
    engine = Sequencer(CLICK, 8000, 120)
    engine.play(bars_of([32]), Feel(push={0: 50}))
    engine.set_bpm(240)
    assert struck_of(engine, 8000) == [4000 + 400]


def test_a_midi_file_carries_the_feel(tmp_path):
    write_all(bars_of([0, 9]), 120, CLICK, Feel(tight=100, swing=75, swing_of="eighth"), midi=tmp_path / "a.mid")
    (part,), *_ = midi_file.read_parts(tmp_path / "a.mid")
    assert part[2][0].tolist() == [0, 360]
