-- From format 1, which knew nothing of one content in many folders.
ALTER TABLE item ADD COLUMN content_id TEXT;
CREATE INDEX item_content ON item (content_id) WHERE content_id IS NOT NULL;
ALTER TABLE intent ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;
