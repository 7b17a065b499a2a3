"""The map: where the training bars of a model lie, what it draws between them, where nothing is; and a bar's picture.

    plane = Plane(model)                                  # a BernoulliVAE of bars
    code = plane.to_code(0.5, -1.0)                       # float32, (latent,)
    ground = Ground(plane)
    while not ground.go_on(model): pass
    draw_map(figure.add_subplot(1, 2, 1), plane, ground)
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
OTHER_STYLES = "#8a93a5"
FEW_HITS, MANY_HITS = "#1c2740", "#5a6a8c"  # the ground of the map where bars lie
GROUND_CELLS = 36  # along each side of the map
NEAR = 0.1  # of the map's reach: a point has played bars near it if some are within


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


class Ground:
    """What the map shows under its dots: how many hits the model draws at a place, and nothing where no bars lie near.

    Attributes:
        presence: are there training bars near a cell? 0 none to 1 some: float (cells, cells), rows from y = -reach up.
        hits: of the bars that are drawn there, smoothed; nan where none has been drawn yet or none ever will.
    """

    def __init__(self, plane):
        self.plane, cells = plane, GROUND_CELLS
        self.edges = np.linspace(-plane.reach, plane.reach, cells + 1)
        x, y = plane.points.T
        counts = np.histogram2d(y, x, bins=(self.edges, self.edges))[0]
        self.presence = np.minimum(_blurred(counts, NEAR / 2 * cells), 1)
        self.start()

    def start(self):
        """Forget what has been drawn."""
        self.hits = np.full(self.presence.shape, np.nan)
        self.left = np.argwhere(self.presence > 0)

    def go_on(self, model, style=None, seed=0, count=32):
        """Draw bars at some more cells; return whether that was all. One noise for all: only the place differs."""
        import torch

        from decoders import logistic_noise

        now, self.left = self.left[:count], self.left[count:]
        if len(now):
            centres = (self.edges[:-1] + self.edges[1:]) / 2
            codes = torch.as_tensor(np.stack([self.plane.to_code(centres[x], centres[y]) for y, x in now]))
            noise = logistic_noise((1, len(INSTRUMENTS) * STEPS_PER_BAR), torch.Generator().manual_seed(seed))
            with torch.no_grad():
                cells = model.decoder.draw(model.tell(codes, style), noise.expand(len(codes), -1))
            self.hits[tuple(now.T)] = cells.sum(-1).numpy()
        if not len(self.left) and len(now):
            there = np.isfinite(self.hits)
            weights = _blurred(there.astype(float), 2.5)
            smooth = _blurred(np.where(there, self.hits, 0), 2.5) / np.maximum(weights, 1e-9)
            self.hits = np.where(there, smooth, np.nan)
        return not len(self.left)

    def range(self):
        """The fewest and the most hits that the shade tells apart; None before it is drawn."""
        drawn = self.hits[np.isfinite(self.hits)]
        return None if len(self.left) or not len(drawn) else tuple(np.quantile(drawn, (0.05, 0.95)))

    def presence_at(self, x, y):
        """The presence at a point of the map."""
        column, row = np.clip(np.searchsorted(self.edges, (x, y)) - 1, 0, GROUND_CELLS - 1)
        return self.presence[row, column]

    def pixels(self):
        """Colours, (cells, cells, 3): dark where nothing is, the lighter the more hits."""
        from matplotlib.colors import to_rgb

        few, many, panel = np.array([to_rgb(colour) for colour in (FEW_HITS, MANY_HITS, PANEL)])
        low, high = self.range() or (0, 1)
        level = np.clip((np.where(np.isfinite(self.hits), self.hits, low) - low) / max(high - low, 1e-9), 0, 1)
        shown = self.presence[..., None] * (self.range() is not None)
        return panel + shown * (few + level[..., None] * (many - few) - panel)


def _blurred(cells, radius):
    """The sum over the cells around each, weighted by a cone that ends at a radius, in cells: the same shape."""
    reach = int(np.ceil(radius))
    offsets = np.arange(-reach, reach + 1)
    padded, total = np.pad(cells, reach), np.zeros_like(cells)
    for dy in offsets:
        for dx in offsets:
            weight = max(0.0, 1 - np.hypot(dy, dx) / radius)
            total += weight * padded[reach + dy:reach + dy + len(cells), reach + dx:reach + dx + len(cells)]
    return total


# Pictures --------------------------------------------------------------------------------------------------------

def bar_pixels(bar):
    """A bar (8, 64) as colours, (8, 64, 3): beats in two greys, a hit the brighter the louder."""
    from matplotlib.colors import to_rgb

    ghost, accent, loud, panel, beat = np.array([to_rgb(colour) for colour in (GHOST, ACCENT, LOUD, PANEL, BEAT)])
    ramp = [np.interp(np.arange(128), (1, 90, 127), levels) for levels in zip(ghost, accent, loud)]
    ground = np.where((np.arange(STEPS_PER_BAR) // 16 % 2 == 0)[:, None], beat, panel)  # (64, 3)
    return np.where(bar[..., None] > 0, np.stack(ramp, axis=1)[bar], ground)  # (8, 64, 3)


def draw_bar(axes, bar):
    """Draw a bar into axes, with the beats' numbers; return its cells and the lines between."""
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
    axes.set_yticks([])
    axes.set_xticks(range(0, STEPS_PER_BAR, 16), ["1", "2", "3", "4"], color=QUIET, fontsize=10)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=6)
    axes.spines[:].set_visible(False)
    return cells, lines


def style_groups(plane):
    """The largest styles, each with its colour, largest first: [(label, name, colour)]; the others share one."""
    counts = np.bincount(plane.labels, minlength=len(plane.names))
    largest = [label for label in np.argsort(-counts, kind="stable") if counts[label]][:STYLES_NAMED]
    return [(label, plane.names[label], colour) for label, colour in zip(largest, STYLE_COLOURS)]


def draw_map(axes, plane, ground):
    """Draw the ground and the codes of the training bars, the largest styles each in its colour.

    Returns the ground's image and a function: emphasise(label) lets one style stand out, None all alike.
    """
    reach = plane.reach
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), facecolor=PANEL, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    image = axes.imshow(ground.pixels(), extent=(-reach, reach, -reach, reach), origin="lower", aspect="auto",
                        interpolation="bilinear", zorder=0)
    colours = dict.fromkeys(range(len(plane.names)), OTHER_STYLES)
    colours |= {label: colour for label, _, colour in style_groups(plane)}
    size = np.clip(180 / np.sqrt(len(plane.points) + 1), 1.5, 3.2)  # points
    dots = {label: axes.plot(*plane.points[plane.labels == label].T, "o", color=colours[label], markersize=size,
                             markeredgewidth=0)[0] for label in range(len(plane.names))}

    def emphasise(chosen):
        for label, line in dots.items():
            line.set(alpha=0.75 if chosen is None else 1.0 if label == chosen else 0.1, zorder=2 + (label == chosen),
                     markersize=size * (1.4 if label == chosen else 1))

    emphasise(None)
    return image, emphasise
