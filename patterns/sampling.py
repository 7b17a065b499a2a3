"""Bars under a musician's wishes: rows that are kept, exact numbers of hits; for any decoder of bars.

Both are drawn from the model's own distribution as far as the wish allows: noise and logits decide, and what was asked
for shifts them. Tensors to tensors.
"""

import functools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

from models import logistic_noise


REDRAWS = 8  # of a bar that came out empty
LOCKED_CANDIDATES = 16  # bars drawn around locked rows, of which one is taken


@dataclass(frozen=True)
class Constraints:
    """What a musician asks of the bars that a model draws.

    style: the model's number of it, None for any; for `draw` also one for each bar. hits: the exact number in a bar,
    None for the model's own. row_hits: {row: exact number}. Either is reached by shifting the logits of all cells that
    it speaks of together, and then by the hits that are the least unlikely to go or come. temperature scales the noise:
    0 is the likelier choice at each cell. locked: a bar (8, 64) whose rows `locked_rows` stay as they are, velocities
    too; of several bars drawn around them, one is chosen by how well the locked cells fit into it.
    """

    style: object = None
    hits: int | None = None
    row_hits: dict = field(default_factory=dict)
    temperature: float = 1.0
    locked: np.ndarray | None = None
    locked_rows: tuple = ()


def style_index(model, name):
    """The number by which the model knows a style; None for "any". ValueError that lists the styles it knows."""
    if name is None or name.lower() == "any":
        return None
    if not model.styles:
        raise ValueError(f"style: expected any, since the model was told no styles in training, found {name!r}")
    found = [index for index, style in enumerate(model.styles) if style.lower() == name.lower()]
    if not found:
        raise ValueError(f"style: expected any, {', '.join(model.styles)}; found {name!r}")
    return found[0]


def encode(model, bars, style=None):
    """The codes at which bars (n, 8, 64) land: float32, (n, latent)."""
    with torch.no_grad():
        return model.encode(torch.as_tensor(np.asarray(bars)), style=style)[0].numpy()


def as_codes(codes):
    """Codes of any kind as a float32 tensor."""
    return torch.as_tensor(np.asarray(codes, np.float32))


def draw(model, codes, seed=0, constraints=None):
    """The bar that stands at each code: (n, latent) -> uint8 (n, 8, 64), velocities.

    Each bar is a draw from p(x | z) whose noise is given by the seed and changes slowly over the codes: a point has one
    bar, near points have near bars, and far points draw anew. A bar that comes out empty is drawn again. Raises
    ValueError for codes that are not finite, and for constraints that no bar can meet.
    """
    asked, z, seed = constraints or Constraints(), as_codes(codes), seed or 0
    if z.ndim != 2 or z.shape[1] != model.latent or not torch.isfinite(z).all():
        raise ValueError(f"codes: expected finite ones of shape (n, {model.latent}), found {tuple(z.shape)}")
    if not asked.temperature >= 0:
        raise ValueError(f"temperature: expected at least 0, found {asked.temperature}")
    with torch.no_grad():
        return _draw(model, z, seed, asked).numpy()


def _draw(model, z, seed, asked):
    """`draw` for codes and constraints that were checked: a tensor."""
    cells_count, told, kept, known = math.prod(model.shape), model.tell(z, asked.style), None, None
    if asked.locked is not None and len(asked.locked_rows):
        kept, known = locked_mask(model.shape, asked.locked, asked.locked_rows, z.device)
    targets = count_constraints(model.shape, asked.hits, asked.row_hits, kept, known, z.device)
    candidates = 1 if kept is None else LOCKED_CANDIDATES
    noise = asked.temperature * noise_field(z, cells_count, candidates + 2, seed)     # (n, candidates + 2, cells)
    if kept is not None:
        noise[:, :-2] = torch.where(kept, 1e6 * (2 * (known > 0) - 1.0), noise[:, :-2])
        choice = logistic_noise((len(z), candidates), torch.Generator().manual_seed(seed)).to(z.device)
        noise = torch.stack([resample_noise(model.decoder, told[i:i + 1], noise[i], kept, asked.temperature * choice[i])
                             for i in range(len(z))])                                 # (n, 3, cells)
    if targets:
        cells = torch.cat([draw_with_counts(model.decoder, targets, told[i:i + 1], noise[i, :1]) for i in range(len(z))])
    elif kept is not None:
        cells = model.decoder.draw(told, noise[:, 0])
    else:
        cells = redraw_empty(model.decoder, told, noise[:, 0], lambda empty, attempt: asked.temperature * noise_field(
            z[empty], cells_count, 1, seed + 7919 * (attempt + 1))[:, 0])
    return model.with_velocities(cells, told, noise[:, -2:], None if kept is None else kept * known)


