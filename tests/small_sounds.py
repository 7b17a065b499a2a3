"""Drum sounds of a few machines, in small, and a model of them: what the tests of sounds share."""

import numpy as np
import torch

from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from formats.audio import save_audio
from models import ConvVAE
from sounds.calibration import measure_class_levels
from sounds.dataset import machine_of
from sounds.exemplars import find_exemplars
from sounds.spectrograms import DEFAULTS, FLOOR_DB, load_spectrograms, mean_and_deviation, to_tensors

RATE, SECONDS = 8000, 0.25
SETTINGS = {**DEFAULTS, "rate": RATE, "seconds": SECONDS, "bins": 12, "frames": 24, "min_freq": 60.0,
            "max_freq": 3975.0}
LATENT = 8


def drum(seed=0, decay=0.03, tone=180.0, noise=0.5, rate=RATE, samples=2000):
    """A tone and a noise that start together and decay: float32 (samples,)."""
    time = np.arange(samples) / rate
    hiss = np.random.default_rng(seed).standard_normal(samples)
    sound = (np.sin(2 * np.pi * tone * time + 0.5) + noise * hiss) * np.exp(-time / decay)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def write_machines(folder, machines=5, each=2, rate=RATE, samples=1600):
    """Sounds of each class of so many machines, below a folder: a class has its pitch, a machine its length."""
    for row, name in enumerate(INSTRUMENTS):
        for machine in range(machines):
            for i in range(each):
                sound = drum(100 * machine + 10 * row + i, 0.01 * 1.4 ** machine, 90 * 1.5 ** row * 1.06 ** i,
                             0.1 + 0.1 * machine, rate, samples)
                save_audio(folder / name / f"m{machine}_x_{i}.wav", 0.8 ** row * sound, rate)
    return folder


def make_sound_model(folder, cache, **sound):
    """A model that begins at the components of the sounds of a folder, untrained, with them as its exemplars.

    Returns (model, what its checkpoint says of its sounds). cache: a folder. sound: what it is to say besides.
    """
    data = load_spectrograms(folder, SETTINGS, cache=cache)
    index = np.arange(len(data["labels"]))
    scale = dict(zip(("mean", "deviation"), mean_and_deviation(data["spectrograms"], index)))
    x, labels = to_tensors(scale, (data, index))
    torch.manual_seed(0)
    model = ConvVAE(latent=LATENT, shape=tuple(x.shape[1:]), widths=(8, 8), bottleneck=4, embedding=4).eval()
    model.initialise_from_data(x)
    with torch.no_grad():
        codes = model.encode(x, labels)
    known = find_exemplars(*codes, labels, [machine_of(name) for name in data["names"]], data["durations"][index],
                           data["paths"], SETTINGS)
    return model, dict(settings=data["settings"], floor_db=FLOOR_DB, exemplars=known, classes=list(INSTRUMENTS),
                       **scale, **measure_class_levels(data, index)) | sound


def save_sound_model(folder, model, sound):
    """A run folder of a model and what its checkpoint says of its sounds; returns it."""
    checkpoint.save_checkpoint(folder / "best.pt", model, half=True, sound=sound)
    return folder
