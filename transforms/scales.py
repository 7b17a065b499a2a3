"""Frequency scales of the NSGT: where its bands lie, at equal ratios (octave, log), equal mels, or as given.

    frequencies, qualities = OctScale(30, 11000, 48)()              # Hz, float64 (bands,)
"""

import numpy as np


class Scale:
    """Centre frequencies of `bnds` bands, rising, between 0 Hz and Nyquist.

    A scale of your own is a subclass with a method F(bnd), the frequency in Hz of band number bnd (0, 1, ...):

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


class FixedScale(Scale):
    """The given frequencies, in Hz, float64 (bands,)."""

    def __init__(self, frequencies):
        super().__init__(len(frequencies))
        self.frequencies = frequencies

    def __call__(self):
        return self.frequencies, self.frequencies / np.gradient(self.frequencies) / 2
