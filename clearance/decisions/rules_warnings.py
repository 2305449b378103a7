"""What in these rules is allowed, but hardly meant?

In: rules that were found right. Out: findings, none of which keeps a fleet from starting: policies that no campaign
gets to, checks and attributes that nothing uses, checks that one absent value switches off.
"""

from collections.abc import Iterator

from clearance.decisions.did_you_mean import shown
from clearance.decisions.expressions import CHECK_VARIABLES, ExpressionError, compile_condition
from clearance.decisions.findings import Finding
from clearance.decisions.rules import CelCheck, HttpCheck, Otherwise, PythonCheck, Rules


def warnings_about(rules: Rules) -> Iterator[Finding]:
    """Everything that is hardly meant."""
    yield from _of_policies(rules)
    yield from _of_checks(rules)
    yield from _of_attributes(rules)


def _of_policies(rules: Rules) -> Iterator[Finding]:
    catches_all = ""
    first_by_applies: dict[str, str] = {}
    for position, policy in enumerate(rules.policies):
        path = ("policy", position)
        always = _constant(policy.applies)
        first = first_by_applies.setdefault(policy.applies, policy.id)
        if catches_all:
            yield Finding(
                path=path, told=f"is never reached: policy {shown(catches_all)} applies to every campaign"
            )
        elif always is False:
            yield Finding(path=path, told="never applies: `applies` is always false")
        elif first != policy.id:
            yield Finding(
                path=path, told=f"is never reached: policy {shown(first)} applies to the same campaigns"
            )
        if always:
            catches_all = catches_all or policy.id
    if not rules.policies:
        yield Finding(
            path=(), told=f'there is no [[policy]]: [defaults] no_policy = "{rules.no_policy}" decides'
        )


def _constant(text: str) -> bool | None:
    """What an expression says of every campaign, if it asks nothing about it."""
    try:
        return compile_condition(text, {}).judge({})
    except ExpressionError:
        return None


def _of_checks(rules: Rules) -> Iterator[Finding]:
    used = {check_id for policy in rules.policies for check_id in policy.checks}
    kind_by_name = {**rules.kind_by_attribute, **CHECK_VARIABLES}
    for position, (check_id, check) in enumerate(rules.check_by_id.items()):
        if check_id not in used:
            yield Finding(path=("check", position), told="no policy uses it")
        if isinstance(check, CelCheck) and check.when_missing is Otherwise.APPROVE:
            names = compile_condition(check.expression, kind_by_name).names - CHECK_VARIABLES.keys()
            if len(names) > 1:
                told = f"approves when one of {', '.join(map(shown, sorted(names)))} is absent, whatever the others say"
                yield Finding(path=("check", position), told=told)


def _of_attributes(rules: Rules) -> Iterator[Finding]:
    used: set[str] = set()
    kind_by_name = {**rules.kind_by_attribute, **CHECK_VARIABLES}
    for check in rules.check_by_id.values():
        if isinstance(check, CelCheck):
            used |= compile_condition(check.expression, kind_by_name).names
        elif isinstance(check, HttpCheck) and check.attributes is not None:
            used.update(check.attributes)
        elif isinstance(check, HttpCheck | PythonCheck):
            return  # it is told all of them
    for name in rules.kind_by_attribute:
        if name not in used:
            yield Finding(path=("attributes", name), told="nothing uses it")
