"""The loop and train_bernoulli.py: resumed runs equal uninterrupted ones; nothing bad is saved or loaded."""

import itertools
import json
import math
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import time
import zipfile

import matplotlib.image
import numpy as np
import pytest
import torch
import torch.distributed.run
from hypothesis import given, settings
from hypothesis import strategies as st

import models
import train_bernoulli
from formats.checkpoint import load_checkpoint, save_checkpoint
from learning import training
from learning.bounds import encode_all
from learning.optimizers import Optimizers
from learning.run_folder import Run, fingerprint, locked_run_folder
from learning.training import Examples, TrainingSettings, fit
from Midi_To_Activation_Matrix import write_midi
from models import VAE, BernoulliVAE
from patterns.dataset import drummer_timings, load_bars, unpack_hits
import command_line
from saved_model import load_model
from shared_training import SEEDS, Stop, fail_at, train_bars, train_still

RUN_FILES = {"checkpoint.pt", "best.pt", "log.jsonl", "config.json", "curves.png", "latent.png", "reconstructions.png"}
TINY = ["--epochs", "2", "--batch-size", "16", "--hidden", "8", "--width", "8", "--device", "cpu"]

pytestmark = pytest.mark.usefixtures("one_thread")


def some_bars(count, seed=0):
    """Bars that share a beat and differ in the rest: uint8 (count, 8, 64)."""
    source = np.random.default_rng(seed)
    struck = source.random((count, 8, 64)) < 0.03
    struck[:, 0, ::16] = struck[:, 1, 16::32] = True
    return torch.tensor(source.integers(1, 128, struck.shape) * struck).byte()


TRAIN, VALIDATION = some_bars(41), some_bars(11, seed=1)


def small_model(**config):
    torch.manual_seed(0)
    return BernoulliVAE(**{**dict(latent=2, hidden=(8,), velocities=True, dropout=0.2), **config})


def small_fit(run, model=None, train=TRAIN, validation=VALIDATION, augment=None, extra_state=None, **options):
    train, validation = (part if isinstance(part, Examples) else Examples(part) for part in (train, validation))
    settings = TrainingSettings(**{**dict(epochs=3, batch_size=8, device="cpu", seed=5), **options})
    return fit(model or small_model(), train, validation, run, settings, augment, extra_state)


