"""Convert audio files to the coefficients of a non-stationary Gabor transform (NSGT), which has an exact inverse.

    python audio2nsgt.py -i dataset_audio/ -o results -d 1              # complex coefficients, every frame
    python audio2nsgt.py -i dataset_audio/ -o results20 --seconds 0.5   # magnitudes, 20 frames a block
    python audio2nsgt.py -i dataset_audio/kit/Snare.wav -d 1 --check    # and the error of the way back
    python audio2nsgt.py -i dataset_audio/ -o results -d 1 --workers 4
    python audio2nsgt.py -i /data/sounds -o /data/results --scheduler tcp://host:8786

The output has the tree of the input, one .npy a sound of shape (frames, bands); nsgt.json beside them keeps all
parameters, so that `python griffin_lim.py results/kit/Snare.npy -o snare.wav` needs no options. A second run converts
only sounds that are new or changed.
"""

import contextlib
import functools
import importlib
import json
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

# first: it sets variables that torch reads when it is imported
from command_line import (ROOT, USER_ERRORS, Parser, Progress, find_files, number, one_line, replacing, run,
                          write_json)

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config

from formats.audio import SUFFIXES, fit_length, load_audio
from transforms.nsgt import NSGT
from transforms.scales import LogScale, MelScale, OctScale

INDEX = "nsgt.json"
SETTINGS = ("scale", "rate", "downsample", "min_freq", "max_freq", "bins", "seconds")
SCALES = {"oct": OctScale, "log": LogScale, "mel": MelScale}


def block_rms(magnitude, downsample):
    """The root mean squares of blocks of `downsample` frames: (bands, frames) -> (bands, blocks)."""
    starts = np.arange(0, magnitude.shape[-1], downsample)
    sums = np.add.reduceat(np.square(magnitude, dtype=np.float64), starts, axis=-1)
    return np.sqrt(sums / np.diff(starts, append=magnitude.shape[-1])).astype(np.float32)


def make_transform(settings, samples, device="cpu"):
    """The NSGT that nsgt.json describes, for sounds of that many samples: all bands, in matrix form, float32."""
    scale = SCALES[settings["scale"]](settings["min_freq"], settings["max_freq"], settings["bins"])
    with warnings.catch_warnings(action="ignore"):  # windows widened at low frequencies do no harm to the inverse
        return NSGT(scale, settings["rate"], samples, matrixform=True, dtype="float32", device=device)


@functools.lru_cache(maxsize=8)
def _transform(settings, samples):
    """make_transform of the items of a dictionary, cached."""
    return make_transform(dict(settings), samples)


def _load(path, settings):
    """A sound at the rate and length that the settings ask for, float32 (samples,), and the transform for it."""
    samples, rate = load_audio(path, settings["rate"])
    if settings["seconds"] is not None:
        samples = fit_length(samples, round(settings["seconds"] * rate))
    if len(samples) < 4:
        raise ValueError(f"{path}: expected at least 4 samples at {rate} Hz, found {len(samples)}; --seconds pads it")
    return samples, _transform(tuple(settings.items()), len(samples))


def convert_file(source, target, settings):
    """Write the coefficients of one sound as `target`; returns its record in nsgt.json.

    With downsample 1 the file holds complex64 (frames, bands), else magnitudes, float32 (blocks, bands).
    """
    stamp = file_stamp(source)  # before it is read
    samples, transform = _load(source, settings)
    with torch.inference_mode():
        coefficients = transform.forward(samples).numpy()  # (bands, frames)
    if settings["downsample"] > 1:
        coefficients = block_rms(np.abs(coefficients), settings["downsample"])
    with replacing(target) as temporary:
        np.save(temporary, np.ascontiguousarray(coefficients.T))
    return {"stamp": stamp, "samples": len(samples)}


def file_stamp(path):
    """[path, size in bytes, time of the last change in ns]: where it differs, a sound is converted again."""
    return [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns]


def reconstruction_error(source, target, settings):
    """The error of transform and inverse, in dB re the sound; -inf for silence.

    The inverse is that of the file `target` if it holds complex coefficients, else of the transform's own.
    """
    samples, transform = _load(source, settings)
    coefficients = np.load(target).T if settings["downsample"] == 1 else transform.forward(samples)
    error = np.linalg.norm(transform.backward(coefficients).numpy() - samples)
    with np.errstate(divide="ignore"):
        return float(20 * np.log10(error / np.linalg.norm(samples))) if error else -np.inf


