"""A bar at a code: its score, timing and velocities, under a musician's constraints.

    model = load_bar_model("pretrained/bernoulli_map.pt")
    bars = draw(model, codes, seed=1, constraints=Constraints(style=style_index(model, "funk"), hits=20))
    own = anchor(model, bar, code)                                  # noise that gives this bar at this code
    bars = draw(model, near_codes, Surface(8).with_anchor(own))     # its variations

The decoder gives each cell of the score (which instruments sound at which sixteenths; of a model without levels, each
step) a logit, given the code and the cells before it. The cell is struck where logit + noise > 0: with standard
logistic noise, P(noise > -logit) = sigmoid(logit), so this is an exact draw from p(score | z). The noise is a function
of seed and code, see patterns/noise.py. Constraints act on it: a temperature scales it, locked cells get one that
decides them, exact counts shift it. Then each hit gets its step within the window of its sixteenth, and its velocity,
by noise of their own. All runs on the CPU, whose noise is the same everywhere.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

from models import logistic_noise
from patterns.noise import (DEFAULT_SEED, SCORE, TIMING, VELOCITY, VELOCITY_LATENT, Anchor, Morph, as_surface,
                            threshold_noise, to_normal)

REDRAWS = 8  # of a bar that is empty
CANDIDATES = 16  # bars drawn around locked rows, of which one is taken
COLDEST = 0.05  # temperature at which there still is noise that gives any bar
DECISIVE = 1e6  # noise that no logit outweighs
CLOSEST = 1e-3  # codes between which a morph goes: by the code it knows how far it is
STEADY, TEMPERATURE = 0.9, 0.85  # of the bar that a click asks for: a loop


@dataclass(frozen=True)
class Constraints:
    """What the bars that are drawn have to meet.

    style: its number in the model, None for any; for `draw` also one for each bar. steady: how like its neighbours a
    bar is, from 0, a fill, to 1; None for any. timing: how it is played, see `patterns.dataset.timings`; None for any.
    hits: the exact number in a bar, None for the model's own. row_hits: {row: exact number}. temperature: scale of the
    score's noise; at 0 each cell of it takes its likelier value. locked: a bar (8, 64) whose rows
    `locked_rows` stay as they are, velocities too.
    """

    style: object = None
    hits: int | None = None
    row_hits: dict = field(default_factory=dict)
    temperature: float = 1.0
    locked: np.ndarray | None = None
    locked_rows: tuple = ()
    steady: float | None = None
    timing: tuple | None = None


CLICK = Constraints(steady=STEADY, temperature=TEMPERATURE)


@dataclass(frozen=True)
class Locked:
    """The locked rows of a bar: where its score is locked, bool (score cells,); its score and its velocities there,
    float (score cells,) and (cells,), 0 elsewhere."""

    where: torch.Tensor
    score: torch.Tensor
    velocities: torch.Tensor


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
    """The bar at each code, in velocities: (n, latent) -> uint8 (n, 8, 64). seed: or a Surface or Morph of noise.

    The same for the same code and seed, however many are drawn. A bar that comes out empty is drawn again, unless that
    was asked for. Raises ValueError for codes that are not finite, and for constraints that no bar can meet.
    """
    constraints, z, surface = constraints or Constraints(), as_codes(model, codes), as_surface(seed)
    if not constraints.temperature >= 0:
        raise ValueError(f"temperature: expected at least 0, found {constraints.temperature}")
    locked = locked_part(model, constraints)
    counts = count_constraints(model, constraints, locked)
    score = draw_score(model, z, surface, constraints, locked, counts)                # (n, score cells)
    return play(model, score, z, surface, constraints, single=bool(counts))


def as_codes(model, codes):
    """Codes as a tensor (n, latent); ValueError where they are none."""
    z = torch.as_tensor(np.asarray(codes, np.float32))
    if z.ndim != 2 or z.shape[1] != model.latent or not torch.isfinite(z).all():
        raise ValueError(f"codes: expected finite ones of shape (n, {model.latent}), found {tuple(z.shape)}")
    return z


def draw_score(model, z, surface, constraints, locked, counts):
    """The score at each code: (n, latent) -> (n, score cells) of 0 and 1. counts: see `count_constraints`."""
    decoder, cells, temperature = model.decoder, math.prod(model.score_shape), constraints.temperature
    condition = model.with_condition(z, constraints.style, None, constraints.steady)
    if locked.where.any():
        noise = locked_noise(decoder, condition, z, locked, constraints, surface)
    else:
        noise = temperature * surface.logistic(z, SCORE, (cells,))                    # (n, score cells)
    if counts:
        return torch.cat([draw_with_counts(decoder, counts, condition[i:i + 1], noise[i:i + 1])
                          for i in range(len(noise))])
    if locked.where.any():
        return decoder.draw(condition, noise)
    return redraw_empty(decoder, condition, noise, lambda empty, attempt: surface.logistic(
        z[empty], SCORE, (cells,), attempt))                                          # (n, score cells)


def play(model, score, z, surface, constraints, single=False):
    """A score as a bar: the steps and velocities of its hits, by noise; (n, score cells) -> uint8 (n, 8, 64).
    single: one hit a sixteenth. What is locked stays as it is."""
    locked, cells = locked_part(model, constraints), math.prod(model.shape)
    noise = surface.logistic(z, TIMING, (cells,))                                     # (n, cells)
    fixed = locked.velocities.expand(len(z), -1)                                      # (n, cells)
    hits = model.with_timing(score, noise, constraints.style, constraints.timing,
                             (fixed > 0).float() if fixed.any() else None, single)    # (n, cells)
    return strike(model, hits, z, surface, constraints.style, fixed).numpy()


def strike(model, hits, z, surface, style=None, fixed=None, velocity_latent=None, scale=1.0):
    """Velocities of hits by noise, times a scale: (n, cells) -> uint8 (n, 8, 64), see `with_velocities`."""
    noise = [scale * surface.logistic(z, level, (hits.shape[1],)) for level in (VELOCITY, VELOCITY_LATENT)]
    return model.with_velocities(hits, model.with_condition(z, style), torch.stack(noise, 1), fixed, velocity_latent)


@torch.no_grad()
def draw_independent(model, z, generator=None, style=None, steady=None):
    """Bars drawn from p(x | z, not empty), independent of each other: (n, latent) -> uint8 (n, 8, 64)."""
    bars, cells = [], math.prod(model.shape)
    for codes in z.split(500):
        condition, noise = model.with_condition(codes, style, None, steady), logistic_noise(
            (len(codes), 4, cells), generator)
        some = math.prod(model.score_shape)
        score = redraw_empty(model.decoder, condition, noise[:, 0, :some], lambda empty, _: logistic_noise(
            (int(empty.sum()), some), generator))                                     # (500, score cells)
        hits = model.with_timing(score, noise[:, 3], style)                           # (500, cells)
        bars.append(model.with_velocities(hits, model.with_condition(codes, style), noise[:, 1:3]))
    return torch.cat(bars).numpy()


def redraw_empty(decoder, condition, noise, new_noise):
    """Cells drawn by noise (n, cells), 0 or 1; empty bars again by other noise, new_noise(which (n,), attempt).

    No bar that was learned from is empty, yet one draw in a thousand is. After REDRAWS attempts it may stay so.
    """
    hits = decoder.draw(condition, noise)
    for attempt in range(1, REDRAWS + 1):
        if (empty := ~hits.any(-1)).any():
            hits[empty] = decoder.draw(condition[empty], new_noise(empty, attempt))
    return hits


@torch.no_grad()
def humanise(model, bars, codes=None, seed=DEFAULT_SEED, constraints=None, velocity_latent=None, scale=1.0):
    """The same hits with velocities of the model's, as a drummer would strike them: bars -> uint8, (n, 8, 64) each.

    Given codes (n, latent), None for the bars' own; constraints: their style, and rows that stay as they are; and
    velocity_latent, None to draw one. scale: of the noise, 0 for typical velocities.
    """
    x, constraints = as_bars(model, bars), constraints or Constraints()
    z = as_codes(model, encode(model, x, constraints.style) if codes is None else codes)
    fixed = locked_part(model, constraints).velocities.expand(len(z), -1)
    return strike(model, model.binarise(x), z, as_surface(seed), constraints.style, fixed, velocity_latent,
                  scale).numpy()


@torch.no_grad()
def play_anew(model, bars, codes=None, seed=DEFAULT_SEED, constraints=None):
    """The same score with timing and velocities of the model's: bars -> uint8, (n, 8, 64) each; see `humanise`."""
    x, constraints = as_bars(model, bars), constraints or Constraints()
    z = as_codes(model, encode(model, x, constraints.style) if codes is None else codes)
    single = constraints.hits is not None or bool(constraints.row_hits)
    return play(model, model.score(x), z, as_surface(seed), constraints, single)