def contents(folder):
    """{name: bytes} of a folder's files."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def without_times(history):
    return [{key: value for key, value in record.items() if "second" not in key} for record in history]


def test_a_log_of_a_training_says_how_far_it_is_and_how_well_it_does(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command_line, "LONG", 0)
    small_fit(tmp_path / "run", epochs=2)
    out, errors = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"training: 82 of 82 examples, 00:\d\d, 00:00 left, epoch 2 of 2, bound -\d+\.\d\d, KL \d+\.\d",
                        errors.splitlines()[-1])


def assert_same_run(first, second):
    """Weights, optimizer and history of two run folders are the same, bit for bit."""
    first, second = load_checkpoint(first / "checkpoint.pt"), load_checkpoint(second / "checkpoint.pt")
    assert first["epoch"] == second["epoch"] and first["best"] == second["best"]
    assert without_times(first["history"]) == without_times(second["history"])
    assert first["weights"].keys() == second["weights"].keys()
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in first["weights"])
    assert first["optimizer"]["param_groups"] == second["optimizer"]["param_groups"]
    for key, state in first["optimizer"]["state"].items():
        assert all(torch.equal(state[name], second["optimizer"]["state"][key][name]) for name in state)


class FragileVAE(VAE):
    """A VAE of four numbers that lets through whatever is not finite; `spoil` makes its gradient nan, not its loss."""

    def __init__(self, latent=1, spoil=False):
        super().__init__(latent=latent, spoil=spoil)
        self.net = torch.nn.Linear(4, 2 * latent)
        self.out = torch.nn.Linear(latent, 4)

    def encode(self, x):
        return self.net(x).chunk(2, -1)

    def log_likelihood(self, x, z):
        error = -(x - self.out(z)).square().sum(-1)
        return error + torch.sqrt((z - z.detach()).square().sum(-1)) if self.config["spoil"] else error


@pytest.fixture
def fragile(monkeypatch):
    """fit on 40 rows of numbers with a FragileVAE."""
    monkeypatch.setitem(models.MODELS, "FragileVAE", FragileVAE)

    def run(folder, train=None, validation=None, spoil=False, **options):
        torch.manual_seed(0)
        rows = torch.randn(40, 4)
        return small_fit(folder, FragileVAE(spoil=spoil), rows if train is None else train,
                         rows[:10] if validation is None else validation, **options)
    return run


# A run, resumed.

@pytest.mark.parametrize("options", [dict(), dict(beta=0.5, warmup=2, free_bits=0.2), dict(samples=3)], ids=str)
def test_a_run_that_failed_in_mid_epoch_and_was_resumed_equals_one_that_was_not(tmp_path, options):
    small_fit(tmp_path / "whole", **options)
    with pytest.raises(Stop):
        small_fit(tmp_path / "broken", augment=fail_at(15), **options)  # in the third epoch of 6 steps
    assert load_checkpoint(tmp_path / "broken" / "checkpoint.pt")["epoch"] == 2
    torch.manual_seed(1234)
    torch.rand(7)  # the state of torch's own generator is of no account
    history = small_fit(tmp_path / "broken", small_model(), resume=True, **options)
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert_same_run(tmp_path / "whole", tmp_path / "broken")
    lines = (tmp_path / "broken" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history


def test_a_causal_run_resumed_equals_one_that_was_not(tmp_path):
    causal = dict(decoder="causal", width=8)
    small_fit(tmp_path / "whole", small_model(**causal), epochs=2)
    with pytest.raises(Stop):
        small_fit(tmp_path / "broken", small_model(**causal), epochs=2, augment=fail_at(9))
    small_fit(tmp_path / "broken", small_model(**causal), epochs=2, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_the_seed_decides_the_run(tmp_path):
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        small_fit(tmp_path / name, seed=seed, epochs=1)
    assert_same_run(tmp_path / "first", tmp_path / "again")
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / "first", tmp_path / "other")


def test_a_finished_run_is_left_as_it_is_and_more_epochs_go_on_with_it(tmp_path):
    first = small_fit(tmp_path / "run")
    assert small_fit(tmp_path / "run", resume=True) == first
    longer = small_fit(tmp_path / "run", resume=True, epochs=5)
    assert longer[:3] == first and [record["epoch"] for record in longer] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name, value", [("batch_size", 9), ("learning_rate", 1e-4), ("beta", 2.0), ("warmup", 1),
                                         ("free_bits", 1.0), ("samples", 2), ("seed", 6)])
def test_resuming_with_another_setting_is_refused_and_changes_nothing(tmp_path, name, value):
    small_fit(tmp_path / "run", epochs=2)
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} {value}"):
        small_fit(tmp_path / "run", epochs=2, resume=True, **{name: value})
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("before, now, message", [
    (dict(precision="float32"), dict(precision="bfloat16"), "--precision bfloat16: .* was started with float32"),
    (dict(weight_decay=0.1), dict(), "--weight-decay 0.01: .* was started with 0.1"),
    (dict(other_options={"augment": 1.0}), dict(other_options={"augment": 0.5}),
     "--augment 0.5: .* was started with 1.0"),
    (dict(other_options={"augment": 1.0}), dict(), "--augment None: .* was started with 1.0")], ids=str)
def test_resuming_names_the_option_that_changed_before_and_now(tmp_path, before, now, message):
    small_fit(tmp_path / "run", epochs=1, **before)
    kept = contents(tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        small_fit(tmp_path / "run", epochs=2, resume=True, **now)
    assert contents(tmp_path / "run") == kept
    assert len(small_fit(tmp_path / "run", epochs=2, resume=True, **before)) == 2


def test_resuming_with_more_processes_is_refused_by_the_option_of_torchrun(tmp_path):
    first, second = (Run(tmp_path, TrainingSettings().recipe(processes), {}) for processes in (1, 2))
    first.history = [{"epoch": 1, "validation_elbo": -1.0}]
    model = small_model()
    optimizer = Optimizers(model, "adamw", 1e-3, 0.0)
    first.save(model, optimizer, {}, -1.0)
    with pytest.raises(ValueError, match="--nproc-per-node 2: .* was started with 1"):
        second.resume(model, optimizer)


def test_resuming_with_other_conditions_or_validation_data_is_refused_and_changes_nothing(tmp_path):
    def styled(styles):
        return Examples(TRAIN, {"style": torch.tensor(styles)})

    def model():
        return small_model(styles=["FUNK", "ROCK"])
    styles, others = [0, 1] * 20 + [0], [1, 0] * 20 + [1]
    small_fit(tmp_path / "run", model(), styled(styles), epochs=1)
    before = contents(tmp_path / "run")
    for train, validation, what in (
            (styled(others), VALIDATION, "training condition style"), (TRAIN, VALIDATION, "training condition style"),
            (styled(styles), some_bars(11, seed=9), "validation data"),
            (styled(styles), VALIDATION[:10], "validation data")):
        with pytest.raises(ValueError, match=f"run: was started with other {what}; expected the same"):
            small_fit(tmp_path / "run", model(), train, validation, epochs=2, resume=True)
    assert contents(tmp_path / "run") == before


def test_data_of_another_shape_or_type_is_other_data():
    zeros = torch.zeros(4, 6, dtype=torch.uint8)
    assert len({fingerprint(zeros), fingerprint(zeros.view(6, 4)), fingerprint(zeros.to(torch.int8))}) == 3
    assert fingerprint(zeros) == fingerprint(zeros.clone())


def test_a_run_of_an_older_version_is_refused_by_a_line_that_says_so(tmp_path):
    small_fit(tmp_path / "run", epochs=1)
    content = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    torch.save({**content, "data": 12345}, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(ValueError, match="run: was started by an older version of this project"):
        small_fit(tmp_path / "run", epochs=2, resume=True)


@pytest.mark.parametrize("flags, cuda, expected", [
    (["avx512_bf16"], True, "bfloat16"), ([], True, "float32"), ([], False, "float32")])
def test_the_precision_that_is_chosen_is_that_of_the_device_asked_for(monkeypatch, flags, cuda, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(training, "cpu_flags", lambda: flags)
    assert training.choose_precision("auto", torch.device("cpu")) == expected
    for capability, name in (((9, 0), "bfloat16"), ((7, 5), "float32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        assert training.choose_precision("auto", torch.device("cuda:0")) == name
    assert training.choose_precision("auto", torch.device("mps")) == "float32"
    for name in ("float32", "bfloat16"):
        assert training.choose_precision(name, torch.device("cpu")) == name


def test_the_precision_reaches_every_net_that_knows_it_and_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "cpu_flags", lambda: ["avx512_bf16"])
    for name, asked in (("auto", "auto"), ("plain", "float32")):
        model = small_model(decoder="causal", width=8)
        small_fit(tmp_path / name, model, epochs=1, precision=asked)
        assert model.decoder.low_precision == model.velocity_net.low_precision == (name == "auto")
        expected = {"auto": "bfloat16", "plain": "float32"}[name]
        assert json.loads((tmp_path / name / "config.json").read_text())["recipe"]["precision"] == expected


def test_resuming_with_another_model_or_other_data_is_refused_and_changes_nothing(tmp_path):
    small_fit(tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match="not the one asked for"):
        small_fit(tmp_path / "run", small_model(latent=3), resume=True)
    with pytest.raises(ValueError, match="run: was started with other training data"):
        small_fit(tmp_path / "run", train=some_bars(41, seed=2), resume=True)
    assert contents(tmp_path / "run") == before


def test_resuming_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        small_fit(tmp_path / "none", resume=True)
    save_checkpoint(tmp_path / "model" / "checkpoint.pt", small_model())
    with pytest.raises(ValueError, match="found a model alone"):
        small_fit(tmp_path / "model", resume=True)
    assert not (tmp_path / "none").exists() and [*contents(tmp_path / "model")] == ["checkpoint.pt"]


def test_a_folder_that_holds_a_run_is_refused_and_untouched(tmp_path):
    small_fit(tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run already; --resume"):
        small_fit(tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_a_folder_that_another_training_writes_to_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    with locked_run_folder(tmp_path / "run"), pytest.raises(ValueError, match="run: another training is writing"):
        small_fit(tmp_path / "run")
    assert contents(tmp_path / "run") == {}
    small_fit(tmp_path / "run")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_that_names_the_checkpoint():
    with pytest.raises(OSError) as caught:
        save_checkpoint("/dev/full", small_model())
    assert command_line.one_line(caught.value) == "/dev/full: No space left on device"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("a file\n")
    with pytest.raises(OSError, match="file/run: cannot write here"):
        small_fit(tmp_path / "file" / "run")
    with pytest.raises(OSError, match="file: cannot write here"):
        small_fit(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "a file\n"


# Killed.

KILLED_EPOCHS = 40
FORKS = """
import os, sys
from pathlib import Path
import torch, torch._dynamo  # what takes seconds to import: once for all that are killed
import test_training
torch.set_num_threads(1)
for line in sys.stdin:
    child = os.fork()
    if not child:
        test_training.train_to_be_killed(Path(line.strip()))
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()  # until it is killed, or shall be waited for: so long the number stays its own
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def train_to_be_killed(run):
    small_fit(run, epochs=KILLED_EPOCHS, batch_size=32, resume=(run / "checkpoint.pt").exists())


