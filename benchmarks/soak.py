"""Play the window at random for long, while it sounds: every control, key and map. Count what fails, lags or leaks.

    python benchmarks/soak.py --minutes 30                      # on this machine's sound card
    python benchmarks/soak.py --minutes 5 --sink --load 4       # on a null sink of PulseAudio, beside 4 busy processes
    python benchmarks/soak.py --minutes 30 --sink --master 97.3 # clocked from outside, through JACK's dummy driver

The picture is drawn into memory, 30 times a second, ten acts a second; all else is the program's own. Without a sound
card the sound is computed at its pace and thrown away. After each act the bars that were sent to be heard are those
that are shown, or the run ends; so it does at any exception, with the acts that led there. Record is one of the
controls, and the rows are played by keys. With a master, its beats are held against those that are heard.
"""

import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

# before anything that imports torch
from command_line import Parser, Progress, number, run

import numpy as np
from matplotlib.backend_bases import KeyEvent, MouseEvent, ResizeEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from midi_jitter import jack, port_of, send_clock
from sound_card import missing, null_sink

from Activation_Matrix_To_Sound import MODEL, SOUND_MODEL, open_model
from command_line import ROOT
from editor.pattern_editor import PatternEditor
from engine.clock import TICKS
from engine.midi_ports import VIRTUAL, MidiSettings
from engine.player import AudioUnavailable, Player
from engine.sequencer import Sequencer
from formats.kit import KIT, SAMPLE_RATE, load_kit
from window.window import EDITOR_KEYS, LIVE_KEYS, WINDOW_KEYS, Window

FRAME, ACTS = 1 / 30, 10  # seconds; a second
KEYS = sorted({*EDITOR_KEYS, *WINDOW_KEYS, *LIVE_KEYS} - {"q", "ctrl+w", "ctrl+e"})  # these end it, or take a minute
SIZES = ((1024, 640), (1300, 700), (1024, 1400), (1920, 1080))


class Pacer(Sequencer):
    """A player without a sound card: a thread computes the samples at their pace."""

    underruns, latency, message, followed_bpm = 0, 0.0, "", None

    def open(self):
        if not hasattr(self, "thread"):
            self.thread = threading.Thread(target=self.run, daemon=True)
            self.thread.start()

    def run(self):
        start = time.monotonic()
        while True:
            self.fill(1024)
            time.sleep(max(0, start + self.clock / SAMPLE_RATE - time.monotonic()))

    def position(self):
        return self.place_at(self.clock)

    def position_at(self, moment):
        return self.position()

    def take_notes(self):
        return []

    def close(self):
        pass


class Hand:
    """Random acts of a mouse and a keyboard on a window."""

    def __init__(self, window, seed):
        self.window, self.rng, self.last = window, np.random.default_rng(seed), []

    def mouse(self, kind, place, **more):
        MouseEvent(f"{kind}_event", self.window.canvas, *place, **more)._process()

    def area(self):
        """The name of an area that is shown, at random."""
        shown = [panel for panel in self.window.view.panels if panel.shown and panel.areas]
        panel = shown[self.rng.integers(len(shown))]
        return str(self.rng.choice(list(panel.areas)))

    def act(self):
        """One act: a key, a click, a drag or a turn of the wheel."""
        kind = self.rng.choice(["key", "click", "click", "drag", "map", "wheel"])
        if kind == "key":
            return self.key(str(self.rng.choice(KEYS)))
        name = "map" if kind == "map" else self.area()
        self.last = [*self.last[-9:], (str(kind), name)]
        place = self.window.view.pixel_of(name, *self.rng.uniform(0.02, 0.98, 2))
        self.mouse("motion_notify", place)
        if kind == "wheel":
            return self.mouse("scroll", place, step=float(self.rng.choice([-1, 1])),
                              modifiers=("shift",) * int(self.rng.integers(2)))
        self.mouse("button_press", place, button=int(self.rng.choice([1, 1, 1, 1, 3])))
        if kind != "click":
            for _ in range(self.rng.integers(1, 6)):
                place = place + self.rng.normal(0, 25, 2)
                self.mouse("motion_notify", place)
                self.window.tick()
        self.mouse("button_release", place, button=1)

    def key(self, key):
        self.last = [*self.last[-9:], ("key", key)]
        for kind in ("key_press_event", "key_release_event"):
            KeyEvent(kind, self.window.canvas, key)._process()

    def resize(self):
        """Another size of the window."""
        figure = self.window.figure
        figure.set_size_inches(np.divide(SIZES[self.rng.integers(len(SIZES))], figure.dpi))
        ResizeEvent("resize_event", figure.canvas)._process()
        figure.canvas.draw()


