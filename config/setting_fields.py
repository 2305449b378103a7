"""How a setting is declared: a field with its default, its rule, its place in the documents, its secrecy."""

from dataclasses import field
from typing import Any, cast

from config.setting_rules import Rule

# In the order of the documents.
SECTIONS = (
    "Ledger, broker and fleet",
    "Ingest",
    "Optimove",
    "Triggered lane",
    "Scheduled lanes",
    "Rules",
    "Mail relay",
    "Optilyz",
    "Bloomreach",
    "Operations",
)


def setting(section: str, default: object, rule: Rule | None = None, *, secret: bool = False) -> Any:
    """A field of `Settings`; one that is secret is never shown."""
    metadata = {"section": section, "rule": rule, "secret": secret}
    return field(default=cast(Any, default), metadata=metadata, repr=not secret)
