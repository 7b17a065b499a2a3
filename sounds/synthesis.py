"""From a code to a finished one-shot: the spectrogram decoded, laid on a sound that is there, with a sample's finish.

    made = synthesise(model, codes, label, seed=3)      # (B, latent) -> B sounds, float32 (n,) at model.sound["rate"]

Read `synthesise` and `Drum` from top to bottom, then sounds/exemplars.py (codes and exemplars), models.ConvVAE (which
decodes the mean spectrogram) and transforms/nsgt.py (samples to coefficients and back).

A decoded spectrogram is a mean: it has pitch, tone and envelope, but neither the partials of a cymbal nor a phase.
These come from a source: an exemplar near the code, or one's own sound. The source is transposed to the pitch decoded,
and a Gabor multiplier (Feichtinger and Nowak 2003, "A first survey of Gabor multipliers") gives it the envelope: its
coefficients times the ratio of what is decoded at the code to what is decoded at its own code. So at its own code a
source comes back as it is. An exemplar is taken where that ratio is large, so that a new sound is not a copy.
A softer strike moves the code, which darkens the sound, and lasts longer, which slows its attack.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from formats.activation_matrix import INSTRUMENTS
from sounds.codes import class_weights, encode_spectrogram, seeded_generator
from sounds.dataset import level_db, shortened
from sounds.exemplars import NEAR
from sounds.spectrograms import (LEAD, coefficients, denormalise, frame_edges, frame_times, one_thread_each,
                                 spectrogram_of)

LEVEL = -12.0  # dB: of the loudest class at most, and of all where the checkpoint has no levels
WORKERS = 2  # threads
CEILING = 0.98  # the peak of a sound that would be louder at its level
MOST_DB = 24.0  # by which a multiplier raises or lowers
WEAK_DB = -55.0  # re the loudest point: below, the source is left as it is
SMOOTH = (0.4, 10)  # deviation of its smoothing, in octaves and frames of the spectrogram
HELD = 12  # frames, 22 ms: over them it stays what it is in the mean
NEW_DB = 9.0  # rms of a multiplier's ratio from which on a sound counts as another than its exemplar
PITCH_OCTAVES, PITCH_DB = 5 / 12, -35.0  # how far a source is transposed; what counts in finding out
ATTACK = (0.03, 0.1)  # seconds over which the source's envelope is held: until its peak, within these bounds
RISE, RISE_LEAST = 2.0, 0.005  # of a softer strike: times the seconds until the peak, and at least so many seconds
RISE_MOST = (0.04, 0.03, 0.06, 0.012, 0.008, 0.06, 0.02, 0.03)  # seconds, by row
RISE_FROM = 0.6  # it begins at this power of the velocity
TILT_DB = 1.5  # an octave, of such a strike where the checkpoint has no softer ones to learn from
EVEN = 0.02  # seconds of a step in which the evenness of a decay is seen
TAKE_DB = 1.5  # rms by which another take differs
FADE_IN, FADE_OUT = 0.00025, 0.01  # seconds


@dataclass
class Source:
    """A sound (n,) at the model's rate that lends its fine structure; of a class, a row or weights (8,).

    Of an exemplar also decoded: the spectrogram (bands, frames) at its code, in dB; and place, see Exemplars.near.
    """

    samples: np.ndarray
    label: object
    decoded: torch.Tensor = None
    place: int = None


@dataclass
class Prepared:
    """A source at the pitch where it is wanted: samples (n,), coefficients and their transform, what is decoded."""

    samples: np.ndarray
    found: tuple
    own: torch.Tensor


def synthesise(model, codes, label, seed=0, numbers=None, kits=None, sources=None, velocity=1.0):
    """Finished one-shots at codes (B, latent) of the given classes: a list of float32 (n,) at model.sound["rate"].

    model: of load_sound_model. label: see class_weights. seed, numbers: they choose each sound's exemplar, as in
    random_codes. kits: kit codes (B, KIT) that exemplars are to suit. sources: in place of exemplars, for each sound a
    list of (Source, share of it). velocity: above 0, up to 1. A sound does not depend on the others.
    Raises ValueError, naming it, for codes or a label that cannot be used.
    """
    codes, weights = check_codes(model, codes), class_weights(label, len(codes))
    numbers = range(len(codes)) if numbers is None else numbers

    def make(i):
        source = sources[i] if sources else None
        kit = None if kits is None else kits[i]
        return Drum(model, codes[i], weights[i], source, kit, seeded_generator(seed, numbers[i], 1)).strike(velocity)

    with one_thread_each(), ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(make, range(len(codes))))


def check_codes(model, codes):
    """Codes as float32 (B, latent). Raises ValueError where they are not finite or of another shape."""
    codes = torch.as_tensor(codes, dtype=torch.float32)
    if codes.ndim != 2 or codes.shape[1] != model.latent or not torch.isfinite(codes).all():
        raise ValueError(f"codes: expected finite ones of shape (B, {model.latent}), found {tuple(codes.shape)}")
    return codes


class Drum:
    """One sound at a code (latent,) of class weights (8,), to be struck at any velocity, in as many ways as asked.

    sources: a list of (Source, share); without one an exemplar, `held` while that is near: a place, kept as `place`.
    They are transposed and transformed once for all.
    """

    @torch.inference_mode()
    def __init__(self, model, code, weights, sources=None, kit=None, generator=None, held=None):
        self.model, self.code, self.weights, self.row = model, code, weights, int(weights.argmax())
        self.target = decode(model, code, weights)                                    # (bands, frames)
        sources = sources or [(choose_exemplar(model, self.target, code, self.row, kit, generator, held), 1.0)]
        self.place = sources[0][0].place
        self.parts = [(share, prepare(model, self.target, source)) for source, share in sources if share > 0]

    @torch.inference_mode()
    def strike(self, velocity=1.0, variation=0.0, quieter=True):
        """What it sounds like: float32 (n,). velocity: above 0, up to 1. variation: dB (bands, frames) of another take.
        quieter: does a soft one have its own level? Else that of the hardest."""
        model, target, rate = self.model, self.target, self.model.sound["rate"]
        if velocity != 1:
            target = decode(model, self.code + softer(model, self.row, velocity), self.weights)
            target = target - darker(model, velocity)
        parts = [share * at_unit_level(laid_on(model, target, part, variation), rate) for share, part in self.parts]
        sound = np.zeros(max(map(len, parts)))
        for part in parts:
            sound[:len(part)] += part
        sound = with_slower_attack(sound, rate, velocity, RISE_MOST[self.row])
        loudness = (self.weights * torch.tensor(target_levels(model))).sum() / self.weights.sum()
        return finish(sound, rate, float(loudness) + quieter * softness_db(model, self.row, velocity))


def decode(model, code, weights):
    """The spectrogram at a code (latent,), in dB from the floor to 0: (bands, frames)."""
    return denormalise(torch.nan_to_num(model.decode_mean(code[None], label=weights[None])[0]), model.sound)


def at_unit_level(samples, rate):
    """Samples (n,) at an rms of 1 over their loudest 20 ms, so that shares of sounds are what they say."""
    return samples / max(10 ** (level_db(samples, rate) / 20), 1e-9)


def choose_exemplar(model, target, code, row, kit, generator, held=None):
    """The first exemplar near a code (latent,) that is NEW_DB away from the spectrogram decoded there, or the farthest.

    target: that spectrogram, in dB (bands, frames). kit: (KIT,), or None. held: the place of one that is to be taken
    while it is among the NEAR nearest. A Source.
    """
    known, best = model.exemplars, None
    places = known.near(code, row, kit, generator)
    for place in [held] if held in places[:NEAR] else places:
        own = decoded_exemplar(model, known, place)
        apart = float((target - own).square().mean().sqrt())
        if best is None or apart > best[0]:
            best = apart, own, place
        if apart >= NEW_DB:
            break
    _, own, place = best
    return Source(known.samples(place), int(known.labels[known.kept[place]]), own, place)


@functools.lru_cache(maxsize=100)  # of 90 kB each
def decoded_exemplar(model, known, place):
    """The spectrogram (bands, frames) that the model decodes at the code of its exemplar, in dB."""
    label = class_weights(int(known.labels[known.kept[place]]), 1)[0]
    return decode(model, known.codes[known.kept[place]], label)


def moved_to(model, target, source):
    """A source's samples as they would be where `target` (bands, frames), in dB, is decoded: float64 (n,)."""
    return laid_on(model, target, prepare(model, target, source))


