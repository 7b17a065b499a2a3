"""A bar as it goes on: the velocity of a new hit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import make_drum_model
from tiny_map import a_bar, write_tiny_map

from models import BernoulliVAE
from patterns import latent_map, sampling, variation


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
@settings(max_examples=15, deadline=None)
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
