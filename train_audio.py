"""Train a convolutional VAE on spectrograms of drum sounds: a latent space of one-shots, by class.

    python dataset_audio/make_sounds.py                   # 2,000 sounds of our own to train on
    python train_audio.py                                 # dataset_audio
    python train_audio.py --data my_samples               # a folder with a subfolder a class: kick, snare, oh, ...
    python train_audio.py --data my_samples --also dataset_audio --start-from pretrained/sound_vae.pt
    python train_audio.py --run-folder runs/audio --resume

The run folder holds best.pt, log.jsonl, config.json, curves.png, latent.png, spectrograms.png, samples.png and, in
sounds/, reconstructions. `evaluate.py RUN` prints its numbers, `generate_sounds.py OUT --model RUN` makes sounds.
"""

import shlex
import sys
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import ROOT, Parser, number, run

import torch

import models
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from formats.audio import fit_length, load_audio, save_audio
from learning.bounds import encode_all
from learning.figures import draw_curves, draw_latent, draw_spectrograms
from learning.run_folder import choose_run_folder
from learning.training import Examples, add_arguments, describe, fit, read_settings, start_process
from models import ConvVAE
from sounds.calibration import calibrate_durations, fit_prior, measure_class_levels
from sounds.codes import attach_transform, load_sound_model
from sounds.dataset import split_by_machine
from sounds.spectrograms import (FLOOR_DB, denormalise, load_spectrograms, make_augmentation, mean_and_deviation,
                                 to_tensors)
from sounds.synthesis import synthesise


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("--data", default=str(ROOT / "dataset_audio"),
                        help="a folder of sounds by class (default: dataset_audio)")
    parser.add_argument("--also", nargs="+", default=[], metavar="FOLDER",
                        help="more sounds to learn from; random codes are drawn as those of --data lie")
    group = parser.add_argument_group("spectrograms")
    group.add_argument("--rate", type=number(int, 1000, 384000), default=22050, metavar="HZ", help="default 22050")
    group.add_argument("--seconds", type=number(float, 0.05, 60), default=0.5, metavar="S",
                       help="length of all sounds, padded or cut with a fade (default 0.5)")
    group.add_argument("--bins", type=number(int, 1), default=48, help="bands an octave (default 48)")
    group.add_argument("--min-freq", type=number(float, 1), default=30.0, metavar="HZ", help="default 30")
    group = parser.add_argument_group("model")
    group.add_argument("--latent", type=number(int, 1), default=32, help="dimensions of the code (default 32)")
    group.add_argument("--widths", type=number(int, 1), nargs="+", default=[16, 32, 64, 96], metavar="N",
                       help="channels from the finest grid to the coarsest (default 16 32 64 96)")
    group.add_argument("--augment", type=number(float, 0, 4), default=1.0, metavar="A",
                       help="how far pitch (half an octave at 1), length and tone of sounds are varied (default 1)")
    group.add_argument("--start-from", type=Path, metavar="CHECKPOINT", help="go on from a trained model's weights")
    add_arguments(parser, epochs=40, batch_size=16, learning_rate=1e-3, beta=4.0)
    return parser


def load_data(arguments):
    """The spectrograms of --data, indices of them by side, and the spectrograms of each folder of --also."""
    settings = dict(scale="oct", rate=arguments.rate, downsample=1, min_freq=arguments.min_freq, bins=arguments.bins,
                    max_freq=arguments.rate / 2 - 25, seconds=arguments.seconds)
    data = load_spectrograms(arguments.data, settings)
    try:
        sides = split_by_machine(data["names"], arguments.seed)
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
    """Train, calibrate, draw, and return {"run": folder, "history": one record an epoch}."""
    arguments = make_parser().parse_args(argv)
    arguments.data = str(Path(arguments.data).resolve())  # kept in the run, for evaluate.py from any folder
    arguments.also = [str(Path(path).resolve()) for path in arguments.also]
    settings = read_settings(arguments, "augment")
    start = load_sound_model(arguments.start_from) if arguments.start_from else None
    data, sides, others = load_data(arguments)
    mean, deviation = (start.sound["mean"], start.sound["deviation"]) if start else \
        mean_and_deviation(data["spectrograms"], sides["train"])
    sound = dict(settings=data["settings"], samples=data["samples"], floor_db=FLOOR_DB, relative=True, mean=mean,
                 deviation=deviation, classes=list(INSTRUMENTS), **measure_class_levels(data, sides["train"]))
    x, labels = to_tensors(sound, (data, sides["train"]), *((other, range(len(other["labels"]))) for other in others))
    validation, validation_labels = to_tensors(sound, (data, sides["validation"]))
    del others, data["spectrograms"]

    model = make_model(arguments, x, start)
    folder = choose_run_folder(arguments.run, "audio", arguments.resume)
    first = start_process(arguments.device).rank == 0
    if first:
        print(f"{len(x)} sounds to train, {len(validation)} to validate, {len(sides['test'])} kept for the test; "
              f"spectrograms of {x.shape[1]} x {x.shape[2]}; run folder {folder}", flush=True)
    history = fit(model, Examples(x, {"label": labels}), Examples(validation, {"label": validation_labels}), folder,
                  settings, make_augmentation(arguments.augment, (FLOOR_DB - mean) / deviation), {"sound": sound},
                  "sounds")
    if first:
        own = len(sides["train"])  # not those of --also
        finish(folder, {"train": x[:own], "validation": validation},
               {"train": labels[:own], "validation": validation_labels}, data, sides)
        draw_curves(history, folder / "curves.png", unit="sound")
        print(f"{describe(history, arguments.free_bits, 'sound', folder)}\n"
              f"its sounds:   python generate_sounds.py my_kit --model {shlex.quote(str(folder))}")
    return {"run": folder, "history": history}


