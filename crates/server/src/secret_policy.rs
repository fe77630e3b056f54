//! Policies of secrets: who may have which ones, by facts that the server owns, and on what machine, by what that machine says of itself.
//!
//! Every policy that covers a secret must hold: a narrower one adds to a wider one and never loosens it, so that nobody has to know the order in which they are looked at.

use crate::ServerError;
use crate::rest::call::record;
use crate::state::Server;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use vigo_base::{Digest, ProtectionLevel, SecretPath, SwapClass};
use vigo_policy::Glob;
use vigo_store::{Posture, SecretPolicies, SecretPolicy};

/// Reasons of a level that a refusal repeats.
const REASONS: usize = 3;

/// What the server itself knows of an envoy.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The name it is enrolled under.
    pub name: &'a str,
    /// The environment of its assignment; empty for none.
    pub environment: &'a str,
    /// What its token bound to it.
    pub labels: &'a BTreeMap<String, String>,
}

/// No, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A word of [`vigo_wire::inner::SecretItem::code`].
    pub code: &'static str,
    /// Why.
    pub why: String,
    /// What to do about it; may be empty.
    pub help: String,
}

/// The policies that cover a secret.
pub fn covering<'a>(
    policies: &'a SecretPolicies,
    path: &SecretPath,
) -> impl Iterator<Item = &'a SecretPolicy> {
    policies.policies.iter().filter(move |policy| policy.scope.covers(path))
}

/// Whether the policies allow the secret to that envoy, whatever machine it is.
///
/// # Errors
/// The refusal of the first policy that does not.
pub fn allows(policies: &SecretPolicies, path: &SecretPath, facts: &Facts<'_>) -> Result<(), Refusal> {
    for policy in covering(policies, path) {
        let scope = &policy.scope;
        let refuse = |what: String| {
            let why = format!("the policy of `{scope}` does not allow it to {what}");
            let help = format!("`vigocli secrets policy show {scope}` says to whom");
            Err(Refusal { code: "policy", why, help })
        };
        let fits = |glob: &String| glob.parse::<Glob>().is_ok_and(|glob| glob.matches(facts.name));
        if !policy.envoys.is_empty() && !policy.envoys.iter().any(fits) {
            return refuse(format!("an envoy named `{}`", facts.name));
        }
        if !policy.environments.is_empty() && !policy.environments.iter().any(|one| one == facts.environment)
        {
            return refuse(match facts.environment {
                "" => "an envoy without an environment".into(),
                environment => format!("the environment `{environment}`"),
            });
        }
        let missing = policy.labels.iter().find(|(name, value)| facts.labels.get(*name) != Some(*value));
        if let Some((name, value)) = missing {
            return refuse(format!("an envoy without the label `{name}={value}`"));
        }
    }
    Ok(())
}

/// Whether the machine is protected as well as the policies require.
///
/// # Errors
/// The refusal of the first policy that requires more, with what would mend it.
pub fn gate(policies: &SecretPolicies, path: &SecretPath, posture: &Posture) -> Result<(), Refusal> {
    covering(policies, path).try_for_each(|policy| {
        level(policy, posture)?;
        swap(policy, posture)
    })
}

fn level(policy: &SecretPolicy, posture: &Posture) -> Result<(), Refusal> {
    let Some(required) = policy.require else { return Ok(()) };
    let has = ProtectionLevel::parse(&posture.level);
    if has.is_some_and(|level| level >= required) {
        return Ok(());
    }
    let scope = &policy.scope;
    let is = match has {
        Some(level) => format!("is `{level}`"),
        None => "did not say its own".into(),
    };
    let reasons: Vec<&str> = posture.reasons.iter().take(REASONS).map(String::as_str).collect();
    let because = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
    Err(Refusal {
        code: "level",
        why: format!(
            "the policy of `{scope}` requires the protection level `{required}` and this machine {is}{because}"
        ),
        help: mend(&posture.reasons),
    })
}

/// What would raise the level, as far as its reasons tell.
fn mend(reasons: &[String]) -> String {
    let says = |word: &str| reasons.iter().any(|reason| reason.contains(word));
    let first = if says("protected pages") || says("locked pages") {
        "take `arena:` out of the agent's settings, or raise what it may lock (`LimitMEMLOCK=16M` in its unit, `ulimit -l 16384`)"
    } else if says("traced") {
        "end the process that traces it"
    } else if says("same user") {
        "let root run the agent, so that its network worker gets a user of its own"
    } else {
        "mend what it lacks"
    };
    format!("on that machine: {first}; `vigo doctor` says what else is missing; then `vigo run`")
}

