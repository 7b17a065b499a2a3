"""The variational autoencoders: tensors to tensors; no files, no devices, no printing.

A VAE explains an example x by a code z: z ~ N(0, I), x ~ p(x | z), and learns an encoder q(z | x) = N(mean, variance)
beside the decoder by raising the evidence lower bound (Kingma and Welling 2014, "Auto-Encoding Variational Bayes",
eq. 3)

    log p(x)  >=  E_q [log p(x | z)]  -  KL(q(z | x) || N(0, I)).

Every model is built from plain numbers, which it keeps in `config`: `MODELS[name](**config)` builds it again.
All likelihoods are per example, shape (B,), in nats.
"""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from networks.causal import CausalDecoder, VelocityNet, logistic_log_likelihood
from networks.convolutional import CodeFlow, ConvDecoder, ConvEncoder, Patches
from networks.independent import IndependentDecoder, mlp
from networks.pixels import (LEAST_DEVIATION, LEVELS, MEAN_BEYOND, MOST_DEVIATION, PixelDecoder, RasterDecoder,
                             discretised_normal_log_likelihood, normal_log_likelihood)


def logistic_noise(shape, generator=None):
    """Standard logistic variables: logit + noise > 0 with probability sigmoid(logit)."""
    uniform = torch.rand(shape, generator=generator).clamp(1e-7, 1 - 1e-7)
    return torch.log(uniform) - torch.log1p(-uniform)


def principal_plane(codes):
    """The plane that shows codes (n, latent) best: its centre (latent,) and two orthonormal axes (2, latent), float64.

    The two principal components of the codes; the first two axes of the space where it has at most two dimensions, or
    n is at most 2.
    """
    codes = np.asarray(codes, dtype=float)
    latent = codes.shape[1]
    if latent <= 2 or len(codes) <= 2:
        return np.zeros(latent), np.eye(2, latent)
    directions = np.linalg.eigh(np.cov(codes.T))[1]  # columns, by rising variance
    axes = directions[:, :-3:-1].T                                                    # (2, latent)
    largest = np.abs(axes).argmax(axis=1)[:, None]
    return codes.mean(axis=0), axes * np.sign(np.take_along_axis(axes, largest, 1))  # a sign is arbitrary: fix it


def build_model(content, path="checkpoint"):
    """The model of a loaded checkpoint, in eval mode."""
    if not isinstance(content["class"], str) or content["class"] not in MODELS:
        raise ValueError(f"{path}: expected a model of {', '.join(MODELS)}, found {content['class']!r}")
    try:
        model = MODELS[content["class"]](**content["config"])
        model.load_state_dict({name: value.float() if value.is_floating_point() else value
                               for name, value in content["weights"].items()})
    except (TypeError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: its weights and config do not fit {content['class']}: "
                         f"{str(error).strip().splitlines()[-1].strip()[:200]}") from None
    if any(not torch.isfinite(value).all() for value in model.state_dict().values()):
        raise ValueError(f"{path}: holds weights that are not finite")
    return model.eval()


LOG_VARIANCE_RANGE = (-12.0, 4.0)  # of q(z | x): bounded, so that no step can overflow
STYLE_WIDTH, STYLE_DROPOUT = 16, 0.5  # numbers that stand for a style; share of a training that goes without
TOUCH_HIDDEN, TOUCH_FREE = 128, 14.0  # units of its encoder; nats of a bar that cost nothing
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


def reparametrise(mean, log_variance, eps):
    """z ~ N(mean, variance) by standard normal noise eps (Kingma and Welling 2014, eq. 10).  -> (..., latent)"""
    return mean + torch.exp(0.5 * log_variance) * eps


def bernoulli_log_likelihood(cells, logits):
    """log p(cells) of 0/1 cells under independent Bernoulli variables given by their logits.  (..., C) -> (...)"""
    return (cells * logits - F.softplus(logits)).sum(-1)


