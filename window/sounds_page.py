"""The page of the sounds: of each row its name, its wave, a lock, a file of one's own in its place; and other kits.

    page = SoundsPage(editor, Panel(figure), ask_for, show_sound_map)
"""

import numpy as np
from matplotlib.patches import Polygon, Rectangle

from formats.activation_matrix import INSTRUMENTS
from window.bar_page import ACTIONS
from window.widgets import ACCENT, LINE, PANEL, QUIET

TOP, HEIGHT = 0.865, 0.078  # of the first row; of each
WAVE, COLUMNS = (0.16, 0.45), 160  # left and width; of the wave
LIT = 3  # steps for which a row that was struck is lit


class RowsPage:
    """A page of eight rows that light up as they are struck. lights: the regions that do. shown_time: where the sound
    was when they were painted."""

    def __init__(self, editor, panel):
        self.editor, self.panel, self.figure = editor, panel, panel.figure
        self.lights, self.shown_time = [], None

    def bottom(self, row):
        return TOP - (row + 1) * HEIGHT

    def struck(self, row):
        """Has the loop just struck a row?"""
        if not self.editor.playing or self.shown_time is None:
            return False
        step = self.shown_time[1]
        return bool(self.editor.bar[row, max(0, step - LIT + 1):step + 1].any())

    def paint(self, dragging):
        """Paint what has changed."""
        self.shown_time = self.editor.player.position() if self.editor.playing else None
        self.panel.paint(dragging)

    def paint_time(self):
        """Light up what is struck where the sound is; return the pixels that it takes, None where nothing changed."""
        self.shown_time = self.editor.player.position()
        changed = [self.panel.paint_region(region) for region in self.lights]
        boxes = [region.box for region, now in zip(self.lights, changed) if now]
        if boxes:
            left, _, width, _ = boxes[0]
            return self.panel.pixel_box((left, TOP - 8 * HEIGHT, width, 8 * HEIGHT)).padded(2)


class SoundsPage(RowsPage):
    """show_sound_map(row): shows it in the left half. as_point: is a file of one's own taken as a point of the map?"""

    def __init__(self, editor, panel, ask_for, show_sound_map):
        super().__init__(editor, panel)
        self.as_point = False
        for row, name in enumerate(INSTRUMENTS):
            self.make_row(row, name, ask_for, show_sound_map)
        button, (bottom, height) = panel.button, ACTIONS
        button("New kit", (0.03, bottom, 0.25, height), editor.new_kit, lambda: ("New kit", False),
               "Other sounds that belong together, for rows without a lock.")
        button("Open kit", (0.29, bottom, 0.25, height), lambda: ask_for("kit", editor.open_kit),
               lambda: ("Open kit", False), "A folder of sounds: Kick.wav, Snare.wav and so on.")
        button("As a point", (0.55, bottom, 0.42, height), self.change_use,
               lambda: (f"Your files: {'nearest on the map' if self.as_point else 'as they are'}", self.as_point),
               "A file of yours: played as it is, or the sound map's nearest.")

    def change_use(self):
        """Take the next files as points of the map, or as they are."""
        self.as_point, self.editor.needs_paint = not self.as_point, True

    def make_row(self, row, name, ask_for, show_sound_map):
        editor, panel, bottom = self.editor, self.panel, self.bottom(row)
        panel.row_name(f"{name} sound lock", name, (0.02, bottom, 0.13, HEIGHT),
                       f"Lock this {name}: it stays in a new kit.", lambda: editor.lock_sound(row),
                       lambda: (row in editor.sound_locks, False))
        panel.button(f"{name} file", (0.89, bottom + 0.017, 0.08, HEIGHT - 0.034),
                     lambda: ask_for("sound", lambda path: editor.open_sound_file(row, path, self.as_point)),
                     lambda: ("File", False), f"A {name} of your own: a sound file.")
        area = panel.area(f"{name} sound", (WAVE[0], bottom, 0.72, HEIGHT),
                          f"Hear {name}, and choose its sound on a map.", lambda x, y: show_sound_map(row))
        self.make_wave(row, area)
        words = panel.text(0.63, bottom + HEIGHT / 2, size=9.5)

        panel.region((0.62, bottom, 0.255, HEIGHT), [words], lambda: (editor.kit[row], editor.sounds[row]),
                     lambda *_: panel.fit_text(words, editor.sound_name(row), 0.24))

    def make_wave(self, row, area):
        editor, panel, bottom, (left, width) = self.editor, self.panel, self.bottom(row), WAVE
        face = panel.part.add_artist(Rectangle((left, bottom + 0.005), width, HEIGHT - 0.01, lw=0))
        wave = panel.part.add_artist(Polygon([(0, 0)], closed=True, lw=0))
        x = left + width * np.linspace(0.01, 0.99, COLUMNS)
        shown = [None]  # the sound whose wave is drawn

        def change(sound, struck, heard, hovered):
            face.set_facecolor(LINE if hovered else PANEL)
            wave.set_facecolor(ACCENT if struck and heard else QUIET if heard else LINE)
            if sound is not shown[0]:
                shown[0], high = sound, peaks(sound.samples()) * (HEIGHT / 2 - 0.009) + 0.001
                middle = bottom + HEIGHT / 2
                wave.set_xy(np.stack([np.r_[x, x[::-1]], np.r_[middle + high, (middle - high)[::-1]]], axis=1))

        self.lights.append(panel.region((left, bottom, width, HEIGHT), [face, wave], lambda: (
            editor.kit[row], self.struck(row), editor.mixer.heard(row), panel.hovered is area), change))


def peaks(samples):
    """The largest absolute value in each of COLUMNS parts of samples (n,), the loudest 1: (COLUMNS,)."""
    edges = np.linspace(0, len(samples), COLUMNS + 1).astype(int)[:-1]
    high = np.maximum.reduceat(np.abs(samples), np.minimum(edges, len(samples) - 1))
    return high / max(float(high.max()), 1e-9)
