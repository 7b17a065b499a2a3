"""What a drum sound is like, in numbers of its waveform: attack, decay, roughness, flatness, band, bursts.

    describe(samples, 44100)["attack_ms"]      # one sound: {name: number}, by the names of NAMES
    describe_all(waves, 44100)                 # a list of sounds: float64 (n, len(NAMES))

samples: mono, float (n,), at any level. An envelope is an rms over a sliding window, and its decibels are re its
maximum. Silence has the attack, the decay and the energy 0.
"""

import numpy as np

NAMES = ("attack_ms", "to_20_ms", "to_40_ms", "roughness_db", "flatness_db", "high_share", "low_share", "centroid_hz",
         "rolloff_hz", "bandwidth_octaves", "half_second_db", "bursts", "first_step", "crest_db")
SILENCE_DB = -80.0  # re the peak: what is softer to the last is no part of the sound
TINY = 1e-30


def envelope(samples, rate, seconds=0.001):
    """The rms over `seconds` about each sample, with silence before the first and after the last: (n,) -> (n,)."""
    width = max(1, round(seconds * rate))
    power = np.cumsum(np.pad(np.square(samples, dtype=np.float64), (width // 2 + 1, width)))
    return np.sqrt(np.maximum(power[width:width + len(samples)] - power[:len(samples)], 0) / width)


def attack_ms(samples, rate):
    """From where the 1 ms envelope first reaches 10 % of its maximum to where it first reaches 90 %, in ms."""
    loud = envelope(samples, rate)
    first, last = (np.argmax(loud >= share * loud.max()) for share in (0.1, 0.9))
    return 1000 * (last - first) / rate


def decay_ms(samples, rate, decibels):
    """From the maximum of the 20 ms envelope to where it is last within `decibels` of it, in ms."""
    loud = envelope(samples, rate, 0.02)
    return 1000 * (np.flatnonzero(loud >= 10 ** (-decibels / 20) * loud.max())[-1] - loud.argmax()) / rate


def falling_fit(values):
    """Of all sequences that never rise, the nearest in the mean square (pool adjacent violators): (n,) -> (n,)."""
    means, counts = [], []
    for value in values:
        means.append(value)
        counts.append(1)
        while len(means) > 1 and means[-2] < means[-1]:
            mean, count = means.pop(), counts.pop()
            means[-1] = (means[-1] * counts[-1] + mean * count) / (counts[-1] + count)
            counts[-1] += count
    return np.repeat(means, counts)


def roughness_db(samples, rate, seconds=0.02, decibels=40):
    """How unevenly a sound decays: the rms, in dB, of its level in steps of 20 ms about their falling_fit.

    From the loudest step to the last within `decibels` of it.
    """
    size = round(seconds * rate)
    power = np.square(np.pad(samples, (0, -len(samples) % size)), dtype=np.float64).reshape(-1, size).mean(1)
    level = 10 * np.log10(np.maximum(power, TINY) / max(power.max(), TINY))
    level = level[level.argmax():np.flatnonzero(level >= -decibels)[-1] + 1]
    return np.sqrt(np.mean((level - falling_fit(level)) ** 2))


def spectra(samples, size=2048):
    """Power spectra of Hann windows of `size` samples, the first about sample 0: (n,) -> (frames, size / 2 + 1)."""
    padded = np.pad(samples, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::size // 2]
    return np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1])) ** 2


def flatness_db(samples, rate, low=3000, high=6000, size=8192):
    """Geometric over arithmetic mean of the power spectrum from low to high Hz, in dB: noise has -2.5, metal less.

    Spectra of 8,192 samples (5 Hz at 44,100 Hz), so that partials stand apart; the mean over them, by their power.
    """
    power = spectra(samples, size)
    hertz = np.linspace(0, rate / 2, power.shape[1])
    power = power[:, (hertz >= low) & (hertz < high)]                                 # (frames, bins)
    mean = np.maximum(power.mean(1), TINY)
    flatness = 10 * np.mean(np.log10(np.maximum(power, TINY) / mean[:, None]), 1)
    return np.average(flatness, weights=mean)


def band_numbers(samples, rate):
    """Where a sound's energy lies: a dictionary.

    high_share, low_share: of it above 11 kHz, below 200 Hz. centroid_hz: its mean frequency. rolloff_hz: the one below
    which 85 % lie. bandwidth_octaves: the standard deviation of its frequency.
    """
    power = spectra(samples).sum(0)
    share = power / max(power.sum(), TINY)
    hertz = np.linspace(0, rate / 2, len(power))
    octaves = np.log2(np.maximum(hertz, 20))
    return {"high_share": share[hertz > 11000].sum(), "low_share": share[hertz < 200].sum(),
            "centroid_hz": share @ hertz, "rolloff_hz": hertz[np.argmax(np.cumsum(share) >= 0.85 * share.sum())],
            "bandwidth_octaves": np.sqrt(max(share @ octaves ** 2 - (share @ octaves) ** 2, 0))}


def level_db(samples, rate, at=0.5):
    """The 20 ms envelope at `at` seconds, in dB re its maximum; -100 where it is softer or the sound over."""
    loud, place = envelope(samples, rate, 0.02), round(at * rate)
    return max(20 * np.log10(max(loud[place], TINY) / max(loud.max(), TINY)), -100.0) if place < len(loud) else -100.0


def bursts(samples, rate, within=0.06):
    """How many bursts a sound's first 60 ms hold, as a clap's: peaks of the 2 ms envelope above 30 % of its maximum.

    Between two of them it falls below half of the former, and rises to twice the least.
    """
    loud = envelope(samples, rate, 0.002)
    count, peak, least = 0, 0.0, 0.0
    for value in loud[:round(within * rate)] / max(loud.max(), TINY):
        least = min(least, value)
        if peak:
            peak = max(peak, value)
            if value < peak / 2:
                peak, least = 0.0, value
        elif value >= max(0.3, 2 * least):
            count, peak = count + 1, value
    return count


def describe(samples, rate):
    """All descriptors of one sound (n,): {name: number}. What follows the last sample above -80 dB is left out.

    half_second_db: level_db. first_step: the first sample re the peak. crest_db: the peak re the rms, in dB.
    """
    samples = np.asarray(samples, np.float64)
    samples = samples / max(np.abs(samples).max(initial=0), TINY)
    ends = np.flatnonzero(np.abs(samples) > 10 ** (SILENCE_DB / 20))
    samples = samples[:ends[-1] + 1] if len(ends) else np.zeros(1)
    return {"attack_ms": attack_ms(samples, rate), "to_20_ms": decay_ms(samples, rate, 20),
            "to_40_ms": decay_ms(samples, rate, 40), "roughness_db": roughness_db(samples, rate),
            "flatness_db": flatness_db(samples, rate), **band_numbers(samples, rate),
            "half_second_db": level_db(samples, rate), "bursts": bursts(samples, rate), "first_step": abs(samples[0]),
            "crest_db": -10 * np.log10(max(np.mean(samples ** 2), TINY))}


def describe_all(waves, rate):
    """The descriptors of sounds, in the order of NAMES: a list of (samples,) -> float64 (n, len(NAMES))."""
    return np.array([[one[name] for name in NAMES] for one in (describe(wave, rate) for wave in waves)])