class VAE(nn.Module):
    """What all our VAEs share: the bounds and the prior. A subclass gives `encode`, `log_likelihood`, `decode_sample`.

    condition: what else encoder and decoder are given, tensors of B rows, such as a class.
    """

    has_auxiliary = False  # does `auxiliary_log_likelihood` give more than zeros?

    def parts(self):
        """The weights that are learned apart, as lists: the gradient of each is clipped by itself."""
        return [list(self.parameters())]

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

    def auxiliary_log_likelihood(self, x, z, **condition):
        """What else is learned beside the bound, in nats: (B,); zero unless a model says otherwise."""
        return z.new_zeros(len(z))

    def drop_condition(self, **condition):
        """The condition as a training step shall give it: a model may learn to do without a part of it."""
        return condition

    def sample_posterior(self, x, eps=None, **condition):
        """Codes drawn from q(z | x), and its KL to the prior in nats: (B, *shape) -> (B, latent), (B,).

        eps (B, latent): standard normal numbers, drawn where None; zeros give the mean's code.
        """
        mean, log_variance = self.encode(x, **condition)                              # (B, latent) each
        eps = torch.randn_like(mean) if eps is None else eps
        return reparametrise(mean, log_variance, eps), gaussian_kl(mean, log_variance)

    def elbo(self, x, eps=None, **condition):
        """The two terms of the evidence lower bound, log_px - kl, each (B,) in nats; eps as in `sample_posterior`."""
        z, kl = self.sample_posterior(x, eps, **condition)                            # (B, latent), (B,)
        return self.log_likelihood(x, z, **condition), kl

    def log_likelihood_of(self, x, **condition):
        """The function z -> log p(x | z) of these examples: what all codes of a picture share is computed once."""
        return lambda z: self.log_likelihood(x, z, **condition)

    def log_weights(self, x, eps, beta=1.0, **condition):
        """log of p(x | z) (p(z) / q(z | x))^beta at k codes per example: eps (k, B, latent) -> (k, B)."""
        mean, log_variance = self.encode(x, **condition)                              # (B, latent) each
        z = reparametrise(mean, log_variance, eps)                                    # (k, B, latent)
        log_prior_ratio = 0.5 * (eps.square() + log_variance - z.square()).sum(-1)
        log_likelihood = self.log_likelihood_of(x, **condition)
        return torch.stack([log_likelihood(codes) for codes in z]) + beta * log_prior_ratio

    def importance_weighted_bound(self, x, eps, beta=1.0, **condition):
        """The bound on log p(x) of Burda et al. 2016, eq. 8, in nats: eps (k, B, latent) -> (B,)."""
        return torch.logsumexp(self.log_weights(x, eps, beta, **condition), 0) - math.log(len(eps))

    @torch.no_grad()
    def log_marginal(self, x, k=500, generator=None, **condition):
        """The importance-weighted bound with k codes, which grows with k towards log p(x): (B, *shape) -> (B,) nats."""
        if k < 1:
            raise ValueError(f"k: expected at least 1 sample, found {k}")
        eps = torch.stack([torch.randn(len(x), self.latent, generator=generator) for _ in range(k)])
        return self.importance_weighted_bound(x, eps.to(next(self.parameters()).device), **condition)

    @torch.no_grad()
    def sample(self, n, generator=None, **condition):
        """n examples drawn from the model: z from the prior, x from p(x | z).  -> (n, *shape)"""
        z = torch.randn(n, self.latent, generator=generator).to(next(self.parameters()).device)
        return self.decode_sample(z, generator, **condition)


