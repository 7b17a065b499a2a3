"""One-shots: data, spectrograms, codes, from a code to a sound, kits, calibration, metrics."""
