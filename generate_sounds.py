"""Make one-shots with a trained sound model: WAV files, and sounds.png with their spectrograms.

    python generate_sounds.py my_kit --seed 3                             # a kit: eight sounds, one a class
    python generate_sounds.py snares --class Snare --n 16 --seed 1
    python generate_sounds.py near --like my_snare.wav --spread 0.3       # sounds around one of yours
    python generate_sounds.py morph --between kick.wav clap.wav --steps 8
    python generate_sounds.py tom --class Tom --at 0.5 -1                 # at a point of the sound map of the window
    python generate_sounds.py my_kit --seed 3 --layers                    # struck soft to hard: --kit, SFZ, Hydrogen
    python generate_sounds.py mine --model runs/audio --class Tom

A sound depends on --seed and its number alone: more sounds, or more classes, leave those that were there.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import ROOT, Parser, Progress, number, run

import numpy as np
import torch

from engine.voices import AMPLITUDE
from formats.activation_matrix import INSTRUMENTS
from formats.audio import resample, save_audio
from formats.hydrogen import write_hydrogen
from formats.kit import SAMPLE_RATE
from formats.sfz import write_sfz
from learning.figures import draw_spectrograms
from session.export import instruments_of
from sounds.codes import class_weights, encode, load_sound, load_sound_model, random_codes, slerp
from sounds.dataset import class_from_name, shortened
from sounds.kits import generate_kit
from sounds.sound_map import SoundPlane
from sounds.spectrograms import spectrogram_of
from sounds.synthesis import Source, synthesise


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
    source.add_argument("--at", type=number(float, -9, 9), nargs=2, metavar=("X", "Y"),
                        help="the sound of each class at a point of its map, from about -2 to 2")
    parser.add_argument("--spread", type=number(float, 0, 1),
                        help="how far --like varies: 0 is the sound itself, 1 any of its class (default: 0.5)")
    parser.add_argument("--steps", type=number(int, 2, 1000), default=8, help="of --between (default: 8)")
    parser.add_argument("--velocity", type=number(float, 0.01, 1), default=1.0,
                        help="how hard they are struck, up to 1 (default); soft is quieter, darker and slower")
    parser.add_argument("--layers", action="store_true",
                        help="a kit with all that a sequencer plays: four velocities of each sound, twice; with a "
                             "description for players of SFZ and one for Hydrogen")
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


@dataclass
class Plan:
    """Sounds to make: codes (B, latent), classes (B,) or weights (B, 8), names; numbers, kits, sources: of synthesise.
    """

    codes: torch.Tensor
    label: torch.Tensor
    names: list
    numbers: list
    kits: torch.Tensor = None
    sources: list = None


def at_random(model, rows, n, seed):
    """n sounds of each row; the first of each class is that of the kit of the seed, the second of its next kit."""
    numbers = [len(INSTRUMENTS) * i + row for row in rows for i in range(n)]
    codes, kits = random_codes(model, numbers, seed)
    names = [f"{INSTRUMENTS[row]}_{i + 1:03d}" if n > 1 else INSTRUMENTS[row] for row in rows for i in range(n)]
    return Plan(codes, torch.tensor(numbers) % len(INSTRUMENTS), names, numbers, kits)


def around(model, file, row, n, seed, spread):
    """n sounds from one's own (spread 0) to any of its class (1), all with its fine structure."""
    samples = load_sound(model, file)
    centre, row = encode(model, samples, row)
    found = at_random(model, [row], n, seed)
    found.codes = (1 - spread) * centre + spread * found.codes
    found.sources = [[(Source(samples, row), 1.0)]] * n
    return found


def between(model, files, rows, steps):
    """`steps` sounds from one file to the other, both blended; row None: the class the model finds."""
    sounds = [load_sound(model, file) for file in files]
    (start, first), (end, last) = (encode(model, sound, row) for sound, row in zip(sounds, rows))
    one, other = Source(sounds[0], first), Source(sounds[1], last)
    shares = torch.linspace(0, 1, steps)
    weights = torch.lerp(class_weights(first, 1), class_weights(last, 1), shares[:, None])   # (steps, 8)
    names = [f"{INSTRUMENTS[first]}_to_{INSTRUMENTS[last]}_{i + 1:03d}" for i in range(steps)]
    sources = [[(one, 1 - share), (other, share)] for share in shares.tolist()]
    return Plan(slerp(start, end, steps), weights, names, [0] * steps, sources=sources)


