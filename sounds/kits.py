"""Sounds and kits of a sound model: each with layers by velocity, and alternates for repeated hits.

    model = load_sound_model("pretrained/sound_vae.pt")
    first, *_, whole = make_sound(model, code, row=1, seed=3)       # the first at once, without layers
    kit = generate_kit(model, seed=3)                       # a tuple of eight Sounds that belong together
    kit = open_kit(Path("dataset_audio/kit"), seed=3)       # of a folder or of a model
    whole = sound_from_origin(model, whole.origin)          # made again
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from command_line import one_line
from formats.activation_matrix import INSTRUMENTS
from formats.audio import resample
from formats.kit import HARDEST, SAMPLE_RATE, Sound, load_kit, plain_sound
from sounds.codes import class_weights, load_sound, load_sound_model, random_codes, seeded_generator
from sounds.spectrograms import one_thread_each, plan_transforms
from sounds.synthesis import WORKERS, Drum, Source, check_codes, other_take

VELOCITIES = (32, 64, 96, HARDEST)  # the highest of each layer, at which it is struck
ALTERNATES = 2


def make_sound(model, code, row, seed=0, kit=None, source=None, exemplar=None):
    """The Sound at a code (latent,) of class `row`: first without layers, at once; the same again
    after each strike that is made, so that who has something better to do may leave; whole at last. A generator.

    seed: it chooses the exemplar and the alternates. kit: the kit code (KIT,) that the exemplar is to suit. source: in
    place of an exemplar, one's own sound, a file or samples (n,) at the model's rate. exemplar: origin["exemplar"] of
    the sound before, kept while it is near: so sounds along a path go over into each other. All Sounds have an
    origin, see sound_from_origin. Raises ValueError for a code that cannot be used.
    """
    code, rate = check_codes(model, code[None])[0], model.sound["rate"]
    file = isinstance(source, (str, Path))
    samples = load_sound(model, source) if file else source
    drum = Drum(model, code, class_weights(row, 1)[0], None if source is None else [(Source(samples, row), 1.0)],
                kit, seeded_generator(seed, row, 1), exemplar)
    origin = {"class": INSTRUMENTS[row], "code": code.tolist(), "seed": seed, "model": model.path,
              "kit": None if kit is None else [float(value) for value in kit], "exemplar": drum.place,
              "source": str(source) if file else None if source is None else "samples"}
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


def sound_from_origin(model, origin, samples=None):
    """The whole Sound that make_sound gave with this origin. samples: those of a source that was no file.

    Raises ValueError, naming the entry, for an origin that cannot be used; OSError where its file is gone.
    """
    if origin.get("class") not in INSTRUMENTS:
        raise ValueError(f"class: expected one of {', '.join(INSTRUMENTS)}, found {origin.get('class')!r}")
    if origin.get("source") == "samples" and samples is None:
        raise ValueError(f"source: expected the samples that {origin['class']} was made of, found none")
    try:
        code, kit = (value if value is None else torch.tensor(value, dtype=torch.float32)
                     for value in (origin["code"], origin["kit"]))
        source = samples if origin["source"] == "samples" else origin["source"]
        return list(make_sound(model, code, INSTRUMENTS.index(origin["class"]), origin["seed"], kit, source,
                               origin["exemplar"]))[-1]
    except (KeyError, TypeError) as error:
        raise ValueError(f"origin: expected what make_sound gave, found {one_line(error)}") from None


def generate_kit(model, seed=0):
    """Eight whole Sounds by seed that belong together, one a row."""
    codes, kits = random_codes(model, range(len(INSTRUMENTS)), seed)

    def make(row):
        return list(make_sound(model, codes[row], row, seed, kits[row]))[-1]

    with one_thread_each(), ThreadPoolExecutor(WORKERS) as pool:
        return tuple(pool.map(make, range(len(INSTRUMENTS))))


def open_kit(path, seed):
    """The eight Sounds of a folder; or, by seed, eight of a sound model (a run folder or .pt of train_audio.py)."""
    if path.suffix != ".pt" and not (path / "best.pt").is_file():
        return load_kit(path)
    return generate_kit(load_sound_model(path), seed)
