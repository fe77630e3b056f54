-- Schema 3: the MAC over the policies of secrets may change without a policy: under another master key it is another one.

DROP TRIGGER its_revision_only_rises;
CREATE TRIGGER its_revision_never_falls BEFORE UPDATE ON secret_policy_set WHEN new.revision < old.revision
BEGIN SELECT RAISE(ABORT, 'the revision never falls'); END;
