"""evaluate.py: its numbers against oracles, its JSON, and what it refuses."""

import json
import math
import re
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

import evaluate
from formats.checkpoint import save_checkpoint
from learning.bounds import mutual_information
from models import BernoulliVAE
from patterns.metrics import classifier_auc, clicks, f1, hamming, jensen_shannon, sample_statistics, velocity_divergence
import command_line

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = ["--k", "3", "--draws", "20", "--device", "cpu"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of five files of bars, and a run folder with an untrained model that says it was trained on them."""
    folder = tmp_path_factory.mktemp("evaluate")
    source = np.random.default_rng(0)
    (folder / "data").mkdir()
    for i in range(5):
        bars = (source.integers(1, 128, (6, 8, 64)) * (source.random((6, 8, 64)) < 0.05)).astype(np.uint8)
        np.save(folder / "data" / f"ROCK{i}.npy", bars)
    torch.manual_seed(0)
    model = BernoulliVAE(latent=2, hidden=(8,), width=8, decoder="causal", velocities=True, styles=["JAZZ", "ROCK"])
    save_checkpoint(folder / "run" / "best.pt", model, arguments={"data": str(folder / "data"), "seed": 0})
    return folder


def refuse_constant(name):
    raise AssertionError(f"{name} is no JSON")


def test_the_json_holds_what_is_returned_and_the_same_command_gives_it_again(files):
    first = evaluate.main([str(files / "run"), *QUICK])
    written = (files / "run" / "evaluation.json").read_text()
    assert json.loads(written, parse_constant=refuse_constant) == json.loads(json.dumps(first))
    again = evaluate.main([str(files / "run"), *QUICK, "--json", str(files / "again.json")])
    for result in (first, again):
        assert result.pop("click_milliseconds") > 0
    assert json.dumps(again) == json.dumps(first)
    bounds = first["bounds"]
    assert bounds["elbo"] == pytest.approx(bounds["log_px"] - bounds["kl"])
    assert first["sample_statistics"]["draws"] == 20 and first["bars"] == 6


def test_a_single_bar_has_no_standard_error_and_its_json_is_sound(files, capsys):
    result = evaluate.main([str(files / "run"), *QUICK, "--limit", "1", "--json", str(files / "one.json")])
    assert result["bounds"]["bound_standard_error"] is None and result["bounds"]["active_units"] == 0
    assert json.loads((files / "one.json").read_text(), parse_constant=refuse_constant)["bars"] == 1
    told = capsys.readouterr()
    assert "nan" not in told.out and told.err == ""


def test_more_samples_raise_the_bound(files):
    one, many = (evaluate.main([str(files / "run"), *QUICK, "--split", "train", "--k", str(k), "--json",
                                str(files / "k.json")])["bounds"] for k in (1, 200))
    assert many["bound"] > one["bound"] and many["elbo"] == one["elbo"]


def test_a_style_is_asked_for_where_there_are_bars_of_it(files):
    result = evaluate.main([str(files / "run"), *QUICK, "--json", str(files / "styles.json")])
    assert list(result["styles"]) == ["ROCK"] and result["styles"]["ROCK"]["real_bars"] == result["bars"]
    assert result["density_exact"] == 1
    assert result["bounds"]["bound_conditioned"] < 0


def test_the_mutual_information_is_that_of_a_known_channel():
    """Codes far apart from each other say which bar it was: log n; codes that lie all in one place say nothing. For
    z = x + noise, x normal of variance 3 and noise of variance 1, it is log(1 + 3) / 2."""
    line = torch.arange(64.0, dtype=torch.float64)[:, None]
    assert mutual_information(1000 * line, 0 * line, 0) == pytest.approx(math.log(64))
    assert mutual_information(0 * line, 0 * line, 0) == pytest.approx(0)
    mean = 3 ** 0.5 * torch.randn(4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert mutual_information(mean, 0 * mean, 0) == pytest.approx(math.log(4) / 2, abs=0.03)


def test_clicks_are_codes_of_training_bars_of_the_style_asked_for(files):
    model = BernoulliVAE(styles=["a", "b"])
    codes = torch.arange(20.0).view(10, 2)
    model.map = {"codes": codes, "labels": torch.arange(10) % 2, "label_names": ["a", "b"]}
    points = clicks(model, 200, torch.Generator().manual_seed(0), label=1)
    assert {tuple(point) for point in points.tolist()} == {tuple(code) for code in codes[1::2].tolist()}
    model.map = None
    assert clicks(model, 200, torch.Generator().manual_seed(0)).std() == pytest.approx(1, abs=0.1)


# bar_measures.py

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


def test_own_bars_counts_what_is_unique_copied_and_empty_by_hits_alone():
    train = np.zeros((2, 8, 64), np.uint8)
    train[0, 0, 0], train[1, 1, 1] = 100, 90
    draws = np.zeros((4, 8, 64), np.uint8)
    draws[0, 0, 0], draws[1, 0, 0], draws[2, 5, 5] = 30, 127, 60  # two copies of one bar, a new bar, an empty one
    assert sample_statistics(draws, train, train) == {
        "draws": 4, "unique": 0.75, "copied_from_training": 0.5, "empty": 0.25, "hits_a_bar": 0.75,
        "hits_a_bar_real": 1.0}


def test_bars_differ_in_as_many_cells_as_hits_stand_in_one_alone():
    first, second = np.zeros((2, 1, 8, 64), np.uint8)
    first[0, 0, 0], second[0, 0, 0], second[0, 3, 7], first[0, 4, 4] = 9, 99, 1, 1
    assert hamming(first, second).tolist() == [2]


def performances(source, count, share):
    """Bars of `count` performances, five bars each, which share a rhythm of their own: (bars, groups)."""
    rhythm = (source.random((count, 1, 8, 64)) < share) & (source.random((count, 5, 8, 64)) < 0.9)
    rhythm[:, :, 0, 0] = True  # all begin with the kick
    return rhythm.reshape(-1, 8, 64).astype(np.uint8) * 90, np.repeat(np.arange(count), 5)


def test_the_classifier_tells_what_differs_and_not_what_is_alike():
    source = np.random.default_rng(0)
    real, groups = performances(source, 30, 0.05)
    alike, alike_groups = performances(source, 30, 0.05)
    dense, dense_groups = performances(source, 30, 0.2)
    assert classifier_auc(real, groups, dense, dense_groups) > 0.95
    assert abs(classifier_auc(real, groups, alike, alike_groups) - 0.5) < 0.15
    loud = np.where(alike > 0, 120, 0).astype(np.uint8)
    assert classifier_auc(real, groups, loud, alike_groups, velocities=True) > 0.95
    assert abs(classifier_auc(real, groups, loud, alike_groups) - 0.5) < 0.15
    assert classifier_auc(real[:39], groups[:39], dense, dense_groups) is None, "too few to say"


def test_the_classifier_is_not_helped_by_knowing_a_performance():
    """Each performance is a rhythm played five times: were they split over the folds, all would be told by heart."""
    source = np.random.default_rng(1)
    real, groups = performances(source, 24, 0.05)
    other, other_groups = performances(source, 24, 0.05)
    by_heart = classifier_auc(real, None, other, None)
    apart = classifier_auc(real, groups, other, other_groups)
    assert by_heart > 0.9 and apart < 0.7


@pytest.mark.parametrize("arguments, words", [
    (["none"], "none/best.pt: no such checkpoint|none: no such checkpoint"),
    (["run", "--split", "test"], "--split test: .*data has train, validation"),
    (["run", "--data", "none"], "none: no such folder or file"),
    (["run", "--json", "data"], "data: expected a file name, found a folder"),
    (["run", "--device", "abacus"], "--device abacus: not usable here"),
    (["run", "--limit", "0"], "--limit: expected a whole number of at least 1"),
    (["run", "--seed", str(2**64)], "--seed: expected a whole number from 0"),
])
def test_a_persons_error_is_one_line(files, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(files)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *QUICK[:4], *arguments])
    with pytest.raises(SystemExit) as end:
        command_line.run(evaluate.main)
    told = capsys.readouterr().err
    assert end.value.code == 2 and told.count("\n") == 1 and re.search(words, told), told
