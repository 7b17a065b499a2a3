"""evaluate.py: its numbers against oracles, its JSON, and what it refuses."""

import json
import math
import re
import sys

import numpy as np
import pytest
import torch

import command_line
import evaluate
from formats.checkpoint import save_checkpoint
from learning.bounds import bounds, codes_report, mutual_information
from models import BernoulliVAE, ConvVAE, GaussianVAE
from patterns import click_metrics
from patterns.dataset import load_bars
from sounds.metrics import not_finite, reconstructed
from train_bernoulli import build_map

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
    model = BernoulliVAE(latent=2, hidden=(8,), width=8, decoder="causal", velocities=True, styles=["jazz", "rock"])
    with torch.no_grad():
        model.decoder.out.bias -= 3  # some 25 hits a bar
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
    printed = capsys.readouterr()
    assert "nan" not in printed.out and printed.err == ""


def test_a_log_says_which_measure_is_at_work(files, capsys, monkeypatch):
    monkeypatch.setattr(command_line, "LONG", 0)
    evaluate.main([str(files / "run"), *QUICK, "--json", str(files / "log.json")])
    errors = capsys.readouterr().err.splitlines()
    assert any(re.match("bounding with 3 samples: 6 of 6 bars", line) for line in errors)
    assert re.match(r"evaluating: (\d+) of \1 measures, .*, velocities$", errors[-1])


def test_more_samples_raise_the_bound(files):
    one, many = (evaluate.main([str(files / "run"), *QUICK, "--split", "train", "--k", str(k), "--json",
                                str(files / "k.json")])["bounds"] for k in (1, 200))
    assert many["bound"] > one["bound"] and many["elbo"] == one["elbo"]


def test_a_style_is_asked_for_where_there_are_bars_of_it(files):
    result = evaluate.main([str(files / "run"), *QUICK, "--json", str(files / "styles.json")])
    assert list(result["styles"]) == ["rock"] and result["styles"]["rock"]["real_bars"] == result["bars"]
    assert result["clicks"]["density_exact"] == 1
    assert set(result["bounds"]["bound_conditioned"]) == {"style"}
    assert result["bounds"]["score"] == result["bounds"]["bound"] and result["bounds"]["timing"] == 0


@pytest.fixture(scope="module")
def of_two_data_sets(files):
    """A run folder of a model of levels with a map, trained on the files of ROCK and on others of HOUSE."""
    source = np.random.default_rng(1)
    (files / "more").mkdir()
    for i in range(5):
        bars = (source.integers(1, 128, (6, 8, 64)) * (source.random((6, 8, 64)) < 0.03)).astype(np.uint8)
        np.save(files / "more" / f"HOUSE{i}.npy", bars)
    data = [str(files / name) for name in ("data", "more")]
    splits = load_bars(data)
    torch.manual_seed(0)
    model = BernoulliVAE(hidden=(8,), width=8, decoder="hierarchical", velocities=True, velocity_latent=2,
                         styles=["house", "rock"])
    labels = torch.tensor([model.styles.index(style) for style in splits["train"][2]])
    with torch.no_grad():
        model.decoder.out.bias -= 2
    content = build_map(model, splits, labels, model.styles)
    save_checkpoint(files / "both" / "best.pt", model, arguments={"data": data, "seed": 0}, **content)
    return files / "both"


def test_of_a_part_of_the_data_trained_on_only_its_styles_are_clicked(of_two_data_sets, files, monkeypatch):
    asked = []
    monkeypatch.setattr(click_metrics, "click_codes", lambda model, count, seed, styles=None: asked.append(styles) or
                        torch.randn(count, 2).numpy())
    command = [str(of_two_data_sets), *QUICK, "--no-classifier", "--json", str(files / "both.json")]
    both = evaluate.main(command)
    assert "everywhere" not in both["clicks"] and asked == [None, [0], [1]], "claps are asked of each style"
    one = evaluate.main([*command, "--data", str(files / "data")])
    assert one["clicks"]["everywhere"]["clicks"] == 20 and asked[3:] == [[1], None, [0], [1]]
    assert one["bars"] < both["bars"] and list(one["styles"]) == ["rock"]


def test_the_bound_is_score_and_timing_and_each_condition_is_given_by_itself(of_two_data_sets, files, capsys):
    result = evaluate.main([str(of_two_data_sets), *QUICK[:-2], "--k", "40", "--no-classifier", "--json",
                            str(files / "both.json")])
    found = result["bounds"]
    assert found["bound"] == pytest.approx(found["score"] + found["timing"]) and found["timing"] < -1
    given = found["bound_conditioned"]
    assert list(given) == ["style", "steady", "timing"] and len({*given.values(), found["bound_tenth"]}) == 4
    assert all(abs(bound - found["bound_tenth"]) < 10 for bound in given.values())
    assert set(result["clicks"]["rare_rows"]) == {"Clap house", "Percu house"}
    assert "nan" not in capsys.readouterr().out


