"""From a point to a sound: a trained ConvVAE's codes become finished one-shots, kits and morphs.

    model = load_sound_model("runs/audio")                       # a run folder, or its best.pt
    codes = random_codes(model, 16, seed=1)                       # (16, latent)
    samples = sounds(model, codes, label=1, seed=1)               # (16, samples): snares, at model.sound["rate"]
    eight = kit(model, seed=3)                                    # one sound a row, at the sequencer's rate

Each sound has a code and noise of its own, from the seed and its number: sound 17 has the same bytes in any company.
"""

import contextlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

import resynthesis
import sequencer
import training
from audio2nsgt import fit_length, load_audio, make_transform, save_audio
from Midi_To_Activation_Matrix import INSTRUMENTS
from one_shots import class_of
from sound_pictures import to_decibels

FADE_DB = 10.0  # above a picture's floor, see to_magnitude
LEVEL = -12.0  # dB: of the loudest class at most, and of all where the checkpoint knows no levels


def load_sound_model(path):
    """The model of a checkpoint or run folder that train_audio.py wrote, ready to make sounds.

    `model.sound` is what the checkpoint says of its sounds, `model.transform` the transform. Raises OSError or
    ValueError, naming the file, where it is no such model.
    """
    content = training.load_checkpoint(path)
    if not isinstance(content.get("sound"), dict):
        raise ValueError(f"{path}: expected a model of sounds (of train_audio.py), found a {content['class']}")
    return with_sound(training.build_model(content, path), content["sound"], path)


def with_sound(model, sound, path="checkpoint"):
    """The model with what its pictures mean: see load_sound_model."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of wide windows at low frequencies, harmless on the way back
            model.transform = make_transform(sound["settings"], sound["samples"])
        model.sound = {**sound, "rate": sound["settings"]["rate"]}
        bands, frames = len(model.transform.frequencies), int(model.transform.frames[0])
        if tuple(model.shape) != (bands, frames):
            raise ValueError(f"{path}: expected pictures of {bands} x {frames}, as its transform gives, found a model "
                             f"of {tuple(model.shape)}")
        float(sound["floor_db"]), float(sound["mean"]), float(sound["deviation"])
    except KeyError as error:
        raise ValueError(f"{path}: expected what its sounds were made with, found no {error}") from error
    except TypeError as error:
        raise ValueError(f"{path}: what its sounds were made with cannot be used: {error}") from error
    return model


# --- codes ---


def generator_of(seed, number, purpose):
    """Random numbers for one purpose of one sound: a function of the seed, its number and the purpose alone."""
    state = np.random.SeedSequence([seed, number, purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


def random_codes(model, n, seed=0, numbers=None):
    """Standard normal codes of n sounds of the seed, by their numbers (0, 1, ... where None): (n, latent)."""
    codes = [torch.randn(1, model.latent, generator=generator_of(seed, number, 0))
             for number in (range(n) if numbers is None else numbers)]
    return torch.cat([torch.zeros(0, model.latent), *codes])


def class_weights(label, count):
    """A row, `count` rows, or weights (8,) or (count, 8) for what lies between classes, as weights (count, 8)."""
    label, classes = torch.as_tensor(label), len(INSTRUMENTS)
    if label.is_floating_point():
        if label.shape[-1:] != (classes,) or not torch.isfinite(label).all() or not (label.sum(-1) > 0).all():
            raise ValueError(f"label: expected finite weights of {classes} classes, found shape {tuple(label.shape)}")
        return label.float().expand(count, -1)
    if label.numel() and not 0 <= int(label.min()) <= int(label.max()) < classes:
        raise ValueError(f"label: expected 0 to {classes - 1}, found {int(label.min())} to {int(label.max())}")
    return torch.nn.functional.one_hot(label.long().expand(count), classes).float()


def encode_file(model, path, label=None):
    """(code (latent,), label) of a sound file; without a label, that of the class under which it is likeliest."""
    rate = model.sound["rate"]
    samples = fit_length(load_audio(path, rate)[0], model.sound["samples"], round(0.01 * rate))
    if not np.abs(samples).max() > 0:
        raise ValueError(f"{path}: expected a sound, found silence")
    return encode(model, samples, label)


@torch.no_grad()
def encode(model, samples, label=None):
    """The same for a sound (samples,) at the model's rate and of its length."""
    level, _ = to_decibels(model.transform.forward(samples[None]).abs(), model.sound["floor_db"])
    picture = (level - model.sound["mean"]) / model.sound["deviation"]
    if label is None:
        rows = torch.arange(len(INSTRUMENTS))
        log_px, kl = model.elbo(picture.expand(len(rows), -1, -1), torch.zeros(len(rows), model.latent), label=rows)
        label = int((log_px - kl).argmax())
    return model.code(picture, label=torch.tensor([label]))[0], label


