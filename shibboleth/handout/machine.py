"""The files of the service's machine, besides those of the SP and Apache.

They are the configuration, units of systemd, system account, directories, and files for monitoring.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from shibboleth.handout.render import RenderedFile, TemplateFile, render_files
from shibboleth.handout.sp import Front

CONFIGURATION = TemplateFile("orcid-connect.toml", "etc/orcid-connect/orcid-connect.toml")

_PROXY = frozenset({Front.PROXY})
_UNITS = "etc/systemd/system"

FILES = (
    TemplateFile("sysusers.conf", "etc/sysusers.d/orcid-connect.conf"),
    TemplateFile("tmpfiles.conf", "etc/tmpfiles.d/orcid-connect.conf"),
    TemplateFile("shibboleth-sp-utils.conf", "etc/tmpfiles.d/shibboleth-sp-utils.conf"),
    TemplateFile("orcid-connect-web.service", f"{_UNITS}/orcid-connect-web.service", _PROXY),
    TemplateFile("orcid-connect-web.socket", f"{_UNITS}/orcid-connect-web.socket", _PROXY),
    TemplateFile("orcid-connect-connector.service", f"{_UNITS}/orcid-connect-connector.service", _PROXY),
    TemplateFile("orcid-connect-connector.socket", f"{_UNITS}/orcid-connect-connector.socket", _PROXY),
    TemplateFile("orcid-connect-deliver.service", f"{_UNITS}/orcid-connect-deliver.service"),
    TemplateFile("orcid-connect-replica@.service", f"{_UNITS}/orcid-connect-replica@.service"),
    TemplateFile("orcid-connect-replica@.timer", f"{_UNITS}/orcid-connect-replica@.timer"),
    TemplateFile("alerts.yml", "monitoring/alerts.yml"),
    TemplateFile("grafana-dashboard.json", "monitoring/grafana-dashboard.json"),
    TemplateFile("fail2ban-filter.conf", "monitoring/fail2ban-filter.conf"),
)
"""The templates and the paths of the rendered files; those below `etc` belong on the machine."""


def machine_files(values: Mapping[str, str], conditions: Collection[str]) -> tuple[RenderedFile, ...]:
    """Render the files of the machine.

    Args:
        values: The values of placeholders.
        conditions: The front, and `sqlite` or `postgresql`.

    Raises:
        TemplateError: If a value is missing, or is not allowed in a file.
    """
    return render_files("machine", FILES, conditions, values)


def configuration_file(values: Mapping[str, str], conditions: Collection[str]) -> RenderedFile:
    """Render the configuration of the service.

    Args:
        values: The values of placeholders.
        conditions: The front, and the names of optional settings that have a value.

    Raises:
        TemplateError: If a value is missing, or has control characters.
    """
    (rendered,) = render_files("machine", [CONFIGURATION], conditions, values)
    return rendered
