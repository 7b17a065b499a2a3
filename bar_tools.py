"""What one does with bars and a model that draws them: draw, find the nearest played, join by a path, fill, humanise.

    bars = draw(model, codes, seed=1, hits=20, style=style_index(model, "funk"))     # uint8, (n, 8, 64)
    played = PlayedBars(model)                                # the bars that the model was trained on
    indices, cells = played.nearest(bars[0])                  # cells: the novelty of the bar
    bars, codes = path(model, codes[0], codes[1], 8, fills=True)

Codes are arrays (n, latent), bars uint8 (n, 8, 64) of velocities. Wishes, keyword arguments of `BernoulliVAE.draw`, go
with every draw: hits, row_hits, style, temperature, locked, locked_rows.
"""

import numpy as np

from Midi_To_Activation_Matrix import INSTRUMENTS, STEPS_PER_BAR

SLOWEST, FASTEST = 40, 240  # bpm
DENSEST, HOTTEST = 100, 2.0  # hits a bar and temperature that one reaches by hand; the command line goes further
MOST_BARS = 16  # of a pattern on the desk
NEAR = 0.1  # a random point lies about as far from a played bar, in units of the map
BEAT = STEPS_PER_BAR // 4
KICK, SNARE, CYMBAL, TOM = (INSTRUMENTS.index(name) for name in ("Kick", "Snare", "Cymb", "Tom"))
FILL_LEAN = {"Snare": 1.0, "Tom": 1.3, "HHO": -1.0, "HHC": -1.0, "Cymb": -1.0}  # what a fill plays more, what less
FILL_TILTS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # in logits: how far it leans
FILL_HITS = 3  # of snare and toms a beat, at least
CRASH_VELOCITY, KICK_VELOCITY = 112, 104


def style_index(model, name):
    """The number by which the model knows a style; None for "any". ValueError that lists the styles it knows."""
    if name is None or name.lower() == "any":
        return None
    if not model.styles:
        raise ValueError(f"style: expected any, since the model was told no styles in training, found {name!r}")
    found = [index for index, style in enumerate(model.styles) if style.lower() == name.lower()]
    if not found:
        raise ValueError(f"style: expected any, {', '.join(model.styles)}; found {name!r}")
    return found[0]


def draw(model, codes, seed=0, **wishes):
    """The bars that the model draws at codes (n, latent): uint8, (n, 8, 64). Within a seed, near codes have near bars.

    Raises ValueError for wishes that no bar can meet.
    """
    import torch

    return model.draw(torch.as_tensor(np.asarray(codes, np.float32)), seed=seed, **wishes).numpy()


def encode(model, bars, style=None):
    """The codes at which bars (n, 8, 64) land: float32, (n, latent)."""
    import torch

    with torch.no_grad():
        return model.encode(torch.as_tensor(np.asarray(bars)), style=style)[0].numpy()


def humanise(model, bars, codes=None, style=None, seed=0, temperature=1.0):
    """The same hits, struck as a drummer would: bars (n, 8, 64) with velocities of the model's."""
    import torch

    codes = None if codes is None else torch.as_tensor(np.asarray(codes, np.float32))
    return model.humanise(torch.as_tensor(np.asarray(bars)), z=codes, style=style, seed=seed,
                          temperature=temperature).numpy()


def random_code(model, seed, index, style=None):
    """Random code number `index` of a seed, the same however many are drawn: float32, (latent,).

    Near a training bar that is drawn at random, of the style where one is asked for: where the map is empty nobody
    wants to go. From the prior N(0, 1) for a model that carries no codes.
    """
    random = np.random.default_rng([seed, index])
    step = random.standard_normal(model.config["latent"])
    if not model.map:
        return step.astype(np.float32)
    members = np.arange(len(model.map["codes"]))
    if style is not None:
        labels, names = np.asarray(model.map["labels"]), list(model.map["label_names"])
        of_style = np.flatnonzero(labels == names.index(model.styles[style])) if model.styles[style] in names else ()
        members = of_style if len(of_style) else members
    return (np.asarray(model.map["codes"][random.choice(members)]) + NEAR * step).astype(np.float32)


