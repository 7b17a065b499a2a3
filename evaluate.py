"""Print the numbers of a trained model; write them as JSON into its run folder, or to --json.

    python evaluate.py runs/bernoulli                            # on the validation bars of its own training
    python evaluate.py pretrained/bernoulli_map.pt --data groove --json map.json
    python evaluate.py runs/bernoulli --data groove --split test --k 500
    python evaluate.py runs/bernoulli --limit 200 --k 50         # a quick look
    python evaluate.py runs/audio                                # a model of sounds, on the machines kept from it
    python evaluate.py runs/fold_0 runs/fold_1 runs/fold_2       # several, each trained with its own --fold: the means

Bounds are in nats an example: of bars on their hits, given nothing unless a line names it. Active units are dimensions
of the code whose mean varies by more than 0.01 over the examples (Burda et al. 2016, section 3.2). Bars are drawn at
codes of random training bars, each with noise of its own; clicks lie near such codes, share one noise seed and ask for
steady bars, as in the window. AUC: how well a classifier separates real bars of unseen performances from others, 0.5
where it cannot, 1 where it always can; it sees no click of the sector of the map in which it is tested.
"""

import argparse
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import Parser, number, run, write_json

from formats.checkpoint import load_checkpoint
from learning import mnist
from learning.bounds import bounds, codes_report
from learning.training import choose_device
from models import build_model
from patterns import evaluation
from sounds import metrics as sound_metrics

DEFAULTS = {"split": "validation", "k": 500, "draws": 2000, "no_classifier": False}
APPLIES = {"bars": set(DEFAULTS), "digits": {"split", "k"}, "sounds": {"draws"}}  # of these, to a model of each kind


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("run", type=Path, nargs="+", help="a run folder, or a checkpoint file; several of models of "
                        "sounds, for the means of their numbers")
    parser.add_argument("--data", help="groove, or a folder of matrices, MIDI, digits or sounds (default: what the "
                        "model was trained on)")
    parser.add_argument("--split", help="train, validation or test (default validation); not for sounds")
    parser.add_argument("--k", type=number(int, 1), help="samples of the bound (default 500); not for sounds")
    parser.add_argument("--draws", type=number(int, 1), help="examples to draw (default 2000); not for digits")
    parser.add_argument("--limit", type=number(int, 1), help="measure only so many examples, chosen by the seed")
    parser.add_argument("--no-classifier", action="store_true", default=None,
                        help="leave out the AUCs, which take minutes; for bars alone")
    parser.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, help="of all that is drawn here")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    parser.add_argument("--json", type=Path, help="where to write (default: evaluation.json in the run folder)")
    return parser


def kind_of(content, path):
    """What a checkpoint is a model of: "bars", "digits" or "sounds". ValueError, naming the path, for anything else."""
    name, shape = content["class"], tuple(content["config"]["shape"])
    of_shape = {(28, 28): "digits", (8, 64): "bars"}
    kind = {"ConvVAE": "sounds", "GaussianVAE": "digits", "BernoulliVAE": of_shape.get(shape)}
    if not kind.get(name):
        raise ValueError(f"{path}: expected a model of drum bars, BernoulliVAE (8, 64), of digits or of sounds, found "
                         f"{name} {shape}")
    return kind[name]


def complete(options, kind):
    """Give options that were left out their defaults; ValueError for one that does not apply to a kind of model."""
    for name, default in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
        elif name not in APPLIES[kind]:
            raise ValueError(f"--{name.replace('_', '-')}: does not apply to a model of {kind}")


def evaluate_run(options):
    """The numbers of the model options.run, a dictionary, and the function that makes lines of it."""
    content = load_checkpoint(options.run)
    kind = kind_of(content, options.run)
    complete(options, kind)
    model = build_model(content, options.run).to(choose_device(options.device))
    if kind == "bars":
        return evaluation.evaluate_bars(options, content, model, bounds), evaluation.report
    if kind == "digits":
        return mnist.evaluate_digits(options, content, model), mnist.report
    return sound_metrics.evaluate_sounds(options, content, model, codes_report), sound_metrics.report


def evaluate_folds(options, runs):
    """The numbers of several models of sounds, each of its own fold: {"folds": [...], "mean": ...}; and report."""
    contents = [load_checkpoint(run) for run in runs]
    kinds = [kind_of(content, run) for content, run in zip(contents, runs)]
    folds = [content.get("arguments", {}).get("fold") for content in contents]
    if set(kinds) != {"sounds"} or len(set(folds)) < len(runs):
        raise ValueError(f"run: expected one, or models of sounds with a --fold each, found {', '.join(kinds)} of fold "
                         f"{', '.join(map(str, folds))}")
    found = []
    for folder in runs:  # `run` is command_line's
        print(f"{folder}:", flush=True)
        found.append(evaluate_run(argparse.Namespace(**vars(options) | {"run": folder}))[0])
        print("\n".join(sound_metrics.report(found[-1])), flush=True)
    print("means:")
    return {"folds": found, "mean": sound_metrics.mean_of(found)}, lambda numbers: sound_metrics.report(numbers["mean"])


def main(argv=None):
    """Evaluate, print, write JSON; return the numbers."""
    options = make_parser().parse_args(argv)
    runs, options.run = options.run, options.run[0]
    numbers, report = evaluate_folds(options, runs) if len(runs) > 1 else evaluate_run(options)
    print("\n".join(report(numbers)))
    path = options.json or (options.run / "evaluation.json" if len(runs) == 1 and options.run.is_dir() else None)
    if path:
        write_json(path, numbers)
    print(f"written: {path}" if path else "not written: --json names a file for these numbers")
    return numbers


if __name__ == "__main__":
    run(main)
