"""What `clearance.optimove.signature` accepts and refuses."""

import hashlib
import hmac
import json
import shutil
import subprocess
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.errors import Reject
from clearance.optimove import signature
from clearance.optimove.signature import SignatureCheck, sign
from tests.services import service_required

SECRET, OTHER = "abcdefg", "hijklmn"
BODY = b'{"request_uid": "r-1", "user": {"user_id": "C234638"}}'
SIGNED_BY_NODE = """
const [mode, secret] = process.argv.slice(1);
const body = require('fs').readFileSync(0);
const signed = mode === 'raw' ? body : JSON.stringify(JSON.parse(body.toString('utf8')));
process.stdout.write(require('crypto').createHmac('sha256', secret).update(signed).digest('hex'));
"""

bodies = st.binary(max_size=200)
secrets = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
# Whatever minified mode promises to write as JavaScript does: see the module's docstring for the rest.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé_", min_size=1), inner, max_size=4)
    ),
    max_leaves=12,
)


def is_refused(check: SignatureCheck, body: bytes, header: str | None) -> bool:
    try:
        check.verify(body, header)
    except Reject as refusal:
        return (refusal.status, refusal.reason) == (HTTPStatus.UNAUTHORIZED, "signature")
    return False


def test_the_vendors_sample_has_the_vendors_signature() -> None:
    expected = "c0fa1bc00531bd78ef38c628449c5102aeabd49b5dc3a2a516ea6ea959d6658e"
    assert sign(b"I love cupcakes", "abcdefg") == expected
    SignatureCheck(("abcdefg",)).verify(b"I love cupcakes", expected)


@pytest.mark.parametrize("mode", ["raw", "minified"])
def test_what_the_vendors_runtime_signs_is_accepted(mode: str) -> None:
    node = shutil.which("node")
    if node is None:
        service_required("node", "it is not on the path")
    body = (
        '{ "ü": "\\u00fc \\/ \\u001f \\u2028 \U0001f382",\n "n": [1, -2, 0.5, null, true] ,"n2": {}}'.encode()
    )
    signed = subprocess.run(
        [node, "-e", SIGNED_BY_NODE, mode, SECRET], input=body, capture_output=True, check=True, timeout=20
    )
    header = signed.stdout.decode()
    assert not is_refused(SignatureCheck((SECRET,), minified=mode == "minified"), body, header)
    assert is_refused(SignatureCheck((SECRET,), minified=mode == "raw"), body, header)


@given(bodies, secrets)
def test_a_signature_is_the_standard_hmac_in_lower_case(body: bytes, secret: str) -> None:
    assert sign(body, secret) == hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@given(st.binary(min_size=1, max_size=200), st.data())
def test_any_changed_bit_of_the_body_is_refused(body: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << (bit % 8)
    assert is_refused(SignatureCheck((SECRET,)), bytes(changed), sign(body, SECRET))


@given(bodies, st.integers(0, 64 * 8 - 1))
def test_any_changed_bit_of_the_signature_is_refused(body: bytes, bit: int) -> None:
    changed = bytearray(sign(body, SECRET).encode())
    changed[bit // 8] ^= 1 << (bit % 8)
    assert is_refused(SignatureCheck((SECRET,)), body, changed.decode("latin-1"))


@given(bodies)
def test_either_of_two_live_secrets_verifies_and_a_third_does_not(body: bytes) -> None:
    check = SignatureCheck((SECRET, OTHER))
    assert not is_refused(check, body, sign(body, SECRET))
    assert not is_refused(check, body, sign(body, OTHER))
    assert is_refused(check, body, sign(body, "a third"))


@given(st.text(max_size=80))
def test_a_header_of_any_text_is_refused_and_never_crashes(header: str) -> None:
    assert is_refused(SignatureCheck((SECRET,)), BODY, header)


def test_every_live_secret_is_compared_even_after_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def recorded(expected: bytes, given: bytes) -> bool:
        compared.append(expected)
        return compare(expected, given)

    monkeypatch.setattr(signature.hmac, "compare_digest", recorded)
    SignatureCheck((SECRET, OTHER)).verify(BODY, sign(BODY, SECRET))
    assert compared == [sign(BODY, SECRET).encode(), sign(BODY, OTHER).encode()]


def test_without_a_secret_everything_is_refused() -> None:
    assert is_refused(SignatureCheck(()), BODY, sign(BODY, ""))


def test_an_empty_secret_is_a_mistake_at_start() -> None:
    with pytest.raises(ValueError, match="empty webhook secret"):
        SignatureCheck((SECRET, ""))


def test_a_missing_header_is_refused() -> None:
    assert is_refused(SignatureCheck((SECRET,)), BODY, None)


def test_white_space_around_the_signature_is_ignored() -> None:
    assert not is_refused(SignatureCheck((SECRET,)), BODY, f" {sign(BODY, SECRET)}\t")


@pytest.mark.parametrize(
    "form", ["{upper}", "sha256={hex}", "{hex}00", "{short}", "", "\u0130{short}", "{hex}\u00fc"]
)
def test_other_forms_of_a_right_signature_are_refused(form: str) -> None:
    right = sign(BODY, SECRET)
    header = form.format(upper=right.upper(), hex=right, short=right[:-1])
    assert is_refused(SignatureCheck((SECRET,)), BODY, header)


@given(json_values, st.sampled_from([None, 1, 4]))
def test_in_minified_mode_white_space_does_not_matter(value: object, indent: int | None) -> None:
    minified = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    sent = json.dumps(value, indent=indent).encode()
    check = SignatureCheck((SECRET,), minified=True)
    assert not is_refused(check, sent, sign(minified, SECRET))


@pytest.mark.parametrize("body", [b"", b"I love cupcakes", b"\xff", b"[" * 2000, b"[" * 400 + b"]" * 400])
def test_in_minified_mode_a_body_that_cannot_be_minified_is_a_bad_signature(body: bytes) -> None:
    assert is_refused(SignatureCheck((SECRET,), minified=True), body, sign(body, SECRET))


def test_a_refusal_tells_neither_secret_nor_body_nor_signature() -> None:
    check = SignatureCheck((SECRET,))
    with pytest.raises(Reject) as caught:
        check.verify(BODY, "f" * 64)
    told = f"{caught.value} {caught.value.errors} {check!r}"
    assert not any(part in told for part in (SECRET, "C234638", "ffff", sign(BODY, SECRET)))
