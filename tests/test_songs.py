"""Slots and songs: what a song is made of, that it follows from the state alone, that what sounds is what is shown."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_window import SilentPlayer
from tiny_map import a_bar, write_tiny_map

import Activation_Matrix_To_Sound
from editor.cells import backwards
from editor.pattern_editor import PatternEditor
from formats.activation_matrix import CYMBAL, KICK
from formats.kit import plain_sound
from patterns import paths
from session import song
from session.song import song_bars
from session.state import MOST_SONG_BARS, SLOTS, Part

KIT = (plain_sound("a", np.full(100, 0.1)),) * 8
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_map(tmp_path_factory.mktemp("model") / "tiny.pt")


def make_editor(model, folder):
    """Slots A of two bars of one's own, B of one bar drawn, C of one of one's own; C is the present one."""
    np.save(folder / "own.npy", np.stack([a_bar(1), a_bar(2)]))
    np.save(folder / "other.npy", a_bar(3)[None])
    editor = PatternEditor(model, KIT, SilentPlayer(), folder, seed=5)
    editor.open_file(folder / "own.npy")
    editor.choose_slot(1)
    editor.go_to(editor.plane.to_code(0.5, -0.5), "Here")
    editor.choose_slot(2)
    editor.open_file(folder / "other.npy")
    return editor


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    """The editor's state, to begin with."""
    return make_editor(model, tmp_path_factory.mktemp("made")).state


class TimedPlayer(SilentPlayer):
    """One that knows what was heard at a moment, for what is recorded."""

    def position_at(self, moment):
        return self.position()


def begin(model, state):
    editor = PatternEditor(model, KIT, TimedPlayer(), None, seed=5)
    editor.state = editor.heard = state
    editor.play_or_stop()
    return editor


@pytest.fixture
def editor(model, made):
    return begin(model, made)


def check_heard(editor):
    """What was sent to be heard is what is shown: the pattern, or of a song the bar where the sound is."""
    assert np.array_equal(editor.player.bars, np.roll(editor.heard_bars, -editor.song_start, 0)
                          if editor.audition_source == "song" else editor.heard_bars)
    assert len(editor.shown_bars) == len(editor.codes) and editor.index < len(editor.codes)
    assert any(np.array_equal(editor.bar, bar) for bar in editor.player.bars)


def heard_at(editor, bar):
    """Let the sound be in a bar of what the player has, and the editor follow."""
    editor.player.bar = bar
    editor.follow_sound(bar)


# Slots

def test_each_slot_keeps_its_pattern_and_an_empty_one_begins_as_a_copy(editor):
    own = np.stack([a_bar(1), a_bar(2)])
    editor.choose_slot(0)
    assert np.array_equal(editor.bars, own) and np.array_equal(editor.player.bars, own)
    editor.choose_slot(7)
    assert np.array_equal(editor.bars, own)
    editor.clear(0)
    editor.choose_slot(0)
    assert np.array_equal(editor.bars, own)
    editor.choose_slot(7)
    assert not editor.bars[editor.index, 0].any()
    for expected in (0, 7, 7, 0, 2):  # the slots, and the edit between
        editor.undo()
        assert editor.slot == expected
    assert np.array_equal(editor.bars, [a_bar(3)]) and editor.state.pattern_of(7) is None


def test_to_choose_the_present_slot_is_nothing_to_undo(editor):
    before, count = editor.state, len(editor.past)
    editor.choose_slot(2)
    assert editor.state.same_as(before) and len(editor.past) == count


def test_a_slot_is_emptied_unless_it_is_seen_or_in_the_song(editor):
    editor.add_part(0)
    for slot in (2, 0):
        editor.clear_slot(slot)
        assert editor.message_kind == "warning" and editor.state.pattern_of(slot) is not None
    editor.clear_slot(1)
    assert editor.state.pattern_of(1) is None
    editor.undo()
    assert editor.state.pattern_of(1) is not None


def test_a_pattern_that_was_not_yet_drawn_is_drawn_before_another_takes_its_place(editor):
    editor.move_to(editor.plane.to_code(-0.7, 0.2))
    editor.choose_slot(0)
    kept = editor.state.pattern_of(2)
    editor.choose_slot(2)
    assert kept.drawn and np.array_equal(kept.bars, editor.draw(editor.codes, False))


