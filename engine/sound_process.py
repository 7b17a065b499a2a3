"""The sound's own process: a Sequencer and the stream that it fills, away from whatever a window does.

engine/player.py starts it by `serve`. It reads pickled commands, (name, arguments), from its standard input: first the
kit, tempo, mixer and latency, then `open`, `set_midi` or a method of Sequencer. It writes pickled reports, (name,
value), and ends when its input does, so that no sound outlives a window. It imports neither torch nor matplotlib.
"""

import contextlib
import gc
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque

import numpy as np

from command_line import ROOT, one_line
from engine.clock import Line, MasterClock
from engine.midi_ports import MidiSettings
from engine.sequencer import Sequencer
from formats.activation_matrix import STEPS_PER_BAR
from formats.kit import SAMPLE_RATE


def start_process(module):
    """Start the `serve` of a module of the engine; a process, and a queue of what is to be pickled for it."""
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); " \
           f"from engine.{module} import serve; serve()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "HIGH_PRIORITY_CLASS", 0))
    commands = queue.SimpleQueue()  # pickled; a thread writes them, so that nobody waits for the pipe
    threading.Thread(target=write_all, args=(child, commands), daemon=True).start()
    return child, commands


def write_all(child, commands):
    """Write commands to a child until there is None, or no child."""
    with contextlib.suppress(OSError), child.stdin:
        while (command := commands.get()) is not None:
            child.stdin.write(command)
            child.stdin.flush()


