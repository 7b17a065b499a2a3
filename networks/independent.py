"""Networks of linear layers: an encoder's, and the decoder that gives all cells of an example at once.

    net = mlp([512, 256, 4])                                          # 512 -> 256 -> SiLU -> 4
    decoder = IndependentDecoder((8, 64), 2, (256,), "SiLU")
    cells = decoder.draw(z, noise)                                    # (B, 2), (B, 512) -> (B, 512) of 0.0 and 1.0
"""

import contextlib
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

ACTIVATIONS = {"SiLU": nn.SiLU, "ReLU": nn.ReLU, "Tanh": nn.Tanh}


def check_sizes(**sizes):
    """ValueError, naming it, unless each is a whole number of at least 1, or a list or tuple of such."""
    for name, size in sizes.items():
        for value in size if isinstance(size, (list, tuple)) else [size]:
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected whole numbers of at least 1, found {size!r}")


def logistic_noise(shape, generator=None):
    """Standard logistic variables: logit + noise > 0 with probability sigmoid(logit)."""
    uniform = torch.rand(shape, generator=generator).clamp(1e-7, 1 - 1e-7)
    return torch.log(uniform) - torch.log1p(-uniform)


def principal_plane(codes):
    """Centre (latent,) and axes (2, latent) of the plane of the two principal components of codes (n, latent), float64;
    the first two axes of the space where latent or n is at most 2."""
    codes = np.asarray(codes, dtype=float)
    if min(codes.shape) <= 2:
        return np.zeros(codes.shape[1]), np.eye(2, codes.shape[1])
    axes = np.linalg.eigh(np.cov(codes.T))[1][:, :-3:-1].T                            # (2, latent), largest first
    largest = np.abs(axes).argmax(axis=1)[:, None]
    return codes.mean(axis=0), axes * np.sign(np.take_along_axis(axes, largest, 1))  # a sign is arbitrary: fix it


def precision(net, x):
    """The context in which a net computes on x: bfloat16 in training where its `low_precision` is set."""
    low = net.low_precision and net.training
    return torch.autocast(x.device.type, torch.bfloat16) if low else contextlib.nullcontext()


def mlp(sizes, activation="SiLU"):
    """Linear layers of the given sizes with an activation of ACTIVATIONS between them, none after the last."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, found {activation!r}")
    layers = []
    for size_in, size_out in zip(sizes[:-1], sizes[1:]):
        layers += [nn.Linear(size_in, size_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


class Decoder(nn.Module):
    """p(x | z) of 0/1 cells by the logits that a subclass gives as `parameters_of`, and draws by its `decode`."""

    def logits(self, cells, z, context=None):
        """The logit of each cell given those drawn before it: (B, cells), (B, latent) -> (B, cells)."""
        return self.parameters_of(cells, z, context).flatten(1)

    def draw(self, z, noise):
        """The cells whose logit + noise is above 0: with logistic noise, a draw from p(x | z).  -> (B, cells)"""
        noise = noise.view(-1, *self.shape)
        return self.decode(z, lambda logits, i: (logits[:, 0] + noise[i] > 0).float()).flatten(1)


class IndependentDecoder(Decoder):
    """p(x | z) in which cells are independent given the code: one pass gives the parameters of all of them.
    shape: of an example. latent: numbers of a code and its condition. hidden: sizes of the layers, the encoder's order.
    rate: of dropout of the last layer's units. outputs: parameters of the distribution of each cell."""

    def __init__(self, shape, latent, hidden, activation, rate=0.0, outputs=1):
        super().__init__()
        sizes = [latent, *reversed(hidden)]
        self.units = nn.Sequential(mlp(sizes, activation), ACTIVATIONS[activation]())
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
        choose(parameters, i): values (b, *shape) of the examples with indices i from (b, outputs, *shape)."""
        return choose(self.parameters_of(None, z), slice(None))
