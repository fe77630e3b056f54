//! `layers`: the table in ARCHITECTURE.md is the rule; the workspace is checked against it.
//!
//! Also checked: only `sys` may hold unsafe code, and the privileged side of the agent reaches no TLS or HTTP crate and no async runtime.

use crate::process::{Failure, stage};
use crate::tree;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What the privileged side must not reach.
const NETWORK: [&str; 16] = [
    "rustls",
    "tokio-rustls",
    "ring",
    "webpki",
    "rustls-webpki",
    "native-tls",
    "openssl",
    "hyper",
    "hyper-util",
    "h2",
    "http",
    "tonic",
    "axum",
    "reqwest",
    "tokio",
    "async-std",
];
/// The crate whose dependencies are the privileged side.
const PRIVILEGED: &str = "vigo-agent";
/// The one crate with unsafe code.
const UNSAFE: &str = "vigo-sys";

/// Where a crate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Number(u32),
    /// For developers: on top of everything, below nothing.
    Development,
}

pub fn run() -> Result<(), Failure> {
    stage("layers");
    let page = std::fs::read_to_string(tree::root().join("ARCHITECTURE.md"));
    let page = page.map_err(|cause| Failure::Found(format!("cannot read `ARCHITECTURE.md`: {cause}")))?;
    let table = parse(&page).map_err(Failure::Found)?;
    let metadata = tree::metadata()?;
    let mut found = compare(&table, &metadata);
    found.extend(network(&metadata));
    found.extend(unsafe_code(&metadata));
    if found.is_empty() {
        return Ok(());
    }
    found.iter().for_each(|line| eprintln!("{line}"));
    Err(Failure::Found(format!("layers: {} rules broken", found.len())))
}

/// The rows `| layer | crate | what |` under the heading `## Layers`, by package name.
fn parse(page: &str) -> Result<BTreeMap<String, Layer>, String> {
    let section = page.split("\n## Layers\n").nth(1).ok_or("ARCHITECTURE.md has no heading `## Layers`")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut table = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with('|')) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let (layer, names) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        let layer = match layer {
            "layer" => continue,
            _ if layer.chars().all(|letter| "-: ".contains(letter)) => continue,
            "dev" => Layer::Development,
            number => Layer::Number(number.parse().map_err(|_| format!("`{number}` is no layer"))?),
        };
        for name in names.split(',').map(|name| name.trim().trim_matches('`')) {
            let package = if name == "vigo" { name.to_owned() } else { format!("vigo-{name}") };
            if table.insert(package, layer).is_some() {
                return Err(format!("`{name}` stands in the table twice"));
            }
        }
    }
    if table.is_empty() { Err("the table of layers is empty".into()) } else { Ok(table) }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Packages of the workspace.
fn members(metadata: &Value) -> Vec<&Value> {
    let ids: BTreeSet<&str> = list(metadata, "workspace_members").filter_map(Value::as_str).collect();
    list(metadata, "packages").filter(|package| ids.contains(text(package, "id"))).collect()
}

