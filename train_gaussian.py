"""Train a Gaussian VAE on MNIST, pixels as they are: the yardstick, in bits a pixel.

    python train_gaussian.py                                    # MNIST from data/, SEQUENCEUR_DATA, or fetched
    python train_gaussian.py --latent 2 --decoder independent --components 1    # a plane of digits, in two minutes
    python train_gaussian.py --likelihood normal                # the plain density, to see how it differs
    python train_gaussian.py --run-folder runs/mine --resume
    torchrun --standalone --nproc_per_node=2 train_gaussian.py

The run folder holds best.pt, log.jsonl, config.json, curves.png, latent.png, manifold.png, samples.png and
reconstructions.png; python evaluate.py RUN --split test prints its numbers. A raster decoder knows so much that it
would leave the code out: where they are not given it has 4 free bits, small batches, and Muon for its matrices; an
independent one has none of these.
"""

from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import Parser, number, run

import torch

from learning import run_folder
from learning.mnist import SIDE, fit_digits, load_digits
from learning.training import add_arguments
from models import LEAST_DEVIATION, GaussianVAE

HERE = Path(__file__).resolve().parent
EPOCH = 20_000
# What is not said on the command line, by decoder.
DEFAULTS = {"raster": dict(batch_size=16, learning_rate=3e-3, optimizer="muon", free_bits=4.0, epochs=24),
            "independent": dict(batch_size=100, learning_rate=2e-3, optimizer="adamw", free_bits=0.0, epochs=20)}


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("--data", default="mnist",
                        help="mnist, or a folder that holds its four files (default mnist)")
    group = parser.add_argument_group("model")
    group.add_argument("--latent", type=number(int, 1), default=32, help="dimensions of the code (default 32)")
    group.add_argument("--hidden", type=number(int, 1), nargs="+", default=[512, 256],
                       help="sizes of the encoder's layers, and in reverse of an independent decoder (default 512 256)")
    group.add_argument("--decoder", choices=("raster", "independent"), default="raster",
                       help="does a pixel know those before it? (default raster)")
    group.add_argument("--width", type=number(int, 1), default=128,
                       help="channels of a raster decoder's convolutions (default 128)")
    group.add_argument("--blocks", type=number(int, 1), default=4, help="how many of them (default 4)")
    group.add_argument("--told-levels", type=number(int, 0, 255), default=4, metavar="N",
                       help="commonest levels of ink that a raster decoder is told apart from all others (default 4)")
    group.add_argument("--components", type=number(int, 1), default=10,
                       help="normal distributions that a pixel's is mixed of (default 10)")
    group.add_argument("--least-deviation", type=number(float, 0.136, 148), metavar="LEVELS",
                       help="of a normal distribution (default 0.136; with --components 1 it is 1, since a pixel "
                       "that is surer than that pays too much for a surprise)")
    group.add_argument("--likelihood", choices=("mass", "normal"), default="mass",
                       help="of a pixel: the mass of its bin, exact; or the plain density, with uniform noise on the "
                       "pixels (default mass)")
    group.add_argument("--activation", choices=("SiLU", "ReLU", "Tanh"), default="SiLU")
    group.add_argument("--weight-decay", type=number(float, 0), default=0.01, help="of AdamW (default 0.01)")
    group.add_argument("--epoch-size", type=number(int, 1), default=EPOCH,
                       help=f"digits an epoch, drawn anew for each (default {EPOCH}: a first model soon)")
    group.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of a raster "
                       "decoder's convolutions in training (default auto: bfloat16 where the processor has it)")
    raster, independent = DEFAULTS["raster"], DEFAULTS["independent"]
    add_arguments(parser, {name: f"{raster[name]}; independent: {independent[name]}" for name in raster},
                  **dict.fromkeys(raster))
    return parser


def fill_in(arguments):
    """Give each option that was not given what DEFAULTS says for its decoder."""
    if arguments.free_bits is None and arguments.samples > 1:
        arguments.free_bits = 0.0  # a bound of several codes has no KL of its own
    if arguments.least_deviation is None:
        arguments.least_deviation = 1.0 if arguments.components == 1 else LEAST_DEVIATION
    for name, value in DEFAULTS[arguments.decoder].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)


def main(argv=None):
    """Train, draw, and return {"run": folder, "history": one record an epoch}."""
    arguments = make_parser().parse_args(argv)
    fill_in(arguments)

    if arguments.data != "mnist":
        arguments.data = str(Path(arguments.data).resolve())  # kept in the run, for evaluate.py from any folder
    splits = load_digits(None if arguments.data == "mnist" else arguments.data)
    torch.manual_seed(arguments.seed)
    model = GaussianVAE(shape=(SIDE, SIDE), latent=arguments.latent, hidden=arguments.hidden,
                        decoder=arguments.decoder, width=arguments.width, blocks=arguments.blocks,
                        components=arguments.components, likelihood=arguments.likelihood,
                        activation=arguments.activation, least_deviation=arguments.least_deviation,
                        indicator_levels=arguments.told_levels)
    if not arguments.resume:
        model.initialise_from_data(torch.as_tensor(splits["train"][0]))
    folder = arguments.run or (
        HERE / "runs" / "gaussian" if arguments.resume else run_folder.new_run_folder("gaussian"))
    return {"run": folder, "history": fit_digits(model, splits, arguments, folder)}


if __name__ == "__main__":
    run(main)
