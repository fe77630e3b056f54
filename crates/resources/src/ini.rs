//! `ini`: one key of a file with `[section]` headings and `key = value` lines.

use crate::edited::{self, Part};
use vigo_base::Pieces;
use vigo_edit::{Edit, IniEdit};
use vigo_resource::{
    AttributeInfo, AttributeProblem, Attributes, Example, Kind, Provides, SecretRule, TypeInfo,
};

static INFO: TypeInfo = TypeInfo {
    name: "ini",
    doc: "One key of an INI file; comments, order and the other keys are left as they are.",
    attributes: &[
        edited::TARGET,
        AttributeInfo::new("section", Kind::Text, "The heading, without brackets.")
            .identifying()
            .default("what stands before the first heading"),
        AttributeInfo::new("key", Kind::Text, "The key.").identity(),
        AttributeInfo::new("value", Kind::Text, "Its value, on one line.").secrets(SecretRule::Unexposed),
        AttributeInfo::new(
            "separator",
            Kind::Text,
            "What stands between a new key and its value; one that is there keeps its own.",
        )
        .default("` = `"),
        edited::CREATE,
        edited::MODE,
        edited::OWNER,
        edited::GROUP,
        edited::BACKUP,
        edited::VALIDATE,
    ],
    states: &["present", "absent"],
    later: &[],
    exclusive: &[],
    provides: Provides::Part("target_path"),
    timeout: edited::TIMEOUT,
    examples: &[
        Example {
            title: "Journals that stay small",
            policy: "type: ini\ntarget_path: /etc/systemd/journald.conf\nsection: Journal\nkey: SystemMaxUse\nvalue: 200M\nseparator: \"=\"\n",
        },
        Example {
            title: "A password in a client's configuration",
            policy: "type: ini\ntarget_path: /root/.my.cnf\nsection: client\nkey: password\nvalue: secret:db/root\ncreate: true\n",
        },
    ],
};

/// One key of an INI file.
#[derive(Debug)]
pub enum Ini {}

impl Part for Ini {
    const INFO: &'static TypeInfo = &INFO;

    fn edit(attributes: &mut Attributes) -> (Option<Edit>, Option<Pieces>) {
        let value = attributes.pieces("value");
        let absent = attributes.has_state("absent");
        if value.is_none() && !absent {
            attributes.problem(
                AttributeProblem::new("value", "`ini` needs this attribute")
                    .help("write the value, or `state: absent`"),
            );
        }
        let section = attributes.text("section").unwrap_or_default();
        let key = attributes.text("key").unwrap_or_default();
        let separator = attributes.text("separator").unwrap_or_else(|| " = ".to_owned());
        if section.contains(['\n', ']']) {
            attributes
                .problem(AttributeProblem::new("section", "is no heading").help("write it without brackets"));
        }
        if key.contains(['\n', '=', ':']) || key.starts_with(['[', '#', ';']) || key.trim() != key {
            attributes.problem(AttributeProblem::new("key", "cannot be a key of an INI file"));
        }
        if !matches!(separator.trim(), "=" | ":") || separator.contains('\n') {
            attributes.problem(
                AttributeProblem::new("separator", "is neither `=` nor `:`")
                    .help("write one of them, with blanks around it or not"),
            );
        }
        let edit = Edit::Ini(IniEdit { section, key, separator, absent });
        (Some(edit), value)
    }
}
