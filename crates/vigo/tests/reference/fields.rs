//! Every field of every JSON output, and what it means.

/// One field: its place, what it is, what it means. `[]` in the place stands for each item of a list; a `?` at the end of what it is says that it may be
/// missing.
pub type Field = (&'static str, &'static str, &'static str);

/// Some fields of an output.
pub enum Part {
    /// At the top.
    Here(&'static [Field]),
    /// In each item of the list that is printed.
    Items(&'static [Field]),
    /// In an object of that name.
    Under(&'static str, &'static [Field]),
}

/// One output.
pub struct Shape {
    /// Its name in these tests.
    pub name: &'static str,
    /// The commands that print it.
    pub commands: &'static str,
    pub parts: &'static [Part],
}

const FORMAT: Part =
    Part::Here(&[("format", "number", "1; another number when a field gets another meaning")]);
const LIST: Part = Part::Here(&[
    ("format", "number", "1; another number when a field gets another meaning"),
    ("items", "list", "what is listed"),
    ("next", "text or null", "what `--cursor` takes to go on; null at the end"),
]);
const RESOURCE: &[Field] = &[
    ("resources", "list", "what became of each resource, in the order of the run"),
    ("resources[].id", "text", "`configcrate:name`, or `configcrate:type/identity`"),
    ("resources[].type", "text", "the resource type"),
    (
        "resources[].outcome",
        "text",
        "`unchanged`, `created`, `updated`, `deleted`, `skipped`, `blocked`, `failed`; in a dry run also `pending`",
    ),
    ("resources[].changes", "list of text", "what was done, or would be"),
    (
        "resources[].reason",
        "text",
        "why it failed, is blocked, skipped or left alone; empty when there is nothing to say",
    ),
    ("resources[].duration_ms", "number", "how long it took"),
];
const SUMMARY: &[Field] = &[
    ("summary", "object", "how many resources came to what"),
    ("summary.unchanged", "number", ""),
    ("summary.changed", "number", "created, updated, deleted, pending"),
    ("summary.failed", "number", ""),
    ("summary.blocked", "number", ""),
    ("summary.skipped", "number", ""),
];
const DIAGNOSTICS: &[Field] = &[
    ("diagnostics", "list", "what the check found, in the order of files and places"),
    ("diagnostics[].code", "text", "see [diagnostics.md](diagnostics.md)"),
    ("diagnostics[].severity", "text", "`error` or `warning`"),
    ("diagnostics[].file", "text", "relative to the stacks"),
    ("diagnostics[].line", "number", "from 1"),
    ("diagnostics[].column", "number", "from 1, in characters"),
    ("diagnostics[].message", "text", "what is wrong"),
    ("diagnostics[].help", "text", "what to do; may be empty"),
    ("diagnostics[].related", "list", "other places that have to do with it"),
    ("diagnostics[].related[].file", "text", ""),
    ("diagnostics[].related[].line", "number", ""),
    ("diagnostics[].related[].message", "text", ""),
];
const RUN: &[Field] = &[
    ("run", "text", "its id"),
    ("envoy", "text", "the envoy's id"),
    ("name", "text", "its name when it ran"),
    ("started_at", "time", ""),
    ("received_at", "time", "when the report came in; later when the server was away"),
    ("duration_ms", "number", ""),
    ("dry_run", "boolean", "it changed nothing and is no convergence"),
    ("offline", "boolean", "it ran without the server"),
    ("publish", "number", "the published version that was applied"),
    ("generation", "number", "of the assignment"),
];
const ENVOY: &[Field] = &[
    ("id", "text", "never given twice"),
    ("name", "text", "one active envoy has it"),
    ("environment", "text", "empty for none"),
    ("labels", "map", "bound at enrolment"),
    ("state", "text", "`active` or `revoked`"),
    ("enrolled_at", "time", ""),
    ("agent_version", "text", "empty until it was seen"),
    ("last_seen", "time or null", "its last check-in"),
    ("publish", "number", "the published version that it was given; 0 for none"),
    ("generation", "number", "of its assignment"),
    ("stale", "boolean", "it was not seen for some time"),
    ("level", "text", "`secure`, `weak`, `insecure`; empty until it was seen"),
    ("reasons", "list of text", "why the level is no better"),
    (
        "swap",
        "text",
        "`none`, `zram`, `encrypted-ephemeral`, `encrypted-persistent`, `plain`; empty when not known",
    ),
    ("last_run", "object or null", ""),
    ("last_run.at", "time", ""),
    ("last_run.summary", "object", "as in a run"),
    ("last_run.summary.unchanged", "number", ""),
    ("last_run.summary.changed", "number", ""),
    ("last_run.summary.failed", "number", ""),
    ("last_run.summary.blocked", "number", ""),
    ("last_run.summary.skipped", "number", ""),
    ("match", "text or null", "`file:line` of its match block"),
];
const PUBLISHED: &[Field] = &[
    ("version", "number", ""),
    ("at", "time", ""),
    ("by", "text", "who published it"),
    ("message", "text", ""),
    ("digest", "text", "SHA-256 of the tree"),
    ("git", "object or null", "where the folder was a git work tree"),
    ("git.commit", "text?", ""),
    ("git.dirty", "boolean?", "it had changes that were not committed"),
];
const PLAN: &[Field] = &[
    ("base", "number", "the current version that it was compared with; 0 for none"),
    ("changes", "list", "envoys that would get something else, those alike together"),
    ("changes[].envoys", "list of text", "their names"),
    ("changes[].unmatched_before", "boolean", "no match block fitted them"),
    ("changes[].unmatched_after", "boolean", "none will"),
    ("changes[].added", "list of text", "ids of resources"),
    ("changes[].removed", "list of text", "they are left as they are on the machine"),
    ("changes[].changed", "list of text", ""),
    ("new_secret_readers", "list", "who could read a secret that it cannot read now"),
    ("new_secret_readers[].envoy", "text?", "its name"),
    ("new_secret_readers[].secret", "text?", "its path"),
    ("envoys_affected", "number", ""),
];
const POLICY: &[Field] = &[
    ("scope", "text", "a path, a path with `/` at its end for all below it, or `/` for all"),
    ("require", "text or null", "the least protection level: `weak` or `secure`"),
    ("require_swap", "text or null", "`closed`"),
    ("environments", "list of text", "one of them; empty for any"),
    ("envoys", "list of text", "globs, one of which fits the name; empty for any"),
    ("labels", "map", "all of them, as bound at enrolment"),
    ("set_by", "text", ""),
    ("set_at", "time", ""),
];
const TYPE: &[Field] = &[
    ("type", "text", ""),
    ("doc", "text", ""),
    ("states", "list of text", "the default first; empty when the type has no state"),
    ("attributes", "list", ""),
    ("attributes[].name", "text", ""),
    ("attributes[].kind", "text", "what it takes, in words"),
    ("attributes[].required", "boolean", ""),
    ("attributes[].identity", "boolean", "it tells one resource of the type from another"),
    ("attributes[].default", "text", "in words; empty for none"),
    ("attributes[].takes_secrets", "boolean", ""),
    ("attributes[].doc", "text", ""),
    ("examples", "list", ""),
    ("examples[].title", "text", ""),
    ("examples[].policy", "text", "a resource, as it stands in a policy"),
];
const EXPOSURES: &[Field] = &[
    (
        "exposures",
        "list",
        "secrets that were handed over: to commands that ran, guards too, and in files that were found as written or put",
    ),
    ("exposures[].resource", "text", "the id of the resource"),
    ("exposures[].path", "text", "the secret"),
    ("exposures[].version", "number", ""),
    ("exposures[].way", "text", WAYS),
];
const WAYS: &str =
    "`stdin`, `credentials`, `file`; and what counts as an exposure: `file_on_swap`, `environment`, `argv`";

const STATUS: &[Field] = &[
    ("version", "text", "of the program"),
    ("state_dir", "text", "the state folder"),
    ("enrolled", "object or null", "null without a server"),
    ("enrolled.name", "text", ""),
    ("enrolled.id", "text", ""),
    ("enrolled.server", "text", "as it was given"),
    ("enrolled.term", "number", ""),
    ("enrolled.generation", "number", "of the assignment held"),
    ("enrolled.publish", "number", "the published version held; 0 for none"),
    ("enrolled.accepted_at", "number or null", "when the server last confirmed it, in seconds since 1970"),
    ("enrolled.resources", "number", ""),
    (
        "agent",
        "object or null",
        "the daemon of this state folder; null when none runs, or when it is busy with a run",
    ),
    ("agent.process", "number?", "its process id"),
    ("agent.version", "text?", ""),
    ("agent.started_at", "number?", "seconds since 1970"),
    ("agent.hand", "number or null?", "process id of its hand; null while none runs"),
    ("agent.held_secrets", "number?", "how many values the hand holds"),
    ("agent.last_check_in", "number or null?", "when the server last answered since the start"),
    ("agent.last_error", "text or null?", "why its last run failed"),
    ("protection", "object", "as the running agent says; of processes started for this when none runs"),
    ("protection.level", "text", "`secure`, `weak` or `insecure`"),
    ("protection.reasons", "list of text", "why it is no better"),
    ("protection.swap", "text or null", "the class of this machine's swap"),
    ("last_run", "object or null", ""),
    ("last_run.format", "number", ""),
    ("last_run.started_at", "number", "seconds since 1970"),
    ("last_run.duration_ms", "number", ""),
    ("last_run.dry_run", "boolean", ""),
    ("last_run.offline", "boolean", ""),
    ("last_run.publish", "number", "0 without a server"),
    ("last_run.unchanged", "number", ""),
    ("last_run.changed", "number", ""),
    ("last_run.failed", "number", ""),
    ("last_run.blocked", "number", ""),
    ("last_run.skipped", "number", ""),
    ("last_run.bad", "list of pairs of text", "ids of what failed or is blocked, each with its reason"),
    ("last_run.exposures", "list", "as in [vigo run](#vigo-run-vigo-apply)"),
    ("last_run.exposures[].resource", "text?", ""),
    ("last_run.exposures[].path", "text?", ""),
    ("last_run.exposures[].version", "number?", ""),
    ("last_run.exposures[].way", "text?", ""),
    ("last_run.level", "text", "the protection level while it ran"),
    ("last_run.reasons", "list of text", ""),
    ("waiting_reports", "number", "reports that the server does not have yet"),
    ("owed_notifications", "number", "notified resources that did not succeed yet"),
];

const DOCTOR: &[Field] = &[
    ("version", "text", "of the program"),
    ("examined", "object", "what was examined"),
    (
        "examined.is_running",
        "boolean",
        "true if it is the running agent, false if processes were started for this",
    ),
    ("examined.agent", "number", "process id"),
    ("examined.hand", "number or null", "process id"),
    ("examined.worker", "number or null", "process id; null while none runs"),
    ("level", "text", "`secure`, `weak` or `insecure`, as the agent says"),
    ("reasons", "list of text", "why it is no better"),
    ("settings", "list", "what holds"),
    ("settings[].name", "text", "as in the settings file"),
    ("settings[].value", "text", ""),
    ("settings[].source", "text", "`flag`, `environment`, `file PATH` or `default`"),
    ("checks", "list", "what was seen from outside"),
    ("checks[].name", "text", "a fixed name"),
    ("checks[].about", "text", "what it means when it is ok"),
    ("checks[].verdict", "text", "`ok`, `bad` or `not-conclusive`"),
    ("checks[].evidence", "text", "what was seen and where, or why it proves nothing"),
    ("checks[].mend", "text", "what to do; empty unless it is bad"),
    ("attacks", "list", "empty without `--attack`"),
    ("attacks[].name", "text", "a fixed name"),
    ("attacks[].target", "text", "against what"),
    ("attacks[].verdict", "text", "`refused`, `succeeded` or `not-conclusive`"),
    ("attacks[].why", "text", "what the kernel said, or why it proves nothing"),
    ("attacks[].control", "text", "what the same attack came to against an unprotected process"),
    ("summary", "object", "how many of each"),
    ("summary.ok", "number", "checks"),
    ("summary.bad", "number", "checks; any makes the exit code 5"),
    ("summary.not_conclusive", "number", "checks and attacks"),
    ("summary.refused", "number", "attacks"),
    ("summary.succeeded", "number", "attacks; any makes the exit code 5"),
];

/// Every output, in the order of the page.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "run, apply",
        commands: "vigo run, vigo apply",
        parts: &[
            FORMAT,
            Part::Here(&[
                ("version", "text", "of the program"),
                ("envoy", "text", "the envoy's name"),
                ("dry_run", "boolean", "nothing was changed"),
                ("offline", "boolean", "the server was away, and what is held was applied"),
            ]),
            Part::Here(SUMMARY),
            Part::Here(RESOURCE),
            Part::Here(&[
                (
                    "resources[].diff",
                    "list of text?",
                    "changed lines, each with `+` or `-` before it; `@` before a remark. Never a value of a secret",
                ),
                ("resources[].help", "text", "what to do about the reason; may be empty"),
                ("warnings", "list of text", "what an author should know, of the order for example"),
                ("problems", "list of text", "what went wrong beside the resources; exit code 5"),
            ]),
            Part::Here(EXPOSURES),
        ],
    },
    Shape {
        name: "enroll",
        commands: "vigo enroll",
        parts: &[
            FORMAT,
            Part::Here(&[
                ("name", "text", ""),
                ("id", "text", "the envoy's id"),
                ("server", "text", "as it was given"),
            ]),
        ],
    },
    Shape { name: "vigo status", commands: "vigo status", parts: &[FORMAT, Part::Here(STATUS)] },
    Shape { name: "vigo doctor", commands: "vigo doctor", parts: &[FORMAT, Part::Here(DOCTOR)] },
    Shape {
        name: "traits",
        commands: "vigo traits",
        parts: &[FORMAT, Part::Here(&[("traits", "map", "see [traits.md](traits.md)")])],
    },
    Shape {
        name: "explain",
        commands: "vigo explain",
        parts: &[LIST, Part::Items(&[("format", "number", "")]), Part::Items(TYPE)],
    },
    Shape { name: "explain TYPE", commands: "vigo explain TYPE", parts: &[FORMAT, Part::Here(TYPE)] },
    Shape {
        name: "version",
        commands: "vigo version",
        parts: &[FORMAT, Part::Here(&[("name", "text", ""), ("version", "text", "")])],
    },
    Shape {
        name: "status",
        commands: "vigocli status",
        parts: &[
            FORMAT,
            Part::Here(&[
                ("version", "text", "of the server"),
                ("publish", "object or null", "the current published version"),
            ]),
            Part::Under("publish", PUBLISHED),
            Part::Here(&[
                ("envoys", "number", "how many are active"),
                ("term", "number", "goes before the generation when two assignments are compared"),
                ("anchor", "text", "the public key that everything of this deployment hangs on, hexadecimal"),
                ("level", "text", "the protection level of the server's hand"),
                ("reasons", "list of text", "why it is no better"),
                ("master_key", "object", "how the master key is kept"),
            ]),
            Part::Under(
                "master_key",
                &[
                    ("kept", "text", "`file`, `passphrase`, `credential` or `transit`"),
                    ("exported", "boolean", "whether it was exported, or is kept elsewhere anyway"),
                ],
            ),
            Part::Here(&[("warnings", "list of text", "what an operator should do about it")]),
        ],
    },
    Shape {
        name: "secrets import",
        commands: "vigocli secrets import",
        parts: &[
            Part::Here(&[
                ("format", "number", ""),
                ("kind", "text", "what the file turned out to be"),
                ("dry_run", "boolean", "nothing was set"),
                ("items", "list", ""),
            ]),
            Part::Items(&[
                ("name", "text", "in the file: names of maps and numbers in lists, divided by `/`"),
                ("path", "text", "the secret that it became"),
                ("version", "number or null", "null in a dry run"),
                ("replaced", "boolean", "it was there already"),
            ]),
            Part::Here(&[("left_out", "list", "what was not taken")]),
            Part::Under("left_out[]", &[("name", "text", "in the file"), ("why", "text", "for people")]),
        ],
    },
    Shape {
        name: "secrets list",
        commands: "vigocli secrets list",
        parts: &[
            LIST,
            Part::Items(&[
                ("path", "text", ""),
                ("version", "number", "the current one"),
                ("versions", "number", "how many are kept"),
                ("updated_at", "time", ""),
                ("updated_by", "text", "with `--vault`, the user's id"),
                ("used_at", "time or null", "when anybody last got a value of it; with `--vault` not known"),
                (
                    "policies",
                    "list of text?",
                    "the scopes of the policies that hold for it; not with `--vault`",
                ),
            ]),
        ],
    },
    Shape {
        name: "secrets history",
        commands: "vigocli secrets history",
        parts: &[
            LIST,
            Part::Items(&[
                ("version", "number", ""),
                ("at", "time", ""),
                ("by", "text", ""),
                ("state", "text", "`current` or `kept`"),
            ]),
        ],
    },
    Shape {
        name: "secrets who",
        commands: "vigocli secrets who",
        parts: &[
            LIST,
            Part::Items(&[
                ("envoy", "text", "its id"),
                ("name", "text", ""),
                ("resources", "list of text", "ids of the resources that place it"),
                (
                    "exposure",
                    "list of text",
                    "who else can see it there: `environment`, `argv`; empty for nobody",
                ),
                (
                    "ways",
                    "list of text",
                    "how it gets there: `stdin`, `credentials`, `environment`, `argv`, `file`, else the resource type",
                ),
                ("may", "boolean", "it gets it now"),
                ("why", "text", "why, or why not"),
                ("help", "text", "what would change that; may be empty"),
            ]),
        ],
    },
    Shape {
        name: "secrets exposure",
        commands: "vigocli secrets exposure",
        parts: &[
            LIST,
            Part::Items(&[
                ("envoy", "text", "its id"),
                ("name", "text", ""),
                ("path", "text", "the secret"),
                ("resource", "text", "the id of the resource that places it"),
                (
                    "target",
                    "text or null",
                    "what it is put into, such as the path of a file; null when not planned",
                ),
                (
                    "way",
                    "text",
                    "as reported, else as planned: `file`, `file_on_swap`, `stdin`, `credentials`, `environment`, `argv`, else the resource type",
                ),
                (
                    "planned",
                    "boolean",
                    "what is published puts it there; when not, it was so, and may still be there",
                ),
                ("version", "number or null", "as reported, else as given"),
                ("reported_at", "time or null", "when the machine last said so"),
                ("given_at", "time or null", "when the machine last got a value of it"),
                ("level", "text", "the machine's protection level"),
                ("swap", "text", "the class of its swap"),
            ]),
        ],
    },
    Shape {
        name: "secrets policy list, show",
        commands: "vigocli secrets policy list, secrets policy show",
        parts: &[
            LIST,
            Part::Items(POLICY),
            Part::Here(&[(
                "intact",
                "boolean",
                "they are as the server wrote them; when not, it gives no secret to anybody",
            )]),
        ],
    },
    Shape {
        name: "secrets policy set",
        commands: "vigocli secrets policy set",
        parts: &[FORMAT, Part::Here(POLICY)],
    },
    Shape {
        name: "secrets policy rm",
        commands: "vigocli secrets policy rm",
        parts: &[FORMAT, Part::Here(&[("scope", "text", "")])],
    },
    Shape {
        name: "secrets policy accept",
        commands: "vigocli secrets policy accept",
        parts: &[
            FORMAT,
            Part::Here(&[(
                "accepted",
                "number",
                "how many policies were taken as they are; 0 when nothing was wrong",
            )]),
        ],
    },
    Shape {
        name: "api-token create",
        commands: "vigocli api-token create",
        parts: &[
            FORMAT,
            Part::Here(&[
                ("id", "text", ""),
                ("token", "text", "what `--token-file` takes; shown this once"),
                ("expires_at", "time", ""),
            ]),
        ],
    },
    Shape {
        name: "api-token list",
        commands: "vigocli api-token list",
        parts: &[
            LIST,
            Part::Items(&[
                ("id", "text", ""),
                ("user", "text", "whose it is"),
                ("permissions", "list of text", "what it may"),
                ("paths", "list of text", "for which secrets; empty for all"),
                ("expires_at", "time", ""),
                ("expired", "boolean", "it is not known any more"),
                ("created_by", "text", ""),
                ("created_at", "time", ""),
            ]),
        ],
    },
    Shape {
        name: "api-token rm",
        commands: "vigocli api-token rm",
        parts: &[FORMAT, Part::Here(&[("id", "text", "")])],
    },
    Shape {
        name: "secrets set, rotate",
        commands: "vigocli secrets set, secrets rotate",
        parts: &[FORMAT, Part::Here(&[("path", "text", ""), ("version", "number", "the new one")])],
    },
    Shape {
        name: "secrets rm",
        commands: "vigocli secrets rm",
        parts: &[FORMAT, Part::Here(&[("path", "text", "")])],
    },
    Shape {
        name: "config init",
        commands: "vigocli config init",
        parts: &[
            FORMAT,
            Part::Here(&[("folder", "text", ""), ("files", "list of text", "what was made in it")]),
        ],
    },
    Shape {
        name: "config validate",
        commands: "vigocli config validate",
        parts: &[FORMAT, Part::Here(DIAGNOSTICS)],
    },
    Shape {
        name: "config plan",
        commands: "vigocli config plan, and config publish when there are mistakes",
        parts: &[FORMAT, Part::Here(PLAN), Part::Here(DIAGNOSTICS)],
    },
    Shape {
        name: "config publish",
        commands: "vigocli config publish",
        parts: &[
            FORMAT,
            Part::Here(&[
                ("version", "number", "the new one"),
                ("digest", "text", "SHA-256 of the tree"),
                ("new_secret_readers", "list", "who can read a secret now that it could not read before"),
                ("new_secret_readers[].envoy", "text?", "its name"),
                ("new_secret_readers[].secret", "text?", "its path"),
                ("envoys_affected", "number", ""),
            ]),
            Part::Here(DIAGNOSTICS),
        ],
    },
    Shape {
        name: "config rollback",
        commands: "vigocli config rollback",
        parts: &[
            FORMAT,
            Part::Here(&[("version", "number", "the new one"), ("envoys_affected", "number", "")]),
        ],
    },
    Shape {
        name: "config history",
        commands: "vigocli config history",
        parts: &[LIST, Part::Items(PUBLISHED)],
    },
    Shape {
        name: "token create",
        commands: "vigocli token create",
        parts: &[
            FORMAT,
            Part::Here(&[
                ("id", "text", ""),
                ("token", "text", "the line that `vigo enroll` takes; shown this once"),
                ("expires_at", "time", ""),
            ]),
        ],
    },
    Shape {
        name: "token list",
        commands: "vigocli token list",
        parts: &[
            LIST,
            Part::Items(&[
                ("id", "text", ""),
                ("match", "list of text", "globs on names that may enrol"),
                ("uses_left", "number", ""),
                ("expires_at", "time", ""),
                ("labels", "map", "what is bound to who enrols with it"),
                ("replace", "boolean", "it may take a name from an active envoy"),
                ("created_by", "text", ""),
            ]),
        ],
    },
    Shape {
        name: "token rm",
        commands: "vigocli token rm",
        parts: &[FORMAT, Part::Here(&[("id", "text", "")])],
    },
    Shape { name: "envoys list", commands: "vigocli envoys list", parts: &[LIST, Part::Items(ENVOY)] },
    Shape {
        name: "envoys show",
        commands: "vigocli envoys show",
        parts: &[
            FORMAT,
            Part::Here(ENVOY),
            Part::Here(&[("traits", "map or null", "what it last said of itself, without volatile traits")]),
        ],
    },
    Shape {
        name: "envoys revoke",
        commands: "vigocli envoys revoke",
        parts: &[
            FORMAT,
            Part::Here(&[("id", "text", ""), ("name", "text", ""), ("state", "text", "`revoked`")]),
        ],
    },
    Shape {
        name: "envoys rm",
        commands: "vigocli envoys rm",
        parts: &[FORMAT, Part::Here(&[("id", "text", ""), ("name", "text", "")])],
    },
    Shape {
        name: "runs list",
        commands: "vigocli runs list",
        parts: &[LIST, Part::Items(RUN), Part::Items(SUMMARY)],
    },
    Shape {
        name: "runs show",
        commands: "vigocli runs show",
        parts: &[
            FORMAT,
            Part::Here(RUN),
            Part::Here(SUMMARY),
            Part::Here(RESOURCE),
            Part::Here(&[("problems", "list of text", "what went wrong beside the resources")]),
            Part::Here(EXPOSURES),
        ],
    },
    Shape {
        name: "audit list",
        commands: "vigocli audit list",
        parts: &[
            LIST,
            Part::Items(&[
                ("sequence", "number", "from 1, without gaps"),
                ("at", "time", ""),
                ("actor", "text", "`admin.token`, `envoy:ID`, `token:ID` or `vigosrv`"),
                ("action", "text", "the permission that was asked for"),
                ("object", "text", "what it was about; may be empty"),
                ("outcome", "text", "`allowed`, `denied` or `failed`"),
                ("detail", "text", ""),
                ("previous", "text", "digest of the record before"),
                ("digest", "text", "of this record and the one before"),
            ]),
        ],
    },
    Shape {
        name: "audit verify",
        commands: "vigocli audit verify",
        parts: &[
            FORMAT,
            Part::Here(&[
                ("intact", "boolean", ""),
                ("records", "number", "how many were looked at"),
                ("head", "text", "digest of the last one"),
                ("broken", "number or null", "the first record that is not what it was"),
            ]),
        ],
    },
];
