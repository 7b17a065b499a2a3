"""The bars of a training: splits that share nothing, and the bars that begin on other beats."""

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patterns.dataset import OFFSETS, pack_hits, shifted_bars, split_by_content, unpack_hits


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
