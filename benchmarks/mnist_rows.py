"""Train and evaluate the rows of the tables on MNIST, one after another: what is done already is not done again.

    python benchmarks/mnist_rows.py                      # what there is: names and settings
    python benchmarks/mnist_rows.py proof default        # rows by name; a stopped one goes on where it was
    python benchmarks/mnist_rows.py aevb sweep --figure pictures/beta.png
    python benchmarks/mnist_rows.py parts                # what each part of the Gaussian model brings

proof: the one-layer VAE of Burda, Grosse and Salakhutdinov (2016, table 1), 50-D code, two tanh layers of 200. default:
a Bernoulli VAE with a raster decoder. gaussian: the defaults of train_gaussian.py. aevb: Kingma and Welling (2014,
figure 2), 500 hidden units. sweep: the same over beta, for three epochs each. parts: train_gaussian.py for 10,000
digits, with one thing changed. The table has the bound on the 10,000 test digits, in nats a digit or bits a pixel, and
the seconds of training.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from command_line import ROOT, Parser, number, run

import torch

import evaluate
import train_gaussian
from learning.figures import COLOURS, new_figure, save
from learning.mnist import SIDE, fit_digits, load_digits
from learning.training import TrainingSettings
from models import BernoulliVAE

# A row is what is changed of these, model and settings together; pixels are drawn anew as 0 or 1 at each use.
MODEL = dict(latent=32, hidden=(512, 256), decoder="raster", width=128, blocks=4, activation="SiLU")
SETTINGS = dict(epochs=20, epoch_size=20_000, batch_size=16, learning_rate=2e-3, weight_decay=0.01, free_bits=10.0,
                beta=1.0, warmup=0, samples=1, precision="auto", device="auto", seed=0)
LARGE = dict(activation="Tanh", decoder="independent", batch_size=100, weight_decay=0.0, free_bits=0.0,
             epoch_size=59_000)
PROOF = dict(LARGE, latent=50, hidden=(200, 200), learning_rate=1.5e-3, epochs=1000, warmup=200)
AEVB = dict(LARGE, hidden=(500,))
AEVB_READ = {3: -133.5, 5: -119.0, 10: -103.0, 20: -99.5}  # nats, read off figure 2 of Kingma and Welling (2014)
BETAS = (0, 0.5, 1, 2, 4)
SHORT = "--epochs 1 --epoch-size 10000"

ROWS = {  # name: (what a Bernoulli VAE is trained with, or options of train_gaussian.py; samples of the bound)
    "proof": (PROOF, 5000),
    "default": ({}, 5000),
    "gaussian": ("", 500),
    **{f"aevb-{latent}": (dict(AEVB, latent=latent, epochs=60), 1) for latent in AEVB_READ},
    **{f"sweep-{latent}-beta-{beta:g}": (dict(AEVB, latent=latent, beta=float(beta), epochs=3), 1)
       for latent in AEVB_READ for beta in BETAS},
    **{f"parts-{name}": (f"{SHORT} {changed}".strip(), 50) for name, changed in {
        "as-it-is": "", "no-indicators": "--indicator-levels 0", "adamw": "--optimizer adamw --learning-rate 2e-3",
        "rate-1e-3": "--learning-rate 1e-3", "batch-64": "--batch-size 64", "one-block": "--blocks 1",
        "latent-2": "--latent 2", "no-free-bits": "--free-bits 0", "one-component": "--components 1",
        "normal": "--likelihood normal", "independent": "--decoder independent --batch-size 16",
        "independent-one-component": "--decoder independent --components 1 --batch-size 16"}.items()},
}


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("rows", nargs="*", help="names of rows, or what their names begin with")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "mnist-rows", help="where the run folders stand")
    parser.add_argument("--k", type=number(int, 1), help="samples of the bound (default: each row's own)")
    parser.add_argument("--limit", type=number(int, 1), help="only so many test digits")
    parser.add_argument("--figure", type=Path, help="draw the rows of aevb and sweep over beta, and what was published")
    return parser


def train_bernoulli_row(folder, resume=False, **changed):
    """Train a Bernoulli VAE on MNIST into a run folder; changed: what differs from MODEL and SETTINGS."""
    config = {name: changed.get(name, value) for name, value in MODEL.items()}
    settings = {name: changed.get(name, value) for name, value in SETTINGS.items()}
    torch.manual_seed(settings["seed"])
    model = BernoulliVAE(shape=(SIDE, SIDE), **config)
    return fit_digits(model, load_digits(), folder, TrainingSettings(
        **settings, resume=resume, arguments={"data": "mnist", **config, **settings}))


def do_row(name, folder, k, limit):
    """Train a row where it is not trained, evaluate it where it is not evaluated; returns its numbers."""
    training, samples = ROWS[name]
    done = folder / f"test-{k or samples}{f'-{limit}' if limit else ''}.json"
    if not done.exists():
        if not (folder / "samples.png").exists():  # the last but one thing that a training writes
            resume = (folder / "checkpoint.pt").exists()
            if isinstance(training, dict):
                train_bernoulli_row(folder, resume, **training)
            else:
                train_gaussian.main([*training.split(), "--run-folder", str(folder), *["--resume"] * resume])
        evaluate.main([str(folder), "--split", "test", "--k", str(k or samples), "--json", str(done),
                       *(["--limit", str(limit)] if limit else [])])
    result = json.loads(done.read_text())
    history = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {"name": name, "seconds": sum(record["seconds"] for record in history), **result["bounds"],
            "bits_a_pixel": result.get("bits_a_pixel")}


def line(row):
    """A row of the table."""
    bits = f"{row['bits_a_pixel']:.3f} bits a pixel" if row["bits_a_pixel"] else " " * 18
    return (f"{row['name']:32s} bound (k = {row['k']:4d}) {row['bound']:9.2f}   ELBO {row['elbo']:9.2f} = "
            f"{row['log_px']:9.2f} - {row['kl']:6.2f}   {bits}   {row['active_units']:2d} of {row['latent']:2d} units"
            f"   {row['seconds']:6.0f} s")


def draw_sweep(rows, path):
    """The ELBO over beta of the rows of sweep; at beta 1 that of the rows of aevb, and the published figures."""
    found = {row["name"]: row["elbo"] for row in rows}
    figure = new_figure(7, 4.6)
    axes = figure.subplots()
    for (latent, published), colour in zip(AEVB_READ.items(), COLOURS):
        names = {beta: f"sweep-{latent}-beta-{beta:g}" for beta in BETAS}
        swept = {beta: found[name] for beta, name in names.items() if name in found}
        axes.plot(list(swept), list(swept.values()), "o-", color=colour, label=f"{latent}-D, 3 epochs")
        if f"aevb-{latent}" in found:
            axes.plot(1, found[f"aevb-{latent}"], "*", ms=11, color=colour)
        axes.plot(1, published, "x", ms=9, mew=2, color=colour)
    axes.plot([], [], "k*", ms=11, ls="", label="trained longer")
    axes.plot([], [], "kx", ms=9, mew=2, ls="", label="Kingma and Welling 2014, figure 2")
    axes.set(xlabel="beta in training", ylabel="evidence lower bound, nats a test digit", ylim=(-200, -90))
    axes.set_title("500 hidden units on MNIST; at beta 0 the code leaves the prior: below the frame", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save(figure, path)
    print(f"written: {path}")


def main(argv=None):
    """Do the rows asked for and print them; returns their numbers."""
    arguments = make_parser().parse_args(argv)
    if not arguments.rows:
        for name, (training, samples) in ROWS.items():
            words = f"train_gaussian.py {training}" if isinstance(training, str) else \
                "Bernoulli VAE " + ", ".join(f"{key} {value}" for key, value in training.items())
            print(f"{name:32s} {words}   (k = {samples})")
        return []
    for asked in arguments.rows:
        if not any(name.startswith(asked) for name in ROWS):
            raise ValueError(f"{asked}: expected rows out of {', '.join(ROWS)}")
    names = [name for name in ROWS if any(name.startswith(asked) for asked in arguments.rows)]
    rows = [do_row(name, arguments.runs / name, arguments.k, arguments.limit) for name in names]
    print("\n".join(line(row) for row in rows))
    if arguments.figure:
        draw_sweep(rows, arguments.figure)
    return rows


if __name__ == "__main__":
    run(main)
