"""How good a sound model is: reconstruction, class purity, variety, copies; as a dictionary, and as lines of text.

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
    """Distances of test spectrograms from their projections on the principal components of training ones.

    Returns {count: (n,)}, with 0 for the mean alone. Projections are held to the range of `test`, as a model's are.
    linear: components of the magnitudes, not of their decibels.
    """
    flat, unseen = (10 ** (x / 20) if linear else x for x in (train.float().flatten(1), test.float().flatten(1)))
    mean, low, high = flat.mean(0), test.min().float(), test.max().float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        axes = torch.svd_lowrank(flat - mean, q=min(max(counts) + 10, len(flat)), niter=4)[2]

    def projected(count):
        found = mean + (unseen - mean) @ axes[:, :count] @ axes[:, :count].T
        return (20 * torch.log10(found.clamp_min(1e-10)) if linear else found).clamp(low, high).view(test.shape)
    return {count: log_spectral_distance(test, projected(count)) for count in (0, *counts)}


def dct_distance(spectrograms, counts):
    """Distances of spectrograms from what their own lowest DCT coefficients keep: (n, bands, frames) -> (n,).

    counts: of cosines over bands and over frames. It measures how smooth sounds are; nothing is learned here.
    """
    smooth = spectrograms.float()
    for size, count in zip(spectrograms.shape[1:], counts):
        basis = torch.cos(math.pi / size * torch.arange(min(count, size))[:, None] * (torch.arange(size) + 0.5))
        basis = basis / basis.norm(dim=1, keepdim=True)                               # (count, size)
        smooth = (basis.T @ basis @ smooth).mT                                        # (n, frames, bands), then back
    return log_spectral_distance(spectrograms, smooth.clamp(spectrograms.min(), spectrograms.max()))


def distances(one, other):
    """All distances in dB RMS: (n, ...), (m, ...) -> (n, m)."""
    one, other = one.flatten(1), other.flatten(1)
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist") / one.shape[1] ** 0.5


def downsample(spectrograms):
    """Spectrograms (n, bands, frames) in dB as means over areas: (n, *PIXELS)."""
    return torch.cat([F.adaptive_avg_pool2d(part.float()[:, None], PIXELS)[:, 0] for part in spectrograms.split(256)])


class Classifier(nn.Module):
    """A small convolutional net for the class of small spectrograms: (n, *PIXELS) -> logits (n, classes)."""

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


def mean_by_class(values, labels, classes):
    """The mean of values (n,) over each class, a list; None where a class has none."""
    return [values[labels == row].mean().item() if (labels == row).any() else None for row in range(classes)]


@torch.no_grad()
def accuracy(classifier, spectrograms, labels, classes=8):
    """The share named right: {"all": of the sounds, "mean": over classes, "by_class": [share or None] * classes}."""
    right = (classifier(spectrograms).argmax(1) == labels).float()
    by_class = mean_by_class(right, labels, classes)
    return {"all": right.mean().item(), "by_class": by_class,
            "mean": np.mean([share for share in by_class if share is not None]).item()}


def frechet_distance(one, other):
    """The Frechet distance of two sets of features (n, d), (m, d), as of Gaussians (Heusel et al. 2017, eq. 6)."""
    one, other = one.double(), other.double()
    first, second = (torch.atleast_2d(torch.cov(features.T)) for features in (one, other))
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    return ((one.mean(0) - other.mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross).item()


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
    """How many of `count` spectrograms, at `scale` times random codes of each class in turn, are not finite."""
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
    of each label, as its small spectrogram. codes_report: of learning.bounds. each: sounds of a class to generate.
    """
    (train_decibels, train_labels), (test_decibels, test_labels), classes = train, test, model.classes
    seen, unseen = downsample(train_decibels), downsample(test_decibels)
    nearest = distances(unseen, seen).argmin(1)
    classifier = train_classifier(seen, train_labels, seed, classes=classes)
    asked = torch.arange(classes).repeat_interleave(each)
    made = make(asked, seed)
    some = torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed))[:MOST]
    alike = make(train_labels[some], seed + 1)
    with torch.no_grad():
        made_features, seen_features, unseen_features = map(classifier.features, (alike, seen[some], unseen))
    return {"sounds": {"train": len(seen), "unseen": len(unseen)}, **distances_db(model, train_decibels, *test),
            "nearest_db": log_spectral_distance(test_decibels, train_decibels[nearest]).mean().item(),
            "codes": codes_report(model, normalise(test_decibels, model.sound), label=test_labels),
            "nearest_accuracy_real": (train_labels[nearest] == test_labels).float().mean().item(),
            "accuracy_real": accuracy(classifier, unseen, test_labels, classes),
            "purity": accuracy(classifier, made, asked, classes),
            "frechet": {"generated": frechet_distance(made_features, unseen_features),
                        "real": frechet_distance(seen_features, unseen_features)},
            "pairwise_db": {"generated": [mean_pairwise(made[asked == row]) for row in range(classes)],
                            "real": [mean_pairwise(unseen[test_labels == row]) for row in range(classes)]},
            "nearer_than_real": share_nearer(alike, unseen, seen), "draws": draws,
            "not_finite": {str(scale): not_finite(model, draws, scale, seed) for scale in (1, 3)}}


