"""Make one-shots with a trained sound model: WAV files, and sounds.png with their spectrograms.

    python generate_sounds.py my_kit --seed 3                             # a kit: eight sounds, one a class
    python generate_sounds.py snares --class Snare --n 16 --seed 1
    python generate_sounds.py near --like my_snare.wav --spread 0.3       # sounds around one of yours
    python generate_sounds.py morph --between kick.wav clap.wav --steps 8
    python generate_sounds.py mine --model runs/audio --class Tom

A sound depends on --seed and its number alone: more sounds, or more classes, leave those that were there.
"""

import argparse
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import ROOT, Parser, number, run

import torch

from formats.activation_matrix import INSTRUMENTS
from formats.audio import save_audio
from learning.figures import draw_spectrograms
from sounds.codes import class_weights, encode_file, load_sound_model, random_codes, slerp
from sounds.dataset import class_from_name
from sounds.spectrograms import to_decibels
from sounds.synthesis import QUALITIES, synthesise


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="OUT", help="the folder to write into, made if missing")
    parser.add_argument("--model", type=Path, default=ROOT / "pretrained" / "sound_vae.pt", metavar="RUN",
                        help="a run folder of train_audio.py, or a .pt (default: pretrained/sound_vae.pt)")
    parser.add_argument("--class", dest="classes", type=class_row, nargs="+", default=[], metavar="CLASS",
                        help="Kick, Snare, ... (default: all; with --like and --between, the files' own)")
    parser.add_argument("--n", type=number(int, 1, 100_000), help="sounds a class (default: 16, or 1 of each class)")
    parser.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, help="of codes and noise (default: 0)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--like", type=Path, metavar="FILE", help="vary a sound around its code")
    source.add_argument("--between", type=Path, nargs=2, metavar="FILE", help="go from one sound to another")
    parser.add_argument("--spread", type=number(float, 0, 1),
                        help="how far --like varies: 0 is the sound itself, 1 any of its class (default: 0.5)")
    parser.add_argument("--steps", type=number(int, 2, 1000), default=8, help="of --between (default: 8)")
    parser.add_argument("--quality", choices=tuple(QUALITIES), default="fine",
                        help="of the search for the phase: best takes seconds a sound (default: fine)")
    return parser


def class_row(text):
    """An argparse type: the row that a class name means, as a folder's name would (Snare, sd, closed hat, ...)."""
    row = class_from_name(text)
    if row is None:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(INSTRUMENTS)}, found {text!r}")
    return row


def class_of_file(path):
    """The row that the name of a sound file or of its folder means, or None."""
    rows = [class_from_name(name) for name in (path.stem, path.resolve().parent.name)]
    return rows[1] if rows[0] is None else rows[0]


def around(model, rows, n, seed, centre=None, spread=1.0):
    """n sounds of each row at random codes, or `spread` around a code `centre` (latent,), as `plan` gives them."""
    # the first of each class is that of the kit, and more sounds or classes leave those that were there
    numbers = [len(INSTRUMENTS) * i + row for row in rows for i in range(n)]
    codes = random_codes(model, len(numbers), seed, numbers)
    if centre is not None:
        codes = (1 - spread**2) ** 0.5 * centre + spread * codes
    names = [f"{INSTRUMENTS[row]}_{i + 1:03d}" if n > 1 else INSTRUMENTS[row] for row in rows for i in range(n)]
    return codes, torch.tensor(numbers) % len(INSTRUMENTS), numbers, names


def between(model, files, rows, steps):
    """`steps` sounds from one file to the other, with one noise for all; row None: the class the model finds."""
    (start, first), (end, last) = (encode_file(model, file, row) for file, row in zip(files, rows))
    share = torch.linspace(0, 1, steps)[:, None]
    weights = (1 - share) * class_weights(first, 1) + share * class_weights(last, 1)  # (steps, 8)
    names = [f"{INSTRUMENTS[first]}_to_{INSTRUMENTS[last]}_{i + 1:03d}" for i in range(steps)]
    return slerp(start, end, steps), weights, [0] * steps, names


def plan(model, arguments):
    """The sounds that the command line asks for: (codes (B, latent), classes, numbers of their noise, names).

    classes: indices (B,), or weights (B, 8). Raises ValueError, naming the option.
    """
    rows, n, seed, spread = arguments.classes, arguments.n, arguments.seed, arguments.spread
    if spread is not None and not arguments.like:
        raise ValueError("--spread: expected --like beside it, found none")
    if arguments.between:
        if n:
            raise ValueError("--n: expected --steps to say how many sounds --between makes")
        if len(rows) > 2:
            raise ValueError(f"--class: expected one or two for --between, found {len(rows)}")
        rows = (rows[0], rows[-1]) if rows else [class_of_file(file) for file in arguments.between]
        return between(model, arguments.between, rows, arguments.steps)
    if arguments.like:
        centre, row = encode_file(model, arguments.like, rows[0] if rows else class_of_file(arguments.like))
        return around(model, [row], n or 16, seed, centre, 0.5 if spread is None else spread)
    return around(model, rows or range(len(INSTRUMENTS)), n or (16 if rows else 1), seed)


def main(argv=None):
    """Make, write and draw the sounds; returns {"files": [paths], "samples": (B, samples)}."""
    arguments = make_parser().parse_args(argv)
    model = load_sound_model(arguments.model)
    codes, label, numbers, names = plan(model, arguments)
    made = synthesise(model, codes, label, arguments.seed, numbers, arguments.quality)
    files = [arguments.folder / f"{name}.wav" for name in names]
    for file, sound in zip(files, made):
        save_audio(file, sound, model.sound["rate"])
    level, _ = to_decibels(model.transform.forward(made[:64]).abs(), model.sound["floor_db"])
    rows = [part.numpy() for part in level.split(8)]
    draw_spectrograms(rows, [names[8 * i:8 * i + 8] for i in range(len(rows))], arguments.folder / "sounds.png",
                      low=model.sound["floor_db"])
    print(f"{arguments.folder}: {len(files)} sounds, {files[0].name} to {files[-1].name}, and sounds.png")
    return {"files": files, "samples": made}


if __name__ == "__main__":
    run(main)
