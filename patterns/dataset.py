"""The bars of a training, in two sides that share nothing: a published set, or a folder of one's own.

    splits = load_bars("groove")                                    # or a folder of matrices (.npy) or MIDI
    bars, names, styles = splits["train"]                           # uint8 (n, 8, 64), and two lists of n strings
    more, their_styles, begins = shifted_bars(bars, names, styles, avoid=splits["validation"][0])
"""

import csv
import math
import re
from pathlib import Path

import numpy as np
import torch

import download
from Midi_To_Activation_Matrix import load_patterns, read_bars

BEATS = (0, 16, 32, 48)  # the steps that they lie on
# The steps of a bar on which bars to learn from begin, the bar line first: as they are written, on any beat, or also a
# little before and after one, since nobody strikes a beat to the step, and one drummer's late is another one's early.
OFFSETS = {"bar": (0,), "beat": BEATS,
              "near": tuple((beat + off) % 64 for beat in BEATS for off in (0, 1, -1, 2, -2))}


def split_by_content(bars, names, fraction=0.1, seed=0):
    """Training and validation indices of bars (n, ...), such that nothing heard in training is asked in validation.

    Whole files go to one side: all bars that share a name, drawn by the seed until `fraction` of the bars is reached.
    A validation bar whose hits also stand in training is left out of both. Raises ValueError with fewer than two files.
    """
    names = np.asarray(names)
    files = np.unique(names)
    if len(files) < 2:
        raise ValueError(f"expected bars of at least 2 files to split into training and validation, found {len(files)}")
    order = np.random.default_rng(seed).permutation(files)
    counts = np.cumsum([np.count_nonzero(names == name) for name in order])
    held_out = order[: max(1, min(len(order) - 1, int(np.searchsorted(counts, fraction * len(names))) + 1))]
    aside = np.isin(names, held_out)
    hits = hit_bytes(bars)
    known = {content for content, out in zip(hits, aside) if not out}
    fresh = np.array([content not in known for content in hits])
    train, validation = np.flatnonzero(~aside), np.flatnonzero(aside & fresh)
    if not len(validation):
        raise ValueError("every validation bar also stands in training: expected files that differ")
    return train, validation


def load_bars(data, seed=0):
    """The drum bars of a training: a dictionary split -> (bars uint8 (n, 8, 64), names, styles), lists of n strings.

    data: "groove" for the Groove MIDI Dataset with its published split, or a folder of matrices or MIDI, split by
    `split_by_content`. Only bars with at least two hits count. Raises ValueError or OSError where there are none.
    """
    if str(data) == "groove" and not Path(data).exists():
        return groove_split(download.fetch("groove"))
    if not Path(data).exists():
        raise FileNotFoundError(f"{data}: no such folder or file; expected matrices (.npy), MIDI files, or the "
                                "name groove")
    if (Path(data) / "info.csv").exists():
        return groove_split(data)
    bars, names = load_patterns(data, minimum_hits=2)
    styles = [style_of(name) for name in names]
    try:
        sides = dict(zip(("train", "validation"), split_by_content(bars, names, seed=seed)))
    except ValueError as error:
        raise ValueError(f"{data}: {error}") from None
    return {side: (bars[index], [names[i] for i in index], [styles[i] for i in index]) for side, index in sides.items()}


def groove_split(folder):
    """Load the Groove MIDI Dataset by its published split.

    Beats and fills in 4/4 by `info.csv`, and of these the bars with at least 2 hits: 17,291 bars to train, 2,161 to
    validate, 2,195 to test.

    Returns:
        dict: split name -> (bars uint8 (n, 8, 64), names [str] * n, styles [str] * n).
    """
    folder = Path(folder)
    splits = {}
    with open(folder / "info.csv", newline="") as table:
        rows = csv.DictReader(table)
        missing = {"split", "time_signature", "midi_filename"} - set(rows.fieldnames or ())
        if missing:
            raise ValueError(f"{folder / 'info.csv'}: expected the columns {', '.join(sorted(missing))}")
        for row in rows:
            if row["time_signature"] != "4-4":
                continue
            bars, names, styles = splits.setdefault(row["split"], ([], [], []))
            found = read_bars(folder / row["midi_filename"])
            found = found[np.count_nonzero(found, axis=(1, 2)) >= 2]
            name = row["midi_filename"].rsplit(".", 1)[0]
            bars.append(found)
            names += [name] * len(found)
            styles += [style_of(name)] * len(found)
    return {split: (np.concatenate(bars), names, styles) for split, (bars, names, styles) in splits.items()}


def shifted_bars(bars, names, labels, where="near", avoid=None):
    """The bars that begin within one bar and end in the next of the same file: as good drumming as those written.

    bars (n, 8, 64) uint8, files in one piece and in order, with names and labels [any] * n. where: see OFFSETS.
    Where a bar of fewer than two hits was left out between two, nobody played the seam: 3 of 16,404 in the Groove MIDI
    Dataset. avoid: bars none of which may come out. Bars with fewer than two hits do not count. Returns (bars
    (m, 8, 64), labels [any] * m, the place in OFFSETS[where] of the step that each begins on, 1 and up: int64 (m,)).
    """
    pairs = [i for i in range(len(bars) - 1) if names[i] == names[i + 1]]
    unwanted = set() if avoid is None else set(hit_bytes(avoid))
    found, found_labels, begins = [bars[:0]], [], []
    for number, step in enumerate(OFFSETS[where][1:], 1):
        across = np.concatenate([bars[pairs][..., step:], bars[[i + 1 for i in pairs]][..., :step]], -1)
        good = [k for k, (bar, content) in enumerate(zip(across, hit_bytes(across)))
                if np.count_nonzero(bar) >= 2 and content not in unwanted]
        found.append(across[good])
        found_labels += [labels[pairs[k]] for k in good]
        begins += [number] * len(good)
    return np.concatenate(found), found_labels, np.array(begins, np.int64)


def hit_bytes(bars):
    """The hits of each bar as bytes, so that equal bars are equal bytes."""
    bars = np.asarray(bars)
    return [bar.tobytes() for bar in np.packbits(bars.reshape(len(bars), np.prod(bars.shape[1:], dtype=int)) > 0, 1)]


def style_of(name):
    """The style that a file's name tells: "HOUSE1" -> "HOUSE", "session1/1_jazz-funk_80_beat_4-4" -> "jazz"."""
    words = re.search(r"[^\W\d_]+", str(name).replace("\\", "/").rsplit("/", 1)[-1])
    return words[0] if words else ""


def pack_hits(bars):
    """The hits of bars, eight cells a byte, first cell highest: (n, 8, 64) of velocities -> uint8 (n, 64)."""
    return torch.as_tensor(np.packbits(np.asarray(bars).reshape(len(bars), -1) > 0, axis=1))


def unpack_hits(packed, shape=(8, 64)):
    """The hits that `pack_hits` packed: uint8 (n, 64) -> bool (n, 8, 64)."""
    bits = np.unpackbits(np.asarray(packed), axis=1, count=math.prod(shape))
    return torch.as_tensor(bits.astype(bool).reshape(-1, *shape))
