//! Acceptors that others wrote take the adapter's logins.
//!
//! `cargo xtask oracles` gets pyspnego and runs this. `MAILMOVE_TEST_EXCHANGELIB` names a Python that has
//! it; without, the test is skipped, unless `MAILMOVE_REQUIRE` lists `exchangelib`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, and what was skipped is told"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use mailmove_core::edge::{Credential, StaticCredential, tls::TlsSettings};
use mailmove_core::{Edges, Source as _};
use mailmove_ews::{Auth, EwsConfig, EwsSource};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, SignatureAlgorithm,
};
use serde_json::{Value, json};

fn python() -> Option<PathBuf> {
    let found = std::env::var_os("MAILMOVE_TEST_EXCHANGELIB").map(PathBuf::from);
    let required = std::env::var("MAILMOVE_REQUIRE").unwrap_or_default();
    if found.is_none() {
        assert!(!required.split(',').any(|one| one == "exchangelib"));
        eprintln!("skipped: MAILMOVE_TEST_EXCHANGELIB is not set");
    }
    found
}

/// pyspnego behind HTTPS.
struct Acceptor {
    process: Child,
    output: BufReader<ChildStdout>,
    port: u16,
    ca_pem: String,
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Acceptor {
    fn start(python: &Path, name: &str, kind: &'static SignatureAlgorithm, hash: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(kind).unwrap();
        let ca = CertifiedIssuer::self_signed(params, key).unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate_for(kind).unwrap();
        let leaf = params.signed_by(&key, &ca).unwrap();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let certificate = directory.join("certificate.pem");
        std::fs::write(&certificate, leaf.pem() + &key.serialize_pem()).unwrap();
        let credentials = directory.join("credentials");
        std::fs::write(&credentials, "EXAMPLE:ann:secret\n").unwrap();
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("testserver/tests/ntlm_acceptor.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(certificate)
            .arg(hash)
            .arg(credentials)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut acceptor = Self {
            process,
            output,
            port: 0,
            ca_pem: ca.pem(),
        };
        acceptor.port = acceptor.line().trim().parse().unwrap();
        acceptor
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// What it thinks of a login of the adapter's.
    async fn judge(&mut self, auth: Auth, password: &str) -> Value {
        let url = format!("https://127.0.0.1:{}/EWS/Exchange.asmx", self.port);
        let config = EwsConfig::at(&url)
            .unwrap()
            .with_user("ann@example.com")
            .with_auth(auth)
            .with_tls(TlsSettings::new().with_extra_ca_pem(self.ca_pem.as_str()));
        let login = Credential::password("EXAMPLE\\ann", password);
        let login = Arc::new(StaticCredential::new(login));
        let source = EwsSource::new(config, login, Edges::new());
        // There is nothing behind the login.
        source.folders().await.unwrap_err();
        serde_json::from_str(&self.line()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_pyspnego_accepts_the_adapters_logins() {
    let Some(python) = python() else {
        return;
    };
    for (name, kind, hash) in [
        ("sha256", &PKCS_ECDSA_P256_SHA256, "sha256"),
        ("sha384", &PKCS_ECDSA_P384_SHA384, "sha384"),
    ] {
        let mut acceptor = Acceptor::start(&python, name, kind, hash);
        for (auth, scheme) in [(Auth::Ntlm, "NTLM"), (Auth::Negotiate, "Negotiate")] {
            let said = acceptor.judge(auth, "secret").await;
            let accepted = json!({"scheme": scheme, "accepted": "EXAMPLE\\ann"});
            assert_eq!(said, accepted, "{name}");
            let said = acceptor.judge(auth, "wrong").await;
            assert!(said["refused"].is_string(), "{name}: {said}");
        }
    }
    // The acceptor expects another hash: what it sees is a man in the middle.
    let mut acceptor = Acceptor::start(&python, "other", &PKCS_ECDSA_P384_SHA384, "sha256");
    for auth in [Auth::Ntlm, Auth::Negotiate] {
        let said = acceptor.judge(auth, "secret").await;
        assert_eq!(said["refused"], json!("BadBindingsError"), "{said}");
    }
}