fn compare(table: &BTreeMap<String, Layer>, metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let members = members(metadata);
    let names: BTreeSet<&str> = members.iter().map(|package| text(package, "name")).collect();
    found.extend(
        table
            .keys()
            .filter(|name| !names.contains(name.as_str()))
            .map(|name| format!("{name}: in the table, not in the workspace")),
    );
    for package in &members {
        let name = text(package, "name");
        let Some(layer) = table.get(name) else {
            found.push(format!("{name}: in the workspace, not in the table"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let other = text(dependency, "name");
            let development = text(dependency, "kind") == "dev";
            let Some(below) = table.get(other).filter(|_| !development) else { continue };
            let allowed = match (layer, below) {
                (Layer::Number(mine), Layer::Number(theirs)) => theirs < mine,
                (Layer::Development, _) => true,
                (Layer::Number(_), Layer::Development) => false,
            };
            if !allowed {
                found.push(format!(
                    "{name} ({layer:?}) depends on {other} ({below:?}): strictly lower layers only"
                ));
            }
        }
    }
    found
}

/// Ways from the privileged side to a crate of the network.
fn network(metadata: &Value) -> Vec<String> {
    let names: BTreeMap<&str, &str> =
        list(metadata, "packages").map(|package| (text(package, "id"), text(package, "name"))).collect();
    let nodes: BTreeMap<&str, &Value> = metadata
        .get("resolve")
        .map(|resolve| list(resolve, "nodes").map(|node| (text(node, "id"), node)).collect())
        .unwrap_or_default();
    let Some(start) = names.iter().find(|(_, name)| **name == PRIVILEGED).map(|(id, _)| *id) else {
        return vec![format!("{PRIVILEGED}: there is no such package")];
    };
    let mut ways: BTreeMap<&str, String> = BTreeMap::from([(start, PRIVILEGED.to_owned())]);
    let mut queue = vec![start];
    let mut found = Vec::new();
    while let Some(id) = queue.pop() {
        let way = ways.get(id).cloned().unwrap_or_default();
        let Some(node) = nodes.get(id) else { continue };
        for dependency in list(node, "deps") {
            // A kind that is null is an ordinary dependency; build scripts do not run on the node.
            if !list(dependency, "dep_kinds").any(|kind| kind.get("kind").is_some_and(Value::is_null)) {
                continue;
            }
            let next = text(dependency, "pkg");
            let name = names.get(next).copied().unwrap_or_default();
            if ways.contains_key(next) {
                continue;
            }
            let longer = format!("{way} -> {name}");
            if NETWORK.contains(&name) {
                found.push(format!("the privileged side reaches `{name}`: {longer}"));
            }
            ways.insert(next, longer);
            queue.push(next);
        }
    }
    found
}

/// Roots of crates that do not forbid unsafe code.
fn unsafe_code(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in members(metadata).into_iter().filter(|package| text(package, "name") != UNSAFE) {
        let roots = list(package, "targets")
            .filter(|target| list(target, "kind").any(|kind| matches!(kind.as_str(), Some("lib" | "bin"))));
        for root in roots.map(|target| text(target, "src_path")) {
            let source = std::fs::read_to_string(Path::new(root)).unwrap_or_default();
            if !source.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]") {
                found.push(format!("{root}: only {UNSAFE} goes without `#![forbid(unsafe_code)]`"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PAGE: &str = "# A\n\n## Layers\n\ntext\n\n| layer | crate | what |\n| --- | --- | --- |\n| 0 | `base` | x |\n| 1 | `sys` | x |\n| 5 | `agent` | x |\n| dev | `testkit`, `xtask` | x |\n| 6 | `vigo` | x |\n\n## Next\n\n| 9 | `not` |\n";

    #[test]
    fn the_table_is_read_up_to_the_next_heading() {
        let table = parse(PAGE).unwrap();
        assert_eq!(table.len(), 6);
        assert_eq!(table["vigo-base"], Layer::Number(0));
        assert_eq!(table["vigo"], Layer::Number(6));
        assert_eq!(table["vigo-xtask"], Layer::Development);
        assert!(parse("# A\n").is_err());
        assert!(parse("\n## Layers\n| x | `a` | y |\n").is_err());
        assert!(parse("\n## Layers\n| 1 | `a` | y |\n| 2 | `a` | y |\n").is_err());
    }

    fn package(name: &str, dependencies: &[(&str, &str)]) -> Value {
        let dependencies: Vec<Value> = dependencies
            .iter()
            .map(|(name, kind)| json!({"name": name, "kind": if kind.is_empty() { Value::Null } else { json!(kind) }}))
            .collect();
        json!({"name": name, "id": name, "dependencies": dependencies, "targets": []})
    }

    #[test]
    fn only_strictly_lower_layers_are_allowed() {
        let metadata = json!({
            "workspace_members": ["vigo-base", "vigo-sys", "vigo-agent", "vigo-testkit", "vigo-xtask", "vigo", "vigo-new"],
            "packages": [
                package("vigo-base", &[("vigo-testkit", "dev")]),
                package("vigo-sys", &[("vigo-base", ""), ("vigo-agent", "")]),
                package("vigo-agent", &[("vigo-sys", ""), ("vigo-testkit", "")]),
                package("vigo-testkit", &[("vigo-agent", "")]),
                package("vigo-xtask", &[]),
                package("vigo", &[("vigo-agent", ""), ("serde", "")]),
                package("vigo-new", &[]),
            ],
        });
        let found = compare(&parse(PAGE).unwrap(), &metadata);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("vigo-sys (Number(1)) depends on vigo-agent"));
        assert!(found[1].starts_with("vigo-agent (Number(5)) depends on vigo-testkit"));
        assert_eq!(found[2], "vigo-new: in the workspace, not in the table");
    }

    #[test]
    fn a_way_to_the_network_is_shown_and_build_scripts_do_not_count() {
        let dependency = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("vigo-agent", &[]), package("a", &[]), package("tokio", &[]), package("ring", &[])],
            "resolve": {"nodes": [
                {"id": "vigo-agent", "deps": [dependency("a", Value::Null), dependency("ring", json!("build"))]},
                {"id": "a", "deps": [dependency("tokio", Value::Null), dependency("ring", json!("dev"))]},
                {"id": "tokio", "deps": []},
                {"id": "ring", "deps": []},
            ]},
        });
        assert_eq!(network(&metadata), ["the privileged side reaches `tokio`: vigo-agent -> a -> tokio"]);
    }
}
