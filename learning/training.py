"""Fit any VAE of `models.py`: the loop, its run folder, checkpoints, resuming, several processes.

All randomness of an epoch comes from generators seeded by (seed, epoch), so a resumed run repeats an uninterrupted one
bit for bit. Every process draws order and noise of the whole batch and takes its own rows; dropout, by torch's global
generator, is its own. A loss that is not finite stops the run before the step and before any save.
"""

import contextlib
import math
import os
import sys
import time
import zlib
from pathlib import Path

import torch
import torch.distributed as distributed
from tqdm import tqdm

from command_line import number, write_json
from formats.checkpoint import load_checkpoint, save_checkpoint
from learning.bounds import encode_all
from learning.optimizers import Optimizers
from learning.run_folder import locked_run_folder, versions, write_log

DEFAULTS = dict(epochs=30, batch_size=128, learning_rate=3e-3, beta=1.0, warmup=0, free_bits=0.0, samples=1, seed=0,
                device="auto", run=None, optimizer="adamw")


def add_arguments(parser, shown=None, **defaults):
    """Add the options that every training shares; `defaults` replace those of DEFAULTS.

    shown: {name: words} of defaults that the help shall name though the parser leaves them None, to be filled in later.
    """
    default = {**DEFAULTS, **defaults}
    group = parser.add_argument_group("training")

    def add(name, kind, text, **more):
        value = default[name]
        words = (shown or {}).get(name, f"{value:g}" if isinstance(value, float) else value)
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value,
                           help=text + (f" (default {words})" if words is not None else ""), **more)

    add("epochs", number(int, 1), "passes over the data")
    add("batch_size", number(int, 1), "examples a step")
    add("learning_rate", number(float, 0), "at its peak; it rises over 100 steps, then falls along a cosine")
    add("optimizer", str, "for the matrices between hidden units (Muon: a raster decoder's), AdamW for all else",
        choices=("adamw", "muon"))
    add("beta", number(float, 0), "weight of the KL term (Higgins et al. 2017); 1 is the bound itself")
    add("warmup", number(int, 0), "epochs over which beta rises from 0")
    add("free_bits", number(float, 0), "nats of KL a batch's mean may have for free (Kingma et al. 2016)")
    add("samples", number(int, 1), "codes an example, above 1 the importance-weighted bound (Burda et al. 2016)")
    add("seed", number(int, 0, 2**32 - 1), "of weights, order and noise")
    add("device", str, "auto, cpu, cuda, cuda:1, mps ...")
    # Not --run: torchrun, which reads a script's options too, would take that for its own --run-path.
    group.add_argument("--run-folder", dest="run", metavar="FOLDER", type=Path, default=default["run"],
                       help="where the run is kept, made if missing")
    group.add_argument("--resume", action="store_true", help="go on with the run in --run-folder, bit for bit")


def fit_options(arguments):
    """What training.fit is given of a script's arguments: the options above, weight decay and epoch size where the
    script has them, and all of them for the record."""
    names = [*DEFAULTS, "resume", *(name for name in ("weight_decay", "epoch_size") if hasattr(arguments, name))]
    record = {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()
              if name not in ("run", "resume")}
    return {**{name: getattr(arguments, name) for name in names if name != "run"}, "arguments": record}


def choose_device(name):
    """The torch device of a name; "auto" is a GPU where there is one. Several processes take one GPU each."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name}: not usable here ({str(error).splitlines()[0]})") from None
    return device


def low_precision(name):
    """Is a training's --precision bfloat16? "auto" says so where the processor multiplies it natively."""
    native = torch.cuda.is_available() or "avx512_bf16" in (
        Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else "")
    return {"auto": native, "float32": False, "bfloat16": True}[name]


# --- several processes ---


