"""A configuration is read whole or refused whole."""

import pickle

import pytest

from resolver_connector.credentials import Right
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Stage
from shibboleth.person import Encoding, HeaderSource, VariableSource
from tests.support.configuration import CLIENT_SECRET, PROOF, TOKEN, write, write_configuration
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.config.service import FrontKind


def refused(path, environ=None):
    """Give the problems of a configuration that is refused."""
    with pytest.raises(Misconfigured) as caught:
        load(path, environ or {})
    return caught.value.problems


def problem(path, environ=None):
    """Give the one problem of a configuration that has one."""
    (one,) = refused(path, environ)
    return one


def test_a_minimal_configuration_is_enough(tmp_path):
    config = load(write_configuration(tmp_path), {})

    assert config.service.registry is Registry.SANDBOX
    assert config.service.encoding is Encoding.URL
    assert config.service.language == "en"
    assert config.orcid.base_url == "https://sandbox.orcid.org"
    assert (config.orcid.connect_timeout, config.orcid.read_timeout, config.orcid.pkce) == (5, 20, False)
    assert config.listen.address == ("127.0.0.1", 8080)
    assert config.connector.address == ("127.0.0.1", 8081)


def test_an_organisation_is_called_by_its_files_name(tmp_path):
    config = load(write_configuration(tmp_path), {})

    (organisation,) = config.organisations
    assert organisation.id == "yliopisto"
    assert organisation.entity_ids == ("https://idp.yliopisto.example/idp/shibboleth",)
    assert organisation.name("fi") == "Esimerkin yliopisto"
    assert organisation.name("de") == "University of Example"
    assert organisation.scopes == {"yliopisto.example"}
    assert (organisation.key, organisation.stage, organisation.help) == ("eppn", Stage.TEST, "")


def test_an_organisation_may_tell_its_people_apart_by_another_attribute(tmp_path):
    path = write_configuration(
        tmp_path, organisations={"yliopisto": {"key": "subject-id", "help": "idm@yliopisto.example"}}
    )

    (organisation,) = load(path, {}).organisations

    assert (organisation.key, organisation.help) == ("subject-id", "idm@yliopisto.example")


def test_an_organisation_may_have_stable_ids_and_need_them(tmp_path):
    settings = {"stable_id": "eduPersonUniqueId", "stable_id_missing": "withhold", "same_id": "refuse"}

    (organisation,) = load(write_configuration(tmp_path, organisations={"yliopisto": settings}), {}).organisations

    assert (organisation.stable_id, organisation.needs_stable_id) == ("eduPersonUniqueId", True)
    assert not organisation.asks_holder
    (usual,) = load(write_configuration(tmp_path / "usual"), {}).organisations
    assert (usual.stable_id, usual.needs_stable_id, usual.asks_holder) == ("", False, True)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"stable_id": "eppn"}, "stable_id"),
        ({"stable_id": "pairwise-id"}, "stable_id"),
        ({"stable_id": "subject-id", "key": "subject-id"}, "stable_id"),
        ({"stable_id_missing": "withhold"}, "stable_id_missing"),
        ({"stable_id": "subject-id", "stable_id_missing": "maybe"}, "stable_id_missing"),
    ],
)
def test_a_stable_id_that_proves_nothing_is_refused(tmp_path, settings, key):
    assert problem(write_configuration(tmp_path, organisations={"yliopisto": settings})).key == key


def test_a_credential_belongs_to_the_organisation_of_its_file(tmp_path):
    basic = {"name": "idp", "rights": ["read"], "user": "amk", "password": "file:secrets/amk"}
    amk = {"entity_ids": "https://idp.amk.example/idp", "credential": [basic]}
    path = write_configuration(tmp_path, organisations={"yliopisto": None, "amk": amk}, secrets={"amk": "a" * 32})

    settings = load(path, {}).organisation_settings
    credentials = {name: one.credentials for name, one in settings.items()}

    (idp, idm), (other,) = credentials["yliopisto"], credentials["amk"]
    assert (idp.name, idp.rights, idp.token.reveal()) == ("idp", (Right.READ,), TOKEN)
    assert (idm.name, idm.rights) == ("idm", (Right.FEED, Right.DEPROVISION))
    assert (other.user, other.password.reveal()) == ("amk", "a" * 32)


