//! What can go wrong in the server, and whose fault it is.

use crate::witness::Doubt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
        "cannot open the store in `{}`: the master key in `keys/` is not the one that it is under; put the right one back from where you keep it with `vigosrv key import FILE`",
        path.display()
    )]
    MasterKey {
        /// The data folder.
        path: PathBuf,
    },
    /// There is a store and no master key.
    #[error(
        "cannot open the store in `{}`: it is not empty and `keys/master.key` is missing; put it back from where you keep it with `vigosrv key import FILE`, vigosrv never makes a new one for an old store",
        path.display()
    )]
    MasterKeyMissing {
        /// The data folder.
        path: PathBuf,
    },
    /// The store is not the one that was written last.
    #[error("{}", rolled_back(path, doubt))]
    RolledBack {
        /// `keys/` of the data folder.
        path: PathBuf,
        /// What does not fit.
        doubt: Doubt,
    },
    /// There is nothing to accept.
    #[error("cannot accept an older store: this one is the one that was written last")]
    NotRolledBack,
    /// No passphrase can be had.
    #[error(
        "cannot open the master key: it is under a passphrase; name the file that holds it with `--passphrase-file`, such as `/dev/fd/3`, or start vigosrv at a terminal, or keep the key as a systemd credential"
    )]
    NoPassphrase,
    /// Nothing was said of the key service that is needed.
    #[error(
        "cannot have the master key wrapped or unwrapped: `{missing}` is not set; the settings `transit_address`, `transit_key` and `transit_token_file` say by which OpenBao or Vault"
    )]
    NoTransit {
        /// The setting.
        missing: &'static str,
    },
    /// The key service cannot be connected to.
    #[error("cannot connect to the key service at `{address}`")]
    KeyService {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It was tried a moment ago.
    #[error(
        "cannot have the master key unwrapped: the key service could not be had, and is asked again in {0} s"
    )]
    KeyServiceLater(u64),
    /// The credential that is needed is not there.
    #[error(
        "cannot take the master key from systemd: there is no credential `{name}`; make one with `vigosrv key new | systemd-creds encrypt --name={name} - /etc/credstore.encrypted/{name}` and give the unit `LoadCredentialEncrypted={name}`"
    )]
    NoCredential {
        /// Its name.
        name: &'static str,
    },
    /// A key goes nowhere where it could be seen.
    #[error("cannot {doing}: {why}")]
    Refused {
        /// What was to be done.
        doing: &'static str,
        /// Why not, and what to do.
        why: &'static str,
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

fn rolled_back(path: &Path, doubt: &Doubt) -> String {
    let what = match doubt {
        Doubt::Older { seen, found } => {
            format!(
                "it ends with audit record {found} and had come to {seen} before, so an older copy was put back"
            )
        }
        Doubt::Other { seen } => {
            format!("its audit record {seen} is not the one that was seen, so another copy was put back")
        }
        Doubt::Rights => {
            "its policies of secrets, API tokens or enrolment tokens are not those that it had last, so rows were put back or taken away past the server"
                .to_owned()
        }
        Doubt::Unwitnessed => {
            format!("`{}` is missing, so an older copy would not be noticed", path.join("witness").display())
        }
    };
    format!(
        "cannot trust the store: {what}; put back the one that was written last, or accept this one with `vigosrv accept-rollback`"
    )
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
            | Self::NotRolledBack
            | Self::NoPassphrase
            | Self::NoCredential { .. }
            | Self::NoTransit { .. }
            | Self::Refused { .. }
            | Self::MasterKeyMissing { .. } => Blame::Operator,
            Self::Folder { .. }
            | Self::FolderInUse { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Listen { .. }
            | Self::Process { .. }
            | Self::KeyService { .. }
            | Self::KeyServiceLater(_)
            | Self::RolledBack { .. }
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
