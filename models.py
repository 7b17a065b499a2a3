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

LOG_VARIANCE_RANGE = (-12.0, 4.0)  # of q(z | x): bounded, so that no step can overflow
ACTIVATIONS = {"SiLU": nn.SiLU, "ReLU": nn.ReLU, "Tanh": nn.Tanh}


def check_sizes(**sizes):
    """ValueError, naming it, unless each is a whole number of at least 1, or a list or tuple of such."""
    for name, size in sizes.items():
        for value in size if isinstance(size, (list, tuple)) else [size]:
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected whole numbers of at least 1, found {size!r}")


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


def gaussian_kl(mean, log_variance):
    """KL(N(mean, variance) || N(0, I)) in nats (Kingma and Welling 2014, appendix B).  (B, latent) -> (B,)"""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)


def bernoulli_log_likelihood(cells, logits):
    """log p(cells) of 0/1 cells under independent Bernoulli variables given by their logits.  (..., C) -> (...)"""
    return (cells * logits - F.softplus(logits)).sum(-1)


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

    def draw(self, z, noise, bias):
        """The cells whose logit + bias + noise is above 0; with logistic noise, a draw from p(x | z)."""
        return (self.logits(None, z) + bias + noise > 0).float()


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

    def draw(self, z, noise, bias):
        """The bar in which a cell is struck where its logit, given the cells before it, + bias + noise is above 0.

        With logistic noise this is an exact draw from p(bar | z). All cells of a block are guessed at once and the
        guess repeated until it stands: the answer of cell-by-cell drawing, reached in a few passes instead of 32
        (the fixed-point view of Wiggers and Hoogeboom 2020, "Predictive Sampling").
        """
        noise, around, weights = self.to_blocks(noise + bias), self.surroundings(z), self.masked_weights()
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


def logistic_noise(shape, generator=None):
    """Standard logistic variables: logit + noise > 0 with probability sigmoid(logit)."""
    uniform = torch.rand(shape, generator=generator).clamp(1e-7, 1 - 1e-7)
    return torch.log(uniform) - torch.log1p(-uniform)


MODELS = {model.__name__: model for model in (BernoulliVAE,)}
