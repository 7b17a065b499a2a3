"""Synthesise drum sounds: the default kit, or a collection of drum machines, as labelled one-shots by class.

python dataset_audio/make_sounds.py                       # 2,000 sounds of 50 machines, in dataset_audio/<class>/
python dataset_audio/make_sounds.py -n 400 -o data/sounds --seed 7
python dataset_audio/make_sounds.py --velocities 1 0.4    # each sound struck hard and softly: NAME_v127, NAME_v051
python dataset_audio/make_sounds.py --kit                 # the default kit, in dataset_audio/kit/: see formats/kit.py

Every sound is mono at 44.1 kHz, strikes at its first sample and ends in silence. A sound's seed is made of --seed, its
machine, class and number, so the same command gives the same bytes, and a longer list begins with the shorter one; a
softer stroke is made of the same random numbers.

How it is built: a few circuits (circuits.py: a swept shell, filtered noise, six squares, banks of modes) make the
voices (voices.py); a voice is a function of musical parameters; a family (families.py) is a voice with a range for each
parameter, after one kind of machine; a machine picks a family for each class and a place in its ranges, and has a
character that all of its sounds share: how long they ring, how bright and how high they are, and what they go through
(converter, drive, tone, room, hiss).
"""

import math
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # this script stands in a folder of the project, its parts beside it

from circuits import LONGEST, RATE, axis, decay, filtered, saturated, softened, unit  # noqa: E402
from command_line import Parser, Progress, number, run
from families import FAMILIES, RECORDED
from formats.activation_matrix import INSTRUMENTS
from formats.audio import save_audio
from formats.kit import at_level, loudest
from voices import clap, cowbell, cymbal, hat, kick, snare, tom

LOUDNESS_DB = {"Kick": -15, "Snare": -17.5, "Clap": -19.5, "HHO": -25, "HHC": -27.5, "Tom": -17, "Cymb": -25,
               "Percu": -22}  # of the loudest 50 ms, RMS
PEAK = 0.45  # the loudest sample of any sound
EACH = 5  # sounds of a class in each machine
STRAYING = 0.35  # share of a class's sounds from another family than its first
SHARES = {"machine": 0.35, "class": 0.4, "sound": 0.25}  # of the variance of a parameter's place in its range
TRAITS = {  # what the machine decides for all of its classes: the parameters that it moves
    "length": {"decay_seconds", "wires_seconds", "tail_seconds", "bell_seconds", "stick_seconds"},
    "brightness": {"low_hz", "high_hz", "band_hz", "tick_hz", "stick_hz", "knock_hz", "centre_hz", "slope", "wash",
                   "air", "rumble_ratio"},
    "hardness": {"stick_gain", "tick", "beater", "snap", "strike", "knock", "drive", "overtones", "skin"},
    "tuning": {"tune_hz", "tune_ratio", "bell_hz"},
    "bending": {"sweep_ratio", "sweep_seconds", "fall_ratio", "fall_seconds"},
}
STRENGTH = {"tick", "beater", "snap", "strike", "wash", "knock", "air", "index", "overtones", "skin", "rumble", "drive",
            "stick_gain", "sweep_ratio", "fall_ratio"}  # what a softer stroke has less of


def machine(seed, index):
    """What is one machine's own: its character, and for each class a family and a place in its ranges."""
    rng = np.random.default_rng([seed, index])
    sampled = rng.random() < 0.7  # plays samples: a converter, and the room they were recorded in
    digital_noise = rng.random() < 0.3
    own = {
        "recorded": sampled and rng.random() < 0.7,  # of drums, rather than of circuits
        "converter_hz": between(rng.random(), 16000, 44100) if sampled and rng.random() < 0.7 else RATE,
        "images": rng.random() < 0.5,  # no filter behind the converter
        "bits": int(rng.choice([8, 10, 12])) if sampled and rng.random() < 0.5 else 16,
        "drive": rng.random() ** 2 * 3,
        "tilt_hz": between(rng.random(), 400, 5000),
        "tilt": 10 ** (rng.normal(0, 5) / 20),
        "peak_hz": between(rng.random(), 150, 6000),
        "peak": 10 ** (rng.normal(0, 6) / 20),
        "air_hz": between(rng.random(), 11000, 60000),
        "hiss": 10 ** (rng.uniform(-90, -50) / 20),
        "rumble": 10 ** (rng.uniform(-70, -25) / 20),  # the low noise and the thump of its amplifiers
        "rise_seconds": between(rng.random(), 0.0003, 0.003),
        "room": rng.random() ** 2 * 0.5 if sampled else 0.0,
        "room_seconds": between(rng.random(), 0.08, 0.9),
        "clock_hz": between(rng.random(), 6000, 40000) if digital_noise else RATE,
        "gate": between(rng.random(), 0.55, 1.6) if sampled else 2.0,  # of a sound's length: memory was dear
        "touch": rng.uniform(0.2, 1),  # how much a stroke's strength changes the tone
        "accent": rng.uniform(0.8, 1.6),  # and the level, as a power of velocity
        "traits": dict(zip(TRAITS, rng.standard_normal(len(TRAITS)))),
    }
    own["place"] = {name: (int(rng.integers(1000)), rng.standard_normal(20)) for name in INSTRUMENTS}
    own["place"]["HHC"] = own["place"]["HHO"]  # one voice with two decays
    return own


