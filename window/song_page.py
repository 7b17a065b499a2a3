"""The page of the song: its parts in order, what the chosen one is, and when a pattern takes over.

    page = SongPage(editor, Panel(figure))
"""

import numpy as np
from matplotlib.patches import Rectangle

from session.state import SLOTS
from window.bar_page import ACTIONS, STRIP, make_slots
from window.widgets import ACCENT, BACKGROUND, BEAT, LINE, QUIET, TEXT

PARTS = (0.03, 0.42, 0.94, 0.44)  # left, bottom, width, height
ROWS, COLUMNS, GAP = 4, 8, 0.006  # of the parts that are seen
MOST_REPEATS, MOST_MORPH = 16, 8  # that the sliders offer
WHEN = {"now": "Changes: now", "beat": "Changes: beat", "bar": "Changes: bar"}
NO_PARTS = "No parts yet: Add puts the pattern of the slot that is lit at the end."


class SongPage:
    """chosen: the part that the sliders are for. above: rows of parts that are out of sight."""

    def __init__(self, editor, panel):
        self.editor, self.panel, self.figure = editor, panel, panel.figure
        self.chosen, self.above, self.dragged, self.shown_time = 0, 0, None, None
        make_slots(editor, panel)
        panel.second_rank.append(panel.changing_text(STRIP[0] + STRIP[2], STRIP[1] + STRIP[3] / 2, STRIP,
                                                     lambda: (self.length_text(), QUIET), size=9.5, ha="right"))
        left, bottom, width, height = PARTS
        panel.changing_text(left, bottom + height - 0.05, (left, bottom + height - 0.07, width, 0.04),
                            lambda: ("" if editor.song else NO_PARTS, QUIET), size=10)
        for place in range(ROWS * COLUMNS):
            self.make_block(place)
        panel.area("song", PARTS, "Click a part: change it below. Twice: hear it from there. Drag: move it.",
                   self.press, reset=self.play, drag=self.drag, release=self.release, wheel=self.turn, slide=self.slide)
        self.make_controls()

    @property
    def part(self):
        """The number of the chosen part, None where there is none."""
        return min(self.chosen, len(self.editor.song) - 1) if self.editor.song else None

    def length_text(self):
        """How long the song is."""
        state = self.editor.state
        bars = sum(len(state.pattern_of(part.slot).bars) * part.repeats + part.morph for part in state.song)
        seconds = round(bars * 240 / self.editor.bpm)
        return f"{bars} bar{'s' * (bars > 1)}, {seconds // 60}:{seconds % 60:02d}" if bars else ""

    # The parts

    def make_block(self, place):
        """A part: its letter, how often it is played, fill and morph."""
        editor, panel, (row, column) = self.editor, self.panel, divmod(place, COLUMNS)
        width, height = PARTS[2] / COLUMNS, PARTS[3] / ROWS
        left, bottom = PARTS[0] + column * width, PARTS[1] + PARTS[3] - (row + 1) * height
        box = (left, bottom, width - GAP, height - GAP)
        face = panel.part.add_artist(Rectangle((left + 0.002, bottom + 0.002), box[2] - 0.004, box[3] - 0.004, lw=1.5))
        letter, times, fill, morph = (
            panel.text(left + x * box[2], bottom + y * box[3], size=size, ha=align)
            for x, y, size, align in ((0.07, 0.77, 12, "left"), (0.93, 0.77, 9.5, "right"), (0.07, 0.45, 9.5, "left"),
                                      (0.07, 0.18, 9.5, "left")))

        def look():
            index = self.above * COLUMNS + place
            part = editor.song[index] if index < len(editor.song) else None
            return part, index == self.part, part is not None and index == self.sounding()

        def change(part, chosen, sounding):
            ink, faint = (BACKGROUND, BACKGROUND) if sounding else (TEXT, QUIET)
            face.set(facecolor=ACCENT if sounding else LINE if chosen else BEAT,
                     edgecolor=TEXT if chosen else BACKGROUND)
            for text, words, colour in zip((letter, times, fill, morph), words_of(part), (ink, ink, faint, faint)):
                text.set(text=words, color=colour)
            face.set_visible(part is not None)

        panel.region(box, [face, letter, times, fill, morph], look, change)

    def sounding(self):
        """The part that is heard, None while the song is not."""
        editor = self.editor
        return editor.song_places[editor.song_bar].part if editor.playing and editor.audition_source == "song" else None

    def part_at(self, x, y):
        """The number of the part at a place of the parts, None where there is none."""
        column, row = int(np.clip(x * COLUMNS, 0, COLUMNS - 1)), int(np.clip((1 - y) * ROWS, 0, ROWS - 1))
        index = (self.above + row) * COLUMNS + column
        return index if index < len(self.editor.song) else None

    def press(self, x, y):
        self.dragged = self.part_at(x, y)
        if self.dragged is not None:
            self.choose(self.dragged)

    def drag(self, x, y):
        """Move the part to where the mouse is."""
        place = self.part_at(x, y)
        if None not in (self.dragged, place) and place != self.dragged and self.editor.gesture is not None:
            self.editor.move_part(self.dragged, place - self.dragged)
            self.dragged = place
            self.choose(place)

    def release(self):
        self.dragged = None

    def play(self, x, y):
        """Hear the song from the part at a place."""
        part = self.part_at(x, y)
        if part is not None:
            self.choose(part)
            self.editor.play_song(part)

    def turn(self, x, y, steps):
        part = self.part_at(x, y)
        if part is not None:
            self.choose(part)
            self.change(repeats=max(1, self.editor.song[part].repeats + int(np.sign(steps))))

    def slide(self, x, y, steps):
        """See the rows of parts above, or below."""
        rows = -(-len(self.editor.song) // COLUMNS)
        self.above, self.editor.needs_paint = int(np.clip(self.above - np.sign(steps), 0, max(0, rows - ROWS))), True

    def choose(self, part):
        """Choose a part, and see it."""
        self.chosen, row = part, part // COLUMNS
        self.above, self.editor.needs_paint = int(np.clip(self.above, row - ROWS + 1, row)), True

    def change(self, **fields):
        """Change the chosen part."""
        if self.part is not None:
            self.editor.change_part(self.part, **fields)

    def add(self):
        """Add the present slot at the end."""
        self.editor.add_part(self.editor.slot)
        self.choose(max(0, len(self.editor.song) - 1))

    def remove(self):
        """Take the chosen part out."""
        if self.part is not None:
            self.editor.remove_part(self.part)

    def move(self, by):
        """Move the chosen part so many places on."""
        if self.part is not None:
            place = int(np.clip(self.part + by, 0, len(self.editor.song) - 1))
            self.editor.move_part(self.part, place - self.part)
            self.choose(place)

    # The controls

    def make_controls(self):
        editor, panel, left, right = self.editor, self.panel, dict(room=(0.195, 0.13)), dict(room=(0.135, 0.135))

        def of_part(name, words):
            return lambda: (getattr(editor.song[self.part], name), words) if editor.song else (0, "")

        panel.slider("Times", (0, 0.345, 0.53, 0.045), (1, MOST_REPEATS, 1),
                     lambda times: self.change(repeats=int(times)), of_part("repeats", "{:g}"),
                     "How often the part is played.", label="Times", **left,
                     default=lambda: self.change(repeats=1), shown=lambda: bool(editor.song))
        panel.slider("Part morph", (0.5, 0.345, 0.47, 0.045), (0, MOST_MORPH, 1),
                     lambda bars: self.change(morph=int(bars)), of_part("morph", "{:g} bars"),
                     "Bars that lead over to the next part.", label="Morph", **right,
                     default=lambda: self.change(morph=0), shown=lambda: bool(editor.song))
        buttons = (
            ("Play song", editor.play_song, lambda: ("Play song", editor.audition_source == "song"),
             "Hear the song; again: the pattern."),
            ("Add", self.add, lambda: (f"Add {SLOTS[editor.slot]}", False), "Put the slot that is lit at the end."),
            ("Remove", self.remove, lambda: ("Remove", False), "Take the chosen part out."),
            ("Metronome", editor.toggle_metronome, lambda: ("Metronome", editor.metronome), "A click on each beat."),
            ("Take over", editor.set_take_over,
             lambda: (WHEN[editor.take_over], False),
             "When what you choose is heard: now, at the next beat, at the next bar."))
        for i, (name, action, look, tip) in enumerate(buttons):
            panel.button(name, (0.03 + 0.19 * i, ACTIONS[0], 0.18, ACTIONS[1]), action, look, tip)
        panel.button("Part fill", (0.195, 0.272, 0.205, 0.048), lambda: self.change(fill=not self.filled()),
                     lambda: ("Fill at the end", self.filled()), "The part's last bar ends in a fill.")

    def filled(self):
        return bool(self.editor.song) and self.editor.song[self.part].fill

    # Painting

    def paint(self, dragging):
        """Paint what has changed."""
        self.panel.paint(dragging)

    def paint_time(self):
        """Nothing moves between two bars."""


def words_of(part):
    """What a block shows of a part: letter, times, fill, morph."""
    if part is None:
        return "", "", "", ""
    return (SLOTS[part.slot], f"\N{MULTIPLICATION SIGN}{part.repeats}", "fill" if part.fill else "",
            f"morph {part.morph}" if part.morph else "")
