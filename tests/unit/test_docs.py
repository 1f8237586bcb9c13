"""The reference pages say what the program knows, and no more."""

import re
from pathlib import Path

import click
import pytest

from tests.configuration import write, write_secret
from webapp.cli import main
from webapp.config import OrganisationFile, ServiceFile, load, settings
from webapp.config_errors import toml

DOCS = Path(__file__).parents[2] / "docs"
FILES = {
    "## The file of the service": settings(ServiceFile),
    "## The file of an organisation": settings(OrganisationFile),
}


def page(name):
    """Read a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def part(text, heading):
    """Give what stands under a heading, up to the next one of its level or above."""
    level = len(heading.partition(" ")[0])
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no heading: {heading}"
    return found[1]


def rows(text):
    """Give the rows of the tables in a text that are about something in code."""
    return [row for row in text.splitlines() if row.startswith("| `")]


def default_of(setting):
    """Say what holds when a setting is not written."""
    if setting.required:
        return "required"
    if setting.shown:
        return setting.shown
    return f"`{toml(setting.default)}`" if setting.default not in {None, ()} else "none"


def setting_row(setting):
    """Give the row of a setting."""
    kind = setting.kind.replace("|", r"\|")
    return f"| `{setting.name}` | {kind} | {default_of(setting)} | `{setting.line}` | {setting.meaning} |"


def tables():
    """Give every table of settings: the heading it stands under, and its rows."""
    for file, whole in FILES.items():
        sections = {f"### [{one.key}]": list(one.walk()) for one in whole.settings.values() if one.section}
        plain = [one for one in whole.settings.values() if not one.section]
        for heading, known in (({"### At the top": plain} if plain else {}) | sections).items():
            yield file, heading, known


@pytest.mark.parametrize(
    ("file", "heading", "known"), [pytest.param(*row, id=f"{row[0]} {row[1]}".replace("#", "")) for row in tables()]
)
def test_every_setting_is_documented(file, heading, known):
    under = part(part(page("settings.md"), file), heading)

    assert rows(under) == [setting_row(setting) for setting in known]


def test_the_settings_page_shows_files_that_work(tmp_path):
    blocks = re.findall(r"in `(\S+)`:\n\n```toml\n(.*?)^```", page("settings.md"), re.MULTILINE | re.DOTALL)
    for name, content in blocks:
        write(tmp_path / name, content)
        for secret in re.findall(r'"file:([^"]+)"', content):
            write_secret(tmp_path / secret, secret + "x" * 32)

    config = load(tmp_path / "orcid-connect.toml", {})

    assert len(config.organisations) == len(blocks) - 1


def commands(command=main, name="orcid-connect"):
    """Give every command that does something, by its full name."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for word, inner in sorted(command.commands.items()):
        yield from commands(inner, f"{name} {word}")


def option_rows(command):
    """Give the rows of a command's options."""
    for option in command.params:
        if isinstance(option, click.Option):
            value = "" if option.is_flag else f" {option.make_metavar(click.Context(command))}"
            yield f"| `{option.opts[0]}{value}` | {option.help} |"


@pytest.mark.parametrize(("name", "command"), [pytest.param(*pair, id=pair[0]) for pair in commands()])
def test_every_command_is_documented(name, command):
    arguments = [one.make_metavar(click.Context(command)) for one in command.params if isinstance(one, click.Argument)]

    under = part(page("commands.md"), f"## {' '.join([name, *arguments])}")

    assert command.help.partition("\n")[0] in under
    assert rows(under) == list(option_rows(command))


def test_no_command_is_documented_that_is_not_there():
    headings = re.findall(r"^## (orcid-connect [a-z ]*[a-z])", page("commands.md"), re.MULTILINE)

    assert sorted(headings) == sorted(name for name, _ in commands())


def test_the_options_of_all_commands_are_documented():
    under = part(page("commands.md"), "## For every command")

    assert rows(under) == list(option_rows(main))
