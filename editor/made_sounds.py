"""What the rows play, as plain values; and the thread that makes sounds of a model: the window never waits for it.

    maker = SoundMaker(model, on_made=lambda made: ...)
    maker.sound(MadeSound(SNARE, code, seed=3))         # None at first; once on_made was called, a Sound
"""

import functools
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from formats.audio import load_audio
from formats.kit import SAMPLE_RATE, load_kit, plain_sound
from sounds.codes import encode_file, random_codes
from sounds.kits import make_sound
from sounds.sound_map import SoundPlane

MOST_KEPT = 32  # sounds that are kept although no row has them any more


@dataclass(frozen=True)
class MadeSound:
    """All that a sound of a sound model follows from: the same values give the same samples.

    row; code: floats (latent,); seed: chooses its exemplar; kit: the floats of the kit that this one is to suit, or
    None; file: of one's own sound, whose fine structure it has, or None; exemplar: what it has it of else, None for the
    one that the seed chooses.
    """

    row: int
    code: tuple
    seed: int = 0
    kit: tuple | None = None
    file: str | None = None
    exemplar: int | None = None


def kit_of_model(model, seed):
    """Eight MadeSounds that belong together, one a row."""
    codes, kits = random_codes(model, range(len(INSTRUMENTS)), seed)
    return tuple(MadeSound(row, plain_values(code), seed, plain_values(kit))
                 for row, (code, kit) in enumerate(zip(codes, kits)))


def sound_at(model, row, point, seed):
    """The MadeSound at a point (x, y) of a row's sound map."""
    return MadeSound(row, plain_values(SoundPlane(model, row).to_code(*point)), seed)


def sound_like(model, row, path, seed):
    """The MadeSound of one's own file: at its code, with its fine structure, so that at full velocity it is that file.
    Raises ValueError or OSError, which names the file."""
    code, _ = encode_file(model, path, row)
    return MadeSound(row, plain_values(code), seed, None, str(path))


def file_sound(path):
    """One's own sound as it is, the same at every velocity. Raises ValueError or OSError, which names the file."""
    return read_sound(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)  # so that undo keeps a file that was opened often but once
def read_sound(path, changed):
    """The Sound of a file that was changed at that time."""
    return plain_sound(path.stem, load_audio(path, SAMPLE_RATE)[0], {"files": [str(path)]})


def folder_kit(folder):
    """The Sounds of a folder, None for a row without. Raises ValueError or OSError, which names it or a file."""
    changed = tuple(sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir()))
    return read_kit(folder, changed)


@functools.lru_cache(maxsize=4)
def read_kit(folder, changed):
    """The same of a folder whose files were changed at those times."""
    return load_kit(folder, complete=False)


def steps_of(model, made):
    """A generator of what comes of a MadeSound: a first Sound at once, then the whole one, see make_sound."""
    kit = None if made.kit is None else torch.tensor(made.kit)
    return make_sound(model, torch.tensor(made.code), made.row, made.seed, kit, made.file, made.exemplar)


def first_of(model, sound):
    """A Sound as it is; of a MadeSound the first that comes of it."""
    return next(steps_of(model, sound)) if isinstance(sound, MadeSound) else sound


def whole(model, sound):
    """A Sound as it is; of a MadeSound the whole one."""
    return list(steps_of(model, sound))[-1] if isinstance(sound, MadeSound) else sound


def is_whole(sound):
    """Has a Sound all its layers?"""
    return sound is not None and len(sound.layers) > 1


def plain_values(tensor):
    """A tensor (n,) as a tuple of floats, from which the same float32 tensor is made."""
    return tuple(np.asarray(tensor, np.float64).tolist())


class SoundMaker:
    """Makes sounds in a thread of its own, what was asked for last before all else.

    on_made(made): called in that thread when a sound, or a better one, is there. on_error(made, error) likewise.
    """

    def __init__(self, model, on_made, on_error):
        self.model, self.on_made, self.on_error = model, on_made, on_error
        self.kept, self.asked, self.begun, self.making = OrderedDict(), [], [], None  # the newest last
        self.condition, self.thread = threading.Condition(), None

    def sound(self, made):
        """The Sound of a MadeSound as far as it is made, else None; what is not whole is made next."""
        with self.condition:
            kept = self.kept.get(made)
            if kept is not None:
                self.kept.move_to_end(made)
            if not is_whole(kept) and made not in (self.making, *self.asked, *(other for other, _ in self.begun)):
                self.asked.append(made)
                self.condition.notify()
            if self.thread is None:
                self.thread = threading.Thread(target=self.work, daemon=True)
                self.thread.start()
            return kept

    def whole(self, made):
        """The whole Sound of a MadeSound, made now where it is not."""
        kept = self.kept.get(made)
        return kept if is_whole(kept) else whole(self.model, made)

    def drop_unless(self, wanted):
        """Make only what is wanted still: of a drag, the last place."""
        with self.condition:
            self.asked = [made for made in self.asked if made in wanted]
            self.begun = [(made, steps) for made, steps in self.begun if made in wanted]

    def work(self):
        """What the thread does: the first of all that is asked for, then, strike by strike, what completes them."""
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.asked or self.begun)
                made, steps = (self.asked.pop(), None) if self.asked else self.begun.pop()
                self.making = made
            try:
                steps = steps or steps_of(self.model, made)
                sound = next(steps, None)
            except (ValueError, OSError) as error:
                self.on_error(made, error)
                continue
            if sound is not None and self.keep(made, sound, steps):
                self.on_made(made)

    def keep(self, made, sound, steps):
        """Keep a sound as far as it is made, and go on with it; return whether it is another than before."""
        with self.condition:
            before, self.kept[made], self.making = self.kept.get(made), sound, None
            self.begun.append((made, steps))
            while len(self.kept) > MOST_KEPT:
                self.kept.popitem(last=False)
            return before is not sound
