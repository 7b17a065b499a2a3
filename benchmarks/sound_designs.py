"""Ways to make sounds of one trained VAE, beside each other: where codes come from, and where the fine structure does.

    python benchmarks/sound_designs.py runs/audio_0 --kits 40

All share the model, its codes and the measures of evaluate.py, against the machines that its training kept for the
test; none is trained further, each may take as long as a musician waits. The last row is what the project does.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# before anything that imports torch
from command_line import Parser, number, run

import numpy as np
import torch

from formats.activation_matrix import INSTRUMENTS
from formats.checkpoint import load_checkpoint
from sounds import codes, metrics, synthesis
from sounds.dataset import machine_of, split_by_machine
from sounds.spectrograms import coefficients, frame_edges, frame_times, load_spectrograms, spectrogram_of
from transforms.phase_retrieval import fast_griffin_lim

ITERATIONS = 30  # of fast Griffin-Lim, where phases are searched


def normal_codes(model, rows, source):
    """Codes of the prior of the bound: standard normal."""
    return torch.randn(len(rows), model.latent, generator=source)


def class_codes(model, rows, source):
    """Codes of one normal distribution a class."""
    known = model.exemplars
    return known.centres[rows] + known.scales[rows] * torch.randn(len(rows), model.latent, generator=source)


def mixture_codes(model, rows, source, most=8):
    """Codes of a mixture of at most eight normal distributions a class, fitted by scikit-learn."""
    from sklearn.mixture import GaussianMixture

    found, known = torch.empty(len(rows), model.latent), model.exemplars
    for row in rows.unique().tolist():
        members = known.codes[known.labels == row].numpy()
        mixture = GaussianMixture(min(most, len(members) // 10 + 1), covariance_type="diag", reg_covar=1e-3)
        mixture.set_params(random_state=int(source.initial_seed())).fit(members)
        found[rows == row] = torch.from_numpy(mixture.sample(int((rows == row).sum()))[0]).float()
    return found


def exemplar_codes(model, rows, source):
    """Codes beside training codes, each sound with a kit of its own: no two belong together."""
    known = model.exemplars
    return torch.stack([known.draw(int(row), known.draw_kit(source), source) for row in rows])


def white_noise(model, target, kit, code, row, source):
    """White noise through a Gabor multiplier."""
    size = round(model.exemplars.duration_at(code, row).clamp(0.03, model.sound["settings"]["seconds"]).item()
                 * model.sound["rate"])
    hiss = torch.randn(size, generator=source).numpy()
    settings, found = model.sound["settings"], coefficients(hiss, model.sound["settings"])
    gain = target - spectrogram_of(hiss, settings, -120.0, found)
    return synthesis.multiplied(*found, gain.clamp(-90, 20).numpy(), settings)[:size]


def dense_magnitude(model, target, transform):
    """A spectrogram in dB (bands, frames) as magnitudes on the transform's frames, silent before the attack."""
    edges, times = frame_edges(model.sound["settings"]), frame_times(transform)
    place = np.interp(times, (edges[1:] + edges[:-1]) / 2, np.arange(target.shape[1]))
    left = place.astype(int).clip(0, target.shape[1] - 2)
    share = torch.from_numpy((place - left).astype(np.float32))
    dense = target[:, left] * (1 - share) + target[:, left + 1] * share
    return 10 ** (dense / 20) * torch.from_numpy((times > 0).astype(np.float32))


def searched(model, target, first, transform):
    """The signal of a spectrogram whose phases are searched from those of first coefficients."""
    magnitude = dense_magnitude(model, target, transform)[None]
    start = magnitude * torch.exp(1j * torch.angle(first))[None]
    found = fast_griffin_lim(start, magnitude, transform, ITERATIONS)
    return transform.backward(found)[0].numpy()[round(0.02 * transform.fs):].astype(float)


def phases_alone(model, target, kit, code, row, source):
    """The spectrogram decoded, and phases searched from those of white noise."""
    size = round(float(model.exemplars.duration_at(code, row)) * model.sound["rate"])
    hiss = torch.randn(min(size, 60000), generator=source).numpy()
    return searched(model, target, *coefficients(hiss, model.sound["settings"]))[:size]


def residual_components(model, target, kit, code, row, source, count=64):
    """The same with a residual drawn from 64 principal components of those of exemplars, learned over all sounds."""
    if not hasattr(model, "residuals"):
        model.residuals = learn_residuals(model, count)
    mean, axes, deviations = model.residuals
    drawn = mean + (torch.randn(len(deviations), generator=source) * deviations) @ axes
    return phases_alone(model, target + drawn.view(target.shape), kit, code, row, source)


