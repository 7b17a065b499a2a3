"""A kit for the drum machine Hydrogen, 0.9.7 and later: a folder of samples and drumkit.xml, or that in one file.

    paths = write_hydrogen("my_kit", instruments, AMPLITUDE)            # my_kit/drumkit.xml, my_kit/Kick.wav, ...
    write_archive("my_kit.h2drumkit", instruments, AMPLITUDE)           # opened by Drumkits > Import

Hydrogen plays a hit of velocity v at v / 127 times the gain of its layer. So the velocities of a layer are split into
bands, each with a gain by which their middle is as loud as `amplitude` asks.
"""

import tarfile
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from formats.kit import HARDEST, layer_files, save_sound

MOST_LAYERS = 16  # of an instrument of Hydrogen's
RELEASE = 256  # samples in which what is cut fades, the least it does
NAMESPACE = "http://www.hydrogen-music.org/drumkit"


def write_hydrogen(folder, instruments, amplitude):
    """Write `Instrument`s of kit.py into a folder; returns the paths. amplitude: by velocity, (128,), at most 1."""
    folder = Path(folder)
    paths = [path for instrument in instruments for path in save_sound(folder, instrument.sound)]
    (folder / "drumkit.xml").write_bytes(as_xml(folder.resolve().name, instruments, amplitude))
    return [folder / "drumkit.xml", *paths]


def write_archive(path, instruments, amplitude, name=None):
    """Write them as one .h2drumkit, a tar.gz of the folder `name`, by default the file's own. Returns the path."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / (name or Path(path).stem)
        folder.mkdir()
        write_hydrogen(folder, instruments, amplitude)
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, folder.name)
    return path


def as_xml(name, instruments, amplitude):
    """The bytes of drumkit.xml, in the order of Hydrogen's drumkit.xsd."""
    root = ElementTree.Element("drumkit_info", {"xmlns": NAMESPACE})
    add(root, name=name, author="", info="", license="undefined license", image="", imageLicense="undefined license")
    add(add(add(root, "componentList"), "drumkitComponent"), id=0, name="Main", volume=1)
    instrument_list, cutting = add(root, "instrumentList"), [instrument.cut_by for instrument in instruments]
    for number, instrument in enumerate(instruments):
        pairs = [pitch for pitch in (instrument.cut_by, instrument.pitch) if pitch in cutting and pitch]
        group = pairs[0] if pairs else -1  # Hydrogen's groups cut both ways
        add_instrument(add(instrument_list, "instrument"), number, instrument, group, amplitude)
    ElementTree.indent(root)
    return ElementTree.tostring(root, "UTF-8", xml_declaration=True) + b"\n"


def add_instrument(element, number, instrument, group, amplitude):
    """Fill the element of an instrument."""
    sound, pitch, level, pan, tune, heard, _ = instrument
    sides = np.sqrt(2) * np.array([np.cos((pan + 1) * np.pi / 4), np.sin((pan + 1) * np.pi / 4)])  # constant power
    left, right = sides / sides.max()
    add(element, id=number, name=sound.name, volume=1, isMuted=not heard, isSoloed=False, pan_L=left, pan_R=right,
        pitchOffset=0, randomPitchFactor=0, gain=10 ** (level / 20) * sides.max(), applyVelocity=True,
        filterActive=False, filterCutoff=1, filterResonance=0, Attack=0, Decay=0, Sustain=1, Release=RELEASE,
        muteGroup=group, midiOutChannel=-1, midiOutNote=pitch, isStopNote=False, sampleSelectionAlgo="ROUND_ROBIN",
        isHihat=-1, lower_cc=0, higher_cc=127, FX1Level=0, FX2Level=0, FX3Level=0, FX4Level=0)
    component = add(element, "instrumentComponent")
    add(component, component_id=0, gain=1)
    for low, high, gain, names in velocity_bands(sound, amplitude):
        for name in names:  # no velocity lies on the border of two bands, or both would sound
            add(add(component, "layer"), filename=name, min=(low - 0.5) / HARDEST if low > 1 else 0,
                max=(high + 0.5) / HARDEST if high < HARDEST else 1, gain=gain, pitch=tune)


def velocity_bands(sound, amplitude):
    """The layers of a Sound as Hydrogen is to play them: [(softest velocity, hardest, gain, [file, ...]), ...].

    At most MOST_LAYERS files: alternates beyond are left out. Bands are split where they depart most, as long as there
    is room; the default kit, of four layers with two alternates, gets eight.
    """
    ratio = np.log(np.maximum(amplitude[1:], 1e-6) / (np.arange(1, HARDEST + 1) / HARDEST))  # of velocity v at v - 1
    ratio[:5] = ratio[5]  # under -35 dB: no band is spent on those
    layers = layer_files(sound)[-MOST_LAYERS:]
    bands = [(low if i else 1, high, names[:MOST_LAYERS // len(layers)]) for i, (low, high, names) in enumerate(layers)]

    def departs(low, high, *_):
        return np.ptp(ratio[low - 1:high])

    while True:
        room = MOST_LAYERS - sum(len(names) for *_, names in bands)
        candidates = [band for band in bands if len(band[2]) <= room and band[0] < band[1]]
        if not candidates:
            break
        low, high, names = widest = max(candidates, key=lambda band: departs(*band))
        middle = min(range(low, high), key=lambda middle: max(departs(low, middle), departs(middle + 1, high)))
        place = bands.index(widest)
        bands[place:place + 1] = [(low, middle, names), (middle + 1, high, names)]
    return [(low, high, float(np.exp((ratio[low - 1:high].max() + ratio[low - 1:high].min()) / 2)), names)
            for low, high, names in bands]


def add(parent, tag=None, **fields):
    """Add an element `tag` and return it, or one for each field with its value as text."""
    for name, value in fields.items():
        ElementTree.SubElement(parent, name).text = (str(value).lower() if isinstance(value, (bool, np.bool_)) else
                                                     f"{value:.6f}".rstrip("0").rstrip(".")
                                                     if isinstance(value, (float, np.floating)) else str(value))
    return ElementTree.SubElement(parent, tag) if tag else parent
