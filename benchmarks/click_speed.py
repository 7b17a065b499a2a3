"""Measure how long a click takes until its pattern is ready to sound, beside the plain ways to do the same.

    python benchmarks/click_speed.py                            # the map that the window opens with
    python benchmarks/click_speed.py --model runs/my_run/best.pt --clicks 500

A click goes through the window's own code, with the picture drawn into memory and no sound card: from the mouse event
until the sequencer holds the pattern (the next block of samples has it), and until the picture shows it.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# before anything that imports torch
from command_line import Parser, Progress, number, run

import numpy as np
from matplotlib.backend_bases import MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from Activation_Matrix_To_Sound import MODEL, open_model
from editor.pattern_editor import PatternEditor
from engine import sequencer
from formats.audio import load_audio, save_audio
from formats.kit import KIT, SAMPLE_RATE, load_kit
from patterns import sampling
from window.window import Window


class Engine(sequencer.Sequencer):
    """A sequencer with the methods of a Player, and no sound card; it knows when it last took a pattern."""

    message, latency, underruns = "", 0.0, 0

    def play(self, *arguments):
        super().play(*arguments)
        self.taken = time.perf_counter()

    def open(self):
        pass

    def position(self):
        return None

    def take_notes(self):
        return []


def mouse(window, kind, x, y):
    """Press or release the mouse at a point of the map, as a backend tells the window."""
    place = window.view.map.transData.transform((x, y))
    MouseEvent(f"button_{kind}_event", window.canvas, *place, button=1)._process()


def milliseconds(action, points, before=None, after=None, end=time.perf_counter):
    """The time of action(x, y) at each point, until `end()`, without those of before(x, y) and after(x, y)."""
    times = []
    for x, y in Progress(points, "clicking", "clicks"):
        if before:
            before(x, y)
        start = time.perf_counter()
        action(x, y)
        times.append(1000 * (end() - start))
        if after:
            after(x, y)
    return times


def main(argv=None):
    """Return {what: (median, 95th percentile)} in milliseconds."""
    parser = Parser(__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="checkpoint (default: pretrained/bernoulli_map.pt)")
    parser.add_argument("--kit", type=Path, default=KIT, help="folder of eight one-shots")
    parser.add_argument("--clicks", type=number(int, 10, 100_000), default=100, help="how many clicks (default: 100)")
    options = parser.parse_args(argv)
    model, kit = open_model(options.model), load_kit(options.kit)
    figure = Figure(figsize=(13, 7), dpi=100)
    FigureCanvasAgg(figure)
    editor = PatternEditor(model, kit, Engine(kit), None, seed=sampling.DEFAULT_SEED)
    window = Window(figure, editor)
    figure.canvas.draw()
    points = np.random.default_rng(0).normal(size=(options.clicks, 2)).clip(-editor.plane.reach, editor.plane.reach)

    with tempfile.TemporaryDirectory() as folder:
        def by_file(x, y):
            """Decode, render a file, and read it back for the player: how the 2019 program played."""
            bar = sampling.draw(model, editor.plane.to_code(x, y)[None])[0]
            save_audio(Path(folder) / "bar.wav", sequencer.render(bar, kit), SAMPLE_RATE)
            load_audio(Path(folder) / "bar.wav")

        def press(x, y):
            mouse(window, "press", x, y)

        def release(x, y):
            mouse(window, "release", x, y)

        def paint(x, y):
            window.tick()

        def draw_all(x, y):
            figure.canvas.draw()

        def taken():
            return editor.player.taken

        rows = {"click to pattern ready": milliseconds(press, points, after=release, end=taken),
                "  the same by way of a WAV file": milliseconds(by_file, points),
                "the picture after a click, what changed": milliseconds(paint, points, press, release),
                "  the same by drawing the whole figure": milliseconds(draw_all, points[:20], press, release)}
        editor.constrain(hits=25)
        rows["click to pattern ready, exactly 25 hits"] = milliseconds(press, points, after=release, end=taken)
        editor.constrain(hits=None, style=0 if model.styles else None)
        rows["click to pattern ready, of a style"] = milliseconds(press, points, after=release, end=taken)
        editor.lock(0)
        rows["click to pattern ready, around a locked row"] = milliseconds(press, points, after=release, end=taken)

    print(f"{options.clicks} clicks, {options.model.name}, one thread; milliseconds:    median  95th percentile")
    result = {what: (statistics.median(times), float(np.quantile(times, 0.95))) for what, times in rows.items()}
    for what, (median, high) in result.items():
        print(f"{what:52} {median:12.2f} {high:12.2f}")
    return result


if __name__ == "__main__":
    run(main)
