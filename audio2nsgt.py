"""Turn sounds into pictures: audio files to the coefficients of a non-stationary Gabor transform, with the way back.

    python audio2nsgt.py -i dataset_audio/ -o results -d 1              # complex coefficients, every frame
    python audio2nsgt.py -i dataset_audio/ -o results20 --seconds 0.5   # magnitudes, 20 frames a block
    python audio2nsgt.py -i dataset_audio/kit/Snare.wav -d 1 --check --plot snare.png
    python audio2nsgt.py -i dataset_audio/ -o results -d 1 --workers 4
    python audio2nsgt.py -i /data/sounds -o /data/results --scheduler tcp://host:8786

The output has the tree of the input, one .npy a sound of shape (frames, bands); nsgt.json beside them keeps every
parameter, so that `python griffin_lim.py results/kit/Snare.npy -o snare.wav` needs no options. A second run does only
what is missing or stale.
"""

import contextlib
import functools
import importlib
import io
import json
import os
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from command_line import USER_ERRORS, Parser, number, one_line, replacing, run

INDEX = "nsgt.json"
SETTINGS = ("scale", "rate", "downsample", "min_freq", "max_freq", "bins", "seconds")
SUFFIXES = (".wav", ".aif", ".aiff", ".flac", ".ogg", ".mp3")
FADE_SECONDS = 0.01  # at the end of a sound that --seconds cuts short


def load_audio(path, sample_rate=None):
    """Read a sound (WAV, AIFF, FLAC, OGG, MP3): its samples, mixed to mono, and their rate.

    Args:
        path: the file.
        sample_rate: the rate wanted, in Hz; None keeps the file's own.

    Returns:
        (samples, sample_rate): float32, shape (samples,), full scale 1; rate in Hz.

    Raises:
        OSError: there is no such file, or it may not be read.
        ValueError: it is no sound, holds no samples, or holds values that are not finite.
    """
    import soundfile

    path = Path(path)
    with open(path, "rb") as file:  # a missing file or a folder is an OSError that names it
        try:
            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)  # (samples, channels)
        except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
            reason = getattr(error, "error_string", None) or error
            raise ValueError(f"{path}: expected a sound file, found one that cannot be read ({reason})") from error
    if not len(samples):
        raise ValueError(f"{path}: expected a sound, found a file of 0 samples")
    if not np.isfinite(samples).all():
        raise ValueError(f"{path}: expected finite samples, found {np.sum(~np.isfinite(samples))} that are not")
    samples = samples.mean(axis=1)  # (samples,)
    if sample_rate is not None and sample_rate != rate:
        import soxr

        if not sample_rate > 0:
            raise ValueError(f"sample_rate: expected more than 0 Hz, found {sample_rate}")
        samples, frames = soxr.resample(samples, rate, sample_rate), len(samples)
        if not len(samples):
            raise ValueError(f"{path}: its {frames} samples at {rate} Hz leave none at {sample_rate} Hz")
        rate = sample_rate
    return samples, rate


def save_audio(path, samples, sample_rate, subtype="PCM_24"):
    """Write a sound, whole or not at all; the suffix of `path` chooses the format.

    Args:
        path: the file; folders that are missing are made.
        samples: shape (samples,) or (samples, channels), within [-1, 1] unless subtype is "FLOAT" or "DOUBLE": nothing
            is ever clipped here.
        sample_rate: in Hz.
        subtype: soundfile's name of the sample format; a format that does not know it gets its own default.

    Raises:
        OSError: nothing can be written there.
        ValueError: a value is not finite, or beyond [-1, 1] in a format of whole numbers; an unknown suffix.
    """
    import soundfile

    path, samples = Path(path), np.asarray(samples)
    kind = {"AIF": "AIFF"}.get(path.suffix[1:].upper(), path.suffix[1:].upper())
    if kind not in soundfile.available_formats():
        raise ValueError(f"{path}: expected a name that ends in .wav, .flac, .aiff, .ogg or .mp3")
    if not np.isfinite(samples).all():
        raise ValueError(f"{path}: expected finite samples, found {np.sum(~np.isfinite(samples))} that are not")
    peak = np.abs(samples).max(initial=0)
    subtype = subtype if soundfile.check_format(kind, subtype) else None
    if peak > 1 and subtype not in ("FLOAT", "DOUBLE"):
        raise ValueError(f"{path}: expected samples within [-1, 1], found a peak of {peak:.6g}; scale the sound first")
    content = io.BytesIO()  # where libsndfile itself meets a full disk, it does not say so
    soundfile.write(content, samples, int(sample_rate), subtype, format=kind)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


