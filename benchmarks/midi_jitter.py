"""Measure MIDI against the sound: how steady notes and clock leave, and how close the loop stays to a master's clock.

    python benchmarks/midi_jitter.py                            # a minute each, through JACK's dummy driver
    python benchmarks/midi_jitter.py --minutes 5 --period 32    # frames: of JACK, and the grain of what is measured

The sound plays on a null sink of PulseAudio; jackd and PulseAudio are started for it, in a folder of their own. The
audio clock is the line through 96 messages of a steady loop; the master's ticks are late by 0 to --jitter milliseconds.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

# before anything that imports torch
from command_line import Parser, number, run

import numpy as np
from sound_card import missing, null_sink

from engine.clock import START, STOP, TICK, TICKS
from engine.midi_ports import NOTE_ON, VIRTUAL, MidiSettings
from engine.player import Player
from formats.activation_matrix import CLOSED_HAT, INSTRUMENT_TO_PITCH, KICK
from formats.kit import load_kit

BPM = 97.3


@contextlib.contextmanager
def jack(period):
    """Run a JACK server of our own with its dummy driver."""
    name = f"sequenceur_{os.getpid()}"
    os.environ["JACK_DEFAULT_SERVER"] = name
    server = subprocess.Popen(["jackd", "-n", name, "-d", "dummy", "-r", "44100", "-p", str(period)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        yield
    finally:
        server.terminate()
        server.wait()


def port_of(kind):
    """A client of ours at the sequencer's port."""
    import rtmidi

    client = getattr(rtmidi, kind)(rtapi=rtmidi.API_UNIX_JACK, name="benchmark")
    deadline = time.monotonic() + 20
    while not (found := [number for number, port in enumerate(client.get_ports()) if VIRTUAL in port]):
        if time.monotonic() > deadline:
            raise OSError("the sequencer's port does not come up in JACK")
        time.sleep(0.1)
    client.open_port(found[0])
    return client


@contextlib.contextmanager
def playing(settings):
    """A Player on the sink with its stream open; gives it and the list in which what it sends arrives."""
    heard = []
    with contextlib.closing(Player(load_kit(), bpm=BPM)) as player:
        player.set_midi(settings)
        player.open()
        reader = port_of("MidiIn")
        reader.ignore_types(timing=False)
        reader.set_callback(lambda event, _: heard.append((time.perf_counter(), *event[0])))
        time.sleep(3)  # a null sink that wakes up stumbles
        yield player, heard
        reader.delete()
        if player.message:
            print(player.message)
        print(f"underruns: {player.underruns}; buffer {1000 * player.latency:.0f} ms")


def pattern():
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, KICK, ::16], bars[0, CLOSED_HAT, ::4] = 100, 60
    return bars


def moments(heard, *begin):
    """When the messages that begin so arrived."""
    return np.array([moment for moment, *message in heard if tuple(message[:len(begin)]) == begin])


def spread(what, errors):
    """Print and return the size of errors in seconds as milliseconds: (median, 95th percentile, worst)."""
    found = 1000 * np.quantile(np.abs(errors), [0.5, 0.95, 1])
    print(f"{what}, ms: median {found[0]:.2f}, 95th percentile {found[1]:.2f}, worst {found[2]:.2f}")
    return found.tolist()


def off_line(times, together=96):
    """How far moments are from the line through each so many of them, since a dropout moves what follows: seconds."""
    errors, numbers = [], np.arange(together)
    for begin in range(0, len(times) - together + 1, together):
        part = times[begin:begin + together]
        errors.append(part - np.polyval(np.polyfit(numbers, part, 1), numbers))
    return np.concatenate(errors)


def measure_out(seconds):
    """The jitter of what leaves, of clock and of notes."""
    with playing(MidiSettings(output=VIRTUAL)) as (player, heard):
        player.play(pattern())
        time.sleep(seconds)
        player.stop()
        time.sleep(0.5)
    hats = moments(heard, NOTE_ON | 9, INSTRUMENT_TO_PITCH[CLOSED_HAT])
    return {"clock": spread("clock out, off the audio clock", off_line(moments(heard, TICK))),
            "notes": spread("notes out, off the audio clock", off_line(hats))}


def send_clock(port, ticks, jitter, sent):
    """Be the master: a beat of ticks, start, and a tick at each moment, late by up to `jitter` seconds."""
    late = np.random.default_rng(0).uniform(0, jitter, len(ticks))
    for k, moment in enumerate(ticks + late):
        if k == TICKS:
            port.send_message([START])
        time.sleep(max(0.0, moment - time.perf_counter()))
        port.send_message([TICK])
        sent.append(time.perf_counter())
    port.send_message([STOP])
    port.delete()


def measure_following(seconds, jitter):
    """How late the loop starts after a master's first tick, and how far it then is from the master's beats."""
    with playing(MidiSettings(VIRTUAL, VIRTUAL, send_clock=False, follow_clock=True)) as (player, heard):
        player.play(pattern())
        period, sent = 60 / BPM / TICKS, []
        ticks = time.perf_counter() + 0.5 + period * np.arange(TICKS + int(seconds / period))
        master = threading.Thread(target=send_clock, args=(port_of("MidiOut"), ticks, jitter, sent))
        master.start()
        master.join()
        time.sleep(0.5)
    spread("the master's own lateness", np.array(sent) - ticks)
    kicks = moments(heard, NOTE_ON | 9, INSTRUMENT_TO_PITCH[KICK])
    delay = 1000 * (kicks[0] - ticks[TICKS])
    beats = (kicks - ticks[TICKS]) / (60 / BPM)
    off = (beats - np.rint(beats))[4:] * 60 / BPM  # the first bar is let in
    print(f"start: heard {delay:.1f} ms after the master's first tick; then later than it by "
          f"{1000 * np.median(off):.2f} ms (median)")
    third = len(off) // 3
    drift = 1000 * (np.median(off[-third:]) - np.median(off[:third]))
    print(f"drift of {len(kicks)} beats at {BPM} bpm, from the first third to the last: {drift:+.3f} ms")
    return {"start": delay, "drift": drift, "off": spread("beats, off their median", off - np.median(off))}


def main(argv=None):
    """Return {"clock", "notes", "off": (median, 95th percentile, worst) in ms, "start", "drift": ms}."""
    parser = Parser(__doc__)
    parser.add_argument("--minutes", type=number(float, 0.3, 600), default=1.0, help="of each measure (default: 1)")
    parser.add_argument("--period", type=number(int, 16, 1024), default=64, help="of JACK, in frames (default: 64)")
    parser.add_argument("--jitter", type=number(float, 0, 10), default=1.0, help="of the master, in ms (default: 1)")
    options = parser.parse_args(argv)
    if lacking := missing():
        raise OSError(f"no null sink: {lacking}")
    with jack(options.period), null_sink() as card:
        os.environ.update(card.env)
        found = measure_out(60 * options.minutes)
        return found | measure_following(60 * options.minutes, options.jitter / 1000)


if __name__ == "__main__":
    run(main)
