"""Turn sounds into pictures: audio files to the coefficients of a non-stationary Gabor transform, with the way back.

    python audio2nsgt.py -i dataset_audio/ -o results -d 1              # complex coefficients, every frame
    python audio2nsgt.py -i dataset_audio/ -o results20 --seconds 0.5   # magnitudes, 20 frames a block
    python audio2nsgt.py -i dataset_audio/kit/Snare.wav -d 1 --check --plot snare.png
    python audio2nsgt.py -i dataset_audio/ -o results -d 1 --workers 4
    python audio2nsgt.py -i /data/sounds -o /data/results --scheduler tcp://host:8786

The output has the tree of the input, one .npy a sound of shape (frames, bands); nsgt.json beside them keeps every
parameter, so that `python griffin_lim.py results/kit/Snare.npy -o snare.wav` needs no options. A second run does only
what is missing or stale.
"""

import contextlib
import functools
import importlib
import json
import os
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import USER_ERRORS, Parser, number, one_line, replacing, run

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config
from matplotlib.figure import Figure
from tqdm import tqdm

from formats.audio import SUFFIXES, fit_length, load_audio
from transforms.nsgt import NSGT
from transforms.scales import LogScale, MelScale, OctScale

INDEX = "nsgt.json"
SETTINGS = ("scale", "rate", "downsample", "min_freq", "max_freq", "bins", "seconds")
SCALES = {"oct": OctScale, "log": LogScale, "mel": MelScale}


def block_rms(magnitude, downsample):
    """The root of the mean square of blocks of `downsample` frames: (bands, frames) to (bands, blocks).

    The last block may be shorter. Energy is kept, where a mean of magnitudes would lose it.
    """
    starts = np.arange(0, magnitude.shape[-1], downsample)
    sums = np.add.reduceat(np.square(magnitude, dtype=np.float64), starts, axis=-1)
    return np.sqrt(sums / np.diff(starts, append=magnitude.shape[-1])).astype(np.float32)


def make_transform(settings, samples, dtype="float32", device="cpu"):
    """The NSGT that nsgt.json describes, for sounds of that many samples: all bands, in matrix form."""
    scale = SCALES[settings["scale"]](settings["min_freq"], settings["max_freq"], settings["bins"])
    return NSGT(scale, settings["rate"], samples, matrixform=True, dtype=dtype, device=device)


@functools.lru_cache(maxsize=8)
def _transform(settings, samples):
    """make_transform, remembered, of the items of a dictionary; with the text of its warning or None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        transform = make_transform(dict(settings), samples)
    return transform, next((str(warning.message) for warning in caught), None)


def load_sound(path, settings):
    """A sound at the rate and length that the settings of nsgt.json ask for: float32, shape (samples,)."""
    samples, rate = load_audio(path, settings["rate"])
    if settings["seconds"] is not None:
        samples = fit_length(samples, round(settings["seconds"] * rate))
    if len(samples) < 4:
        raise ValueError(f"{path}: expected at least 4 samples at {rate} Hz, found {len(samples)}; --seconds pads it")
    return samples


def convert_file(source, target, settings):
    """Write the coefficients of one sound as `target`; returns what nsgt.json keeps of it, and a warning or None.

    With downsample 1 the file holds complex64 (frames, bands), else magnitudes, float32 (blocks, bands).
    """
    stamp = file_stamp(source)
    samples = load_sound(source, settings)
    transform, warning = _transform(tuple(settings.items()), len(samples))
    with torch.inference_mode():
        coefficients = transform.forward(samples).numpy()  # (bands, frames)
    if settings["downsample"] > 1:
        coefficients = block_rms(np.abs(coefficients), settings["downsample"])
    with replacing(target) as temporary:
        np.save(temporary, np.ascontiguousarray(coefficients.T))
    return {"source": str(source), "stamp": stamp, "samples": len(samples)}, warning


def file_stamp(path):
    """Size in bytes and time of the last change: another stamp means that a sound has to be converted again."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def reconstruction_error(source, target, settings):
    """How far the way there and back changes a sound, in dB re the sound; -inf for silence.

    The way leads through the file `target` where that holds complex coefficients, else through the transform alone, as
    magnitudes have no way back without griffin_lim.py.
    """
    samples = load_sound(source, settings)
    transform, _ = _transform(tuple(settings.items()), len(samples))
    coefficients = np.load(target).T if settings["downsample"] == 1 else transform.forward(samples)
    error = np.linalg.norm(transform.backward(coefficients).numpy() - samples)
    with np.errstate(divide="ignore"):
        return float(20 * np.log10(error / np.linalg.norm(samples))) if error else -np.inf


