"""`python -m webapp` is `orcid-connect`."""

from webapp.cli import main

main(prog_name="orcid-connect")
