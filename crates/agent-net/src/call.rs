//! One unary gRPC call on a connection, and what its failure means: whether the server can have seen the request is all that matters.

use crate::address::Address;
use crate::connect::Connection;
use http::Uri;
use prost::Message;
use std::cell::Cell;
use std::error::Error;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use vigo_wire::worker::{Failure, Kind};

/// How a call went wrong.
pub enum Fault {
    /// The server cannot have seen the request: it may be sent again on another connection.
    NotSent(Failure),
    /// The server answered, and this is what it said.
    Said(Failure),
    /// The request may have arrived, and no answer came.
    Uncertain(Failure),
}

/// Calls `path` with `message`. `sent` is true from the moment at which the request may be on its way.
pub async fn unary<M>(
    connection: &Connection,
    address: &Address,
    path: &'static str,
    message: M,
    limit: usize,
    sent: &Cell<bool>,
) -> Result<M, Fault>
where
    M: Message + Default + Send + Sync + 'static,
{
    let origin = Uri::builder()
        .scheme("https")
        .authority(address.authority())
        .path_and_query("/")
        .build()
        .map_err(|error| Fault::NotSent(failure(Kind::Bug, address, &error)))?;
    let mut sender = connection.clone();
    if sender.ready().await.is_err() {
        return Err(Fault::NotSent(failure(Kind::Unreachable, address, &"the connection was closed")));
    }
    let service = tower::service_fn(|request: http::Request<Body>| {
        sent.set(true);
        let answer = sender.try_send_request(request);
        async move {
            answer.await.map_err(|mut error| {
                if error.take_message().is_some() {
                    sent.set(false);
                }
                error.into_error()
            })
        }
    });
    let mut grpc =
        Grpc::with_origin(service, origin).max_encoding_message_size(limit).max_decoding_message_size(limit);
    let path = http::uri::PathAndQuery::from_static(path);
    let codec = ProstCodec::<M, M>::default();
    let answer = grpc.unary::<M, M, _>(Request::new(message), path, codec).await;
    answer.map(tonic::Response::into_inner).map_err(|status| fault(address, &status, sent.get()))
}

fn fault(address: &Address, status: &Status, sent: bool) -> Fault {
    if !sent {
        return Fault::NotSent(failure(Kind::Unreachable, address, &"the connection was closed"));
    }
    if was_not_taken(status) {
        return Fault::NotSent(failure(Kind::Unreachable, address, &"it is closing the connection"));
    }
    if broke(status) {
        let why = format_args!("the connection broke before the answer came: {}", status.message());
        return Fault::Uncertain(failure(Kind::UnknownOutcome, address, &why));
    }
    let said = |kind| Fault::Said(failure(kind, address, &status.message()));
    match status.code() {
        Code::FailedPrecondition => said(Kind::UnknownSession),
        Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument | Code::Unimplemented => {
            said(Kind::Refused)
        }
        Code::OutOfRange => said(Kind::TooLarge),
        Code::Unavailable | Code::ResourceExhausted => said(Kind::Busy),
        _ => Fault::Uncertain(failure(Kind::UnknownOutcome, address, &status.message())),
    }
}

/// True if the server said that it did not look at the request: a stream it refused, or one above the last that it takes before it leaves (RFC 9113,
/// 8.7). If it lied, the session ends by a frame that came twice, and nothing else happens.
fn was_not_taken(status: &Status) -> bool {
    causes(status).filter_map(|error| error.downcast_ref::<h2::Error>()).any(|error| {
        let leaves = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        let refuses = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (leaves || refuses)
    })
}

/// True if the status was made here because the transport failed, not sent by the server.
fn broke(status: &Status) -> bool {
    causes(status).any(|error| error.is::<hyper::Error>() || error.is::<std::io::Error>())
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |&error| error.source())
}

fn failure(kind: Kind, address: &Address, why: &dyn std::fmt::Display) -> Failure {
    Failure { kind, text: format!("cannot exchange with `{}`: {why}", address.authority()) }
}
