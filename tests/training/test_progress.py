import time

import helpers  # noqa: F401  (virtual devices)
import jax.numpy as jnp
import pytest
import tensorflow as tf

from codellama_jax.errors import UserError
from codellama_jax.runs import read_lines
from codellama_jax.training import Phase, read_metrics
from codellama_jax.training.goodput import FILE
from codellama_jax.training.profile import Profile
from codellama_jax.training.progress import Progress

PHASE = Phase("code", "code_llama", 20, batch_size=2, sequence_length=8)


def record(directory, start, last, reason=None):
    """A process that records steps, and is killed at the last one unless there is a reason."""
    progress = Progress(directory, PHASE, start, 1e6, began=time.time(), print_every=5)
    for step in range(start + 1, last + 1):
        metrics = {"loss": float(step), "task_loss": {"code": step / 2}, "note": "no number"}
        progress.write(step, metrics, 0.1 * step, 0.5 * (step // 10))
    if reason:
        progress.close(reason, 0.1 * last, 1.0)


def scalars(directory):
    """What TensorBoard would show: by tag the numbers of steps; START purges from its step on."""
    shown = {}
    for path in sorted((directory / "tensorboard").iterdir()):
        for data in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(data)
            if event.session_log.status == tf.compat.v1.SessionLog.START:
                for tag, points in shown.items():
                    shown[tag] = {step: v for step, v in points.items() if step < event.step}
            for value in event.summary.value:
                points = shown.setdefault(value.tag, {})
                assert event.step not in points
                points[event.step] = value.simple_value
    return shown


def test_every_step_stands_once_though_a_process_was_killed(tmp_path, capsys):
    record(tmp_path, 0, 14)
    record(tmp_path, 10, 20, "done")
    lines = read_metrics(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert [line["loss"] for line in lines] == [float(step) for step in range(1, 21)]
    measured = [line["step"] for line in lines if "tokens_per_second" in line]
    assert measured == [5, 10, 15, 20]
    assert all("mfu" not in line and line["host_bytes"] > 0 for line in lines if "goodput" in line)
    board = scalars(tmp_path)
    assert board["loss"] == {step: float(step) for step in range(1, 21)}
    assert board["task_loss/code"] == {step: step / 2 for step in range(1, 21)}
    assert list(board["tokens_per_second"]) == measured and "note" not in board
    marks = [(e["event"], e["step"]) for e in read_lines(tmp_path / FILE)]
    assert marks[:4] == [("start", 0), ("mark", 1), ("mark", 5), ("mark", 10)]
    assert marks[4:] == [*[("start", 10), ("mark", 11), ("mark", 15), ("mark", 20)], ("stop", 20)]
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 7 and told[3] == "code         step 11 done, compiled in 0 s"
    assert told[-1].startswith("code: goodput ")


def test_tensorboard_itself_shows_each_step_once(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed: pip install tensorboard",
    )
    record(tmp_path, 0, 16)
    record(tmp_path, 10, 13, "preempted")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [point.step for point in events.Scalars("loss")] == list(range(1, 14))


def test_a_writer_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="'tensorbord': choose of tensorboard, wandb"):
        Progress(tmp_path, PHASE, 0, 1e6, 0.0, writers=("tensorbord",))


def test_wandb_is_asked_for_and_installed_or_it_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    try:
        import wandb  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match="pip install wandb"):
            Progress(tmp_path, PHASE, 0, 1e6, 0.0, writers=("wandb",))
        return
    progress = Progress(tmp_path, PHASE, 0, 1e6, 0.0, writers=("wandb",))
    progress.write(1, {"loss": 1.0}, 0.0, 0.0)
    progress.close("done", 0.0, 0.0)
    assert list(tmp_path.rglob(f"*{(tmp_path / 'wandb_id').read_text()}.wandb"))


@pytest.mark.parametrize(("steps", "last"), [(2, 6), (50, 6), (0, 6)])
def test_a_trace_of_some_steps(tmp_path, capsys, steps, last):
    profile = Profile(tmp_path, first_step=3, steps=steps)
    state = jnp.zeros(8)
    for step in range(1, last + 1):
        profile.at(step, state)
        state = state + step
    profile.close()
    traces = list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert len(traces) == (1 if steps else 0)
    if steps:
        assert b"train" in traces[0].read_bytes()
        assert "profile from step 3 on: " in capsys.readouterr().out
