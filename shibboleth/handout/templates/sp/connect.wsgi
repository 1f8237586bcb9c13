# The linking pages under mod_wsgi (front = "variables").
#
# Goes to /etc/orcid-connect/connect.wsgi. To fill in:
#     CONFIG  the configuration file of the service, for example /etc/orcid-connect/orcid-connect.toml
from webapp.wiring.pages import web_application

application = web_application("@CONFIG@")
