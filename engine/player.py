"""The player: a kit on the sound card, in a process of its own, so that no drawing of bars or windows starves it.

    player = Player(load_kit()); player.play(bars)      # from the sound card, until stop()
    player.play(bars, Feel(tight=100, swing=60), "bar")  # takes over with the next bar
    player.position(), player.latency, player.underruns

What the process does is in engine/sound_process.py; commands go to it in their order, through a pipe.
"""

import collections
import contextlib
import pickle
import threading
import time

from engine.midi_ports import MidiSettings
from engine.mixer import Mixer
from engine.sound_process import end_process, start_process
from engine.timing import check_pattern, check_start, step_starts
from formats.activation_matrix import STEPS_PER_BAR
from patterns.feel import Feel

LATENCY = 0.03  # seconds, of the buffer that guards against underruns
ANSWER = 20  # seconds that a process may take to open the sound card, with its start
KEPT = 64  # places
NOTES = 1000  # played that nobody takes
ENDED = "The sound's process ended; the next play starts it again."


class AudioUnavailable(OSError):
    """There is no PortAudio, or no device that plays: the message gives which, in one line."""


class Player:
    """A Sequencer on the sound card: its process starts at once, its stream with the first `play` or `open`.

    These and `strike` raise AudioUnavailable where there is no PortAudio or no device. Where the process has died they
    start another. latency: seconds, of the buffer now: the system may give more than was asked for, and after two
    dropouts within half a minute it grows by half. underruns: the dropouts that were heard. message: one line for a
    person when the latter two or the process change, "" until then. followed_bpm: the tempo of the MIDI master that is
    followed, or None.
    """

    def __init__(self, kit, bpm=120.0, mixer=Mixer(), latency=None):
        self.latency, self.underruns, self.message, self.followed_bpm = latency or LATENCY, 0, "", None
        self._midi, self._notes = MidiSettings(), collections.deque(maxlen=NOTES)
        self._kit, self._bpm, self._mixer, self._metronome = tuple(kit), bpm, mixer, False
        self._start()

    def open(self):
        """Open the stream, silent, so that the first play() is as quick as the others."""
        self._answered.clear()  # before the look at _ended: a process that ends from here on sets it again
        if self._child is not None and self._child.poll() is not None:
            self._reader.join()  # it reports the end
        if self._child is None or self._ended:
            self._start()
        if not self._opened:
            self._send("open")
            if not self._answered.wait(ANSWER):
                raise AudioUnavailable("no sound: its process does not answer")
            if self._refused:
                raise AudioUnavailable(self._refused)

    def play(self, bars, feel=Feel(), when="now", count_in=0):
        """Start the pattern, or let it take over without a gap: see `Sequencer.play`."""
        bars = check_pattern(bars)
        check_start(when, count_in)
        self.open()
        self._send("play", bars, feel, when, count_in)

    def strike(self, row, velocity=100):
        """Sound one hit of a row now, whether or not a pattern plays."""
        self.open()
        self._send("strike", row, velocity)

    def stop(self):
        """Strike no more; what sounds rings out."""
        self._send("stop")

    def set_bpm(self, bpm):
        step_starts(1, bpm)  # checks it
        self._bpm = float(bpm)
        self._send("set_bpm", self._bpm)

    def set_kit(self, kit):
        """Take eight other sounds at the next hit. What has not changed is not sent."""
        changed = {row: sound for row, sound in enumerate(kit) if sound is not self._kit[row]}
        self._kit = tuple(kit)
        self._send("set_kit", changed)

    def set_mixer(self, mixer):
        self._mixer = mixer
        self._send("set_mixer", mixer)

    def set_metronome(self, on):
        """A click on each beat while a pattern plays."""
        self._metronome = bool(on)
        self._send("set_metronome", self._metronome)

    def set_midi(self, settings):
        """Take other ports and another clock: MidiSettings. What does not open is in `message`."""
        self._midi = settings
        self._send("set_midi", settings)
        self._send("set_bpm", self._bpm)  # the master's, if there was one, no more

    def take_notes(self):
        """[(moment on time.perf_counter's clock, row, velocity)] played on the MIDI input since the last call: the
        process has struck them."""
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def position(self):
        """(bar, step) that is heard now, the output's latency counted in, or None in silence.

        After `play` it is the place in the pattern before until the new one is heard: a buffer and up to a step later.
        """
        now = time.perf_counter()
        return next((place for heard_at, place in reversed(self._places) if heard_at <= now), None)

    def position_at(self, moment):
        """(bar, step) that is heard at a moment of time.perf_counter(), a second ago at most: the step as a float.
        None in silence and while it counts in."""
        places = self._places
        last = next((i for i in reversed(range(len(places))) if places[i][0] <= moment), None)
        if last is None or places[last][1] is None:
            return None
        begin, (bar, step) = places[last]
        lasts = 240 / (self.followed_bpm or self._bpm) / STEPS_PER_BAR  # seconds, where the next step is not known yet
        if last + 1 < len(places):
            lasts = places[last + 1][0] - begin
        return bar, step + min((moment - begin) / max(lasts, 1e-9), 1 - 1e-9)

    def close(self):
        """Stop the sound at once and give the device back; the process ends."""
        child, self._child = self._child, None
        if child is not None:
            end_process(child, self._commands, 2)
        self._opened, self._places, self.followed_bpm = False, (), None

    def _start(self):
        """Start a process that has the kit, the tempo and the mixer as they are now."""
        self._child, self._commands = start_process("sound_process")
        self._places = ()  # (moment on perf_counter's clock, place heard from then on), the newest last
        self._opened, self._refused, self._ended, self._answered = False, None, False, threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self._child,), daemon=True)
        self._reader.start()
        self._send(self._kit, self._bpm, self._mixer, self.latency)
        self._send("set_metronome", self._metronome)
        if self._midi != MidiSettings():
            self._send("set_midi", self._midi)

    def _send(self, *command):
        self._commands.put(pickle.dumps(command))

    def _read(self, child):
        """Take the reports of a child until it ends."""
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while (report := pickle.load(child.stdout)) and child is self._child:
                self._take(*report)
        if child is self._child:  # nobody closed it
            child.wait()
            self._ended = True
            self._take("closed", ENDED)
            self._take("opened", self._refused or "no sound: its process ended")

    def _take(self, name, value):
        """Take a report of the child, see `sound_process.Output`."""
        if name == "places":
            self._places = (*self._places, *value)[-KEPT:]
        elif name == "gap":
            self.underruns += 1
        elif name == "latency":
            if self._opened:
                self.message = f"The sound dropped out twice: its buffer is longer now, {1000 * value:.0f} ms."
            self.latency = value
        elif name == "refused":
            self.message = value
        elif name == "note":
            self._notes.append(value)
        elif name == "followed":
            self.followed_bpm = value
        elif name == "closed":
            self._opened, self._places, self.message = False, (), value
            self.followed_bpm = self.followed_bpm if value != ENDED else None
        else:
            self._opened, self._refused = value is None, value
            self._answered.set()
