"""sounds/synthesis.py: at its own code a source comes back, gains come out as asked, no sound is a copy; finish."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sounds import LATENT, RATE, SETTINGS, drum, make_sound_model, write_machines

from sounds import synthesis
from sounds.codes import attach_sound, encode, random_codes, seeded_generator
from sounds.dataset import level_db
from sounds.descriptors import attack_ms
from sounds.spectrograms import coefficients, frame_edges, spectrogram_of
from sounds.synthesis import (NEW_DB, Source, bands_apart, finish, multiplied, synthesise, with_attack_of,
                              with_evenness_of, with_slower_attack)

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES = 2000


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A model of eight classes of five machines, and what its checkpoint says of its sounds."""
    folder = tmp_path_factory.mktemp("synthesis")
    levels = [-14.0 - row for row in range(8)]
    return make_sound_model(write_machines(folder / "sounds"), folder / "cache", levels=levels)


@pytest.fixture(scope="module")
def model(described):
    return attach_sound(*described)


def snr_db(sound, other):
    """The level of a sound over that of its difference from another, whose level is made the same: (n,), (n,) -> dB."""
    sound, other = sound.astype(float), other[:len(sound)].astype(float)
    other = other * np.dot(sound, other) / np.dot(other, other)
    return 10 * np.log10(np.sum(sound ** 2) / np.sum((sound - other) ** 2))


# A source at a code.

@pytest.mark.parametrize("row", range(8))
def test_at_its_own_code_a_source_comes_back(model, row):
    sound = drum(7, 0.03, 90 * 1.5 ** row, 0.2, samples=1600)
    code, _ = encode(model, sound, row)
    made, = synthesise(model, code[None], row, sources=[[(Source(sound, row), 1.0)]])
    assert snr_db(sound, made) > 20 and snr_db(sound[16:-80], made[16:]) > 26
    target = synthesis.decode(model, code, torch.eye(8)[row])
    moved = synthesis.moved_to(model, target, Source(sound, row))
    assert snr_db(sound, moved) > 60, "what is not quite the same is the finish"


def test_at_another_code_a_source_goes_towards_what_is_decoded_there(model, monkeypatch):
    for name, value in dict(SMOOTH=(0.1, 1), HELD=4, WEAK_DB=-70.0).items():  # whatever they are tuned to
        monkeypatch.setattr(synthesis, name, value)
    closer = []
    for row in range(8):
        sound = drum(7, 0.02, 90 * 1.5 ** row, 0.3, samples=1600)
        own, _ = encode(model, sound, row)
        code = random_codes(model, [row], seed=row)[0][0]
        target, weights = synthesis.decode(model, code, torch.eye(8)[row]), torch.eye(8)[row]
        moved = synthesis.moved_to(model, target, Source(sound, row)).astype(np.float32)
        again, _ = encode(model, moved, row)
        far, near = ((synthesis.decode(model, one, weights) - target).square().mean().sqrt() for one in (own, again))
        closer.append(float(near / far))
    assert np.median(closer) < 0.7


def test_shares_of_sources_are_those_of_what_is_heard(model):
    """Both parts of a morph are at one level: the one has the energy of its share, whatever the levels of the files."""
    sounds = [drum(1, 0.03, 200, 0.0, samples=1600), 0.01 * drum(2, 0.03, 1500, 0.0, samples=1600)]
    codes = torch.stack([encode(model, sound, 2)[0] for sound in sounds])
    shares = []
    for share in (0.0, 0.25, 0.75, 1.0):
        sources = [[(Source(sounds[0], 2), 1 - share), (Source(sounds[1], 2), share)]]
        made, = synthesise(model, torch.lerp(codes[:1], codes[1:], share), 2, sources=sources)
        power = np.abs(np.fft.rfft(made)) ** 2
        frequencies = np.fft.rfftfreq(len(made), 1 / RATE)
        shares.append(power[frequencies > 600].sum() / power.sum())
    assert shares[0] < 0.05 < shares[1] < shares[2] < 0.999 and shares[3] > 0.95


# Multipliers.

