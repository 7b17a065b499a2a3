"""From a code to a sound: residual noise, phase, duration, finish; kits, morphs, files, and their seeds."""

import warnings

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import Activation_Matrix_To_Sound
import generate_sounds
from audio2nsgt import make_transform
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from griffin_lim import convergence
from instrument import sequencer
from models import BernoulliVAE, ConvVAE
from sounds import calibration, dataset, kits, synthesis
from sounds.codes import attach_transform, encode_file, load_sound_model, random_codes, slerp
from sounds.spectrograms import to_decibels
from transforms import phase_retrieval

RATE, SAMPLES = 8000, 2000
SETTINGS = dict(scale="oct", rate=RATE, downsample=1, min_freq=60.0, max_freq=3975.0, bins=24, seconds=0.25)


def drum(seed=0, decay=0.03, tone=180.0, noise=0.5, rate=RATE, samples=SAMPLES):
    """A tone and a noise that start together and decay."""
    time = np.arange(samples) / rate
    hiss = np.random.default_rng(seed).standard_normal(samples)
    sound = (np.sin(2 * np.pi * tone * time + 0.5) + noise * hiss) * np.exp(-time / decay)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


@pytest.fixture(scope="module")
def transform():
    with warnings.catch_warnings(action="ignore"):  # of windows widened at low frequencies
        return make_transform(SETTINGS, SAMPLES)


def make_model(transform, **sound):
    """An untrained model, all of whose spectrograms lie around that of a drum."""
    torch.manual_seed(0)
    shape = (len(transform.frequencies), int(transform.frames[0]))
    model = ConvVAE(latent=3, shape=shape, widths=(8, 8), bottleneck=4, embedding=4).eval()
    level, _ = to_decibels(transform.forward(drum()[None]).abs())
    with torch.no_grad():
        model.mean_spectrogram.copy_((level[0] + 30) / 15)
    described = dict(settings=SETTINGS, samples=SAMPLES, floor_db=-60.0, relative=True, mean=-30.0, deviation=15.0,
                     levels=[-10.0 - row for row in range(8)])
    return model, {**described, **sound}


@pytest.fixture(scope="module")
def model(transform):
    return attach_transform(*make_model(transform))


@pytest.fixture(scope="module")
def run(transform, tmp_path_factory):
    """A run folder with such a model."""
    folder = tmp_path_factory.mktemp("run")
    model, described = make_model(transform)
    checkpoint.save_checkpoint(folder / "best.pt", model, sound=described)
    return folder


# --- the finish ---


def signals():
    """Silence, noise, decays from anywhere, steps, an impulse: (n,) of many levels."""
    def make(kind, seed, gain, start):
        generator = np.random.default_rng(seed)
        samples = {"noise": generator.standard_normal(SAMPLES), "step": np.ones(SAMPLES),
                   "impulse": np.eye(1, SAMPLES, start)[0], "slow": np.sin(np.arange(SAMPLES) / 40),
                   "decay": np.roll(drum(seed), start)}[kind]
        return gain * samples

    return st.builds(make, st.sampled_from(["noise", "step", "impulse", "slow", "decay"]), st.integers(0, 10**6),
                     st.sampled_from([1e-6, 0.1, 1.0, 1e4]), st.integers(0, SAMPLES - 1))


@settings(max_examples=60, deadline=None)
@given(signal=signals(), level=st.floats(-40, 0))
def test_a_finished_sound_starts_at_once_ends_in_silence_and_has_no_dc_at_its_level(signal, level):
    sound = synthesis.finish(signal, RATE, level)
    assert sound.dtype == np.float32 and sound.shape == signal.shape and np.isfinite(sound).all()
    if not signal[:-1].any():  # no sample is left to end in silence
        assert not sound.any()
        return
    peak = np.abs(sound).max()
    assert 0 < peak <= synthesis.CEILING + 1e-6
    assert synthesis.onset_of(sound, RATE) <= 0.002 * RATE
    assert sound[-1] == 0 and abs(sound.mean()) < 1e-6 * peak + 1e-9
    if peak < synthesis.CEILING - 1e-3:
        assert dataset.level_db(sound, RATE) == pytest.approx(level, abs=0.01)


def test_silence_stays_silence():
    assert not synthesis.finish(np.zeros(SAMPLES), RATE, -10).any()


