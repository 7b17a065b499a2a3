"""Synthesise drum sounds: the default kit, or a collection of drum machines, as labelled one-shots by class.

python dataset_audio/make_sounds.py                       # 2,000 sounds of 50 machines, in dataset_audio/<class>/
python dataset_audio/make_sounds.py -n 400 -o data/sounds --seed 7
python dataset_audio/make_sounds.py --kit                 # the eight of the default kit, in dataset_audio/kit/

Every sound is mono at 44.1 kHz, strikes at its first sample and ends in silence. A sound's seed is made of --seed, its
machine, class and number, so the same command gives the same bytes, and a longer list begins with the shorter one.

How it is built: a few circuits (a swept shell, filtered noise, six squares, clap bursts) make the voices; a voice is a
function of musical parameters; a FAMILY is a voice with a range for each parameter, after one kind of machine; a
machine picks a family for each class, a place in its ranges, and a sound of its own for everything (converter, drive,
tone, room).

Modelled on known circuits and instruments:
    [bass drum] K. J. Werner, J. S. Abel, J. O. Smith: A physically-informed, circuit-bendable, digital model of the
        Roland TR-808 bass drum circuit. DAFx 2014. A bridged-T resonator whose pitch starts high and sighs down.
    [cymbal] K. J. Werner, J. S. Abel, J. O. Smith: The TR-808 cymbal: a physically-informed, circuit-bendable, digital
        model. ICMC 2014. Six inharmonic squares through band-pass filters, each band with its own decay.
    [membrane] N. H. Fletcher, T. D. Rossing: The Physics of Musical Instruments. Springer 1998. The modes of a
        circular membrane.
    [fm] J. M. Chowning: The synthesis of complex audio spectra by means of frequency modulation. JAES 21(7), 1973.
    [blep] V. Valimaki, A. Huovilainen: Antialiasing oscillators in subtractive synthesis. IEEE Signal Processing
        Magazine 24(2), 2007.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # this script stands in a folder of the project

from command_line import Parser, Progress, number, run  # noqa: E402
from formats.activation_matrix import INSTRUMENTS
from formats.audio import save_audio

RATE = 44100
LONGEST = 2.0  # seconds
SQUARES_HZ = np.array([205.3, 304.4, 369.6, 522.7, 540.0, 800.0])  # the oscillators of the TR-808 [cymbal]
MEMBRANE = np.array([1.594, 2.136, 2.296, 2.653, 2.918])  # the modes above the lowest, over its frequency [membrane]
LOUDNESS_DB = {"Kick": -15, "Snare": -17.5, "Clap": -19.5, "HHO": -25, "HHC": -27.5, "Tom": -17, "Cymb": -25,
               "Percu": -22}  # of the loudest 50 ms, RMS
PEAK = 0.45  # the loudest sample of any sound
EACH = 5  # sounds of a class in each machine
STRAYING, JITTER = 0.5, 0.25  # share of them from another family than the first; how far they lie apart in its ranges


# Circuits: what the voices are built from ---------------------------------------------------------------------------

def axis(seconds):
    """The moments of the samples of so many seconds, at most LONGEST: float64 (n,), in seconds."""
    return np.arange(round(min(seconds, LONGEST) * RATE)) / RATE


def decay(t, seconds):
    """An exponential that has fallen by 60 dB after `seconds`."""
    return 10 ** (-3 * t / seconds)


def filtered(samples, *stages):
    """Samples (n,) through filters, each ("low" | "high" | "band", hz, q) or ("shelf", hz, gain): float64 (n,).

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


def metal(rng, t, tune_ratio, spread, noisy, clock_hz=RATE):
    """The source of hats and cymbals: six squares, detuned at random by `spread`, and noise by `noisy` (0 to 1)."""
    source = sum(square(t, hz * tune_ratio * np.exp(spread * rng.standard_normal()), rng.random()) for hz in SQUARES_HZ)
    return (1 - noisy) * source / 2.5 + noisy * noise(rng, len(t), clock_hz)


def saturated(samples, drive):
    """Samples at peak 1 through a soft clipper; drive 0 leaves them."""
    samples = samples / max(np.abs(samples).max(), 1e-12)
    return np.tanh(drive * samples) / np.tanh(drive) if drive > 0.05 else samples


# Voices: (rng, parameters) -> samples (n,), at any level ------------------------------------------------------------

