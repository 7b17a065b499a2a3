"""How long a sound model takes: a sound of each class, heard at once and whole, a kit, and a phase searched instead.

    python benchmarks/sound_speed.py                                # the shipped model
    python benchmarks/sound_speed.py --run runs/audio_0 --times 40

Wall-clock times over sounds of as many kits: first, what make_sound yields at once; whole, with four velocities and
two alternates of each; on one thread, as in the window, kits on two. The last row stands for what one would do without
exemplars: fast Griffin-Lim of 30 iterations at the same length, from the same spectrogram.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# before anything that imports torch
from command_line import ROOT, Parser, number, run

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from sounds.codes import class_weights, load_sound_model, random_codes
from sounds.kits import generate_kit, make_sound
from sounds.spectrograms import transform_for
from sounds.synthesis import choose_exemplar, decode, synthesise
from transforms.phase_retrieval import fast_griffin_lim


def phase_search(model, code, row):
    """As long as the model's exemplar, with random phases searched in 30 iterations."""
    weights = class_weights(row, 1)[0]
    target = decode(model, code, weights)
    size = len(choose_exemplar(model, target, code, row, None, torch.Generator().manual_seed(0)).samples)
    transform = transform_for(size, model.sound["settings"])
    magnitude = torch.rand(1, len(transform.frequencies), int(transform.frames[0]))
    transform.backward(fast_griffin_lim(magnitude + 0j, magnitude, transform, 30))


def seconds_of(act):
    """How long a call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


@torch.inference_mode()
def main(argv=None):
    """Print medians and 95th percentiles; returns {name: [seconds]}."""
    parser = Parser(__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "pretrained" / "sound_vae.pt", help="default: the shipped")
    parser.add_argument("--times", type=number(int, 1), default=20, help="of each measurement (default: 20)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)  # as in the window
    model, classes = load_sound_model(arguments.run), len(INSTRUMENTS)
    taken = {}
    for turn in range(arguments.times + 1):
        numbers = range(classes * turn, classes * (turn + 1))
        for row, (code, kit) in enumerate(zip(*random_codes(model, numbers, 1))):
            steps = make_sound(model, code, row, turn, kit)
            first = seconds_of(lambda: next(steps))
            taken.setdefault(f"first {INSTRUMENTS[row]}", []).append(first)
            taken.setdefault(f"whole {INSTRUMENTS[row]}", []).append(first + seconds_of(lambda: list(steps)))
    for turn in range(min(arguments.times, 3) + 1):
        codes, _ = random_codes(model, range(classes), turn)
        taken.setdefault("a kit of eight whole sounds", []).append(seconds_of(lambda: generate_kit(model, turn)))
        taken.setdefault("a kit of eight, struck once", []).append(seconds_of(
            lambda: synthesise(model, codes, torch.arange(classes), turn)))
        taken.setdefault("the same, phases searched", []).append(seconds_of(
            lambda: [phase_search(model, code, row) for row, code in enumerate(codes)]))
    found = {name: np.array(seconds[1:]) for name, seconds in taken.items()}  # the first fills the caches
    for name, seconds in found.items():
        middle, slow = 1000 * np.quantile(seconds, (0.5, 0.95))
        print(f"{name}: {middle:.0f} ms, 95th percentile {slow:.0f}")
    return found


if __name__ == "__main__":
    run(main)
