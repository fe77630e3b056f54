//! `json_file`, `yaml_file`, `toml_file`: one value of a structured file.

use crate::edited::{self, Edited, Steps};
use vigo_edit::{Edit, Format, Key, ValueEdit};
use vigo_resource::{
    Applied, AttributeInfo, AttributeProblem, Attributes, Context, Example, Failure, Host, Kind, Plan,
    Provides, Resource, SecretRule, TypeInfo,
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

fn parse(format: Format, mut attributes: Attributes) -> Result<Edited, Vec<AttributeProblem>> {
    let value = attributes.json("value");
    let absent = attributes.has_state("absent");
    if value.is_none() && !absent {
        attributes.problem(
            AttributeProblem::new("value", "needs to be written").help("write the value, or `state: absent`"),
        );
    }
    let key = attributes.text("key").unwrap_or_default();
    let edit = match Key::new(&key) {
        Ok(key) => Some(Edit::Value(ValueEdit { format, key, absent })),
        Err(error) => {
            attributes.problem(AttributeProblem::new("key", error.to_string()));
            None
        }
    };
    let edited = Edited::take(&mut attributes, edit, value);
    attributes.finish(edited)
}

/// A type for a format.
macro_rules! value_file {
    ($(#[doc = $doc:literal] $name:ident = $format:expr, $info:ident;)*) => {$(
        #[doc = $doc]
        #[derive(Debug)]
        pub struct $name(Edited);

        impl Resource for $name {
            type Steps = Steps;
            const INFO: &'static TypeInfo = &$info;

            fn parse(attributes: Attributes) -> Result<Self, Vec<AttributeProblem>> {
                parse($format, attributes).map(Self)
            }

            fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Steps>, Failure> {
                self.0.plan(host, context)
            }

            fn apply(&self, host: &mut dyn Host, context: &Context<'_>, steps: Steps) -> Result<Applied, Failure> {
                self.0.apply(host, context, steps)
            }
        }
    )*};
}

value_file! {
    #[doc = "One value of a JSON file."]
    JsonFile = Format::Json, JSON;
    #[doc = "One value of a YAML file."]
    YamlFile = Format::Yaml, YAML;
    #[doc = "One value of a TOML file."]
    TomlFile = Format::Toml, TOML;
}
