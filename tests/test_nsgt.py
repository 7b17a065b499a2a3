"""The transform: the package's numbers, the papers' definition, exact inversion, and what a linear frame must do."""

import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import nsgt
from transforms.nsgt import NSGT
from transforms.scales import LogScale, MelScale, OctScale, Scale

SCALES = {"oct": OctScale, "log": LogScale, "mel": MelScale}
CASES = ("oct48_half_second", "oct24_full", "oct12_ragged", "mel96", "log128_odd_length")


@pytest.fixture(autouse=True)
def quiet():
    """Half a second is short for 48 bins: the warning has a test of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Q too high")
        yield


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def small(frames=None, **options):
    """A transform of 1,500 samples with 38 bands: quick to build and to differentiate."""
    transform = NSGT(OctScale(100, 3000, 7), 8000, 1500, **{"matrixform": True, **options})
    return transform.with_frames(frames) if frames else transform


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", None)])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_package(shared_data, case, dtype, tolerance):
    stored = np.load(shared_data / "nsgt_reference" / f"{case}.npz")
    options = json.loads(str(stored["parameters"]))
    scale = SCALES[options.pop("scale")](*(options.pop(name) for name in ("fmin", "fmax", "bins")))
    transform = NSGT(scale, dtype=dtype, **options)
    found = transform.forward(stored["signal"])
    wanted = ([stored["coefficients"]] if transform.matrixform
              else [stored[name] for name in sorted(stored.files) if name.startswith("band")])
    found = [found] if transform.matrixform else found
    assert [band.shape for band in found] == [band.shape for band in wanted]
    largest = max(np.abs(band).max() for band in wanted)
    error = max(np.abs(ours.numpy() - theirs).max() for ours, theirs in zip(found, wanted))
    assert error <= (tolerance or 1e-4 * largest)
    back = transform.backward(found[0] if transform.matrixform else found).numpy()
    assert np.abs(back - stored["reconstruction"]).max() <= (tolerance or 1e-4 * np.abs(stored["reconstruction"]).max())


@pytest.mark.parametrize("matrixform", [True, False])
def test_is_the_definition_of_the_papers(matrixform):
    """Every coefficient by its sum, with centres and widths worked out here again."""
    fs, Ls = 8000, 1501
    inner = 100 * 2 ** (np.arange(29) / 6)
    transform = NSGT(LogScale(100, inner[-1], 29), fs, Ls, matrixform=matrixform)
    signal = noise(Ls)
    spectrum = np.fft.fft(signal)
    edges = np.concatenate(([-inner[0]], [0], inner, [fs / 2], [fs - inner[-1]])) * Ls / fs
    centres, widths = edges[1:-1].copy(), edges[2:] - edges[:-2]
    centres[-2] = (edges[-4] + edges[-2]) / 2  # the highest band of the scale, midway between its neighbours
    widths = np.maximum(np.round(widths).astype(int), 4)
    found = transform.forward(signal)
    for band, (centre, width) in enumerate(zip(np.round(centres).astype(int), widths)):
        frames = widths.max() if matrixform else width
        j = np.arange(-(width // 2), width - width // 2)
        window = 0.5 + 0.5 * np.cos(2 * np.pi * j / width)
        waves = np.exp(2j * np.pi * np.outer(j, np.arange(frames)) / frames)
        wanted = (spectrum[(centre + j) % Ls] * window) @ waves / frames
        np.testing.assert_allclose(found[band].numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("length", [1000, 1009, 4999, 11025, 22050, 65537])
def test_inverts_exactly(length, dtype, tolerance):
    transform = NSGT(OctScale(30, 11000, 48), 22050, length, matrixform=True, dtype=dtype)
    signal = np.clip(noise(length) / 4, -1, 1)
    assert np.abs(transform.backward(transform.forward(signal)).numpy() - signal).max() < tolerance


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1000, 6000), kind=st.sampled_from(sorted(SCALES)), bins=st.integers(8, 60),
       fmin=st.floats(10, 200), top=st.floats(0.5, 1), matrixform=st.booleans(), real=st.booleans())
def test_inverts_exactly_whatever_the_scale(length, kind, bins, fmin, top, matrixform, real):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transform = NSGT(SCALES[kind](fmin, top * 4000, bins), 8000, length, real=real, matrixform=matrixform)
    signal = noise(length) + (0 if real else 1j * noise(length, seed=1))
    assert np.abs(transform.backward(transform.forward(signal)).numpy() - signal).max() < 1e-11


def test_is_linear():
    transform, (a, b) = small(), noise(2, 1500)
    assert torch.allclose(transform.forward(2 * a - 3 * b), 2 * transform.forward(a) - 3 * transform.forward(b))


def test_a_shift_by_frames_shifts_the_magnitudes():
    transform = small(frames=500)
    signal = noise(1500)
    moved = transform.forward(np.roll(signal, 3 * 17)).abs()
    assert torch.allclose(moved, transform.forward(signal).abs().roll(17, -1))


def test_more_frames_read_the_same_bands_between():
    few = int(small().frames[0])
    signal = noise(1500)
    assert torch.allclose(small(frames=3 * few).forward(signal)[:, ::3] * 3, small().forward(signal))
    assert torch.allclose(small(frames=3 * few).backward(small(frames=3 * few).forward(signal)), torch.tensor(signal))


@pytest.mark.parametrize("matrixform", [True, False])
def test_a_batch_is_a_loop(matrixform):
    transform, signals = small(matrixform=matrixform), noise(23, 1500)
    together = transform.forward(signals)
    alone = [transform.forward(signal) for signal in signals]
    if matrixform:
        assert torch.allclose(together, torch.stack(alone), atol=1e-14)
    else:
        assert all(torch.allclose(band, torch.stack(bands), atol=1e-14) for band, bands in zip(together, zip(*alone)))
    back = transform.backward(together)
    assert back.shape == (23, 1500)
    assert torch.allclose(back, torch.tensor(signals), atol=1e-12)


def test_forward_after_backward_is_an_orthogonal_projection():
    """So that backward is the least-squares inverse, which Griffin-Lim stands on."""
    transform = small()
    shape = transform.forward(noise(1500)).shape
    a, b = (torch.tensor(noise(*shape, seed=s) + 1j * noise(*shape, seed=s + 10)) for s in (1, 2))
    for c in (a, b):
        c[[0, -1]] = c[[0, -1]].real + 0j  # as those of any real signal are

    def project(c):
        return transform.forward(transform.backward(c))

    def inner(u, v):  # 0 Hz and Nyquist have no twin at negative frequencies, all others count twice
        weight = torch.full((shape[0], 1), 2.0)
        weight[0] = weight[-1] = 1
        return float((weight * u * v.conj()).sum().real)

    assert torch.allclose(project(project(a)), project(a))
    assert inner(project(a), b) == pytest.approx(inner(a, project(b)), rel=1e-9)


def test_gradients_of_both_directions_are_right():
    transform = NSGT(OctScale(200, 900, 3), 2000, 90, matrixform=True)
    signal = torch.tensor(noise(2, 90), requires_grad=True)
    assert torch.autograd.gradcheck(transform.forward, signal)
    coefficients = transform.forward(signal).detach().requires_grad_(True)
    assert torch.autograd.gradcheck(transform.backward, coefficients)


def test_the_table_of_exponentials_and_the_fft_agree(monkeypatch):
    signal, results = noise(1500), []
    for by_table in (True, False):
        monkeypatch.setattr(nsgt, "_by_table", lambda width, frames: by_table)
        transform = small()
        results.append((transform.forward(signal), transform.backward(transform.forward(signal))))
    for one, other in zip(*results):
        assert torch.allclose(one, other, atol=1e-13)


def test_silence_stays_silence():
    transform = small(dtype="float32")
    assert not transform.forward(np.zeros(1500)).any()
    assert not transform.backward(transform.forward(np.zeros(1500))).any()


@pytest.mark.parametrize("reducedform", [0, 1, 2])
def test_reduced_forms_leave_out_the_outer_bands(reducedform):
    whole, part = small(), small(reducedform=reducedform, frames=int(small().frames[0]))
    signal = noise(1500)
    kept = slice(reducedform, len(whole.frames) - reducedform)
    assert torch.allclose(part.forward(signal), whole.forward(signal)[kept])
    np.testing.assert_array_equal(part.frequencies, whole.frequencies[kept])


@pytest.mark.parametrize("reducedform", [0, 1, 2])
def test_with_all_bands_is_the_whole_transform_in_enough_frames(reducedform):
    part, whole = small(reducedform=reducedform), small()
    found = part.with_all_bands()
    np.testing.assert_array_equal(found.frequencies, whole.frequencies)
    assert found.reducedform == 0 and found.frames[0] == max(part.frames[0], whole.frames[0])


def test_a_sine_peaks_in_the_band_of_its_frequency():
    transform = NSGT(OctScale(100, 3000, 12), 8000, 8000, matrixform=True)
    for band in (5, 20, 40):
        sine = np.sin(2 * np.pi * transform.frequencies[band] * np.arange(8000) / 8000)
        assert int(transform.forward(sine).abs().mean(-1).argmax()) == band


def test_below_keeps_the_bands_and_their_magnitudes():
    transform, signal = small(), noise(1500)
    part = transform.below(1000.0)
    bands = len(part.frequencies) - 2
    np.testing.assert_allclose(part.frequencies[:bands], transform.frequencies[:bands])
    spectrum = np.fft.rfft(signal)[:part.Ls // 2 + 1]
    low = part.forward(np.fft.irfft(spectrum, n=part.Ls))[1:bands]
    ratio = part.frames[0] / transform.frames[0]
    assert torch.allclose(low[:, 0] * ratio, transform.forward(signal)[1:bands, 0], atol=1e-12)
    assert transform.below(120.0) is None and transform.below(4000.0) is None


def test_a_scale_of_your_own_is_a_small_class():
    class Thirds(Scale):
        def F(self, bnd=None):
            return 100.0 * 2 ** ((np.arange(self.bnds) if bnd is None else bnd) / 3)

    transform, signal = NSGT(Thirds(14), 8000, 3000, matrixform=True), noise(3000)
    assert np.abs(transform.backward(transform.forward(signal)).numpy() - signal).max() < 1e-12
    np.testing.assert_allclose(Thirds(14).Q(), 1 / (2 * np.log(2 ** (1 / 3))), rtol=1e-6)


@pytest.mark.parametrize("scale", [OctScale(50, 3000, 12), LogScale(50, 3000, 40), MelScale(50, 3000, 40)])
def test_quality_is_frequency_over_bandwidth(scale):
    frequencies, qualities = scale()
    assert len(scale) == len(frequencies) == len(qualities)
    np.testing.assert_allclose(frequencies[[0, -1]], [50, 3000])
    np.testing.assert_allclose(qualities[1:-1], frequencies[1:-1] / (frequencies[2:] - frequencies[:-2]), rtol=0.02)


@pytest.mark.parametrize("make, words", [
    (lambda: OctScale(0, 100, 12), ["fmin", "0"]),
    (lambda: LogScale(-3, 100, 12), ["fmin", "-3"]),
    (lambda: OctScale(50, 40, 12), ["fmax", "40", "50"]),
    (lambda: LogScale(50, 400, 0), ["bands", "0"]),
    (lambda: OctScale(50, 400, 0), ["bands", "0"]),
    (lambda: NSGT(OctScale(30, 12000, 12), 22050, 5000), ["12000", "11025", "24000"]),
    (lambda: NSGT(OctScale(30, 3000, 12), 8000, 3), ["Ls", "4", "3"]),
    (lambda: NSGT(OctScale(30, 3000, 12), 8000, 3000, reducedform=3), ["reducedform", "3"]),
    (lambda: NSGT(OctScale(30, 3000, 12), 8000, 3000, dtype="int32"), ["dtype", "int32"]),
    (lambda: small(frames=3), ["frames", "3"]),
    (lambda: small().forward(np.zeros(1499)), ["1500", "1499"]),
    (lambda: small().forward(np.zeros(0)), ["1500", "0"]),
    (lambda: small().forward(np.zeros((0, 1500))), ["1500", "0"]),
    (lambda: small().forward(np.full(1500, np.nan)), ["finite", "1500"]),
    (lambda: small().backward(np.zeros((3, 4))), ["(3, 4)"]),
    (lambda: small().backward(np.full(tuple(small().forward(noise(1500)).shape), np.inf)), ["finite"]),
])
def test_errors_give_the_argument_and_the_numbers(make, words):
    with pytest.raises(ValueError) as error:
        make()
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


def test_too_high_a_q_is_one_warning_with_what_would_do():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        NSGT(OctScale(30, 11000, 48), 22050, 11025)
        assert len(caught) == 1
        text = str(caught[0].message)
        assert all(word in text for word in ("273.1 Hz", "Q = 34.6", "11025", "100364 samples", "5 bands an octave"))
        NSGT(OctScale(30, 11000, 48), 22050, 100364)
        NSGT(OctScale(30, 11000, 5), 22050, 11025)
        assert len(caught) == 1  # the two that the warning proposes need none
