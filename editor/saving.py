"""Files: bars and sessions opened, and all that is saved. Commands of a PatternEditor.

    editor.open_file("my_bar.mid"); editor.save()       # pattern_001.mid, .wav and .png, which carry the session
    with editor.autosaving():                           # a copy every minute; one that was left is offered
        editor.recover()
"""

import contextlib
import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from command_line import one_line
from editor.stateful import command
from session.export import read_with_tempo, save_everything, write_all
from session.folder import Autosave, claim
from session.session_file import from_text, session_text, to_text
from session.song import file_codes
from session.state import FASTEST, MOST_BARS, SLOWEST

EACH = 60  # seconds from one copy to the next
CARRIERS = (".json", ".wav", ".mid", ".midi")  # what a session may be in
OFFERED = "What was open when the program ended is still there: u brings it back."


class Saving:
    """The commands of a PatternEditor on files.

    recovered_from: the copy of a session whose window was killed, which `recover` brings back; None without one.
    """

    export = None  # (future, state) of everything that is being written
    autosaver = writer = None  # while `autosaving`: what writes the copies; the thread that writes the last
    copied, next_copy, copies_fail = None, 0.0, False  # the state of the last copy; when the next is due

    @command
    def open_file(self, path):
        """Open a session, or a file that carries one; else make the bars of a file the pattern, at its tempo."""
        path = Path(path).expanduser()
        try:
            words = session_text(path) if path.suffix.lower() in CARRIERS else None
            if words is not None:
                return self.open_session(words, path)
            if path.suffix.lower() == ".wav":
                raise ValueError(f"{path}: expected a .wav that carries a session, as those do that are saved here")
            bars, bpm = read_with_tempo(path, MOST_BARS)
        except (OSError, ValueError) as error:
            raise ValueError(f"Not opened: {one_line(error)}") from error
        unsaved = self.unsaved
        self.anchor_edits()
        codes = file_codes(self.model, bars, self.constraints.style)
        self.set_bars(bars, start=True, codes=codes, index=0, on_path=False, own=True, morph=None, edited=True)
        self.anchor_edits()
        self.bpm = self.bpm if bpm is None else float(np.clip(bpm, SLOWEST, FASTEST))
        tempo = f" ({self.bpm:g} bpm here, not its {bpm:g})" if bpm not in (None, self.bpm) else ""
        self.saved = self.saved if unsaved else self.state
        self.report("open", f"{path.name}{tempo}. m: what the model makes of it, n: the nearest training bar.",
                    bars=len(bars))

    def open_session(self, words, path):
        """Make a session the state, as a whole. Raises ValueError, which names the path."""
        state, notes = from_text(words, path, self.model, self.sound_model_path)
        unsaved = self.unsaved
        self.state = in_the_window(replace(state, sounds=state.sounds or self.sounds), notes)
        self.playing = self.playing or self.open_sound()
        self.saved = self.saved if unsaved else self.state
        self.report("open session", " ".join([f"The session of {path.name}.", *notes]), "warning" if notes else "info",
                    path=str(path))

    def begin_with(self, state, notes=()):
        """Begin with a session, whose sounds `use_sounds` has."""
        notes = list(notes)
        self.state = self.saved = in_the_window(state, notes)
        self.past.clear()
        self.update()
        self.show_message(" ".join(notes), "warning" if notes else "info")

    def session(self):
        """The session as text: what is heard is its pattern, unless that is its song."""
        state = self.state
        if state.audition_source in ("nearest", "model"):
            state = replace(state, bars=self.shown_bars, edited=True)
        return to_text(state, self.model, self.sound_model_path)

    def save(self):
        """Write what is heard as MIDI, WAV and PNG under the next free name; an error becomes a warning."""
        try:
            path = claim(self.folder)
            try:
                midi, wav, png = map(path.with_suffix, (".mid", ".wav", ".png"))
                write_all(self.written_bars, self.bpm, self.whole_kit(), self.feel, self.mixer, session=self.session(),
                          midi=midi, wav=wav, png=png)
            except BaseException:
                midi.unlink()  # it was only claimed
                raise
            self.saved = self.state
            self.report("save", f"Saved {path.name}.mid, .wav and .png in {self.folder}", path=str(path))
        except (OSError, ValueError) as error:
            self.report("not saved", f"Not saved: {one_line(error)}", "warning")

    def export_all(self):
        """Write what is heard in every format into a folder of the next free name: by a thread, since it takes seconds;
        `frame` shows its end."""
        if self.export:
            return self.show_message("The export before is still being written.")
        future = self.exporter.submit(self.write_export, self.state, self.written_bars, self.session())
        self.export = future, self.state
        self.show_message("Writing everything into a folder ...")

    def write_export(self, state, bars, session):
        """What the thread does: returns the folder. Raises OSError or ValueError."""
        path = claim(self.folder, None)
        try:
            return save_everything(path, bars, state.bpm, self.whole_kit(state.sounds), state.feel, state.mixer,
                                   session)
        except BaseException:
            path.rmdir()  # it was only claimed
            raise

    def end_export(self):
        """Show that everything is written; an error becomes a warning."""
        if self.export is None or not self.export[0].done():
            return
        (future, state), self.export = self.export, None
        try:
            path = future.result()
            self.saved = state
            self.report("export", f"Exported everything into {path}.", path=str(path))
        except (OSError, ValueError, RuntimeError) as error:  # torch's is a RuntimeError
            self.report("not exported", f"Not exported: {one_line(error)}", "warning")

    @functools.cached_property
    def exporter(self):
        return ThreadPoolExecutor(1)

    # Copies, for the day that the program is killed

    @contextlib.contextmanager
    def autosaving(self):
        """While this goes on, `frame` keeps a copy of the session in the folder; after a good end it is its last
        session, after any other it is offered."""
        first = self.copied = self.state
        self.autosaver = Autosave(self.folder)
        self.next_copy = time.monotonic() + EACH
        if self.recovered_from:
            self.show_message(OFFERED)
        try:
            yield
        except BaseException:
            self.autosave()
            raise
        else:
            self.wait_for_copy()
            with contextlib.suppress(OSError):
                self.autosaver.end(None if self.state.same_as(first) else self.session())
        finally:
            self.wait_for_copy()
            self.autosaver = None

    @property
    def recovered_from(self):
        """The newest copy that was left, None without one."""
        return next(iter(self.autosaver.left), None) if self.autosaver else None

    @command
    def recover(self):
        """Bring back the session that was open when a window was killed."""
        path = self.recovered_from
        if path is None:
            return self.show_message("There is nothing to bring back.")
        self.open_session(session_text(path), path)
        name = self.autosaver.keep(path).name
        self.report("recover", f"This was open when the program ended; {name} has it. Ctrl+Z: what was here before.")

    def autosave_if_due(self):
        """Keep a copy, once in a minute."""
        if self.autosaver and time.monotonic() >= self.next_copy:
            self.next_copy = time.monotonic() + EACH
            self.autosave()

    def autosave(self):
        """Keep a copy of the session if it has changed, by a thread: the window does not wait."""
        if self.autosaver is None or self.state is self.copied or self.state.same_as(self.copied):
            return
        self.wait_for_copy()
        self.copied = self.state
        self.writer = threading.Thread(target=self.write_copy, args=(self.state,))
        self.writer.start()

    def write_copy(self, state):
        """What the thread does; that it cannot is shown once."""
        try:
            self.autosaver.write(to_text(state, self.model, self.sound_model_path))
        except (OSError, ValueError) as error:
            if not self.copies_fail:
                self.show_message(f"No copy is kept: {one_line(error)}", "warning")
            self.copies_fail = True

    def wait_for_copy(self):
        if self.writer is not None:
            self.writer.join()


def in_the_window(state, notes):
    """A State at a tempo that the window has; notes: a list, which gets a line if that is another."""
    bpm = float(np.clip(state.bpm, SLOWEST, FASTEST))
    if bpm != state.bpm:
        notes.append(f"{bpm:g} bpm here, not its {state.bpm:g}.")
    return replace(state, bpm=bpm)
