"""Score, timing and velocities apart: the hierarchical decoder, the noise of each level, bars of one's own and morphs;
against enumeration, thresholds cell by cell, and by property."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import all_examples, make
from tiny_map import a_bar

from models import BernoulliVAE, logistic_noise
from patterns import noise, sampling
from patterns.noise import SCORE, TIMING, VELOCITY, Surface
from patterns.sampling import Constraints, draw

pytestmark = pytest.mark.usefixtures("one_thread")
CODE = torch.tensor([[0.4, -0.7]])


def tiny(shape, dtype=torch.float64, **config):
    """A model of levels whose every weight matters."""
    model = make(2, dtype, 2.0, shape=shape, hidden=(8,), decoder="hierarchical", width=8, **config)
    with torch.no_grad():
        for parameter in model.timing_net.parameters():
            parameter *= 2
    return model


@pytest.fixture(scope="module")
def model():
    """A model of whole bars of some 20 hits, of three levels and two styles."""
    torch.manual_seed(3)
    model = BernoulliVAE(hidden=(16,), decoder="hierarchical", width=16, velocities=True, velocity_latent=3,
                         styles=["a", "b"])
    with torch.no_grad():
        model.decoder.out.bias -= 1.7
        for parameter in (*model.decoder.code.parameters(), model.steady.weight, model.style.weight):
            parameter *= 2
    return model.eval()


# The score and the windows.

def test_cells_and_score_with_windows_are_each_given_by_the_other():
    net, bars = tiny((1, 8)).timing_net, all_examples((1, 8)).flatten(1)
    windows = net.to_blocks(bars)                                                     # (256, 2, 4)
    assert torch.equal(net.from_blocks(windows), bars)
    assert torch.equal(net.score(bars), windows.amax(-1))
    by_score = torch.bincount(net.score(bars) @ torch.tensor([2, 1]))
    assert by_score.tolist() == [1, 15, 15, 225], "15 patterns of a window that has a hit"


def test_a_window_is_two_steps_before_its_sixteenth_to_one_after_in_a_loop():
    net, bar = BernoulliVAE(hidden=(8,), decoder="hierarchical", width=8).timing_net, np.zeros((8, 64), np.float32)
    for row, steps in {0: (0, 62, 63, 1), 3: (14, 15, 16, 17), 7: (58, 59, 60, 61)}.items():
        for step in steps:
            one = np.zeros_like(bar)
            one[row, step] = 1
            score = net.score(torch.tensor(one).flatten()).view(8, 16)
            assert score.nonzero().tolist() == [[row, (step + 2) // 4 % 16]]
            assert net.cells_of(score.flatten()).view(8, 64)[row].nonzero()[:, 0].tolist() == sorted(steps)


def test_the_probabilities_of_all_cells_and_of_all_windows_of_a_score_sum_to_one():
    model, bars = tiny((1, 8), styles=["a"]), all_examples((1, 8))
    score, z = model.score(bars), CODE.double().expand(256, -1)
    with torch.no_grad():
        for style, steady, timing in ((None, None, None), (0, 0.9, torch.tensor([-0.5, 0.2, 1.0]))):
            given = dict(style=style, steady=steady, timing=None if timing is None else timing.expand(256, -1))
            log_px = model.log_likelihood(bars, z, **given)
            steps = model.timing_log_likelihood(bars, style, timing=given["timing"])
            assert torch.logsumexp(log_px, 0).item() == pytest.approx(0, abs=1e-6)
            for which in range(4):
                members = (score @ torch.tensor([2.0, 1.0]).double()) == which
                assert torch.logsumexp(steps[members], 0).item() == pytest.approx(0, abs=1e-6)
                assert (log_px - steps)[members].std(correction=0) < 1e-9, "what is left is of the score alone"
            assert log_px.max() - log_px.min() > 2


def test_drawn_cells_come_as_often_as_their_probability_says():
    model, count, bars = tiny((1, 8), torch.float32), 20_000, all_examples((1, 8))
    with torch.no_grad():
        expected = count * model.log_likelihood(bars, CODE.expand(256, -1)).exp().double()
    made = model.decode_sample(CODE.expand(count, -1), torch.Generator().manual_seed(0)) > 0
    found = torch.bincount(made.flatten(1).long() @ 2 ** torch.arange(7, -1, -1), minlength=256).double()
    rare = expected < 5
    found, expected = (torch.cat([counts[~rare], counts[rare].sum()[None]]) for counts in (found, expected))
    assert len(expected) > 20 and scipy.stats.chisquare(found, expected / expected.sum() * count).pvalue > 1e-3


@pytest.mark.parametrize("single", [False, True])
def test_timing_is_drawn_cell_by_cell_by_its_thresholds(single):
    model, generator = tiny((2, 16), torch.float32), torch.Generator().manual_seed(1)
    net, score = model.timing_net, (torch.rand(40, 8, generator=generator) < 0.5).float()
    thresholds = logistic_noise((40, 32), generator)
    fixed = torch.zeros(40, 32)
    fixed[:, 5] = fixed[:, 6] = 1  # the window of row 0, sixteenth 1 (steps 2 to 5) and that of sixteenth 2
    score = torch.maximum(score, net.score(fixed))
    condition = model.with_condition(torch.zeros(40, 0))
    with torch.no_grad():
        found = net.draw(score, condition, thresholds, single=single)
        kept = net.draw(score, condition, thresholds, fixed, single)
        cells, open_cells = torch.zeros(40, 32), net.cells_of(score)
        for cell in net.to_blocks(torch.arange(32)).flatten().tolist():
            window = net.cells_of(net.score(torch.eye(32)[cell]))
            struck = (net.logits(cells, condition, score) + thresholds > 0)[:, cell].float()
            others = (cells * window).amax(1)
            if (cell - 1) % 4 == 0:  # the last of its window
                struck = torch.maximum(struck, 1 - others)
            cells[:, cell] = open_cells[:, cell] * struck * (1 - others if single else 1)
    assert torch.equal(found, cells) and torch.equal(net.score(found), score)
    assert single == torch.equal(found.sum(1), score.sum(1))
    there = net.cells_of(net.score(fixed)) > 0
    assert torch.equal(kept[there], fixed[there]) and torch.equal(net.score(kept), score)


def test_code_and_steadiness_decide_the_score_alone_and_timing_the_steps_alone(model):
    x = torch.as_tensor(np.stack([a_bar(seed) for seed in range(3)]))
    z, other = torch.zeros(3, 2), torch.ones(3, 2)
    moved = model.timing_net.from_blocks(model.timing_net.to_blocks((x > 0).flatten(1)).unflatten(-1, (8, 4)).flip(
        -1).flatten(-2)).view(x.shape)
    with torch.no_grad():
        steps = [model.timing_log_likelihood(x, timing=timing) for timing in (None, torch.zeros(3, 3))]
        assert (steps[0] != steps[1]).all() and (steps[0] != model.timing_log_likelihood(moved)).all()
        scores = [model.log_likelihood(x, code, steady=steady) - steps[0]
                  for code, steady in ((z, None), (other, None), (z, torch.full((3,), 0.9)))]
        assert all((one - two).abs().min() > 1e-3 for one, two in itertools.combinations(scores, 2))
        torch.testing.assert_close(model.log_likelihood(x, z, timing=torch.zeros(3, 3)) - steps[1], scores[0])
        torch.testing.assert_close(model.log_likelihood(moved, z) - model.timing_log_likelihood(moved), scores[0])
        assert torch.equal(torch.stack(model.encode(x)), torch.stack(model.encode(moved)))
        assert torch.equal(model.encode(x)[0], model.encode(x, timing=torch.zeros(3, 3))[0])
        assert not torch.equal(model.encode(x)[0], model.encode(x, steady=0.9)[0])


def test_a_condition_that_is_not_a_number_is_any(model):
    units = torch.zeros(3, 2)
    any_one = model.with_condition(units)
    assert torch.equal(model.with_condition(units, -1, None, math.nan, torch.full((3, 3), math.nan)), any_one)
    one = model.with_condition(units, None, None, torch.tensor([0.5, math.nan, 0.0]))
    assert torch.equal(one[1], any_one[1]) and not torch.equal(one[0], any_one[0])
    assert not torch.equal(one[2], any_one[2]), "0, a fill, is not any"


# Noise.

@pytest.mark.parametrize("level, reach", [(SCORE, noise.SCORE_REACH), (TIMING, noise.PLAY_REACH),
                                          (VELOCITY, noise.PLAY_REACH)])
def test_noise_is_logistic_over_the_seeds_and_near_points_have_near_noise(level, reach):
    z = torch.tensor([[0.3, -0.4], [0.3 + reach / 6, -0.4], [0.3 + reach, -0.4], [30.0, 10.0]])
    found = torch.stack([Surface(seed).logistic(z, level, (40, 2)) for seed in range(300)])  # (300, 4, 40, 2)
    assert scipy.stats.kstest(found[:, 0].flatten().numpy(), "logistic").pvalue > 1e-3
    ranks = scipy.stats.spearmanr(found.transpose(0, 1).flatten(1).numpy().T).statistic
    assert ranks[0, 1] > 0.97 and abs(ranks[0, 3]) < 0.03
    assert 0.5 < ranks[0, 2] < 0.68, "exp(-1/2) = 0.61 at its reach"
    cells = np.corrcoef(found[:, 0].flatten(1).numpy().T) - np.eye(80)
    assert abs(cells).max() < 0.3, "cells of a point are independent of each other: 300 seeds, 3,160 pairs"


def test_noise_that_decides_cells_of_any_logit_does_and_comes_back_from_logistic_to_normal():
    logits = torch.tensor([-200.0, -30, -3, 0, 3, 30, 200]).repeat(100, 2)
    struck = (torch.arange(14) < 7).expand_as(logits)
    found = noise.threshold_noise(logits, struck, torch.Generator().manual_seed(0))
    assert torch.equal(logits + noise.to_logistic(found) > 0, struck)
    assert found[:, 3].std() > 0.3, "drawn from what the threshold allows"
    torch.testing.assert_close(noise.to_normal(noise.to_logistic(found)), found, rtol=1e-4, atol=1e-5)


def test_levels_and_attempts_have_noise_of_their_own_and_play_seed_moves_all_but_the_score():
    z, shape = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)), (20,)
    fields = [Surface(3).normal(z, level, shape) for level in range(4)] + [Surface(3).normal(z, SCORE, shape, 1)]
    ranks = np.corrcoef([field.flatten().numpy() for field in fields]) - np.eye(5)
    assert abs(ranks).max() < 0.25
    for level in range(4):
        same = torch.equal(Surface(3, play_seed=4).normal(z, level, shape), fields[level])
        assert same == (level == SCORE)


# Bars of one's own.

@given(seed=st.integers(0, 10_000), hits=st.integers(0, 60), style=st.sampled_from([None, 1]),
       steady=st.sampled_from([None, 0.9]))
@settings(max_examples=25, deadline=None)
def test_any_bar_at_any_code_is_drawn_exactly_by_its_anchor(model, seed, hits, style, steady):
    own, code = a_bar(seed, hits), 3 * np.random.default_rng(seed).standard_normal(2).astype(np.float32)
    constraints = Constraints(style=style, steady=steady, timing=None if style is None else (-0.5, 0.1, 0.3))
    anchor = sampling.anchor(model, own, code, constraints, seed)
    found = draw(model, code[None], Surface(seed).with_anchor(anchor), constraints)[0]
    assert np.array_equal(found > 0, own > 0) and abs(found.astype(int) - own).max() <= 1
    elsewhere = draw(model, code[None] + 9, Surface(seed).with_anchor(anchor), constraints)
    assert np.array_equal(elsewhere, draw(model, code[None] + 9, seed, constraints)), "far away nothing changes"


def test_the_nearer_to_an_anchor_the_more_of_its_score_stays(model):
    own, code = a_bar(5, 25), np.array([0.2, -0.3], np.float32)
    surface = Surface(4).with_anchor(sampling.anchor(model, own, code))
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    score = model.score(torch.as_tensor(own[None]))
    changed = [(model.score(torch.as_tensor(draw(model, code + distance * circle, surface))) != score).float().sum(
        1).mean().item() for distance in (0.01, 0.1, 0.3, 3.0)]
    assert changed == sorted(changed) and changed[0] < 2 and changed[3] > 20


def test_of_two_anchors_each_is_drawn_at_its_own_code_and_bare_noise_stays_itself(model):
    codes = np.array([[0.0, 0.0], [0.5, 0.5], [-2.0, 1.0]], np.float32)
    anchors = [sampling.anchor(model, a_bar(seed), code) for seed, code in enumerate(codes[:2])]
    found = draw(model, codes, Surface(8).with_anchor(*anchors))
    assert all(np.array_equal(found[i] > 0, a_bar(i) > 0) for i in range(2))
    itself = Surface(8).with_anchor(sampling.anchor_at(model, codes[2], 8))
    assert np.array_equal(draw(model, codes[2:], itself), draw(model, codes[2:], 8))


@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_morph_begins_and_ends_exactly_and_moves_step_by_step(model, count):
    bars = [a_bar(1), a_bar(2)]
    start, end = (sampling.anchor(model, bar, code) for bar, code in zip(bars, np.eye(2, dtype=np.float32)))
    path = sampling.morph(model, start, end, count)
    assert path.shape == (count, 8, 64) and path.dtype == np.uint8
    assert np.array_equal(path[0] > 0, bars[0] > 0) and np.array_equal(path[-1] > 0, bars[1] > 0)
    point = sampling.anchor_at(model, np.float32([0.3, 0.3]), 8)
    mixed = sampling.morph(model, point, start, count)
    assert np.array_equal(mixed[0], draw(model, np.float32([[0.3, 0.3]]), 8)[0])
    if count == 9:
        scores = model.score(torch.as_tensor(path))
        far = [(scores[i] != scores[0]).sum().item() for i in range(count)]
        assert far[1] < far[-1] / 2 and len({bar.tobytes() for bar in path}) == count


def test_a_morph_of_a_bar_into_itself_is_that_bar(model):
    anchor = sampling.anchor(model, a_bar(1), np.zeros(2, np.float32))
    assert all(np.array_equal(bar > 0, a_bar(1) > 0) for bar in sampling.morph(model, anchor, anchor, 4))


# Drawing.

def test_played_anew_a_bar_keeps_its_score(model):
    bars = np.stack([a_bar(seed) for seed in range(4)])
    score = model.score(torch.as_tensor(bars))
    one, again, other = (sampling.play_anew(model, bars, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(model.score(torch.as_tensor(found)), score) for found in (one, other))
    assert np.array_equal(one, again) and not np.array_equal(one > 0, other > 0) and not np.array_equal(one, bars)
    locked = sampling.play_anew(model, bars[:1], seed=1, constraints=Constraints(locked=bars[0], locked_rows=(0, 5)))
    assert np.array_equal(locked[0, [0, 5]], bars[0, [0, 5]]) and not np.array_equal(locked[0], bars[0])


@given(seed=st.integers(0, 1000), hits=st.sampled_from([0, 1, 13, 40, 128]),
       temperature=st.sampled_from([0.0, 1.0, 2.0]))
@settings(max_examples=15, deadline=None)
def test_hits_asked_for_are_one_in_a_sixteenth(model, seed, hits, temperature):
    code = np.random.default_rng(seed).standard_normal((1, 2)).astype(np.float32)
    bar = draw(model, code, seed, Constraints(hits=hits, temperature=temperature))
    assert np.count_nonzero(bar) == hits == model.score(torch.as_tensor(bar)).sum()


def test_more_hits_than_sixteenths_are_refused(model):
    with pytest.raises(ValueError, match="hits: expected 0 to 128, found 129"):
        draw(model, CODE, constraints=Constraints(hits=129))
    with pytest.raises(ValueError, match="row_hits, row 2: expected 0 to 16, found 17"):
        draw(model, CODE, constraints=Constraints(row_hits={2: 17}))


@given(seed=st.integers(0, 1000), rows=st.sets(st.integers(0, 7), min_size=1, max_size=7), exact=st.booleans())
@settings(max_examples=15, deadline=None)
def test_locked_rows_are_kept_to_the_cell_under_every_constraint(model, seed, rows, exact):
    own = a_bar(seed)
    kept = sorted(rows)
    hits = np.count_nonzero(own[kept]) + 2 if exact else None
    bar = draw(model, CODE, seed, Constraints(locked=own, locked_rows=kept, hits=hits))[0]
    assert np.array_equal(bar[kept], own[kept])
    assert not exact or np.count_nonzero(bar) == hits


def test_temperature_is_of_the_score_alone_which_is_likelier_the_lower_it_is(model):
    z = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    likely = []
    for temperature in (0.5, 1, 2):
        bars = torch.as_tensor(draw(model, z, 5, Constraints(temperature=temperature)))
        with torch.no_grad():
            likely.append((model.log_likelihood(bars, z) - model.timing_log_likelihood(bars)).mean().item())
    assert likely == sorted(likely, reverse=True)
    own = Constraints(locked=a_bar(3), locked_rows=range(8))
    assert all(np.array_equal(draw(model, z[:1], 5, replace(own, temperature=temperature))[0], a_bar(3))
               for temperature in (0, 0.5, 1, 2))
