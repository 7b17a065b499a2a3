"""sounds/spectrograms.py: where frames and bands lie, short transforms, what is kept of a folder, variations."""

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sounds import RATE, SETTINGS, drum, write_machines

from formats.audio import save_audio
from sounds import dataset, spectrograms
from sounds.spectrograms import (DEFAULTS, FLOOR_DB, LEAD, coefficients, denormalise, frame_edges, frame_times,
                                 load_spectrograms, make_augmentation, mean_and_deviation, normalise, spectrogram_of,
                                 to_tensors, transform_for)

pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder, tmp_path, **changes):
    return load_spectrograms(folder, {**SETTINGS, **changes}, cache=tmp_path / "cache")


@pytest.fixture
def sounds(tmp_path):
    return write_machines(tmp_path / "sounds", machines=3, each=1)


# Where things lie.

@pytest.mark.parametrize("frames, seconds", [(8, 0.05), (96, 1.5), (200, 5.0)])
def test_frames_begin_at_the_attack_grow_and_end_with_the_sound(frames, seconds):
    edges = frame_edges(dict(frames=frames, seconds=seconds))
    sizes = np.diff(edges)
    assert len(edges) == frames + 1 and edges[0] == 0 and edges[-1] == pytest.approx(seconds)
    assert (np.diff(sizes) > 0).all() and 20 < sizes[-1] / sizes[0] < 45


@pytest.mark.parametrize("frequency", [400, 900, 2500])
def test_a_tone_lies_in_its_band_while_it_lasts(frequency):
    seen = spectrogram_of(np.sin(2 * np.pi * frequency * np.arange(2000) / RATE).astype(np.float32), SETTINGS)
    bands = np.array(transform_for(2000, SETTINGS).frequencies)
    band, octave = int(np.abs(bands - frequency).argmin()), SETTINGS["bins"]
    assert (seen[:, 6:].argmax(0) - band).abs().max() <= 1 and seen[band, 10:].min() > -3
    assert seen[[band - octave, band + min(octave, len(bands) - 1 - band)], 10:].median() < -30


def test_silence_and_what_is_behind_a_sound_are_the_floor():
    time = np.arange(300) / RATE
    burst = np.hanning(300) * np.sin(2 * np.pi * 1500 * time)
    seen = spectrogram_of(burst.astype(np.float32), SETTINGS)
    late = frame_edges(SETTINGS)[:-1] > 300 / RATE + 0.03
    assert seen[:, late].max() < -50 and seen.max() == 0
    behind = frame_edges(SETTINGS)[:-1] > transform_for(300, SETTINGS).Ls / RATE - LEAD
    assert behind.any() and (seen[:, behind] == FLOOR_DB).all()
    assert (spectrogram_of(np.zeros(300, np.float32), SETTINGS) == FLOOR_DB).all()


@settings(max_examples=15, deadline=None)
@given(gain=st.floats(1e-4, 1e3), seed=st.integers(0, 99))
def test_a_spectrogram_does_not_depend_on_the_gain(gain, seed):
    sound = drum(seed)
    torch.testing.assert_close(spectrogram_of(np.float32(gain) * sound, SETTINGS), spectrogram_of(sound, SETTINGS),
                               atol=0.02, rtol=0)


def test_a_short_sound_gets_a_short_transform_that_sees_what_a_long_one_does():
    sound = drum(1, 0.02, rate=44100, samples=8000)
    short = spectrogram_of(sound, DEFAULTS)
    found = coefficients(np.pad(sound, (0, 58000)), DEFAULTS)
    assert transform_for(8000, DEFAULTS).Ls < 0.3 * found[1].Ls
    long = spectrogram_of(sound, DEFAULTS, found=found)
    counts = (long > -40) & (torch.as_tensor(found[1].frequencies) > 400)[:, None]  # windows below are longer yet
    assert counts.sum() > 500 and (short - long)[counts].square().mean().sqrt() < 1


