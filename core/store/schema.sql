-- The tables of a SQLite store. The first is that of semantic-id 0.2.5, column for column: both count in it.
CREATE TABLE IF NOT EXISTS collisions (
    key TEXT PRIMARY KEY,
    count INTEGER DEFAULT 0 -- how many holders of the id key there have been
);

-- Ids of which the counts say too little: held 1 for one given out in another way than key-1, key-2 and so on, 0 for one
-- of those that was passed over or given back.
CREATE TABLE IF NOT EXISTS semantic_id_marks (
    id TEXT PRIMARY KEY,
    held INTEGER NOT NULL CHECK (held IN (0, 1))
) WITHOUT ROWID;

-- Items known by a key of their own: i and an integer, or t and a text. Each version of the model gives an item one id,
-- and no two have the same. path is the codes of the id, each with a hyphen behind it: those that begin alike lie together.
CREATE TABLE IF NOT EXISTS semantic_id_items (
    version TEXT NOT NULL,
    item TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL,
    PRIMARY KEY (version, item)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS semantic_id_paths ON semantic_id_items (version, path, item);

-- The fingerprint of the model that gave the items of a version their codes.
CREATE TABLE IF NOT EXISTS semantic_id_versions (
    version TEXT PRIMARY KEY,
    model TEXT NOT NULL
) WITHOUT ROWID;