@pytest.mark.parametrize("start", [SAMPLES - 3, SAMPLES - 2, SAMPLES - 1])
def test_a_click_at_the_very_end_divides_nothing_by_zero(start):
    """What begins at the last sample has to end there: silence. One sample before, there is a sound to keep."""
    with np.errstate(all="raise"):
        sound = synthesis.finish(np.eye(1, SAMPLES, start)[0], RATE, -10)
    assert np.isfinite(sound).all() and sound.any() == (start < SAMPLES - 1)


def test_a_sound_that_starts_late_or_softly_is_brought_to_the_front():
    hit = drum()
    late = np.concatenate((1e-3 * hit[:300], hit))[:SAMPLES]
    early, brought = (synthesis.finish(sound, RATE, -12)[:1000].astype(float) for sound in (hit, late))
    agreement = [np.dot(early[:900], brought[lag:lag + 900]) for lag in range(20)]
    assert np.argmax(agreement) <= RATE // 1000 and max(agreement) > 0.98 * np.dot(early[:900], early[:900])
    soft = hit * np.minimum(1, (np.arange(SAMPLES) + 10) / 100)  # its attack takes 12 ms

    def rise(sound):
        """Samples until 2 ms of sound reach half of the loudest 2 ms."""
        rms = np.sqrt(np.convolve(sound.astype(float) ** 2, np.ones(16), "valid"))
        return int(np.argmax(rms > 0.5 * rms.max()))

    assert rise(soft) > 20 and rise(synthesis.finish(soft, RATE, -12)) <= 8


def test_a_sharp_attack_is_left_as_it_is():
    hit = drum(tone=700)
    np.testing.assert_allclose(synthesis.sharpened(hit, RATE)[20:], hit[20:])
    bursts = np.concatenate([drum(seed, 0.002, noise=3.0)[:80] for seed in range(20)]) + 0.0  # a clap: 10 ms apart
    np.testing.assert_allclose(synthesis.sharpened(bursts, RATE)[40:], bursts[40:])


def test_level_is_the_rms_of_the_loudest_20_ms():
    sound = np.zeros(SAMPLES)
    sound[500:660] = 0.1
    assert dataset.level_db(sound, RATE) == pytest.approx(-20)
    assert dataset.level_db(np.zeros(10), RATE) <= -200


# --- phase, duration, residual noise ---


def search_phase(coefficients, transform, iterations, durations=None):
    """Signals with the magnitudes of coefficients (B, bands, frames), whose phases are where the search begins."""
    def find(coefficients, silence):
        return synthesis.search(coefficients, transform, iterations, silence)

    silence = synthesis.support(transform, durations, len(coefficients))
    return synthesis.in_groups(find, transform, coefficients, silence)


