"""One bar as it goes on: the velocity of a new hit, the bars that follow, and bars that evolve cell by cell.

    velocity = expected_velocity(model, bar, SNARE, 16, code)       # of a new hit there, 1 to 127
    bars, codes = continue_bars(model, bar[None], code[None], 8, seed=3)    # it, and seven that follow it
    other = evolve(model, bar, code, 4, seed=3)                     # four cells of its score are others
"""

import math
from dataclasses import replace

import numpy as np
import torch

from models import bernoulli_log_likelihood
from patterns import paths, sampling
from patterns.dataset import windows
from patterns.noise import SCORE, TIMING, Anchor, Surface
from patterns.sampling import COLDEST, Constraints, as_bars, as_codes

# A bar that follows another keeps these shares of the noise of its score and of how it is played; its code is a step
# away, of this median length and spread of the logarithm. All as the drummers of the Groove training set vary.
SCORE_SHARE, PLAY_SHARE, STEP, STEP_SPREAD = 0.97, 0.92, 0.2, 0.8
FILL_BEATS = 2  # of a bar that ends in a fill
PLAIN_VELOCITY = 100  # of a new hit where nothing tells how hard the others are struck


@torch.no_grad()
def expected_velocity(model, bar, row, step, code, constraints=Constraints()):
    """How hard the model expects a new hit in a cell of a bar to be struck, given the bar's other hits: 1 to 127.

    bar (8, 64) of velocities; code (latent,); constraints: their style. The centre of p(velocity | hits, velocities
    before it, code, velocity latent of the bar). Without a velocity net, the mean of the row's hits, or else 100.
    """
    if model.velocity_net is None:
        others = np.delete(bar[row], step)
        return int(others[others > 0].mean().round()) if others.any() else PLAIN_VELOCITY
    bar = np.array(bar)
    bar[row, step] = 0
    x, z, style = as_bars(model, bar[None]), as_codes(model, np.asarray(code)[None]), constraints.style
    hits, place = model.binarise(x), row * model.shape[1] + step
    hits[0, place] = 1.0
    condition = torch.cat([model.with_condition(z, style), encoded_velocities(model, x, style)], -1)
    mean, _ = model.velocity_net.distribution(hits, x.flatten(1).float(), condition)
    return int(mean[0, place].round().clamp(1, 127))


def encoded_velocities(model, x, style):
    """The velocity code of bars, 0 of empty ones, where it is unknown: (n, 8, 64) -> (n, velocity_latent)."""
    if not model.velocity_latent:
        return torch.zeros(len(x), 0)
    return model.encode_velocities(x, style)[0] * (x > 0).flatten(1).any(1, keepdim=True)


def continue_bars(model, bars, codes, count, seed, constraints=Constraints()):
    """Bars and those that follow them in the same style: (n, 8, 64), (n, latent) -> (count, 8, 64), (count, latent).

    As drummers' phrases do, bar i takes up the one a power of two before it, the largest there is: the second follows
    the first, the third and fourth these two, the next four these four. The rows that are locked stay as in that one.
    Raises what `draw` raises.
    """
    bars, codes = list(bars[:count]), list(codes[:count])
    for i in range(len(bars), count):
        before = i - (1 << i.bit_length() - 1)
        bar, code = following_bar(model, bars[before], codes[before], [seed, i], constraints)
        bars.append(bar)
        codes.append(code)
    return np.stack(bars), np.stack(codes)


def following_bar(model, bar, code, seed, constraints):
    """A bar (8, 64) that goes on as one at a code (latent,) does, and its code; seed: numbers."""
    random, constraints = np.random.default_rng(seed), replace(constraints, locked=bar)
    length = STEP * np.exp(STEP_SPREAD * random.standard_normal())
    away = (code + length * random.standard_normal(len(code)) / math.sqrt(len(code))).astype(np.float32)
    levels = []
    for level, noise in enumerate(sampling.anchor(model, bar, code, constraints).levels):
        share = SCORE_SHARE if level == SCORE else PLAY_SHARE
        fresh = torch.as_tensor(random.standard_normal(noise.shape), dtype=noise.dtype)
        levels.append(share * noise + math.sqrt(1 - share ** 2) * fresh)
    surface = Surface(int(random.integers(2 ** 31))).with_anchor(Anchor(torch.as_tensor(away), tuple(levels)))
    return sampling.draw(model, away[None], surface, constraints)[0], away


