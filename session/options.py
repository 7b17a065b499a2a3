"""The options of Activation_Matrix_To_Sound.py, and which of them go together.

    parser = make_parser("what the script does"); options = parser.parse_args(["--at", "0.5", "-1"])
    check_options(parser, options)                      # is the window asked for? One line and status 2 otherwise
"""

import argparse
from pathlib import Path

from command_line import ROOT, Parser, number
from engine.midi_ports import VIRTUAL
from engine.mixer import MASTER, RANGES
from engine.player import LATENCY
from engine.timing import BPM_RANGE
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from formats.kit import HARDEST
from patterns.feel import LATEST, SWUNG
from patterns.sampling import DEFAULT_SEED, STEADY, TEMPERATURE
from session.export import MOST_BARS, SUBTYPES
from session.state import (FASTEST, MOST_BARS as MOST_PATTERN_BARS, MOST_BETWEEN_FILLS, MOST_EVOLVING,
                           MOST_SONG_BARS, SLOTS, SLOWEST, Part)

MODEL = ROOT / "pretrained" / "bernoulli_map.pt"


def file_named(*suffixes):
    """An argparse type: a path that ends in one of the suffixes."""
    def parse(text):
        if Path(text).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"expected a name that ends in {' or '.join(suffixes)}, found {text!r}")
        return Path(text)
    return parse


def row_named(text):
    """An argparse type: the number of the row of an instrument, named in any case."""
    names = [name.lower() for name in INSTRUMENTS]
    if text.lower() not in names:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(INSTRUMENTS)}, found {text!r}")
    return names.index(text.lower())


def row_hits(text):
    """An argparse type: NAME=HITS as (row, hits)."""
    name, _, hits = text.partition("=")
    return row_named(name), number(int, 0, STEPS_PER_BAR)(hits)


def steadiness(text):
    """An argparse type: a number from 0 to 1, or any, which is None."""
    return None if text.lower() == "any" else number(float, 0, 1)(text)


def row_sound(text):
    """An argparse type: NAME=FILE or NAME=X,Y as (row, Path or point)."""
    name, _, place = text.partition("=")
    try:
        return row_named(name), tuple(number(float, -100, 100)(word) for word in place.split(",", 1)) if "," in place \
            else Path(place)
    except (ValueError, argparse.ArgumentTypeError):
        return row_named(name), Path(place)  # a file's name may have a comma


def row_file(text):
    """An argparse type: NAME=FILE as (row, Path)."""
    name, _, path = text.partition("=")
    return row_named(name), Path(path)


def slot_named(text):
    """An argparse type: the number of a slot, by its letter."""
    if text.upper() not in list(SLOTS):
        raise argparse.ArgumentTypeError(f"expected a slot from {SLOTS[0]} to {SLOTS[-1]}, found {text!r}")
    return SLOTS.index(text.upper())


def slot_file(text):
    """An argparse type: SLOT=FILE as (slot, Path)."""
    slot, _, path = text.partition("=")
    return slot_named(slot), Path(path)


def song_part(text):
    """An argparse type: a Part as A, A:4, A:4:fill or A:4:fill:morph=2."""
    slot, *words = text.split(":")
    fields = {"slot": slot_named(slot)}
    for word in words:
        name, _, value = word.partition("=")
        if word.isdigit():
            fields["repeats"] = number(int, 1, MOST_SONG_BARS)(word)
        elif name == "morph":
            fields["morph"] = number(int, 1, MOST_SONG_BARS)(value)
        elif word == "fill":
            fields["fill"] = True
        else:
            raise argparse.ArgumentTypeError(f"expected SLOT, SLOT:TIMES, with :fill or :morph=BARS, found {text!r}")
    return Part(**fields)


def row_steps(text):
    """An argparse type: STEPS or NAME=STEPS as (row or None, steps)."""
    name, _, steps = text.rpartition("=")
    return row_named(name) if name else None, number(int, -STEPS_PER_BAR * MOST_BARS, STEPS_PER_BAR * MOST_BARS)(steps)