# The song as bars

def test_without_fill_or_morph_a_song_is_its_slots(editor):
    a, b = editor.state.pattern_of(0).bars, editor.state.pattern_of(1).bars
    state = replace(editor.state, song=(Part(0, 2), Part(1), Part(0)))
    bars, places = song_bars(state, editor.model)
    assert np.array_equal(bars, np.concatenate([a, a, b, a]))
    assert [place[:3] for place in places] == [(0, "A", "")] * 4 + [(1, "B", "")] + [(2, "A", "")] * 2
    assert [place[3:] for place in places] == [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0), (0, 0), (0, 1)]


def test_a_fill_ends_a_part_and_a_crash_opens_the_next(editor):
    state = replace(editor.state, song=(Part(0, 2, fill=True), Part(1, 2)))
    bars, places = song_bars(state, editor.model)
    a, b = editor.state.pattern_of(0), editor.state.pattern_of(1)
    assert [place.kind for place in places] == ["", "", "", "fill", "", ""]
    assert np.array_equal(bars[3], paths.fill(editor.model, a.bars[1], a.codes[1], 2, a.surface, a.constraints))
    assert not np.array_equal(bars[3], a.bars[1]) and np.array_equal(bars[3, :, :32], a.bars[1, :, :32])
    assert bars[4, CYMBAL, 0] >= paths.CRASH_VELOCITY and bars[4, KICK, 0] >= paths.KICK_VELOCITY
    rest = np.ones((8, 64), bool)
    rest[[CYMBAL, KICK], 0] = False
    assert np.array_equal(bars[4][rest], b.bars[0][rest]) and np.array_equal(bars[[0, 5]], [a.bars[0], b.bars[0]])


def test_locked_rows_stay_in_a_fill_and_after_it(editor):
    for slot in (0, 1):
        editor.choose_slot(slot)
        editor.lock(KICK)
        editor.lock(CYMBAL)
    state = replace(editor.state, song=(Part(0, 1, fill=True), Part(1)))
    bars, _ = song_bars(state, editor.model)
    plain, _ = song_bars(replace(state, song=(Part(0), Part(1))), editor.model)
    assert np.array_equal(bars[:, [KICK, CYMBAL]], plain[:, [KICK, CYMBAL]]) and not np.array_equal(bars, plain)


def test_a_morph_stands_between_two_parts_which_stay_as_they_are(editor):
    state = replace(editor.state, song=(Part(0, morph=3), Part(2), Part(2, morph=2)))
    bars, places = song_bars(state, editor.model)
    assert [place.kind for place in places] == ["", ""] + ["morph"] * 3 + ["", ""] + ["morph"] * 2
    assert np.array_equal(bars[[0, 1, 5, 6]], [a_bar(1), a_bar(2), a_bar(3), a_bar(3)])
    steps = [np.count_nonzero((bar > 0) != (a_bar(2) > 0)) for bar in bars[1:6]]
    assert steps[0] == 0 and 0 < steps[1] < steps[4] and 0 < steps[3]
    assert all(bar.any() for bar in bars)


def test_a_song_is_a_function_of_the_state(model, editor, tmp_path):
    parts = (Part(0, 2, True, 1), Part(1, 1, True), Part(2, 3, False, 2), Part(1, 1, True, 2))
    bars, places = song_bars(replace(editor.state, song=parts), model)
    assert len(bars) == len(places) == 4 + 1 + 1 + 3 + 2 + 1 + 2
    kept, _ = song_bars(replace(editor.state, song=parts), model)  # from what was kept of the last
    song.fill_of.cache_clear()
    song.morph_of.cache_clear()
    anew, _ = song_bars(replace(make_editor(model, tmp_path).state, song=parts), model)
    assert bars.tobytes() == kept.tobytes() == anew.tobytes()


def test_an_edit_of_a_slot_is_in_the_song_at_once(editor):
    editor.add_part(2)
    editor.change_part(0, repeats=2, fill=True)
    before = song_bars(editor.state, editor.model)[0]
    editor.toggle(7, 5)
    after = song_bars(editor.state, editor.model)[0]
    assert (before[0] != after[0]).sum() == 1 and (before[1, :, :32] != after[1, :, :32]).sum() == 1


