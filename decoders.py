"""The decoders of the Bernoulli VAE: from a code, cells and how hard each is struck; tensors to tensors.

Each gives the logits of all cells for a given bar, `logits(cells, z)`, and the bar for given noise, `draw(z,
noise)`. All are built from plain numbers, and their likelihoods are per example, in nats.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def mlp(sizes, activation=nn.SiLU):
    """Linear layers of the given sizes with the activation between them, none after the last."""
    layers = []
    for size_in, size_out in zip(sizes[:-1], sizes[1:]):
        layers += [nn.Linear(size_in, size_out), activation()]
    return nn.Sequential(*layers[:-1])


def drop(units, uniform, rate):
    """Dropout with given uniform numbers, so that it is the same in any number of processes; None drops nothing."""
    if uniform is None or rate == 0:
        return units
    return units * (uniform > rate).to(units.dtype) / (1 - rate)


def logistic_log_likelihood(value, mean, log_scale):
    """log of the mass that a logistic distribution puts on the integers 1..127, elementwise, so never above 0.

    The discretised logistic of Salimans et al. 2017 (PixelCNN++, eq. 2): each integer owns the bin around it, the two
    ends own the tails, so the 127 masses sum to 1.
    """
    scale = torch.exp(-log_scale)
    upper, lower = (value + 0.5 - mean) * scale, (value - 0.5 - mean) * scale
    # log(sigmoid(u) - sigmoid(l)) = log sigmoid(u) + log sigmoid(-l) + log(1 - exp(l - u)): stable in both tails.
    middle = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    return torch.where(value <= 1, F.logsigmoid(upper), torch.where(value >= 127, F.logsigmoid(-lower), middle))


def logistic_noise(shape, generator=None):
    """Standard logistic variables: logit + noise > 0 with probability sigmoid(logit)."""
    uniform = torch.rand(shape, generator=generator).clamp(1e-7, 1 - 1e-7)
    return torch.log(uniform) - torch.log1p(-uniform)


def noise_field(z, cells, count, seed, reach=2.0, waves=32):
    """Logistic noise that changes slowly over the latent space: (B, latent) -> (B, count, cells).

    A Gaussian process with covariance exp(-distance^2 / (2 reach^2)), as a sum of waves with random directions
    (Rahimi and Recht 2007, "Random Features"), brought to the logistic distribution. At one point, over the seeds, it
    is just independent logistic noise; at one seed, near points have near noise and far points have their own.
    """
    generator = torch.Generator().manual_seed(seed or 0)
    frequencies = torch.randn(waves, z.shape[1], generator=generator).to(z.device) / reach
    weights = torch.randn(2 * waves, count * cells, generator=generator).to(z.device) / math.sqrt(waves)
    phases = z.float() @ frequencies.T                                                # (B, waves)
    normal = torch.cat([phases.cos(), phases.sin()], -1) @ weights                    # (B, count * cells)
    return (torch.special.log_ndtr(normal) - torch.special.log_ndtr(-normal)).view(-1, count, cells)


class IndependentDecoder(nn.Module):
    """p(x | z) with every cell on its own: one pass gives all cells' logits.  z (B, latent) -> (B, cells)"""

    def __init__(self, shape, latent, hidden, activation, rate=0.0):
        super().__init__()
        sizes = [latent, *reversed(hidden)]
        self.units = nn.Sequential(mlp(sizes, activation), activation())
        self.out = nn.Linear(sizes[-1], math.prod(shape))
        self.rate, self.dropout_units = rate, sizes[-1]

    def logits(self, cells, z, dropout=None):
        """Logits of all cells; `cells` is not looked at."""
        return self.out(drop(self.units(z), dropout, self.rate))

    def draw(self, z, noise):
        """The cells whose logit + noise is above 0; with logistic noise, a draw from p(x | z)."""
        return (self.logits(None, z) + noise > 0).float()


