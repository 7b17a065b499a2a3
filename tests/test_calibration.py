"""sounds/calibration.py: levels by class, pairs of velocities by their names, what a softer strike does to codes."""

import numpy as np
import pytest
import torch

from models import ConvVAE
from sounds.calibration import (FEWEST, find_pairs, learn_softness, measure_class_levels, measure_softness,
                                struck_hardest, velocity_of)

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (16, 12)


@pytest.mark.parametrize("name, velocity", [
    ("Kick/m_bd_0_v127", 127), ("m_bd_v051", 51), ("m_bd", 127), ("m_v51", 127), ("m_v051_2", 127), ("m_v0512", 127)])
def test_a_velocity_stands_at_the_end_of_a_name(name, velocity):
    assert velocity_of(name) == velocity


def test_the_hardest_and_the_softest_of_a_sound_are_a_pair():
    names = ["a_v127", "b_v050", "a_v020", "c", "a_v064", "d_v030", "b_v100", "e_v090", "e_v090"]
    hard, soft = find_pairs(names, range(len(names)))
    assert sorted(zip(hard.tolist(), soft.tolist())) == [(0, 2), (6, 1)]
    hard, soft = find_pairs(names, [1, 2, 4, 6])
    assert sorted(zip(hard.tolist(), soft.tolist())) == [(4, 2), (6, 1)]
    assert struck_hardest(names).tolist() == [True, False, False, True, False, True, True, True, True]
    hard, soft = find_pairs(names, [3, 5])
    assert len(hard) == len(soft) == 0


def pairs(rows, seed=0):
    """Pairs of sounds of these classes at velocities 120 and 30: 2 dB a class quieter, and darker by a slope."""
    source, count = np.random.default_rng(seed), len(rows)
    rows = np.array(rows)
    hard = source.uniform(-40, -5, (count, *SHAPE))
    slope = np.linspace(0, -1, SHAPE[0])[:, None] * (1 + rows[:, None, None])
    levels = source.uniform(-20, -10, count)
    names = [f"x/m_{i}_v{velocity}" for velocity in ("120", "030") for i in range(count)]
    return {"names": names, "labels": np.tile(rows, 2).astype(np.uint8), "levels": np.r_[levels, levels - 2 - rows],
            "spectrograms": np.concatenate((hard, hard + slope)).astype(np.float16)}


def test_softness_is_the_mean_change_of_the_pairs_of_each_class():
    rows = [0] * FEWEST + [3] * (FEWEST + 2) + [5]
    data = pairs(rows)
    found = measure_softness(data, range(len(data["names"])))
    assert found["velocity"] == pytest.approx(0.25) and found["spectrograms"].shape == (8, *SHAPE)
    for row in (0, 3):
        assert found["levels"][row] == pytest.approx(-2 - row, abs=0.01)
        expected = torch.linspace(0, -1, SHAPE[0])[:, None] * (1 + row)
        assert (found["spectrograms"][row].float() - expected).abs().max() < 0.05
    mean = np.mean(rows)
    for row in (5, 7):  # too few pairs, and none: the mean of all
        assert (found["spectrograms"][row, -1].float() + 1 + mean).abs().max() < 0.05
        assert found["levels"][row] == pytest.approx(np.median(-2 - np.array(rows)), abs=0.01)
    assert measure_softness(data, range(len(rows))) is None, "the hard ones alone are no pairs"


def test_codes_move_as_the_decoded_sound_is_to_change():
    """A model that began at the components of sounds with brighter and darker ones among them decodes the change."""
    source = torch.Generator().manual_seed(0)
    slope = torch.linspace(0, -1, 32)[:, None] * torch.ones(12)
    other = torch.cos(torch.linspace(0, 3, 12)) * torch.ones(32, 1)
    amounts = torch.randn(60, 2, generator=source)
    x = amounts[:, 0, None, None] * slope + amounts[:, 1, None, None] * other
    torch.manual_seed(0)
    model = ConvVAE(latent=2, shape=(32, 12), widths=(8, 8), bottleneck=4, embedding=4).eval()
    torch.nn.init.zeros_(model.encoder.code.weight)  # the linear road alone
    model.initialise_from_data(x)
    sound = {"mean": -30.0, "deviation": 10.0, "floor_db": -300.0}
    changes = torch.stack([(row + 1) * slope for row in range(8)])                    # in dB
    softness = {"velocity": 0.4, "levels": [-1.0] * 8, "spectrograms": changes.half()}
    labels = torch.arange(60) % 7                                                     # no sound of class 7
    found = learn_softness(model, sound, softness, x, labels)
    assert found["velocity"] == 0.4 and found["codes"].shape == (8, 2) and "codes" not in softness
    for row in range(8):
        label = torch.full((5,), row)
        with torch.no_grad():
            code = model.encode(x[:5], label)[0]
            moved = model.decode_mean(code + found["codes"][row], label) - model.decode_mean(code, label)
        wanted = changes[row] / 10
        assert (moved.mean(0) - wanted).norm() < 0.2 * wanted.norm()


def test_the_level_of_a_class_is_the_median_of_its_training_sounds():
    data = {"levels": np.array([-10.0, -20, -30, -5, -50]), "labels": np.array([0, 0, 0, 2, 2])}
    assert measure_class_levels(data, [0, 1, 2, 3])["levels"] == [-20, -15, -5, *[-15] * 5]
