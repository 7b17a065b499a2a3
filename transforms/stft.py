"""The short-time Fourier transform, forward and backward, with the interface of NSGT.

    transform = STFT(fft_size=1024, hop=256, Ls=len(signal))
    signal = transform.backward(transform.forward(signal))          # complex (bins, frames) between
"""

import numpy as np
import torch


class STFT:
    """The short-time Fourier transform of signals of one length, with a Hann window.

    Frames are centred on the samples 0, hop, 2 hop, ...; beyond its ends the signal is silent, as with
    librosa.stft(pad_mode="constant"). `backward` is the least-squares inverse, exact for what `forward` gives.

    Args:
        fft_size: samples of a window.
        hop: samples from window to window, at most half of fft_size.
        Ls: length of the signals in samples.
        dtype: float32 or float64, torch's or NumPy's.
        device: the torch device of coefficients and signals.
    """

    def __init__(self, fft_size, hop, Ls, dtype="float32", device="cpu"):
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
        signal = torch.as_tensor(signal, dtype=self.dtype, device=self.device)
        if signal.ndim not in (1, 2) or signal.shape[-1] != self.Ls:
            raise ValueError(f"signal: expected shape ({self.Ls},) or (B, {self.Ls}), found {tuple(signal.shape)}")
        padded = torch.nn.functional.pad(signal, (self.fft_size // 2, self.fft_size))
        frames = padded.unfold(-1, self.fft_size, self.hop)[..., :self.frames, :]  # (..., frames, fft_size)
        return torch.fft.rfft(frames * self.window).mT

    def backward(self, coefficients):
        """Complex (bins, frames) or (B, bins, frames) to signals of the nearest STFT, (samples,) or (B, samples)."""
        shape = (self.fft_size // 2 + 1, self.frames)
        if coefficients.ndim not in (2, 3) or coefficients.shape[-2:] != shape:
            raise ValueError(f"coefficients: expected shape {shape} or (B, {shape[0]}, {shape[1]}), found "
                             f"{tuple(coefficients.shape)}")
        frames = torch.fft.irfft(coefficients.mT, n=self.fft_size).mul_(self.window)
        signal = self._overlap_add(frames.reshape(-1, *frames.shape[-2:])) / self.weight
        return signal.view(*coefficients.shape[:-2], self.Ls)

    def _overlap_add(self, frames):
        """Windows (B, frames, fft_size) added up to signals (B, samples)."""
        parts = -(-self.fft_size // self.hop)
        frames = torch.nn.functional.pad(frames, (0, parts * self.hop - self.fft_size))
        frames = frames.view(len(frames), self.frames, parts, self.hop)
        total = frames.new_zeros(len(frames), self.frames + parts, self.hop)
        for part in range(parts):
            total[:, part:part + self.frames] += frames[:, :, part]
        return total.view(len(frames), -1)[:, self.fft_size // 2:self.fft_size // 2 + self.Ls]
