"""Which tenant a path belongs to, by the roots that the plane knows of an ensemble."""

from typing import Final

QUOTAS: Final = "/zookeeper/quota"


class Roots:
    """The roots of one ensemble's tenants. None lies within another one."""

    def __init__(self, roots: dict[str, str]) -> None:
        self.by_root: Final = roots
        self.depth: Final = max((root.count("/") for root in roots), default=0)

    def tenant_of(self, path: str) -> str:
        """The slug; empty where it is nobody's. A tenant's own quotas are its own, too."""
        if path.startswith(f"{QUOTAS}/"):
            path = path[len(QUOTAS) :]
        at = 0
        for _ in range(self.depth):
            at = path.find("/", at + 1)
            found = self.by_root.get(path if at < 0 else path[:at])
            if found is not None:
                return found
            if at < 0:
                break
        return ""


def inward(root: str, path: str) -> str | None:
    """A path as the tenant calls it; None where it has no name there."""
    if path == root:
        return "/"
    if path.startswith(f"{root}/"):
        return path[len(root) :]
    quotas = f"{QUOTAS}{root}"
    if path == quotas:
        return QUOTAS
    if path.startswith(f"{quotas}/"):
        return f"{QUOTAS}{path[len(quotas) :]}"
    return None


def outward(root: str, path: str) -> str:
    """A tenant's path as the tree has it."""
    if path == "/":
        return root
    if path == QUOTAS or path.startswith(f"{QUOTAS}/"):
        return f"{QUOTAS}{root}{path[len(QUOTAS) :]}"
    return root + path
