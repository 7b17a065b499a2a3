"""Folders of drum sounds: which class a name means, what is left out and why, folds of machines, level, duration."""

import numpy as np
import pytest
import soundfile

from formats.activation_matrix import INSTRUMENTS
from formats.audio import SUFFIXES, fit_length
from sounds.dataset import (CLASS_NAMES, FOLDS, ROW_OF_NAME, class_from_name, duration_of, find_one_shots, level_db,
                            load_one_shots, machine_of, split_by_machine)


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
    assert [len(sound) for sound in sounds] == [11025, 50, 11025, 11025]
    assert all(sound.dtype == np.float32 for sound in sounds)
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

MACHINES = 58  # as in the collection that our figures are of


def names_of(counts):
    return [f"Kick/m{machine:02d}_bd_{i}" for machine, count in enumerate(counts) for i in range(count)]


def machines_on(names, sides):
    return {side: {machine_of(names[i]) for i in index} for side, index in sides.items()}


@pytest.mark.parametrize("seed", range(3))
def test_over_the_folds_every_machine_is_on_the_test_side_once(seed):
    counts = np.random.default_rng(seed).integers(3, 80, MACHINES)
    names, tested = names_of(counts), []
    for fold in range(FOLDS):
        sides = split_by_machine(names, fold)
        assert sorted(np.concatenate(list(sides.values()))) == list(range(len(names)))
        machines = machines_on(names, sides)
        assert sum(map(len, machines.values())) == MACHINES == len(set.union(*machines.values()))
        assert len(machines["test"]) in (MACHINES // FOLDS, MACHINES // FOLDS + 1)
        assert len(sides["test"]) == pytest.approx(len(names) / FOLDS, rel=0.12)
        rest = len(names) - len(sides["test"])
        assert 0.05 * rest < len(sides["validation"]) <= 0.1 * rest
        tested += machines["test"]
        again = split_by_machine(names, fold)
        assert all(np.array_equal(sides[side], again[side]) for side in sides)
    assert len(tested) == MACHINES == len(set(tested))


def test_a_machine_does_not_depend_on_where_its_sounds_stand():
    names = names_of([5, 9, 3, 7, 4, 6, 8, 2, 5, 5])
    order = np.random.default_rng(0).permutation(len(names))
    shuffled = [names[i] for i in order]
    for fold in range(FOLDS):
        one, other = machines_on(names, split_by_machine(names, fold)), machines_on(
            shuffled, split_by_machine(shuffled, fold))
        assert one == other


def test_a_giant_machine_never_validates_alone():
    names = names_of([1000, *[10] * 9])
    for fold in range(FOLDS):
        machines = machines_on(names, split_by_machine(names, fold))
        assert "m00" not in machines["validation"] and machines["validation"] and machines["train"]
    assert sum("m00" in machines_on(names, split_by_machine(names, fold))["test"] for fold in range(FOLDS)) == 1


@pytest.mark.parametrize("machines", [3, 4])
def test_of_few_machines_there_are_as_many_folds(machines):
    names, tested = names_of([4] * machines), set()
    for fold in range(machines):
        parts = machines_on(names, split_by_machine(names, fold))
        assert [len(parts[side]) for side in ("train", "validation", "test")] == [machines - 2, 1, 1]
        tested |= parts["test"]
    assert len(tested) == machines
    with pytest.raises(ValueError, match=f"fold: expected 0 to {machines - 1}, found {machines}"):
        split_by_machine(names, machines)


def test_two_machines_cannot_be_split():
    with pytest.raises(ValueError, match="at least 3 machines, found 2"):
        split_by_machine(["a_1", "b_1", "b_2"])


# Levels and durations.

def test_level_is_the_rms_of_the_loudest_20_ms():
    sound = np.zeros(2000)
    sound[500:660] = 0.1
    assert level_db(sound, 8000) == pytest.approx(-20)
    assert level_db(sound[500:510], 8000) == pytest.approx(-20), "of a shorter sound, of all of it"
    assert level_db(np.zeros(10), 8000) <= -200


@pytest.mark.parametrize("count", [1, 3, 9, 39, 40, 41])
def test_sounds_of_a_few_samples_have_a_level_and_a_duration(count):
    sound = np.ones(count, np.float32)
    assert level_db(sound, 8000) == pytest.approx(0, abs=1e-6) and duration_of(sound, 8000) == count


def test_the_duration_is_where_the_sound_falls_below_40_db():
    sound = np.exp(-np.arange(2000) / 100.0) * np.sign(np.sin(np.arange(2000)))
    assert duration_of(sound, 8000) == pytest.approx(100 * np.log(100), abs=80)


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
