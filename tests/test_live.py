"""Playing along: tapped tempo, metronome, take-over, and what is played recorded into the loop, against a sequencer
on a clock that the tests turn."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_map import write_tiny_map

from editor.pattern_editor import PatternEditor
from engine.player import AudioUnavailable
from engine.sequencer import Sequencer
from formats.activation_matrix import KICK, SNARE, TOM
from formats.kit import plain_sound
from patterns import latent_map, sampling
from patterns.feel import Feel

RATE, LATENCY = 8000, 0.05  # Hz, seconds
KIT = (plain_sound("a", np.full(1, 0.01)),) * 8
STEP = 240 / 120 / 64  # seconds at 120 bpm


class Band(Sequencer):
    """A player without a sound card, whose time goes on when it is asked to."""

    message, latency, underruns, refused = "", LATENCY, 0, None

    def __init__(self):
        super().__init__(KIT, RATE)
        self.time, self.notes, self.events = 0.0, [], []

    def open(self):
        if self.refused:
            raise AudioUnavailable(self.refused)

    def position_at(self, moment):
        sample = round(moment * RATE)
        at, place = next(((at, place) for at, place in reversed(self._history) if at + self.delay <= sample), (0, None))
        return place and (place[0], place[1] + min((sample - at - self.delay) / (STEP * RATE), 0.999))

    def position(self):
        place = self.position_at(self.time)
        return place and (place[0], int(place[1]))

    def take_notes(self):
        notes, self.notes = self.notes, []
        return notes

    def go_on(self, seconds):
        """Let time pass; sound is made LATENCY before it is heard."""
        self.time += seconds
        self.fill(round((self.time + LATENCY) * RATE) - self.clock)
        self.events += self.take_events()

    def heard(self):
        """(seconds, row) of each hit that has been made."""
        return [((sample + self.delay) / RATE, row) for sample, kind, row, *_ in
                (event for event in self.events if event[1] == "hit")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.pt"
    write_tiny_map(path)
    return latent_map.load_bar_model(path)


def make_editor(model, bars=None, **state):
    editor = PatternEditor(model, KIT, Band(), None, seed=5)
    editor.now = lambda: editor.player.time
    bars = np.zeros((1, 8, 64), np.uint8) if bars is None else bars
    editor.set_bars(bars, codes=np.repeat(editor.codes, len(bars), 0))
    for name, value in state.items():
        setattr(editor, name, value)
    editor.update()
    return editor


@pytest.fixture
def editor(model):
    return make_editor(model)


def go_on(editor, seconds, frame=1 / 30):
    """Let time pass, a frame after the other."""
    end = editor.player.time + seconds
    while editor.player.time < end - 1e-9:
        editor.player.go_on(min(frame, end - editor.player.time))
        editor.frame()


def until(editor, step):
    """Let time pass until a step, a float, is heard the next time."""
    bar, now = editor.player.position_at(editor.player.time)
    go_on(editor, (step - now) % 64 * STEP)


def hits_of(editor):
    return {tuple(cell): int(editor.bars[tuple(cell)]) for cell in np.argwhere(editor.bars).tolist()}


# Tempo, metronome, take-over

@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.floats(0.05, 1.9), min_size=1, max_size=12))
def test_the_tempo_is_the_median_of_the_last_taps_and_one_step_of_undo(model, gaps):
    editor = make_editor(model)
    editor.tap()
    for gap in gaps:
        editor.player.time += gap
        editor.tap()
    expected = np.clip(round(60 / np.median(gaps[-8:]), 1), 40, 240)
    assert editor.bpm == pytest.approx(expected, abs=0.11) and editor.player.bpm == editor.bpm
    if editor.bpm != 120:
        editor.undo()
    assert editor.bpm == editor.player.bpm == 120


def test_taps_are_forgotten_after_two_seconds(editor):
    for gap in (0, 0.5, 0.5, 2.1, 0.75):
        editor.player.time += gap
        editor.tap()
    assert editor.bpm == 80 and len(editor.past) == 1  # at 120 the first series changed nothing
    editor.player.time += 2.1
    for _ in range(2):
        editor.tap()
        editor.player.time += 1
    assert editor.bpm == 60
    editor.undo()
    assert editor.bpm == 80
    editor.undo()
    assert editor.bpm == 120


def test_metronome_and_take_over_reach_the_player_and_are_undone(editor):
    editor.toggle_metronome()
    assert editor.metronome and editor.player._metronome
    editor.undo()
    assert not editor.metronome and not editor.player._metronome
    for name in ("beat", "bar", "now"):
        editor.set_take_over()
        assert editor.take_over == name
    editor.set_take_over("bar")
    editor.set_take_over("soon")
    assert editor.take_over == "bar" and editor.message_kind == "warning" and "soon" in editor.message
    editor.play_or_stop()
    go_on(editor, 0.5)
    editor.toggle(KICK, 40)  # waits for the bar, though it is still to come in this one
    go_on(editor, 1.5)
    assert editor.player.heard() == []
    go_on(editor, 2)
    assert editor.player.heard() == [(pytest.approx(2 + editor.player.delay / RATE + 40 * STEP), KICK)]


# Recording

def test_recording_from_silence_counts_a_bar_in(editor):
    editor.play_row(TOM)  # is only heard
    editor.record()
    assert editor.recording and editor.playing and "clicks" in editor.message
    start = editor.player.time
    go_on(editor, 1.9)
    assert editor.player.position() is None and not hits_of(editor)
    go_on(editor, 0.5)
    assert editor.player.position() is not None
    editor.record()
    assert not editor.recording and editor.playing and editor.player.time - start < 3


def test_without_a_sound_card_nothing_is_recorded(editor):
    editor.player.refused = "no sound: there is no device"
    editor.record()
    assert not editor.recording and not editor.playing and editor.message_kind == "warning"
    editor.play_row(KICK)
    assert not hits_of(editor)


def test_a_hit_just_before_the_end_of_the_count_in_is_of_the_first_beat(editor):
    editor.feel = Feel(tight=100)
    editor.record()
    heard_from = editor.player.delay / RATE + 2.0
    go_on(editor, 1.2)
    editor.play_row(SNARE)
    go_on(editor, heard_from - 1.2 - 0.03)
    editor.play_row(KICK, 90)
    go_on(editor, 0.5)
    assert hits_of(editor) == {(0, KICK, 0): 90}


feels = st.builds(Feel, st.sampled_from([0, 50, 100.0]), st.sampled_from([50, 60.0, 70]),
                  st.sampled_from(["eighth", "sixteenth"]), st.sampled_from([{}, {KICK: -20.0, SNARE: 15.0}]))


@settings(max_examples=25, deadline=None)
@given(feel=feels, count=st.integers(1, 2), gaps=st.lists(st.floats(0.06, 0.9), min_size=1, max_size=8))
def test_a_hit_goes_where_the_sound_was_and_sounds_again_a_pass_later_and_no_sooner(model, feel, count, gaps):
    """As played but for Tight, whatever the latency; with a beat on the grid, so that it is binary."""
    bars = np.zeros((count, 8, 64), np.uint8)
    bars[:, TOM, ::4] = 1
    editor, length = make_editor(model, bars, feel=feel), 2.0 * count
    editor.play_or_stop()
    go_on(editor, 0.3)
    editor.record()
    played = []
    for i, gap in enumerate(gaps):
        go_on(editor, gap)
        row = (KICK, SNARE)[i % 2]
        played.append((editor.player.time, row))
        editor.play_row(row, 100)
    editor.record()
    end = editor.player.time
    go_on(editor, 3 * length)
    heard = [(at, row) for at, row in editor.player.heard() if row != TOM]

    def apart(at, moment):  # round the loop
        return abs((at - moment + length / 2) % length - length / 2)

    for moment, row in played:
        struck = [at for at, other in heard if other == row]
        others = [other for other, _ in played if other != moment]
        assert not [at for at in struck if 0.06 < at - moment < 0.3 and all(apart(at, other) > 0.2 for other in others)]
        farthest = 8 if feel.tight else 1.5  # steps
        assert min(apart(at, moment) for at in struck if at > end + length) <= farthest * STEP


def test_a_hit_that_goes_on_to_a_sixteenth_to_come_does_not_sound_twice(editor):
    editor.feel = Feel(tight=100)
    editor.play_or_stop()
    go_on(editor, 0.5)
    editor.record()
    until(editor, 30.3)
    editor.play_row(KICK)
    moment = editor.player.time
    assert (0, KICK, 32) in hits_of(editor)
    editor.toggle(SNARE, 63)  # another command must not bring it either
    go_on(editor, 3)
    kicks = [at for at, row in editor.player.heard() if row == KICK]
    assert kicks == pytest.approx([moment + LATENCY + editor.player.delay / RATE, moment + 2 + 1.7 * STEP], abs=0.002)


def test_a_pass_of_recording_is_one_step_of_undo_and_commands_between_are_their_own(editor):
    editor.play_or_stop()
    go_on(editor, 0.3)
    editor.record()
    steps = len(editor.past)
    for step in (20, 30, 40):
        until(editor, step + 0.1)
        editor.play_row(KICK)
    assert len(editor.past) == steps + 1
    until(editor, 10.1)  # the next pass
    editor.play_row(KICK)
    editor.toggle(TOM, 3)
    until(editor, 20.1)
    editor.play_row(SNARE)
    cells = [{step for *_, step in hits_of(editor)}]
    for _ in range(4):
        editor.undo()
        cells.append({step for *_, step in hits_of(editor)})
    assert cells == [{20, 30, 40, 10, 3}, {20, 30, 40, 10, 3}, {20, 30, 40, 10}, {20, 30, 40}, set()]
    for _ in range(4):
        editor.redo()
    assert (0, SNARE, 20) in hits_of(editor)
    steps = len(editor.past)
    editor.play_row(SNARE)
    editor.record()
    assert len(editor.past) == steps + 1  # the dot has moved too


def test_notes_of_a_midi_input_are_recorded_where_they_were_played_and_not_struck_again(editor):
    editor.play_or_stop()
    go_on(editor, 0.3)
    editor.record()
    until(editor, 21.0)
    editor.player.notes = [(editor.player.time - 5 * STEP, SNARE, 33)]
    editor.frame()
    assert hits_of(editor) == {(0, SNARE, 16): 33}
    editor.stop()
    editor.frame()
    assert not editor.recording and not editor.player._struck
    editor.player.notes = [(editor.player.time, SNARE, 33)]
    editor.frame()
    assert len(hits_of(editor)) == 1


def test_the_dot_goes_where_the_playing_lands_when_a_pass_ends(model):
    editor = make_editor(model, np.repeat(np.zeros((1, 8, 64), np.uint8), 2, 0), codes=np.zeros((2, 2), np.float32))
    editor.play_or_stop()
    go_on(editor, 0.3)
    editor.record()
    for step in (20, 36, 52):
        until(editor, step + 0.1)
        editor.play_row(KICK, 110)
    assert not editor.codes.any()
    go_on(editor, 4)
    expected = sampling.encode(model, editor.bars[:1])[0]
    np.testing.assert_array_equal(editor.codes, [expected, np.zeros(2)])
    assert editor.edited and len(hits_of(editor)) == 3
    here, bars = editor.codes[0], editor.bars
    editor.record()
    assert editor.bars is bars and "3 hits" in editor.message
    editor.choose_bar(0)
    editor.go_to(np.float32([1, 1]), "There")
    editor.frame()
    editor.go_to(here, "Here")
    editor.frame()
    np.testing.assert_array_equal(editor.bars, bars[:1])


def test_an_audition_ends_with_recording_and_the_pattern_is_recorded_into(model):
    bars = np.zeros((1, 8, 64), np.uint8)
    bars[0, TOM, 0] = 90
    editor = make_editor(model, bars)
    editor.play_or_stop()
    editor.audition_nearest()
    go_on(editor, 0.2)
    editor.record()
    assert editor.audition_source is None
    go_on(editor, 0.2)
    editor.play_row(SNARE)
    assert len(hits_of(editor)) == 2 and hits_of(editor)[0, TOM, 0] == 90


ACTS = ("tap", "toggle_metronome", "set_take_over", "record", "play_row", "play_row", "play_row", "toggle", "undo",
        "redo", "play_or_stop", "random", "set_evolve", "audition_nearest")


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10 ** 6), acts=st.lists(st.sampled_from(ACTS), min_size=5, max_size=40))
def test_whatever_one_does_the_pattern_that_sounds_is_the_one_that_is_shown(model, seed, acts):
    """Once what waits for a beat or bar has taken over; and undo returns to the beginning."""
    editor, generator = make_editor(model), np.random.default_rng(seed)
    most = {"play_row": (8, 127), "set_evolve": (5,), "toggle": (8, 64)}
    before = editor.state
    for act in acts:
        getattr(editor, act)(*(int(generator.integers(1, end)) for end in most.get(act, ())))
        go_on(editor, generator.choice([0, 0.05, 0.4, 1.1]))
        assert editor.message_kind == "info" and editor.codes.shape == (len(editor.bars), 2)
        assert editor.player.bpm == editor.bpm and editor.player._metronome == editor.metronome
    if editor.recording:
        editor.record()
    editor.set_evolve(0)
    go_on(editor, 14)  # two bars at 40 bpm, the count-in too
    engine = editor.player
    if editor.playing:
        assert len(engine._lines) == 1 and not editor.fresh
        np.testing.assert_array_equal(engine._lines[0].loop.bars, editor.heard_bars)
    else:
        assert not engine._lines
    while editor.past:
        editor.undo()
    assert editor.state.same_as(before)
