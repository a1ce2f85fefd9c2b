-- The ledger of one migration job. Written by mailmove alone; read it with
--   sqlite3 -readonly FILE 'SELECT * FROM summary'
-- Lists and paths are JSON. Times of receipt are seconds since 1970 (UTC) with the zone's minutes
-- beside. Digests are BLAKE3: SELECT hex(digest) FROM item.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Source folders. state: mapped, excluded (reason: the rule), failed (reason: the code), gone.
CREATE TABLE folder (
    no       INTEGER PRIMARY KEY,
    id       TEXT NOT NULL,
    path     TEXT NOT NULL,
    role     TEXT,
    identity TEXT NOT NULL,
    state    TEXT NOT NULL,
    reason   TEXT,
    target   INTEGER,
    cursor   TEXT,
    rules    TEXT NOT NULL,
    listed   INTEGER NOT NULL,
    token    TEXT,
    messages INTEGER
) STRICT;

-- Destination folders. examined and mark: {"epoch", "next", "token"}.
CREATE TABLE target (
    no       INTEGER PRIMARY KEY,
    id       TEXT NOT NULL,
    path     TEXT NOT NULL,
    identity TEXT NOT NULL,
    examined TEXT,
    messages INTEGER,
    mark     TEXT
) STRICT;

-- Source messages. number: from 0 up in the order they were first recorded; rows are never deleted.
-- size, digest and header are those of what was sent; original: {"digest", "size", "header"} of what the
-- source holds, where it was repaired. dead_letter: the file's name.
CREATE TABLE item (
    number    INTEGER PRIMARY KEY,
    folder    INTEGER NOT NULL,
    id        TEXT NOT NULL,
    state     TEXT NOT NULL,
    code      TEXT,
    size      INTEGER NOT NULL,
    received  INTEGER,
    zone      INTEGER,
    flags     TEXT NOT NULL,
    accepted  TEXT,
    digest    BLOB,
    header    BLOB,
    target    INTEGER,
    target_id TEXT,
    pass      INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    gone      INTEGER NOT NULL,
    resent    INTEGER NOT NULL,
    altered   TEXT,
    content_id TEXT,
    original  TEXT,
    dead_letter TEXT,
    UNIQUE (folder, id)
) STRICT;
-- Within a folder by number: an index ends with the row number.
CREATE INDEX item_folder ON item (folder);
-- Not by IN, for which a temporary table is made at each insert.
CREATE INDEX item_open ON item (folder) WHERE state = 'pending' OR state = 'failed' OR state = 'unnamed';
-- One claim per destination message.
CREATE UNIQUE INDEX item_claim ON item (target, target_id) WHERE target IS NOT NULL;
CREATE INDEX item_target ON item (target) WHERE target IS NOT NULL;

CREATE INDEX item_gone ON item (gone) WHERE gone = 1;

-- The messages that show the same content.
CREATE INDEX item_content ON item (content_id) WHERE content_id IS NOT NULL;

-- The messages of each folder, counted, so that nobody reads them all for that; kept with each commit.
-- Their sizes add up to high * 2^32 + low.
CREATE TABLE tally (
    folder   INTEGER NOT NULL,
    state    TEXT NOT NULL,
    pass     INTEGER NOT NULL,
    gone     INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    high     INTEGER NOT NULL,
    low      INTEGER NOT NULL,
    PRIMARY KEY (folder, state, pass, gone)
) STRICT, WITHOUT ROWID;

-- Appends, copies and moves whose outcome is not recorded yet. items: rows as JSON, without what
-- is as in a new one.
CREATE TABLE intent (
    batch      INTEGER PRIMARY KEY,
    target     INTEGER NOT NULL,
    mark       TEXT NOT NULL,
    settled_at INTEGER NOT NULL,
    moved_from INTEGER,
    items      TEXT NOT NULL,
    copied     INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Destination messages that no source message claims. number: the order they were recorded in.
CREATE TABLE unclaimed (
    number   INTEGER PRIMARY KEY,
    target   INTEGER NOT NULL,
    id       TEXT NOT NULL,
    size     INTEGER,
    flags    TEXT NOT NULL,
    received INTEGER,
    zone     INTEGER,
    header   BLOB,
    digest   BLOB,
    UNIQUE (target, id)
) STRICT;
CREATE INDEX unclaimed_header ON unclaimed (target, header, size) WHERE header IS NOT NULL;

CREATE VIEW summary AS
    SELECT folder.no, folder.path, folder.state AS folder_state, item.state, item.gone,
           count(item.number) AS messages, total(item.size) AS bytes
    FROM folder LEFT JOIN item ON item.folder = folder.no
    GROUP BY folder.no, item.state, item.gone;
