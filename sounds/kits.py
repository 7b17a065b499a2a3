"""Eight sounds that a sequencer plays, one a row: of a folder, or made by a sound model.

    kit = load_kit("dataset_audio/kit")                 # eight float32 arrays, mono at 44,100 Hz
    kit = open_kit(Path("pretrained/sound_vae.pt"), seed=3)
"""

from pathlib import Path

import numpy as np
import torch

from command_line import ROOT
from formats.activation_matrix import INSTRUMENTS
from formats.audio import SUFFIXES, load_audio, resample
from sounds.codes import load_sound_model, random_codes
from sounds.synthesis import synthesise

SAMPLE_RATE = 44100
KIT = ROOT / "dataset_audio" / "kit"
CEILING = 0.95  # the peak of a loop that would be louder: -0.4 dB


def load_kit(folder=KIT, sample_rate=SAMPLE_RATE):
    """Read the one-shots of a folder: eight float32 arrays, mono at `sample_rate`, in the order of the rows.

    Files are named after the rows in any case (Kick.wav, snare.flac). One gain for the whole kit, see with_headroom,
    makes room for hits that add. Raises ValueError or OSError, naming the folder or the file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder of eight sounds ({', '.join(INSTRUMENTS)}), found "
                                 f"{'a file' if folder.exists() else 'nothing'}")
    check_rate(sample_rate)
    found = {name.lower(): [] for name in INSTRUMENTS}
    for path in sorted(folder.iterdir()):
        if path.stem.lower() in found and path.suffix.lower() in SUFFIXES and path.is_file():
            found[path.stem.lower()].append(path)
    if wrong := [f"one sound for {name}, found {', '.join(path.name for path in paths) or 'none'}"
                 for name, paths in zip(INSTRUMENTS, found.values()) if len(paths) != 1]:
        raise ValueError(f"{folder}: expected {'; '.join(wrong)}")
    return with_headroom([load_audio(path, sample_rate)[0] for path, in found.values()])


def with_headroom(kit):
    """Eight sounds with one gain for all, so that the root of the sum of their squared peaks is at most CEILING."""
    gain = gain_for(np.sqrt(sum(peak_of(sound) ** 2 for sound in kit)))
    return [sound if gain == 1 else (gain * sound).astype(np.float32) for sound in kit]


def peak_of(samples):
    return max(float(samples.max()), -float(samples.min())) if len(samples) else 0.0


def gain_for(peak):
    return 1.0 if peak <= CEILING else CEILING / float(peak)


def check_rate(sample_rate):
    if not 1000 <= sample_rate <= 1_000_000:
        raise ValueError(f"sample_rate: expected 1000 to 1000000 Hz, found {sample_rate}")


def generate_kit(model, seed=0, sample_rate=SAMPLE_RATE):
    """Eight sounds by seed that belong together, one a row, as load_kit gives them."""
    rows = range(len(INSTRUMENTS))
    codes, kits = random_codes(model, rows, seed)
    made = synthesise(model, codes, torch.tensor(rows), seed, kits=kits)
    return with_headroom([resample(sound, model.sound["rate"], sample_rate) for sound in made])


def open_kit(path, seed):
    """The eight sounds of a folder; or, by seed, eight of a sound model (a run folder or .pt of train_audio.py)."""
    if path.suffix != ".pt" and not (path / "best.pt").is_file():
        return load_kit(path)
    return generate_kit(load_sound_model(path), seed)
