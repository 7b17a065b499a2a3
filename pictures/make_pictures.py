"""Draw the pictures that README shows of the window and of the sounds that the shipped model makes, without a screen.

python pictures/make_pictures.py       # writes window.png, window_parts.png, window_sounds.png and made_sounds.png
python pictures/make_pictures.py --out some_folder
python pictures/make_pictures.py --only sounds --model runs/mine --data my_sounds      # of one's own model
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / folder) for folder in ("", "dataset_audio")]

# before anything that imports torch
from command_line import ROOT, Parser, run

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

from Activation_Matrix_To_Sound import MODEL, open_model
from sounds.kits import kit_of_model
from editor.pattern_editor import PatternEditor
from formats.activation_matrix import INSTRUMENTS
from formats.kit import load_kit
from learning.figures import draw_spectrograms
from make_sounds import make_sound
from sounds.codes import load_sound_model, random_codes
from sounds.dataset import load_one_shots, split_by_machine
from sounds.spectrograms import spectrogram_of
from sounds.synthesis import synthesise
from window.view import SIZE
from window.widgets import ACCENT, BACKGROUND, TEXT
from window.window import Window

POINT = (0.42, 1.9)  # of the map, whose bar is shown
PARTS = (  # the area that a number marks, and where in its box; what it is and does
    ("map", 0, 1, "Map: click a point, drag to morph, scroll to zoom"),
    ("any style", 0, 1, "Styles: bars in the style that is clicked"),
    ("Song", 0, 1, "Song: your patterns, one after the other"),
    ("Sounds", 0, 1, "Sounds: another kit, other drums"),
    ("Mixer", 0, 1, "Mixer: level, pan, tune, decay of each row"),
    ("slot A", 0, 1, "Slots A to H: a pattern in each"),
    ("bar", 0.3, 1, "Bar: click, draw along, drag up to strike harder"),
    ("Kick", 0, 1, "Rows: click a name to lock its row"),
    ("Kick hits", 0, 1, "Hits of a row: one fewer, one more"),
    ("Density", 0, 1, "What is drawn: hits, steady or fill, temperature"),
    ("Tight", 0, 1, "How it is played: tight, swing, evolving"),
    ("Random", 0, 1, "Random: another point of the map"),
    ("Variation", 0, 1, "Variation; with Shift the same score played anew"),
    ("Path", 0, 1, "Path: bars from one point to another"),
    ("Morph", 0, 1, "Morph: a slider from one bar to another"),
    ("Open", 0, 1, "Open: a bar or a session of yours"),
    ("Play", 0, 1, "Play and stop"),
    ("Record", 0, 1, "Record what you play by keys or pads"),
    ("Tempo", 0, 1, "Tempo, while it plays"),
    ("Undo", 0, 1, "Undo: the state before the last command"),
    ("Save", 0, 1, "Save: MIDI, WAV, PNG; with Shift everything"),
    ("?", 0, 1, "All keys"))
SOUND_MODEL = ROOT / "pretrained" / "sound_vae.pt"
ROW, MADE = 1, frozenset(range(6))  # of the sound map that is shown; those whose sounds are made
EACH, UNHEARD = 6, 1  # sounds of a class in each row; seed of machines of ours that no model has heard
COLUMNS, LINE, MARGIN = 3, 26, 18  # of the list below the window; pixels


class NoSound:
    """The methods of Player, in silence; the playhead stands."""

    underruns, message, followed_bpm = 0, "", None

    def open(self):
        pass

    def play(self, bars, feel, when="now", count_in=0):
        pass

    def set_kit(self, kit):
        pass

    def strike(self, row):
        pass

    def stop(self):
        pass

    def take_notes(self):
        return []

    def position(self):
        return 0, 22


def draw_window(model):
    """The window at POINT, once all of its map is drawn: (window, pixels uint8 (height, width, 4))."""
    figure = Figure(figsize=np.divide(SIZE, 100), dpi=100)
    FigureCanvasAgg(figure)
    kit = load_kit()
    editor = PatternEditor(model, kit, NoSound(), None)
    editor.use_sounds(kit, SOUND_MODEL)
    window = Window(figure, editor)
    figure.canvas.draw()
    editor.go_to(editor.plane.to_code(*POINT), "This point")
    while len(editor.hit_density.left):
        window.tick()
    return window, pixels_of(window)


def pixels_of(window):
    """What a window shows: uint8 (height, width, 4)."""
    window.canvas.draw()
    return np.asarray(window.canvas.buffer_rgba()).copy()


def draw_sounds_page(window):
    """The page of sounds of a window, with a made kit and the whole sound map of ROW: its pixels."""
    editor = window.editor
    editor.sounds = tuple(made if row in MADE else sound for row, (sound, made) in enumerate(
        zip(editor.sounds, kit_of_model(editor.sound_model(), 1))))
    editor.kit = editor.whole_kit()
    window.view.show_page("Sounds")
    window.view.show_sound_map(ROW)
    while len(editor.sound_plane(ROW).left):
        window.tick()
    editor.show_message("Kit 1: sounds that belong together, but for the 2 kept.")
    editor.sound_locks = frozenset(range(len(editor.sounds))) - MADE
    return pixels_of(window)


def draw_parts(view, pixels):
    """The window with a number at each of its parts, above a list of them: a Figure."""
    height, width = pixels.shape[:2]
    rows = -(-len(PARTS) // COLUMNS)
    total = height + LINE * rows + 2 * MARGIN
    figure = Figure(figsize=(width / 100, total / 100), dpi=100, facecolor=BACKGROUND)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(total, 0))
    axes.set_axis_off()
    axes.imshow(pixels, extent=(0, width, height, 0), interpolation="nearest")
    for index, (name, across, up, words) in enumerate(PARTS):
        place = view.pixel_of(name, across, up)
        column, row = divmod(index, rows)
        x = MARGIN + 16 + column * (width - MARGIN) / COLUMNS
        y = height + MARGIN + LINE * (row + 0.5)
        for centre in ((place[0], height - place[1]), (x, y)):
            axes.plot(*centre, "o", markersize=15, color=ACCENT, markeredgecolor=BACKGROUND, markeredgewidth=1.5)
            axes.text(*centre, str(index + 1), color=BACKGROUND, fontsize=8.5, fontweight="bold", ha="center",
                      va="center_baseline")
        axes.text(x + 18, y, words, color=TEXT, fontsize=10, va="center_baseline")
    return figure


def unheard_sounds(model, folder, source):
    """EACH sounds of each class of machines that the model has not heard, a list of lists of (samples,).

    folder: sounds whose test side is its own, or None for new machines of ours.
    """
    rate, seconds = model.sound["rate"], model.sound["settings"]["seconds"]
    if folder is None:
        return [[make_sound(UNHEARD, machine, name, 0)[1][:round(rate * seconds)] for machine in range(EACH)]
                for name in INSTRUMENTS]
    waves, labels, paths, _ = load_one_shots(folder, rate, seconds)
    test = split_by_machine([path.stem for path in paths], model.fold)["test"]
    members = [source.permutation(test[labels[test] == row])[:EACH] for row in range(len(INSTRUMENTS))]
    return [[waves[i] for i in group] for group in members]


def draw_sounds(model, folder, path):
    """Real sounds of machines unheard over made ones, a pair of rows a class, as a PNG."""
    numbers = list(range(len(INSTRUMENTS) * EACH))
    codes, kits = random_codes(model, numbers, seed=1)
    made = synthesise(model, codes, torch.tensor(numbers) % len(INSTRUMENTS), 1, numbers, kits)
    real = unheard_sounds(model, folder, np.random.default_rng(0))
    rows = [group for row in range(len(INSTRUMENTS)) for group in (real[row], made[row::len(INSTRUMENTS)])]
    pictures = [[spectrogram_of(sound, model.sound["settings"]).numpy() for sound in group] for group in rows]
    draw_spectrograms(pictures, [[""] * len(group) for group in rows], path, low=model.sound["floor_db"],
                      row_names=[f"{name}, {kind}" for name in INSTRUMENTS for kind in ("real", "made")])


def main(argv=None):
    """Return the paths of the pictures."""
    parser = Parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, metavar="FOLDER",
                        help="where they are written (default: beside this script)")
    parser.add_argument("--only", choices=("window", "sounds"), help="these alone")
    parser.add_argument("--model", type=Path, default=SOUND_MODEL, help="of sounds (default: the shipped one)")
    parser.add_argument("--data", type=Path, metavar="FOLDER",
                        help="the sounds it was trained on, to show its test side (default: new machines of ours)")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    paths = []
    if options.only != "sounds":
        window, pixels = draw_window(open_model(MODEL))
        paths += [options.out / name for name in ("window.png", "window_parts.png", "window_sounds.png")]
        imsave(paths[0], pixels)
        draw_parts(window.view, pixels).savefig(paths[1])
        imsave(paths[2], draw_sounds_page(window))
    if options.only != "window":
        paths.append(options.out / "made_sounds.png")
        draw_sounds(load_sound_model(options.model), options.data, paths[-1])
    print(*paths, sep="\n")
    return paths


if __name__ == "__main__":
    run(main)
