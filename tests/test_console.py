"""How the command speaks while it works, where there is no terminal to draw on."""

import re

from pvc import console


def test_a_log_gets_a_line_now_and_then_with_what_is_done_and_left(monkeypatch, capsys):
    clock = [100.0]
    with console.progress("jobs") as bar:
        monkeypatch.setattr(bar, "get_time", lambda: clock[0])
        task = bar.add_task("reading", total=40)
        for _ in range(20):
            clock[0] += 10
            bar.update(task, advance=1, description="x265 crf 20 on a")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6  # 200 seconds
    assert lines[0] == "3/40 jobs, 0:00:30 passed, 0:06:10 left"
    assert lines[-1] == "18/40 jobs, 0:03:00 passed, 0:03:40 left"
    assert not re.search(r"\x1b", "".join(lines))


def test_what_is_over_soon_says_nothing(capsys):
    with console.progress("jobs") as bar:
        task = bar.add_task("reading", total=3)
        for _ in range(3):
            bar.update(task, advance=1)
    assert capsys.readouterr().err == ""
