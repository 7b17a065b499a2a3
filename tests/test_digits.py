"""Trainings on MNIST: run folders that are whole, resumed bit for bit, measured; errors of one line."""

import functools
import itertools
import json
import math
import re
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from digit_files import NAMES, strokes, write_idx, write_mnist

import Activation_Matrix_To_Sound
import evaluate
import train_gaussian
from formats import checkpoint
from learning import figures, mnist, training
from learning.training import Examples, TrainingSettings, fit
from models import BernoulliVAE, GaussianVAE
import command_line
import download
from saved_model import load_model

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import mnist_rows

RUN_FILES = {"checkpoint.pt", "best.pt", "log.jsonl", "config.json", "curves.png", "latent.png", "manifold.png",
             "samples.png", "reconstructions.png"}
TINY = dict(latent=2, hidden=(8,), width=8, blocks=1, epochs=2, epoch_size=20, batch_size=8, device="cpu")


def gaussian(folder, resume=False, **changed):
    """Train a tiny Gaussian VAE by its script."""
    options = []
    for name, value in {**TINY, "components": 2, **changed}.items():
        options += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value])]
    return train_gaussian.main([*options, "--run-folder", str(folder), *["--resume"] * resume])["history"]


def bernoulli(folder, resume=False, **changed):
    """Train a tiny Bernoulli VAE on MNIST as its rows of the table are."""
    return mnist_rows.train_bernoulli_row(folder, resume, **{**TINY, **changed})


TRAININGS = {
    "gaussian raster": gaussian,
    "gaussian independent normal": functools.partial(gaussian, decoder="independent", likelihood="normal"),
    "bernoulli raster": bernoulli,
    "bernoulli independent": functools.partial(bernoulli, decoder="independent"),
}
QUICK = ["--k", "3", "--device", "cpu"]

pytestmark = pytest.mark.usefixtures("one_thread", "small_mnist")
each_training = pytest.mark.parametrize("name", TRAININGS)


@pytest.fixture(scope="module")
def small_mnist(tmp_path_factory):
    """A folder of 60 digits to train on, 12 to test, as the MNIST of this machine; grids of four by four."""
    folder = write_mnist(tmp_path_factory.mktemp("data") / "mnist", train=60, test=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "DATA", folder / "none")
        patch.setenv("SEQUENCEUR_DATA", str(folder.parent))
        patch.setattr(mnist, "SHOWN", 4)
        patch.setattr(mnist, "MANIFOLD", dict(independent=4, raster=4))
        yield folder


@pytest.fixture(scope="module")
def runs(small_mnist, tmp_path_factory):
    """{name: run folder} of each of TRAININGS."""
    folder = tmp_path_factory.mktemp("runs")
    for name, train in TRAININGS.items():
        train(folder / name)
    return {name: folder / name for name in TRAININGS}


# The run folder.