def between(place, low, high):
    """From low (place 0) to high (place 1) on a log scale."""
    return float(low * (high / low) ** place)


def make_sound(seed, index, name, count, velocity=1.0):
    """Sound number `count` of a class of machine `index`, struck at a velocity in (0, 1]: (family, float32 (n,)).

    Most of a machine's sounds of one class are of one family, and near each other in its ranges; its percussion is of
    many, and its toms go up in pitch. A softer stroke is lower, darker, rounder at its start and bends less in pitch,
    as much as the machine has it; all else is the same. ValueError for a velocity out of its range.
    """
    if not 0 < velocity <= 1:
        raise ValueError(f"velocity: expected above 0 and at most 1, found {velocity}")
    own = machine(seed, index)
    row = INSTRUMENTS.index("HHO" if name == "HHC" else name)  # a closed hat is the open one, stopped
    rng = np.random.default_rng([seed, index, row, count])
    family = family_of(own, rng, name, count)
    voice, ranges = FAMILIES[name][family]
    parameters = parameters_of(own, rng, name, ranges, count)
    if "clock_hz" in voice.__code__.co_varnames:
        parameters["clock_hz"] = own["clock_hz"]
    strength = velocity ** own["touch"]
    for key in STRENGTH & set(parameters):
        parameters[key] = parameters[key] ** strength if key.endswith("_ratio") else parameters[key] * strength
    samples = recorded(rng, voice(rng, **parameters), own, strength)
    return family, finished(samples, LOUDNESS_DB[name], velocity ** own["accent"])


def family_of(own, rng, name, count):
    """The family of a sound: the machine's own for the class, or at times the next one of its kind."""
    of_kind = [family for family in FAMILIES[name] if (family in RECORDED) == own["recorded"]]
    kin = of_kind if rng.random() < 0.75 and len(of_kind) > 1 else list(FAMILIES[name])
    strays = name == "Percu" or rng.random() < STRAYING
    return kin[(own["place"][name][0] + (count if strays else 0)) % len(kin)]


def parameters_of(own, rng, name, ranges, count):
    """The parameters of a sound: each lies in its range where the machine, the class and chance put it."""
    centre, stray = own["place"][name][1], rng.standard_normal(20)
    parameters = {}
    for number_, (parameter, value) in enumerate(ranges.items()):
        if isinstance(value, tuple):
            trait = next((own["traits"][trait] for trait, keys in TRAITS.items() if parameter in keys), None)
            parts = np.array([centre[number_] if trait is None else trait, centre[number_], stray[number_]])
            weights = np.sqrt([0 if trait is None else SHARES["machine"],
                               SHARES["class"] + (SHARES["machine"] if trait is None else 0), SHARES["sound"]])
            place = 0.5 + 0.5 * math.erf(weights @ parts / math.sqrt(2))  # uniform over the range
            if name == "Tom" and parameter == "tune_hz":
                place = (place + 2 * ((count % 3) / 2)) / 3
            logarithmic = parameter.endswith(("_hz", "_seconds", "_ratio", "_gain"))
            value = between(place, *value) if logarithmic else value[0] + place * (value[1] - value[0])
        parameters[parameter] = value
    return parameters


# From a voice to a one-shot -----------------------------------------------------------------------------------------

