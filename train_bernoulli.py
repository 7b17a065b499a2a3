"""Train a Bernoulli VAE on drum bars: it learns the map that the window shows.

    python train_bernoulli.py                          # our own grooves, Dataset_Drum_Groove_Pattern
    python train_bernoulli.py --data groove            # the Groove MIDI Dataset, by its published split
    python train_bernoulli.py --data groove Dataset_Drum_Groove_Pattern --as-written 6 2   # the map that ships
    python train_bernoulli.py --data my_midi_folder    # your own MIDI files, or matrices
    python train_bernoulli.py --data groove --run-folder runs/mine --resume
    torchrun --standalone --nproc_per_node=2 train_bernoulli.py --data groove

The run folder holds best.pt (play it: python Activation_Matrix_To_Sound.py --model RUN/best.pt), log.jsonl,
config.json, curves.png, latent.png and reconstructions.png; python evaluate.py RUN prints its numbers.
"""

import shlex
import sys
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import ROOT, Parser, Progress, number, run

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from formats.checkpoint import load_checkpoint
from learning.bounds import encode_all
from learning.figures import draw_bar_pairs, draw_curves, draw_latent
from learning.run_folder import choose_run_folder
from learning.training import Examples, add_arguments, describe, fill_in, fit, read_settings, start_process
from models import BernoulliVAE, build_model
from patterns.dataset import (OFFSETS, drummer_timings, likeness, load_splits, merge_splits, pack_hits, shifted_bars,
                              timings)
from patterns.sampling import Constraints, draw

STEPS, ALL_BARS = 11_000, 17_000  # of a default training of so many bars; of fewer by their share to the power of 0.75
MANY_BARS = 10_000  # from here on little dropout is enough


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("--data", nargs="+", default=[str(ROOT / "Dataset_Drum_Groove_Pattern")],
                        help="groove, or folders of matrices (.npy) or MIDI (default: Dataset_Drum_Groove_Pattern)")
    group = parser.add_argument_group("model")
    group.add_argument("--latent", type=number(int, 1), default=2, help="dimensions of the code (default 2)")
    group.add_argument("--velocity-latent", type=number(int, 0), default=16, help="of the velocity code (default 16)")
    group.add_argument("--hidden", type=number(int, 1), nargs="+", default=[256, 256],
                       help="sizes of the encoder's layers, and in reverse of an independent decoder (default 256 256)")
    group.add_argument("--decoder", choices=("hierarchical", "causal", "independent"), default="hierarchical",
                       help="the score first and then its timing, each cell conditioned on those before it; the cells "
                       "so at once; or none on another (default hierarchical)")
    group.add_argument("--width", type=number(int, 1), default=384, help="of a decoder's causal layers (default 384)")
    group.add_argument("--dropout", type=number(float, 0, 0.9),
                       help=f"share of units dropped (default 0.2; of fewer than {MANY_BARS:,} bars 0.3)")
    group.add_argument("--activation", choices=("SiLU", "ReLU", "Tanh"), default="SiLU")
    group.add_argument("--begin", choices=tuple(OFFSETS), default="near", help="where bars to learn from begin: as "
                       "they are written, on any beat, or also a little off one (default near)")
    group.add_argument("--as-written", type=number(int, 1), nargs="+", default=[6], metavar="N",
                       help="times that a bar as it is written is learned for each time that it begins elsewhere, "
                       "for each --data (default 6)")
    add_arguments(parser, {"epochs": f"{STEPS:,} steps, fewer for few bars", "free_bits": "3.1"})
    return parser


def with_shifted_bars(splits, labels, where, as_written=6):
    """Examples of each training bar as it is written, so many times, and of those that begin elsewhere, with their
    conditions. labels: of the styles, (n,). where: a key of OFFSETS. as_written: one number, or one for each bar.
    """
    bars, names, _ = splits["train"]
    condition = {"style": labels, "steady": torch.as_tensor(likeness(bars, names)),
                 "timing": torch.as_tensor(timings(bars, names))}
    if where == "bar":
        return Examples(torch.as_tensor(bars), condition)
    between, sources, offsets = shifted_bars(bars, names, where, avoid=splits["validation"][0])
    written = np.repeat(np.arange(len(bars)), as_written)
    rows = torch.as_tensor(np.concatenate([written, sources]))
    condition = {name: values[rows] for name, values in condition.items()}
    own = [likeness(between[offsets == one], np.asarray(names)[sources[offsets == one]]) for one in np.unique(offsets)]
    condition["steady"][len(written):] = torch.as_tensor(np.concatenate([[], *own]))  # to those that begin there
    condition["offset"] = torch.as_tensor(np.concatenate([np.zeros(len(written), np.int64), offsets]))
    return Examples(torch.as_tensor(np.concatenate([bars[written], between])), condition)


