"""A bar as it goes on: the velocity of a new hit, bars that follow, bars that evolve, and their commands."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import make_drum_model
from test_window import SilentPlayer
from tiny_map import a_bar, write_tiny_map

from Activation_Matrix_To_Sound import main
from editor.pattern_editor import PatternEditor
from models import BernoulliVAE
from patterns import sampling, variation
from patterns.sampling import Constraints


@pytest.fixture(scope="module", params=["independent", "hierarchical", "velocity latent"])
def model(request, tmp_path_factory):
    if request.param == "hierarchical":
        return make_drum_model("hierarchical")
    if request.param == "velocity latent":
        torch.manual_seed(0)
        return BernoulliVAE(hidden=(16,), velocities=True, velocity_latent=3).eval()
    return write_tiny_map(tmp_path_factory.mktemp("model") / "tiny.pt")


# The velocity of a new hit


@given(seed=st.integers(0, 300), row=st.integers(0, 7), step=st.integers(0, 63))
@settings(max_examples=8, deadline=None)
def test_the_expected_velocity_is_the_one_that_is_drawn_without_noise(model, seed, row, step):
    bar, code = a_bar(seed, 12), np.float32([seed / 100 - 1, 0.3])
    with_hit = bar.copy()
    with_hit[row, step] = 1  # to be filled in: the others stay
    fixed = torch.as_tensor(np.where(np.arange(512).reshape(8, 64) == row * 64 + step, 0, bar)).flatten().float()[None]
    z = model.with_condition(torch.tensor(code)[None])
    x, latent = torch.as_tensor(with_hit[None]), None
    if model.velocity_latent:
        latent = model.encode_velocities(fixed.view(1, 8, 64))[0]
    drawn = model.with_velocities(model.binarise(x), z, torch.zeros(1, 2, 512), fixed, latent)
    assert variation.expected_velocity(model, bar, row, step, code) == drawn[0, row, step]
    assert variation.expected_velocity(model, with_hit, row, step, code) == drawn[0, row, step]


def test_the_expected_velocity_without_a_velocity_net_is_the_mean_of_the_row():
    plain, bar, code = BernoulliVAE(hidden=(8,)).eval(), np.zeros((8, 64), np.uint8), np.zeros(2, np.float32)
    assert variation.expected_velocity(plain, bar, 1, 16, code) == 100
    bar[1, [0, 4, 16]] = 40, 61, 127
    assert variation.expected_velocity(plain, bar, 1, 16, code) == 50  # the hit there does not count


# Bars that follow


def drawn_bar(model, seed, **asked):
    """A bar of the model, and its code."""
    code = np.random.default_rng(seed).standard_normal(2).astype(np.float32)
    return sampling.draw(model, code[None], seed, Constraints(**asked))[0], code


@given(seed=st.integers(0, 300), given_bars=st.integers(1, 3), count=st.integers(1, 9), rows=st.sets(st.integers(0, 7)))
@settings(max_examples=3, deadline=None)
def test_bars_go_on_from_those_that_are_given_and_keep_the_locked_rows(model, seed, given_bars, count, rows):
    bars, codes = (np.stack(parts) for parts in zip(*(drawn_bar(model, seed + i) for i in range(given_bars))))
    asked = Constraints(locked_rows=tuple(rows))
    made, places = variation.continue_bars(model, bars, codes, count, seed, asked)
    assert made.shape == (count, 8, 64) and made.dtype == np.uint8 and places.shape == (count, 2)
    assert np.array_equal(made[:given_bars], bars[:count]) and np.array_equal(places[:given_bars], codes[:count])
    if given_bars == 1:
        assert (made[:, list(rows)] == bars[0][list(rows)]).all()
    again, _ = variation.continue_bars(model, bars, codes, 9, seed, asked)
    assert np.array_equal(again[:count], made)  # a longer one begins as a shorter one


def test_bars_that_follow_have_the_hits_that_are_asked_for_and_are_others_by_another_seed(model):
    bar, code = drawn_bar(model, 3, hits=18)
    one, other = (variation.continue_bars(model, bar[None], code[None], 6, seed, Constraints(hits=18))[0]
                  for seed in (1, 2))
    assert {np.count_nonzero(bar) for bar in (*one, *other)} == {18} and not np.array_equal(one[1:], other[1:])


def test_bars_that_follow_are_more_like_the_bar_than_others_of_its_place(model):
    def distance(bars, others):
        return np.mean([((bar > 0) != (other > 0)).sum() for bar, other in zip(bars, others)])

    pairs = [drawn_bar(model, seed) for seed in range(12)]
    bars = [bar for bar, _ in pairs]
    following = [variation.continue_bars(model, bar[None], code[None], 2, 1)[0][1] for bar, code in pairs]
    others = [sampling.draw(model, code[None], 1000)[0] for _, code in pairs]
    assert 0 < distance(bars, following) < 0.8 * distance(bars, others)


# Bars that evolve


def changed(model, one, other):
    """Where the scores of two bars differ, bool (8, sixteenths)."""
    scores = model.score(torch.as_tensor(np.stack([one, other]))).view(2, *model.score_shape)
    return (scores[0] != scores[1]).numpy()


@given(seed=st.integers(0, 300), cells=st.integers(0, 9), rows=st.sets(st.integers(0, 7), max_size=7))
@settings(max_examples=6, deadline=None)
def test_exactly_so_many_cells_change_and_the_rest_is_played_as_it_was(model, seed, cells, rows):
    bar, code = drawn_bar(model, seed)
    made = variation.evolve(model, bar, code, cells, seed, Constraints(locked_rows=tuple(rows)))
    where = changed(model, bar, made)
    assert where.sum() == cells and not where[list(rows)].any()
    cell = model.cells_of(torch.as_tensor(where).reshape(1, -1).float())[0].view(8, 64).numpy() > 0
    assert np.array_equal(made[~cell], bar[~cell])
    assert np.array_equal(made, variation.evolve(model, bar, code, cells, seed, Constraints(locked_rows=tuple(rows))))


@given(seed=st.integers(0, 300), cells=st.integers(1, 6), asked=st.sampled_from([
    {"hits": 20}, {"row_hits": {0: 4, 5: 0}}, {"hits": 16, "row_hits": {1: 2}}]))
@settings(max_examples=5, deadline=None)
def test_an_evolving_bar_keeps_the_hits_that_are_asked_for(model, seed, cells, asked):
    bar, code = drawn_bar(model, seed, **asked)
    made = variation.evolve(model, bar, code, cells, seed, Constraints(**asked))
    assert np.count_nonzero(made) == asked.get("hits", np.count_nonzero(made))
    assert all(np.count_nonzero(made[row]) == hits for row, hits in asked.get("row_hits", {}).items())
    assert changed(model, bar, made).sum() in (cells, cells - 1 if "hits" in asked else cells)


def test_a_bar_whose_rows_are_all_locked_stays_and_none_becomes_empty(model):
    bar, code = drawn_bar(model, 1)
    assert np.array_equal(variation.evolve(model, bar, code, 5, 1, Constraints(locked_rows=range(8))), bar)
    bar = np.zeros((8, 64), np.uint8)
    bar[0, 0] = 90
    others = [variation.evolve(model, bar, code, 1, seed, Constraints(locked_rows=range(1, 8))) for seed in range(9)]
    assert all(changed(model, bar, other).sum() == 1 and other[0, 0] == 90 for other in others)


def test_what_evolves_stays_as_probable_as_what_is_drawn():
    model = make_drum_model("hierarchical")
    _, code = drawn_bar(model, 4)
    asked = Constraints(temperature=0.85)
    fresh = np.concatenate([sampling.draw(model, code[None], seed, asked) for seed in range(16)])
    evolved = [variation.evolved_bars(model, fresh[[i]], code[None], 6, 15, i, asked)[0][-1] for i in range(6)]
    ours, theirs = (model.log_likelihood(torch.as_tensor(np.stack(bars)), torch.as_tensor(code).expand(len(bars), -1))
                    .detach().numpy() for bars in (evolved, fresh))
    assert ours.mean() > theirs.mean() - 2 * theirs.std()


def test_a_loop_that_evolves_changes_each_bar_by_so_many_cells_a_pass_and_fills_are_left_again(model):
    bars, codes = (np.stack(parts) for parts in zip(*(drawn_bar(model, i) for i in (1, 2))))
    made, places = variation.evolved_bars(model, bars, codes, 3, 8, 5)
    assert np.array_equal(made[:2], bars) and np.array_equal(places, np.tile(codes, (4, 1)))
    assert all(changed(model, *made[[i, i + 2]]).sum() == 3 for i in range(6))
    filled = variation.with_fills(model, made, places, 4, 5)
    same = (filled == made).all((1, 2))
    assert same[[0, 1, 2, 4, 5, 6]].all() and np.array_equal(filled[:, :, 2:30], made[:, :, 2:30])
    assert np.array_equal(variation.with_fills(model, made, places, 0, 5), made)


# The editor


class Takes(SilentPlayer):
    """Remembers when each pattern was to take over."""

    def play(self, bars, feel, when="now", count_in=0):
        super().play(bars, feel, when, count_in)
        self.taken = [*getattr(self, "taken", []), when]


@pytest.fixture
def editor(tmp_path):
    path = tmp_path / "tiny.pt"
    return PatternEditor(write_tiny_map(path), (), Takes(), tmp_path / "saved", constraints=Constraints(), seed=3)


def play_on(editor, steps):
    """Frames at so many places further on, half a beat apart."""
    player = editor.player
    for _ in range(steps):
        player.step += 8
        if player.step >= 64:
            player.bar, player.step = (player.bar + 1) % len(player.bars), 0
        editor.frame()


def test_continue_makes_several_bars_of_one_and_keeps_its_locked_rows(editor):
    editor.lock(0)
    first, before = editor.bar, editor.bars
    editor.continue_bars(6)
    assert editor.bars.shape == (6, 8, 64) and np.array_equal(editor.bars[0], first) and editor.playing
    assert (editor.bars[:, 0] == first[0]).all() and editor.codes.shape == (6, 2)
    once = editor.bars
    editor.undo()
    assert np.array_equal(editor.bars, before)
    editor.continue_bars(6)
    assert not np.array_equal(editor.bars, once) and np.array_equal(editor.bars[0], first)


@pytest.mark.parametrize("act", [lambda editor: editor.continue_bars(1), lambda editor: editor.continue_bars(17),
                                 lambda editor: editor.set_evolve(-1), lambda editor: editor.set_fill_every(99)])
def test_a_number_that_is_not_offered_is_one_line_and_changes_nothing(editor, act):
    before = editor.state
    act(editor)
    assert editor.state is before and editor.message_kind == "warning" and "expected" in editor.message


def test_rows_are_filled_around_those_that_were_played(editor):
    editor.set_cells({(0, 0): 90, (1, 16): 70}) if hasattr(editor, "set_cells") else editor.toggle(0, 0)
    editor.lock(2)
    played = editor.bar
    editor.fill_around({0, 1})
    assert (editor.bar[:3] == played[:3]).all() and not np.array_equal(editor.bar, played)
    assert np.allclose(editor.code, sampling.encode(editor.model, played[None])[0])
    editor.undo()
    assert np.array_equal(editor.bar, played)


def test_a_loop_that_evolves_changes_at_its_start_for_ear_and_eye_and_is_one_step_of_undo(editor):
    editor.set_evolve(3)
    editor.play_or_stop()
    first, steps = editor.bars, len(editor.past)
    play_on(editor, 7)
    assert np.array_equal(editor.bars, first) and not np.array_equal(editor.player.bars, first)
    assert editor.player.taken == ["now", "bar"]  # the player has it before it is heard
    play_on(editor, 1)
    assert changed(editor.model, first[0], editor.bar).sum() == 3 and np.array_equal(editor.player.bars, editor.bars)
    play_on(editor, 24)
    assert np.array_equal(editor.player.bars, editor.bars) and editor.player.taken == ["now"] + 4 * ["bar"]
    wanted, _ = variation.evolved_bars(editor.model, first, editor.codes, 3, 5, editor.surface.seed)
    assert np.array_equal(editor.bars[0], wanted[-1])  # as without a window
    assert len(editor.past) == steps + 1
    editor.undo()
    assert np.array_equal(editor.bars, first) and np.array_equal(editor.player.bars, first) and editor.evolve == 3
    editor.undo()
    assert editor.evolve == 0


def test_a_fill_is_heard_once_and_left_again(editor):
    editor.set_fill_every(4)
    editor.play_or_stop()
    plain, heard = editor.bars, []
    for _ in range(9):
        heard.append(editor.shown_bars)
        assert editor.bars is plain and np.array_equal(editor.player.bars, editor.shown_bars)
        play_on(editor, 8)
    assert [bars is plain for bars in heard] == [True, True, True, False] * 2 + [True]
    play_on(editor, 16)
    assert editor.audition_source is None or editor.shown_bars is not plain
    while editor.audition_source != "fill":
        play_on(editor, 1)
    editor.play_or_stop()
    editor.frame()
    assert editor.audition_source is None and editor.shown_bars is plain


def test_a_command_while_the_next_bar_waits_is_what_is_heard(editor):
    editor.set_evolve(3)
    editor.play_or_stop()
    play_on(editor, 5)
    editor.toggle(0, 0)
    mine = editor.bars
    assert np.array_equal(editor.player.bars, mine)
    play_on(editor, 1)
    editor.set_feel(swing=60.0)  # sends what is shown again, and with it goes what was to come
    assert np.array_equal(editor.player.bars, editor.bars) and np.array_equal(editor.bars, mine)
    play_on(editor, 3)
    assert np.array_equal(editor.player.bars, editor.bars)
    play_on(editor, 6)
    editor.set_evolve(0)
    stays = editor.bars
    assert np.array_equal(editor.player.bars, stays)
    play_on(editor, 20)
    assert editor.bars is stays and np.array_equal(editor.player.bars, stays)


def test_of_several_bars_each_evolves_after_it_was_heard_and_locked_rows_stay(editor):
    editor.continue_bars(3)
    editor.lock(1)
    editor.set_evolve(2)
    first = editor.bars
    editor.player.bar = editor.player.step = 0
    editor.frame()
    play_on(editor, 8 * 3)
    assert [changed(editor.model, *pair).sum() for pair in zip(first, editor.bars)] == [2, 0, 0]
    play_on(editor, 8 * 2)
    assert [changed(editor.model, *pair).sum() for pair in zip(first, editor.bars)] == [2, 2, 2]
    assert np.array_equal(editor.bars[:, 1], first[:, 1])


# Without a window


def test_the_same_options_give_the_same_bytes(tmp_path, capsys):
    path = tmp_path / "tiny.pt"
    model = write_tiny_map(path)
    midi = tmp_path / "a.mid"
    source = ["--at", "0.5", "-1", "--model", str(path), "--seed", "4", "--fill-every", "4", "--midi", str(midi)]
    for options in (["--evolve", "3", "--bars", "8"], ["--continue"]):
        first, written = main([*source, *options])["bars"], midi.read_bytes()
        again = main([*source, *options])["bars"]
        assert len(first) == 8 and np.array_equal(first, again) and midi.read_bytes() == written
        assert len({bar.tobytes() for bar in first}) > 4
    own = tmp_path / "own.npy"
    np.save(own, first[:1])
    made = main(["--pattern", str(own), "--model", str(path), "--evolve", "2", "--bars", "4", "--style", "any"])["bars"]
    assert np.array_equal(made[0], first[0]) and changed(model, *made[:2]).sum() == 2


@pytest.mark.parametrize("options", [["--continue"], ["--at", "0", "0", "--fill-every", "4"],
                                     ["--at", "0", "0", "--evolve", "3", "--continue"],
                                     ["--path", "0", "0", "1", "1", "--evolve", "3"]])
def test_options_that_do_not_go_together_are_one_line(options, capsys):
    with pytest.raises(SystemExit) as end:
        main(options)
    assert end.value.code == 2 and capsys.readouterr().err.count("\n") == 1
