"""A session: all of a State as text, one JSON format with a version; exact, and read with every check.

    text = to_text(state, model, sound_model_path)      # what a .json holds; a .mid or .wav of ours carries it
    state, notes = from_text(text, "mine.json", model, sound_model_path)
    state, notes = read_session(Path("bar.mid"), model, sound_model_path)

The same text gives the same State, to the bit: float32 noise is in base64, codes and bars are lists that a person can
read. Sounds of a sound model are given by their values, files by path and SHA-256. What is not to be had as it was, a
file that has changed or a sound of another model, becomes a sound of the shipped kit, and a line in `notes`.
"""

import functools
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from command_line import ROOT, one_line
from engine.mixer import MASTER, RANGES, Mixer, Strip
from engine.timing import BPM_RANGE, TAKE_OVER
from formats.activation_matrix import INSTRUMENTS
from formats.audio import read_tag
from formats.kit import HARDEST, MOST_FILES, load_kit, load_sound_of
from formats.midi_file import read_text_tag
from patterns.feel import LATEST, SWUNG, Feel
from patterns.noise import Anchor, Morph, Surface
from patterns.sampling import Constraints
from session.json_kinds import (Kind, bar, bars, by_row, expect, flag, one_of, optional, packed, pair, parse, real,
                                record, several, text, vector, vectors, whole)
from session.song import file_codes
from session.state import (MOST_BARS, MOST_BETWEEN_FILLS, MOST_EVOLVING, MOST_SONG_BARS, SLOTS, MorphEnds, Part,
                           Pattern, State)
from sounds.exemplars import KIT
from sounds.kits import MadeSound

FORMAT, VERSION = "ATIAM-Sequenceur session", 1
MOST_BYTES = 1 << 24  # of the text
MOST_NOISE, CELLS, SEEDS = 1000, 512, 2 ** 63 - 1
FARTHEST = 1000.0  # of a code from 0, in each direction
MOST_SOUND = 1 << 28  # bytes of a sound file
NOT_KEPT = {"audition_source", "audition_bars", "rank"}  # of State: what is heard for a moment
ROWS = len(INSTRUMENTS)


# The format


class SavedSound(dict):
    """A sound as the file gives it: name, layers or made."""


def digest_of(path):
    """The SHA-256 of a file, None where it cannot be read; of a run folder that of its best.pt."""
    try:
        path = Path(path) / "best.pt" if Path(path).is_dir() else Path(path)
        found = path.stat()
        readable = path.is_file() and found.st_size <= MOST_SOUND
        return digest(path, found.st_mtime_ns, found.st_size) if readable else None
    except (OSError, ValueError):  # a name may hold anything
        return None


@functools.lru_cache(maxsize=256)
def digest(path, changed, size):
    """The same of a file that was changed at that time."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_file(path):
    """A sound file by its path, from the project's folder if it is in there, and SHA-256."""
    path = Path(os.path.abspath(path))
    return {"path": path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path),
            "sha256": digest_of(path)}


def write_sound(sound):
    """A Sound or MadeSound in plain values."""
    if isinstance(sound, MadeSound):
        return {"made": {**vars(sound), "file": sound.file and write_file(sound.file)}}
    files = list(map(write_file, sound.origin.get("files", ())))
    layers = [{"velocity": velocity, "files": [files.pop(0) for _ in layer if files]}
              for velocity, layer in zip(sound.velocities, sound.layers)]
    return {"name": sound.name, "layers": layers}


FILE = record(dict, path=text(4096), sha256=optional(text(64)))
MADE = record(dict, row=whole(0, ROWS - 1), code=several(real(-FARTHEST, FARTHEST), 1024, 1), seed=whole(0, SEEDS),
              kit=optional(several(real(-FARTHEST, FARTHEST), KIT, KIT)), file=optional(FILE),
              exemplar=optional(whole(0, SEEDS)))
FILES = record(dict, name=text(255), layers=several(
    record(dict, velocity=whole(1, HARDEST), files=several(FILE, MOST_FILES)), MOST_FILES))


def read_sound(value, place):
    """A SavedSound, checked."""
    expect(type(value) is dict, place, "a sound", value)
    if "made" in value:
        return SavedSound(record(dict, made=MADE).read(value, place))
    return SavedSound(FILES.read(value, place))