@pytest.mark.parametrize("parts, words", [
    ((), "no parts"), ((Part(0), Part(4)), "Part 2 .* E, which is empty"), ((Part(9),), "Part 1 .* 9"),
    ((Part(0, 0),), "Part 1 .*at least 1 time"), ((Part(0, morph=-1),), "Part 1 .*found 1 and -1"),
    ((Part(0, 64), Part(0, 64, morph=1)), f"at most {MOST_SONG_BARS} bars, found {MOST_SONG_BARS + 1}")])
def test_a_song_that_cannot_be_played_is_refused_in_one_line(editor, parts, words):
    with pytest.raises(ValueError, match=words) as refused:
        song_bars(replace(editor.state, song=parts), editor.model)
    assert "\n" not in str(refused.value)


# The song as commands

def test_parts_are_added_changed_moved_and_removed_each_with_its_undo(editor):
    states = [editor.state]
    for act in (lambda: editor.add_part(0), lambda: editor.add_part(1), lambda: editor.add_part(2),
                lambda: editor.change_part(1, repeats=4, fill=True), lambda: editor.move_part(1, -1),
                lambda: editor.move_part(2, 5), lambda: editor.move_part(0, 1), lambda: editor.remove_part(0)):
        act()
        if editor.song != states[-1].song:
            states.append(editor.state)
    assert editor.song == (Part(1, 4, True), Part(2)) and len(states) == 8
    for state in reversed(states[:-1]):
        editor.undo()
        assert editor.song == state.song


def test_a_part_that_no_song_can_have_is_refused_and_changes_nothing(editor):
    editor.add_part(0)
    for act in (lambda: editor.add_part(5), lambda: editor.change_part(0, repeats=0),
                lambda: editor.change_part(0, repeats=1000), lambda: editor.change_part(0, slot=6)):
        before = editor.state
        act()
        assert editor.state is before and editor.message_kind == "warning", editor.message


def test_the_song_is_heard_and_shown_bar_by_bar(editor):
    for slot, repeats in ((0, 2), (1, 1), (2, 3)):
        editor.add_part(slot)
        editor.change_part(len(editor.song) - 1, repeats=repeats)
    editor.change_part(0, fill=True, morph=1)
    editor.play_song()
    check_heard(editor)
    assert editor.playing and editor.audition_source == "song" and len(editor.player.bars) == 9
    for bar, (slot, words) in enumerate([(0, "A"), (0, "A"), (0, "A, 2nd time"), (0, "A, fill"), (0, "A, morph"),
                                         (1, "B"), (2, "C"), (2, "C, 2nd time"), (2, "C, 3rd time")]):
        heard_at(editor, bar)
        assert np.array_equal(editor.bar, editor.player.bars[bar]) and editor.slot == slot
        assert editor.describe() == f"Song, {bar + 1} of 9: {words}"
        assert np.array_equal(editor.code, editor.codes[editor.index])
    editor.play_song()
    assert editor.audition_source is None and np.array_equal(editor.player.bars, [a_bar(3)]) and editor.slot == 2


def test_the_song_begins_with_the_part_that_is_asked_for(editor):
    for slot in (0, 1, 2):
        editor.add_part(slot)
    editor.play_song(1)
    check_heard(editor)
    assert editor.slot == 1 and np.array_equal(editor.player.bars[0], editor.state.pattern_of(1).bars[0])
    heard_at(editor, 2)
    assert (editor.slot, editor.index, editor.describe()) == (0, 0, "Song, 1 of 4: A")
    editor.play_song(2)
    assert editor.slot == 2 and editor.audition_source == "song"


def test_an_edit_while_the_song_is_heard_ends_it_and_goes_into_the_slot_that_is_heard(editor):
    for slot in (0, 1):
        editor.add_part(slot)
    editor.change_part(0, fill=True)
    others = {slot: editor.state.pattern_of(slot).bars for slot in (1, 2)}
    editor.play_song()
    heard_at(editor, 1)
    fill = editor.bar
    editor.toggle(7, 3)
    assert editor.audition_source is None and editor.slot == 0 and editor.playing
    assert editor.message.endswith("The song ends: this is slot A.")
    assert np.array_equal(editor.bars[0], a_bar(1)) and (editor.bars[1] != fill).sum() == 1
    check_heard(editor)
    assert all(np.array_equal(editor.state.pattern_of(slot).bars, bars) for slot, bars in others.items())
    editor.undo()
    assert np.array_equal(editor.bars, np.stack([a_bar(1), a_bar(2)]))
    check_heard(editor)