class BernoulliVAE(VAE):
    """A VAE of 0/1 cells: drum bars (8, 64), or binary pictures; any value above 0 is a hit.

    shape: of one example. latent: dimensions of the code. hidden: sizes of the encoder's layers, used in reverse by
    an independent decoder (512-800-2, the 2019 network, is hidden=(800,), latent=2). decoder: "independent" cells;
    "causal", for bars; or "raster", for pictures. `width` is the size of the layers of the latter two, `blocks` how
    many a raster decoder has. velocities: also learn how hard each hit is
    struck, 1 to 127, given the hits and the code; this is learned beside the bound, which stays one on the hits.
    touch: dimensions of a second code beneath, of how the hits of a bar are struck: a drummer's hand, his accents.
    dropout: share of the decoder's units that a training step drops. styles: names of the styles that encoder and
    decoder may be told, as `style`, an index for each example (B,); half of a training goes without, and so does
    whoever does not say. begins: at how many places of a bar those of a training may begin, told as `begins`, the
    number of the place (B,), 0 where nobody says: what begins between two bar lines teaches what all have in common.
    """

    map = None  # where its training bars lie, see patterns/latent_map.py

    def __init__(self, shape=(8, 64), latent=2, hidden=(512, 256), decoder="independent", width=384, velocities=False,
                 touch=0, dropout=0.0, activation="SiLU", styles=(), blocks=4, begins=1):
        shape, hidden = (tuple(size) if isinstance(size, (list, tuple)) else (size,) for size in (shape, hidden))
        super().__init__(shape=shape, latent=latent, hidden=hidden, decoder=decoder, width=width,
                         velocities=velocities, touch=touch, dropout=dropout, activation=activation,
                         styles=list(styles), blocks=blocks, begins=begins)
        check_sizes(shape=shape, hidden=hidden, width=width, blocks=blocks, begins=begins)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected at least 0 and less than 1, found {dropout}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, found {activation!r}")
        self.shape, cells, make = shape, math.prod(shape), ACTIVATIONS[activation]
        self.styles = list(styles)
        told = STYLE_WIDTH if styles or begins > 1 else 0
        self.style = nn.Embedding(len(styles) + 1, STYLE_WIDTH) if told else None  # row 0: any style
        self.begins = nn.Embedding(begins, STYLE_WIDTH, padding_idx=0) if begins > 1 else None  # row 0 stays 0
        self.encoder = mlp([cells + told, *hidden, 2 * latent], make)
        if decoder == "independent":
            self.decoder = IndependentDecoder(shape, latent + told, hidden, make, dropout)
        elif decoder == "causal":
            self.decoder = CausalDecoder(shape, latent + told, width, rate=dropout)
        elif decoder == "raster":
            self.decoder = RasterDecoder(shape, latent + told, width, blocks)
        else:
            raise ValueError(f"decoder: expected independent, causal or raster, found {decoder!r}")
        self.has_auxiliary = velocities
        self.touch = touch if velocities else 0
        self.touch_encoder = mlp([2 * cells + told, TOUCH_HIDDEN, 2 * touch], make) if self.touch else None
        self.velocity_net = VelocityNet(shape, latent + told + self.touch, rate=dropout) if velocities else None

    def cells(self, x):
        """Hits as 0.0/1.0, flat: (B, *shape) of any number type -> (B, cells) float."""
        return (x > 0).flatten(1).float()

    def tell(self, units, style=None, begins=None):
        """Units (B, n) and beside them what encoder and decoder are told of style and beginning: (B, n + told)."""
        if self.style is None:
            return units
        if style is None:
            index = torch.zeros(len(units), dtype=torch.long, device=units.device)
        else:
            index = torch.as_tensor(style, device=units.device).long().expand(len(units)) + 1
            if len(index) and not 0 <= index.min() <= index.max() <= len(self.styles):
                raise ValueError(f"style: expected 0 to {len(self.styles) - 1}, or -1 for any, found {style}")
        told = self.style(index)
        if begins is not None:
            told = told + self.begins(begins.long())
        return torch.cat([units, told.to(units.dtype)], -1)

    def parts(self):
        """The weights that are learned apart: those of the hits, and those of how hard they are struck."""
        hits, struck = [], []
        for name, weights in self.named_parameters():
            (struck if name.startswith(("velocity_net.", "touch_encoder.")) else hits).append(weights)
        return [hits, struck] if struck else [hits]

    def drop_condition(self, style=None, **condition):
        """In training half of the styles are -1, any: one model learns bars of a style, and of none."""
        if self.training and style is not None:
            style = torch.where(torch.rand(style.shape, device=style.device) < STYLE_DROPOUT, -1, style)
        return {"style": style, **condition}

    def encode(self, x, style=None, begins=None):
        """Mean and log-variance of q(z | hits): (B, *shape) -> (B, latent) each."""
        mean, log_variance = self.encoder(self.tell(self.cells(x), style, begins)).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def log_likelihood(self, x, z, style=None, begins=None):
        """log p(hits | z) in nats: (B, *shape), (B, latent) -> (B,)."""
        return self.log_likelihood_of(x, style, begins)(z)

    def log_likelihood_of(self, x, style=None, begins=None):
        """The function z -> log p(hits | z) of these examples, (B, latent) -> (B,)."""
        cells = self.cells(x)
        known = self.decoder.known(cells)
        return lambda z: bernoulli_log_likelihood(
            cells, self.decoder.logits(cells, self.tell(z, style, begins), known))

    # --- velocities ---

    def encode_touch(self, x, style=None, begins=None):
        """Mean and log-variance of the touch, given hits and velocities: (B, *shape) -> (B, touch) each."""
        struck = torch.cat([self.cells(x), x.flatten(1).float() / 64], -1)
        mean, log_variance = self.touch_encoder(self.tell(struck, style, begins)).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def auxiliary_log_likelihood(self, x, z, style=None, begins=None):
        """The bound on log p(velocities | hits, z) in nats, summed over the hits; the code is not trained by it.

        The first TOUCH_FREE nats of a bar's touch cost nothing, so it is used beside the velocities before.  -> (B,)
        """
        if self.velocity_net is None:
            return z.new_zeros(len(z))
        cells, told, velocities = self.cells(x), self.tell(z.detach(), style, begins), x.flatten(1).float()
        cost = 0.0
        if self.touch:
            touch, log_variance = self.encode_touch(x, style, begins)
            cost = (gaussian_kl(touch, log_variance) - TOUCH_FREE).clamp(min=0) * (cells.sum(-1) > 0)
            if self.training:
                touch = reparametrise(touch, log_variance, torch.randn_like(touch))
            told = torch.cat([told, touch], -1)
        mean, log_scale = self.velocity_net.distribution(cells, velocities, told)
        return (cells * logistic_log_likelihood(velocities.clamp(1, 127), mean, log_scale)).sum(-1) - cost

    def with_velocities(self, cells, told, noise, known=None, touch=None):
        """Velocities for given hits, as uint8 bars; noise (B, 2, cells), 0 for the typical velocity.

        told: code and style, as `tell` gives them. noise: logistic, for the hits, and for the touch, where that is
        not given, (B, touch). known: velocities (B, cells) that stand already, 0 where none does.
        """
        if self.velocity_net is None:
            velocities = 100 * cells if known is None else cells * torch.where(known > 0, known, 100.0)
        else:
            if self.touch:
                touch = torch.special.ndtri(torch.sigmoid(noise[:, 1, :self.touch])) if touch is None else touch
                told = torch.cat([told, touch], -1)
            velocities = self.velocity_net.draw(cells, told, noise[:, 0], known)
        return velocities.round().to(torch.uint8).view(-1, *self.shape)

    @torch.no_grad()
    def decode_sample(self, z, generator=None, style=None):
        """Examples drawn from p(x | z), independent of each other: (B, latent) -> (B, *shape) uint8."""
        noise = logistic_noise((len(z), 3, math.prod(self.shape)), generator).to(z.device)
        told = self.tell(z, style)
        return self.with_velocities(self.decoder.draw(told, noise[:, 0]), told, noise[:, 1:])

    @torch.no_grad()
    def expected(self, z, style=None):
        """The probability of each cell, of a model of independent cells: (B, latent) -> (B, *shape) of 0..1."""
        return torch.sigmoid(self.decoder.logits(None, self.tell(z, style))).view(-1, *self.shape)


