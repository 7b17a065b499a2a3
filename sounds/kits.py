"""Kits of eight sounds: made by a sound model, with layers by velocity and alternates for repeated hits; or of files.

    model = load_sound_model("pretrained/sound_vae.pt")
    kit = generate_kit(model, seed=3)                       # a tuple of eight Sounds that belong together
    made = kit_of_model(model, seed=3)                      # the same as plain values: eight MadeSounds
    first, *_, whole = make_sound(model, code, row=1, seed=3)       # the first at once, without layers
    kit = kit_of_character(model, style_character("jazz"), seed=3)  # dark, and it rings: MadeSounds
"""

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from formats.activation_matrix import CLOSED_HAT, CYMBAL, INSTRUMENTS, KICK, SNARE
from formats.audio import load_audio, resample
from formats.kit import HARDEST, SAMPLE_RATE, Sound, load_kit, plain_sound
from sounds.codes import class_weights, encode_file, load_sound, random_codes, seeded_generator
from sounds.exemplars import SHARED
from sounds.sound_map import SoundPlane
from sounds.spectrograms import denormalise, one_thread_each, plan_transforms
from sounds.synthesis import WORKERS, Drum, Source, check_codes, other_take

VELOCITIES = (32, 64, 96, HARDEST)  # the highest of each layer, at which it is struck
ALTERNATES = 2
# How the drums of a style sound, from -1 to 1: brightness, length. Our opinion, by no data: only what follows of it is
# fitted, see `kit_of_character`. Styles that are not here are in the middle.
STYLE_CHARACTERS = {
    "jazz swing jazzballad ballad bossa blues gospel neworleans secondline march shuffle bolero": (-0.4, 1.0),
    "rock hardrock metal punk pop country ska bluegrass train": (0.3, 0.6),
    "funk soul motown rnb newjack disco": (0.1, -0.4),
    "latin samba afrocuban bembe songo chacha mambo son rumba merengue cumbia baiao partido soukous highlife afrobeat "
    "middleeastern": (0.5, 0.1),
    "techno house deephouse techhouse acidhouse minimal trance garage ukfunky electro miamibass footwork jerseyclub "
    "gqom bailefunk reggaeton dancehall synthpop dance afrohouse amapiano idm hardcore": (0.8, -1.0),
    "dnb jungle breakbeat": (1.0, -0.5),
    "hiphop lofi triphop trap drill": (-1.0, -0.7),
    "dub dubstep reggae": (-1.0, 0.1)}
CHARACTER_REACH, CHARACTER_WIDTH = 1.8, 0.35  # of 1, and around it, in standard deviations of training machines
CHARACTER_ROWS = (KICK, SNARE, CLOSED_HAT, CYMBAL)  # by whose sounds a kit's character is measured


@dataclass(frozen=True)
class MadeSound:
    """All that a sound of a sound model follows from: the same values give the same samples.

    row; code: floats (latent,); seed: chooses its exemplar; kit: the floats of the kit that this one is to suit, or
    None; file: of one's own sound, whose fine structure it has, or None; exemplar: what it has it of else, None for the
    one that the seed chooses.
    """

    row: int
    code: tuple
    seed: int = 0
    kit: tuple | None = None
    file: str | None = None
    exemplar: int | None = None


def kit_of_model(model, seed):
    """Eight MadeSounds that belong together, one a row."""
    codes, kits = random_codes(model, range(len(INSTRUMENTS)), seed)
    return tuple(MadeSound(row, plain_values(code), seed, plain_values(kit))
                 for row, (code, kit) in enumerate(zip(codes, kits)))


def style_character(style):
    """Brightness and length of a style's drums, from -1 to 1, see STYLE_CHARACTERS."""
    return next((character for styles, character in STYLE_CHARACTERS.items() if style in styles.split()), (0.0, 0.0))


@functools.lru_cache(maxsize=4)
@torch.no_grad()
def machine_characters(model):
    """Brightness and length of the kit code of each training machine, standardised: float64 (machines, 2).

    Brightness: the mean frequency of what is decoded at it, in octaves, by power; length: log2 of the seconds that its
    sounds are to last; each the mean over CHARACTER_ROWS.
    """
    known, found = model.exemplars, []
    for row in CHARACTER_ROWS:
        standard = SHARED * known.kits @ known.known["weights"][row]                  # (machines, latent)
        codes = known.centres[row] + known.scales[row] * standard
        decoded = denormalise(model.decode_mean(codes, label=torch.full((len(codes),), row)), model.sound)
        power = (10 ** (decoded / 10)).sum(2).double()                                # (machines, bands)
        octaves = torch.arange(power.shape[1], dtype=torch.float64) / model.sound["settings"]["bins"]
        length = torch.stack([known.duration_at(code, row) for code in codes]).log2()
        found.append(torch.stack([power @ octaves / power.sum(1), length.double()], 1))
    found = torch.stack(found).mean(0)
    return (found - found.mean(0)) / found.std(0).clamp(min=1e-6)


def kit_code_of_character(model, character):
    """The kit code of a brightness and length, each from -1 to 1: float32 (KIT,).

    A kernel regression of the training machines' kit codes on their characters (Nadaraya 1964, eq. 2): a mean of theirs
    by weights, so it lies between them, and moves continuously with the character.
    """
    wanted = CHARACTER_REACH * torch.as_tensor(character, dtype=torch.float64)
    apart = (machine_characters(model) - wanted).square().sum(1)
    weights = torch.softmax(-0.5 * apart / CHARACTER_WIDTH ** 2, 0)
    return weights.float() @ model.exemplars.kits


