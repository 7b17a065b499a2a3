"""learning/run_folder: to be written."""

import contextlib
import json
import os
import platform
import subprocess

import numpy as np
import torch

from command_line import ROOT, replacing


# --- the run folder ---


def new_run_folder(name):
    """`runs/NAME` beside the scripts, or NAME-2, NAME-3, ... where that holds a run already."""
    base = ROOT / "runs" / name
    folder, count = base, 1
    while (folder / "checkpoint.pt").exists():
        count += 1
        folder = base.with_name(f"{name}-{count}")
    return folder


@contextlib.contextmanager
def locked_run_folder(run):
    """Hold a run folder, made if missing, for this process. Raises ValueError where another one trains into it.

    However a process ends, the system lets go of what it held. Where the system has no such locks, just go on.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{run}: cannot write here ({error.strerror})") from error
    with contextlib.ExitStack() as stack:
        try:
            import fcntl
            folder = os.open(run, os.O_RDONLY)
            stack.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{run}: another training is writing here; expected a --run-folder of its own") from None
        except (ImportError, OSError):
            pass
        yield


def versions():
    """What a run was made with: Python, packages, machine, and the commit where this is a git checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                                check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = None
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
            "machine": platform.machine(), "processors": os.cpu_count(), "commit": commit}


def write_log(path, history):
    """One JSON line an epoch; written whole, so that a resumed run never has an epoch twice."""
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in history))
