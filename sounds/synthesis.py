"""From a code to a finished one-shot: its magnitude, a phase for it, an end, and the finish of a sample.

    made = synthesise(model, codes, label, seed=3)      # (B, latent) -> float32 (B, samples) at model.sound["rate"]

Read `synthesise` from top to bottom, then sounds/codes.py (codes and noise seeds), models.ConvVAE (which decodes the
mean spectrogram), transforms/phase_retrieval.py (phases) and transforms/nsgt.py (coefficients to samples).

How a decoded magnitude differs from that of a real sound, and what is done about it:

- It is a mean, smooth where magnitudes of noise fluctuate: the fluctuation of white noise is laid over it where
  one-shots are noisy (`add_residual_noise`), and its peaks are raised again (`match_peaks`).
- One-shots start at sample 0, all partials together: with the phases of tones that start there (`tonal_phase`), few
  iterations are enough.
- Low bands blur time by a quarter of a second, and the transform is circular: a regression predicts where the sound
  ends (`predict_durations`), and the search holds the rest at silence.
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from griffin_lim import griffin_lim
from sounds.codes import class_weights, seeded_generator
from sounds.dataset import level_db
from transforms import phase_retrieval
from transforms.phase_retrieval import TimeLimited, tonal_phase

# Iterations; "best" begins with the long search of griffin_lim.py. benchmarks/sound_speed.py shows what they bring.
QUALITIES = {"fast": 8, "fine": 30, "best": 100}
FADE_DB = 10.0  # above a spectrogram's floor, see to_magnitude
LEVEL = -12.0  # dB: of the loudest class at most, and of all where the checkpoint has no levels
NOISE_HZ = (200.0, 1000.0)  # from tone below to noise above, see add_residual_noise
TONE_DB = (12.0, 24.0)  # how far a ridge stands out where it begins to be, and is, a tone
PEAK_DB, PEAK_MOST_DB, PEAK_REST_DB = 8.0, 12.0, -45.0  # of what is raised, by how much, and what counts: match_peaks
CEILING = 0.98  # the peak of a sound that would be louder at its level
DURATION_BANDS_HZ = (0, 100, 200, 400, 800, 1600, 3200, np.inf)  # the octaves that the duration is read from
DURATION_FRAMES = 24  # and the parts of time


def synthesise(model, codes, label, seed=0, numbers=None, quality="fast", workers=2, residual_noise=True):
    """Finished one-shots at codes (B, latent) of the given classes: float32 (B, samples) at model.sound["rate"].

    model: of load_sound_model. label: see class_weights. seed, numbers: of the noise in each, as of random_codes.
    quality: of QUALITIES. workers: threads. A sound does not depend on the others. Raises ValueError, naming it, for
    codes or a label that cannot be used.
    """
    weights = class_weights(label, len(codes))                                        # (B, 8)
    levels = (weights * torch.tensor(target_levels(model))).sum(1) / weights.sum(1)   # (B,)
    size, numbers = group_size(model.transform), range(len(codes)) if numbers is None else numbers

    def make(group):
        full = [*group, *[group[-1]] * (size - len(group))]  # so that rounding is the same in any company
        magnitude = magnitudes(model, codes[full], weights[full])                     # (size, bands, frames)
        durations = predict_durations(model, magnitude)[:len(group)]
        noise = torch.cat([torch.randn(1, model.transform.Ls, generator=seeded_generator(seed, numbers[i], 1))
                           for i in group]) if residual_noise else None
        signals = reconstruct(magnitude[:len(group)], model.transform, noise, quality, durations,
                              peak=1.0)  # spectrograms are re the loudest point
        return [finish(signal, model.sound["rate"], float(levels[i])) for i, signal in zip(group, signals.numpy())]

    with one_thread_each(), ThreadPoolExecutor(workers) as pool:
        groups = [range(i, min(i + size, len(codes))) for i in range(0, len(codes), size)]
        made = [sound for group in pool.map(make, groups) for sound in group]
    return np.stack(made) if made else np.zeros((0, model.sound["samples"]), np.float32)


@contextlib.contextmanager
def one_thread_each():
    """One thread of torch's own: while sounds are made side by side, more would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def magnitudes(model, codes, label):
    """The magnitudes of the sounds at finite codes (B, latent) of the given classes: (B, bands, frames)."""
    codes = torch.as_tensor(codes, dtype=torch.float32)
    if codes.ndim != 2 or codes.shape[1] != model.latent or not torch.isfinite(codes).all():
        raise ValueError(f"codes: expected finite ones of shape (B, {model.latent}), found {tuple(codes.shape)}")
    return to_magnitude(model, model.decode_base(codes, label=class_weights(label, len(codes))))


