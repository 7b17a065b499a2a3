"""What the window is drawn with: its colours, the map, the bar.

    cells, *lines = draw_bar(axes, bar)
    cells.set_array(bar_pixels(other_bar))
"""

from collections import Counter

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.path import Path

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR

BACKGROUND, PANEL, BEAT, LINE = "#12151c", "#1a1f29", "#222936", "#343c4c"
TEXT, QUIET, FAINT, ACCENT, WARNING = "#e8ebf1", "#909bb0", "#5d6880", "#ffb347", "#ff7b72"
FILL = "#8a6a3c"  # of a slider whose value stands on it
GHOST, LOUD = "#5c4a2e", "#fff1d6"  # the softest and the loudest hit; ACCENT lies between
STYLE_COLOURS = ("#4ea8ff", "#ff8f5a", "#46d39a", "#ff6f91", "#b892ff", "#ffe066", "#5fe3ea")  # of the largest styles
OTHER_STYLES = "#8a93a5"
FEW_HITS, MANY_HITS = "#1c2740", "#5a6a8c"  # the map's shades, where bars lie
PADLOCK = Path([(-0.55, -0.75), (0.55, -0.75), (0.55, 0.1), (0.4, 0.1), (0.4, 0.35), (0.18, 0.58), (-0.18, 0.58),
                (-0.4, 0.35), (-0.4, 0.1), (-0.22, 0.1), (-0.22, 0.28), (-0.1, 0.4), (0.1, 0.4), (0.22, 0.28),
                (0.22, 0.1), (-0.55, 0.1), (-0.55, -0.75)], closed=True)  # a marker


# The map and the bar ---------------------------------------------------------------------------------------------

def density_pixels(density):
    """The colours of a HitDensity, (cells, cells, 3): dark where no bars lie, the lighter the more hits."""
    few, many, panel = np.array([to_rgb(colour) for colour in (FEW_HITS, MANY_HITS, PANEL)])
    low, high = density.range() or (0, 1)
    level = np.clip((np.where(np.isfinite(density.hits), density.hits, low) - low) / max(high - low, 1e-9), 0, 1)
    shown = density.coverage[..., None] * (density.range() is not None)
    return panel + shown * (few + level[..., None] * (many - few) - panel)


def bar_pixels(bar):
    """A bar (8, 64) as colours, (8, 64, 3): beats in two greys, a hit the brighter the louder."""
    ghost, accent, loud, panel, beat = np.array([to_rgb(colour) for colour in (GHOST, ACCENT, LOUD, PANEL, BEAT)])
    ramp = [np.interp(np.arange(128), (1, 90, 127), levels) for levels in zip(ghost, accent, loud)]
    empty = np.where((np.arange(STEPS_PER_BAR) // 16 % 2 == 0)[:, None], beat, panel)  # (64, 3)
    return np.where(bar[..., None] > 0, np.stack(ramp, axis=1)[bar], empty)  # (8, 64, 3)


def draw_bar(axes, bar):
    """Draw a bar into axes; return its cells and the lines between."""
    steps, rows = np.arange(STEPS_PER_BAR), np.arange(len(INSTRUMENTS))
    cells = axes.pcolormesh(steps, rows, bar_pixels(bar), shading="nearest")
    widths = [3 if step % 16 == 0 else 1.5 if step % 4 == 0 else 0.5 for step in steps[1:]]
    lines = (axes.vlines(steps[1:] - 0.5, -0.5, rows[-1] + 0.5, BACKGROUND, linewidths=widths),
             axes.hlines(rows[1:] - 0.5, -0.5, steps[-1] + 0.5, BACKGROUND, linewidths=3.5))
    axes.set(xlim=(-0.5, steps[-1] + 0.5), ylim=(rows[-1] + 0.5, -0.5), facecolor=BACKGROUND, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return cells, *lines


def style_groups(plane):
    """The largest styles, each with its colour, largest first: [(label, name, colour)]; the others share one."""
    largest = Counter(plane.labels.tolist()).most_common(len(STYLE_COLOURS))
    return [(label, plane.names[label], colour) for (label, _), colour in zip(largest, STYLE_COLOURS)]


def draw_map(axes, plane, density):
    """Draw the hit density and the codes of the training bars, the largest styles each in its colour.

    Returns the density's image and a function: emphasise(name, zoom, points) lets one style stand out, its dots at
    these points, any other name none; dots grow a little with the zoom.
    """
    reach = plane.reach
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), facecolor=PANEL, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    image = axes.imshow(density_pixels(density), extent=(-reach, reach, -reach, reach), origin="lower", aspect="auto",
                        interpolation="bilinear", zorder=0)
    colours = dict.fromkeys(range(len(plane.names)), OTHER_STYLES)
    colours |= {label: colour for label, _, colour in style_groups(plane)}
    size = np.clip(180 / np.sqrt(len(plane.points) + 1), 1.5, 3.2)  # points
    dots = [axes.plot(*plane.points[plane.labels == label].T, "o", color=colour, ms=size, mew=0)[0]
            for label, colour in colours.items()]

    def emphasise(chosen, zoom=1.0, points=None):
        for label, (name, line) in enumerate(zip(plane.names, dots)):
            there = plane.points[plane.labels == label] if name != chosen or points is None else points
            alpha, larger = (1.0, 1.4) if name == chosen else (0.1 if chosen in plane.names else 0.75, 1)
            line.set(alpha=alpha, markersize=size * larger * zoom ** 0.4, zorder=3 if name == chosen else 2)
            line.set_data(*there.T)

    emphasise(None)
    return image, emphasise
