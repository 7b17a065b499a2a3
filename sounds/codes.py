"""A trained sound model and its codes: drawn at random, of a sound, between two.

    model = load_sound_model("pretrained/sound_vae.pt")
    codes = random_codes(model, 8, seed=3)              # (8, latent): standard normal, whatever the class
    code, label = encode_file(model, "my_snare.wav")
    path = slerp(codes[0], code, 8)                     # (8, latent)

sounds/synthesis.py makes sounds of codes.
"""

import numpy as np
import torch

import models
from audio2nsgt import make_transform
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from formats.audio import fit_length, load_audio
from sounds.spectrograms import normalise, to_decibels


def load_sound_model(path):
    """The model of a checkpoint or run folder that train_audio.py wrote, ready to make sounds.

    It gains `transform` and `sound`: settings and samples of the transform, mean, deviation and floor of the
    spectrograms in dB, levels by class, the regression of durations, rate in Hz. Raises OSError or ValueError, naming
    the file, where it is no such model.
    """
    content = checkpoint.load_checkpoint(path)
    if not isinstance(content.get("sound"), dict):
        raise ValueError(f"{path}: expected a model of sounds (of train_audio.py), found a {content['class']}")
    return attach_transform(models.build_model(content, path), content["sound"], path)


def attach_transform(model, sound, path="checkpoint"):
    """The model with `sound` and `transform`, as load_sound_model gives it. Raises ValueError, naming `path`."""
    try:
        model.transform = make_transform(sound["settings"], sound["samples"])
        model.sound = {**sound, "rate": sound["settings"]["rate"]}
        bands, frames = len(model.transform.frequencies), int(model.transform.frames[0])
        if tuple(model.shape) != (bands, frames):
            raise ValueError(f"{path}: expected spectrograms of {bands} x {frames}, as its transform gives, found a "
                             f"model of {tuple(model.shape)}")
        float(sound["floor_db"]), float(sound["mean"]), float(sound["deviation"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: what its sounds were made with cannot be used: {error!r}") from error
    return model


def seeded_generator(seed, number, purpose):
    """Random numbers for one purpose of one sound: a function of the seed, its number and the purpose alone."""
    state = np.random.SeedSequence([seed, number, purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


def random_codes(model, n, seed=0, numbers=None):
    """Standard normal codes of n sounds of the seed, by their numbers (0, 1, ... where None): (n, latent)."""
    codes = [torch.randn(1, model.latent, generator=seeded_generator(seed, number, 0))
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
    samples = fit_length(load_audio(path, model.sound["rate"])[0], model.sound["samples"])
    if not np.abs(samples).max() > 0:
        raise ValueError(f"{path}: expected a sound, found silence")
    return encode(model, samples, label)


@torch.no_grad()
def encode(model, samples, label=None):
    """The same of a sound (samples,) at the model's rate and of its length."""
    level, _ = to_decibels(model.transform.forward(samples[None]).abs(), model.sound["floor_db"])
    x = normalise(level, model.sound)                                                 # (1, bands, frames)
    if label is None:
        rows = torch.arange(len(INSTRUMENTS))
        log_px, kl = model.elbo(x.expand(len(rows), -1, -1), x.new_zeros(len(rows), model.latent), label=rows)
        label = int((log_px - kl).argmax())
    return model.encode_base(x, label=torch.tensor([label]))[0], label


def slerp(start, end, steps):
    """Codes from one to the other, both included, at even angles and with lengths in between (Shoemake 1985):
    (steps, latent). A straight line would pass nearer to 0 than codes of many dimensions ever lie."""
    share = torch.linspace(0, 1, steps)[:, None]
    lengths = [code.norm().clamp_min(1e-6) for code in (start, end)]
    one, two = (code / length for code, length in zip((start, end), lengths))
    angle = torch.dot(one, two).clamp(-1, 1).acos()
    if not 1e-3 < angle < np.pi - 1e-3:
        return start + share * (end - start)
    direction = (torch.sin((1 - share) * angle) * one + torch.sin(share * angle) * two) / torch.sin(angle)
    return direction * (lengths[0] + share * (lengths[1] - lengths[0]))
