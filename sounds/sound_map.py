"""The sound map: a plane of the codes of one class, on which each point is a sound.

    plane = SoundPlane(load_sound_model("pretrained/sound_vae.pt"), row=1)
    code = plane.to_code(0.5, -1.0)                        # float32 (latent,)
    first, *_, whole = make_sound(model, code, row=1)      # sounds/kits.py
    plane.from_code(code)                                  # (0.5, -1.0)
"""

import numpy as np
import torch

from models import principal_plane
from sounds.codes import class_weights
from sounds.spectrograms import denormalise, frame_edges, transform_for

SPACING = 0.3  # between training sounds that the map passes through, in deviations
CELLS = 24  # along each side of the grid of brightness
POWER = 3  # of a distance in a weight: the least at which a far sound counts for nothing in two dimensions


class SoundPlane:
    """The two principal components of a class's standardised codes, in deviations, shown over [-reach, reach].

    Between its points lies what its codes have besides these two, by Shepard's weights (1968, "A two-dimensional
    interpolation function for irregularly-spaced data"): at a point is the very code of that training sound. points
    (n, 2): training sounds, SPACING apart. brightness: the spectral centroid of each cell of the grid in octaves above
    1 Hz, float (CELLS, CELLS), rows from y = -reach up; nan until it is computed.
    """

    def __init__(self, model, row):
        known, self.model, self.row = model.exemplars, model, row
        self.centre, self.scale = (part[row].double().numpy() for part in (known.centres, known.scales))
        standard = (known.codes[known.labels == row].double().numpy() - self.centre) / self.scale
        self.middle, axes = principal_plane(standard)  # (latent,), (2, latent)
        deviations = ((standard - self.middle) @ axes.T).std(0) if len(standard) > 2 else np.ones(2)
        self.axes, self.across = axes * deviations[:, None], axes.T / deviations
        points = (standard - self.middle) @ self.across                               # (n, 2)
        self.reach = float(np.clip(1.08 * np.quantile(np.abs(points), 0.998), 2.5, 8)) if len(points) else 3.0
        chosen = spaced(points, SPACING)
        self.points, self.residuals = points[chosen], self.beside(standard[chosen], points[chosen])
        self.kept = np.ones(len(self.points), bool)
        self.own_points, self.own_residuals = np.zeros((0, 2)), np.zeros((0, len(self.centre)))
        self.brightness, self.left = np.full((CELLS, CELLS), np.nan), coarse_to_fine(CELLS)

    def beside(self, standard, points):
        """What standardised codes (n, latent) have besides their points: (n, latent)."""
        return standard - self.middle - points @ self.axes

    def pass_through(self, codes):
        """Let the map hold these codes (n, latent) too, such as the kit's, at their points; those of before go."""
        standard = (np.asarray(codes, float).reshape(-1, len(self.centre)) - self.centre) / self.scale
        self.own_points = (standard - self.middle) @ self.across
        self.own_residuals = self.beside(standard, self.own_points)
        self.kept = np.array([np.hypot(*(self.own_points - point).T).min(initial=np.inf) >= SPACING
                              for point in self.points], bool)

    def to_code(self, x, y):
        """The code at a point of the map: float32 (latent,)."""
        points = np.concatenate((self.points[self.kept], self.own_points))
        residuals = np.concatenate((self.residuals[self.kept], self.own_residuals))
        weights = np.maximum(np.square(points - (x, y)).sum(1), 1e-12) ** (-POWER / 2)
        standard = self.middle + np.array([x, y]) @ self.axes + weights @ residuals / max(weights.sum(), 1e-12)
        return (self.centre + self.scale * standard).astype(np.float32)

    def from_code(self, code):
        """The point of the map nearest to a code (latent,): (x, y)."""
        standard = (np.asarray(code, float) - self.centre) / self.scale
        return tuple(((standard - self.middle) @ self.across).tolist())

    @torch.inference_mode()
    def compute_next(self, count=1):
        """Compute the brightness of `count` more cells, spread over the map first; return whether that was all."""
        now, self.left = self.left[:count], self.left[count:]
        if len(now):
            places = ((now + 0.5) / CELLS * 2 - 1) * self.reach                       # (count, 2): y, x
            codes = torch.from_numpy(np.stack([self.to_code(x, y) for y, x in places]))
            spectrograms = self.model.decode_mean(codes, label=class_weights(self.row, len(codes)))
            self.brightness[tuple(now.T)] = brightness(denormalise(spectrograms, self.model.sound),
                                                       self.model.sound["settings"])
        return not len(self.left)


def spaced(points, least):
    """Indices of points (n, 2), each at least so far from those before it."""
    chosen = []
    for i, point in enumerate(points):
        if np.square(points[chosen] - point).sum(1).min(initial=np.inf) >= least ** 2:
            chosen.append(i)
    return chosen


def coarse_to_fine(cells):
    """All (row, column) of a grid, those of a coarse grid first, and between them those of finer ones: (cells², 2)."""
    places = np.indices((cells, cells)).reshape(2, -1).T
    coarseness = np.gcd.reduce(np.concatenate((places, np.full((len(places), 1), 8)), 1), axis=1)
    return places[np.argsort(-coarseness, kind="stable")]


def brightness(decibels, settings):
    """The mean of log2 of the frequency in Hz, by power, of spectrograms (n, bands, frames) in dB: numpy (n,)."""
    lengths = torch.from_numpy(np.diff(frame_edges(settings))).float()
    power = (10 ** (decibels / 10)) @ lengths                                         # (n, bands)
    octaves = torch.as_tensor(np.log2(np.maximum(transform_for(1, settings).frequencies, 20.0))).float()
    return ((power @ octaves) / power.sum(1)).numpy()