class GaussianVAE(VAE):
    """A VAE of pictures of 8-bit pixels, (B, *shape) of 0..255: each pixel a normal distribution, or a few.

    shape: of one picture. latent: dimensions of the code. hidden: sizes of the encoder's layers, used in reverse by an
    independent decoder. decoder: "independent" pixels, or "raster", in which each pixel knows those before it; width
    and blocks are those of a raster decoder, which tells the told_levels commonest levels of ink apart. components: how
    many normal distributions a pixel's is mixed of. Each has a mean from MEAN_BEYOND levels below black to as many
    above white and a deviation from least_deviation to MOST_DEVIATION levels, so that no likelihood overflows, and no
    surprise costs more than the least one allows.

    likelihood: "mass" is the probability of the pixel's bin, exact, at most 1; "normal" the plain density at pixels to
    which uniform noise was added (`dequantised`), a lower bound of the former (Theis et al. 2016, "A note on the
    evaluation of generative models", eq. 4-6). Either is in nats of a picture whose pixels are a level wide, so
    -log2 p / pixels is in bits a pixel.
    """

    def __init__(self, shape=(28, 28), latent=2, hidden=(512, 256), decoder="independent", width=32, blocks=4,
                 components=1, likelihood="mass", activation="SiLU", least_deviation=LEAST_DEVIATION,
                 told_levels=4):
        shape, hidden = tuple(shape), tuple(hidden)
        super().__init__(shape=shape, latent=latent, hidden=hidden, decoder=decoder, width=width, blocks=blocks,
                         components=components, likelihood=likelihood, activation=activation,
                         least_deviation=least_deviation, told_levels=told_levels)
        check_sizes(shape=shape, hidden=hidden, width=width, blocks=blocks, components=components)
        if not isinstance(told_levels, int) or not 0 <= told_levels < LEVELS:
            raise ValueError(f"told_levels: expected a whole number from 0 to {LEVELS - 1}, found {told_levels!r}")
        if not LEAST_DEVIATION <= least_deviation < MOST_DEVIATION:
            raise ValueError(f"least_deviation: expected from {LEAST_DEVIATION:.3f} to below {MOST_DEVIATION:.0f} "
                             f"levels, found {least_deviation}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, found {activation!r}")
        if likelihood not in ("mass", "normal"):
            raise ValueError(f"likelihood: expected mass or normal, found {likelihood!r}")
        self.shape, self.components, self.likelihood = shape, components, likelihood
        self.log_deviation_range = math.log(least_deviation), math.log(MOST_DEVIATION)
        make, outputs = ACTIVATIONS[activation], 3 * components
        self.encoder = mlp([math.prod(shape), *hidden, 2 * latent], make)
        if decoder == "independent":
            self.decoder = IndependentDecoder((outputs, *shape), latent, hidden, make)
        elif decoder == "raster":
            self.decoder = PixelDecoder(shape, latent, width, blocks, outputs, told_levels)
        else:
            raise ValueError(f"decoder: expected independent or raster, found {decoder!r}")
        self.start_at(torch.arange(LEVELS))

    @torch.no_grad()
    def start_at(self, pixels):
        """Begin where the levels of pixels (any shape) are.

        A raster decoder tells the commonest levels but black from all others. Of several components half are narrow, at
        the commonest levels, each as likely as that level; the others wide, spread from black to white, sharing the
        rest.
        """
        counts = torch.bincount(pixels.flatten().long(), minlength=LEVELS) + 1e-6 * torch.arange(LEVELS)
        if isinstance(self.decoder, PixelDecoder):
            self.decoder.levels.copy_(counts[1:].topk(len(self.decoder.levels)).indices.sort().values + 1)
        if self.components == 1:
            return
        narrow = self.components // 2
        common = counts.argsort(descending=True)[:narrow]
        wide = (torch.arange(self.components - narrow) + 0.5) * LEVELS / (self.components - narrow)
        shares = counts[common] / counts.sum()
        rest = (1 - shares.sum()).clamp_min(1e-3) / len(wide)
        middle, (low, high) = (LEVELS - 1) / 2, self.log_deviation_range
        mean = torch.cat([common.float(), wide])
        log_deviation = torch.cat([torch.full((narrow,), max(-1.0, low + 0.1)),
                                   torch.full((len(wide),), max(math.log(LEVELS / 8), low + 0.1))])
        bias = torch.cat([torch.atanh((mean - middle) / (middle + MEAN_BEYOND)),
                          torch.atanh((log_deviation - (low + high) / 2) * 2 / (high - low)),
                          torch.log(torch.cat([shares, rest.expand(len(wide))]))])
        out = self.decoder.out
        out.bias.copy_(bias.repeat(4) if isinstance(self.decoder, PixelDecoder)
                       else bias.repeat_interleave(math.prod(self.shape)))

    def values(self, x):
        """Pixels as the nets see them, 0 to 1, without the noise that a plain density adds: (B, *shape) -> float."""
        return x.float().round().clamp(0, LEVELS - 1) / (LEVELS - 1)

    @staticmethod
    def dequantised(pixels, generator=None):
        """Pixels of 0..255 with uniform noise over each one's bin, from level - 0.5 to level + 0.5: float."""
        return pixels.float() + torch.rand(pixels.shape, generator=generator).to(pixels.device) - 0.5

    def encode(self, x):
        """Mean and log-variance of q(z | x): (B, *shape) -> (B, latent) each."""
        mean, log_variance = self.encoder(self.values(x).flatten(1)).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def distribution(self, said):
        """Means, log-deviations and log-weights of each pixel's components: (B, 3 components, *shape) -> 3 times
        (B, *shape, components), the first two in levels."""
        said = said.view(len(said), 3 * self.components, *self.shape).movedim(1, -1)
        mean, log_deviation, weight = said.chunk(3, -1)                               # (B, *shape, components)
        middle, (low, high) = (LEVELS - 1) / 2, self.log_deviation_range
        return (middle + (middle + MEAN_BEYOND) * torch.tanh(mean),
                (low + high) / 2 + (high - low) / 2 * torch.tanh(log_deviation), torch.log_softmax(weight, -1))

    def log_likelihood(self, x, z):
        """log p(x | z) in nats: (B, *shape), (B, latent) -> (B,)."""
        return self.log_likelihood_of(x)(z)

    def log_likelihood_of(self, x):
        """The function z -> log p(x | z) of these pictures, (B, latent) -> (B,)."""
        if self.likelihood == "normal" and not x.is_floating_point():
            x = self.dequantised(x)
        each = discretised_normal_log_likelihood if self.likelihood == "mass" else normal_log_likelihood
        raster = isinstance(self.decoder, PixelDecoder)
        known = self.decoder.known_of_pixels(self.values(x)) if raster else None

        def log_likelihood(z):
            said = self.decoder(None, z, known) if raster else self.decoder.logits(None, z)
            mean, log_deviation, log_weight = self.distribution(said)
            return torch.logsumexp(each(x.float(), mean, log_deviation) + log_weight, -1).flatten(1).sum(-1)
        return log_likelihood

    @torch.no_grad()
    def decode_sample(self, z, generator=None):
        """Pictures drawn from p(x | z), independent of each other: (B, latent) -> (B, *shape) uint8."""
        count = 2 * self.components * math.prod(self.shape)
        return self.decode_noise(z, torch.rand(len(z), count, generator=generator).to(z.device))

    @torch.no_grad()
    def decode_noise(self, z, uniform):
        """Pictures at codes from uniform numbers, 2 * components for each pixel of each: a Gumbel variable chooses the
        component (its weight and noise largest), a normal one the level."""
        uniform = uniform.clamp(1e-6, 1 - 1e-6).view(len(z), 2, *self.shape, self.components)
        gumbel, normal = -torch.log(-torch.log(uniform[:, 0])), torch.special.ndtri(uniform[:, 1])

        def answer(said, i):
            mean, log_deviation, log_weight = self.distribution(said)
            chosen = (log_weight + gumbel[i]).argmax(-1, keepdim=True)
            level = (mean + torch.exp(log_deviation) * normal[i]).gather(-1, chosen)[..., 0]
            return level.round().clamp(0, LEVELS - 1) / (LEVELS - 1)                  # (b, *shape)
        if isinstance(self.decoder, PixelDecoder):
            values = self.decoder.draw(z, answer)
        else:
            values = answer(self.decoder.logits(None, z), slice(None))
        return (values * (LEVELS - 1)).round().to(torch.uint8)

    @torch.no_grad()
    def expected(self, z):
        """The mean level of each pixel, of a model of independent pixels: (B, latent) -> (B, *shape) of 0..255."""
        mean, _, log_weight = self.distribution(self.decoder.logits(None, z))
        return (log_weight.exp() * mean.clamp(0, LEVELS - 1)).sum(-1)


