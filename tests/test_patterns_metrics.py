"""How drawn bars compare with real ones: each measure against an oracle, or a case whose answer is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from models import BernoulliVAE
from patterns.metrics import (classifier_auc, f1, jensen_shannon, sample_codes, sample_statistics,
                              velocity_divergence)


def test_random_codes_are_those_of_training_bars_of_the_style_asked_for():
    model = BernoulliVAE(styles=["a", "b"])
    codes = torch.arange(20.0).view(10, 2)
    model.map = {"codes": codes, "labels": torch.arange(10) % 2, "label_names": ["a", "b"]}
    points = sample_codes(model, 200, torch.Generator().manual_seed(0), [1])
    assert {tuple(point) for point in points.tolist()} == {tuple(code) for code in codes[1::2].tolist()}
    model.map = None
    assert sample_codes(model, 200, torch.Generator().manual_seed(0)).std() == pytest.approx(1, abs=0.1)


def test_f1_is_that_of_scikit_learn():
    source = np.random.default_rng(1)
    real, made = source.random((2, 5, 64)) < 0.3
    assert f1(real, made) == pytest.approx(f1_score(real.ravel(), made.ravel()))
    assert f1(real, real) == 1 and f1(real & False, made & False) is None


def test_the_divergence_is_nothing_between_equal_and_one_bit_between_disjoint_distributions():
    p, q = np.array([0.5, 0.5, 0, 0]), np.array([0, 0, 0.1, 0.9])
    assert jensen_shannon(p, p) == 0 and jensen_shannon(p, q) == pytest.approx(1)


def test_the_divergence_of_velocities_is_taken_row_by_row_where_there_are_enough_hits():
    real, made = np.zeros((2, 200, 2, 64), np.uint8)
    real[:, 0, 0], made[:, 0, 5] = 100, 100  # the first row alike, wherever struck; the second with too few hits
    real[:9, 1, 0] = made[:9, 1, 0] = 30
    assert velocity_divergence(real, made, ["one", "two"]) == {"one": 0}
    made[made == 100] = 20
    assert velocity_divergence(real, made, ["one", "two"]) == {"one": 1}


def test_sample_statistics_count_what_is_unique_copied_and_empty_by_hits_alone():
    train = np.zeros((2, 8, 64), np.uint8)
    train[0, 0, 0], train[1, 1, 1] = 100, 90
    draws = np.zeros((4, 8, 64), np.uint8)
    draws[0, 0, 0], draws[1, 0, 0], draws[2, 5, 5] = 30, 127, 60  # two copies of one bar, a new bar, an empty one
    assert sample_statistics(draws, train, train) == {
        "draws": 4, "unique": 0.75, "copied_from_training": 0.5, "empty": 0.25, "hits_a_bar": 0.75,
        "hits_a_bar_real": 1.0}


def performances(source, count, share):
    """Bars of `count` performances, five bars each, which share a rhythm of their own: (bars, groups)."""
    rhythm = (source.random((count, 1, 8, 64)) < share) & (source.random((count, 5, 8, 64)) < 0.9)
    rhythm[:, :, 0, 0] = True  # all begin with the kick
    return rhythm.reshape(-1, 8, 64).astype(np.uint8) * 90, np.repeat(np.arange(count), 5)


def test_the_classifier_separates_what_differs_and_not_what_is_alike():
    source = np.random.default_rng(0)
    real, groups = performances(source, 30, 0.05)
    alike, alike_groups = performances(source, 30, 0.05)
    dense, dense_groups = performances(source, 30, 0.2)
    assert classifier_auc(real, groups, dense, dense_groups) > 0.95
    assert abs(classifier_auc(real, groups, alike, alike_groups) - 0.5) < 0.15
    loud = np.where(alike > 0, 120, 0).astype(np.uint8)
    assert abs(classifier_auc(real, groups, loud, alike_groups) - 0.5) < 0.15, "it sees hits alone"
    assert classifier_auc(real[:39], groups[:39], dense, dense_groups) is None, "too few to say"


def test_the_classifier_is_not_helped_by_knowing_a_performance():
    """Each performance is a rhythm played five times: split over the folds, all would be known by heart."""
    source = np.random.default_rng(1)
    real, groups = performances(source, 24, 0.05)
    other, other_groups = performances(source, 24, 0.05)
    by_heart = classifier_auc(real, None, other, None)
    apart = classifier_auc(real, groups, other, other_groups)
    assert by_heart > 0.9 and apart < 0.7
