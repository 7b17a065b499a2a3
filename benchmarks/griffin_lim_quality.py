"""Measure how well griffin_lim.py finds lost phases, beside its base rule and beside librosa.

    python benchmarks/griffin_lim_quality.py dataset_audio                     # both tables, about an hour on one core
    python benchmarks/griffin_lim_quality.py dataset_audio --count 24 --no-librosa
    python benchmarks/griffin_lim_quality.py dataset_audio --count 16 --downsample 2 4 10 20
    python benchmarks/griffin_lim_quality.py drum_machines --count 120 --attacks

FOLDER has a subfolder a class. `--count` sounds are drawn by --seed, as many of each class, at 22,050 Hz, padded or cut
(with a 10 ms fade) to half a second.

Table 1, NSGT of 48 bands an octave and STFT (1024, hop 256), 100 iterations: spectral convergence
20 log10(|| |S| - |T(y)| || / ||S||), mean and worst; of every fifth sound after 50 ms of silence, the attack's time
error (where 1 ms of sound first reaches a tenth of the loudest 1 ms; mean, ms) and the pre-echo (the 5 ms before the
original's onset, rms in dB re its peak; mean), with the original's own; seconds a sound.

Table 2, STFT: librosa.griffinlim (in an environment of its own, made once in runs/librosa) with its defaults for 32 and
100 iterations, and ours for the same wall time, measured in one run on one thread, for one sound at a time and for
batches of 64.

Table 3, with --downsample: NSGT magnitudes as audio2nsgt.py -d D keeps them, brought back to full rate: the spectral
convergence of the magnitude that griffin_lim is then given, and of the sound that it finds, to the original's.

Table 4, with --attacks: the attack, in ms, from where the rms of 1 ms first reaches a tenth of its maximum to where it
first reaches nine tenths: the median of each class, original beside found; how far single sounds are off (mean of
|log2((found + 0.5 ms) / (original + 0.5 ms))|); and the convergence. At --rate, of --seconds.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# first: it sets variables that torch reads when it is imported
from command_line import Parser, Progress, number, run

import numpy as np
import torch

from audio2nsgt import block_rms
from formats.audio import SUFFIXES, fit_length, load_audio
from griffin_lim import convergence, full_rate, griffin_lim
from sounds.descriptors import attack_ms
from transforms.nsgt import NSGT
from transforms.scales import OctScale
from transforms.stft import STFT

RATE, LENGTH, LEAD = 22050, 11025, 1102  # Hz, samples, samples of silence before the attack
RULES = {"fast Griffin-Lim, random": dict(search=0, init="random"),
         "Douglas-Rachford + fast Griffin-Lim, zero": dict(init="zero"),
         "the same, gradient": dict(init="gradient"), "from low bands (default)": {}}
LIBROSA = '''
import json, sys, time, warnings
import numpy as np, librosa
warnings.simplefilter("ignore")
sounds = np.load(sys.argv[1])
magnitudes = np.abs(librosa.stft(sounds, n_fft=1024, hop_length=256))
rows = []
for iterations, batch in json.loads(sys.argv[2]):
    parts = [magnitudes[i:i + batch] for i in range(0, len(magnitudes), batch)]
    find = lambda part: librosa.griffinlim(part, n_iter=iterations, n_fft=1024, hop_length=256, length=sounds.shape[1],
                                           random_state=0)
    find(parts[0])
    began = time.perf_counter()
    found = np.concatenate([find(part) for part in parts])
    seconds = time.perf_counter() - began
    got = np.abs(librosa.stft(found, n_fft=1024, hop_length=256))
    norm = lambda x: np.sqrt((x.astype(float) ** 2).sum((1, 2)))
    rows.append([seconds, (20 * np.log10(norm(got - magnitudes) / norm(magnitudes))).tolist()])
print(json.dumps([librosa.__version__, rows]))
'''


def draw(folder, count, seed, rate=RATE, length=LENGTH):
    """`count` sounds, as many of each class of `folder`: float32 (count, length), and their classes, (count,)."""
    classes = [sorted(path for path in part.rglob("*") if path.suffix.lower() in SUFFIXES)
               for part in sorted(folder.iterdir()) if part.is_dir()]
    classes = [files for files in classes if files]
    if not classes:
        raise ValueError(f"{folder}: expected a subfolder of sounds for each class, found none")
    generator, share = np.random.default_rng(seed), -(-count // len(classes))
    chosen = [files[i] for files in classes for i in generator.permutation(len(files))[:share]][:count]
    names = np.array([path.relative_to(folder).parts[0] for path in chosen])
    return np.stack([fit_length(load_audio(path, rate)[0], length) for path in chosen]), names


def attack(original, found):
    """(time errors in ms, pre-echoes of both in dB re the original's peak) of sounds (B, samples)."""
    errors, own, echoes = [], [], []
    for before, after in zip(original, found):
        window = np.ones(RATE // 1000) / (RATE // 1000)
        onsets = []
        for sound in (before, after):
            level = np.sqrt(np.maximum(np.convolve(sound.astype(float) ** 2, window)[:len(sound)], 0))
            onsets.append(np.argmax(level >= 0.1 * level.max()))
        start = max(onsets[0] - len(window) - RATE // 200, 0)
        errors.append(abs(onsets[1] - onsets[0]) / RATE * 1000)
        for sound, list_ in ((before, own), (after, echoes)):
            rms = np.sqrt(np.mean(sound[start:start + RATE // 200].astype(float) ** 2))
            list_.append(20 * np.log10(max(rms / np.abs(before).max(), 1e-5)))
    return np.mean(errors), np.mean(own), np.mean(echoes)


def find(sounds, transform, batch=40, **options):
    """(sounds found (B, samples), convergence in dB (B,), seconds)."""
    began, found, errors = time.perf_counter(), [], []
    for first in Progress(range(0, len(sounds), batch), f"searching, {batch} sounds at a time", "batches"):
        magnitude = transform.forward(torch.as_tensor(sounds[first:first + batch])).abs()
        found.append(griffin_lim(magnitude, transform, **options))
        errors.append(convergence(found[-1], magnitude, transform))
    return torch.cat(found).numpy(), torch.cat(errors).numpy(), time.perf_counter() - began


def rules_table(sounds, names, chosen):
    """Print table 1 and return its rows."""
    warnings.simplefilter("ignore")
    transforms = {"nsgt": NSGT(OctScale(30, 11000, 48), RATE, LENGTH, matrixform=True, dtype="float32"),
                  "stft": STFT(1024, 256, LENGTH)}
    late = sounds[::5]
    late = np.concatenate((np.zeros((len(late), LEAD), np.float32), late), 1)[:, :LENGTH]
    rows = []
    print(f"{len(sounds)} sounds, 100 iterations\n\n| transform | rule, first phase | mean dB | worst dB | attack ms | "
          "pre-echo dB (original) | s a sound |\n|---|---|---|---|---|---|---|")
    for name in names:
        for rule, options in list(RULES.items())[chosen]:
            if rule not in list(RULES)[:2] and name == "stft":
                continue  # for an STFT the default is the rule above
            _, errors, seconds = find(sounds, transforms[name], **options)
            moved, own, echo = attack(late, find(late, transforms[name], **options)[0])
            rows.append((name, rule, errors.mean(), errors.max(), moved, echo, own, seconds / len(sounds)))
            print(f"| {name} | {rule} | {errors.mean():.1f} | {errors.max():.1f} | {moved:.2f} | {echo:.1f} "
                  f"({own:.1f}) | {seconds / len(sounds):.2f} |", flush=True)
    return rows


def librosa_python():
    """The interpreter of an environment with librosa, made in runs/librosa where it is missing."""
    folder = ROOT / "runs" / "librosa"
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making {folder} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "librosa==0.11.0"], check=True)
    return python


def librosa_table(sounds):
    """Print table 2 and return its rows."""
    sounds = sounds[:len(sounds) // 64 * 64 or len(sounds)]
    stored = ROOT / "runs" / "librosa" / "sounds.npy"
    python, cases = librosa_python(), [(32, 1), (100, 1), (32, 64), (100, 64)]
    np.save(stored, sounds)
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    output = subprocess.run([str(python), "-c", LIBROSA, str(stored), json.dumps(cases)], env=environment, check=True,
                            capture_output=True, text=True).stdout
    version, measured = json.loads(output)
    print(f"\n{len(sounds)} sounds, STFT 1024 / 256, one thread; librosa {version}\n\n| sounds at once | librosa "
          "iterations | s | mean dB | worst dB | ours, iterations | s | mean dB | worst dB | better by, dB |\n"
          + "|---" * 10 + "|")
    transform, rows = STFT(1024, 256, LENGTH), []
    for (iterations, batch), (seconds, theirs) in zip(cases, measured):
        find(sounds[:batch], transform, batch, iterations=4)
        trial = find(sounds, transform, batch, iterations=iterations)[2]
        ours = max(1, int(iterations * seconds / trial))
        _, errors, spent = find(sounds, transform, batch, iterations=ours)
        while spent > 1.02 * seconds and ours > 1:
            ours = int(ours * min(seconds / spent, 0.97))
            _, errors, spent = find(sounds, transform, batch, iterations=ours)
        rows.append((batch, iterations, seconds, np.mean(theirs), ours, spent, errors.mean()))
        print(f"| {batch} | {iterations} | {seconds:.1f} | {np.mean(theirs):.1f} | {np.max(theirs):.1f} | {ours} | "
              f"{spent:.1f} | {errors.mean():.1f} | {errors.max():.1f} | "
              f"{np.mean(theirs) - errors.mean():.1f} |", flush=True)
    return rows


def downsample_table(sounds, downsamples):
    """Print table 3 and return its rows."""
    warnings.simplefilter("ignore")
    transform = NSGT(OctScale(30, 11000, 48), RATE, LENGTH, matrixform=True, dtype="float32")
    true, rows = transform.forward(torch.as_tensor(sounds)).abs(), []
    frames = true.shape[-1]
    print(f"{len(sounds)} sounds, {frames} frames\n\n| -d | magnitude at full rate, mean dB | sound found, mean dB | "
          "worst dB |\n|---|---|---|---|")
    for downsample in downsamples:
        full = np.stack([full_rate(block_rms(one, downsample), frames, downsample) for one in true.numpy()])
        given = 20 * ((torch.as_tensor(full) - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)).log10()
        errors = convergence(griffin_lim(full, transform), true, transform)
        rows.append((downsample, float(given.mean()), float(errors.mean()), float(errors.max())))
        print("| {} | {:.1f} | {:.1f} | {:.1f} |".format(*rows[-1]), flush=True)
    return rows


def attacks(sounds, rate):
    """attack_ms of each sound: (B, samples) -> (B,)."""
    return np.array([attack_ms(sound, rate) for sound in sounds])


def attacks_table(sounds, names, rate, chosen):
    """Print table 4 and return its rows: (rule, {class: median in ms}, how far off, mean dB, worst dB)."""
    warnings.simplefilter("ignore")
    transform = NSGT(OctScale(30, rate / 2 * (11000 / 11025), 48), rate, sounds.shape[1], matrixform=True,
                     dtype="float32")
    own, classes, rows = attacks(sounds, rate), list(dict.fromkeys(names)), []

    def show(rule, found, errors, seconds):
        medians = {name: float(np.median(found[names == name])) for name in classes}
        off = float(np.abs(np.log2((found + 0.5) / (own + 0.5))).mean())
        rows.append((rule, medians, off, float(errors.mean()), float(errors.max())))
        print(f"| {rule} | {' | '.join(f'{median:.1f}' for median in medians.values())} | {off:.2f} | "
              f"{errors.mean():.1f} | {errors.max():.1f} | {seconds / len(sounds):.2f} |", flush=True)

    print(f"{len(sounds)} sounds, {rate} Hz: attack 10 to 90 %, median, ms\n\n| phases | {' | '.join(classes)} | off, "
          "octaves | mean dB | worst dB | s a sound |\n" + "|---" * (len(classes) + 5) + "|")
    show("original", own, np.full(1, -np.inf), 0)
    for rule, options in list(RULES.items())[chosen]:
        found, errors, seconds = find(sounds, transform, batch=4, **options)
        show(rule, attacks(found, rate), errors, seconds)
    return rows


def main(argv=None):
    """Print the tables by the options; returns their rows."""
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="sounds, a subfolder a class")
    parser.add_argument("--count", type=number(int, 1), default=200, metavar="N", help="sounds (default: 200)")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the draw (default: 0)")
    parser.add_argument("--transforms", nargs="*", choices=("nsgt", "stft"), default=["nsgt", "stft"],
                        help="rows of table 1 (default: both)")
    parser.add_argument("--rules", nargs=2, type=int, default=(0, 4), metavar="N",
                        help="first row of a transform and the one after the last (default: 0 4)")
    parser.add_argument("--no-librosa", action="store_true", help="leave table 2 out")
    parser.add_argument("--downsample", nargs="+", type=number(int, 1), metavar="D", help="table 3 alone")
    parser.add_argument("--attacks", action="store_true", help="table 4 alone")
    parser.add_argument("--rate", type=number(int, 8000), default=RATE, metavar="HZ", help="table 4 (default: 22050)")
    parser.add_argument("--seconds", type=number(float, 0.05), default=0.5, metavar="S", help="table 4 (default: 0.5)")
    arguments = parser.parse_args(argv)

    torch.set_num_threads(1)
    if arguments.attacks:
        length = round(arguments.rate * arguments.seconds)
        sounds, names = draw(arguments.folder, arguments.count, arguments.seed, arguments.rate, length)
        return attacks_table(sounds, names, arguments.rate, slice(*arguments.rules))
    sounds = draw(arguments.folder, arguments.count, arguments.seed)[0]
    if arguments.downsample:
        return downsample_table(sounds, arguments.downsample)
    rows = rules_table(sounds, arguments.transforms, slice(*arguments.rules)) if arguments.transforms else []
    return rows, [] if arguments.no_librosa else librosa_table(sounds)


if __name__ == "__main__":
    run(main)
