"""The four packages: who may import whom, and where each outside library lives."""

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = ("shibboleth", "sql", "resolver_connector", "webapp")
KNOWS_CONNECTOR = (
    "webapp/wiring/",
    "webapp/config/",
    "webapp/cli/transfer.py",
    "webapp/cli/handout/sources.py",
    "webapp/cli/imports.py",
    "webapp/cli/link/",
    "webapp/cli/removals.py",
    "webapp/cli/organisation/",
    "webapp/cli/serve/",
    "webapp/operator/account_list.py",
    "webapp/operator/link_list.py",
    "webapp/operator/metrics.py",
    "webapp/operator/statistics_pages.py",
)
"""What of `webapp/` may import the connector: assembly, kinds of transfers, rights, the form of lists, and tests."""
NOT_IN_THE_CONNECTOR = {"bottle", "jinja2", "babel", "webapp.app", "webapp.pages", "webapp.operator", "webapp.mail"}
"""What costs the connector's process memory and start time, and is of no use there."""

LIBRARIES = {
    "babel": {"webapp/i18n/language.py"},
    "bottle": {"webapp/app.py", "webapp/pages/request.py"},
    "click": {
        "webapp/cli/check.py",
        "webapp/cli/deliver.py",
        "webapp/cli/errors.py",
        "webapp/cli/handout/__init__.py",
        "webapp/cli/handout/balancer.py",
        "webapp/cli/handout/consumer.py",
        "webapp/cli/handout/idp.py",
        "webapp/cli/handout/output.py",
        "webapp/cli/handout/sp.py",
        "webapp/cli/history.py",
        "webapp/cli/idp_role.py",
        "webapp/cli/imports.py",
        "webapp/cli/init/__init__.py",
        "webapp/cli/link/__init__.py",
        "webapp/cli/link/erase.py",
        "webapp/cli/link/list.py",
        "webapp/cli/link/move.py",
        "webapp/cli/link/reconcile.py",
        "webapp/cli/link/remove.py",
        "webapp/cli/link/show.py",
        "webapp/cli/link/status.py",
        "webapp/cli/main.py",
        "webapp/cli/migrate.py",
        "webapp/cli/options.py",
        "webapp/cli/orcid_tokens/__init__.py",
        "webapp/cli/orcid_tokens/discard.py",
        "webapp/cli/orcid_tokens/reseal.py",
        "webapp/cli/orcid_tokens/retry.py",
        "webapp/cli/organisation/__init__.py",
        "webapp/cli/organisation/add.py",
        "webapp/cli/organisation/disable.py",
        "webapp/cli/organisation/listing.py",
        "webapp/cli/organisation/move.py",
        "webapp/cli/output.py",
        "webapp/cli/removals.py",
        "webapp/cli/replica.py",
        "webapp/cli/serve/__init__.py",
        "webapp/cli/store.py",
        "webapp/cli/transfer.py",
    },
    "cryptography": {
        "resolver_connector/orcid/sealing.py",
        "shibboleth/federation_metadata.py",
        "webapp/cli/init/keys.py",
        "webapp/config/base.py",
    },
    "defusedxml": {
        "resolver_connector/transfers/soap.py",
        "shibboleth/federation_metadata.py",
        "shibboleth/metadata.py",
        "webapp/config/branding.py",
    },
    "httpcore": {"resolver_connector/transfers/http.py"},
    "httpx": {"resolver_connector/transfers/http.py"},
    "jinja2": {"webapp/rendering/templating.py"},
    "joserfc": {"webapp/linking/id_token.py", "webapp/linking/orcid_client.py"},
    "ldap3": {
        "resolver_connector/transfers/ldap.py",
        "resolver_connector/transfers/ldap_connection.py",
        "resolver_connector/transfers/ldap_filter.py",
    },
    "markupsafe": {"webapp/rendering/templating.py"},
    "prometheus_client": {"resolver_connector/metrics.py", "webapp/operator/metrics.py"},
    "psycopg": {"sql/idp_role.py", "sql/engines/postgres.py", "sql/engines/watchdog.py", "sql/store_copy.py"},
    "psycopg_pool": {"sql/engines/postgres.py"},
    "pydantic": {
        "resolver_connector/transfers/file.py",
        "resolver_connector/transfers/http.py",
        "resolver_connector/transfers/ldap.py",
        "resolver_connector/transfers/orcid.py",
        "resolver_connector/transfers/rest.py",
        "resolver_connector/transfers/scim.py",
        "resolver_connector/transfers/soap.py",
        "resolver_connector/transfers/base.py",
        "webapp/config/access.py",
        "webapp/config/listen.py",
        "webapp/config/branding.py",
        "webapp/config/texts.py",
        "webapp/config/mail.py",
        "webapp/config/organisation.py",
        "webapp/config/orcid_client.py",
        "webapp/config/service.py",
        "webapp/config/service_provider.py",
        "webapp/config/base.py",
        "webapp/config/transfers.py",
    },
    "pythonjsonlogger": {"webapp/log.py"},
    "requests": {"resolver_connector/orcid/http.py", "webapp/cli/organisation/source.py"},
    "saml2": {"resolver_connector/authority/query.py", "resolver_connector/authority/saml.py"},
    "signxml": {"shibboleth/federation_metadata.py"},
    "sqlite_utils": {"sql/replica.py", "sql/engines/sqlite.py", "sql/store_copy.py"},
    "waitress": {"webapp/cli/serve/server.py"},
}
"""Where each outside library is imported; a new place is a decision, and so is a new library."""


