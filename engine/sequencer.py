"""The sequencer: bars and a kit become samples, in a file or live.

    kit = load_kit("dataset_audio/kit")                 # eight one-shots, in the order of the rows
    samples = render(bars, kit, bpm=120)                # one exact pass of the loop, float32
    samples = render(bars, kit, feel=Feel(tight=100, swing=60))     # hits beside their steps: see patterns/feel.py
    engine = Sequencer(kit); engine.play(bars); engine.fill(441)    # the same, live: the next 10 ms

Step s of bar b starts at sample round((64 b + s) * 240 / bpm / 64 * sample_rate), and a hit that `Feel` moves by d
steps at round((64 b + s + d) * ...); before the loop's start is at its end. Hits add, and every tail rings on
over the steps that follow. Where the loop's peak would pass CEILING, one gain for the whole pattern brings it there;
`Sequencer` applies it to each hit as it is struck, so that old tails die away at their own level.
"""

import heapq
import threading
from collections import namedtuple

import numpy as np

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR, check_bars
from formats.kit import SAMPLE_RATE, Sound, check_rate
from patterns.feel import Feel, time_offsets

CEILING = 0.95  # the peak of a loop that would be louder: -0.4 dB
BPM_RANGE = (10.0, 1000.0)  # what the arithmetic is tested for; the window offers 40 to 240

# By velocity, (128,): the square law (Dannenberg, The Interpretation of MIDI Velocity, ICMC 2006). 127 is the sound as
# it is, 64 is -10 dB, 30 (a ghost note) -21 dB, 1 is -40 dB; 0 is no hit.
AMPLITUDE = np.r_[0, np.linspace(0.1, 1, 127) ** 2].astype(np.float32)


def peak_of(samples):
    return max(float(samples.max()), -float(samples.min())) if len(samples) else 0.0


def gain_for(peak):
    return 1.0 if peak <= CEILING else CEILING / float(peak)


def step_starts(bars_count, bpm, sample_rate=SAMPLE_RATE):
    """The sample at which each step starts, int64 (64 * bars_count + 1,); the last is the length of the loop."""
    if not BPM_RANGE[0] <= bpm <= BPM_RANGE[1]:  # false for nan too
        raise ValueError(f"bpm: expected a number from {BPM_RANGE[0]:g} to {BPM_RANGE[1]:g}, found {bpm}")
    check_rate(sample_rate)
    return _samples_at(np.arange(STEPS_PER_BAR * bars_count + 1), bpm, sample_rate)


def _samples_at(steps, bpm, sample_rate):
    """The samples at times in steps, rounded: int64, as many."""
    return np.rint(steps * (240.0 / bpm / STEPS_PER_BAR) * sample_rate).astype(np.int64)


def render(bars, kit, bpm=120.0, sample_rate=SAMPLE_RATE, loop=True, feel=Feel()):
    """The samples of a pattern, float32 (n,), from bars uint8 (bars, 8, 64) or (8, 64) and the kit of `load_kit`.

    With `loop`, one pass as it repeats, the tails of those before ringing into it. Else one pass from silence, the last
    tails ringing out beyond its end. Raises ValueError for what is not a pattern, a kit, a tempo or a rate.
    """
    bars, kit = _check_bars(bars), _check_kit(kit)
    starts = step_starts(len(bars), bpm, sample_rate)
    samples, gain = _mix(_hits(bars, feel, bpm, sample_rate), kit, int(starts[-1]), loop)
    return samples if gain == 1 else np.multiply(samples, np.float32(gain), out=samples)


def _mix(hits, kit, length, loop=True):
    """The samples as `render` gives them but for the gain, and the gain: one for the first pass and the last."""
    hits = [(start + length * (start < 0), row, velocity) for start, _, row, velocity in hits]
    end = max([length] + [start + len(kit[row]) for start, row, _ in hits])
    samples = np.zeros(end, np.float32)
    scaled = np.empty(max(map(len, kit)), np.float32)
    for start, row, velocity in hits:
        sound = np.multiply(kit[row], AMPLITUDE[velocity], out=scaled[:len(kit[row])])
        samples[start:start + len(sound)] += sound
    peak = peak_of(samples)
    head = samples[:min(length, end - length)].copy()  # as far as the tail reaches into the next pass
    for start in range(length, end, length):  # the second pass hears the first one's tail, the third two of them, ...
        tail = samples[start:start + length]
        head[:len(tail)] += tail
        peak = max(peak, peak_of(head))
    if loop:
        samples = samples[:length]
        samples[:len(head)] = head
    return samples, gain_for(peak)


