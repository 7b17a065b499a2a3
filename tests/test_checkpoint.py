"""formats/checkpoint.py: files from before the names changed are read as those of today; others are refused."""

import itertools

import pytest
import torch

from formats.checkpoint import OLD_NAMES, load_checkpoint, save_checkpoint
from learning import training
from models import BernoulliVAE, ConvVAE, GaussianVAE
from saved_model import load_model

MODELS = {
    "bars": lambda: BernoulliVAE(hidden=(8,), decoder="causal", width=8, velocities=True, velocity_latent=3, offsets=3,
                                 styles=["FUNK"]),
    "raster": lambda: GaussianVAE(shape=(4, 4), hidden=(8,), decoder="raster", width=8, indicator_levels=2),
    "sounds": lambda: ConvVAE(latent=3, shape=(20, 12), widths=(8, 8), bottleneck=4, embedding=4)}
CONFIG = ("velocity_latent", "offsets", "indicator_levels", "bottleneck")

pytestmark = pytest.mark.usefixtures("one_thread")


def make_old(path):
    """Rewrite a checkpoint under the names of before; gives how many names of the table it then has."""
    content, new_names = torch.load(path, weights_only=True), {new: old for old, new in OLD_NAMES.items()}
    content["config"] = {new_names[name] if name in CONFIG else name: value
                         for name, value in content["config"].items()}
    content["weights"] = {".".join(new_names.get(word, word) for word in name.split(".")): value
                          for name, value in content["weights"].items()}
    torch.save(content, path)
    return {word for name in [*content["config"], *content["weights"]] for word in name.split(".")} & OLD_NAMES.keys()


def test_every_old_name_is_read_and_gives_the_same_model(tmp_path):
    found = set()
    for name, make in MODELS.items():
        torch.manual_seed(0)
        model, path = make(), tmp_path / f"{name}.pt"
        save_checkpoint(path, model)
        old = make_old(path)
        again = load_model(path)
        assert old and again.config == model.config and type(again) is type(model)
        for (key, value), (new, expected) in zip(again.state_dict().items(), model.state_dict().items(), strict=True):
            assert key == new and torch.equal(value, expected)
        found |= old
    assert found == set(OLD_NAMES)


class Stop(Exception):
    """A failure of the machine."""


def test_a_run_from_before_the_names_changed_is_resumed_bit_for_bit(tmp_path, monkeypatch):
    bars = (torch.rand(24, 8, 64, generator=torch.Generator().manual_seed(0)) < 0.1).byte() * 90
    calls, forward = itertools.count(1), training.Step.forward

    def fit(run, **options):
        torch.manual_seed(1)
        model = BernoulliVAE(hidden=(8,), decoder="causal", width=8, velocities=True, velocity_latent=2, dropout=0.2)
        settings = training.TrainingSettings(epochs=3, batch_size=8, device="cpu", **options)
        training.fit(model, training.Examples(bars), training.Examples(bars[:8]), tmp_path / run, settings)
        return load_checkpoint(tmp_path / run / "checkpoint.pt")

    def fail(*arguments, **condition):
        if next(calls) == 9:  # an epoch has three steps and one of validation
            raise Stop
        return forward(*arguments, **condition)
    whole = fit("whole")
    monkeypatch.setattr(training.Step, "forward", fail)
    with pytest.raises(Stop):
        fit("broken")
    monkeypatch.undo()
    assert make_old(tmp_path / "broken" / "checkpoint.pt")
    resumed = fit("broken", resume=True)
    assert whole["epoch"] == resumed["epoch"] == 3
    assert all(torch.equal(value, resumed["weights"][name]) for name, value in whole["weights"].items())


@pytest.mark.parametrize("content", [
    {}, 3, [1], {"class": "ConvVAE", "config": {}}, {"class": "ConvVAE", "config": [], "weights": {}},
    {"class": "ConvVAE", "config": {}, "weights": {1: torch.zeros(1)}}, {"config": {}, "weights": {}}], ids=str)
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="model.pt: expected a checkpoint of this project"):
        load_checkpoint(tmp_path / "model.pt")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    save_checkpoint(tmp_path / "a.pt", MODELS["bars"]())
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    next(iter(content["weights"].values())).view(-1)[0] = float("nan")
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="a.pt: holds weights that are not finite"):
        load_model(tmp_path / "a.pt")