def start_processes(device):
    """Join the processes that torchrun started; returns (rank, world size), (0, 1) for a single process."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return distributed.get_rank(), distributed.get_world_size()


def stop_processes():
    """Leave the processes that torchrun started, where there are any."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def sum_gradients(model):
    """Sum every gradient over the processes, as one flat vector; a missing gradient counts as zero."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
    distributed.all_reduce(flat)
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters])):
        parameter.grad = part.view_as(parameter)


# --- the loop ---


def epoch_generator(seed, epoch):
    """The generator of all that is random in an epoch: a function of (seed, epoch), never of history."""
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)


def learning_rate_at(step, steps, peak):
    """Linear rise over the first 100 steps (at most a tenth of them), then half a cosine down to 1 % of the peak."""
    rise = max(1, min(100, steps // 10))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))))


class Step(torch.nn.Module):
    """The terms of the loss of a batch, as one forward pass: what a training step asks of a model."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, eps, beta=1.0, **condition):
        """(log_px, kl, auxiliary log-likelihood) of examples x (B, *shape), each (B,) in nats.

        eps (k, B, latent): with several codes an example, log_px is the importance-weighted bound, which holds the KL.
        """
        model = self.model
        condition = model.drop_condition(**condition)
        if len(eps) > 1:
            log_px = model.importance_weighted_bound(x, eps, beta, **condition)
            kl = torch.zeros_like(log_px)
        else:
            log_px, kl = model.elbo(x, eps[0], **condition)
        if not model.has_auxiliary:
            return log_px, kl, torch.zeros_like(log_px)
        with torch.no_grad():  # no code is trained by it
            z, _ = model.sample_posterior(x, eps[0], **condition)
        return log_px, kl, model.auxiliary_log_likelihood(x, z, **condition)


@torch.no_grad()
def validate(model, x, condition, seed, device, batch_size=512):
    """Mean (log_px, kl, side log-likelihood) over examples, the noise fixed by the seed so that epochs compare."""
    model.eval()
    step, generator = Step(model), epoch_generator(seed, 0)
    totals = torch.zeros(3, dtype=torch.float64)
    for start in range(0, len(x), batch_size):
        batch = x[start:start + batch_size].to(device)
        part = {name: value[start:start + batch_size].to(device) for name, value in condition.items()}
        eps = torch.randn(1, len(batch), model.latent, generator=generator).to(device)
        totals += torch.stack(step(batch, eps, **part)).cpu().double().sum(1)
    model.train()
    return (totals / len(x)).tolist()


