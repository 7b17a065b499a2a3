"""Find the phase that a magnitude has lost, so that it can be heard.

    python griffin_lim.py dataset_audio/kit/Snare.wav -o snare.wav --plot snare.png   # phase thrown away and rebuilt
    python griffin_lim.py results/kit/Snare.npy -o snare.wav                          # from an audio2nsgt.py picture
    python griffin_lim.py dataset_audio/kit/Snare.wav -o snare.wav --transform stft --fft_size 1024 --hop 256
"""

import sys
import warnings
from pathlib import Path

import numpy as np

from audio2nsgt import NSGT, OctScale, load_audio, load_transform, make_transform, save_audio
from command_line import Parser, number, replacing, run

INITS = ("coarse", "zero", "random")


class STFT:
    """The short-time Fourier transform, after a Hann window, of sounds of a fixed length; a pair like NSGT.

    Frames are centred on the samples 0, hop, 2 hop, ...; beyond its ends the signal is silent, as with
    librosa.stft(pad_mode="constant"). `backward` is the least-squares inverse, exact for what `forward` gives.

    Args:
        fft_size: samples of a window.
        hop: samples from window to window, at most half of fft_size.
        Ls: length of the signals in samples.
        dtype: float32 or float64, torch's or NumPy's.
        device: the torch device that coefficients and signals live on.

    Raises:
        ValueError: naming the argument out of its range.
    """

    def __init__(self, fft_size, hop, Ls, dtype="float32", device="cpu"):
        import torch

        if not 2 <= fft_size == int(fft_size):
            raise ValueError(f"fft_size: expected at least 2 samples, found {fft_size}")
        if not 1 <= hop <= fft_size / 2 or hop != int(hop):
            raise ValueError(f"hop: expected 1 to {fft_size // 2} samples (half of fft_size), found {hop}")
        if not Ls >= 1:
            raise ValueError(f"Ls: expected at least 1 sample, found {Ls}")
        self.fft_size, self.hop, self.Ls = int(fft_size), int(hop), int(Ls)
        self.frames = 1 + self.Ls // self.hop
        dtype = dtype if isinstance(dtype, torch.dtype) else getattr(torch, np.dtype(dtype).name)
        self.dtype, self.device = dtype, torch.device(device)
        self.window = torch.hann_window(self.fft_size, dtype=torch.float64)
        weight = self._overlap_add((self.window**2).expand(1, self.frames, -1))
        self.window = self.window.to(self.device, dtype)
        self.weight = weight.clamp_min(1e-9).to(self.device, dtype)  # sum of the squared windows at each sample

    def forward(self, signal):
        """Signals (samples,) or (B, samples) to complex (bins, frames) or (B, bins, frames)."""
        import torch

        signal = torch.as_tensor(signal, dtype=self.dtype, device=self.device)
        if signal.ndim not in (1, 2) or signal.shape[-1] != self.Ls:
            raise ValueError(f"signal: expected shape ({self.Ls},) or (B, {self.Ls}), found {tuple(signal.shape)}")
        padded = torch.nn.functional.pad(signal, (self.fft_size // 2, self.fft_size))
        frames = padded.unfold(-1, self.fft_size, self.hop)[..., :self.frames, :]  # (..., frames, fft_size)
        return torch.fft.rfft(frames * self.window).mT

    def backward(self, coefficients):
        """Complex (bins, frames) or (B, bins, frames) to signals of the nearest STFT, (samples,) or (B, samples)."""
        import torch

        shape = (self.fft_size // 2 + 1, self.frames)
        if coefficients.ndim not in (2, 3) or coefficients.shape[-2:] != shape:
            raise ValueError(f"coefficients: expected shape {shape} or (B, {shape[0]}, {shape[1]}), found "
                             f"{tuple(coefficients.shape)}")
        frames = torch.fft.irfft(coefficients.mT, n=self.fft_size).mul_(self.window)
        signal = self._overlap_add(frames.reshape(-1, *frames.shape[-2:])) / self.weight
        return signal.view(*coefficients.shape[:-2], self.Ls)

    def _overlap_add(self, frames):
        """Windows (B, frames, fft_size) added up to signals (B, samples)."""
        import torch

        parts = -(-self.fft_size // self.hop)
        frames = torch.nn.functional.pad(frames, (0, parts * self.hop - self.fft_size))
        frames = frames.view(len(frames), self.frames, parts, self.hop)
        total = frames.new_zeros(len(frames), self.frames + parts, self.hop)
        for part in range(parts):
            total[:, part:part + self.frames] += frames[:, :, part]
        return total.view(len(frames), -1)[:, self.fft_size // 2:self.fft_size // 2 + self.Ls]


def griffin_lim(magnitude, transform, iterations=100, momentum=0.99, init="coarse", seed=0, search=0.5, effort=1,
                progress=None):
    """The signal whose transform has the given magnitude, as nearly as can be found.

    Two sets are to meet: coefficients of signals, and coefficients of the right magnitude. Projections on them are
    P(c) = forward(backward(c)) and M(c) = magnitude c / |c|. First a search by the Douglas-Rachford rule (the
    difference map with beta = 1; Elser, Rankenburg and Thibault 2007), which leaves bad minima,

        c <- c + P(2 M(c) - c) - M(c)

    then fast Griffin-Lim (Perraudin, Balazs and Soendergaard 2013), which settles in the one at hand,

        t' = P(c),  c <- M(t' + momentum (t' - t)),  t = t'

    Args:
        magnitude: shape (bands, frames) or (B, bands, frames), not negative.
        transform: a pair with `forward` and `backward`, as STFT, or NSGT in matrix form with all its bands.
        iterations: of either rule, each one way there and back.
        momentum: of fast Griffin-Lim.
        init: the first phase: "zero", as of an impulse at the beginning, where an NSGT has its reference (for STFT: at
            the beginning too); "random"; or "coarse", for an NSGT: the phases found for the octaves from below, one
            by one, in small transforms (`NSGT.below`); for other transforms it is "zero".
        seed: of the random phases, which are the same for every sound of a batch: a sound's result does not depend on
            its company.
        effort: of the coarse start: a factor on its iterations, whose work at 1 is that of some 1,000 at full size.
        search: the share of the iterations that search; 0 is plain fast Griffin-Lim.
        progress: called in each iteration with its number and the spectral convergence of the batch, in dB.

    Returns:
        A tensor of shape (samples,) or (B, samples).

    Raises:
        ValueError: naming the argument, where the magnitude has another shape or is not finite.
    """
    import torch

    if init not in INITS:
        raise ValueError(f"init: expected one of {', '.join(INITS)}, found {init!r}")
    magnitude = torch.as_tensor(magnitude, dtype=transform.dtype, device=transform.device)
    if magnitude.ndim not in (2, 3) or not torch.isfinite(magnitude).all() or (magnitude < 0).any():
        raise ValueError("magnitude: expected finite values of at least 0, of shape (bands, frames) or (B, bands, "
                         f"frames), found shape {tuple(magnitude.shape)} or others")
    batch = magnitude.reshape(-1, *magnitude.shape[-2:])
    level = batch.amax((-2, -1), keepdim=True).clamp_min(1e-30)
    batch = batch / level  # so that nothing depends on it
    searches = round(iterations * search)
    with torch.no_grad():
        c = start(batch, transform, init, seed, effort)
        c = _refine(c, batch, transform, searches, iterations - searches, momentum, progress)
        return (transform.backward(c) * level[..., 0]).view(*magnitude.shape[:-2], -1)


def _refine(c, magnitude, transform, searches, settles, momentum=0.99, progress=None):
    """Iterations of both rules, on a processor for a few sounds at a time, which stay in its cache."""
    import torch

    small = c.device.type == "cpu" and not progress
    size = max(1, 2**18 // c[0].numel()) if small else len(c)
    found = []
    for part, wanted in zip(c.split(size), magnitude.split(size)):
        part = _search(part, wanted, transform, searches, progress)
        found.append(_settle(part, wanted, transform, settles, momentum, progress, searches))
    return torch.cat(found)


def _impose(magnitude, c, out=None):
    """M(c): coefficients of the given magnitude in place of their own; bands beyond those of `magnitude` are free."""
    import torch

    bands = magnitude.shape[-2]
    out = torch.empty_like(c) if out is None else out
    inner = c[..., :bands, :]
    gain = torch.mul(inner, inner.conj()).real.add(1e-30).rsqrt_().mul_(magnitude)  # three times as fast as by abs()
    torch.mul(inner, gain, out=out[..., :bands, :])
    if bands < c.shape[-2]:
        out[..., bands:, :] = c[..., bands:, :]
    return out


# The two rules work in place: fresh memory for every step would cost more than the arithmetic.


def _search(c, magnitude, transform, iterations, progress=None):
    """Douglas-Rachford iterations; returns coefficients of the right magnitude."""
    import torch

    c, imposed, reflected = c.clone(), torch.empty_like(c), torch.empty_like(c)
    for iteration in range(iterations):
        _impose(magnitude, c, out=imposed)
        torch.mul(imposed, 2, out=reflected).sub_(c)
        possible = transform.forward(transform.backward(reflected))
        c.add_(possible).sub_(imposed)
        if progress:
            progress(iteration, _error(possible, magnitude))
    return _impose(magnitude, c, out=imposed)


def _settle(c, magnitude, transform, iterations, momentum, progress=None, done=0):
    """Fast Griffin-Lim iterations; returns coefficients of the right magnitude."""
    import torch

    c, ahead, before = c.clone(), torch.empty_like(c), None
    for iteration in range(iterations):
        possible = transform.forward(transform.backward(c))
        if before is None:
            ahead.copy_(possible)
        else:
            torch.sub(possible, before, out=ahead).mul_(momentum).add_(possible)
        before = possible
        _impose(magnitude, ahead, out=c)
        if progress:
            progress(done + iteration, _error(possible, magnitude))
    return c


def start(magnitude, transform, init, seed=0, effort=1):
    """The first coefficients, of the right magnitude: see griffin_lim."""
    import torch

    if init == "random":
        generator = torch.Generator().manual_seed(seed)
        turns = torch.rand(magnitude.shape[-2:], dtype=torch.float64, generator=generator).to(magnitude)
        return torch.polar(magnitude, (2 * torch.pi * turns).expand_as(magnitude).contiguous())
    if init == "coarse" and isinstance(transform, NSGT) and transform.reducedform == 0 and transform.real:
        return _coarse_start(magnitude, transform, effort)
    if isinstance(transform, STFT):  # frames count time from their own beginning
        bins = torch.arange(magnitude.shape[-2], device=magnitude.device)[:, None]
        return magnitude * torch.exp(-1j * torch.pi * bins).to(transform.window.dtype.to_complex())
    return magnitude + 0j


# Parts of the frequency range that are solved one after the other, and iterations there. Few bands and few frames make
# the low ones cheap; the high ones come in steps of a quarter of an octave.
SCHEDULE = ((64, 500), (45, 300), (32, 300), (22, 300), (16, 300), (11, 300), (8, 300), (5.6, 300), (4.76, 150),
            (4, 150), (3.36, 150), (2.83, 150), (2.38, 150), (2, 150), (1.68, 150), (1.41, 150), (1.19, 150))


def _coarse_start(magnitude, transform, effort):
    """Phases found octave by octave from below, each a small problem that the octaves below have nearly solved."""
    import torch

    batch = magnitude.reshape(-1, *magnitude.shape[-2:])
    frames = batch.shape[-1]
    power = torch.fft.rfft(batch.square())  # |c|^2 is a short series in time: it can be read between the frames
    order = torch.arange(power.shape[-1], device=power.device)
    power *= torch.where((order > 0) & (2 * order < frames), 2.0, 1.0)  # orders that stand for their negative too
    spectrum, known = None, 0
    for part, iterations in SCHEDULE:
        small = transform.below(transform.frequencies[-2] / part)
        if small is None:
            continue
        count, bands = int(small.frames[0]), len(small.frequencies) - 2  # its two highest bands are others
        turns = order[:, None] * torch.arange(count, device=power.device) % count / count
        waves = torch.exp(2j * torch.pi * turns).to(power)  # (orders, count)
        wanted = (power[:, :bands] @ waves).real.clamp_min(0).sqrt() * (frames**0.5 / count)
        c = _extend(spectrum, known, wanted, small)
        searches = round(0.75 * effort * iterations)
        c = _refine(c, wanted, small, searches, round(effort * iterations) - searches)
        spectrum, known = torch.fft.rfft(small.backward(c)), bands
    return _extend(spectrum, known, batch, transform).view(magnitude.shape)


def _extend(spectrum, known, magnitude, transform):
    """Coefficients with the phases of a low spectrum in the first `known` bands, and phase 0 above."""
    import torch

    bands = len(transform.frequencies)
    free = magnitude.new_zeros(len(magnitude), bands - magnitude.shape[1], magnitude.shape[2])
    c = torch.cat((magnitude, free), 1) + 0j
    if known:
        count = min(spectrum.shape[1] - 1, transform.Ls // 2)
        wide = spectrum.new_zeros(len(spectrum), transform.Ls // 2 + 1)
        wide[:, :count] = spectrum[:, :count]
        low = transform.forward(torch.fft.irfft(wide, n=transform.Ls))[:, :known]
        c[:, :known] = _impose(magnitude[:, :known], low)
    return c


def convergence(signal, magnitude, transform):
    """Spectral convergence in dB, 20 log10(|| |c| - magnitude || / ||magnitude||), of each sound; -inf for silence."""
    got = transform.forward(signal).abs()
    error = (got - magnitude).flatten(-2).norm(dim=-1) / magnitude.flatten(-2).norm(dim=-1).clamp_min(1e-30)
    return 20 * error.log10()


def _error(coefficients, magnitude):
    """Spectral convergence of a whole batch in dB, a number."""
    return 20 * float(((coefficients.abs() - magnitude).norm() / magnitude.norm().clamp_min(1e-30)).log10())


def full_rate(blocks, frames, downsample):
    """Magnitudes of every frame, from the root mean squares of blocks of `downsample` frames.

    Args:
        blocks: shape (bands, blocks).
        frames, downsample: of the transform, and frames a block.

    Returns:
        Shape (bands, frames), float32: between the middles of blocks the magnitude is exponential in time, as decays
        are; then each block is scaled to its own root mean square again, so that no energy moves from block to block.
    """
    starts = np.arange(0, frames, downsample)
    sizes = np.diff(starts, append=frames)
    middles = starts + (sizes - 1) / 2
    floor = 1e-6 * max(blocks.max(initial=0), 1e-30)
    log = np.log(np.maximum(blocks, floor))
    full = np.exp([np.interp(np.arange(frames), middles, row) for row in log])  # (bands, frames)
    power = np.add.reduceat(full**2, starts, axis=1) / sizes
    return (full * np.repeat(blocks / np.sqrt(power), sizes, axis=1)).astype(np.float32)


def main(argv=None):
    """Rebuild a sound as the command line says; returns {"convergence": dB, "samples": array, "rate": Hz}."""
    parser = Parser(__doc__)
    parser.add_argument("input", type=Path, metavar="IN", help="a sound, or an .npy of audio2nsgt.py")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.wav", help="the sound to write")
    parser.add_argument("--transform", choices=("nsgt", "stft"), default="nsgt", help="for a sound (default: nsgt)")
    parser.add_argument("--bins", type=number(int, 1), default=48, metavar="N",
                        help="nsgt: bands an octave (default: 48)")
    parser.add_argument("--fft_size", type=number(int, 2), default=1024, metavar="N",
                        help="stft, in samples (default: 1024)")
    parser.add_argument("--hop", type=number(int, 1), default=256, metavar="N", help="stft, in samples (default: 256)")
    parser.add_argument("--iterations", type=number(int, 0), default=100, metavar="N", help="default: 100")
    parser.add_argument("--init", choices=INITS, default="coarse", help="the first phase (default: coarse)")
    parser.add_argument("--effort", type=number(float, 0.01, 100), default=1.0, metavar="X",
                        help="of --init coarse: a factor on its work (default: 1)")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of --init random (default: 0)")
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    parser.add_argument("--plot", type=Path, metavar="FILE",
                        help="draw both pictures and the convergence (.png .pdf .svg)")
    arguments = parser.parse_args(argv)

    import torch  # after the options: --help answers at once
    from tqdm import tqdm

    torch.set_num_threads(1)  # one sound is too small to share: more threads would wait for each other
    if arguments.input.suffix == ".npy":
        picture, settings, samples = load_transform(arguments.input)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when the file was made
            transform, rate = make_transform(settings, samples, device=arguments.device), settings["rate"]
        magnitude = np.abs(picture.T)  # (bands, frames or blocks)
        bands, frames = len(transform.frequencies), int(transform.frames[0])
        expected = (bands, -(-frames // settings["downsample"]))
        if magnitude.shape != expected:
            raise ValueError(f"{arguments.input}: expected shape {expected[::-1]} after its nsgt.json, found "
                             f"{magnitude.T.shape}")
        if settings["downsample"] > 1:
            magnitude = full_rate(magnitude, frames, settings["downsample"])
        magnitude = torch.as_tensor(magnitude, device=arguments.device)
    else:
        signal, rate = load_audio(arguments.input)
        samples = len(signal)
        if arguments.transform == "stft":
            transform = STFT(arguments.fft_size, arguments.hop, samples, device=arguments.device)
        else:
            # up to just below Nyquist, as the classic 11,000 Hz at 22,050: a gap would be one band of very many frames
            scale = OctScale(min(30.0, rate / 8), rate / 2 * (11000 / 11025), arguments.bins)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # windows widened at low frequencies do no harm on the way back
                transform = NSGT(scale, rate, samples, matrixform=True, dtype="float32", device=arguments.device)
        magnitude = transform.forward(torch.as_tensor(signal, device=arguments.device)).abs()

    curve = []
    with tqdm(total=arguments.iterations, desc="after the start", unit="iteration", disable=None) as bar:

        def progress(iteration, error):
            curve.append(error)
            bar.update()

        result = griffin_lim(magnitude, transform, arguments.iterations, init=arguments.init, seed=arguments.seed,
                             effort=arguments.effort, progress=progress)
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
    """Draw the magnitude asked for, the one found, both in dB, and the convergence by iteration, into a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots(3, 1, height_ratios=(2, 2, 1))
    top = max(before.max(), 1e-30)
    is_nsgt = isinstance(transform, NSGT)
    centres = transform.frequencies if is_nsgt else np.linspace(0, rate / 2, len(before))
    times = np.linspace(0, transform.Ls / rate, before.shape[1])
    for axis, picture, title in zip(axes, (before, after), ("magnitude asked for", "magnitude of the sound found")):
        level = 20 * np.log10(np.maximum(picture / top, 1e-5))
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
