"""Pictures of bars: velocity as colour, in a PNG, SVG or PDF file, or in a window.

    write_picture(bars, "my groove", Path("bars.png"))              # bars uint8 (n, 8, 64)
"""

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from command_line import replacing
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR


def draw(bars, title, figure, most=16):
    """Draw bars (n, 8, 64), the first `most` of them, into a matplotlib Figure."""
    shown = bars[:most]
    columns = 1 if len(shown) <= 4 else 2
    rows = -(-len(shown) // columns)
    width, height = (10.0, 13.5)[columns - 1], 0.5 + (1.5 if rows <= 4 else 1.1) * rows  # inches: fits a screen
    figure.set_size_inches(width, height)
    figure.set_facecolor("white")
    colours = LinearSegmentedColormap.from_list("velocity", ["#a8cbe8", "#2f74b5", "#08203e"])
    axes = figure.subplots(rows, columns, squeeze=False).T.ravel()  # down the first column, then the second
    for number, (axis, bar) in enumerate(zip(axes, shown), start=1):
        axis.set_facecolor("#f5f4f0")
        for beat in (16, 48):
            axis.axvspan(beat - 0.5, beat + 15.5, color="#ebe9e3", zorder=0)
        image = axis.imshow(np.ma.masked_equal(bar, 0), cmap=colours, vmin=1, vmax=127, aspect="auto",
                            interpolation="nearest", zorder=2)
        axis.hlines(np.arange(0.5, 7), -0.5, 63.5, color="white", linewidth=1.2, zorder=3)
        axis.vlines(np.arange(3.5, 63, 4), -0.5, 7.5, color="white", linewidth=0.7, zorder=1)
        axis.vlines((15.5, 31.5, 47.5), -0.5, 7.5, color="#8b8a84", linewidth=0.9, zorder=4)
        axis.set_yticks(range(len(INSTRUMENTS)), INSTRUMENTS)
        axis.set_xticks(range(0, STEPS_PER_BAR, 16), [f"{number}.{beat}" for beat in (1, 2, 3, 4)], ha="left")
        axis.tick_params(length=0, labelsize=8 if rows <= 4 else 6.5, pad=2, colors="#44433f")
        axis.spines[:].set_visible(False)
    for axis in axes[len(shown):]:
        axis.set_visible(False)
    more = f", the first {len(shown)} of {len(bars)} bars" if len(bars) > len(shown) else ""
    figure.text(0.1 / width, 1 - 0.1 / height, f"{title}{more}", fontsize=12, ha="left", va="top")
    figure.tight_layout(rect=(0, 0, 1 - 0.7 / width, 1 - 0.35 / height))
    scale = figure.add_axes((1 - 0.6 / width, 1 - 1.6 / height, 0.12 / width, 1.1 / height))
    figure.colorbar(image, cax=scale, ticks=(1, 32, 64, 96, 127)).outline.set_visible(False)
    scale.tick_params(length=0, labelsize=7, colors="#44433f")
    scale.set_title("velocity", fontsize=7, color="#44433f")


def show(bars, title):
    """Draw bars in a window, and wait until it is closed. Returns False, at once, where there is no display."""
    from matplotlib import pyplot
    from matplotlib.backends import BackendFilter, backend_registry

    figure = pyplot.figure(title)  # now matplotlib has looked for a display
    if matplotlib.get_backend().lower() not in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
        pyplot.close(figure)
        return False
    draw(bars, title, figure)
    pyplot.show()
    return True


def write_picture(bars, title, path):
    """Draw bars into a file, PNG, SVG or PDF by its suffix; ValueError for another suffix."""
    figure = Figure()
    draw(bars, title, figure)
    kind = path.suffix[1:].lower() or "png"
    if kind not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"{path}: expected a name that ends in .png, .svg or .pdf")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format=kind)
