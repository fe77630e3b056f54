//! The one list of diagnostic codes: number, title, severity and explanation. The manual's pages come from it, and every code has a case that shows it.
//!
//! A number is never given to another meaning. What a single diagnostic says in its place is written where it is made.

use std::fmt;

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used; its author should know.
    Warning,
}

impl Severity {
    /// The word in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $severity:ident, $title:literal, $explanation:literal;)*) => {
        /// What kind of mistake a diagnostic speaks of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number that is shown: `V001` and so on.
            #[must_use]
            pub const fn number(self) -> &'static str {
                match self { $(Self::$name => $number,)* }
            }

            /// One line for lists.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Why it is a mistake and what to do, for the manual.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $explanation,)* }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    // --- V001-V019: bytes and YAML
    NotText = "V001", Error, "a file is not UTF-8 text",
        "Policy files and templates are UTF-8. The message says at which byte the text ends to be that. Save the file as UTF-8; a binary file does not belong into the tree.";
    TooLarge = "V002", Error, "a file, a tree or what it unfolds to is too large",
        "A `.vgo` file and a template have 1 MiB at most, nesting goes 64 levels deep in a file and 30 in one value, and anchors with aliases may not make a file unfold to more nodes than its size allows. Split the file.";
    Yaml = "V003", Error, "a file is not valid YAML",
        "The text breaks a rule of YAML. The caret stands where reading could not go on, which is at or just after the mistake.";
    Tab = "V004", Error, "a tab in the indentation",
        "YAML indents with spaces only. Replace the tabs; most editors do that for `.vgo` if they are told that it is YAML.";
    UnquotedTemplate = "V005", Error, "a value that starts with `{{` or `{%` is not in quotes",
        "For YAML, `{` at the start of a value opens a map, so `{{ vars.x }}` must stand in quotes: `\"{{ vars.x }}\"`. In the middle of a value, or in a `|` block, no quotes are needed.";
    TemplateInStructure = "V006", Error, "a template tag in a key or between keys",
        "Templates are rendered in values only: the structure of a file is the same for every envoy. Use `case` and `match`, `foreach`, or `when` to vary what is there.";
    UnknownAlias = "V007", Error, "`*` outside quotes: an alias without its anchor, or a glob without quotes",
        "For YAML, a `*` at the start of a value refers to an anchor (`&name`). A glob that starts with `*` must stand in quotes: `match: \"*.example.com\"`.";
    EscapedSecret = "V008", Error, "`secret\\:` in double quotes",
        "In double-quoted YAML a backslash starts an escape, and `\\:` is none. Write the literal in single quotes or without quotes (`secret\\:x`), or as `{{ \"secret:\" }}x`.";
    OctalPrefix = "V009", Error, "a number with `0o` in front",
        "Modes are octal without saying so: write `0640` or `\"0640\"`. A number that is meant as a number is written in decimal.";
    DuplicateKey = "V010", Error, "a key stands twice in one map",
        "Only one of the two could hold, and which one would be a guess. Remove one; note that maps are not merged.";
    YamlTag = "V011", Error, "a YAML tag",
        "Tags (`!name`) are not part of the language. A text that starts with `!` must stand in quotes: `when: \"!changed\"`, or `when: not changed`.";
    MergeKey = "V012", Error, "a YAML merge key",
        "`<<` is not part of the language. Write the entries out, or use `defaults` for attributes that many resources share.";
    KeyNotText = "V013", Error, "a key is not plain text",
        "A key is a word or a number, not a list, a map or an alias.";
    SecondDocument = "V014", Error, "more than one YAML document, or a directive",
        "A file holds one document and no `%` directives. Put the rest into a file of its own.";
    ControlCharacter = "V015", Error, "a control character",
        "Only tab, line feed and carriage return may stand in a file. Others are invisible and can make a text look like what it is not.";

    // --- V020-V039: expressions and templates
    TemplateSyntax = "V020", Error, "a template or an expression cannot be parsed",
        "The text between the tags is no expression, or a block is not closed. A literal `{{` is written `{{ \"{{\" }}` or between `{% raw %}` and `{% endraw %}`.";
    UnknownName = "V021", Error, "a name in an expression is not defined",
        "Expressions know `vars`, `traits`, `envoy` (name, id, environment) and, under `foreach`, `item`. A variable must be defined where the configcrate is used: in the match block, environments.vgo, common.vgo or the configcrate's own `vars`. Where it may be missing on purpose, say `| default(..)`.";
    UnknownFunction = "V022", Error, "an unknown filter, function or test",
        "The list of filters and functions is closed; the manual has it.";
    MalformedSecret = "V023", Warning, "something that is nearly a secret reference",
        "The text is taken literally. A reference is `secret:` and a path of segments of letters, digits, `_`, `.` and `-` divided by `/`. `secret:{path}` marks the end exactly; a literal is written `secret\\:` or `{{ \"secret:\" }}`.";
    ComputedSecret = "V024", Error, "a computed secret path uses what is not known at publish",
        "Which secrets an envoy may read is decided on the server. `secret(..)` takes literals, `~`, `vars`, `envoy` and `item`; not `traits` (the node says those of itself), not variables of a loop.";
    SecretInExpression = "V025", Error, "a secret is used as if its value were known",
        "A secret can be placed, and passed through b64encode, urlencode, json, shell_quote, sha512_crypt, bcrypt, hex and trim. Comparing, slicing, measuring or joining it into a name would reveal it.";
    InvalidInclude = "V026", Error, "an include that is not a literal name of a template",
        "`{% include \"x.j2\" %}` takes the literal name of a file under `templates/`, so that a bundle holds all it needs. Templates that include each other in a circle are refused.";
    UnknownTrait = "V027", Error, "a trait that does not exist",
        "Built-in traits always exist. A custom trait may be missing on a node, so it needs a default: `{{ traits.custom.x | default(..) }}`.";
    VariableCycle = "V028", Error, "variables that refer to each other in a circle",
        "A variable may use others, but in the end each must come to a value. The message shows the circle.";

    // --- V040-V059: keys and values
    UnknownKey = "V040", Error, "an unknown key",
        "Every file has a closed schema: a key that nothing reads would be a promise that is not kept. The message lists near matches.";
    MissingKey = "V041", Error, "a required key is missing",
        "The map lacks something it cannot do without.";
    WrongKind = "V042", Error, "a value of the wrong kind",
        "Text, number, boolean, list or map: the message says what is wanted. `yes`, `no`, `on` and `off` are text; booleans are `true` and `false`.";
    InvalidValue = "V043", Error, "a value that cannot be",
        "The kind is right, the value is not: a mode that is not octal, a path that is not absolute, a duration without a unit, a name with forbidden characters.";
    UnknownType = "V044", Error, "an unknown resource type",
        "The list of types is in the manual, and `vigo explain` prints it.";
    UnknownChoice = "V045", Error, "a value that is not one of those allowed",
        "The attribute takes one of a fixed list of words. The message has the list.";
    ExclusiveKeys = "V046", Error, "keys that exclude each other, or of which one is needed",
        "For example a match block has `match` or `where`, and a file has `content`, `source` or `copy_from`.";
    UnknownFile = "V047", Error, "a file at a place where nothing reads it",
        "In `configcrates/` and `usercrates/` stand `.vgo` files, `roles.vgo` stands in the root. A file that nothing reads is a mistake in waiting.";
    Foreach = "V048", Error, "`foreach` over something that cannot be stamped",
        "`foreach` takes a list or a map that is known at publish, so it cannot depend on traits. Each item needs a key for the resource's id: the item itself if it is a word or number, else its `name`, `key` or `id`, and no two may be the same.";
    NotSupported = "V049", Error, "something of the language that this version does not carry out",
        "The key is part of the language, but this version would ignore it. Rather than pretend, it is refused.";

    // --- V060-V079: names and references
    UnknownReference = "V060", Error, "a reference to a resource that is not there",
        "A reference is the name of a resource in the same configcrate, `type/identity` of any resource of the envoy, or `configcrate:name`.";
    AmbiguousReference = "V061", Error, "a reference that fits more than one resource",
        "Both are shown. Give one of them a name of its own, or refer by `type/identity`.";
    Cycle = "V062", Error, "dependencies that go in a circle",
        "Each of the resources waits for the next, so none could be first. The message shows the whole circle.";
    DuplicateResource = "V063", Error, "two resources want the same thing differently",
        "Type and identity are the same, the attributes are not. If they are equal, one resource is made of both; else one of them has to go.";
    DuplicatePath = "V064", Error, "two types of resource on one path",
        "A path is a file, a directory or a link; two resources would undo each other for ever.";
    DuplicateName = "V065", Error, "a name is given twice",
        "Configcrates, roles, environments of one folder, and the resources of one configcrate are found by name.";
    UnknownConfigcrate = "V066", Error, "an unknown configcrate",
        "Configcrates are found by the name after `configcrate:` in a file under `configcrates/`.";
    UnknownRole = "V067", Error, "an unknown role",
        "Roles are defined in `roles.vgo` in the root of the stacks.";
    NestedRole = "V068", Error, "a role that includes a role which includes others",
        "Roles include one level deep, so that what an envoy gets can be seen at a glance.";
    UnknownEnvironment = "V069", Error, "an unknown environment",
        "Environments are defined in `environments.vgo`, in the root or in a folder above the match block.";
    UnknownTemplate = "V070", Error, "an unknown template",
        "`source` is the path of a file under `templates/`, without `..`.";
    ExcludedButNeeded = "V071", Error, "a configcrate is excluded that another one needs",
        "`exclude` works after roles and inheritance. What stays must be complete.";
    UnreachableBlock = "V072", Warning, "a match block that no envoy can reach",
        "The first match wins, and every name that this block fits is taken by an earlier one. Move it up or remove it.";
    UnusedVariable = "V073", Warning, "a variable that nothing uses",
        "Often a misspelt name, here or where it should be used.";
    TooManyResources = "V074", Error, "more resources than a bundle may hold",
        "`foreach` multiplies: look for one inside the other.";

    // --- V080-V099: safety
    MissingSecret = "V080", Error, "a secret that the vault does not have",
        "Set it first: `vigocli secrets set PATH`. An envoy that cannot get a secret would block the resources that need it.";
    Exposure = "V081", Error, "a secret in a place where others can see it",
        "A command line is visible to every user of the machine and to the audit log. Give the secret on standard input (`stdin`) or as a file (`credentials`); if there is no other way, say so: `allow_exposure: [argv]`.";
    SecretNotAllowed = "V082", Error, "a secret where none can stand",
        "Names, paths, conditions, traits and attributes that only choose what to do take no secrets: they are shown in reports and logs.";
    Unconditional = "V083", Error, "restarted or reloaded on every run",
        "`state: restarted` and `state: reloaded` act each time. Add `when: changed` and let another resource notify this one, or `subscribes`.";
    MissingGuard = "V084", Error, "a command without a guard",
        "A command would run at every check-in. Say when there is nothing to do: `creates`, `onlyif`, `unless`, or run it on notification only: `when: changed`.";
    GuardedPath = "V085", Error, "a resource touches what Vigo itself lives on",
        "The agent's own folders, binaries, services and packages are guarded: a mistake there would cut the machine off from its mend.";
    RemovedPath = "V086", Error, "a resource inside a path that another resource removes",
        "One makes what the other removes, at every run.";
    PlaintextSecret = "V087", Warning, "a plain text that looks like a secret",
        "What stands in a policy is readable by everyone who can read the policy. Put it into the vault (`vigocli secrets set PATH`) and write `secret:PATH`. The line is not shown here, because output is often kept.";
    SecretByTraits = "V088", Warning, "secrets in a match block that is chosen by traits",
        "What a machine says of itself entitles to nothing, else any machine could ask for any secret by saying the right thing. The resources that need one are blocked there. Choose these envoys by name (`match:`).";
}

impl Code {
    /// The code of that number.
    #[must_use]
    pub fn from_number(number: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// True if the source line must not be shown: it may hold what should not be in a log.
    #[must_use]
    pub const fn hides_source(self) -> bool {
        matches!(self, Self::PlaintextSecret)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_every_code_is_found_by_its_own() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{} {}", pair[0], pair[1]);
        }
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(*code));
            assert!(code.explanation().ends_with('.'), "{code}");
            assert!(!code.title().ends_with('.'), "{code}");
        }
        assert_eq!(Code::from_number("V000"), None);
    }
}
