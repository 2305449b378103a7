"""How are all checks made within a few seconds, whatever hangs? Each in a thread, and none is waited for long.

A check that does not answer in time has failed: that is what the one who asks wants to know. Its thread is left behind
and ends with the process.
"""

from collections.abc import Callable, Iterable, Mapping
from threading import Thread
from time import monotonic

from clearance.errors import BrokerUnavailable, LedgerUnavailable
from workers.doctor.findings import Finding, fail, warn

Check = Callable[[], Iterable[Finding]]


def examine(check_by_name: Mapping[str, Check], *, timeout_s: float) -> list[Finding]:
    """What all checks find, in their order."""
    found_by_name: dict[str, list[Finding]] = {}

    def make(name: str, check: Check) -> None:
        found_by_name[name] = _findings(name, check)

    threads = [
        Thread(target=make, args=(name, check), name=f"doctor-{name}", daemon=True)
        for name, check in check_by_name.items()
    ]
    ends_at_s = monotonic() + timeout_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends_at_s - monotonic()))
    silent = f"no answer within {timeout_s:g} s"
    return [
        finding
        for name in check_by_name
        for finding in found_by_name.get(name, [fail(name, silent, "see why it hangs")])
    ]


def _findings(name: str, check: Check) -> list[Finding]:
    try:
        return list(check())
    except LedgerUnavailable:
        return [warn(name, "not known while the ledger is away")]
    except BrokerUnavailable:
        return [warn(name, "not known while the broker is away")]
    except Exception as error:  # noqa: BLE001 - the others' findings are wanted all the more
        # The text of an unknown error may hold anything.
        return [fail(name, f"could not be looked at: {type(error).__name__}", "report it as a bug")]