def test_two_tokens_hold_while_one_replaces_the_other(tmp_path):
    both = [
        {"name": name, "rights": ["read"], "token": token}
        for name, token in (("idp", "file:secrets/yliopisto.token"), ("idp-2027", "env:NEXT"))
    ]
    path = write_configuration(tmp_path, organisations={"yliopisto": {"credential": both}})

    (settings,) = load(path, {"NEXT": "n" * 32}).organisation_settings.values()

    assert [each.token.reveal() for each in settings.credentials] == [TOKEN, "n" * 32]


def test_an_organisation_without_a_credential_is_none_that_can_ask(tmp_path):
    path = write_configuration(tmp_path, organisations={"yliopisto": {"credential": None}})

    (settings,) = load(path, {}).organisation_settings.values()

    assert not settings.credentials
    assert (settings.looks_up, settings.uses_feed) == (False, False)


def test_a_proxy_is_believed_for_its_proof(tmp_path):
    config = load(write_configuration(tmp_path), {})

    assert config.front == HeaderSource(PROOF)


def test_variables_need_no_proof(tmp_path):
    config = load(write_configuration(tmp_path, service={"front": "variables", "front_proof": None}), {})

    assert config.service.front is FrontKind.VARIABLES
    assert config.front == VariableSource()


@pytest.mark.parametrize(
    ("written", "redirect_uri"),
    [
        ("https://link.example", "https://link.example/me/callback"),
        ("https://link.example/", "https://link.example/me/callback"),
        ("https://Link.Example:443/orcid/", "https://link.example/orcid/me/callback"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/me/callback"),
        ("http://[::1]:8000", "http://[::1]:8000/me/callback"),
        ("http://localhost:80", "http://localhost/me/callback"),
    ],
)
def test_the_redirect_uri_follows_from_the_public_url(tmp_path, written, redirect_uri):
    config = load(write_configuration(tmp_path, service={"public_url": written}), {})

    assert config.redirect_uri == redirect_uri


def test_a_redirect_uri_may_be_as_long_as_orcid_keeps_and_no_longer(tmp_path):
    room = 355 - len("https://link.example/") - len("/me/callback")
    fits, too_long = (f"https://link.example/{'x' * length}" for length in (room, room + 1))

    assert len(load(write_configuration(tmp_path, service={"public_url": fits}), {}).redirect_uri) == 355
    assert "355" in problem(write_configuration(tmp_path, service={"public_url": too_long})).text


@pytest.mark.parametrize(
    "written",
    [
        "http://link.example",
        "http://127.0.0.1.example",
        "ftp://link.example",
        "https://",
        "link.example",
        "https://link.example/../x",
        "https://link.example/a//b",
        "https://link.example/a/./b",
        "https://link.example/%2e%2e",
        "https://link.example/?",
        "https://link.example/#",
        "https://maija@link.example",
        "https://link.example:port",
        "https://link.example:99999",
        "https://[link",
        "https://link.example/a b",
        "https://link.example\\@other.example",
        "https://linkä.example",
        "https://link.example/\n",
        "",
    ],
)
def test_a_public_url_that_is_not_plain_and_guarded_is_refused(tmp_path, written):
    assert problem(write_configuration(tmp_path, service={"public_url": written})).key == "service.public_url"


@pytest.mark.parametrize("place", ["help@link.example", "https://link.example/help?in=%C3%A4#top"])
def test_help_is_an_address_to_write_to_or_a_page_to_open(tmp_path, place):
    config = load(write_configuration(tmp_path, service={"contact": place}), {})

    assert config.service.contact == place


@pytest.mark.parametrize(
    "place", ["http://link.example", "mailto:help@link.example", "javascript:alert(1)", "a@b c.d", "@"]
)
def test_help_is_nothing_else(tmp_path, place):
    assert problem(write_configuration(tmp_path, service={"contact": place})).key == "service.contact"


def production(tmp_path, **overrides):
    """Write a configuration for the production registry."""
    service = {"registry": "production", **overrides.pop("service", {})}
    return write_configuration(
        tmp_path, service=service, organisations={"yliopisto": {"stage": "production"}}, **overrides
    )


def test_production_means_orcid_org(tmp_path):
    assert load(production(tmp_path), {}).orcid.base_url == "https://orcid.org"


@pytest.mark.parametrize("root", ["https://sandbox.orcid.org", "http://127.0.0.1:9000", "http://orcid.org"])
def test_production_means_no_other_root_than_orcid_org(tmp_path, root):
    assert problem(production(tmp_path, orcid={"base_url": root})).key == "orcid.base_url"


@pytest.mark.parametrize(
    "root",
    ["https://orcid.org", "https://www.orcid.org", "https://pub.sandbox.orcid.org", "http://sandbox.orcid.org"],
)
def test_the_sandbox_is_no_other_address_of_orcid(tmp_path, root):
    assert problem(write_configuration(tmp_path, orcid={"base_url": root})).key == "orcid.base_url"


@pytest.mark.parametrize("root", ["http://127.0.0.1:9000/", "https://orcid-simulator.example", "https://notorcid.org"])
def test_the_sandbox_may_be_a_simulator_with_clients_of_its_own(tmp_path, root):
    config = load(write_configuration(tmp_path, orcid={"base_url": root, "client_id": "demo"}), {})

    assert config.orcid.base_url == root.rstrip("/")


@pytest.mark.parametrize("client", ["demo", "APP-0a1b2c3d4e5f6g7h", "APP-0A1B2C3D4E5F6G7", "https://orcid.org"])
def test_orcid_itself_knows_only_client_ids_of_its_own_form(tmp_path, client):
    assert problem(write_configuration(tmp_path, orcid={"client_id": client})).key == "orcid.client_id"


def test_a_very_old_client_id_has_the_form_of_an_id(tmp_path):
    config = load(write_configuration(tmp_path, orcid={"client_id": "0000-0002-1825-0097"}), {})

    assert config.orcid.client_id == "0000-0002-1825-0097"


def test_production_requires_https(tmp_path):
    assert "http" in problem(production(tmp_path, service={"public_url": "http://127.0.0.1:8000"})).text


@pytest.mark.parametrize(("registry", "stage"), [("sandbox", "production"), ("production", "test")])
def test_an_id_for_trying_out_reaches_no_real_directory(tmp_path, registry, stage):
    path = write_configuration(tmp_path, service={"registry": registry}, organisations={"yliopisto": {"stage": stage}})

    assert problem(path).key == "stage"


# Secrets


def test_a_secret_may_stand_in_the_environment(tmp_path):
    path = write_configuration(tmp_path, orcid={"client_secret": "env:ORCID_SECRET"})

    assert load(path, {"ORCID_SECRET": "s3cret"}).orcid.client_secret.reveal() == "s3cret"


def test_a_secret_shows_itself_nowhere(tmp_path):
    config = load(write_configuration(tmp_path), {})
    secret = config.orcid.client_secret

    shown = f"{secret} {secret!r} {secret:} {config!r} {config.front!r} {config.orcid} {config.orcid.model_dump()}"

    assert secret.reveal() == CLIENT_SECRET
    assert not any(hidden in shown for hidden in (CLIENT_SECRET, TOKEN, PROOF))
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize("literal", [CLIENT_SECRET, f"env:{CLIENT_SECRET}", "file:", "env:", "vault:x", ""])
def test_a_literal_secret_is_refused_and_not_repeated(tmp_path, literal):
    found = problem(write_configuration(tmp_path, orcid={"client_secret": literal}))

    assert found.key == "orcid.client_secret"
    assert "never the secret itself" in found.text
    assert CLIENT_SECRET not in str(found)


@pytest.mark.parametrize("elsewhere", ["client_secert", "secret", "base_url", "scope", "client_id", "pkce"])
def test_a_secret_in_the_wrong_place_is_not_repeated_either(tmp_path, elsewhere):
    found = refused(write_configuration(tmp_path, orcid={elsewhere: CLIENT_SECRET}))

    assert found
    assert CLIENT_SECRET not in repr(found)


def test_a_password_in_the_address_of_the_store_is_refused_and_not_repeated(tmp_path):
    for url in ("postgresql://orcid:hunter2@db/orcid", "postgresql://db/orcid?user=orcid&password=hunter2"):
        found = problem(write_configuration(tmp_path, store={"url": url}))

        assert found.key == "store.url"
        assert "hunter2" not in str(found)


def test_a_password_of_the_store_goes_into_its_address_escaped(tmp_path):
    url = "postgresql://orcid@db.example:5433/orcid?sslmode=verify-full"
    path = write_configuration(tmp_path, store={"url": url, "password": "env:PASSWORD"})

    store = load(path, {"PASSWORD": "p@ss/w:rd"}).store

    assert store.reveal() == f"{url}&password=p%40ss%2Fw%3Ard"
    assert "p@ss" not in repr(store)


def test_a_store_without_a_password_is_revealed_as_it_is(tmp_path):
    assert load(write_configuration(tmp_path), {}).store.reveal() == f"sqlite://{tmp_path}/links.db"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo\n", "more than one line"),
        (b"\xff\xfe", "not text in UTF-8"),
        (None, "does not exist"),
    ],
)
def test_a_secret_file_that_holds_no_secret_is_named(tmp_path, content, words):
    path = write_configuration(tmp_path, orcid={"client_secret": "file:secrets/mine"})
    if content is not None:
        (tmp_path / "secrets/mine").write_bytes(content)

    found = problem(path)

    assert words in found.text
    assert found.key == "orcid.client_secret"