def _hits(bars, feel, bpm, sample_rate):
    """Every hit as (sample, step of the loop, row, velocity), in the order of steps; the sample may be below 0."""
    bar, steps, rows = np.nonzero(bars.transpose(0, 2, 1))
    places = (bar, rows, steps)
    steps = bar * STEPS_PER_BAR + steps
    starts = _samples_at(steps + time_offsets(bars, feel, bpm)[places], bpm, sample_rate)
    return list(zip(starts.tolist(), steps.tolist(), rows.tolist(), bars[places].tolist()))


def _check_bars(bars):
    """Bars as uint8 (bars, 8, 64). Matrices of 0.0 and 1.0 are refused: as velocities they would be silent."""
    if np.asarray(bars).dtype.kind not in "ui":
        raise ValueError(f"bars: expected whole velocities from 0 to 127, found the type {np.asarray(bars).dtype}")
    return check_bars(bars)


def _check_kit(kit):
    """What each row of a kit plays, struck hardest: eight float32 arrays (samples,)."""
    if len(kit) != len(INSTRUMENTS) or not all(isinstance(sound, Sound) for sound in kit):
        raise ValueError(f"kit: expected {len(INSTRUMENTS)} Sounds, found {len(kit)} of "
                         f"{', '.join(sorted({type(sound).__name__ for sound in kit}))}")
    return [sound.samples() for sound in kit]


# What sounds now: the hits (samples after the step, row, amplitude) of each step, the sample at which each step starts,
# by how many samples the earliest hit is ahead of its step, which call of play() began it.
Loop = namedtuple("Loop", "bars feel bpm starts hits ahead run")


