"""The page of the mixer: of each row level, pan, tune, decay, how late it is played, mute and solo; and the master.

    page = MixerPage(editor, Panel(figure))
"""

from engine.mixer import MASTER, RANGES, Strip
from formats.activation_matrix import INSTRUMENTS
from patterns.feel import LATEST
from window.bar_page import ACTIONS
from window.sounds_page import HEIGHT, TOP, RowsPage
from window.widgets import ACCENT, LINE, QUIET, TEXT

PLAIN = Strip()  # as a sound is made
LEFT, WIDTH, GAP = 0.16, 0.13, 0.009  # of the columns of sliders


def pan_text(pan):
    """A pan from -1 to 1 in words."""
    return f"{abs(100 * pan):.0f} {'L' if pan < 0 else 'R'}" if round(100 * pan) else "0"


# Name of a strip's value: heading, step, the value in words, the tip.
COLUMNS = {"level": ("Level", 0.5, lambda level: f"{level:+.1f} dB" if level else "0 dB", "how loud"),
           "pan": ("Pan", 0.05, pan_text, "from left to right"),
           "tune": ("Tune", 0.5, lambda tune: f"{tune:+g}" if tune else "0", "higher or lower, in semitones"),
           "decay": ("Decay", 0.05, lambda decay: f"{100 * decay:.0f} %", "how long it rings")}


class MixerPage(RowsPage):
    """Sliders have the value on them; a double click leaves a sound as it is made."""

    def __init__(self, editor, panel):
        super().__init__(editor, panel)
        for i, heading in enumerate((*(heading for heading, *_ in COLUMNS.values()), "Late")):
            panel.text(self.left(i) + WIDTH / 2, TOP + 0.016, heading, QUIET, 9.5, ha="center")
        for row, name in enumerate(INSTRUMENTS):
            self.make_name(row, name)
            for i, column in enumerate(COLUMNS):
                self.make_slider(i, row, name, column)
            self.make_late(row, name)
            self.make_switches(row, name)
        bottom, height = ACTIONS
        panel.slider("Master", (0, bottom, 0.96, height), (*MASTER, 0.5), editor.set_master,
                     lambda: (editor.mixer.master, COLUMNS["level"][2](editor.mixer.master)), "How loud all is.",
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
        editor, (_, step, words, tip) = self.editor, COLUMNS[kind]

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

        self.panel.slider(f"{name} ms", self.box(len(COLUMNS), row), (-LATEST, LATEST, 1),
                          lambda value: editor.change_push(row, value - late()),
                          lambda: (late(), f"{late():+g} ms" if late() else "0 ms", not late()),
                          f"{name}: played late, or early, in milliseconds.",
                          default=lambda: editor.change_push(row, None))

    def make_switches(self, row, name):
        editor, left, bottom = self.editor, self.left(len(COLUMNS) + 1), self.bottom(row)
        for i, (letter, kind, action, tip) in enumerate((("M", "mute", editor.mute, "silent, or heard"),
                                                         ("S", "solo", editor.solo, "heard alone"))):
            self.panel.button(f"{name} {kind}", (left + 0.058 * i, bottom + 0.19 * HEIGHT, 0.052, 0.62 * HEIGHT),
                              lambda action=action: action(row),
                              lambda letter=letter, kind=kind: (letter, getattr(editor.mixer.strips[row], kind)),
                              f"{name}: {tip}.")
