"""MIDI as it is found: 834 drum files of the web, and the Groove MIDI Dataset. Skipped where these are not there."""

import mido
import numpy as np
import pytest

import Midi_To_Activation_Matrix as midi
from formats import midi_file
from patterns.dataset import groove_split


@pytest.fixture(scope="module")
def wild(shared_data):
    folder = shared_data / "wild_midi"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder


def parts_of(file):
    """All parts of a MIDI file in which something is struck."""
    return [part for part in midi_file.read_parts(file)[0] if part[2].size]


def test_every_wild_file_is_kept_or_named_with_its_reason(wild, tmp_path):
    report = midi.convert_folder(wild, tmp_path)
    files = [path for path in wild.rglob("*") if path.suffix.lower() == ".mid"]
    written = list(tmp_path.rglob("*.npy"))
    assert report["files"] == len(files) == len(written) + len(report["skipped"])
    assert all(reason.startswith(("no bar in 4/4 (", "no drums (")) for reason in report["skipped"].values())
    assert report["converted"] == 797 and report["bars"] == sum(len(np.load(path)) for path in written) == 9306
    assert report["largest_ms"] < 60_000 / 20 / 32  # half a step, at any tempo above 20 bpm


def test_mido_finds_the_same_hits_ends_meters_and_tempos(wild):
    for file in sorted(wild.iterdir()):
        parts, end, ticks_per_quarter, meters, tempos = midi_file.read_parts(file)
        found = [(channel, *hit) for _, channel, hits in parts for hit in hits.T.tolist()]
        other, events = mido.MidiFile(file), []
        for track in other.tracks:
            events += zip(np.cumsum([message.time for message in track]).tolist(), track)
        expected = [(message.channel + 1, tick, message.note, message.velocity) for tick, message in events
                    if message.type == "note_on" and message.velocity]
        assert sorted(found) == sorted(expected), file
        assert (end, ticks_per_quarter) == (max(tick for tick, _ in events), other.ticks_per_beat), file
        assert sorted(meters) == sorted((tick, message.numerator, message.denominator) for tick, message in events
                                        if message.type == "time_signature"), file
        assert sorted(tempos) == sorted((tick, message.tempo / 1000) for tick, message in events
                                        if message.type == "set_tempo"), file


def test_no_melody_of_the_wild_files_is_taken_for_drums_and_most_drums_are_found_by_their_use(wild):
    parts = [(hits, channel == 10) for file in sorted(wild.iterdir()) for _, channel, hits in parts_of(file)]
    melodies = [hits for hits, is_drums in parts if not is_drums]
    drums = [hits for hits, is_drums in parts if is_drums and len(np.unique(hits[1])) > 2]
    assert len(melodies) > 400 and len(drums) > 700
    assert not any(midi._uses_drums(hits) for hits in melodies)
    assert np.mean([midi._uses_drums(hits) for hits in drums]) > 0.4


def test_the_groove_midi_dataset_gives_the_published_numbers_of_bars(shared_data):
    if not (shared_data / "groove" / "info.csv").is_file():
        pytest.skip(f"needs {shared_data / 'groove'}")
    splits = groove_split(shared_data / "groove")
    assert {split: len(bars) for split, (bars, _, _) in splits.items() if split != "test"} == {
        "train": 17_291, "validation": 2_161}
    for bars, names, styles in splits.values():
        assert len(bars) == len(names) == len(styles)
        assert (np.count_nonzero(bars, axis=(1, 2)) >= 2).all()
        assert {"funk", "rock", "jazz"} <= set(styles)
