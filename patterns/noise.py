"""What is random in a bar, as a function of the point of the latent space at which it is drawn.

    surface = Surface(seed=8)
    surface.logistic(z, SCORE, (128,))                              # (n, latent) -> (n, 128), near points alike
    surface.with_anchor(anchor)                                     # a bar of one's own lies on it

A bar is drawn by thresholds: a cell is struck where logit + noise > 0. So there is noise that gives any bar at any
point, an `Anchor`; around it the noise of the surface takes over. The noise of the score changes slowly over the
surface, so that near points have like scores; timing and velocities have noise of their own at each point.
"""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch

DEFAULT_SEED = 18  # where none is asked for: with it the steady clicks on the shipped map are as steady bars are
SCORE, TIMING, VELOCITY, VELOCITY_LATENT = range(4)  # the levels that have noise of their own
SCORE_REACH, PLAY_REACH = 0.2, 0.02  # distance over which the noise of the score changes; of the other levels
ANCHOR_REACH = 0.6  # distance over which the noise of an anchor gives way to that of the surface
WAVES = 64  # of a noise field
VARIED = 0.93  # of the noise of an anchor, what its variations keep


@dataclass(frozen=True)
class Anchor:
    """Noise that gives a certain bar at a code: code (latent,), and a standard normal tensor for each level."""

    code: torch.Tensor
    levels: tuple


@dataclass(frozen=True)
class Surface:
    """The noise of all points. seed: of the score; play_seed: of timing and velocities, None for the same. anchors:
    bars that lie on it."""

    seed: int = DEFAULT_SEED
    play_seed: int | None = None
    anchors: tuple = ()

    def with_anchor(self, *anchors):
        """The surface on which these lie, and no others."""
        return replace(self, anchors=anchors)

    def varied(self, share=VARIED):
        """The surface on which variations of its anchors lie: their noise is a share theirs, the rest its own."""
        own, rest = self.with_anchor(), math.sqrt(1 - share ** 2)
        return self.with_anchor(*(Anchor(anchor.code, tuple(
            share * noise + rest * own.normal(anchor.code[None], level, noise.shape)[0]
            for level, noise in enumerate(anchor.levels))) for anchor in self.anchors))

    def normal(self, z, level, shape, attempt=0):
        """Standard normal noise of a level at codes: (n, latent) -> (n, *shape)."""
        seed = self.seed if level == SCORE or self.play_seed is None else self.play_seed
        mixed = ((seed * 31 + level) * 1_000_003 + attempt) % 2 ** 63
        field = noise_field(z, math.prod(shape), mixed, SCORE_REACH if level == SCORE else PLAY_REACH)
        return self.near_anchors(z, level, field.view(-1, *shape), shape)

    def near_anchors(self, z, level, field, shape):
        """The field, and near an anchor that one's noise: at its code alone, at ANCHOR_REACH mostly the field."""
        if not self.anchors:
            return field
        codes = torch.stack([anchor.code for anchor in self.anchors])                 # (anchors, latent)
        distance, nearest = torch.cdist(z, codes).min(1)                              # (n,)
        share = torch.exp(-0.5 * (distance / ANCHOR_REACH) ** 2).view(-1, *[1] * len(shape))
        anchored = torch.stack([anchor.levels[level].expand(shape) for anchor in self.anchors])[nearest]
        return share * anchored + (1 - share ** 2).clamp(min=0).sqrt() * field

    def logistic(self, z, level, shape, attempt=0):
        """Standard logistic noise, as `normal`."""
        return to_logistic(self.normal(z, level, shape, attempt))


@dataclass(frozen=True)
class Morph:
    """The noise between two anchors: at a code that lies a share of the way from one to the other, of both."""

    start: Anchor
    end: Anchor
    seed = DEFAULT_SEED

    def normal(self, z, level, shape, attempt=0):
        """As `Surface.normal`, for codes between the anchors."""
        way = self.end.code - self.start.code                                         # (latent,)
        share = ((z - self.start.code) @ way / way.square().sum().clamp(min=1e-12)).clamp(0, 1)
        angle = (math.pi / 2 * share).view(-1, *[1] * len(shape))                     # (n, 1)
        one, other = self.start.levels[level].expand(shape), self.end.levels[level].expand(shape)
        alike = (one * other).mean().clamp(-0.9, 0.9)  # correlation: what is alike does not add up as variances do
        return (angle.cos() * one + angle.sin() * other) / (1 + alike * (2 * angle).sin()).sqrt()

    logistic = Surface.logistic


def as_surface(seed):
    """A seed as the Surface of it; a Surface or Morph as it is."""
    return Surface(int(seed)) if isinstance(seed, (int, np.integer)) else seed


def to_logistic(normal):
    """Standard normal variables as standard logistic ones, elementwise; exact in both tails."""
    return torch.special.log_ndtr(normal) - torch.special.log_ndtr(-normal)


def to_normal(logistic):
    """The inverse of `to_logistic`."""
    tail = torch.sigmoid(-logistic.double().abs().clamp(max=600))
    return (-torch.special.ndtri(tail) * logistic.sign()).to(logistic.dtype)


def noise_field(z, numbers, seed, reach):
    """Standard normal noise that changes over the latent space within a reach: (n, latent) -> (n, numbers).

    A Gaussian process of covariance exp(-distance^2 / (2 reach^2)) by random Fourier features (Rahimi and Recht 2007,
    "Random Features for Large-Scale Kernel Machines", section 3).
    """
    directions, weights = fourier_features(z.shape[1], numbers, seed)
    phase = z.float() @ directions.T / reach                                          # (n, waves)
    return torch.cat([phase.cos(), phase.sin()], -1) @ weights                        # (n, numbers)


@functools.lru_cache(maxsize=12)
def fourier_features(latent, numbers, seed):
    """The waves of a seed, cached for the next click: directions (waves, latent), weights (2 waves, numbers)."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(WAVES, latent, generator=generator),
            torch.randn(2 * WAVES, numbers, generator=generator) / math.sqrt(WAVES))


def threshold_noise(logits, struck, generator):
    """Normal noise n with to_logistic(n) > -logits exactly where struck, drawn from what that allows: (..., cells)."""
    probability = torch.sigmoid(torch.where(struck, logits, -logits).double())
    share = 0.02 + 0.96 * torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    tail = torch.special.ndtri((share * probability).clamp(min=1e-280))
    return torch.where(struck, -tail, tail).float()
