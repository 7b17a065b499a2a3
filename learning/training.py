"""Fit any VAE of models.py: the settings, the loop, and several processes of torchrun.

    settings = TrainingSettings(epochs=30, batch_size=128)
    history = fit(model, Examples(bars), Examples(unseen_bars), Path("runs/mine"), settings)

All that is random in an epoch is drawn from (seed, epoch, process), so a resumed run of as many processes repeats an
uninterrupted one bit for bit. A loss that is not finite stops the run before the step and before any save.
"""

import atexit
import contextlib
import math
import os
import time
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
import torch.distributed as distributed
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from command_line import number
from learning.optimizers import Optimizers
from learning.run_folder import Run, fingerprint, locked_run_folder


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; `add_arguments` says what each is. Raises ValueError where two of them exclude each other.

    epoch_size: None for all examples. other_options: what else shapes the run, by the name of its option: resuming with
    others is refused. arguments: plain values kept for the record.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    beta: float = 1.0
    warmup: int = 0
    free_bits: float = 0.0
    samples: int = 1
    seed: int = 0
    optimizer: str = "adamw"
    precision: str = "float32"
    epoch_size: int = None
    device: str = "auto"
    resume: bool = False
    other_options: dict = field(default_factory=dict)
    arguments: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.samples > 1 and self.free_bits > 0:
            raise ValueError(f"--free-bits {self.free_bits:g} needs --samples 1: the bound of {self.samples} samples "
                             "has no KL term")
        if self.warmup >= self.epochs:
            raise ValueError(f"--warmup {self.warmup}: expected fewer than the {self.epochs} epochs, or none has the "
                             "full beta")

    def recipe(self, processes=1):
        """Those that shape a run, as plain values."""
        values = asdict(self)
        other_options, *_ = (values.pop(name) for name in ("other_options", "arguments", "device", "resume"))
        return {**values, **other_options, "processes": processes}

    def settled(self, process, count):
        """The same with nothing left to choose, for `count` examples: every process has a part of every batch."""
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
        """Checksums of all of it: {"NAME data": number, "NAME condition style": number}."""
        return {f"{name} data": fingerprint(self.x),
                **{f"{name} condition {key}": fingerprint(value) for key, value in self.condition.items()}}


# --- options ---

OPTIONS = {  # name: (type or choices, help)
    "epochs": (number(int, 1), "passes over the data"),
    "batch_size": (number(int, 1), "examples a step"),
    "learning_rate": (number(float, 0), "at its peak; it rises over 100 steps, then falls along a cosine"),
    "optimizer": (("adamw", "muon"), "for the matrices between a raster decoder's units; AdamW for all else"),
    "beta": (number(float, 0), "weight of the KL term (Higgins et al. 2017); 1 is the bound itself"),
    "warmup": (number(int, 0), "epochs over which beta rises from 0"),
    "free_bits": (number(float, 0), "nats of KL a batch's mean may have for free (Kingma et al. 2016)"),
    "samples": (number(int, 1), "codes an example, above 1 the importance-weighted bound (Burda et al. 2016)"),
    "epoch_size": (number(int, 1), "examples an epoch, drawn anew for each; all if not given"),
    "seed": (number(int, 0, 2**32 - 1), "of weights, order and noise"),
    "device": (str, "auto, cpu, cuda, cuda:1, mps ..."),
    "precision": (("auto", "float32", "bfloat16"), "of the nets in training; auto: bfloat16 if the device has it"),
}


def add_arguments(parser, shown=None, **defaults):
    """Add the options that every training shares; `defaults` replace those of TrainingSettings.

    shown: {name: words} of defaults that the help shall name though the parser leaves them None, to be filled in later.
    """
    default = {**{each.name: each.default for each in fields(TrainingSettings)}, "precision": "auto", **defaults}
    group = parser.add_argument_group("training")

    for name, (kind, text) in OPTIONS.items():
        value, choices = default[name], kind if isinstance(kind, tuple) else None
        words = (shown or {}).get(name, f"{value:g}" if isinstance(value, float) else value)
        group.add_argument(f"--{name.replace('_', '-')}", type=str if choices else kind, choices=choices, default=value,
                           help=text + (f" (default {words})" if words is not None else ""))
    # Not --run: torchrun, which reads a script's options too, would take that for its own --run-path.
    group.add_argument("--run-folder", dest="run", metavar="FOLDER", type=Path, default=default.get("run"),
                       help="where the run is kept, made if missing")
    group.add_argument("--resume", action="store_true", help="go on with the run in --run-folder, bit for bit")


def read_settings(arguments, *other_options):
    """The TrainingSettings of a script's parsed options; other_options: names of its own that shape a run."""
    record = {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()
              if name not in ("run", "resume")}
    given = {each.name: getattr(arguments, each.name) for each in fields(TrainingSettings)
             if hasattr(arguments, each.name)}
    return TrainingSettings(**given, other_options={name: record[name] for name in other_options}, arguments=record)


