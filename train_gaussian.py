"""Train a Gaussian VAE on MNIST, pixels as they are: a yardstick, in bits a pixel.

    python train_gaussian.py                                    # MNIST from data/, SEQUENCEUR_DATA, or fetched
    python train_gaussian.py --latent 2 --decoder independent --components 1    # a plane of digits, in two minutes
    python train_gaussian.py --likelihood normal                # the plain density, to compare
    python train_gaussian.py --run-folder runs/mine --resume
    torchrun --standalone --nproc_per_node=2 train_gaussian.py

The run folder holds best.pt, log.jsonl, config.json, curves.png, latent.png, manifold.png, samples.png and
reconstructions.png; python evaluate.py RUN --split test prints its numbers. A raster decoder sees so many pixels that
it would leave the code unused: by default it has 4 free bits, small batches, and Muon for its matrices.
"""

from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import Parser, number, run

import torch

from learning.mnist import SIDE, fit_digits, load_digits
from learning.run_folder import choose_run_folder
from learning.training import add_arguments, fill_in, read_settings
from models import GaussianVAE

# What is not given on the command line, by decoder.
DEFAULTS = {"raster": dict(batch_size=16, learning_rate=3e-3, optimizer="muon", free_bits=4.0, epochs=24),
            "independent": dict(batch_size=100, learning_rate=2e-3, optimizer="adamw", free_bits=0.0, epochs=20)}


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("--data", default="mnist", help="mnist, or a folder of its four files (default mnist)")
    group = parser.add_argument_group("model")
    group.add_argument("--latent", type=number(int, 1), default=32, help="dimensions of the code (default 32)")
    group.add_argument("--hidden", type=number(int, 1), nargs="+", default=[512, 256],
                       help="sizes of the encoder's layers, and in reverse of an independent decoder (default 512 256)")
    group.add_argument("--decoder", choices=("raster", "independent"), default="raster",
                       help="is a pixel conditioned on those before it? (default raster)")
    group.add_argument("--width", type=number(int, 1), default=128, help="channels of a raster decoder (default 128)")
    group.add_argument("--blocks", type=number(int, 1), default=4, help="of its convolutions (default 4)")
    group.add_argument("--indicator-levels", type=number(int, 0, 255), default=4, metavar="N",
                       help="commonest levels of ink that a raster decoder sees as inputs of their own (default 4)")
    group.add_argument("--components", type=number(int, 1), default=10, help="of a pixel's mixture (default 10)")
    group.add_argument("--likelihood", choices=("mass", "normal"), default="mass",
                       help="of a pixel: the mass of its bin; or the density, with uniform noise (default mass)")
    add_arguments(parser, {name: f"{value}; independent: {DEFAULTS['independent'][name]}"
                           for name, value in DEFAULTS["raster"].items()}, epoch_size=20_000)
    return parser


def main(argv=None):
    """Train, draw, and return {"run": folder, "history": one record an epoch}."""
    arguments = make_parser().parse_args(argv)
    fill_in(arguments, DEFAULTS[arguments.decoder])
    if arguments.data != "mnist":
        arguments.data = str(Path(arguments.data).resolve())  # kept in the run, for evaluate.py from any folder
    settings = read_settings(arguments)
    splits = load_digits(None if arguments.data == "mnist" else arguments.data)
    torch.manual_seed(arguments.seed)
    # a single normal distribution that is surer than a level pays too much for a surprise
    least = {"least_deviation": 1.0} if arguments.components == 1 else {}
    model = GaussianVAE(shape=(SIDE, SIDE), **least, **{name: getattr(arguments, name) for name in (
        "latent", "hidden", "decoder", "width", "blocks", "components", "likelihood", "indicator_levels")})
    if not arguments.resume:
        model.initialise_from_data(torch.as_tensor(splits["train"][0]))
    folder = choose_run_folder(arguments.run, "gaussian", arguments.resume)
    return {"run": folder, "history": fit_digits(model, splits, folder, settings)}


if __name__ == "__main__":
    run(main)
