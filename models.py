"""The variational autoencoders: tensors to tensors; no files, no devices, no printing.

A VAE explains an example x by a code z: z ~ N(0, I), x ~ p(x | z), and learns an encoder q(z | x) = N(mean, variance)
beside the decoder by raising the evidence lower bound (Kingma and Welling 2014, "Auto-Encoding Variational Bayes",
eq. 3)

    log p(x)  >=  E_q [log p(x | z)]  -  KL(q(z | x) || N(0, I)).

Every model is built from plain numbers, which it keeps in `config`: `MODELS[name](**config)` builds it again.
All likelihoods are per example, shape (B,), in nats.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from decoders import (CausalDecoder, IndependentDecoder, VelocityNet, drop, logistic_log_likelihood,  # noqa: F401
                      logistic_noise, mlp)

LOG_VARIANCE_RANGE = (-12.0, 4.0)  # of q(z | x): bounded, so that no step can overflow
ACTIVATIONS = {"SiLU": nn.SiLU, "ReLU": nn.ReLU, "Tanh": nn.Tanh}


def check_sizes(**sizes):
    """ValueError, naming it, unless each is a whole number of at least 1, or a list or tuple of such."""
    for name, size in sizes.items():
        for value in size if isinstance(size, (list, tuple)) else [size]:
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected whole numbers of at least 1, found {size!r}")


def gaussian_kl(mean, log_variance):
    """KL(N(mean, variance) || N(0, I)) in nats (Kingma and Welling 2014, appendix B).  (B, latent) -> (B,)"""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)


def bernoulli_log_likelihood(cells, logits):
    """log p(cells) of 0/1 cells under independent Bernoulli variables given by their logits.  (..., C) -> (...)"""
    return (cells * logits - F.softplus(logits)).sum(-1)


class VAE(nn.Module):
    """What all our VAEs share: the bounds and the prior. A subclass gives `encode`, `log_likelihood`, `decode_sample`.

    condition: what else encoder and decoder are given, tensors of B rows: a class, or `dropout`, the `dropout_units`
    uniform numbers per example with which a training step drops units. Without it nothing is dropped.
    """

    dropout_units = 0

    def __init__(self, **config):
        super().__init__()
        self.config = config
        self.latent = config["latent"]
        check_sizes(latent=self.latent)

    def encode(self, x, **condition):
        """The code's mean and log-variance: (B, *shape) -> (B, latent), (B, latent)."""
        raise NotImplementedError

    def log_likelihood(self, x, z, **condition):
        """log p(x | z) in nats: (B, *shape), (B, latent) -> (B,)."""
        raise NotImplementedError

    def decode_sample(self, z, generator=None, **condition):
        """Draw x from p(x | z): (B, latent) -> (B, *shape)."""
        raise NotImplementedError

    def side_log_likelihood(self, x, z, **condition):
        """What else is learned beside the bound, in nats: (B,); zero unless a model says otherwise."""
        return z.new_zeros(len(z))

    def elbo(self, x, eps=None, **condition):
        """The two terms of the evidence lower bound, log_px - kl, each (B,) in nats.

        log_px is log p(x | z) at z = mean + deviation * eps (the reparametrisation, Kingma and Welling 2014, eq. 10);
        eps (B, latent) is standard normal: given, or drawn where None; zeros read the mean's code.
        """
        mean, log_variance = self.encode(x, **condition)
        eps = torch.randn_like(mean) if eps is None else eps
        z = mean + torch.exp(0.5 * log_variance) * eps
        return self.log_likelihood(x, z, **condition), gaussian_kl(mean, log_variance)

    def log_weights(self, x, eps, beta=1.0, **condition):
        """log of p(x | z) (p(z) / q(z | x))^beta at k codes per example: eps (k, B, latent) -> (k, B)."""
        mean, log_variance = self.encode(x, **condition)
        z = mean + torch.exp(0.5 * log_variance) * eps
        log_prior_ratio = 0.5 * (eps.square() + log_variance - z.square()).sum(-1)
        log_px = torch.stack([self.log_likelihood(x, codes, **condition) for codes in z])
        return log_px + beta * log_prior_ratio

    @torch.no_grad()
    def log_marginal(self, x, k=500, generator=None, **condition):
        """The importance-weighted bound on log p(x) with k codes (Burda et al. 2016, eq. 8), in nats: (B, ...) -> (B,).

        It grows with k, in expectation, towards log p(x).
        """
        if k < 1:
            raise ValueError(f"k: expected at least 1 sample, found {k}")
        device = next(self.parameters()).device
        total = torch.full((len(x),), -math.inf, device=device)
        for _ in range(k):  # one code at a time: memory stays that of one batch
            eps = torch.randn(1, len(x), self.latent, generator=generator).to(device)
            total = torch.logaddexp(total, self.log_weights(x, eps, **condition)[0])
        return total - math.log(k)

    @torch.no_grad()
    def sample(self, n, generator=None, **condition):
        """n examples drawn from the model: z from the prior, x from p(x | z).  -> (n, *shape)"""
        z = torch.randn(n, self.latent, generator=generator).to(next(self.parameters()).device)
        return self.decode_sample(z, generator, **condition)


