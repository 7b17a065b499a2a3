"""How long a sound model takes: a kit, one sound of each class, and the same with the phase searched instead.

    python benchmarks/sound_speed.py                                # the shipped model
    python benchmarks/sound_speed.py --run runs/audio_0 --times 9

Medians of wall-clock times, interleaved, on the threads that a musician's command uses. The last row stands for what
one would do without exemplars: fast Griffin-Lim of 30 iterations at the same length, from the same spectrogram.
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
from sounds.kits import generate_kit
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


@torch.inference_mode()
def main(argv=None):
    """Print the medians; returns {name: seconds}."""
    parser = Parser(__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "pretrained" / "sound_vae.pt", help="default: the shipped")
    parser.add_argument("--times", type=number(int, 1), default=7, help="of each measurement (default: 7)")
    arguments = parser.parse_args(argv)
    model = load_sound_model(arguments.run)
    codes, kits = random_codes(model, range(len(INSTRUMENTS)), 1)
    acts = {"a kit of eight": lambda: generate_kit(model, 1)}
    for row, name in enumerate(INSTRUMENTS):
        acts[f"one {name}"] = lambda row=row: synthesise(model, codes[row:row + 1], row, 1, kits=kits[row:row + 1])
    acts["a kit, phases searched"] = lambda: [phase_search(model, code, row) for row, code in enumerate(codes)]
    taken = {name: [] for name in acts}
    for turn in range(arguments.times + 1):  # the first fills the caches
        for name, act in acts.items():
            began = time.perf_counter()
            act()
            taken[name].append(time.perf_counter() - began)
    found = {name: float(np.median(seconds[1:])) for name, seconds in taken.items()}
    for name, seconds in found.items():
        print(f"{name}: {1000 * seconds:.0f} ms, the slowest {1000 * max(taken[name][1:]):.0f}")
    print(f"the phase searched instead: {found['a kit, phases searched'] / found['a kit of eight']:.1f} times as long")
    return found


if __name__ == "__main__":
    run(main)
