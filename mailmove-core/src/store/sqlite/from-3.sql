-- From format 3, where counting meant to read all rows.
DROP INDEX item_open;
CREATE INDEX item_open ON item (folder) WHERE state = 'pending' OR state = 'failed' OR state = 'unnamed';
CREATE INDEX item_gone ON item (gone) WHERE gone = 1;
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
INSERT INTO tally
    SELECT folder, state, pass, gone, count(*), sum(size >> 32), sum(size & 0xffffffff)
    FROM item GROUP BY folder, state, pass, gone;
