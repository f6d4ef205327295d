"""Tables as Markdown and CSV; nothing else in the package writes a table."""

from collections.abc import Callable

import pandas as pd

from ltro_jax.analysis.statistics import Array, Interval

LOW, HIGH = "_low", "_high"


def csv_text(table: pd.DataFrame, float_format: str | None = None) -> str:
    """The table as CSV without its index; missing values are empty fields, floats have all digits by default."""
    return table.to_csv(index=False, lineterminator="\n", float_format=float_format)


def markdown_table(table: pd.DataFrame, form: str = ".3g", escape: Callable[[str], str] = str) -> str:
    """The table as Markdown without its index.

    Args:
        table: any cells; several columns may have the same name.
        form: format of floats.
        escape: applied to the text of every cell and column name.
    Returns:
        Lines, each with its line break.
    """

    def text(cell: object) -> str:
        return escape(format(cell, form) if isinstance(cell, float) else str(cell))

    lines = [table.columns, ["---"] * table.shape[1], *table.itertuples(index=False, name=None)]
    return "".join(f"| {' | '.join(map(text, line))} |\n" for line in lines)


def interval_columns(name: str, interval: Interval) -> dict[str, Array]:
    """The fields of an interval by the column names `x`, `x_low` and `x_high`."""
    return {name: interval.point, name + LOW: interval.low, name + HIGH: interval.high}


def join_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each `x`, `x_low` and `x_high` joined to one column `x` of texts, `point [low, high]`."""
    names = [name for name in table.columns if name + LOW in table.columns]
    joined = {}
    for name in names:
        ends = table[[name, name + LOW, name + HIGH]].to_numpy()
        joined[name] = [interval_text(Interval(*row)) for row in ends]
    return table.assign(**joined).drop(columns=[name + end for name in names for end in (LOW, HIGH)])


def interval_text(interval: Interval, form: str = ".3g") -> str:
    """`point [low, high]`, of an interval of scalars."""
    return f"{interval.point:{form}} [{interval.low:{form}}, {interval.high:{form}}]"
