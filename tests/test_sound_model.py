"""A sound model as a musician has it: its checkpoint, its codes, generate_sounds.py, and kits for the sequencer."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from small_sounds import (LATENT, RATE, SECONDS, SETTINGS, drum, make_sound_model, save_sound_model,
                          write_machines)

import Activation_Matrix_To_Sound
import generate_sounds
from engine import sequencer
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from formats.audio import resample
from formats.kit import load_kit
from models import BernoulliVAE
from sounds import kits
from sounds.codes import attach_sound, class_weights, encode_file, load_sound, load_sound_model, random_codes, slerp
from sounds.dataset import level_db
from sounds.descriptors import attack_ms, band_numbers
from sounds.sound_map import SoundPlane
from sounds.spectrograms import spectrogram_of
from sounds.synthesis import synthesise

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A model of eight classes of five machines, and what its checkpoint says of its sounds."""
    folder = tmp_path_factory.mktemp("model")
    return make_sound_model(write_machines(folder / "sounds"), folder / "cache",
                            levels=[-14.0 - row for row in range(8)])


@pytest.fixture(scope="module")
def run(described, tmp_path_factory):
    """A run folder with such a model."""
    return save_sound_model(tmp_path_factory.mktemp("run"), *described)


@pytest.fixture(scope="module")
def model(run):
    return load_sound_model(run)


@pytest.fixture
def files(tmp_path):
    """A kick and a clap at another rate than the model's."""
    for name, tone in (("Kick", 90), ("Clap", 900)):
        soundfile.write(tmp_path / f"{name}.wav", drum(1, 0.04, tone, rate=16000, samples=3000), 16000, "FLOAT")
    return tmp_path / "Kick.wav", tmp_path / "Clap.wav"


# Codes.

def test_a_file_is_encoded_as_its_class_or_as_that_under_which_it_is_likeliest(model, files):
    code, label = encode_file(model, files[0], 5)
    assert code.shape == (LATENT,) and label == 5
    found, label = encode_file(model, files[0])
    assert label in range(8) and torch.equal(found, encode_file(model, files[0], label)[0])


def test_a_morph_goes_evenly_from_one_code_to_the_other():
    start, end = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    path = slerp(start, end, 5)
    torch.testing.assert_close(path[[0, -1]], torch.stack((start, end)))
    torch.testing.assert_close(path.norm(dim=1), torch.linspace(3, 1, 5))
    angles = torch.atan2(path[:, 1], path[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, np.pi / 2, 5))
    for other in (start, -start, 0 * start):
        assert torch.isfinite(slerp(start, other, 4)).all()


def test_a_label_is_a_row_rows_or_weights():
    eye = torch.eye(8)
    assert torch.equal(class_weights(2, 3), eye[[2, 2, 2]])
    assert torch.equal(class_weights([0, 7], 2), eye[[0, 7]])
    assert torch.equal(class_weights(torch.full((8,), 0.125), 2), torch.full((2, 8), 0.125))
    assert torch.equal(class_weights(eye[:2], 2), eye[:2]) and class_weights(torch.empty(0).long(), 0).shape == (0, 8)


# Checkpoints.

def test_what_is_no_sound_model_is_named(described, tmp_path):
    checkpoint.save_checkpoint(tmp_path / "bars.pt", BernoulliVAE(latent=2, hidden=(4,)))
    with pytest.raises(ValueError, match="bars.pt: expected a model of sounds .* BernoulliVAE"):
        load_sound_model(tmp_path / "bars.pt")
    with pytest.raises(FileNotFoundError, match="none.pt"):
        load_sound_model(tmp_path / "none.pt")
    checkpoint.save_checkpoint(tmp_path / "old.pt", described[0], sound={"settings": {"rate": 22050, "bins": 48}})
    with pytest.raises(ValueError, match="old.pt: expected a model of sounds of this version.*train it anew"):
        load_sound_model(tmp_path / "old.pt")


@pytest.mark.parametrize("change, words", [
    (dict(settings={**SETTINGS, "bins": 24}), "expected spectrograms of"), (dict(mean=None), "cannot be used"),
    (dict(settings={"frames": 24}), "cannot be used"), (dict(floor_db="x"), "cannot be used")])
def test_a_checkpoint_that_does_not_say_what_its_sounds_are_is_named(described, tmp_path, change, words):
    model, sound = described
    with pytest.raises(ValueError, match=f"{tmp_path.name}: .*{words}") as error:
        load_sound_model(save_sound_model(tmp_path, model, {**sound, **change}))
    assert "\n" not in str(error.value)


def test_the_shipped_model_makes_a_kit_of_eight_at_44100_hz(root):
    kit = kits.generate_kit(load_sound_model(root / "pretrained" / "sound_vae.pt"), seed=1)
    assert len(kit) == 8 and all(0.02 < len(one.samples()) / 44100 < 2 and np.abs(one.samples()).max() > 0.01
                                 for one in kit)


