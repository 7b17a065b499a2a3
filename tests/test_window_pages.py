"""The pages Song, Sounds and Mixer of the window, and the sound map in the place of the map of patterns."""

import numpy as np
import pytest
import soundfile
from matplotlib.backend_bases import KeyEvent
from test_kit_commands import sound_model_path, wait_until_made  # noqa: F401
from test_window import (SIZES, area_event, check_texts, check_tips, click, make_window, model,  # noqa: F401
                         model_path, pixels, press_area, press_slider, state)

from engine.mixer import Mixer, Strip
from formats.activation_matrix import INSTRUMENTS
from session.state import Part
from window.song_page import COLUMNS as COLUMNS_OF_PARTS
from window.song_page import ROWS as ROWS_OF_PARTS
from window.sound_map import brightness_pixels
from window.sounds_page import COLUMNS, peaks

KICK, SNARE, HHC = 0, 1, 4


@pytest.fixture
def window(model, sound_model_path, tmp_path):  # noqa: F811
    return make_with_sounds(model, sound_model_path, tmp_path)


def make_with_sounds(model, path, folder, **options):  # noqa: F811
    window = make_window(model, folder / "saved", seed=5, **options)
    window.editor.use_sounds(window.editor.kit, path)
    return window


def paint_until_still(window):
    """Tick until the ground of the map that is shown is complete, and the figure drawn in full for the last time."""
    for _ in range(2000):
        window.tick()
        plane = window.view.sound_map.plane
        if not len(window.editor.hit_density.left) and not (plane and np.isnan(plane.brightness).any()):
            break
    window.tick()


def test_pages_are_shown_by_tabs_and_keys_and_only_what_is_shown_answers(window):
    view = window.view
    for name in ("Song", "Sounds", "Mixer", "Bar"):
        press_area(window, name)
        assert [page for page in view.pages if view.pages[page].panel.shown] == [name]
    before = state(window)
    press_area(window, "Mixer")
    area_event(window, "button_press", "bar", 0.01, 0.99)
    area_event(window, "button_release", "bar")
    assert state(window) == before, "the bar is hidden"
    seen = []
    for key in ("tab", "tab", "tab", "tab", "shift+tab"):
        window.on_key(key)
        seen.append(view.page)
    assert seen == ["Bar", "Song", "Sounds", "Mixer", "Sounds"]


def test_a_click_on_a_wave_strikes_the_sound_and_opens_its_map_and_escape_goes_back(window):
    view, player = window.view, window.editor.player
    press_area(window, "Sounds")
    press_area(window, "Snare sound")
    assert player.struck == [SNARE] and view.left is view.sound_map and view.sound_map.row == SNARE
    assert view.sound_map.panel.shown and not view.map_view.panel.shown
    window.on_key("escape")
    assert view.left is view.map_view and view.map_view.panel.shown and not view.sound_map.panel.shown
    press_area(window, "Kick sound")
    press_area(window, "Back")
    assert view.left is view.map_view


def test_a_click_and_a_drag_on_the_sound_map_take_the_sound_there_in_one_step(window):
    editor, view = window.editor, window.view
    view.show_page("Sounds")
    view.show_sound_map(SNARE)
    before = editor.sounds
    window.tick()
    area_event(window, "button_press", "sound map", 0.3, 0.6)
    assert np.allclose(editor.sound_point(SNARE), view.sound_map.at(0.3, 0.6), atol=0.03)
    first = editor.sounds[SNARE]
    for x in np.linspace(0.3, 0.8, 20):
        area_event(window, "motion_notify", "sound map", x, 0.4)
    assert editor.sounds[SNARE] is first, "once a frame"
    window.tick()
    assert np.allclose(editor.sound_point(SNARE), view.sound_map.at(0.8, 0.4), atol=0.03)
    area_event(window, "motion_notify", "sound map", 0.9, 0.4)
    area_event(window, "button_release", "sound map", 0.9, 0.4)
    assert np.allclose(editor.sound_point(SNARE), view.sound_map.at(0.9, 0.4), atol=0.03)
    window.on_key("ctrl+z")
    assert editor.sounds == before


def test_the_sound_map_zooms_as_the_other_one_does(window):
    view = window.view
    view.show_sound_map(KICK)
    x, y = view.pixel_of("sound map", 0.7, 0.2)
    place = view.sound_map.at(*view.sound_map.panel.place_in(view.sound_map.area, x, y))
    for _ in range(3):
        area_event(window, "scroll", "sound map", 0.7, 0.2, step=1)
    assert view.sound_map.zoom > 1.9 and view.map_view.zoom == 1
    assert np.allclose(view.sound_map.at(*view.sound_map.panel.place_in(view.sound_map.area, x, y)), place, atol=1e-3)
    window.on_key("0")
    assert view.sound_map.zoom == 1


