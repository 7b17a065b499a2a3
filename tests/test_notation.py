"""Drum parts in musical notation: written staffs fill their bars and read back, scores of other programs are read."""

import re
import zipfile
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from music21 import clef, converter
from test_midi import drum_file, some_bars, struck

import Midi_To_Activation_Matrix as midi
from formats import notation


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("notation")


def write(bars, path, bpm=100):
    notation.write_staff(bars, path, midi.INSTRUMENT_TO_PITCH, bpm)
    return path


# Writing.

@given(some_bars(most=3))
@example(np.zeros((2, 8, 64), np.uint8))
@example(np.full((1, 8, 64), 101, np.uint8))
@settings(max_examples=15, deadline=None)
def test_a_staff_reads_back_as_the_bars_it_was_written_from(scratch, bars):
    hit = np.zeros((1, 8, 64), np.uint8)
    hit[0, 0, 0] = 1
    bars = np.concatenate([bars, hit])  # a score without a note has no drums
    assert np.array_equal(midi.read_bars(write(bars, scratch / "staff.musicxml")), bars)


@given(some_bars(most=2))
@settings(max_examples=15, deadline=None)
def test_every_voice_fills_its_bar_exactly_with_plain_note_values(scratch, bars):
    root = ElementTree.parse(write(bars, scratch / "filled.musicxml")).getroot()
    divisions = int(root.findtext(".//divisions"))
    values = {"64th": Fraction(1, 16), "32nd": Fraction(1, 8), "16th": Fraction(1, 4), "eighth": Fraction(1, 2),
              "quarter": Fraction(1), "half": Fraction(2), "whole": Fraction(4)}
    for measure in root.findall("part/measure"):
        filled = {}
        for note in measure.findall("note"):
            quarters = Fraction(int(note.findtext("duration")), divisions)
            whole_bar = note.find("rest[@measure='yes']") is not None  # which has no type
            dots = Fraction(3, 2) if note.find("dot") is not None else 1
            assert quarters == dots * values["whole" if whole_bar else note.findtext("type")]
            if note.find("chord") is None:
                filled[note.findtext("voice")] = filled.get(note.findtext("voice"), 0) + quarters
            if note.find("rest") is None:
                assert note.findtext("stem") in ("up", "down") and note.find("unpitched") is not None
        assert filled and set(filled.values()) == {4}


def test_music21_sees_drums_on_a_percussion_staff_with_crosses_for_hats_and_cymbals(tmp_path):
    bar = np.zeros((1, 8, 64), np.uint8)
    bar[0, 0, 0] = bar[0, 1, 16] = bar[0, 4, ::8] = bar[0, 6, 32] = 100
    score = converter.parse(write(bar, tmp_path / "x.musicxml", bpm=96), forceSource=True)
    assert isinstance(score.recurse().getElementsByClass(clef.PercussionClef).first(), clef.PercussionClef)
    assert score.recurse().getElementsByClass("MetronomeMark").first().number == 96
    notes = [note for element in score.recurse().notes for note in getattr(element, "notes", (element,))]
    heads = {(note.displayName, note.notehead) for note in notes}
    assert heads == {("F4", "normal"), ("C5", "normal"), ("G5", "x"), ("A5", "x")} and len(notes) == 11


def test_straight_eighths_are_written_as_eighths(tmp_path):
    bar = np.zeros((1, 8, 64), np.uint8)
    bar[0, 4, ::8] = 90
    bar[0, 0, (0, 32)] = 100
    notes = ElementTree.parse(write(bar, tmp_path / "x.musicxml")).findall("part/measure/note")
    assert [(note.findtext("type"), note.find("rest") is None) for note in notes] == (
        [("eighth", True)] * 8 + [("quarter", True), ("quarter", False)] * 2)


