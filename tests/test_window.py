"""The window without a screen (an Agg canvas, a player that only remembers), and the script without a window."""

from dataclasses import replace
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backend_bases import MouseEvent, ResizeEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.decomposition import PCA
from tiny_map import write_tiny_map

import Activation_Matrix_To_Sound
import models
from editor.controls import FASTEST, HOTTEST, SLOWEST
from session.folder import next_name
from session.session_file import read_session
from editor.pattern_editor import PatternEditor
from engine import sequencer
from engine.player import AudioUnavailable
from formats import checkpoint
from formats.midi_file import read_parts
from engine.mixer import Mixer
from formats.kit import load_kit, plain_sound
from Midi_To_Activation_Matrix import load_patterns, read_bars, write_midi
from patterns import latent_map, sampling
from patterns.feel import Feel, time_offsets
from window import widgets
from window.panel import shorten
from window.view import HELP
from window.window import EDITOR_KEYS, HINTS, WINDOW_KEYS, Window
import command_line
from patterns.sampling import CLICK, Constraints

ROOT = Path(__file__).resolve().parent.parent
main = Activation_Matrix_To_Sound.main


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.pt"
    write_tiny_map(path)
    return path


@pytest.fixture(scope="module")
def model(model_path):
    return Activation_Matrix_To_Sound.open_model(model_path)


@pytest.fixture(scope="module")
def kit_folder(tmp_path_factory):
    """Eight short, different clicks."""
    folder = tmp_path_factory.mktemp("kit")
    for i, name in enumerate(("Kick", "Snare", "Clap", "HHO", "HHC", "Tom", "Cymb", "Percu")):
        decay = np.exp(-np.arange(2000) / 300) * np.sin(np.arange(2000) * 0.05 * (i + 1))
        soundfile.write(folder / f"{name}.wav", (0.3 * decay).astype(np.float32), 44100, "FLOAT")
    return folder


@pytest.fixture
def command(monkeypatch, capsys, model_path, kit_folder):
    """Run the script as a person does: (exit status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["Activation_Matrix_To_Sound.py", "--model", str(model_path),
                                          "--kit", str(kit_folder), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            command_line.run(main)
        return end.value.code, *capsys.readouterr()

    run.model = model_path
    return run


def a_bar():
    """A rock bar, drawn by hand: every hit as loud as the others."""
    bar = np.zeros((8, 64), np.uint8)
    bar[0, [0, 32, 40]] = bar[1, [16, 48]] = bar[4, ::8] = 100
    return bar


class SilentPlayer:
    """The methods of Player; remembers what was asked of it."""

    def __init__(self, reason=None):
        self.reason, self.bars, self.bpm, self.bar, self.step, self.underruns = reason, None, None, 0, 0, 0
        self.kit, self.mixer, self.struck = None, Mixer(), []
        self.latency, self.message, self.followed_bpm = 0.04, "", None

    def open(self):
        if self.reason:
            raise AudioUnavailable(self.reason)

    def play(self, bars, feel, when="now", count_in=0):
        self.open()
        self.bars, self.feel = bars.copy(), feel

    def stop(self):
        self.bars = None

    def set_bpm(self, bpm):
        self.bpm = bpm

    def set_kit(self, kit):
        self.kit = kit

    def set_mixer(self, mixer):
        self.mixer = mixer

    def set_metronome(self, on):
        self.metronome = on

    def take_notes(self):
        return []

    def strike(self, row, velocity=100):
        self.struck.append(row)

    def position(self):
        return None if self.bars is None else (self.bar, self.step)


def make_window(model, folder, player=None, size=(1300, 700), **options):
    figure = Figure(figsize=np.divide(size, 100), dpi=100)
    FigureCanvasAgg(figure)
    kit = (plain_sound("a", np.full(100, 0.1)),) * 8
    hands = {name: options.pop(name) for name in ("leave", "choose_file") if name in options}
    window = Window(figure, PatternEditor(model, kit, player or SilentPlayer(), folder, **options), **hands)
    figure.canvas.draw()
    return window


@pytest.fixture
def window(model, tmp_path):
    return make_window(model, tmp_path / "saved", seed=5)


@pytest.fixture(scope="module")
def used_window(model, tmp_path_factory):
    """One window for all the examples of a property: whatever was done before, it holds."""
    return make_window(model, tmp_path_factory.mktemp("saved"), seed=1)


def mouse(window, kind, axes, x, y, button=1):
    """A mouse event at a data point of axes, as a backend sends it."""
    left, bottom = axes.transData.transform((x, y))
    button = None if kind == "motion_notify" else button
    MouseEvent(f"{kind}_event", window.canvas, left, bottom, button=button)._process()


def click(window, axes, x, y):
    mouse(window, "button_press", axes, x, y)
    mouse(window, "button_release", axes, x, y)


def area_event(window, kind, name, x=0.5, y=0.5, **details):
    """A mouse event at a place of the picture that has a name, at fractions of its box."""
    if kind == "button_press":
        details = {"button": 1, **details}
    MouseEvent(f"{kind}_event", window.canvas, *window.view.pixel_of(name, x, y), **details)._process()


def press_slider(window, name, value):
    """Click where a value is on a slider's track."""
    press_area(window, name, window.view.sliders[name].across(value))


def press_area(window, name, x=0.5, y=0.5):
    area_event(window, "button_press", name, x, y)
    area_event(window, "button_release", name, x, y)


def pixels(window):
    return np.asarray(window.canvas.buffer_rgba()).copy()


def notes_of(path):
    """All of a MIDI file but for the session that it carries."""
    parts, *others = read_parts(path)
    return [(name, channel, hits.tolist()) for name, channel, hits in parts], others


def state(window):
    editor = window.editor
    return editor.codes.tobytes(), editor.bars.tobytes(), str(editor.constraints), editor.locks


# Without a window --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("source", [
    ["--at", 0.4, -1], ["--random", 3, "--seed", 9, "--density", 12], ["--at", 0, 1, "--style", "jazz", "--nearest"],
    ["--random", 2, "--row-hits", "Kick=4", "tom=0", "--temperature", 0.5], ["--path", 0, 1, 1, 0, "--bars", 4],
    ["--like", "own.mid"], ["--pattern", "own.mid", "--lock", "Kick", "hhc", "--random", 2],
    ["--pattern", "own.mid", "--humanise"]], ids=lambda words: " ".join(map(str, words)))
def test_the_same_options_give_the_same_bytes(command, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    write_midi(a_bar(), tmp_path / "own.mid")
    written = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        paths = [folder / f"bar.{kind}" for kind in ("npy", "mid", "wav", "png")]
        status, _, errors = command(*source, "--bpm", 133, "--npy", paths[0], "--midi", paths[1], "--wav", paths[2],
                                    "--png", paths[3])
        assert (status, errors) == (0, "")
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]


def test_every_output_holds_the_bars_that_are_returned(model_path, kit_folder, tmp_path):
    npy, midi, wav, png = (tmp_path / f"new/bars.{kind}" for kind in ("npy", "mid", "wav", "png"))
    result = main(["--random", "3", "--seed", "1", "--bpm", "97", "--model", str(model_path), "--kit", str(kit_folder),
                   "--npy", str(npy), "--midi", str(midi), "--wav", str(wav), "--png", str(png)])
    bars = result["bars"]
    assert bars.shape == (3, 8, 64) and bars.dtype == np.uint8 and set(result["written"]) == {npy, midi, wav, png}
    assert np.array_equal(np.load(npy), bars)
    assert np.array_equal(read_bars(midi), bars)
    samples, rate = soundfile.read(wav)
    expected = sequencer.render(bars, load_kit(kit_folder), 97)
    assert rate == 44100 and len(samples) == round(3 * 240 / 97 * 44100)
    assert np.abs(samples - expected).max() < 2 ** -22
    assert png.read_bytes()[1:4] == b"PNG"


