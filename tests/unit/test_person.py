"""Who is signed in, from every form in which the Service Provider may say it."""

from urllib.parse import quote

import pytest

from shibboleth.account_holder import KnownHolder, different_holders
from shibboleth.orcid_id import OrcidId
from shibboleth.organisation import Organisations, UnknownOrganisation
from shibboleth.person import (
    BrokenAttribute,
    Encoding,
    ForeignScope,
    HeaderSource,
    MissingAttribute,
    NotSignedIn,
    ProxyNotAuthenticated,
    SeveralValues,
    VariableSource,
    person_from,
)
from tests.support.factories import (
    POLYTECHNIC,
    POLYTECHNIC_IDP,
    UNIVERSITY,
    UNIVERSITY_IDP,
    make_organisation,
    make_person,
)

INVISIBLE = (
    *"\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200c\u200d\u200e\u202e\u2060\u2064\u2066\u2800\u3164\ufe00\ufe0f\ufeff\uffa0",
    "\ufff9",
    "\U0001d173",
    "\U000e0041",
    "\U000e0100",
)
"""Joiners, fillers, selectors, marks of direction, tags and others that no page shows."""

PROOF = "a-proof-that-only-the-proxy-knows-0123456789"
ORGANISATIONS = Organisations.of([make_organisation(), make_organisation(POLYTECHNIC, key="subject-id")])
MAIJA = {"Shib-Identity-Provider": UNIVERSITY_IDP, "eppn": "maija@yliopisto.example", "displayName": "Maija Mäkelä"}


def url_encoded(values):
    return {name: ";".join(quote(each, safe="") for each in value.split("|")) for name, value in values.items()}


def as_utf8(values):
    return {
        name: value.replace(";", "\\;").replace("|", ";").encode().decode("latin-1") for name, value in values.items()
    }


def as_headers(values):
    return {"HTTP_" + name.upper().replace("-", "_"): value for name, value in values.items()} | {
        "HTTP_X_FRONT_PROOF": PROOF
    }


FRONTS = {
    "variables, url": (url_encoded, VariableSource(), Encoding.URL),
    "variables, utf-8": (as_utf8, VariableSource(), Encoding.UTF8),
    "headers, url": (lambda said: as_headers(url_encoded(said)), HeaderSource(PROOF), Encoding.URL),
    "headers, utf-8": (lambda said: as_headers(as_utf8(said)), HeaderSource(PROOF), Encoding.UTF8),
}


@pytest.fixture(params=FRONTS.values(), ids=FRONTS)
def signed_in(request):
    """The person whom each front tells of, whatever its way of writing."""
    write, front, encoding = request.param

    def person(said):
        return person_from(write(said), front, ORGANISATIONS, encoding)

    return person


def test_a_person_is_an_account_at_an_organisation(signed_in):
    maija = signed_in(MAIJA)

    assert (maija.organisation.id, maija.account, maija.name) == (
        UNIVERSITY,
        "maija@yliopisto.example",
        "Maija Mäkelä",
    )


@pytest.mark.parametrize("space", ["\xa0", "\u2003", "\u3000", "\u1680"], ids=repr)
def test_what_is_white_space_in_unicode_alone_is_not_trimmed_but_refused(signed_in, space):
    for account in (f"{space}maija@yliopisto.example", f"maija{space}@yliopisto.example"):
        with pytest.raises(BrokenAttribute):
            signed_in(MAIJA | {"eppn": account})


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_an_invisible_character_is_no_part_of_an_account(signed_in, character):
    for account in (f"mai{character}ja@yliopisto.example", f"{character}maija@yliopisto.example"):
        with pytest.raises(BrokenAttribute, match="invisible characters"):
            signed_in(MAIJA | {"eppn": account})


@pytest.mark.parametrize("account", ["äyräs", "a b", "o'brien", "山田", "ма́йя", "a\u0308"], ids=ascii)
def test_visible_characters_of_any_script_make_an_account(signed_in, account):
    assert signed_in(MAIJA | {"eppn": f"{account}@yliopisto.example"}).account == f"{account}@yliopisto.example"


