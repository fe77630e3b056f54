//! `replace`: what a pattern matches in a file becomes another text.

use crate::edited::{self, Part};
use vigo_base::Pieces;
use vigo_edit::{Edit, Region, ReplaceEdit};
use vigo_resource::{AttributeInfo, Attributes, Example, Kind, Provides, SecretRule, TypeInfo};

static INFO: TypeInfo = TypeInfo {
    name: "replace",
    doc: "What a pattern matches in a file becomes another text. It has to come to rest: what it makes must not be changed by it again.",
    attributes: &[
        edited::TARGET,
        AttributeInfo::new("match_pattern", Kind::Text, "A regular expression; `(?m)` at its start makes `^` and `$` the ends of lines.").identity(),
        AttributeInfo::new(
            "replacement",
            Kind::Text,
            "What takes its place; `$1` and `${name}` are what the pattern's groups matched, `$$` is a dollar sign. In a secret nothing has a meaning.",
        )
        .default("nothing: what matches is removed")
        .secrets(SecretRule::Unexposed),
        AttributeInfo::new("occurrences", Kind::Integer { least: 1, most: 1_000_000 }, "So many matches, from the first on.")
            .default("all"),
        AttributeInfo::new("region_start", Kind::Text, "A regular expression: only what comes after this line counts."),
        AttributeInfo::new("region_end", Kind::Text, "A regular expression: only what comes before this line counts."),
        edited::MODE,
        edited::OWNER,
        edited::GROUP,
        edited::BACKUP,
        edited::VALIDATE,
    ],
    states: &[],
    later: &[],
    exclusive: &[],
    provides: Provides::Part("target_path"),
    timeout: edited::TIMEOUT,
    examples: &[Example {
        title: "Another mirror everywhere in a file",
        policy: "type: replace\ntarget_path: /etc/apt/sources.list\nmatch_pattern: 'http://deb\\.example\\.org/'\nreplacement: https://mirror.example.com/\n",
    }],
};

/// What a pattern matches in a file.
#[derive(Debug)]
pub enum Replace {}

impl Part for Replace {
    const INFO: &'static TypeInfo = &INFO;

    fn edit(attributes: &mut Attributes) -> (Option<Edit>, Option<Pieces>) {
        let text = attributes.pieces("replacement");
        let pattern = edited::pattern(attributes, "match_pattern");
        let most = attributes.integer("occurrences").and_then(|most| usize::try_from(most).ok());
        let region = Region {
            start: edited::pattern(attributes, "region_start"),
            end: edited::pattern(attributes, "region_end"),
        };
        let edit = pattern.map(|pattern| Edit::Replace(ReplaceEdit { pattern, region, most }));
        (edit, text)
    }
}
