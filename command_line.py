"""What every script shares: options by its docstring, errors of one line, progress, files written whole or not at all.

    parser = Parser(__doc__)
    parser.add_argument("--bpm", type=number(float, 40, 240))
    with replacing("bars.npy") as temporary:                        # takes its name where the block ends well
        np.save(temporary, bars)
    for file in Progress(files, "converting", "files"):             # what a step of over five seconds does, how far
        convert(file)
    run(main)                                                       # as the last line of a script

It imports the standard library and tqdm alone, and is imported before anything that imports torch.
"""

import argparse
import contextlib
import ctypes
import json
import math
import os
import re
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent  # the project's folder
USER_ERRORS = (ValueError, OSError, FloatingPointError)  # what a person can cause; anything else is a bug

LONG = 5  # seconds after which a step is worth a line

# OpenMP reads these when torch is imported, so this module is imported first. Threads that spin while they wait slow a
# busy machine tenfold; those that sleep at once wake too late for small matrices. So they spin for microseconds.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose description is a module's docstring as written, and whose errors are one line."""

    def __init__(self, doc, **options):
        super().__init__(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        # argparse's own takes -1e-3 for an option
        self._negative_number_matcher = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$", re.IGNORECASE)

    def parse_args(self, args=None, namespace=None):
        """Parse; an empty argument is an error, or an unset "$FOLDER" would mean this folder."""
        if "" in (sys.argv[1:] if args is None else args):
            self.error("expected words, found an empty argument")
        return super().parse_args(args, namespace)

    def error(self, message):
        """Print the message in one line on stderr and exit with status 2."""
        self.exit(2, f"{self.prog}: {one_line(message)} (see --help)\n")


def number(kind=float, low=-math.inf, high=math.inf):
    """An argparse type: a finite number of `kind` within [low, high], both ends included."""
    expected = {int: "a whole number", float: "a number"}[kind]
    if high < math.inf:
        expected += f" from {low} to {high}"
    elif low > -math.inf:
        expected += f" of at least {low}"

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low <= value <= high and abs(value) < math.inf):
            raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
        return value

    return parse


def one_line(error):
    """The text of an error, without line breaks; an OSError as `file: reason`."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error)
    return " ".join(text.split()) or type(error).__name__


def run(main):
    """Call `main()` as a command, and exit: an int that it returns is the status, anything else is status 0.

    One of USER_ERRORS is one line on stderr and status 2, or its traceback with SEQUENCEUR_DEBUG=1 in the environment;
    Ctrl-C is status 130, SIGTERM 143, and both remove what is half written.
    """
    name = Path(sys.argv[0]).name
    keep_memory()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        result = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\n{name}: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `script | head`: nothing more is to be written, nor flushed by Python at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        message = one_line(error)
        if isinstance(error, ModuleNotFoundError):
            message = (f"this Python has no module {error.name}; run it with .venv/bin/python (make play makes it), or "
                       "pip install -r requirements.txt")
        elif re.search("(allocate|out of) memory|^Unable to alloc", str(error)):  # NumPy's words and torch's
            message = f"this takes more memory than there is ({message[-150:]})"
        elif not isinstance(error, USER_ERRORS):
            raise
        if os.environ.get("SEQUENCEUR_DEBUG"):
            raise
        print(f"{name}: {message}", file=sys.stderr)
        sys.exit(2)
    sys.exit(result if isinstance(result, int) and not isinstance(result, bool) else 0)


def keep_memory():
    """Let the process keep freed memory, up to 1 GB, where the C library is glibc: half the time of an evaluation."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            mallopt(option, 1 << 30)