@pytest.fixture(scope="module")
def shipped(root):
    return load_sound_model(root / "pretrained" / "sound_vae.pt")


@pytest.fixture(scope="module")
def strikes(shipped):
    """Of six kits of the shipped model the attack in ms and the centroid in Hz, struck hard and softly: (2, 6, 8, 2)
    by velocity, kit, class."""
    numbers = list(range(48))
    codes, of_kits = random_codes(shipped, numbers, seed=11)
    return np.array([[(attack_ms(samples, 44100), band_numbers(samples, 44100)["centroid_hz"]) for samples in
                      synthesise(shipped, codes, torch.tensor(numbers) % 8, 11, numbers, of_kits, velocity=velocity)]
                     for velocity in (1.0, 0.25)]).reshape(2, 6, 8, 2)


@pytest.mark.parametrize("row", range(8))
def test_soft_strikes_of_the_shipped_model_are_slower_and_darker_in_each_class(strikes, row):
    hard, soft = strikes[:, :, row]                                                   # (kits, 2) each
    slower = soft[:, 0] - hard[:, 0]
    assert 1 < slower.mean() < 20 and np.median(slower) > 0.05, "attack, in ms"
    assert np.mean(soft[:, 1] < hard[:, 1]) > 0.7


# The command.

def generate(run, folder, *options):
    """The sounds that the command writes: {name of the file: samples}."""
    result = generate_sounds.main([str(folder), "--model", str(run), *map(str, options)])
    made = {path.stem: soundfile.read(path, dtype="float32") for path in sorted(folder.glob("*.wav"))}
    assert sorted(made) == sorted(path.stem for path in result["files"]) and (folder / "sounds.png").is_file()
    for path, samples in zip(result["files"], result["samples"]):
        np.testing.assert_allclose(made[path.stem][0], samples, atol=2 ** -22)
    assert all(rate == RATE and len(samples) < 1.4 * RATE * SECONDS for samples, rate in made.values())
    return {name: samples for name, (samples, _) in made.items()}


def test_generate_writes_a_kit_that_the_sequencer_reads(run, tmp_path):
    made = generate(run, tmp_path / "kit", "--seed", 3)
    assert set(made) == set(INSTRUMENTS) and len(load_kit(tmp_path / "kit")) == 8
    again = generate(run / "best.pt", tmp_path / "again", "--seed", 3)
    assert all(np.array_equal(made[name], again[name]) for name in made)
    other = generate(run, tmp_path / "other", "--seed", 4)
    assert sum(np.array_equal(made[name], other[name]) for name in made) < 2


def test_generate_writes_as_many_of_a_class_as_asked_and_more_do_not_change_them(run, tmp_path):
    kit = generate(run, tmp_path / "kit", "--seed", 1)
    two = generate(run, tmp_path / "two", "--class", "snare", "--n", 2, "--seed", 1)
    five = generate(run, tmp_path / "five", "--class", "hh", "sd", "--n", 3, "--seed", 1)
    assert set(five) == {f"{name}_{i:03d}" for name in ("HHC", "Snare") for i in range(1, 4)}
    assert all(np.array_equal(two[name], five[name]) for name in two)
    assert np.array_equal(kit["Snare"], two["Snare_001"])
    assert not np.array_equal(two["Snare_001"], two["Snare_002"])
    assert len(generate(run, tmp_path / "one", "--class", "sd", "--seed", 1)) == 16


def likeness(sound, other):
    """The correlation of two sounds, where the shorter ends."""
    count = min(len(sound), len(other))
    return float(np.corrcoef(sound[:count], other[:count])[0, 1])


def test_without_spread_a_sound_like_a_file_is_the_file(run, files, tmp_path):
    own = resample(soundfile.read(files[0], dtype="float32")[0], 16000, RATE)
    same = generate(run, tmp_path / "same", "--like", files[0], "--spread", 0, "--n", 2)
    assert set(same) == {"Kick_001", "Kick_002"} and all(likeness(own, made) > 0.98 for made in same.values())
    near, far = (generate(run, tmp_path / str(spread), "--like", files[0], "--spread", spread, "--n", 6)
                 for spread in (0.2, 1))
    means = [np.mean([abs(likeness(own, made)) for made in some.values()]) for some in (near, far)]
    assert means[1] < means[0] < 0.999
    clap = generate(run, tmp_path / "clap", "--like", files[0], "--class", "cp", "--n", 1)
    assert set(clap) == {"Clap"}


