"""Decoders of drum bars in which each cell depends on all that were played before it.

    decoder = CausalDecoder((8, 64), 2, width=384)
    logits = decoder.logits(cells, z)                     # (B, 512), (B, 2) -> (B, 512), each given the cells before it
    cells = decoder.draw(z, logistic_noise((B, 512)))     # an exact draw, in a few passes for each sixteenth
"""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from networks.independent import precision


def logistic_log_likelihood(value, mean, log_scale):
    """log of the mass of a logistic distribution on the integers 1..127, elementwise (Salimans et al. 2017,
    "PixelCNN++", eq. 2): each has the bin around it, the ends have the tails as well, so the 127 masses sum to 1."""
    scale = torch.exp(-log_scale)
    upper, lower = (value + 0.5 - mean) * scale, (value - 0.5 - mean) * scale
    # log(sigmoid(u) - sigmoid(l)) = log sigmoid(u) + log sigmoid(-l) + log(1 - exp(l - u)): stable in both tails.
    middle = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    return torch.where(value <= 1, F.logsigmoid(upper), torch.where(value >= 127, F.logsigmoid(-lower), middle))


def logistic_parameters(mean, log_scale, tanh=torch.tanh):
    """Two outputs of any size as a mean from 0 to 128 and a log-scale from 0 to 4, so that no likelihood overflows."""
    return 64 + 64 * tanh(mean), 2 + 2 * tanh(log_scale)