def kit_of_character(model, character, seed):
    """The kit of a seed as eight MadeSounds, with another kit code: what is each sound's own stays."""
    codes, kits = random_codes(model, range(len(INSTRUMENTS)), seed)
    kit, known, sounds = kit_code_of_character(model, character), model.exemplars, []
    for row, (code, own) in enumerate(zip(codes, kits)):
        moved = code + SHARED * known.scales[row] * ((kit - own) @ known.known["weights"][row])
        sounds.append(MadeSound(row, plain_values(moved), seed, plain_values(kit)))
    return tuple(sounds)


def sound_at(model, row, point, seed):
    """The MadeSound at a point (x, y) of a row's sound map."""
    return MadeSound(row, plain_values(SoundPlane(model, row).to_code(*point)), seed)


def sound_like(model, row, path, seed):
    """The MadeSound of one's own file: at its code, with its fine structure, so that at full velocity it is that file.
    Raises ValueError or OSError, which names the file."""
    code, _ = encode_file(model, path, row)
    return MadeSound(row, plain_values(code), seed, None, str(path))


def file_sound(path):
    """One's own sound as it is, the same at every velocity. Raises ValueError or OSError, which names the file."""
    return read_sound(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)  # so that undo keeps a file that was opened often but once
def read_sound(path, changed):
    """The Sound of a file that was changed at that time."""
    return plain_sound(path.stem, load_audio(path, SAMPLE_RATE)[0], {"files": [str(path)]})


def folder_kit(folder):
    """The Sounds of a folder, None for a row without. Raises ValueError or OSError, which names it or a file."""
    changed = tuple(sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir()))
    return read_kit(folder, changed)


@functools.lru_cache(maxsize=4)
def read_kit(folder, changed):
    """The same of a folder whose files were changed at those times."""
    return load_kit(folder, complete=False)


def steps_of(model, made):
    """A generator of what comes of a MadeSound: a first Sound at once, then the whole one, see make_sound."""
    kit = None if made.kit is None else torch.tensor(made.kit)
    return make_sound(model, torch.tensor(made.code), made.row, made.seed, kit, made.file, made.exemplar)


def first_of(model, sound):
    """A Sound as it is; of a MadeSound the first that comes of it."""
    return next(steps_of(model, sound)) if isinstance(sound, MadeSound) else sound


def whole(model, sound):
    """A Sound as it is; of a MadeSound the whole one."""
    return list(steps_of(model, sound))[-1] if isinstance(sound, MadeSound) else sound


def is_whole(sound):
    """Has a Sound all its layers?"""
    return sound is not None and len(sound.layers) > 1


def plain_values(tensor):
    """A tensor (n,) as a tuple of floats, from which the same float32 tensor is made."""
    return tuple(np.asarray(tensor, np.float64).tolist())


def make_sound(model, code, row, seed=0, kit=None, source=None, exemplar=None):
    """The Sound at a code (latent,) of class `row`: first without layers, at once; the same again
    after each strike that is made, so that who has something better to do may leave; whole at last. A generator.

    seed: it chooses the exemplar and the alternates. kit: the kit code (KIT,) that the exemplar is to suit. source: in
    place of an exemplar, one's own sound, a file or samples (n,) at the model's rate. exemplar: origin["exemplar"] of
    the sound before, kept while it is near: so sounds along a path go over into each other. Raises ValueError for a
    code that cannot be used.
    """
    code, rate = check_codes(model, code[None])[0], model.sound["rate"]
    samples = load_sound(model, source) if isinstance(source, (str, Path)) else source
    drum = Drum(model, code, class_weights(row, 1)[0], None if source is None else [(Source(samples, row), 1.0)],
                kit, seeded_generator(seed, row, 1), exemplar)
    origin = {"exemplar": drum.place}
    hardest = resample(drum.strike(), rate, SAMPLE_RATE)
    yield (first := plain_sound(INSTRUMENTS[row], hardest, origin))
    plan_transforms(model.sound["settings"])
    takes = [0.0] + [other_take(model, seeded_generator(seed, row, 3 + number)) for number in range(1, ALTERNATES)]
    strikes = []
    for velocity, take in itertools.product(VELOCITIES, takes):
        if velocity == HARDEST and take is takes[0]:
            strikes.append(hardest)
        else:
            strikes.append(resample(drum.strike(velocity / HARDEST, take, quieter=False), rate, SAMPLE_RATE))
            yield first
    layers = tuple(zip(*[iter(strikes)] * ALTERNATES))
    yield Sound(INSTRUMENTS[row], layers, VELOCITIES, origin)


def generate_kit(model, seed=0):
    """Eight whole Sounds by seed that belong together, one a row."""
    codes, kits = random_codes(model, range(len(INSTRUMENTS)), seed)

    def make(row):
        return list(make_sound(model, codes[row], row, seed, kits[row]))[-1]

    with one_thread_each(), ThreadPoolExecutor(WORKERS) as pool:
        return tuple(pool.map(make, range(len(INSTRUMENTS))))
