"""The files of a new service, as `orcid-connect init` writes them."""

from __future__ import annotations

from click.testing import CliRunner

from webapp.cli.main import main

OPTIONS = {
    "public_url": "https://orcid-connect.example.org",
    "contact": "orcid-help@example.org",
    "registry": "sandbox",
    "client_id": "APP-0A1B2C3D4E5F6G7H",
    "client_secret_file": "-",
    "front": "variables",
    "database": "sqlite",
}

NAMES = ("en=University of Example", "fi=Esimerkin yliopisto", "sv=Exempels universitet")


def arguments(directory, **options):
    """Return the arguments of `init`; an option that is None is left out."""
    words = ["init", str(directory)]
    for name, value in {**OPTIONS, **options}.items():
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    return words


def run_init(directory, **options):
    """Write the files of a new service; return the directory."""
    done = CliRunner().invoke(main, arguments(directory, **options), input="s" * 36, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return directory


def add_example(etc):
    """Add the organisation of the pages, example-org; return its file."""
    words = ["organisation", "add", "example-org", "--entity-id", "https://idp.example.org/idp/shibboleth"]
    words += ["--scope", "example.org", "--test-account", "test@example.org", "--idp-version", "none"]
    words += [word for each in NAMES for word in ("--name", each)]
    config = ["--config", str(etc / "orcid-connect.toml")]
    done = CliRunner().invoke(main, [*config, *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return etc / "organisations/example-org.toml"
