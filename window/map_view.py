"""The maps in the window: one that zooms, and that of patterns: what lies where, where the bars are, styles to choose.

    map_view = MapView(editor, panel)
    map_view.zoom_by(4, x=0.5, y=-1)            # around a point of the map; map_view.pan(dx, dy), map_view.show_whole()
"""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from patterns.latent_map import training_codes
from window import widgets
from window.panel import Overlay
from window.widgets import ACCENT, BACKGROUND, BEAT, QUIET, TEXT

MAP = (0.055, 0.165, 0.915, 0.735)  # left, bottom, width, height, in fractions of the panel
NEAREST_ZOOM, ZOOM_STEP = 8, 1.25  # the step of a notch of the wheel
SNAP = 6  # points from a bar of one's own at which a click means it
LIST_ROWS, LIST_LINE = 23, 0.0325  # of the list of styles


class ZoomedMap:
    """The axes of a map over [-reach, reach], of which a part is seen; the wheel zooms, the right button moves it.

    zoom: 1 shows it whole, 4 a quarter of each side. moved: another part is to be seen, and is not yet painted.
    """

    def __init__(self, editor, panel, name, tip, reach):
        self.editor, self.panel, self.figure, self.reach = editor, panel, panel.figure, reach
        self.zoom, self.centre, self.moved, self.panned = 1.0, np.zeros(2), False, None
        self.axes = panel.part.add_axes(MAP)
        left, bottom, width, height = MAP
        self.below = panel.part.add_artist(Rectangle((left - 0.007, bottom - 0.004), width + 0.014, height + 0.008,
                                                     fc=BACKGROUND, lw=0, animated=True))
        self.area = panel.area(name, MAP, tip, self.press, drag=self.drag, release=self.release,
                               pan=self.begin_pan, drag_pan=self.drag_pan, wheel=self.turn)

    def at(self, x, y):
        """The point of the map at a place, in fractions of what is seen."""
        return tuple((self.centre + (np.clip((x, y), 0, 1) * 2 - 1) * self.reach / self.zoom).tolist())

    def turn(self, x, y, steps):
        self.zoom_by(ZOOM_STEP ** np.clip(steps, -3, 3), *self.at(x, y))

    def begin_pan(self, x, y):
        self.panned = x, y

    def drag_pan(self, x, y):
        (left, bottom), (right, top) = self.at(*self.panned), self.at(x, y)
        self.panned = x, y
        self.pan(left - right, bottom - top)

    def zoom_by(self, factor, x, y):
        """Show it larger by a factor; the point (x, y) stays where it is."""
        zoom = float(np.clip(self.zoom * factor, 1, NEAREST_ZOOM))
        self.look_at((x, y) + (self.centre - (x, y)) * self.zoom / zoom, zoom)

    def pan(self, dx, dy):
        """Move what is seen by so much of the map."""
        self.look_at(self.centre + (dx, dy), self.zoom)

    def show_whole(self):
        self.look_at((0, 0), 1.0)

    def follow(self, point):
        """Move to a point of the map that is not seen."""
        if self.zoom > 1 and (np.abs(point - self.centre) > self.reach / self.zoom).any():
            self.look_at(point, self.zoom)

    def look_at(self, centre, zoom):
        """Show the part around a point, within the map."""
        half, zoomed = self.reach / zoom, zoom != self.zoom
        self.centre, self.zoom = np.clip(centre, half - self.reach, self.reach - half), zoom
        (left, bottom), (right, top) = self.centre - half, self.centre + half
        self.axes.set(xlim=(left, right), ylim=(bottom, top))
        if zoomed:
            self.adapt_to_zoom()
        self.moved = self.editor.needs_paint = True

    def adapt_to_zoom(self):
        """What else changes with the zoom."""

    def frame(self):
        """What is done once a frame."""

    def paint_ground(self):
        """Paint the part that is seen, for the marks to be painted over it."""
        self.moved = False
        for artist in (self.below, self.axes):  # dots reach a pixel beyond the axes
            self.figure.draw_artist(artist)
        self.marks.background = self.figure.canvas.copy_from_bbox(self.panel.pixel_box(MAP).padded(2))
        self.marks.painted = None


