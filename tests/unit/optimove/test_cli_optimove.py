"""What `clearance optimove ...` asks Optimove, prints, and ends with."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clearance.ledger import migrate, operator_actions
from clearance.ledger.engine import Ledger, open_ledger
from tests.fakes.peer import Answer, Peer, raw, reply
from workers.commands.optimove import optimove

pytestmark = pytest.mark.loopback

KEY, SECRET, TOKEN = "canary-key", "canary-secret", "canary-token"
SETTINGS = reply(200, json.dumps({"timeout": 5000, "secret": SECRET}).encode())
URL = f"https://example.com/hook?token={TOKEN}"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Where changes are on record; of all tests here."""
    opened = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('audit') / 'ledger.db'}", timeout_s=5)
    migrate.upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _environment(ledger: Ledger, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", str(ledger._engine.url))
    monkeypatch.setenv("CLEARANCE_OPTIMOVE_BASE_URL", peer.url)
    monkeypatch.setenv("CLEARANCE_OPTIMOVE_API_KEY", KEY)
    monkeypatch.delenv("OPTIMOVE_NEW_WEBHOOK_SECRET", raising=False)


def run(*arguments: str, typed: str | None = None) -> Result:
    result = CliRunner().invoke(optimove, arguments, input=typed)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "canary" not in result.output
    return result


def done(*arguments: str, typed: str | None = None) -> str:
    result = run(*arguments, typed=typed)
    assert result.exit_code == 0, result.output
    return result.stdout


def sent(peer: Peer) -> list[tuple[str, str, object]]:
    return [(each.method, each.path, json.loads(each.body or b"null")) for each in peer.requests]


def test_a_webhook_is_created_and_shown_without_its_token(peer: Peer) -> None:
    peer.answers(reply(201, json.dumps({"url": URL, "id": "webhook1"}).encode()))
    shown = done("webhooks", "create", URL)
    assert "webhook1" in shown
    assert "https://example.com/hook?token=***" in shown
    assert sent(peer) == [("POST", "/conditional-execution/v2/triggered/webhooks/", {"url": URL})]
    assert peer.requests[0].headers["x-api-key"] == KEY


def test_webhooks_are_listed_as_json(peer: Peer) -> None:
    listed = [{"url": URL, "id": "webhook1"}, {"url": "https://u:canary@example.com/b", "id": "webhook2"}]
    peer.answers(reply(200, json.dumps(listed).encode()))
    assert json.loads(done("webhooks", "list", "--json")) == [
        {"id": "webhook1", "url": "https://example.com/hook?token=***"},
        {"id": "webhook2", "url": "https://example.com/b"},
    ]


def test_no_webhooks_are_an_empty_array_and_an_empty_table(peer: Peer) -> None:
    peer.answers(reply(200, b"[]"), reply(200, b"[]"))
    assert json.loads(done("webhooks", "list", "--json")) == []
    assert done("webhooks", "list").split() == ["id", "url"]


def test_a_table_tells_everything_however_narrow_it_is(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = "/" + "0123456789" * 12
    peer.answers(reply(200, json.dumps([{"url": f"https://example.com{path}", "id": "w"}]).encode()))
    assert path in "".join(done("webhooks", "list").split())


def test_what_the_vendor_sent_is_neither_markup_nor_an_order_to_the_terminal(peer: Peer) -> None:
    peer.answers(reply(200, json.dumps([{"url": "https://e/[bold]x", "id": "[red]w\x1b[2J"}]).encode()))
    shown = done("webhooks", "list")
    assert "[red]w" in shown
    assert "[bold]x" in shown
    assert "\x1b" not in shown


def test_a_webhook_is_fetched_and_deleted_by_its_id(peer: Peer) -> None:
    peer.answers(reply(200, json.dumps({"url": URL, "id": "webhook1"}).encode()))
    assert json.loads(done("webhooks", "get", "webhook1", "--json"))["id"] == "webhook1"
    assert "deleted webhook1" in done("webhooks", "delete", "webhook1")
    path = "/conditional-execution/v2/triggered/webhooks/webhook1"
    assert sent(peer) == [("GET", path, None), ("DELETE", path, None)]


def test_every_change_is_on_record_with_what_was_changed_and_no_secret(
    peer: Peer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTIMOVE_NEW_WEBHOOK_SECRET", SECRET)
    created = reply(201, json.dumps({"url": URL, "id": "webhook1"}).encode())
    peer.answers(created, reply(204), SETTINGS, reply(200), reply(200))
    with ledger.read() as connection:
        before = {each.action_id for each in operator_actions.listed(connection)}

    done("webhooks", "create", URL)
    done("webhooks", "delete", "webhook1")
    done("settings", "set", "--timeout-ms", "5000", "--secret")
    done("listeners", "register", "--event", "18", "--url", URL)
    done("listeners", "unregister", "--event", "18")

    with ledger.read() as connection:
        actions = operator_actions.listed(connection)
    assert [(each.action, each.subject) for each in reversed(actions) if each.action_id not in before] == [
        ("optimove.webhooks.create", "webhook1"),
        ("optimove.webhooks.delete", "webhook1"),
        ("optimove.settings.set", "timeout 5000 ms, secret"),
        ("optimove.listeners.register", "event 18"),
        ("optimove.listeners.unregister", "event 18"),
    ]


def test_what_is_refused_is_not_on_record(peer: Peer, ledger: Ledger) -> None:
    peer.answers(reply(404))
    with ledger.read() as connection:
        before = operator_actions.listed(connection)

    assert run("webhooks", "delete", "unknown").exit_code == 1

    with ledger.read() as connection:
        assert operator_actions.listed(connection) == before


def test_a_change_without_a_ledger_is_made_and_says_that_it_is_not_on_record(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'not-migrated.db'}")
    peer.answers(reply(200))

    result = run("listeners", "unregister", "--event", "18")

    assert result.exit_code == 0
    assert len(peer.requests) == 1
    assert "not on record" in result.stderr


def test_settings_are_shown_with_the_secret_hidden(peer: Peer) -> None:
    peer.answers(SETTINGS, SETTINGS)
    assert json.loads(done("settings", "show", "--json")) == {"timeout_ms": 5000, "secret": "***"}
    assert done("settings", "show").split() == ["timeout_ms", "secret", "5000", "***"]


def test_settings_that_do_not_fit_ours_are_told(peer: Peer) -> None:
    peer.answers(reply(200, b'{"timeout": 900, "secret": null}'))
    result = run("settings", "show", "--json")
    assert json.loads(result.stdout) == {"timeout_ms": 900, "secret": None}
    assert "CLEARANCE_TRIGGERED_TIMEOUT_MS is 5000" in result.stderr
    assert "signs nothing" in result.stderr


def test_only_the_timeout_is_set_when_only_it_is_given(peer: Peer) -> None:
    peer.answers(SETTINGS)
    done("settings", "set", "--timeout-ms", "5000")
    assert sent(peer) == [("PUT", "/conditional-execution/v2/triggered/settings", {"timeout": 5000})]


def test_a_secret_is_asked_for_twice_and_never_echoed(peer: Peer) -> None:
    peer.answers(SETTINGS)
    done("settings", "set", "--secret", typed=f"{SECRET}\n{SECRET}\n")
    assert sent(peer)[0][2] == {"secret": SECRET}


def test_a_secret_comes_from_the_environment_without_asking(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTIMOVE_NEW_WEBHOOK_SECRET", SECRET)
    peer.answers(SETTINGS)
    done("settings", "set", "--secret", "--timeout-ms", "5000")
    assert sent(peer)[0][2] == {"secret": SECRET, "timeout": 5000}


@pytest.mark.parametrize(("live", "is_told"), [("other", True), (f"other,{SECRET}", False)])
def test_a_secret_that_ingest_does_not_know_is_told(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, live: str, is_told: bool
) -> None:
    monkeypatch.setenv("OPTIMOVE_NEW_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("CLEARANCE_OPTIMOVE_WEBHOOK_SECRETS", live)
    peer.answers(SETTINGS)
    result = run("settings", "set", "--secret")
    assert ("CLEARANCE_OPTIMOVE_WEBHOOK_SECRETS" in result.stderr) is is_told


@pytest.mark.parametrize("event", ["5", "18"])
def test_a_listener_is_registered_and_unregistered(peer: Peer, event: str) -> None:
    assert "token=***" in done("listeners", "register", "--event", event, "--url", URL)
    done("listeners", "unregister", "--event", event)
    assert sent(peer) == [
        ("POST", "/current/general/RegisterEventListener", {"EventTypeID": int(event), "ListenerURL": URL}),
        ("POST", "/current/general/UnregisterEventListener", {"EventTypeID": int(event)}),
    ]


def test_listeners_are_listed_as_json(peer: Peer) -> None:
    peer.answers(reply(200, json.dumps([{"EventTypeID": 5, "ListenerURL": URL}]).encode()))
    assert json.loads(done("listeners", "list", "--json")) == [
        {"event": 5, "url": "https://example.com/hook?token=***"}
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("settings", "set"),
        ("settings", "set", "--timeout-ms", "0"),
        ("listeners", "register", "--event", "6", "--url", "https://example.com"),
        ("listeners", "register", "--event", "5", "--url", "example.com/hook"),
        ("webhooks", "create", "http://[1"),
        ("webhooks", "create", "ftp://example.com"),
    ],
)
def test_wrong_arguments_end_with_2_and_nothing_is_sent(peer: Peer, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
    assert peer.requests == []


def test_missing_settings_are_named_together_and_end_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEARANCE_OPTIMOVE_BASE_URL")
    monkeypatch.delenv("CLEARANCE_OPTIMOVE_API_KEY")
    result = run("webhooks", "list")
    assert result.exit_code == 2
    assert "CLEARANCE_OPTIMOVE_BASE_URL" in result.stderr
    assert "CLEARANCE_OPTIMOVE_API_KEY" in result.stderr


def test_a_key_that_no_header_can_carry_ends_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARANCE_OPTIMOVE_API_KEY", "canary\u00fc")
    result = run("webhooks", "list")
    assert result.exit_code == 2
    assert "CLEARANCE_OPTIMOVE_API_KEY" in result.stderr


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (reply(401), "Optimove refused the API key (401): check CLEARANCE_OPTIMOVE_API_KEY"),
        (reply(403), "Optimove refused the API key (403): check CLEARANCE_OPTIMOVE_API_KEY"),
        (reply(404), "check the id"),
        (reply(422), "422 request refused"),
        (reply(200, b'"canary"'), "an error text of 8 bytes"),
        (reply(429), "try again later"),
        (reply(429, b"", {"Retry-After": "12"}), "try again in 12 s"),
        (reply(500), "500 from the vendor; it may have been done all the same"),
        (raw(b""), "it may have been done all the same"),
    ],
)
def test_a_refusal_is_one_line_and_ends_with_1(peer: Peer, answer: Answer, line: str) -> None:
    peer.answers(answer)
    result = run("webhooks", "list", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


def test_without_a_connection_the_base_url_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("CLEARANCE_OPTIMOVE_BASE_URL", f"http://127.0.0.1:{port}")
    result = run("webhooks", "list")
    assert result.exit_code == 1
    assert "check CLEARANCE_OPTIMOVE_BASE_URL" in result.stderr
