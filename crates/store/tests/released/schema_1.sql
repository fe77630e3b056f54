-- A store as schema 1 wrote it, with a row of everything. Never edited: every later build must open it.
PRAGMA application_id = 1449748335;
PRAGMA user_version = 1;

CREATE TABLE deployment (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  anchor     BLOB    NOT NULL CHECK (length(anchor) = 32),
  master_key BLOB    NOT NULL CHECK (length(master_key) = 16),
  term       INTEGER NOT NULL CHECK (term >= 1),
  founded_at INTEGER NOT NULL
) STRICT;
CREATE TRIGGER deployment_is_made_once BEFORE DELETE ON deployment
BEGIN SELECT RAISE(ABORT, 'the deployment is made once'); END;
CREATE TRIGGER deployment_keeps_its_anchor BEFORE UPDATE OF one, anchor, founded_at ON deployment
BEGIN SELECT RAISE(ABORT, 'the deployment is made once'); END;
CREATE TRIGGER the_term_only_rises BEFORE UPDATE OF term ON deployment WHEN new.term <= old.term
BEGIN SELECT RAISE(ABORT, 'the term only rises'); END;

CREATE TABLE server_keys (
  purpose     TEXT    NOT NULL,
  public      BLOB    NOT NULL,
  wrapped     BLOB    NOT NULL,
  certificate BLOB    NOT NULL,
  created_at  INTEGER NOT NULL,
  retired_at  INTEGER,
  PRIMARY KEY (purpose, public)
) STRICT, WITHOUT ROWID;

-- Trees, tables and bundles, each by the digest of its bytes.
CREATE TABLE blobs (
  digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
  bytes  BLOB NOT NULL
) STRICT;

CREATE TABLE publishes (
  version    INTEGER PRIMARY KEY AUTOINCREMENT,
  at         INTEGER NOT NULL,
  by         TEXT    NOT NULL,
  message    TEXT    NOT NULL,
  git_commit TEXT,
  git_dirty  INTEGER,
  tree       BLOB    NOT NULL REFERENCES blobs (digest),
  lookup     BLOB    NOT NULL REFERENCES blobs (digest)
) STRICT;