def kick(rng, tune_hz, decay_seconds, sweep_ratio, sweep_seconds, bend, skin, tick, tick_hz, beater, drive):
    """A bass drum: a swept shell, the tick of its trigger, the noise of a beater [bass drum, membrane]."""
    t = axis(1.2 * decay_seconds + 0.05)
    body = saturated(shell(t, swept(t, tune_hz, sweep_ratio, sweep_seconds), decay_seconds, bend, skin), drive)
    hit = filtered(noise(rng, len(t)) * decay(t, 0.03), ("low", tick_hz, 0.7), ("high", 0.3 * tick_hz, 0.7))
    return body + tick * click(t, tick_hz) + beater * hit


def snare(rng, tune_hz, mode_ratio, decay_seconds, sweep_ratio, skin, shell_level, wires_seconds, low_hz, high_hz,
          clock_hz, drive):
    """A snare drum: two shell modes and the noise of the wires, which decays in two parts."""
    t = axis(1.2 * max(decay_seconds, wires_seconds) + 0.05)
    modes = shell(t, swept(t, tune_hz, sweep_ratio, 0.012), decay_seconds, skin=skin)
    modes += 0.6 * shell(t, swept(t, tune_hz * mode_ratio, sweep_ratio, 0.008), 0.6 * decay_seconds)
    wires = noise(rng, len(t), clock_hz) * (0.6 * decay(t, 0.35 * wires_seconds) + 0.4 * decay(t, wires_seconds))
    wires = filtered(wires, ("high", low_hz, 0.7), ("low", high_hz, 0.7))
    return saturated(shell_level * modes / np.abs(modes).max() + (1 - shell_level) * wires / np.abs(wires).max(), drive)


def clap(rng, centre_hz, width, bursts, spacing_seconds, burst_seconds, tail_seconds, tail, air, clock_hz, drive):
    """Hands that do not quite meet: band-passed noise in a few short bursts, then a tail like a small room's."""
    t = axis(0.05 + bursts * spacing_seconds + 1.2 * tail_seconds)
    starts = np.arange(round(bursts)) * spacing_seconds * (1 + 0.15 * rng.standard_normal(round(bursts)))
    since = [np.where(t >= start, t - start, np.inf) for start in np.maximum(starts, 0)]
    envelope = np.maximum.reduce([np.exp(-moment / burst_seconds) for moment in since])
    envelope = np.maximum(envelope, tail * decay(since[-1], tail_seconds))
    hands = noise(rng, len(t), clock_hz) * envelope
    band = filtered(hands, ("band", centre_hz, 1 / width), ("high", 0.5 * centre_hz, 0.7))
    return saturated(_unit(band) + air * _unit(filtered(hands, ("high", 2.5 * centre_hz, 0.7))), drive)


def hat(rng, tune_ratio, spread, noisy, decay_seconds, low_hz, band_hz, band_q, snap, clock_hz):
    """A hi-hat: the metal source high-passed, a band of it raised, with a snap at the start [cymbal]."""
    t = axis(1.2 * decay_seconds + 0.02)
    source = metal(rng, t, tune_ratio, spread, noisy, clock_hz)
    bright = filtered(source, ("high", low_hz, 0.8), ("high", low_hz, 0.8))
    bright = bright / bright.std() + 1.5 * _unit(filtered(source, ("band", band_hz, band_q), ("high", low_hz, 0.8)))
    return bright * (decay(t, decay_seconds) + snap * decay(t, min(0.25 * decay_seconds, 0.05)))


def cymbal(rng, tune_ratio, spread, noisy, decay_seconds, low_hz, high_hz, wash, strike, bell, clock_hz):
    """A crash or a ride: three bands of the metal source, each with its own decay; the strike, and a bell [cymbal]."""
    t = axis(1.2 * decay_seconds + 0.02)
    source = metal(rng, t, tune_ratio, spread, noisy, clock_hz)
    low = _unit(filtered(source, ("band", low_hz, 1.2), ("high", 0.4 * low_hz, 0.7))) * decay(t, decay_seconds)
    middle = _unit(filtered(source, ("band", np.sqrt(low_hz * high_hz), 1.0), ("high", low_hz, 0.7)))
    middle *= decay(t, 0.8 * decay_seconds)
    top = _unit(filtered(source, ("high", high_hz, 0.7), ("high", 0.7 * high_hz, 0.7))) * decay(t, 0.5 * decay_seconds)
    hit = _unit(filtered(noise(rng, len(t)), ("high", low_hz, 0.7))) * decay(t, 0.08)
    partials = sum(np.sin(2 * np.pi * low_hz * ratio * t) for ratio in (0.31, 0.47, 0.81, 1.13))
    return low + 0.8 * middle + wash * top + strike * hit + bell * partials * decay(t, 0.7 * decay_seconds)


