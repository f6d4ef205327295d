"""The duration of a run: stored by stretches, replaced when iterations repeat, and never an obstacle to training."""

import pytest

from ltro_jax.storage import RunDirectory, RunError, Stretch, load_stretches, record_stretch


def test_stretches_follow_one_another_and_are_replaced_by_a_resume(tmp_path):
    run = RunDirectory.create(tmp_path / "run", {})
    assert load_stretches(run) == []
    first, second = Stretch(1, 4, 1.5, "1 × cpu"), Stretch(5, 8, 1.25, "1 × cpu")
    record_stretch(run, first)
    record_stretch(run, second)
    assert load_stretches(run) == [first, second]
    again = Stretch(5, 6, 0.5, "8 × cpu")
    record_stretch(run, again)
    assert load_stretches(run) == [first, again]


def test_damage_is_named_to_a_reader_and_overwritten_by_a_run(tmp_path):
    run = RunDirectory.create(tmp_path / "run", {})
    file, stretch = run.path / "timing.json", Stretch(1, 4, 1.5, "1 × cpu")
    (run.path / ".timing.json.1.tmp").write_text("{")  # of a kill
    for content in ("{", '{"stretches": [{"first": 1}]}', '{"other": 1}'):
        file.write_text(content)
        with pytest.raises(RunError, match=r"timing\.json is damaged \("):
            load_stretches(run)
        record_stretch(run, stretch)
        assert load_stretches(run) == [stretch]
    assert not (run.path / ".timing.json.1.tmp").exists()
