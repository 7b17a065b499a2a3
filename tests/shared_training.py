"""What test_training.py trains in one process, and in two of torchrun: ... --nproc_per_node=2 shared_training.py OUT"""

import itertools
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from learning.training import Examples, TrainingSettings, fit
from models import VAE, BernoulliVAE

SEEDS = range(8)
ROWS = torch.randn(43, 4, generator=torch.Generator().manual_seed(0))  # of batches of 8 the last has three rows
BARS = (torch.rand(43, 8, 64, generator=torch.Generator().manual_seed(1)) < 0.05).byte() * 100


class Stop(Exception):
    """A failure of the machine."""


class StillVAE(VAE):
    """A VAE of four numbers whose code has next to no noise: nothing in its training is left to chance."""

    def __init__(self, latent=2):
        super().__init__(latent=latent)
        self.net, self.out = torch.nn.Linear(4, latent), torch.nn.Linear(latent, 4)

    def encode(self, x):
        mean = self.net(x)
        return mean, torch.full_like(mean, -60.0)

    def log_likelihood(self, x, z):
        return -(x - self.out(z)).square().sum(-1)


def train_still(folder):
    """Three epochs without noise; gives the history."""
    torch.manual_seed(0)
    settings = TrainingSettings(epochs=3, batch_size=8, learning_rate=0.02, device="cpu")
    return fit(StillVAE(), Examples(ROWS), Examples(ROWS[:9]), folder, settings)


def train_bars(folder, seed=0, epochs=2, augment=None, resume=False):
    """Epochs on bars, with noise, dropout, styles, velocities and free bits; gives the history."""
    torch.manual_seed(seed)
    model = BernoulliVAE(hidden=(8,), decoder="causal", width=8, velocities=True, dropout=0.3, styles=["FUNK", "ROCK"])
    settings = TrainingSettings(epochs=epochs, batch_size=8, learning_rate=0.02, free_bits=0.05, seed=seed,
                                device="cpu", resume=resume)
    return fit(model, Examples(BARS, {"style": torch.arange(43) % 2}), Examples(BARS[:9]), folder, settings, augment)


def fail_at(call):
    """An `augment` that fails at its call of that number."""
    calls = itertools.count(1)

    def augment(x, generator):
        if next(calls) == call:
            raise Stop
        return x
    return augment


def train_all(folder):
    """Every training of this file, in folders of its own within `folder`."""
    train_still(folder / "still")
    for seed in SEEDS:
        train_bars(folder / f"bars-{seed}", seed)
    train_bars(folder / "whole", epochs=3)
    try:
        train_bars(folder / "broken", epochs=3, augment=fail_at(15))  # in the third epoch of 6 steps
    except Stop:
        pass
    torch.rand(7)  # the state of torch's own generator is of no account
    train_bars(folder / "broken", epochs=3, resume=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_all(Path(sys.argv[1]))