def tom(rng, tune_hz, decay_seconds, sweep_ratio, sweep_seconds, bend, skin, tick, tick_hz, rumble, rumble_ratio,
        drive):
    """A tom or a conga: a swept shell with a tick, and the noise of its head from tune_hz to rumble_ratio times it."""
    t = axis(1.2 * decay_seconds + 0.05)
    body = saturated(shell(t, swept(t, tune_hz, sweep_ratio, sweep_seconds), decay_seconds, bend, skin), drive)
    head = _unit(filtered(noise(rng, len(t)), ("low", rumble_ratio * tune_hz, 0.7), ("high", tune_hz, 0.7)))
    return body + rumble * 0.3 * head * decay(t, 0.6 * decay_seconds) + tick * click(t, tick_hz)


def cowbell(rng, tune_hz, interval_ratio, decay_seconds, ring, band_q):
    """Two squares (the TR-808 tunes them to 540 and 800 Hz) through a band-pass: a hard start and a softer ring."""
    t = axis(1.2 * decay_seconds + 0.02)
    pair = square(t, tune_hz, 0.0) + square(t, tune_hz * interval_ratio, 0.0)
    tone = filtered(pair, ("band", tune_hz * 1.6, band_q), ("high", tune_hz, 0.7))
    return tone * (decay(t, 0.06) + ring * decay(t, decay_seconds))


def block(rng, tune_hz, mode_ratio, decay_seconds, second, knock, knock_hz):
    """Clave, wood block, rim shot: two modes that die at once, and a knock of noise."""
    t = axis(1.2 * decay_seconds + 0.02)
    tone = np.sin(2 * np.pi * tune_hz * t) * decay(t, decay_seconds)
    tone += second * np.sin(2 * np.pi * tune_hz * mode_ratio * t) * decay(t, 0.7 * decay_seconds)
    return tone + knock * _unit(filtered(noise(rng, len(t)), ("high", knock_hz, 0.7))) * decay(t, 0.012)


def shaker(rng, decay_seconds, low_hz, band_hz, band_q, jingle, tune_ratio, strokes, clock_hz):
    """Maracas, cabasa, tambourine: high noise and, by `jingle`, high metal, in one stroke or two."""
    t = axis(1.2 * decay_seconds + 0.08)
    source = noise(rng, len(t), clock_hz) + 2 * jingle * metal(rng, t, tune_ratio, 0.1, 0.0)
    bright = filtered(source, ("high", low_hz, 0.7), ("high", low_hz, 0.7))
    bright += filtered(source, ("band", band_hz, band_q))
    envelope = decay(t, decay_seconds)
    if round(strokes) > 1:
        again = t - 0.045
        envelope = 0.5 * decay(t, 0.05) + np.where(again > 0, decay(np.maximum(again, 0), decay_seconds), 0)
    return bright * envelope


def bell(rng, tune_hz, mode_ratio, index, decay_seconds, sweep_ratio):
    """Agogo, triangle, electronic blip: frequency modulation whose index falls with the sound [fm]."""
    t = axis(1.2 * decay_seconds + 0.02)
    cycles = swept(t, tune_hz, sweep_ratio, 0.03)
    modulator = np.sin(2 * np.pi * mode_ratio * cycles)
    return np.sin(2 * np.pi * cycles + index * decay(t, 0.6 * decay_seconds) * modulator) * decay(t, decay_seconds)


def _unit(samples):
    return samples / max(samples.std(), 1e-12)


# Families: a voice and the range of each of its parameters, after one kind of machine -------------------------------
# A pair is a range, searched on a log scale where the name ends in _hz, _seconds or _ratio; a number is fixed. clock_hz
# is the machine's own.

