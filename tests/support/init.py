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
