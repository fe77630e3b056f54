//! What the store grants by rows that can be taken away again: policies of secrets, API tokens, enrolment tokens. A row that was taken away and
//! is put back past the server has a MAC that holds; that it does not count any more is known from here, and after a restart from the witness.

use crate::ServerError;
use std::collections::BTreeMap;
use vigo_base::Digest;
use vigo_store::{ApiToken, PAGE_MAX, Page, SecretPolicies, Store, Token, TokenId};

/// The rows that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    policies: Digest,
    policy_revision: u64,
    /// Until when, and what is under the MAC.
    api_tokens: BTreeMap<TokenId, (u64, Digest)>,
    /// Until when. Their uses fall without being noted here.
    tokens: BTreeMap<TokenId, u64>,
}

impl Rights {
    /// Those that the store has. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of(store: &dyn Store) -> Result<Self, ServerError> {
        let policies = store.secret_policies()?;
        let mut rights = Self {
            policies: Digest::of(&policies.granting_bytes()),
            policy_revision: policies.revision,
            api_tokens: BTreeMap::new(),
            tokens: BTreeMap::new(),
        };
        let mut cursor: Option<String> = None;
        loop {
            let page = store.api_tokens(Page { cursor: cursor.as_deref(), limit: PAGE_MAX })?;
            page.items.iter().for_each(|token| rights.add_api_token(token));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        loop {
            let page = store.tokens(Page { cursor: cursor.as_deref(), limit: PAGE_MAX })?;
            page.items.iter().for_each(|token| rights.add_token(token));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(rights)
    }

    /// All of them in one.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut bytes = b"vigo rights v1".to_vec();
        bytes.extend(self.policies.as_bytes());
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
        bytes.extend(number(self.api_tokens.len()));
        // The MAC's bytes have the id in them.
        self.api_tokens.values().for_each(|(_, digest)| bytes.extend(digest.as_bytes()));
        for (id, expires_at) in &self.tokens {
            bytes.extend(number(id.as_bytes().len()));
            bytes.extend(id.as_bytes());
            bytes.extend(expires_at.to_be_bytes());
        }
        Digest::of(&bytes)
    }

    /// These policies count from now on, and no others.
    pub fn set_policies(&mut self, policies: &SecretPolicies) {
        self.policies = Digest::of(&policies.granting_bytes());
        self.policy_revision = policies.revision;
    }

    /// Which of the policies that ever were they are.
    #[must_use]
    pub const fn policy_revision(&self) -> u64 {
        self.policy_revision
    }

    /// One more.
    pub fn add_api_token(&mut self, token: &ApiToken) {
        let row = (token.expires_at, Digest::of(&token.granting_bytes()));
        self.api_tokens.insert(token.id.clone(), row);
    }

    /// One less.
    pub fn remove_api_token(&mut self, id: &TokenId) {
        self.api_tokens.remove(id);
    }

    /// True if that row counts.
    #[must_use]
    pub fn has_api_token(&self, token: &ApiToken) -> bool {
        self.api_tokens
            .get(&token.id)
            .is_some_and(|(_, digest)| *digest == Digest::of(&token.granting_bytes()))
    }

    /// One more.
    pub fn add_token(&mut self, token: &Token) {
        self.tokens.insert(token.id.clone(), token.expires_at);
    }

    /// One less.
    pub fn remove_token(&mut self, id: &TokenId) {
        self.tokens.remove(id);
    }

    /// True if that one counts.
    #[must_use]
    pub fn has_token(&self, id: &TokenId) -> bool {
        self.tokens.contains_key(id)
    }

    /// Those that expired before `before` are gone, as the store prunes them.
    pub fn prune(&mut self, before: u64) {
        self.api_tokens.retain(|_, (expires_at, _)| *expires_at >= before);
        self.tokens.retain(|_, expires_at| *expires_at >= before);
    }
}
