"""The synthesised sounds, listened to with numbers: attack, end, level, DC, and whether each is the drum it claims."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from scipy import signal

from formats.activation_matrix import INSTRUMENTS
from formats.kit import KIT, load_kit, loudest
from sounds.descriptors import attack_ms


@pytest.fixture(scope="module")
def sounds(root):
    """The module dataset_audio/make_sounds.py, which stands in a folder that is no package."""
    sys.path.insert(0, str(root / "dataset_audio"))
    try:
        import make_sounds
        return make_sounds
    finally:
        sys.path.remove(str(root / "dataset_audio"))


@pytest.fixture(scope="module")
def circuits(sounds):
    return sys.modules["circuits"]


@pytest.fixture(scope="module")
def kit():
    return {sound.name: sound.samples() for sound in load_kit()}


def power(samples, size=1 << 17):
    """Energy by frequency, one bin a third of a Hz: (energies, frequencies in Hz)."""
    return np.abs(np.fft.rfft(samples, size)) ** 2, np.fft.rfftfreq(size, 1 / 44100)


def share(samples, low, high):
    """The share of a sound's energy from `low` to `high` Hz."""
    energy, hz = power(samples)
    return energy[(hz >= low) & (hz < high)].sum() / energy.sum()


def centroid(samples):
    energy, hz = power(samples)
    return (energy * hz).sum() / energy.sum()


def pitch(samples):
    energy, hz = power(samples)
    return hz[energy.argmax()]