def test_a_change_of_the_song_is_heard_at_once_but_does_not_start_it(editor):
    editor.add_part(0)
    editor.add_part(1)
    editor.play_song()
    editor.change_part(0, repeats=3)
    check_heard(editor)
    assert len(editor.player.bars) == 7
    editor.play_or_stop()
    editor.move_part(0, 1)
    assert not editor.playing and editor.player.bars is None and len(editor.heard_bars) == 7
    editor.play_or_stop()
    check_heard(editor)
    editor.remove_part(0)
    editor.remove_part(0)
    assert editor.audition_source is None and editor.song == ()
    check_heard(editor)


def test_a_song_of_nothing_is_refused(editor):
    editor.play_song()
    assert editor.message == "The song has no parts yet." and editor.audition_source is None


ACTS = st.lists(st.one_of(
    st.tuples(st.just("choose_slot"), st.integers(0, 4)), st.tuples(st.just("clear_slot"), st.integers(0, 4)),
    st.tuples(st.just("add_part"), st.integers(0, 4)), st.just(("play_song",)), st.just(("play_song", 0)),
    st.just(("toggle", 7, 3)), st.just(("shift", 4)), st.just(("random",)), st.just(("end_path", 3)),
    st.just(("path",)), st.just(("next_variation",)), st.just(("play_anew",)), st.just(("audition_model",)),
    st.just(("choose_bar", 0)), st.just(("undo",)), st.just(("redo",)), st.just(("play_or_stop",)),
    st.just(("set_take_over", "bar")), st.just(("record",)), st.just(("play_row", 1)), st.just(("audition_nearest",)),
    st.just(("set_density", 20)), st.just(("lock", 3)), st.tuples(st.just("hear"), st.integers(0, 9)),
    st.just(("part", "remove_part")), st.just(("part", "move_part", 1)),
    st.builds(lambda n: ("part", "change_part", n), st.integers(0, 3))), max_size=14)


@given(acts=ACTS)
@settings(deadline=None, max_examples=40)
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_after_any_acts_what_sounds_is_shown_and_undo_returns_to_the_byte(model, made, acts):
    editor = begin(model, made)
    first = [editor.state.pattern_of(slot) for slot in range(8)]
    for name, *arguments in acts:
        if name == "hear":
            if editor.playing:
                heard_at(editor, arguments[0] % len(editor.player.bars))
        elif name == "part":
            change, *more = arguments
            fields = dict(repeats=1 + more.pop() % 2, morph=1, fill=True) if change == "change_part" else {}
            if editor.song:
                getattr(editor, change)(0, *more, **fields)
        else:
            getattr(editor, name)(*arguments)
        if not editor.drawn:
            editor.frame()
        if editor.playing:
            check_heard(editor)
    while editor.past:
        editor.undo()
    assert editor.slot == 2 and editor.song == ()
    for slot, pattern in enumerate(first):
        now = editor.state.pattern_of(slot)
        assert (now is None) == (pattern is None), SLOTS[slot]
        if now:
            assert now.bars.tobytes() == pattern.bars.tobytes() and now.codes.tobytes() == pattern.codes.tobytes()


# Without a window

