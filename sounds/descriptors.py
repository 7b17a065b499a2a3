"""What a drum sound is like: numbers of its waveform, and an embedding by a small classifier, with distances in it.

    describe(samples, 44100)["attack_ms"]      # one sound: {name: number}, by the names of NAMES
    describe_all(waves, 44100)                 # a list of sounds: float64 (n, len(NAMES))
    images = torch.stack([log_mel(wave) for wave in waves])  # (n, 1, BANDS, columns), of waves (samples,) at RATE
    features = train_classifier(images, labels).features(images[:, 0])                # (n, 64)

samples: mono, float (n,), at any level. An envelope is an rms over a sliding window, and its decibels are re its
maximum. Silence has the attack, the decay and the energy 0.
"""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from formats.activation_matrix import INSTRUMENTS

NAMES = ("attack_ms", "to_20_ms", "to_40_ms", "roughness_db", "flatness_db", "high_share", "low_share", "centroid_hz",
         "rolloff_hz", "bandwidth_octaves", "half_second_db", "bursts", "first_step", "crest_db")
SILENCE_DB = -80.0  # re the peak: what is softer to the last is no part of the sound
TINY = 1e-30
RATE = 44100
WINDOW, HOP, BANDS, FLOOR_DB = 1024, 128, 64, -80.0  # of log-mel spectrograms, from 30 Hz to 20 kHz
COLUMNS = [1] * 32 + [4] * 32 + [16] * 23  # hops in each column: 3 ms to 93 ms, 12 ms to 0.46 s, 46 ms to 1.53 s
LONGEST = HOP * sum(COLUMNS)  # samples that are looked at
CLASSES = len(INSTRUMENTS)


