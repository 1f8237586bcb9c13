# The connector under mod_wsgi (front = "variables").
#
# Goes to /etc/orcid-connect/connector.wsgi. To fill in:
#     CONFIG  the configuration file of the service, for example /etc/orcid-connect/orcid-connect.toml
from webapp.wiring.connector import connector_application

application = connector_application("@CONFIG@")
