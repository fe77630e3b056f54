//! What can go wrong in the server, and whose fault it is.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use vigo_base::Blame;

/// Why the server could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The data folder is not to be had.
    #[error("cannot use the folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another server has it.
    #[error("cannot use the data folder `{}`: another vigosrv uses it", path.display())]
    FolderInUse {
        /// The folder.
        path: PathBuf,
    },
    /// Others may enter it.
    #[error("cannot use the data folder `{}`: others may enter it (mode {mode:04o}); run `chmod 0700 '{}'`", path.display(), path.display())]
    FolderMode {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("cannot use the data folder `{}`: it belongs to another user; run vigosrv as that user", path.display())]
    FolderOwner {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// `server.yaml` is wrong; the text holds every diagnostic.
    #[error("cannot use `{}`:\n{diagnostics}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong, with places.
        diagnostics: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Certificate(#[source] Box<rcgen::Error>),
    /// What should be certified is no proper request.
    #[error("cannot read the certificate request: it is malformed or its own key did not sign it")]
    CertificateRequest,
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The process cannot be set up.
    #[error("cannot {doing}")]
    Process {
        /// What was to be done.
        doing: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] vigo_store::StoreError),
    /// The hand.
    #[error(transparent)]
    Hand(#[from] vigo_hand::HandError),
    /// What came from, or is to go to, an envoy.
    #[error(transparent)]
    Wire(#[from] vigo_wire::WireError),
    /// The store belongs to a master key that is not here.
    #[error(
        "cannot open the store in `{}`: the master key in `keys/` is not the one it was founded with; put the right `keys/master.key` back (it is not part of backups)",
        path.display()
    )]
    MasterKey {
        /// The data folder.
        path: PathBuf,
    },
    /// There is a store and no master key.
    #[error(
        "cannot open the store in `{}`: it is not empty and `keys/master.key` is missing; put it back from where you keep it, vigosrv never makes a new one for an old store",
        path.display()
    )]
    MasterKeyMissing {
        /// The data folder.
        path: PathBuf,
    },
    /// A stored key is missing or another than the founded one.
    #[error("cannot use the stored {what}: it does not fit the deployment")]
    Deployment {
        /// Which.
        what: &'static str,
    },
    /// A row that grants rights was not written by this server.
    #[error(
        "cannot use the stored {what} `{name}`: its MAC is wrong, so somebody wrote to the database past the server"
    )]
    Forged {
        /// What kind of row.
        what: &'static str,
        /// Which.
        name: String,
    },
    /// Something of ours went wrong.
    #[error("cannot go on: {0}")]
    Bug(&'static str),
}

impl ServerError {
    pub(crate) fn certificate(cause: rcgen::Error) -> Self {
        Self::Certificate(Box::new(cause))
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::FolderMode { .. }
            | Self::FolderOwner { .. }
            | Self::Settings { .. }
            | Self::MasterKey { .. }
            | Self::MasterKeyMissing { .. } => Blame::Operator,
            Self::Folder { .. }
            | Self::FolderInUse { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Listen { .. }
            | Self::Process { .. }
            | Self::Deployment { .. }
            | Self::Forged { .. } => Blame::Machine,
            Self::CertificateRequest => Blame::Peer,
            Self::Certificate(_) | Self::Tls(_) | Self::Bug(_) => Blame::Bug,
            Self::Store(error) => error.blame(),
            Self::Hand(error) => error.blame(),
            Self::Wire(error) => error.blame(),
        }
    }
}
