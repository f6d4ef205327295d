"""Makes rliable_reference.json: what the package rliable says of two small arrays of scores.

    pip install rliable "pandas<3"; python tests/reports/rliable_reference.py

Not part of the tests, which only read the numbers: rliable's dependencies would pin those of everybody else.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

RESAMPLES = 50_000
THRESHOLDS = (0.2, 0.5, 0.7, 0.9, 1.2)


def main() -> None:
    """Write the file."""
    from rliable import library, metrics  # pyright: ignore[reportMissingImports]

    rng = np.random.default_rng(0)
    x = np.round(rng.normal((0.4, 0.8, 1.0), (0.2, 0.3, 0.1), (9, 3)), 3)  # [runs, tasks]
    y = np.round(rng.normal((0.3, 0.9, 0.9), (0.2, 0.1, 0.3), (6, 3)), 3)
    y[0] = x[0]  # ties
    aggregates = (metrics.aggregate_iqm, metrics.aggregate_mean, metrics.aggregate_median)

    np.random.seed(0)  # noqa: NPY002 - what rliable draws from
    points, intervals = library.get_interval_estimates(
        {"x": x, "y": y}, lambda scores: np.array([f(scores) for f in aggregates]), reps=RESAMPLES
    )
    pair_points, pair_intervals = library.get_interval_estimates(
        {"x,y": (x, y)}, metrics.probability_of_improvement, reps=RESAMPLES
    )
    profiles, bands = library.create_performance_profile({"x": x, "y": y}, np.array(THRESHOLDS), reps=RESAMPLES)
    content = {
        "made_by": "python tests/reports/rliable_reference.py",
        "rliable": version("rliable"),
        "resamples": RESAMPLES,
        "x": x.T.tolist(),  # [tasks, runs]
        "y": y.T.tolist(),
        "thresholds": THRESHOLDS,
        "aggregates": {  # IQM, mean, median: point, low, high
            name: np.stack([points[name], *intervals[name]]).T.tolist() for name in ("x", "y")
        },
        "probability_of_improvement": [float(pair_points["x,y"]), *np.ravel(pair_intervals["x,y"]).tolist()],
        "profiles": {name: np.stack([profiles[name], *bands[name]]).tolist() for name in ("x", "y")},
    }
    file = Path(__file__).with_suffix(".json")
    file.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written: {file}")


if __name__ == "__main__":
    main()