class CausalDecoder(nn.Module):
    """p(bar | z) with every cell given all that was played before it: a drummer knows what he has just played.

    The bar is read step by step, the rows of a step from the kick down. A GRU carries what was played up to the last
    sixteenth (a block of 4 steps x 8 rows = 32 cells); inside a block a masked layer lets each cell see only the
    cells before it (Germain et al. 2015, "MADE", eq. 12-13). Shapes below: B bars, T = 16 blocks, C = 32 cells.
    """

    def __init__(self, shape, latent, width, rate=0.0, block=4):
        super().__init__()
        if len(shape) != 2 or shape[1] % block:
            raise ValueError(f"shape: expected (rows, steps), the steps in whole blocks of {block}, found {shape}")
        rows, steps = shape
        self.shape, self.blocks, self.cells = tuple(shape), steps // block, rows * block
        units = 8 * self.cells  # of the masked layer: eight for each cell
        self.code = nn.Sequential(nn.Linear(latent, 128), nn.SiLU(), nn.Linear(128, 64))
        self.place = nn.Parameter(0.1 * torch.randn(self.blocks, 32))  # where in the bar a block stands
        self.past = nn.Linear(self.cells, 128)
        self.memory = nn.GRU(128 + 32 + 64, width, batch_first=True)
        self.context = nn.Linear(width + 32 + 64, units)
        self.within = nn.Linear(self.cells, units, bias=False)
        self.out = nn.Linear(units, self.cells)
        self.direct = nn.Linear(self.cells, self.cells, bias=False)
        self.rate, self.dropout_units = rate, 128 + width + units
        order = torch.arange(self.cells)
        degree = torch.arange(units) % self.cells  # a unit of degree d sees the cells before d, and cell i sees d <= i
        self.register_buffer("within_mask", (order[None] < degree[:, None]).float(), persistent=False)
        self.register_buffer("out_mask", (degree[None] <= order[:, None]).float(), persistent=False)
        self.register_buffer("direct_mask", (order[None] < order[:, None]).float(), persistent=False)

    def to_blocks(self, cells):
        """(B, rows * steps), row by row as a matrix is stored -> (B, T, C), step by step."""
        return cells.view(-1, *self.shape).transpose(1, 2).reshape(-1, self.blocks, self.cells)

    def from_blocks(self, blocks):
        """The way back: (B, T, C) -> (B, rows * steps)."""
        rows, steps = self.shape
        return blocks.reshape(-1, steps, rows).transpose(1, 2).reshape(-1, rows * steps)

    def surroundings(self, z):
        """What every block of a bar knows before a note is played: its place and the code.  -> (B, T, 96)"""
        place = self.place.expand(len(z), -1, -1)
        return torch.cat([place, self.code(z)[:, None].expand(-1, self.blocks, -1)], -1)

    def masked_weights(self):
        """The weights between the cells of a block, with those from a cell to itself or to an earlier one at zero."""
        return torch.cat([self.within.weight * self.within_mask, self.direct.weight * self.direct_mask]), \
            self.out.weight * self.out_mask

    def block_logits(self, block, context, weights, dropout=None):
        """Logits of the cells of a block given the cells before each: (..., C), (..., units) -> (..., C)."""
        from_cells, from_units = weights
        units, direct = F.linear(block, from_cells).split([len(from_cells) - self.cells, self.cells], -1)
        units = drop(F.silu(context + units), dropout, self.rate)                     # (..., units)
        return F.linear(units, from_units, self.out.bias) + direct                    # (..., C)

    def logits(self, cells, z, dropout=None):
        """Each cell's logit given the cells before it: (B, cells), (B, latent) -> (B, cells).

        Dropout takes a unit out of the whole bar (Gal and Ghahramani 2016): (B, dropout_units) uniform numbers.
        """
        sizes = (128, self.memory.hidden_size, self.context.out_features)
        past, memory, units = (None,) * 3 if dropout is None else dropout[:, None].split(sizes, -1)
        blocks, around = self.to_blocks(cells), self.surroundings(z)                  # (B, T, C), (B, T, 96)
        before = drop(self.past(F.pad(blocks, (0, 0, 1, 0))[:, :-1]), past, self.rate / 3)  # (B, T, 128)
        state, _ = self.memory(torch.cat([before, around], -1))                       # (B, T, width)
        state = drop(state, memory, self.rate)
        context = self.context(torch.cat([state, around], -1))                        # (B, T, units)
        return self.from_blocks(self.block_logits(blocks, context, self.masked_weights(), units))  # (B, cells)

    def draw(self, z, noise):
        """The bar in which a cell is struck where its logit, given the cells before it, + noise is above 0.

        With logistic noise this is an exact draw from p(bar | z). All cells of a block are guessed at once and the
        guess repeated until it stands: the answer of cell-by-cell drawing, reached in a few passes instead of 32
        (the fixed-point view of Wiggers and Hoogeboom 2020, "Predictive Sampling").
        """
        noise, around, weights = self.to_blocks(noise), self.surroundings(z), self.masked_weights()
        gates = [getattr(self.memory, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        block, state, drawn = z.new_zeros(len(z), self.cells), z.new_zeros(len(z), self.memory.hidden_size), []
        for t in range(self.blocks):
            state = torch.gru_cell(torch.cat([self.past(block), around[:, t]], -1), state, *gates)  # (B, width)
            context = self.context(torch.cat([state, around[:, t]], -1))              # (B, units)
            threshold, block = -noise[:, t], torch.zeros_like(block)
            for _ in range(self.cells + 1):  # cell i is right after i + 1 passes at the latest
                guess = (self.block_logits(block, context, weights) > threshold).float()
                if torch.equal(guess, block):
                    break
                block = guess
            drawn.append(block)
        return self.from_blocks(torch.stack(drawn, 1))


class VelocityNet(nn.Module):
    """How hard each hit is struck, given all hits and the code: a logistic distribution on 1..127 for every cell."""

    def __init__(self, cells, latent, width=96, rate=0.0):
        super().__init__()
        self.first, self.second = nn.Linear(cells + latent, width), nn.Linear(width, width)
        self.out = nn.Linear(width, 2 * cells)
        self.rate, self.dropout_units = rate, 2 * width

    def forward(self, cells, z, dropout=None):
        """Mean and log-scale, both bounded: (B, cells), (B, latent) -> (B, cells) each."""
        first, second = (None, None) if dropout is None else dropout.chunk(2, -1)
        units = drop(F.silu(self.first(torch.cat([cells, z], -1))), first, self.rate)  # (B, width)
        units = drop(F.silu(self.second(units)), second, self.rate)                   # (B, width)
        mean, log_scale = torch.tanh(self.out(units)).chunk(2, -1)                    # (B, cells)
        return 64 + 64 * mean, 2 + 2 * log_scale  # means from 0 to 128, scales from 1 to e^4
