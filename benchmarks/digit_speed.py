"""Compare the digits a second of training here with the common PyTorch example of a VAE on MNIST, in one run.

    python benchmarks/digit_speed.py                               # all 59,000 digits an epoch
    python benchmarks/digit_speed.py --digits 10000 --threads 1    # half a minute

Both are the network 784-400-20-400-784 with ReLU, batches of 128. The example, written here from its description: the
pixels as they are, binary cross entropy and KL summed, Adam. It takes its digits from a DataLoader, one at a time, as
its users do; and, which is harder to beat, from a tensor in memory. It neither validates nor saves here.

Ours is learning.training.fit as it is by default, pixels drawn anew at each use: its loop, and the whole call, in which
it also checks its data, validates on 1,000 digits and writes its run folder. Figures are left out. They run in turn,
one epoch each; the median of the rounds counts, and of the ratios within a round.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from command_line import Parser, Progress, number, run

import torch
import torch.nn as nn
import torch.nn.functional as F

from learning.mnist import SIDE, binarised, load_digits
from learning.training import Examples, TrainingSettings, fit
from models import BernoulliVAE

PIXELS, HIDDEN, LATENT, BATCH = 28 * 28, 400, 20, 128


def example_epochs(batches):
    """The example on what `batches()` gives, float tensors (B, 784) of 0..1; yields the seconds of each epoch."""
    encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU())
    mean_layer, log_variance_layer = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
    decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS), nn.Sigmoid())
    layers = nn.ModuleList([encoder, mean_layer, log_variance_layer, decoder])
    optimizer = torch.optim.Adam(layers.parameters(), lr=1e-3)
    while True:
        start, total = time.perf_counter(), 0.0
        for x in batches():
            units = encoder(x)
            mean, log_variance = mean_layer(units), log_variance_layer(units)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = F.binary_cross_entropy(decoder(z), x, reduction="sum") + kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        yield time.perf_counter() - start


def loaded(pixels):
    """A function that gives the shuffled batches of an epoch, from a DataLoader over single digits."""
    class Digits(torch.utils.data.Dataset):
        """Each digit by its number, made a float tensor of 0..1 when it is asked for."""

        def __len__(self):
            return len(pixels)

        def __getitem__(self, index):
            return pixels[index].float().div(255)

    loader = torch.utils.data.DataLoader(Digits(), batch_size=BATCH, shuffle=True)
    return lambda: (batch.view(-1, PIXELS) for batch in loader)


def in_memory(pixels):
    """A function that gives the shuffled batches of an epoch, rows of one float tensor."""
    digits = pixels.view(-1, PIXELS).float() / 255
    return lambda: (digits[chosen] for chosen in torch.randperm(len(digits)).split(BATCH))


def our_epochs(pixels, validation):
    """fit for one epoch, again and again in new run folders; yields (seconds of its loop, of the call)."""
    while True:
        model = BernoulliVAE(shape=(SIDE, SIDE), latent=LATENT, hidden=(HIDDEN,), activation="ReLU",
                             decoder="independent")
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            history = fit(model, Examples(pixels), Examples(binarised(validation, torch.Generator().manual_seed(0))),
                          Path(folder) / "run", TrainingSettings(epochs=1, batch_size=BATCH, device="cpu"), binarised,
                          unit="digits")
            yield history[0]["seconds"], time.perf_counter() - start


def main(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("--rounds", type=number(int, 1), default=5, help="of which the median counts (default: 5)")
    parser.add_argument("--digits", type=number(int, 1), help="how many an epoch (default: all 59,000)")
    parser.add_argument("--threads", type=number(int, 1), help="of torch (default: as torch chooses)")
    options = parser.parse_args(argv)

    if options.threads:
        torch.set_num_threads(options.threads)
    splits = load_digits()
    pixels, validation = (torch.as_tensor(splits[side][0]) for side in ("train", "validation"))
    count = options.digits or len(pixels)
    if count > len(pixels):
        raise ValueError(f"--digits {count}: expected at most the {len(pixels)} digits to train on")
    pixels = pixels[:count]
    ways = {"the example, DataLoader": example_epochs(loaded(pixels)),
            "the example, in memory": example_epochs(in_memory(pixels)),
            "fit": our_epochs(pixels, validation)}
    loop, call = "fit, its loop", "fit, whole call"
    rounds = []
    for _ in Progress(range(options.rounds + 1), "timing", "rounds"):
        times = {name: next(epochs) for name, epochs in ways.items()}
        times[loop], times[call] = times.pop("fit")
        rounds.append(times)
    rounds = rounds[1:]  # the first pays for what a process sets up once
    loader, memory = list(ways)[:2]
    print(f"{count} digits an epoch, batch {BATCH}, torch threads: {torch.get_num_threads()}, {len(rounds)} rounds")
    print(f"{'':26}{'digits/s':>10}{'slowest':>10}{'fastest':>10}{'times DataLoader':>18}{'times in memory':>17}")
    result = {}
    for name in rounds[0]:
        seconds = [times[name] for times in rounds]
        ratios = [statistics.median(times[other] / times[name] for times in rounds) for other in (loader, memory)]
        result[name] = count / statistics.median(seconds)
        print(f"{name:26}{result[name]:10.0f}{count / max(seconds):10.0f}{count / min(seconds):10.0f}"
              f"{ratios[0]:18.2f}{ratios[1]:17.2f}")
    return result


if __name__ == "__main__":
    run(main)
