"""train_audio.py and evaluate.py on a few small sounds: a whole run, and what can go wrong."""

import functools
import json
import math

import numpy as np
import pytest
import soundfile
import torch
from small_sounds import drum

import evaluate
import models
import train_audio
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from formats.audio import save_audio
from learning import run_folder
from sounds import metrics, spectrograms
from sounds.codes import load_sound_model, random_codes
from sounds.spectrograms import DEFAULTS, load_spectrograms
from sounds.synthesis import synthesise

TINY = ["--rate", "4000", "--seconds", "0.1", "--bins", "6", "--frames", "16", "--min-freq", "100", "--latent", "3",
        "--widths", "8", "8", "--epochs", "2", "--batch-size", "8", "--device", "cpu"]
SETTINGS = {**DEFAULTS, "rate": 4000, "seconds": 0.1, "bins": 6, "frames": 16, "min_freq": 100.0, "max_freq": 1975.0}
RUN_FILES = {"checkpoint.pt", "best.pt", "log.jsonl", "config.json", "curves.png", "latent.png", "spectrograms.png"}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def own_cache_and_little_work(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "Judge", functools.partial(metrics.Judge, steps=3))
    monkeypatch.setattr(metrics, "two_sample_auc", functools.partial(metrics.two_sample_auc, trees=5))
    monkeypatch.setattr(spectrograms, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(load_spectrograms, "__defaults__", (None, spectrograms.FLOOR_DB, tmp_path / "cache"))


def write_sounds(folder, machines=5, rate=4000, seconds=0.1, soft=0):
    """A decaying tone of every class and machine, each class at its pitch; a softer, darker one too at a velocity."""
    source = np.random.default_rng(0)
    t = np.arange(round(rate * seconds)) / rate
    for row, name in enumerate(INSTRUMENTS):
        for machine in range(machines):
            tone = np.sin(2 * np.pi * (150 + 200 * row) * (1 + 0.05 * machine) * t) * np.exp(-t * (20 + 10 * machine))
            tone, noise = 0.5 * tone, source.standard_normal(len(t))
            file = f"m{machine}_x_0{'_v120' if soft else ''}.wav"
            save_audio(folder / name / file, tone + 0.01 * noise, rate)
            if soft:
                save_audio(folder / name / f"m{machine}_x_0_v{soft:03d}.wav", 0.3 * tone + 0.0003 * noise, rate)
    return folder


@pytest.fixture
def sounds(tmp_path):
    return write_sounds(tmp_path / "sounds")


def train(data, run, *options):
    return train_audio.main(["--data", str(data), "--run-folder", str(run), *TINY, *options])


def weights_of(path):
    return checkpoint.load_checkpoint(path)["weights"]


def same(one, other):
    """Are two dictionaries of tensors, within each other, the same to the bit?"""
    return one.keys() == other.keys() and all(
        same(value, other[name]) if isinstance(value, dict) else
        torch.equal(value, other[name]) if torch.is_tensor(value) else value == other[name]
        for name, value in one.items())


# A whole run.

def test_a_run_leaves_its_folder_and_a_model_that_says_all_of_its_sounds(sounds, tmp_path, capsys):
    found = train(sounds, tmp_path / "run")
    assert RUN_FILES <= {path.name for path in (tmp_path / "run").iterdir()}
    files = sorted((tmp_path / "run" / "sounds").iterdir())
    assert len(files) == 16 and sum(path.name.endswith("_original.wav") for path in files) == 8
    assert all(np.abs(soundfile.read(path)[0]).max() > 0.01 for path in files)
    assert len(found["history"]) == 2 and all(math.isfinite(record["train_elbo"]) for record in found["history"])
    content = checkpoint.load_checkpoint(tmp_path / "run")
    sound = content["sound"]
    assert sound["settings"] == SETTINGS and sound["floor_db"] == -70 and "soft" not in sound
    assert len(sound["levels"]) == 8 and all(-60 < level < 0 for level in sound["levels"])
    assert tuple(content["config"]["shape"]) == load_spectrograms(sounds, SETTINGS)["spectrograms"].shape[1:]
    known = load_sound_model(tmp_path / "run").exemplars
    assert len(known.codes) == len(known.kept) == 3 * 8 and len(known.kits) == 3, "three machines train"
    printed = capsys.readouterr().out
    assert "run folder" in printed and "generate_sounds.py" in printed


def test_what_a_run_leaves_makes_sounds(sounds, tmp_path):
    train(sounds, tmp_path / "run")
    model = load_sound_model(tmp_path / "run")
    codes, kits = random_codes(model, range(8), seed=3)
    made = synthesise(model, codes, torch.arange(8), 3, kits=kits)
    assert all(np.isfinite(sound).all() and np.abs(sound).max() > 0.01 for sound in made)


def test_another_rate_and_length_needs_no_other_option(tmp_path):
    """44.1 kHz and 1 s: every size follows, and a sound comes out at that rate."""
    folder = write_sounds(tmp_path / "sounds", machines=3, rate=44100, seconds=0.3)
    train_audio.main(["--data", str(folder), "--run-folder", str(tmp_path / "run"), "--rate", "44100", "--seconds", "1",
                      "--bins", "12", "--latent", "3", "--widths", "4", "4", "8", "--epochs", "1", "--batch-size", "8",
                      "--device", "cpu"])
    model = load_sound_model(tmp_path / "run")
    assert model.shape[0] > 110 and model.shape[1] == 96 and model.sound["settings"]["max_freq"] == 20000
    made, = synthesise(model, random_codes(model, [1])[0], 1)
    assert 0.15 * 44100 < len(made) < 0.45 * 44100 and np.isfinite(made).all() and np.abs(made).max() > 0.01


def test_a_resumed_run_equals_an_uninterrupted_one(sounds, tmp_path, monkeypatch):
    train(sounds, tmp_path / "whole")
    def fail_after_an_epoch(path, model, **state):
        checkpoint.save_checkpoint(path, model, **state)
        if path.name == "checkpoint.pt":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "save_checkpoint", fail_after_an_epoch)
        with pytest.raises(KeyboardInterrupt):
            train(sounds, tmp_path / "parts")
    assert checkpoint.load_checkpoint(tmp_path / "parts" / "checkpoint.pt")["epoch"] == 1
    train(sounds, tmp_path / "parts", "--resume")
    whole, parts = (checkpoint.load_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    assert same(whole["weights"], parts["weights"]) and same(whole["sound"], parts["sound"])


def test_a_run_can_start_from_a_model_and_keeps_its_units_and_softness(tmp_path):
    pairs = write_sounds(tmp_path / "pairs", soft=50)
    train(pairs, tmp_path / "one")
    other = write_sounds(tmp_path / "other", machines=3)
    train(other, tmp_path / "two", "--start-from", str(tmp_path / "one" / "best.pt"), "--learning-rate", "1e-9",
          "--also", str(pairs))
    one, two = (checkpoint.load_checkpoint(tmp_path / name) for name in ("one", "two"))
    assert [one["sound"][name] for name in ("mean", "deviation")] == [two["sound"][name] for name in
                                                                      ("mean", "deviation")]
    assert one["sound"]["soft"]["velocity"] == two["sound"]["soft"]["velocity"]
    assert torch.equal(one["sound"]["soft"]["spectrograms"], two["sound"]["soft"]["spectrograms"])
    for name, value in one["weights"].items():
        assert torch.allclose(value.float(), two["weights"][name].float(), atol=1e-3), name
    assert json.loads((tmp_path / "two" / "config.json").read_text())["examples"]["train"] == 8 + 80
    assert len(two["sound"]["exemplars"]["labels"]) == 8, "new codes lie beside those of --data alone"
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


def test_a_run_that_ended_before_its_exemplars_were_found_is_completed_when_resumed(sounds, tmp_path, monkeypatch):
    train(sounds, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(train_audio, "finish", lambda *given: None)
        train(sounds, tmp_path / "parts")
    with pytest.raises(ValueError, match="parts: expected exemplars .*--resume"):
        load_sound_model(tmp_path / "parts")
    train(sounds, tmp_path / "parts", "--resume")
    whole, parts = (checkpoint.load_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    assert same(whole["weights"], parts["weights"]) and same(whole["sound"], parts["sound"])


# Velocities, exemplars, folds.

def test_pairs_of_velocities_say_what_soft_is_and_soft_sounds_are_no_exemplars(tmp_path):
    train(write_sounds(tmp_path / "pairs", soft=60), tmp_path / "run")
    model = load_sound_model(tmp_path / "run")
    soft = model.sound["soft"]
    assert soft["velocity"] == pytest.approx(0.5) and soft["codes"].shape == (8, 3)
    assert soft["spectrograms"].shape == (8, *model.shape) and torch.isfinite(soft["codes"]).all()
    assert soft["levels"] == pytest.approx([-10.5] * 8, abs=0.2)
    assert len(model.exemplars.codes) == 3 * 8, "of the 48 sounds to train on, those struck hardest"
    hard, low = (synthesise(model, random_codes(model, [0])[0], 0, velocity=velocity)[0] for velocity in (1, 0.5))
    assert 0.25 < np.abs(low).max() / np.abs(hard).max() < 0.36


def test_as_many_exemplars_are_kept_as_asked_for(sounds, tmp_path):
    train(sounds, tmp_path / "run", "--exemplars", "9")
    known = load_sound_model(tmp_path / "run").exemplars
    assert len(known.kept) == 9 and len(known.codes) == 24
    assert len(set(known.labels[known.kept].tolist())) >= 5
    assert all(len(known.samples(place)) == 400 for place in range(9))


def test_a_fold_is_another_test_side_and_is_kept_in_the_run(sounds, tmp_path, capsys):
    kept = []
    for fold in (0, 4):
        train(sounds, tmp_path / str(fold), "--fold", str(fold), "--epochs", "1")
        content = checkpoint.load_checkpoint(tmp_path / str(fold))
        assert content["arguments"]["fold"] == fold == load_sound_model(tmp_path / str(fold)).fold
        kept.append(content["sound"]["exemplars"]["files"])
    assert len(kept[0]) != len(kept[1]) or not torch.equal(*kept)
    with pytest.raises(ValueError, match="--data .*: fold: expected 0 to 2, found 4"):
        train(write_sounds(tmp_path / "few", machines=3), tmp_path / "run", "--fold", "4")
    with pytest.raises(SystemExit):
        train(sounds, tmp_path / "run", "--fold", "5")
    assert "from 0 to 4" in capsys.readouterr().err


def test_evaluate_prints_every_measure_and_writes_it(sounds, tmp_path, capsys):
    train(sounds, tmp_path / "run")
    found = evaluate.main([str(tmp_path / "run"), "--limit", "16"])
    text = capsys.readouterr().out
    for word in ("log-spectral distance", "components", "units active", "Frechet", "AUC", "precision", "recall",
                 "coherence", "nearest training sound", "named right", "attack_ms", "not finite"):
        assert word in text
    assert found["not_finite"] == {"1": 0, "3": 0} and found["sounds"] == {"train": 16, "unseen": 8, "made": 128}
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
    assert len(found["folds"]) == 2
    assert json.loads((tmp_path / "all.json").read_text()) == json.loads(json.dumps(found))
    for path in (("distance_db",), ("frechet", "made"), ("descriptors", "real", "attack_ms", 3)):
        one, other, mean = (functools.reduce(lambda part, key: part[key], path, part)
                            for part in (*found["folds"], found["mean"]))
        assert mean == pytest.approx((one + other) / 2) and one != other
    assert capsys.readouterr().out.count("Frechet") == 3
    with pytest.raises(ValueError, match="with a --fold each, found sounds, sounds of fold 0, 0"):
        evaluate.main([both[0], both[0]])


# What a person can get wrong.

def test_what_is_left_out_is_named(sounds, tmp_path, capsys):
    save_audio(sounds / "Snare" / "m9_x_0.wav", np.zeros(400), 4000)
    train(sounds, tmp_path / "run", "--epochs", "1")
    errors = capsys.readouterr().err
    assert "left out: " in errors and "m9_x_0.wav: expected a sound, found silence" in errors


def test_sounds_of_a_few_samples_are_trained_on(sounds, tmp_path):
    for machine in range(5):
        save_audio(sounds / "HHC" / f"m{machine}_x_1.wav", drum(machine, rate=4000, samples=1 + 3 * machine), 4000)
    train(sounds, tmp_path / "run", "--epochs", "1")
    model = load_sound_model(tmp_path / "run")
    made = synthesise(model, random_codes(model, [4, 12, 20, 28])[0], 4)
    assert all(np.isfinite(sound).all() for sound in made)


def test_too_few_machines_are_said(tmp_path):
    with pytest.raises(ValueError, match="--data.*at least 3 machines"):
        train(write_sounds(tmp_path / "few", machines=2), tmp_path / "run")


def test_no_folder_and_no_sounds_are_said(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        train(tmp_path / "nowhere", tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected sounds"):
        train(tmp_path / "empty", tmp_path / "run")
