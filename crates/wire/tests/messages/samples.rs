//! One sample of every message, with every field set to something that is not its default.

use prost::Message;
use vigo_wire::assignment::{Assignment, KeyCertificate, Label, SignedAssignment};
use vigo_wire::bundle::{Branch, Bundle, Configcrate, Resource, SecretUse, Template};
use vigo_wire::control::{
    AgentStatus, Answered, Asked, ControlAnswer, ControlRequest, HandFacts, ProcessFacts, Setting,
    StatusRequest, WorkerFacts,
};
use vigo_wire::enrol::{EnrolAnswer, EnrolRefused, EnrolReply, EnrolRequest, Outcome};
use vigo_wire::inner::{
    Answer, Ask, BundleReply, BundleRequest, CheckIn, CheckInReply, Exposure, Posture, Refused, Renew,
    RenewReply, Reply, Report, ReportReply, Request, ResourceReport, SecretItem, SecretReply, SecretRequest,
    SecretState,
};
use vigo_wire::node::{Entry, Kind, List, Map, Node};
use vigo_wire::{outer, worker};

/// A message, encoded.
pub struct Sample {
    /// `module.Message`, or `module.Message.Kind`.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// They decode to what was encoded.
    pub is_stable: bool,
}

/// That message as a sample.
pub fn sample<M: Message + Default + PartialEq>(name: &'static str, message: &M) -> Sample {
    let bytes = message.encode_to_vec();
    let is_stable = M::decode(bytes.as_slice()).is_ok_and(|decoded| decoded == *message);
    Sample { name, bytes, is_stable }
}

