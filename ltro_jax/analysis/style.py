"""The look that all figures share: colours and line styles that everyone can tell apart, and one legend."""

import math
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure

# Okabe and Ito's colour-blind safe palette, strongest contrast first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
# Neighbours differ in dashes as well as in colour, so that they are told apart in grey, too; 32 different ones.
LINES = tuple(
    (DASHES[(index + turn) % len(DASHES)], colour)
    for turn in range(len(DASHES))
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
    """One legend below all panels, each label once, in so many columns or as many as there is room for.

    The figure grows by the rows beyond the first.
    """
    entries: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    width = 0.6 + 0.075 * max(map(len, entries), default=0)  # inches of the longest entry, about
    columns = max(1, min(columns, len(entries), int(figure.get_figwidth() / width)))
    rows = math.ceil(len(entries) / columns)
    columns = math.ceil(len(entries) / max(rows, 1))  # four entries in two rows of two, not of three and one
    figure.set_figheight(figure.get_figheight() + 0.2 * max(rows - 1, 0))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=max(columns, 1))
