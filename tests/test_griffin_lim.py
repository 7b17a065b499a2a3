"""Lost phases: the STFT pair, the rules of iteration, what they reach, and the command."""

import warnings

import numpy as np
import pytest
import soundfile
import torch

import audio2nsgt
from audio2nsgt import block_rms
from formats.audio import load_audio
from griffin_lim import INITS, convergence, full_rate, griffin_lim, main, start
from transforms.nsgt import NSGT
from transforms.phase_gradient import gradient_phase, instants, offsets, spread
from transforms.phase_retrieval import BandSlice, _at_frames, douglas_rachford, low_band_start
from transforms.scales import OctScale
from transforms.stft import STFT

RATE, LENGTH = 8000, 2000


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Q too high")
        yield


def drum(seed=0):
    """A decaying sine with a noisy attack, which begins at the first sample."""
    time = np.arange(LENGTH) / RATE
    noise = np.random.default_rng(seed).standard_normal(LENGTH)
    return (0.5 * np.sin(2 * np.pi * (150 + 40 * seed) * time) * np.exp(-12 * time)
            + 0.2 * noise * np.exp(-60 * time)).astype(np.float32)


def pair(name, dtype="float32"):
    if name == "stft":
        return STFT(256, 64, LENGTH, dtype=dtype)
    return NSGT(OctScale(60, 3900, 12), RATE, LENGTH, matrixform=True, dtype=dtype)


@pytest.mark.parametrize("fft_size, hop, length", [
    (256, 64, 2000), (256, 100, 1999), (255, 64, 1001), (64, 32, 3), (8, 1, 50)])
