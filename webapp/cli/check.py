"""`orcid-connect check`: check the configuration and the installation."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from webapp.checks.result import CheckResult, Level
from webapp.cli.context import find_organisation, load_config, open_store, utc_now
from webapp.cli.errors import EXIT_CONFIGURATION, EXIT_FAILURE, format_problems
from webapp.cli.options import json_option
from webapp.cli.output import pluralize, print_json
from webapp.config.errors import Misconfigured, SettingProblem
from webapp.config.loader import Config

_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@click.command()
@click.option("--configuration", "only_files", is_flag=True, help="Check the files alone; open no database.")
@click.option("--running", is_flag=True, help="Also check that the running processes have loaded these files.")
@click.option("--orcid", is_flag=True, help="Also check that ORCID can be reached and accepts the clients.")
@click.option(
    "--organisation",
    "name",
    metavar="ORGANISATION",
    help="Check the whole way of one organisation's iDs alone, from its metadata to the release.",
)
@click.option(
    "--metadata",
    "place",
    metavar="SOURCE",
    help="With --organisation: the federation's signed metadata, a file or an https address.",
)
@click.option(
    "--last-hash",
    "known_hashes",
    metavar="ORGANISATION=HASH",
    multiple=True,
    help="Also check that the audit log still has the event with this hash, which you have kept; may be repeated.",
)
@json_option
@click.pass_obj
def check(  # noqa: PLR0913 - one argument for each option
    path: Path,
    *,
    only_files: bool,
    running: bool,
    orcid: bool,
    name: str | None,
    place: str | None,
    known_hashes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check the configuration, the database and the audit log.

    Show how to fix what is wrong.

    Exit code 2 if the configuration or the file of an organisation is invalid, 1 if another check failed. Nothing is
    changed.
    """
    try:
        config = load_config(path)
        hashes = _parse_hashes(config, known_hashes)
        results = _run(config, hashes, only_files=only_files) if name is None else _check_chain(config, name, place)
    except Misconfigured as error:
        if as_json:
            print_json({"ok": False, "configuration_errors": _as_json(error.problems), "results": []})
        else:
            click.echo(format_problems(error.problems))
        sys.exit(EXIT_CONFIGURATION)
    if running:
        # The connector's command does not load the pages
        from webapp.checks.configuration import check_running  # noqa: PLC0415

        results += check_running(config)
    if orcid:
        from webapp.checks.orcid import check_clients, check_orcid, check_public_api  # noqa: PLC0415

        results += [check_orcid(config), check_public_api(config, utc_now()), *check_clients(config, utc_now())]
    misconfigured = [problem for one in config.misconfigured.values() for problem in one.problems if name is None]
    _print(results, misconfigured, as_json=as_json)
    failed = any(one.level is Level.ERROR for one in results)
    sys.exit(EXIT_CONFIGURATION if misconfigured else EXIT_FAILURE if failed else 0)


def _run(config: Config, hashes: Mapping[str, Sequence[str]], *, only_files: bool) -> list[CheckResult]:
    from webapp.checks.configuration import check_configuration  # noqa: PLC0415 - as above
    from webapp.checks.run import run_checks  # noqa: PLC0415

    if only_files:
        return list(check_configuration(config))
    with open_store(config, check_schema=False) as store:
        return list(run_checks(config, store, utc_now(), hashes))


def _print(results: Sequence[CheckResult], misconfigured: Sequence[SettingProblem], *, as_json: bool) -> None:
    errors = sum(one.level is Level.ERROR for one in results)
    if as_json:
        listed = [
            {"level": one.level, "subject": one.subject, "text": one.text, "fix": one.fix, "details": dict(one.details)}
            for one in results
        ]
        print_json({"ok": not errors, "configuration_errors": _as_json(misconfigured), "results": listed})
        return
    for one in results:
        click.echo(f"{one.level:<8} {one.subject:<14} {one.text}")
        if one.fix:
            click.echo(f"{'':<8} {'':<14} → {one.fix}")
    warnings = sum(one.level is Level.WARNING for one in results)
    summary = f"{pluralize(errors, 'check', 'checks')} failed" if errors else "All checks passed"
    if warnings:
        summary += f", with {pluralize(warnings, 'warning', 'warnings')}"
    click.echo(f"\n{summary}.")


def _check_chain(config: Config, name: str, place: str | None) -> list[CheckResult]:
    from webapp.checks.chain import check_chain  # noqa: PLC0415 - as above
    from webapp.cli.organisation.source import read_certificate, read_source  # noqa: PLC0415

    organisation = find_organisation(config, name)
    metadata, certificate = None, Path(config.service_provider.metadata_certificate)
    if place is None and certificate.exists() and config.authority.metadata is not None:
        place = str(config.authority.metadata)
    if place is not None:
        metadata = read_source(place), read_certificate(certificate)
    with open_store(config, check_schema=False) as store:
        settings = config.organisation_settings[organisation.id]
        return list(check_chain(config, settings, store, metadata, utc_now()))


def _as_json(problems: Iterable[SettingProblem]) -> list[dict[str, str]]:
    return [{"file": each.file, "key": each.key, "text": each.text, "fix": each.fix} for each in problems]


def _parse_hashes(config: Config, options: Sequence[str]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for option in options:
        name, _, kept = option.strip().rpartition("=")
        if not name or not _HASH.fullmatch(kept.lower()):
            raise click.BadParameter("must be ORGANISATION=HASH, with the 64 hexadecimal digits that check prints.")
        found.setdefault(find_organisation(config, name).id, []).append(kept.lower())
    return found
