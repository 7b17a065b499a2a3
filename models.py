"""The variational autoencoders (VAEs): what is learned, drawn and measured, tensors to tensors.

    model = BernoulliVAE(shape=(8, 64), latent=2)
    log_px, kl = model.elbo(x)                          # (B, 8, 64) -> (B,) each, in nats
    (kl - log_px).mean().backward()                     # a training step raises the bound
    bars = model.sample(16)                             # (16, 8, 64)

A VAE explains an example x by a code z: z ~ p(z) = N(0, I), x ~ p(x | z). It learns the decoder p(x | z) and an encoder
q(z | x) = N(mean, variance) by raising the evidence lower bound (Kingma and Welling 2014, eq. 3)

    log p(x)  >=  E_q [log p(x | z)]  -  KL(q(z | x) || p(z)).

A model keeps the plain numbers it is built from in `config`: `MODELS[name](**config)` builds it again. In every class z
is a code as q(z | x) gives it; likelihoods are in nats, one for each example.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from networks.causal import CausalDecoder, TimingNet, VelocityNet
from networks.conditions import CONDITION_DROPOUT, Conditioned
from networks.convolutional import ConvDecoder, ConvEncoder, Patches, initialise_linear
from networks.independent import IndependentDecoder, check_sizes, logistic_noise, mlp, precision, principal_plane
from networks.pixels import LEAST_DEVIATION, LEVELS, PixelDecoder, PixelMixture

LOG_VARIANCE_RANGE = (-12.0, 4.0)  # of q(z | x): bounded, so that no step can overflow
VELOCITY_HIDDEN, VELOCITY_FREE = 128, 14.0  # units of its encoder; nats that are free, so that the latent is used


def gaussian_kl(mean, log_variance):
    """KL(N(mean, variance) || N(0, I)) in nats (Kingma and Welling 2014, appendix B).  (B, latent) -> (B,)"""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)


def reparametrise(mean, log_variance, eps):
    """z ~ N(mean, variance) by standard normal noise eps (Kingma and Welling 2014, eq. 10).  -> (..., latent)"""
    return mean + torch.exp(0.5 * log_variance) * eps


def bernoulli_log_likelihood(cells, logits):
    """log p(cells) of 0/1 cells under independent Bernoulli variables given by their logits.  (..., C) -> (...)"""
    return (cells * logits - F.softplus(logits)).sum(-1)


class VAE(nn.Module):
    """What all VAEs share: the prior and the bounds. A subclass gives `encode`, `log_likelihood`, `decode_sample`.
    condition: what else encoder and decoder are given, tensors of B rows, such as the class of each example."""

    has_auxiliary = False  # does `auxiliary_log_likelihood` give more than zeros?

    def __init__(self, **config):
        super().__init__()
        self.config, self.latent = config, config["latent"]
        check_sizes(latent=self.latent)

    def encode(self, x, **condition):
        """Mean and log-variance of q(z | x): (B, *shape) -> (B, latent) each."""

    def log_likelihood(self, x, z, **condition):
        """log p(x | z) in nats: (B, *shape), (B, latent) -> (B,)."""
        return self.log_likelihood_of(x, **condition)(z)

    def log_likelihood_of(self, x, **condition):
        """The function z -> log p(x | z) of these examples: what does not depend on the code is computed once."""
        return lambda z: self.log_likelihood(x, z, **condition)

    def decode_sample(self, z, generator=None, **condition):
        """Examples drawn from p(x | z), independent of each other: (B, latent) -> (B, *shape)."""

    def auxiliary_log_likelihood(self, x, z, **condition):
        """What else is learned beside the bound, in nats: (B,)."""
        return z.new_zeros(len(z))

    def drop_condition(self, **condition):
        """The condition as a training step gives it: a model may learn to do without a part of it."""
        return condition

    def parameter_groups(self):
        """The weights that are learned separately, as lists: the gradient of each is clipped by itself."""
        return [list(self.parameters())]

    def sample_posterior(self, x, eps=None, **condition):
        """Codes z ~ q(z | x) by normal noise eps (B, latent), drawn where None; KL(q || p).  -> (B, latent), (B,)"""
        mean, log_variance = self.encode(x, **condition)                              # (B, latent) each
        eps = torch.randn_like(mean) if eps is None else eps
        return reparametrise(mean, log_variance, eps), gaussian_kl(mean, log_variance)

    def elbo(self, x, eps=None, **condition):
        """The two terms of the evidence lower bound, log_px - kl, each (B,) in nats; eps as in `sample_posterior`."""
        z, kl = self.sample_posterior(x, eps, **condition)                            # (B, latent), (B,)
        return self.log_likelihood(x, z, **condition), kl

    def log_weights(self, x, eps, beta=1.0, **condition):
        """log of p(x | z) (p(z) / q(z | x))^beta at k codes an example, by k noises eps (B, latent): -> (k, B)."""
        mean, log_variance = self.encode(x, **condition)                              # (B, latent) each
        log_likelihood, log_weights = self.log_likelihood_of(x, **condition), []
        for noise in eps:
            z = reparametrise(mean, log_variance, noise)                              # (B, latent)
            log_prior_ratio = 0.5 * (noise.square() + log_variance - z.square()).sum(-1)
            log_weights.append(log_likelihood(z) + beta * log_prior_ratio)            # (B,)
        return torch.stack(log_weights)

    def importance_weighted_bound(self, x, eps, beta=1.0, **condition):
        """The bound on log p(x) of Burda et al. 2016, eq. 8, in nats, by k noises eps (B, latent): -> (B,)."""
        log_weights = self.log_weights(x, eps, beta, **condition)                     # (k, B)
        return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))

    @torch.no_grad()
    def log_marginal(self, x, k=500, generator=None, **condition):
        """The importance-weighted bound with k codes, which grows with k towards log p(x): (B, *shape) -> (B,) nats."""
        if k < 1:
            raise ValueError(f"k: expected at least 1 sample, found {k}")
        device = next(self.parameters()).device
        eps = (torch.randn(len(x), self.latent, generator=generator).to(device) for _ in range(k))  # one at a time
        return self.importance_weighted_bound(x, eps, **condition)

    def sample_prior(self, n, generator=None, **condition):
        """n codes drawn from the prior: (n, latent)."""
        return torch.randn(n, self.latent, generator=generator).to(next(self.parameters()).device)

    @torch.no_grad()
    def sample(self, n, generator=None, **condition):
        """n examples drawn from the model: z from the prior, x from p(x | z).  -> (n, *shape)"""
        return self.decode_sample(self.sample_prior(n, generator, **condition), generator, **condition)


class BernoulliVAE(Conditioned, VAE):
    """A VAE of 0/1 cells: drum bars (8, 64), or binary pictures; any value above 0 is a hit.

    decoder: "independent" cells (512-800-2, the network of 2019, is hidden=(800,)); "causal" for bars, in which a cell
    depends on all cells played before it; "raster", the same for binary pictures; "hierarchical" for bars: the code
    decides the score, which instruments sound at which sixteenths, causally, and a TimingNet the steps around them,
    which together are the cells. hidden: sizes of the encoder's layers, in reverse an independent decoder's; width: of
    the others' layers; blocks: of a raster decoder. velocities: also learn how hard hits are struck, 1 to 127, given
    hits and code, beside the bound; velocity_latent: size of a second code, of these velocities.

    Conditions, see `Conditioned`: styles, their names; offsets, how many; steady and timing of a hierarchical decoder.
    """

    map = None  # codes of the training bars, see patterns/latent_map.py

    def __init__(self, shape=(8, 64), latent=2, hidden=(512, 256), decoder="independent", width=384, velocities=False,
                 velocity_latent=0, dropout=0.0, activation="SiLU", styles=(), blocks=4, offsets=1):
        shape, hidden = (tuple(size) if isinstance(size, (list, tuple)) else (size,) for size in (shape, hidden))
        super().__init__(shape=shape, latent=latent, hidden=hidden, decoder=decoder, width=width, velocities=velocities,
                         velocity_latent=velocity_latent, dropout=dropout, activation=activation, styles=list(styles),
                         blocks=blocks, offsets=offsets)
        check_sizes(shape=shape, hidden=hidden, width=width, blocks=blocks, offsets=offsets)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected at least 0 and less than 1, found {dropout}")
        self.shape, self.styles, cells, levels = shape, list(styles), math.prod(shape), decoder == "hierarchical"
        extra = self.add_conditions(offsets, levels)                                  # numbers of the conditions
        self.timing_net = TimingNet(shape, extra, rate=dropout) if levels else None
        self.score_shape = (shape[0], self.timing_net.blocks) if levels else shape    # what the code decides
        self.encoder = mlp([math.prod(self.score_shape) + extra, *hidden, 2 * latent], activation)
        if decoder == "independent":
            self.decoder = IndependentDecoder(shape, latent + extra, hidden, activation, dropout)
        elif decoder == "causal":
            self.decoder = CausalDecoder(shape, latent + extra, width, rate=dropout)
        elif decoder == "raster":
            self.decoder = PixelDecoder(shape, latent + extra, width, blocks)
        elif levels:
            self.decoder = CausalDecoder(self.score_shape, latent + extra, width, units=12, rate=dropout, block=2)
        else:
            raise ValueError(f"decoder: expected independent, causal, hierarchical or raster, found {decoder!r}")
        self.has_auxiliary, self.velocity_latent = velocities, velocity_latent if velocities else 0
        sizes, given = [2 * cells + extra, VELOCITY_HIDDEN, 2 * velocity_latent], latent + extra + self.velocity_latent
        self.velocity_encoder = mlp(sizes, activation) if self.velocity_latent else None
        self.velocity_net = VelocityNet(shape, given, rate=dropout) if velocities else None

    def binarise(self, x):
        """Hits as 0.0 and 1.0, flat: (B, *shape) of any number type -> (B, cells) float."""
        return (x > 0).flatten(1).float()

    def score(self, x):
        """What the code decides, flat: (B, *shape) -> (B, score cells), 0.0 and 1.0; but for levels, all cells."""
        cells = self.binarise(x)
        return cells if self.timing_net is None else self.timing_net.score(cells)

    def cells_of(self, score):
        """All cells that belong to cells of the score: (B, score cells) -> (B, cells) of the same type."""
        return score if self.timing_net is None else self.timing_net.cells_of(score)

    def parameter_groups(self):
        """The weights that are learned separately: those of the score, of timing and of velocities."""
        groups = {}
        for name, weights in self.named_parameters():
            level = name.split("_")[0].split(".")[0]
            groups.setdefault(level if level in ("velocity", "timing") else "score", []).append(weights)
        return list(groups.values())

    def encode(self, x, style=None, offset=None, steady=None, timing=None):
        """Mean and log-variance of q(z | score): (B, *shape) -> (B, latent) each."""
        units = self.with_condition(self.score(x), style, offset, steady)
        mean, log_variance = self.encoder(units).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def log_likelihood_of(self, x, style=None, offset=None, steady=None, timing=None):
        """The function z -> log p(hits | z) of these examples, (B, latent) -> (B,) nats."""
        score, steps = self.score(x), self.timing_log_likelihood(x, style, offset, timing)
        context = self.decoder.cached_context(score)
        return lambda z: steps + bernoulli_log_likelihood(
            score, self.decoder.logits(score, self.with_condition(z, style, offset, steady), context))

    def timing_log_likelihood(self, x, style=None, offset=None, timing=None):
        """log p(hits | score) in nats, the part of the likelihood that no code decides: (B, *shape) -> (B,)."""
        cells = self.binarise(x)                                                      # (B, cells)
        if self.timing_net is None:
            return cells.new_zeros(len(cells))
        return self.timing_net.log_likelihood(cells, self.with_condition(cells[:, :0], style, offset, None, timing))

    @torch.no_grad()
    def with_timing(self, score, noise, style=None, timing=None, fixed=None, single=False):
        """The cells of a score: (B, score cells), logistic noise (B, cells) -> (B, cells); see `TimingNet.draw`."""
        if self.timing_net is None:
            return score
        condition = self.with_condition(score[:, :0], style, None, None, timing)
        return self.timing_net.draw(score, condition, noise, fixed, single)

    @torch.no_grad()
    def decode_sample(self, z, generator=None, style=None, steady=None, timing=None):
        """Examples drawn from p(x | z), independent of each other: (B, latent) -> (B, *shape) uint8."""
        noise = logistic_noise((len(z), 4 if self.timing_net else 3, math.prod(self.shape)), generator).to(z.device)
        score = self.decoder.draw(self.with_condition(z, style, None, steady),
                                  noise[:, 0, :math.prod(self.score_shape)])
        cells = self.with_timing(score, noise[:, -1], style, timing)                  # (B, cells)
        return self.with_velocities(cells, self.with_condition(z, style), noise[:, 1:3])

    @torch.no_grad()
    def decode_mean(self, z, style=None):
        """The probability of each cell, of an independent decoder: (B, latent) -> (B, *shape) of 0..1."""
        return torch.sigmoid(self.decoder.logits(None, self.with_condition(z, style))).view(-1, *self.shape)

    def encode_velocities(self, x, style=None, offset=None, **_):
        """Mean and log-variance of the velocity code, q(v | hits, velocities): (B, *shape) -> (B, velocity_latent)."""
        units = torch.cat([self.binarise(x), x.flatten(1).float() / 64], -1)          # (B, 2 cells)
        mean, log_variance = self.velocity_encoder(self.with_condition(units, style, offset)).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def auxiliary_log_likelihood(self, x, z, style=None, offset=None, **_):
        """A bound on log p(velocities | hits, z) in nats, summed over hits; it does not train the code.  -> (B,)"""
        if self.velocity_net is None:
            return z.new_zeros(len(z))
        cells = self.binarise(x)                                                      # (B, cells)
        z, cost = self.with_condition(z.detach(), style, offset), 0.0
        if self.velocity_latent:
            code, log_variance = self.encode_velocities(x, style, offset)             # (B, velocity_latent) each
            cost = (gaussian_kl(code, log_variance) - VELOCITY_FREE).clamp(min=0) * (cells.sum(-1) > 0)
            if self.training:  # a code of zeros is an unknown one
                known = (torch.rand(len(z), device=z.device) > CONDITION_DROPOUT).float()
                code = known[:, None] * reparametrise(code, log_variance, torch.randn_like(code))
                cost = known * cost
            z = torch.cat([z, code], -1)
        return self.velocity_net.log_likelihood(cells, x.flatten(1).float(), z) - cost

    def with_velocities(self, cells, z, noise, fixed=None, velocity_latent=None):
        """Velocities of hits: (B, cells) -> uint8 (B, *shape). z: as `with_condition` gives it. noise (B, 2, cells):
        logistic, for hits and velocity latent. fixed (B, cells): velocities that stay, 0 where none does."""
        fixed = torch.zeros_like(cells) if fixed is None else fixed
        if self.velocity_net is None:
            velocities = cells * torch.where(fixed > 0, fixed, 100.0)
        else:
            if velocity_latent is None:  # as normal noise
                velocity_latent = torch.special.ndtri(torch.sigmoid(noise[:, 1, :self.velocity_latent]))
            velocities = self.velocity_net.draw(cells, torch.cat([z, velocity_latent], -1), noise[:, 0], fixed)
        return velocities.round().to(torch.uint8).view(-1, *self.shape)               # (B, *shape)


class GaussianVAE(VAE):
    """A VAE of pictures of 8-bit pixels, (B, *shape) of 0..255: each pixel a mixture of normal distributions.

    decoder: "independent" pixels, or "raster", in which a pixel depends on those before it. hidden: sizes of the
    encoder's layers, in reverse an independent decoder's; width, blocks, indicator_levels: of a raster decoder, see
    PixelDecoder. components, least_deviation: of a PixelMixture. likelihood: "mass" is the probability of the pixel's
    bin; "normal" the density at pixels with uniform noise (`dequantised`), a lower bound of the former (Theis et al.
    2016, "A note on the evaluation of generative models", eq. 4-6).
    """

    def __init__(self, shape=(28, 28), latent=2, hidden=(512, 256), decoder="independent", width=32, indicator_levels=4,
                 blocks=4, components=1, likelihood="mass", activation="SiLU", least_deviation=LEAST_DEVIATION):
        shape, hidden = tuple(shape), tuple(hidden)
        super().__init__(shape=shape, latent=latent, hidden=hidden, decoder=decoder, width=width, blocks=blocks,
                         components=components, likelihood=likelihood, activation=activation,
                         least_deviation=least_deviation, indicator_levels=indicator_levels)
        check_sizes(shape=shape, hidden=hidden, width=width, blocks=blocks, components=components)
        self.shape, self.components, self.likelihood = shape, components, likelihood
        self.mixture = PixelMixture(components, likelihood, least_deviation)
        self.encoder = mlp([math.prod(shape), *hidden, 2 * latent], activation)
        if decoder == "independent":
            self.decoder = IndependentDecoder(shape, latent, hidden, activation, outputs=self.mixture.outputs)
        elif decoder == "raster":
            self.decoder = PixelDecoder(shape, latent, width, blocks, self.mixture.outputs, indicator_levels)
        else:
            raise ValueError(f"decoder: expected independent or raster, found {decoder!r}")
        self.initialise_from_data(torch.arange(LEVELS))

    @torch.no_grad()
    def initialise_from_data(self, pixels):
        """Begin with the distribution of levels that pixels (any shape) have."""
        counts = torch.bincount(pixels.flatten().long(), minlength=LEVELS) + 1e-6 * torch.arange(LEVELS)
        self.decoder.initialise_from_data(self.mixture.initial_outputs(counts), counts)

    def values(self, x):
        """Pixels as the nets see them, whole levels from 0 to 1: (B, *shape) -> float."""
        return x.float().round().clamp(0, LEVELS - 1) / (LEVELS - 1)

    @staticmethod
    def dequantised(pixels, generator=None):
        """Pixels of 0..255 with uniform noise over each one's bin, from level - 0.5 to level + 0.5: float."""
        return pixels.float() + torch.rand(pixels.shape, generator=generator).to(pixels.device) - 0.5

    def encode(self, x):
        """Mean and log-variance of q(z | x): (B, *shape) -> (B, latent) each."""
        mean, log_variance = self.encoder(self.values(x).flatten(1)).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def log_likelihood_of(self, x):
        """The function z -> log p(x | z) of these pictures, (B, latent) -> (B,) nats."""
        if self.likelihood == "normal" and not x.is_floating_point():
            x = self.dequantised(x)
        context = self.decoder.cached_context(self.values(x))
        return lambda z: self.mixture.log_likelihood(x, self.decoder.parameters_of(None, z, context))

    @torch.no_grad()
    def decode_sample(self, z, generator=None, uniform=None):
        """Pictures drawn from p(x | z), (B, latent) -> (B, *shape) uint8, independent of each other or by numbers
        `uniform` (B, 2 components pixels)."""
        if uniform is None:
            uniform = torch.rand(len(z), 2 * self.components * math.prod(self.shape), generator=generator).to(z.device)
        noise = self.mixture.noise(uniform.view(len(z), 2, *self.shape, self.components))
        values = self.decoder.decode(z, lambda outputs, i: self.mixture.choose(outputs, noise[i]))
        return (values * (LEVELS - 1)).round().to(torch.uint8)                        # (B, *shape)

    @torch.no_grad()
    def decode_mean(self, z):
        """The mean level of each pixel, of an independent decoder: (B, latent) -> (B, *shape) of 0..255."""
        return self.mixture.mean(self.decoder.parameters_of(None, z))


