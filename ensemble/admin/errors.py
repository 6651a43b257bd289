"""What goes wrong when tenants are provisioned, in words for who asked."""

from ensemble.errors import EnsembleError


class ProvisionError(EnsembleError):
    """It was not done, and nothing was changed unless the text says so."""


class UnknownTenantError(ProvisionError):
    """There is no tenant of this name."""


class ConflictError(ProvisionError):
    """Somebody else has changed the same meanwhile, or it exists already."""