@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The model and two patterns, as files."""
    folder = tmp_path_factory.mktemp("files")
    write_tiny_map(folder / "tiny.pt")
    np.save(folder / "own.npy", np.stack([a_bar(1), a_bar(2)]))
    np.save(folder / "other.npy", a_bar(3)[None])
    return folder


def run_script(files, *arguments):
    """The bars that the script gives."""
    names = [re.sub(r"\w+\.npy", lambda name: str(files / name[0]), word) for word in arguments]
    return Activation_Matrix_To_Sound.main([*names, "--model", str(files / "tiny.pt"), "--seed", "5"])["bars"]


def test_the_script_makes_the_song_of_the_window(model, files, tmp_path):
    editor = PatternEditor(model, KIT, SilentPlayer(), tmp_path, seed=5)
    editor.open_file(files / "own.npy")
    editor.choose_slot(1)
    editor.open_file(files / "other.npy")
    for slot, fields in ((0, {"repeats": 2, "fill": True}), (1, {"morph": 2}), (0, {})):
        editor.add_part(slot)
        editor.change_part(len(editor.song) - 1, **fields)
    editor.play_song()
    bars = run_script(files, "--slot", "A=own.npy", "b=other.npy", "--song", "a:2:fill", "B:morph=2", "A")
    assert len(bars) == 9 and np.array_equal(bars, editor.heard_bars)


@pytest.mark.parametrize("suffix", [".mid", ".wav"])
def test_a_song_that_was_saved_is_made_again_from_its_file(model, files, tmp_path, suffix):
    editor = PatternEditor(model, KIT, SilentPlayer(), tmp_path, seed=5)
    editor.open_file(files / "own.npy")
    editor.choose_slot(3)
    editor.random()
    editor.reverse(KICK)
    for slot, fields in ((0, {"repeats": 30, "fill": True, "morph": 3}), (3, {"fill": True})):
        editor.add_part(slot)
        editor.change_part(len(editor.song) - 1, **fields)
    editor.play_song()
    editor.save()
    saved = next(tmp_path.glob(f"*{suffix}"))
    again = Activation_Matrix_To_Sound.main(["--session", str(saved), "--model", str(files / "tiny.pt"), "--song",
                                             "--npy", str(tmp_path / "again.npy")])["bars"]
    assert len(again) == 64 and np.array_equal(again, editor.heard_bars)


def test_the_script_edits_as_the_window_does(model, files, tmp_path):
    editor = PatternEditor(model, KIT, SilentPlayer(), tmp_path, seed=5)
    editor.open_file(files / "own.npy")
    editor.index = 1
    editor.set_cells({(KICK, 10): 77, (1, 8): 0})
    for editor.index in (0, 1):
        editor.reverse(4)
    editor.shift(-4)
    editor.shift(7, 3)
    asked = ("--hits", "Kick@74=77", "Snare@72=0", "--reverse", "HHC", "--shift", "-4", "HHO=7")
    assert np.array_equal(run_script(files, "--pattern", "own.npy", *asked), editor.bars)
    assert np.array_equal(run_script(files, "--pattern", "own.npy", "--reverse"), backwards(np.load(files / "own.npy")))


OWN = ("--slot", "A=own.npy", "--song")


@pytest.mark.parametrize("arguments, words", [
    (("--song", "A"), "--slot A=FILE"), (("--slot", "A=own.npy"), "--slot: needs --song"),
    ((*OWN, "B"), "B, which is empty"), (("--slot", "I=own.npy", "--song", "A"), "A to H"),
    ((*OWN, "A:4:tom"), "found 'A:4:tom'"), (("--slot", "A=no.npy", "--song", "A"), "no.npy"),
    ((*OWN, "A:0"), "from 1"), ((*OWN, "A:200"), "at most 256"),
    ((*OWN, "A", "--at", "0", "0"), "--at: does not go with --song"),
    ((*OWN, "A", "--shift", "4"), "--shift: does not go with --song"),
    (("--shift", "4"), "--shift: needs one of"), (("--pattern", "own.npy", "--hits", "Kick@128=90"), "below 128"),
    (("--pattern", "own.npy", "--hits", "Kick=90"), "expected"),
    (("--pattern", "own.npy", "--shift", "x"), "expected")])
def test_the_script_refuses_in_one_line_what_is_no_song_or_edit(files, capsys, arguments, words):
    with pytest.raises((SystemExit, ValueError, OSError)) as refused:
        run_script(files, *arguments)
    found = capsys.readouterr().err or str(refused.value)
    assert words in found and found.strip().count("\n") == 0


def test_a_loop_plays_on_where_there_is_no_song_to_play(editor):
    editor.playing = editor.playing or editor.open_sound()
    editor.update()
    editor.play_song()
    assert editor.message == "The song has no parts yet." and editor.playing
    check_heard(editor)
