"""Keys and tokens."""

from http import HTTPStatus

import pytest

from clearance.sandbox.answers import RefusedError
from clearance.sandbox.credentials import TOKENS_KEPT, Credentials


class _Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _credentials(clock: _Clock) -> Credentials:
    return Credentials(api_key="key", username="user", password="password", monotonic_s=clock)


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-KEY": "wrong"}, {"X-API-KEY": "schlüssel"}, {"Authorization-Token": "x"}]
)
def test_whoever_shows_no_valid_key_is_refused_with_401_and_counted(headers: dict[str, str]) -> None:
    credentials = _credentials(_Clock())
    with pytest.raises(RefusedError) as caught:
        credentials.identify(headers)
    assert caught.value.status == HTTPStatus.UNAUTHORIZED
    assert credentials.refused == 1


def test_a_token_lives_twenty_minutes_from_its_last_use() -> None:
    clock = _Clock()
    credentials = _credentials(clock)
    headers = {"Authorization-Token": credentials.log_in("user", "password")}
    for minutes in (19, 38, 57):
        clock.now_s = minutes * 60.0
        assert credentials.identify(headers) == "user"
    clock.now_s = 77 * 60.0
    with pytest.raises(RefusedError, match=r"^Authorization-Token Expired$") as caught:
        credentials.identify(headers)
    assert caught.value.status == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "login", [("user", "wrong"), ("wrong", "password"), (None, None), ("user\0pass", "word")]
)
def test_a_wrong_login_gets_no_token(login: tuple[object, object]) -> None:
    with pytest.raises(RefusedError, match="user name or password"):
        _credentials(_Clock()).log_in(*login)


def test_endless_logins_forget_the_oldest_token_only() -> None:
    credentials = _credentials(_Clock())
    tokens = [credentials.log_in("user", "password") for _ in range(TOKENS_KEPT + 1)]
    assert credentials.identify({"Authorization-Token": tokens[1]}) == "user"
    with pytest.raises(RefusedError):
        credentials.identify({"Authorization-Token": tokens[0]})
