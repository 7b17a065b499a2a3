"""How alike clicks are in loudness: random bars of the map as they would sound at gain 1, and as they are played.

    python benchmarks/loudness.py                              # 200 clicks; the kit, and five of the sound model
    python benchmarks/loudness.py --clicks 50 --seeds 0
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# before anything that imports torch
from command_line import ROOT, Parser, Progress, number, run

import numpy as np
import pyloudnorm

from engine.loudness import Loudness
from engine.mixer import MASTER, Mixer
from engine.sequencer import render
from engine.timing import find_hits
from formats.kit import SAMPLE_RATE, load_kit
from patterns import sampling
from patterns.latent_map import load_bar_model, random_code
from sounds.codes import load_sound_model
from sounds.kits import generate_kit


def decibel(amplitude):
    return 20 * np.log10(np.maximum(amplitude, 1e-9))


def measure(bar, kit, meter):
    """RMS before and after, LUFS before and after, peak before, gain, largest reduction, share of time reduced: (8,).

    All in dB but the last, in %. Before: as it is at gain 1 without the limiter; after: as it is played.
    """
    gain = Loudness(kit).gain(find_hits(bar), 2 * SAMPLE_RATE)
    soft = render(bar, kit, mixer=Mixer(master=MASTER[0])).astype(float) / 10 ** (MASTER[0] / 20)  # not limited
    before, after = soft / gain, render(bar, kit).astype(float)  # (n, 2)
    loud = np.abs(soft[:, 0]) > 0.01
    reduction = -decibel(np.abs(after[loud, 0] / soft[loud, 0]))
    loudness = [meter.integrated_loudness(np.tile(samples, (3, 1))) for samples in (before, after)]
    return [decibel(before.std()), decibel(after.std()), *loudness, decibel(np.abs(before).max()), decibel(gain),
            reduction.max(initial=0), 100 * np.mean(reduction > 0.1)]


def main(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("--clicks", type=number(int, 10, 100_000), default=200, help="how many (default: 200)")
    parser.add_argument("--seeds", type=number(int, 0), nargs="*", default=range(5), help="of generated kits")
    options = parser.parse_args(argv)
    model, sounds = (load(ROOT / "pretrained" / name) for load, name in (
        (load_bar_model, "bernoulli_map.pt"), (load_sound_model, "sound_vae.pt")))
    codes = np.stack([random_code(model, 0, index) for index in range(options.clicks)])
    bars = sampling.draw(model, codes, constraints=sampling.CLICK)  # (clicks, 8, 64)
    kits = {"the default kit": load_kit()} | {f"kit {seed}": generate_kit(sounds, seed) for seed in options.seeds}
    meter, names = pyloudnorm.Meter(SAMPLE_RATE), ("RMS before", "RMS after", "LUFS before", "LUFS after",
                                                   "peak before", "gain", "reduction", "% reduced")
    print(f"{'':16}{'':14}{'min':>8}{'5 %':>8}{'median':>8}{'95 %':>8}{'max':>8}{'5-95 %':>8}")
    for name, kit in kits.items():
        found = np.array([measure(bar[None], kit, meter) for bar in Progress(bars, f"playing {name}", "bars")])
        for what, values in zip(names, found.T):
            low, some, middle, most, high = np.percentile(values, (0, 5, 50, 95, 100))
            print(f"{name:16}{what:14}{low:8.1f}{some:8.1f}{middle:8.1f}{most:8.1f}{high:8.1f}{most - some:8.1f}")


if __name__ == "__main__":
    run(main)