def fit(model, train, validation, run, *, epochs=30, batch_size=128, learning_rate=3e-3, weight_decay=0.01, beta=1.0,
        warmup=0, free_bits=0.0, samples=1, seed=0, device="auto", resume=False, train_condition=None,
        validation_condition=None, labels=None, label_names=None, map_condition=None, map_extra=None, map_size=None,
        keep=None, prepare=None, unit="examples", arguments=None, epoch_size=None, optimizer="adamw"):
    """Train a VAE and keep its run folder: checkpoint.pt and best.pt (by `best_score`), log.jsonl, config.json.

    train, validation: tensors (n, *shape). *_condition: dictionaries of tensors of the same length that the model's
    encoder and decoder also take. labels (n,), label_names: what the map of codes is coloured by; map_condition: what
    the encoder is told for it, train_condition if None; map_extra: what else the map shall hold; map_size: how many of
    the first examples it holds, None for all. keep: plain values that both checkpoints shall hold beside. prepare(x,
    generator): what is done to each training batch, such as drawing binary pixels anew. arguments: plain values kept
    for the record. epoch_size: examples an epoch, drawn anew for each; None for all. optimizer: adamw or muon, see
    optimizers.py. The rest are the options of `add_arguments`.
    Returns the history, a list of one dictionary an epoch.

    Raises FloatingPointError, before any save, at a loss or gradient that is not finite.
    """
    if samples > 1 and free_bits > 0:
        raise ValueError(f"--free-bits {free_bits:g} needs --samples 1: the bound of {samples} samples has no KL term")
    if warmup >= epochs:
        raise ValueError(f"--warmup {warmup}: expected fewer than the {epochs} epochs, or none has the full beta")
    run, device = Path(run), choose_device(device)
    rank, world = start_processes(device)
    train_condition, validation_condition = train_condition or {}, validation_condition or {}
    recipe = dict(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, weight_decay=weight_decay,
                  beta=beta, warmup=warmup, free_bits=free_bits, samples=samples, seed=seed, optimizer=optimizer)
    if epoch_size is not None and epoch_size < len(train):
        recipe["epoch_size"] = epoch_size
    epoch_size = recipe.get("epoch_size", len(train))
    fingerprint = zlib.crc32(train.cpu().contiguous().numpy())  # of the data: a run goes on with what it began with
    model.to(device).train()
    step_terms = Step(model)
    optimizer = Optimizers(model, optimizer, learning_rate, weight_decay)
    first_epoch, best, history = 1, -math.inf, []
    if resume:
        content = load_checkpoint(run / "checkpoint.pt")
        if content["class"] != type(model).__name__ or content["config"] != model.config:
            raise ValueError(f"{run}: its model is {content['class']} {content['config']}, not the one asked for")
        if not {"recipe", "data", "optimizer", "epoch", "best", "history"} <= content.keys():
            raise ValueError(f"{run / 'checkpoint.pt'}: expected a run to go on with, found a model alone")
        silent = {"epoch_size": len(train), "optimizer": "adamw"}  # where a recipe, or an older one, does not say
        before, now = {**silent, **content["recipe"]}, {**silent, **recipe}
        changed = [name for name in now if before[name] != now[name] and name != "epochs"]
        if changed:
            name = changed[0]
            raise ValueError(f"--{name.replace('_', '-')} {now[name]}: {run} was started with "
                             f"{before[name]}; start a new run, or leave it as it was")
        if content["data"] != fingerprint:
            raise ValueError(f"{run}: was started with other training data; expected the same to go on with it")
        model.load_state_dict(content["weights"])
        optimizer.load_state_dict(content["optimizer"])
        first_epoch, best, history = content["epoch"] + 1, content["best"], content["history"]
    elif (run / "checkpoint.pt").exists():
        raise ValueError(f"{run}: holds a run already; --resume goes on with it, another --run-folder leaves it alone")
    steps_an_epoch = math.ceil(epoch_size / batch_size)
    steps = epochs * steps_an_epoch
    done = epoch_size * (first_epoch - 1)
    with locked_run_folder(run) if rank == 0 else contextlib.nullcontext(), \
            contextlib.closing(progress_bar(epoch_size * epochs, done, unit, rank)) as bar:
        if rank == 0:
            write_json(run / "config.json", {"command": sys.argv, "arguments": arguments or recipe, "recipe": recipe,
                                             "class": type(model).__name__, "config": model.config,
                                             "examples": {"train": len(train), "validation": len(validation)},
                                             "processes": world, "device": str(device), "versions": versions()})
            write_log(run / "log.jsonl", history)
        for epoch in range(first_epoch, epochs + 1):
            started = time.perf_counter()
            generator = epoch_generator(seed, epoch)
            torch.manual_seed((1009 * (seed * 1_000_003 + epoch) + 1 + rank) % 2**63)  # of dropout
            order = torch.randperm(len(train), generator=generator)[:epoch_size]
            beta_now = beta * min(1.0, epoch / (warmup + 1))
            sums = torch.zeros(3, dtype=torch.float64)
            for step in range(steps_an_epoch):
                chosen = order[step * batch_size:(step + 1) * batch_size]
                eps = torch.randn(samples, len(chosen), model.latent, generator=generator)
                x = train[chosen]
                if prepare is not None:
                    x = prepare(x, generator)
                mine = slice(rank, None, world)
                x, eps = x[mine].to(device), eps[:, mine].to(device)
                condition = {name: value[chosen][mine].to(device) for name, value in train_condition.items()}
                log_px, kl, side = step_terms(x, eps, beta_now, **condition)
                now = torch.stack([log_px, kl, side]).detach().sum(1)
                if world > 1:
                    distributed.all_reduce(now)
                now = now.cpu().double()
                mean_px, mean_kl, mean_side = (now / len(chosen)).tolist()
                kl_counts = mean_kl > free_bits or free_bits == 0
                loss = ((beta_now * kl if kl_counts else 0.0) - log_px - side).sum() / len(chosen)
                value = beta_now * mean_kl - mean_px - mean_side
                if not math.isfinite(value):
                    raise FloatingPointError(f"{run}: stopped at epoch {epoch}, step {step + 1}: the loss is {value}; "
                                             f"what was saved before stands")
                optimizer.zero_grad()
                loss.backward()
                if world > 1:
                    sum_gradients(model)
                norm = torch.stack([torch.nn.utils.clip_grad_norm_(part, 1.0) for part in model.parameter_groups()]).max()
                if not torch.isfinite(norm):
                    raise FloatingPointError(f"{run}: stopped at epoch {epoch}, step {step + 1}: the gradient's norm "
                                             f"is {norm.item()} at loss {value:.4g}; what was saved before stands")
                optimizer.step(learning_rate_at((epoch - 1) * steps_an_epoch + step, steps, learning_rate))
                sums += now
                bar.update(len(chosen))
            seconds = time.perf_counter() - started
            log_px, kl, side = (sums / epoch_size).tolist()
            val_px, val_kl, val_side = validate(model, validation, validation_condition, seed, device)
            record = {"epoch": epoch, "train_log_px": log_px, "train_kl": kl, "train_elbo": log_px - kl,
                      "train_side": side, "validation_log_px": val_px, "validation_kl": val_kl,
                      "validation_elbo": val_px - val_kl, "validation_side": val_side, "beta": beta_now,
                      "seconds": round(seconds, 3), "examples_per_second": round(epoch_size / seconds, 1)}
            if not math.isfinite(record["validation_elbo"]):
                raise FloatingPointError(f"{run}: stopped after epoch {epoch}: the validation bound is "
                                         f"{record['validation_elbo']}; what was saved before stands")
            history.append(record)
            bar.set_postfix_str(f"epoch {epoch}/{epochs}, validation bound {val_px - val_kl:.2f} nats, KL {val_kl:.1f}")
            if rank == 0:
                state = {"epoch": epoch, "recipe": recipe, "data": fingerprint, "arguments": arguments or {},
                         **(keep or {})}
                score = best_score(record, free_bits)
                if score > best and beta_now == beta:
                    best = score
                    extra = {}
                    if labels is not None:
                        told = {name: value[:map_size] for name, value in (
                            train_condition if map_condition is None else map_condition).items()}
                        extra["map"] = {"codes": encode_all(model, train[:map_size], **told)[0].half(),
                                        "labels": torch.as_tensor(labels), "label_names": list(label_names),
                                        **(map_extra or {})}
                    save_checkpoint(run / "best.pt", model, half=True, validation_elbo=record["validation_elbo"],
                                    **state, **extra)
                save_checkpoint(run / "checkpoint.pt", model, optimizer=optimizer.state_dict(), best=best,
                                history=history, **state)
                write_log(run / "log.jsonl", history)
    if world > 1:
        distributed.barrier()
    return history


def best_score(record, free_bits=0.0):
    """What an epoch is chosen by: its validation bound, in which a KL under the free bits wins nothing.

    Else a small collection would be served best by an epoch in which the code says nothing yet.
    """
    return record["validation_log_px"] - max(free_bits, record["validation_kl"])


def progress_bar(total, done, unit, rank):
    """A tqdm bar with examples a second and the time left; silent in all processes but the first."""
    return tqdm(total=total, initial=done, unit=f" {unit}", unit_scale=True, disable=rank != 0, dynamic_ncols=True,
                mininterval=0.5)