def as_bars(model, bars):
    """Bars as a tensor (n, 8, 64); ValueError for another shape."""
    x = torch.as_tensor(np.asarray(bars))
    if x.shape[1:] != model.shape:
        raise ValueError(f"bars: expected shape (n, {', '.join(map(str, model.shape))}), found {tuple(x.shape)}")
    return x


@torch.no_grad()
def anchor(model, bar, code, constraints=None, seed=DEFAULT_SEED):
    """Noise by which a bar (8, 64) is drawn at a code (latent,) under constraints: an Anchor.

    Drawn by the seed from what the thresholds of its score and timing allow; its velocities come back to rounding.
    """
    constraints, generator = constraints or Constraints(), torch.Generator().manual_seed(seed)
    x, z = as_bars(model, bar[None]), as_codes(model, code[None])
    style, cells, score = constraints.style, model.binarise(x), model.score(x)        # (1, cells), (1, score cells)
    logits = model.decoder.logits(score, model.with_condition(z, style, None, constraints.steady))
    levels = [threshold_noise(logits / max(constraints.temperature, COLDEST), score > 0, generator)]
    free = torch.randn(3, 1, cells.shape[1], generator=generator)                     # (3, 1, cells)
    if model.timing_net is not None:
        steps = model.timing_net.logits(cells, model.with_condition(z[:, :0], style, None, None, constraints.timing))
        wanted = threshold_noise(steps, cells > 0, generator)
        free[0] = torch.where(model.timing_net.undecided(cells) > 0, wanted, free[0])
    if model.velocity_net is not None:
        free[1:] = velocity_noise(model, x, z, style, free[1:])
    return Anchor(z[0], tuple(level[0] for level in (*levels, *free)))