def prepare(model, target, source):
    """A source transposed to the pitch of `target` (bands, frames), in dB, and transformed: a Prepared."""
    settings, weights = model.sound["settings"], class_weights(source.label, 1)[0]
    samples = np.asarray(source.samples, np.float32)
    own, found = (source.decoded, None) if source.place is not None else what_is_decoded(model, samples, weights)
    bands = bands_apart(target, own, settings["bins"])
    if source.place is not None:
        return prepared_exemplar(model, model.exemplars, source.place, bands)
    return transposed(model, samples, weights, bands) if bands else Prepared(samples, found, own)


@functools.lru_cache(maxsize=4)  # of 12 MB at most: along a path on the sound map they come again and again
def prepared_exemplar(model, known, place, bands):
    """An exemplar at its own pitch or at one so many bands above: a Prepared."""
    label = class_weights(int(known.labels[known.kept[place]]), 1)[0]
    return transposed(model, known.samples(place), label, bands)


def transposed(model, samples, weights, bands):
    """Samples (n,) of class weights (8,) so many bands higher: a Prepared."""
    settings, rate = model.sound["settings"], model.sound["rate"]
    if bands:
        samples = shortened(soxr.resample(samples, rate * 2 ** (bands / settings["bins"]), rate), rate,
                            settings["seconds"])
    own, found = what_is_decoded(model, samples, weights)
    return Prepared(samples, found, own)