class Progress(tqdm):
    """What a long step does, how far it is, and the time that is left, on stderr; a step is one that takes LONG.

        for file in Progress(files, "converting", "files"):
            convert(file)
        with Progress(what="training", unit="bars", total=len(bars)) as bar:
            bar.update(len(batch))
            bar.set_postfix_str("bound -31.2")                      # what else there is to see
        with Progress(what="drawing the figures"):                  # nothing to count: the time alone
            draw_figures()

    what: an -ing form, in small letters. unit: a plural. A terminal shows a bar, whose clock goes on where nothing is
    counted for a while, and which stays if the step was long. A log gets a line when the step has become long, when
    its time has doubled, at least once a minute, and at its end; of a short step nothing. Of the processes of torchrun
    the first alone shows any.
    """

    monitor_interval = 0  # no thread of tqdm's beside ours

    def __init__(self, iterable=None, what="", unit="", **options):
        self.on_terminal, self.closed = sys.stderr.isatty(), threading.Event()
        total = options.pop("total", len(iterable) if hasattr(iterable, "__len__") else None)
        options = {"unit_scale": (total or 0) >= 10_000, "disable": os.environ.get("RANK", "0") != "0", **options}
        bar = "{percentage:3.0f}%|{bar}| " if self.on_terminal else ""
        counted = bar + "{n_fmt} of {total_fmt} {unit}, {elapsed}, {remaining} left{postfix}"
        super().__init__(iterable, what, total, unit=unit, leave=False, dynamic_ncols=True,
                         bar_format="{desc}: " + (counted if unit else "{elapsed}{postfix}"),
                         mininterval=0.1 if self.on_terminal else math.inf, **options)
        self.ticker = threading.Thread(target=self.tick, daemon=True)
        if not self.disable:
            self.ticker.start()

    def __bool__(self):
        return True  # also before pooch has set the total

    def __iter__(self):
        """As tqdm's, which counts only where it draws: in a log it would stand at 0."""
        try:
            for item in self.iterable:
                yield item
                self.update()
        finally:
            self.close()

    def tick(self):
        """Show the time while it goes on, whatever the step does."""
        while not self.closed.wait(1 if self.on_terminal else min(max(LONG, self.format_dict["elapsed"]), 60)):
            self.refresh() if self.on_terminal else self.print_line()

    def print_line(self):
        """Print how far it is as a line of a log, in one piece: two bars may print at once."""
        self.fp.write(f"{self}\n")
        self.fp.flush()

    def display(self, *arguments, **options):
        """Draw the bar, on a terminal."""
        return self.on_terminal and super().display(*arguments, **options)

    def close(self):
        """End: the last line of a long step stays."""
        if not self.disable and not self.closed.is_set():
            self.closed.set()
            self.ticker.join()
            if self.format_dict["elapsed"] >= LONG:
                self.leave = None if self.on_terminal else False  # None: unless it stands below another bar
                self.on_terminal or self.print_line()
        super().close()


def step_by_step(what, unit, steps):
    """Call each of the steps {name: function}, in order, with a Progress that names it: {name: result}."""
    results = {}
    with Progress(what=what, unit=unit, total=len(steps)) as bar:
        bar.bar_format = bar.bar_format.replace(", {remaining} left", "")  # they differ too much to foresee it
        for name, step in steps.items():
            bar.set_postfix_str(name.replace("_", " "))
            results[name] = step()
            bar.update()
    return results


def find_files(source, suffixes):
    """The files with these suffixes in a folder and below, or one file, in order: {name of its .npy: path}.

    a/b.wav becomes a/b.npy; of two files that differ in the suffix alone, a.wav.npy and a.flac.npy.
    """
    source = Path(source)
    if not source.is_dir():
        source.stat()  # a missing one is an OSError that names it
        return {f"{source.stem}.npy": source}
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    stems = [path.relative_to(source).with_suffix("") for path in paths]
    counts = Counter(stems)
    return {(path.relative_to(source) if counts[stem] > 1 else stem).as_posix() + ".npy": path
            for path, stem in zip(paths, stems)}


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path`, with its suffix, that is renamed to it if the block ends well.

    Makes the folder where it is missing. A link is followed; a device or pipe (/dev/null) is written as it is. Raises
    OSError, naming `path`, where nothing can be written or the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a file name, found a folder")
    special = path.exists() and not path.is_file()
    path = path.resolve() if path.is_symlink() and not special else path
    temporary = path if special else path.with_name(f".{path.stem}.{os.urandom(4).hex()}{path.suffix}")
    try:  # from before it is made: Ctrl-C may come just then
        try:
            if not special:
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.touch(exist_ok=False)
        except OSError as error:
            raise OSError(f"{path}: cannot write here ({error.strerror})") from error
        yield temporary
        if not special:
            os.replace(temporary, path)
    except OSError as error:
        if error.errno and error.filename in (None, temporary, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            if not special:
                temporary.unlink(missing_ok=True)


def write_json(path, content):
    """Write readable JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=str) + "\n")
