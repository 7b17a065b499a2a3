"""How drum bars differ from one another: what a classifier tells apart, hits in common, copies, velocities.

All take arrays of bars (n, 8, 64), velocities 0 to 127 of which 0 is no hit, and give plain numbers.
"""

import time

import numpy as np
import torch

from patterns.dataset import hit_bytes
from patterns.sampling import Constraints, draw, draw_independent, humanise


def f1(real, made):
    """F1 score of hits: boolean arrays of one shape; None where there is no hit in either."""
    struck = real.sum() + made.sum()
    return 2 * float((real & made).sum()) / float(struck) if struck else None


def jensen_shannon(p, q):
    """Jensen-Shannon divergence of two distributions, in bits: 0 for equal ones, 1 for disjoint ones."""
    middle = (p + q) / 2
    return sum(0.5 * float((side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum()) for side in (p, q))


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
    drawn, known = hit_bytes(draws), set(hit_bytes(train))
    return {"draws": len(draws), "unique": len(set(drawn)) / len(draws),
            "copied_from_training": sum(bar in known for bar in drawn) / len(draws),
            "empty": float((draws == 0).all((1, 2)).mean()),
            "hits_a_bar": float((draws > 0).sum((1, 2)).mean()),
            "hits_a_bar_real": float((real > 0).sum((1, 2)).mean())}


def hamming(first, second):
    """In how many cells the hits of two bars differ: (n, 8, 64) each -> (n,)."""
    return ((first > 0) != (second > 0)).sum((1, 2))


def classifier_auc(real, real_groups, other, other_groups=None, velocities=False, folds=5, seed=0):
    """How well a gradient-boosted classifier tells real bars from others: the area under its ROC curve, 0.5 to 1.

    It sees the cells (hits alone, or velocities), the hits a row, a step, a row and sixteenth, and a bar. Each fold is
    told apart by a classifier that has seen none of its groups: bars of one performance stay on one side. Bars without
    groups are each their own. The mean over the folds; None with fewer than 40 bars or two groups on a side.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    if min(len(real), len(other)) < 40:
        return None
    random = np.random.default_rng(seed)
    sides, places = [], []
    for bars, groups in ((real, real_groups), (other, other_groups)):
        groups = np.arange(len(bars)) if groups is None else np.unique(groups, return_inverse=True)[1]
        folds = min(folds, groups.max() + 1)
        sides.append(features(bars, velocities))
        places.append((groups, random.permutation(groups.max() + 1)))
    if folds < 2:
        return None
    x, label = np.concatenate(sides), np.repeat([1, 0], [len(real), len(other)])
    fold = np.concatenate([order[groups] % folds for groups, order in places])
    scores = []
    for k in range(folds):
        classifier = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.1, random_state=0)
        classifier.fit(x[fold != k], label[fold != k])
        scores.append(roc_auc_score(label[fold == k], classifier.predict_proba(x[fold == k])[:, 1]))
    return float(np.mean(scores))


def features(bars, velocities=False):
    """What the classifier sees of each bar: (n, 8, 64) -> float32 (n, 713)."""
    hits = (np.asarray(bars) > 0).astype(np.float32)
    cells = np.asarray(bars, dtype=np.float32) if velocities else hits
    sums = [hits.sum(2), hits.sum(1), hits.reshape(len(hits), 8, 16, 4).sum(3), hits.sum((1, 2))]
    return np.concatenate([part.reshape(len(hits), -1) for part in (cells, *sums)], axis=1)


STYLES_ASKED = 6  # the largest styles of the training data are asked for one by one


def reconstruction(model, x, instruments):
    """F1 of the bar drawn at each bar's own code, exact to the step: over all hits and per instrument."""
    with torch.no_grad():
        made = np.concatenate([draw(model, model.encode(batch)[0]) for batch in x.split(512)]) > 0
    real = x.numpy() > 0
    near = made[..., np.clip(np.arange(64)[:, None] + (-1, 0, 1), 0, 63)].any(-1)  # a hit within one step of it
    both = (near & real).sum() + (made & (real[..., np.clip(np.arange(64)[:, None] + (-1, 0, 1), 0, 63)].any(-1))).sum()
    return {"all": f1(real, made), "all_within_one_step": float(both) / float(real.sum() + made.sum()),
            **{name: f1(real[:, row], made[:, row]) for row, name in enumerate(instruments)}}


def velocities(model, x, draws, instruments):
    """How hits are struck: the mean absolute error of the typical velocity, of 127, given all hits and what else its
    name says; and the divergence of drawn velocities from real ones."""
    if model.velocity_net is None:
        return None
    errors = {name: [] for name in ("own_touch_and_before", "own_touch", "hits_alone")}
    with torch.no_grad():
        for batch in x.split(512):
            z, cells, struck = model.encode(batch)[0], model.cells(batch), batch.flatten(1).float()
            touch = model.encode_touch(batch)[0] if model.touch else z[:, :0]
            typical = {"own_touch_and_before": model.velocity_net.distribution(
                           cells, struck, torch.cat([model.tell(z), touch], -1))[0].round().clamp(1, 127),
                       "own_touch": humanise(model, batch, z, temperature=0, touch=touch),
                       "hits_alone": humanise(model, batch, z, temperature=0)}
            for name, velocity in typical.items():
                errors[name].append((torch.as_tensor(velocity).flatten(1).float() - struck).abs()[struck > 0])
    return {"mean_absolute_error": {name: torch.cat(parts).mean().item() for name, parts in errors.items()},
            "jensen_shannon": velocity_divergence(x.numpy(), draws, instruments)}


def clicks(model, count, generator, label=None):
    """Points where the codes lie: codes of training bars, of one style if asked; from the prior without a map.
    (count, latent)"""
    content = model.map or {"codes": torch.empty(0), "labels": torch.empty(0)}
    codes = content["codes"]
    if label is not None:
        codes = codes[torch.as_tensor(content["labels"]) == label]
    if not len(codes):
        return torch.randn(count, model.latent, generator=generator)
    return codes[torch.randint(len(codes), (count,), generator=generator)]


def drawn(model, z, generator, style=None):
    """Bars at points, each with a take of its own: uint8, (n, 8, 64)."""
    return np.concatenate([draw_independent(model, part, generator, style) for part in z.split(500)])


def locality(model, z, generator, distance=0.1):
    """Median number of cells in which the bars of two points differ, in one take: near points, and random ones."""
    step = torch.randn(z.shape, generator=generator)
    step = distance * step / step.norm(dim=1, keepdim=True)
    here, near = draw(model, z), draw(model, z + step)
    return {"distance": distance, "near": float(np.median(hamming(here, near))),
            "random": float(np.median(hamming(here, np.roll(here, 1, 0))))}


def exactness(model, z):
    """Share of bars with just the hits asked for, of a bar and of single rows."""
    asked, right = (4, 12, 20, 32, 48), 0
    for i, hits in enumerate(asked):
        rows = {0: 1 + i, 1: 2, 4: 2 * i}
        bar, by_row = (draw(model, z[i:i + 1], 0, asked) for asked in (Constraints(hits=hits), Constraints(row_hits=rows)))
        right += int((bar > 0).sum()) == hits
        right += all(int((by_row[0, row] > 0).sum()) == count for row, count in rows.items())
    return right / (2 * len(asked))


def click_milliseconds(model, z):
    """The median time from a point to its bar on one core, each point a bar by itself."""
    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for point in z:
        started = time.perf_counter()
        draw(model, point[None])
        times.append(1000 * (time.perf_counter() - started))
    torch.set_num_threads(threads)
    return float(np.median(times))


def against_real(draws, one_take, real, names, other, other_names, train, classifier, seed):
    """What is to be said of drawn bars beside real ones: sample_statistics, and the AUCs of the classifier."""
    result = sample_statistics(draws, train, real)
    if classifier:
        result |= {"auc": classifier_auc(real, names, draws, seed=seed),
                   "auc_real_against_real": classifier_auc(real, names, other, other_names, seed=seed)}
        if one_take is not None:
            result |= {"auc_with_velocities": classifier_auc(real, names, draws, velocities=True, seed=seed),
                       "auc_one_seed": classifier_auc(real, names, one_take, seed=seed)}
    return result


def line_of_bars(own):
    """What `against_real` found, as a line of text."""
    text = (f"{own['unique']:.1%} unique, {own['copied_from_training']:.1%} copied from training, {own['empty']:.1%} "
            f"empty, {own['hits_a_bar']:.1f} hits a bar (real: {own['hits_a_bar_real']:.1f})")
    if own.get("auc") is not None:
        text += f"; AUC {own['auc']:.2f} (other real bars {own['auc_real_against_real']:.2f}"
        text += f", in one take {own['auc_one_seed']:.2f}" if own.get("auc_one_seed") else ""
        text += f", with velocities {own['auc_with_velocities']:.2f})" if own.get("auc_with_velocities") else ")"
    return text


def report(result):
    """The numbers as lines of text."""
    bound, recon, near = result["bounds"], result["reconstruction_f1"], result["locality"]
    yield f"{result['model']}: {result['bars']} bars, {result['split']} of {result['data']}"
    yield (f"ELBO {bound['elbo']:.2f} nats a bar = log p(x|z) {bound['log_px']:.2f} - KL {bound['kl']:.2f}; "
           f"{bound['active_units']} of {bound['latent']} units active, mutual information of point and bar "
           f"{bound['mutual_information']:.2f} nats")
    error, told = bound["bound_standard_error"], bound["bound_conditioned"]
    yield (f"bound with k = {bound['k']}: {bound['bound']:.2f}" + (f" +- {error:.2f}" if error is not None else "")
           + " nats a bar" + (f"; the style told, with k = {max(1, bound['k'] // 10)}: {told:.2f}" if told else ""))
    yield ("reconstruction F1 " + f"{recon['all']:.2f} to the step, {recon['all_within_one_step']:.2f} within one; "
           + ", ".join(f"{name} {value:.2f}" for name, value in recon.items()
                       if value is not None and not name.startswith("all")))
    yield f"{result['sample_statistics']['draws']} bars of its own: {line_of_bars(result['sample_statistics'])}"
    for style, own in result["styles"].items():
        yield f"  {style} ({own['real_bars']} real bars): {line_of_bars(own)}"
    yield (f"two points {near['distance']} apart: bars differ in {near['near']:.0f} cells, two random ones in "
           f"{near['random']:.0f} (medians); hits asked for and got: {result['density_exact']:.0%}; a click takes "
           f"{result['click_milliseconds']:.1f} ms on one core")
    if result["velocities"]:
        divergence = [f"{name} {value:.3f}" for name, value in result["velocities"]["jensen_shannon"].items()]
        error = result["velocities"]["mean_absolute_error"]
        yield (f"velocities: mean absolute error of 127 given the hits: {error['own_touch']:.1f} with the bar's own "
               f"touch, {error['own_touch_and_before']:.1f} with the true velocities before as well, "
               f"{error['hits_alone']:.1f} with neither; Jensen-Shannon divergence of drawn ones "
               + ", ".join(divergence))