class PlayedBars:
    """The bars that a model was trained on, each once; empty for a model that carries none.

    Attributes:
        rows: where each stands in the model's map, int (n,).
    """

    def __init__(self, model):
        self.model = model
        packed = np.asarray(model.map["bars"]) if model.map and "bars" in model.map else np.zeros((0, 64), np.uint8)
        self.rows = np.sort(np.unique(packed.view("V64")[:, 0], return_index=True)[1]) if len(packed) else np.arange(0)
        self.packed = np.ascontiguousarray(packed[self.rows])  # (n, 64), a bit a cell

    def __len__(self):
        return len(self.rows)

    def distances(self, bar):
        """In how many cells each differs from a bar (8, 64), hit or no hit: int (n,)."""
        hits = np.packbits(np.asarray(bar).reshape(-1) > 0)
        return np.bitwise_count(self.packed.view(np.uint64) ^ hits.view(np.uint64)).sum(axis=1, dtype=np.int64)

    def nearest(self, bar, count=1):
        """The nearest to a bar (8, 64), nearest first: (indices, distances in cells), at most `count` each."""
        distances = self.distances(bar)
        order = np.argsort(distances, kind="stable")[:count]
        return order, distances[order]

    def bar(self, index, seed=0):
        """One of them, uint8 (8, 64): its hits as they were played; their velocities, which are not kept, humanised."""
        hits = np.unpackbits(self.packed[index]).reshape(len(INSTRUMENTS), STEPS_PER_BAR)
        return humanise(self.model, hits[None], self.code(index)[None], self.style(index), seed)[0]

    def code(self, index):
        """Where it lies: float32, (latent,)."""
        return np.asarray(self.model.map["codes"][int(self.rows[index])], np.float32)

    def name(self, index):
        """The name of its style."""
        return self.model.map["label_names"][int(self.model.map["labels"][int(self.rows[index])])]

    def style(self, index):
        """The number by which the model knows its style, None where it does not."""
        return self.model.styles.index(self.name(index)) if self.name(index) in self.model.styles else None


# Paths and fills -------------------------------------------------------------------------------------------------

def path(model, start, end, count, fills=True, seed=0, **wishes):
    """`count` bars on the straight way from one code to another, both ends included: (bars, codes).

    With fills, as a drummer marks the form: the last bar plays a fill in its last two beats, before the turn back to
    the first, and each fourth bar before it one in its last beat; the bar after a fill opens with a crash and a kick.
    These hits come on top of a density that was asked for. A path of one bar, or locked rows, are left as they are.
    """
    codes = np.linspace(start, end, count).astype(np.float32)  # (count, latent)
    bars = draw(model, codes, seed, **wishes)
    if not fills or count < 2:
        return bars, codes
    kept = list(wishes.get("locked_rows") or ()) if wishes.get("locked") is not None else []
    style, temperature = wishes.get("style"), wishes.get("temperature", 1.0)
    beats = {bar: 1 for bar in range(3, count - 1, 4)} | {count - 1: 2}
    for i, length in beats.items():
        bars[i] = fill(model, bars[i], codes[i], length, seed, style, temperature, kept)
        after = bars[(i + 1) % count]
        for row, velocity in ((CYMBAL, CRASH_VELOCITY), (KICK, KICK_VELOCITY)):
            if row not in kept:
                after[row, 0] = max(after[row, 0], velocity)
    return bars, codes


def fill(model, bar, code, beats=1, seed=0, style=None, temperature=1.0, kept=()):
    """A bar (8, 64) whose last beats are a fill: uint8, (8, 64); what comes before stays, and the rows `kept`.

    The model goes on from what has been played, leaning from hats and cymbals towards snare and toms on the sixteenths,
    no more than it takes to have some hits of them on each beat.
    """
    import torch

    from decoders import noise_field

    hits = torch.as_tensor(np.asarray(bar) > 0)
    fixed = torch.zeros(hits.shape, dtype=torch.bool)
    fixed[:, :STEPS_PER_BAR - BEAT * beats] = True
    fixed[list(kept)] = True
    lean = torch.tensor([FILL_LEAN.get(name, 0.0) for name in INSTRUMENTS])[:, None].repeat(1, STEPS_PER_BAR)
    off_grid = torch.arange(STEPS_PER_BAR) % (BEAT // 4) != 0
    lean[:, off_grid] = lean[:, off_grid].clamp(max=0)
    with torch.no_grad():
        z = torch.as_tensor(code)[None]
        noise = temperature * noise_field(z, hits.numel(), 1, seed)[0]                # (1, cells)
        noises = torch.cat([noise + tilt * lean.flatten() for tilt in FILL_TILTS])              # (tilts, cells)
        noises = torch.where(fixed.flatten(), 1e6 * (2 * hits.flatten() - 1.0), noises)
        cells = model.decoder.draw(model.tell(z, style).expand(len(noises), -1), noises).view(-1, *hits.shape)
    drums = cells[:, [SNARE, TOM], -BEAT * beats:].sum((1, 2)).tolist()
    chosen = next((i for i, count in enumerate(drums) if count >= FILL_HITS * beats), int(np.argmax(drums)))
    struck = humanise(model, cells[chosen][None].numpy(), z.numpy(), style, seed, temperature)[0]
    return np.where(fixed.numpy(), bar, struck)
