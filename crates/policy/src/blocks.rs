//! Reads the files that say who gets what: match blocks, `common.vgo`, `environments.vgo`, `roles.vgo`.

use crate::glob::Glob;
use crate::model::{Block, Common, Environment, Expression, Matcher, Member, Mention, Named, Role, Uses};
use crate::reader::{Fields, Reader};
use crate::text;
use crate::value::read_variables;
use vigo_syntax::{Code, Diagnostic, Entry, Kind, Node};

const BLOCK: &[&str] =
    &["match", "where", "environment", "roles", "configcrates", "usercrates", "vars", "exclude", "mode"];

/// The match blocks of a file.
pub(crate) fn read_blocks(reader: &mut Reader<'_>, root: &Node) -> Vec<Block> {
    if root.get("configcrate").is_some() || root.get("resources").is_some() {
        let help = "move the file into `configcrates/`";
        reader.report(Code::UnknownFile, root.span, "a configcrate stands outside `configcrates/`", help);
        return Vec::new();
    }
    let Some(fields) = reader.fields(root, "a file of match blocks", &["envoys"]) else { return Vec::new() };
    let Some(list) = fields.get("envoys") else {
        reader.missing(fields.span, "the file", "envoys", "write `envoys:` and a list of match blocks");
        return Vec::new();
    };
    let items = reader.items(list, "`envoys`");
    items.iter().filter_map(|item| read_block(reader, item)).collect()
}

fn read_block(reader: &mut Reader<'_>, node: &Node) -> Option<Block> {
    let fields = reader.fields(node, "a match block", BLOCK)?;
    let matcher = read_matcher(reader, &fields)?;
    let environment = fields.get("environment").and_then(|node| reader.plain(node, "`environment`"));
    if let Some(entry) = fields.entry("usercrates") {
        let message = "`usercrates` in a match block are not carried out by this version";
        reader.report(Code::NotSupported, entry.key_span, message, "remove the key");
    }
    let observe = fields.get("mode").is_some_and(|node| read_mode(reader, node));
    Some(Block {
        folder: reader.folder().to_owned(),
        span: fields.entries.first().map_or(node.span, |entry| entry.key_span),
        matcher,
        environment,
        mentions: read_mentions(reader, fields.entries),
        variables: fields.get("vars").map(|node| read_variables(reader, node)).unwrap_or_default(),
        exclude: fields.get("exclude").map(|node| reader.names(node, "configcrate name")).unwrap_or_default(),
        observe,
    })
}

fn read_mode(reader: &mut Reader<'_>, node: &Node) -> bool {
    let Some(mode) = reader.plain(node, "`mode` of a match block") else { return false };
    if mode.name != "observe" {
        let message = format!("`{}` is no mode of a match block", mode.name);
        let help = "the only one is `observe`: plan and report, change nothing";
        reader.report(Code::UnknownChoice, mode.span, message, help);
    }
    true
}

fn read_matcher(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Matcher> {
    match (fields.entry("match"), fields.entry("where")) {
        (Some(entry), None) => {
            let names = reader.plain_list(&entry.value, "`match`");
            let mut globs = Vec::new();
            for name in names {
                match name.name.parse::<Glob>() {
                    Ok(glob) => globs.push((glob, name.span)),
                    Err(error) => reader.report(Code::InvalidValue, name.span, error.to_string(), ""),
                }
            }
            (!globs.is_empty()).then_some(Matcher::Names(globs))
        }
        (None, Some(entry)) => {
            let expression = text::read_expression(reader, &entry.value, "`where`")?;
            refuse_other_names(reader, &expression);
            Some(Matcher::Where(expression))
        }
        (Some(_), Some(entry)) => {
            let message = "`match` and `where` stand in one match block";
            let help = "write one of them; a name can also be matched in two blocks";
            reader.report(Code::ExclusiveKeys, entry.key_span, message, help);
            None
        }
        (None, None) => {
            let help =
                "write `match:` with a glob on the envoy's name, or `where:` with an expression over traits";
            reader.missing(fields.span, "a match block", "match", help);
            None
        }
    }
}

/// `where` is asked before anything is known but the envoy's name and traits.
fn refuse_other_names(reader: &mut Reader<'_>, expression: &Expression) {
    let Uses { written, names, .. } = &expression.uses;
    for name in names {
        let first = name.steps.first().map_or("", String::as_str);
        let known = first == "traits"
            || (first == "envoy" && name.steps.get(1).is_some_and(|step| step == "name" || step == "id"));
        if !known {
            let span = text::place(reader.source, *written, name.solid, name.length, expression.span);
            let message = format!("`where` cannot use `{}`", name.steps.join("."));
            let help =
                "it is asked to find the match block, so it knows `traits`, `envoy.name` and `envoy.id` only";
            reader.report(Code::UnknownName, span, message, help);
        }
    }
}

/// `roles` and `configcrates` in the order in which the keys stand.
fn read_mentions(reader: &mut Reader<'_>, entries: &[Entry]) -> Vec<Mention> {
    let mut mentions = Vec::new();
    for entry in entries {
        match entry.key.as_str() {
            "roles" => {
                mentions.extend(reader.names(&entry.value, "role name").into_iter().map(Mention::Role));
            }
            "configcrates" => {
                let names = reader.names(&entry.value, "configcrate name");
                mentions.extend(names.into_iter().map(Mention::Configcrate));
            }
            _ => {}
        }
    }
    mentions
}

/// A `common.vgo`.
pub(crate) fn read_common(reader: &mut Reader<'_>, root: &Node) -> Option<Common> {
    let fields = reader.fields(root, "common.vgo", &["configcrates", "roles", "vars"])?;
    Some(Common {
        folder: reader.folder().to_owned(),
        mentions: read_mentions(reader, fields.entries),
        variables: fields.get("vars").map(|node| read_variables(reader, node)).unwrap_or_default(),
    })
}

/// The environments of an `environments.vgo`.
pub(crate) fn read_environments(reader: &mut Reader<'_>, root: &Node) -> Vec<Environment> {
    let Some(fields) = reader.fields(root, "environments.vgo", &["environments"]) else { return Vec::new() };
    let Some(map) = fields.get("environments") else {
        reader.missing(fields.span, "the file", "environments", "write `environments:` and a map by name");
        return Vec::new();
    };
    let entries = reader.entries(map, "`environments`");
    entries.iter().filter_map(|entry| read_environment(reader, entry)).collect()
}

fn read_environment(reader: &mut Reader<'_>, entry: &Entry) -> Option<Environment> {
    let name = Named { name: entry.key.clone(), span: entry.key_span };
    reader.check_name(&name, "environment name");
    let mut environment = Environment {
        folder: reader.folder().to_owned(),
        name,
        variables: Vec::new(),
        configcrates: Vec::new(),
        exclude: Vec::new(),
    };
    if entry.value.kind == Kind::Null {
        return Some(environment);
    }
    let fields = reader.fields(&entry.value, "an environment", &["vars", "configcrates", "exclude"])?;
    let names = |reader: &mut Reader<'_>, key| {
        fields.get(key).map(|node| reader.names(node, "configcrate name")).unwrap_or_default()
    };
    environment.configcrates = names(reader, "configcrates");
    environment.exclude = names(reader, "exclude");
    environment.variables = fields.get("vars").map(|node| read_variables(reader, node)).unwrap_or_default();
    Some(environment)
}

