"""Sounds as a model sees them: a folder of one-shots becomes log magnitudes of one size, with their classes.

    data = load_spectrograms("dataset_audio", dict(rate=22050, seconds=0.5))
    data["spectrograms"]    # float16 (n, bands, frames), in dB re the loudest point of each, from floor_db to 0

The settings are those of nsgt.json. What was computed of a folder of audio is kept in data/spectrograms, one entry a
folder, and read from there, without decoding a sound, until a file or a setting changes.
"""

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from audio2nsgt import INDEX, SETTINGS, load_transforms, make_transform
from command_line import ROOT, replacing, write_json
from formats.activation_matrix import INSTRUMENTS
from sounds.dataset import class_from_name, duration_of, find_one_shots, level_db, load_one_shots

CACHE = ROOT / "data" / "spectrograms"
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
    """A folder of audio by class, or what audio2nsgt.py wrote of one: a dictionary.

    spectrograms: float16 (n, bands, frames), see above, mapped from the cache where it is a folder of audio. labels:
    uint8 (n,), rows. names: below the folder, without suffix. paths, levels, durations: each sound's file, its level_db
    and its duration_of in samples; None where the folder holds transforms. settings, samples: of the transform.
    left_out: a line for each file that is not in it, with the reason. Raises OSError or ValueError, naming the folder.
    """
    folder = Path(folder)
    if (folder / INDEX).is_file():
        return load_npy_spectrograms(folder, floor_db)
    settings = {**DEFAULTS, **(settings or {})}
    paths, _, strangers = find_one_shots(folder)
    stamps = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    own, state = (hashlib.sha256(json.dumps(part).encode()).hexdigest()[:16] for part in (
        str(folder.resolve()), [stamps, strangers, {name: settings[name] for name in SETTINGS}, floor_db]))
    array, rest = (Path(cache) / f"{own}_{state}{suffix}" for suffix in (".npy", ".json"))
    if not (array.is_file() and rest.is_file()):
        fill_cache(array, rest, folder, settings, floor_db)
        for old in {*array.parent.glob(f"{own}_*")} - {array, rest}:
            with contextlib.suppress(OSError):  # another process may use it
                old.unlink()
    found = json.loads(rest.read_text())
    files = found.pop("files")
    return {**found, "spectrograms": np.load(array, mmap_mode="r"), "labels": np.array(found["labels"], np.uint8),
            "names": [Path(file).with_suffix("").as_posix() for file in files],
            "paths": [folder / file for file in files], "levels": np.array(found["levels"]),
            "durations": np.array(found["durations"]), "settings": settings}


def fill_cache(array, rest, folder, settings, floor_db):
    """Write the spectrograms of a folder's sounds into `array` (.npy), and what else is known of them into `rest`."""
    sounds, labels, paths, left_out = load_one_shots(folder, settings["rate"], settings["seconds"])
    loud = np.abs(sounds).max(1) > 0
    left_out += [f"{path}: expected a sound, found silence" for path, is_loud in zip(paths, loud) if not is_loud]
    if not loud.any():
        raise ValueError(f"{folder}: expected sounds, found silence")
    sounds, rate = sounds[loud], settings["rate"]
    with replacing(array) as temporary:
        np.save(temporary, spectrograms_of(sounds, settings, floor_db))
    write_json(rest, {
        "files": [path.relative_to(folder).as_posix() for path, is_loud in zip(paths, loud) if is_loud],
        "labels": labels[loud].tolist(), "levels": [level_db(sound, rate) for sound in sounds],
        "durations": [duration_of(sound, rate) for sound in sounds], "samples": sounds.shape[1], "left_out": left_out})


def load_npy_spectrograms(folder, floor_db=FLOOR_DB):
    """The same of a folder of .npy that audio2nsgt.py wrote; only those of the most frequent size are taken."""
    arrays, names, settings = load_transforms(folder)
    rows = [next((row for row in map(class_from_name, reversed(name.split("/")[:-1])) if row is not None), None)
            for name in names]
    shapes = [array.shape for array in arrays]
    common = max(set(shapes), key=lambda shape: (shapes.count(shape), shape))
    left_out = [f"{folder / name}.npy: " + (
        f"no folder around it is named after a class ({', '.join(INSTRUMENTS)})" if row is None else
        f"expected {common[0]} frames x {common[1]} bands as most have, found {shape[0]} x {shape[1]}; "
        f"audio2nsgt.py --seconds makes all sounds of one length")
        for name, shape, row in zip(names, shapes, rows) if row is None or shape != common]
    kept = [i for i, row in enumerate(rows) if row is not None and shapes[i] == common]
    if not kept:
        raise ValueError(f"{folder}: expected transforms in subfolders named after classes, found none: {left_out[0]}")
    magnitudes = np.stack([np.abs(arrays[i]).T for i in kept])
    index = json.loads((folder / INDEX).read_text())
    return {"spectrograms": to_decibels(magnitudes, floor_db)[0].numpy().astype(np.float16),
            "labels": np.array([rows[i] for i in kept], np.uint8), "names": [names[i] for i in kept], "paths": None,
            "levels": None, "durations": None, "settings": settings,
            "samples": index["files"][names[kept[0]] + ".npy"]["samples"], "left_out": left_out}


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
    """What is done to a batch of training spectrograms: pitch, length and tone vary, as on a machine's knobs.

    Half an octave (24 bands at 48 an octave) and half an octave of length either way, and some dB from end to end, at
    amount 1; three in ten stay as they are. floor: silence, in the model's units.
    """
    def vary(x, generator):
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
        slope = torch.linspace(-1, 1, x.shape[1])[:, None] * ((uniform[3] - 0.5) * moved * 0.5)[:, None, None]
        y = y + slope
        y = (y + peak - y.amax((1, 2), keepdim=True)).clamp_min(floor)
        return torch.where(moved[:, None, None] > 0, y, x)

    return vary