# --- device and processes ---


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
    """float32 or bfloat16; "auto" is the latter where this device multiplies it natively."""
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
    rank: int = 0
    count: int = 1

    @property
    def first(self):
        """Is it the one that prints and saves?"""
        return self.rank == 0

    def sum(self, terms):
        """The sum of a tensor over the processes, float64 on the CPU."""
        if self.count > 1:
            distributed.all_reduce(terms)
        return terms.cpu().double()


def start_process(device_name):
    """This process and its device; it joins the others where torchrun started several."""
    device = choose_device(device_name)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Process(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)
    return Process(device, distributed.get_rank(), distributed.get_world_size())


# --- the loop ---


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


def fit(model, train, validation, folder, settings, augment=None, extra_state=None, unit="examples"):
    """Train a VAE and keep its run folder: checkpoint.pt and best.pt (by `best_score`), log.jsonl, config.json.

    train, validation: Examples. augment(x, generator): what is done to each training batch, such as drawing binary
    pixels anew. extra_state: what best.pt holds beside the model, a dictionary or a function of the model.
    Returns the history, a dictionary an epoch. Raises ValueError where the folder or the run in it does not fit, and
    FloatingPointError, before any save, at a loss or gradient that is not finite.
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
    run.resume(model, optimizer) if settings.resume else run.check_new()
    step = DistributedDataParallel(Step(model)) if process.count > 1 else Step(model)
    with contextlib.ExitStack() as stack:
        if process.first:
            stack.enter_context(locked_run_folder(folder))
            run.begin(model, settings.arguments, examples={"train": len(train), "validation": len(validation)},
                      device=str(process.device))
        bar = stack.enter_context(tqdm(total=size * settings.epochs, initial=size * run.epoch, unit=f" {unit}",
                                       unit_scale=True, disable=not process.first, dynamic_ncols=True))
        for epoch in range(run.epoch + 1, settings.epochs + 1):
            started, sums = time.perf_counter(), torch.zeros(3, dtype=torch.float64)
            beta = settings.beta * min(1.0, epoch / (settings.warmup + 1))
            for i, (count, x, eps, condition) in enumerate(batches(model, train, settings, epoch, process, augment)):
                log_px, kl, auxiliary = step(x, eps, beta, **condition)               # (B,) each, of this process
                terms = process.sum(torch.stack([log_px, kl, auxiliary]).detach().sum(1))  # (3,), of the whole batch
                mean_px, mean_kl, mean_auxiliary = (terms / count).tolist()
                free = 0 < settings.free_bits >= mean_kl
                loss = ((0.0 if free else beta * kl) - log_px - auxiliary).sum() * process.count / count
                value = beta * mean_kl - mean_px - mean_auxiliary
                at = f"{folder}: stopped at epoch {epoch}, step {i + 1}: the"
                check_finite(value, f"{at} loss is {value}")
                optimizer.zero_grad()
                loss.backward()
                norm = torch.stack([clip_grad_norm_(group, 1.0) for group in model.parameter_groups()]).max().item()
                check_finite(norm, f"{at} gradient's norm is {norm} at loss {value:.4g}")
                optimizer.step(learning_rate_at(steps * (epoch - 1) + i, steps * settings.epochs, peak))
                sums += terms
                bar.update(count)
            seconds = time.perf_counter() - started
            record = {"epoch": epoch, **summary("train", sums / size), "beta": beta,
                      **summary("validation", validate(model, validation, settings.seed, process.device)),
                      "seconds": round(seconds, 3), "examples_per_second": round(size / seconds, 1)}
            check_finite(record["validation_elbo"], f"{folder}: stopped after epoch {epoch}: the validation bound is "
                         f"{record['validation_elbo']}")
            run.history.append(record)
            bar.set_postfix_str(f"epoch {epoch}/{settings.epochs}, validation bound {record['validation_elbo']:.2f} "
                                f"nats, KL {record['validation_kl']:.1f}")
            if process.first:
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
    if not process.first:
        generator.manual_seed(own)
    for chosen in order.split(settings.batch_size):
        mine = chosen[process.rank::process.count]
        eps = torch.randn(settings.samples, len(mine), model.latent, generator=generator)
        x = data.x[mine]
        if augment is not None:
            x = augment(x, generator)
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
    """What an epoch is chosen by: its validation bound, where a KL below the free bits counts as the free bits; else a
    small collection would be served best by an epoch whose code carries nothing yet."""
    return record["validation_log_px"] - max(free_bits, record["validation_kl"])


def describe_best(history, free_bits, unit):
    """What a script prints after a training: the best epoch, in nats a unit."""
    best = max(history, key=lambda record: best_score(record, free_bits))
    return (f"best validation bound {best['validation_elbo']:.2f} nats a {unit} (KL {best['validation_kl']:.2f}) in "
            f"epoch {best['epoch']}, {sum(record['seconds'] for record in history):.0f} s of training")
