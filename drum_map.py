"""A model as a map: a point of the plane becomes a code, a code becomes a bar; and how both look.

    plane = Plane(model)                                  # a BernoulliVAE of bars
    bar = decode(model, plane.to_code(0.5, -1.0))         # uint8, (8, 64)
    draw_map(figure.add_subplot(1, 2, 1), plane)
    cells, lines = draw_bar(figure.add_subplot(1, 2, 2), bar)
"""

import numpy as np

from Midi_To_Activation_Matrix import INSTRUMENTS, STEPS_PER_BAR

NEIGHBOURS = 15  # training bars that say which style a point is near
STYLES_NAMED = 7  # the largest styles have a colour of their own, the others share one

GROUND, PANEL, BEAT, LINE = "#12151c", "#1a1f29", "#222936", "#343c4c"
TEXT, QUIET, ACCENT, WARNING = "#e8ebf1", "#909bb0", "#ffb347", "#ff7b72"
GHOST, LOUD = "#5c4a2e", "#fff1d6"  # the softest and the loudest hit; ACCENT lies between
STYLE_COLOURS = ("#4ea8ff", "#ff8f5a", "#46d39a", "#ff6f91", "#b892ff", "#ffe066", "#5fe3ea")
OTHER_STYLES = "#5b6577"


def decode(model, code, hits=None, seed=0):
    """The bar that a model draws at a code (latent,): uint8, (8, 64).

    hits: how many, None for as many as the model expects there. seed: of the draw; within one, near codes have near
    bars.
    """
    import torch

    return model.draw(torch.as_tensor(code)[None], hits=hits, seed=seed)[0].numpy()


def random_code(latent, seed, index):
    """Random code number `index` of a seed, from the prior N(0, 1), the same however many are drawn: (latent,)."""
    return np.random.default_rng([seed, index]).standard_normal(latent).astype(np.float32)


class Plane:
    """The part of the latent space that the map shows.

    The space itself where it has two dimensions; else the plane of the first two principal components of the training
    bars' codes (of the first two axes, for a model that carries no codes).

    Attributes:
        points: the training bars on the map, float (bars, 2).
        labels, names: the style of each training bar, int (bars,), and the styles' names.
        reach: the map shows [-reach, reach] on both axes.
    """

    def __init__(self, model):
        latent = model.config["latent"]
        training_bars = model.map or {"codes": np.zeros((0, latent)), "labels": np.zeros(0), "label_names": []}
        codes = np.asarray(training_bars["codes"], dtype=float)
        self.centre, self.axes = np.zeros(latent), np.eye(2, latent)  # (latent,), (2, latent)
        if latent > 2 and len(codes) > 2:
            self.centre = codes.mean(axis=0)
            directions = np.linalg.eigh(np.cov(codes.T))[1]  # columns, by rising variance
            axes = directions[:, :-3:-1].T  # (2, latent)
            largest = np.abs(axes).argmax(axis=1)[:, None]
            self.axes = axes * np.sign(np.take_along_axis(axes, largest, 1))  # an eigenvector's sign is arbitrary
        self.points = self.from_codes(codes)
        self.labels, self.names = np.asarray(training_bars["labels"], dtype=int), list(training_bars["label_names"])
        self.reach = float(np.clip(1.08 * np.quantile(np.abs(self.points), 0.998), 2.5, 8)) if len(codes) else 3.0

    def to_code(self, x, y):
        """The code at a point of the map: float32, (latent,)."""
        return (self.centre + np.array([x, y]) @ self.axes).astype(np.float32)

    def from_codes(self, codes):
        """The points of the map nearest to codes (..., latent): (..., 2)."""
        return (np.asarray(codes) - self.centre) @ self.axes.T

    def style_near(self, x, y):
        """The commonest style among the training bars nearest to a point of the map; None without training bars."""
        if not len(self.points):
            return None
        distances = ((self.points - (x, y)) ** 2).sum(axis=1)
        nearest = np.argpartition(distances, min(NEIGHBOURS, len(distances)) - 1)[:NEIGHBOURS]
        return self.names[np.bincount(self.labels[nearest]).argmax()]


