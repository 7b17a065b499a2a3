"""What a softer strike and a repeated hit change in the sounds of a model: attack and centroid of each layer, by class.

    python benchmarks/sound_layers.py                               # the shipped model
    python benchmarks/sound_layers.py --run runs/audio_0 --kits 20

Attack: of the 1 ms rms envelope, from the first 10 to the first 90 % of its maximum. Centroid: of the power.
Alternates: how far two takes of the hardest strike are apart, the rms of their difference in dB in thirds of an octave.
Medians over kits; beside them two sounds of a class of different kits.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# before anything that imports torch
from command_line import ROOT, Parser, Progress, number, run

import numpy as np

from formats.activation_matrix import INSTRUMENTS
from formats.kit import SAMPLE_RATE
from sounds.codes import load_sound_model
from sounds.descriptors import attack_ms
from sounds.kits import VELOCITIES, generate_kit

BANDS = 50 * 2 ** (np.arange(25) / 3)  # Hz, thirds of an octave
AUDIBLE = -50.0  # dB re the loudest band: what is softer does not count


def centroid(samples):
    """The mean frequency of the power of samples (n,), in Hz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float((power * np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)).sum() / power.sum())


def distance(one, other):
    """The rms difference of two sounds in thirds of an octave where either is audible, in dB."""
    levels = []
    for samples in (one, other):
        power, hertz = np.abs(np.fft.rfft(samples)) ** 2, np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
        levels.append(10 * np.log10([power[(hertz >= low) & (hertz < low * 2 ** (1 / 3))].sum() + 1e-12
                                     for low in BANDS]))
    levels = np.array(levels) - np.max(levels, axis=1, keepdims=True)
    heard = levels.max(0) > AUDIBLE
    return float(np.sqrt(np.square(levels[0] - levels[1])[heard].mean()))


def main(argv=None):
    """Return {class: {"attack": ms of each layer, "centroid": Hz of each, "alternates": dB, "others": dB}}."""
    parser = Parser(__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "pretrained" / "sound_vae.pt", help="default: the shipped")
    parser.add_argument("--kits", type=number(int, 2), default=10, help="how many (default: 10)")
    options = parser.parse_args(argv)
    model = load_sound_model(options.run)
    kits = [generate_kit(model, seed) for seed in Progress(range(options.kits), "making", "kits")]
    result = {}
    print(f"medians of {options.kits} kits; by MIDI velocity {', '.join(map(str, VELOCITIES))}")
    print("        attack, ms                  centroid, Hz                alternates, others: dB")
    for row, name in enumerate(INSTRUMENTS):
        sounds = [kit[row] for kit in kits]
        layers = np.array([[(attack_ms(layer[0], SAMPLE_RATE), centroid(layer[0])) for layer in sound.layers]
                           for sound in sounds])  # (kits, layers, 2)
        attacks, centroids = np.median(layers, 0).T
        takes = np.median([distance(*sound.layers[-1][:2]) for sound in sounds])
        others = np.median([distance(one.samples(), other.samples()) for one, other in zip(sounds, sounds[1:])])
        result[name] = {"attack": attacks, "centroid": centroids, "alternates": takes, "others": others}
        print(f"{name:6}" + "".join(f"{value:7.1f}" for value in attacks)
              + "".join(f"{value:7.0f}" for value in centroids) + f"{takes:12.1f}{others:7.1f}")
    return result


if __name__ == "__main__":
    run(main)
