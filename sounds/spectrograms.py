"""Sounds as a model sees them: a folder of one-shots becomes log magnitudes of one size, with their classes.

    data = load_spectrograms("dataset_audio", dict(rate=22050, seconds=0.5))
    data["spectrograms"]    # float16 (n, bands, frames), in dB re the loudest point of each, from floor_db to 0

The settings are those of nsgt.json. The spectrograms of a folder of audio are kept in data/spectrograms and read from
there, without decoding a sound, until a file or a setting changes.
"""

from pathlib import Path

import joblib
import numpy as np
import torch
import torch.nn.functional as F

from audio2nsgt import SETTINGS, file_stamp, make_transform
from command_line import ROOT
from sounds.dataset import duration_of, find_one_shots, level_db, load_one_shots

CACHE = ROOT / "data" / "spectrograms"
KEPT = 8  # folders and settings that the cache holds; those not used for longest go first
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


def normalise(decibels, sound):
    """Spectrograms in dB to the model's units; sound: what its checkpoint says of its sounds.  (...) -> (...)"""
    return (decibels.float() - sound["mean"]) / sound["deviation"]


def denormalise(x, sound):
    """Spectrograms in the model's units to dB, from the floor to 0.  (...) -> (...)"""
    return (x.float() * sound["deviation"] + sound["mean"]).clamp(sound["floor_db"], 0)


def spectrograms_of(sounds, settings, floor_db=FLOOR_DB):
    """Sounds (n, samples) as spectrograms in dB: float16 (n, bands, frames)."""
    transform = make_transform(settings, sounds.shape[1])
    found = np.empty((len(sounds), len(transform.frequencies), int(transform.frames[0])), np.float16)
    with torch.inference_mode():
        for start in range(0, len(sounds), 64):
            part = transform.forward(torch.as_tensor(sounds[start:start + 64])).abs()
            found[start:start + 64] = to_decibels(part, floor_db)[0].half().numpy()
    return found


def load_spectrograms(folder, settings=None, floor_db=FLOOR_DB, cache=CACHE):
    """The sounds of a folder with a subfolder a class: a dictionary.

    spectrograms: float16 (n, bands, frames), see above, mapped from the cache. labels: uint8 (n,), rows. names: below
    the folder, without suffix. paths, levels, durations: each sound's file, its level_db and its duration_of in
    samples. settings, samples: of the transform. left_out: a line for each file that is not in it, with the reason.
    Raises OSError or ValueError, naming the folder.
    """
    folder, settings = Path(folder), {**DEFAULTS, **(settings or {})}
    paths, _, left_out = find_one_shots(folder)
    state = joblib.hash([[file_stamp(path) for path in paths], left_out])
    memory = joblib.Memory(cache, mmap_mode="r", verbose=0)
    data = memory.cache(compute_spectrograms)(folder, {name: settings[name] for name in SETTINGS}, floor_db, state)
    memory.reduce_size(items_limit=KEPT)
    return data


def compute_spectrograms(folder, settings, floor_db, state):
    """What load_spectrograms gives. state: a digest of the files; where it differs, the cache is not used."""
    sounds, labels, paths, left_out = load_one_shots(folder, settings["rate"], settings["seconds"])
    loud, rate = np.abs(sounds).max(1) > 0, settings["rate"]
    left_out += [f"{paths[i]}: expected a sound, found silence" for i in np.flatnonzero(~loud)]
    if not loud.any():
        raise ValueError(f"{folder}: expected sounds, found silence")
    sounds, paths = sounds[loud], [paths[i] for i in np.flatnonzero(loud)]
    return {"spectrograms": spectrograms_of(sounds, settings, floor_db), "labels": labels[loud], "paths": paths,
            "names": [path.relative_to(folder).with_suffix("").as_posix() for path in paths], "left_out": left_out,
            "levels": np.array([level_db(sound, rate) for sound in sounds]), "settings": settings,
            "durations": np.array([duration_of(sound, rate) for sound in sounds]), "samples": sounds.shape[1]}


def mean_and_deviation(spectrograms, index):
    """Of all values of some spectrograms, to three decimals; summed a few at a time, as all would be large."""
    parts = np.array_split(index, range(64, len(index), 64))
    count = len(index) * spectrograms[0].size
    mean = sum(spectrograms[part].sum(dtype=np.float64) for part in parts) / count
    squares = sum(np.square(spectrograms[part] - mean).sum() for part in parts)
    return round(float(mean), 3), round(float(np.sqrt(squares / (count - 1))), 3)


def to_tensors(sound, *parts):
    """Spectrograms in the model's units and their labels, to train with: float16 (n, bands, frames), int64 (n,).

    parts: (dictionary of load_spectrograms, indices of the sounds to take from it).
    """
    shape = parts[0][0]["spectrograms"].shape[1:]
    x, end = torch.empty(sum(len(index) for _, index in parts), *shape, dtype=torch.float16), 0
    for data, index in parts:
        for chosen in np.array_split(index, range(64, len(index), 64)):
            x[end:end + len(chosen)] = normalise(torch.as_tensor(data["spectrograms"][chosen]), sound)
            end += len(chosen)
    return x, torch.cat([torch.as_tensor(data["labels"][index]).long() for data, index in parts])


def make_augmentation(amount, floor):
    """The augmentation of training spectrograms: pitch, length and tone vary, as on a machine's knobs.

    Half an octave (24 bands at 48 an octave) and half an octave of length either way, and some dB from end to end, at
    amount 1; three in ten stay as they are. floor: silence, in the model's units.
    """
    def augment(x, generator):
        """x (B, bands, frames) -> the same shape."""
        x = x.float()
        if not amount:
            return x
        uniform = torch.rand(4, len(x), generator=generator)
        moved = (uniform[0] > 0.3).float() * amount                                   # (B,)
        peak = x.amax((1, 2), keepdim=True)
        grid = torch.zeros(len(x), 2, 3)
        grid[:, 0, 0] = torch.exp2((uniform[1] - 0.5) * moved)
        grid[:, 0, 2] = grid[:, 0, 0] - 1  # time is stretched from its beginning
        grid[:, 1, 1] = 1
        grid[:, 1, 2] = (uniform[2] - 0.5) * moved * 48 * 2 / x.shape[1]
        grid = F.affine_grid(grid, (len(x), 1, *x.shape[1:]), align_corners=False)    # (B, bands, frames, 2)
        y = F.grid_sample(x[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
        y = y + torch.linspace(-1, 1, x.shape[1])[:, None] * ((uniform[3] - 0.5) * moved * 0.5)[:, None, None]
        y = (y + peak - y.amax((1, 2), keepdim=True)).clamp_min(floor)
        return torch.where(moved[:, None, None] > 0, y, x)

    return augment