def fallen(samples, decibels):
    """Seconds until the level, in steps of 5 ms, stays so far below its loudest."""
    steps = samples[:len(samples) // 220 * 220].reshape(-1, 220).std(axis=1)
    return (np.flatnonzero(steps > steps.max() * 10 ** (-decibels / 20))[-1] + 1) * 220 / 44100


def check_one_shot(name, samples, peak, late=0.002):
    """What must be true of every one-shot: struck at once, silent at its end, no DC, below its peak."""
    loudest = np.abs(samples).max()
    assert np.isfinite(samples).all() and 0.01 < loudest <= peak + 1e-6, name
    assert np.argmax(np.abs(samples) > 0.1 * loudest) <= late * 44100, f"{name}: late attack"
    assert np.abs(samples[-20:]).max() < 1e-3 * loudest, f"{name}: cut off"
    assert abs(samples.mean()) < 2e-3 * loudest, f"{name}: DC"


def test_the_committed_kit_is_what_the_script_makes(sounds):
    made = sounds.make_kit()
    for name, samples, first in made:
        path = KIT / (f"{name}.wav" if first else f"{name}.flac")
        stored, rate = soundfile.read(path, dtype="float32")
        assert rate == 44100 and stored.ndim == 1 and soundfile.info(path).subtype == ("PCM_24" if first else "PCM_16")
        np.testing.assert_allclose(stored, samples, atol=2.5 / 2 ** (23 if first else 15))
    assert len(list(KIT.iterdir())) == len(made) == 64
    assert sum(path.stat().st_size for path in KIT.iterdir()) < 2.5e6


def test_the_kit_is_written_with_the_same_bytes_each_time(tmp_path, root):
    for folder in ("one", "two"):
        subprocess.run([sys.executable, root / "dataset_audio" / "make_sounds.py", "--kit", "-o", folder], cwd=tmp_path,
                       check=True, capture_output=True)
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert len(names) == 64
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("row", range(8))
def test_each_row_of_the_kit_has_four_velocities_darker_and_slower_as_it_is_struck_softer(row):
    sound = load_kit()[row]
    assert sound.velocities == (32, 64, 96, 127)
    first = [layer[0].astype(float) for layer in sound.layers]
    brightness, rises = [centroid(samples) for samples in first], [attack_ms(samples, 44100) for samples in first]
    assert brightness == sorted(brightness) and rises[0] > rises[2] and rises[0] > rises[3] + 1
    assert len(first[0]) < len(first[3])


@pytest.mark.parametrize("row", range(8))
def test_each_layer_of_the_kit_has_two_takes_of_one_drum(row):
    for one, other in load_kit()[row].layers:
        assert loudest(other) == pytest.approx(loudest(one), rel=0.02)
        assert fallen(other, 20) == pytest.approx(fallen(one, 20), rel=0.5)
        assert 1200 * abs(np.log2(centroid(other) / centroid(one))) < 500
        count = min(len(one), len(other))
        assert np.abs(one[:count] - other[:count]).max() > 0.02 * np.abs(one).max(), "another sample"
    if row in (0, 5, 7):
        assert 1200 * abs(np.log2(pitch(other) / pitch(one))) < 20


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_each_sound_of_the_kit_is_a_clean_one_shot(name, kit, sounds):
    check_one_shot(name, kit[name].astype(float), sounds.PEAK)


def test_the_kit_is_loud_by_class_and_needs_no_gain(kit, sounds):
    for name, samples in kit.items():
        assert 20 * np.log10(sounds.loudness(samples)) == pytest.approx(sounds.LOUDNESS_DB[name], abs=0.1)
        np.testing.assert_array_equal(samples, soundfile.read(KIT / f"{name}.wav", dtype="float32")[0])


def test_the_kick_is_low_and_its_pitch_falls(kit):
    assert share(kit["Kick"], 30, 150) > 0.85
    crossings = np.flatnonzero(np.diff(np.signbit(kit["Kick"][:20000])))
    half_periods = np.diff(crossings)
    assert half_periods[1] < 0.7 * half_periods[8]  # sweeps down ...
    assert 44100 / 2 / half_periods[10:16].mean() == pytest.approx(50, rel=0.05)  # ... to its tune


def test_the_snare_is_a_shell_and_wires(kit):
    energy, hz = power(kit["Snare"])
    assert 170 < hz[energy.argmax()] < 200
    assert share(kit["Snare"], 150, 400) > 0.2 and share(kit["Snare"], 1500, 12000) > 0.2
    assert centroid(kit["Snare"][8000:]) > 2000  # the wires ring longer than the shell


def test_the_clap_is_several_bursts_then_a_tail(kit):
    envelope = np.convolve(np.abs(kit["Clap"]), np.ones(88) / 88, "same")
    peaks, _ = signal.find_peaks(envelope[:2600], prominence=0.2 * envelope.max(), distance=200)
    assert np.allclose(np.diff(peaks[:3]) / 44.1, 10.5, atol=2)
    assert share(kit["Clap"], 600, 3000) > 0.6 and fallen(kit["Clap"], 30) > 0.15


def test_hats_are_bright_and_the_open_one_rings(kit):
    for name in ("HHO", "HHC"):
        assert share(kit[name], 5000, 16000) > 0.8
    assert fallen(kit["HHO"], 20) > 4 * fallen(kit["HHC"], 20)


def test_the_cymbal_rings_longest_and_darkens(kit):
    assert fallen(kit["Cymb"], 30) > max(fallen(kit[name], 30) for name in INSTRUMENTS if name != "Cymb")
    assert centroid(kit["Cymb"][:8000]) > 1.2 * centroid(kit["Cymb"][30000:])


def test_the_tom_is_tuned_between_kick_and_snare(kit):
    energy, hz = power(kit["Tom"][6000:])
    assert hz[energy.argmax()] == pytest.approx(105, rel=0.05) and share(kit["Tom"], 80, 250) > 0.8


def test_the_cowbell_has_its_two_tones(kit):
    energy, hz = power(kit["Percu"])
    for tone in (540, 800):
        near = (hz > tone - 8) & (hz < tone + 8)
        assert energy[near].max() > 100 * np.median(energy[(hz > 600) & (hz < 740)])


# The circuits -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, hz, q", [("low", 800, 0.7), ("high", 7000, 0.8), ("band", 3440, 2), ("band", 300, 1)])
def test_filters_equal_the_biquads_of_their_analogue_prototypes(sounds, kind, hz, q):
    samples = np.random.default_rng(0).standard_normal(4000)
    corner = 2 * 44100 * np.tan(np.pi * hz / 44100)
    numerator = {"low": [corner ** 2], "band": [corner / q, 0], "high": [1, 0, 0]}[kind]
    b, a = signal.bilinear(numerator, [1, corner / q, corner ** 2], 44100)
    np.testing.assert_allclose(sounds.filtered(samples, (kind, hz, q)), signal.lfilter(b, a, samples), atol=1e-6)


def test_a_shelf_leaves_lows_and_scales_highs(sounds):
    impulse = np.zeros(8192)
    impulse[0] = 1
    response = np.abs(np.fft.rfft(sounds.filtered(impulse, ("shelf", 2000, 0.25))))
    assert response[1] == pytest.approx(1, abs=0.01) and response[-1] == pytest.approx(0.25, rel=0.01)


def test_squares_are_nearly_free_of_aliases(sounds, circuits):
    hz = 1234.5
    t = sounds.axis(1.0)
    window = np.hanning(len(t))

    def between_harmonics(wave):
        energy = np.abs(np.fft.rfft(wave * window)) ** 2
        bins = np.arange(len(energy))
        odd = np.abs((bins / hz - 1) % 2)
        harmonic = np.minimum(odd, 2 - odd) * hz < 6
        audible = bins < 10000
        return 10 * np.log10(energy[~harmonic & audible].sum() / energy[harmonic].sum())

    naive = np.where((hz * t) % 1 < 0.5, 1.0, -1.0)
    assert between_harmonics(circuits.square(t, hz)) < between_harmonics(naive) - 10
    assert between_harmonics(circuits.square(t, hz)) < -40


def test_a_bank_of_modes_is_the_sum_of_its_sines(circuits):
    t = circuits.axis(0.1)
    hz, seconds, level, phase = np.array([[200.0, 5000.0], [0.05, 0.3], [1.0, 0.5], [0.3, 2.0]])
    plain = sum(a * np.sin(2 * np.pi * f * t + p) * circuits.decay(t, s)
                for f, s, a, p in zip(hz, seconds, level, phase))
    np.testing.assert_allclose(circuits.modes(t, hz, seconds, level, phase), plain, atol=1e-9)


def test_a_peak_scales_its_frequency_alone(sounds):
    response = np.abs(np.fft.rfft(sounds.filtered(np.eye(1, 8192)[0], ("peak", 1000, 3.0))))
    assert response[round(1000 / 44100 * 8192)] == pytest.approx(3, rel=0.01)
    assert response[[0, -1]] == pytest.approx(1, abs=0.01)


# The collection ----------------------------------------------------------------------------------------------------

def test_any_machine_makes_clean_one_shots_of_every_class(sounds):
    for index in range(6):
        for name in INSTRUMENTS:
            family, samples = sounds.make_sound(5, index, name, 0)
            assert samples.dtype == np.float32 and len(samples) <= sounds.LONGEST * 44100 + 1
            check_one_shot(f"{name} {index} {family}", samples.astype(float), sounds.PEAK, late=0.004)
            assert 20 * np.log10(sounds.loudness(samples)) < sounds.LOUDNESS_DB[name] + 0.1


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_family_takes_both_ends_of_its_ranges(name, sounds):
    for family, (voice, ranges) in sounds.FAMILIES[name].items():
        for end in (0, 1):
            parameters = {key: value[end] if isinstance(value, tuple) else value for key, value in ranges.items()}
            if "clock_hz" in voice.__code__.co_varnames:
                parameters["clock_hz"] = (8000, 44100)[end]
            samples = sounds.finished(voice(np.random.default_rng(0), **parameters), sounds.LOUDNESS_DB[name])
            check_one_shot(f"{name} {family} {end}", samples.astype(float), sounds.PEAK)


def test_a_collection_is_the_same_bytes_again_and_a_longer_one_begins_with_it(sounds, tmp_path):
    made = sounds.main(["-n", "12", "--seed", "3", "--jobs", "1", "-o", str(tmp_path / "short")])
    again = sounds.main(["-n", "42", "--seed", "3", "--jobs", "1", "-o", str(tmp_path / "long")])
    assert sum(made.values()) == 12 and sum(again.values()) == 42 and made["Kick"] == 5
    short = sorted(path.relative_to(tmp_path / "short") for path in (tmp_path / "short").rglob("*.wav"))
    assert len(short) == 12
    for path in short:
        assert (tmp_path / "short" / path).read_bytes() == (tmp_path / "long" / path).read_bytes()
    other = sounds.make_sound(4, 0, "Kick", 0)[1]
    assert not np.array_equal(other[:100], sounds.make_sound(3, 0, "Kick", 0)[1][:100])


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_softer_stroke_is_the_same_sound_lower_and_darker(name, sounds):
    for index in range(4):
        (family, hard), (same, soft) = (sounds.make_sound(5, index, name, 1, velocity) for velocity in (1.0, 0.3))
        accent = sounds.machine(5, index)["accent"]
        assert family == same and sounds.loudness(soft) < 1.4 * 0.3 ** accent * sounds.loudness(hard)
        check_one_shot(f"{name} {index} {family}", soft.astype(float), sounds.PEAK, late=0.005)
        assert share(soft, 4000, 20000) < share(hard, 4000, 20000) + 1e-4, (index, family)
        np.testing.assert_array_equal(hard, sounds.make_sound(5, index, name, 1)[1])
        spectra = [np.abs(np.fft.rfft(samples, 1 << 17)) for samples in (hard, soft)]
        assert np.corrcoef(*np.log(np.array(spectra) + 1e-6))[0, 1] > 0.6, (index, family)  # the same random numbers


def test_velocities_are_written_side_by_side(sounds, tmp_path):
    made = sounds.main(["-n", "3", "--velocities", "1", "0.4", "--jobs", "1", "-o", str(tmp_path)])
    names = sorted(path.stem[-5:] for path in tmp_path.rglob("*.wav"))
    assert made["Kick"] == 6 and names == ["_v051"] * 3 + ["_v127"] * 3
    with pytest.raises(ValueError, match="velocity"):
        sounds.make_sound(0, 0, "Kick", 0, velocity=0)


def test_the_committed_examples_are_what_the_script_makes(sounds, root):
    paths = sorted((root / "dataset_audio").glob("*/machine0[0-2]_*_0.wav"))
    assert len(paths) == 24
    for path in paths[::5]:
        family, samples = sounds.make_sound(0, int(path.name[7:9]), path.parent.name, 0)
        stored = soundfile.read(path, dtype="float32")[0]
        assert path.name.split("_")[1] == family
        np.testing.assert_allclose(stored, samples, atol=1.5 / 2 ** 15)


def test_machines_differ_more_than_the_sounds_of_one(sounds):
    """Pitch and length of kicks vary, for a good part between machines; and there is more than one family."""
    kicks = [[sounds.make_sound(0, index, "Kick", count) for count in range(3)] for index in range(12)]
    assert len({family for machine in kicks for family, _ in machine}) >= 3
    features = np.array([[(np.log(pitch(samples)), np.log(fallen(samples, 20))) for _, samples in machine]
                         for machine in kicks])  # (machines, sounds, 2)
    within = features.var(axis=1, ddof=1).mean(axis=0)
    total = features.reshape(-1, 2).var(axis=0, ddof=1)
    assert np.all(within < 0.8 * total) and np.all(np.sqrt(total) > 0.2)
