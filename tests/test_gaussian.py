"""GaussianVAE and the decoders of pictures against exact oracles: masses that sum to 1, bounds below log p(x)."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch

from formats import checkpoint
from learning.training import Examples, TrainingSettings, fit
from learning.bounds import bounds
from learning.mnist import draw_at
from models import MODELS, VAE, BernoulliVAE, GaussianVAE
from networks.pixels import MEAN_BEYOND, PixelDecoder, discretised_normal_log_likelihood
from saved_model import load_model

LEVELS = torch.arange(256)
LOG_DEVIATION_RANGE = (-2.0, 5.0)  # of a model by default
KINDS = [dict(decoder=decoder, components=components) for decoder in ("independent", "raster") for components in (1, 3)]

pytestmark = pytest.mark.usefixtures("one_thread")
each_kind = pytest.mark.parametrize("config", KINDS, ids=lambda config: "-".join(map(str, config.values())))
each_likelihood = pytest.mark.parametrize("likelihood", ["mass", "normal"])


def strengthen(model, strength=2.0, seed=1):
    """The model with a decoder in which every weight matters, those too that begin at zero; in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator)).mul_(strength)
    return model.eval()


def make(kind=GaussianVAE, strength=2.0, **config):
    torch.manual_seed(0)
    return strengthen(kind(**{**dict(shape=(2, 4), latent=2, hidden=(8,), width=8, blocks=2), **config}), strength)


def pictures(shape=(2, 4), count=20, seed=0):
    """Pictures of black, white and grey pixels: (count, *shape) uint8."""
    source = np.random.default_rng(seed)
    grey = source.integers(0, 256, (count, *shape))
    return torch.tensor(np.choose(source.integers(0, 3, grey.shape), [0 * grey, 0 * grey + 255, grey])).byte()


def outputs_of(model, x, z):
    """What the decoder gives of each pixel: (B, 3 components, *shape)."""
    return model.decoder.parameters_of(model.values(x), z)


def constant_outputs(model, mean, log_deviation):
    """Give every pixel of every picture the same outputs: raw numbers before the bounds, (components,) each."""
    outputs = torch.cat([mean, log_deviation, torch.linspace(0, 1, len(mean))])
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
        if isinstance(model.decoder, PixelDecoder):
            model.decoder.out.bias.view(4, -1).copy_(outputs)
        else:
            model.decoder.out.bias.view(len(outputs), -1).copy_(outputs[:, None])
    return model


# The mass of a pixel's bin.

def every_normal(dtype, means=41, deviations=29):
    """Means from the blackest to the whitest, and log-deviations over their whole range: (means, deviations) each."""
    return torch.meshgrid(torch.linspace(-MEAN_BEYOND, 255 + MEAN_BEYOND, means, dtype=dtype),
                          torch.linspace(*LOG_DEVIATION_RANGE, deviations, dtype=dtype), indexing="ij")


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 1e-6)])
def test_the_masses_of_the_256_levels_sum_to_one_and_none_is_above_it(dtype, tolerance):
    mean, log_deviation = every_normal(dtype)
    logs = discretised_normal_log_likelihood(LEVELS.to(dtype)[:, None].expand(256, 41), mean.expand(256, -1, -1),
                                             log_deviation.expand(256, -1, -1))
    assert logs.shape == (256, 41, 29) and torch.isfinite(logs).all() and (logs <= 0).all()
    torch.testing.assert_close(logs.exp().sum(0), torch.ones_like(mean), rtol=0, atol=tolerance)


def test_a_mass_is_the_difference_of_two_normal_distribution_functions():
    mean, log_deviation = every_normal(torch.float64, 30, 15)
    normal = scipy.stats.norm(mean.numpy(), log_deviation.exp().numpy())
    level = LEVELS.double()[:, None, None].numpy()
    upper, lower = np.where(level == 255, np.inf, level + 0.5), np.where(level == 0, -np.inf, level - 0.5)
    mass = np.where(level > mean.numpy(), normal.sf(lower) - normal.sf(upper), normal.cdf(upper) - normal.cdf(lower))
    found = discretised_normal_log_likelihood(LEVELS.double()[:, None].expand(256, 30), mean.expand(256, -1, -1),
                                              log_deviation.expand(256, -1, -1)).numpy()
    representable = mass > 1e-290  # below, a mass is no float of 64 bits, its logarithm is
    assert representable.mean() > 0.5 and found[~representable].max() < -600
    np.testing.assert_allclose(found[representable], np.log(mass[representable]), rtol=1e-9, atol=1e-9)


