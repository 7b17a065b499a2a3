"""What every test shares: the project on the import path, and the data beside it where there is some."""

import contextlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("build machine", derandomize=True)  # new examples are looked for where one can mend them
if os.environ.get("CI"):
    settings.load_profile("build machine")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def root():
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data: $SEQUENCEUR_DATA, else ../shared/data; skips where neither is there."""
    for folder in (os.environ.get("SEQUENCEUR_DATA"), ROOT.parent / "shared" / "data"):
        if folder and Path(folder).is_dir():
            return Path(folder)
    pytest.skip("needs real data: set SEQUENCEUR_DATA to its folder, or place it at ../shared/data")


@pytest.fixture(autouse=True)
def quiet_while_it_is_timed(request, tmp_path_factory):
    """Of several processes, tests of the real window and of real sound hold the machine alone; all others share it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    with open(tmp_path_factory.getbasetemp().parent / "quiet", "w") as lock:
        with contextlib.suppress(ImportError, OSError):  # where the system has no such locks, just go on
            import fcntl
            fcntl.flock(lock, fcntl.LOCK_EX if request.path.stem.endswith("_real") else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope="module")
def one_thread():
    """Torch on one thread, for small nets: the threads would only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
