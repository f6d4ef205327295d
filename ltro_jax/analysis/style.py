"""The common style of all plots: distinct colours and line styles, and one legend."""

import math
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure

# Okabe and Ito's colour-blind safe palette, strongest contrast first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
# Neighbours differ in dashes and in colour, so that they are distinct in grey, too; 32 different styles.
LINES = tuple(
    (DASHES[(index + shift) % len(DASHES)], colour)
    for shift in range(len(DASHES))
    for index, colour in enumerate(COLOURS)
)
STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.use_mathtext": True,
    "axes.xmargin": 0.02,
    "grid.color": "0.92",
    "xtick.color": "0.4",
    "ytick.color": "0.4",
    "xtick.labelcolor": "0.15",
    "ytick.labelcolor": "0.15",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,
}


def legend(figure: Figure, columns: int) -> None:
    """Add one legend below all panels, with each label once.

    Args:
        figure: grows in height by the rows of the legend after the first.
        columns: most columns of the legend; long labels reduce them.
    """
    entries: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    width = 0.6 + 0.075 * max(map(len, entries), default=0)  # approximate inches of the longest entry
    columns = max(1, min(columns, len(entries), int(figure.get_figwidth() / width)))
    rows = math.ceil(len(entries) / columns)
    columns = math.ceil(len(entries) / max(rows, 1))  # four entries in two rows of two, not three and one
    figure.set_figheight(figure.get_figheight() + 0.2 * max(rows - 1, 0))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=max(columns, 1))
