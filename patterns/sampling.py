"""A bar at a code: its hits, under a musician's constraints, and how hard each is struck.

    model = load_bar_model("pretrained/bernoulli_map.pt")
    bars = draw(model, codes, seed=1, constraints=Constraints(style=style_index(model, "funk"), hits=20))

The decoder gives each cell a logit, given the code and the cells before it. The cell is struck where logit + noise > 0:
with standard logistic noise, P(noise > -logit) = sigmoid(logit), so this is an exact draw from p(x | z). The noise is a
function of seed and code that changes slowly with the code (`noise_field`), so that near codes have near bars.
Constraints act on it: a temperature scales it, locked cells get one that decides them, exact counts shift it. All runs
on the CPU, whose noise is the same everywhere.
"""

import functools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

from models import logistic_noise

REDRAWS = 8  # of a bar that is empty
CANDIDATES = 16  # bars drawn around locked rows, of which one is taken
DECISIVE = 1e6  # noise that no logit outweighs
DEFAULT_SEED = 8  # where none is asked for: on the shipped map most of its bars begin with a kick, none of seed 0


@dataclass(frozen=True)
class Constraints:
    """What the bars that are drawn have to meet.

    style: its number in the model, None for any; for `draw` also one for each bar. hits: the exact number in a bar,
    None for the model's own. row_hits: {row: exact number}. temperature: scale of the noise; at 0 each cell takes its
    likelier value. locked: a bar (8, 64) whose rows `locked_rows` stay as they are, velocities too.
    """

    style: object = None
    hits: int | None = None
    row_hits: dict = field(default_factory=dict)
    temperature: float = 1.0
    locked: np.ndarray | None = None
    locked_rows: tuple = ()


def style_index(model, name):
    """The model's number of a style, by its name in any case; None for "any". ValueError that lists those it has."""
    if name is None or name.lower() == "any":
        return None
    styles = [style.lower() for style in model.styles]
    if name.lower() not in styles:
        raise ValueError(f"style: expected {', '.join(['any', *model.styles])}; found {name!r}")
    return styles.index(name.lower())


def encode(model, bars, style=None):
    """The codes at which bars (n, 8, 64) lie: the means of q(z | x), float32 (n, latent)."""
    with torch.no_grad():
        return model.encode(torch.as_tensor(np.asarray(bars)), style=style)[0].numpy()


@torch.no_grad()
def draw(model, codes, seed=DEFAULT_SEED, constraints=None):
    """The bar at each code, in velocities: (n, latent) -> uint8 (n, 8, 64).

    The same for the same code and seed, however many are drawn. A bar that comes out empty is drawn again, unless that
    was asked for. Raises ValueError for codes that are not finite, and for constraints that no bar can meet.
    """
    constraints, z = constraints or Constraints(), torch.as_tensor(np.asarray(codes, np.float32))
    temperature, decoder, cells = constraints.temperature, model.decoder, math.prod(model.shape)
    if z.ndim != 2 or z.shape[1] != model.latent or not torch.isfinite(z).all():
        raise ValueError(f"codes: expected finite ones of shape (n, {model.latent}), found {tuple(z.shape)}")
    if not temperature >= 0:
        raise ValueError(f"temperature: expected at least 0, found {temperature}")
    condition = model.with_condition(z, constraints.style)
    locked, context = locked_mask(model.shape, constraints.locked, constraints.locked_rows)
    counts = count_constraints(model.shape, constraints, locked, context)
    noise = (locked_noise(decoder, condition, z, (locked, context), temperature, seed) if locked.any()
             else temperature * noise_field(z, cells, 3, seed))                       # (n, 3, cells)
    if counts:
        hits = torch.cat([draw_with_counts(decoder, counts, condition[i:i + 1], noise[i, :1]) for i in range(len(z))])
    elif locked.any():
        hits = decoder.draw(condition, noise[:, 0])
    else:
        hits = redraw_empty(decoder, condition, noise[:, 0], lambda empty, attempt: temperature * noise_field(
            z[empty], cells, 1, seed + 7919 * attempt)[:, 0])                         # (n, cells)
    return model.with_velocities(hits, condition, noise[:, 1:], context if locked.any() else None).numpy()


