"""The options that every training shares; apart from training.py, so that --help need not load torch."""

from pathlib import Path

from command_line import number

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
