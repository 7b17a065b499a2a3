"""Train a convolutional VAE on pictures of drum sounds: a latent space of one-shots, by class.

    python dataset_audio/make_sounds.py                   # 2,000 sounds of our own to train on
    python train_audio.py                                 # dataset_audio
    python train_audio.py --data my_samples               # a folder with a subfolder a class: kick, snare, oh, ...
    python train_audio.py --data my_samples --also dataset_audio --start-from pretrained/sound_vae.pt
    python train_audio.py --data results                  # the .npy that audio2nsgt.py wrote
    python train_audio.py --run-folder runs/audio --resume

The run folder it names holds best.pt, log.jsonl, config.json, curves.png, latent.png, spectrograms.png, samples.png
and WAV files; python evaluate.py RUN prints its numbers, python generate_sounds.py OUT --model RUN makes sounds.
"""

import shlex
import sys
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import Parser, number, run

import numpy as np
import torch

import models
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from formats.audio import save_audio
from learning import run_folder, training
from learning.figures import draw_curves, draw_latent, draw_spectrograms
from learning.training import add_arguments, fit_options
from models import ConvVAE
from sounds.calibration import calibrate_durations, codes_by_side, fit_prior, measure_class_levels
from sounds.codes import attach_transform, encode, random_codes
from sounds.dataset import split_by_machine
from sounds.spectrograms import FLOOR_DB, load_spectrograms, make_augmentation
from sounds.synthesis import synthesise

HERE = Path(__file__).resolve().parent


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("--data", default=str(HERE / "dataset_audio"),
                        help="a folder of sounds by class, or of .npy of audio2nsgt.py (default: dataset_audio)")
    parser.add_argument("--also", nargs="+", default=[], metavar="FOLDER",
                        help="more sounds to learn pictures from; codes are drawn as those of --data lie")
    group = parser.add_argument_group("pictures")
    group.add_argument("--rate", type=number(int, 1000, 384000), default=22050, metavar="HZ", help="default 22050")
    group.add_argument("--seconds", type=number(float, 0.05, 60), default=0.5, metavar="S",
                       help="length of all sounds, padded or cut with a fade (default 0.5)")
    group.add_argument("--bins", type=number(int, 1), default=48, help="bands an octave (default 48)")
    group.add_argument("--min-freq", type=number(float, 1), default=30.0, metavar="HZ", help="default 30")
    group.add_argument("--max-freq", type=number(float, 1), metavar="HZ",
                       help="default: just below half of --rate (11000 of 22050)")
    group = parser.add_argument_group("model")
    group.add_argument("--latent", type=number(int, 1), default=32, help="dimensions of the code (default 32)")
    group.add_argument("--widths", type=number(int, 1), nargs="+", default=[16, 32, 64, 96], metavar="N",
                       help="channels from the finest grid to the coarsest (default 16 32 64 96)")
    group.add_argument("--augment", type=number(float, 0, 4), default=1.0, metavar="A",
                       help="how far pitch (half an octave at 1), length and tone of sounds are varied (default 1)")
    group.add_argument("--start-from", type=Path, metavar="CHECKPOINT", help="go on from a trained model's weights")
    group.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto",
                       help="of convolutions in training (default auto: bfloat16 where the processor has it)")
    add_arguments(parser, epochs=40, batch_size=16, learning_rate=1e-3, beta=4.0)
    return parser


def load_data(arguments, settings):
    """The pictures of --data, split by machine, and those of --also to train with.

    Returns (data, sides, extra): load_spectrograms' dictionary, indices by side, (pictures, labels) of --also.
    """
    data = load_spectrograms(arguments.data, settings)
    try:
        sides = split_by_machine(data["names"], arguments.seed)
    except ValueError as error:
        raise ValueError(f"--data {arguments.data}: {error}") from None
    others = [load_spectrograms(folder, data["settings"]) for folder in arguments.also]
    for folder, other in zip(arguments.also, others):
        if other["pictures"].shape[1:] != data["pictures"].shape[1:]:
            raise ValueError(f"--also {folder}: expected pictures of {data['pictures'].shape[1:]}, as --data has, "
                             f"found {other['pictures'].shape[1:]}")
    for line in [line for part in (data, *others) for line in part["left_out"]]:
        print(f"left out: {line}", file=sys.stderr)
    extra = tuple(np.concatenate([other[key] for other in others]) if others else data[key][:0]
                  for key in ("pictures", "labels"))
    return data, sides, extra


