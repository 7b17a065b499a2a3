"""How good a model of drum bars is: how its bars compare with real ones, and whether it keeps its constraints.

    numbers = evaluate_bars(options, load_checkpoint(path), model, learning.bounds.bounds)      # as evaluate.py does
    classifier_auc(real, names, drawn)         # 0.5: a classifier cannot separate drawn bars from real ones

Bars are arrays (n, 8, 64) of velocities 0 to 127, where 0 is no hit; measures are plain numbers.
"""

import functools
import time

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from models import build_model
from patterns.dataset import hit_bytes, load_bars
from patterns.latent_map import attach_map
from patterns.sampling import Constraints, draw, draw_independent, humanise

MOST_STYLES = 6  # the largest styles of the data are measured one by one
NEIGHBOURS = np.clip(np.arange(64)[:, None] + (-1, 0, 1), 0, 63)  # of each step: (64, 3)


def f1(real, made):
    """F1 score of hits: boolean arrays of one shape; None where there is no hit in either."""
    struck = real.sum() + made.sum()
    return 2 * float((real & made).sum()) / float(struck) if struck else None


def jensen_shannon(p, q):
    """Jensen-Shannon divergence of two distributions, in bits: 0 for equal ones, 1 for disjoint ones."""
    middle = (p + q) / 2
    return sum(0.5 * float((one[one > 0] * np.log2(one[one > 0] / middle[one > 0])).sum()) for one in (p, q))