def to_magnitude(model, x):
    """Spectrograms (B, bands, frames) in the model's units as finite magnitudes of the transform.

    The floor stands for silence: the last FADE_DB above it sink to 0, or a hiss would lie under all.
    """
    floor = model.sound["floor_db"]
    level = torch.nan_to_num(x.float() * model.sound["deviation"] + model.sound["mean"], nan=floor)
    level = level.clamp(floor, 60.0)
    height = ((level - floor) / FADE_DB).clamp(0, 1)
    return 10 ** (level / 20) * height.square() * (3 - 2 * height)


def target_levels(model):
    """The level of each class in dB, see level_db: that of its training sounds, all lowered alike to LEVEL at most.

    A peak needs so much room: else the loudest would be lowered alone, and the balance of the classes lost.
    """
    levels = model.sound.get("levels", [LEVEL] * len(INSTRUMENTS))
    return [level - max(max(levels) - LEVEL, 0.0) for level in levels]


def predict_durations(model, magnitude):
    """Where sounds end, in samples, by the checkpoint's regression, if any: (B, bands, frames) -> (B,)."""
    if "end" not in model.sound:
        return torch.full((len(magnitude),), float(model.transform.Ls))
    return regress_durations(model.sound["end"], duration_features(magnitude, model.transform))


def duration_features(magnitude, transform):
    """What the duration is read from: dB re the loudest, by octave and time.  (B, bands, frames) -> (B, features)"""
    inside = np.digitize(np.abs(transform.frequencies), DURATION_BANDS_HZ) - 1
    power = torch.stack([magnitude[:, torch.as_tensor(inside == octave)].square().mean(1)
                         for octave in range(len(DURATION_BANDS_HZ) - 1) if (inside == octave).any()], 1)
    level = 10 * torch.log10(power / power.amax((1, 2), keepdim=True).clamp_min(1e-30) + 1e-6)
    return torch.nn.functional.adaptive_avg_pool1d(level, DURATION_FRAMES).flatten(1)


def regress_durations(regression, features, margin=0.25):
    """Durations in samples by the net of fit_duration_regression: (n, features) -> (n,). margin: octaves to be safe."""
    x = (features - regression["centre"]) / regression["scale"]
    x = torch.nn.functional.silu(x @ regression["hidden"].T + regression["hidden_bias"])
    octaves = (x @ regression["out"].T + regression["out_bias"])[:, 0] + regression["middle"] + margin
    return torch.exp2(octaves.clamp(5, 30)).minimum(regression["length"])


def reconstruct(magnitude, transform, noise=None, quality="fast", durations=None, peak=None):
    """Signals for smooth magnitudes (B, bands, frames) that a model gave: (B, samples).

    noise: white, (B, samples), for the residual noise; None leaves it out. durations: in samples, (B,), after which
    sounds are silent, or None. peak: of `match_peaks`, or None. A sound's signal does not depend on the others.
    """
    def find(magnitude, noise, silence):
        coefficients = add_residual_noise(magnitude, transform, noise)
        if quality == "best":
            found = silence * griffin_lim(coefficients.abs(), transform)
            coefficients = phase_retrieval.impose(coefficients.abs(), transform.forward(found))
        signals = search(coefficients, transform, QUALITIES[quality], silence)
        return signals if peak is None else match_peaks(signals, magnitude, TimeLimited(transform, silence), peak)

    noise = torch.zeros(len(magnitude), 0) if noise is None else noise
    return in_groups(find, transform, magnitude, noise, support(transform, durations, len(magnitude)))