def test_a_random_bar_is_the_same_whatever_their_number(model_path):
    few, many, other = (main(["--random", n, "--seed", seed, "--model", str(model_path)])["bars"]
                        for n, seed in (("2", "4"), ("5", "4"), ("2", "5")))
    assert np.array_equal(few, many[:2])
    assert not np.array_equal(few, other)
    assert len({bar.tobytes() for bar in many}) == 5


@pytest.mark.parametrize("hits", [0, 1, 17, 300, 512])
def test_density_is_the_exact_number_of_hits(model_path, hits):
    bars = main(["--random", "2", "--density", str(hits), "--model", str(model_path)])["bars"]
    assert [np.count_nonzero(bar) for bar in bars] == [hits, hits]


def test_every_source_says_where_its_bars_lie_and_how_new_they_are(command, model, tmp_path):
    write_midi(a_bar(), tmp_path / "own.mid")
    status, output, _ = command("--like", tmp_path / "own.mid")
    fact = main(["--like", str(tmp_path / "own.mid"), "--model", str(command.model)])["facts"][0]
    point = latent_map.LatentPlane(model).from_codes(sampling.encode(model, a_bar()[None])[0])
    indices, cells = latent_map.TrainingBars(model).nearest(a_bar(), 3)
    assert status == 0 and fact["hits"] == 13 and np.allclose(fact["point"], point, atol=1e-6)
    assert fact["novelty"] == cells[0] and [near[1] for near in fact["nearest"]] == cells.tolist()
    x, y = fact["point"]
    assert f"your bar 1: 13 hits at {x:.2f} {y:.2f}" in output and f"{cells[0]} cells off at" in output


def test_like_gives_as_many_hits_as_the_bar_has(command, tmp_path):
    write_midi(a_bar(), tmp_path / "own.mid")
    bars = main(["--like", str(tmp_path / "own.mid"), "--model", str(command.model)])["bars"]
    assert np.count_nonzero(bars) == 13


def test_nearest_gives_the_bar_that_was_played(command, model):
    point = model.map["codes"][7].tolist()
    result = main(["--at", *map(str, point), "--nearest", "--model", str(command.model)])
    plain = main(["--at", *map(str, point), "--model", str(command.model)])
    bar, played = result["bars"][0], latent_map.TrainingBars(model)
    assert played.nearest(bar)[1][0] == 0
    assert np.count_nonzero((bar > 0) != (plain["bars"][0] > 0)) == result["facts"][0]["novelty"]


@pytest.mark.parametrize("where", [[], ["--at", "0.5", "1"], ["--random", "5"],
                                   ["--path", "0", "0", "1", "1", "--no-fills"]], ids=" ".join)
def test_lock_keeps_rows_of_a_file_and_redraws_the_rest(command, tmp_path, where):
    np.save(tmp_path / "own.npy", np.stack([a_bar(), a_bar()[:, ::-1]]))
    own = np.load(tmp_path / "own.npy")
    bars = main(["--pattern", str(tmp_path / "own.npy"), "--lock", "Kick", "snare", *where, "--density", "30",
                 "--model", str(command.model)])["bars"]
    assert len(bars) == {"--random": 5, "--path": 8}.get(where[0] if where else None, 2)
    for i, bar in enumerate(bars):
        if "--path" in where:
            i = 0
        assert np.array_equal(bar[:2], own[i % 2][:2]) and np.count_nonzero(bar) == 30
        assert not np.array_equal(bar[2:], own[i % 2][2:])


def test_humanise_keeps_every_hit(command, tmp_path):
    write_midi(a_bar(), tmp_path / "own.mid")
    bars = main(["--pattern", str(tmp_path / "own.mid"), "--humanise", "--model", str(command.model)])["bars"]
    assert np.array_equal(bars[0] > 0, a_bar() > 0) and len(np.unique(bars)) > 5


def test_a_path_has_its_ends_at_its_points(command):
    ends = (["0.5", "-1"], ["-1", "1"])
    options = ["--model", str(command.model), "--style", "rock"]
    bars = main(["--path", *ends[0], *ends[1], "--bars", "5", "--no-fills", *options])["bars"]
    assert len(bars) == 5
    for bar, end in ((bars[0], ends[0]), (bars[-1], ends[1])):
        assert np.array_equal(bar, main(["--at", *end, *options])["bars"][0])
    assert len(main(["--path", *ends[0], *ends[1], *options])["bars"]) == 8


def test_points_give_the_bars_that_clicks_give_however_many_there_are(command, window, tmp_path):
    points = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    np.save(tmp_path / "points.npy", points)
    status, output, errors = command("--points", tmp_path / "points.npy", "--seed", 5, "--npy", tmp_path / "bars.npy")
    bars = np.load(tmp_path / "bars.npy")
    assert (status, errors) == (0, "") and bars.shape == (40, 8, 64) and bars.dtype == np.uint8
    assert output.count("\n") == 1 and output.startswith(f"40 bars, {np.count_nonzero(bars)} hits")
    for point, bar in zip(points[:5].tolist(), bars):
        window.editor.go_to(window.editor.plane.to_code(*point), "A point")
        assert np.array_equal(window.editor.bar, bar)
    np.save(tmp_path / "points.npy", points[:3])
    status, output, _ = command("--points", tmp_path / "points.npy", "--seed", 5)
    assert output.count("|") == 3 * 8 * 5 and "bar 3:" in output


@pytest.mark.parametrize("points", [np.zeros((3, 3)), np.zeros((0, 2)), np.full((2, 2), np.nan), np.full((2, 2), 101),
                                    np.array([["0", "0"]])], ids=["shape", "none", "nan", "far", "text"])
def test_points_that_are_none_name_their_file(command, tmp_path, points):
    np.save(tmp_path / "points.npy", points)
    status, output, errors = command("--points", tmp_path / "points.npy")
    assert (status, output) == (2, "") and errors.count("\n") == 1 and "points.npy: expected" in errors


def test_too_many_points_for_a_sound_are_one_line(command, tmp_path):
    np.save(tmp_path / "points.npy", np.zeros((1001, 2)))
    status, _, errors = command("--points", tmp_path / "points.npy", "--midi", tmp_path / "a.mid")
    assert status == 2 and "expected at most 1000 bars but for --npy, found 1001" in errors
    assert not (tmp_path / "a.mid").exists()


def test_bars_repeats_the_pattern_or_cuts_it(model_path):
    once, longer, shorter = (main(["--random", "3", "--model", str(model_path), *more])["bars"]
                             for more in ([], ["--bars", "7"], ["--bars", "2"]))
    assert np.array_equal(longer, np.concatenate([once, once, once[:1]]))
    assert np.array_equal(shorter, once[:2])


def test_a_pattern_file_gives_its_bars_without_a_model(tmp_path):
    bars = np.zeros((2, 8, 64), np.uint8)
    bars[0, 0, ::16] = 110
    bars[1, 4, ::8] = 60
    write_midi(bars, tmp_path / "two.mid")
    np.save(tmp_path / "two.npy", bars)
    for name in ("two.mid", "two.npy"):
        found = main(["--pattern", str(tmp_path / name), "--model", str(tmp_path / "none.pt")])["bars"]
        assert np.array_equal(found, load_patterns(tmp_path / name)[0]) and np.array_equal(found, bars)