def test_a_secret_that_is_a_directory_cannot_be_read(tmp_path):
    assert "cannot be read" in problem(write_configuration(tmp_path, orcid={"client_secret": "file:secrets"})).text


def test_a_variable_that_is_not_set_is_said_with_the_one_that_was_probably_meant(tmp_path):
    path = write_configuration(tmp_path, orcid={"client_secret": "env:ORCID_SECRT"})
    with pytest.raises(Misconfigured) as caught:
        load(path, {"ORCID_SECRET": "x"})

    assert "did you mean env:ORCID_SECRET?" in caught.value.problems[0].fix


@pytest.mark.parametrize("token", ["short", "ö" * 40, "two words " * 5, "=" * 40])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(tmp_path, token):
    found = problem(write_configuration(tmp_path, secrets={"yliopisto.token": token}))

    assert found.key == "credential.token (value 1)"
    assert "openssl" in found.fix


# Organisations among each other


IDP = {"name": "idp", "rights": ["read"]}
IDM = {"name": "idm", "rights": ["feed"]}


def basic(user, file):
    """Give a user and the reference to a password."""
    return {"user": user, "password": f"file:secrets/{file}.password"}


def two(tmp_path, **other):
    """Write two organisations; `other` is laid over the second."""
    amk = {
        "entity_ids": "https://idp.amk.example/idp",
        "scopes": ["amk.example"],
        "credential": [{**IDP, "token": "file:secrets/amk.token"}, {**IDM, **basic("amk", "amk")}],
    }
    yliopisto = {"credential": [{**IDP, "token": "file:secrets/yliopisto.token"}, {**IDM, **basic("uni", "uni")}]}
    return write_configuration(
        tmp_path,
        organisations={"amk": amk, "yliopisto": {**yliopisto, **other}},
        secrets={"amk.token": "t" * 32, "amk.password": "p" * 32, "uni.password": "q" * 32},
    )


