"""Drum parts in musical notation, by music21: MusicXML, ABC and Humdrum in, a percussion staff out.

    parts, end, ticks_per_quarter, meters, tempos = read_parts("song.musicxml")    # as of formats.midi_file
    write_staff(bars, "groove.musicxml", pitches, bpm=96)           # bars uint8 (n, 8, 64), a pitch for each row
"""

import contextlib
import io
import warnings
import zipfile
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from music21 import (clef, converter, duration, harmony, instrument, metadata, meter, musicxml, note, percussion,
                     pitch, stream, tempo)

from command_line import one_line, replacing

TICKS_PER_QUARTER = 10_080  # divides by 64, 3, 5 and 7: every note value and common tuplet is whole
STEPS_PER_QUARTER = 16
HEAD = (b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE score-partwise PUBLIC '
        b'"-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n')
# An instrument's line or space (in treble clef), notehead, and name on the staff; the kick is the lower voice.
STAFF = (("F4", "normal", "Bass Drum"), ("C5", "normal", "Snare Drum"), ("A4", "x", "Hand Clap"),
         ("G5", "circle-x", "Open Hi-Hat"), ("G5", "x", "Closed Hi-Hat"), ("D5", "normal", "Tom"),
         ("A5", "x", "Cymbal"), ("E5", "triangle", "Percussion"))
VOICES = (([1, 2, 3, 4, 5, 6, 7], "up"), ([0], "down"))  # rows, and where their stems point
# General MIDI pitches of the places on a drum staff, for unpitched notes that name no instrument.
PITCH_AT = {"D4": 44, "E4": 36, "F4": 36, "G4": 41, "A4": 43, "B4": 45, "C5": 38, "D5": 47, "E5": 48, "F5": 51,
            "G5": 42, "A5": 49, "B5": 57}


# --- reading ---

def read_parts(path):
    """Read what each part of a score strikes. Repeats are read once, as written; a tied note is one hit.

    Returns:
        (parts [(name, channel 1 to 16, hits int (3, n): ticks, pitches of General MIDI, velocities)], end in ticks,
        ticks per quarter note, meters [(tick, numerator, denominator)], tempos [(tick, milliseconds a quarter note)]).
        Percussion is on channel 10. A bar of another length than its meter's (a pickup) is a meter of its own.
    Raises:
        OSError where the file cannot be read; ValueError where music21 makes no score of it.
    """
    Path(path).open("rb").close()  # an OSError that names the file, where it cannot be read
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            text, form = _source(path)
            score = converter.parseData(text, format=form)
    except Exception as error:  # music21 raises whatever its parsers stumble on
        raise ValueError(f"music21 cannot read it ({one_line(error)[:100]})") from None
    if isinstance(score, stream.Opus):
        raise ValueError(f"expected one piece, found {len(score.scores)}")
    parts = list(score.parts) if isinstance(score, stream.Score) else [score]
    if not parts:
        raise ValueError("empty (no part)")
    tempos = [(_ticks(mark.getOffsetInHierarchy(score)), 60_000 / mark.getQuarterBPM())
              for mark in score.recurse().getElementsByClass("MetronomeMark") if mark.getQuarterBPM()]
    return ([_read_part(part) for part in parts], _ticks(score.highestTime), TICKS_PER_QUARTER, _meters(parts[0]),
            sorted(tempos))


def _source(path):
    """The text of a score and music21's name of its format."""
    suffix = Path(path).suffix.lower()
    if suffix in (".abc", ".krn"):
        return Path(path).read_text(encoding="utf-8", errors="replace"), "abc" if suffix == ".abc" else "humdrum"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
            rootfile = next(element for element in container.iter() if element.tag.endswith("rootfile"))
            xml = archive.read(rootfile.get("full-path"))
    else:
        xml = Path(path).read_bytes()
    return _with_pitches(xml), "musicxml"


def _with_pitches(xml):
    """Give unpitched notes of MusicXML the pitch of their instrument, which music21 does not read."""
    tree = ElementTree.fromstring(xml)
    pitch_of = {drum.get("id"): int(drum.findtext("midi-unpitched")) - 1  # MusicXML counts from 1
                for drum in tree.iter("midi-instrument") if drum.findtext("midi-unpitched")}
    for element in tree.iter("note"):
        drum, unpitched = element.find("instrument"), element.find("unpitched")
        if unpitched is None or drum is None or drum.get("id") not in pitch_of:
            continue
        sounding = pitch.Pitch(midi=pitch_of[drum.get("id")])
        unpitched.tag = "pitch"
        unpitched[:] = []
        for tag, value in (("step", sounding.step), ("alter", round(sounding.alter)), ("octave", sounding.octave)):
            ElementTree.SubElement(unpitched, tag).text = str(value)
    return ElementTree.tostring(tree, encoding="unicode")