def test_the_feel_is_in_sound_and_midi_and_the_matrix_stays(command, kit_folder, tmp_path):
    np.save(tmp_path / "own.npy", a_bar())
    paths = [tmp_path / f"felt.{kind}" for kind in ("npy", "mid", "wav")]
    status, _, errors = command("--pattern", tmp_path / "own.npy", "--bpm", 90, "--npy", paths[0], "--midi", paths[1],
                                "--wav", paths[2], "--tight", 80, "--swing", 62.5, "--swing-of", "eighth",
                                "--push", "snare=12", "HHC=-5.5")
    assert (status, errors) == (0, "") and np.array_equal(np.load(paths[0])[0], a_bar())
    feel = Feel(80, 62.5, "eighth", {1: 12, 4: -5.5})
    samples = sequencer.render(a_bar(), load_kit(kit_folder), 90, feel=feel)
    assert np.abs(soundfile.read(paths[2])[0] - samples).max() < 2 ** -22
    write_midi(a_bar(), tmp_path / "expected.mid", 90, time_offsets(a_bar(), feel, 90), "felt")
    assert paths[1].read_bytes() == (tmp_path / "expected.mid").read_bytes()
    write_midi(a_bar(), tmp_path / "plain.mid", 90, name="felt")
    assert paths[1].read_bytes() != (tmp_path / "plain.mid").read_bytes()


def test_the_text_grid_shows_each_hit(command, tmp_path):
    bar = np.zeros((8, 64), np.uint8)
    bar[1, 16] = 127
    np.save(tmp_path / "one.npy", bar[None])
    _, output, _ = command("--pattern", tmp_path / "one.npy")
    rows = [line for line in output.splitlines() if "|" in line]
    assert len(rows) == 8 and "Snare" in rows[1]
    assert [set(row.split("|", 1)[1]) > {".", "|"} for row in rows] == [False, True] + 6 * [False]
    assert "1 bar, 1 hits" in output