def row_cell(text):
    """An argparse type: NAME@STEP=VELOCITY as (row, step, velocity)."""
    cell, _, velocity = text.partition("=")
    name, _, step = cell.partition("@")
    return row_named(name), number(int, 0, STEPS_PER_BAR * MOST_BARS - 1)(step), number(int, 0, HARDEST)(velocity)


def strip_change(text):
    """An argparse type: NAME.level=DB, NAME.mute or master=DB and the like as (row or None, {name: value})."""
    place, _, value = text.partition("=")
    row, _, name = place.rpartition(".")
    if name in ("mute", "solo") and row and not value:
        return row_named(row), {name: True}
    ranges = RANGES if row else {"master": MASTER}
    if name not in ranges:
        raise argparse.ArgumentTypeError(f"expected ROW.{'=, ROW.'.join(RANGES)}=, ROW.mute, ROW.solo or master=, "
                                         f"found {text!r}")
    return row_named(row) if row else None, {name: number(float, *ranges[name])(value)}


def row_push(text):
    """An argparse type: NAME=MS as (row, milliseconds)."""
    name, _, milliseconds = text.partition("=")
    return row_named(name), number(float, -LATEST, LATEST)(milliseconds)


def check_options(parser, options):
    """End with one line where options do not go together; return whether the window is asked for."""
    given = {name for name, value in vars(options).items() if value != parser.get_default(name)}
    chosen = given & {"at", "random", "path", "morph", "points", "pattern", "like", "song"}
    outputs = {"bars", "wav", "midi", "png", "npy", "stems", "save_kit", "sfz", "hydrogen", "save_session", "shift",
               "reverse", "hits"}
    window = not chosen and not ("session" in given and given & outputs)
    plain = "pattern" in given and "lock" not in given
    as_it_is = plain and not given & {"continue", "evolve"}
    sources = "--at, --random, --path, --morph, --points, --pattern, --like, --song, --session"
    drawn = "is for what is drawn; a --pattern is taken as it is"
    sounds = given & {"wav", "stems", "save_kit", "sfz", "hydrogen", "save_session"}
    silent = not window and not given & {"midi", "wav", "stems", "save_session"}
    rules = (
        ("session" in given, "at random path morph points pattern like slot lock nearest humanise no_fills style "
         "density row_hits temperature steady timing tight swing swing_of push seed kit_seed sound sound_like mix "
         "evolve fill_every continue", "is in the --session"),
        ("song" not in given, "slot", "needs --song PART ..., of which it is a part"),
        (window, "bars wav midi png npy stems save_kit sfz hydrogen save_session lock nearest humanise no_fills shift "
         "reverse hits continue",
         f"needs one of {sources}"),
        ("song" in given, "at random path morph points pattern like lock nearest humanise density row_hits no_fills "
         "continue evolve bars hits reverse shift", "does not go with --song, which is made of slots"),
        (not window, "web port log latency midi_out midi_in clock", f"is for the window, not for {sources}"),
        (silent, "tight swing swing_of push", "is for what is heard: --wav, --stems, --midi or the window"),
        (not window and not sounds, "kit_seed sound sound_like mix follow",
         "is for --wav, --stems, --save-kit, --sfz, --hydrogen, --save-session or the window"),
        ("wav" not in given, "bits", "is for --wav"),
        (not given & {"wav", "stems"}, "tail", "is for --wav and --stems"),
        (not given & {"midi_out", "midi_in"}, "clock", "needs --midi-out, whose port it goes to, or --midi-in"),
        (options.clock == "follow" and "midi_in" not in given, "clock", "to follow one takes --midi-in"),
        (options.clock == "send" and "midi_out" not in given, "clock", "to send one takes --midi-out"),
        ("swing" not in given, "swing_of", "needs --swing PERCENT"),
        ("pattern" not in given, "lock humanise", "needs --pattern FILE, whose rows or hits are kept"),
        ("path" not in given, "no_fills", "needs --path X Y X Y, whose fills are left out"),
        (given & {"humanise", "like", "morph"}, "lock",
         "goes with --pattern alone, or with --at, --random, --path or --points"),
        (plain, "at random path morph points like", "goes with --pattern only to redraw it, with --lock ROW ..."),
        (as_it_is, "density row_hits steady timing", drawn),
        (as_it_is and "humanise" not in given, "temperature", drawn),
        (as_it_is and not given & {"humanise", "nearest"}, "style", drawn),
        (given & {"path", "morph", "points", "like", "nearest"}, "continue evolve",
         "goes on from --at, --random or --pattern"),
        ("evolve" in given, "continue", "not with --evolve: bars follow, or a loop evolves"),
        (not window and not given & {"continue", "evolve"}, "fill_every", "needs --continue or --evolve CELLS"))
    for applies, names, reason in rules:
        for name in names.split():
            if applies and name in given:
                parser.error(f"--{name.replace('_', '-')}: {reason}")
    if window and options.bpm and not SLOWEST <= options.bpm <= FASTEST:
        parser.error(f"--bpm: expected {SLOWEST} to {FASTEST} in the window, found {options.bpm:g}")
    return window


