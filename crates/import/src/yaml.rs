//! YAML, read into leaves: maps with texts as names, lists, scalars as they are written. No aliases, no merges, one document.

use crate::leaf::{Leaf, Sort, Step};
use crate::{DEPTH, ImportError, NAME, VALUES};
use granit_parser::{Event, Parser, ScalarStyle, Tag, options};
use std::borrow::Cow;
use std::collections::HashSet;

/// As many leaves as are read; more than values, as sops has leaves of its own.
const LEAVES: usize = 4 * VALUES;

/// Reads a mapping.
///
/// # Errors
/// When it is none, is nested too deeply, has a name twice, or something that is not known here.
pub(crate) fn read(text: &str) -> Result<Vec<Leaf>, ImportError> {
    let options = options! {
        disallow_directives: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut builder = Builder { open: Vec::new(), leaves: Vec::new(), documents: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        // What the parser says of it may repeat what stands there.
        let (event, span) = event.map_err(|error| malformed(error.marker().line(), "it is no YAML"))?;
        builder.event(event, span.start.line())?;
    }
    if builder.documents == 0 {
        return Err(malformed(0, "it is no mapping"));
    }
    Ok(builder.leaves)
}

fn malformed(line: usize, why: &'static str) -> ImportError {
    ImportError::Malformed { format: "YAML", line, why }
}

/// A map or a list that is not over.
enum Open {
    Map { seen: HashSet<String>, name: Option<String> },
    List { next: usize },
}

struct Builder {
    open: Vec<Open>,
    leaves: Vec<Leaf>,
    documents: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), ImportError> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(malformed(line, "a second document starts here"));
                }
            }
            Event::Scalar(value, style, _, tag) if self.wants_name() => {
                let is_merge = value == "<<" && style == ScalarStyle::Plain;
                if tag.is_some() || is_merge {
                    return Err(malformed(line, "a name with a tag, or `<<`, is not known here"));
                }
                self.name(&value)?;
            }
            Event::Scalar(value, style, _, tag) => self.scalar(&value, style, tag.as_deref(), line)?,
            Event::MappingStart(_, _, tag) => {
                self.start(tag, Open::Map { seen: HashSet::new(), name: None }, line)?;
            }
            Event::SequenceStart(_, _, tag) => self.start(tag, Open::List { next: 0 }, line)?,
            Event::MappingEnd | Event::SequenceEnd => {
                self.open.pop();
                self.done();
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return Err(malformed(line, "an alias (`*name`) is not known here: write the value out"));
            }
            _ => {}
        }
        Ok(())
    }

    fn wants_name(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { name: None, .. }))
    }

    /// Where the parser stands: with the name whose value is to come.
    fn at(&self) -> Vec<Step> {
        let step = |open: &Open| match open {
            Open::Map { name, .. } => name.clone().map(Step::Name),
            Open::List { next } => Some(Step::Index(*next)),
        };
        self.open.iter().filter_map(step).collect()
    }

    fn name(&mut self, text: &str) -> Result<(), ImportError> {
        if text.len() > NAME {
            return Err(ImportError::Limit { what: "bytes in a name", most: NAME });
        }
        let Some(Open::Map { seen, name }) = self.open.last_mut() else { return Ok(()) };
        let is_new = seen.insert(text.to_owned());
        *name = Some(text.to_owned());
        if is_new {
            return Ok(());
        }
        Err(ImportError::Duplicate { key: Leaf::new(self.at(), Sort::Null, b"")?.name() })
    }

    fn start(&mut self, tag: Option<Cow<'_, Tag>>, open: Open, line: usize) -> Result<(), ImportError> {
        if self.wants_name() {
            return Err(malformed(line, "a name that is a map or a list is not known here"));
        }
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            return Err(malformed(line, "a map or a list with a tag is not known here"));
        }
        if self.open.is_empty() && matches!(open, Open::List { .. }) {
            return Err(malformed(line, "it is no mapping"));
        }
        if self.open.len() >= DEPTH {
            return Err(ImportError::Limit { what: "levels", most: DEPTH });
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), ImportError> {
        if self.open.is_empty() {
            return Err(malformed(line, "it is no mapping"));
        }
        let sort = match tag.map(written) {
            None if style != ScalarStyle::Plain => Sort::Text,
            None if matches!(value, "" | "~" | "null" | "Null" | "NULL") => Sort::Null,
            None => Sort::Bare,
            Some(tag) if matches!(tag.as_str(), "!vault" | "!vault-encrypted") => Sort::Vault,
            Some(tag) if matches!(tag.as_str(), "!!str" | "!" | "!unsafe") => Sort::Text,
            Some(tag) if matches!(tag.as_str(), "!!int" | "!!float" | "!!bool") => Sort::Bare,
            Some(_) => return Err(malformed(line, "this tag is not known here")),
        };
        self.leaf(sort, value.as_bytes())?;
        self.done();
        Ok(())
    }

    fn leaf(&mut self, sort: Sort, text: &[u8]) -> Result<(), ImportError> {
        if self.leaves.len() >= LEAVES {
            return Err(ImportError::Limit { what: "values", most: VALUES });
        }
        self.leaves.push(Leaf::new(self.at(), sort, text)?);
        Ok(())
    }

    /// A value is over: what it was in goes on.
    fn done(&mut self) {
        match self.open.last_mut() {
            Some(Open::Map { name, .. }) => *name = None,
            Some(Open::List { next }) => *next += 1,
            None => {}
        }
    }
}

/// The tag as it would be written, for those that are known here.
fn written(tag: &Tag) -> String {
    match tag.handle() {
        "tag:yaml.org,2002:" => format!("!!{}", tag.suffix()),
        handle => format!("{handle}{}", tag.suffix()),
    }
}
