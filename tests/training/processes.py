"""`pvc train` in processes of their own that start fast: forked from one that has already imported everything."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from pvc.training.checkpoint_io import newest_checkpoint

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
    "model.motion_latent=4",
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
LONGEST = 240.0
"""Seconds for whatever a test waits for."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pvc.training.run", "pvc.training.module", "pvc.training.cpvc", "pvc.data.module"])


class Training:
    """One `pvc train` with the overrides ``base`` and ``more``, running. A ``with`` block leaves nothing of it behind.

    Args:
        out: folder of the run.
        before: called in the new process first; a function at the top of a module.
        environment: variables to set there.
    """

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
        self._files = out / f"process-{len(list(out.glob('process-*.said')))}"
        self._said = self._files.with_suffix(".said")
        environment = {"PAUSING": str(self._files)} | environment
        self.process = _context.Process(
            target=_train, args=([*base, f"out={out}", *more], self._said, before, environment)
        )
        self.process.start()

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join()

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self._said.read_text() if self._said.exists() else ""

    @property
    def lines(self) -> list[str]:
        """What of it comes from pvc."""
        return [line for line in self.said.splitlines() if line.startswith("pvc")]

    def until(self, true: Callable[[], object]) -> None:
        """Wait until something is so; an error where the process ends before or takes too long."""
        deadline = time.monotonic() + LONGEST
        while not true():
            assert self.process.is_alive(), f"it ended with {self.process.exitcode}: {self.said}"
            assert time.monotonic() < deadline, self.said
            time.sleep(0.005)

    def reached(self) -> None:
        """Wait until it is where ``before`` lets it wait."""
        self.until(self._files.with_suffix(".paused").exists)

    def go(self) -> None:
        """Let it go on from there."""
        self._files.with_suffix(".go").touch()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def code(self) -> int:
        """Its exit code when it has ended."""
        self.process.join(LONGEST)
        assert self.process.exitcode is not None, self.said
        return self.process.exitcode


def _train(arguments: list[str], said: Path, before: Callable[[], None] | None, environment: dict[str, str]) -> None:
    from pvc.train import main

    file = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    os.environ.update(environment)
    sys.argv = ["pvc train", *arguments]
    if before is not None:
        before()
    main()


# -- for ``before`` ----------------------------------------------------------------------------------------------------


def pause() -> None:
    """Wait here for ``Training.go``."""
    files = Path(os.environ["PAUSING"])
    files.with_suffix(".paused").touch()
    while not files.with_suffix(".go").exists():
        time.sleep(0.005)


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
    a, b = (load_file(folder / "model.safetensors") for folder in (expected, got))
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