def make_parser(description):
    """The options of the script, which its docstring describes."""
    parser = Parser(description)
    group = parser.add_argument_group("without a window")
    coordinate = number(float, -100, 100)
    points = group.add_mutually_exclusive_group()
    points.add_argument("--at", nargs=2, type=coordinate, metavar=("X", "Y"), help="one bar: a point of the map")
    points.add_argument("--random", type=number(int, 1, MOST_BARS), metavar="N", help="N bars: random points in turn")
    points.add_argument("--path", nargs=4, type=coordinate, metavar=("X", "Y", "X", "Y"),
                        help="--bars N bars (default: 8) from one point to another, with fills before the turns")
    points.add_argument("--morph", nargs=2, type=Path, metavar="FILE",
                        help="--bars N bars (default: 8) from the first bar of a file to that of another")
    points.add_argument("--points", type=file_named(".npy"), metavar="FILE",
                        help="bars at these points, (N, 2), by one seed, as clicks in a window give them")
    points.add_argument("--like", type=Path, metavar="FILE",
                        help="your bars, MIDI or .npy: where each lands, what the model draws there, what is nearest")
    group.add_argument("--pattern", type=Path, metavar="FILE", help="the bars of a MIDI file or of a .npy matrix")
    group.add_argument("--lock", type=row_named, nargs="+", metavar="ROW",
                       help="keep these rows of --pattern, redraw the rest (--at, --random, --path or where it lies)")
    group.add_argument("--humanise", action="store_true", help="strike the hits of --pattern as a drummer would")
    group.add_argument("--nearest", action="store_true", help="of each bar, the nearest one that a drummer played")
    group.add_argument("--continue", action="store_true", help="bars that follow in the same style, to --bars N in all "
                       "(default: 8)")
    group.add_argument("--no-fills", action="store_true", help="a --path without fills and crashes")
    group.add_argument("--bars", type=number(int, 1, MOST_BARS), metavar="N",
                       help="length in bars: the pattern repeats, or is cut, to fill it (default: the pattern once)")
    add_export_options(group)
    add_song_options(parser)
    add_bar_options(parser)
    add_sound_options(parser)
    return parser


