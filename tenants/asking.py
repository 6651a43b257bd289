"""Asks an ensemble for something that may fail while the rest of an answer still stands."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ensemble.client import ClientError
from tenants.advice import advise, unreachable_text
from tenants.keys import NoKeyError
from tenants.reach import BusyError
from tenants.zk import UnreachableError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reached(Generic[T]):
    """What came of asking an ensemble; `found` None: nothing, and why, and the answer's status."""

    found: T | None
    problem: str = ""
    status: int = 200


def reached(work: Callable[[], T]) -> Reached[T]:
    """Do the work; what the ensemble refuses becomes words."""
    try:
        return Reached(work())
    except (NoKeyError, BusyError) as error:
        return Reached(None, f"{error}.", 503)
    except UnreachableError as error:
        return Reached(None, unreachable_text(error), 503)
    except ClientError as error:
        status, _, text = advise(error)
        return Reached(None, text, status)