FAMILIES = {
    "Kick": {
        "bridged": (kick, dict(tune_hz=(34, 62), decay_seconds=(0.25, 2.2), sweep_ratio=(1.5, 5),
                               sweep_seconds=(0.004, 0.015), bend=(0, 0.4), skin=0, tick=(0, 0.7), tick_hz=(800, 6000),
                               beater=(0, 0.05), drive=(0, 1.5))),
        "swept": (kick, dict(tune_hz=(38, 62), decay_seconds=(0.25, 1.2), sweep_ratio=(2.5, 7),
                             sweep_seconds=(0.01, 0.035), bend=(0, 1), skin=0, tick=(0.1, 1.2), tick_hz=(2000, 9000),
                             beater=(0.02, 0.6), drive=(0.3, 3.5))),
        "pad": (kick, dict(tune_hz=(32, 65), decay_seconds=(0.35, 1.3), sweep_ratio=(2, 6), sweep_seconds=(0.03, 0.09),
                           bend=(0.3, 1), skin=(0, 0.2), tick=(0, 0.8), tick_hz=(1500, 7000), beater=(0.1, 0.6),
                           drive=(0, 3))),
        "skin": (kick, dict(tune_hz=(38, 80), decay_seconds=(0.12, 0.5), sweep_ratio=(1.1, 2.2),
                            sweep_seconds=(0.008, 0.03), bend=(0, 0.5), skin=(0.2, 0.9), tick=(0.1, 1.4),
                            tick_hz=(1500, 7000), beater=(0.1, 2), drive=(0, 2))),
        "box": (kick, dict(tune_hz=(48, 95), decay_seconds=(0.07, 0.28), sweep_ratio=(1, 1.8),
                           sweep_seconds=(0.004, 0.02), bend=(0, 0.6), skin=0, tick=(0, 0.4), tick_hz=(500, 3000),
                           beater=(0, 0.1), drive=(0, 1.5))),
    },
    "Snare": {
        "modes": (snare, dict(tune_hz=(130, 240), mode_ratio=(1.5, 2.2), decay_seconds=(0.12, 0.5),
                              sweep_ratio=(1, 1.8), skin=0, shell_level=(0.25, 0.75), wires_seconds=(0.25, 1.0),
                              low_hz=(500, 3000), high_hz=(6000, 16000), drive=(0, 2))),
        "pad": (snare, dict(tune_hz=(110, 260), mode_ratio=(1.4, 2.4), decay_seconds=(0.15, 0.6),
                            sweep_ratio=(1.5, 3.5), skin=(0, 0.4), shell_level=(0.25, 0.8), wires_seconds=(0.3, 1.2),
                            low_hz=(200, 1800), high_hz=(3500, 12000), drive=(0, 3))),
        "drum": (snare, dict(tune_hz=(120, 280), mode_ratio=(1.4, 1.9), decay_seconds=(0.12, 0.7),
                             sweep_ratio=(1, 1.3), skin=(0.2, 1), shell_level=(0.35, 0.9), wires_seconds=(0.2, 0.9),
                             low_hz=(150, 2000), high_hz=(3000, 13000), drive=(0, 2.5))),
        "wires": (snare, dict(tune_hz=(150, 400), mode_ratio=(1.5, 2.2), decay_seconds=(0.04, 0.12),
                              sweep_ratio=(1, 1.5), skin=0, shell_level=(0, 0.4), wires_seconds=(0.15, 0.8),
                              low_hz=(300, 4000), high_hz=(7000, 18000), drive=(0, 1.5))),
    },
    "Clap": {
        "hands": (clap, dict(centre_hz=(900, 1500), width=(0.4, 1), bursts=(3, 4), spacing_seconds=(0.008, 0.014),
                             burst_seconds=(0.002, 0.006), tail_seconds=(0.2, 0.7), tail=(0.4, 0.9), air=(0.02, 0.25),
                             drive=(0, 2))),
        "crowd": (clap, dict(centre_hz=(1000, 2400), width=(0.7, 2), bursts=(4, 7), spacing_seconds=(0.004, 0.011),
                             burst_seconds=(0.003, 0.01), tail_seconds=(0.2, 0.7), tail=(0.3, 0.8), air=(0.05, 0.4),
                             drive=(0, 2.5))),
        "slap": (clap, dict(centre_hz=(700, 2000), width=(0.5, 1.6), bursts=(1, 3), spacing_seconds=(0.006, 0.02),
                            burst_seconds=(0.006, 0.02), tail_seconds=(0.12, 0.6), tail=(0.15, 0.6), air=(0.02, 0.35),
                            drive=(0, 2))),
    },
    "HHO": {
        "squares": (hat, dict(tune_ratio=(0.8, 1.4), spread=(0, 0.08), noisy=(0, 0.3), decay_seconds=(0.4, 1.8),
                              low_hz=(4500, 9000), band_hz=(6000, 11000), band_q=(1, 4), snap=(0, 0.8))),
        "noise": (hat, dict(tune_ratio=(0.8, 2), spread=(0, 0.2), noisy=(0.7, 1), decay_seconds=(0.35, 1.8),
                            low_hz=(3000, 10000), band_hz=(5000, 14000), band_q=(0.7, 3), snap=(0, 1))),
        "brass": (hat, dict(tune_ratio=(1.2, 3.5), spread=(0.1, 0.35), noisy=(0.1, 0.7), decay_seconds=(0.5, 2.0),
                            low_hz=(700, 6000), band_hz=(3500, 9000), band_q=(1, 5), snap=(0.2, 1.5))),
        "thin": (hat, dict(tune_ratio=(1, 2.5), spread=(0, 0.2), noisy=(0, 1), decay_seconds=(0.3, 1.2),
                           low_hz=(8000, 14000), band_hz=(9000, 16000), band_q=(1, 5), snap=(0, 1))),
    },
    "Tom": {
        "bridged": (tom, dict(tune_hz=(65, 230), decay_seconds=(0.35, 1.4), sweep_ratio=(1.05, 1.8),
                              sweep_seconds=(0.015, 0.06), bend=(0, 0.4), skin=0, tick=(0, 0.3), tick_hz=(800, 4000),
                              rumble=(0, 0.8), rumble_ratio=(2, 30), drive=(0, 1.5))),
        "pad": (tom, dict(tune_hz=(60, 260), decay_seconds=(0.3, 1.3), sweep_ratio=(1.8, 5),
                          sweep_seconds=(0.04, 0.16), bend=(0.2, 1), skin=(0, 0.3), tick=(0, 0.8),
                          tick_hz=(1500, 7000), rumble=(0.2, 3), rumble_ratio=(8, 90), drive=(0, 2.5))),
        "skin": (tom, dict(tune_hz=(70, 240), decay_seconds=(0.4, 1.8), sweep_ratio=(1, 1.25),
                           sweep_seconds=(0.03, 0.1), bend=(0, 0.4), skin=(0.3, 1.2), tick=(0.3, 2),
                           tick_hz=(2000, 8000), rumble=(0.3, 3), rumble_ratio=(8, 90), drive=(0, 1.5))),
        "box": (tom, dict(tune_hz=(90, 320), decay_seconds=(0.15, 0.6), sweep_ratio=(1, 1.3),
                          sweep_seconds=(0.01, 0.04), bend=(0, 0.8), skin=0, tick=(0, 0.5), tick_hz=(800, 4000),
                          rumble=(0, 0.5), rumble_ratio=(2, 40), drive=(0, 2))),
    },
    "Cymb": {
        "squares": (cymbal, dict(tune_ratio=(0.8, 1.5), spread=(0, 0.1), noisy=(0, 0.4), decay_seconds=(1.0, 3.5),
                                 low_hz=(3000, 8000), high_hz=(6000, 11000), wash=(0.4, 2.2), strike=(0, 1.5),
                                 bell=(0, 0.2))),
        "noise": (cymbal, dict(tune_ratio=(1, 3), spread=(0.05, 0.3), noisy=(0.75, 1), decay_seconds=(0.8, 3),
                               low_hz=(3000, 8000), high_hz=(6000, 12000), wash=(0.4, 2.5), strike=(0, 2), bell=0)),
        "brass": (cymbal, dict(tune_ratio=(1, 3.5), spread=(0.15, 0.4), noisy=(0.2, 0.8), decay_seconds=(1.0, 3.5),
                               low_hz=(1500, 6000), high_hz=(5000, 10000), wash=(0.5, 3), strike=(0.2, 2.5),
                               bell=(0, 0.3))),
        "ride": (cymbal, dict(tune_ratio=(1, 3), spread=(0.1, 0.4), noisy=(0, 0.4), decay_seconds=(1.0, 3.5),
                              low_hz=(2500, 7000), high_hz=(6000, 11000), wash=(0.5, 2), strike=(0.5, 3),
                              bell=(0.2, 1.5))),
    },
    "Percu": {
        "cowbell": (cowbell, dict(tune_hz=(380, 900), interval_ratio=(1.3, 1.62), decay_seconds=(0.15, 0.6),
                                  ring=(0.1, 0.9), band_q=(0.7, 3))),
        "clave": (block, dict(tune_hz=(1700, 3200), mode_ratio=(1.2, 2.6), decay_seconds=(0.04, 0.2), second=(0, 0.3),
                              knock=(0, 0.1), knock_hz=(2000, 8000))),
        "wood": (block, dict(tune_hz=(450, 1700), mode_ratio=(1.3, 2.6), decay_seconds=(0.06, 0.4), second=(0.1, 0.7),
                             knock=(0, 0.2), knock_hz=(1000, 6000))),
        "rim": (block, dict(tune_hz=(350, 1000), mode_ratio=(2.5, 4.5), decay_seconds=(0.015, 0.06), second=(0.5, 1.5),
                            knock=(0.1, 0.6), knock_hz=(1500, 7000))),
        "shaker": (shaker, dict(decay_seconds=(0.06, 0.4), low_hz=(2000, 8000), band_hz=(4000, 11000), band_q=(0.7, 4),
                                jingle=0, tune_ratio=1, strokes=(1, 2))),
        "tambourine": (shaker, dict(decay_seconds=(0.2, 0.8), low_hz=(2500, 7000), band_hz=(6000, 12000),
                                    band_q=(1, 6), jingle=(0.3, 1.5), tune_ratio=(3, 7), strokes=(1, 2))),
        "conga": (tom, dict(tune_hz=(130, 480), decay_seconds=(0.15, 0.7), sweep_ratio=(1, 1.15),
                            sweep_seconds=(0.01, 0.04), bend=(0, 0.3), skin=(0.1, 0.8), tick=(0.1, 0.8),
                            tick_hz=(1500, 6000), rumble=(0, 0.3), rumble_ratio=(2, 20), drive=(0, 1))),
        "agogo": (bell, dict(tune_hz=(600, 1800), mode_ratio=(1.3, 3.6), index=(0.3, 2.5), decay_seconds=(0.15, 0.8),
                             sweep_ratio=1)),
        "tabla": (tom, dict(tune_hz=(90, 300), decay_seconds=(0.2, 1.0), sweep_ratio=(0.6, 2.5),
                            sweep_seconds=(0.03, 0.15), bend=(0, 0.5), skin=(0, 0.6), tick=(0, 0.6),
                            tick_hz=(1000, 5000), rumble=(0, 0.4), rumble_ratio=(2, 20), drive=(0, 2))),
        "scrape": (snare, dict(tune_hz=(200, 900), mode_ratio=(1.5, 3), decay_seconds=(0.03, 0.2),
                               sweep_ratio=(0.5, 3), skin=0, shell_level=(0.05, 0.6), wires_seconds=(0.06, 0.6),
                               low_hz=(400, 3000), high_hz=(2000, 9000), drive=(0, 2))),
        "triangle": (bell, dict(tune_hz=(3500, 8000), mode_ratio=(1.1, 1.7), index=(0.3, 1.5),
                                decay_seconds=(0.1, 1.4), sweep_ratio=1)),
        "blip": (bell, dict(tune_hz=(80, 1500), mode_ratio=(0.5, 3), index=(0, 4), decay_seconds=(0.06, 0.8),
                            sweep_ratio=(1, 6))),
    },
}
FAMILIES["HHC"] = {  # the open hat's voices, closed
    name: (voice, dict(ranges, decay_seconds=(0.07, 0.4))) for name, (voice, ranges) in FAMILIES["HHO"].items()}


