"""sounds/calibration: to be written."""

import copy

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from sounds import codes, synthesis
from sounds.synthesis import END_DB, level_db


# --- where a sound ends ---


def duration_of(samples, rate):
    """The sample where the last 5 ms that reach END_DB re the loudest 5 ms are over: (n,) -> number."""
    size = round(0.005 * rate)
    power = np.square(np.pad(np.asarray(samples, float), (0, -len(samples) % size))).reshape(-1, size).sum(1)
    loud = np.flatnonzero(power >= 10 ** (END_DB / 10) * power.max())
    return min(size * (int(loud[-1]) + 1), len(samples))


def fit_duration_regression(features, ends, length, seed=0, steps=400):
    """Fit the regression: duration_features (n, features) of sounds that end at samples (n,) of `length`.

    Returns plain tensors for a checkpoint, that `regress_durations` takes: a net with one hidden layer, on
    the log of the end.
    """
    ends = torch.as_tensor(ends, dtype=torch.float32)
    fitted = {"centre": features.mean(0), "scale": features.std(0, correction=0) + 1.0, "middle": ends.log2().mean(),
              "length": torch.tensor(float(length))}
    x, y = (features - fitted["centre"]) / fitted["scale"], ends.log2() - fitted["middle"]
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
    """The level of each class's sounds, {"levels": [dB] * 8}, where there are sounds to measure."""
    if data["sounds"] is None:
        return {}
    levels = np.array([level_db(data["sounds"][i], data["settings"]["rate"]) for i in index])
    of_all = float(np.median(levels))
    return {"levels": [round(float(np.median(levels[data["labels"][index] == row])), 2)
                       if (data["labels"][index] == row).any() else of_all for row in range(len(INSTRUMENTS))]}


def codes_by_side(model, x, labels):
    """What fit_prior is given: {side: (mean, log_variance, label)} of q(z | x) for dictionaries of pictures, labels."""
    with torch.no_grad():
        return {side: (*map(torch.cat, zip(*(model.encode(part, label=label) for part, label in
                                             zip(x[side].split(64), labels[side].split(64))))), labels[side])
                for side in ("train", "validation")}


def fit_prior(model, codes, steps=1500, seed=0, batch_size=128, jitter=0.2):
    """Fit model.prior to where the training codes of each class lie; gives the mean log density of validation codes.

    codes: of codes_by_side. Codes of rare classes are drawn as often as those of frequent ones, from their q(z | x) and
    `jitter` of the codes' deviation around; the weights kept are those under which validation codes are likeliest.
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
        loss = -prior.log_density(drawn, model.weights(label[chosen], batch_size)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % (steps // 15) == 0:
            with torch.no_grad():
                unseen, _, unseen_label = codes["validation"]
                value = prior.log_density(unseen, model.weights(unseen_label, len(unseen))).mean().item()
            if value > best[0]:
                best = value, copy.deepcopy(prior.state_dict())
    prior.load_state_dict(best[1])
    prior.requires_grad_(False)
    return best[0]


def calibrate_durations(model, sound, x, labels, data, index, most=2000):
    """What reads the end of a sound from its picture, {"end": weights}: see resynthesis.py; {} without the sounds.

    It learns from pictures as they are and as the model makes them, of training sounds alone.
    """
    if data["sounds"] is None:
        return {}
    codes.attach_transform(model, sound)
    chosen = torch.randperm(len(index), generator=torch.Generator().manual_seed(0))[:most]
    features = []
    with torch.no_grad():
        for part in chosen.split(32):
            pictures = x[part].float(), model.picture(model.encode(x[part], label=labels[part])[0], label=labels[part])
            features.append(torch.stack([synthesis.duration_features(synthesis.to_magnitude(model, picture),
                                                                  model.transform) for picture in pictures]))
    ends = [duration_of(data["sounds"][index[i]], sound["settings"]["rate"]) for i in chosen.tolist()]
    return {"end": fit_duration_regression(torch.cat(features, 1).flatten(0, 1), ends + ends, sound["samples"])}
