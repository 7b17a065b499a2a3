"""The activation matrix: bars as uint8 (bars, 8, 64), MIDI velocities 1 to 127 where an instrument is struck, else 0.

    bars = load_matrix("HOUSE1.npy")                                # (bars, 8, 64)
    print(as_text(bars[0]))

64 steps are a 4/4 bar; the rows are INSTRUMENTS, an order written down here alone.
"""

import numpy as np

from command_line import one_line

INSTRUMENTS = ("Kick", "Snare", "Clap", "HHO", "HHC", "Tom", "Cymb", "Percu")
KICK, SNARE, CLAP, OPEN_HAT, CLOSED_HAT, TOM, CYMBAL, PERCUSSION = range(8)
STEPS_PER_BAR = 64  # of a 4/4 bar: 16 steps a quarter note
# General MIDI percussion (35 to 81), and what the Roland TD-11 of the Groove MIDI Dataset sends besides or instead
# (22 and 26: the edge of the hi-hat; 58: the rim of the third tom).
PITCHES = {
    KICK: (36, 35),
    SNARE: (38, 37, 40),  # 37: side stick
    CLAP: (39,),
    OPEN_HAT: (46, 26),
    CLOSED_HAT: (42, 22, 44),  # 44: pedal
    TOM: (45, 41, 43, 47, 48, 50, 58),
    CYMBAL: (51, 49, 52, 53, 55, 57, 59),  # rides first: they strike most often
    PERCUSSION: (56, 54, *range(60, 82)),  # cowbell, tambourine, hand drums, shakers, woods, triangles
}
PITCH_TO_INSTRUMENT = {pitch: row for row, pitches in PITCHES.items() for pitch in pitches}
INSTRUMENT_TO_PITCH = tuple(PITCHES[row][0] for row in range(len(INSTRUMENTS)))  # what is written and sent


def check_bars(bars):
    """Return bars as uint8 (n, 8, 64). Takes (8, 64) too; ValueError unless whole velocities 0 to 127."""
    bars = np.asarray(bars)
    if bars.ndim == 2:
        bars = bars[None]
    if bars.ndim != 3 or bars.shape[1:] != (len(INSTRUMENTS), STEPS_PER_BAR) or not len(bars):
        raise ValueError(f"bars: expected the shape (bars, 8, 64) or (8, 64), found {bars.shape}")
    if not np.issubdtype(bars.dtype, np.number) or np.iscomplexobj(bars):
        raise ValueError(f"bars: expected whole velocities 0 to 127, found the type {bars.dtype}")
    if not ((bars >= 0) & (bars <= 127) & (bars == np.floor(bars))).all():
        raise ValueError(f"bars: expected whole velocities 0 to 127, found {bars.min()} to {bars.max()}")
    return bars.astype(np.uint8)


def load_matrix(path):
    """Load a matrix, uint8 (n, 8, 64), or the classic 0.0 and 1.0. ValueError, naming the file, for anything else."""
    try:
        bars = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header that lies takes no memory
        if not isinstance(bars, np.ndarray):
            raise ValueError("it is an archive of them")
    except (ValueError, EOFError) as error:
        reason = "it holds Python objects, or is something else" if "ickle" in str(error) else one_line(error)
        raise ValueError(f"{path}: expected a NumPy matrix ({reason})") from None
    try:
        if np.issubdtype(bars.dtype, np.floating) and np.isin(bars, (0, 1)).all():
            bars = 100 * bars
        return check_bars(bars)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def as_text(bar):
    """A bar (8, 64) as eight lines of text: `-` soft, `o` medium, `X` loud, `|` at the beats."""
    lines = []
    for name, row in zip(INSTRUMENTS, bar):
        glyphs = "".join(".-oX"[0 if velocity == 0 else 1 + min(velocity // 43, 2)] for velocity in row.tolist())
        beats = "|".join(glyphs[beat:beat + 16] for beat in range(0, STEPS_PER_BAR, 16))
        lines.append(f"{name:>5} |{beats}|")
    return "\n".join(lines)
