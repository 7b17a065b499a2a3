"""A magnitude that a model drew becomes a one-shot: the grain of noise, a phase, an end, and the finish of a sample.

    signals = to_signals(magnitudes, transform, noise)               # (B, bands, frames) -> (B, samples)
    sound = finish(signals[0].numpy(), rate, level=-12.0)            # attack at sample 0, silence at the end, no DC

What makes a drawn magnitude unlike one of a real sound, and what is done about it:

- It is a mean, and so it is smooth where real noise flickers; no noise has such a magnitude, only a chirp has. So the
  grain of a white noise is laid over it, where real one-shots are noisy (`with_grain`).
- One-shots start at sample 0, all partials together: phases of tones that start there (`tone_turns`) are near the truth
  before the first iteration, and noise brings its own; so few iterations are enough.
- Low bands blur time by a quarter of a second, and round the transform's circle, the end is just before the beginning.
  A small regression, fitted to training sounds, reads from the picture where the sound ends (`fit_ends`); the search
  for the phase then holds the rest at silence, as a known support: faster, and with no rumble before and after.
"""

import numpy as np
import torch

import phase_search
from griffin_lim import griffin_lim

# Iterations; "best" begins with the long search of griffin_lim.py. benchmarks/sound_speed.py shows what they bring.
QUALITIES = {"fast": 8, "fine": 30, "best": 100}
NOISE_HZ = (200.0, 1000.0)  # from tone below to noise above, see with_grain
TONE_DB = (12.0, 24.0)  # how far a ridge stands out where it begins to be, and is, a tone
PEAK_DB, PEAK_MOST_DB, PEAK_REST_DB = 8.0, 12.0, -45.0  # of what is raised, by how much, and what counts: with_peaks
CEILING = 0.98  # the peak of a sound that would be louder at its level
END_DB = -40.0  # re the loudest 5 ms: what is softer to the last counts as over
END_BANDS_HZ = (0, 100, 200, 400, 800, 1600, 3200, np.inf)  # the octaves that the end is read from
END_FRAMES = 24  # and the parts of time


def to_signals(magnitude, transform, noise=None, quality="fast", ends=None, peak=None):
    """Signals for smooth magnitudes (B, bands, frames) that a model gave: (B, samples).

    noise: white, (B, samples), for the grain; None leaves it out. ends: in samples, (B,), from where on sounds are
    silent, or None. peak: how high the highest magnitude of a sound should be, see `with_peaks`; None lets it be. A
    sound's signal does not depend on its company.
    """
    def find(magnitude, noise, silence):
        coefficients = with_grain(magnitude, transform, noise)
        if quality == "best":
            found = silence * griffin_lim(coefficients.abs(), transform)
            coefficients = phase_search.impose(coefficients.abs(), transform.forward(found))
        signals = search(coefficients, transform, QUALITIES[quality], silence)
        return signals if peak is None else with_peaks(signals, magnitude, Held(transform, silence), peak)

    noise = torch.zeros(len(magnitude), 0) if noise is None else noise
    return in_groups(find, transform, magnitude, noise, support(transform, ends, len(magnitude)))


def search_phase(coefficients, transform, iterations, ends=None):
    """Signals with the magnitudes of coefficients (B, bands, frames), whose phases are where the search begins."""
    def find(coefficients, silence):
        return search(coefficients, transform, iterations, silence)

    return in_groups(find, transform, coefficients, support(transform, ends, len(coefficients)))