class Scale:
    """Where the bands of a transform lie: `bnds` centre frequencies, rising, between 0 Hz and Nyquist.

    A scale of your own is a subclass with a method F(bnd), the frequency in Hz of band number bnd (0, 1, ...).

        class Thirds(Scale):
            def F(self, bnd=None):
                return 55.0 * 2 ** ((np.arange(self.bnds) if bnd is None else bnd) / 3)

        transform = NSGT(Thirds(20), fs=22050, Ls=11025)
    """

    def __init__(self, bnds):
        if not bnds >= 1:
            raise ValueError(f"bands: expected at least 1, found {bnds}")
        self.bnds = int(bnds)

    def __len__(self):
        return self.bnds

    def F(self, bnd=None):
        """The centre frequency in Hz of band `bnd`; None: of all bands, shape (bnds,)."""
        raise NotImplementedError("a scale gives its frequencies in Hz by a method F(bnd)")

    def Q(self, bnd=None):
        """The quality of band `bnd`: its frequency over its bandwidth, F / (2 dF/dbnd); None: of all bands."""
        bnd = np.arange(self.bnds) if bnd is None else bnd
        step = 1e-5
        return self.F(bnd) * step / (self.F(bnd + step) - self.F(bnd - step))

    def __call__(self):
        """(frequencies in Hz, qualities), both float64 of shape (bnds,)."""
        return tuple(np.array([value(bnd) for bnd in range(self.bnds)], dtype=float) for value in (self.F, self.Q))

    @staticmethod
    def _check(fmin, fmax):
        if not 0 < fmin < np.inf:
            raise ValueError(f"fmin: expected a frequency above 0 Hz, found {fmin}")
        if not fmin < fmax < np.inf:
            raise ValueError(f"fmax: expected a frequency above fmin ({fmin} Hz), found {fmax}")


class LogScale(Scale):
    """Bands at equal ratios: `bnds` frequencies from fmin to fmax, both in Hz, and `beyond` more at either end."""

    def __init__(self, fmin, fmax, bnds, beyond=0):
        self._check(fmin, fmax)
        super().__init__(bnds)
        step = (np.log2(fmax) - np.log2(fmin)) / max(self.bnds - 1, 1)  # octaves from band to band
        self.bnds += 2 * beyond
        self.fmin, self.fmax = 2 ** (np.log2(fmin) - step * beyond), 2 ** (np.log2(fmax) + step * beyond)
        self.ratio = 2**step

    def F(self, bnd=None):
        return self.fmin * self.ratio ** (np.arange(self.bnds) if bnd is None else bnd)

    def Q(self, bnd=None):
        quality = np.sqrt(self.ratio) / (self.ratio - 1) / 2
        return np.full(self.bnds, quality) if bnd is None else quality


class OctScale(LogScale):
    """Bands at equal ratios, `bpo` an octave (or a little more, so that the last is fmax), from fmin to fmax in Hz."""

    def __init__(self, fmin, fmax, bpo, beyond=0):
        self._check(fmin, fmax)
        if not bpo >= 1:
            raise ValueError(f"bands an octave: expected at least 1, found {bpo}")
        super().__init__(fmin, fmax, int(np.ceil((np.log2(fmax) - np.log2(fmin)) * bpo)) + 1, beyond)
        self.bpo = bpo


class MelScale(Scale):
    """Bands at equal steps of mel = 2595 log10(1 + f / 700): `bnds` from fmin to fmax, `beyond` more at either end."""

    def __init__(self, fmin, fmax, bnds, beyond=0):
        self._check(fmin, fmax)
        super().__init__(bnds)
        lowest, highest = (np.log10(f / 700.0 + 1.0) * 2595.0 for f in (fmin, fmax))
        self.step = (highest - lowest) / max(self.bnds - 1, 1)  # mels from band to band
        self.bnds += 2 * beyond
        self.fmin, self.fmax = float(fmin), float(fmax)
        self.lowest = lowest - self.step * beyond

    def F(self, bnd=None):
        bnd = np.arange(self.bnds) if bnd is None else bnd
        return (np.power(10.0, (bnd * self.step + self.lowest) / 2595.0) - 1.0) * 700.0

    def Q(self, bnd=None):
        return self.F(bnd) / (self.F(bnd) + 700.0) / (np.log(10) / 2595.0 * self.step) / 2


class _FixedScale(Scale):
    """The given frequencies, in Hz."""

    def __init__(self, frequencies):
        super().__init__(len(frequencies))
        self.frequencies = frequencies

    def __call__(self):
        return self.frequencies, self.frequencies / np.gradient(self.frequencies) / 2


