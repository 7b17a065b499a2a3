"""A panel of the window: a part of the figure with texts, buttons and sliders; it paints anew what has changed.

    panel = Panel(figure)
    panel.place((0.45, 0, 0.55, 1))
    panel.button("Play", (0.5, 0.1, 0.1, 0.05), editor.play, lambda: ("Play", editor.playing), "Play, or stop: space.")
    figure.canvas.draw(); panel.capture()                     # after each full draw of the figure
    panel.paint()                                             # what has changed since

Boxes are (left, bottom, width, height), in fractions of the panel.
"""

from dataclasses import dataclass
from typing import Callable

import numpy as np
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox, ScaledTranslation, TransformedBbox

from window import widgets
from window.widgets import ACCENT, BACKGROUND, BEAT, LINE, QUIET, TEXT


@dataclass(eq=False)
class Area:
    """A box that answers the mouse, by functions of the place (x, y) in fractions of the box.

    press, drag, release: of the left button; shifted: in place of press while Shift is down. pan, drag_pan: press and
    drag of another button. reset: a double click, or a click of another button. wheel(x, y, steps), slide(x, y, steps):
    the wheel, and the wheel with Shift. tip: what a click does, in a sentence. margin: how far beside the box the mouse
    is on it too, in fractions of the panel.
    """

    box: tuple
    tip: str
    press: Callable = None
    shifted: Callable = None
    drag: Callable = None
    release: Callable = None
    pan: Callable = None
    drag_pan: Callable = None
    reset: Callable = None
    wheel: Callable = None
    slide: Callable = None
    margin: float = 0.0


class PaintedRegion:
    """Artists in a box of a panel, painted anew whenever look() gives another tuple; change(*look) updates them.

    patient: they can wait while the mouse drags.
    """

    def __init__(self, box, artists, look, change, patient=False):
        self.box, self.artists, self.look, self.change, self.patient = box, artists, look, change, patient
        self.background = self.painted = None  # the pixels below; the look that is painted


