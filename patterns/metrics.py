"""How bars that a model draws compare with real ones.

    classifier_auc(real, names, drawn)         # 0.5: a classifier cannot separate drawn bars from real ones

Bars are arrays (n, 8, 64) of velocities 0 to 127, where 0 is no hit.
"""

import timeit

import numpy as np
import torch

from patterns.dataset import hit_bytes
from patterns.latent_map import training_codes
from patterns.sampling import draw


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


def classifier_auc(real, real_groups, other, other_groups=None, folds=5, seed=0, features=None):
    """How well a gradient-boosted classifier separates real bars from others: the area under its ROC curve, 0.5 to 1.

    The mean over the folds of a cross-validation whose classifiers have seen none of a fold's groups: bars of one
    performance stay in one fold; bars without groups are each their own. None with fewer than 40 bars or two groups.
    features: what the classifier sees of them, see `bar_features`.
    """
    if min(len(real), len(other)) < 40:
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier  # takes over a second to import
    from sklearn.model_selection import PredefinedSplit, cross_val_score
    random = np.random.default_rng(seed)
    places = []
    for bars, groups in ((real, real_groups), (other, other_groups)):
        groups = np.unique(np.arange(len(bars)) if groups is None else groups, return_inverse=True)[1]
        folds = min(folds, groups.max() + 1)
        places.append(random.permutation(groups.max() + 1)[groups])
    if folds < 2:
        return None
    x = np.concatenate([(features or bar_features)(bars) for bars in (real, other)])
    fold = np.concatenate(places) % folds
    label = np.repeat([1, 0], [len(real), len(other)])
    classifier = HistGradientBoostingClassifier(random_state=0)
    return float(cross_val_score(classifier, x, label, scoring="roc_auc", cv=PredefinedSplit(fold)).mean())


def bar_features(bars):
    """What the classifier sees: cells, and hits by row, step, row and sixteenth, bar. (n, 8, 64) -> float32 (n, 713)"""
    hits = (np.asarray(bars) > 0).astype(np.float32)
    sums = [hits.sum(2), hits.sum(1), hits.reshape(len(hits), 8, 16, 4).sum(3), hits.sum((1, 2))]
    return np.concatenate([part.reshape(len(hits), -1) for part in (hits, *sums)], axis=1)


def sample_codes(model, count, generator, styles=None):
    """Codes of random training bars, of the styles with these numbers if given; of the prior without any: (count,
    latent)."""
    codes = () if model.map is None else model.map["codes"]
    if styles is not None and len(codes):
        members = torch.isin(torch.as_tensor(model.map["labels"]), torch.as_tensor(styles))
        codes = codes[members] if len(styles) > 1 else torch.as_tensor(training_codes(model, styles[0]))
    if not len(codes):
        return torch.randn(count, model.latent, generator=generator)
    return codes[torch.randint(len(codes), (count,), generator=generator)]


def click_milliseconds(model, z):
    """The median time from a code to its bar on one core, each code by itself."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = [timeit.timeit(lambda: draw(model, code[None]), number=1) for code in z]
    torch.set_num_threads(threads)
    return 1000 * float(np.median(seconds))
