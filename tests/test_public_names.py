"""The import paths that stay, whatever moves behind them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import get_origin

import pytest

ROOT = Path(__file__).resolve().parents[1]
FACES = (
    "holdfast",
    "holdfast.core",
    "holdfast.core.client",
    "holdfast.core.errors",
    "holdfast.core.provider",
    "holdfast.core.store",
    "holdfast.opentelemetry",
    "holdfast.providers.conformance",
    "holdfast.providers.memory",
    "holdfast.providers.sqlite",
    "holdfast.sim",
    "holdfast.sim.strategies",
    "holdfast.system",
    "holdfast.testing",
)


def texts() -> Iterator[tuple[Path, str]]:
    """The Python of the README, of the documentation and of the examples."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            yield page, code
    for file in sorted((ROOT / "examples").rglob("*.py")):
        yield file, file.read_text()


def shown() -> dict[str, set[str]]:
    """Module to the names that somebody who read this would import from it; "" for the module itself."""
    names: dict[str, set[str]] = {}
    for _, text in texts():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("holdfast"):
                names.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith("holdfast"):
                        names.setdefault(alias.name, set())
    return names


@pytest.mark.parametrize("module", sorted(shown()))
def test_what_docs_and_examples_import_is_there(module: str) -> None:
    imported = import_module(module)
    assert not [name for name in shown()[module] if not hasattr(imported, name)]


@pytest.mark.parametrize("face", FACES)
def test_a_face_has_what_it_says(face: str) -> None:
    """Each name of `__all__` is there, and is what its room defines under that name."""
    module = import_module(face)
    assert module.__all__, face
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, type) and get_origin(value) is None:
            assert value.__name__ == name, f"{face}.{name} is {value!r}"


def test_examples_and_the_readme_keep_to_the_faces() -> None:
    """Somebody who writes orchestrations or tests never needs a path into a room."""
    for place, text in texts():
        if place.parent != ROOT / "docs":
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("holdfast"):
                    assert node.module in FACES, f"{place.name} imports from {node.module}"
