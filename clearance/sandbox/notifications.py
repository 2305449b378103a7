"""What does a triggered notification look like? Bytes, as the vendor's sample has them, with realistic values.

A customer's number decides its attributes, and a row's number its campaign, so the same customer always has the same
attributes and whoever reads a report can tell what was asked. Everything that does not change is rendered once:
writing a body is one `%`.
Source: vendor page, "Notification Payload" of triggered campaigns; facts sheet, "Units and traps" (milliseconds
outside, seconds in `events`).
"""

import random
from typing import Any

import orjson

FIRST_CUSTOMER = 100_000
CUSTOMERS = 900_000
_TRAIT_SETS = 2_000
_NAMES = ("Anna", "Ben", "Chiara", "Dirk", "Emma", "Finn", "Greta", "Hugo", "Ines", "Jonas", "Zoë", "Łukasz")
_TIERS = ("bronze", "silver", "gold", "platinum")
# Name, template, channel, tags, promotion, trigger key.
_CAMPAIGNS = (
    (
        "Deposit bonus",
        "Bonus mail 10",
        ("Email", 15),
        ("bonus", "deposit"),
        ("10% bonus", "BONUS10"),
        "deposit",
    ),
    ("Welcome series", "Welcome mail", ("Email", 15), ("welcome",), None, "registration"),
    (
        "Free spins",
        "Free spins push",
        ("Push", 31),
        ("bonus", "spins"),
        ("20 free spins", "SPIN20"),
        "game_played",
    ),
    ("Basket reminder", "Reminder text", ("SMS", 22), ("reminder",), None, "basket_abandoned"),
    (
        "Win-back",
        "Letter with voucher",
        ("Print", 44),
        ("print", "bonus"),
        ("15 EUR voucher", "BACK15"),
        "inactive",
    ),
)
_BODY = (
    b'{"timestamp":%%d,"conditional_execution_approval_deadline":%%d,"request_uid":"%%b","is_hashed":false,'
    b'"user":{"user_id":"C%%d","is_visitor":false,"personalization":%%b},'
    b'"occurrence":{"date":"%%b",%s,"trigger_context":{"id":%d,"name":%s,"events":[{"key":%s,"timestamp":%%d,'
    b'"parameters":{"amount":"%%d.00","currency":"EUR"}}]}}'
)


def _make_traits() -> list[dict[str, str]]:
    rng = random.Random(7)
    return [
        {
            "first_name": rng.choice(_NAMES),
            "country": rng.choices(("DE", "AT", "NL", "FR"), (55, 20, 15, 10))[0],
            "age": str(rng.randint(18, 85)),
            "total_deposits": f"{rng.choice((0, 20, 50, 120.5, 480, 2500)) * rng.uniform(0.5, 1.5):.2f}",
            "self_excluded": "true" if rng.random() < 0.1 else "false",
            "loyalty_tier": rng.choices(_TIERS, (50, 30, 15, 5))[0],
        }
        for _ in range(_TRAIT_SETS)
    ]


def _make_body(index: int) -> bytes:
    name, template, (channel, channel_id), tags, promotion, key = _CAMPAIGNS[index]
    occurrence = {
        "series_id": str(4100 + index),
        "occurrence_id": str(91_000 + index),
        "target_group": {"id": 210 + index, "name": f"{name}: eligible"},
        "notes": f"Played by the sandbox: {name}",
        "tags": tags,
        "communication_type": "triggered",
        "action": {
            "id": 2 + index,
            "name": name,
            "is_control": False,
            "promotions": [{"name": promotion[0], "code": promotion[1]}] if promotion else [],
            "channels": [
                {
                    "id": channel_id,
                    "name": channel,
                    "brand_id": "main",
                    "template": {"id": 700 + index, "name": template},
                }
            ],
        },
    }
    # Without its opening brace, and with `%` doubled for the formatting that is still to come.
    rest = orjson.dumps(occurrence)[1:].replace(b"%", b"%%")
    return _BODY % (rest, 300 + index, orjson.dumps(name), orjson.dumps(key))


_TRAITS = _make_traits()
_TRAITS_JSON = [orjson.dumps(traits) for traits in _TRAITS]
_BODIES = [_make_body(index) for index in range(len(_CAMPAIGNS))]


def personalization(customer: int) -> dict[str, str]:
    """The attributes of customer number `customer`, all of them text."""
    return _TRAITS[customer % _TRAIT_SETS]


def tags(row: int) -> tuple[str, ...]:
    """The tags of the campaign that row `row` asks for."""
    return _CAMPAIGNS[row % len(_CAMPAIGNS)][3]


def write(
    *, row: int, request_uid: str, customer: int, date: bytes, timestamp_ms: int, deadline_at_ms: int
) -> bytes:
    """The body of a notification. `date` is the day it is sent, as `YYYY-MM-DD`."""
    return _BODIES[row % len(_BODIES)] % (
        timestamp_ms,
        deadline_at_ms,
        request_uid.encode(),
        customer,
        _TRAITS_JSON[customer % _TRAIT_SETS],
        date,
        timestamp_ms // 1000 - 2,
        10 + customer % 190,
    )


def spoil(body: bytes, rng: random.Random) -> bytes:
    """`body` made malformed in one of the ways that senders get wrong."""
    choice = rng.randrange(6)
    if choice == 0:
        return body[: rng.randrange(1, len(body) - 1)]
    if choice == 1:
        return body.replace(b'"first_name":"', b'"first_name":"\xff\xc0', 1)
    loaded: dict[str, Any] = orjson.loads(body)
    if choice == 2:
        loaded["timestamp"] = "yesterday"
    elif choice == 3:
        loaded["user"] = [loaded["user"]["user_id"]]
    elif choice == 4:
        del loaded["request_uid"]
    else:
        del loaded["conditional_execution_approval_deadline"]
    return orjson.dumps(loaded)