@torch.no_grad()
def draw_independent(model, z, generator=None, style=None):
    """Bars drawn from p(x | z, not empty), independent of each other: (n, latent) -> uint8 (n, 8, 64)."""
    bars, cells = [], math.prod(model.shape)
    for condition in model.with_condition(z, style).split(500):
        noise = logistic_noise((len(condition), 3, cells), generator)
        hits = redraw_empty(model.decoder, condition, noise[:, 0], lambda empty, _: logistic_noise(
            (int(empty.sum()), cells), generator))                                    # (500, cells)
        bars.append(model.with_velocities(hits, condition, noise[:, 1:]))
    return torch.cat(bars).numpy()


def redraw_empty(decoder, condition, noise, new_noise):
    """Hits drawn by noise (n, cells), 0 or 1; empty bars again by other noise, new_noise(which (n,), attempt).

    No bar that was learned from is empty, yet one draw in a thousand is. After REDRAWS attempts it may stay so.
    """
    hits = decoder.draw(condition, noise)
    for attempt in range(1, REDRAWS + 1):
        if (empty := ~hits.any(-1)).any():
            hits[empty] = decoder.draw(condition[empty], new_noise(empty, attempt))
    return hits


@torch.no_grad()
def humanise(model, bars, codes=None, style=None, seed=DEFAULT_SEED, temperature=1.0, velocity_latent=None):
    """The same hits with velocities of the model's, as a drummer would strike them: bars -> uint8, (n, 8, 64) each.

    Conditioned on codes (n, latent), None for the bars' own, and on velocity_latent, None to draw one.
    """
    x = torch.as_tensor(np.asarray(bars))
    if x.shape[1:] != model.shape:
        raise ValueError(f"bars: expected shape (n, {', '.join(map(str, model.shape))}), found {tuple(x.shape)}")
    z = torch.as_tensor(np.asarray(encode(model, x, style) if codes is None else codes, np.float32))
    noise = temperature * noise_field(z, math.prod(model.shape), 3, seed)[:, 1:]      # (n, 2, cells)
    condition = model.with_condition(z, style)
    return model.with_velocities(model.binarise(x), condition, noise, velocity_latent=velocity_latent).numpy()


def noise_field(z, cells, count, seed, reach=3.0):
    """Logistic noise that changes slowly over the latent space: (n, latent) -> (n, count, cells).

    A Gaussian process of covariance exp(-distance^2 / (2 reach^2)) by random Fourier features (Rahimi and Recht 2007,
    "Random Features for Large-Scale Kernel Machines", section 3), mapped to the logistic distribution.
    """
    directions, weights = fourier_features(z.shape[1], count * cells, seed)
    phase = z.float() @ directions.T / reach                                          # (n, waves)
    normal = torch.cat([phase.cos(), phase.sin()], -1) @ weights                      # (n, count * cells)
    return torch.logit(torch.special.ndtr(normal), eps=1e-7).view(-1, count, cells)


