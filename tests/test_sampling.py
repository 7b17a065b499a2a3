"""Drawing bars at codes: styles, exact numbers of hits, locked rows, velocities; by property."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import all_examples, drawn, humanised, make, make_drum_model, random_bars
from tiny_map import a_bar, write_tiny_map

import models
from models import BernoulliVAE
from patterns import latent_map, noise, sampling
from patterns.sampling import Constraints

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=[2, 5])
def model(request, tmp_path_factory):
    return write_tiny_map(tmp_path_factory.mktemp("model") / "tiny.pt", latent=request.param)


def struck(bars):
    """Hits of each row: (n, rows, steps) -> (n, rows)."""
    return (bars > 0).sum(-1)


def code(model, seed):
    return latent_map.random_code(model, seed, 0)


def test_styles_go_by_their_names_in_any_case(model):
    assert [sampling.style_index(model, name) for name in (None, "any", "Any", "FUNK", "rock")] == [None] * 3 + [0, 2]
    with pytest.raises(ValueError, match="style: expected any, funk, jazz, rock; found 'polka'"):
        sampling.style_index(model, "polka")


def test_a_style_that_is_asked_for_changes_the_bars(model):
    codes = np.stack([code(model, seed) for seed in range(10)])
    bars = [sampling.draw(model, codes, constraints=Constraints(style=style)) for style in (None, 0, 1, 2)]
    assert len({bar.tobytes() for bar in bars}) == 4


@given(seed=st.integers(0, 1000), hits=st.integers(0, 200), rows=st.dictionaries(
    st.integers(0, 7), st.integers(0, 20), max_size=3), temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
@settings(max_examples=25, deadline=None)
def test_hits_a_bar_and_a_row_are_exact(model, seed, hits, rows, temperature):
    hits += sum(rows.values())
    bar = sampling.draw(model, code(model, seed)[None], seed, Constraints(
        hits=hits, row_hits=rows, temperature=temperature))[0]
    assert np.count_nonzero(bar) == hits
    assert {row: np.count_nonzero(bar[row]) for row in rows} == rows


@given(seed=st.integers(0, 1000), kept=st.sets(st.integers(0, 7), min_size=1, max_size=7), exact=st.booleans())
@settings(max_examples=25, deadline=None)
def test_locked_rows_are_kept_bit_for_bit_while_the_others_are_redrawn(model, seed, kept, exact):
    own = a_bar(seed)
    free = [row for row in range(8) if row not in kept]
    hits = np.count_nonzero(own[sorted(kept)]) + 3 if exact else None
    constraints = Constraints(locked=own, locked_rows=sorted(kept), hits=hits)
    bars = np.stack([sampling.draw(model, code(model, seed)[None], noise_seed, constraints)[0]
                     for noise_seed in range(4)])
    assert (bars[:, sorted(kept)] == own[sorted(kept)]).all()
    assert not exact or (np.count_nonzero(bars[:, free], axis=(1, 2)) == 3).all()
    if len(free) > 3:
        assert len({bar.tobytes() for bar in bars}) > 1


def test_humanising_keeps_the_hits_and_gives_them_velocities_that_differ(model):
    bars = np.stack([np.where(a_bar(seed) > 0, 100, 0).astype(np.uint8) for seed in range(4)])
    struck, again, other = (sampling.humanise(model, bars, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(struck > 0, bars > 0) and np.array_equal(struck, again) and not np.array_equal(struck, other)
    assert all(len(np.unique(bar[bar > 0])) > 5 for bar in struck)


def test_the_seed_of_the_noise_is_that_of_a_generator():
    directions, weights = noise.fourier_features(2, 6, 5)
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(directions, torch.randn(noise.WAVES, 2, generator=generator))
    assert torch.equal(weights, torch.randn(2 * noise.WAVES, 6, generator=generator) / noise.WAVES ** 0.5)


# Small models of both decoders: exact numbers, locked rows, styles, velocities.

@pytest.fixture(scope="module", params=["causal", "independent"])
def drum_model(request):
    return make_drum_model(request.param)


@pytest.mark.parametrize("decoder", ["causal", "independent"])
def test_no_bar_comes_out_empty_unless_nothing_is_likelier_than_not(decoder):
    torch.manual_seed(0)
    model = BernoulliVAE(shape=(2, 8), hidden=(8,), decoder=decoder, width=8)
    with torch.no_grad():
        model.decoder.out.bias.fill_(-2.5)  # one bar in four would be
    z = torch.randn(400, 2)
    with torch.no_grad():
        empty = (~model.decoder.draw(z, models.logistic_noise((400, 16))).bool().any(1)).float().mean()
    assert 0.1 < empty < 0.6
    assert sampling.draw_independent(model, z).any((1, 2)).all()
    made = drawn(model, z, seed=3)
    assert (made > 0).flatten(1).any(1).all() and torch.equal(made, drawn(model, z, seed=3))
    assert not drawn(model, z, hits=0).any()
    for temperature in (0, 0.5):  # where nothing is likelier than not, as at temperature 1
        assert (drawn(model, z, seed=3, temperature=temperature) > 0).flatten(1).any(1).all()


@pytest.mark.parametrize("hits", [0, 1, 7, 20, 60, 512])
def test_a_bar_has_exactly_the_hits_asked_for(drum_model, hits):
    z = torch.tensor([[0.0, 0.0], [1.0, -2.0], [-30.0, 30.0]])
    bars = drawn(drum_model, z, hits=hits)
    assert bars.shape == (3, 8, 64) and bars.dtype == torch.uint8
    assert (bars > 0).flatten(1).sum(1).tolist() == [hits] * 3
    assert torch.equal(bars, drawn(drum_model, z, hits=hits)), "the same arguments give the same bars"
    assert torch.equal(bars[1:2], drawn(drum_model, z[1:2], hits=hits)), "a point has one bar, wherever drawn"


def test_a_dense_bar_is_not_far_from_the_model(drum_model):
    """Asking for as many hits as a bar has anyway leaves it as it is."""
    z = torch.tensor([[0.3, 0.4]])
    bar = drawn(drum_model, z)
    assert torch.equal(drawn(drum_model, z, hits=int((bar > 0).sum())), bar)


def test_the_seed_chooses_the_bar_and_the_global_generator_does_not(drum_model):
    z = torch.tensor([[0.3, 0.4]])
    first = drawn(drum_model, z, seed=3)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert torch.equal(drawn(drum_model, z, seed=3), first) and not torch.equal(drawn(drum_model, z, seed=4), first)
    assert torch.equal(torch.get_rng_state(), before)
    by_default = torch.as_tensor(sampling.draw(drum_model, z))
    assert torch.equal(by_default, drawn(drum_model, z, seed=sampling.DEFAULT_SEED))


def test_without_noise_the_likeliest_cells_are_struck_as_many_as_with_it():
    torch.manual_seed(0)
    model = BernoulliVAE(hidden=(16,))
    z = torch.tensor([[0.3, 0.4], [2.0, -1.0]])
    with torch.no_grad():
        logits = model.decoder.logits(None, z)
    made = (drawn(model, z, temperature=0) > 0).flatten(1)
    assert torch.equal(made, logits > 0) and made.any(1).all()


def test_the_lower_the_temperature_the_likelier_the_bar(drum_model):
    z = torch.randn(20, 2, generator=torch.Generator().manual_seed(5))
    bars = {temperature: drawn(drum_model, z, temperature=temperature) for temperature in (0.5, 1, 2)}
    with torch.no_grad():
        likely = {temperature: drum_model.log_likelihood(made, z).mean().item() for temperature, made in bars.items()}
    assert likely[0.5] > likely[1] > likely[2]


@pytest.mark.parametrize("z", [torch.zeros(2), torch.zeros(1, 3), torch.tensor([[0.0, math.nan]]),
                               torch.tensor([[math.inf, 0.0]])])
def test_a_point_that_is_none_is_refused(drum_model, z):
    with pytest.raises(ValueError, match="codes: expected finite ones of shape"):
        drawn(drum_model, z)


@pytest.mark.parametrize("hits", [-1, 513])
def test_impossible_hits_are_refused(drum_model, hits):
    with pytest.raises(ValueError, match=f"expected 0 to 512, found {hits}"):
        drawn(drum_model, torch.zeros(1, 2), hits=hits)


@pytest.fixture(scope="module")
def styled_model():
    """A causal model of three styles, each of which has its own bars, and rows that depend on one another."""
    torch.manual_seed(4)
    model = BernoulliVAE(hidden=(16,), decoder="causal", width=16, velocities=True, styles=["funk", "jazz", "rock"])
    with torch.no_grad():
        model.style.weight *= 4
        for parameter in model.decoder.parameters():
            parameter *= 1.6
        model.decoder.out.bias -= 2.5
    return model.eval()


def test_each_row_has_exactly_the_hits_asked_for_and_so_has_the_bar(styled_model):
    z = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    wanted = {0: 5, 1: 0, 4: 17}
    rows = struck(drawn(styled_model, z, row_hits=wanted))
    assert rows[:, list(wanted)].tolist() == [list(wanted.values())] * 2
    both = struck(drawn(styled_model, z, hits=40, row_hits=wanted))
    assert both[:, list(wanted)].tolist() == [list(wanted.values())] * 2 and both.sum(1).tolist() == [40, 40]
    every = {row: row for row in range(8)}
    assert struck(drawn(styled_model, z, hits=28, row_hits=every)).tolist() == [list(range(8))] * 2


def test_locked_rows_stay_as_they_are_and_the_others_are_drawn_anew(styled_model):
    z = torch.tensor([[0.2, 0.1], [1.0, -1.0]])
    bar = random_bars(count=1)[0]
    made = drawn(styled_model, z, seed=3, locked=bar, locked_rows=[0, 6])
    assert torch.equal(made[:, [0, 6]], bar[[0, 6]].expand(2, -1, -1))
    assert not torch.equal(made[0, 1], bar[1]) and (made[:, 1:6] > 0).any()
    assert torch.equal(made, drawn(styled_model, z, seed=3, locked=bar, locked_rows=[0, 6]))
    other = drawn(styled_model, z, seed=4, locked=bar, locked_rows=[0, 6])
    assert not torch.equal(other[:, 1:6], made[:, 1:6])
    dense = drawn(styled_model, z, seed=3, hits=60, row_hits={1: 9}, locked=bar, locked_rows=[0, 6])
    assert torch.equal(dense[:, [0, 6]], made[:, [0, 6]])
    assert struck(dense).sum(1).tolist() == [60, 60] and struck(dense)[:, 1].tolist() == [9, 9]
    whole = drawn(styled_model, z, locked=bar, locked_rows=range(8))
    assert torch.equal(whole, bar.expand(2, -1, -1))


def test_what_is_drawn_around_locked_rows_fits_them_as_the_model_says():
    """Against the exact p(first row | second row) of a bar of 2 x 4: the first row of a step is drawn before the
    second, so only the choice among candidates can make it fit; it does so by far the larger part."""
    shape, count = (2, 4), 3000
    model = make(1, torch.float32, 2.0, shape=shape, hidden=(8,), decoder="causal", width=8)
    bars, z = all_examples(shape), torch.tensor([[0.5]])
    with torch.no_grad():
        log_px = model.log_likelihood(bars, z.expand(len(bars), -1))
    bar = bars[log_px.argmin()].byte()  # its second row is unlikely with most first rows
    alike = (bars[:, 1] == bar[1]).all(1)
    truth = torch.softmax(log_px[alike], 0) @ bars[alike][:, 0].float()               # (4,)
    before = torch.softmax(log_px, 0) @ bars[:, 0].float()
    made = torch.cat([drawn(model, z, seed=seed, locked=bar, locked_rows=[1]) for seed in range(count)])
    found = (made[:, 0] > 0).float().mean(0)
    assert (before - truth).abs().max() > 0.1, "or there is nothing to fit"
    assert (found - truth).abs().max() < 0.3 * (before - truth).abs().max() + 0.03


@pytest.mark.parametrize("options, words", [
    (dict(row_hits={0: 65}), "row_hits, row 0: expected 0 to 64, found 65"),
    (dict(row_hits={8: 1}), "row_hits: expected rows 0 to 7, found .8."),
    (dict(hits=3, row_hits={0: 4}), "hits: expected 4 to 452, found 3"),
    (dict(hits=1, locked=torch.full((8, 64), 9), locked_rows=[0]), "hits: expected 64 to 512, found 1"),
    (dict(locked=torch.zeros(8, 32), locked_rows=[0]), "locked: expected a bar"),
    (dict(locked=torch.zeros(8, 64), locked_rows=[9]), "locked: expected a bar"),
    (dict(temperature=-1.0), "temperature: expected at least 0"),
    (dict(style=3), "style: expected 0 to 2"),
])
def test_what_cannot_be_had_is_refused_by_name(styled_model, options, words):
    with pytest.raises(ValueError, match=words):
        drawn(styled_model, torch.zeros(1, 2), **options)


def test_decoder_and_encoder_depend_on_the_style_and_none_is_a_style_of_its_own(styled_model):
    z, bars = torch.tensor([[0.2, 0.1]]), random_bars()
    made = [drawn(styled_model, z, style=style) for style in (None, 0, 1, 2)]
    assert all(not torch.equal(first, second) for first, second in itertools.combinations(made, 2))
    assert torch.equal(drawn(styled_model, z.expand(3, -1), style=torch.tensor([2, -1, 0])),
                       torch.cat([made[3], made[0], made[1]]))
    codes = [styled_model.encode(bars, style=style)[0] for style in (None, torch.tensor([0, 0, 0]), 1)]
    assert not torch.equal(codes[0], codes[1]) and not torch.equal(codes[1], codes[2])
    with torch.no_grad():
        together = styled_model.log_likelihood(bars, codes[0], style=torch.tensor([0, 1, 2]))
        single = [styled_model.log_likelihood(bars[i:i + 1], codes[0][i:i + 1], style=i) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(single))


def test_a_bar_drawn_by_hand_gets_velocities_and_keeps_its_hits(styled_model):
    bar = torch.where(random_bars(count=1) > 0, 1, 0)
    made = humanised(styled_model, bar, seed=1)
    assert made.shape == (1, 8, 64) and made.dtype == torch.uint8 and torch.equal(made > 0, bar > 0)
    assert len(made[made > 0].unique()) > 5
    assert torch.equal(made, humanised(styled_model, bar, seed=1))
    assert not torch.equal(made, humanised(styled_model, bar, seed=2))
    assert not torch.equal(made, humanised(styled_model, bar, seed=1, constraints=Constraints(style=1)))
    assert not torch.equal(made, humanised(styled_model, bar, torch.ones(1, 2), seed=1))
    kept = torch.as_tensor(a_bar(4))
    locked = humanised(styled_model, kept[None], seed=1, constraints=Constraints(locked=kept, locked_rows=(1, 6)))[0]
    assert torch.equal(locked[[1, 6]], kept[[1, 6]]) and torch.equal(locked > 0, kept > 0)
    assert not torch.equal(locked, kept)
    for wrong in (torch.zeros(1, 8, 32), torch.zeros(8, 64)):
        with pytest.raises(ValueError, match="bars: expected shape"):
            humanised(styled_model, wrong)