class ConvVAE(VAE):
    """A VAE of pictures of sounds (bands, frames), given their class; see convolutions.py for its nets.

    A picture is a log magnitude, normalised. p(x | z, class) is Gaussian with one variance for all pixels, learned and
    bounded; the class is a row (B,) or weights (B, classes), where a sound lies between classes. shape: of a picture.
    patch: pixels seen as one, bands x frames. widths: channels from the finest grid to the coarsest, neck: of the
    coarsest beside the code.

    Training knows the plain VAE: encode, picture, a prior N(0, I). Afterwards `prior`, an invertible map, is fitted to
    where the codes of each class came to lie (train_audio.py); `code` and `decode` go through it, so that a standard
    normal point is a code of any class. Until then it is the identity. spread: the share of the prior's width that
    codes have, 1 for all of it: sounds nearer to the middle of their class are less odd, and less varied.
    """

    def __init__(self, latent=32, shape=(412, 157), classes=8, widths=(16, 32, 64, 96), patch=(8, 4), neck=24,
                 embedding=32, spread=0.8):
        shape, widths, patch = tuple(shape), tuple(widths), tuple(patch)
        super().__init__(latent=latent, shape=shape, classes=classes, widths=widths, patch=patch, neck=neck,
                         embedding=embedding, spread=spread)
        check_sizes(shape=shape, classes=classes, widths=widths, patch=patch, neck=neck, embedding=embedding)
        if len(shape) != 2 or len(patch) != 2 or len(widths) < 2:
            raise ValueError(f"expected shape (bands, frames), a patch of both, at least 2 widths; found {shape}, "
                             f"{patch}, {widths}")
        if not 0 < spread <= 1:
            raise ValueError(f"spread: expected a share above 0 and at most 1, found {spread}")
        self.shape, self.classes, self.spread = shape, classes, spread
        self.low_precision = False  # bfloat16 in training, where the processor has it
        patches = Patches(shape, patch)
        self.embedding = nn.Parameter(torch.randn(classes, embedding))
        self.encoder = ConvEncoder(patches, latent, widths, neck, embedding)
        self.decoder = ConvDecoder(patches, latent, widths, neck, embedding)
        self.mean_picture = nn.Parameter(torch.zeros(shape))  # and what a class adds, by band and frame
        self.class_bands = nn.Parameter(torch.zeros(classes, shape[0]))
        self.class_frames = nn.Parameter(torch.zeros(classes, shape[1]))
        self.log_deviation = nn.Parameter(torch.zeros(()))
        self.prior = CodeFlow(latent, classes).requires_grad_(False)  # fitted after the VAE

    def weights(self, label, count):
        """A label, (B,) rows or (B, classes) weights, as weights (B, classes)."""
        if label is None:
            raise ValueError("label: expected the class of each example, found none")
        label = torch.as_tensor(label, device=self.embedding.device)
        if label.is_floating_point():
            return label.expand(count, self.classes)
        return F.one_hot(label.long(), self.classes).to(self.embedding.dtype).expand(count, -1)

    def precision(self):
        """The context of the nets: bfloat16 in training where low_precision says so, else as they are."""
        return torch.autocast(self.embedding.device.type, torch.bfloat16, enabled=self.low_precision and self.training)

    def encode(self, x, label=None):
        """Mean and log-variance of q(z | x, class), the latter within LOG_VARIANCE_RANGE.  -> (B, latent) each"""
        embedding = self.weights(label, len(x)) @ self.embedding
        with self.precision():
            mean, log_variance = self.encoder(x.float() - self.mean_picture, embedding)
        low, high = LOG_VARIANCE_RANGE
        return mean.float(), (low + high) / 2 + (high - low) / 2 * torch.tanh(log_variance.float() / (high - low))

    def picture(self, z, label=None):
        """The mean of p(x | z, class), of what q(z | x, class) gives: (B, latent) -> (B, bands, frames)."""
        weights = self.weights(label, len(z))
        with self.precision():
            picture = self.decoder(z, weights @ self.embedding)
        by_class = (weights @ self.class_bands)[:, :, None] + (weights @ self.class_frames)[:, None]
        return picture + self.mean_picture + by_class

    def code(self, x, label=None):
        """The code of each picture, a place among standard normal ones: (B, bands, frames) -> (B, latent)."""
        return self.prior.inverse(self.encode(x, label)[0], self.weights(label, len(x)))[0] / self.spread

    def decode(self, code, label=None):
        """The mean picture at each code, where codes of a class are standard normal: (B, latent) -> (B, *shape)."""
        return self.picture(self.prior(self.spread * code, self.weights(label, len(code))), label)

    def log_scale(self):
        """The log of p(x | z)'s standard deviation, from -3 to 1."""
        return -1 + 2 * torch.tanh(2 * self.log_deviation)

    def log_likelihood(self, x, z, label=None):
        """log p(x | z, class) in nats, summed over pixels: (B, bands, frames), (B, latent) -> (B,)."""
        log_scale = self.log_scale()
        error = (x.float() - self.picture(z, label)).flatten(1).square()              # (B, pixels)
        return -(0.5 * torch.exp(-2 * log_scale) * error + log_scale + 0.5 * math.log(2 * math.pi)).sum(-1)

    def decode_sample(self, z, generator=None, label=None):
        """Pictures drawn at codes: `decode`, and noise of the learned deviation.  -> (B, bands, frames)"""
        noise = torch.randn(len(z), *self.shape, generator=generator).to(z.device)
        return self.decode(z, label) + torch.exp(self.log_scale()) * noise

    @torch.no_grad()
    def start_at(self, pictures):
        """Begin where linear methods end: at the mean and the principal components of pictures (n, bands, frames).

        With fewer components than the code has dimensions, the others keep their small random weights.
        """
        self.mean_picture.copy_(torch.stack([part.float().mean(0) * len(part) for part in pictures.split(256)]).sum(0)
                           / len(pictures))
        coarse = torch.cat([self.encoder.patches.cut(part.float() - self.mean_picture).mean(1).flatten(1)
                            for part in pictures.split(256)])                         # (n, patches)
        coarse = coarse - coarse.mean(0)
        count = min(self.latent, len(coarse) - 1, coarse.shape[1])
        if count < 1:
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # svd_lowrank begins at a random guess
            _, sizes, axes = torch.svd_lowrank(coarse, q=min(count + 10, min(coarse.shape)), niter=4)
        deviations = (sizes[:count] / math.sqrt(len(coarse))).clamp_min(1e-3)
        self.encoder.straight.weight[:count] = axes[:, :count].T / deviations[:, None]
        self.decoder.straight.weight[:, :count] = axes[:, :count] * deviations
        self.encoder.straight.bias.zero_()
        self.decoder.straight.bias.zero_()


MODELS = {model.__name__: model for model in (BernoulliVAE, GaussianVAE, ConvVAE)}
