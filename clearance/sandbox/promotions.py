"""An internal promotion system: whose promotion is activated, and whose is refused?

`POST /promotions/activate`, as an `http` check asks it. A customer whose id ends in "6" is refused, because the bonus
wallet is locked (as C12346 is in the sample of the protocol); everybody else's promotion is activated. So the answer
follows from the request alone, and a repeat gets the same one without its having been kept.

A repeated Idempotency-Key activates nobody again; the same key with other content is a conflict, 422. Faults and
limits come before: group `promotions`, without a limit until one is put.
Source: `samples/http-check.json`; draft-ietf-httpapi-idempotency-key-header-07, 2.7 (422 for another content).
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from marshmallow import INCLUDE, Schema, fields, validate

from clearance.sandbox.answers import RefusedError, load_with, reply
from clearance.sandbox.gate import Gate
from clearance.sandbox.limits import Group

PATH = "/promotions/activate"
REFUSED_ENDING = "6"
REFUSAL = "BONUS_WALLET_LOCKED"
# The oldest is forgotten first; about 30 MB.
KEYS_KEPT = 200_000
_COUNTS = ("requests", "activated", "refused", "repeats", "conflicts", "unauthorized")


class _CustomerSchema(Schema):
    customer_id = fields.String(required=True, validate=validate.Length(min=1))
    promo_codes = fields.List(fields.String(), required=True)
    attributes = fields.Dict(keys=fields.String(), required=True)


class _CampaignSchema(Schema):
    class Meta:
        unknown = INCLUDE

    lane = fields.String(required=True)


class _ActivationSchema(Schema):
    check = fields.String(required=True)
    campaign = fields.Nested(_CampaignSchema, required=True)
    customers = fields.List(fields.Nested(_CustomerSchema), required=True, validate=validate.Length(min=1))


class PromotionSystem:
    """The system's handler, and what it has done. An empty `authorization` lets everybody in."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization.encode()
        self._digest_by_key: dict[str, bytes] = {}
        self._counts: Counter[str] = Counter()

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        """The route behind the gate, which asks for none of the vendor's credentials here."""
        return [web.post(PATH, gate.guard(Group.PROMOTIONS, self.activate, is_public=True))]

    def counts(self) -> Mapping[str, int]:
        """What has happened: how many requests, and customers activated and refused, each once a key; and so on."""
        return {name: self._counts[name] for name in _COUNTS}

    def reset(self) -> None:
        """Forget keys and counts."""
        self._digest_by_key.clear()
        self._counts.clear()

    async def activate(self, request: web.Request) -> web.Response:
        """Activate the promotion for each customer, unless this was done under the same key before."""
        self._check_authorization(request.headers.get("Authorization", ""))
        key = request.headers.get("Idempotency-Key")
        if not key:
            raise RefusedError("Idempotency-Key is missing")
        sent: dict[str, Any] = load_with(_ActivationSchema(), await request.read(), dict)
        ids = [customer["customer_id"] for customer in sent["customers"]]
        self._counts["requests"] += 1
        if self._is_new(key, _digest(sent, ids)):
            refused = sum(map(_is_refused, ids))
            self._counts["refused"] += refused
            self._counts["activated"] += len(ids) - refused
        return reply({"results": [_result(customer_id) for customer_id in ids]})

    def _check_authorization(self, given: str) -> None:
        if self._authorization and not hmac.compare_digest(given.encode(), self._authorization):
            self._counts["unauthorized"] += 1
            raise RefusedError("Authorization is missing or wrong", status=HTTPStatus.UNAUTHORIZED)

    def _is_new(self, key: str, digest: bytes) -> bool:
        known = self._digest_by_key.setdefault(key, b"")
        if not known:
            self._digest_by_key[key] = digest
            if len(self._digest_by_key) > KEYS_KEPT:
                del self._digest_by_key[next(iter(self._digest_by_key))]
            return True
        if known != digest:
            self._counts["conflicts"] += 1
            raise RefusedError(
                "this Idempotency-Key came with another content", status=HTTPStatus.UNPROCESSABLE_ENTITY
            )
        self._counts["repeats"] += 1
        return False


def _digest(sent: Mapping[str, Any], ids: list[str]) -> bytes:
    """What a key stands for: check, campaign and customers, in any order; attributes may have changed since."""
    content = [sent["check"], sent["campaign"], sorted(ids)]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


def _is_refused(customer_id: str) -> bool:
    return customer_id.endswith(REFUSED_ENDING)


def _result(customer_id: str) -> dict[str, object]:
    if _is_refused(customer_id):
        return {"customer_id": customer_id, "approved": False, "reason": REFUSAL}
    return {"customer_id": customer_id, "approved": True}
