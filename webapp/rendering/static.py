"""Static files, read once at start, so that no URL can reach another file."""

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
    """Static files under names that contain a hash of their content."""

    bodies: Mapping[str, bytes]
    names: Mapping[str, str]
    """The public name of each file."""

    @classmethod
    def read(cls, branding: Branding = PLAIN) -> StaticFiles:
        """Read `webapp/static`, with the branding's CSS and logo.

        The CSS is appended to `style.css`.
        """
        found = {each.name: each.read_bytes() for each in (files("webapp") / "static").iterdir() if each.is_file()}
        found["style.css"] += branding.style.encode()
        if branding.logo:
            found[branding.logo.name] = branding.logo.body
        found |= {each.name: each.body for each in branding.bodies}
        names = {name: _public(name, body) for name, body in found.items()}
        return cls({names[name]: body for name, body in found.items()}, names)

    def address(self, name: str) -> str:
        """Return the URL path of a file."""
        return "/static/" + self.names[name]

    def response(self, public: str) -> RawResponse:
        """Return the response with a file.

        Raises:
            KeyError: If no file has this public name.
        """
        kind = mimetypes.types_map.get("." + public.rpartition(".")[2], "application/octet-stream")
        return RawResponse(self.bodies[public], kind, immutable=True)


def _public(name: str, body: bytes) -> str:
    stem, _, ending = name.rpartition(".")
    return f"{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{ending}"
