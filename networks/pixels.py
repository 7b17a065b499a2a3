"""Pictures of 8-bit pixels: the distribution of a pixel, and the decoder that draws a picture pixel after pixel.

    mixture = PixelMixture(components=10)
    decoder = PixelDecoder((28, 28), latent=32, width=128, blocks=4, outputs=mixture.outputs)
    log_px = mixture.log_likelihood(x, decoder.parameters_of(x / 255, z))    # (B, 28, 28) of 0..255 -> (B,) nats

The decoder is autoregressive (van den Oord et al. 2016, "Pixel recurrent neural networks"), given a code (Gulrajani et
al. 2017, "PixelVAE"). The code joins after the masked convolutions, so many codes of a picture share their result.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from networks.independent import Decoder, precision

LEVELS = 256  # of a pixel, 0 to 255
LEAST_DEVIATION, MOST_DEVIATION = math.exp(-2), math.exp(5)  # of a pixel's normal distribution, in levels: 0.14 to 148
MEAN_BEYOND = 32.0  # levels by which its mean may lie beyond black and white, whose bins reach to infinity


def discretised_normal_log_likelihood(level, mean, log_deviation):
    """log of the mass of n normal distributions on the bin of a level 0..255: (...), (..., n), (..., n) -> (..., n).

    A bin reaches half a level to either side, those of black and white to infinity, so the 256 masses sum to 1
    (Salimans et al. 2017, "PixelCNN++", eq. 2, with normal distributions). mean and log_deviation are in levels.
    """
    white = (level >= LEVELS - 1)[..., None]
    distance, precision = level[..., None] - mean, torch.exp(-log_deviation)
    # Black and white: all on the outer side of the bin's inner end.
    outer = torch.special.log_ndtr((torch.where(white, -distance, distance) + 0.5) * precision)
    between = ((level > 0) & (level < LEVELS - 1)).nonzero(as_tuple=True)  # few, and they cost more
    # The bin's mirror image below the mean has the same mass, and there the difference cancels least; in 64 bits, where
    # the device has them, it is good to 1e-7 for the widest distribution.
    exact = torch.float32 if mean.device.type == "mps" else torch.float64
    below, precision = -distance[between].abs().to(exact), precision[between].to(exact)
    upper, lower = (torch.special.log_ndtr((below + half) * precision) for half in (0.5, -0.5))
    inner = upper + torch.log(-torch.expm1(lower - upper))
    return outer.index_put(between, inner.to(outer.dtype))


def normal_log_likelihood(level, mean, log_deviation):
    """log of the density of normal distributions at a level, which may be above 0; shapes as above."""
    distance = (level[..., None] - mean) * torch.exp(-log_deviation)
    return -0.5 * distance.square() - log_deviation - 0.5 * math.log(2 * math.pi)


class PixelMixture:
    """The distribution of a pixel of 0..255: a mixture of normal distributions, whose parameters a decoder gives.

    Means lie from MEAN_BEYOND levels below black to as many above white, deviations from least_deviation to
    MOST_DEVIATION levels, so that no likelihood overflows. likelihood: "mass" of the pixel's bin, or "normal" density.
    """

    def __init__(self, components=1, likelihood="mass", least_deviation=LEAST_DEVIATION):
        if not LEAST_DEVIATION <= least_deviation < MOST_DEVIATION:
            raise ValueError(f"least_deviation: expected from {LEAST_DEVIATION:.3f} to below {MOST_DEVIATION:.0f} "
                             f"levels, found {least_deviation}")
        if likelihood not in ("mass", "normal"):
            raise ValueError(f"likelihood: expected mass or normal, found {likelihood!r}")
        self.components, self.outputs = components, 3 * components
        self.log_density = discretised_normal_log_likelihood if likelihood == "mass" else normal_log_likelihood
        self.middle, (self.low, self.high) = (LEVELS - 1) / 2, (math.log(least_deviation), math.log(MOST_DEVIATION))

    def distribution(self, outputs):
        """Means, log-deviations in levels, log-weights: (B, 3 components, *shape) -> (B, *shape, components) each."""
        mean, log_deviation, weight = outputs.movedim(1, -1).chunk(3, -1)             # (B, *shape, components)
        return (self.middle + (self.middle + MEAN_BEYOND) * torch.tanh(mean),
                (self.low + self.high) / 2 + (self.high - self.low) / 2 * torch.tanh(log_deviation),
                torch.log_softmax(weight, -1))

    def initial_outputs(self, counts):
        """Outputs (3 components,) with which to begin, given counts (256,) of the levels; None for one component.
        Half of the components are narrow, at the commonest levels, as likely as these; others wide, for the rest."""
        if self.components == 1:
            return None
        narrow, wide = self.components // 2, self.components - self.components // 2
        common = counts.argsort(descending=True)[:narrow]
        shares = counts[common] / counts.sum()
        rest = (1 - shares.sum()).clamp_min(1e-3) / wide
        mean = torch.cat([common.float(), (torch.arange(wide) + 0.5) * LEVELS / wide])
        log_deviation = torch.tensor([-1.0] * narrow + [math.log(LEVELS / 8)] * wide).clamp_min(self.low + 0.1)
        return torch.cat([torch.atanh((mean - self.middle) / (self.middle + MEAN_BEYOND)),
                          torch.atanh((log_deviation - (self.low + self.high) / 2) * 2 / (self.high - self.low)),
                          torch.log(torch.cat([shares, rest.expand(wide)]))])

    def log_likelihood(self, x, outputs):
        """log p of pictures in nats: (B, *shape), (B, 3 components, *shape) -> (B,)."""
        mean, log_deviation, log_weight = self.distribution(outputs)                  # (B, *shape, components)
        return torch.logsumexp(self.log_density(x.float(), mean, log_deviation) + log_weight, -1).flatten(1).sum(-1)

    @staticmethod
    def noise(uniform):
        """Uniform numbers (B, 2, *shape, components) as noise: Gumbel for the component, normal for the level."""
        choice, level = uniform.clamp(1e-6, 1 - 1e-6).unbind(1)
        return torch.stack([-torch.log(-torch.log(choice)), torch.special.ndtri(level)], 1)

    def choose(self, outputs, noise):
        """Pixels drawn by `noise`, whole levels from 0 to 1: (B, 3 components, *shape) -> (B, *shape)."""
        gumbel, normal = noise.unbind(1)                                              # (B, *shape, components) each
        mean, log_deviation, log_weight = self.distribution(outputs)                  # (B, *shape, components)
        chosen = (log_weight + gumbel).argmax(-1, keepdim=True)                       # (B, *shape, 1)
        level = (mean + torch.exp(log_deviation) * normal).gather(-1, chosen)[..., 0]
        return level.round().clamp(0, LEVELS - 1) / (LEVELS - 1)                      # (B, *shape)

    def mean(self, outputs):
        """The mean level of each pixel: (B, 3 components, *shape) -> (B, *shape) of 0..255."""
        mean, _, log_weight = self.distribution(outputs)
        return (log_weight.exp() * mean.clamp(0, LEVELS - 1)).sum(-1)


class MaskedConv(nn.Conv2d):
    """A convolution that sees only the positions before its own in raster order, and its own if `own`."""

    def __init__(self, channels_in, channels_out, side, own):
        super().__init__(channels_in, channels_out, side, padding=side // 2)
        mask = torch.zeros(side * side)
        mask[:side * side // 2 + own] = 1
        self.register_buffer("mask", mask.view(side, side), persistent=False)

    def forward(self, units):
        return F.conv2d(units, self.weight * self.mask, self.bias, padding=self.padding)


class MaskedBlock(nn.Module):
    """A residual block in which each position sees those before it and itself: (B, C, a, b) -> same."""

    def __init__(self, channels, inner):
        super().__init__()
        self.narrow = nn.Conv2d(channels, inner, 1)
        self.masked = MaskedConv(inner, inner, 3, own=True)
        self.widen = nn.Conv2d(inner, channels, 1)
        nn.init.zeros_(self.widen.weight)  # a block begins as the identity
        nn.init.zeros_(self.widen.bias)

    def forward(self, units):
        return units + self.widen(F.silu(self.masked(F.silu(self.narrow(F.silu(units))))))


class PixelDecoder(Decoder):
    """p(picture | z) in which each pixel depends on the code and on the pixels before it.

    The picture is read in squares of 2 x 2 pixels, row by row, which is fast. Masked convolutions show each square
    those before it (but for some far to its right); inside a square a masked layer lets each of its four pixels depend
    on those before it (Germain et al. 2015, "MADE"). outputs: parameters of a pixel's distribution. width, blocks:
    channels and number of the convolutions. indicator_levels: how many levels of 0..255 have an input channel of their
    own. units: of the masked layer, for each pixel. Shapes below: B pictures of h x w pixels from 0 to 1, in a x b
    squares; C = width; U = 4 units.
    """

    CODE_HIDDEN, CODE_CHANNELS = 256, 16  # of the net from the code to a plane of squares

    def __init__(self, shape, latent, width, blocks, outputs=1, indicator_levels=0, units=48):
        super().__init__()
        if len(shape) != 2 or shape[0] % 2 or shape[1] % 2:
            raise ValueError(f"shape: expected (rows, columns) of a picture, both even, found {shape}")
        if not isinstance(indicator_levels, int) or not 0 <= indicator_levels < LEVELS:
            raise ValueError(f"indicator_levels: expected 0 to {LEVELS - 1}, found {indicator_levels!r}")
        self.shape, self.outputs = tuple(shape), outputs
        self.low_precision = False  # bfloat16 in training, where the processor has it
        self.squares, numbers = (shape[0] // 2, shape[1] // 2), 3 + indicator_levels
        seen = 4 * numbers
        self.position = nn.Parameter(torch.zeros(width, *self.squares))
        self.first = MaskedConv(seen, width, 5, own=False)
        self.blocks = nn.ModuleList(MaskedBlock(width, width // 2) for _ in range(blocks))
        self.context = nn.Conv2d(width, 4 * units, 1)
        self.within = nn.Conv2d(seen, 4 * units, 1, bias=False)
        self.hidden = nn.Conv2d(4 * units, 4 * units, 1, groups=4)
        self.code = nn.Sequential(nn.Linear(latent, self.CODE_HIDDEN), nn.SiLU(),
                                  nn.Linear(self.CODE_HIDDEN, self.CODE_CHANNELS * math.prod(self.squares)))
        self.code_units = nn.Conv2d(self.CODE_CHANNELS, 4 * units, 1)
        self.out = nn.Conv2d(4 * units, 4 * outputs, 1, groups=4)
        levels = torch.arange(LEVELS - indicator_levels, LEVELS).float()
        self.register_buffer("levels", levels, persistent=indicator_levels > 0)
        pixel = torch.arange(4)  # of a square; each number of `seen` is there for all four of its pixels in turn
        mask = pixel.repeat(numbers)[None] < pixel.repeat_interleave(units)[:, None]
        self.register_buffer("within_mask", mask.float()[..., None, None], persistent=False)
        self.to(memory_format=torch.channels_last)  # a fifth faster on a processor

    def muon_weights(self):
        """The kernels between hidden units, which `learning/optimizers.py` may train by Muon."""
        in_blocks = [layer for block in self.blocks for layer in block.children()]
        layers = [self.first, *in_blocks, self.context, self.hidden, self.code[0], self.code_units]
        return [layer.weight for layer in layers]

    def initialise_from_data(self, bias, counts):
        """Begin with outputs `bias` (outputs,) for every pixel, None leaves them, and channels for the commonest levels
        but black, by their counts (256,)."""
        self.levels.copy_(counts[1:].topk(len(self.levels)).indices.sort().values + 1)
        if bias is not None:
            self.out.bias.copy_(bias.repeat(4))

    def cached_context(self, values):
        """What the pixels before each give its units, without the code: (B, h, w) or flat -> (B, U, a, b)."""
        values = values.view(-1, 1, *self.shape)                                      # (B, 1, h, w)
        level = (values * (LEVELS - 1)).round()  # some are a 255th apart: too near for a convolution to see
        # Ink at all and full ink have channels: between lie the few pixels of an edge.
        seen = torch.cat([values, values > 0, values > 0.97, level == self.levels[:, None, None]], 1)
        seen = F.pixel_unshuffle(seen, 2)                                             # (B, 4 numbers, a, b)
        with precision(self, values):
            units = self.first(seen) + self.position                                  # (B, C, a, b)
            for block in self.blocks:
                units = block(units)
            context = self.context(F.silu(units))                                     # (B, U, a, b)
        units = context.float() + F.conv2d(seen, self.within.weight * self.within_mask)
        return self.hidden(F.silu(units))

    def parameters_of(self, values, z, context=None):
        """The outputs of each pixel given those before it: values (B, h, w), z (B, latent) -> (B, outputs, h, w).
        context: `cached_context` of the values, which then are not used."""
        context = self.cached_context(values) if context is None else context         # (B, U, a, b)
        plane = self.code(z).view(len(z), -1, *self.squares)                          # (B, CODE_CHANNELS, a, b)
        outputs = self.out(F.silu(context + self.code_units(plane)))                  # (B, 4 outputs, a, b)
        return F.pixel_shuffle(outputs.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), 2)

    def decode(self, z, choose):
        """The picture in which each pixel is what `choose` makes of its outputs: (B, latent) -> (B, h, w).
        choose(outputs, i): values (b, h, w) of the pictures with indices i (b,) from (b, outputs, h, w). All pixels are
        guessed at once until the guess no longer changes, as in `CausalNet.decode`."""
        values = torch.zeros(len(z), *self.shape, device=z.device)
        left = torch.arange(len(z), device=z.device)
        for _ in range(math.prod(self.shape) + 1):  # pixel i is right after i + 1 passes
            guess = torch.cat([choose(self.parameters_of(values[part], z[part]), part) for part in left.split(64)])
            moved = (guess != values[left]).flatten(1).any(1)
            values[left] = guess
            left = left[moved]
            if not len(left):
                break
        return values
