"""Put what the configuration says of EPICS where ophyd, Channel Access and PVAccess look for it."""

import os
import sys
from collections.abc import MutableMapping

from beamstream.config.model import Config
from beamstream.config.services import Epics
from beamstream.errors import ConfigurationError

_LAYER = "OPHYD_CONTROL_LAYER"


def apply_environment(config: Config, environ: MutableMapping[str, str] = os.environ) -> dict[str, str]:
    """Put the [epics] section into the environment; return the variables that it decides.

    What the file says wins over the environment, what it leaves out does not touch it. Call it before
    ophyd is imported and before the first channel: ophyd chooses its control layer at import, PVAccess
    and Channel Access read their addresses when the first channel is made.

    Parameters
    ----------
    config : Config
    environ : mapping of str
        Changed in place.

    Raises
    ------
    ConfigurationError
        ophyd is imported already, with another control layer.
    """
    epics = config.epics
    variables = _addresses(epics)
    layer = environ.get(_LAYER)
    if layer is None or "control_layer" in epics.model_fields_set:
        if "ophyd" in sys.modules and layer != epics.control_layer:
            raise ConfigurationError(
                f"{config.file or 'configuration'}: [epics] control_layer = {epics.control_layer!r} asked for, "
                f"ophyd is imported already, with {layer or 'its default'}; apply the configuration earlier"
            )
        variables[_LAYER] = epics.control_layer
    environ.update(variables)
    return variables


def _addresses(epics: Epics) -> dict[str, str]:
    """Return where Channel Access and PVAccess are to search, as far as the section says it."""
    variables: dict[str, str] = {}
    if epics.auto_addr_list is not None:
        yes_no = "YES" if epics.auto_addr_list else "NO"
        variables |= {"EPICS_CA_AUTO_ADDR_LIST": yes_no, "EPICS_PVA_AUTO_ADDR_LIST": yes_no}
    if epics.ca_addr_list is not None:
        variables["EPICS_CA_ADDR_LIST"] = " ".join(epics.ca_addr_list)
    if epics.pva_addr_list is not None:
        variables["EPICS_PVA_ADDR_LIST"] = " ".join(epics.pva_addr_list)
    return variables