def test_a_run_killed_again_and_again_always_loads_and_at_last_equals_one_that_was_not(tmp_path, root):
    chance, run, kills = random.Random(0), tmp_path / "run", 0
    path = os.pathsep.join([str(root), str(root / "tests")])
    with subprocess.Popen([sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path}) as forks:
        for attempt in range(8):
            first_of_attempt = len(load_checkpoint(run / "checkpoint.pt")["history"]) if attempt else 0
            print(run, file=forks.stdin, flush=True)
            child = int(forks.stdout.readline())
            if attempt < 6:
                log, patience = run / "log.jsonl", time.monotonic() + 60
                while time.monotonic() < patience and (
                        not log.exists() or log.read_text().count("\n") <= first_of_attempt):
                    time.sleep(0.001)  # until it has gone on by an epoch
                time.sleep(chance.uniform(0, 0.06))
                os.kill(child, signal.SIGKILL)
            print(file=forks.stdin, flush=True)
            status = int(forks.stdout.readline())
            assert status in (0, -signal.SIGKILL), "killed or finished, nothing else"
            content = load_checkpoint(run / "checkpoint.pt")
            assert content["epoch"] == len(content["history"])
            load_model(run), load_model(run / "checkpoint.pt")
            for line in (run / "log.jsonl").read_text().splitlines():
                json.loads(line)
            kills += status != 0
            if status == 0:
                break
        forks.stdin.close()
    assert kills >= 2 and content["epoch"] == KILLED_EPOCHS
    small_fit(tmp_path / "whole", epochs=KILLED_EPOCHS, batch_size=32)
    assert_same_run(tmp_path / "whole", run)


# What is not finite.

def test_nan_in_the_data_stops_the_run_before_any_save(tmp_path, fragile):
    rows = torch.randn(40, 4)
    rows[17, 2] = math.nan
    with pytest.raises(FloatingPointError, match=r"run: stopped at epoch 1, step \d: the loss is nan"):
        fragile(tmp_path / "run", rows)
    assert set(contents(tmp_path / "run")) == {"config.json", "log.jsonl"}


