"""Training sounds that a model keeps: beside their codes new codes are drawn, and their samples lend fine structure.

    known = find_exemplars(codes, log_variances, labels, machines, durations, paths, settings)
    exemplars = Exemplars({"exemplars": known, "settings": settings})           # as a checkpoint keeps them
    kit = exemplars.draw_kit(generator)                                         # (KIT,)
    code = exemplars.draw(0, kit, generator)                                    # (latent,): a kick of this kit
    samples = exemplars.samples(exemplars.near(code, 0, kit, generator)[0])     # what it borrows from

The prior is that of an exemplar VAE (Norouzi, Fleet and Norouzi 2020, "Exemplar VAE: linking generative models, nearest
neighbor retrieval, and data augmentation", eq. 2): a mixture of distributions around training codes. It has two levels,
as what makes a machine that machine shows in all its sounds: a kit code, drawn beside a training machine's, moves the
codes of all classes. With codes standardised in their class, code = kit code x weights of the class + the sound's own.
"""

import io

import numpy as np
import soundfile
import torch

from formats.activation_matrix import INSTRUMENTS
from formats.audio import load_audio
from sounds.dataset import shortened

KIT = 6  # numbers of a kit code
RIDGE, DURATION_RIDGE = 4.0, 8.0  # of the regressions of codes on kit codes, and of durations on codes
OWN, SHARED = 0.9, 1.8  # what a new sound keeps of a training sound's own, and how strongly kits differ
AROUND, KIT_AROUND, KIT_REACH = 0.1, 0.2, 0.3  # deviations: of codes in a class, of kit codes, of machines like a kit
DIMENSIONS = dict(codes=2, deviations=2, labels=1, machines=1, centres=2, scales=2, kits=2, weights=3, kept=1,
                  durations=1, lasting=2, files=1, ends=1)  # of the tensors that a checkpoint keeps
POPULAR = 0.5  # power of a machine's number of sounds in its chance of being a kit's
NEAR, CLOSENESS = 12, 0.3  # how many exemplars are in question, and how soon a farther one is out of it
KIT_WEIGHT, SHORT_WEIGHT = 2.0, 0.15  # in choosing them: of another kit code, of an octave of duration that lacks


def find_exemplars(codes, log_variances, labels, machines, durations, paths, settings, most=2000):
    """What the checkpoint keeps of training sounds, a dictionary of tensors; see Exemplars.

    codes, log_variances (n, latent), labels (n,): of q(z | x). machines: the machine of each, by name. durations: in
    seconds (n,). paths: their files, of which at most `most` are kept as sound, from all machines and classes in turn.
    settings: of the spectrograms.
    """
    names, machine = np.unique(machines, return_inverse=True)
    kept, rate = in_turn(machine, np.asarray(labels), most), settings["rate"]
    files = [as_flac(shortened(load_audio(paths[i], rate)[0], rate, settings["seconds"]), rate) for i in kept]
    centres, scales = class_statistics(codes, labels)
    standard = (codes - centres[labels]) / scales[labels]                             # (n, latent)
    kits, weights = kit_codes(standard, labels, machine)
    return {"codes": codes.half(), "deviations": log_variances.mul(0.5).exp().half(), "labels": labels.to(torch.uint8),
            "machines": torch.as_tensor(machine, dtype=torch.int32), "centres": centres, "scales": scales,
            "kits": kits.float(), "weights": weights.float(), "kept": torch.as_tensor(kept),
            "durations": torch.as_tensor(durations, dtype=torch.float32),
            "lasting": duration_weights(standard, labels, durations),
            "files": torch.from_numpy(np.frombuffer(b"".join(files), np.uint8).copy()),
            "ends": torch.as_tensor(np.cumsum([len(file) for file in files]))}


