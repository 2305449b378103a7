"""Prometheus' own judgement of rules, tests of rules, and expressions."""

import shutil
import subprocess
from pathlib import Path

from tests.services import service_required


def promtool(*arguments: str | Path) -> str:
    """What promtool says; it must agree. Skipped on a laptop that does not have it, failed in CI."""
    if shutil.which("promtool") is None:
        service_required("promtool", "it is in Debian's package `prometheus`")
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    return told
