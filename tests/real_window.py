"""The window as a process on a virtual screen, and a hand that clicks it: for tests and benchmarks.

    with virtual_screen(1300, 700) as display, running(folder, {**os.environ, "DISPLAY": display}) as program:
        program.wait_for("ready")
        Hand(model, display).click("Random")
"""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from editor.pattern_editor import PatternEditor
from patterns import latent_map
from window.window import Window

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 1300, 700  # of the window, in pixels


def no_screen():
    """What this machine lacks for a window on a virtual screen, as words for a skip; None where nothing is."""
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            return f"needs {program}"
    return None if importlib.util.find_spec("tkinter") else "needs a GUI toolkit (tkinter)"


@contextlib.contextmanager
def virtual_screen(width, height):
    """Run Xvfb; gives its DISPLAY."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{width}x{height}x24", "-dpi", "96", "-nolisten", "tcp"],
        pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with open(reading) as pipe:
            yield f":{pipe.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


class Program:
    """The script as a process, with its log of actions."""

    def __init__(self, folder, env, *options):
        self.log_path = folder / f"log{time.monotonic_ns()}"
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "Activation_Matrix_To_Sound.py", "--save-to", folder / "saved", "--seed", "0",
             "--log", self.log_path, *options],
            env={name: value for name, value in env.items() if name != "MPLBACKEND"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def log(self, action=None):
        lines = map(json.loads, self.log_path.read_text().splitlines()) if self.log_path.exists() else ()
        return [line for line in lines if action in (None, line["action"])]

    def wait_for(self, action, count=1, seconds=60):
        """Wait until an action was logged so many times; give the last."""
        wait(lambda: len(self.log(action)) >= count or self.process.poll() is not None, seconds)
        assert len(self.log(action)) >= count, f"no {action!r}; the program ended with {self.process.communicate()}"
        return self.log(action)[-1]

    def end(self):
        """(exit status, stdout, stderr) once the program has ended by itself."""
        output, errors = self.process.communicate(timeout=20)
        return self.process.returncode, output, errors


def wait(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def running(*arguments):
    program = Program(*arguments)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.communicate()


class Hand:
    """A mouse and a keyboard, on a virtual screen; map points and cells of the bar instead of pixels."""

    def __init__(self, model, display=None):
        self.env, self.reach = {**os.environ, "DISPLAY": display or ""}, latent_map.LatentPlane(model).reach
        figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100))
        FigureCanvasAgg(figure)
        self.view = Window(figure, PatternEditor(model, None, None, None)).view
        self.names = {name for panel in self.view.panels for name in panel.areas}
        if display:
            self.do("search", "--sync", "--onlyvisible", "--name", "^Drum map$")

    def do(self, *words):
        subprocess.run(["xdotool", *map(str, words)], env=self.env, check=True, timeout=20, stdout=subprocess.DEVNULL)

    def place(self, name, across=0.5, up=0.5):
        """The pixel, from the top left corner, of a place in an area of the window that has a name."""
        x, y = self.view.pixel_of(name, across, up)
        return int(x), HEIGHT - int(y)

    def on_map(self, x, y):
        return self.place("map", 0.5 + x / self.reach / 2, 0.5 + y / self.reach / 2)

    def on_bar(self, row, step):
        return self.place("bar", (step + 0.5) / 64, 1 - (row + 0.5) / 8)

    def click(self, name, x=0.5):
        """Click at an area of the window that has a name, at a fraction of its width."""
        self.do("mousemove", *self.place(name, x), "sleep", 0.05, "click", 1)


def align(recorded, expected):
    """Where `expected` begins in `recorded`, and their correlation there, 1 where it is the same sound."""
    size = 1 << (len(recorded) + len(expected)).bit_length()
    product = np.fft.irfft(np.fft.rfft(recorded, size) * np.conj(np.fft.rfft(expected, size)), size)
    start = int(product[:len(recorded) - len(expected)].argmax())
    part = recorded[start:start + len(expected)]
    return start, float(part @ expected / (np.linalg.norm(part) * np.linalg.norm(expected) + 1e-12))
