"""The style sheet and the pictures: read once at start, so that no address can reach any other file."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from webapp.pages.request import RawResponse
from webapp.rendering.branding import PLAIN, Branding


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """The files that pages refer to, under names that change with their content."""

    bodies: Mapping[str, bytes]
    names: Mapping[str, str]
    """The public name of each file."""

    @classmethod
    def read(cls, look: Branding = PLAIN) -> StaticFiles:
        """Read all of them; what the operator said of colours joins the style sheet, and a logo the pictures."""
        found = {each.name: each.read_bytes() for each in (files("webapp") / "static").iterdir() if each.is_file()}
        found["style.css"] += look.style.encode()
        if look.logo:
            found[look.logo.name] = look.logo.body
        names = {name: _public(name, body) for name, body in found.items()}
        return cls({names[name]: body for name, body in found.items()}, names)

    def address(self, name: str) -> str:
        """Give the address by which a page refers to a file."""
        return "/static/" + self.names[name]

    def give(self, public: str) -> RawResponse:
        """Give a file under its public name. Raises KeyError."""
        kind = mimetypes.types_map.get("." + public.rpartition(".")[2], "application/octet-stream")
        return RawResponse(self.bodies[public], kind, immutable=True)


def _public(name: str, body: bytes) -> str:
    stem, _, ending = name.rpartition(".")
    return f"{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{ending}"