class NSGT:
    """The non-stationary Gabor transform: a picture of a sound in bands of any spacing, and the way back.

    After Balazs, Doerfler, Jaillet, Holighaus and Velasco, "Theory, implementation and applications of nonstationary
    Gabor frames" (2011), and Velasco, Holighaus, Doerfler and Grill, "Constructing an invertible constant-Q transform
    with non-stationary Gabor frames" (2011). Arguments and numbers are those of the PyPI package nsgt 0.19.

    With X the spectrum of the signal, band k has a Hann window g_k of L_k bins around its centre b_k, from the centre
    of the band below to that of the band above, and M_k >= L_k frames, spread evenly over the signal:

        c_k[n] = 1 / M_k  sum_j  X[b_k + j] g_k[j] exp(2 pi i j n / M_k)        j = -L_k/2 ... L_k/2 - 1

    That is painless: the frame operator is a multiplication of the spectrum by d[b] = sum_k M_k g_k[b - b_k]^2, so that
    the dual windows are g_k / d, and the spectrum comes back as the sum over bands of

        X[b_k + j] += M_k g_k[j] / d[b_k + j]  sum_n  c_k[n] exp(-2 pi i j n / M_k)

    Args:
        scale: an OctScale, LogScale, MelScale or other Scale. A band on or above Nyquist is left out; bands at 0 Hz and
            at Nyquist are added.
        fs: sample rate in Hz.
        Ls: length of the signals in samples, at least 4.
        real: signals are real, and bands of negative frequency are left out as they are known.
        matrixform: give each band as many frames as the widest needs: one matrix, else a list of ragged bands.
        reducedform: bands left out at either end, 0, 1 (0 Hz and Nyquist) or 2. Above 0, backward is no longer exact.
        dtype: float32 or float64, torch's or NumPy's; of the signals, coefficients are complex of that precision.
        device: the torch device that coefficients and signals live on.
        frames: with matrixform, a number of frames in place of the least, which is the width of the widest window.

    Attributes:
        frequencies: the centres of the bands given, in Hz, float64, shape (bands,).
        frames: frames of each band, int64, shape (bands,); all the same with matrixform.

    Raises:
        ValueError: the scale reaches past Nyquist, an argument is out of its range, or some bins are in no window.

    Warns (UserWarning) of bands whose window would be narrower than 4 bins and is widened to that.

    Memory: about 50 bytes a sample for the plan (64 MB for a minute at 22,050 Hz and 48 bands an octave); the
    coefficients are bands x frames complex numbers a sound (62 MB for that minute, in float32).
    """

    def __init__(self, scale, fs, Ls, real=True, matrixform=False, reducedform=0, dtype="float64", device="cpu",
                 frames=None):
        import torch

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
        frequencies = np.concatenate((inner, [fs / 2], -inner[::-1]))
        self.frequencies = np.concatenate(([0.0], frequencies))[kept]
        most = widths[kept].max() if reducedform else widths.max()
        if frames is not None and not (matrixform and frames >= most):
            raise ValueError(f"frames: expected at least {most}, and matrixform, found {frames}")
        frames = np.full_like(widths, frames or most) if matrixform else widths  # M_k
        self.frames = frames[kept]
        if real:
            centres, widths, frames = centres[:half], widths[:half], frames[:half]
        self._plan(centres, widths, frames, kept)

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
        rate = samples / duration
        widest = int(np.ceil(np.max(inner[2:count + 1] - inner[:count - 1]) * duration))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of wide windows, said for the whole already
            make = functools.partial(NSGT, _FixedScale(inner[:count]), rate, samples, matrixform=True, dtype=self.dtype)
            least = int(make().frames[0])
            return make(device=self.device, frames=max(least, min(2 * widest + 1, int(self.frames[0]))))

    def _inner_frequencies(self):
        """The scale's frequencies below Nyquist, in Hz, checked."""
        frequencies, nyquist = np.asarray(self.scale()[0], dtype=float), self.fs / 2
        if len(frequencies) < 1 or not frequencies[0] > 0 or not np.all(np.diff(frequencies) > 0):
            raise ValueError(f"scale: expected rising frequencies above 0 Hz, found {frequencies.tolist()[:8]}")
        if frequencies[-1] > nyquist * (1 + 1e-9):
            raise ValueError(f"fmax: the scale reaches {frequencies[-1]:.6g} Hz, past Nyquist ({nyquist:.6g} Hz at a "
                             f"rate of {self.fs:g} Hz); use fmax = {nyquist:.6g} or less, or a rate above "
                             f"{2 * frequencies[-1]:.6g} Hz")
        if frequencies[0] >= nyquist:
            raise ValueError(f"scale: expected a band below Nyquist ({nyquist:.6g} Hz), found {frequencies[0]:.6g} Hz")
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
        """Say once which bands ask for less than 4 bins, and what would do."""
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
            f"and more where 4 are the least, and are widened; {length} samples ({length / self.fs:.3g} s) would do in "
            f"place of {self.Ls} ({self.Ls / self.fs:.3g} s)"
            + (f", or {fewer} {name} in place of {count}" if fewer else ""),
            stacklevel=4)

    def _plan(self, centres, widths, frames, kept):
        """Lay down all indices and windows, as tensors, for runs of bands that are transformed together."""
        import torch

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
                turns = offsets[:, None] * np.arange(count) % count  # exact, where the angle itself would not be
                table = self._tensor(np.exp(2j * np.pi * turns / count))  # (width, frames)
            self._runs.append((stop - start, -int(offsets[0]), count, table, self._tensor(source.ravel()),
                               self._tensor(window.ravel() / count), self._tensor(dual.ravel())))
        bins, places, mirror, mirror_places = (np.concatenate(parts) for parts in zip(*sums))
        self._mirrored = self._tensor(mirror_places)
        nothing = length + len(mirror_places)  # the place of the zero behind all values
        bins = np.concatenate((bins, mirror))
        places = np.concatenate((places, length + np.arange(len(mirror_places))))
        self._sums, self._order = _overlaps(bins, places, last + 1, nothing)
        self._sums, self._order = [self._tensor(table) for table in self._sums], self._tensor(self._order)
        self._zero = torch.zeros(1, 1, dtype=self.dtype.to_complex(), device=self.device)

    def _tensor(self, array):
        import torch

        kinds = {"i": torch.int64, "f": self.dtype, "c": self.dtype.to_complex()}
        return torch.as_tensor(array, dtype=kinds[array.dtype.kind], device=self.device)

    def forward(self, signal):
        """The coefficients of a signal.

        Args:
            signal: a tensor or array of shape (samples,) or (B, samples), samples = Ls; real unless `real` is false.

        Returns:
            With matrixform a complex tensor of shape (bands, frames) or (B, bands, frames); else a list of bands,
            each of shape (frames_k,) or (B, frames_k). Differentiable.

        Raises:
            ValueError: another length, no samples, or samples that are not finite.
        """
        import torch

        signal = torch.as_tensor(signal, device=self.device)
        if self.real and signal.is_complex():
            raise ValueError("signal: expected real samples, found complex ones; use NSGT(..., real=False)")
        signal = signal.to(self.dtype.to_complex() if signal.is_complex() else self.dtype)
        if signal.ndim not in (1, 2) or signal.shape[-1] != self.Ls or not len(signal):
            raise ValueError(f"signal: expected shape ({self.Ls},) or (B, {self.Ls}), found {tuple(signal.shape)}")
        if not torch.isfinite(signal).all():
            bad = int((~torch.isfinite(signal)).sum())
            raise ValueError(f"signal: expected finite samples, found {bad} that are not")
        batch = signal.reshape(-1, self.Ls)
        if not self.matrixform:
            bands = [band for _, _, run in self._analyse(batch) for band in run.unbind(1)]
            return [band.view(*signal.shape[:-1], -1) for band in bands]
        shape, size = (len(batch), len(self.frames), int(self.frames[0])), len(batch)
        if self.device.type == "cpu":
            # NumPy asks for memory in huge pages, torch does not: a fifth of the time of a large batch in float64
            result = torch.from_numpy(np.empty(shape, {torch.float32: "c8", torch.float64: "c16"}[self.dtype]))
            size = max(1, 2**19 // result[0].numel())  # a few sounds at a time stay in the cache
        else:
            result = batch.new_empty(shape, dtype=self._zero.dtype)
        for first in range(0, len(batch), size):
            for start, stop, run in self._analyse(batch[first:first + size]):
                result[first:first + size, start:stop] = run
        return result.view(*signal.shape[:-1], *result.shape[1:])

    def _analyse(self, batch):
        """Give (start, stop, coefficients (B, stop - start, frames)) of a batch (B, samples), run by run."""
        import torch

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
        """The signal of coefficients: exactly the one they came from (reducedform=0), else a least-squares one.

        Args:
            coefficients: what forward gives, or a tensor or array (or list) of its shape.

        Returns:
            A tensor of shape (samples,) or (B, samples), real unless `real` is false. Differentiable.

        Raises:
            ValueError: another shape, or values that are not finite.
        """
        import torch

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
    """Cut bands into runs of about equal width (with ragged bands, of equal width): a list of (start, stop)."""
    slack = 1.5 if matrixform else 1
    runs, start, least, most = [], 0, np.inf, 0
    for band, width in enumerate(widths.tolist()):
        least, most = min(least, width), max(most, width)
        if band > start and (band in breaks or most > slack * least):
            runs.append((start, band))
            start, least, most = band, width, width
    return runs + [(start, len(widths))]


def _by_table(width, frames):
    """Is a product with a table of exponentials faster than an FFT of `frames` points of which `width` are not zero?

    The factors are measured (MKL, one thread): an FFT is slow where `frames` has a large prime factor.
    """
    rest = frames
    for prime in (2, 3, 5, 7, 11, 13):
        while rest % prime == 0:
            rest //= prime
    return width <= np.log2(frames) * (1.5 if rest == 1 else 8)


def _overlaps(bins, places, count, nothing):
    """Tables that add up values by bin as gathers alone, which is the same sum in the same order on any device.

    Returns (tables, order): column c of a table holds the places of the values that fall into one bin, filled up with
    the place `nothing`; the tables side by side, taken in `order`, are the bins 0 ... count - 1.
    """
    sort = np.argsort(bins, kind="stable")
    bins, places = bins[sort], places[sort]
    depth = np.bincount(bins, minlength=count)
    rank = np.arange(len(bins)) - np.repeat(np.cumsum(depth) - depth, depth)
    full = np.full((max(depth.max(), 1), count), nothing)
    full[rank, bins] = places
    few = depth <= 4  # nearly all bins of a long signal; at low frequencies widened windows crowd
    tables = [np.ascontiguousarray(part) for part in (full[:4, few], full[:, ~few])]
    order = np.empty(count, dtype=np.int64)
    order[np.concatenate((np.flatnonzero(few), np.flatnonzero(~few)))] = np.arange(count)
    return tables, order


SCALES = {"oct": OctScale, "log": LogScale, "mel": MelScale}


def block_rms(magnitude, downsample):
    """The root of the mean square of blocks of `downsample` frames: (bands, frames) to (bands, blocks).

    The last block may be shorter. Energy is kept, where a mean of magnitudes would lose it.
    """
    starts = np.arange(0, magnitude.shape[-1], downsample)
    sums = np.add.reduceat(np.square(magnitude, dtype=np.float64), starts, axis=-1)
    return np.sqrt(sums / np.diff(starts, append=magnitude.shape[-1])).astype(np.float32)


def fit_length(samples, length, fade):
    """Pad with silence, or trim with a fade of at most `fade` samples, to `length` samples."""
    if len(samples) <= length:
        return np.pad(samples, (0, length - len(samples)))
    samples, fade = samples[:length].copy(), min(fade, length)
    samples[length - fade:] *= 0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 1) / fade)
    return samples


