"""The bars of a training: a published data set or a folder of one's own, split so that nothing is in both parts.

    splits = load_bars(["groove"])                                  # and folders of matrices (.npy) or MIDI
    bars, names, styles = splits["train"]                           # uint8 (n, 8, 64), and two lists of n strings
    steady, timing = likeness(bars, names), timings(bars, names)    # (n,), (n, 3): conditions of a training
    more, sources, offsets = shifted_bars(bars, names, avoid=splits["validation"][0])
"""

import csv
import math
import re
from pathlib import Path

import numpy as np
import torch

import download
from command_line import ROOT, Progress
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from Midi_To_Activation_Matrix import load_patterns, read_bars
from models import TimingNet

# The steps at which bars of a training begin, the bar line first: as written, on any beat, or also a little off one.
OFFSETS = {"bar": (0,), "beat": (0, 16, 32, 48),
           "near": tuple((beat + off) % STEPS_PER_BAR for beat in (0, 16, 32, 48) for off in (0, 1, -1, 2, -2))}


def load_bars(data, seed=0):
    """The drum bars of a training: {split: (bars uint8 (n, 8, 64), file names, styles)}, the latter lists of n strings.

    data: one or several of "groove", the Groove MIDI Dataset with its published split, and folders of matrices or MIDI,
    split by `split_by_content`. Only bars with at least two hits count. Raises ValueError or OSError where there are
    none.
    """
    return merge_splits([load_splits(one, seed) for one in ([data] if isinstance(data, (str, Path)) else data)])


def merge_splits(parts):
    """The splits of several data sets, see `load_splits`, as those of one."""
    return {split: (np.concatenate([part[split][0] for part in parts if split in part]),
                    *(sum((part[split][i] for part in parts if split in part), []) for i in (1, 2)))
            for split in dict.fromkeys(split for part in parts for split in part)}


def load_splits(data, seed=0):
    """The bars of one folder, which may be one of the project's, or of "groove", see `load_bars`."""
    data = data if Path(data).exists() or not (ROOT / data).exists() else ROOT / data
    if not Path(data).exists():
        if str(data) != "groove":
            raise FileNotFoundError(f"{data}: no such folder or file; expected matrices or MIDI, or the name groove")
        data = download.fetch("groove")
    if (Path(data) / "info.csv").exists():
        return groove_split(data)
    bars, names = load_patterns(data, minimum_hits=2)
    try:
        train, validation = split_by_content(bars, names, seed=seed)
    except ValueError as error:
        raise ValueError(f"{data}: {error}") from None
    return {split: (bars[index], [names[i] for i in index], [style_of(names[i]) for i in index])
            for split, index in (("train", train), ("validation", validation))}


def groove_split(folder):
    """The Groove MIDI Dataset in 4/4 by its published split, see `load_bars`: 17,291, 2,161 and 2,195 bars."""
    path, splits = Path(folder) / "info.csv", {}
    with open(path, newline="") as table:
        table = csv.DictReader(table)
        if missing := {"split", "time_signature", "midi_filename"} - set(table.fieldnames or ()):
            raise ValueError(f"{path}: expected the columns {', '.join(sorted(missing))}")
        for row in Progress(list(table), "reading", "files"):
            if row["time_signature"] != "4-4":
                continue
            bars, names, styles = splits.setdefault(row["split"], ([], [], []))
            name, found = row["midi_filename"].rsplit(".", 1)[0], read_bars(path.parent / row["midi_filename"])
            bars.append(found[np.count_nonzero(found, axis=(1, 2)) >= 2])
            names += [name] * len(bars[-1])
            styles += [style_of(name)] * len(bars[-1])
    return {split: (np.concatenate(bars), names, styles) for split, (bars, names, styles) in splits.items()}


def split_by_content(bars, names, fraction=0.1, seed=0):
    """Indices of bars (n, ...) for training and for validation, which have no file and no pattern of hits in common.

    names: the file of each bar. Whole files are held out, drawn by the seed until `fraction` of the bars is reached; a
    held-out bar whose hits also stand in training is in neither. Raises ValueError with fewer than two files.
    """
    names = np.asarray(names)
    files = np.unique(names)
    if len(files) < 2:
        raise ValueError(f"expected bars of at least 2 files to split into training and validation, found {len(files)}")
    order = np.random.default_rng(seed).permutation(files)
    counts = np.cumsum([np.count_nonzero(names == name) for name in order])
    last = max(1, min(len(order) - 1, int(np.searchsorted(counts, fraction * len(names))) + 1))
    held_out = np.isin(names, order[:last])
    hits = np.array(hit_bytes(bars))
    train, validation = np.flatnonzero(~held_out), np.flatnonzero(held_out & ~np.isin(hits, hits[~held_out]))
    if not len(validation):
        raise ValueError("every validation bar also stands in training: expected files that differ")
    return train, validation


