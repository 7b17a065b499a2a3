"""Phase retrieval: Douglas-Rachford, fast Griffin-Lim, and first phases found from the low bands upwards.

    c = low_band_start(magnitude, transform)                        # complex (B, bands, frames), of an NSGT
    c = douglas_rachford(c, magnitude, transform, 50)               # leaves bad minima
    c = fast_griffin_lim(c, magnitude, transform, 50)               # reaches the minimum at hand
    signal = transform.backward(c)                                  # (B, samples)

The coefficients c are to be those of a signal, and to have a given magnitude. The projections on these two sets are
P(c) = forward(backward(c)) and M(c) = magnitude c / |c|. `griffin_lim.py` is the command.
"""

from command_line import Progress

import numpy as np
import torch

from transforms.nsgt import sum_table
from transforms.phase_gradient import gradient_phase

# Small transforms of the low frequencies, solved one after the other: each reaches up to the top over this number, in
# so many iterations. Their windows are few bins wide: few frames for many bands, which is cheap and seldom goes wrong.
LOW_PARTS = ((64, 500), (45, 300), (32, 300), (22, 300), (16, 300), (11, 300), (8, 300), (5.6, 300))
ROUNDS, GOOD = 4, 0.01  # the last is repeated, ROUNDS times at most, for sounds whose relative error is above GOOD
STEP, MARGIN = 6, 12  # above them: bands that a slice adds, and bands below these that it solves again
DOUGLAS_RACHFORD_STEPS, GRIFFIN_LIM_STEPS = 150, 50  # iterations in a slice


def impose(magnitude, c, out=None):
    """M(c): coefficients c with the given magnitude; bands beyond those of `magnitude` stay as they are."""
    bands = magnitude.shape[-2]
    out = torch.empty_like(c) if out is None else out
    inner = c[..., :bands, :]
    gain = torch.mul(inner, inner.conj()).real.add(1e-30).rsqrt_().mul_(magnitude)  # three times as fast as by abs()
    torch.mul(inner, gain, out=out[..., :bands, :])
    if bands < c.shape[-2]:
        out[..., bands:, :] = c[..., bands:, :]
    return out


def douglas_rachford(c, magnitude, transform, iterations, progress=None):
    """The Douglas-Rachford rule, which leaves bad minima: c <- c + P(2 M(c) - c) - M(c); returns M(c).

    It is the difference map with beta = 1 (Elser, Rankenburg and Thibault 2007, "Searching with iterated maps").
    """
    # in place, here and below: fresh memory for every step would cost more than the arithmetic
    c, imposed, reflected = c.clone(), torch.empty_like(c), torch.empty_like(c)
    for _ in range(iterations):
        impose(magnitude, c, out=imposed)
        torch.mul(imposed, 2, out=reflected).sub_(c)
        possible = transform.forward(transform.backward(reflected))
        c.add_(possible).sub_(imposed)
        if progress:
            progress(total_error(possible, magnitude))
    return impose(magnitude, c, out=imposed)


def fast_griffin_lim(c, magnitude, transform, iterations, momentum=0.99, progress=None):
    """Fast Griffin-Lim, which reaches the minimum at hand: t' = P(c),  c <- M(t' + momentum (t' - t)),  t = t'.

    Perraudin, Balazs and Soendergaard 2013, "A fast Griffin-Lim algorithm".
    """
    c, ahead, before = c.clone(), torch.empty_like(c), None
    for _ in range(iterations):
        possible = transform.forward(transform.backward(c))
        if before is None:
            ahead.copy_(possible)
        else:
            torch.sub(possible, before, out=ahead).mul_(momentum).add_(possible)
        before = possible
        impose(magnitude, ahead, out=c)
        if progress:
            progress(total_error(possible, magnitude))
    return c


def total_error(coefficients, magnitude):
    """Spectral convergence of a whole batch in dB, a number."""
    return 20 * float(((coefficients.abs() - magnitude).norm() / magnitude.norm().clamp_min(1e-30)).log10())


