"""A small MNIST of our own for the tests: IDX files, and digits that differ by class as strokes of ten directions."""

import gzip
import struct

import numpy as np

NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


def idx_bytes(numbers, kind=8):
    """The content of an IDX file of uint8 numbers, any shape."""
    return struct.pack(f">BBBB{numbers.ndim}I", 0, 0, kind, numbers.ndim, *numbers.shape) + numbers.tobytes()


def write_idx(path, numbers):
    """Write an IDX file, gzipped where its name says so."""
    content = idx_bytes(np.asarray(numbers, np.uint8))
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def strokes(count, seed=0):
    """Grey strokes on black, each class in a direction of its own: (pixels (count, 28, 28), classes (count,)) uint8."""
    source = np.random.default_rng(seed)
    classes = np.arange(count) % 10
    angle = np.pi * classes[:, None, None] / 10
    row, column = np.meshgrid(np.arange(28) - 13.5, np.arange(28) - 13.5, indexing="ij")
    aside = np.sin(angle) * row + np.cos(angle) * column + source.uniform(-2, 2, (count, 1, 1))
    inside = np.hypot(row, column) < source.uniform(7, 11, (count, 1, 1))
    return (255 * np.clip(2.5 - np.abs(aside), 0, 1) * inside).round().astype(np.uint8), classes.astype(np.uint8)


def write_mnist(folder, train=64, test=12, ending=".gz"):
    """Write the four files of a small MNIST into a folder, made if missing; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for names, (pixels, classes) in ((NAMES[:2], strokes(train)), (NAMES[2:], strokes(test, seed=1))):
        write_idx(folder / (names[0] + ending), pixels)
        write_idx(folder / (names[1] + ending), classes)
    return folder