def find_sounds(folder):
    """The sounds of a folder and below, or the one file: a dictionary from output name (a/b.npy) to path, sorted.

    Two sounds that differ in the suffix alone keep it: a.wav.npy, a.flac.npy.
    """
    folder = Path(folder)
    if not folder.is_dir():
        os.stat(folder)  # a missing one is an OSError that names it
        return {f"{folder.stem}.npy": folder}
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"{folder}: expected sounds ({' '.join(SUFFIXES)}), found none")
    stems = [path.relative_to(folder).with_suffix("") for path in paths]
    counts = Counter(stems)
    return {(path.relative_to(folder) if counts[stem] > 1 else stem).as_posix() + ".npy": path
            for path, stem in zip(paths, stems)}


def convert_folder(sounds, output, settings, workers=1, scheduler=None, overwrite=False, check=False):
    """Convert the sounds of a folder to coefficients, one .npy each, and write nsgt.json beside them.

    Args:
        sounds: a folder, walked whole, or a file.
        output: the folder for the results, of the same tree.
        settings: a dictionary of SETTINGS' names: scale, rate (Hz), downsample, min_freq, max_freq (Hz), bins, seconds.
        workers: processes on this machine.
        scheduler: the address of a Dask scheduler to use in their place; its workers must see the same folders.
        overwrite: convert again what is there already and up to date.
        check: measure the reconstruction error of every sound.

    Returns:
        A dictionary: converted, skipped (counts), failed ({path: reason}), errors ({path: dB}) with check, seconds of
        audio converted, warnings ({text: count}), elapsed (seconds).
    """
    job = importlib.import_module(Path(__file__).stem)._job  # by its name: workers cannot see what runs as __main__
    sounds, output = find_sounds(sounds), Path(output)
    try:
        _transform(tuple(settings.items()), settings["rate"])  # a wrong scale is said once, before any work
    except ValueError as error:
        raise ValueError(f"--min_freq, --max_freq, --bins or --rate: {error}") from error
    index = output / INDEX
    known = read_index(index)["files"] if index.exists() else {}
    if known and read_index(index)["settings"] != settings:
        if others := sorted(set(known) - set(sounds)):
            raise ValueError(f"{index}: {len(others)} other sounds ({others[0]}, ...) are there with other parameters; "
                             "choose another output folder")
        known = {}
    stale = [name for name, path in sounds.items() if overwrite or not _up_to_date(name, path, output, known)]
    names = list(sounds) if check else stale
    result = {"converted": 0, "skipped": len(sounds) - len(stale), "failed": {}, "errors": {}, "seconds": 0.0,
              "warnings": Counter()}
    began = saved = time.perf_counter()
    todo = set(stale)
    jobs = (delayed(job)(name, sounds[name].resolve(), (output / name).resolve(), settings, name in todo, check)
            for name in names)
    with _backend(workers, scheduler) as options:
        done = Parallel(return_as="generator_unordered", **options)(jobs) if names else ()
        for name, record, warning, error, reason in tqdm(done, total=len(names), unit="sound", disable=None):
            if reason:
                result["failed"][str(sounds[name])] = reason
                known.pop(name, None)
                continue
            if record:
                known[name] = record
                result["converted"] += 1
                result["seconds"] += record["samples"] / settings["rate"]
            if warning:
                result["warnings"][warning] += 1
            if check:
                result["errors"][str(sounds[name])] = error
            if time.perf_counter() - saved > 5:  # so that a job that is stopped keeps what it has done
                _write_index(index, settings, known)
                saved = time.perf_counter()
    if known:
        _write_index(index, settings, known)
    result["elapsed"] = time.perf_counter() - began
    return result


def _job(name, source, target, settings, convert, check):
    """One sound in a worker: (name, record, warning, error in dB, reason of failure), None where there is none."""
    torch.set_num_threads(1)  # the workers share the processor already
    record = warning = error = None
    try:
        if convert:
            record, warning = convert_file(source, target, settings)
        if check:
            error = reconstruction_error(source, target, settings)
    except USER_ERRORS as reason:
        return name, None, None, None, one_line(reason)
    return name, record, warning, error, None


def _up_to_date(name, path, output, known):
    """Is the sound's file there, made with these settings from this very file?"""
    record = known.get(name)
    if record is None or not (output / name).is_file():
        return False
    return record["source"] == str(path.resolve()) and record["stamp"] == file_stamp(path)


