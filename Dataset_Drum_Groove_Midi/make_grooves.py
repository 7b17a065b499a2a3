"""Write our own drum grooves, from the step notation of grooves.txt, as MIDI files and as activation matrices.

    python Dataset_Drum_Groove_Midi/make_grooves.py            # writes *.mid here, *.npy in Dataset_Drum_Groove_Pattern
    python Dataset_Drum_Groove_Midi/make_grooves.py --check    # writes nothing; names the files that differ

The head of grooves.txt explains the notation. The same source gives the same bytes on every machine: what is human
about the timing is drawn from a generator seeded with the groove's name.
"""

import io
import random
import re
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the project's modules are one folder up

from command_line import Parser, replacing, run  # noqa: E402
from Midi_To_Activation_Matrix import read_bars

TICKS_PER_BEAT = 480
TICKS_PER_BAR = 4 * TICKS_PER_BEAT
BEAT_DIVISIONS = (1, 2, 3, 4, 6, 8, 12, 16)  # steps that a beat may have; 3, 6 and 12 are triplets, which do not swing

VELOCITY = {"X": 118, "x": 96, "o": 70, "g": 36, "f": 100, "F": 118, "d": 100, "z": 64}
GRACE_MS = {"f": (28,), "F": (28,), "d": (62, 31)}  # grace notes so long before their stroke
BUZZ_MS = 42  # between the strokes of a buzz roll

# A line's name -> the General MIDI pitch that its plain strokes X x o g f F d z play.
PITCH = {
    "kick": 36, "snare": 38, "rim": 37, "clap": 39, "hat": 42, "pedal": 44, "open": 46, "ride": 51, "bell": 53,
    "crash": 49, "crash2": 57, "china": 52, "splash": 55, "high": 50, "mid": 47, "low": 45, "floor": 41,
    "toms": 50, "cowbell": 56, "tambourine": 54, "bongo": 60, "conga": 63, "timbale": 65, "shell": 76, "agogo": 67,
    "clave": 75, "woodblock": 76, "shaker": 70, "cabasa": 69, "guiro": 73, "triangle": 80, "cuica": 78, "surdo": 41,
    "repinique": 65, "tamborim": 60,
}

# Strokes that one line has of its own -> (pitch, velocity). They stand before the plain ones.
STROKES = {
    "hat": {"O": (46, 100)},
    "ride": {"B": (53, 106)},
    "toms": {"1": (50, 104), "2": (47, 104), "3": (45, 106), "4": (41, 110)},
    "conga": {"h": (62, 40), "t": (62, 52), "s": (62, 112), "o": (63, 96), "O": (63, 114), "u": (64, 98),
              "U": (64, 116)},
    "bongo": {"l": (61, 88), "L": (61, 110)},
    "timbale": {"l": (66, 92), "L": (66, 114)},
    "agogo": {"h": (67, 98), "H": (67, 116), "l": (68, 92), "L": (68, 110)},
    "woodblock": {"h": (76, 98), "l": (77, 92)},
    "guiro": {"l": (74, 96)},
    "triangle": {"l": (81, 92)},
    "cuica": {"l": (79, 96)},
    "surdo": {"m": (43, 62)},
}

# How far strokes stray: standard deviations in ms, at 120 bpm or slower, and in MIDI velocity.
FEELS = {"machine": (0, 0), "tight": (2.5, 3), "human": (4.5, 5), "loose": (7, 7)}
PLACEMENTS = {  # where a line sits, in ms after the beat
    "laid-back": {"snare": 11, "rim": 11, "clap": 11, "hat": 3},
    "pushed": {"hat": -5, "ride": -5, "crash": -4},
}

RIDING_HAND = {"hat", "open", "ride", "bell"}  # the hand that keeps time, and what it leaves the time for
LEAVES_FOR = {"crash", "crash2", "china", "splash", "toms", "high", "mid", "low", "floor"}
HANDS = RIDING_HAND | LEAVES_FOR | {"snare", "rim"}


