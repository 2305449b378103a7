"""The checkout keeps the shape that the documents promise."""

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("clearance", "config", "tasks", "workers")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_LINES = 400

FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "models", "types", "misc"}
LOG_METHODS = {"debug", "info", "warning", "error", "critical", "exception"}

# In pieces, so that this file does not name them either.
MACHINE_PATHS = ("/ho" + "me/", "/ro" + "ot/", "/Us" + "ers/", "/wo" + "rk/")
PACKAGE_INDEXES = ("py" + "pi.org", "pythonho" + "sted.org", "index-" + "url", "find-" + "links")


def _tracked_texts() -> list[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    texts = []
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_file():
            texts.append((name, path.read_bytes().decode("utf-8", errors="replace")))
    return texts


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_of_ours_is_the_one_in_this_checkout(package: str) -> None:
    """`config` and `tasks` exist on public indexes: whatever is installed, ours must win."""
    found = importlib.import_module(package).__file__

    assert found == str(ROOT / package / "__init__.py")


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = {
        _name(path) for path in MODULES if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES
    }

    assert named - {"tasks/base.py"} == set()


def test_no_product_module_is_longer_than_four_hundred_lines() -> None:
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}

    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_every_product_module_says_what_it_is_for() -> None:
    silent = [
        _name(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert silent == []


def test_the_environment_is_read_in_one_module_only() -> None:
    readers = {
        _name(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}
    }

    # A parent hands its environment on to the processes that it starts; it reads nothing from it.
    assert {name for name in readers if not name.startswith("workers/")} == {"config/settings.py"}


def test_every_event_that_is_logged_has_a_static_name_of_noun_and_past_verb() -> None:
    wrong = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            owner = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
            if node.func.attr not in LOG_METHODS or owner not in {"log", "logger"}:
                continue
            event = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", str(event)):
                wrong.append(f"{_name(path)}:{node.lineno} {ast.unparse(node.args[0])}")

    assert wrong == []


@pytest.mark.parametrize("pattern", [*MACHINE_PATHS, *PACKAGE_INDEXES])
def test_no_file_names_a_path_of_a_machine_or_a_package_index(pattern: str) -> None:
    texts = _tracked_texts()

    assert len(texts) > len(MODULES)
    assert [name for name, text in texts if pattern in text] == []
