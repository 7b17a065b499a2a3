"""networks/causal: to be written."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


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


class CausalNet(nn.Module):
    """What to say of each cell of a bar given all that was played before it: a drummer knows what he has just played.

    The bar is read step by step, the rows of a step from the kick down, in blocks of a sixteenth (4 steps x 8 rows =
    32 cells). The same layers stand before every block and see the blocks before it by how long ago they were, since
    bars repeat themselves: a causal convolution that reaches over the whole bar. Inside a block a masked layer lets
    each cell see only the cells before it (Germain et al. 2015, "MADE", eq. 12-13).

    told: numbers known of the whole bar, such as its code. beside: numbers known of each block beforehand. outputs:
    numbers to say of each cell. width: of the layers before a block; units: of the masked layer, for each cell.
    rate: of dropout. Shapes below: B bars, T = 16 blocks, C = 32 cells a block, K = width + units.
    """

    def __init__(self, shape, told, width, outputs=1, beside=0, units=8, rate=0.0, block=4):
        super().__init__()
        if len(shape) != 2 or shape[1] % block:
            raise ValueError(f"shape: expected (rows, steps), the steps in whole blocks of {block}, found {shape}")
        rows, steps = shape
        self.shape, self.blocks, self.cells = tuple(shape), steps // block, rows * block
        self.outputs, units, past = outputs, units * self.cells, max(1, steps // block - 1) * self.cells
        self.code = nn.Sequential(nn.Linear(told, 128), nn.SiLU(), nn.Linear(128, 64), nn.Linear(64, width + units))
        self.place = nn.Parameter(0.1 * torch.randn(self.blocks, width + units))  # where in the bar a block stands
        self.beside = nn.Linear(beside, width + units, bias=False) if beside else None
        self.past = nn.Parameter(torch.randn(past, width + units) / past ** 0.5)  # the block just played first
        self.deeper = nn.Linear(width, width)
        self.context = nn.Linear(width, units)
        self.within = nn.Linear(self.cells, units, bias=False)
        self.out = nn.Linear(units, outputs * self.cells)
        self.direct = nn.Linear(self.cells, outputs * self.cells, bias=False)
        self.low_precision = False  # bfloat16 in training, where the processor has it
        self.rate = rate
        order = torch.arange(self.cells)
        degree = torch.arange(units) % self.cells  # a unit of degree d sees the cells before d, and cell i sees d <= i
        self.register_buffer("within_mask", (order[None] < degree[:, None]).float(), persistent=False)
        self.register_buffer("out_mask", (degree[None] <= order[:, None]).float().repeat(outputs, 1), persistent=False)
        self.register_buffer("direct_mask", (order[None] < order[:, None]).float().repeat(outputs, 1),
                             persistent=False)

    def to_blocks(self, cells):
        """(..., rows * steps), row by row as a matrix is stored -> (..., T, C), step by step."""
        return cells.unflatten(-1, self.shape).mT.flatten(-2).unflatten(-1, (self.blocks, self.cells))

    def from_blocks(self, blocks):
        """The way back: (..., T, C) -> (..., rows * steps)."""
        rows, steps = self.shape
        return blocks.flatten(-2).unflatten(-1, (steps, rows)).mT.flatten(-2)

    def known_before(self, told, beside):
        """What is known of every block before a note is played: its place, the code, what stands beside it."""
        known = self.place + self.code(told)[:, None]                                 # (B, T, K)
        return known if beside is None else known + self.beside(beside)

    def known_of_past(self, blocks):
        """What the blocks played before each block add to that: (B, T, C) -> (B, T, K).

        A matrix product with the rows `seen`, of which few cells are not zero: so only those are added up.
        """
        seen = torch.cat([F.pad(blocks, (0, 0, ago, 0))[:, :self.blocks] for ago in range(1, max(2, self.blocks))], -1)
        seen = self.drop(seen, self.rate / 2).flatten(0, 1)                           # (B T, past)
        where = seen.nonzero()
        counts = torch.bincount(where[:, 0], minlength=len(seen))
        known = F.embedding_bag(where[:, 1], self.past, counts.cumsum(0) - counts, mode="sum",
                                per_sample_weights=seen[where[:, 0], where[:, 1]])
        return known.view(*blocks.shape[:2], known.shape[-1])

    def drop(self, units, rate):
        """Dropout in training that takes a unit out of the whole bar (Gal and Ghahramani 2016): (B, T, n) -> same."""
        if rate == 0 or not self.training:
            return units
        return units * F.dropout(torch.ones_like(units[:, :1]), rate)

    def context_of(self, known):
        """What the masked layer is told: what is known of blocks (B, T, K) -> (B, T, units)."""
        state, direct = known.split([self.deeper.in_features, self.context.out_features], -1)
        state = self.drop(F.silu(state), self.rate)                                   # (B, T, width)
        state = state + self.drop(F.silu(self.deeper(state)), self.rate)
        return self.context(state) + direct

    def masked_weights(self):
        """The weights between the cells of a block, with those from a cell to itself or to an earlier one at zero."""
        return torch.cat([self.within.weight * self.within_mask, self.direct.weight * self.direct_mask]), \
            self.out.weight * self.out_mask

    def say(self, block, context, weights):
        """What is said of each cell given those before it: (B, T, C), (B, T, units) -> (B, T, outputs C)."""
        from_cells, from_units = weights
        units, direct = F.linear(block, from_cells).split([context.shape[-1], len(from_units)], -1)
        units = self.drop(F.silu(context + units), self.rate)                         # (B, T, units)
        return F.linear(units, from_units, self.out.bias) + direct                    # (B, T, outputs C)

    def known(self, values):
        """`known_of_past` of whole bars: (B, cells) -> (B, T, K)."""
        return self.known_of_past(self.to_blocks(values))

    def forward(self, values, told, beside=None, known=None):
        """What is said of each cell: values (B, cells), told (B, n) -> (B, outputs, cells).

        known: what `known` gives of these values, where it is known already.
        """
        blocks = self.to_blocks(values)                                               # (B, T, C)
        known = self.known_before(told, beside) + (self.known(values) if known is None else known)
        with torch.autocast(values.device.type, torch.bfloat16, enabled=self.low_precision and self.training):
            said = self.say(blocks, self.context_of(known), self.masked_weights())
        return self.from_blocks(said.to(values.dtype).unflatten(-1, (self.outputs, self.cells)).transpose(1, 2))

    def play(self, told, answer, beside=None, passes=None):
        """The bar in which each cell is what `answer` makes of what is said of it: (B, n) -> (B, cells).

        answer(t, said): the values (B, C) of block t from (B, outputs, C). All cells of a block are guessed at once and
        the guess repeated until it stands: the bar that is played cell by cell, reached in a few passes a block instead
        of 32 (the fixed-point view of Wiggers and Hoogeboom 2020, "Predictive Sampling"). passes: of each block, where
        it is known how many suffice.
        """
        known, weights, played = self.known_before(told, beside), self.masked_weights(), []
        later = self.past.unflatten(0, (-1, self.cells)).transpose(0, 1).flatten(1)   # (C, (T - 1) K)
        for t in range(self.blocks):
            block = torch.zeros(len(told), self.cells, dtype=told.dtype, device=told.device)
            if passes is not None and not passes[t]:
                played.append(block)
                continue
            context = self.context_of(known[:, t:t + 1])                              # (B, 1, units)
            for _ in range(self.cells + 1 if passes is None else passes[t]):  # cell i is right after i + 1 passes
                said = self.say(block[:, None], context, weights)[:, 0]               # (B, outputs C)
                guess = answer(t, said.unflatten(-1, (self.outputs, self.cells)))
                if passes is None and torch.equal(guess, block):
                    break
                block = guess
            played.append(block)
            left = self.blocks - 1 - t
            if left and block.any():  # what this block says to all that come after it
                known[:, t + 1:] += (block @ later[:, :left * known.shape[-1]]).unflatten(-1, (left, -1))
        return self.from_blocks(torch.stack(played, 1))


class CausalDecoder(CausalNet):
    """p(bar | z) with every cell given all that was played before it: says each cell's logit."""

    def logits(self, cells, z, known=None):
        """Each cell's logit given the cells before it: (B, cells), (B, latent) -> (B, cells)."""
        return self(cells, z, known=known)[:, 0]

    def draw(self, z, noise):
        """The bar in which a cell is struck where its logit, given the cells before it, + noise is above 0.

        With logistic noise this is an exact draw from p(bar | z).
        """
        threshold = self.to_blocks(-noise)                                            # (B, T, C)
        return self.play(z, lambda t, said: (said[:, 0] > threshold[:, t]).to(noise.dtype))


