"""Train a Bernoulli VAE on drum bars: it learns the map that one clicks. Or on MNIST, beside the first VAEs' papers.

    python train_bernoulli.py                          # our own grooves, Dataset_Drum_Groove_Pattern
    python train_bernoulli.py --data groove            # the Groove MIDI Dataset, by its published split
    python train_bernoulli.py --data my_midi_folder    # your own MIDI files, or matrices
    python train_bernoulli.py --data groove --latent 32 --free-bits 0
    python train_bernoulli.py --data mnist             # digits, their pixels drawn anew as 0 or 1 each epoch
    python train_bernoulli.py --data groove --run-folder runs/mine --resume
    torchrun --standalone --nproc_per_node=2 train_bernoulli.py --data groove

The run folder it names holds best.pt (play it: python Activation_Matrix_To_Sound.py --model RUN/best.pt), log.jsonl,
config.json, curves.png, latent.png and reconstructions.png; python evaluate.py RUN prints its numbers.
"""

import shlex
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import Parser, number, run

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from formats.checkpoint import load_checkpoint
from learning import run_folder, training
from learning.bounds import encode_all
from learning.figures import draw_bar_pairs, draw_curves, draw_latent
from learning.mnist import SIDE, fit_digits, load_digits
from learning.training import add_arguments, fit_options
from models import BernoulliVAE, build_model
from patterns.dataset import OFFSETS, shifted_bars, load_bars, pack_hits
from patterns.sampling import Constraints, draw

HERE = Path(__file__).resolve().parent
STEPS = 8100  # of a default training: a small collection is seen more often than a large one
MOST_EPOCHS = 225
MANY_BARS = 10_000  # from here on little dropout will do
AS_WRITTEN = 6  # times that a bar as it is written is learned for each time that it begins elsewhere
# What is not said on the command line, for bars and for digits. None: by how many bars there are.
DEFAULTS = {"bars": dict(latent=2, hidden=[256, 256], decoder="causal", width=384, dropout=None, weight_decay=0.01,
                         epochs=None, epoch_size=None, batch_size=128, learning_rate=3e-3, free_bits=3.2),
            "mnist": dict(latent=32, hidden=[512, 256], decoder="raster", width=128, dropout=0.0, weight_decay=0.01,
                          epochs=20, epoch_size=20_000, batch_size=16, learning_rate=2e-3, free_bits=10.0)}


def make_parser():
    """The options of this script. Those that differ between bars and digits are None until `fill_in`."""
    def default(name):
        bars, digits = (" ".join(map(str, value if isinstance(value, list) else [value]))
                        for value in (DEFAULTS["bars"][name], DEFAULTS["mnist"][name]))
        return f"(default {bars}; mnist: {digits})" if bars != digits else f"(default {bars})"

    parser = Parser(__doc__)
    parser.add_argument("--data", default=str(HERE / "Dataset_Drum_Groove_Pattern"),
                        help="groove, mnist, or a folder of matrices (.npy) or MIDI (default: "
                        "Dataset_Drum_Groove_Pattern)")
    group = parser.add_argument_group("model")
    group.add_argument("--latent", type=number(int, 1), help=f"dimensions of the code {default('latent')}")
    group.add_argument("--touch", type=number(int, 0), default=16,
                       help="dimensions of the code beneath, of how a bar is struck (default 16)")
    group.add_argument("--hidden", type=number(int, 1), nargs="+", help="sizes of the encoder's layers, and in reverse "
                       f"of an independent decoder {default('hidden')}")
    group.add_argument("--decoder", choices=("causal", "raster", "independent"),
                       help=f"does a cell know what was played, a pixel what was drawn before it? {default('decoder')}")
    group.add_argument("--width", type=number(int, 1),
                       help=f"size of a causal or raster decoder's layers {default('width')}")
    group.add_argument("--blocks", type=number(int, 1), default=4, help="of a raster decoder's layers (default 4)")
    group.add_argument("--dropout", type=number(float, 0, 0.9), help="share of units dropped (default 0.1; of fewer "
                       f"than {MANY_BARS:,} bars 0.3; mnist: {DEFAULTS['mnist']['dropout']:g})")
    group.add_argument("--weight-decay", type=number(float, 0), default=0.01,
                       help="of AdamW: how much of a weight each step of learning rate 1 would take (default 0.01)")
    group.add_argument("--activation", choices=("SiLU", "ReLU", "Tanh"), default="SiLU")
    group.add_argument("--begin", choices=("bar", "beat", "near"), default="near", help="where bars to learn "
                       "from begin: as they are written, on any beat, or also a little off one (default near)")
    group.add_argument("--epoch-size", type=number(int, 1), help="examples an epoch, drawn anew for each (default as "
                       f"many as there are; mnist: {DEFAULTS['mnist']['epoch_size']})")
    group.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of a causal or "
                       "raster decoder's layers in training (default auto: bfloat16 where the processor has it)")
    bars, digits = DEFAULTS["bars"], DEFAULTS["mnist"]
    filled = ("epochs", "batch_size", "learning_rate", "free_bits")
    add_arguments(parser, {name: f"{bars[name] or f'{STEPS} steps'}; mnist: {digits[name]}" for name in filled},
                  **dict.fromkeys(filled))
    return parser


def fill_in(arguments):
    """Give each option that was not given what DEFAULTS says for these data; a folder named mnist is a folder."""
    digits = arguments.data == "mnist" and not Path(arguments.data).exists()
    if arguments.free_bits is None and arguments.samples > 1:
        arguments.free_bits = 0.0  # a bound of several codes has no KL of its own
    for name, value in DEFAULTS["mnist" if digits else "bars"].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return digits