def distances_db(model, train, test, labels):
    """Mean distances in dB of unseen spectrograms from the model's reconstructions, and from simpler ones."""
    distance = log_spectral_distance(test, reconstructed(model, normalise(test, model.sound), labels))
    counts = sorted({model.latent, *COMPONENTS})
    components, linear = ({count: found.mean().item() for count, found in principal_components(
        train, test, counts, of_magnitudes).items()} for of_magnitudes in (False, True))
    return {"distance_db": distance.mean().item(), "components_db": components, "linear_components_db": linear,
            "distance_db_by_class": mean_by_class(distance, labels, model.classes),
            "cosines_db": {f"{bands} x {frames}": dct_distance(test, (bands, frames)).mean().item()
                           for bands, frames in COSINES}}


def listed(values, form="{:.2f}"):
    """{name: value}, or values by class, as text; what is None is left out."""
    named = values if isinstance(values, dict) else dict(zip(INSTRUMENTS, values))
    return ", ".join(f"{name} {form.format(value)}" for name, value in named.items() if value is not None)


def report(result):
    """The measures as lines of text."""
    codes, components, frechet = result["codes"], result["components_db"], result["frechet"]
    ours, latent, kl = result["distance_db"], codes["latent"], codes["kl_by_dimension"]
    yield (f"{result['sounds']['unseen']} sounds of unseen machines, {result['sounds']['train']} of training machines; "
           f"{result['data']}")
    yield (f"log-spectral distance of reconstructions, dB: {ours:.2f}, {1 - ours / components[latent]:.0%} below "
           f"{latent} principal components; {listed(result['distance_db_by_class'])}")
    yield (f"for comparison, by number of principal components (0 is the mean): {listed(components)}; of magnitudes: "
           f"{listed(result['linear_components_db'])}; of a sound's own lowest cosines: "
           f"{listed(result['cosines_db'])}; nearest training sound: {result['nearest_db']:.2f}, of the same class for "
           f"{result['nearest_accuracy_real']:.1%}")
    yield (f"code: {codes['active_units']} of {latent} units active, KL {codes['kl']:.1f} nats, {kl[-1]:.2f} to "
           f"{kl[0]:.2f} a dimension")
    for name, title in (("accuracy_real", "classifier on unseen real sounds"), ("purity", "on generated ones")):
        yield (f"{title}: {result[name]['all']:.1%} of all, {result[name]['mean']:.1%} mean of classes; "
               + listed(result[name]["by_class"], "{:.0%}"))
    yield (f"Frechet distance to unseen real sounds: generated {frechet['generated']:.2f}, training sounds "
           f"{frechet['real']:.2f}: {frechet['generated'] / frechet['real']:.2f} times")
    for name, values in result["pairwise_db"].items():
        yield f"pairs of a class apart, dB, {name}: {listed(values)}"
    yield f"nearer to a training sound than an unseen real sound is: {result['nearer_than_real']:.1%}"
    yield f"not finite of {result['draws']} samples, by scale of codes: {listed(result['not_finite'], '{}')}"


def evaluate_sounds(arguments, content, model, codes_report):
    """The numbers of a model of sounds, a dictionary; `report` makes lines of it.

    Unseen machines are those that its training kept for the test, by its seed. arguments, content: evaluate.py's
    options and the checkpoint. model: on the device that codes and decodes; sounds are made on the CPU.
    """
    trained, sound = content.get("arguments", {}), content.get("sound")
    path, split_seed = arguments.data or trained.get("data"), trained.get("seed", 0)
    if sound is None or path is None:
        raise ValueError(f"{arguments.run}: does not say what it was trained on; give --data")
    data = load_spectrograms(path, sound["settings"], sound["floor_db"])
    sides = split_by_machine(data["names"], split_seed)
    if arguments.limit:
        source = np.random.default_rng(arguments.seed)
        sides = {side: source.permutation(index)[:arguments.limit] for side, index in sides.items()}
    model, cpu = (attach_transform(one, sound, arguments.run) for one in (model, build_model(content, arguments.run)))

    def make(labels, seed):
        """Finished sounds of the model as the real ones are seen: their own small spectrograms."""
        samples = synthesise(cpu, random_codes(cpu, len(labels), seed), labels, seed)
        return downsample(torch.as_tensor(spectrograms_of(samples, sound["settings"], sound["floor_db"])))

    train, test = ((torch.as_tensor(data["spectrograms"][sides[side]]),
                    torch.as_tensor(data["labels"][sides[side]]).long()) for side in ("train", "test"))
    return {"model": str(arguments.run), "data": str(path), "split_seed": split_seed, "seed": arguments.seed,
            "epoch": content.get("epoch"), "config": content["config"],
            **measure(model, train, test, make, codes_report, arguments.seed, arguments.draws)}
