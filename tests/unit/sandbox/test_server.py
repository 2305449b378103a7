"""The process: it says where it listens, and stops when told."""

import signal
import subprocess
import sys
import urllib.request

import pytest

pytestmark = pytest.mark.loopback

_SERVE = (
    "from clearance.sandbox.options import SandboxOptions\n"
    "from clearance.sandbox.server import serve\n"
    "serve(SandboxOptions(port=0))\n"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_address_answers_there_and_stops_on_a_signal(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("sandbox listening on http://127.0.0.1:")
        with urllib.request.urlopen(f"{line.split()[-1]}/healthz", timeout=5) as answer:  # noqa: S310 - our own
            assert answer.status == 200
        process.send_signal(number)
        rest, _ = process.communicate(timeout=10)
        assert (process.returncode, rest) == (0, "")
    finally:
        process.kill()
        process.communicate()
