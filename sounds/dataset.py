"""A folder of drum sounds as a data set: which files there are, of which class and machine, and their samples.

    sounds, labels, paths, left_out = load_one_shots("dataset_audio", sample_rate=44100, seconds=1.5)
    sides = split_by_machine([path.stem for path in paths])     # {"train": indices, "validation": ..., "test": ...}

A class is a subfolder named after a row of the activation matrix, or by one of the usual names in CLASS_NAMES ("BD",
"Snare Drums", "closed hats", "01 kicks"); folders within it belong to it. What cannot be used is listed with its
reason. Long sounds are faded out.
"""

import re
from pathlib import Path

import numpy as np

from command_line import Progress
from formats.activation_matrix import INSTRUMENTS
from formats.audio import SUFFIXES, fit_length, load_audio

# What people call the rows, in lower case and singular, written as one word. The longest one in a name wins.
CLASS_NAMES = {
    "Kick": ("kick", "bd", "bassdrum", "kik", "kd"),
    "Snare": ("snare", "sd", "snaredrum", "snr", "sn"),
    "Clap": ("clap", "cp", "handclap", "clp"),
    "HHO": ("hho", "oh", "ohh", "openhat", "openhh", "openhihat", "hatopen", "hihatopen", "hhopen"),
    "HHC": ("hhc", "hh", "ch", "chh", "closedhat", "closedhh", "closedhihat", "hat", "hihat"),
    "Tom": ("tom", "tm", "lt", "mt", "ht", "tomtom"),
    "Cymb": ("cymb", "cymbal", "cy", "crash", "cr", "ride", "rd", "splash", "china"),
    "Percu": ("percu", "perc", "percussion", "cowbell", "cb", "clave", "rim", "rs", "rimshot", "shaker", "sh",
              "tambourine", "tambo", "tb", "conga", "bongo", "agogo", "triangle", "woodblock", "maraca", "cabasa",
              "guiro", "timbale", "snap", "block"),
}
FOLDS = 5  # of the machines, see split_by_machine
END_DB = -40.0  # re the loudest 5 ms: what is softer to the last counts as over
ROW_OF_NAME = {name: INSTRUMENTS.index(row) for row, names in CLASS_NAMES.items() for name in names}


def class_from_name(name):
    """The row (0 to 7) that a folder's name means, or None: "BD" 0, "Snare Drums 2" 1, "Loops" None."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # OpenHat -> Open Hat
    words = [re.sub(r"(?<=..)(?<!s)s$", "", word) for word in re.findall(r"[a-z]+", spaced.lower())]  # singular
    parts = ("".join(words[start:start + size]) for size in range(len(words), 0, -1)
             for start in range(len(words) - size + 1))  # the longest first
    return next((ROW_OF_NAME[part] for part in parts if part in ROW_OF_NAME), None)


def find_one_shots(folder):
    """The sound files below a folder, in the order of their paths, with their classes.

    Returns (paths, labels, left_out): Path and row of each sound, and a line "path: reason" for each file that is left
    out. A file's class is that of the nearest folder around it that has one. Raises OSError or ValueError where
    `folder` is no folder or no sound in it has a class.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder with a subfolder a class, found "
                                 f"{'a file' if folder.exists() else 'nothing'}")
    found, left_out = {}, []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or path.suffix in (".py", ".pyc"):
            continue
        if path.suffix.lower() not in SUFFIXES:
            left_out.append(f"{path}: not a sound file ({', '.join(SUFFIXES)})")
        elif rows := [row for row in map(class_from_name, reversed(inside.parts[:-1])) if row is not None]:
            found[path] = rows[0]
        else:
            left_out.append(f"{path}: no folder around it is named after a class ({', '.join(INSTRUMENTS)})")
    if not found:
        raise ValueError(f"{folder}: expected sounds in subfolders named after classes ({', '.join(INSTRUMENTS)}, or "
                         f"kick, bd, sd, hh, oh, ...), found none")
    return list(found), list(found.values()), left_out


