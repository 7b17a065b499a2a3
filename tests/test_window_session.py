"""A session in the window, by a model of levels: bars of one's own and their variations, morphs, a map that zooms,
feel; and the same without a window."""

import itertools
import sys

import numpy as np
import pytest
import torch
from matplotlib.backend_bases import MouseEvent
from test_window import (area_event, click, kit_folder, make_window, mouse, pixels, press_area,  # noqa: F401
                         press_slider, state, visible_texts)
from tiny_map import a_bar

import Activation_Matrix_To_Sound
import command_line
from formats import checkpoint
from formats.activation_matrix import INSTRUMENTS
from models import BernoulliVAE
from patterns import sampling
from patterns.dataset import pack_hits
from patterns.feel import Feel
from patterns.noise import Surface
from patterns.sampling import CLICK
from window.map_view import NEAREST_ZOOM

pytestmark = pytest.mark.usefixtures("one_thread")
main = Activation_Matrix_To_Sound.main
TIMINGS = {"drummer1": [-0.4, 0.0, 0.1], "drummer10": [0.3, 0.5, 0.0]}
STYLES = [f"style{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(72)]


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """A model of levels, untrained but each point with a bar of its own, of 72 styles and two drummers."""
    path, bars = tmp_path_factory.mktemp("model") / "levels.pt", 300
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = BernoulliVAE(hidden=(16,), decoder="hierarchical", width=16, velocities=True, velocity_latent=3,
                             styles=STYLES)
        with torch.no_grad():
            model.decoder.out.bias -= 1.7
            for parameter in (*model.decoder.code.parameters(), model.steady.weight, model.timing.weight):
                parameter *= 3
        codes, labels = 0.7 * torch.randn(bars, 2), torch.arange(bars) % len(STYLES)
        played = sampling.draw_independent(model.eval(), codes, torch.Generator().manual_seed(1), labels)
    checkpoint.save_checkpoint(path, model, map={"codes": codes, "labels": labels, "label_names": STYLES,
                                               "bars": pack_hits(torch.as_tensor(played)), "timings": TIMINGS})
    return path


@pytest.fixture(scope="module")
def model(model_path):
    return Activation_Matrix_To_Sound.open_model(model_path)


@pytest.fixture
def window(model, tmp_path):
    return make_window(model, tmp_path / "saved", seed=5)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A file of two bars of one's own."""
    path = tmp_path_factory.mktemp("own") / "own.npy"
    np.save(path, np.stack([a_bar(1), a_bar(2, hits=12)]))
    return path


@pytest.fixture
def command(monkeypatch, capsys, model_path):
    """Run the script as a person does: (exit status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["Activation_Matrix_To_Sound.py", "--model", str(model_path),
                                          *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            command_line.run(main)
        return end.value.code, *capsys.readouterr()

    return run


def scores(model, bars):
    return model.score(torch.as_tensor(bars)) > 0


# Steadiness and surfaces

def test_a_click_asks_for_a_steady_bar_and_the_command_line_for_the_same(window, model_path):
    editor = window.editor
    click(window, window.view.map, 0.4, 0.3)
    x, y = map(repr, editor.point())
    assert editor.constraints == CLICK
    for steady, act in ((None, window.editor.any_steady), (0.2, lambda: editor.set_steady(0.2)),
                        (0.3, lambda: window.on_key("[")), (0.2, lambda: window.on_key("]"))):
        act()
        window.tick()
        expected = main(["--at", x, y, "--seed", "5", "--steady", str(steady or "any"), "--model", str(model_path)])
        assert editor.constraints.steady == steady and np.array_equal(expected["bars"], editor.bars)
    for expected in (None, sampling.STEADY):  # the slider's knob stands there all the while: a click on it does nothing
        area_event(window, "button_press", "Steady", 0.9, dblclick=True)
        assert editor.constraints.steady == expected
    press_slider(window, "Steady", 1)
    assert editor.constraints.steady == 1
    window.on_key("b")
    assert editor.constraints.steady == sampling.STEADY


def test_variation_is_another_bar_and_with_shift_the_same_score_played_anew(window):
    editor = window.editor
    click(window, window.view.map, 0.4, 0.3)
    before = editor.bars
    for act in (lambda: window.on_key("T"), lambda: shift_click(window, "Variation")):
        last = editor.bars
        act()
        assert torch.equal(*(scores(editor.model, bars) for bars in (before, editor.bars)))
        assert not np.array_equal(last, editor.bars) and not editor.edited
        assert np.array_equal(editor.bars, editor.draw(editor.codes, False))
    assert (editor.surface.seed, editor.surface.play_seed) == (5, 7)
    window.on_key("t")
    assert not torch.equal(*(scores(editor.model, bars) for bars in (before, editor.bars)))
    assert editor.surface == Surface(6)
    for _ in range(3):
        window.on_key("b")
    assert np.array_equal(editor.bars, before) and editor.surface == Surface(5)


def shift_click(window, name):
    area_event(window, "button_press", name, modifiers=["shift"])


def test_a_locked_row_stays_under_every_command(window, own):
    editor = window.editor
    editor.open_file(own)
    press_area(window, "Kick")
    press_area(window, "HHC")
    kept = editor.bars[:, [0, 4]]
    for key in "tTvdr":
        window.on_key(key)
        window.tick()
        assert (editor.bars[:, [0, 4]] == kept[:len(editor.bars)]).all(), key
    window.on_key("g")
    click(window, window.view.map, -0.7, 0.9)
    window.on_key("g")
    for share in (0, 0.3, 1):
        editor.morph_to(share)
        window.tick()
        assert (editor.bars[:, [0, 4]] == kept[:1]).all()
    window.on_key("p")
    click(window, window.view.map, 0.7, -0.9)
    window.on_key("4")
    assert len(editor.bars) == 4 and (editor.bars[:, [0, 4]] == kept[:1]).all()


# Bars of one's own

def test_an_own_bar_opened_is_drawn_as_it_was_and_its_variations_are_around_it(window, own):
    editor, bars = window.editor, np.load(own)
    editor.open_file(own)
    assert np.array_equal(editor.bars, bars) and len(window.view.map_view.own_points()) == 2
    editor.constrain()
    window.tick()
    assert np.array_equal(editor.bars > 0, bars > 0) and np.abs(editor.bars.astype(int) - bars).max() <= 1
    here = editor.point()
    click(window, window.view.map, here[0] + 0.002, here[1])  # means the diamond that is there
    assert np.array_equal(editor.bar > 0, bars[0] > 0)
    like = []
    for distance in (0.08, 2):
        editor.go_to(editor.plane.to_code(here[0] - distance, here[1]), "Beside it")
        one, other = (scores(editor.model, shown)[0] for shown in (editor.bars, bars[:1]))
        like.append(float((one & other).sum() / (one | other).sum()))
    assert like[0] > 0.5 > like[1]
    editor.go_to(np.asarray(editor.anchors[1].code), "The second")
    assert np.array_equal(editor.bar > 0, bars[1] > 0)
    window.on_key("t")
    assert not np.array_equal(editor.bar > 0, bars[1] > 0)
    both = scores(editor.model, np.stack([editor.bar, bars[1]]))
    assert (both[0] & both[1]).sum() > 0.2 * (both[0] | both[1]).sum(), "a variation of it"
    while editor.past:
        window.on_key("b")
    assert not editor.anchors and window.view.map_view.own_points() == ()


def test_a_bar_edited_by_hand_is_on_the_surface_with_the_next_command(window):
    editor = window.editor
    click(window, window.view.map, 0.4, 0.3)
    drawn, code = editor.bar, editor.code
    for step in (3, 22, 45):
        click(window, window.view.grid, step, 2)
    edited = editor.bar
    assert editor.edited and not editor.anchors
    window.on_key("T")
    assert torch.equal(scores(editor.model, editor.bars), scores(editor.model, edited[None]))
    window.on_key("b")
    assert np.array_equal(editor.bar, edited)
    click(window, window.view.map, -1, -1)
    assert len(editor.anchors) == 1 and editor.surface.anchors == editor.anchors
    editor.go_to(code, "There again")
    assert np.array_equal(editor.bar > 0, edited > 0) and not np.array_equal(editor.bar > 0, drawn > 0)
    editor.set_temperature(1.2)
    window.tick()
    editor.set_temperature(1)
    window.tick()
    assert np.array_equal(editor.bar > 0, edited > 0)
    for _ in range(4):
        window.on_key("b")
    assert np.array_equal(editor.bar, edited) and not editor.anchors


def test_humanise_keeps_the_hits_and_what_is_drawn_there_next_is_that_bar(window):
    editor = window.editor
    click(window, window.view.map, 0.4, 0.3)
    before = editor.bar
    window.on_key("v")
    played = editor.bar
    assert np.array_equal(before > 0, played > 0) and not np.array_equal(before, played)
    editor.constrain()
    window.tick()
    assert np.abs(editor.bar.astype(int) - played).max() <= 1


# A morph

def test_a_morph_goes_from_bar_to_bar_and_its_ends_are_these(window, own):
    editor = window.editor
    click(window, window.view.map, 0.9, -0.7)
    click(window, window.view.grid, 7, 5)  # a bar of one's own
    ends = [editor.bar]
    press_area(window, "Morph")
    editor.open_file(own)
    ends.append(editor.bar)
    before = state(window)
    press_area(window, "Morph")
    window.tick()
    seen = []
    for share in np.linspace(0, 1, 11):
        press_slider(window, "Morph slider", share)
        window.tick()
        assert editor.share == pytest.approx(share, abs=0.011) and len(editor.bars) == 1
        seen.append(editor.bar)
    assert np.array_equal(seen[0], ends[0]) and np.array_equal(seen[-1], ends[1])
    assert len({bar.tobytes() for bar in seen}) > 4
    like = np.array([[np.count_nonzero((bar > 0) & (end > 0)) / np.count_nonzero((bar > 0) | (end > 0))
                      for end in ends] for bar in seen])
    assert like[2, 0] > like[8, 0] and like[8, 1] > like[2, 1]
    while editor.morph:
        window.on_key("b")
    assert state(window) == before


def morph_slider_shown(window):
    return window.view.sliders["Morph slider"].value_text.get_visible()


def test_a_morph_ends_with_escape_a_click_or_a_variation(window):
    editor = window.editor
    for act in (lambda: window.on_key("escape"), lambda: click(window, window.view.map, 0.1, 0.1),
                lambda: window.on_key("t")):
        click(window, window.view.map, 0.9, -0.7)
        window.on_key("g")
        click(window, window.view.map, -0.9, 0.7)
        window.on_key("g")
        editor.morph_to(0.5)
        window.tick()
        assert editor.morph and np.allclose(editor.point(), (0, 0), atol=0.03)
        assert len(window.view.map_view.path_points()) == 2 and morph_slider_shown(window)
        act()
        window.tick()
        assert editor.morph is None and not morph_slider_shown(window)


def test_a_morph_between_two_bars_of_one_point_goes_between_them(window):
    editor = window.editor
    click(window, window.view.map, 0.4, 0.3)
    first = editor.bar
    window.on_key("g")
    window.on_key("t")
    second = editor.bar
    window.on_key("g")
    for share, bar in ((0, first), (1, second)):
        editor.morph_to(share)
        window.tick()
        assert np.array_equal(editor.bar, bar)


# The map that zooms

def scroll(window, x, y, step):
    left, bottom = window.view.map.transData.transform((x, y))
    MouseEvent("scroll_event", window.canvas, left, bottom, step=step)._process()


def test_the_wheel_zooms_around_the_mouse_and_a_click_is_where_it_is(window):
    editor, axes = window.editor, window.view.map
    before = np.round(axes.transData.transform((0.5, -0.4)))  # a whole pixel, as a mouse's
    place = axes.transData.inverted().transform(before + 0.01)
    for _ in range(20):
        MouseEvent("scroll_event", window.canvas, *before, step=1)._process()
    assert window.view.map_view.zoom == NEAREST_ZOOM
    assert np.allclose(axes.transData.transform(place), before, atol=0.2)
    window.tick()
    click(window, axes, 0.52, -0.41)
    assert np.allclose(editor.point(), (0.52, -0.41), atol=2 * editor.plane.reach / 514 / NEAREST_ZOOM)
    for _ in range(30):
        scroll(window, 0.5, -0.4, -1)
    assert window.view.map_view.zoom == 1 and axes.get_xlim() == pytest.approx((-editor.plane.reach,
                                                                                editor.plane.reach))


def test_at_four_times_ten_pixels_are_a_fortieth(window):
    window.view.map_view.zoom_by(4, 0, 0)
    (left, _), (right, _) = window.view.map.transData.inverted().transform([(200, 300), (210, 300)])
    assert right - left == pytest.approx(0.025, rel=0.3)


def test_keys_zoom_and_the_right_button_pans_within_the_map(window):
    view, axes, before = window.view.map_view, window.view.map, state(window)
    reach = window.editor.plane.reach
    mouse(window, "motion_notify", axes, 1, 1)
    for key in "+=":
        window.on_key(key)
    assert view.zoom == pytest.approx(1.25 ** 6)
    for button in (2, 3):
        start = axes.transData.transform((1, 1))
        mouse(window, "button_press", axes, 1, 1, button=button)
        mouse(window, "motion_notify", axes, 0.8, 0.9)
        assert np.allclose(axes.transData.transform((1, 1)) - start,
                           axes.transData.transform((0.8, 0.9)) - axes.transData.transform((1, 1)), atol=0.5)
        mouse(window, "button_release", axes, 0.8, 0.9, button=button)
    mouse(window, "button_press", axes, 1, 1, button=3)
    for _ in range(20):
        mouse(window, "motion_notify", axes, *np.array(axes.get_xlim())[[1, 1]])
        mouse(window, "motion_notify", axes, *view.centre)
    mouse(window, "button_release", axes, 0, 0, button=3)
    assert axes.get_xlim()[0] >= -reach - 1e-9 and axes.get_xlim()[1] <= reach + 1e-9
    window.on_key("-")
    assert view.zoom == pytest.approx(1.25 ** 3)
    window.on_key("0")
    assert view.zoom == 1 and state(window) == before


def test_the_map_follows_to_a_bar_out_of_sight(window):
    window.view.map_view.zoom_by(8, 1, 1)
    window.tick()
    window.editor.go_to(window.editor.plane.to_code(-1, -1), "Far off")
    window.tick()
    for low, high in (window.view.map.get_xlim(), window.view.map.get_ylim()):
        assert low < -1 < high


def test_painting_a_part_of_the_map_equals_painting_everything(window):
    while len(window.editor.hit_density.left):
        window.tick()
    for act in (lambda: scroll(window, 0.3, 0.2, 2), lambda: window.on_key("+"), lambda: window.on_key("r"),
                lambda: click(window, window.view.map, *window.view.map_view.centre), lambda: window.on_key("0"),
                lambda: window.on_key("g"), lambda: window.on_key("r"), lambda: window.on_key("g"),
                lambda: window.on_key("escape"), lambda: press_area(window, "others"), lambda: window.on_key("r")):
        act()
        window.tick()
        painted = pixels(window)
        window.canvas.draw()
        assert np.array_equal(painted, pixels(window))


# Styles, drummers, feel

@pytest.mark.parametrize("size", [(1300, 700), (1024, 640), (700, 480), (1024, 2160)], ids=str)
def test_others_opens_a_list_of_all_other_styles(model, tmp_path, size):
    window = make_window(model, tmp_path, size=size)
    editor, listed = window.editor, window.view.map_view.style_list
    press_area(window, "others")
    window.tick()
    texts = {text.get_text(): text.get_window_extent() for text in listed.names.values()}
    assert len(texts) == len(STYLES) - 7 and set(texts) < set(STYLES) and window.view.overlay is listed
    for (_, one), (_, other) in itertools.combinations(texts.items(), 2):
        assert not one.padded(-1).overlaps(other.padded(-1))
    face, note = (artist.get_window_extent() for artist in listed.artists[:2])
    for box in (*texts.values(), note):
        assert face.x0 <= box.x0 and box.x1 <= face.x1 and face.y0 <= box.y0 and box.y1 <= face.y1
    assert 0 <= face.x0 and face.x1 <= size[0] and 0 <= face.y0 and face.y1 <= size[1]
    before = state(window)
    name = window.view.map_view.others[40]
    press_area(window, name)
    assert editor.style_name() == name and not window.view.overlay
    press_area(window, "others")
    after = state(window)
    MouseEvent("button_press_event", window.canvas, size[0] - 3, size[1] - 3, button=1)._process()
    assert not window.view.overlay and after == state(window) != before


def test_the_drummer_is_any_or_one_of_the_map(window, model_path):
    editor = window.editor
    click(window, window.view.map, 0.4, 0.3)
    before = editor.bars
    for name in ("drummer1", "drummer10", None):
        window.on_key("d")
        window.tick()
        assert editor.drummer() == name and editor.constraints.timing == (name and tuple(TIMINGS[name]))
        if name:
            expected = main(["--at", *map(repr, editor.point()), "--seed", "5", "--timing", name,
                             "--model", str(model_path)])
            assert np.array_equal(expected["bars"], editor.bars)
            assert torch.equal(*(scores(editor.model, bars) for bars in (before, editor.bars)))
    assert np.array_equal(editor.bars, before)


def test_a_model_without_levels_plays_and_says_so(tmp_path):
    from tiny_map import write_tiny_map

    window = make_window(write_tiny_map(tmp_path / "old.pt"), tmp_path)
    editor = window.editor
    click(window, window.view.map, 0.4, 0.3)
    for act, word in ((lambda: editor.set_steady(0.1), "steadiness"), (editor.step_drummer, "drummers")):
        before = state(window)
        act()
        assert word in editor.message and editor.message_kind == "warning" and state(window) == before
    before = editor.bar
    window.on_key("T")
    assert np.array_equal(before > 0, editor.bar > 0) and not np.array_equal(before, editor.bar)


def test_feel_is_dialled_while_it_plays_and_is_saved(window, monkeypatch):
    editor, view = window.editor, window.view
    click(window, view.map, 0.4, 0.3)
    press_slider(window, "Tight", 60)
    press_slider(window, "Swing", 62)
    press_area(window, "Swing of")
    editor.change_push(INSTRUMENTS.index("Snare"), 15)
    editor.change_push(INSTRUMENTS.index("HHC"), -6)
    window.tick()
    feel = Feel(60, 62, "eighth", {INSTRUMENTS.index("Snare"): 15, INSTRUMENTS.index("HHC"): -6})
    assert editor.feel == editor.player.feel == feel
    saved = []
    monkeypatch.setattr("editor.saving.write_all", lambda *given, **paths: saved.append(given[3]))
    window.on_key("s")
    assert saved == [feel]
    editor.change_push(INSTRUMENTS.index("Snare"), None)
    for _ in range(40):
        editor.change_push(INSTRUMENTS.index("HHC"), -5)
    assert editor.feel.push == {INSTRUMENTS.index("HHC"): -100}


# The headless twin

def test_a_morph_without_a_window_has_its_files_at_its_ends(command, own, model_path, tmp_path):
    np.save(tmp_path / "one.npy", a_bar(7))
    status, output, errors = command("--morph", tmp_path / "one.npy", own, "--bars", 5, "--npy", tmp_path / "out.npy")
    bars = np.load(tmp_path / "out.npy")
    assert (status, errors) == (0, "") and bars.shape == (5, 8, 64) and "bar 5: 20 hits" in output
    assert np.array_equal(bars[0], a_bar(7)) and np.array_equal(bars[-1], np.load(own)[0])
    assert len({bar.tobytes() for bar in bars}) == 5
    assert len(main(["--morph", str(own), str(own), "--model", str(model_path)])["bars"]) == 8


@pytest.mark.parametrize("arguments", [
    ["--morph", "own.npy"], ["--morph", "own.npy", "none.npy"], ["--morph", "own.npy", "own.npy", "--at", 0, 0],
    ["--morph", "own.npy", "own.npy", "--bars", 1], ["--pattern", "own.npy", "--morph", "own.npy", "own.npy"],
    ["--at", 0, 0, "--timing", "drummer2"], ["--at", 0, 0, "--steady", -0.1],
], ids=lambda words: " ".join(map(str, words)))
def test_a_persons_error_in_a_morph_is_one_line(command, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    np.save("own.npy", a_bar(1))
    status, output, errors = command(*arguments)
    assert status == 2 and output == "" and errors.count("\n") == 1 and "Traceback" not in errors


def test_the_list_names_the_drummers_that_the_map_has(command):
    assert "drummer1, drummer10" in command("--at", 0, 0, "--timing", "nobody")[2]
