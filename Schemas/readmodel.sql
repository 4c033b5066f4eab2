-- Tables of every read model. A read model is a cache of the log: delete the file, and it comes back the same.
-- progress: the last position whose record is in the rows, written in the same transaction as they are.
CREATE TABLE progress (
    name        TEXT PRIMARY KEY,
    position    INTEGER NOT NULL,
    recorded_at INTEGER,            -- of the record at position, in microseconds since 1970
    digest      BLOB NOT NULL       -- of all rows: 32 bytes
) STRICT;

-- Names, each once; other tables hold their numbers, and 0 for "none". Numbers differ between two builds, texts do not.
CREATE TABLE names (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
