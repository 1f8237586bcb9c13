"""Fixtures of several contract tests."""

import pytest

from tests.support.configuration import write_configuration
from tests.support.idp.handout import LDAP, SCOPE, SOURCES, run
from tests.support.service import run_orcid_simulator


@pytest.fixture(scope="module")
def running_simulator():
    """Run ORCID's simulator for the tests of a file, and give it with a client."""
    with run_orcid_simulator() as (simulator, client):
        yield simulator, client


@pytest.fixture(scope="module")
def handout_directory(tmp_path_factory):
    """A directory for all of these tests."""
    return tmp_path_factory.mktemp("handout")


@pytest.fixture(scope="module")
def handout_configuration(handout_directory):
    return write_configuration(
        handout_directory / "etc",
        organisations={"yliopisto": {"transfer": [LDAP]}},
        secrets={"directory.password": "d" * 40},
    )


@pytest.fixture(scope="module")
def handout_files(handout_configuration, handout_directory):
    """Hand out as the operator does, and give each file's text by its path."""
    known = {}

    def hand(
        version="4", source="http", person=f"principal@{SCOPE}", release="asking", *more, path=handout_configuration
    ):
        source, *further = SOURCES[source]
        words = ("--version", version, "--source", source, "--person", person, "--release-to", release)
        words = (*words, *further, *more)
        if (path, words) not in known:
            directory = handout_directory / f"handed-{len(known)}"
            done = run(path, "idp", "yliopisto", *words, "--output", directory)
            assert done.exit_code == 0, done.output
            known[path, words] = {
                each.relative_to(directory).as_posix(): each.read_text("utf-8")
                for each in directory.rglob("*")
                if each.is_file()
            }
        return known[path, words]

    return hand
