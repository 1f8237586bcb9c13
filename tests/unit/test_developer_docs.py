"""The changelog, the decisions and the pages for developers follow their rules, and name what exists."""

import ast
import re

import pytest

from tests.support.docs import DOCS, ROOT

HEADINGS = ("Backwards-incompatible", "Added", "Changed", "Fixed", "Security")
MAX_LENGTH = 160
VERBS = frozenset(
    re.findall(
        r"\w+",
        """
        Accept Add Allow Answer Ask Bind Build Call Change Check Claim Close Combine Commit Compare Configure
        Correct Count Create Decide Delete Deliver Describe Detect Disable Document Drop Enable Encrypt End Enforce
        Erase Explain Export Find Format Generate Give Group Hand Handle Hide Ignore Import Include Isolate Keep Lead
        Leave Let Limit Link List Load Log Lose Make Mark Measure Merge Move Name Notify Offer Open Order Patch Pool
        Prevent Print Protect Provide Publish Put Queue Raise Read Recognise Record Reduce Refuse Reject Release
        Reload Remove Rename Replace Report Require Resolve Restore Retry Return Revoke Rotate Run Say Send Serve
        Set Show Sign Simulate Skip Sort Speed Split Squash Stop Store Suggest Support Switch Take Tell Test Track
        Translate Treat Trim Turn Update Upgrade Use Validate Verify Warn Withhold Write
        """,
    )
)
"""First words of entries; extend it with another verb in the imperative."""
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
CURRENT = [path for path in DECISIONS if "**Status.** Superseded by" not in path.read_text("utf-8")]
"""Superseded ones name what has been removed."""
MAX_DECISION_LINES = 60
MAX_SUMMARY_LENGTH = 75
PACKAGES = ("shibboleth", "sql", "resolver_connector", "webapp", "demo", "tests/support")
PATH = re.compile(
    r"(?<![\w./-])((?:webapp|sql|resolver_connector|shibboleth|demo|tests|docs)/[\w./-]*[\w/]|Makefile|setup\.cfg)(?![\w*<])"
)


def entries():
    return [line for line in CHANGELOG.splitlines() if line.startswith("- ")]


def test_each_version_of_the_changelog_has_each_heading_once_and_in_order():
    for version in re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]:
        found = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert found == [each for each in HEADINGS if each in found]


def test_each_change_is_one_short_line_that_begins_with_a_verb():
    assert [each for each in entries() if len(each) > MAX_LENGTH] == []
    assert [each for each in entries() if each.split()[1] not in VERBS] == []
    assert [
        line for line in CHANGELOG.splitlines() if line and line[0] not in "#-" and line[:12] != "What changed"
    ] == []
    assert len(set(entries())) == len(entries())


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_each_decision_has_context_decision_and_consequences_on_one_page(path):
    text = path.read_text("utf-8")

    parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
    assert parts in (["Context", "Decision", "Consequences"], ["Status", "Context", "Decision", "Consequences"])
    assert len(text.splitlines()) <= MAX_DECISION_LINES
    title = text.partition("\n")[0].removeprefix("# ")
    assert f"| {path.name[:4]} | [{title}]({path.name}) |" in (DOCS / "decisions" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("path", [ROOT / "CONTRIBUTING.md", DOCS / "tour.md", *CURRENT], ids=lambda path: path.stem)
def test_every_path_that_is_named_exists(path):
    codes = re.findall(r"`([^`\n]+)`", path.read_text("utf-8"))
    named = {each for code in codes for each in PATH.findall(code) if "CODE" not in each}

    assert [each for each in named if not (ROOT / each).exists()] == []


def test_first_lines_of_docstrings_have_at_most_75_characters():
    files = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    first_lines = [
        (str(path.relative_to(ROOT)), (ast.get_docstring(node) or "").partition("\n")[0])
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, documented)
    ]

    assert len(first_lines) > 1000
    assert [each for each in first_lines if len(each[1]) > MAX_SUMMARY_LENGTH] == []
