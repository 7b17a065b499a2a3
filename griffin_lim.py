"""Find a sound of which only the magnitudes of a transform are left: search for the phases.

    python griffin_lim.py dataset_audio/kit/Snare.wav -o snare.wav --plot snare.png   # phase thrown away and rebuilt
    python griffin_lim.py results/kit/Snare.npy -o snare.wav                          # from an .npy of audio2nsgt.py
    python griffin_lim.py dataset_audio/kit/Snare.wav -o snare.wav --transform stft --fft_size 1024 --hop 256
"""

import sys
import warnings
from pathlib import Path

# first: it sets variables that torch reads when it is imported
from command_line import Parser, Progress, number, replacing, run

import numpy as np
import torch
from matplotlib.figure import Figure

from audio2nsgt import load_transform, make_transform
from formats.audio import load_audio, save_audio
from transforms import phase_retrieval
from transforms.nsgt import NSGT
from transforms.phase_gradient import gradient_phase
from transforms.scales import OctScale
from transforms.stft import STFT

INITS = ("coarse", "gradient", "zero", "random")


def griffin_lim(magnitude, transform, iterations=100, momentum=0.99, init="coarse", seed=0, search=None, progress=None):
    """The signal whose transform has the given magnitude, as nearly as can be found.

    From first phases, Douglas-Rachford, which leaves bad minima; then fast Griffin-Lim, which reaches the minimum at
    hand: see `transforms.phase_retrieval`.

    Args:
        magnitude: shape (bands, frames) or (B, bands, frames), not negative.
        transform: an STFT, or an NSGT in matrix form.
        iterations: of both rules, each one inverse and one transform.
        momentum: of fast Griffin-Lim.
        init: the first phases: "zero", as of an impulse at sample 0; "random"; or, for an NSGT, "gradient", which the
            slopes of the magnitude imply, or "coarse", found from the low bands upwards, work besides the iterations;
            for other transforms both are "zero".
        seed: of the random phases, the same for every sound of a batch.
        search: the share of the iterations by Douglas-Rachford; 0 is plain fast Griffin-Lim; None: 0 after a coarse
            start, else a half.
        progress: called after each iteration with the spectral convergence of the batch in dB. A coarse start then
            shows on stderr how far it is.
    Returns:
        A tensor of shape (samples,) or (B, samples).
    Raises:
        ValueError: naming the argument, where the magnitude has another shape or is not finite.
    """
    if init not in INITS:
        raise ValueError(f"init: expected one of {', '.join(INITS)}, found {init!r}")
    magnitude = torch.as_tensor(magnitude, dtype=transform.dtype, device=transform.device)
    if magnitude.ndim not in (2, 3) or not torch.isfinite(magnitude).all() or (magnitude < 0).any():
        raise ValueError("magnitude: expected finite values of at least 0, of shape (bands, frames) or (B, bands, "
                         f"frames), found shape {tuple(magnitude.shape)} or others")
    if init in ("coarse", "gradient") and not (isinstance(transform, NSGT) and transform.real):
        init = "zero"
    batch = magnitude.reshape(-1, *magnitude.shape[-2:])                        # (B, bands, frames)
    level = batch.amax((-2, -1), keepdim=True).clamp_min(1e-30)                 # (B, 1, 1)
    batch = batch / level  # so that nothing depends on it
    first = round(iterations * (search if search is not None else 0 if init == "coarse" else 0.5))
    with torch.no_grad():
        if init == "coarse":
            c = phase_retrieval.low_band_start(batch, transform, seed=seed, show=progress is not None)
        else:
            c = start(batch, transform, init, seed)
        # on a processor, a few sounds at a time stay in its cache
        size = max(1, 2**18 // c[0].numel()) if c.device.type == "cpu" and not progress else len(c)
        found = []
        for part, wanted in zip(c.split(size), batch.split(size)):
            part = phase_retrieval.douglas_rachford(part, wanted, transform, first, progress)
            part = phase_retrieval.fast_griffin_lim(part, wanted, transform, iterations - first, momentum, progress)
            found.append(transform.backward(part))
        return (torch.cat(found) * level[..., 0]).view(*magnitude.shape[:-2], -1)


def start(magnitude, transform, init, seed=0):
    """The first coefficients for init "gradient", "zero" or "random", of the right magnitude: see griffin_lim."""
    if init == "gradient":
        return magnitude * gradient_phase(magnitude, transform.centres, transform.widths)
    if init == "random":
        generator = torch.Generator().manual_seed(seed)
        cycles = torch.rand(magnitude.shape[-2:], dtype=torch.float64, generator=generator).to(magnitude)
        return torch.polar(magnitude, (2 * torch.pi * cycles).expand_as(magnitude).contiguous())
    if isinstance(transform, STFT):  # frames count time from their own beginning
        bins = torch.arange(magnitude.shape[-2], device=magnitude.device)[:, None]
        return magnitude * torch.exp(-1j * torch.pi * bins).to(transform.window.dtype.to_complex())
    return magnitude + 0j


def convergence(signal, magnitude, transform):
    """Spectral convergence in dB, 20 log10(|| |c| - magnitude || / ||magnitude||), of each sound; -inf for silence."""
    got = transform.forward(signal).abs()
    error = (got - magnitude).flatten(-2).norm(dim=-1) / magnitude.flatten(-2).norm(dim=-1).clamp_min(1e-30)
    return 20 * error.log10()


def full_rate(blocks, frames, downsample):
    """Magnitudes of every frame, from the root mean squares of blocks of `downsample` frames.

    Between the middles of blocks it is exponential in time, as decays are; then each block is scaled to its own root
    mean square again, so that no energy moves from block to block. (bands, blocks) -> float32 (bands, frames)
    """
    starts = np.arange(0, frames, downsample)
    sizes = np.diff(starts, append=frames)
    middles = starts + (sizes - 1) / 2
    floor = 1e-6 * max(blocks.max(initial=0), 1e-30)
    log = np.log(np.maximum(blocks, floor))
    full = np.exp([np.interp(np.arange(frames), middles, row) for row in log])  # (bands, frames)
    power = np.add.reduceat(full**2, starts, axis=1) / sizes
    return (full * np.repeat(blocks / np.sqrt(power), sizes, axis=1)).astype(np.float32)


def make_parser():
    """The options of the command."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("input", type=Path, metavar="IN", help="a sound, or an .npy of audio2nsgt.py")
    add("-o", "--output", type=Path, required=True, metavar="OUT.wav", help="the sound to write")
    add("--transform", choices=("nsgt", "stft"), default="nsgt", help="for a sound (default: nsgt)")
    add("--bins", type=number(int, 1), default=48, metavar="N", help="nsgt: bands an octave (default: 48)")
    add("--fft_size", type=number(int, 2), default=1024, metavar="N", help="stft, in samples (default: 1024)")
    add("--hop", type=number(int, 1), default=256, metavar="N", help="stft, in samples (default: 256)")
    add("--iterations", type=number(int, 0), default=100, metavar="N", help="default: 100")
    add("--init", choices=INITS, default="coarse", help="the first phases (default: coarse)")
    add("--seed", type=number(int, 0, 2**32 - 1), default=0, help="of random phases (default: 0)")
    add("--device", default="cpu", help="torch device (default: cpu)")
    add("--plot", type=Path, metavar="FILE", help="draw both magnitudes and the convergence (.png .pdf .svg)")
    return parser


def magnitude_of_file(path, device):
    """Of an .npy of audio2nsgt.py: (magnitude (bands, frames) at every frame, transform, sample rate in Hz)."""
    content, settings, samples = load_transform(path)                           # (frames or blocks, bands)
    transform = make_transform(settings, samples, device)
    bands, frames = len(transform.frequencies), int(transform.frames[0])
    expected = (-(-frames // settings["downsample"]), bands)
    if content.shape != expected:
        raise ValueError(f"{path}: expected shape {expected} after its nsgt.json, found {content.shape}")
    magnitude = np.abs(content.T)                                               # (bands, frames or blocks)
    if settings["downsample"] > 1:
        magnitude = full_rate(magnitude, frames, settings["downsample"])        # (bands, frames)
    return torch.as_tensor(magnitude, device=device), transform, settings["rate"]


def magnitude_of_sound(arguments):
    """Of a sound, by the options: (magnitude (bands, frames), transform, sample rate in Hz)."""
    signal, rate = load_audio(arguments.input)
    if arguments.transform == "stft":
        transform = STFT(arguments.fft_size, arguments.hop, len(signal), device=arguments.device)
    else:
        # up to just below Nyquist, as the classic 11,000 Hz at 22,050: a gap would be one band of very many frames
        scale = OctScale(min(30.0, rate / 8), rate / 2 * (11000 / 11025), arguments.bins)
        with warnings.catch_warnings(action="ignore"):  # windows widened at low frequencies do no harm
            transform = NSGT(scale, rate, len(signal), matrixform=True, dtype="float32", device=arguments.device)
    return transform.forward(torch.as_tensor(signal, device=arguments.device)).abs(), transform, rate


def main(argv=None):
    """Rebuild a sound by the options; returns {"convergence": dB, "samples": array, "rate": Hz}."""
    arguments = make_parser().parse_args(argv)
    torch.set_num_threads(1)  # one sound is too small to share: more threads would wait for each other
    if arguments.input.suffix == ".npy":
        magnitude, transform, rate = magnitude_of_file(arguments.input, arguments.device)
    else:
        magnitude, transform, rate = magnitude_of_sound(arguments)
    curve = []
    with Progress(what="searching for phases", unit="iterations", total=arguments.iterations) as bar:
        result = griffin_lim(magnitude, transform, arguments.iterations, init=arguments.init, seed=arguments.seed,
                             progress=lambda error: (curve.append(error), bar.update()))
    final = float(convergence(result, magnitude, transform))
    samples = result.cpu().numpy()
    peak = float(np.abs(samples).max())
    if peak > 1:
        print(f"{arguments.output}: peak {peak:.3f}, written as 32-bit float: nothing is clipped", file=sys.stderr)
    save_audio(arguments.output, samples, rate, subtype="FLOAT" if peak > 1 else "PCM_24")
    print(f"{arguments.output}: spectral convergence {final:.1f} dB after {arguments.iterations} iterations")
    if arguments.plot:
        found = transform.forward(result).abs()
        plot(magnitude.cpu().numpy(), found.cpu().numpy(), transform, rate, curve, arguments.plot)
    return {"convergence": final, "samples": samples, "rate": rate}


def plot(before, after, transform, rate, curve, path):
    """Draw the magnitudes asked for and found, in dB, and the convergence by iteration, into a file."""
    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots(3, 1, height_ratios=(2, 2, 1))
    is_nsgt = isinstance(transform, NSGT)
    centres = transform.frequencies if is_nsgt else np.linspace(0, rate / 2, len(before))
    for axis, magnitude, title in zip(axes, (before, after), ("magnitude asked for", "magnitude of the sound found")):
        level = 20 * np.log10(np.maximum(magnitude / max(before.max(), 1e-30), 1e-5))
        times = np.linspace(0, transform.Ls / rate, magnitude.shape[1])
        image = axis.pcolormesh(times, centres[1:], level[1:], cmap="magma", vmin=-100, vmax=0, rasterized=True)
        axis.set(title=title, ylabel="frequency (Hz)", yscale="log" if is_nsgt else "linear")
        figure.colorbar(image, ax=axis, label="dB re maximum")
    axes[1].set_xlabel("time (s)")
    axes[2].plot(np.arange(1, len(curve) + 1), curve)
    axes[2].set(xlabel="iteration", ylabel="convergence (dB)")
    axes[2].grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


if __name__ == "__main__":
    run(main)
