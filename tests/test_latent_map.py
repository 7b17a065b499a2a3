"""What the map shows: random codes, the training bars nearest to one, the hits drawn over it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_map import STYLES, a_bar, write_tiny_map

from patterns import latent_map, sampling
from patterns.dataset import unpack_hits
from window import widgets


@pytest.fixture(scope="module", params=[2, 5])
def model(request, tmp_path_factory):
    return write_tiny_map(tmp_path_factory.mktemp("model") / "tiny.pt", latent=request.param)


@pytest.fixture(scope="module")
def training_bars(model):
    return latent_map.TrainingBars(model)


def test_random_points_lie_by_played_bars_of_the_style_that_is_asked_for(model):
    codes, labels = model.map["codes"].numpy(), model.map["labels"].numpy()
    for style in (None, 0, 2):
        own = unpack_hits(model.map["bars"][labels == style])
        members = codes if style is None else sampling.encode(model, own, style)
        points = np.stack([latent_map.random_code(model, 3, i, style) for i in range(40)])
        distances = np.linalg.norm(points[:, None] - members, axis=2).min(axis=1)
        assert distances.max() < latent_map.RANDOM_STEP * 4 * np.sqrt(codes.shape[1])
        assert len(np.unique(points, axis=0)) == 40


def test_played_bars_are_those_of_the_map_each_once(model, training_bars):
    hits = unpack_hits(model.map["bars"]).numpy()
    assert len(training_bars) == len({bar.tobytes() for bar in hits})
    for index in (0, len(training_bars) // 2, len(training_bars) - 1):
        assert np.array_equal(training_bars.bar(index) > 0, hits[training_bars.rows[index]])
        assert np.array_equal(training_bars.code(index), model.map["codes"][training_bars.rows[index]])
        assert training_bars.name(index) == STYLES[model.map["labels"][training_bars.rows[index]]]


def test_a_played_bar_has_novelty_0_and_is_its_own_nearest(training_bars):
    for index in range(0, len(training_bars), 37):
        nearest, cells = training_bars.nearest(training_bars.bar(index))
        assert (nearest[0], cells[0]) == (index, 0)


@given(seed=st.integers(0, 10_000), changes=st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_the_nearest_bars_are_those_of_the_plain_hamming_distance(training_bars, seed, changes):
    random = np.random.default_rng(seed)
    bar = training_bars.bar(random.integers(len(training_bars)))
    cells = random.choice(512, changes, replace=False)
    bar.reshape(-1)[cells] = np.where(bar.reshape(-1)[cells] > 0, 0, 90)
    oracle = ((unpack_hits(training_bars.packed).numpy() != (bar > 0)).sum(axis=(1, 2)))
    indices, distances = training_bars.nearest(bar, 5)
    assert distances.tolist() == sorted(oracle)[:5] and oracle[indices].tolist() == distances.tolist()
    assert distances[0] <= changes


def test_a_model_without_a_map_has_no_played_bars_and_still_random_points(tmp_path):
    model = write_tiny_map(tmp_path / "a.pt")
    model.map = None
    training_bars = latent_map.TrainingBars(model)
    assert len(training_bars) == 0 and len(training_bars.nearest(a_bar(0))[0]) == 0
    assert latent_map.random_code(model, 0, 0).shape == (2,)


def test_the_density_is_empty_where_no_bars_lie_and_there_where_they_do(model):
    plane = latent_map.LatentPlane(model)
    density = latent_map.HitDensity(plane)
    while not density.compute_next(model):
        pass
    coverage = [density.coverage_at(*point) for point in plane.points if np.abs(point).max() < plane.reach]
    assert min(coverage) > 0 and np.mean(coverage) > 0.8
    random = np.random.default_rng(0)
    points = random.uniform(-plane.reach, plane.reach, (300, 2))
    distances = np.linalg.norm(points[:, None] - plane.points, axis=2).min(axis=1)
    far = distances > 2 * latent_map.COVERAGE_RADIUS * plane.reach
    assert far.sum() > 10 and all(density.coverage_at(*point) == 0 for point in points[far])
    panel = widgets.density_pixels(latent_map.HitDensity(plane))[0, 0]
    assert np.allclose(widgets.density_pixels(density)[density.coverage == 0], panel)
    assert np.array_equal(np.isfinite(density.hits), density.coverage > 0)


def test_the_density_is_lighter_where_more_hits_are_drawn(model):
    plane = latent_map.LatentPlane(model)
    density = latent_map.HitDensity(plane)
    while not density.compute_next(model):
        pass
    there = density.coverage == 1
    light, hits = widgets.density_pixels(density)[there].sum(axis=1), density.hits[there]
    low, high = density.range()
    assert 0 < low < high < 512
    order = np.argsort(np.clip(hits, low, high))
    assert (np.diff(light[order]) >= -1e-9).all() and light[order[-1]] > light[order[0]] + 0.3
