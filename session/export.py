"""Bars from files, and bars into files: MIDI, sound, picture and matrix, all or none.

    bars = read_pattern(Path("a.mid"))                                     # uint8, (bars, 8, 64)
    write_all(bars, 120, load_kit(), midi=Path("b.mid"), wav=Path("b.wav"))
"""

import contextlib
import itertools

import numpy as np

from command_line import one_line, replacing
from engine.mixer import Mixer
from engine.sequencer import render
from formats.activation_matrix import load_matrix
from formats.audio import save_audio, write_tag
from formats.bar_picture import write_picture
from formats.kit import SAMPLE_RATE
from Midi_To_Activation_Matrix import read_with_facts, write_midi
from patterns.feel import Feel, time_offsets

MOST_BARS = 1000  # at once: half an hour at 120 bpm
MOST_POINTS, FARTHEST = 100_000, 100  # at once; from the middle of the map


def read_pattern(path, bars=None):
    """The bars, or the first `bars`, of a MIDI file or matrix: uint8 (bars, 8, 64). OSError or ValueError names it."""
    return read_with_tempo(path, bars)[0]


def read_with_tempo(path, bars=None):
    """As `read_pattern`, with the tempo at the first bar: (bars, bpm), None where the file names none."""
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a MIDI file or a .npy matrix, found a folder")
    found, facts = (load_matrix(path), {}) if path.suffix.lower() == ".npy" else read_with_facts(path)
    if len(found) > MOST_BARS and not bars:
        raise ValueError(f"{path}: expected at most {MOST_BARS} bars, found {len(found)}; --bars N takes the first N")
    return np.array(found[:bars]), short_tempo(facts["bpm"]) if facts.get("names_tempo") else None


def short_tempo(bpm):
    """The shortest decimal that a MIDI file would hold as it holds bpm: 122 for the 122.00008 of 491,803 us a beat."""
    return next(short for digits in range(16) if round(60e6 / (short := round(bpm, digits) or 1)) == round(60e6 / bpm))


def read_points(path):
    """The points of a map in a .npy matrix: float (n, 2). Raises OSError or ValueError, which names the file."""
    try:
        points = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected a NumPy matrix (n, 2) ({one_line(error)})") from None
    if not isinstance(points, np.ndarray) or points.dtype.kind not in "fiu" or points.shape[1:] != (2,):
        raise ValueError(f"{path}: expected points, numbers of shape (n, 2), found {getattr(points, 'shape', 'more')}")
    if not 1 <= len(points) <= MOST_POINTS:
        raise ValueError(f"{path}: expected 1 to {MOST_POINTS} points, found {len(points)}")
    if not (np.abs(points) <= FARTHEST).all():  # false for nan too
        raise ValueError(f"{path}: expected points within {FARTHEST} of the middle of the map")
    return points


def write_all(bars, bpm, kit, feel=Feel(), mixer=Mixer(), session=None, **paths):
    """Write bars (bars, 8, 64) to the paths npy, midi, wav and png, those that are given: all or none. Return them.

    The sound is a loop in stereo: its length is exact, and its last tails wrap to its start. kit: eight Sounds.
    MIDI and sound have the feel; matrix and picture are of the steps. session: its text, see `session_file.to_text`,
    which MIDI and sound then carry, and the path json gets. ValueError where they would be too long.
    """
    paths = {kind: path for kind, path in paths.items() if path}
    if set(paths) - {"npy"} and len(bars) > MOST_BARS:
        raise ValueError(f"--midi, --wav, --png: expected at most {MOST_BARS} bars, found {len(bars)}; --npy takes all")
    writers = {"npy": lambda path: np.save(path, bars),
               "midi": lambda path: write_midi(bars, path, bpm, time_offsets(bars, feel, bpm), text=session),
               "wav": lambda path: write_wav(path, render(bars, kit, bpm, feel=feel, mixer=mixer), session),
               "png": lambda path: write_picture(bars, f"{bpm:g} bpm", path),
               "json": lambda path: path.write_text(session)}
    with contextlib.ExitStack() as stack:  # every file under a temporary name first: an error leaves all as it was
        for kind, path in paths.items():
            writers[kind](stack.enter_context(replacing(path)))
    return list(paths.values())


def write_wav(path, samples, session=None):
    """Write a sound as WAV that carries a session, if one is given."""
    save_audio(path, samples, SAMPLE_RATE)
    if session is not None:
        write_tag(path, session)


def save_pattern(folder, bars, bpm, kit, feel=Feel(), mixer=Mixer()):
    """Write bars as MIDI, WAV and PNG under the folder's next free name; return the path without a suffix."""
    path = folder / next_name(folder)
    midi, wav, png = map(path.with_suffix, (".mid", ".wav", ".png"))
    write_all(bars, bpm, kit, feel, mixer, midi=midi, wav=wav, png=png)
    return path


def next_name(folder):
    """The first of pattern_001, pattern_002, ... that no file in the folder bears."""
    taken = {path.stem for path in folder.glob("pattern_*")} if folder.is_dir() else set()
    return next(name for i in itertools.count(1) if (name := f"pattern_{i:03d}") not in taken)
