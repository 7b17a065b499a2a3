"""What the mouse and the keys do on the bar: hits drawn, struck harder, erased; rows copied; the bar seen larger."""

import numpy as np
import pytest
from test_window import area_event, click, make_window, model, model_path, mouse, pixels, press_area  # noqa: F401

KICK, SNARE, HHC, TOM = 0, 1, 4, 5


@pytest.fixture
def window(model, tmp_path):  # noqa: F811
    window = make_window(model, tmp_path / "saved", seed=5)
    window.editor.clear()
    return window


def drag(window, places, button=1):
    """Press at the first (step, row), move over the others, and let go."""
    mouse(window, "button_press", window.view.grid, *places[0], button=button)
    for place in places[1:]:
        mouse(window, "motion_notify", window.view.grid, *place)
        window.tick()
    mouse(window, "button_release", window.view.grid, *places[-1], button=button)


def rest_on(window, step, row):
    mouse(window, "motion_notify", window.view.grid, step, row)


def hits(window, row):
    return np.flatnonzero(window.editor.bar[row]).tolist()


def test_a_drag_along_a_row_draws_a_hit_in_each_sixteenth_as_one_step_of_undo(window):
    editor, before = window.editor, len(window.editor.past)
    drag(window, [(9, HHC), (25, HHC), (33, TOM)])  # a fast mouse; the row is that of the press
    assert hits(window, HHC) == list(range(8, 36, 4)) and np.count_nonzero(editor.bar) == 7
    assert len(editor.past) == before + 1
    window.on_key("ctrl+z")
    assert not editor.bar.any()


def test_a_drag_along_leaves_the_hits_that_are_there(window):
    editor = window.editor
    editor.set_cells({(HHC, 18): 33})  # within the sixteenth that begins at 16
    drag(window, [(8, HHC), (24, HHC)])
    assert hits(window, HHC) == [8, 12, 18, 20, 24] and editor.bar[HHC, 18] == 33


@pytest.mark.parametrize("there", [True, False])
def test_a_drag_up_or_down_changes_the_velocity_of_the_hit_that_was_pressed(window, there):
    editor = window.editor
    if there:
        editor.set_cells({(SNARE, 18): 60})
    step, velocity = (18, 60) if there else (16, editor.new_velocity(SNARE, 16))
    past = len(editor.past)
    drag(window, [(18, SNARE), (18, SNARE + 0.3), (19, SNARE + 1.3)])
    assert hits(window, SNARE) == [step] and editor.bar[SNARE, step] == velocity - 45  # of 340 for eight rows
    assert f"velocity {velocity - 45}" in editor.message and len(editor.past) == past + 1
    drag(window, [(18, SNARE), (18, SNARE - 0.3), (60, SNARE - 6)])
    assert editor.bar[SNARE, step] == 127
    drag(window, [(18, SNARE), (18, SNARE + 0.3), (18, 40)])
    assert editor.bar[SNARE, step] == 1, "a hit stays a hit"


def test_a_click_on_a_hit_takes_it_out_and_a_small_tremble_is_no_drag(window):
    editor = window.editor
    for places in ([(18, SNARE)], [(18, SNARE), (18.3, SNARE + 0.1)]):
        editor.set_cells({(SNARE, 16): 60, (SNARE, 19): 80})
        drag(window, places)
        assert hits(window, SNARE) == [19 if 19 in hits(window, SNARE) else 16]
        editor.undo()
        editor.undo()


def test_the_right_button_erases_what_it_goes_over_in_one_step(window):
    editor = window.editor
    editor.set_cells({(row, step): 90 for row in (KICK, SNARE) for step in range(1, 64, 2)})
    past, full = len(editor.past), editor.bar.copy()
    drag(window, [(8, KICK), (30, KICK), (30, SNARE), (40, SNARE)], button=3)
    assert hits(window, KICK) == [*range(1, 8, 2), *range(33, 64, 2)]
    assert hits(window, SNARE) == [*range(1, 28, 2), *range(45, 64, 2)]
    assert len(editor.past) == past + 1
    window.on_key("ctrl+z")
    assert np.array_equal(editor.bar, full)