def laid_on(model, target, source, variation=0.0):
    """The samples of a Prepared source as they would be where `target` (bands, frames) is decoded: float64 (n,)."""
    settings, samples = model.sound["settings"], source.samples
    gain = smooth_gain(target.clamp_min(WEAK_DB) - source.own.clamp_min(WEAK_DB), settings) + variation
    made = multiplied(*source.found, gain, settings)[:len(samples)]
    return with_evenness_of(with_attack_of(made, samples, settings["rate"]), samples, settings["rate"])


def what_is_decoded(model, samples, weights):
    """The spectrogram (bands, frames) that the model decodes for a sound; and its coefficients, with the transform."""
    found = coefficients(samples, model.sound["settings"])
    seen = spectrogram_of(samples, model.sound["settings"], model.sound["floor_db"], found)
    return decode(model, encode_spectrogram(model, seen, weights[None]), weights), found


def bands_apart(target, own, bins):
    """By how many bands the spectrogram `own` has to rise to lie best on `target`: in rms dB where either is loud.

    A band of pitch costs as much as 0.02 dB, so that sounds without one stay where they are.
    """
    reach, best = round(PITCH_OCTAVES * bins), (np.inf, 0)
    low = float(min(target.min(), own.min()))
    padded = torch.nn.functional.pad(own, (0, 0, reach, reach), value=low)
    for bands in range(-reach, reach + 1):
        moved = padded[reach - bands:reach - bands + len(own)]
        loud = torch.maximum(target, moved) > PITCH_DB
        cost = float((loud * (target - moved).square()).sum() / loud.sum().clamp_min(1)) ** 0.5 + 0.02 * abs(bands)
        best = min(best, (cost, bands))
    return best[1]


def smooth_gain(decibels, settings):
    """The gain of a multiplier: within MOST_DB, one over the attack, smooth.  (bands, frames) -> numpy, the same."""
    gain = decibels.clamp(-MOST_DB, MOST_DB).numpy().copy()
    gain[:, :HELD] = gain[:, :HELD].mean(1, keepdims=True)
    return gaussian_filter(gain, (SMOOTH[0] * settings["bins"], SMOOTH[1]), mode="nearest")


def other_take(model, generator):
    """What another take of the same drum has more or less, of an rms of TAKE_DB: dB, numpy (bands, frames).

    It changes over octaves and over quarters of the frames: neither pitch nor attack.
    """
    bands, frames = model.shape
    coarse = torch.randn(1, 1, max(2, round(bands / model.sound["settings"]["bins"])), 4, generator=generator)
    take = torch.nn.functional.interpolate(coarse, (bands, frames), mode="bilinear")[0, 0]
    return (TAKE_DB * take / take.square().mean().sqrt()).numpy()


def multiplied(c, transform, gain, settings):
    """The signal of coefficients c (bands, frames) times a gain in dB on the spectrogram's frames: float64 (n,)."""
    edges, times = frame_edges(settings), frame_times(transform)
    place = np.interp(times, (edges[1:] + edges[:-1]) / 2, np.arange(gain.shape[1]))
    left = place.astype(int).clip(0, gain.shape[1] - 2)
    share, left = torch.from_numpy((place - left).astype(np.float32)), torch.from_numpy(left)
    gain = torch.from_numpy(np.asarray(gain, np.float32))
    dense = gain.index_select(1, left).lerp_(gain.index_select(1, left + 1), share)  # (bands, frames of transform)
    gains = dense.mul_(np.log(10) / 20).exp_()  # several times as fast as powers of ten
    signal = transform.backward((c * gains)[None])[0].numpy()
    return signal[round(LEAD * transform.fs):].astype(float)


def with_attack_of(samples, source, rate):
    """Samples (n,) with the envelope of a source (n,) over its ATTACK, within 12 dB; no louder in the whole.

    After it the envelope goes over into the samples' own, in as long again.
    """
    size = min(len(samples), round(2 * ATTACK[1] * rate))
    power = [smooth_power(sound, rate, size) for sound in (samples, source)]
    held = np.clip(1.2 * power[1].argmax() / rate, *ATTACK)
    share = np.clip(2 - np.arange(size) / rate / held, 0, 1)
    power = [part / max((part * share).sum(), 1e-30) for part in power]
    gain = np.clip(10 * np.log10((power[1] + 1e-12) / np.maximum(power[0], 1e-6 * power[0].max() + 1e-12)), -12, 12)
    return np.concatenate((samples[:size] * 10 ** (gain * share / 20), samples[size:]))


