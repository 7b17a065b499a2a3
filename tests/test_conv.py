"""ConvVAE and its nets: any size, exact oracles for the linear start and the bound; finite far out."""

import math

import pytest
import torch

from formats.checkpoint import save_checkpoint
from models import MODELS, ConvVAE
from networks.convolutional import Patches
from saved_model import load_model

SMALL = dict(latent=6, shape=(45, 23), widths=(8, 8, 16), bottleneck=4, classes=3, embedding=4)

pytestmark = pytest.mark.usefixtures("one_thread")


def stirred(module, strength=0.1):
    """The module with noise on all weights, so that layers that begin at zero do something."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += strength * torch.randn(parameter.shape, generator=generator)
    return module


def make(strength=0.1, **config):
    torch.manual_seed(0)
    return stirred(ConvVAE(**{**SMALL, **config}), strength).eval()


def some_pictures(count=5, shape=SMALL["shape"]):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, *shape, generator=generator), torch.arange(count) % SMALL["classes"]


@pytest.mark.parametrize("shape, patch, widths", [
    ((412, 157), (8, 4), (24, 64, 96, 128)), ((7, 3), (8, 4), (8, 8)), ((64, 32), (4, 8), (8, 8, 8)),
    ((33, 65), (8, 4), (5, 7, 9)), ((460, 630), (8, 4), (8, 8, 8, 8))])
def test_any_size_goes_through_and_comes_back(shape, patch, widths):
    model = make(shape=shape, patch=patch, widths=widths)
    x, label = some_pictures(2, shape)
    mean, log_variance = model.encode(x, label)
    assert mean.shape == log_variance.shape == (2, 6)
    assert model.decode_mean(mean, label).shape == (2, *shape)
    log_px, kl = model.elbo(x, label=label)
    assert torch.isfinite(log_px).all() and (kl >= 0).all()


def test_patches_put_together_are_the_picture_again():
    picture, _ = some_pictures(3, (45, 23))
    patches = Patches((45, 23), (8, 4))
    assert torch.equal(patches.join(patches.cut(picture)), picture)
    assert patches.cut(picture).shape == (3, 32, 6, 6)
    level = torch.full((1, 1, *patches.grid), 2.5)
    assert torch.allclose(patches.upsample(level), torch.full((1, 45, 23), 2.5))


def test_log_likelihood_is_that_of_a_normal_distribution():
    model = make().double()
    (x, label), z = some_pictures(), torch.randn(5, 6, dtype=torch.float64)
    with torch.no_grad():
        normal = torch.distributions.Normal(model.decode_mean(z, label), torch.exp(model.log_scale()))
        expected = normal.log_prob(x).sum((1, 2))
        assert torch.allclose(model.log_likelihood(x, z, label), expected, rtol=1e-6)


def test_variances_are_bounded_whatever_the_weights():
    model = make(strength=30.0)
    x, label = some_pictures()
    _, log_variance = model.encode(1e4 * x, label)
    assert log_variance.min() >= -12 and log_variance.max() <= 4
    for value in (-1e6, 1e6):
        model.log_deviation.data.fill_(value)
        assert -3 <= model.log_scale() <= 1


def test_a_draw_has_the_mean_and_the_deviation_that_the_likelihood_has_there():
    model, (x, label) = make(), some_pictures()
    with torch.no_grad():
        model.log_deviation.fill_(-100.0)
        z = model.encode(x, label)[0]
        noise = model.decode_sample(z, torch.Generator().manual_seed(0), label) - model.decode_mean(z, label)
        assert noise.mean().abs() < 0.01 and noise.std() == pytest.approx(math.exp(-3), rel=0.05)


def test_a_class_may_be_a_row_or_weights_and_matters():
    model, (x, label) = make(), some_pictures()
    z, weights = torch.randn(5, 6), torch.eye(3)
    with torch.no_grad():
        assert torch.equal(model.decode_mean(z, label), model.decode_mean(z, weights[label]))
        assert torch.equal(model.encode(x, label)[0], model.encode(x, weights[label])[0])
        assert not torch.allclose(model.decode_mean(z, label), model.decode_mean(z, (label + 1) % 3), atol=1e-3)
        assert not torch.allclose(model.encode(x, label)[0], model.encode(x, (label + 1) % 3)[0], atol=1e-3)
        between = model.decode_mean(z, weights[label] / 2 + weights[(label + 1) % 3] / 2)
    assert torch.isfinite(between).all()
    with pytest.raises(ValueError, match="label"):
        model.decode_mean(z)


def test_it_starts_at_the_principal_components():
    """On pictures of two smooth parts, a code of two finds them before any training, and a code of one finds less."""
    torch.manual_seed(0)
    band, frame = torch.linspace(0, 1, 48)[:, None], torch.linspace(0, 1, 24)
    parts = torch.stack([band + 0 * frame, torch.cos(3 * frame) + 0 * band])
    amounts = torch.randn(40, 2)
    x, label = 5 + torch.einsum("nk,kbf->nbf", amounts, parts), torch.zeros(40, dtype=torch.long)
    errors = []
    for latent in (2, 1):
        model = ConvVAE(**{**SMALL, "shape": (48, 24), "latent": latent}).eval()
        torch.nn.init.zeros_(model.encoder.code.weight)  # the linear road alone
        model.initialise_from_data(x)
        with torch.no_grad():
            mean, _ = model.encode(x, label)
            errors.append((model.decode_mean(mean, label) - x).square().mean().sqrt().item())
            assert torch.allclose(mean.std(0, correction=0), torch.ones(latent), atol=0.05)
    assert errors[0] < 0.12 * x.std(0).mean() < 0.3 * x.std(0).mean() < errors[1]


def test_a_few_pictures_are_enough_to_start():
    for count in (1, 2, 3):
        model = ConvVAE(**SMALL)
        x, label = some_pictures(count)
        model.initialise_from_data(x)
        assert all(torch.isfinite(part).all() for part in model.encode(x, label))


def test_training_lowers_the_loss_and_reaches_every_weight():
    model, (x, label) = make(0), some_pictures(24)
    x = x + 3 * torch.sin(torch.arange(24.0))[:, None, None]
    model.train()
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for _ in range(30):
        log_px, kl = model.elbo(x, torch.zeros(24, 6), label=label)
        losses.append((kl - log_px).mean())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_bfloat16_is_near_float32_and_for_training_alone():
    model, (x, label) = make(), some_pictures()
    exact = model.encode(x, label)[0]
    model.low_precision = True
    assert torch.equal(model.encode(x, label)[0], exact)
    model.train()
    near = model.encode(x, label)[0]
    assert near.dtype == torch.float32 and not torch.equal(near, exact)
    assert torch.allclose(near, exact, atol=0.05 * exact.abs().max().item())


@pytest.mark.parametrize("scale", [1, 3, 100])
def test_every_sample_is_finite_however_far_out(scale):
    model = make()
    with torch.no_grad():
        made = model.decode_mean(scale * torch.randn(300, 6), torch.arange(300) % 3)
    assert torch.isfinite(made).all()


def test_sample_is_given_by_its_generator_and_label():
    model, label = make(), torch.tensor([0, 1, 2, 0])
    first, again, other = (model.sample(4, torch.Generator().manual_seed(seed), label=label) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other) and first.shape == (4, *SMALL["shape"])


def test_a_checkpoint_gives_the_model_again(tmp_path):
    model, (x, label) = make(), some_pictures()
    save_checkpoint(tmp_path / "model.pt", model)
    again = load_model(tmp_path / "model.pt")
    assert type(again) is MODELS["ConvVAE"] and again.config == model.config
    with torch.no_grad():
        code = model.encode(x, label)[0]
        assert torch.equal(again.encode(x, label)[0], code)
        assert torch.equal(again.decode_mean(code, label), model.decode_mean(code, label))


@pytest.mark.parametrize("wrong", [dict(shape=(4,)), dict(shape=(0, 4)), dict(widths=(8,)), dict(patch=(8,)),
                                   dict(latent=0), dict(classes=0), dict(bottleneck=0), dict(embedding=0)])
def test_sizes_that_make_no_net_are_refused(wrong):
    with pytest.raises(ValueError):
        ConvVAE(**{**SMALL, **wrong})
