"""The nets of a VAE of spectrograms: encoder and decoder.

    encoder = ConvEncoder(Patches((412, 157), (8, 4)), 32, widths=(16, 32, 64, 96), bottleneck=24, embedding=32)
    mean, log_variance = encoder(x, embedding)                # (B, 412, 157), (B, 32) -> (B, 32) each

Encoder and decoder are the sum of two nets. One is linear, on the mean of each patch, and begins at the principal
components of a collection; the other is a stack of convolutions, which learns what is left. Shapes below: B
spectrograms, P = p x q pixels of a patch, a x b patches of a spectrogram, E numbers of a class's embedding.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from networks.independent import check_sizes


class ResidualBlock(nn.Module):
    """Two convolutions and the identity, given a condition (Perez et al. 2018, "FiLM"): (B, C, ...) -> same."""

    def __init__(self, channels, condition):
        super().__init__()
        groups = math.gcd(channels, 8)
        self.first_norm, self.second_norm = nn.GroupNorm(groups, channels), nn.GroupNorm(groups, channels, affine=False)
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.film = nn.Linear(condition, 2 * channels)
        nn.init.zeros_(self.second.weight)  # a block begins as the identity
        nn.init.zeros_(self.second.bias)

    def forward(self, units, condition):
        scale, shift = self.film(condition)[..., None, None].chunk(2, 1)              # (B, C, 1, 1)
        inner = self.first(F.silu(self.first_norm(units)))
        inner = self.second_norm(inner) * (1 + scale) + shift
        return units + self.second(F.silu(inner))


class Patches(nn.Module):
    """A spectrogram cut into patches, and put together again: (B, *shape) <-> (B, P, a, b)."""

    def __init__(self, shape, patch):
        super().__init__()
        check_sizes(shape=shape, patch=patch)
        if len(shape) != 2 or len(patch) != 2:
            raise ValueError(f"expected shape (bands, frames) and a patch of both, found {shape} and {patch}")
        self.shape, self.patch = tuple(shape), tuple(patch)
        self.grid = tuple(-(-size // length) for size, length in zip(shape, patch))

    def grids(self, levels):
        """The grid of patches, and those that convolutions of stride 2 leave of it: `levels` pairs."""
        return [tuple(-(-size // 2 ** level) for size in self.grid) for level in range(levels)]

    def cut(self, spectrogram):
        """(B, *shape) -> (B, P, a, b); the last patches are filled up with the spectrogram's edge."""
        (a, b), (p, q), (rows, columns) = self.grid, self.patch, self.shape
        filled = F.pad(spectrogram[:, None], (0, b * q - columns, 0, a * p - rows), mode="replicate")
        return filled.view(-1, a, p, b, q).permute(0, 2, 4, 1, 3).reshape(-1, p * q, a, b)

    def join(self, patches):
        """The inverse of `cut`: (B, P, a, b) -> (B, *shape)."""
        (a, b), (p, q), (rows, columns) = self.grid, self.patch, self.shape
        return patches.view(-1, p, q, a, b).permute(0, 3, 1, 4, 2).reshape(-1, a * p, b * q)[:, :rows, :columns]

    def upsample(self, coarse):
        """One number a patch, (B, 1, a, b), as a smooth spectrogram (B, *shape)."""
        rows, columns = self.shape
        return F.interpolate(coarse, scale_factor=self.patch, mode="bilinear")[:, 0, :rows, :columns]


