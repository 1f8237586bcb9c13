"""The files of the Service Provider and the reader of the application say the same."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from defusedxml.ElementTree import fromstring, tostring

from shibboleth.attributes import ATTRIBUTES, IDENTITY_PROVIDER
from shibboleth.handout.render import placeholders
from shibboleth.person import PROOF_HEADER

SP = files("shibboleth") / "handout/templates/sp"
VHOSTS = ("apache-mod_wsgi.conf", "apache-proxy.conf")
MAP = "{urn:mace:shibboleth:2.0:attribute-map}"
POLICY = "{urn:mace:shibboleth:2.0:afp}"
METADATA = "{urn:oasis:names:tc:SAML:2.0:metadata}"
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

SESSION = (IDENTITY_PROVIDER, "Shib-Session-ID", "Shib-Authentication-Instant")
"""What the proxy carries of a session beside the attributes."""
ALL_OF_MOD_SHIB = (
    "Shib-Application-ID", "Shib-Assertion-Count", "Shib-Attributes", "Shib-Authentication-Instant",
    "Shib-Authentication-Method", "Shib-AuthnContext-Class", "Shib-AuthnContext-Decl", "Shib-Cookie-Name",
    "Shib-Handler", "Shib-Identity-Provider", "Shib-Session-Expires", "Shib-Session-ID", "Shib-Session-Inactivity",
    "Shib-Session-Index", "Shib-Spoof-Check",
)  # fmt: skip
OF_THE_WAY = (
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto",
    "X-Forwarded-Server", "X-Forwarded-User", "X-Real-IP",
)  # fmt: skip


def text(name):
    return (SP / name).read_text("utf-8")


def opening(name):
    """Give the comment at the top of a file."""
    return text(name).partition("-->" if name.endswith((".xml", ".html")) else "\n\n")[0]


def tree(name):
    return fromstring(text(name))


def directives(name):
    """Give each directive of an Apache file with its section, in the order in which they stand."""
    sections = []
    for line in text(name).replace("\\\n", " ").split("\n"):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith("</"):
            sections.pop()
        elif words[0].startswith("<"):
            sections.append(line.strip().strip("<>"))
        else:
            yield tuple(sections[1:]), words


def named(name, *start):
    """Give the rest of each directive that starts with these words."""
    return [words[len(start) :] for _, words in directives(name) if tuple(words[: len(start)]) == start]


def both_spellings(names):
    return {*names, *(name.replace("-", "_") for name in names)}


def test_every_attribute_in_the_map_is_one_we_read_under_the_same_name():
    mapped = {(each.get("id"), each.get("name")) for each in tree("attribute-map.xml").iter(f"{MAP}Attribute")}

    saml2 = {(each.id, each.saml2_name) for each in ATTRIBUTES.values()}
    assert mapped == saml2 | {("eduPersonOrcid", "urn:mace:dir:attribute-def:eduPersonOrcid")}


def test_scoped_attributes_are_taken_apart_so_that_the_scope_can_be_checked():
    decoders = {
        each.get("id"): [decoder.get(TYPE) for decoder in each]
        for each in tree("attribute-map.xml").iter(f"{MAP}Attribute")
    }

    scoped = {name for name, found in decoders.items() if found == ["ScopedAttributeDecoder"]}
    assert scoped == {each.id for each in ATTRIBUTES.values() if each.scoped}


def test_every_scope_is_checked_and_no_attribute_is_let_through_unnamed():
    rules = {each.get("attributeID"): each for each in tree("attribute-policy.xml").iter(f"{POLICY}AttributeRule")}

    own_scope = {
        name
        for name, rule in rules.items()
        if [each.get("ref") for each in rule] == ["OwnScope"] and not rule.get("permitAny")
    }
    own_domain = {
        name for name, rule in rules.items() if [each.get(TYPE) for each in rule] == ["ValueMatchesShibMDScope"]
    }
    assert set(rules) == set(ATTRIBUTES)
    assert own_scope == {each.id for each in ATTRIBUTES.values() if each.scoped}
    assert own_domain == {"schacHomeOrganization"}


def test_the_metadata_asks_for_what_we_read_and_insists_on_the_key_alone():
    asked = {
        each.get("Name"): each.get("isRequired")
        for each in tree("sp-metadata.xml").iter(f"{METADATA}RequestedAttribute")
    }

    assert set(asked) == {each.saml2_name for each in ATTRIBUTES.values() if each.in_metadata}
    assert [name for name, required in asked.items() if required] == [ATTRIBUTES["eppn"].saml2_name]


@pytest.mark.parametrize("vhost", VHOSTS)
def test_headers_about_a_person_are_unset_early_in_both_spellings(vhost):
    unset = named(vhost, "RequestHeader", "unset")

    early = {words[0] for words in unset if words[1:] == ["early"]}
    wanted = {*ATTRIBUTES, *ALL_OF_MOD_SHIB, *OF_THE_WAY, PROOF_HEADER, "Remote-User"}
    assert early == both_spellings(wanted) | {"Proxy"}
    assert [words for words in unset if words[1:] != ["early"]] in ([], [[PROOF_HEADER]])


def test_the_proxy_carries_what_we_read_each_from_its_own_variable_and_only_where_there_is_one():
    carried = named("apache-proxy.conf", "RequestHeader", "set")

    wanted = [[name, f'"%{{{name}}}e"', f"env={name}"] for name in (*ATTRIBUTES, *SESSION)]
    client = ["X-Forwarded-For", '"expr=%{REMOTE_ADDR}"']
    assert sorted(carried) == sorted([*wanted, [PROOF_HEADER, '"${FRONT_PROOF}"'], client])


def test_variables_need_no_header_at_all():
    assert named("apache-mod_wsgi.conf", "RequestHeader", "set") == []


@pytest.mark.parametrize("vhost", VHOSTS)
def test_of_connection_only_close_and_keep_alive_are_kept(vhost):
    edited = named(vhost, "RequestHeader", "edit", "Connection")

    assert [words[1:] for words in edited] == [["close", "early"], ["keep-alive", "early"], ['""', "early"]]


@pytest.mark.parametrize("vhost", VHOSTS)
def test_mod_shib_has_a_part_in_the_pages_of_people_alone_and_they_want_a_session(vhost):
    shib = [
        (sections, words)
        for sections, words in directives(vhost)
        if words[0].startswith(("Shib", "AuthType", "Require"))
    ]

    def within(place):
        return [" ".join(words) for sections, words in shib if sections == (place,)]

    closed = "Require all denied"
    assert within("Location /") == [closed, "ShibDisable On", "AuthType None", "Require all granted"]
    assert within('LocationMatch "^/(?:me|operator)(?:/|$)"') == [
        *("ShibDisable Off", "AuthType shibboleth", "ShibRequestSetting requireSession 1"),
        *("ShibRequestSetting encoding URL", "ShibUseHeaders Off", "ShibUseEnvironment On", "Require shib-session"),
    ]
    own = {'LocationMatch "^/(?:me|operator)(?:/|$)"', "Location /Shibboleth.sso"}
    assert {sections[-1] for sections, words in shib if words == ["ShibDisable", "Off"]} <= own


def test_the_service_provider_is_as_strict_as_it_must_be():
    said = tostring(tree("shibboleth2.xml"), encoding="unicode")

    for each in (
        *(
            'policyId="blockUnsolicited"',
            'signing="true"',
            'redirectLimit="exact"',
            'cookieProps="https"',
            'handlerSSL="true"',
        ),
        *('consistentAddress="false"', 'postData="ss:mem"', 'relayState="cookie:2"', 'showAttributeValues="false"'),
        *('acl="127.0.0.1 ::1"', 'type="Signature"', 'type="RequireValidUntil"'),
    ):
        assert said.count(each) == 1
    assert "sameSiteSession=" not in said
    assert "REMOTE_USER=" not in said


@pytest.mark.parametrize("name", sorted(each.name for each in SP.iterdir()))
def test_each_file_explains_what_is_to_be_filled_in(name):
    head, wanted = opening(name), placeholders(text(name))

    explained = set(re.findall(r"\b[A-Z][A-Z_]{2,}\b", head))
    assert wanted <= explained
    assert f"/{name.removeprefix('error-')}" in head or name in {
        *VHOSTS,
        "apache-connector.conf",
        "sp-metadata.xml",
        "registration.txt",
    }


@pytest.mark.parametrize("vhost", VHOSTS)
def test_the_modules_that_the_file_names_are_those_that_its_test_enables(vhost):
    from tests.support.system.stack import FRONTS, OPERATORS_MODULES  # noqa: PLC0415 - the harness, for its table alone

    (front,) = [front for front, name in FRONTS.items() if name == vhost]
    assert f"# Modules: a2enmod {' '.join(OPERATORS_MODULES[front])}\n" in text(vhost)


@pytest.mark.parametrize("vhost", VHOSTS)
def test_every_method_reaches_the_connector(vhost):
    said = [" ".join((*sections, *words)) for sections, words in directives(vhost)]

    kept_away = ("Limit ", "LimitExcept", "AllowMethods", "RewriteCond", "REQUEST_METHOD", "%m ")
    assert not [line for line in said if any(each in line for each in kept_away) and "LogFormat" not in line]
