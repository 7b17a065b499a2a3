"""Fit any VAE of `models.py`: the loop, its run folder, checkpoints, resuming, several processes.

All randomness of an epoch (order, noise) comes from a generator seeded by (seed, epoch), so a resumed run repeats an
uninterrupted one bit for bit. Every process draws the noise of the whole batch and takes its own rows, so several
processes equal one to rounding. A loss that is not finite stops the run before the step and before any save.
"""

import contextlib
import io
import json
import math
import os
import platform
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed

from command_line import replacing
from models import MODELS, gaussian_kl
from optimizers import Optimizers
from training_options import add_arguments  # noqa: F401, part of what a caller finds here


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


# --- the run folder ---


def new_run_folder(name):
    """`runs/NAME` beside the scripts, or NAME-2, NAME-3, ... where that holds a run already."""
    base = Path(__file__).parent / "runs" / name
    folder, count = base, 1
    while (folder / "checkpoint.pt").exists():
        count += 1
        folder = base.with_name(f"{name}-{count}")
    return folder


@contextlib.contextmanager
def alone(run):
    """Hold a run folder, made if missing, for this process. Raises ValueError where another one trains into it.

    However a process ends, the system lets go of what it held. Where the system has no such locks, just go on.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{run}: cannot write here ({error.strerror})") from error
    with contextlib.ExitStack() as stack:
        try:
            import fcntl
            folder = os.open(run, os.O_RDONLY)
            stack.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{run}: another training is writing here; expected a --run-folder of its own") from None
        except (ImportError, OSError):
            pass
        yield


def save_checkpoint(path, model, half=False, **state):
    """Write class name, config and weights, and whatever tensors and plain values `state` adds; whole or not at all.

    half: weights in 16 bits, for models that are to be carried about; they are read back as 32.
    """
    weights = {name: value.half() if half and value.is_floating_point() else value
               for name, value in model.state_dict().items()}
    content = {"class": type(model).__name__, "config": model.config, "weights": weights, **state}
    if any(not torch.isfinite(value).all() for value in content["weights"].values()):
        raise FloatingPointError(f"{path}: not written, the model has weights that are not finite")
    file = io.BytesIO()  # where torch itself meets a full disk, it does not say so
    torch.save(content, file)
    with replacing(path) as temporary:
        temporary.write_bytes(file.getbuffer())


def load_checkpoint(path):
    """The dictionary that save_checkpoint wrote. Nothing in the file is run: tensors and plain values only.

    `path` may be a run folder, which stands for its best.pt. Raises ValueError where it is not such a file.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "best.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # torch raises many kinds here: a broken zip, a pickle with code in it, an empty file
        reason = "it holds code, which is not run" if "nsupported" in str(error) else "broken, or not a checkpoint"
        raise ValueError(f"{path}: cannot be loaded: {reason}") from None
    if not isinstance(content, dict) or not {"class", "config", "weights"} <= content.keys():
        raise ValueError(f"{path}: expected a checkpoint of this project, found something else")
    if not isinstance(content["class"], str) or content["class"] not in MODELS:
        raise ValueError(f"{path}: expected a model of {', '.join(MODELS)}, found {content['class']!r}")
    return content


def build_model(content, path="checkpoint"):
    """The model of a loaded checkpoint, in eval mode; its `map` holds the codes of the training data, or None."""
    try:
        model = MODELS[content["class"]](**content["config"])
        model.load_state_dict({name: value.float() if value.is_floating_point() else value
                               for name, value in content["weights"].items()})
        model.map = content.get("map")
        if model.map is not None:
            model.map = {**model.map, "codes": model.map["codes"].float()}
            check_map(model.map, model.latent)
    except (TypeError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: its weights and config do not fit {content['class']}: "
                         f"{str(error).strip().splitlines()[-1].strip()[:200]}") from None
    if any(not torch.isfinite(value).all() for value in model.state_dict().values()):
        raise ValueError(f"{path}: holds weights that are not finite")
    return model.eval()


