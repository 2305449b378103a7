"""Which recipients may be posted to: the wrapper and the address in it, field by field.

A field holds text. White space around it is cut, and what is then blank, null or a placeholder counts as absent: a
placeholder is no address, and nobody wants it printed. Whole numbers count as text, because a template that writes
`"zipCode": {{ customer.zip }}` sends one; other numbers, of which nobody knows the digits that were meant, do not.

Fields that Optilyz does not know are left out, not sent on, and named in the answer: a letter is not lost for an extra
field. One that is nearly a field of Optilyz (`zipcode`, `address4`, `individualisation`) is an error: the letter would
be printed without it. `variation` and `vouchers` go through as they came.

Messages name fields and what was expected, never what was sent.
Source: facts sheet, "Address fields"; for rules across fields see `address_rules`.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, pre_load, validates_schema

from clearance.optilyz import address_rules
from clearance.optilyz.recipient import Recipient

MAX_LINE_CHARACTERS = 256
MAX_INDIVIDUALISATION_CHARACTERS = 4096
MAX_VARIATION_BYTES = 256
MAX_VOUCHERS_BYTES = 16_384
INDIVIDUALISATIONS = "individualisations"

_INDIVIDUALISATION = re.compile(r"individuali[sz]ation([1-9][0-9]{0,2})")
# Neither the controls of ASCII nor those of Latin-1, which are text in a wrong encoding; no lines in a line.
_CONTROL_CHARACTER = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# What programs write for a value that is missing, as they write it: Null is a surname. Source: facts sheet, "ids", and
# JSON, JavaScript, SQL, Python and Jinja for their words.
_WORDS_FOR_NOTHING = frozenset({"null", "NULL", "none", "None", "nan", "NaN", "undefined", "n/a", "N/A"})
# orjson writes no deeper than 254; the letter's own wrapper needs some of it.
_WRAPPED = 8


class Line(fields.Field[str | None]):
    """One line of an address; None when it holds nothing."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        line = text_of(value, MAX_LINE_CHARACTERS)
        return None if is_placeholder(line) else line


class Individualisations(fields.Field[dict[str, str]]):
    """Texts by `individualisationN`, in either spelling; those that hold something, under the British one."""

    def _deserialize(self, value: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, str]:
        texts, errors = individualisations(value)
        if errors:
            raise ValidationError({name: [message] for name, message in errors.items()})
        return texts


class PassedOn(fields.Field[Any]):
    """Anything small, as it came; blank text is nothing."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            return None
        _check_size(value, MAX_VARIATION_BYTES)
        return value


class Vouchers(fields.Field[list[Any]]):
    """A list of anything, as it came."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[Any]:
        if type(value) is not list:
            raise ValidationError("must be a list")
        _check_size(value, MAX_VOUCHERS_BYTES)
        return value


class AddressSchema(Schema):
    """An address. `load` returns what it holds by Optilyz' field names."""

    error_messages = {"type": "must be an object"}  # noqa: RUF012  # marshmallow's own form

    class Meta:
        unknown = EXCLUDE

    title = Line(allow_none=True)
    jobTitle = Line(allow_none=True)  # noqa: N815  # the vendor's name, as those below
    otherTitles = Line(allow_none=True)  # noqa: N815
    gender = Line(allow_none=True)
    firstName = Line(allow_none=True)  # noqa: N815
    lastName = Line(allow_none=True)  # noqa: N815
    fullName = Line(allow_none=True)  # noqa: N815
    companyName1 = Line(allow_none=True)  # noqa: N815
    companyName2 = Line(allow_none=True)  # noqa: N815
    companyName3 = Line(allow_none=True)  # noqa: N815
    careOf = Line(allow_none=True)  # noqa: N815
    street = Line(allow_none=True)
    houseNumber = Line(allow_none=True)  # noqa: N815
    address1 = Line(allow_none=True)
    address2 = Line(allow_none=True)
    address3 = Line(allow_none=True)
    zipCode = Line(allow_none=True)  # noqa: N815
    city = Line(allow_none=True)
    country = Line(allow_none=True)
    individualisations = Individualisations()

    @pre_load
    def _gather(self, sent: Any, **_: Any) -> Any:
        if type(sent) is not dict:
            return sent
        own = {name: value for name, value in sent.items() if _INDIVIDUALISATION.fullmatch(name)}
        return sent | {INDIVIDUALISATIONS: own}

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _follow_the_rules(self, loaded: Mapping[str, Any], sent: Any, **_: Any) -> None:
        if type(sent) is not dict:
            return
        errors = address_rules.broken(given(loaded, sent)) | _nearly_fields(sent)
        for name, messages in errors.items():
            if (
                sent.get(name) is not None
                and name in loaded
                and loaded[name] is None
                and str(sent[name]).strip()
            ):
                messages.append("a placeholder is not an address")
        if errors:
            raise ValidationError(errors)

    @post_load
    def _build(self, loaded: dict[str, Any], **_: Any) -> dict[str, str]:
        texts: dict[str, str] = loaded.pop(INDIVIDUALISATIONS)
        return {name: value for name, value in loaded.items() if value is not None} | texts


