"""Drum bars: the data of a training, drawing under constraints, paths, the map, metrics."""
