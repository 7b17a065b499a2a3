"""Voices: a drum sound of each kind as a function of musical parameters.

    samples = kick(np.random.default_rng(0), tune_hz=50, decay_seconds=0.75, sweep_ratio=4.0, sweep_seconds=0.011,
                   bend=0.15, skin=0.0, tick=0.35, tick_hz=3000, beater=0.04, drive=0.7)

Each gives float64 (n,) at RATE and any level, struck at its first sample. Parameters end in their unit: _hz, _seconds,
_ratio; the others are levels or shares. The papers in brackets are those of circuits.py.
"""

import numpy as np
from circuits import (MEMBRANE, axis, click, decay, filtered, metal, modes, noise, saturated, shell, softened,
                      square, stroke, swept, unit)


def kick(rng, tune_hz, decay_seconds, sweep_ratio, sweep_seconds, bend, skin, tick, tick_hz, beater, drive,
         slow_seconds=0, stick_gain=0, stick_hz=3000, stick_seconds=0.02):
    """A bass drum: a swept shell that rises in slow_seconds, its trigger's tick, a beater [bass drum, membrane]."""
    t = axis(1.2 * decay_seconds + 0.05)
    body = saturated(shell(t, swept(t, tune_hz, sweep_ratio, sweep_seconds), decay_seconds, bend, skin), drive)
    hit = filtered(noise(rng, len(t)) * decay(t, 0.03), ("low", tick_hz, 0.7), ("high", 0.3 * tick_hz, 0.7))
    if slow_seconds:
        body = softened(body, slow_seconds)
    return body + tick * click(t, tick_hz) + beater * hit + stick_gain * stroke(rng, t, stick_hz, stick_seconds)


def snare(rng, tune_hz, mode_ratio, decay_seconds, sweep_ratio, skin, shell_level, wires_seconds, low_hz, high_hz,
          clock_hz, drive, slow_seconds=0):
    """A snare drum: two shell modes and the noise of the wires, which decays in two parts."""
    t = axis(1.2 * max(decay_seconds, wires_seconds) + 0.05)
    tone = shell(t, swept(t, tune_hz, sweep_ratio, 0.012), decay_seconds, skin=skin)
    tone += 0.6 * shell(t, swept(t, tune_hz * mode_ratio, sweep_ratio, 0.008), 0.6 * decay_seconds)
    wires = noise(rng, len(t), clock_hz) * (0.6 * decay(t, 0.35 * wires_seconds) + 0.4 * decay(t, wires_seconds))
    wires = filtered(wires, ("high", low_hz, 0.7), ("low", high_hz, 0.7))
    wires = wires / np.abs(wires).max()
    if slow_seconds:  # the wires answer the shell
        wires = softened(wires, slow_seconds)
    return saturated(shell_level * tone / np.abs(tone).max() + (1 - shell_level) * wires, drive)


def clap(rng, centre_hz, width, bursts, spacing_seconds, burst_seconds, tail_seconds, tail, air, clock_hz, drive,
         grow=1, dull_ratio=1, thump=0):
    """Hands that do not quite meet: band-passed noise in a few short bursts, then a tail like a small room's.

    Each burst is `grow` times the next one's level; the tail falls to frequencies below dull_ratio times the centre.
    """
    t = axis(0.05 + bursts * spacing_seconds + 1.2 * tail_seconds)
    starts = np.arange(round(bursts)) * spacing_seconds * (1 + 0.15 * rng.standard_normal(round(bursts)))
    since = [np.where(t >= start, t - start, np.inf) for start in np.maximum(starts, 0)]
    envelope = np.maximum.reduce([grow ** (len(since) - 1 - number) * np.exp(-moment / burst_seconds)
                                  for number, moment in enumerate(since)])
    envelope = np.maximum(envelope, tail * decay(since[-1], tail_seconds))
    hands = noise(rng, len(t), clock_hz) * envelope
    band = filtered(hands, ("band", centre_hz, 1 / width), ("high", 0.5 * centre_hz, 0.7))
    mixed = unit(band) + air * unit(filtered(hands, ("high", 2.5 * centre_hz, 0.7)))
    mixed += thump * unit(filtered(hands, ("low", 0.3 * centre_hz, 0.7)))
    if dull_ratio != 1:
        bright = np.exp(-np.minimum(since[-1], t) / 0.03)
        mixed = bright * mixed + (1 - bright) * filtered(mixed, ("low", dull_ratio * centre_hz, 0.7))
    return saturated(mixed, drive)


def hat(rng, tune_ratio, spread, noisy, decay_seconds, low_hz, band_hz, band_q, snap, clock_hz, ring=0, leak=0):
    """A hi-hat: the metal source high-passed, a band of it raised, with a snap at the start [cymbal].

    `leak` is how much of the source comes past the filter.
    """
    t = axis(1.2 * decay_seconds + 0.02)
    source = metal(rng, t, tune_ratio, spread, noisy, clock_hz, ring)
    bright = filtered(source, ("high", low_hz, 0.8), ("high", low_hz, 0.8))
    bright = bright / bright.std() + 1.5 * unit(filtered(source, ("band", band_hz, band_q), ("high", low_hz, 0.8)))
    bright += leak * unit(source)
    return bright * (decay(t, decay_seconds) + snap * decay(t, min(0.25 * decay_seconds, 0.05)))


