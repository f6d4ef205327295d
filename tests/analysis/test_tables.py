"""Tables as text: formats, intervals in one cell, missing values."""

import numpy as np
import pandas as pd

from ltro_jax.analysis.statistics import Interval
from ltro_jax.analysis.tables import csv_text, interval_columns, interval_text, join_intervals, markdown_table


def test_markdown_formats_floats_and_escapes_text():
    table = pd.DataFrame([["a|b", 1234, 0.12345, np.inf], ["c", 2, np.nan, -1.0]], columns=["x", "n", "y", "y"])
    escaped = markdown_table(table, form=".2f", escape=lambda text: text.replace("|", r"\|"))
    assert (
        escaped
        == "| x | n | y | y |\n| --- | --- | --- | --- |\n| a\\|b | 1234 | 0.12 | inf |\n| c | 2 | nan | -1.00 |\n"
    )
    assert markdown_table(table.iloc[:0]) == "| x | n | y | y |\n| --- | --- | --- | --- |\n"


def test_csv_keeps_all_digits_and_leaves_missing_values_empty():
    table = pd.DataFrame([{"a": 0.1 + 0.2, "b": "x,y"}, {"a": np.inf}])
    assert csv_text(table) == 'a,b\n0.30000000000000004,"x,y"\ninf,\n'


def test_intervals_are_joined_in_one_cell():
    interval = Interval(np.array([1.0, 2.0]), np.array([0.5, 1.98765]), np.array([1.5, np.inf]))
    table = pd.DataFrame({"n": [3, 4]} | interval_columns("x", interval))
    assert list(table.columns) == ["n", "x", "x_low", "x_high"]
    assert join_intervals(table).values.tolist() == [[3, "1 [0.5, 1.5]"], [4, "2 [1.99, inf]"]]
    assert interval_text(Interval(*np.array([1.0, 0.5, 1.5])), ".2f") == "1.00 [0.50, 1.50]"
