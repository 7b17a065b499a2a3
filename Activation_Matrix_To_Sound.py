"""Click in a map of drum patterns: see the pattern, and hear it loop. The window, and the same acts without one.

python Activation_Matrix_To_Sound.py                                   # the window (h shows its keys)
python Activation_Matrix_To_Sound.py --web                             # the same window in a browser
python Activation_Matrix_To_Sound.py --at 0.5 -1 --wav bar.wav         # a point of the map, no window
python Activation_Matrix_To_Sound.py --random 8 --seed 3 --midi eight.mid --png eight.png
python Activation_Matrix_To_Sound.py --pattern Dataset_Drum_Groove_Midi/HOUSE1.mid --wav house.wav --bpm 124

--at, --random and --pattern print the bars as text and write what is asked for; the same options give the same bytes.
"""

import argparse
import contextlib
from pathlib import Path

import numpy as np

import drum_map
import sequencer
from command_line import Parser, number, run
from Midi_To_Activation_Matrix import INSTRUMENTS, STEPS_PER_BAR, as_text, load_patterns
from window import FASTEST, SLOWEST, Window, write_all

HERE = Path(__file__).resolve().parent
MODEL = HERE / "pretrained" / "bernoulli_map.pt"
FRAMES_PER_SECOND, WEB_FRAMES_PER_SECOND = 30, 12
MOST_BARS = 1000  # at once: half an hour at 120 bpm


def open_model(path):
    """Load a model that draws drum bars. Raises OSError or ValueError, in words that say what to do."""
    if path == MODEL and not path.exists():
        raise FileNotFoundError(f"{path}: no such file; train a map with `python train_bernoulli.py`, then give the "
                                "best.pt of its run with --model")
    import torch

    import training

    torch.set_num_threads(1)  # one bar is too small to share out, and the sound wants the other cores
    model = training.load_model(path)
    if not hasattr(model, "draw") or tuple(model.shape) != (len(INSTRUMENTS), STEPS_PER_BAR):
        raise ValueError(f"{path}: expected a model of drum bars (a BernoulliVAE of 8 x 64), found another "
                         f"{type(model).__name__}")
    return model


def chosen_bars(options):
    """The bars that --at, --random or --pattern ask for: uint8, (bars, 8, 64)."""
    if options.pattern:
        if options.pattern.is_dir():
            raise IsADirectoryError(f"{options.pattern}: expected a MIDI file or a .npy matrix, found a folder")
        bars = load_patterns(options.pattern)[0]
        if len(bars) > MOST_BARS and not options.bars:
            raise ValueError(f"{options.pattern}: expected at most {MOST_BARS} bars, found {len(bars)}; "
                             "--bars N takes the first N")
    else:
        model = open_model(options.model)
        codes = ([drum_map.Plane(model).to_code(*options.at)] if options.at else
                 [drum_map.random_code(model.config["latent"], options.seed or 0, i) for i in range(options.random)])
        seed = options.seed or 0  # each bar has noise of its own: one noise for all would give them a common accent
        bars = np.stack([drum_map.decode(model, code, options.density, seed + i) for i, code in enumerate(codes)])
    if options.bars:
        bars = bars[np.arange(options.bars) % len(bars)]  # again from the first, or cut, to fill the length
    return bars


# The window ------------------------------------------------------------------------------------------------------

def open_window(options):
    """Open the window, in a browser where that is asked for or nothing else is there, until it is closed."""
    import signal

    import matplotlib

    import browser

    kit, model = sequencer.load_kit(options.kit), open_model(options.model)
    matplotlib.rcParams["toolbar"] = "None"
    if options.web or options.port:
        matplotlib.use("webagg")
    from matplotlib import pyplot

    if matplotlib.get_backend().lower() in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template"):
        print("No GUI toolkit, or no display: the window opens in a browser instead.")
        pyplot.switch_backend("webagg")
    web = matplotlib.get_backend().lower() == "webagg"
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(options.log, "a", encoding="utf-8")) if options.log else None
        player = sequencer.Player(kit, bpm=options.bpm)
        stack.callback(player.close)
        figure = pyplot.figure("Drum map", figsize=(13, 7), dpi=100)
        figure.canvas.mpl_disconnect(figure.canvas.manager.key_press_handler_id)  # matplotlib's own s, r, h, ...
        window = Window(figure, model, kit, player, options.save_to, options.bpm, options.density, options.seed, log,
                        leave=browser.stop if web else lambda: pyplot.close(figure))
        signal.signal(signal.SIGINT, lambda *_: window.quit())
        timer = figure.canvas.new_timer(1000 // (WEB_FRAMES_PER_SECOND if web else FRAMES_PER_SECOND))
        timer.add_callback(window.tick)
        if web:
            browser.serve(figure, "Drum map", options.port or 0, started=timer.start, left=window.stop)
        else:
            timer.start()
            pyplot.show()
        window.log("end", underruns=player.underruns)


def file_named(*suffixes):
    """An argparse type: a path that ends in one of the suffixes."""

    def parse(text):
        if Path(text).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"expected a name that ends in {' or '.join(suffixes)}, found {text!r}")
        return Path(text)

    return parse


