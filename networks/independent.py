"""networks/independent: to be written."""

import math

import torch.nn as nn
import torch.nn.functional as F


def mlp(sizes, activation=nn.SiLU):
    """Linear layers of the given sizes with the activation between them, none after the last."""
    layers = []
    for size_in, size_out in zip(sizes[:-1], sizes[1:]):
        layers += [nn.Linear(size_in, size_out), activation()]
    return nn.Sequential(*layers[:-1])


class IndependentDecoder(nn.Module):
    """p(x | z) with every cell on its own: one pass gives all cells' logits.  z (B, latent) -> (B, cells)"""

    def __init__(self, shape, latent, hidden, activation, rate=0.0):
        super().__init__()
        sizes = [latent, *reversed(hidden)]
        self.units = nn.Sequential(mlp(sizes, activation), activation())
        self.out = nn.Linear(sizes[-1], math.prod(shape))
        self.rate = rate

    def known(self, cells):
        """Nothing: the cells are told by the code alone."""
        return None

    def logits(self, cells, z, known=None):
        """Logits of all cells; `cells` is not looked at."""
        return self.out(F.dropout(self.units(z), self.rate, self.training))

    def draw(self, z, noise):
        """The cells whose logit + noise is above 0; with logistic noise, a draw from p(x | z)."""
        return (self.logits(None, z) + noise > 0).float()