def test_the_ends_of_a_morph_are_the_files(run, files, tmp_path):
    own = [resample(soundfile.read(file, dtype="float32")[0], 16000, RATE) for file in files]
    morph = generate(run, tmp_path / "between", "--between", *files, "--steps", 3)
    assert list(morph) == [f"Kick_to_Clap_{i:03d}" for i in (1, 2, 3)]
    assert likeness(own[0], morph["Kick_to_Clap_001"]) > 0.98 and likeness(own[1], morph["Kick_to_Clap_003"]) > 0.98
    levels = [level_db(samples, RATE) for samples in morph.values()]
    assert levels == pytest.approx([-14, -15, -16], abs=0.1)  # of the class, which changes on the way


def test_generate_strikes_as_softly_as_asked(run, tmp_path):
    hard, soft = (generate(run, tmp_path / str(velocity), "--velocity", velocity) for velocity in (1, 0.5))
    for name in hard:
        assert level_db(soft[name], RATE) == pytest.approx(level_db(hard[name], RATE) + 40 * np.log10(0.5), abs=0.1)


def test_generate_makes_the_sound_at_a_point_of_the_map(run, model, tmp_path):
    made = generate(run, tmp_path / "at", "--class", "sd", "Kick", "--at", "0.5", "-1", "--seed", 2)
    assert set(made) == {"Snare", "Kick"}
    first = next(kits.make_sound(model, torch.from_numpy(SoundPlane(model, 1).to_code(0.5, -1)), 1, seed=2))
    np.testing.assert_allclose(resample(made["Snare"], RATE, 44100), first.samples(), atol=1e-5)
    with pytest.raises(ValueError, match="--n: expected none beside --at"):
        generate(run, tmp_path / "no", "--at", 0, 0, "--n", 3)


def test_generate_writes_a_kit_with_its_layers(run, model, tmp_path):
    result = generate_sounds.main([str(tmp_path / "kit"), "--model", str(run), "--seed", "2", "--layers"])
    assert (tmp_path / "kit" / "kit.sfz").is_file() and (tmp_path / "kit" / "drumkit.xml").is_file()
    assert len(result["files"]) == 64
    for sound, expected in zip(load_kit(tmp_path / "kit"), kits.generate_kit(model, seed=2)):
        assert sound.velocities == expected.velocities
        for layer, other in zip(sound.layers, expected.layers):
            for samples, wanted in zip(layer, other, strict=True):
                np.testing.assert_allclose(samples, wanted, atol=0.02 * np.abs(wanted).max())
    with pytest.raises(ValueError, match="--layers: expected a whole kit"):
        generate(run, tmp_path / "no", "--class", "sd", "--layers")


@pytest.mark.parametrize("options, words", [
    (["out", "--class", "Kazoo"], "expected one of Kick"), (["--n", "3"], "required: OUT"),
    (["out", "--velocity", "0"], "0.01 to 1"), (["out", "--velocity", "1.5"], "0.01 to 1"),
    (["out", "--spread", "2"], "0 to 1"), (["out", "--steps", "1"], "from 2"),
    (["out", "--between", "y.wav", "z.wav", "--like", "x.wav"], "not allowed with")])
def test_wrong_options_are_one_line(options, words, capsys):
    with pytest.raises(SystemExit) as exit:
        generate_sounds.main(options)
    text = capsys.readouterr().err
    assert exit.value.code == 2 and words in text and text.count("\n") == 1


def test_a_missing_or_silent_sound_is_named(run, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), RATE)
    for name, words in (("none.wav", "none.wav"), ("silent.wav", "found silence")):
        with pytest.raises((ValueError, OSError), match=words):
            generate(run, tmp_path / "out", "--like", tmp_path / name)
    for options, words in ((["--class", "sd", "bd", "hh"], "--class: expected one or two for --between, found 3"),
                           (["--n", 2], "--n: expected --steps"), (["--spread", 0.2], "--spread: expected --like")):
        with pytest.raises(ValueError, match=words):
            generate(run, tmp_path / "out", "--between", "a.wav", "b.wav", *options)
    assert not (tmp_path / "out").exists()


# Sounds and kits.

def same_sound(one, other):
    """Are two Sounds the same to the last sample?"""
    return one.velocities == other.velocities and all(
        np.array_equal(*pair) for layers in zip(one.layers, other.layers) for pair in zip(*layers, strict=True))


@pytest.fixture(scope="module")
def snare(model):
    """The code and the kit of a snare, and what make_sound gives for them."""
    codes, of_kits = random_codes(model, [1], seed=5)
    first, *_, whole = kits.make_sound(model, codes[0], 1, 5, of_kits[0])
    return codes[0], of_kits[0], (first, whole)


