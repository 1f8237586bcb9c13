"""Nothing that an Identity Provider's files name, and that is missing over there, keeps its resolver from loading.

Every name in every handout is found here by its form. What cannot be made harmless is named by README.txt.
"""

from __future__ import annotations

import re
from itertools import product

import pytest
from defusedxml.ElementTree import fromstring

from shibboleth.handout.idp import SourceKind, Version
from tests.support.configuration import write_configuration
from tests.support.idp import engines
from tests.support.idp.handout import LDAP, PERSONS, RESOLVER_FILE, SOURCES, hand_out

BEANS_FILE = "conf/orcid-connect/beans.xml"
CREDENTIALS = "credentials/orcid-connect.properties"
AUTHORITY = "/etc/ssl/our ca.pem"
OF_IDP = {
    Version.V3_4: {"shibboleth.SecurityEnhancedTLSSocketFactory"},
    Version.V4: {"shibboleth.SecurityEnhancedTLSSocketFactory", "shibboleth.HttpClientFactory"},
    Version.V5: {"shibboleth.SecurityEnhancedTLSSocketFactory", "shibboleth.HttpClientFactory"},
}
"""The beans of each version's own that ours may name, as its sources have them."""
FACTORY = "net.shibboleth.idp.profile.spring.relyingparty.metadata.HttpClientFactoryBean"
CLASSES = {
    "org.springframework.beans.factory.config.MapFactoryBean": set(Version),
    "org.apache.commons.dbcp2.BasicDataSource": set(Version),
    FACTORY: {Version.V3_4},
}
"""The classes that ours may name, and the versions that have them."""
OLD_FACTORY = {
    *("connectionTimeout", "connectionRequestTimeout", "socketTimeout", "maxConnectionsTotal"),
    *("maxConnectionsPerRoute", "tLSSocketFactory", "disableContentCompression"),
}
"""What version 3.4 lets be set of an HTTP client (spring-extensions 5.4); from version 4 on more."""
NEW_FACTORY = OLD_FACTORY | {"connectionCloseAfterResponse", "httpFollowRedirects"}
DEFAULTS = {"orcidconnect.credential": "none", "orcidconnect.jdbcPassword": ""}
"""The value that each property of ours falls back to."""


@pytest.fixture(scope="module")
def handout_configuration(handout_directory):
    return write_configuration(
        handout_directory / "etc",
        organisations={"yliopisto": {"transfer": [{**LDAP, "ca_file": "/etc/ca.pem"}]}},
        secrets={"directory.password": "d" * 40},
    )


@pytest.fixture(scope="module")
def all_files(handout_files):
    """Every handout that there can be, by version, source, person and authority."""
    ways = product(Version, SOURCES, PERSONS, (None, AUTHORITY))
    return {way: handout_files(*way[:3], "asking", *(["--ca", way[3]] if way[3] else [])) for way in ways}


def xml_of(files):
    """Give the XML files of a handout without their comments."""
    return {path: re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL) for path, text in files.items() if ".xml" in path}


def test_every_property_has_a_value_to_fall_back_to(all_files):
    found = set()
    for way, files in all_files.items():
        for path, text in xml_of(files).items():
            bare = re.findall(r"%\{([^{}:]+)\}", text)
            assert set(bare) <= {"idp.home"}, (way, path)
            found |= {each for each in engines.settings(text).items() if each[0].startswith("orcidconnect.")}

    # What is text alone: no value of it, nor an empty one, is anything that is parsed
    assert dict(found) == DEFAULTS
    assert len(found) == len(DEFAULTS)


def test_a_file_that_is_named_has_one_to_fall_back_to(all_files):
    file = r"new java\.io\.File\('%s'\)"
    has_certificate = (
        rf"new java\.util\.Scanner\({file}\)\.findWithinHorizon\('-----BEGIN CERTIFICATE', 65536\) != null"
    )
    checks = rf"{file}\.isFile\(\) and {file}\.canRead\(\) and {has_certificate}" % ("([^']+)", r"\1", r"\1")
    guarded = rf"#\{{{checks} \? '\1' : '([^']+)'\}}"
    spare = "%{idp.signing.cert:%{idp.home}/credentials/idp-signing.crt}"
    for way, files in all_files.items():
        text = "".join(xml_of(files).values())
        named = re.findall(guarded, text)
        rest = re.sub(guarded, "", text)
        assert {fallback for _path, fallback in named} <= {spare}, way
        assert not re.findall(r"%\{idp\.home\}[^\"<]*", rest), way
        # Addresses of schemas are known to the Identity Provider, and JDBC opens what its URL names when it is asked
        rest = re.sub(r'(schemaLocation|p:url)="[^"]*"', "", rest)
        assert not re.findall(r"[\"'>](/[\w. -]+){2,}[\"'<]|\bfile:|classpath:|<ScriptFile|<import", rest), way
        assert bool(named) is (way[1] in {"http", "ldap"} and (way[1] == "ldap" or way[3] is not None)), way


