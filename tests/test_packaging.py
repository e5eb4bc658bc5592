"""The wheel: built from the real folders, whole, and importable without the checkout."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import holdfast

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "providers", "traces", "sim", "properties", "reports")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_every_file_of_every_room_and_nothing_else(wheel: Path) -> None:
    packed = {entry for entry in zipfile.ZipFile(wheel).namelist() if not entry.endswith("/")}
    rooms = {
        f"holdfast/{path.relative_to(ROOT).as_posix()}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    front_door = {
        path.relative_to(ROOT / "package").as_posix()
        for top in (ROOT / "package" / "holdfast").iterdir()
        if not top.is_symlink()
        for path in ([top] if top.is_file() else top.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {entry for entry in packed if ".dist-info/" not in entry} == rooms | front_door


def test_wheel_holds_the_data_files_and_no_tests(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel).namelist()
    for data in ("sessions-matrix.toml", "provider-checks.toml", "clauses.toml"):
        assert f"holdfast/properties/spec/{data}" in packed
    assert "holdfast/py.typed" in packed
    assert not [
        entry for entry in packed if Path(entry).name.startswith("test_") or entry.startswith("tests/")
    ]


def test_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = "import holdfast.properties.spec as s; print(s.__file__, len(s.rows()))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    file, row_count = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert row_count == "292"


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == holdfast.__version__


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Runtme'"):
        _ = holdfast.Runtme