def convert_folder(source, output, settings, workers=1, scheduler=None, check=False):
    """Convert the sounds of a folder to coefficients, one .npy each, and write nsgt.json beside them.

    Args:
        source: a folder, walked whole, or a file.
        output: the folder for the results, of the same tree.
        settings: {name: value} of SETTINGS: scale, rate (Hz), downsample, min_freq, max_freq (Hz), bins, seconds.
        workers: processes on this machine.
        scheduler: the address of a Dask scheduler to use instead; its workers must see the same folders.
        check: measure the reconstruction error of every sound.
    Returns:
        a dict: converted, skipped (counts), failed {path: reason}, errors {path: dB} with check, seconds of audio
        converted, elapsed (seconds).
    """
    job = importlib.import_module("audio2nsgt")._job  # by its name: workers cannot see what runs as __main__
    sounds, output = find_files(source, SUFFIXES), Path(output)
    if not sounds:
        raise ValueError(f"{source}: expected sounds ({' '.join(SUFFIXES)}), found none")
    make_transform(settings, settings["rate"])  # a wrong scale is an error before any work
    index = output / INDEX
    before = read_index(index) if index.exists() else {"settings": settings, "files": {}}
    if (others := sorted(set(before["files"]) - set(sounds))) and before["settings"] != settings:
        raise ValueError(f"{index}: {len(others)} other sounds ({others[0]}, ...) are there with other parameters; "
                         "choose another output folder")
    records = before["files"] if before["settings"] == settings else {}
    stale = {name for name, path in sounds.items()
             if not (output / name).is_file() or records.get(name, {}).get("stamp") != file_stamp(path)}
    names = [name for name in sounds if check or name in stale]
    result = {"converted": 0, "skipped": len(sounds) - len(stale), "failed": {}, "errors": {}, "seconds": 0.0}
    began = time.perf_counter()
    jobs = (delayed(job)(name, sounds[name].resolve(), (output / name).resolve(), settings, name in stale, check)
            for name in names)
    with _backend(workers, scheduler) as options:
        done = Parallel(return_as="generator_unordered", **options)(jobs) if names else ()
        try:
            for name, record, error, reason in Progress(done, "converting", "sounds", total=len(names)):
                if reason:
                    result["failed"][str(sounds[name])] = reason
                    records.pop(name, None)
                    continue
                if record:
                    records[name] = record
                    result["converted"] += 1
                    result["seconds"] += record["samples"] / settings["rate"]
                if check:
                    result["errors"][str(sounds[name])] = error
        finally:  # a stopped job too keeps what it has done
            if records:
                write_json(index, {"settings": settings, "files": dict(sorted(records.items()))})
    result["elapsed"] = time.perf_counter() - began
    return result


def _job(name, source, target, settings, convert, check):
    """One sound in a worker: (name, its record, error in dB, reason of failure), each None without."""
    torch.set_num_threads(1)  # the workers share the processor already
    try:
        record = convert_file(source, target, settings) if convert else None
        return name, record, reconstruction_error(source, target, settings) if check else None, None
    except USER_ERRORS as reason:
        return name, None, None, one_line(reason)


@contextlib.contextmanager
def _backend(workers, scheduler):
    """The options of joblib.Parallel for processes of this machine, or of a Dask cluster."""
    if scheduler is None:
        yield {"n_jobs": workers}
        return
    connect = importlib.import_module("dask.distributed").Client
    with connect(scheduler) as client, tempfile.TemporaryDirectory() as folder:
        client.upload_file(_zip_of_modules(Path(folder)))  # for workers that come later, too
        with parallel_config(backend="dask", wait_for_workers_timeout=60):
            yield {"n_jobs": -1}