def _ticks(quarters):
    return round(Fraction(quarters) * TICKS_PER_QUARTER)


def _read_part(part):
    """Returns (name, channel 1 to 16, hits int (3, n)) of a part."""
    hits = []
    unpitched = bool(part.recurse().getElementsByClass(clef.PercussionClef))
    for event in part.flatten().notes:
        if isinstance(event, harmony.Harmony):
            continue  # a chord symbol: nothing sounds
        for sound in getattr(event, "notes", (event,)):
            if sound.tie is not None and sound.tie.type != "start":
                continue
            pitched = hasattr(sound, "pitch")
            unpitched |= not pitched
            volume = sound.volume if sound.volume.velocity is not None else event.volume
            velocity = volume.velocity if volume.velocity is not None else round(127 * event.volume.realized)
            number = sound.pitch.midi if pitched else _drum_pitch(sound)
            hits.append((_ticks(event.offset), min(max(number, 0), 127), min(max(velocity, 1), 127)))
    player = part.getInstrument(returnDefault=False)
    unpitched |= isinstance(player, instrument.UnpitchedPercussion)
    channel = 10 if unpitched else ((player and player.midiChannel) or 0) + 1
    name = " ".join(str(text) for text in (part.partName, player and player.instrumentName) if text)
    return name, channel, np.array(hits, int).reshape(-1, 3).T


def _drum_pitch(sound):
    """The General MIDI pitch of an unpitched note: of its instrument, else of its place on the staff."""
    number = getattr(sound.storedInstrument, "percMapPitch", None)
    return number if number is not None else PITCH_AT.get(f"{sound.displayStep}{sound.displayOctave}", 0)


def _meters(part):
    """The meter of each bar of a part, [(tick, numerator, denominator)]."""
    measures = list(part.getElementsByClass("Measure"))
    if not measures:
        return [(_ticks(change.offset), change.numerator, change.denominator)
                for change in part.recurse().getElementsByClass("TimeSignature")]
    meters, current = [], (4, 4)
    for measure, following in zip(measures, measures[1:] + [None]):
        if measure.timeSignature is not None:
            current = (measure.timeSignature.numerator, measure.timeSignature.denominator)
        whole = Fraction(*current)
        length = whole if following is None else Fraction(following.offset - measure.offset) / 4
        bar = current if length == whole else (length.numerator, length.denominator)
        if length:
            meters.append((_ticks(measure.offset), *bar))
    return meters


# --- writing ---

