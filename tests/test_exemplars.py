"""sounds/exemplars.py: which sounds are kept and how, the two levels of the prior, and what is borrowed from."""

import numpy as np
import pytest
import torch
from small_sounds import RATE, SETTINGS, make_sound_model, save_sound_model, write_machines

from formats.audio import save_audio
from sounds import exemplars
from sounds.codes import attach_sound, load_sound_model, random_codes, seeded_generator
from sounds.exemplars import (KIT, Exemplars, as_flac, class_statistics, duration_weights, find_exemplars, in_turn,
                              kit_codes)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A model of eight classes of five machines, and what its checkpoint says of its sounds."""
    folder = tmp_path_factory.mktemp("exemplars")
    return make_sound_model(write_machines(folder / "sounds"), folder / "cache")


@pytest.fixture(scope="module")
def model(described):
    return attach_sound(*described)


def factor_machines(machines=30, each=2, latent=8, classes=8, seed=0):
    """Codes whose classes share what a machine is, in another direction each: codes, labels, machine of each."""
    source = np.random.default_rng(seed)
    factor, directions = source.standard_normal(machines), source.standard_normal((classes, latent))
    labels, machine = (part.ravel() for part in np.meshgrid(np.repeat(range(classes), each), range(machines)))
    own = 0.5 * source.standard_normal((len(labels), latent)) + source.standard_normal((classes, latent))[labels]
    codes = factor[machine, None] * directions[labels] + own
    return torch.tensor(codes, dtype=torch.float32), torch.tensor(labels), machine


def made_of(codes, labels, machine, tmp_path, shuffled=False):
    """Exemplars of these codes; their sounds are all one click."""
    save_audio(tmp_path / "a.wav", np.hanning(40), RATE)
    machines = np.random.default_rng(1).permutation(machine) if shuffled else machine
    found = find_exemplars(codes, torch.full_like(codes, -6), labels, [f"m{i:02d}" for i in machines],
                           np.full(len(codes), 0.2), [tmp_path / "a.wav"] * len(codes), SETTINGS, most=20)
    return Exemplars({"exemplars": found, "settings": SETTINGS})


# What is kept.

def test_sounds_are_kept_from_all_machines_and_classes_in_turn():
    source = np.random.default_rng(0)
    machine, labels = source.choice(6, 400, p=[0.5, 0.3, 0.1, 0.05, 0.03, 0.02]), source.integers(0, 8, 400)
    group = machine * 8 + labels
    sizes = np.bincount(group, minlength=48)
    for most in (1, 30, 120, 399, 400, 1000):
        kept = in_turn(machine, labels, most, seed=0)
        assert len(kept) == min(most, 400) and (np.diff(kept) > 0).all()
        taken = np.bincount(group[kept], minlength=48)
        full = taken == sizes
        assert (taken[~full] >= taken.max() - 1).all(), "a group is behind only where it has no more"
    assert np.array_equal(in_turn(machine, labels, 30, 0), in_turn(machine, labels, 30, 0))
    assert not np.array_equal(in_turn(machine, labels, 30, 0), in_turn(machine, labels, 30, 1))


def test_a_sound_is_kept_to_16_bits_at_a_peak_of_one(described, model):
    sound = np.random.default_rng(0).uniform(-0.01, 0.007, 500).astype(np.float32)
    known = {"files": torch.frombuffer(bytearray(as_flac(sound, RATE)), dtype=torch.uint8)}
    known["ends"] = torch.tensor([len(known["files"])])
    back = Exemplars({"exemplars": described[1]["exemplars"] | known, "settings": SETTINGS}).samples(0)
    assert back.dtype == np.float32 and np.abs(back).max() == pytest.approx(0.999, abs=1e-4)
    np.testing.assert_allclose(back, sound * 0.999 / np.abs(sound).max(), atol=2 ** -15)
    assert not len(set(map(len, map(model.exemplars.samples, range(80)))) - {1600})


@pytest.mark.parametrize("members", [0, 1, 2, 50])
def test_a_class_with_too_few_sounds_has_the_statistics_of_all(members):
    codes = torch.randn(members + 40, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([2] * members + [5] * 40)
    centres, scales = class_statistics(codes, labels)
    of = codes[:members] if members > 2 else codes
    torch.testing.assert_close(centres[2], of.mean(0))
    torch.testing.assert_close(scales[2], of.std(0))
    torch.testing.assert_close(centres[0], codes.mean(0))
    assert (class_statistics(torch.ones(4, 3), torch.zeros(4).long())[1] > 0).all()


def test_durations_are_read_from_codes_of_a_class():
    codes = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(400) % 2
    durations = 2 ** (codes[:, 0] * (1 - 2 * labels) - 2).numpy()
    weights = duration_weights(codes, labels, durations)
    found = torch.cat((codes, torch.ones(400, 1)), 1)
    for row in (0, 1):
        read = found[labels == row] @ weights[row]
        assert np.abs(read.numpy() - np.log2(durations[labels == row])).mean() < 0.1
    assert weights.shape == (8, 5) and torch.isfinite(weights).all()


# Kits.

def test_kit_codes_find_what_the_sounds_of_a_machine_share():
    codes, labels, machine = factor_machines()
    centres, scales = class_statistics(codes, labels)
    kits, weights = kit_codes((codes - centres[labels]) / scales[labels], labels, machine)
    factor = np.random.default_rng(0).standard_normal(30)  # the first numbers drawn in factor_machines
    assert kits.shape == (30, KIT) and weights.shape == (8, KIT, 8)
    assert abs(np.corrcoef(kits[:, 0], factor)[0, 1]) > 0.9
    torch.testing.assert_close(kits.square().mean(0), torch.ones(KIT, dtype=torch.float64))


def agreement(known, kits=60):
    """How far the classes of a kit agree on a machine's factor: the mean correlation of pairs of classes over kits."""
    drawn = torch.stack([torch.stack([known.draw(row, kit, seeded_generator(0, 8 * i + row, 0)) for row in range(8)])
                         for i, kit in enumerate(known.draw_kit(seeded_generator(0, i, 2)) for i in range(kits))])
    weights = known.known["weights"][:, 0]                                            # (8, latent)
    along = ((drawn - known.centres) / known.scales * weights).sum(2)                 # (kits, 8)
    found = np.corrcoef(along.T.numpy())
    return found[~np.eye(8, dtype=bool)].mean()


