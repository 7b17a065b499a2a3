"""Playing along: tempo by hand, metronome, and what is played recorded into the loop. Commands of a PatternEditor.

    editor.tap(); editor.tap(); editor.toggle_metronome(); editor.set_take_over("bar")
    editor.record(); editor.play_row(SNARE, 90); editor.record()  # on, a hit, off

A hit is recorded where the sound was that one heard while striking it. The hits of one pass of the loop are one step of
undo: with the pass ends what one hears as a whole, and a hit each would make undo useless.
"""

import time
from dataclasses import replace

import numpy as np

from editor.stateful import command
from engine.timing import TAKE_OVER, samples_a_step
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from patterns import sampling
from patterns.feel import BEAT, SWUNG, beat_grids
from session.state import FASTEST, SLOWEST

FORGOTTEN, MOST_TAPS = 2.0, 8  # seconds after which taps begin anew; how many the tempo is the median of
SIXTEENTH = 4  # steps
EARLY = 2  # steps: so much before the end of the count-in a hit is of the first beat


class Live:
    """The commands of a PatternEditor for playing along. recording: does what is played go into the loop?"""

    now = staticmethod(time.perf_counter)  # the clock of the player's moments
    recording, count_in = False, 0  # count_in: bars, for the next start
    taps = played = ()  # moments; (moment, row, velocity) that are not yet in the loop
    recorded, touched, hits = None, frozenset(), 0  # the bars after the last hit of this pass, which of them, all hits
    rows_played = frozenset()  # that were recorded last
    last_place = 0  # the step of the loop that was heard with the last frame

    def begin_live(self):
        self.fresh = {}  # {(bar, row, step): (velocity before, moment at which it has gone by)}
        self.begun = {}  # {series of changes: the state before it}

    # Tempo, metronome, take-over

    def tap(self):
        """Give the tempo by tapping beats: the median of the last ones. The taps of a series are one step of undo."""
        moment = self.now()
        if self.taps and moment - self.taps[-1] > FORGOTTEN:
            self.taps = ()
        self.taps = (*self.taps[-MOST_TAPS:], moment)
        if len(self.taps) < 2:
            self.begun.pop("taps", None)
            return self.show_message("Tap on, once a beat.")
        before = self.state
        seconds = np.clip(np.median(np.diff(self.taps)), 60 / FASTEST, 60 / SLOWEST)
        self.bpm = round(float(60 / seconds), 1)
        self.remember_series("taps", before)
        self.update()
        self.report("tap", f"{self.bpm:g} bpm, by {len(self.taps)} taps.", bpm=self.bpm)

    def remember_series(self, name, before):
        """Let undo return to where a series of changes began: one step for all of them, if nothing came between."""
        unbroken = self.past and self.past[-1] is self.begun.get(name)
        if self.gesture is None and not unbroken and not self.state.same_as(before):
            self.begun[name] = before
            self.remember(before)

    @command
    def toggle_metronome(self):
        """A click on each beat, or none."""
        self.metronome = not self.metronome
        self.report("metronome", f"Metronome {'on' if self.metronome else 'off'}.", on=self.metronome)

    @command
    def set_take_over(self, name=None):
        """Let patterns take over "now", at the next "beat" or "bar"; without a name, the next of these."""
        name = name or TAKE_OVER[(TAKE_OVER.index(self.take_over) + 1) % len(TAKE_OVER)]
        if name not in TAKE_OVER:
            raise ValueError(f"take-over: expected {', '.join(TAKE_OVER)}, found {name!r}")
        self.take_over = name
        words = "now" if name == "now" else f"at the next {name}"
        self.report("take-over", f"A pattern takes over {words}.", when=name)

    # Playing and recording

    def play_row(self, row, velocity=100):
        """Strike a row now; while recording, put the hit into the loop where it was heard."""
        moment = self.now()
        self.with_sound(self.player.strike, row, velocity)
        self.record_notes([(moment, row, velocity)])

    def record(self):
        """Record what is played, from silence after a bar of clicks; the second time, no more."""
        if self.recording:
            self.end_recording()
        else:
            self.begin_recording()

    @command
    def begin_recording(self):
        self.leave_fill()
        if self.audition_source:
            self.set_bars(self.bars)
        begins = not self.playing
        if begins:
            self.sound_error, self.count_in = None, 1
            self.playing = self.open_sound()
        if not self.playing:
            self.count_in = 0
            return self.show_message("There is no sound card to record along with.", "warning")
        self.recording, self.hits, self.last_place, self.rows_played = True, 0, 0, frozenset()
        self.report("record", "A bar of clicks, then play the rows: they are recorded." if begins else
                    "Recording: play the rows.")

    def end_recording(self):
        """Record no more; the dot goes where the bars lie that were played."""
        self.record_notes()
        self.recording, self.played = False, ()
        self.end_pass()
        self.report("recorded", f"Recorded {self.hits} hit{'s' * (self.hits != 1)}: {self.describe()}.", hits=self.hits)

    def listen(self):
        """Once a frame: record what was played, by MIDI too, and let the player have what has gone by."""
        self.record_notes(self.player.take_notes())
        if self.recording and not self.playing:
            self.end_recording()
        if self.recorded is not None and not self.recording:
            self.end_pass()
        if any(until <= self.now() for _, until in self.fresh.values()):
            self.fresh = {cell: kept for cell, kept in self.fresh.items() if kept[1] > self.now()}
            self.playing_bars = None
            self.update()
        if self.recording and (place := self.player.position()):
            before, self.last_place = self.last_place, place[0] * STEPS_PER_BAR + place[1]
            if self.last_place < before:
                self.end_pass()

    def record_notes(self, notes=()):
        """Put notes, (moment, row, velocity), into the loop; those before it wait until it is known how much before."""
        if not self.recording:
            return
        waiting, self.played = (*self.played, *notes), ()
        early = EARLY * samples_a_step(self.bpm, 1)  # seconds
        for moment, row, velocity in waiting:
            if place := self.player.position_at(moment):
                self.record_hit(moment, STEPS_PER_BAR * place[0] + place[1], row, velocity)
            elif self.now() < moment + early:
                self.played += (moment, row, velocity),
            elif place := self.player.position_at(moment + early):
                self.record_hit(moment, STEPS_PER_BAR * place[0] + place[1] - EARLY, row, velocity)

    def record_hit(self, moment, heard, row, velocity):
        """Put a hit into the loop that was struck when step `heard`, a float, was heard."""
        before, bars, seconds = self.state, self.bars.copy(), samples_a_step(self.bpm, 1)
        step = self.step_played(heard, row)
        bar, cell = divmod(step % (STEPS_PER_BAR * len(bars)), STEPS_PER_BAR)
        if step > heard:  # the pattern is still to come there, but the hit has sounded
            velocity_before, _ = self.fresh.get((bar, row, cell), (int(bars[bar, row, cell]), None))
            self.fresh[bar, row, cell] = velocity_before, moment + (step + 1 - heard) * seconds
        bars[bar, row, cell] = velocity
        self.set_bars(bars, edited=True)
        if step > heard:
            self.playing_bars = self.heard_bars  # nothing new to play yet
        self.recorded, self.touched, self.hits = bars, self.touched | {bar}, self.hits + 1
        self.rows_played |= {row}
        self.remember_series("pass", before)
        self.update()

    def step_played(self, heard, row):
        """The step to write for a hit that was heard at a step, a float: without the row's push and the swing, and
        towards the sixteenth by Tight. Before the loop's start or beyond its end, where it is in the next pass."""
        feel = self.feel
        step = heard - feel.push.get(row, 0) / 1000 / samples_a_step(self.bpm, 1)
        grids = beat_grids(self.bars)
        if feel.swing > 50 and grids[int(step // BEAT) % len(grids)] == 4:  # ternary beats are not swung
            pair, share = SWUNG[feel.swing_of], feel.swing / 100
            step = step // pair * pair + np.interp(step % pair, (0, pair * share, pair), (0, pair / 2, pair))
        return round(step + feel.tight / 100 * (SIXTEENTH * round(step / SIXTEENTH) - step))

    def end_pass(self):
        """Let the next hit begin another step of undo, and the dot go where the bars lie that were played."""
        if self.acting:
            return  # a command that ends the recording is another step of undo: with the next frame
        if self.recorded is self.bars:
            before, played, codes = self.state, sorted(self.touched), self.codes.copy()
            codes[played] = sampling.encode(self.model, self.bars[played], self.constraints.style)
            self.state = replace(self.state, codes=codes, edited=True, on_path=False, morph=None)
            self.remember_series("pass", before)
            self.update()
        self.begun.pop("pass", None)
        self.recorded, self.touched = None, frozenset()

    def play_bars(self):
        """Let the player have what is heard, but for hits that have sounded by hand and are still to come."""
        self.playing_bars = bars = self.heard_bars
        self.ahead = None
        if self.audition_source == "song":
            bars = np.roll(bars, -self.song_start, 0)
        elif self.fresh and self.audition_source is None:
            bars = bars.copy()
            for (bar, row, step), (velocity, _) in self.fresh.items():
                if bar < len(bars) and row in range(len(INSTRUMENTS)):
                    bars[bar, row, step] = velocity
        count_in, self.count_in = self.count_in, 0
        when = "now" if self.recording else self.take_over
        self.with_sound(self.player.play, bars, self.feel, when, count_in)
