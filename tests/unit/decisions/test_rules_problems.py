"""What can be wrong with a rules file, each with its line and what was probably meant."""

import pytest

from clearance.decisions.rules import RulesError
from clearance.decisions.rules_file import load_rules
from tests.unit.decisions.rules_texts import ONE_OF_EACH


def _told(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        load_rules(text, source="f")
    return [str(problem) for problem in caught.value.problems]


def _with(old: str, new: str) -> str:
    assert ONE_OF_EACH.count(old) == 1
    return ONE_OF_EACH.replace(old, new)


_CEL = 'cel = "age >= 18"'
_URL = 'url = "https://internal.example/ask"'
_PYTHON = 'python = "score"'
_CHECKS = 'checks = ["grown-up", "asked", "scored", "listed"]'
_URL_MEANT = 'must be "http(s)://host[:port][/path][?query]" or "env:NAME"; credentials belong in headers'
_NAME = "must be 1 to 64 letters, digits, '-', '_' or '.', and begin with a letter or digit"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        # Attributes
        (
            '"int"',
            '"integer"',
            'f:2: attributes.age: must be "string", "int", "double", "bool": did you mean `int`?',
        ),
        (
            '"int"',
            '"strings"',
            'f:2: attributes.age: must be "string", "int", "double", "bool": did you mean `string`?',
        ),
        ('"int"', "3", 'f:2: attributes.age: must be "string", "int", "double", "bool"'),
        (
            'is_new = "bool"',
            'is_hashed = "bool"',
            "f:5: attributes.is_hashed: `is_hashed` is there already, for every check: give the attribute another name",
        ),
        (
            'is_new = "bool"',
            'in = "bool"',
            "f:5: attributes.in: no expression can use the name `in`: it must be letters, digits and '_', begin with"
            " no digit and no '__', and be no word of CEL",
        ),
        # Names of keys
        ("[attributes]", "[atributes]", "f:1: atributes: unknown key: did you mean `attributes`?"),
        (
            "[attributes]",
            "recordinputs = true\n[attributes]",
            "f:1: recordinputs: unknown key: did you mean `record_inputs`?",
        ),
        (
            "[attributes]",
            "[defaults]\nno_polcy = 'reject'\n[attributes]",
            "f:2: defaults.no_polcy: unknown key: did you mean `no_policy`?",
        ),
        (_CEL, _CEL + "\nxyz = 1", "f:11: check `grown-up`: xyz: unknown key"),
        (_CEL, _CEL + "\nbatch = 1", "f:11: check `grown-up`: batch: belongs below [check.http]"),
        (_CEL, _CEL + "\noptions = {}", "f:11: check `grown-up`: options: is for checks with `python`"),
        (
            _URL,
            _URL + "\ntimeout = 1",
            "f:17: check `asked`: http.timeout: unknown key: did you mean `timeout_s`?",
        ),
        (
            _PYTHON,
            _PYTHON + "\nwhen_missing = 'reject'",
            "f:22: check `scored`: when_missing: is for checks with `cel`",
        ),
        (_CHECKS, _CHECKS + "\napply = 1", "f:32: policy `all`: apply: unknown key: did you mean `applies`?"),
        # Values
        (
            "[attributes]",
            "record_inputs = 1\n[attributes]",
            "f:1: record_inputs: must be true or false, without quotes",
        ),
        ("[attributes]", "defaults = 1\n[attributes]", "f:1: defaults: must be a table"),
        (
            "[attributes]",
            "[defaults]\nno_policy = 'aprove'\n[attributes]",
            'f:2: defaults.no_policy: must be "reject" or "approve": did you mean `approve`?',
        ),
        ('id = "grown-up"', 'id = "grown up"', f"f:8: check `grown up`: id: {_NAME}"),
        (
            '"TOO_YOUNG"',
            '"too-young"',
            "f:9: check `grown-up`: reason: must be 1 to 64 capitals, digits or '_', and begin with"
            " a capital: did you mean `TOO_YOUNG`?",
        ),
        (
            '"TOO_YOUNG"',
            '"NO_POLICY"',
            "f:9: check `grown-up`: reason: must not be `NO_POLICY`, which says that no policy applied",
        ),
        (_CEL, "cel = 1", "f:10: check `grown-up`: cel: must be text"),
        (
            _URL,
            _URL + "\nbatch = 10_001",
            "f:17: check `asked`: http.batch: must be a whole number from 1 to 10,000",
        ),
        (
            _URL,
            _URL + "\nbatch = true",
            "f:17: check `asked`: http.batch: must be a whole number from 1 to 10,000",
        ),
        (
            _URL,
            _URL + "\ntimeout_s = 0",
            "f:17: check `asked`: http.timeout_s: must be seconds, more than 0 and at most 60",
        ),
        (
            _URL,
            _URL + "\ntimeout_s = 60.1",
            "f:17: check `asked`: http.timeout_s: must be seconds, more than 0 and at most 60",
        ),
        (
            _URL,
            _URL + "\ntimeout_s = nan",
            "f:17: check `asked`: http.timeout_s: must be seconds, more than 0 and at most 60",
        ),
        (
            _URL,
            _URL + "\nask_when = 'others'",
            'f:17: check `asked`: http.ask_when: must be "always" or "others_approve": did you mean'
            " `others_approve`?",
        ),
        (
            _URL,
            _URL + "\nattributes = ['aeg']",
            "f:17: check `asked`: http.attributes: `aeg` is not declared: did you mean `age`?",
        ),
        (
            _URL,
            _URL + "\nattributes = ['age', 'age']",
            "f:17: check `asked`: http.attributes: names `age` twice",
        ),
        (_URL, "url = 'ftp://internal.example'", f"f:16: check `asked`: http.url: {_URL_MEANT}"),
        (_URL, "url = 'http:///ask'", f"f:16: check `asked`: http.url: {_URL_MEANT}"),
        (_URL, "url = 'http://internal.example:99999/'", f"f:16: check `asked`: http.url: {_URL_MEANT}"),
        (_URL, "url = 'http://[::1/'", f"f:16: check `asked`: http.url: {_URL_MEANT}"),
        (_URL, "url = 'http://internal.example/ ask'", f"f:16: check `asked`: http.url: {_URL_MEANT}"),
        (_URL, "url = 'https://me:secret@internal.example/'", f"f:16: check `asked`: http.url: {_URL_MEANT}"),
        (_URL, "url = 'https://internal.example/#here'", f"f:16: check `asked`: http.url: {_URL_MEANT}"),
        (
            _URL,
            _URL + "\nheaders = { Content-Type = 'text/plain' }",
            "f:17: check `asked`: http.headers.Content-Type: is not for a check to say: the protocol sets it",
        ),
        (
            '"customers"',
            '"My Customers"',
            "f:26: check `listed`: suppression: must be 1 to 64 small letters, digits or '-':"
            " did you mean `my-customers`?",
        ),
        (_URL, "url = 'env:'", f"f:16: check `asked`: http.url: {_URL_MEANT}"),
        (
            _URL,
            _URL + "\nheaders = { 'A B' = '1' }",
            "f:17: check `asked`: http.headers.A B: must be named by letters, digits and '-'",
        ),
        (
            _URL,
            _URL + "\nheaders = { A = 'ü' }",
            "f:17: check `asked`: http.headers.A: must be printable ASCII text",
        ),
        (
            _URL,
            _URL + '\nheaders = { A = "x\\r\\nB: 1" }',
            "f:17: check `asked`: http.headers.A: must be printable ASCII text",
        ),
        (
            _URL,
            _URL + "\n[check.http.headers]\nA = '1'\na = '2'",
            "f:19: check `asked`: http.headers.a: stands twice: capitals do not count in the names"
            " of headers",
        ),
        (
            _URL,
            _URL + "\nheaders = { A = 'env:1' }",
            'f:17: check `asked`: http.headers.A: must name an environment variable after "env:":'
            " letters, digits, '_'",
        ),
        (
            _PYTHON,
            _PYTHON + "\noptions = { a = 1979-05-27 }",
            "f:22: check `scored`: options: must hold text, numbers of 64 bits, true or false, lists"
            " and tables, at most 16 levels deep",
        ),
        (
            _PYTHON,
            _PYTHON + "\noptions = { a = 0x" + "f" * 9000 + " }",
            "f:22: check `scored`: options: must hold text, numbers of 64 bits, true or false, lists"
            " and tables, at most 16 levels deep",
        ),
        # Checks and policies as wholes
        ('reason = "TOO_YOUNG"\n', "", "f:7: check `grown-up`: reason: is missing"),
        ('id = "all"\n', "", "f:28: policy 1: id: is missing"),
        (
            _CEL,
            "",
            "f:7: check `grown-up`: has none of `cel`, `http`, `suppression` and `python`: nothing to ask",
        ),
        (_CEL, 'cell = "age >= 18"', "f:10: check `grown-up`: cell: unknown key: did you mean `cel`?"),
        (
            _PYTHON,
            _PYTHON + "\ncel = 'true'\noptions = {}",
            "f:18: check `scored`: has `cel` and `python`, and may have one of them: write a check for each",
        ),
        ('id = "scored"', 'id = "asked"', "f:19: check `asked`: id: two are called so, first on line 13"),
        ("[[policy]]", "[policy]", "f:28: policy: must be tables: write [[policy]]"),
        (_CHECKS, "checks = []", "f:31: policy `all`: checks: names no check: it would approve everybody"),
        (_CHECKS, "checks = ['grown-up', 'grown-up']", "f:31: policy `all`: checks: names `grown-up` twice"),
        (
            _CHECKS,
            "checks = ['grownup']",
            "f:31: policy `all`: checks: there is no check `grownup`: did you mean `grown-up`?",
        ),
        (
            _CHECKS,
            _CHECKS + "\n[[policy]]\nid = 'all'\napplies = 'is_control'\nchecks = ['asked']",
            "f:33: policy `all`: id: two are called so, first on line 29",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_was_meant(old: str, new: str, told: str) -> None:
    assert _told(_with(old, new))[0] == told


def test_what_follows_from_a_wrong_declaration_is_not_told_again() -> None:
    assert len(_told(_with('"int"', '"number"'))) == 1


@pytest.mark.parametrize(("levels", "is_taken"), [(16, True), (17, False)])
def test_options_are_taken_to_a_certain_depth(levels: int, is_taken: bool) -> None:
    """The table itself is the first level."""
    text = _with(_PYTHON, _PYTHON + "\noptions" + ".a" * levels + " = 1")

    if is_taken:
        load_rules(text, source="f")
    else:
        assert "at most 16 levels deep" in _told(text)[0]