def test_masses_too_small_for_a_float_have_the_logarithm_of_the_density_at_their_nearer_edge():
    """For a bin far from the mean, log mass is about log density at its nearer edge - log(distance / variance)."""
    deviation, distance = math.exp(LOG_DEVIATION_RANGE[0]), torch.tensor([20.0, 100.0, 286.0], dtype=torch.float64)
    found, = discretised_normal_log_likelihood(torch.tensor([10.0]), 10 - distance[None], distance[None] * 0 - 2)
    edge = (distance - 0.5) / deviation
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(edge) - edge.log()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_of_a_mass_are_finite_over_its_whole_range_and_lead_to_the_level(dtype):
    mean, log_deviation = every_normal(dtype)
    level = torch.tensor([0.0, 1, 2, 128, 254, 255], dtype=dtype)[:, None]
    mean, log_deviation = (tensor.expand(6, -1, -1).clone().requires_grad_() for tensor in (mean, log_deviation))
    discretised_normal_log_likelihood(level.expand(6, 41), mean, log_deviation).sum().backward()
    level = level[..., None]
    assert torch.isfinite(mean.grad).all() and torch.isfinite(log_deviation.grad).all()
    beyond = (level == 0) & (mean < 1) | (level == 255) & (mean > 254)  # where the mass only grows with the distance
    wrong = ((level - mean).abs() > 1) & ~beyond
    towards = mean.grad * (level - mean)
    assert (towards[wrong] > 0).all(), "a gradient that vanishes would leave a wrong mean as it is"


# The likelihood of a picture.

@pytest.mark.parametrize("training_mode, tolerance", [(False, 1e-6), (True, 1e-4)])
@pytest.mark.parametrize("components", [1, 3])
def test_the_probabilities_of_a_pixels_256_values_sum_to_one_whatever_the_outputs(components, training_mode, tolerance):
    model = make(shape=(1, 1), components=components).train(training_mode)
    z = torch.zeros(256, 2)
    for mean, log_deviation in itertools.product((-30.0, -1.0, 0.3, 1.2, 30.0), (-30.0, -1.0, 0.0, 1.0, 30.0)):
        apart = torch.linspace(0, 0.5, components)
        constant_outputs(model, mean + apart, log_deviation - apart)
        with torch.no_grad():
            logs = model.log_likelihood(LEVELS.view(256, 1, 1), z)
        assert (logs <= 1e-6).all()
        assert logs.double().exp().sum().item() == pytest.approx(1, abs=tolerance), (mean, log_deviation)


@each_kind
@pytest.mark.parametrize("strength", [1.0, 3.0, 100.0])
def test_each_pixels_probabilities_sum_to_one_and_the_picture_is_their_product(config, strength):
    """Of a picture's first pixel all else is later, of its last all else is before: each has its own 256 values."""
    model = make(strength=strength, shape=(2, 2), **config)
    z = 2 * torch.randn(5, 2, generator=torch.Generator().manual_seed(2))
    for picture, code in zip(pictures((2, 2), 5), z):
        for row, column in itertools.product(range(2), repeat=2):
            x = picture.repeat(256, 1, 1)
            x[:, row, column] = LEVELS.byte()
            with torch.no_grad():
                mean, log_deviation, log_weight = model.mixture.distribution(outputs_of(model, x, code.expand(256, -1)))
                assert mean.shape == (256, 2, 2, config["components"])
                each = discretised_normal_log_likelihood(*(part.double() for part in (x, mean, log_deviation)))
                pixels = torch.logsumexp(each + log_weight, -1)                       # (256, 2, 2)
                whole = model.log_likelihood(x, code.expand(256, -1))
            assert pixels[:, row, column].exp().sum().item() == pytest.approx(1, abs=1e-6)
            torch.testing.assert_close(whole.double(), pixels.sum((1, 2)), rtol=1e-6, atol=1e-5)
            assert (whole <= 1e-6).all()


@each_kind
@each_likelihood
def test_a_mean_a_deviation_and_a_weight_are_bounded_whatever_the_outputs(config, likelihood):
    model = make(strength=300.0, likelihood=likelihood, **config)
    with torch.no_grad():
        outputs = outputs_of(model, pictures(), 9 * torch.randn(20, 2))
        mean, log_deviation, log_weight = model.mixture.distribution(outputs)
    assert mean.min() >= -MEAN_BEYOND - 1e-3 and mean.max() <= 255 + MEAN_BEYOND + 1e-3
    assert log_deviation.min() >= LOG_DEVIATION_RANGE[0] and log_deviation.max() <= LOG_DEVIATION_RANGE[1]
    assert mean.min() < -30 and mean.max() > 285 and log_deviation.max() - log_deviation.min() > 6.9
    torch.testing.assert_close(log_weight.exp().sum(-1), torch.ones(20, 2, 4))


