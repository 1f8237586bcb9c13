"""Certificates that end while the service runs are reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sql.store import open_store
from tests.support.certificates import certificate
from tests.support.configuration import write_configuration, write_secret
from tests.support.database import make_sqlite
from tests.support.service import ask
from webapp.certificates import UsedCertificate, log_expiring, used_certificates
from webapp.checks.certificates import check_certificates
from webapp.config.loader import load
from webapp.wiring.pages import make_web

TOKEN = "token-of-the-monitoring-" + "t" * 32
METRIC = "orcid_connect_certificate_expiry_timestamp_seconds"
NOW = datetime.now(UTC)


@pytest.fixture
def config(tmp_path):
    """A configuration that was loaded while the certificate of its transfer was valid."""
    (tmp_path / "client.pem").write_bytes(certificate(days=400))
    write_secret(tmp_path / "secrets" / "metrics", TOKEN)
    transfer = {"name": "idm", "kind": "rest", "url": "https://idm.yliopisto.example/"}
    transfer |= {"certificate": "client.pem", "certificate_key": "client.pem"}
    metrics = {"token": "file:secrets/metrics"}
    return load(
        write_configuration(tmp_path, organisations={"yliopisto": {"transfer": [transfer]}}, metrics=metrics), {}
    )


@pytest.fixture
def file(config):
    """The file of that certificate, which is gone."""
    (used,) = used_certificates(config)
    used.path.unlink()
    return used.path


@pytest.mark.parametrize(
    ("content", "level", "text"),
    [
        (certificate(days=400), "ok", "expires on"),
        (certificate(days=20), "warning", "expires on"),
        (certificate(days=-1), "error", "expired on"),
        (b"no certificate", "error", "cannot be read as a certificate in PEM"),
        (None, "error", "cannot be read as a certificate in PEM"),
    ],
    ids=["long valid", "ends soon", "ended", "damaged", "missing"],
)
def test_check_reports_a_certificate_as_its_file_is_now(config, file, content, level, text):
    if content is not None:
        file.write_bytes(content)

    (result,) = check_certificates(config, NOW)

    assert (str(result.level), result.subject) == (level, "certificate")
    assert result.text.startswith("yliopisto, transfer idm, ")
    assert text in result.text


@pytest.mark.parametrize("days", [20, -1, None])
def test_the_metric_follows_the_file(config, file, days):
    make_sqlite(file.parent)
    app = make_web(config, open_store(config.store.url))
    if days is not None:
        file.write_bytes(certificate(days=days))

    proof = {"HTTP_X_FRONT_PROOF": config.service.front_proof.reveal()}
    reply = ask(app, "/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}", **proof)

    families = {each.name: each.samples for each in text_string_to_metric_families(reply.text)}
    (sample,) = families[METRIC]
    assert sample.labels == {"organisation": "yliopisto", "used_for": "transfer idm"}
    expected = 0 if days is None else NOW.timestamp() + days * 86400
    assert sample.value == pytest.approx(expected, abs=86400)


@pytest.mark.parametrize(
    ("content", "expires"),
    [
        (certificate(days=400), []),
        (certificate(days=20), [f"{NOW + timedelta(days=20):%Y-%m-%d}"]),
        (None, ["unknown"]),
    ],
    ids=["long valid", "ends soon", "missing"],
)
def test_the_worker_logs_a_certificate_that_ends(config, file, caplog, content, expires):
    if content is not None:
        file.write_bytes(content)

    log_expiring(used_certificates(config), NOW)

    assert [each.facts["expires"] for each in caplog.records if each.msg == "certificate-expires"] == expires


def test_those_of_the_service_itself_are_reported_too(tmp_path):
    store = {"url": f"postgresql://orcid@db.example/orcid?sslcert={tmp_path}/store.pem"}
    authority = {"key": "sp.key", "certificate": "sp.pem", "metadata": "federation.xml"}
    for name in ("sp.key", "sp.pem", "federation.xml"):
        (tmp_path / name).write_text("")

    found = used_certificates(load(write_configuration(tmp_path, store=store, authority=authority), {}))

    assert found == (
        UsedCertificate("", "store", tmp_path / "store.pem"),
        UsedCertificate("", "authority", tmp_path / "sp.pem"),
    )
