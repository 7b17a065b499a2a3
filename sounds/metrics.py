"""How good a model of sound pictures is: numbers and pictures in, measures out; evaluate.py prints them.

Pictures are in dB re the loudest point of each sound, from the floor (-60) to 0: (n, bands, frames). What the grain of
noise would blur (distances between sounds, the classifier) is measured on pictures seen coarsely, see `downsample`.
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
from sounds.spectrograms import load_spectrograms, spectrograms_of
from sounds.synthesis import synthesise

PIXELS = (52, 20)  # of a coarse picture
COSINES = ((64, 16), (128, 40))  # how smooth sounds are: the distance that so many cosines of their own leave


def log_spectral_distance(one, other):
    """RMS over bands and frames of the difference in dB: (n, bands, frames) twice -> (n,)."""
    return (one.float() - other.float()).flatten(1).square().mean(1).sqrt()


def principal_components(train, test, counts, linear=False):
    """Distances of test pictures from their projections on the components of training ones: {count: (n,)}, and at 0
    from the mean of all. The projections are held to the pictures' range, as a model's are. linear: components of the
    magnitudes themselves, not of their decibels."""
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


def dct_distance(pictures, counts):
    """Distances of pictures from what their own lowest cosines keep, counts = (over bands, over frames): (n,).

    No code learned here, but a measure of how much of a picture is smooth: (64, 16) is 1,024 numbers a sound.
    """
    def smoother(size, count):
        place = torch.arange(size) + 0.5
        basis = torch.cos(math.pi * torch.arange(min(count, size))[:, None] * place / size)  # (count, size)
        basis = basis / basis.norm(dim=1, keepdim=True)
        return basis.T @ basis

    over_bands, over_frames = (smoother(*pair) for pair in zip(pictures.shape[1:], counts))
    smooth = over_bands @ pictures.float() @ over_frames
    return log_spectral_distance(pictures, smooth.clamp(pictures.min().float(), pictures.max().float()))


def nearest_distance(from_these, to_these):
    """The distance of each coarse picture to the nearest of others, in dB RMS: (n, ...), (m, ...) -> (n,)."""
    return distances(from_these, to_these).amin(1)


def distances(one, other):
    """All distances in dB RMS: (n, ...), (m, ...) -> (n, m)."""
    one, other = one.flatten(1), other.flatten(1)
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist") / one.shape[1] ** 0.5


def downsample(pictures):
    """Pictures (n, bands, frames) in dB, seen coarsely: (n, *PIXELS)."""
    return torch.cat([F.adaptive_avg_pool2d(part.float()[:, None], PIXELS)[:, 0] for part in pictures.split(256)])


class Classifier(nn.Module):
    """A small convolutional net that names the class of coarse pictures: (n, *PIXELS) -> logits (n, classes)."""

    def __init__(self, classes=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.SiLU(),
            nn.Conv2d(32, 48, 3, stride=2, padding=1), nn.GroupNorm(4, 48), nn.SiLU(),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(48 * (PIXELS[0] // 4) * (PIXELS[1] // 4), 64), nn.SiLU())
        self.last = nn.Linear(64, classes)

    def features(self, pictures):
        """The last layer before the classes: (n, 64)."""
        return self.layers(pictures[:, None] / 30 + 1)

    def forward(self, pictures):
        return self.last(self.features(pictures))


def train_classifier(pictures, labels, seed=0, steps=1500, batch_size=48, classes=8):
    """A Classifier of coarse pictures (n, *PIXELS), each class drawn as often; shifted by up to half an octave."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(classes).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
        chances = (1 / torch.bincount(labels, minlength=classes).clamp_min(1).float())[labels]
        for _ in range(steps):
            chosen = torch.multinomial(chances, batch_size, replacement=True)
            batch = pictures[chosen]
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
def accuracy(classifier, pictures, labels, classes=8):
    """The share named right: {"all": of the sounds, "mean": over classes, "by_class": [share or None] * classes}."""
    right = (classifier(pictures).argmax(1) == labels).float()
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


def mean_pairwise(pictures):
    """The mean distance between two of these coarse pictures, dB RMS; None for fewer than two."""
    if len(pictures) < 2:
        return None
    return (distances(pictures, pictures).sum() / (len(pictures) * (len(pictures) - 1))).item()


