"""Compare the time that a bar takes to become sound here, stereo and limited, with other ways to mix it in mono.

    python benchmarks/render_speed.py                          # on Dataset_Drum_Groove_Midi, at 120 bpm
    python benchmarks/render_speed.py --data my_midi_folder --bpm 97.3
"""

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# before anything that imports torch
from command_line import Parser, number, run, step_by_step

import numpy as np
from scipy.signal import fftconvolve

from engine.mixer import Mixer
from engine.sequencer import Sequencer, render
from engine.timing import step_starts
from engine.voices import AMPLITUDE
from formats.activation_matrix import CLOSED_HAT
from formats.kit import KIT, SAMPLE_RATE, load_kit, plain_sound
from Midi_To_Activation_Matrix import load_patterns

ROOT = Path(__file__).resolve().parent.parent


def starts_and_hits(bars, bpm):
    """Sample, row and amplitude of every hit, and the samples of the loop."""
    starts = step_starts(len(bars), bpm)
    return [(int(starts[64 * bar + step]), row, float(AMPLITUDE[bars[bar, row, step]]))
            for bar, row, step in zip(*np.nonzero(bars))], int(starts[-1])


def plain_python(bars, kit, bpm):
    """A loop over hits and samples, as one would write it first."""
    hits, length = starts_and_hits(bars, bpm)
    out = [0.0] * length
    for start, row, amplitude in hits:
        for i, sample in enumerate(kit[row].samples()):
            out[(start + i) % length] += amplitude * sample
    return np.array(out)


def overlay(bars, kit, bpm):
    """A padded copy of the whole loop for each hit, as an audio library's `overlay` does it."""
    hits, length = starts_and_hits(bars, bpm)
    out = np.zeros(length)
    for start, row, amplitude in hits:
        sound = kit[row].samples()
        padded = np.zeros(length * (1 + (start + len(sound)) // length))
        padded[start:start + len(sound)] = amplitude * sound
        out = out + padded.reshape(-1, length).sum(axis=0)
    return out


def convolution(bars, kit, bpm):
    """A train of impulses a row, convolved with the row's sound by scipy's FFT."""
    hits, length = starts_and_hits(bars, bpm)
    out = np.zeros(length)
    for row, sound in enumerate(kit):
        train = np.zeros(length)
        for start, hit_row, amplitude in hits:
            if hit_row == row:
                train[start] += amplitude
        wet = fftconvolve(train, sound.samples())
        wet = np.pad(wet, (0, -len(wet) % length))
        out += wet.reshape(-1, length).sum(axis=0)
    return out


def live(bars, kit, bpm):
    """The live engine, in the blocks of 512 samples that a sound card asks for."""
    engine = Sequencer(kit, bpm=bpm)
    engine.play(bars)
    return [engine.fill(512) for _ in range(int(step_starts(len(bars), bpm)[-1]) // 512)]


def milliseconds_a_bar(way, bars, kit, bpm, rounds):
    """The median over some rounds of the mean time of one bar, each a loop of its own."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for bar in bars:
            way(bar[None], kit, bpm)
        times.append(1000 * (time.perf_counter() - start) / len(bars))
    return statistics.median(times)


def main(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "Dataset_Drum_Groove_Midi",
                        help="folder of MIDI files or matrices")
    parser.add_argument("--kit", type=Path, default=KIT, help="folder of eight one-shots")
    parser.add_argument("--bpm", type=number(float, 40, 240), default=120.0)
    parser.add_argument("--bars", type=number(int, 1), default=200, help="how many, drawn by chance (default: 200)")
    parser.add_argument("--rounds", type=number(int, 1), default=5, help="of which the median counts (default: 5)")
    options = parser.parse_args(argv)
    # of one layer: the other ways know no more
    kit = tuple(plain_sound(sound.name, sound.samples()) for sound in load_kit(options.kit))
    bars, _ = load_patterns(options.data)
    chosen = np.random.default_rng(0).permutation(len(bars))[:options.bars]
    bars, bpm = bars[np.sort(chosen)], options.bpm
    few = bars[:10]
    milliseconds = step_by_step("timing", "ways", {
        "render": lambda: milliseconds_a_bar(render, bars, kit, bpm, options.rounds),
        "the live engine, blocks of 512": lambda: milliseconds_a_bar(live, bars, kit, bpm, options.rounds),
        "a padded copy a hit": lambda: milliseconds_a_bar(overlay, few, kit, bpm, options.rounds),
        "scipy.signal.fftconvolve a row": lambda: milliseconds_a_bar(convolution, few, kit, bpm, options.rounds),
        "a loop over samples": lambda: milliseconds_a_bar(plain_python, few[:2], kit, bpm, 1),
    })
    few[:, CLOSED_HAT] = 0  # it would cut the open one, in ours alone
    for way in (overlay, convolution, plain_python):  # they all make the same sound, but for levelling and limiter
        other, ours = way(few[:1], kit, bpm), render(few[:1], kit, bpm, mixer=Mixer(master=-40.0))[:, 0]
        scale = np.dot(ours, other) / np.dot(other, other) if other.any() else 1
        if not np.allclose(ours, scale * other, atol=1e-5):
            raise AssertionError(f"{way.__name__} differs from render by {np.abs(ours - scale * other).max()}")
    print(f"{len(bars)} bars of {np.count_nonzero(bars) / len(bars):.1f} hits from {options.data}, {bpm:g} bpm, "
          f"sounds of {sum(len(sound.samples()) for sound in kit) / 8 / SAMPLE_RATE:.2f} s on average")
    print(f"{'':34}{'ms a bar':>10}{'times real time':>17}{'times render':>14}")
    for name, duration in milliseconds.items():
        print(f"{name:34}{duration:10.3f}{240000 / bpm / duration:17.0f}{duration / milliseconds['render']:14.1f}")
    return milliseconds


if __name__ == "__main__":
    run(main)
