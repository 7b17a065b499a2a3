"""Train a convolutional VAE on spectrograms of drum sounds: a latent space of one-shots, by class.

    python dataset_audio/make_sounds.py                   # 2,000 sounds of our own to train on
    python train_audio.py                                 # dataset_audio
    python train_audio.py --data my_samples               # a folder with a subfolder a class: kick, snare, oh, ...
    python train_audio.py --data my_samples --also dataset_audio --start-from pretrained/sound_vae.pt
    python train_audio.py --run-folder runs/audio --resume

A file's machine is what its name has before the first _; a machine is on one side only: training, validation or test.

The run folder holds best.pt, log.jsonl, config.json, curves.png, latent.png, spectrograms.png and, in sounds/, unseen
sounds beside what comes back from their codes. `evaluate.py RUN` prints its numbers, `generate_sounds.py OUT --model
RUN` makes sounds. best.pt keeps training sounds, whose fine structure new sounds borrow: share it as you would them.
"""

import shlex
import sys
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import ROOT, Parser, Progress, number, run

import numpy as np
import torch

import models
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from formats.audio import load_audio, save_audio
from learning.bounds import encode_all
from learning.figures import draw_curves, draw_latent, draw_spectrograms
from learning.run_folder import choose_run_folder
from learning.training import Examples, add_arguments, describe, fit, read_settings, start_process
from models import ConvVAE
from sounds.calibration import learn_softness, measure_class_levels, measure_softness, struck_hardest
from sounds.codes import attach_sound, encode, load_sound_model
from sounds.dataset import FOLDS, machine_of, shortened, split_by_machine
from sounds.exemplars import find_exemplars
from sounds.spectrograms import (DEFAULTS, FLOOR_DB, denormalise, load_spectrograms, make_augmentation,
                                 mean_and_deviation, to_tensors)
from sounds.synthesis import synthesise


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("--data", default=str(ROOT / "dataset_audio"),
                        help="a folder of sounds by class (default: dataset_audio)")
    parser.add_argument("--also", nargs="+", default=[], metavar="FOLDER",
                        help="more sounds to learn from; random codes are drawn as those of --data lie")
    parser.add_argument("--fold", type=number(int, 0, FOLDS - 1), default=0, metavar="K",
                        help=f"which of {FOLDS} parts of the machines to keep for the test (default 0)")
    group = parser.add_argument_group("spectrograms")
    group.add_argument("--rate", type=number(int, 1000, 384000), default=44100, metavar="HZ", help="default 44100")
    group.add_argument("--seconds", type=number(float, 0.05, 60), default=1.5, metavar="S",
                       help="of the longest sounds; longer ones are faded out (default 1.5)")
    group.add_argument("--bins", type=number(int, 1), default=24, help="bands an octave (default 24)")
    group.add_argument("--frames", type=number(int, 8), default=96, help="in time, short at the attack (default 96)")
    group.add_argument("--min-freq", type=number(float, 1), default=30.0, metavar="HZ", help="default 30")
    group = parser.add_argument_group("model")
    group.add_argument("--latent", type=number(int, 1), default=32, help="dimensions of the code (default 32)")
    group.add_argument("--widths", type=number(int, 1), nargs="+", default=[16, 32, 64, 96], metavar="N",
                       help="channels from the finest grid to the coarsest (default 16 32 64 96)")
    group.add_argument("--augment", type=number(float, 0, 4), default=1.0, metavar="A",
                       help="how far pitch (half an octave at 1), length and tone of sounds are varied (default 1)")
    group.add_argument("--start-from", type=Path, metavar="CHECKPOINT", help="go on from a trained model's weights")
    group.add_argument("--exemplars", type=number(int, 8), default=2000, metavar="N",
                       help="training sounds that the model keeps, to lend their fine structure (default 2000)")
    add_arguments(parser, epochs=40, batch_size=16, learning_rate=1e-3, beta=4.0)
    return parser


