//! The resource types: one file a type, and one list.
//!
//! A new type is a file here, a line in [`REGISTRY`] and a file of cases in `cases/`; schema, manual and the tests of every type come from the registry.
//! It leaves order and dependencies to the engine and the machine to the host.
#![forbid(unsafe_code)]

mod blockinfile;
mod content;
mod directory;
mod edited;
mod exec;
mod file;
mod file_line;
mod ini;
mod ownership;
mod place;
mod replace;
mod swap;
mod swap_policy;
mod swap_tables;
mod symlink;
mod value_file;

vigo_resource::registry! {
    /// Every type there is, in the order of the manual.
    pub static REGISTRY = [
        file::File,
        directory::Directory,
        symlink::Symlink,
        edited::PartOf<file_line::FileLine>,
        edited::PartOf<blockinfile::BlockInFile>,
        edited::PartOf<replace::Replace>,
        edited::PartOf<ini::Ini>,
        edited::PartOf<value_file::JsonFile>,
        edited::PartOf<value_file::YamlFile>,
        edited::PartOf<value_file::TomlFile>,
        exec::Exec,
        swap::Swap,
        swap_policy::SwapPolicy,
    ];
}
