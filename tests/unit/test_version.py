"""The version that runs, also where the program is not installed."""

import importlib
import importlib.metadata

import shibboleth.version


def test_sources_without_an_installation_have_no_version(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    with monkeypatch.context() as uninstalled:
        uninstalled.setattr(importlib.metadata, "version", missing)
        found = importlib.reload(shibboleth.version).VERSION
    importlib.reload(shibboleth.version)

    assert found == "unknown"
    assert importlib.metadata.version("orcid-connect") == shibboleth.version.VERSION