def test_a_loss_that_overflows_stops_the_run_and_what_was_saved_stands(tmp_path, fragile):
    calls = itertools.count(1)
    with pytest.raises(FloatingPointError, match="stopped at epoch 3, step 2: the loss is inf"):
        fragile(tmp_path / "run", augment=lambda x, generator: x * (1e30 if next(calls) == 12 else 1))
    content = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert content["epoch"] == 2
    assert all(torch.isfinite(value).all() for value in load_model(tmp_path / "run").state_dict().values())
    fragile(tmp_path / "whole", epochs=3)
    fragile(tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_step(tmp_path, fragile):
    with pytest.raises(FloatingPointError, match="at epoch 1, step 1: the gradient's norm is nan at loss [0-9.]+"):
        fragile(tmp_path / "run", spoil=True)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_nan_in_the_validation_data_stops_the_run_before_any_save(tmp_path, fragile):
    with pytest.raises(FloatingPointError, match="stopped after epoch 1: the validation bound is nan"):
        fragile(tmp_path / "run", validation=torch.full((3, 4), math.nan))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    model = small_model()
    save_checkpoint(tmp_path / "model.pt", model)
    before = contents(tmp_path)
    with torch.no_grad():
        model.encoder[0].weight[0, 0] = math.inf
    with pytest.raises(FloatingPointError, match="model.pt: not written"):
        save_checkpoint(tmp_path / "model.pt", model)
    assert contents(tmp_path) == before


# Loading.

def test_a_saved_model_is_loaded_as_it_was(tmp_path):
    names = [f"drummer{i // 20}/{i // 10}" for i in range(41)]
    small_fit(tmp_path / "run", extra_state=lambda model: train_bernoulli.build_map(
        model, {"train": (TRAIN, names, [])}, torch.arange(41) % 3, ["funk", "rock", "samba"]))
    model = load_model(tmp_path / "run")
    best = load_checkpoint(tmp_path / "run" / "best.pt")
    assert not model.training and model.config == small_model().config
    assert all(torch.equal(value, best["weights"][name]) for name, value in model.state_dict().items())
    assert model.map["label_names"] == ["funk", "rock", "samba"]
    assert model.map["timings"] == drummer_timings(TRAIN.numpy(), names) and len(model.map["timings"]) == 3
    assert model.map["labels"].tolist() == [*range(3)] * 13 + [0, 1]
    torch.testing.assert_close(model.map["codes"], encode_all(model, TRAIN)[0], rtol=1e-3, atol=1e-3)
    assert load_model(tmp_path / "run" / "checkpoint.pt").map is None


class Code:
    """What an attacker would put into a checkpoint: unpickled carelessly, it makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def write_zip(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


def altered(**changes):
    """A writer of a checkpoint in which something is changed; a function is called with what stood there."""
    def write(path, folder):
        model = small_model()
        content = {"class": "BernoulliVAE", "config": model.config, "weights": model.state_dict()}
        for name, change in changes.items():
            content[name] = change(content[name]) if callable(change) else change
        torch.save(content, path)
    return write


def map_of(codes, names=("FUNK", "ROCK", "SAMBA")):
    return {"codes": codes, "labels": torch.arange(3), "label_names": list(names)}


BAD_FILES = {
    "empty": lambda path, folder: path.write_bytes(b""),
    "text": lambda path, folder: path.write_text("these are no weights\n" * 50),
    "csv": lambda path, folder: path.write_text("channel,velocity\n1,100\n"),
    "array": lambda path, folder: path.write_bytes(np.lib.format.magic(1, 0) + bytes(100)),
    "zip of something": write_zip,
    "pickle with code": lambda path, folder: path.write_bytes(pickle.dumps(Code(folder))),
    "checkpoint with code": lambda path, folder: torch.save({"class": "BernoulliVAE", "config": Code(folder)}, path),
    "whole module": lambda path, folder: torch.save(small_model(), path),
    "foreign dictionary": lambda path, folder: torch.save({"state_dict": small_model().state_dict()}, path),
    "list": lambda path, folder: torch.save([1, 2], path),
    "unknown class": altered(**{"class": "TransformerVAE"}),
    "class that is a list": altered(**{"class": ["BernoulliVAE"]}),
    "config with a strange name": altered(config=lambda config: {**config, "colour": 1}),
    "config with an impossible size": altered(config=lambda config: {**config, "latent": -1}),
    "config that is none": altered(config=5),
    "weights of another shape": altered(config=lambda config: {**config, "latent": 3}),
    "weights missing": altered(weights={}),
    "weights that are none": altered(weights=lambda weights: dict.fromkeys(weights, "heavy")),
    "weights that are nan": altered(weights=lambda weights: {
        name: value * math.nan for name, value in weights.items()}),
    "weights with one infinity": altered(weights=lambda weights: {
        **weights, "encoder.0.bias": torch.full_like(weights["encoder.0.bias"], math.inf)}),
    "map that is none": altered(map=7),
    "map without labels": altered(map={"codes": torch.zeros(3, 2), "label_names": []}),
    "map with a code too few": altered(map=map_of(torch.zeros(2, 2))),
    "map of another dimension": altered(map=map_of(torch.zeros(3, 5))),
    "map with nan": altered(map=map_of(torch.full((3, 2), math.nan))),
    "map with a label that has no name": altered(map=map_of(torch.zeros(3, 2), names=["FUNK", "ROCK"])),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", BAD_FILES)
def test_what_is_no_checkpoint_is_refused_in_one_line_and_never_run(tmp_path, kind, capfd):
    path, trap = tmp_path / "bad model.pt", tmp_path / "trap"
    BAD_FILES[kind](path, trap)
    with pytest.raises((ValueError, OSError)) as refusal:
        load_model(path)
    text = str(refusal.value)
    assert "bad model.pt" in text and "\n" not in text and len(text) < 400, text
    assert not trap.exists(), "the code in it was run"
    assert capfd.readouterr() == ("", "")


def test_the_trap_is_one():
    """Were the pickles above unpickled carelessly, their code would run."""
    assert Code("folder").__reduce__() == (os.mkdir, ("folder",))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_checkpoint_cut_short_is_refused(tmp_path, share):
    save_checkpoint(tmp_path / "model.pt", small_model())
    whole = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(ValueError, match="model.pt: cannot be loaded: broken, or not a checkpoint"):
        load_model(tmp_path / "model.pt")


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pt: no such checkpoint"):
        load_model(tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError, match="best.pt: no such checkpoint"):
        load_model(tmp_path)


# The objective.

def test_beta_rises_over_the_warm_up_and_the_best_epoch_is_one_of_the_full_beta(tmp_path):
    history = small_fit(tmp_path / "run", epochs=5, beta=2.0, warmup=3, learning_rate=0.0)  # all epochs are as good
    assert [record["beta"] for record in history] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert load_checkpoint(tmp_path / "run" / "best.pt")["epoch"] == 4
    with pytest.raises(ValueError, match="--warmup 5: expected fewer than the 5 epochs"):
        small_fit(tmp_path / "none", epochs=5, warmup=5)


def test_the_best_epoch_is_that_of_the_highest_validation_bound(tmp_path):
    history = small_fit(tmp_path / "run", epochs=8, learning_rate=0.1)
    bounds = [record["validation_elbo"] for record in history]
    assert load_checkpoint(tmp_path / "run" / "best.pt")["epoch"] == 1 + int(np.argmax(bounds))
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["best"] == max(bounds)


def test_under_the_free_bits_an_epoch_is_not_chosen_for_a_code_that_says_nothing():
    silent = {"validation_log_px": -40.0, "validation_kl": 0.5}
    telling = {"validation_log_px": -39.0, "validation_kl": 2.0}
    assert training.best_score(silent) > training.best_score(telling), "the bound itself"
    assert training.best_score(silent, 3.0) < training.best_score(telling, 3.0)
    assert training.best_score({"validation_log_px": -38.0, "validation_kl": 5.0}, 3.0) == -43.0


def test_training_raises_the_bound_and_beta_lowers_the_kl(tmp_path):
    histories = {beta: small_fit(tmp_path / f"{beta}", epochs=12, beta=beta, learning_rate=0.03)
                 for beta in (0.0, 1.0, 30.0)}
    assert histories[1.0][-1]["train_elbo"] > histories[1.0][0]["train_elbo"] + 20
    last = {beta: history[-1]["train_kl"] for beta, history in histories.items()}
    assert last[0.0] > 2 * last[1.0] and last[1.0] > 2 * last[30.0]


def test_every_epoch_sees_every_example_once_in_an_order_of_its_own(tmp_path):
    seen = []
    small_fit(tmp_path / "run", epochs=3, augment=lambda x, generator: seen.append(x) or x)
    assert [len(x) for x in seen] == [8, 8, 8, 8, 8, 1] * 3
    orders = [torch.cat(seen[start:start + 6]).flatten(1) for start in (0, 6, 12)]
    for order in orders:
        assert sorted(order.tolist()) == sorted(TRAIN.flatten(1).tolist())
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(orders, 2))


def test_the_learning_rate_falls_over_the_whole_run(tmp_path):
    small_fit(tmp_path / "run", epochs=2, learning_rate=0.01)
    group, = load_checkpoint(tmp_path / "run" / "checkpoint.pt")["optimizer"]["param_groups"]
    assert group["lr"] == training.learning_rate_at(11, 12, 0.01) < 0.001


def test_under_its_free_bits_the_kl_costs_nothing(tmp_path):
    for name, options in dict(free=dict(free_bits=1e6), none=dict(beta=0.0), all=dict()).items():
        small_fit(tmp_path / name, epochs=1, **options)
    free, none, all_ = (load_model(tmp_path / name / "checkpoint.pt").state_dict() for name in ("free", "none", "all"))
    assert all(torch.equal(free[name], none[name]) for name in free)
    assert not all(torch.equal(free[name], all_[name]) for name in free)


def test_several_samples_and_free_bits_exclude_each_other(tmp_path):
    with pytest.raises(ValueError, match="--free-bits 1 needs --samples 1"):
        small_fit(tmp_path / "run", samples=2, free_bits=1.0)
    assert not (tmp_path / "run").exists()


def test_the_importance_weighted_objective_of_one_sample_is_the_elbo_in_expectation():
    model = small_model(latent=1, dropout=0.0).double()
    model.binarise = lambda x: (x > 0).flatten(1).double()
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)  # exact means over eps ~ N(0, 1)
    weights = torch.tensor(weights / weights.sum())
    elbo, weighted = [], []
    with torch.no_grad():
        for node in nodes:
            eps = torch.full((1, 11, 1), node, dtype=torch.float64)
            log_px, kl, _ = training.Step(model)(VALIDATION, eps)
            elbo.append(log_px - kl)
            weighted.append(model.log_weights(VALIDATION, eps)[0])
    torch.testing.assert_close(weights @ torch.stack(elbo), weights @ torch.stack(weighted))


def test_the_importance_weighted_objective_is_the_logarithm_of_the_mean_weight():
    model, eps = small_model(dropout=0.0), torch.randn(5, 11, 2)
    with torch.no_grad():
        bound, kl, auxiliary = training.Step(model)(VALIDATION, eps, 0.5)
        weights = torch.stack([model.log_weights(VALIDATION, one[None], 0.5)[0] for one in eps]).double()
        assert torch.equal(auxiliary, training.Step(model)(VALIDATION, eps[:1])[2])
    largest = weights.max(0).values
    torch.testing.assert_close(bound.double(), (weights - largest).exp().mean(0).log() + largest)
    assert torch.equal(kl, torch.zeros(11)) and (bound > weights.mean(0)).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3000), st.floats(1e-6, 1))
def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_hundredth(steps, peak):
    rates = [training.learning_rate_at(step, steps, peak) for step in range(steps)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(peak) and top <= min(100, max(1, steps // 10))
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert min(rates) > 0 and (steps < 100 or rates[-1] < 0.02 * peak)


# The command.

@pytest.fixture(scope="module")
def matrices(tmp_path_factory):
    """A folder of 12 matrices: 79 bars of 3 styles."""
    folder, bars = tmp_path_factory.mktemp("matrices"), some_bars(79).numpy()
    for i, part in enumerate(np.array_split(bars, 12)):
        np.save(folder / f"{('FUNK', 'ROCK', 'SAMBA')[i % 3]}{i}.npy", part)
    return folder


def refusal(capsys, *arguments):
    """What `train_bernoulli.py` says on stderr when it refuses, with status 2 and no traceback."""
    with pytest.raises(SystemExit) as leaving:
        command_line.run(lambda: train_bernoulli.main([str(argument) for argument in arguments]))
    output, errors = capsys.readouterr()
    assert leaving.value.code == 2, errors
    return errors


SHARED_RUN = [*TINY, "--epochs", "3", "--batch-size", "8", "--dropout", "0.3", "--free-bits", "0.05", "--precision",
              "float32"]


@pytest.fixture(scope="module")
def command_runs(matrices, tmp_path_factory, root):
    """{name: (run folder, stdout, stderr)} of the command "alone" and by torchrun in "two" processes, both at once."""
    starts = dict(alone=[], two=["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"])
    runs = {}
    for name, start in starts.items():
        folder = tmp_path_factory.mktemp(name)  # another folder than the script's
        command = [sys.executable, *start, root / "train_bernoulli.py", "--data", matrices, "--run-folder", "run"]
        runs[name] = folder, subprocess.Popen([*command, *SHARED_RUN], cwd=folder, text=True, stdout=subprocess.PIPE,
                                              stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for name, (folder, process) in runs.items():
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert [path.name for path in folder.iterdir()] == ["run"]
        runs[name] = folder / "run", output, errors
    return runs


def test_the_command_leaves_a_whole_run_folder(command_runs):
    run, output, errors = command_runs["alone"]
    assert set(contents(run)) == RUN_FILES
    for picture in run.glob("*.png"):
        assert matplotlib.image.imread(picture).std() > 0.01, f"{picture.name} is blank"
    history = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == [1, 2, 3]
    config = json.loads((run / "config.json").read_text())
    assert config["arguments"]["hidden"] == [8] and config["class"] == "BernoulliVAE"
    assert config["versions"]["torch"] == torch.__version__ and "commit" in config["versions"]
    model = load_model(run)
    assert model.map["label_names"] == ["funk", "rock", "samba"] and model.config["latent"] == 2
    assert len(model.map["codes"]) == config["arguments"]["epoch_size"] == len(model.map["labels"]) < \
        config["examples"]["train"], "the map holds the bars as they are written"
    assert f"best validation bound {max(record['validation_elbo'] for record in history):.2f} nats" in output
    assert "Traceback" not in errors and "Warning" not in errors


def test_the_command_in_two_processes_speaks_once_and_leaves_the_same_files(command_runs):
    run, output, _ = command_runs["two"]
    recipe = json.loads((run / "config.json").read_text())["recipe"]
    assert recipe["nproc_per_node"] == 2 and recipe["epoch_size"] % 8 == 0, "the last batch had a single bar, and waits"
    assert set(contents(run)) == RUN_FILES
    assert output.count("best validation bound") == 1


@pytest.fixture(scope="module")
def shared(tmp_path_factory, root):
    """The folder of what two processes of torchrun trained, see shared_training.py."""
    folder = tmp_path_factory.mktemp("shared")
    subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
                    root / "tests" / "shared_training.py", folder], check=True, capture_output=True, timeout=300,
                   env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder


def test_two_processes_equal_one_to_rounding_where_nothing_is_drawn(shared, tmp_path):
    expected = train_still(tmp_path / "run")
    one, two = (load_checkpoint(run / "checkpoint.pt") for run in (tmp_path / "run", shared / "still"))
    for found, record in zip(without_times(two["history"]), without_times(expected), strict=True):
        assert found == pytest.approx(record, rel=1e-5, abs=1e-5)
    for name, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], value, rtol=1e-4, atol=1e-5)


def test_two_processes_equal_one_in_the_mean(shared, tmp_path):
    """Noise and dropout are each process's own, so what they have in common is a distribution."""
    for name in ("train_elbo", "train_kl", "train_auxiliary", "validation_elbo", "validation_auxiliary"):
        found = []
        for seed in SEEDS:
            one = tmp_path / f"bars-{seed}"
            one = load_checkpoint(one / "checkpoint.pt")["history"] if one.exists() else train_bars(one, seed)
            two = load_checkpoint(shared / f"bars-{seed}" / "checkpoint.pt")["history"]
            found.append(two[-1][name] - one[-1][name])
        difference = torch.tensor(found, dtype=torch.float64)
        assert difference.abs().min() > 0, "each process draws its own"
        assert difference.mean().abs() < 4 * difference.std() / len(SEEDS) ** 0.5, name


def test_two_processes_resumed_equal_two_that_were_not(shared):
    assert_same_run(shared / "whole", shared / "broken")
    assert load_checkpoint(shared / "broken" / "checkpoint.pt")["epoch"] == 3


def test_every_process_has_a_part_of_every_batch():
    def size(processes, examples=41, **settings):
        process = training.Process(torch.device("cpu"), 0, processes)
        return TrainingSettings(**settings).settled(process, examples).epoch_size
    assert [size(processes, batch_size=8) for processes in (1, 2, 3)] == [41, 40, 40]
    assert size(2, 43, batch_size=8) == 43 and size(4, 43, batch_size=8) == 40 and size(2, epoch_size=10) == 10
    for few in (dict(batch_size=2), dict(epoch_size=2), dict(epoch_size=2, batch_size=2)):
        with pytest.raises(ValueError, match="expected examples for each of 3 processes"):
            size(3, **few)


def test_processes_share_the_order_of_an_epoch_and_draw_noise_of_their_own():
    data, settings = Examples(torch.arange(21.0)), TrainingSettings(batch_size=4, epoch_size=19, samples=2)
    parts = [[*training.batches(small_model(), data, settings, 3, training.Process(torch.device("cpu"), rank, 2))]
             for rank in (0, 1)]
    whole = [*training.batches(small_model(), data, settings, 3, training.Process(torch.device("cpu")))]
    for (count, x, eps, _), one, two in zip(whole, *parts, strict=True):
        assert count == one[0] == two[0] == len(x) and x.tolist()[::2] == one[1].tolist()
        assert x.tolist()[1::2] == two[1].tolist() and eps.shape == (2, count, 2)
        assert not torch.equal(one[2][:, :len(two[1])], two[2])
    assert sum(count for count, *_ in whole) == 19


def test_the_map_holds_the_bars_as_they_are_written_with_codes_of_no_style(tmp_path):
    bars, styles = some_bars(40), torch.arange(40) % 2
    model = BernoulliVAE(hidden=(8,), decoder="causal", width=8, styles=["FUNK", "ROCK"], dropout=0.5)
    small_fit(tmp_path / "run", model, Examples(bars, {"style": styles}), bars[:8], epochs=1, extra_state=lambda model:
              train_bernoulli.build_map(model, {"train": (bars[:12], ["A"] * 12, [])}, styles[:12], ["FUNK", "ROCK"]))
    kept = load_model(tmp_path / "run")
    assert torch.allclose(kept.map["codes"].float(), encode_all(kept, bars[:12])[0], atol=2e-3)
    assert kept.map["labels"].tolist() == styles[:12].tolist() and model.training
    assert np.array_equal(unpack_hits(kept.map["bars"].numpy()), bars[:12].numpy() > 0)


def test_torchrun_takes_no_option_of_ours_for_its_own():
    for action in train_bernoulli.make_parser()._actions[1:]:
        for option in action.option_strings:
            words = ["--standalone", "train.py", option, "1"]
            assert torch.distributed.run.get_args_parser().parse_args(words).training_script_args == words[2:]


EVERY_OPTION = {
    "latent": (5, ["5"]), "velocity_latent": (3, ["3"]), "hidden": ([9, 7], ["9", "7"]),
    "decoder": ("independent",) * 2,
    "width": (11, ["11"]), "dropout": (0.25, ["0.25"]), "activation": ("Tanh",) * 2, "epochs": (4, ["4"]),
    "batch_size": (17, ["17"]), "learning_rate": (0.01, ["1e-2"]),
    "beta": (0.5, ["0.5"]), "warmup": (2, ["2"]), "free_bits": (0.0, ["0"]), "samples": (2, ["2"]),
    "seed": (3, ["3"]), "device": ("cpu",) * 2, "epoch_size": (20, ["20"]),
    "precision": ("float32",) * 2, "begin": ("beat",) * 2, "as_written": ([2], ["2"]), "optimizer": ("adamw",) * 2,
}


def test_every_option_of_the_help_is_taken_and_recorded(matrices, tmp_path, capsys):
    options = {action.dest for action in train_bernoulli.make_parser()._actions} - {"help"}
    assert options == {*EVERY_OPTION, "data", "run", "resume"}, "a new option: give it a value above"
    command = ["--data", str(matrices), "--run-folder", str(tmp_path / "run")]
    for name, (_, words) in EVERY_OPTION.items():
        command += [f"--{name.replace('_', '-')}", *([words] if isinstance(words, str) else words)]
    result = train_bernoulli.main(command)
    assert str(result["run"]) == str(tmp_path / "run")
    assert [record["epoch"] for record in result["history"]] == [1, 2, 3, 4]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    taken = {**config["config"], **config["recipe"]}
    for name, (value, _) in EVERY_OPTION.items():
        assert config["arguments"][name] == value and taken.get(name, value) == value
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    assert train_bernoulli.main([*command, "--resume"])["history"] == result["history"]
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before
    assert "holds a run already" in refusal(capsys, *command)


def test_a_folder_of_midi_trains_too(tmp_path):
    bars = some_bars(24).numpy()
    for i, part in enumerate(np.array_split(bars, 8)):
        (tmp_path / "midi" / "deeper").mkdir(parents=True, exist_ok=True)
        write_midi(part, tmp_path / "midi" / ("deeper" if i % 2 else "") / f"{'FUNK' if i < 4 else 'ROCK'}{i}.mid")
    train_bernoulli.main(["--data", str(tmp_path / "midi"), "--run-folder", str(tmp_path / "run"), *TINY])
    assert load_model(tmp_path / "run").map["label_names"] == ["funk", "rock"]
    splits = load_bars(tmp_path / "midi")
    assert sum(len(found) for found, _, _ in splits.values()) == 24
    for found, names, styles in splits.values():
        assert len(found) == len(names) == len(styles)
        assert all(name.split("/")[-1].lower().startswith(style) for name, style in zip(names, styles))


def test_files_that_cannot_be_used_are_named_and_left_out(matrices, tmp_path, capsys):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for path in matrices.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    np.save(folder / "NAN.npy", np.full((1, 8, 64), np.nan))
    np.save(folder / "SHAPE.npy", np.zeros((8, 32), np.uint8))
    (folder / "BROKEN.mid").write_bytes(b"MThd broken")
    np.save(folder / "THIN.npy", np.eye(8, 64, dtype=np.uint8)[None] * (np.arange(8) < 1)[:, None])  # a single hit
    splits = load_bars(folder)
    assert sum(len(bars) for bars, _, _ in splits.values()) == 79
    errors = capsys.readouterr().err
    assert errors.count("\n") == 3 and all(name in errors for name in ("NAN.npy", "SHAPE.npy", "BROKEN.mid"))


@pytest.mark.parametrize("kind, reason", [
    ("missing", "no such folder or file"), ("empty", "found no bar in 0 files"), ("text", "found no bar"),
    ("one file", "expected bars of at least 2 files"), ("one matrix", "expected bars of at least 2 files"),
    ("copies", "every validation bar also stands in training")])
def test_data_that_cannot_be_used_is_refused_by_name(tmp_path, capsys, kind, reason):
    data = tmp_path / "data"
    if kind != "missing":
        data.mkdir()
    if kind == "text":
        (data / "notes.txt").write_text("no bars here\n")
        (data / "broken.npy").write_text("no bars here either\n")
    if kind in ("one file", "copies"):
        np.save(data / "FUNK1.npy", some_bars(5).numpy())
    if kind == "copies":
        np.save(data / "FUNK2.npy", some_bars(5).numpy())
    if kind == "one matrix":
        data = data / "FUNK1.npy"
        np.save(data, some_bars(5).numpy())
    errors = refusal(capsys, "--data", data, "--run-folder", tmp_path / "run", *TINY)
    last = errors.splitlines()[-1]
    assert reason in last and str(data) in last
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option, value", [
    ("latent", "0"), ("latent", "two"), ("hidden", "0"), ("decoder", "recurrent"), ("width", "-1"), ("dropout", "1"),
    ("activation", "Wave"), ("epochs", "0"), ("epochs", "nan"), ("batch-size", "0"), ("learning-rate", "-1"),
    ("learning-rate", "inf"), ("beta", "-1"), ("warmup", "-1"), ("free-bits", "nan"), ("samples", "0"), ("seed", "-1"),
    ("seed", str(2**70)), ("epoch-size", "-5"), ("precision", "8"), ("velocity-latent", "-1"), ("begin", "noon"),
    ("device", "abacus"), ("device", "meta"), ("device", "cuda:99"), ("samples", "2"),
    ("warmup", "2"), ("run-folder", "/dev/null/run")])
