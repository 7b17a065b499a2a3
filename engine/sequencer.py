"""The sequencer: bars and a kit become samples, in a file or live.

    kit = load_kit("dataset_audio/kit")                 # eight Sounds, in the order of the rows
    samples = render(bars, kit, bpm=120)                # one exact pass of the loop, float32 (n, 2)
    engine = Sequencer(kit); engine.play(bars)          # the same, a block at a time:
    samples = engine.fill(512)                          # float32 (512, 2)

Step s of bar b starts at sample round((64 b + s) * 240 / bpm / 64 * sample_rate), and a hit that `Feel` moves by d
steps at round((64 b + s + d) * ...); before the loop's start is at its end. The k-th hit of a row takes the k-th
alternate of its sound, in the layer of its velocity. Hits add, at one gain for the pattern (`loudness.Loudness`), and
every tail rings on over the steps that follow, but for those that another row cuts (`voices.CHOKES`); then a limiter.
"""

import collections
import heapq
import threading
from collections import namedtuple

import numpy as np

from engine.limiter import Limiter
from engine.loudness import Loudness
from engine.mixer import Mixer
from engine.timing import check_pattern, check_start, find_hits, step_starts
from engine.voices import AMPLITUDE, CHOKES, Tails, Voices
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from formats.kit import HARDEST, SAMPLE_RATE
from patterns.feel import Feel


def render(bars, kit, bpm=120.0, sample_rate=SAMPLE_RATE, loop=True, feel=Feel(), mixer=Mixer()):
    """The samples of a pattern, float32 (n, 2), from bars uint8 (bars, 8, 64) or (8, 64) and the kit of `load_kit`.

    With `loop`, one pass as it repeats, the tails of those before ringing into it. Else one pass from silence, the last
    tails ringing out beyond its end. Raises ValueError for what is not a pattern, a kit, a tempo or a rate.
    """
    engine = Sequencer(kit, sample_rate, bpm, mixer)
    engine.BLOCK = 16384
    return engine.one_pass(bars, feel, loop)


# What sounds now: its hits as `find_hits` gives them, those (samples after the step, row, velocity, number) of each
# step, the sample at which each step starts, by how many samples the earliest hit is ahead of its step, the gain of
# all, which call of play() began it.
Loop = namedtuple("Loop", "bars feel bpm starts found hits ahead gain run")