@each_kind
@each_likelihood
@pytest.mark.parametrize("strength", [1.0, 1e3])
def test_the_loss_and_all_gradients_are_finite_at_extreme_inputs(config, likelihood, strength):
    model = make(strength=strength, likelihood=likelihood, **config)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(strength ** 0.5)
    x = torch.cat([torch.zeros(2, 2, 4), torch.full((2, 2, 4), 255.0), pictures(count=4).float()]).byte()
    for extreme in ((None, None), (-30.0, -30.0), (30.0, -30.0), (-30.0, 30.0)):  # white on black, black on white ...
        if extreme[0] is not None:
            constant_outputs(model, *(torch.full((config["components"],), number) for number in extreme))
        for training_mode in (True, False):
            model.zero_grad()
            log_px, kl = model.train(training_mode).elbo(x, torch.linspace(-4, 4, 16).view(8, 2))
            (kl - log_px).sum().backward()
            assert torch.isfinite(log_px).all() and torch.isfinite(kl).all()
            assert all(torch.isfinite(weights.grad).all() for weights in model.parameters() if weights.grad is not None)


# The plain density.

@each_kind
def test_the_plain_density_is_the_mixture_of_torch_distributions(config):
    model = make(likelihood="normal", **config)
    x, z = model.dequantised(pictures(), torch.Generator().manual_seed(0)), torch.randn(20, 2)
    with torch.no_grad():
        mean, log_deviation, log_weight = model.mixture.distribution(outputs_of(model, x, z))
        mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=log_weight),
                                                        torch.distributions.Normal(mean, log_deviation.exp()))
        torch.testing.assert_close(model.log_likelihood(x, z), mixture.log_prob(x).sum((1, 2)))


