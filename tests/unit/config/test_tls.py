"""Whoever connects by TLS checks with whom; the libraries' own defaults would not always."""

import ssl

import pytest

from config import settings
from config.celery_options import celery_options
from config.settings import Settings, SettingsError
from config.tls import redis_tls


def test_a_broker_without_tls_gets_no_options() -> None:
    for url in ("redis://h", "amqp://h", "sentinel://h"):
        assert celery_options(Settings(broker_url=url))["broker_use_ssl"] is None


def test_rabbitmq_is_checked_by_certificate_and_name() -> None:
    options = celery_options(Settings(broker_url="amqps://h", broker_ca_path="ca.pem"))["broker_use_ssl"]

    assert options["cert_reqs"] == ssl.CERT_REQUIRED
    assert options["ca_certs"] == "ca.pem"
    # None under this name, and not missing: kombu then fills in the host of the URL.
    assert options["server_hostname"] is None


def test_redis_is_checked_by_certificate_and_name_also_with_the_authorities_of_the_system() -> None:
    options = celery_options(Settings(broker_url="rediss://h"))["broker_use_ssl"]

    assert (options["ssl_cert_reqs"], options["ssl_check_hostname"]) == (ssl.CERT_REQUIRED, True)
    assert options["ssl_ca_certs"] is None
    assert redis_tls("rediss://h", Settings()) == options


def test_a_certificate_without_its_key_is_refused(monkeypatch, tmp_path) -> None:
    (tmp_path / "cert.pem").write_text("x")
    monkeypatch.setenv("CLEARANCE_BROKER_CERT_PATH", str(tmp_path / "cert.pem"))

    with pytest.raises(SettingsError, match="CLEARANCE_BROKER_CERT_PATH: goes with"):
        settings.load()


def test_an_authority_that_is_not_there_is_refused_at_the_start(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CLEARANCE_BROKER_CA_PATH", str(tmp_path / "ca.pem"))

    with pytest.raises(SettingsError, match="CLEARANCE_BROKER_CA_PATH: names no file"):
        settings.load()
