"""A kit as an SFZ instrument, a text file beside its samples, for samplers such as sfizz, sforzando and Zerberus.

    paths = write_sfz("my_kit", instruments, AMPLITUDE)     # my_kit/my_kit.sfz, my_kit/Kick.wav, ...

Opcodes are those of https://sfzformat.com. A player that knows no amp_velcurve has a square law of its own, near ours.
"""

from pathlib import Path

from formats.kit import HARDEST, layer_files, save_sound

CURVE = (1, *range(8, HARDEST, 8), HARDEST)  # velocities at which the curve is given, straight lines between


def write_sfz(folder, instruments, amplitude):
    """Write `Instrument`s of kit.py into a folder; returns the paths. amplitude: by velocity, (128,), at most 1."""
    folder = Path(folder)
    paths = [path for instrument in instruments for path in save_sound(folder, instrument.sound)]
    paths.append(folder / f"{folder.resolve().name}.sfz")
    paths[-1].write_text(as_sfz(instruments, amplitude), encoding="utf-8")
    return paths


def as_sfz(instruments, amplitude):
    """The text of the instrument: a group for each row, a region for each of its samples."""
    curve = "\n".join(f"amp_velcurve_{velocity}={amplitude[velocity]:.4f}" for velocity in CURVE)
    cutting = {instrument.cut_by for instrument in instruments}
    lines = [f"<global>\nloop_mode=one_shot\npitch_keytrack=0\n{curve}"]
    for sound, pitch, level, pan, tune, _, cut_by in instruments:
        group = f" group={pitch}" * (pitch in cutting) + (f" off_by={cut_by} off_mode=fast" if cut_by else "")
        lines.append(f"\n<group> // {sound.name}\nkey={pitch} volume={level:.2f} pan={round(100 * pan)} "
                     f"transpose={round(tune)} tune={round(100 * (tune - round(tune)))}{group}")
        lines += [f"<region> lovel={low} hivel={high} seq_length={len(names)} seq_position={place} sample={name}"
                  for low, high, names in layer_files(sound) for place, name in enumerate(names, 1)]
    return "\n".join(lines) + "\n"
