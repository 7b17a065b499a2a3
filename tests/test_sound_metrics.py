"""sounds/metrics.py and the embedding of sounds/descriptors.py against oracles: distances by hand, Gaussians of known
Frechet distance, tones and noises that a classifier can tell, kits that agree."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learning import bounds
from sounds import metrics
from sounds.descriptors import (BANDS, COLUMNS, NAMES, RATE, copies, distances, frechet_distance, log_mel,
                                share_within, train_classifier)
from sounds.metrics import (Judge, Seen, alike, coherence, describe_classes, log_spectral_distance, mean_of,
                            not_finite, principal_components, report_classes, right, two_sample_auc, variety)

SHAPE = (56, 24)

pytestmark = pytest.mark.usefixtures("one_thread")


def spectrograms(count=12, seed=0):
    return -60 * torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def make_waves(count, seed=0, spread=1.0):
    """Decaying tones (class 0) and noises (class 1) in turn, of kits of four that share their decay."""
    source = np.random.default_rng(seed)
    t, waves, decay = np.arange(RATE // 8) / RATE, [], 0.0
    for i in range(count):
        decay = 30 * 2 ** (spread * source.uniform(-1, 1)) if i % 4 == 0 else decay
        tone = np.sin(2 * np.pi * 200 * 2 ** (spread * source.uniform(-0.5, 0.5)) * t)
        waves.append(((tone, source.standard_normal(len(t)))[i % 2] * np.exp(-decay * t)).astype(np.float32))
    return waves, np.arange(count) % 2, np.arange(count) // 4


def seen_of(embedding, labels=None, groups=None, described=None):
    """Sounds of a given embedding (n, d); the rest is nothing in particular."""
    count = len(embedding)
    return Seen(np.zeros(count, int) if labels is None else labels, np.arange(count) if groups is None else groups,
                embedding[:, None], np.zeros((count, len(NAMES))) if described is None else described,
                embedding[:, None], np.zeros(count, int))


# Log-mel spectrograms and the classifier.

def test_a_log_mel_spectrogram_shows_a_tone_where_it_is_and_ignores_level_and_delay():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    image = log_mel(tone)[0]
    assert image.shape == (BANDS, len(COLUMNS)) and image.max() == 0 and image.min() == -80
    mel = 2595 * math.log10(1 + 1000 / 700), 2595 * math.log10(1 + 30 / 700), 2595 * math.log10(1 + 20000 / 700)
    assert abs(int(image[:, 20].argmax()) + 1 - (mel[0] - mel[1]) / (mel[2] - mel[1]) * (BANDS + 1)) < 1
    waves = make_waves(2)[0]
    for wave in waves:
        late = np.concatenate([np.zeros(700), 0.01 * wave])
        assert (log_mel(wave) - log_mel(late)).abs().max() < 1e-2


def test_a_shift_moves_the_columns_of_single_hops_and_what_is_over_is_silence():
    wave = make_waves(2)[0][1]
    still, later, sooner = log_mel(wave, (0, 3, -3))
    for one, other in ((still[:, :29], later[:, 3:32]), (still[:, 3:32], sooner[:, :29])):
        both = (one > -70) & (other > -70)  # peaks may differ, by a constant
        assert both.sum() > 500 and (one - other)[both].std() < 1e-3
    assert (still[:, -20:] == -80).all()
    assert torch.isfinite(log_mel(np.zeros(10))).all() and torch.isfinite(log_mel(np.ones(1))).all()


def test_the_classifier_learns_classes_one_can_tell_repeats_and_leaves_the_random_numbers_alone():
    waves, labels, _ = make_waves(24)
    images, labels = torch.stack([log_mel(wave, (0, 2)) for wave in waves]), torch.as_tensor(labels)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    classifier = train_classifier(images, labels, steps=15, batch_size=16)
    assert torch.equal(torch.rand(3), expected)
    test, answers, _ = make_waves(20, seed=1)
    test = torch.stack([log_mel(wave)[0] for wave in test])
    assert np.array_equal(classifier(test).argmax(1), answers) and classifier.features(test).shape == (20, 64)
    again = train_classifier(images, labels, steps=15, batch_size=16)
    assert torch.equal(classifier(test), again(test))


# Distances between sets.

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


def test_precision_and_recall_by_hand():
    """Of 0, 1, 2, 10 the nearest neighbours are 1, 1, 1 and 8 away."""
    real = torch.tensor([0.0, 1.0, 2.0, 10.0])[:, None]
    assert share_within(torch.tensor([[-0.9], [-1.1], [17.0], [19.0]]), real, k=1) == 0.5
    assert share_within(real, real, k=1) == 1
    narrow = 1 + 0.01 * torch.randn(30, 1, generator=torch.Generator().manual_seed(0))
    assert share_within(narrow, real, k=1) == 1 and share_within(real, narrow) == 0.25


def test_distances_by_hand_and_copies_are_nearer_than_real_sounds_are():
    points = torch.tensor([0.0, 3.0, 10.0])[:, None, None].expand(3, 4, 5)
    assert torch.allclose(distances(points, points)[0], torch.tensor([0.0, 3.0, 10.0]), atol=1e-5)
    train, real, other = (spectrograms(40, seed) for seed in range(3))
    found = copies(train[:10] + 0.1, real, train)
    assert found["nearer"] == 1 and math.isclose(found["made"], 0.1, rel_tol=1e-3) and found["real"] > 10
    assert copies(real + 100, real, train)["nearer"] == 0
    assert copies(other, real, train)["nearer"] < 0.3


def test_trees_separate_what_differs_and_nothing_else():
    source = torch.Generator().manual_seed(0)
    one, other = (torch.randn(120, 3, generator=source) for _ in range(2))
    groups = np.arange(120) // 6
    assert abs(two_sample_auc(seen_of(one, groups=groups), seen_of(other, groups=groups), trees=30) - 0.5) < 0.12
    assert two_sample_auc(seen_of(one, groups=groups), seen_of(other + 4, groups=groups), trees=10) > 0.98
    assert two_sample_auc(seen_of(one, groups=0 * groups), seen_of(other), trees=5) is None


def test_trees_do_not_know_a_machine_again():
    """Each machine has a place of its own, and the places of both sides are drawn alike: nothing to be learned."""
    source = torch.Generator().manual_seed(0)
    groups = np.arange(160) // 8
    one, other = (3 * torch.randn(20, 4, generator=source)[groups] + 0.01 * torch.randn(160, 4, generator=source)
                  for _ in range(2))
    assert two_sample_auc(seen_of(one, groups=groups), seen_of(other, groups=groups), trees=30) < 0.7


def test_kits_agree_where_their_classes_share_a_property():
    source = np.random.default_rng(0)
    labels, kits = np.tile(np.arange(4), 200), np.arange(800) // 4
    shared = source.standard_normal((200, 2))[kits]
    assert coherence(shared, labels, kits) == pytest.approx(1)
    assert coherence(shared + source.standard_normal((800, 2)), labels, kits) == pytest.approx(0.5, abs=0.06)
    assert abs(coherence(source.standard_normal((800, 2)), labels, kits)) < 0.06
    opposed = np.where(labels % 2, 1, -1)[:, None] * shared
    assert coherence(opposed, labels, kits) == pytest.approx(-1 / 3)  # 2 pairs of 6 agree, 4 are opposed
    assert coherence(shared, labels, np.arange(800)) is None


def test_some_are_drawn_of_each_class():
    labels = np.repeat([0, 1, 2], [10, 5, 3])
    drawn = alike(seen_of(torch.arange(18.0)[:, None], labels), [4, 5, 0], np.random.default_rng(0))
    assert np.bincount(drawn.labels).tolist() == [4, 5] and len(set(drawn.groups)) == 9


def test_shares_named_right_variety_and_medians_are_by_class():
    seen = seen_of(torch.tensor([[0.0], [2.0], [5.0], [6.0], [9.0]]), np.array([0, 0, 1, 1, 2]))
    assert right(np.array([0, 1, 1, 1, 0]), seen) == {"all": pytest.approx(0.6),
                                                      "by_class": [0.5, 1.0, 0.0, *[None] * 5]}
    wider = seen_of(2 * seen.embedding, seen.labels)
    assert variety(wider, seen) == {"mean": 2.0, "by_class": [2.0, 2.0, *[None] * 6]}
    seen.described[:, NAMES.index("first_step")] = [0, 0.2, 0.01, 0.02, 1]
    found = describe_classes(seen)
    assert found["first_step"][:3] == pytest.approx([0.1, 0.015, 1])
    assert found["first_step above 5 %"] == [0.5, 0, 1, *[None] * 5]


# All together.

@pytest.fixture(scope="module")
def judge():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Judge(*make_waves(48), steps=12)
    torch.set_num_threads(threads)


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr(metrics, "two_sample_auc", functools.partial(two_sample_auc, trees=20))


@pytest.mark.usefixtures("few_trees")
def test_more_of_the_same_is_found_good_and_noise_in_place_of_tones_is_not(judge):
    real = judge.see(*make_waves(32, seed=1))
    good = judge.compare(judge.see(*make_waves(64, seed=2)), real)
    waves, labels, kits = make_waves(64, seed=2)
    bad = judge.compare(judge.see(waves[1::2] * 2, labels[[*range(0, 64, 2), *range(1, 64, 2)]], kits), real)
    assert good["frechet"]["ratio"] < 2 < bad["frechet"]["ratio"]
    assert good["auc"]["made"] < 0.75 < bad["auc"]["made"] and good["auc"]["real"] < 0.8
    assert good["named_right"]["made"]["all"] == good["named_right_by_descriptors"]["made"]["all"] == 1
    assert bad["named_right"]["made"]["by_class"][:2] == [0, 1]
    assert good["precision"]["made"] > 0.8 and good["recall"]["made"] > 0.8 > bad["recall"]["made"]
    assert 0.7 < good["variety"]["mean"] < 1.5 and good["copies"]["embedding"]["nearer"] < 0.3
    assert all(abs(share) < 1 for share in good["coherence"].values())
    assert good["descriptors"]["made"]["flatness_db"][1] == pytest.approx(-2.5, abs=0.3)
    lines = list(report_classes(good))
    assert lines[0].split()[2:4] == ["Kick", "Snare"] and "nan" not in str(good)
    assert any(line.startswith("attack_ms") for line in lines)
    assert all(len(line) == len(lines[0]) for line in lines)


@pytest.mark.usefixtures("few_trees")
def test_training_sounds_under_another_name_are_copies(judge):
    train, real = make_waves(48), judge.see(*make_waves(32, seed=1))
    found = judge.compare(judge.see([0.3 * wave for wave in train[0]], *train[1:]), real)
    assert found["copies"]["embedding"]["nearer"] == found["copies"]["log-mel, dB"]["nearer"] == 1


def test_properties_are_in_deviations_of_the_class_and_show_the_decay_that_kits_share(judge):
    found, labels = judge.properties(judge.train), judge.train.labels
    for row in (0, 1):
        assert np.allclose(found[labels == row].mean(0), 0, atol=0.1)
        assert 0.7 < found[labels == row].std(0)[[0, 1]].min() < 1.01
    assert coherence(found[:, :1], labels, judge.train.groups) > 0.8


def test_means_leave_out_none_and_list_texts():
    one, other = {"a": [1, None, None], "b": {"c": 2.0}, "d": "x", "e": "y"}, {"a": [3, 4.0, None], "b": {"c": 4.0},
                                                                               "d": "x", "e": "z"}
    assert mean_of([one, other]) == {"a": [2, 4, None], "b": {"c": 3}, "d": "x", "e": ["y", "z"]}


# The model's own reconstructions.

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


def test_principal_components_are_those_of_an_exact_decomposition():
    train, test = spectrograms(30), spectrograms(8, seed=1)
    flat, mean = train.flatten(1), train.flatten(1).mean(0)
    axes = torch.linalg.svd(flat - mean, full_matrices=False)[2][:5].T
    projected = mean + (test.flatten(1) - mean) @ axes @ axes.T
    expected = log_spectral_distance(test, projected.clamp(test.min(), test.max()).view(test.shape))
    assert torch.allclose(principal_components(train, test, [5])[5], expected, rtol=0.02)


class Bent(torch.nn.Module):
    """A model whose spectrograms are not finite for every eighth code drawn."""

    latent, classes = 2, 8

    def decode_mean(self, code, label):
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
