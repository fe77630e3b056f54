//! API tokens: with what somebody shows who they are, other than on the server's own machine.

use crate::token::TokenId;
use vigo_base::SecretScope;

/// An API token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id; 1 to 32 bytes that are no secret.
    pub id: TokenId,
    /// SHA-256 of the token as its owner holds it. The token has 32 random bytes, so its hash is of use to nobody.
    pub hash: [u8; 32],
    /// Whose it is.
    pub user: String,
    /// What it is good for: the server's words for permissions.
    pub permissions: Vec<String>,
    /// For which secrets; empty for all.
    pub paths: Vec<SecretScope>,
    /// From when on it is not known any more.
    pub expires_at: u64,
    /// By whom it was made.
    pub created_by: String,
    /// When.
    pub created_at: u64,
    /// A MAC by the hand over [`ApiToken::granting_bytes`]: who can write to the database alone cannot make one or widen it.
    pub mac: Vec<u8>,
}

impl ApiToken {
    /// What the MAC is over: everything but itself.
    #[must_use]
    pub fn granting_bytes(&self) -> Vec<u8> {
        let mut bytes = b"vigo api token v1".to_vec();
        let mut put = |part: &[u8]| {
            bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend(part);
        };
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
        put(self.id.as_bytes());
        put(&self.hash);
        put(self.user.as_bytes());
        put(&number(self.permissions.len()));
        self.permissions.iter().for_each(|permission| put(permission.as_bytes()));
        put(&number(self.paths.len()));
        self.paths.iter().for_each(|scope| put(scope.as_str().as_bytes()));
        put(&self.expires_at.to_be_bytes());
        put(self.created_by.as_bytes());
        put(&self.created_at.to_be_bytes());
        bytes
    }
}
