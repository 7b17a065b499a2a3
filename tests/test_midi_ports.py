"""MIDI out, in and clock: the estimate of a master, what is sent when, ports by name; and all of it through JACK."""

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import Activation_Matrix_To_Sound as script
from engine import midi_ports
from engine.clock import CONTINUE, SONG_POSITION, START, STOP, TICK, Line, MasterClock
from engine.midi_ports import VIRTUAL, MidiSettings, Sender, read_message
from engine.player import Player
from engine.sequencer import Sequencer
from engine.sound_process import Midi, end_process, start_process
from formats.activation_matrix import CLOSED_HAT, INSTRUMENT_TO_PITCH, KICK, PITCH_TO_INSTRUMENT, SNARE
from formats.kit import SAMPLE_RATE, plain_sound
from patterns.feel import Feel
from session.options import make_parser

# A master ------------------------------------------------------------------------------------------------------------

BEGIN = 10.0  # seconds: the moment of the first tick of each song


def master_ticks(bpm, beats):
    """The true moments of a master's ticks, (24 beats,); bpm: of each beat."""
    return BEGIN + np.concatenate([[0], np.cumsum(60 / 24 / np.repeat(np.broadcast_to(bpm, beats), 24))[:-1]])


def hear(ticks, jitter=0.0, lost=(), doubled=(), seed=0, before=24):
    """(moment, message) of a master as they arrive, late by up to `jitter` seconds, with so many ticks before."""
    late = np.random.default_rng(seed).uniform(0, jitter, len(ticks))
    period = ticks[1] - ticks[0]
    heard = [(BEGIN - period * k, bytes([TICK])) for k in range(before, 0, -1)] + [(BEGIN - 0.001, bytes([START]))]
    arrivals = [(moment + late[k], bytes([TICK])) for k, moment in enumerate(ticks) if k not in lost]
    arrivals += [(ticks[k] + period * part, bytes([TICK])) for k, part in doubled]
    return heard + sorted(arrivals)


def errors_of(master, heard, ticks):
    """How late the master's estimate is after each message, in seconds: (messages,), nan where it has none."""
    errors = []
    for moment, message in heard:
        master.take(moment, message)
        place = master.place_at(moment)
        true = np.interp(moment, ticks, np.arange(len(ticks))) * 2 / 3
        errors.append(np.nan if place is None else (place[0] - true) * 60 / 16 / place[1])
    return np.array(errors)


@settings(max_examples=25, deadline=None)
@given(st.floats(40, 240), st.floats(0, 0.002), st.integers(0, 2**32 - 1), st.sampled_from((0, 24)))
def test_a_steady_master_is_known_within_a_millisecond_from_the_second_beat_on(bpm, jitter, seed, before):
    ticks, master = master_ticks(bpm, 30), MasterClock(bpm=100)
    errors = errors_of(master, hear(ticks, jitter, seed=seed, before=before), ticks)[before + 1:]
    assert not np.isnan(errors).any()  # from the first tick on
    assert np.abs(errors[:48] + jitter / 2).max() < jitter + (1e-9 if before else 0.6 / 24 * 60 / bpm)
    assert np.abs(errors[48:-1] + jitter / 2).max() < 1e-9 + 0.0005 * jitter / 0.001  # later by half the jitter
    assert master.bpm == pytest.approx(bpm, rel=1e-9 + 0.3 * jitter)


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(60, 600), max_size=8), st.sets(st.integers(60, 600), max_size=4), st.floats(0.05, 0.95),
       st.integers(0, 2**32 - 1))
def test_lost_and_doubled_ticks_do_not_shift_the_place(lost, doubled, part, seed):
    spaced = {k for k in doubled if not {*range(k - 12, k + 12)} & (lost | doubled - {k})}  # two at once may mislead
    lost = {k for k in lost if not {*range(k - 12, k)} & lost}
    ticks = master_ticks(120, 30)
    heard = hear(ticks, 0.001, lost, [(k, part) for k in spaced], seed)
    errors = errors_of(MasterClock(), heard, ticks)
    assert np.nanmax(np.abs(errors[80:-1])) < 0.003  # a tick lasts 21 ms


