"""What actions refuse, in words for who asked. Forms and the API show the text as it is."""

from typing import ClassVar


class ActionError(Exception):
    """It was not done, and nothing was changed. The text names value and bound, and what to do.

    `field`: the argument at fault, empty where it is none in particular. `code`: for programs.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400

    def __init__(self, text: str, *, field: str = "") -> None:
        super().__init__(text)
        self.field = field


class InvalidError(ActionError):
    """A value is none, or out of its bounds."""

    code = "invalid"
    status = 400


class ConflictError(ActionError):
    """It exists already, or somebody else was faster."""

    code = "conflict"
    status = 409


class LimitError(ActionError):
    """More than a plan, or the plane, gives."""

    code = "limit"
    status = 409


class ForbiddenError(ActionError):
    """The person may be here, but not do this."""

    code = "forbidden"
    status = 403


class UnavailableError(ActionError):
    """The ensemble cannot be reached at present."""

    code = "unavailable"
    status = 503
