"""What finds substrings fast: FTS5 with trigrams on SQLite, pg_trgm on PostgreSQL, if they can.

Neither is needed: without them a search looks at rows one after the other, within its bounds.
"""

from typing import Final

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from observability.store import ALIAS

ROWS: Final = "observability_znode"
TRIGRAMS: Final = "observability_znode_trigrams"
GRAM: Final = 3
GRAMS_MAX: Final = 24  # of one word: the others narrow hardly more
SQLITE: Final = (
    # Neither positions nor sizes are kept: which rows may have the word is all that is asked.
    f"CREATE VIRTUAL TABLE {TRIGRAMS} USING fts5(path, whole, text, content='{ROWS}', "
    "content_rowid='id', tokenize='trigram', detail=none, columnsize=0)",
    f"CREATE TRIGGER znode_added AFTER INSERT ON {ROWS} BEGIN "
    f"INSERT INTO {TRIGRAMS} (rowid, path, whole, text) "
    "VALUES (new.id, new.path, new.whole, new.text); END",
    f"CREATE TRIGGER znode_removed AFTER DELETE ON {ROWS} BEGIN "
    f"INSERT INTO {TRIGRAMS} ({TRIGRAMS}, rowid, path, whole, text) "
    "VALUES ('delete', old.id, old.path, old.whole, old.text); END",
    f"CREATE TRIGGER znode_changed AFTER UPDATE OF path, whole, text ON {ROWS} "
    "WHEN old.text <> new.text OR old.path <> new.path OR old.whole <> new.whole BEGIN "
    f"INSERT INTO {TRIGRAMS} ({TRIGRAMS}, rowid, path, whole, text) "
    "VALUES ('delete', old.id, old.path, old.whole, old.text); "
    f"INSERT INTO {TRIGRAMS} (rowid, path, whole, text) "
    "VALUES (new.id, new.path, new.whole, new.text); END",
)
POSTGRES: Final = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    f"CREATE INDEX znode_trigrams ON {ROWS} "
    "USING gin (path gin_trgm_ops, whole gin_trgm_ops, text gin_trgm_ops)",
)


def make(connection: BaseDatabaseWrapper) -> bool:
    """Make them where the database can; whether it could."""
    statements = POSTGRES if connection.vendor == "postgresql" else SQLITE
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            for sql in statements:
                cursor.execute(sql)
    except DatabaseError:  # no such module or tokenizer, or no right to make an extension
        return False
    return True


def are_there() -> bool:
    """Whether SQLite has the trigrams, so that they lead a search. PostgreSQL plans by itself."""
    connection = connections[ALIAS]
    if connection.vendor != "sqlite":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE name = %s", (TRIGRAMS,))
        return cursor.fetchone() is not None


def matching(words: list[str]) -> str:
    """What FTS5 is asked for rows that may have all of the words; empty: they are too short."""
    grams: dict[str, None] = {}
    for word in words:
        mine = [word[at : at + GRAM] for at in range(len(word) - GRAM + 1)]
        step = max(1, len(mine) // GRAMS_MAX)
        grams |= dict.fromkeys(mine[::step])
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams)