def between(start, end, steps):
    """Codes from one to the other, both included, at even angles and with lengths in between: (steps, latent).

    A straight line would pass nearer to 0 than codes of many dimensions ever lie (Shoemake 1985, slerp).
    """
    share = torch.linspace(0, 1, steps)[:, None]
    lengths = [code.norm().clamp_min(1e-6) for code in (start, end)]
    one, two = (code / length for code, length in zip((start, end), lengths))
    angle = torch.dot(one, two).clamp(-1, 1).acos()
    if not 1e-3 < angle < np.pi - 1e-3:
        return start + share * (end - start)
    direction = (torch.sin((1 - share) * angle) * one + torch.sin(share * angle) * two) / torch.sin(angle)
    return direction * (lengths[0] + share * (lengths[1] - lengths[0]))


# --- sounds ---


def to_magnitude(model, picture):
    """Pictures (B, bands, frames) as the model sees them to magnitudes of the transform, finite for any picture.

    The floor of a picture stands for silence: the last FADE_DB above it sink to 0, or a hiss would lie under all.
    """
    floor = model.sound["floor_db"]
    level = torch.nan_to_num(picture.float() * model.sound["deviation"] + model.sound["mean"], nan=floor)
    level = level.clamp(floor, 60.0)
    height = ((level - floor) / FADE_DB).clamp(0, 1)
    return 10 ** (level / 20) * height.square() * (3 - 2 * height)


@torch.no_grad()
def magnitudes(model, codes, label):
    """The magnitudes of the sounds at finite codes (B, latent) of the given classes: (B, bands, frames)."""
    codes = torch.as_tensor(codes, dtype=torch.float32)
    if codes.ndim != 2 or codes.shape[1] != model.latent or not torch.isfinite(codes).all():
        raise ValueError(f"codes: expected finite ones of shape (B, {model.latent}), found {tuple(codes.shape)}")
    return to_magnitude(model, model.decode(codes, label=class_weights(label, len(codes))))


def ends_of(model, magnitude):
    """Where sounds end, in samples, after the checkpoint's regression: (B, bands, frames) -> (B,)."""
    if "end" not in model.sound:
        return torch.full((len(magnitude),), float(model.transform.Ls))
    return resynthesis.read_ends(model.sound["end"], resynthesis.end_features(magnitude, model.transform))


def class_levels(model):
    """The level of each class (see resynthesis.level_db): that of its training sounds, all lowered alike to LEVEL.

    So much room a peak needs: else the loudest would be lowered alone, and the balance of the classes lost.
    """
    levels = model.sound.get("levels", [LEVEL] * len(INSTRUMENTS))
    return [level - max(max(levels) - LEVEL, 0.0) for level in levels]


def sounds(model, codes, label, seed=0, numbers=None, quality="fast", workers=2, grain=True):
    """Finished one-shots at codes (B, latent) of the given classes: float32 (B, samples) at model.sound["rate"].

    label: see class_weights. seed, numbers: of the noise in each, as of random_codes. quality: of
    resynthesis.QUALITIES. workers: groups of sounds that are worked on at the same time. grain: of noise, see there.
    """
    weights = class_weights(label, len(codes))
    levels = (weights * torch.tensor(class_levels(model))).sum(1) / weights.sum(1)
    size, numbers = resynthesis.group_size(model.transform), range(len(codes)) if numbers is None else numbers

    def make(group):
        full = [*group, *[group[-1]] * (size - len(group))]  # so that rounding is the same in any company
        picture = magnitudes(model, codes[full], weights[full])
        ends = ends_of(model, picture)[:len(group)]
        noise = torch.cat([torch.randn(1, model.transform.Ls, generator=generator_of(seed, numbers[i], 1))
                           for i in group]) if grain else None
        signals = resynthesis.to_signals(picture[:len(group)], model.transform, noise, quality, ends,
                                         peak=1.0)  # pictures are re the loudest point
        return [resynthesis.finish(signal, model.sound["rate"], float(levels[i]))
                for i, signal in zip(group, signals.numpy())]

    with one_thread_each(), ThreadPoolExecutor(workers) as pool:
        groups = [range(i, min(i + size, len(codes))) for i in range(0, len(codes), size)]
        made = [sound for group in pool.map(make, groups) for sound in group]
    return np.stack(made) if made else np.zeros((0, model.sound["samples"]), np.float32)