def parse(text, file_name="grooves.txt"):
    """The grooves of a source text: a list of dictionaries in the order of the text.

    Each has name, style, bpm, swing8, swing16, feel, offsets {instrument: ms} and bars, a list of bars; a bar is a
    sorted list of hits (tick in the bar, pitch, velocity, instrument, stroke, ticks of a step), swung, but not yet
    with human timing. Raises ValueError with file, line number, what was expected and what was found.
    """
    grooves, place = [], {"style": None, "groove": None, "patterns": {}, "pattern": None, "base": {}}
    number = 0
    try:
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split("#")[0].split()
            if words:
                _read_line(words, place, grooves)
        _expect_whole(place["groove"])
        if not grooves:
            raise ValueError("expected grooves, found none in this file")
    except ValueError as error:
        raise ValueError(f"{file_name} line {number}: {error}") from None
    return grooves


def _read_line(words, place, grooves):
    """Understand one line, given its words and the place in the text where it stands, which it may move on."""
    first, line = words[0], " ".join(words)
    style, groove, patterns = place["style"], place["groove"], place["patterns"]
    if first.startswith("["):
        _expect_whole(groove)
        if not re.fullmatch(r"\[[A-Z]+\]", line):
            raise ValueError(f"expected a style in capitals such as [ROCK], found {line!r}")
        place.update(style=line[1:-1], groove=None, pattern=None)
    elif re.fullmatch(r"[A-Z]+[0-9]+", first) and not line.endswith(":"):
        _expect_whole(groove)
        if style is None or not re.fullmatch(rf"{style}[1-9][0-9]*", first):
            raise ValueError(f"expected a name such as {style or 'STYLE'}1 in section [{style}], found {first!r}")
        if first in (other["name"] for other in grooves):
            raise ValueError(f"a second groove of the name {first}")
        grooves.append({"name": first, "style": style, "bars": [], **_options(words[1:])})
        place.update(groove=grooves[-1], patterns={}, pattern=None)
    elif groove is None:
        raise ValueError(f"expected a groove's header such as {style or 'ROCK'}1 116bpm human, found {line!r}")
    elif first == "play":
        if groove["bars"]:
            raise ValueError(f"{groove['name']} has a play line already")
        for word in words[1:]:
            label, star, times = word.partition("*")
            if label not in patterns:
                raise ValueError(f"{groove['name']} has no bar {label!r}, only {', '.join(patterns) or 'none'}")
            if star and not re.fullmatch("[1-9]", times):
                raise ValueError(f"expected a count such as {label}*2, found {word!r}")
            groove["bars"] += _bars(patterns[label], groove, f"{groove['name']}, bar {label}") * int(times or 1)
        if not 2 <= len(groove["bars"]) <= 8:
            raise ValueError(f"{groove['name']} plays {len(groove['bars'])} bars, expected 2 to 8")
    elif line.endswith(":"):
        match = re.fullmatch(r"([A-Z][A-Za-z0-9]*)( = ([A-Z][A-Za-z0-9]*))? ?:", line)
        if not match:
            raise ValueError(f"expected a bar's label such as A: or B = A:, found {line!r}")
        label, _, base = match.groups()
        if label in patterns:
            raise ValueError(f"{groove['name']} has a bar {label!r} already")
        if base and base not in patterns:
            raise ValueError(f"{groove['name']} has no bar {base!r}, only {', '.join(patterns) or 'none'}")
        place["base"] = patterns.get(base, {})
        place["pattern"] = patterns[label] = dict(place["base"])
    elif place["pattern"] is None:
        raise ValueError(f"expected a bar's label such as A: before {line!r}")
    elif first not in PITCH:
        raise ValueError(f"unknown instrument {first!r}, expected one of {', '.join(sorted(PITCH))}")
    elif words[1:] == ["-"]:
        place["pattern"].pop(first, None)
    else:
        place["pattern"][first] = _steps(first, words[1:], place["base"].get(first))


def _expect_whole(groove):
    if groove and not groove["bars"]:
        raise ValueError(f"{groove['name']} has no play line before this")