def search(coefficients, transform, iterations, silence):
    """Signals, silent where `silence` (B, samples) is 0, with the magnitudes of coefficients (B, bands, frames); their
    phases are where the search begins."""
    magnitude, held = coefficients.abs(), TimeLimited(transform, silence)
    with torch.no_grad():
        found = phase_retrieval.douglas_rachford(coefficients, magnitude, held, iterations // 2)
        found = phase_retrieval.fast_griffin_lim(found, magnitude, held, iterations - iterations // 2)
        return held.backward(found)


def match_peaks(signals, magnitude, held, peak, rounds=2):
    """Signals (B, samples) whose highest magnitudes stand as far above the rest as `peak` above the magnitudes wanted.

    The rest is what lies no deeper below `peak` than PEAK_REST_DB, by its mean in dB. What is within PEAK_DB of the top
    is raised, the top by all that it lacks, PEAK_MOST_DB at most.
    """
    wanted = 20 * torch.log10(magnitude.clamp_min(1e-10) / peak)
    rest = (wanted > PEAK_REST_DB).to(wanted.dtype)
    for _ in range(rounds):
        coefficients = held.forward(signals)
        level = 20 * torch.log10(coefficients.abs().clamp_min(1e-10))
        top = level.amax((1, 2), keepdim=True)
        off = ((level - wanted) * rest).sum((1, 2), keepdim=True) / rest.sum((1, 2), keepdim=True).clamp_min(1)
        lacking = (off - top).clamp(0, PEAK_MOST_DB)
        height = ((level - top) / PEAK_DB + 1).clamp(0, 1)
        signals = held.backward(coefficients * 10 ** (lacking * height / 20))
    return signals


def in_groups(find, transform, *parts):
    """find(*parts) for group_size sounds at a time, an even number, as one alone would be rounded otherwise."""
    size, found = group_size(transform), []
    for group in torch.arange(len(parts[0])).split(size):
        filled = torch.cat((group, group[-1:])) if len(group) % 2 and size > 1 else group
        found.append(find(*(part[filled] for part in parts))[:len(group)])
    return torch.cat(found)


def group_size(transform):
    """Sounds worked on at once: as many as stay in a processor's cache, and as griffin_lim takes at once."""
    return max(1, 2**18 // (len(transform.frequencies) * int(transform.frames[0])))


def support(transform, durations, count):
    """1 up to each duration (count,) in samples, then a slope of a fifth of it (10 ms at least) to 0: (count, samples).
    Without durations, 1 everywhere."""
    if durations is None:
        return torch.ones(count, transform.Ls, dtype=transform.dtype)
    at = torch.arange(transform.Ls, dtype=transform.dtype)[None]
    durations = torch.as_tensor(durations, dtype=transform.dtype)[:, None]
    return (1 - (at - durations) / (0.2 * durations).clamp_min(0.01 * transform.fs)).clamp(0, 1)


def add_residual_noise(magnitude, transform, noise):
    """Coefficients to start from: the phases of tones, and white noise (B, samples) where sounds are noisy.

    In real one-shots, magnitudes above 1 kHz fluctuate nearly as those of white noise, and those below 200 Hz hardly.
    So in between, white noise of the spectrogram's level fades in, and tones (see tonal_phase) fade out. A narrow ridge
    high above its surroundings is a tone, and stays one.
    """
    phase = tonal_phase(magnitude, transform, NOISE_HZ[1])
    if not noise.shape[-1]:
        return magnitude * phase
    residual = transform.forward(noise)
    residual = residual / residual.abs().square().mean(-1, keepdim=True).sqrt().clamp_min(1e-10)
    low, high = np.log2(NOISE_HZ)
    place = torch.as_tensor(np.log2(np.maximum(transform.frequencies, 1)), dtype=magnitude.dtype)[:, None]
    share = ((place - low) / (high - low)).clamp(0, 1) * (1 - tonality(magnitude, transform))
    # the mean of log |residual| lies 2.5 dB below the log of its mean square, and spectrograms are means of logs
    return magnitude * 10 ** (2.5 / 20 * share**2) * ((1 - share**2).sqrt() * phase + share * residual)


def tonality(magnitude, transform, every=8):
    """Where magnitudes stand out from half an octave each way, see TONE_DB: 0 to 1, (B, bands, frames).

    Read from one frame in `every`; ridges last.
    """
    pool, top = torch.nn.functional.avg_pool2d, transform.fs / 4
    around = max(2, int(np.diff(np.searchsorted(transform.frequencies[:-1], (top / 2**0.5, top)))[0]))
    level = 10 * torch.log10(magnitude[:, None, :, ::every].square() + 1e-10)
    height = level - pool(level, (2 * around + 1, 1), 1, (around, 0), count_include_pad=False)
    height = torch.nn.functional.max_pool2d(height, (5, 1), 1, (2, 0))[:, 0]  # a ridge's slopes are its own
    share = ((height - TONE_DB[0]) / (TONE_DB[1] - TONE_DB[0])).clamp(0, 1)
    return share.repeat_interleave(every, -1)[..., :magnitude.shape[-1]]


def onset_of(samples, rate):
    """The sample where 1 ms of sound first reaches a tenth of the loudest 1 ms: the start of that 1 ms."""
    width = max(1, rate // 1000)
    power = np.convolve(np.asarray(samples, float) ** 2, np.ones(width), "valid")
    return int(np.argmax(power >= 0.01 * power.max()))


def without_dc(sound, rate, last):
    """The sound, silent from sample `last` on, with a fade-in of a quarter of a millisecond and a mean of 0.

    What is taken off has the sound's own envelope, so that silence stays silent.
    """
    fade_in = max(1, rate // 4000)
    sound = sound * np.minimum(1, np.arange(1, len(sound) + 1) / (fade_in + 1))
    envelope = np.convolve(np.abs(sound), np.hanning(round(0.02 * rate) | 1), "same")
    envelope[max(last - 1, 1):] = 0
    return sound - envelope * (sound.sum() / max(envelope.sum(), 1e-30))


def sharpened(sound, rate):
    """The sound with what leads up to its attack, in the first 25 ms, raised to the attack's level, by 18 dB at most.

    Low bands see an attack as a slope of many milliseconds, and so they bring it back; struck sounds have none.
    """
    width = max(1, round(0.001 * rate))
    power = np.convolve(sound[:round(0.025 * rate) + width] ** 2, np.ones(width), "valid") / width
    envelope = np.sqrt(np.maximum.accumulate(power))  # waves of a low tone are not gaps to fill
    top = int(np.argmax(envelope >= 0.7 * envelope.max()))
    gain = np.minimum(envelope[top] / np.maximum(envelope[:top], 1e-12), 8.0)
    return np.concatenate((sound[:top] * gain, sound[top:]))


def finish(samples, rate, level):
    """A sound as a sampler wants it: attack at sample 0, silence at the end, no DC, at its level; float32 (n,).

    All before the attack (see onset_of) goes, and a soft one is sharpened. level: in dB, see level_db; lower where the
    peak would pass CEILING. Silence stays silence; so does a sound that begins at its last sample, where it has to end.
    """
    size, sound = len(samples), np.asarray(samples, float)
    if not np.abs(sound).max() > 1e-9:
        return np.zeros(size, np.float32)
    start = onset_of(sound, rate)
    last = size - start
    sound = sharpened(np.pad(sound[start:], (0, start)), rate)
    fade_out = min(round(0.05 * rate), last)
    sound[last - fade_out:last] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fade_out + 1) / fade_out)
    for _ in range(8):
        sound = without_dc(sound, rate, last)
        late = onset_of(sound, rate)  # at a slow first wave, what DC there was may have been what began the sound
        if late <= rate // 2000:
            break
        sound, last = np.pad(sound[late:], (0, late)), last - late
    if not sound.any():
        return np.zeros(size, np.float32)
    gain = min(10 ** ((level - level_db(sound, rate)) / 20), CEILING / np.abs(sound).max())
    return (gain * sound).astype(np.float32)
