"""MIDI to activation matrices and back: properties, an oracle, and every kind of bad file."""

import os
import struct
import subprocess
import sys
from fractions import Fraction
from math import floor

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib import image
from matplotlib.figure import Figure
from music21.midi import DeltaTime, MetaEvents, MidiFile

import Midi_To_Activation_Matrix as midi
from formats import activation_matrix, bar_picture
from patterns.dataset import groove_split, style_of

KICK, SNARE, OPEN_HAT, CLOSED_HAT = 36, 38, 46, 42


# MIDI files by hand, apart from the code under test.

def vlq(number):
    digits = [number & 127]
    while number := number >> 7:
        digits.insert(0, number & 127 | 128)
    return bytes(digits)


def track(events, end=None, name=None):
    """A track chunk from (tick, bytes) pairs; `end` is the tick of its end."""
    events = sorted(events, key=lambda event: event[0])
    if name:
        events.insert(0, (0, b"\xff\x03" + vlq(len(name)) + name.encode("latin-1")))
    events.append((max([tick for tick, _ in events], default=0) if end is None else end, b"\xff\x2f\x00"))
    body, now = b"", 0
    for tick, data in events:
        body += vlq(tick - now) + data
        now = tick
    return b"MTrk" + struct.pack(">I", len(body)) + body


def notes(hits, channel=10, length=1):
    """Note-ons and note-offs of (tick, pitch, velocity) hits."""
    return [event for tick, pitch, velocity in hits for event in (
        (tick, bytes([0x8F + channel, pitch, velocity])), (tick + length, bytes([0x7F + channel, pitch, 0])))]


def meter(tick, numerator, denominator):
    return tick, bytes([0xFF, 0x58, 4, numerator, denominator.bit_length() - 1, 24, 8])


def tempo(tick, bpm):
    return tick, b"\xff\x51\x03" + round(60e6 / bpm).to_bytes(3, "big")


def midi_file(path, *tracks, kind=None, division=480, promised=None):
    kind = (len(tracks) > 1) if kind is None else kind
    promised = len(tracks) if promised is None else promised
    path.write_bytes(b"MThd" + struct.pack(">IHHH", 6, kind, promised, division) + b"".join(tracks))
    return path


def drum_file(path, hits, division=480, **options):
    return midi_file(path, track(notes(hits), **options), division=division)


def struck(bars):
    """{(bar, row, step): velocity} of a matrix."""
    return {tuple(cell): int(bars[tuple(cell)]) for cell in np.argwhere(bars).tolist()}


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("midi")


@st.composite
def some_bars(draw, most=4):
    """Bars of random hits; silent bars, and silence altogether, among them."""
    bars = np.zeros((draw(st.integers(1, most)), 8, 64), np.uint8)
    cells = st.tuples(st.integers(0, len(bars) - 1), st.integers(0, 7), st.integers(0, 63), st.integers(1, 127))
    for bar, row, step, velocity in draw(st.lists(cells, max_size=40)):
        bars[bar, row, step] = velocity
    return bars


# Writing, and reading back.

@given(some_bars(), st.floats(4, 500))
@example(np.zeros((3, 8, 64), np.uint8), 120)
@example(np.full((2, 8, 64), 127, np.uint8), 120)
@settings(max_examples=50, deadline=None)
def test_read_bars_gives_back_what_write_midi_wrote(scratch, bars, bpm):
    midi.write_midi(bars, scratch / "loop.mid", bpm)
    found = midi.read_bars(scratch / "loop.mid")
    assert found.dtype == np.uint8 and np.array_equal(found, bars)