def make_transform(settings, samples, dtype="float32", device="cpu"):
    """The NSGT that nsgt.json describes, for sounds of that many samples: all bands, in matrix form."""
    scale = SCALES[settings["scale"]](settings["min_freq"], settings["max_freq"], settings["bins"])
    return NSGT(scale, settings["rate"], samples, matrixform=True, dtype=dtype, device=device)


@functools.lru_cache(maxsize=8)
def _transform(settings, samples):
    """make_transform, remembered, of the items of a dictionary; with the text of its warning or None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        transform = make_transform(dict(settings), samples)
    return transform, next((str(warning.message) for warning in caught), None)


def load_sound(path, settings):
    """A sound at the rate and length that the settings of nsgt.json ask for: float32, shape (samples,)."""
    samples, rate = load_audio(path, settings["rate"])
    if settings["seconds"] is not None:
        samples = fit_length(samples, round(settings["seconds"] * rate), fade=round(FADE_SECONDS * rate))
    if len(samples) < 4:
        raise ValueError(f"{path}: expected at least 4 samples at {rate} Hz, found {len(samples)}; --seconds pads it")
    return samples


def convert_file(source, target, settings):
    """Write the coefficients of one sound as `target`; returns what nsgt.json keeps of it, and a warning or None.

    With downsample 1 the file holds complex64 (frames, bands), else magnitudes, float32 (blocks, bands).
    """
    import torch

    stamp = file_stamp(source)
    samples = load_sound(source, settings)
    transform, warning = _transform(tuple(settings.items()), len(samples))
    with torch.inference_mode():
        coefficients = transform.forward(samples).numpy()  # (bands, frames)
    if settings["downsample"] > 1:
        coefficients = block_rms(np.abs(coefficients), settings["downsample"])
    with replacing(target) as temporary:
        np.save(temporary, np.ascontiguousarray(coefficients.T))
    return {"source": str(source), "stamp": stamp, "samples": len(samples)}, warning


def file_stamp(path):
    """Size in bytes and time of the last change: another stamp means that a sound has to be converted again."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def reconstruction_error(source, target, settings):
    """How far the way there and back changes a sound, in dB re the sound; -inf for silence.

    The way leads through the file `target` where that holds complex coefficients, else through the transform alone, as
    magnitudes have no way back without griffin_lim.py.
    """
    samples = load_sound(source, settings)
    transform, _ = _transform(tuple(settings.items()), len(samples))
    coefficients = np.load(target).T if settings["downsample"] == 1 else transform.forward(samples)
    error = np.linalg.norm(transform.backward(coefficients).numpy() - samples)
    with np.errstate(divide="ignore"):
        return float(20 * np.log10(error / np.linalg.norm(samples))) if error else -np.inf