def test_an_impossible_option_is_one_line_and_makes_nothing(matrices, tmp_path, capsys, monkeypatch, option, value):
    monkeypatch.setattr(sys, "argv", ["train_bernoulli.py"])
    errors = refusal(capsys, "--data", matrices, "--run-folder", tmp_path / "run", *TINY, "--free-bits", "1",
                     f"--{option}", value)
    assert errors.count("\n") == 1 and errors.startswith("train_bernoulli.py: "), errors
    assert option in errors or option == "run-folder" and "/dev/null" in errors
    assert not (tmp_path / "run").exists()


def test_the_groove_midi_dataset_trains_by_its_published_split(shared_data, monkeypatch):
    monkeypatch.setenv("SEQUENCEUR_DATA", str(shared_data))
    splits = load_bars("groove")
    assert {side: len(splits[side][0]) for side in ("train", "validation")} == {"train": 17_291, "validation": 2_161}
    assert {"funk", "rock", "jazz"} <= set(splits["train"][2])


def test_a_validation_side_of_one_file_is_named_in_a_warning(matrices, tmp_path, capsys):
    train_bernoulli.main(["--data", str(matrices), *TINY, "--run-folder", str(tmp_path / "many")])
    assert "of one file" not in capsys.readouterr().err
    few = tmp_path / "few"
    few.mkdir()
    for name in ("FUNK0.npy", "ROCK1.npy"):
        np.save(few / name, np.load(matrices / name))
    train_bernoulli.main(["--data", str(few), *TINY, "--run-folder", str(tmp_path / "run")])
    assert re.search(r"all bars to validate are of one file, (FUNK0|ROCK1)", capsys.readouterr().err)