class MapView(ZoomedMap):
    """The map of patterns, and its legend. dragged: the editor's codes as the last move of a drag left them."""

    def __init__(self, editor, panel):
        super().__init__(editor, panel, "map", "Click: hear that point. Drag: morph. Scroll: zoom.",
                         editor.plane.reach)
        self.dragged = None
        panel.text(0.055, 0.945, "Drum map", size=17, fontweight="bold")
        self.image, self.emphasise = widgets.draw_map(self.axes, editor.plane, editor.hit_density)
        panel.second_rank.append(panel.changing_text(0.97, 0.958, (0.5, 0.942, 0.47, 0.034), lambda: (
            "point {:.2f} {:.2f}, seed {}".format(*editor.point(), editor.surface.seed), QUIET), patient=True, size=9.5,
            ha="right"))
        if len(editor.plane.points):
            self.make_scale()
        self.make_marks()
        self.make_legend()

    # The mouse

    @property
    def dragging(self):
        """Does the mouse drag on the map? A command that goes elsewhere ends the drag, or its bars would be lost."""
        return self.dragged is not None and self.dragged is self.editor.codes

    def press(self, x, y):
        self.editor.go_to(self.code_at(x, y), "This point")
        self.dragged = self.editor.codes

    def drag(self, x, y):
        if self.dragging:
            self.editor.move_to(self.editor.plane.to_code(*self.at(x, y)))
            self.dragged = self.editor.codes

    def release(self):
        editor, dragging, self.dragged = self.editor, self.dragging, None
        if dragging:
            if editor.message_kind != "warning":
                editor.show_message(f"This point: {editor.describe()}.")
            editor.log("release", point=editor.point(), hits=np.count_nonzero(editor.bar))

    # What is on it

    def make_marks(self):
        editor, axes = self.editor, self.axes
        across, up = (line(color=TEXT, lw=0.8, alpha=0.25) for line in (axes.axvline, axes.axhline))
        path = axes.plot([], [], "o-", color=ACCENT, lw=1.5, ms=5, mec=BACKGROUND, mew=0.8)[0]
        near = axes.plot([], [], "o", ms=9, mfc="none", mec="white", mew=1.4)[0]
        own = axes.plot([], [], "D", ms=7, mfc=ACCENT, mec="white", mew=1.2)[0]
        rings = [axes.plot([], [], "o", ms=size, mfc=face, mec=edge, mew=width)[0] for size, face, edge, width in
                 ((15, "none", BACKGROUND, 5), (15, "none", "white", 2.2), (5, ACCENT, BACKGROUND, 1))]

        def move(point, path_points, neighbours, own_points):
            across.set_xdata([point[0]] * 2)
            up.set_ydata([point[1]] * 2)
            for marks, points in ((path, path_points), (near, neighbours), (own, own_points),
                                  *((ring, (point,)) for ring in rings)):
                marks.set_data(*zip(*points) if points else ((), ()))

        self.marks = self.panel.region(
            MAP, [across, up, path, near, own, *rings],
            lambda: (editor.point(), self.path_points(), self.neighbour_points(), self.own_points()), move)

    def point(self):
        """Where the bar that is shown lies."""
        return self.editor.point()

    def points_of(self, codes):
        """Where codes lie on the map: ((x, y), ...)."""
        return tuple(tuple(self.editor.plane.from_codes(code).tolist()) for code in codes)

    def path_points(self):
        """The points of a pattern of several bars, of a morph, or of either that has begun: ((x, y), ...)."""
        editor = self.editor
        codes = editor.codes
        if editor.path_start is not None:
            codes = (editor.path_start, editor.code)
        elif editor.morph_start:
            codes = (editor.morph_start[1], editor.code)
        elif editor.morph:
            codes = (editor.morph.noise.start.code, editor.morph.noise.end.code)
        return self.points_of(codes) if len(codes) > 1 else ()

    def neighbour_points(self):
        """Where the nearest training bars lie, while they are heard or the bar is from a file: ((x, y), ...)."""
        editor, auditioned = self.editor, self.editor.audition_source == "nearest"
        if not len(editor.training_bars) or not (editor.own or auditioned):
            return ()
        indices = editor.nearest()[0][[editor.rank]] if auditioned else editor.nearest()[0]
        return self.points_of(map(editor.training_bars.code, indices))

    def own_points(self):
        """Where the bars of one's own lie: ((x, y), ...)."""
        return self.points_of(anchor.code for anchor in self.editor.anchors)

    def code_at(self, x, y):
        """The code at a place of what is seen: that of a bar of one's own where one is near, else that of the point."""
        here = self.panel.pixel_of(MAP, x, y)
        for anchor, point in zip(self.editor.anchors, self.own_points()):
            if np.hypot(*self.axes.transData.transform(point) - here) < SNAP * self.figure.dpi / 72:
                return np.asarray(anchor.code)
        return self.editor.plane.to_code(*self.at(x, y))

    def make_scale(self):
        axes = self.panel.part.add_axes((0.762, 0.914, 0.102, 0.012))
        axes.set_axis_off()
        shades = np.linspace(to_rgb(widgets.FEW_HITS), to_rgb(widgets.MANY_HITS), 50)
        bar = axes.imshow(shades[None], aspect="auto")
        low, high = (self.panel.text(x, 0.919, "", QUIET, 9.5, ha="right") for x in (0.752, 0.97))

        def change(ends):
            bar.set_alpha(float(ends is not None))
            low.set_text(f"shade: bars of {ends[0]:.0f}" if ends else "")
            high.set_text(f"{ends[1]:.0f} hits" if ends else "")

        self.panel.second_rank += [axes, low, high]
        self.panel.region((0.4, 0.902, 0.59, 0.034), [axes, low, high],
                          lambda: (self.editor.hit_density.range(),), change)

    def show_density(self):
        """Take over the hit density and the style that is asked for; the next full draw shows them."""
        self.emphasise_style()
        self.image.set_data(widgets.density_pixels(self.editor.hit_density))
        self.panel.stale = True

    def emphasise_style(self):
        """Let the style that is asked for stand out, its dots where its bars lie when it is."""
        style, plane = self.editor.constraints.style, self.editor.plane
        codes = None if style is None or not self.editor.model.map else training_codes(self.editor.model, style)
        self.emphasise(self.editor.style_name(), self.zoom, None if codes is None else plane.from_codes(codes))

    adapt_to_zoom = emphasise_style

    # Styles

    def make_legend(self):
        editor, groups = self.editor, widgets.style_groups(self.editor.plane)
        largest = [name for _, name, _ in groups]
        self.others = sorted(name for name in editor.plane.names if name not in largest)

        def entry(place, name, action, look, dot, tip):
            row, column = divmod(place, 3)
            self.panel.button(name, (0.055 + 0.307 * column, 0.113 - 0.044 * row, 0.301, 0.039), action, look, tip, dot)

        for place, (_, name, colour) in enumerate(groups, start=1):
            entry(place, name, lambda name=name: editor.set_style(name),
                  lambda name=name: (name, editor.style_name() == name), colour, f"Bars in the style {name}.")
        if groups:
            entry(0, "any style", lambda: editor.set_style(None),
                  lambda: ("any style", editor.style_name() is None), "", "Bars in any style.")
        self.style_list = StyleList(editor, self.figure, self.others)
        if self.others:
            entry(len(groups) + 1, "others", self.style_list.open, lambda: (
                (editor.style_name(), True) if editor.style_name() in self.others else ("others ...", False)),
                widgets.OTHER_STYLES, "All the other styles.")


