"""The sounds of the rows and their mixer: commands of a PatternEditor.

    editor.new_kit(); editor.lock_sound(SNARE); editor.sound_at(KICK, 0.5, -1)
    editor.open_sound_file(CLAP, "my_clap.wav"); editor.set_strip(HHC, level=-6, pan=0.3); editor.mute(TOM)

A sound of a model takes a while to make. The state has at once what it is to be, a `MadeSound`; `kit` is what sounds:
the row keeps the sound that it has until the new one is there.
"""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from command_line import one_line
from editor.sound_maker import SoundMaker
from editor.stateful import command
from formats.activation_matrix import INSTRUMENTS
from formats.kit import Sound
from sounds.codes import encode_file, load_sound_model
from sounds.kits import (MadeSound, file_sound, folder_kit, kit_of_character, kit_of_model, plain_values, sound_like,
                         style_character)
from sounds.sound_map import SoundPlane

NO_MODEL = "There is no sound model to make sounds with: name one by --kit."
FOLLOWED_STEP, FOLLOWED_GAIN = 0.1, 3.0  # of the map, within which the kit stays; of what differs between its places


def followed_character(plane, point, style=None):
    """Brightness and length, -1 to 1, of the kit that suits a style, or else a point (x, y) of the map.

    At a point it is the mean over the training bars around it, against that over all bars, so that land which several
    styles share is in the middle. The point counts to FOLLOWED_STEP.
    """
    if style is not None or not len(plane.names):
        return style_character(style)
    values = np.array([style_character(name) for name in plane.names])                # (styles, 2)
    weights = np.bincount(plane.labels, minlength=len(values)) ** 0.5
    apart = plane.mean_near(FOLLOWED_STEP * np.round(np.asarray(point) / FOLLOWED_STEP), values) \
        - weights @ values / max(weights.sum(), 1)
    return tuple(np.tanh(FOLLOWED_GAIN * apart).tolist())