class CausalNet(nn.Module):
    """Outputs for each cell of a bar, given all cells played before it.

    The bar is read step by step, the rows of a step from the first, in blocks of a sixteenth (4 steps x 8 rows = 32
    cells). Every block sees those before it through the same weights, by how long ago they were: a causal convolution.
    Inside a block a masked layer lets each cell depend on those before it (Germain et al. 2015, "MADE", eq. 12-13).

    condition, block_condition: numbers given for the whole bar, and for each block. outputs: for each cell. width: of
    the layers before a block; units: of the masked layer, for each cell; rate: of dropout; block: columns of a block.
    Shapes below: B bars, T = 16 blocks, C = 32 cells, K = width + units.
    """

    def __init__(self, shape, condition, width, outputs=1, block_condition=0, units=8, rate=0.0, block=4):
        super().__init__()
        if len(shape) != 2 or shape[1] % block:
            raise ValueError(f"shape: expected (rows, steps), the steps in whole blocks of {block}, found {shape}")
        rows, steps = shape
        self.shape, self.blocks, self.cells = tuple(shape), steps // block, rows * block
        self.outputs, self.rate, units = outputs, rate, units * self.cells
        before, both = max(1, self.blocks - 1) * self.cells, width + units            # cells before; K
        self.code = nn.Sequential(nn.Linear(condition, 128), nn.SiLU(), nn.Linear(128, 64), nn.Linear(64, both))
        self.position = nn.Parameter(0.1 * torch.randn(self.blocks, both))
        self.block_condition = nn.Linear(block_condition, both, bias=False) if block_condition else None
        self.history = nn.Parameter(torch.randn(before, both) / before ** 0.5)        # the last block first
        self.hidden = nn.Linear(width, width)
        self.context = nn.Linear(width, units)
        self.within = nn.Linear(self.cells, units, bias=False)
        self.out = nn.Linear(units, outputs * self.cells)
        self.skip = nn.Linear(self.cells, outputs * self.cells, bias=False)
        self.low_precision = False  # bfloat16 in training, where the processor has it
        cell, degree = torch.arange(self.cells), torch.arange(units) % self.cells
        # A unit of degree d depends on the cells before d, and cell i on the units of d <= i.
        masks = {"within": cell[None] < degree[:, None], "out": (degree[None] <= cell[:, None]).repeat(self.outputs, 1),
                 "skip": (cell[None] < cell[:, None]).repeat(self.outputs, 1)}
        for name, mask in masks.items():
            self.register_buffer(f"{name}_mask", mask.float(), persistent=False)

    def to_blocks(self, cells):
        """(..., rows * steps), row by row as a matrix is stored -> (..., T, C), step by step."""
        return cells.unflatten(-1, self.shape).mT.flatten(-2).unflatten(-1, (self.blocks, self.cells))

    def from_blocks(self, blocks):
        """The inverse of `to_blocks`: (..., T, C) -> (..., rows * steps)."""
        rows, steps = self.shape
        return blocks.flatten(-2).unflatten(-1, (steps, rows)).mT.flatten(-2)

    def drop(self, units, rate):
        """Dropout in training that takes a unit out of the whole bar (Gal and Ghahramani 2016): (B, T, n) -> same."""
        return F.dropout1d(units.mT, rate).mT if rate and self.training else units

    def condition_context(self, condition, block_condition):
        """What a block depends on beside the cells before it: (B, n), (B, T, m) or None -> (B, T, K)."""
        context = self.position + self.code(condition)[:, None]                       # (B, T, K)
        return context if block_condition is None else context + self.block_condition(block_condition)

    def history_context(self, blocks):
        """What the blocks before each block add to that: (B, T, C) -> (B, T, K)."""
        ages = range(1, max(2, self.blocks))
        before = torch.cat([F.pad(blocks, (0, 0, ago, 0))[:, :self.blocks] for ago in ages], -1)
        before = self.drop(before, self.rate / 2).flatten(0, 1)                       # (B T, cells before)
        where = before.nonzero()  # few cells: so only their rows of the product with `history` are added up
        counts = torch.bincount(where[:, 0], minlength=len(before))
        context = F.embedding_bag(where[:, 1], self.history, counts.cumsum(0) - counts, mode="sum",
                                  per_sample_weights=before[where[:, 0], where[:, 1]])
        return context.view(*blocks.shape[:2], context.shape[-1])

    def cached_context(self, values):
        """What does not depend on the code, so that many codes of a bar share it: (B, cells) -> (B, T, K)."""
        return self.history_context(self.to_blocks(values))

    def context_units(self, context):
        """The input of the masked layer from a block's context: (B, T, K) -> (B, T, units)."""
        state, skip = context.split([self.hidden.in_features, self.context.out_features], -1)
        state = self.drop(F.silu(state), self.rate)                                   # (B, T, width)
        state = state + self.drop(F.silu(self.hidden(state)), self.rate)
        return self.context(state) + skip

    def masked_weights(self):
        """The weights between the cells of a block, with those from a cell to itself or to an earlier one at zero."""
        return torch.cat([self.within.weight * self.within_mask, self.skip.weight * self.skip_mask]), \
            self.out.weight * self.out_mask

    def outputs_of(self, blocks, context, weights):
        """The outputs of each cell given those before it: (B, T, C), (B, T, units) -> (B, T, outputs C)."""
        from_cells, from_units = weights
        units, skip = F.linear(blocks, from_cells).split([context.shape[-1], len(from_units)], -1)
        units = self.drop(F.silu(context + units), self.rate)                         # (B, T, units)
        return F.linear(units, from_units, self.out.bias) + skip                      # (B, T, outputs C)

    def forward(self, values, condition, block_condition=None, context=None):
        """The outputs of each cell: values (B, cells), condition (B, n) -> (B, outputs, cells).
        context: `cached_context` of the values, where it is computed already."""
        context = self.cached_context(values) if context is None else context         # (B, T, K)
        context = self.condition_context(condition, block_condition) + context
        with precision(self, values):
            outputs = self.outputs_of(self.to_blocks(values), self.context_units(context), self.masked_weights())
        return self.from_blocks(outputs.to(values.dtype).unflatten(-1, (self.outputs, self.cells)).transpose(1, 2))

    @torch.no_grad()
    def decode(self, condition, choose, block_condition=None, passes=None):
        """The bar in which each cell is what `choose` makes of its outputs: (B, n) -> (B, cells).

        choose(t, outputs): the values (B, C) of block t from (B, outputs, C), NumPy arrays: for one bar, which a click
        draws, they are three times as fast as tensors. All cells of a block are guessed at once until the guess no
        longer changes: the bar as drawn cell by cell, in a few passes a block instead of 32 (the fixed-point view of
        Wiggers and Hoogeboom 2020, "Predictive Sampling"). passes: the most that each block needs, where it is known; 0
        for blocks that stay empty.
        """
        context = self.condition_context(condition, block_condition).cpu().numpy().copy()  # (B, T, K)
        count, decoded = len(condition), np.zeros((self.blocks, len(condition), self.cells), np.float32)
        from_cells, from_units = (weights.cpu().numpy() for weights in self.masked_weights())
        history = self.history.detach().cpu().numpy().reshape(-1, self.cells, context.shape[-1])  # (T - 1, C, K)
        bias, split, units_of = self.out.bias.detach().cpu().numpy(), self.context.out_features, self.units_in_numpy()
        for t in range(self.blocks):
            block, most = decoded[t], self.cells + 1 if passes is None else passes[t]  # cell i is right after i + 1
            units = units_of(context[:, t]) if most else None                         # (B, units)
            for _ in range(most):
                seen = block @ from_cells.T                                           # (B, units + outputs C)
                outputs = silu(units + seen[:, :split]) @ from_units.T + bias + seen[:, split:]
                guess = choose(t, outputs.reshape(count, self.outputs, self.cells))
                if np.array_equal(guess, block):
                    break
                block = guess
            decoded[t], left = block, self.blocks - 1 - t
            if left and block.any():
                context[:, t + 1:] += (block @ history[:left]).swapaxes(0, 1)         # (B, left, K)
        return self.from_blocks(torch.as_tensor(decoded.swapaxes(0, 1).copy(), device=condition.device))

    def units_in_numpy(self):
        """The function of `context_units` for one block, of NumPy arrays, without dropout: (B, K) -> (B, units)."""
        (hidden, shift), (out, bias) = ([part.detach().cpu().numpy() for part in (layer.weight, layer.bias)]
                                        for layer in (self.hidden, self.context))

        def units_of(context):
            state = silu(context[:, :len(shift)])                                     # (B, width)
            return (state + silu(state @ hidden.T + shift)) @ out.T + bias + context[:, len(shift):]
        return units_of


