"""Random and hostile command lines: a refusal is one sentence, and nothing is a traceback."""

from experiments.fuzz_settings import fuzz


def test_200_command_lines():
    counts, findings = fuzz(200, seed=1)
    assert findings == []
    assert counts["refused"] > 100 and counts["reached"] > 5, counts
