"""`python -m webapp` is `orcid-connect`."""

from webapp.cli.main import main

main(prog_name="orcid-connect")