def envelope(samples, rate, seconds=0.001):
    """The rms over `seconds` about each sample, with silence before the first and after the last: (n,) -> (n,)."""
    width = max(1, round(seconds * rate))
    power = np.cumsum(np.pad(np.square(samples, dtype=np.float64), (width // 2 + 1, width)))
    return np.sqrt(np.maximum(power[width:width + len(samples)] - power[:len(samples)], 0) / width)


def attack_ms(samples, rate):
    """From where the 1 ms envelope first reaches 10 % of its maximum to where it first reaches 90 %, in ms."""
    loud = envelope(samples, rate)
    first, last = (np.argmax(loud >= share * loud.max()) for share in (0.1, 0.9))
    return 1000 * (last - first) / rate


def decay_ms(samples, rate, decibels):
    """From the maximum of the 20 ms envelope to where it is last within `decibels` of it, in ms."""
    loud = envelope(samples, rate, 0.02)
    return 1000 * (np.flatnonzero(loud >= 10 ** (-decibels / 20) * loud.max())[-1] - loud.argmax()) / rate


def falling_fit(values):
    """Of all sequences that never rise, the nearest in the mean square (pool adjacent violators): (n,) -> (n,)."""
    means, counts = [], []
    for value in values:
        means.append(value)
        counts.append(1)
        while len(means) > 1 and means[-2] < means[-1]:
            mean, count = means.pop(), counts.pop()
            means[-1] = (means[-1] * counts[-1] + mean * count) / (counts[-1] + count)
            counts[-1] += count
    return np.repeat(means, counts)


def roughness_db(samples, rate, seconds=0.02, decibels=40):
    """How unevenly a sound decays: the rms, in dB, of its level in steps of 20 ms about their falling_fit.

    From the loudest step to the last within `decibels` of it.
    """
    size = round(seconds * rate)
    power = np.square(np.pad(samples, (0, -len(samples) % size)), dtype=np.float64).reshape(-1, size).mean(1)
    level = 10 * np.log10(np.maximum(power, TINY) / max(power.max(), TINY))
    level = level[level.argmax():np.flatnonzero(level >= -decibels)[-1] + 1]
    return np.sqrt(np.mean((level - falling_fit(level)) ** 2))


def spectra(samples, size=2048):
    """Power spectra of Hann windows of `size` samples, the first about sample 0: (n,) -> (frames, size / 2 + 1)."""
    padded = np.pad(samples, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::size // 2]
    return np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1])) ** 2


def flatness_db(samples, rate, low=3000, high=6000, size=8192):
    """Geometric over arithmetic mean of the power spectrum from low to high Hz, in dB: noise has -2.5, metal less.

    Spectra of 8,192 samples (5 Hz at 44,100 Hz), so that partials stand apart; the mean over them, by their power.
    """
    power = spectra(samples, size)
    hertz = np.linspace(0, rate / 2, power.shape[1])
    power = power[:, (hertz >= low) & (hertz < high)]                                 # (frames, bins)
    mean = np.maximum(power.mean(1), TINY)
    flatness = 10 * np.mean(np.log10(np.maximum(power, TINY) / mean[:, None]), 1)
    return np.average(flatness, weights=mean)


def band_numbers(samples, rate):
    """Where a sound's energy lies: a dictionary.

    high_share, low_share: of it above 11 kHz, below 200 Hz. centroid_hz: its mean frequency. rolloff_hz: the one below
    which 85 % lie. bandwidth_octaves: the standard deviation of its frequency.
    """
    power = spectra(samples).sum(0)
    share = power / max(power.sum(), TINY)
    hertz = np.linspace(0, rate / 2, len(power))
    octaves = np.log2(np.maximum(hertz, 20))
    return {"high_share": share[hertz > 11000].sum(), "low_share": share[hertz < 200].sum(),
            "centroid_hz": share @ hertz, "rolloff_hz": hertz[np.argmax(np.cumsum(share) >= 0.85 * share.sum())],
            "bandwidth_octaves": np.sqrt(max(share @ octaves ** 2 - (share @ octaves) ** 2, 0))}


def level_db(samples, rate, at=0.5):
    """The 20 ms envelope at `at` seconds, in dB re its maximum; -100 where it is softer or the sound over."""
    loud, place = envelope(samples, rate, 0.02), round(at * rate)
    return max(20 * np.log10(max(loud[place], TINY) / max(loud.max(), TINY)), -100.0) if place < len(loud) else -100.0


def bursts(samples, rate, within=0.06):
    """How many bursts a sound's first 60 ms hold, as a clap's: peaks of the 2 ms envelope above 30 % of its maximum.

    Between two of them it falls below half of the former, and rises to twice the least.
    """
    loud = envelope(samples, rate, 0.002)
    count, peak, least = 0, 0.0, 0.0
    for value in loud[:round(within * rate)] / max(loud.max(), TINY):
        least = min(least, value)
        if peak:
            peak = max(peak, value)
            if value < peak / 2:
                peak, least = 0.0, value
        elif value >= max(0.3, 2 * least):
            count, peak = count + 1, value
    return count


def describe(samples, rate):
    """All descriptors of one sound (n,): {name: number}. What follows the last sample above -80 dB is left out.

    half_second_db: level_db. first_step: the first sample re the peak. crest_db: the peak re the rms, in dB.
    """
    samples = np.asarray(samples, np.float64)
    samples = samples / max(np.abs(samples).max(initial=0), TINY)
    ends = np.flatnonzero(np.abs(samples) > 10 ** (SILENCE_DB / 20))
    samples = samples[:ends[-1] + 1] if len(ends) else np.zeros(1)
    return {"attack_ms": attack_ms(samples, rate), "to_20_ms": decay_ms(samples, rate, 20),
            "to_40_ms": decay_ms(samples, rate, 40), "roughness_db": roughness_db(samples, rate),
            "flatness_db": flatness_db(samples, rate), **band_numbers(samples, rate),
            "half_second_db": level_db(samples, rate), "bursts": bursts(samples, rate), "first_step": abs(samples[0]),
            "crest_db": -10 * np.log10(max(np.mean(samples ** 2), TINY))}


def describe_all(waves, rate):
    """The descriptors of sounds, in the order of NAMES: a list of (samples,) -> float64 (n, len(NAMES))."""
    return np.array([[one[name] for name in NAMES] for one in (describe(wave, rate) for wave in waves)])


# --- an embedding ---


def mel_filters():
    """Triangles that are even on the mel scale, each of sum 1: (BANDS, WINDOW // 2 + 1)."""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (30, 20_000))
    edges = 700 * (10 ** (torch.linspace(low, high, BANDS + 2) / 2595) - 1)
    hertz, step = torch.linspace(0, RATE / 2, WINDOW // 2 + 1), RATE / WINDOW
    below, above = (edges[1:-1] - edges[:-2]).clamp_min(step), (edges[2:] - edges[1:-1]).clamp_min(step)
    distance = hertz - edges[1:-1, None]                                              # (BANDS, bins)
    weights = (1 - torch.where(distance < 0, -distance / below[:, None], distance / above[:, None])).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)


FILTERS, HANN = mel_filters(), torch.hann_window(WINDOW)
POOL = torch.repeat_interleave(torch.eye(len(COLUMNS)), torch.tensor(COLUMNS), 0) / torch.tensor(COLUMNS)  # of hops


