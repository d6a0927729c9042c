"""One process at a time works in a folder."""

import subprocess
import sys

import pytest

from pvc.errors import ConfigError
from pvc.folder import alone


def test_a_second_process_is_refused_and_the_lock_ends_with_the_first(tmp_path):
    code = f"import sys, pathlib; from pvc.folder import alone\nwith alone(pathlib.Path({str(tmp_path)!r}), 'x'): "
    code += "print('in', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(ConfigError, match="another pvc train is at work"), alone(tmp_path, "pvc train", wait=0.5):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with alone(tmp_path, "pvc train", wait=60):
        pass
