"""Click in a map of drum patterns: see the pattern, and hear it loop. The window, and each command without one.

python Activation_Matrix_To_Sound.py                                   # the window (h shows its keys)
python Activation_Matrix_To_Sound.py --web                             # the same window in a browser
python Activation_Matrix_To_Sound.py --midi-out --midi-in Pad --clock send     # notes and clock by MIDI, played along
python Activation_Matrix_To_Sound.py --at 0.5 -1 --wav bar.wav         # a point of the map, no window
python Activation_Matrix_To_Sound.py --random 8 --seed 3 --style funk --density 20 --midi eight.mid --png eight.png
python Activation_Matrix_To_Sound.py --path 0.5 -1 -1 1 --bars 8 --midi path.mid         # with a fill before the turn
python Activation_Matrix_To_Sound.py --like my_bar.mid                 # where it lands, its like, its nearest
python Activation_Matrix_To_Sound.py --pattern my_bar.mid --lock Kick Snare --midi new.mid     # redraw the rest
python Activation_Matrix_To_Sound.py --pattern my_bar.mid --humanise --wav played.wav
python Activation_Matrix_To_Sound.py --at 0.5 -1 --tight 80 --swing 60 --push Snare=12 --midi bar.mid    # its feel
python Activation_Matrix_To_Sound.py --pattern my_bar.mid --continue --bars 8 --fill-every 4 --midi song.mid
python Activation_Matrix_To_Sound.py --at 0.5 -1 --evolve 4 --bars 16 --fill-every 8 --wav evolves.wav
python Activation_Matrix_To_Sound.py --morph one.mid other.mid --bars 8 --midi morph.mid
python Activation_Matrix_To_Sound.py --slot A=one.mid B=other.mid --song A:4:fill B:2 A:4:morph=2 --wav song.wav
python Activation_Matrix_To_Sound.py --pattern my_bar.mid --hits Kick@8=90 --reverse Tom --shift Snare=-4 --midi new.mid
python Activation_Matrix_To_Sound.py --at 0.5 -1 --kit pretrained/sound_vae.pt --kit-seed 3 --wav made.wav
python Activation_Matrix_To_Sound.py --at 0.5 -1 --sound Snare=my.wav Kick=0.5,-1 --mix Kick.level=-3 --wav mixed.wav
python Activation_Matrix_To_Sound.py --session saved_patterns/pattern_001.mid --wav again.wav    # what it was saved of
python Activation_Matrix_To_Sound.py --points points.npy --steady 0.2 --npy fills.npy     # as clicks there would give

Without a window it prints the bars as text and writes what is asked for; the same options give the same bytes.
"""

import contextlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

# first, since it sets variables that torch reads when it is imported
from command_line import ROOT, run

import matplotlib
import numpy as np
import torch

from editor.cells import backwards, shifted
from editor.kit_commands import followed_character
from editor.pattern_editor import PatternEditor
from engine.midi_ports import MidiSettings, port_names
from engine.mixer import Mixer
from engine.player import Player
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR, as_text
from formats.kit import KIT, load_kit
from patterns import latent_map, paths, sampling, variation
from patterns.feel import Feel
from patterns.latent_map import describe_bar
from patterns.noise import Surface
from patterns.sampling import DEFAULT_SEED, Constraints
from session.export import read_pattern, read_points, read_with_tempo, write_all
from session.options import MODEL, check_options, make_parser
from session.session_file import read_session, to_text
from session.song import song_bars, state_of_bars
from session.state import MOST_BARS, State
from sounds.codes import load_sound_model
from sounds.kits import (MadeSound, file_sound, first_of, kit_of_character, kit_of_model, sound_at, sound_like,
                         whole)
from window import browser
from window.window import Window, file_dialog

SOUND_MODEL = ROOT / "pretrained" / "sound_vae.pt"
AT_ONCE, MOST_PRINTED, PATH_BARS = 500, 16, 8  # bars at --points drawn together, printed; of a path or a morph
TEMPO = 120.0  # where neither --bpm nor a file names one


def open_model(path):
    """Load a model of drum bars, to run on one thread. Raises OSError or ValueError that says what to do."""
    if path == MODEL and not path.exists():
        raise FileNotFoundError(f"{path}: no such file; train a map with `python train_bernoulli.py`, then give the "
                                "best.pt of its run with --model")
    torch.set_num_threads(1)  # one bar is too small to share out, and the sound wants the other cores
    return latent_map.load_bar_model(path)