def cymbal(rng, tune_ratio, spread, noisy, decay_seconds, low_hz, high_hz, wash, strike, bell, clock_hz, ring=0,
           leak=0):
    """A crash or a ride: three bands of the metal source, each with its own decay; the strike, and a bell [cymbal]."""
    t = axis(1.2 * decay_seconds + 0.02)
    source = metal(rng, t, tune_ratio, spread, noisy, clock_hz, ring)
    low = leak * unit(source) * decay(t, 0.6 * decay_seconds)
    low += unit(filtered(source, ("band", low_hz, 1.2), ("high", 0.4 * low_hz, 0.7))) * decay(t, decay_seconds)
    middle = unit(filtered(source, ("band", np.sqrt(low_hz * high_hz), 1.0), ("high", low_hz, 0.7)))
    middle *= decay(t, 0.8 * decay_seconds)
    top = unit(filtered(source, ("high", high_hz, 0.7), ("high", 0.7 * high_hz, 0.7))) * decay(t, 0.5 * decay_seconds)
    hit = unit(filtered(noise(rng, len(t)), ("high", low_hz, 0.7))) * decay(t, 0.08)
    partials = sum(np.sin(2 * np.pi * low_hz * ratio * t) for ratio in (0.31, 0.47, 0.81, 1.13))
    return low + 0.8 * middle + wash * top + strike * hit + bell * partials * decay(t, 0.7 * decay_seconds)


def tom(rng, tune_hz, decay_seconds, sweep_ratio, sweep_seconds, bend, skin, tick, tick_hz, rumble, rumble_ratio,
        drive, slow_seconds=0, stick_gain=0, stick_hz=4000, stick_seconds=0.02):
    """A tom or a conga: a swept shell with a tick, and the noise of its head from tune_hz to rumble_ratio times it."""
    t = axis(1.2 * decay_seconds + 0.05)
    body = saturated(shell(t, swept(t, tune_hz, sweep_ratio, sweep_seconds), decay_seconds, bend, skin), drive)
    head = unit(filtered(noise(rng, len(t)), ("low", rumble_ratio * tune_hz, 0.7), ("high", tune_hz, 0.7)))
    if slow_seconds:
        body = softened(body, slow_seconds)
    body += rumble * 0.3 * head * decay(t, 0.6 * decay_seconds) + tick * click(t, tick_hz)
    return body + stick_gain * stroke(rng, t, stick_hz, stick_seconds)


def head(rng, tune_hz, decay_seconds, fall_ratio, fall_seconds, overtones, damping, slow_seconds, stick_gain, stick_hz,
         stick_seconds, drive):
    """A drum with a skin, recorded: its modes, each with its own decay, fall with the tension; a stick [membrane].

    Mode number k has overtones ** k of the lowest one's level, and a decay damping times steeper an octave higher.
    """
    t = axis(1.2 * decay_seconds + 0.05)
    cycles = swept(t, tune_hz, fall_ratio, fall_seconds)
    ratios = np.append(1, MEMBRANE * np.exp(0.03 * rng.standard_normal(len(MEMBRANE))))
    levels = overtones ** np.arange(len(ratios)) * np.exp(0.4 * rng.standard_normal(len(ratios)))
    body = sum(level * np.sin(2 * np.pi * ratio * cycles) * decay(t, decay_seconds / ratio ** damping)
               for ratio, level in zip(ratios, levels / levels[0]))
    body = softened(saturated(body, drive), slow_seconds)
    return body + stick_gain * stroke(rng, t, stick_hz, stick_seconds)


def plate(rng, count, low_hz, high_hz, slope, decay_seconds, damping, wash, bloom_seconds, stick_gain, stick_hz, bell,
          bell_hz, bell_seconds):
    """A cymbal or hi-hat of brass: `count` modes from low_hz to high_hz, the high ones dying sooner [membrane].

    Their levels go as frequency ** slope, their decays as frequency ** -damping (decay_seconds at 3 kHz). `wash` is
    noise among them, bloom_seconds the time in which they take up the stroke, `bell` the level of four strong low ones.
    """
    t = axis(1.2 * decay_seconds * max(1, (3000 / low_hz) ** damping) + 0.02)
    count = round(count)
    hz = low_hz + (high_hz - low_hz) * (np.arange(count) + rng.random(count)) / count
    level = rng.rayleigh(1.0, count) * (hz / 3000) ** slope
    seconds = decay_seconds * (hz / 3000) ** -damping * np.exp(0.5 * rng.standard_normal(count))
    body = modes(t, hz, seconds, level, 2 * np.pi * rng.random(count))
    scale = np.sqrt(np.sum(level ** 2) / 2)
    hiss = unit(filtered(noise(rng, len(t)), ("high", max(low_hz, 1500), 0.7), ("low", 0.8 * high_hz, 0.7)))
    body = body / scale + wash * hiss * decay(t, 0.5 * decay_seconds)
    bells = np.exp(0.05 * rng.standard_normal(4)) * bell_hz * np.array([1, 1.52, 2.34, 3.49])
    body += bell * modes(t, bells, bell_seconds * np.array([1, 0.8, 0.6, 0.5]), np.ones(4) / 2, np.zeros(4))
    body *= 1 - 0.7 * np.exp(-t / bloom_seconds)
    return body + stick_gain * stroke(rng, t, stick_hz, 0.04)


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
    return tone + knock * unit(filtered(noise(rng, len(t)), ("high", knock_hz, 0.7))) * decay(t, 0.012)


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
