"""The newest metrics of a run: IQM over the healthy members of each point."""

from collections.abc import Sequence
from typing import NamedTuple

from ltro_jax.runs.load import Run, point_label, point_members
from ltro_jax.runs.scoring import choose_metrics
from ltro_jax.storage import MetricStore
from ltro_jax.watch.status import healthy_iqm, patiently


class TailRow(NamedTuple):
    """The values of a point at an iteration."""

    point: str
    iteration: int
    env_steps: int  # of each member
    values: dict[str, float | None]  # by flat name; None = not measured


def tail(run: Run, metrics: Sequence[str], count: int | None = None, after: int = 0) -> list[TailRow]:
    """Rows beyond iteration `after`, oldest first, in which at least one of `metrics` was measured.

    Args:
        metrics: flat names (`position/adv_variance_used/2`) or whole names (`adv_variance_used`: every position).
        count: number of newest iterations; None = all.
    Raises:
        SettingsError: unknown metric.
        RunError: the metrics are damaged.
    """
    store = MetricStore(run.directory.metrics)
    last = store.last_iteration()
    span = last - after if count is None else count
    while last > after:
        rows = _rows(run, store, metrics, max(after, last - span))
        iterations = sorted({row.iteration for row in rows})
        if count is None or len(iterations) >= count or last - span <= after:
            newest = iterations if count is None else iterations[-count:]
            return [row for row in rows if row.iteration in newest]
        span *= 4  # most iterations have no evaluation: look further back
    return []


def _rows(run: Run, store: MetricStore, metrics: Sequence[str], after: int) -> list[TailRow]:
    dataset = patiently(lambda: store.load(after))
    chosen = choose_metrics(dataset, metrics)
    rows = []
    for at, (iteration, steps) in enumerate(
        zip(dataset["iteration"].values.tolist(), dataset["env_steps"].values.tolist(), strict=True)
    ):
        for point, members in point_members(run.config):
            values = {name: healthy_iqm(column[members, at]) for name, column in chosen.items()}
            if any(value is not None for value in values.values()):
                rows.append(TailRow(point_label(point), iteration, steps, values))
    return rows
