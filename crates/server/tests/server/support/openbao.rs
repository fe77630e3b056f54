//! A real OpenBao on loopback: with TLS for the server under test, and over a socket in its folder for the test itself.

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running OpenBao with a transit engine and a key `vigo`; ended with the test, however that ends.
pub struct OpenBao {
    child: Child,
    home: TempDir,
    port: u16,
    root: String,
    unseal: String,
}

/// Where its program is: `VIGO_OPENBAO` says it, or `cargo xtask ci` has put it beside what is built.
fn program() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_BIN_EXE_vigosrv")).ancestors().nth(2).unwrap().join("openbao/bao");
    let named = std::env::var_os("VIGO_OPENBAO").map(PathBuf::from);
    named.into_iter().chain([built]).find(|path| path.is_file())
}

/// A certificate for 127.0.0.1 that vouches for itself, and its key, both in PEM.
pub fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

impl OpenBao {
    /// Starts one; `None`, and a word about it, where there is no program.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            println!("no OpenBao on this machine (`cargo xtask ci` gets it): nothing was tried against it");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        let (certificate, key) = certificate();
        std::fs::write(home.path().join("ca.pem"), certificate).unwrap();
        std::fs::write(home.path().join("key.pem"), key).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = home.path().display();
        let config = format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_cert_file = \"{folder}/ca.pem\"\n tls_key_file = \"{folder}/key.pem\"\n}}\nlistener \"unix\" {{\n address = \"{folder}/socket\"\n}}\n"
        );
        std::fs::write(home.path().join("config.hcl"), config).unwrap();
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("server").arg("-config").arg(home.path().join("config.hcl")).env_clear();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let mut bao = Self { child, home, port, root: String::new(), unseal: String::new() };
        bao.wait_for_socket();
        let made = bao.call("PUT", "sys/init", &json!({"secret_shares": 1, "secret_threshold": 1}));
        bao.root = made["root_token"].as_str().unwrap().into();
        bao.unseal = made["keys_base64"][0].as_str().unwrap().into();
        bao.unseal();
        bao.call("POST", "sys/mounts/transit", &json!({"type": "transit"}));
        bao.call("POST", "transit/keys/vigo", &json!({}));
        Some(bao)
    }

    fn wait_for_socket(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(self.home.path().join("socket")).is_err() {
            let log = || std::fs::read_to_string(self.home.path().join("log")).unwrap();
            assert!(self.child.try_wait().unwrap().is_none(), "OpenBao ended: {}", log());
            assert!(Instant::now() < deadline, "OpenBao does not come up: {}", log());
            let pause = rustix::thread::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            let _ = rustix::thread::nanosleep(&pause);
        }
    }

    /// Asks as root, over the socket; `Null` where there is no answer.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = UnixStream::connect(self.home.path().join("socket")).unwrap();
        let body = body.to_string();
        let request = format!(
            "{method} /v1/{path} HTTP/1.0\r\nHost: x\r\nX-Vault-Token: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.root,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.split(' ').nth(1).unwrap().starts_with('2'), "{method} {path}: {answer}");
        if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() }
    }

    pub fn seal(&self) {
        self.call("PUT", "sys/seal", &Value::Null);
    }

    pub fn unseal(&self) {
        self.call("PUT", "sys/unseal", &json!({"key": self.unseal}));
    }

    /// A token that may do what the manual says and nothing more, in a file of mode 0600.
    pub fn token_file(&self, home: &Path) -> String {
        let rules = "path \"transit/encrypt/vigo\" {\n capabilities = [\"update\"]\n}\npath \"transit/decrypt/vigo\" {\n capabilities = [\"update\"]\n}\n";
        self.call("PUT", "sys/policies/acl/vigo", &json!({"policy": rules}));
        let made =
            self.call("POST", "auth/token/create", &json!({"policies": ["vigo"], "no_default_policy": true}));
        private_file(home, "token", made["auth"]["client_token"].as_str().unwrap())
    }

    /// The options that let a `vigosrv` use it with that token.
    pub fn options(&self, token_file: &str) -> Vec<String> {
        let ca = self.home.path().join("ca.pem");
        options(&format!("https://127.0.0.1:{}", self.port), ca.to_str().unwrap(), token_file)
    }
}

/// The options that say where a key service is.
pub fn options(address: &str, ca_file: &str, token_file: &str) -> Vec<String> {
    let words = ["--master-key", "transit", "--transit-address", address, "--transit-ca-file", ca_file];
    let words = words.into_iter().chain(["--transit-token-file", token_file]);
    words.map(str::to_owned).collect()
}

/// A file of mode 0600.
pub fn private_file(home: &Path, name: &str, content: &str) -> String {
    let path = home.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path.to_str().unwrap().into()
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _waited_before = self.child.wait();
    }
}