def machine(seed, index):
    """What is one machine's own: its converter, drive, tone and room, and for each class a family and a place in it."""
    rng = np.random.default_rng([seed, index])
    sampled = rng.random() < 0.7  # plays samples: a converter, and the room they were recorded in
    digital_noise = rng.random() < 0.3
    own = {
        "converter_hz": between(rng.random(), 14000, 40000) if sampled and rng.random() < 0.75 else RATE,
        "images": rng.random() < 0.5,  # no filter behind the converter
        "bits": int(rng.choice([8, 10, 12])) if sampled and rng.random() < 0.6 else 16,
        "drive": rng.random() ** 2 * 3,
        "tilt_hz": between(rng.random(), 800, 4000),
        "tilt": 10 ** (rng.normal(-1.5, 4.5) / 20),
        "room": rng.random() ** 2 * 0.5 if sampled else 0.0,
        "room_seconds": between(rng.random(), 0.08, 0.9),
        "clock_hz": between(rng.random(), 6000, 40000) if digital_noise else RATE,
        "gate": between(rng.random(), 0.55, 1.6) if sampled else 2.0,  # of a sound's length: memory was dear
    }
    own["place"] = {name: (int(rng.integers(1000)), rng.random(16)) for name in INSTRUMENTS}
    own["place"]["HHC"] = own["place"]["HHO"]  # one voice with two decays
    return own


