import pytest

from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry, check_digit

BARE = "0000-0002-1825-0097"


@pytest.mark.parametrize(
    "text",
    [
        "https://orcid.org/0000-0002-1825-0097",
        "http://orcid.org/0000-0002-1825-0097",
        "https://www.orcid.org/0000-0002-1825-0097/",
        "HTTPS://ORCID.ORG/0000-0002-1825-0097",
        "orcid.org/0000-0002-1825-0097",
        " https://orcid.org/0000-0002-1825-0097\n",
        "https://orcid.org/0000000218250097",
    ],
)
def test_every_published_form_of_a_uri_is_read(text):
    assert OrcidId.parse(text) == OrcidId(BARE, Registry.PRODUCTION)


@pytest.mark.parametrize("text", [BARE, "0000000218250097"])
def test_a_bare_id_is_of_the_registry_that_is_said(text):
    assert OrcidId.parse(text, bare_means=Registry.SANDBOX) == OrcidId(BARE, Registry.SANDBOX)


def test_a_bare_id_alone_does_not_say_which_registry_issued_it():
    with pytest.raises(InvalidOrcidId, match="which registry"):
        OrcidId.parse(BARE)


def test_the_host_tells_the_registries_apart():
    real = OrcidId.parse(f"https://orcid.org/{BARE}")
    made_up = OrcidId.parse(f"https://sandbox.orcid.org/{BARE}", bare_means=Registry.PRODUCTION)

    assert (real.registry, made_up.registry) == (Registry.PRODUCTION, Registry.SANDBOX)
    assert real != made_up
    assert made_up.uri == f"https://sandbox.orcid.org/{BARE}"


def test_two_spellings_of_one_id_are_equal():
    assert OrcidId.parse("http://orcid.org/0000-0002-1694-233x") == OrcidId.parse(
        "0000000216942330X"[:15] + "X", bare_means=Registry.PRODUCTION
    )


def test_the_check_digit_may_be_x():
    assert OrcidId.parse("https://orcid.org/0000-0002-1694-233X").bare.endswith("X")
    assert check_digit("000000021694233") == "X"


@pytest.mark.parametrize("bare", ["0000-0001-5000-0007", "0000-0003-5000-0001", "0009-0010-0000-0003"])
def test_the_ends_of_orcids_blocks_are_read(bare):
    assert str(OrcidId.parse(bare, bare_means=Registry.PRODUCTION)) == f"https://orcid.org/{bare}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://orcid.org/0000-0002-1825-0098", "check character"),
        ("https://orcid.example/0000-0002-1825-0097", "host"),
        ("https://evil.org/orcid.org/0000-0002-1825-0097", "which registry"),
        ("https://sandbox.orcid.org.evil.org/0000-0002-1825-0097", "host"),
        ("https://orcid.org/0000-0002-1825-009", "sixteen"),
        ("https://orcid.org/X000-0002-1825-0097", "sixteen"),
        ("https://orcid.org/٠٠٠٠-0002-1825-0097", "sixteen"),
        ("https://orcid.org/", "which registry"),
        ("", "which registry"),
        ("null", "which registry"),
    ],
)
def test_what_is_no_orcid_id_is_refused_with_its_reason(text, reason):
    with pytest.raises(InvalidOrcidId, match=reason):
        OrcidId.parse(text)


@pytest.mark.parametrize("bare", ["0000000218250097", "0000-0002-1825-0098", "0000-0002-1694-233x", f"{BARE}\n"])
def test_an_id_cannot_be_made_past_the_parser(bare):
    with pytest.raises(InvalidOrcidId):
        OrcidId(bare, Registry.PRODUCTION)


def test_a_long_text_is_not_repeated_whole():
    with pytest.raises(InvalidOrcidId) as refused:
        OrcidId.parse("x" * 10_000)

    assert len(str(refused.value)) < 200
