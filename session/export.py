"""Bars from files, and bars and kits into files and folders, all or none.

    bars, bpm = read_with_tempo(Path("a.mid"))                             # uint8, (bars, 8, 64); 122.0
    write_all(bars, 120, load_kit(), midi=Path("b.mid"), wav=Path("b.wav"), stems=Path("b_stems"))
"""

import contextlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from command_line import one_line, replacing
from engine import sequencer
from engine.mixer import Mixer
from engine.voices import AMPLITUDE, CHOKES, shaped
from formats.activation_matrix import INSTRUMENT_TO_PITCH, INSTRUMENTS, load_matrix
from formats.audio import dithered, save_audio, write_tag
from formats.bar_picture import write_picture
from formats.hydrogen import write_archive, write_hydrogen
from formats.kit import SAMPLE_RATE, Instrument, save_sound
from formats.sfz import write_sfz
from Midi_To_Activation_Matrix import read_with_facts, write_midi
from patterns.feel import Feel, time_offsets

MOST_BARS = 1000  # at once: half an hour at 120 bpm
SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}  # bits of a WAV
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


def write_all(bars, bpm, kit, /, feel=Feel(), mixer=Mixer(), bits=24, tail=False, session=None, **paths):
    """Write bars (n, 8, 64) to those paths that are given: all or none. Return them.

    Files: npy, midi, png, and wav, in stereo, of 16, 24 or 32 bits (float): a loop, whose length is exact and whose
    last tails wrap to its start; with `tail` played once, ringing out. Folders, new or empty: stems, a 32-bit WAV a
    row, whose sum is the sound before its limiter; kit, sfz and hydrogen (or a .h2drumkit file), its sounds.
    MIDI and sound have the feel; matrix and picture are of the steps. kit: eight Sounds. session: its text, see
    `session_file.to_text`, which MIDI and sound carry, and the path json gets. ValueError or OSError where one of them
    cannot be written.
    """
    paths = {kind: path for kind, path in paths.items() if path}
    if set(paths) - {"npy"} and len(bars) > MOST_BARS:
        raise ValueError(f"expected at most {MOST_BARS} bars but for --npy, found {len(bars)}")
    if len(set(paths.values())) < len(paths):
        raise ValueError(f"expected a name for each, found one twice in {', '.join(map(str, paths.values()))}")
    played = {"loop": not tail, "feel": feel, "mixer": mixer}
    instruments = instruments_of(kit, mixer) if set(paths) & {"sfz", "hydrogen"} else None
    archive = "hydrogen" in paths and paths["hydrogen"].suffix == ".h2drumkit"
    writers = {
        "npy": lambda path: np.save(path, bars),
        "midi": lambda path: write_midi(bars, path, bpm, time_offsets(bars, feel, bpm), paths["midi"].stem, session),
        "wav": lambda path: write_sound(path, sequencer.render(bars, kit, bpm, **played), bits, session),
        "png": lambda path: write_picture(bars, f"{bpm:g} bpm", path),
        "json": lambda path: path.write_text(session, encoding="utf-8"),
        "stems": lambda path: write_stems(path, sequencer.render_stems(bars, kit, bpm, **played)),
        "kit": lambda path: [save_sound(path, sound) for sound in named(kit)],
        "sfz": lambda path: write_sfz(path, instruments, AMPLITUDE),
        "hydrogen": lambda path: write_archive(path, instruments, AMPLITUDE, paths["hydrogen"].stem) if archive else
        write_hydrogen(path, instruments, AMPLITUDE)}
    folders = {"stems", "kit", "sfz", "hydrogen"} - ({"hydrogen"} if archive else set())
    with contextlib.ExitStack() as stack:  # everything under a temporary name first: an error leaves all as it was
        for kind, path in paths.items():
            writers[kind](stack.enter_context((new_folder if kind in folders else replacing)(path)))
    return list(paths.values())


@contextlib.contextmanager
def new_folder(path):
    """Yield a temporary folder, named as `path`, which takes its place if the block ends well.

    Raises OSError, which names it, where it cannot be made or there is something.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        found = "files in it" if path.is_dir() else "a file"
        raise FileExistsError(f"{path}: expected a new or an empty folder, found {found}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise OSError(f"{path}: cannot write here ({error.strerror})") from error
    with temporary:
        inside = Path(temporary.name) / path.name
        inside.mkdir()
        yield inside
        if path.exists():
            path.rmdir()
        os.replace(inside, path)


def write_sound(path, samples, bits, session=None):
    """Write samples (n, 2) as a WAV of so many bits, which carries the text of a session."""
    save_audio(path, dithered(samples) if bits == 16 else samples, SAMPLE_RATE, SUBTYPES[bits])
    if session is not None:
        write_tag(path, session)


def write_stems(folder, stems):
    """Write those of the stems (8, n, 2) in which something sounds, each under the name of its row, in 32 bits."""
    for name, stem in zip(INSTRUMENTS, stems):
        if stem.any():
            save_audio(folder / f"{name}.wav", stem, SAMPLE_RATE, "FLOAT")


def named(kit):
    """The Sounds of a kit under the names of their rows."""
    return [replace(sound, name=name) for sound, name in zip(kit, INSTRUMENTS)]


def instruments_of(kit, mixer=Mixer()):
    """What another sampler needs of each row, its `Instrument`; decay, which formats lack, is in the samples."""
    cut_by = {cut: INSTRUMENT_TO_PITCH[cutting] for cutting, cut in CHOKES.items()}
    return [Instrument(shaped(sound, 0.0, strip.decay), INSTRUMENT_TO_PITCH[row], strip.level + mixer.master, strip.pan,
                       strip.tune, mixer.heard(row), cut_by.get(row))
            for row, (sound, strip) in enumerate(zip(named(kit), mixer.strips))]


def save_everything(path, bars, bpm, kit, feel=Feel(), mixer=Mixer(), session=None):
    """Write bars in every format into a folder that is new or empty; return its path."""
    with new_folder(path) as inside:
        files = {kind: inside / f"{path.name}.{suffix}" for kind, suffix in
                 (("npy", "npy"), ("midi", "mid"), ("wav", "wav"), ("png", "png"), ("hydrogen", "h2drumkit"),
                  ("json", "json")) if kind != "json" or session is not None}
        write_all(bars, bpm, kit, feel, mixer, session=session, **files, stems=inside / "stems", kit=inside / "kit",
                  sfz=inside / f"{path.name}_sfz")
    return path