def find_sounds(folder):
    """The sounds of a folder and below, or the one file: a dictionary from output name (a/b.npy) to path, sorted.

    Two sounds that differ in the suffix alone keep it: a.wav.npy, a.flac.npy.
    """
    folder = Path(folder)
    if not folder.is_dir():
        os.stat(folder)  # a missing one is an OSError that names it
        return {f"{folder.stem}.npy": folder}
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"{folder}: expected sounds ({' '.join(SUFFIXES)}), found none")
    stems = [path.relative_to(folder).with_suffix("") for path in paths]
    counts = Counter(stems)
    return {(path.relative_to(folder) if counts[stem] > 1 else stem).as_posix() + ".npy": path
            for path, stem in zip(paths, stems)}


def convert_folder(sounds, output, settings, workers=1, scheduler=None, overwrite=False, check=False):
    """Convert the sounds of a folder to coefficients, one .npy each, and write nsgt.json beside them.

    Args:
        sounds: a folder, walked whole, or a file.
        output: the folder for the results, of the same tree.
        settings: a dictionary of SETTINGS' names: scale, rate (Hz), downsample, min_freq, max_freq (Hz), bins, seconds.
        workers: processes on this machine.
        scheduler: the address of a Dask scheduler to use in their place; its workers must see the same folders.
        overwrite: convert again what is there already and up to date.
        check: measure the reconstruction error of every sound.

    Returns:
        A dictionary: converted, skipped (counts), failed ({path: reason}), errors ({path: dB}) with check, seconds of
        audio converted, warnings ({text: count}), elapsed (seconds).
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    job = importlib.import_module(Path(__file__).stem)._job  # by its name: workers cannot see what runs as __main__
    sounds, output = find_sounds(sounds), Path(output)
    try:
        _transform(tuple(settings.items()), settings["rate"])  # a wrong scale is said once, before any work
    except ValueError as error:
        raise ValueError(f"--min_freq, --max_freq, --bins or --rate: {error}") from error
    index = output / INDEX
    known = read_index(index)["files"] if index.exists() else {}
    if known and read_index(index)["settings"] != settings:
        if others := sorted(set(known) - set(sounds)):
            raise ValueError(f"{index}: {len(others)} other sounds ({others[0]}, ...) are there with other parameters; "
                             "choose another output folder")
        known = {}
    stale = [name for name, path in sounds.items() if overwrite or not _up_to_date(name, path, output, known)]
    names = list(sounds) if check else stale
    result = {"converted": 0, "skipped": len(sounds) - len(stale), "failed": {}, "errors": {}, "seconds": 0.0,
              "warnings": Counter()}
    began = saved = time.perf_counter()
    todo = set(stale)
    jobs = (delayed(job)(name, sounds[name].resolve(), (output / name).resolve(), settings, name in todo, check)
            for name in names)
    with _backend(workers, scheduler) as options:
        done = Parallel(return_as="generator_unordered", **options)(jobs) if names else ()
        for name, record, warning, error, reason in tqdm(done, total=len(names), unit="sound", disable=None):
            if reason:
                result["failed"][str(sounds[name])] = reason
                known.pop(name, None)
                continue
            if record:
                known[name] = record
                result["converted"] += 1
                result["seconds"] += record["samples"] / settings["rate"]
            if warning:
                result["warnings"][warning] += 1
            if check:
                result["errors"][str(sounds[name])] = error
            if time.perf_counter() - saved > 5:  # so that a job that is stopped keeps what it has done
                _write_index(index, settings, known)
                saved = time.perf_counter()
    if known:
        _write_index(index, settings, known)
    result["elapsed"] = time.perf_counter() - began
    return result


def _job(name, source, target, settings, convert, check):
    """One sound in a worker: (name, record, warning, error in dB, reason of failure), None where there is none."""
    import torch

    torch.set_num_threads(1)  # the workers share the processor already
    record = warning = error = None
    try:
        if convert:
            record, warning = convert_file(source, target, settings)
        if check:
            error = reconstruction_error(source, target, settings)
    except USER_ERRORS as reason:
        return name, None, None, None, one_line(reason)
    return name, record, warning, error, None


def _up_to_date(name, path, output, known):
    """Is the sound's file there, made with these settings from this very file?"""
    record = known.get(name)
    if record is None or not (output / name).is_file():
        return False
    return record["source"] == str(path.resolve()) and record["stamp"] == file_stamp(path)