/// The roles of a `roles.vgo`.
pub(crate) fn read_roles(reader: &mut Reader<'_>, root: &Node) -> Vec<Role> {
    let Some(fields) = reader.fields(root, "roles.vgo", &["roles"]) else { return Vec::new() };
    let Some(list) = fields.get("roles") else {
        reader.missing(
            fields.span,
            "the file",
            "roles",
            "write `roles:` and a list of `{name, configcrates}`",
        );
        return Vec::new();
    };
    let items = reader.items(list, "`roles`");
    items.iter().filter_map(|item| read_role(reader, item)).collect()
}

fn read_role(reader: &mut Reader<'_>, node: &Node) -> Option<Role> {
    let fields = reader.fields(node, "a role", &["name", "configcrates", "includes", "case", "match"])?;
    let Some(name) = fields.get("name") else {
        reader.missing(fields.span, "a role", "name", "write `name:`");
        return None;
    };
    let name = reader.plain(name, "the name of a role")?;
    reader.check_name(&name, "role name");
    let mut members = Vec::new();
    for entry in fields.entries {
        match entry.key.as_str() {
            "configcrates" => {
                let names = reader.names(&entry.value, "configcrate name");
                members.extend(names.into_iter().map(Member::Configcrate));
            }
            "includes" => {
                let names = reader.names(&entry.value, "role name");
                members.extend(names.into_iter().map(Member::Include));
            }
            "match" => members.extend(read_case(reader, &fields, entry)),
            "case" if fields.entry("match").is_none() => {
                reader.missing(
                    entry.key_span,
                    "`case`",
                    "match",
                    "write `match:` with a list of configcrates for each value",
                );
            }
            _ => {}
        }
    }
    Some(Role { name, members })
}

fn read_case(reader: &mut Reader<'_>, fields: &Fields<'_>, entry: &Entry) -> Option<Member> {
    let Some(case) = fields.get("case") else {
        reader.missing(
            entry.key_span,
            "`match`",
            "case",
            "write `case:` with an expression, for example `traits.os.family`",
        );
        return None;
    };
    let case = text::read_expression(reader, case, "`case`")?;
    let mut branches = Vec::new();
    for branch in reader.entries(&entry.value, "`match`") {
        let names = match &branch.value.kind {
            Kind::Map(_) => reader
                .fields(&branch.value, "a branch of a role", &["configcrates"])
                .and_then(|fields| fields.get("configcrates")),
            _ => Some(&branch.value),
        };
        let names = names.map(|node| reader.names(node, "configcrate name")).unwrap_or_default();
        branches.push((branch.key.clone(), names));
    }
    Some(Member::Case { case, branches })
}

/// The diagnostic for a name that is not defined, with a near match.
pub(crate) fn unknown<'a>(
    code: Code,
    what: &str,
    named: &Named,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let help = vigo_syntax::nearest(&named.name, known)
        .map_or_else(String::new, |near| format!("did you mean `{near}`?"));
    Diagnostic::new(code, named.span, format!("there is no {what} `{}`", named.name)).help(help)
}
