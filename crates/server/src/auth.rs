//! Who asks, and what they may: with the token in `admin.token` (new at each start, good from this machine only), or with an [API token](crate::api_tokens).

use crate::problem::{Code, Problem};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use subtle::ConstantTimeEq as _;
use vigo_base::{SecretPath, SecretScope};

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
    /// Set and remove policies of secrets.
    SecretsPolicy,
    /// Read what is published, check and plan.
    ConfigRead,
    /// Publish and roll back.
    ConfigPublish,
    /// Make, list and delete enrolment tokens.
    TokensCreate,
    /// Make, list and delete API tokens, with no permission that one does not have.
    ApiTokensCreate,
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
    pub const ALL: [Self; 15] = [
        Self::StatusRead,
        Self::SecretsSet,
        Self::SecretsList,
        Self::SecretsGet,
        Self::SecretsUse,
        Self::SecretsPolicy,
        Self::ConfigRead,
        Self::ConfigPublish,
        Self::TokensCreate,
        Self::ApiTokensCreate,
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
            Self::SecretsPolicy => "secrets.policy",
            Self::ConfigRead => "config.read",
            Self::ConfigPublish => "config.publish",
            Self::TokensCreate => "tokens.create",
            Self::ApiTokensCreate => "api-tokens.create",
            Self::EnvoysRead => "envoys.read",
            Self::EnvoysWrite => "envoys.write",
            Self::RunsRead => "runs.read",
            Self::AuditRead => "audit.read",
            Self::MetricsRead => "metrics.read",
        }
    }

    /// The permission of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == word)
    }
}

/// Who asks. Holding one proves that a token was presented and known.
#[derive(Clone, Debug)]
pub struct Principal {
    name: String,
    permissions: Vec<Permission>,
    /// The only secrets that the permissions are about; `None` for all.
    scopes: Option<Vec<SecretScope>>,
    /// The administrator on the server's own machine.
    is_admin: bool,
}

impl Principal {
    /// Someone of that name with exactly these permissions.
    #[must_use]
    pub fn new(name: impl Into<String>, permissions: &[Permission]) -> Self {
        Self { name: name.into(), permissions: permissions.to_vec(), scopes: None, is_admin: false }
    }

    /// The same, for these secrets only; for all when there are none.
    #[must_use]
    pub fn only_for(mut self, scopes: Vec<SecretScope>) -> Self {
        self.scopes = Some(scopes).filter(|scopes| !scopes.is_empty());
        self
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

    /// True if what this one may is about that secret, too.
    #[must_use]
    pub fn covers(&self, path: &SecretPath) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|scope| scope.covers(path)))
    }

    /// True if what this one may is about every secret of that scope.
    #[must_use]
    pub fn covers_all_of(&self, wanted: &SecretScope) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|scope| scope.covers_all_of(wanted)))
    }

    /// Refuses unless what this one may is about that secret.
    ///
    /// # Errors
    /// `not-permitted`, naming the secret.
    pub fn require_for(&self, path: &SecretPath) -> Result<(), Problem> {
        if self.covers(path) { Ok(()) } else { Err(self.not_for(path.as_str())) }
    }

    /// Refuses unless what this one may is about every secret of that scope.
    ///
    /// # Errors
    /// `not-permitted`, naming the scope.
    pub fn require_over(&self, scope: &SecretScope) -> Result<(), Problem> {
        if self.covers_all_of(scope) { Ok(()) } else { Err(self.not_for(scope.as_str())) }
    }

    fn not_for(&self, what: &str) -> Problem {
        let detail = format!("what `{}` may is not about the secrets `{what}`", self.name);
        Problem::new(Code::NotPermitted, detail)
    }

    /// Refuses to give what one does not have. The administrator, who has the server's machine, may give everything.
    ///
    /// # Errors
    /// `not-permitted`, naming what is lacking.
    pub fn may_give(&self, permissions: &[Permission], scopes: &[SecretScope]) -> Result<(), Problem> {
        if self.is_admin {
            return Ok(());
        }
        permissions.iter().try_for_each(|permission| self.require(*permission))?;
        match (&self.scopes, scopes.is_empty()) {
            (Some(_), true) => Err(self.not_for("/")),
            _ => scopes.iter().try_for_each(|scope| self.require_over(scope)),
        }
    }
}

