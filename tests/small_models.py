"""Small untrained models of bars, and bars to try them with."""

import itertools
import math

import numpy as np
import torch

from models import BernoulliVAE
from patterns import sampling


def make(latent=2, dtype=torch.float64, strength=3.0, **config):
    """An untrained model whose weights are strong enough that every cell and code matters."""
    torch.manual_seed(0)
    model = BernoulliVAE(latent=latent, **config).to(dtype)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter *= strength
    model.binarise = lambda x: (x > 0).flatten(1).to(dtype)  # the model's own hits are always float32
    return model.eval()


def all_examples(shape):
    """Every 0/1 example of a shape: (2^cells, *shape)."""
    return torch.tensor(list(itertools.product((0, 1), repeat=math.prod(shape)))).view(-1, *shape)


def random_bars(shape=(8, 64), count=3, share=0.1, seed=0):
    """Bars of any velocities, a share of whose cells is struck: uint8 (count, *shape)."""
    random = np.random.default_rng(seed)
    return torch.tensor(random.integers(1, 128, (count, *shape)) * (random.random((count, *shape)) < share)).byte()


def make_drum_model(decoder):
    """A model of bars of about 40 hits, as drummers play."""
    torch.manual_seed(2)
    model = BernoulliVAE(latent=2, hidden=(16,), decoder=decoder, width=16, velocities=True)
    with torch.no_grad():
        model.decoder.out.bias -= 2.5
    return model.eval()


def drawn(model, z, seed=0, **asked):
    """What sampling.draw gives, as a tensor."""
    return torch.as_tensor(sampling.draw(model, z, seed, sampling.Constraints(**asked)))


def humanised(model, bars, *given, **more):
    """What sampling.humanise gives, as a tensor."""
    return torch.as_tensor(sampling.humanise(model, bars, *given, **more))
