"""The style rules that a machine can check, and that the lists describing the package agree.

An exemption names its reason and must still be needed: the lists may only shrink.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import networkx
import pytest

ROOT = Path(__file__).resolve().parent.parent
FRONT_DOOR = ROOT / "package" / "holdfast"
ROOMS = ("core", "providers", "traces", "sim", "properties", "reports")
ROOMS_WITHOUT_TIME_AND_CHANCE = ("core", "providers", "properties", "traces")

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
FOLDER_MODULES_MAX = 25
ASSERTIONS_PER_FUNCTION_MIN = 0.3
ROOM_MAP_LINES_MAX = 15
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
TIME_AND_CHANCE_MODULES = {"time", "random", "uuid", "secrets", "threading"}
TIME_AND_CHANCE_CALLS = {("os", "urandom"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}

# what an extra or a tool brings along: the plugin runs only within pytest
OPTIONAL_IMPORTS = {"pytest", "opentelemetry"}
# path: why it is one thing and long
LONG_FILES: dict[str, str] = {
    "core/contract/provider.py": "the one contract, whole: every method with its five-part docstring",
}
# path::qualified name: why it is one thing and long
LONG_FUNCTIONS: dict[str, str] = {}
# path: why this file may ask the machine for time, chance or threads
TIME_AND_CHANCE: dict[str, str] = {
    "core/engine/seclusion.py": "runtimes in several threads replay at the same time (RT-21.5)",
    "core/hosting/kernel_timer.py": "the CPU time of a thread is the kernel's (RT-4.56)",
    "core/hosting/watching_thread.py": "one thread watches others; their CPU time is an argument (RT-4.56)",
    "core/working/plain_threads.py": "plain functions have threads of their own (RT-6.14)",
    "providers/waiting.py": "fetches of several loops in several threads wait for one store (PV-29.4)",
    "providers/sqlite/database.py": "closing interrupts what another thread runs (PV-28.12)",
    "providers/sqlite/one_thread.py": "calls in memory are run by whoever makes them, one at a time (PV-1.8)",
    "providers/memory/calls.py": "one store serves several loops in several threads (PV-29.4)",
}


def sources(*folders: Path) -> Iterator[Path]:
    """The Python files below the folders; the links of the front door are not followed."""
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if not any(part.is_symlink() for part in (path, *path.parents) if part.is_relative_to(ROOT)):
                yield path


def shipped() -> list[Path]:
    return list(sources(*(ROOT / room for room in ROOMS), FRONT_DOOR))


def everything() -> list[Path]:
    return [*shipped(), *sources(ROOT / "tests", ROOT / "benchmarks")]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def configuration() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def modules(folder: Path) -> int:
    """The modules of a folder, its map not counted."""
    return len([path for path in folder.glob("*.py") if path.name != "__init__.py"])


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file with its number of lines."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                qualified = f"{prefix}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    assert child.end_lineno is not None
                    yield f"{name(path)}::{qualified}", child.end_lineno - child.lineno + 1
                yield from walk(child, f"{qualified}.")
            else:
                yield from walk(child, prefix)

    yield from walk(tree(path), "")


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, late imports included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def type_names(path: Path) -> Iterator[str]:
    """The public classes and type aliases that a module defines at its top level."""
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef):
            defined = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            defined = node.targets[0].id  # written like a class: an alias, a NewType, a type variable
        else:
            continue
        if defined[0].isupper() and not defined.isupper():
            yield defined


def time_and_chance(path: Path) -> Iterator[str]:
    """Each place where a file asks the machine for time, chance or a thread."""
    for node in ast.walk(tree(path)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            if any((node.module, alias.name) in TIME_AND_CHANCE_CALLS for alias in node.names):
                yield f"{name(path)}:{node.lineno} imports from {node.module}"
        elif isinstance(node, ast.Attribute):
            owner = node.value
            owner_name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if (owner_name, node.attr) in TIME_AND_CHANCE_CALLS:
                yield f"{name(path)}:{node.lineno} uses {owner_name}.{node.attr}"
        for module in modules:
            if module.split(".")[0] in TIME_AND_CHANCE_MODULES:
                yield f"{name(path)}:{node.lineno} imports {module}"


def test_no_relative_imports() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path in everything()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not found, "a relative import gives tools two types from one file"


def test_no_module_or_folder_is_a_drawer() -> None:
    found = [
        name(path)
        for path in everything()
        if NAMES_THAT_SAY_NOTHING & {path.stem, *path.relative_to(ROOT).parts[:-1]}
    ]
    assert not found, "name a module after what it does"


def test_files_are_short() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in shipped()}
    long = {path for path, count in lines.items() if count > FILE_LINES_MAX}
    assert long == LONG_FILES.keys(), f"at most {FILE_LINES_MAX} lines, or listed with a reason"


def test_functions_are_short() -> None:
    long = {
        function for path in shipped() for function, count in functions(path) if count > FUNCTION_LINES_MAX
    }
    assert long == LONG_FUNCTIONS.keys(), f"at most {FUNCTION_LINES_MAX} lines, or listed with a reason"


def test_no_folder_is_a_crowd() -> None:
    """A room with more modules is several rooms; the matrix, a module for each section, is left out."""
    folders = {path.parent for path in sources(ROOT / "core", ROOT / "sim", ROOT / "properties" / "judging")}
    crowds = {name(folder): count for folder in folders if (count := modules(folder)) > FOLDER_MODULES_MAX}
    assert not crowds, f"more than {FOLDER_MODULES_MAX} modules beside the map: cut it by import rule"


def test_no_public_class_has_two_homes() -> None:
    """One word, one thing: a class or type alias that everybody may name is defined in one module."""
    homes: dict[str, set[str]] = {}
    for path in shipped():
        for defined in type_names(path):
            homes.setdefault(defined, set()).add(name(path))
    assert not {defined: places for defined, places in homes.items() if len(places) > 1}


@pytest.mark.parametrize("room", ["core", "sim"])
def test_forbidden_states_are_asserted(room: str) -> None:
    """Where the runtime and the simulator decide, they say what must not be."""
    nodes = [node for path in sources(ROOT / room) for node in ast.walk(tree(path))]
    defined = sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes)
    asserted = sum(isinstance(node, ast.Assert) for node in nodes)
    assert asserted / defined >= ASSERTIONS_PER_FUNCTION_MIN, (asserted, defined)


def test_time_and_chance_are_arguments() -> None:
    """`core`, `providers`, `properties` and `traces` get clock, ids and randomness from outside."""
    rooms = sources(*(ROOT / room for room in ROOMS_WITHOUT_TIME_AND_CHANCE))
    places = {name(path): found for path in rooms if (found := list(time_and_chance(path)))}
    assert places.keys() == TIME_AND_CHANCE.keys(), places


def test_each_room_opens_with_a_map() -> None:
    """What the room is and what it may import, in fifteen lines at most."""
    for room in ROOMS:
        docstring = ast.get_docstring(tree(ROOT / room / "__init__.py"))
        assert docstring is not None, room
        assert len(docstring.splitlines()) <= ROOM_MAP_LINES_MAX, room


def test_no_cycle_between_modules() -> None:
    """Late and typing-only imports count; a package that imports its modules counts as a module, too."""
    graph = grimp.build_graph("holdfast", cache_dir=None)
    imports = networkx.DiGraph(
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    )
    cycles = [sorted(part) for part in networkx.strongly_connected_components(imports) if len(part) > 1]
    assert not cycles


def test_no_room_is_loaded_under_its_bare_name() -> None:
    """`import core` succeeds by accident where the root is on the path, and makes every class twice."""
    assert not sys.modules.keys() & set(ROOMS)


def test_importing_the_front_door_loads_no_room_and_nothing_slow() -> None:
    program = (
        "import sys, holdfast, holdfast.cli\n"
        "print(*(m for m in sys.modules if m.startswith('holdfast.') and not m.startswith('holdfast.cli')))\n"
        "print(*({'matplotlib', 'hypothesis', 'networkx', 'jinja2'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_rooms_links_and_lists_agree() -> None:
    """A new room is named in the wheel list, in its sources, for the sdist, in coverage, and as a link."""
    links = {path.name: path.readlink() for path in FRONT_DOOR.iterdir() if path.is_symlink()}
    assert links == {room: Path("../..") / room for room in ROOMS}

    tool = configuration()["tool"]
    wheel = tool["hatch"]["build"]["targets"]["wheel"]
    sdist = tool["hatch"]["build"]["targets"]["sdist"]
    assert wheel["sources"] == {"package": ""} | {room: f"holdfast/{room}" for room in ROOMS}
    assert {path for path in wheel["only-include"] if not path.startswith("package/")} == set(ROOMS)
    assert set(wheel["only-include"]) <= set(sdist["only-include"])
    assert set(tool["coverage"]["run"]["source"]) == {"package/holdfast", *ROOMS}
    assert tool["coverage"]["paths"].keys() == set(ROOMS)
    assert tool["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"].keys() == set(ROOMS)
    assert {contract["id"] for contract in tool["importlinter"]["contracts"]} >= set(ROOMS)


def test_what_is_declared_is_imported_and_what_is_imported_is_declared() -> None:
    """Each dependency of the package is used by it, and nothing else that has to be installed is."""
    declared = {re.split(r"[<>=\[]", line)[0] for line in configuration()["project"]["dependencies"]}
    known = {"holdfast", *sys.stdlib_module_names, *OPTIONAL_IMPORTS}
    imported = {module.split(".")[0] for path in shipped() for module in imports(path)}
    assert imported - known == declared


def test_every_front_door_file_is_in_the_wheel_list() -> None:
    here = {
        name(path) for path in FRONT_DOOR.iterdir() if not path.is_symlink() and path.name != "__pycache__"
    }
    listed = set(configuration()["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    assert here <= listed


def test_the_plugin_is_left_out_only_while_it_is_missing() -> None:
    left_out = "no:holdfast" in configuration()["tool"]["pytest"]["addopts"]
    assert left_out != (FRONT_DOOR / "pytest_plugin.py").exists(), "mend addopts in pyproject.toml"


def test_no_folder_named_like_the_package_at_the_root() -> None:
    assert not (ROOT / "holdfast").exists()
