"""patterns/paths: to be written."""

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from patterns.sampling import Constraints, draw, humanise, noise_field

BEAT = STEPS_PER_BAR // 4
KICK, SNARE, CYMBAL, TOM = (INSTRUMENTS.index(name) for name in ("Kick", "Snare", "Cymb", "Tom"))
FILL_LOGIT_BIAS = {"Snare": 1.0, "Tom": 1.3, "HHO": -1.0, "HHC": -1.0, "Cymb": -1.0}  # what a fill plays more, what less
FILL_TILTS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # in logits: how far it leans
FILL_HITS = 3  # of snare and toms a beat, at least
CRASH_VELOCITY, KICK_VELOCITY = 112, 104


# Paths and fills -------------------------------------------------------------------------------------------------

def interpolate(model, start, end, count, fills=True, seed=0, constraints=None):
    """`count` bars on the straight way from one code to another, both ends included: (bars, codes).

    With fills, as a drummer marks the form: the last bar plays a fill in its last two beats, before the turn back to
    the first, and each fourth bar before it one in its last beat; the bar after a fill opens with a crash and a kick.
    These hits come on top of a density that was asked for. A path of one bar, or locked rows, are left as they are.
    """
    codes = np.linspace(start, end, count).astype(np.float32)  # (count, latent)
    asked = constraints or Constraints()
    bars = draw(model, codes, seed, asked)
    if not fills or count < 2:
        return bars, codes
    kept = [] if asked.locked is None else list(asked.locked_rows)
    beats = {bar: 1 for bar in range(3, count - 1, 4)} | {count - 1: 2}
    for i, length in beats.items():
        bars[i] = fill(model, bars[i], codes[i], length, seed, asked.style, asked.temperature, kept)
        after = bars[(i + 1) % count]
        for row, velocity in ((CYMBAL, CRASH_VELOCITY), (KICK, KICK_VELOCITY)):
            if row not in kept:
                after[row, 0] = max(after[row, 0], velocity)
    return bars, codes


def fill(model, bar, code, beats=1, seed=0, style=None, temperature=1.0, kept=()):
    """A bar (8, 64) whose last beats are a fill: uint8, (8, 64); what comes before stays, and the rows `kept`.

    The model goes on from what has been played, leaning from hats and cymbals towards snare and toms on the sixteenths,
    no more than it takes to have some hits of them on each beat.
    """
    hits = torch.as_tensor(np.asarray(bar) > 0)
    fixed = torch.zeros(hits.shape, dtype=torch.bool)
    fixed[:, :STEPS_PER_BAR - BEAT * beats] = True
    fixed[list(kept)] = True
    lean = torch.tensor([FILL_LOGIT_BIAS.get(name, 0.0) for name in INSTRUMENTS])[:, None].repeat(1, STEPS_PER_BAR)
    off_grid = torch.arange(STEPS_PER_BAR) % (BEAT // 4) != 0
    lean[:, off_grid] = lean[:, off_grid].clamp(max=0)
    with torch.no_grad():
        z = torch.as_tensor(code)[None]
        noise = temperature * noise_field(z, hits.numel(), 1, seed)[0]                # (1, cells)
        noises = torch.cat([noise + tilt * lean.flatten() for tilt in FILL_TILTS])              # (tilts, cells)
        noises = torch.where(fixed.flatten(), 1e6 * (2 * hits.flatten() - 1.0), noises)
        cells = model.decoder.draw(model.tell(z, style).expand(len(noises), -1), noises).view(-1, *hits.shape)
    drums = cells[:, [SNARE, TOM], -BEAT * beats:].sum((1, 2)).tolist()
    chosen = next((i for i, count in enumerate(drums) if count >= FILL_HITS * beats), int(np.argmax(drums)))
    struck = humanise(model, cells[chosen][None].numpy(), z.numpy(), style, seed, temperature)[0]
    return np.where(fixed.numpy(), bar, struck)
