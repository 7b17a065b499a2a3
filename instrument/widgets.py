"""What the window is drawn with: its colours, the map and the bar, and text, buttons and sliders on a panel.

    panel = Panel(figure)
    panel.button("Play", (0.5, 0.1, 0.1, 0.05), editor.play, look=lambda: ("Play", editor.playing))
    panel.capture()                     # after each full draw of the figure
    panel.paint()                       # what has changed since
"""

from collections import namedtuple

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Bbox, TransformedBbox
from matplotlib.widgets import Slider

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR

STYLES_NAMED = 7  # the largest styles have a colour of their own, the others share one
BACKGROUND, PANEL, BEAT, LINE = "#12151c", "#1a1f29", "#222936", "#343c4c"
TEXT, QUIET, ACCENT, WARNING = "#e8ebf1", "#909bb0", "#ffb347", "#ff7b72"
GHOST, LOUD = "#5c4a2e", "#fff1d6"  # the softest and the loudest hit; ACCENT lies between
STYLE_COLOURS = ("#4ea8ff", "#ff8f5a", "#46d39a", "#ff6f91", "#b892ff", "#ffe066", "#5fe3ea")
OTHER_STYLES = "#8a93a5"
FEW_HITS, MANY_HITS = "#1c2740", "#5a6a8c"  # the map's shades, where bars lie


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
    """Draw a bar into axes, with the beats' numbers; return its cells and the lines between."""
    left, right, top, bottom = -0.5, STEPS_PER_BAR - 0.5, -0.5, len(INSTRUMENTS) - 0.5
    axes.set(xlim=(left, right), ylim=(bottom, top), facecolor=BACKGROUND)
    columns, rows = range(1, STEPS_PER_BAR), range(1, len(INSTRUMENTS))
    cells = axes.pcolormesh(np.arange(STEPS_PER_BAR), np.arange(len(INSTRUMENTS)), bar_pixels(bar), shading="nearest")

    gaps = [((x - 0.5, top), (x - 0.5, bottom)) for x in columns]
    widths = [3 if x % 16 == 0 else 1.5 if x % 4 == 0 else 0.5 for x in columns]
    gaps += [((left, y - 0.5), (right, y - 0.5)) for y in rows]
    widths += [3.5 for _ in rows]
    lines = axes.add_collection(LineCollection(gaps, colors=BACKGROUND, linewidths=widths), autolim=False)
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