def test_a_sound_is_there_at_once_and_then_with_its_layers_and_alternates(snare):
    first, whole = snare[2]
    assert [len(layer) for layer in first.layers] == [1]
    assert whole.velocities == (32, 64, 96, 127) and [len(layer) for layer in whole.layers] == [2] * 4
    assert np.array_equal(first.samples(), whole.samples(velocity=100, hit=2)) and first.name == "Snare"
    levels = [level_db(samples, 44100) for layer in whole.layers for samples in layer]
    assert max(levels) - min(levels) < 0.2, "a soft one is made quieter by the sequencer"


def test_an_alternate_is_another_take_of_the_same_drum(snare):
    for one, other in snare[2][1].layers:
        seen = [spectrogram_of(resample(samples, 44100, RATE), SETTINGS) for samples in (one, other)]
        loud = torch.maximum(*seen) > -40
        assert 0.3 < (seen[0] - seen[1])[loud].square().mean().sqrt() < 3
        assert len(one) == len(other) and likeness(one, other) > 0.8


def test_a_made_sound_is_the_same_whenever_it_is_made(snare, model):
    code, kit, (_, whole) = snare
    made = kits.MadeSound(1, kits.plain_values(code), 5, kits.plain_values(kit))
    assert same_sound(kits.whole(model, made), whole)
    assert not same_sound(kits.whole(model, replace(made, seed=6)), whole), "the seed chooses"
    with pytest.raises(ValueError, match="codes: expected"):
        kits.whole(model, replace(made, code=(1.0,)))


def test_along_a_path_a_sound_keeps_its_exemplar_while_that_is_near(model, snare):
    code, kit, (_, whole) = snare
    held = whole.origin["exemplar"]
    beside = code + 0.05 * model.exemplars.scales[1]
    for seed in range(4):
        assert next(kits.make_sound(model, beside, 1, seed, kit, exemplar=held)).origin["exemplar"] == held
    known = model.exemplars
    far = next(place for place in range(len(known.kept)) if known.labels[known.kept[place]] != 1)
    assert next(kits.make_sound(model, beside, 1, 0, kit, exemplar=far)).origin["exemplar"] != far


def test_ones_own_sound_comes_back_at_its_own_code_and_has_layers(model, files):
    code, row = encode_file(model, files[0], 0)
    whole = list(kits.make_sound(model, code, row, source=files[0]))[-1]
    own = resample(load_sound(model, files[0]), RATE, 44100)
    assert likeness(own, whole.samples()) > 0.98 and len(whole.layers) == 4
    made = kits.MadeSound(row, kits.plain_values(code), file=str(files[0]))
    assert same_sound(kits.whole(model, made), whole)
    samples = load_sound(model, files[0])
    again = list(kits.make_sound(model, code, row, source=samples))[-1]
    assert same_sound(again, whole)



def test_a_kit_is_eight_whole_sounds_at_the_sequencers_rate(model):
    kit, again = (kits.generate_kit(model, seed=2) for _ in range(2))
    assert [sound.name for sound in kit] == list(INSTRUMENTS) and all(map(same_sound, kit, again))
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[:, :, ::8] = 100
    assert np.abs(sequencer.render(bars, kit)).max() > 0.05


def test_a_kit_is_the_first_of_each_class(model, run, tmp_path):
    made = generate(run, tmp_path / "kit", "--seed", 2)
    for sound, name in zip(kits.generate_kit(model, seed=2), INSTRUMENTS):
        np.testing.assert_allclose(sound.samples(), resample(made[name], RATE, 44100), atol=1e-5)
    codes, of_kits = random_codes(model, range(8), seed=2)
    assert len(torch.unique(of_kits, dim=0)) == 1 and len(torch.unique(codes, dim=0)) == 8


def test_a_folder_of_sounds_at_any_rate_is_a_kit(run, tmp_path):
    generate(run, tmp_path / "kit")
    kit = load_kit(tmp_path / "kit")
    sizes = [len(soundfile.read(tmp_path / "kit" / f"{name}.wav")[0]) for name in INSTRUMENTS]
    assert [len(sound.samples()) for sound in kit] == pytest.approx([size * 44100 / RATE for size in sizes], abs=2)


def test_a_pattern_plays_with_a_kit_of_a_sound_model(run, model, tmp_path):
    bar = np.zeros((1, 8, 64), np.uint8)
    bar[0, [0, 1, 4], [0, 16, 8]] = 110
    np.save(tmp_path / "bar.npy", bar)
    Activation_Matrix_To_Sound.main(["--pattern", str(tmp_path / "bar.npy"), "--kit", str(run), "--seed", "6",
                                     "--wav", str(tmp_path / "bar.wav")])
    samples, rate = soundfile.read(tmp_path / "bar.wav", dtype="float32")
    expected = sequencer.render(bar, kits.generate_kit(model, seed=6))
    np.testing.assert_allclose(samples, expected, atol=1e-4)