def learn_residuals(model, count, most=400):
    """Mean, principal axes and deviations of exemplars' residuals, spectrograms less what is decoded for them."""
    residuals = []
    for place in range(0, len(model.exemplars.kept), max(1, len(model.exemplars.kept) // most)):
        weights = codes.class_weights(int(model.exemplars.labels[model.exemplars.kept[place]]), 1)[0]
        samples = model.exemplars.samples(place)
        own, found = synthesis.what_is_decoded(model, samples, weights)
        seen = spectrogram_of(samples, model.sound["settings"], model.sound["floor_db"], found)
        residuals.append((seen - own).flatten())
    residuals = torch.stack(residuals)
    _, sizes, axes = torch.svd_lowrank(residuals - residuals.mean(0), count)
    return residuals.mean(0), axes.T, sizes / len(residuals) ** 0.5


def residual_of_exemplar(model, target, kit, code, row, source):
    """The residual of an exemplar laid on the spectrogram decoded; phases searched from the exemplar's."""
    chosen = synthesis.choose_exemplar(model, target, code, row, kit, source)
    own, found = synthesis.what_is_decoded(model, chosen.samples, codes.class_weights(chosen.label, 1)[0])
    seen = spectrogram_of(chosen.samples, model.sound["settings"], model.sound["floor_db"], found)
    return searched(model, target + seen - own, *found)[:len(chosen.samples)]


def multiplier(model, target, kit, code, row, source):
    """An exemplar through a Gabor multiplier, transposed, its attack held: what the project does."""
    return synthesis.moved_to(model, target, synthesis.choose_exemplar(model, target, code, row, kit, source))


ROWS = {"codes standard normal; multiplier": (normal_codes, multiplier),
        "codes of one normal a class; multiplier": (class_codes, multiplier),
        "codes of a mixture a class; multiplier": (mixture_codes, multiplier),
        "codes beside training codes, no kits; multiplier": (exemplar_codes, multiplier),
        "codes of kits; decoded spectrogram, phases searched": (None, phases_alone),
        "codes of kits; residual of 64 components, phases searched": (None, residual_components),
        "codes of kits; white noise through a multiplier": (None, white_noise),
        "codes of kits; residual of an exemplar, phases searched from its own": (None, residual_of_exemplar),
        "codes of kits; exemplar through a multiplier (ours)": (None, multiplier)}


@torch.inference_mode()
def make(model, kits, draw_codes, way, seed=0):
    """The sounds of so many kits by one row: (waves, labels, kit of each)."""
    numbers = torch.arange(len(INSTRUMENTS) * kits)
    rows, source = numbers % len(INSTRUMENTS), torch.Generator().manual_seed(seed)
    drawn, kit_codes = codes.random_codes(model, numbers.tolist(), seed)
    if draw_codes:
        drawn, kit_codes = draw_codes(model, rows, source), [None] * len(rows)
    waves, levels = [], synthesis.target_levels(model)
    for code, kit, row in zip(drawn, kit_codes, rows.tolist()):
        target = synthesis.decode(model, code, codes.class_weights(row, 1)[0])
        waves.append(synthesis.finish(way(model, target, kit, code, row, source), model.sound["rate"], levels[row]))
    return waves, rows.numpy(), (numbers // len(INSTRUMENTS)).numpy()


def main(argv=None):
    """Print a row a design; returns them."""
    parser = Parser(__doc__)
    parser.add_argument("run", type=Path, help="a run folder of train_audio.py")
    parser.add_argument("--kits", type=number(int, 8), default=40, help="of eight sounds each, a row (default: 40)")
    parser.add_argument("--only", type=number(int, 1, len(ROWS)), nargs="+", help="these rows")
    arguments = parser.parse_args(argv)
    model, trained = codes.load_sound_model(arguments.run), load_checkpoint(arguments.run)["arguments"]
    data = load_spectrograms(trained["data"], model.sound["settings"])
    sides = split_by_machine(data["names"], trained["fold"])
    machines = np.array([machine_of(name) for name in data["names"]])
    known = np.concatenate([sides["train"], sides["validation"]])

    def sounds_at(index):
        return metrics.load_waves([data["paths"][i] for i in index]), data["labels"][index].astype(int), machines[index]

    judge = metrics.Judge(*sounds_at(known))
    real = judge.see(*sounds_at(sides["test"]))
    print("| design | FD, times that of training sounds | AUC | precision, recall | class right (real) | kit coherence "
          "| attack of snares, ms | flatness of cymbals, dB |\n" + "|---" * 8 + "|")
    rows = []
    for name in [list(ROWS)[i - 1] for i in arguments.only or range(1, len(ROWS) + 1)]:
        found = judge.compare(judge.see(*make(model, arguments.kits, *ROWS[name]), "made"), real)
        rows.append((name, found))
        print(f"| {name} | {row_of(found)} |", flush=True)
    return rows


def row_of(found):
    """The cells of a row."""
    described, right = found["descriptors"]["made"], found["named_right"]
    return " | ".join((f"{found['frechet']['ratio']:.2f}", f"{found['auc']['made']:.2f}",
                       f"{found['precision']['made']:.2f}, {found['recall']['made']:.2f}",
                       f"{right['made']['all']:.0%} ({right['real']['all']:.0%})", f"{found['coherence']['made']:.2f}",
                       f"{described['attack_ms'][INSTRUMENTS.index('Snare')]:.1f}",
                       f"{described['flatness_db'][INSTRUMENTS.index('Cymb')]:.1f}"))


if __name__ == "__main__":
    run(main)
