//! Resource types for the tests: as far as a policy knows them. They do nothing.

use std::time::Duration;
use vigo_resource::{
    Applied, AttributeInfo, AttributeProblem, Attributes, Context, Failure, Host, Kind, Plan, Provides,
    Resource, SecretRule, TypeInfo, Unchanged,
};

macro_rules! types {
    ($($name:ident = $info:expr;)*) => {
        $(
            #[derive(Debug)]
            pub struct $name;
            impl Resource for $name {
                type Steps = ();
                const INFO: &'static TypeInfo = &$info;
                fn parse(_: Attributes) -> Result<Self, Vec<AttributeProblem>> {
                    Ok(Self)
                }
                fn plan(&self, _: &dyn Host, _: &Context<'_>) -> Result<Plan<()>, Failure> {
                    Ok(Plan::Unchanged(Unchanged::Verified))
                }
                fn apply(&self, _: &mut dyn Host, _: &Context<'_>, (): ()) -> Result<Applied, Failure> {
                    Err(Failure::failed("the types of these tests do nothing"))
                }
            }
        )*
        vigo_resource::registry! {
            /// The types of the tests.
            pub static TYPES = [$($name),*];
        }
    };
}

const PATH: AttributeInfo = AttributeInfo::new("target_path", Kind::Path, "").identity();
const MODE: AttributeInfo = AttributeInfo::new("mode", Kind::Mode, "");
const OWNER: AttributeInfo = AttributeInfo::new("owner", Kind::User, "");
const GROUP: AttributeInfo = AttributeInfo::new("group", Kind::Group, "");

const NOTHING: TypeInfo = TypeInfo {
    name: "",
    doc: "",
    attributes: &[],
    states: &["present", "absent"],
    later: &[],
    exclusive: &[],
    provides: Provides::Path("target_path"),
    timeout: Duration::from_secs(60),
    examples: &[],
};

types! {
    File = TypeInfo {
        name: "file",
        attributes: &[
            PATH,
            AttributeInfo::new("content", Kind::Text, "").secrets(SecretRule::Unexposed),
            AttributeInfo::new("source", Kind::Text, "").secrets(SecretRule::Unexposed),
            AttributeInfo::new("copy_from", Kind::Path, ""),
            MODE, OWNER, GROUP,
            AttributeInfo::new("backup", Kind::Boolean, ""),
            AttributeInfo::new("baseindent", Kind::Integer { least: 0, most: 200 }, ""),
        ],
        later: &["secontext"],
        exclusive: &[&["content", "source", "copy_from"]],
        ..NOTHING
    };
    Directory = TypeInfo {
        name: "directory",
        attributes: &[PATH, MODE, OWNER, GROUP, AttributeInfo::new("purge", Kind::Boolean, "")],
        ..NOTHING
    };
    Symlink = TypeInfo {
        name: "symlink",
        attributes: &[PATH, AttributeInfo::new("to", Kind::Text, "").required(), OWNER, GROUP],
        ..NOTHING
    };
    Exec = TypeInfo {
        name: "exec",
        attributes: &[
            AttributeInfo::new("command", Kind::Command, "").identity().secrets(SecretRule::Argv),
            AttributeInfo::new("onlyif", Kind::Commands, ""),
            AttributeInfo::new("unless", Kind::Commands, ""),
            AttributeInfo::new("creates", Kind::Path, ""),
            AttributeInfo::new("environment", Kind::Environment, "").secrets(SecretRule::Environment),
            AttributeInfo::new("stdin", Kind::Text, "").secrets(SecretRule::Unexposed),
            AttributeInfo::new("shell", Kind::Shell, ""),
            AttributeInfo::new("log_output", Kind::Choice(&["on_failure", "always", "never"]), ""),
        ],
        states: &[],
        provides: Provides::Nothing,
        ..NOTHING
    };
    Service = TypeInfo {
        name: "service",
        attributes: &[
            AttributeInfo::new("service", Kind::Text, "").identity(),
            AttributeInfo::new("enabled", Kind::Boolean, ""),
        ],
        states: &["running", "stopped", "restarted", "reloaded"],
        provides: Provides::Nothing,
        ..NOTHING
    };
    SwapPolicy = TypeInfo {
        name: "swap_policy",
        attributes: &[
            AttributeInfo::new("swap_policy", Kind::Choice(&["off", "zram", "encrypted"]), "").identity(),
        ],
        states: &[],
        provides: Provides::OnlyOne,
        ..NOTHING
    };
    Package = TypeInfo {
        name: "package",
        attributes: &[
            AttributeInfo::new("package", Kind::Text, "").identity(),
            AttributeInfo::new("version", Kind::Text, ""),
        ],
        states: &["present", "latest", "absent"],
        provides: Provides::Nothing,
        ..NOTHING
    };
}
