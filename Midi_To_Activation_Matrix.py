"""Turn drum MIDI into activation matrices, which instrument is struck at which step of a bar and how hard; and back.

    python Midi_To_Activation_Matrix.py                              # shows Dataset_Drum_Groove_Midi/HOUSE1.mid
    python Midi_To_Activation_Matrix.py my_groove.mid                # shows your file; --plot FILE.png without a screen
    python Midi_To_Activation_Matrix.py my_midi_folder -o my_bars    # converts a folder: one .npy a file, and a report
    python Midi_To_Activation_Matrix.py my_groove.mid --notation my_groove.musicxml    # a drum staff, for MuseScore
"""

import re
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path

# first: it sets variables that torch reads when it is imported
from command_line import ROOT, Parser, Progress, find_files, number, one_line, replacing, run

import numpy as np

from formats import midi_file, notation
from formats.activation_matrix import (INSTRUMENT_TO_PITCH, INSTRUMENTS, PERCUSSION, PITCH_TO_INSTRUMENT,
                                       STEPS_PER_BAR, as_text, check_bars, load_matrix)
from formats.bar_picture import show, write_picture

GROOVES, PATTERNS = ROOT / "Dataset_Drum_Groove_Midi", ROOT / "Dataset_Drum_Groove_Pattern"
MAX_BARS = 10_000  # five and a half hours at 120 bpm: a file of more is broken, and would fill the memory
# any other pitch is Percu, and counted as unmapped
ROW_OF_PITCH = np.array([PITCH_TO_INSTRUMENT.get(pitch, PERCUSSION) for pitch in range(128)])
UNMAPPED = ~np.isin(np.arange(128), list(PITCH_TO_INSTRUMENT))
DRUM_CHANNEL = 10  # of General MIDI, counted from 1
DRUM_NAMES = re.compile(r"drum|perc|\bkit\b|\bbeat|groove|kick|snare|hi.?hat|cymbal|\btoms?\b|clap|"
                        r"conga|bongo|tamb|shaker|cabasa|cowbell", re.I)
TEXT_BARS = 8  # shown in the terminal
MIDI_SUFFIXES = (".mid", ".midi")
NOTATION_SUFFIXES = (".musicxml", ".mxl", ".xml", ".abc", ".krn")  # what notation.py reads


def read_bars(path, channel=None):
    """Read the 4/4 bars of a drum part.

    Args:
        path: a Standard MIDI file of type 0 or 1, or a drum part in MusicXML, ABC or Humdrum.
        channel: the MIDI channel to read, 1 to 16; None finds the drums.
    Returns:
        uint8, (bars, 8, 64): velocities 1 to 127, 0 where nothing is struck. A hit goes to the nearest step, which
        may be the first of the next bar, or of the loop where the track ends with a bar; of two in one cell the louder
        stays. A silent bar counts where a hit follows, or where it is complete before the track ends.
    Raises:
        OSError where the file cannot be read; ValueError, with the reason, where it gives no bar.
    """
    return read_with_facts(path, channel)[0]


def read_with_facts(path, channel=None):
    """As `read_bars`, with facts for the data report: (bars, facts).

    facts: "distances_ms" float (hits,), between each hit and its step; "unmapped", a Counter of pitches; "left_out", a
    Counter of bars left out by reason; "bpm" at the first bar; "names_tempo": or is that the default of MIDI?
    """
    if channel is not None and channel not in range(1, 17):
        raise ValueError(f"channel: expected 1 to 16, found {channel}")
    try:
        reader = notation if str(path).lower().endswith(NOTATION_SUFFIXES) else midi_file
        parts, end, ticks_per_quarter, meters, tempos = reader.read_parts(path)
        matrices, ticks, pitches, offsets, left_out, first_tick = _bars_of_hits(
            _drum_hits(parts, channel), end, ticks_per_quarter, meters)
    except ValueError as error:
        raise ValueError(f"{path}: {one_line(error)}") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror or one_line(error), str(path)) from None  # a bad disk names none
    tempo_ticks, quarters_ms = np.array([(0, 500.0), *tempos]).T  # 120 bpm is the default of MIDI
    quarter_ms, first_quarter_ms = (quarters_ms[np.searchsorted(tempo_ticks, when, side="right") - 1]
                                    for when in (ticks, first_tick))
    return matrices, {"distances_ms": np.abs(offsets) * quarter_ms, "left_out": left_out,
                      "unmapped": Counter(pitches[UNMAPPED[pitches]].tolist()),
                      "bpm": float(60_000 / first_quarter_ms), "names_tempo": bool(tempos)}


