"""How good a sound model is, measured on waveforms beside real sounds of unseen machines; and its reconstructions.

    result = evaluate_sounds(options, load_checkpoint("pretrained/sound_vae.pt"), model, codes_report)
    print("\\n".join(report(result)))

    judge = Judge(waves, labels, machines, seed=0)          # of training sounds; a list of (samples,) at RATE
    made, real = judge.see(waves, labels, kits), judge.see(other_waves, other_labels, other_machines)
    result = judge.compare(made, real)                      # a dictionary; report_waves(result) makes lines of it

The embedding: the last hidden layers of three classifiers of log-mel spectrograms, trained on the training sounds.
Made sounds are kits of eight, of which as many of each class count as there are real ones in the mix.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from command_line import Progress
from formats.activation_matrix import INSTRUMENTS
from formats.audio import fit_length, load_audio, resample
from models import build_model
from sounds.codes import attach_sound, random_codes
from sounds.dataset import machine_of, split_by_machine
from sounds.descriptors import (CLASSES, LONGEST, NAMES, RATE, copies, describe_all, frechet_distance, log_mel,
                                share_within, train_classifier)
from sounds.spectrograms import denormalise, load_spectrograms, normalise
from sounds.synthesis import synthesise

NETS = 3
COMPONENTS = (32, 128)  # principal components to compare with
KITS = 128  # made
MOST = {"train": 3000, "test": 600}  # sounds of a side that stand in for all
LOGARITHMIC = ("attack_ms", "to_20_ms", "to_40_ms", "centroid_hz", "rolloff_hz")
OF_A_KIT = ("to_20_ms", "centroid_hz", "bandwidth_octaves", "low_share", "flatness_db")  # see properties


@dataclass
class Seen:
    """Sounds as the measures see them, a row each; seen[index] is some of them."""

    labels: np.ndarray     # (n,), rows
    groups: np.ndarray     # (n,), the machine or kit of each
    images: torch.Tensor   # (n, BANDS, columns), log_mel
    described: np.ndarray  # (n, len(NAMES))
    features: torch.Tensor = None  # (n, NETS, 64)
    named: np.ndarray = None       # (n,), the class in which the nets agree best

    def __getitem__(self, index):
        return Seen(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def embedding(self):
        """The features of all nets: (n, NETS * 64)."""
        return self.features.flatten(1)


def two_sample_auc(one, other, seed=0, trees=300):
    """How well extremely random trees separate two sets of sounds, by embedding and descriptors: 0.5 is not at all.

    A machine or kit is on one side of each of five folds. The mean of the folds' AUC; None with too few machines.
    """
    from sklearn.ensemble import ExtraTreesClassifier  # takes a second
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(5, *(len(np.unique(seen.groups)) for seen in (one, other)))
    if folds < 2:
        return None
    table = np.concatenate([np.column_stack([seen.embedding, seen.described]) for seen in (one, other)])
    groups = [np.unique(seen.groups, return_inverse=True)[1] for seen in (one, other)]
    answer = np.repeat([0, 1], [len(one.labels), len(other.labels)])
    splits = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found, weights = [], []
    for train, test in splits.split(table, answer, np.concatenate([groups[0], groups[0].max() + 1 + groups[1]])):
        if len(set(answer[train])) == len(set(answer[test])) == 2:
            forest = ExtraTreesClassifier(trees, min_samples_leaf=2, max_features=0.3, class_weight="balanced",
                                          random_state=seed).fit(table[train], answer[train])
            found.append(roc_auc_score(answer[test], forest.predict_proba(table[test])[:, 1]))
            weights.append(len(test))
    return float(np.average(found, weights=weights)) if found else None


def coherence(values, labels, groups, fewest=4):
    """How far the classes of a kit agree: the mean, over pairs of classes, of the correlation of their kits' means.

    values (n, properties), see Judge.properties. Of each class and kit the mean is taken; then, for each property and
    pair of classes, the correlation over the kits that have both. Pairs with fewer than `fewest` kits are left out,
    the others weigh as many kits as they have. None where there are none. Kits put together at random have 0.
    """
    kits, kit = np.unique(groups, return_inverse=True)
    found, weights = [], []
    counts = np.zeros((CLASSES, len(kits)))
    means = np.zeros((*counts.shape, values.shape[1]))
    np.add.at(counts, (labels, kit), 1)
    np.add.at(means, (labels, kit), values)
    means /= np.maximum(counts, 1)[..., None]
    for one in range(CLASSES):
        for other in range(one):
            both = (counts[one] > 0) & (counts[other] > 0)
            if both.sum() >= fewest:
                first, second = (means[row, both] - means[row, both].mean(0) for row in (one, other))
                scale = np.sqrt((first ** 2).sum(0) * (second ** 2).sum(0))
                found.append(np.mean((first * second).sum(0) / np.maximum(scale, 1e-12)))
                weights.append(both.sum())
    return float(np.average(found, weights=weights)) if found else None


def alike(seen, counts, source):
    """So many sounds of each class, chosen at random."""
    return seen[np.concatenate([source.permutation(np.flatnonzero(seen.labels == row))[:count]
                                for row, count in enumerate(counts)])]


def by_class(function, labels, least=1):
    """[function(index of the class) or None] for each class; None for fewer than `least` sounds."""
    return [float(function(labels == row)) if (labels == row).sum() >= least else None for row in range(CLASSES)]


class Judge:
    """Measures of sounds beside those of unseen machines; the embedding and the yardsticks are of training sounds."""

    def __init__(self, waves, labels, machines, seed=0, steps=450):
        self.nets, self.seed = [], seed
        labels = torch.as_tensor(np.asarray(labels)).long()
        images, self.train = self.look(waves, labels.numpy(), machines, "training", (0, -2, 2))
        with Progress(what="training classifiers of sounds", unit="steps", total=NETS * steps) as bar:
            self.nets = [train_classifier(images, labels, seed + i, steps, bar=bar) for i in range(NETS)]
        self.name(self.train)

    def look(self, waves, labels, groups, what, shifts=(0,)):
        """Log-mel spectrograms at all shifts, and Seen of sounds; waves: an iterable, read once."""
        images, described = [], []
        for wave in Progress(waves, f"measuring {what} sounds", "sounds", total=len(labels)):
            images.append(log_mel(wave, shifts))
            described.append(describe_all([wave], RATE)[0])
        images = torch.stack(images)
        return images, Seen(np.asarray(labels), np.asarray(groups), images[:, 0], np.array(described))

    @torch.no_grad()
    def name(self, seen):
        """Give sounds their features and classes."""
        parts = [(torch.stack([net.features(part) for net in self.nets], 1),
                  sum(net(part).log_softmax(1) for net in self.nets)) for part in seen.images.split(256)]
        seen.features, logits = (torch.cat(part) for part in zip(*parts))
        seen.named = logits.argmax(1).numpy()
        return seen

    def see(self, waves, labels, groups, what="real"):
        """Sounds as the measures see them. waves: (samples,) each, at RATE. groups: the machine or kit of each."""
        return self.name(self.look(waves, labels, groups, what)[1])

    def compare(self, made, real, draws=4):
        """All measures of made sounds beside real ones of unseen machines, and of training sounds: a dictionary."""
        counts = [np.bincount(seen.labels, minlength=CLASSES) for seen in (real, made, self.train)]
        there = np.all([count > 0 for count in counts], 0)
        share = min(1, *(min(count[there] / counts[0][there]) for count in counts[1:]))  # each as many, in that mix
        size = np.where(there, np.maximum(1, share * counts[0]), 0).astype(int)
        source, (made, real) = np.random.default_rng(self.seed), (seen[there[seen.labels]] for seen in (made, real))
        sets = {name: [alike(seen, size, source) for _ in range(draws)] for name, seen in (
            ("made", made), ("train", self.train), ("real", real))}
        near = {"embedding": "embedding", "log-mel, dB": "images"}
        return {"frechet": self.frechet(sets, real), "auc": self.aucs(sets, real), **self.neighbours(sets),
                "named_right": {"made": right(made.named, made), "real": right(real.named, real)},
                "named_right_by_descriptors": self.second_opinion(made, real), "variety": variety(made, real),
                "copies": {name: copies(*(getattr(seen, part) for seen in (made, real, self.train)))
                           for name, part in near.items()},
                "descriptors": {"made": describe_classes(made), "real": describe_classes(real)},
                "coherence": {name: coherence(self.properties(seen), seen.labels, seen.groups)
                              for name, seen in (("made", made), ("real", real), ("train", self.train))}
                | {"shuffled": self.shuffled_coherence(made)}}

    def frechet(self, sets, real):
        """Mean over nets and draws of the Frechet distance to unseen real sounds; made over training sounds."""
        found = {name: np.mean([frechet_distance(seen.features[:, net], real.features[:, net])
                                for seen in sets[name] for net in range(NETS)]).item() for name in ("made", "train")}
        return found | {"ratio": found["made"] / found["train"]}

    def aucs(self, sets, real):
        """two_sample_auc of made and of training sounds against unseen real ones, and of halves of the latter."""
        half = np.isin(real.groups, np.unique(real.groups)[::2])
        pairs = {"made": (sets["made"][0], sets["real"][0]), "train": (sets["train"][0], sets["real"][0]),
                 "real": (real[half], real[~half])}
        return {name: two_sample_auc(*pair, self.seed)
                for name, pair in Progress(pairs.items(), "separating made sounds from real", "pairs", total=3)}

    def neighbours(self, sets):
        """Precision and recall against unseen real sounds, means over draws."""
        pairs = {name: list(zip(sets[name], sets["real"])) for name in ("made", "train")}
        return {measure: {name: np.mean([share_within(*(seen.embedding for seen in pair[::order])) for pair in drawn]
                                        ).item() for name, drawn in pairs.items()}
                for measure, order in (("precision", 1), ("recall", -1))}

    def second_opinion(self, made, real):
        """The share named right by gradient boosting on descriptors."""
        from sklearn.ensemble import HistGradientBoostingClassifier  # takes a second

        with Progress(what="naming sounds by their descriptors"):
            boosting = HistGradientBoostingClassifier(max_iter=60, class_weight="balanced", random_state=self.seed)
            boosting.fit(self.train.described, self.train.labels)
            return {name: right(boosting.predict(seen.described), seen)
                    for name, seen in (("made", made), ("real", real))}

    def properties(self, seen, components=4):
        """What the sounds of a kit may share: (n, len(OF_A_KIT) + components), in deviations within the class.

        Descriptors, times and frequencies by their logarithms; and the first principal components of log-mel
        spectrograms less the mean of the class. Means and deviations are those of training sounds.
        """
        train, rows = self.train, [NAMES.index(name) for name in OF_A_KIT]
        means = torch.stack([train.images[train.labels == row].mean(0) if (train.labels == row).any()
                             else train.images.mean(0) for row in range(CLASSES)])
        centred = [(some.images - means[some.labels]).flatten(1) for some in (train, seen)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            axes = torch.svd_lowrank(centred[0], min(components + 6, len(centred[0])))[2][:, :components]
        both = [np.column_stack([scaled(some.described)[:, rows], images @ axes])
                for some, images in zip((train, seen), centred)]
        found = np.zeros_like(both[1])
        for row in np.intersect1d(train.labels, seen.labels):
            own = both[0][train.labels == row]
            found[seen.labels == row] = (both[1][seen.labels == row] - own.mean(0)) / (own.std(0) + 1e-9)
        return found.clip(-3, 3)

    def shuffled_coherence(self, seen):
        """The coherence of kits whose sounds are those of others of the class, at random."""
        groups, source = seen.groups.copy(), np.random.default_rng(self.seed)
        for row in range(CLASSES):
            groups[seen.labels == row] = source.permutation(groups[seen.labels == row])
        return coherence(self.properties(seen), seen.labels, groups)


def scaled(described):
    """Descriptors (n, len(NAMES)) with times and frequencies as their logarithms."""
    rows = [NAMES.index(name) for name in LOGARITHMIC]
    described = described.copy()
    described[:, rows] = np.log(described[:, rows] + 0.1)
    return described


def right(named, seen):
    """The share of sounds named right: {"all": of them, "by_class": [share or None] * CLASSES}."""
    hits = named == seen.labels
    return {"all": hits.mean().item(), "by_class": by_class(lambda rows: hits[rows].mean(), seen.labels)}


def variety(made, real):
    """The mean distance in the embedding between two sounds of a class, as a share of that between real ones."""
    spread = [by_class(lambda rows: torch.pdist(seen.embedding[rows]).mean(), seen.labels, 2) for seen in (made, real)]
    shares = [ours / theirs if ours is not None and theirs else None for ours, theirs in zip(*spread)]
    kept = [share for share in shares if share is not None]
    return {"mean": float(np.mean(kept)) if kept else None, "by_class": shares}


def describe_classes(seen):
    """Medians of descriptors by class, and the shares and means that say more: {name: [number or None] * CLASSES}."""
    column = dict(zip(NAMES, seen.described.T))
    means = {"high_share above 10 %": column["high_share"] > 0.1, "above -40 dB at half a second":
             column["half_second_db"] > -40, "first_step above 5 %": column["first_step"] > 0.05,
             "bursts, mean": column["bursts"]}
    return {**{name: by_class(lambda rows: np.median(values[rows]), seen.labels) for name, values in column.items()},
            **{name: by_class(lambda rows: values[rows].mean(), seen.labels) for name, values in means.items()}}


# --- the model's own reconstructions ---


def log_spectral_distance(one, other):
    """RMS over bands and frames of the difference in dB: (n, bands, frames) twice -> (n,)."""
    return (one.float() - other.float()).flatten(1).square().mean(1).sqrt()


def principal_components(train, test, counts):
    """Distances of test spectrograms from their projections on the principal components of training ones.

    Returns {count: (n,)}, with 0 for the mean alone. Projections are held to the range of `test`, as a model's are.
    """
    flat, unseen = train.float().flatten(1), test.float().flatten(1)
    mean = flat.mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        axes = torch.svd_lowrank(flat - mean, q=min(max(counts) + 10, len(flat)), niter=4)[2]

    def projected(count):
        found = mean + (unseen - mean) @ axes[:, :count] @ axes[:, :count].T
        return found.clamp(unseen.min(), unseen.max()).view(test.shape)
    return {count: log_spectral_distance(test, projected(count)) for count in (0, *counts)}


@torch.no_grad()
def reconstructed(model, x, labels):
    """What the model makes of the codes of spectrograms in its units, in dB: (n, bands, frames) -> the same."""
    device = next(model.parameters()).device
    made = [model.decode_mean(model.encode(part.to(device), label=label)[0], label=label).cpu()
            for part, label in zip(x.split(64), labels.to(device).split(64))]
    return denormalise(torch.cat(made), model.sound)


@torch.no_grad()
def not_finite(model, count, scale, seed=0):
    """How many of `count` spectrograms, at `scale` times random codes of each class in turn, are not finite."""
    generator = torch.Generator().manual_seed(seed)
    bad, device = 0, next(model.parameters(), torch.empty(0)).device
    for start in Progress(range(0, count, 64), f"decoding {count} codes", "parts"):
        label = torch.arange(start, min(start + 64, count)) % model.classes
        codes = scale * torch.randn(len(label), model.latent, generator=generator)
        decoded = model.decode_mean(codes.to(device), label=label.to(device)).cpu()
        bad += int((~torch.isfinite(decoded)).flatten(1).any(1).sum())
    return bad


def measure_model(model, train, test, codes_report, draws, seed=0):
    """The measures of a model with `sound` (see load_sound_model) on spectrograms, on any device: a dictionary.

    train, test: (spectrograms in dB, labels), of training and of unseen machines. codes_report: of learning.bounds.
    """
    (decibels, _), (unseen, labels) = train, test
    with Progress(what="reconstructing unseen sounds"):
        x = normalise(unseen, model.sound)
        distance = log_spectral_distance(unseen, reconstructed(model, x, labels))
        codes = codes_report(model, x, label=labels)
        simpler = principal_components(decibels, unseen, sorted({model.latent, *COMPONENTS}))
    return {"distance_db": distance.mean().item(), "codes": codes, "draws": draws,
            "distance_db_by_class": by_class(lambda rows: distance[rows].mean(), labels),
            "components_db": {str(count): found.mean().item() for count, found in simpler.items()},
            "not_finite": {str(scale): not_finite(model, draws, scale, seed) for scale in (1, 3)}}


# --- evaluate.py ---


def load_waves(paths):
    """The sounds of files, one by one: float32 (samples,) at RATE, at most LONGEST."""
    for path in paths:
        samples = load_audio(path, RATE)[0]
        yield fit_length(samples, min(len(samples), LONGEST))


def make_kits(model, kits, seed):
    """The sounds of so many kits of the seed, as generate_sounds.py makes them: (samples,) at RATE, eight a kit."""
    for numbers in np.array_split(range(CLASSES * kits), range(4 * CLASSES, CLASSES * kits, 4 * CLASSES)):
        codes, drawn = random_codes(model, numbers.tolist(), seed)
        for samples in synthesise(model, codes, torch.from_numpy(numbers % CLASSES), seed, numbers.tolist(), drawn):
            yield resample(samples, model.sound["rate"], RATE)


def evaluate_sounds(arguments, content, model, codes_report, make=make_kits):
    """The numbers of a model of sounds, a dictionary; `report` makes lines of it.

    Unseen machines are those that its training kept for the test. arguments, content: evaluate.py's options and the
    checkpoint. model: on the device that codes and decodes; sounds are made on the CPU: KITS kits of eight.
    """
    trained, sound = content.get("arguments", {}), content.get("sound")
    path = arguments.data or trained.get("data")
    if sound is None or path is None:
        raise ValueError(f"{arguments.run}: does not say what it was trained on; give --data")
    data = load_spectrograms(path, sound["settings"], sound["floor_db"])
    fold = trained.get("fold", 0)
    sides = choose_sounds(split_by_machine(data["names"], fold), arguments)
    model, maker = (attach_sound(one, sound, arguments.run) for one in (model, build_model(content, arguments.run)))
    train, test = ((torch.as_tensor(data["spectrograms"][index]), torch.as_tensor(data["labels"][index]).long())
                   for index in (sides["train"], sides["test"]))
    numbers = measure_model(model, train, test, codes_report, arguments.draws, arguments.seed)
    machines = np.array([machine_of(name) for name in data["names"]])
    known, unseen = ((load_waves([data["paths"][i] for i in index]), data["labels"][index].astype(int), machines[index])
                     for index in (sides["train"], sides["test"]))
    judge = Judge(*known, arguments.seed)
    count = min(KITS, arguments.limit or KITS)
    labels, kits = np.tile(range(CLASSES), count), np.repeat(range(count), CLASSES)
    made = judge.see(make(maker, count, arguments.seed), labels, kits, "generated")
    return {"model": str(arguments.run), "data": str(path), "fold": fold, "seed": arguments.seed,
            "epoch": content.get("epoch"), "config": content["config"],
            "sounds": {"train": len(known[1]), "unseen": len(unseen[1]), "made": len(labels)}, **numbers,
            **judge.compare(made, judge.see(*unseen))}


def choose_sounds(sides, arguments):
    """Training sounds, validation's with them, and unseen ones: at most MOST and --limit, by the seed."""
    source = np.random.default_rng(arguments.seed)
    sides = {"train": np.concatenate([sides["train"], sides["validation"]]), "test": sides["test"]}
    return {side: np.sort(source.permutation(index)[:min(MOST[side], arguments.limit or MOST[side])])
            for side, index in sides.items()}