def smooth_power(samples, rate, size):
    """The power of the first samples, smoothed over 1.5 ms: (n,) -> (size,)."""
    width = max(1, round(0.0015 * rate))
    return np.convolve(np.square(samples[:size + width], dtype=float), np.hanning(2 * width + 1))[width:width + size]


def with_evenness_of(samples, source, rate):
    """Samples (n,) that decay as evenly as a source (n,): what rises in their level, but not in the source's, goes.

    The level is that of steps of EVEN seconds; a gain that follows a wave of a low tone would distort it.
    """
    size = max(1, round(EVEN * rate))
    levels = [10 * np.log10(np.square(np.pad(sound, (0, -len(sound) % size))).reshape(-1, size).mean(1) + 1e-12)
              for sound in (samples, source)]
    if len(levels[0]) < 3:
        return samples
    uneven = [level - falling_fit(level, levels[1].argmax()) for level in levels]
    gain = np.clip(uneven[1] - uneven[0], -12, 0)
    places = (np.arange(len(gain)) + 0.5) * size
    return samples * 10 ** (np.interp(np.arange(len(samples)), places, gain) / 20)


def with_slower_attack(samples, rate, velocity, most):
    """Samples (n,) that begin quieter and rise until behind their peak, for so many seconds at most: a soft mallet
    stays on a skin for longer. At velocity 1 they stay as they are."""
    if velocity == 1:
        return samples
    early = samples[:round(ATTACK[1] * rate)]
    peak = smooth_power(early, rate, len(early)).argmax() / rate
    size = min(len(samples), round(np.clip(RISE * peak, RISE_LEAST, most) * rate))
    rise = 0.5 + 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / max(size, 1))
    return np.concatenate((samples[:size] * (1 - (1 - velocity ** RISE_FROM) * rise), samples[size:]))


def falling_fit(level, peak):
    """The highest sequence that from `peak` on never rises and nowhere lies above level (n,) there: (n,)."""
    return np.concatenate((level[:peak], np.minimum.accumulate(level[peak:])))


def softer(model, row, velocity):
    """By how much a code of a class moves where it is struck softer: (latent,); 0 at velocity 1."""
    soft = model.sound.get("soft")
    return 0.0 if soft is None or velocity == 1 else (1 - velocity) / (1 - soft["velocity"]) * soft["codes"][row]


def darker(model, velocity):
    """What bands have less where the checkpoint has no pairs of velocities to know it from: dB (bands, 1)."""
    return (1 - velocity) * TILT_DB * torch.arange(model.shape[0])[:, None] / model.sound["settings"]["bins"] \
        if model.sound.get("soft") is None else 0.0


def softness_db(model, row, velocity):
    """How much quieter it is, in dB: by the checkpoint's pairs, or else by the square law of the sequencer."""
    soft = model.sound.get("soft")
    if soft is None or velocity == 1:
        return 40 * np.log10(velocity)
    return float(soft["levels"][row]) * np.log(velocity) / np.log(soft["velocity"])


def target_levels(model):
    """The level of each class in dB, see level_db: that of its training sounds, all lowered alike to LEVEL at most.

    A peak needs so much room: else the loudest would be lowered alone, and the balance of the classes lost.
    """
    levels = model.sound.get("levels", [LEVEL] * len(INSTRUMENTS))
    return [level - max(max(levels) - LEVEL, 0.0) for level in levels]


def finish(samples, rate, level):
    """A sound as a sampler wants it: it begins and ends at 0, has no DC, and its level; float32 (n,).

    level: in dB, see level_db; lower where the peak would pass CEILING. Silence stays silence.
    """
    sound = np.asarray(samples, float).copy()
    loudest = np.abs(sound).max(initial=0)
    if not loudest > 1e-9:
        return np.zeros(len(sound), np.float32)
    begin, end = min(max(1, round(FADE_IN * rate)), len(sound)), min(max(1, round(FADE_OUT * rate)), len(sound))
    sound[:begin] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(1, begin + 1) / (begin + 1))
    sound[-end:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, end + 1) / end)
    window = np.hanning(round(0.02 * rate) | 1)
    envelope = fftconvolve(np.abs(sound), window)[len(window) // 2:][:len(sound)] * (sound != 0)
    sound -= envelope * (sound.sum() / max(envelope.sum(), 1e-30))  # what DC there is, in the sound's own envelope
    peak = np.abs(sound).max()
    if peak <= 1e-9 * loudest:  # it was DC alone
        return np.zeros(len(sound), np.float32)
    return (min(10 ** ((level - level_db(sound, rate)) / 20), CEILING / peak) * sound).astype(np.float32)