@contextlib.contextmanager
def _backend(workers, scheduler):
    """The options of joblib.Parallel: processes of this machine, or those of a Dask cluster."""
    if scheduler is None:
        yield {"n_jobs": workers}
        return
    try:
        client_of = importlib.import_module("dask.distributed").Client
    except ImportError as error:
        raise ValueError("--scheduler: needs the package dask (pip install \"dask[distributed]\")") from error

    with client_of(scheduler) as client:
        for module in ("command_line.py", "nonstationary_gabor.py", Path(__file__).name):  # each after those it needs
            client.upload_file(str(Path(__file__).with_name(module)))  # for workers of today and of later
        with parallel_config(backend="dask", wait_for_workers_timeout=60):
            yield {"n_jobs": -1}


def read_index(path):
    """The parsed nsgt.json: {"settings": {...}, "files": {name: {"source", "stamp", "samples"}}}."""
    try:
        index = json.loads(Path(path).read_text(encoding="utf-8"))
        if set(index["settings"]) != set(SETTINGS) or not isinstance(index["files"], dict):
            raise KeyError("settings")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the {INDEX} of an audio2nsgt.py, found something else ({error})") from error
    return index


def _write_index(path, settings, files):
    with replacing(path) as temporary:
        text = json.dumps({"settings": settings, "files": dict(sorted(files.items()))}, indent=1)
        temporary.write_text(text, encoding="utf-8")


def load_transform(path):
    """Read one .npy of this script, and what the nsgt.json beside or above it says of it.

    Returns:
        (picture, settings, samples): complex64 or float32 (frames, bands); the settings; the sound's length in samples.

    Raises:
        OSError, ValueError: naming the file, where it or its nsgt.json cannot be read or they do not fit.
    """
    path = Path(path).resolve()
    index = next((folder / INDEX for folder in path.parents if (folder / INDEX).is_file()), None)
    try:
        picture = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected a .npy of audio2nsgt.py, found a file that is none ({error})") from error
    if index is None:
        raise ValueError(f"{path}: expected {INDEX} in its folder or one above, found none")
    described = read_index(index)
    record = described["files"].get(path.relative_to(index.parent).as_posix())
    if record is None:
        raise ValueError(f"{path}: expected to be described in {index}, which does not know it")
    if picture.ndim != 2 or picture.dtype not in (np.complex64, np.float32) or not np.isfinite(picture).all():
        raise ValueError(f"{path}: expected finite complex64 or float32 of shape (frames, bands), found "
                         f"{picture.dtype} of shape {picture.shape}, or values not finite")
    return picture, described["settings"], record["samples"]


def load_transforms(folder):
    """Read all pictures of a folder that convert_folder wrote.

    Returns:
        (pictures, names, settings): a list of (frames, bands) arrays in the order of their names; the names without
        suffix ("Kick/one"); the settings.

    Raises:
        OSError, ValueError: naming the file.
    """
    folder = Path(folder)
    index = read_index(folder / INDEX)
    names = sorted(index["files"])
    if not names:
        raise ValueError(f"{folder / INDEX}: expected sounds, found none")
    pictures = [load_transform(folder / name)[0] for name in names]
    return pictures, [name.removesuffix(".npy") for name in names], index["settings"]


def plot_sound(path, settings, figure_path):
    """Draw a sound: its waveform, its coefficients on their frequency axis in dB, and what comes back from them."""
    samples = load_sound(path, settings)
    transform, _ = _transform(tuple(settings.items()), len(samples))
    coefficients = transform.forward(samples)
    back = transform.backward(coefficients).numpy()
    magnitude = coefficients.abs().numpy()
    level = 20 * np.log10(np.maximum(magnitude / max(magnitude.max(), 1e-30), 1e-5))
    seconds = np.arange(len(samples)) / settings["rate"]
    error = np.linalg.norm(back - samples) / max(np.linalg.norm(samples), 1e-30)

    figure = Figure(figsize=(9, 8), layout="constrained")
    wave, picture, again = figure.subplots(3, 1, sharex=True, height_ratios=(1, 2.5, 1))
    wave.plot(seconds, samples, linewidth=0.6)
    wave.set(ylabel="amplitude", title=Path(path).name)
    # each band is drawn from midway to the band below to midway to the band above; 0 Hz has no place on a log axis
    centres = transform.frequencies
    edges = np.concatenate(([centres[1] ** 2 / centres[2]], np.sqrt(centres[1:-1] * centres[2:]), centres[-1:]))
    frames = np.linspace(0, len(samples) / settings["rate"], magnitude.shape[1] + 1)
    image = picture.pcolormesh(frames, edges, level[1:], cmap="magma", rasterized=True)
    picture.set(yscale="linear" if settings["scale"] == "mel" else "log", ylabel="frequency (Hz)",
                title=f"{len(centres)} bands x {magnitude.shape[1]} frames, {settings['scale']} scale")
    figure.colorbar(image, ax=picture, label="magnitude (dB re maximum)")
    again.plot(seconds, back, linewidth=0.6)
    again.set(ylabel="amplitude", xlabel="time (s)", xlim=(0, len(samples) / settings["rate"]),
              title=f"reconstruction, error {20 * np.log10(max(error, 1e-30)):.0f} dB")
    with replacing(figure_path) as temporary:
        figure.savefig(temporary, dpi=130)


