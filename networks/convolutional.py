"""The nets of a VAE of pictures: an encoder, a decoder, and where a class has its codes. Tensors to tensors.

Both nets take two roads side by side. The straight one is linear, on the picture seen coarsely: it can start at the
principal components of a collection. The other is a stack of convolutions, and learns what is left. Shapes below: B
pictures, P = p x q pixels of a patch, G = a x b patches of a picture.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

STRETCH = 2.0  # the most that a layer of CodeFlow stretches or shrinks a number, as a logarithm


def halved(size):
    """The sizes of what a convolution of stride 2 leaves: (rows, columns) -> (rows, columns)."""
    return tuple(-(-length // 2) for length in size)


class ResidualBlock(nn.Module):
    """Two convolutions beside a straight road, given a condition (Perez et al. 2018, "FiLM").  (B, C, ...) -> same"""

    def __init__(self, channels, condition):
        super().__init__()
        groups = math.gcd(channels, 8)
        self.first_norm, self.second_norm = nn.GroupNorm(groups, channels), nn.GroupNorm(groups, channels, affine=False)
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.film = nn.Linear(condition, 2 * channels)
        nn.init.zeros_(self.second.weight)  # a block begins as nothing but the straight road
        nn.init.zeros_(self.second.bias)

    def forward(self, units, condition):
        scale, shift = self.film(condition)[..., None, None].chunk(2, 1)              # (B, C, 1, 1)
        inner = self.first(F.silu(self.first_norm(units)))
        inner = self.second_norm(inner) * (1 + scale) + shift
        return units + self.second(F.silu(inner))


class Patches(nn.Module):
    """A picture cut into patches, and put together again: (B, *shape) <-> (B, P, a, b)."""

    def __init__(self, shape, patch):
        super().__init__()
        self.shape, self.patch = tuple(shape), tuple(patch)
        self.grid = tuple(-(-size // side) for size, side in zip(shape, patch))

    def cut(self, picture):
        """(B, *shape) -> (B, P, a, b); the last patches are filled up with the picture's edge."""
        (a, b), (p, q), (rows, columns) = self.grid, self.patch, self.shape
        filled = F.pad(picture[:, None], (0, b * q - columns, 0, a * p - rows), mode="replicate")
        return filled.view(-1, a, p, b, q).permute(0, 2, 4, 1, 3).reshape(-1, p * q, a, b)

    def join(self, patches):
        """(B, P, a, b) -> (B, *shape)"""
        (a, b), (p, q), (rows, columns) = self.grid, self.patch, self.shape
        return patches.view(-1, p, q, a, b).permute(0, 3, 1, 4, 2).reshape(-1, a * p, b * q)[:, :rows, :columns]

    def spread(self, coarse):
        """One number a patch, (B, 1, a, b), as a smooth picture (B, *shape)."""
        spread = F.interpolate(coarse, scale_factor=self.patch, mode="bilinear")
        return spread[:, 0, :self.shape[0], :self.shape[1]]


class ConvEncoder(nn.Module):
    """Pictures to the mean and the unbounded log-variance of their codes: (B, *shape), (B, E) -> (B, latent) each."""

    def __init__(self, patches, latent, widths, neck, embedding):
        super().__init__()
        self.patches = patches
        grids = [patches.grid]
        for _ in widths[1:]:
            grids.append(halved(grids[-1]))
        self.stem = nn.Conv2d(math.prod(patches.patch), widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(*pair, 3, 2, 1) for pair in zip(widths[:-1], widths[1:]))
        # The finest level, where a block would cost most, goes without.
        self.blocks = nn.ModuleList(ResidualBlock(width, embedding) for width in widths[2:])
        self.neck = nn.Conv2d(widths[-1], neck, 1)
        self.code = nn.Linear(neck * math.prod(grids[-1]), 2 * latent)
        self.straight = nn.Linear(math.prod(patches.grid), latent)
        nn.init.normal_(self.code.weight, 0, 0.03 / math.sqrt(self.code.in_features))

    def forward(self, picture, embedding):
        patches = self.patches.cut(picture)                                           # (B, P, a, b)
        units = self.stem(patches)
        for level, down in enumerate(self.down):
            units = down(F.silu(units))
            if level > 0:
                units = self.blocks[level - 1](units, embedding)
        mean, log_variance = self.code(self.neck(F.silu(units)).flatten(1)).chunk(2, -1)
        return mean + self.straight(patches.mean(1).flatten(1)), log_variance