def _zip_of_modules(folder):
    """Write what a worker imports, this module and those it needs, as one zip in a folder; returns its path."""
    path = folder / "audio2nsgt_modules.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for pattern in ("command_line.py", "audio2nsgt.py", "formats/*.py", "transforms/*.py"):
            for module in sorted(ROOT.glob(pattern)):
                archive.write(module, module.relative_to(ROOT))
    return str(path)


def read_index(path):
    """The parsed nsgt.json: {"settings": {...}, "files": {name: {"stamp", "samples"}}}."""
    try:
        index = json.loads(Path(path).read_text(encoding="utf-8"))
        if set(index["settings"]) != set(SETTINGS) or not isinstance(index["files"], dict):
            raise KeyError("settings")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the {INDEX} of an audio2nsgt.py, found something else ({error})") from error
    return index


def load_transform(path):
    """Read one .npy of this script, and its record in the nsgt.json beside or above it.

    Returns (coefficients, settings, samples): complex64 (frames, bands) or float32 (blocks, bands); the settings; the
    sound's length in samples. OSError, ValueError, naming the file, where it or its nsgt.json cannot be used.
    """
    path = Path(path).resolve()
    index = next((folder / INDEX for folder in path.parents if (folder / INDEX).is_file()), None)
    if index is None:
        raise ValueError(f"{path}: expected {INDEX} in its folder or one above, found none")
    described = read_index(index)
    record = described["files"].get(path.relative_to(index.parent).as_posix())
    if record is None:
        raise ValueError(f"{path}: expected to be described in {index}, which does not know it")
    return _load_coefficients(path), described["settings"], record["samples"]


def _load_coefficients(path):
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected a .npy of audio2nsgt.py, found a file that is none ({error})") from error
    if found.ndim != 2 or found.dtype not in (np.complex64, np.float32) or not np.isfinite(found).all():
        raise ValueError(f"{path}: expected finite complex64 or float32 of shape (frames, bands), found "
                         f"{found.dtype} of shape {found.shape}, or values not finite")
    return found


def load_transforms(folder):
    """Read all coefficients of a folder that convert_folder wrote; errors name the file.

    Returns (coefficients, names, settings): a list of (frames, bands) arrays in the order of their names; the names
    without suffix ("Kick/one"); the settings.
    """
    folder = Path(folder)
    index = read_index(folder / INDEX)
    names = sorted(index["files"])
    if not names:
        raise ValueError(f"{folder / INDEX}: expected sounds, found none")
    coefficients = [_load_coefficients(folder / name) for name in names]
    return coefficients, [name.removesuffix(".npy") for name in names], index["settings"]


def make_parser():
    """The options of the command."""
    parser = Parser(__doc__)
    parser.add_argument("-i", "--input", type=Path, default=ROOT / "dataset_audio", metavar="PATH",
                        help="a sound, or a folder of sounds, walked whole (default: dataset_audio)")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "results", metavar="FOLDER",
                        help="the folder for the coefficients (default: results)")
    add = parser.add_argument_group("the transform").add_argument
    add("-s", "--scale", choices=sorted(SCALES), default="oct", help="spacing of bands (default: oct)")
    add("-r", "--rate", type=number(int, 1000, 384000), default=22050, metavar="HZ", help="sample rate (default 22050)")
    add("-d", "--downsample", type=number(int, 1), default=20, metavar="D",
        help="frames per block of magnitudes (default: 20); 1: every frame, with its phase")
    add("--min_freq", type=number(float, 1e-3), default=30.0, metavar="HZ", help="default: 30")
    add("--max_freq", type=number(float, 1e-3), default=11000.0, metavar="HZ",
        help="default: 11000; keep it near half of --rate: a gap is a wide band of many frames")
    add("--bins", type=number(int, 1), default=48, metavar="N", help="bands an octave (oct) or in all; default: 48")
    add("--seconds", type=number(float, 1e-3, 3600), metavar="S",
        help="pad or cut every sound, with a fade (default: each its own length)")
    add = parser.add_argument_group("the work").add_argument
    add("--workers", type=number(int, 1), default=1, metavar="N", help="processes (default: 1)")
    add("--scheduler", metavar="ADDRESS",
        help="a Dask scheduler, tcp://host:8786, to work there (needs pip install dask[distributed])")
    add("--check", action="store_true", help="print the reconstruction error of every sound, in dB")
    return parser


def print_report(result, output):
    """Print what convert_folder returned."""
    for path, error in sorted(result["errors"].items()):
        print(f"{error:8.1f} dB  {path}")
    for path, reason in sorted(result["failed"].items()):
        print(f"left out: {reason if path in reason else f'{path}: {reason}'}", file=sys.stderr)
    speed = [result[name] / result["elapsed"] if result["converted"] else 0 for name in ("converted", "seconds")]
    print(f"{output}: {result['converted']} converted in {result['elapsed']:.1f} s ({speed[0]:.1f} files/s, "
          f"{speed[1]:.1f} s of audio a second); {result['skipped']} up to date, {len(result['failed'])} left out")


def main(argv=None):
    """Convert a file or a folder by the options; returns the dictionary of convert_folder, or status 1."""
    arguments = make_parser().parse_args(argv)
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    result = convert_folder(arguments.input, arguments.output, settings, arguments.workers, arguments.scheduler,
                            arguments.check)
    print_report(result, arguments.output)
    return result if result["converted"] + result["skipped"] else 1


if __name__ == "__main__":
    run(main)