class Sequencer:
    """The live engine, without a sound card: `fill` gives the next samples of what `play`, `stop`, `set_bpm` ask for.

    `fill` belongs to one thread (the sound card's), the rest to others: they prepare an immutable Loop, which fill
    picks up by one reference, so it never waits. Once all tails ring, every pass equals `render` to float32 rounding.
    """

    BLOCK = 1024  # samples that are computed at a time
    HISTORY = 64  # steps kept for `place_at`: a second at 240 bpm, more than any latency

    def __init__(self, kit, sample_rate=SAMPLE_RATE, bpm=120.0):
        self.kit, self.sample_rate, self.bpm = _check_kit(kit), sample_rate, bpm
        step_starts(1, bpm, sample_rate)  # checks both
        longest = max(map(len, self.kit))
        self._future = np.zeros(longest + self.BLOCK, np.float32)  # a ring of what the hits so far have yet to sound
        self._scaled = np.empty(longest, np.float32)
        self._lock = threading.Lock()  # between the threads that ask; fill never takes it
        self._wanted, self._loop, self._runs = None, None, 0
        self.clock = 0  # samples given so far
        self._step = self._due = self._origin = 0  # the next step, the samples at which it and this pass start
        self._cell = self._began = 0  # the next step whose hits are not in _coming, the sample of the first step of all
        self._coming = []  # a heap of hits (sample, row, amplitude), of steps that have begun or soon will
        self._history = ()  # (sample, (bar, step) or None), the newest last

    def play(self, bars, feel=Feel()):
        """Start at step 0 with the next sample; or, while playing, let this pattern take over with the next step.

        A hit that stands before its step is then struck before it; one that comes before the very start, a pass later.
        """
        with self._lock:
            if self._wanted is None:
                self._runs += 1
            self._wanted = self._prepare(bars, feel)

    def stop(self):
        """Strike no more; what sounds rings out."""
        with self._lock:
            self._wanted = None

    def set_bpm(self, bpm):
        """Change the tempo at the next sample; the place in the bar stays."""
        step_starts(1, bpm, self.sample_rate)  # checks it
        with self._lock:
            self.bpm = float(bpm)
            if self._wanted is not None:
                self._wanted = self._prepare(self._wanted.bars, self._wanted.feel)

    def fill(self, frames):
        """The next samples, float32 (frames,)."""
        wanted = self._wanted
        if wanted is not self._loop:
            self._switch(wanted)
        samples = np.empty(frames, np.float32)
        for begin in range(0, frames, self.BLOCK):
            self._fill(samples[begin:begin + self.BLOCK])
        return samples

    def place_at(self, sample):
        """(bar, step) at a sample of the past, counted from the first that fill gave; None in silence."""
        return next((place for start, place in reversed(self._history) if start <= sample), None)

    def _prepare(self, bars, feel):
        bars = _check_bars(bars)
        starts = step_starts(len(bars), self.bpm, self.sample_rate).tolist()
        found = _hits(bars, feel, self.bpm, self.sample_rate)
        _, gain = _mix(found, self.kit, starts[-1])
        hits = [[] for _ in starts[1:]]
        for start, step, row, velocity in found:
            hits[step].append((start - starts[step], row, np.float32(gain * AMPLITUDE[velocity])))
        ahead = max([0] + [starts[step] - start for start, step, _, _ in found])
        return Loop(bars, feel, self.bpm, starts, hits, ahead, self._runs)

    def _switch(self, wanted):
        now, self._loop = self._loop, wanted
        if wanted is None:
            self._coming = []
            self._record(self.clock, None)
        elif now is None or now.run != wanted.run:
            self._step, self._due, self._origin, self._coming = 0, self.clock, self.clock, []
            self._cell, self._began = 0, self.clock
        else:
            def later(sample):
                return self.clock + round((sample - self.clock) * now.bpm / wanted.bpm)

            before, self._step = self._step, self._step % len(wanted.hits)
            self._cell += self._step - before
            self._coming = [(later(sample), row, amplitude) for sample, row, amplitude in self._coming]
            self._due = later(self._due)
            self._origin = self._due - wanted.starts[self._step]

    def _fill(self, samples):
        end = self.clock + len(samples)
        if self._loop is not None:
            self._gather(end)
        while self._coming and self._coming[0][0] < end:
            sample, row, amplitude = heapq.heappop(self._coming)
            self._strike(sample, self.kit[row], amplitude)
        while self._loop is not None and self._due < end:
            self._record(self._due, divmod(self._step, STEPS_PER_BAR))
            self._step += 1
            if self._step == len(self._loop.hits):
                self._step, self._cell = 0, self._cell - len(self._loop.hits)
                self._origin += self._loop.starts[-1]
            self._due = self._origin + self._loop.starts[self._step]
        start = self.clock % len(self._future)
        first = self._future[start:start + len(samples)]
        rest = self._future[:len(samples) - len(first)]  # the ring goes on at its beginning
        samples[:len(first)], samples[len(first):] = first, rest
        first[:], rest[:] = 0, 0
        self.clock = end
        if peak_of(samples) > CEILING:
            _soften(samples)

    def _gather(self, end):
        """Bring the hits of each step that may sound before `end` among those that come, each step once a pass."""
        loop = self._loop
        while True:
            passes, step = divmod(self._cell, len(loop.hits))
            start = self._origin + passes * loop.starts[-1] + loop.starts[step]
            if start - loop.ahead >= end:
                return
            for shift, row, amplitude in loop.hits[step]:
                if start + shift >= self._began:  # the first step of all has no before
                    heapq.heappush(self._coming, (max(start + shift, self.clock), row, amplitude))
            self._cell += 1

    def _strike(self, at, sound, amplitude):
        scaled = np.multiply(sound, amplitude, out=self._scaled[:len(sound)])
        start = at % len(self._future)
        first = self._future[start:start + len(sound)]
        first += scaled[:len(first)]
        self._future[:len(sound) - len(first)] += scaled[len(first):]

    def _record(self, sample, place):
        self._history = (self._history + ((sample, place),))[-self.HISTORY:]


def _soften(samples):
    """Bend what passes CEILING below 1, in place: only where tails of one loud pattern meet the hits of the next."""
    loud, headroom = np.abs(samples) > CEILING, 0.999 - CEILING
    excess = (np.abs(samples[loud]) - CEILING) / headroom
    samples[loud] = np.sign(samples[loud]) * (CEILING + headroom * np.tanh(excess))
