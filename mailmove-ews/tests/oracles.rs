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

use futures_util::StreamExt as _;
use mailmove_core::destination::{Batch, NoFence, Outcome, Outgoing};
use mailmove_core::edge::{Credential, StaticCredential, tls::TlsSettings};
use mailmove_core::model::{Content, Flags, FolderPath, FolderSpec, Timestamp};
use mailmove_core::{Destination as _, Edges, Source as _};
use mailmove_ews::{Auth, EwsConfig, EwsDestination, EwsSource};
use mailmove_ews_testserver::Server;
use mailmove_testkit::mailbox::Store;
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

const MAIL: &str = "From: A <a@example.com>\r\nTo: b@example.com\r\nSubject: =?utf-8?Q?gr=C3=BC=C3=9Fe?=\r\n\
    Date: Sat, 3 Feb 2001 05:05:06 +0100\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n\
    Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--b--\r\n";

/// Writes messages with these flags into a folder, received an hour apart.
async fn write(server: &Server, flags: &[&str]) {
    let config = EwsConfig::at(&server.url()).unwrap();
    let config = config.with_user("ann@example.com");
    let login = Arc::new(StaticCredential::new(Credential::password("ann", "secret")));
    let destination = EwsDestination::new(config, login, Edges::new());
    let folder = FolderSpec::new(FolderPath::new(["Written here"]));
    let made = destination.ensure_folders(vec![folder]).next().await;
    let folder = made.unwrap().1.unwrap();
    let items = flags.iter().enumerate().map(|(number, flags)| {
        let received = 981_173_107 + i64::try_from(number).unwrap() * 3600;
        Outgoing::new(Content::from_bytes(MAIL))
            .with_flags(Flags::parse(flags))
            .with_received(Some(Timestamp::new(received, 0)))
    });
    let batch = Batch::new(
        folder.id.clone(),
        folder.mark.clone().unwrap(),
        items.collect(),
        Arc::new(NoFence),
    );
    let outcomes: Vec<_> = destination.append(batch).collect().await;
    assert_eq!(outcomes.len(), flags.len());
    let stored = |outcome: &Outcome| matches!(outcome, Outcome::Stored(_));
    assert!(outcomes.iter().all(|(_, outcome)| stored(outcome)));
}

#[tokio::test(flavor = "multi_thread")]
async fn oracle_exchangelib_reads_what_the_adapter_wrote() {
    let Some(python) = python() else {
        return;
    };
    // It asks for more than we do.
    let server = Server::builder(Store::new())
        .user("ann", "secret")
        .without_shape_gate();
    let server = server.start().await.unwrap();
    write(
        &server,
        &[
            "\\Seen \\Flagged $Label1",
            "\\Answered",
            "\\Seen $Forwarded",
            "\\Draft \\Seen",
        ],
    )
    .await;
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testserver/tests/exchangelib_reader.py");
    let (url, mut command) = (server.url(), Command::new(python));
    command.arg(script).args([&url, "Written here"]);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let (said, wrong) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}{wrong}");
    let items: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected =
        |hour: u8, draft: bool, read: bool, categories: Value, flagged: Value, verb: Value| {
            json!({
                "subject": "grüße",
                "from": "a@example.com",
                "to": ["b@example.com"],
                "received": format!("2001-02-03 {hour:02}:05:07+00:00"),
                "sent": "2001-02-03 04:05:06+00:00",
                "draft": draft,
                "read": read,
                "categories": categories,
                "flagged": flagged,
                "verb": verb,
                "attachments": {"a.pdf": "00010203"},
                "text": "hello",
            })
        };
    let none = Value::Null;
    assert_eq!(items.len(), 4, "{said}");
    assert_eq!(
        items[0],
        expected(4, false, true, json!(["$Label1"]), json!(2), none.clone())
    );
    assert_eq!(
        items[1],
        expected(5, false, false, json!([]), none.clone(), json!(102))
    );
    assert_eq!(
        items[2],
        expected(6, false, true, json!([]), none.clone(), json!(104))
    );
    assert_eq!(
        items[3],
        expected(7, true, true, json!([]), none.clone(), none)
    );
}
