"""Fit any VAE of models.py: the settings, the loop, and several processes of torchrun.

    settings = TrainingSettings(epochs=30, batch_size=128)
    history = fit(model, Examples(bars), Examples(unseen_bars), Path("runs/mine"), settings)

All that is random in an epoch is drawn from (seed, epoch, process), so a resumed run of as many processes repeats an
uninterrupted one bit for bit. A loss or gradient that is not finite stops the run before the step and any save.
"""

import atexit
import contextlib
import math
import os
import shlex
import time
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
import torch.distributed as distributed
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from command_line import Progress, number
from learning.optimizers import Optimizers
from learning.run_folder import Run, fingerprint, locked_run_folder


def option(default, kind, text):
    """A setting that is also an option of the scripts. kind: the type of its words, or a tuple of them."""
    return field(default=default, metadata={"kind": kind, "help": text})


@dataclass(frozen=True)
class TrainingSettings:
    """How to train. Raises ValueError where two settings exclude each other.

    other_options: what else shapes the run, by the name of its option. arguments: plain values kept for the record.
    """

    epochs: int = option(30, number(int, 1), "passes over the data")
    batch_size: int = option(128, number(int, 1), "examples a step")
    learning_rate: float = option(3e-3, number(float, 0), "at its peak, after 100 steps; then it falls on a cosine")
    weight_decay: float = 0.01
    optimizer: str = option("adamw", ("adamw", "muon"),
                            "for the matrices between a raster decoder's units; AdamW for all else")
    beta: float = option(1.0, number(float, 0), "weight of the KL term (Higgins et al. 2017); 1 is the bound itself")
    warmup: int = option(0, number(int, 0), "epochs over which beta rises from 0")
    free_bits: float = option(0.0, number(float, 0), "nats of KL a batch's mean may have for free (Kingma et al. 2016)")
    samples: int = option(1, number(int, 1), "codes an example; above 1: the bound of Burda et al. (2016)")
    epoch_size: int = option(None, number(int, 1), "examples an epoch, drawn anew for each; all if not given")
    seed: int = option(0, number(int, 0, 2**32 - 1), "of weights, order and noise")
    device: str = option("auto", str, "auto, cpu, cuda, cuda:1, mps ...")
    precision: str = option("float32", ("auto", "float32", "bfloat16"),
                            "of the nets in training; auto: bfloat16 if the device has it")
    resume: bool = False
    other_options: dict = field(default_factory=dict)
    arguments: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.samples > 1 and self.free_bits > 0:
            raise ValueError(f"--free-bits {self.free_bits:g} needs --samples 1: a bound of several has no KL term")
        if self.warmup >= self.epochs:
            raise ValueError(f"--warmup {self.warmup}: expected fewer than the {self.epochs} epochs")

    def recipe(self, processes=1):
        """The settings that shape a run, as plain values."""
        values = {name: value for name, value in asdict(self).items()
                  if name not in ("other_options", "arguments", "device", "resume")}
        return {**values, **self.other_options, "nproc_per_node": processes}

    def settled(self, process, count):
        """The settings with nothing left to choose, for `count` examples: each process has a part of each batch."""
        size = min(self.epoch_size or count, count)
        if size % self.batch_size < process.count:
            size -= size % self.batch_size
        if min(size, self.batch_size) < process.count:
            raise ValueError(f"--batch-size {self.batch_size}: expected examples for each of {process.count} processes")
        return replace(self, epoch_size=size, precision=choose_precision(self.precision, process.device))


@dataclass(frozen=True)
class Examples:
    """x (n, *shape), and what encoder and decoder are conditioned on: tensors of n rows by name."""

    x: torch.Tensor
    condition: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.x)

    def fingerprints(self, name):
        """Checksums: {"NAME data": number, "NAME condition style": number}."""
        parts = {"data": self.x, **{f"condition {key}": value for key, value in self.condition.items()}}
        return {f"{name} {key}": fingerprint(value) for key, value in parts.items()}


def add_arguments(parser, later=None, **defaults):
    """Add the options that every training shares; later: {name: words of the help} of defaults that `fill_in` gives."""
    defaults, later = {"precision": "auto", **defaults}, later or {}
    group = parser.add_argument_group("training")
    for each in fields(TrainingSettings):
        if each.metadata:
            kind, value = each.metadata["kind"], defaults.get(each.name, each.default)
            words = later.get(each.name, f"{value:g}" if isinstance(value, float) else value)
            group.add_argument(f"--{each.name.replace('_', '-')}", default=None if each.name in later else value,
                               help=each.metadata["help"] + (f" (default {words})" if words is not None else ""),
                               **{"choices" if isinstance(kind, tuple) else "type": kind})
    # Not --run: torchrun, which reads a script's options too, would take that for its own --run-path.
    group.add_argument("--run-folder", dest="run", metavar="FOLDER", type=Path,
                       help="where the run is kept, made if missing")
    group.add_argument("--resume", action="store_true", help="go on with the run in --run-folder, bit for bit")


