//! Who asks, and what they may. The only token of this build is the one in `admin.token`: new at each start, good from this machine only.

use crate::problem::{Code, Problem};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use subtle::ConstantTimeEq as _;

/// What a route demands. The words are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Read the server's state.
    StatusRead,
    /// Set, rotate and delete secrets. It lets nobody read one.
    SecretsSet,
    /// Read names and versions of secrets.
    SecretsList,
    /// Read values of secrets, sealed to a key of one's own.
    SecretsGet,
    /// Write a reference to a secret into what is published.
    SecretsUse,
    /// Read what is published, check and plan.
    ConfigRead,
    /// Publish and roll back.
    ConfigPublish,
    /// Make, list and delete enrolment tokens.
    TokensCreate,
    /// Read envoys.
    EnvoysRead,
    /// Revoke and delete envoys.
    EnvoysWrite,
    /// Read reports.
    RunsRead,
    /// Read and verify the audit log.
    AuditRead,
    /// Read the metrics.
    MetricsRead,
}

impl Permission {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 13] = [
        Self::StatusRead,
        Self::SecretsSet,
        Self::SecretsList,
        Self::SecretsGet,
        Self::SecretsUse,
        Self::ConfigRead,
        Self::ConfigPublish,
        Self::TokensCreate,
        Self::EnvoysRead,
        Self::EnvoysWrite,
        Self::RunsRead,
        Self::AuditRead,
        Self::MetricsRead,
    ];

    /// The word in messages and in the manual.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StatusRead => "status.read",
            Self::SecretsSet => "secrets.set",
            Self::SecretsList => "secrets.list",
            Self::SecretsGet => "secrets.get",
            Self::SecretsUse => "secrets.use",
            Self::ConfigRead => "config.read",
            Self::ConfigPublish => "config.publish",
            Self::TokensCreate => "tokens.create",
            Self::EnvoysRead => "envoys.read",
            Self::EnvoysWrite => "envoys.write",
            Self::RunsRead => "runs.read",
            Self::AuditRead => "audit.read",
            Self::MetricsRead => "metrics.read",
        }
    }
}

/// Who asks. Holding one proves that a token was presented and known.
#[derive(Clone, Debug)]
pub struct Principal {
    name: String,
    permissions: Vec<Permission>,
}

impl Principal {
    /// Someone of that name with exactly these permissions.
    #[must_use]
    pub fn new(name: impl Into<String>, permissions: &[Permission]) -> Self {
        Self { name: name.into(), permissions: permissions.to_vec() }
    }

    /// The name in the audit log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if this one may.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Refuses unless this one may.
    ///
    /// # Errors
    /// `not-permitted`, naming the permission.
    pub fn require(&self, permission: Permission) -> Result<(), Problem> {
        if self.may(permission) {
            return Ok(());
        }
        let detail = format!("`{}` lacks the permission `{}`", self.name, permission.as_str());
        Err(Problem::new(Code::NotPermitted, detail))
    }
}

/// Knows tokens by their hashes; no token itself stays in memory.
#[derive(Clone, Debug)]
pub struct Tokens {
    admin: [u8; 32],
}

impl Tokens {
    /// Makes the token of this start. The caller writes it to `admin.token` and drops it.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn start() -> Result<(Self, String), vigo_wire::WireError> {
        let mut bytes = [0_u8; 32];
        vigo_wire::random::fill(&mut bytes)?;
        let token = format!("vigo-admin-{}", vigo_base::encode_hex(&bytes));
        Ok((Self { admin: hash(&token) }, token))
    }

    /// Who presents `header`, the value of `Authorization`, from the address `peer`.
    ///
    /// # Errors
    /// `not-logged-in` when there is no known token; the admin token is known on this machine only.
    pub fn recognise(&self, header: Option<&str>, peer: IpAddr) -> Result<Principal, Problem> {
        let refused = |detail: &str| Problem::new(Code::NotLoggedIn, detail);
        let Some(header) = header else {
            return Err(refused("the request has no token").help("name the token's file with `--token-file`"));
        };
        let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, token)) = token else {
            return Err(refused("the request has no token of the kind `Bearer`"));
        };
        let known: bool = hash(token.trim()).ct_eq(&self.admin).into();
        if !known {
            return Err(refused("the token is not known")
                .help("`admin.token` is new at each start of the server: read it again"));
        }
        if !peer.to_canonical().is_loopback() {
            return Err(refused("the admin token is good on the server's own machine only"));
        }
        let all_but_values: Vec<_> =
            Permission::ALL.into_iter().filter(|one| *one != Permission::SecretsGet).collect();
        Ok(Principal::new("admin.token", &all_but_values))
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_admin_token_is_known_on_this_machine_only_and_reads_no_value() {
        let (tokens, token) = Tokens::start().unwrap();
        let header = format!("Bearer {token}");
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let admin = tokens.recognise(Some(&header), here).unwrap();
        assert!(admin.may(Permission::ConfigPublish));
        assert!(!admin.may(Permission::SecretsGet));
        assert_eq!(admin.require(Permission::SecretsGet).unwrap_err().code(), Code::NotPermitted);
        for (header, peer) in [
            (Some(header.as_str()), IpAddr::from([192, 0, 2, 1])),
            (Some("Bearer nonsense"), here),
            (Some("Basic nonsense"), here),
            (Some(""), here),
            (None, here),
        ] {
            assert_eq!(tokens.recognise(header, peer).unwrap_err().code(), Code::NotLoggedIn);
        }
    }

    #[test]
    fn two_starts_make_two_tokens() {
        assert_ne!(Tokens::start().unwrap().1, Tokens::start().unwrap().1);
    }
}