@pytest.mark.parametrize("rate, seconds, bins, frames, low", [
    (4000, 0.1, 6, 16, 100), (4000, 0.05, 12, 8, 30), (8000, 5, 24, 96, 30), (11025, 0.3, 6, 96, 100),
    (22050, 0.5, 24, 96, 30), (44100, 0.05, 24, 96, 30), (96000, 0.1, 24, 32, 30)])
def test_any_rate_and_length_has_a_transform_with_an_inverse_and_a_spectrogram(rate, seconds, bins, frames, low):
    given = {**DEFAULTS, "rate": rate, "seconds": seconds, "bins": bins, "frames": frames, "min_freq": float(low),
             "max_freq": min(20000.0, rate / 2 - 25)}
    for count in (1, 9, round(0.3 * rate * seconds), round(rate * seconds)):
        sound = np.random.default_rng(count).standard_normal(count).astype(np.float32)
        c, transform = coefficients(sound, given)
        lead = round(LEAD * rate)
        back = transform.backward(c[None])[0].numpy()[lead:lead + count]
        assert np.linalg.norm(back - sound) < 1e-3 * np.linalg.norm(sound)
        seen = spectrogram_of(sound, given, found=(c, transform))
        assert seen.shape == (len(transform.frequencies), frames) and torch.isfinite(seen).all()
        assert seen.max() == 0 and seen.min() >= FLOOR_DB
        within = frame_edges(given)[1:] <= count / rate
        assert (seen.amax(0)[within] > -40).all(), "noise is nowhere silent while it lasts"