@pytest.mark.parametrize("account", ["\x85maija@yliopisto.example", "\x1fmaija@yliopisto.example"], ids=repr)
def test_a_control_character_is_never_trimmed(signed_in, account):
    with pytest.raises(BrokenAttribute):
        signed_in(MAIJA | {"eppn": account})


def test_white_space_of_xml_around_a_value_is_none_of_it(signed_in):
    assert signed_in(MAIJA | {"eppn": "\n\t maija@yliopisto.example \r\n"}).account == "maija@yliopisto.example"


@pytest.mark.parametrize("name", ["Äyräs Öhman", "山田 花子", "Иван Тестов", "a;b + c%2B", 'O"Brien <b>', "🧪"])
def test_a_name_in_any_script_arrives_unharmed(signed_in, name):
    assert signed_in(MAIJA | {"displayName": name}).name == name


def test_a_line_feed_in_a_name_ends_in_a_space(signed_in):
    assert signed_in(MAIJA | {"displayName": "Maija\r\nSet-Cookie: x"}).name == "Maija  Set-Cookie: x"


@pytest.mark.parametrize("name", [*INVISIBLE, "\xa0\u2003", "\u200d\ufe0f \u0301"], ids=ascii)
def test_a_name_of_invisible_characters_is_none(signed_in, name):
    assert signed_in(MAIJA | {"displayName": name}).name == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\u202eMaija\u202c", "Maija"),
        ("Maija\u2066\u200e Mäkelä", "Maija Mäkelä"),
        ("क्\u200dष", "क्\u200dष"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("\u3164|Maija", "Maija"),
    ],
    ids=ascii,
)
def test_a_name_is_shown_without_what_changes_the_text_around_it(signed_in, name, shown):
    assert signed_in(MAIJA | {"displayName": name}).name == shown


def test_a_person_without_a_name_is_a_person(signed_in):
    assert signed_in(MAIJA | {"displayName": ""}).name == ""


def test_the_account_keeps_its_spelling_and_the_key_has_none(signed_in):
    maija = signed_in(MAIJA | {"eppn": "Maija@Yliopisto.Example"})

    assert (maija.account, maija.key) == ("Maija@Yliopisto.Example", "maija@yliopisto.example")


def test_a_plus_in_an_account_is_a_plus(signed_in):
    assert signed_in(MAIJA | {"eppn": "maija+1@yliopisto.example"}).account == "maija+1@yliopisto.example"


def test_each_organisation_has_its_own_key(signed_in):
    pekka = signed_in(
        {"Shib-Identity-Provider": POLYTECHNIC_IDP, "subject-id": "x1@amk.example", "eppn": "p@amk.example"}
    )

    assert pekka.account == "x1@amk.example"


@pytest.mark.parametrize("value", ["", "  "])
def test_logged_in_without_an_account_names_what_is_missing(signed_in, value):
    with pytest.raises(MissingAttribute) as missing:
        signed_in(MAIJA | {"eppn": value})

    assert (missing.value.name, missing.value.organisation.id) == ("eppn", UNIVERSITY)


def test_absent_is_as_empty(signed_in):
    with pytest.raises(MissingAttribute):
        signed_in({"Shib-Identity-Provider": UNIVERSITY_IDP})


def test_the_first_of_several_values_is_not_guessed(signed_in):
    with pytest.raises(SeveralValues):
        signed_in(MAIJA | {"eppn": "first@yliopisto.example|second@yliopisto.example"})


EQUAL_ACCOUNTS = [
    "maija@yliopisto.example|maija@yliopisto.example",
    "Maija@yliopisto.example|maija@Yliopisto.EXAMPLE| maija@yliopisto.example ",
    "\xe4yr\xe4s@yliopisto.example|a\u0308yra\u0308s@yliopisto.example",
]


@pytest.mark.parametrize("values", EQUAL_ACCOUNTS, ids=ascii)
def test_several_equal_values_are_one(signed_in, values):
    assert signed_in(MAIJA | {"eppn": values}).account == values.split("|")[0]