@contextlib.contextmanager
def _backend(workers, scheduler):
    """The options of joblib.Parallel: processes of this machine, or those of a Dask cluster."""
    if scheduler is None:
        yield {"n_jobs": workers}
        return
    try:
        client_of = importlib.import_module("dask.distributed").Client
    except ImportError as error:
        raise ValueError("--scheduler: needs the package dask (pip install \"dask[distributed]\")") from error
    from joblib import parallel_config

    with client_of(scheduler) as client:
        for module in (Path(__file__).with_name("command_line.py"), Path(__file__)):
            client.upload_file(str(module))  # for workers of today and of later
        with parallel_config(backend="dask", wait_for_workers_timeout=60):
            yield {"n_jobs": -1}


def read_index(path):
    """The parsed nsgt.json: {"settings": {...}, "files": {name: {"source", "stamp", "samples"}}}."""
    try:
        index = json.loads(Path(path).read_text(encoding="utf-8"))
        if set(index["settings"]) != set(SETTINGS) or not isinstance(index["files"], dict):
            raise KeyError("settings")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the {INDEX} of an audio2nsgt.py, found something else ({error})") from error
    return index


def _write_index(path, settings, files):
    with replacing(path) as temporary:
        text = json.dumps({"settings": settings, "files": dict(sorted(files.items()))}, indent=1)
        temporary.write_text(text, encoding="utf-8")


