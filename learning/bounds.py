"""How well a VAE explains examples: its bounds, and how much its code says; for any VAE of models.py."""

import numpy as np
import torch
from tqdm import tqdm


def bounds(model, x, k, seed, style=None, batch_size=256, unit="bars"):
    """What there is to say of a VAE's bounds on examples x (n, *shape), a dictionary; all in nats an example.

    elbo, log_px, kl: means of the evidence lower bound and its two terms. bound: of the importance-weighted one with k
    samples (Burda et al. 2016, eq. 8), and its standard error. active_units: dimensions of the code whose mean varies
    by more than 0.01 over the examples (section 3.2 there). mutual_information: of example and code. style: labels
    (n,) that the model is told for bound_conditioned. unit: what the examples are called while one waits.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)  # of the processor, so every device is asked the same
    log_px, kl, marginal, codes, told_bound = [], [], [], [], []
    progress = tqdm(total=len(x), unit=f" {unit}", desc=f"bound with {k} samples", leave=False, disable=None)
    with torch.no_grad(), progress as bar:
        for start in range(0, len(x), batch_size):
            batch = x[start:start + batch_size].to(device)
            eps = torch.randn(len(batch), model.latent, generator=generator).to(device)
            terms = model.elbo(batch, eps)
            log_px.append(terms[0])
            kl.append(terms[1])
            marginal.append(model.log_marginal(batch, k, generator))
            codes.append(torch.cat(model.encode(batch), -1))
            if style is not None:
                told = style[start:start + batch_size].to(device)
                told_bound.append(model.log_marginal(batch, max(1, k // 10), generator, style=told))
            bar.update(len(batch))
    log_px, kl, marginal, codes = (torch.cat(part).double() for part in (log_px, kl, marginal, codes))
    mean, log_variance = codes.cpu().chunk(2, -1)
    standard_error = (marginal.std() / len(x) ** 0.5).item() if len(x) > 1 else None
    return {"elbo": (log_px - kl).mean().item(), "log_px": log_px.mean().item(), "kl": kl.mean().item(),
            "bound": marginal.mean().item(), "bound_standard_error": standard_error,
            "bound_conditioned": torch.cat(told_bound).mean().item() if told_bound else None,
            "mutual_information": mutual_information(mean, log_variance, seed),
            "k": k, "active_units": int((mean.var(0, correction=len(x) > 1) > 0.01).sum()), "latent": model.latent}


def mutual_information(mean, log_variance, seed):
    """E log q(z | x) - log of the mean of q(z | y) over all examples y, in nats: at most log of their number.

    mean, log_variance: of q(z | x) for each example, (n, latent).  -> a number
    """
    generator = torch.Generator().manual_seed(seed)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    total = 0.0
    precision = torch.exp(-log_variance)
    constant = (log_variance + precision * mean.square()).sum(-1)                     # (n,)
    for start in range(0, len(z), 256):
        part = z[start:start + 256]
        distance = part.square() @ precision.T - 2 * part @ (precision * mean).T      # (256, n), and the constant
        log_q = -0.5 * (distance + constant)                                          # but for what all have in common
        own = log_q.diagonal(start)
        total += (own - torch.logsumexp(log_q, 1) + np.log(len(z))).sum().item()
    return total / len(z)


ACTIVE = 0.01  # variance of a code's mean above which a dimension is active (Burda et al. 2016, section 3.2)


@torch.no_grad()
def codes_report(model, x, labels):
    """What a code's dimensions carry, for normalised pictures: active units, and the KL of each in nats, falling."""
    parts = [model.encode(part, label=label) for part, label in zip(x.split(64), labels.split(64))]
    mean, log_variance = (torch.cat(part) for part in zip(*parts))
    by_dimension = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(0)
    return {"active_units": int((mean.var(0) > ACTIVE).sum()), "latent": model.latent,
            "kl": by_dimension.sum().item(), "kl_by_dimension": by_dimension.sort(descending=True)[0].tolist()}
