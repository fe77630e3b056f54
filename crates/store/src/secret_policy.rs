//! Policies of secrets: who may have which ones, on what machine. Kept and authenticated as one set, because taking a row away grants as much as adding one.

use std::collections::BTreeMap;
use vigo_base::{ProtectionLevel, SecretScope};

/// How many policies there are at most: all are read in every transaction that resolves a secret.
pub const POLICIES_MOST: usize = 1000;

/// Who may have some secrets, beyond standing in the bundle. What is empty or `None` demands nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPolicy {
    /// Which secrets.
    pub scope: SecretScope,
    /// The least protection level.
    pub require: Option<ProtectionLevel>,
    /// No swap, or one that cannot be read from the disk without a key.
    pub require_swap_closed: bool,
    /// In one of these environments.
    pub environments: Vec<String>,
    /// By a name that one of these globs fits.
    pub envoys: Vec<String>,
    /// With all of these labels, as they were bound at enrolment.
    pub labels: BTreeMap<String, String>,
    /// By whom it was set.
    pub by: String,
    /// When.
    pub at: u64,
}

/// All policies at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretPolicies {
    /// Rises by one with every change; 0 before the first.
    pub revision: u64,
    /// The policies, by scope, each scope once.
    pub policies: Vec<SecretPolicy>,
    /// A MAC by the hand over [`SecretPolicies::granting_bytes`]: who can write to the database alone cannot loosen one, nor take one away. Empty before the first change.
    pub mac: Vec<u8>,
}

impl SecretPolicies {
    /// What the MAC is over: the revision and everything that decides.
    #[must_use]
    pub fn granting_bytes(&self) -> Vec<u8> {
        let mut bytes = b"vigo secret policies v1".to_vec();
        let mut put = |part: &[u8]| {
            bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend(part);
        };
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
        put(&self.revision.to_be_bytes());
        for policy in &self.policies {
            put(policy.scope.as_str().as_bytes());
            put(policy.require.map_or("", ProtectionLevel::as_str).as_bytes());
            put(&[u8::from(policy.require_swap_closed)]);
            for list in [&policy.environments, &policy.envoys] {
                put(&number(list.len()));
                list.iter().for_each(|item| put(item.as_bytes()));
            }
            put(&number(policy.labels.len()));
            for (name, value) in &policy.labels {
                put(name.as_bytes());
                put(value.as_bytes());
            }
            put(policy.by.as_bytes());
            put(&policy.at.to_be_bytes());
        }
        bytes
    }

    /// The policy of exactly that scope.
    #[must_use]
    pub fn of(&self, scope: &SecretScope) -> Option<&SecretPolicy> {
        self.policies.iter().find(|policy| policy.scope == *scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> SecretPolicies {
        let policy = SecretPolicy {
            scope: "web/".parse().unwrap(),
            require: Some(ProtectionLevel::Secure),
            require_swap_closed: false,
            environments: vec!["a".into(), "b".into()],
            envoys: vec!["c".into()],
            labels: BTreeMap::from([("d".to_owned(), "e".to_owned())]),
            by: "admin".into(),
            at: 7,
        };
        SecretPolicies { revision: 3, policies: vec![policy], mac: Vec::new() }
    }

    #[test]
    fn every_field_that_decides_is_under_the_mac() {
        let change: [fn(&mut SecretPolicies); 10] = [
            |set| set.revision = 4,
            |set| set.policies.clear(),
            |set| set.policies[0].scope = "web/a".parse().unwrap(),
            |set| set.policies[0].require = None,
            |set| set.policies[0].require = Some(ProtectionLevel::Weak),
            |set| set.policies[0].require_swap_closed = true,
            // Nothing may move from one list to the next.
            |set| {
                let moved = set.policies[0].environments.pop().unwrap();
                set.policies[0].envoys.insert(0, moved);
            },
            |set| set.policies[0].labels.clear(),
            |set| set.policies[0].by = "eve".into(),
            |set| set.policies[0].at = 8,
        ];
        for change in change {
            let mut other = set();
            change(&mut other);
            assert_ne!(other.granting_bytes(), set().granting_bytes(), "{other:?}");
        }
        let marked = SecretPolicies { mac: vec![1], ..set() };
        assert_eq!(marked.granting_bytes(), set().granting_bytes());
    }
}