def test_pixels_are_dequantised_evenly_over_their_bins_by_the_generator_alone():
    pixels = pictures(count=2000)
    noise = GaussianVAE.dequantised(pixels, torch.Generator().manual_seed(0)) - pixels.float()
    assert scipy.stats.kstest(noise.flatten().numpy(), scipy.stats.uniform(-0.5, 1).cdf).pvalue > 1e-3
    assert noise.abs().max() <= 0.5 + 1e-4
    again, other = (GaussianVAE.dequantised(pixels, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(again - pixels, noise) and not torch.equal(other, again)


def test_whole_pixels_given_to_the_plain_density_are_dequantised():
    model, x, z = make(likelihood="normal"), pictures(), torch.zeros(20, 2)
    with torch.no_grad():
        assert not torch.equal(model.log_likelihood(x, z), model.log_likelihood(x, z))
        assert torch.equal(model.log_likelihood(x.float(), z), model.log_likelihood(x.float(), z))


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("log_deviation", [-30.0, -1.0, 0.0, 30.0])
def test_the_dequantised_density_bounds_the_exact_mass_from_below_in_expectation(components, log_deviation):
    """Theis et al. 2016, eq. 4-6, by exact quadrature over the noise; the wider the Gaussian, the nearer the two."""
    exact, dense = (constant_outputs(make(shape=(1, 1), components=components, likelihood=likelihood),
                               torch.linspace(-0.3, 0.7, components), torch.full((components,), log_deviation))
                    for likelihood in ("mass", "normal"))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x = LEVELS.double()[:, None] + torch.tensor(nodes) / 2                            # (256, 60)
    with torch.no_grad():
        z = torch.zeros(x.numel(), 2)
        density = dense.log_likelihood(x.reshape(-1, 1, 1), z).double().view(256, 60) @ torch.tensor(weights / 2)
        mass = exact.log_likelihood(LEVELS.view(256, 1, 1), z[:256]).double()
    gap = mass - density
    assert (gap > -1e-4 * density.abs().clamp_min(1)).all()
    assert gap.max() > 0.01, "or there is nothing to test: at the edges the mass reaches to infinity"
    if log_deviation == 30.0:
        assert gap[1:-1].max() < 1e-3
    if log_deviation == -30.0:
        assert gap.min() > 0.5


# The bounds, against log p(x) of a model in which it is known.

class LinearGaussianVAE(VAE):
    """x = W z + noise, so x ~ N(0, W W^T + s^2 I). W's columns are orthogonal, so the true posterior has independent
    dimensions and this encoder knows it, but for what it is `wrong` by."""

    deviation = 0.5

    def __init__(self, wrong=0.0, latent=3):
        super().__init__(wrong=wrong, latent=latent)
        axes = torch.linalg.qr(torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
        self.register_buffer("weight", axes * torch.tensor([2.0, 0.7, 0.0], dtype=torch.float64))
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def encode(self, x):
        precision = 1 + self.weight.square().sum(0) / self.deviation ** 2
        mean = x @ self.weight / self.deviation ** 2 / precision
        wrong = self.config["wrong"]
        return (1 - wrong) * mean + wrong, (-precision.log() + wrong).expand_as(mean)

    def log_likelihood(self, x, z):
        return torch.distributions.Normal(z @ self.weight.T, self.deviation).log_prob(x).sum(-1)

    def exact(self, x):
        covariance = self.weight @ self.weight.T + self.deviation ** 2 * torch.eye(5, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(torch.zeros(5, dtype=torch.float64), covariance).log_prob(x)


LINEAR = 1.5 * torch.randn(25, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def test_with_the_true_posterior_every_bound_is_log_px_itself():
    model = LinearGaussianVAE()
    for k in (1, 7):
        found = model.log_marginal(LINEAR, k, torch.Generator().manual_seed(k))
        torch.testing.assert_close(found, model.exact(LINEAR), rtol=0, atol=1e-5)
    weights = model.log_weights(LINEAR, torch.randn(3, 25, 3, dtype=torch.float64))
    torch.testing.assert_close(weights, model.exact(LINEAR).expand(3, -1))


def test_the_bound_rises_with_k_and_never_passes_log_px():
    model, repeats, found = LinearGaussianVAE(wrong=0.4), 200, {}
    for k in (1, 3, 10, 30, 100):
        many = model.log_marginal(LINEAR.repeat(repeats, 1), k, torch.Generator().manual_seed(k)).view(repeats, 25)
        found[k] = many.mean(0), many.std(0) / math.sqrt(repeats)
    for (mean, error), (more, more_error) in itertools.pairwise(found.values()):
        assert more.mean() > mean.mean()
        assert (more > mean - 5 * (error + more_error)).all()
    for mean, error in found.values():
        assert (mean < model.exact(LINEAR) + 5 * error).all()
    gaps = [(model.exact(LINEAR).mean() - mean.mean()).item() for mean, _ in found.values()]
    assert gaps[0] > 0.3 and 0 < gaps[-1] < 0.1 * gaps[0]


def test_the_elbo_is_below_log_px_by_the_divergence_to_the_true_posterior():
    wrong, right = LinearGaussianVAE(wrong=0.4), LinearGaussianVAE()
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)  # exact means over eps ~ N(0, I), of what is quadratic in it
    eps = torch.cartesian_prod(*[torch.tensor(nodes)] * 3)
    weight = torch.cartesian_prod(*[torch.tensor(weights / weights.sum())] * 3).prod(-1)
    elbo = sum(w * torch.sub(*wrong.elbo(LINEAR, one.expand(25, -1))) for w, one in zip(weight, eps))
    posteriors = [torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
                  for mean, log_variance in (wrong.encode(LINEAR), right.encode(LINEAR))]
    gap = torch.distributions.kl_divergence(*posteriors).sum(-1)
    torch.testing.assert_close(elbo, wrong.exact(LINEAR) - gap)


def test_the_numbers_of_a_model_are_those_of_the_known_one():
    """bounds: the KL, the bound and the active units; the third column of W is zero."""
    found = bounds(LinearGaussianVAE(), LINEAR, k=2, seed=0, batch_size=10)
    assert found["bound"] == pytest.approx(LinearGaussianVAE().exact(LINEAR).mean().item(), abs=1e-5)
    assert found["active_units"] == 2 and found["latent"] == 3 and found["k"] == 2
    assert found["elbo"] == pytest.approx(found["log_px"] - found["kl"])
    mean, log_variance = LinearGaussianVAE().encode(LINEAR)
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(mean, torch.exp(0.5 * log_variance)),
                                           torch.distributions.Normal(0.0, 1.0)).sum(-1).mean().item()
    assert found["kl"] == pytest.approx(kl)


MODELS_OF_PICTURES = [(GaussianVAE, config) for config in KINDS] + [
    (BernoulliVAE, dict(decoder="raster")), (BernoulliVAE, dict(decoder="independent")),
    (BernoulliVAE, dict(decoder="raster", styles=["a", "b"]))]
each_model = pytest.mark.parametrize("kind, config", MODELS_OF_PICTURES, ids=lambda part: getattr(
    part, "__name__", None) or "-".join(map(str, part.values())))


@each_model
def test_the_bound_is_the_logarithm_of_the_mean_weight_at_the_same_codes(kind, config):
    """And what is computed once for all codes of a picture is what it would be for each."""
    model, x = make(kind, **config), pictures()
    generator = torch.Generator().manual_seed(3)
    eps = torch.stack([torch.randn(20, 2, generator=generator) for _ in range(6)])
    with torch.no_grad():
        weights = model.log_weights(x, eps)
        mean, log_variance = model.encode(x)
        z = mean + torch.exp(0.5 * log_variance) * eps
        likelihoods = [model.log_likelihood(x, codes) for codes in z]
        of_x = model.log_likelihood_of(x)
        assert all(torch.equal(of_x(codes), one) for codes, one in zip(z, likelihoods))
        assert not torch.equal(likelihoods[0], likelihoods[1])
        log_prior_ratio = (torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
                           - torch.distributions.Normal(mean, torch.exp(0.5 * log_variance)).log_prob(z).sum(-1))
    torch.testing.assert_close(weights, torch.stack(likelihoods) + log_prior_ratio, rtol=1e-5, atol=1e-4)
    found = model.log_marginal(x, 6, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, torch.logsumexp(weights, 0) - math.log(6), rtol=1e-5, atol=1e-4)


# The decoder that knows what it has drawn.

def drawing_order(shape):
    """(row, column) of the pixels in the order of drawing: squares of 2 x 2 row by row, within each row by row."""
    return sorted(itertools.product(*map(range, shape)),
                  key=lambda place: (place[0] // 2, place[1] // 2, place[0] % 2, place[1] % 2))


@pytest.mark.parametrize("outputs, levels", [(1, 0), (9, 0), (1, 4), (9, 4)])
@pytest.mark.parametrize("low_precision", [False, True])
def test_the_outputs_of_a_pixel_depend_on_pixels_drawn_before_it_and_on_no_other(outputs, levels, low_precision):
    """On three squares by three, so that there is no blind spot: each later pixel sees each earlier one."""
    shape = (6, 6)
    torch.manual_seed(0)
    decoder = strengthen(torch.nn.ModuleDict({"decoder": PixelDecoder(shape, 2, 8, 3, outputs, levels, units=8)}))
    decoder = decoder.decoder
    decoder.low_precision = low_precision
    decoder = decoder.train() if low_precision else decoder.double()
    order, dtype = drawing_order(shape), torch.float32 if low_precision else torch.float64
    values = torch.rand(1, *shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    if levels:  # of 252 to 255, each with a channel
        values = (252 + 4 * values).floor() / 255
    changed = values.repeat(37, 1, 1)
    for i, place in enumerate(order):
        changed[i + 1][place] = (507 / 255 if levels else 1) - changed[i + 1][place]
    with torch.no_grad():
        found = decoder.parameters_of(changed, torch.full((37, 2), 0.5, dtype=dtype))  # (37, outputs, 6, 6)
    assert found.shape == (37, outputs, 6, 6)
    change = torch.stack([(found[1:, :, row, column] - found[0, :, row, column]).abs().amax(1)
                          for row, column in order], 1)  # row: the pixel changed; column: the pixel spoken of
    place = torch.arange(36)
    earlier_or_same = place[None] <= place[:, None]
    assert change[earlier_or_same].max() < 1e-5
    if not low_precision:  # whose steps are too coarse to see every change
        assert change[~earlier_or_same].min() > 1e-5
        assert change[:-1].max(1).values.min() > 1e-3


def test_the_outputs_of_a_pixel_depend_on_the_code():
    model = make(GaussianVAE, decoder="raster", shape=(4, 4))
    with torch.no_grad():
        outputs = outputs_of(model, pictures((4, 4), 1).expand(2, -1, -1), torch.tensor([[0.0, 0.0], [0.3, 0.0]]))
    assert (outputs[0] - outputs[1]).abs().amax(0).min() > 1e-4


@pytest.mark.parametrize("shape", [(2, 4), (4, 2)])
@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_the_probabilities_of_all_binary_pictures_sum_to_one(shape, strength):
    model = make(BernoulliVAE, strength, shape=shape, decoder="raster")
    x = torch.tensor(list(itertools.product((0, 1), repeat=8))).view(-1, *shape)
    for z in (torch.zeros(1, 2), torch.tensor([[1.5, -2.0]])):
        with torch.no_grad():
            log_px = model.log_likelihood(x, z.expand(256, -1))
        assert torch.logsumexp(log_px, 0).item() == pytest.approx(0, abs=1e-5)
        assert log_px.max() - log_px.min() > 1, "or all are alike"


def pixel_by_pixel(decoder, z, choose):
    """`PixelDecoder.decode` as one would write it down: a pass for each pixel, of which that pixel alone is kept."""
    values = torch.zeros(len(z), *decoder.shape)
    for row, column in drawing_order(decoder.shape):
        values[:, row, column] = choose(decoder.parameters_of(values, z), slice(None))[:, row, column]
    return values


@pytest.mark.parametrize("kind, components", [(GaussianVAE, 1), (GaussianVAE, 3), (BernoulliVAE, None)])
def test_a_picture_guessed_at_once_is_the_picture_drawn_pixel_by_pixel(monkeypatch, kind, components):
    model = make(kind, shape=(4, 6), decoder="raster", **(dict(components=components) if components else {}))
    z = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    made = [(draw_at(model, z, 3), model.decode_sample(z, torch.Generator().manual_seed(1)))]
    monkeypatch.setattr(PixelDecoder, "decode", pixel_by_pixel)
    made.append((draw_at(model, z, 3), model.decode_sample(z, torch.Generator().manual_seed(1))))
    for at_once, in_turn in zip(*made):
        assert at_once.dtype == in_turn.dtype and at_once.shape == (8, 4, 6)
        assert torch.equal(at_once, in_turn)
        assert len(at_once.flatten(1).unique(dim=0)) > 3, "points have pictures of their own"
        assert 0.02 < (at_once > 0).float().mean() and 0.02 < (at_once < 100).float().mean()


@pytest.mark.parametrize("decoder", ["raster", "independent"])
def test_binary_pictures_are_drawn_as_often_as_their_probability_says(decoder):
    model, count = make(BernoulliVAE, 1.0 if decoder == "raster" else 1.5, shape=(2, 2), decoder=decoder), 20_000
    x = torch.tensor(list(itertools.product((0, 1), repeat=4))).view(-1, 2, 2)
    z = torch.tensor([[0.5, -0.5]])
    with torch.no_grad():
        probability = model.log_likelihood(x, z.expand(16, -1)).double().exp()
        drawn = model.decode_sample(z.expand(count, -1), torch.Generator().manual_seed(0))
    found = torch.bincount((drawn > 0).flatten(1).long() @ torch.tensor([8, 4, 2, 1]), minlength=16)
    expected = count * probability / probability.sum()
    assert expected.min() > 5
    assert scipy.stats.chisquare(found, expected).pvalue > 1e-3


@pytest.mark.parametrize("log_deviation", [-0.8, 0.9])
@pytest.mark.parametrize("components", [1, 3])
def test_levels_are_drawn_as_often_as_their_mass_says(components, log_deviation):
    model, count = make(shape=(1, 1), components=components), 30_000
    constant_outputs(model, torch.linspace(-0.7, 0.75, components), torch.full((components,), log_deviation))
    z = torch.zeros(count, 2)
    with torch.no_grad():
        expected = count * model.log_likelihood(LEVELS.view(256, 1, 1), z[:256]).double().exp()
        drawn = model.decode_sample(z, torch.Generator().manual_seed(0))
    found = torch.bincount(drawn.flatten().long(), minlength=256).double()
    rare = expected < 5  # the chi-square test wants at least 5 expected in a class: the rare ones are one
    found, expected = (torch.cat([counts[~rare], counts[rare].sum()[None]]) for counts in (found, expected))
    assert len(expected) > 2
    assert scipy.stats.chisquare(found[expected > 0], expected[expected > 0] * found.sum() / expected.sum()
                                 ).pvalue > 1e-3


@each_kind
def test_draws_are_given_by_generator_and_seed_and_one_point_has_one_picture(config):
    model, z = make(shape=(4, 4), **config), torch.tensor([[0.0, 0.0], [1.0, -2.0], [30.0, -30.0]])
    before = torch.get_rng_state()
    assert torch.equal(draw_at(model, z, 1), draw_at(model, z, 1))
    assert torch.equal(draw_at(model, z[1:2], 1), draw_at(model, z, 1)[1:2])
    assert not torch.equal(draw_at(model, z, 1), draw_at(model, z, 2))
    first, again, other = (model.sample(5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_expected_picture_is_the_mean_of_many_draws():
    model, z = make(components=3, strength=1.0), torch.tensor([[0.3, -0.4]])
    with torch.no_grad():
        model.decoder.out.bias.view(9, -1)[3:6] -= 3  # narrow, so that black and white cut nothing off
    drawn = model.decode_sample(z.expand(4000, -1), torch.Generator().manual_seed(0)).float()
    error = drawn.std(0) / math.sqrt(4000)
    assert ((model.decode_mean(z)[0] - drawn.mean(0)).abs() < 4.5 * error + 0.02).all()


# Building a model, fitting it, keeping it.

def test_the_commonest_levels_of_ink_have_input_channels():
    """A pixel's neighbour at 252 or at 253 is a 255th apart, and yet another thing to the pixels after it."""
    model = GaussianVAE(shape=(2, 2), hidden=(8,), decoder="raster", width=8, components=1).eval()
    pixels = torch.tensor([0] * 50 + [7] * 9 + [252] * 8 + [30] * 7 + [253] * 6 + [100] * 5)
    model.initialise_from_data(pixels)
    assert model.decoder.levels.tolist() == [7, 30, 252, 253]
    pair = torch.tensor([[[level, 0], [0, 0]] for level in (252, 253, 100, 101)])
    context = model.decoder.cached_context(model.values(pair))
    apart = (context[:, None] - context[None]).abs().amax((2, 3, 4))
    assert apart[0, 1] > 5 * apart[2, 3] > 0
    restored = GaussianVAE(**model.config)
    restored.load_state_dict({name: value.half() for name, value in model.state_dict().items()})
    assert restored.decoder.levels.tolist() == [7, 30, 252, 253], "a checkpoint keeps them, in 16 bits too"


@pytest.mark.parametrize("components", [1, 3])
def test_no_surprise_costs_more_than_the_least_deviation_allows(components):
    model = make(shape=(1, 1), components=components, strength=300.0, least_deviation=2.0)
    with torch.no_grad():
        outputs = outputs_of(model, pictures()[:, :1, :1], 9 * torch.randn(20, 2))
        _, log_deviation, _ = model.mixture.distribution(outputs)
        worst = model.log_likelihood(pictures()[:, :1, :1], torch.zeros(20, 2)).min()
    assert log_deviation.min() >= math.log(2.0) - 1e-6 and worst > -0.5 * ((255 + MEAN_BEYOND) / 2) ** 2 - 10
    for wrong in (0.0, 0.1, 200.0):
        with pytest.raises(ValueError, match="least_deviation"):
            make(least_deviation=wrong)


@pytest.mark.parametrize("decoder", ["raster", "independent"])
@pytest.mark.parametrize("components", [2, 4, 7])
def test_the_components_begin_where_the_levels_are(decoder, components):
    """Given nothing else, the model gives the commonest levels about the share they have, and none nothing."""
    source = np.random.default_rng(0)
    pixels = torch.tensor(source.choice([0, 255, 100], (3000, 2, 2), p=[0.7, 0.2, 0.1])
                          + source.integers(0, 50, (3000, 2, 2)) * (source.random((3000, 2, 2)) < 0.05)).clamp(max=255)
    model = GaussianVAE(shape=(2, 2), hidden=(8,), decoder=decoder, width=8, components=components).eval()
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    model.initialise_from_data(pixels)
    changed = {name for name, weights in model.state_dict().items() if not torch.equal(weights, before[name])}
    assert changed == {"decoder.out.bias", *(["decoder.levels"] if decoder == "raster" else [])}
    assert torch.isfinite(model.decoder.out.bias).all()
    with torch.no_grad():
        model.decoder.out.weight.zero_()
        mean, log_deviation, log_weight = model.mixture.distribution(outputs_of(model, pixels[:1], torch.zeros(1, 2)))
        each = discretised_normal_log_likelihood(LEVELS.float(), *(part[0, 0, 0].expand(256, -1)
                                                                   for part in (mean, log_deviation)))
        mass = (each + log_weight[0, 0, 0]).exp().sum(-1)
    assert all(torch.equal(part, part[:, :1, :1].expand_as(part)) for part in (mean, log_deviation, log_weight))
    shares = torch.bincount(pixels.flatten(), minlength=256) / pixels.numel()
    for level in shares.argsort(descending=True)[:components // 2]:
        assert 0.75 * shares[level] < mass[level] < 1.1 * shares[level] + 0.05
    assert mass.min() > 1e-6, "what is rare is not impossible"
    mean_bits = -(shares * mass.log2()).sum()
    assert mean_bits < 6, "a level drawn evenly costs eight"


@pytest.mark.parametrize("name, value", [
    ("latent", 0), ("latent", 2.5), ("hidden", (0,)), ("hidden", (8, -1)), ("decoder", "causal"), ("decoder", None),
    ("width", 0), ("indicator_levels", -1), ("indicator_levels", 256), ("indicator_levels", 1.5), ("blocks", 0),
    ("components", 0), ("components", 1.5), ("likelihood", "density"), ("likelihood", None), ("activation", "Wave"),
    ("shape", (0, 4)),
    ("shape", (3, 4)), ("shape", (2, 5)), ("shape", (4,)), ("shape", (2, 2, 2))])
def test_a_config_that_makes_no_model_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        GaussianVAE(**{**dict(shape=(2, 4), hidden=(8,), width=8, decoder="raster"), name: value})


@each_model
def test_a_saved_model_of_pictures_is_loaded_as_it_was(tmp_path, kind, config):
    model = make(kind, **config)
    checkpoint.save_checkpoint(tmp_path / "model.pt", model)
    twin = load_model(tmp_path / "model.pt")
    assert type(twin) is kind and twin.config == model.config and not twin.training
    assert MODELS[kind.__name__](**model.config).config == model.config
    x, eps = pictures(), torch.randn(20, 2)
    with torch.no_grad():
        assert all(torch.equal(found, expected) for found, expected in zip(twin.elbo(x, eps), model.elbo(x, eps)))


def small_fit(run, model, augment=None, train=pictures(count=40), **options):
    return fit(model, Examples(train), Examples(pictures(count=9, seed=1)), run, TrainingSettings(**{**dict(
        epochs=3, batch_size=8, device="cpu", learning_rate=0.02), **options}), augment)


@each_kind
@each_likelihood
def test_training_raises_the_bound(tmp_path, config, likelihood):
    torch.manual_seed(0)
    model = GaussianVAE(shape=(2, 4), hidden=(8,), width=8, blocks=1, likelihood=likelihood, **config)
    black_or_white = 255 * (torch.arange(40) % 3 > 0).byte()[:, None, None].expand(40, 2, 4)
    history = small_fit(tmp_path / "run", model, model.dequantised if likelihood == "normal" else None, epochs=8,
                        train=black_or_white.contiguous(), learning_rate=0.01)
    assert history[-1]["train_elbo"] > history[0]["train_elbo"] + 3
    assert likelihood == "normal" or all(record["train_log_px"] < 0 for record in history)


@pytest.mark.parametrize("config", KINDS[1:3], ids=str)
def test_a_loss_that_is_not_finite_stops_the_run_and_what_was_saved_stands(tmp_path, config):
    calls = itertools.count(1)

    def spoilt(x, generator):
        return x.float() * (math.nan if next(calls) == 12 else 1)  # in the third epoch of 5 steps
    with pytest.raises(FloatingPointError, match="run: stopped at epoch 3, step 2: the loss is nan"):
        small_fit(tmp_path / "run", make(**config), spoilt)
    assert checkpoint.load_checkpoint(tmp_path / "run" / "checkpoint.pt")["epoch"] == 2
    model = load_model(tmp_path / "run")
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    with pytest.raises(FloatingPointError, match="stopped at epoch 1, step 1"):
        broken = make(**config)
        with torch.no_grad():
            broken.encoder[0].bias[0] = math.inf
        small_fit(tmp_path / "broken", broken)
    assert not (tmp_path / "broken" / "checkpoint.pt").exists()


def test_weights_in_sixteen_bits_give_nearly_the_same_bound(tmp_path):
    """best.pt holds them so: the bound of what is evaluated is that of what was trained."""
    model, x, eps = make(decoder="raster", components=3, strength=1.0), pictures(count=200), torch.zeros(200, 2)
    checkpoint.save_checkpoint(tmp_path / "best.pt", model, half=True)
    with torch.no_grad():
        found, expected = (torch.sub(*one.elbo(x, eps)).mean().item()
                           for one in (load_model(tmp_path / "best.pt"), model))
    assert found == pytest.approx(expected, rel=0.01)


def test_a_raster_decoder_is_refused_where_its_squares_do_not_fit():
    with pytest.raises(ValueError, match="shape: expected .* both even, found .5, 4."):
        PixelDecoder((5, 4), 2, 8, 1)
    with pytest.raises(ValueError, match="shape: expected .* both even"):
        BernoulliVAE(shape=(3, 4), hidden=(8,), decoder="raster", width=8)