def share_nearer(made, real, train):
    """How often a made sound has a training sound nearer than a real unseen sound has: 0.5 if it copies no more."""
    ours, theirs = nearest_distance(made, train), nearest_distance(real, train)
    return (ours[:, None] < theirs).float().mean().item()


@torch.no_grad()
def reconstructed(model, x, labels, to_decibels):
    """What the model makes of the codes of normalised pictures, in dB: (n, bands, frames) -> the same."""
    device, pictures = next(model.parameters(), x).device, []
    for part, label in zip(x.split(64), labels.split(64)):
        label = label.to(device)
        pictures.append(to_decibels(model.decode(model.code(part.to(device), label=label), label=label)).cpu())
    return torch.cat(pictures)


@torch.no_grad()
def not_finite(model, count, scale, seed=0, classes=8):
    """How many of `count` pictures, at codes `scale` times as far out as the prior's, hold a value that is not finite;
    the classes take turns."""
    generator = torch.Generator().manual_seed(seed)
    bad, device = 0, next(model.parameters(), torch.empty(0)).device
    for start in range(0, count, 64):
        label = torch.arange(start, min(start + 64, count)) % classes
        noise = scale * torch.randn(len(label), model.latent, generator=generator)
        decoded = model.decode(noise.to(device), label=label.to(device)).cpu()
        bad += int((~torch.isfinite(decoded)).flatten(1).any(1).sum())
    return bad


def measure(model, train, test, to_decibels, normalised, make, codes_report, seed=0, draws=10_000, components=(),
            each=100, most=800):
    """All measures of a model, on (pictures in dB, labels) of training and of unseen machines: a dictionary.

    to_decibels: a model's pictures to dB, within the floor; normalised: the way back. make(labels, seed): a generated
    sound of each label, as its coarse picture. codes_report(model, x, label=labels): what the codes carry.
    components: further numbers of principal components to compare with.
    each: sounds of a class that are generated; most: of the training sounds that stand in for all, and of those made
    beside them, as many of each class.
    """
    classes = model.classes
    (train_pictures, train_labels), (test_pictures, test_labels) = train, test
    x = normalised(test_pictures)
    distance = log_spectral_distance(test_pictures, reconstructed(model, x, test_labels, to_decibels))
    baselines = principal_components(train_pictures, test_pictures, sorted({model.latent, *components}))
    seen, unseen = downsample(train_pictures), downsample(test_pictures)
    nearest = distances(unseen, seen).argmin(1)
    result = {
        "sounds": {"train": len(train_pictures), "unseen": len(test_pictures)},
        "distance_db": distance.mean().item(),
        "distance_db_by_class": [distance[test_labels == row].mean().item() if (test_labels == row).any() else None
                                 for row in range(classes)],
        "components_db": {count: values.mean().item() for count, values in baselines.items()},
        "linear_components_db": {count: values.mean().item() for count, values in principal_components(
            train_pictures, test_pictures, sorted({model.latent, *components}), linear=True).items()},
        "cosines_db": {f"{bands} x {frames}": dct_distance(test_pictures, (bands, frames)).mean().item()
                       for bands, frames in COSINES},
        "nearest_db": log_spectral_distance(test_pictures, train_pictures[nearest]).mean().item(),
        "codes": codes_report(model, x, label=test_labels)}
    classifier = train_classifier(seen, train_labels, seed, classes=classes)
    asked = torch.arange(classes).repeat_interleave(each)
    made = make(asked, seed)
    result["accuracy_real"] = accuracy(classifier, unseen, test_labels, classes)
    result["nearest_accuracy_real"] = (train_labels[nearest] == test_labels).float().mean().item()
    result["purity"] = accuracy(classifier, made, asked, classes)
    some = torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed))[:most]
    alike = make(train_labels[some], seed + 1)
    with torch.no_grad():
        features = [classifier.features(part) for part in (alike, seen[some], unseen)]
    result["frechet"] = {"generated": frechet_distance(features[0], features[2]),
                         "real": frechet_distance(features[1], features[2])}
    result["pairwise_db"] = {"generated": [mean_pairwise(made[asked == row]) for row in range(classes)],
                             "real": [mean_pairwise(unseen[test_labels == row]) for row in range(classes)]}
    result["nearer_than_real"] = share_nearer(alike, unseen, seen)
    result["draws"] = draws
    result["not_finite"] = {str(scale): not_finite(model, draws, scale, seed, classes) for scale in (1, 3)}
    return result