@each_training
def test_a_training_leaves_a_whole_run_folder_with_pictures_that_show_something(runs, name):
    assert {path.name for path in runs[name].iterdir()} >= RUN_FILES
    for picture in RUN_FILES:
        if picture.endswith(".png"):
            assert matplotlib.image.imread(runs[name] / picture).std() > 0.01, f"{picture} is blank"
    log = [json.loads(line) for line in (runs[name] / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in log] == [1, 2]
    config = json.loads((runs[name] / "config.json").read_text())
    assert config["examples"] == {"train": 54, "validation": 6} and config["recipe"]["epoch_size"] == 20
    kind = GaussianVAE if "gaussian" in name else BernoulliVAE
    assert config["class"] == kind.__name__ and config["arguments"]["data"] == "mnist"
    model = load_model(runs[name])
    assert type(model) is kind and model.shape == (28, 28) and model.config["decoder"] == name.split()[1]
    assert "map" not in checkpoint.load_checkpoint(runs[name]), "a map is for bars"


def test_free_bits_are_those_of_the_decoder_and_none_with_several_samples(runs, tmp_path, monkeypatch):
    found = {name: checkpoint.load_checkpoint(run)["recipe"]["free_bits"] for name, run in runs.items()}
    assert found == {"gaussian raster": 4, "gaussian independent normal": 0, "bernoulli raster": 10,
                     "bernoulli independent": 10}
    monkeypatch.setattr(mnist, "draw_figures", lambda *_: None)
    gaussian(tmp_path / "run", samples=2, epochs=1)
    recipe = checkpoint.load_checkpoint(tmp_path / "run")["recipe"]
    assert recipe["samples"] == 2 and recipe["free_bits"] == 0


class Stop(Exception):
    """A failure of the machine."""


@each_training
def test_a_run_that_failed_and_was_resumed_equals_one_that_was_not(tmp_path, monkeypatch, name):
    monkeypatch.setattr(mnist, "draw_figures", lambda *_: None)
    train = functools.partial(TRAININGS[name], epochs=3, seed=7)
    train(tmp_path / "whole")
    calls, forward = itertools.count(1), training.Step.forward

    def fail(*arguments, **condition):
        if next(calls) == 6:  # an epoch of 20 digits has three steps and one of validation
            raise Stop
        return forward(*arguments, **condition)
    monkeypatch.setattr(training.Step, "forward", fail)
    with pytest.raises(Stop):
        train(tmp_path / "broken")
    monkeypatch.undo()
    monkeypatch.setattr(mnist, "draw_figures", lambda *_: None)
    assert checkpoint.load_checkpoint(tmp_path / "broken" / "checkpoint.pt")["epoch"] == 1
    train(tmp_path / "broken", resume=True)
    whole, broken = (checkpoint.load_checkpoint(tmp_path / run / "checkpoint.pt") for run in ("whole", "broken"))
    assert whole["epoch"] == broken["epoch"] == 3 and whole["best"] == broken["best"]
    assert all(torch.equal(value, broken["weights"][key]) for key, value in whole["weights"].items())
    one, other = (content["optimizer"] if isinstance(content["optimizer"], list) else [content["optimizer"]]
                  for content in (whole, broken))
    for mine, theirs in zip(one, other, strict=True):
        for key, state in mine["state"].items():
            assert all(torch.equal(state[part], theirs["state"][key][part]) for part in state)
    for one, other in zip(whole["history"], broken["history"]):
        assert all(one[key] == other[key] for key in one if "second" not in key)


# Epochs smaller than the data.

def small_fit(run, epoch_size, seen=None, **options):
    def see(x, generator):
        seen.append(x)
        return x
    torch.manual_seed(0)
    model = BernoulliVAE(shape=(2, 4), latent=1, hidden=(4,))
    rows = (torch.arange(30)[:, None] >> torch.arange(8) & 1).view(30, 2, 4).byte()  # all different
    settings = TrainingSettings(**{**dict(epochs=4, batch_size=4, device="cpu", epoch_size=epoch_size), **options})
    return fit(model, Examples(rows), Examples(rows[:5]), run, settings, None if seen is None else see)


def test_an_epoch_of_its_own_size_is_drawn_anew_without_repetition(tmp_path):
    seen = []
    small_fit(tmp_path / "run", 10, seen)
    assert [len(x) for x in seen] == [4, 4, 2] * 4
    epochs = [{tuple(row) for row in torch.cat(seen[start:start + 3]).flatten(1).tolist()} for start in (0, 3, 6, 9)]
    assert all(len(epoch) == 10 for epoch in epochs) and len(set.union(*epochs)) > 20
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(-8 < record["train_log_px"] < -4 for record in log), "a mean over the examples seen, not over all"
    group, = checkpoint.load_checkpoint(tmp_path / "run" / "checkpoint.pt")["optimizer"]["param_groups"]
    assert group["lr"] == training.learning_rate_at(11, 12, 3e-3), "the learning rate falls over the steps there are"


def test_an_epoch_as_large_as_the_data_or_larger_is_all_of_it(tmp_path):
    for name, size in (("none", None), ("all", 30), ("more", 10**9)):
        small_fit(tmp_path / name, size, epochs=1)
        assert checkpoint.load_checkpoint(tmp_path / name)["recipe"]["epoch_size"] == 30
        assert checkpoint.load_checkpoint(tmp_path / name / "checkpoint.pt")["optimizer"]["state"][0]["step"] == 8


@pytest.mark.parametrize("before, now, message", [(10, 20, "--epoch-size 20: .* was started with 10"),
                                               (10, None, "--epoch-size 30: .* was started with 10"),
                                               (None, 10, "--epoch-size 10: .* was started with 30")])
def test_resuming_with_another_epoch_size_is_refused(tmp_path, before, now, message):
    small_fit(tmp_path / "run", before, epochs=1)
    with pytest.raises(ValueError, match=message):
        small_fit(tmp_path / "run", now, epochs=2, resume=True)
    assert len(small_fit(tmp_path / "run", before, epochs=2, resume=True)) == 2


# What a model is asked about, and what is drawn of it.

def test_pixels_are_as_each_model_was_trained_on_them():
    pixels = strokes(4)[0]
    bernoulli, mass, normal = BernoulliVAE(shape=(28, 28), hidden=(4,)), *(
        GaussianVAE(hidden=(4,), likelihood=likelihood) for likelihood in ("mass", "normal"))
    drawn = mnist.prepare_pixels(bernoulli, pixels, 3)
    assert torch.equal(drawn, mnist.binarised(torch.as_tensor(pixels), torch.Generator().manual_seed(3)))
    assert torch.equal(drawn, mnist.prepare_pixels(bernoulli, pixels, 3))
    assert not torch.equal(drawn, mnist.prepare_pixels(bernoulli, pixels, 4))
    assert torch.equal(mnist.prepare_pixels(mass, pixels, 3), torch.as_tensor(pixels))
    noisy = mnist.prepare_pixels(normal, pixels, 3)
    assert noisy.is_floating_point() and 0.4 < (noisy - torch.as_tensor(pixels)).abs().max() <= 0.5 + 1e-4


def test_the_plane_of_two_dimensions_has_even_shares_of_the_normal_distribution_top_row_first():
    plane = mnist.plane_of_codes(np.zeros((3, 2)), 20).reshape(20, 20, 2)
    share = torch.special.ndtr(torch.tensor(plane)).numpy()
    np.testing.assert_allclose(share[0, :, 0], (np.arange(20) + 0.5) / 20, atol=1e-5)
    np.testing.assert_allclose(share[:, 0, 1], 1 - (np.arange(20) + 0.5) / 20, atol=1e-5)
    assert np.array_equal(plane[:, 3, 0], np.full(20, plane[0, 3, 0]))
    assert mnist.plane_of_codes(np.zeros((3, 1)), 4).shape == (16, 1)


def test_the_plane_of_more_dimensions_lies_along_the_two_principal_components_of_the_codes():
    source = np.random.default_rng(0)
    codes = 5 + source.standard_normal((500, 6)) * [0.1, 3, 0.1, 0.1, 1, 0.1]
    plane = mnist.plane_of_codes(codes, 9)
    assert plane.shape == (81, 6)
    np.testing.assert_allclose(plane.mean(0), codes.mean(0), atol=1e-6)
    spread = plane.std(0)
    assert spread[1] > 2 * spread[4] > 8 * spread[[0, 2, 3, 5]].max()


def test_what_stands_at_a_code_is_a_picture_of_0_to_255_of_either_model(runs):
    z = torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    for name, run in runs.items():
        model = load_model(run)
        pictures = mnist.images_at(model, z, 0)
        assert pictures.shape == (2, 28, 28) and 0 <= pictures.min() and 40 < pictures.max() <= 255, name
        assert (set(np.unique(pictures)) == {0, 255}) == (name == "bernoulli raster")
        assert np.array_equal(pictures, mnist.images_at(model, z, 0))


def test_each_of_ten_classes_has_a_colour_and_every_code_a_point(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    codes = np.random.default_rng(0).standard_normal((70, 2))
    figures.draw_latent({"train": (codes, np.arange(70) % 10)}, mnist.CLASSES, tmp_path / "latent.png", most=10)
    axes, = drawn[0].axes
    lines = {line.get_label(): line for line in axes.lines}
    assert sorted(lines) == mnist.CLASSES
    assert sum(len(line.get_xdata()) for line in lines.values()) == 70
    assert all(len(lines[name].get_xdata()) == 7 for name in mnist.CLASSES)
    assert len({lines[name].get_color() for name in mnist.CLASSES}) == 10


@pytest.mark.parametrize("count", [1, 3, 4, 7, 40])
def test_reconstructions_stand_below_their_digits_however_few_there_are(tmp_path, monkeypatch, runs, count):
    sheets = {}
    monkeypatch.setattr(mnist, "draw_images", lambda images, columns, path, title: sheets.update({
        path.name: (np.asarray(images), columns)}))
    for name in ("draw_curves", "draw_latent"):
        monkeypatch.setattr(mnist, name, lambda *_, **__: None)
    model, pixels = load_model(runs["gaussian independent normal"]), strokes(count)
    model.likelihood = "mass"
    mnist.draw_figures(model, {"train": strokes(20), "validation": pixels}, [], tmp_path)
    shown = min(count, 8)  # two rows of four
    sheet, columns = sheets["reconstructions.png"]
    assert columns == 4 and len(sheet) == 8 * math.ceil(shown / 4)
    rows = sheet.reshape(-1, 2, 4, 28, 28)
    assert np.array_equal(rows[:, 0].reshape(-1, 28, 28)[:shown], pixels[0][:shown])
    with torch.no_grad():
        expected = model.decode_mean(model.encode(torch.as_tensor(pixels[0][:shown]))[0]).numpy()
    np.testing.assert_allclose(rows[:, 1].reshape(-1, 28, 28)[:shown], expected, atol=1e-3)
    assert not rows.reshape(-1, 2, 4, 784).swapaxes(1, 2).reshape(-1, 2, 784)[shown:].any()
    assert len(sheets["manifold.png"][0]) == len(sheets["samples.png"][0]) == 16


def test_a_sheet_of_images_holds_each_in_its_place(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    figures.draw_images(np.arange(1, 6)[:, None, None] * np.ones((5, 2, 3)), 3, tmp_path / "sheet.png", "five")
    sheet = drawn[0].axes[0].images[0].get_array()
    assert sheet.shape == (4, 9) and sheet[::2, ::3].tolist() == [[1, 2, 3], [4, 5, 0]]


# Numbers.

@each_training
def test_evaluation_prints_and_writes_the_numbers_of_the_test_digits_and_gives_them_again(runs, name, capsys):
    result = evaluate.main([str(runs[name]), *QUICK, "--split", "test"])
    printed = capsys.readouterr().out
    assert json.loads((runs[name] / "evaluation.json").read_text()) == json.loads(json.dumps(result))
    bound = result["bounds"]
    assert f"{runs[name]}: 12 digits, test of mnist" in printed
    assert f"bound with k = 3: {bound['bound']:.2f} +- " in printed
    assert f"ELBO {bound['elbo']:.2f} nats a digit = log p(x|z)" in printed
    assert re.search(r"; \d of 2 units active\n", printed)
    assert bound["k"] == 3 and bound["latent"] == 2 and 0 <= bound["active_units"] <= 2
    assert ("bits a pixel" in printed) == ("bits_a_pixel" in result) == ("gaussian" in name)
    if "gaussian" in name:
        assert result["bits_a_pixel"] == pytest.approx(-bound["bound"] / 784 / math.log(2))
        assert f"{result['bits_a_pixel']:.4f} bits a pixel" in printed
    assert evaluate.main([str(runs[name]), *QUICK, "--split", "test"]) == result
    few = evaluate.main([str(runs[name]), *QUICK, "--split", "test", "--limit", "1", "--json",
                         str(runs[name] / "one.json")])
    assert few["digits"] == 1 and few["bounds"]["bound_standard_error"] is None
    assert "nan" not in capsys.readouterr().out


def test_the_numbers_are_those_of_the_model_on_these_digits(runs, tmp_path):
    run = runs["gaussian raster"]
    found = evaluate.main([str(run), *QUICK, "--split", "test", "--json", str(tmp_path / "found.json")])["bounds"]
    model, x = load_model(run), torch.as_tensor(mnist.load_digits()["test"][0])
    with torch.no_grad():
        log_px, kl = model.elbo(x, torch.randn(12, 2, generator=torch.Generator().manual_seed(0)))
    assert found["log_px"] == pytest.approx(log_px.mean().item(), rel=1e-5)
    assert found["kl"] == pytest.approx(kl.mean().item(), rel=1e-5)


def test_more_samples_raise_the_bound_of_digits(runs, tmp_path):
    one, many = (evaluate.main([str(runs["gaussian independent normal"]), "--k", str(k), "--split", "test", "--json",
                                str(tmp_path / "k.json")])["bounds"] for k in (1, 100))
    assert many["bound"] > one["bound"] and many["elbo"] == one["elbo"]


def test_a_run_on_a_folder_of_ones_own_is_measured_on_that_folder(tmp_path, monkeypatch, capsys):
    """Named from where it was trained, found from anywhere."""
    monkeypatch.setattr(mnist, "draw_figures", lambda *_: None)
    write_mnist(tmp_path / "mine", train=30, test=4, ending="")
    monkeypatch.chdir(tmp_path)
    assert len(TRAININGS["gaussian independent normal"]("run", data="mine")) == 2
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert evaluate.main([str(tmp_path / "run"), *QUICK, "--split", "test"])["digits"] == 4
    assert f"4 digits, test of {tmp_path / 'mine'}" in capsys.readouterr().out
    assert evaluate.main([str(tmp_path / "run"), *QUICK, "--split", "test", "--data", "mnist"])["digits"] == 12


# What a person can get wrong.

def refusal(capsys, monkeypatch, script, *arguments):
    """The one line that a script says when it refuses, with status 2 and no traceback."""
    name = f"{script.__name__.split('.')[-1]}.py"
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit) as leaving:
        command_line.run(lambda: script.main([str(argument) for argument in arguments]))
    errors = capsys.readouterr().err
    assert leaving.value.code == 2 and errors.count("\n") == 1, errors
    assert errors.startswith(f"{name}: ") and len(errors) < 500
    return errors


@pytest.mark.parametrize("kind, words", [
    ("missing", "train-images-idx3-ubyte.gz: no such file; expected the four files of MNIST"),
    ("truncated", "t10k-images-idx3-ubyte.gz: damaged, or cut short"),
    ("text", "train-labels-idx1-ubyte.gz: expected an IDX file of bytes, found one that begins with 3c 68 74 6d"),
    ("small", "t10k-images-idx3-ubyte.gz: expected images of 28 x 28 pixels"),
    ("labels", "train-labels-idx1-ubyte.gz: expected a class for each of 60 digits, found")])
def test_a_damaged_mnist_is_one_line_of_every_script_and_makes_nothing(runs, tmp_path, capsys, monkeypatch, kind,
                                                                       words):
    folder = write_mnist(tmp_path / "mnist", train=60, test=12)
    path = folder / f"{NAMES[2]}.gz"
    if kind == "missing":
        (folder / f"{NAMES[0]}.gz").unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    elif kind == "text":
        (folder / f"{NAMES[1]}.gz").write_text("<html>not found</html>")
    elif kind == "small":
        write_idx(path, np.zeros((12, 8, 8)))
    else:
        write_idx(folder / f"{NAMES[1]}.gz", np.zeros(61))
    for script, arguments in ((train_gaussian, ["--data", folder, "--run-folder", tmp_path / "run"]),
                              (evaluate, [runs["bernoulli independent"], *QUICK, "--data", folder])):
        assert words in refusal(capsys, monkeypatch, script, *arguments)
    if kind != "missing":  # which would be fetched
        monkeypatch.setenv("SEQUENCEUR_DATA", str(tmp_path))
        assert words in refusal(capsys, monkeypatch, mnist_rows, "default", "--runs", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option, value", [
    ("likelihood", "gamma"), ("decoder", "causal"), ("components", "0"), ("blocks", "0"), ("epoch-size", "0"),
    ("latent", "two"), ("hidden", "0"), ("precision", "float8"), ("indicator-levels", "256"), ("learning-rate", "nan"),
    ("device", "abacus"), ("warmup", "2"), ("run-folder", "/dev/null/run"), ("samples", "0")])
def test_an_impossible_option_of_the_gaussian_is_one_line_and_makes_nothing(tmp_path, capsys, monkeypatch, option,
                                                                            value):
    errors = refusal(capsys, monkeypatch, train_gaussian, "--epochs", 2, "--run-folder", tmp_path / "run",
                     f"--{option}", value)
    assert option in errors or option == "run-folder" and "/dev/null" in errors
    assert not (tmp_path / "run").exists()


@each_training
def test_a_model_of_digits_is_no_model_of_bars_for_the_window(runs, capsys, monkeypatch, tmp_path, name):
    errors = refusal(capsys, monkeypatch, Activation_Matrix_To_Sound, "--model", runs[name] / "best.pt", "--random",
                     1, "--wav", tmp_path / "bar.wav")
    assert "best.pt: expected a model of drum bars" in errors and not (tmp_path / "bar.wav").exists()


def test_a_run_of_digits_is_measured_on_digits_alone(runs, capsys, monkeypatch, tmp_path):
    run = runs["bernoulli independent"]
    assert "--split all: mnist has train, validation, test" in refusal(
        capsys, monkeypatch, evaluate, run, *QUICK, "--split", "all")
    assert "train-images-idx3-ubyte.gz: no such file" in refusal(
        capsys, monkeypatch, evaluate, run, *QUICK, "--data", tmp_path / "groove")
    torch.manual_seed(0)
    checkpoint.save_checkpoint(tmp_path / "small.pt", GaussianVAE(shape=(2, 4), hidden=(4,)))
    assert "small.pt: expected a model of images of 28 x 28 pixels, found 2 x 4" in refusal(
        capsys, monkeypatch, evaluate, tmp_path / "small.pt", *QUICK)


def test_resuming_a_run_of_digits_with_another_likelihood_or_other_digits_is_refused(runs, tmp_path):
    run = runs["gaussian independent normal"]
    train = functools.partial(TRAININGS["gaussian independent normal"], run)
    with pytest.raises(ValueError, match="holds a run already"):
        train()
    with pytest.raises(ValueError, match="not the one asked for"):
        train(resume=True, likelihood="mass")
    write_mnist(tmp_path / "other", train=70, test=12)
    with pytest.raises(ValueError, match="other training data"):
        train(resume=True, data=tmp_path / "other")


# The rows of the table.

def test_a_row_of_the_table_is_trained_and_evaluated_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(mnist_rows.ROWS, "tiny-bernoulli", ({**TINY, "decoder": "independent"}, 3))
    monkeypatch.setitem(mnist_rows.ROWS, "tiny-gaussian", (
        "--latent 2 --hidden 8 --decoder independent --components 1 --epochs 2 --epoch-size 20 --device cpu", 2))
    rows = mnist_rows.main(["tiny", "--runs", str(tmp_path)])
    assert [row["k"] for row in rows] == [3, 2] and [row["bits_a_pixel"] is None for row in rows] == [True, False]
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].startswith("tiny-bernoulli ") and printed[-1].startswith("tiny-gaussian ")
    for name in ("fit_digits", "train_gaussian", "evaluate"):
        monkeypatch.setattr(mnist_rows, name, None)
    assert mnist_rows.main(["tiny", "--runs", str(tmp_path)]) == rows
    assert mnist_rows.main([]) == [] and "proof" in capsys.readouterr().out


def test_the_rows_are_those_that_were_published():
    settings, k = mnist_rows.ROWS["proof"]
    assert k == 5000 and settings["latent"] == 50 and settings["hidden"] == (200, 200)
    assert all(set(training) <= {*mnist_rows.MODEL, *mnist_rows.SETTINGS} for training, _ in mnist_rows.ROWS.values()
               if isinstance(training, dict)), "a setting that nobody reads"
    parser = train_gaussian.make_parser()
    for options, _ in mnist_rows.ROWS.values():
        if isinstance(options, str):
            parser.parse_args(options.split())
