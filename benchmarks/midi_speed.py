"""Compare how many MIDI files a second become activation matrices here with what the usual readers need to parse them.

    python benchmarks/midi_speed.py                            # on Dataset_Drum_Groove_Midi
    python benchmarks/midi_speed.py --folder my_midi_folder
"""

import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pretty_midi
import symusic
from music21 import converter

from command_line import ROOT, Parser, Progress, number, run
import Midi_To_Activation_Matrix as midi
from formats import midi_file


def seconds_to_read(read, files):
    """How long `read(file)` takes for all files; one that the reader gives up on has spent its time all the same."""
    start = time.perf_counter()
    for file in files:
        try:
            read(file)
        except Exception:
            pass
    return time.perf_counter() - start


def seconds_to_convert(folder):
    """How long the whole job takes: read, place, report, and write a .npy a file into a new folder."""
    with tempfile.TemporaryDirectory() as target:
        start = time.perf_counter()
        midi.convert_folder(folder, target)
        return time.perf_counter() - start


def seconds_to_create(count):
    """How long this disk takes to create files in a new folder, empty ones: the floor of any job with a file a file."""
    with tempfile.TemporaryDirectory() as target:
        start = time.perf_counter()
        for index in range(count):
            Path(target, f"{index}.npy").touch()
        return time.perf_counter() - start


def main(argv=None):
    """Print the table; returns {reader: files a second}."""
    parser = Parser(__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "Dataset_Drum_Groove_Midi", help="of MIDI files")
    parser.add_argument("--rounds", type=number(int, 1), default=5, help="of which the fastest counts (default: 5)")
    parser.add_argument("--slow-files", type=number(int, 1), default=20,
                        help="how many of the files, drawn by chance, music21 and pretty_midi read (default: 20)")
    options = parser.parse_args(argv)
    files = sorted(file for file in options.folder.rglob("*") if file.suffix.lower() in midi.MIDI_SUFFIXES)
    if not files:
        raise ValueError(f"{options.folder}: expected a folder with MIDI files, found none")
    few = random.Random(0).sample(files, min(options.slow_files, len(files)))
    warnings.simplefilter("ignore")
    readers = {
        "here, the whole job with a .npy a file": (seconds_to_convert, options.folder, len(files)),
        "  of which the disk: an empty file a file": (seconds_to_create, len(files), len(files)),
        "here, read_bars": (lambda some: seconds_to_read(midi.read_bars, some), files, len(files)),
        "here, parsing alone":
            (lambda some: seconds_to_read(midi_file.read_parts, some), files, len(files)),
        "symusic, parsing alone": (lambda some: seconds_to_read(symusic.Score, some), files, len(files)),
        "pretty_midi, parsing alone":
            (lambda some: seconds_to_read(lambda file: pretty_midi.PrettyMIDI(str(file)), some), few, len(few)),
        "music21, converter.parse alone":
            (lambda some: seconds_to_read(lambda file: converter.parse(file, forceSource=True), some), few, len(few)),
    }
    times = {name: [] for name in readers}
    seconds_to_read(lambda file: converter.parse(file, forceSource=True), few[:1])  # loads what it needs
    for _ in Progress(range(options.rounds), "timing", "rounds"):  # in turns, so that all see the same machine
        for name, (measure, what, count) in readers.items():
            times[name].append(measure(what) / count)
    best = {name: min(seconds) for name, seconds in times.items()}
    slowest = best["music21, converter.parse alone"]
    print(f"{len(files)} files in {options.folder}, music21 and pretty_midi on {len(few)} of them; "
          f"the fastest of {options.rounds} rounds")
    print(f"{'':44}{'ms a file':>10}{'files/s':>10}{'times music21':>15}")
    for name, seconds in best.items():
        print(f"{name:44}{1000 * seconds:10.3f}{1 / seconds:10.0f}{slowest / seconds:15.0f}")
    return {name: 1 / seconds for name, seconds in best.items()}


if __name__ == "__main__":
    run(main)