def log_mel(wave, shifts=(0,)):
    """A sound's log-mel spectrogram in dB re its peak, its onset (5 % of the peak) in the first column.

    wave: (samples,) at RATE. shifts: hops to begin later by. Returns (len(shifts), BANDS, len(COLUMNS)).
    """
    wave = torch.as_tensor(np.asarray(wave, np.float32))
    begin = int((wave.abs() >= 0.05 * wave.abs().amax()).int().argmax()) if len(wave) else 0
    wave = wave[begin:][:LONGEST]
    hops = min(sum(COLUMNS), (len(wave) + WINDOW) // HOP)  # what follows is silence
    padded = F.pad(wave, (WINDOW // 2, 2 * WINDOW))[:WINDOW + HOP * (hops - 1)]
    spectrum = torch.stft(padded, WINDOW, HOP, window=HANN, center=False, return_complex=True).abs() ** 2
    power = F.pad(FILTERS @ spectrum, (0, sum(COLUMNS) - hops))                       # (BANDS, hops)
    pooled = torch.stack([F.pad(power, (shift, -shift)) @ POOL for shift in shifts])
    level = 10 * torch.log10(pooled.clamp_min(1e-30))
    return (level - level.amax((1, 2), keepdim=True)).clamp_min(FLOOR_DB)


class Classifier(nn.Module):
    """A small convolutional net for the class of log-mel spectrograms: (n, BANDS, columns) -> logits (n, CLASSES)."""

    def __init__(self, widths=(16, 32, 48, 64), hidden=64):
        super().__init__()
        blocks = [layer for before, width in zip((1, *widths), widths) for layer in (
            nn.Conv2d(before, width, 3, stride=2, padding=1), nn.GroupNorm(4, width), nn.SiLU())]
        area = math.prod(-(-size // 2 ** len(widths)) for size in (BANDS, len(COLUMNS)))
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(0.3), nn.Linear(widths[-1] * area, hidden),
                                    nn.SiLU())
        self.last = nn.Linear(hidden, CLASSES)

    def features(self, x):
        """The last layer before the classes: (n, 64)."""
        return self.layers(x[:, None] / 30 + 1)

    def forward(self, x):
        return self.last(self.features(x))


def train_classifier(images, labels, seed=0, steps=450, batch_size=48, bar=None):
    """A Classifier of log-mel spectrograms (n, versions, BANDS, columns), each class drawn as often.

    Pitch, level and tone vary at random. bar: a Progress that counts the steps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier().train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
        chances = (1 / torch.bincount(labels, minlength=CLASSES).clamp_min(1).float())[labels]
        for _ in range(steps):
            chosen = torch.multinomial(chances, batch_size, replacement=True)
            batch = images[chosen, torch.randint(images.shape[1], (batch_size,))]
            start = int(torch.randint(7, ()))
            batch = F.pad(batch[:, None], (0, 0, 3, 3), mode="replicate")[:, 0, start:start + BANDS]
            tilt = 3 * torch.randn(batch_size, 1, 1) * torch.linspace(-1, 1, BANDS)[:, None]
            batch = (batch + tilt + 2 * torch.randn(batch_size, 1, 1) + torch.randn_like(batch)).clamp_min(FLOOR_DB)
            loss = F.cross_entropy(model(batch), labels[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if bar is not None:
                bar.update()
    return model.eval()


# --- distances between sets of sounds ---


def frechet_distance(one, other):
    """The Frechet distance of two sets of features (n, d), (m, d), as of Gaussians (Heusel et al. 2017, eq. 6)."""
    one, other = one.double(), other.double()
    first, second = (torch.atleast_2d(torch.cov(features.T)) for features in (one, other))
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    return ((one.mean(0) - other.mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross).item()


def share_within(points, centres, k=5):
    """The share of points (n, d) nearer to one of centres (m, d) than its k-th neighbour among them is.

    Precision, of made points and real centres; recall, the other way round (Kynkaanniemi et al. 2019, eq. 1 to 3).
    """
    radius = torch.cdist(centres, centres).kthvalue(min(k + 1, len(centres)), 1).values
    return (torch.cdist(points, centres) <= radius).any(1).float().mean().item()


def distances(one, other):
    """All distances, rms over the columns: (n, ...), (m, ...) -> (n, m)."""
    one, other = one.flatten(1), other.flatten(1)
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist") / one.shape[1] ** 0.5


def copies(made, real, train):
    """How near made and real unseen sounds (n, ...) have their nearest training sound: medians, and a share.

    nearer: the share of made ones that have it nearer than 95 % of the real ones have; 5 % if it copies no more.
    """
    ours, theirs = distances(made, train).amin(1), distances(real, train).amin(1)
    return {"nearer": (ours < theirs.quantile(0.05)).float().mean().item(), "made": ours.median().item(),
            "real": theirs.median().item()}
