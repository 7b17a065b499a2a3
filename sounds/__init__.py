"""One-shots: data, spectrograms, codes, exemplars, from a code to a sound, kits, calibration, descriptors, metrics."""
