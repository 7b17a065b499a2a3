"""models.py against exact oracles: probabilities that sum to one, bounds below log p(x), drawing cell by cell."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from small_models import all_examples, humanised, make, make_drum_model, random_bars

import models
from models import MODELS, BernoulliVAE
from networks import causal
from patterns import sampling

INDEPENDENT = dict(shape=(2, 3), hidden=(8,), decoder="independent")
CAUSAL = dict(shape=(2, 8), hidden=(8,), decoder="causal", width=8, velocities=True)
HIERARCHICAL = dict(shape=(2, 16), hidden=(8,), decoder="hierarchical", width=8, styles=["a", "b"])

pytestmark = pytest.mark.usefixtures("one_thread")


# Likelihoods and the KL, against torch.distributions.

def test_the_kl_is_that_of_torch_distributions():
    mean, log_variance = 3 * torch.randn(50, 7, dtype=torch.float64), 2 * torch.randn(50, 7, dtype=torch.float64)
    posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(models.gaussian_kl(mean, log_variance), expected)
    assert torch.equal(models.gaussian_kl(torch.zeros(3, 4), torch.zeros(3, 4)), torch.zeros(3))


def test_the_bernoulli_likelihood_is_that_of_torch_distributions_and_bounded_at_any_logit():
    logits = torch.cat([4 * torch.randn(20, 9), torch.tensor([[-1e4] * 9, [1e4] * 9])]).double()
    cells = (torch.rand(22, 9) < 0.5).double()
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(cells).sum(-1)
    found = models.bernoulli_log_likelihood(cells, logits)
    torch.testing.assert_close(found, expected)
    assert torch.isfinite(found).all() and (found <= 0).all()


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 2e-5)])
def test_the_velocity_masses_sum_to_one_and_none_is_above_it(dtype, tolerance):
    mean, log_scale = torch.meshgrid(torch.linspace(-1, 129, 27, dtype=dtype), torch.linspace(0, 4, 9, dtype=dtype),
                                     indexing="ij")
    velocities = torch.arange(1, 128, dtype=dtype)[:, None, None]
    logs = causal.logistic_log_likelihood(velocities, mean, log_scale)                # (127, 27, 9)
    assert logs.shape == (127, 27, 9) and (logs <= 0).all()
    torch.testing.assert_close(logs.exp().sum(0), torch.ones(27, 9, dtype=dtype), rtol=0, atol=tolerance)


def test_a_velocity_mass_is_the_difference_of_two_logistic_distribution_functions():
    velocity, mean, log_scale = torch.tensor(70.0), torch.tensor(64.3), torch.tensor(1.2)
    upper, lower = scipy.stats.logistic(64.3, math.exp(1.2)).cdf([70.5, 69.5])
    assert causal.logistic_log_likelihood(velocity, mean, log_scale) == pytest.approx(math.log(upper - lower), abs=1e-5)


def test_velocity_gradients_are_finite_at_the_ends_of_their_range():
    value, mean, log_scale = torch.meshgrid(torch.tensor([1.0, 2, 63, 126, 127]), torch.tensor([-1.0, 0, 64, 128, 129]),
                                            torch.tensor([0.0, 1, 4]), indexing="ij")
    mean, log_scale = mean.clone().requires_grad_(), log_scale.clone().requires_grad_()
    logs = causal.logistic_log_likelihood(value, mean, log_scale)
    logs.sum().backward()
    assert all(torch.isfinite(tensor).all() for tensor in (logs, mean.grad, log_scale.grad))
    assert mean.grad.abs().min() > 0, "a gradient that vanishes would leave a wrong velocity as it is"


def test_dropout_takes_a_unit_out_of_the_whole_bar_keeps_the_mean_and_is_for_training_alone():
    torch.manual_seed(0)
    net, units = causal.CausalNet((2, 8), 2, 8), torch.ones(400, 2, 1000)
    dropped = net.drop(units, 0.3)
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert (dropped == 0).float().mean() == pytest.approx(0.3, abs=0.005)
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    assert net.drop(units, 0.0) is units and net.eval().drop(units, 0.3) is units


@pytest.mark.parametrize("decoder", ["causal", "independent"])
def test_dropout_reaches_each_decoder_and_is_given_by_the_global_generator(decoder):
    model = BernoulliVAE(**{**CAUSAL, "decoder": decoder, "dropout": 0.3})
    x, z = random_bars((2, 8), 20, 0.5), torch.randn(20, 2)

    def both(seed):
        torch.manual_seed(seed)
        return model.log_likelihood(x, z), model.auxiliary_log_likelihood(x, z)
    for found, again, other in zip(both(1), both(1), both(2)):
        assert torch.equal(found, again) and not torch.equal(found, other)
    model.eval()
    assert all(torch.equal(one, other) for one, other in zip(both(1), both(2)))


def test_half_of_each_condition_of_a_training_step_is_left_out_and_none_otherwise():
    model = BernoulliVAE(**HIERARCHICAL)
    torch.manual_seed(0)
    given = {"style": torch.arange(10_000) % 2, "steady": torch.rand(10_000), "timing": torch.randn(10_000, 3)}
    kept = model.drop_condition(**given, offset=given["style"])
    assert kept.pop("offset") is given["style"], "the offset is always given"
    left_out = {"style": kept["style"] == -1, "steady": kept["steady"].isnan(), "timing": kept["timing"].isnan().any(1)}
    for name, dropped in left_out.items():
        assert dropped.float().mean() == pytest.approx(0.5, abs=0.02)
        assert torch.equal(kept[name][~dropped], given[name][~dropped])
    assert kept["timing"][left_out["timing"]].isnan().all(), "all three numbers at once"
    for one, other in itertools.combinations(left_out.values(), 2):
        assert (one & other).float().mean() == pytest.approx(0.25, abs=0.02), "each by itself"
    assert model.drop_condition() == {"offset": None}
    assert model.eval().drop_condition(**given, offset=3) == {**given, "offset": 3}


# The bounds, against log p(x) by dense quadrature over z.

def exact_log_px(model, x, points=241, reach=7.0):
    """log p(x) = log of the integral of p(x | z) N(z; 0, I) over z, on a grid: (B, *shape) -> (B,)."""
    line = torch.linspace(-reach, reach, points, dtype=torch.float64)
    z = torch.cartesian_prod(*[line] * model.latent).view(-1, model.latent)
    log_prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1) + model.latent * math.log(2 * reach / (points - 1))
    with torch.no_grad():
        return torch.stack([torch.logsumexp(log_prior + model.log_likelihood(one.expand(len(z), *one.shape), z), 0)
                            for one in x])


@pytest.fixture(scope="module", params=[1, 2])
def tiny(request):
    """(model, all its 64 examples, their exact log p)."""
    model = make(request.param, **INDEPENDENT)
    x = all_examples(INDEPENDENT["shape"])
    return model, x, exact_log_px(model, x)


def test_the_quadrature_is_exact(tiny):
    _, _, log_px = tiny
    assert log_px.exp().sum().item() == pytest.approx(1, abs=1e-6)
    assert log_px.std() > 0.1, "a model that finds all examples alike would test little"


def test_the_elbo_is_below_log_px_by_the_divergence_to_the_true_posterior(tiny):
    model, x, log_px = tiny
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)  # exact mean over eps ~ N(0, I)
    eps = torch.cartesian_prod(*[torch.tensor(nodes)] * model.latent).view(-1, model.latent)
    weight = torch.cartesian_prod(*[torch.tensor(weights / weights.sum())] * model.latent).view(len(eps), -1).prod(-1)
    with torch.no_grad():
        terms = [model.elbo(x, eps=one.expand(len(x), -1)) for one in eps]
    elbo = sum(w * (log_px_z - kl) for w, (log_px_z, kl) in zip(weight, terms))
    assert terms[0][0].shape == terms[0][1].shape == (64,)
    assert (elbo < log_px).all()
    assert (terms[0][1] >= 0).all()


def repeated_bound(model, x, k, repeats):
    """The mean of log_marginal(x, k) over repeats, and its standard error: (B,), (B,)."""
    generator = torch.Generator().manual_seed(k)
    bounds = model.log_marginal(x.repeat(repeats, 1, 1), k, generator).view(repeats, len(x)).double()
    return bounds.mean(0), bounds.std(0) / math.sqrt(repeats)


def test_the_importance_weighted_bound_rises_with_k_and_never_passes_log_px(tiny):
    model, x, log_px = tiny
    bounds = {k: repeated_bound(model, x, k, repeats=400) for k in (1, 4, 16, 64)}
    for (mean, error), (more, more_error) in itertools.pairwise(bounds.values()):
        assert more.mean() > mean.mean()
        assert (more > mean - 5 * (error + more_error)).all()
    for mean, error in bounds.values():
        assert (mean < log_px + 5 * error).all()
    assert bounds[1][0].mean() < log_px.mean() - 0.05, "with k = 1 it is the ELBO, well below"


def test_the_importance_weighted_bound_reaches_log_px(tiny):
    model, x, log_px = tiny
    bound = model.log_marginal(x, k=3000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(bound.double(), log_px, rtol=0, atol=0.15)
    assert (bound.double() - log_px).mean().item() == pytest.approx(0, abs=0.02)


def test_the_importance_weights_are_densities_of_torch_distributions(tiny):
    model, x, _ = tiny
    eps = torch.randn(3, len(x), model.latent, dtype=torch.float64)
    with torch.no_grad():
        mean, log_variance = model.encode(x)
        posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
        z = mean + posterior.scale * eps
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1) - posterior.log_prob(z).sum(-1)
        likelihood = torch.stack([model.log_likelihood(x, codes) for codes in z])
        for beta in (1.0, 0.25):
            torch.testing.assert_close(model.log_weights(x, eps, beta), likelihood + beta * prior)
        assert torch.equal(model.log_weights(x, iter(eps)), model.log_weights(x, eps)), "noise is taken one at a time"


def test_a_bound_of_no_sample_is_refused(tiny):
    with pytest.raises(ValueError, match="at least 1 sample, found 0"):
        tiny[0].log_marginal(tiny[1], k=0)


# The causal decoder.

def playing_order(shape):
    """Indices of the cells of a flat (rows * steps) bar in the order of playing: step by step, rows from the first."""
    return torch.arange(math.prod(shape)).view(shape).T.flatten()


@pytest.mark.parametrize("shape, width", [((2, 8), 8), ((8, 64), 16)])
def test_a_causal_logit_looks_at_all_cells_played_before_and_at_no_other(shape, width):
    model = make(shape=shape, hidden=(8,), decoder="causal", width=width)
    cells = (random_bars(shape, 1, 0.3) > 0).flatten(1).double()                      # (1, C)
    order, z = playing_order(shape), torch.zeros(1, 2, dtype=torch.float64)
    flipped = cells.repeat(len(order), 1)
    flipped[torch.arange(len(order)), order] = 1 - flipped[torch.arange(len(order)), order]
    with torch.no_grad():
        logits = model.decoder.logits(torch.cat([cells, flipped]), z.expand(len(order) + 1, -1))[:, order]
    change = (logits[1:] - logits[0]).abs()  # row: the cell flipped; column: the logit, both in playing order
    place = torch.arange(len(order))
    earlier_or_same = place[None] <= place[:, None]
    assert change[earlier_or_same].max() < 1e-12
    assert change[~earlier_or_same].min() > 0 and change[:-1].max(1).values.min() > 1e-3


@pytest.mark.parametrize("config", [
    dict(shape=(2, 4), hidden=(8,), decoder="causal", width=8),   # one block of 4 steps x 2 rows
    dict(shape=(1, 8), hidden=(8,), decoder="causal", width=8),   # two blocks
    dict(shape=(2, 4), hidden=(8,), decoder="independent")], ids=lambda config: f"{config['decoder']}{config['shape']}")
def test_the_probabilities_of_all_bars_sum_to_one(config):
    model, bars = make(**config), all_examples(config["shape"])
    for z in (torch.zeros(1, 2), torch.tensor([[1.5, -2.0]])):
        with torch.no_grad():
            log_px = model.log_likelihood(bars, z.double().expand(len(bars), -1))
        assert torch.logsumexp(log_px, 0).item() == pytest.approx(0, abs=1e-5)
        assert log_px.max() - log_px.min() > 2


@pytest.mark.parametrize("shape, share", [((2, 8), 0.5), ((8, 16), 0.1)])
def test_a_bar_drawn_block_by_block_is_the_bar_drawn_cell_by_cell(shape, share):
    model = make(dtype=torch.float32, shape=shape, hidden=(8,), decoder="causal", width=8)
    generator = torch.Generator().manual_seed(1)
    noise = models.logistic_noise((6, math.prod(shape)), generator) + torch.linspace(-2, 2, 6)[:, None]
    z = torch.randn(6, 2, generator=generator)
    cells = torch.zeros_like(noise)
    with torch.no_grad():
        for cell in playing_order(shape):
            cells[:, cell] = (model.decoder.logits(cells, z) + noise > 0).float()[:, cell]
        found = model.decoder.draw(z, noise)
    assert torch.equal(found, cells)
    assert 0.05 < cells.mean() < 0.95


@pytest.mark.parametrize("redraw", [False, True])
@pytest.mark.parametrize("decoder", ["causal", "independent"])
def test_drawn_bars_come_as_often_as_their_probability_says(decoder, redraw):
    shape, count = (2, 4), 20_000
    strength = 2 if decoder == "causal" else 3  # each such that no bar is nearly certain
    model = make(1, torch.float32, strength, shape=shape, hidden=(8,), decoder=decoder, width=8)
    bars = all_examples(shape)
    z = torch.tensor([[0.5]])
    with torch.no_grad():
        probability = model.log_likelihood(bars, z.expand(len(bars), -1)).exp()
    if redraw:  # of the bars that are not empty
        probability = probability * bars.flatten(1).any(1) / (1 - probability[0])
    draw = sampling.draw_independent if redraw else BernoulliVAE.decode_sample
    found = torch.as_tensor(draw(model, z.expand(count, -1), torch.Generator().manual_seed(0)))
    cells = (found > 0).flatten(1).float()
    marginal = probability @ bars.flatten(1).float()
    deviation = (cells.mean(0) - marginal) / (marginal * (1 - marginal) / count).sqrt()
    assert deviation.abs().max() < 4.5
    found = torch.bincount((cells.long() @ (2 ** torch.arange(7, -1, -1))), minlength=256).double()
    expected = count * probability.double() / probability.double().sum()
    rare = expected < 5  # the chi-square test wants at least 5 expected in a class: the rare bars are one
    found, expected = (torch.cat([counts[~rare], counts[rare].sum()[None]]) for counts in (found, expected))
    assert expected[-1] > 5 and len(expected) > 50
    assert scipy.stats.chisquare(found, expected).pvalue > 1e-3


def test_what_is_learned_apart_is_every_weight_once_and_no_gradient_crosses():
    model = BernoulliVAE(shape=(2, 8), hidden=(8,), decoder="causal", width=8, velocities=True, velocity_latent=2)
    hits, struck = model.parameter_groups()
    assert sorted(map(id, hits + struck)) == sorted(map(id, model.parameters()))
    x, z = random_bars((2, 8), 5, 0.5), torch.randn(5, 2)
    model.log_likelihood(x, z).sum().backward()
    assert all(weights.grad is None for weights in struck) and any(weights.grad is not None for weights in hits)
    model.zero_grad()
    model.auxiliary_log_likelihood(x, z).sum().backward()
    assert all(weights.grad is None for weights in hits) and any(weights.grad is not None for weights in struck)
    assert len(BernoulliVAE(shape=(2, 8), hidden=(8,)).parameter_groups()) == 1


# Hits and their velocities.

@pytest.fixture(scope="module", params=["causal", "independent"])
def drum_model(request):
    return make_drum_model(request.param)


def test_velocities_are_1_to_127_where_a_hit_is_and_0_elsewhere(drum_model):
    bars = drum_model.sample(200, torch.Generator().manual_seed(0))
    assert bars.shape == (200, 8, 64) and bars.dtype == torch.uint8
    assert bars[bars > 0].max() <= 127 and len(bars[bars > 0].unique()) > 20
    z = torch.tensor([[5.0, 5.0]])
    cells = (random_bars(count=1) > 0).flatten(1).float()
    for noise in (-1e6, 0.0, 1e6):
        with torch.no_grad():
            loud = drum_model.with_velocities(cells, z, torch.full((1, 2, 512), noise)).flatten(1)
        assert torch.equal(loud > 0, cells > 0) and loud.max() <= 127
    assert drum_model.with_velocities(cells, z, torch.full((1, 2, 512), 1e6)).max() == 127


def test_a_model_without_velocities_strikes_alike():
    model = BernoulliVAE(hidden=(16,))
    bars = model.sample(10, torch.Generator().manual_seed(0))
    assert set(bars.unique().tolist()) == {0, 100}
    assert torch.equal(model.auxiliary_log_likelihood(bars, torch.zeros(10, 2)), torch.zeros(10))


def test_samples_are_given_by_their_generator(drum_model):
    first, again, other = (drum_model.sample(5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_likelihood_of_hits_does_not_depend_on_velocities(drum_model):
    bars, z = random_bars(), torch.zeros(3, 2)
    softer = torch.where(bars > 0, 1, 0)
    with torch.no_grad():
        assert torch.equal(drum_model.log_likelihood(bars, z), drum_model.log_likelihood(softer, z))
        assert torch.equal(torch.stack(drum_model.encode(bars)), torch.stack(drum_model.encode(softer)))
        side = drum_model.auxiliary_log_likelihood(bars, z)
        assert side.shape == (3,) and (side < 0).all()
        assert torch.equal(drum_model.auxiliary_log_likelihood(torch.zeros_like(bars), z), torch.zeros(3))


def test_velocities_do_not_train_the_code(drum_model):
    z = torch.zeros(3, 2, requires_grad=True)
    side = drum_model.auxiliary_log_likelihood(random_bars(), z).sum()
    assert torch.autograd.grad(side, z, allow_unused=True)[0] is None


def test_encoder_and_decoder_depend_on_the_offset_of_a_bar_and_none_is_the_first():
    torch.manual_seed(0)
    model = BernoulliVAE(shape=(2, 16), hidden=(8,), decoder="causal", width=8, velocities=True, velocity_latent=2,
                         offsets=4).eval()
    x, z, offset = random_bars((2, 16), 4, 0.5), torch.randn(4, 2), torch.tensor([0, 1, 2, 3])
    for function in (lambda offset: model.encode(x, offset=offset)[0].sum(-1),
                  lambda offset: model.encode_velocities(x, offset=offset)[0].sum(-1),
                  lambda offset: model.log_likelihood(x, z, offset=offset),
                  lambda offset: model.auxiliary_log_likelihood(x, z, offset=offset)):
        without, given, first = function(None), function(offset), function(torch.zeros(4, dtype=torch.long))
        assert torch.equal(without, first) and torch.equal(given[0], without[0])
        assert (given[1:] - without[1:]).abs().min() > 1e-4
    assert BernoulliVAE(**model.config).offsets.weight.shape == model.offsets.weight.shape
    log_px, kl = model.elbo(x, torch.zeros(4, 2), offset=offset)
    (log_px - kl).sum().backward()
    assert not model.offsets.weight.grad[0].any() and model.offsets.weight.grad[1:].any()


def test_low_precision_is_for_training_alone_and_near_the_full_one():
    torch.manual_seed(0)
    model = BernoulliVAE(decoder="causal", width=32, velocities=True)
    x, z = random_bars(count=20), torch.randn(20, 2)
    exact = model.log_likelihood(x, z)
    for net in (model.decoder, model.velocity_net):
        net.low_precision = True
    rough = model.train().log_likelihood(x, z)
    assert rough.dtype == torch.float32 and not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=1e-2, atol=0.0)
    assert torch.isfinite(model.auxiliary_log_likelihood(x, z)).all()
    assert torch.equal(model.eval().log_likelihood(x, z), exact)


@pytest.mark.parametrize("shape", [(2, 8), (8, 16)])
def test_velocities_are_drawn_hit_by_hit_each_given_those_before(shape):
    model = make(dtype=torch.float32, shape=shape, hidden=(8,), decoder="causal", width=8, velocities=True)
    net, generator = model.velocity_net, torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 2
        cells, z = (torch.rand(4, math.prod(shape), generator=generator) < 0.4).float(), torch.randn(4, 2)
        noise = models.logistic_noise(cells.shape, generator)
        fixed = torch.where(torch.rand(cells.shape[1], generator=generator) < 0.2, 77.0, 0.0)
        velocities = torch.zeros_like(cells)
        for cell in playing_order(shape):
            mean, log_scale = net.distribution(cells, velocities, z)
            drawn = (mean + torch.exp(log_scale) * noise).round().clamp(1, 127)
            velocities[:, cell] = (cells * torch.where(fixed > 0, fixed, drawn))[:, cell]
        found = net.draw(cells, z, noise, fixed)
    torch.testing.assert_close(found, velocities, rtol=0, atol=1.01)  # a rounding may fall to either side
    assert ((found - velocities).abs() > 0.5).float().mean() < 0.05 and len(found.unique()) > 8


def test_the_velocity_latent_is_read_from_velocities_and_decides_how_given_hits_are_struck():
    torch.manual_seed(0)
    model = BernoulliVAE(hidden=(8,), decoder="causal", width=8, velocities=True, velocity_latent=3,
                         styles=["a"]).eval()
    bars, z = random_bars(), torch.zeros(3, 2)
    softer = torch.where(bars > 0, bars // 2 + 1, 0)
    with torch.no_grad():
        latent = model.encode_velocities(bars)[0]
        assert latent.shape == (3, 3) and not torch.equal(latent, model.encode_velocities(softer)[0])
        assert torch.equal(torch.stack(model.encode(bars)), torch.stack(model.encode(softer)))
        exact = model.auxiliary_log_likelihood(bars, z)
        assert not torch.equal(model.train().auxiliary_log_likelihood(bars, z), exact), "in training it is a draw"
        assert torch.equal(model.eval().auxiliary_log_likelihood(bars, z), exact)
        empty = torch.zeros_like(bars)
        assert torch.equal(model.auxiliary_log_likelihood(empty, z), torch.zeros(3))
    one, other = (humanised(model, bars, z, velocity_latent=10 * torch.ones(3, 3) * sign) for sign in (1, -1))
    assert torch.equal(one > 0, bars > 0) and not torch.equal(one, other)
    drawn = humanised(model, bars, z, scale=0)
    assert torch.equal(drawn, humanised(model, bars, z, scale=0, velocity_latent=torch.zeros(3, 3)))


# Building a model.

@pytest.mark.parametrize("config", [INDEPENDENT, CAUSAL, dict(latent=5, dropout=0.2, activation="ReLU", hidden=[4, 4])])
def test_the_config_rebuilds_the_model(config):
    model = BernoulliVAE(**config).eval()
    twin = MODELS["BernoulliVAE"](**model.config).eval()
    twin.load_state_dict(model.state_dict())
    assert twin.config == model.config
    bars = random_bars(model.shape)
    with torch.no_grad():
        for found, expected in zip(twin.elbo(bars, torch.zeros(3, model.latent)),
                                   model.elbo(bars, torch.zeros(3, model.latent))):
            assert torch.equal(found, expected)


def test_the_2019_network_is_512_800_2():
    model = BernoulliVAE(hidden=(800,), latent=2, activation="ReLU")
    sizes = [tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert sizes == [(800, 512), (4, 800), (800, 2), (512, 800)]


@pytest.mark.parametrize("name, value", [
    ("latent", 0), ("latent", -2), ("latent", 2.5), ("latent", "2"), ("hidden", (0,)), ("hidden", (8, -1)),
    ("decoder", "recurrent"), ("decoder", None), ("width", 0), ("dropout", 1.0), ("dropout", -0.1),
    ("dropout", math.nan), ("activation", "Wave"), ("activation", "Linear"), ("shape", (8, 62)), ("shape", (8,)),
    ("shape", (0, 64)), ("shape", 512)])
def test_a_config_that_makes_no_model_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        BernoulliVAE(**{**CAUSAL, name: value})
