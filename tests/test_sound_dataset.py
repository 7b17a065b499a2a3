"""Folders of drum sounds: which class a name means, what is left out and why, and sounds of one length."""

import numpy as np
import pytest
import soundfile

from formats.activation_matrix import INSTRUMENTS
from formats.audio import SUFFIXES, fit_length
from sounds.dataset import CLASS_NAMES, ROW_OF_NAME, class_from_name, find_one_shots, load_one_shots, machine_of


@pytest.mark.parametrize("name, row", [
    ("Kick", "Kick"), ("BD", "Kick"), ("01 kicks", "Kick"), ("Bass Drums", "Kick"), ("bass_drum", "Kick"),
    ("sd", "Snare"), ("SnareDrum", "Snare"), ("Hand-Claps", "Clap"), ("cp", "Clap"), ("OpenHat", "HHO"),
    ("oh", "HHO"), ("Hi-Hat Open", "HHO"), ("hihats", "HHC"), ("Closed Hats", "HHC"), ("hh", "HHC"), ("CH", "HHC"),
    ("Toms", "Tom"), ("LT", "Tom"), ("Crash", "Cymb"), ("Cymbals", "Cymb"), ("ride", "Cymb"), ("Percussion", "Percu"),
    ("cowbells", "Percu"), ("RimShots", "Percu"), ("rs", "Percu"), ("Maracas", "Percu"), ("808 BD", "Kick")])
def test_the_usual_names_of_a_class_are_understood(name, row):
    assert class_from_name(name) == INSTRUMENTS.index(row)


@pytest.mark.parametrize("name", ["Loops", "Samples", "kit", "", "2019", "FX", "Basslines", "Chords"])
def test_other_names_are_not_guessed_at(name):
    assert class_from_name(name) is None


def test_the_table_gives_each_name_one_row_and_every_row_its_own():
    assert all(class_from_name(name) == row for row, name in enumerate(INSTRUMENTS))
    assert len(ROW_OF_NAME) == sum(map(len, CLASS_NAMES.values()))


def write(path, samples, rate=44100):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)


@pytest.fixture
def collection(tmp_path):
    """Four good sounds, and one file of each kind that cannot be used."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 44100)
    write(tmp_path / "BD" / "TR_1.wav", noise[:100])
    write(tmp_path / "BD" / "Loops" / "TR_2.wav", noise)  # the nearest folder that has a class counts
    write(tmp_path / "kicks" / "snares" / "x_1.flac", noise[:22050], 22050)
    write(tmp_path / "Open Hats" / "y.aiff", np.stack([noise, noise], axis=1))
    write(tmp_path / "Textures" / "z.wav", noise)
    write(tmp_path / "loose.wav", noise)
    write(tmp_path / "BD" / "empty.wav", noise[:0])
    (tmp_path / "BD" / "broken.wav").write_bytes(b"RIFF....")
    (tmp_path / "BD" / "readme.txt").write_text("hello")
    (tmp_path / "BD" / ".hidden.wav").write_bytes(b"")
    return tmp_path


def test_every_file_is_either_loaded_or_listed_with_its_reason(collection):
    sounds, labels, paths, left_out = load_one_shots(collection, 22050, 0.5)
    assert [path.relative_to(collection).as_posix() for path in paths] == [
        "BD/Loops/TR_2.wav", "BD/TR_1.wav", "Open Hats/y.aiff", "kicks/snares/x_1.flac"]
    assert labels.tolist() == [0, 0, 3, 1] and labels.dtype == np.uint8
    assert sounds.shape == (4, 11025) and sounds.dtype == np.float32
    assert len(left_out) == 5 and not any("\n" in line for line in left_out)
    for name in ("z.wav", "loose.wav", "empty.wav", "broken.wav", "readme.txt"):
        assert sum(name in line for line in left_out) == 1


def test_a_sound_keeps_its_samples_and_is_padded_or_faded():
    sound = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
    padded, cut = fit_length(sound, 1500), fit_length(sound, 500)
    np.testing.assert_array_equal(padded[:1000], sound)
    assert not padded[1000:].any() and len(padded) == 1500
    np.testing.assert_array_equal(cut[:450], sound[:450])
    assert len(cut) == 500 and cut[-1] == 0 and np.all(np.abs(cut) <= np.abs(sound[:500]))
    np.testing.assert_array_equal(fit_length(sound, 1000), sound)
    assert fit_length(sound, 1).shape == (1,)


def test_a_stereo_sound_is_mixed_and_a_slow_one_resampled(collection):
    sounds, _, paths, _ = load_one_shots(collection, 44100, 1.0)
    names = [path.stem for path in paths]
    original = soundfile.read(collection / "BD" / "Loops" / "TR_2.wav", dtype="float32")[0]
    np.testing.assert_array_equal(sounds[names.index("TR_2")], original)
    np.testing.assert_allclose(sounds[names.index("y")], original, atol=1e-4)
    resampled = sounds[names.index("x_1")]
    assert np.abs(resampled).max() > 0.3 and abs(int(np.flatnonzero(resampled)[-1]) - 44100) < 200


@pytest.mark.parametrize("fault", ["missing", "file", "no class", "unreadable"])
def test_a_folder_without_sounds_is_refused_in_one_line(fault, tmp_path):
    folder = tmp_path / "folder"
    if fault == "file":
        folder.write_text("x")
    elif fault == "no class":
        write(folder / "Textures" / "z.wav", np.zeros(10))
    elif fault == "unreadable":
        write(folder / "Kick" / "z.wav", np.zeros(0))
    with pytest.raises((ValueError, OSError)) as error:
        load_one_shots(folder, 22050, 0.5)
    assert "folder" in str(error.value) and "\n" not in str(error.value)


def test_machines_are_named_by_the_file():
    assert machine_of("Kick/RolandTR808_bd_00") == "RolandTR808" and machine_of("HHC/plain") == "plain"


def test_our_examples_are_a_data_set(root):
    paths, labels, left_out = find_one_shots(root / "dataset_audio")
    examples = [path for path in paths if "machine00" in path.name]
    assert {INSTRUMENTS[row] for row in labels} == set(INSTRUMENTS) and len(examples) >= 8
    assert len(left_out) >= 8 and all("kit" in line for line in left_out)  # the default kit is no class


def test_every_real_drum_machine_is_understood(shared_data):
    paths, labels, left_out = find_one_shots(shared_data / "drum_machines")
    assert len(paths) == 2074 and not left_out and set(labels) == set(range(8))
    assert len({machine_of(path.stem) for path in paths}) == 58
    assert all(path.suffix in SUFFIXES for path in paths)