# Pictures --------------------------------------------------------------------------------------------------------

def bar_pixels(bar):
    """A bar (8, 64) as colours, (8, 64, 3): beats in two greys, a hit the brighter the louder."""
    from matplotlib.colors import to_rgb

    ghost, accent, loud, panel, beat = np.array([to_rgb(colour) for colour in (GHOST, ACCENT, LOUD, PANEL, BEAT)])
    ramp = [np.interp(np.arange(128), (1, 90, 127), levels) for levels in zip(ghost, accent, loud)]
    ground = np.where((np.arange(STEPS_PER_BAR) // 16 % 2 == 0)[:, None], beat, panel)  # (64, 3)
    return np.where(bar[..., None] > 0, np.stack(ramp, axis=1)[bar], ground)  # (8, 64, 3)


def draw_bar(axes, bar):
    """Draw a bar into axes, with the instruments' names and the beats; return its cells and the lines between."""
    from matplotlib.collections import LineCollection

    left, right, top, bottom = -0.5, STEPS_PER_BAR - 0.5, -0.5, len(INSTRUMENTS) - 0.5
    axes.set(xlim=(left, right), ylim=(bottom, top), facecolor=GROUND)
    columns, rows = range(1, STEPS_PER_BAR), range(1, len(INSTRUMENTS))
    cells = axes.pcolormesh(np.arange(STEPS_PER_BAR), np.arange(len(INSTRUMENTS)), bar_pixels(bar), shading="nearest")

    gaps = [((x - 0.5, top), (x - 0.5, bottom)) for x in columns]
    widths = [3 if x % 16 == 0 else 1.5 if x % 4 == 0 else 0.5 for x in columns]
    gaps += [((left, y - 0.5), (right, y - 0.5)) for y in rows]
    widths += [3.5 for _ in rows]
    lines = axes.add_collection(LineCollection(gaps, colors=GROUND, linewidths=widths), autolim=False)
    axes.set_yticks(range(len(INSTRUMENTS)), INSTRUMENTS, color=TEXT, fontsize=10)
    axes.set_xticks(range(0, STEPS_PER_BAR, 16), ["1", "2", "3", "4"], color=QUIET, fontsize=10)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=6)
    axes.spines[:].set_visible(False)
    return cells, lines


def draw_map(axes, plane):
    """Draw the codes of the training bars, the largest styles each in its colour, with a legend under the axes."""
    from matplotlib.patches import Circle

    axes.set(xlim=(-plane.reach, plane.reach), ylim=(-plane.reach, plane.reach), facecolor=PANEL, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for radius in (1, 2, 3):  # standard deviations of the prior
        axes.add_patch(Circle((0, 0), radius, fill=False, color=LINE, linewidth=0.8))
    counts = np.bincount(plane.labels, minlength=len(plane.names))
    named = [label for label in np.argsort(-counts, kind="stable") if counts[label]][:STYLES_NAMED]
    groups = [(colour, plane.names[label], plane.labels == label, 2.1) for colour, label in zip(STYLE_COLOURS, named)]
    groups.append((OTHER_STYLES, "other styles", ~np.isin(plane.labels, named), 2))
    size = np.clip(250 / np.sqrt(len(plane.points) + 1), 2.1, 3.2)  # points
    for colour, name, members, height in groups:
        if members.any():
            axes.plot(*plane.points[members].T, "o", color=colour, markersize=size, markeredgewidth=0, alpha=0.75,
                      label=name, zorder=height)
    if len(plane.points):
        legend = axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.015), ncols=4, frameon=False, labelcolor=TEXT,
                             fontsize=9.5, markerscale=8 / size, handletextpad=0.2, columnspacing=1.6)
        for handle in legend.legend_handles:
            handle.set_alpha(1)
