"""A run's own page: curves, rate and distortion against an anchor, pictures, in one file that grows with the run."""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from pvc.errors import ConfigError, PvcError
from pvc.page import write_whole
from pvc.training.anchor import Anchor
from pvc.training.csv_log import going_on
from pvc.training.means import Means
from pvc.training.page_facts import facts, progress
from pvc.training.page_history import FINISHED, RESUMED, STARTED, STOPPED, History
from pvc.training.page_html import page_html
from pvc.training.page_live import AnchorCurve

log = logging.getLogger(__name__)

NAME = "run.html"
_SHARE = 50  # the page is written so seldom that it takes one fiftieth of the time at most
_FAULT = "fault"  # among the means: one process has no values of the anchor


class RunPage(Callback):
    """Writes ``out/run.html`` from what the CSV logger and :class:`~pvc.training.pictures.Pictures` have written.

    Nothing is asked of the device in a training step. Each process codes the anchor of the clips that it validates; the
    first one writes.

    Args:
        out: folder of the run. name: of the run. config: of the run, as text.
        every: seconds from one writing to the next, beside those after each validation.
        anchor: name of a codec, or None. points, cache: see :class:`~pvc.training.anchor.Anchor`.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        config: str = "",
        *,
        every: float = 30,
        anchor: str | None = "x265",
        points: Sequence[float] = (),
        cache: str | None = "auto",
    ):
        if not every > 0:
            raise ConfigError(f"page.every={every} must be above 0; page=null writes none")
        self.out, self.name, self.config, self.every = out, name, config, every
        self.anchor = None if anchor is None else Anchor(anchor, points, cache)
        reason = "the next validation codes it" if anchor else "page.anchor=null: nothing to compare with"
        self._curve = AnchorCurve(anchor or "no anchor", reason=reason)
        self._means = Means()
        self._fault: str | None = None
        self._history: History | None = None
        self._broken = False
        self._next, self._begun, self._pictures = 0.0, (0.0, 0), {}
        self._facts: list[tuple[str, str]] = []

    # -- when ----------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Say that the run started, or goes on."""
        self._begun = time.monotonic(), trainer.global_step
        if trainer.is_global_zero:
            self._facts = facts(trainer, module)
            self._history = History(self.out / "logs" / "history.json")
            self._curve = self._last_curve()
            self._note(RESUMED if trainer.global_step else STARTED, trainer)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs, batch: Any, batch_idx: int
    ) -> None:
        """Write when it is time; a look at the clock otherwise."""
        if self._history is not None and time.monotonic() >= self._next:
            self._write(trainer)

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begin a new mean of the anchor."""
        self._means.clear()

    def on_validation_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs, batch: dict, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Add what the anchor makes of this clip, from the cache or coded now."""
        if self.anchor is None or self._fault or "base" in batch or not all(batch["counted"]):
            return
        try:
            found = self.anchor.measure(batch["frames"][0].cpu(), batch["roi"][0].cpu(), batch["fps"][0])
        except PvcError as error:  # training does not end for it
            self._fault = f"{self.anchor.name} cannot code the validation clips: {error}"
            log.warning("%s", self._fault)
            return
        for label, values in zip(self.anchor.labels, found, strict=True):
            self._means.add({f"{label}/{metric}": value for metric, value in values.items()})

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write, with the new points."""
        if self._fault:
            self._means.add({_FAULT: 1})
        if self.anchor is not None:
            self._curve = self._anchor_curve(self._means.gather(trainer))
        if self._history is not None:
            if self._curve.points:
                with going_on(str(self._kept)):
                    write_whole(self._kept, json.dumps([self._curve.name, self._curve.points]))
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Say that the run finished, or that something stopped it before its last step."""
        if self._history is not None:
            short = trainer.should_stop and trainer.max_steps not in (-1, trainer.global_step)
            self._note(STOPPED if short else FINISHED, trainer)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Say what ended the run."""
        if self._history is not None:
            why = "interrupted" if isinstance(exception, KeyboardInterrupt) else str(exception).strip().split("\n")[0]
            self._note(STOPPED, trainer, why or type(exception).__name__)

    # -- what ----------------------------------------------------------------------------------------------------------

    def _anchor_curve(self, means: dict[str, float]) -> AnchorCurve:
        """The means over the clips of all processes as a curve."""
        if means.pop(_FAULT, None):
            reason = self._fault or f"another process could not code clips by {self.anchor.name}; its log says why"
            return AnchorCurve(self.anchor.name, reason=reason)
        if not means:
            return AnchorCurve(self.anchor.name, reason="no clip was validated")
        points: dict[str, dict[str, float]] = {label: {} for label in self.anchor.labels}
        for name, value in means.items():
            label, metric = name.rsplit("/", 1)
            points[label][metric] = value
        return AnchorCurve(self.anchor.name, list(points.items()))

    @property
    def _kept(self) -> Path:
        """Where the anchor's means wait for a resume, whose next validation may be hours away."""
        return self.out / "logs" / "anchor.json"

    def _last_curve(self) -> AnchorCurve:
        try:
            name, points = json.loads(self._kept.read_text())
        except (OSError, ValueError):
            return self._curve
        return AnchorCurve(name, points) if self.anchor and name == self.anchor.name else self._curve

    def _note(self, what: str, trainer: Trainer, why: str = "") -> None:
        with going_on(str(self._history.path)):
            self._history.note(what, trainer.global_step, why)
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        """The page as of now. Whatever goes wrong costs the page, not the run."""
        if self._broken:
            return
        begun = time.monotonic()
        try:
            with going_on(str(self.out / NAME)):
                write_whole(self.out / NAME, self._html(trainer, begun))
        except Exception:
            self._broken = True
            log.exception("%s cannot be made; the run goes on without it", self.out / NAME)
        now = time.monotonic()
        self._next = now + max(self.every, _SHARE * (now - begun))

    def _html(self, trainer: Trainer, now: float) -> str:
        begun, first = self._begun
        return page_html(
            self.out,
            self._history,
            self._curve,
            self._pictures,
            name=self.name,
            facts=self._facts,
            progress=progress(trainer, first, now - begun),
            every=self.every,
            config=self.config,
        )
