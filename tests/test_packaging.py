"""What is installed: a wheel that carries its configs, pinned versions, checkpoints found by the name a user gives."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from pvc import __version__, paths
from pvc.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[1]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {normal(n): v for n, v in (line.split("==") for line in lines if line and not line.startswith("#"))}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The project's wheel, built without network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(out.glob(f"pvc-{__version__}-*.whl")))


def test_the_wheel_carries_every_module_config_and_checkpoint_and_nothing_else(wheel):
    def files(folder: str, prefix: str = "") -> set[str]:
        every = (p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        return {prefix + p.relative_to(ROOT).as_posix() for p in every if p.suffix != ".partial"}

    expected = files("pvc") | files("hydra_plugins") | files("configs", "pvc/") | files("checkpoints", "pvc/")
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == expected
    assert any(name.startswith("pvc/configs/") and name.endswith(".yaml") for name in inside)


def test_an_installed_wheel_finds_its_own_configs(wheel, tmp_path):
    wheel.extractall(tmp_path)
    code = "import pvc, pvc.paths as p; print(pvc.__file__); print(p.config_dir())"
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    package, configs = map(Path, out.split("\n")[:2])
    assert package.parent == tmp_path / "pvc"
    assert configs == tmp_path / "pvc" / "configs"


def test_every_installed_version_that_the_project_needs_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = project["dependencies"] + project["optional-dependencies"]["dev"]
    missing = {n for n in (normal(re.match(r"[\w.-]+", d)[0]) for d in named) if n not in pinned()}
    assert not missing


@pytest.mark.skipif(not (Path(sys.prefix) / ".installed").is_file(), reason="not the environment that make builds")
def test_the_environment_that_make_builds_holds_the_pinned_versions():
    have = {normal(d.metadata["Name"]): d.version for d in distributions()}
    differ = {n: (have[n], v) for n, v in pinned().items() if n in have and have[n] != v}
    assert not differ


def checkpoint(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.safetensors").touch()


@pytest.fixture
def released(tmp_path, monkeypatch) -> Path:
    """A folder in $PVC_CHECKPOINTS with some checkpoints; the working folder has none."""
    folder = tmp_path / "released"
    checkpoint(folder, "ssf-1.6e-3", "ssf-4e-4", "ssf-1e-4", "ssf-roi-1e-4", "mr-md-ssf")
    monkeypatch.setenv("PVC_CHECKPOINTS", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_checkpoint_is_found_by_its_exact_name(released):
    assert paths.find_checkpoints("mr-md-ssf") == [released / "mr-md-ssf.safetensors"]
    assert paths.find_checkpoints("ssf-4e-4") == [released / "ssf-4e-4.safetensors"]


def test_single_rate_checkpoints_are_found_by_their_common_name_in_order_of_beta(released):
    assert [p.stem for p in paths.find_checkpoints("ssf")] == ["ssf-1e-4", "ssf-4e-4", "ssf-1.6e-3"]
    assert [p.stem for p in paths.find_checkpoints("ssf-roi")] == ["ssf-roi-1e-4"]


def test_a_checkpoint_is_found_by_its_path(released):
    path = released / "mr-md-ssf.safetensors"
    assert paths.find_checkpoints(str(path)) == [path]


def test_a_checkpoint_of_the_working_folder_goes_before_the_released_ones(released, tmp_path, monkeypatch):
    monkeypatch.delenv("PVC_CHECKPOINTS")
    checkpoint(tmp_path / "checkpoints", "mr-md-ssf-tiny")
    assert paths.find_checkpoints("mr-md-ssf-tiny") == [tmp_path / "checkpoints" / "mr-md-ssf-tiny.safetensors"]


def test_an_unknown_name_lists_what_there_is(released):
    with pytest.raises(CheckpointError, match=r"'nothing'.*mr-md-ssf, .*ssf-1\.6e-3"):
        paths.find_checkpoints("nothing")


def test_a_path_that_does_not_exist_is_named(released):
    with pytest.raises(CheckpointError, match=r"runs/a\.safetensors does not exist"):
        paths.find_checkpoints("runs/a.safetensors")
