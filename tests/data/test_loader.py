"""Workers of a loader, and what others do to them."""

import os

import pytest
from torch.utils.data._utils import signal_handling

from pvc.data.loader import _SIGNALS, ClipLoader


@pytest.mark.parametrize("number", _SIGNALS)
def test_a_worker_that_is_sent_a_signal_while_it_starts_goes_on(monkeypatch, number):
    """PyTorch's worker first installs a handler that lets SIGTERM end it."""
    install = signal_handling._set_worker_signal_handlers

    def signalled() -> None:
        os.kill(os.getpid(), number)
        install()
        os.kill(os.getpid(), number)

    monkeypatch.setattr(signal_handling, "_set_worker_signal_handlers", signalled)
    assert [batch.tolist() for batch in ClipLoader(range(4), batch_size=2, num_workers=2)] == [[0, 1], [2, 3]]