def constraints_of(options, model):
    """The Constraints that the options ask for."""
    return Constraints(sampling.style_index(model, options.style), options.density, dict(options.row_hits),
                       options.temperature, steady=options.steady, timing=timing_of(options.timing, model))


def timing_of(name, model):
    """The timing of a drummer whom the model's map names; None without a name. ValueError that lists those it has."""
    timings = (model.map or {}).get("timings", {})
    if name is not None and name not in timings:
        raise ValueError(f"--timing: expected {', '.join(timings) or 'a map that names drummers'}, found {name!r}")
    return None if name is None else tuple(timings[name])


def feel_of(options):
    """The Feel that the options ask for."""
    return Feel(options.tight, options.swing, options.swing_of, dict(options.push))


def chosen_state(options):
    """What the options ask for without a window: (State of its pattern, bars uint8 (n, 8, 64), facts of each, or None
    of a pattern as it is, of a song and of many points, model, or None where none was asked)."""
    own = read_pattern(options.pattern or options.like, options.bars) if options.pattern or options.like else None
    goes_on = options.evolve or vars(options)["continue"]
    plain = options.pattern and not (options.lock or options.humanise or options.nearest or goes_on)
    if plain and not options.save_session:
        return state_of(options, own), own, None, None
    model = open_model(options.model)
    state = open_session(options, model) if options.session else None
    if options.song is not None:
        state = song_state(options, model, state)
        return state, song_bars(state, model)[0], None, model
    plane, training_bars = latent_map.LatentPlane(model), latent_map.TrainingBars(model)
    seed = DEFAULT_SEED if options.seed is None else options.seed
    bars, codes = (state.bars, state.codes) if state else bars_and_codes(options, model, plane, own, seed)
    if goes_on:
        bars, codes = bars_that_follow(options, model, bars, np.asarray(codes), seed)
    state = state or state_of(options, bars, codes, constraints_of(options, model))
    if plain or options.points and len(bars) > MOST_PRINTED and not options.nearest:
        return state, bars, None, model
    facts = [describe_bar(bar, code, plane, training_bars) for bar, code in zip(own if options.like else bars, codes)]
    if options.nearest:
        if not len(training_bars):
            raise ValueError(f"--nearest: {options.model} holds no training bars in its map")
        bars = np.stack([training_bars.bar(fact["index"], seed) for fact in facts])
    return state, bars, facts, model


def state_of(options, bars, codes=None, constraints=Constraints()):
    """The State of bars that were drawn at codes, as in a window."""
    kept = options.lock or options.nearest or options.evolve or vars(options)["continue"]
    drawn = not kept and bool(options.at or options.points or options.path)
    on_path = drawn and options.path is not None and not options.no_fills
    state = State(codes=codes if codes is None else np.stack(codes), bars=bars, constraints=constraints,
                  surface=Surface(DEFAULT_SEED if options.seed is None else options.seed), edited=not drawn,
                  own=bool(options.pattern or options.like), on_path=on_path, locks=frozenset(options.lock or ()))
    return as_played(state, options)


def as_played(state, options):
    """The State with feel, tempo and mixer as the options ask for."""
    return replace(state, mixer=mixer_of(options), kit_seed=kit_seed_of(options), feel=feel_of(options),
                   bpm=float(tempo_of(options)), evolve=options.evolve, fill_every=options.fill_every)


def open_session(options, model):
    """The State of --session, at --bpm if that is given; what is not as it was is named on stderr."""
    state, notes = read_session(options.session, model, kit_paths(options)[1])
    for note in notes:
        print(f"{options.session}: {note}", file=sys.stderr)
    return replace(state, bpm=float(options.bpm or state.bpm))


def with_bars(state, bars):
    """The State whose pattern is these bars: its own again and again, cut, or edited."""
    if np.array_equal(bars, state.bars):
        return state
    codes = state.codes if state.codes is None else state.codes[np.arange(len(bars)) % len(state.codes)]
    return replace(state, bars=bars, codes=codes, index=0, edited=True, on_path=False, morph=None)