class Panel:
    """The widgets on a part of the figure.

    regions: what is painted anew where it changes. areas, sliders: what answers the mouse, by name. hovered: the area
    under the mouse, or None. second_rank: artists that a narrow window leaves out. stale: the whole figure is to be
    drawn with the next frame. (`draw_idle` might wait for long: a busy window is never idle.)
    """

    def __init__(self, figure):
        self.figure, self.part = figure, figure.add_subfigure(GridSpec(1, 1, figure)[0])
        self.regions, self.areas, self.hovered, self.stale = [], {}, None, False
        self.sliders, self.second_rank = {}, []

    def place(self, box):
        """Be that box of the figure."""
        self.part.bbox_relative.set(Bbox.from_bounds(*box))

    @property
    def shown(self):
        return self.part.get_visible()

    def show(self, shown=True):
        """Show or hide the panel, with the next full draw."""
        self.stale = self.stale or shown != self.shown
        self.part.set_visible(shown)

    def pixel_box(self, box):
        """A box of the panel in pixels of the figure."""
        return TransformedBbox(Bbox.from_bounds(*box), self.part.transSubfigure)

    def pixel_of(self, box, across=0.5, up=0.5):
        """The pixel, from the figure's lower left, of a place in a box: (x, y)."""
        left, bottom, width, height = box
        return np.round(self.part.transSubfigure.transform((left + across * width, bottom + up * height)))

    # What is on it

    def text(self, x, y, text="", colour=TEXT, size=10.5, **style):
        """Text at a place, as an artist."""
        return self.part.text(x, y, text, color=colour, fontsize=size, va="center", parse_math=False, **style)

    def changing_text(self, x, y, box, look, patient=False, **style):
        """Text that changes within a box, shortened to its width; look gives (text,) or (text, colour)."""
        artist = self.text(x, y, **style)
        left, _, width, _ = box
        room = {"left": left + width - x, "right": x - left, "center": 2 * min(x - left, left + width - x)}
        room = room[style.get("ha", "left")]

        def change(text, colour=TEXT):
            artist.set_color(colour)
            self.fit_text(artist, text, room)

        self.region(box, [artist], look, change, patient)
        return artist

    def fit_text(self, artist, text, room):
        """Let an artist show a text, shortened where it is wider than `room`, a fraction of the panel."""
        fit_text(artist, text, room * self.part.bbox.width)

    def region(self, box, artists, look, change, patient=False):
        """Add a PaintedRegion, and return it."""
        for artist in artists:
            artist.set_animated(True)
        self.regions.append(PaintedRegion(box, artists, look, change, patient))
        return self.regions[-1]

    def area(self, name, box, tip, press=None, **actions):
        """Add an Area, and return it."""
        self.areas[name] = Area(box, tip, press, **actions)
        return self.areas[name]

    def area_at(self, x, y):
        """The Area at a pixel of the figure, or None."""
        x, y = self.part.transSubfigure.inverted().transform((x, y))
        for area in self.areas.values():
            left, bottom, width, height = area.box
            if -area.margin <= x - left < width + area.margin and 0 <= y - bottom < height:
                return area

    def place_in(self, area, x, y):
        """Where in an area's box a pixel of the figure lies, in fractions of the box."""
        x, y = self.part.transSubfigure.inverted().transform((x, y))
        left, bottom, width, height = area.box
        return (x - left) / width, (y - bottom) / height

    def button(self, name, box, action, look, tip, dot=None, quiet=False, shifted=None):
        """look gives (label, whether it is lit). quiet: one of a group; dot: quiet, with the colour of a dot before its
        label, "" to leave room for it. shifted: what a click with Shift does."""
        left, bottom, width, height = box
        face = self.part.add_artist(Rectangle((left, bottom), width, height, lw=0))
        start = 0 if dot is None else min(0.25 * width, 0.043)
        x, align = (left + width / 2, "center") if dot is None else (left + start, "left")
        label = self.text(x, bottom + 0.48 * height, size=10 if dot is None else 9.5, ha=align)
        mark = Line2D([left + start / 2], [bottom + height / 2], marker="o" if dot else "", color=dot or TEXT, ms=7,
                      mew=0)
        plain, lit_face, lit_text = (BEAT, ACCENT, BACKGROUND)
        if quiet or dot is not None:
            plain, lit_face, lit_text = (BACKGROUND, LINE, TEXT)

        def change(text, lit, hovered):
            label.set_color(lit_text if lit else TEXT)
            self.fit_text(label, text, width - start)
            face.set_facecolor(lit_face if lit else LINE if hovered else plain)

        area = self.area(name, box, tip, lambda x, y: action(), shifted=shifted and (lambda x, y: shifted()))
        self.region(box, [face, label, self.part.add_artist(mark)], lambda: (*look(), self.hovered is area), change)

    def row_name(self, name, label, box, tip, action, look):
        """The label of a row with a padlock; look gives whether it is locked, and whether it sounds now."""
        left, bottom, width, height = box
        middle = bottom + height / 2
        lock = Line2D([left + 0.018], [middle], marker=widgets.PADLOCK, ms=10, mew=0)
        words = self.text(left + width - 0.01, middle, label, size=10, ha="right")

        def change(locked, sounding, hovered):
            lock.set_color(ACCENT if locked else QUIET if hovered else LINE)
            words.set_color(ACCENT if locked or sounding else TEXT)

        area = self.area(name, box, tip, lambda x, y: action())
        return self.region(box, [self.part.add_artist(lock), words], lambda: (*look(), self.hovered is area), change)

    def slider(self, name, box, values, action, look, tip, **options):
        """Add a Slider."""
        self.sliders[name] = Slider(self, name, box, values, action, look, tip, **options)

    # Painting

    def capture(self):
        """After a full draw of the figure: keep what never changes, so that `paint` paints all regions over it."""
        for region in self.regions:
            region.background = self.figure.canvas.copy_from_bbox(self.pixel_box(region.box).padded(2))
            region.painted = None

    def paint(self, dragging=False):
        """Paint the regions whose look has changed."""
        for region in self.regions:
            if not (region.patient and dragging and region.painted):
                self.paint_region(region)

    def paint_region(self, region):
        """Paint a region if its look has changed; return whether it has."""
        look = region.look()
        if look == region.painted:
            return False
        region.painted = look
        region.change(*look)
        self.figure.canvas.restore_region(region.background)
        for artist in region.artists:
            self.figure.draw_artist(artist)
        return True


class Overlay(Panel):
    """A panel that lies over all others while it is shown. The next click closes it."""

    def __init__(self, figure):
        super().__init__(figure)
        self.artists = []
        self.part.set_visible(False)

    def add(self, artist):
        """Add an artist, and return it."""
        if artist.figure is None:
            self.part.add_artist(artist)
        artist.set_animated(True)
        self.artists.append(artist)
        return artist

    def paint_over(self):
        """Paint it over what is there."""
        for artist in self.artists:
            self.figure.draw_artist(artist)


