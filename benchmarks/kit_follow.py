"""Kits that follow the place on the map: what their sounds measure where eight styles lie.

    python benchmarks/kit_follow.py --seeds 5

At each style's place, the median of its training bars, the kits of the same seeds; of kick, snare, closed hat and
cymbal the centroid of the spectrum and the time to -20 dB (sounds/descriptors.py). The right way round: of two places'
kits of one seed, which is whose, by the numbers of the other seeds; chance is 50 %.
"""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from command_line import ROOT, Parser, Progress, number, run

import numpy as np
import torch

from editor.kit_commands import followed_character
from formats.kit import SAMPLE_RATE
from patterns.latent_map import LatentPlane, load_bar_model
from sounds.codes import load_sound_model
from sounds.descriptors import band_numbers, decay_ms
from sounds.kits import CHARACTER_ROWS, first_of, kit_code_of_character, kit_of_character

STYLES = ("jazz", "rock", "funk", "latin", "hiphop", "trap", "techno", "electro")
STEPS = 41  # of the way from jazz to techno


def numbers(model, kit):
    """log2 of centroid (Hz) and decay (ms) of CHARACTER_ROWS: (8,)."""
    found = []
    for row in CHARACTER_ROWS:
        samples = np.asarray(first_of(model, kit[row]).layers[-1][0], float)
        samples = samples if samples.ndim == 1 else samples.mean(-1)
        found += [band_numbers(samples, SAMPLE_RATE)["centroid_hz"], max(decay_ms(samples, SAMPLE_RATE, 20), 1)]
    return np.log2(found)


def set_apart(one, other):
    """The share of seeds whose kits at two places, (seeds, m) each, differ as the mean of the other seeds' do."""
    differ = (one - other) / np.concatenate([one, other]).std(0)
    return np.mean([np.delete(differ, seed, 0).mean(0) @ differ[seed] > 0 for seed in range(len(differ))])


def main(argv=None):
    """Print the table."""
    parser = Parser(__doc__)
    parser.add_argument("--seeds", type=number(int, 2), default=5, help="kits at each place (default 5)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    plane = LatentPlane(load_bar_model(ROOT / "pretrained" / "bernoulli_map.pt"))
    model, seeds = load_sound_model(ROOT / "pretrained" / "sound_vae.pt"), range(arguments.seeds)
    places = {style: np.median(plane.points[plane.labels == plane.names.index(style)], 0) for style in STYLES}
    characters = {style: followed_character(plane, place) for style, place in places.items()}
    with Progress(what="making kits"):
        kits = np.stack([[numbers(model, kit_of_character(model, character, seed)) for seed in seeds]
                         for character in characters.values()])                       # (styles, seeds, 8)
    machines = model.exemplars.kits
    apart = torch.cdist(machines, machines).fill_diagonal_(torch.inf).amin(1).median()
    print("style: place; brightness, length; centroid in Hz, ms to -20 dB of kick, snare, closed hat, cymbal; distance "
          f"of the kit code to the nearest training machine's, whose own median is {apart:.2f}")
    for (style, place), found in zip(places.items(), kits):
        code = kit_code_of_character(model, characters[style])
        centre = 2 ** found.mean(0).reshape(-1, 2)
        print(f"{style:8} {place[0]:5.2f} {place[1]:5.2f}; {characters[style][0]:5.2f} {characters[style][1]:5.2f}; "
              f"{', '.join(f'{hertz:.0f} Hz {ms:.0f} ms' for hertz, ms in centre)}; "
              f"{torch.cdist(code[None], machines).min():.2f}")
    pairs = list(itertools.combinations(range(len(STYLES)), 2))
    print(f"the right way round: jazz and techno {set_apart(kits[0], kits[STYLES.index('techno')]):.0%}, the mean over "
          f"all pairs of places {np.mean([set_apart(kits[i], kits[k]) for i, k in pairs]):.0%}")
    way = np.linspace(places["jazz"], places["techno"], STEPS)
    codes = torch.stack([kit_code_of_character(model, followed_character(plane, point)) for point in way])
    steps = (codes[1:] - codes[:-1]).norm(dim=1)
    print(f"from jazz to techno in {STEPS - 1} steps the kit code moves {steps.sum():.2f}, at most {steps.max():.2f} a "
          "step")


if __name__ == "__main__":
    run(main)
