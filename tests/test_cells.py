"""The commands on the cells of a bar, by their properties: what is put in is taken out, what is moved comes back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_window import SilentPlayer
from tiny_map import a_bar, write_tiny_map

from editor.cells import backwards, shifted
from editor.pattern_editor import PatternEditor
from formats.kit import plain_sound
from patterns.variation import expected_velocity

ROW = st.none() | st.integers(0, 7)
BARS = st.lists(st.integers(0, 5), min_size=1, max_size=3).map(lambda seeds: np.stack([*map(a_bar, seeds)]))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_map(tmp_path_factory.mktemp("model") / "tiny.pt")


@pytest.fixture
def editor(model, tmp_path):
    """An editor of two bars of one's own, the second of which is shown."""
    np.save(tmp_path / "own.npy", np.stack([a_bar(1), a_bar(2)]))
    editor = PatternEditor(model, (plain_sound("a", np.full(100, 0.1)),) * 8, SilentPlayer(), tmp_path, seed=5)
    editor.open_file(tmp_path / "own.npy")
    editor.index = 1
    return editor


def free_cell(editor):
    return next((row, step) for row in range(8) for step in range(0, 64, 4) if not editor.bar[row, step:step + 4].any())


@given(BARS, st.integers(-200, 200), ROW)
@settings(deadline=None, max_examples=30)
def test_a_shift_goes_around_the_whole_pattern_and_back(bars, steps, row):
    there = shifted(bars, steps, row)
    assert np.array_equal(shifted(there, -steps, row), bars)
    for i in range(8):  # each row as one line of time
        line = bars[:, i].ravel()
        assert np.array_equal(there[:, i].ravel(), np.roll(line, steps) if row in (None, i) else line)


@given(BARS, ROW)
@settings(deadline=None, max_examples=30)
def test_backwards_twice_is_forwards(bars, row):
    assert np.array_equal(backwards(backwards(bars, row), row), bars)
    others = [] if row is None else np.delete(np.arange(8), row)
    assert np.array_equal(backwards(bars, row)[:, others], bars[:, others])


@pytest.mark.parametrize("step, expected", [(0, 60), (60, 0), (16, 44), (1, 61), (15, 43), (63, 59), (62, 58)])
def test_backwards_the_first_sixteenth_is_the_last_and_what_is_late_stays_late(step, expected):
    bar = np.zeros((8, 64), np.uint8)
    bar[3, step] = 90
    assert np.argwhere(backwards(bar)).tolist() == [[3, expected]]


def test_a_click_takes_out_the_hit_of_a_sixteenth_that_lies_off_its_grid(editor):
    row, first = free_cell(editor)
    editor.toggle(row, first + 3, 1)
    editor.toggle(row, first + 1, 4)
    assert not editor.bar[row, first:first + 4].any()
    expected = expected_velocity(editor.model, editor.bar, row, first, editor.code, editor.constraints)
    editor.toggle(row, first + 3, 4)
    assert editor.bar[row, first:first + 4].tolist() == [expected, 0, 0, 0]


def test_of_two_hits_in_a_sixteenth_a_click_takes_the_nearer_one_and_erasing_both(editor):
    row, first = free_cell(editor)
    for _ in range(2):
        editor.set_cells({(row, first): 90, (row, first + 2): 80})
        assert editor.hit_near(row, first + 3, 4) == first + 2
        editor.set_cells({(row, first + 1): 0}, grid=4)
        assert not editor.bar[row, first:first + 4].any()


def test_drawing_fills_empty_cells_and_leaves_the_hits_that_are_there(editor):
    row, before = 4, editor.bar.copy()
    editor.set_cells({(row, step): None for step in range(0, 64, 4)}, grid=4)
    struck = before[row].reshape(16, 4).any(1)
    assert np.array_equal(editor.bar[row].reshape(16, 4)[struck], before[row].reshape(16, 4)[struck])
    assert (editor.bar[row].reshape(16, 4)[~struck, 0] > 0).all()
    assert editor.bar[row].reshape(16, 4)[~struck, 1:].sum() == 0
    assert np.array_equal(np.delete(editor.bar, row, 0), np.delete(before, row, 0))


def test_drawing_with_the_mouse_is_one_step_of_undo(editor):
    before = editor.bars
    editor.begin_gesture()
    for step in range(0, 64, 4):
        editor.set_cells({(2, step): 70})
    editor.end_gesture()
    assert (editor.bar[2, ::4] == 70).all()
    editor.undo()
    assert np.array_equal(editor.bars, before)


