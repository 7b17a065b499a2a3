"""The handwritten digits of MNIST (LeCun et al. 1998) as tensors: pixels of 8 bits, classes 0 to 9.

The four IDX files, gzipped or not, are read whole and checked; a broken one is an error that names it.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

SIDE = 28  # pixels
VALIDATION = 1000  # digits at the end of the training files: few, since the published figures train on all 60,000
PARTS = {"train": "train", "test": "t10k"}


def read_idx(path):
    """The numbers of an IDX file, gzipped or not: uint8, of the shape that it says. Raises ValueError where it is not.

    An IDX file is the bytes 0, 0, kind (8: uint8), dimensions; each dimension's length in 32 bits; then the numbers.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged, or cut short ({error}); fetch it again") from None
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 3:
        raise ValueError(f"{path}: expected an IDX file of bytes, found one that "
                         + (f"begins with {content[:4].hex(' ')}" if content else "is empty"))
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"{path}: cut short within its head, {len(content)} bytes; fetch it again")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(f"{path}: expected {math.prod(shape)} numbers for its shape {shape}, found "
                         f"{len(content) - start}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def find(folder, name):
    """The path of one of the four files in a folder, gzipped or not, with the names of either mirror."""
    names = [name + end for name in (name, name.replace("-idx", ".idx")) for end in (".gz", "")]
    for candidate in names:
        if (Path(folder) / candidate).exists():
            return Path(folder) / candidate
    raise FileNotFoundError(f"{Path(folder) / names[0]}: no such file; expected the four files of MNIST in {folder}")


def load_digits(folder=None):
    """The splits of MNIST: a dictionary "train", "validation", "test" -> (pixels (n, 28, 28) uint8, classes (n,)).

    folder: where the four files lie; None finds them in data/ or $SEQUENCEUR_DATA, or else fetches them. The last
    VALIDATION digits of the training files are for validation. Raises ValueError or OSError, in one line.
    """
    if folder is None:
        import download
        folder = download.fetch("mnist")
    splits = {}
    for split, part in PARTS.items():
        images_path, labels_path = find(folder, f"{part}-images-idx3-ubyte"), find(folder, f"{part}-labels-idx1-ubyte")
        images, labels = read_idx(images_path), read_idx(labels_path)
        if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
            raise ValueError(f"{images_path}: expected pictures of {SIDE} x {SIDE} pixels, found shape {images.shape}")
        if labels.shape != images.shape[:1]:
            raise ValueError(f"{labels_path}: expected a class for each of {len(images)} digits, found {labels.shape}")
        if labels.max(initial=0) > 9:
            raise ValueError(f"{labels_path}: expected classes 0 to 9, found {labels.max()}")
        splits[split] = images, labels
    images, labels = splits["train"]
    aside = min(VALIDATION, len(images) // 10)
    if not aside or not len(splits["test"][0]):
        raise ValueError(f"{folder}: expected at least 10 digits to train and one to test, found {len(images)} and "
                         f"{len(splits['test'][0])}")
    cut = len(images) - aside
    return {"train": (images[:cut], labels[:cut]), "validation": (images[cut:], labels[cut:]), "test": splits["test"]}


def binarised(pixels, generator):
    """Pixels drawn anew as 0 or 1, 1 with the probability pixel / 255: uint8 tensor of any shape -> the same shape.

    As Burda et al. (2016) drew them at each use, so that no network learns one draw by heart.
    """
    import torch
    return (torch.randint(255, pixels.shape, generator=generator, dtype=torch.uint8) < pixels).to(torch.uint8)
