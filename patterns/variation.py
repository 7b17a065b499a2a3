"""One bar as it goes on: the velocity of a new hit, the bars that follow, and bars that evolve cell by cell.

    velocity = expected_velocity(model, bar, SNARE, 16, code)       # of a new hit there, 1 to 127
"""

import numpy as np
import torch

from patterns.sampling import Constraints, as_bars, as_codes

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
    latent = z.new_zeros(1, model.velocity_latent)  # unknown, of an empty bar
    if model.velocity_latent and bar.any():
        latent = model.encode_velocities(x, style)[0]
    hits, place = model.binarise(x), row * model.shape[1] + step
    hits[0, place] = 1.0
    condition = torch.cat([model.with_condition(z, style), latent], -1)
    mean, _ = model.velocity_net.distribution(hits, x.flatten(1).float(), condition)
    return int(mean[0, place].round().clamp(1, 127))