def test_a_compressed_staff_is_read_too_and_another_suffix_is_refused(tmp_path):
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, 5, 10] = 77
    with zipfile.ZipFile(tmp_path / "x.mxl", "w") as archive:
        archive.writestr("META-INF/container.xml",
                         '<container><rootfiles><rootfile full-path="in/score.xml"/></rootfiles></container>')
        archive.write(write(bars, tmp_path / "x.xml"), "in/score.xml")
    assert np.array_equal(midi.read_bars(tmp_path / "x.mxl"), bars)
    with pytest.raises(ValueError, match=r"x\.pdf: expected a name that ends in .musicxml"):
        write(bars, tmp_path / "x.pdf")
    assert not (tmp_path / "x.pdf").exists()


def test_the_command_writes_a_staff_at_the_files_tempo(tmp_path):
    midi.write_midi(np.eye(8, 64) * 90, tmp_path / "a.mid", 133)
    midi.main([str(tmp_path / "a.mid"), "--notation", str(tmp_path / "a.musicxml")])
    bars, facts = midi.read_with_facts(tmp_path / "a.musicxml")
    assert np.array_equal(bars, midi.read_bars(tmp_path / "a.mid")) and facts["bpm"] == pytest.approx(133, abs=0.01)


# Reading what others write.

SCORE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN"
 "http://www.musicxml.org/dtds/partwise.dtd">
<score-partwise version="4.0"><part-list>
<score-part id="P1"><part-name>Piano</part-name><midi-instrument id="P1-I1"><midi-channel>1</midi-channel>
 <midi-program>1</midi-program></midi-instrument></score-part>
<score-part id="P2"><part-name>Set</part-name>
 <score-instrument id="P2-I37"><instrument-name>Bass Drum 1</instrument-name></score-instrument>
 <score-instrument id="P2-I47"><instrument-name>Open Hi-Hat</instrument-name></score-instrument>
 <midi-instrument id="P2-I37"><midi-channel>10</midi-channel><midi-unpitched>37</midi-unpitched></midi-instrument>
 <midi-instrument id="P2-I47"><midi-channel>10</midi-channel><midi-unpitched>47</midi-unpitched></midi-instrument>