@pytest.mark.parametrize("decay", [0.01, 0.03])
def test_a_drum_comes_back_from_its_magnitude_and_a_known_end_makes_it_better(transform, decay):
    sounds = torch.as_tensor(np.stack([drum(seed, decay, tone) for seed, tone in enumerate((120, 180, 400, 900))]))
    magnitude = transform.forward(sounds).abs()
    durations = [dataset.duration_of(sound, RATE) for sound in sounds.numpy()]
    known = search_phase(magnitude + 0j, transform, 16, durations)
    unknown = search_phase(magnitude + 0j, transform, 16)
    assert convergence(known, magnitude, transform).mean() < -15
    for sound, end, original in zip(known.numpy(), durations, sounds.numpy()):
        assert not sound[int(max(1.2 * end, end + 0.01 * RATE)) + 2:].any()
        assert abs(synthesis.onset_of(sound, RATE) - synthesis.onset_of(original, RATE)) <= 0.002 * RATE
    last = slice(-RATE // 100, None)  # what would be heard before the attack, round the circle
    assert known[:, last].abs().max() < 0.01 * unknown[:, last].abs().max()


def test_the_truth_is_where_the_search_stays(transform):
    sounds = torch.as_tensor(np.stack([drum(0), drum(1)]))
    coefficients = transform.forward(sounds)
    found = search_phase(coefficients, transform, 6)
    assert convergence(found, coefficients.abs(), transform).max() < -80


def test_peaks_rise_to_where_the_spectrogram_has_them_above_the_rest_and_right_ones_stay(transform):
    sounds = torch.as_tensor(np.stack([drum(seed, 0.03, tone, 0.05) for seed, tone in enumerate((150, 300, 700))]))
    wanted = transform.forward(sounds).abs()
    wanted = wanted / wanted.amax((1, 2), keepdim=True)
    low = wanted.clamp(max=0.4)  # as a mean has it: 8 dB lower at the peaks
    held = phase_retrieval.TimeLimited(transform, torch.ones(len(sounds), SAMPLES))

    def height(signals):
        """How far the loudest point stands above the mean of all that counts, in dB."""
        level = 20 * transform.forward(signals).abs().clamp_min(1e-9).log10()
        counts = wanted > 10 ** (synthesis.PEAK_REST_DB / 20)
        return level.amax((1, 2)) - torch.stack([one[there].mean() for one, there in zip(level, counts)])

    flat = search_phase(low + 0j, transform, 30)
    raised = synthesis.match_peaks(flat, low, held, 1.0)
    assert (height(sounds) - height(flat)).min() > 3
    assert (height(sounds) - height(raised)).abs().max() < 2
    right = sounds / transform.forward(sounds).abs().amax((1, 2))[:, None]
    assert (synthesis.match_peaks(right, wanted, held, 1.0) - right).abs().max() < 1e-4 * right.abs().max()
    assert not synthesis.match_peaks(0 * right, 0 * wanted, held, 1.0).any()


def test_a_sound_is_the_same_to_the_bit_in_any_company(transform):
    magnitude = transform.forward(np.stack([drum(seed, 0.02 + 0.004 * seed) for seed in range(7)])).abs()
    noise = torch.randn(7, SAMPLES, generator=torch.Generator().manual_seed(0))
    durations = torch.linspace(500, 1900, 7)
    whole = synthesis.reconstruct(magnitude, transform, noise, durations=durations)
    for part in ([6], [2, 3, 4], [5, 0]):
        assert torch.equal(synthesis.reconstruct(magnitude[part], transform, noise[part], durations=durations[part]),
                           whole[part]), part


def test_sounds_too_long_to_be_grouped_are_worked_on_one_by_one(transform, monkeypatch):
    magnitude = transform.forward(np.stack([drum(0), drum(1), drum(2)])).abs()
    grouped = search_phase(magnitude + 0j, transform, 4)
    monkeypatch.setattr(synthesis, "group_size", lambda transform: 1)
    alone = search_phase(magnitude + 0j, transform, 4)
    torch.testing.assert_close(alone, grouped, rtol=0, atol=1e-3)


def smooth_noise(transform):
    """A magnitude that does not fluctuate: level over all bands, decaying."""
    frames = int(transform.frames[0])
    return torch.exp(-torch.arange(frames) / (frames / 3.0)).expand(1, len(transform.frequencies), frames) + 0.0


def test_residual_noise_is_that_of_white_noise_high_up_keeps_the_level_and_leaves_lows_alone(transform):
    magnitude = smooth_noise(transform).expand(16, -1, -1)
    noise = torch.randn(16, SAMPLES, generator=torch.Generator().manual_seed(1))
    noisy = synthesis.add_residual_noise(magnitude, transform, noise)
    low, high = np.array(transform.frequencies) < 200, np.array(transform.frequencies) > 1000
    torch.testing.assert_close(noisy[:, low].abs(), magnitude[:, low])
    difference = 20 * (noisy[:, high].abs() / magnitude[:, high]).log10()
    assert abs(difference.mean()) < 0.3
    white = 20 * transform.forward(noise)[:, high].abs().log10()
    white = white - white.mean((0, 2), keepdim=True)
    assert difference.std() == pytest.approx(float(white.std()), rel=0.1)  # 5.6 dB, Rayleigh's


def test_a_blurred_ridge_becomes_a_long_tone(transform):
    """As a model draws tones: some bands wide. Phases of an impulse would make it a thud."""
    bands = torch.arange(len(transform.frequencies))[:, None] - int(np.searchsorted(transform.frequencies, 300))
    ridge = (torch.exp(-((bands - 0.3) / 6.0) ** 2) * torch.ones(int(transform.frames[0])))[None]

    def unevenness(coefficients):
        """The loudest 10 ms over the mean, in energy: 1 for a steady tone."""
        energy = search_phase(coefficients, transform, 0)[0].square().view(25, -1).sum(1)
        return float(energy.max() / energy.mean())

    assert unevenness(ridge * phase_retrieval.tonal_phase(ridge, transform, 1000.0)) < 1.3
    assert unevenness(ridge + 0j) > 4


def test_phases_of_tones_are_nearer_those_of_a_tone_than_an_impulses(transform):
    time = torch.arange(SAMPLES) / RATE
    frequencies = torch.linspace(150, 950, 41)[:, None]
    coefficients = transform.forward(torch.sin(2 * np.pi * frequencies * time + 1) * torch.exp(-time / 0.1))
    level = coefficients.abs()
    weight = level * (level > 0.5 * level.amax((1, 2), keepdim=True))

    def agreement(phase):
        """1 where all loud coefficients of a sound differ from phase by one phase; the mean over sounds."""
        return ((coefficients * phase.conj() / level * weight).sum((1, 2)).abs() / weight.sum((1, 2))).mean()

    assert agreement(phase_retrieval.tonal_phase(level, transform, 1000.0)) > 0.8
    assert agreement(torch.ones_like(coefficients)) < 0.7


def test_a_tone_gets_no_residual_noise(transform):
    band = int(np.searchsorted(transform.frequencies, 2000))
    magnitude = 1e-3 * smooth_noise(transform)
    magnitude[:, band] *= 1000
    noise = torch.randn(1, SAMPLES, generator=torch.Generator().manual_seed(1))
    noisy = synthesis.add_residual_noise(magnitude, transform, noise)
    torch.testing.assert_close(noisy[:, band].abs(), magnitude[:, band])
    assert (noisy[:, band + 12] - magnitude[:, band + 12]).abs().max() > 0.1 * magnitude[:, band + 12].max()


def test_the_duration_is_read_from_spectrograms_that_were_not_in_the_fit(transform):
    generator = np.random.default_rng(0)
    sounds = np.stack([drum(seed, generator.uniform(0.004, 0.06), generator.uniform(80, 800), generator.uniform(0, 1))
                       for seed in range(240)])
    features = synthesis.duration_features(transform.forward(sounds).abs(), transform)
    durations = np.array([dataset.duration_of(sound, RATE) for sound in sounds])
    fitted = calibration.fit_duration_regression(features[:200], durations[:200], SAMPLES)
    read = synthesis.regress_durations(fitted, features[200:], margin=0).numpy()
    error = np.log2(read / durations[200:])
    assert np.sqrt(np.mean(error**2)) < 0.5 * np.std(np.log2(durations[200:]))
    assert (read <= SAMPLES).all() and np.isfinite(synthesis.regress_durations(fitted, 1e6 * features).numpy()).all()


def test_the_duration_is_where_the_sound_falls_below_40_db():
    sound = np.exp(-np.arange(SAMPLES) / 100.0) * np.sign(np.sin(np.arange(SAMPLES)))
    assert dataset.duration_of(sound, RATE) == pytest.approx(100 * np.log(100), abs=80)


# --- sounds of a model ---


def test_sounds_follow_seed_and_number_and_nothing_else(model):
    labels = torch.arange(6)
    codes = random_codes(model, 6, seed=4)
    whole = synthesis.synthesise(model, codes, labels, seed=4)
    assert whole.dtype == np.float32 and whole.shape == (6, SAMPLES) and np.abs(whole).max(1).min() > 0.01
    assert np.array_equal(whole, synthesis.synthesise(model, codes, labels, seed=4, workers=1))
    for i in (0, 5):
        code = random_codes(model, 1, seed=4, numbers=[i])
        assert np.array_equal(synthesis.synthesise(model, code, int(labels[i]), seed=4, numbers=[i])[0], whole[i])
    assert not np.array_equal(whole, synthesis.synthesise(model, codes, labels, seed=5))
    assert not torch.equal(codes, random_codes(model, 6, seed=5))


def test_the_best_quality_comes_nearest_to_the_magnitude(transform):
    """In the mean of several sounds: the phase of a single one may be found late, or never."""
    kinds = ((0.03, 180), (0.02, 500), (0.01, 120), (0.03, 300), (0.05, 80), (0.02, 900))
    sounds = np.stack([drum(seed, *kind) for seed, kind in enumerate(kinds)])
    magnitude, durations = transform.forward(sounds).abs(), [dataset.duration_of(sound, RATE) for sound in sounds]
    found = [synthesis.reconstruct(magnitude, transform, None, quality, durations)
             for quality in ("fast", "fine", "best")]
    errors = [float(convergence(signal, magnitude, transform).mean()) for signal in found]
    assert errors[0] > errors[1] + 2 > errors[2] + 4, errors


def test_sounds_keep_the_level_of_their_class_and_a_mix_lies_between(model):
    codes = torch.zeros(3, 3)
    mix = torch.zeros(3, 8)
    mix[0, 0] = mix[1, 7] = 1.0
    mix[2, [0, 7]] = 0.5
    mixed = synthesis.synthesise(model, codes, mix)
    levels = [dataset.level_db(sound, RATE) for sound in mixed]
    assert levels == pytest.approx([-12, -19, -15.5], abs=0.02)
    assert np.array_equal(mixed[0], synthesis.synthesise(model, codes[:1], 0)[0])


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4, 1e30])
def test_any_finite_code_gives_a_finite_sound(model, scale):
    made = synthesis.synthesise(model, scale * random_codes(model, 4, seed=1), torch.arange(4))
    assert np.isfinite(made).all() and np.abs(made).max() <= 1