@contextlib.contextmanager
def one_thread_each():
    """While sounds are made side by side, torch's own threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def kit(model, seed=0, sample_rate=sequencer.SAMPLE_RATE, quality="fine"):
    """Eight sounds by seed, one a row, as sequencer.load_kit gives them: float32 arrays at `sample_rate`.

    What lies above half of the model's own rate stays silent.
    """
    import soxr

    rows = torch.arange(len(INSTRUMENTS))
    made = sounds(model, random_codes(model, len(rows), seed), rows, seed, quality=quality)
    return sequencer.make_room([soxr.resample(sound, model.sound["rate"], sample_rate) for sound in made])


# --- files ---


def generate(folder, path, classes=(), n=None, seed=0, at=None, like=None, spread=None, between_files=None, steps=8,
             quality="fine"):
    """Make sounds and write them into a folder, as WAV files with one figure: what `train_audio.py --generate` does.

    path: of the model. classes: rows; none for all, or for the class that a file's name or the model says. n: sounds a
    class. at: the first numbers of a code, the others 0. like: a sound file; from its code, spread 0 gives the sound
    itself and 1 any of its class. between_files: two sound files, and `steps` sounds from one to the other.

    Returns {"files": [paths], "samples": (B, samples), "weights": (B, 8)}.
    """
    model = load_sound_model(path)
    if between_files:
        ends = [encode_file(model, file, row) for file, row in
                zip(between_files, (classes[0], classes[-1]) if classes else map(class_by_name, between_files))]
        codes, numbers = between(ends[0][0], ends[1][0], steps), [0] * steps  # one noise for all
        share = torch.linspace(0, 1, steps)[:, None]
        weights = (1 - share) * class_weights(ends[0][1], 1) + share * class_weights(ends[1][1], 1)
        names = [f"{INSTRUMENTS[ends[0][1]]}_to_{INSTRUMENTS[ends[1][1]]}_{i + 1:03d}" for i in range(steps)]
    else:
        centre, spread = None, spread if spread is not None else 0.0 if at else 0.5
        if like:
            centre, row = encode_file(model, like, classes[0] if classes else class_by_name(like))
            classes = [row]
        elif at:
            if len(at) > model.latent:
                raise ValueError(f"--at: expected at most {model.latent} numbers, found {len(at)}")
            centre = torch.tensor([*at, *[0.0] * (model.latent - len(at))])
        rows = classes or range(len(INSTRUMENTS))
        n = n or (1 if at else 16 if classes else 1)
        # the first of each class is that of the kit, and more sounds or classes leave those that were there
        numbers = [len(INSTRUMENTS) * i + row for row in rows for i in range(n)]
        codes = random_codes(model, len(numbers), seed, numbers)
        if centre is not None:
            codes = (1 - spread**2) ** 0.5 * centre + spread * codes
        weights = class_weights(torch.tensor(numbers) % len(INSTRUMENTS), len(numbers))
        names = [f"{INSTRUMENTS[row]}_{i + 1:03d}" if n > 1 else INSTRUMENTS[row] for row in rows for i in range(n)]
    made = sounds(model, codes, weights, seed, numbers, quality)
    files = [Path(folder) / f"{name}.wav" for name in names]
    for file, sound in zip(files, made):
        save_audio(file, sound, model.sound["rate"])
    draw_sounds(model, made, names, Path(folder) / "sounds.png")
    return {"files": files, "samples": made, "weights": weights}


def class_by_name(path):
    """The row that a sound file's name or its folder's says, or None."""
    path = Path(path).resolve()
    row = class_of(path.stem)
    return class_of(path.parent.name) if row is None else row


def draw_sounds(model, samples, names, path, columns=8):
    """A grid of spectrograms of sounds (B, samples), for the first 64 of them."""
    from figures import draw_pictures

    level, _ = to_decibels(model.transform.forward(samples[:64]).abs(), model.sound["floor_db"])
    parts = [slice(i, i + columns) for i in range(0, len(level), columns)]
    draw_pictures([list(level[part].numpy()) for part in parts], [names[part] for part in parts], path,
                  low=model.sound["floor_db"])


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
                   sounds(model, code[None], int(labels[i]), seed, [place], "fine")[0], model.sound["rate"])
    rows = torch.arange(len(INSTRUMENTS)).repeat_interleave(each)
    made = sounds(model, random_codes(model, len(rows), seed), rows, seed, quality="fine")
    for i, sound in enumerate(made):
        save_audio(Path(folder) / f"sample_{INSTRUMENTS[rows[i]]}_{i % each + 1}.wav", sound, model.sound["rate"])
