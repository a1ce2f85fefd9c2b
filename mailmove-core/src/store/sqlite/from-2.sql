-- From format 2, which knew neither repairs nor dead letters.
ALTER TABLE item ADD COLUMN original TEXT;
ALTER TABLE item ADD COLUMN dead_letter TEXT;
