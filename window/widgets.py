"""What the window is drawn with: its colours, the map and the bar, and text, buttons and sliders on a panel.

    panel = Panel(figure)
    panel.button("Play", (0.5, 0.1, 0.1, 0.05), editor.play, look=lambda: ("Play", editor.playing))
    panel.capture()                     # after each full draw of the figure
    panel.paint()                       # what has changed since
"""

from collections import Counter, namedtuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Bbox, TransformedBbox
from matplotlib.widgets import Slider

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR

BACKGROUND, PANEL, BEAT, LINE = "#12151c", "#1a1f29", "#222936", "#343c4c"
TEXT, QUIET, ACCENT, WARNING = "#e8ebf1", "#909bb0", "#ffb347", "#ff7b72"
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
    """Draw a bar into axes, with the beats' numbers; return its cells and the lines between."""
    steps, rows = np.arange(STEPS_PER_BAR), np.arange(len(INSTRUMENTS))
    cells = axes.pcolormesh(steps, rows, bar_pixels(bar), shading="nearest")
    widths = [3 if step % 16 == 0 else 1.5 if step % 4 == 0 else 0.5 for step in steps[1:]]
    lines = (axes.vlines(steps[1:] - 0.5, -0.5, rows[-1] + 0.5, BACKGROUND, linewidths=widths),
             axes.hlines(rows[1:] - 0.5, -0.5, steps[-1] + 0.5, BACKGROUND, linewidths=3.5))
    axes.set(xlim=(-0.5, steps[-1] + 0.5), ylim=(rows[-1] + 0.5, -0.5), facecolor=BACKGROUND, yticks=[])
    axes.set_xticks(range(0, STEPS_PER_BAR, 16), ["1", "2", "3", "4"], color=QUIET, fontsize=10)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=6)
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


# The panel -------------------------------------------------------------------------------------------------------

class PaintedRegion:
    """Artists in a box of the figure, painted anew whenever look() gives another tuple; change(*look) updates them.

    patient: they can wait while the mouse drags.
    """

    def __init__(self, box, artists, look, change, patient=False):
        self.box, self.artists, self.look, self.change, self.patient = box, artists, look, change, patient
        self.background = self.painted = None  # the pixels below; the look that is painted

    def pixel_box(self, figure):
        """The box in pixels, and a little more for what rounding paints at its edge."""
        return TransformedBbox(Bbox.from_bounds(*self.box), figure.transFigure).padded(2)


ClickArea = namedtuple("ClickArea", "box action")  # it does action(x, y) where it is clicked, in fractions of the box


class Panel:
    """The widgets on a figure. Boxes are (left, bottom, width, height) in fractions of the figure.

    regions: what is painted anew where it changes. areas: ClickAreas by name. hovered: that under the mouse, or None.
    stale: the whole figure is to be drawn with the next frame. (`draw_idle` might wait for long: a busy window is never
    idle.)
    """

    def __init__(self, figure):
        self.figure, self.regions, self.areas, self.hovered, self.stale = figure, [], {}, None, False

    def text(self, x, y, text="", colour=TEXT, size=10.5, **style):
        """Text at a place, as an artist."""
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
        mark = Line2D([left + 0.01], [bottom + height / 2], marker="o" if dot else "", color=dot or TEXT, ms=7, mew=0)
        plain, lit_face, lit_text = (BEAT, ACCENT, BACKGROUND) if dot is None else (BACKGROUND, LINE, TEXT)

        def change(text, lit, hovered):
            label.set(text=text, color=lit_text if lit else TEXT)
            face.set_facecolor(lit_face if lit else LINE if hovered else plain)

        area = self.area(name, box, lambda x, y: action())
        self.region(box, [face, label, self.figure.add_artist(mark)], lambda: (*look(), self.hovered is area), change)

    def slider(self, place, label, values, action, look, shown=lambda: True):
        """A slider that does action(value). place: where its label may begin; left, width and bottom of its track.
        values: lowest, highest, step. look gives where it stands and the text, or format, that shows it; shown, whether
        it is there at all."""
        begin, left, width, bottom = place
        handle = dict(facecolor=TEXT, edgecolor=BACKGROUND, size=13)
        axes = self.figure.add_axes((left, bottom, width, 0.04))
        low, high, step = values
        slider = Slider(axes, label, low, high, valstep=step, color=ACCENT, track_color=BEAT, initcolor="none",
                        handle_style=handle)
        slider.drawon = False  # `paint` draws it
        slider.on_changed(action)
        for words, across in ((slider.label, -0.012), (slider.valtext, 0.012)):
            words.set(color=TEXT, fontsize=10, x=across / width + (across > 0))

        def change(now, text, visible):
            slider.eventson = False
            slider.set_val(np.clip(now, low, high))
            slider.eventson = True
            slider.valtext.set_text(text.format(now))
            slider.set_active(visible)
            axes.set_visible(visible)

        box = (begin, bottom, left + width + 0.0615 - begin, 0.04)
        self.region(box, [slider.ax], lambda: (*look(), shown()), change)
        return slider

    def capture(self):
        """After a full draw of the figure: keep what never changes, so that `paint` paints all regions over it."""
        for region in self.regions:
            region.background = self.figure.canvas.copy_from_bbox(region.pixel_box(self.figure))
            region.painted = None

    def paint(self, dragging=False):
        """Paint the regions whose look has changed."""
        for region in self.regions:
            if region.patient and dragging and region.painted:
                continue
            look = region.look()
            if look != region.painted:
                region.painted = look
                region.change(*look)
                self.figure.canvas.restore_region(region.background)
                for artist in region.artists:
                    self.figure.draw_artist(artist)


def shorten(text, most=100):
    """A text that fits the status line: its end is kept, a file's name is there."""
    return text if len(text) <= most else f"{text[:most // 3]} ... {text[5 + most // 3 - most:]}"
