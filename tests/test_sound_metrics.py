"""sounds/metrics.py against oracles: distances by hand, Gaussians of known Frechet distance, classes one can tell."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learning import bounds
from sounds.metrics import (PIXELS, accuracy, dct_distance, distances, frechet_distance, log_spectral_distance,
                            mean_pairwise, not_finite, principal_components, share_nearer,
                            train_classifier)

SHAPE = (56, 24)

pytestmark = pytest.mark.usefixtures("one_thread")


def spectrograms(count=12, seed=0):
    return -60 * torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def classes_one_can_tell(count, seed=0):
    """Spectrograms of two classes, loud below or above, one after the other: (count, *PIXELS), (count,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    made = -50 + 3 * torch.randn(count, *PIXELS, generator=generator)
    half = PIXELS[0] // 2
    made[labels == 0, :half] += 40
    made[labels == 1, half:] += 40
    return made, labels


def test_the_distance_is_the_rms_of_the_difference_in_db():
    one, other = spectrograms(), spectrograms(seed=1)
    expected = ((one.double() - other.double()) ** 2).mean((1, 2)).sqrt()
    assert torch.allclose(log_spectral_distance(one, other).double(), expected)
    assert log_spectral_distance(one, one + 3).sub(3).abs().max() < 1e-5
    assert (log_spectral_distance(one.half(), one.half()) == 0).all()


def test_principal_components_explain_what_they_span_and_the_mean_what_it_can():
    generator = torch.Generator().manual_seed(0)
    axes = torch.randn(2, *SHAPE, generator=generator)
    amounts = torch.randn(60, 2, generator=generator)
    both = -30 + torch.einsum("nk,kbf->nbf", amounts, axes).clamp(-25, 25)
    found = principal_components(both[:40], both[40:], [1, 2])
    assert list(found) == [0, 1, 2] and found[2].max() < 1e-2
    mean = both[:40].mean(0)
    assert torch.allclose(found[0], log_spectral_distance(both[40:], mean.expand(20, -1, -1)), rtol=1e-4)
    assert found[0].mean() > found[1].mean() > found[2].mean()


@pytest.mark.parametrize("linear", [False, True])
def test_principal_components_are_those_of_an_exact_decomposition(linear):
    train, test = spectrograms(30), spectrograms(8, seed=1)
    there, back = (lambda x: 10 ** (x / 20), lambda x: 20 * x.clamp_min(1e-9).log10()) if linear else (lambda x: x,) * 2
    flat, mean = there(train.flatten(1)), there(train.flatten(1)).mean(0)
    axes = torch.linalg.svd(flat - mean, full_matrices=False)[2][:5].T
    projected = back(mean + (there(test.flatten(1)) - mean) @ axes @ axes.T)
    expected = log_spectral_distance(test, projected.clamp(test.min(), test.max()).view(test.shape))
    assert torch.allclose(principal_components(train, test, [5], linear)[5], expected, rtol=0.02)


def test_cosines_keep_a_smooth_spectrogram_and_lose_a_rough_one():
    band, frame = np.cos(np.pi * 3 * (np.arange(56) + 0.5) / 56), np.cos(np.pi * 2 * (np.arange(24) + 0.5) / 24)
    smooth = torch.tensor(-30 + 20 * band[:, None] * frame, dtype=torch.float32)[None]
    assert dct_distance(smooth, (8, 4)).max() < 1e-3
    assert dct_distance(spectrograms(), (8, 4)).min() > 10
    assert dct_distance(spectrograms(), SHAPE).max() < 1e-3


def test_nearest_and_pairwise_distances_by_hand():
    points = torch.tensor([0.0, 3.0, 10.0])[:, None, None].expand(3, 4, 5)
    assert torch.allclose(distances(points, points)[0], torch.tensor([0.0, 3.0, 10.0]), atol=1e-5)
    assert torch.allclose(distances(points[:1], points[1:]).amin(1), torch.tensor([3.0]), atol=1e-5)
    assert math.isclose(mean_pairwise(points), (3 + 10 + 7) / 3, rel_tol=1e-5)
    assert mean_pairwise(points[:1]) is None


def test_copies_are_nearer_than_real_sounds_are_and_strangers_are_not():
    train, real = spectrograms(20), spectrograms(20, seed=1)
    assert share_nearer(train[:10], real, train) == 1.0
    assert share_nearer(real + 100, real, train) == 0.0


@settings(deadline=None, max_examples=20)
@given(st.floats(-3, 3), st.floats(0.2, 3), st.integers(1, 5))
def test_frechet_distance_of_known_gaussians(shift, scale, size):
    """Features stretched and shifted exactly: |shift|^2 size + (scale - 1)^2 trace."""
    features = torch.randn(200, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = shift**2 * size + (scale - 1) ** 2 * torch.cov(features.T).reshape(size, size).trace().item()
    centred = features - features.mean(0)
    moved = centred * scale + features.mean(0) + shift
    assert math.isclose(frechet_distance(features, moved), expected, rel_tol=1e-6, abs_tol=1e-6)
    assert abs(frechet_distance(features, features)) < 1e-6


def test_the_classifier_learns_classes_one_can_tell_and_no_others():
    (train, labels), (test, answers) = classes_one_can_tell(60), classes_one_can_tell(40, seed=1)
    classifier = train_classifier(train, labels, steps=40, classes=2)
    found = accuracy(classifier, test, answers, classes=2)
    assert found["all"] == found["mean"] == 1.0 and found["by_class"] == [1.0, 1.0]
    swapped = accuracy(classifier, test, 1 - answers, classes=2)
    assert swapped["all"] == 0.0
    assert classifier.features(test).shape == (40, 64)


def test_training_a_classifier_leaves_the_random_numbers_alone_and_repeats():
    train, labels = classes_one_can_tell(16)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = train_classifier(train, labels, steps=3, classes=2)
    assert torch.equal(torch.rand(3), expected)
    again = train_classifier(train, labels, steps=3, classes=2)
    assert torch.equal(first(train), again(train))


def test_accuracy_counts_classes_evenly_and_leaves_out_the_absent():
    class Zero(torch.nn.Module):
        def forward(self, x):
            return torch.eye(3)[torch.zeros(len(x), dtype=torch.long)]

    found = accuracy(Zero(), torch.zeros(4, 2, 2), torch.tensor([0, 0, 0, 2]), classes=3)
    assert found == {"all": 0.75, "mean": 0.5, "by_class": [1.0, None, 0.0]}


class Bent(torch.nn.Module):
    """A model whose spectrograms are not finite for every fifth code drawn."""

    latent, classes = 2, 8

    def decode_base(self, code, label):
        x = code[:, :1, None].expand(-1, 3, 4).clone()
        x[label == 4, 1, 2] = math.nan
        return x


def test_values_that_are_not_finite_are_counted():
    assert not_finite(Bent(), 160, 1) == 20


def test_active_units_and_kl_by_dimension_are_those_of_the_codes():
    class Half(torch.nn.Module):
        latent = 3

        def encode(self, x, label):
            mean = torch.stack([x[:, 0, 0], 0.05 * x[:, 0, 0], 0 * x[:, 0, 0]], 1)
            return mean, torch.tensor([-2.0, 0.0, 0.0]).expand(len(x), -1)

    x = torch.randn(500, 2, 2)
    found = bounds.codes_report(Half(), x, label=torch.zeros(500, dtype=torch.long))
    expected = 0.5 * (x[:, 0, 0].square().mean() + math.exp(-2) - 1 + 2).item()
    assert found["active_units"] == 1 and found["latent"] == 3
    assert math.isclose(found["kl_by_dimension"][0], expected, rel_tol=1e-4) and found["kl_by_dimension"][2] == 0
    assert math.isclose(sum(found["kl_by_dimension"]), found["kl"], rel_tol=1e-5)
