"""Sounds as a model sees them: log magnitudes of a Gabor transform, on a time axis that is fine at the attack.

    data = load_spectrograms("dataset_audio", dict(rate=44100, seconds=1.5))
    data["spectrograms"]    # float16 (n, bands, frames), in dB re the loudest point of each, from floor_db to 0

The bands are those of the NSGT; a frame is the mean power between two moments of `frame_edges`, 1.5 ms apart at the
attack and 60 ms after 1.5 s: what a drum does, it does at once. Short sounds get a short transform: the cost is in
proportion. Spectrograms of a folder are kept in data/spectrograms and read from there, without decoding a sound, until
a file or a setting changes.
"""

import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import torch
import torch.nn.functional as F

from audio2nsgt import file_stamp, make_transform
from command_line import ROOT, Progress
from formats.audio import load_audio
from sounds.dataset import duration_of, find_one_shots, level_db, shortened

CACHE = ROOT / "data" / "spectrograms"
KEPT = 8  # folders and settings that the cache holds; those not used for longest go first
FLOOR_DB = -70.0
DEFAULTS = dict(scale="oct", rate=44100, min_freq=30.0, max_freq=20000.0, bins=24, seconds=1.5, frames=96)
GROWTH = 3.7  # the last frame is exp(3.7) = 40 times as long as the first
LENGTHS = (0.2, 0.4, 0.65, 1.0)  # of the longest sound: those of the transforms
LEAD, REST = 0.02, 0.05  # seconds of silence in front of a sound and behind it, as the transform is circular


def frame_edges(settings):
    """The moments between which a frame lies, in seconds from the attack: (frames + 1,)."""
    place = np.arange(settings["frames"] + 1) / settings["frames"]
    return settings["seconds"] * np.expm1(GROWTH * place) / np.expm1(GROWTH)


def transform_for(samples, settings):
    """The NSGT for a sound of so many samples: the shortest of LENGTHS that holds it and the silence around it."""
    sizes, needed = transform_sizes(settings), samples + round(settings["rate"] * (LEAD + REST))
    size = next((size for size in sizes if size >= needed), sizes[-1])
    return _transform(tuple(sorted(settings.items())), size)


def transform_sizes(settings):
    """The samples of each of LENGTHS with the silence around a sound."""
    rate, longest = settings["rate"], settings["seconds"]
    return [round(rate * share * longest) + round(rate * (LEAD + REST)) for share in LENGTHS]


def plan_transforms(settings):
    """Make the transforms of all lengths, so that no sound has to wait for its own: 0.1 s, and nothing from then on."""
    for size in transform_sizes(settings):
        _transform(tuple(sorted(settings.items())), size)


@functools.lru_cache(maxsize=16)
def _transform(settings, size):
    return make_transform(dict(settings), size)


def coefficients(samples, settings):
    """A sound (n,) as (complex coefficients (bands, frames of the transform), the transform); see LEAD."""
    transform, lead = transform_for(len(samples), settings), round(LEAD * settings["rate"])
    padded = np.zeros(transform.Ls, np.float32)
    padded[lead:lead + len(samples)] = samples
    with torch.inference_mode():
        return transform.forward(torch.from_numpy(padded)[None])[0], transform


def frame_times(transform):
    """The middle of each frame of the transform, in seconds from the attack: (frames,)."""
    count = int(transform.frames[0])
    return (np.arange(count) + 0.5) * transform.Ls / transform.fs / count - LEAD


@functools.lru_cache(maxsize=16)
def _pooling(settings, size):
    """The mean over the frames of a transform within each frame of the spectrogram: a matrix (frames, frames)."""
    settings = dict(settings)
    times, edges = frame_times(_transform(tuple(sorted(settings.items())), size)), frame_edges(settings)
    half = (times[1] - times[0]) / 2
    shared = (np.minimum(times[:, None] + half, edges[1:]) - np.maximum(times[:, None] - half, edges[:-1])).clip(0)
    return torch.from_numpy(shared / np.maximum(shared.sum(0), 1e-12)).float()  # 0 behind the transform's end