class StyleList(Overlay):
    """The list of the styles that have no colour of their own."""

    def __init__(self, editor, figure, styles):
        super().__init__(figure)
        self.editor, self.names = editor, {}
        columns = max(1, -(-len(styles) // LIST_ROWS))
        rows, width = -(-len(styles) // columns), min(0.23, 0.9 / columns)
        left, bottom, height = 0.055, 0.165, LIST_LINE * rows + 0.08
        self.add(Rectangle((left, bottom), 0.915, height, fc=BEAT, ec=QUIET, lw=1))
        self.add(self.text(left + 0.025, bottom + 0.026, "Your own data's: folders, or starts of file names.", QUIET,
                           9.5))
        for i, name in enumerate(styles):
            box = (left + 0.015 + width * (i // rows), bottom + height - 0.012 - LIST_LINE * (1 + i % rows), width,
                   LIST_LINE)
            self.names[name] = self.add(self.text(box[0] + 0.01, box[1] + box[3] / 2, size=9.5))
            self.area(name, box, f"Bars in the style {name}.", lambda x, y, name=name: editor.set_style(name))

    def open(self):
        """Show it, the style that is asked for lit."""
        self.show()
        for name, text in self.names.items():
            self.fit_text(text, name, self.areas[name].box[2] - 0.015)
            text.set_color(ACCENT if name == self.editor.style_name() else TEXT)
