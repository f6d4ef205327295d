"""The look that all figures share: colours and line styles that everyone can tell apart, and one legend."""

from itertools import product
from typing import Any

from matplotlib.artist import Artist
from matplotlib.figure import Figure

# Okabe and Ito's colour-blind safe palette, strongest contrast first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LINES = tuple(product(("-", (0, (5, 1.5)), (0, (1, 1))), COLOURS))  # the palette again, dashed, then dotted
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
    """One legend below all panels, each label once."""
    entries: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    columns = min(columns, len(entries))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)