def velocity_divergence(real, drawn, instruments, classes=16, least=100):
    """Jensen-Shannon divergence between velocities of real and drawn hits, per instrument with enough hits in both."""
    divergence = {}
    for row, name in enumerate(instruments):
        sides = [np.bincount(bars[:, row][bars[:, row] > 0].astype(int) * classes // 128, minlength=classes)
                 for bars in (real, drawn)]
        if min(side.sum() for side in sides) >= least:
            divergence[name] = jensen_shannon(*(side / side.sum() for side in sides))
    return divergence


def sample_statistics(draws, train, real):
    """Shares of unique, copied and empty bars among those drawn, and their hits a bar beside the real figure."""
    drawn, trained = hit_bytes(draws), set(hit_bytes(train))
    return {"draws": len(draws), "unique": len(set(drawn)) / len(draws),
            "copied_from_training": sum(bar in trained for bar in drawn) / len(draws),
            "empty": float((draws == 0).all((1, 2)).mean()),
            "hits_a_bar": float((draws > 0).sum((1, 2)).mean()),
            "hits_a_bar_real": float((real > 0).sum((1, 2)).mean())}


def hamming(first, second):
    """In how many cells the hits of bars differ: (n, 8, 64) each -> (n,)."""
    return ((first > 0) != (second > 0)).sum((1, 2))


def classifier_auc(real, real_groups, other, other_groups=None, velocities=False, folds=5, seed=0):
    """How well a gradient-boosted classifier separates real bars from others: the area under its ROC curve, 0.5 to 1.

    The mean over the folds of a cross-validation whose classifiers have seen none of a fold's groups: bars of one
    performance stay in one fold; bars without groups are each their own. None with fewer than 40 bars or two groups.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # takes over a second to import
    from sklearn.metrics import roc_auc_score

    if min(len(real), len(other)) < 40:
        return None
    random = np.random.default_rng(seed)
    places = []
    for bars, groups in ((real, real_groups), (other, other_groups)):
        groups = np.arange(len(bars)) if groups is None else np.unique(groups, return_inverse=True)[1]
        folds = min(folds, groups.max() + 1)
        places.append(random.permutation(groups.max() + 1)[groups])
    if folds < 2:
        return None
    x, fold = np.concatenate([features(bars, velocities) for bars in (real, other)]), np.concatenate(places) % folds
    label = np.repeat([1, 0], [len(real), len(other)])
    scores = []
    for k in range(folds):
        classifier = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.1, random_state=0)
        classifier.fit(x[fold != k], label[fold != k])
        scores.append(roc_auc_score(label[fold == k], classifier.predict_proba(x[fold == k])[:, 1]))
    return float(np.mean(scores))


def features(bars, velocities=False):
    """What the classifier sees: cells, and hits by row, step, row and sixteenth, bar. (n, 8, 64) -> float32 (n, 713)"""
    hits = (np.asarray(bars) > 0).astype(np.float32)
    cells = np.asarray(bars, dtype=np.float32) if velocities else hits
    sums = [hits.sum(2), hits.sum(1), hits.reshape(len(hits), 8, 16, 4).sum(3), hits.sum((1, 2))]
    return np.concatenate([part.reshape(len(hits), -1) for part in (cells, *sums)], axis=1)


def reconstruction(model, x):
    """F1 of the bar drawn at each bar's own code: of all hits, to the step and within one step, and per instrument."""
    with torch.no_grad():
        made = np.concatenate([draw(model, model.encode(batch)[0]) for batch in x.split(512)]) > 0
    real = x.numpy() > 0
    both = (made[..., NEIGHBOURS].any(-1) & real).sum() + (made & real[..., NEIGHBOURS].any(-1)).sum()
    return {"all": f1(real, made), "all_within_one_step": float(both) / float(real.sum() + made.sum()),
            **{name: f1(real[:, row], made[:, row]) for row, name in enumerate(INSTRUMENTS)}}


@torch.no_grad()
def typical_velocities(model, bars):
    """Typical velocities of bars (n, 8, 64) by their hits and code, and what else is given: {name of that: (n, 8, 64)}.

    Context: the true velocities before each. Velocity latent: that of the bar.
    """
    z, cells, struck = model.encode(bars)[0], model.binarise(bars), bars.flatten(1).float()
    latent = model.encode_velocities(bars)[0] if model.velocity_latent else z[:, :0]
    mean, _ = model.velocity_net.distribution(cells, struck, torch.cat([model.with_condition(z), latent], -1))
    return {"velocity_latent_and_context": mean.round().clamp(1, 127).view(bars.shape),
            "velocity_latent": torch.as_tensor(humanise(model, bars, z, temperature=0, velocity_latent=latent)),
            "hits_alone": torch.as_tensor(humanise(model, bars, z, temperature=0))}


def velocity_errors(model, x, draws):
    """Mean absolute error of `typical_velocities`, of 127; divergence of drawn velocities from real ones; or None."""
    if model.velocity_net is None:
        return None
    errors = {}
    for bars in x.split(512):
        for name, typical in typical_velocities(model, bars).items():
            errors.setdefault(name, []).append((typical.float() - bars.float()).abs()[bars > 0])
    return {"mean_absolute_error": {name: torch.cat(parts).mean().item() for name, parts in errors.items()},
            "jensen_shannon": velocity_divergence(x.numpy(), draws, INSTRUMENTS)}


def sample_codes(model, count, generator, style=None):
    """Codes of random training bars, of a style if its number is given; of the prior without any: (count, latent)."""
    codes = torch.empty(0) if model.map is None else model.map["codes"]
    if style is not None and model.map is not None:
        codes = codes[torch.as_tensor(model.map["labels"]) == style]
    if not len(codes):
        return torch.randn(count, model.latent, generator=generator)
    return codes[torch.randint(len(codes), (count,), generator=generator)]


def draw_batches(model, z, generator, style=None):
    """`draw_independent` of many codes, some at a time: (n, latent) -> uint8 (n, 8, 64)."""
    return np.concatenate([draw_independent(model, part, generator, style) for part in z.split(500)])


def locality(model, z, generator, distance=0.1):
    """Median number of cells in which bars of one noise seed differ: of codes `distance` apart, and of random codes."""
    step = torch.randn(z.shape, generator=generator)
    step = distance * step / step.norm(dim=1, keepdim=True)
    here, near = draw(model, z), draw(model, z + step)
    return {"distance": distance, "near": float(np.median(hamming(here, near))),
            "random": float(np.median(hamming(here, np.roll(here, 1, 0))))}


def count_exactness(model, z):
    """Share of bars with exactly the hits that were asked for, of a bar and of single rows."""
    counts, right = (4, 12, 20, 32, 48), 0
    for i, hits in enumerate(counts):
        row_hits = {0: 1 + i, 1: 2, 4: 2 * i}
        bar, by_row = (draw(model, z[i:i + 1], constraints=constraints)
                       for constraints in (Constraints(hits=hits), Constraints(row_hits=row_hits)))
        right += int((bar > 0).sum()) == hits
        right += all(int((by_row[0, row] > 0).sum()) == count for row, count in row_hits.items())
    return right / (2 * len(counts))


def click_milliseconds(model, z):
    """The median time from a code to its bar on one core, each code by itself."""
    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for code in z:
        started = time.perf_counter()
        draw(model, code[None])
        times.append(1000 * (time.perf_counter() - started))
    torch.set_num_threads(threads)
    return float(np.median(times))


def subset(part, index):
    """Some of (bars, names, styles), arrays of n."""
    return tuple(column[index] for column in part)


def load_real_bars(options, content):
    """The bars to measure by and those of training, each (bars, names, styles), and the data's name or folder."""
    trained = content.get("arguments", {})
    data = options.data or trained.get("data")
    if data is None:
        raise ValueError(f"{options.run}: does not say what it was trained on; give --data")
    loaded = load_bars(data, trained.get("seed", 0))
    splits = {split: tuple(map(np.asarray, part)) for split, part in loaded.items()}
    if options.split not in splits:
        raise ValueError(f"--split {options.split}: {data} has {', '.join(splits)}")
    real = splits[options.split]
    if options.limit:
        real = subset(real, np.random.default_rng(options.seed).permutation(len(real[0]))[:options.limit])
    return real, splits["train"], data


def compare_to_real(model, real, train, options, style=None):
    """Bars drawn at random codes, and how they compare with real ones, all of one style or of any: (draws, numbers).

    AUCs: see `classifier_auc`; real against real: of bars of the training; one seed: of bars of one noise seed.
    """
    generator = torch.Generator().manual_seed(options.seed)
    index = None if style is None else model.styles.index(style)
    codes = sample_codes(model, options.draws, generator, index)
    draws = draw_batches(model, codes, generator, index)
    order = np.random.default_rng(options.seed).permutation(len(train[0]))
    most = max(len(real[0]), 1000)
    if style is not None:
        real, order = subset(real, real[2] == style), order[train[2][order] == style]
    other, other_names, _ = subset(train, order[:most])
    numbers = {"real_bars": len(real[0]), **sample_statistics(draws, train[0], real[0])}
    if not options.no_classifier:
        auc = functools.partial(classifier_auc, *real[:2], seed=options.seed)
        numbers |= {"auc": auc(draws), "auc_real_against_real": auc(other, other_names)}
        if style is None:
            numbers |= {"auc_with_velocities": auc(draws, velocities=True), "auc_one_seed": auc(draw(model, codes))}
    return draws, numbers


def evaluate_bars(options, content, model, bounds):
    """The numbers of a model of drum bars, a dictionary; `report` makes lines of it.

    options: those of evaluate.py. content: the checkpoint. model: on the device that computes `bounds`, those of
    learning.bounds; bars are drawn on the CPU. Raises ValueError or OSError where the data are not there.
    """
    real, train, data = load_real_bars(options, content)
    x, seed, styles = torch.as_tensor(real[0]), options.seed, real[2]
    cpu = attach_map(build_model(content, options.run), content.get("map"), options.run)
    labels = torch.tensor([cpu.styles.index(style) if style in cpu.styles else -1 for style in styles])
    draws, statistics = compare_to_real(cpu, real, train, options)
    counts = {style: int((styles == style).sum()) for style in cpu.styles if style in styles}
    largest = sorted(counts, key=lambda style: -counts[style])[:MOST_STYLES]
    codes = sample_codes(cpu, min(600, options.draws), torch.Generator().manual_seed(seed))
    return {
        "model": str(options.run), "data": str(data), "split": options.split, "bars": len(x),
        "bounds": bounds(model, x, options.k, seed, labels if cpu.styles else None),
        "reconstruction_f1": reconstruction(cpu, x), "sample_statistics": statistics,
        "styles": {style: compare_to_real(cpu, real, train, options, style)[1] for style in largest},
        "locality": locality(cpu, codes, torch.Generator().manual_seed(seed)),
        "density_exact": count_exactness(cpu, codes), "click_milliseconds": click_milliseconds(cpu, codes[:40]),
        "velocities": velocity_errors(cpu, x, draws), "seed": seed, "epoch": content.get("epoch"),
        "config": content["config"]}


def line_of_statistics(found):
    """What `compare_to_real` found, as a line of text."""
    text = (f"{found['unique']:.1%} unique, {found['copied_from_training']:.1%} copied from training, "
            f"{found['empty']:.1%} empty, {found['hits_a_bar']:.1f} hits a bar (real: {found['hits_a_bar_real']:.1f})")
    if found.get("auc") is not None:
        text += f"; AUC {found['auc']:.2f} (other real bars {found['auc_real_against_real']:.2f}"
        text += f", with one noise seed {found['auc_one_seed']:.2f}" if found.get("auc_one_seed") else ""
        text += f", with velocities {found['auc_with_velocities']:.2f})" if found.get("auc_with_velocities") else ")"
    return text


def report(result):
    """The numbers of `evaluate_bars` as lines of text."""
    bound, recon, near = result["bounds"], result["reconstruction_f1"], result["locality"]
    yield f"{result['model']}: {result['bars']} bars, {result['split']} of {result['data']}"
    yield (f"ELBO {bound['elbo']:.2f} nats a bar = log p(x|z) {bound['log_px']:.2f} - KL {bound['kl']:.2f}; "
           f"{bound['active_units']} of {bound['latent']} units active, mutual information of code and bar "
           f"{bound['mutual_information']:.2f} nats")
    error, given = bound["bound_standard_error"], bound["bound_conditioned"]
    yield (f"bound with k = {bound['k']}: {bound['bound']:.2f}" + (f" +- {error:.2f}" if error is not None else "")
           + " nats a bar" + (f"; given the style, with k = {max(1, bound['k'] // 10)}: {given:.2f}" if given else ""))
    yield (f"reconstruction F1 {recon['all']:.2f} to the step, {recon['all_within_one_step']:.2f} within one; "
           + ", ".join(f"{name} {recon[name]:.2f}" for name in INSTRUMENTS if recon[name] is not None))
    yield f"{result['sample_statistics']['draws']} bars drawn: {line_of_statistics(result['sample_statistics'])}"
    for style, found in result["styles"].items():
        yield f"  {style} ({found['real_bars']} real bars): {line_of_statistics(found)}"
    yield (f"two codes {near['distance']} apart: bars differ in {near['near']:.0f} cells, two random ones in "
           f"{near['random']:.0f} (medians); exact counts of hits: {result['density_exact']:.0%}; a click takes "
           f"{result['click_milliseconds']:.1f} ms on one core")
    if result["velocities"]:
        error = result["velocities"]["mean_absolute_error"]
        yield (f"velocities: mean absolute error of 127 given the hits: {error['velocity_latent']:.1f} with the bar's "
               f"velocity latent, {error['velocity_latent_and_context']:.1f} with the true velocities before as well, "
               f"{error['hits_alone']:.1f} with neither; Jensen-Shannon divergence of drawn ones "
               + ", ".join(f"{name} {value:.3f}" for name, value in result["velocities"]["jensen_shannon"].items()))
