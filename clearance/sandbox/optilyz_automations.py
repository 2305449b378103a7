"""Which automations are there, and which of them take recipients?

Three from the start, two of them live; a test may change them and add more.
Source: facts sheet, "look" (`_id`, `name`, `state`, `variations[].id`) and "automation id" (24 hexadecimal digits).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from marshmallow import Schema, fields, post_load, validate

from clearance.sandbox.answers import RefusedError

AUTOMATIONS_MAX = 1_000
_VARIATIONS = (1, 2, 3)


class AutomationState(StrEnum):
    """Whether it takes recipients."""

    LIVE = "live"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Automation:
    """One automation."""

    name: str
    state: AutomationState
    variations: tuple[int, ...]

    def shown(self, automation_id: str) -> dict[str, Any]:
        """As Optilyz shows it."""
        return {
            "_id": automation_id,
            "name": self.name,
            "state": self.state,
            "variations": [{"id": number} for number in self.variations],
        }


class AutomationSchema(Schema):
    """A body of `PUT /sandbox/optilyz/automations/{id}`; loads to an `Automation`."""

    name = fields.String(load_default="Automation", validate=validate.Length(1, 200))
    state = fields.Enum(AutomationState, by_value=True, load_default=AutomationState.LIVE)
    variations = fields.List(
        fields.Integer(strict=True), load_default=list(_VARIATIONS), validate=validate.Length(1, 100)
    )

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> Automation:
        """An automation."""
        return Automation(**data | {"variations": tuple(data["variations"])})


_FIRST = {
    "5fc6ca6a89b5e200e0de42e0": Automation(
        name="Abandoned cart", state=AutomationState.LIVE, variations=_VARIATIONS
    ),
    "5fc6ca6a89b5e200e0de42e1": Automation(
        name="Win back", state=AutomationState.LIVE, variations=_VARIATIONS
    ),
    "5fc6ca6a89b5e200e0de42e2": Automation(
        name="Summer sale", state=AutomationState.PAUSED, variations=_VARIATIONS
    ),
}


class Automations:
    """The automations by id."""

    def __init__(self) -> None:
        self._automation_by_id = dict(_FIRST)

    def __iter__(self) -> Iterator[tuple[str, Automation]]:
        return iter(self._automation_by_id.items())

    def get(self, automation_id: str) -> Automation:
        """Raises: RefusedError: 404, there is none; answer with it."""
        found = self._automation_by_id.get(automation_id)
        if found is None:
            raise RefusedError("no such automation", status=HTTPStatus.NOT_FOUND)
        return found

    def put(self, automation_id: str, automation: Automation) -> None:
        """Add or change one.

        Raises:
            RefusedError: There are too many; answer with it.
        """
        if automation_id not in self._automation_by_id and len(self._automation_by_id) >= AUTOMATIONS_MAX:
            raise RefusedError("too many automations: POST /sandbox/reset", status=HTTPStatus.CONFLICT)
        self._automation_by_id[automation_id] = automation

    def reset(self) -> None:
        """As it was at the start."""
        self._automation_by_id = dict(_FIRST)