def between(place, low, high):
    """From low (place 0) to high (place 1) on a log scale."""
    return float(low * (high / low) ** place)


def make_sound(seed, index, name, count):
    """Sound number `count` of a class of machine `index`: (family, float32 (n,)).

    Most of a machine's sounds of one class are of one family, and near each other in its ranges; its percussion is of
    many, and its toms go up in pitch.
    """
    own = machine(seed, index)
    rng = np.random.default_rng([seed, index, INSTRUMENTS.index(name), count])
    pick, centre = own["place"][name]
    families = list(FAMILIES[name])
    strays = name == "Percu" or rng.random() < STRAYING
    family = families[(pick + (count if strays else 0)) % len(families)]
    voice, ranges = FAMILIES[name][family]
    places = np.clip(centre[:len(ranges)] + JITTER * rng.standard_normal(len(ranges)), 0, 1)
    parameters = {}
    for place, (parameter, value) in zip(places, ranges.items()):
        if isinstance(value, tuple):
            if name == "Tom" and parameter == "tune_hz":
                place = (place + 2 * ((count % 3) / 2)) / 3
            logarithmic = parameter.endswith(("_hz", "_seconds", "_ratio"))
            value = between(place, *value) if logarithmic else value[0] + place * (value[1] - value[0])
        parameters[parameter] = value
    if "clock_hz" in voice.__code__.co_varnames:
        parameters["clock_hz"] = own["clock_hz"]
    return family, finished(recorded(rng, voice(rng, **parameters), own), LOUDNESS_DB[name])


