"""How the window looks: two halves, a map and a page; it reads the editor's state, and paints anew what has changed.

    view = View(editor, figure, ask_for, hints)     # its buttons and sliders are the editor's commands
    figure.canvas.draw(); view.capture()
    editor.random(); view.paint()
"""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from command_line import one_line
from session.state import FASTEST, SLOWEST
from window.bar_page import BarPage
from window.map_view import MapView
from window.panel import Overlay, Panel, extent
from window.sound_map import SoundMap
from window.song_page import SongPage
from window.sounds_page import MixerPage, SoundsPage
from window.widgets import ACCENT, BACKGROUND, BEAT, LINE, QUIET, TEXT, WARNING

# Pixels of the window, of its left and its right half, for which texts and lines have their sizes, in points.
SIZE, LEFT, RIGHT, DPI = (1300, 700), 572, 728, 100
LEGIBLE = 0.72  # the scale below which texts are not made smaller: what is of second rank goes instead
SMALLEST = (385, 480)  # pixels of the right half that holds such texts
MIDDLE_DOT = "  \N{MIDDLE DOT}  "
HELP = ("""\
space            play, stop
F9               record what you play, after a bar of metronome
l                play the rows by keys: a s d f g h j k; Esc ends it
i                draw the other rows around those you recorded
Enter            tap the tempo; or click its number
up, down         tempo, by 5 bpm; with Shift by 1
x                metronome
w                when what you choose is heard: now, next beat, next bar

click, drag      on the map: hear that point, morph
scroll, + - 0    zoom, on map or bar; the whole of it
right button     on the map: move it; on the bar: erase
r                a random point
t, T             another variation; the same score played anew
p                a path: p, go to its end, p for 8 bars, or 2 to 9
g                a morph: g, go to its end, g; then its slider
c                go on from here: the next bars in the same style
y, Y             the next style, the one before
n, N             hear the nearest bar a drummer played; the next
m                hear what the model makes of your bar
Esc              back, close, leave
?, h             show or hide this;  q  quit""", """\
click            on the bar: a hit, or none; drag along: more hits
drag up, down    on a hit of the bar: how loud it is
padlock          keep that row, redraw the others around it
right, left      one hit more, one fewer;  a  the model's own
< >, [ ]         temperature; steadier bars, or fills
e, f             cells that change with each pass; fills
v, d             velocities of a drummer; timing of the next one
Ctrl+C, Ctrl+V   copy, paste: the row under the mouse, or the bar
Shift+left       the same a sixteenth earlier; Shift+right: later
R, Delete        the same backwards; without its hits

A to H           with Shift: a slot, a pattern of its own
P                play the song, or the pattern
Tab              the next page: Bar, Song, Sounds, Mixer
k                other sounds for all rows, a new kit
F1 to F8         silence a row; with Shift: hear it alone
double click     on a slider: as at first; scroll: a little

Ctrl+Z, Ctrl+Y   undo, redo
Ctrl+S, s        save MIDI, WAV and PNG
Ctrl+E           save everything, in a folder; Shift and Save
Ctrl+O, o        open a bar or a session of yours
u                bring back what was open when it was killed""")


def arrange(width, height):
    """How a window of so many pixels is shared out: (box of the left half, of the right half, scale, is it narrow?).

    Side by side, or, where that leaves more room for texts, the left half above the right one. Boxes are (left, bottom,
    width, height) in fractions; scale: that of texts and lines.
    """
    beside, above = min(np.divide((width, height), SIZE)), min(width / RIGHT, height / (2 * SIZE[1]))
    if beside >= above:
        left = min(width * LEFT / SIZE[0], 1.3 * height)
        right = min(width - left, 2.8 * height)
        high = min(height, 2.1 * left)
        x, y = (width - left - right) / 2, (height - high) / 2
        boxes = (x, y, left, high), (x + left, y, right, high)
    else:
        low = min(height / 2, 1.3 * width)
        high = min(height - low, 1.3 * width)
        y = (height - low - high) / 2
        boxes = (0, y + low, width, high), (0, y, width, low)
    fit = max(beside, above)
    scale = max(fit, LEGIBLE * min(1, *np.divide(boxes[1][2:], SMALLEST)))
    return *(tuple(np.divide(box, (width, height) * 2)) for box in boxes), scale, fit < LEGIBLE