def memory(master=None):
    """The resident memory of this process and those that it began but for a Master's, in MB."""
    def resident(process):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
        return 0.0

    children = Path(f"/proc/self/task/{os.getpid()}/children")
    processes = {os.getpid(), *(map(int, children.read_text().split()) if children.exists() else ())}
    return sum(map(resident, processes - ({master.process.pid} if master else set())))


def be_busy():
    while True:
        pass


def be_master(bpm, seconds, begun):
    """Send the clock of a steady master; begun: a shared double, the moment of its first beat."""
    period, port = 60 / bpm / TICKS, port_of("MidiOut")
    ticks = time.perf_counter() + 1 + period * np.arange(TICKS + int(seconds / period))
    begun.value = ticks[TICKS]
    send_clock(port, ticks, 0.0, [])


class Master:
    """A master's clock in a process of its own, and how far the sound was from its beats. lags: (moment, seconds)."""

    def __init__(self, player, bpm, seconds):
        self.player, self.bpm, self.lags = player, bpm, []
        player.set_midi(MidiSettings(input=VIRTUAL, send_clock=False, follow_clock=True))
        self.begun = multiprocessing.get_context("spawn").Value("d", 0.0)
        self.process = multiprocessing.get_context("spawn").Process(
            target=be_master, args=(bpm, seconds, self.begun), daemon=True)
        self.process.start()

    def compare(self):
        """Take how much later than the master's the beat is that is heard now."""
        now = time.perf_counter()
        if (place := self.player.position_at(now)) and now > self.begun.value > 0:
            late = (now - self.begun.value) * self.bpm / 60 - (64 * place[0] + place[1]) / 16  # beats
            self.lags.append((now, (late - round(late)) * 60 / self.bpm))

    def report(self):
        """Print and return the median lag of each third, and how far it strays: seconds."""
        lags = np.array([lag for _, lag in self.lags])
        thirds = [float(np.median(part)) for part in np.array_split(lags, 3)]
        off = np.quantile(np.abs(lags - np.median(lags)), [0.5, 0.95])
        print(f"behind the master, ms: median {1000 * np.median(lags):.2f}; off that, median {1000 * off[0]:.2f}, 95th "
              f"percentile {1000 * off[1]:.2f}; drift from the first third to the last "
              f"{1000 * (thirds[-1] - thirds[0]):+.2f}")
        return thirds


def make_window(model, kit, player, folder, seed):
    """A window on a canvas in memory, whose dialogues give a file of ours."""
    figure = Figure(figsize=(13, 7), dpi=100)
    FigureCanvasAgg(figure)
    editor = PatternEditor(model, kit, player, folder, seed=seed)
    editor.use_sounds(kit, SOUND_MODEL if SOUND_MODEL.exists() else None)
    files = {"bars": sorted((ROOT / "Dataset_Drum_Groove_Midi").rglob("*.mid"))[0], "kit": KIT}
    window = Window(figure, editor, None, lambda kind: files.get(kind, KIT / "Snare.wav"))
    figure.canvas.draw()
    return window