# From a voice to a one-shot -----------------------------------------------------------------------------------------

def recorded(rng, samples, own):
    """A voice as it comes out of a machine: driven, tilted, in its room, through its converter."""
    samples = filtered(saturated(samples, own["drive"]), ("shelf", own["tilt_hz"], own["tilt"]))
    if own["room"] > 0.02:
        t = axis(own["room_seconds"])
        room = filtered(rng.standard_normal(len(t)) * decay(t, own["room_seconds"]), ("low", 5000, 0.7))
        size = 1 << (len(samples) + len(room)).bit_length()
        wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(room / np.sqrt(np.sum(room ** 2)), size), size)
        samples = own["room"] * wet[:min(len(samples) + len(room), round(LONGEST * RATE))] + np.pad(
            samples, (0, max(0, min(len(room), round(LONGEST * RATE) - len(samples)))))
    samples = gated(samples, own["gate"])
    if own["converter_hz"] < RATE:
        butterworth = (0.52, 0.6, 0.9, 2.56)  # eighth order, as four of the second
        samples = filtered(samples, *(("low", 0.42 * own["converter_hz"], q) for q in butterworth))
    if own["converter_hz"] < RATE and own["images"]:  # held from tick to tick
        ticks = np.floor(np.arange(len(samples)) * own["converter_hz"] / RATE)
        samples = samples[np.minimum(np.ceil(ticks * RATE / own["converter_hz"]).astype(int), len(samples) - 1)]
    if own["bits"] < 16:
        scale = 2 ** (own["bits"] - 1) / np.abs(samples).max()
        samples = np.round(samples * scale) / scale
    return samples


def gated(samples, share):
    """A sound cut to this share of its length to -40 dB, with a short fade."""
    level = np.sqrt(np.convolve(samples ** 2, np.ones(220) / 220, "same"))
    length = max(round(0.03 * RATE), int(share * np.flatnonzero(level > 0.01 * level.max())[-1]))
    if length < len(samples):
        fade = length // 8
        samples = samples[:length]
        samples[-fade:] *= np.linspace(1, 0, fade) ** 2
    return samples


def finished(samples, loudness_db):
    """The one-shot of a voice: no DC, no long silence behind it, a smooth end, its level by class: float32 (n,).

    Loudness is the RMS of the loudest 50 ms, in dB of full scale; a peak beyond PEAK takes the sound down with it.
    """
    samples = filtered(samples, ("high", 20.0, 0.7))
    audible = np.flatnonzero(np.abs(samples) > 10 ** (-70 / 20) * np.abs(samples).max())
    samples = samples[:audible[-1] + 1]
    fade = min(len(samples) // 4, round(0.03 * RATE))
    samples[-fade:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fade + 1) / fade)
    window = np.sin(np.pi * np.arange(len(samples)) / len(samples)) ** 2
    samples -= window * samples.sum() / window.sum()  # what DC the cut left, taken out where nothing shows
    gain = 10 ** (loudness_db / 20) / loudness(samples)
    return (samples * min(gain, PEAK / np.abs(samples).max())).astype(np.float32)


def loudness(samples):
    """The RMS of the loudest 50 ms; a shorter sound counts as 50 ms."""
    window = round(0.05 * RATE)
    energy = np.concatenate([np.zeros(1), np.cumsum(np.square(samples, dtype=float))])
    if len(samples) <= window:
        return np.sqrt(energy[-1] / window)
    return np.sqrt((energy[window:] - energy[:-window]).max() / window)