class View:
    """The map on the left; on the right the title, the transport and a page; on a canvas of the Agg family.

    ask_for(kind, action), hints: see Window. page: the name of the page that is shown.
    live: do keys play the rows? captured: has the figure been drawn in full?
    """

    def __init__(self, editor, figure, ask_for, hints):
        self.editor, self.figure, self.canvas, self.hints = editor, figure, figure.canvas, hints
        self.captured, self.page, self.live = False, "Bar", False
        figure.set_facecolor(BACKGROUND)
        self.map_view = MapView(editor, Panel(figure))
        self.map = self.map_view.axes
        self.sound_map = SoundMap(editor, Panel(figure), self.show_patterns)
        self.left = self.map_view
        self.frame = Panel(figure)
        self.pages = {"Bar": BarPage(editor, Panel(figure), ask_for),
                      "Song": SongPage(editor, Panel(figure)),
                      "Sounds": SoundsPage(editor, Panel(figure), ask_for, self.show_sound_map),
                      "Mixer": MixerPage(editor, Panel(figure))}
        self.bar = self.pages["Bar"].grid
        self.grid = self.bar.axes
        self.make_top()
        self.make_transport()
        self.make_status()
        self.make_help()
        self.show_patterns()
        self.show_page("Bar")
        self.fit()
        self.canvas.mpl_connect("resize_event", lambda event: self.fit())

    # Its parts

    @property
    def panels(self):
        return [self.map_view.panel, self.sound_map.panel, self.frame, *(page.panel for page in self.pages.values())]

    @property
    def sliders(self):
        """{name: Slider} of all panels."""
        return {name: slider for panel in self.panels for name, slider in panel.sliders.items()}

    @property
    def overlays(self):
        return [self.map_view.style_list, self.help]

    @property
    def overlay(self):
        """What lies over all and takes the next click, or None."""
        return next((overlay for overlay in self.overlays if overlay.shown), None)

    @property
    def stale(self):
        """Is the whole figure to be drawn?"""
        return any(panel.stale for panel in (*self.panels, *self.overlays))

    def fit(self):
        """Share the window out, and scale texts and lines with it, so that none overlap at any size."""
        size = self.figure.bbox.size  # (width, height) in pixels
        left, right, scale, narrow = arrange(*size)
        self.figure._set_dpi(DPI * scale, forward=False)  # the public setter would resize the window, too
        self.figure.set_size_inches(size / (DPI * scale), forward=False)
        for panel in self.panels:
            panel.place(left if panel in (self.map_view.panel, self.sound_map.panel) else right)
            for artist in panel.second_rank:
                artist.set_visible(not narrow)
        self.map_view.style_list.place(left)
        self.fit_help()

    def make_top(self):
        """The title, and the tabs of the pages."""
        self.frame.changing_text(0.03, 0.951, (0.02, 0.926, 0.505, 0.05), lambda: (
            self.editor.describe().replace(", ", MIDDLE_DOT),), size=13, fontweight="bold")
        tips = {"Bar": "The bar, and what it is drawn by.", "Song": "Your patterns, one after the other.",
                "Sounds": "Other drums: a sound for each row.", "Mixer": "Level, pan, tune and decay of each row."}
        for i, name in enumerate(self.pages):
            self.frame.button(name, (0.53 + 0.112 * i, 0.928, 0.107, 0.046), lambda name=name: self.show_page(name),
                              lambda name=name: (name, self.page == name), tips[name], quiet=True)

    def make_transport(self):
        editor, button = self.editor, self.frame.button
        button("Play", (0.03, 0.082, 0.125, 0.058), editor.play_or_stop,
               lambda: ("Stop" if editor.playing else "Play", editor.playing), "Play, or stop: space.")
        self.make_record((0.159, 0.082, 0.04, 0.058))
        self.frame.slider("Tempo", (0.205, 0.087, 0.46, 0.048), (SLOWEST, FASTEST, 1), editor.set_tempo, self.tempo,
                          "The tempo. Up and down do it too.", label="Tempo", room=(0.115, 0.14),
                          default=lambda: editor.set_tempo(120))
        self.frame.area("tap", (0.54, 0.087, 0.125, 0.048), "Tap the tempo here, or with Enter.",
                        lambda x, y: editor.tap())
        for i, (name, action, tip) in enumerate((
                ("Undo", editor.undo, "The state before the last act."),
                ("Save", editor.save, "MIDI, sound, a picture. With Shift: everything."),
                ("?", self.toggle_help, "All keys."))):
            button(name, (0.675 + 0.104 * i, 0.082, 0.097 - 0.01 * (i == 2), 0.058), action,
                   lambda name=name: (name, False), tip, shifted=editor.export_all if name == "Save" else None)

    def tempo(self):
        """The tempo that is heard: an outside clock's, where one is followed."""
        followed = self.editor.player.followed_bpm
        return (self.editor.bpm, "{:g} bpm") if followed is None else (followed, "{:.1f}", True)

    def make_record(self, box):
        """A dot, red while what is played is recorded."""
        editor, frame, (left, bottom, width, height) = self.editor, self.frame, box
        face = frame.part.add_artist(Rectangle((left, bottom), width, height, lw=0))
        dot = frame.part.add_artist(Line2D([left + width / 2], [bottom + height / 2], marker="o", ms=9, mew=0))
        area = frame.area("Record", box, "Record what you play by keys (l) or pads, after a bar of metronome: F9.",
                          lambda x, y: editor.record())

        def change(recording, hovered):
            face.set_facecolor(LINE if recording or hovered else BEAT)
            dot.set_color(WARNING if recording else QUIET)

        frame.region(box, [face, dot], lambda: (editor.recording, frame.hovered is area), change)

    def make_status(self):
        """The line of messages, with what goes on at its end; below it the line of tips."""
        editor, frame = self.editor, self.frame
        message, sign = frame.text(0.03, 0.052), frame.text(0.97, 0.052, colour=ACCENT, size=9.5, ha="right")

        def change(words, kind, signs):
            frame.fit_text(sign, signs, 0.6)
            taken = extent(sign).width / frame.part.bbox.width + 0.02 if signs else 0
            message.set_color(WARNING if kind == "warning" else TEXT)
            frame.fit_text(message, words, 0.94 - taken)

        frame.region((0.02, 0.036, 0.97, 0.033), [message, sign],
                     lambda: (editor.message, editor.message_kind, self.signs()), change)
        frame.changing_text(0.03, 0.018, (0.02, 0.003, 0.97, 0.031), self.second_line, size=9.5)

    def signs(self):
        """What goes on: recording, rows played by keys, an outside clock."""
        editor = self.editor
        signs = ((editor.recording, "recording" if editor.player.position() else "count-in"),
                 (self.live, "rows by keys"), (editor.metronome, "metronome"),
                 (editor.player.followed_bpm is not None, "clock"))
        return MIDDLE_DOT.join(words for is_on, words in signs if is_on)

    def second_line(self):
        """What the control under the mouse does, on the map a hint instead; else why there is no sound; else a hint."""
        area = next((panel.hovered for panel in self.panels if panel.shown and panel.hovered), None)
        hint = self.hints.text
        if area and not (hint and area is self.map_view.area):
            return area.tip, QUIET
        if self.editor.sound_error:
            reason = self.editor.sound_error[0].upper() + self.editor.sound_error[1:]
            return f"{reason}. Bars still show, and save as WAV.", WARNING
        return hint, QUIET

    def make_help(self):
        self.help = Overlay(self.figure)
        self.help.place((0, 0, 1, 1))
        self.help_face = self.help.add(Rectangle((0, 0), 1, 1, fc=BEAT, ec=QUIET, lw=1))
        self.help_texts = [self.help.add(self.help.part.text(
            0.5, 0.5, text, family="monospace", color=TEXT, va="top", linespacing=1.6, parse_math=False))
            for text in HELP]

    def fit_help(self):
        """Let the keys fill the window, in two columns of letters of at most 10.5 points."""
        size, room = 10.5, 0.93 * self.figure.bbox.size
        for _ in range(3):  # letters have whole pixels: they do not shrink in proportion
            for text in self.help_texts:
                text.set_fontsize(size)
            size *= min(1, *(room / self.help_size()))
        width, height = self.help_size() / self.figure.bbox.size
        right = extent(self.help_texts[1]).width / self.figure.bbox.width
        for text, x in zip(self.help_texts, (0.5 - width / 2, 0.5 + width / 2 - right)):
            text.set_position((x, 0.5 + height / 2))
        self.help_face.set(x=0.48 - width / 2, y=0.48 - height / 2, width=width + 0.04, height=height + 0.04)

    def help_size(self):
        """The size of the keys in pixels, the gap between the columns with it: (width, height)."""
        (left, height), (right, other) = (extent(text).size for text in self.help_texts)
        return np.array([left + right + 0.04 * (left + right), max(height, other)])

    def toggle_help(self):
        """Show or hide the keys."""
        self.help.show(not self.help.shown)

    def show_page(self, name):
        """Show another page of the right half."""
        self.page = name
        if name == "Sounds":
            self.hints.note("sounds")
        for other, page in self.pages.items():
            page.panel.show(other == name)

    def show_sound_map(self, row):
        """Let a row's sound be heard, and show its sound map in the left half, or say why there is none."""
        self.editor.hear(row)
        try:
            self.sound_map.show_row(row)
        except (OSError, ValueError) as error:
            return self.editor.show_message(str(one_line(error)), "warning")
        self.show_left(self.sound_map)

    def show_patterns(self):
        """Show the map of patterns in the left half."""
        self.show_left(self.map_view)

    def show_left(self, shown):
        self.left = shown
        for half in (self.map_view, self.sound_map):
            half.panel.show(half is shown)

    # The mouse

    def area_at(self, x, y):
        """(panel, Area) at a pixel of the figure, or (None, None)."""
        for panel in [self.overlay] if self.overlay else self.panels:
            if panel.shown and (area := panel.area_at(x, y)):
                return panel, area
        return None, None

    def pixel_of(self, name, across=0.5, up=0.5):
        """The pixel, from the figure's lower left, of a place in an area that has a name, in fractions of its box."""
        panel = next(panel for panel in (*self.panels, *self.overlays) if name in panel.areas)
        return panel.pixel_of(panel.areas[name].box, across, up)

    def hover(self, x, y):
        """Light up what is under the mouse, at a pixel of the figure."""
        _, area = self.area_at(x, y)
        for panel in self.panels:
            now = area if area in panel.areas.values() else None
            if panel.hovered is not now:
                panel.hovered, self.editor.needs_paint = now, True

    # Painting

    def capture(self):
        """After a full draw (the first one, a new size, another page): keep what never changes, paint the rest."""
        self.captured = True
        self.map_view.moved = self.sound_map.moved = False
        for panel in (*self.panels, *self.overlays):
            panel.stale = False
            if panel.shown:
                panel.capture()
        self.paint_changes()
        if self.overlay:
            self.overlay.paint_over()

    def paint(self, dragging=False):
        """Bring what has changed to the screen; all of it, where something lies over it."""
        if self.overlay:
            self.canvas.draw()
        else:
            self.paint_changes(dragging)
        self.canvas.blit(self.figure.bbox)

    def paint_changes(self, dragging=False):
        """Paint what has changed in each panel that is shown."""
        if self.left.moved:
            self.left.paint_ground()
        self.left.panel.paint(dragging)
        self.frame.paint(dragging)
        self.pages[self.page].paint(dragging)

    def show_time(self):
        """Move the playhead alone on the screen."""
        page = self.pages[self.page]
        if not self.overlay and self.editor.player.position() != page.shown_time:
            box = page.paint_time()
            if box is not None:
                self.canvas.blit(box)
