"""What is measured of clicks: each figure against bars whose answer is known, or a model small enough to enumerate."""

import numpy as np
import pytest
import torch
from tiny_map import a_bar, write_tiny_map

from models import BernoulliVAE
from patterns import click_metrics
from patterns.click_metrics import (click_changes, click_codes, click_comparison, groove_figures, groove_shares,
                                    own_bar_figures, rare_row_figures, score_of, sectors, temperature_figures,
                                    two_claps, velocity_figures, velocity_log_likelihood)
from patterns.dataset import pack_hits
from patterns.latent_map import RANDOM_STEP, random_code, training_codes
from patterns.sampling import CLICK

pytestmark = pytest.mark.usefixtures("one_thread")


def bar_of(*hits):
    """A bar with hits at (row, step)."""
    bar = np.zeros((8, 64), np.uint8)
    for row, step in hits:
        bar[row, step] = 90
    return bar


def drawing(monkeypatch, *bars, name="draw"):
    """Let the measures draw these bars, one array after the other; gives a list of what they asked for."""
    left, asked = iter(bars), []

    def draw(model, codes, *given, **more):
        asked.append((np.asarray(codes), more.get("constraints")))
        return np.stack(next(left))
    monkeypatch.setattr(click_metrics, name, draw)
    return asked


@pytest.fixture
def model(tmp_path_factory):
    return write_tiny_map(tmp_path_factory.mktemp("model") / "tiny.pt")


@pytest.fixture(scope="module")
def levels():
    """A model of score, timing and velocities."""
    torch.manual_seed(3)
    made = BernoulliVAE(hidden=(16,), decoder="hierarchical", width=16, velocities=True, velocity_latent=1)
    with torch.no_grad():
        made.decoder.out.bias -= 1.7
    return made.eval()


def test_the_score_is_that_of_the_model(levels):
    bars = np.stack([a_bar(seed) for seed in range(5)])
    assert np.array_equal(score_of(bars).reshape(5, -1), levels.score(torch.as_tensor(bars)).numpy() > 0)


def test_clicks_lie_at_the_windows_random_points_or_at_those_of_some_styles(model):
    assert np.array_equal(click_codes(model, 5, 3), [random_code(model, 3, i) for i in range(5)])
    assert np.array_equal(click_codes(model, 5, 3, [1]), [random_code(model, 3, i, 1) for i in range(5)])
    codes, labels = model.map["codes"].numpy().astype(np.float32), model.map["labels"].numpy()
    codes[labels == 1] += 100
    model.map["codes"] = torch.as_tensor(codes)
    some = click_codes(model, 300, 3, [0, 2])
    distances = np.linalg.norm(some[:, None] - codes, axis=2)
    assert some.max() < 50 and distances.min(1).max() < 5 * RANDOM_STEP and len(np.unique(some, axis=0)) == 300


def test_a_sector_is_a_slice_of_the_plane_around_its_middle_with_a_fifth_of_the_clicks(model):
    angles = np.random.default_rng(0).permutation(np.linspace(-np.pi, np.pi, 100, endpoint=False) + 0.01)
    codes = np.stack([3 + np.cos(angles), np.sin(angles) - 5], 1).astype(np.float32)
    found = sectors(model, codes)
    assert np.bincount(found).tolist() == [20] * 5
    assert all(np.ptp(angles[found == sector]) < 1.3 for sector in range(5))