def evolved_bars(model, bars, codes, cells, count, seed, constraints=Constraints()):
    """Bars as a loop that evolves: `count` bars, each with so many cells changed against the pass before it.

    (n, 8, 64), (n, latent) -> (count, 8, 64), (count, latent); the first n are as given. Raises what `evolve` raises.
    """
    bars, codes = list(bars[:count]), np.resize(codes, (count, codes.shape[1]))
    before = len(bars)
    for i in range(before, count):
        bars.append(evolve(model, bars[i - before], codes[i], cells, seed + i, constraints))
    return np.stack(bars), codes


def with_fills(model, bars, codes, every, seed, constraints=Constraints()):
    """Bars, of which every `every`-th ends in a fill; 0 for none: (n, 8, 64) -> (n, 8, 64)."""
    bars = np.array(bars)
    for i in range(every - 1, len(bars), every) if every else ():
        bars[i] = paths.fill(model, bars[i], codes[i], FILL_BEATS, seed + i, constraints)
    return bars


@torch.no_grad()
def evolve(model, bar, code, cells, seed, constraints=Constraints()):
    """The bar (8, 64) with `cells` cells of its score changed as the model finds plausible at a code (latent,).

    What has not changed is played as it was. Locked rows stay, and of rows whose hits are counted as many come as go,
    so that there an odd number leaves the last cell; fewer change where no more are free. Raises ValueError for counts
    that no bar can have.

    Cell after cell is drawn with probability in proportion to the square root of p(score with it changed | code, all
    the others), a locally balanced proposal (Zanella 2020, "Informed proposals for local MCMC in discrete spaces",
    section 2), without its rejections: the first pass makes a bar a little less probable than those that the model
    draws there, the passes after it make it no more so (benchmarks/continuation.py).
    """
    constraints = replace(constraints, locked=bar)
    x, z = as_bars(model, np.array(bar)[None]), as_codes(model, np.asarray(code)[None])
    locked = sampling.locked_part(model, constraints)
    groups = [group for group, _ in sampling.count_constraints(model, constraints, locked)]
    free = ~locked.where
    if groups and model.timing_net is not None:  # two hits at one sixteenth stay, or the count would change by two
        free &= ~torch.as_tensor(windows(bar[None]).sum(-1) > 1).flatten()
    score = change_cells(model, z, model.score(x)[0].clone(), free, groups, cells, seed, constraints)
    surface, style = Surface(seed), constraints.style
    fixed = x.flatten(1).float() * model.cells_of(score[None])                        # (1, cells)
    hits = model.with_timing(score[None], surface.logistic(z, TIMING, (fixed.shape[1],)), style, constraints.timing,
                             (fixed > 0).float(), bool(groups))                       # (1, cells)
    return sampling.strike(model, hits, z, surface, style, fixed, encoded_velocities(model, x, style))[0].numpy()


def change_cells(model, z, score, free, groups, cells, seed, constraints):
    """The score (score cells,) with so many of its free cells (score cells,) changed, see `evolve`; groups: masks of
    cells whose hits are counted."""
    condition = model.with_condition(z, constraints.style, None, constraints.steady)
    generator, temperature = torch.Generator().manual_seed(seed), max(constraints.temperature, COLDEST)
    counted = torch.stack([torch.zeros_like(free), *groups]).any(0)
    while cells > 0 and (chosen := draw_change(model, condition, score, free & ~counted if cells == 1 else free,
                                               temperature, generator)) is not None:
        partners = [group & free & (score != score[chosen]) for group in groups if group[chosen]]
        score[chosen], free[chosen] = 1 - score[chosen], False
        cells -= 1
        for partner in partners:
            other = draw_change(model, condition, score, partner, temperature, generator)
            if other is None:  # all of its group are struck, or none
                score[chosen], cells = 1 - score[chosen], cells + 1
            else:
                score[other], free[other], cells = 1 - score[other], False, cells - 1
    return score


def draw_change(model, condition, score, free, temperature, generator):
    """The cell to change next, of those that are free; None where there is none, or it would leave the bar empty."""
    places = torch.nonzero(free & ~((score > 0) & (score.sum() == 1)))[:, 0]
    if not len(places):
        return None
    scores = score.repeat(len(places), 1)                                             # (places, score cells)
    scores[torch.arange(len(places)), places] = 1 - score[places]
    logits = model.decoder.logits(scores, condition.expand(len(places), -1)) / temperature
    gumbel = -torch.empty(len(places)).exponential_(generator=generator).log()
    return int(places[(bernoulli_log_likelihood(scores, logits) / 2 + gumbel).argmax()])
