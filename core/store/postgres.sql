-- The tables of a PostgreSQL store. Keys are compared byte by byte, as their locks are taken in that order.
CREATE TABLE IF NOT EXISTS semantic_id_counts (
    key text COLLATE "C" PRIMARY KEY,
    count bigint NOT NULL -- how many holders of the id key there have been; 0 for an id that was only looked at
);

-- Ids of which the counts say too little: held for one given out in another way than key-1, key-2 and so on, not held for
-- one of those that was passed over or given back.
CREATE TABLE IF NOT EXISTS semantic_id_marks (
    id text COLLATE "C" PRIMARY KEY,
    held boolean NOT NULL
);

-- Items known by a key of their own: i and an integer, or t and a text. Each version of the model gives an item one id,
-- and no two have the same. path is the codes of the id, each with a hyphen behind it: those that begin alike lie together.
CREATE TABLE IF NOT EXISTS semantic_id_items (
    version text COLLATE "C" NOT NULL,
    item text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL UNIQUE,
    path text COLLATE "C" NOT NULL,
    PRIMARY KEY (version, item)
);

CREATE INDEX IF NOT EXISTS semantic_id_paths ON semantic_id_items (version, path, item);

-- The fingerprint of the model that gave the items of a version their codes.
CREATE TABLE IF NOT EXISTS semantic_id_versions (
    version text COLLATE "C" PRIMARY KEY,
    model text NOT NULL
);
