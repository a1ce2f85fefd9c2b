//! The certificates of the test servers: an authority, a good certificate and an expired one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::place::Account;
use crate::Result;

/// Paths of PEM files.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) good: Pair,
    pub(crate) expired: Pair,
}

/// A certificate and its key.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// Returns the certificates in `dir`, made when they are not there yet.
pub(crate) fn certificates(dir: &Path, account: &Account) -> Result<Certificates> {
    let file = |name: &str| dir.join(name);
    let pair = |name: &str| Pair {
        cert: file(&format!("{name}.pem")),
        key: file(&format!("{name}.key")),
    };
    let found = Certificates {
        ca: file("ca.pem"),
        good: pair("good"),
        expired: pair("expired"),
    };
    // Written last, so its presence means that the others are whole.
    if !found.ca.exists() {
        make(&found, dir, account)?;
    }
    Ok(found)
}

fn make(files: &Certificates, dir: &Path, account: &Account) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "mailmove test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    let key = KeyPair::generate()?;
    let ca = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    leaf(&files.good, (2020, 2098), &issuer, account)?;
    leaf(&files.expired, (2020, 2021), &issuer, account)?;
    std::fs::write(&files.ca, ca.pem())?;
    Ok(())
}

fn leaf(
    files: &Pair,
    years: (i32, i32),
    issuer: &Issuer<'_, KeyPair>,
    account: &Account,
) -> Result<()> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate()?;
    std::fs::write(&files.cert, params.signed_by(&key, issuer)?.pem())?;
    std::fs::write(&files.key, key.serialize_pem())?;
    std::fs::set_permissions(&files.key, Permissions::from_mode(0o600))?;
    if account.change {
        std::os::unix::fs::chown(&files.key, Some(account.uid), Some(account.gid))?;
    }
    Ok(())
}