@pytest.mark.parametrize("asked, velocity", [(64, 64), (0, 1), (-5, 1), (300, 127), (33.7, 33)])
def test_velocity_is_set_within_what_midi_has(editor, asked, velocity):
    row, step = map(int, np.argwhere(editor.bar)[0])
    editor.set_velocity(row, step, asked)
    assert editor.bar[row, step] == velocity
    editor.set_cells({(row, step): 90})
    editor.set_cells({(row, step): asked or 1}, grid=4)
    assert editor.bar[row, step] == velocity
    empty, before = free_cell(editor), editor.state
    editor.set_velocity(*empty, 100, 4)
    assert editor.state is before


def test_a_row_is_pasted_into_another_and_a_bar_into_another_bar(editor):
    first, second = editor.bars.copy()
    editor.paste()
    assert editor.message_kind == "warning" and np.array_equal(editor.bars, [first, second])
    editor.copy(3)
    editor.paste(5)
    assert np.array_equal(editor.bar[5], second[3])
    editor.clear(3)
    editor.paste()
    assert np.array_equal(editor.bar[3], second[3])
    for _ in range(3):
        editor.undo()
    editor.copy()
    editor.index = 0
    editor.paste(2)
    assert np.array_equal(editor.bar[2], second[2]) and np.array_equal(editor.bar[3], first[3])
    editor.paste()
    assert np.array_equal(editor.bars, [second, second])


@pytest.mark.parametrize("act", [
    lambda editor: editor.toggle(0, 3), lambda editor: editor.clear(), lambda editor: editor.clear(4),
    lambda editor: editor.reverse(), lambda editor: editor.reverse(2), lambda editor: editor.set_cells({(1, 1): 5})],
    ids=["toggle", "clear", "clear a row", "reverse", "reverse a row", "draw"])
def test_an_edit_of_one_bar_keeps_the_others_and_lies_on_the_map(editor, act):
    first, before = editor.bars[0].copy(), editor.state
    act(editor)
    assert np.array_equal(editor.bars[0], first) and editor.edited and editor.index == 1
    assert editor.player.bars is not None and np.array_equal(editor.player.bars, editor.bars)
    made = editor.bars
    editor.anchor_edits()
    if made[1].any():  # the model redraws an empty bar
        assert np.array_equal(editor.draw(editor.codes, False) > 0, made > 0)  # velocities to rounding
    editor.undo()
    assert editor.bars.tobytes() == before.bars.tobytes()


def test_what_is_heard_in_place_of_the_pattern_is_the_pattern_once_it_is_edited(editor):
    editor.audition_nearest()
    heard = editor.heard_bars.copy()
    editor.toggle(*free_cell(editor))
    assert editor.audition_source is None and editor.message.endswith("This is your bar now.")
    assert np.array_equal(editor.bars[0], heard[0]) and (editor.bars[1] != heard[1]).sum() == 1
    assert np.array_equal(editor.player.bars, editor.bars)


CELL_ACTS = st.lists(st.one_of(
    st.tuples(st.just("toggle"), st.integers(0, 7), st.integers(0, 63), st.sampled_from([1, 4])),
    st.tuples(st.just("set_velocity"), st.integers(0, 7), st.integers(0, 63), st.integers(-9, 150), st.just(4)),
    st.tuples(st.just("shift"), st.integers(-64, 64), ROW), st.tuples(st.sampled_from(
        ["copy", "paste", "reverse", "clear"]), ROW)), max_size=8)


@given(acts=CELL_ACTS)
@settings(deadline=None, max_examples=25)
def test_undo_returns_to_the_byte_after_any_edits(model, tmp_path_factory, acts):
    editor = PatternEditor(model, (plain_sound("a", np.full(100, 0.1)),) * 8, SilentPlayer(),
                           tmp_path_factory.getbasetemp(), seed=5)
    first, states = editor.bars.copy(), []
    for name, *arguments in acts:
        getattr(editor, name)(*arguments)
        states.append(editor.bars.copy())
    last = editor.bars.copy()
    while editor.past:
        editor.undo()
    assert np.array_equal(editor.bars, first)
    while editor.future:
        editor.redo()
    assert np.array_equal(editor.bars, last)
