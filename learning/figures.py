"""Figures of a training, each a PNG; none needs a screen.

    draw_curves(history, "curves.png")
"""

import numpy as np
from matplotlib.figure import Figure

from command_line import replacing
from models import principal_plane

COLOURS = ("#2f7fd6", "#e8743b", "#19a979", "#d8456b", "#8b5fd1", "#c9a400", "#1fa5b3", "#8a5a3c", "#f09ac0", "#4a5568")
OTHER = "#b9c0ca"


def new_figure(width, height):
    """A matplotlib figure that is only ever saved, width x height in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def save(figure, path):
    """Write the figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def draw_curves(history, path, unit="bar"):
    """The bound and its two terms over the epochs, training and validation.  history: records of training.fit"""
    figure = new_figure(9, 3.4)
    epochs = [record["epoch"] for record in history]
    for axes, key, title in zip(figure.subplots(1, 3), ("elbo", "log_px", "kl"),
                                (f"evidence lower bound, nats a {unit}", "log p(x | z)", "KL to the prior")):
        for split, colour in (("train", COLOURS[0]), ("validation", COLOURS[1])):
            axes.plot(epochs, [record[f"{split}_{key}"] for record in history], color=colour, label=split)
        late = history[len(history) // 10:]
        values = [record[f"{split}_{key}"] for record in late for split in ("train", "validation")]
        margin = 0.05 * (max(values) - min(values)) + 1e-6
        axes.set(title=title, xlabel="epoch", ylim=(min(values) - margin, max(values) + margin))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    save(figure, path)


def draw_latent(panels, label_names, path, most=8):
    """Codes as points coloured by label, one panel a split: panels is {title: (codes (n, latent), labels (n,))}.

    With more than two dimensions, the plane of the first panel's two principal components.
    """
    centre, plane_axes = principal_plane(next(iter(panels.values()))[0])
    counts = sum(np.bincount(np.asarray(labels), minlength=len(label_names)) for _, labels in panels.values())
    named = [label for label in np.argsort(-counts, kind="stable")[:most] if counts[label]]
    points = {title: (np.asarray(codes, float) - centre) @ plane_axes.T for title, (codes, _) in panels.items()}
    reach = max(3.0, 1.05 * max(np.abs(found).max() for found in points.values()))
    figure = new_figure(5.2 * len(panels), 6.2)
    for axes, (title, (_, labels)) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        labels = np.asarray(labels)
        groups = [(label_names[label], labels == label, colour, 2) for label, colour in zip(named, COLOURS)]
        if len(named) < np.count_nonzero(counts):
            groups.append(("others", ~np.isin(labels, named), OTHER, 1))
        for name, members, colour, height in groups:
            axes.plot(*points[title][members].T, "o", ms=2.5, mew=0, alpha=0.7, color=colour, label=name, zorder=height)
        axes.set(title=f"{title}: {len(labels)} codes", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False,
                  markerscale=3)
    save(figure, path)


def draw_bar_pairs(originals, reconstructions, names, instruments, path):
    """Bars (n, 8, 64) beside what the model makes of their codes; the darker a hit, the louder."""
    figure = new_figure(11, 1.15 * len(originals) + 0.5)
    grid = figure.subplots(len(originals), 2, squeeze=False)
    for row, (original, reconstruction, name) in enumerate(zip(originals, reconstructions, names)):
        found, hits = np.count_nonzero(reconstruction), np.count_nonzero(original)
        titles = name, f"reconstruction, {found} hits for {hits}"
        for axes, bar, title in zip(grid[row], (original, reconstruction), titles):
            axes.imshow(bar, aspect="auto", cmap="Greys", vmin=0, vmax=127, interpolation="nearest")
            axes.set_xticks(np.arange(0, bar.shape[1], 16) - 0.5, [])
            axes.set_yticks(range(len(instruments)), instruments, fontsize=5)
            axes.grid(axis="x", alpha=0.5)
            axes.tick_params(length=0)
            axes.set_title(title, fontsize=7, loc="left")
    save(figure, path)


def draw_spectrograms(rows, titles, path, low, row_names=None):
    """A grid of spectrograms in dB, low bands at the bottom: rows is a list of lists of arrays (bands, frames)."""
    bands, frames = rows[0][0].shape
    columns, gap = max(map(len, rows)), max(2, frames // 12)
    height, width = bands + bands // 7, frames + gap
    sheet = np.full((height * len(rows), width * columns), np.nan)  # one image: hundreds of axes would take seconds
    figure = new_figure(1.25 * columns + 0.8, 1.55 * len(rows) + 0.3)
    axes = figure.subplots()
    for row, (spectrograms, names) in enumerate(zip(rows, titles)):
        top = height * row + bands // 7
        for column, (spectrogram, name) in enumerate(zip(spectrograms, names)):
            sheet[top:top + bands, width * column:width * column + frames] = spectrogram[::-1]
            axes.text(width * column + frames / 2, top - 4, name, ha="center", va="bottom", fontsize=6)
        if row_names:
            axes.text(-gap, top + bands / 2, row_names[row], ha="right", va="center", rotation=90, fontsize=7)
    image = axes.imshow(sheet, aspect="auto", cmap="magma", vmin=low, vmax=0, interpolation="nearest")
    axes.set_axis_off()
    figure.colorbar(image, ax=axes, shrink=0.5, pad=0.01, label="dB")
    save(figure, path)


def draw_images(images, columns, path, title):
    """Images (n, height, width) of 0 to 255 on one sheet, so many a row; ink is dark."""
    count, height, width = images.shape
    sheet = np.pad(images, ((0, -count % columns), (0, 0), (0, 0)))
    sheet = sheet.reshape(-1, columns, height, width).swapaxes(1, 2).reshape(-1, columns * width)
    figure = new_figure(0.38 * columns + 0.4, 0.38 * len(sheet) / height + 0.6)
    axes = figure.subplots()
    axes.imshow(sheet, cmap="Greys", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
    save(figure, path)