def load_data(arguments):
    """The spectrograms of --data, indices of them by side, and the spectrograms of each folder of --also."""
    settings = {name: getattr(arguments, name) for name in ("rate", "seconds", "bins", "frames", "min_freq")}
    settings["max_freq"] = min(DEFAULTS["max_freq"], arguments.rate / 2 - 25)
    data = load_spectrograms(arguments.data, settings)
    try:
        sides = split_by_machine(data["names"], arguments.fold)
    except ValueError as error:
        raise ValueError(f"--data {arguments.data}: {error}") from None
    others = [load_spectrograms(folder, settings) for folder in arguments.also]
    for line in [line for part in (data, *others) for line in part["left_out"]]:
        print(f"left out: {line}", file=sys.stderr)
    return data, sides, others


def make_model(arguments, x, start):
    """The model to train on x (n, bands, frames): with the weights of `start`, or from the data's own components."""
    torch.manual_seed(arguments.seed)
    model = ConvVAE(latent=arguments.latent, shape=tuple(x.shape[1:]), widths=arguments.widths)
    if start:
        if start.config != model.config:
            raise ValueError(f"--start-from {arguments.start_from}: its model is {start.config}, not the "
                             f"{model.config} asked for")
        model.load_state_dict(start.state_dict())
    elif not arguments.resume:
        model.initialise_from_data(x)
    return model


def main(argv=None):
    """Train, find exemplars, draw, and return {"run": folder, "history": one record an epoch}."""
    arguments = make_parser().parse_args(argv)
    arguments.data = str(Path(arguments.data).resolve())  # kept in the run, for evaluate.py from any folder
    arguments.also = [str(Path(path).resolve()) for path in arguments.also]
    settings = read_settings(arguments, "augment")
    start = load_sound_model(arguments.start_from) if arguments.start_from else None
    data, sides, others = load_data(arguments)
    sound = describe_sounds(data, sides["train"], start)
    x, labels = to_tensors(sound, (data, sides["train"]), *((other, range(len(other["labels"]))) for other in others))
    validation, validation_labels = to_tensors(sound, (data, sides["validation"]))
    del others, data["spectrograms"]

    model = make_model(arguments, x, start)
    folder = choose_run_folder(arguments.run, "audio", arguments.resume)
    first = start_process(arguments.device).rank == 0
    if first:
        print(f"{len(x)} sounds to train, {len(validation)} to validate, {len(sides['test'])} kept for the test; "
              f"spectrograms of {x.shape[1]} x {x.shape[2]}; run folder {folder}", flush=True)
    floor = (FLOOR_DB - sound["mean"]) / sound["deviation"]
    history = fit(model, Examples(x, {"label": labels}), Examples(validation, {"label": validation_labels}), folder,
                  settings, make_augmentation(arguments.augment, floor, arguments.bins), {"sound": sound}, "sounds")
    if first:
        own = len(sides["train"])  # not those of --also
        finish(folder, {"train": x[:own], "validation": validation},
               {"train": labels[:own], "validation": validation_labels}, data, sides, arguments.exemplars)
        draw_curves(history, folder / "curves.png", unit="sound")
        print(f"{describe(history, arguments.free_bits, 'sound', folder)}\n"
              f"its sounds:   python generate_sounds.py my_kit --model {shlex.quote(str(folder))}")
    return {"run": folder, "history": history}


def describe_sounds(data, index, start):
    """What a checkpoint says of its sounds, a dictionary: settings, scale, levels, softness. index: to train on."""
    scale = {"mean": start.sound["mean"], "deviation": start.sound["deviation"]} if start else \
        dict(zip(("mean", "deviation"), mean_and_deviation(data["spectrograms"], index)))
    with Progress(what="measuring pairs of velocities"):
        softness = measure_softness(data, index) or (start.sound.get("soft") if start else None)
    return dict(settings=data["settings"], floor_db=FLOOR_DB, classes=list(INSTRUMENTS), **scale,
                **measure_class_levels(data, index), **({"soft": softness} if softness else {}))