def mean_of(results):
    """Several dictionaries of numbers as one of their means; lists by place, None left out, texts listed."""
    first = results[0]
    if isinstance(first, dict):
        return {name: mean_of([result[name] for result in results]) for name in first}
    if isinstance(first, list):
        return [mean_of(list(values)) for values in zip(*results)]
    numbers = [value for value in results if isinstance(value, (int, float))]
    return float(np.mean(numbers)) if numbers else first if len(set(results)) == 1 else results


def listed(values, form="{:.2f}"):
    """{name: value}, or values by class, as text; what is None is left out."""
    named = values if isinstance(values, dict) else dict(zip(INSTRUMENTS, values))
    return ", ".join(f"{name} {form.format(value)}" for name, value in named.items() if value is not None)


def report(result):
    """The measures as lines of text."""
    codes, count = result["codes"], result["sounds"]
    yield (f"{count['made']:.0f} sounds made, beside {count['unseen']:.0f} of unseen machines and {count['train']:.0f} "
           f"of training machines; {result['data']}")
    yield (f"log-spectral distance of reconstructions, dB: {result['distance_db']:.2f}; "
           f"{listed(result['distance_db_by_class'])}; of principal components, by their number: "
           f"{listed(result['components_db'])}")
    yield f"code: {codes['active_units']:.0f} of {codes['latent']:.0f} units active, KL {codes['kl']:.1f} nats"
    yield f"not finite of {result['draws']:.0f} samples, by scale of codes: {listed(result['not_finite'], '{:.0f}')}"
    yield f"Frechet distance to unseen real sounds: {listed(result['frechet'])}"
    yield f"AUC against unseen real sounds: {listed(result['auc'], '{:.3f}')}"
    for name in ("precision", "recall"):
        yield f"{name}: {listed(result[name])}"
    yield f"coherence of kits: {listed(result['coherence'], '{:.3f}')}"
    for name, found in result["copies"].items():
        yield (f"nearest training sound ({name}): {found['made']:.2f}, of real sounds {found['real']:.2f}; nearer than "
               f"95 % of real ones have it: {found['nearer']:.1%}")
    for name, title in (("named_right", "classifiers"), ("named_right_by_descriptors", "boosting on descriptors")):
        yield f"class named right by {title}: " + ", ".join(
            f"{side} {found['all']:.1%}" for side, found in result[name].items())
    yield from report_classes(result)


def report_classes(result):
    """A table by class: each measure of made sounds, and of real ones in brackets."""
    def number(value):
        return "-" if value is None else f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"

    def row(name, made, real):
        return f"{name:30}" + "".join(f"{f'{number(one)} ({number(other)})':>15}" for one, other in zip(made, real))
    yield f"{'made (real)':30}" + "".join(f"{name:>15}" for name in INSTRUMENTS)
    named, spread = result["named_right"], result["variety"]["by_class"]
    yield row("named right", *(named[side]["by_class"] for side in ("made", "real")))
    yield row("variety", spread, [share and 1 for share in spread])
    for name, made in result["descriptors"]["made"].items():
        yield row(name, made, result["descriptors"]["real"][name])
