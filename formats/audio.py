"""Audio files to samples and back: the suffixes that are read, one resampler, one way to a given length.

    samples, rate = load_audio("snare.wav", 22050)                  # float32 (samples,), mixed to mono
    save_audio("short.wav", fit_length(samples, rate // 2), rate)
"""

import io
import struct
from pathlib import Path

import numpy as np
import soundfile
import soxr

from command_line import replacing

SUFFIXES = (".wav", ".aif", ".aiff", ".flac", ".ogg", ".mp3", ".au", ".caf", ".w64")
TAG = b"dses"  # the RIFF chunk of a WAV file that carries a session
MOST_CHUNKS, MOST_TAG = 1000, 1 << 26  # of a WAV file; bytes of the tag


def load_audio(path, sample_rate=None):
    """Read a sound: its samples, mixed to mono, float32 (samples,) with full scale 1, and their rate in Hz.

    sample_rate: the rate wanted; None keeps the file's own. Raises OSError where the file cannot be read; ValueError
    where it is no sound, holds no samples, or holds values that are not finite.
    """
    path = Path(path)
    with open(path, "rb") as file:  # a missing file or a folder is an OSError that names it
        try:
            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)  # (samples, channels)
        except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
            reason = getattr(error, "error_string", None) or error
            raise ValueError(f"{path}: expected a sound file, found one that cannot be read ({reason})") from error
    if not len(samples):
        raise ValueError(f"{path}: expected a sound, found a file of 0 samples")
    if not np.isfinite(samples).all():
        raise ValueError(f"{path}: expected finite samples, found {np.sum(~np.isfinite(samples))} that are not")
    samples = samples.mean(axis=1)  # (samples,)
    if sample_rate is None:
        return samples, rate
    resampled = resample(samples, rate, sample_rate)
    if not len(resampled):
        raise ValueError(f"{path}: its {len(samples)} samples at {rate} Hz leave none at {sample_rate} Hz")
    return resampled, sample_rate


def resample(samples, from_rate, to_rate):
    """Samples (n,) at another rate, both in Hz, by soxr at its high quality; unchanged where the rates are equal."""
    if not to_rate > 0:
        raise ValueError(f"sample_rate: expected more than 0 Hz, found {to_rate}")
    return samples if from_rate == to_rate else soxr.resample(samples, from_rate, to_rate)


def save_audio(path, samples, sample_rate, subtype="PCM_24"):
    """Write a sound, whole or not at all; the suffix of `path` chooses the format.

    samples: (samples,) or (samples, channels); subtype: soundfile's name of the sample format; a format that does not
    know it gets its own default. Raises OSError where nothing can be written; ValueError at an unknown suffix, a value
    that is not finite, or, unless subtype is "FLOAT" or "DOUBLE", beyond [-1, 1]: nothing is ever clipped.
    """
    path, samples = Path(path), np.asarray(samples)
    kind = {"AIF": "AIFF"}.get(path.suffix[1:].upper(), path.suffix[1:].upper())
    if kind not in soundfile.available_formats():
        raise ValueError(f"{path}: expected a name that ends in .wav, .flac, .aiff, .ogg or .mp3")
    if not np.isfinite(samples).all():
        raise ValueError(f"{path}: expected finite samples, found {np.sum(~np.isfinite(samples))} that are not")
    peak = np.abs(samples).max(initial=0)
    subtype = subtype if soundfile.check_format(kind, subtype) else None
    if peak > 1 and subtype not in ("FLOAT", "DOUBLE"):
        raise ValueError(f"{path}: expected samples within [-1, 1], found a peak of {peak:.6g}; scale the sound first")
    content = io.BytesIO()  # libsndfile itself would not report a full disk
    soundfile.write(content, samples, int(sample_rate), subtype, format=kind)
    peak_chunk = bytes(content.getbuffer()[:128]).find(b"PEAK") if kind == "WAV" else -1
    if peak_chunk >= 0:  # of float files, which holds the time of writing: the same sound is to be the same bytes
        content.getbuffer()[peak_chunk + 12:peak_chunk + 16] = bytes(4)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def dithered(samples, bits=16):
    """Samples with triangular noise of one step, so that rounding to so many bits leaves no distortion (Lipshitz,
    Wannamaker and Vanderkooy, Quantization and Dither, 1992); the same noise each time."""
    step = 2.0 ** (1 - bits)
    noise = np.random.default_rng(0).random((2, *samples.shape), np.float32).sum(axis=0) - 1
    return np.clip(samples + np.float32(step) * noise, -1, 1)


def fit_length(samples, length):
    """A sound (n,) as float32 (length,): padded with silence, or cut with a linear fade over its last tenth."""
    if len(samples) <= length:
        return np.pad(samples, (0, length - len(samples))).astype(np.float32)
    fade = max(1, length // 10)
    samples = samples[:length].astype(np.float32)  # a copy
    samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32) if fade > 1 else 0
    return samples


def write_tag(path, text):
    """Append text to a WAV file that is written, as a RIFF chunk of its own: other programs pass it over.

    Raises OSError where the file cannot be written; ValueError where it is no WAV file, or would be too large for one.
    """
    content = text.encode()
    with open(path, "r+b") as file:
        check_riff(path, file.read(12))
        end = file.seek(0, io.SEEK_END)
        chunk = b"\0" * (end % 2) + struct.pack("<4sI", TAG, len(content)) + content + b"\0" * (len(content) % 2)
        if end + len(chunk) - 8 >= 1 << 32:
            raise ValueError(f"{path}: expected a WAV file below 4 GiB, found {end + len(chunk)} bytes")
        file.write(chunk)
        file.seek(4)
        file.write(struct.pack("<I", end + len(chunk) - 8))


def read_tag(path):
    """The text that `write_tag` appended to a WAV file, None where there is none. Raises OSError where the file cannot
    be read; ValueError, which names it, where it is no WAV file or its tag is cut off or no text."""
    with open(path, "rb") as file:
        check_riff(path, file.read(12))
        for _ in range(MOST_CHUNKS):
            if len(header := file.read(8)) < 8:
                return None
            name, length = struct.unpack("<4sI", header)
            if name == TAG:
                content = file.read(min(length, MOST_TAG) + 1)[:length]
                try:
                    if len(content) == length:
                        return content.decode()
                except UnicodeDecodeError:
                    pass
                raise ValueError(f"{path}: expected a session of {length} bytes of text, found a broken one")
            file.seek(length + length % 2, io.SEEK_CUR)
    return None


def check_riff(path, header):
    """Raise ValueError if the first 12 bytes of a file are not those of a WAV file."""
    if header[:4] != b"RIFF" or header[8:] != b"WAVE":
        raise ValueError(f"{path}: expected a WAV file, found one without a RIFF header")
