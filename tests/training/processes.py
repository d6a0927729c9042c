"""`pvc train` in processes that start fast, and what became of it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch.distributed import TCPStore

from pvc.models.checkpoint import load_state
from pvc.training.checkpoint_io import newest_checkpoint
from tests.processes import LONGEST, Command, pause

STEPS, VALIDATED = 8, 5
RUN = [
    "experiment=tiny",
    "data=synthetic",
    "data.crop=32",
    "data.frames=2",
    "data.batch_size=1",
    "data.workers=0",
    "data.val_frames=2",
    "data.source.names=[garage]",
    "data.source.size=[64,96]",
    "model.width=8",
    "model.latent=16",
    "model.motion_latent=8",
    "model.hyper=4",
    "training.val_points=[[1e-3,1]]",
    "training.scheduler.steps=8",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "trainer.precision=32-true",
    f"trainer.max_steps={STEPS}",
    f"trainer.val_check_interval={VALIDATED}",
    "trainer.log_every_n_steps=1",
    "ema=0.9",
    "checkpoint_every=1",
    "keep_checkpoints=2",
    "pictures_every=0",
    "page=null",
    "resume=true",
]
"""Overrides of a run of ``STEPS`` steps, each a fraction of a second, that validates once."""


class Training(Command):
    """One `pvc train` with the overrides ``base`` and ``more`` in the folder ``out``; see :class:`Command`."""

    def __init__(
        self,
        out: Path,
        *more: str,
        base: Sequence[str] = RUN,
        before: Callable[[], None] | None = None,
        **environment: str,
    ):
        self.out = out
        out.mkdir(exist_ok=True)
        said = out / f"process-{len(list(out.glob('process-*.said')))}.said"
        super().__init__("pvc.train", [*base, f"out={out}", *more], said, before=before, **environment)


def trained_by(processes: int, out: Path, *overrides: str, before: Callable[[], None] | None = None) -> list[str]:
    """A run whose processes are started as Slurm's srun does; what each of them has said."""
    # Here, so that nobody can take the port before they come to it.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    job = {"SLURM_NTASKS": processes, "SLURM_NTASKS_PER_NODE": processes, "SLURM_NNODES": 1, "SLURM_NODEID": 0}
    job |= {"SLURM_JOB_ID": 1, "SLURM_JOB_NAME": "train", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
    job |= {"TORCHELASTIC_USE_AGENT_STORE": True}
    arguments = [*overrides, f"out={out}", f"trainer.devices={processes}"]
    with ExitStack() as stack:
        started = []
        for rank in range(processes):
            task = job | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank} if processes > 1 else {}
            said = out.with_name(f"{out.name}-{rank}.txt")
            environment = {name: str(value) for name, value in task.items()}
            process = Command("pvc.train", arguments, said, before=partial(_ranked, before), **environment)
            started.append(stack.enter_context(process))
        until = time.monotonic() + LONGEST
        while running := [each.process for each in started if each.process.exitcode is None]:
            if time.monotonic() > until or any(each.process.exitcode for each in started):
                break  # where one fails, another may wait for it
            running[0].join(0.2)
        assert [each.process.exitcode for each in started] == [0] * processes, "".join(each.said for each in started)
    return [each.said for each in started]


def _ranked(before: Callable[[], None] | None) -> None:
    rank_zero_only.rank = int(os.environ.get("SLURM_PROCID", 0))  # srun gives it before Lightning is imported
    if before is not None:
        before()


# -- for ``before`` ----------------------------------------------------------------------------------------------------


def pausing() -> None:
    """The first step waits in its midst."""
    from pvc.training.cpvc import CpvcModule
    from pvc.training.module import CodecModule

    for kind in (CodecModule, CpvcModule):
        kind.training_step = _after_pause(kind.training_step)


def _after_pause(step: Callable) -> Callable:
    def training_step(self, batch, batch_idx):
        pause()
        return step(self, batch, batch_idx)

    return training_step


# -- what became of it -------------------------------------------------------------------------------------------------


def steps(out: Path) -> int:
    """Steps of the newest checkpoint, 0 where there is none."""
    newest = newest_checkpoint(out / "checkpoints")
    return 0 if newest is None else int(newest.stem.split("=")[1])


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of all that nested dictionaries and lists hold."""
    if isinstance(value, dict | list | tuple):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inside, f"{path}/{key}")
    else:
        yield path, value


def assert_same_end(expected: Path, got: Path) -> None:
    """The same release, and the same last checkpoint: weights, averages, optimiser, schedule, counts, progress.

    But for how many batches of a validation there were since the start: Lightning counts those that are done again.
    """
    a, b = (load_state(folder / "model.safetensors") for folder in (expected, got))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    last = f"checkpoints/step={steps(expected)}.ckpt"
    one, other = (dict(leaves(torch.load(folder / last, weights_only=True))) for folder in (expected, got))
    one, other = ({k: v for k, v in x.items() if "val_loop" not in k} for x in (one, other))
    assert one.keys() == other.keys()
    tensors = {k for k, v in one.items() if isinstance(v, torch.Tensor)}
    differ = [k for k in one if not (torch.equal(one[k], other[k]) if k in tensors else one[k] == other[k])]
    assert not differ, [(k, one[k], other[k]) for k in differ]


def finish(out: Path, unbroken: Path) -> None:
    """Resume the run in ``out``; it must end as the unbroken one."""
    with Training(out) as run:
        assert run.code() == 0, run.said
    assert_same_end(unbroken, out)
    assert {p.name for p in (out / "checkpoints").iterdir()} == {f"step={n}.ckpt" for n in (STEPS - 1, STEPS)}
