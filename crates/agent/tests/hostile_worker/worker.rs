//! The other end of the worker's pipe: a thread that does what a taken `vigo-net` could do, and keeps everything that it saw.

use crate::origin::{Origin, Stage};
use prost::Message as _;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use vigo_wire::frame;
use vigo_wire::worker::{
    Answered, Asked, Client, Configured, Error, Exchange, FRAME_LIMIT, Kind, Relayed, TransportKey,
    WorkerAnswer, WorkerRequest,
};

/// Longer than any honest step takes.
const LONG: Duration = Duration::from_secs(60);

/// What the worker does about one request.
pub enum Deed {
    /// An answer.
    Say(Answered),
    /// Bytes on the pipe, whatever they are.
    Raw(Vec<u8>),
    /// No answer at all.
    Silence,
    /// The end of the pipe.
    Leave,
}

impl Deed {
    pub fn relayed(bytes: Vec<u8>) -> Self {
        Self::Say(Answered::Relayed(Relayed { bytes }))
    }

    pub fn error(kind: Kind, text: &str) -> Self {
        Self::Say(Answered::Error(Error { kind: kind.into(), text: text.to_owned() }))
    }
}

/// What the worker has: a way to the server, and a memory.
pub struct Way {
    origin: Arc<Mutex<Origin>>,
    /// Frames of the session that came from the agent, in their order.
    pub up: Vec<Exchange>,
    /// What the server answered to them.
    pub down: Vec<Vec<u8>>,
}

impl Way {
    /// Sends a frame to the server and gives its answer, and what it was about; which the worker cannot know, only guess by its length.
    pub fn exchange(&mut self, frame: &Exchange) -> (Option<Stage>, Result<Vec<u8>, Kind>) {
        let answer = self.origin.lock().unwrap().exchange(frame);
        self.up.push(frame.clone());
        self.down.push(answer.1.clone().unwrap_or_default());
        answer
    }

    pub fn enrol(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.origin.lock().unwrap().enrol(bytes)
    }

    /// What an honest worker does.
    pub fn honestly(&mut self, asked: &Asked) -> Deed {
        match asked {
            Asked::Configure(_) => {
                Deed::Say(Answered::Configured(Configured { user: 61_184, missing: vec![] }))
            }
            Asked::MakeTransportKey(_) => {
                let key = TransportKey { key: b"key".to_vec(), certificate_request: b"request".to_vec() };
                Deed::Say(Answered::TransportKey(key))
            }
            Asked::Enrol(enrol) => Deed::relayed(self.enrol(&enrol.bytes)),
            Asked::Exchange(frame) => said(self.exchange(frame).1),
        }
    }
}

/// An honest worker's word on what came back.
pub fn said(answer: Result<Vec<u8>, Kind>) -> Deed {
    answer.map_or_else(|kind| Deed::error(kind, "says the worker"), Deed::relayed)
}

/// Decides about every request.
pub type Attacker = Box<dyn FnMut(&Asked, &mut Way) -> Deed + Send>;

pub fn honest() -> Attacker {
    Box::new(|asked, way| way.honestly(asked))
}

/// A running worker; joined, it gives every byte that went over its pipe, in both directions.
pub struct Worker(JoinHandle<Vec<u8>>);

impl Worker {
    /// `patience`: so long the agent waits for an answer, at most.
    pub fn start(
        origin: &Arc<Mutex<Origin>>,
        attacker: Attacker,
        patience: Option<Duration>,
    ) -> (Self, Client) {
        let (near, far) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let way = Way { origin: Arc::clone(origin), up: Vec::new(), down: Vec::new() };
        let thread = std::thread::spawn(move || serve(&far, way, attacker));
        (Self(thread), Client::impatient(near, patience.unwrap_or(LONG)))
    }

    pub fn join(self) -> Vec<u8> {
        self.0.join().expect("the worker panicked")
    }
}

fn serve(pipe: &OwnedFd, mut way: Way, mut attacker: Attacker) -> Vec<u8> {
    let mut seen = Vec::new();
    while let Ok(Some(request)) = frame::read(pipe, FRAME_LIMIT, None) {
        seen.extend_from_slice(&request);
        let asked = WorkerRequest::decode(request.as_slice()).unwrap().asked.unwrap();
        let bytes = match attacker(&asked, &mut way) {
            Deed::Say(answered) => framed(&WorkerAnswer { answered: Some(answered) }.encode_to_vec()),
            Deed::Raw(bytes) => bytes,
            Deed::Silence => continue,
            Deed::Leave => break,
        };
        seen.extend_from_slice(&bytes);
        if send(pipe, &bytes).is_err() {
            break;
        }
    }
    seen
}

/// With its length before it, as on the pipe.
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
}

fn send(pipe: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let sent = rustix::net::send(pipe, bytes, rustix::net::SendFlags::NOSIGNAL)?;
        bytes = &bytes[sent..];
    }
    Ok(())
}
