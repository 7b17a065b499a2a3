"""Log-mel spectrograms of sounds, a small classifier of them whose last hidden layer is an embedding, distances in it.

    images = torch.stack([log_mel(wave) for wave in waves])  # (n, 1, BANDS, columns), of waves (samples,) at RATE
    features = train_classifier(images, labels).features(images[:, 0])                # (n, 64)
"""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from formats.activation_matrix import INSTRUMENTS

RATE = 44100
WINDOW, HOP, BANDS, FLOOR_DB = 1024, 128, 64, -80.0  # of log-mel spectrograms, from 30 Hz to 20 kHz
COLUMNS = [1] * 32 + [4] * 32 + [16] * 23  # hops in each column: 3 ms to 93 ms, 12 ms to 0.46 s, 46 ms to 1.53 s
LONGEST = HOP * sum(COLUMNS)  # samples that are looked at
CLASSES = len(INSTRUMENTS)


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