def in_turn(machine, labels, most, seed=0):
    """Indices of at most `most` sounds, in order: one of each machine and class, then a second, and so on."""
    order = np.random.default_rng(seed).permutation(len(labels))
    group, turn, seen = machine[order] * len(INSTRUMENTS) + labels[order], np.empty(len(order), int), {}
    for place, one in enumerate(group):
        turn[place] = seen[one] = seen.get(one, -1) + 1
    return np.sort(order[np.argsort(turn, kind="stable")[:most]])


def as_flac(samples, rate):
    """Samples as the bytes of a FLAC file of 16 bits, at a peak of 1."""
    file = io.BytesIO()
    soundfile.write(file, samples / max(np.abs(samples).max(), 1e-9) * 0.999, rate, "PCM_16", format="FLAC")
    return file.getvalue()


def class_statistics(codes, labels):
    """Mean and standard deviation of the codes of each class, (classes, latent) each; of all where it has too few."""
    groups = [codes[labels == row] for row in range(len(INSTRUMENTS))]
    groups = [group if len(group) > 2 else codes for group in groups]
    return (torch.stack([group.mean(0) for group in groups]),
            torch.stack([group.std(0).nan_to_num(1.0).clamp_min(1e-3) for group in groups]))


def kit_codes(standard, labels, machine, size=KIT):
    """The kit code of each machine, and what it does to the codes of each class: (machines, size), (8, size, latent).

    standard: codes standardised in their class (n, latent). A machine's kit code is, in the principal components over
    machines, the mean over its classes of the mean of their codes, both drawn towards 0 where there are few. The
    weights of a class are a ridge regression of its means on the kit codes.
    """
    machines, standard = int(machine.max()) + 1, standard.double()
    size = min(size, machines, standard.shape[1])
    means = torch.full((machines, len(INSTRUMENTS), standard.shape[1]), torch.nan, dtype=torch.float64)
    for one in range(machines):
        for row in labels[machine == one].unique().tolist():
            group = standard[(machine == one) & (labels.numpy() == row)]
            means[one, row] = group.mean(0) * (len(group) / (len(group) + 1)) ** 0.5
    there = means[..., 0].isfinite()                                                  # (machines, classes)
    count = there.sum(1, keepdim=True)
    shared = means.nanmean(1) * (count / (count + 2)) ** 0.5
    left = torch.linalg.svd(shared - shared.mean(0), full_matrices=False)[0][:, :size]
    kits = left * machines ** 0.5                                                     # of variance 1
    weights = []
    for row in range(len(INSTRUMENTS)):
        known, wanted = kits[there[:, row]], means[there[:, row], row]
        weights.append(torch.linalg.solve(known.T @ known + RIDGE * torch.eye(size), known.T @ wanted))
    return kits, torch.stack(weights)


def duration_weights(standard, labels, durations):
    """A ridge regression, for each class, of log2 of the duration in seconds on standardised codes and 1:
    (8, latent + 1)."""
    inputs = torch.cat((standard, torch.ones(len(standard), 1)), 1).double()
    wanted, weights = torch.as_tensor(durations, dtype=torch.float64).clamp_min(1e-3).log2(), []
    ridge = DURATION_RIDGE * torch.eye(inputs.shape[1], dtype=torch.float64)
    ridge[-1, -1] = 1e-3
    for row in range(len(INSTRUMENTS)):
        of = labels == row if (labels == row).any() else labels >= 0
        weights.append(torch.linalg.solve(inputs[of].T @ inputs[of] + ridge, inputs[of].T @ wanted[of]))
    return torch.stack(weights).float()