def shifted_bars(bars, names, where="near", avoid=None):
    """The bars that begin within one bar and end in the next of the same file: (bars (m, 8, 64), sources, offsets).

    bars (n, 8, 64) uint8, whole files in order; names: a list of n. where: see OFFSETS. sources (m,): the bar in which
    each begins; an offset is the place in OFFSETS[where], from 1, of the step at which it begins, int64 (m,). Left out:
    bars of fewer than two hits, and those whose hits are in `avoid`. (A bar that `load_bars` left out joins two that
    were not played so.)
    """
    first = np.flatnonzero(np.array(names[:-1]) == names[1:])  # of two bars in a row
    unwanted = set() if avoid is None else set(hit_bytes(avoid))
    found, sources, offsets = [bars[:0]], [first[:0]], []
    for number, step in enumerate(OFFSETS[where][1:], 1):
        across = np.concatenate([bars[first, :, step:], bars[first + 1, :, :step]], -1)  # (pairs, 8, 64)
        good = [k for k, content in enumerate(hit_bytes(across))
                if np.count_nonzero(across[k]) >= 2 and content not in unwanted]
        found.append(across[good])
        sources.append(first[good])
        offsets += [number] * len(good)
    return np.concatenate(found), np.concatenate(sources), np.array(offsets, np.int64)


def windows(bars):
    """The hits around each sixteenth, from two steps before to one after, in a loop: (n, 8, 64) -> (n, 8, 16, 4)."""
    return np.roll(np.asarray(bars) > 0, TimingNet.EARLY, -1).reshape(*np.shape(bars)[:2], -1, TimingNet.WINDOW)


def likeness(bars, names):
    """How like its neighbours each bar is, 0 to 1: the larger of the Jaccard indices of its score and of those of the
    bars before and after it in the same file; nan for a bar alone.  bars (n, 8, 64), names of n -> float32 (n,)"""
    score = windows(bars).any(-1).reshape(len(bars), -1)                              # (n, 128)
    first = np.flatnonzero(np.array(names[:-1]) == names[1:])
    one, other = score[first], score[first + 1]
    shared = (one & other).sum(1) / np.maximum(1, (one | other).sum(1))               # (pairs,)
    found = np.full(len(bars), -1.0, np.float32)
    for places in (first, first + 1):
        np.maximum.at(found, places, shared)
    return np.where(found < 0, np.float32(np.nan), found)


def timings(bars, names):
    """How the hits of each file are played, in steps (64ths): float32 (n, 3), the same for all bars of a file.

    The mean offset of its hits from their sixteenths, negative if early; how much later those on the second eighths of
    beats come than those on beats; and those on even sixteenths. 0 where there are few of them.
    """
    files, index = np.unique(np.asarray(names), return_inverse=True)
    counts = windows(bars).sum(1)                                                     # (n, 16, 4)
    steps, column = np.arange(TimingNet.WINDOW) - TimingNet.EARLY, np.arange(counts.shape[1])

    def mean_offset(chosen):
        hits, total = (np.bincount(index, (counts[:, chosen] * weight).sum((1, 2)), len(files))
                       for weight in (1, steps))
        return total / np.maximum(hits, 1), hits

    (every, _), (on_beat, _), (eighths, some), (sixteenths, more) = (
        mean_offset(chosen) for chosen in (column >= 0, column % 4 == 0, column % 4 == 2, column % 2 == 1))
    late = [np.where(hits > 4, offset - on_beat, 0) for offset, hits in ((eighths, some), (sixteenths, more))]
    return np.stack([every, *late], 1).astype(np.float32)[index]


def drummer_timings(bars, names):
    """The mean `timings` of the files in each folder that names a drummer: {name: [three numbers]}."""
    found, folders = timings(bars, names), np.array([str(name).split("/")[0] for name in names])
    return {str(folder): found[folders == folder].mean(0).tolist()
            for folder in np.unique(folders) if folder.startswith("drummer")}


def style_of(name):
    """The style in a file's name, in small letters: "HOUSE1" -> "house", "session1/1_jazz-funk_80_beat" -> "jazz"."""
    words = re.search(r"[^\W\d_]+", str(name).replace("\\", "/").rsplit("/", 1)[-1])
    return words[0].lower() if words else ""


def pack_hits(bars):
    """The hits of bars of any shape, eight cells a byte, first cell highest: (n, 8, 64) -> uint8 (n, 64)."""
    bars = np.asarray(bars)
    return torch.as_tensor(np.packbits(bars.reshape(len(bars), math.prod(bars.shape[1:])) > 0, axis=1))


def unpack_hits(packed):
    """The hits that `pack_hits` packed: uint8 (n, 64) -> bool (n, 8, 64)."""
    bits = np.unpackbits(np.asarray(packed), axis=1).astype(bool)
    return torch.as_tensor(bits.reshape(-1, len(INSTRUMENTS), STEPS_PER_BAR))


def hit_bytes(bars):
    """The hits of each bar as bytes: equal for bars that differ in velocities alone."""
    return [packed.tobytes() for packed in pack_hits(bars).numpy()]