KIT = {  # the voice of each row and its parameters: an analogue drum machine of about 1980
    "Kick": (kick, dict(tune_hz=50, decay_seconds=0.75, sweep_ratio=4.0, sweep_seconds=0.011, bend=0.15, skin=0.0,
                        tick=0.35, tick_hz=3000, beater=0.04, drive=0.7)),
    "Snare": (snare, dict(tune_hz=182, mode_ratio=1.83, decay_seconds=0.24, sweep_ratio=1.35, skin=0.0,
                          shell_level=0.42, wires_seconds=0.45, low_hz=1400, high_hz=11000, clock_hz=RATE, drive=1.2)),
    "Clap": (clap, dict(centre_hz=1150, width=0.7, bursts=4, spacing_seconds=0.0105, burst_seconds=0.0045,
                        tail_seconds=0.42, tail=0.55, air=0.18, clock_hz=RATE, drive=1.5)),
    "HHO": (hat, dict(tune_ratio=1.0, spread=0.0, noisy=0.12, decay_seconds=0.85, low_hz=6000, band_hz=8200,
                      band_q=2.0, snap=0.4, clock_hz=RATE)),
    "HHC": (hat, dict(tune_ratio=1.0, spread=0.0, noisy=0.12, decay_seconds=0.13, low_hz=6000, band_hz=8800,
                      band_q=2.0, snap=0.5, clock_hz=RATE)),
    "Tom": (tom, dict(tune_hz=105, decay_seconds=0.65, sweep_ratio=1.6, sweep_seconds=0.035, bend=0.3, skin=0.05,
                      tick=0.15, tick_hz=2500, rumble=0.12, rumble_ratio=3, drive=0.4)),
    "Cymb": (cymbal, dict(tune_ratio=1.0, spread=0.0, noisy=0.25, decay_seconds=1.9, low_hz=3440, high_hz=7100,
                          wash=1.2, strike=0.8, bell=0.05, clock_hz=RATE)),
    "Percu": (cowbell, dict(tune_hz=540, interval_ratio=800 / 540, decay_seconds=0.4, ring=0.35, band_q=1.5)),
}


def make_kit():
    """The eight sounds of the default kit, in the order of the rows: a list of (name, float32 (n,))."""
    return [(name, finished(voice(np.random.default_rng(row), **parameters), LOUDNESS_DB[name]))
            for row, (name, (voice, parameters)) in enumerate((name, KIT[name]) for name in INSTRUMENTS)]


def make_collection(folder, count, seed, processes):
    """Write `count` one-shots into a subfolder a class: (files by class). Sounds are Class/machineNN_family_N.wav."""
    import joblib

    jobs = [(seed, number // (8 * EACH), INSTRUMENTS[number // EACH % 8], number % EACH) for number in range(count)]
    work = joblib.Parallel(n_jobs=processes, return_as="generator_unordered", batch_size=8)
    names = work(joblib.delayed(write_sound)(folder, *job) for job in jobs)
    names = list(Progress(names, "making", "sounds", total=count))
    return {name: names.count(name) for name in INSTRUMENTS}


def write_sound(folder, seed, index, name, count):
    """Make one sound and write it; gives its class."""
    family, samples = make_sound(seed, index, name, count)
    save_audio(folder / name / f"machine{index:02}_{family}_{count}.wav", samples, RATE, "PCM_16")
    return name


def main(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("-o", "--output", type=Path, help="folder (default: beside this script)")
    parser.add_argument("-n", "--count", type=number(int, 1), default=2000,
                        help="how many sounds, over eight classes (default: 2000)")
    parser.add_argument("--seed", type=number(int, 0), default=0,
                        help="another seed is another collection (default: 0)")
    parser.add_argument("--jobs", type=number(int, -1), default=-1, help="processes (default: -1, one a core)")
    parser.add_argument("--kit", action="store_true", help="write the eight sounds of the default kit instead")
    options = parser.parse_args(argv)
    if options.kit:
        folder = options.output or HERE / "kit"
        for name, samples in make_kit():
            save_audio(folder / f"{name}.wav", samples, RATE)
        made = {name: 1 for name in INSTRUMENTS}
    else:
        folder = options.output or HERE
        made = make_collection(folder, options.count, options.seed, options.jobs)
    listed = ", ".join(f"{name} {count}" for name, count in made.items())
    print(f"{folder}: {sum(made.values())} sounds ({listed})")
    return made


if __name__ == "__main__":
    run(main)
