"""The errors of the server, sorted by whose fault they are.

| raised             | at fault             | what happens                                |
|--------------------|----------------------|---------------------------------------------|
| `KeeperError`      | the client's request | reply with its code; the connection lives   |
| `ProtocolError`    | the other end's bytes| that connection is closed and counted       |
| `StorageError`     | the disk             | this server stops                           |
| `ConfigError`      | the operator         | the start is refused: which key, and why    |
| `AssertionError`   | us                   | crash, restart from the log                 |
"""


class EnsembleError(Exception):
    """The root of everything that this package raises on purpose."""


class KeeperError(EnsembleError):
    """A request is refused; `code` is ZooKeeper's error code, negative (see `wire.codes`)."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(f"{message} (error {code})" if message else f"error {code}")
        self.code = code


class ProtocolError(EnsembleError):
    """A peer or client sent what the protocol does not allow. Its connection is closed."""


class StorageError(EnsembleError):
    """The disk lost, damaged or refused something: file, offset and advice are in the text."""


class DamagedFileError(StorageError):
    """A file does not hold what was written. What lies before `offset` in `path` can be used."""

    def __init__(self, message: str, path: str, offset: int) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset


class ConfigError(EnsembleError):
    """The operator's configuration cannot be used. Names the key, the value and the reason."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key
