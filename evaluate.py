"""Print the numbers of a trained model, and write them as JSON beside it.

    python evaluate.py runs/bernoulli                            # on the validation bars of its own training
    python evaluate.py pretrained/bernoulli_map.pt --data groove
    python evaluate.py runs/bernoulli --data groove --split test --k 500
    python evaluate.py runs/bernoulli --limit 200 --k 50         # a quick look
    python evaluate.py runs/audio                                # a model of sounds, on the machines kept from it
    python evaluate.py pretrained/sound_vae.pt --data my_samples

Bounds are in nats a bar, on the hits, the style unknown unless it says told. Active units: dimensions of the code whose
mean varies over the bars by more than 0.01 (Burda et al. 2016, section 3.2). A click is a code of a training bar;
clicks are drawn each with a take (seed) of its own, and all with one take. AUC: how well a classifier tells real bars
of unseen performances from the others, 0.5 where it cannot, 1 where it always can.
"""

from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import Parser, number, run, write_json

import numpy as np
import torch

import models
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from learning import mnist, training
from learning.bounds import bounds, codes_report
from patterns.dataset import load_bars
from patterns.latent_map import attach_map
from patterns.metrics import (STYLES_ASKED, against_real, click_milliseconds, clicks, drawn, exactness, locality,
                              reconstruction, report, velocities)
from patterns.sampling import draw
from sounds import metrics

HERE = Path(__file__).resolve().parent


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("run", type=Path, help="a run folder, or a checkpoint file")
    parser.add_argument("--data", help="groove, or a folder of matrices or MIDI (default: what the run was trained on)")
    parser.add_argument("--split", default="validation", help="train, validation or test (default validation)")
    parser.add_argument("--k", type=number(int, 1), default=500, help="samples of the importance-weighted bound")
    parser.add_argument("--draws", type=number(int, 1), default=2000, help="bars to draw from the model (default 2000)")
    parser.add_argument("--limit", type=number(int, 1), help="only so many bars, drawn by the seed")
    parser.add_argument("--no-classifier", action="store_true", help="leave out the AUCs, which take minutes")
    parser.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, help="of all that is drawn here")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    parser.add_argument("--json", type=Path, help="where to write (default: evaluation.json beside the model)")
    return parser


def main(argv=None):
    """Evaluate, print, write JSON; return the numbers."""
    arguments = make_parser().parse_args(argv)

    content = checkpoint.load_checkpoint(arguments.run)
    model = models.build_model(content, arguments.run).to(training.choose_device(arguments.device))
    if content["class"] == "GaussianVAE" or tuple(content["config"]["shape"]) == (28, 28):
        result = mnist.evaluate_digits(arguments, content, model)
        return write(arguments, result, mnist.report(result))
    if content["class"] == "ConvVAE":
        result = metrics.evaluate_sounds(arguments, content, model, codes_report)
        return write(arguments, result, metrics.report(result))
    if content["class"] != "BernoulliVAE" or tuple(content["config"]["shape"]) != (8, 64):
        raise ValueError(f"{arguments.run}: expected a model of drum bars, BernoulliVAE (8, 64), "
                         f"found {content['class']}")
    trained = content.get("arguments", {})
    data = arguments.data or trained.get("data")
    if data is None:
        raise ValueError(f"{arguments.run}: does not say what it was trained on; give --data")
    splits = load_bars(data, trained.get("seed", 0))
    if arguments.split not in splits:
        raise ValueError(f"--split {arguments.split}: {data} has {', '.join(splits)}")
    bars, names, styles = (np.asarray(part) for part in splits[arguments.split])
    if arguments.limit:
        chosen = np.random.default_rng(arguments.seed).permutation(len(bars))[:arguments.limit]
        bars, names, styles = bars[chosen], names[chosen], styles[chosen]
    x = torch.as_tensor(bars)
    cpu = attach_map(models.build_model(content, arguments.run), content.get("map"), arguments.run)
    labels = torch.tensor([cpu.styles.index(style) if style in cpu.styles else -1 for style in styles])
    train, train_names, train_styles = (np.asarray(part) for part in splits["train"])
    order = np.random.default_rng(arguments.seed).permutation(len(train))  # of other real bars, to stand beside ours

    def compare(style=None):
        """Bars drawn at random clicks, of one style or any, beside the real ones: (draws, what was found)."""
        generator = torch.Generator().manual_seed(arguments.seed)
        label = None if style is None else cpu.styles.index(style)
        z = clicks(cpu, arguments.draws, generator, label)
        draws, one_take = drawn(cpu, z, generator, label), draw(cpu, z) if style is None else None
        mine = np.full(len(bars), True) if style is None else styles == style
        others = order if style is None else order[train_styles[order] == style]
        others = others[:max(len(bars), 1000)]
        return draws, {"real_bars": int(mine.sum()), **against_real(
            draws, one_take, bars[mine], names[mine], train[others], train_names[others], train,
            not arguments.no_classifier, arguments.seed)}

    draws, own = compare()
    counts = {style: int((styles == style).sum()) for style in cpu.styles}
    largest = sorted((style for style in counts if counts[style]), key=lambda style: -counts[style])[:STYLES_ASKED]
    points = clicks(cpu, min(600, arguments.draws), torch.Generator().manual_seed(arguments.seed))
    result = {"model": str(arguments.run), "data": str(data), "split": arguments.split, "bars": len(bars),
              "bounds": bounds(model, x, arguments.k, arguments.seed, labels if cpu.styles else None),
              "reconstruction_f1": reconstruction(cpu, x, INSTRUMENTS),
              "sample_statistics": own, "styles": {style: compare(style)[1] for style in largest},
              "locality": locality(cpu, points, torch.Generator().manual_seed(arguments.seed)),
              "density_exact": exactness(cpu, points), "click_milliseconds": click_milliseconds(cpu, points[:40]),
              "velocities": velocities(cpu, x, draws, INSTRUMENTS), "seed": arguments.seed,
              "epoch": content.get("epoch"), "config": content["config"]}
    return write(arguments, result, report(result))


def write(arguments, result, lines):
    """Print the lines, write the numbers as JSON beside the model or to --json; gives the numbers."""
    print("\n".join(lines))
    beside = arguments.run / "evaluation.json" if arguments.run.is_dir() else \
        arguments.run.with_name(f"{arguments.run.stem}_evaluation.json")
    path = arguments.json or beside
    write_json(path, result)
    print(f"written: {path}")
    return result


if __name__ == "__main__":
    run(main)
