"""What a study leaves behind: tables, datasets and figures, all made before the first is written."""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.plots import save_figure
from ltro_jax.process.files import write_atomically
from ltro_jax.storage.errors import disk_errors


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV; a column for each key of any row, empty where a row lacks it."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as a Markdown table; numbers with three digits, `x`, `x_low`, `x_high` in one cell."""
    names = [name for name in rows[0] if name.removesuffix("_low").removesuffix("_high") not in rows[0].keys() - {name}]

    def text(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    def cell(row: Mapping[str, Any], name: str) -> str:
        interval = f" [{text(row[f'{name}_low'])}, {text(row[f'{name}_high'])}]" if f"{name}_low" in row else ""
        return text(row[name]) + interval

    lines = [names, ["---"] * len(names), *([cell(row, name) for name in names] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def netcdf_gz(dataset: xr.Dataset) -> bytes:
    """The dataset as gzipped NetCDF 3, the same bytes each time; `xarray.load_dataset("….nc.gz")` reads it."""
    return gzip.compress(bytes(dataset.to_netcdf(engine="scipy")), mtime=0)


def file_name(label: str) -> str:
    """A label as part of a path: `mpe/simple_spread happo` → `mpe_simple_spread-happo`."""
    return label.strip("/").replace("/", "_").replace(" ", "-")


def write_results(directory: Path, files: Mapping[str, bytes], figures: Mapping[str, Figure]) -> list[Path]:
    """Write files by their name, and every figure as PNG and PDF.

    Args:
        files: path within the directory → contents.
        figures: name without suffix → figure.
    Returns:
        The files.
    Raises:
        RunError: the disk refuses.
    """
    with disk_errors(f"cannot write {directory}", "choose another directory with -o"):
        for name, data in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(directory / name, data)
        drawn = [
            save_figure(figure, directory / f"{name}.{suffix}")
            for name, figure in figures.items()
            for suffix in ("png", "pdf")
        ]
    return [directory / name for name in files] + drawn
