"""The files of a study: reports, tables, datasets and plots."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from ltro_jax.analysis.plots import save_figure
from ltro_jax.process.files import write_atomically
from ltro_jax.storage.errors import disk_errors


def netcdf_gz(dataset: xr.Dataset) -> bytes:
    """The dataset as gzipped NetCDF 3, always the same bytes; `xarray.load_dataset("….nc.gz")` reads it."""
    return gzip.compress(bytes(dataset.to_netcdf(engine="scipy")), mtime=0)


def file_name(label: str) -> str:
    """A label in a form fit for a path: `mpe/simple_spread my:rule` → `mpe_simple_spread-my_rule`."""
    return label.strip("/").translate(str.maketrans("/: ", "__-", "<>"))


def write_results(directory: Path, files: Mapping[str, bytes], figures: Mapping[str, Figure]) -> list[Path]:
    """Write files under their names, and every plot as PNG and PDF.

    Args:
        files: path within the directory → contents.
        figures: name without suffix → plot.
    Returns:
        The paths of all files.
    Raises:
        RunError: a file cannot be written.
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
