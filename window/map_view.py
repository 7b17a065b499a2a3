"""The map in the window: what lies where, where the bars are, and the part of it that is seen. Styles are chosen in it.

    map_view = MapView(editor, panel)
    map_view.zoom_by(4, x=0.5, y=-1)            # around a point of the map; map_view.pan(dx, dy), map_view.show_whole()
"""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from patterns.latent_map import training_codes
from window import widgets
from window.widgets import ACCENT, BACKGROUND, BEAT, QUIET, TEXT

MAP = (0.03, 0.165, 0.395, 0.735)  # left, bottom, width, height, in fractions of the figure
NEAREST_ZOOM = 8
SNAP = 8  # pixels of a window of 1300 x 700 from a bar of one's own at which a click means it
LIST_ROWS, LIST_COLUMN, LIST_LINE = 19, 0.115, 0.0345  # of the list of styles


class MapView:
    """The map's axes and legend. zoom: 1 shows it whole, 4 a quarter of each side. listing: is the list of other styles
    open? moved: another part is to be seen, and is not yet painted."""

    def __init__(self, editor, panel):
        self.editor, self.panel, self.figure = editor, panel, panel.figure
        self.zoom, self.centre, self.moved, self.listing = 1.0, np.zeros(2), False, False
        self.axes = self.figure.add_axes(MAP)
        left, bottom, width, height = MAP
        self.below = self.figure.add_artist(Rectangle((left - 0.003, bottom - 0.004), width + 0.006, height + 0.008,
                                                      fc=BACKGROUND, lw=0, animated=True))
        self.image, self.emphasise = widgets.draw_map(self.axes, editor.plane, editor.hit_density)
        if len(editor.plane.points):
            self.panel.text(0.425, 0.955, "each dot is a bar that was learned", QUIET, 9.5, ha="right")
            self.make_scale()
        self.make_marks()
        self.make_legend()

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

    def code_at(self, event):
        """The code at a mouse event: that of a bar of one's own where one is near, else that of the point."""
        for anchor, point in zip(self.editor.anchors, self.own_points()):
            way = self.axes.transData.transform(point) - (event.x, event.y)
            if np.hypot(*way) < SNAP * self.figure.bbox.width / 1300:
                return np.asarray(anchor.code)
        return self.editor.plane.to_code(event.xdata, event.ydata)

    def make_scale(self):
        axes = self.figure.add_axes((0.335, 0.914, 0.045, 0.012))
        axes.set_axis_off()
        axes.imshow(np.linspace(to_rgb(widgets.FEW_HITS), to_rgb(widgets.MANY_HITS), 50)[None], aspect="auto")
        low, high = (self.panel.text(x, 0.919, "", QUIET, 9.5, ha="right") for x in (0.331, 0.425))

        def change(ends):
            axes.set_visible(ends is not None)
            low.set_text(f"shade: bars of {ends[0]:.0f}" if ends else "")
            high.set_text(f"{ends[1]:.0f} hits" if ends else "")

        self.panel.region((0.15, 0.902, 0.285, 0.034), [axes, low, high],
                          lambda: (self.editor.hit_density.range(),), change)

    def show_density(self):
        """Take over the hit density and the style that is asked for; the next full draw shows them."""
        self.emphasise_style()
        self.image.set_data(widgets.density_pixels(self.editor.hit_density))

    def emphasise_style(self):
        """Let the style that is asked for stand out, its dots where its bars lie when it is."""
        style, plane = self.editor.constraints.style, self.editor.plane
        codes = None if style is None or not self.editor.model.map else training_codes(self.editor.model, style)
        self.emphasise(self.editor.style_name(), self.zoom, None if codes is None else plane.from_codes(codes))

    # The part that is seen

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
        if self.zoom > 1 and (np.abs(point - self.centre) > self.editor.plane.reach / self.zoom).any():
            self.look_at(point, self.zoom)

    def look_at(self, centre, zoom):
        """Show the part around a point, within the map."""
        reach = self.editor.plane.reach
        half, zoomed = reach / zoom, zoom != self.zoom
        self.centre, self.zoom = np.clip(centre, half - reach, reach - half), zoom
        (left, bottom), (right, top) = self.centre - half, self.centre + half
        self.axes.set(xlim=(left, right), ylim=(bottom, top))
        if zoomed:
            self.emphasise_style()
        self.moved = self.editor.needs_paint = True

    def paint_ground(self):
        """Paint the part that is seen, for the marks to be painted over it."""
        self.moved = False
        for artist in (self.below, self.axes):  # dots reach a pixel beyond the axes
            self.figure.draw_artist(artist)
        self.marks.background = self.figure.canvas.copy_from_bbox(self.marks.pixel_box(self.figure))
        self.marks.painted = None

    # Styles

    def make_legend(self):
        editor, groups = self.editor, widgets.style_groups(self.editor.plane)
        largest = [name for _, name, _ in groups]
        self.others = sorted(name for name in editor.plane.names if name not in largest)

        def entry(place, name, action, look, dot):
            row, column = divmod(place, 5)
            self.panel.button(name, (0.03 + 0.0795 * column, 0.105 - 0.05 * row, 0.077, 0.042), action, look, dot)

        for place, (_, name, colour) in enumerate(groups, start=1):
            entry(place, name, lambda name=name: editor.set_style(name),
                  lambda name=name: (name[:10], editor.style_name() == name), colour)
        if groups:
            entry(0, "any style", lambda: editor.set_style(None),
                  lambda: ("any style", editor.style_name() is None), "")
        if self.others:
            entry(len(groups) + 1, "others", self.toggle_list, lambda: (
                (editor.style_name()[:10], True) if editor.style_name() in self.others else ("others ...", False)),
                widgets.OTHER_STYLES)
            self.make_list()

    def make_list(self):
        """The list of the other styles, hidden: its artists, and the box of each name."""
        columns = -(-len(self.others) // LIST_ROWS)
        rows = -(-len(self.others) // columns)
        left, bottom = 0.03, 0.165
        width, height = LIST_COLUMN * columns + 0.02, LIST_LINE * rows + 0.075
        self.list_box = (left, bottom, width, height)
        face = self.figure.add_artist(Rectangle((left, bottom), width, height, fc=BEAT, ec=QUIET, lw=1))
        note = self.panel.text(left + 0.015, bottom + 0.026, "Of your own data: folders, or the start of file names.",
                               QUIET, 9.5)
        self.list_boxes = {name: (left + 0.01 + LIST_COLUMN * (i // rows), bottom + height - 0.012
                                  - LIST_LINE * (1 + i % rows), LIST_COLUMN, LIST_LINE)
                           for i, name in enumerate(self.others)}
        self.list_names = {name: self.panel.text(box[0] + 0.005, box[1] + box[3] / 2, name[:16], size=10)
                           for name, box in self.list_boxes.items()}
        self.list_artists = [face, note, *self.list_names.values()]
        for artist in self.list_artists:
            artist.set(animated=True, visible=False)

    def toggle_list(self):
        """Open or close the list of the other styles."""
        self.listing = not self.listing
        for artist in self.list_artists:
            artist.set_visible(self.listing)
        for name, text in self.list_names.items():
            text.set_color(ACCENT if name == self.editor.style_name() else TEXT)
        self.panel.stale = True

    def choose_style(self, x, y):
        """Choose the name in the open list at a pixel of the figure, if there is one, and close the list."""
        x, y = x / self.figure.bbox.width, y / self.figure.bbox.height
        self.toggle_list()
        for name, (left, bottom, width, height) in self.list_boxes.items():
            if left <= x < left + width and bottom <= y < bottom + height:
                self.editor.set_style(name)