fn swap(policy: &SecretPolicy, posture: &Posture) -> Result<(), Refusal> {
    let has = SwapClass::parse(&posture.swap);
    if !policy.require_swap_closed || has.is_some_and(SwapClass::is_closed) {
        return Ok(());
    }
    let scope = &policy.scope;
    let is = match has {
        Some(class) => format!("has swap of the class `{class}`"),
        None => "did not say what swap it has".into(),
    };
    Err(Refusal {
        code: "swap",
        why: format!("the policy of `{scope}` requires closed swap and this machine {is}"),
        help: "on that machine: `swapoff -a` closes it until the next boot, the resource `swap_policy` for good (`vigo explain swap_policy`); then `vigo run`".into(),
    })
}

/// What there is to say of a posture that nobody requires to be better; `None` when it is as good as can be.
#[must_use]
pub fn shortfall(posture: &Posture) -> Option<String> {
    let is_secure = ProtectionLevel::parse(&posture.level) == Some(ProtectionLevel::Secure);
    let is_closed = SwapClass::parse(&posture.swap).is_some_and(SwapClass::is_closed);
    let word = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    (!is_secure || !is_closed)
        .then(|| format!("level {}, swap {}", word(&posture.level), word(&posture.swap)))
}

/// Checks that policies that were read from the store are this server's own. Blocks.
///
/// # Errors
/// `Forged` when a row was added, changed or taken away past the server, or an older set was put back, none at all among them.
pub fn verify(server: &Server, policies: &SecretPolicies) -> Result<(), ServerError> {
    let forged = || ServerError::Forged { what: "policies of secrets", name: policies.revision.to_string() };
    let bytes = policies.granting_bytes();
    let read = (policies.revision, Digest::of(&bytes), policies.mac.clone());
    let newest = server.witness.policy_revision();
    // Somebody may have changed them since these were read; then the store has the newer ones.
    if policies.revision < newest && server.store.secret_policies()?.revision < newest {
        return Err(forged());
    }
    let known = server.checked_policies.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if known.as_ref() == Some(&read) {
        return Ok(());
    }
    if policies.revision == 0 {
        // Before the first policy there is nothing to authenticate.
        return if policies.policies.is_empty() && policies.mac.is_empty() { Ok(()) } else { Err(forged()) };
    }
    server.keys.check_mac("policies of secrets", &policies.revision, &bytes, &policies.mac)?;
    let mut known = server.checked_policies.lock().unwrap_or_else(PoisonError::into_inner);
    if known.as_ref().is_none_or(|(newest, ..)| *newest <= read.0) {
        *known = Some(read);
    }
    Ok(())
}

