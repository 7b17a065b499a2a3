"""Measure how a model's magnitudes become one-shots: the search for the phase, what is added to it, and the speed.

    python benchmarks/sound_speed.py dataset_audio                           # true magnitudes: phases alone
    python benchmarks/sound_speed.py my_sounds --run runs/audio              # and sounds from a model's codes; speed

FOLDER has a subfolder a class. `--count` sounds are drawn by --seed, as many of each class.

Table 1, true magnitudes of these sounds: by start and iterations, the spectral convergence (mean and worst, dB); the
log-spectral distance (dB, floor 60 dB below the peak); how far the energy decay curve lies from the original's (mean
distance in dB down to -45 dB); the attack's time error (ms); the pre-echo, the rms of the 5 ms before sample 0, round
the transform's circle (dB re the peak; median of sounds that end in silence), which `finish` cuts; processor ms a
sound.

Table 2, with --run: sounds from the codes of the same sounds, beside the originals: log-spectral distance, decay curve,
flicker (the local deviation of magnitudes from smooth decays, dB, in bands above 1 kHz), and the finished sounds'
onset, DC, last sample, level against the class's and peak, worst of all.

Table 3, with --run: a kit of eight, and batches; medians of three.
"""

import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from command_line import Parser, number, run

import numpy as np
import torch

from audio2nsgt import make_transform
from formats.activation_matrix import INSTRUMENTS
from griffin_lim import convergence, griffin_lim
from sounds import kits, synthesis
from sounds.codes import encode, load_sound_model, random_codes
from sounds.dataset import duration_of, level_db, load_one_shots
from sounds.spectrograms import DEFAULTS, to_decibels
from transforms import phase_retrieval


def draw(folder, count, seed, rate, seconds):
    """`count` sounds that are not silent, as many of each class: (float32 (count, samples), labels (count,))."""
    sounds, labels, _, _ = load_one_shots(folder, rate, seconds)
    kept = np.abs(sounds).max(1) > 0
    sounds, labels = sounds[kept], labels[kept]
    order = np.random.default_rng(seed).permutation(len(sounds))
    rank = np.array([(labels[order[:place]] == labels[i]).sum() for place, i in enumerate(order)])
    chosen = order[np.lexsort((labels[order], rank))][:count]
    return sounds[chosen], labels[chosen].astype(int)


def levels_db(signals, transform, floor_db=-60.0):
    """Magnitudes of signals in dB re each one's peak, from floor_db to 0: (B, bands, frames)."""
    return to_decibels(transform.forward(torch.as_tensor(signals, dtype=torch.float32)).abs(), floor_db)[0]


def decay_curves(signals, rate):
    """Energy still to come, every 5 ms, in dB re all of it, down to -45 dB (Schroeder 1965): (B, n)."""
    energy = np.cumsum(np.asarray(signals, float)[:, ::-1] ** 2, 1)[:, ::-1]
    return np.maximum(10 * np.log10(energy / np.maximum(energy[:, :1], 1e-30) + 1e-12), -45)[:, ::round(0.005 * rate)]


def flicker(levels, transform):
    """How far magnitudes lie from decays, by second differences over the time a band resolves: dB, (B, bands)."""
    frames = levels.shape[-1]
    centres = np.asarray(transform.frequencies) * transform.Ls / transform.fs
    widths = np.maximum(np.gradient(centres) * 2, 4)
    lags = torch.tensor(np.clip(np.round(frames / widths), 1, frames // 4)).long()
    at = torch.arange(frames)
    inside = (at >= lags[:, None]) & (at < frames - lags[:, None])
    parts = [levels.gather(2, ((at + sign * lags[:, None]) % frames).expand_as(levels)) for sign in (-1, 1)]
    loud = (levels > -45) & inside
    second = (parts[0] - 2 * levels + parts[1]).square() * loud
    return (second.sum(2) / loud.sum(2).clamp_min(1) / 6).sqrt()


def phase_table(sounds, transform):
    """Print table 1 and return its rows."""
    magnitude = transform.forward(torch.as_tensor(sounds)).abs()
    truth, curves = levels_db(sounds, transform), decay_curves(sounds, transform.fs)
    last = round(0.005 * transform.fs)
    peaks = np.abs(sounds).max(1)
    silent = np.abs(sounds[:, -4 * last:]).max(1) < 1e-4 * peaks
    durations = torch.tensor([float(duration_of(sound, transform.fs)) for sound in sounds])
    onsets = [synthesis.onset_of(sound, transform.fs) for sound in sounds]

    def ours(iterations, known=True, phase=1 + 0j):
        silence = synthesis.support(transform, durations if known else None, len(sounds))
        return lambda: synthesis.in_groups(
            lambda c, silence: synthesis.search(c, transform, iterations, silence), transform, magnitude * phase,
            silence)

    def tones(iterations):
        return lambda: ours(iterations, phase=phase_retrieval.tonal_phase(magnitude, transform, 1000.0))()

    ways = {"random, fast Griffin-Lim, 16": lambda: griffin_lim(magnitude, transform, 16, init="random", search=0),
            "impulse, 0": ours(0, False), "impulse, 16": ours(16, False),
            "impulse, end known, 16": ours(16), "tones, end known, 0": tones(0), "tones, end known, 8": tones(8),
            "tones, end known, 16": tones(16), "tones, end known, 30": tones(30), "tones, end known, 100": tones(100),
            "tones, end known, 300": tones(300), "griffin_lim's default": lambda: griffin_lim(magnitude, transform)}
    print(f"{len(sounds)} sounds, true magnitudes\n\n| start, iterations | mean dB | worst dB | distance dB | decay dB "
          "| attack ms | pre-echo dB | ms a sound |\n" + "|---" * 8 + "|")
    rows = []
    for name, way in ways.items():
        began = time.process_time()
        found = way()
        spent = (time.process_time() - began) / len(sounds) * 1000
        errors = convergence(found, magnitude, transform).numpy()
        found = found.numpy()
        distance = (levels_db(found, transform) - truth).square().mean((1, 2)).sqrt().mean()
        decay = np.abs(decay_curves(found, transform.fs) - curves).mean()
        moved = np.mean([abs(synthesis.onset_of(sound, transform.fs) - onset)
                         for sound, onset in zip(found, onsets)])
        echo = np.sqrt((found[silent, -last:] ** 2).mean(1)) / peaks[silent]
        rows.append((name, errors.mean(), errors.max(), float(distance), decay, moved / transform.fs * 1000,
                     float(np.median(20 * np.log10(np.maximum(echo, 1e-6)))) if silent.any() else np.nan, spent))
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in rows[-1][1:]) + " |", flush=True)
    return rows


