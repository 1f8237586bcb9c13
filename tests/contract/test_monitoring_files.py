"""The shipped files for monitoring fit what the program says."""

import json
import logging
import re
import subprocess

import pytest

from resolver_connector.metrics import PROCESS_METRICS
from tests.support.docs import DOCS, ROOT
from webapp.log import FORMATS
from webapp.operator.metrics import METRICS

MACHINE = ROOT / "shibboleth/handout/templates/machine"
ALERTS, DASHBOARD, FILTER = (
    MACHINE / name for name in ("alerts.yml", "grafana-dashboard.json", "fail2ban-filter.conf")
)

NEEDLESS = {
    "orcid_connect_feed_last_acknowledged_timestamp_seconds",
    "orcid_connect_http_request_duration_seconds_sum",
    "orcid_connect_orcid_request_duration_seconds_sum",
}
"""Metrics that say nothing that others do not: an age, and the quantiles."""


def known_metrics():
    names = {metric.sample_name for metric in METRICS.values()}
    for each in PROCESS_METRICS:
        (family,) = each.describe()
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


def metrics_in(text):
    return set(re.findall(r"\borcid_connect_[a-z_]+", text))


def test_the_dashboard_shows_every_metric_and_what_the_alerts_use():
    board = json.loads(DASHBOARD.read_text())
    expressions = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    shown, alerted = metrics_in(expressions), metrics_in(ALERTS.read_text())

    assert shown == known_metrics() - NEEDLESS
    assert alerted <= shown, "an alert can be looked into"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert len({tuple(panel["gridPos"].values()) for panel in board["panels"]}) == len(board["panels"])


def test_promtool_accepts_the_alert_rules():
    done = subprocess.run(["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_expressions_of_the_dashboard(tmp_path):
    board = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = [{"record": f"test:{number}", "expr": each} for number, each in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))

    words = ["promtool", "check", "rules", str(tmp_path / "rules.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_runbook_names_each_alert():
    named = set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))

    assert len(named) > 10
    assert named == set(re.findall(r"^\| `(OrcidConnect\w+)` \|", (DOCS / "incidents.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("log_format", FORMATS)
def test_fail2ban_finds_refused_credentials_and_nothing_else(tmp_path, log_format):
    def line(event, **facts):
        record = logging.makeLogRecord({"name": "orcid-connect", "msg": event, "levelname": "WARNING", "facts": facts})
        return f"2026-01-15T12:00:00.000+00:00 host orcid-connect[1]: {FORMATS[log_format]().format(record)}"

    refused = [line("credential-refused", address=each, scheme="bearer") for each in ("192.0.2.1", "2001:db8::7")]
    others = [
        line("credential-unverifiable"),
        line("right-missing", organisation="example-org", credential="idp", right="feed"),
        line("problem", problem="not-found", at="credential-refused address=192.0.2.9 scheme=bearer"),
    ]
    (tmp_path / "log").write_text("\n".join([*refused, *others]) + "\n")

    words = ["fail2ban-regex", "--out", "ip", str(tmp_path / "log"), str(FILTER)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert sorted(done.stdout.split()) == ["192.0.2.1", "2001:db8::7"]