def test_without_a_sound_model_the_sound_is_heard_and_the_map_stays(model, tmp_path):  # noqa: F811
    window = make_window(model, tmp_path)
    press_area(window, "Sounds")
    press_area(window, "Clap sound")
    assert window.editor.player.struck == [2] and window.view.left is window.view.map_view
    assert window.editor.message_kind == "warning" and "sound model" in window.editor.message


def test_a_file_of_ones_own_takes_the_place_of_a_sound(model, sound_model_path, tmp_path):  # noqa: F811
    soundfile.write(tmp_path / "mine.wav", np.sin(np.arange(9000) / 9) * np.exp(-np.arange(9000) / 900), 44100)
    asked = []
    window = make_with_sounds(model, sound_model_path, tmp_path,
                              choose_file=lambda kind: asked.append(kind) or str(tmp_path / "mine.wav"))
    editor = window.editor
    press_area(window, "Sounds")
    press_area(window, "Snare file")
    assert asked == ["sound"] and editor.sound_name(SNARE) == "mine"
    press_area(window, "As a point")
    press_area(window, "Kick file")
    window.tick()
    assert editor.sounds[KICK].file == str(tmp_path / "mine.wav") and window.view.pages["Sounds"].as_point
    press_area(window, "HHC sound lock")
    press_area(window, "New kit")
    assert editor.sound_locks == {HHC} and editor.sounds[KICK].kit and not hasattr(editor.sounds[HHC], "kit")


@pytest.mark.parametrize("kind, value", [("level", -12), ("pan", 0.5), ("tune", 3), ("decay", 0.5)])
def test_the_sliders_of_the_mixer_set_what_sounds(window, kind, value):
    press_area(window, "Mixer")
    press_slider(window, f"HHC {kind}", value)
    low, high, step = window.view.sliders[f"HHC {kind}"].values
    found = getattr(window.editor.player.mixer.strips[HHC], kind)
    assert found == pytest.approx(value, abs=(high - low) / 80)
    area_event(window, "button_press", f"HHC {kind}", dblclick=True)
    area_event(window, "button_release", f"HHC {kind}")
    assert window.editor.mixer == Mixer()


def test_mute_solo_late_and_master_by_mouse_and_by_key(window):
    editor = window.editor
    press_area(window, "Mixer")
    press_area(window, "Snare mute")
    press_area(window, "Kick solo")
    assert editor.mixer.strips[:2] == (Strip(solo=True), Strip(mute=True))
    for key in ("f2", "shift+f1", "F5", "f5"):
        window.on_key(key)
    assert editor.mixer == Mixer()
    press_slider(window, "Master", -6)
    assert editor.player.mixer.master == pytest.approx(-6, abs=0.5)
    press_slider(window, "Snare ms", 20)
    for _ in range(2):
        area_event(window, "scroll", "Snare ms", step=1)
    assert editor.feel.push[SNARE] == pytest.approx(22, abs=2.5)
    area_event(window, "button_press", "Snare ms", button=3)
    assert editor.feel.push == {}


def test_shift_with_ctrl_z_redoes_although_tk_leaves_it_out(window):
    click(window, window.view.map, 0.5, 0.5)
    after = state(window)
    window.on_key("ctrl+z")
    for name, key in (("press", "control"), ("press", "ctrl+shift"), ("press", "ctrl+z"), ("release", "ctrl+shift")):
        KeyEvent(f"key_{name}_event", window.canvas, key)._process()
    assert state(window) == after
    window.on_key("ctrl+z")
    assert state(window) != after


@pytest.mark.parametrize("page", ["Sounds", "Mixer"])
def test_a_row_lights_up_as_it_is_struck(window, page):
    editor, shown = window.editor, window.view.pages[page]
    click(window, window.view.map, 0.5, 0.5)
    editor.set_bars(np.eye(8, 64, dtype=np.uint8)[None] * 90)  # row n is struck at step n
    editor.update()
    window.view.show_page(page)
    for step, lit in ((0, [KICK]), (4, [2, 3, 4]), (40, [])):
        editor.player.step = step
        window.tick()
        assert [row for row in range(8) if shown.struck(row)] == lit


