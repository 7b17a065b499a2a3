"""A walk through the latent space: several bars from one code to another, with the fills that mark the form.

    bars, codes = interpolate(model, plane.to_code(-1, 0), plane.to_code(1, 0.5), count=8, seed=1)
"""

from dataclasses import replace

import numpy as np
import torch

from formats.activation_matrix import CYMBAL, INSTRUMENTS, KICK, SNARE, STEPS_PER_BAR, TOM
from patterns.noise import DEFAULT_SEED, SCORE, as_surface
from patterns.sampling import DECISIVE, Constraints, draw, play

BEAT = STEPS_PER_BAR // 4
FILL_LOGIT_BIAS = {"Snare": 1.0, "Tom": 1.3, "HHO": -1.0, "HHC": -1.0, "Cymb": -1.0}  # towards what a fill plays more
FILL_SCALES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # of that bias, the smallest that gives FILL_HITS is taken
FILL_STEADY = 0.2  # how like its neighbours a bar with a fill is
FILL_HITS = 3  # of snare and toms a beat, at least
CRASH_VELOCITY, KICK_VELOCITY = 112, 104


def interpolate(model, start, end, count, fills=True, seed=DEFAULT_SEED, constraints=None):
    """`count` bars at even steps from one code (latent,) to another, both included: (bars, codes (count, latent)).

    With fills, of two bars or more: the last bar has a fill in its last two beats, each fourth bar before it one in its
    last beat, and the bar after a fill, the first after the last, opens with a crash and a kick. These hits come on top
    of exact counts of the constraints; locked rows stay as they are. Raises what `draw` raises.
    """
    codes = np.linspace(start, end, count).astype(np.float32)                         # (count, latent)
    constraints = constraints or Constraints()
    bars = draw(model, codes, seed, constraints)
    if not fills or count < 2:
        return bars, codes
    for i in (*range(3, count - 1, 4), count - 1):
        bars[i] = fill(model, bars[i], codes[i], 2 if i == count - 1 else 1, seed, constraints)
        bars[(i + 1) % count] = with_crash(bars[(i + 1) % count], constraints.locked_rows)
    return bars, codes


def with_crash(bar, locked_rows=()):
    """The bar (8, 64) that follows a fill: it opens with a crash and a kick, but for locked rows."""
    bar = bar.copy()
    for row, velocity in ((CYMBAL, CRASH_VELOCITY), (KICK, KICK_VELOCITY)):
        if row not in locked_rows:
            bar[row, 0] = max(bar[row, 0], velocity)
    return bar


def fill(model, bar, code, beats=1, seed=DEFAULT_SEED, constraints=Constraints()):
    """The bar (8, 64) with a fill in its last beats: uint8 (8, 64). What comes before it stays, and the locked rows.

    The model continues the score with a bias from hats and cymbals towards snare and toms, on sixteenths alone.
    """
    surface, z, shape = as_surface(seed), torch.as_tensor(code)[None], model.score_shape
    score = model.score(torch.as_tensor(bar[None])).view(shape)                       # (8, 16)
    column, last = torch.arange(shape[1]), shape[1] - shape[1] * beats // 4
    fixed = (column < last).expand(shape).clone()
    fixed[list(constraints.locked_rows)] = True
    bias = torch.tensor([FILL_LOGIT_BIAS.get(name, 0.0) for name in INSTRUMENTS])[:, None]
    bias = torch.where(column % (shape[1] // 16) == 0, bias, bias.clamp(max=0))       # (8, 16)
    with torch.no_grad():
        noise = constraints.temperature * surface.logistic(z, SCORE, (score.numel(),))  # (1, score cells)
        noise = torch.cat([noise + scale * bias.flatten() for scale in FILL_SCALES])  # (scales, score cells)
        noise = torch.where(fixed.flatten(), DECISIVE * (2 * score.flatten() - 1.0), noise)
        condition = model.with_condition(z, constraints.style, None, FILL_STEADY).expand(len(noise), -1)
        drawn = model.decoder.draw(condition, noise).view(-1, *shape)                 # (scales, 8, 16)
    drums = drawn[:, [SNARE, TOM], last:].sum((1, 2)).tolist()
    chosen = next((i for i, found in enumerate(drums) if found >= FILL_HITS * beats), int(np.argmax(drums)))
    made = play(model, drawn[chosen].view(1, -1), z, surface, replace(constraints, locked_rows=()))[0]
    return np.where(model.cells_of(fixed.view(1, -1))[0].view(bar.shape), bar, made)