@pytest.mark.parametrize("codes, label, words", [
    (torch.full((1, 3), float("nan")), 0, "codes: expected finite"), (torch.zeros(1, 4), 0, r"\(B, 3\)"),
    (torch.zeros(1, 3), 8, "label: expected 0 to 7, found 8"), (torch.zeros(1, 3), torch.ones(1, 5), "8 classes"),
    (torch.zeros(1, 3), torch.zeros(1, 8), "weights")])
def test_what_is_no_code_or_class_is_named(model, codes, label, words):
    with pytest.raises(ValueError, match=words):
        synthesis.synthesise(model, codes, label)


def test_spectrograms_at_the_floor_are_silent_and_wild_ones_finite(model):
    floor = torch.full((1, *model.shape), (-60.0 + 30) / 15)
    assert not synthesis.to_magnitude(model, floor).any()
    for value in (float("nan"), float("inf"), -float("inf"), 1e30):
        assert torch.isfinite(synthesis.to_magnitude(model, torch.full((1, *model.shape), value))).all()


def test_a_kit_is_eight_sounds_at_the_sequencers_rate_that_leave_room_for_each_other(model):
    kit = kits.generate_kit(model, seed=2)
    assert len(kit) == 8 and all(sound.dtype == np.float32 for sound in kit)
    assert all(len(sound) == round(SAMPLES * kits.SAMPLE_RATE / RATE) for sound in kit)
    assert sum(np.abs(sound).max() ** 2 for sound in kit) ** 0.5 <= kits.CEILING + 1e-6
    again = kits.generate_kit(model, seed=2)
    assert all(np.array_equal(one, two) for one, two in zip(kit, again))
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[:, :, ::8] = 100
    assert np.abs(sequencer.render(bars, kit)).max() > 0.05


