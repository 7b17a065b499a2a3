"""Random acts on the window, at full speed and without a sound card: no exception, and what is heard is what is shown.
benchmarks/soak.py is the long form."""

import sys
from pathlib import Path

from tiny_map import write_tiny_map

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import soak


def test_random_acts_break_nothing(tmp_path, monkeypatch):
    write_tiny_map(tmp_path / "map.pt")
    monkeypatch.setattr(soak, "Player", lambda kit: soak.Pacer(kit))
    before = soak.memory()
    found = soak.main(["--acts", "300", "--seed", "4", "--model", str(tmp_path / "map.pt")])
    assert found["acts"] == 300 and found["minutes"][-1] - before < 400  # MB: a sound model, sounds, undo
