"""The map: where the training bars lie in the latent space, and what the model draws between them.

    model = load_bar_model("pretrained/bernoulli_map.pt")
    plane, training_bars = LatentPlane(model), TrainingBars(model)
    code = plane.to_code(0.5, -1.0)                                 # float32 (latent,)
    describe_bar(draw(model, code[None])[0], code, plane, training_bars)["novelty"]
"""

import functools
import math

import numpy as np
import torch

from command_line import one_line
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from formats.checkpoint import load_checkpoint
from models import build_model, logistic_noise, principal_plane
from patterns.dataset import pack_hits, unpack_hits
from patterns.noise import DEFAULT_SEED
from patterns.sampling import Constraints, encode, humanise

RANDOM_STEP = 0.1  # a random code lies about as far from that of a training bar, in units of the map
STYLE_NEIGHBOURS = 15  # training bars whose commonest style is that of a point
MEAN_RADIUS = 0.3  # on the map, of what is a mean over the bars around a point
DENSITY_CELLS = 36  # along each side of the map
COVERAGE_RADIUS = 0.1  # of the map's reach: a point is covered if some training bars are within
SMOOTH_RADIUS = 2.5  # of the hit density, in cells
NEAREST = 3  # training bars named of each bar


def load_bar_model(path):
    """The model of drum bars in a checkpoint or run folder, with its map; ValueError or OSError for any other file."""
    content = load_checkpoint(path)
    model = build_model(content, path)
    if content["class"] != "BernoulliVAE" or tuple(model.shape) != (len(INSTRUMENTS), STEPS_PER_BAR):
        raise ValueError(f"{path}: expected a model of drum bars, a BernoulliVAE of 8 x 64, found another one")
    model.path = path  # what a session names
    return attach_map(model, content.get("map"), path)


def attach_map(model, content, path="checkpoint"):
    """The model with its `map`: where its training bars lie, a checked dictionary of tensors, or None without one.

    codes (n, latent), labels (n,) of label_names (the model's styles first), and mostly bars, see `pack_hits`.
    """
    if content is None:
        return model
    try:
        codes, labels, names = content["codes"].float(), content["labels"], content["label_names"]
        if "bars" in content and (content["bars"].dtype != torch.uint8 or content["bars"].shape != (len(codes), 64)):
            raise ValueError(f"expected packed bars of its {len(codes)} codes, found {tuple(content['bars'].shape)}")
        if codes.shape != (len(labels), model.latent) or not torch.isfinite(codes).all():
            raise ValueError(f"expected {len(labels)} finite codes of {model.latent}, found {tuple(codes.shape)}")
        if not all(isinstance(name, str) for name in names) or not set(labels.tolist()) <= set(range(len(names))):
            raise ValueError(f"expected labels from 0 to {len(names) - 1}, and their names")
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path}: its map cannot be used: {one_line(error)[:200]}") from None
    model.map = {**content, "codes": codes}
    return model


def random_code(model, seed, index, style=None):
    """Random code number `index` of a seed, float32 (latent,): near that of a random training bar, of the style if
    there are some; from the prior N(0, I) without a map."""
    random = np.random.default_rng([seed, index])
    step = random.standard_normal(model.latent)
    if not model.map:
        return step.astype(np.float32)
    return (random.choice(training_codes(model, style)) + RANDOM_STEP * step).astype(np.float32)


@functools.lru_cache(maxsize=64)
def training_codes(model, style=None):
    """Where the training bars lie, (n, latent); of a style, those of the style where that is asked for: a code has
    another meaning with each style. All bars for a style that has none."""
    codes, members = np.asarray(model.map["codes"]), np.flatnonzero(np.asarray(model.map["labels"]) == style)
    if style is None or not len(members):
        return codes
    return encode(model, unpack_hits(model.map["bars"][members]), style) if "bars" in model.map else codes[members]