def state_kind(noise):
    """The Kind of a State without NOT_KEPT. noise: a list, the Anchors that it names by their numbers: read before,
    and in writing filled."""
    numbers = {}  # id of an Anchor: its number

    def number(anchor):
        if id(anchor) not in numbers:
            numbers[id(anchor)] = len(noise)
            noise.append(anchor)
        return numbers[id(anchor)]

    def read_anchor(value, place):
        expect(type(value) is int and 0 <= value < len(noise), place, "a number of noise", value)
        return noise[value]

    anchor, code = Kind(number, read_anchor), vector(FARTHEST)
    anchors, rows = several(anchor, MOST_NOISE), several(whole(0, ROWS - 1), ROWS, make=frozenset)
    rows = Kind(sorted, rows.read)
    constraints = record(
        Constraints, style=optional(whole(0, 1000)), hits=optional(whole(0, CELLS)), row_hits=by_row(whole(0, 64)),
        temperature=real(0, 10), steady=optional(real(0, 1)), timing=optional(several(real(-1e3, 1e3), 3, 3)))
    surface = record(Surface, seed=whole(0, SEEDS), play_seed=optional(whole(0, SEEDS)), anchors=anchors)
    morph = record(MorphEnds, noise=record(Morph, start=anchor, end=anchor), bars=bars(2, 2), constraints=constraints)
    pattern = dict(
        codes=vectors(MOST_BARS, FARTHEST), bars=bars(MOST_BARS), constraints=constraints, surface=surface,
        index=whole(0, MOST_BARS - 1), drawn=flag, anchors=anchors, edited=flag, own=flag, on_path=flag, locks=rows,
        path_start=optional(code), morph_start=optional(pair(bar, code)), morph=optional(morph), share=real(0, 1))
    strip = record(Strip, **{name: real(*ends) for name, ends in RANGES.items()}, mute=flag, solo=flag)
    part = record(Part, slot=whole(0, len(SLOTS) - 1), repeats=whole(1, MOST_SONG_BARS), fill=flag,
                  morph=whole(0, MOST_SONG_BARS))
    feel = record(Feel, tight=real(0, 100), swing=real(50, 75), swing_of=one_of(*SWUNG),
                  push=by_row(real(-LATEST, LATEST)))
    return record(
        State, **pattern, sounds=several(Kind(write_sound, read_sound), ROWS),
        mixer=record(Mixer, strips=several(strip, ROWS, ROWS), master=real(*MASTER)), sound_locks=rows,
        kit_seed=whole(0, SEEDS), follow=flag, feel=feel, bpm=real(*BPM_RANGE),
        slots=several(optional(record(Pattern, **pattern)), len(SLOTS), len(SLOTS)), slot=whole(0, len(SLOTS) - 1),
        song=several(part, MOST_SONG_BARS), evolve=whole(0, MOST_EVOLVING), fill_every=whole(0, MOST_BETWEEN_FILLS),
        take_over=one_of(*TAKE_OVER), metronome=flag)


LEVELS = several(Kind(lambda level: packed(CELLS).write(level.numpy()),
                      lambda value, place: torch.from_numpy(packed(CELLS).read(value, place))), 4, 4)
NOISE = several(record(Anchor, code=Kind(lambda code: code.tolist(), lambda value, place: torch.from_numpy(
    vector(FARTHEST).read(value, place))), levels=LEVELS), MOST_NOISE)
MODEL = optional(record(dict, name=text(255), sha256=optional(text(64)), styles=several(text(100), 1000)))


# Writing


def describe_model(path, styles=()):
    """What a session names of a model: the file's name, its SHA-256 and styles; None without a path."""
    return None if path is None else {"name": Path(path).name, "sha256": digest_of(path), "styles": list(styles)}


def to_text(state, model, sound_model_path=None):
    """A State as JSON in ASCII, an entry a line. model: of the bars; sound_model_path: None for none. Raises ValueError
    for a pattern that is too long."""
    if len(state.bars) > MOST_BARS:
        raise ValueError(f"expected a session of at most {MOST_BARS} bars a pattern, found {len(state.bars)}")
    noise = []
    entries = state_kind(noise).write(replace(state, slots=tuple(
        None if slot == state.slot else pattern for slot, pattern in enumerate(state.slots))))
    head = {"format": FORMAT, "version": VERSION, "bar_model": describe_model(getattr(model, "path", None),
                                                                              model.styles),
            "sound_model": describe_model(sound_model_path)}
    return "{" + in_lines(head) + ',\n"state": {' + in_lines(entries) + '},\n"noise": [' + ",\n".join(
        map(json.dumps, NOISE.write(noise))) + "]}\n"


