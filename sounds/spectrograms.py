"""Sounds as a model sees them: a folder of one-shots becomes log magnitudes of one size, with their classes.

    data = load_spectrograms("dataset_audio", settings)
    data["pictures"]    # float16 (n, bands, frames), in dB re the loudest point of each, from floor_db to 0

`settings` are those of nsgt.json. The transforms of a folder of audio are kept in data/sound_pictures, and made again
when a file or a setting changes.
"""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from audio2nsgt import INDEX, SETTINGS, load_transforms, make_transform
from command_line import ROOT, replacing
from formats.activation_matrix import INSTRUMENTS
from sounds.dataset import class_from_name, find_one_shots, load_one_shots

CACHE = ROOT / "data" / "sound_pictures"
FLOOR_DB = -60.0
DEFAULTS = dict(scale="oct", rate=22050, downsample=1, min_freq=30.0, max_freq=11000.0, bins=48, seconds=0.5)


def to_decibels(magnitude, floor_db=FLOOR_DB):
    """Magnitudes (n, bands, frames), tensor or array, as dB re each one's peak, from floor_db to 0; and the peaks (n,).

    Silence is floor_db everywhere.
    """
    magnitude = torch.as_tensor(magnitude)
    peak = magnitude.amax((1, 2))
    relative = magnitude / peak.clamp_min(1e-20)[:, None, None]
    return 20 * torch.log10(relative.clamp_min(10 ** (floor_db / 20))), peak


def spectrograms_of(sounds, settings, floor_db=FLOOR_DB):
    """Sounds (n, samples) as dB pictures, float16 (n, bands, frames)."""
    with warnings.catch_warnings(action="ignore"):  # of wide windows at low frequencies: harmless in a picture
        transform = make_transform(settings, sounds.shape[1])
    with torch.inference_mode():
        return torch.cat([to_decibels(transform.forward(part).abs(), floor_db)[0].half()
                          for part in torch.as_tensor(sounds).split(64)]).numpy()


def load_spectrograms(folder, settings=None, floor_db=FLOOR_DB, cache=CACHE):
    """A folder of audio by class, or what audio2nsgt.py wrote of one: a dictionary.

    pictures: float16 (n, bands, frames), see above. labels: uint8 (n,), rows. names: below the folder, without suffix.
    sounds: float32 (n, samples), or None where the folder holds transforms. settings, samples: of the transform.
    left_out: a line for each file that is not in it, with the reason. Raises OSError or ValueError, naming the folder.
    """
    folder = Path(folder)
    if (folder / INDEX).is_file():
        return load_npy_spectrograms(folder, floor_db)
    settings = {**DEFAULTS, **(settings or {})}
    sounds, labels, names, left_out = load_one_shots(folder, settings["rate"], settings["seconds"])
    silent = ~(np.abs(sounds).max(1) > 0)
    left_out += [f"{folder / names[i]}: expected a sound, found silence" for i in np.flatnonzero(silent)]
    if silent.all():
        raise ValueError(f"{folder}: expected sounds, found silence")
    sounds, labels = sounds[~silent], labels[~silent]
    names = [name for name, quiet in zip(names, silent) if not quiet]
    stamps = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in
              find_one_shots(folder)[0]]
    key = hashlib.sha256(json.dumps([stamps, {name: settings[name] for name in SETTINGS}, floor_db]).encode())
    path = Path(cache) / f"{key.hexdigest()[:24]}.npy"
    pictures = np.load(path) if path.is_file() else None
    if pictures is None or len(pictures) != len(sounds):
        pictures = spectrograms_of(sounds, settings, floor_db)
        with replacing(path) as temporary:
            np.save(temporary, pictures)
    return {"pictures": pictures, "labels": labels, "names": names, "sounds": sounds, "settings": settings,
            "samples": sounds.shape[1], "left_out": left_out}


def load_npy_spectrograms(folder, floor_db=FLOOR_DB):
    """The same of a folder of .npy that audio2nsgt.py wrote; only pictures of the most frequent size are taken."""
    arrays, names, settings = load_transforms(folder)
    rows = [next((row for row in map(class_from_name, reversed(name.split("/")[:-1])) if row is not None), None)
            for name in names]
    shapes = [array.shape for array in arrays]
    common = max(set(shapes), key=lambda shape: (shapes.count(shape), shape))
    left_out = [f"{folder / name}.npy: no folder around it is named after a class ({', '.join(INSTRUMENTS)})"
                for name, row in zip(names, rows) if row is None]
    left_out += [f"{folder / name}.npy: expected {common[0]} frames x {common[1]} bands as most have, found "
                 f"{shape[0]} x {shape[1]}; audio2nsgt.py --seconds makes all sounds of one length"
                 for name, shape, row in zip(names, shapes, rows) if shape != common and row is not None]
    kept = [i for i, row in enumerate(rows) if row is not None and shapes[i] == common]
    if not kept:
        raise ValueError(f"{folder}: expected pictures in subfolders named after classes, found none: {left_out[0]}")
    magnitudes = np.stack([np.abs(arrays[i]).T for i in kept])
    index = json.loads((folder / INDEX).read_text())
    samples = index["files"][names[kept[0]] + ".npy"]["samples"]
    return {"pictures": to_decibels(magnitudes, floor_db)[0].numpy().astype(np.float16),
            "labels": np.array([rows[i] for i in kept], np.uint8), "names": [names[i] for i in kept], "sounds": None,
            "settings": settings, "samples": samples, "left_out": left_out}


def make_augmentation(amount, floor):
    """What is done to a batch of training pictures: pitch, length and tone vary, as on a machine's knobs.

    Half an octave (24 bands at 48 an octave) and half an octave of length either way, and some dB from end to end, at
    amount 1; three in ten stay as they are. floor: silence, in the units of the pictures.
    """
    def vary(x, generator):
        """x (B, bands, frames) -> the same shape."""
        x = x.float()
        if not amount:
            return x
        uniform = torch.rand(4, len(x), generator=generator)
        moved = (uniform[0] > 0.3).float() * amount
        peak = x.amax((1, 2), keepdim=True)
        grid = torch.zeros(len(x), 2, 3)
        grid[:, 0, 0] = torch.exp2((uniform[1] - 0.5) * moved)
        grid[:, 0, 2] = grid[:, 0, 0] - 1  # time is stretched from its beginning
        grid[:, 1, 1] = 1
        grid[:, 1, 2] = (uniform[2] - 0.5) * moved * 48 * 2 / x.shape[1]
        grid = F.affine_grid(grid, (len(x), 1, *x.shape[1:]), align_corners=False)
        y = F.grid_sample(x[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
        slope = torch.linspace(-1, 1, x.shape[1])[:, None] * ((uniform[3] - 0.5) * moved * 0.5)[:, None, None]
        y = y + slope
        y = (y + peak - y.amax((1, 2), keepdim=True)).clamp_min(floor)
        return torch.where(moved[:, None, None] > 0, y, x)

    return vary
