"""What the operator does with ORCID's tokens: `check`, `orcid-tokens`, the keys in the configuration, the metrics."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet
from freezegun import freeze_time

from resolver_connector.orcid.sealing import TokenPair, TokenSealer
from sql.records import OrcidToken
from sql.store import open_store
from tests.support.configuration import CLIENT_SECRET, toml, write_configuration, write_secret
from tests.support.database import make_sqlite
from tests.support.factories import CLIENT_ID, NOON, UNIVERSITY, answered
from webapp.cli.main import main
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.wiring.orcid import make_orcid_clients, make_revocation_queue, make_sealer, make_token_service
from webapp.wiring.worker import make_worker

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
PAIR = TokenPair("an-access-token", "a-refresh-token")
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def noon():
    """What the commands take the time to be."""
    with freeze_time(NOON):
        yield


def configure(tmp_path, *keys, former=()):
    """Write a configuration with these keys in files; None is one that is not there."""
    names = [f"token-key-{number}" for number, _ in enumerate(keys)]
    for name, key in zip(names, keys, strict=True):
        if key is not None:
            write_secret(tmp_path / "secrets" / name, key)
    section = {"token_keys": [f"file:secrets/{name}" for name in names]} if keys else {}
    base = {
        "client_id": CLIENT_ID,
        "client_secret": "file:secrets/orcid-client-secret",
        "status_check_days": 0,
    }
    tables = [{"client_id": each, "client_secret": "file:secrets/orcid-client-secret"} for each in former]
    path = write_configuration(tmp_path, orcid=base | section)
    path.write_text(path.read_text() + toml({"former_orcid_client": tables} if tables else {}))
    return path


@pytest.fixture
def store(tmp_path):
    store = open_store(make_sqlite(tmp_path))
    yield store
    store.close()


def keep(store, token_id, key=OLD, client_id=CLIENT_ID, *, due=False):
    """Store a pair that this key sealed, with an attempt of its own."""
    attempt = answered(store, f"{token_id}@yliopisto.example")
    sealed = TokenSealer([key]).seal(token_id, PAIR)
    token = OrcidToken(token_id, UNIVERSITY, client_id, "/authenticate", NOON, None, sealed=sealed)
    store.orcid_tokens.add(token, attempt.id, NOON)
    if due:
        store.attempts.close(attempt.id, "cancelled", NOON)


def run(path, *arguments):
    done = CliRunner().invoke(main, ["--config", str(path), *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def checked(path):
    """Give level and text of each result of `check` about tokens."""
    _, output = run(path, "check", "--json")
    return [(each["level"], each["text"]) for each in json.loads(output)["results"] if each["subject"] == "tokens"]


def test_all_pairs_are_sealed_anew_with_the_first_key(tmp_path, store):
    keep(store, "one")
    keep(store, "two", due=True)
    keep(store, "three", NEW)
    path = configure(tmp_path, NEW, OLD)

    assert run(path, "orcid-tokens", "reseal") == (0, "2 pairs of tokens sealed with the first key\n")
    assert run(path, "orcid-tokens", "reseal") == (0, "0 pairs of tokens sealed with the first key\n")

    sealer = TokenSealer([NEW])
    assert [sealer.open(*each) for each in store.orcid_tokens.list_sealed()] == [PAIR] * 3


def test_a_pair_that_no_key_opens_stays_and_can_be_given_up(tmp_path, store):
    keep(store, "lost")
    keep(store, "kept", NEW)
    path = configure(tmp_path, NEW)

    code, output = run(path, "orcid-tokens", "reseal")
    assert code == 1
    assert output.endswith("1 cannot be opened with any key: see orcid-connect check\n")
    assert "1 pair of tokens would be deleted" in run(path, "orcid-tokens", "discard")[1]
    assert len(list(store.orcid_tokens.list_sealed())) == 2
    assert run(path, "orcid-tokens", "discard", "--yes") == (0, "1 pair of tokens deleted\n")
    assert [token_id for token_id, _ in store.orcid_tokens.list_sealed()] == ["kept"]


def test_without_any_key_nothing_is_sealed_anew(tmp_path, store):
    keep(store, "one")

    for keys, text in (
        ((), "token_keys has no key that can be used"),
        (("no key", OLD), "is not 32 bytes in URL-safe Base64; nothing was changed"),
    ):
        code, output = run(configure(tmp_path, *keys), "orcid-tokens", "reseal")
        assert code == 1
        assert text in output
    assert "1 pair of tokens would be deleted" in run(configure(tmp_path), "orcid-tokens", "discard")[1]


def test_waiting_revocations_are_made_due(tmp_path, store):
    keep(store, "one", due=True)
    token = store.orcid_tokens.claim(CLIENT_ID, "worker", NOON, HOUR)
    store.orcid_tokens.reschedule(token, "misconfigured", NOON + 10 * HOUR, NOON)
    path = configure(tmp_path, OLD)

    assert run(path, "orcid-tokens", "retry") == (0, "1 waiting revocation is due now\n")
    assert store.orcid_tokens.list_due_clients(NOON) == [CLIENT_ID]


def test_check_says_what_is_kept_and_what_waits(tmp_path, store):
    path = configure(tmp_path, OLD)
    keep(store, "one")
    keep(store, "two", due=True)

    assert checked(path) == [("ok", "1 of ORCID's token pairs kept, 1 to be revoked")]
    with freeze_time(NOON + 2 * HOUR):
        assert checked(path) == [
            ("warning", "1 of ORCID's token pairs kept, 1 to be revoked, the oldest since 2026-01-15 12:00 UTC")
        ]


def test_check_says_what_keeps_pairs_from_being_revoked(tmp_path, store):
    path = configure(tmp_path, NEW, None, "no key")
    keep(store, "rejected", NEW, due=True)
    token = store.orcid_tokens.claim(CLIENT_ID, "worker", NOON, HOUR)
    store.orcid_tokens.reschedule(token, "misconfigured", NOON + HOUR, NOON)
    keep(store, "unreadable")
    keep(store, "of another client", NEW, "APP-GONE")

    assert checked(path) == [
        ("error", "[orcid] token_keys: file:secrets/token-key-1 refers to a file that does not exist"),
        ("error", "[orcid] token_keys: file:secrets/token-key-2 is not 32 bytes in URL-safe Base64"),
        ("ok", "2 of ORCID's token pairs kept, 1 to be revoked"),
        (
            "error",
            f"ORCID does not accept the client {CLIENT_ID} or its secret: 1 token pairs are not revoked",
        ),
        ("error", "the configuration lacks the ORCID client APP-GONE, which got 1 token pairs"),
        ("error", "no configured key opens 1 of ORCID's token pairs, which cannot be revoked: unreadable"),
    ]


def test_all_pairs_of_a_client_that_is_used_no_more_are_revoked(tmp_path, store):
    config = load(configure(tmp_path, OLD, former=["APP-1F1F1F1F1F1F1F1F"]), {})
    keep(store, "kept")
    keep(store, "former", client_id="APP-1F1F1F1F1F1F1F1F")

    make_worker(config, store, lambda: NOON).run_once()

    assert make_orcid_clients(config).find("APP-1F1F1F1F1F1F1F1F").client_secret == CLIENT_SECRET
    assert [(each.client_id, each.due) for each in store.orcid_tokens.counts()] == [
        (CLIENT_ID, False),
        ("APP-1F1F1F1F1F1F1F1F", True),
    ]


def test_the_client_that_is_used_cannot_be_a_former_one(tmp_path):
    with pytest.raises(Misconfigured, match="has the client id of"):
        load(configure(tmp_path, OLD, former=[CLIENT_ID]), {})


def test_the_pairs_of_a_client_that_is_gone_can_be_given_up(tmp_path, store):
    keep(store, "kept")
    keep(store, "gone", client_id="APP-GONE")
    path = configure(tmp_path, OLD)

    assert run(path, "orcid-tokens", "discard", "--client", CLIENT_ID, "--yes") == (
        1,
        f"orcid-connect: the configuration has the client {CLIENT_ID}, by which its tokens are revoked\n",
    )
    assert run(path, "orcid-tokens", "discard", "--client", "APP-GONE", "--yes") == (0, "1 pair of tokens deleted\n")
    assert [token_id for token_id, _ in store.orcid_tokens.list_sealed()] == ["kept"]


def test_a_key_that_is_lost_or_wrong_keeps_nothing_from_starting(tmp_path, store, caplog):
    config = load(configure(tmp_path, None, "no key", OLD), {})

    sealer = make_sealer(config)
    tokens = make_token_service(config, store)
    queue = make_revocation_queue(config, store, lambda: NOON)

    keep(store, "one")
    assert [sealer.open(*each) for each in store.orcid_tokens.list_sealed()] == [PAIR]
    assert tokens.keeps_tokens
    assert queue.clients == make_orcid_clients(config)
    assert [each.problem for each in config.orcid.token_keys] == [
        "refers to a file that does not exist",
        "is not 32 bytes in URL-safe Base64",
        "",
    ]
    assert {each.facts["key"] for each in caplog.records if each.msg == "orcid-token-key-unusable"} == {
        "file:secrets/token-key-0",
        "file:secrets/token-key-1",
    }
    assert not make_token_service(load(configure(tmp_path, None), {}), store).keeps_tokens


@pytest.mark.parametrize("written", [OLD, 7, "fiel:secrets/x", "env:1"], ids=["key", "number", "typo", "digit"])
def test_what_is_not_a_reference_to_a_key_is_an_error_of_the_configuration(tmp_path, written):
    path = write_configuration(
        tmp_path,
        orcid={"client_id": CLIENT_ID, "client_secret": "file:secrets/orcid-client-secret", "token_keys": [written]},
    )

    with pytest.raises(Misconfigured) as wrong:
        load(path, {})

    assert "orcid.token_keys" in str(wrong.value)
    assert OLD not in str(wrong.value)
