//! One sample of every message of the hand's pipe, with every field set to something that is not its default. No field is a value: what
//! looks like one here is a record, a seal or a name.

use crate::samples::{Sample, sample};
use vigo_wire::hand::{
    Authenticated, Binding, Bytes, Compare, Compared, Content, Credentials, DiffKind, DiffLine, Difference,
    Edit, EditArgument, Entered, Failure, FailureCode, File, Finished, Generate, Heard, Hello, ImportKind,
    ImportName, Imported, Key, KeyInfo, KeyPurpose, Labelled, Listen, NewKey, Nothing, Open, OpenImport,
    Paths, Piece, PrepareMasterKey, PublicKey, Put, ReadAndSeal, ReadImport, ReadIntoRecord, Record,
    RecordImport, Rekey, Rekeyed, Reseal, Role, Run, SealImport, SealedItem, SealedItems, Sign, Slot, Stamp,
    Status, StoreMasterKey, Take, Text, TransitService, UnwrapMasterKey, Variable, VaultId, Verified, Verify,
    Version, Versions, WrapMasterKey, Write,
};

/// Every message of the hand's pipe.
pub fn all() -> Vec<Sample> {
    [beginning(), values(), files(), commands(), operator(), server(), master_keys()]
        .into_iter()
        .flatten()
        .collect()
}

fn beginning() -> Vec<Sample> {
    let hello = Hello {
        format: 1,
        role: Role::Node.into(),
        intents: "/var/lib/vigo/intents".into(),
        salt_seed: vec![1; 32],
        envoy: vec![2; 16],
        detect_drift: true,
    };
    let status = Status {
        arena_kind: "secret".into(),
        arena_size: 2 << 20,
        arena_used: 4096,
        arena_max: 16 << 20,
        arena_reasons: vec!["memfd_secret: not here".into()],
        dumpable: true,
        core_soft: Some(0),
        core_hard: Some(1),
        tracer: Some(7),
        open_arena_descriptors: 1,
        warnings: vec!["prctl: refused".into()],
        values: 3,
        process: 1530,
        network_denied: true,
    };
    vec![
        sample("hand.Hello", &hello),
        sample("hand.Status", &status),
        sample("hand.Nothing", &Nothing {}),
        sample("hand.Failure", &Failure { code: FailureCode::Room.into(), text: "no room".into() }),
    ]
}

fn binding() -> Binding {
    Binding { party: vec![1; 16], epoch: 2, request: vec![3; 16] }
}

fn sealed() -> SealedItem {
    SealedItem { path: "web/token".into(), version: 3, encapsulated: vec![4; 32], ciphertext: vec![5; 24] }
}

fn record() -> Record {
    Record { path: "web/token".into(), version: 3, record: vec![6; 24] }
}

fn values() -> Vec<Sample> {
    let version = Version { path: "web/token".into(), version: 3 };
    vec![
        sample("hand.PublicKey", &PublicKey { key: vec![1; 32] }),
        sample("hand.Binding", &binding()),
        sample("hand.SealedItem", &sealed()),
        sample("hand.SealedItems", &SealedItems { items: vec![sealed()] }),
        sample("hand.Open", &Open { binding: binding(), items: vec![sealed()] }),
        sample("hand.File", &File { path: "/var/lib/vigosrv/keys/master".into() }),
        sample("hand.VaultId", &VaultId { id: vec![1; 16] }),
        sample("hand.Record", &record()),
        sample("hand.Take", &Take { path: "web/token".into(), file: "/run/credentials/web.token".into() }),
        sample("hand.Paths", &Paths { paths: vec!["web/token".into()] }),
        sample("hand.Version", &version),
        sample("hand.Versions", &Versions { items: vec![version.clone()] }),
    ]
}

fn slot() -> Slot {
    Slot { path: "web/token".into(), filters: vec!["base64".into()] }
}

