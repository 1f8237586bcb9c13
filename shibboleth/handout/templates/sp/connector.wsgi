# The connector under mod_wsgi (front = "variables").
#
# Goes to /etc/orcid-connect/connector.wsgi. To fill in:
#     CONFIG  the configuration file of the service, for example /etc/orcid-connect/orcid-connect.toml
import os

# What the processes count for /metrics; read when the program is imported
if os.path.isdir("/run/orcid-connect/metrics"):
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", "/run/orcid-connect/metrics")

from webapp.wiring.connector import connector_application

application = connector_application("@CONFIG@")