def in_lines(entries):
    """The inside of a JSON object, a line an entry."""
    return ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in entries.items())


# Reading


def session_text(path):
    """The text of a session: that of a .json, what a .mid or .wav carries, None where that carries none. Raises
    OSError, or ValueError, which names the file."""
    path, suffix = Path(path), Path(path).suffix.lower()
    if suffix == ".wav":
        return read_tag(path)
    try:
        if suffix in (".mid", ".midi"):
            return read_text_tag(path)
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1).decode()
    except ValueError as error:
        raise ValueError(f"{path}: {one_line(error)}") from None


def read_session(path, model, sound_model_path=None):
    """The session of a .json, or that which a .mid or .wav carries: see `from_text`."""
    words = session_text(path)
    if words is None:
        raise ValueError(f"{path}: expected a file that carries a session, as those do that this program writes, found "
                         "one that carries none")
    return from_text(words, path, model, sound_model_path)


def from_text(words, place, model, sound_model_path=None):
    """The State that `to_text` wrote, and lines on what is not as it was: (State, [str]).

    place: the name for errors. model: the bar model that is to draw; sound_model_path: that of the sounds. With
    another bar model than the session's the bars stay as they are, at the codes of its encoder. Raises a ValueError
    in one line, which begins with the place, for anything that is no session of this version.
    """
    if len(words) > MOST_BYTES:
        raise ValueError(f"{place}: expected a session of at most {MOST_BYTES} bytes")
    content, place = parse(words, place), f"{place}: session"
    expect(type(content) is dict and content.get("format") == FORMAT, place, f'an object of "format": "{FORMAT}"',
           content)
    version = content.get("version")
    expect(type(version) is int and version == VERSION, place, f"a session of version {VERSION}" + " (this one is of a "
           "newer program)" * (type(version) is int and version > VERSION), version)
    noise = NOISE.read(content.get("noise"), f"{place}.noise")
    parts = record(dict, format=text(99), version=whole(1, VERSION), bar_model=MODEL, sound_model=MODEL,
                   state=state_kind(noise), noise=Kind(None, lambda *_: noise)).read(content, place)
    state, notes = parts["state"], []
    for name, pattern in patterns_of(state):
        check_pattern(pattern, f"{place}.{name}")
    for i, part in enumerate(state.song):
        expect(state.pattern_of(part.slot) is not None, f"{place}.state.song.{i}.slot", "one with a pattern", part.slot)
    mine = describe_model(getattr(model, "path", None), model.styles)
    if same_model(parts["bar_model"], mine):
        check_fits(noise, state, model, place)
    else:
        state = of_other_model(state, model, (parts["bar_model"] or {}).get("styles", ()))
        notes.append(f"Made with another bar model, {called(parts['bar_model'])}: the bars stay as they are.")
    same = sound_model_path is not None and same_model(parts["sound_model"], describe_model(sound_model_path))
    sounds, more = load_sounds(state.sounds, same, called(parts["sound_model"]))
    return replace(state, sounds=sounds), notes + more


def same_model(one, other):
    """Are two of `describe_model` of one model?"""
    return (one or {}).get("sha256") == (other or {}).get("sha256")


def called(model):
    """What a line calls a model."""
    return "none" if model is None else f"{model['name']} ({(model['sha256'] or 'unread')[:8]})"


def patterns_of(state):
    """[(name for errors, Pattern)] of a State: the present one, and those of the slots."""
    return [("state", state)] + [(f"state.slots.{i}", one) for i, one in enumerate(state.slots) if one is not None]


def check_pattern(pattern, place):
    """Raise ValueError where the parts of a Pattern do not go together."""
    count, latent = pattern.codes.shape
    expect(len(pattern.bars) == count, f"{place}.bars", f"{count} bars, one a code", len(pattern.bars))
    expect(pattern.index < count, f"{place}.index", f"0 to {count - 1}", pattern.index)
    expect(pattern.morph is None or count == 1, f"{place}.bars", "one bar of a morph", count)
    found = [pattern.path_start] if pattern.path_start is not None else []
    found += [pattern.morph_start[1]] if pattern.morph_start else []
    found += [anchor.code for anchor in anchors_of(pattern)]
    for code in found:
        expect(len(code) == latent, place, f"codes of {latent} numbers", len(code))


