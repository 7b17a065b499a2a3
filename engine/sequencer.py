"""The sequencer: bars and a kit become samples, in a file or live.

    kit = load_kit("dataset_audio/kit")                 # eight Sounds, in the order of the rows
    samples = render(bars, kit, bpm=120)                # one exact pass of the loop, float32 (n, 2)
    engine = Sequencer(kit); engine.play(bars)          # the same, a block at a time:
    samples = engine.fill(512)                          # float32 (512, 2)

Step s of bar b starts at sample round((64 b + s) * 240 / bpm / 64 * sample_rate), and a hit that `Feel` moves by d
steps at round((64 b + s + d) * ...); before the loop's start is at the end of the pass before. The k-th hit of a row
takes the k-th alternate of its sound, in the layer of its velocity. Hits add, at one gain for the pattern
(`loudness.Loudness`), and every tail rings on over the steps that follow, but for those that another row cuts
(`voices.CHOKES`); then a limiter.
"""

import heapq
import math
import threading
from collections import deque, namedtuple

import numpy as np

from engine.limiter import Limiter
from engine.loudness import Loudness
from engine.mixer import Mixer
from engine.timing import (TAKE_OVER, Asked, Loop, check_pattern, check_start, find_hits, line_through,
                           samples_a_step, step_starts)
from engine.voices import AMPLITUDE, CHOKES, TOGETHER, Tails, Voices, metronome_click
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from formats.kit import HARDEST, SAMPLE_RATE
from patterns.feel import Feel

BEAT = STEPS_PER_BAR // 4  # steps
UNITS = dict(zip(TAKE_OVER, (1, BEAT, STEPS_PER_BAR)))  # steps
CLOCKS = (0, 2 / 3, 4 / 3)  # after each even step, in steps: 24 a quarter note
START, CLOCK, CLICK, CUT, HIT = range(5)  # what comes, in this order at one sample; hits that cut before the others

# An outside master: at that sample of `clock` the loop is to stand at `steps`, and goes on at bpm.
Master = namedtuple("Master", "sample steps bpm")


def render(bars, kit, bpm=120.0, sample_rate=SAMPLE_RATE, loop=True, feel=Feel(), mixer=Mixer()):
    """The samples of a pattern, float32 (n, 2), from bars uint8 (bars, 8, 64) or (8, 64) and the kit of `load_kit`.

    With `loop`, one pass as it repeats, the tails of those before ringing into it. Else one pass from silence, each hit
    once, those that come before its start at its start, and the last tails ringing out beyond its end. Raises
    ValueError for what is not a pattern, a kit, a tempo or a rate.
    """
    return Sequencer(kit, sample_rate, bpm, mixer).one_pass(bars, feel, loop)


def render_stems(bars, kit, bpm=120.0, sample_rate=SAMPLE_RATE, loop=True, feel=Feel(), mixer=Mixer()):
    """Each row by itself, as `render` takes them: float32 (8, n, 2), whose sum is the mix before the limiter.

    A row is as in the mix: at its gain, cut by the rows that cut it, silent where it is not heard. The limiter works on
    the sum alone: in a mix of these stems it would lower what passes its CEILING, and change nothing else.
    """
    return Stems(kit, sample_rate, bpm, mixer).one_pass(bars, feel, loop)