def test_the_times_of_frames_are_those_of_the_samples():
    click = np.zeros(1500, np.float32)
    click[800] = 1
    c, transform = coefficients(click, SETTINGS)
    high = c[len(c) // 2:].abs().square().sum(0)
    assert abs(frame_times(transform)[int(high.argmax())] - 800 / RATE) < 0.002


# What is kept of a folder.

def test_spectrograms_are_kept_and_made_again_when_a_sound_or_a_setting_changes(sounds, tmp_path, monkeypatch):
    first, made = load(sounds, tmp_path), []
    kick = first["names"].index("Kick/m0_x_0")
    monkeypatch.setattr(spectrograms, "spectrogram_of", lambda *given: made.append(1) or spectrogram_of(*given))
    again = load(sounds, tmp_path)
    assert not made and np.array_equal(first["spectrograms"], again["spectrograms"])
    save_audio(sounds / "Kick" / "m0_x_0.wav", np.hanning(300), RATE)
    changed = load(sounds, tmp_path)
    same = (first["spectrograms"] == changed["spectrograms"]).all((1, 2))
    assert len(made) == 24 and np.flatnonzero(~same).tolist() == [kick]
    assert len(load(sounds, tmp_path, bins=6)["spectrograms"]) == 24 and len(made) == 48


def test_what_was_kept_needs_no_sound_decoded(sounds, tmp_path, monkeypatch):
    first = load(sounds, tmp_path)
    monkeypatch.setattr(spectrograms, "load_audio", lambda *given: pytest.fail("a sound was decoded"))
    again = load(sounds, tmp_path)
    for key in ("spectrograms", "labels", "levels", "durations"):
        np.testing.assert_array_equal(first[key], again[key])
    assert (first["names"], first["paths"], first["left_out"]) == (again["names"], again["paths"], again["left_out"])
    samples = soundfile.read(first["paths"][7], dtype="float32")[0]
    assert first["levels"][7] == dataset.level_db(samples, RATE)
    assert first["durations"][7] == dataset.duration_of(samples, RATE) / RATE
    np.testing.assert_array_equal(first["spectrograms"][7], spectrogram_of(samples, SETTINGS).half().numpy())


def test_the_cache_keeps_a_few_entries_the_last_used_among_them(sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(spectrograms, "KEPT", 2)
    load(write_machines(tmp_path / "other", machines=1, each=1), tmp_path)
    for bins in (6, 5, 6):
        load(sounds, tmp_path, bins=bins)
    (sounds / "Kick" / "m0_x_0.wav").unlink()
    assert len(load(sounds, tmp_path, bins=6)["spectrograms"]) == 23
    assert len(list((tmp_path / "cache").rglob("output.pkl"))) == 2
    monkeypatch.setattr(spectrograms, "load_audio", lambda *given: pytest.fail("a sound was decoded"))
    assert len(load(sounds, tmp_path, bins=6)["spectrograms"]) == 23


def test_silence_and_strangers_are_named_not_dropped(sounds, tmp_path):
    save_audio(sounds / "Snare" / "m9_x_0.wav", np.zeros(400), RATE)
    (sounds / "Snare" / "m8_x_0.wav").write_bytes(b"RIFF....")
    save_audio(sounds / "loops" / "a.wav", np.hanning(400), RATE)
    data = load(sounds, tmp_path)
    assert {len(data[key]) for key in ("spectrograms", "labels", "names", "paths", "levels", "durations")} == {24}
    assert len(data["left_out"]) == 3 and any("found silence" in line for line in data["left_out"])
    assert [path.parent.name for path in data["paths"]] == [name.split("/")[0] for name in data["names"]]
    (tmp_path / "silent").mkdir()
    save_audio(tmp_path / "silent" / "Kick" / "a_0.wav", np.zeros(400), RATE)
    with pytest.raises(ValueError, match="silent: expected sounds, found none that can be used"):
        load(tmp_path / "silent", tmp_path)


# The model's units, and variations.

def test_numbers_of_many_spectrograms_are_those_of_all_at_once():
    x = np.random.default_rng(0).normal(-40, 15, (150, 7, 5)).astype(np.float16)
    index = np.arange(0, 150, 2)
    chosen = x[index].astype(np.float64)
    assert mean_and_deviation(x, index) == (round(chosen.mean(), 3), round(chosen.std(ddof=1), 3))
    sound = {"mean": -40.0, "deviation": 15.0}
    data = {"spectrograms": x, "labels": np.arange(150, dtype=np.uint8) % 8}
    made, labels = to_tensors(sound, (data, index), (data, range(3)))
    expected = ((torch.as_tensor(x).float() + 40) / 15).half()
    assert torch.equal(made, torch.cat((expected[::2], expected[:3])))
    assert labels.dtype == torch.int64 and labels.tolist() == [*(index % 8), 0, 1, 2]


def test_decibels_come_back_from_the_models_units_within_the_floor_and_0():
    sound = {"mean": -40.0, "deviation": 15.0, "floor_db": -70.0}
    decibels = torch.linspace(-70, 0, 20)
    torch.testing.assert_close(denormalise(normalise(decibels, sound), sound), decibels)
    assert denormalise(torch.tensor([-1e9, 1e9]), sound).tolist() == [-70, 0]


def test_variation_keeps_the_peak_and_the_floor_and_repeats_by_its_generator():
    x = torch.full((64, 48, 20), -3.0)
    x[:, 20:24, :10] = 1.0
    vary = make_augmentation(1.0, -3.0)
    y = vary(x.half(), torch.Generator().manual_seed(0))
    assert y.shape == x.shape and y.min() >= -3 and torch.allclose(y.amax((1, 2)), torch.ones(64), atol=1e-5)
    assert torch.equal(y, vary(x.half(), torch.Generator().manual_seed(0)))
    assert not torch.equal(y, vary(x.half(), torch.Generator().manual_seed(1)))
    same = (y == x).flatten(1).all(1).float().mean()
    assert 0.1 < same < 0.6
    rows = (y > 0).any(2).float().argmax(1)
    assert rows.min() < 20 < rows.max()  # pitch goes both ways
    lengths = (y > 0).any(1).sum(1)
    assert lengths.min() < 10 < lengths.max()
    assert torch.equal(make_augmentation(0, -3.0)(x, torch.Generator()), x)
