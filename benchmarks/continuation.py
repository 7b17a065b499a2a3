"""How bars that follow another compare with those that drummers play, and loops that evolve with clicks.

    python benchmarks/continuation.py                   # 100 performances of the Groove validation split
    python benchmarks/continuation.py --performances 40 --loops 0       # roughly, without the loops

Likeness: F1 of the scores of two bars. AUC: how well a gradient-boosted classifier tells (bar, next) as played from
(bar, next) as made, performances apart; 0.5 is not at all. Off: how far the two distributions of likeness are apart in
the mean.
"""

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from command_line import ROOT, Parser, Progress, number, run

import numpy as np
import torch

from models import bernoulli_log_likelihood
from patterns import sampling, variation
from patterns.dataset import load_bars, windows
from patterns.latent_map import TrainingBars, load_bar_model, random_code
from patterns.metrics import classifier_auc
from patterns.sampling import CLICK, Constraints

BARS, PASSES, CELLS = 8, 64, 4
LAGS = (1, 2, 4, 7)
WAYS = {  # which bar before each one takes up
    "each follows the one before": lambda i: i - 1, "all follow the first": lambda i: 0,
    "in phrases: ours": lambda i: i - (1 << i.bit_length() - 1)}


def scores(bars):
    """The scores of bars: bool (..., 128)."""
    return windows(bars.reshape(-1, 8, 64)).any(-1).reshape(*bars.shape[:-2], -1)


def likeness(one, other):
    """F1 of the scores of bars (n, 8, 64): (n,)."""
    one, other = scores(one), scores(other)
    return 2 * (one & other).sum(-1) / np.maximum(1, one.sum(-1) + other.sum(-1))


def pair_features(pairs):
    """What the classifier sees of pairs of bars (n, 2, 8, 64): both scores, where they differ, and how much."""
    both = scores(pairs).astype(np.float32)                                           # (n, 2, 128)
    differ = (both[:, 0] != both[:, 1]).reshape(-1, 8, 16)
    return np.concatenate([both.reshape(len(both), -1), differ.reshape(len(both), -1), differ.sum(1), differ.sum(2),
                           likeness(pairs[:, 0], pairs[:, 1])[:, None]], 1).astype(np.float32)


def performances(bars, names, styles, count):
    """Bars in a row, (n, BARS, 8, 64), of at most so many different performances, with their names and styles."""
    names, first = np.array(names), []
    for name in np.random.default_rng(0).permutation(np.unique(names)):
        places = np.flatnonzero(names == name)
        if len(places) >= BARS:
            first.append(places[0] + (len(places) - BARS) // 2)
    first = np.array(first[:count])
    return np.stack([bars[i:i + BARS] for i in first]), names[first], [styles[i] for i in first]


def made(model, first, before_of, seed):
    """BARS bars that follow one, each the bar of that number; before_of None: all drawn at the code of the first."""
    bars, codes = [first], [sampling.encode(model, first[None])[0]]
    for i in range(1, BARS):
        if before_of is None:
            bars.append(sampling.draw(model, codes[0][None], seed * BARS + i)[0])
            continue
        bar, code = variation.following_bar(model, bars[before_of(i)], codes[before_of(i)], [seed, i], Constraints())
        bars.append(bar)
        codes.append(code)
    return np.stack(bars)


def print_continuation(model, count):
    """The table of bars that follow."""
    played, names, styles = performances(*load_bars("groove")["validation"], count)
    training = TrainingBars(model)
    ways = {"drummers": None, "drawn anew at the code": None, **WAYS}
    for name, before_of in ways.items():
        if name == "drummers":
            bars = played
        else:
            with Progress(what="making bars that follow"):
                bars = np.stack([made(model, one[0], before_of, i) for i, one in enumerate(played)])
        pairs, real = (which[:, :2] for which in (bars, played))
        found, theirs = (likeness(which[:, :-1].reshape(-1, 8, 64), which[:, 1:].reshape(-1, 8, 64))
                         for which in (bars, played))
        by_lag = [likeness(bars[:, :-lag].reshape(-1, 8, 64), bars[:, lag:].reshape(-1, 8, 64)).mean() for lag in LAGS]
        kept = np.mean([training.name(training.nearest(bar)[0][0]) == style
                        for one, style in zip(bars, styles) for bar in one[1:]])
        auc = math.nan if name == "drummers" else classifier_auc(real, names, pairs, names, features=pair_features)
        print(f"{name:28} likeness 5, 25, 50, 75, 95 %: {' '.join(f'{q:.2f}' for q in quantiles(found))}; "
              f"off {np.abs(np.sort(found) - np.sort(theirs)).mean():.3f}; mean after {LAGS} bars: "
              f"{' '.join(f'{mean:.2f}' for mean in by_lag)}; style {kept:.0%}; AUC {auc or math.nan:.2f}", flush=True)


def quantiles(values):
    return np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))


def print_evolution(model, loops):
    """The table of loops that evolve: CELLS cells a pass, from clicks at random places."""
    codes = np.stack([random_code(model, 1, i) for i in range(loops)])
    clicks = sampling.draw(model, codes, 3, CLICK)
    others = sampling.draw(model, codes, 4, CLICK)
    evolved = []
    with Progress(list(range(loops)), "evolving", "loops") as places:
        for i in places:
            evolved.append(variation.evolved_bars(model, clicks[[i]], codes[[i]], CELLS, PASSES + 1, 100 * i, CLICK)[0])
    evolved = np.stack(evolved)                                                       # (loops, passes + 1, 8, 64)
    print(f"clicks at {loops} places: {nats(model, clicks, codes):.1f} nats of the score given its code, others there "
          f"{nats(model, others, codes):.1f}; AUC of others {classifier_auc(clicks, None, others):.2f}")
    for passes in (1, 4, 16, PASSES):
        bars = evolved[:, passes]
        print(f"after {passes} passes of {CELLS} cells: {nats(model, bars, codes):.1f} nats; AUC against clicks "
              f"{classifier_auc(others, None, bars):.2f}; hits {np.count_nonzero(bars) / loops:.1f}, of clicks "
              f"{np.count_nonzero(clicks) / loops:.1f}; likeness to the first {likeness(clicks, bars).mean():.2f}, of "
              f"clicks to each other {likeness(clicks, others).mean():.2f}")


@torch.no_grad()
def nats(model, bars, codes):
    """The mean of -log p(score | code) as clicks ask for it, temperature left out."""
    score = model.score(torch.as_tensor(bars))
    logits = model.decoder.logits(score, model.with_condition(torch.as_tensor(codes), None, None, CLICK.steady))
    return -float(bernoulli_log_likelihood(score, logits).mean())


def main(argv=None):
    """Print both tables."""
    parser = Parser(__doc__)
    parser.add_argument("--performances", type=number(int, 0), default=100,
                        help="of 8 bars in a row, at least 40; 0 for none (default 100)")
    parser.add_argument("--loops", type=number(int, 0), default=48, help="that evolve, at least 40; 0 for none")
    parser.add_argument("--model", type=Path, default=ROOT / "pretrained" / "bernoulli_map.pt")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    model = load_bar_model(arguments.model)
    for name in ("performances", "loops"):
        if 0 < getattr(arguments, name) < 40:
            parser.error(f"--{name}: expected 0, or at least the 40 that the classifier needs")
    if arguments.performances:
        print_continuation(model, arguments.performances)
    if arguments.loops:
        print_evolution(model, arguments.loops)


if __name__ == "__main__":
    run(main)
