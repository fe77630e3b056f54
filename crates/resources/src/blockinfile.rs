//! `blockinfile`: a block of lines in a file that somebody else wrote, between two markers.

use crate::edited::{self, Part};
use vigo_base::Pieces;
use vigo_edit::{BlockEdit, Edit};
use vigo_resource::{
    AttributeInfo, AttributeProblem, Attributes, Example, Kind, Provides, SecretRule, TypeInfo,
};

static INFO: TypeInfo = TypeInfo {
    name: "blockinfile",
    doc: "A block of lines in a file, between two marker lines; the rest of the file is left as it is.",
    attributes: &[
        edited::TARGET,
        AttributeInfo::new(
            "label",
            Kind::Text,
            "Tells one block of a file from another; it stands in the markers.",
        )
        .identifying()
        .default("managed"),
        AttributeInfo::new("block_content", Kind::Text, "The lines.").secrets(SecretRule::Unexposed),
        AttributeInfo::new("marker_begin", Kind::Text, "The line before the block.")
            .default("# BEGIN VIGO label"),
        AttributeInfo::new("marker_end", Kind::Text, "The line after the block.").default("# END VIGO label"),
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
            title: "Hosts of a cluster",
            policy: "type: blockinfile\ntarget_path: /etc/hosts\nlabel: cluster\nblock_content: |\n  10.0.0.1 db1\n  10.0.0.2 db2\n",
        },
        Example {
            title: "A block with a secret, in a file whose comments begin otherwise",
            policy: "type: blockinfile\ntarget_path: /etc/app/local.sql\nmarker_begin: -- vigo begins\nmarker_end: -- vigo ends\nblock_content: |\n  SET app.token = 'secret:app/token';\n",
        },
    ],
};

/// A block of lines in a file.
#[derive(Debug)]
pub enum BlockInFile {}

impl Part for BlockInFile {
    const INFO: &'static TypeInfo = &INFO;

    fn edit(attributes: &mut Attributes) -> (Option<Edit>, Option<Pieces>) {
        let block = attributes.pieces("block_content");
        let absent = attributes.has_state("absent");
        if block.is_none() && !absent {
            attributes.problem(
                AttributeProblem::new("block_content", "`blockinfile` needs this attribute")
                    .help("write the lines, or `state: absent`"),
            );
        }
        let label = attributes.text("label").unwrap_or_else(|| "managed".to_owned());
        let begin = attributes.text("marker_begin").unwrap_or_else(|| format!("# BEGIN VIGO {label}"));
        let end = attributes.text("marker_end").unwrap_or_else(|| format!("# END VIGO {label}"));
        if !BlockEdit::are_markers(&begin, &end) {
            attributes.problem(
                AttributeProblem::new("marker_begin", "the two markers are one line each, and not the same")
                    .help("leave them out, or write two different lines"),
            );
        }
        let edit = Edit::Block(BlockEdit { begin, end, absent });
        (Some(edit), block)
    }
}