def report(result):
    """The measures as lines of text."""
    def by_class(values, form="{:.2f}"):
        return ", ".join(f"{name} {form.format(value)}" for name, value in zip(INSTRUMENTS, values)
                         if value is not None)

    codes, components, latent = result["codes"], result["components_db"], result["codes"]["latent"]
    ours, theirs = result["distance_db"], components[latent]
    yield (f"{result['sounds']['unseen']} sounds of unseen machines, {result['sounds']['train']} of training machines; "
           f"{result['data']}")
    yield (f"log-spectral distance of reconstructions: {ours:.2f} dB, {1 - ours / theirs:.0%} below the "
           f"{theirs:.2f} dB of {latent} principal components, "
           f"{1 - ours / result['linear_components_db'][latent]:.0%} below those of magnitudes; "
           + by_class(result["distance_db_by_class"]))
    yield ("for comparison: " + ", ".join(f"{count} components {value:.2f} dB" if count else f"mean {value:.2f} dB"
                                          for count, value in components.items())
           + "; of magnitudes in place of decibels "
           + ", ".join(f"{count} components {value:.2f} dB" if count else f"mean {value:.2f} dB"
                       for count, value in result["linear_components_db"].items())
           + f"; nearest training sound {result['nearest_db']:.2f} dB, its own lowest cosines "
           + ", ".join(f"{counts} {value:.2f} dB" for counts, value in result["cosines_db"].items()))
    kl = codes["kl_by_dimension"]
    yield (f"code: {codes['active_units']} of {latent} units active, KL {codes['kl']:.1f} nats; by dimension from "
           f"{kl[0]:.2f} through {kl[len(kl) // 2]:.2f} to {kl[-1]:.2f}, {sum(value < 0.01 for value in kl)} of them "
           "below 0.01")
    for name, title in (("accuracy_real", "classifier on unseen real sounds"), ("purity", "on generated ones")):
        found = result[name]
        yield (f"{title}: {found['all']:.1%} of all, {found['mean']:.1%} mean of classes; "
               + by_class(found["by_class"], "{:.0%}"))
    yield f"nearest neighbour on unseen real sounds: {result['nearest_accuracy_real']:.1%}"
    frechet = result["frechet"]
    yield (f"Frechet distance to unseen real sounds: generated {frechet['generated']:.2f}, training sounds "
           f"{frechet['real']:.2f}: {frechet['generated'] / frechet['real']:.2f} times")
    yield f"pairs of a class apart, dB, generated: {by_class(result['pairwise_db']['generated'])}"
    yield f"pairs of a class apart, dB, real: {by_class(result['pairwise_db']['real'])}"
    yield f"nearer to a training sound than an unseen real sound is: {result['nearer_than_real']:.1%}"
    yield (f"not finite of {result['draws']} samples: " +
           ", ".join(f"{count} at scale {scale}" for scale, count in result["not_finite"].items()))


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
    if data["pictures"].shape[1:] != model.shape:
        raise ValueError(f"--data {path}: expected pictures of {model.shape}, found {data['pictures'].shape[1:]}")
    sides = split_by_machine(data["names"], trained.get("seed", 0))
    if arguments.limit:
        source = np.random.default_rng(arguments.seed)
        sides = {side: source.permutation(index)[:arguments.limit] for side, index in sides.items()}

    def make(labels, seed):
        """Finished sounds of the model, seen as the real ones are: their own pictures, coarsely."""
        codes = random_codes(cpu, len(labels), seed)
        samples = synthesise(cpu, codes, labels, seed)
        return downsample(torch.as_tensor(spectrograms_of(samples, sound["settings"], sound["floor_db"])))

    cpu = attach_transform(build_model(content, arguments.run), sound, arguments.run)
    pictures, labels = torch.as_tensor(data["pictures"]), torch.as_tensor(data["labels"]).long()
    result = measure(
        model, *((pictures[sides[side]], labels[sides[side]]) for side in ("train", "test")),
        lambda x: (x * sound["deviation"] + sound["mean"]).clamp(sound["floor_db"], 0),
        lambda decibels: (decibels.float() - sound["mean"]) / sound["deviation"], make, codes_report, arguments.seed,
        draws=arguments.draws, components=(32, 128))
    return {"model": str(arguments.run), "data": str(path), "split_seed": trained.get("seed", 0),
            "seed": arguments.seed, "epoch": content.get("epoch"), "config": content["config"], **result}
