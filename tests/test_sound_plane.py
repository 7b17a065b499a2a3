"""sounds/sound_map.py: points and codes there and back, known sounds where they lie, brightness from coarse to fine."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sounds import LATENT, make_sound_model, write_machines

from sounds.codes import attach_sound, random_codes
from sounds.sound_map import CELLS, SPACING, SoundPlane, coarse_to_fine, spaced

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plane")
    return attach_sound(*make_sound_model(write_machines(folder / "sounds"), folder / "cache"))


@pytest.fixture(scope="module")
def plane(model):
    return SoundPlane(model, 1)


@settings(max_examples=50, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_a_point_gives_a_code_and_the_code_the_point(plane, x, y):
    code = plane.to_code(x, y)
    assert code.dtype == np.float32 and code.shape == (LATENT,) and np.isfinite(code).all()
    assert plane.from_code(code) == pytest.approx((x, y), abs=1e-4)


def test_at_a_known_point_lies_the_code_of_that_training_sound(plane, model):
    own = model.exemplars.codes[model.exemplars.labels == 1].numpy()
    assert 2 < len(plane.points) <= len(own)
    for point in plane.points:
        assert np.abs(own - plane.to_code(*point)).max(1).min() < 1e-4
    apart = np.linalg.norm(plane.points[:, None] - plane.points, axis=2) + 9 * np.eye(len(plane.points))
    assert apart.min() >= SPACING
    assert 0.5 < plane.points.std() < 2 and np.mean(np.abs(plane.points) <= plane.reach) > 0.9


def test_codes_change_little_from_a_point_to_the_next(plane):
    source = np.random.default_rng(0)
    points = source.uniform(-2, 2, (200, 2))
    steps = points + 0.02 * np.array([(np.cos(angle), np.sin(angle)) for angle in source.uniform(0, 6.3, 200)])
    codes, near = (np.array([plane.to_code(*point) / plane.scale for point in some]) for some in (points, steps))
    far = np.linalg.norm(codes - codes[::-1], axis=1)
    assert np.quantile(np.linalg.norm(codes - near, axis=1), 0.95) < 0.2 * np.median(far)


def test_the_map_passes_through_the_sounds_it_is_given(model):
    plane = SoundPlane(model, 2)
    own = [np.asarray(code) for code in random_codes(model, [2, 10], seed=1)[0]]
    before = plane.to_code(*plane.from_code(own[0]))
    plane.pass_through(own)
    for code in own:
        np.testing.assert_allclose(plane.to_code(*plane.from_code(code)), code, atol=1e-4)
    plane.pass_through([])
    np.testing.assert_array_equal(plane.to_code(*plane.from_code(own[0])), before)


def test_brightness_is_computed_a_few_cells_a_call_and_all_over_first(model):
    plane = SoundPlane(model, 0)
    assert plane.brightness.shape == (CELLS, CELLS) and np.isnan(plane.brightness).all()
    assert not plane.compute_next(9)
    done = np.argwhere(np.isfinite(plane.brightness))
    assert len(done) == 9 and np.ptp(done, axis=0).min() > CELLS / 2
    while not plane.compute_next(100):
        pass
    assert np.isfinite(plane.brightness).all() and 5 < plane.brightness.min() < plane.brightness.max() < 13
    other = SoundPlane(model, 7)
    other.compute_next(9)
    assert np.nanmean(other.brightness) > plane.brightness.mean() + 1, "tones of class 7 are higher by four octaves"


def test_a_class_without_training_sounds_has_a_map_all_the_same(model):
    known = model.exemplars
    labels = known.labels
    try:
        known.labels = torch.where(labels == 3, 2, labels)
        plane = SoundPlane(model, 3)
        assert plane.points.shape == (0, 2) and plane.from_code(plane.to_code(1, -1)) == pytest.approx((1, -1))
        plane.compute_next(4)
        assert np.isfinite(plane.brightness).sum() == 4
    finally:
        known.labels = labels


def test_orders():
    points = np.array([[0, 0], [0.1, 0], [1, 0], [0, 1], [0.95, 0.1]])
    assert spaced(points, 0.5) == [0, 2, 3] and spaced(points[:0], 1) == []
    order = coarse_to_fine(16)
    assert order[:4].tolist() == [[0, 0], [0, 8], [8, 0], [8, 8]] and len({*map(tuple, order.tolist())}) == 256