def test_a_morph_goes_evenly_from_one_code_to_the_other():
    start, end = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    path = slerp(start, end, 5)
    torch.testing.assert_close(path[[0, -1]], torch.stack((start, end)))
    torch.testing.assert_close(path.norm(dim=1), torch.linspace(3, 1, 5))
    angles = torch.atan2(path[:, 1], path[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, np.pi / 2, 5))
    for other in (start, -start, 0 * start):
        assert torch.isfinite(slerp(start, other, 4)).all()


# --- files and commands ---


def test_what_is_no_sound_model_is_named(tmp_path):
    checkpoint.save_checkpoint(tmp_path / "bars.pt", BernoulliVAE(latent=2, hidden=(4,)))
    with pytest.raises(ValueError, match="bars.pt: expected a model of sounds .* BernoulliVAE"):
        load_sound_model(tmp_path / "bars.pt")
    with pytest.raises(FileNotFoundError, match="none.pt"):
        load_sound_model(tmp_path / "none.pt")


def test_a_checkpoint_that_does_not_say_what_its_sounds_are_is_named(transform, tmp_path):
    model, described = make_model(transform)
    for change, words in ((dict(settings={**SETTINGS, "bins": 12}), "expected spectrograms of"),
                          (dict(samples=None), "cannot be used")):
        checkpoint.save_checkpoint(tmp_path / "best.pt", model, sound={**described, **change})
        with pytest.raises(ValueError, match=words):
            load_sound_model(tmp_path)
    checkpoint.save_checkpoint(tmp_path / "best.pt", model, sound={"settings": SETTINGS})
    with pytest.raises(ValueError, match="samples"):
        load_sound_model(tmp_path)