def finish(folder, x, labels, data, sides, most):
    """Find the exemplars of best.pt, unless a run that is resumed has done so before; draw, write reconstructions.

    x, labels: by side. data, sides: of load_data. most: exemplars.
    """
    content = checkpoint.load_checkpoint(folder)
    model = models.build_model(content, folder)
    with Progress(what="encoding the sounds"):
        codes = {side: encode_all(model, x[side], 64, label=labels[side]) for side in x}
    if "exemplars" not in content["sound"]:
        content["sound"] |= find_what_is_kept(model, content["sound"], codes["train"], x["train"], labels["train"],
                                              data, sides["train"], most)
        state = {name: value for name, value in content.items() if name not in ("class", "config", "weights", "map")}
        checkpoint.save_checkpoint(folder / "best.pt", model, half=True, **state)
    with Progress(what="drawing figures and making sounds"):
        draw_latent({side: (codes[side][0], labels[side]) for side in x}, INSTRUMENTS, folder / "latent.png")
        x, labels, unseen = x["validation"], labels["validation"], sides["validation"]
        draw_examples(model, content["sound"], x, labels, [data["names"][i] for i in unseen], folder)
        write_reconstructions(attach_sound(model, content["sound"]), [data["paths"][i] for i in unseen], labels,
                              folder / "sounds")


def find_what_is_kept(model, sound, codes, x, labels, data, index, most):
    """The exemplars, and how codes move with velocity: a dictionary for the checkpoint."""
    names = [data["names"][i] for i in index]
    hard = np.flatnonzero(struck_hardest(names))
    with Progress(what="keeping exemplars"):
        kept = find_exemplars(*(part[hard] for part in codes), labels[hard], [machine_of(names[i]) for i in hard],
                              data["durations"][index][hard], [data["paths"][index[i]] for i in hard],
                              sound["settings"], most)
    with Progress(what="learning what velocity does"):
        soft = learn_softness(model, sound, sound["soft"], x, labels) if "soft" in sound else None
    return {"exemplars": kept, **({"soft": soft} if soft else {})}


@torch.no_grad()
def draw_examples(model, sound, x, labels, names, folder, columns=10):
    """spectrograms.png: unseen sounds over what the model decodes at their codes."""
    generator = torch.Generator().manual_seed(0)
    shown = torch.randperm(len(x), generator=generator)[:2 * columns]
    shown = shown[labels[shown].argsort(stable=True)]
    rows, titles = [], []
    for part in shown.split(columns):
        remade = model.decode_mean(model.encode(x[part], label=labels[part])[0], label=labels[part])
        rows += [list(denormalise(some, sound).numpy()) for some in (x[part], remade)]
        titles += [[names[i] for i in part], ["decoded"] * len(part)]
    draw_spectrograms(rows, titles, folder / "spectrograms.png", low=sound["floor_db"])


def write_reconstructions(model, paths, labels, folder):
    """Write up to eight sounds, of as many classes, and what an exemplar makes of their codes, as WAV files.

    paths, labels (n,): of the sounds.
    """
    rows, rate = labels.tolist(), model.sound["rate"]
    order = sorted(range(len(rows)), key=lambda i: (rows[:i].count(rows[i]), rows[i]))[:8]
    originals = [shortened(load_audio(paths[i], rate)[0], rate, model.sound["settings"]["seconds"]) for i in order]
    codes = torch.stack([encode(model, sound, rows[i])[0] for i, sound in zip(order, originals)])
    for place, (i, original, made) in enumerate(zip(order, originals, synthesise(model, codes, labels[order]))):
        name = f"{place + 1}_{INSTRUMENTS[rows[i]]}"
        save_audio(folder / f"{name}_original.wav", original, rate, subtype="FLOAT")
        save_audio(folder / f"{name}_reconstruction.wav", made, rate)


if __name__ == "__main__":
    run(main)