def finish(folder, x, labels, data, sides):
    """Calibrate best.pt, unless a run that is resumed has done so before; draw, write reconstructions.

    x, labels: by side. data, sides: of load_data.
    """
    content = checkpoint.load_checkpoint(folder)
    model = models.build_model(content, folder)
    codes = {side: (*encode_all(model, x[side], 64, label=labels[side]), labels[side]) for side in x}
    if not content.get("calibrated"):
        fit_prior(model, codes)
        content["sound"] |= calibrate_durations(model, content["sound"], x["train"], labels["train"],
                                                data["durations"][sides["train"]])
        state = {name: value for name, value in content.items() if name not in ("class", "config", "weights", "map")}
        checkpoint.save_checkpoint(folder / "best.pt", model, half=True, **state | {"calibrated": True})
    draw_latent({side: (mean, label) for side, (mean, _, label) in codes.items()}, INSTRUMENTS, folder / "latent.png")
    x, labels, unseen = x["validation"], labels["validation"], sides["validation"]
    draw_examples(model, content["sound"], x, labels, [data["names"][i] for i in unseen], folder)
    write_reconstructions(attach_transform(model, content["sound"]), [data["paths"][i] for i in unseen], x, labels,
                          folder / "sounds")


@torch.no_grad()
def draw_examples(model, sound, x, labels, names, folder, columns=10, each=8):
    """spectrograms.png, unseen sounds over what the model makes of their codes; samples.png, sounds of its own."""
    generator = torch.Generator().manual_seed(0)
    shown = torch.randperm(len(x), generator=generator)[:2 * columns]
    shown = shown[labels[shown].argsort(stable=True)]
    rows, titles = [], []
    for part in shown.split(columns):
        remade = model.decode_base(model.encode_base(x[part], label=labels[part]), label=labels[part])
        rows += [list(denormalise(some, sound).numpy()) for some in (x[part], remade)]
        titles += [[names[i] for i in part], ["reconstruction"] * len(part)]
    draw_spectrograms(rows, titles, folder / "spectrograms.png", low=sound["floor_db"])
    label = torch.arange(len(INSTRUMENTS)).repeat_interleave(each)
    noise = torch.randn(len(label), model.latent, generator=generator)
    made = denormalise(model.decode_base(noise, label=label), sound).numpy()
    draw_spectrograms([list(made[label == row]) for row in range(len(INSTRUMENTS))], [[""] * each] * len(INSTRUMENTS),
                      folder / "samples.png", low=sound["floor_db"], row_names=INSTRUMENTS)


@torch.no_grad()
def write_reconstructions(model, paths, x, labels, folder):
    """Write up to eight sounds, of as many classes, and what comes back from their codes, as WAV files.

    x (n, bands, frames), labels (n,): of the sounds, in the model's units.
    """
    rows, rate = labels.tolist(), model.sound["rate"]
    order = sorted(range(len(rows)), key=lambda i: (rows[:i].count(rows[i]), rows[i]))[:8]
    codes = model.encode_base(x[order], label=labels[order])
    for place, (i, made) in enumerate(zip(order, synthesise(model, codes, labels[order], quality="fine"))):
        original = fit_length(load_audio(paths[i], rate)[0], model.sound["samples"])
        name = f"{place + 1}_{INSTRUMENTS[rows[i]]}"
        save_audio(folder / f"{name}_original.wav", original, rate, subtype="FLOAT")
        save_audio(folder / f"{name}_reconstruction.wav", made, rate)


if __name__ == "__main__":
    run(main)