def draw_pictures(model, splits, labels, label_names, history, run_folder):
    """curves.png, latent.png and reconstructions.png of a run."""
    draw_curves(history, run_folder / "curves.png")
    codes = {side: encode_all(model, torch.as_tensor(splits[side][0]))[0] for side in ("train", "validation")}
    draw_latent({side: (codes[side], labels[side]) for side in codes}, label_names, run_folder / "latent.png")
    bars, names, _ = splits["validation"]
    shown = np.random.default_rng(0).permutation(len(bars))[:10]
    made = [draw(model, codes["validation"][i:i + 1], 0, Constraints(hits=int(np.count_nonzero(bars[i]))))[0] for i in shown]
    draw_bar_pairs(bars[shown], made, [names[i] for i in shown], INSTRUMENTS, run_folder / "reconstructions.png")


def with_shifted_bars(splits, labels, where):
    """The training bars, and after them what else is learned from them: (bars (m, 8, 64), what the model is told).

    That is each bar again AS_WRITTEN - 1 times, and the bars that begin elsewhere. labels: of the styles.
    """
    bars, names, _ = splits["train"]
    if where == "bar":
        return torch.as_tensor(bars), {"style": labels}
    between, their_labels, begins = shifted_bars(bars, names, labels.tolist(), where, avoid=splits["validation"][0])
    return (torch.as_tensor(np.concatenate([*[bars] * AS_WRITTEN, between])),
            {"style": torch.cat([labels.repeat(AS_WRITTEN), torch.as_tensor(their_labels).long()]),
             "offset": torch.cat([torch.zeros(AS_WRITTEN * len(bars), dtype=torch.long), torch.as_tensor(begins)])})


def train_on_digits(arguments):
    """Train on MNIST, draw, and return what `main` does."""
    splits = load_digits()
    torch.manual_seed(arguments.seed)
    model = BernoulliVAE(shape=(SIDE, SIDE), latent=arguments.latent, hidden=arguments.hidden,
                         decoder=arguments.decoder, width=arguments.width, dropout=arguments.dropout,
                         activation=arguments.activation, blocks=arguments.blocks)
    folder = arguments.run or (HERE / "runs" / "mnist" if arguments.resume else run_folder.new_run_folder("mnist"))
    return {"run": folder, "history": fit_digits(model, splits, arguments, folder)}


def main(argv=None):
    """Train, draw, and return {"run": folder, "history": one record an epoch}."""
    arguments = make_parser().parse_args(argv)
    if fill_in(arguments):
        return train_on_digits(arguments)

    if Path(arguments.data).exists():
        arguments.data = str(Path(arguments.data).resolve())  # kept in the run, for evaluate.py from any folder
    splits = load_bars(arguments.data, arguments.seed)
    for side in ("train", "validation"):
        if side not in splits:
            raise ValueError(f"--data {arguments.data}: expected a {side} split, found {', '.join(splits)}")
    bars = {side: torch.as_tensor(splits[side][0]) for side in ("train", "validation")}
    styles = sorted(set(splits["train"][2]))
    label_names = styles + sorted(set(splits["validation"][2]) - set(styles))
    labels = {side: torch.tensor([label_names.index(style) for style in splits[side][2]]) for side in bars}
    if arguments.epochs is None:
        arguments.epochs = max(1, min(MOST_EPOCHS, round(STEPS * arguments.batch_size / len(bars["train"]))))
    if arguments.epoch_size is None:
        arguments.epoch_size = len(bars["train"])
    if arguments.dropout is None:
        arguments.dropout = 0.1 if len(bars["train"]) >= MANY_BARS else 0.3
    train, condition = with_shifted_bars(splits, labels["train"], arguments.begin)
    torch.manual_seed(arguments.seed)
    model = BernoulliVAE(latent=arguments.latent, hidden=arguments.hidden, decoder=arguments.decoder, velocities=True,
                         velocity_latent=arguments.touch, width=arguments.width, dropout=arguments.dropout,
                         activation=arguments.activation, styles=styles, blocks=arguments.blocks,
                         offsets=len(OFFSETS[arguments.begin]))
    for net in (model.decoder, model.velocity_net):
        net.low_precision = training.low_precision(arguments.precision)
    folder = arguments.run or (
        HERE / "runs" / "bernoulli" if arguments.resume else run_folder.new_run_folder("bernoulli"))
    device = training.choose_device(arguments.device)
    first = training.start_processes(device)[0] == 0
    if first:
        print(f"{len(bars['train'])} bars to train, {len(train)} with those that begin elsewhere, "
              f"{len(bars['validation'])} to validate, {len(label_names)} styles; "
              f"{sum(weights.numel() for weights in model.parameters()):,} weights; run folder {folder}", flush=True)
    history = training.fit(
        model, train, bars["validation"], folder, train_condition=condition, labels=labels["train"],
        label_names=label_names, map_condition={}, map_extra={"bars": pack_hits(bars["train"])},
        map_size=len(bars["train"]), unit="bars", **fit_options(arguments))
    if first:
        draw_pictures(build_model(load_checkpoint(folder), folder), splits, labels, label_names, history, folder)
        best = max(history, key=lambda record: training.best_score(record, arguments.free_bits))
        print(f"best validation bound {best['validation_elbo']:.2f} nats a bar (KL {best['validation_kl']:.2f}) in "
              f"epoch {best['epoch']}, {sum(record['seconds'] for record in history):.0f} s of training\n"
              f"its numbers:  python evaluate.py {shlex.quote(str(folder))}\n"
              f"play it:      python Activation_Matrix_To_Sound.py --model {shlex.quote(str(folder / 'best.pt'))}")
    training.stop_processes()
    return {"run": folder, "history": history}


if __name__ == "__main__":
    run(main)