def write_staff(bars, path, pitches, bpm=120, title=None):
    """Write bars as a percussion staff: hands with stems up, kick with stems down, rests merged within the beat.

    Args:
        bars: uint8 (n, 8, 64), velocities 0 to 127.
        path: a MusicXML file (.musicxml or .xml), written whole or not at all.
        pitches: the General MIDI pitch of each row.
        bpm: quarter notes a minute.
        title: of the score; the file's name where it is None.
    """
    path = Path(path)
    if path.suffix.lower() not in (".musicxml", ".xml"):
        raise ValueError(f"{path}: expected a name that ends in .musicxml or .xml")
    part = stream.Part()
    part.partName = "Drums"
    for number, bar in enumerate(bars, start=1):
        measure = stream.Measure(number=number)
        if number == 1:
            measure.append([clef.PercussionClef(), meter.TimeSignature("4/4"), tempo.MetronomeMark(number=bpm)])
        sounding = [voice for voice in VOICES if bar[voice[0]].any()] or VOICES[:1]
        for identity, (rows, stem) in enumerate(sounding, start=1):
            voice = stream.Voice(id=str(identity))
            for start, steps, struck in _note_values(bar, rows):
                voice.insert(start / STEPS_PER_QUARTER, _event(steps, struck, stem))
            measure.insert(0, voice)
        part.append(measure)
    part.makeBeams(inPlace=True)
    score = stream.Score([part])
    score.metadata = metadata.Metadata(title=title or path.stem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xml = musicxml.m21ToXml.GeneralObjectExporter(score).parse()
    xml = _with_sounds(xml, bars, pitches)
    with replacing(path) as temporary:
        temporary.write_bytes(xml)


def _with_sounds(xml, bars, pitches):
    """Add to music21's MusicXML what it leaves out: the instrument and the velocity of every note, chords' too."""
    tree = ElementTree.fromstring(xml)
    score_part, part = tree.find("part-list/score-part"), tree.find("part")
    score_part.set("id", "P1")
    part.set("id", "P1")
    for element in ("score-instrument", "midi-instrument"):
        for (_, _, name), number in zip(STAFF, pitches):
            drum = ElementTree.SubElement(score_part, element, id=f"P1-I{number}")
            if element == "score-instrument":
                ElementTree.SubElement(drum, "instrument-name").text = name
            else:
                ElementTree.SubElement(drum, "midi-channel").text = "10"
                ElementTree.SubElement(drum, "midi-unpitched").text = str(number + 1)  # MusicXML counts from 1
    row_of = {(place, notehead): row for row, (place, notehead, _) in enumerate(STAFF)}
    divisions = int(part.findtext("measure/attributes/divisions"))
    for bar, measure in zip(bars, part.findall("measure")):
        now = start = 0
        for event in measure:
            length = int(event.findtext("duration", "0"))
            if event.tag == "backup":
                now -= length
            elif event.tag == "note":
                if event.find("chord") is None:
                    start, now = now, now + length
                if event.find("unpitched") is not None:
                    place = event.findtext("unpitched/display-step") + event.findtext("unpitched/display-octave")
                    row = row_of[place, event.findtext("notehead", "normal")]
                    event.set("dynamics", f"{bar[row, start * STEPS_PER_QUARTER // divisions] / 0.9:.2f}")  # 100 is 90
                    drum = ElementTree.Element("instrument", id=f"P1-I{pitches[row]}")
                    event.insert(list(event).index(event.find("duration")) + 1, drum)
    ElementTree.indent(tree)
    return HEAD + ElementTree.tostring(tree)


def _note_values(bar, rows):
    """Fill a bar with notes and rests, for one voice. Yields (start step, length in steps, rows struck; none a rest).

    A note lasts to the next one in its beat, as far as one note value goes; silent beats become the longest rests.
    """
    struck_at = {}
    for row, step in zip(*np.nonzero(bar[rows])):
        struck_at.setdefault(int(step), []).append(rows[row])
    beats = [range(beat, beat + STEPS_PER_QUARTER) for beat in range(0, bar.shape[1], STEPS_PER_QUARTER)]
    sounding = [any(step in struck_at for step in beat) for beat in beats]
    if not any(sounding):
        yield 0, bar.shape[1], []
        return
    silent_until = 0
    for index, beat in enumerate(beats):
        if not sounding[index]:
            if beat.start >= silent_until:
                half = index % 2 == 0 and not sounding[index + 1]  # beats 1 and 2, or 3 and 4
                silent_until = beat.start + STEPS_PER_QUARTER * (2 if half else 1)
                yield beat.start, silent_until - beat.start, []
            continue
        onsets = [step for step in beat if step in struck_at]
        pieces = [(beat.start, onsets[0], [])] + [
            (start, stop, struck_at[start]) for start, stop in zip(onsets, onsets[1:] + [beat.stop])]
        for start, stop, struck in pieces:
            while start < stop:
                steps = _longest_value(start - beat.start, stop - start, dotted=bool(struck))
                yield start, steps, struck
                start, struck = start + steps, []


def _longest_value(position, longest, dotted):
    """The longest note value of at most `longest` steps that may start here: on a multiple of itself, undotted."""
    undotted = {16: 16, 12: 8, 8: 8, 6: 4, 4: 4, 3: 2, 2: 2, 1: 1}
    return next(value for value, grid in undotted.items()
                if value <= longest and position % grid == 0 and (dotted or value == grid))


def _event(steps, struck, stem):
    """A rest, a note, or several notes at once, `steps` long."""
    length = duration.Duration(steps / STEPS_PER_QUARTER)
    if not struck:
        return note.Rest(duration=length)
    sounds = []
    for row in struck:
        place, notehead, _ = STAFF[row]
        sound = note.Unpitched(displayName=place, duration=length)
        sound.notehead, sound.stemDirection = notehead, stem
        sounds.append(sound)
    if len(sounds) == 1:
        return sounds[0]
    chord = percussion.PercussionChord(sounds, duration=length)
    chord.stemDirection = stem
    return chord