def sounds_in(folder):
    return {path.name: soundfile.read(path, dtype="float32") for path in sorted(folder.glob("*.wav"))}


def generate(run, folder, *options):
    result = generate_sounds.main([str(folder), "--model", str(run), *map(str, options)])
    made = sounds_in(folder)
    assert sorted(made) == sorted(path.name for path in result["files"]) and (folder / "sounds.png").is_file()
    assert all(rate == RATE and samples.shape == (SAMPLES,) for samples, rate in made.values())
    return made


def test_generate_writes_a_kit_that_the_sequencer_reads(run, tmp_path):
    made = generate(run, tmp_path / "kit", "--seed", 3)
    assert set(made) == {f"{name}.wav" for name in INSTRUMENTS}
    assert len(kits.load_kit(tmp_path / "kit")) == 8
    again = generate(run / "best.pt", tmp_path / "again", "--seed", 3)
    assert all(np.array_equal(made[name][0], again[name][0]) for name in made)


def test_generate_writes_as_many_of_a_class_as_asked_and_more_do_not_change_them(run, tmp_path):
    kit = generate(run, tmp_path / "kit", "--seed", 1)
    two = generate(run, tmp_path / "two", "--class", "snare", "--n", 2, "--seed", 1)
    five = generate(run, tmp_path / "five", "--class", "sd", "--n", 5, "--seed", 1)
    assert set(five) == {f"Snare_{i:03d}.wav" for i in range(1, 6)}
    assert all(np.array_equal(two[name][0], five[name][0]) for name in two)
    assert np.array_equal(kit["Snare.wav"][0], two["Snare_001.wav"][0])
    assert not np.array_equal(two["Snare_001.wav"][0], two["Snare_002.wav"][0])


def test_generate_near_a_sound_or_between_two(run, model, tmp_path):
    for name, tone in (("Kick", 90), ("Clap", 900)):
        soundfile.write(tmp_path / f"{name}.wav", drum(tone=tone, rate=16000, samples=6000), 16000)
    near = generate(run, tmp_path / "like", "--like", tmp_path / "Kick.wav", "--spread", 0, "--n", 2)
    assert set(near) == {"Kick_001.wav", "Kick_002.wav"}
    code, label = encode_file(model, tmp_path / "Kick.wav", 0)
    expected = synthesis.synthesise(model, code[None], label, quality="fine")[0]
    np.testing.assert_allclose(near["Kick_001.wav"][0], expected, atol=2**-23)
    files = tmp_path / "Kick.wav", tmp_path / "Clap.wav"
    morph = generate(run, tmp_path / "between", "--between", *files, "--steps", 3)
    assert list(morph) == [f"Kick_to_Clap_{i:03d}.wav" for i in (1, 2, 3)]
    levels = [dataset.level_db(samples, RATE) for samples, _ in morph.values()]
    assert levels == pytest.approx([-12, -13, -14], abs=0.1)  # of the class, which changes on the way


@pytest.mark.parametrize("options, words", [
    (["out", "--class", "Kazoo"], "expected one of Kick"), (["--n", "3"], "required: OUT"),
    (["out", "--between", "y.wav", "z.wav", "--like", "x.wav"], "not allowed with")])
def test_wrong_options_are_one_line(options, words, capsys):
    with pytest.raises(SystemExit) as exit:
        generate_sounds.main(options)
    assert exit.value.code == 2 and words in capsys.readouterr().err


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


def test_a_pattern_plays_with_a_kit_of_a_sound_model(run, model, tmp_path):
    bar = np.zeros((1, 8, 64), np.uint8)
    bar[0, [0, 1, 4], [0, 16, 8]] = 110
    np.save(tmp_path / "bar.npy", bar)
    Activation_Matrix_To_Sound.main(["--pattern", str(tmp_path / "bar.npy"), "--kit", str(run), "--seed", "6",
                                     "--wav", str(tmp_path / "bar.wav")])
    samples, rate = soundfile.read(tmp_path / "bar.wav", dtype="float32")
    expected = sequencer.render(bar, kits.generate_kit(model, seed=6))
    np.testing.assert_allclose(samples.reshape(len(samples), -1)[:, 0], expected, atol=1e-4)