class Sequencer:
    """The live engine, without a sound card: `fill` gives the next samples of what the other methods ask for.

    `fill` belongs to one thread (the sound card's), the rest to others: they prepare immutable Loops and Voices, which
    fill picks up by one reference, so it never waits. Once all tails ring, every pass equals `render` to float32
    rounding; it comes `delay` samples later, by the limiter's look-ahead.
    """

    BLOCK = 1024  # samples that are computed at a time
    HISTORY = 64  # steps kept for `place_at`: a second at 240 bpm, more than any latency

    def __init__(self, kit, sample_rate=SAMPLE_RATE, bpm=120.0, mixer=Mixer()):
        self.sample_rate, self.bpm = sample_rate, bpm
        step_starts(1, bpm, sample_rate)  # checks both
        self._lock = threading.Lock()  # between the threads that ask; fill never takes it
        self._wanted, self._loop, self._runs = None, None, 0
        self._struck, self._strikes = collections.deque(), [0] * len(INSTRUMENTS)  # by `strike`: to come, so far
        self._tails, self._limiter = Tails(sample_rate), Limiter(sample_rate)
        self.delay = self._limiter.delay
        self._step = self._due = self._origin = 0  # the next step, the samples at which it and this pass start
        self._cell = self._began = 0  # the next step whose hits are not in _coming, the sample of the first step of all
        self._coming = []  # a heap of hits, see _gather, of steps that have begun or soon will
        self._history = ()  # (sample, (bar, step) or None), the newest last
        self.mixer, self._metronome = mixer, False
        self.set_kit(kit)

    @property
    def clock(self):
        """Samples given so far."""
        return self._tails.clock

    def play(self, bars, feel=Feel(), when="now", count_in=0):
        """Start at step 0 with the next sample; or, while playing, let this pattern take over with the next step.

        A hit that stands before its step is then struck before it; one that comes before the very start, a pass later.
        """
        check_start(when, count_in)
        with self._lock:
            if self._wanted is None:
                self._runs += 1
            self._wanted = self._prepare(bars, feel)

    def stop(self):
        """Strike no more; what sounds rings out."""
        with self._lock:
            self._wanted = None

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
        """Change the tempo at the next sample; the place in the bar stays."""
        step_starts(1, bpm, self.sample_rate)  # checks it
        with self._lock:
            self.bpm = float(bpm)
            if self._wanted is not None:
                self._wanted = self._prepare(self._wanted.bars, self._wanted.feel)

    def set_kit(self, kit):
        """Play other sounds from the next hit on: eight Sounds."""
        with self._lock:
            self._voices, self.kit = Voices(kit, self.mixer), tuple(kit)
            self._loudness = Loudness(kit)
            if self._wanted is not None:
                gain = self._loudness.gain(self._wanted.found, self._wanted.starts[-1])
                self._wanted = self._wanted._replace(gain=gain)

    def set_metronome(self, on):
        """A click on each beat while a pattern plays."""
        self._metronome = bool(on)

    def set_mixer(self, mixer):
        """Play by another Mixer from the next hit on."""
        with self._lock:
            self._voices, self.mixer = Voices(self.kit, mixer), mixer

    def fill(self, frames):
        """The next samples, stereo: float32 (frames, 2)."""
        samples = np.empty((frames, 2), np.float32)
        self._fill_into(samples)
        return samples

    def one_pass(self, bars, feel=Feel(), loop=True):
        """See `render`: for an engine that has not yet given a sample."""
        self._wanted = wanted = self._prepare(bars, feel)
        starts, length = wanted.starts, wanted.starts[-1]
        sizes = [len(self._voices.sounds[row].samples(*hit)) for _, _, row, *hit in wanted.found]
        if loop:  # from so far before that the start does not matter, in the midst of a pass
            late = max([0] + [shift for hits in wanted.hits for shift, *_ in hits])
            passes, rest = divmod(max([0, *sizes]) + late + self._limiter.memory, length)
            step = int(np.searchsorted(starts, length - rest, "right")) - 1
            self._begin(wanted, step)
            self.fill(passes * length + length - starts[step] + self.delay)
            return self.fill(length)
        ends = [start % length + size for (start, *_), size in zip(wanted.found, sizes)]
        samples = np.empty((max([length, *ends]) + self.delay, 2), np.float32)
        self._fill_into(samples[:length])
        self._wanted = None
        self._fill_into(samples[length:])
        return samples[self.delay:]

    def place_at(self, sample):
        """(bar, step) at a sample of the past, counted from the first that fill gave; None in silence."""
        sample -= self.delay
        return next((place for start, place in reversed(self._history) if start <= sample), None)

    def _prepare(self, bars, feel):
        bars = check_pattern(bars)
        starts = step_starts(len(bars), self.bpm, self.sample_rate).tolist()
        found = find_hits(bars, feel, self.bpm, self.sample_rate)
        hits = [[] for _ in starts[1:]]
        for start, step, *hit in found:
            hits[step].append((start - starts[step], *hit))
        ahead = max([0] + [starts[step] - start for start, step, *_ in found])
        gain = self._loudness.gain(found, starts[-1])
        return Loop(bars, feel, self.bpm, starts, found, hits, ahead, gain, self._runs)

    def _begin(self, loop, step=0):
        """Play a loop from a step on, with the next sample."""
        self._loop = loop
        self._step = self._cell = step
        self._due = self._began = self.clock
        self._origin, self._coming = self.clock - loop.starts[step], []

    def _switch(self, wanted):
        now, self._loop = self._loop, wanted
        if wanted is None:
            self._coming = []
            self._record(self.clock, None)
        elif now is None or now.run != wanted.run:
            self._begin(wanted)
        else:
            def later(sample):
                return self.clock + round((sample - self.clock) * now.bpm / wanted.bpm)

            before, self._step = self._step, self._step % len(wanted.hits)
            self._cell += self._step - before
            self._coming = [(later(sample), *hit) for sample, *hit in self._coming]
            heapq.heapify(self._coming)
            self._due = later(self._due)
            self._origin = self._due - wanted.starts[self._step]

    def _fill_into(self, samples):
        wanted, voices = self._wanted, self._voices
        if wanted is not self._loop:
            self._switch(wanted)
        self._tails.reserve(voices.longest + self.BLOCK)
        gain = self._loop.gain if self._loop else self._loudness.gain_of_beat
        while self._struck:
            self._strike(voices, self.clock, *self._struck.popleft(), gain, asked=True)
        for begin in range(0, len(samples), self.BLOCK):
            block = samples[begin:begin + self.BLOCK]
            block[:] = self._limiter.process(self._mix(len(block), voices)).T

    def _mix(self, count, voices):
        """The next samples before the limiter: float32 (2, count)."""
        end = self.clock + count
        if self._loop is not None:
            self._gather(end)
        while self._coming and self._coming[0][0] < end:
            at, _, *hit = heapq.heappop(self._coming)
            self._strike(voices, at, *hit)
        while self._loop is not None and self._due < end:
            self._record(self._due, divmod(self._step, STEPS_PER_BAR))
            self._step += 1
            if self._step == len(self._loop.hits):
                self._step, self._cell = 0, self._cell - len(self._loop.hits)
                self._origin += self._loop.starts[-1]
            self._due = self._origin + self._loop.starts[self._step]
        return self._tails.take(count)

    def _gather(self, end):
        """Bring the hits of each step that may sound before `end` among those that come, each step once a pass."""
        loop = self._loop
        while True:
            passes, step = divmod(self._cell, len(loop.hits))
            start = self._origin + passes * loop.starts[-1] + loop.starts[step]
            if start - loop.ahead >= end:
                return
            for shift, row, velocity, number in loop.hits[step]:
                if start + shift >= self._began:  # the first step of all has no before
                    at = max(start + shift, self.clock)
                    heapq.heappush(self._coming, (at, row not in CHOKES, row, velocity, number, loop.gain))
            self._cell += 1

    def _strike(self, voices, at, row, velocity, number, gain, asked=False):
        """Sound a hit from sample `at` on. Rows that cut come first: of two at once, both are heard."""
        if not (asked or voices.heard[row]):
            return
        if row in CHOKES:
            self._tails.cut(at)
        gains = [gain * float(AMPLITUDE[velocity]) * side for side in voices.gains[row]]
        self._tails.add(at, voices.sounds[row].samples(velocity, number), gains, row in CHOKES.values())

    def _record(self, sample, place):
        self._history = (self._history + ((sample, place),))[-self.HISTORY:]
