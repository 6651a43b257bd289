"""What `ensemble up` refuses, in words for the person at the terminal."""

from ensemble.errors import EnsembleError


class StartError(EnsembleError):
    """The start failed; the text says why and what to do."""


class RefusedError(EnsembleError):
    """A request to a running `up` cannot be done; the text names the value and the bound."""


class NotRunningError(EnsembleError):
    """Nobody answers in that folder."""