def fill_in(arguments, values):
    """Give the options that were not given these values; no free bits to a bound of several codes, which has no KL."""
    for name, value in values.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, 0.0 if name == "free_bits" and arguments.samples > 1 else value)


def read_settings(arguments, *other_options):
    """The TrainingSettings of a script's parsed options; other_options: names of its own that shape a run."""
    given = vars(arguments)
    record = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()
              if name not in ("run", "resume")}
    own = {each.name: given[each.name] for each in fields(TrainingSettings) if each.name in given}
    return TrainingSettings(**own, other_options={name: record[name] for name in other_options}, arguments=record)


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


def choose_precision(name, device):
    """float32 or bfloat16; "auto" is bfloat16 where this device multiplies it natively."""
    if name != "auto":
        return name
    native = "avx512_bf16" in cpu_flags() if device.type == "cpu" else \
        device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "bfloat16" if native else "float32"


def cpu_flags():
    """The features of the processor, where the system is Linux."""
    return Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").is_file() else []


@dataclass(frozen=True)
class Process:
    """This process among `count` of torchrun, and its device."""

    device: torch.device
    rank: int = 0  # that of 0 prints and saves
    count: int = 1


def start_process(device_name):
    """This process and its device; it joins the others where torchrun started several."""
    device = choose_device(device_name)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Process(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)
    return Process(device, distributed.get_rank(), distributed.get_world_size())