def search(coefficients, transform, iterations, silence):
    """The same for some sounds at once, that are to be silent where `silence` (B, samples) is 0."""
    magnitude, held = coefficients.abs(), Held(transform, silence)
    with torch.no_grad():
        found = phase_search.search(coefficients, magnitude, held, iterations // 2)
        found = phase_search.settle(found, magnitude, held, iterations - iterations // 2)
        return held.backward(found)


def with_peaks(signals, magnitude, held, peak, rounds=2):
    """Signals (B, samples) whose highest magnitudes stand as far above the rest as `peak` above the magnitudes wanted.

    The rest is what lies no deeper below `peak` than PEAK_REST_DB, by its mean in dB. What is within PEAK_DB of the top
    is stretched upwards, the top by all that it lacks, PEAK_MOST_DB at most.
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
    """find(*parts) for a few sounds at a time: group_size of them, and an even number, as a last one alone would be
    rounded otherwise than in company."""
    size, found = group_size(transform), []
    for group in torch.arange(len(parts[0])).split(size):
        filled = torch.cat((group, group[-1:])) if len(group) % 2 and size > 1 else group
        found.append(find(*(part[filled] for part in parts))[:len(group)])
    return torch.cat(found)


def group_size(transform):
    """Sounds worked on at once: as many as stay in a processor's cache, and as griffin_lim takes at once."""
    return max(1, 2**18 // (len(transform.frequencies) * int(transform.frames[0])))


class Held:
    """A transform of sounds with a known support: its way back to a signal keeps the silence."""

    def __init__(self, transform, silence):
        self.forward, self.silence, self.inverse = transform.forward, silence, transform.backward

    def backward(self, coefficients):
        return self.inverse(coefficients).mul_(self.silence)


def support(transform, ends, count):
    """1 up to each end (count,), then a slope of a fifth of that (10 ms at least) to 0: (count, samples); None: 1."""
    at = torch.arange(transform.Ls, dtype=transform.dtype)[None]
    if ends is None:
        return torch.ones_like(at).expand(count, -1)
    ends = torch.as_tensor(ends, dtype=transform.dtype)[:, None]
    return (1 - (at - ends) / (0.2 * ends).clamp_min(0.01 * transform.fs)).clamp(0, 1)


# --- the grain of noise ---


def with_grain(magnitude, transform, noise):
    """Coefficients to start from: tones' phases, and the grain of white noise (B, samples) where sounds are noisy.

    In real one-shots of all classes, magnitudes in bands above 1 kHz flicker nearly as those of white noise do, and
    those below 200 Hz hardly. So in between, white noise of the picture's level fades in, and tones (see tone_turns)
    fade out. A ridge that is narrow and high above its surroundings is a tone, and stays one.
    """
    turns = tone_turns(magnitude, transform)
    if not noise.shape[-1]:
        return magnitude * turns
    grain = transform.forward(noise)
    grain = grain / grain.abs().square().mean(-1, keepdim=True).sqrt().clamp_min(1e-10)
    low, high = np.log2(NOISE_HZ)
    place = torch.as_tensor(np.log2(np.maximum(transform.frequencies, 1)), dtype=magnitude.dtype)[:, None]
    share = ((place - low) / (high - low)).clamp(0, 1) * (1 - tone_share(magnitude, transform))
    # the mean of log |grain| lies 2.5 dB below the log of its mean square, and pictures are means of logs
    return magnitude * 10 ** (2.5 / 20 * share**2) * ((1 - share**2).sqrt() * turns + share * grain)


def tone_turns(magnitude, transform, top=NOISE_HZ[1]):
    """Phases of tones that start together at sample 0, as numbers of length 1: (B, bands, frames); 1 above `top` Hz.

    An NSGT counts a band's phase from a tone at its centre. Here each band follows the ridge on whose slope it lies, at
    the mean frequency of the bands around the ridge's top, weighted by their energy (after Beauregard, Harish
    and Wyse 2015, "Single pass spectrogram inversion"). So the slopes of one ridge stay together; each at its own
    frequency, they would soon cancel, and a long tone would come out as a short thud.
    """
    count = int(np.searchsorted(transform.frequencies, top))
    turns = torch.ones_like(magnitude) + 0j
    if count < 3:
        return turns
    level = magnitude[:, :count] + 1e-6
    edge = torch.zeros_like(level[:, :1])
    below, above = torch.cat((edge, level[:, :-1]), 1), torch.cat((level[:, 1:], edge), 1)
    ridge = torch.arange(count)[:, None].expand_as(level)
    ridge = torch.where((above > level) & (above >= below), ridge + 1, torch.where(below > level, ridge - 1, ridge))
    for _ in range(6):  # a step up the slope, then 2, 4, ... 64
        ridge = ridge.gather(1, ridge)
    bins = torch.as_tensor(transform.centres[:count], dtype=magnitude.dtype)[:, None]  # cycles in the whole sound
    spacing = torch.as_tensor(np.gradient(transform.frequencies[:count]), dtype=magnitude.dtype)[:, None]
    weight = torch.stack((level.square() * spacing, level.square() * spacing * bins), 1)  # (B, 2, count, frames)
    weight = torch.nn.functional.avg_pool2d(weight, (5, 1), 1, (2, 0))
    off = (weight[:, 1] / weight[:, 0]).gather(1, ridge) - bins
    cycles = (off.cumsum(-1) - off[..., :1]) / magnitude.shape[-1]
    turns[:, :count] = torch.polar(torch.ones_like(cycles), 2 * torch.pi * (cycles % 1))
    return turns


def tone_share(magnitude, transform, every=8):
    """Where a picture shows tones, from 0 to 1: (B, bands, frames). See TONE_DB; around is half an octave each way.

    Read from some frames alone; ridges last.
    """
    pool = torch.nn.functional.avg_pool2d
    top = transform.fs / 4
    around = max(2, int(np.diff(np.searchsorted(transform.frequencies[:-1], (top / 2**0.5, top)))[0]))
    level = 10 * torch.log10(magnitude[:, None, :, ::every].square() + 1e-10)
    height = level - pool(level, (2 * around + 1, 1), 1, (around, 0), count_include_pad=False)
    height = torch.nn.functional.max_pool2d(height, (5, 1), 1, (2, 0))[:, 0]  # a ridge's slopes are its own
    share = ((height - TONE_DB[0]) / (TONE_DB[1] - TONE_DB[0])).clamp(0, 1)
    return share.repeat_interleave(every, -1)[..., :magnitude.shape[-1]]


# --- where a sound ends ---


def end_of(samples, rate):
    """The sample where the last 5 ms that reach END_DB re the loudest 5 ms are over: (n,) -> number."""
    size = round(0.005 * rate)
    power = np.square(np.pad(np.asarray(samples, float), (0, -len(samples) % size))).reshape(-1, size).sum(1)
    loud = np.flatnonzero(power >= 10 ** (END_DB / 10) * power.max())
    return min(size * (int(loud[-1]) + 1), len(samples))


def end_features(magnitude, transform):
    """What the end is read from: dB re the loudest, by octave and time.  (B, bands, frames) -> (B, features)"""
    inside = np.digitize(np.abs(transform.frequencies), END_BANDS_HZ) - 1
    power = torch.stack([magnitude[:, torch.as_tensor(inside == octave)].square().mean(1)
                         for octave in range(len(END_BANDS_HZ) - 1) if (inside == octave).any()], 1)
    level = 10 * torch.log10(power / power.amax((1, 2), keepdim=True).clamp_min(1e-30) + 1e-6)
    return torch.nn.functional.adaptive_avg_pool1d(level, END_FRAMES).flatten(1)


def fit_ends(features, ends, length, seed=0, steps=400):
    """Fit the regression: end_features (n, features) of sounds that end at samples (n,) of `length`.

    Returns plain tensors for a checkpoint, that `read_ends` takes: a net with one hidden layer, on the log of the end.
    """
    ends = torch.as_tensor(ends, dtype=torch.float32)
    fitted = {"centre": features.mean(0), "scale": features.std(0, correction=0) + 1.0, "middle": ends.log2().mean(),
              "length": torch.tensor(float(length))}
    x, y = (features - fitted["centre"]) / fitted["scale"], ends.log2() - fitted["middle"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 48), torch.nn.SiLU(), torch.nn.Linear(48, 1))
        optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.05)
        for _ in range(steps):
            chosen = torch.randint(len(x), (256,))
            loss = torch.nn.functional.smooth_l1_loss(net(x[chosen])[:, 0], y[chosen], beta=0.2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    names = ("hidden", "hidden_bias", "out", "out_bias")
    return {**fitted, **dict(zip(names, (weights.detach() for weights in net.parameters())))}


def read_ends(fitted, features, margin=0.25):
    """Where sounds end, in samples, by a `fitted` regression: (n, features) -> (n,). margin: octaves to be safe."""
    x = (features - fitted["centre"]) / fitted["scale"]
    x = torch.nn.functional.silu(x @ fitted["hidden"].T + fitted["hidden_bias"])
    octaves = (x @ fitted["out"].T + fitted["out_bias"])[:, 0] + fitted["middle"] + margin
    return torch.exp2(octaves.clamp(5, 30)).minimum(fitted["length"])


# --- the finish ---


def level_db(samples, rate):
    """The rms of a sound's loudest 20 ms in dB re full scale: (n,) -> number; -200 for silence."""
    power = np.cumsum(np.pad(np.asarray(samples, float) ** 2, (1, 0)))
    width = min(round(0.02 * rate), len(samples))
    return float(10 * np.log10(max((power[width:] - power[:-width]).max() / width, 1e-20)))


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
    peak would pass CEILING.
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
    gain = min(10 ** ((level - level_db(sound, rate)) / 20), CEILING / np.abs(sound).max())
    return (gain * sound).astype(np.float32)