def end_process(child, commands, seconds):
    """Close a child's input, and end it if it has not done so after some seconds."""
    commands.put(None)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def serve():
    """Do what the standard input asks for until it ends: the process's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    commands, reports = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints would spoil the reports
    with contextlib.suppress(ImportError, OSError):  # now, while the window is built, so that `open` is quick
        import sounddevice  # noqa: F401
    sys.setswitchinterval(0.0005)  # seconds that the callback may have to wait for another thread
    gc.freeze()
    gc.disable()  # a collection may take longer than the buffer lasts
    try:
        with contextlib.suppress(BrokenPipeError):  # the parent has ended
            work(commands, reports)
    except Exception as error:  # nobody sees a traceback
        pickle.dump(("opened", f"no sound: its process failed ({type(error).__name__}: {one_line(error)})"), reports)
        reports.flush()


def work(commands, reports):
    """Do the commands of one binary file in their order, until it ends, and write reports to another."""
    events = queue.SimpleQueue()  # commands, and what the callback has to report or to ask for

    def read():
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            while True:
                events.put(pickle.load(commands))
        events.put(("end",))

    threading.Thread(target=read, daemon=True).start()
    kit, bpm, mixer, latency = events.get()
    sequencer = Sequencer(kit, bpm=bpm, mixer=mixer)
    output = Output(sequencer, latency, lambda *event: events.put(event))
    midi = Midi(sequencer, output.open, lambda *event: events.put(event))
    while (event := events.get())[0] != "end":
        name, *values = event
        if name == "report":
            pickle.dump(values, reports)
            reports.flush()
        elif name in ("open", "lengthen"):
            getattr(output, name)()
        else:
            if name == "set_kit":  # the rows that changed
                kit = values[0] = tuple(values[0].get(row, sound) for row, sound in enumerate(kit))
            try:
                getattr(midi if hasattr(Midi, name) else sequencer, name)(*values)
            except ValueError as error:
                output.put("report", "refused", one_line(error))
        if name == "stop":
            gc.collect()
    output.close()
    midi.close()


class Output:
    """What a sequencer sounds on: one stream, and after two gaps within half a minute one with a longer buffer.

    put(name, *values) is called, from the callback too, with "lengthen" to have `lengthen` called, with "sounded" and
    the arguments of Midi's, and with "report":
    ("opened", None or why not), ("closed", why), ("places", [(moment at which it is heard on the clock of
    time.perf_counter, which all processes share, (bar, step) or None)]), ("gap", None), ("latency", seconds),
    and of `work` ("refused", what is wrong with the values of a command).
    """

    WITHIN = 30  # seconds: gaps further apart are not the buffer's fault
    LONGER, LONGEST = 1.5, 0.25  # times the latency, and seconds of it, at most

    def __init__(self, sequencer, latency, put):
        self.sequencer, self.latency, self.put = sequencer, latency, put
        self.stream = self.playing = None  # the last that was opened; the one that fill is called for
        self._filling = threading.Lock()  # of two streams, while one takes over from the other
        self._place, self._sounds, self._last_gap = None, False, -np.inf

    def open(self):
        """Open a stream, silent, if none is; report whether there is one."""
        refused = None
        if self.stream is None or not self.stream.active:
            self.close()
            refused = self._start(self.latency)
        self.put("report", "opened", refused)

    def close(self):
        """Stop the sound at once and give the device back."""
        stream, self.stream, self.playing = self.stream, None, None
        if stream is not None:
            stream.close()

    def lengthen(self):
        """Take a longer buffer: where the device takes two streams, the old one plays until the new one can."""
        before, latency = self.stream, min(self.LONGEST, self.LONGER * self.latency)
        if before is None or latency <= self.latency:
            return
        if self._start(latency) is None:
            deadline = time.monotonic() + 1
            while self.playing is before and time.monotonic() < deadline:
                time.sleep(0.002)
            self.playing = self.stream
            before.close()
        else:
            self.close()
            if refused := self._start(latency):
                self.put("report", "closed", refused)

    def _start(self, latency):
        """Start a stream; None, or in one line why there is none."""
        try:
            import sounddevice
        except (OSError, ImportError) as error:
            return f"no sound: PortAudio is not installed ({one_line(error)})"
        try:
            self.stream = Stream(self, sounddevice, latency)
        except (sounddevice.PortAudioError, ValueError) as error:
            return f"no sound: no output device plays ({one_line(error)})"
        self.latency = self.stream.latency
        self.put("report", "latency", self.latency)

    def fill(self, out, first_heard, gap):
        """Fill a block, out (frames, channels), heard from that moment; gap: it comes after one."""
        with self._filling:
            first = self.sequencer.clock
            samples = self.sequencer.fill(len(out))  # (frames, 2)
            out[:] = samples if out.shape[1] > 1 else samples.mean(1, keepdims=True)
            places = self._new_places(first, first_heard)
            self.put("sounded", first, first_heard, self.sequencer.take_events())
        if places:
            self.put("report", "places", places)
        before, self._sounds = self._sounds, bool(out.any())
        if gap and (before or self._sounds):
            self._count_gap()

    def _new_places(self, first, first_heard):
        """[(moment, place)] of each change of the place since sample `first`, to 1.5 ms."""
        places = []
        for sample in range(first, self.sequencer.clock, 64):
            place = self.sequencer.place_at(sample)
            if place != self._place:
                self._place = place
                places.append((first_heard + (sample - first) / SAMPLE_RATE, place))
        return places

    def _count_gap(self):
        now = time.monotonic()
        self.put("report", "gap", None)
        if now - self._last_gap < self.WITHIN:
            self.put("lengthen")
            now = -np.inf
        self._last_gap = now


class Stream:
    """A stream of sounddevice: silence until it has settled, then what its Output fills, until another one does.

    Raises sounddevice.PortAudioError or ValueError where no device plays.
    """

    SETTLE = 0.02  # seconds: PulseAudio swallows some of what a new stream plays first

    def __init__(self, output, sounddevice, latency):
        self._output, self._settling = output, int(self.SETTLE * SAMPLE_RATE)  # samples of silence still to give
        channels = min(2, sounddevice.query_devices(kind="output")["max_output_channels"])
        self._stream = sounddevice.OutputStream(
            samplerate=SAMPLE_RATE, channels=channels, dtype="float32", latency=latency, callback=self._callback,
            finished_callback=self._finished)
        self.latency = float(self._stream.latency)
        self._gaps = Gaps(self.latency)
        try:
            self._stream.start()
        except sounddevice.PortAudioError:
            self.close()
            raise

    @property
    def active(self):
        return self._stream.active

    def close(self):
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def _callback(self, out, frames, times, status):
        heard_at = times.outputBufferDacTime
        gap = self._gaps.before(time.perf_counter(), frames, heard_at, status.output_underflow)
        if self._output.playing is self:
            wait = heard_at - self._stream.time
            wait = wait if abs(wait) < 1 else self.latency  # some systems' streams have no clock
            return self._output.fill(out, time.perf_counter() + wait, gap)
        out[:] = 0
        if self._settling > 0:
            self._settling -= frames
            if self._settling <= 0:
                self._output.playing = self

    def _finished(self):
        if self._output.stream is self:  # nobody closed it: the device has gone
            self._output.put("report", "closed", "The sound card stopped; the next play opens it again.")


class Gaps:
    """Notices by the clock where a stream ran dry: behind PulseAudio, PortAudio itself misses most of it.

    The sound given so far is ahead of the clock by most when the buffer is full. A gap is before a block that comes
    LATE seconds after a full buffer would have run out, and before one that is to be heard JUMP seconds later, for its
    place in the sound, than all of the last ones; two within APART are one.
    """

    LATE, JUMP, APART, KEPT = 0.005, 0.01, 0.05, 100  # seconds, and how many blocks are the last ones

    def __init__(self, latency):
        self.latency, self._given, self._last_gap = latency, 0, -np.inf
        self._recent = deque(maxlen=self.KEPT)  # of each block, seconds: (ahead with it, heard later than its place)

    def before(self, now, frames, heard_at, flagged=False):
        """Is there a new gap before this block? now and heard_at: seconds on any clock; flagged: by PortAudio."""
        place = self._given / SAMPLE_RATE
        ahead, delay = place - now, heard_at - place
        if not self._given:
            self._last_gap = now  # while it starts, a stream may stumble
        if recent := list(self._recent):
            fullest, latest = np.max(recent, axis=0)
            flagged = flagged or fullest - ahead > self.latency + self.LATE or delay - latest > self.JUMP
        if flagged:
            self._recent.clear()
        self._given += frames
        self._recent.append((ahead + frames / SAMPLE_RATE, delay))
        last, self._last_gap = self._last_gap, now if flagged else self._last_gap
        return bool(flagged) and now - last > self.APART


class Midi:
    """What of the sound goes out by MIDI, and what comes in by it: notes are struck, a master is followed.

    Its methods take the place of Sequencer's, and each is called on the thread of `work`; the ports are in a process of
    their own, see midi_ports.serve. open(): opens the output for notes that come in. put: as Output's; reports
    ("note", (moment, row, velocity)), ("followed", bpm or None) and ("refused", why not).
    """

    LASTS = 0.25  # of a quarter note: a note that is sent
    BLOCK = 441  # samples: about a block, the unit in which places on the line `heard` are counted
    BACKLOG = 500  # blocks with something to send, five seconds: a port that blocks
    GAP = 0.005  # seconds by which a block is heard before or after its place: there was none of sound, or a new stream

    def __init__(self, sequencer, open, put):
        self._sequencer, self._open, self._put = sequencer, open, put
        self._settings, self._child, self._commands = MidiSettings(), None, None
        self._pattern, self._master, self._followed = None, MasterClock(), None  # what play was last given
        self._heard = Line(self.BLOCK / SAMPLE_RATE, known=True)  # when each sample is heard

    def set_midi(self, settings):
        """Take other MidiSettings: ports close, and others open."""
        self.close()
        self._settings, self._master = settings, MasterClock(self._sequencer.bpm)
        self._follow_no_more()
        if settings.follow_clock and self._pattern is not None:
            self._wait()
        if settings.output is None and settings.input is None:
            return
        self._child, self._commands = start_process("midi_ports")
        threading.Thread(target=self._read, args=(self._child,), daemon=True).start()
        self._commands.put(pickle.dumps(settings))

    def close(self):
        """Send the ends of all notes, and close the ports: at once, or where one blocks after half a second."""
        child, self._child = self._child, None
        if child is not None:
            end_process(child, self._commands, 0.5)

    def play(self, bars, feel, *when):
        """As Sequencer's; with a master, at its place, or when it starts."""
        self._pattern = bars, feel
        if self._settings.follow_clock:
            if not self._master.running:
                return self._wait()
            self._go_to_master()
        self._sequencer.play(bars, feel, *when)

    def stop(self):
        self._pattern = None
        self._sequencer.stop()

    def set_bpm(self, bpm):
        if self._followed is None:
            return self._sequencer.set_bpm(bpm)
        self._put("report", "refused", f"The tempo is the MIDI master's: {self._followed:g} bpm.")

    def sounded(self, first, first_heard, events):
        """Take what Output filled: the block's first sample, the moment it is heard at, the events of Sequencer."""
        if self._child is None:
            return
        place = first / self.BLOCK
        if abs(first_heard - self._heard.moment_of(place)) > self.GAP:
            self._heard = Line(self.BLOCK / SAMPLE_RATE, known=True)
        self._heard.add(place, first_heard)
        if self._followed is not None and not self._master.heard_at(first_heard):
            self._follow_no_more()  # the loop goes on at the last tempo
        if self._commands.qsize() > self.BACKLOG:
            self.close()
            self._put("report", "refused", "no MIDI: its port takes nothing more, and was closed")
        elif events and self._settings.output is not None:
            lasts = self.LASTS * 60 / self._sequencer.bpm
            self._commands.put(pickle.dumps([
                (self._moment_of(sample), kind, *hit, *([lasts] if hit else [])) for sample, kind, *hit in events]))

    def note(self, moment, row, velocity):
        """Strike what was played on the input."""
        self._open()
        self._sequencer.strike(row, velocity)
        self._put("report", "note", (moment, row, velocity))

    def clock(self, moment, message):
        """Follow what a master sends."""
        if not self._settings.follow_clock:
            return
        master, ran = self._master, self._master.running
        placed = master.place_at(moment) is not None
        master.take(moment, message)
        if ran and not master.running:
            self._sequencer.stop()
        if master.place_at(moment) is not None and self._pattern is not None:
            if placed:
                self._go_to_master()
            else:
                self._start(moment)
        bpm = master.bpm and round(master.bpm, 1)
        if bpm != self._followed:
            self._followed = bpm
            self._put("report", "followed", bpm)

    def _wait(self):
        self._sequencer.stop()
        self._put("report", "refused", "It plays when the MIDI master starts.")

    def _start(self, moment):
        """Start with a master, at the next sample: what was due before that is heard is struck with it."""
        bars, feel = self._pattern
        self._open()
        self._sequencer.stop()
        before, now = self._master.place_at(moment)[0], self._go_to_master()
        self._sequencer.play(bars, feel)
        missed = np.arange(round(before), np.ceil(now - 0.5), dtype=int) % (STEPS_PER_BAR * len(bars))
        velocities = bars[missed // STEPS_PER_BAR, :, missed % STEPS_PER_BAR].max(0, initial=0)  # (8,)
        for row in np.flatnonzero(velocities):
            self._sequencer.strike(int(row), int(velocities[row]))

    def _go_to_master(self):
        """Place the loop where the master will be when the next sample is heard; return that place in steps."""
        sample = self._sequencer.clock
        moment = self._moment_of(sample) if len(self._heard) else time.perf_counter()
        if (place := self._master.place_at(moment)) is None:
            return 0.0
        self._sequencer.follow(sample, *place)
        return place[0]

    def _moment_of(self, sample):
        return self._heard.moment_of((sample + self._sequencer.delay) / self.BLOCK)

    def _follow_no_more(self):
        if self._followed is not None:
            self._followed = None
            self._put("report", "followed", None)

    def _read(self, child):
        """Pass on what the ports' process reports: "note", "clock" and "refused"."""
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while child is self._child:
                name, value = pickle.load(child.stdout)
                self._put(*(("report", name, value) if name == "refused" else (name, *value)))
        if child is self._child:
            self._put("report", "refused", "no MIDI: its process ended")