def session_of(options, state, bars, model):
    """The text of a State, which files of these bars carry: None where none of it was drawn, or it is too long."""
    state = state if options.song is not None else with_bars(state, bars)
    if model is None or len(state.bars) > MOST_BARS and not options.save_session:
        return None
    return to_text(state, model, kit_paths(options)[1])


def tempo_of(options):
    """The tempo asked for, else that of the MIDI file whose bars these are, or come first, else TEMPO."""
    song, slots = options.song, dict(options.slot)
    first = options.morph[0] if options.morph else slots.get(song[0].slot) if song else None
    source = options.pattern or options.like or first
    return options.bpm or (read_with_tempo(source, 1)[1] if source else None) or TEMPO


def bars_and_codes(options, model, plane, own, seed):
    """The bars and where each lies on the map; own: those of --pattern or --like, uint8 (n, 8, 64), or None."""
    asked = constraints_of(options, model)
    if options.lock:
        asked = replace(asked, locked=own[0], locked_rows=options.lock)
    if options.morph:
        return morph_of_files(options, model, asked)
    if options.path:
        start, end = plane.to_code(*options.path[:2]), plane.to_code(*options.path[2:])
        return paths.interpolate(model, start, end, options.bars or PATH_BARS, not options.no_fills, seed, asked)
    if options.points:
        points = read_points(options.points)
        codes = np.stack([plane.to_code(*point) for point in points])                 # (n, latent)
        return np.concatenate([sampling.draw(model, some, seed, asked)
                               for some in np.split(codes, range(AT_ONCE, len(codes), AT_ONCE))]), codes
    if options.at:
        codes = [plane.to_code(*options.at)] * (1 if own is None else len(own))
    elif options.random:
        codes = [latent_map.random_code(model, seed, i, asked.style) for i in range(options.random)]
    else:
        codes = sampling.encode(model, own, asked.style)
    if options.humanise:
        return sampling.humanise(model, own, codes, seed, asked), codes
    if options.pattern and not options.lock:
        return own, codes
    bars = []
    for i, code in enumerate(codes):  # each bar has a seed of its own: one noise for all would give a common accent
        if options.lock:
            asked = replace(asked, locked=own[i % len(own)])
        if options.like and options.density is None:
            asked = replace(asked, hits=np.count_nonzero(own[i]))
        bars.append(sampling.draw(model, code[None], seed + i, asked)[0])
    return np.stack(bars), codes


def morph_of_files(options, model, asked):
    """--bars bars from the first one of a file to that of another, and their codes."""
    count, ends = options.bars or PATH_BARS, np.concatenate([read_pattern(path, 1) for path in options.morph])
    if count < 2:
        raise ValueError(f"--bars: expected at least 2 of a morph, found {count}")
    return sampling.morph_of_bars(model, ends, sampling.encode(model, ends, asked.style), count, asked)


def song_state(options, model, session=None):
    """A State with the patterns of --slot and the parts of --song, or with those of a session."""
    if session is not None:
        return replace(session, song=tuple(options.song) or session.song)
    slots = {slot: read_pattern(path, MOST_BARS) for slot, path in options.slot}
    if not slots:
        raise ValueError("--song: expected the patterns of its slots, --slot A=FILE ..., found none")
    seed = DEFAULT_SEED if options.seed is None else options.seed
    return as_played(state_of_bars(model, slots, tuple(options.song), constraints_of(options, model), seed), options)


