"""Launches runs of a sweep and keeps account of those that fail."""

import traceback
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from pvc.errors import JobsFailed, PvcError
from pvc.hydra_entry import message


class Noting:
    """A launcher that gives back no failed runs, which Hydra would stop at, but tells of them at the end.

    Args:
        launcher: what launches them.
    """

    def __init__(self, launcher: Launcher):
        self._launcher, self._runs = launcher, 0
        self._failed: dict[str, list[str]] = {}

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """See :class:`Launcher`; the runs that did not fail."""
        returned = self.launch_all(job_overrides, initial_job_idx)
        return [run for run in returned if run.status == JobStatus.COMPLETED]

    def launch_all(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """See :class:`Launcher`; all runs.

        Raises:
            JobsFailed: jobs could not be queued, or one ended without a word, as when its node fails.
        """
        try:
            returned = list(self._launcher.launch(job_overrides, initial_job_idx=initial_job_idx))
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "submitit":
                raise
            if type(error).__name__ != "UncompletedJobError":
                raise JobsFailed(f"the jobs could not be queued: {error}") from None
            raise JobsFailed(
                f"a job has left no result ({str(error).splitlines()[0]}); the others go on in the queue: when they "
                "have ended, the same command with resume=true does what is left"
            ) from None
        self._runs += len(returned)
        for run in returned:
            if run.status != JobStatus.COMPLETED:
                error = run._return_value  # the property prints and raises it
                if not _for_users(error):
                    traceback.print_exception(error)
                self._failed.setdefault(message(error, "train"), []).append(run.hydra_cfg.hydra.runtime.output_dir)
        return returned

    def tell(self) -> None:
        """Raise ``JobsFailed`` where runs failed, and name them."""
        if self._failed:
            which = "; ".join(f"{', '.join(runs)} ({reason})" for reason, runs in self._failed.items())
            raise JobsFailed(f"{sum(map(len, self._failed.values()))} of {self._runs} runs failed: {which}")


def _for_users(error: BaseException | None) -> bool:
    """Whether an error is, or comes from, one whose message is meant for users."""
    return error is not None and (isinstance(error, PvcError) or _for_users(error.__cause__))
