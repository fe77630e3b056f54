//! What the tests are made of: a server that runs, an operator, an envoy.

mod envoy;
mod key_service;
mod openbao;
mod operator;
mod server;

pub use envoy::{Candidate, Envoy, Outer};
pub use key_service::KeyService;
pub use openbao::{OpenBao, options, private_file};
pub use operator::{Operator, Reply};
pub use server::Vigosrv;

use serde_json::{Value, json};

/// A tree for a publish: paths and contents.
pub fn tree(files: &[(&str, &str)]) -> Value {
    let files: Vec<Value> =
        files.iter().map(|(path, content)| json!({ "path": path, "content": content })).collect();
    json!({ "files": files })
}

/// One file on every `web-*`, with a secret in it.
pub fn tree_with_secret() -> Value {
    tree(&[
        ("envoys.vgo", "envoys:\n  - match: \"web-*\"\n    configcrates: [site]\n"),
        (
            "configcrates/site.vgo",
            "configcrate: site\nresources:\n  - name: token\n    type: file\n    target_path: /srv/token\n    content: \"secret:web/token\"\n    mode: \"0600\"\n",
        ),
    ])
}

/// One file without a secret, on everybody.
pub fn plain_tree(content: &str) -> Value {
    let configcrate = format!(
        "configcrate: motd\nresources:\n  - name: motd\n    type: file\n    target_path: /srv/motd\n    content: \"{content}\"\n"
    );
    tree(&[
        ("envoys.vgo", "envoys:\n  - match: \"*\"\n    configcrates: [motd]\n"),
        ("configcrates/motd.vgo", &configcrate),
    ])
}