def load_one_shots(folder, sample_rate, seconds):
    """The sounds of a folder, mono at `sample_rate`, `seconds` long at most: (sounds, labels, paths, left_out).

    sounds: a list of float32 (samples,), peaks as they are. labels: uint8 (n,). left_out: a line "path: reason" for
    each file that is not in it. Raises what `find_one_shots` does, and ValueError where no file can be read.
    """
    paths, rows, left_out = find_one_shots(folder)
    sounds, kept = [], []
    for i, path in enumerate(Progress(paths, "reading sounds", "sounds")):
        try:
            sounds.append(shortened(load_audio(path, sample_rate)[0], sample_rate, seconds))
            kept.append(i)
        except (ValueError, OSError) as error:
            left_out.append(str(error))
    if not kept:
        raise ValueError(f"{folder}: expected sounds, found none that can be read: {left_out[-1]}")
    return sounds, np.array(rows, np.uint8)[kept], [paths[i] for i in kept], left_out


def shortened(samples, rate, seconds):
    """A sound (n,) as it is, or, where it is longer, faded out over the last tenth of so many seconds."""
    return fit_length(samples, min(len(samples), round(rate * seconds)))


def machine_of(name):
    """The machine a sound is from, by its name: "Kick/RolandTR808_bd_00" -> "RolandTR808"; without "_", the name."""
    return name.rsplit("/", 1)[-1].split("_")[0]


def split_by_machine(names, fold=0):
    """Indices of training, validation and test sounds: a machine (machine_of its name) is on one side only.

    The machines make five parts of as many machines (of fewer than five, as many parts as machines) and, as far as that
    goes, of as many sounds; part `fold` is the test side. Machines of a tenth of the other sounds validate, one at
    least. Raises ValueError with fewer than 3 machines.
    """
    machines, machine, counts = np.unique([machine_of(name) for name in names], return_inverse=True, return_counts=True)
    if len(machines) < 3:
        raise ValueError(f"expected sounds of at least 3 machines, found {len(machines)}: a machine is what a file's "
                         f"name begins with, up to the first _, and training, validation and test need their own")
    if not fold < (folds := min(FOLDS, len(machines))):
        raise ValueError(f"fold: expected 0 to {folds - 1}, found {fold}")
    order = np.random.default_rng(0).permutation(len(machines))
    part, sizes, room = np.empty(len(machines), int), np.zeros(folds), np.full(folds, -(-len(machines) // folds))
    for one in order[np.argsort(-counts[order], kind="stable")]:  # the largest first, into the smallest part with room
        part[one] = np.where(room, sizes, np.inf).argmin()
        sizes[part[one]] += counts[one]
        room[part[one]] -= 1
    rest, validation = order[part[order] != fold], []
    for one in rest:
        if counts[[*validation, one]].sum() <= counts[rest].sum() / 10:
            validation.append(one)
    side = np.where(part == fold, "test", "train").astype("<U10")
    side[validation or rest[counts[rest].argmin()]] = "validation"
    return {name: np.flatnonzero(side[machine] == name) for name in ("train", "validation", "test")}


def level_db(samples, rate):
    """The rms of a sound's loudest 20 ms in dB re full scale: (n,) -> number; -200 for silence."""
    power = np.cumsum(np.pad(np.asarray(samples, float) ** 2, (1, 0)))
    width = min(round(0.02 * rate), len(samples))
    return float(10 * np.log10(max((power[width:] - power[:-width]).max() / width, 1e-20)))


def duration_of(samples, rate):
    """The sample where the last 5 ms that reach END_DB re the loudest 5 ms are over: (n,) -> number."""
    size = round(0.005 * rate)
    power = np.square(np.pad(np.asarray(samples, float), (0, -len(samples) % size))).reshape(-1, size).sum(1)
    loud = np.flatnonzero(power >= 10 ** (END_DB / 10) * power.max())
    return min(size * (int(loud[-1]) + 1), len(samples))