def test_painting_what_changed_on_each_page_equals_painting_everything(window):
    editor, view = window.editor, window.view
    click(window, view.map, 0.5, 0.5)
    acts = (lambda: view.show_page("Sounds"), lambda: press_area(window, "Kick sound lock"),
            lambda: view.show_sound_map(SNARE), lambda: area_event(window, "scroll", "sound map", 0.2, 0.3, step=2),
            lambda: press_area(window, "sound map", 0.2, 0.3), lambda: view.show_page("Mixer"),
            lambda: press_slider(window, "Tom pan", -0.4), lambda: press_area(window, "HHC mute"),
            lambda: setattr(editor.player, "step", 17), lambda: window.on_key("0"), view.show_patterns,
            lambda: press_area(window, "As a point"), lambda: window.on_key("tab"), lambda: view.show_page("Song"),
            lambda: press_area(window, "slot B"), lambda: press_area(window, "Add"), lambda: press_area(window, "Add"),
            lambda: press_area(window, "Part fill"), lambda: press_area(window, "song", 0.05, 0.9),
            lambda: press_area(window, "Play song"), lambda: press_area(window, "Metronome"), editor.record)
    for act in acts:
        act()
        wait_until_made(editor)
        paint_until_still(window)
        painted = pixels(window)
        window.canvas.draw()
        assert np.array_equal(painted, pixels(window))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_no_text_of_a_page_overlaps_another_at_any_size(model, sound_model_path, tmp_path, size):  # noqa: F811
    name = "a long name of a sound of one's own " * 4
    soundfile.write(tmp_path / f"{name}.wav", np.sin(np.arange(9000) / 9), 44100)
    window = make_with_sounds(model, sound_model_path, tmp_path, size=size)
    editor = window.editor
    for row in range(len(INSTRUMENTS)):
        editor.open_sound_file(row, tmp_path / f"{name}.wav")
        editor.set_strip(row, level=-39.5, pan=-0.95, tune=-11.5, decay=0.95)
        editor.change_push(row, -100)
    editor.set_master(-39.5)
    for page in ("Sounds", "Mixer"):
        window.view.show_page(page)
        for left in (window.view.show_patterns, lambda: window.view.show_sound_map(7)):
            left()
            window.tick()
            assert len(check_texts(window)) > 25
    press_area(window, "Sounds")
    press_area(window, "As a point")
    window.tick()
    check_texts(window)


@pytest.mark.parametrize("size", [(1024, 640), (700, 480)], ids=str)
def test_each_control_of_the_sound_map_says_what_it_does(model, sound_model_path, tmp_path, size):  # noqa: F811
    window = make_with_sounds(model, sound_model_path, tmp_path, size=size)
    window.view.show_sound_map(SNARE)
    window.tick()
    check_tips(window)


def test_a_wave_is_the_loudest_of_each_part():
    high = peaks(np.r_[np.zeros(1600), np.full(1600, -0.5), np.full(1600, 0.25)].astype(np.float32))
    assert len(high) == COLUMNS and high[0] == 0 and high[80] == 1 and high[-1] == 0.5
    assert np.array_equal(peaks(np.zeros(3, np.float32)), np.zeros(COLUMNS))


def test_a_brighter_sound_is_a_lighter_cell_and_cells_to_come_are_as_their_neighbours():
    grid = np.full((8, 8), np.nan)
    assert len(np.unique(brightness_pixels(grid).reshape(-1, 3), axis=0)) == 1
    grid[::4, ::4] = [[5, 6], [7, 8]]
    colours = brightness_pixels(grid).sum(axis=2)
    assert colours[0, 0] < colours[0, 4] < colours[4, 0] < colours[4, 4]
    assert (colours[1:4, 1:4] == colours[0, 0]).all()


# The song ----------------------------------------------------------------------------------------------------------

def make_song(window, *slots):
    """Patterns of their own in slots A to D, and a song of these slots."""
    editor = window.editor
    for slot in range(1, 4):
        editor.choose_slot(slot)
        editor.random()
    editor.choose_slot(0)
    for slot in slots:
        editor.add_part(slot)


def parts(window):
    return [part.slot for part in window.editor.song]


def on_part(index):
    """The place of a part of the song in the area of all, as fractions of its box."""
    row, column = divmod(index, COLUMNS_OF_PARTS)
    return (column + 0.4) / COLUMNS_OF_PARTS, 1 - (row + 0.5) / ROWS_OF_PARTS


def test_slots_are_chosen_by_mouse_and_key_and_emptied_by_the_right_button(window):
    editor = window.editor
    first = editor.bars
    press_area(window, "slot C")
    window.on_key("r")
    second = editor.bars
    assert editor.slot == 2 and not np.array_equal(first, second)
    window.on_key("A")
    assert editor.slot == 0 and np.array_equal(editor.bars, first)
    area_event(window, "button_press", "slot C", button=3)
    assert editor.slots[2] is None
    window.on_key("ctrl+z")
    window.on_key("C")
    assert np.array_equal(editor.bars, second)