def add_song_options(parser):
    """The options of songs, and of bars edited by hand."""
    group = parser.add_argument_group("songs and edits, without a window")
    group.add_argument("--slot", type=slot_file, nargs="+", default=[], metavar="SLOT=FILE",
                       help=f"the patterns of a song: files of up to {MOST_PATTERN_BARS} bars, MIDI or .npy, in slots "
                            f"{SLOTS[0]} to {SLOTS[-1]}")
    group.add_argument("--song", type=song_part, nargs="*", metavar="SLOT:TIMES",
                       help="slots in order: A:4 is A four times; A:4:fill ends in a fill; after A:4:morph=2 come 2 "
                            "bars that lead to the next; none: the song of the --session")
    group.add_argument("--hits", type=row_cell, nargs="+", default=[], metavar="ROW@STEP=VELOCITY",
                       help="set cells, steps from 0, 64 a bar: Kick@0=100 Snare@80=0; 0 takes a hit out")
    group.add_argument("--reverse", type=row_named, nargs="*", metavar="ROW",
                       help="each bar's sixteenths backwards, or those of these rows; after --hits")
    group.add_argument("--shift", type=row_steps, nargs="+", default=[], metavar="[ROW=]STEPS",
                       help="hits so many steps later, around the end; Snare=-4: a sixteenth earlier; after --reverse")


def add_export_options(group):
    """The options of what is written."""
    group.add_argument("--wav", type=file_named(".wav"), help="write the sound, as a loop: its tails wrap to its start")
    group.add_argument("--bits", type=int, choices=SUBTYPES, default=24, help="of --wav; 32: float (default: 24)")
    group.add_argument("--tail", action="store_true", help="play --wav and --stems once, ringing out, not as a loop")
    group.add_argument("--stems", type=Path, metavar="FOLDER",
                       help="write a WAV a row, 32-bit float; together they are the sound before its limiter")
    group.add_argument("--midi", type=file_named(".mid", ".midi"), help="write a MIDI file")
    group.add_argument("--png", type=file_named(".png"), help="write a picture")
    group.add_argument("--npy", type=file_named(".npy"), help="write the bars: uint8 (bars, 8, 64), velocities")
    group.add_argument("--save-session", type=file_named(".json"), metavar="FILE",
                       help="write all of it, for --session; --midi and --wav carry it too")
    group.add_argument("--save-kit", type=Path, metavar="FOLDER", help="write the sounds as a folder that --kit takes")
    group.add_argument("--sfz", type=Path, metavar="FOLDER", help="write the sounds for a player of SFZ")
    group.add_argument("--hydrogen", type=Path, metavar="FOLDER",
                       help="write the sounds as a kit of Hydrogen; FOLDER.h2drumkit: in one file")


def add_bar_options(parser):
    """The options of bars and how they are played."""
    group = parser.add_argument_group("with a window or without")
    group.add_argument("--session", type=file_named(".json", ".mid", ".midi", ".wav"), metavar="FILE",
                       help="all that was saved: a .json, or a .mid or .wav that carries it")
    group.add_argument("--style", metavar="NAME", help="a style that the model was trained on (default: any)")
    group.add_argument("--density", type=number(int, 0, 512), metavar="HITS", help="hits a bar (default: the model's)")
    group.add_argument("--row-hits", type=row_hits, nargs="+", default=[], metavar="ROW=HITS",
                       help="hits of a row, exactly: Kick=4 Tom=0")
    group.add_argument("--temperature", type=number(float, 0, 3), default=TEMPERATURE,
                       help=f"0: the likeliest score, 1: as drummers vary, above: wilder (default: {TEMPERATURE})")
    group.add_argument("--steady", type=steadiness, default=STEADY, metavar="0..1",
                       help=f"from 0, a fill, to 1, as a loop goes on; any: either (default: {STEADY})")
    group.add_argument("--evolve", type=number(int, 0, MOST_EVOLVING), default=0, metavar="CELLS",
                       help="each pass of the loop changes so many cells of a bar; without a window --bars N "
                            "bars of it (default: 8 passes)")
    group.add_argument("--fill-every", type=number(int, 0, MOST_BETWEEN_FILLS), default=0, metavar="N",
                       help="each N-th bar of --continue or --evolve ends in a fill")
    group.add_argument("--timing", metavar="NAME", help="play as this drummer of the map (default: any)")
    group.add_argument("--tight", type=number(float, 0, 100), default=0.0, metavar="PERCENT",
                       help="100: hits on the sixteenths, or triplets, that their beat implies, 0: as drawn (default)")
    group.add_argument("--swing", type=number(float, 50, 75), default=50.0, metavar="PERCENT",
                       help="50 to 75: where the second of two notes begins; triplets are left alone (default: 50)")
    group.add_argument("--swing-of", choices=SWUNG, default="sixteenth", help="which notes swing (default: sixteenth)")
    group.add_argument("--push", type=row_push, nargs="+", default=[], metavar="ROW=MS",
                       help="milliseconds that a row is late: Snare=12 HHC=-5")
    group.add_argument("--seed", type=number(int, 0, 2**32 - 1),
                       help=f"random seed of the bars (default: {DEFAULT_SEED}; the window's random points: any)")
    group.add_argument("--bpm", type=number(float, *BPM_RANGE), help="tempo (default: that of a MIDI file, or 120)")
    group.add_argument("--model", type=Path, default=MODEL, help="checkpoint (default: pretrained/bernoulli_map.pt)")


