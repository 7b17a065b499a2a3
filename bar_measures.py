"""How drum bars differ from one another: what a classifier tells apart, hits in common, copies, velocities.

All take arrays of bars (n, 8, 64), velocities 0 to 127 of which 0 is no hit, and give plain numbers.
"""

import numpy as np


def contents(bars):
    """The hits of each bar as bytes, so that equal bars are equal bytes."""
    bars = np.asarray(bars)
    return [bar.tobytes() for bar in np.packbits(bars.reshape(len(bars), np.prod(bars.shape[1:], dtype=int)) > 0, 1)]


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


def own_bars(draws, train, real):
    """Shares of unique, copied and empty bars among those drawn, and their hits a bar beside the real figure."""
    drawn, known = contents(draws), set(contents(train))
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