def test_two_organisations_live_side_by_side(tmp_path):
    assert [one.id for one in load(two(tmp_path), {}).organisations] == ["amk", "yliopisto"]


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("entity_ids (value 1)", {"entity_ids": "https://idp.amk.example/idp"}),
        ("credential.token (value 1)", {"credential": [{**IDP, "token": "file:secrets/amk.token"}]}),
        ("credential.user (value 1)", {"credential": [{**IDP, **basic("amk", "uni")}]}),
        ("credential.password (value 1)", {"credential": [{**IDP, **basic("uni", "amk")}]}),
    ],
)
def test_no_two_organisations_share_what_tells_them_apart(tmp_path, key, other):
    of_amk, of_yliopisto = refused(two(tmp_path, **other))

    assert of_yliopisto.key == key
    assert "amk.toml" in of_yliopisto.text
    assert "yliopisto.toml" in of_amk.text


@pytest.mark.parametrize("name", ["Yliopisto", "yli_opisto", "yli.opisto", "-yliopisto", "ä"])
def test_a_file_whose_name_cannot_be_an_id_is_refused(tmp_path, name):
    found = problem(write_configuration(tmp_path, organisations={name: None}))

    assert f"{name}.toml" in found.file


def test_an_editors_own_files_are_no_organisations(tmp_path):
    path = write_configuration(tmp_path)
    for name in (".#yliopisto.toml", "yliopisto.toml~", "README", "#yliopisto.toml#"):
        write(tmp_path / "organisations" / name, "nonsense")

    assert len(load(path, {}).organisations) == 1


def test_the_organisations_may_live_elsewhere(tmp_path):
    path = write_configuration(tmp_path / "etc", service={"organisations": str(tmp_path / "there")})
    (tmp_path / "etc/organisations").rename(tmp_path / "there")

    assert len(load(path, {}).organisations) == 1