def play(window, hand, seconds, acts, master=None):
    """Act and paint for so long, or so many acts at full speed; a dict of figures, and one of each minute."""
    start, frames, minutes, done = time.monotonic(), [], [], 0
    progress = iter(Progress(range(acts or int(seconds * ACTS)), "acting", "acts"))
    while True:
        now = time.monotonic() - start
        if acts is None and now > seconds or acts is not None and done >= acts:
            break
        while done < (now * ACTS if acts is None else done + 1):
            next(progress, None)
            done += 1
            hand.resize() if done % 500 == 0 else hand.act()
            check(window.editor, hand)
            if acts is not None:
                break
        if not window.editor.playing:
            hand.key(" ")
        if master:
            master.compare()
        begun = time.monotonic()
        window.tick()
        frames.append(time.monotonic() - begun)
        if acts is None:
            time.sleep(max(0, FRAME - (time.monotonic() - begun)))
        if now >= 60 * (len(minutes) + 1):
            minutes.append(memory(master))
    return {"acts": done, "frames": frames, "minutes": [*minutes, memory(master)]}


def check(editor, hand):
    """What was sent to be heard is what is shown, unless there is no sound."""
    if editor.playing and editor.drawn and editor.playing_bars is not editor.heard_bars:
        raise AssertionError(f"another pattern sounds than is shown, after {hand.last}")


def main(argv=None):
    """Return {"acts", "frames", "minutes": memory in MB, "underruns", "latency", "lags": seconds, with a master}."""
    parser = Parser(__doc__)
    parser.add_argument("--minutes", type=number(float, 0.01, 10_000), default=1.0, help="how long (default: 1)")
    parser.add_argument("--acts", type=number(int, 1, 10**7), help="so many acts at full speed, in place of minutes")
    parser.add_argument("--seed", type=number(int, 0), default=0)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--sink", action="store_true", help="on a null sink of PulseAudio")
    parser.add_argument("--master", type=number(float, 40, 240), metavar="BPM", help="follow a clock of this tempo")
    parser.add_argument("--load", type=number(int, 0, 64), default=0, help="busy processes beside (default: 0)")
    options = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        if options.sink:
            if missing():
                raise ValueError(f"--sink: {missing()}")
            os.environ.update(stack.enter_context(null_sink()).env)
        if options.master:
            stack.enter_context(jack(64))
        for _ in range(options.load):
            busy = multiprocessing.get_context("spawn").Process(target=be_busy, daemon=True)
            busy.start()
            stack.callback(busy.kill)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return soak(options, folder)


def soak(options, folder):
    """Open the window, play it, print what was found."""
    model, kit = open_model(options.model), load_kit()
    player = Player(kit)
    try:
        player.open()
        where = "on a sound card"
    except AudioUnavailable as error:
        player.close()
        player, where = Pacer(kit), f"without a sound card ({error})"
    window = make_window(model, kit, player, folder, options.seed)
    hand, seconds = Hand(window, options.seed), 60 * options.minutes
    master = Master(player, options.master, seconds + 60) if options.master else None
    with contextlib.closing(player), contextlib.closing(window.editor):
        try:
            found = play(window, hand, seconds, options.acts, master)
        except Exception:
            print(f"the last acts: {hand.last}", file=sys.stderr)
            raise
        if master:
            found["lags"] = master.report()
        found |= {"underruns": player.underruns, "latency": player.latency}
    frames, minutes = 1000 * np.array(found["frames"]), found["minutes"]
    print(f"{found['acts']} acts {where}: no exception, the bars heard are those shown after each")
    print(f"a frame, ms: median {statistics.median(frames):.1f}, 95th percentile {np.quantile(frames, 0.95):.1f}, "
          f"slowest {frames.max():.0f}")
    print(f"memory, MB: {minutes[0]:.0f} in the first minute, {max(minutes):.0f} at most, {minutes[-1]:.0f} at the end "
          f"({100 * (minutes[-1] / minutes[0] - 1):+.1f} %)")
    print(f"underruns: {found['underruns']}; buffer at the end: {1000 * found['latency']:.0f} ms")
    return found


if __name__ == "__main__":
    run(main)