def edit(bars, options):
    """The bars (n, 8, 64) with --hits, --reverse and --shift."""
    bars = bars.copy()
    for row, step, velocity in options.hits:
        if step >= STEPS_PER_BAR * len(bars):
            raise ValueError(f"--hits: expected steps below {STEPS_PER_BAR * len(bars)}, found {step}")
        bars[step // STEPS_PER_BAR, row, step % STEPS_PER_BAR] = velocity
    for row in [None] if options.reverse == [] else options.reverse or ():
        bars = backwards(bars, row)
    for row, steps in options.shift:
        bars = shifted(bars, steps, row)
    return bars


def bars_that_follow(options, model, bars, codes, seed):
    """The bars of --continue or --evolve, --bars of them, and their codes."""
    asked = replace(constraints_of(options, model), locked_rows=tuple(options.lock or ()))
    if options.evolve:
        count = options.bars or PATH_BARS * len(bars)
        bars, codes = variation.evolved_bars(model, bars, codes, options.evolve, count, seed, asked)
    else:
        bars, codes = variation.continue_bars(model, bars, codes, options.bars or PATH_BARS, seed, asked)
    return variation.with_fills(model, bars, codes, options.fill_every, seed, asked), codes


def in_words(fact):
    """A fact as a line of text."""
    words = "{hits} hits at {point[0]:.2f} {point[1]:.2f}".format(**fact)
    words += f", near {fact['near']}" if fact["near"] else ""
    if fact["nearest"]:
        words += "; nearest played: " + ", ".join(
            f"{style} {cells} cells off at {x:.2f} {y:.2f}" for style, cells, (x, y) in fact["nearest"])
    return words


# Sounds ------------------------------------------------------------------------------------------------------------

def kit_paths(options):
    """The folder of sounds and the sound model that --kit names, or the shipped ones: (path or None, path or None)."""
    models = [path for path in options.kit if path.suffix == ".pt" or (path / "best.pt").is_file()]
    folders = [path for path in options.kit if path not in models]
    if len(models) > 1 or len(folders) > 1:
        given = " ".join(map(str, options.kit))
        raise ValueError(f"--kit: expected a folder, a sound model or one of each, found {given}")
    folder = folders[0] if folders else None if models else KIT
    return folder, models[0] if models else SOUND_MODEL if SOUND_MODEL.exists() else None


def sounds_of(options, state=None, character=None):
    """What the rows are to play, eight Sounds or MadeSounds, and the sound model: None where it has nothing to make.
    state: of a session, which has them. character: of a kit that follows the bars, see `followed_character`."""
    if state is not None and state.sounds and not character:
        made = any(isinstance(sound, MadeSound) for sound in state.sounds)
        return state.sounds, load_sound_model(kit_paths(options)[1]) if made else None
    (folder, path), seed = kit_paths(options), kit_seed_of(options)
    sounds = list(load_kit(folder, complete=path not in options.kit) if folder else [None] * len(INSTRUMENTS))
    needed = None in sounds or options.sound or options.sound_like or character
    model = load_sound_model(path) if path and needed else None
    made = kit_of_model(model, seed) if None in sounds else sounds
    sounds = [sound or other for sound, other in zip(sounds, made)]
    if character:
        if model is None:
            raise ValueError("--follow: expected a sound model, found none: name one by --kit")
        sounds = list(kit_of_character(model, character, seed))
    if model is None and (options.sound_like or any(not isinstance(place, Path) for _, place in options.sound)):
        raise ValueError("--sound, --sound-like: expected a sound model, found none: name one by --kit")
    for row, place in options.sound:
        sounds[row] = file_sound(place) if isinstance(place, Path) else sound_at(model, row, place, seed)
    for row, path in options.sound_like:
        sounds[row] = sound_like(model, row, path, seed)
    return tuple(sounds), model


def character_of(options, bars, facts):
    """The character of the kit that suits bars, at their mean place on the map."""
    model = open_model(options.model)
    plane = latent_map.LatentPlane(model)
    style = sampling.style_index(model, options.style)
    points = [fact["point"] for fact in facts] if facts else plane.from_codes(sampling.encode(model, bars, style))
    return followed_character(plane, np.mean(points, 0), None if style is None else model.styles[style])


def kit_seed_of(options):
    """The seed of a kit that a sound model makes."""
    return options.kit_seed if options.kit_seed is not None else options.seed or 0


def mixer_of(options):
    """The Mixer that the options ask for."""
    mixer = Mixer()
    for row, changes in options.mix:
        mixer = replace(mixer, **changes) if row is None else mixer.with_strip(row, **changes)
    return mixer


def midi_of(options):
    """The MidiSettings that the options ask for."""
    return MidiSettings(options.midi_out, options.midi_in, send_clock=options.clock in (None, "send"),
                        follow_clock=options.clock == "follow")


# The window ------------------------------------------------------------------------------------------------------

def open_window(options):
    """Open the window, in a browser where that is asked for or nothing else is there, until it is closed."""
    model = open_model(options.model)
    session = open_session(options, model) if options.session else None
    sounds, sound_model = sounds_of(options, session)
    kit = tuple(first_of(sound_model, sound) for sound in sounds)
    matplotlib.rcParams["toolbar"] = "None"
    if options.web or options.port:
        matplotlib.use("webagg")
    from matplotlib import pyplot

    if matplotlib.get_backend().lower() in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template"):
        print("No GUI toolkit, or no display: the window opens in a browser instead.")
        pyplot.switch_backend("webagg")
    web = matplotlib.get_backend().lower() == "webagg"
    player = Player(kit, bpm=options.bpm or TEMPO, latency=options.latency and options.latency / 1000)
    with open(options.log or os.devnull, "a", encoding="utf-8") as log, contextlib.closing(player):
        figure = pyplot.figure("Drum map", figsize=(13, 7), dpi=100)
        figure.canvas.mpl_disconnect(figure.canvas.manager.key_press_handler_id)  # matplotlib's own s, r, h, ...
        if options.midi_out or options.midi_in:
            player.set_midi(midi_of(options))
        editor = PatternEditor(model, kit, player, options.save_to, options.bpm or TEMPO,
                               constraints_of(options, model), options.seed, log)
        editor.feel, editor.mixer = feel_of(options), mixer_of(options)
        editor.evolve, editor.fill_every = options.evolve, options.fill_every
        editor.use_sounds(sounds, kit_paths(options)[1], sound_model, kit_seed_of(options))
        if session is not None:
            editor.begin_with(session)
        if options.follow:
            editor.toggle_follow()
            editor.past.clear()
            editor.saved = editor.state
        tk = matplotlib.get_backend().lower() == "tkagg"
        choose_file = file_dialog(figure) if tk else None
        window = Window(figure, editor, browser.stop if web else lambda: pyplot.close(figure), choose_file)
        signal.signal(signal.SIGINT, lambda *_: window.quit())
        if tk:  # the close button asks as q does; once shown, matplotlib leaves it at that
            figure.canvas.manager.show()
            figure.canvas.manager.window.protocol("WM_DELETE_WINDOW", window.ask_to_quit)
        timer = figure.canvas.new_timer(83 if web else 5)  # milliseconds, from the end of one frame to the next
        timer.add_callback(window.tick)
        with contextlib.closing(editor), editor.autosaving():
            if web:
                browser.serve(figure, "Drum map", options.port or 0, on_start=timer.start, on_close=editor.stop)
            else:
                timer.start()
                pyplot.show()
        editor.log("end", underruns=player.underruns)


def main(argv=None):
    """Open the window, return {}; or, with a source of bars, print them and write what is asked for.

    Returns then {"bars": uint8 (bars, 8, 64), "facts": one of each bar drawn, or None, "written": [paths]}.
    """
    parser = make_parser(__doc__)
    options = parser.parse_args(argv)
    if options.midi_ports:
        for direction, names in zip(("out", "in"), port_names()):
            print(*(f"--midi-{direction} {name!r}" for name in names or ["none but one of its own"]), sep="\n")
        return {}
    if check_options(parser, options):
        open_window(options)
        return {}
    state, bars, facts, model = chosen_state(options)
    bars = edit(bars, options)
    if options.bars:
        bars, facts = bars[np.arange(options.bars) % len(bars)], facts and facts[:options.bars]  # again, or cut
    sounding = {"wav": options.wav, "stems": options.stems, "kit": options.save_kit, "sfz": options.sfz,
                "hydrogen": options.hydrogen}
    kit = session = None
    if options.midi or options.save_session or any(sounding.values()):
        character = character_of(options, bars, facts) if options.follow else None
        sounds, sound_model = sounds_of(options, state, character)
        session = session_of(options, replace(state, sounds=sounds, follow=options.follow or state.follow), bars, model)
        kit = [whole(sound_model, sound) for sound in sounds] if any(sounding.values()) else None
    written = write_all(bars, state.bpm, kit, state.feel, state.mixer, options.bits, options.tail, session,
                        npy=options.npy, midi=options.midi, png=options.png, json=options.save_session, **sounding)
    if len(bars) <= MOST_PRINTED or not (options.points or options.song is not None):
        print(*map(as_text, bars), sep="\n\n")
    for i, fact in enumerate(facts or (), start=1):
        print(f"{f'your bar {i}' if options.like else f'bar {i}'}: {in_words(fact)}")
    print(f"{len(bars)} bar{'s' * (len(bars) > 1)}, {np.count_nonzero(bars)} hits"
          + (f"; wrote {', '.join(map(str, written))}" if written else ""))
    return {"bars": bars, "facts": facts, "written": written}


if __name__ == "__main__":
    run(main)