def build_map(model, splits, labels, label_names):
    """What best.pt holds for the window: code, style and hits of each training bar, the timing of each drummer."""
    bars, names, _ = splits["train"]
    packed = pack_hits(bars)
    once = np.sort(np.unique(packed.numpy(), axis=0, return_index=True)[1])  # a loop's repeats bring nothing here
    return {"map": {"codes": encode_all(model, torch.as_tensor(bars[once]))[0].half(), "labels": labels[once].short(),
                    "label_names": label_names, "bars": packed[once], "timings": drummer_timings(bars, names)}}


def draw_figures(model, splits, labels, label_names, history, folder):
    """curves.png, latent.png and reconstructions.png of a run."""
    draw_curves(history, folder / "curves.png")
    codes = {side: encode_all(model, torch.as_tensor(splits[side][0]))[0] for side in labels}
    draw_latent({side: (codes[side], labels[side]) for side in labels}, label_names, folder / "latent.png")
    bars, names, _ = splits["validation"]
    shown = np.random.default_rng(0).permutation(len(bars))[:10]
    made = [draw(model, codes["validation"][i:i + 1],
                 constraints=Constraints(hits=int(np.count_nonzero(bars[i]))))[0] for i in shown]
    draw_bar_pairs(bars[shown], made, [names[i] for i in shown], INSTRUMENTS, folder / "reconstructions.png")


def kept_name(data):
    """A folder as the run keeps it, for evaluate.py from any folder: in the project by its place there, so that a
    checkpoint that ships names no machine, else whole; a data set's name as it is."""
    folder = Path(data).resolve()
    if not folder.exists():
        return data
    return folder.relative_to(ROOT).as_posix() if folder.is_relative_to(ROOT) else str(folder)


def main(argv=None):
    """Train, draw, and return {"run": folder, "history": one record an epoch}."""
    arguments = make_parser().parse_args(argv)
    arguments.data = [kept_name(one) for one in arguments.data]
    parts = [load_splits(one, arguments.seed) for one in arguments.data]
    if len(arguments.as_written) not in (1, len(parts)):
        raise ValueError(f"--as-written: expected 1 number or {len(parts)}, found {len(arguments.as_written)}")
    splits = merge_splits(parts)
    if not {"train", "validation"} <= splits.keys():
        raise ValueError(f"--data {' '.join(arguments.data)}: expected train and validation splits, "
                         f"found {', '.join(splits)}")
    bars = {side: torch.as_tensor(splits[side][0]) for side in ("train", "validation")}
    styles = sorted(set(splits["train"][2]))
    label_names = styles + sorted(set(splits["validation"][2]) - set(styles))
    labels = {side: torch.tensor([label_names.index(style) for style in splits[side][2]]) for side in bars}
    count = len(bars["train"])
    steps = STEPS * min(1, count / ALL_BARS) ** 0.75
    fill_in(arguments, {"epochs": max(1, round(steps * arguments.batch_size / count)),
                        "epoch_size": count, "free_bits": 3.1, "dropout": 0.2 if count >= MANY_BARS else 0.3})
    settings = read_settings(arguments, "begin", "as_written")
    counts = [len(part["train"][0]) if "train" in part else 0 for part in parts]
    as_written = np.repeat(np.resize(arguments.as_written, len(parts)), counts)       # (bars,)
    with Progress(what="shifting the bars"):
        train = with_shifted_bars(splits, labels["train"], arguments.begin, as_written)
    torch.manual_seed(arguments.seed)
    model = BernoulliVAE(latent=arguments.latent, hidden=arguments.hidden, decoder=arguments.decoder, velocities=True,
                         velocity_latent=arguments.velocity_latent, width=arguments.width, dropout=arguments.dropout,
                         activation=arguments.activation, styles=styles, offsets=len(OFFSETS[arguments.begin]))
    folder = choose_run_folder(arguments.run, "bernoulli", arguments.resume)
    first = start_process(settings.device).rank == 0
    if first:
        if len(set(splits["validation"][1])) == 1:
            print(f"warning: all bars to validate are of one file, {splits['validation'][1][0]}: with more files, the "
                  "best epoch is chosen by more than one song", file=sys.stderr)
        print(f"{count} bars to train, {len(train)} with those that begin elsewhere, "
              f"{len(bars['validation'])} to validate, {len(label_names)} styles; run folder {folder}", flush=True)
    history = fit(model, train, Examples(bars["validation"]), folder, settings, unit="bars",
                  extra_state=lambda model: build_map(model, splits, labels["train"], label_names))
    if first:
        with Progress(what="drawing the figures"):
            draw_figures(build_model(load_checkpoint(folder), folder), splits, labels, label_names, history, folder)
        print(f"{describe(history, settings.free_bits, 'bar', folder)}\n"
              f"play it:      python Activation_Matrix_To_Sound.py --model {shlex.quote(str(folder / 'best.pt'))}")
    return {"run": folder, "history": history}


if __name__ == "__main__":
    run(main)
