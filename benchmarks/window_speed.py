"""Measure what a hand feels in the real window: from click to sound, and the frames painted while it plays and drags.

    python benchmarks/window_speed.py                           # Xvfb, xdotool and PulseAudio are needed
    python benchmarks/window_speed.py --clicks 50 --load 2      # beside two busy processes

The window runs on a virtual screen, its sound goes to a null sink that is recorded. Click to sound: from the
click until the recording has the first sample of the bar that the click drew, while the window was silent. Beside it
the pause that one has by way of a WAV file and a player, which is how the 2019 program played.
"""

import contextlib
import ctypes
import ctypes.util
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

# before anything that imports torch
from command_line import Parser, Progress, number, run

import numpy as np
from real_window import HEIGHT, WIDTH, Hand, align, no_screen, running, virtual_screen
from sound_card import SAMPLE_RATE, missing, null_sink

from Activation_Matrix_To_Sound import MODEL, open_model
from engine.sequencer import render
from formats.audio import save_audio
from formats.kit import load_kit
from patterns import sampling

DRAG = 3.0  # seconds


def be_busy():
    while True:
        pass


class Mouse:
    """A mouse moved by the X server itself: a program that does it would take ten milliseconds to start."""

    def __init__(self, display):
        self.x11, self.test = (ctypes.CDLL(ctypes.util.find_library(name)) for name in ("X11", "Xtst"))
        self.x11.XOpenDisplay.restype = ctypes.c_void_p
        self.connection = ctypes.c_void_p(self.x11.XOpenDisplay(display.encode()))

    def press(self, down=True):
        self.test.XTestFakeButtonEvent(self.connection, 1, int(down), ctypes.c_ulong(0))
        self.x11.XFlush(self.connection)

    def move(self, x, y):
        self.test.XTestFakeMotionEvent(self.connection, -1, x, y, ctypes.c_ulong(0))
        self.x11.XFlush(self.connection)


def click_delays(program, hand, mouse, recording, model, kit, clicks):
    """Seconds from each click until its bar is heard, of those whose bar the recording has beyond doubt."""
    rng, delays = np.random.default_rng(0), []
    for i in Progress(range(1, clicks + 1), "clicking", "clicks"):
        hand.do("mousemove", *hand.on_map(*rng.uniform(-1.2, 1.2, 2)))
        time.sleep(0.1)
        begin, clicked = len(recording.samples()), time.monotonic()
        mouse.press()
        mouse.press(False)
        bar = sampling.draw(model, [program.wait_for("point", i)["point"]], 0, sampling.CLICK)[0]
        recording.wait(0.8)
        hand.do("key", "space")
        program.wait_for("stop", i)
        expected = render(bar, kit, 120, loop=False)[:SAMPLE_RATE // 2, 0]
        if np.abs(expected).max() > 0.01:
            start, same = align(recording.samples()[begin:, 0], expected)
            delays += [recording.time_of(begin + start) - clicked] * (same > 0.9)
        recording.wait(1.2)  # the tails die away
    return delays


def frames_a_second(program, hand, mouse):
    """Frames painted a second while it plays and the mouse drags over the map, moved a hundred times a second."""
    mouse.move(*hand.on_map(1, 0))
    mouse.press()
    start, count = time.monotonic(), len(program.log("let go"))
    while (now := time.monotonic() - start) < DRAG:
        mouse.move(*hand.on_map(np.cos(2 * now), np.sin(2.6 * now)))
        time.sleep(0.01)
    mouse.press(False)
    line = program.wait_for("let go", count + 1)
    hand.do("key", "space")
    return line["frames"] / line["seconds"]


def file_delays(model, kit, folder, env, recording, clicks):
    """Seconds until a bar is heard that is decoded, rendered into a file, and played by PulseAudio's own player."""
    delays = []
    for i in range(clicks):
        begin, clicked = len(recording.samples()), time.monotonic()
        bar = sampling.draw(model, np.full((1, model.latent), 0.1 * i), 0, sampling.CLICK)[0]
        samples = render(bar, kit, 120, loop=False)
        save_audio(folder / "bar.wav", samples, SAMPLE_RATE)
        subprocess.run(["paplay", str(folder / "bar.wav")], env=env, check=True, timeout=60)
        start, same = align(recording.samples()[begin:, 0], samples[:SAMPLE_RATE // 2, 0])
        delays += [recording.time_of(begin + start) - clicked] * (same > 0.9)
    return delays


def main(argv=None):
    """Return {what: number}, in milliseconds and frames a second."""
    parser = Parser(__doc__)
    parser.add_argument("--clicks", type=number(int, 3, 10_000), default=30, help="how many (default: 30)")
    parser.add_argument("--load", type=number(int, 0, 64), default=0, help="busy processes beside (default: 0)")
    options = parser.parse_args(argv)
    if missing() or no_screen():
        raise ValueError(missing() or no_screen())
    model, kit = open_model(MODEL), load_kit()
    with contextlib.ExitStack() as stack:
        for _ in range(options.load):
            busy = multiprocessing.get_context("spawn").Process(target=be_busy, daemon=True)
            busy.start()
            stack.callback(busy.kill)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        card, display = stack.enter_context(null_sink()), stack.enter_context(virtual_screen(WIDTH, HEIGHT))
        recording = stack.enter_context(card.recording())
        program = stack.enter_context(running(folder, {**card.env, "DISPLAY": display}))
        program.wait_for("ready")
        hand = Hand(model, display)
        hand.do("mousemove", *hand.on_map(0, 0.1))
        time.sleep(1)
        mouse = Mouse(display)
        delays = 1000 * np.array(click_delays(program, hand, mouse, recording, model, kit, options.clicks))
        frames = [frames_a_second(program, hand, mouse) for _ in range(3)]
        by_file = 1000 * np.array(file_delays(model, kit, folder, {**os.environ, **card.env}, recording, 5))
    result = {"click": float(np.median(delays)), "click 95": float(np.quantile(delays, 0.95)),
              "file": float(np.median(by_file)), "frames": float(np.median(frames))}
    print(f"click to sound, {len(delays)} of {options.clicks} clicks: median {result['click']:.0f} ms, 95th percentile "
          f"{result['click 95']:.0f} ms; by way of a file and a player: {result['file']:.0f} ms, "
          f"{result['file'] / result['click']:.1f} times as long")
    print(f"while it plays and one drags: {result['frames']:.0f} frames a second")
    return result


if __name__ == "__main__":
    run(main)