def sound_table(model, sounds, labels):
    """Print table 2 and return its rows."""
    transform, rate = model.transform, model.sound["rate"]
    codes = torch.stack([encode(model, sound, label)[0] for sound, label in zip(sounds, labels.tolist())])
    truth, curves, high = levels_db(sounds, transform), decay_curves(sounds, rate), transform.frequencies > 1000
    drawn = synthesis.magnitudes(model, codes, labels).clamp_min(1e-6).log10().mul(20).clamp(-60, 0)
    distance = (drawn - truth).square().mean((1, 2)).sqrt().mean()
    print(f"\n{len(sounds)} sounds from their codes: the spectrogram decoded is {distance:.1f} dB from the original's, "
          f"flicker {flicker(drawn, transform)[:, high].mean():.1f} for "
          f"{flicker(truth, transform)[:, high].mean():.1f} dB\n\n"
          "| way | distance dB | decay dB | flicker dB | onset ms | DC dB | last sample | level dB | peak |\n"
          + "|---" * 9 + "|")
    ways = {"fast": {}, "fine": {"quality": "fine"}, "fast, no residual noise": {"residual_noise": False},
            "fast, end unknown": {}}
    rows, sound = [], model.sound
    for name, options in ways.items():
        if "unknown" in name:
            model.sound = {key: value for key, value in sound.items() if key != "end"}
        found = synthesis.synthesise(model, codes, torch.as_tensor(labels), **options)
        model.sound = sound
        levels = levels_db(found, transform)
        wanted = np.array(synthesis.target_levels(model))[labels]
        rows.append((name, float((levels - truth).square().mean((1, 2)).sqrt().mean()),
                     np.abs(decay_curves(found, rate) - curves).mean(),
                     float(flicker(levels, transform)[:, high].mean()),
                     max(synthesis.onset_of(one, rate) for one in found) / rate * 1000,
                     20 * np.log10(max(np.abs(found.mean(1)).max(), 1e-15)), np.abs(found[:, -1]).max(),
                     np.abs([level_db(one, rate) - level for one, level in zip(found, wanted)]).max(),
                     np.abs(found).max()))
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in rows[-1][1:]) + " |", flush=True)
    return rows


def speed_table(model, count):
    """Print table 3 and return its rows."""
    def timed(act, times=3):
        """Median wall and processor seconds."""
        act()
        seconds = []
        for _ in range(times):
            began = time.perf_counter(), time.process_time()
            act()
            seconds.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        return np.median(seconds, 0)

    labels = torch.arange(count) % len(INSTRUMENTS)
    codes = random_codes(model, count)
    long = count * model.sound["samples"] / model.sound["rate"]
    rows = [("a kit of eight", *timed(lambda: kits.generate_kit(model, 1)), 8 * long / count)]
    for quality in ("fast", "fine"):
        seconds = timed(lambda: synthesis.synthesise(model, codes, labels, quality=quality))
        rows.append((f"{count} sounds, {quality}", *seconds, long))
    print("\n| what | wall s | processor s | times real time |\n|---|---|---|---|")
    for name, wall, processor, length in rows:
        print(f"| {name} | {wall:.2f} | {processor:.2f} | {length / wall:.1f} |")
    return rows


def main(argv=None):
    """Print the tables as the command line says; returns their rows."""
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="sounds, a subfolder a class")
    parser.add_argument("--run", type=Path, help="a model of train_audio.py: its run folder, or a .pt")
    parser.add_argument("--count", type=number(int, 8), default=64, metavar="N", help="sounds (default: 64)")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the draw (default: 0)")
    parser.add_argument("--tables", type=number(int, 1, 3), nargs="+", default=[1, 2, 3], help="which (default: all)")
    arguments = parser.parse_args(argv)

    warnings.simplefilter("ignore")
    model = load_sound_model(arguments.run) if arguments.run else None
    settings = model.sound["settings"] if model else DEFAULTS
    sounds, labels = draw(arguments.folder, arguments.count, arguments.seed, settings["rate"], settings["seconds"])
    transform = model.transform if model else make_transform(settings, sounds.shape[1])
    rows = [phase_table(sounds, transform)] if 1 in arguments.tables else []
    rows += [sound_table(model, sounds, labels)] if model and 2 in arguments.tables else []
    return rows + ([speed_table(model, arguments.count)] if model and 3 in arguments.tables else [])


if __name__ == "__main__":
    run(main)
