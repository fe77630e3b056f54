//! Every limit that two crates must agree on, in one place. Bytes unless the name says otherwise.

/// A `.vgo` file.
pub const POLICY_FILE: usize = 1 << 20;
/// A file under `templates/`.
pub const TEMPLATE_FILE: usize = 1 << 20;
/// A published tree, all files together.
pub const TREE: usize = 64 << 20;
/// Files in a published tree.
pub const TREE_FILES: usize = 20_000;
/// The text that one attribute or template may render to.
pub const RENDERED: usize = 16 << 20;
/// An encoded bundle.
pub const BUNDLE: usize = 64 << 20;
/// Resources in a bundle.
pub const RESOURCES: usize = 200_000;
/// A secret's value.
pub const SECRET_VALUE: usize = 64 << 10;
/// A secret's path.
pub const SECRET_PATH: usize = 200;
/// Secrets in one request.
pub const SECRET_BATCH: usize = 256;
/// An envoy's name (RFC 1035: a host name).
pub const ENVOY_NAME: usize = 253;
/// A path on a file system (PATH_MAX less its NUL, `limits.h`).
pub const PATH: usize = 4095;
/// One frame between `vigo` and its worker or hand.
pub const FRAME: usize = 1 << 20;
/// One message of the inner session, before it is cut into Noise frames.
pub const INNER_MESSAGE: usize = 72 << 20;
/// What is kept of a command's output.
pub const COMMAND_OUTPUT: usize = 64 << 10;
/// An enrolment request or answer.
pub const ENROL_MESSAGE: usize = 64 << 10;
/// A report as it goes to the server.
pub const REPORT: usize = 16 << 20;
/// All traits of an envoy, encoded.
pub const TRAITS: usize = 1 << 20;
