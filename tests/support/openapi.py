"""Check responses of the connector against `/v1/openapi.json`."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache

from jsonschema import Draft202012Validator

from resolver_connector.openapi import DOCUMENT

ALWAYS = {"Content-Type", "Date"}
"""Headers that are not described apart from the content."""


@cache
def document():
    return json.loads(DOCUMENT.read_text("utf-8"))


class Undocumented(AssertionError):
    """A response that the document does not describe."""


def must_be_documented(method, path, answer):
    """Check that the document has this response to this request.

    Raises:
        Undocumented: If it has not.
    """
    methods = methods_at(path, method)
    if methods is None:
        return _must_be_an_error(answer, 404)
    if method not in methods:
        if [*methods] != (answer.header("Allow") or "").split(", "):
            raise Undocumented(f"{path} allows {answer.header('Allow')}")
        return _must_be_an_error(answer, 405)
    found = methods[method]["responses"].get(str(answer.status))
    if found is None:
        raise Undocumented(f"{method} {path} is answered with {answer.status}")
    described = _followed(found)
    _must_have_headers(described, answer)
    _must_have_content(described, answer, with_content=method != "HEAD")
    return None


def methods_at(path, method="GET"):
    """Give the operations of a path by method; none where it leads nowhere."""
    if path.startswith("/v1/people/"):
        suffix = path[path.rindex("/") :] if method == "POST" else ""
        path = "/v1/people/{account}" + (suffix if suffix in {"/move", "/orcid-token"} else "")
    found = document()["paths"].get(path)
    return None if found is None else {name.upper(): operation for name, operation in found.items()}


def _must_be_an_error(answer, status):
    if answer.status != status:
        raise Undocumented(f"{answer.status} in place of {status}")
    if answer.body:
        _must_fit({"$ref": "#/components/schemas/Error"}, json.loads(answer.body))


def _must_have_headers(described, answer):
    known = {name: _followed(each) for name, each in described.get("headers", {}).items()}
    sent = {}
    for name, value in answer.headers:
        sent.setdefault(name, []).append(value)
    missing = {name for name, each in known.items() if each["required"]} - sent.keys()
    unknown = sent.keys() - known.keys() - ALWAYS
    if missing or unknown:
        raise Undocumented(f"headers: missing {missing}, unknown {unknown}")
    for name, header in known.items():
        for value in sent.get(name, []):
            _must_fit(header["schema"], int(value) if header["schema"].get("type") == "integer" else value)


def _must_have_content(described, answer, *, with_content):
    kinds, kind = described.get("content", {}), answer.header("Content-Type")
    if not kinds and (answer.body or kind):
        raise Undocumented(f"{answer.status} has content")
    if not kinds:
        return
    if kind not in kinds:
        raise Undocumented(f"content of the type {kind}")
    if with_content:
        _must_fit_content(kinds[kind], answer)


def _must_fit_content(of_kind, answer):
    schema = of_kind["schema"]
    body = gzip.decompress(answer.body) if answer.header("Content-Encoding") else answer.body
    if answer.header("Content-Type") == "application/json":
        _must_fit(schema, json.loads(body))
        return
    if answer.header("Content-Type") == "text/csv":
        return
    *lines, last = body.decode().splitlines()
    of_line, of_last = of_kind.get("x-lines", ("Change", "Changes"))
    for line in lines:
        _must_fit({"$ref": f"#/components/schemas/{of_line}"}, json.loads(line))
    before = {"changes": []} if of_last == "Changes" else {}
    _must_fit({"$ref": f"#/components/schemas/{of_last}"}, before | json.loads(last))


def _followed(described):
    if "$ref" not in described:
        return described
    found = document()
    for name in re.findall(r"[^#/]+", described["$ref"]):
        found = found[name]
    return found


def _must_fit(schema, value):
    checker = Draft202012Validator({**schema, "components": document()["components"]})
    problems = [error.message for error in checker.iter_errors(value)]
    if problems:
        raise Undocumented("; ".join(problems))
