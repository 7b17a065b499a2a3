"""The bars of a training: splits that share nothing, and the bars that begin on other beats."""

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patterns.dataset import (OFFSETS, drummer_timings, likeness, load_bars, pack_hits, shifted_bars, split_by_content,
                              style_of, timings, unpack_hits, windows)


def some_bars(count, seed=0):
    """Bars of about a tenth of all cells: uint8 (count, 8, 64)."""
    source = np.random.default_rng(seed)
    return (source.integers(1, 128, (count, 8, 64)) * (source.random((count, 8, 64)) < 0.1)).astype(np.uint8)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), min_size=2, max_size=60), st.integers(0, 99),
       st.sampled_from([0.1, 0.3, 0.5]))
def test_a_split_keeps_files_whole_and_shares_no_content(owners_and_contents, seed, fraction):
    names = [f"FILE{owner}" for owner, _ in owners_and_contents]
    bars = np.zeros((len(names), 2, 4), np.uint8)
    for i, (owner, content) in enumerate(owners_and_contents):
        bars[i].flat[:] = [(content >> bit & 1) * (1 + owner) for bit in range(8)]  # the same hits, other velocities
    hits = [(bar > 0).tobytes() for bar in bars]
    try:
        train, validation = split_by_content(bars, names, fraction, seed)
    except ValueError as error:
        assert len(set(names)) < 2 or "also stands in training" in str(error)
        return
    splits = [{names[i] for i in split} for split in (train, validation)]
    assert len(train) and len(validation) and not splits[0] & splits[1]
    assert not {hits[i] for i in train} & {hits[i] for i in validation}
    assert set(train) == {i for i, name in enumerate(names) if name in splits[0]}, "a training file is there whole"
    trained = {hits[i] for i in train}
    for i, name in enumerate(names):  # nothing is left out but what must be
        assert i in train or i in validation or hits[i] in trained
    again = split_by_content(bars, names, fraction, seed)
    assert all(np.array_equal(one, other) for one, other in zip((train, validation), again))


def test_a_split_holds_out_about_the_fraction_asked_for():
    bars, names = some_bars(2000), [f"FILE{i // 10}" for i in range(2000)]
    sizes = [len(split_by_content(bars, names, fraction)[1]) for fraction in (0.05, 0.1, 0.5)]
    assert all(abs(size - want) <= 10 for size, want in zip(sizes, (100, 200, 1000)))
    assert not np.array_equal(split_by_content(bars, names, seed=1)[1],
                              split_by_content(bars, names, seed=2)[1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 99),
       st.sampled_from(["bar", "beat", "near"]))
def test_a_bar_between_two_is_what_was_played_from_there_on(owners, seed, where):
    owners = sorted(owners)
    bars, names, places = some_bars(len(owners), seed), [f"FILE{owner}" for owner in owners], OFFSETS[where]
    between, sources, offsets = shifted_bars(bars, names, where)
    expected = []
    for number, place in enumerate(places[1:], 1):
        for owner in sorted(set(owners)):
            played = np.concatenate([bar for bar, other in zip(bars, owners) if other == owner], 1)
            expected += [(played[:, start:start + 64], owner, number)
                         for start in range(place, played.shape[1] - 63, 64)]
    assert between.shape == (len(expected), 8, 64) and between.dtype == np.uint8
    for bar, source, offset, (right, owner, number) in zip(between, sources, offsets, expected, strict=True):
        assert np.array_equal(bar, right) and (owners[source], offset) == (owner, number)


def test_bars_begin_on_the_line_first_then_on_beats_or_near_them():
    near = OFFSETS["near"]
    assert all(steps[0] == 0 for steps in OFFSETS.values()) and len(near) == len(set(near)) == 20
    assert all(min(abs(step - beat) for beat in (0, 16, 32, 48, 64)) <= 2 for step in near)


def test_bars_between_leave_out_near_silence_and_what_is_asked_in_validation():
    bars = some_bars(3)
    bars[0, :, 16:], bars[1, :, 1:] = 0, 0
    bars[1, :, 0] = np.arange(8) < 1  # from the second beat on, a single hit is left across the first two bars
    across, _, offsets = shifted_bars(bars, ["A"] * 3, "beat")
    assert offsets.tolist() == [1, 2, 3]
    assert np.array_equal(across[0], np.concatenate([bars[1, :, 16:], bars[2, :, :16]], 1))
    kept = shifted_bars(bars, ["A"] * 3, "beat", avoid=(across[1:2] > 0) * np.uint8(9))
    assert kept[2].tolist() == [1, 3] and np.array_equal(kept[0], across[[0, 2]])
    alone = shifted_bars(bars, ["A", "B", "C"], "beat")
    assert alone[0].shape == (0, 8, 64) and len(alone[1]) == len(alone[2]) == 0