def recorded(rng, samples, own, strength=1.0):
    """A voice as it comes out of a machine: driven, coloured, in its room, through its converter."""
    tone = [("shelf", own["tilt_hz"], own["tilt"]), ("peak", own["peak_hz"], own["peak"])]
    softer = [("shelf", 1500, strength), ("shelf", 5000, strength)]
    samples = filtered(saturated(samples, own["drive"] * strength), *tone, *softer)
    samples = softened(samples, own["rise_seconds"] / np.sqrt(strength))
    if own["room"] > 0.02:
        samples = in_room(rng, samples, own["room"], own["room_seconds"])
    samples = converted(gated(samples, own["gate"]), own)
    noises = rng.standard_normal((2, round(LONGEST * RATE)))[:, :len(samples)]
    rumble = unit(filtered(noises[1], ("low", 200, 0.7))) * (0.3 + decay(np.arange(len(samples)) / RATE, 0.3))
    samples = samples + np.abs(samples).max() * (own["hiss"] * noises[0] + own["rumble"] * rumble)
    return softened(filtered(samples, ("low", own["air_hz"], 0.7)), 0.0002)


def in_room(rng, samples, level, seconds):
    """Samples with a room around them, whose response is decaying noise below 5 kHz."""
    t = axis(seconds)
    room = filtered(rng.standard_normal(len(t)) * decay(t, seconds), ("low", 5000, 0.7))
    size = 1 << (len(samples) + len(room)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(room / np.sqrt(np.sum(room ** 2)), size), size)
    length = min(len(samples) + len(room), round(LONGEST * RATE))
    return level * wet[:length] + np.pad(samples, (0, max(0, length - len(samples))))[:length]


def converted(samples, own):
    """Samples through a machine's converter: its rate, the images above half of it, its bits."""
    if own["converter_hz"] < RATE:
        butterworth = (0.52, 0.6, 0.9, 2.56) if own["images"] else (0.54, 1.31)  # eighth or fourth order
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


def finished(samples, loudness_db, level=1.0, end_db=-70):
    """The one-shot of a voice: no DC, no long silence behind it, a smooth end, its level by class: float32 (n,).

    Loudness is the RMS of the loudest 50 ms, in dB of full scale; a peak beyond PEAK takes the sound down with it.
    `level` is that of the stroke: 1, or less for a softer one. end_db: re the peak, what is softer to the last goes.
    """
    samples = filtered(samples, ("high", 20.0, 0.7))
    audible = np.flatnonzero(np.abs(samples) > 10 ** (end_db / 20) * np.abs(samples).max())
    samples = samples[:audible[-1] + 1]
    fade = min(len(samples) // 4, round(0.03 * RATE))
    samples[-fade:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fade + 1) / fade)
    window = np.sin(np.pi * np.arange(len(samples)) / len(samples)) ** 2
    samples -= window * samples.sum() / window.sum()  # what DC the cut left, taken out where nothing shows
    gain = min(10 ** (loudness_db / 20) / loudness(samples), PEAK / np.abs(samples).max())
    return (samples * level * gain).astype(np.float32)


def loudness(samples):
    """The RMS of the loudest 50 ms; a shorter sound counts as 50 ms."""
    window = round(0.05 * RATE)
    energy = np.concatenate([np.zeros(1), np.cumsum(np.square(samples, dtype=float))])
    if len(samples) <= window:
        return np.sqrt(energy[-1] / window)
    return np.sqrt((energy[window:] - energy[:-window]).max() / window)


KIT_VELOCITIES, KIT_TAKES = (127, 96, 64, 32), 2
PLACE = {"tune_hz": 0.001, "tune_ratio": 0.001, "interval_ratio": 0.0, "mode_ratio": 0.0, "shell_level": 0.0,
         "tick": 0.5, "beater": 0.5, "sweep_seconds": 0.2}  # in which a take differs, as logarithms; else 0.06
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
    """The sounds of the default kit, row by row: a list of (name of the file, float32 (n,), the first of its row?)."""
    return [(name + (f"_v{velocity:03}" if velocity < 127 else "") + (f"_{take}" if take > 1 else ""),
             kit_sound(name, velocity / 127, take), velocity == 127 and take == 1)
            for name in INSTRUMENTS for velocity in KIT_VELOCITIES for take in range(1, KIT_TAKES + 1)]


