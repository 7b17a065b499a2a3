"""The command: sounds in and out, folders converted whole or not at all, what is recorded, what is left out and why."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import audio2nsgt
from audio2nsgt import block_rms, load_transform, load_transforms, main, make_transform
from command_line import find_files
from formats.audio import fit_length, load_audio, save_audio

FAST = ["--bins", "6", "--min_freq", "100", "--max_freq", "3900", "-r", "8000"]


def noise(samples, seed=0):
    return (np.random.default_rng(seed).standard_normal(samples) * 0.1).clip(-1, 1).astype(np.float32)


@pytest.fixture
def sounds(tmp_path):
    """A folder of sounds of several formats, rates and channel counts, two levels deep."""
    folder = tmp_path / "sounds"
    (folder / "Kick").mkdir(parents=True)
    soundfile.write(folder / "one.wav", noise(3000), 8000)
    soundfile.write(folder / "Kick" / "two.FLAC", np.stack([noise(9000), noise(9000, 1)], 1), 22050, format="FLAC")
    soundfile.write(folder / "Kick" / "three.aiff", noise(2500, 2), 8000)
    soundfile.write(folder / "Kick" / "four.ogg", noise(4000, 3), 16000)
    (folder / "notes.txt").write_text("no sound")
    return folder


def test_saved_sounds_come_back(tmp_path):
    samples = noise(1000)
    for suffix, tolerance in (("wav", 2e-7), ("flac", 2e-7), ("aif", 2e-7), ("AIFF", 2e-7)):
        save_audio(tmp_path / f"new/sound.{suffix}", samples, 22050)
        back, rate = load_audio(tmp_path / f"new/sound.{suffix}")
        assert rate == 22050 and back.dtype == np.float32
        np.testing.assert_allclose(back, samples, atol=tolerance)
    save_audio(tmp_path / "loud.wav", 3 * np.ones(10), 8000, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(tmp_path / "loud.wav")[0], 3)


def test_channels_are_mixed_and_rates_converted(tmp_path):
    time = np.arange(4410) / 44100
    left, right = np.sin(2 * np.pi * 1000 * time), np.sin(2 * np.pi * 2000 * time)
    soundfile.write(tmp_path / "stereo.wav", 0.5 * np.stack([left, right], 1), 44100, subtype="FLOAT")
    samples, rate = load_audio(tmp_path / "stereo.wav", 22050)
    assert (rate, len(samples)) == (22050, 2205)
    half = np.arange(2205) / 22050
    wanted = 0.25 * (np.sin(2 * np.pi * 1000 * half) + np.sin(2 * np.pi * 2000 * half))
    np.testing.assert_allclose(samples[200:-200], wanted[200:-200], atol=1e-3)


@pytest.mark.parametrize("write, words", [
    (lambda path: path.write_bytes(b""), "cannot be read"),
    (lambda path: path.write_bytes(b"RIFF nonsense"), "cannot be read"),
    (lambda path: soundfile.write(path, np.zeros(0), 8000), "0 samples"),
    (lambda path: soundfile.write(path, np.array([0.1, np.nan, 0.2]), 8000, subtype="FLOAT"), "finite"),
])
def test_damaged_sounds_are_named_with_the_reason(tmp_path, write, words):
    path = tmp_path / "bad.wav"
    write(path)
    with pytest.raises(ValueError, match=words) as error:
        load_audio(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("samples, name, words", [
    ([0.5, np.inf], "a.wav", "finite"), ([0.5, 1.01], "a.wav", "1.01"), ([0.5], "a.xyz", "ends in"),
])
def test_what_cannot_be_saved_leaves_no_file(tmp_path, samples, name, words):
    with pytest.raises(ValueError, match=words):
        save_audio(tmp_path / name, samples, 8000)
    assert not list(tmp_path.iterdir())


def test_a_folder_becomes_its_mirror_and_inverts(sounds, tmp_path, capsys):
    result = main(["-i", str(sounds), "-o", str(tmp_path / "out"), "-d", "1", "--check", *FAST])
    assert result["converted"] == 4 and not result["failed"]
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")) == [
        "Kick/four.npy", "Kick/three.npy", "Kick/two.npy", "nsgt.json", "one.npy"]
    assert len(result["errors"]) == 4 and max(result["errors"].values()) < -110
    coefficients, settings, samples = load_transform(tmp_path / "out" / "one.npy")
    transform = make_transform(settings, samples)
    assert coefficients.dtype == np.complex64
    assert coefficients.shape == (transform.frames[0], len(transform.frequencies))
    back = transform.backward(coefficients.T).numpy()
    np.testing.assert_allclose(back, load_audio(sounds / "one.wav")[0], atol=1e-5)
    assert "4 converted" in capsys.readouterr().out


def test_magnitudes_are_the_root_mean_square_of_blocks(sounds, tmp_path):
    for d in ("1", "7"):
        main(["-i", str(sounds), "-o", str(tmp_path / d), "-d", d, *FAST])
    whole, blocks = (load_transform(tmp_path / d / "Kick" / "two.npy")[0] for d in ("1", "7"))
    assert blocks.dtype == np.float32 and len(blocks) == -(-len(whole) // 7)
    for block in range(len(blocks)):
        wanted = np.sqrt(np.mean(np.abs(whole[7 * block:7 * block + 7]) ** 2, axis=0))
        np.testing.assert_allclose(blocks[block], wanted, rtol=1e-5)
    assert block_rms(np.ones((2, 9)), 4).tolist() == [[1, 1, 1]] * 2


def test_a_second_run_does_only_what_is_missing_or_stale(sounds, tmp_path):
    arguments = ["-i", str(sounds), "-o", str(tmp_path / "out"), "-d", "1", *FAST]
    assert main(arguments)["converted"] == 4
    again = main(arguments)
    assert (again["converted"], again["skipped"]) == (0, 4)
    (tmp_path / "out" / "Kick" / "two.npy").unlink()
    soundfile.write(sounds / "one.wav", noise(2000), 8000)
    soundfile.write(sounds / "new.wav", noise(2000), 8000)
    assert main(arguments)["converted"] == 3
    assert load_transform(tmp_path / "out" / "one.npy")[2] == 2000
    assert main([*arguments[:-1], "8001"])["converted"] == 5  # another rate: all are stale


def test_other_parameters_do_not_mix_in_one_folder(sounds, tmp_path):
    main(["-i", str(sounds), "-o", str(tmp_path / "out"), "-d", "1", *FAST])
    with pytest.raises(ValueError, match="another output folder"):
        main(["-i", str(sounds / "one.wav"), "-o", str(tmp_path / "out"), "-d", "2", *FAST])


def test_bad_files_are_listed_and_the_rest_is_done(sounds, tmp_path, capsys):
    (sounds / "bad.wav").write_bytes(b"no sound at all")
    soundfile.write(sounds / "three.wav", noise(3), 8000)
    result = main(["-i", str(sounds), "-o", str(tmp_path / "out"), "-d", "1", *FAST])
    assert result["converted"] == 4 and len(result["failed"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert any("bad.wav" in line and "cannot be read" in line for line in lines)
    assert any("three.wav" in line and "4 samples" in line and "3" in line for line in lines)
    assert main(["-i", str(sounds / "bad.wav"), "-o", str(tmp_path / "none"), *FAST]) == 1
    assert not (tmp_path / "none").exists()


def test_workers_write_the_same(sounds, tmp_path):
    for workers in ("1", "2"):
        main(["-i", str(sounds), "-o", str(tmp_path / workers), "-d", "1", "--workers", workers, *FAST])
    for path in (tmp_path / "1").rglob("*.npy"):
        np.testing.assert_array_equal(np.load(path), np.load(tmp_path / "2" / path.relative_to(tmp_path / "1")))


def test_seconds_pads_with_silence_and_cuts_with_a_fade(sounds, tmp_path):
    main(["-i", str(sounds), "-o", str(tmp_path / "out"), "--seconds", "0.25", *FAST])
    coefficients, names, settings = load_transforms(tmp_path / "out")
    assert names == ["Kick/four", "Kick/three", "Kick/two", "one"] and settings["seconds"] == 0.25
    assert len({one.shape for one in coefficients}) == 1
    np.testing.assert_array_equal(fit_length(np.ones(3), 5), [1, 1, 1, 0, 0])
    cut = fit_length(np.ones(100), 50)
    assert (cut[:46] == 1).all() and (np.diff(cut[45:]) < 0).all() and abs(cut[-1]) < 1e-12


def test_a_folder_is_read_with_its_record_parsed_once(sounds, tmp_path, monkeypatch):
    main(["-i", str(sounds), "-o", str(tmp_path / "out"), *FAST])
    reads, real = [], audio2nsgt.read_index
    monkeypatch.setattr(audio2nsgt, "read_index", lambda path: reads.append(path) or real(path))
    coefficients, names, _ = load_transforms(tmp_path / "out")
    assert len(coefficients) == len(names) == 4 and reads == [tmp_path / "out" / "nsgt.json"]
    np.testing.assert_array_equal(coefficients[0], load_transform(tmp_path / "out" / "Kick" / "four.npy")[0])


def test_what_dask_workers_are_sent_is_all_that_they_need(tmp_path):
    """The job is imported from the zip alone, in a folder where the project is not."""
    code = f"import sys; sys.path.insert(0, {audio2nsgt._zip_of_modules(tmp_path)!r}); import audio2nsgt; " \
           "print(audio2nsgt._job.__module__, audio2nsgt.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("audio2nsgt ") and ".zip" in done.stdout


def test_sounds_that_differ_in_suffix_alone_keep_it(tmp_path):
    for name in ("a.wav", "a.flac", "b.wav"):
        soundfile.write(tmp_path / name, noise(100), 8000)
    assert list(find_files(tmp_path, (".wav", ".flac"))) == ["a.flac.npy", "a.wav.npy", "b.npy"]


def test_silence_is_converted(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(2000), 8000)
    result = main(["-i", str(tmp_path), "-o", str(tmp_path / "out"), "-d", "1", "--check", *FAST])
    assert list(result["errors"].values()) == [-np.inf]
    assert not load_transform(tmp_path / "out" / "silence.npy")[0].any()


@pytest.mark.parametrize("damage, words", [
    (lambda folder: (folder / "nsgt.json").write_text("{}"), "nsgt.json"),
    (lambda folder: (folder / "nsgt.json").unlink(), "nsgt.json"),
    (lambda folder: (folder / "one.npy").write_bytes(b"junk"), "one.npy"),
    (lambda folder: np.save(folder / "one.npy", np.zeros((3, 4), np.int16)), "int16"),
])
def test_damaged_coefficients_are_named(sounds, tmp_path, damage, words):
    main(["-i", str(sounds / "one.wav"), "-o", str(tmp_path / "out"), *FAST])
    damage(tmp_path / "out")
    with pytest.raises(ValueError, match=words):
        load_transform(tmp_path / "out" / "one.npy")


@pytest.mark.parametrize("arguments, words", [
    (["-i", "missing_folder"], "missing_folder"), (["-i", "."], "expected sounds"), (["--max_freq", "5000"], "4000"),
    (["-d", "0"], "at least 1"), (["--bins", "x"], "whole number"),
    (["--min_freq", "5000", "--max_freq", "3000"], "3000"),
])
def test_the_command_ends_in_one_line(root, tmp_path, arguments, words):
    soundfile.write(tmp_path / "s.wav", noise(900), 8000)
    empty = tmp_path / "empty"
    empty.mkdir()
    if "-i" not in arguments:
        arguments = ["-i", str(tmp_path / "s.wav"), *arguments]
    command = [sys.executable, root / "audio2nsgt.py", "-r", "8000", "-o", str(tmp_path / "out"), *arguments]
    done = subprocess.run(command, cwd=empty, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and words in done.stderr


def test_the_record_is_whole_where_the_job_is_stopped(sounds, tmp_path, monkeypatch):
    """A file that fails to be written leaves no half of it and no mention."""
    real = np.save

    def save(path, array):
        real(path, array)
        if "three" in str(path):
            raise OSError("disk full")

    monkeypatch.setattr(audio2nsgt.np, "save", save)
    result = main(["-i", str(sounds), "-o", str(tmp_path / "out"), "-d", "1", *FAST])
    assert result["converted"] == 3 and "disk full" in str(result["failed"])
    assert not list((tmp_path / "out").rglob("*three*"))
    assert "Kick/three.npy" not in json.loads((tmp_path / "out" / "nsgt.json").read_text())["files"]


def test_a_stopped_job_keeps_what_it_has_done(sounds, tmp_path, monkeypatch):
    real = np.save

    def save(path, array):
        if "two" in str(path):
            raise KeyboardInterrupt
        real(path, array)

    monkeypatch.setattr(audio2nsgt.np, "save", save)
    arguments = ["-i", str(sounds), "-o", str(tmp_path / "out"), "-d", "1", *FAST]
    with pytest.raises(KeyboardInterrupt):
        main(arguments)
    monkeypatch.setattr(audio2nsgt.np, "save", real)
    again = main(arguments)
    assert (again["converted"], again["skipped"]) == (2, 2)
