"""The token of the scheduled routes: where it may stand, how it may be written, and that nothing else lets in."""

from base64 import b64encode

import pytest

from clearance.errors import Reject
from clearance.ingest.listener_token import ListenerToken


def _basic(credentials: bytes) -> str:
    return "Basic " + b64encode(credentials).decode()


_GOOD: dict[str, tuple[str, bytes, str | None]] = {
    "in the query": ("s3cret", b"token=s3cret", None),
    "among other parameters": ("s3cret", b"a=1&token=s3cret&b=2", None),
    "percent-encoded": ("s3/c+r et", b"token=s3%2Fc%2Br%20et", None),
    "percent-encoded more than is needed": ("s3cret", b"%74oken=%73%33cret", None),
    "with a plus sign as it is": ("a+b", b"token=a+b", None),
    "with a plus sign for a space": ("a b", b"token=a+b", None),
    "with an equals sign as it is": ("YWI=", b"token=YWI=", None),
    "beyond ASCII": ("schlüssel", b"token=schl%C3%BCssel", None),
    "as the password of Basic": ("s3cret", b"", _basic(b"optimove:s3cret")),
    "as the password of nobody": ("s3cret", b"", _basic(b":s3cret")),
    "as a password with colons": ("s3:cr:et", b"", _basic(b"optimove:s3:cr:et")),
    "as a password beyond ASCII": ("schlüssel", b"", _basic("o:schlüssel".encode())),
    "under Basic in small letters": ("s3cret", b"", _basic(b"o:s3cret").replace("Basic", "basic")),
    "as a password beside a wrong parameter": ("s3cret", b"token=no", _basic(b"o:s3cret")),
    "in the query beside a wrong password": ("s3cret", b"token=s3cret", _basic(b"o:no")),
}


@pytest.mark.parametrize("case", _GOOD)
def test_the_token_lets_in(case: str) -> None:
    token, query, authorization = _GOOD[case]

    ListenerToken(token).verify(query, authorization)


_BAD: dict[str, tuple[str, bytes, str | None]] = {
    "nothing": ("s3cret", b"", None),
    "another token": ("s3cret", b"token=s3creT", None),
    "the beginning of it": ("s3cret", b"token=s3cre", None),
    "more than it": ("s3cret", b"token=s3crets", None),
    "no value": ("s3cret", b"token=", None),
    "no equals sign": ("s3cret", b"token", None),
    "another parameter": ("s3cret", b"Token=s3cret&api_token=s3cret", None),
    "the token without its name": ("s3cret", b"s3cret", None),
    "a second parameter": ("s3cret", b"token=no&token=s3cret", None),
    "bytes that are no text": ("s3cret", b"token=%FF%FE\xff", None),
    "an unfinished escape": ("s3cret", b"token=s3cret%", None),
    "another password": ("s3cret", b"", _basic(b"s3cret:no")),
    "the token as the name": ("s3cret", b"", _basic(b"s3cret:")),
    "no colon": ("s3cret", b"", _basic(b"s3cret")),
    "another scheme": ("s3cret", b"", "Bearer s3cret"),
    "another scheme with a password": ("s3cret", b"", _basic(b"o:s3cret").replace("Basic", "Digest")),
    "no base64": ("s3cret", b"", "Basic o:s3cret"),
    "base64 of the wrong length": ("s3cret", b"", _basic(b"o:s3cret").rstrip("=") + "A"),
    "letters beyond ASCII": ("s3cret", b"", "Basic ä" * 5),
    "nothing after Basic": ("s3cret", b"", "Basic"),
    "an empty header": ("s3cret", b"", ""),
    "the empty token, which nobody has configured": ("", b"token=", None),
    "the empty password, which nobody has configured": ("", b"", _basic(b":")),
    "no token where none is configured": ("", b"", None),
}


@pytest.mark.parametrize("case", _BAD)
def test_anything_else_is_refused_without_a_word_of_it(case: str) -> None:
    token, query, authorization = _BAD[case]

    with pytest.raises(Reject) as caught:
        ListenerToken(token).verify(query, authorization)

    assert (caught.value.status, caught.value.reason) == (401, "credentials")
    assert str(caught.value) == "the listener's token is missing or wrong"