def test_undo_during_a_drag_ends_it(window):
    mouse(window, "button_press", window.view.grid, 8, HHC)
    mouse(window, "motion_notify", window.view.grid, 20, HHC)
    window.on_key("ctrl+z")
    mouse(window, "motion_notify", window.view.grid, 40, HHC)
    mouse(window, "button_release", window.view.grid, 40, HHC)
    assert not window.editor.bar.any()


def test_the_wheel_shows_two_beats_then_one_and_cells_are_single_steps_there(window):
    editor, grid = window.editor, window.view.bar
    seen = []
    for step in (1, 1, 1, -1, -1, -1):
        area_event(window, "scroll", "bar", 0.5, 0.5, step=step)
        seen.append((grid.first, grid.count))
    assert seen == [(16, 32), (24, 16), (24, 16), (16, 32), (0, 64), (0, 64)]
    area_event(window, "scroll", "bar", 0.99, 0.5, step=2)
    area_event(window, "scroll", "bar", 0.99, 0.5, step=1)
    assert (grid.first, grid.count) == (48, 16), "what is under the mouse stays"
    window.tick()
    drag(window, [(50, HHC), (53, HHC)])
    assert hits(window, HHC) == [50, 51, 52, 53]
    for step, first in ((1, 44), (-1, 48), (-1, 48)):
        area_event(window, "scroll", "bar", step=step, modifiers=("shift",))
        assert grid.first == first
    rest_on(window, 50, HHC)
    window.on_key("0")
    assert grid.count == 64 and editor.needs_paint
    window.on_key("+")
    assert grid.count == 32 and window.view.map_view.zoom == 1


def test_a_pinch_zooms_the_bar_by_whole_notches(window):
    for _ in range(3):
        area_event(window, "scroll", "bar", step=0.3)
    assert window.view.bar.count == 64
    area_event(window, "scroll", "bar", step=0.3)
    assert window.view.bar.count == 32


@pytest.mark.parametrize("zoom", [0, 1, 2])
def test_what_is_painted_after_a_zoom_is_what_is_drawn_in_full(window, zoom):
    drag(window, [(8, HHC), (60, HHC)])
    for _ in range(zoom):
        area_event(window, "scroll", "bar", 0.3, step=1)
    window.editor.play_or_stop()
    window.editor.player.step = 21
    for _ in range(400):
        window.tick()
        if not len(window.editor.hit_density.left):
            break
    window.tick()
    painted = pixels(window)
    window.canvas.draw()
    assert np.array_equal(painted, pixels(window))


def test_keys_copy_shift_reverse_and_clear_the_row_under_the_mouse_or_else_the_bar(window):
    editor = window.editor
    editor.set_cells({(KICK, 0): 90, (SNARE, 16): 70, (SNARE, 17): 60})
    rest_on(window, 5, SNARE)
    window.on_key("ctrl+c")
    rest_on(window, 5, TOM)
    window.on_key("ctrl+v")
    assert hits(window, TOM) == [16, 17]
    window.on_key("shift+right")
    assert hits(window, TOM) == [20, 21] and hits(window, SNARE) == [16, 17]
    area_event(window, "scroll", "bar", step=1)
    window.on_key("shift+left")
    assert hits(window, TOM) == [19, 20], "a step, where one has zoomed in"
    area_event(window, "motion_notify", "Tom", 0.8)  # its name
    window.on_key("delete")
    assert hits(window, TOM) == [] and hits(window, KICK) == [0]
    mouse(window, "motion_notify", window.view.map, 0, 0)
    window.on_key("shift+right")
    assert hits(window, KICK) == [1] and hits(window, SNARE) == [17, 18]
    bar = editor.bar.copy()
    for key in ("ctrl+c", "delete"):
        window.on_key(key)
    assert not editor.bar.any()
    window.on_key("ctrl+v")
    assert np.array_equal(editor.bar, bar)
    window.on_key("R")
    assert np.count_nonzero(editor.bar) == np.count_nonzero(bar) and not np.array_equal(editor.bar, bar)
    window.view.show_page("Mixer")
    before = editor.bar.copy()
    for key in ("delete", "R", "shift+left", "ctrl+v"):
        window.on_key(key)
    assert np.array_equal(editor.bar, before), "what cannot be seen is not changed"