def sources(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def parsed(path):
    return ast.parse(path.read_text())


def imported(path):
    """The top-level names a file imports, wherever in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_one_to_its_right_or_the_world_around_it(package):
    forbidden = {*PACKAGES[PACKAGES.index(package) + 1 :], "demo", "tests"}

    assert [(name_of(path), name) for path in sources(package) for name in imported(path) if name in forbidden] == []


def test_only_the_wiring_knows_both_the_web_application_and_the_connector():
    # ORCID's clients and tokens are beside the connector, because the worker uses them too
    knowing = [
        name_of(path)
        for path in sources("webapp")
        if any(re.match(r"resolver_connector(?!\.orcid\b)", name) for name in modules(path))
    ]

    assert [name for name in knowing if not name.startswith(KNOWS_CONNECTOR)] == []


@pytest.mark.parametrize(
    "start", ["import webapp.wiring.connector", "from webapp.cli.main import main; main(['connector', '--help'])"]
)
def test_the_connector_does_not_load_the_pages(start):
    program = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); {start}"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "resolver_connector.app" in loaded
    assert not NOT_IN_THE_CONNECTOR & set(loaded)


def test_no_folder_of_the_product_has_more_than_fifteen_modules():
    modules = Counter(name_of(path.parent) for path in sources(*PACKAGES) if path.name != "__init__.py")

    assert {folder: number for folder, number in modules.items() if number > 15} == {}


def test_the_demonstration_does_not_import_the_tests():
    assert not [name_of(path) for path in sources("demo") if "tests" in set(imported(path))]


def test_each_outside_library_is_imported_only_where_the_design_says():
    ours = {*PACKAGES, *sys.stdlib_module_names, "_typeshed"}
    found = {}
    for path in sources(*PACKAGES):
        for library in set(imported(path)) - ours:
            found.setdefault(library, set()).add(name_of(path))

    assert found == {library: places for library, places in LIBRARIES.items() if places}


def test_no_other_distribution_takes_our_package_names():
    owners = importlib.metadata.packages_distributions()

    assert {package: set(owners[package]) for package in PACKAGES if package in owners} == {
        package: {"orcid-connect"} for package in PACKAGES if package in owners
    }
    for package in PACKAGES:
        found = importlib.import_module(package)
        assert Path(found.__file__).parent == ROOT / package


def test_whatever_lies_in_a_package_is_installed_with_it():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    installed = {
        path
        for package, patterns in setup["options.package_data"].items()
        for pattern in patterns.replace("\n", ",").split(",")
        for path in (ROOT / package).glob(pattern.strip())
        if pattern.strip() and path.is_file()
    }

    lying = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}

    assert {path for path in lying if path.suffix not in {".py", ".pyc"}} == installed


def test_every_package_says_what_it_is_for():
    for path in sources(*PACKAGES, "demo"):
        assert ast.get_docstring(parsed(path)), name_of(path)


def test_nothing_but_the_packages_is_installed():
    setup = (ROOT / "setup.cfg").read_text()

    for package in PACKAGES:
        assert f"    {package}\n    {package}.*\n" in setup
    assert "    demo" not in setup


INTERNALS = ("psycopg.pq", "psycopg._", "urllib3.connection", "greenlet", "httptools")
"""Modules that no product package imports, by the beginning of their names: parts of libraries, not their interface."""


def modules(path):
    """The full names of the modules that a file imports, and of what it imports from them."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module in {"psycopg", "urllib3"})


def test_libraries_are_used_through_their_public_modules():
    inner = (*INTERNALS, "waitress.")

    found = [(name_of(path), name) for path in sources(*PACKAGES) for name in modules(path) if name.startswith(inner)]

    assert found == []


def own_names(tree):
    """Whatever is defined or assigned in a file, or stands there as a word, as in `__slots__`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def private(tree):
    """The private names that a file uses: of `self`, and of anything else."""
    of_self, others = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            mine = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            (of_self if mine else others).add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            others.update(alias.name for alias in node.names)
    return [{each for each in names if re.match("_(?!_)", each)} for names in (of_self, others)]


def test_no_private_attribute_of_a_library_is_used():
    own = {path: set(own_names(parsed(path))) for path in sources(*PACKAGES)}
    # What is one's own may come from a base class in another file
    own_anywhere = set().union(*own.values())

    found = {}
    for path, names in own.items():
        of_self, others = private(parsed(path))
        found[name_of(path)] = (of_self - own_anywhere) | (others - names)

    assert {name: private_names for name, private_names in found.items() if private_names} == {}


VULNERABLE = {
    "babel": "2.9.0",
    "bottle": "0.12.19",
    "click": "8.3.2",
    "cryptography": "49.0.0",
    "granian": "2.7.3",
    "h11": "0.15.0",
    "idna": "3.14",
    "jinja2": "3.1.5",
    "joserfc": "1.7.5",
    "pydantic": "2.3.0",
    "pysaml2": "6.4.1",
    "python-json-logger": "3.2.1",
    "requests": "2.32.5",
    "urllib3": "2.6.3",
    "waitress": "3.0.0",
}
"""The last release of each library that has a published vulnerability."""


def requirements():
    """What `setup.cfg` requires, with its extras."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    for line in "\n".join(lists).split("\n"):
        if line.strip():
            yield Requirement(line)


def test_no_release_with_a_known_vulnerability_satisfies_what_is_required():
    required = {canonicalize_name(each.name): each.specifier for each in requirements()}

    assert [name for name, release in VULNERABLE.items() if required[name].contains(release)] == []


def test_the_reason_of_each_floor_is_written_down():
    page = (ROOT / "docs/decisions/0008-dependencies.md").read_text("utf-8")
    rows = re.findall(r"^\| (\S+) \| ([\d.]+) \| .*CVE-", page, re.MULTILINE)

    required = {canonicalize_name(each.name): each.specifier for each in requirements()}

    assert len(rows) > 10
    assert [name for name, floor in rows if f">={floor}" not in str(required[canonicalize_name(name)])] == []


def test_the_service_provider_has_a_floor_too_and_the_tests_use_one_above_it():
    """CVE-2025-31335: earlier versions of OpenSAML accept forged sign-ins."""
    page = (ROOT / "docs/operator/install.md").read_text("utf-8")
    upstream, debian = re.search(r"needs OpenSAML ([\d.]+) or later, or Debian's patched .*?\(`(\S+)`", page).groups()
    installed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}\n", "libsaml*"], capture_output=True, text=True, check=True
    ).stdout.split()

    assert (upstream, debian) == ("3.3.1", "3.2.1-3+deb12u1")
    assert installed
    assert [
        each for each in installed if subprocess.call(["dpkg", "--compare-versions", each, "lt", debian]) == 0
    ] == []
