"""Paths between two codes, and the fills in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_map import a_bar, write_tiny_map

from formats.activation_matrix import INSTRUMENTS
from patterns import latent_map, paths, sampling
from patterns.sampling import Constraints


@pytest.fixture(scope="module", params=[2, 5])
def model(request, tmp_path_factory):
    return write_tiny_map(tmp_path_factory.mktemp("model") / "tiny.pt", latent=request.param)


def code(model, seed):
    return latent_map.random_code(model, seed, 0)


@given(seed=st.integers(0, 500), count=st.integers(2, 9), hits=st.sampled_from([None, 15]))
@settings(max_examples=15, deadline=None)
def test_a_path_begins_and_ends_at_its_points(model, seed, count, hits):
    ends = code(model, seed), code(model, seed + 1)
    bars, codes = paths.interpolate(model, *ends, count, fills=False, seed=seed, constraints=Constraints(hits=hits))
    assert bars.shape == (count, 8, 64) and np.allclose(np.diff(codes, 2, axis=0), 0, atol=1e-5)
    for bar, end in ((bars[0], ends[0]), (bars[-1], ends[1])):
        assert np.array_equal(bar, sampling.draw(model, end[None], seed, constraints=Constraints(hits=hits))[0])
    assert hits is None or {np.count_nonzero(bar) for bar in bars} == {hits}


@pytest.mark.parametrize("count, fills", [(2, {1: 2}), (4, {3: 2}), (8, {3: 1, 7: 2}), (9, {3: 1, 7: 1, 8: 2})])
def test_fills_change_the_last_beats_of_their_bars_and_a_crash_follows(model, count, fills):
    ends = code(model, 3), code(model, 4)
    plain, _ = paths.interpolate(model, *ends, count, fills=False, seed=5)
    filled, _ = paths.interpolate(model, *ends, count, seed=5)
    after = {(bar + 1) % count for bar in fills}
    for i, (without, bar) in enumerate(zip(plain, filled)):
        same = (without == bar).all(axis=0)  # steps
        assert same[1:64 - 16 * fills.get(i, 0)].all() and same[0] <= (i not in after)
        if i in after:
            assert bar[INSTRUMENTS.index("Cymb"), 0] >= paths.CRASH_VELOCITY and bar[0, 0] > 0
    drums = [INSTRUMENTS.index(name) for name in ("Snare", "Tom")]
    for bar, beats in fills.items():
        assert np.count_nonzero(filled[bar][drums, -16 * beats:]) >= min(
            np.count_nonzero(plain[bar][drums, -16 * beats:]), paths.FILL_HITS * beats)


def test_a_fill_plays_more_snare_and_toms_than_the_bars_it_interrupts(model):
    drums = [INSTRUMENTS.index(name) for name in ("Snare", "Tom")]
    codes = np.stack([code(model, seed) for seed in range(20)])
    bars = sampling.draw(model, codes, 1)
    fills = np.stack([paths.fill(model, bar, point, 2, 1) for bar, point in zip(bars, codes)])
    assert np.count_nonzero(fills[:, drums, 32:]) > 1.2 * np.count_nonzero(bars[:, drums, 32:])
    assert np.array_equal(fills[:, :, :32], bars[:, :, :32])


def test_a_fill_leaves_locked_rows_alone(model):
    own = a_bar(1)
    bars, _ = paths.interpolate(model, code(model, 1), code(model, 2), 4, seed=2,
                                constraints=Constraints(locked=own, locked_rows=[0, 1, 6]))
    assert (bars[:, [0, 1, 6]] == own[[0, 1, 6]]).all()