def test_clicks_are_compared_with_all_real_bars_and_with_those_of_loops(model, monkeypatch):
    real, steady = np.stack([bar_of((0, i)) for i in range(8)] * 2), np.repeat([0.9, 0.1, np.nan, 0.7], 4)
    compared = []
    monkeypatch.setattr(click_metrics, "classifier_auc", lambda *given: compared.append(given) or 0.25 * len(given[0]))
    drawing(monkeypatch, [bar_of((0, 0)), bar_of((0, 1)), bar_of((0, 0)), bar_of((3, 3))])
    codes, names = np.random.default_rng(0).standard_normal((4, 2)), np.arange(16)
    found = click_comparison(model, codes, real, names, steady)
    assert found == {"clicks": 4, "distinct": 0.75, "auc": 4.0, "auc_steady": 2.0}
    assert compared[1][1].tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert sorted(compared[0][3]) == [0, 1, 2, 3], "four clicks lie in four of the five sectors"
    drawing(monkeypatch, [bar_of((0, 0))] * 4)
    assert click_comparison(model, codes, real, None, steady) == {"clicks": 4, "distinct": 0.25}


def test_near_clicks_are_compared_by_the_cells_of_their_scores(model, monkeypatch):
    here = [bar_of((0, 0), (1, 16)), bar_of((0, 0)), bar_of((0, 0))]
    asked = drawing(monkeypatch, here, [bar_of((0, 1), (1, 15)), bar_of((0, 8)), bar_of((0, 0), (4, 4), (5, 4))],
                    [bar_of((0, 0), (1, 17)), bar_of((0, 0)), bar_of((0, 0), (7, 63))])
    found = click_changes(model, np.zeros((3, 2), np.float32), torch.Generator().manual_seed(0))
    assert found == {"0.1": [2, 4 / 3], "0.03": [0, 1 / 3], "random": [1, 2 / 3]}
    for (codes, constraints), distance in zip(asked, (0, 0.1, 0.03)):
        np.testing.assert_allclose(np.linalg.norm(codes, axis=1), distance, rtol=1e-5)
        assert constraints == CLICK


def test_hits_at_lower_temperatures_are_shares_of_those_at_one(model, monkeypatch):
    asked = drawing(monkeypatch, [bar_of((0, 0), (0, 4)), bar_of((0, 0), (0, 4))], [bar_of((1, 1))] * 2,
                    [bar_of((0, 0), (0, 1), (0, 2), (0, 3)), bar_of()])
    assert temperature_figures(model, np.zeros((2, 2))) == {"0.5": [0.5, 0.0], "0.0": [1.0, 0.5]}
    assert [constraints.temperature for _, constraints in asked] == [1.0, 0.5, 0.0]


KICK_AND_SNARES = bar_of((0, 1), (1, 15), (1, 47))


def test_a_kick_on_one_and_a_backbeat_count_wherever_in_their_window_they_are_struck():
    bars = [KICK_AND_SNARES, bar_of((0, 62), (1, 16)), bar_of((0, 2), (1, 48)), bar_of((1, 14), (1, 49))]
    assert groove_shares(np.stack(bars)) == [0.5, 0.5]


def test_steady_clicks_stand_beside_steady_training_bars_of_their_style(model, monkeypatch):
    train = (np.stack([KICK_AND_SNARES, bar_of((0, 0)), bar_of((1, 1)), KICK_AND_SNARES]), None,
             np.array(["rock", "rock", "funk", "polka"]), np.array([0.8, 0.2, 0.7, 0.9]))
    asked = drawing(monkeypatch, [KICK_AND_SNARES], [bar_of((0, 0))])
    found = groove_figures(model, np.stack([bar_of((0, 0)), bar_of((1, 1))]), train, 1, 0)
    assert found == {"any": [[0.5, 0.0], [2 / 3, 2 / 3]], "rock": [[1.0, 1.0], [1.0, 1.0]],
                     "funk": [[1.0, 0.0], [0.0, 0.0]]}, "no hiphop is in the map"
    assert [constraints.style for _, constraints in asked] == [2, 0]


def test_a_bar_of_ones_own_is_exact_at_its_point_and_less_so_further_away(levels):
    bars = np.stack([a_bar(seed, 15) for seed in range(12)])
    found = own_bar_figures(levels, bars, torch.Generator().manual_seed(0))
    assert found["exact"] == 1 and 1 > found["0.05"] > found["0.3"] > 0.2