def test_the_stft_is_torchs_and_inverts(fft_size, hop, length):
    transform = STFT(fft_size, hop, length, dtype="float64")
    signal = torch.randn(3, length, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = transform.forward(signal)
    wanted = torch.stft(signal, fft_size, hop, window=torch.hann_window(fft_size, dtype=torch.float64), center=True,
                        pad_mode="constant", return_complex=True)
    assert torch.allclose(found, wanted, atol=1e-12)
    assert torch.allclose(transform.backward(found), signal, atol=1e-6 if hop * 2 == fft_size else 1e-9)
    assert torch.allclose(transform.backward(found[1]), transform.backward(found)[1])


@pytest.mark.parametrize("arguments, words", [
    ((1, 1, 9), "fft_size"), ((64, 33, 99), "hop"), ((64, 0, 99), "hop"), ((64, 8, 0), "Ls")])
def test_stft_arguments_out_of_range_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        STFT(*arguments)


@pytest.mark.parametrize("name", ["stft", "nsgt"])
def test_without_search_it_is_fast_griffin_lim(name):
    """The rule of Perraudin, Balazs and Soendergaard, written out plainly, in float64."""
    transform = pair(name, "float64")
    magnitude = transform.forward(drum().astype(float)).abs()
    c = start(magnitude, transform, "random", seed=3)
    before = None
    for _ in range(6):
        consistent = transform.forward(transform.backward(c))
        ahead = consistent if before is None else consistent + 0.9 * (consistent - before)
        before, c = consistent, magnitude * ahead / ahead.abs()
    found = griffin_lim(magnitude, transform, 6, momentum=0.9, init="random", seed=3, search=0)
    assert torch.allclose(found, transform.backward(c), atol=1e-9)


@pytest.mark.parametrize("name", ["stft", "nsgt"])
def test_the_truth_is_a_fixed_point_of_the_search(name):
    transform = pair(name, "float64")
    truth = transform.forward(drum().astype(float))
    found = douglas_rachford(truth, truth.abs(), transform, 5)
    assert torch.allclose(found, truth, atol=1e-9 * float(truth.abs().max()))


@pytest.mark.parametrize("name, target", [("stft", -25), ("nsgt", -30)])
def test_it_finds_a_drum_and_beats_its_base_rule(name, target, monkeypatch):
    monkeypatch.setattr("transforms.phase_retrieval.LOW_PARTS", ((16, 60), (8, 60)))
    monkeypatch.setattr("transforms.phase_retrieval.DOUGLAS_RACHFORD_STEPS", 60)
    transform = pair(name)
    magnitude = transform.forward(np.stack([drum(seed) for seed in range(4)])).abs()
    ours = convergence(griffin_lim(magnitude, transform), magnitude, transform)
    base = convergence(griffin_lim(magnitude, transform, search=0, init="random"), magnitude, transform)
    assert ours.mean() < target and ours.mean() < base.mean() - 3


@pytest.mark.parametrize("name", ["stft", "nsgt"])
@pytest.mark.parametrize("init", INITS)
def test_a_batch_is_a_loop_and_a_seed_a_result(name, init, monkeypatch):
    """Over a few iterations: later, the search lets differences of rounding grow."""
    monkeypatch.setattr("transforms.phase_retrieval.LOW_PARTS", ((8, 4),))
    monkeypatch.setattr("transforms.phase_retrieval.DOUGLAS_RACHFORD_STEPS", 3)
    monkeypatch.setattr("transforms.phase_retrieval.GRIFFIN_LIM_STEPS", 2)
    transform = pair(name, "float64")
    magnitude = transform.forward(np.stack([drum(seed).astype(float) for seed in range(3)])).abs()
    together = griffin_lim(magnitude, transform, 4, init=init, seed=5)
    assert together.shape == (3, LENGTH)
    alone = torch.stack([griffin_lim(one, transform, 4, init=init, seed=5) for one in magnitude])
    assert torch.allclose(together, alone, atol=1e-7)
    assert torch.equal(together, griffin_lim(magnitude, transform, 4, init=init, seed=5))
    if init == "random":
        assert not torch.allclose(together, griffin_lim(magnitude, transform, 4, init=init, seed=6), atol=1e-3)


@pytest.mark.parametrize("name", ["stft", "nsgt"])
def test_the_level_is_kept_and_does_not_matter(name):
    transform = pair(name)
    magnitude = transform.forward(drum()).abs()
    loud, soft = (griffin_lim(magnitude * gain, transform, 10, init="zero") for gain in (2.0**10, 2.0**-20))
    assert torch.allclose(loud / 2.0**10, soft * 2.0**20, atol=1e-5)
    assert loud.norm() / 2.0**10 == pytest.approx(float(np.linalg.norm(drum())), rel=0.1)


@pytest.mark.parametrize("name", ["stft", "nsgt"])
@pytest.mark.parametrize("sound", ["silence", "click", "offset", "noise"])
def test_odd_sounds_give_finite_output(name, sound, monkeypatch):
    monkeypatch.setattr("transforms.phase_retrieval.LOW_PARTS", ((8, 10), (4, 10)))
    monkeypatch.setattr("transforms.phase_retrieval.DOUGLAS_RACHFORD_STEPS", 10)
    signal = {"silence": np.zeros(LENGTH), "click": np.eye(1, LENGTH, 700)[0], "offset": np.full(LENGTH, 0.3),
              "noise": np.sign(np.random.default_rng(0).standard_normal(LENGTH))}[sound]
    transform = pair(name)
    magnitude = transform.forward(signal).abs()
    found = griffin_lim(magnitude, transform, 20)
    assert torch.isfinite(found).all()
    if sound == "silence":
        assert not found.any()
    else:
        assert convergence(found, magnitude, transform) < -10


@pytest.mark.parametrize("magnitude, words", [
    (np.full((129, 32), np.nan), "finite"), (-np.ones((129, 32)), "at least 0"), (np.ones(5), "shape"),
    (np.ones((128, 32)), r"\(129, 32\)"),
])
def test_bad_magnitudes_are_named(magnitude, words):
    with pytest.raises(ValueError, match=words):
        griffin_lim(magnitude, pair("stft"))


def test_an_unknown_init_is_named():
    with pytest.raises(ValueError, match="best"):
        griffin_lim(np.ones((129, 32)), pair("stft"), init="best")


@pytest.mark.parametrize("name", ["stft", "nsgt"])
def test_progress_sees_every_iteration(name, monkeypatch):
    monkeypatch.setattr("transforms.phase_retrieval.LOW_PARTS", ((8, 4),))
    transform, seen = pair(name), []
    magnitude = transform.forward(3 * drum()).abs()
    found = griffin_lim(magnitude, transform, 60, progress=seen.append)
    assert len(seen) == 60
    assert seen[-1] == pytest.approx(float(convergence(found, magnitude, transform)), abs=1)


def sliced(first, last, **held):
    """A slice of the NSGT, the spectrum and the coefficients of three drums."""
    transform = pair("nsgt", "float64")
    signal = torch.as_tensor(np.stack([drum(seed) for seed in range(3)])).double()
    return BandSlice(transform, first, last, **held), torch.fft.rfft(signal), transform.forward(signal)


@pytest.mark.parametrize("first, last", [(1, 9), (20, 21), (40, 52), (66, 72)])
def test_a_slice_is_the_same_bands_of_the_whole(first, last):
    """At the times that both have; and |c|^2 of the slice is that of the whole at its own times."""
    piece, spectrum, whole = sliced(first, last)
    power = torch.fft.rfft(whole.abs().square())
    found = piece.forward(spectrum[:, piece.bins])
    assert torch.allclose(found[..., 0] * piece.frames, whole[:, first:last, 0] * whole.shape[2], atol=1e-9)
    assert torch.allclose(found.abs(), _at_frames(whole.abs(), power, piece.bands, piece.frames), atol=1e-6)
    assert piece.frames <= whole.shape[2]


def test_a_slice_has_a_way_back_and_holds_what_others_see():
    piece, spectrum, _ = sliced(40, 52, held_below=True, held_above=True)
    stretch = spectrum[:, piece.bins]
    inner = slice(2, -2)  # at its ends the windows are nearly zero
    assert torch.allclose(piece.backward(piece.forward(stretch))[:, inner], stretch[:, inner], atol=1e-9)
    magnitude = 2 * piece.forward(stretch).abs()
    found, error = piece.solve(spectrum, magnitude)
    changed = (found != stretch).any(0).nonzero()[:, 0] + piece.bins.start
    centres = pair("nsgt").centres
    assert changed.min() == centres[40] + 1 and changed.max() == centres[51] - 1
    assert (error < piece.error(stretch, magnitude)).all()


def test_more_candidates_are_no_worse_and_cost_no_determinism(monkeypatch):
    monkeypatch.setattr("transforms.phase_retrieval.LOW_PARTS", ((8, 40),))
    monkeypatch.setattr("transforms.phase_retrieval.DOUGLAS_RACHFORD_STEPS", 30)
    transform = pair("nsgt")
    magnitude = transform.forward(np.stack([drum(seed) for seed in range(2)])).abs()
    magnitude /= magnitude.amax()
    few, many, again = (low_band_start(magnitude, transform, candidates) for candidates in (1, 4, 4))
    few, many, again = (convergence(transform.backward(c), magnitude, transform) for c in (few, many, again))
    assert many.mean() < few.mean() + 0.5 and torch.equal(many, again)


@pytest.mark.parametrize("reducedform, better_by", [(1, 3), (2, 1)])  # dB
def test_the_coarse_start_serves_transforms_without_outer_bands(reducedform, better_by, monkeypatch):
    monkeypatch.setattr("transforms.phase_retrieval.LOW_PARTS", ((16, 60), (8, 60)))
    monkeypatch.setattr("transforms.phase_retrieval.DOUGLAS_RACHFORD_STEPS", 60)
    transform = NSGT(OctScale(60, 3900, 12), RATE, LENGTH, matrixform=True, reducedform=reducedform, dtype="float32")
    magnitude = transform.forward(np.stack([drum(seed) for seed in range(4)])).abs()
    coarse, zero = (convergence(griffin_lim(magnitude, transform, init=init), magnitude, transform)
                    for init in ("coarse", "zero"))
    assert coarse.mean() < -30 and coarse.mean() < zero.mean() - better_by


def off_by(found, truth, share=0.3):
    """How far phases are off where the truth is loud, but for one turn of the whole: mean of 1 - cos."""
    loud = truth.abs() > share * truth.abs().max()
    turn = found[loud] * truth[loud].conj() / truth[loud].abs()
    return float(1 - turn.mean().abs())


@pytest.mark.parametrize("instant", [0, 700, 1333])
def test_the_slopes_of_a_click_give_its_phases(instant):
    """All its bands meet at its instant; where phases are 0 they would meet at sample 0."""
    transform = pair("nsgt", "float64")
    truth = transform.forward(np.eye(1, LENGTH, instant)[0])[None]
    found = gradient_phase(truth.abs(), transform.centres, transform.widths)
    assert found.shape == truth.shape and torch.allclose(found.abs(), torch.ones_like(found.abs()))
    assert off_by(found, truth) < 0.1
    signal = transform.backward(truth.abs() * found)[0].abs()
    assert abs(int(signal.argmax()) - instant) <= 2 and signal.max() > 0.5


def test_the_slopes_of_a_tone_give_its_phases():
    transform = pair("nsgt", "float64")
    truth = transform.forward(np.sin(2 * np.pi * 233.0 * np.arange(LENGTH) / RATE) * np.hanning(LENGTH))[None]
    found = gradient_phase(truth.abs(), transform.centres, transform.widths)
    assert off_by(found, truth, 0.1) < 0.1 < 0.5 < off_by(torch.ones_like(found), truth, 0.1)


def test_phases_of_bands_that_are_known_stay_and_lead_on():
    transform = pair("nsgt", "float64")
    truth = transform.forward(np.eye(1, LENGTH, 900)[0])[None]
    for turn in (1, 1j):
        context = turn * truth[:, :40]
        found = gradient_phase(truth.abs(), transform.centres, transform.widths, context)
        assert torch.allclose(found[:, :40] * context.abs(), context, atol=1e-12)
        assert float((found[:, 40:] * (turn * truth[:, 40:]).conj()).sum().real / truth[:, 40:].abs().sum()) > 0.8


def test_the_frequency_of_a_tone_is_read_from_bands_with_hann_windows():
    centres, widths = np.array([10.0, 12, 14, 16, 18, 20]), np.full(6, 4.0)
    for tone in (13.1, 14.0, 14.9, 15.7):
        distance = np.abs(centres - tone)
        level = np.where(distance < 2, 0.5 + 0.5 * np.cos(2 * np.pi * distance / 4), 0)[:, None] + 1e-9
        loudest = int(level.argmax())
        assert offsets(level, centres, widths)[loudest, 0] == pytest.approx(tone - centres[loudest], abs=1e-3)
    assert not offsets(np.ones((6, 1)), centres, widths)[1:-1].any()  # a click is in the middle of every band
    assert np.isfinite(offsets(np.ones((3, 2)), np.zeros(3), np.ones(3))).all()  # bands rounded to the same bin


def test_the_energy_of_a_gaussian_is_at_its_instant():
    frames, instant, width = 200, 0.4, 20.0
    variance = 0.035 * width**2
    level = np.exp(-2 * np.pi**2 * variance * (np.arange(frames) / frames - instant) ** 2)[None]
    np.testing.assert_allclose(instants(level, np.array([width]))[0, 20:-20], instant, atol=1e-9)


def test_phases_spread_from_the_loudest_point_and_around_the_circle():
    level = np.array([[9.0, 2, 1], [7, 1, 1], [6, 5, 4]])
    right, up = np.tile([1.0, 1, -2], (3, 1)), np.full((2, 3), 10.0)
    np.testing.assert_array_equal(spread(level, right, up, np.zeros((3, 3))), [[0, 1, 2], [10, 11, 12], [20, 21, 22]])
    right[0, 2] = 100  # from the last frame to the first: the last is that much before the loudest
    assert spread(level, right, up, np.zeros((3, 3)))[0].tolist() == [0, 1, -100]
    context = np.array([[5.0, 5, 5], [0, 0, 0], [0, 0, 0]])
    assert spread(level, right, up, context, 1)[0].tolist() == [5, 5, 5]


@pytest.mark.parametrize("frames, d", [(40, 20), (157, 20), (31, 7), (5, 9)])
def test_full_rate_keeps_the_energy_of_each_block(frames, d):
    magnitude = np.random.default_rng(0).uniform(0, 1, (6, frames)).astype(np.float32)
    magnitude[2] = 0
    blocks = block_rms(magnitude, d)
    full = full_rate(blocks, frames, d)
    assert full.shape == magnitude.shape and np.isfinite(full).all()
    np.testing.assert_allclose(block_rms(full, d), blocks, rtol=1e-5)


def test_full_rate_of_a_decay_is_nearly_the_decay():
    decay = np.exp(-np.arange(100) / 15.0)[None]
    assert np.abs(full_rate(block_rms(decay, 5), 100, 5) / decay - 1)[:, 5:-5].max() < 0.01


@pytest.mark.parametrize("options", [
    ["--bins", "12"],
    ["--transform", "stft", "--fft_size", "128", "--hop", "32", "--init", "random"]])
def test_the_command_rebuilds_a_sound(tmp_path, capsys, options, monkeypatch):
    monkeypatch.setattr("transforms.phase_retrieval.LOW_PARTS", ((8, 10), (4, 10)))
    monkeypatch.setattr("transforms.phase_retrieval.DOUGLAS_RACHFORD_STEPS", 10)
    soundfile.write(tmp_path / "in.wav", drum(), RATE)
    result = main([str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--iterations", "40", "--plot",
                   str(tmp_path / "plot.png"), *options])
    samples, rate = load_audio(tmp_path / "out.wav")
    assert rate == RATE and len(samples) == LENGTH
    np.testing.assert_allclose(samples, result["samples"], atol=1e-6)
    assert np.linalg.norm(samples) == pytest.approx(np.linalg.norm(drum()), rel=0.05)
    assert result["convergence"] < -18
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "dB" in capsys.readouterr().out


@pytest.mark.parametrize("d, target", [("1", -18), ("4", -10)])
def test_the_command_rebuilds_files_of_either_kind(tmp_path, d, target, monkeypatch):
    monkeypatch.setattr("transforms.phase_retrieval.LOW_PARTS", ((8, 10), (4, 10)))
    monkeypatch.setattr("transforms.phase_retrieval.DOUGLAS_RACHFORD_STEPS", 10)
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds" / "in.wav", drum(), RATE)
    audio2nsgt.main(["-i", str(tmp_path / "sounds"), "-o", str(tmp_path / "coefficients"), "-r", str(RATE), "-d", d,
                     "--bins", "12", "--min_freq", "60", "--max_freq", "3900"])
    result = main([str(tmp_path / "coefficients" / "in.npy"), "-o", str(tmp_path / "out.wav"), "--iterations", "40"])
    assert load_audio(tmp_path / "out.wav")[1] == RATE and len(result["samples"]) == LENGTH
    transform = pair("nsgt")
    assert convergence(torch.tensor(result["samples"]), transform.forward(drum()).abs(), transform) < target
    assert np.linalg.norm(result["samples"]) == pytest.approx(np.linalg.norm(drum()), rel=0.2)


def test_what_is_too_loud_for_whole_numbers_is_written_as_float(tmp_path, monkeypatch, capsys):
    soundfile.write(tmp_path / "in.wav", 4 * drum(), RATE, subtype="FLOAT")
    main([str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--iterations", "5", "--transform", "stft"])
    assert np.abs(load_audio(tmp_path / "out.wav")[0]).max() > 1
    assert "nothing is clipped" in capsys.readouterr().err


@pytest.mark.parametrize("transform", ["nsgt", "stft"])
def test_a_file_of_three_samples_is_rebuilt_or_refused_in_one_line(tmp_path, transform):
    soundfile.write(tmp_path / "in.wav", np.array([0.1, 0.5, -0.2]), RATE)
    try:
        result = main([str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--transform", transform])
        assert np.isfinite(result["samples"]).all() and len(result["samples"]) == 3
    except ValueError as error:
        assert "3" in str(error) and "\n" not in str(error) and transform == "nsgt"