def silu(x):
    """x times its sigmoid, of a NumPy array, in a form that does not overflow."""
    return 0.5 * x * (1 + np.tanh(0.5 * x))


class CausalDecoder(CausalNet):
    """p(bar | z) in which each cell depends on all cells played before it; its output is the cell's logit."""

    def logits(self, cells, z, context=None):
        """Each cell's logit given the cells before it: (B, cells), (B, latent) -> (B, cells)."""
        return self(cells, z, context=context)[:, 0]

    def draw(self, z, noise):
        """The cells whose logit + noise is above 0, as of `Decoder`: (B, latent), (B, cells) -> (B, cells)."""
        threshold = self.to_blocks(-noise).cpu().numpy()                              # (B, T, C)
        return self.decode(z, lambda t, outputs: (outputs[:, 0] > threshold[:, t]).astype(np.float32))


class TimingNet(CausalNet):
    """p(cells | score): which of the four steps of a sixteenth are struck, where the score has it struck at all.

    The window of a sixteenth is its own step, the two before and the one after: those of the first sixteenth begin in
    the bar before, here at the bar's own end, as in a loop. Cells and (score, windows) are a bijection. Each cell is
    given the whole score and the cells of the windows before it; the last of a window whose others are empty is
    certain. Shapes as in CausalNet: a block is a sixteenth, its cells row by row; S = rows T cells of the score.
    """

    EARLY, WINDOW = 2, 4  # steps of a window that come before its sixteenth; all of them
    SEEN, UNITS = 3, 96  # sixteenths of the score to each side that a block sees closely; units that see the score

    def __init__(self, shape, condition, width=192, rate=0.0):
        super().__init__(shape, condition, width, block_condition=self.UNITS, units=8, rate=rate, block=self.WINDOW)
        rows = shape[0]
        self.score_near = nn.Linear((2 * self.SEEN + 1) * rows, self.UNITS)
        self.score_all = nn.Linear(rows * self.blocks, self.UNITS)

    def to_blocks(self, cells):
        """(..., rows * steps) -> (..., T, C), each block the windows of one sixteenth, row by row."""
        windows = cells.unflatten(-1, self.shape).roll(self.EARLY, -1).unflatten(-1, (self.blocks, self.WINDOW))
        return windows.transpose(-3, -2).flatten(-2)

    def from_blocks(self, blocks):
        """The inverse of `to_blocks`: (..., T, C) -> (..., rows * steps)."""
        windows = blocks.unflatten(-1, (-1, self.WINDOW)).transpose(-3, -2)           # (..., rows, T, WINDOW)
        return windows.flatten(-2).roll(-self.EARLY, -1).flatten(-2)

    def score(self, cells):
        """Which instruments sound at which sixteenths: (..., rows * steps) of 0/1 -> (..., S)."""
        return self.to_blocks(cells).unflatten(-1, (-1, self.WINDOW)).amax(-1).mT.flatten(-2)

    def score_blocks(self, score):
        """(..., S), row by row as a matrix is stored -> (..., T, rows)."""
        return score.unflatten(-1, (self.shape[0], self.blocks)).mT

    def cells_of(self, score):
        """All cells of the windows that a score has: (..., S) -> (..., rows * steps)."""
        return self.from_blocks(self.score_blocks(score).repeat_interleave(self.WINDOW, -1))

    def score_context(self, score):
        """What each block sees of the score: (B, T, rows) -> (B, T, UNITS)."""
        near = torch.cat([score.roll(ago, 1) for ago in range(self.SEEN, -self.SEEN - 1, -1)], -1)
        return F.silu(self.score_near(near) + self.score_all(score.flatten(1))[:, None])

    def logits(self, cells, condition, score=None):
        """Each cell's logit given the score and the cells before it: (B, cells), (B, n) -> (B, cells)."""
        score = self.score_blocks(self.score(cells) if score is None else score)      # (B, T, rows)
        return self(cells, condition, self.score_context(score))[:, 0]

    def undecided(self, cells):
        """Where a cell is a choice: not outside the score, nor the last of a window whose others are empty."""
        windows = self.to_blocks(cells).unflatten(-1, (-1, self.WINDOW))              # (B, T, rows, WINDOW)
        open_cells = windows.amax(-1, keepdim=True).expand_as(windows).clone()
        open_cells[..., -1] = windows[..., :-1].amax(-1)
        return self.from_blocks(open_cells.flatten(-2))                               # (B, cells)

    def log_likelihood(self, cells, condition):
        """log p(cells | score) in nats: (B, cells) of 0/1, (B, n) -> (B,)."""
        logits = self.logits(cells, condition)
        return (self.undecided(cells) * (cells * logits - F.softplus(logits))).sum(-1)

    def draw(self, score, condition, noise, fixed=None, single=False):
        """The cells whose logit + noise is above 0, in the windows of the score: (B, S), (B, n) -> (B, cells).

        noise: logistic, (B, cells). fixed (B, cells): where above 0, its windows are those of `cells` there. single:
        one hit a window, so that there are as many hits as the score has.
        """
        threshold, blocks = self.to_blocks(-noise).cpu().numpy(), self.score_blocks(score)  # (B, T, C), (B, T, rows)
        struck, windows = blocks.cpu().numpy()[..., None], (-1, self.shape[0], self.WINDOW)
        fixed = None if fixed is None else self.to_blocks(fixed).cpu().numpy()        # (B, T, C)

        def choose(t, outputs):
            cells = (outputs[:, 0] > threshold[:, t]).astype(np.float32).reshape(windows)  # (B, rows, WINDOW)
            cells[..., -1] = np.maximum(cells[..., -1], 1 - cells[..., :-1].max(-1))
            if single:
                cells *= cells.cumsum(-1) == 1
            if fixed is not None:
                own = fixed[:, t].reshape(windows)
                cells = np.where(own.any(-1, keepdims=True), own, cells)
            return (cells * struck[:, t]).reshape(len(cells), -1)                     # (B, C)
        passes = np.where(struck.any((0, 2, 3)), self.cells + 1, 0).tolist()
        return self.decode(condition, choose, self.score_context(blocks), passes)


