"""The version of this program, as it was when the process started."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("orcid-connect")
except PackageNotFoundError:
    # A server may run the sources without an installation
    VERSION = "unknown"