def test_parts_are_added_chosen_changed_and_removed(window):
    editor = window.editor
    make_song(window)
    press_area(window, "Song")
    press_area(window, "slot B")
    press_area(window, "Add")
    press_area(window, "slot D")
    press_area(window, "Add")
    assert parts(window) == [1, 3] and window.view.pages["Song"].part == 1
    press_slider(window, "Times", 5)
    press_slider(window, "Part morph", 2)
    press_area(window, "Part fill")
    assert editor.song[1] == Part(3, editor.song[1].repeats, True, 2) and 4 <= editor.song[1].repeats <= 6
    press_area(window, "song", *on_part(0))
    area_event(window, "scroll", "song", *on_part(0), step=1)
    area_event(window, "scroll", "song", *on_part(0), step=1)
    assert editor.song[0].repeats == 3 and window.view.pages["Song"].part == 0
    press_area(window, "Remove")
    assert parts(window) == [3]
    window.on_key("delete")
    press_area(window, "Remove")
    assert parts(window) == []


def test_a_drag_moves_a_part_in_one_step_of_undo_and_keys_move_it_too(window):
    make_song(window, 0, 1, 2, 3)
    window.view.show_page("Song")
    past = len(window.editor.past)
    area_event(window, "button_press", "song", *on_part(0))
    for place in (1, 2):
        area_event(window, "motion_notify", "song", *on_part(place))
    area_event(window, "button_release", "song", *on_part(2))
    assert parts(window) == [1, 2, 0, 3] and len(window.editor.past) == past + 1
    for key in ("shift+right", "shift+right", "shift+left"):
        window.on_key(key)
    assert parts(window) == [1, 2, 0, 3]
    window.on_key("shift+left")
    assert parts(window) == [1, 0, 2, 3]


def test_the_part_that_is_heard_lights_up(window):
    editor, page = window.editor, window.view.pages["Song"]
    make_song(window, 0, 1, 2)
    editor.change_part(1, repeats=2)
    window.view.show_page("Song")
    assert page.sounding() is None
    press_area(window, "Play song")
    seen = []
    for bar in range(4):
        editor.player.bar = bar
        window.tick()
        seen.append(page.sounding())
    assert seen == [0, 1, 1, 2] and "Song" in editor.describe()
    press_area(window, "Play song")
    assert page.sounding() is None and editor.playing


def test_a_double_click_on_a_part_plays_the_song_from_there(window):
    make_song(window, 0, 1, 2)
    editor = window.editor
    window.view.show_page("Song")
    area_event(window, "button_press", "song", *on_part(1), dblclick=True)
    window.tick()
    assert editor.audition_source == "song" and editor.playing and editor.slot == 1
    assert np.array_equal(editor.player.bars[0], editor.state.pattern_of(1).bars[0])
    area_event(window, "button_press", "song", *on_part(20), dblclick=True)
    assert editor.slot == 1 and editor.playing


def test_a_long_song_is_seen_by_rows(window):
    make_song(window, *[0, 1] * 20)
    page = window.view.pages["Song"]
    window.view.show_page("Song")
    assert page.above == 0 and page.part == 0
    area_event(window, "scroll", "song", step=-1, modifiers=("shift",))
    area_event(window, "scroll", "song", step=-1, modifiers=("shift",))
    assert page.above == 1
    press_area(window, "song", *on_part(31))
    assert page.part == 39
    window.editor.remove_part(0)
    window.tick()
    assert page.part == 38


def test_when_patterns_take_over_and_the_metronome_are_a_click_and_a_key(window):
    editor = window.editor
    window.view.show_page("Song")
    for expected in ("beat", "bar", "now"):
        press_area(window, "Take over")
        assert editor.take_over == expected
    window.on_key("w")
    assert editor.take_over == "beat"
    press_area(window, "Metronome")
    assert editor.metronome and "metronome" in window.view.signs()
    window.on_key("x")
    assert not editor.metronome and not window.view.signs()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_no_text_of_the_song_overlaps_another_at_any_size(model, tmp_path, size):  # noqa: F811
    window = make_window(model, tmp_path, size=size)
    make_song(window, *range(4), *range(4))
    editor = window.editor
    for part in range(8):
        editor.change_part(part, repeats=16, fill=True, morph=8)
    editor.toggle_metronome()
    window.play_by_keys()
    editor.player.followed_bpm = 239.9
    editor.show_message("a long message " * 20)
    for page in ("Song", "Bar"):
        window.view.show_page(page)
        window.tick()
        check_texts(window)
    if size == (700, 480):
        window.view.show_page("Song")
        window.tick()
        check_tips(window)


def test_the_kit_follows_the_map_by_a_click(window):
    editor = window.editor
    press_area(window, "Sounds")
    press_area(window, "Follow")
    assert editor.follow
    press_area(window, "Follow")
    assert not editor.follow