class ConvVAE(VAE):
    """A VAE of spectrograms (bands, frames) of normalised log magnitudes, given their class.

    p(x | z, class) is normal, with one learned variance for all pixels. `label` is a class (B,), or weights
    (B, classes) for a sound between classes. patch: bands x frames seen as one; widths: channels from the finest grid
    to the coarsest; bottleneck: channels beside the code. New codes are drawn beside those of training sounds, see
    sounds/exemplars.py, rather than from the standard normal prior of the bound.
    """

    def __init__(self, latent=32, shape=(412, 157), classes=8, widths=(16, 32, 64, 96), patch=(8, 4), bottleneck=24,
                 embedding=32):
        shape, widths, patch = tuple(shape), tuple(widths), tuple(patch)
        super().__init__(latent=latent, shape=shape, classes=classes, widths=widths, patch=patch, bottleneck=bottleneck,
                         embedding=embedding)
        check_sizes(classes=classes, widths=widths, bottleneck=bottleneck, embedding=embedding)
        self.shape, self.classes, self.low_precision = shape, classes, False
        patches = Patches(shape, patch)
        self.embedding = nn.Parameter(torch.randn(classes, embedding))
        self.encoder = ConvEncoder(patches, latent, widths, bottleneck, embedding)
        self.decoder = ConvDecoder(patches, latent, widths, bottleneck, embedding)
        self.mean_spectrogram = nn.Parameter(torch.zeros(shape))  # and what a class adds, by band and frame
        self.class_bands = nn.Parameter(torch.zeros(classes, shape[0]))
        self.class_frames = nn.Parameter(torch.zeros(classes, shape[1]))
        self.log_deviation = nn.Parameter(torch.zeros(()))

    def class_weights(self, label, count):
        """A label, (B,) indices or (B, classes) weights, as weights (B, classes)."""
        if label is None:
            raise ValueError("label: expected the class of each example, found none")
        label = torch.as_tensor(label, device=self.embedding.device)
        if label.is_floating_point():
            return label.expand(count, self.classes)
        return F.one_hot(label.long(), self.classes).to(self.embedding.dtype).expand(count, -1)

    def encode(self, x, label=None):
        """Mean and log-variance of q(z | x, class): (B, bands, frames) -> (B, latent) each."""
        embedding = self.class_weights(label, len(x)) @ self.embedding                # (B, embedding)
        with precision(self, x):
            mean, log_variance = self.encoder(x.float() - self.mean_spectrogram, embedding)
        low, high = LOG_VARIANCE_RANGE
        return mean.float(), (low + high) / 2 + (high - low) / 2 * torch.tanh(log_variance.float() / (high - low))

    def decode_mean(self, z, label=None):
        """The mean of p(x | z, class): (B, latent) -> (B, bands, frames)."""
        weights = self.class_weights(label, len(z))                                   # (B, classes)
        with precision(self, z):
            spectrogram = self.decoder(z, weights @ self.embedding)                   # (B, bands, frames)
        by_class = (weights @ self.class_bands)[:, :, None] + (weights @ self.class_frames)[:, None]
        return spectrogram + self.mean_spectrogram + by_class

    def log_scale(self):
        """The log of p(x | z)'s standard deviation, from -3 to 1."""
        return -1 + 2 * torch.tanh(2 * self.log_deviation)

    def log_likelihood(self, x, z, label=None):
        """log p(x | z, class) in nats, summed over pixels: (B, bands, frames), (B, latent) -> (B,)."""
        log_scale = self.log_scale()
        error = (x.float() - self.decode_mean(z, label)).flatten(1).square()          # (B, pixels)
        return -(0.5 * torch.exp(-2 * log_scale) * error + log_scale + 0.5 * math.log(2 * math.pi)).sum(-1)

    def decode_sample(self, z, generator=None, label=None):
        """Spectrograms drawn from p(x | z, class): (B, latent) -> (B, bands, frames)."""
        noise = torch.randn(len(z), *self.shape, generator=generator).to(z.device)
        return self.decode_mean(z, label) + torch.exp(self.log_scale()) * noise

    @torch.no_grad()
    def initialise_from_data(self, x):
        """Begin at the mean and the principal components of spectrograms (n, bands, frames)."""
        self.mean_spectrogram.copy_(initialise_linear(self.encoder, self.decoder, x))


MODELS = {model.__name__: model for model in (BernoulliVAE, GaussianVAE, ConvVAE)}


def build_model(content, path="checkpoint"):
    """The model of a loaded checkpoint, in eval mode; ValueError, naming the path, where it makes none."""
    if content["class"] not in list(MODELS):
        raise ValueError(f"{path}: expected a model of {', '.join(MODELS)}, found {content['class']!r}")
    try:
        model = MODELS[content["class"]](**content["config"])
        model.load_state_dict(content["weights"])
    except (TypeError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: its weights and config do not fit {content['class']}: "
                         f"{str(error).strip().splitlines()[-1].strip()[:200]}") from None
    if not all(torch.isfinite(value).all() for value in model.state_dict().values()):
        raise ValueError(f"{path}: holds weights that are not finite")
    return model.eval()
