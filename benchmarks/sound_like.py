"""How near a sound comes back that a model has not heard: with the fine structure of an exemplar, or its own.

    python benchmarks/sound_like.py runs/audio_0            # 160 sounds of the machines kept for the test

Log-spectral distance in dB to the original, rms over the bands of an NSGT of 48 an octave up to 20 kHz and over active
frames, those within 60 dB of the loudest point; floor -60 dB. `own`: what `generate_sounds.py --like FILE --spread 0`
gives. `spread 0.3`: its variations, which are to be near but not the same.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# before anything that imports torch
from command_line import Parser, Progress, number, run

import numpy as np
import torch

from audio2nsgt import make_transform
from formats.audio import fit_length
from formats.checkpoint import load_checkpoint
from sounds.codes import encode, load_sound_model, random_codes
from sounds.dataset import load_one_shots, split_by_machine
from sounds.synthesis import Source, synthesise

FLOOR_DB = -60.0


def levels(transform, sound):
    """A sound's magnitudes in dB re its loudest point, from the floor: (bands, frames)."""
    magnitude = transform.forward(torch.from_numpy(fit_length(sound, transform.Ls))[None])[0].abs()
    return (20 * torch.log10(magnitude / magnitude.max().clamp_min(1e-12))).clamp_min(FLOOR_DB)


def distance(one, other):
    """Rms over bands and the frames in which the first is not at the floor throughout."""
    active = one.amax(0) > FLOOR_DB
    return float((one - other)[:, active].square().mean().sqrt())


def main(argv=None):
    """Print mean distances; returns {name: dB}."""
    parser = Parser(__doc__)
    parser.add_argument("run", type=Path, help="a run folder of train_audio.py, or a .pt")
    parser.add_argument("--count", type=number(int, 1), default=160, help="sounds (default: 160)")
    arguments = parser.parse_args(argv)
    model, trained = load_sound_model(arguments.run), load_checkpoint(arguments.run)["arguments"]
    rate, seconds = model.sound["rate"], model.sound["settings"]["seconds"]
    sounds, labels, paths, _ = load_one_shots(trained["data"], rate, seconds)
    test = split_by_machine([path.stem for path in paths], model.fold)["test"]
    chosen = np.random.default_rng(0).permutation(test)[:arguments.count]
    settings = dict(scale="oct", rate=rate, min_freq=30.0, max_freq=min(20000.0, rate / 2 - 25), bins=48)
    transform = make_transform(settings, round(rate * seconds))
    found = {"code and an exemplar": [], "own": [], "spread 0.3": [], "another of its class": []}
    for i in Progress(chosen.tolist(), "comparing sounds", "sounds"):
        row, sound, own = int(labels[i]), sounds[i], [[(Source(sounds[i], int(labels[i])), 1.0)]]
        code = encode(model, sound, row)[0][None]
        other = random_codes(model, [8 * i + row], 0)[0]
        made = {"code and an exemplar": synthesise(model, code, row, i),
                "another of its class": synthesise(model, other, row, i),
                "own": synthesise(model, code, row, sources=own),
                "spread 0.3": synthesise(model, 0.7 * code + 0.3 * other, row, sources=own)}
        truth = levels(transform, sound)
        for name, (one,) in made.items():
            found[name].append(distance(truth, levels(transform, one)))
    found = {name: float(np.mean(values)) for name, values in found.items()}
    print("\n".join(f"{name}: {value:.2f} dB" for name, value in found.items()))
    return found


if __name__ == "__main__":
    run(main)