fn text() -> Text {
    let literal = Piece { literal: "token=".into(), slot: None };
    Text { pieces: vec![literal, Piece { literal: String::new(), slot: Some(slot()) }] }
}

fn content() -> Content {
    let edit = Some(edit());
    Content { slots: vec![slot()], size: 20, resource: "web:file/etc/web.conf".into(), copy: true, edit }
}

fn edit() -> Edit {
    Edit { kind: "line".into(), arguments: vec![argument()] }
}

fn argument() -> EditArgument {
    EditArgument { name: "pattern".into(), value: "^token".into() }
}

fn files() -> Vec<Sample> {
    let stamp = Stamp { device: 1, inode: 2, size: 3, changed_s: 4, changed_ns: 5 };
    let line = DiffLine { kind: DiffKind::RemovedHidden.into(), text: "line".into(), count: 3 };
    let compared = Compared {
        difference: Difference::Different.into(),
        lines: vec![line.clone()],
        stamp: Some(stamp.clone()),
    };
    let verify = Verify {
        target: "/etc/web.conf".into(),
        content: content(),
        versions: vec![Version { path: "web/token".into(), version: 3 }],
    };
    let write = Write {
        target: "/etc/web.conf".into(),
        mode: 0o600,
        owner: Some(0),
        group: Some(33),
        in_place: true,
        later: true,
        content: content(),
    };
    vec![
        sample("hand.Slot", &slot()),
        sample("hand.Text", &text()),
        sample("hand.Piece", &Piece { literal: "token=".into(), slot: Some(slot()) }),
        sample("hand.Content", &content()),
        sample("hand.EditArgument", &argument()),
        sample("hand.Edit", &edit()),
        sample("hand.Compare", &Compare { target: "/etc/web.conf".into(), content: content() }),
        sample("hand.Verify", &verify),
        sample("hand.Verified", &Verified { same: true }),
        sample("hand.Compared", &compared),
        sample("hand.DiffLine", &line),
        sample("hand.Stamp", &stamp),
        sample("hand.Write", &write),
    ]
}

fn commands() -> Vec<Sample> {
    let variable = Variable { name: "TOKEN".into(), value: text() };
    let credentials = Credentials { user: 33, group: 34, groups: vec![35, 36] };
    let run = Run {
        program: "/bin/sh".into(),
        arguments: vec![text()],
        allow_argv: true,
        environment: vec![variable.clone()],
        stdin: Some(content()),
        folder: "/".into(),
        credentials: Some(credentials.clone()),
        home: "/root".into(),
        user: "root".into(),
        shell: "/bin/sh".into(),
        umask: 0o022,
        timeout_ms: 300_000,
        keep_output: true,
        resource: "web:exec/reload".into(),
        files: vec![variable.clone()],
        required: vec![Version { path: "a/b".into(), version: 12 }],
    };
    let finished = Finished {
        code: Some(1),
        signal: Some(9),
        timed_out: true,
        stdout_bytes: 10,
        stderr_bytes: 11,
        stdout: vec![b'o'],
        stderr: vec![b'e'],
        dropped: "why".into(),
    };
    let listen = Listen { required: vec![Version { path: "a/b".into(), version: 12 }] };
    let heard = Heard {
        stdout_bytes: 10,
        stderr_bytes: 11,
        stdout: vec![b'o'],
        stderr: vec![b'e'],
        dropped: "why".into(),
    };
    vec![
        sample("hand.Listen", &listen),
        sample("hand.Heard", &heard),
        sample("hand.Run", &run),
        sample("hand.Variable", &variable),
        sample("hand.Credentials", &credentials),
        sample("hand.Finished", &finished),
        sample("hand.Bytes", &Bytes { bytes: vec![1, 2, 3] }),
    ]
}

