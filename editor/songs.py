"""Slots, each with a pattern, and the song that is made of them. Commands of a PatternEditor.

    editor.choose_slot(1); editor.random()              # slot B has a pattern of its own now
    editor.add_part(0); editor.change_part(0, repeats=4, fill=True); editor.add_part(1); editor.play_song()

While the song is heard, the present pattern is that of the slot that is heard. A command on the pattern ends the song:
what is shown at that moment is the pattern then.
"""

from dataclasses import replace

from editor.stateful import command
from session.song import check_song, song_bars
from session.state import SLOTS, Part

TIMES = ("", "2nd time", "3rd time")


class Songs:
    """The commands of a PatternEditor on slots and song."""

    song_places = ()  # of each bar of the song that is heard, its SongBar
    song_bar = song_start = 0  # the bar of it that is heard; the one at which it began

    # Slots

    @command
    def choose_slot(self, slot):
        """Go to the pattern of a slot, and keep the present one in its own; an empty one begins as a copy of it."""
        self.draw_now()
        empty = self.state.pattern_of(slot) is None
        self.state = replace(self.state.in_slot(slot), audition_source=None, audition_bars=None)
        self.report("slot", f"Slot {SLOTS[slot]}{', a copy' if empty else ''}: {self.describe()}.", slot=slot)

    @command
    def clear_slot(self, slot):
        """Empty a slot, neither the present one nor one of the song."""
        if slot == self.slot or any(part.slot == slot for part in self.song):
            used = "is the one you see: go to another first" if slot == self.slot else "is in the song"
            raise ValueError(f"Slot {SLOTS[slot]} {used}.")
        self.slots = tuple(None if i == slot else pattern for i, pattern in enumerate(self.slots))
        self.report("clear slot", f"Slot {SLOTS[slot]} is empty.", slot=slot)

    def draw_now(self):
        """Draw what is to be drawn with the next frame."""
        if not self.drawn:
            self.redraw()

    # The parts of the song

    @command
    def add_part(self, slot):
        """Let the song go on with a slot's pattern, once."""
        self.change_song((*self.song, Part(slot)), f"Part {len(self.song) + 1} of the song: {SLOTS[slot]}.")

    @command
    def change_part(self, i, **fields):
        """Change a part of the song: slot, repeats, fill, morph."""
        part = replace(self.song[i], **fields)
        self.change_song((*self.song[:i], part, *self.song[i + 1:]), f"Part {i + 1} of the song: {part_name(part)}.")

    @command
    def move_part(self, i, by):
        """Bring a part of the song so many places later, or earlier."""
        others, place = [*self.song[:i], *self.song[i + 1:]], max(0, min(i + by, len(self.song) - 1))
        others.insert(place, self.song[i])
        self.change_song(tuple(others), f"{part_name(self.song[i])}: part {place + 1} of the song now.")

    @command
    def remove_part(self, i):
        """Take a part out of the song."""
        self.change_song((*self.song[:i], *self.song[i + 1:]), f"{part_name(self.song[i])} is out of the song.")

    def change_song(self, song, message):
        """Let the song be other parts; where it is heard, it goes on so."""
        self.song = song
        if song:
            check_song(self.state)
        if self.audition_source == "song":
            self.hear_song() if song else self.set_bars(self.bars)
        self.report("song", message, parts=[part_name(part) for part in song])

    # Heard

    @command
    def play_song(self, from_part=None):
        """Hear the song, from a part or from its beginning; while it is heard, without a part: the pattern again."""
        if self.audition_source == "song" and self.playing and from_part is None:
            return self.end_audition()
        if self.recording:
            self.end_recording()
        self.draw_now()
        check_song(self.state)  # before the loop stops
        self.stop()  # so that it begins at its beginning, not where the pattern stands
        self.hear_song(from_part or 0)
        self.playing = self.open_sound()
        self.report("play song", f"{self.describe()}. Again: the pattern.", bars=len(self.song_places))

    def hear_song(self, from_part=None):
        """Let the song as it is now be heard; it begins with a part, or goes on where it is."""
        bars, self.song_places = song_bars(self.state, self.model)
        if from_part is not None:
            self.song_start = self.song_bar = [place.part for place in self.song_places].index(from_part)
        self.song_bar %= len(bars)
        self.state = replace(self.state, audition_source="song", audition_bars=bars)
        self.show_song_bar()

    def follow_sound(self, bar):
        """Show the bar that is heard: `bar` of what the player was given."""
        if self.audition_source == "song":
            bar = (bar + self.song_start) % len(self.song_places)
            if bar != self.song_bar:
                self.song_bar, self.needs_paint = bar, True
                self.show_song_bar()
        elif bar != self.index and bar < len(self.bars):
            self.index, self.needs_paint = bar, True

    def show_song_bar(self):
        """Let the present pattern be the one that is heard, at the bar that is heard."""
        place = self.song_places[self.song_bar]
        self.state = replace(self.state.in_slot(SLOTS.index(place.letter)), index=place.bar)

    def describe_song(self):
        """Where in the song one is."""
        place = self.song_places[self.song_bar]
        time = TIMES[place.repeat] if place.repeat < len(TIMES) else f"time {place.repeat + 1}"
        words = f"Song, {self.song_bar + 1} of {len(self.song_places)}: {place.letter}"
        return words + f", {place.kind or time}" * bool(place.kind or time)


def part_name(part):
    """A part as text: B 4 times with a fill, then a morph of 2 bars."""
    return (SLOTS[part.slot] + f" {part.repeats} times" * (part.repeats > 1) + " with a fill" * part.fill
            + f", then a morph of {part.morph} bar{'s' * (part.morph > 1)}" * bool(part.morph))
