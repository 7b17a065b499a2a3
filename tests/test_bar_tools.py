"""What a musician does with bars: exact wishes, kept rows, paths and fills, nearest bars, velocities; by property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_map import STYLES, write_tiny_map

from formats.activation_matrix import INSTRUMENTS
from instrument import widgets
from patterns import latent_map, paths, sampling
from patterns.dataset import unpack_hits
from patterns.sampling import Constraints


@pytest.fixture(scope="module", params=[2, 5])
def model(request, tmp_path_factory):
    return write_tiny_map(tmp_path_factory.mktemp("model") / "tiny.pt", latent=request.param)


@pytest.fixture(scope="module")
def played(model):
    return latent_map.TrainingBars(model)


def code(model, seed):
    return latent_map.random_code(model, seed, 0)


def a_bar(seed, hits=20):
    random = np.random.default_rng(seed)
    bar = np.zeros(512, np.uint8)
    bar[random.choice(512, hits, replace=False)] = random.integers(1, 128, hits)
    return bar.reshape(8, 64)


# Styles and points -----------------------------------------------------------------------------------------------

def test_styles_go_by_their_names_in_any_case(model):
    assert [sampling.style_index(model, name) for name in (None, "any", "Any", "FUNK", "rock")] == [None] * 3 + [0, 2]
    with pytest.raises(ValueError, match="style: expected any, funk, jazz, rock; found 'polka'"):
        sampling.style_index(model, "polka")


def test_a_style_that_is_asked_for_changes_the_bars(model):
    codes = np.stack([code(model, seed) for seed in range(10)])
    bars = [sampling.draw(model, codes, constraints=Constraints(style=style)) for style in (None, 0, 1, 2)]
    assert len({bar.tobytes() for bar in bars}) == 4


def test_random_points_lie_by_played_bars_of_the_style_that_is_asked_for(model):
    codes, labels = model.map["codes"].numpy(), model.map["labels"].numpy()
    for style in (None, 0, 2):
        members = codes if style is None else codes[labels == style]
        points = np.stack([latent_map.random_code(model, 3, i, style) for i in range(40)])
        distances = np.linalg.norm(points[:, None] - members, axis=2).min(axis=1)
        assert distances.max() < latent_map.RANDOM_STEP * 4 * np.sqrt(codes.shape[1])
        assert len(np.unique(points, axis=0)) == 40


# Wishes ----------------------------------------------------------------------------------------------------------

@given(seed=st.integers(0, 1000), hits=st.integers(0, 200), rows=st.dictionaries(
    st.integers(0, 7), st.integers(0, 20), max_size=3), temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
@settings(max_examples=25, deadline=None)
def test_hits_a_bar_and_a_row_are_exact(model, seed, hits, rows, temperature):
    hits += sum(rows.values())
    bar = sampling.draw(model, code(model, seed)[None], seed, Constraints(
        hits=hits, row_hits=rows, temperature=temperature))[0]
    assert np.count_nonzero(bar) == hits
    assert {row: np.count_nonzero(bar[row]) for row in rows} == rows


@given(seed=st.integers(0, 1000), kept=st.sets(st.integers(0, 7), min_size=1, max_size=7), exact=st.booleans())
@settings(max_examples=25, deadline=None)
def test_locked_rows_are_kept_bit_for_bit_while_the_others_are_redrawn(model, seed, kept, exact):
    own = a_bar(seed)
    free = [row for row in range(8) if row not in kept]
    hits = np.count_nonzero(own[sorted(kept)]) + 3 if exact else None
    constraints = Constraints(locked=own, locked_rows=sorted(kept), hits=hits)
    bars = np.stack([sampling.draw(model, code(model, seed)[None], noise_seed, constraints)[0]
                     for noise_seed in range(4)])
    assert (bars[:, sorted(kept)] == own[sorted(kept)]).all()
    assert not exact or (np.count_nonzero(bars[:, free], axis=(1, 2)) == 3).all()
    if len(free) > 3:
        assert len({bar.tobytes() for bar in bars}) > 1


# Played bars -----------------------------------------------------------------------------------------------------

def test_played_bars_are_those_of_the_map_each_once(model, played):
    hits = unpack_hits(model.map["bars"]).numpy()
    assert len(played) == len({bar.tobytes() for bar in hits})
    for index in (0, len(played) // 2, len(played) - 1):
        assert np.array_equal(played.bar(index) > 0, hits[played.rows[index]])
        assert np.array_equal(played.code(index), model.map["codes"][played.rows[index]])
        assert played.name(index) == STYLES[model.map["labels"][played.rows[index]]]


def test_a_played_bar_has_novelty_0_and_is_its_own_nearest(played):
    for index in range(0, len(played), 37):
        nearest, cells = played.nearest(played.bar(index))
        assert (nearest[0], cells[0]) == (index, 0)


@given(seed=st.integers(0, 10_000), changes=st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_the_nearest_bars_are_those_of_the_plain_hamming_distance(played, seed, changes):
    random = np.random.default_rng(seed)
    bar = played.bar(random.integers(len(played)))
    cells = random.choice(512, changes, replace=False)
    bar.reshape(-1)[cells] = np.where(bar.reshape(-1)[cells] > 0, 0, 90)
    oracle = ((unpack_hits(played.packed).numpy() != (bar > 0)).sum(axis=(1, 2)))
    indices, distances = played.nearest(bar, 5)
    assert distances.tolist() == sorted(oracle)[:5] and oracle[indices].tolist() == distances.tolist()
    assert distances[0] <= changes


def test_a_model_without_a_map_has_no_played_bars_and_still_random_points(tmp_path):
    model = write_tiny_map(tmp_path / "a.pt")
    model.map = None
    played = latent_map.TrainingBars(model)
    assert len(played) == 0 and len(played.nearest(a_bar(0))[0]) == 0
    assert latent_map.random_code(model, 0, 0).shape == (2,)


# Velocities ------------------------------------------------------------------------------------------------------

def test_humanising_keeps_the_hits_and_gives_them_velocities_that_differ(model):
    bars = np.stack([np.where(a_bar(seed) > 0, 100, 0).astype(np.uint8) for seed in range(4)])
    struck, again, other = (sampling.humanise(model, bars, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(struck > 0, bars > 0) and np.array_equal(struck, again) and not np.array_equal(struck, other)
    assert all(len(np.unique(bar[bar > 0])) > 5 for bar in struck)


# Paths and fills -------------------------------------------------------------------------------------------------

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


# The map's ground ------------------------------------------------------------------------------------------------

def test_the_ground_is_empty_where_no_bars_lie_and_there_where_they_do(model):
    plane = latent_map.LatentPlane(model)
    ground = latent_map.HitDensity(plane)
    while not ground.compute_next(model):
        pass
    coverage = [ground.coverage_at(*point) for point in plane.points if np.abs(point).max() < plane.reach]
    assert min(coverage) > 0 and np.mean(coverage) > 0.8
    random = np.random.default_rng(0)
    points = random.uniform(-plane.reach, plane.reach, (300, 2))
    distances = np.linalg.norm(points[:, None] - plane.points, axis=2).min(axis=1)
    far = distances > 2 * latent_map.COVERAGE_RADIUS * plane.reach
    assert far.sum() > 10 and all(ground.coverage_at(*point) == 0 for point in points[far])
    panel = widgets.ground_pixels(latent_map.HitDensity(plane))[0, 0]
    assert np.allclose(widgets.ground_pixels(ground)[ground.coverage == 0], panel)
    assert np.array_equal(np.isfinite(ground.hits), ground.coverage > 0)


def test_the_ground_is_lighter_where_more_hits_are_drawn(model):
    plane = latent_map.LatentPlane(model)
    ground = latent_map.HitDensity(plane)
    while not ground.compute_next(model):
        pass
    there = ground.coverage == 1
    light, hits = widgets.ground_pixels(ground)[there].sum(axis=1), ground.hits[there]
    low, high = ground.range()
    assert 0 < low < high < 512
    order = np.argsort(np.clip(hits, low, high))
    assert (np.diff(light[order]) >= -1e-9).all() and light[order[-1]] > light[order[0]] + 0.3