def test_the_sounds_of_a_made_kit_agree_as_those_of_a_machine_do(tmp_path):
    given = factor_machines()
    assert agreement(made_of(*given, tmp_path)) > 0.4


def test_machines_without_anything_shared_give_kits_that_hardly_agree(tmp_path):
    given = factor_machines()
    whole, shuffled = (agreement(made_of(*given, tmp_path, shuffled)) for shuffled in (False, True))
    assert shuffled < whole - 0.2


def test_a_draw_follows_seed_and_number_and_nothing_else(model):
    numbers = range(24)
    codes, kits = random_codes(model, numbers, seed=5)
    assert codes.shape == (24, 8) and torch.isfinite(codes).all()
    for i in (0, 7, 8, 23):
        code, kit = random_codes(model, [i], seed=5)
        assert torch.equal(code[0], codes[i]) and torch.equal(kit[0], kits[i])
    assert torch.equal(kits[0], kits[7]) and not torch.equal(kits[7], kits[8])
    assert len(torch.unique(codes, dim=0)) == 24 and not torch.equal(codes, random_codes(model, numbers, seed=6)[0])


def test_new_codes_lie_as_those_of_their_class_do(model):
    known = model.exemplars
    codes, _ = random_codes(model, range(8 * 60), seed=0)
    for row in range(8):
        standard = (codes[row::8] - known.centres[row]) / known.scales[row]
        assert standard.mean(0).abs().max() < 0.8 and 0.4 < standard.std(0).mean() < 2.5


def test_a_kit_is_the_likelier_of_a_machine_the_more_sounds_it_has(model, monkeypatch):
    monkeypatch.setattr(exemplars, "POPULAR", 0.5)
    monkeypatch.setattr(exemplars, "KIT_AROUND", 0.0)
    known = Exemplars(model.sound)
    known.machines = torch.tensor([0] * 4 + [1] * 36 + [2] * 4 + [3] * 4 + [4] * 4)
    drawn = torch.stack([known.draw_kit(seeded_generator(0, i, 2)) for i in range(400)])
    counts = [(drawn == kit).all(1).sum().item() / 400 for kit in known.kits]
    assert sum(counts) == 1 and counts[1] == pytest.approx(6 / 14, abs=0.08) and min(counts) > 0.08


@pytest.mark.parametrize("machines, each, classes", [(1, 3, 8), (2, 1, 8), (3, 2, 5)])
def test_few_machines_few_sounds_and_classes_without_any_still_give_codes(machines, each, classes, tmp_path):
    codes, labels, machine = factor_machines(machines, each, latent=3, classes=classes)
    known = made_of(codes, labels, machine, tmp_path)
    assert known.kits.shape[1] == min(KIT, machines, 3)
    for i in range(16):
        kit = known.draw_kit(seeded_generator(0, i, 2))
        code = known.draw(i % 8, kit, seeded_generator(0, i, 0))
        assert code.shape == (3,) and torch.isfinite(code).all() and torch.isfinite(kit).all()
        assert known.near(code, i % 8, kit, seeded_generator(0, i, 1))


# What is borrowed from.

def test_exemplars_are_of_the_class_near_the_code_and_each_once(model):
    known = model.exemplars
    for place in range(0, 80, 7):
        index = known.kept[place]
        row = int(known.labels[index])
        found = known.near(known.codes[index], row, None, seeded_generator(0, place, 1))
        assert len(found) == len(set(found)) and place in found[:exemplars.NEAR]
        assert {int(known.labels[known.kept[one]]) for one in found} == {row}