def test_no_organisation_is_a_problem(tmp_path):
    path = write_configuration(tmp_path)
    (tmp_path / "organisations/yliopisto.toml").unlink()

    found = problem(path)

    assert found.text == "names a directory without files of organisations"
    assert "orcid-connect organisation add" in found.fix


# Listeners


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_a_server_listens_where_only_this_machine_reaches_it(tmp_path, host):
    config = load(write_configuration(tmp_path, listen={"host": host, "port": 0, "threads": 2}), {})

    assert config.listen.address == (host, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "link.example", ""])
def test_a_server_that_others_could_reach_is_refused(tmp_path, host):
    assert problem(write_configuration(tmp_path, connector={"host": host})).key == "connector.host"


def test_a_server_may_listen_on_a_socket(tmp_path):
    config = load(write_configuration(tmp_path, listen={"unix": "/run/orcid-connect/web.sock"}), {})

    assert config.listen.address == "/run/orcid-connect/web.sock"


@pytest.mark.parametrize("socket", ["web.sock", "/" + "x" * 107, "/a\0b"])
def test_a_socket_has_an_absolute_path_of_a_length_that_works(tmp_path, socket):
    assert problem(write_configuration(tmp_path, listen={"unix": socket})).key == "listen.unix"


def test_a_server_listens_in_one_place(tmp_path):
    found = problem(write_configuration(tmp_path, listen={"unix": "/run/web.sock", "port": 8000}))

    assert found.fix == "keep either unix, or host and port"


def test_two_servers_do_not_share_a_place(tmp_path):
    assert problem(write_configuration(tmp_path, connector={"port": 8080})).key == "connector"
    assert load(write_configuration(tmp_path, listen={"port": 0}, connector={"port": 0}), {})


# Files


def test_a_byte_order_mark_is_ignored(tmp_path):
    path = write_configuration(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    assert load(path, {})


def test_what_is_wrong_in_a_broken_file_and_in_the_others_is_said_at_once(tmp_path):
    path = write_configuration(tmp_path, organisations={"amk": {"key": "mail"}})
    path.write_text("[service\n")

    found = refused(path)

    assert [one.file for one in found] == [str(path), str(tmp_path / "organisations/amk.toml")]


def test_everything_wrong_is_said_at_once_and_in_order(tmp_path):
    path = write_configuration(
        tmp_path,
        service={"registry": None, "front": "apache", "colour": "green"},
        orcid={"client_secret": "plain", "pkce": "no"},
        listen={"host": "0.0.0.0"},
        organisations={"amk": {"scopes": [".amk.example", "AMK.example"], "name": {}}, "yliopisto": {"stage": "prod"}},
    )

    assert [(one.file.rpartition("/")[2], one.key) for one in refused(path)] == [
        ("orcid-connect.toml", "service.registry"),
        ("orcid-connect.toml", "service.front"),
        ("orcid-connect.toml", "service.colour"),
        ("orcid-connect.toml", "orcid.client_secret"),
        ("orcid-connect.toml", "orcid.pkce"),
        ("orcid-connect.toml", "listen.host"),
        ("amk.toml", "entity_ids (value 1)"),
        ("amk.toml", "scopes (value 1)"),
        ("amk.toml", "scopes (value 2)"),
        ("amk.toml", "name.en"),
        ("amk.toml", "credential.token (value 1)"),
        ("amk.toml", "credential.token (value 2)"),
        ("yliopisto.toml", "entity_ids (value 1)"),
        ("yliopisto.toml", "stage"),
        ("yliopisto.toml", "credential.token (value 1)"),
        ("yliopisto.toml", "credential.token (value 2)"),
    ]


def test_an_empty_file_lacks_each_thing_by_name(tmp_path):
    path = write_configuration(tmp_path)
    path.write_text("")

    assert [one.key for one in refused(path)] == [
        "service.public_url",
        "service.registry",
        "service.contact",
        "service.front",
        "orcid.client_id",
        "orcid.client_secret",
        "store.url",
    ]


def test_every_problem_names_its_file_and_its_fix(tmp_path):
    path = write_configuration(tmp_path, service={"front": "apache"})

    found = problem(path)

    assert (
        str(found) == f'{path}: service.front: must be "variables" or "proxy"; write for example: front = "variables"'
    )
    assert str(Misconfigured([found])) == str(found)
