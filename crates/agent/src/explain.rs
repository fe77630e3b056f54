//! `vigo explain`: the resource types as their registry says them.

use crate::arguments::ExplainArguments;
use crate::error::AgentError;
use crate::output::{self, FORMAT};
use serde_json::{Value, json};
use std::fmt::Write;
use vigo_base::Exit;
use vigo_resource::{AttributeInfo, Kind, SecretRule, TypeInfo};

/// Lists the types, or explains one.
///
/// # Errors
/// When there is no such type.
pub fn explain(arguments: &ExplainArguments) -> Result<Exit, AgentError> {
    let registry = &vigo_resources::REGISTRY;
    let Some(name) = &arguments.r#type else {
        let types: Vec<&TypeInfo> = registry.iter().map(|one| one.info()).collect();
        return list(&types, arguments.json);
    };
    let Some(found) = registry.get(name) else {
        let near = vigo_syntax::nearest(name, registry.iter().map(|one| one.info().name));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(AgentError::Operator(format!("there is no resource type `{name}`{near}")));
    };
    if arguments.json {
        output::print_json(&as_json(found.info()))?
    } else {
        output::print(&text(found.info()))?
    }
    Ok(Exit::Success)
}

fn list(types: &[&TypeInfo], as_json_too: bool) -> Result<Exit, AgentError> {
    if as_json_too {
        let items: Vec<Value> = types.iter().map(|info| as_json(info)).collect();
        output::print_json(&json!({ "format": FORMAT, "items": items, "next": null }))?;
    } else {
        let lines: String = types.iter().map(|info| format!("{:<12} {}\n", info.name, info.doc)).collect();
        output::print(&lines)?;
    }
    Ok(Exit::Success)
}

fn text(info: &TypeInfo) -> String {
    let mut out = format!("{}: {}\n\n", info.name, info.doc);
    for attribute in info.attributes {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {:<16} {}", attribute.name, attribute.doc);
        let _ = writeln!(out, "  {:<16} {}", "", details(attribute).join("; "));
    }
    if let Some((default, rest)) = info.states.split_first() {
        let _ = writeln!(
            out,
            "  {:<16} {default} (default){}",
            "state",
            rest.iter().map(|state| format!(", {state}")).collect::<String>()
        );
    }
    for example in info.examples {
        let _ = writeln!(out, "\n# {}\n{}", example.title, example.policy.trim_end());
    }
    out
}

fn details(attribute: &AttributeInfo) -> Vec<String> {
    let mut details = vec![kind(attribute.kind)];
    if attribute.identity {
        details.push("tells one resource from another".to_owned());
    }
    if attribute.required {
        details.push("required".to_owned());
    }
    if !attribute.default.is_empty() {
        details.push(format!("default {}", attribute.default));
    }
    match attribute.secrets {
        SecretRule::Refused => {}
        SecretRule::Unexposed => details.push("takes secrets".to_owned()),
        SecretRule::Environment => details.push("takes secrets, which counts as an exposure".to_owned()),
        SecretRule::Argv => details.push("takes secrets only with `allow_exposure: [argv]`".to_owned()),
    }
    details
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer { least, most } => format!("a number from {least} to {most}"),
        Kind::Integers { least, most } => format!("numbers from {least} to {most}"),
        Kind::Mode => "octal permission bits".to_owned(),
        Kind::Umask => "octal umask".to_owned(),
        Kind::Path => "an absolute path".to_owned(),
        Kind::User => "a user, by name or number".to_owned(),
        Kind::Group => "a group, by name or number".to_owned(),
        Kind::Choice(words) => words.join(" or "),
        Kind::Environment => "names and values".to_owned(),
        Kind::Credentials => "file names and contents".to_owned(),
        Kind::Command => "a command, or a list of arguments".to_owned(),
        Kind::Commands => "a command, or a list of them".to_owned(),
        Kind::Value => "text, a number, a boolean, a list or a map".to_owned(),
        Kind::Shell => "the path of a shell, or false".to_owned(),
    }
}

fn as_json(info: &TypeInfo) -> Value {
    let attribute = |attribute: &AttributeInfo| {
        json!({
            "name": attribute.name,
            "kind": kind(attribute.kind),
            "required": attribute.required,
            "identity": attribute.identity,
            "default": attribute.default,
            "takes_secrets": attribute.secrets != SecretRule::Refused,
            "doc": attribute.doc,
        })
    };
    json!({
        "format": FORMAT,
        "type": info.name,
        "doc": info.doc,
        "states": info.states,
        "attributes": info.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "examples": info.examples.iter().map(|example| json!({ "title": example.title, "policy": example.policy })).collect::<Vec<_>>(),
    })
}