def _drum_hits(parts, channel):
    """Choose the drums among the parts of a file, [(name, channel, hits)]. Returns their hits, int (3, n).

    The channel asked for; else channel 10; else the tracks named as drums that mostly strike the pitches of a kit
    (35 to 59); else the parts of any name whose pitches are those of drums (`_uses_drums`).
    """
    struck = [part for part in parts if part[2].size]
    if not struck and channel is None and any(name and DRUM_NAMES.search(name) for name, *_ in parts):
        return np.zeros((3, 0), int)  # a drum track in which nothing is struck: silent bars
    if not struck:
        raise ValueError("empty (no notes)")
    if channel is not None:
        drums = [hits for _, number, hits in struck if number == channel]
        if not drums:
            channels = ", ".join(str(number) for number in sorted({number for _, number, _ in struck}))
            raise ValueError(f"no notes on channel {channel}; there are on {channels}")
    else:
        drums = ([hits for _, number, hits in struck if number == DRUM_CHANNEL]
                 or [hits for name, _, hits in struck if name and DRUM_NAMES.search(name)
                     and np.mean((hits[1] >= 35) & (hits[1] <= 59)) >= 0.5]
                 or [hits for _, _, hits in struck if _uses_drums(hits)])
        if not drums:
            raise ValueError("no drums (channel 10 is silent, no track names or uses drums; --channel N takes one)")
    return np.concatenate(drums, axis=1)


def _uses_drums(hits):
    """Whether the pitches of a part are those of drums: a kick, with a snare or hi-hat.

    Either some hits fall together and at least 60 % of all are on the nine commonest drums, or all are, with kick,
    snare and hi-hat. Bass lines use the same pitches, but one at a time and others besides.
    """
    pitches = set(hits[1].tolist())
    common = np.isin(hits[1], (35, 36, 38, 40, 42, 44, 46, 49, 51)).mean()
    kick, snare, hat = {35, 36} & pitches, {38, 40} & pitches, {42, 44, 46} & pitches
    together = len(np.unique(hits[0])) < hits.shape[1]
    return bool(kick and (snare or hat) and together and common >= 0.6 or kick and snare and hat and common == 1)