def test_every_bean_that_is_named_is_there_in_that_version(all_files):
    for way, files in all_files.items():
        text = "".join(xml_of(files).values())
        named = set(re.findall(r'\b(?:parent|[\w:]*Ref|[\w:-]*-ref)="([^"]*)"', text))
        named |= set(re.findall(r"<BeanManagedConnection>(.*?)</", text)) | set(re.findall(r'bean="([^"]*)"', text))
        ours = set(re.findall(r'<bean id="([^"]*)"', text))
        assert named <= ours | OF_IDP[way[0]], way
        assert set(re.findall(r'class="([^"]*)"', text)) <= {
            name for name, versions in CLASSES.items() if way[0] in versions
        }, way


def test_a_client_sets_only_what_its_version_lets_be_set(all_files):
    for way, files in all_files.items():
        found = re.search(r'<bean id="orcid-connect\.HttpClient"[^>]*>', files.get(BEANS_FILE, ""))
        settings = set(re.findall(r"p:(\w+?)(?:-ref)?=", found[0])) if found else set()
        assert settings <= (OLD_FACTORY if way[0] == Version.V3_4 else NEW_FACTORY), way


def test_what_the_readme_names_is_handed_out_and_what_cannot_be_missing_is_said(all_files):
    for (version, source, person, _authority), files in all_files.items():
        page = files["README.txt"]
        named = re.findall(r"^ {8}(?:<value>%\{idp\.home\})?/([^<\n]+)", page, re.MULTILINE)
        assert set(named) == {path for path in files if path.startswith(("conf/", CREDENTIALS))}
        resolver = fromstring(files[RESOLVER_FILE])
        inputs = [each for each in resolver.iter() if each.tag.rpartition("}")[2].startswith("Input")]
        others = {each.get("ref") for each in inputs} - {"orcidConnect"}
        assert bool(others) is person.startswith("attribute:")
        for other in others:
            assert f'.*"{other}"\' $IDP_HOME/conf/attribute-resolver*.xml' in page
            assert "WHOLE resolver does not load" in re.sub(r"\s+", " ", page)
        script = "<Script>" in files[RESOLVER_FILE]
        assert script is (source == SourceKind.HTTP)
        assert ("WHOLE attribute resolver does not load" in re.sub(r"\s+", " ", page)) is script, version


def with_certificate(directory):
    (path := directory / "there.pem").write_text("Subject: CN=CA\n-----BEGIN CERTIFICATE-----\nMIIB\n")
    return path


SPARE = "/opt/shibboleth-idp/credentials/idp-signing.crt"


@pytest.fixture
def handed_out(tmp_path):
    """Hand out for a version and a source; give the text of the beans, and the values that Spring evaluates."""
    path = write_configuration(
        tmp_path / "etc",
        organisations={"yliopisto": {"transfer": [LDAP]}},
        secrets={"directory.password": "d" * 40},
    )

    def hand(version, source, authority):
        directory = tmp_path / f"{version}-{source}-{authority.name}"
        source, *further = SOURCES[source]
        files = hand_out(path, directory, "--version", version, "--source", source, *further, "--ca", authority)
        return files.get(BEANS_FILE, ""), re.findall(r'="(#\{.*?\'\})"', files[RESOLVER_FILE])

    return hand


@pytest.mark.parametrize("version", Version)
def test_without_the_credential_and_the_authority_all_beans_are_made(tmp_path, handed_out, version):
    there = with_certificate(tmp_path)
    ran = []
    for authority, properties in ((tmp_path / "missing.pem", None), (there, dict.fromkeys(DEFAULTS, ""))):
        beans, values = handed_out(version, "http", authority)
        asked = {"version": version, "properties": properties, "headers": True, "client": True}
        ran.append(engines.run(beans=beans, values=values, **asked))

    # A header without a value would keep the resolver from loading
    assert [each.headers["Authorization"] for each in ran] == ["Bearer none", "Bearer"]
    assert all(each.client["class"].endswith(".HttpClientFactoryBean") for each in ran)
    assert [each.evaluated for each in ran] == [[SPARE], [str(there)]]


@pytest.mark.parametrize("source", ["http", "ldap"])
def test_what_is_no_certificate_falls_back_to_another_file(tmp_path, handed_out, source):
    (directory := tmp_path / "directory.pem").mkdir()
    (empty := tmp_path / "empty.pem").touch()
    (page := tmp_path / "page.pem").write_text("<html>404 Not Found</html>")
    there = with_certificate(tmp_path)
    files = (tmp_path / "missing.pem", directory, empty, page, there)
    values = [value for version in Version for file in files for value in handed_out(version, source, file)[1]]

    ran = engines.run(values=values)

    assert ran.evaluated == [*[SPARE] * (len(files) - 1), str(there)] * len(Version)


def test_without_the_authority_the_data_source_is_made(tmp_path, handed_out):
    handouts = {handed_out(version, "postgresql", tmp_path / "missing.pem")[0] for version in Version}

    for beans in handouts:
        ran = engines.run(beans=beans, queries=["select 1"])

        # Asking it is a failure of this connector alone
        assert ["error" in each for each in ran.queried] == [True]


def test_without_its_driver_the_data_source_is_made_all_the_same(tmp_path):
    words = ("--version", "4", "--source", "sql", "--database", "/srv/replica.db")
    files = hand_out(write_configuration(tmp_path / "etc"), tmp_path / "out", *words)
    beans = files[BEANS_FILE].replace("org.sqlite.JDBC", "org.example.NoDriver")

    (found,) = engines.run(beans=beans, queries=["select 1"]).queried

    assert "org.example.NoDriver" in found["error"]
