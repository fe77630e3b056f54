//! `json_file`, `yaml_file`, `toml_file`: one value of a structured file.

use crate::edited::{self, Part};
use vigo_base::Pieces;
use vigo_edit::{Edit, Format, Key, ValueEdit};
use vigo_resource::{
    AttributeInfo, AttributeProblem, Attributes, Example, Kind, Provides, SecretRule, TypeInfo,
};

const ATTRIBUTES: &[AttributeInfo] = &[
    edited::TARGET,
    AttributeInfo::new(
        "key",
        Kind::Text,
        "Where the value is: names and numbers of elements with dots between (`server.tls.port`, `users.0.name`, `\"a.b\".c`). Maps on the way are made.",
    )
    .identity(),
    AttributeInfo::new("value", Kind::Value, "The value, as it is written here: text, a number, a boolean, a list or a map.")
        .secrets(SecretRule::Unexposed),
    edited::CREATE,
    edited::MODE,
    edited::OWNER,
    edited::GROUP,
    edited::BACKUP,
    edited::VALIDATE,
];

const fn info(name: &'static str, doc: &'static str, examples: &'static [Example]) -> TypeInfo {
    TypeInfo {
        name,
        doc,
        attributes: ATTRIBUTES,
        states: &["present", "absent"],
        later: &[],
        exclusive: &[],
        provides: Provides::Part("target_path"),
        timeout: edited::TIMEOUT,
        examples,
    }
}

static JSON: TypeInfo = info(
    "json_file",
    "One value of a JSON file; everything else keeps its bytes. Files with comments are refused.",
    &[Example {
        title: "Where Docker writes its logs, and how much of them",
        policy: "type: json_file\ntarget_path: /etc/docker/daemon.json\nkey: log-opts\nvalue: {max-size: 10m, max-file: \"3\"}\ncreate: true\n",
    }],
);

static YAML: TypeInfo = info(
    "yaml_file",
    "One value of a YAML file of one document; comments, order and the rest of the text stay.",
    &[
        Example {
            title: "A listener of Prometheus' node exporter",
            policy: "type: yaml_file\ntarget_path: /etc/exporter/config.yaml\nkey: web.listen\nvalue: 127.0.0.1:9100\n",
        },
        Example {
            title: "A password beside what somebody else wrote",
            policy: "type: yaml_file\ntarget_path: /etc/app/config.yaml\nkey: database.password\nvalue: secret:app/database\n",
        },
    ],
);

static TOML: TypeInfo = info(
    "toml_file",
    "One value of a TOML file; comments, order and the rest of the text stay.",
    &[Example {
        title: "The cgroup driver of containerd",
        policy: "type: toml_file\ntarget_path: /etc/containerd/config.toml\nkey: '\"io.containerd.grpc.v1.cri\".containerd.SystemdCgroup'\nvalue: true\n",
    }],
);

fn edit(format: Format, attributes: &mut Attributes) -> (Option<Edit>, Option<Pieces>) {
    let value = attributes.json("value");
    let absent = attributes.has_state("absent");
    if value.is_none() && !absent {
        attributes.problem(
            AttributeProblem::new("value", "needs to be written").help("write the value, or `state: absent`"),
        );
    }
    let key = attributes.text("key").unwrap_or_default();
    match Key::new(&key) {
        Ok(key) => (Some(Edit::Value(ValueEdit { format, key, absent })), value),
        Err(error) => {
            attributes.problem(AttributeProblem::new("key", error.to_string()));
            (None, value)
        }
    }
}

/// One value of a JSON file.
#[derive(Debug)]
pub enum JsonFile {}

impl Part for JsonFile {
    const INFO: &'static TypeInfo = &JSON;

    fn edit(attributes: &mut Attributes) -> (Option<Edit>, Option<Pieces>) {
        edit(Format::Json, attributes)
    }
}

/// One value of a YAML file.
#[derive(Debug)]
pub enum YamlFile {}

impl Part for YamlFile {
    const INFO: &'static TypeInfo = &YAML;

    fn edit(attributes: &mut Attributes) -> (Option<Edit>, Option<Pieces>) {
        edit(Format::Yaml, attributes)
    }
}

/// One value of a TOML file.
#[derive(Debug)]
pub enum TomlFile {}

impl Part for TomlFile {
    const INFO: &'static TypeInfo = &TOML;

    fn edit(attributes: &mut Attributes) -> (Option<Edit>, Option<Pieces>) {
        edit(Format::Toml, attributes)
    }
}