@pytest.mark.parametrize("slope, decay", [(0, 0), (20, 0), (-20, 0), (0, -18), (12, -18)])
def test_what_comes_out_has_the_gain_asked_for(slope, decay):
    """Noise that lasts, times a gain that changes with frequency and time: levels differ by it, in parts of both."""
    count, parts = 16, []
    for seed in range(count):
        noise = np.random.default_rng(seed).standard_normal(SAMPLES).astype(np.float32)
        c, transform = coefficients(noise, SETTINGS)
        middles = (frame_edges(SETTINGS)[1:] + frame_edges(SETTINGS)[:-1]) / 2
        gain = np.linspace(0, slope, len(c))[:, None] + decay * middles / SETTINGS["seconds"]
        made = multiplied(c, transform, gain, SETTINGS)[:SAMPLES].astype(np.float32)
        parts.append([coefficients(sound, SETTINGS)[0].abs().square() for sound in (noise, made)])
    before, after = (torch.stack(part).mean(0) for part in zip(*parts))               # (bands, frames of transform)
    moments = (np.arange(before.shape[1]) + 0.5) * transform.Ls / RATE / before.shape[1] - synthesis.LEAD
    for low in range(20, len(before) - 10, 10):
        for begin in (0.03, 0.1, 0.17):
            part = slice(low, low + 10), (moments > begin) & (moments < begin + 0.05)
            found = 10 * torch.log10(after[part].sum() / before[part].sum())
            wanted = slope * (low + 4.5) / (len(before) - 1) + decay * (begin + 0.025) / SETTINGS["seconds"]
            assert abs(float(found) - wanted) < 1.5, (low, begin)


def test_a_gain_is_limited_smooth_and_one_over_the_attack():
    wild = torch.randn(76, 24, generator=torch.Generator().manual_seed(0)) * 100
    gain = synthesis.smooth_gain(wild, SETTINGS)
    assert gain.shape == wild.shape and np.abs(gain).max() <= synthesis.MOST_DB
    assert np.abs(np.diff(gain, axis=0)).max() < synthesis.MOST_DB / 2
    level = synthesis.smooth_gain(torch.full((76, 24), 5.0), SETTINGS)
    np.testing.assert_allclose(level, 5, atol=1e-5)
    assert not synthesis.smooth_gain(torch.zeros(76, 24), SETTINGS).any()


@pytest.mark.parametrize("bands", [-5, -2, 0, 1, 4])
def test_a_transposition_is_found(bands):
    bins, sound = SETTINGS["bins"], drum(3, 0.05, 400, 0.02)
    raised = drum(3, 0.05, 400 * 2 ** (bands / bins), 0.02)
    own, target = (spectrogram_of(one, SETTINGS) for one in (sound, raised))
    assert bands_apart(target, own, bins) == bands


def test_noise_is_not_transposed_and_beyond_the_reach_nothing_is():
    one, other = (spectrogram_of(drum(seed, 0.05, 400, 20.0), SETTINGS) for seed in (1, 1))
    assert bands_apart(one, other, SETTINGS["bins"]) == 0
    low, high = (spectrogram_of(drum(1, 0.05, tone, 0.02), SETTINGS) for tone in (200, 2000))
    assert abs(bands_apart(high, low, SETTINGS["bins"])) <= round(synthesis.PITCH_OCTAVES * SETTINGS["bins"])


# Attack.

def energy_in(sound, begin, end):
    return float(np.square(sound[round(begin * RATE):round(end * RATE)], dtype=float).sum())


def test_the_attack_is_the_sources():
    """A copy whose first 20 ms were smeared gets its rise back; later it stays as it was."""
    source = drum(1, 0.04, 300, 1.0)
    smeared = source * np.minimum(1, (np.arange(SAMPLES) + 20) / 160)
    made = with_attack_of(smeared, source, RATE)
    shares = [energy_in(sound, 0, 0.005) / energy_in(sound, 0, 0.03) for sound in (source, smeared, made)]
    assert shares[1] < 0.4 * shares[0] and shares[2] == pytest.approx(shares[0], rel=0.15)
    late = round(2 * synthesis.ATTACK[1] * RATE)
    np.testing.assert_array_equal(made[late:], smeared[late:])


