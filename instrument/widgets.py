"""The map: where the training bars of a model lie, what it draws between them, where nothing is; and a bar's picture.

    plane = LatentPlane(model)                                  # a BernoulliVAE of bars
    code = plane.to_code(0.5, -1.0)                       # float32, (latent,)
    ground = HitDensity(plane)
    while not ground.compute_next(model): pass
    draw_map(figure.add_subplot(1, 2, 1), plane, ground)
    cells, lines = draw_bar(figure.add_subplot(1, 2, 2), bar)
"""

from collections import namedtuple

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.path import Path
from matplotlib.transforms import Bbox, TransformedBbox

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR

STYLES_NAMED = 7  # the largest styles have a colour of their own, the others share one
GROUND, PANEL, BEAT, LINE = "#12151c", "#1a1f29", "#222936", "#343c4c"
TEXT, QUIET, ACCENT, WARNING = "#e8ebf1", "#909bb0", "#ffb347", "#ff7b72"
GHOST, LOUD = "#5c4a2e", "#fff1d6"  # the softest and the loudest hit; ACCENT lies between
STYLE_COLOURS = ("#4ea8ff", "#ff8f5a", "#46d39a", "#ff6f91", "#b892ff", "#ffe066", "#5fe3ea")
OTHER_STYLES = "#8a93a5"
FEW_HITS, MANY_HITS = "#1c2740", "#5a6a8c"  # the ground of the map where bars lie


# Pictures --------------------------------------------------------------------------------------------------------

def ground_pixels(ground):
    """Colours, (cells, cells, 3): dark where nothing is, the lighter the more hits."""
    few, many, panel = np.array([to_rgb(colour) for colour in (FEW_HITS, MANY_HITS, PANEL)])
    low, high = ground.range() or (0, 1)
    level = np.clip((np.where(np.isfinite(ground.hits), ground.hits, low) - low) / max(high - low, 1e-9), 0, 1)
    shown = ground.coverage[..., None] * (ground.range() is not None)
    return panel + shown * (few + level[..., None] * (many - few) - panel)


def bar_pixels(bar):
    """A bar (8, 64) as colours, (8, 64, 3): beats in two greys, a hit the brighter the louder."""
    ghost, accent, loud, panel, beat = np.array([to_rgb(colour) for colour in (GHOST, ACCENT, LOUD, PANEL, BEAT)])
    ramp = [np.interp(np.arange(128), (1, 90, 127), levels) for levels in zip(ghost, accent, loud)]
    ground = np.where((np.arange(STEPS_PER_BAR) // 16 % 2 == 0)[:, None], beat, panel)  # (64, 3)
    return np.where(bar[..., None] > 0, np.stack(ramp, axis=1)[bar], ground)  # (8, 64, 3)


def draw_bar(axes, bar):
    """Draw a bar into axes, with the beats' numbers; return its cells and the lines between."""
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
    image = axes.imshow(ground_pixels(ground), extent=(-reach, reach, -reach, reach), origin="lower", aspect="auto",
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


class Part:
    """Artists that are painted over a box of the figure, anew whenever their look changes.

    box: left, bottom, width and height, in fractions of the figure. look: a function that gives the look as a tuple;
    change: brings the artists up to one. patient: it can wait while the mouse drags.
    """

    def __init__(self, box, artists, look, change, patient=False):
        self.box, self.artists, self.look, self.change, self.patient = box, artists, look, change, patient
        self.under = self.shown = None  # the pixels below; the look that is painted

    def box_in(self, figure):
        """The box in pixels, and a little more for what rounding paints at its edge."""
        return TransformedBbox(Bbox.from_bounds(*self.box), figure.transFigure).padded(2)

    def paint(self, canvas):
        """Paint the artists if their look has changed; return whether."""
        look = self.look()
        if look == self.shown:
            return False
        self.shown = look
        self.change(*look)
        canvas.restore_region(self.under)
        for artist in self.artists:
            canvas.figure.draw_artist(artist)
        return True


ClickArea = namedtuple("ClickArea", "name box act")


def shortened(text, most=100):
    """A text that fits the status line: its end is kept, a file's name is there."""
    return text if len(text) <= most else f"{text[:most // 3]} ... {text[5 + most // 3 - most:]}"


def cut_short(text, most):
    return text if len(text) <= most else f"{text[:most - 1]}\N{HORIZONTAL ELLIPSIS}"


def rgb(colour):
    return np.array(to_rgb(colour))


def padlock_marker():
    """A marker: a closed padlock."""
    angles = np.linspace(0, np.pi, 12)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    shackle = np.concatenate([0.4 * arc, 0.22 * arc[::-1], 0.4 * arc[:1]]) + (0, 0.05)
    body = np.array([(-0.55, -0.75), (0.55, -0.75), (0.55, 0.1), (-0.55, 0.1), (-0.55, -0.75)])
    return Path.make_compound_path(Path(body, closed=True), Path(shackle, closed=True))
