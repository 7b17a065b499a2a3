"""What is fitted to a trained sound model: where its codes lie, how long its sounds last, how loud its classes are.

    fit_prior(model, codes)                             # sets the weights of model.prior, a flow
    sound |= calibrate_durations(model, sound, x["train"], labels["train"], durations)
    sound |= measure_class_levels(data, sides["train"])
"""

import copy

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from sounds import codes, synthesis


def fit_duration_regression(features, durations, length, seed=0, steps=400):
    """Fit durations in samples (n,), of `length` at most, to duration_features (n, features) of the same sounds.

    Returns tensors that `regress_durations` takes: a net with one hidden layer, on the log of the duration.
    """
    durations = torch.as_tensor(durations, dtype=torch.float32)
    fitted = {"centre": features.mean(0), "scale": features.std(0, correction=0) + 1.0,
              "middle": durations.log2().mean(), "length": torch.tensor(float(length))}
    x, y = (features - fitted["centre"]) / fitted["scale"], durations.log2() - fitted["middle"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 48), torch.nn.SiLU(), torch.nn.Linear(48, 1))
        optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.05)
        for _ in range(steps):
            chosen = torch.randint(len(x), (256,))
            loss = torch.nn.functional.smooth_l1_loss(net(x[chosen])[:, 0], y[chosen], beta=0.2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    names = ("hidden", "hidden_bias", "out", "out_bias")
    return {**fitted, **dict(zip(names, (weights.detach() for weights in net.parameters())))}


def measure_class_levels(data, index):
    """The median level of each class's sounds, {"levels": [dB] * 8}; a class without sounds gets that of all.

    data: of load_spectrograms; index: of the training sounds.
    """
    levels, labels = data["levels"][index], data["labels"][index]
    groups = [levels[labels == row] for row in range(len(INSTRUMENTS))]
    return {"levels": [round(float(np.median(group if len(group) else levels)), 2) for group in groups]}


def fit_prior(model, codes, steps=1500, seed=0, batch_size=128, jitter=0.2):
    """Fit model.prior to the training codes of each class; returns the mean log density of validation codes.

    codes: {"train": (mean, log_variance, label), "validation": ...}, of q(z | x). Codes of rare classes are drawn as
    often as those of frequent ones, from their q(z | x) and `jitter` of the codes' deviation around; the weights kept
    are those under which validation codes are likeliest.
    """
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance, label = codes["train"]
    variance = log_variance.exp() + (jitter * mean.std(0)).square()
    chances = (1 / torch.bincount(label, minlength=model.classes).clamp_min(1).float())[label]
    prior, best = model.prior.requires_grad_(True), (-float("inf"), None)
    optimizer = torch.optim.AdamW(prior.parameters(), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        chosen = torch.multinomial(chances, batch_size, replacement=True, generator=generator)
        noise = torch.randn(batch_size, model.latent, generator=generator)
        drawn = mean[chosen] + variance[chosen].sqrt() * noise
        loss = -prior.log_density(drawn, model.class_weights(label[chosen], batch_size)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % (steps // 15) == 0:
            with torch.no_grad():
                unseen, _, unseen_label = codes["validation"]
                value = prior.log_density(unseen, model.class_weights(unseen_label, len(unseen))).mean().item()
            if value > best[0]:
                best = value, copy.deepcopy(prior.state_dict())
    prior.load_state_dict(best[1])
    prior.requires_grad_(False)
    return best[0]


def calibrate_durations(model, sound, x, labels, durations, most=2000):
    """The regression of a sound's duration from its spectrogram, {"end": tensors}, see regress_durations.

    x (n, bands, frames), labels (n,): training sounds in the model's units. durations: in samples (n,). It learns from
    spectrograms as they are and as the model decodes them.
    """
    codes.attach_transform(model, sound)
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:most]
    features = []
    with torch.no_grad():
        for part in chosen.split(32):
            both = x[part].float(), model.decode_mean(model.encode(x[part], label=labels[part])[0], label=labels[part])
            features.append(torch.stack([synthesis.duration_features(synthesis.to_magnitude(model, one),
                                                                     model.transform) for one in both]))
    lasting = durations[chosen.numpy()].tolist()
    return {"end": fit_duration_regression(torch.cat(features, 1).flatten(0, 1), lasting + lasting, sound["samples"])}