def _bars_of_hits(hits, end, ticks_per_quarter, meters):
    """Place hits, int (3, n) of ticks, pitches and velocities, on the steps of 4/4 bars.

    A bar begins at tick 0 and at each change of meter. Bars in another meter are left out, and so is a 4/4 bar that
    a change of meter cuts short. All is in whole numbers: a step is ticks_per_quarter / 16 ticks.

    Returns:
        (bars uint8 (n, 8, 64); of the hits in them the ticks, pitches and offsets from their steps in quarter notes;
        Counter of bars left out, by reason; the first bar's tick).
    """
    ticks, pitches, velocities = hits[0].astype(np.int64), *hits[1:]
    early = 32 * ticks + ticks_per_quarter  # up to half a step before a stretch, a hit belongs to its first step
    stretches, bar_ticks = _stretches(meters), 4 * ticks_per_quarter
    count, kept, steps, offsets, left_out, first_tick = 0, [], [], [], Counter(), None
    for (start, meter), (stop, _) in zip(stretches, [*stretches[1:], (None, None)]):
        if meter != "4/4":
            numerator, denominator = (max(1, int(part)) for part in meter.split("/"))
            length = (end if stop is None else stop) - start
            left_out[meter] += max(1, -(-length * denominator // (numerator * bar_ticks)))
            continue
        inside = np.flatnonzero((early >= 32 * start) & (True if stop is None else early < 32 * stop))
        step = (early[inside] - 32 * start) // (2 * ticks_per_quarter)
        if stop is None:  # the last bar may be short, where the track ends soon after its last hit
            bars = max((end - start) // bar_ticks, int(step.max(initial=-1)) // STEPS_PER_BAR + 1, 0)
            if start == 0 < end and end % bar_ticks == 0 and (ticks[inside] < end).all():
                bars = end // bar_ticks  # a loop, whose first beat may be struck early: at its end
        else:
            bars = (stop - start) // bar_ticks
            left_out["4/4, cut short by a change of meter"] += bool((stop - start) % bar_ticks)
        last = (bars + (stop is None)) * STEPS_PER_BAR
        inside, step = inside[step < last], step[step < last]
        if bars and first_tick is None:
            first_tick = start
        kept.append(inside)
        steps.append(step % (bars * STEPS_PER_BAR or 1) + count * STEPS_PER_BAR)
        offsets.append((ticks[inside] - start) / ticks_per_quarter - step / 16)
        count += bars
        if count > MAX_BARS:
            raise ValueError(f"expected at most {MAX_BARS} bars, found {count} or more")
    left_out = +left_out  # without the zeros
    if not count:
        raise ValueError(f"no bar in 4/4 ({_counted(left_out)})" if left_out else "empty (no hit, no complete bar)")
    kept, steps = np.concatenate(kept), np.concatenate(steps)
    matrix = np.zeros((len(INSTRUMENTS), count * STEPS_PER_BAR), np.uint8)  # all bars in one
    cells = ROW_OF_PITCH[pitches[kept]] * matrix.shape[1] + steps
    np.maximum.at(matrix.reshape(-1), cells, velocities[kept].astype(np.uint8))
    bars = matrix.reshape(len(INSTRUMENTS), count, STEPS_PER_BAR).transpose(1, 0, 2).copy()  # (bars, 8, 64)
    return bars, ticks[kept], pitches[kept], np.concatenate(offsets), left_out, first_tick


def _stretches(meters):
    """Where the meter changes: [(tick, "4/4"), ...], the first at tick 0; meters: [(tick, numerator, denominator)]."""
    meter_at = {0: "4/4"}  # the default of MIDI; of several at one tick the last holds
    for tick, numerator, denominator in sorted(meters, key=lambda meter: meter[0]):
        meter_at[tick] = f"{numerator}/{denominator}"
    return [next(same) for _, same in groupby(meter_at.items(), key=lambda item: item[1])]


def _counted(counter):
    """A Counter as text: `3 in 6/8, 1 in 3/4`."""
    return ", ".join(f"{count} in {key}" for key, count in counter.most_common())


def write_midi(bars, path, bpm=120, offsets=0.0, name="Drums", text=None):
    """Write bars as a Standard MIDI file of type 0, on channel 10, at 480 ticks a quarter note; it ends with a bar.

    A note lasts a sixteenth, or until its row is struck again.

    Args:
        bars: (n, 8, 64) or (8, 64), whole velocities 0 to 127. `read_bars` gives them back.
        path: the file, written whole or not at all.
        bpm: quarter notes a minute, 4 to 60,000.
        offsets: of each hit from its step, in steps, float (n, 8, 64), as `patterns.feel.time_offsets` gives them; a
            hit that leaves the file at one end is written at the other: it is a loop.
        name: of the track. text: of a session, see `midi_file.read_text_tag`.
    """
    bars = check_bars(bars)
    if not 4 <= bpm <= 60_000:
        raise ValueError(f"bpm: expected 4 to 60000, found {bpm}")
    step_ticks = midi_file.TICKS_PER_QUARTER * 4 // STEPS_PER_BAR
    bar, row, step = places = np.nonzero(bars)
    end = len(bars) * STEPS_PER_BAR * step_ticks
    times = bar * STEPS_PER_BAR + step + np.broadcast_to(offsets, bars.shape)[places]
    ticks = np.rint(times * step_ticks).astype(int) % end
    hits = zip(ticks.tolist(), np.array(INSTRUMENT_TO_PITCH)[row].tolist(), bars[places].tolist())
    data = midi_file.to_bytes(list(hits), end, 4 * step_ticks, bpm, name, text)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


# --- folders of bars ---

def load_patterns(source, minimum_hits=0):
    """Load every bar of a folder, or of one file: matrices (.npy) and MIDI.

    minimum_hits: leave out bars with fewer; 0 keeps silent bars too, as a loop needs them.

    Returns:
        (bars uint8 (n, 8, 64), names [str] * n: the file each bar came from, relative to the folder, less its suffix).
        A file of a folder that cannot be used is named on stderr.
    Raises:
        ValueError, OSError: no bar is left, or the one file cannot be used.
    """
    source = Path(source)
    files = find_files(source, (".npy", *MIDI_SUFFIXES)).values()
    bars, names = [], []
    for file in Progress(files, "reading", "files"):
        try:
            found = load_matrix(file) if file.suffix.lower() == ".npy" else read_bars(file)
        except (ValueError, OSError) as error:
            if not source.is_dir():
                raise
            print(f"left out: {one_line(error)}", file=sys.stderr)
            continue
        found = found[np.count_nonzero(found, axis=(1, 2)) >= minimum_hits]
        name = file.relative_to(source) if source.is_dir() else Path(file.name)
        bars.append(found)
        names += [name.with_suffix("").as_posix()] * len(found)
    if not names:
        raise ValueError(f"{source}: expected matrices (.npy) or MIDI with drums, found no bar in {len(files)} files")
    return np.concatenate(bars), names


def convert_folder(source, target, channel=None):
    """Convert every MIDI file and score of a folder (or one file) to a matrix in `target`, in the same tree.

    Of two files that would get one name, as a.mid and a.MID, both keep their suffix: a.mid.npy and a.MID.npy. A file
    that cannot be used, or in whose 4/4 bars nothing is struck, is left out and named in the report.

    Returns:
        a dict: counts of "files" read, "converted", "bars" kept, "silent_bars" among them, "hits"; "skipped" {file:
        reason}; "left_out" Counter of bars by reason; "unmapped" Counter of hits by pitch; "mean_ms", "largest_ms":
        distance between a hit and its step.
    """
    source, target = Path(source), Path(target)
    files = find_files(source, MIDI_SUFFIXES + NOTATION_SUFFIXES)
    report = {"files": len(files), "converted": 0, "bars": 0, "silent_bars": 0, "hits": 0, "skipped": {},
              "left_out": Counter(), "unmapped": Counter(), "largest_ms": 0.0}
    total_ms = 0.0
    for name, file in Progress(files.items(), "converting", "files"):
        try:
            matrices, facts = read_with_facts(file, channel)
            if not matrices.any():
                raise ValueError(f"{file}: empty (nothing is struck in its 4/4 bars)")
        except (ValueError, OSError) as error:
            file_name = file.relative_to(source).as_posix() if source.is_dir() else file.name
            report["skipped"][file_name] = one_line(error).removeprefix(f"{file}: ")
            continue
        with replacing(target / name) as temporary, open(temporary, "r+b") as stream:  # "wb" is slow on ext4
            np.save(stream, matrices)
        report["converted"] += 1
        report["bars"] += len(matrices)
        report["hits"] += len(facts["distances_ms"])
        report["silent_bars"] += int((~matrices.any(axis=(1, 2))).sum())
        report["left_out"] += facts["left_out"]
        report["unmapped"] += facts["unmapped"]
        report["largest_ms"] = max(report["largest_ms"], float(facts["distances_ms"].max(initial=0)))
        total_ms += float(facts["distances_ms"].sum())
    report["mean_ms"] = total_ms / max(1, report["hits"])
    return report


def print_report(report):
    """Print the data report of `convert_folder`."""
    for name, reason in report["skipped"].items():
        print(f"left out  {name}: {reason}")
    print(f"{report['files']} files read, {report['converted']} converted, {len(report['skipped'])} left out")
    print(f"{report['bars']} bars kept ({report['silent_bars']} of them silent), {report['hits']} hits")
    if report["left_out"]:
        print(f"bars left out of these files: {_counted(report['left_out'])}")
    if report["unmapped"]:
        pitches = ", ".join(f"{pitch} ({count})" for pitch, count in report["unmapped"].most_common())
        print(f"{report['unmapped'].total()} hits on pitches that are not in the table, put to Percu: {pitches}")
    print(f"distance between a hit and its step: {report['mean_ms']:.2f} ms on average, "
          f"{report['largest_ms']:.2f} ms at most")


def show_file(path, channel=None, plot=None, staff=None):
    """Show a file's bars as text, and in a window or in the files `plot` (a figure) and `staff` (a score).

    Returns a dict: "bars" uint8 (n, 8, 64), "bpm" at the first of them, and the facts of `read_with_facts`.
    """
    if path.suffix.lower() == ".npy":
        matrices, facts = load_matrix(path), {"bpm": 120.0}
    else:
        matrices, facts = read_with_facts(path, channel)
    for index, bar in enumerate(matrices[:TEXT_BARS], start=1):
        print(f"{path.name}, bar {index} of {len(matrices)}\n{as_text(bar)}\n")
    if len(matrices) > TEXT_BARS:
        print(f"... and {len(matrices) - TEXT_BARS} bars more\n")
    if staff:
        notation.write_staff(matrices, staff, INSTRUMENT_TO_PITCH, facts["bpm"], title=path.stem)
        print(f"wrote {staff}")
    if plot:
        write_picture(matrices, path.name, plot)
        print(f"wrote {plot}")
    if not (plot or staff or show(matrices, path.name)):
        print("no display: --plot FILE.png writes the figure")
    return {"bars": matrices, **facts}


def main(argv=None):
    """Show a file or convert a folder; returns the dict of `show_file` or `convert_folder`, or status 1."""
    parser = Parser(__doc__)
    parser.add_argument("source", nargs="?", type=Path, default=GROOVES / "HOUSE1.mid",
                        help="a MIDI file, drum part in MusicXML, ABC or Humdrum, or matrix to show; or a folder")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER",
                        help="where matrices go (only Dataset_Drum_Groove_Midi has a default: ..._Pattern beside it)")
    parser.add_argument("--channel", type=number(int, 1, 16), metavar="N",
                        help="the channel of the drums, 1 to 16 (default: 10, else the tracks that name or use drums)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw a file's bars into a figure, not a window")
    parser.add_argument("--notation", type=Path, metavar="FILE.musicxml", help="write a file's bars as a drum staff")
    options = parser.parse_args(argv)
    output = options.output or (PATTERNS if options.source.resolve() == GROOVES else None)
    if (options.source.is_dir() or output) and (options.plot or options.notation):
        parser.error("--plot and --notation show one file: they go with neither a folder nor -o")
    if options.source.is_dir() and not output:
        parser.error(f"{options.source}: expected -o FOLDER, where the matrices of a folder go")
    if not output:
        return show_file(options.source, options.channel, options.plot, options.notation)
    report = convert_folder(options.source, output, options.channel)
    print_report(report)
    if not report["converted"]:
        print(f"{options.source}: no file with a drum bar in 4/4", file=sys.stderr)
        return 1
    return report


if __name__ == "__main__":
    run(main)
