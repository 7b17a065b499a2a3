"""train_audio.py, sounds/spectrograms.py and evaluate.py on a few small sounds: a whole run, and what can go wrong."""

import functools
import json
import math

import numpy as np
import pytest
import soundfile
import torch

import evaluate
import models
import train_audio
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from formats.audio import save_audio
from sounds import calibration, codes, dataset, metrics, spectrograms, synthesis
from sounds.dataset import split_by_machine
from sounds.spectrograms import (load_spectrograms, make_augmentation, mean_and_deviation, to_decibels,
                                 to_tensors)

TINY = ["--rate", "4000", "--seconds", "0.1", "--bins", "6", "--min-freq", "100", "--latent", "3", "--widths", "8", "8",
        "--epochs", "2", "--batch-size", "8", "--device", "cpu"]
SETTINGS = dict(scale="oct", rate=4000, downsample=1, min_freq=100.0, max_freq=1975.0, bins=6, seconds=0.1)
RUN_FILES = {"checkpoint.pt", "best.pt", "log.jsonl", "config.json", "curves.png", "latent.png", "spectrograms.png",
             "samples.png"}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def own_cache_and_little_work(tmp_path, monkeypatch):
    monkeypatch.setattr(train_audio, "fit_prior", functools.partial(calibration.fit_prior, steps=15))
    monkeypatch.setattr(metrics, "Judge", functools.partial(metrics.Judge, steps=3))
    monkeypatch.setattr(metrics, "two_sample_auc", functools.partial(metrics.two_sample_auc, trees=5))
    monkeypatch.setattr(spectrograms, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(load_spectrograms, "__defaults__", (None, spectrograms.FLOOR_DB, tmp_path / "cache"))


def write_sounds(folder, machines=5, rate=4000, seconds=0.1):
    """Two machines' worth of decaying tones for every class and machine, each class at its pitch."""
    source = np.random.default_rng(0)
    t = np.arange(round(rate * seconds)) / rate
    for row, name in enumerate(INSTRUMENTS):
        for machine in range(machines):
            tone = np.sin(2 * np.pi * (150 + 200 * row) * (1 + 0.05 * machine) * t) * np.exp(-t * (20 + 10 * machine))
            save_audio(folder / name / f"m{machine}_x_0.wav", 0.5 * tone + 0.01 * source.standard_normal(len(t)), rate)
    return folder


@pytest.fixture
def sounds(tmp_path):
    return write_sounds(tmp_path / "sounds")


def train(data, run, *options):
    return train_audio.main(["--data", str(data), "--run-folder", str(run), *TINY, *options])


def weights_of(path):
    return checkpoint.load_checkpoint(path)["weights"]


# A whole run.

def test_a_run_leaves_its_folder_and_a_model_that_says_all_of_its_sounds(sounds, tmp_path, capsys):
    found = train(sounds, tmp_path / "run")
    assert RUN_FILES <= {path.name for path in (tmp_path / "run").iterdir()}
    assert len(list((tmp_path / "run" / "sounds").glob("*_original.wav"))) == 8
    assert len(list((tmp_path / "run" / "sounds").glob("*_reconstruction.wav"))) == 8
    assert len(found["history"]) == 2 and all(math.isfinite(record["train_elbo"]) for record in found["history"])
    content = checkpoint.load_checkpoint(tmp_path / "run")
    sound = content["sound"]
    assert sound["settings"] == SETTINGS and sound["samples"] == 400 and sound["floor_db"] == -60
    assert len(sound["levels"]) == 8 and all(-60 < level < 0 for level in sound["levels"])
    spectrograms_made = load_spectrograms(sounds, SETTINGS)["spectrograms"]
    assert tuple(content["config"]["shape"]) == spectrograms_made.shape[1:]
    model = models.build_model(content)
    assert torch.isfinite(model.sample(8, torch.Generator().manual_seed(0), label=torch.arange(8))).all()
    assert "run folder" in capsys.readouterr().out


def test_another_rate_and_length_needs_no_other_option(tmp_path):
    """44.1 kHz and 1 s: every size follows, and a sound comes out at that rate and length."""
    folder = write_sounds(tmp_path / "sounds", machines=3, rate=44100, seconds=0.3)
    train_audio.main(["--data", str(folder), "--run-folder", str(tmp_path / "run"), "--rate", "44100", "--seconds", "1",
                      "--bins", "16", "--latent", "3", "--widths", "4", "4", "8", "--epochs", "1", "--batch-size", "8",
                      "--device", "cpu"])
    model = codes.load_sound_model(tmp_path / "run")
    assert model.shape[0] > 150 and model.shape[1] > 600 and model.sound["settings"]["max_freq"] == 22025
    made = synthesis.synthesise(model, torch.zeros(1, 3), 1)
    assert made.shape == (1, 44100) and np.isfinite(made).all() and np.abs(made).max() > 0


def test_a_resumed_run_equals_an_uninterrupted_one(sounds, tmp_path):
    train(sounds, tmp_path / "whole")
    train(sounds, tmp_path / "parts", "--epochs", "1")
    first = weights_of(tmp_path / "parts" / "checkpoint.pt")
    train(sounds, tmp_path / "again", "--epochs", "2")
    again = weights_of(tmp_path / "again" / "checkpoint.pt")
    whole = weights_of(tmp_path / "whole" / "checkpoint.pt")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert not all(torch.equal(whole[name], first[name]) for name in whole)
    train(sounds, tmp_path / "parts", "--resume")
    assert checkpoint.load_checkpoint(tmp_path / "parts" / "checkpoint.pt")["epoch"] == 2


def test_a_run_can_start_from_a_model_and_keeps_its_units(sounds, tmp_path):
    train(sounds, tmp_path / "one")
    other = write_sounds(tmp_path / "other", machines=3)
    train(other, tmp_path / "two", "--start-from", str(tmp_path / "one" / "best.pt"), "--learning-rate", "1e-9",
          "--also", str(sounds))
    one, two = (checkpoint.load_checkpoint(tmp_path / name) for name in ("one", "two"))
    assert one["sound"]["mean"] == two["sound"]["mean"]
    for name, value in one["weights"].items():
        if not name.startswith("prior."):
            assert torch.allclose(value.float(), two["weights"][name].float(), atol=1e-3), name
    assert json.loads((tmp_path / "two" / "config.json").read_text())["examples"]["train"] == 8 + 40
    with pytest.raises(ValueError, match="--start-from"):
        train(other, tmp_path / "three", "--start-from", str(tmp_path / "one" / "best.pt"), "--latent", "4")


def test_a_start_that_is_no_sound_model_is_refused_before_the_data_is_read(root, tmp_path):
    bars = root / "pretrained" / "bernoulli_map.pt"
    with pytest.raises(ValueError, match="bernoulli_map.pt: expected a model of sounds .* found a BernoulliVAE"):
        train(tmp_path / "no data", tmp_path / "run", "--start-from", str(bars))


def test_a_finished_run_resumed_leaves_its_best_model_as_it_is(sounds, tmp_path):
    train(sounds, tmp_path / "run")
    best = (tmp_path / "run" / "best.pt").read_bytes()
    train(sounds, tmp_path / "run", "--resume")
    assert (tmp_path / "run" / "best.pt").read_bytes() == best


def test_a_run_that_ended_before_its_calibration_is_calibrated_when_resumed(sounds, tmp_path, monkeypatch):
    train(sounds, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(train_audio, "finish", lambda *given: None)
        train(sounds, tmp_path / "parts")
    assert "end" not in checkpoint.load_checkpoint(tmp_path / "parts")["sound"]
    train(sounds, tmp_path / "parts", "--resume")
    whole, parts = (weights_of(tmp_path / name) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert "end" in checkpoint.load_checkpoint(tmp_path / "parts")["sound"]


def test_evaluate_prints_every_measure_and_writes_it(sounds, tmp_path, capsys):
    train(sounds, tmp_path / "run")
    found = evaluate.main([str(tmp_path / "run"), "--limit", "16"])
    text = capsys.readouterr().out
    for word in ("log-spectral distance", "components", "units active", "Frechet", "AUC", "precision", "recall",
                 "coherence", "nearest training sound", "named right", "attack_ms", "not finite"):
        assert word in text
    assert found["not_finite"] == {"1": 0, "3": 0} and found["sounds"] == {"train": 16, "unseen": 8, "made": 16}
    assert "nan" not in text
    written = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert math.isclose(written["distance_db"], found["distance_db"])


def test_evaluate_gives_the_means_over_folds(sounds, tmp_path, capsys):
    train(sounds, tmp_path / "run")
    content = checkpoint.load_checkpoint(tmp_path / "run")
    for fold in (0, 1):
        checkpoint.save_checkpoint(tmp_path / f"fold_{fold}" / "best.pt", models.build_model(content), **{
            name: content[name] for name in ("sound",)}, arguments=content["arguments"] | {"seed": fold, "fold": fold})
    both = [str(tmp_path / f"fold_{fold}") for fold in (0, 1)]
    found = evaluate.main([*both, "--limit", "16", "--json", str(tmp_path / "all.json")])
    assert len(found["folds"]) == 2 and json.loads((tmp_path / "all.json").read_text()) == found
    for path in (("distance_db",), ("frechet", "made"), ("descriptors", "real", "attack_ms", 3)):
        one, other, mean = (functools.reduce(lambda part, key: part[key], path, part)
                            for part in (*found["folds"], found["mean"]))
        assert mean == pytest.approx((one + other) / 2) and one != other
    assert capsys.readouterr().out.count("Frechet") == 3
    with pytest.raises(ValueError, match="with a --fold each, found sounds, sounds of fold 0, 0"):
        evaluate.main([both[0], both[0]])


# Spectrograms.

def test_decibels_are_relative_to_the_peak_and_stop_at_the_floor():
    magnitude = torch.tensor([[[2.0, 0.2, 2e-5]], [[0.0, 0.0, 0.0]]])
    level, peak = to_decibels(magnitude)
    assert torch.allclose(level[0, 0], torch.tensor([0.0, -20.0, -60.0]), atol=1e-4)
    assert (level[1] == -60).all() and peak.tolist() == [2.0, 0.0]


def test_spectrograms_are_kept_and_made_again_when_a_sound_changes(sounds, tmp_path, monkeypatch):
    first = load_spectrograms(sounds, SETTINGS)
    made = []
    monkeypatch.setattr(spectrograms, "spectrograms_of",
                        lambda *given, make=spectrograms.spectrograms_of: made.append(1) or make(*given))
    again = load_spectrograms(sounds, SETTINGS)
    assert not made and np.array_equal(first["spectrograms"], again["spectrograms"])
    save_audio(sounds / "Kick" / "m0_x_0.wav", np.hanning(300), 4000)
    changed = load_spectrograms(sounds, SETTINGS)
    assert made and not np.array_equal(first["spectrograms"], changed["spectrograms"])
    assert len(load_spectrograms(sounds, {**SETTINGS, "bins": 5})["spectrograms"]) == 40 and len(made) == 2


def test_what_was_kept_needs_no_sound_decoded(sounds, monkeypatch):
    first = load_spectrograms(sounds, SETTINGS)
    monkeypatch.setattr(dataset, "load_audio", lambda *given: pytest.fail("a sound was decoded"))
    again = load_spectrograms(sounds, SETTINGS)
    for key in ("spectrograms", "labels", "levels", "durations"):
        np.testing.assert_array_equal(first[key], again[key])
    assert (first["names"], first["paths"], first["left_out"]) == (again["names"], again["paths"], again["left_out"])
    samples = soundfile.read(first["paths"][7], dtype="float32")[0]
    assert first["levels"][7] == dataset.level_db(samples, 4000)
    assert first["durations"][7] == dataset.duration_of(samples, 4000)


def test_the_cache_keeps_a_few_entries_the_last_used_among_them(sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(spectrograms, "KEPT", 2)
    other = write_sounds(tmp_path / "other", machines=3)
    load_spectrograms(other, SETTINGS)
    for bins in (6, 5, 6):
        load_spectrograms(sounds, {**SETTINGS, "bins": bins})
    (sounds / "Kick" / "m0_x_0.wav").unlink()
    assert len(load_spectrograms(sounds, SETTINGS)["spectrograms"]) == 39
    assert len(list((tmp_path / "cache").rglob("output.pkl"))) == 2
    monkeypatch.setattr(dataset, "load_audio", lambda *given: pytest.fail("a sound was decoded"))
    assert len(load_spectrograms(sounds, SETTINGS)["spectrograms"]) == 39


def test_numbers_of_many_spectrograms_are_those_of_all_at_once():
    x = np.random.default_rng(0).normal(-40, 15, (150, 7, 5)).astype(np.float16)
    index = np.arange(0, 150, 2)
    chosen = x[index].astype(np.float64)
    assert mean_and_deviation(x, index) == (round(chosen.mean(), 3), round(chosen.std(ddof=1), 3))
    sound = {"mean": -40.0, "deviation": 15.0}
    data = {"spectrograms": x, "labels": np.arange(150, dtype=np.uint8) % 8}
    made, labels = to_tensors(sound, (data, index), (data, range(3)))
    expected = ((torch.as_tensor(x).float() + 40) / 15).half()
    assert torch.equal(made, torch.cat((expected[::2], expected[:3])))
    assert labels.dtype == torch.int64 and labels.tolist() == [*(index % 8), 0, 1, 2]


def test_silence_and_strangers_are_named_not_dropped(sounds):
    save_audio(sounds / "Snare" / "m9_x_0.wav", np.zeros(400), 4000)
    (sounds / "loops").mkdir()
    save_audio(sounds / "loops" / "a.wav", np.hanning(400), 4000)
    data = load_spectrograms(sounds, SETTINGS)
    assert len(data["spectrograms"]) == len(data["labels"]) == len(data["names"]) == len(data["paths"]) == 40
    assert len(data["levels"]) == len(data["durations"]) == 40
    assert len(data["left_out"]) == 2 and any("silence" in line for line in data["left_out"])


def test_a_machine_is_on_one_side_only_and_every_sound_on_one():
    names = [f"Kick/m{i % 11}_k_{i}" for i in range(70)]
    for seed in range(5):
        sides = split_by_machine(names, seed)
        assert sorted(np.concatenate(list(sides.values()))) == list(range(70))
        machines = [{names[i].split("_")[0] for i in index} for index in sides.values()]
        assert [len(part) for part in machines] == [2, 1, 8] and not set.intersection(*map(set, machines[:2]))
        assert sum(map(len, machines)) == len(set.union(*machines))
    assert any(not np.array_equal(split_by_machine(names, 0)["test"], split_by_machine(names, seed)["test"])
               for seed in range(1, 5))
    with pytest.raises(ValueError, match="3 machines"):
        split_by_machine(["a_1", "b_1"])


def test_variation_keeps_the_peak_and_the_floor_and_repeats_by_its_generator():
    x = torch.full((64, 48, 20), -3.0)
    x[:, 20:24, :10] = 1.0
    vary = make_augmentation(1.0, -3.0)
    y = vary(x.half(), torch.Generator().manual_seed(0))
    assert y.shape == x.shape and y.min() >= -3 and torch.allclose(y.amax((1, 2)), torch.ones(64), atol=1e-5)
    assert torch.equal(y, vary(x.half(), torch.Generator().manual_seed(0)))
    assert not torch.equal(y, vary(x.half(), torch.Generator().manual_seed(1)))
    same = (y == x).flatten(1).all(1).float().mean()
    assert 0.1 < same < 0.6
    rows = (y > 0).any(2).float().argmax(1)
    assert rows.min() < 20 < rows.max()  # pitch goes both ways
    lengths = (y > 0).any(1).sum(1)
    assert lengths.min() < 10 < lengths.max()
    assert torch.equal(make_augmentation(0, -3.0)(x, torch.Generator()), x)


# What a person can get wrong.

def test_too_few_machines_are_said(tmp_path):
    with pytest.raises(ValueError, match="--data.*at least 3 machines"):
        train(write_sounds(tmp_path / "few", machines=2), tmp_path / "run")


def test_no_folder_and_no_sounds_are_said(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        train(tmp_path / "nowhere", tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected sounds"):
        train(tmp_path / "empty", tmp_path / "run")
