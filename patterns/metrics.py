"""How good a model of drum bars is: how its bars compare with real ones, and whether it keeps its constraints.

    numbers = evaluate_bars(options, load_checkpoint(path), model, learning.bounds.bounds)      # as evaluate.py does
    classifier_auc(real, names, drawn)         # 0.5: a classifier cannot separate drawn bars from real ones

Bars are arrays (n, 8, 64) of velocities 0 to 127, where 0 is no hit.
"""

import functools
import timeit

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from patterns.dataset import hit_bytes, load_bars
from patterns.latent_map import load_bar_model
from patterns.sampling import Constraints, draw, draw_independent, encode, humanise

MOST_STYLES = 6  # the largest styles of the data are measured one by one
NEIGHBOURS = np.clip(np.arange(64)[:, None] + (-1, 0, 1), 0, 63)  # of each step: (64, 3)
AUCS = {"auc": "AUC", "auc_real_against_real": "of other real bars", "auc_one_seed": "of bars of one noise seed",
        "auc_with_velocities": "with velocities"}


def f1(real, made):
    """F1 score of hits: boolean arrays of one shape; None where there is no hit in either."""
    struck = int(real.sum() + made.sum())
    return 2 * int((real & made).sum()) / struck if struck else None


def jensen_shannon(p, q):
    """Jensen-Shannon divergence of two distributions, in bits: 0 for equal ones, 1 for disjoint ones."""
    middle = (p + q) / 2
    return sum(0.5 * float((one[one > 0] * np.log2(one[one > 0] / middle[one > 0])).sum()) for one in (p, q))


