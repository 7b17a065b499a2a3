"""Circuits: what the voices of make_sounds.py are built from.

    t = axis(0.5)                                       # half a second at RATE
    tone = shell(t, swept(t, 50.0, 4.0, 0.011), 0.5)    # a sine that sighs from 200 Hz down to 50 and dies in 0.5 s
    tone = filtered(tone, ("low", 3000.0, 0.7), ("shelf", 1000.0, 0.5))

After known circuits and instruments:
    [bass drum] K. J. Werner, J. S. Abel, J. O. Smith: A physically-informed, circuit-bendable, digital model of the
        Roland TR-808 bass drum circuit. DAFx 2014. A bridged-T resonator whose pitch starts high and sighs down.
    [cymbal] K. J. Werner, J. S. Abel, J. O. Smith: The TR-808 cymbal: a physically-informed, circuit-bendable, digital
        model. ICMC 2014. Six inharmonic squares through band-pass filters, each band with its own decay.
    [membrane] N. H. Fletcher, T. D. Rossing: The Physics of Musical Instruments. Springer 1998. The modes of a
        circular membrane (3.4), and of plates, whose modes are as dense in each hertz (3.15, 20.1).
    [fm] J. M. Chowning: The synthesis of complex audio spectra by means of frequency modulation. JAES 21(7), 1973.
    [blep] V. Valimaki, A. Huovilainen: Antialiasing oscillators in subtractive synthesis. IEEE Signal Processing
        Magazine 24(2), 2007.
"""

import numpy as np

RATE = 44100
LONGEST = 2.0  # seconds
SQUARES_HZ = np.array([205.3, 304.4, 369.6, 522.7, 540.0, 800.0])  # the oscillators of the TR-808 [cymbal]
MEMBRANE = np.array([1.594, 2.136, 2.296, 2.653, 2.918])  # the modes above the lowest, over its frequency [membrane]


def axis(seconds):
    """The moments of the samples of so many seconds, at most LONGEST: float64 (n,), in seconds."""
    return np.arange(round(min(seconds, LONGEST) * RATE)) / RATE


def decay(t, seconds):
    """An exponential that has fallen by 60 dB after `seconds`."""
    return 10 ** (-3 * t / seconds)


