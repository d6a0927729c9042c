"""`pvc doctor`: what is installed and what is not."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from pvc.commands import doctor

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def test_every_requirement_and_every_extra_is_listed():
    rows = {what: found for what, found, good in doctor.packages() if good}
    extras = {name for name in rows if name.startswith("pvc[")}
    assert extras == {f"pvc[{name}]" for name in PROJECT["optional-dependencies"] if name != "dev"}
    assert len(rows) == 1 + len(PROJECT["dependencies"]) + len(extras)  # 1: Python
    assert "webdataset " in rows["pvc[shards]"]


def test_what_an_extra_lacks_is_said_and_no_fault(monkeypatch):
    def version(name: str) -> str:
        if name in ("hydra-submitit-launcher", "torch"):
            raise PackageNotFoundError
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    rows = {what: (found, good) for what, found, good in doctor.packages()}
    found, good = rows["pvc[launchers]"]
    assert found == "hydra-joblib-launcher 1.0, hydra-submitit-launcher missing (optional)" and good
    assert rows["torch"] == ("missing: install pvc again", False)