class VelocityNet(CausalNet):
    """How hard each hit is struck, given all hits, a code and the velocities before: a logistic on 1..127 a hit."""

    def __init__(self, shape, told, width=64, rate=0.0):
        super().__init__(shape, told, width, outputs=2, beside=96, units=4, rate=rate)
        self.hits_near = nn.Linear(5 * self.cells, 96)  # of the blocks from two before to two after
        self.hits_all = nn.Linear(math.prod(shape), 96)

    def hits_around(self, cells):
        """What each block knows of all hits beforehand: (B, cells) -> (B, T, 96)."""
        blocks = F.pad(self.to_blocks(cells), (0, 0, 2, 2))
        near = torch.cat([blocks[:, i:i + self.blocks] for i in range(5)], -1)        # (B, T, 5 C)
        return F.silu(self.hits_near(near) + self.hits_all(cells)[:, None])

    def distribution(self, cells, velocities, z):
        """Mean and log-scale of each hit given all hits and the velocities before it: (B, cells) -> (B, cells) each."""
        return logistic_parameters(self(cells * velocities / 64, z, self.hits_around(cells)).unbind(1))

    def draw(self, cells, z, noise, known=None):
        """Velocities 1..127 of the hits, 0 elsewhere, by logistic noise; those `known`, above 0, are as they are."""
        hits, noise = self.to_blocks(cells), self.to_blocks(noise)
        known = None if known is None else self.to_blocks(known.expand_as(cells))

        def strike(t, said):
            mean, log_scale = logistic_parameters(said.unbind(1))
            velocity = (mean + torch.exp(log_scale) * noise[:, t]).round().clamp(1, 127)
            if known is not None:
                velocity = torch.where(known[:, t] > 0, known[:, t], velocity)
            return hits[:, t] * velocity / 64
        passes = hits.sum(-1).amax(0).int().tolist()  # each pass settles one more of a block's hits
        return 64 * self.play(z, strike, self.hits_around(cells), passes)


def logistic_parameters(said):
    """A pair of any numbers as a mean from 0 to 128 and a log-scale from 0 to 4, so that no likelihood overflows."""
    mean, log_scale = said
    return 64 + 64 * torch.tanh(mean), 2 + 2 * torch.tanh(log_scale)