@pytest.mark.parametrize("arguments", [
    ["--at", 1, 2, 3], ["--at", 1], ["--at", "nan", 0], ["--at", "inf", 0], ["--at", 1, "x"], ["--at", 1e9, 0],
    ["--random", 0], ["--random", -1], ["--random", 2.5], ["--random", 10 ** 9], ["--random", 1, "--seed", -1],
    ["--at", 0, 0, "--bpm", 1001], ["--bpm", 300], ["--at", 0, 0, "--bpm", "nan"], ["--at", 0, 0, "--bpm", 0],
    ["--at", 0, 0, "--density", 900], ["--at", 0, 0, "--density", -1], ["--at", 0, 0, "--bars", 0],
    ["--at", 0, 0, "--random", 2], ["--at", 0, 0, "--pattern", "a.mid"], ["--random", 2, "--pattern", "a.mid"],
    ["--wav", "a.wav"], ["--sfz", "a"], ["--bits", 16], ["--at", 0, 0, "--bits", 16], ["--at", 0, 0, "--tail"],
    ["--at", 0, 0, "--wav", "a.wav", "--bits", 20], ["--at", 0, 0, "--stems", "."], ["--bars", 3],
    ["--at", 0, 0, "--web"], ["--at", 0, 0, "--port", 8000], ["--port", 70000],
    ["--latency", 4], ["--at", 0, 0, "--latency", 40],
    ["--at", 0, 0, "--wav", "a.txt"], ["--at", 0, 0, "--png", "a.jpg"], ["--at", 0, 0, "--npy", "a"],
    ["--pattern", "own.npy", "--density", 3], ["--pattern", "own.npy", "--density", 0],
    ["--pattern", "own.npy", "--style", "rock"], ["--pattern", "own.npy", "--temperature", 0.5],
    ["--pattern", "own.npy", "--nearest", "--temperature", 0],
    ["--pattern", "no_such.mid"], ["--pattern", "."],
    ["--at", 0, 0, "--model", "no_such.pt"], ["--at", 0, 0, "--model", "broken.pt"],
    ["--at", 0, 0, "--model", "digits.pt"],
    ["--at", 0, 0, "--wav", "a.wav", "--kit", "no_such"], ["--at", 0, 0, "--wav", "a.wav", "--kit", "."],
    ["--pattern", "broken.mid"], ["--pattern", "shape.npy"], ["--pattern", "code.npy"],
    ["--at", 0, 0, "--midi", "same.mid", "--npy", "folder.npy"],
    ["--at", 0, 0, "--style", "polka"], ["--at", 0, 0, "--temperature", -1], ["--at", 0, 0, "--row-hits", "Kick"],
    ["--at", 0, 0, "--row-hits", "Bell=3"], ["--at", 0, 0, "--row-hits", "Kick=65"],
    ["--at", 0, 0, "--row-hits", "Kick=9", "--density", 5], ["--at", 0, 0, "--lock", "Kick"], ["--lock", "Kick"],
    ["--pattern", "own.npy", "--lock", "Bell"], ["--pattern", "own.npy", "--lock", "Kick", "--density", 2],
    ["--at", 0, 0, "--humanise"], ["--pattern", "own.npy", "--lock", "Kick", "--humanise"],
    ["--pattern", "own.npy", "--row-hits", "Kick=2"], ["--pattern", "own.npy", "--at", 0, 0],
    ["--pattern", "own.npy", "--path", 0, 0, 1, 1], ["--path", 0, 0, 1], ["--at", 0, 0, "--no-fills"], ["--nearest"],
    ["--like", "no_such.mid"], ["--like", "broken.mid"], ["--like", "own.npy", "--at", 0, 0],
    ["--like", "own.npy", "--pattern", "own.npy"], ["--like", "own.npy", "--lock", "Kick"],
    ["--at", 0, 0, "--midi", "a.mid", "--tight", 101], ["--at", 0, 0, "--midi", "a.mid", "--swing", 49],
    ["--at", 0, 0, "--midi", "a.mid", "--swing", 60, "--swing-of", "beat"],
    ["--at", 0, 0, "--midi", "a.mid", "--swing-of", "eighth"], ["--at", 0, 0, "--npy", "a.npy", "--tight", 50],
    ["--at", 0, 0, "--midi", "a.mid", "--push", "Kick=101"], ["--at", 0, 0, "--midi", "a.mid", "--push", "Bell=1"],
    ["--at", 0, 0, "--midi", "a.mid", "--push", "Kick"], ["--at", 0, 0, "--push", "Kick=5"],
    ["--points", "own.npy"], ["--points", "no_such.npy"], ["--points", "code.npy"], ["--points", "a.txt"],
    ["--at", 0, 0, "--points", "own.npy"], ["--pattern", "own.npy", "--points", "own.npy"],
    ["--at", 0, 0, "--steady", 1.1], ["--at", 0, 0, "--steady", "much"], ["--at", 0, 0, "--timing", "drummer1"],
    ["--pattern", "own.npy", "--steady", 0.5], ["--pattern", "own.npy", "--timing", "drummer1"],
], ids=lambda arguments: " ".join(map(str, arguments)))
def test_a_persons_error_is_one_line_and_leaves_everything_as_it_was(command, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    Path("broken.pt").write_bytes(b"no model")
    Path("broken.mid").write_bytes(b"MThd")
    Path("same.mid").write_bytes(b"precious")
    Path("folder.npy").mkdir()
    np.save("own.npy", a_bar())
    np.save("shape.npy", np.zeros((3, 3)))
    np.save("code.npy", np.array([print], dtype=object), allow_pickle=True)
    if "digits.pt" in arguments:
        checkpoint.save_checkpoint(Path("digits.pt"), models.BernoulliVAE(shape=(4, 4), hidden=(8,)))
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    status, output, errors = command(*arguments)
    assert status == 2 and output == ""
    assert errors.endswith("\n") and errors.count("\n") == 1 and "Traceback" not in errors
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["wav", "midi", "png", "npy"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line(command, tmp_path, kind):
    (tmp_path / f"x.{kind}").symlink_to("/dev/full")
    status, _, stderr = command("--at", 0, 0, f"--{kind}", tmp_path / f"x.{kind}")
    assert status == 2 and stderr.count("\n") == 1 and stderr.endswith(f"x.{kind}: No space left on device\n")


def test_a_pattern_of_many_hours_asks_for_a_length(command, tmp_path):
    np.save(tmp_path / "long.npy", np.zeros((5000, 8, 64), np.uint8))
    status, _, stderr = command("--pattern", tmp_path / "long.npy")
    assert status == 2 and stderr.endswith("expected at most 1000 bars, found 5000; --bars N takes the first N\n")
    assert command("--pattern", tmp_path / "long.npy", "--bars", 2)[0] == 0


def test_a_missing_map_says_how_to_train_one(tmp_path, monkeypatch):
    monkeypatch.setattr(Activation_Matrix_To_Sound, "MODEL", tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError, match="train_bernoulli.py"):
        Activation_Matrix_To_Sound.open_model(tmp_path / "none.pt")


def test_without_a_window_neither_toolkit_nor_sound_card_is_loaded(model_path, kit_folder, tmp_path):
    script = ("import sys, Activation_Matrix_To_Sound as script; script.main(sys.argv[1:]); "
              "bad = {'tkinter', 'matplotlib.pyplot', 'sounddevice'} & sys.modules.keys(); "
              "sys.exit(str(bad) if bad else 0)")
    result = subprocess.run([sys.executable, "-c", script, "--at", "0", "1", "--model", model_path, "--kit", kit_folder,
                             "--wav", tmp_path / "a.wav", "--png", tmp_path / "a.png"],
                            cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "a.png").exists()


# The map ---------------------------------------------------------------------------------------------------------

def test_a_wide_code_is_shown_in_the_plane_of_its_principal_components(tmp_path):
    model = write_tiny_map(tmp_path / "wide.pt", latent=7)
    plane = latent_map.LatentPlane(model)
    oracle = PCA(2).fit(model.map["codes"].double().numpy())
    assert np.allclose(np.abs(np.sum(plane.axes * oracle.components_, axis=1)), 1)
    assert np.allclose(np.abs(plane.points), np.abs(oracle.transform(model.map["codes"].double().numpy())), atol=1e-6)
    assert np.allclose(plane.from_codes(plane.to_code(0.7, -1.2)), (0.7, -1.2), atol=1e-6)


def test_two_dimensions_are_shown_as_they_are(model):
    plane = latent_map.LatentPlane(model)
    assert plane.to_code(0.25, -1.5).tolist() == [0.25, -1.5]
    assert np.allclose(plane.points, model.map["codes"].numpy())


def test_the_style_near_a_point_is_that_of_its_neighbours(model):
    plane = latent_map.LatentPlane(model)
    for label, name in enumerate(plane.names):
        middle = np.median(plane.points[plane.labels == label], axis=0)
        assert plane.style_near(*middle) == name


@pytest.mark.parametrize("latent", [1, 2, 5])
def test_a_model_without_codes_has_a_map_too(tmp_path, latent):
    model = write_tiny_map(tmp_path / "a.pt", latent=latent)
    model.map = None
    window = make_window(model, tmp_path)
    editor = window.editor
    click(window, window.view.map, 0.5, 0.25)
    assert editor.playing and editor.code[0] == pytest.approx(0.5, abs=0.01)
    assert "near" not in editor.describe()


def test_a_louder_hit_is_brighter_and_no_hit_is_the_ground():
    bar = np.zeros((8, 64), np.uint8)
    bar[0] = np.arange(1, 128, 2)
    colours = widgets.bar_pixels(bar)
    assert (np.diff(colours[0].sum(axis=1)) > 0).all()
    assert (colours[0].sum(axis=1) > colours[1:].sum(axis=2).max()).all()


# The window ------------------------------------------------------------------------------------------------------

def test_a_click_on_the_map_plays_the_bar_of_that_point(window, model_path):
    editor = window.editor
    click(window, window.view.map, 0.8, -0.3)
    assert np.array_equal(editor.player.bars, editor.bar[None])
    x, y = map(repr, editor.point())
    assert abs(float(x) - 0.8) < 0.02 and abs(float(y) + 0.3) < 0.02
    expected = main(["--at", x, y, "--seed", "5", "--model", str(model_path)])["bars"]
    assert np.array_equal(expected[0], editor.bar)


def test_the_random_button_goes_where_the_command_line_goes(window, model_path):
    expected = main(["--random", "3", "--seed", "5", "--model", str(model_path)])["bars"]
    for bar in expected:
        window.on_key("r")
        assert np.array_equal(window.editor.bar, bar)


def test_a_drag_decodes_once_a_frame_and_ends_where_it_is_let_go(window, monkeypatch):
    editor = window.editor
    count, draw = [], sampling.draw
    monkeypatch.setattr(sampling, "draw", lambda *arguments, **options: count.append(1) or draw(*arguments, **options))
    mouse(window, "button_press", window.view.map, 0, 0)
    for x in np.linspace(0, 1.2, 50):
        mouse(window, "motion_notify", window.view.map, x, 0.5)
    window.tick()
    assert len(count) == 2
    mouse(window, "motion_notify", window.view.map, 1.0, 1.0)
    mouse(window, "button_release", window.view.map, 1.0, 1.0)
    assert np.allclose(editor.point(), (1, 1), atol=0.02)
    assert np.array_equal(editor.bar, draw(editor.model, editor.codes, 5, CLICK)[0])
    assert np.array_equal(editor.player.bars[0], editor.bar)
    mouse(window, "motion_notify", window.view.map, -1, -1)  # no button: nothing moves
    window.tick()
    assert np.allclose(editor.point(), (1, 1), atol=0.02)


def test_a_drag_is_one_step_back(window):
    before = state(window)
    mouse(window, "button_press", window.view.map, 1, 0)
    for x in (0.5, -0.5, -1):
        mouse(window, "motion_notify", window.view.map, x, 1)
        window.tick()
    mouse(window, "button_release", window.view.map, -1, 1)
    window.editor.undo()
    assert state(window) == before


def test_a_model_without_styles_or_played_bars_shows_it_and_plays(tmp_path):
    model = write_tiny_map(tmp_path / "a.pt")
    model.styles = []
    del model.map["bars"]
    window = make_window(model, tmp_path)
    editor = window.editor
    click(window, window.view.map, 0.5, 0.5)
    before = state(window)
    for name, word in (("rock", "styles"), ("n", "training bars")):
        window.on_key(name) if len(name) == 1 else press_area(window, name)
        assert word in editor.message and state(window) == before
    window.tick()
    assert editor.playing and window.view.pages["Bar"].novelty_text() == ""
    assert window.view.map_view.neighbour_points() == ()


@given(row=st.integers(0, 7), step=st.integers(0, 63))
@settings(max_examples=10, deadline=None)
def test_a_click_on_the_bar_changes_one_hit_of_that_cell(used_window, row, step):
    window, editor = used_window, used_window.editor
    before, cell = editor.bar.copy(), step - step % 4
    there = np.flatnonzero(before[row, cell:cell + 4])
    click(window, window.view.grid, step, row)
    changed = np.argwhere(editor.bar != before)
    expected = min(there, key=lambda hit: abs(cell + hit - step)) + cell if len(there) else cell
    assert changed.tolist() == [[row, expected]] and (editor.bar[row, expected] > 0) == (not len(there))
    if not len(there):
        click(window, window.view.grid, step, row)
        assert np.array_equal(editor.bar, before)


@given(actions=st.lists(st.sampled_from(["r", "t", "left", "right", "a", "v", ">", "y", "n", "m",
                                            "point", "cell", "lock", "row", "path"]), min_size=1, max_size=8))
@settings(max_examples=15, deadline=None)
def test_undo_reverts_every_command_that_changed_the_bar(used_window, actions):
    window, editor = used_window, used_window.editor
    editor.past.clear()
    states = [state(window)]
    for i, action in enumerate(actions):
        if action == "point":
            click(window, window.view.map, 0.3 * i - 1, 0.2 * i)
        elif action == "cell":
            click(window, window.view.grid, 7 * i, i % 8)
        elif action in ("lock", "row"):
            press_area(window, {"lock": "Snare", "row": "Kick hits"}[action], 0.9)
        elif action == "path":
            window.on_key("p")
            window.on_key("3")
        else:
            window.on_key(action)
        window.tick()
        if state(window) != states[-1]:
            states.append(state(window))
    while len(states) > 1:
        states.pop()
        window.on_key("b")
        assert state(window) == states[-1]
    window.on_key("b")
    assert state(window) == states[0] and "nothing to undo" in editor.message


def test_density_is_the_models_own_until_the_slider_moves(window):
    editor = window.editor
    click(window, window.view.map, 0.5, 0.5)
    own = np.count_nonzero(editor.bar)
    press_slider(window, "Density", 40)
    window.tick()
    assert np.count_nonzero(editor.bar) == 40 and np.array_equal(editor.player.bars[0], editor.bar)
    click(window, window.view.map, -0.5, 0.2)
    assert np.count_nonzero(editor.bar) == 40  # and stays so at other points
    window.on_key("right")
    window.on_key("right")
    window.tick()
    assert np.count_nonzero(editor.bar) == 42
    window.on_key("a")
    click(window, window.view.map, 0.5, 0.5)
    assert np.count_nonzero(editor.bar) == own


def test_temperature_is_asked_for_by_slider_and_by_key(window):
    editor = window.editor
    press_slider(window, "Temperature", 0.5)
    window.tick()
    assert editor.constraints.temperature == 0.5
    asked = Constraints(temperature=0.5)
    assert np.array_equal(editor.bars, sampling.draw(editor.model, editor.codes, 5, constraints=asked))
    window.on_key(">")
    assert editor.constraints.temperature == 0.6


def test_a_style_is_asked_for_in_the_legend_and_the_map_shows_it(window):
    editor = window.editor
    click(window, window.view.map, 0.5, 0.5)
    press_area(window, "jazz")
    window.tick()
    assert editor.style_name() == "jazz" and "jazz" in editor.describe()
    asked = replace(CLICK, style=1)
    assert np.array_equal(editor.bars, sampling.draw(editor.model, editor.codes, 5, constraints=asked))
    while len(editor.hit_density.left):  # the ground is drawn anew for the style
        window.tick()
    shown = latent_map.HitDensity(editor.plane)
    while not shown.compute_next(editor.model, 1):
        pass
    assert np.allclose(shown.hits, editor.hit_density.hits, atol=0.5, equal_nan=True)  # however many cells at a time
    press_area(window, "any style")
    assert editor.style_name() is None
    for name in ("funk", "jazz", "rock", None, "funk"):
        window.on_key("y")
        assert editor.style_name() == name


def test_a_row_has_as_many_hits_as_are_asked_for(window):
    editor = window.editor
    click(window, window.view.map, 0.5, 0.5)
    before = np.count_nonzero(editor.bar[4])
    for _ in range(3):
        press_area(window, "HHC hits", 0.9)
        window.tick()
    press_area(window, "HHC hits", 0.1)
    window.tick()
    assert np.count_nonzero(editor.bar[4]) == before + 2
    click(window, window.view.map, -0.5, 0.2)
    assert np.count_nonzero(editor.bar[4]) == before + 2
    press_area(window, "HHC hits", 0.5)
    assert editor.constraints.row_hits == {}


@pytest.mark.parametrize("action", ["r", "t", "click", "density", "path"])
def test_a_locked_row_stays_bit_for_bit_through_every_redrawing(window, action):
    editor = window.editor
    click(window, window.view.map, 0.5, 0.5)
    click(window, window.view.grid, 9, 0)
    before = editor.bar.copy()
    press_area(window, "Kick")
    press_area(window, "Snare")
    if action == "click":
        click(window, window.view.map, -0.5, 0.2)
    elif action == "density":
        editor.change_density(20)
    elif action == "path":
        window.on_key("p")
        click(window, window.view.map, -0.5, 0.2)
        window.on_key("p")
    else:
        window.on_key(action)
    window.tick()
    assert (editor.bars[:, :2] == before[:2]).all() and not (editor.bars[:, 2:] == before[2:]).all()
    press_area(window, "Kick")
    assert editor.locks == {1}


def test_what_no_bar_can_meet_is_shown_and_the_bar_stays(window):
    editor = window.editor
    click(window, window.view.map, 0.5, 0.5)
    editor.constrain(row_hits={0: 9})
    window.tick()
    before = editor.bar.copy()
    editor.set_density(5)
    window.tick()
    assert np.array_equal(editor.bar, before) and "rows ask for 9 hits, the bar for 5" in editor.message
    assert editor.constraints.hits is None
    window.on_key("a")
    window.tick()
    assert np.count_nonzero(editor.bar[0]) == 9 and editor.constraints.hits is None


@pytest.mark.parametrize("key, count", [("p", 8), ("4", 4)])
def test_a_path_goes_between_two_points_and_the_picture_follows_the_sound(window, model_path, key, count):
    editor = window.editor
    click(window, window.view.map, 0.8, -0.5)
    window.on_key("p")
    start = editor.point()
    click(window, window.view.map, -0.6, 0.7)
    end = editor.point()
    window.on_key(key)
    expected = main(["--path", *map(repr, start + end), "--bars", str(count), "--seed", "5",
                     "--model", str(model_path)])
    assert np.array_equal(editor.bars, expected["bars"]) and np.array_equal(editor.player.bars, editor.bars)
    ends = [window.view.map_view.path_points()[i] for i in (0, -1)]
    assert np.allclose(ends, (start, end))
    editor.player.bar = 2
    window.tick()
    assert editor.index == 2 and np.array_equal(editor.bar, editor.bars[2])
    bars = editor.bars
    press_area(window, "strip", 3.5 / count)
    assert np.array_equal(editor.bars, bars[3:4]) and np.array_equal(editor.player.bars, bars[3:4])
    window.on_key("b")
    assert np.array_equal(editor.bars, bars)
    editor.stop()
    press_area(window, "strip", 1.5 / count)
    assert editor.index == 1 and np.array_equal(editor.bars, bars)
    press_area(window, "strip", 1.5 / count)
    assert np.array_equal(editor.bars, bars[1:2])


def show_bar_6_of_a_path(window):
    click(window, window.view.map, 0.8, -0.5)
    window.on_key("p")
    click(window, window.view.map, -0.6, 0.7)
    window.on_key("p")
    window.editor.stop()
    press_area(window, "strip", 5.5 / 8)
    assert window.editor.index == 5 and len(window.editor.bars) == 8


def test_undo_during_a_drag_ends_the_drag(window):
    show_bar_6_of_a_path(window)
    before = state(window)
    mouse(window, "button_press", window.view.map, 0.2, 0.2)
    window.on_key("b")
    for kind in ("motion_notify", "button_release"):
        mouse(window, kind, window.view.map, 0.4, 0.1)
        window.tick()
        assert state(window) == before and len(window.editor.bars) == 8
    click(window, window.view.map, -0.5, 0.5)
    assert np.allclose(window.editor.point(), (-0.5, 0.5), atol=0.02) and len(window.editor.bars) == 1


@pytest.mark.parametrize("key", [" ", "3", "a", "b", "m", "n", "p", "r", "right", "s", "t", "up", "v", "y", "<"])
def test_a_key_during_a_drag_leaves_a_window_that_works(window, key):
    editor = window.editor
    show_bar_6_of_a_path(window)
    window.on_key("p")
    mouse(window, "button_press", window.view.map, 0.2, 0.2)
    window.on_key(key)
    for kind, x in (("motion_notify", 0.4), ("motion_notify", 0.5), ("button_release", 0.5)):
        mouse(window, kind, window.view.map, x, 0.1)
        window.tick()
        assert len(editor.codes) == len(editor.bars) > editor.index
    if key in "3bpr":  # they go elsewhere, which ends the drag
        assert len(editor.bars) == {"3": 3, "b": 8, "p": 8, "r": 1}[key]
        assert not np.allclose(editor.point(), (0.5, 0.1), atol=0.02)
    else:
        assert np.allclose(editor.point(), (0.5, 0.1), atol=0.02)
    click(window, window.view.map, -0.5, 0.5)
    assert np.allclose(editor.point(), (-0.5, 0.5), atol=0.02)


def test_a_path_that_is_refused_keeps_its_start(window):
    editor = window.editor
    click(window, window.view.map, 0.8, -0.5)
    window.on_key("p")
    click(window, window.view.map, -0.6, 0.7)
    editor.constraints = replace(editor.constraints, row_hits={0: 9}, hits=5)
    before, undo_steps = state(window), len(editor.past)
    window.on_key("4")
    assert state(window) == before and len(editor.past) == undo_steps
    assert "The rows ask" in editor.message and editor.message_kind == "warning"
    editor.constrain(hits=None)
    window.on_key("4")
    assert len(editor.bars) == 4 and np.allclose(window.view.map_view.path_points()[0], (0.8, -0.5), atol=0.02)


def test_the_editor_knows_neither_view_nor_window():
    source = (ROOT / "editor" / "pattern_editor.py").read_text(encoding="utf-8")
    assert not re.search("import.*(view|widgets|window|matplotlib)|[Cc]olour[^s]|figure|axes", source)


def test_the_nearest_played_bar_is_heard_and_the_own_one_again(window):
    editor = window.editor
    click(window, window.view.map, 0.5, 0.5)
    own = editor.bar.copy()
    indices, cells = editor.training_bars.nearest(own, 3)
    assert window.view.pages["Bar"].novelty_text().startswith(f"{cells[0]} cell") or cells[0] == 0
    for key, rank in (("n", 0), ("N", 1), ("N", 2), ("N", 0)):
        window.on_key(key)
        assert np.array_equal(editor.player.bars[0], editor.training_bars.bar(indices[rank]))
        assert np.array_equal(editor.bar, editor.player.bars[0]) and np.array_equal(editor.bars[0], own)
        code = editor.training_bars.code(indices[rank])
        assert np.allclose(window.view.map_view.neighbour_points(), editor.plane.from_codes(code))
    window.on_key("n")
    assert np.array_equal(editor.player.bars[0], own) and editor.audition_source is None
    window.on_key("n")
    click(window, window.view.grid, 3, 3)  # what is changed becomes one's own
    differs = (editor.bar > 0) != (editor.training_bars.bar(indices[0]) > 0)
    assert editor.audition_source is None and np.count_nonzero(differs) == 1


def test_a_played_bar_has_novelty_0(window):
    editor = window.editor
    editor.set_bars(editor.training_bars.bar(4)[None])
    assert window.view.pages["Bar"].novelty_text() == "as a drummer played it"


def test_a_bar_of_ones_own_lands_where_the_encoder_says_and_is_compared(window, tmp_path):
    editor = window.editor
    write_midi(a_bar(), tmp_path / "my bar.mid")
    window.on_key("o")
    for key in str(tmp_path / "my bar.mid") + "x":
        window.on_key(key)
    window.on_key("backspace")
    window.on_key("enter")
    assert np.array_equal(editor.bar, a_bar()) and np.array_equal(editor.player.bars[0], a_bar())
    assert np.allclose(editor.codes, sampling.encode(editor.model, a_bar()[None]))
    assert len(window.view.map_view.neighbour_points()) == 3
    window.on_key("m")
    assert np.count_nonzero(editor.bar) == 13 and not np.array_equal(editor.bar, a_bar())
    window.on_key("m")
    assert np.array_equal(editor.player.bars[0], a_bar())
    window.on_key("v")
    assert np.array_equal(editor.bar > 0, a_bar() > 0) and len(np.unique(editor.bar)) > 5
    once = editor.bar
    window.on_key("v")
    assert not np.array_equal(editor.bar, once)
    window.on_key("b")
    window.on_key("b")
    assert np.array_equal(editor.bar, a_bar())


@pytest.mark.parametrize("name", ["no_such.mid", "", ".", "broken.mid"])
def test_a_file_that_cannot_be_opened_is_shown_and_changes_nothing(model, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("broken.mid").write_bytes(b"MThd")
    window = make_window(model, tmp_path, choose_file=lambda kind: name)
    before = state(window)
    window.on_key("o")
    assert state(window) == before and (window.editor.message.startswith("Not opened") or not name)


def test_while_a_name_is_typed_keys_are_letters_and_escape_leaves(model, tmp_path):
    window = make_window(model, tmp_path)
    before = state(window)
    window.on_key("o")
    for key in ("r", " ", "q", "shift"):
        window.on_key(key)
    assert window.typed == "r q" and "r q" in window.editor.message
    window.on_key("escape")
    assert window.typed is None and state(window) == before and not window.leaving


def test_tempo_reaches_the_player_and_stays_in_range(window):
    editor = window.editor
    press_slider(window, "Tempo", 200)
    assert editor.player.bpm == editor.bpm == pytest.approx(200, abs=1)
    for _ in range(30):
        window.on_key("up")
    assert editor.player.bpm == FASTEST
    for _ in range(60):
        window.on_key("down")
    assert editor.player.bpm == SLOWEST
    window.on_key("shift+up")
    assert editor.player.bpm == SLOWEST + 1


def test_buttons_do_what_their_keys_do(window):
    editor = window.editor
    for action in ("Play", "Stop", "Play"):
        window.tick()
        press_area(window, "Play")
        assert editor.playing == (action == "Play")
    before = state(window)
    press_area(window, "Random")
    assert state(window) != before
    press_area(window, "Undo")
    assert state(window) == before
    press_area(window, "Save")
    assert (editor.folder / "pattern_001.wav").exists()
    press_area(window, "?")
    assert window.view.help.shown


@given(actions=st.lists(st.sampled_from([" ", "r", "b", "right", "a", "up", "h", "y", "n", "v", "p", "o", "escape",
                                            "tab", "point", "cell", "hover", "time", "Snare", "HHC hits", "rock"]),
                     max_size=10))
@settings(max_examples=12, deadline=None)
def test_painting_what_changed_equals_painting_everything(used_window, actions):
    window = used_window
    areas = [name for panel in window.view.panels for name in panel.areas]
    for i, action in enumerate(actions):
        if action == "point":
            click(window, window.view.map, 0.3 * i - 1, 0.2 * i)
        elif action == "cell":
            click(window, window.view.grid, 7 * i, i % 8)
        elif action == "hover":
            area_event(window, "motion_notify", areas[5 * i % len(areas)])
        elif action == "time":
            window.editor.player.step = (5 * i) % 64
        elif action in ("Snare", "HHC hits", "rock"):
            press_area(window, action, 0.9)
        else:
            window.on_key(action)
        window.tick()
    if window.typed is not None:
        window.on_key("escape")
    if window.view.overlay:  # the playhead waits behind it
        window.on_key("h")
    window.tick()
    if window.view.stale:  # the last frame has brought the hit density to its end
        window.tick()
    painted = pixels(window)
    window.canvas.draw()
    assert np.array_equal(painted, pixels(window))


def test_what_changes_behind_the_help_leaves_it_as_it_is(window):
    window.on_key("h")
    window.canvas.draw()
    for act in (lambda: window.editor.change_tempo(5), window.editor.random):
        act()
        window.tick()
    painted = pixels(window)
    window.canvas.draw()
    assert window.view.help.shown and np.array_equal(painted, pixels(window))


def visible_texts(window):
    """{text: (its box in pixels, its panel)} of all that the window shows."""
    return {text: (text.get_window_extent(), panel) for panel in window.view.panels if panel.shown
            for text in panel.part.findobj(lambda artist: isinstance(artist, Text) and artist.get_text().strip())
            if text.get_visible()}


SIZES = [(1024, 640), (1300, 700), (3840, 2160), (1024, 2160), (3840, 640), (700, 480), (1000, 1000)]


def check_tips(window):
    """Each control that is shown says in the line below what it does."""
    line = window.view.frame.regions[-1].artists[0]
    window.hints.done.update(HINTS)
    for panel in filter(lambda panel: panel.shown, window.view.panels):
        for name, area in panel.areas.items():
            area_event(window, "motion_notify", name)
            window.tick()
            assert area.tip.endswith(".") and line.get_text() == area.tip, name


def check_texts(window):
    """No text overlaps another, or leaves the window, its panel or its place."""
    texts = visible_texts(window)
    for (one, (box, _)), (other, (other_box, _)) in itertools.combinations(texts.items(), 2):
        assert not box.padded(-1).overlaps(other_box.padded(-1)), (one, other)
    for text, (box, panel) in texts.items():
        whole = panel.part.bbox
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 - 1 <= box.y0 and box.y1 <= whole.y1 + 1, text
        assert text.get_fontsize() * window.figure.dpi / 72 > 8.9, text
    for panel in window.view.panels:
        for region in panel.regions:
            outer = panel.pixel_box(region.box)
            for text in set(region.artists) & set(texts):
                assert outer.x0 - 1 <= texts[text][0].x0 and texts[text][0].x1 <= outer.x1 + 1, text
    return texts


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_no_text_overlaps_another_or_leaves_its_place(model, tmp_path, size):
    np.save(tmp_path / "own.npy", np.full((16, 8, 64), 127, np.uint8))
    window = make_window(model, tmp_path / ("folder" * 20), size=size)
    editor = window.editor

    def lose_sound():
        editor.stop()
        editor.player.reason = "no sound: " + "reason " * 20
        window.on_key(" ")

    def morph():
        for _ in range(2):
            editor.begin_or_end_morph()

    while len(editor.hit_density.left):
        window.tick()
    for change in (lambda: click(window, window.view.map, *[-0.9 * editor.plane.reach] * 2), editor.audition_nearest,
                   lambda: editor.audition_nearest(1), lambda: editor.audition_nearest(1), morph,
                   lambda: editor.open_file(tmp_path / "own.npy"), editor.save, lose_sound):
        change()
        for page in window.view.pages:
            window.view.show_page(page)
            window.tick()
            assert len(check_texts(window)) > 25


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_help_is_whole_at_every_size(window, size):
    resize(window, size)
    window.on_key("?")
    window.tick()
    boxes = [text.get_window_extent() for text in window.view.help_texts]
    for box in boxes:
        assert 0 < box.x0 and box.x1 < size[0] and 0 < box.y0 and box.y1 < size[1]
    assert boxes[0].x1 < boxes[1].x0


def test_the_help_names_every_key():
    named = {"space": " ", "esc": "escape"}
    words = {named.get(word.lower(), word if len(word) == 1 else word.lower())
             for word in re.split("[ ,;:]+|\n", "\n".join(HELP))}
    others = {"backspace", "b", "=", ",", ".", "ctrl+w", "ctrl+Z", "ctrl+shift+z", "iso_left_tab", *"345678BCDEFG",
              *(f"f{row}" for row in range(2, 8))}  # second keys of what is named, and what lies between two
    assert {key.removeprefix("shift+") for key in (*EDITOR_KEYS, *WINDOW_KEYS)} - others <= words


@pytest.mark.parametrize("size", [(1024, 640), (700, 480)], ids=str)
def test_each_control_says_what_it_does_in_the_line_below(model, tmp_path, size):
    window = make_window(model, tmp_path, size=size)
    for page in window.view.pages:
        window.view.show_page(page)
        window.tick()
        check_tips(window)


def resize(window, size):
    window.figure.set_size_inches(np.divide(size, window.figure.dpi))
    ResizeEvent("resize_event", window.canvas)._process()
    window.canvas.draw()


def test_a_window_that_is_resized_looks_like_one_of_that_size(model, tmp_path):
    windows = [make_window(model, tmp_path, size=size) for size in ((900, 500), (1300, 700))]
    resize(windows[1], (900, 500))
    windows[0].canvas.draw()
    assert np.array_equal(*map(pixels, windows))


def test_the_playhead_shows_where_the_sound_is(window):
    editor = window.editor
    click(window, window.view.map, 0, 0)
    window.tick()
    editor.player.step = 10
    window.tick()
    at_ten = pixels(window)
    editor.player.step = 40
    window.tick()
    moved = np.argwhere((at_ten != pixels(window)).any(axis=2))[:, 1]
    columns = [window.view.grid.transData.transform((step, 0))[0] for step in (10, 40)]
    assert set(np.abs(moved[:, None] - columns).min(axis=1) < 8) == {True}
    assert all((np.abs(moved - column) < 8).any() for column in columns)


def test_save_writes_what_the_command_line_writes_and_never_over_a_file(window, model_path, tmp_path):
    editor = window.editor
    click(window, window.view.map, 0.3, 0.3)
    editor.set_tempo(111)
    editor.folder.mkdir(exist_ok=True)
    (editor.folder / "pattern_001.mid").write_bytes(b"precious")
    window.on_key("s")
    window.on_key("s")
    names = sorted(path.name for path in editor.folder.glob("p*"))
    assert names == ["pattern_001.mid"] + [f"pattern_00{i}{kind}" for i in (2, 3) for kind in (".mid", ".png", ".wav")]
    assert (editor.folder / "pattern_001.mid").read_bytes() == b"precious"
    assert "pattern_003" in editor.message and str(editor.folder) in editor.message
    assert read_session(editor.folder / "pattern_002.mid", editor.model)[0].bars.tobytes() == editor.bars.tobytes()
    x, y = map(repr, editor.point())
    main(["--at", x, y, "--seed", "5", "--bpm", "111", "--model", str(model_path),
          "--midi", str(tmp_path / "pattern_002.mid"), "--png", str(tmp_path / "pattern_002.png")])
    for kind, read in ((".mid", notes_of), (".png", Path.read_bytes)):
        assert read(tmp_path / f"pattern_002{kind}") == read(editor.folder / f"pattern_002{kind}")
    samples, rate = soundfile.read(editor.folder / "pattern_002.wav")
    assert rate == 44100 and np.abs(samples - sequencer.render(editor.bar, editor.kit, 111)).max() < 2 ** -22


def test_a_save_that_fails_is_shown_in_the_window_and_leaves_nothing(window, tmp_path):
    editor = window.editor
    editor.folder = tmp_path / "file"
    editor.folder.write_text("not a folder")
    window.on_key("s")
    assert editor.message.startswith("Not saved") and "file" in editor.message
    window.tick()
    editor.folder, editor.sounds = tmp_path / "saved", ()
    editor.bar[0, 0] = 100
    window.on_key("s")
    assert editor.message.startswith("Not saved") and not list(editor.folder.glob("p*"))


def test_names_count_up_past_every_file_that_is_there(tmp_path):
    assert next_name(tmp_path / "none") == "pattern_001"
    for name in ("pattern_001.wav", "pattern_003.png", "other.mid"):
        (tmp_path / name).touch()
    assert next_name(tmp_path) == "pattern_002"
    (tmp_path / "pattern_002.txt").touch()
    assert next_name(tmp_path) == "pattern_004"


def test_a_long_message_is_shortened_to_the_line_and_keeps_its_ends():
    assert shorten("short") == "short"
    for length in range(4, 300):
        text = "".join(chr(65 + i % 26) for i in range(length))
        for most in (4, 20, 100):
            short = shorten(text, most)
            assert len(short) == min(length, most) and short[0] == text[0] and short[-most // 2:] == text[-most // 2:]


def test_without_sound_everything_else_works_and_the_window_shows_it(model, tmp_path):
    window = make_window(model, tmp_path, SilentPlayer("no sound: no output device plays"))
    editor = window.editor
    click(window, window.view.map, 0.5, 0.5)
    window.tick()
    assert not editor.playing and "No sound" in window.view.second_line()[0]
    assert np.array_equal(editor.bar, sampling.draw(model, editor.codes, constraints=CLICK)[0])
    window.on_key("s")
    assert (tmp_path / "pattern_001.wav").stat().st_size > 1000
    editor.player.reason = None  # a sound card is plugged in
    window.on_key(" ")
    window.tick()
    assert editor.playing and "No sound" not in window.view.second_line()[0]


def test_other_keys_and_buttons_do_nothing(window):
    editor = window.editor
    before = state(window)
    for key in ("j", "f12", None, "shift"):
        window.on_key(key)
    mouse(window, "button_press", window.view.map, 1, 1, button=3)
    MouseEvent("button_press_event", window.canvas, 5, 5, button=1)._process()  # outside all axes
    assert state(window) == before and not editor.playing and not editor.past


def test_q_leaves_with_the_next_frame(model, tmp_path):
    left = []
    window = make_window(model, tmp_path, leave=lambda: left.append(True))
    window.tick()
    assert not left
    window.on_key("q")
    window.tick()
    assert left == [True]


def test_q_asks_where_there_is_work_that_is_not_saved(model, tmp_path):
    window = make_window(model, tmp_path)
    click(window, window.view.grid, 3, 3)
    for key, message, leaving in (("q", "Not saved", False), ("escape", "", False), ("q", "Not saved", False),
                                  ("r", "random", False), ("q", "Not saved", False), ("q", "", True)):
        window.on_key(key)
        assert message in window.editor.message and window.leaving == leaving
    window.leaving = False
    window.on_key("ctrl+s")
    window.on_key("q")
    assert window.leaving


def test_three_hints_are_shown_until_each_was_done_and_never_again(model, tmp_path):
    window = make_window(model, tmp_path / "saved")
    seen = [window.hints.text]
    for act in (lambda: mouse(window, "button_press", window.view.map, 0.1, 0.1),
                lambda: mouse(window, "motion_notify", window.view.map, 0.2, 0.1)):
        act()
        if window.hints.text != seen[-1]:
            seen.append(window.hints.text)
    mouse(window, "button_release", window.view.map, 0.2, 0.1)
    assert len(set(seen)) == 3 and "Click" in seen[0] and "Drag" in seen[1]
    assert make_window(model, tmp_path / "saved").hints.text == seen[-1]
    (tmp_path / "file").write_text("no folder")
    window = make_window(model, tmp_path / "file")
    click(window, window.view.map, 0.1, 0.1)
    assert window.hints.text == seen[1], "it cannot be written, and all goes on"


def test_the_help_takes_the_next_click_or_key_and_closes(window):
    before = state(window)
    for act in (lambda: click(window, window.view.map, 0.3, 0.3), lambda: window.on_key("r"),
                lambda: window.on_key("escape"), lambda: window.on_key("?"), lambda: press_area(window, "Random")):
        window.on_key("h")
        window.tick()
        assert window.view.help.shown
        act()
        assert not window.view.help.shown and state(window) == before


def test_a_double_click_or_another_button_leaves_a_slider_to_the_model(window):
    editor = window.editor
    for details in (dict(button=3), dict(button=1, dblclick=True)):
        press_slider(window, "Density", 70)
        window.tick()
        assert editor.constraints.hits == pytest.approx(70, abs=1)
        area_event(window, "button_press", "Density", **details)
        area_event(window, "button_release", "Density")
        assert editor.constraints.hits is None
    press_slider(window, "Swing", 60)
    area_event(window, "scroll_event".removesuffix("_event"), "Swing", step=2)
    assert editor.feel.swing == pytest.approx(61, abs=0.5)


def test_a_drag_of_a_slider_is_one_step_back(window):
    editor = window.editor
    before = state(window)
    area_event(window, "button_press", "Temperature", 0.2)
    for x in (0.5, 0.9, 2):
        area_event(window, "motion_notify", "Temperature", x)
        window.tick()
    area_event(window, "button_release", "Temperature", 2)
    assert editor.constraints.temperature == HOTTEST
    window.on_key("ctrl+z")
    assert state(window) == before


def test_the_log_is_one_json_line_an_action(model, tmp_path):
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        window = make_window(model, tmp_path, log=log)
        click(window, window.view.map, 0.5, 0.5)
        window.on_key(" ")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["action"] for line in lines] == ["ready", "point", "release", "let go", "stop"]
    assert lines[1]["hits"] == np.count_nonzero(window.editor.bar)
    assert all(a["time"] <= b["time"] for a, b in zip(lines, lines[1:]))


def test_redo_brings_back_what_undo_took_until_something_else_is_done(window):
    editor = window.editor
    states = [state(window)]
    for key in ("r", "t", "v"):
        window.on_key(key)
        states.append(state(window))
    for expected in reversed(states[:-1]):
        window.on_key("ctrl+z")
        assert state(window) == expected
    for expected in states[1:]:
        window.on_key("ctrl+y")
        assert state(window) == expected
    window.on_key("ctrl+y")
    assert "nothing to redo" in editor.message
    window.on_key("ctrl+z")
    window.on_key("r")
    assert not editor.future


def test_what_cannot_be_drawn_leaves_state_sound_and_sliders_as_they_were(window):
    """Issue: a path of 8, a kept row, density 0, a click: one bar was shown, eight played on."""
    editor = window.editor
    show_bar_6_of_a_path(window)
    press_area(window, "HHC", 0.5)
    before, heard = editor.state, editor.player.bars
    editor.set_density(0)
    window.tick()
    assert editor.state.same_as(before) and editor.constraints.hits is None and len(editor.bars) == 8
    assert np.array_equal(editor.player.bars, heard) and editor.message_kind == "warning"
    assert "already hold" in editor.message
    press_area(window, "HHC", 0.5)
    assert editor.message_kind == "info", "a warning goes with the next thing that succeeds"


def test_what_the_player_says_is_shown_once(window):
    window.editor.player.message = "The sound had gaps: its buffer is 60 ms long now."
    window.tick()
    assert window.editor.message == window.editor.player.message
    window.on_key("r")
    window.tick()
    assert window.editor.message != window.editor.player.message


def test_a_sound_card_that_goes_while_it_plays_is_shown_and_all_else_works(window):
    editor = window.editor
    click(window, window.view.map, 0.4, 0.3)
    assert editor.playing
    editor.player.reason = "no sound: its process does not answer"
    click(window, window.view.map, -0.4, 0.3)
    assert not editor.playing and editor.sound_error == editor.player.reason
    assert np.allclose(editor.point(), (-0.4, 0.3), atol=0.02)
    editor.player.reason = None
    window.on_key(" ")
    assert editor.playing and not editor.sound_error


def test_bars_by_hand_are_unsaved_until_they_are_saved(window):
    editor = window.editor
    click(window, window.view.map, 0.4, 0.3)
    assert not editor.unsaved  # a click on the map can be done again
    for x in (-0.5, 0.5, 0.1):
        click(window, window.view.grid, 25 + 20 * x, 2)
        assert editor.unsaved
        click(window, window.view.map, x, x)  # the edited bar lies on the map now
        assert editor.unsaved and editor.anchors
        editor.save()
        assert not editor.unsaved