@dataclass(eq=False)
class Slider:
    """A slider in a box of a panel: a label, a track, the value.

    values: lowest, highest, step. action(value): what it does. look gives the value, the text or format that shows it
    and, if there is one, whether it is but shown, and left to the model; shown: whether it is there at all. room: the
    widths of label and value, in fractions of the panel; without room, the value stands on the track. default: done by
    a double click or another button.
    """

    panel: Panel
    name: str
    box: tuple
    values: tuple
    action: Callable
    look: Callable
    tip: str
    label: str = ""
    room: tuple = (0.0, 0.0)
    shown: Callable = lambda: True
    default: Callable = None

    def __post_init__(self):
        left, bottom, width, height = self.box
        self.track = (left + self.room[0], bottom, width - sum(self.room), height)
        self.inside, self.last = not any(self.room), None
        self.make_artists()
        self.panel.region(self.box, self.artists, lambda: (*self.full_look(), self.shown()), self.change, patient=True)
        self.panel.area(self.name, self.track, self.tip, self.press, drag=self.set, wheel=self.turn,
                        reset=self.default and (lambda x, y: self.default()),
                        margin=0 if self.inside else 0.012)

    def make_artists(self):
        panel, (left, bottom, width, height) = self.panel, self.track
        middle, high = bottom + height / 2, (0.62 if self.inside else 0.34) * height
        bars = [panel.part.add_artist(Rectangle((left, middle - high / 2), width, high, lw=0, fc=colour))
                for colour in (BEAT, ACCENT)]
        self.fill = bars[1]
        self.handle = panel.part.add_artist(Line2D([left], [middle], ms=13, marker="" if self.inside else "o",
                                                   mec=BACKGROUND, mew=1))
        beside = [panel.part.transSubfigure + ScaledTranslation(points / 72, 0, panel.figure.dpi_scale_trans)
                  for points in (-11, 12)]  # of the handle
        label = panel.text(left, middle, self.label, size=10, ha="right", transform=beside[0])
        if self.inside:
            self.value_text = panel.text(left + width / 2, middle, size=9, ha="center")
        else:
            self.value_text = panel.text(left + width, middle, size=10, transform=beside[1])
        self.artists = [*bars, self.handle, label, self.value_text]

    def full_look(self):
        value, text, *faint = self.look()
        return value, text, bool(faint and faint[0])

    def change(self, value, text, faint, shown):
        low, high, _ = self.values
        left, _, width, _ = self.track
        share = float(np.clip((value - low) / (high - low), 0, 1))
        start = 0.5 if self.inside and low == -high else 0  # to both sides, where 0 is in the middle
        self.fill.set(x=left + min(share, start) * width, width=abs(share - start) * width,
                      facecolor=LINE if faint else widgets.FILL if self.inside else ACCENT)
        self.handle.set(xdata=[left + share * width], markerfacecolor=QUIET if faint else TEXT)
        self.value_text.set(text=text.format(value), color=QUIET if faint else TEXT)
        for artist in self.artists:
            artist.set_visible(shown)

    def across(self, value):
        """Where on the track a value is, 0 to 1."""
        low, high, _ = self.values
        return (value - low) / (high - low)

    def press(self, x, y):
        self.last = None
        self.set(x, y)

    def set(self, x, y):
        """Take the value at a place of the track."""
        low, high, step = self.values
        value = float(np.clip(low + round(x * (high - low) / step) * step, low, high))
        if value != self.last and self.shown():
            self.last = value
            self.action(value)

    def turn(self, x, y, steps):
        """Take a value so many steps higher, at least one."""
        low, high, step = self.values
        if self.shown():
            steps = np.sign(steps) * max(1, round(abs(steps)))  # a pinch sends fractions
            self.action(float(np.clip(self.look()[0] + steps * step, low, high)))


def extent(text):
    """The box of a text in pixels. (By itself it would ask the canvas of its last drawing, which had another size.)"""
    return text.get_window_extent(text.get_figure(root=True).canvas.get_renderer())


def fit_text(artist, text, room):
    """Let an artist show a text, shortened where it is wider than `room` pixels."""
    artist.set_text(text)
    if not text or extent(artist).width <= room:
        return
    fits, most = 3, len(text)
    while most - fits > 1:
        middle = (fits + most) // 2
        artist.set_text(shorten(text, middle))
        fits, most = (middle, most) if extent(artist).width <= room else (fits, middle)
    artist.set_text(shorten(text, fits))


def shorten(text, most=100):
    """A text of at most that many characters: its start and its end are kept, a file's name is there."""
    if len(text) <= most:
        return text
    start = max(1, most // 3)
    return text[:start] + "\N{HORIZONTAL ELLIPSIS}" + (text[1 + start - most:] if most > start + 1 else "")
