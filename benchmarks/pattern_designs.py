"""Compare designs of the pattern model, each trained for the same processor time on the same bars: a table.

    python benchmarks/pattern_designs.py                       # the Groove MIDI Dataset, a minute of one core each
    python benchmarks/pattern_designs.py --seconds 600 --k 500
    python benchmarks/pattern_designs.py --data Dataset_Drum_Groove_Pattern --seconds 20
    python benchmarks/pattern_designs.py --only convolution    # the designs whose name has this in it

The designs differ in what a cell sees of the cells before it: nothing (independent cells), a memory that is carried
from sixteenth to sixteenth (GRU), attention over the sixteenths before, or a causal convolution over the bar, the
default until November 2026; in the code: 2, 16 or 32 dimensions, conditioned on the style or not; and in levels: all
cells at once, or first the score and then its timing, the default of train_bernoulli.py. "between": learns also from
bars that begin between two bar lines, as train_bernoulli.py does. All learn hits alone. Columns: the bound
with k samples and the KL, in nats a bar, on validation, without the style; of 2,000 bars drawn at codes of random
training bars, the AUC of evaluate.py's classifier, the share that is unique and the hits a bar; milliseconds from a
code to its bar on one core.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# first, since it sets variables that torch reads when it is imported
from command_line import Parser, number, run

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from learning.bounds import bounds, encode_all
from learning.training import Examples, TrainingSettings, fit
from models import BernoulliVAE
from networks.causal import CausalDecoder
from patterns.dataset import OFFSETS, load_bars
from patterns.metrics import classifier_auc, click_milliseconds, sample_codes, sample_statistics
from patterns.sampling import draw_independent
from train_bernoulli import with_shifted_bars


class StepwiseDecoder(CausalDecoder):
    """A causal decoder that sees the past by other means, and so has to read it anew for each block that it draws."""

    def decode(self, condition, choose, block_condition=None):
        context, weights = self.condition_context(condition, block_condition), self.masked_weights()
        blocks = torch.zeros(len(condition), self.blocks, self.cells)
        for t in range(self.blocks):
            units = self.context_units((context + self.history_context(blocks))[:, t:t + 1])
            for _ in range(self.cells + 1):
                guess = torch.as_tensor(choose(t, self.outputs_of(blocks[:, t:t + 1], units, weights).numpy()))
                if torch.equal(guess, blocks[:, t]):
                    break
                blocks[:, t] = guess
        return self.from_blocks(blocks)


class RecurrentDecoder(StepwiseDecoder):
    """The past as the state of a GRU that reads block after block."""

    def __init__(self, *sizes, memory=192, **options):
        super().__init__(*sizes, **options)
        self.reader, self.memory = nn.Linear(self.cells, 128), nn.GRU(128, memory, batch_first=True)
        self.writer, self.dropped = nn.Linear(memory, self.history.shape[1]), nn.Dropout(self.rate)
        del self.history

    def history_context(self, blocks):
        state, _ = self.memory(self.reader(F.pad(blocks, (0, 0, 1, 0))[:, :-1]))
        return self.writer(self.dropped(state))


class AttentionDecoder(StepwiseDecoder):
    """The past by two layers of attention over the blocks before (Vaswani et al. 2017)."""

    def __init__(self, *sizes, memory=192, **options):
        super().__init__(*sizes, **options)
        self.reader = nn.Linear(self.cells, memory)
        self.block_position = nn.Parameter(0.1 * torch.randn(self.blocks, memory))
        layer = nn.TransformerEncoderLayer(memory, 4, 2 * memory, self.rate / 2, batch_first=True, norm_first=True)
        self.attention = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.writer = nn.Linear(memory, self.history.shape[1])
        del self.history

    def history_context(self, blocks):
        units = self.reader(F.pad(blocks, (0, 0, 1, 0))[:, :-1]) + self.block_position
        mask = nn.Transformer.generate_square_subsequent_mask(self.blocks)
        return self.writer(self.attention(units, mask=mask, is_causal=True))


def designs(styles):
    """{name: (a function that makes the model, its free bits)}."""
    def model(reader=None, **config):
        made = BernoulliVAE(**{**dict(hidden=(256, 256), decoder="causal", dropout=0.2), **config})
        if reader is not None:
            made.decoder = reader((8, 64), made.latent, made.config["width"], rate=0.2)
        return made

    return {"independent cells of 2019, 2-D": (lambda: BernoulliVAE(hidden=(800,), activation="ReLU"), 0.0),
            "independent cells, 32-D": (lambda: BernoulliVAE(latent=32, hidden=(512, 256), dropout=0.1), 0.0),
            "memory (GRU), 2-D": (lambda: model(RecurrentDecoder), 3.2),
            "attention, 2-D": (lambda: model(AttentionDecoder), 3.2),
            "convolution, 2-D": (model, 3.2),
            "convolution, 2-D, style": (lambda: model(styles=styles), 3.2),
            "convolution, 16-D, style": (lambda: model(styles=styles, latent=16), 3.2),
            "convolution, 2-D, style, between": (lambda: model(styles=styles, offsets=len(OFFSETS["near"])), 3.2),
            "score and timing, 2-D, style": (lambda: model(decoder="hierarchical", styles=styles), 3.2),
            "score and timing, 2-D, style, between": (lambda: model(
                decoder="hierarchical", styles=styles, offsets=len(OFFSETS["near"])), 3.2)}


def train(make, loaded, splits, labels, free_bits, seconds, seed):
    """A model trained for so much processor time: (model, epochs, seconds taken)."""
    between = with_shifted_bars(loaded, labels, "near")

    def trained(bars, epochs, folder):
        torch.manual_seed(seed)
        model = make()
        examples = Examples(bars, {"style": labels[:len(bars)]} if model.styles else {})
        started = time.process_time()
        fit(model, between if model.offsets is not None else examples, Examples(splits["validation"][:256]), folder,
            TrainingSettings(epochs=epochs, free_bits=free_bits, seed=seed, device="cpu", epoch_size=len(bars)))
        return model.eval(), time.process_time() - started

    with tempfile.TemporaryDirectory() as folder:
        few, more = splits["train"][:256], splits["train"][:2560]
        trained(few, 1, Path(folder) / "warm")
        short, long = (trained(bars, 1, Path(folder) / name)[1] for bars, name in ((few, "few"), (more, "more")))
        a_bar = max(1e-6, (long - short) / max(1, len(more) - len(few)))  # without what any epoch costs besides
        epochs = max(2, round(seconds / (a_bar * len(splits["train"]))))
        model, taken = trained(splits["train"], epochs, Path(folder) / "run")
    model.map = {"codes": encode_all(model, splits["train"])[0], "labels": labels, "label_names": []}
    return model, epochs, taken


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("--data", default="groove", help="groove, or a folder of matrices or MIDI (default groove)")
    parser.add_argument("--seconds", type=number(float, 0), default=60, help="processor time a design (default 60)")
    parser.add_argument("--k", type=number(int, 1), default=50, help="samples of the bound (default 50)")
    parser.add_argument("--limit", type=number(int, 1), default=1000, help="validation bars of the bound")
    parser.add_argument("--only", default="", help="only designs whose name has this in it")
    parser.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0)
    return parser


def main(argv=None):
    """Train and measure each design; print the table, return its rows."""
    arguments = make_parser().parse_args(argv)
    torch.set_num_threads(1)
    loaded = load_bars(arguments.data)
    splits = {side: torch.as_tensor(loaded[side][0]) for side in ("train", "validation")}
    styles = sorted(set(loaded["train"][2]))
    labels = torch.tensor([styles.index(style) for style in loaded["train"][2]])
    real, names = splits["validation"].numpy(), loaded["validation"][1]
    chosen = torch.as_tensor(np.random.default_rng(arguments.seed).permutation(len(real))[:arguments.limit])
    rows = []
    print(f"{'design':32} {'weights':>9} {'epochs':>6} {'bound':>7} {'KL':>5} {'AUC':>5} {'unique':>7} {'hits':>5} "
          f"{'ms':>6}")
    for name, (make, free_bits) in designs(styles).items():
        if arguments.only not in name:
            continue
        model, epochs, seconds = train(make, loaded, splits, labels, free_bits, arguments.seconds, arguments.seed)
        found = bounds(model, splits["validation"][chosen], arguments.k, arguments.seed)
        generator = torch.Generator().manual_seed(arguments.seed)
        points = sample_codes(model, 2000, generator)
        draws = draw_independent(model, points, generator)
        own = sample_statistics(draws, splits["train"].numpy(), real)
        row = {"design": name, "weights": sum(weights.numel() for weights in model.parameters()), "epochs": epochs,
               "seconds": seconds, "bound": found["bound"], "kl": found["kl"],
               "auc": classifier_auc(real, names, draws, seed=arguments.seed), **own,
               "click_milliseconds": click_milliseconds(model, points[:20])}
        rows.append(row)
        auc = "    -" if row["auc"] is None else f"{row['auc']:5.2f}"
        print(f"{name:32} {row['weights']:9,} {epochs:6} {row['bound']:7.2f} {row['kl']:5.2f} {auc} "
              f"{row['unique']:7.1%} {row['hits_a_bar']:5.1f} {row['click_milliseconds']:6.1f}", flush=True)
    return rows


if __name__ == "__main__":
    run(main)
