"""The non-stationary Gabor transform: sounds in frequency bands of any spacing, and the inverse, on torch.

    transform = NSGT(OctScale(30, 11000, 48), fs=22050, Ls=len(signal), matrixform=True)
    coefficients = transform.forward(signal)                        # complex (bands, frames)
    signal = transform.backward(coefficients)                       # the same, but for rounding
"""

import copy
import warnings

import numpy as np
import torch

from transforms.scales import FixedScale


class NSGT:
    """The non-stationary Gabor transform of signals of one length.

    After Balazs, Doerfler, Jaillet, Holighaus and Velasco, "Theory, implementation and applications of nonstationary
    Gabor frames" (2011), and Velasco, Holighaus, Doerfler and Grill, "Constructing an invertible constant-Q transform
    with non-stationary Gabor frames" (2011). Arguments and numbers are those of the PyPI package nsgt 0.19.

    With X the spectrum of the signal, band k has a Hann window g_k of L_k bins around its centre b_k, from the centre
    of the band below to that of the band above, and M_k >= L_k frames, evenly spaced over the signal:

        c_k[n] = 1 / M_k  sum_j  X[b_k + j] g_k[j] exp(2 pi i j n / M_k)        j = -L_k/2 ... L_k/2 - 1

    In this painless case the frame operator multiplies the spectrum by d[b] = sum_k M_k g_k[b - b_k]^2, the dual
    windows are g_k / d, and the inverse is the sum over bands of

        X[b_k + j] += M_k g_k[j] / d[b_k + j]  sum_n  c_k[n] exp(-2 pi i j n / M_k)

    Args:
        scale: an OctScale, LogScale, MelScale or other Scale. A band on or above Nyquist is left out; bands at 0 Hz and
            at Nyquist are added.
        fs: sample rate in Hz.
        Ls: length of the signals in samples, at least 4.
        real: signals are real; bands of negative frequency, their mirror images, are left out.
        matrixform: all bands have the frames that the widest needs: one matrix, else a list of ragged bands.
        reducedform: bands left out at either end, 0, 1 (0 Hz and Nyquist) or 2. Above 0, backward is no longer exact.
        dtype: float32 or float64, torch's or NumPy's, of signals; coefficients are complex of that precision.
        device: the torch device of coefficients and signals.
    Attributes:
        frequencies: the centres of the bands given, in Hz, float64, shape (bands,).
        frames: frames of each band, int64, shape (bands,); all the same with matrixform.
        centres, widths: b_k and L_k in bins of the spectrum, int64, shape (bands,).
    Raises:
        ValueError: the scale reaches past Nyquist, an argument is out of its range, or some bins are in no window.
    Warns (UserWarning) of bands whose window would be narrower than 4 bins and is widened to that.
    """

    def __init__(self, scale, fs, Ls, real=True, matrixform=False, reducedform=0, dtype="float64", device="cpu"):
        if not 0 < fs < np.inf:
            raise ValueError(f"fs: expected a sample rate above 0 Hz, found {fs}")
        if int(Ls) != Ls or Ls < 4:
            raise ValueError(f"Ls: expected a length of at least 4 samples, found {Ls}")
        if reducedform not in (0, 1, 2) or (reducedform and not real):
            raise ValueError(f"reducedform: expected 0, 1 or 2, and 0 where real is false, found {reducedform}")
        dtype = dtype if isinstance(dtype, torch.dtype) else getattr(torch, np.dtype(dtype).name)
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype: expected float32 or float64, found {dtype}")
        self.scale, self.fs, self.Ls, self.real = scale, fs, int(Ls), bool(real)
        self.matrixform, self.reducedform = bool(matrixform), reducedform
        self.dtype, self.device = dtype, torch.device(device)
        inner = self._inner_frequencies()
        centres, widths = self._positions(inner)  # of all bands, negative frequencies last, in bins
        half = len(inner) + 2  # bands from 0 Hz to Nyquist
        kept = slice(reducedform, half - reducedform) if real else slice(0, len(centres))
        if kept.stop <= kept.start:
            raise ValueError(f"reducedform: {reducedform} leaves none of the {half} bands; use 0 or a scale of more")
        self.frequencies = np.concatenate(([0.0], inner, [fs / 2], -inner[::-1]))[kept]
        self.centres, self.widths = centres[kept], widths[kept]
        end = half if real else None
        self._kept, self._all_centres, self._all_widths = kept, centres[:end], widths[:end]
        self._least = int((widths[kept] if reducedform else widths).max())  # frames in matrix form
        self._plan(self._least)

    def with_frames(self, count):
        """This transform, in matrix form, with `count` frames a band; at least the width of the widest window."""
        if not (self.matrixform and count >= self._least):
            raise ValueError(f"frames: expected at least {self._least}, and matrixform, found {count}")
        other = copy.copy(self)
        other._plan(count)
        return other

    def with_all_bands(self):
        """This transform of real signals with reducedform=0, in matrix form, with at least as many frames."""
        if not self.reducedform:
            return self
        whole = self._all_bands_of(self.scale, self.fs, self.Ls)
        return whole.with_frames(max(int(self.frames.max()), int(whole.frames[0])))

    def below(self, frequency):
        """A smaller transform of sounds that last as long, with the bands of this one below `frequency` in Hz.

        It works at a lower sample rate, on as many bins and frames as those bands need: twice their widest window, so
        that |c|^2 has no aliases. None where fewer than 4 of the scale's bands lie there, or all.
        """
        inner = self._inner_frequencies()
        count = np.searchsorted(inner, frequency)
        if not 4 <= count < len(inner):
            return None
        duration = self.Ls / self.fs
        samples = 2 * int(np.ceil(inner[count] * duration))
        widest = int(np.ceil(np.max(inner[2:count + 1] - inner[:count - 1]) * duration))
        low = self._all_bands_of(FixedScale(inner[:count]), samples / duration, samples)
        return low.with_frames(max(int(low.frames[0]), min(2 * widest + 1, int(self.frames[0]))))

    def _all_bands_of(self, scale, fs, Ls):
        """Another NSGT in matrix form, with this one's precision and device."""
        with warnings.catch_warnings(action="ignore"):  # of wide windows, given for this one already
            return NSGT(scale, fs, Ls, matrixform=True, dtype=self.dtype, device=self.device)

    def _inner_frequencies(self):
        """The scale's frequencies below Nyquist, in Hz, checked."""
        frequencies, nyquist = np.asarray(self.scale()[0], dtype=float), self.fs / 2
        if frequencies[-1] > nyquist * (1 + 1e-9):
            raise ValueError(f"fmax: the scale reaches {frequencies[-1]:.6g} Hz, past Nyquist ({nyquist:.6g} Hz at a "
                             f"rate of {self.fs:g} Hz); use fmax = {nyquist:.6g} or less, or a rate above "
                             f"{2 * frequencies[-1]:.6g} Hz")
        if not (0 < frequencies[0] < nyquist and np.all(np.diff(frequencies) > 0)):
            raise ValueError(f"scale: expected rising frequencies above 0 Hz, found {frequencies.tolist()[:8]}")
        return frequencies[frequencies < nyquist]

    def _positions(self, inner):
        """Centres b_k and widths L_k in bins of all bands: 0 Hz, the scale's, Nyquist, and the mirror images.

        A band reaches from the centre of the one below to that of the one above, at least 4 bins. The highest band of
        the scale moves to the middle of its neighbours, so that its window fills the gap below Nyquist.
        """
        Ls, top = self.Ls, len(inner)
        bins = np.concatenate(([0.0], inner, [self.fs / 2.0], self.fs - inner[::-1])) * (float(Ls) / self.fs)
        exact = np.concatenate(([2 * bins[1]], bins[2:] - bins[:-2], [Ls - bins[-2]]))
        self._warn_of_wide_windows(inner, exact[1:top + 1])
        widths = np.maximum(np.round(exact).astype(np.int64), 4)
        bins[top] = (bins[top - 1] + bins[top + 1]) / 2
        bins[top + 2] = Ls - bins[top]
        return np.round(bins).astype(np.int64), widths

    def _warn_of_wide_windows(self, inner, exact):
        """Warn once of the bands that ask for less than 4 bins, and give a length and a number of bands that do not."""
        narrow = np.flatnonzero(exact < 4)
        if not len(narrow):
            return
        worst = exact[narrow].min()
        length = int(np.ceil(self.Ls * 4 / worst))
        count, name = (self.scale.bpo, "bands an octave") if hasattr(self.scale, "bpo") else (len(inner), "bands")
        fewer = int(count * worst / 4)
        warnings.warn(
            f"Q too high: {len(narrow)} of {len(inner)} bands, up to {inner[narrow[-1]]:.1f} Hz (Q = "
            f"{np.max(inner[narrow] / exact[narrow]) * self.Ls / self.fs:.1f}), ask for windows of {worst:.2f} bins "
            f"and more, and are widened to 4; {length} samples would do in place of {self.Ls}"
            + (f", or {fewer} {name} in place of {count}" if fewer else ""), stacklevel=4)

    def _plan(self, count):
        """Compute indices and windows for runs of bands transformed together; count: frames a band, in matrix form."""
        kept, centres, widths = self._kept, self._all_centres, self._all_widths
        frames = np.full_like(widths, count) if self.matrixform else widths  # M_k
        self.frames = frames[kept]
        Ls, last = self.Ls, self.Ls // 2 if self.real else self.Ls - 1  # last: the highest bin that the FFT gives
        bands = np.arange(len(centres))[:, None]
        twins = (bands > 0) & (bands < len(centres) - 1) & self.real  # all but 0 Hz and Nyquist have a mirror image
        runs, weight = [], np.zeros(last + 1)
        for start, stop in _runs(widths, (kept.start, kept.stop), self.matrixform):
            width = widths[start:stop].max()
            offsets = np.arange(-(width // 2), width - width // 2)  # j, shape (width,)
            own = widths[start:stop, None]  # L_k, shape (bands, 1)
            inside = (offsets >= -(own // 2)) & (offsets < own - own // 2)
            window = np.where(inside, 0.5 + 0.5 * np.cos(2 * np.pi * offsets / own), 0.0)  # g_k[j], (bands, width)
            bins = (centres[start:stop, None] + offsets) % Ls
            mirror = -bins % Ls
            direct = (window > 0) & (bins <= last)
            mirrored = (window > 0) & (mirror <= last) & twins[start:stop]
            energy = window**2 * frames[start:stop, None]
            weight += np.bincount(bins[direct], energy[direct], last + 1)  # d[b]
            weight += np.bincount(mirror[mirrored], energy[mirrored], last + 1)
            if kept.start <= start < kept.stop:
                runs.append((start, stop, offsets, window, bins, mirror, direct, mirrored))
        if not weight.min() > 1e-12 * weight.max():
            missing = np.flatnonzero(weight <= 1e-12 * weight.max())
            raise ValueError(f"scale: {len(missing)} of {last + 1} bins, the first at {missing[0] * self.fs / Ls:.6g} "
                             "Hz, are in no window; use more bands there")

        beyond = np.unique(np.concatenate([mirror[bins > last] for *_, bins, mirror, _, _ in runs]))
        self._beyond = self._tensor(beyond)  # bins of the upper half that windows reach, as their mirror images
        self._runs, sums, length = [], [], 0
        for start, stop, offsets, window, bins, mirror, direct, mirrored in runs:
            source = np.where(bins <= last, bins, last + 1 + np.searchsorted(beyond, mirror))
            dual = window * frames[start:stop, None] / weight[np.where(bins <= last, bins, mirror)]
            here = length + np.arange(window.size).reshape(window.shape)
            sums.append((bins[direct], here[direct], mirror[mirrored], here[mirrored]))
            length += window.size
            count = int(frames[start])
            table = None
            if _by_table(len(offsets), count):
                steps = offsets[:, None] * np.arange(count) % count  # exact, where the angle itself would not be
                table = self._tensor(np.exp(2j * np.pi * steps / count))  # (width, frames)
            self._runs.append((stop - start, -int(offsets[0]), count, table, self._tensor(source.ravel()),
                               self._tensor(window.ravel() / count), self._tensor(dual.ravel())))
        bins, places, mirror, mirror_places = (np.concatenate(parts) for parts in zip(*sums))
        self._mirrored = self._tensor(mirror_places)
        nothing = length + len(mirror_places)  # the place of the zero behind all values
        bins = np.concatenate((bins, mirror))
        places = np.concatenate((places, length + np.arange(len(mirror_places))))
        sums, order = _overlaps(bins, places, last + 1, nothing)
        self._sums, self._order = [self._tensor(table) for table in sums], self._tensor(order)
        self._zero = torch.zeros(1, 1, dtype=self.dtype.to_complex(), device=self.device)

    def _tensor(self, array):
        kinds = {"i": torch.int64, "f": self.dtype, "c": self.dtype.to_complex()}
        return torch.as_tensor(array, dtype=kinds[array.dtype.kind], device=self.device)

    def forward(self, signal):
        """The coefficients of a signal (samples,) or (B, samples), samples = Ls, differentiably.

        With matrixform a complex tensor (bands, frames) or (B, bands, frames), else a list of bands (frames_k,) or
        (B, frames_k). Raises ValueError at another length, no samples, or samples that are not finite.
        """
        signal = torch.as_tensor(signal, device=self.device)
        if self.real and signal.is_complex():
            raise ValueError("signal: expected real samples, found complex ones; use NSGT(..., real=False)")
        signal = signal.to(self.dtype.to_complex() if signal.is_complex() else self.dtype)
        if signal.ndim not in (1, 2) or signal.shape[-1] != self.Ls or not len(signal):
            raise ValueError(f"signal: expected shape ({self.Ls},) or (B, {self.Ls}), found {tuple(signal.shape)}")
        if bad := int((~torch.isfinite(signal)).sum()):
            raise ValueError(f"signal: expected finite samples, found {bad} that are not")
        batch = signal.reshape(-1, self.Ls)
        if not self.matrixform:
            bands = [band for _, _, run in self._analyse(batch) for band in run.unbind(1)]
            return [band.view(*signal.shape[:-1], -1) for band in bands]
        shape, size = (len(batch), len(self.frames), int(self.frames[0])), len(batch)
        if self.device.type == "cpu":
            # NumPy asks for memory in huge pages, torch does not: a fifth of the time of a large batch in float64
            result = torch.from_numpy(np.empty(shape, f"c{2 * self.dtype.itemsize}"))
            size = max(1, 2**19 // result[0].numel())  # a few sounds at a time stay in the cache
        else:
            result = batch.new_empty(shape, dtype=self._zero.dtype)
        for first in range(0, len(batch), size):
            for start, stop, run in self._analyse(batch[first:first + size]):
                result[first:first + size, start:stop] = run
        return result.view(*signal.shape[:-1], *result.shape[1:])

    def _analyse(self, batch):
        """Give (start, stop, coefficients (B, stop - start, frames)) of a batch (B, samples), run by run."""
        spectrum = torch.fft.rfft(batch) if self.real else torch.fft.fft(batch)  # X (B, bins)
        if len(self._beyond):
            spectrum = torch.cat((spectrum, spectrum.index_select(1, self._beyond).conj()), 1)
        start = 0
        for count, below, frames, table, source, window, _ in self._runs:
            cut = spectrum.index_select(1, source).mul_(window)  # X[b_k + j] g_k[j] / M_k  (B, count * width)
            cut = cut.view(len(batch) * count, -1)  # (B * count, width)
            if table is None:
                buffer = cut.new_zeros(len(cut), frames)
                buffer[:, :cut.shape[1] - below] = cut[:, below:]
                buffer[:, frames - below:] = cut[:, :below]
                run = torch.fft.ifft(buffer, norm="forward")
            else:
                run = cut @ table
            yield start, start + count, run.view(len(batch), count, frames)
            start += count

    def backward(self, coefficients):
        """The signal (samples,) or (B, samples) of coefficients as forward gives them, differentiably.

        Of those of no signal it is the least-squares one (reducedform=0). Raises ValueError at another shape, or values
        that are not finite.
        """
        if self.matrixform:
            coefficients = torch.as_tensor(coefficients, dtype=self._zero.dtype, device=self.device)
            shape = (len(self.frames), int(self.frames[0]))
            if coefficients.ndim not in (2, 3) or coefficients.shape[-2:] != shape or not len(coefficients):
                raise ValueError(f"coefficients: expected shape {shape} or (B, {shape[0]}, {shape[1]}), "
                                 f"found {tuple(coefficients.shape)}")
            leading = coefficients.shape[:-2]
            coefficients = coefficients.reshape(-1, *shape)
            runs = coefficients.split([count for count, *_ in self._runs], 1)
        else:
            bands = [torch.as_tensor(band, dtype=self._zero.dtype, device=self.device) for band in coefficients]
            if [band.shape[-1] for band in bands] != self.frames.tolist():
                raise ValueError(f"coefficients: expected {len(self.frames)} bands of {self.frames.tolist()[:4]}... "
                                 f"frames, found {len(bands)} of {[band.shape[-1] for band in bands][:4]}...")
            leading = bands[0].shape[:-1]
            bands = iter([band.reshape(-1, band.shape[-1]) for band in bands])
            runs = [torch.stack([next(bands) for _ in range(count)], 1) for count, *_ in self._runs]
        values = []
        for run, (count, below, frames, table, source, _, dual) in zip(runs, self._runs):
            if table is None:
                bins = torch.fft.fft(run)  # (B, count, frames)
                above = len(source) // count - below
                bins = torch.cat((bins[..., frames - below:], bins[..., :above]), -1)
            else:
                bins = run @ table.mH  # (B, count, width)
            values.append(bins.reshape(len(run), -1) * dual)
        values = torch.cat(values, 1)
        mirrored = values.index_select(1, self._mirrored).conj()
        values = torch.cat((values, mirrored, self._zero.expand(len(values), 1)), 1)
        spectrum = torch.cat([values.index_select(1, table.view(-1)).view(len(values), *table.shape).sum(1)
                              for table in self._sums], 1).index_select(1, self._order)  # X (B, bins)
        signal = torch.fft.irfft(spectrum, n=self.Ls) if self.real else torch.fft.ifft(spectrum)
        if not torch.isfinite(signal).all():
            raise ValueError("coefficients: expected finite values, found some that are not")
        return signal.view(*leading, self.Ls)


def _runs(widths, breaks, matrixform):
    """Cut bands into runs of about equal width (ragged bands: of equal width): a list of (start, stop)."""
    slack = 1.5 if matrixform else 1
    runs, start, least, most = [], 0, np.inf, 0
    for band, width in enumerate(widths.tolist()):
        least, most = min(least, width), max(most, width)
        if band > start and (band in breaks or most > slack * least):
            runs.append((start, band))
            start, least, most = band, width, width
    return runs + [(start, len(widths))]


def _by_table(width, frames):
    """Is a product with a table of exponentials faster than an FFT of `frames` points of which `width` are not zero?"""
    # measured (MKL, one thread): an FFT is slow where `frames` has a large prime factor
    rest = frames
    for prime in (2, 3, 5, 7, 11, 13):
        while rest % prime == 0:
            rest //= prime
    return width <= np.log2(frames) * (1.5 if rest == 1 else 8)


def sum_table(bins, places, count, nothing):
    """A table that adds up values by bin as gathers alone: the same sum in the same order on any device.

    Column b of (depth, count) holds the `places` of the values whose number in `bins` is b, filled with `nothing`.
    """
    sort = np.argsort(bins, kind="stable")
    bins, places = bins[sort], places[sort]
    depth = np.bincount(bins, minlength=count)
    rank = np.arange(len(bins)) - np.repeat(np.cumsum(depth) - depth, depth)
    table = np.full((max(depth.max(), 1), count), nothing)
    table[rank, bins] = places
    return table


def _overlaps(bins, places, count, nothing):
    """`sum_table` in two parts, shallow and deep: (tables, order); side by side, in `order`, they are the whole."""
    full = sum_table(bins, places, count, nothing)
    few = (full[4:] == nothing).all(0)  # nearly all bins of a long signal; at low frequencies widened windows crowd
    tables = [np.ascontiguousarray(part) for part in (full[:4, few], full[:, ~few])]
    order = np.empty(count, dtype=np.int64)
    order[np.concatenate((np.flatnonzero(few), np.flatnonzero(~few)))] = np.arange(count)
    return tables, order