</score-part></part-list>
<part id="P1">PIANO</part><part id="P2">DRUMS</part></score-partwise>"""
ATTRIBUTES = """<attributes><divisions>12</divisions><time><beats>4</beats><beat-type>4</beat-type></time>
<clef><sign>percussion</sign></clef></attributes><direction><sound tempo="90"/></direction>"""
REST = "<note><rest/><duration>{}</duration><voice>1</voice></note>"


def hit(place, duration, instrument=None, voice=1, head="normal"):
    instrument = f'<instrument id="P2-I{instrument}"/>' if instrument else ""
    return (f"<note><unpitched><display-step>{place[0]}</display-step><display-octave>{place[1]}</display-octave>"
            f"</unpitched><duration>{duration}</duration>{instrument}<voice>{voice}</voice>"
            f"<notehead>{head}</notehead></note>")


def score(path, *measures):
    numbered = "".join(f'<measure number="{number}">{measure}</measure>' for number, measure in enumerate(measures, 1))
    piano = re.sub(r"<unpitched>.*?</unpitched>", "<rest/>", re.sub(r"<tie .*?>|<instrument .*?>", "", numbered))
    path.write_text(SCORE.replace("PIANO", piano).replace("DRUMS", numbered))
    return path


def test_a_score_of_two_voices_gives_the_drums_its_instruments_name(tmp_path):
    path = score(tmp_path / "x.musicxml", ATTRIBUTES
                 + hit("G5", 12, 47) + hit("G5", 12, 47) + hit("G5", 4, 47) * 3 + REST.format(12)
                 + "<backup><duration>48</duration></backup>"
                 + hit("F4", 24, 37, voice=2) + hit("F4", 24, 37, voice=2))
    assert set(struck(midi.read_bars(path))) == {
        (0, 3, 0), (0, 3, 16), (0, 3, 32), (0, 3, 37), (0, 3, 43), (0, 0, 0), (0, 0, 32)}  # triplets: nearest steps


def test_notes_that_name_no_instrument_are_known_by_their_place_on_the_staff(tmp_path):
    path = score(tmp_path / "x.xml", ATTRIBUTES + hit("F4", 12) + hit("C5", 12)
                 + hit("G5", 12, head="x") + hit("A5", 12, head="x"))
    assert set(struck(midi.read_bars(path))) == {(0, 0, 0), (0, 1, 16), (0, 4, 32), (0, 6, 48)}


def test_a_tied_note_is_one_hit_and_a_pickup_is_left_out(tmp_path):
    tied = hit("F4", 48, 37).replace("<voice>", '<tie type="start"/><voice>')
    held = hit("F4", 48, 37).replace("<voice>", '<tie type="stop"/><voice>')
    path = score(tmp_path / "x.musicxml", ATTRIBUTES + hit("C5", 12), tied, held)
    bars, facts = midi.read_with_facts(path)
    assert list(struck(bars)) == [(0, 0, 0)] and len(bars) == 2 and facts["left_out"] == {"1/4": 1}
    assert facts["bpm"] == pytest.approx(90)


def test_abc_and_humdrum_drum_parts_are_read(tmp_path):
    (tmp_path / "x.abc").write_text(
        "X:1\nT:Beat\nM:4/4\nL:1/8\nQ:1/4=120\nK:C clef=perc\n"
        "[C,,^F,,]2 ^F,,2 [D,,^F,,]2 ^F,,2 | [C,,^F,,]2 ^F,,2 [D,,^F,,]^F,, ^A,,2 |]\n")
    assert set(struck(midi.read_bars(tmp_path / "x.abc"))) == {
        (0, 0, 0), (0, 4, 0), (0, 4, 16), (0, 1, 32), (0, 4, 32), (0, 4, 48),
        (1, 0, 0), (1, 4, 0), (1, 4, 16), (1, 1, 32), (1, 4, 32), (1, 4, 40), (1, 3, 48)}
    (tmp_path / "x.krn").write_text("**kern\n*clefX\n*M4/4\n=1\n4CC 4FF#\n8FF#\n8FF#\n4DD 4FF#\n8FF#\n8AA#\n==\n*-\n")
    assert set(struck(midi.read_bars(tmp_path / "x.krn"))) == {
        (0, 0, 0), (0, 4, 0), (0, 4, 16), (0, 4, 24), (0, 1, 32), (0, 4, 32), (0, 4, 48), (0, 3, 56)}


@pytest.mark.parametrize("name, content", [
    ("x.musicxml", b""), ("x.musicxml", b"no score"), ("x.xml", b"<html><body>no score</body></html>"),
    ("x.mxl", b"PK\x03\x04 no archive"), ("x.abc", b""), ("x.krn", b"\xff\xfe\x00"),
    ("x.musicxml", b"<score-partwise/>"),
    ("x.abc", b"X:1\nM:4/4\nL:1/4\nK:C\nCDEF|GABc|\n"),
    ("x.abc", b"X:1\nM:3/4\nL:1/4\nK:C clef=perc\nV:1 name=\"Drums\"\nC,,D,,D,,|\n")])
def test_a_score_without_drums_in_4_4_is_one_line_with_the_reason(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name.replace(".", r"\.") + ": ") as error:
        midi.read_bars(tmp_path / name)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_a_folder_of_midi_and_scores_is_converted_together(tmp_path):
    (tmp_path / "in").mkdir()
    drum_file(tmp_path / "in" / "a.mid", [(0, 36, 90)])
    write(np.full((1, 8, 64), 3, np.uint8), tmp_path / "in" / "a.musicxml")
    report = midi.convert_folder(tmp_path / "in", tmp_path / "out")
    assert (report["converted"], report["bars"], report["skipped"]) == (2, 2, {})
    assert (np.load(tmp_path / "out" / "a.musicxml.npy") == 3).all()
