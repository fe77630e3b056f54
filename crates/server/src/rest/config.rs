//! What is published: checked, planned, published, looked at, taken back.

use super::call::{Answer, Call};
use crate::clock::rfc3339;
use crate::plan;
use crate::problem::{Code, Problem};
use crate::publish::{self, Wanted, known_secrets, shown};
use crate::published::{Checked, Published};
use crate::state::Server;
use crate::tree as stored;
use serde::Deserialize;
use serde_json::{Value, json};
use vigo_policy::Tree;
use vigo_store::{Git, Publish};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeBody {
    files: Vec<FileBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBody {
    path: String,
    content: String,
}

impl TreeBody {
    fn tree(self) -> Result<Tree, Problem> {
        let mut tree = Tree::default();
        for file in self.files {
            tree.insert(file.path, file.content)
                .map_err(|error| Problem::new(Code::Invalid, error.to_string()))?;
        }
        Ok(tree)
    }
}

/// `POST /config/validate`: what is wrong with a tree.
pub fn validate(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let tree = call.json::<TreeBody>()?.tree()?;
    let checked = Checked::of(&tree, Some(&known_secrets(server)));
    Ok(Answer::object(json!({ "diagnostics": shown(&checked.diagnostics, &tree) })))
}

/// `POST /config/plan`: what a publish of this tree would change. Nothing is stored.
pub fn plan(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let tree = call.json::<TreeBody>()?.tree()?;
    let checked = Checked::of(&tree, Some(&known_secrets(server)));
    let current = server.published();
    let diagnostics = shown(&checked.diagnostics, &tree);
    let plan = match checked.is_broken() {
        true => plan::Plan::default(),
        false => plan::between(server, &current, &Published::compile(checked.policy))?,
    };
    let changes: Vec<Value> = plan.changes.iter().map(show_change).collect();
    Ok(Answer::object(json!({
        "base": current.version,
        "changes": changes,
        "new_secret_readers": show_readers(&plan.new_readers),
        "envoys_affected": plan.envoys,
        "diagnostics": diagnostics,
    })))
}

fn show_readers(readers: &[(String, vigo_base::SecretPath)]) -> Vec<Value> {
    readers.iter().map(|(envoy, secret)| json!({ "envoy": envoy, "secret": secret.as_str() })).collect()
}

fn show_change(change: &plan::Change) -> Value {
    json!({
        "envoys": change.envoys,
        "unmatched_before": change.unmatched_before,
        "unmatched_after": change.unmatched_after,
        "added": change.added,
        "removed": change.removed,
        "changed": change.changed,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishBody {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    base: Option<u64>,
    #[serde(default)]
    git: Option<GitBody>,
    tree: TreeBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GitBody {
    commit: String,
    dirty: bool,
}

/// `POST /config/publish`.
pub fn publish(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let body: PublishBody = call.json()?;
    let wanted = Wanted {
        tree: body.tree.tree()?,
        base: body.base,
        message: body.message.unwrap_or_default(),
        git: body.git.map(|git| Git { commit: git.commit, dirty: git.dirty }),
    };
    let done = publish::publish(server, &call.principal, &wanted)?;
    Ok(Answer::object(json!({
        "version": done.version,
        "digest": done.digest.to_string(),
        "diagnostics": shown(&done.diagnostics, &wanted.tree),
        "new_secret_readers": show_readers(&done.new_readers),
        "envoys_affected": done.envoys_affected,
    })))
}

/// `GET /config/history`.
pub fn history(server: &Server, call: &Call) -> Result<Answer, Problem> {
    Ok(Answer::list(server.store.publishes(call.page())?, |publish| show_publish(&publish)))
}

/// A published version.
pub fn show_publish(publish: &Publish) -> Value {
    json!({
        "version": publish.version,
        "at": rfc3339(publish.at),
        "by": publish.by,
        "message": publish.message,
        "digest": publish.tree.to_string(),
        "git": publish.git.as_ref().map(|git| json!({ "commit": git.commit, "dirty": git.dirty })),
    })
}

/// `GET /config/versions/{version}/tree`.
pub fn tree(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let text = call.parameter("version")?;
    let tree = tree_of(server, text, text.parse().ok())?;
    let file = |file: vigo_syntax::TreeFile<'_>| json!({ "path": file.path, "content": String::from_utf8_lossy(file.bytes) });
    Ok(Answer::object(json!({ "files": tree.files().map(file).collect::<Vec<_>>() })))
}

fn tree_of(server: &Server, text: &str, version: Option<u64>) -> Result<Tree, Problem> {
    let missing = || Problem::new(Code::NotFound, format!("there is no published version `{text}`"));
    let bytes = server.store.tree(version.ok_or_else(missing)?)?.ok_or_else(missing)?;
    stored::decode(&bytes).ok_or_else(|| Problem::new(Code::Bug, "the stored tree cannot be read"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    version: u64,
    #[serde(default)]
    message: Option<String>,
}

/// `POST /config/rollback`: the tree of an old version, published as a new one.
pub fn rollback(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let body: RollbackBody = call.json()?;
    let tree = tree_of(server, &body.version.to_string(), Some(body.version))?;
    let git = server.store.publish_of(body.version)?.and_then(|publish| publish.git);
    let message = body.message.filter(|message| !message.is_empty());
    let message = message.unwrap_or_else(|| format!("back to version {}", body.version));
    let done = publish::publish(server, &call.principal, &Wanted { tree, base: None, message, git })?;
    Ok(Answer::object(json!({ "version": done.version, "envoys_affected": done.envoys_affected })))
}