@pytest.mark.parametrize("tempo", [60, 80, 100, 110, 118, 121, 126, 132, 150, 180, 240])
@pytest.mark.parametrize("jitter", [0, 0.002])
def test_a_master_that_changes_tempo_is_followed_without_losing_its_place(tempo, jitter):
    ticks = master_ticks([120] * 12 + [tempo] * 24, 36)
    master = MasterClock()
    errors = errors_of(master, hear(ticks, jitter, seed=4), ticks)[25:]
    assert np.abs(errors[15 * 24:-1] + jitter / 2).max() < 0.0011
    assert master.bpm == pytest.approx(tempo, rel=0.002)


def test_a_slow_change_of_tempo_is_followed():
    ticks = master_ticks(np.linspace(100, 140, 64), 64)
    errors = errors_of(MasterClock(), hear(ticks, 0.001), ticks)[25 + 48:-1]
    assert np.abs(errors).max() < 0.003


def test_stop_continue_and_song_position():
    master, tick, period = MasterClock(), bytes([TICK]), 60 / 24 / 120
    now = BEGIN

    def ticks(count):
        nonlocal now
        for _ in range(count):
            now += period
            master.take(now, tick)

    master.take(now, bytes([START]))
    assert master.running and master.place_at(now) is None  # its first tick is the start
    ticks(1)
    assert master.place_at(now) == (0, pytest.approx(120))
    ticks(24)
    assert master.place_at(now)[0] == pytest.approx(16)
    master.take(now, bytes([STOP]))
    assert not master.running and master.place_at(now) is None
    ticks(10)  # many go on ticking
    assert master.bpm == pytest.approx(120)
    master.take(now, bytes([CONTINUE]))
    ticks(1)
    assert master.place_at(now)[0] == pytest.approx(16 + 2 / 3)
    master.take(now, bytes([STOP]))
    master.take(now, bytes([SONG_POSITION, 8, 1]))  # 136 sixteenths
    master.take(now, bytes([CONTINUE]))
    ticks(7)
    assert master.place_at(now)[0] == pytest.approx(136 * 4 + 4)
    assert master.heard_at(now + 0.5) and not master.heard_at(now + 1.5)


@given(st.lists(st.binary(max_size=4).filter(lambda message: message[:1] not in map(bytes, zip(range(0xF2, 0x100)))),
                max_size=40))
def test_what_is_no_clock_is_nothing_to_it(garbage):
    ticks, master = master_ticks(120, 2), MasterClock()
    for moment, message in hear(ticks):
        for other in garbage[:3]:
            master.take(moment, other)
        master.take(moment, message)
    assert master.place_at(ticks[-1]) == (pytest.approx(47 * 2 / 3), pytest.approx(120))


@given(st.lists(st.tuples(st.floats(0, 0.1), st.binary(max_size=4) | st.sampled_from(
    [bytes([TICK]), bytes([START]), bytes([STOP]), bytes([CONTINUE])])), max_size=200))
def test_no_order_of_messages_is_an_error(messages):
    master, now = MasterClock(), 0.0
    for wait, message in messages:
        now += wait
        master.take(now, message)
        place = master.place_at(now)
        assert place is None or np.isfinite(place).all() and 20 <= place[1] <= 400
        assert master.bpm is None or 20 <= master.bpm <= 400


def test_a_line_begins_anew_where_the_points_leave_it():
    line, generator = Line(0.01, known=True), np.random.default_rng(1)
    for place in range(300):
        line.add(place, 0.01 * place + generator.uniform(-0.001, 0.001))
    assert abs(line.moment_of(300) - 3) < 0.0003 and line.place_at(line.moment_of(7)) == pytest.approx(7)
    for place in range(300, 330):
        line.add(place, 0.01 * place + 0.02 + generator.uniform(-0.001, 0.001))
    assert abs(line.moment_of(330) - 3.32) < 0.001


# What is sent --------------------------------------------------------------------------------------------------------

class Port(list):
    """A port: what was sent."""

    def send_message(self, message):
        self.append(tuple(message))


def sent(events, until=1e9, channel=10, **options):
    """What a Sender sends of events, [(moment, message)]."""
    port, found = Port(), []
    sender = Sender(port, channel, **options)
    sender.add(events)
    while (due := sender.due()) is not None and due <= until:
        sender.send(due)
        found += [(due, message) for message in port[len(found):]]
    return found, sender, port


