"""evaluate.py: its numbers against oracles, its JSON, and what it refuses."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

import command_line
import evaluate
from models import BernoulliVAE
from training import save_checkpoint

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
    model = BernoulliVAE(latent=2, hidden=(8,), width=8, decoder="causal", velocities=True)
    save_checkpoint(folder / "run" / "best.pt", model, arguments={"data": str(folder / "data"), "seed": 0})
    return folder


def refuse_constant(name):
    raise AssertionError(f"{name} is no JSON")


def test_the_json_holds_what_is_returned_and_the_same_command_gives_it_again(files):
    first = evaluate.main([str(files / "run"), *QUICK])
    written = (files / "run" / "evaluation.json").read_text()
    assert json.loads(written, parse_constant=refuse_constant) == json.loads(json.dumps(first))
    evaluate.main([str(files / "run"), *QUICK, "--json", str(files / "again.json")])
    assert (files / "again.json").read_text() == written
    bounds = first["bounds"]
    assert bounds["elbo"] == pytest.approx(bounds["log_px"] - bounds["kl"])
    assert first["own_bars"]["draws"] == 20 and first["bars"] == 6


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


def test_f1_is_that_of_scikit_learn():
    source = np.random.default_rng(1)
    real, made = source.random((2, 5, 64)) < 0.3
    assert evaluate.f1(real, made) == pytest.approx(f1_score(real.ravel(), made.ravel()))
    assert evaluate.f1(real, real) == 1 and evaluate.f1(real & False, made & False) is None


def test_the_divergence_is_nothing_between_equal_and_one_bit_between_disjoint_distributions():
    p, q = np.array([0.5, 0.5, 0, 0]), np.array([0, 0, 0.1, 0.9])
    assert evaluate.jensen_shannon(p, p) == 0 and evaluate.jensen_shannon(p, q) == pytest.approx(1)


def test_own_bars_counts_what_is_unique_copied_and_empty_by_hits_alone():
    train = np.zeros((2, 8, 64), np.uint8)
    train[0, 0, 0], train[1, 1, 1] = 100, 90
    draws = np.zeros((4, 8, 64), np.uint8)
    draws[0, 0, 0], draws[1, 0, 0], draws[2, 5, 5] = 30, 127, 60  # two copies of one bar, a new bar, an empty one
    assert evaluate.own_bars(draws, train, train) == {
        "draws": 4, "unique": 0.75, "copied_from_training": 0.5, "empty": 0.25, "hits_a_bar": 0.75,
        "hits_a_bar_real": 1.0}


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
