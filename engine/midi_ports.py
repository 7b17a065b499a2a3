"""MIDI: ports by name, and the process that sends each message when its sound is heard and says when one came in.

    outputs, inputs = port_names()                      # OSError where there is no library, or no MIDI system
    output = open_output("Digitakt")                    # the first whose name has that; VIRTUAL: a port of our own
    output.send_message([0x99, 36, 100])

engine/sound_process.py starts it by `serve`. It is a process of its own, since the library holds Python's lock while a
port that takes nothing blocks: in the sound's process that would hold the audio callback.
"""

import contextlib
import ctypes
import heapq
import os
import pickle
import queue
import signal
import sys
import threading
import time
from dataclasses import dataclass

from command_line import one_line
from engine.clock import CONTINUE, SONG_POSITION, START, STOP, TICK
from formats.activation_matrix import INSTRUMENT_TO_PITCH, PITCH_TO_INSTRUMENT

VIRTUAL = "ATIAM-Sequenceur"  # the port that others can connect to
NOTE_OFF, NOTE_ON, CONTROL, ALL_NOTES_OFF = 0x80, 0x90, 0xB0, 123
AHEAD = 0.001  # seconds from a start to its first clock, as MIDI 1.0 recommends
TOO_LATE = 1.0  # seconds: a note that a port has held up for longer would come in a heap of them


@dataclass(frozen=True)
class MidiSettings:
    """Where MIDI goes and comes from. output, input: (part of) a port's name, VIRTUAL for one of our own, or None.

    channel: of the notes sent, 1 to 16. send_clock: clock, start and stop go out with the notes. follow_clock: tempo
    and start are those of a master on the input.
    """

    output: str | None = None
    input: str | None = None
    channel: int = 10
    send_clock: bool = True
    follow_clock: bool = False

    def __post_init__(self):
        if self.channel not in range(1, 17):
            raise ValueError(f"channel: expected 1 to 16, found {self.channel}")
        if self.follow_clock and self.input is None:
            raise ValueError("clock: to follow one takes a MIDI input")


# Ports ---------------------------------------------------------------------------------------------------------------

def port_names():
    """The names of the ports that are there: (outputs, inputs). OSError in one line without the library or a system."""
    with quiet():
        return tuple(sorted({name for client in clients(kind) for name in client.get_ports()}) for kind in
                     ("MidiOut", "MidiIn"))


def open_output(name):
    """Open an output, something that has send_message([bytes]). OSError in one line where there is none."""
    return open_port("MidiOut", name)


def open_input(name, take):
    """Open an input, whose messages go to take(moment on perf_counter's clock, bytes), on a thread of the library's."""
    port = open_port("MidiIn", name)
    port.ignore_types(sysex=True, timing=False, active_sense=True)
    port.set_callback(lambda event, _: take(time.perf_counter(), bytes(event[0])))
    return port


def open_port(kind, name):
    """Open a port of the library, kind MidiOut or MidiIn: VIRTUAL, or the first that has the name, or has it in its.

    Our own output has to be named whole: as an input it would bring its notes back.
    """
    found = clients(kind)
    direction = "output" if kind == "MidiOut" else "input"
    if name == VIRTUAL:
        if sys.platform == "win32":
            raise OSError(f"no MIDI {direction}: Windows has no virtual ports; name one (loopMIDI makes some)")
        found[0].open_virtual_port(VIRTUAL)
        return found[0]
    names = [(port, client, number) for client in found for number, port in enumerate(client.get_ports())]
    for fits in (lambda port: port == name, lambda port: name.lower() in port.lower() and VIRTUAL not in port):
        for port, client, number in names:
            if fits(port):
                client.open_port(number)
                return client
    there = ", ".join(repr(port) for port, *_ in names) or "none"
    raise OSError(f"no MIDI {direction}: expected a port named like {name!r}, found {there}")


def clients(kind):
    """A client of each MIDI system that runs here, at least one."""
    try:
        import rtmidi
    except ImportError:
        raise OSError("no MIDI: python-rtmidi is not installed (pip install python-rtmidi)") from None
    found = []
    for system in rtmidi.get_compiled_api():
        with contextlib.suppress(rtmidi.RtMidiError):  # ALSA without a sequencer, JACK without a server
            found.append(getattr(rtmidi, kind)(rtapi=system, name=VIRTUAL))
    if not found:
        raise OSError("no MIDI: no MIDI system runs here (ALSA's sequencer, JACK, CoreMIDI or Windows')")
    return found


@contextlib.contextmanager
def quiet():
    """Let the libraries of ALSA and JACK print nothing on stderr meanwhile."""
    sys.stderr.flush()
    before, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)