class TrainingBars:
    """The bars that a model was trained on, each once; empty for a model that carries none.

    rows (n,): where each stands in the model's map. packed: their hits, uint8 (n, 64), see `pack_hits`.
    """

    def __init__(self, model):
        self.model = model
        packed = np.asarray(model.map["bars"]) if model.map and "bars" in model.map else np.zeros((0, 64), np.uint8)
        self.rows = np.sort(np.unique(packed.view("V64")[:, 0], return_index=True)[1])
        self.packed = np.ascontiguousarray(packed[self.rows])

    def __len__(self):
        return len(self.rows)

    def nearest(self, bar, count=1):
        """The nearest to a bar (8, 64) by cells that differ, nearest first: (indices, distances), at most `count`."""
        hits = pack_hits(np.asarray(bar)[None]).numpy()                               # (1, 64)
        differing = self.packed.view(np.uint64) ^ hits.view(np.uint64)                # (n, 8)
        distances = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
        order = np.argsort(distances, kind="stable")[:count]
        return order, distances[order]

    def bar(self, index, seed=DEFAULT_SEED):
        """One of them, uint8 (8, 64): its hits as they were played, and velocities of the model's, by the seed."""
        style = dict(zip(self.model.styles, range(len(self.model.styles)))).get(self.name(index))
        return humanise(self.model, unpack_hits(self.packed[index][None]), self.code(index)[None], seed,
                        Constraints(style=style))[0]

    def code(self, index):
        """Where it lies: float32 (latent,)."""
        return np.asarray(self.model.map["codes"][int(self.rows[index])], np.float32)

    def name(self, index):
        """The name of its style."""
        return self.model.map["label_names"][int(self.model.map["labels"][int(self.rows[index])])]


class LatentPlane:
    """The part of the latent space that the map shows: a plane through it.

    The space itself where it has two dimensions; else the plane of the two principal components of the training bars'
    codes, or of the first two axes without such codes. It is shown over [-reach, reach] on both axes. points (bars, 2):
    the training bars in it; labels (bars,) of names: their styles.
    """

    def __init__(self, model):
        content = model.map or {"codes": np.zeros((0, model.latent)), "labels": [], "label_names": []}
        codes = np.asarray(content["codes"], dtype=float)
        self.centre, self.axes = principal_plane(codes)  # (latent,), (2, latent)
        self.points = self.from_codes(codes)
        self.labels, self.names = np.asarray(content["labels"], dtype=int), list(content["label_names"])
        self.reach = float(np.clip(1.08 * np.quantile(np.abs(self.points), 0.998), 2.5, 8)) if len(codes) else 3.0

    def to_code(self, x, y):
        """The code at a point of the map: float32 (latent,)."""
        return (self.centre + np.array([x, y]) @ self.axes).astype(np.float32)

    def from_codes(self, codes):
        """The points of the map nearest to codes: (..., latent) -> (..., 2)."""
        return (np.asarray(codes) - self.centre) @ self.axes.T

    def style_near(self, x, y):
        """The commonest style among the training bars nearest to a point of the map; None without training bars."""
        if not len(self.points):
            return None
        distances = ((self.points - (x, y)) ** 2).sum(axis=1)
        nearest = np.argpartition(distances, min(STYLE_NEIGHBOURS, len(distances)) - 1)[:STYLE_NEIGHBOURS]
        return self.names[np.bincount(self.labels[nearest]).argmax()]

    def mean_near(self, point, values):
        """The mean of what each style has, values (styles, m), over the training bars around a point (x, y), by weights
        that fall off with the distance, a bar's less the more its style has: (m,). Without any bars, over all styles.
        """
        values = np.asarray(values, float)
        if not len(self.points):
            return values.mean(0) if len(values) else np.zeros(values.shape[1:])
        distances = ((self.points - point) ** 2).sum(1) / MEAN_RADIUS ** 2
        counts = np.bincount(self.labels)[self.labels]                                # (bars,)
        weights = np.exp(0.5 * (distances.min() - distances)) / np.sqrt(counts)
        return np.bincount(self.labels, weights, len(values)) @ values / weights.sum()