def filtered(samples, *stages):
    """Samples (n,) through filters: float64 (n,). A filter is ("low" | "high" | "band", hz, q) or ("shelf" | "peak",
    hz, gain).

    The stages are the bilinear transforms of the analogue filters, so they are causal: nothing sounds before the
    strike. The whole one-shot is filtered at once, in the frequency domain, with room behind it for the ringing.
    """
    size = 1 << (len(samples) + 2048).bit_length()
    # s = j tan(pi f / rate) is the analogue frequency that the bilinear transform maps to f; the last is infinite
    s = 1j * np.tan(np.pi * np.minimum(np.arange(size // 2 + 1) / size, 0.5 - 1e-9))
    spectrum = np.fft.rfft(samples, size)
    for kind, hz, q in stages:
        x = s / np.tan(np.pi * min(hz, 0.49 * RATE) / RATE)
        if kind == "shelf":
            spectrum *= (q * x + 1) / (x + 1)  # above hz, times q
        elif kind == "peak":
            spectrum *= (x * x + q * x + 1) / (x * x + x + 1)  # around hz, times q
        else:
            spectrum *= {"low": 1, "band": x / q, "high": x * x}[kind] / (x * x + x / q + 1)
    return np.fft.irfft(spectrum, size)[:len(samples)]


def noise(rng, count, clock_hz=RATE):
    """White noise; below the full rate, the digital kind: a random bit held for each tick of a clock."""
    if clock_hz >= RATE:
        return rng.standard_normal(count)
    ticks = (np.arange(count) * clock_hz / RATE).astype(int)
    return rng.choice([-1.0, 1.0], ticks[-1] + 1)[ticks]


def square(t, hz, start=0.0):
    """A square wave from phase `start` in cycles, its edges rounded by a polynomial against aliasing [blep]."""
    step = hz / RATE
    up = (hz * t + start) % 1
    down = (up + 0.5) % 1
    return np.where(up < 0.5, 1.0, -1.0) + _edge(up, step) - _edge(down, step)


def _edge(phase, step):
    rounding = np.zeros_like(phase)
    after, before = phase < step, phase > 1 - step
    x = phase[after] / step
    rounding[after] = 2 * x - x * x - 1
    x = (phase[before] - 1) / step
    rounding[before] = x * x + 2 * x + 1
    return rounding


def swept(t, hz, ratio, seconds):
    """Cycles of an oscillator that starts at `ratio` times `hz` and falls towards it with time constant `seconds`."""
    return hz * (t + (ratio - 1) * seconds * (1 - np.exp(-t / seconds)))


def shell(t, cycles, seconds, bend=0.0, skin=0.0):
    """A struck resonator: a sine (bend 0) to a triangle (bend 1) and, by `skin`, the upper modes of a membrane."""
    tone = np.sin(2 * np.pi * cycles)
    if bend:
        tone += bend * (np.sin(10 * np.pi * cycles) / 25 - np.sin(6 * np.pi * cycles) / 9)
    tone *= decay(t, seconds)
    for ratio in MEMBRANE if skin else ():
        tone += skin / ratio * np.sin(2 * np.pi * ratio * cycles) * decay(t, seconds / ratio ** 2)
    return tone


def click(t, hz):
    """The trigger pulse of a voice: a millisecond, rounded at hz."""
    return filtered(np.exp(-t / 0.0005), ("low", hz, 0.7))


def metal(rng, t, tune_ratio, spread, noisy, clock_hz=RATE, ring=0.0):
    """The source of hats and cymbals: six squares, detuned at random by `spread`, and noise by `noisy` (0 to 1).

    By `ring`, each square is multiplied with its neighbour: sums and differences of their harmonics.
    """
    tones = [square(t, hz * tune_ratio * np.exp(spread * rng.standard_normal()), rng.random()) for hz in SQUARES_HZ]
    source = sum(tones)
    if ring:
        source = (1 - ring) * source + ring * sum(one * other for one, other in zip(tones, tones[1:]))
    return (1 - noisy) * source / 2.5 + noisy * noise(rng, len(t), clock_hz)


def saturated(samples, drive):
    """Samples at peak 1 through a soft clipper; drive 0 leaves them."""
    samples = samples / max(np.abs(samples).max(), 1e-12)
    return np.tanh(drive * samples) / np.tanh(drive) if drive > 0.05 else samples


def modes(t, hz, seconds, amplitude, phase):
    """The sum of decaying sines: hz, seconds (to -60 dB), amplitude and phase (radians) are (modes,), t (n,) -> (n,).

    exp(a (256 k + j)) = exp(256 a k) exp(a j): one matrix product of blocks and steps instead of n sines for each mode.
    """
    exponent = (2j * np.pi * np.minimum(hz, 0.49 * RATE) - np.log(1000) / seconds) / RATE  # a sample
    blocks = -(-len(t) // 256)
    within = (amplitude * np.exp(1j * phase))[:, None] * np.exp(exponent[:, None] * np.arange(256))  # (modes, 256)
    starts = np.exp(256 * exponent * np.arange(blocks)[:, None])  # (blocks, modes)
    return (starts @ within).imag.reshape(-1)[:len(t)]


def stroke(rng, t, hz, seconds):
    """The noise of a stick or a beater around hz, at unit level, gone after `seconds`."""
    hit = filtered(noise(rng, len(t)), ("band", hz, 0.5), ("high", 0.25 * hz, 0.7))
    return unit(hit) * decay(t, seconds)


def softened(samples, seconds):
    """Samples whose first `seconds` rise from zero as half a cosine: nothing steps at the first."""
    count = min(max(round(seconds * RATE), 2), len(samples) // 4)
    samples = samples.copy()
    samples[:count] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(count) / count)
    return samples


def unit(samples):
    """Samples at standard deviation 1."""
    return samples / max(samples.std(), 1e-12)