def check_map(content, latent):
    """Raise ValueError unless the map of a checkpoint has a finite code and a named label for each training example."""
    codes, labels, names = (content[key] for key in ("codes", "labels", "label_names"))
    if "bars" in content and (content["bars"].dtype != torch.uint8 or len(content["bars"]) != len(codes)):
        raise ValueError(f"map: expected packed bars of its {len(codes)} codes, found {tuple(content['bars'].shape)}")
    if codes.shape != (len(labels), latent) or not torch.isfinite(codes).all():
        raise ValueError(f"map: expected {len(labels)} finite codes of {latent} numbers, found {tuple(codes.shape)}")
    if not all(isinstance(name, str) for name in names):
        raise ValueError("map: expected the labels' names, found something else")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError(f"map: expected labels from 0 to {len(names) - 1}, found {labels.min()} to {labels.max()}")


def load_model(path, device="cpu"):
    """The model of a checkpoint file or run folder, ready to use: built from its config, in eval mode."""
    return build_model(load_checkpoint(path), path).to(device)


def versions():
    """What a run was made with: Python, packages, machine, and the commit where this is a git checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True,
                                check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = None
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
            "machine": platform.machine(), "processors": os.cpu_count(), "commit": commit}


def write_json(path, content):
    """Write readable JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=str) + "\n")


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


def loss_terms(model, x, eps, samples, beta, condition):
    """Per-example terms of the loss, (B,): the log-likelihoods (raised) and the KL (lowered).

    With several codes an example, the first is the importance-weighted bound, which holds the KL within it.
    """
    if samples > 1:
        log_weights = model.log_weights(x, eps, beta, **condition)                   # (k, B)
        bound = torch.logsumexp(log_weights, 0) - math.log(samples)
        mean, log_variance = model.encode(x, **condition)
        z = mean + torch.exp(0.5 * log_variance) * eps[0]
        return bound, bound.new_zeros(len(x)), model.side_log_likelihood(x, z, **condition)
    mean, log_variance = model.encode(x, **condition)
    z = mean + torch.exp(0.5 * log_variance) * eps[0]
    return (model.log_likelihood(x, z, **condition), gaussian_kl(mean, log_variance),
            model.side_log_likelihood(x, z, **condition))


@torch.no_grad()
def validate(model, x, condition, seed, device, batch_size=512):
    """Mean (log_px, kl, side log-likelihood) over examples, the noise fixed by the seed so that epochs compare."""
    model.eval()
    generator = epoch_generator(seed, 0)
    totals = torch.zeros(3, dtype=torch.float64)
    for start in range(0, len(x), batch_size):
        batch = x[start:start + batch_size].to(device)
        part = {name: value[start:start + batch_size].to(device) for name, value in condition.items()}
        eps = torch.randn(1, len(batch), model.latent, generator=generator).to(device)
        totals += torch.stack(loss_terms(model, batch, eps, 1, 1.0, part)).cpu().double().sum(1)
    model.train()
    return (totals / len(x)).tolist()


@torch.no_grad()
def codes_of(model, x, condition=None, batch_size=1024):
    """The encoder's means of all examples: (n, *shape) -> (n, latent) on the CPU."""
    device = next(model.parameters()).device
    condition = condition or {}
    return torch.cat([
        model.encode(x[i:i + batch_size].to(device),
                     **{name: value[i:i + batch_size].to(device) for name, value in condition.items()})[0]
        for i in range(0, len(x), batch_size)]).cpu()


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
    with alone(run) if rank == 0 else contextlib.nullcontext(), \
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
                if model.dropout_units:
                    uniform = torch.rand(len(chosen), model.dropout_units, generator=generator)
                    condition["dropout"] = uniform[mine].to(device)
                log_px, kl, side = loss_terms(model, x, eps, samples, beta_now, condition)
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
                norm = torch.stack([torch.nn.utils.clip_grad_norm_(part, 1.0) for part in model.parts()]).max()
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
                        extra["map"] = {"codes": codes_of(model, train[:map_size], told).half(),
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


def write_log(path, history):
    """One JSON line an epoch; written whole, so that a resumed run never has an epoch twice."""
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in history))


def progress_bar(total, done, unit, rank):
    """A tqdm bar with examples a second and the time left; silent in all processes but the first."""
    from tqdm import tqdm
    return tqdm(total=total, initial=done, unit=f" {unit}", unit_scale=True, disable=rank != 0, dynamic_ncols=True,
                mininterval=0.5)
