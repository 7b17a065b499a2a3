"""The handwritten digits of MNIST (LeCun et al. 1998): their files, a training on them, its figures and numbers.

    pixels, classes = load_digits()["train"]      # (59000, 28, 28) uint8, (59000,)
    fit_digits(model, load_digits(), Path("runs/digits"), TrainingSettings(epochs=5))
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

import download
from command_line import Progress
from formats.checkpoint import load_checkpoint
from learning.bounds import bounds, encode_all
from learning.figures import draw_curves, draw_images, draw_latent
from learning.training import Examples, describe, fit, start_process
from models import GaussianVAE, build_model, logistic_noise, principal_plane

SIDE = 28  # pixels
VALIDATION = 1000  # digits at the end of the training files: few, since the published figures train on all 60,000
IDX_STARTS = tuple(bytes([0, 0, 8, dimensions]) for dimensions in (1, 2, 3))  # 8: of uint8
SHOWN = 10  # digits a side of a grid
MANIFOLD = {"independent": 20, "raster": 12}  # points a side of the plane of codes
BATCH = 64  # digits that fit into a processor's cache
CLASSES = [str(digit) for digit in range(10)]


def read_idx(path):
    """The numbers of an IDX file, gzipped or not: uint8, of its shape. Raises ValueError where it is none.

    An IDX file is the bytes 0, 0, kind (8: uint8), dimensions; each dimension's length in 32 bits; then the numbers.
    """
    try:
        content = Path(path).read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged, or cut short ({error}); fetch it again") from None
    if not content.startswith(IDX_STARTS) or len(content) < 4 + 4 * content[3]:
        found = f"begins with {content[:4].hex(' ')}" if content else "is empty"
        raise ValueError(f"{path}: expected an IDX file of bytes, found one that {found}")
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    numbers = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape))
    if len(numbers) != math.prod(shape):
        raise ValueError(f"{path}: expected {math.prod(shape)} numbers for its shape {shape}, found {len(numbers)}")
    return numbers.reshape(shape).copy()


def find(folder, name):
    """The path of one of the four files in a folder, gzipped or not, with the names of either mirror."""
    paths = [Path(folder) / (name + end) for name in (name, name.replace("-idx", ".idx")) for end in (".gz", "")]
    for path in paths:
        if path.exists():
            return path
    raise FileNotFoundError(f"{paths[0]}: no such file; expected the four files of MNIST in {folder}")


def read_digits(folder, part):
    """Pixels (n, 28, 28) and classes (n,) of the files "train" or "t10k"."""
    images_path, labels_path = (find(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise ValueError(f"{images_path}: expected images of {SIDE} x {SIDE} pixels, found shape {images.shape}")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{labels_path}: expected a class for each of {len(images)} digits, found {labels.shape}")
    if labels.max(initial=0) > 9:
        raise ValueError(f"{labels_path}: expected classes 0 to 9, found {labels.max()}")
    return images, labels


def load_digits(folder=None):
    """The splits of MNIST: a dictionary "train", "validation", "test" -> (pixels (n, 28, 28) uint8, classes (n,)).

    folder: of the four files; None: in data/ or $SEQUENCEUR_DATA, or else fetched. Raises ValueError or OSError.
    """
    folder = download.fetch("mnist") if folder is None else folder
    (images, labels), test = read_digits(folder, "train"), read_digits(folder, "t10k")
    aside = min(VALIDATION, len(images) // 10)
    if not aside or not len(test[0]):
        found = f"{len(images)} and {len(test[0])}"
        raise ValueError(f"{folder}: expected at least 10 digits to train and one to test, found {found}")
    cut = len(images) - aside
    return {"train": (images[:cut], labels[:cut]), "validation": (images[cut:], labels[cut:]), "test": test}


def binarised(pixels, generator):
    """Pixels drawn as 0 or 1, 1 with the probability pixel / 255 (Burda et al. 2016): uint8 -> uint8, of any shape."""
    return (torch.randint(255, pixels.shape, generator=generator, dtype=torch.uint8) < pixels).to(torch.uint8)


def pixel_noise(model):
    """What is drawn anew at each use of pixels, a function (pixels, generator), or None."""
    if not isinstance(model, GaussianVAE):
        return binarised
    return model.dequantised if model.likelihood == "normal" else None


def prepare_pixels(model, pixels, seed):
    """Pixels (n, 28, 28) of 0 to 255 as the model takes them, noise by the seed: a tensor (n, 28, 28)."""
    pixels, noise = torch.as_tensor(pixels), pixel_noise(model)
    return pixels if noise is None else noise(pixels, torch.Generator().manual_seed(seed))


def as_levels(model, images):
    """What a model takes or draws, as levels to look at: (n, 28, 28) -> (n, 28, 28) of 0 to 255."""
    return images.numpy() if isinstance(model, GaussianVAE) else 255 * (images.numpy() > 0)


def fit_digits(model, splits, folder, settings):
    """Train on the digits, draw the figures, and return the history of `fit`.  splits: of `load_digits`"""
    train = Examples(torch.as_tensor(splits["train"][0]))
    validation = Examples(prepare_pixels(model, splits["validation"][0], settings.seed))
    first = start_process(settings.device).rank == 0
    if first:
        print(f"{len(train)} digits to train, {len(validation)} to validate; run folder {folder}", flush=True)
    history = fit(model, train, validation, folder, settings, pixel_noise(model), unit="digits")
    if first:
        draw_figures(build_model(load_checkpoint(folder), folder), splits, history, folder, settings.seed)
        print(describe(history, settings.free_bits, "digit", folder) + " --split test")
    return history


def bits_a_pixel(nats):
    """A log-likelihood of an image in nats, as the length of its code in bits a pixel."""
    return -nats / SIDE**2 / math.log(2)


def images_at(model, z, seed):
    """The mean images of codes, of a raster decoder draws: (n, latent) -> (n, 28, 28) of 0 to 255."""
    if model.config["decoder"] == "independent":
        return model.decode_mean(z).numpy() * (1 if isinstance(model, GaussianVAE) else 255)
    return as_levels(model, draw_at(model, z, seed))


def draw_at(model, z, seed):
    """An image drawn at each code, all with one noise: only the code differs.  (n, latent) -> (n, *shape)"""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(model, GaussianVAE):
        uniform = torch.rand(1, 2 * model.components * math.prod(model.shape), generator=generator)
        return model.decode_sample(z, uniform=uniform.expand(len(z), -1))
    noise = logistic_noise((1, math.prod(model.shape)), generator).expand(len(z), -1)
    with torch.no_grad():
        return model.decoder.draw(model.with_condition(z), noise).view(-1, *model.shape)


def plane_of_codes(codes, side):
    """Codes on a grid of side x side points, top row first: (side * side, latent).

    In two dimensions, normal quantiles (Kingma and Welling 2014, figure 4); in more, the same on the plane of the two
    principal components of codes (n, latent).
    """
    across = torch.special.ndtri((torch.arange(side) + 0.5) / side).numpy()
    grid = np.stack(np.meshgrid(across, -across), -1).reshape(-1, 2)
    if codes.shape[1] <= 2:
        return grid[:, :codes.shape[1]]
    centre, axes = principal_plane(codes)
    return centre + grid * ((codes - centre) @ axes.T).std(0) @ axes


def draw_figures(model, splits, history, folder, seed=0):
    """curves.png, latent.png, manifold.png, samples.png and reconstructions.png of a run on digits."""
    with Progress(what="drawing", unit="figures", total=5) as bar:
        draw_curves(history, folder / "curves.png", unit="digit")
        bar.update()
        panels = {}
        for split in ("train", "validation"):
            pixels, labels = splits[split]
            chosen = np.random.default_rng(seed).permutation(len(pixels))[:5000]
            panels[split] = encode_all(model, prepare_pixels(model, pixels[chosen], seed))[0].numpy(), labels[chosen]
        draw_latent(panels, CLASSES, folder / "latent.png", most=10)
        bar.update()
        side = MANIFOLD[model.config["decoder"]]
        plane = torch.tensor(plane_of_codes(panels["train"][0], side), dtype=torch.float32)
        draw_images(images_at(model, plane, seed), side, folder / "manifold.png",
                    "the plane of codes" + (", by its two principal components" if model.latent > 2 else ""))
        bar.update()
        drawn = model.sample(SHOWN ** 2, torch.Generator().manual_seed(seed))
        draw_images(as_levels(model, drawn), SHOWN, folder / "samples.png", "drawn from the prior")
        bar.update()
        draw_reconstructions(model, splits["validation"][0], folder, seed)
        bar.update()


def draw_reconstructions(model, pixels, folder, seed):
    """reconstructions.png: the first of pixels (n, 28, 28), and below each the image of its code."""
    originals = prepare_pixels(model, pixels[:SHOWN * SHOWN // 2], seed)
    again = images_at(model, encode_all(model, originals)[0], seed)
    gap = (0, -len(again) % SHOWN), (0, 0), (0, 0)  # in the last row, where there are few digits
    pair = as_levels(model, originals), again
    rows = np.stack([np.pad(part, gap).reshape(-1, SHOWN, SIDE, SIDE) for part in pair], 1)
    draw_images(rows.reshape(-1, SIDE, SIDE), SHOWN, folder / "reconstructions.png",
                "validation digits, and below each the image of its code")


def evaluate_digits(arguments, content, model):
    """The numbers of a model of digits, a dictionary; `report` makes lines of it. arguments: options of evaluate.py."""
    if tuple(model.shape) != (SIDE, SIDE):
        found = " x ".join(map(str, model.shape))
        raise ValueError(f"{arguments.run}: expected a model of images of {SIDE} x {SIDE} pixels, found {found}")
    trained = content.get("arguments", {})
    data = arguments.data or trained.get("data", "mnist")
    splits = load_digits(None if data == "mnist" else data)
    if arguments.split not in splits:
        raise ValueError(f"--split {arguments.split}: {data} has {', '.join(splits)}")
    pixels = splits[arguments.split][0]
    if arguments.limit:
        pixels = pixels[np.random.default_rng(arguments.seed).permutation(len(pixels))[:arguments.limit]]
    x = prepare_pixels(model, pixels, arguments.seed)
    result = {"model": str(arguments.run), "data": str(data), "split": arguments.split, "digits": len(x),
              "bounds": bounds(model, x, arguments.k, arguments.seed, batch_size=BATCH, unit="digits"),
              "seed": arguments.seed, "epoch": content.get("epoch"), "trained": trained, "config": content["config"]}
    if isinstance(model, GaussianVAE):
        result["bits_a_pixel"] = bits_a_pixel(result["bounds"]["bound"])
    return result


def report(result):
    """The numbers as lines of text."""
    bound = result["bounds"]
    yield f"{result['model']}: {result['digits']} digits, {result['split']} of {result['data']}"
    yield (f"ELBO {bound['elbo']:.2f} nats a digit = log p(x|z) {bound['log_px']:.2f} - KL {bound['kl']:.2f}; "
           f"{bound['active_units']} of {bound['latent']} units active")
    error, bits, alone = bound["bound_standard_error"], result.get("bits_a_pixel"), bits_a_pixel(bound["elbo"])
    yield (f"bound with k = {bound['k']}: {bound['bound']:.2f}" + (f" +- {error:.2f}" if error is not None else "")
           + " nats a digit" + (f"; {bits:.4f} bits a pixel (ELBO alone: {alone:.4f})" if bits is not None else ""))