class BernoulliVAE(VAE):
    """A VAE of 0/1 cells: drum bars (8, 64), or binary pictures; any value above 0 is a hit.

    shape: of one example. latent: dimensions of the code. hidden: sizes of the encoder's layers, used in reverse by
    an independent decoder (512-800-2, the 2019 network, is hidden=(800,), latent=2). decoder: "independent" cells, or
    "causal" (bars only), where `width` is the size of its memory. velocities: also learn how hard each hit is
    struck, 1 to 127, given the hits and the code; this is learned beside the bound, which stays one on the hits.
    dropout: share of the decoder's units that a training step drops.
    """

    def __init__(self, shape=(8, 64), latent=2, hidden=(512, 256), decoder="independent", width=192, velocities=False,
                 dropout=0.0, activation="SiLU"):
        shape, hidden = (tuple(size) if isinstance(size, (list, tuple)) else (size,) for size in (shape, hidden))
        super().__init__(shape=shape, latent=latent, hidden=hidden, decoder=decoder, width=width,
                         velocities=velocities, dropout=dropout, activation=activation)
        check_sizes(shape=shape, hidden=hidden, width=width)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected at least 0 and less than 1, found {dropout}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, found {activation!r}")
        self.shape, cells, make = shape, math.prod(shape), ACTIVATIONS[activation]
        self.encoder = mlp([cells, *hidden, 2 * latent], make)
        if decoder == "independent":
            self.decoder = IndependentDecoder(shape, latent, hidden, make, dropout)
        elif decoder == "causal":
            self.decoder = CausalDecoder(shape, latent, width, dropout)
        else:
            raise ValueError(f"decoder: expected independent or causal, found {decoder!r}")
        self.velocity_net = VelocityNet(cells, latent, rate=dropout) if velocities else None
        nets = [self.decoder, self.velocity_net] if velocities else [self.decoder]
        self.dropout_units = sum(net.dropout_units for net in nets) if dropout else 0

    def cells(self, x):
        """Hits as 0.0/1.0, flat: (B, *shape) of any number type -> (B, cells) float."""
        return (x > 0).flatten(1).float()

    def encode(self, x, dropout=None):
        """Mean and log-variance of q(z | hits): (B, *shape) -> (B, latent) each."""
        mean, log_variance = self.encoder(self.cells(x)).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def log_likelihood(self, x, z, dropout=None):
        """log p(hits | z) in nats: (B, *shape), (B, latent) -> (B,)."""
        cells = self.cells(x)
        dropout = None if dropout is None else dropout[:, :self.decoder.dropout_units]
        return bernoulli_log_likelihood(cells, self.decoder.logits(cells, z, dropout))

    # --- velocities ---

    def side_log_likelihood(self, x, z, dropout=None):
        """log p(velocities | hits, z) in nats, summed over the hits; the code is not trained by it.  -> (B,)"""
        if self.velocity_net is None:
            return z.new_zeros(len(z))
        cells = self.cells(x)
        dropout = None if dropout is None else dropout[:, self.decoder.dropout_units:]
        mean, log_scale = self.velocity_net(cells, z.detach(), dropout)
        return (cells * logistic_log_likelihood(x.flatten(1).float().clamp(1, 127), mean, log_scale)).sum(-1)

    # --- drawing ---

    def with_velocities(self, cells, z, noise):
        """Velocities for given hits, as uint8 bars; logistic noise (B, cells), 0 for the typical velocity."""
        if self.velocity_net is None:
            velocity = torch.full_like(cells, 100)
        else:
            mean, log_scale = self.velocity_net(cells, z)
            velocity = (mean + torch.exp(log_scale) * noise).round().clamp(1, 127)
        return (cells * velocity).to(torch.uint8).view(-1, *self.shape)

    def decode_sample(self, z, generator=None):
        """Examples drawn from p(x | z), independent of each other: (B, latent) -> (B, *shape) uint8 velocities."""
        noise = logistic_noise((2, len(z), math.prod(self.shape)), generator).to(z.device)
        cells = self.decoder.draw(z, noise[0], z.new_zeros(len(z), 1))
        return self.with_velocities(cells, z, noise[1])

    @torch.no_grad()
    def draw(self, z, hits=None, seed=0, temperature=1.0):
        """The bar that stands at each point of the latent space: (B, latent) -> (B, *shape) uint8 velocities.

        A draw from p(x | z) whose noise is the same at every point, given by the seed: a point has one bar, and near
        points have near bars. temperature scales the noise, 0 is the likeliest choice at each cell. hits: the exact
        number of hits wanted; all logits are shifted together, as little as reaches it.
        """
        cells_count = math.prod(self.shape)
        if hits is not None and not 0 <= hits <= cells_count:
            raise ValueError(f"hits: expected 0 to {cells_count}, found {hits}")
        if z.ndim != 2 or z.shape[1] != self.latent or not torch.isfinite(z).all():
            raise ValueError(f"z: expected finite points of shape (B, {self.latent}), found {tuple(z.shape)}")
        noise = temperature * logistic_noise((2, 1, cells_count), torch.Generator().manual_seed(seed or 0)).to(z.device)
        noise = noise.expand(-1, len(z), -1)
        if hits is None:
            cells = self.decoder.draw(z, noise[0], z.new_zeros(len(z), 1))
        else:
            cells = torch.cat([self._draw_exactly(hits, point[None], noise[0, :1]) for point in z])
        return self.with_velocities(cells, z, noise[1])

    def _draw_exactly(self, hits, point, noise):
        """One bar (1, cells) with just so many hits: a common shift of all logits comes near, single cells do the rest.

        Of nine shifts the one whose bar is nearest in hits is taken, the smallest among equals; then the least likely
        hits go, or the likeliest come, half of what is missing at a time, as each changes what is likely around it.
        """
        bias = 3 * torch.linspace(-1, 1, 9, device=point.device)[:, None]
        bias = bias * bias.abs() / 3  # dense near 0
        bars = self.decoder.draw(point.expand(9, -1), noise.expand(9, -1), bias)
        bar = bars[((bars.sum(-1) - hits).abs() + bias[:, 0].abs() / 100).argmin()][None]
        while excess := int(bar.sum().item()) - hits:
            margin = self.decoder.logits(bar, point) + noise
            some = (abs(excess) + 1) // 2
            if excess > 0:
                bar[0, margin[0].masked_fill(bar[0] == 0, math.inf).argsort()[:some]] = 0.0
            else:
                bar[0, margin[0].masked_fill(bar[0] == 1, -math.inf).argsort(descending=True)[:some]] = 1.0
        return bar

    @torch.no_grad()
    def hits(self, z, draws=16):
        """The mean number of hits at each point over some draws: (B, latent) -> (B,)."""
        generator = torch.Generator().manual_seed(0)
        bars = self.decode_sample(z.repeat_interleave(draws, 0), generator)
        return (bars > 0).flatten(1).sum(-1).view(len(z), draws).float().mean(-1)


MODELS = {model.__name__: model for model in (BernoulliVAE,)}
