"""Whether a run has been finished before, by the same configuration."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pvc.errors import ConfigError
from pvc.models.checkpoint import read_model_info
from pvc.training.run import FINAL, release_notes
from pvc.training.slurm import was_requeued

_NO_MATTER = {
    *(
        "resume",
        "out",
        "name",
        "logger",
        "page",
        "pictures_every",
        "checkpoint_every",
        "keep_checkpoints",
        "evaluate",
        "compile",
    ),
    *("data.workers", "data.val_frames", "training.val_points", "trainer.val_check_interval"),
    *("trainer.log_every_n_steps", "trainer.enable_model_summary", "trainer.num_sanity_val_steps"),
    *("trainer.limit_val_batches", "trainer.check_val_every_n_epoch"),
}
"""Keys that do not change what is trained."""
STEPS = "trainer.max_steps"


def finished(cfg: DictConfig, out: Path) -> Path | None:
    """The release in ``out`` where ``cfg`` asks for nothing more than what it was made by; None: there is a run to do.

    Raises:
        ConfigError: the run in ``out`` is finished, and ``cfg`` does not say ``resume=true`` or is another one.
        CheckpointError: the release cannot be read.
    """
    release = out / FINAL
    if not release.is_file():
        return None
    if not cfg.resume and not was_requeued():
        raise ConfigError(f"{out} already holds a finished run ({FINAL}); give another out, or resume=true to keep it")
    meta, asked = read_model_info(release)["meta"], dict(_flat(release_notes(cfg, 0)["config"]))
    made = dict(_flat(meta.get("config", {})))
    differ = [key for key in {**made, **asked} if _matters(key) and made.get(key) != asked.get(key)]
    if not differ:
        return release
    steps = asked.get(STEPS)
    if differ == [STEPS] and isinstance(steps, int) and (steps == -1 or steps > meta.get("steps", 0)):
        return None  # the same run, and longer
    key = next((key for key in differ if key != STEPS), STEPS)
    raise ConfigError(
        f"{out} holds a run that was finished with another configuration ({key}: {made.get(key)} there, "
        f"{asked.get(key)} here); give another out"
    )


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of all that is no mapping."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _flat(part, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _matters(key: str) -> bool:
    parts = key.split(".")
    return not any(".".join(parts[: i + 1]) in _NO_MATTER for i in range(len(parts)))