def draw_independent(model, z, generator=None, style=None):
    """Bars drawn from p(x | z, not empty), independent of each other: (n, latent) -> uint8 (n, 8, 64)."""
    with torch.no_grad():
        noise = logistic_noise((len(z), 3, math.prod(model.shape)), generator).to(z.device)
        told = model.tell(z, style)
        cells = redraw_empty(model.decoder, told, noise[:, 0], lambda empty, _: logistic_noise(
            (int(empty.sum()), noise.shape[-1]), generator).to(z.device))
        return model.with_velocities(cells, told, noise[:, 1:]).numpy()


def redraw_empty(decoder, told, noise, again):
    """The cells drawn by noise (n, cells); where none is struck, drawn by other noise, again(which (n,), attempt).

    No example to learn from is empty, and yet a draw is, once in a thousand. After REDRAWS it may be.
    """
    cells = decoder.draw(told, noise)
    for attempt in range(REDRAWS):
        empty = ~cells.any(-1)
        if not empty.any():
            break
        cells[empty] = decoder.draw(told[empty], again(empty, attempt))
    return cells


def humanise(model, bars, codes=None, style=None, seed=0, temperature=1.0, touch=None):
    """The same hits, struck as a drummer would: bars (n, 8, 64) -> uint8 (n, 8, 64), velocities of the model's.

    codes (n, latent): to strike them by; None for the bars' own. touch (n, touch): of the bars; None draws one.
    """
    x = torch.as_tensor(np.asarray(bars))
    if x.ndim != 1 + len(model.shape) or x.shape[1:] != model.shape:
        raise ValueError(f"bars: expected shape (n, {', '.join(map(str, model.shape))}), found {tuple(x.shape)}")
    with torch.no_grad():
        z = model.encode(x, style)[0] if codes is None else as_codes(codes)
        noise = temperature * noise_field(z, math.prod(model.shape), 3, seed)[:, 1:]
        return model.with_velocities(model.cells(x), model.tell(z, style), noise, touch=touch).numpy()


FIRST_TAKE = 8  # seed 0 shall be a take of the shipped map in which most bars begin with a kick and have a backbeat


def noise_field(z, cells, count, seed, reach=3.0, waves=32):
    """Logistic noise that changes slowly over the latent space: (B, latent) -> (B, count, cells).

    A Gaussian process with covariance exp(-distance^2 / (2 reach^2)), as a sum of waves with random directions
    (Rahimi and Recht 2007, "Random Features"), brought to the logistic distribution. At one point, over the seeds, it
    is just independent logistic noise; at one seed, near points have near noise and far points have their own.
    """
    frequencies, weights = fourier_features(z.shape[1], count * cells, seed or 0, waves)
    phases = z.float() @ frequencies.to(z.device).T / reach                           # (B, waves)
    normal = torch.cat([phases.cos(), phases.sin()], -1) @ weights.to(z.device)       # (B, count * cells)
    return torch.logit(torch.special.ndtr(normal), eps=1e-7).view(-1, count, cells)


@functools.lru_cache(maxsize=4)
def fourier_features(latent, numbers, seed, waves):
    """The waves of a seed, kept for the next click: directions (waves, latent), weights (2 waves, numbers)."""
    generator = torch.Generator().manual_seed(seed + FIRST_TAKE)
    return (torch.randn(waves, latent, generator=generator),
            torch.randn(2 * waves, numbers, generator=generator) / math.sqrt(waves))


