"""Which rules are meant by this word? A file, a version that the ledger remembers, or what is in force."""

import re
from pathlib import Path

from clearance.decisions.did_you_mean import shown
from clearance.decisions.rules import Rules
from clearance.decisions.rules_file import load_rules
from clearance.ledger.engine import Ledger
from clearance.ledger.rule_sets import in_force, text_of
from workers.commands.rules_files import FileError
from workers.judges import read_rules

# As `rules_version` makes them.
_VERSION = re.compile(r"[0-9a-f]{16,64}")


def other_rules(ledger: Ledger, named: str | None, *, or_file: str = "") -> Rules:
    """The rules that are named.

    Args:
        named: A file or a version; None for what the fleet has in force, as was said last.
        or_file: What is in force where no process ever said so.

    Raises:
        RulesError: They are no rules any more, or that file is none.
        FileError: What looks like a version is none that the ledger knows.
        LedgerUnavailable: It is away, and would have to be asked.
    """
    if named is not None and (Path(named).is_file() or not _VERSION.fullmatch(named)):
        return read_rules(named)
    version = named or _version_in_force(ledger)
    if version is None:
        return read_rules(or_file)
    return load_rules(known_text(ledger, version), source=f"version {version}")


def known_text(ledger: Ledger, version: str) -> str:
    """The file of a version, as it was first read.

    Raises:
        FileError: Nobody ever decided by it.
        LedgerUnavailable: It is away.
    """
    with ledger.read() as connection:
        text = text_of(connection, version)
    if text is None:
        raise FileError([f"the ledger knows no version {shown(version)}"])
    return text


def _version_in_force(ledger: Ledger) -> str | None:
    with ledger.read() as connection:
        reported = in_force(connection)
    newest = max(reported, key=lambda each: each.loaded_at, default=None)
    return None if newest is None else newest.version