class VelocityNet(CausalNet):
    """p(velocities | hits, z), each given all hits and the velocities before it: a logistic on 1..127 for each hit."""

    def __init__(self, shape, condition, width=64, rate=0.0):
        super().__init__(shape, condition, width, outputs=2, block_condition=96, units=4, rate=rate)
        self.hits_near = nn.Linear(5 * self.cells, 96)  # of the blocks from two before to two after
        self.hits_all = nn.Linear(math.prod(shape), 96)

    def hit_context(self, cells):
        """What each block sees of all hits: (B, cells) -> (B, T, 96)."""
        blocks = F.pad(self.to_blocks(cells), (0, 0, 2, 2))
        near = torch.cat([blocks[:, i:i + self.blocks] for i in range(5)], -1)        # (B, T, 5 C)
        return F.silu(self.hits_near(near) + self.hits_all(cells)[:, None])

    def distribution(self, cells, velocities, z):
        """Mean and log-scale of each hit given all hits and the velocities before it: (B, cells) -> (B, cells) each."""
        return logistic_parameters(*self(cells * velocities / 64, z, self.hit_context(cells)).unbind(1))

    def log_likelihood(self, cells, velocities, z):
        """log p(velocities | hits, z) in nats, summed over the hits: (B, cells) twice, (B, latent) -> (B,)."""
        mean, log_scale = self.distribution(cells, velocities, z)                     # (B, cells) each
        return (cells * logistic_log_likelihood(velocities.clamp(1, 127), mean, log_scale)).sum(-1)

    def draw(self, cells, z, noise, fixed):
        """Velocities 1..127 of the hits, 0 elsewhere, by logistic noise; `fixed` where above 0: (B, cells) each."""
        hits, noise, fixed = (self.to_blocks(part.expand_as(cells)).cpu().numpy()
                              for part in (cells, noise, fixed))                      # (B, T, C)

        def choose(t, outputs):
            mean, log_scale = logistic_parameters(outputs[:, 0], outputs[:, 1], np.tanh)  # (B, C) each
            velocity = (mean + np.exp(log_scale) * noise[:, t]).round().clip(1, 127)
            return hits[:, t] * np.where(fixed[:, t] > 0, fixed[:, t], velocity) / 64
        passes = hits.sum(-1).max(0).astype(int).tolist()  # each is right for one more of a block's hits
        return 64 * self.decode(z, choose, self.hit_context(cells), passes)
