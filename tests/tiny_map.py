"""A small model with a map, for tests of the window: untrained, but each point has a bar of its own."""

import numpy as np
import torch

import models
from formats import checkpoint
from patterns.dataset import pack_hits
from patterns import latent_map, sampling

STYLES = ["funk", "jazz", "rock"]


def write_tiny_map(path, latent=2, bars=300):
    """Save a BernoulliVAE whose bars have some 10 to 40 hits, with codes of three styles; return the model, loaded.

    Its map says that it was trained on bars that it draws itself.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = models.BernoulliVAE(latent=latent, hidden=(32,), velocities=True, styles=STYLES)
        with torch.no_grad():
            *_, last = (layer for layer in model.decoder.modules() if isinstance(layer, torch.nn.Linear))
            last.weight.mul_(6)
            last.bias.fill_(-3.5)
        labels = torch.arange(bars) % 3
        codes = torch.randn(bars, latent) * 0.4 + torch.eye(3)[labels][:, :2] @ torch.ones(2, latent).tril()
        with torch.no_grad():
            played = torch.as_tensor(sampling.draw_independent(model, codes, torch.Generator().manual_seed(1), labels))
    checkpoint.save_checkpoint(path, model, map={"codes": codes, "labels": labels, "label_names": STYLES,
                                               "bars": pack_hits(played)})
    return latent_map.load_bar_model(path)


def a_bar(seed, hits=20):
    """A bar of so many hits anywhere, of any velocity: uint8 (8, 64)."""
    random = np.random.default_rng(seed)
    bar = np.zeros(512, np.uint8)
    bar[random.choice(512, hits, replace=False)] = random.integers(1, 128, hits)
    return bar.reshape(8, 64)