def main(argv=None):
    """Convert a file or a folder as the command line says; returns the dictionary of convert_folder, or status 1."""
    parser = Parser(__doc__)
    parser.add_argument("-i", "--input", type=Path, default=Path(__file__).parent / "dataset_audio", metavar="PATH",
                        help="a sound, or a folder of sounds, walked whole (default: dataset_audio)")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER",
                        help="the folder for the coefficients (default: results)")
    group = parser.add_argument_group("the transform")
    group.add_argument("-s", "--scale", choices=sorted(SCALES), default="oct", help="spacing of bands (default: oct)")
    group.add_argument("-r", "--rate", type=number(int, 1000, 384000), default=22050, metavar="HZ",
                       help="sample rate that sounds are brought to (default: 22050)")
    group.add_argument("-d", "--downsample", type=number(int, 1), default=20, metavar="D",
                       help="frames per block of magnitudes (default: 20); 1: every frame, with its phase")
    group.add_argument("--min_freq", type=number(float, 1e-3), default=30.0, metavar="HZ", help="default: 30")
    group.add_argument("--max_freq", type=number(float, 1e-3), default=11000.0, metavar="HZ",
                       help="default: 11000; keep it near half of --rate: a gap is a wide band of many frames")
    group.add_argument("--bins", type=number(int, 1), default=48, metavar="N",
                       help="bands an octave (oct) or in all (log, mel); default: 48")
    group.add_argument("--seconds", type=number(float, 1e-3, 3600), metavar="S",
                       help="pad or trim every sound, with a short fade (default: each its own length)")
    group = parser.add_argument_group("the work")
    group.add_argument("--workers", type=number(int, 1), default=1, metavar="N", help="processes (default: 1)")
    group.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, tcp://host:8786, to work there")
    group.add_argument("--overwrite", action="store_true", help="convert again what is up to date")
    group.add_argument("--check", action="store_true", help="print the reconstruction error of every sound, in dB")
    group.add_argument("--plot", type=Path, metavar="FILE", help="draw the (first) sound into a file (.png .pdf .svg)")
    arguments = parser.parse_args(argv)
    settings = {name: getattr(arguments, name) for name in SETTINGS}

    result = convert_folder(arguments.input, arguments.output, settings, arguments.workers, arguments.scheduler,
                            arguments.overwrite, arguments.check)
    for path, error in sorted(result["errors"].items()):
        print(f"{error:8.1f} dB  {path}")
    for text, count in list(result["warnings"].items())[:1]:
        more = sum(result["warnings"].values()) - count
        text += f"; and {more} sounds of other lengths alike" if more else ""
        print(f"{count} sound{'s' * (count > 1)}: {text}", file=sys.stderr)
    for path, reason in sorted(result["failed"].items()):
        print(f"left out: {reason if path in reason else f'{path}: {reason}'}", file=sys.stderr)
    speed = f" in {result['elapsed']:.1f} s: {result['converted'] / result['elapsed']:.1f} files/s, " \
            f"{result['seconds'] / result['elapsed']:.1f} s of audio a second" if result["converted"] else ""
    print(f"{arguments.output}: {result['converted']} converted{speed}; {result['skipped']} up to date, "
          f"{len(result['failed'])} left out")
    if result["converted"] + result["skipped"] == 0:
        return 1
    if arguments.plot:
        usable = [path for path in find_sounds(arguments.input).values() if str(path) not in result["failed"]]
        plot_sound(usable[0], settings, arguments.plot)
        print(f"{arguments.plot}: {usable[0]}")
    return result


if __name__ == "__main__":
    run(main)