def at_point(model, rows, x, y):
    """The sound of each row at a point of its map."""
    codes = np.stack([SoundPlane(model, row).to_code(x, y) for row in rows])
    return Plan(torch.from_numpy(codes), torch.tensor(rows), [INSTRUMENTS[row] for row in rows], rows)


def plan(model, arguments):
    """The sounds that the command line asks for, a Plan. Raises ValueError, naming the option."""
    rows, n, seed, spread = arguments.classes, arguments.n, arguments.seed, arguments.spread
    if spread is not None and not arguments.like:
        raise ValueError("--spread: expected --like beside it, found none")
    if arguments.at:
        if n:
            raise ValueError("--n: expected none beside --at, which makes one sound a class")
        return at_point(model, list(dict.fromkeys(rows)) or list(range(len(INSTRUMENTS))), *arguments.at)
    if arguments.between:
        if n:
            raise ValueError("--n: expected --steps to say how many sounds --between makes")
        if len(rows) > 2:
            raise ValueError(f"--class: expected one or two for --between, found {len(rows)}")
        rows = (rows[0], rows[-1]) if rows else [class_of_file(file) for file in arguments.between]
        return between(model, arguments.between, rows, arguments.steps)
    if arguments.like:
        row = rows[0] if rows else class_of_file(arguments.like)
        return around(model, arguments.like, row, n or 16, seed, 0.5 if spread is None else spread)
    return at_random(model, rows or range(len(INSTRUMENTS)), n or (16 if rows else 1), seed)


def write_layers(model, arguments):
    """Write the kit of the seed with its layers and alternates: the paths, the samples at the model's rate."""
    if arguments.classes or arguments.n or arguments.like or arguments.between or arguments.at:
        raise ValueError("--layers: expected a whole kit, found other sounds asked for")
    kit, settings = generate_kit(model, arguments.seed), model.sound["settings"]
    made = [resample(samples, SAMPLE_RATE, settings["rate"]) for sound in kit for layer in sound.layers
            for samples in layer]
    instruments = instruments_of(kit)
    files = write_sfz(arguments.folder, instruments, AMPLITUDE)[:-1]  # the last describes the others
    write_hydrogen(arguments.folder, instruments, AMPLITUDE)
    return (files, [shortened(samples, settings["rate"], settings["seconds"]) for samples in made])


def write_sounds(model, arguments):
    """Write the sounds that the command line asks for: the paths, the samples at the model's rate."""
    to_make = plan(model, arguments)
    made = synthesise(model, to_make.codes, to_make.label, arguments.seed, to_make.numbers, to_make.kits,
                      to_make.sources, arguments.velocity)
    files = [arguments.folder / f"{name}.wav" for name in to_make.names]
    for file, sound in zip(files, made):
        save_audio(file, sound, model.sound["rate"])
    return files, made


def main(argv=None):
    """Make, write and draw the sounds; returns {"files": [paths], "samples": [float32 (n,)]}."""
    arguments = make_parser().parse_args(argv)
    model = load_sound_model(arguments.model)
    with Progress(what="making sounds"):
        files, made = (write_layers if arguments.layers else write_sounds)(model, arguments)
    level = [spectrogram_of(sound, model.sound["settings"]).numpy() for sound in made[:64]]
    rows = [level[i:i + 8] for i in range(0, len(level), 8)]
    draw_spectrograms(rows, [[file.stem for file in files[8 * i:8 * i + 8]] for i in range(len(rows))],
                      arguments.folder / "sounds.png", low=model.sound["floor_db"])
    print(f"{arguments.folder}: {len(files)} sounds, {files[0].name} to {files[-1].name}, and sounds.png")
    return {"files": files, "samples": made}


if __name__ == "__main__":
    run(main)