fn operator() -> Vec<Sample> {
    let name =
        ImportName { key: vec!["db".into(), "password".into()], left_out: "empty".into(), short: true };
    let imported = Imported { values: vec![name.clone()], left_out: vec![name], dropped_newline: true };
    let entered = Entered { sealed: Some(sealed()), record: vec![1; 24], dropped_newline: true, short: true };
    vec![
        sample("hand.ReadAndSeal", &ReadAndSeal { exact: true, key: vec![1; 32], path: "web/token".into() }),
        sample("hand.ReadIntoRecord", &ReadIntoRecord { exact: true, path: "web/token".into(), version: 3 }),
        sample("hand.Entered", &entered),
        sample("hand.ReadImport", &ReadImport { format: "sops".into() }),
        sample(
            "hand.ImportKind",
            &ImportKind { kind: "age".into(), whole: true, identity: true, passphrase: true },
        ),
        sample(
            "hand.OpenImport",
            &OpenImport { content: "env".into(), exact: true, only: vec!["db/password".into()] },
        ),
        sample("hand.Imported", &imported),
        sample("hand.SealImport", &SealImport { value: 3, key: vec![1; 32], path: "web/token".into() }),
        sample("hand.RecordImport", &RecordImport { value: 3, path: "web/token".into(), version: 2 }),
    ]
}

fn server() -> Vec<Sample> {
    let put =
        Put { path: "web/token".into(), version: 3, encapsulated: vec![4; 32], ciphertext: vec![5; 24] };
    let generate = Generate { path: "web/token".into(), version: 3, length: 32, alphabet: "abcdef".into() };
    let sign = Sign {
        purpose: KeyPurpose::Bundle.into(),
        context: "vigo.v1 assignment".into(),
        message: vec![1, 2, 3],
    };
    vec![
        sample("hand.Key", &Key { purpose: KeyPurpose::Entry.into(), wrapped: vec![1; 60] }),
        sample("hand.NewKey", &NewKey { public: vec![1; 32], wrapped: vec![2; 60] }),
        sample("hand.Sign", &sign),
        sample("hand.Put", &put),
        sample("hand.Generate", &generate),
        sample("hand.Reseal", &Reseal { records: vec![record()], to: vec![1; 32], binding: binding() }),
        sample("hand.Labelled", &Labelled { label: "policy".into(), bytes: vec![1] }),
    ]
}

fn master_keys() -> Vec<Sample> {
    let store =
        StoreMasterKey { path: "/v/keys/master.key.next".into(), next: true, passphrase: true, twice: true };
    let authenticated = Authenticated { label: "granting-row".into(), bytes: vec![1, 2], mac: vec![3; 32] };
    let labelled = Labelled { label: "anchor-key".into(), bytes: vec![4; 60] };
    let rekey = Rekey { records: vec![record()], wraps: vec![labelled], macs: vec![authenticated.clone()] };
    let rekeyed = Rekeyed { records: vec![vec![1; 24]], wraps: vec![vec![2; 60]], macs: vec![vec![3; 32]] };
    let service = TransitService {
        name: "vault.example".into(),
        authority: "vault.example:8200".into(),
        plain: true,
        roots: b"-----BEGIN CERTIFICATE-----".to_vec(),
        mount: "transit".into(),
        key: "vigo".into(),
        credential: "/etc/vigo/token".into(),
        role: "role".into(),
    };
    let wrap = WrapMasterKey { service: service.clone(), path: "/v/keys/master.key".into(), next: true };
    let unwrap = UnwrapMasterKey { service: service.clone(), path: "/v/keys/master.key".into(), check: true };
    vec![
        sample("hand.KeyInfo", &KeyInfo { id: vec![1; 16], form: "passphrase".into() }),
        sample("hand.StoreMasterKey", &store),
        sample("hand.PrepareMasterKey", &PrepareMasterKey { file: "/run/credentials/key".into() }),
        sample("hand.Authenticated", &authenticated),
        sample("hand.Rekey", &rekey),
        sample("hand.Rekeyed", &rekeyed),
        sample("hand.TransitService", &service),
        sample("hand.WrapMasterKey", &wrap),
        sample("hand.UnwrapMasterKey", &unwrap),
    ]
}
