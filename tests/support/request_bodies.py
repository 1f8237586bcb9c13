"""Request bodies in every framing, and what each server's connector answers.

The same.
"""

BODY = '{"cursor": "x"}'
LARGE = '{"cursor": "' + "x" * 5000 + '"}'
CHUNKED = "Transfer-Encoding: chunked\r\n"

NO_CURSOR = (400, "this is not a cursor of your organisation; send `next_cursor` unchanged, or start over")
NO_JSON = (400, "the body is not JSON")
TOO_LARGE = (413, "the body is larger than 4096 bytes")


def chunks(*pieces, extension="", trailer=""):
    """Write pieces as chunks."""
    written = "".join(f"{len(each):x}{extension}\r\n{each}\r\n" for each in pieces)
    return f"{written}0\r\n{trailer}\r\n"


FRAMED = {
    "a length": (f"Content-Length: {len(BODY)}\r\n", BODY, NO_CURSOR),
    "a length with zeros before it": (f"Content-Length: 00000{len(BODY)}\r\n", BODY, NO_CURSOR),
    "a length of 0": ("Content-Length: 0\r\n", "", NO_JSON),
    "no length": ("", "", NO_JSON),
    "a length shorter than what is sent": ("Content-Length: 3\r\n", BODY, NO_JSON),
    "a length that is too large": (f"Content-Length: {len(LARGE)}\r\n", LARGE, TOO_LARGE),
    "one chunk": (CHUNKED, chunks(BODY), NO_CURSOR),
    "a chunk for each character": (CHUNKED, chunks(*BODY), NO_CURSOR),
    "chunks with extensions and a trailer": (CHUNKED, chunks(BODY, extension=";a=b", trailer="X: y\r\n"), NO_CURSOR),
    "capitals": ("Transfer-Encoding: Chunked\r\n", chunks(BODY), NO_CURSOR),
    "no chunk": (CHUNKED, chunks(), NO_JSON),
    "chunks that are not JSON": (CHUNKED, chunks("x"), NO_JSON),
    "chunks that are too large": (CHUNKED, chunks(LARGE), TOO_LARGE),
    "many chunks that are too large": (CHUNKED, chunks(*[LARGE[:999]] * 6), TOO_LARGE),
    "a length that contradicts the chunks": (f"Content-Length: 3\r\n{CHUNKED}", chunks(BODY), NO_CURSOR),
    "a client that waits for 100": (f"Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n", BODY, NO_CURSOR),
    "a client that waits for 100 with chunks": (f"Expect: 100-continue\r\n{CHUNKED}", chunks(BODY), NO_CURSOR),
}
"""Headers, what follows them, and the status and `error` of `POST /v1/changes/ack`."""

UNREAD = {
    "GET /v1/people/x": (200, None),
    "HEAD /v1/people/x": (200, None),
    "DELETE /v1/people/x?dry_run=true": (200, None),
    "POST /v1/nothing": (404, "no such path"),
    "PATCH /v1/people/x": (405, "allowed methods: GET, HEAD, PUT, DELETE"),
    "GET //v1/people/x": (200, None),
    "GET /v1//people/x": (404, "no such path"),
    "GET /v1/people?account=%FF": (400, "the query string is invalid"),
}
"""Requests whose body is ignored in any framing."""
