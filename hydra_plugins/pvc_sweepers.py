"""How ``pvc train -m`` goes through its runs: a plugin of Hydra, which looks for them in packages of this name.

Every Hydra program of the environment imports this, so that what is heavy is imported where it is used.
"""

from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class Runs(BasicSweeper):
    """Hydra's own sweep, which tells at its end of all runs that failed and not of the first alone; or a search.

    Args:
        search: settings of :func:`pvc.sweep.search.search`; None: every combination of the values.
        params, max_batch_size: as in Hydra's.
    """

    def __init__(self, search: Any = None, params: Any = None, max_batch_size: int | None = None):
        super().__init__(max_batch_size, params)
        self.search = search

    def setup(self, **context: Any) -> None:
        """See :class:`hydra.plugins.sweeper.Sweeper`."""
        from pvc.sweep.launch import Noting

        super().setup(**context)
        self.launcher = Noting(self.launcher)

    def sweep(self, arguments: list[str]) -> None:
        """Run them. Raises ``JobsFailed`` where some failed."""
        if self.search is None:
            super().sweep(arguments)
        else:
            from pvc.sweep.search import search

            values = [*self._parse_config(), *arguments]
            search(
                self.launcher,
                values,
                Path(self.config.hydra.sweep.dir),
                at_once=self.max_batch_size or 1,
                **self.search,
            )
        self.launcher.tell()