def test_a_note_lasts_until_the_next_of_its_row_or_its_time():
    kick, snare = INSTRUMENT_TO_PITCH[KICK], INSTRUMENT_TO_PITCH[SNARE]
    found, *_ = sent([(1.0, "hit", KICK, 90, 0.125), (1.0, "hit", SNARE, 50, 0.125), (1.0625, "hit", KICK, 100, 0.125)])
    assert found == [(1.0, (0x99, kick, 90)), (1.0, (0x99, snare, 50)), (1.0625, (0x89, kick, 0)),
                     (1.0625, (0x99, kick, 100)), (1.125, (0x89, snare, 0)), (1.1875, (0x89, kick, 0))]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 7), st.integers(1, 127)), max_size=60),
       st.integers(1, 16), st.integers(0, 400))
def test_each_note_ends_once_even_when_all_ends(hits, channel, until):
    events = [(at / 100, "hit", row, velocity, 0.125) for at, row, velocity in sorted(hits)]
    found, sender, port = sent(events, until / 100, channel)
    assert all(message[0] & 15 == channel - 1 for _, message in found)
    sender.end()
    assert port[-1] == (0xB0 | channel - 1, 123, 0)
    for pitch in INSTRUMENT_TO_PITCH:
        kinds = [kind & 0xF0 for kind, number, _ in port[:-1] if number == pitch]
        assert kinds == [0x90, 0x80] * (len(kinds) // 2)
    assert sum(kind & 0xF0 == 0x90 for kind, *_ in port) == sum(at <= until for at, *_ in hits)


def test_the_clock_starts_after_its_start_and_stops_at_the_end():
    events = [(2.0, "start"), (2.0, "clock"), (2.02, "clock")]
    found, sender, port = sent(events)
    assert found == [(2.0 - midi_ports.AHEAD, (START,)), (2.0, (TICK,)), (2.02, (TICK,))]
    sender.end()
    assert port[-1] == (STOP,)
    assert sent([*events, (2.04, "stop")], send_clock=False)[0] == []
    found, sender, port = sent([*events, (2.04, "stop")])
    sender.end()
    assert port[-2:] == [(STOP,), (0xB9, 123, 0)]


def test_a_note_that_was_held_up_for_long_is_left_out():
    port = Port()
    sender = Sender(port)
    sender.add([(1.0, "hit", KICK, 90, 0.1), (3.0, "hit", SNARE, 90, 0.1)])
    sender.send(3.01)
    assert port == [(0x99, INSTRUMENT_TO_PITCH[SNARE], 90)]


# What comes in -------------------------------------------------------------------------------------------------------

@given(st.binary(max_size=5))
def test_a_message_is_a_note_of_a_row_or_of_a_clock_or_nothing(message):
    found = read_message(message)
    if found is None or found[0] == "clock":
        assert (found is not None) == (message[:1] != b"" and message[0] in (TICK, START, STOP, CONTINUE,
                                                                            SONG_POSITION))
    else:
        name, row, velocity = found
        assert (name, row) == ("note", PITCH_TO_INSTRUMENT[message[1]]) and 1 <= velocity == message[2] <= 127


def test_every_pitch_of_a_row_strikes_it():
    for pitch in range(128):
        row = PITCH_TO_INSTRUMENT.get(pitch)
        assert read_message(bytes([0x90, pitch, 64])) == (None if row is None else ("note", row, 64))
    assert read_message(bytes([0x90, 36, 0])) is None  # a note off


# Ports ---------------------------------------------------------------------------------------------------------------

@pytest.fixture
def library(monkeypatch):
    """A library of MIDI with two systems, one of which does not run."""
    opened, others = [], []

    class RtMidiError(Exception):
        pass

    class Client:
        def __init__(self, rtapi, name):
            if rtapi == "dead":
                raise RtMidiError("it does not run")

        def get_ports(self):
            return ["Midi Through:0", "Elektron Digitakt:1", "Digitakt", *others]

        def open_port(self, number):
            opened.append(number)

        def open_virtual_port(self, name):
            opened.append(name)

    module = types.SimpleNamespace(RtMidiError=RtMidiError, MidiOut=Client, MidiIn=Client,
                                   get_compiled_api=lambda: ["dead", "alive"])
    monkeypatch.setitem(sys.modules, "rtmidi", module)
    return types.SimpleNamespace(module=module, opened=opened, others=others)


def test_a_port_is_found_by_its_name_or_by_part_of_it(library):
    for name in ("Digitakt", "digi", "through", VIRTUAL):
        midi_ports.open_output(name)
    assert library.opened == [2, 1, 0, VIRTUAL]
    assert midi_ports.port_names() == (["Digitakt", "Elektron Digitakt:1", "Midi Through:0"],) * 2


def test_our_own_output_is_no_input_unless_it_is_named_whole(library):
    own = f"{VIRTUAL}:{VIRTUAL}"
    library.others.append(own)
    with pytest.raises(OSError, match="expected a port named like 'seq'"):
        midi_ports.open_output("seq")
    midi_ports.open_output(own)
    assert library.opened == [3]


@pytest.mark.parametrize("fault, reason", [
    ("name", "no MIDI output: expected a port named like 'TR-8', found 'Midi Through:0', 'Elektron Digitakt:1', "
             "'Digitakt'"),
    ("system", "no MIDI: no MIDI system runs here (ALSA's sequencer, JACK, CoreMIDI or Windows')"),
    ("library", "no MIDI: python-rtmidi is not installed (pip install python-rtmidi)"),
    ("windows", "no MIDI output: Windows has no virtual ports; name one (loopMIDI makes some)")])
def test_what_does_not_open_is_one_line(fault, reason, library, monkeypatch):
    if fault == "system":
        library.module.get_compiled_api = lambda: ["dead"]
    elif fault == "library":
        monkeypatch.setitem(sys.modules, "rtmidi", None)
    elif fault == "windows":
        monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(OSError) as caught:
        midi_ports.open_output(VIRTUAL if fault == "windows" else "TR-8")
    assert str(caught.value) == reason


def test_settings_are_checked():
    with pytest.raises(ValueError, match="channel: expected 1 to 16, found 17"):
        MidiSettings(channel=17)
    with pytest.raises(ValueError, match="takes a MIDI input"):
        MidiSettings(follow_clock=True)


@pytest.mark.parametrize("words, reason", [
    ("--clock send", "--clock: needs --midi-out"), ("--midi-in --clock send", "--clock: to send one takes --midi-out"),
    ("--midi-out --clock follow", "--clock: to follow one takes --midi-in"),
    ("--at 0 0 --midi-out", "--midi-out: is for the window")])
def test_options_that_do_not_go_together_are_one_line(words, reason, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(words.split())
    assert reason in capsys.readouterr().err


def test_options_name_ports_and_clock(library, capsys):
    for words, expected in (("--midi-out", MidiSettings(VIRTUAL)),
                            ("--midi-out digi --clock off", MidiSettings("digi", send_clock=False)),
                            ("--midi-in pad --midi-out --clock follow",
                             MidiSettings(VIRTUAL, "pad", send_clock=False, follow_clock=True))):
        assert script.midi_of(make_parser("").parse_args(words.split())) == expected
    script.main(["--midi-ports"])
    assert capsys.readouterr().out.splitlines() == [
        f"--midi-{way} '{name}'" for way in ("out", "in") for name in ("Digitakt", "Elektron Digitakt:1",
                                                                       "Midi Through:0")]


def test_the_player_reports_a_port_that_does_not_open_and_goes_on():
    kit = [plain_sound(f"row {row}", np.ones(100, np.float32)) for row in range(8)]
    with contextlib.closing(Player(kit)) as player:
        player.set_midi(MidiSettings("no such port", "nor this"))
        wait_for(lambda: player.message)
        assert player.message.startswith("no MIDI") and "\n" not in player.message
        assert player.take_notes() == [] and player.followed_bpm is None
        player._take("note", (1.0, SNARE, 5))
        player._take("followed", 97.3)
        assert player.take_notes() == [(1.0, SNARE, 5)] and player.take_notes() == [] and player.followed_bpm == 97.3


# With the sound ------------------------------------------------------------------------------------------------------

LATENCY, BLOCK = 0.035, 441  # seconds, samples


class Sound:
    """A Midi and its Sequencer, whose blocks are filled at the pace of a clock of ours: no process, no port."""

    def __init__(self, settings, bars, bpm=120.0):
        kit = [plain_sound(f"row {row}", np.ones(100, np.float32)) for row in range(8)]
        self.sequencer, self.bars, self.reports, self.sent = Sequencer(kit, bpm=bpm), bars, [], []
        self.waiting = 0
        self.midi = Midi(self.sequencer, lambda: None, lambda *event: self.reports.append(event[1:]))
        self.midi._settings, self.midi._child = settings, object()
        self.midi._commands = types.SimpleNamespace(put=lambda data: self.sent.extend(pickle.loads(data)),
                                                    qsize=lambda: self.waiting)
        self.midi.play(bars, Feel())

    def run(self, until, heard=(), skip=0.0):
        """Fill and hear until that moment; skip: seconds by which the card runs fast, a second."""
        heard = list(heard)
        while (now := self.sequencer.clock / SAMPLE_RATE * (1 - skip)) < until:
            while heard and heard[0][0] <= now:
                self.midi.clock(*heard.pop(0))
            first = self.sequencer.clock
            self.sequencer.fill(BLOCK)
            self.midi.sounded(first, now + LATENCY, self.sequencer.take_events())

    def hits(self, row=KICK):
        """When each hit of a row is sent: (n,) moments."""
        return np.array([moment for moment, kind, *hit in self.sent if kind == "hit" and hit[0] == row])


def beats():
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, KICK, ::16], bars[0, CLOSED_HAT, ::4] = 100, 60
    return bars


FOLLOWING = MidiSettings("out", "in", follow_clock=True)


@pytest.mark.parametrize("bpm, skip", [(97.3, 0.0), (97.3, 1e-3), (140, -5e-4)])
def test_the_loop_stays_with_a_master_though_the_sound_card_has_another_second(bpm, skip):
    sound, ticks = Sound(FOLLOWING, beats()), master_ticks(bpm, 64)
    assert sound.reports == [("refused", "It plays when the MIDI master starts.")]
    sound.run(ticks[-1], hear(ticks, 0.001, seed=2), skip)
    hits = sound.hits() - BEGIN
    assert 0 <= hits[0] <= LATENCY + 2 * BLOCK / SAMPLE_RATE  # struck with the first block after the start
    due = np.arange(len(hits)) * 60 / bpm
    assert 62 <= len(hits) and np.abs(hits - due)[4:].max() < 0.001
    assert ("followed", pytest.approx(bpm, abs=0.06)) in sound.reports


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_after_any_commands_and_any_master_the_loop_is_where_the_master_is(data):
    sound, now, period = Sound(FOLLOWING, beats()), 0.1, 60 / 24 / 120
    for _ in range(data.draw(st.integers(1, 8))):
        act = data.draw(st.sampled_from(["play", "stop", "tempo", "ticks", "start", "continue", "halt", "jump",
                                         "silence"]))
        if act == "play":
            sound.midi.play(beats(), Feel(), "bar", 1)
        elif act == "stop":
            sound.midi.stop()
        elif act == "tempo":
            sound.midi.set_bpm(data.draw(st.floats(40, 240)))
        elif act == "jump":
            period = 60 / 24 / data.draw(st.floats(50, 200))
        kind = {"start": START, "continue": CONTINUE, "halt": STOP}.get(act)
        count = data.draw(st.integers(1, 30))
        heard = [(now + period * k, bytes([TICK])) for k in range(1, count) if act != "silence"]
        sound.run(now + period * count, ([(now, bytes([kind]))] if kind else []) + heard)
        now += period * count
    sound.midi.play(beats(), Feel())
    ticks = now + 60 / 24 / 120 * np.arange(12 * 24)
    sound.run(ticks[-1], [(now, bytes([START])), *((moment, bytes([TICK])) for moment in ticks)])
    off = (sound.hits()[sound.hits() > now + 4] - now) / 0.5  # ticks of another tempo just before wear off by then
    assert len(off) >= 3 and np.abs(off - np.rint(off)).max() < 0.002  # a millisecond
    assert np.diff(off).min() > 0.99  # none twice


def test_a_stop_of_the_master_stops_the_loop_and_its_start_starts_it_again():
    sound, ticks = Sound(FOLLOWING, beats()), master_ticks(120, 8)
    heard = hear(ticks)
    heard += [(heard[-1][0] + 0.01, bytes([STOP])), (heard[-1][0] + 1, bytes([START]))]
    heard += [(heard[-1][0] + 0.001 + k / 48, bytes([TICK])) for k in range(96)]
    sound.run(heard[-1][0] + 0.1, heard)
    kinds = [event[1] for event in sound.sent if event[1] in ("start", "stop")]
    assert kinds == ["start", "stop", "start"]
    hits = sound.hits()
    assert len(hits) == 9 + 5  # that of the ninth beat was on its way to the ear already
    assert np.abs(np.diff(hits[10:]) - 0.5).max() < 0.001


def test_a_master_that_goes_leaves_the_loop_playing_and_its_tempo_free():
    sound, ticks = Sound(FOLLOWING, beats(), bpm=120), master_ticks(100, 8)
    sound.run(ticks[-1] + 0.1, hear(ticks))
    sound.midi.set_bpm(140.0)
    assert sound.sequencer.bpm == pytest.approx(100, abs=0.01)
    assert sound.reports[-1] == ("refused", "The tempo is the MIDI master's: 100 bpm.")
    sound.run(ticks[-1] + 4)
    assert sound.reports[-1] == ("followed", None)
    sound.midi.set_bpm(140.0)
    assert sound.sequencer.bpm == 140 and sound.hits()[-1] > ticks[-1] + 3


def test_play_joins_a_master_that_runs_at_its_place():
    sound, ticks = Sound(FOLLOWING, beats()), master_ticks(120, 16)
    sound.midi.stop()
    heard = hear(ticks)
    sound.run(BEGIN + 2.2, heard[:124])
    assert len(sound.hits()) == 0
    sound.midi.play(beats(), Feel())
    sound.run(ticks[-1], heard[124:])
    off = (sound.hits() - BEGIN) / 0.5
    assert len(off) > 10 and np.abs(off - np.rint(off)).max() < 0.002


def test_notes_that_come_in_are_struck_and_reported():
    sound = Sound(MidiSettings("out", "in"), np.zeros((1, 8, 64), np.uint8))
    sound.run(0.2)
    sound.midi.note(0.123, SNARE, 77)
    sound.run(0.4)
    assert sound.reports == [("note", (0.123, SNARE, 77))]
    assert len(sound.hits(SNARE)) == 1


def test_a_master_that_starts_again_is_at_its_beginning_and_stops_even_before_its_first_tick():
    sound, ticks = Sound(FOLLOWING, beats()), master_ticks(120, 4)
    sound.run(ticks[-1], hear(ticks)[:-10])
    sound.run(ticks[-1] + 0.2, [(ticks[-1], bytes([START])), (ticks[-1] + 0.05, bytes([TICK]))])
    assert [kind for _, kind, *_ in sound.sent if kind in ("start", "stop")] == ["start", "stop", "start"]
    sound.run(ticks[-1] + 0.6, [(ticks[-1] + 0.3, bytes([START])), (ticks[-1] + 0.31, bytes([STOP]))])
    assert [kind for _, kind, *_ in sound.sent if kind in ("start", "stop")] == ["start", "stop", "start", "stop"]


def test_a_port_that_takes_nothing_is_closed_and_the_sound_goes_on(monkeypatch):
    sound, ended = Sound(MidiSettings("out"), beats()), []
    monkeypatch.setattr("engine.sound_process.end_process", lambda child, *_: ended.append(child))
    sound.run(0.5)
    sound.waiting = sound.midi.BACKLOG + 1
    sound.run(1.0)
    assert len(ended) == 1 and sound.reports == [("refused", "no MIDI: its port takes nothing more, and was closed")]


def test_what_is_sent_is_what_is_heard_in_time():
    bars = beats()
    sound = Sound(MidiSettings("out"), bars)
    sound.run(4.2)
    shift = LATENCY + sound.sequencer.delay / SAMPLE_RATE
    clocks = np.array([moment for moment, kind, *_ in sound.sent if kind == "clock"])
    assert np.abs(clocks - shift - np.arange(len(clocks)) / 48).max() < 2e-5  # a sample, and rounding
    assert np.abs(sound.hits() - shift - np.arange(len(sound.hits())) / 2).max() < 2e-5
    assert {hit[2] for _, kind, *hit in sound.sent if kind == "hit"} == {0.125}  # a sixteenth


# Through a real MIDI system ------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def jack(tmp_path_factory):
    """A JACK server of our own with its dummy driver; the library's module."""
    rtmidi = pytest.importorskip("rtmidi", reason="needs python-rtmidi")
    if shutil.which("jackd") is None:
        pytest.skip("needs jackd")
    name, log = f"sequenceur_{os.getpid()}", tmp_path_factory.mktemp("jack") / "log"
    with pytest.MonkeyPatch.context() as patch, open(log, "wb") as output:
        patch.setenv("JACK_DEFAULT_SERVER", name)
        server = subprocess.Popen(["jackd", "-n", name, "--no-realtime", "-d", "dummy", "-r", "44100", "-p", "128"],
                                  stdout=output, stderr=output)
        try:
            for _ in range(100):
                with contextlib.suppress(rtmidi.RtMidiError):
                    rtmidi.MidiOut(rtapi=rtmidi.API_UNIX_JACK, name="try").delete()
                    break
                time.sleep(0.1)
            else:
                pytest.skip(f"jackd does not start: {log.read_text()[-300:]}")
            rtmidi.server, rtmidi.others = server, []
            yield rtmidi
            for client in rtmidi.others:  # before their server, or they leave semaphores behind
                client.delete()
        finally:
            server.terminate()
            server.wait(10)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def connected(jack, kind, name=VIRTUAL):
    """A client of ours at the port of that name, when it is there."""
    client, found = getattr(jack, kind)(rtapi=jack.API_UNIX_JACK, name="other"), []
    jack.others.append(client)
    wait_for(lambda: found.extend(n for n, port in enumerate(client.get_ports()) if name in port) or found)
    client.open_port(found[0])
    return client


def test_notes_and_clock_leave_a_virtual_port_of_jack_in_their_order_and_all_ends(jack):
    child, commands = start_process("midi_ports")
    heard = []
    commands.put(pickle.dumps(MidiSettings(VIRTUAL)))
    reader = connected(jack, "MidiIn")
    reader.ignore_types(timing=False)
    reader.set_callback(lambda event, _: heard.append(tuple(event[0])))
    now = time.perf_counter() + 0.2
    events = [(now, "start"), *((now + k / 48, "clock") for k in range(24)), (now + 0.01, "hit", KICK, 99, 0.1),
              (now + 0.05, "hit", KICK, 88, 0.1), (now + 30, "hit", SNARE, 1, 0.1)]
    commands.put(pickle.dumps(events))
    wait_for(lambda: heard.count((TICK,)) == 24)
    end_process(child, commands, 10)
    wait_for(lambda: heard[-1] == (STOP,))
    assert child.returncode == 0 and heard[:2] == [(START,), (TICK,)]
    assert [message for message in heard if len(message) == 3] == [
        (0x99, 36, 99), (0x89, 36, 0), (0x99, 36, 88), (0x89, 36, 0), (0xB9, 123, 0)]


def test_notes_and_a_clock_come_in_through_jack(jack):
    child, commands = start_process("midi_ports")
    commands.put(pickle.dumps(MidiSettings(input=VIRTUAL)))
    writer = connected(jack, "MidiOut")
    begun = time.perf_counter()
    for message in ([0x99, 38, 64], [0x99, 99, 64], [0xC0, 3], [START], [TICK], [0x90, 36, 1]):
        writer.send_message(message)
    reports = [pickle.load(child.stdout) for _ in range(4)]
    assert [(name, *values) for name, (_, *values) in reports] == [
        ("note", SNARE, 64), ("clock", bytes([START])), ("clock", bytes([TICK])), ("note", KICK, 1)]
    assert begun <= reports[0][1][0] <= reports[-1][1][0] <= time.perf_counter()
    end_process(child, commands, 10)


def test_a_port_that_is_not_there_is_reported_and_what_is_to_be_sent_is_dropped(jack):
    child, commands = start_process("midi_ports")
    commands.put(pickle.dumps(MidiSettings("TR-8")))
    name, reason = pickle.load(child.stdout)
    assert name == "refused" and reason.startswith("no MIDI output: expected a port named like 'TR-8', found")
    commands.put(pickle.dumps([(0.0, "hit", KICK, 99, 0.1)]))
    end_process(child, commands, 10)
    assert child.returncode == 0


def test_a_system_that_stands_still_holds_nobody_else(jack):
    child, commands = start_process("midi_ports")
    commands.put(pickle.dumps(MidiSettings(VIRTUAL)))
    connected(jack, "MidiIn")
    jack.server.send_signal(signal.SIGSTOP)
    try:
        commands.put(pickle.dumps([(0.0, "clock")] * 50_000))  # more than the library has room for
        end_process(child, commands, 2)
        assert child.returncode == -signal.SIGKILL  # it did block
    finally:
        jack.server.send_signal(signal.SIGCONT)