def main(argv=None):
    """Train, draw, and return {"run": folder, "history": one record an epoch}."""
    arguments = make_parser().parse_args(argv)
    for name in ("data", "also"):  # kept in the run, for evaluate.py from any folder
        value = getattr(arguments, name)
        setattr(arguments, name, [str(Path(path).resolve()) for path in value] if name == "also"
                else str(Path(value).resolve()))
    settings = dict(scale="oct", rate=arguments.rate, downsample=1, min_freq=arguments.min_freq,
                    max_freq=arguments.max_freq or arguments.rate / 2 - 25, bins=arguments.bins,
                    seconds=arguments.seconds)
    data, sides, extra = load_data(arguments, settings)
    start = checkpoint.load_checkpoint(arguments.start_from) if arguments.start_from else None
    levels = torch.tensor(data["pictures"][sides["train"]], dtype=torch.float32)
    if start:
        mean, deviation = start["sound"]["mean"], start["sound"]["deviation"]
    else:
        mean, deviation = round(float(levels.mean()), 3), round(float(levels.std()), 3)
    sound = dict(settings=data["settings"], samples=data["samples"], floor_db=FLOOR_DB, relative=True, mean=mean,
                 deviation=deviation, classes=list(INSTRUMENTS), **measure_class_levels(data, sides["train"]))

    def normalised(pictures):
        return ((torch.as_tensor(pictures).float() - mean) / deviation).half()

    x = {side: normalised(data["pictures"][index]) for side, index in sides.items()}
    labels = {side: torch.as_tensor(data["labels"][index]).long() for side, index in sides.items()}
    train = torch.cat([x["train"], normalised(extra[0])])
    train_labels = torch.cat([labels["train"], torch.as_tensor(extra[1]).long()])
    torch.manual_seed(arguments.seed)
    model = ConvVAE(latent=arguments.latent, shape=tuple(train.shape[1:]), widths=arguments.widths)
    if start:
        if start["class"] != "ConvVAE" or start["config"] != model.config:
            raise ValueError(f"--start-from {arguments.start_from}: its model is {start['class']} {start['config']}, "
                             f"not the {model.config} asked for")
        model.load_state_dict({name: value.float() if value.is_floating_point() else value
                               for name, value in start["weights"].items()})
    elif not arguments.resume:
        model.start_at(train)
    model.low_precision = training.low_precision(arguments.precision)
    folder = arguments.run or (HERE / "runs" / "audio" if arguments.resume else run_folder.new_run_folder("audio"))
    device = training.choose_device(arguments.device)
    first = training.start_processes(device)[0] == 0
    if first:
        print(f"{len(train)} sounds to train, {len(x['validation'])} to validate, {len(x['test'])} kept for the test; "
              f"pictures of {train.shape[1]} x {train.shape[2]}; "
              f"{sum(weights.numel() for weights in model.parameters()):,} weights; run folder {folder}", flush=True)
    history = training.fit(
        model, train, x["validation"], folder, train_condition={"label": train_labels},
        validation_condition={"label": labels["validation"]},
        prepare=make_augmentation(arguments.augment, (FLOOR_DB - mean) / deviation), unit="sounds",
        keep={"sound": sound}, **fit_options(arguments))
    if first:
        finish(folder, x, labels, data, sides, history)
        best = max(history, key=lambda record: record["validation_elbo"])
        print(f"best validation bound {best['validation_elbo']:.0f} nats a sound (KL {best['validation_kl']:.1f}) in "
              f"epoch {best['epoch']}, {sum(record['seconds'] for record in history):.0f} s of training\n"
              f"its numbers:  python evaluate.py {shlex.quote(str(folder))}")
    training.stop_processes()
    return {"run": folder, "history": history}


