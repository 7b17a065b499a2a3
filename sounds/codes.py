"""A trained sound model and its codes: of a kit drawn at random, of a sound, between two.

    model = load_sound_model("pretrained/sound_vae.pt")
    codes, kits = random_codes(model, range(8), seed=3)     # (8, latent): one of each class, a kit
    code, label = encode_file(model, "my_snare.wav")
    path = slerp(codes[0], code, 8)                         # (8, latent)

sounds/synthesis.py makes sounds of codes.
"""

import numpy as np
import torch

import models
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from formats.audio import load_audio
from sounds.dataset import shortened
from sounds.exemplars import Exemplars
from sounds.spectrograms import DEFAULTS, normalise, spectrogram_of, transform_for


def load_sound_model(path):
    """The model of a checkpoint or run folder that train_audio.py wrote, ready to make sounds.

    It gains `path`, as given; `exemplars`; `sound`: settings of the spectrograms, their mean, deviation and floor,
    levels by class, the rate in Hz; and `fold`, the part of the machines that it has not heard. Raises OSError or
    ValueError, naming the file, where it is no such model.
    """
    content = checkpoint.load_checkpoint(path)
    if not isinstance(content.get("sound"), dict):
        raise ValueError(f"{path}: expected a model of sounds (of train_audio.py), found a {content['class']}")
    if "frames" not in content["sound"].get("settings", {}):
        raise ValueError(f"{path}: expected a model of sounds of this version, found one of half a second at "
                         "22,050 Hz; train it anew")
    model = attach_sound(models.build_model(content, path), content["sound"], path)
    model.fold = content.get("arguments", {}).get("fold", 0)
    return model


def attach_sound(model, sound, path="checkpoint"):
    """The model with `path`, `sound` and `exemplars`, as load_sound_model gives it. Raises ValueError, naming path.
    """
    if "exemplars" not in sound:
        raise ValueError(f"{path}: expected exemplars beside the model, found none, as its training has not ended: "
                         "go on with it by --resume")
    try:
        settings = {name: sound["settings"][name] for name in DEFAULTS}
        model.sound = {**sound, "settings": settings, "rate": settings["rate"]}
        shape = len(transform_for(1, settings).frequencies), settings["frames"]
        float(sound["floor_db"]), float(sound["mean"]), float(sound["deviation"])
        model.exemplars, model.path = Exemplars(sound), str(path)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: what its sounds were made with cannot be used: {error!r}") from error
    if tuple(model.shape) != shape:
        raise ValueError(f"{path}: expected spectrograms of {shape[0]} x {shape[1]}, as its transform gives, found a "
                         f"model of {tuple(model.shape)}")
    return model


def seeded_generator(seed, number, purpose):
    """Random numbers for one purpose of one sound: a function of the seed, its number and the purpose alone."""
    state = np.random.SeedSequence([seed, number, purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


def random_codes(model, numbers, seed=0):
    """Codes of the sounds of a seed by their numbers, and the codes of their kits: (n, latent), (n, KIT).

    Sound 8 k + row is of class `row` in kit k: the same in any company.
    """
    kits = [model.exemplars.draw_kit(seeded_generator(seed, number // len(INSTRUMENTS), 2)) for number in numbers]
    codes = [model.exemplars.draw(number % len(INSTRUMENTS), kit, seeded_generator(seed, number, 0))
             for number, kit in zip(numbers, kits)]
    return torch.stack(codes), torch.stack(kits)


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


def load_sound(model, path):
    """The samples of a sound file at the model's rate, no longer than its sounds. Raises ValueError at silence."""
    rate = model.sound["rate"]
    samples = shortened(load_audio(path, rate)[0], rate, model.sound["settings"]["seconds"])
    if not np.abs(samples).max() > 0:
        raise ValueError(f"{path}: expected a sound, found silence")
    return samples


def encode_file(model, path, label=None):
    """(code (latent,), label) of a sound file; without a label, that of the class under which it is likeliest."""
    return encode(model, load_sound(model, path), label)


@torch.no_grad()
def encode(model, samples, label=None):
    """The same of a sound (samples,) at the model's rate."""
    seen = spectrogram_of(samples, model.sound["settings"], model.sound["floor_db"])
    if label is None:
        rows, x = torch.arange(len(INSTRUMENTS)), normalise(seen, model.sound)[None]
        log_px, kl = model.elbo(x.expand(len(rows), -1, -1), x.new_zeros(len(rows), model.latent), label=rows)
        label = int((log_px - kl).argmax())
    return encode_spectrogram(model, seen, torch.tensor([label])), label


def encode_spectrogram(model, decibels, label):
    """The code (latent,) of one spectrogram (bands, frames), in dB, of one label."""
    return model.encode(normalise(decibels, model.sound)[None], label=label)[0][0]


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