def kit_sound(name, velocity=1.0, take=1):
    """A sound of the default kit, float32 (n,), struck at a velocity in (0, 1], as the first time or another.

    Each take has its own noise; a later one is struck at a slightly other place, at the same level. A softer one is
    darker, rises slower and ends where a sequencer that plays it by its velocity is below -70 dB.
    """
    voice, parameters = KIT[name]
    row, strength = INSTRUMENTS.index(name), velocity ** 0.5
    rng = np.random.default_rng(row if take == 1 else [row, take])
    place = dict.fromkeys(parameters, 1.0) if take == 1 else {
        key: 1 if key == "clock_hz" else math.exp(rng.uniform(-1, 1) * PLACE.get(key, 0.06)) for key in parameters}
    parameters = {key: value if isinstance(value, int) else value * place[key] for key, value in parameters.items()}
    for key in STRENGTH & set(parameters):
        parameters[key] *= strength
    tone = [("shelf", hz, math.exp(rng.uniform(-0.12, 0.12))) for hz in (90, 650, 3000)] if take > 1 else []
    samples = filtered(voice(rng, **parameters), *tone) if tone else voice(rng, **parameters)
    if velocity < 1:
        samples = slower(filtered(samples, ("shelf", 1500, strength)), strength)
    made = finished(samples, LOUDNESS_DB[name], velocity, -70 - 40 * math.log10(velocity))
    return made if take == 1 else at_level(made, loudest(kit_sound(name, velocity)))


def slower(samples, strength):
    """Samples that begin at `strength` of their level and rise to all of it until behind their peak."""
    peak = np.convolve(samples[:round(0.1 * RATE)] ** 2, np.hanning(133), "same").argmax()
    count = int(np.clip(1.75 * peak, 0.005 * RATE, 0.04 * RATE))
    samples = samples.copy()
    samples[:count] *= 1 - (1 - strength) * (0.5 + 0.5 * np.cos(np.pi * np.arange(count) / count))
    return samples


def make_collection(folder, count, seed, processes, velocities=()):
    """Write `count` one-shots into a subfolder a class: (files by class). Sounds are Class/machineNN_family_N.wav.

    With velocities, each sound is written at each of them, with _v and the MIDI velocity (127 is 1) behind the name.
    """
    import joblib

    jobs = [(seed, number // (8 * EACH), INSTRUMENTS[number // EACH % 8], number % EACH, velocity)
            for number in range(count) for velocity in velocities or [None]]
    work = joblib.Parallel(n_jobs=processes, return_as="generator_unordered", batch_size=8)
    names = work(joblib.delayed(write_sound)(folder, *job) for job in jobs)
    names = list(Progress(names, "making", "sounds", total=len(jobs)))
    return {name: names.count(name) for name in INSTRUMENTS}


def write_sound(folder, seed, index, name, count, velocity):
    """Make one sound and write it; gives its class."""
    family, samples = make_sound(seed, index, name, count, velocity or 1.0)
    struck = f"_v{round(127 * velocity):03}" if velocity else ""
    save_audio(folder / name / f"machine{index:02}_{family}_{count}{struck}.wav", samples, RATE, "PCM_16")
    return name


def main(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("-o", "--output", type=Path, help="folder (default: beside this script)")
    parser.add_argument("-n", "--count", type=number(int, 1), default=2000,
                        help="how many sounds, over eight classes (default: 2000)")
    parser.add_argument("--seed", type=number(int, 0), default=0,
                        help="another seed is another collection (default: 0)")
    parser.add_argument("--velocities", type=number(float, 0.01, 1), nargs="+", default=(), metavar="VELOCITY",
                        help="strengths of the stroke, from 0.01 to 1, one file for each (default: 1, in one file)")
    parser.add_argument("--jobs", type=number(int, -1), default=-1, help="processes (default: -1, one a core)")
    parser.add_argument("--kit", action="store_true", help="write the default kit instead, at four velocities")
    options = parser.parse_args(argv)
    if options.kit:
        folder = options.output or HERE / "kit"
        for name, samples, first in make_kit():
            save_audio(folder / (f"{name}.wav" if first else f"{name}.flac"), samples, RATE,
                       "PCM_24" if first else "PCM_16")
        made = {name: len(KIT_VELOCITIES) * KIT_TAKES for name in INSTRUMENTS}
    else:
        folder = options.output or HERE
        made = make_collection(folder, options.count, options.seed, options.jobs, options.velocities)
    listed = ", ".join(f"{name} {count}" for name, count in made.items())
    print(f"{folder}: {sum(made.values())} sounds ({listed})")
    return made


if __name__ == "__main__":
    run(main)