def spectrogram_of(samples, settings, floor_db=FLOOR_DB, found=None):
    """A sound (n,) in dB re its loudest point, float32 (bands, frames); silence is floor_db everywhere.

    found: its coefficients and transform, where they are there already.
    """
    c, transform = found or coefficients(samples, settings)
    power = c.real.square() + c.imag.square()
    power = power @ _pooling(tuple(sorted(settings.items())), transform.Ls)           # (bands, frames)
    # behind the end lies what the transform, which is circular, has of low bands before the attack
    power[:, torch.from_numpy(frame_edges(settings)[:-1] * settings["rate"] >= len(samples))] = 0
    relative = power / power.max().clamp_min(1e-30)
    return 10 * torch.log10(relative.clamp_min(10 ** (floor_db / 10)))


def normalise(decibels, sound):
    """Spectrograms in dB to the model's units; sound: what its checkpoint says of its sounds.  (...) -> (...)"""
    return (decibels.float() - sound["mean"]) / sound["deviation"]


def denormalise(x, sound):
    """Spectrograms in the model's units to dB, from the floor to 0.  (...) -> (...)"""
    return (x.float() * sound["deviation"] + sound["mean"]).clamp(sound["floor_db"], 0)


def load_spectrograms(folder, settings=None, floor_db=FLOOR_DB, cache=CACHE):
    """The sounds of a folder with a subfolder a class: a dictionary.

    spectrograms: float16 (n, bands, frames), see above, mapped from the cache. labels: uint8 (n,), rows. names: below
    the folder, without suffix. paths, levels, durations: each sound's file, its level_db and its duration_of in
    seconds. settings. left_out: a line for each file that is not in it, with the reason. Raises OSError or ValueError,
    naming the folder.
    """
    folder, settings = Path(folder), {**DEFAULTS, **(settings or {})}
    paths, _, left_out = find_one_shots(folder)
    state = joblib.hash([[file_stamp(path) for path in paths], left_out])
    memory = joblib.Memory(cache, mmap_mode="r", verbose=0)
    data = memory.cache(compute_spectrograms)(folder, {name: settings[name] for name in DEFAULTS}, floor_db, state)
    memory.reduce_size(items_limit=KEPT)
    return data


def compute_spectrograms(folder, settings, floor_db, state):
    """What load_spectrograms gives. state: a digest of the files; where it differs, the cache is not used."""
    paths, rows, left_out = find_one_shots(folder)
    rate, found, kept = settings["rate"], [], []

    def see(path):
        try:
            samples = shortened(load_audio(path, rate)[0], rate, settings["seconds"])
        except (ValueError, OSError) as error:
            return str(error)
        if not np.abs(samples).max() > 0:
            return f"{path}: expected a sound, found silence"
        picture = spectrogram_of(samples, settings, floor_db).half().numpy()
        return picture, level_db(samples, rate), duration_of(samples, rate) / rate

    with one_thread_each(), ThreadPoolExecutor(2) as pool:
        for i, seen in enumerate(Progress(pool.map(see, paths), "making spectrograms", "sounds", total=len(paths))):
            if isinstance(seen, str):
                left_out.append(seen)
            else:
                found.append(seen)
                kept.append(i)
    if not found:
        raise ValueError(f"{folder}: expected sounds, found none that can be used: {left_out[-1]}")
    pictures, levels, durations = zip(*found)
    return {"spectrograms": np.stack(pictures), "labels": np.array(rows, np.uint8)[kept], "left_out": left_out,
            "paths": [paths[i] for i in kept], "settings": settings, "levels": np.array(levels),
            "names": [paths[i].relative_to(folder).with_suffix("").as_posix() for i in kept],
            "durations": np.array(durations)}


@contextlib.contextmanager
def one_thread_each():
    """One thread of torch's own: while sounds are worked on side by side, more would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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


def make_augmentation(amount, floor, bins=DEFAULTS["bins"]):
    """The augmentation of training spectrograms: pitch, length and tone vary, as on a machine's knobs.

    Half an octave of pitch and of length either way, and some dB from end to end, at amount 1; three in ten stay as
    they are. floor: silence, in the model's units. bins: bands an octave.
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
        grid[:, 1, 2] = (uniform[2] - 0.5) * moved * bins * 2 / x.shape[1]
        grid = F.affine_grid(grid, (len(x), 1, *x.shape[1:]), align_corners=False)    # (B, bands, frames, 2)
        y = F.grid_sample(x[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
        y = y + torch.linspace(-1, 1, x.shape[1])[:, None] * ((uniform[3] - 0.5) * moved * 0.5)[:, None, None]
        y = (y + peak - y.amax((1, 2), keepdim=True)).clamp_min(floor)
        return torch.where(moved[:, None, None] > 0, y, x)

    return augment
