"""Which version of the rules is this? A hash of what they mean.

In: rules. Out: 16 hexadecimal digits. Two files with the same version decide the same: defaults are filled in, and
comments, white space and the order of tables and keys play no role. The order of policies and of the checks of a
policy does: it decides who is asked, and the order of reasons.
"""

import hashlib
import json
from dataclasses import asdict, replace

from clearance.decisions.rules import Check, HttpCheck, Rules

_DIGITS = 16


def version_of(rules: Rules) -> str:
    """The version; `rules.version`, `text` and `warnings` play no role."""
    content = {
        "attributes": dict(rules.kind_by_attribute),
        "checks": {each: _content(check) for each, check in rules.check_by_id.items()},
        "no_policy": rules.no_policy,
        "policies": [asdict(policy) for policy in rules.policies],
        "record_inputs": rules.record_inputs,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:_DIGITS]


def _content(check: Check) -> dict[str, object]:
    if isinstance(check, HttpCheck) and check.attributes is not None:
        check = replace(check, attributes=tuple(sorted(check.attributes)))
    return {"kind": type(check).__name__, **asdict(check)}
