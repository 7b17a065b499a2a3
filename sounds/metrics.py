"""How good a sound model is: reconstruction, class purity, variety, copies; a dictionary, and lines that say it.

    result = evaluate_sounds(options, load_checkpoint("pretrained/sound_vae.pt"), model, codes_report)
    print("\\n".join(report(result)))

Spectrograms are in dB re the loudest point of each sound, from the floor (-60) to 0: (n, bands, frames). What noise
would blur (distances between sounds, the classifier) is measured on small ones, see `downsample`.
"""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from formats.activation_matrix import INSTRUMENTS
from models import build_model
from sounds.codes import attach_transform, random_codes
from sounds.dataset import split_by_machine
from sounds.spectrograms import denormalise, load_spectrograms, normalise, spectrograms_of
from sounds.synthesis import synthesise

PIXELS = (52, 20)  # of a small spectrogram
COSINES = ((64, 16), (128, 40))  # how smooth sounds are: the distance that so many cosines of their own leave
COMPONENTS = (32, 128)  # principal components to compare with
MOST = 800  # training sounds that stand in for all, and sounds made beside them, as many of each class


def log_spectral_distance(one, other):
    """RMS over bands and frames of the difference in dB: (n, bands, frames) twice -> (n,)."""
    return (one.float() - other.float()).flatten(1).square().mean(1).sqrt()


