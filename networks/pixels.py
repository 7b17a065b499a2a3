"""The decoder of pictures that knows what it has drawn, and the likelihood of a pixel of 8 bits; tensors to tensors.

A picture is drawn pixel after pixel (van den Oord et al. 2016, "Pixel recurrent neural networks"), given a code of the
whole (Gulrajani et al. 2017, "PixelVAE"). What was drawn before enters by masked convolutions, which no code has
touched; the code joins them at the end. So the bound with many codes of a picture needs its convolutions once.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

LEVELS = 256  # of a pixel, 0 to 255
LEAST_DEVIATION, MOST_DEVIATION = math.exp(-2), math.exp(5)  # of a pixel's Gaussian, in levels: 0.14 to 148
MEAN_BEYOND = 32.0  # levels by which its mean may lie beyond black and white, whose bins reach to infinity


def discretised_normal_log_likelihood(level, mean, log_deviation):
    """log of the mass that normal distributions put on the bin of a level 0..255, so never above 0.

    A level owns what lies within half a level of it, black and white all that lies beyond as well, so the 256 masses
    sum to 1 and -log2 is a length in bits (Salimans et al. 2017, "PixelCNN++", eq. 2, with a normal distribution for
    the logistic one). Level of any shape (...); mean and log_deviation (..., n), in levels, of n distributions each.
    -> (..., n)
    """
    if level.shape != mean.shape[:-1]:
        raise ValueError(f"mean: expected {tuple(level.shape)} and the distributions, found {tuple(mean.shape)}")
    white = (level >= LEVELS - 1)[..., None]
    distance, precision = level[..., None] - mean, torch.exp(-log_deviation)
    # Black and white: all on the outer side of the bin's inner end.
    outer = torch.special.log_ndtr((torch.where(white, -distance, distance) + 0.5) * precision)
    between = ((level > 0) & (level < LEVELS - 1)).nonzero(as_tuple=True)  # few, and they cost more
    # The bin's mirror image weighs the same, and below the mean the difference of two masses cancels least; in 64 bits,
    # where the device has them, it is good to 1e-7 for the widest distribution.
    exact = torch.float32 if mean.device.type == "mps" else torch.float64
    below, precision = -distance[between].abs().to(exact), precision[between].to(exact)
    upper, lower = (torch.special.log_ndtr((below + half) * precision) for half in (0.5, -0.5))
    inner = upper + torch.log(-torch.expm1(lower - upper))
    return outer.index_put(between, inner.to(outer.dtype))


def normal_log_likelihood(level, mean, log_deviation):
    """log of the density of normal distributions at a level, which may be above 0; shapes as above."""
    distance = (level[..., None] - mean) * torch.exp(-log_deviation)
    return -0.5 * distance.square() - log_deviation - 0.5 * math.log(2 * math.pi)


class MaskedConv(nn.Conv2d):
    """A convolution that sees only the places before its own in raster order, and its own if `own`."""

    def __init__(self, channels_in, channels_out, side, own):
        super().__init__(channels_in, channels_out, side, padding=side // 2)
        mask = torch.zeros(side * side)
        mask[:side * side // 2 + own] = 1
        self.register_buffer("mask", mask.view(side, side), persistent=False)

    def forward(self, units):
        return F.conv2d(units, self.weight * self.mask, self.bias, padding=self.padding)


class MaskedBlock(nn.Module):
    """A residual block of places that see those before them and themselves: (B, C, a, b) -> same."""

    def __init__(self, channels, inner):
        super().__init__()
        self.narrow = nn.Conv2d(channels, inner, 1)
        self.masked = MaskedConv(inner, inner, 3, own=True)
        self.widen = nn.Conv2d(inner, channels, 1)
        nn.init.zeros_(self.widen.weight)  # it begins as nothing but the straight road
        nn.init.zeros_(self.widen.bias)

    def forward(self, units):
        return units + self.widen(F.silu(self.masked(F.silu(self.narrow(F.silu(units))))))


class PixelDecoder(nn.Module):
    """What to say of each pixel given a code and the pixels before it.

    The picture is read in squares of 2 x 2 pixels, row by row. Masked convolutions tell each square of those before it
    (but for some far to its right, which they are blind to); inside a square a masked layer lets each of its four
    pixels see those before it (Germain et al. 2015, "MADE"), as in the decoder of bars. A quarter of the places with
    four times the channels is what a processor does best.

    outputs: numbers to say of each pixel. width: channels of the masked convolutions; blocks: how many there are;
    levels: how many levels of 0..255 are told apart from all others, kept in the buffer of that name; units: of the
    masked layer and of the one after it, for each pixel. Shapes below: B pictures of h x w pixels, values from 0
    to 1; a x b squares; C = width; U = 4 units.
    """

    def __init__(self, shape, latent, width, blocks, outputs=1, levels=0, units=48, hidden=256, plane=16):
        super().__init__()
        if len(shape) != 2 or shape[0] % 2 or shape[1] % 2:
            raise ValueError(f"shape: expected (rows, columns) of a picture, both even, found {shape}")
        self.shape, self.outputs = tuple(shape), outputs
        self.low_precision = False  # bfloat16 in training, where the processor has it
        self.squares, numbers = (shape[0] // 2, shape[1] // 2), 3 + levels
        seen = 4 * numbers
        self.place = nn.Parameter(torch.zeros(width, *self.squares))  # where in the picture a square lies
        self.first = MaskedConv(seen, width, 5, own=False)
        self.blocks = nn.ModuleList(MaskedBlock(width, width // 2) for _ in range(blocks))
        self.context = nn.Conv2d(width, 4 * units, 1)
        self.within = nn.Conv2d(seen, 4 * units, 1, bias=False)
        self.deeper = nn.Conv2d(4 * units, 4 * units, 1, groups=4)
        self.code = nn.Sequential(nn.Linear(latent, hidden), nn.SiLU(),
                                  nn.Linear(hidden, plane * math.prod(self.squares)))
        self.code_units = nn.Conv2d(plane, 4 * units, 1)
        self.out = nn.Conv2d(4 * units, 4 * outputs, 1, groups=4)
        self.register_buffer("levels", torch.arange(LEVELS - levels, LEVELS).float(),
                             persistent=levels > 0)
        pixel = torch.arange(4)  # of a square; each number of `seen` is there for all four of its pixels in turn
        mask = pixel.repeat(numbers)[None] < pixel.repeat_interleave(units)[:, None]
        self.register_buffer("within_mask", mask.float()[..., None, None], persistent=False)
        self.to(memory_format=torch.channels_last)  # a fifth faster on a processor

    def matrices(self):
        """The kernels that `optimizers.py` may move by Muon: those between hidden units."""
        return [self.first.weight, *(layer.weight for block in self.blocks
                                     for layer in (block.narrow, block.masked, block.widen)),
                self.context.weight, self.deeper.weight, self.code[0].weight, self.code_units.weight]

    def known_of_pixels(self, values):
        """What the pixels before each say to its units: values (B, h, w) -> (B, U, a, b)."""
        # Ink at all and full ink are told apart: between lie the few pixels of an edge.
        seen = torch.stack([values, (values > 0).float(), (values > 0.97).float()], 1)
        if len(self.levels):  # ink is one of few levels, a 255th apart: too little for a convolution to tell them by
            level = (values * (LEVELS - 1)).round()[:, None]
            seen = torch.cat([seen, (level == self.levels[:, None, None]).float()], 1)
        seen = F.pixel_unshuffle(seen, 2)                                             # (B, 4 numbers, a, b)
        with torch.autocast(values.device.type, torch.bfloat16, enabled=self.low_precision and self.training):
            units = self.first(seen) + self.place                                     # (B, C, a, b)
            for block in self.blocks:
                units = block(units)
            context = self.context(F.silu(units))
        units = context.float() + F.conv2d(seen, self.within.weight * self.within_mask)
        return self.deeper(F.silu(units))

    def say(self, known, z):
        """What is said of each pixel: known (B, U, a, b), z (B, latent) -> (B, outputs, h, w)."""
        plane = self.code(z).view(len(z), -1, *self.squares)                          # (B, plane, a, b)
        said = self.out(F.silu(known + self.code_units(plane)))                       # (B, 4 outputs, a, b)
        return F.pixel_shuffle(said.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), 2)

    def forward(self, values, z, known=None):
        """What is said of each pixel: values (B, h, w), z (B, latent) -> (B, outputs, h, w).

        known: what `known_of_pixels` gives of these values, where it is known already.
        """
        return self.say(self.known_of_pixels(values) if known is None else known, z)

    def draw(self, z, answer):
        """The picture in which each pixel is what `answer` makes of what is said of it: (B, latent) -> (B, h, w).

        answer(said, i): values (b, h, w) of the pictures with indices i (b,) from (b, outputs, h, w). All pixels are
        guessed at once and the guess repeated until it stands: the picture that is drawn pixel by pixel (the
        fixed-point view of Wiggers and Hoogeboom 2020, "Predictive Sampling"), in fewer passes than it has pixels.
        """
        values = torch.zeros(len(z), *self.shape, device=z.device)
        left = torch.arange(len(z), device=z.device)
        for _ in range(math.prod(self.shape) + 1):  # pixel i is right after i + 1 passes
            guess = torch.cat([answer(self(values[part], z[part]), part) for part in left.split(64)])
            moved = (guess != values[left]).flatten(1).any(1)
            values[left] = guess
            left = left[moved]
            if not len(left):
                break
        return values


class RasterDecoder(PixelDecoder):
    """p(picture | z) of 0/1 pixels, each given all before it: says each pixel's logit."""

    def known(self, cells):
        """`known_of_pixels` of flat pixels: (B, pixels) -> (B, C, h, w)."""
        return self.known_of_pixels(cells.view(-1, *self.shape))

    def logits(self, cells, z, known=None):
        """Each pixel's logit given the pixels before it: (B, pixels), (B, latent) -> (B, pixels)."""
        return self(cells.view(-1, *self.shape), z, known).flatten(1)

    def draw(self, z, noise):
        """The picture in which a pixel is 1 where its logit + noise is above 0: (B, latent) -> (B, pixels)."""
        noise = noise.view(-1, 1, *self.shape)
        return super().draw(z, lambda said, i: (said + noise[i] > 0)[:, 0].float()).flatten(1)