class Sequencer:
    """The live engine, without a sound card: `fill` gives the next samples of what the other methods ask for.

    `fill` belongs to one thread (the sound card's), the rest to others: they prepare immutable Loops and Voices, which
    fill picks up by one reference, so it never waits. Once all tails ring, every pass equals `render` to float32
    rounding; it comes `delay` samples later, by the limiter's look-ahead.
    """

    BLOCK = 1024  # samples that are computed at a time
    HISTORY = 64  # steps kept for `place_at`: a second at 240 bpm, more than any latency
    EVENTS = 4096  # kept for `take_events`, the newest
    FARTHEST = 4  # steps that `follow` moves a loop by without a jump
    SAME_TEMPO = 0.01  # by so much `follow` stretches a loop, before it is prepared anew
    RINGS, SHAPE = TOGETHER, (2,)

    def __init__(self, kit, sample_rate=SAMPLE_RATE, bpm=120.0, mixer=Mixer()):
        self.sample_rate, self.bpm = sample_rate, bpm
        step_starts(1, bpm, sample_rate)  # checks both
        self._lock = threading.Lock()  # between the threads that ask; fill never takes it
        self._wanted = self._master = None  # the Loop and the Master that are asked for
        self._runs = self._plays = 0
        self._struck, self._strikes = deque(), [0] * len(INSTRUMENTS)  # by `strike`: to come, so far
        self._tails, self._limiter = Tails(sample_rate, self.RINGS), Limiter(sample_rate)
        self._clicks = [metronome_click(sample_rate, accent) for accent in (False, True)]
        self.delay = self._limiter.delay
        self._taken = self._followed = None  # those that fill has picked up
        self._lines, self._tempo = [], bpm  # what plays, and after it what is to take over; at which tempo
        self._step = self._cell = 0  # of the run: the next step, the next whose hits are not in _coming
        self._last = math.inf  # the first cell that is played no more
        self._began, self._started = 0, False  # the sample of the first step of all; has there been a "start"?
        self._coming = []  # a heap of what sounds or is reported: (sample, kind, row, velocity, number, gain)
        self._history = ()  # (sample, (bar, step) or None), the newest last
        self._events = deque(maxlen=self.EVENTS)
        self.mixer, self._metronome = mixer, False
        self.set_kit(kit)

    @property
    def clock(self):
        """Samples given so far."""
        return self._tails.clock

    def play(self, bars, feel=Feel(), when="now", count_in=0):
        """Start at step 0 with the next sample, after so many bars of metronome; or, while playing, let this pattern
        take over with the next step, beat or bar, of `timing.TAKE_OVER`.

        A hit that stands before its step is then struck before it; one that comes before the very start, at the start.
        While an outside master is followed (`follow`), it starts at the master's place, without a count-in.
        """
        check_start(when, count_in)
        with self._lock:
            if self._wanted is None:
                self._runs += 1
            self._plays += 1
            self._wanted = self._prepare(bars, feel, Asked(self._runs, self._plays, when, count_in))

    def stop(self):
        """Strike no more, and follow nobody; what sounds rings out."""
        with self._lock:
            self._wanted = self._master = None

    def strike(self, row, velocity=100):
        """Sound one hit of a row with the next sample, whether or not a pattern plays or the row is muted. ValueError
        for what is none."""
        if row not in range(len(INSTRUMENTS)) or velocity not in range(1, HARDEST + 1):
            raise ValueError(f"strike: expected a row from 0 to {len(INSTRUMENTS) - 1} and a velocity from 1 to "
                             f"{HARDEST}, found {row} and {velocity}")
        with self._lock:
            self._struck.append((row, velocity, self._strikes[row]))
            self._strikes[row] += 1

    def set_bpm(self, bpm):
        """Change the tempo at the next sample; the place in the bar stays. A master is followed no more."""
        step_starts(1, bpm, self.sample_rate)  # checks it
        with self._lock:
            self.bpm, self._master = float(bpm), None
            self._prepare_anew()

    def follow(self, sample, steps, bpm):
        """Let the loop stand at `steps` since its start at a sample of `clock`, and go on from there at bpm: what an
        outside master says, at each of its beats or as often as one likes, until `stop` or `set_bpm`.

        The sample may be past or to come. By up to FARTHEST steps the loop moves as a whole, and each hit sounds once;
        beyond, it goes on at the other place. In silence it is kept for the next `play`, so for an exact start: `stop`,
        `follow`, then `play`. A pattern that takes over meanwhile stands at the master's place too.
        """
        step_starts(1, bpm, self.sample_rate)
        if not (math.isfinite(sample) and math.isfinite(steps)):
            raise ValueError(f"follow: expected a sample and steps, found {sample} and {steps}")
        with self._lock:
            self.bpm = float(bpm)
            if self._wanted is not None and abs(self._wanted.bpm / self.bpm - 1) > self.SAME_TEMPO:
                self._prepare_anew()
            self._master = Master(sample, steps, self.bpm)

    def set_kit(self, kit):
        """Play other sounds from the next hit on: eight Sounds."""
        with self._lock:
            self._voices, self.kit = Voices(kit, self.mixer), tuple(kit)
            self._loudness = Loudness(kit)
            if self._wanted is not None:
                gain = self._loudness.gain(self._wanted.found, self._wanted.length)
                self._wanted = self._wanted._replace(gain=gain)

    def set_metronome(self, on):
        """A click on each beat while a pattern plays: live alone, in no file, whatever the mixer does."""
        self._metronome = bool(on)

    def set_mixer(self, mixer):
        """Play by another Mixer from the next hit on."""
        with self._lock:
            self._voices, self.mixer = Voices(self.kit, mixer), mixer

    def fill(self, frames):
        """The next samples, stereo: float32 (frames, 2)."""
        samples = np.empty((*self.SHAPE[:-1], frames, 2), np.float32)
        self._fill_into(samples)
        return samples

    def take_events(self):
        """What sounded or fell due in the blocks filled since the last call, in order, by samples of `clock`, each
        heard `delay` later: (sample, "hit", row, velocity), (sample, "clock") 24 times a quarter note,
        (sample, "start") and (sample, "stop"). Of those that nobody takes, the newest EVENTS are kept."""
        return [self._events.popleft() for _ in range(len(self._events))]

    def place_at(self, sample):
        """(bar, step) at a sample of the past, counted from the first that fill gave; None in silence and while it
        counts in."""
        sample -= self.delay
        return next((place for start, place in reversed(self._history) if start <= sample), None)

    def one_pass(self, bars, feel=Feel(), loop=True):
        """See `render`: for an engine that has not yet given a sample."""
        self.BLOCK = 16384
        self._wanted = self._taken = wanted = self._prepare(bars, feel, Asked(0, 0, "now", 0))
        sizes = [len(self._voices.sounds[row].samples(*hit)) for _, _, row, *hit in wanted.found]
        if loop:  # from so far before that the start does not matter, in the midst of a pass
            late = max([0] + [shift for hits in wanted.hits for shift, *_ in hits])
            before = max([0, *sizes]) + late + self._limiter.memory
            passes, rest = divmod(before, wanted.length)
            step = next(step for step in range(len(wanted.hits), -1, -1) if wanted.offset(step) <= wanted.length - rest)
            self._begin(wanted, None, step)
            self.fill(passes * wanted.length + wanted.length - wanted.offset(step) + self.delay)
            return self.fill(wanted.length)
        length = max([wanted.length, *(max(0, start) + size for (start, *_), size in zip(wanted.found, sizes))])
        self._begin(wanted, None)
        self._last = len(wanted.hits)
        return self.fill(length + self.delay)[..., self.delay:, :]

    # What the asking threads prepare

    def _prepare(self, bars, feel, asked):
        bars = check_pattern(bars)
        starts = step_starts(len(bars), self.bpm, self.sample_rate).tolist()
        found = find_hits(bars, feel, self.bpm, self.sample_rate)
        hits = [[] for _ in starts[1:]]
        for start, step, *hit in found:
            hits[step].append((start - starts[step], *hit))
        ahead = max([0] + [starts[step] - start for start, step, *_ in found])
        gain = self._loudness.gain(found, starts[-1])
        return Loop(bars, feel, self.bpm, self.sample_rate, found, hits, ahead, starts[-1], gain, asked)

    def _prepare_anew(self):
        if self._wanted is not None:
            self._wanted = self._prepare(self._wanted.bars, self._wanted.feel, self._wanted.asked)

    # What `fill` does: the run, its steps counted from 0, those of the count-in below

    def _fill_into(self, samples):
        wanted, master, voices = self._wanted, self._master, self._voices
        if wanted is not self._taken:
            self._take(wanted, master)
        if master is not self._followed:
            self._heed(master)
        self._tails.reserve(max(voices.longest, len(self._clicks[0])) + self.BLOCK)
        gain = self._lines[0].loop.gain if self._lines else self._loudness.gain_of_beat
        while self._struck:
            self._strike(voices, self.clock, *self._struck.popleft(), gain, asked=True)
        for begin in range(0, samples.shape[-2], self.BLOCK):
            block = samples[..., begin:begin + self.BLOCK, :]
            block[:] = np.swapaxes(self._finish(self._mix(block.shape[-2], voices)), -1, -2)

    def _finish(self, rings):
        """What is heard of (rings, 2, n)."""
        return self._limiter.process(rings.sum(0))

    def _take(self, wanted, master):
        """Pick up another loop, or None."""
        before, self._taken = self._taken, wanted
        if before is not None and (wanted is None or wanted.asked.run != before.asked.run):
            self._end()
        if wanted is None:
            return
        if not self._lines:
            return self._begin(wanted, master)
        if wanted.asked.number != before.asked.number:
            self._take_over(wanted)
        self._retime(master.bpm if master else wanted.bpm)

    def _end(self):
        self._lines, self._coming = [], []
        self._record(self.clock, None)
        if self._started:
            self._events.append((self.clock, "stop"))
        self._started = False

    def _begin(self, loop, master, step=0):
        """Play a loop from a step on with the next sample, or from its count-in; or where a master says."""
        self._followed, self._coming, self._tempo = master, [], master.bpm if master else loop.bpm
        self._step = step - STEPS_PER_BAR * loop.asked.count_in
        line = line_through(loop, self._step, self.clock, self._tempo, first=self._step)
        if master:
            gone = max(0, self.clock - master.sample) / samples_a_step(self._tempo, self.sample_rate)
            self._step = math.ceil(master.steps + gone - 0.5)  # one that has just begun is struck at once
            line = line_through(loop, master.steps, master.sample, self._tempo, first=self._step)
        self._lines, self._cell, self._began = [line], max(0, self._step), line.at(self._step)

    def _take_over(self, loop):
        """Let another loop go on from the next step, beat or bar of which no hit has yet been made ready."""
        first = self._cell + (self._lines[0].base - self._cell) % UNITS[loop.asked.when]
        self._lines = self._lines[:1] + [line for line in self._lines[1:] if line.first < first]
        before = self._lines[-1]
        base = before.base if self._followed else first - before.index(first) % len(loop.hits)
        self._lines.append(line_through(loop, first, before.at(first), self._tempo, first, base))

    def _heed(self, master):
        """Go where a master says, if one does."""
        self._followed = master
        if master is None or not self._lines:
            return
        line = self._line(self._step)
        due, count = line.at(self._step), len(line.loop.hits)
        place = self._step + (master.sample - due) / samples_a_step(self._tempo, self.sample_rate)
        off = (master.steps + line.base - place + count / 2) % count - count / 2
        if abs(off) > self.FARTHEST:
            return self._begin(self._taken, master)
        place += off
        later = master.sample + (self._step - place) * samples_a_step(master.bpm, self.sample_rate)
        self._retime(master.bpm, later, round(place - master.steps))

    def _retime(self, tempo, later=None, base=None):
        """Go on at a tempo, with the newest preparation: the next step `later`, else so that the place stays; with the
        master's base, if there is one."""
        due, ratio = self._line(self._step).at(self._step), self._tempo / tempo
        if later is None:
            later = self.clock + (due - self.clock) * ratio
        self._coming = [(round(later + (at - due) * ratio), *what) for at, *what in self._coming]
        heapq.heapify(self._coming)
        lines, self._lines, self._tempo = self._lines, [], tempo
        for line in lines:
            loop = self._taken if line.loop.asked.number == self._taken.asked.number else line.loop
            step, at = (line.first, self._lines[-1].at(line.first)) if self._lines else (self._step, later)
            at = round(at) if loop.bpm == tempo else at
            self._lines.append(line_through(loop, step, at, tempo, line.first, line.base if base is None else base))

    def _line(self, step):
        """The Line that a step of the run is of."""
        return next((line for line in reversed(self._lines) if line.first <= step), self._lines[0])

    def _mix(self, count, voices):
        """The next samples before the limiter: float32 (rings, 2, count)."""
        end = self.clock + count
        if self._lines:
            self._gather(end)
            self._advance(end)
        while self._coming and self._coming[0][0] < end:
            at, kind, row, *hit = heapq.heappop(self._coming)
            at = max(at, self.clock)
            if kind in (CUT, HIT):
                self._strike(voices, at, row, *hit)
            elif kind == CLICK:
                self._tails.add(at, 0, self._clicks[row], (1, 1))
            else:
                self._events.append((at, "clock" if kind == CLOCK else "start"))
        return self._tails.take(count)

    def _gather(self, end):
        """Bring the hits of each step that may sound before `end` among those that come, each step once a pass."""
        end += max(round(line.stretch * line.loop.ahead) for line in self._lines)
        while True:
            line = self._line(self._cell)
            begin = line.at(self._cell)
            if begin >= end or self._cell >= self._last:
                return
            for shift, row, *hit in line.loop.hits[line.index(self._cell)]:
                at = max(begin + round(line.stretch * shift), self._began)  # the first step of all has no before
                heapq.heappush(self._coming, (at, CUT if row in CHOKES else HIT, row, *hit, line.loop.gain))
            self._cell += 1

    def _advance(self, end):
        """Go past each step that starts before `end`: record its place, and bring its clocks and clicks."""
        while (at := (line := self._line(self._step)).at(self._step)) < end:
            index = line.index(self._step)
            self._record(max(at, self.clock), divmod(index, STEPS_PER_BAR) if self._step >= 0 else None)
            if index % BEAT == 0 and (self._metronome or self._step < 0):
                heapq.heappush(self._coming, (at, CLICK, int(index % STEPS_PER_BAR == 0), 0, 0, 0))
            if self._step >= 0:
                clocks = [(line.at(self._step + shift), CLOCK) for shift in CLOCKS] if index % 2 == 0 else []
                for what in [(at, START)] * (not self._started) + clocks:
                    heapq.heappush(self._coming, (*what, 0, 0, 0, 0))
                self._started = True
            self._step += 1
        while len(self._lines) > 1 and self._lines[1].first <= self._step:
            self._lines.pop(0)

    def _strike(self, voices, at, row, velocity, number, gain, asked=False):
        """Sound a hit from sample `at` on. Rows that cut come first: of two at once, both are heard."""
        if not (asked or voices.heard[row]):
            return
        self._events.append((at, "hit", row, velocity))
        if row in CHOKES:
            self._tails.cut(at, CHOKES[row])
        gains = [gain * float(AMPLITUDE[velocity]) * side for side in voices.gains[row]]
        self._tails.add(at, row, voices.sounds[row].samples(velocity, number), gains)

    def _record(self, sample, place):
        self._history = (self._history + ((sample, place),))[-self.HISTORY:]


class Stems(Sequencer):
    """An engine for `one_pass` whose samples are the rows' by themselves, before the limiter: (8, n, 2)."""

    RINGS, SHAPE = tuple(range(len(INSTRUMENTS))), (len(INSTRUMENTS), 2)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.delay = 0

    def _finish(self, rings):
        return rings
