"""Networks of linear layers: an encoder's, and the decoder that gives all cells of an example at once.

    net = mlp([512, 256, 4])                                          # 512 -> 256 -> SiLU -> 4
    decoder = IndependentDecoder((8, 64), 2, (256,), torch.nn.SiLU)
    cells = decoder.draw(z, noise)                                    # (B, 2), (B, 512) -> (B, 512) of 0.0 and 1.0
"""

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
    """p(x | z) in which cells are independent given the code: one pass gives the parameters of all of them.

    shape: of an example. latent: numbers of a code and its condition. hidden: sizes of the layers, the encoder's order.
    rate: of dropout of the last layer's units. outputs: parameters of the distribution of each cell.
    """

    def __init__(self, shape, latent, hidden, activation, rate=0.0, outputs=1):
        super().__init__()
        sizes = [latent, *reversed(hidden)]
        self.units = nn.Sequential(mlp(sizes, activation), activation())
        self.out = nn.Linear(sizes[-1], outputs * math.prod(shape))
        self.shape, self.outputs, self.rate = tuple(shape), outputs, rate

    def initialise_from_data(self, bias, counts):
        """Begin with the same parameters `bias` (outputs,) for every cell; None leaves them."""
        if bias is not None:
            self.out.bias.copy_(bias.repeat_interleave(math.prod(self.shape)))

    def cached_context(self, values):
        """None: a cell depends on no other."""
        return None

    def parameters_of(self, values, z, context=None):
        """The parameters of each cell; `values` is not used: (B, latent) -> (B, outputs, *shape)."""
        units = F.dropout(self.units(z), self.rate, self.training)                    # (B, hidden[0])
        return self.out(units).view(-1, self.outputs, *self.shape)

    def decode(self, z, choose):
        """The example in which each cell is what `choose` makes of its parameters: (B, latent) -> (B, *shape).

        choose(parameters, i): values (b, *shape) of the examples with indices i from (b, outputs, *shape).
        """
        return choose(self.parameters_of(None, z), slice(None))

    def logits(self, cells, z, context=None):
        """The logit of each cell; `cells` is not used: (B, latent) -> (B, cells)."""
        return self.parameters_of(None, z).flatten(1)

    def draw(self, z, noise):
        """The cells whose logit + noise is above 0: with logistic noise, a draw from p(x | z).  -> (B, cells)"""
        return (self.logits(None, z) + noise > 0).float()