def load_transform(path):
    """Read one .npy of this script, and what the nsgt.json beside or above it says of it.

    Returns:
        (picture, settings, samples): complex64 or float32 (frames, bands); the settings; the sound's length in samples.

    Raises:
        OSError, ValueError: naming the file, where it or its nsgt.json cannot be read or they do not fit.
    """
    path = Path(path).resolve()
    index = next((folder / INDEX for folder in path.parents if (folder / INDEX).is_file()), None)
    try:
        picture = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected a .npy of audio2nsgt.py, found a file that is none ({error})") from error
    if index is None:
        raise ValueError(f"{path}: expected {INDEX} in its folder or one above, found none")
    described = read_index(index)
    record = described["files"].get(path.relative_to(index.parent).as_posix())
    if record is None:
        raise ValueError(f"{path}: expected to be described in {index}, which does not know it")
    if picture.ndim != 2 or picture.dtype not in (np.complex64, np.float32) or not np.isfinite(picture).all():
        raise ValueError(f"{path}: expected finite complex64 or float32 of shape (frames, bands), found "
                         f"{picture.dtype} of shape {picture.shape}, or values not finite")
    return picture, described["settings"], record["samples"]


def load_transforms(folder):
    """Read all pictures of a folder that convert_folder wrote.

    Returns:
        (pictures, names, settings): a list of (frames, bands) arrays in the order of their names; the names without
        suffix ("Kick/one"); the settings.

    Raises:
        OSError, ValueError: naming the file.
    """
    folder = Path(folder)
    index = read_index(folder / INDEX)
    names = sorted(index["files"])
    if not names:
        raise ValueError(f"{folder / INDEX}: expected sounds, found none")
    pictures = [load_transform(folder / name)[0] for name in names]
    return pictures, [name.removesuffix(".npy") for name in names], index["settings"]


