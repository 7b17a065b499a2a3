"""The sound map of a row, in the place of the map of patterns: what sounds lie where, from dark to bright.

    sound_map = SoundMap(editor, panel, show_patterns)
    sound_map.show_row(SNARE)                       # ValueError or OSError without a sound model
"""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from formats.activation_matrix import INSTRUMENTS
from window.map_view import MAP, ZoomedMap
from window.widgets import ACCENT, BACKGROUND, PANEL, QUIET

DARK, BRIGHT, DOTS = "#172238", "#b9a26a", "#e8ebf1"
SHOWN_EACH = 8  # cells whose brightness is computed, one a frame, before they are shown


class SoundMap(ZoomedMap):
    """row: whose sounds are shown; plane: its SoundPlane. asked: the point that a drag asks for with the next frame."""

    def __init__(self, editor, panel, show_patterns):
        super().__init__(editor, panel, "sound map", "Click: take that sound. Drag: morph. Scroll: zoom.", 1.0)
        self.row, self.plane, self.asked = 0, None, None
        panel.changing_text(0.055, 0.945, (0.04, 0.92, 0.5, 0.05), lambda: (f"{INSTRUMENTS[self.row]} sounds",),
                            size=17, fontweight="bold")
        self.axes.set(facecolor=PANEL, xticks=[], yticks=[])
        self.axes.spines[:].set_visible(False)
        self.image = self.axes.imshow(np.zeros((1, 1, 3)), origin="lower", aspect="auto", interpolation="bilinear",
                                      zorder=0)
        self.dots = self.axes.plot([], [], "o", color=DOTS, ms=3, mew=0, alpha=0.6)[0]
        self.make_marks()
        self.make_legend()
        panel.button("Back", (0.055, 0.06, 0.4, 0.06), show_patterns, lambda: ("Back to patterns", False),
                     "Back to the map of patterns: Esc.")

    def make_marks(self):
        own = self.axes.plot([], [], "D", ms=7, mfc=ACCENT, mec="white", mew=1.2)[0]
        rings = [self.axes.plot([], [], "o", ms=15, mfc="none", mec=edge, mew=width)[0]
                 for edge, width in ((BACKGROUND, 5), ("white", 2.2))]

        def change(row, point, own_points):
            for marks, points in ((own, own_points), *((ring, (point,) if point else ()) for ring in rings)):
                marks.set_data(*zip(*points) if points else ((), ()))

        self.marks = self.panel.region(MAP, [own, *rings], lambda: (self.row, self.point(), self.own_points()), change)

    def make_legend(self):
        panel = self.panel
        bar = panel.part.add_axes((0.68, 0.939, 0.19, 0.013))
        bar.set_axis_off()
        bar.imshow(shades(np.linspace(0, 1, 50))[None], aspect="auto")
        panel.text(0.67, 0.945, "dark", QUIET, 9.5, ha="right")
        panel.text(0.88, 0.945, "bright", QUIET, 9.5)
        for y, style, words in ((0.135, dict(marker="o", ms=4, color=DOTS), "a learned sound"),
                                (0.095, dict(marker="o", ms=9, mfc="none", mec="white", mew=1.6), "what you hear"),
                                (0.055, dict(marker="D", ms=6, mfc=ACCENT, mec="white"), "from your kit")):
            panel.part.add_artist(Line2D([0.54], [y], ls="", **style))
            panel.text(0.575, y, words, QUIET, 9.5)

    def show_row(self, row):
        """Show the sounds of a row."""
        self.plane = self.editor.sound_plane(row)
        self.row, self.reach, self.asked = row, self.plane.reach, None
        self.image.set_extent((-self.reach, self.reach) * 2)
        self.dots.set_data(*np.reshape(self.plane.points, (-1, 2)).T)
        self.show_brightness()
        self.show_whole()

    def point(self):
        """Where the row's sound lies, or None."""
        return self.editor.sound_point(self.row) if self.plane else None

    def own_points(self):
        """Where a sound of the kit lies that is not from the map: ((x, y), ...)."""
        return tuple(map(tuple, self.plane.own_points.tolist())) if self.plane else ()

    # The mouse

    def press(self, x, y):
        self.editor.sound_at(self.row, *self.at(x, y))

    def drag(self, x, y):
        self.asked = self.at(x, y)

    def release(self):
        pass

    def frame(self):
        """Take the sound that a drag asks for."""
        asked, self.asked = self.asked, None
        if asked:
            self.editor.sound_at(self.row, *asked)

    # The ground

    def compute(self):
        """Compute the brightness of one more cell; show it with the next ones."""
        left = int(np.isnan(self.plane.brightness).sum()) if self.plane else 0
        if left:
            self.plane.compute_next()
            if left % SHOWN_EACH == 1:
                self.show_brightness()
                self.moved = self.editor.needs_paint = True

    def show_brightness(self):
        self.image.set_data(brightness_pixels(self.plane.brightness))


def brightness_pixels(brightness):
    """The colours of a brightness grid (cells, cells), nan cells as the nearest coarser one: (cells, cells, 3)."""
    known = brightness[np.isfinite(brightness)]
    if not len(known):
        return np.tile(to_rgb(PANEL), (*brightness.shape, 1))
    rows, columns = np.indices(brightness.shape)
    filled = brightness
    for step in (2, 4, 8):
        filled = np.where(np.isnan(filled), brightness[rows // step * step, columns // step * step], filled)
    low, high = np.quantile(known, (0.02, 0.98))
    level = np.clip((np.where(np.isnan(filled), low, filled) - low) / max(high - low, 1e-9), 0, 1)
    return shades(level)


def shades(level):
    """The colours of levels (...,) from 0, dark, to 1, bright: (..., 3)."""
    dark, bright = (np.array(to_rgb(colour)) for colour in (DARK, BRIGHT))
    return dark + np.asarray(level)[..., None] * (bright - dark)
