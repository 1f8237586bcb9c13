"""An HTTP adapter that resolves every test host name to loopback."""

from __future__ import annotations

from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter


class OnLoopback(HTTPAdapter):
    """Connects to a loopback address under any host name.

    The server is verified by that name.
    """

    def __init__(self, address="127.0.0.1"):
        super().__init__()
        self._address = address

    def build_connection_pool_key_attributes(self, request, verify, cert=None):
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            pool |= {"server_hostname": host["host"], "assert_hostname": host["host"]}
        return host | {"host": self._address}, pool

    def send(self, request, *args, **kwargs):
        # On a copy: a redirect takes the headers along, and cookies are chosen by this one
        named = request.copy()
        named.headers["Host"] = urlsplit(request.url).netloc
        return super().send(named, *args, **kwargs)