class Exemplars:
    """The training sounds of a checkpoint: what `find_exemplars` gave, and their samples as they are asked for.

    sound: {"exemplars": of find_exemplars, "settings": ...}. Raises KeyError or TypeError where it lacks something.
    """

    def __init__(self, sound):
        self.known, self.rate = dict(sound["exemplars"]), sound["settings"]["rate"]
        known = self.known
        for name, count in DIMENSIONS.items():
            if getattr(known[name], "ndim", None) != count:
                raise TypeError(f"{name}: expected a tensor of {count} dimensions")
        self.codes, self.labels = known["codes"].float(), known["labels"].long()
        self.machines, self.kept = known["machines"].long(), known["kept"].long()
        self.centres, self.scales, self.kits = known["centres"], known["scales"], known["kits"]
        self.own = (self.codes - self.centres[self.labels]) / self.scales[self.labels]
        self.own -= torch.einsum("nk,nkl->nl", self.kits[self.machines], known["weights"][self.labels])
        self.ends = [0, *known["ends"].tolist()]

    def samples(self, place):
        """The samples of the exemplar at a place of `kept`: float32 (n,)."""
        file = self.known["files"][self.ends[place]:self.ends[place + 1]].numpy().tobytes()
        return soundfile.read(io.BytesIO(file), dtype="float32")[0]

    def draw(self, row, kit, generator):
        """A code of class `row` in a kit: (latent,). kit: of draw_kit."""
        members = torch.nonzero(self.labels == row)[:, 0]
        if not len(members):  # a class without sounds is drawn from what all have in common
            return self.centres[row] + self.scales[row] * torch.randn(self.codes.shape[1], generator=generator)
        apart = (self.kits[self.machines[members]] - kit).square().sum(1)
        chances = torch.exp(-0.5 * (apart - apart.min()) / KIT_REACH**2)
        chosen = members[torch.multinomial(chances, 1, generator=generator)[0]]
        noise = torch.randn(2, self.codes.shape[1], generator=generator)
        spread = self.known["deviations"][chosen].float() / self.scales[row] * noise[0] + AROUND * noise[1]
        standard = OWN * (self.own[chosen] + spread) + SHARED * kit @ self.known["weights"][row]
        return self.centres[row] + self.scales[row] * standard

    def draw_kit(self, generator):
        """A kit code beside that of a training machine, the likelier the more sounds it has: (KIT,)."""
        chances = torch.bincount(self.machines, minlength=len(self.kits)).float() ** POPULAR
        chosen = torch.multinomial(chances, 1, generator=generator)[0]
        return self.kits[chosen] + KIT_AROUND * torch.randn(self.kits.shape[1], generator=generator)

    def duration_at(self, code, row):
        """How long a sound at a code (latent,) of a class is to last, in seconds."""
        standard = (code - self.centres[row]) / self.scales[row]
        *weights, offset = self.known["lasting"][row].unbind()
        return 2 ** (standard @ torch.stack(weights) + offset)

    def near(self, code, row, kit, generator):
        """Places in `kept` of exemplars to borrow from, the first choice first; of class `row` where it has any.

        They are near the code (latent,), of machines like the kit, and not too short for the code; of those in
        question, chance puts one first. Without a kit, chance favours the same ones at each code, so that codes beside
        each other mostly have the same first (Gumbel-top-k: Kool et al. 2019, "Stochastic beams", section 2.3).
        """
        labels = self.labels[self.kept]
        members = torch.nonzero(labels == row)[:, 0] if (labels == row).any() else torch.arange(len(labels))
        index = self.kept[members]
        apart = ((self.codes[index] - code) / self.scales[row]).square().mean(1).sqrt()
        short = self.duration_at(code, row) / self.known["durations"][index].clamp_min(1e-3)
        apart = apart + SHORT_WEIGHT * short.log2().clamp_min(0)
        if kit is not None:
            apart = apart + KIT_WEIGHT * (self.kits[self.machines[index]] - kit).square().mean(1).sqrt()
        apart = apart.nan_to_num(1e9, 1e9)  # of codes so far out that their squares are not finite
        order = apart.argsort()[:4 * NEAR]
        closeness = (apart[order[0]] - apart[order[:NEAR]]) / CLOSENESS
        if kit is None:
            noise = torch.empty(len(labels)).exponential_(generator=generator)[members].log()
            first = (closeness - noise[order[:NEAR]]).argsort(descending=True)
        else:
            first = torch.multinomial(closeness.exp(), len(closeness), generator=generator)
        return members[torch.cat((order[first], order[NEAR:]))].tolist()