def plot_sound(path, settings, figure_path):
    """Draw a sound: its waveform, its coefficients on their frequency axis in dB, and what comes back from them."""
    from matplotlib.figure import Figure

    samples = load_sound(path, settings)
    transform, _ = _transform(tuple(settings.items()), len(samples))
    coefficients = transform.forward(samples)
    back = transform.backward(coefficients).numpy()
    magnitude = coefficients.abs().numpy()
    level = 20 * np.log10(np.maximum(magnitude / max(magnitude.max(), 1e-30), 1e-5))
    seconds = np.arange(len(samples)) / settings["rate"]
    error = np.linalg.norm(back - samples) / max(np.linalg.norm(samples), 1e-30)

    figure = Figure(figsize=(9, 8), layout="constrained")
    wave, picture, again = figure.subplots(3, 1, sharex=True, height_ratios=(1, 2.5, 1))
    wave.plot(seconds, samples, linewidth=0.6)
    wave.set(ylabel="amplitude", title=Path(path).name)
    # each band is drawn from midway to the band below to midway to the band above; 0 Hz has no place on a log axis
    centres = transform.frequencies
    edges = np.concatenate(([centres[1] ** 2 / centres[2]], np.sqrt(centres[1:-1] * centres[2:]), centres[-1:]))
    frames = np.linspace(0, len(samples) / settings["rate"], magnitude.shape[1] + 1)
    image = picture.pcolormesh(frames, edges, level[1:], cmap="magma", rasterized=True)
    picture.set(yscale="linear" if settings["scale"] == "mel" else "log", ylabel="frequency (Hz)",
                title=f"{len(centres)} bands x {magnitude.shape[1]} frames, {settings['scale']} scale")
    figure.colorbar(image, ax=picture, label="magnitude (dB re maximum)")
    again.plot(seconds, back, linewidth=0.6)
    again.set(ylabel="amplitude", xlabel="time (s)", xlim=(0, len(samples) / settings["rate"]),
              title=f"reconstruction, error {20 * np.log10(max(error, 1e-30)):.0f} dB")
    with replacing(figure_path) as temporary:
        figure.savefig(temporary, dpi=130)


def main(argv=None):
    """Convert a file or a folder as the command line says; returns the dictionary of convert_folder, or status 1."""
    parser = Parser(__doc__)
    parser.add_argument("-i", "--input", type=Path, default=Path(__file__).parent / "dataset_audio", metavar="PATH",
                        help="a sound, or a folder of sounds, walked whole (default: dataset_audio)")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER",
                        help="the folder for the coefficients (default: results)")
    group = parser.add_argument_group("the transform")
    group.add_argument("-s", "--scale", choices=sorted(SCALES), default="oct", help="spacing of bands (default: oct)")
    group.add_argument("-r", "--rate", type=number(int, 1000, 384000), default=22050, metavar="HZ",
                       help="sample rate that sounds are brought to (default: 22050)")
    group.add_argument("-d", "--downsample", type=number(int, 1), default=20, metavar="D",
                       help="frames per block of magnitudes (default: 20); 1: every frame, with its phase")
    group.add_argument("--min_freq", type=number(float, 1e-3), default=30.0, metavar="HZ", help="default: 30")
    group.add_argument("--max_freq", type=number(float, 1e-3), default=11000.0, metavar="HZ",
                       help="default: 11000; keep it near half of --rate: a gap is a wide band of many frames")
    group.add_argument("--bins", type=number(int, 1), default=48, metavar="N",
                       help="bands an octave (oct) or in all (log, mel); default: 48")
    group.add_argument("--seconds", type=number(float, 1e-3, 3600), metavar="S",
                       help="pad or trim every sound, with a short fade (default: each its own length)")
    group = parser.add_argument_group("the work")
    group.add_argument("--workers", type=number(int, 1), default=1, metavar="N", help="processes (default: 1)")
    group.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, tcp://host:8786, to work there")
    group.add_argument("--overwrite", action="store_true", help="convert again what is up to date")
    group.add_argument("--check", action="store_true", help="print the reconstruction error of every sound, in dB")
    group.add_argument("--plot", type=Path, metavar="FILE", help="draw the (first) sound into a file (.png .pdf .svg)")
    arguments = parser.parse_args(argv)
    settings = {name: getattr(arguments, name) for name in SETTINGS}

    result = convert_folder(arguments.input, arguments.output, settings, arguments.workers, arguments.scheduler,
                            arguments.overwrite, arguments.check)
    for path, error in sorted(result["errors"].items()):
        print(f"{error:8.1f} dB  {path}")
    for text, count in list(result["warnings"].items())[:1]:
        more = sum(result["warnings"].values()) - count
        text += f"; and {more} sounds of other lengths alike" if more else ""
        print(f"{count} sound{'s' * (count > 1)}: {text}", file=sys.stderr)
    for path, reason in sorted(result["failed"].items()):
        print(f"left out: {reason if path in reason else f'{path}: {reason}'}", file=sys.stderr)
    speed = f" in {result['elapsed']:.1f} s: {result['converted'] / result['elapsed']:.1f} files/s, " \
            f"{result['seconds'] / result['elapsed']:.1f} s of audio a second" if result["converted"] else ""
    print(f"{arguments.output}: {result['converted']} converted{speed}; {result['skipped']} up to date, "
          f"{len(result['failed'])} left out")
    if result["converted"] + result["skipped"] == 0:
        return 1
    if arguments.plot:
        usable = [path for path in find_sounds(arguments.input).values() if str(path) not in result["failed"]]
        plot_sound(usable[0], settings, arguments.plot)
        print(f"{arguments.plot}: {usable[0]}")
    return result


if __name__ == "__main__":
    run(main)