def test_a_bound_is_given_one_condition_at_a_time():
    torch.manual_seed(0)
    model = BernoulliVAE(hidden=(8,), decoder="hierarchical", width=8, styles=["a", "b"]).eval()
    with torch.no_grad():
        model.style.weight *= 5
    x = torch.as_tensor(np.random.default_rng(0).random((6, 8, 64)) < 0.05).byte()
    conditions = {"style": torch.arange(6) % 2, "steady": torch.rand(6)}
    found = bounds(model, x, 3000, 0, conditions, batch_size=4)["bound_conditioned"]
    for name, values in conditions.items():
        bound = model.log_marginal(x, 300, torch.Generator().manual_seed(1), **{name: values}).mean().item()
        assert found[name] == pytest.approx(bound, abs=0.1)
    assert abs(found["style"] - found["steady"]) > 0.3


def test_the_mutual_information_is_that_of_a_known_channel():
    """Codes far apart from each other identify the bar: log n; codes that lie all in one place do not at all. For
    z = x + noise, x normal of variance 3 and noise of variance 1, it is log(1 + 3) / 2."""
    line = torch.arange(64.0, dtype=torch.float64)[:, None]
    assert mutual_information(1000 * line, 0 * line, 0) == pytest.approx(math.log(64))
    assert mutual_information(0 * line, 0 * line, 0) == pytest.approx(0)
    mean = 3 ** 0.5 * torch.randn(4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert mutual_information(mean, 0 * mean, 0) == pytest.approx(math.log(4) / 2, abs=0.03)


def test_a_checkpoint_file_leaves_nothing_beside_it(files, capsys):
    before = {path: path.read_bytes() for path in (files / "run").iterdir()}
    result = evaluate.main([str(files / "run" / "best.pt"), *QUICK, "--no-classifier"])
    assert {path: path.read_bytes() for path in (files / "run").iterdir()} == before
    assert "not written: --json" in capsys.readouterr().out
    evaluate.main([str(files / "run" / "best.pt"), *QUICK, "--no-classifier", "--json", str(files / "new.json")])
    assert json.loads((files / "new.json").read_text())["bounds"] == result["bounds"]


# Another device. torch's meta device holds no numbers and refuses any that lie elsewhere: what comes through a model
# there is stopped only on the way back to the CPU.

def on_the_way_back_from_meta():
    return pytest.raises(RuntimeError, match="(Cannot copy out of|cannot be called on) meta tensor")


def small_sound_model():
    model = ConvVAE(latent=2, shape=(16, 16), widths=(4, 4), patch=(4, 4)).eval()
    model.sound = {"mean": -30.0, "deviation": 10.0, "floor_db": -60.0}
    return model


@pytest.mark.parametrize("model, x", [
    (BernoulliVAE(hidden=(8,)), torch.zeros(4, 8, 64, dtype=torch.uint8)),
    (GaussianVAE(hidden=(8,), likelihood="normal"), torch.zeros(4, 28, 28, dtype=torch.uint8))])
def test_bounds_give_a_model_what_lies_on_its_device(model, x):
    with on_the_way_back_from_meta():
        bounds(model.eval().to("meta"), x, 2, 0)


@pytest.mark.parametrize("measure", [
    lambda model, x, labels: codes_report(model, x, label=labels),
    lambda model, x, labels: reconstructed(model, x, labels),
    lambda model, x, labels: not_finite(model, 8, 1)], ids=["codes_report", "reconstructed", "not_finite"])
def test_measures_of_sounds_give_a_model_what_lies_on_its_device(measure):
    x, labels = torch.randn(8, 16, 16), torch.arange(8)
    measure(small_sound_model(), x, labels)
    with on_the_way_back_from_meta():
        measure(small_sound_model().to("meta"), x, labels)


def test_bars_are_drawn_on_the_cpu_wherever_the_bounds_are_computed(files, monkeypatch):
    found = evaluate.main([str(files / "run"), *QUICK, "--no-classifier", "--json", str(files / "cpu.json")])

    def bounds_on_meta(model, *_):
        assert next(model.parameters()).device.type == "meta"
        return found["bounds"]
    monkeypatch.setattr(evaluate, "choose_device", torch.device)
    monkeypatch.setattr(evaluate, "bounds", bounds_on_meta)
    options = [*QUICK[:-1], "meta", "--no-classifier", "--json", str(files / "meta.json")]
    there = evaluate.main([str(files / "run"), *options])
    assert there.pop("click_milliseconds") and found.pop("click_milliseconds") and there == found


# What a person can get wrong.


@pytest.mark.parametrize("model, option, kind", [
    ("sounds", ["--split", "test"], "sounds"), ("sounds", ["--k", "5"], "sounds"),
    ("sounds", ["--no-classifier"], "sounds"), ("digits", ["--draws", "5"], "digits"),
    ("digits", ["--no-classifier"], "digits")])
def test_an_option_that_does_not_apply_is_refused(tmp_path, model, option, kind):
    made = small_sound_model() if model == "sounds" else GaussianVAE(hidden=(8,))
    save_checkpoint(tmp_path / "best.pt", made)
    with pytest.raises(ValueError, match=f"^{option[0]}: does not apply to a model of {kind}$"):
        evaluate.main([str(tmp_path), "--device", "cpu", *option])


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
    message = capsys.readouterr().err
    assert end.value.code == 2 and message.count("\n") == 1 and re.search(words, message), message
