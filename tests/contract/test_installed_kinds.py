"""Kinds of transfers that other packages add, in the entry point group `orcid_connect.transfers`.

Each test puts a package with its `.dist-info` onto the path, as pip installs one.
"""

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from resolver_connector.transfers.base import Outcome
from tests.support.configuration import write, write_configuration
from tests.support.factories import NOON, UNIVERSITY
from tests.support.transfers.harness import LINKED
from webapp.cli.main import main
from webapp.config.errors import Misconfigured
from webapp.config.loader import load

PAGE = Path("docs/transfer-kinds.md").read_text("utf-8")
QUEUE = re.search(r"```python\n# queue_transfer\.py\n(.*?)```", PAGE, re.DOTALL)[1]
NORTH = {
    "entity_ids": ["https://idp.pohjoinen.example/idp"],
    "scopes": ["pohjoinen.example"],
    "credential": [],
    "transfer": [{"name": "idm", "kind": "file", "directory": "/tmp"}],
}
OWN = {"name": "own", "kind": "queue", "directory": "spool"}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package that adds a kind."""
    site = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(site))
    modules = []

    def install(module, source, entry_point="queue = {module}:Queue"):
        write(site / f"{module}.py", source)
        folder = site / f"{module}-1.0.dist-info"
        write(folder / "METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        write(folder / "entry_points.txt", f"[orcid_connect.transfers]\n{entry_point.format(module=module)}\n")
        modules.append(module)

    yield install
    for each in modules:
        sys.modules.pop(each, None)


def configured(directory, *transfers):
    return write_configuration(directory, organisations={UNIVERSITY: {"transfer": [*transfers]}, "pohjoinen": NORTH})


def test_the_kind_of_the_page_is_configured_tested_and_delivers(install, tmp_path):
    install("queue_transfer", QUEUE)
    path = configured(tmp_path, OWN)
    (tmp_path / "spool").mkdir()

    done = CliRunner().invoke(main, ["--config", str(path), "transfer", "test", UNIVERSITY, "--yes"])

    assert "yliopisto, own (queue)" in done.output
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "spool").iterdir())) == 3
    assert load(path, {}).transfers[UNIVERSITY]["own"].kind == "queue"


BROKEN = {
    "does not import": ("raise SystemExit(3)", {}, 'kind = "queue" cannot be loaded from its package (SystemExit)'),
    "has no such class": ("", {}, 'kind = "queue" cannot be loaded from its package (AttributeError)'),
    "is no model": ("Queue = 1", {}, 'kind = "queue" is not a TransferModel with kind = "queue"'),
    "has another name": (
        QUEUE.replace('kind = "queue"', 'kind = "other"'),
        {},
        'kind = "queue" is not a TransferModel with kind = "queue"',
    ),
    "fails while it validates": (
        f"{QUEUE}\n    def __init__(self, **values):\n        raise KeyError('secret')\n",
        {},
        'kind = "queue" failed with KeyError',
    ),
    "describes no setting": (
        QUEUE.replace("directory: FilePath", "extra: int = 1\n    directory: FilePath"),
        {"extra": "much"},
        'kind = "queue" failed with AssertionError',
    ),
    "rejects a setting": (QUEUE, {"colour": "red"}, "is not a setting"),
}


@pytest.mark.parametrize(("source", "settings", "problem"), BROKEN.values(), ids=BROKEN)
def test_a_kind_that_fails_concerns_its_organisation_alone(install, tmp_path, source, settings, problem):
    install("queue_transfer", source)

    config = load(configured(tmp_path, OWN | settings), {})

    assert [one.id for one in config.organisations] == ["pohjoinen"]
    (found,) = config.misconfigured[UNIVERSITY].problems
    assert (found.key.startswith("transfer.own"), found.text) == (True, problem)


def test_a_kind_that_is_not_used_harms_nobody_and_is_reported(install, tmp_path):
    install("queue_transfer", "1 / 0")
    path = configured(tmp_path)

    done = CliRunner().invoke(main, ["--config", str(path), "check", "--configuration"])

    assert done.exit_code == 0, done.output
    assert (
        'warning  transfer       the installed kind "queue" cannot be loaded from its package (ZeroDivisionError)'
        in (done.output)
    )


def test_a_package_replaces_no_other_kind(install, tmp_path):
    install("queue_transfer", QUEUE)
    install("second_queue", QUEUE)
    install("own_file", QUEUE.replace('"queue"', '"file"'), "file = own_file:Queue")

    config = load(configured(tmp_path, OWN), {})

    assert [each.text for each in config.misconfigured[UNIVERSITY].problems] == [
        'kind = "queue" is in two installed packages'
    ]
    assert config.transfers["pohjoinen"]["idm"].format == "csv"


def test_an_unknown_kind_is_named_with_the_known_ones(install, tmp_path):
    install("queue_transfer", QUEUE)

    with pytest.raises(Misconfigured) as raised:
        load(write_configuration(tmp_path, organisations={UNIVERSITY: {"transfer": [OWN | {"kind": "que"}]}}), {})

    assert "queue" in str(raised.value)


def test_a_kind_that_does_not_return_ends_at_the_deadline(install, tmp_path):
    wait = QUEUE.replace("path = self.directory", "time.sleep(30)\n        path = self.directory")
    install("queue_transfer", wait.replace("import json", "import json\nimport time"))
    (transfer,) = load(configured(tmp_path, OWN), {}).transfers[UNIVERSITY].values()

    result = transfer.deliver(LINKED, now=NOON, timeout=0.1)

    assert (result.outcome, result.message) == (Outcome.TEMPORARY, "no answer in time")


def test_a_kind_that_raises_is_told_by_the_test_of_the_transfer(install, tmp_path):
    install("queue_transfer", QUEUE.replace("path = self.directory", "1 / 0\n        path = self.directory"))
    path = configured(tmp_path, OWN)

    done = CliRunner().invoke(main, ["--config", str(path), "transfer", "test", UNIVERSITY, "--yes"])

    assert done.exit_code == 1
    assert "the kind failed with ZeroDivisionError" in done.output