class ConvDecoder(nn.Module):
    """Codes to pictures: (B, latent), (B, E) -> (B, *shape)."""

    def __init__(self, patches, latent, widths, neck, embedding, units=128):
        super().__init__()
        self.patches = patches
        self.grids = [patches.grid]
        for _ in widths[1:]:
            self.grids.append(halved(self.grids[-1]))
        down = widths[::-1]
        self.condition = nn.Sequential(nn.Linear(latent + embedding, units), nn.SiLU())
        self.start = nn.Linear(latent + embedding, neck * math.prod(self.grids[-1]))
        self.neck = nn.Conv2d(neck, widths[-1], 1)
        self.blocks = nn.ModuleList(ResidualBlock(width, units) for width in down[:-1])
        self.up = nn.ModuleList(nn.Conv2d(wide, 4 * narrow, 1) for wide, narrow in zip(down[:-1], down[1:]))
        self.mix = nn.Conv2d(widths[0] + 1, widths[0], 3, padding=1)
        self.out = nn.Conv2d(widths[0], math.prod(patches.patch), 3, padding=1)
        self.straight = nn.Linear(latent, math.prod(patches.grid))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, z, embedding):
        coarse = self.straight(z).view(-1, 1, *self.patches.grid)                     # (B, 1, a, b)
        given = torch.cat([z, embedding], -1)
        condition = self.condition(given)
        units = self.neck(self.start(given).view(len(z), -1, *self.grids[-1]))
        for block, up, (rows, columns) in zip(self.blocks, self.up, self.grids[-2::-1]):
            units = up(F.silu(block(units, condition)))                               # (B, 4 C, rows / 2, columns / 2)
            units = F.pixel_shuffle(units, 2)[:, :, :rows, :columns]                  # (B, C, rows, columns)
        units = units + self.mix(torch.cat([F.silu(units), coarse], 1))
        return self.patches.join(self.out(F.silu(units)).float()) + self.patches.spread(coarse.float())


class CodeFlow(nn.Module):
    """Where the codes of a class lie: an invertible map between standard normal noise and codes, given the class.

    Affine coupling layers (Dinh et al. 2017, "Real NVP", eq. 7-8): half of the numbers is stretched and shifted by
    what a small net reads off the other half. It is fitted to the codes of the training examples when the VAE is done
    (Dai and Wipf 2019, "Diagnosing and enhancing VAE models", whose second stage it is). It begins as the identity.
    """

    def __init__(self, latent, embedding, layers=8, hidden=128):
        super().__init__()
        order = torch.stack([torch.randperm(latent, generator=torch.Generator().manual_seed(layer))
                             for layer in range(layers)])
        self.register_buffer("order", order)
        self.register_buffer("inverse_order", order.argsort(1), persistent=False)
        self.half = latent // 2
        rest = latent - self.half
        self.nets = nn.ModuleList(nn.Sequential(nn.Linear(self.half + embedding, hidden), nn.SiLU(),
                                                nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 2 * rest))
                                  for _ in range(layers))
        self.place = nn.Linear(embedding, 2 * latent)
        for layer in [*(net[-1] for net in self.nets), self.place]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @staticmethod
    def _bounded(numbers):
        """Log-stretch and shift, of which the first is bounded."""
        stretch, shift = numbers.chunk(2, -1)
        return STRETCH * torch.tanh(stretch / STRETCH), shift

    def forward(self, noise, embedding):
        """Noise to codes: (B, latent), (B, E) -> (B, latent)."""
        for net, order, back in zip(self.nets, self.order, self.inverse_order):
            kept, moved = noise[:, order].split([self.half, noise.shape[1] - self.half], -1)
            stretch, shift = self._bounded(net(torch.cat([kept, embedding], -1)))
            noise = torch.cat([kept, moved * torch.exp(stretch) + shift], -1)[:, back]
        stretch, shift = self._bounded(self.place(embedding))
        return noise * torch.exp(stretch) + shift

    def inverse(self, codes, embedding):
        """Codes to noise, and the log of the map's volume: (B, latent), (B, E) -> (B, latent), (B,)."""
        stretch, shift = self._bounded(self.place(embedding))
        codes, volume = (codes - shift) * torch.exp(-stretch), -stretch.sum(-1)
        for net, order, back in zip(reversed(self.nets), self.order.flip(0), self.inverse_order.flip(0)):
            kept, moved = codes[:, order].split([self.half, codes.shape[1] - self.half], -1)
            stretch, shift = self._bounded(net(torch.cat([kept, embedding], -1)))
            codes = torch.cat([kept, (moved - shift) * torch.exp(-stretch)], -1)[:, back]
            volume = volume - stretch.sum(-1)
        return codes, volume

    def log_density(self, codes, embedding):
        """log p(codes | class) in nats: (B, latent), (B, E) -> (B,)."""
        noise, volume = self.inverse(codes, embedding)
        return volume - 0.5 * (noise.square().sum(-1) + noise.shape[1] * math.log(2 * math.pi))