class Step(torch.nn.Module):
    """The terms of the loss of a batch, as the one forward pass that DistributedDataParallel needs."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, eps, beta=1.0, **condition):
        """(log_px, kl, auxiliary log-likelihood) of x (B, *shape) and eps (k, B, latent), each (B,) in nats; with
        several codes an example, log_px is the importance-weighted bound, which holds the KL."""
        model, condition = self.model, self.model.drop_condition(**condition)
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


def fit(model, train, validation, folder, settings, augment=None, extra_state=None, unit="examples"):
    """Train a VAE and keep its run folder: checkpoint.pt and best.pt (by `best_score`), log.jsonl, config.json.

    train, validation: Examples. augment(x, generator): changes each training batch. extra_state: what best.pt holds
    beside the model, a dictionary or a function of the model. Returns the history, a dictionary an epoch. Raises
    ValueError where the folder or its run does not fit, FloatingPointError at a loss or gradient that is not finite.
    """
    folder, process = Path(folder), start_process(settings.device)
    settings = settings.settled(process, len(train))
    size, peak, steps = settings.epoch_size, settings.learning_rate, -(-settings.epoch_size // settings.batch_size)
    for net in model.to(process.device).train().modules():
        if hasattr(net, "low_precision"):
            net.low_precision = settings.precision == "bfloat16"
    optimizer = Optimizers(model, settings.optimizer, peak, settings.weight_decay)
    run = Run(folder, settings.recipe(process.count),
              {**train.fingerprints("training"), **validation.fingerprints("validation")})
    run.prepare(model, optimizer, settings.resume)
    step = DistributedDataParallel(Step(model)) if process.count > 1 else Step(model)
    with contextlib.ExitStack() as stack:
        if process.rank == 0:
            stack.enter_context(locked_run_folder(folder))
            run.begin(model, settings.arguments, examples={"train": len(train), "validation": len(validation)},
                      device=str(process.device))
        bar = stack.enter_context(Progress(what="training", unit=unit, total=size * settings.epochs,
                                           initial=size * run.epoch))
        for epoch in range(run.epoch + 1, settings.epochs + 1):
            started, sums = time.perf_counter(), torch.zeros(3, dtype=torch.float64)
            beta = settings.beta * min(1.0, epoch / (settings.warmup + 1))
            for i, (count, x, eps, condition) in enumerate(batches(model, train, settings, epoch, process, augment)):
                log_px, kl, auxiliary = step(x, eps, beta, **condition)               # (B,) each, of this process
                terms = torch.stack([log_px, kl, auxiliary]).detach().sum(1)          # (3,)
                if process.count > 1:
                    distributed.all_reduce(terms)
                mean_px, mean_kl, mean_auxiliary = (terms.cpu().double() / count).tolist()
                free = 0 < settings.free_bits >= mean_kl
                loss = ((0.0 if free else beta * kl) - log_px - auxiliary).sum() * process.count / count
                value = beta * mean_kl - mean_px - mean_auxiliary
                at = f"{folder}: stopped at epoch {epoch}, step {i + 1}: the"
                check_finite(value, f"{at} loss is {value}")
                model.zero_grad()
                loss.backward()
                norm = torch.stack([clip_grad_norm_(group, 1.0) for group in model.parameter_groups()]).max().item()
                check_finite(norm, f"{at} gradient's norm is {norm} at loss {value:.4g}")
                optimizer.step(learning_rate_at(steps * (epoch - 1) + i, steps * settings.epochs, peak))
                sums += terms.cpu()
                bar.update(count)
            seconds = time.perf_counter() - started
            record = {"epoch": epoch, **summary("train", sums / size), "beta": beta,
                      **summary("validation", validate(model, validation, settings.seed, process.device)),
                      "seconds": round(seconds, 3), "examples_per_second": round(size / seconds, 1)}
            bound, kl = record["validation_elbo"], record["validation_kl"]
            check_finite(bound, f"{folder}: stopped after epoch {epoch}: the validation bound is {bound}")
            run.history.append(record)
            bar.set_postfix_str(f"epoch {epoch} of {settings.epochs}, bound {bound:.2f}, KL {kl:.1f}")
            if process.rank == 0:
                run.save(model, optimizer, settings.arguments,
                         best_score(record, settings.free_bits) if beta == settings.beta else None, extra_state)
    if process.count > 1:
        distributed.barrier()  # until all is saved
    return run.history


def batches(model, data, settings, epoch, process, augment=None):
    """The batches of an epoch: (examples in all processes, x, eps (k, B, latent), conditions) of this process.

    The order is a function of (seed, epoch), the same in all processes; noise and dropout also of the process.
    """
    shared = settings.seed * 1_000_003 + epoch
    own = 1009 * shared + 1 + process.rank
    torch.manual_seed(own)  # of dropout
    generator = torch.Generator().manual_seed(shared)
    order = torch.randperm(len(data), generator=generator)[:settings.epoch_size]
    if process.rank > 0:
        generator.manual_seed(own)
    for chosen in order.split(settings.batch_size):
        mine = chosen[process.rank::process.count]
        eps = torch.randn(settings.samples, len(mine), model.latent, generator=generator)
        x = augment(data.x[mine], generator) if augment else data.x[mine]
        yield (len(chosen), x.to(process.device), eps.to(process.device),
               {name: value[mine].to(process.device) for name, value in data.condition.items()})


def learning_rate_at(step, steps, peak):
    """Linear rise over the first 100 steps (at most a tenth of them), then half a cosine down to 1 % of the peak."""
    rise = max(1, min(100, steps // 10))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))))


def check_finite(value, message):
    """FloatingPointError with the message unless the value is finite."""
    if not math.isfinite(value):
        raise FloatingPointError(f"{message}; what was saved before stands")


def summary(name, terms):
    """The entries of a record of mean log-likelihood, KL and auxiliary log-likelihood (3,), in nats an example."""
    log_px, kl, auxiliary = terms.tolist()
    return {f"{name}_log_px": log_px, f"{name}_kl": kl, f"{name}_elbo": log_px - kl, f"{name}_auxiliary": auxiliary}


@torch.no_grad()
def validate(model, data, seed, device, batch_size=512):
    """Mean log_px, KL and auxiliary log-likelihood of Examples, (3,); the noise is fixed, so that epochs compare."""
    model.eval()
    step, generator = Step(model), torch.Generator().manual_seed(seed * 1_000_003)
    totals = torch.zeros(3, dtype=torch.float64)
    for rows in torch.arange(len(data)).split(batch_size):
        eps = torch.randn(1, len(rows), model.latent, generator=generator).to(device)
        condition = {name: value[rows].to(device) for name, value in data.condition.items()}
        totals += torch.stack(step(data.x[rows].to(device), eps, **condition)).cpu().double().sum(1)
    model.train()
    return totals / len(data)


def best_score(record, free_bits=0.0):
    """The validation bound, with a KL of at least the free bits: else an epoch whose code is unused may be the best."""
    return record["validation_log_px"] - max(free_bits, record["validation_kl"])


def describe(history, free_bits, unit, folder):
    """What a script prints after a training: the best epoch, in nats a unit, and the command for its numbers."""
    best = max(history, key=lambda record: best_score(record, free_bits))
    return (f"best validation bound {best['validation_elbo']:.2f} nats a {unit} (KL {best['validation_kl']:.2f}) in "
            f"epoch {best['epoch']}, {sum(record['seconds'] for record in history):.0f} s of training\n"
            f"its numbers:  python evaluate.py {shlex.quote(str(folder))}")
