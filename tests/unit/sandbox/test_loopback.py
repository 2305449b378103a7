"""The sandbox stays on this machine."""

import pytest

from clearance.sandbox.loopback import NotLoopbackError, load_loopback_url
from clearance.sandbox.options import SandboxOptions


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_it_listens_on_loopback(host: str) -> None:
    assert SandboxOptions(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])  # noqa: S104 - must be refused
def test_it_listens_nowhere_else_and_says_so(host: str) -> None:
    with pytest.raises(NotLoopbackError, match="loopback only"):
        SandboxOptions(host=host)


@pytest.mark.parametrize("text", ["http://127.0.0.1:8080/a", "http://localhost/a?b=c", "http://[::1]:9/"])
def test_a_url_on_this_machine_is_taken_as_it_is(text: str) -> None:
    assert str(load_loopback_url(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/hook",
        "http://example.com/hook",
        "http://127.0.0.1@example.com/",
        "http://127.0.0.1.example.com/",
        "http://10.0.0.1/",
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
        "/hook",
        "127.0.0.1:8080",
        "http://127.0.0.1:port/",
        "",
    ],
)
def test_any_other_url_is_refused(text: str) -> None:
    with pytest.raises(NotLoopbackError):
        load_loopback_url(text)


def test_secrets_are_not_in_the_text_of_the_options() -> None:
    shown = repr(SandboxOptions(api_key="hidden-1", password="hidden-2", secret="hidden-3"))
    assert "hidden" not in shown
