"""The folder of what is saved: names that are free, the copy of a session while a window has it open, and what a window
left there that was killed.

    path = claim(Path("saved_patterns"))                # pattern_001, whose .mid is there now, empty: it is ours
    copy = Autosave(Path("saved_patterns"))
    copy.left                                           # [Path], the newest first, of sessions that nobody has open
    copy.write(text); copy.end(text)                    # a clean end leaves last_session.json, and offers nothing
"""

import contextlib
import itertools
import os

from command_line import replacing

LAST = "last_session.json"


def next_name(folder):
    """The first of pattern_001, pattern_002, ... that no file in the folder bears."""
    taken = {path.stem for path in folder.glob("pattern_*")} if folder.is_dir() else set()
    return next(name for i in itertools.count(1) if (name := f"pattern_{i:03d}") not in taken)


def claim(folder, suffix=".mid"):
    """The path, without a suffix, of the next free name: its file with the suffix is made, empty, or a folder without
    one, so that no other window takes it. Raises OSError where that cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        path = folder / next_name(folder)
        with contextlib.suppress(FileExistsError):  # another window was faster
            path.with_suffix(suffix).touch(exist_ok=False) if suffix else path.mkdir()
            return path


class Autosave:
    """The copy of one running window's session, in a file of its own, and the copies that no window has open any more.

    A window holds a lock on its own file's lock file. The system lets go of it when the process ends, however that is.
    Where a system has no such locks, what another window has open is taken for left.
    """

    def __init__(self, folder):
        self.folder, self.path, self.lock = folder, None, None
        self.held = {}  # path of a copy that was left: the lock on it, so that no other window offers it too
        for path in sorted(folder.glob(".autosave_*.lock")) if folder.is_dir() else ():
            if (lock := locked(path)) is not None:
                self.held[path.with_suffix(".json")] = lock
        for path in [path for path in self.held if not path.is_file()]:
            self.forget(path)  # killed before its first copy

    @property
    def left(self):
        """The copies that were left, the newest first."""
        return sorted((path for path in self.held if path.is_file()), key=lambda path: -path.stat().st_mtime_ns)

    def forget(self, path):
        """Remove a copy that was left."""
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)
        self.held.pop(path).close()

    def write(self, text):
        """Write the copy, whole or not at all. Raises OSError."""
        if self.path is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f".autosave_{os.getpid()}_{os.urandom(4).hex()}.json"
            self.lock = locked(path.with_suffix(".lock"))
            self.path = path
        with replacing(self.path) as temporary:
            temporary.write_text(text)

    def end(self, text=None):
        """End well: the session, if one is given, stays as LAST, and nothing of it is offered. What was offered and not
        taken becomes a file like those that are saved."""
        if text is not None:
            with replacing(self.folder / LAST) as temporary:
                temporary.write_text(text)
        if self.path is not None:
            self.held[self.path] = self.lock
            self.forget(self.path)
            self.path = None
        for path in list(self.held):
            self.keep(path)

    def keep(self, path):
        """Make a copy that was left a file like those that are saved; return its path."""
        name = claim(self.folder, ".json").with_suffix(".json")
        os.replace(path, name)
        self.forget(path)
        return name


def locked(path):
    """The open file at a path, locked as long as it is open; None where another process has it locked."""
    file = open(path, "a")
    try:
        import fcntl
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return file
    except OSError:
        file.close()
        return None
    return file