def test_a_sound_with_the_attack_of_itself_is_as_it_was_and_silence_divides_nothing():
    sound = drum(2)
    np.testing.assert_allclose(with_attack_of(sound, sound, RATE), sound, atol=1e-6)
    with np.errstate(all="raise"):
        assert not with_attack_of(np.zeros(SAMPLES), sound, RATE).any()
        assert np.isfinite(with_attack_of(sound, np.zeros(SAMPLES), RATE)).all()
        for count in (1, 5, 9):
            assert np.isfinite(with_attack_of(sound[:count], sound[:count], RATE)).all()


def test_a_decay_that_has_become_uneven_is_made_as_even_as_the_sources_and_others_stay():
    time = np.arange(SAMPLES) / RATE
    source = np.random.default_rng(0).standard_normal(SAMPLES) * np.exp(-time / 0.1)
    np.testing.assert_allclose(with_evenness_of(source, source, RATE), source)
    softer = 0.5 * source * np.exp(-time / 0.1)
    np.testing.assert_allclose(with_evenness_of(softer, source, RATE), softer, rtol=0.05)
    bump = source * 10 ** (7 * np.exp(-((time - 0.13) / 0.012) ** 2) / 20)
    made = with_evenness_of(bump, source, RATE)
    above = [energy_in(sound, 0.12, 0.14) / energy_in(source, 0.12, 0.14) for sound in (bump, made)]
    assert above[0] > 3 and above[1] < 0.6 * above[0]
    for count in (1, 9, 500):
        assert np.isfinite(with_evenness_of(np.zeros(count), source[:count], RATE)).all()


# The finish.

def signals():
    """Silence, noise, decays from anywhere, steps, an impulse: (n,) of many levels and lengths."""
    def make(kind, seed, gain, start, count):
        generator = np.random.default_rng(seed)
        samples = {"noise": generator.standard_normal(SAMPLES), "step": np.ones(SAMPLES),
                   "impulse": np.eye(1, SAMPLES, start)[0], "slow": np.sin(np.arange(SAMPLES) / 40),
                   "decay": np.roll(drum(seed), start)}[kind]
        return gain * samples[:count]

    return st.builds(make, st.sampled_from(["noise", "step", "impulse", "slow", "decay"]), st.integers(0, 10**6),
                     st.sampled_from([1e-6, 0.1, 1.0, 1e4]), st.integers(0, SAMPLES - 1),
                     st.sampled_from([SAMPLES, SAMPLES, 300, 100]))


@settings(max_examples=50, deadline=None)
@given(signal=signals(), level=st.floats(-40, 0))
def test_a_finished_sound_begins_and_ends_at_0_has_no_dc_and_its_level(signal, level):
    sound = finish(signal, RATE, level)
    assert sound.dtype == np.float32 and sound.shape == signal.shape and np.isfinite(sound).all()
    peak = np.abs(sound).max()
    assert peak <= synthesis.CEILING + 1e-6
    if peak < 1e-6:
        assert np.count_nonzero(np.abs(signal[:-1]) > 1e-9) < 2, "a single sample is nothing but DC"
        return
    assert sound[-1] == 0 and abs(sound.mean()) < 1e-5 * peak + 1e-9
    if peak < synthesis.CEILING - 1e-3:
        assert level_db(sound, RATE) == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize("rate", [22050, 44100, 96000])
@pytest.mark.parametrize("start", [0.0, 0.5, 1.5])
def test_the_first_sample_is_below_5_percent_of_the_attack(rate, start):
    """Of a sine of any phase that is there at once; at lower rates there are no samples to rise in."""
    time = np.arange(round(0.2 * rate)) / rate
    sound = finish(np.sin(2 * np.pi * 100 * time + start) * np.exp(-time / 0.05), rate, -12)
    attack = np.abs(sound[:round(0.005 * rate)]).max()
    assert abs(sound[0]) < 0.05 * attack


def test_silence_stays_silence_and_few_samples_are_no_trouble():
    assert not finish(np.zeros(SAMPLES), RATE, -10).any()
    with np.errstate(all="raise"):
        for count in range(12):
            assert finish(np.ones(count), RATE, -10).shape == (count,)


# Exemplars.

