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

-- Items known by a key of their own: i and an integer, or t and a text.
CREATE TABLE IF NOT EXISTS semantic_id_items (
    item TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE
) WITHOUT ROWID;
