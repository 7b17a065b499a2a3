"""The folder of a training run: its name, lock, log, versions and checkpoints, and whether it may be resumed.

    run = Run(Path("runs/mine"), settings.recipe(), train.fingerprints("training"))
    run.prepare(model, optimizer, resume=True)
"""

import contextlib
import json
import math
import os
import platform
import subprocess
import sys
import zlib

import numpy as np
import torch

from command_line import ROOT, replacing, write_json
from formats.checkpoint import load_checkpoint, save_checkpoint


class Run:
    """A run folder, and how far its training is: the last `epoch` done, the `best` score, the `history` of records.

    recipe: {name: plain value} of all settings that shape the result. data: {what: checksum}, of `fingerprint`.
    """

    def __init__(self, folder, recipe, data):
        self.folder, self.recipe, self.data = folder, recipe, data
        self.epoch, self.best, self.history = 0, -math.inf, []

    def prepare(self, model, optimizer, resume):
        """Go on with the run in the folder, or raise ValueError where a new one would meet it."""
        if resume:
            self.resume(model, optimizer)
        elif (self.folder / "checkpoint.pt").exists():
            raise ValueError(f"{self.folder}: holds a run already; --resume goes on with it, another --run-folder "
                             "leaves it alone")

    def resume(self, model, optimizer):
        """Load weights, optimiser and progress. Raises ValueError where the run was started with anything else."""
        path = self.folder / "checkpoint.pt"
        content = load_checkpoint(path)
        if (content["class"], content["config"]) != (type(model).__name__, model.config):
            raise ValueError(f"{path}: its model is {content['class']} {content['config']}, not the one asked for")
        if "optimizer" not in content:
            raise ValueError(f"{path}: expected a run to go on with, found a model alone")
        if not isinstance(content["data"], dict):
            raise ValueError(f"{self.folder}: was started by an older version of this project; start a new run")
        for name in {**self.recipe, **content["recipe"]}:
            asked, kept = self.recipe.get(name), content["recipe"].get(name)
            if asked != kept and name != "epochs":
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} {asked}: {self.folder} was started with {kept}; expected the same")
        for name in {**self.data, **content["data"]}:
            if self.data.get(name) != content["data"].get(name):
                raise ValueError(f"{self.folder}: was started with other {name}; expected the same to go on with it")
        model.load_state_dict(content["weights"])
        optimizer.load_state_dict(content["optimizer"])
        self.epoch, self.best, self.history = content["epoch"], content["best"], content["history"]

    def begin(self, model, arguments, **facts):
        """Write config.json: the command, the recipe, the model's config, versions and `facts`; and the log so far."""
        write_json(self.folder / "config.json", {
            "command": sys.argv, "arguments": arguments or self.recipe, "recipe": self.recipe,
            "class": type(model).__name__, "config": model.config, **facts, "versions": versions()})
        self.write_log()

    def save(self, model, optimizer, arguments, score, extra_state=None):
        """Write checkpoint.pt, the log and, at the highest `score` so far, best.pt with `extra_state` (see `fit`)."""
        last = self.history[-1]
        state = {"epoch": last["epoch"], "recipe": self.recipe, "data": self.data, "arguments": arguments}
        if score is not None and score > self.best:
            self.best = score
            model.eval()
            extra = extra_state(model) if callable(extra_state) else extra_state or {}
            model.train()
            save_checkpoint(self.folder / "best.pt", model, half=True, validation_elbo=last["validation_elbo"],
                            **state, **extra)
        save_checkpoint(self.folder / "checkpoint.pt", model, optimizer=optimizer.state_dict(), best=self.best,
                        history=self.history, **state)
        self.write_log()

    def write_log(self):
        """Write one JSON line an epoch: all lines anew, so that a resumed run has no epoch twice."""
        with replacing(self.folder / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in self.history))


def fingerprint(tensor):
    """A checksum of a tensor's shape, type and numbers."""
    return zlib.crc32(tensor.cpu().contiguous().numpy(), zlib.crc32(f"{tensor.shape} {tensor.dtype}".encode()))


def choose_run_folder(given, name, resume=False):
    """The folder that was given, else `runs/NAME`; where that holds a run and none is resumed, NAME-2, NAME-3, ..."""
    folder, count = given or ROOT / "runs" / name, 1
    while not given and not resume and (folder / "checkpoint.pt").exists():
        count += 1
        folder = folder.with_name(f"{name}-{count}")
    return folder


@contextlib.contextmanager
def locked_run_folder(folder):
    """Hold a run folder, made if missing, where the system has locks. Raises ValueError where another process does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{folder}: cannot write here ({error.strerror})") from error
    with contextlib.ExitStack() as stack:
        try:
            import fcntl
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another training is writing here; expected another --run-folder") from None
        except (ImportError, OSError):
            pass
        yield


def versions():
    """What a run is made with: Python, packages, machine, and the commit where this is a git checkout."""
    try:
        commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, stderr=subprocess.DEVNULL, text=True)
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
            "machine": platform.machine(), "processors": os.cpu_count(), "commit": commit.strip() or None}