def velocity_noise(model, x, z, style, noise):
    """Normal noise of velocities and their latent that gives those of bars x (1, 8, 64): (2, 1, cells) -> same."""
    latent = model.encode_velocities(x, style)[0] if model.velocity_latent else z[:, :0]
    condition, true = torch.cat([model.with_condition(z, style), latent], -1), x.flatten(1).float()
    mean, log_scale = model.velocity_net.distribution(model.binarise(x), true, condition)
    struck = torch.where(true > 0, to_normal((true - mean) * torch.exp(-log_scale)), noise[0])
    return torch.stack([struck, torch.cat([latent, noise[1, :, latent.shape[1]:]], -1)])


@torch.no_grad()
def anchor_at(model, code, seed=DEFAULT_SEED):
    """The noise that a surface has at a code (latent,), as an Anchor."""
    z, surface, cells = as_codes(model, code[None]), as_surface(seed), math.prod(model.shape)
    shapes = [(math.prod(model.score_shape),), *[(cells,)] * 3]
    return Anchor(z[0], tuple(surface.normal(z, level, shape)[0] for level, shape in enumerate(shapes)))


def morph(model, start, end, count, constraints=None):
    """`count` bars from one Anchor to another, both included, each a bar of the model: uint8 (count, 8, 64).
    start, end: see `anchor` and `anchor_at`. Raises what `draw` raises."""
    share = torch.linspace(0, 1, count)[:, None]                                      # (count, 1)
    codes = start.code + share * (end.code - start.code)                              # (count, latent)
    return draw(model, codes, Morph(start, end), constraints)