/// The token that stands in `header`, the value of `Authorization`.
///
/// # Errors
/// `not-logged-in` when there is none.
pub fn bearer(header: Option<&str>) -> Result<&str, Problem> {
    let refused = |detail: &str| Problem::new(Code::NotLoggedIn, detail);
    let Some(header) = header else {
        return Err(refused("the request has no token").help("name the token's file with `--token-file`"));
    };
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token {
        Some((_, token)) => Ok(token.trim()),
        None => Err(refused("the request has no token of the kind `Bearer`")),
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

    /// Who presents `token` from the address `peer`, if it is the one of this start.
    ///
    /// # Errors
    /// `not-logged-in` when it is not; it is known on this machine only.
    pub fn recognise(&self, token: &str, peer: IpAddr) -> Result<Principal, Problem> {
        let refused = |detail: &str| Problem::new(Code::NotLoggedIn, detail);
        let known: bool = hash(token).ct_eq(&self.admin).into();
        if !known {
            return Err(refused("the token is not known")
                .help("`admin.token` is new at each start of the server: read it again"));
        }
        if !peer.to_canonical().is_loopback() {
            return Err(refused("the admin token is good on the server's own machine only"));
        }
        let all_but_values: Vec<_> =
            Permission::ALL.into_iter().filter(|one| *one != Permission::SecretsGet).collect();
        Ok(Principal { is_admin: true, ..Principal::new("admin.token", &all_but_values) })
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
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let admin = tokens.recognise(&token, here).unwrap();
        assert!(admin.may(Permission::ConfigPublish));
        assert!(!admin.may(Permission::SecretsGet));
        assert_eq!(admin.require(Permission::SecretsGet).unwrap_err().code(), Code::NotPermitted);
        for (token, peer) in [(token.as_str(), IpAddr::from([192, 0, 2, 1])), ("nonsense", here), ("", here)]
        {
            assert_eq!(tokens.recognise(token, peer).unwrap_err().code(), Code::NotLoggedIn);
        }
        for header in [Some("Basic nonsense"), Some(""), Some("Bearer"), None] {
            assert_eq!(bearer(header).unwrap_err().code(), Code::NotLoggedIn);
        }
        assert_eq!(bearer(Some("bearer a ")).unwrap(), "a");
    }

    fn scope(text: &str) -> SecretScope {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_limited_to_some_secrets_is_so_everywhere() {
        let all = Principal::new("a", &[Permission::SecretsGet]);
        let some = all.clone().only_for(vec![scope("web/"), scope("db/one")]);
        let covers = |who: &Principal, path: &str| who.require_for(&path.parse().unwrap()).is_ok();
        assert!(covers(&all, "any/thing") && covers(&some, "web/token") && covers(&some, "db/one"));
        assert!(!covers(&some, "db/two") && !covers(&some, "webb/token"));
        assert!(some.covers_all_of(&scope("web/a/")) && !some.covers_all_of(&scope("/")));
        assert!(all.clone().only_for(Vec::new()).covers_all_of(&scope("/")));
    }

    #[test]
    fn nobody_but_the_administrator_gives_what_they_do_not_have() {
        let (get, set) = (Permission::SecretsGet, Permission::SecretsSet);
        let some = Principal::new("a", &[get]).only_for(vec![scope("web/")]);
        assert!(some.may_give(&[get], &[scope("web/a")]).is_ok());
        assert!(some.may_give(&[get, set], &[scope("web/a")]).is_err());
        assert!(some.may_give(&[get], &[scope("db/a")]).is_err());
        assert!(some.may_give(&[get], &[]).is_err(), "no scope means all secrets");
        assert!(Principal::new("b", &[get]).may_give(&[get], &[]).is_ok());
        let (tokens, line) = Tokens::start().unwrap();
        let admin = tokens.recognise(&line, Ipv4Addr::LOCALHOST.into()).unwrap();
        assert!(!admin.may(get) && admin.may_give(&[get], &[]).is_ok());
    }

    #[test]
    fn two_starts_make_two_tokens() {
        assert_ne!(Tokens::start().unwrap().1, Tokens::start().unwrap().1);
    }
}