def test_several_equal_values_of_every_other_attribute_are_one(signed_in):
    orcid = "https://orcid.org/0000-0002-1694-233X|http://orcid.org/0000-0002-1694-233x"
    twice = signed_in(
        MAIJA
        | {
            "Shib-Identity-Provider": f"{UNIVERSITY_IDP}|{UNIVERSITY_IDP}",
            "displayName": "Maija|Maija",
            "eduPersonOrcid": orcid,
            "funetEduPersonEPPNTimeStamp": "20040826|2004-08-26",
        }
    )

    assert (twice.organisation.id, twice.name, twice.account_issued_at) == (UNIVERSITY, "Maija", "20040826")
    assert [each.bare for each in twice.released] == ["0000-0002-1694-233X"]


def test_several_different_times_of_issue_are_none(signed_in):
    assert signed_in(MAIJA | {"funetEduPersonEPPNTimeStamp": "20040826|20240826"}).account_issued_at == ""


BROKEN = {
    Encoding.URL: ["%FF%FE", "a%", "a%4", "a%zz", "M\xe4kel\xe4", "a b", "a@b"],
    Encoding.UTF8: ["\xff\xfe", "a\xe4"],
}


@pytest.mark.parametrize(("encoding", "raw"), [(each, raw) for each in BROKEN for raw in BROKEN[each]], ids=ascii)
@pytest.mark.parametrize(
    "name", ["displayName", "eduPersonOrcid", "funetEduPersonEPPNTimeStamp", "eduPersonEntitlement"]
)
def test_what_is_only_shown_never_costs_a_sign_in(name, encoding, raw):
    write = url_encoded if encoding is Encoding.URL else as_utf8

    maija = person_from(write(MAIJA) | {name: raw}, VariableSource(), ORGANISATIONS, encoding)

    assert maija.account == "maija@yliopisto.example"
    assert (maija.released, maija.account_issued_at, maija.entitlements) == (frozenset(), "", frozenset())


@pytest.mark.parametrize(
    "raw", ["maija@yliopisto.example", "maija%40yliopisto.example%", "maij%C3%A4%40yli\xe4.example"]
)
def test_an_account_that_is_not_url_encoded_is_broken(raw):
    with pytest.raises(BrokenAttribute, match="not URL-encoded"):
        person_from(url_encoded(MAIJA) | {"eppn": raw}, VariableSource(), ORGANISATIONS, Encoding.URL)


def test_the_entity_id_is_read_as_the_service_provider_writes_it():
    said = url_encoded(MAIJA) | {"Shib-Identity-Provider": UNIVERSITY_IDP}

    assert person_from(said, VariableSource(), ORGANISATIONS, Encoding.URL).organisation.id == UNIVERSITY


@pytest.mark.parametrize("eppn", ["maija@amk.example", "maija@yliopisto.example.evil", "@yliopisto.example"])
def test_a_scope_of_another_organisation_is_refused(signed_in, eppn):
    with pytest.raises(ForeignScope):
        signed_in(MAIJA | {"eppn": eppn})


@pytest.mark.parametrize(
    "eppn", ["maija", "a@b@yliopisto.example", "ma\nija@yliopisto.example", "ma\u202eija@yliopisto.example", "x" * 600]
)
def test_an_account_that_cannot_be_one_is_refused(signed_in, eppn):
    with pytest.raises(BrokenAttribute):
        signed_in(MAIJA | {"eppn": eppn})


def test_an_organisation_that_is_not_connected_is_named(signed_in):
    with pytest.raises(UnknownOrganisation, match="idp.elsewhere.example"):
        signed_in(MAIJA | {"Shib-Identity-Provider": "https://idp.elsewhere.example"})


@pytest.mark.parametrize("said", [{}, {"eppn": "maija@yliopisto.example"}, {"Shib-Identity-Provider": "a|b"}])
def test_without_a_session_there_is_no_person(signed_in, said):
    with pytest.raises(NotSignedIn):
        signed_in(said)


def test_what_the_organisation_releases_itself_is_seen(signed_in):
    released = "https://orcid.org/0000-0002-1825-0097|nonsense|0000-0002-1694-233X"

    assert signed_in(MAIJA | {"eduPersonOrcid": released}).released == {
        OrcidId.parse("https://orcid.org/0000-0002-1825-0097")
    }