def test_hits_packed_to_bits_come_back():
    bars = some_bars(20)
    packed = pack_hits(bars)
    assert packed.shape == (20, 64) and packed.dtype == torch.uint8
    assert np.array_equal(unpack_hits(packed), bars > 0)


# What a training is conditioned on.

def bar_of(*hits):
    """A bar with hits at (row, step)."""
    bar = np.zeros((8, 64), np.uint8)
    bar[tuple(np.transpose(hits))] = 90
    return bar


def test_likeness_is_the_larger_jaccard_index_of_the_scores_of_neighbours_in_the_same_file():
    beat = [(0, 0), (1, 16), (0, 32), (1, 48)]
    bars = np.stack([bar_of(*beat), bar_of((0, 1), (1, 14), (0, 32), (1, 48)),  # the same sixteenths, played otherwise
                     bar_of(*beat[:2], (5, 40)), bar_of((7, 7)), bar_of(*beat), bar_of(*beat)])
    found = likeness(bars, ["A", "A", "A", "A", "B", "C"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [1, 1, 2 / 5, 0, np.nan, np.nan])


def test_timings_are_the_mean_offset_and_how_late_eighths_and_sixteenths_come_in_each_file():
    early = bar_of(*[(0, 16 * beat - 1) for beat in range(1, 4)], (0, 63), (1, 0))  # on beats, -1 but for one of 0
    swung = bar_of(*[(4, 16 * beat + 9) for beat in range(4)], (4, 41 - 16), (5, 9))  # second eighths, one step late
    odd = bar_of(*[(4, 4 + 8 * i + i % 2) for i in range(8)])  # even sixteenths, half of them one step late
    found = timings(np.stack([early, swung, odd, early]), ["A", "A", "A", "B"])
    assert found.dtype == np.float32 and (found[0] == found[1]).all() and (found[0] == found[2]).all()
    hits = [-1] * 4 + [0] + [1] * 5 + [0, 1] * 4
    np.testing.assert_allclose(found[0], [np.mean(hits), 1 + 0.8, 0.5 + 0.8], atol=1e-6)
    np.testing.assert_allclose(found[3], [-0.8, 0, 0], atol=1e-6, err_msg="no eighths or sixteenths to tell by")
    assert np.array_equal(windows(early[None])[0, 0, 0], [False, True, False, False])


def test_the_timing_of_a_drummer_is_the_mean_of_his_bars():
    bars, names = some_bars(6), ["drummer1/a", "drummer1/a", "drummer1/b", "drummer2/a", "other/a", "drummer2/a"]
    found, each = drummer_timings(bars, names), timings(bars, names)
    assert list(found) == ["drummer1", "drummer2"]
    np.testing.assert_allclose(found["drummer1"], each[:3].mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["drummer2"], each[[3, 5]].mean(0), rtol=1e-5)


def test_several_data_sets_are_joined_split_by_split(tmp_path):
    for name, count in (("one", 4), ("two", 6)):
        (tmp_path / name).mkdir()
        for i in range(count):
            np.save(tmp_path / name / f"{name.upper()}{i}.npy", some_bars(3, seed=10 * count + i))
    one, two = (load_bars([tmp_path / name], seed=3) for name in ("one", "two"))
    both = load_bars([tmp_path / "one", str(tmp_path / "two")], seed=3)
    for split in ("train", "validation"):
        assert np.array_equal(both[split][0], np.concatenate([one[split][0], two[split][0]]))
        assert both[split][1] == one[split][1] + two[split][1] and both[split][2] == one[split][2] + two[split][2]
    assert set(both["train"][2]) == {"one", "two"} and sum(len(part[0]) for part in both.values()) == 30
    assert all(np.array_equal(*pair) for pair in zip(load_bars(tmp_path / "one")["train"][0],
                                                     load_bars([tmp_path / "one"])["train"][0]))


def test_a_style_is_the_first_word_of_a_files_name_in_small_letters():
    assert [style_of(name) for name in ("HOUSE1", "drummer1/session1/1_jazz-funk_80_beat_4-4", "a\\Trap 03", "12")] == [
        "house", "jazz", "trap", ""]