def add_sound_options(parser):
    """The options of sounds and of the window."""
    group = parser.add_argument_group("sounds, with a window or without")
    group.add_argument("--kit", type=Path, nargs="+", default=[], metavar="PATH",
                       help="folder of sounds (Snare.wav, its alternate Snare_2.wav, Snare_v064.wav for velocities up "
                            "to 64), a sound model, or both: the model makes what the folder lacks, and the sound maps "
                            "(default: dataset_audio/kit and pretrained/sound_vae.pt)")
    group.add_argument("--kit-seed", type=number(int, 0, 2**32 - 1), help="seed of a made kit (default: --seed, or 0)")
    group.add_argument("--follow", action="store_true", help="a made kit that suits --style, or the place of the bars "
                       "on the map")
    group.add_argument("--sound", type=row_sound, nargs="+", default=[], metavar="ROW=FILE|X,Y",
                       help="a row's sound: your own, or that at a point of its sound map")
    group.add_argument("--sound-like", type=row_file, nargs="+", default=[], metavar="ROW=FILE",
                       help="your own as the point of the sound map where it lies: it gains softer strikes")
    group.add_argument("--mix", type=strip_change, nargs="+", default=[], metavar="ROW.NAME=VALUE",
                       help="Kick.level=-6 (dB) HHC.pan=0.3 Snare.tune=-2 (semitones) Tom.decay=0.5 Clap.mute "
                            "master=-3")
    group = parser.add_argument_group("the window")
    group.add_argument("--web", action="store_true", help="in a browser of this machine, at the address printed")
    group.add_argument("--port", type=number(int, 1, 65535), help="port of --web (default: any that is free)")
    group.add_argument("--latency", type=number(float, 5, 500), metavar="MS",
                       help=f"buffer of the sound (default: {1000 * LATENCY:g}); longer by itself after two dropouts")
    group.add_argument("--midi-out", nargs="?", const=VIRTUAL, metavar="NAME",
                       help=f"send notes to the MIDI port with NAME in its name (default: a port {VIRTUAL} of its own)")
    group.add_argument("--midi-in", nargs="?", const=VIRTUAL, metavar="NAME", help="strike the notes that come from it")
    group.add_argument("--clock", choices=("send", "follow", "off"),
                       help="MIDI clock: sent to --midi-out, as without this option; followed from --midi-in; or off")
    group.add_argument("--midi-ports", action="store_true", help="print the MIDI ports that are there, and end")
    group.add_argument("--save-to", type=Path, default=ROOT / "saved_patterns", metavar="FOLDER",
                       help="where Save writes pattern_001, pattern_002, ... (default: saved_patterns)")
    group.add_argument("--log", type=Path, metavar="FILE", help="append every command to FILE, a JSON line each")