def test_rows_of_electronic_styles_are_those_that_their_training_bars_have(model, monkeypatch):
    model.styles = ["house", "rock", "techno"]
    bars = [bar_of((2, 16), (2, 48), (7, 4)), bar_of((2, 0)), bar_of((2, 16), (2, 48)), bar_of((7, 1)), bar_of((0, 0))]
    model.map = {"codes": torch.arange(10.0).view(5, 2), "labels": torch.tensor([0, 0, 1, 2, 2]),
                 "label_names": model.styles, "bars": pack_hits(np.stack(bars))}
    asked = drawing(monkeypatch, [bar_of((2, 2)), bar_of((2, 3))] * 2, [bar_of((7, 7))] * 4, name="draw_independent")
    assert rare_row_figures(model, 4, None) == {"Clap house": [1.0, 1.5], "Percu house": [0.0, 0.5],
                                                "Percu techno": [1.0, 0.5]}
    assert np.array_equal(asked[0][0], np.tile(training_codes(model, 0), (2, 1))), "each training bar as often"


def test_claps_asked_for_are_counted_on_two_and_four(model, monkeypatch):
    model.styles = ["one", "other"]
    asked = drawing(monkeypatch, [bar_of((2, 16), (2, 48)), bar_of((2, 15), (2, 0))], [bar_of((2, 0), (2, 4))] * 2)
    assert two_claps(model, 2, 0) == (0.75 + 0) / 2
    assert [constraints.row_hits for _, constraints in asked] == [{2: 2}] * 2


def test_the_bound_on_velocities_is_their_likelihood_integrated_over_the_latent(levels):
    bars, z = torch.as_tensor(np.stack([a_bar(seed, 3) for seed in range(4)])), torch.zeros(4, 2)
    line = torch.linspace(-7, 7, 401)
    with torch.no_grad():
        given = torch.stack([levels.velocity_net.log_likelihood(
            levels.binarise(bars), bars.flatten(1).float(),
            torch.cat([levels.with_condition(z), latent.expand(4, 1)], -1)) for latent in line])  # (401, 4)
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(line)[:, None] + np.log(14 / 400)
        exact = torch.logsumexp(given + prior, 0)
        few, many = (velocity_log_likelihood(levels, bars, z, samples) for samples in (1, 3000))
    torch.testing.assert_close(many, exact, rtol=0, atol=0.02)
    assert (few - exact).abs().max() > (many - exact).abs().max()


def test_velocities_are_guessed_by_the_median_of_draws(levels, monkeypatch):
    monkeypatch.setattr(click_metrics, "VELOCITY_DRAWS", 3)
    bars = torch.as_tensor(np.stack([bar_of((0, 0)), bar_of((1, 5), (1, 6))]))        # of velocity 90
    guesses = iter((70, 80, 127, 95))  # three draws, and the typical velocity

    def humanise(model, bars, *given, **more):
        return np.where(bars > 0, next(guesses), 0).astype(np.uint8)
    monkeypatch.setattr(click_metrics, "humanise", humanise)
    found = velocity_figures(levels, bars, bars.numpy())
    assert found["mean_absolute_error"].items() >= {"median": 10.0, "typical": 5.0}.items()
    assert 0 < found["mean_absolute_error"]["given_before"] < 127
    with torch.no_grad():
        expected = velocity_log_likelihood(levels, bars, levels.encode(bars)[0]).sum().item() / 3
    assert found["by_samples"] == pytest.approx(-expected) and found["by_samples"] > 0
    with torch.no_grad():
        unknown = torch.zeros(len(bars), levels.velocity_latent)
        z = torch.cat([levels.with_condition(levels.encode(bars)[0]), unknown], 1)
        likely = levels.velocity_net.log_likelihood(levels.binarise(bars), bars.flatten(1).float(), z)
        expected = likely.sum().item() / 3
    assert found["nats_a_hit"] == pytest.approx(-expected)
    assert velocity_figures(BernoulliVAE(hidden=(8,)), bars, bars.numpy()) is None
