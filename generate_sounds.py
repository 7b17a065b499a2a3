"""generate_sounds: to be written."""

import argparse
from pathlib import Path

# first, since it sets variables that torch reads when it is imported


import torch

from formats.activation_matrix import INSTRUMENTS
from formats.audio import save_audio
from learning.figures import draw_pictures
from sounds.codes import between, class_weights, encode_file, load_sound_model, random_codes
from sounds.dataset import class_from_name
from sounds.spectrograms import to_decibels
from sounds.synthesis import sounds


# --- files ---


def generate(folder, path, classes=(), n=None, seed=0, at=None, like=None, spread=None, between_files=None, steps=8,
             quality="fine"):
    """Make sounds and write them into a folder, as WAV files with one figure: what `train_audio.py --generate` does.

    path: of the model. classes: rows; none for all, or for the class that a file's name or the model says. n: sounds a
    class. at: the first numbers of a code, the others 0. like: a sound file; from its code, spread 0 gives the sound
    itself and 1 any of its class. between_files: two sound files, and `steps` sounds from one to the other.

    Returns {"files": [paths], "samples": (B, samples), "weights": (B, 8)}.
    """
    model = load_sound_model(path)
    if between_files:
        ends = [encode_file(model, file, row) for file, row in
                zip(between_files, (classes[0], classes[-1]) if classes else map(class_by_name, between_files))]
        codes, numbers = between(ends[0][0], ends[1][0], steps), [0] * steps  # one noise for all
        share = torch.linspace(0, 1, steps)[:, None]
        weights = (1 - share) * class_weights(ends[0][1], 1) + share * class_weights(ends[1][1], 1)
        names = [f"{INSTRUMENTS[ends[0][1]]}_to_{INSTRUMENTS[ends[1][1]]}_{i + 1:03d}" for i in range(steps)]
    else:
        centre, spread = None, spread if spread is not None else 0.0 if at else 0.5
        if like:
            centre, row = encode_file(model, like, classes[0] if classes else class_by_name(like))
            classes = [row]
        elif at:
            if len(at) > model.latent:
                raise ValueError(f"--at: expected at most {model.latent} numbers, found {len(at)}")
            centre = torch.tensor([*at, *[0.0] * (model.latent - len(at))])
        rows = classes or range(len(INSTRUMENTS))
        n = n or (1 if at else 16 if classes else 1)
        # the first of each class is that of the kit, and more sounds or classes leave those that were there
        numbers = [len(INSTRUMENTS) * i + row for row in rows for i in range(n)]
        codes = random_codes(model, len(numbers), seed, numbers)
        if centre is not None:
            codes = (1 - spread**2) ** 0.5 * centre + spread * codes
        weights = class_weights(torch.tensor(numbers) % len(INSTRUMENTS), len(numbers))
        names = [f"{INSTRUMENTS[row]}_{i + 1:03d}" if n > 1 else INSTRUMENTS[row] for row in rows for i in range(n)]
    made = sounds(model, codes, weights, seed, numbers, quality)
    files = [Path(folder) / f"{name}.wav" for name in names]
    for file, sound in zip(files, made):
        save_audio(file, sound, model.sound["rate"])
    draw_sounds(model, made, names, Path(folder) / "sounds.png")
    return {"files": files, "samples": made, "weights": weights}


def class_by_name(path):
    """The row that a sound file's name or its folder's says, or None."""
    path = Path(path).resolve()
    row = class_from_name(path.stem)
    return class_from_name(path.parent.name) if row is None else row


def draw_sounds(model, samples, names, path, columns=8):
    """A grid of spectrograms of sounds (B, samples), for the first 64 of them."""
    level, _ = to_decibels(model.transform.forward(samples[:64]).abs(), model.sound["floor_db"])
    parts = [slice(i, i + columns) for i in range(0, len(level), columns)]
    draw_pictures([list(level[part].numpy()) for part in parts], [names[part] for part in parts], path,
                  low=model.sound["floor_db"])


def class_named(text):
    """An argparse type: the row that a name means, as a folder's name would (Snare, sd, closed hat, ...)."""
    row = class_from_name(text)
    if row is None:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(INSTRUMENTS)}, found {text!r}")
    return row
