"""A checkpoint is on the disk whole and finite, or the one before it stays; a log costs a run nothing."""

import csv
import errno
import os

import pytest
import torch

from pvc.errors import CheckpointError, TrainingError
from pvc.training.checkpoint_io import AtomicCheckpointIO, check_readable, newest_checkpoint, remove_partial
from pvc.training.csv_log import RunLog


def checkpoint(value: float = 1.0) -> dict:
    return {"global_step": 2, "state_dict": {"w": torch.full((100_000,), value)}, "optimizer_states": [{"state": {}}]}


def no_room(handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_written_is_what_is_read(tmp_path):
    AtomicCheckpointIO().save_checkpoint(checkpoint(), tmp_path / "new" / "step=2.ckpt")
    check_readable(tmp_path / "new" / "step=2.ckpt")
    got = AtomicCheckpointIO().load_checkpoint(tmp_path / "new" / "step=2.ckpt", weights_only=True)
    assert torch.equal(got["state_dict"]["w"], torch.ones(100_000))


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "step=2.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint(1.0), path)
    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(TrainingError, match=r"No space left on device; it takes 0\.4 MB and .* has .* MB") as error:
        AtomicCheckpointIO().save_checkpoint(checkpoint(2.0), path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["step=2.ckpt"]
    assert AtomicCheckpointIO().load_checkpoint(path)["state_dict"]["w"][0] == 1


@pytest.mark.parametrize("where", ["state_dict", "current_model_state", "optimizer_states"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_no_checkpoint_has_a_number_that_is_not_finite(where, value, tmp_path):
    bad = checkpoint() | {where: [{"state": {0: {"exp_avg": torch.tensor([0.0, value])}}}]}
    with pytest.raises(TrainingError, match=rf"{where}/0/state/0/exp_avg is not finite .* step=2\.ckpt is not written"):
        AtomicCheckpointIO().save_checkpoint(bad, tmp_path / "step=2.ckpt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("at", [0.01, 0.5, 0.999])
def test_a_flipped_bit_anywhere_in_a_checkpoint_is_found(at, tmp_path):
    path = tmp_path / "step=2.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint(), path)
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 16
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"step=2\.ckpt is damaged .*delete it"):
        check_readable(path)


def test_what_is_no_checkpoint_is_found(tmp_path):
    (tmp_path / "step=2.ckpt").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match=r"step=2\.ckpt is damaged"):
        check_readable(tmp_path / "step=2.ckpt")


def test_the_newest_checkpoint_has_the_most_steps_and_leftovers_are_none(tmp_path):
    for name in ("step=900.ckpt", "step=1000.ckpt", ".step=1100.ckpt.partial", "other.ckpt"):
        (tmp_path / name).touch()
    assert newest_checkpoint(tmp_path).name == "step=1000.ckpt"
    remove_partial(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"step=900.ckpt", "step=1000.ckpt", "other.ckpt"}
    assert newest_checkpoint(tmp_path / "nowhere") is None


def rows(log: RunLog) -> list[dict]:
    with open(f"{log.log_dir}/metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_log_takes_new_columns_and_is_whole_at_any_time(tmp_path):
    log = RunLog(tmp_path, "logs")
    for step, values in enumerate([{"a": 1}, {"a": 2}, {"a": 3, "b": 4}, {"b": 5}]):
        log.log_metrics(values, step)
        log.save()
        assert len(rows(log)) == step + 1
    assert [r["a"] for r in rows(log)] == ["1", "2", "3", ""] and [r["b"] for r in rows(log)] == ["", "", "4", "5"]
    assert [p.name for p in (tmp_path / "logs" / "version_0").iterdir()] == ["metrics.csv"]


def test_rows_that_a_full_disk_refused_are_written_when_there_is_room_again(tmp_path, monkeypatch, caplog):
    log = RunLog(tmp_path, "logs")
    log.log_metrics({"a": 1}, 0)
    log.save()

    def refuse(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", refuse)
        for step in (1, 2):
            log.log_metrics({"a": step + 1} | ({"b": 0} if step == 2 else {}), step)
            log.save()
    assert [r.message for r in caplog.records] == [
        f"pvc: {log.log_dir}/metrics.csv cannot be written (No space left on device); the run goes on without"
    ]
    log.log_metrics({"a": 4}, 3)
    log.finalize("success")
    assert [r["a"] for r in rows(log)] == ["1", "2", "3", "4"]