@functools.lru_cache(maxsize=4)
def fourier_features(latent, numbers, seed, waves=32):
    """The waves of a seed, cached for the next click: directions (waves, latent), weights (2 waves, numbers)."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(waves, latent, generator=generator),
            torch.randn(2 * waves, numbers, generator=generator) / math.sqrt(waves))


def locked_mask(shape, bar, rows):
    """Which cells are locked, bool (cells,), and their velocities, float (cells,), 0 for all others."""
    locked = torch.zeros(shape, dtype=torch.bool)
    if bar is None or not len(rows):
        return locked.flatten(), torch.zeros(locked.numel())
    bar = torch.as_tensor(bar)
    if bar.shape != shape or not all(0 <= row < shape[0] for row in rows):
        raise ValueError(f"locked: expected a bar {shape} and rows of it, found {tuple(bar.shape)}, {rows}")
    locked[list(rows)] = True
    return locked.flatten(), (locked * bar).flatten().float()


def locked_noise(decoder, condition, z, lock, temperature, seed):
    """Noise by which locked cells come out as they are, chosen so that the others fit them: (n, 3, cells).

    Of CANDIDATES bars around the locked cells one is taken by sampling importance resampling (Rubin 1987): its weight
    is the likelihood of its locked cells, which were not drawn, given all that came before each. lock: see
    `locked_mask`. At temperature 0 the largest weight wins.
    """
    locked, context = lock
    noise = temperature * noise_field(z, len(locked), CANDIDATES + 2, seed)           # (n, candidates + 2, cells)
    noise[:, :-2] = torch.where(locked, DECISIVE * (2 * (context > 0) - 1.0), noise[:, :-2])
    choice = temperature * logistic_noise((len(z), CANDIDATES), torch.Generator().manual_seed(seed))
    chosen = []
    for i, noises in enumerate(noise):
        repeated = condition[i].expand(CANDIDATES, -1)
        hits = decoder.draw(repeated, noises[:-2])                                    # (candidates, cells)
        logits = decoder.logits(hits, repeated)
        log_weights = torch.where(locked, hits * logits - F.softplus(logits), 0.0).sum(-1)
        chosen.append(noises[[int((log_weights + choice[i]).argmax()), -2, -1]])
    return torch.stack(chosen)


def count_constraints(shape, constraints, locked, context):
    """The numbers of hits that are asked for: a list of (free cells, bool (cells,); hits wanted among them).

    locked, context: see `locked_mask`. Raises ValueError for numbers that no bar with the locked cells can have.
    """
    free, struck, hits, row_hits = ~locked.view(shape), context.view(shape) > 0, constraints.hits, constraints.row_hits
    if any(not 0 <= row < shape[0] for row in row_hits):
        raise ValueError(f"row_hits: expected rows 0 to {shape[0] - 1}, found {sorted(row_hits)}")
    groups = [(f"row_hits, row {row}", [row], 0, count) for row, count in sorted(row_hits.items())]
    if hits is not None:
        groups.append(("hits", [row for row in range(shape[0]) if row not in row_hits], sum(row_hits.values()), hits))
    counts = []
    for name, rows, elsewhere, count in groups:
        group = torch.zeros_like(free)
        group[rows] = free[rows]
        least, most = (elsewhere + int(cells[rows].sum()) for cells in (struck, struck | free))
        if not least <= count <= most:
            raise ValueError(f"{name}: expected {least} to {most}, found {count}")
        counts.append((group.flatten(), count - least))
    return counts


def draw_with_counts(decoder, counts, condition, noise):
    """One bar (1, cells) with exactly so many hits in each group of cells, from noise (1, cells).

    For each group in turn, of nine common shifts of its logits the one whose bar is nearest in hits is taken, the
    smallest among equals; then the least likely hits go, or the likeliest come, half of what is missing at a time,
    as each changes what is likely around it.
    """
    shifts = 3 * torch.linspace(-1, 1, 9)[:, None]
    shifts = shifts * shifts.abs() / 3  # dense near 0
    for group, count in counts:
        noises = noise + shifts * group                                               # (9, cells)
        bars = decoder.draw(condition.expand(9, -1), noises)
        best = (((bars * group).sum(-1) - count).abs() + shifts[:, 0].abs() / 100).argmin()
        bar, noise = bars[best][None], noises[best][None]
    while any(excesses := [int((bar[0] * group).sum().item()) - count for group, count in counts]):
        margin = (decoder.logits(bar, condition) + noise)[0]                          # (cells,)
        for (group, _), excess in zip(counts, excesses):
            sign, hit = (1, 1.0) if excess > 0 else (-1, 0.0)
            of_group = (sign * margin).masked_fill(~group | (bar[0] != hit), math.inf)
            bar[0, of_group.argsort()[:(abs(excess) + 1) // 2]] = 1 - hit
    return bar