def draw_map(axes, plane, density):
    """Draw the hit density and the codes of the training bars, the largest styles each in its colour.

    Returns the density's image and a function: emphasise(label) lets one style stand out, None all alike.
    """
    reach = plane.reach
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), facecolor=PANEL, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    image = axes.imshow(density_pixels(density), extent=(-reach, reach, -reach, reach), origin="lower", aspect="auto",
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


# The panel -------------------------------------------------------------------------------------------------------

class PaintedRegion:
    """Artists that are painted over a box of the figure, anew whenever their look changes.

    look: a function that gives the look as a tuple; change: brings the artists up to one. patient: it can wait while
    the mouse drags.
    """

    def __init__(self, box, artists, look, change, patient=False):
        self.box, self.artists, self.look, self.change, self.patient = box, artists, look, change, patient
        self.background = self.painted = None  # the pixels below; the look that is painted

    def pixel_box(self, figure):
        """The box in pixels, and a little more for what rounding paints at its edge."""
        return TransformedBbox(Bbox.from_bounds(*self.box), figure.transFigure).padded(2)

    def paint(self, canvas):
        """Paint the artists if their look has changed; return whether."""
        look = self.look()
        if look == self.painted:
            return False
        self.painted = look
        self.change(*look)
        canvas.restore_region(self.background)
        for artist in self.artists:
            canvas.figure.draw_artist(artist)
        return True


ClickArea = namedtuple("ClickArea", "box action")  # it does action(x, y) where it is clicked, in fractions of the box


class Panel:
    """The widgets on a figure. Boxes are (left, bottom, width, height) in fractions of the figure.

    Attributes:
        regions: what is painted anew where it changes. areas: the ClickAreas by their names.
        hovered: the ClickArea under the mouse, or None.
    """

    def __init__(self, figure):
        self.figure, self.regions, self.areas, self.hovered = figure, [], {}, None

    def text(self, x, y, text="", colour=TEXT, size=10.5, **style):
        """Text that starts (or by `ha` ends) at a place, as an artist."""
        return self.figure.text(x, y, text, color=colour, fontsize=size, va="center", **style)

    def changing_text(self, x, y, box, look, patient=False, **style):
        """Text that changes within a box; look gives (text,) or (text, colour)."""
        artist = self.text(x, y, **style)
        self.region(box, [artist], look, lambda text, colour=TEXT: artist.set(text=text, color=colour), patient)

    def region(self, box, artists, look, change, patient=False):
        """Add a PaintedRegion, and return it."""
        self.regions.append(PaintedRegion(box, artists, look, change, patient))
        return self.regions[-1]

    def area(self, name, box, action):
        """Add a ClickArea, and return it."""
        self.areas[name] = ClickArea(box, action)
        return self.areas[name]

    def area_at(self, x, y):
        """The ClickArea at a pixel of the figure, and where in it (fractions from its lower left); or (None, None)."""
        x, y = x / self.figure.bbox.width, y / self.figure.bbox.height
        for area in self.areas.values():
            left, bottom, width, height = area.box
            if 0 <= x - left < width and 0 <= y - bottom < height:
                return area, ((x - left) / width, (y - bottom) / height)
        return None, None

    def button(self, name, box, action, look, dot=None):
        """look gives (label, whether it is lit); dot: the colour of a dot before the label, "" to leave room for it."""
        left, bottom, width, height = box
        face = self.figure.add_artist(Rectangle((left, bottom), width, height, lw=0))
        x, size, align = (left + width / 2, 10, "center") if dot is None else (left + 0.019, 9.5, "left")
        label = self.text(x, bottom + 0.48 * height, size=size, ha=align)
        artists = [face, label]
        if dot:
            artists.append(self.figure.add_artist(Line2D([left + 0.01], [bottom + height / 2], marker="o", color=dot,
                                                         markersize=7, markeredgewidth=0)))
        plain, lit_face, lit_text = (BEAT, ACCENT, BACKGROUND) if dot is None else (BACKGROUND, LINE, TEXT)

        def change(text, lit, hovered):
            label.set(text=text, color=lit_text if lit else TEXT)
            face.set_facecolor(lit_face if lit else LINE if hovered else plain)

        area = self.area(name, box, lambda x, y: action())
        self.region(box, artists, lambda: (*look(), self.hovered is area), change)

    def slider(self, y, label, low, high, step, action, look):
        """A slider that does action(value); look gives (value, its text)."""
        slider = Slider(self.figure.add_axes((0.53, y, 0.315, 0.04)), label, low, high, valstep=step, color=ACCENT,
                        track_color=BEAT, initcolor="none",
                        handle_style={"facecolor": TEXT, "edgecolor": BACKGROUND, "size": 13})
        slider.drawon = False  # `paint` draws it
        slider.on_changed(action)
        slider.label.set(color=TEXT, fontsize=10.5)
        slider.valtext.set(color=TEXT, fontsize=10.5)

        def change(value, text):
            slider.eventson = False
            slider.set_val(np.clip(value, low, high))
            slider.eventson = True
            slider.valtext.set_text(text)

        self.region((0.445, y, 0.468, 0.04), [slider.ax], look, change)
        return slider

    def capture(self):
        """After a full draw of the figure: keep what never changes, so that `paint` paints all regions over it."""
        for region in self.regions:
            region.background = self.figure.canvas.copy_from_bbox(region.pixel_box(self.figure))
            region.painted = None

    def paint(self, dragging=False):
        """Paint the regions whose look has changed; those that are patient wait while the mouse drags."""
        for region in self.regions:
            if not (region.patient and dragging and region.painted):
                region.paint(self.figure.canvas)


def shorten(text, most=100):
    """A text that fits the status line: its end is kept, a file's name is there."""
    return text if len(text) <= most else f"{text[:most // 3]} ... {text[5 + most // 3 - most:]}"


def cut_short(text, most):
    """A text cut to a number of characters, the last one an ellipsis."""
    return text if len(text) <= most else f"{text[:most - 1]}\N{HORIZONTAL ELLIPSIS}"


def padlock_marker():
    """A marker: a closed padlock."""
    angles = np.linspace(0, np.pi, 12)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    shackle = np.concatenate([0.4 * arc, 0.22 * arc[::-1], 0.4 * arc[:1]]) + (0, 0.05)
    body = np.array([(-0.55, -0.75), (0.55, -0.75), (0.55, 0.1), (-0.55, 0.1), (-0.55, -0.75)])
    return Path.make_compound_path(Path(body, closed=True), Path(shackle, closed=True))