def anchors_of(pattern):
    """All Anchors that a Pattern has."""
    ends = (pattern.morph.noise.start, pattern.morph.noise.end) if pattern.morph else ()
    return (*pattern.anchors, *pattern.surface.anchors, *ends)


def check_fits(noise, state, model, place):
    """Raise ValueError where a session has not the sizes of the model that it names."""
    score, cells = np.prod(model.score_shape), np.prod(model.shape)
    for i, anchor in enumerate(noise):
        expect([len(level) for level in anchor.levels] == [score, cells, cells, cells], f"{place}.noise.{i}.levels",
               f"{score} numbers, then {cells} thrice", list(map(len, anchor.levels)))
    for name, pattern in patterns_of(state):
        expect(pattern.codes.shape[1] == model.latent, f"{place}.{name}.codes", f"codes of {model.latent} numbers",
               pattern.codes.shape[1])
        for one in (pattern.constraints, *([pattern.morph.constraints] if pattern.morph else ())):
            expect(one.style is None or one.style < len(model.styles), f"{place}.{name}.constraints.style",
                   f"one of {len(model.styles)} styles", one.style)


def of_other_model(state, model, styles):
    """A State of another bar model, whose styles had these names, for this one: its bars, at the codes that the encoder
    gives them, as those of a file."""
    def moved(pattern):
        constraints = pattern.constraints
        style = styles[constraints.style] if constraints.style is not None and constraints.style < len(styles) else None
        style = model.styles.index(style) if style in model.styles else None
        codes = file_codes(model, pattern.bars, style)
        return replace(pattern, codes=codes, constraints=replace(constraints, style=style, timing=None), drawn=True,
                       surface=Surface(pattern.surface.seed, pattern.surface.play_seed), anchors=(), edited=True,
                       own=True, on_path=False, path_start=None, morph_start=None, morph=None, share=1.0)
    return replace(moved(state), slots=tuple(slot and moved(slot) for slot in state.slots))


# Sounds


def load_sounds(saved, same_model, model_name):
    """Sounds and MadeSounds of SavedSounds, and lines on those that are not as they were. same_model: is the session's
    sound model there?"""
    sounds, notes, lost = [], [], []
    for row, sound in enumerate(saved):
        sounds.append(None)
        if "made" in sound and not same_model:
            lost.append(INSTRUMENTS[row])
            continue
        try:
            sounds[row] = made_sound(**sound["made"]) if "made" in sound else sound_of_files(**sound)
        except (OSError, ValueError) as error:
            notes.append(f"{INSTRUMENTS[row]}: {one_line(error)}; it has the shipped kit's sound.")
    if lost:
        notes.append(f"{', '.join(lost)}: made with another sound model, {model_name}; they have the shipped kit's "
                     "sounds.")
    if None in sounds:
        sounds = [sound or shipped for sound, shipped in zip(sounds, load_kit())]
    return tuple(sounds), notes


def made_sound(file, code, kit, **values):
    """The MadeSound of its values."""
    return MadeSound(**values, code=tuple(map(float, code)), kit=kit and tuple(map(float, kit)),
                     file=file and str(file_as_it_was(**file)))


def sound_of_files(name, layers):
    """The Sound of its files. Raises ValueError or OSError where they are not as they were."""
    files = {layer["velocity"]: [file_as_it_was(**file) for file in layer["files"]] for layer in layers}
    if not files or not all(files.values()):
        raise ValueError("its sound was in no file")
    return load_files(name, tuple((velocity, tuple(paths)) for velocity, paths in files.items()),
                      tuple(path.stat().st_mtime_ns for paths in files.values() for path in paths))


@functools.lru_cache(maxsize=64)
def load_files(name, files, changed):
    """The Sound of files ((velocity, paths), ...) that were changed at those times: one object, that undo knows it."""
    return load_sound_of(name, {velocity: dict(enumerate(paths, 1)) for velocity, paths in files})


def file_as_it_was(path, sha256):
    """The path of a sound file. Raises ValueError where it is gone or has changed."""
    found = ROOT / path
    name = ascii(found.name)
    if sha256 is None or (now := digest_of(found)) is None:
        raise ValueError(f"the file {name} is gone")
    if now != sha256:
        raise ValueError(f"the file {name} has changed")
    return found
