"""The options that every training shares; apart from training.py, so that --help need not load torch."""

from pathlib import Path

from command_line import number

DEFAULTS = dict(epochs=30, batch_size=128, learning_rate=3e-3, beta=1.0, warmup=0, free_bits=0.0, samples=1, seed=0,
                device="auto", run=None)


def add_arguments(parser, **defaults):
    """Add the options that every training shares; `defaults` replace those of DEFAULTS."""
    default = {**DEFAULTS, **defaults}
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=number(int, 1), default=default["epochs"], help="passes over the data")
    group.add_argument("--batch-size", type=number(int, 1), default=default["batch_size"], help="examples a step")
    group.add_argument("--learning-rate", type=number(float, 0), default=default["learning_rate"],
                       help="of AdamW, at its peak; it rises over 100 steps, then falls along a cosine")
    group.add_argument("--beta", type=number(float, 0), default=default["beta"],
                       help="weight of the KL term (Higgins et al. 2017); 1 is the bound itself")
    group.add_argument("--warmup", type=number(int, 0), default=default["warmup"],
                       help="epochs over which beta rises from 0")
    group.add_argument("--free-bits", type=number(float, 0), default=default["free_bits"],
                       help="nats of KL a batch's mean may have for free (Kingma et al. 2016)")
    group.add_argument("--samples", type=number(int, 1), default=default["samples"],
                       help="codes an example, above 1 the importance-weighted bound (Burda et al. 2016)")
    group.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=default["seed"],
                       help="of weights, order and noise")
    group.add_argument("--device", default=default["device"], help="auto, cpu, cuda, cuda:1, mps ...")
    # Not --run: torchrun, which reads a script's options too, would take that for its own --run-path.
    group.add_argument("--run-folder", dest="run", metavar="FOLDER", type=Path, default=default["run"],
                       help="where the run is kept, made if missing")
    group.add_argument("--resume", action="store_true", help="go on with the run in --run-folder, bit for bit")