def main(argv=None):
    """Open the window; or, for a point, random points or a file, print the bars and write what is asked for.

    Returns {"bars": uint8 (bars, 8, 64), "written": [paths]} without a window, {} after one.
    """
    parser = Parser(__doc__)
    group = parser.add_argument_group("without a window")
    source = group.add_mutually_exclusive_group()
    coordinate = number(float, -100, 100)
    source.add_argument("--at", nargs=2, type=coordinate, metavar=("X", "Y"), help="one bar: a point of the map")
    source.add_argument("--random", type=number(int, 1, MOST_BARS), metavar="N", help="N bars: random points in turn")
    source.add_argument("--pattern", type=Path, metavar="FILE", help="the bars of a MIDI file or of a .npy matrix")
    group.add_argument("--bars", type=number(int, 1, MOST_BARS), metavar="N",
                       help="length in bars: the pattern repeats, or is cut, to fill it (default: the pattern once)")
    group.add_argument("--wav", type=file_named(".wav"), help="write the sound, as a loop: its tails wrap to its start")
    group.add_argument("--midi", type=file_named(".mid", ".midi"), help="write a MIDI file")
    group.add_argument("--png", type=file_named(".png"), help="write a picture")
    group.add_argument("--npy", type=file_named(".npy"), help="write the bars: uint8 (bars, 8, 64), velocities")
    group = parser.add_argument_group("with a window or without")
    group.add_argument("--bpm", type=number(float, SLOWEST, FASTEST), default=120, help="tempo (default: 120)")
    group.add_argument("--density", type=number(int, 0, len(INSTRUMENTS) * STEPS_PER_BAR), metavar="HITS",
                       help="hits a bar (default: as many as the model expects at the point)")
    group.add_argument("--seed", type=number(int, 0, 2**32 - 1),
                       help="of what is random (default: 0; for the window's random points, always another)")
    group.add_argument("--model", type=Path, default=MODEL, help="checkpoint (default: pretrained/bernoulli_map.pt)")
    group.add_argument("--kit", type=Path, default=sequencer.KIT,
                       help="folder of eight sounds (default: dataset_audio/kit)")
    group = parser.add_argument_group("the window")
    group.add_argument("--web", action="store_true",
                       help="in a browser of this machine, at the address that is printed")
    group.add_argument("--port", type=number(int, 1, 65535), help="port of --web (default: any that is free)")
    group.add_argument("--save-to", type=Path, default=HERE / "saved_patterns", metavar="FOLDER",
                       help="where Save writes pattern_001, pattern_002, ... (default: saved_patterns)")
    group.add_argument("--log", type=Path, metavar="FILE",
                       help="append every act to FILE, each a JSON line with its time")
    options = parser.parse_args(argv)

    windowless = options.at or options.random or options.pattern
    for name in ("bars", "wav", "midi", "png", "npy") if not windowless else ("web", "port", "log"):
        if getattr(options, name):
            reason = "is for the window, not for" if windowless else "needs one of"
            parser.error(f"--{name}: {reason} --at, --random, --pattern")
    if options.pattern and options.density is not None:
        parser.error("--density: is for points of the map; a --pattern has the hits it has")
    if not windowless:
        open_window(options)
        return {}
    bars = chosen_bars(options)
    kit = sequencer.load_kit(options.kit) if options.wav else None
    written = write_all(bars, options.bpm, kit, options.npy, options.midi, options.wav, options.png)
    print(*map(as_text, bars), sep="\n\n")
    print(f"{len(bars)} bar{'s' * (len(bars) > 1)}, {np.count_nonzero(bars)} hits"
          + (f"; wrote {', '.join(map(str, written))}" if written else ""))
    return {"bars": bars, "written": written}


if __name__ == "__main__":
    run(main)
