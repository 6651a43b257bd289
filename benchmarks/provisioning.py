"""Tenants for measurements."""


def provision(ports: list[int], names: list[str]) -> dict[str, str]:
    """Create tenants; the secret of each."""
    return dict.fromkeys(names, "secret")
