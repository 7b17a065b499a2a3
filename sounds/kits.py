"""Kits of a sound model: eight sounds that belong together, one a row.

    kit = generate_kit(load_sound_model("pretrained/sound_vae.pt"), seed=3)     # a tuple of eight Sounds
    kit = open_kit(Path("dataset_audio/kit"), seed=3)                           # of a folder or of a model
"""

import torch

from formats.activation_matrix import INSTRUMENTS
from formats.audio import resample
from formats.kit import SAMPLE_RATE, load_kit, plain_sound
from sounds.codes import load_sound_model, random_codes
from sounds.synthesis import synthesise


def generate_kit(model, seed=0, sample_rate=SAMPLE_RATE):
    """Eight Sounds by seed that belong together, one a row, as load_kit gives them."""
    rows = range(len(INSTRUMENTS))
    codes, kits = random_codes(model, rows, seed)
    made = synthesise(model, codes, torch.tensor(rows), seed, kits=kits)
    return tuple(plain_sound(name, resample(sound, model.sound["rate"], sample_rate))
                 for name, sound in zip(INSTRUMENTS, made))


def open_kit(path, seed):
    """The eight Sounds of a folder; or, by seed, eight of a sound model (a run folder or .pt of train_audio.py)."""
    if path.suffix != ".pt" and not (path / "best.pt").is_file():
        return load_kit(path)
    return generate_kit(load_sound_model(path), seed)