class KitCommands:
    """The commands of a PatternEditor on sounds and mixer."""

    followed = None  # the place whose kit was taken last, None where that is not known: see `follow_place`

    def begin_sounds(self, kit):
        """Begin with eight Sounds, without a sound model."""
        self.kit, self.sound_model_path = kit, None
        self.maker, self.planes, self.codes_of_files = None, {}, {}
        self.to_strike = None  # the sound that is to be heard as soon as it is there
        self.updating = threading.RLock()  # of the kit: the maker's thread does it too

    def use_sounds(self, sounds, path, model=None, seed=0):
        """Begin with eight Sounds or MadeSounds. path, model: of the sound model, None where it is not loaded yet.
        seed: of the kit."""
        self.sound_model_path, self.kit_seed, self.sounds = path, seed, sounds
        if model is not None:
            self.begin_making(model)
        self.saved = self.good = self.state
        self.update_kit()

    def sound_model(self):
        """The sound model, loaded when it is first asked for. Raises ValueError or OSError without one."""
        if self.sound_model_path is None:
            raise ValueError(NO_MODEL)
        if self.maker is None:
            self.begin_making(load_sound_model(self.sound_model_path))
        return self.maker.model

    def close(self):
        """Make no more sounds."""
        if self.maker is not None:
            self.maker.close()

    def begin_making(self, model):
        """Have sounds made by a sound model."""
        self.maker = SoundMaker(model, self.sound_is_made, self.sound_fails)

    # What a person does

    @command
    def new_kit(self, seed=None):
        """New sounds that belong together, for all rows whose sounds are not locked. seed: None for the next."""
        seed = self.kit_seed + 1 if seed is None else seed
        self.kit_seed = seed
        self.take_kit(self.place_kit() if self.follow else kit_of_model(self.sound_model(), seed))
        kept = f", but for the {len(self.sound_locks)} kept" if self.sound_locks else ""
        self.report("new kit", f"Kit {seed}: sounds that belong together{kept}.", seed=seed)

    @command
    def toggle_follow(self):
        """Let the kit move with the place on the map, but for rows whose sounds are locked; or no more."""
        self.sound_model()
        self.follow, self.followed = not self.follow, self.place()
        if self.follow:
            self.take_kit(self.place_kit())
        self.report("follow", "The kit follows the place on the map; a locked sound stays." if self.follow else
                    "The kit stays as it is.", on=self.follow)

    def place(self):
        """What a kit that follows depends on: the style, the place on the map of the pattern's bars, in steps."""
        point = np.round(self.plane.from_codes(self.codes).mean(0) / FOLLOWED_STEP)
        return self.style_name(), *(point * FOLLOWED_STEP).tolist()

    def place_kit(self):
        """The kit that suits the place, as eight MadeSounds."""
        style, *point = self.place()
        return kit_of_character(self.sound_model(), followed_character(self.plane, point, style), self.kit_seed)

    def follow_place(self):
        """Once a frame: let a kit that follows be that of the place. It is a part of the command that went there, and a
        drag ends first, since sounds take a while to make."""
        if not self.follow or self.gesture or not self.drawn or self.audition_source == "song":
            return
        before, self.followed = self.followed, self.place()
        if before in (None, self.followed):
            return
        try:
            self.take_kit(self.place_kit())
            self.update()
        except (ValueError, OSError) as error:  # of a session, whose sound model is not here
            self.follow = False
            self.show_message(f"The kit does not follow the place any more: {one_line(error)}", "warning")

    @command
    def open_kit(self, folder):
        """Take the sounds of a folder, for all rows whose sounds are not locked."""
        self.take_kit(folder_kit(Path(folder).expanduser()))
        self.report("open kit", f"The kit of {Path(folder).name}.", path=str(folder))

    @command
    def lock_sound(self, row):
        """Keep a row's sound in a new kit, or let it go."""
        self.sound_locks ^= {row}
        kept = "stays in a new kit" if row in self.sound_locks else "changes with a new kit"
        self.report("lock sound", f"{INSTRUMENTS[row]}: this sound {kept}.", row=row)

    @command
    def sound_at(self, row, x, y):
        """Take the sound at a point of the row's sound map, and hear it."""
        code = self.sound_plane(row).to_code(x, y)
        kept = self.maker.kept.get(self.sounds[row]) if self.gesture else None
        exemplar = kept and kept.origin["exemplar"]  # so that a drag morphs one sound
        self.take_sound(row, MadeSound(row, plain_values(code), self.kit_seed, exemplar=exemplar))
        self.report("sound", f"{INSTRUMENTS[row]}: the sound at {x:.2f} {y:.2f}.", row=row, point=(x, y))

    @command
    def open_sound_file(self, row, path, as_point=False):
        """Take one's own sound: as it is, or as the point of the sound map where it lies, with its softer strikes."""
        path = Path(path).expanduser()
        self.take_sound(row, sound_like(self.sound_model(), row, path, self.kit_seed) if as_point else file_sound(path))
        self.report("own sound", f"{INSTRUMENTS[row]}: {path.name}.", row=row, path=str(path))

    @command
    def set_strip(self, row, **changes):
        """Change a row's level (dB), pan (-1 to 1), tune (semitones) or decay (a share of its length)."""
        self.mixer = self.mixer.with_strip(row, **{name: float(value) for name, value in changes.items()})
        self.log("strip", row=row, **changes)

    @command
    def mute(self, row):
        """Silence a row, or let it be heard again."""
        muted = not self.mixer.strips[row].mute
        self.mixer = self.mixer.with_strip(row, mute=muted)
        self.report("mute", f"{INSTRUMENTS[row]} is {'silent' if muted else 'heard again'}.", row=row)

    @command
    def solo(self, row):
        """Hear this row alone, or with those that are solo already; the second time, no more."""
        solo = not self.mixer.strips[row].solo
        self.mixer = self.mixer.with_strip(row, solo=solo)
        heard = ", ".join(name for name, strip in zip(INSTRUMENTS, self.mixer.strips) if strip.solo)
        self.report("solo", f"Heard alone: {heard}." if heard else "All rows are heard.", row=row)

    @command
    def set_master(self, level):
        """Set the level of all, in dB."""
        self.mixer = replace(self.mixer, master=float(level))
        self.log("master", level=level)

    def hear(self, row):
        """Strike a row's sound once."""
        if self.open_sound():
            self.with_sound(self.player.strike, row)

    # What a view shows

    def sound_plane(self, row):
        """The SoundPlane of a row; it holds the row's sound, where that is not from it. Raises ValueError or OSError
        without a sound model."""
        if row not in self.planes:
            self.planes[row] = SoundPlane(self.sound_model(), row)
        sound, plane = self.sounds[row], self.planes[row]
        if not isinstance(sound, MadeSound) or sound.kit or sound.file:
            code = self.code_of(row)
            if code is not None and not (plane.own_points == plane.from_code(code)).all(-1).any():
                plane.pass_through([code])
        return plane

    def sound_point(self, row):
        """Where a row's sound lies on its sound map, (x, y); None where the encoder cannot say."""
        plane, code = self.sound_plane(row), self.code_of(row)
        return None if code is None else tuple(float(place) for place in plane.from_code(code))

    def code_of(self, row):
        """The code of a row's sound, that of a file by the encoder; None where that cannot be."""
        sound = self.sounds[row]
        if isinstance(sound, MadeSound):
            return sound.code
        files = tuple(sound.origin.get("files", ()))
        if (row, files) not in self.codes_of_files:
            self.codes_of_files[row, files] = self.code_of_file(row, files)
        return self.codes_of_files[row, files]

    def code_of_file(self, row, files):
        """The code of the last of a sound's files, which is struck hardest; None where it cannot be read any more."""
        try:
            return plain_values(encode_file(self.sound_model(), Path(files[-1]), row)[0])
        except (IndexError, OSError, ValueError):
            return None

    def sound_name(self, row):
        """What a row's sound is called: one's own by its file, that of a kit by the kit."""
        sound = self.sounds[row]
        if isinstance(sound, Sound):
            files = sound.origin.get("files", ())
            return Path(files[-1]).parent.name if files and sound.name == INSTRUMENTS[row] else sound.name
        if sound.file:
            return Path(sound.file).stem
        return f"kit {sound.seed}" if sound.kit else "made, {:.2f} {:.2f}".format(*self.sound_point(row))

    # The sounds that are heard

    def take_kit(self, sounds):
        """Give each row its sound, but for those that are locked or have none."""
        self.sounds = tuple(old if new is None or row in self.sound_locks else new
                            for row, (old, new) in enumerate(zip(self.sounds, sounds)))

    def whole_kit(self, sounds=None):
        """The Sounds that a state asks for, the present one by default, made now where they are not."""
        return tuple(self.maker.whole(sound) if isinstance(sound, MadeSound) else sound
                     for sound in (self.sounds if sounds is None else sounds))

    def take_sound(self, row, sound):
        """Give a row a sound, and let it be heard as soon as it is there, unless the loop strikes it anyway."""
        self.sounds = (*self.sounds[:row], sound, *self.sounds[row + 1:])
        in_loop = self.playing and self.heard_bars[:, row].any() and self.mixer.heard(row)
        dragged = self.gesture is not None and self.gesture.sounds[row] is not self.heard.sounds[row]
        self.to_strike = None if in_loop and dragged else sound

    def update_kit(self):
        """Let the kit be what the state asks for, as far as it is made; the maker's thread calls this too."""
        with self.updating:
            made = [sound for sound in self.sounds if isinstance(sound, MadeSound)]
            if made:
                self.sound_model()
                self.maker.drop_unless(made)
            kit = tuple(sound if isinstance(sound, Sound) else self.maker.sound(sound) or old
                        for sound, old in zip(self.sounds, self.kit))
            if any(new is not old for new, old in zip(kit, self.kit)):
                self.kit = kit
                self.player.set_kit(kit)
            self.strike_taken()

    def strike_taken(self):
        """Let a sound that was taken be heard, now that it is there."""
        taken = self.to_strike
        for row, (asked, sound) in enumerate(zip(self.sounds, self.kit)):
            if taken is not None and asked is taken and (sound is taken or self.maker and taken in self.maker.kept):
                self.to_strike = None
                self.hear(row)

    def sound_is_made(self, made):
        """A sound, or a better one, is there: the maker's thread says so."""
        self.update_kit()
        self.needs_paint = True

    def sound_fails(self, made, error):
        """A sound cannot be made: the row keeps what it has."""
        self.show_message(f"{INSTRUMENTS[made.row]}: {one_line(error)}", "warning")