def _options(words):
    """bpm, swing, feel and offsets from a header's words: 116bpm human laid-back swing16=56 snare+14ms."""
    options = {"bpm": None, "swing8": 50.0, "swing16": 50.0, "feel": "machine", "offsets": {}}
    for word in words:
        if match := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)bpm", word):
            options["bpm"] = float(match[1])
            if not 40 <= options["bpm"] <= 300:
                raise ValueError(f"expected 40 to 300 bpm, found {word!r}")
        elif match := re.fullmatch(r"(swing8|swing16)=([0-9]+(?:\.[0-9]+)?)", word):
            options[match[1]] = float(match[2])
            if not 50 <= options[match[1]] <= 75:
                raise ValueError(f"expected a swing of 50 (straight) to 75 percent, found {word!r}")
        elif match := re.fullmatch(r"([a-z0-9]+)([+-][0-9]+(?:\.[0-9]+)?)ms", word):
            if match[1] not in PITCH:
                raise ValueError(f"unknown instrument {match[1]!r} in {word!r}")
            options["offsets"][match[1]] = float(match[2])
        elif word in FEELS:
            options["feel"] = word
        elif word in PLACEMENTS:
            options["offsets"] = {**PLACEMENTS[word], **options["offsets"]}
        else:
            raise ValueError(f"expected {', '.join([*FEELS, *PLACEMENTS])}, swing8=66, swing16=56 or snare+12ms, "
                             f"found {word!r}")
    if options["bpm"] is None:
        raise ValueError(f"expected a tempo such as 116bpm, found {' '.join(words)!r}")
    return options


