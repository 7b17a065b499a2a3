"""What is measured for a trained sound model: how loud its classes are, and what a softer strike does to its codes.

    sound |= measure_class_levels(data, sides["train"])
    softness = measure_softness(data, sides["train"])                   # None without sounds at two velocities
    sound["soft"] = learn_softness(model, sound, softness, x, labels)

A sound at two velocities is two files, whose names end in _v127 and, say, _v051: make_sounds.py writes such pairs.
"""

import re

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS

VELOCITY = re.compile(r"_v(\d{3})$")  # of a name: the MIDI velocity, 1 to 127
FEWEST = 4  # pairs of a class, or it takes the mean of all
ENOUGH = 200  # sounds of a class from which the move of its codes is read


def measure_class_levels(data, index):
    """The median level of each class's sounds, {"levels": [dB] * 8}; a class without sounds gets that of all.

    data: of load_spectrograms; index: of the training sounds.
    """
    levels, labels = data["levels"][index], data["labels"][index]
    groups = [levels[labels == row] for row in range(len(INSTRUMENTS))]
    return {"levels": [round(float(np.median(group if len(group) else levels)), 2) for group in groups]}


def struck_hardest(names):
    """Which sounds are not a softer version of another, by their names: bool (n,)."""
    best = {}
    for name in names:
        best[VELOCITY.sub("", name)] = max(best.get(VELOCITY.sub("", name), 0), velocity_of(name))
    return np.array([velocity_of(name) == best[VELOCITY.sub("", name)] for name in names])


def velocity_of(name):
    """The MIDI velocity at the end of a name, 127 where there is none."""
    found = VELOCITY.search(name)
    return int(found[1]) if found else 127


def find_pairs(names, index):
    """Indices of the hardest and the softest version of each sound of which there are two: (hard (n,), soft (n,))."""
    versions = {}
    for i in sorted(index, key=lambda i: velocity_of(names[i])):
        versions.setdefault(VELOCITY.sub("", names[i]), []).append(i)
    pairs = [(of[-1], of[0]) for of in versions.values() if velocity_of(names[of[-1]]) > velocity_of(names[of[0]])]
    return np.array(pairs, int).reshape(-1, 2).T


def measure_softness(data, index):
    """What a softer strike changes, by pairs: {"velocity", "spectrograms" (8, bands, frames) in dB, "levels" (8,) in
    dB}; None without pairs. velocity: of the soft ones, a share of the hard ones'."""
    hard, soft = find_pairs(data["names"], index)
    if not len(hard):
        return None
    labels, spectrograms = data["labels"][hard], data["spectrograms"]
    groups = [np.flatnonzero(labels == row) for row in range(len(INSTRUMENTS))]
    groups = [group if len(group) >= FEWEST else np.arange(len(hard)) for group in groups]
    change = [np.mean([spectrograms[soft[i]].astype(np.float32) - spectrograms[hard[i]] for i in group], 0)
              for group in groups]
    lower = data["levels"][soft] - data["levels"][hard]
    ratio = np.mean([velocity_of(data["names"][j]) / velocity_of(data["names"][i]) for i, j in zip(hard, soft)])
    return {"velocity": float(ratio), "spectrograms": torch.from_numpy(np.stack(change)).half(),
            "levels": [round(float(np.median(lower[group])), 2) for group in groups]}


@torch.no_grad()
def learn_softness(model, sound, softness, x, labels):
    """The same with "codes" (8, latent): how far codes move where sounds x change as `softness` has it.

    x (n, bands, frames), labels (n,): training sounds in the model's units.
    """
    floor, moves = (sound["floor_db"] - sound["mean"]) / sound["deviation"], []
    for row, change in enumerate(softness["spectrograms"].float() / sound["deviation"]):
        members = torch.nonzero(labels == row)[:ENOUGH, 0]
        members = members if len(members) else torch.arange(min(len(x), ENOUGH))
        label, hard = torch.full((len(members),), row), x[members].float()
        before, after = (torch.cat([model.encode(*some)[0] for some in zip(part.split(64), label.split(64))])
                         for part in (hard, (hard + change).clamp_min(floor)))            # (members, latent)
        moves.append((after - before).mean(0))
    return {**softness, "codes": torch.stack(moves)}