class RecipientSchema(Schema):
    """The wrapper, or a bare address. `load` returns a `Recipient`."""

    error_messages = {"type": "must be an object"}  # noqa: RUF012  # marshmallow's own form

    class Meta:
        unknown = EXCLUDE

    address = fields.Nested(AddressSchema, required=True, error_messages={"null": "must be an object"})
    variation = PassedOn(allow_none=True)
    vouchers = Vouchers(allow_none=True)

    @pre_load
    def _wrap(self, sent: Any, **_: Any) -> Any:
        if type(sent) is not dict or "address" in sent:
            return sent
        beside = {name: sent[name] for name in _BESIDE_THE_ADDRESS if name in sent}
        return beside | {"address": {name: value for name, value in sent.items() if name not in beside}}

    @post_load
    def _build(self, loaded: dict[str, Any], **_: Any) -> Recipient:
        return Recipient(
            address=loaded["address"],
            variation=loaded.get("variation"),
            vouchers=loaded.get("vouchers") or (),
        )


# In the order in which an address is read. Marshmallow has no other way.
FIELDS = tuple(name for name in AddressSchema._declared_fields if name != INDIVIDUALISATIONS)
_BESIDE_THE_ADDRESS = ("variation", "vouchers")
_STEM = re.compile(r"[^a-z]")
_NAMES_BY_STEM: dict[str, str] = {
    "companyname": "companyName1 to companyName3",
    "address": "address1 to address3",
    "individualisation": "individualisation1 to individualisation999",
    "individualization": "individualisation1 to individualisation999",
} | {name.lower(): name for name in FIELDS if name.isalpha()}


def text_of(value: Any, max_characters: int) -> str:
    """The text that a value is, without white space around it.

    Raises:
        ValidationError: It is none, or one that cannot be printed.
    """
    if type(value) is int:
        value = str(value)
    if type(value) is not str:
        raise ValidationError("must be text")
    text: str = value.strip()
    if len(text) > max_characters:
        raise ValidationError(f"must have at most {max_characters} characters")
    if _CONTROL_CHARACTER.search(text):
        raise ValidationError("must not hold control characters")
    return text


def is_placeholder(text: str) -> bool:
    """Whether a text stands for nothing: it is blank, has no letter and no digit, or is a word for nothing."""
    return text in _WORDS_FOR_NOTHING or not any(map(str.isalnum, text))


def individualisations(sent: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Texts by British name, of all that can be read; and a message for each that cannot."""
    texts: dict[str, str] = {}
    errors: dict[str, str] = {}
    for name, value in sent.items():
        found = _INDIVIDUALISATION.fullmatch(name)
        if found is None or value is None:
            continue
        try:
            text = text_of(value, MAX_INDIVIDUALISATION_CHARACTERS)
        except ValidationError as error:
            errors[name] = str(error.messages[0])
            continue
        british = f"individualisation{found[1]}"
        if text and texts.setdefault(british, text) != text:
            errors[british] = "sent in both spellings, and not the same"
    return {name: text for name, text in texts.items() if name not in errors}, errors


def given(loaded: Mapping[str, Any], sent: Mapping[str, Any]) -> frozenset[str]:
    """The fields that hold something, be it wrong: what is broken is not missing as well."""
    return frozenset(
        name for name in FIELDS if loaded.get(name) is not None or (name in sent and name not in loaded)
    )


def unknown_names(sent: Mapping[str, Any]) -> list[str]:
    """Names in an address that are no fields of Optilyz."""
    return [name for name in sent if name not in FIELDS and not _INDIVIDUALISATION.fullmatch(name)]


def shown(name: str) -> str:
    """A sender's field name in an answer: short, and nothing but letters, digits and a few signs."""
    return re.sub(r"[^A-Za-z0-9_.-]", "?", name[:64])


def _nearly_fields(sent: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        shown(name): [f"is no field of an address: {meant}"]
        for name in unknown_names(sent)
        if (meant := _NAMES_BY_STEM.get(_STEM.sub("", name.lower())))
    }


def _check_size(value: Any, max_bytes: int) -> None:
    wrapped = value
    for _ in range(_WRAPPED):
        wrapped = [wrapped]
    try:
        size = len(orjson.dumps(wrapped)) - 2 * _WRAPPED
    except TypeError:
        raise ValidationError("must not be nested so deep") from None
    if size > max_bytes:
        raise ValidationError(f"must have at most {max_bytes} bytes as JSON")
