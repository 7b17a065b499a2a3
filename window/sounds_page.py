"""The pages of the sounds. Sounds: of each row its name, its wave, a lock, a file of one's own in its place; and other
kits. Mixer: of each row level, pan, tune, decay, how late it is played, mute and solo; and the master.

    page = SoundsPage(editor, Panel(figure), ask_for, show_sound_map)
    page = MixerPage(editor, Panel(figure))
"""

import numpy as np
from matplotlib.patches import Polygon, Rectangle

from engine.mixer import MASTER, RANGES, Strip
from formats.activation_matrix import INSTRUMENTS
from patterns.feel import LATEST
from window.bar_page import ACTIONS
from window.widgets import ACCENT, LINE, PANEL, QUIET, TEXT

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
        for left, width, name, action, tip in (
                (0.03, 0.17, "New kit", editor.new_kit, "Other sounds that belong together, for rows without a lock."),
                (0.21, 0.17, "Open kit", lambda: ask_for("kit", editor.open_kit),
                 "A folder of sounds: Kick.wav, Snare.wav and so on.")):
            button(name, (left, bottom, width, height), action, lambda name=name: (name, False), tip)
        button("Follow", (0.39, bottom, 0.22, height), editor.toggle_follow, lambda: ("Follow the map", editor.follow),
               "The sounds go with the point on the map of patterns.")
        button("As a point", (0.62, bottom, 0.35, height), self.change_use,
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


# The mixer ---------------------------------------------------------------------------------------------------------

PLAIN = Strip()  # as a sound is made
LEFT, WIDTH, GAP = 0.16, 0.13, 0.009  # of the columns of sliders


def pan_text(pan):
    """A pan from -1 to 1 in words."""
    return f"{abs(100 * pan):.0f} {'L' if pan < 0 else 'R'}" if round(100 * pan) else "0"


# Name of a strip's value: heading, step, the value in words, the tip.
STRIP = {"level": ("Level", 0.5, lambda level: f"{level:+.1f} dB" if level else "0 dB", "how loud"),
         "pan": ("Pan", 0.05, pan_text, "from left to right"),
         "tune": ("Tune", 0.5, lambda tune: f"{tune:+g}" if tune else "0", "higher or lower, in semitones"),
         "decay": ("Decay", 0.05, lambda decay: f"{100 * decay:.0f} %", "how long it rings")}


class MixerPage(RowsPage):
    """Sliders have the value on them; a double click leaves a sound as it is made."""

    def __init__(self, editor, panel):
        super().__init__(editor, panel)
        for i, heading in enumerate((*(heading for heading, *_ in STRIP.values()), "Late")):
            panel.text(self.left(i) + WIDTH / 2, TOP + 0.016, heading, QUIET, 9.5, ha="center")
        for row, name in enumerate(INSTRUMENTS):
            self.make_name(row, name)
            for i, column in enumerate(STRIP):
                self.make_slider(i, row, name, column)
            self.make_late(row, name)
            self.make_switches(row, name)
        bottom, height = ACTIONS
        panel.slider("Master", (0, bottom, 0.96, height), (*MASTER, 0.5), editor.set_master,
                     lambda: (editor.mixer.master, STRIP["level"][2](editor.mixer.master)), "How loud all is.",
                     label="Master", room=(0.155, 0.145), default=lambda: editor.set_master(0))

    def left(self, column):
        return LEFT + column * (WIDTH + GAP)

    def box(self, column, row):
        return self.left(column), self.bottom(row), WIDTH, HEIGHT

    def make_name(self, row, name):
        bottom = self.bottom(row)
        words = self.panel.text(0.14, bottom + HEIGHT / 2, name, size=10, ha="right")

        def change(struck, heard):
            words.set_color(ACCENT if struck and heard else TEXT if heard else LINE)

        self.lights.append(self.panel.region((0.02, bottom, 0.13, HEIGHT), [words], lambda: (
            self.struck(row), self.editor.mixer.heard(row)), change))

    def make_slider(self, column, row, name, kind):
        editor, (_, step, words, tip) = self.editor, STRIP[kind]

        def look():
            value = getattr(editor.mixer.strips[row], kind)
            return value, words(value), value == getattr(PLAIN, kind)

        self.panel.slider(f"{name} {kind}", self.box(column, row), (*RANGES[kind], step),
                          lambda value: editor.set_strip(row, **{kind: value}), look, f"{name}: {tip}.",
                          default=lambda: editor.set_strip(row, **{kind: getattr(PLAIN, kind)}))

    def make_late(self, row, name):
        editor = self.editor

        def late():
            return editor.feel.push.get(row, 0)

        self.panel.slider(f"{name} ms", self.box(len(STRIP), row), (-LATEST, LATEST, 1),
                          lambda value: editor.change_push(row, value - late()),
                          lambda: (late(), f"{late():+g} ms" if late() else "0 ms", not late()),
                          f"{name}: played late, or early, in milliseconds.",
                          default=lambda: editor.change_push(row, None))

    def make_switches(self, row, name):
        editor, left, bottom = self.editor, self.left(len(STRIP) + 1), self.bottom(row)
        for i, (letter, kind, action, tip) in enumerate((("M", "mute", editor.mute, "silent, or heard"),
                                                         ("S", "solo", editor.solo, "heard alone"))):
            self.panel.button(f"{name} {kind}", (left + 0.058 * i, bottom + 0.19 * HEIGHT, 0.052, 0.62 * HEIGHT),
                              lambda action=action: action(row),
                              lambda letter=letter, kind=kind: (letter, getattr(editor.mixer.strips[row], kind)),
                              f"{name}: {tip}.")
