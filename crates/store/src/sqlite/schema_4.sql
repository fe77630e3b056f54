-- Schema 4: after an older store was accepted no version of a secret is given twice: those up to this one may have been given before.

ALTER TABLE deployment ADD COLUMN version_floor INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER the_version_floor_never_falls BEFORE UPDATE OF version_floor ON deployment WHEN new.version_floor < old.version_floor
BEGIN SELECT RAISE(ABORT, 'the floor of versions never falls'); END;
