"""Compare the time of an epoch of training here with that of the 2019 loop: same network, same bars, in one run.

    python benchmarks/epoch_speed.py                           # on Dataset_Drum_Groove_Pattern
    python benchmarks/epoch_speed.py --data groove --rounds 3  # on the Groove MIDI Dataset

The network is that of 2019, 512-800-2 with ReLU. Its loop: batches of 8 that a DataLoader puts together from single
bars, Adam, KL times 4. Ours is learning.training.fit, with the batch size that train_bernoulli.py has by default and
with a larger one. An epoch is one pass over the training bars, without validation and saving; they run in turn, and the
median of each counts.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from command_line import ROOT, Parser, Progress, number, run

import torch
import torch.nn as nn
import torch.nn.functional as F

from learning.training import Examples, TrainingSettings, fit
from models import BernoulliVAE
from patterns.dataset import load_bars


def epochs_2019(bars):
    """The network and the loop of 2019 on bars uint8 (n, 8, 64); yields the seconds of one epoch after another."""
    encoder = nn.Sequential(nn.Linear(512, 800), nn.ReLU(), nn.Linear(800, 2 * 2))
    decoder = nn.Sequential(nn.Linear(2, 800), nn.ReLU(), nn.Linear(800, 512), nn.Sigmoid())
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    classic = (bars > 0).astype(float)  # matrices of 0.0 and 1.0
    loader = torch.utils.data.DataLoader(classic, batch_size=8, shuffle=True)
    while True:
        start, total = time.perf_counter(), 0.0
        for batch in loader:
            x = batch.view(-1, 512).float()
            mean, log_variance = encoder(x).chunk(2, -1)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
            loss = F.binary_cross_entropy(decoder(z), x, reduction="sum") + 4 * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        yield time.perf_counter() - start


def our_epochs(bars, batch_size):
    """fit on the same network and bars; yields the seconds of one epoch after another, each of a new run."""
    bars = torch.as_tensor(bars)
    while True:
        model = BernoulliVAE(latent=2, hidden=(800,), activation="ReLU")
        with tempfile.TemporaryDirectory() as folder:
            history = fit(model, Examples(bars), Examples(bars[:1]), Path(folder) / "run",
                          TrainingSettings(epochs=1, batch_size=batch_size, device="cpu"), unit="bars")
        yield history[0]["seconds"]


def main(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("--data", default=str(ROOT / "Dataset_Drum_Groove_Pattern"),
                        help="groove, or a folder of matrices or MIDI (default: Dataset_Drum_Groove_Pattern)")
    parser.add_argument("--batch-sizes", type=number(int, 1), nargs="+", default=[TrainingSettings.batch_size, 512],
                        help=f"of ours (default: {TrainingSettings.batch_size} 512)")
    parser.add_argument("--rounds", type=number(int, 1), default=5, help="of which the median counts (default: 5)")
    options = parser.parse_args(argv)

    bars = load_bars(options.data)["train"][0]
    ways = {"the 2019 loop, batch 8": epochs_2019(bars)}
    for batch_size in options.batch_sizes:
        ways[f"fit, batch {batch_size}"] = our_epochs(bars, batch_size)
    for epochs in ways.values():
        next(epochs)  # not counted: the first epoch of a process pays for what is set up once
    rounds = [{name: next(epochs) for name, epochs in ways.items()}
              for _ in Progress(range(options.rounds), "timing", "rounds")]
    seconds = {name: statistics.median(times[name] for times in rounds) for name in ways}
    first = next(iter(seconds.values()))
    print(f"{len(bars)} bars from {options.data}, torch threads: {torch.get_num_threads()}, {options.rounds} rounds")
    print(f"{'':28}{'s an epoch':>12}{'fastest':>9}{'slowest':>9}{'bars/s':>9}{'times 2019':>12}")
    for name, median in seconds.items():
        times = [times[name] for times in rounds]
        print(f"{name:28}{median:12.3f}{min(times):9.3f}{max(times):9.3f}{len(bars) / median:9.0f}"
              f"{first / median:12.1f}")
    return seconds


if __name__ == "__main__":
    run(main)