class BandSlice:
    """Some neighbouring bands of an NSGT and the stretch of the spectrum in their windows, as a transform of its own.

    Its signal is that stretch, complex (B, bins): bins `bins` of the rfft of the whole signal. An iteration costs what
    these bands cost, where the whole has hundreds.

    Args:
        transform: an NSGT of real signals, in matrix form, with all bands.
        first, last: the bands [first, last), within [1, bands - 1): mirror images reach into the outer two.
        held_below, held_above: whether the bins that bands outside share, at either end, stay as they are, so that no
            other band changes.
    Attributes:
        bands, bins: slices, of the transform's bands and of its spectrum.
        frames: of its coefficients, as few as |c|^2 needs to have no aliases.
    """

    def __init__(self, transform, first, last, held_below=True, held_above=False):
        self.bands, total = slice(first, last), transform.Ls // 2 + 1
        centres, widths = transform.centres[first:last], transform.widths[first:last]
        low = max(int((centres - widths // 2).min()), 0)
        high = min(int((centres + widths - widths // 2).max()), total)
        self.bins, size = slice(low, high), high - low
        self.frames = min(int(transform.frames[0]), _smooth(2 * int(widths.max()) + 1))
        self.centres, self.widths = centres, widths
        places = np.full((last - first, self.frames), size)  # bins in the buffers of the FFTs; `size` holds a zero
        window = np.zeros(places.shape)
        for row, (centre, width) in enumerate(zip(centres, widths)):
            offsets = np.arange(-(width // 2), width - width // 2)
            offsets = offsets[(centre + offsets >= low) & (centre + offsets < high)]
            places[row, offsets % self.frames] = centre + offsets - low
            window[row, offsets % self.frames] = 0.5 + 0.5 * np.cos(2 * np.pi * offsets / width)
        weight = np.bincount(places.ravel(), (window**2).ravel() * self.frames, size + 1)
        dual = window * self.frames / np.maximum(weight, 1e-6 * weight.max())[places]
        used = np.flatnonzero(window)
        sums = sum_table(places.ravel()[used], used, size, window.size)
        position = np.arange(low, high)
        held = (held_below & (position <= centres[0])) | (held_above & (position >= centres[-1]))
        self._places, self._sums, self._held = (torch.as_tensor(table, device=transform.device)
                                                for table in (places.ravel(), sums, held))
        self._window, self._dual = (torch.as_tensor(table, device=transform.device, dtype=transform.dtype)
                                    for table in (window / self.frames, dual))
        self.context = None

    def forward(self, stretch):
        """A stretch (B, bins) to coefficients (B, bands, frames)."""
        stretch = torch.nn.functional.pad(stretch, (0, 1)).index_select(1, self._places)
        return torch.fft.ifft(stretch.view(-1, *self._window.shape) * self._window, norm="forward")

    def backward(self, coefficients):
        """Coefficients (B, bands, frames) to the nearest (B, bins), the bins held as in `context` where that is set."""
        values = (torch.fft.fft(coefficients) * self._dual).flatten(1)
        values = torch.nn.functional.pad(values, (0, 1)).index_select(1, self._sums.view(-1))
        stretch = values.view(len(values), *self._sums.shape).sum(1)
        return stretch if self.context is None else torch.where(self._held, self.context, stretch)

    def solve(self, spectrum, magnitude, c=None):
        """Find the phases of these bands, from those of `spectrum` or of c: (stretch (B, bins), its error (B,))."""
        self.context = spectrum[:, self.bins]
        c = impose(magnitude, self.forward(self.context)) if c is None else c
        c = douglas_rachford(c, magnitude, self, DOUGLAS_RACHFORD_STEPS)
        c = fast_griffin_lim(c, magnitude, self, GRIFFIN_LIM_STEPS)
        stretch = self.backward(c)
        return stretch, self.error(stretch, magnitude)

    def error(self, stretch, magnitude):
        """How far the magnitude of a stretch (B, bins) is off, as a norm: (B,)."""
        return (self.forward(stretch).abs() - magnitude).flatten(1).norm(dim=1)


def low_band_start(magnitude, transform, candidates=2, seed=0, show=False):
    """First coefficients (B, bands, frames) for an NSGT: phases found from the low bands upwards, a few at a time.

    The low frequencies are solved in small transforms (`NSGT.below`). Above, each slice adds STEP bands to those that
    are solved, from `candidates` first phases: those that the slopes of the magnitude imply (`gradient_phase`), and
    these turned at random; the best is kept. Then slices that overlap by half are solved once more between their
    neighbours on both sides, and kept where better.

    Args:
        magnitude: (B, bands, frames), of about 1 at most. Bands that a reducedform leaves out count as silent.
        transform: an NSGT of real signals, in matrix form.
        seed: of the random phases, the same for every sound of a batch.
        show: show on stderr how far it is.
    """
    given, asked, left_out = magnitude, transform, transform.reducedform
    if left_out:
        transform = asked.with_all_bands()
        magnitude = _at_frames(given, torch.fft.rfft(given.square()), slice(None), int(transform.frames[0]))
        magnitude = torch.nn.functional.pad(magnitude, (0, 0, left_out, left_out))
    small = [(transform.below(transform.frequencies[-2] / part), count) for part, count in LOW_PARTS]
    small = [(low, count) for low, count in small if low is not None]
    top = magnitude.shape[1] - 1  # the band at Nyquist
    solved = len(small[-1][0].frequencies) - 2 if small else 1
    growing = [BandSlice(transform, max(1, first - MARGIN), min(first + STEP, top), held_below=first > 1)
               for first in range(solved, top, STEP)]
    again = [BandSlice(transform, first, min(first + 4 * STEP, top), held_below=first > 1, held_above=True)
             for first in range(max(1, solved - MARGIN), top - STEP, 2 * STEP)]
    size = len(magnitude)
    if magnitude.device.type == "cpu":  # a few sounds at a time stay in the cache
        size = max(1, 2**18 // (candidates * (STEP + MARGIN) * magnitude.shape[2]))
    total, found = -(-len(magnitude) // size) * (len(small) + len(growing) + len(again)), []
    bar = Progress(what="finding first phases", unit="steps", total=total, disable=not show)
    for part in magnitude.split(size):
        power = torch.fft.rfft(part.square())
        spectrum = _solve_low(part, power, transform, small, bar)
        spectrum = _grow(spectrum, solved, part, power, growing, candidates, seed, bar)
        for piece in again:
            wanted = _at_frames(part, power, piece.bands, piece.frames)
            stretch, error = piece.solve(spectrum, wanted)
            better = error < piece.error(piece.context, wanted)
            spectrum[:, piece.bins] = torch.where(better[:, None], stretch, piece.context)
            bar.update()
        found.append(torch.fft.irfft(spectrum, n=transform.Ls))
    bar.close()
    return impose(given, asked.forward(torch.cat(found)))


def _solve_low(magnitude, power, transform, small, bar):
    """The spectrum (B, bins) found in small transforms, each of which begins with what the one before it found."""
    spectrum, solved = magnitude.new_zeros(len(magnitude), transform.Ls // 2 + 1) + 0j, 0
    for low, iterations in small:
        bands, count = len(low.frequencies) - 2, low.Ls // 2 + 1  # its two highest bands are others, and free
        wanted = _at_frames(magnitude, power, slice(0, bands), int(low.frames[0]))
        before = low.forward(torch.fft.irfft(spectrum[:, :count], n=low.Ls))[:, :solved] if solved else None
        c = wanted * gradient_phase(wanted, low.centres[:bands], low.widths[:bands], before)
        c = torch.nn.functional.pad(c, (0, 0, 0, 2))
        c, found, error = _solve_small(c, wanted, low, iterations)
        spectrum[:, :count - 1], solved = torch.fft.rfft(found)[:, :-1], bands
        bar.update()
    rest = torch.arange(len(magnitude), device=magnitude.device)  # of the sounds
    for _ in range(ROUNDS if small else 0):
        bad = error > GOOD * wanted.flatten(1).norm(dim=1)
        rest, c, wanted, error = rest[bad], c[bad], wanted[bad], error[bad]
        if not len(rest):
            break
        c, found, again = _solve_small(c, wanted, low, iterations)
        better = again < error
        spectrum[rest[better], :count - 1] = torch.fft.rfft(found)[better, :-1]
        error = torch.minimum(error, again)
    return spectrum


def _solve_small(c, magnitude, low, iterations):
    """Three quarters by Douglas-Rachford, then fast Griffin-Lim: (c, signals (B, samples), norms of errors (B,))."""
    first = round(0.75 * iterations)
    c = douglas_rachford(c, magnitude, low, first)
    c = fast_griffin_lim(c, magnitude, low, iterations - first)
    found = low.backward(c)
    error = (low.forward(found)[:, :magnitude.shape[1]].abs() - magnitude).flatten(1).norm(dim=1)
    return c, found, error


def _grow(spectrum, solved, magnitude, power, slices, candidates, seed, bar):
    """The spectrum (B, bins) with the bands from `solved` upwards found slice by slice, the best of some candidates.

    Their first phases in the new bands are those that the magnitude implies, and random ones, the same for every sound.
    """
    generator = torch.Generator().manual_seed(seed)
    for piece in slices:
        wanted = _at_frames(magnitude, power, piece.bands, piece.frames)
        old = solved - piece.bands.start
        before = piece.forward(spectrum[:, piece.bins])[:, :old]
        c = wanted * gradient_phase(wanted, piece.centres, piece.widths, before)
        cycles = torch.rand(candidates, *c[0, old:].shape, dtype=torch.float64, generator=generator)
        cycles[0] = 0
        c = c[:, None].repeat(1, candidates, 1, 1)                      # (B, candidates, bands, frames)
        c[:, :, old:] *= torch.exp(2j * torch.pi * cycles).to(c)
        stretch, error = piece.solve(spectrum.repeat_interleave(candidates, 0),
                                     wanted.repeat_interleave(candidates, 0), c.flatten(0, 1))
        best = error.view(-1, candidates).argmin(1)                     # (B,)
        sounds = torch.arange(len(best), device=best.device)
        spectrum[:, piece.bins] = stretch.view(len(best), candidates, -1)[sounds, best]
        solved = piece.bands.stop
        bar.update()
    return spectrum


def _at_frames(magnitude, power, bands, count):
    """Magnitudes of some bands at another number of frames, where |c|^2 has no aliases: (B, bands, count).

    power: rfft of magnitude squared, which is interpolated in time.
    """
    frames = magnitude.shape[-1]
    if count == frames:
        return magnitude[:, bands]
    series = torch.fft.irfft(power[:, bands, :count // 2 + 1], n=count)
    return (series * (frames / count)).clamp_min(0).sqrt()


def _smooth(count):
    """The least number from `count` on without a prime factor above 7, so that its FFT is fast."""
    while 210**31 % count:  # 210 = 2 * 3 * 5 * 7
        count += 1
    return count
