"""The limiter: nothing passes CEILING, and where nothing would, nothing changes but a delay of 2 ms.

    limiter = Limiter(sample_rate=44100)
    out = limiter.process(samples)                      # (2, n) as (2, n), limiter.delay samples later

Peaks are seen before they sound: the gain falls smoothly before each, and recovers exponentially. One gain for both
channels, so that nothing moves in the stereo image. Ours, since cylimiter 0.4.2 is mono and has no wheel for Python
3.13, numpy-audio-limiter 0.2.0 keeps no state between blocks, both pass their ceiling by 0.3 dB or more, and pedalboard
is GPL.
"""

import functools

import numpy as np

CEILING = 0.95  # -0.4 dB
LOOK_AHEAD, RELEASE = 0.002, 0.06  # seconds: of the fall, and until 1 / e of a reduction is left
LEAST = 1e-6  # a reduction below it is none


class Limiter:
    """A limiter of a stream in blocks of any size; what it gives does not depend on them."""

    def __init__(self, sample_rate):
        self.delay = max(1, round(LOOK_AHEAD * sample_rate))
        self._release = RELEASE * sample_rate  # samples
        self.memory = 3 * self.delay + int(-np.log(LEAST) * self._release)  # samples that it depends on
        self._late = np.zeros((2, self.delay), np.float32)  # samples not yet given
        self._needed = np.zeros(self.delay)  # reductions that they need
        self._held = np.zeros(self.delay)  # the last reductions before they are smoothed

    def process(self, samples):
        """The stream `delay` samples later, limited: float32 (2, n) as (2, n)."""
        most = len(decays(self._release))
        blocks = [self._process(samples[:, begin:begin + most]) for begin in range(0, samples.shape[1], most)]
        return np.concatenate(blocks, axis=1) if len(blocks) > 1 else (blocks or [samples])[0]

    def _process(self, samples):
        count = samples.shape[1]
        late = np.concatenate([self._late, samples], axis=1)  # (2, delay + n)
        self._late, late = late[:, count:], late[:, :count]
        peak = np.abs(samples).max(0)  # (n,)
        needed = np.zeros(count)
        if peak.max() <= CEILING and not self._needed.any() and not self._held.any():
            return late
        np.divide(peak - CEILING, peak, out=needed, where=peak > CEILING)
        needed = np.concatenate([self._needed, needed])  # (delay + n,)
        held = np.concatenate([self._held, self._recover(sliding_maximum(needed, self.delay + 1))])  # (delay + n,)
        self._needed, self._held = needed[-self.delay:], held[-self.delay:]
        half = self.delay // 2 + 1  # two means, one of the other, reach over `delay` samples
        reduction = sliding_mean(sliding_mean(held[1:], half), self.delay + 1 - half)  # (n,)
        return np.clip(late * (1 - reduction), -CEILING, CEILING).astype(np.float32)

    def _recover(self, needed):
        """At each sample the largest of what is needed (n,) and of what was, by then decayed: (n,)."""
        decay = decays(self._release)[:len(needed)]
        held = np.maximum(np.maximum.accumulate(needed / decay), self._held[-1]) * decay
        held[held < LEAST] = 0
        return held


@functools.lru_cache(maxsize=4)
def decays(release):
    """What is left of 1 after each sample, so many as can be divided by with no loss: float64 (n,)."""
    return np.exp(-np.arange(1, 2 + int(16 * release)) / release)


def sliding_maximum(values, width):
    """The maximum of each `width` neighbours: (n,) as (n - width + 1,)."""
    have = 1
    while have < width:  # twice as wide by two that overlap
        step = min(have, width - have)
        values, have = np.maximum(values[step:], values[:len(values) - step]), have + step
    return values


def sliding_mean(values, width):
    """The mean of each `width` neighbours, exactly 0 where all are: (n,) as (n - width + 1,)."""
    sums = np.concatenate([[0], np.cumsum(values)])
    return (sums[width:] - sums[:-width]) / width
