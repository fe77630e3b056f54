-- Schema 2: policies of secrets, API tokens, who got which secret and where it can be seen.

-- `scope` is a path, a path with `/` at its end for all below it, or `/` for all.
CREATE TABLE secret_policies (
  scope        TEXT    NOT NULL PRIMARY KEY,
  require      TEXT    NOT NULL CHECK (require IN ('', 'insecure', 'weak', 'secure')),
  swap_closed  INTEGER NOT NULL CHECK (swap_closed IN (0, 1)),
  environments TEXT    NOT NULL,
  envoys       TEXT    NOT NULL,
  labels       TEXT    NOT NULL,
  by           TEXT    NOT NULL,
  at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One MAC over all policies and this number: a row that is taken away is missed, an older set is known as such.
CREATE TABLE secret_policy_set (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  revision INTEGER NOT NULL,
  mac      BLOB    NOT NULL
) STRICT;
CREATE TRIGGER the_secret_policy_set_stays BEFORE DELETE ON secret_policy_set
BEGIN SELECT RAISE(ABORT, 'the set of policies is only ever replaced'); END;
CREATE TRIGGER its_revision_only_rises BEFORE UPDATE ON secret_policy_set WHEN new.revision <= old.revision
BEGIN SELECT RAISE(ABORT, 'the revision only rises'); END;

CREATE TABLE api_tokens (
  id          BLOB    PRIMARY KEY,
  hash        BLOB    NOT NULL CHECK (length(hash) = 32),
  user        TEXT    NOT NULL,
  permissions TEXT    NOT NULL,
  paths       TEXT    NOT NULL,
  expires_at  INTEGER NOT NULL,
  created_by  TEXT    NOT NULL,
  created_at  INTEGER NOT NULL,
  mac         BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secret_uses (
  path    TEXT    NOT NULL,
  actor   TEXT    NOT NULL,
  version INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (path, actor)
) STRICT, WITHOUT ROWID;
CREATE INDEX secret_uses_of_an_actor ON secret_uses (actor, path);

CREATE TABLE secret_exposures (
  envoy    BLOB    NOT NULL REFERENCES envoys (id) ON DELETE CASCADE,
  resource TEXT    NOT NULL,
  path     TEXT    NOT NULL,
  way      TEXT    NOT NULL,
  version  INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  PRIMARY KEY (envoy, resource, path, way)
) STRICT, WITHOUT ROWID;
CREATE INDEX secret_exposures_of_a_secret ON secret_exposures (path);