class ConvEncoder(nn.Module):
    """Spectrograms to the mean and log-variance of their codes: (B, *shape), (B, E) -> (B, latent) each, unbounded."""

    def __init__(self, patches, latent, widths, bottleneck, embedding):
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"widths: expected at least 2, found {widths}")
        self.patches = patches
        self.stem = nn.Conv2d(math.prod(patches.patch), widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(*pair, 3, 2, 1) for pair in zip(widths[:-1], widths[1:]))
        # The finest level, where a block would cost most, has none.
        self.blocks = nn.ModuleList(ResidualBlock(width, embedding) for width in widths[2:])
        self.bottleneck = nn.Conv2d(widths[-1], bottleneck, 1)
        self.code = nn.Linear(bottleneck * math.prod(patches.grids(len(widths))[-1]), 2 * latent)
        self.linear_skip = nn.Linear(math.prod(patches.grid), latent)
        nn.init.normal_(self.code.weight, 0, 0.03 / math.sqrt(self.code.in_features))

    def forward(self, spectrogram, embedding):
        patches = self.patches.cut(spectrogram)                                       # (B, P, a, b)
        units = self.down[0](F.silu(self.stem(patches)))
        for down, block in zip(self.down[1:], self.blocks):
            units = block(down(F.silu(units)), embedding)
        mean, log_variance = self.code(self.bottleneck(F.silu(units)).flatten(1)).chunk(2, -1)
        return mean + self.linear_skip(patches.mean(1).flatten(1)), log_variance


class ConvDecoder(nn.Module):
    """Codes to spectrograms: (B, latent), (B, E) -> (B, *shape)."""

    def __init__(self, patches, latent, widths, bottleneck, embedding, units=128):
        super().__init__()
        self.patches, self.grids, down = patches, patches.grids(len(widths)), widths[::-1]
        self.condition = nn.Sequential(nn.Linear(latent + embedding, units), nn.SiLU())
        self.start = nn.Linear(latent + embedding, bottleneck * math.prod(self.grids[-1]))
        self.bottleneck = nn.Conv2d(bottleneck, widths[-1], 1)
        self.blocks = nn.ModuleList(ResidualBlock(width, units) for width in down[:-1])
        self.up = nn.ModuleList(nn.Conv2d(wide, 4 * narrow, 1) for wide, narrow in zip(down[:-1], down[1:]))
        self.mix = nn.Conv2d(widths[0] + 1, widths[0], 3, padding=1)
        self.out = nn.Conv2d(widths[0], math.prod(patches.patch), 3, padding=1)
        self.linear_skip = nn.Linear(latent, math.prod(patches.grid))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, z, embedding):
        coarse = self.linear_skip(z).view(-1, 1, *self.patches.grid)                  # (B, 1, a, b)
        z = torch.cat([z, embedding], -1)                                             # (B, latent + E)
        condition = self.condition(z)                                                 # (B, units)
        units = self.bottleneck(self.start(z).view(len(z), -1, *self.grids[-1]))
        for block, up, (rows, columns) in zip(self.blocks, self.up, self.grids[-2::-1]):
            units = up(F.silu(block(units, condition)))                               # (B, 4 C, rows / 2, columns / 2)
            units = F.pixel_shuffle(units, 2)[:, :, :rows, :columns]                  # (B, C, rows, columns)
        units = units + self.mix(torch.cat([F.silu(units), coarse], 1))
        return self.patches.join(self.out(F.silu(units)).float()) + self.patches.upsample(coarse.float())


def initialise_linear(encoder, decoder, x):
    """Begin the linear nets at the principal components of spectrograms (n, *shape), so that codes have unit variance,
    and return their mean. Where there are fewer components than dimensions, the others keep random weights."""
    parts = x.split(256)
    mean = torch.stack([part.float().mean(0) * len(part) for part in parts]).sum(0) / len(x)
    coarse = torch.cat([encoder.patches.cut(part.float() - mean).mean(1).flatten(1) for part in parts])  # (n, a b)
    count = min(len(encoder.linear_skip.weight), len(coarse) - 1, coarse.shape[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # it begins at a random guess
        _, sizes, axes = torch.pca_lowrank(coarse, q=min(count + 10, *coarse.shape), niter=4)
    deviations = (sizes[:count] / math.sqrt(len(coarse))).clamp_min(1e-3)
    encoder.linear_skip.weight[:count] = axes[:, :count].T / deviations[:, None]
    decoder.linear_skip.weight[:, :count] = axes[:, :count] * deviations
    encoder.linear_skip.bias.zero_()
    decoder.linear_skip.bias.zero_()
    return mean