class HitDensity:
    """How many hits the model draws over the map, where training bars lie near: computed cell by cell, as time allows.

    coverage: do training bars lie near a cell? 0 no to 1 yes: float (cells, cells), rows from y = -reach up. hits: of
    the bar that is drawn there, smoothed at the end, nan where none is drawn. left (n, 2): cells still to be drawn.
    """

    def __init__(self, plane):
        self.plane, cells = plane, DENSITY_CELLS
        self.edges = np.linspace(-plane.reach, plane.reach, cells + 1)
        x, y = plane.points.T
        counts = np.histogram2d(y, x, bins=(self.edges, self.edges))[0]
        self.coverage = np.minimum(blurred(counts, COVERAGE_RADIUS / 2 * cells), 1)
        self.reset()

    def reset(self):
        """Forget what has been drawn."""
        self.hits = np.full(self.coverage.shape, np.nan)
        self.left = np.argwhere(self.coverage > 0)

    def compute_next(self, model, style=None, seed=0, count=32):
        """Draw the bars of `count` more cells, all by one noise; return whether that was all."""
        now, self.left = self.left[:count], self.left[count:]
        if not len(now):
            return True
        centres = (self.edges[:-1] + self.edges[1:]) / 2
        codes = torch.as_tensor(np.stack([self.plane.to_code(centres[x], centres[y]) for y, x in now]))
        noise = logistic_noise((1, math.prod(model.score_shape)), torch.Generator().manual_seed(seed))
        with torch.no_grad():
            drawn = model.decoder.draw(model.with_condition(codes, style), noise.expand(len(codes), -1))
        self.hits[tuple(now.T)] = drawn.sum(-1).numpy()
        if not len(self.left):
            there = np.isfinite(self.hits)
            weights = blurred(np.maximum(there, 1e-9), SMOOTH_RADIUS)
            self.hits = np.where(there, blurred(np.nan_to_num(self.hits), SMOOTH_RADIUS) / weights, np.nan)
        return not len(self.left)

    def range(self):
        """The 5th and the 95th percentile of the hits, between which shades differ; None before all is drawn."""
        drawn = self.hits[np.isfinite(self.hits)]
        return None if len(self.left) or not len(drawn) else tuple(np.quantile(drawn, (0.05, 0.95)))

    def coverage_at(self, x, y):
        """The coverage at a point of the map."""
        column, row = np.clip(np.searchsorted(self.edges, (x, y)) - 1, 0, DENSITY_CELLS - 1)
        return self.coverage[row, column]


def blurred(cells, radius):
    """The sum over the cells around each, weighted by a cone that ends at a radius, in cells: the same shape."""
    reach = int(np.ceil(radius))
    steps = np.arange(-reach, reach + 1)
    cone = np.maximum(0, 1 - np.hypot(steps[:, None], steps) / radius)
    return np.einsum("ijkl,kl", np.lib.stride_tricks.sliding_window_view(np.pad(cells, reach), cone.shape), cone)


def describe_bar(bar, code, plane, training_bars):
    """Where a bar (8, 64) at a code lies among those of the training: a dictionary.

    point: (x, y). near: the commonest style there, or None. hits: their number. nearest: the training bars nearest in
    hits, [(style, cells that differ, (x, y))]. novelty, index: cells and number of the first of these, or None.
    """
    point = tuple(plane.from_codes(code).tolist())
    indices, cells = training_bars.nearest(bar, NEAREST)
    nearest = [(training_bars.name(index), int(distance), tuple(plane.from_codes(training_bars.code(index)).tolist()))
               for index, distance in zip(indices, cells)]
    return {"point": point, "near": plane.style_near(*point), "hits": np.count_nonzero(bar), "nearest": nearest,
            "novelty": nearest[0][1] if nearest else None, "index": indices[0] if nearest else None}