def morph_of_bars(model, ends, codes, count, constraints):
    """`count` bars from one bar to another, and their codes: (uint8 (count, 8, 64), (count, latent)).

    ends: both bars, uint8 (2, 8, 64), which come back to the last bit unless exact counts are asked for. codes: where
    they lie, (2, latent). Raises what `draw` raises.
    """
    codes = np.array(codes, np.float32)
    codes[1] += CLOSEST * (np.abs(codes[1] - codes[0]).max() < CLOSEST)
    bars = morph(model, *(anchor(model, *end, constraints) for end in zip(ends, codes)), count, constraints)
    if (constraints.hits, constraints.row_hits) == (None, {}):
        bars[[0, -1]] = ends  # velocities to the last bit
    return bars, np.linspace(*codes, count).astype(np.float32)


def locked_part(model, constraints):
    """The `Locked` rows of the constraints; ValueError where they are no rows of a bar."""
    bar, rows, where = constraints.locked, constraints.locked_rows, torch.zeros(model.score_shape, dtype=torch.bool)
    velocities = torch.zeros(model.shape)
    if bar is None or not len(rows):
        return Locked(where.flatten(), where.flatten().float(), velocities.flatten())
    bar = torch.as_tensor(bar)
    if bar.shape != model.shape or not all(0 <= row < model.shape[0] for row in rows):
        raise ValueError(f"locked: expected a bar {model.shape} and rows of it, found {tuple(bar.shape)}, {rows}")
    where[list(rows)], velocities[list(rows)] = True, bar[list(rows)].float()
    return Locked(where.flatten(), model.score(velocities[None])[0], velocities.flatten())


def locked_noise(decoder, condition, z, locked, constraints, surface):
    """Noise by which locked cells come out as they are, chosen so that the others fit them: (n, score cells).

    Of CANDIDATES scores around the locked cells one is taken by sampling importance resampling (Rubin 1987): its weight
    is the likelihood of its locked cells, which were not drawn, given all that came before each. At temperature 0 the
    largest weight wins.
    """
    noise = constraints.temperature * surface.logistic(z, SCORE, (CANDIDATES, len(locked.where)))
    noise = torch.where(locked.where, DECISIVE * (2 * locked.score - 1.0), noise)
    choice = logistic_noise((len(z), CANDIDATES), torch.Generator().manual_seed(surface.seed))
    chosen = []
    for i, noises in enumerate(noise):
        repeated = condition[i].expand(CANDIDATES, -1)
        score = decoder.draw(repeated, noises)                                        # (candidates, score cells)
        logits = decoder.logits(score, repeated)
        log_weights = torch.where(locked.where, score * logits - F.softplus(logits), 0.0).sum(-1)
        chosen.append(noises[int((log_weights + constraints.temperature * choice[i]).argmax())])
    return torch.stack(chosen)


def count_constraints(model, constraints, locked):
    """The numbers of hits asked for: a list of (free cells of the score, bool (score cells,); hits among them).

    Each of them is one hit. Raises ValueError for numbers that no bar with the locked rows can have.
    """
    shape, free = model.score_shape, ~locked.where.view(model.score_shape)            # (8, 16)
    struck = (locked.velocities.view(model.shape) > 0).sum(1)                         # (8,)
    hits, row_hits = constraints.hits, constraints.row_hits
    if any(not 0 <= row < shape[0] for row in row_hits):
        raise ValueError(f"row_hits: expected rows 0 to {shape[0] - 1}, found {sorted(row_hits)}")
    groups = [(f"row_hits, row {row}", [row], 0, count) for row, count in sorted(row_hits.items())]
    if hits is not None:
        groups.append(("hits", [row for row in range(shape[0]) if row not in row_hits], sum(row_hits.values()), hits))
    counts = []
    for name, rows, elsewhere, count in groups:
        group = torch.zeros_like(free)
        group[rows] = free[rows]
        least = elsewhere + int(struck[rows].sum())
        most = least + int(group.sum())
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