def principal_components(train, test, counts, linear=False):
    """Distances of test spectrograms from their projections on the components of training ones: {count: (n,)}, and at
    0 from the mean of all. The projections are held to the spectrograms' range, as a model's are. linear: components of
    the magnitudes themselves, not of their decibels."""
    flat, size = train.float().flatten(1), test.shape
    low, high = test.min().float(), test.max().float()
    if linear:
        flat = 10 ** (flat / 20)
    mean = flat.mean(0)
    most = min(max(counts), len(flat) - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, _, axes = torch.svd_lowrank(flat - mean, q=min(most + 10, len(flat)), niter=4)
    unseen = test.float().flatten(1)
    unseen = (10 ** (unseen / 20) if linear else unseen) - mean

    def projected(count):
        found = mean + unseen @ axes[:, :count] @ axes[:, :count].T
        return (20 * torch.log10(found.clamp_min(1e-10)) if linear else found).clamp(low, high).view(size)
    return {count: log_spectral_distance(test, projected(count)) for count in (0, *counts)}


def dct_distance(spectrograms, counts):
    """Distances of spectrograms from what their own lowest DCT coefficients keep: (n, bands, frames) -> (n,).

    counts: of cosines over bands and over frames. It measures how smooth sounds are; nothing is learned here.
    """
    def smoother(size, count):
        place = torch.arange(size) + 0.5
        basis = torch.cos(math.pi * torch.arange(min(count, size))[:, None] * place / size)  # (count, size)
        basis = basis / basis.norm(dim=1, keepdim=True)
        return basis.T @ basis

    over_bands, over_frames = (smoother(*pair) for pair in zip(spectrograms.shape[1:], counts))
    smooth = over_bands @ spectrograms.float() @ over_frames
    low, high = spectrograms.min().float(), spectrograms.max().float()
    return log_spectral_distance(spectrograms, smooth.clamp(low, high))


def distances(one, other):
    """All distances in dB RMS: (n, ...), (m, ...) -> (n, m)."""
    one, other = one.flatten(1), other.flatten(1)
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist") / one.shape[1] ** 0.5


def downsample(spectrograms):
    """Spectrograms (n, bands, frames) in dB as means over areas: (n, *PIXELS)."""
    return torch.cat([F.adaptive_avg_pool2d(part.float()[:, None], PIXELS)[:, 0] for part in spectrograms.split(256)])


class Classifier(nn.Module):
    """A small convolutional net that names the class of small spectrograms: (n, *PIXELS) -> logits (n, classes)."""

    def __init__(self, classes=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.SiLU(),
            nn.Conv2d(32, 48, 3, stride=2, padding=1), nn.GroupNorm(4, 48), nn.SiLU(),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(48 * (PIXELS[0] // 4) * (PIXELS[1] // 4), 64), nn.SiLU())
        self.last = nn.Linear(64, classes)

    def features(self, x):
        """The last layer before the classes: (n, 64)."""
        return self.layers(x[:, None] / 30 + 1)

    def forward(self, x):
        return self.last(self.features(x))


def train_classifier(spectrograms, labels, seed=0, steps=1500, batch_size=48, classes=8):
    """A Classifier of small spectrograms (n, *PIXELS), each class drawn as often; shifted by up to half an octave."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(classes).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
        chances = (1 / torch.bincount(labels, minlength=classes).clamp_min(1).float())[labels]
        for _ in range(steps):
            chosen = torch.multinomial(chances, batch_size, replacement=True)
            batch = spectrograms[chosen]
            shift = int(torch.randint(-3, 4, ()))
            batch = F.pad(batch[:, None], (0, 0, 3, 3), mode="replicate")[:, 0, 3 + shift:3 + shift + PIXELS[0]]
            batch = batch + 2 * torch.randn(len(batch), 1, 1) + torch.randn_like(batch)
            loss = F.cross_entropy(model(batch), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(classifier, spectrograms, labels, classes=8):
    """The share named right: {"all": of the sounds, "mean": over classes, "by_class": [share or None] * classes}."""
    right = (classifier(spectrograms).argmax(1) == labels).float()
    by_class = [right[labels == row].mean().item() if (labels == row).any() else None for row in range(classes)]
    there = [share for share in by_class if share is not None]
    return {"all": right.mean().item(), "mean": sum(there) / len(there), "by_class": by_class}


def frechet_distance(one, other):
    """The Frechet distance of two sets of features (n, d), (m, d), as of Gaussians (Heusel et al. 2017, eq. 6)."""
    one, other = one.double(), other.double()
    covariances = [torch.atleast_2d(torch.cov(side.T)) for side in (one, other)]
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp_min(0).sqrt().sum()
    return ((one.mean(0) - other.mean(0)).square().sum() + sum(c.trace() for c in covariances) - 2 * cross).item()


def mean_pairwise(spectrograms):
    """The mean distance between two of these small spectrograms, dB RMS; None for fewer than two."""
    count = len(spectrograms)
    return (distances(spectrograms, spectrograms).sum() / (count * (count - 1))).item() if count > 1 else None


def share_nearer(made, real, train):
    """How often a made sound has a training sound nearer than a real unseen sound has: 0.5 if it copies no more."""
    ours, theirs = distances(made, train).amin(1), distances(real, train).amin(1)
    return (ours[:, None] < theirs).float().mean().item()


@torch.no_grad()
def reconstructed(model, x, labels):
    """What the model makes of the codes of spectrograms in its units, in dB: (n, bands, frames) -> the same."""
    device = next(model.parameters()).device
    made = [model.decode_base(model.encode_base(part.to(device), label=label), label=label).cpu()
            for part, label in zip(x.split(64), labels.to(device).split(64))]
    return denormalise(torch.cat(made), model.sound)


@torch.no_grad()
def not_finite(model, count, scale, seed=0):
    """How many of `count` spectrograms hold a value that is not finite, at codes `scale` times as far out as the
    prior's, of each class in turn."""
    generator = torch.Generator().manual_seed(seed)
    bad, device = 0, next(model.parameters(), torch.empty(0)).device
    for start in range(0, count, 64):
        label = torch.arange(start, min(start + 64, count)) % model.classes
        codes = scale * torch.randn(len(label), model.latent, generator=generator)
        decoded = model.decode_base(codes.to(device), label=label.to(device)).cpu()
        bad += int((~torch.isfinite(decoded)).flatten(1).any(1).sum())
    return bad


def measure(model, train, test, make, codes_report, seed=0, draws=10_000, each=100):
    """All measures of a model with `sound` (see load_sound_model), on any device: a dictionary.

    train, test: (spectrograms in dB, labels) of training and of unseen machines. make(labels, seed): a generated sound
    of each label, as its small spectrogram. codes_report(model, x, label=labels): what the codes carry. each: sounds
    of a class that are generated.
    """
    (train_decibels, train_labels), (test_decibels, test_labels) = train, test
    seen, unseen = downsample(train_decibels), downsample(test_decibels)
    nearest = distances(unseen, seen).argmin(1)
    result = {
        "sounds": {"train": len(seen), "unseen": len(unseen)}, **distances_db(model, train_decibels, *test),
        "nearest_db": log_spectral_distance(test_decibels, train_decibels[nearest]).mean().item(),
        "codes": codes_report(model, normalise(test_decibels, model.sound), label=test_labels),
        "nearest_accuracy_real": (train_labels[nearest] == test_labels).float().mean().item()}
    classifier = train_classifier(seen, train_labels, seed, classes=model.classes)
    asked = torch.arange(model.classes).repeat_interleave(each)
    made = make(asked, seed)
    some = torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed))[:MOST]
    alike = make(train_labels[some], seed + 1)
    with torch.no_grad():
        features = [classifier.features(part) for part in (alike, seen[some], unseen)]
    return {**result, "accuracy_real": accuracy(classifier, unseen, test_labels, model.classes),
            "purity": accuracy(classifier, made, asked, model.classes),
            "frechet": {"generated": frechet_distance(features[0], features[2]),
                        "real": frechet_distance(features[1], features[2])},
            "pairwise_db": {"generated": [mean_pairwise(made[asked == row]) for row in range(model.classes)],
                            "real": [mean_pairwise(unseen[test_labels == row]) for row in range(model.classes)]},
            "nearer_than_real": share_nearer(alike, unseen, seen), "draws": draws,
            "not_finite": {str(scale): not_finite(model, draws, scale, seed) for scale in (1, 3)}}


def distances_db(model, train, test, labels):
    """Mean distances of unseen spectrograms in dB from the model's reconstructions and from what stands beside them:
    principal components of training ones, of decibels and of magnitudes, and their own lowest cosines."""
    distance = log_spectral_distance(test, reconstructed(model, normalise(test, model.sound), labels))
    counts = sorted({model.latent, *COMPONENTS})
    components, linear = ({count: values.mean().item() for count, values in
                           principal_components(train, test, counts, linear).items()} for linear in (False, True))
    return {"distance_db": distance.mean().item(),
            "distance_db_by_class": [distance[labels == row].mean().item() if (labels == row).any() else None
                                     for row in range(model.classes)],
            "components_db": components, "linear_components_db": linear,
            "cosines_db": {f"{bands} x {frames}": dct_distance(test, (bands, frames)).mean().item()
                           for bands, frames in COSINES}}


def report(result):
    """The measures as lines of text."""
    def by_class(values, form="{:.2f}"):
        return ", ".join(f"{name} {form.format(value)}" for name, value in zip(INSTRUMENTS, values)
                         if value is not None)

    def by_count(values):
        return ", ".join(f"{count} components {value:.2f} dB" if count else f"mean {value:.2f} dB"
                         for count, value in values.items())

    codes, components, linear = result["codes"], result["components_db"], result["linear_components_db"]
    ours, latent, kl = result["distance_db"], codes["latent"], codes["kl_by_dimension"]
    yield (f"{result['sounds']['unseen']} sounds of unseen machines, {result['sounds']['train']} of training machines; "
           f"{result['data']}")
    yield (f"log-spectral distance of reconstructions: {ours:.2f} dB, {1 - ours / components[latent]:.0%} below the "
           f"{components[latent]:.2f} dB of {latent} principal components, {1 - ours / linear[latent]:.0%} below those "
           f"of magnitudes; {by_class(result['distance_db_by_class'])}")
    yield (f"for comparison: {by_count(components)}; of magnitudes in place of decibels {by_count(linear)}; nearest "
           f"training sound {result['nearest_db']:.2f} dB, its own lowest cosines "
           + ", ".join(f"{counts} {value:.2f} dB" for counts, value in result["cosines_db"].items()))
    yield (f"code: {codes['active_units']} of {latent} units active, KL {codes['kl']:.1f} nats; by dimension from "
           f"{kl[0]:.2f} through {kl[len(kl) // 2]:.2f} to {kl[-1]:.2f}, {sum(value < 0.01 for value in kl)} of them "
           "below 0.01")
    for name, title in (("accuracy_real", "classifier on unseen real sounds"), ("purity", "on generated ones")):
        found = result[name]
        yield (f"{title}: {found['all']:.1%} of all, {found['mean']:.1%} mean of classes; "
               + by_class(found["by_class"], "{:.0%}"))
    yield f"nearest neighbour on unseen real sounds: {result['nearest_accuracy_real']:.1%}"
    made, real = result["frechet"]["generated"], result["frechet"]["real"]
    yield (f"Frechet distance to unseen real sounds: generated {made:.2f}, training sounds {real:.2f}: "
           f"{made / real:.2f} times")
    for name in ("generated", "real"):
        yield f"pairs of a class apart, dB, {name}: {by_class(result['pairwise_db'][name])}"
    yield f"nearer to a training sound than an unseen real sound is: {result['nearer_than_real']:.1%}"
    yield f"not finite of {result['draws']} samples: " + ", ".join(
        f"{count} at scale {scale}" for scale, count in result["not_finite"].items())


def evaluate_sounds(arguments, content, model, codes_report):
    """The numbers of a model of sounds, a dictionary; `report` makes lines of it.

    Unseen machines are those that its training kept for the test, by its seed. arguments, content: evaluate.py's
    options and the checkpoint. model: on the device that codes and decodes; sounds are made on the CPU. codes_report:
    that of learning.bounds.
    """
    trained, sound = content.get("arguments", {}), content.get("sound")
    path = arguments.data or trained.get("data")
    if sound is None or path is None:
        raise ValueError(f"{arguments.run}: does not say what it was trained on; give --data")
    data = load_spectrograms(path, sound["settings"], sound["floor_db"])
    if data["spectrograms"].shape[1:] != model.shape:
        raise ValueError(f"--data {path}: expected spectrograms of {model.shape}, found "
                         f"{data['spectrograms'].shape[1:]}")
    sides = split_by_machine(data["names"], trained.get("seed", 0))
    if arguments.limit:
        source = np.random.default_rng(arguments.seed)
        sides = {side: source.permutation(index)[:arguments.limit] for side, index in sides.items()}

    def make(labels, seed):
        """Finished sounds of the model as the real ones are seen: their own small spectrograms."""
        samples = synthesise(cpu, random_codes(cpu, len(labels), seed), labels, seed)
        return downsample(torch.as_tensor(spectrograms_of(samples, sound["settings"], sound["floor_db"])))

    model, cpu = (attach_transform(one, sound, arguments.run) for one in (model, build_model(content, arguments.run)))
    train, test = ((torch.as_tensor(data["spectrograms"][sides[side]]),
                    torch.as_tensor(data["labels"][sides[side]]).long()) for side in ("train", "test"))
    result = measure(model, train, test, make, codes_report, arguments.seed, arguments.draws)
    return {"model": str(arguments.run), "data": str(path), "split_seed": trained.get("seed", 0),
            "seed": arguments.seed, "epoch": content.get("epoch"), "config": content["config"], **result}