/// Puts one policy in the place of another, or takes it away, or (with `None` for both) takes the stored ones as they are. Blocks.
///
/// # Errors
/// When the stored ones are not this server's own and are not to be taken, or the store or the hand cannot.
pub fn change(
    server: &Server,
    by: &str,
    detail: &str,
    scope: Option<&vigo_base::SecretScope>,
    policy: Option<SecretPolicy>,
) -> Result<(), ServerError> {
    let _turn = server.secret_changes();
    let mut next = server.store.secret_policies()?;
    match verify(server, &next) {
        Err(ServerError::Forged { .. }) if scope.is_none() => {}
        verified => verified?,
    }
    if let Some(scope) = scope {
        next.policies.retain(|one| one.scope != *scope);
        next.policies.extend(policy);
        next.policies.sort_by(|one, other| one.scope.cmp(&other.scope));
    }
    next.revision = next.revision.saturating_add(1);
    next.mac = server.keys.mac(&next.granting_bytes())?.to_vec();
    let object = scope.map_or("", vigo_base::SecretScope::as_str);
    let audit = record(by, crate::auth::Permission::SecretsPolicy.as_str(), object, "allowed", detail);
    server.change_rights(
        |rights| rights.set_policies(&next),
        |store| store.set_secret_policies(&next, &[audit]),
    )?;
    server.metrics.audit_records.inc();
    // What is known of an older set must not refuse the one that was just accepted.
    *server.checked_policies.lock().unwrap_or_else(PoisonError::into_inner) = None;
    server.note_secret_changes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(scope: &str) -> SecretPolicy {
        SecretPolicy {
            scope: scope.parse().unwrap(),
            require: None,
            require_swap_closed: false,
            environments: Vec::new(),
            envoys: Vec::new(),
            labels: BTreeMap::new(),
            by: "admin".into(),
            at: 1,
        }
    }

    fn set(policies: Vec<SecretPolicy>) -> SecretPolicies {
        SecretPolicies { revision: 1, policies, mac: Vec::new() }
    }

    fn posture(level: &str, swap: &str) -> Posture {
        Posture { level: level.into(), reasons: vec!["no protected pages (x)".into()], swap: swap.into() }
    }

    #[test]
    fn every_kind_of_fact_that_a_policy_names_must_fit() {
        let labels = BTreeMap::from([("tier".to_owned(), "front".to_owned())]);
        let facts = Facts { name: "web-1", environment: "production", labels: &labels };
        let path: SecretPath = "web/token".parse().unwrap();
        let says = |change: &dyn Fn(&mut SecretPolicy)| {
            let mut policy = policy("web/");
            change(&mut policy);
            allows(&set(vec![policy]), &path, &facts).map_err(|refusal| refusal.why)
        };
        assert_eq!(says(&|_| {}), Ok(()));
        assert_eq!(says(&|one| one.envoys = vec!["db-*".into(), "web-?".into()]), Ok(()));
        assert!(says(&|one| one.envoys = vec!["db-*".into()]).unwrap_err().contains("`web-1`"));
        assert_eq!(says(&|one| one.environments = vec!["test".into(), "production".into()]), Ok(()));
        assert!(says(&|one| one.environments = vec!["test".into()]).unwrap_err().contains("`production`"));
        assert_eq!(says(&|one| one.labels = labels.clone()), Ok(()));
        let back = BTreeMap::from([("tier".to_owned(), "back".to_owned())]);
        assert!(says(&|one| one.labels = back.clone()).unwrap_err().contains("`tier=back`"));
        let elsewhere = SecretPolicy { envoys: vec!["db-*".into()], ..policy("db/") };
        assert_eq!(allows(&set(vec![elsewhere]), &path, &facts), Ok(()), "it covers other secrets");
    }

    #[test]
    fn a_narrower_policy_adds_to_a_wider_one_and_never_loosens_it() {
        let path: SecretPath = "web/token".parse().unwrap();
        let wide = SecretPolicy { require: Some(ProtectionLevel::Secure), ..policy("web/") };
        let narrow = SecretPolicy { require: Some(ProtectionLevel::Insecure), ..policy("web/token") };
        for both in [vec![wide.clone(), narrow.clone()], vec![narrow, wide]] {
            assert_eq!(gate(&set(both), &path, &posture("weak", "none")).unwrap_err().code, "level");
        }
    }

    #[test]
    fn a_machine_below_what_is_required_is_refused_with_what_mends_it() {
        let path: SecretPath = "web/token".parse().unwrap();
        let required = |level| set(vec![SecretPolicy { require: Some(level), ..policy("/") }]);
        let (secure, weak) = (required(ProtectionLevel::Secure), required(ProtectionLevel::Weak));
        for (policies, level, is_served) in [
            (&secure, "secure", true),
            (&secure, "weak", false),
            (&secure, "insecure", false),
            (&secure, "", false),
            (&secure, "SECURE", false),
            (&weak, "secure", true),
            (&weak, "weak", true),
            (&weak, "insecure", false),
        ] {
            assert_eq!(gate(policies, &path, &posture(level, "")).is_ok(), is_served, "{level}");
        }
        let refusal = gate(&weak, &path, &posture("insecure", "none")).unwrap_err();
        assert!(refusal.why.contains("`weak`") && refusal.why.contains("no protected pages"), "{refusal:?}");
        assert!(refusal.help.contains("LimitMEMLOCK") && refusal.help.contains("vigo doctor"), "{refusal:?}");
        assert_eq!(
            gate(&set(Vec::new()), &path, &posture("insecure", "plain")),
            Ok(()),
            "by default: served"
        );
    }

    #[test]
    fn only_swap_that_is_none_compressed_or_encrypted_is_closed() {
        let path: SecretPath = "web/token".parse().unwrap();
        let policies = set(vec![SecretPolicy { require_swap_closed: true, ..policy("web/") }]);
        for (class, is_served) in [
            ("none", true),
            ("zram", true),
            ("encrypted-ephemeral", true),
            ("encrypted-persistent", true),
            ("plain", false),
            ("", false),
            ("unheard-of", false),
        ] {
            assert_eq!(gate(&policies, &path, &posture("secure", class)).is_ok(), is_served, "{class}");
        }
        let refusal = gate(&policies, &path, &posture("secure", "plain")).unwrap_err();
        assert!(refusal.code == "swap" && refusal.help.contains("swapoff -a"), "{refusal:?}");
    }

    #[test]
    fn what_is_served_below_the_best_is_said() {
        assert_eq!(shortfall(&posture("secure", "none")), None);
        assert_eq!(shortfall(&posture("weak", "none")).unwrap(), "level weak, swap none");
        assert_eq!(shortfall(&posture("secure", "plain")).unwrap(), "level secure, swap plain");
        assert_eq!(shortfall(&Posture::default()).unwrap(), "level unknown, swap unknown");
    }
}