def finish(folder, x, labels, data, sides, history):
    """Fit the place of each class among the codes, keep it in best.pt, and draw the run's pictures."""
    content = checkpoint.load_checkpoint(folder)
    model = models.build_model(content, folder)
    codes = codes_by_side(model, x, labels)
    fit_prior(model, codes)
    content["sound"].update(calibrate_durations(model, content["sound"], x["train"], labels["train"], data,
                                                sides["train"]))
    content = {name: value for name, value in content.items() if name not in ("class", "config", "weights", "map")}
    checkpoint.save_checkpoint(folder / "best.pt", model, half=True, **content)
    draw_curves(history, folder / "curves.png", unit="sound")
    draw_latent({side: (mean, label) for side, (mean, _, label) in codes.items()}, INSTRUMENTS, folder / "latent.png")
    draw_examples(model, content["sound"], x["validation"], labels["validation"],
                      [data["names"][i] for i in sides["validation"]], folder)
    if data["sounds"] is not None:
        write_examples(attach_transform(model, content["sound"]),
                                   data["sounds"][sides["validation"]], data["labels"][sides["validation"]],
                                   folder / "sounds")


def draw_examples(model, sound, x, labels, names, folder, columns=10, each=8):
    """spectrograms.png, unseen sounds over what the model makes of their codes; samples.png, sounds of its own."""
    def in_decibels(pictures):
        return (pictures.float() * sound["deviation"] + sound["mean"]).clamp(sound["floor_db"], 0).numpy()

    generator = torch.Generator().manual_seed(0)
    shown = torch.randperm(len(x), generator=generator)[:2 * columns]
    shown = shown[labels[shown].argsort(stable=True)]
    with torch.no_grad():
        remade = model.decode(model.code(x[shown], label=labels[shown]), label=labels[shown])
        rows, titles = [], []
        for part in torch.arange(len(shown)).split(columns):
            rows += [list(in_decibels(x[shown[part]])), list(in_decibels(remade[part]))]
            titles += [[names[shown[i]] for i in part.tolist()], ["reconstruction"] * len(part)]
        draw_spectrograms(rows, titles, folder / "spectrograms.png", low=sound["floor_db"])
        label = torch.arange(len(INSTRUMENTS)).repeat_interleave(each)
        noise = torch.randn(len(label), model.latent, generator=generator)
        made = in_decibels(model.decode(noise, label=label))
    draw_spectrograms([list(made[label == row]) for row in range(len(INSTRUMENTS))], [[""] * each] * len(INSTRUMENTS),
                      folder / "samples.png", low=sound["floor_db"], row_names=INSTRUMENTS)


def write_examples(model, originals, labels, folder, each=4, seed=0):
    """Write what a trained model sounds like: eight originals with what comes back from their codes, new ones a class.

    originals: float32 (B, samples) that training has not seen, labels (B,); up to eight are taken, of as many classes.
    """
    labels = np.asarray(labels)
    order = sorted(range(len(labels)), key=lambda i: ((labels[:i] == labels[i]).sum(), labels[i]))[:8]
    for place, i in enumerate(order):
        name = f"{place + 1}_{INSTRUMENTS[labels[i]]}"
        code, _ = encode(model, originals[i], int(labels[i]))
        save_audio(Path(folder) / f"{name}_original.wav", originals[i], model.sound["rate"], subtype="FLOAT")
        save_audio(Path(folder) / f"{name}_reconstruction.wav",
                   synthesise(model, code[None], int(labels[i]), seed, [place], "fine")[0], model.sound["rate"])
    rows = torch.arange(len(INSTRUMENTS)).repeat_interleave(each)
    made = synthesise(model, random_codes(model, len(rows), seed), rows, seed, quality="fine")
    for i, sound in enumerate(made):
        save_audio(Path(folder) / f"sample_{INSTRUMENTS[rows[i]]}_{i % each + 1}.wav", sound, model.sound["rate"])


if __name__ == "__main__":
    run(main)
