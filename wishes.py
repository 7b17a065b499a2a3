"""Bars under a musician's wishes: rows that are kept, exact numbers of hits; for any decoder of bars.

Both are drawn from the model's own distribution as far as the wish allows: noise and logits decide, and what was asked
for shifts them. Tensors to tensors.
"""

import math

import torch
import torch.nn.functional as F


def locked_cells(shape, bar, rows, device):
    """Which cells are locked, (cells,) bool, and the velocities of all cells of the bar that holds them."""
    bar = torch.as_tensor(bar, device=device)
    if bar.shape != shape or not all(0 <= row < shape[0] for row in rows):
        raise ValueError(f"locked: expected a bar {shape} and rows of it, found {tuple(bar.shape)}, {rows}")
    kept = torch.zeros(shape, dtype=torch.bool, device=device)
    kept[list(rows)] = True
    return kept.flatten(), bar.flatten().float()


def hit_targets(shape, hits, row_hits, kept, known, device):
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


def fitting_noise(decoder, told, noise, kept, choice):
    """Of several noises, (n + 2, cells), one whose bar the locked cells fit, and the last two: (3, cells).

    Drawn by weight (sampling importance resampling, Rubin 1987): the likelihood of the locked cells, which were
    forced, given all that came before them. choice: noise (n,), zeros to take the best.
    """
    told = told.expand(len(noise) - 2, -1)
    cells = decoder.draw(told, noise[:-2])
    logits = decoder.logits(cells, told)
    weights = torch.where(kept, cells * logits - F.softplus(logits), 0.0).sum(-1)
    return noise[[int((weights + choice).argmax()), -2, -1]]


def draw_exactly(decoder, targets, told, noise):
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