def locked_mask(shape, bar, rows, device):
    """Which cells are locked, (cells,) bool, and the velocities of all cells of the bar that holds them."""
    bar = torch.as_tensor(bar, device=device)
    if bar.shape != shape or not all(0 <= row < shape[0] for row in rows):
        raise ValueError(f"locked: expected a bar {shape} and rows of it, found {tuple(bar.shape)}, {rows}")
    kept = torch.zeros(shape, dtype=torch.bool, device=device)
    kept[list(rows)] = True
    return kept.flatten(), bar.flatten().float()


def count_constraints(shape, hits, row_hits, kept, known, device):
    """What is asked of a bar's hits: a list of (free cells (cells,) bool, hits wanted among them)."""
    free = torch.ones(shape, dtype=torch.bool, device=device)
    there = torch.zeros(shape, dtype=torch.bool, device=device)
    if kept is not None:
        free, there = ~kept.view(shape), (kept & (known > 0)).view(shape)
    row_hits = row_hits or {}
    if any(not 0 <= row < shape[0] for row in row_hits):
        raise ValueError(f"row_hits: expected rows 0 to {shape[0] - 1}, found {sorted(row_hits)}")
    groups = [(f"row_hits, row {row}", [row], count) for row, count in sorted(row_hits.items())]
    if hits is not None:
        rest = [row for row in range(shape[0]) if row not in row_hits]
        groups.append(("hits", rest, hits - sum(row_hits.values())))
    targets = []
    for name, rows, count in groups:
        mask = torch.zeros_like(free)
        mask[rows] = free[rows]
        fixed = int(there[rows].sum())
        if not fixed <= count <= fixed + int(mask.sum()):
            asked, low = (hits, hits - count + fixed) if name == "hits" else (count, fixed)
            raise ValueError(f"{name}: expected {low} to {low + int(mask.sum())}, found {asked}")
        targets.append((mask.flatten(), count - fixed))
    return targets


def resample_noise(decoder, told, noise, kept, choice):
    """Of several noises, (n + 2, cells), one whose bar the locked cells fit, and the last two: (3, cells).

    Drawn by weight (sampling importance resampling, Rubin 1987): the likelihood of the locked cells, which were
    forced, given all that came before them. choice: noise (n,), zeros to take the best.
    """
    told = told.expand(len(noise) - 2, -1)
    cells = decoder.draw(told, noise[:-2])
    logits = decoder.logits(cells, told)
    weights = torch.where(kept, cells * logits - F.softplus(logits), 0.0).sum(-1)
    return noise[[int((weights + choice).argmax()), -2, -1]]


def draw_with_counts(decoder, targets, told, noise):
    """One bar (1, cells) with just so many hits in each group of cells, beginning with noise (1, cells).

    For each group in turn, of nine common shifts of its logits the one whose bar is nearest in hits is taken, the
    smallest among equals; then the least likely hits go, or the likeliest come, half of what is missing at a time,
    as each changes what is likely around it.
    """
    shifts = 3 * torch.linspace(-1, 1, 9, device=told.device)[:, None]
    shifts = shifts * shifts.abs() / 3  # dense near 0
    for group, count in targets:
        noises = noise + shifts * group
        bars = decoder.draw(told.expand(9, -1), noises)
        best = (((bars * group).sum(-1) - count).abs() + shifts[:, 0].abs() / 100).argmin()
        bar, noise = bars[best][None], noises[best][None]
    while any(excesses := [int((bar[0] * group).sum().item()) - count for group, count in targets]):
        margin = (decoder.logits(bar, told) + noise)[0]
        for (group, _), excess in zip(targets, excesses):
            some = (abs(excess) + 1) // 2
            if excess > 0:
                bar[0, margin.masked_fill(~group | (bar[0] == 0), math.inf).argsort()[:some]] = 0.0
            elif excess < 0:
                bar[0, margin.masked_fill(~group | (bar[0] == 1), -math.inf).argsort(descending=True)[:some]] = 1.0
    return bar