def some_exemplars(model, codes, machines, durations):
    """The model's exemplars, of which those of class 0 have other codes, machines and durations."""
    known = dict(model.sound["exemplars"])
    index = torch.nonzero(known["labels"] == 0)[:len(codes), 0]
    for name, values in (("codes", codes), ("machines", machines), ("durations", durations)):
        known[name] = known[name].clone()
        known[name][index] = torch.as_tensor(values).to(known[name].dtype)
    known["kept"] = index
    return Exemplars({**model.sound, "exemplars": known})


@pytest.fixture(autouse=True)
def constants(monkeypatch):
    """Those of choosing, whatever they are tuned to."""
    for name, value in dict(NEAR=6, CLOSENESS=0.1, KIT_WEIGHT=2.0, SHORT_WEIGHT=1.0).items():
        monkeypatch.setattr(exemplars, name, value)


def first_choices(known, code, kit=None, count=40):
    chosen = [known.near(code, 0, kit, seeded_generator(0, i, 1))[0] for i in range(count)]
    return np.bincount(chosen, minlength=len(known.kept)) / count


def test_the_nearest_is_preferred(model):
    scale = model.exemplars.scales[0]
    apart = torch.arange(8.0)[:, None] * 0.1 * scale
    share = first_choices(some_exemplars(model, apart, [0] * 8, [0.2] * 8), 0 * scale)
    assert share[0] == share.max() > 0.4 and share[0] > share[1] > 0


def test_machines_like_the_kit_are_preferred(model):
    known = some_exemplars(model, torch.zeros(8, 8), [0, 1, 2, 3, 4, 0, 1, 2], [0.2] * 8)
    share = first_choices(known, torch.zeros(8), known.kits[3])
    assert share[3] > 0.9


def test_exemplars_that_are_too_short_are_not_preferred_and_long_ones_are_no_worse(model):
    known = some_exemplars(model, torch.zeros(4, 8), [0] * 4, [0.02, 0.2, 2.0, 20.0])
    known.known["lasting"] = torch.zeros(8, 9).index_fill(1, torch.tensor([8]), -2.4)  # 0.19 s wherever
    assert float(known.duration_at(torch.zeros(8), 0)) == pytest.approx(2 ** -2.4)
    share = first_choices(known, torch.zeros(8), count=200)
    assert share[0] == 0 and share[1:].min() > 0.15


def test_a_class_of_which_nothing_is_kept_borrows_from_the_others(model):
    known = dict(model.sound["exemplars"])
    known["kept"] = known["kept"][known["labels"][known["kept"]] != 6]
    found = Exemplars({**model.sound, "exemplars": known}).near(torch.zeros(8), 6, None, seeded_generator(0, 0, 1))
    assert found and max(found) < len(known["kept"])


# Checkpoints.

def test_a_checkpoint_gives_the_same_exemplars_again(described, tmp_path):
    model = attach_sound(*described)
    again = load_sound_model(save_sound_model(tmp_path, *described))
    assert all(np.array_equal(model.exemplars.samples(i), again.exemplars.samples(i)) for i in range(80))
    one, other = (random_codes(found, range(16), seed=2) for found in (model, again))
    assert all(torch.equal(*pair) for pair in zip(one, other))


@pytest.mark.parametrize("part", ["codes", "labels", "machines", "centres", "scales", "kits", "weights", "kept", "ends",
                                  "durations", "files", "deviations", "lasting"])
def test_exemplars_that_lack_something_are_named_in_one_line(described, part, tmp_path):
    model, sound = described
    fewer = {name: value for name, value in sound["exemplars"].items() if name != part}
    for wrong in (fewer, {**fewer, part: 3}, {**fewer, part: None}):
        with pytest.raises(ValueError, match="here.pt: .*cannot be used") as error:
            attach_sound(model, {**sound, "exemplars": wrong}, "here.pt")
        assert "\n" not in str(error.value)


def test_a_run_that_was_stopped_before_its_exemplars_were_found_says_so(described, tmp_path):
    model, sound = described
    without = {name: value for name, value in sound.items() if name != "exemplars"}
    with pytest.raises(ValueError, match="best.pt|exemplars"):
        load_sound_model(save_sound_model(tmp_path, model, without))


def test_without_a_kit_codes_beside_each_other_mostly_share_their_first_exemplar(described):
    model, sound = described
    known = attach_sound(model, sound).exemplars
    source, same = torch.Generator().manual_seed(0), {0.02: 0, 3.0: 0}
    for seed in range(40):
        code = known.centres[2] + known.scales[2] * torch.randn(known.codes.shape[1], generator=source)
        for step in same:
            other = code + step * known.scales[2] * torch.randn(known.codes.shape[1], generator=source)
            first, second = (known.near(one, 2, None, seeded_generator(seed, 2, 1))[0] for one in (code, other))
            same[step] += first == second
    assert same[0.02] > 36 > same[3.0]
