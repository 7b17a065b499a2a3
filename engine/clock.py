"""Clocks that one only hears of: the tempo and the place of a MIDI master, and when a sample is heard.

    master = MasterClock()
    master.take(moment, b"\\xfa")                        # start; each b"\\xf8" then is a 24th of a quarter note
    master.place_at(moment), master.bpm, master.running  # (steps since the song's start, bpm) or None

Ticks come late, early, twice or not at all. The estimate is the line of least squares through the last of them, which
begins anew where the newest have left it: a test of their median against its scatter (Basseville and Nikiforov,
Detection of Abrupt Changes, 1993, chapter 2). With ticks late by 0 to 2 ms, sixteen beats of them give the place to
0.1 ms; a delay-locked loop (Adriaensen, Using a DLL to filter time, 2005) gives it to that only where it is as slow
after each change of tempo.
"""

import numpy as np

TICK, START, CONTINUE, STOP, SONG_POSITION = 0xF8, 0xFA, 0xFB, 0xFC, 0xF2
TICKS, STEPS = 24, 16  # a quarter note


class Line:
    """The line moment = start + slope * (place - origin) through the last points, by least squares.

    slope: seconds a place, until two points give another; if it is known, it counts as much as KNOWN points do.
    """

    KEPT, RECENT, KNOWN = 16 * TICKS, 8, 24  # points
    LEAST = 0.0002  # seconds: what a line may be off before it begins anew

    def __init__(self, slope, known=False):
        self._points = np.empty((0, 2))  # place, moment
        self.slope, self._origin, self._start = slope, 0.0, 0.0
        self._prior, self._weight = slope, known * self.KNOWN ** 3 / 12  # the sum of squares of so many places

    def __len__(self):
        return len(self._points)

    @property
    def known(self):
        """Is its slope more than a guess?"""
        return len(self) > 1 or self._weight > 0

    def add(self, place, moment):
        """Take a point: places rise."""
        self._points = np.concatenate([self._points[1 - self.KEPT:], [(place, moment)]])
        if len(self._points) >= 2 * self.RECENT and self._left():
            self._points, self._weight = self._points[-self.RECENT:], 0.0
        self._origin, self._start, self.slope = self._fit(self._points)

    def moment_of(self, place):
        return self._start + self.slope * (place - self._origin)

    def place_at(self, moment):
        return self._origin + (moment - self._start) / self.slope

    def _left(self):
        """Have the last points left the line of those before?"""
        points = self._points
        before, recent = points[:-self.RECENT], points[-self.RECENT:]
        origin, start, slope = self._fit(before)
        errors = points[:, 1] - start - slope * (points[:, 0] - origin)
        scatter = 1.4826 * np.median(np.abs(errors[:-self.RECENT]))  # a standard deviation, outliers aside
        uncertainty = scatter * np.sqrt(1.6 / len(recent) + 4 / len(before))  # of a median, of a line at its end
        return abs(np.median(errors[-self.RECENT:])) > self.LEAST + 4 * uncertainty

    def _fit(self, points):
        """(mean place, mean moment, slope)."""
        origin, start = points.mean(0)
        place, moment = (points - (origin, start)).T
        spread = place @ place + self._weight
        slope = (place @ moment + self._weight * self._prior) / spread if spread else self._prior
        return float(origin), float(start), float(slope)


class MasterClock:
    """What a MIDI master plays, from its messages with their moments in seconds: place_at(moment), bpm, running.

    A tick that is missing or one too many does not shift the place: ticks that are off by most of one are kept back
    until SUSPECTS of them show whether they run at the tempo so far, some having been lost, or at another.
    """

    OFF, SUSPECTS = 0.75, 6  # of a tick; ticks
    SILENCE = 1.0  # seconds without a tick: the master has gone
    BPM = (20.0, 400.0)

    def __init__(self, bpm=120.0):
        """bpm: what is taken for the tempo before two ticks give it."""
        self.running = False
        self._line = Line(60 / TICKS / bpm)
        self._last, self._zero = -1, 0  # the number of the last tick; that of the song's start
        self._begins_at = None  # the song's tick that the next one is, after start and continue
        self._position, self._suspects, self._heard, self._error = 0, [], -np.inf, 0.0

    def take(self, moment, message):
        """Take a message, bytes: what is no clock, start, stop, continue or song position is nothing."""
        kind = message[0] if message else 0
        if kind == TICK:
            self._heard = max(self._heard, moment)
            self._tick(moment)
        elif kind in (START, CONTINUE):
            self._begins_at = 0 if kind == START else self._position
            self.running = True
        elif kind == STOP and self.running:
            self.running = False
            self._position = self._last + 1 - self._zero if self._begins_at is None else self._begins_at
            self._begins_at = None
        elif kind == SONG_POSITION and len(message) == 3 and max(message[1:]) < 128 and not self.running:
            self._position = (message[1] + 128 * message[2]) * TICKS // 4  # it counts sixteenths

    @property
    def bpm(self):
        """The tempo of its ticks, None before two of them and where they are none."""
        bpm = self._bpm()
        return bpm if self._last > 0 and self.BPM[0] <= bpm <= self.BPM[1] else None

    def _bpm(self):
        return 60 / TICKS / self._line.slope if self._line.slope > 0 else np.inf

    def heard_at(self, moment):
        """Has it ticked of late?"""
        return moment - self._heard < self.SILENCE

    def place_at(self, moment):
        """(steps since the song's start, as a float, bpm); None while it stands, or its ticks are no tempo."""
        if not self.running or self._begins_at is not None or not self.BPM[0] <= self._bpm() <= self.BPM[1]:
            return None
        return (self._line.place_at(moment) - self._zero) * STEPS / TICKS, self._bpm()

    def _tick(self, moment):
        if self._begins_at is not None:  # a master may set its ticks anew at a start
            self._line, self._suspects = Line(self._line.slope, known=self._last > 0), []
            self._last += 1
            self._zero, self._begins_at = self._last - self._begins_at, None
            return self._line.add(self._last, moment)
        error = 0.0
        if self._line.slope > 0 and self._line.known:
            error = (moment - self._line.moment_of(self._last + 1)) / self._line.slope
        if self._suspects or abs(error) > self.OFF:
            self._suspects.append(moment)
            if len(self._suspects) == self.SUSPECTS:
                self._judge()
            return
        self._error, self._last = error, self._last + 1
        self._line.add(self._last, moment)

    def _judge(self):
        """Take the ticks that were kept back: at the tempo so far, or as the first of another."""
        moments, self._suspects, line = np.array(self._suspects), [], self._line
        numbers = self._last + 1 + np.arange(len(moments))
        errors = (moments - line.moment_of(numbers)) / line.slope
        lost = np.rint(errors)  # ticks before each; fewer than 0: too many
        errors -= lost
        first, second = np.triu_indices(len(moments), 1)
        change = abs(np.median((errors[second] - errors[first]) / (second - first)))  # Sen 1968: outliers do no harm
        same = change < 0.04 or change < 0.15 and abs(self._error) < 0.25
        if same and np.abs(errors).mean() < 0.2 and np.count_nonzero(np.diff(lost)) < len(lost) / 2:
            numbers = numbers + lost.astype(int)
            kept = np.abs(errors) < 0.25
            numbers, moments = numbers[kept], moments[kept]
        else:
            self._line = Line(float(np.median(np.diff(moments))))
        for number, moment in zip(numbers.tolist(), moments.tolist()):
            self._line.add(number, moment)
        self._last, self._error = number, 0.0
