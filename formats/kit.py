"""A kit: eight sounds, one a row, each with layers by velocity and alternates for repeated hits; and as a folder.

    kit = load_kit("dataset_audio/kit")                 # a tuple of eight Sounds, mono at 44,100 Hz
    samples = kit[SNARE].samples(velocity=40, hit=3)    # float32 (n,)

A folder holds a file a row: Snare.wav. It may hold more of one: Snare_1.wav, Snare_2.wav, ... are alternates, which
repeated hits take in turn; Snare_v051.wav is how it sounds struck at MIDI velocity 51 and below, the one without a
velocity is struck at 127; Snare_v051_1.wav, Snare_v051_2.wav are both.
"""

import re
from bisect import bisect_left
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from command_line import ROOT
from formats.activation_matrix import INSTRUMENTS
from formats.audio import SUFFIXES, load_audio, save_audio

SAMPLE_RATE = 44100
KIT = ROOT / "dataset_audio" / "kit"
HARDEST = 127  # MIDI velocity
MOST_FILES = 64  # of one row
NAMED = re.compile(r"(?P<row>[a-z]+?)(?:_v(?P<velocity>\d{1,3}))?(?:_(?P<alternate>\d{1,2}))?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Sound:
    """What one row plays: mono float32 samples (n,) at SAMPLE_RATE.

    layers: from the softest strike to the hardest, each a tuple of alternates. velocities: the highest MIDI velocity of
    each layer, rising, the last HARDEST. All layers are at the level of the hardest: a sequencer makes soft hits soft.
    origin: where it comes from, as plain values. Raises ValueError for what cannot be played.
    """

    name: str
    layers: tuple
    velocities: tuple = (HARDEST,)
    origin: dict = field(default_factory=dict)

    def __post_init__(self):
        if len(self.layers) != len(self.velocities) or list(self.velocities) != sorted({*self.velocities, HARDEST}):
            raise ValueError(f"{self.name}: expected layers of rising velocities up to {HARDEST}, found "
                             f"{len(self.layers)} of {self.velocities}")
        for samples in (samples for layer in self.layers for samples in layer):
            if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
                raise ValueError(f"{self.name}: expected finite mono samples, found shape {samples.shape}")
        if not all(self.layers):
            raise ValueError(f"{self.name}: expected a sound in each layer")

    def samples(self, velocity=HARDEST, hit=0):
        """What a hit of a MIDI velocity sounds like, the `hit`-th of its row: float32 (n,)."""
        layer = self.layers[bisect_left(self.velocities, velocity)]
        return layer[hit % len(layer)]


# What another sampler is given of a row: its Sound, MIDI pitch, level in dB, pan from -1 to 1, tune in semitones, is it
# heard, the pitch of the instrument that cuts it off, or None.
Instrument = namedtuple("Instrument", "sound pitch level pan tune heard cut_by")


def plain_sound(name, samples, origin=None):
    """A Sound of one recording (n,), the same at every velocity."""
    return Sound(name, ((np.ascontiguousarray(samples, np.float32),),), origin=origin or {})


def load_kit(folder=KIT, sample_rate=SAMPLE_RATE, complete=True):
    """The kit of a folder: a tuple of eight Sounds, in the order of the rows. complete: else a row may have none, None.

    Files are named after the rows in any case, see above. Raises ValueError or OSError, naming the folder or the file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder of eight sounds ({', '.join(INSTRUMENTS)}), found "
                                 f"{'a file' if folder.exists() else 'nothing'}")
    check_rate(sample_rate)
    found = find_files(folder)
    missing = [name for name in INSTRUMENTS if HARDEST not in found[name.lower()]]
    if missing and (complete or len(missing) == len(INSTRUMENTS)):
        raise ValueError(f"{folder}: expected a sound for each row, found none for {', '.join(missing)}")
    return tuple(None if name in missing else load_sound_of(name, found[name.lower()], sample_rate)
                 for name in INSTRUMENTS)


def find_files(folder):
    """{row's name, lower case: {velocity: {number of the alternate: path}}} of a folder; ValueError where two files
    are the same one's."""
    found = {name.lower(): {} for name in INSTRUMENTS}
    for path in sorted(folder.iterdir()):
        named = NAMED.fullmatch(path.stem)
        if not named or named["row"].lower() not in found or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        row, velocity = named["row"].lower(), int(named["velocity"] or HARDEST)
        if not 1 <= velocity <= HARDEST:
            raise ValueError(f"{path}: expected a velocity from 1 to {HARDEST}, found {velocity}")
        alternates = found[row].setdefault(velocity, {})
        number = int(named["alternate"] or 1)
        if number in alternates:
            raise ValueError(f"{folder}: expected one sound, found {alternates[number].name} and {path.name}")
        alternates[number] = path
        if sum(map(len, found[row].values())) > MOST_FILES:
            raise ValueError(f"{folder}: expected at most {MOST_FILES} sounds for {row}")
    return found


def load_sound_of(name, files, sample_rate=SAMPLE_RATE):
    """The Sound of files, {velocity: {number of the alternate: path}}, softer ones raised to the hardest's level."""
    layers = [tuple(load_audio(path, sample_rate)[0] for _, path in sorted(files[velocity].items()))
              for velocity in sorted(files)]
    level = np.mean([loudest(samples, sample_rate) for samples in layers[-1]])
    levelled = [tuple(at_level(samples, level, sample_rate) for samples in layer) for layer in layers[:-1]]
    origin = {"files": [str(path) for velocity in sorted(files) for _, path in sorted(files[velocity].items())]}
    return Sound(name, (*levelled, layers[-1]), tuple(sorted(files)), origin)


def layer_files(sound):
    """The files of a Sound, as load_kit reads them: of each layer (softest velocity, hardest, [name, ...])."""
    softest = [1, *(velocity + 1 for velocity in sound.velocities[:-1])]
    stems = [sound.name + (f"_v{velocity:03}" if velocity < HARDEST else "") for velocity in sound.velocities]
    return [(low, high, [stem + (f"_{number}" if number > 1 else "") + ".wav" for number in range(1, len(layer) + 1)])
            for low, high, stem, layer in zip(softest, sound.velocities, stems, sound.layers)]


def save_sound(folder, sound):
    """Write all layers and alternates of a Sound into a folder, as load_kit reads them; returns the paths.

    24 bits, or 32-bit float where a soft layer, raised to the level of the hardest, has peaks beyond full scale.
    """
    paths = []
    for (*_, names), layer in zip(layer_files(sound), sound.layers):
        for name, samples in zip(names, layer):
            paths.append(Path(folder) / name)
            save_audio(paths[-1], samples, SAMPLE_RATE, "FLOAT" if np.abs(samples).max() > 1 else "PCM_24")
    return paths


def loudest(samples, sample_rate=SAMPLE_RATE):
    """The rms of the loudest 20 ms of samples (n,)."""
    size = max(1, min(len(samples), round(0.02 * sample_rate)))
    energy = np.cumsum(np.pad(np.square(samples, dtype=float), (1, 0)))
    return float(np.sqrt(max((energy[size:] - energy[:-size]).max() / size, 0)))


def at_level(samples, level, sample_rate=SAMPLE_RATE):
    """Samples (n,) with `level` as the rms of their loudest 20 ms: float32 (n,). Silence stays silence."""
    now = loudest(samples, sample_rate)
    return (samples * (level / now if now > 1e-6 else 1)).astype(np.float32)


def check_rate(sample_rate):
    if not 1000 <= sample_rate <= 1_000_000:
        raise ValueError(f"sample_rate: expected 1000 to 1000000 Hz, found {sample_rate}")