CREATE TABLE publish_bundles (
  version INTEGER NOT NULL REFERENCES publishes (version),
  digest  BLOB    NOT NULL REFERENCES blobs (digest),
  PRIMARY KEY (version, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
  id         BLOB PRIMARY KEY,
  key        BLOB    NOT NULL,
  globs      TEXT    NOT NULL,
  uses_left  INTEGER NOT NULL CHECK (uses_left >= 0),
  expires_at INTEGER NOT NULL,
  labels     TEXT    NOT NULL,
  replaces   INTEGER NOT NULL,
  created_by TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  mac        BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE token_answers (
  token   BLOB NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
  request BLOB NOT NULL,
  answer  BLOB NOT NULL,
  PRIMARY KEY (token, request)
) STRICT;

-- Every id that was ever given: none returns.
CREATE TABLE envoy_ids (
  id BLOB PRIMARY KEY CHECK (length(id) = 16)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER ids_never_return BEFORE DELETE ON envoy_ids
BEGIN SELECT RAISE(ABORT, 'ids never return'); END;

CREATE TABLE envoys (
  id                BLOB    PRIMARY KEY REFERENCES envoy_ids (id),
  name              TEXT    NOT NULL,
  identity_key      BLOB    NOT NULL CHECK (length(identity_key) = 32),
  session_key       BLOB    NOT NULL CHECK (length(session_key) = 32),
  labels            TEXT    NOT NULL,
  mac               BLOB    NOT NULL,
  state             TEXT    NOT NULL CHECK (state IN ('active', 'quarantined', 'revoked')),
  enrolled_at       INTEGER NOT NULL,
  environment       TEXT    NOT NULL DEFAULT '',
  last_seen         INTEGER,
  agent_version     TEXT    NOT NULL DEFAULT '',
  level             TEXT    NOT NULL DEFAULT '',
  reasons           TEXT    NOT NULL DEFAULT '[]',
  swap              TEXT    NOT NULL DEFAULT '',
  traits_digest     BLOB,
  continuity        BLOB    NOT NULL DEFAULT x'',
  continuity_before BLOB    NOT NULL DEFAULT x'',
  run_at            INTEGER,
  run_unchanged     INTEGER NOT NULL DEFAULT 0,
  run_changed       INTEGER NOT NULL DEFAULT 0,
  run_failed        INTEGER NOT NULL DEFAULT 0,
  run_blocked       INTEGER NOT NULL DEFAULT 0,
  run_skipped       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX a_name_has_one_living_id ON envoys (name) WHERE state <> 'revoked';
CREATE INDEX envoys_by_name ON envoys (name, id);
CREATE TRIGGER revoked_stays_revoked BEFORE UPDATE OF state ON envoys WHEN old.state = 'revoked' AND new.state <> 'revoked'
BEGIN SELECT RAISE(ABORT, 'a revoked id never returns'); END;

CREATE TABLE envoy_traits (
  envoy  BLOB PRIMARY KEY REFERENCES envoys (id) ON DELETE CASCADE,
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  bytes  BLOB NOT NULL
) STRICT;

-- The current assignment of each envoy and the one before it.
CREATE TABLE assignments (
  envoy         BLOB    NOT NULL REFERENCES envoys (id) ON DELETE CASCADE,
  term          INTEGER NOT NULL,
  generation    INTEGER NOT NULL,
  bundle        BLOB    NOT NULL CHECK (length(bundle) = 32),
  publish       INTEGER NOT NULL,
  secrets_epoch INTEGER NOT NULL,
  environment   TEXT    NOT NULL,
  issued_at     INTEGER NOT NULL,
  bytes         BLOB    NOT NULL,
  PRIMARY KEY (envoy, term, generation)
) STRICT;

CREATE TABLE secret_versions (
  path    TEXT    NOT NULL,
  version INTEGER NOT NULL CHECK (version >= 1),
  at      INTEGER NOT NULL,
  by      TEXT    NOT NULL,
  state   TEXT    NOT NULL CHECK (state IN ('current', 'kept', 'removed')),
  record  BLOB,
  PRIMARY KEY (path, version),
  CHECK ((record IS NULL) = (state = 'removed'))
) STRICT;
CREATE UNIQUE INDEX one_version_is_current ON secret_versions (path) WHERE state = 'current';

CREATE TABLE secret_changes (
  change  INTEGER PRIMARY KEY AUTOINCREMENT,
  path    TEXT    NOT NULL,
  version INTEGER
) STRICT;

CREATE TABLE runs (
  number      INTEGER PRIMARY KEY AUTOINCREMENT,
  run         BLOB    NOT NULL UNIQUE CHECK (length(run) = 16),
  envoy       BLOB    NOT NULL REFERENCES envoys (id) ON DELETE CASCADE,
  name        TEXT    NOT NULL,
  received_at INTEGER NOT NULL,
  started_at  INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  dry_run     INTEGER NOT NULL,
  offline     INTEGER NOT NULL,
  publish     INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  unchanged   INTEGER NOT NULL,
  changed     INTEGER NOT NULL,
  failed      INTEGER NOT NULL,
  blocked     INTEGER NOT NULL,
  skipped     INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_of_an_envoy ON runs (envoy, number);

CREATE TABLE run_reports (
  number INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
  report BLOB NOT NULL
) STRICT;

CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY CHECK (sequence >= 1),
  at_ms    INTEGER NOT NULL,
  actor    TEXT    NOT NULL,
  action   TEXT    NOT NULL,
  object   TEXT    NOT NULL,
  outcome  TEXT    NOT NULL,
  detail   TEXT    NOT NULL,
  previous BLOB    NOT NULL CHECK (length(previous) = 32),
  digest   BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

-- The end of the chain beside the chain: records cut off at its end are missed.
CREATE TABLE audit_head (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  sequence INTEGER NOT NULL,
  digest   BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;
CREATE TRIGGER the_audit_head_stays BEFORE DELETE ON audit_head
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

INSERT INTO deployment VALUES (1, zeroblob(32), zeroblob(16), 3, 100);
INSERT INTO server_keys VALUES ('bundle', x'01', x'02', x'03', 100, NULL);
INSERT INTO blobs VALUES (x'dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622', x'74726565');
INSERT INTO blobs VALUES (x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', x'');
INSERT INTO publishes VALUES (1, 100, 'admin', 'first', 'abc', 1, x'dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622', x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO publish_bundles VALUES (1, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO tokens VALUES (x'0a', x'0b', '["web-*"]', 2, 5000, '{"tier":"front"}', 0, 'admin', 100, x'0c');
INSERT INTO token_answers VALUES (x'0a', x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', x'0d');
INSERT INTO envoy_ids VALUES (zeroblob(16));
INSERT INTO envoys VALUES (zeroblob(16), 'web-1', zeroblob(32), zeroblob(32), '{"tier":"front"}', x'0e', 'active', 110, 'production', 120, '0.1.0', 'weak', '["mlock"]', 'zram', x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', x'01', x'02', 130, 1, 2, 3, 4, 5);
INSERT INTO envoy_traits VALUES (zeroblob(16), x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', x'');
INSERT INTO assignments VALUES (zeroblob(16), 3, 7, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 1, 9, 'production', 115, x'0f');
INSERT INTO secret_versions VALUES ('web/token', 1, 100, 'admin', 'kept', x'10');
INSERT INTO secret_versions VALUES ('web/token', 2, 101, 'admin', 'current', x'11');
INSERT INTO secret_changes VALUES (1, 'web/token', 1);
INSERT INTO secret_changes VALUES (2, 'web/token', 2);
INSERT INTO runs VALUES (1, zeroblob(16), zeroblob(16), 'web-1', 131, 130, 12, 0, 0, 1, 7, 1, 2, 3, 4, 5);
INSERT INTO run_reports VALUES (1, x'0a1000000000000000000000000000000000');
INSERT INTO audit VALUES (1, 1, 'admin', 'secrets.set', 'web/token', 'allowed', '', x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', x'd21bcae5e165bfb9276c0d0a1b51412e96da3571937ddfe512af1a1fe89076b2');
INSERT INTO audit_head VALUES (1, 1, x'd21bcae5e165bfb9276c0d0a1b51412e96da3571937ddfe512af1a1fe89076b2');