def test_the_time_stamp_of_an_account_is_kept(signed_in):
    assert signed_in(MAIJA | {"funetEduPersonEPPNTimeStamp": "20040826"}).account_issued_at == "20040826"


def test_behind_mod_wsgi_a_header_is_never_read():
    forged = as_headers(url_encoded(MAIJA))

    with pytest.raises(NotSignedIn):
        person_from(forged, VariableSource(), ORGANISATIONS)


def test_behind_the_proxy_a_variable_is_never_read():
    with pytest.raises(NotSignedIn):
        person_from(url_encoded(MAIJA) | {"HTTP_X_FRONT_PROOF": PROOF}, HeaderSource(PROOF), ORGANISATIONS)


@pytest.mark.parametrize("shown", [None, "", "wrong", PROOF + "x", PROOF[:-1], "(null)", "päätön"])
def test_attributes_without_the_fronts_proof_are_ignored(shown):
    said = as_headers(url_encoded(MAIJA))
    if shown is None:
        del said["HTTP_X_FRONT_PROOF"]
    else:
        said["HTTP_X_FRONT_PROOF"] = shown

    with pytest.raises(ProxyNotAuthenticated):
        person_from(said, HeaderSource(PROOF), ORGANISATIONS)


def test_apaches_word_for_absent_is_absent():
    said = as_headers(url_encoded(MAIJA)) | {"HTTP_EPPN": "(null)"}

    with pytest.raises(MissingAttribute):
        person_from(said, HeaderSource(PROOF), ORGANISATIONS)


def test_a_value_that_is_no_text_is_absent():
    with pytest.raises(NotSignedIn):
        person_from({"Shib-Identity-Provider": b"bytes"}, VariableSource(), ORGANISATIONS)


@pytest.mark.parametrize(("encoding", "raw"), [(Encoding.URL, "%FF%FE"), (Encoding.UTF8, "\xff\xfe")])
def test_bytes_that_are_not_utf8_are_refused(encoding, raw):
    said = {"Shib-Identity-Provider": raw, "eppn": raw}

    with pytest.raises(BrokenAttribute, match="not UTF-8"):
        person_from(said, VariableSource(), ORGANISATIONS, encoding)


def test_a_proof_is_not_shown():
    assert PROOF not in repr(HeaderSource(PROOF))


def test_what_a_person_may_do_is_read_as_it_was_said(signed_in):
    maija = signed_in(MAIJA | {"eduPersonEntitlement": "urn:mace:example.org:a|urn:mace:example.org:b"})

    assert maija.entitlements == {"urn:mace:example.org:a", "urn:mace:example.org:b"}
    assert signed_in(MAIJA).entitlements == frozenset()


def test_an_unreadable_entitlement_does_not_prevent_the_sign_in():
    said = url_encoded(MAIJA) | {"eduPersonEntitlement": "%FF"}

    assert person_from(said, VariableSource(), ORGANISATIONS).entitlements == frozenset()


WITH_STABLE_IDS = {
    name: Organisations.of([make_organisation(stable_id=name)]) for name in ("subject-id", "eduPersonUniqueId")
}
LONG = "a" * 64


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("subject-id", "aB3=-x@yliopisto.example", "ab3=-x@yliopisto.example"),
        ("subject-id", "ab3@Yliopisto.Example|AB3@yliopisto.example", "ab3@yliopisto.example"),
        ("subject-id", f"{'a' * 127}@yliopisto.example", f"{'a' * 127}@yliopisto.example"),
        ("subject-id", f"{'a' * 128}@yliopisto.example", ""),
        ("subject-id", "ab3@yliopisto.example|ab4@yliopisto.example", ""),
        ("subject-id", "ab3@yliopisto.example|b@d@yliopisto.example", ""),
        ("subject-id", "ab3@amk.example", ""),
        ("subject-id", "ab3@yliopisto.example|ab3@amk.example", ""),
        ("subject-id", "-ab@yliopisto.example", ""),
        ("subject-id", "a.b@yliopisto.example", ""),
        ("subject-id", "ä@yliopisto.example", ""),
        ("subject-id", "\u212aelvin@yliopisto.example", ""),
        ("subject-id", "@yliopisto.example", ""),
        ("subject-id", "ab3", ""),
        ("subject-id", " ", ""),
        ("subject-id", "", ""),
        ("eduPersonUniqueId", f"{LONG}@YLIOPISTO.example", f"{LONG}@yliopisto.example"),
        ("eduPersonUniqueId", f"{LONG}a@yliopisto.example", ""),
        ("eduPersonUniqueId", "ab3=@yliopisto.example", ""),
        ("eduPersonUniqueId", "ab3@sub.yliopisto.example", ""),
    ],
)
def test_a_stable_id_has_the_form_of_its_attribute_and_a_scope_of_the_organisation(name, value, expected):
    person = person_from(url_encoded(MAIJA | {name: value}), VariableSource(), WITH_STABLE_IDS[name])

    assert person.stable_id == (f"{name}:{expected}" if expected else "")


