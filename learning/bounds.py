"""How well a VAE explains examples, and how much its code carries; for any VAE of models.py, in nats an example.

    bounds(model, x, k=500, seed=0)["bound"]            # the importance-weighted bound
    codes_report(model, x, label=labels)["active_units"]
"""

import math

import torch

from command_line import Progress

ACTIVE = 0.01  # variance of a code's mean above which a dimension is active (Burda et al. 2016, section 3.2)


@torch.no_grad()
def encode_all(model, x, batch_size=1024, **condition):
    """Mean and log-variance of q(z | x) of all examples, on the CPU: (n, *shape) -> (n, latent) each.

    condition: tensors of n rows that the encoder also takes.
    """
    device = next(model.parameters(), x).device
    parts = [model.encode(x[i:i + batch_size].to(device),
                          **{name: value[i:i + batch_size].to(device) for name, value in condition.items()})
             for i in range(0, len(x), batch_size)]
    return tuple(torch.cat(part).cpu() for part in zip(*parts))


def codes_report(model, x, **condition):
    """What the dimensions of the code carry: how many are active, and the KL of each in nats, falling."""
    mean, log_variance = (part.double() for part in encode_all(model, x, 64, **condition))
    by_dimension = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(0)
    return {"active_units": int((mean.var(0, correction=len(x) > 1) > ACTIVE).sum()), "latent": model.latent,
            "kl": by_dimension.sum().item(), "kl_by_dimension": by_dimension.sort(descending=True)[0].tolist()}


@torch.no_grad()
def bounds(model, x, k, seed, conditions=None, batch_size=256, unit="bars"):
    """The bounds of a VAE on examples x (n, *shape): a dictionary.

    elbo, log_px, kl: means of the evidence lower bound and its two terms. bound, bound_tenth: means of the
    importance-weighted bound with k samples and with k / 10 (Burda et al. 2016, eq. 8); bound_conditioned: with k / 10,
    given each of the `conditions` {name: (n, ...)} by itself. mutual_information: of example and code. active_units: as
    in `codes_report`.
    """
    device, few, conditions = next(model.parameters()).device, max(1, k // 10), conditions or {}
    generator = torch.Generator().manual_seed(seed)  # on the CPU, so that every device gets the same noise
    terms, tenths, conditioned = [], [], {name: [] for name in conditions}
    with Progress(what=f"bounding with {k} samples", unit=unit, total=len(x)) as progress:
        for start in range(0, len(x), batch_size):
            batch = x[start:start + batch_size].to(device)
            eps = torch.randn(len(batch), model.latent, generator=generator).to(device)
            terms.append((*model.elbo(batch, eps), model.log_marginal(batch, k, generator)))  # (B,) each
            for name, values in conditions.items():
                given = {name: values[start:start + batch_size].to(device)}
                conditioned[name].append(model.log_marginal(batch, few, generator, **given))
            if conditions:
                tenths.append(model.log_marginal(batch, few, generator))
            progress.update(len(batch))
    log_px, kl, marginal = (torch.cat(part).double() for part in zip(*terms))         # (n,) each
    return {"elbo": (log_px - kl).mean().item(), "log_px": log_px.mean().item(), "kl": kl.mean().item(),
            "bound": marginal.mean().item(),
            "bound_standard_error": (marginal.std() / len(x) ** 0.5).item() if len(x) > 1 else None,
            "bound_tenth": torch.cat(tenths).mean().item() if tenths else None,
            "bound_conditioned": {name: torch.cat(part).mean().item() for name, part in conditioned.items()},
            "mutual_information": mutual_information(*encode_all(model, x, batch_size), seed), "k": k,
            "active_units": codes_report(model, x)["active_units"], "latent": model.latent}


def mutual_information(mean, log_variance, seed):
    """E log q(z | x) - log of the mean of q(z | y) over all examples y, in nats, of (n, latent) each: at most log n."""
    mean, log_variance = mean.double(), log_variance.double()
    generator = torch.Generator().manual_seed(seed)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    precision, total = torch.exp(-log_variance), 0.0
    constant = (log_variance + precision * mean.square()).sum(-1)                     # (n,)
    for start in range(0, len(z), 256):
        part = z[start:start + 256]
        distance = part.square() @ precision.T - 2 * part @ (precision * mean).T      # (256, n), and the constant
        log_q = -0.5 * (distance + constant)                                          # but for what all have in common
        total += (log_q.diagonal(start) - torch.logsumexp(log_q, 1) + math.log(len(z))).sum().item()
    return total / len(z)