def test_a_made_sound_is_another_than_its_exemplar(model):
    """The first exemplar in line from which it is NEW_DB away; where none is, the farthest."""
    known, eye = model.exemplars, torch.eye(8)
    codes, kits = random_codes(model, range(32), seed=0)
    for i, (code, kit) in enumerate(zip(codes, kits)):
        row, target = i % 8, synthesis.decode(model, code, eye[i % 8])
        places = known.near(code, row, kit, seeded_generator(0, i, 1))
        apart = [float((target - synthesis.decode(model, known.codes[known.kept[place]], eye[row])).square().mean()
                       .sqrt()) for place in places]
        wanted = next((n for n, distance in enumerate(apart) if distance >= NEW_DB), int(np.argmax(apart)))
        chosen = synthesis.choose_exemplar(model, target, code, row, kit, seeded_generator(0, i, 1))
        np.testing.assert_array_equal(chosen.samples, known.samples(places[wanted]))
        assert chosen.label == row


def test_at_a_training_sounds_own_code_another_sound_is_borrowed_from(model):
    known = model.exemplars
    for place in range(0, 80, 9):
        code, row = known.codes[known.kept[place]], int(known.labels[known.kept[place]])
        made, = synthesise(model, code[None], row, seed=1)
        own = known.samples(place)
        assert snr_db(own, np.pad(made, (0, SAMPLES))) < 10


def test_sounds_follow_seed_number_and_nothing_else_with_any_number_of_threads(model, monkeypatch):
    codes, kits = random_codes(model, range(8), seed=4)
    labels = torch.arange(8)
    whole = synthesise(model, codes, labels, seed=4, kits=kits)
    assert all(sound.dtype == np.float32 and np.abs(sound).max() > 0.01 for sound in whole)
    monkeypatch.setattr(synthesis, "WORKERS", 1)
    assert all(map(np.array_equal, whole, synthesise(model, codes, labels, seed=4, kits=kits)))
    monkeypatch.setattr(synthesis, "WORKERS", 3)
    for order in ([7], [5, 2, 0]):
        some = synthesise(model, codes[order], labels[order], seed=4, numbers=order, kits=kits[order])
        assert all(np.array_equal(sound, whole[i]) for sound, i in zip(some, order))
    other = synthesise(model, codes, labels, seed=5, kits=kits)
    assert any(not np.array_equal(*pair) for pair in zip(whole, other)), "the seed chooses exemplars"


# Velocity, levels, classes.

@pytest.fixture
def soft_model(described):
    """The model, which says that a strike at 0.4 takes 4 dB, and code moves by what darkens a sound."""
    model, sound = described
    model = attach_sound(model, sound)
    centres, scales = model.exemplars.centres, model.exemplars.scales
    bright = torch.stack([model.decode_mean(centres[row] + torch.eye(LATENT) * scales[row],
                                            label=torch.full((LATENT,), row))[:, 40:].mean((1, 2))
                          for row in range(8)])                                       # (8, latent)
    way = -(bright - bright.mean(1, keepdim=True)).sign() * scales
    yield attach_sound(model, {**sound, "soft": {"velocity": 0.4, "levels": [-4.0] * 8, "codes": 0.5 * way}})
    attach_sound(model, sound)