def test_only_the_attribute_that_the_organisation_names_is_a_stable_id():
    said = url_encoded(MAIJA | {"subject-id": "ab3@yliopisto.example"})

    assert person_from(said, VariableSource(), WITH_STABLE_IDS["eduPersonUniqueId"]).stable_id == ""
    assert person_from(said, VariableSource(), ORGANISATIONS).stable_id == ""
    assert person_from(said | {"subject-id": "%FF"}, VariableSource(), WITH_STABLE_IDS["subject-id"]).stable_id == ""


def test_earlier_eppns_count_where_the_scope_is_right_and_eppn_is_the_key(signed_in):
    prior = "Maija.V@yliopisto.example|maija@amk.example|x|@yliopisto.example|a@b@yliopisto.example"

    assert signed_in(MAIJA | {"eduPersonPrincipalNamePrior": prior}).prior_keys == {"maija.v@yliopisto.example"}
    at_polytechnic = {"Shib-Identity-Provider": POLYTECHNIC_IDP, "subject-id": "ab3@amk.example"}
    prior = "maija@amk.example"
    assert signed_in(at_polytechnic | {"eduPersonPrincipalNamePrior": prior}).prior_keys == frozenset()


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (("subject-id:a@x", ""), ("subject-id:a@x", ""), False),
        (("subject-id:a@x", ""), ("subject-id:b@x", ""), True),
        (("subject-id:a@x", ""), ("eduPersonUniqueId:a@x", ""), False),
        (("subject-id:a@x", ""), ("", ""), False),
        (("", ""), ("subject-id:a@x", ""), False),
        (("subject-id:a@x", "20040826"), ("subject-id:a@x", "20260101"), True),
        (("subject-id:a@x", "20040826"), ("subject-id:b@x", "20040826"), True),
        (("subject-id:a@x", "20040826"), ("", "20260101"), True),
        (("subject-id:a@x", "20040826"), ("subject-id:a@x", "soon"), False),
    ],
)
def test_holders_differ_by_stable_id_or_by_time_of_issue(one, other, differ):
    persons = [make_person(stable_id=each[0], account_issued_at=each[1]) for each in (one, other)]

    assert different_holders(*persons) is differ


@pytest.mark.parametrize(
    ("known", "issued", "stable_id", "differ"),
    [
        (("", "", "2023-07-30"), "20260101000000Z", "subject-id:new@x", True),
        (("", "", "2023-07-30"), "20230801", "", True),
        # The times may be of two time zones
        (("", "", "2023-07-30"), "20230731", "", False),
        (("", "", "2023-07-30"), "20200101", "", False),
        (("", "", "2023-07-30"), "", "subject-id:new@x", False),
        (("", "", "2023-07-30"), "soon", "", False),
        (("", "", ""), "20260101", "", False),
        (("", "subject-id:a@x", "2023-07-30"), "20260101", "subject-id:a@x", False),
        (("20260101", "", "2023-07-30"), "20260101", "", False),
    ],
)
def test_an_account_issued_after_the_attested_sign_in_has_another_holder(known, issued, stable_id, differ):
    person = make_person(stable_id=stable_id, account_issued_at=issued)

    assert different_holders(KnownHolder(*known), person) is differ
    assert different_holders(person, KnownHolder(*known)) is differ
