"""Facts about the project itself: sizes, names, what depends on what, what must not be in it."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import socketd

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "daemon/socketd", ROOT / "client/socketd_client")
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
BANNED_NAMES = {"utils", "util", "helpers", "common", "manager", "misc"}

# Made by tools, or by git: not the project's text.
NOT_OURS = re.compile(
    r"\.git|\.venv|build|dist|node_modules|__pycache__|\.\w+_cache|\.hypothesis|\.coverage.*"
)
# Written so that no pattern matches its own line.
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|farm|builds|home/\w+|Users/\w+)/|/root/[.]")
REGISTRY = re.compile(
    r"pythonhosted[.]|pypi[.]org/simple|registry[.]npmjs|deb[.]debian|index[-]url|find[-]links"
)


def named(path: Path) -> str:
    """Return a path as the test's parameter shows it."""
    return str(path.relative_to(ROOT))


def project_files() -> Iterator[Path]:
    """Yield every text file of the checkout that is not made by a tool."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not NOT_OURS.fullmatch(name)]
        for name in files:
            path = Path(folder, name)
            if not NOT_OURS.fullmatch(name) and b"\0" not in path.read_bytes():
                yield path


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    """Return where a pattern stands in the project's files."""
    return [
        f"{named(path)}:{number}: {line.strip()}"
        for path in project_files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1)
        if pattern.search(line)
    ]


def imported_packages(path: Path) -> set[str]:
    """Return the top-level packages that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


def pyproject() -> dict[str, dict[str, object]]:
    """Return pyproject.toml as read."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_file_stays_under_its_cap(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_functions_stay_under_their_cap(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_opens_with_one_sentence(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    assert docstring, "no docstring"
    opening = docstring.split("\n\n")[0]
    sentence_ends = re.findall(r"[.!?](?=\s+[A-Z]|$)", opening)
    assert len(sentence_ends) == 1, opening
    assert opening.endswith((".", "!", "?")), opening


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_name_says_what_lives_there(path: Path) -> None:
    assert not {path.stem, path.parent.name} & BANNED_NAMES


@pytest.mark.parametrize("package", PACKAGES, ids=named)
def test_a_package_says_that_it_is_typed(package: Path) -> None:
    assert (package / "py.typed").read_bytes() == b""


def test_no_file_names_a_path_of_a_build_machine() -> None:
    assert lines_matching(MACHINE_PATH) == []


def test_no_file_names_a_package_registry() -> None:
    assert lines_matching(REGISTRY) == []


def test_the_changelog_opens_with_this_version() -> None:
    versions = re.findall(r"^## \[?v?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == socketd.__version__


def test_the_installed_distribution_has_this_version() -> None:
    assert importlib.metadata.version("socketd") == socketd.__version__


def test_the_base_installation_needs_only_requests() -> None:
    dependencies = pyproject()["project"]["dependencies"]
    assert isinstance(dependencies, list)
    assert [re.split(r"[<>=~! ]", entry)[0] for entry in dependencies] == ["requests"]


@pytest.mark.parametrize("path", [path for path in MODULES if "socketd_client" in path.parts], ids=named)
def test_the_client_imports_only_the_standard_library_and_requests(path: Path) -> None:
    # _typeshed exists for type checkers alone; nothing imports it when the client runs.
    allowed = {*sys.stdlib_module_names, "_typeshed", "requests", "urllib3", "socketd_client"}
    if "cli" in path.parts:
        allowed |= {"click", "rich"}  # its extra's
    assert imported_packages(path) - allowed == set()


def test_importing_the_client_loads_nothing_of_the_daemon() -> None:
    program = "import socketd_client, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "client")},  # alone: under coverage the rest would load gevent
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(result.stdout.split())
    assert "socketd_client" in loaded
    assert loaded & {"socketd", "flask", "gevent", "gunicorn", "marshmallow", "orjson", "werkzeug"} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=named)
def test_every_requirement_is_pinned_and_hashed(path: Path) -> None:
    text = path.read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert entries
    pinned = re.compile(r"[a-z0-9-]+==\S+( ;[^-]+)?( +--hash=sha256:[0-9a-f]{64})+\s*")
    assert [line for line in entries if not pinned.fullmatch(line)] == []
