"""The reference pages say what the program knows, and no more."""

import configparser
import re
import shlex
from base64 import b64encode
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from resolver_connector.transfers import TRANSFERS
from shibboleth.handout.machine import FILES as FILES_OF_THE_MACHINE
from shibboleth.handout.render import apply_conditions
from shibboleth.handout.sp import FEDERATIONS
from shibboleth.handout.sp import FILES as SP_FILES
from tests.support import catalogues as sentences
from tests.support import docs
from tests.support.configuration import write, write_configuration, write_secret
from tests.support.init import add_example, run_init
from webapp.cli.main import main
from webapp.config.base import describe_settings
from webapp.config.errors import to_toml
from webapp.config.loader import load
from webapp.config.organisation import OrganisationFile
from webapp.config.service import ServiceFile
from webapp.config.texts import LANGUAGES, AccessibilitySettings
from webapp.config.transfers import describe_kind
from webapp.pages.data_inventory import KEEP_CHANGES, SECTIONS
from webapp.pages.operator_texts import ACCESSIBILITY, PRIVACY
from webapp.pages.problems import PROBLEMS
from webapp.routes import ROUTES
from webapp.wiring.pages import operator_texts_of

DOCS = Path(__file__).parents[2] / "docs"
FILES = {
    "## The file of the service": describe_settings(ServiceFile),
    "## The file of an organisation": describe_settings(OrganisationFile),
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
    if setting.default_text:
        return setting.default_text
    return "none" if setting.default is None or setting.default == () else f"`{to_toml(setting.default)}`"


def setting_row(setting):
    """Give the row of a setting."""
    kind = setting.expected.replace("|", r"\|")
    return f"| `{setting.name}` | {kind} | {default_of(setting)} | `{setting.example_line}` | {setting.description} |"


def in_one_language(section):
    """Give a section; of one that is written in each language, what stands in English."""
    inner = section.settings.get("en")
    return inner if inner is not None and inner.section else section


def section_tables(section, level):
    """Give the table of a section, and after it those of the sections in it."""
    section = in_one_language(section)
    if section.section:
        yield f"{level} {section.example_line}", [one for one in section.settings.values() if not one.section]
        for one in section.settings.values():
            yield from section_tables(one, f"{level}#")


def tables():
    """Give every table of settings: the heading it stands under, and its rows."""
    for file, whole in FILES.items():
        sections = {heading: known for one in whole.settings.values() for heading, known in section_tables(one, "###")}
        plain = [one for one in whole.settings.values() if not one.section]
        for heading, known in (({"### At the top": plain} if plain else {}) | sections).items():
            yield file, heading, known
    for name, kind in TRANSFERS.items():
        yield list(FILES)[1], f'#### kind = "{name}"', list(describe_kind(kind).walk())


@pytest.mark.parametrize(
    ("file", "heading", "known"), [pytest.param(*row, id=f"{row[0]} {row[1]}".replace("#", "")) for row in tables()]
)
def test_every_setting_is_documented(file, heading, known):
    under = part(part(page("settings.md"), file), heading).partition("\n#")[0]

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
    headings = re.findall(r"^## (orcid-connect [a-z -]*[a-z])", page("commands.md"), re.MULTILINE)

    assert sorted(headings) == sorted(name for name, _ in commands())


def test_the_options_of_all_commands_are_documented():
    under = part(page("commands.md"), "## For every command")

    assert rows(under) == list(option_rows(main))


def test_the_researchers_page_calls_things_as_the_pages_do():
    named = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", page("researcher.md"))

    # What ORCID's own page says is not ours
    assert set(named) - {"Deny"} <= sentences.in_sources()


# --- The operator's page, and what it installs ---------------------------------------------------------------------

OPERATOR = docs.DOCS / "operator"
MACHINE = docs.ROOT / "shibboleth/handout/templates/machine"
TEMPLATES = {
    path.name: path.read_text("utf-8") for path in sorted((docs.ROOT / "shibboleth/handout/templates/sp").iterdir())
}
VENV = "/opt/orcid-connect/venv"
RUN = "/run/orcid-connect"
"""Where the program and its sockets are, by the operator's page."""


def test_every_word_of_the_log_is_explained():
    explained = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", page("problems.md"), re.MULTILINE)

    assert sorted(explained) == sorted((row.code, str(row.status)) for row in PROBLEMS.values())


def test_every_thing_that_is_stored_of_a_person_is_on_the_page_about_privacy():
    told = part(page("privacy.md"), "## The person's own file")
    stored = part(page("privacy.md"), "## What is stored, and for how long")

    fields = [f"| `{each.name}.{one.name}` | {one.label} | {one.source} |" for each in SECTIONS for one in each.fields]
    assert [row for row in rows(told) if "." in row.split("`")[1]] == fields
    for each in SECTIONS[1:]:
        under = part(stored, f"### {each.title}")
        assert each.purpose in under
        assert each.retention.replace("%(changes)s", str(KEEP_CHANGES)) in under
        assert each.retention_if_not_kept in under


@pytest.mark.parametrize("path", docs.pages(), ids=lambda path: path.relative_to(docs.ROOT).as_posix())
def test_every_link_leads_somewhere(path):
    targets = re.findall(r"\]\(([^)\s]+)\)", docs.prose(path.read_text("utf-8")))
    for place, _, anchor in (target.partition("#") for target in targets if "://" not in target):
        found = path.parent / place if place else path
        assert found.exists(), place
        assert not anchor or anchor in docs.anchors(found.read_text("utf-8")), f"{place}#{anchor}"


def test_no_page_names_the_files_of_one_version():
    named = [each for path in docs.pages() for each in re.findall(r"orcid[_-]connect-\d\S*", path.read_text("utf-8"))]

    assert named == []


def test_the_page_names_the_places_that_are_filled_in():
    assert f"| `{VENV}` |" in docs.OPERATOR_PAGES
    assert f" {RUN}\n" in docs.OPERATOR_PAGES


def test_every_file_that_init_writes_is_installed_or_named_by_the_page():
    commands = "\n".join(docs.blocks(docs.OPERATOR_PAGES))

    assert "cp -r --preserve=mode --backup --suffix=.before /root/orcid-connect/etc /" in commands.splitlines()
    others = [each.path for each in (*SP_FILES, *FILES_OF_THE_MACHINE) if not each.path.startswith("etc/")]
    assert len(others) > 4
    assert [each for each in others if each not in docs.OPERATOR_PAGES] == []


@pytest.mark.parametrize("name", ["apache-mod_wsgi.conf", "apache-proxy.conf", "apache-connector.conf"])
def test_the_page_enables_the_modules_that_apaches_file_asks_for(name):
    enabling = [each for each in docs.blocks(docs.OPERATOR_PAGES) if "a2ensite orcid-connect" in each]
    (asked,) = re.findall(r"^# Modules: (a2enmod .*)$", TEMPLATES[name], re.MULTILINE)

    assert [asked in block.splitlines() for block in enabling].count(True) == 1


def test_the_federations_addresses_on_the_page_are_those_that_are_filled_in():
    under = part(page("operator/install.md"), "### Where the values come from")

    for row, of in (("metadata", "metadata"), ("discovery service", "discovery")):
        addresses = (f"`{getattr(FEDERATIONS[each], of)}`" for each in ("haka-test", "haka"))
        assert f"| {row} | {' | '.join(addresses)} |" in under


def example(tmp_path, **options):
    """Install a configuration that `init` writes, with the example of an organisation; return the service's file."""
    etc = run_init(tmp_path / "machine", **options) / "etc/orcid-connect"
    add_example(etc)
    return etc / "orcid-connect.toml"


def test_the_example_configuration_works(tmp_path):
    config = load(example(tmp_path, front="proxy"), {})

    assert [each.id for each in config.organisations] == ["example-org"]
    assert config.service.public_url in docs.OPERATOR_PAGES
    assert {config.listen.address, config.connector.address} == {
        f"{RUN}/web.sock",
        f"{RUN}/connector.sock",
    }


def test_the_operators_page_shows_an_accessibility_statement_that_lacks_nothing(tmp_path):
    under = part(docs.OPERATOR_PAGES, "## What the law asks about accessibility")
    (shown,) = re.findall(r"^```toml\n(.*?)^```", under, re.MULTILINE | re.DOTALL)
    file = example(tmp_path)
    write(file, f"{file.read_text('utf-8')}\n{shown}")

    notices = operator_texts_of(load(file, {}))

    assert {name for _, names in notices.missing_texts(LANGUAGES) for name in names} == set(PRIVACY)
    assert (notices.statement.status, notices.statement.assessed) == ("partially", date(2026, 11, 25))
    asked = [each.key for each in describe_settings(AccessibilitySettings).settings.values()]
    assert [each for each in (*ACCESSIBILITY, *asked) if f"`{each}`" not in under] == []


@pytest.mark.parametrize(("name", "migrated"), [("commands.md", False), ("operator/install.md", True)])
def test_check_on_a_fresh_installation_looks_as_the_page_shows(tmp_path, name, migrated):
    file = example(tmp_path, database=f"sqlite://{tmp_path}/links.db")
    command = ["--config", str(file)]
    if migrated:
        CliRunner().invoke(main, [*command, "migrate"], catch_exceptions=False)

    printed = CliRunner().invoke(main, [*command, "check"], catch_exceptions=False).output

    (shown,) = re.findall(
        r"^```\n\$ (?:runuser [^\n]*-- )?orcid-connect check\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL
    )
    printed = printed.replace(f"{tmp_path}/links.db", "/var/lib/orcid-connect/links.db")
    assert printed.replace(str(file.parent), "/etc/orcid-connect") == shown


def unit(path):
    """Read a unit file of systemd."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(apply_conditions(path.read_text("utf-8"), {"postgresql"}).replace("@VENV@", VENV))
    return parser


@pytest.mark.parametrize("path", sorted(MACHINE.glob("*.service")), ids=lambda path: path.name)
def test_every_unit_starts_a_command_that_exists(path):
    service = unit(path)["Service"]

    program, command, *arguments = service["ExecStart"].split()

    assert program == f"{VENV}/bin/orcid-connect"
    main.commands[command].make_context(command, arguments)


@pytest.mark.parametrize("path", sorted(MACHINE.glob("*.timer")), ids=lambda path: path.name)
def test_every_timer_has_its_unit(path):
    assert path.with_suffix(".service").exists()
    assert unit(path)["Install"]["WantedBy"] == "timers.target"


@pytest.mark.parametrize("path", sorted(MACHINE.glob("*.socket")), ids=lambda path: path.name)
def test_every_socket_is_where_its_server_listens_and_apache_may_connect(path):
    section = unit(path)["Socket"]
    service = unit(path.with_suffix(".service"))
    made = re.findall(r"^d (\S+)\s+\d+ (\S+)\s+(\S+)", (MACHINE / "tmpfiles.conf").read_text("utf-8"), re.MULTILINE)

    assert f'unix = "{section["ListenStream"]}"' in (MACHINE / "orcid-connect.toml").read_text("utf-8")
    assert section["SocketUser"] == service["Service"]["User"]
    assert (str(Path(section["ListenStream"]).parent), section["SocketUser"], section["SocketGroup"]) in made
    assert section["SocketMode"] == "0660"
    assert path.name in service["Unit"]["After"].split()


@pytest.mark.parametrize("path", sorted(MACHINE.glob("*.service")), ids=lambda path: path.name)
def test_every_unit_runs_as_the_service_and_writes_where_it_may(path):
    service = unit(path)["Service"]
    made = re.findall(r"^d (\S+)\s+\d+ (\S+)", (MACHINE / "tmpfiles.conf").read_text("utf-8"), re.MULTILINE)

    assert f"u {service['User']} " in (MACHINE / "sysusers.conf").read_text("utf-8")
    assert {(place, service["User"]) for place in service["ReadWritePaths"].split()} <= set(made)


COMMAND = re.compile(
    r"""(?:^|\s--\ |\$\ |\$\(|/bin/) orcid-connect \s+ (?P<words> [a-z-] (?: "[^"]*" | '[^']*' | [^|<>;&()"'] )*)""",
    re.VERBOSE,
)


def command_lines():
    """Give each `orcid-connect …` on the pages: the words after it, and whether it is whole."""
    for path in docs.pages():
        text = path.read_text("utf-8")
        in_blocks = "\n".join(docs.blocks(text)).replace("\\\n", " ").replace("2>", ">").splitlines()
        in_lines = re.findall(r"`([^`\n]+)`", docs.prose(text))
        for line, whole in {**dict.fromkeys(in_lines, False), **dict.fromkeys(in_blocks, True)}.items():
            if found := COMMAND.search(line):
                yield pytest.param(shlex.split(found["words"]), whole, id=f"{path.name}: {found['words'].strip()}")


def options_of(command):
    """Name a command's options."""
    return {name for each in command.params if isinstance(each, click.Option) for name in each.opts}


def meant(words, command=main):
    """Give the command that words begin with, and the words after it."""
    while words and words[0] in options_of(command):
        words = words[2:] if words[0] == "--config" else words[1:]
    if not words or not isinstance(command, click.Group):
        return command, words
    return meant(words[1:], command.commands[words[0]])


@pytest.mark.parametrize(("words", "whole"), [*command_lines()])
def test_every_command_line_on_the_pages_is_one(words, whole):
    command, rest = meant(words)

    options = rest[: rest.index("--")] if "--" in rest else rest
    assert {word for word in options if word.startswith("-")} <= options_of(command)
    if whole and not isinstance(command, click.Group):
        command.make_context(command.name, [*words[words.index(command.name) + 1 :]])


TRANSFER_BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in sorted(DOCS.glob("idm-owner*.md"))
    for number, block in enumerate(docs.blocks(path.read_text("utf-8"), "toml"))
    if "[[transfer]]" in block
]


@pytest.mark.parametrize("block", TRANSFER_BLOCKS)
def test_a_transfer_of_a_page_can_be_pasted_into_an_organisations_file(tmp_path, block):
    path = write_configuration(tmp_path)
    organisation = tmp_path / "organisations" / "yliopisto.toml"
    secrets = re.findall(r'"file:secrets/([^"]+)"', block)
    assert secrets == re.findall(r'"file:([^"]+)"', block.replace("file:secrets/", "file:"))
    for name in secrets:
        secret = "whsec_" + b64encode(b"s" * 32).decode() if name.endswith(".whsec") else "p" * 32
        write_secret(tmp_path / "secrets" / name, secret)
    write(organisation, organisation.read_text("utf-8") + "\n" + block)

    (settings,) = load(path, {}).organisation_settings.values()

    assert settings.transfers


def test_connecting_an_organisation_ends_with_its_own_token():
    made, asked = docs.blocks(docs.under(docs.OPERATOR_PAGES, "Connect an organisation"), "sh")

    (name,) = re.findall(r"organisation add (\S+)", made)
    assert f"secrets/{name}-idp | curl" in asked


def test_no_command_of_the_operators_page_has_a_secret_in_its_arguments():
    commands = "\n".join(docs.blocks(docs.OPERATOR_PAGES))

    # Any account of the machine can read a command line
    assert (
        re.findall(r"^.*(?:Bearer|Basic|PASSWORD=|-u \S*:)[^/\n]*\$.*$|\$\(cat [^)]*secret.*$", commands, re.MULTILINE)
        == []
    )


def test_the_registration_asks_for_the_privacy_page_of_the_service(tmp_path):
    path = write_configuration(tmp_path)

    handed = CliRunner().invoke(main, ["--config", str(path), "handout", "sp", "--output", str(tmp_path / "out")])

    assert handed.exit_code == 0, handed.output
    (url,) = re.findall(r"^Privacy notice +(\S+)", (tmp_path / "out" / "registration.txt").read_text(), re.MULTILINE)
    assert url == load(path, {}).service.public_url + "/privacy"
    assert "/privacy" in {route.path for route in ROUTES}


@pytest.mark.parametrize("name", ["commands.md", "operator/run.md"])
def test_loops_over_accounts_take_each_account_as_it_is(name):
    loops = re.findall(r"while ([^\n]*)read ([^\n]*); do\n(.*?)done", page(name), re.DOTALL)

    assert loops
    for assignment, options, body in loops:
        assert (assignment, options) == ("IFS= ", "-r account")
        assert body.rstrip().endswith(' --yes -- example-org "$account" < /dev/null')