/// Every message.
pub fn all() -> Vec<Sample> {
    [
        nodes(),
        bundles(),
        assignments(),
        questions(),
        answers(),
        enrolment(),
        pipes(),
        control(),
        crate::hand::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn entry(name: &str) -> Entry {
    Entry { name: name.into(), value: Some(Node::literal("value")) }
}

fn nodes() -> Vec<Sample> {
    let list = List { items: vec![Node::literal("one"), Node::new(Kind::Integer(-2))] };
    let map = Map { entries: vec![entry("key")] };
    vec![
        sample("node.Node.Boolean", &Node::new(Kind::Boolean(true))),
        sample("node.Node.Integer", &Node::new(Kind::Integer(-1530))),
        sample("node.Node.Number", &Node::new(Kind::Number(1.5))),
        sample("node.Node.Literal", &Node::literal("text")),
        sample("node.Node.Template", &Node::new(Kind::Template("a {{ b }}".into()))),
        sample("node.Node.Expression", &Node::new(Kind::Expression("vars.x".into()))),
        sample("node.Node.Source", &Node::new(Kind::Source("site.conf.j2".into()))),
        sample("node.Node.List", &Node::new(Kind::List(list.clone()))),
        sample("node.Node.Map", &Node::new(Kind::Map(map.clone()))),
        sample("node.List", &list),
        sample("node.Map", &map),
        sample("node.Entry", &entry("name")),
    ]
}

fn bundles() -> Vec<Sample> {
    let configcrate = Configcrate {
        name: "motd".into(),
        variables: vec![entry("greeting")],
        when: "true".into(),
        requires: vec![1, 2],
    };
    let branch = Branch { value: "debian".into(), attributes: vec![entry("path")] };
    let resource = Resource {
        configcrate: 1,
        r#type: "file".into(),
        name: "site".into(),
        attributes: vec![entry("path")],
        when: "changed".into(),
        requires: vec![3],
        notified_by: vec![4],
        subscribes_secrets: vec!["web/token".into()],
        timeout_ms: 5000,
        allow_exposure: vec!["argv".into()],
        item: Some(Node::literal("item")),
        case: "traits.os.family".into(),
        branches: vec![branch.clone()],
        origin: "site.vgo:3".into(),
        requires_configcrates: vec![5],
    };
    let template = Template { name: "site.conf.j2".into(), source: "{{ secret(\"web/token\") }}".into() };
    let secret = SecretUse {
        path: "web/token".into(),
        expression: "'db/' ~ item".into(),
        resource: 6,
        exposure: "environment".into(),
        attribute: "environment".into(),
    };
    let bundle = Bundle {
        format: 1,
        variables: vec![entry("root")],
        configcrates: vec![configcrate.clone()],
        resources: vec![resource.clone()],
        templates: vec![template.clone()],
        secrets: vec![secret.clone()],
        observe: true,
    };
    vec![
        sample("bundle.Bundle", &bundle),
        sample("bundle.Configcrate", &configcrate),
        sample("bundle.Resource", &resource),
        sample("bundle.Branch", &branch),
        sample("bundle.Template", &template),
        sample("bundle.SecretUse", &secret),
    ]
}

fn certificate() -> KeyCertificate {
    KeyCertificate {
        key: vec![7; 32],
        purpose: "bundle".into(),
        not_before: 1,
        not_after: 1_800_000_000,
        signature: vec![8; 64],
    }
}

fn signed() -> SignedAssignment {
    SignedAssignment { assignment: vec![1, 2, 3], key: vec![4; 32], signature: vec![5; 64] }
}

fn assignments() -> Vec<Sample> {
    let label = Label { name: "role".into(), value: "web".into() };
    let assignment = Assignment {
        format: 1,
        anchor: vec![1; 32],
        envoy: vec![2; 16],
        name: "web-1".into(),
        environment: "production".into(),
        labels: vec![label.clone()],
        parameters: vec![entry("zone")],
        term: 3,
        generation: 4,
        bundle: vec![5; 32],
        publish: 6,
        secrets_epoch: 7,
        issued_at: 1_763_900_000,
        unmatched: true,
    };
    vec![
        sample("assignment.Assignment", &assignment),
        sample("assignment.Label", &label),
        sample("assignment.SignedAssignment", &signed()),
        sample("assignment.KeyCertificate", &certificate()),
    ]
}

fn posture() -> Posture {
    Posture { level: "weak".into(), reasons: vec!["arena: mlock".into()], swap: "zram".into() }
}

fn questions() -> Vec<Sample> {
    let check_in = CheckIn {
        agent_version: "0.1.0".into(),
        formats: vec![1],
        term: 1,
        generation: 2,
        traits_digest: vec![3; 32],
        traits: Some(Node::literal("traits")),
        posture: Some(posture()),
        clock: 4,
        continuity: vec![5; 16],
        hold_s: 6,
    };
    let bundle = BundleRequest { digest: vec![1; 32] };
    let secrets = SecretRequest {
        request: vec![1; 16],
        key: vec![2; 32],
        term: 3,
        generation: 4,
        paths: vec!["web/token".into()],
        posture: Some(posture()),
    };
    let resource = ResourceReport {
        id: "motd:file//etc/motd".into(),
        r#type: "file".into(),
        outcome: "updated".into(),
        changes: vec!["content".into()],
        reason: "because".into(),
        duration_ms: 1,
    };
    let exposure = Exposure {
        resource: "app:exec/start".into(),
        path: "web/token".into(),
        version: 3,
        way: "environment".into(),
    };
    let report = Report {
        run: vec![1; 16],
        started_at: 2,
        duration_ms: 3,
        dry_run: true,
        term: 4,
        generation: 5,
        publish: 6,
        resources: vec![resource.clone()],
        posture: Some(posture()),
        offline: true,
        problems: vec!["problem".into()],
        exposures: vec![exposure.clone()],
    };
    let renew = Renew { request: vec![0x30, 0] };
    let request = |ask| Request { ask: Some(ask) };
    vec![
        sample("inner.Request.CheckIn", &request(Ask::CheckIn(check_in.clone()))),
        sample("inner.Request.Bundle", &request(Ask::Bundle(bundle.clone()))),
        sample("inner.Request.Secrets", &request(Ask::Secrets(secrets.clone()))),
        sample("inner.Request.Report", &request(Ask::Report(report.clone()))),
        sample("inner.Request.Renew", &request(Ask::Renew(renew.clone()))),
        sample("inner.CheckIn", &check_in),
        sample("inner.Posture", &posture()),
        sample("inner.BundleRequest", &bundle),
        sample("inner.SecretRequest", &secrets),
        sample("inner.Report", &report),
        sample("inner.ResourceReport", &resource),
        sample("inner.Exposure", &exposure),
        sample("inner.Renew", &renew),
    ]
}

fn answers() -> Vec<Sample> {
    let state = SecretState { path: "web/token".into(), version: 3 };
    let check_in = CheckInReply {
        server_time: 1,
        assignment: Some(signed()),
        keys: vec![certificate()],
        secrets: vec![state.clone()],
        want_traits: true,
        continuity: vec![2; 16],
    };
    let bundle = BundleReply { bundle: vec![1, 2, 3] };
    let item = SecretItem {
        path: "web/token".into(),
        version: 1,
        encapsulated: vec![2; 32],
        ciphertext: vec![3; 20],
        refused: "no".into(),
        code: "level".into(),
        help: "mend it".into(),
    };
    let secrets = SecretReply { items: vec![item.clone()], epoch: 4 };
    let renew = RenewReply { chain: vec![vec![0x30, 0]] };
    let refused = Refused { code: "revoked".into(), message: "enrol again".into() };
    let reply = |answer| Reply { answer: Some(answer) };
    vec![
        sample("inner.Reply.CheckIn", &reply(Answer::CheckIn(check_in.clone()))),
        sample("inner.Reply.Bundle", &reply(Answer::Bundle(bundle.clone()))),
        sample("inner.Reply.Secrets", &reply(Answer::Secrets(secrets.clone()))),
        sample("inner.Reply.Report", &reply(Answer::Report(ReportReply {}))),
        sample("inner.Reply.Renew", &reply(Answer::Renew(renew.clone()))),
        sample("inner.Reply.Refused", &reply(Answer::Refused(refused.clone()))),
        sample("inner.CheckInReply", &check_in),
        sample("inner.SecretState", &state),
        sample("inner.BundleReply", &bundle),
        sample("inner.SecretReply", &secrets),
        sample("inner.SecretItem", &item),
        sample("inner.ReportReply", &ReportReply {}),
        sample("inner.RenewReply", &renew),
        sample("inner.Refused", &refused),
    ]
}

fn enrolment() -> Vec<Sample> {
    let request = EnrolRequest {
        format: 1,
        token: vec![1; 16],
        name: "web-1".into(),
        identity: vec![2; 32],
        exchange: vec![3; 32],
        certificate_request: vec![0x30, 0],
        nonce: vec![4; 32],
        signature: vec![5; 64],
        mac: vec![6; 32],
        token_on_command_line: true,
    };
    let answer = EnrolAnswer {
        format: 1,
        nonce: vec![1; 32],
        request: vec![2; 32],
        envoy: vec![3; 16],
        name: "web-1".into(),
        anchor: vec![4; 32],
        chain: vec![vec![0x30, 0]],
        authority: vec![0x30, 0],
        keys: vec![certificate()],
        session: Some(certificate()),
        term: 5,
        generation: 6,
        server_time: 7,
        signature: vec![8; 64],
        mac: vec![9; 32],
    };
    let refused = EnrolRefused {
        code: "spent-token".into(),
        message: "make another".into(),
        nonce: vec![1; 32],
        mac: vec![2; 32],
    };
    let reply = |outcome| EnrolReply { outcome: Some(outcome) };
    vec![
        sample("enrol.EnrolRequest", &request),
        sample("enrol.EnrolReply.Granted", &reply(Outcome::Granted(Box::new(answer.clone())))),
        sample("enrol.EnrolReply.Refused", &reply(Outcome::Refused(refused.clone()))),
        sample("enrol.EnrolAnswer", &answer),
        sample("enrol.EnrolRefused", &refused),
    ]
}

fn pipes() -> Vec<Sample> {
    use worker::{
        Answered, Asked, Configure, Configured, Enrol, Error, Exchange, Kind, MakeTransportKey, Relayed,
        TransportKey, WorkerAnswer, WorkerRequest,
    };
    let configure = Configure {
        server: "server.example.com:1530".into(),
        authority: vec![0x30, 0],
        key: vec![1, 2, 3],
        chain: vec![vec![0x30, 0]],
        connect_timeout_ms: 1,
        idle_timeout_ms: 2,
        server_time: 3,
        keep_alive_ms: 4,
    };
    let configured = Configured { user: 61_184, missing: vec!["landlock: not here".into()] };
    let enrol = Enrol { server: "server:1530".into(), bytes: vec![1], deadline_ms: 2 };
    let exchange = Exchange { session: vec![1; 16], envoy: vec![2; 16], payload: vec![3], deadline_ms: 4 };
    let key = TransportKey { key: vec![1], certificate_request: vec![0x30, 0] };
    let relayed = Relayed { bytes: vec![1] };
    let error = Error { kind: Kind::Tls.into(), text: "wrong authority".into() };
    let asked = |asked| WorkerRequest { asked: Some(asked) };
    let answered = |answered| WorkerAnswer { answered: Some(answered) };
    let frame = outer::Frame { session: vec![1; 16], envoy: vec![2; 16], payload: vec![3] };
    vec![
        sample("outer.Bytes", &outer::Bytes { data: vec![1, 2, 3] }),
        sample("outer.Frame", &frame),
        sample("worker.WorkerRequest.Configure", &asked(Asked::Configure(configure.clone()))),
        sample("worker.WorkerRequest.MakeTransportKey", &asked(Asked::MakeTransportKey(MakeTransportKey {}))),
        sample("worker.WorkerRequest.Enrol", &asked(Asked::Enrol(enrol.clone()))),
        sample("worker.WorkerRequest.Exchange", &asked(Asked::Exchange(exchange.clone()))),
        sample("worker.WorkerAnswer.Configured", &answered(Answered::Configured(configured.clone()))),
        sample("worker.WorkerAnswer.TransportKey", &answered(Answered::TransportKey(key.clone()))),
        sample("worker.WorkerAnswer.Relayed", &answered(Answered::Relayed(relayed.clone()))),
        sample("worker.WorkerAnswer.Error", &answered(Answered::Error(error.clone()))),
        sample("worker.Configure", &configure),
        sample("worker.Configured", &configured),
        sample("worker.MakeTransportKey", &MakeTransportKey {}),
        sample("worker.Enrol", &enrol),
        sample("worker.Exchange", &exchange),
        sample("worker.TransportKey", &key),
        sample("worker.Relayed", &relayed),
        sample("worker.Error", &error),
    ]
}

fn control() -> Vec<Sample> {
    let process = ProcessFacts {
        process: 7,
        dumpable: true,
        core_soft: Some(1),
        core_hard: Some(2),
        tracer: Some(9),
        warnings: vec!["warning".into()],
    };
    let hand = HandFacts {
        process: Some(process.clone()),
        pages: "secret".into(),
        reasons: vec!["reason".into()],
        size: 3,
        used: 2,
        most: 4,
        open_descriptors: 1,
        network_denied: true,
        values: 5,
    };
    let worker = WorkerFacts { process: 8, user: 61_184, missing: vec!["landlock".into()] };
    let setting =
        Setting { name: "interval".into(), value: "300s".into(), source: "file /etc/vigo/agent.yaml".into() };
    let status = AgentStatus {
        version: "0.1.0".into(),
        process: Some(process.clone()),
        started_at: 10,
        state_dir: "/var/lib/vigo".into(),
        server: "server:1530".into(),
        level: "weak".into(),
        reasons: vec!["reason".into()],
        swap: "plain".into(),
        hand: Some(hand.clone()),
        worker: Some(worker.clone()),
        settings: vec![setting.clone()],
        last_check_in: 11,
        last_run: 12,
        last_error: "error".into(),
    };
    let asked = ControlRequest { asked: Some(Asked::Status(StatusRequest {})) };
    let answered = |answered| ControlAnswer { answered: Some(answered) };
    vec![
        sample("control.ControlRequest.Status", &asked),
        sample("control.ControlAnswer.Status", &answered(Answered::Status(Box::new(status.clone())))),
        sample("control.ControlAnswer.Refused", &answered(Answered::Refused("why".into()))),
        sample("control.StatusRequest", &StatusRequest {}),
        sample("control.AgentStatus", &status),
        sample("control.ProcessFacts", &process),
        sample("control.HandFacts", &hand),
        sample("control.WorkerFacts", &worker),
        sample("control.Setting", &setting),
    ]
}
