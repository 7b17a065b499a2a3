"""The optimisers: Muon moves the weights it is given, in place, as torch's own does on matrices; AdamW all others."""

import pytest
import torch

from learning.optimizers import Optimizers, as_matrix
from models import BernoulliVAE, GaussianVAE

NAMES = ["adamw", "muon"]


def some_model(seed=0):
    torch.manual_seed(seed)
    return GaussianVAE(shape=(4, 6), latent=3, hidden=(8,), decoder="raster", width=8, blocks=1, components=2)


def with_gradients(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for weights in model.parameters():
        weights.grad = torch.randn(weights.shape, generator=generator).to(memory_format=torch.preserve_format)
    return model


@pytest.mark.parametrize("kernel", [
    torch.randn(6, 4), torch.randn(6, 4, 3, 3), torch.randn(6, 4, 1, 1),
    torch.randn(6, 4, 3, 3).contiguous(memory_format=torch.channels_last)], ids=["matrix", "3x3", "1x1", "last"])
def test_a_kernel_is_a_matrix_in_the_same_memory(kernel):
    matrix = as_matrix(kernel)
    assert matrix.shape == (6, kernel.numel() // 6) and matrix.data_ptr() == kernel.data_ptr()
    assert matrix.sum(1).allclose(kernel.flatten(1).sum(1), atol=1e-5)
    matrix.zero_()
    assert not kernel.any()


@pytest.mark.parametrize("name", NAMES)
def test_a_step_moves_every_weight(name):
    model = with_gradients(some_model())
    before = {key: weights.clone() for key, weights in model.named_parameters()}
    optimizers = Optimizers(model, name, 1e-3, 0.0)
    optimizers.step(1e-2)
    assert all((weights != before[key]).any() for key, weights in model.named_parameters())


def test_muon_moves_a_matrix_as_torchs_own_and_leaves_the_rest_to_adamw():
    model, alone, twin = (with_gradients(some_model()) for _ in range(3))
    optimizers, adamw = Optimizers(model, "muon", 1e-3, 0.01), Optimizers(twin, "adamw", 1e-3, 0.01)
    names = {id(weights): key for key, weights in model.named_parameters()}
    moved = [names[id(matrix)] for matrix in optimizers.matrices]
    assert "decoder.first.weight" in moved and "decoder.out.weight" not in moved and "encoder.0.weight" not in moved
    for _ in range(3):
        for each in (optimizers, adamw):
            each.step(5e-3)
    after, others = dict(model.named_parameters()), dict(twin.named_parameters())
    for key, weights in alone.named_parameters():
        if key in moved:
            matrix = torch.nn.Parameter(as_matrix(weights.data.clone()))
            matrix.grad = as_matrix(weights.grad)
            torchs = torch.optim.Muon([matrix], lr=5e-3, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
            for _ in range(3):
                torchs.step()
            torch.testing.assert_close(as_matrix(after[key].data), matrix.data)
            assert not torch.equal(after[key], others[key])
        else:
            torch.testing.assert_close(after[key], others[key], rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_kept_goes_on_as_if_it_had_not_stopped(name):
    whole, parts = with_gradients(some_model()), with_gradients(some_model())
    optimizers, first = Optimizers(whole, name, 1e-3, 0.01), Optimizers(parts, name, 1e-3, 0.01)
    first.step(1e-2)
    second = Optimizers(parts, name, 1e-3, 0.01)
    second.load_state_dict(first.state_dict())
    second.step(2e-3)
    for learning_rate in (1e-2, 2e-3):
        optimizers.step(learning_rate)
    for one, other in zip(whole.parameters(), parts.parameters()):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("name, model, words", [
    ("muon", BernoulliVAE(), "--optimizer muon: IndependentDecoder names no matrices"),
    ("sgd", some_model(), "--optimizer sgd: expected adamw or muon")])
def test_what_cannot_be_had_is_refused(name, model, words):
    with pytest.raises(ValueError, match=words):
        Optimizers(model, name, 1e-3, 0.0)
