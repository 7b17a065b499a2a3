"""Kits as folders: any format and rate, layers by velocity, alternates, and what is refused."""

import shutil

import numpy as np
import pytest
import soundfile

from formats.activation_matrix import INSTRUMENTS
from formats.kit import KIT, Sound, load_kit, loudest

SUFFIXES = ("wav", "flac", "aiff", "wav", "ogg", "aif", "WAV", "flac")


def write_kit(folder, peak=0.2):
    """A kit of mixed names, formats, rates and channels: row k is a sine of 200 (k + 1) Hz, 0.1 s."""
    folder.mkdir(exist_ok=True)
    for row, (name, suffix) in enumerate(zip(INSTRUMENTS, SUFFIXES)):
        rate, channels = [44100, 22050, 48000, 96000][row % 4], 1 + row % 2
        sine = peak * np.sin(2 * np.pi * 200 * (row + 1) * np.arange(rate // 10) / rate)
        path = folder / f"{[name, name.lower(), name.upper()][row % 3]}.{suffix}"
        kind = {"AIF": "AIFF"}.get(suffix.upper(), suffix.upper())
        soundfile.write(path, np.tile(sine[:, None], channels), rate, format=kind)
    return folder


@pytest.mark.parametrize("rate", [44100, 48000])
def test_a_kit_is_read_in_row_order_at_one_rate(tmp_path, rate):
    kit = load_kit(write_kit(tmp_path / "kit"), rate)
    assert len(kit) == 8
    for row, sound in enumerate(sound.samples() for sound in kit):
        assert sound.dtype == np.float32 and sound.ndim == 1
        assert abs(len(sound) - rate // 10) <= rate // 1000
        spectrum = np.abs(np.fft.rfft(sound, rate))  # one bin a Hz
        assert abs(int(spectrum.argmax()) - 200 * (row + 1)) <= 3
        assert np.abs(sound[500:2000]).max() == pytest.approx(0.2, rel=0.03)


def test_a_sound_at_the_kits_rate_is_not_touched(tmp_path):
    write_kit(tmp_path / "kit")
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 500).astype(np.float32)
    soundfile.write(tmp_path / "kit" / "Kick.wav", noise, 44100, subtype="FLOAT")
    np.testing.assert_array_equal(load_kit(tmp_path / "kit")[0].samples(), noise)


def write_sounds(folder, **sounds):
    """A kit of plain sounds, and beside them files of {name: samples}."""
    write_kit(folder)
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", np.asarray(samples), 44100, subtype="FLOAT")
    return load_kit(folder)


def test_alternates_are_taken_in_turn(tmp_path):
    one, two, three = np.random.default_rng(1).uniform(-0.1, 0.1, (3, 500)).astype(np.float32)
    kick = write_sounds(tmp_path, Kick=one, kick_2=two, KICK_3=three)[0]
    for hit, samples in enumerate((one, two, three, one, two)):
        np.testing.assert_array_equal(kick.samples(hit=hit), samples)


def test_layers_are_chosen_by_velocity_and_are_at_the_level_of_the_hardest(tmp_path):
    one, two = np.random.default_rng(1).uniform(-0.1, 0.1, (2, 2000)).astype(np.float32)
    kick = write_sounds(tmp_path, Kick=one, Kick_v040=two / 8, Kick_v100_1=one / 2, Kick_v100_2=two / 2)[0]
    assert kick.velocities == (40, 100, 127)
    for velocity, hit, shape in ((1, 0, two), (40, 1, two), (41, 0, one), (100, 1, two), (101, 1, one), (127, 0, one)):
        samples = kick.samples(velocity, hit)
        np.testing.assert_allclose(samples / samples.std(), shape / shape.std(), atol=1e-5)
        assert loudest(samples) == pytest.approx(loudest(one), rel=1e-3)


@pytest.mark.parametrize("layers, velocities", [
    ((), ()), (((np.ones(3),),), (100,)), (((np.ones(3),),), (50, 127)), (((np.ones(3),), ()), (50, 127)),
    (((np.ones((3, 2)),),), (127,)), (((np.ones(0),),), (127,)), (((np.array([np.inf]),),), (127,)),
    (((np.ones(3),), (np.ones(3),)), (127, 50))])
def test_what_is_no_sound_is_refused_by_its_name(layers, velocities):
    with pytest.raises(ValueError, match="^Snare: expected"):
        Sound("Snare", layers, velocities)


def test_a_kit_with_faults_is_refused_in_one_line(tmp_path):
    def refused(folder, *words):
        with pytest.raises((ValueError, OSError)) as error:
            load_kit(folder)
        assert "\n" not in str(error.value)
        assert all(word in str(error.value) for word in words), error.value

    refused(tmp_path / "nowhere", "nowhere")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "file")
    kit = write_kit(tmp_path / "kit")
    (kit / "KICK.txt").write_text("a note beside the sounds")
    assert len(load_kit(kit)) == 8
    shutil.copy(kit / "Kick.wav", kit / "KICK.WAV")
    refused(kit, "one sound", "KICK.WAV", "Kick.wav")
    (kit / "KICK.WAV").unlink()
    (kit / "snare.flac").rename(kit / "drum.flac")
    refused(kit, str(kit), "Snare")
    (kit / "Snare.wav").write_bytes(b"RIFF nonsense")
    refused(kit, "Snare.wav")
    soundfile.write(kit / "Snare.wav", np.zeros(0), 44100)
    refused(kit, "Snare.wav")
    soundfile.write(kit / "Snare.wav", np.array([0.0, np.nan]), 44100, subtype="FLOAT")
    refused(kit, "Snare.wav", "finite")
    shutil.copytree(write_kit(tmp_path / "other"), kit, dirs_exist_ok=True)
    shutil.copy(kit / "Kick.wav", kit / "Kick_v128.wav")
    refused(kit, "Kick_v128.wav", "velocity")


def test_the_default_kit_stands_in_the_project():
    assert KIT.is_dir() and [sound.name for sound in load_kit()] == list(INSTRUMENTS)