@given(some_bars(), st.sampled_from([40, 97.3, 120, 240]))
@settings(max_examples=20, deadline=None)
def test_another_reader_hears_every_hit_at_its_time_on_the_drum_channel(scratch, bars, bpm):
    midi.write_midi(bars, scratch / "heard.mid", bpm)
    heard = pretty_midi.PrettyMIDI(str(scratch / "heard.mid"))
    assert all(part.is_drum for part in heard.instruments)
    step_seconds = 60 / bpm / 16
    found = sorted((round(note.start / step_seconds), note.pitch, note.velocity)
                   for part in heard.instruments for note in part.notes)
    assert found == sorted((64 * bar + step, midi.INSTRUMENT_TO_PITCH[row], velocity)
                           for (bar, row, step), velocity in struck(bars).items())
    assert heard.get_tempo_changes()[1][0] == pytest.approx(bpm, rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_track_ends_exactly_with_the_loop(tmp_path, count):
    bars = np.zeros((count, 8, 64), np.uint8)
    bars[0, 0, 0] = bars[-1, 1, 63] = 100
    midi.write_midi(bars, tmp_path / "loop.mid")
    file = MidiFile()
    file.readstr((tmp_path / "loop.mid").read_bytes())
    (one,) = file.tracks
    assert sum(event.time for event in one.events if isinstance(event, DeltaTime)) == count * 4 * 480
    assert one.events[-1].type == MetaEvents.END_OF_TRACK


@given(some_bars(), st.floats(40, 240))
@settings(max_examples=20, deadline=None)
def test_a_note_lasts_a_sixteenth_or_until_its_row_is_struck_again_or_the_file_ends(scratch, bars, bpm):
    midi.write_midi(bars, scratch / "notes.mid", bpm)
    file = mido.MidiFile(scratch / "notes.mid")
    (one,), sounding, found, now = file.tracks, {}, {}, 0
    for event in one:
        now += event.time
        if event.type == "note_on" and event.velocity:
            assert event.note not in sounding and event.channel == 9
            sounding[event.note] = now
        elif event.type in ("note_on", "note_off"):
            started = sounding.pop(event.note)
            found[started, event.note] = now - started
    assert not sounding
    steps = {(64 * bar + step, row) for bar, row, step in np.argwhere(bars).tolist()}
    assert found == {(30 * step, midi.INSTRUMENT_TO_PITCH[row]): 30 * next(
        after for after in range(1, 5) if after == 4 or step + after == 64 * len(bars) or (step + after, row) in steps)
        for step, row in steps}


def test_a_file_bears_its_name_tempo_and_meter(tmp_path):
    midi.write_midi(np.zeros((3, 8, 64), np.uint8), tmp_path / "a.mid", 97.5, name="Sérénade 1")
    (one,) = mido.MidiFile(tmp_path / "a.mid", charset="utf-8").tracks
    assert one.name == "Sérénade 1"
    assert [mido.tempo2bpm(event.tempo) for event in one if event.type == "set_tempo"] == [pytest.approx(97.5, 1e-5)]
    assert [(event.numerator, event.denominator) for event in one if event.type == "time_signature"] == [(4, 4)]
    assert sum(event.time for event in one) == 3 * 1920
    assert np.array_equal(midi.read_bars(tmp_path / "a.mid"), np.zeros((3, 8, 64)))  # silent drums, whatever the name


def test_write_midi_takes_one_bar_and_writes_the_same_bytes_twice(tmp_path):
    bar = np.zeros((8, 64))
    bar[0, ::16] = 100.0
    midi.write_midi(bar, tmp_path / "a.mid", 97.5)
    midi.write_midi(bar[None].astype(np.uint8), tmp_path / "b.mid", 97.5)
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()


@pytest.mark.parametrize("bars", [np.zeros((0, 8, 64)), np.zeros((8, 63)), np.full((8, 64), 128), np.full((8, 64), -1),
                                  np.full((8, 64), 0.5), np.full((8, 64), np.nan), np.zeros((8, 64), "U1")])
def test_write_midi_refuses_what_is_no_bar_and_leaves_the_old_file(tmp_path, bars):
    (tmp_path / "old.mid").write_bytes(b"old")
    with pytest.raises(ValueError, match="bars: expected"):
        midi.write_midi(bars, tmp_path / "old.mid")
    assert (tmp_path / "old.mid").read_bytes() == b"old"


@pytest.mark.parametrize("bpm", [0, -1, 3, float("nan"), float("inf"), 1e6])
def test_write_midi_refuses_a_tempo_that_midi_cannot_hold(tmp_path, bpm):
    with pytest.raises(ValueError, match="bpm: expected"):
        midi.write_midi(np.zeros((8, 64)), tmp_path / "x.mid", bpm)
    assert not list(tmp_path.iterdir())


# The grid.

@given(st.sampled_from([1, 7, 15, 16, 24, 96, 100, 120, 192, 384, 480, 960, 32767]), st.data())
@settings(max_examples=50, deadline=None)
def test_a_hit_goes_to_the_nearest_step_of_its_time_in_ticks(scratch, division, data):
    ticks = data.draw(st.lists(st.integers(0, 12 * division), min_size=1, max_size=12, unique=True))
    bars = midi.read_bars(drum_file(scratch / "grid.mid", [(tick, KICK, 90) for tick in ticks], division,
                                    end=13 * division))  # not with a bar, as a loop ends
    steps = {floor(Fraction(16 * tick, division) + Fraction(1, 2)) for tick in ticks}  # half up
    assert struck(bars) == {(step // 64, 0, step % 64): 90 for step in steps}


def test_a_hit_just_before_the_barline_is_the_next_bars_first_and_one_a_little_earlier_stays(tmp_path):
    bars = midi.read_bars(drum_file(tmp_path / "x.mid", [(1920 - 15, KICK, 90), (1920 - 16, SNARE, 80)]))
    assert struck(bars) == {(1, 0, 0): 90, (0, 1, 63): 80}


@pytest.mark.parametrize("end, expected", [
    (3840, {(0, 0, 0): 90, (0, 1, 32): 80}), (3841, {(0, 1, 32): 80, (2, 0, 0): 90})])
def test_where_the_track_ends_with_a_bar_a_hit_just_before_is_the_first_of_the_loop(tmp_path, end, expected):
    path = drum_file(tmp_path / "x.mid", [(960, SNARE, 80), (3835, KICK, 90)], end=end)
    assert struck(midi.read_bars(path)) == expected
    assert midi.read_with_facts(path)[1]["distances_ms"].max() < 6


@given(some_bars(), st.floats(-0.49, 0.49), st.sampled_from([40, 97.3, 240]))
@settings(max_examples=30, deadline=None)
def test_a_loop_pushed_early_or_late_is_read_back_with_no_bar_more(scratch, bars, push, bpm):
    midi.write_midi(bars, scratch / "pushed.mid", bpm, push)
    assert np.array_equal(midi.read_bars(scratch / "pushed.mid"), bars)


def test_the_louder_of_two_hits_in_a_cell_stays(tmp_path):
    hits = [(0, KICK, 50), (3, 35, 99), (6, KICK, 70)]
    assert struck(midi.read_bars(drum_file(tmp_path / "x.mid", hits))) == {(0, 0, 0): 99}


@pytest.mark.parametrize("end, bars", [(1920, 1), (3839, 1), (3840, 2), (3841, 2), (9600, 5)])
def test_silent_bars_count_where_they_are_complete_before_the_track_ends(tmp_path, end, bars):
    assert len(midi.read_bars(drum_file(tmp_path / "x.mid", [(0, KICK, 90)], end=end))) == bars


def test_silent_bars_count_where_a_hit_follows(tmp_path):
    bars = midi.read_bars(drum_file(tmp_path / "x.mid", [(3 * 1920, KICK, 90)]))
    assert struck(bars) == {(3, 0, 0): 90}


# Meters and tempos.

def test_bars_begin_anew_at_each_change_of_meter_and_only_those_in_4_4_are_kept(tmp_path):
    changes = [meter(0, 4, 4), meter(1920, 3, 4), meter(1920 + 2 * 1440, 4, 4)]
    second = 1920 + 2 * 1440
    hits = [(0, KICK, 90), (1920, SNARE, 1), (second, CLOSED_HAT, 80), (second + 1920 + 480, OPEN_HAT, 70)]
    bars, facts = midi.read_with_facts(midi_file(tmp_path / "x.mid", track(changes), track(notes(hits))))
    assert struck(bars) == {(0, 0, 0): 90, (1, 4, 0): 80, (2, 3, 16): 70}
    assert facts["left_out"] == {"3/4": 2}


def test_a_bar_that_a_change_of_meter_cuts_short_is_left_out_and_counted(tmp_path):
    changes = [meter(1920 + 960, 7, 8), meter(1920 + 960 + 1680, 4, 4)]  # 4/4 by default; its second bar has two beats
    hits = [(0, KICK, 90), (1920 + 480, SNARE, 90), (1920 + 960 + 1680, KICK, 80)]
    bars, facts = midi.read_with_facts(midi_file(tmp_path / "x.mid", track(changes + notes(hits))))
    assert struck(bars) == {(0, 0, 0): 90, (1, 0, 0): 80}
    assert facts["left_out"] == {"4/4, cut short by a change of meter": 1, "7/8": 1}


def test_a_hit_early_for_the_first_beat_after_a_change_of_meter_is_that_beat(tmp_path):
    hits = [(1440 - 10, KICK, 90), (1440 + 1920 - 10, SNARE, 80)]
    bars = midi.read_bars(midi_file(tmp_path / "x.mid", track(
        [meter(0, 3, 4), meter(1440, 4, 4), meter(1440 + 1920, 3, 4)] + notes(hits))))
    assert struck(bars) == {(0, 0, 0): 90}  # and the one early for the second 3/4 goes there


def test_the_same_meter_repeated_starts_no_new_bar(tmp_path):
    bars = midi.read_bars(midi_file(tmp_path / "x.mid", track(
        [meter(0, 4, 4), meter(700, 4, 4)] + notes([(1920, KICK, 90)]))))
    assert struck(bars) == {(1, 0, 0): 90}


@pytest.mark.parametrize("numerator, denominator", [(3, 4), (6, 8), (7, 8), (5, 4), (2, 2), (0, 4), (255, 128)])
def test_a_file_without_a_4_4_bar_is_refused_with_its_meter(tmp_path, numerator, denominator):
    path = midi_file(tmp_path / "x.mid", track([meter(0, numerator, denominator)] + notes([(0, KICK, 90)])))
    with pytest.raises(ValueError, match=f"no bar in 4/4 .*{numerator}/{denominator}"):
        midi.read_bars(path)


def test_distances_are_in_milliseconds_at_the_tempo_of_the_hit(tmp_path):
    hits = [(0, KICK, 90), (34, KICK, 90), (1920 + 26, KICK, 90)]  # 0, 4 after step 1, 4 before step 1 of bar 2
    path = midi_file(tmp_path / "x.mid", track([tempo(0, 120), tempo(1920, 60)] + notes(hits)))
    facts = midi.read_with_facts(path)[1]
    assert np.allclose(sorted(facts["distances_ms"]), [0, 4 / 480 * 500, 4 / 480 * 1000], atol=1e-9)
    assert facts["bpm"] == pytest.approx(120)


def test_impossible_tempos_do_no_harm(tmp_path):
    path = midi_file(tmp_path / "x.mid", track([(0, b"\xff\x51\x03\x00\x00\x00")] + notes([(7, KICK, 90)])))
    bars, facts = midi.read_with_facts(path)
    assert struck(bars) == {(0, 0, 0): 90} and facts["bpm"] == 120
    assert np.isfinite(facts["distances_ms"]).all()


# Pitches.

def test_the_table_covers_general_midi_percussion_and_the_td_11():
    assert set(range(35, 82)) | {22, 26} == set(midi.PITCH_TO_INSTRUMENT)
    rows = {pitch: activation_matrix.INSTRUMENTS[row] for pitch, row in midi.PITCH_TO_INSTRUMENT.items()}
    expected = {35: "Kick", 36: "Kick", 37: "Snare", 38: "Snare", 39: "Clap", 40: "Snare", 22: "HHC", 26: "HHO",
                42: "HHC", 44: "HHC", 46: "HHO", 41: "Tom", 48: "Tom", 50: "Tom", 58: "Tom", 49: "Cymb", 51: "Cymb",
                53: "Cymb", 59: "Cymb", 54: "Percu", 56: "Percu", 60: "Percu", 75: "Percu", 81: "Percu"}
    assert {pitch: rows[pitch] for pitch in expected} == expected
    assert [midi.PITCH_TO_INSTRUMENT[pitch] for pitch in midi.INSTRUMENT_TO_PITCH] == list(range(8))


def test_an_unmapped_pitch_is_percussion_and_counted(tmp_path):
    hits = [(0, KICK, 90), (480, 100, 80), (960, 100, 70), (1440, 5, 60)]
    bars, facts = midi.read_with_facts(drum_file(tmp_path / "x.mid", hits))
    assert struck(bars) == {(0, 0, 0): 90, (0, 7, 16): 80, (0, 7, 32): 70, (0, 7, 48): 60}
    assert facts["unmapped"] == {100: 2, 5: 1}


# What MIDI files look like.

def test_running_status_and_note_ons_of_velocity_0(tmp_path):
    body = b"\x00\x99\x24\x64" + b"\x0a\x24\x00" + vlq(470) + b"\x26\x50" + b"\x0a\x26\x00" + b"\x00\xff\x2f\x00"
    path = midi_file(tmp_path / "x.mid", b"MTrk" + struct.pack(">I", len(body)) + body)
    assert struck(midi.read_bars(path)) == {(0, 0, 0): 100, (0, 1, 16): 80}


def test_a_type_0_file_of_all_channels_gives_the_drum_channel_or_the_one_asked_for(tmp_path):
    events = [event for channel in range(1, 17) for event in notes([(120 * channel, KICK, channel)], channel)]
    path = midi_file(tmp_path / "x.mid", track(events))
    assert struck(midi.read_bars(path)) == {(0, 0, 40): 10}
    for channel in range(1, 17):
        bars = midi.read_bars(path, channel=channel)
        assert struck(bars) == {((4 * channel) // 64, 0, (4 * channel) % 64): channel}


def test_drums_on_several_tracks_are_put_together(tmp_path):
    path = midi_file(tmp_path / "x.mid", track([tempo(0, 90)]), track(notes([(0, KICK, 90)]), name="Bass Drum"),
                     track(notes([(480, SNARE, 80)]), name="Snare"), track(notes([(0, 60, 70)], channel=1)))
    assert struck(midi.read_bars(path)) == {(0, 0, 0): 90, (0, 1, 16): 80}


@pytest.mark.parametrize("division", [96, 480])
def test_hits_that_are_never_released_or_struck_again_before_are_not_lost(tmp_path, division):
    ons = [(quarter * division, bytes([0x99, KICK, 100 + quarter])) for quarter in range(4)]
    offs = [(division * 3 + 1, bytes([0x89, KICK, 0]))]
    for name, events in (("never", ons), ("once", ons + offs)):
        path = midi_file(tmp_path / f"{name}.mid", track([(0, b"\xff\x01\x01x")]), track(events, end=4 * division),
                         track(notes([(0, 60, 1)], channel=3, length=50 * division)), division=division)
        assert struck(midi.read_bars(path)) == {(bar, 0, step): velocity for bar, step, velocity in (
            (0, 0, 100), (0, 16, 101), (0, 32, 102), (0, 48, 103))}


def test_a_header_of_its_own_before_the_midi_header_and_unknown_chunks_are_passed_over(tmp_path):
    path = drum_file(tmp_path / "x.mid", [(0, KICK, 90)])
    data = path.read_bytes()
    path.write_bytes(b"RIFF\x00\x00\x00\x00RMIDdata\x00\x00\x00\x00" + data[:14]
                     + b"XFIH\x00\x00\x00\x02ab" + data[14:])
    assert struck(midi.read_bars(path)) == {(0, 0, 0): 90}


def test_a_track_without_its_end_is_read(tmp_path):
    path = drum_file(tmp_path / "x.mid", [(0, KICK, 90), (480, SNARE, 80)])
    data = path.read_bytes()[:-4]
    path.write_bytes(data[:18] + struct.pack(">I", len(data) - 22) + data[22:])
    assert struck(midi.read_bars(path)) == {(0, 0, 0): 90, (0, 1, 16): 80}


# Which part is drums, where channel 10 is silent.

BEAT = [(0, KICK, 90), (0, CLOSED_HAT, 70), (240, CLOSED_HAT, 60), (480, SNARE, 90), (480, CLOSED_HAT, 70)]
BASS = [(240 * index, pitch, 90) for index, pitch in enumerate((36, 38, 39, 41, 43, 44, 46, 48, 36, 43, 36, 38))]


def test_a_track_that_names_drums_is_taken_and_one_that_uses_them_where_none_does(tmp_path):
    bass = track(notes(BASS, channel=2), name="Bass")
    for name, channel in (("My Drums", 1), ("PERCUSSION", 5), ("Kit", 2), (None, 1), ("Channel 3", 3)):
        path = midi_file(tmp_path / "x.mid", bass, track(notes(BEAT, channel), name=name))
        expected = {(0, 0, 0): 90, (0, 4, 0): 70, (0, 4, 8): 60, (0, 1, 16): 90, (0, 4, 16): 70}
        assert struck(midi.read_bars(path)) == expected, name


@pytest.mark.parametrize("name, melody", [
    ("a bass line", BASS),
    ("a scale", [(240 * index, pitch, 90) for index, pitch in enumerate((60, 62, 64, 65, 67, 69, 71, 72))]),
    ("chords", [(480 * beat, root + third, 90) for beat, root in enumerate((48, 53, 55)) for third in (0, 4, 7)]),
    ("two bass notes", [(0, 36, 90), (480, 38, 90)]),
    ("a piano that reaches low", [(0, 36, 90), (0, 60, 90), (240, 64, 90), (480, 43, 90), (480, 67, 90), (960, 38, 9)]),
    ("Dumbarton's Drums", [(240 * index, pitch, 90) for index, pitch in enumerate((60, 64, 65, 67, 69, 70, 72, 74))]),
])
def test_a_melody_is_not_taken_for_drums(tmp_path, name, melody):
    path = midi_file(tmp_path / "x.mid", track(notes(melody, channel=1), name=name))
    with pytest.raises(ValueError, match="no drums"):
        midi.read_bars(path)


def test_a_channel_without_notes_is_an_error_that_names_those_with_notes(tmp_path):
    path = midi_file(tmp_path / "x.mid", track(notes(BEAT, 2) + notes(BASS, 7)))
    with pytest.raises(ValueError, match="no notes on channel 3; there are on 2, 7"):
        midi.read_bars(path, channel=3)
    for channel in (0, 17, -1, 2.5):
        with pytest.raises(ValueError, match="channel: expected 1 to 16"):
            midi.read_bars(path, channel=channel)


# Bad files.

def test_each_bad_file_has_a_reason_that_names_it(tmp_path):
    good = drum_file(tmp_path / "good.mid", BEAT).read_bytes()
    header = b"MThd" + struct.pack(">I", 6)
    bad = {
        "zero": (b"", "not a MIDI file"),
        "text": (b"this is a shopping list\n" * 20, "not a MIDI file"),
        "short header": (good[:10], "not a MIDI file"),
        "no track": (header + struct.pack(">HHH", 0, 0, 480), "empty"),
        "no notes": (header + struct.pack(">HHH", 0, 1, 480) + track([meter(0, 4, 4)], end=1920), "empty"),
        "cut off": (good[:-10], "broken MIDI file .*10 bytes are missing"),
        "tracks missing": (good[:8] + struct.pack(">HHH", 1, 65535, 480) + good[14:], "promises 65535 tracks, 1 are"),
        "smpte": (good[:12] + b"\xe7\x28" + good[14:], "SMPTE"),
        "no division": (good[:12] + b"\x00\x00" + good[14:], "0 ticks per quarter"),
        "type 2": (good[:8] + b"\x00\x02" + good[10:], "type 2"),
        "no status": (good[:22] + b"\x00\x24\x64\x00" + good[26:], "broken MIDI file"),
        "high pitch": (good.replace(b"\x99\x24\x5a", b"\x99\xa4\x5a"), "broken MIDI file"),
    }
    for name, (data, reason) in bad.items():
        path = tmp_path / f"{name}.mid"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=reason) as error:
            midi.read_bars(path)
        assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_errors_that_name_them(tmp_path):
    (tmp_path / "folder.mid").mkdir()
    for name in ("folder.mid", "nothing.mid", "nothing.musicxml"):
        with pytest.raises(OSError, match=name.replace(".", r"\.")):
            midi.read_bars(tmp_path / name)


@pytest.mark.parametrize("times", [1, 4, 20])
def test_a_note_in_a_distant_future_is_an_error_and_takes_no_memory(tmp_path, times):
    """2^28 ticks and more: gigabytes of bars; twenty times that, beyond what 32 bits count."""
    body = (vlq(2**28 - 1) + b"\x99\x24\x64\x00\x24\x00") * times + b"\x00\xff\x2f\x00"
    for division in (1, 480):
        path = midi_file(tmp_path / "x.mid", b"MTrk" + struct.pack(">I", len(body)) + body, division=division)
        with pytest.raises(ValueError, match="expected at most 10000 bars|2\\^31 ticks"):
            midi.read_bars(path)


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_a_damaged_file_gives_bars_or_a_reason_never_a_fault(scratch, data):
    path = midi_file(scratch / "damaged.mid", track([tempo(0, 90), meter(0, 4, 4), meter(1920, 3, 4)], name="Song"),
                     track(notes(BEAT) + notes(BASS, 2), name="Drums"))
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[:data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content))
    for channel in (None, 10, 2):
        try:
            bars, facts = midi.read_with_facts(path, channel)
            assert bars.shape[1:] == (8, 64) and bars.max() <= 127 and np.isfinite(facts["distances_ms"]).all()
        except ValueError as error:
            assert str(error).startswith(str(path))


# Folders.

def test_a_folder_becomes_a_tree_of_matrices_and_a_report(tmp_path):
    songs = tmp_path / "songs"
    (songs / "deep" / "er").mkdir(parents=True)
    drum_file(songs / "A.mid", [(0, KICK, 90), (1925, 100, 80)])
    drum_file(songs / "deep" / "b.MIDI", [(0, KICK, 90)])
    drum_file(songs / "deep" / "er" / "c.MID", [(0, KICK, 70)])
    midi_file(songs / "waltz.mid", track([meter(0, 3, 4)] + notes(BEAT)))
    midi_file(songs / "flute.mid", track(notes(BASS, 1)))
    midi_file(songs / "silent.mid", track([], end=1920, name="Drums"))
    (songs / "broken.mid").write_bytes(b"MThd")
    (songs / "notes.txt").write_text("no music")
    (songs / "folder.mid").mkdir()
    report = midi.convert_folder(songs, tmp_path / "out")

    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert written == {"A.npy", "deep/b.npy", "deep/er/c.npy"}
    first = np.load(tmp_path / "out" / "A.npy")
    assert first.dtype == np.uint8 and np.array_equal(first, midi.read_bars(songs / "A.mid"))
    assert (report["files"], report["converted"], report["bars"], report["hits"]) == (7, 3, 4, 4)
    assert set(report["skipped"]) == {"waltz.mid", "flute.mid", "silent.mid", "broken.mid"}
    for name, reason in (("waltz", "3/4"), ("flute", "no drums"), ("silent", "empty"), ("broken", "not a MIDI file")):
        assert reason in report["skipped"][f"{name}.mid"]
    assert report["unmapped"] == {100: 1}
    assert report["largest_ms"] == pytest.approx(5 / 480 * 500) and report["mean_ms"] == report["largest_ms"] / 4


def test_two_files_of_one_stem_both_stay(tmp_path):
    (tmp_path / "in").mkdir()
    drum_file(tmp_path / "in" / "a.mid", [(0, KICK, 90)])
    drum_file(tmp_path / "in" / "a.MID", [(0, SNARE, 80)])
    assert midi.convert_folder(tmp_path / "in", tmp_path / "out")["converted"] == 2
    assert struck(np.load(tmp_path / "out" / "a.mid.npy")) == {(0, 0, 0): 90}
    assert struck(np.load(tmp_path / "out" / "a.MID.npy")) == {(0, 1, 0): 80}


def test_a_folder_in_which_nothing_is_usable_ends_with_status_1(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert midi.main([str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    (tmp_path / "in" / "bad.mid").write_bytes(b"")
    assert midi.main([str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    assert "bad.mid: not a MIDI file" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_folder_needs_an_output_folder_but_for_our_own(tmp_path, monkeypatch, capsys):
    (tmp_path / "ours").mkdir()
    (tmp_path / "mine").mkdir()
    for folder in ("ours", "mine"):
        drum_file(tmp_path / folder / "a.mid", [(0, KICK, 90)])
    monkeypatch.setattr(midi, "GROOVES", tmp_path / "ours")
    monkeypatch.setattr(midi, "PATTERNS", tmp_path / "patterns")
    with pytest.raises(SystemExit) as leaving:
        midi.main([str(tmp_path / "mine")])
    message = capsys.readouterr().err
    assert leaving.value.code == 2 and message.count("\n") == 1 and "mine: expected -o FOLDER" in message
    assert not (tmp_path / "patterns").exists()
    assert midi.main([str(tmp_path / "ours")])["converted"] == 1
    assert (tmp_path / "patterns" / "a.npy").is_file()


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no /dev/zero")
def test_a_file_without_an_end_is_refused():
    with pytest.raises(ValueError, match="/dev/zero: expected a MIDI file of at most"):
        midi.read_bars("/dev/zero")


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="this system has no /proc")
def test_a_file_that_cannot_be_read_to_its_end_is_named():
    with pytest.raises(OSError) as caught:
        midi.read_bars("/proc/self/mem")
    assert caught.value.filename == "/proc/self/mem"


def test_a_picture_of_no_known_kind_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"bar\.xyz: expected a name that ends in \.png"):
        bar_picture.write_picture(np.zeros((1, 8, 64), np.uint8), "bar", tmp_path / "bar.xyz")
    assert not list(tmp_path.iterdir())


def test_one_file_is_converted_with_an_output_folder(tmp_path):
    drum_file(tmp_path / "a.mid", [(0, KICK, 90)])
    assert midi.main([str(tmp_path / "a.mid"), "-o", str(tmp_path / "out")])["bars"] == 1
    assert (tmp_path / "out" / "a.npy").is_file()


# Loading.

def test_load_patterns_takes_matrices_old_and_new_and_midi(tmp_path, capsys):
    (tmp_path / "styles").mkdir()
    classic = np.zeros((8, 64))
    classic[0, ::16] = 1.0
    np.save(tmp_path / "ROCK1.npy", classic)
    np.save(tmp_path / "styles" / "FUNK2.npy", np.full((2, 8, 64), 5, np.uint8))
    drum_file(tmp_path / "styles" / "HOUSE1.mid", BEAT)
    (tmp_path / "styles" / "broken.npy").write_bytes(b"\x93NUMPY")
    np.save(tmp_path / "styles" / "square.npy", np.zeros((9, 9)))
    np.save(tmp_path / "styles" / "code.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    bars, names = midi.load_patterns(tmp_path)
    assert names == ["ROCK1", "styles/FUNK2", "styles/FUNK2", "styles/HOUSE1"]
    assert bars.dtype == np.uint8 and bars.shape == (4, 8, 64)
    assert np.array_equal(bars[0], 100 * classic) and (bars[1:3] == 5).all()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(name in line for name, line in zip(("broken", "code", "square"), lines))


def test_load_patterns_leaves_out_bars_with_too_few_hits_where_asked(tmp_path):
    bars = np.zeros((3, 8, 64), np.uint8)
    bars[1, 0, 0] = bars[2, 0, :2] = 9
    np.save(tmp_path / "a.npy", bars)
    assert [len(midi.load_patterns(tmp_path, minimum)[1]) for minimum in (0, 1, 2)] == [3, 2, 1]
    with pytest.raises(ValueError, match="found no bar"):
        midi.load_patterns(tmp_path, 3)


def test_a_matrix_that_claims_terabytes_and_an_archive_are_refused(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000, 8, 64), }".ljust(117) + b"\n"
    (tmp_path / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 512)
    with open(tmp_path / "archive.npy", "wb") as stream:
        np.savez(stream, bars=np.zeros((1, 8, 64), np.uint8))
    for name in ("huge.npy", "archive.npy"):
        with pytest.raises(ValueError, match=f"{name}: expected a NumPy matrix"):
            midi.load_patterns(tmp_path / name)


def test_load_patterns_of_nothing_is_an_error_that_names_the_source(tmp_path):
    for source in (tmp_path, tmp_path / "missing.npy", tmp_path / "missing"):
        with pytest.raises((ValueError, OSError), match=source.name):
            midi.load_patterns(source)
    (tmp_path / "x.npy").write_bytes(b"no matrix")
    with pytest.raises(ValueError, match="x.npy: expected a NumPy matrix"):
        midi.load_patterns(tmp_path / "x.npy")


@pytest.mark.parametrize("name, style", [
    ("HOUSE1", "house"), ("HOUSE12.mid", "house"), ("a/b/Rock3", "rock"), ("1_funk_80_beat_4-4", "funk"),
    ("drummer1/session1/10_jazz-funk_116_fill_4-4", "jazz"), ("123", ""), ("BOSSA_NOVA1", "bossa")])
def test_the_leading_letters_of_a_name_are_the_style(name, style):
    assert style_of(name) == style


def test_groove_split_follows_the_published_table(tmp_path):
    (tmp_path / "d1").mkdir()
    drum_file(tmp_path / "d1" / "1_funk_80_beat_4-4.mid", [(0, KICK, 90), (480, KICK, 90), (1920, KICK, 90)])
    drum_file(tmp_path / "d1" / "2_jazz-swing_90_fill_4-4.mid", [(0, KICK, 90), (480, SNARE, 90)])
    table = ["drummer,session,id,style,bpm,beat_type,time_signature,midi_filename,audio_filename,duration,split",
             "d1,d1/s,1,funk,80,beat,4-4,d1/1_funk_80_beat_4-4.mid,,1.0,train",
             "d1,d1/s,2,jazz/swing,90,fill,4-4,d1/2_jazz-swing_90_fill_4-4.mid,,1.0,validation",
             "d1,d1/s,3,rock,90,beat,3-4,d1/3_rock_90_beat_3-4.mid,,1.0,train"]
    (tmp_path / "info.csv").write_text("\n".join(table) + "\n")
    splits = groove_split(tmp_path)
    assert {split: (len(bars), names, styles) for split, (bars, names, styles) in splits.items()} == {
        "train": (1, ["d1/1_funk_80_beat_4-4"], ["funk"]),
        "validation": (1, ["d1/2_jazz-swing_90_fill_4-4"], ["jazz"])}
    (tmp_path / "info.csv").write_text("drummer,split\nd1,train\n")
    with pytest.raises(ValueError, match="info.csv: expected the columns midi_filename, time_signature"):
        groove_split(tmp_path)


# Showing.

def test_the_text_grid_shows_instruments_beats_and_loudness():
    bar = np.zeros((8, 64), np.uint8)
    bar[0, 0], bar[1, 16], bar[7, 63] = 127, 60, 1
    lines = activation_matrix.as_text(bar).splitlines()
    assert [line.split()[0] for line in lines] == list(activation_matrix.INSTRUMENTS)
    assert len({len(line) for line in lines}) == 1
    assert lines[0] == " Kick |X" + "." * 15 + ("|" + "." * 16) * 3 + "|"
    assert lines[1].split("|")[2] == "o" + "." * 15 and lines[7].endswith("...-|")


def test_a_picture_shows_a_hit_and_a_louder_one_darker(tmp_path):
    bars = np.zeros((1, 8, 64), np.uint8)
    pictures = []
    for velocity in (0, 20, 120):
        bars[0, 3, 30] = velocity
        bar_picture.write_picture(bars, "a bar", tmp_path / "bar.png")
        pictures.append(image.imread(tmp_path / "bar.png")[..., :3].mean(axis=2))
    silent, soft, loud = pictures
    changed = silent != soft
    assert 100 < changed.sum() < 0.01 * changed.size
    assert (loud[changed] <= soft[changed]).all()
    assert loud[changed].mean() < soft[changed].mean() < silent[changed].mean()


@pytest.mark.parametrize("count, most", [(1, 16), (5, 16), (40, 16)])
def test_a_picture_holds_at_most_sixteen_bars_and_names_their_number(count, most):
    figure = Figure()
    bar_picture.draw(np.full((count, 8, 64), 9, np.uint8), "song", figure)
    shown = [axis for axis in figure.axes if axis.get_images() and axis.get_visible()]
    assert len(shown) == min(count, most)
    assert ("the first 16 of 40 bars" in figure.texts[0].get_text()) == (count > most)


def test_the_command_shows_a_file_without_a_display_and_writes_a_picture(tmp_path):
    drum_file(tmp_path / "a.mid", BEAT)
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, midi.__file__, "a.mid"]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert " Kick |X" in shown.stdout and "--plot FILE.png" in shown.stdout
    midi.main([str(tmp_path / "a.mid"), "--plot", str(tmp_path / "a.png")])
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    for name in ("missing.mid", "a.png"):
        failed = subprocess.run([*command[:2], name], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert failed.returncode == 2 and failed.stderr.count("\n") == 1 and name in failed.stderr
    with pytest.raises(ValueError, match="jpeg2000|not supported"):
        midi.main([str(tmp_path / "a.mid"), "--plot", str(tmp_path / "a.jpeg2000")])
    assert not (tmp_path / "a.jpeg2000").exists()