def brightness(sound):
    """The share of energy above 1.5 kHz, in dB."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    return 10 * np.log10(power[np.fft.rfftfreq(len(sound), 1 / RATE) > 1500].sum() / power.sum())


def test_a_softer_strike_is_quieter_and_darker(soft_model):
    codes, kits = random_codes(soft_model, range(8), seed=1)
    hard, middle, soft = (synthesise(soft_model, codes, torch.arange(8), 1, kits=kits, velocity=velocity)
                          for velocity in (1.0, 0.7, 0.4))
    for row in range(8):
        levels = [level_db(sounds[row], RATE) for sounds in (hard, middle, soft)]
        assert levels[2] == pytest.approx(levels[0] - 4, abs=0.1) and levels[0] > levels[1] > levels[2]
    darker = [brightness(hard[row]) - brightness(soft[row]) for row in range(8)]
    assert np.median(darker) > 0.5


def test_a_model_without_pairs_is_softer_by_the_square_of_the_velocity_and_darker_all_the_same(model):
    codes, kits = random_codes(model, range(8), seed=1)
    hard, soft = (synthesise(model, codes, torch.arange(8), 1, kits=kits, velocity=velocity) for velocity in (1, 0.5))
    for one, other in zip(hard, soft):
        assert level_db(other, RATE) == pytest.approx(level_db(one, RATE) + 40 * np.log10(0.5), abs=0.1)
        assert len(one) == len(other)
    assert np.median([brightness(one) - brightness(other) for one, other in zip(hard, soft)]) > 0.5


def test_a_softer_strike_rises_slower_and_one_of_full_velocity_as_it_is():
    sound = np.exp(-np.arange(SAMPLES) / RATE / 0.05)
    assert with_slower_attack(sound, RATE, 1, 0.04) is sound
    rises = [attack_ms(with_slower_attack(sound, RATE, velocity, 0.04), RATE) for velocity in (1, 0.6, 0.25)]
    assert rises[0] < rises[1] < rises[2] < 15
    late = round(0.005 * RATE)
    assert np.array_equal(with_slower_attack(sound, RATE, 0.1, 0.005)[late:], sound[late:])
    assert [len(with_slower_attack(sound[:count], RATE, 0.1, 0.04)) for count in (1, 5)] == [1, 5]


def test_sounds_keep_the_level_of_their_class_and_a_mix_lies_between(model):
    """Levels of -14 to -21 dB are below LEVEL already: nothing is lowered."""
    mix = torch.zeros(3, 8)
    mix[0, 0] = mix[1, 7] = 1.0
    mix[2, [0, 7]] = 0.5
    sound = drum(1, samples=1600)
    code, _ = encode(model, sound, 0)
    sources = [[(Source(sound, 0), 1.0)]] * 3
    levels = [level_db(made, RATE) for made in synthesise(model, code.expand(3, -1), mix, sources=sources)]
    assert levels == pytest.approx([-14, -21, -17.5], abs=0.05)
    loud = attach_sound(model, {**model.sound, "levels": [-4.0] + [-10.0] * 7})
    assert synthesis.target_levels(loud) == [synthesis.LEVEL] + [synthesis.LEVEL - 6] * 7
    attach_sound(model, {**model.sound, "levels": [-14.0 - row for row in range(8)]})


def test_weights_of_one_class_are_that_class(model):
    codes, kits = random_codes(model, range(2), seed=0)
    one, other = (synthesise(model, codes, label, kits=kits) for label in (torch.arange(2), torch.eye(8)[:2]))
    assert all(map(np.array_equal, one, other))


# What may be given.

@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4, 1e30])
def test_any_finite_code_gives_a_finite_sound(model, scale):
    codes, kits = random_codes(model, range(8), seed=1)
    for velocity in (1.0, 0.01):
        made = synthesise(model, scale * codes, torch.arange(8), kits=kits, velocity=velocity)
        assert all(np.isfinite(sound).all() and np.abs(sound).max() <= 1 for sound in made)


@pytest.mark.parametrize("count", [1, 3, 9, 20])
def test_a_source_of_a_few_samples_gives_a_finite_sound(model, count):
    sound = np.ones(count, np.float32)
    code, _ = encode(model, sound, 0)
    for code in (code, random_codes(model, [0])[0][0]):
        made, = synthesise(model, code[None], 0, sources=[[(Source(sound, 0), 1.0)]])
        assert np.isfinite(made).all() and len(made) < 3 * count + 20


@pytest.mark.parametrize("codes, label, words", [
    (torch.full((1, LATENT), float("nan")), 0, "codes: expected finite"), (torch.zeros(1, 4), 0, r"\(B, 8\)"),
    (torch.zeros(LATENT), 0, r"\(B, 8\)"), (torch.zeros(1, LATENT), 8, "label: expected 0 to 7, found 8"),
    (torch.zeros(1, LATENT), -1, "found -1"), (torch.zeros(1, LATENT), torch.ones(1, 5), "8 classes"),
    (torch.zeros(1, LATENT), torch.zeros(1, 8), "weights"),
    (torch.zeros(1, LATENT), torch.full((1, 8), float("inf")), "finite weights")])
def test_what_is_no_code_or_class_is_named(model, codes, label, words):
    with pytest.raises(ValueError, match=words):
        synthesise(model, codes, label)


def test_no_codes_are_no_sounds(model):
    assert synthesise(model, torch.zeros(0, LATENT), 0) == []