def velocity_divergence(real, drawn, instruments):
    """Jensen-Shannon divergence of velocities, in 16 classes, where both have 100 hits or more: {instrument: bits}."""
    divergence = {}
    for row, name in enumerate(instruments):
        counts = [np.bincount(bars[:, row][bars[:, row] > 0] // 8, minlength=16) for bars in (real, drawn)]
        if min(count.sum() for count in counts) >= 100:
            divergence[name] = jensen_shannon(*(count / count.sum() for count in counts))
    return divergence


def sample_statistics(draws, train, real):
    """Shares of unique, copied and empty bars among those drawn, and their hits a bar beside the real figure."""
    drawn, trained, count = hit_bytes(draws), set(hit_bytes(train)), len(draws)
    return {"draws": count, "unique": len(set(drawn)) / count,
            "copied_from_training": sum(bar in trained for bar in drawn) / count,
            "empty": float((draws == 0).all((1, 2)).mean()), "hits_a_bar": np.count_nonzero(draws) / count,
            "hits_a_bar_real": np.count_nonzero(real) / len(real)}


def classifier_auc(real, real_groups, other, other_groups=None, velocities=False, folds=5, seed=0):
    """How well a gradient-boosted classifier separates real bars from others: the area under its ROC curve, 0.5 to 1.

    The mean over the folds of a cross-validation whose classifiers have seen none of a fold's groups: bars of one
    performance stay in one fold; bars without groups are each their own. None with fewer than 40 bars or two groups.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # takes over a second to import
    from sklearn.model_selection import PredefinedSplit, cross_val_score

    if min(len(real), len(other)) < 40:
        return None
    random = np.random.default_rng(seed)
    places = []
    for bars, groups in ((real, real_groups), (other, other_groups)):
        groups = np.unique(np.arange(len(bars)) if groups is None else groups, return_inverse=True)[1]
        folds = min(folds, groups.max() + 1)
        places.append(random.permutation(groups.max() + 1)[groups])
    if folds < 2:
        return None
    x, fold = np.concatenate([features(bars, velocities) for bars in (real, other)]), np.concatenate(places) % folds
    label = np.repeat([1, 0], [len(real), len(other)])
    classifier = HistGradientBoostingClassifier(random_state=0)
    return float(cross_val_score(classifier, x, label, scoring="roc_auc", cv=PredefinedSplit(fold)).mean())


def features(bars, velocities=False):
    """What the classifier sees: cells, and hits by row, step, row and sixteenth, bar. (n, 8, 64) -> float32 (n, 713)"""
    hits = (np.asarray(bars) > 0).astype(np.float32)
    cells = np.asarray(bars, dtype=np.float32) if velocities else hits
    sums = [hits.sum(2), hits.sum(1), hits.reshape(len(hits), 8, 16, 4).sum(3), hits.sum((1, 2))]
    return np.concatenate([part.reshape(len(hits), -1) for part in (cells, *sums)], axis=1)


def reconstruction(model, x):
    """F1 of the bar drawn at each bar's own code: of all hits, to the step and within one step, and per instrument."""
    made, real = np.concatenate([draw(model, encode(model, bars)) for bars in x.split(512)]) > 0, x.numpy() > 0
    both = (made[..., NEIGHBOURS].any(-1) & real).sum() + (made & real[..., NEIGHBOURS].any(-1)).sum()
    return {"all": f1(real, made), "all_within_one_step": float(both) / float(real.sum() + made.sum()),
            **{name: f1(real[:, row], made[:, row]) for row, name in enumerate(INSTRUMENTS)}}


@torch.no_grad()
def velocity_errors(model, x, draws):
    """Mean absolute error, of 127, of typical velocities by what is given besides hits and code: the bar's velocity
    latent, and the true velocities before (context); divergence of drawn from real ones. None without velocities."""
    if model.velocity_net is None:
        return None
    errors = {"velocity_latent_and_context": [], "velocity_latent": [], "hits_alone": []}
    for bars in x.split(512):
        z, true = model.encode(bars)[0], bars.flatten(1).float()                      # (n, latent), (n, cells)
        latent = model.encode_velocities(bars)[0] if model.velocity_latent else z[:, :0]
        condition = torch.cat([model.with_condition(z), latent], -1)
        mean, _ = model.velocity_net.distribution(model.binarise(bars), true, condition)
        given_latent, given_hits = (humanise(model, bars, z, scale=0, velocity_latent=one)
                                    for one in (latent, None))                        # (n, 8, 64)
        for parts, guess in zip(errors.values(), (mean.round().clamp(1, 127), given_latent, given_hits)):
            parts.append((torch.as_tensor(guess).float().view(bars.shape) - bars).abs()[bars > 0])
    return {"mean_absolute_error": {name: torch.cat(parts).mean().item() for name, parts in errors.items()},
            "jensen_shannon": velocity_divergence(x.numpy(), draws, INSTRUMENTS)}


def sample_codes(model, count, generator, style=None):
    """Codes of random training bars, of a style if its number is given; of the prior without any: (count, latent)."""
    codes = () if model.map is None else model.map["codes"]
    if style is not None and len(codes):
        codes = codes[torch.as_tensor(model.map["labels"]) == style]
    if not len(codes):
        return torch.randn(count, model.latent, generator=generator)
    return codes[torch.randint(len(codes), (count,), generator=generator)]


def locality(model, z, generator, distance=0.1):
    """Median number of cells in which bars of one noise seed differ: of codes `distance` apart, and of random codes."""
    step = torch.randn(z.shape, generator=generator)
    step = distance * step / step.norm(dim=1, keepdim=True)
    here, near = draw(model, z) > 0, draw(model, z + step) > 0                        # (n, 8, 64)
    cells = {"near": (here != near).sum((1, 2)), "random": (here != np.roll(here, 1, 0)).sum((1, 2))}
    return {"distance": distance, **{name: float(np.median(count)) for name, count in cells.items()}}


def count_exactness(model, z):
    """Share of bars with exactly the hits that were asked for, of a bar and of single rows."""
    right = []
    for i, hits in enumerate((4, 12, 20, 32, 48)):
        row_hits = {0: 1 + i, 1: 2, 4: 2 * i}
        bar, by_row = (draw(model, z[i:i + 1], constraints=constraints)[0] > 0
                       for constraints in (Constraints(hits=hits), Constraints(row_hits=row_hits)))
        right += [bar.sum() == hits, all(by_row[row].sum() == count for row, count in row_hits.items())]
    return sum(right) / len(right)


def click_milliseconds(model, z):
    """The median time from a code to its bar on one core, each code by itself."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = [timeit.timeit(lambda: draw(model, code[None]), number=1) for code in z]
    torch.set_num_threads(threads)
    return 1000 * float(np.median(seconds))


def load_real_bars(options, content):
    """The bars to measure by and those of training, each (bars, names, styles), and the data's name or folder."""
    trained = content.get("arguments", {})
    data = options.data or trained.get("data") or []
    data = [data] if isinstance(data, str) else data
    if not data:
        raise ValueError(f"{options.run}: does not say what it was trained on; give --data")
    splits = {split: tuple(map(np.asarray, part)) for split, part in load_bars(data, trained.get("seed", 0)).items()}
    if options.split not in splits:
        raise ValueError(f"--split {options.split}: {' '.join(data)} has {', '.join(splits)}")
    real = splits[options.split]
    if options.limit:
        chosen = np.random.default_rng(options.seed).permutation(len(real[0]))[:options.limit]
        real = tuple(column[chosen] for column in real)
    return real, splits["train"], data


def compare_to_real(model, real, train, options, style=None):
    """Bars drawn at random codes, and how they compare with real ones, all of one style or of any: (draws, numbers)."""
    generator = torch.Generator().manual_seed(options.seed)
    index = None if style is None else model.styles.index(style)
    codes = sample_codes(model, options.draws, generator, index)
    draws = draw_independent(model, codes, generator, index)
    order, most = np.random.default_rng(options.seed).permutation(len(train[0])), max(len(real[0]), 1000)
    if style is not None:
        real, order = [column[real[2] == style] for column in real], order[train[2][order] == style]
    other, other_names = (column[order[:most]] for column in train[:2])
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
    x, seed, styles, cpu = torch.as_tensor(real[0]), options.seed, real[2].tolist(), load_bar_model(options.run)
    labels = torch.tensor([cpu.styles.index(style) if style in cpu.styles else -1 for style in styles])
    draws, statistics = compare_to_real(cpu, real, train, options)
    largest = sorted(set(styles) & set(cpu.styles), key=lambda style: (-styles.count(style), style))[:MOST_STYLES]
    codes = sample_codes(cpu, min(600, options.draws), torch.Generator().manual_seed(seed))
    return {
        "model": str(options.run), "data": " ".join(data), "split": options.split, "bars": len(x),
        "bounds": bounds(model, x, options.k, seed, labels if cpu.styles else None),
        "reconstruction_f1": reconstruction(cpu, x), "sample_statistics": statistics,
        "styles": {style: compare_to_real(cpu, real, train, options, style)[1] for style in largest},
        "locality": locality(cpu, codes, torch.Generator().manual_seed(seed)),
        "density_exact": count_exactness(cpu, codes), "click_milliseconds": click_milliseconds(cpu, codes[:40]),
        "velocities": velocity_errors(cpu, x, draws), "seed": seed, "epoch": content.get("epoch"),
        "config": content["config"]}


def report(result):
    """The numbers of `evaluate_bars` as lines of text."""
    bound, velocities = result["bounds"], result["velocities"]
    error, given = bound["bound_standard_error"], bound["bound_conditioned"]
    yield "{model}: {bars} bars, {split} of {data}".format(**result)
    yield ("ELBO {elbo:.2f} nats a bar = log p(x|z) {log_px:.2f} - KL {kl:.2f}; {active_units} of {latent} units "
           "active, mutual information of code and bar {mutual_information:.2f} nats".format(**bound))
    yield ("bound with k = {k}: {bound:.2f}".format(**bound) + (f" +- {error:.2f}" if error is not None else "")
           + " nats a bar" + (f"; given the style, with k = {max(1, bound['k'] // 10)}: {given:.2f}" if given else ""))
    yield "reconstruction F1 {all:.2f} to the step, {all_within_one_step:.2f} within one".format(
        **result["reconstruction_f1"])
    for style, found in {"any style": result["sample_statistics"], **result["styles"]}.items():
        aucs = [f", {words} {found[name]:.2f}" for name, words in AUCS.items() if found.get(name) is not None]
        yield ("{draws} bars drawn ({style}; {real_bars} real ones): {unique:.1%} unique, {copied_from_training:.1%} "
               "copied from training, {empty:.1%} empty, {hits_a_bar:.1f} hits a bar (real: {hits_a_bar_real:.1f})"
               .format(style=style, **found) + "".join(aucs))
    yield ("two codes {distance} apart: bars differ in {near:.0f} cells, two random ones in {random:.0f} (medians); "
           .format(**result["locality"]) + "exact counts of hits: {density_exact:.0%}; a click takes "
           "{click_milliseconds:.1f} ms on one core".format(**result))
    if velocities:
        yield ("velocities given the hits: mean absolute error of 127 {velocity_latent:.1f} with the bar's latent, "
               "{velocity_latent_and_context:.1f} also with the true velocities before, {hits_alone:.1f} with neither; "
               "Jensen-Shannon divergence of drawn ones ".format(**velocities["mean_absolute_error"])
               + ", ".join(f"{name} {value:.3f}" for name, value in velocities["jensen_shannon"].items()))
