//! The command line of the measuring tool.

use std::path::PathBuf;

use mailmove_benches::measure::Result;

pub(crate) const HELP: &str = "\
Measures a migration against a raw-socket replay of the same mail between the same servers.

  floor --program PATH --from USER@HOST:PORT --to USER@HOST:PORT [options] [-- ARGUMENTS]

  --program PATH        the mailmove program, built with --release
  --from USER@HOST:PORT source: a filled mailbox on a port without TLS
  --to USER@HOST:PORT   destination: USER-1, USER-2, … are used, and must be empty
  --from-tls PORT       the program uses this port with TLS (the replay never does)
  --to-tls PORT         the same for the destination
  --connections N       to each side, for both contestants [4]
  --rounds K            interleaved pairs [5]
  --batch N             messages in one APPEND of the replay [100]
  -- ARGUMENTS          handed on to `mailmove migrate`, e.g. --ca-file FILE

Passwords come from MAILMOVE_FROM_PASSWORD and MAILMOVE_TO_PASSWORD. The servers must accept the
destination's numbered users; nothing is deleted there afterwards.";

/// One server as both contestants see it.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Where the program goes, if not to `port`.
    pub(crate) tls_port: Option<u16>,
    pub(crate) password: String,
}

impl Side {
    fn parse(option: &str, text: &str) -> Result<Self> {
        let shape = || format!("{option} is USER@HOST:PORT, not {text:?}");
        let (user, place) = text.rsplit_once('@').ok_or_else(shape)?;
        let (host, port) = place.rsplit_once(':').ok_or_else(shape)?;
        let quotable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if user.is_empty() || !user.bytes().all(quotable) {
            return Err(shape().into());
        }
        let variable = if option == "--from" {
            "MAILMOVE_FROM_PASSWORD"
        } else {
            "MAILMOVE_TO_PASSWORD"
        };
        Ok(Self {
            user: user.to_owned(),
            host: host.to_owned(),
            port: port.parse().map_err(|_| shape())?,
            tls_port: None,
            password: std::env::var(variable).map_err(|_| format!("{variable} is not set"))?,
        })
    }

    /// The mailbox of `user` as the program is told of it.
    pub(crate) fn url(&self, user: &str) -> String {
        let mut encoded = String::new();
        for byte in user.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._@".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        let host = &self.host;
        match self.tls_port {
            Some(port) => format!("imaps://{encoded}@{host}:{port}"),
            None => format!("imap://{encoded}@{host}:{}?tls=off", self.port),
        }
    }
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) program: PathBuf,
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) connections: usize,
    pub(crate) rounds: u32,
    pub(crate) batch: usize,
    pub(crate) rest: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let (mut program, mut from, mut to) = (None, None, None);
        let (mut from_tls, mut to_tls) = (None, None);
        let (mut connections, mut rounds, mut batch) = (4, 5, 100);
        let mut arguments = arguments.iter();
        let mut rest = Vec::new();
        while let Some(option) = arguments.next() {
            if option == "--" {
                rest = arguments.by_ref().cloned().collect();
                break;
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("{option} lacks its value; see --help"))?;
            match option.as_str() {
                "--program" => program = Some(PathBuf::from(value)),
                "--from" => from = Some(Side::parse(option, value)?),
                "--to" => to = Some(Side::parse(option, value)?),
                "--from-tls" => from_tls = Some(number(option, value)?),
                "--to-tls" => to_tls = Some(number(option, value)?),
                "--connections" => connections = usize::from(number(option, value)?),
                "--rounds" => rounds = u32::from(number(option, value)?),
                "--batch" => batch = usize::from(number(option, value)?),
                _ => return Err(format!("unknown option {option}; see --help").into()),
            }
        }
        let missing = |name: &str| format!("{name} is missing; see --help");
        let mut options = Self {
            program: program.ok_or_else(|| missing("--program"))?,
            from: from.ok_or_else(|| missing("--from"))?,
            to: to.ok_or_else(|| missing("--to"))?,
            connections,
            rounds,
            batch,
            rest,
        };
        options.from.tls_port = from_tls;
        options.to.tls_port = to_tls;
        Ok(options)
    }
}

fn number(option: &str, text: &str) -> Result<u16> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{option} takes a number from 1 to 65535").into()),
        Ok(number) => Ok(number),
    }
}
