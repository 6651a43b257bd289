"""What the directory keeps of tenants: documents, ways in, bindings; and what contradicts what."""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.fields import RegistryError, read_object
from ensemble.tenancy.registry import ROLE_NAMES, TENANTS_PREFIX
from ensemble.tenancy.seat import Tenant
from ensemble.tenancy.spec import Credential, Secret, TenantSpec

SESSION_DIGITS: Final = 16
PRINCIPAL_MAX: Final = 130  # name@slug


@final
class Way:
    """One way in: a secret, or a subject where `secret` is None, of a tenant's credential."""

    __slots__ = ("credential", "secret", "tenant")

    def __init__(self, tenant: Tenant, credential: Credential, secret: Secret | None) -> None:
        self.tenant: Final = tenant
        self.credential: Final = credential
        self.secret: Final = secret


@final
class Binding:
    """Whose a session is. `principal` and `role`: as it was when it was bound, for who asks."""

    __slots__ = ("czxid", "principal", "role", "session_id", "slug")

    def __init__(self, session_id: i64, slug: str, principal: str, role: str, czxid: i64) -> None:
        self.session_id: Final[i64] = session_id
        self.slug: Final = slug
        self.principal: Final = principal
        self.role: Final = role
        self.czxid: Final[i64] = czxid


@final
class Document:
    """One tenant's znode: what it says now, what it said when it was last in force."""

    __slots__ = ("closed", "czxid", "error", "good", "mzxid", "slug", "spec")

    def __init__(self, slug: str, czxid: i64) -> None:
        self.slug: Final = slug
        self.czxid: Final[i64] = czxid
        self.mzxid: i64 = 0
        self.spec: TenantSpec | None = None  # None: it cannot be read
        self.closed: TenantSpec | None = None  # what stands in for it where nothing else can
        self.good: TenantSpec | None = None
        self.error = ""


def slug_in(path: bytes) -> str:
    """The name of a document's znode."""
    return path[len(TENANTS_PREFIX) :].decode("utf-8", "replace")


def subjects_of(spec: TenantSpec) -> list[str]:
    found: list[str] = []
    for credential in spec.credentials:
        found += credential.subjects
    return found


def age(document: Document) -> tuple[int, str]:
    return (document.czxid, document.slug)


def paths_above(root: bytes) -> list[bytes]:
    """The paths above a root, without `/`."""
    found: list[bytes] = []
    at = root.find(b"/", 1)
    while at > 0:
        found.append(root[:at])
        at = root.find(b"/", at + 1)
    return found


def clash_of(
    spec: TenantSpec, roots: dict[bytes, str], above: dict[bytes, str], subjects: dict[str, str]
) -> str:
    """Why a document cannot stand beside those that are in force; empty if it can."""
    root = spec.root.decode("utf-8", "replace")
    other = roots.get(spec.root)
    if other is not None:
        return f"root: {root!r} is that of {other}, too, whose document is older"
    other = above.get(spec.root)
    if other is not None:
        return f"root: {root!r} lies around that of {other}, whose document is older"
    for path in paths_above(spec.root):
        other = roots.get(path)
        if other is not None:
            return f"root: {root!r} lies within that of {other}, whose document is older"
    for credential in spec.credentials:
        for subject in credential.subjects:
            other = subjects.get(subject)
            if other is not None:
                return (
                    f"credentials: the subject {subject[:60]!r} of {credential.name} belongs to "
                    f"{other}, too, whose document is older"
                )
    return ""


def session_of(name: str) -> int:
    """The session whose binding has this name; 0 if it is none's."""
    if len(name) != SESSION_DIGITS:
        return 0
    try:
        number = int(name, 16)
    except ValueError:
        return 0
    if f"{number:016x}" != name:
        return 0
    return number - (1 << 64) if number >= 1 << 63 else number


def read_who(data: bytes | None) -> tuple[str, str]:
    """Principal and role out of a binding; whatever else it holds, the session is bound."""
    try:
        fields = read_object(data)
        principal = fields.text("who", PRINCIPAL_MAX)
        role = fields.text("role", PRINCIPAL_MAX)
    except RegistryError:
        return "", ""
    return principal, role if role in ROLE_NAMES else ""