def _steps(instrument, words, base):
    """The bars of one line: a list of bars, each a list of four beats, each a string of strokes."""
    bars, alphabet = [], {".", *VELOCITY, *STROKES.get(instrument, {})}
    for group in " ".join(words).split("/"):
        beats = group.split()
        if beats == ["%"]:
            if not bars:
                raise ValueError(f"{instrument}: % repeats the bar before, and there is none")
            bars.append(bars[-1])
            continue
        if len(beats) not in (1, 2, 4):
            raise ValueError(f"{instrument}: expected 4 beats (or 1 or 2, which repeat), found {len(beats)} "
                             f"in {group.strip()!r}")
        beats = beats * (4 // len(beats))
        for index, beat in enumerate(beats):
            if beat == "~":
                if base is None:
                    raise ValueError(f"{instrument}: ~ keeps a beat of the bar before the =, which has none")
                beats[index] = base[len(bars) % len(base)][index]
            elif len(beat) not in BEAT_DIVISIONS:
                raise ValueError(f"{instrument}: expected a beat of {', '.join(map(str, BEAT_DIVISIONS))} steps, "
                                 f"found {len(beat)} in {beat!r}")
            elif set(beat) - alphabet:
                raise ValueError(f"{instrument}: unknown stroke {min(set(beat) - alphabet)!r} in {beat!r}, "
                                 f"expected some of {' '.join(sorted(alphabet))}")
        bars.append(beats)
    return bars


def _bars(pattern, groove, where):
    """A pattern's bars as lists of hits; a line of one bar stands for all. `where` is for the errors."""
    length = max((len(bars) for bars in pattern.values()), default=1)
    result = []
    for index in range(length):
        hits = []
        for instrument, bars in pattern.items():
            if len(bars) not in (1, length):
                raise ValueError(f"{where}: {instrument} has {len(bars)} bars beside lines of {length}")
            for beat, strokes in enumerate(bars[index % len(bars)]):
                for step, stroke in enumerate(strokes):
                    if stroke != ".":
                        place = beat + _swing(step / len(strokes), len(strokes), groove)
                        own = STROKES.get(instrument, {}).get(stroke)
                        pitch, velocity = own or (PITCH[instrument], VELOCITY[stroke])
                        hits.append((round(place * TICKS_PER_BEAT), pitch, velocity, instrument, stroke,
                                     TICKS_PER_BEAT // len(strokes)))
        if not hits:
            raise ValueError(f"{where} has no strokes")
        result.append(sorted(_with_two_hands(hits, where) if groove["feel"] != "machine" else hits))
        for tick in {hit[0] for hit in hits}:
            pitches = {hit[1] for hit in result[-1] if hit[0] == tick}
            if PITCH["open"] in pitches and pitches & {PITCH["hat"], PITCH["pedal"]}:
                raise ValueError(f"{where}, beat {tick / TICKS_PER_BEAT + 1:g}: the hi-hat is open and closed at once")
    return result


def _with_two_hands(hits, where):
    """The hits that two hands play: the riding hand leaves its stroke for a crash or a tom; a third is an error."""
    instruments = {}
    for hit in hits:
        instruments.setdefault(hit[0], set()).add(hit[3])
    for tick, struck in instruments.items():
        if struck & LEAVES_FOR:
            struck -= RIDING_HAND
        if len(struck & HANDS) > 2:
            raise ValueError(f"{where}, beat {tick / TICKS_PER_BEAT + 1:g}: needs more than two hands: "
                             f"{', '.join(sorted(struck & HANDS))}")
    return [hit for hit in hits if hit[3] in instruments[hit[0]]]


def _swing(place, division, groove):
    """Where in the beat [0, 1) a straight place falls: the off-beat eighth (sixteenth) late by the swing percentage."""
    if division % 3 == 0:
        return place
    for unit, percent in ((1.0, groove["swing8"]), (0.5, groove["swing16"])):
        whole, part = divmod(place / unit, 1.0)
        late = percent / 100
        part = part * 2 * late if part < 0.5 else late + (part - 0.5) * 2 * (1 - late)
        place = (whole + part) * unit
    return place


def render(groove):
    """A groove's notes as played: a sorted list of (tick, pitch, velocity) over all its bars.

    A drummer's clock wanders a little (all limbs together) and each stroke strays from it; both are small, drawn from
    a generator seeded with the groove's name. The clave is the clock of its music and stays exact.
    """
    chance = random.Random(groove["name"])
    spread_ms, spread_velocity = FEELS[groove["feel"]]
    ticks_per_ms = TICKS_PER_BEAT * groove["bpm"] / 60_000
    haste = min(1, 120 / groove["bpm"])  # who plays fast plays close to the beat
    end = len(groove["bars"]) * TICKS_PER_BAR
    notes, drift, moment = {}, 0.0, None

    def add(tick, pitch, velocity):
        tick = min(max(round(tick), 0), end - TICKS_PER_BAR // 128 - 1)  # stays within its bars to the nearest 64th
        velocity = min(max(round(velocity), 1), 127)
        notes[tick, pitch] = max(velocity, notes.get((tick, pitch), 0))

    for index, bar in enumerate(groove["bars"]):
        for tick, pitch, velocity, instrument, stroke, step in bar:
            tick += index * TICKS_PER_BAR
            if spread_ms and tick != moment:
                moment, drift = tick, 0.8 * drift + 0.6 * chance.gauss(0, 0.6)  # stationary, with std 0.6
            if spread_ms and instrument != "clave":
                stray = drift + _within_two(chance.gauss(0, 0.8))  # std 1 in all
                tick += (stray * spread_ms + groove["offsets"].get(instrument, 0)) * haste * ticks_per_ms
                velocity += _within_two(chance.gauss(0, 1)) * spread_velocity * (0.5 + velocity / 127)
            add(tick, pitch, velocity)
            for before in GRACE_MS.get(stroke, ()):
                if tick >= before * ticks_per_ms:  # none before the first beat
                    add(tick - before * ticks_per_ms, pitch, velocity * 0.42)
            if stroke == "z":
                strokes = max(2, round(step / ticks_per_ms / BUZZ_MS))
                for k in range(1, strokes):
                    add(tick + k * step / strokes, pitch, velocity * (1 - 0.35 * k / strokes))
    return sorted((tick, pitch, velocity) for (tick, pitch), velocity in notes.items())


def _within_two(number):
    return max(-2.0, min(2.0, number))


def midi_bytes(groove):
    """A groove as a Standard MIDI File of type 0: name, 4/4, tempo, notes on channel 10, end at the last bar line."""
    events = []  # (tick, order, bytes)
    notes = render(groove)
    following = {}
    for tick, pitch, velocity in reversed(notes):
        length = min(TICKS_PER_BEAT // 4, following.get(pitch, len(groove["bars"]) * TICKS_PER_BAR) - tick)
        following[pitch] = tick
        events += [(tick, 1, bytes([0x99, pitch, velocity])), (tick + length, 0, bytes([0x89, pitch, 64]))]
    name = groove["name"].encode("ascii")
    tempo = round(60_000_000 / groove["bpm"]).to_bytes(3, "big")
    track = b"\0\xff\x03" + bytes([len(name)]) + name + b"\0\xff\x58\x04\x04\x02\x18\x08" + b"\0\xff\x51\x03" + tempo
    now = 0
    for tick, _, message in [*sorted(events), (len(groove["bars"]) * TICKS_PER_BAR, 2, b"\xff\x2f\0")]:
        track += _variable_length(tick - now) + message
        now = tick
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS_PER_BEAT) + b"MTrk" + struct.pack(">I", len(track)) + track


def _variable_length(number):
    """A number as MIDI writes delta times: seven bits a byte, the highest first, all but the last with the top bit."""
    data = [number & 0x7F]
    while number := number >> 7:
        data.insert(0, 0x80 | number & 0x7F)
    return bytes(data)


def duplicate_bars(grooves):
    """(bars, distinct bars, distinct bars that two or more grooves share), as written, before human timing."""
    owners = {}
    for groove in grooves:
        for bar in groove["bars"]:
            owners.setdefault(tuple(hit[:3] for hit in bar), set()).add(groove["name"])
    return sum(len(g["bars"]) for g in grooves), len(owners), sum(len(names) > 1 for names in owners.values())


def main(argv=None):
    """Write, or check, every file. Returns {"grooves", "styles", "bars", "changed"}, or 1 if --check finds a change."""
    parser = Parser(__doc__)
    parser.add_argument("source", nargs="?", type=Path, default=HERE / "grooves.txt", help="the step notation to read")
    parser.add_argument("--midi", type=Path, default=HERE, help="folder of the MIDI files")
    parser.add_argument("--patterns", type=Path, default=HERE.parent / "Dataset_Drum_Groove_Pattern",
                        help="folder of the activation matrices")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 where a file would change")
    arguments = parser.parse_args(argv)

    import numpy as np

    try:
        text = arguments.source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{arguments.source}: expected text in UTF-8, found other bytes ({error.reason})") from None
    grooves = parse(text, arguments.source.name)
    changed = []

    def save(path, data):
        """Write data where the file has other, or none; with --check only note it."""
        if path.is_file() and path.read_bytes() == data:
            return
        changed.append(path)
        if not arguments.check:
            with replacing(path) as temporary:
                temporary.write_bytes(data)

    for groove in grooves:
        midi = arguments.midi / f"{groove['name']}.mid"
        save(midi, midi_bytes(groove))
        if arguments.check and midi in changed:
            continue  # its matrix would come from a file that is not there yet
        matrix = io.BytesIO()
        np.save(matrix, read_bars(midi))
        save(arguments.patterns / f"{groove['name']}.npy", matrix.getvalue())
    names = {groove["name"] for groove in grooves}
    strangers = [path for folder, suffix in ((arguments.midi, ".mid"), (arguments.patterns, ".npy"))
                 for path in sorted(folder.glob(f"*{suffix}")) if path.stem not in names]

    bars, distinct, shared = duplicate_bars(grooves)
    styles = {groove["style"] for groove in grooves}
    print(f"{len(grooves)} grooves in {len(styles)} styles, {bars} bars, {distinct} of them distinct as written, "
          f"{shared} of those in more than one groove")
    for path in strangers:
        print(f"{path}: not in {arguments.source.name}")
    if arguments.check:
        for path in changed:
            print(f"{path}: differs from what {arguments.source.name} gives")
        if changed or strangers:
            return 1
    else:
        print(f"{len(changed)} files written, {2 * len(grooves) - len(changed)} already as they should be")
    return {"grooves": len(grooves), "styles": len(styles), "bars": bars, "changed": changed}


if __name__ == "__main__":
    run(main)
