//! Policies of secrets for operators: set, shown, listed, removed.

use super::call::{Answer, Call};
use crate::clock::{self, rfc3339};
use crate::problem::{Code, Problem};
use crate::state::Server;
use crate::{ServerError, secret_policy};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vigo_base::{ProtectionLevel, SecretScope};
use vigo_policy::Glob;
use vigo_store::SecretPolicy;

const LIST_MOST: usize = 64;

fn scope(call: &Call) -> Result<SecretScope, Problem> {
    call.parameter("scope")?
        .parse()
        .map_err(|error: vigo_base::SecretScopeError| Problem::new(Code::Malformed, error.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyBody {
    require: Option<String>,
    require_swap: Option<String>,
    #[serde(default)]
    environments: Vec<String>,
    #[serde(default)]
    envoys: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// `PUT /secret-policies/{scope}`: in the place of what was there.
pub fn set(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let scope = scope(call)?;
    let policy = policy(&scope, call.json()?, call.principal.name())?;
    let detail = described(&policy).join("; ");
    secret_policy::change(server, call.principal.name(), &detail, Some(&scope), Some(policy.clone()))?;
    Ok(Answer::object(show(&policy)))
}

fn policy(scope: &SecretScope, body: PolicyBody, by: &str) -> Result<SecretPolicy, Problem> {
    let invalid = |why: String| Problem::new(Code::Invalid, why);
    let require = match body.require.as_deref() {
        None => None,
        Some(word) => match ProtectionLevel::parse(word) {
            Some(level @ (ProtectionLevel::Weak | ProtectionLevel::Secure)) => Some(level),
            _ => return Err(invalid(format!("`require` is `weak` or `secure`, not `{word}`"))),
        },
    };
    let require_swap_closed = match body.require_swap.as_deref() {
        None => false,
        Some("closed") => true,
        Some(word) => return Err(invalid(format!("`require_swap` is `closed`, not `{word}`"))),
    };
    let is_plain = |text: &String| (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
    let lists = [body.environments.len(), body.envoys.len(), body.labels.len()];
    let texts = body.environments.iter().chain(body.labels.keys()).chain(body.labels.values());
    if lists.iter().any(|length| *length > LIST_MOST) || !texts.into_iter().all(is_plain) {
        return Err(invalid(format!(
            "`environments`, `envoys` and `labels` take up to {LIST_MOST} texts of 1 to 128 bytes each"
        )));
    }
    for glob in &body.envoys {
        glob.parse::<Glob>().map_err(|error| invalid(error.to_string()))?;
    }
    if require.is_none() && !require_swap_closed && lists.iter().all(|length| *length == 0) {
        return Err(invalid("a policy that demands nothing changes nothing".into()).help(format!(
            "say whom it allows or what it requires, or remove it: `vigocli secrets policy rm {scope}`"
        )));
    }
    Ok(SecretPolicy {
        scope: scope.clone(),
        require,
        require_swap_closed,
        environments: body.environments,
        envoys: body.envoys.iter().map(|glob| glob.to_ascii_lowercase()).collect(),
        labels: body.labels,
        by: by.into(),
        at: clock::now(),
    })
}

/// What a policy demands, a line each.
#[must_use]
pub fn described(policy: &SecretPolicy) -> Vec<String> {
    let labels = policy.labels.iter().map(|(name, value)| format!("{name}={value}"));
    let labels: Vec<String> = labels.collect();
    let any =
        |what: &str, list: &[String]| (!list.is_empty()).then(|| format!("{what} {}", list.join(" or ")));
    let all = [
        any("environment", &policy.environments),
        any("envoy", &policy.envoys),
        (!labels.is_empty()).then(|| format!("label {}", labels.join(" and "))),
        policy.require.map(|level| format!("level {level}")),
        policy.require_swap_closed.then(|| "swap closed".to_owned()),
    ];
    all.into_iter().flatten().collect()
}

fn show(policy: &SecretPolicy) -> Value {
    json!({
        "scope": policy.scope.as_str(),
        "require": policy.require.map(ProtectionLevel::as_str),
        "require_swap": policy.require_swap_closed.then_some("closed"),
        "environments": policy.environments,
        "envoys": policy.envoys,
        "labels": policy.labels,
        "set_by": policy.by,
        "set_at": rfc3339(policy.at),
    })
}

/// `GET /secret-policies`: all of them, and whether they are as this server wrote them.
pub fn list(server: &Server, call: &Call) -> Result<Answer, Problem> {
    some(server, |policy| call.principal.covers_all_of(&policy.scope))
}

/// `GET /secret-policies/{scope}`: every policy that holds for those secrets, its own and the wider ones.
pub fn show_for(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let scope = scope(call)?;
    some(server, |policy| policy.scope.covers_all_of(&scope))
}

fn some(server: &Server, wanted: impl Fn(&SecretPolicy) -> bool) -> Result<Answer, Problem> {
    let policies = server.store.secret_policies()?;
    let intact = match secret_policy::verify(server, &policies) {
        Ok(()) => true,
        Err(ServerError::Forged { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    let items: Vec<Value> = policies.policies.iter().filter(|policy| wanted(policy)).map(show).collect();
    Ok(Answer::object(json!({ "items": items, "next": null, "intact": intact })))
}

/// `DELETE /secret-policies/{scope}`.
pub fn remove(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let scope = scope(call)?;
    if server.store.secret_policies()?.of(&scope).is_none() {
        return Err(Problem::new(Code::NotFound, format!("there is no policy of `{scope}`"))
            .help("`vigocli secrets policy list` shows which there are"));
    }
    secret_policy::change(server, call.principal.name(), "removed", Some(&scope), None)?;
    Ok(Answer::object(json!({ "scope": scope.as_str() })))
}

/// `POST /secret-policies`: takes the stored policies as they are, after somebody wrote to the database past the server and was found out.
pub fn accept(server: &Server, call: &Call) -> Result<Answer, Problem> {
    call.principal.require_over(&"/".parse().map_err(|_| Problem::new(Code::Bug, "`/` is no scope"))?)?;
    let policies = server.store.secret_policies()?;
    match secret_policy::verify(server, &policies) {
        Ok(()) => return Ok(Answer::object(json!({ "accepted": 0 }))),
        Err(ServerError::Forged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let count = policies.policies.len();
    let detail = format!("took {count} stored policies as they are");
    secret_policy::change(server, call.principal.name(), &detail, None, None)?;
    Ok(Answer::object(json!({ "accepted": count })))
}
