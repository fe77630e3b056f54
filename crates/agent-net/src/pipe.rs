//! The pipe to `vigo`: one request, one answer, in order, until it closes. Also while a request runs, its end is noticed.

use crate::relay::Relay;
use crate::{NetError, key};
use prost::Message as _;
use std::future::Future;
use std::os::fd::OwnedFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use vigo_wire::worker::{
    Answered, Asked, Configured, Error, FRAME_LIMIT, Failure, Kind, Relayed, WorkerAnswer, WorkerRequest,
};
use zeroize::Zeroizing;

/// Memory for a frame is taken in steps of this, as its bytes come in.
const STEP: usize = 64 << 10;

/// Serves until the other end closes the pipe. `missing` is what the sandbox lacks.
pub async fn serve(pipe: OwnedFd, missing: Vec<String>) -> Result<(), NetError> {
    let pipe = std::os::unix::net::UnixStream::from(pipe);
    pipe.set_nonblocking(true).map_err(NetError::Pipe)?;
    let mut pipe = UnixStream::from_std(pipe).map_err(NetError::Pipe)?;
    let mut relay = Relay::default();
    while let Some(request) = read(&mut pipe).await? {
        let request = WorkerRequest::decode(request.as_slice())
            .map_err(|_| NetError::Request("it is no message of this pipe"))?;
        let asked = request.asked.ok_or(NetError::Request("it asks nothing"))?;
        let Some(answered) = unless_closed(&pipe, answer(&mut relay, asked, &missing)).await? else {
            return Ok(());
        };
        write(&mut pipe, answered).await?;
    }
    Ok(())
}

async fn answer(relay: &mut Relay, asked: Asked, missing: &[String]) -> Answered {
    let answered = match asked {
        Asked::Configure(configure) => relay.configure(&configure).map(|()| {
            let user = rustix::process::getuid().as_raw();
            Answered::Configured(Configured { user, missing: missing.to_vec() })
        }),
        Asked::MakeTransportKey(_) => key::make().map(Answered::TransportKey),
        Asked::Enrol(enrol) => relay.enrol(&enrol).await.map(relayed),
        Asked::Exchange(exchange) => relay.exchange(exchange).await.map(relayed),
    };
    answered.unwrap_or_else(|Failure { kind, text }| Answered::Error(Error { kind: kind.into(), text }))
}

const fn relayed(bytes: Vec<u8>) -> Answered {
    Answered::Relayed(Relayed { bytes })
}

/// Runs `work`; `None` if the other end closes the pipe first.
async fn unless_closed<T>(pipe: &UnixStream, work: impl Future<Output = T>) -> Result<Option<T>, NetError> {
    tokio::select! {
        biased;
        done = work => Ok(Some(done)),
        closed = closed(pipe) => closed.map(|()| None),
    }
}

/// Waits until the other end closes the pipe. It must not send while it waits for an answer.
async fn closed(pipe: &UnixStream) -> Result<(), NetError> {
    loop {
        pipe.ready(Interest::READABLE).await.map_err(NetError::Pipe)?;
        match pipe.try_read(&mut [0]) {
            Ok(0) => return Ok(()),
            Ok(_) => return Err(NetError::Request("it came before the last one was answered")),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(NetError::Pipe(error)),
        }
    }
}

async fn read(pipe: &mut UnixStream) -> Result<Option<Zeroizing<Vec<u8>>>, NetError> {
    let mut header = [0; 4];
    match pipe.read_exact(&mut header).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(NetError::Pipe(error)),
    }
    let size = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if size > FRAME_LIMIT {
        return Err(NetError::Request("it is too large"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.min(STEP)));
    while bytes.len() < size {
        let start = bytes.len();
        bytes.resize(size.min(start + STEP), 0);
        let part = bytes.get_mut(start..).unwrap_or_default();
        pipe.read_exact(part).await.map_err(NetError::Pipe)?;
    }
    Ok(Some(bytes))
}

async fn write(pipe: &mut UnixStream, answered: Answered) -> Result<(), NetError> {
    let mut answer = WorkerAnswer { answered: Some(answered) };
    if answer.encoded_len() > FRAME_LIMIT {
        let text = "cannot relay the answer: it is too large".to_owned();
        answer.answered = Some(Answered::Error(Error { kind: Kind::TooLarge.into(), text }));
    }
    let bytes = Zeroizing::new(answer.encode_to_vec());
    let size = u32::try_from(bytes.len()).map_err(|_| NetError::Request("its answer is too large"))?;
    pipe.write_all(&size.to_le_bytes()).await.map_err(NetError::Pipe)?;
    pipe.write_all(&bytes).await.map_err(NetError::Pipe)
}