# Out and in ----------------------------------------------------------------------------------------------------------

class Sender:
    """Sends events as messages at their moments: a port, and what is still to be sent.

    An event is (moment, "hit", row, velocity, seconds that it lasts), (moment, "clock"), (moment, "start") or
    (moment, "stop"). A note ends where the next of its row begins, if that comes before.
    """

    def __init__(self, port, channel=10, send_clock=True):
        self._port, self._channel, self._send_clock = port, channel - 1, send_clock
        self._waiting, self._count = [], 0  # a heap of (moment, number, event)
        self._sounding = {}  # row: when its note ends
        self._runs = False

    def add(self, events):
        for moment, kind, *values in events:
            self._push(moment - AHEAD * (kind == "start"), kind, *values)

    def due(self):
        """The moment of the next message, None where none waits."""
        return self._waiting[0][0] if self._waiting else None

    def send(self, now):
        """Send what is due."""
        while self._waiting and self._waiting[0][0] <= now:
            moment, _, kind, values = heapq.heappop(self._waiting)
            if kind == "hit":
                self._hit(moment, now, *values)
            elif kind == "off":
                if self._sounding.get(values[0]) == moment:
                    self._end(values[0])
            elif self._send_clock:
                self._runs = self._runs if kind == "clock" else kind == "start"
                self._port.send_message([{"clock": TICK, "start": START, "stop": STOP}[kind]])

    def end(self):
        """Forget what waits, end every note and, if it runs, the clock."""
        self._waiting = []
        for row in list(self._sounding):
            self._end(row)
        self._port.send_message([CONTROL | self._channel, ALL_NOTES_OFF, 0])
        if self._runs:
            self._port.send_message([STOP])
            self._runs = False

    def _push(self, moment, kind, *values):
        self._count += 1
        heapq.heappush(self._waiting, (moment, self._count, kind, values))

    def _hit(self, moment, now, row, velocity, seconds):
        if row in self._sounding:
            self._end(row)
        if now - moment > TOO_LATE:
            return
        self._port.send_message([NOTE_ON | self._channel, INSTRUMENT_TO_PITCH[row], velocity])
        self._sounding[row] = moment + seconds
        self._push(moment + seconds, "off", row)

    def _end(self, row):
        del self._sounding[row]
        self._port.send_message([NOTE_OFF | self._channel, INSTRUMENT_TO_PITCH[row], 0])


def read_message(message):
    """What a message, bytes, is to us: ("note", row, velocity), ("clock", message) or None."""
    if len(message) == 3 and message[0] & 0xF0 == NOTE_ON and max(message[1:]) < 128 and message[2] > 0:
        row = PITCH_TO_INSTRUMENT.get(message[1])
        return None if row is None else ("note", row, message[2])
    if message and message[0] in (TICK, START, CONTINUE, STOP, SONG_POSITION):
        return "clock", message
    return None


def serve():
    """Send what the standard input asks for, report what comes in, until the input ends: the process's main function.

    Commands: MidiSettings first, then lists of events of Sender. Reports: ("refused", why a port does not open),
    ("note", (moment, row, velocity)), ("clock", (moment, message)).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the window's to answer
    commands, reports = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints would spoil the reports
    if sys.platform == "win32":
        ctypes.windll.winmm.timeBeginPeriod(1)  # else it wakes every 16 ms
    lock = threading.Lock()

    def report(*values):
        with lock, contextlib.suppress(OSError):
            reports.write(pickle.dumps(values))

    def take(moment, message):
        if found := read_message(message):
            report(found[0], (moment, *found[1:]))

    settings = pickle.load(commands)
    sender = port = None
    try:
        if settings.output is not None:
            sender = Sender(open_output(settings.output), settings.channel, settings.send_clock)
        if settings.input is not None:
            port = open_input(settings.input, take)
    except Exception as error:  # of the library's own kinds too
        report("refused", one_line(error))
    send_until_end(commands, sender)
    del port


def send_until_end(commands, sender):
    """Send the events that a binary file brings, each at its moment, until it ends; sender: None drops them."""
    waiting = queue.SimpleQueue()

    def read():
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                waiting.put(pickle.load(commands))
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    events = []
    while events is not None:
        due = sender.due() if sender else None
        try:
            events = waiting.get(timeout=None if due is None else max(0.0, due - time.perf_counter()))
        except queue.Empty:
            events = []
        if sender is not None:
            sender.add(events or [])
            sender.send(time.perf_counter())
    if sender is not None:
        sender.end()
