"""Playing along in the window: rows by keys, recording, tempo by tapping, and what the window shows of it."""

import contextlib
import threading

import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseEvent
from test_window import (SilentPlayer, click, make_window, model, model_path, press_area,  # noqa: F401
                         press_slider)

from window.window import LIVE_KEYS

KICK, SNARE = 0, 1


class TimedPlayer(SilentPlayer):
    """One that is heard at a place of its own, by its own clock."""

    def position_at(self, moment):
        return self.position()


@pytest.fixture
def window(model, tmp_path):  # noqa: F811
    window = make_window(model, tmp_path / "saved", player=TimedPlayer(), seed=5)
    window.editor.clear()
    return window


def key(window, name, kind="press"):
    KeyEvent(f"key_{kind}_event", window.canvas, name)._process()


def test_keys_play_the_rows_until_escape(window):
    editor, player = window.editor, window.editor.player
    hits = editor.bar.copy()
    key(window, "l")
    assert "rows by keys" in window.view.signs()
    for name in "asdfghjk":
        key(window, name)
    assert player.struck == list(range(8)) and np.array_equal(editor.bar, hits)
    key(window, "escape")
    assert not window.view.signs()
    key(window, "s")
    assert len(player.struck) == 8 and editor.message.startswith("Saved"), "a command again"


def test_the_keys_that_play_rows_lie_side_by_side_in_their_order():
    assert list(LIVE_KEYS) == list("asdfghjk") and list(LIVE_KEYS.values()) == list(range(8))


@pytest.mark.parametrize("events, count", [
    ([("press", 1.0), ("press", 1.5), ("press", 1.53), ("release", 1.6)], 1),  # as Windows and browsers repeat
    ([("press", 1.0), ("release", 1.5), ("press", 1.5), ("release", 1.53), ("press", 1.53), ("release", 1.6)], 1),
    ([("press", 1.0), ("release", 1.05), ("press", 1.1), ("release", 1.15)], 2)], ids=["held", "held on X11", "twice"])
def test_a_key_that_is_held_down_plays_once(window, events, count):
    window.play_by_keys()
    for kind, moment in events:
        window.on_key("a", moment) if kind == "press" else window.on_key_release("a", moment)
    assert len(window.editor.player.struck) == count


def test_recording_begins_with_a_count_in_and_what_is_played_goes_into_the_bar(window):
    editor, player = window.editor, window.editor.player
    player.position = lambda: None
    key(window, "f9")
    window.tick()
    assert editor.recording and editor.playing and "count-in" in window.view.signs()
    del player.position
    player.step = 17
    window.tick()
    assert "recording" in window.view.signs()
    key(window, "l")
    key(window, "s")
    assert editor.bar[SNARE].any() and np.count_nonzero(editor.bar) == 1
    press_area(window, "Record")
    window.tick()
    assert not editor.recording and "recording" not in window.view.signs()
    window.on_key("escape")
    window.on_key("ctrl+z")  # the hit, and with it the dot on the map
    assert not editor.bar.any()


def test_the_tempo_is_tapped_by_key_and_on_its_number(window):
    editor, moments = window.editor, iter([1.0, 1.5, 2.0, 2.5])
    editor.now = lambda: next(moments)
    key(window, "enter")
    press_area(window, "tap")
    key(window, "enter")
    assert editor.bpm == 120 and "120" in editor.message
    past = len(editor.past)
    editor.now = iter([9.0, 9.4, 9.8]).__next__
    for _ in range(3):
        press_area(window, "tap")
    assert editor.bpm == 150 and len(editor.past) == past + 1


def test_the_masters_tempo_is_shown_while_a_clock_is_followed(window):
    editor = window.editor
    value = window.view.sliders["Tempo"].value_text
    window.tick()
    assert value.get_text() == "120 bpm"
    editor.player.followed_bpm = 133.337
    editor.needs_paint = True
    window.tick()
    assert value.get_text() == "133.3" and "clock" in window.view.signs() and editor.bpm == 120
    editor.player.followed_bpm = None
    assert not window.view.signs()


def test_evolve_and_fills_are_set_by_mouse_and_key(window):
    editor = window.editor
    for expected in (1, 2, 4, 8, 16, 0):
        key(window, "e")
        assert editor.evolve == expected
    press_slider(window, "Evolve", 3)
    assert editor.evolve in (2, 3, 4)
    for name, expected in (("f", 4), ("f", 8), ("Fill every", 0), ("Fill every", 4)):
        key(window, name) if name == "f" else press_area(window, name)
        assert editor.fill_every == expected


def test_bars_follow_the_one_that_is_shown(window):
    click(window, window.view.map, 0.3, 0.4)
    bar = window.editor.bar.copy()
    key(window, "c")
    assert len(window.editor.bars) == 8 and np.array_equal(window.editor.bars[0], bar)


def test_the_rows_that_were_recorded_stay_and_the_others_are_drawn_around_them(window):
    editor = window.editor
    key(window, "i")
    assert "Record some rows" in editor.message and not editor.bar.any()
    key(window, "f9")
    for step in (0, 16, 32):
        editor.player.step = step
        editor.play_row(KICK)
    key(window, "f9")
    kick = editor.bar[KICK].copy()
    key(window, "i")
    assert np.count_nonzero(kick) == 3 and np.array_equal(editor.bar[KICK], kick) and editor.bar[1:].any()


def test_the_window_goes_on_while_everything_is_written(window, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr("editor.saving.save_everything", lambda path, *given: go_on.wait(20) and path)
    key(window, "ctrl+e")
    window.tick()
    assert "Writing" in window.editor.message
    key(window, "ctrl+e")
    assert "still being written" in window.editor.message
    go_on.set()
    while window.editor.export:
        window.tick()
    assert window.editor.message.startswith("Exported everything into")


def test_shift_and_save_exports(window, monkeypatch):
    done = []
    monkeypatch.setattr("editor.saving.save_everything", lambda path, *given: done.append(path) or path)
    MouseEvent("button_press_event", window.canvas, *window.view.pixel_of("Save"), button=1, key="shift")._process()
    MouseEvent("button_release_event", window.canvas, *window.view.pixel_of("Save"), button=1)._process()
    while window.editor.export:
        window.tick()
    assert len(done) == 1


def test_a_copy_that_was_left_is_offered_in_one_line_and_comes_back_by_its_key(model, tmp_path):  # noqa: F811
    window = make_window(model, tmp_path, seed=5)
    with contextlib.suppress(KeyboardInterrupt), window.editor.autosaving():
        click(window, window.view.grid, 8, SNARE)
        left = window.editor.bars
        raise KeyboardInterrupt  # a copy is left
    window = make_window(model, tmp_path, seed=5)
    with window.editor.autosaving():
        assert window.editor.recovered_from and "u brings it back" in window.editor.message
        key(window, "u")
        assert np.array_equal(window.editor.bars, left) and window.editor.recovered_from is None
        key(window, "ctrl+z")
        assert not np.array_equal(window.editor.bars, left)


def test_a_session_is_opened_by_the_same_button_as_a_bar(model, tmp_path):  # noqa: F811
    window = make_window(model, tmp_path, seed=5)
    click(window, window.view.grid, 8, SNARE)
    window.editor.choose_slot(2)
    key(window, "ctrl+s")
    other = make_window(model, tmp_path, seed=6, choose_file=lambda kind: str(tmp_path / "pattern_001.mid"))
    press_area(other, "Open")
    assert other.editor.slot == 2 and other.editor.slots[0].bars[0, SNARE, 8]
    assert np.array_equal(other.editor.bars, window.editor.bars)
