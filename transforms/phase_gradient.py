"""First phases from the slopes of a magnitude: all bands of an attack meet at its instant, without an iteration.

    phase = gradient_phase(magnitude, transform.centres, transform.widths)   # of an NSGT: complex (B, bands, frames)
    signal = transform.backward(magnitude * phase)                           # (B, samples)

After Prusa, Balazs and Soendergaard 2017, "A noniterative method for reconstruction of phase from STFT magnitude".
"""

import heapq

import numpy as np
import torch

VARIANCE = 0.035  # of the Gaussian nearest to the middle of a Hann window's transform, in squares of the window's width


def gradient_phase(magnitude, centres, widths, context=None):
    """Phases relative to tones at the bands' centres, summed up from the loudest points outwards.

    A phase's slope in time is 2 pi times how far the frequency there is above the centre, its slope in frequency
    -2 pi times the instant of the energy there; a magnitude implies both (`offsets`, `instants`).

    Args:
        magnitude: (B, bands, frames), not negative.
        centres, widths: of the bands' Hann windows, (bands,), in cycles in the whole sound.
        context: phases of the lowest bands where they are known, complex (B, fewer bands, frames).
    Returns:
        complex numbers of length 1, (B, bands, frames).
    """
    centres, widths = np.asarray(centres, float), np.asarray(widths, float)
    old, found = 0 if context is None else context.shape[1], []
    for number, level in enumerate(magnitude.cpu().numpy().astype(float)):
        level = level + 1e-8 * max(level.max(), 1e-30)
        off, when = offsets(level, centres, widths), instants(level, widths)
        right = np.pi * (off + np.roll(off, -1, 1)) / off.shape[1]                        # (bands, frames)
        up = -np.pi * np.diff(centres)[:, None] * (when[1:] + when[:-1])                  # (bands - 1, frames)
        phase = np.zeros(level.shape)
        if old:
            phase[:old] = context[number].angle().cpu().numpy()
        found.append(spread(level, right, up, phase, old))
    return torch.exp(1j * torch.as_tensor(np.stack(found))).to(magnitude.device, magnitude.dtype.to_complex())


def instants(level, widths):
    """When the energy at each point sounds, as a share of the whole sound: (bands, frames), as `level` above 0 is.

    For a Gaussian window of variance v that is t + d log|c| / dt / (4 pi^2 v) (their eq. 12).
    """
    frames, log = level.shape[1], np.log(level)
    slope = (np.roll(log, -1, 1) - np.roll(log, 1, 1)) * frames / 2  # the sound is a circle
    return np.arange(frames) / frames + slope / (4 * np.pi**2 * VARIANCE * widths[:, None] ** 2)


def offsets(level, centres, widths):
    """How far the frequency at each point is above its band's centre: (bands, frames), in the unit of `widths`.

    Of a tone, two bands with Hann windows of one width give it exactly; of what those above and below give, the mean by
    their magnitudes is taken, which is 0 for a click. (Gaussian windows would do for bands that are nearer together.)
    """
    total, weight = np.zeros(level.shape), 1e-30
    for side in (1, -1):
        other = np.arange(len(centres))
        for _ in centres:  # the next band a quarter of a window away, where there is one: low ones share their bins
            near = np.abs(centres[other] - centres) < widths / 4
            if not near.any():
                break
            other = np.where(near, other + side, other).clip(0, len(centres) - 1)
        angle = np.pi * np.clip(np.abs(centres[other] - centres) / widths, 0.25, 0.75)[:, None]
        ratio = np.sqrt(level[other] / level)
        off = side * widths[:, None] / np.pi * np.arctan((ratio - np.cos(angle)) / np.sin(angle))
        part = level[other] * (other != np.arange(len(centres)))[:, None]
        total, weight = total + part * off, weight + part
    return total / weight


def spread(level, right, up, phase, old=0):
    """Phases (bands, frames), beginning at the loudest point, or at the lowest `old` bands of `phase`.

    right, up: the phase's steps to the next frame (bands, frames), after the last the first, and to the next band
    (bands - 1, frames).
    """
    bands, frames = level.shape
    free = np.repeat(np.arange(bands + 1) < bands, frames)  # an edge above, which negative indices reach as well
    free[:old * frames] = False
    first = range((old - 1) * frames, old * frames) if old else [int(np.argmax(level))]
    free[first] = False
    heap = [(-level.ravel()[i], i) for i in first]
    heapq.heapify(heap)
    up = np.pad(up, ((0, 1), (0, 0)))
    level, right, up, phase, free = (table.ravel().tolist() for table in (level, right, up, phase, free))
    while heap:
        i = heapq.heappop(heap)[1]
        after, before = i + 1 if (i + 1) % frames else i + 1 - frames, i - 1 if i % frames else i - 1 + frames
        above, below = i + frames, i - frames
        for j, turn in ((after, right[i]), (before, -right[before]), (above, up[i]), (below, -up[below])):
            if free[j]:
                free[j], phase[j] = False, phase[i] + turn
                heapq.heappush(heap, (-level[j], j))
    return np.reshape(phase, (bands, frames))
