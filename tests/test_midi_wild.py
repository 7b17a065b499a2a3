"""MIDI as it is found: 834 drum files of the web, and the Groove MIDI Dataset. Skipped where these are not there."""

import numpy as np
import pytest

import bar_data
import Midi_To_Activation_Matrix as midi


@pytest.fixture(scope="module")
def wild(shared_data):
    folder = shared_data / "wild_midi"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder


def parts_of(file):
    """All parts of a MIDI file, as the slower reader gives them."""
    tracks = midi._split_into_tracks(file.read_bytes())[1]
    return [part for track in tracks for part in midi._read_track(track) if part[2].size]


def test_every_wild_file_is_kept_or_named_with_its_reason(wild, tmp_path):
    report = midi.convert_folder(wild, tmp_path)
    files = [path for path in wild.rglob("*") if path.suffix.lower() == ".mid"]
    written = list(tmp_path.rglob("*.npy"))
    assert report["files"] == len(files) == len(written) + len(report["skipped"])
    assert all(reason.startswith(("no bar in 4/4 (", "no drums (")) for reason in report["skipped"].values())
    assert report["converted"] == 797 and report["bars"] == sum(len(np.load(path)) for path in written) == 9308
    assert report["largest_ms"] < 60_000 / 20 / 32  # half a step, at any tempo above 20 bpm


def test_the_fast_and_the_complete_reader_find_the_same_hits(wild):
    compared = 0
    for file in sorted(wild.iterdir()):
        drums = [hits for _, channel, hits in parts_of(file) if channel == 10]
        if drums:
            found = np.stack(midi._read_midi(file.read_bytes(), None)[0]).astype(int)
            expected = np.concatenate(drums, axis=1)
            assert np.array_equal(found[:, np.lexsort(found)], expected[:, np.lexsort(expected)]), file
            compared += 1
    assert compared > 800


def test_no_melody_of_the_wild_files_is_taken_for_drums_and_most_drums_are_known_by_their_use(wild):
    parts = [(hits, channel == 10) for file in sorted(wild.iterdir()) for _, channel, hits in parts_of(file)]
    melodies = [hits for hits, is_drums in parts if not is_drums]
    drums = [hits for hits, is_drums in parts if is_drums and len(np.unique(hits[1])) > 2]
    assert len(melodies) > 400 and len(drums) > 700
    assert not any(midi._uses_drums(hits) for hits in melodies)
    assert np.mean([midi._uses_drums(hits) for hits in drums]) > 0.4


def test_the_groove_midi_dataset_gives_the_published_numbers_of_bars(shared_data):
    if not (shared_data / "groove" / "info.csv").is_file():
        pytest.skip(f"needs {shared_data / 'groove'}")
    splits = bar_data.groove_split(shared_data / "groove")
    assert {split: len(bars) for split, (bars, _, _) in splits.items() if split != "test"} == {
        "train": 17_291, "validation": 2_161}
    for bars, names, styles in splits.values():
        assert len(bars) == len(names) == len(styles)
        assert (np.count_nonzero(bars, axis=(1, 2)) >= 2).all()
        assert {"funk", "rock", "jazz"} <= set(styles)
