//! `file_line`: one line of a file that somebody else wrote.

use crate::edited::{self, Part};
use vigo_base::Pieces;
use vigo_edit::{Edit, LineEdit, Position, Region};
use vigo_resource::{
    AttributeInfo, AttributeProblem, Attributes, Example, Kind, Provides, SecretRule, TypeInfo,
};

static INFO: TypeInfo = TypeInfo {
    name: "file_line",
    doc: "One line in a file; the other lines are left as they are.",
    attributes: &[
        edited::TARGET,
        AttributeInfo::new("line", Kind::Text, "The line.").identity().secrets(SecretRule::Unexposed),
        AttributeInfo::new(
            "match_pattern",
            Kind::Text,
            "A regular expression: the line that matches it becomes this line. With state absent every line that matches goes.",
        ),
        AttributeInfo::new(
            "position",
            Kind::Text,
            "Where it goes when it is not there yet: `end`, `begin`, `after:REGEX` (the last line that matches) or `before:REGEX` (the first one); at the end when none matches.",
        )
        .default("end"),
        AttributeInfo::new("region_start", Kind::Text, "A regular expression: only what comes after this line counts."),
        AttributeInfo::new("region_end", Kind::Text, "A regular expression: only what comes before this line counts."),
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
            title: "A setting of sshd, whatever it was before",
            policy: "type: file_line\ntarget_path: /etc/ssh/sshd_config\nline: PermitRootLogin no\nmatch_pattern: '^#?\\s*PermitRootLogin\\s'\nvalidate: sshd -t -f %\n",
        },
        Example {
            title: "A line with a secret, below a heading",
            policy: "type: file_line\ntarget_path: /etc/app.conf\nline: token = secret:app/token\nmatch_pattern: '^token\\s*='\nregion_start: '^\\[api\\]'\nregion_end: '^\\['\n",
        },
    ],
};

/// One line of a file.
#[derive(Debug)]
pub enum FileLine {}

impl Part for FileLine {
    const INFO: &'static TypeInfo = &INFO;

    fn edit(attributes: &mut Attributes) -> (Option<Edit>, Option<Pieces>) {
        let line = attributes.pieces("line");
        if line.as_ref().is_some_and(|line| line.to_string().contains(['\n', '\r'])) {
            attributes.problem(
                AttributeProblem::new("line", "has several lines").help("use `blockinfile` for a block"),
            );
        }
        let pattern = edited::pattern(attributes, "match_pattern");
        let position = position(attributes);
        let region = Region {
            start: edited::pattern(attributes, "region_start"),
            end: edited::pattern(attributes, "region_end"),
        };
        let absent = attributes.has_state("absent");
        let edit = Edit::Line(LineEdit { pattern, position, region, absent });
        (Some(edit), line)
    }
}

fn position(attributes: &mut Attributes) -> Position {
    let Some(written) = attributes.text("position") else { return Position::End };
    let pattern = |attributes: &mut Attributes, source| edited::compiled(attributes, "position", source);
    match written.split_once(':') {
        None if written == "end" => Position::End,
        None if written == "begin" => Position::Begin,
        Some(("after", source)) => pattern(attributes, source).map_or(Position::End, Position::After),
        Some(("before", source)) => pattern(attributes, source).map_or(Position::End, Position::Before),
        _ => {
            attributes.problem(
                AttributeProblem::new("position", format!("`{written}` is no position"))
                    .help("write `end`, `begin`, `after:REGEX` or `before:REGEX`"),
            );
            Position::End
        }
    }
}
