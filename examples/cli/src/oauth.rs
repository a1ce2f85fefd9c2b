//! OAuth tokens from a command of the user's: `--from-oauth-token-command`.

use std::{process::Stdio, time::Duration};

use async_trait::async_trait;
use mailmove_core::{
    Error, ErrorKind, Result,
    edge::{Credential, CredentialProvider, CredentialRequest, Secret},
};
use tokio::{io::AsyncReadExt as _, process::Command, sync::Mutex};

use crate::secrets::Side;

/// How long a command may take: the user may have to consent in a browser first.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest output. Tokens have a few thousand characters at most.
const LONGEST: u64 = 64 << 10;

/// Runs a command for a token, and keeps the token until a server refuses it.
#[derive(Debug)]
pub(crate) struct TokenCommand {
    side: Side,
    user: String,
    program: String,
    arguments: Vec<String>,
    // Held while the command runs, so that connections which all need a token wait for one.
    token: Mutex<Option<Secret>>,
}

impl TokenCommand {
    /// Reads what the user gave for the option; `user` is whose mailbox the token opens.
    pub(crate) fn new(side: Side, user: &str, text: &str) -> Result<Self> {
        let words = match text.trim_start().strip_prefix("sh:") {
            Some(script) => Some(shell(script.trim())),
            None => split(text),
        };
        let mut words = words.unwrap_or_default().into_iter();
        let program = words.next().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| {
            problem(side, "the command for OAuth tokens cannot be read")
                .with_remedy("Write the program and its arguments, quoted as in a shell.")
        })?;
        Ok(Self {
            side,
            user: user.to_owned(),
            program,
            arguments: words.collect(),
            token: Mutex::new(None),
        })
    }

    async fn run(&self, request: &CredentialRequest) -> Result<Secret> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env("MAILMOVE_OAUTH_USER", &self.user)
            .env("MAILMOVE_OAUTH_HOST", &request.endpoint.host)
            .env(
                "MAILMOVE_OAUTH_REFUSED",
                if request.refused { "1" } else { "0" },
            )
            // The other side's password is none of its business.
            .env_remove(Side::Source.variable())
            .env_remove(Side::Destination.variable())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let failed =
            |error| self.problem("the command for OAuth tokens cannot be run", Some(error));
        let mut child = command.spawn().map_err(failed)?;
        let mut output = zeroize::Zeroizing::new(Vec::new());
        let stdout = child.stdout.take();
        let work = async {
            if let Some(stdout) = stdout {
                stdout.take(LONGEST).read_to_end(&mut output).await?;
            }
            child.wait().await
        };
        let status = match tokio::time::timeout(PATIENCE, work).await {
            Ok(ended) => ended.map_err(failed)?,
            Err(_) => return Err(self.problem("the command for OAuth tokens does not end", None)),
        };
        if !status.success() {
            let error = self.problem("the command for OAuth tokens failed", None);
            return Err(error.with_context("status", status.to_string()));
        }
        self.token_of(&output)
    }

    /// The token in a command's output, which no message repeats.
    fn token_of(&self, output: &[u8]) -> Result<Secret> {
        let token = std::str::from_utf8(output.trim_ascii()).unwrap_or_default();
        if token.is_empty() {
            return Err(self.problem("the command for OAuth tokens printed none", None));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.problem(
                "the command for OAuth tokens printed something else than one token",
                None,
            ));
        }
        Ok(Secret::new(token))
    }

    fn problem(&self, message: &'static str, cause: Option<std::io::Error>) -> Error {
        let error = problem(self.side, message).with_context("program", &self.program);
        match cause {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}

fn problem(side: Side, message: &'static str) -> Error {
    let option = side.option();
    Error::new(ErrorKind::Config, message)
        .with_code("config/oauth-command")
        .with_context("side", side.name())
        .with_remedy(format!(
            "Try the command of {option}-oauth-token-command by itself: it has to print an access \
             token, and nothing else, on standard output, and to end with status 0."
        ))
}

#[async_trait]
impl CredentialProvider for TokenCommand {
    async fn credential(&self, request: CredentialRequest) -> Result<Credential> {
        let mut held = self.token.lock().await;
        let token = match held.take().filter(|_| !request.refused) {
            Some(token) => token,
            None => self.run(&request).await?,
        };
        *held = Some(token.clone());
        Ok(Credential::BearerToken {
            user: self.user.clone(),
            token,
        })
    }
}

#[cfg(not(windows))]
fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).into()
}

#[cfg(windows)]
fn shell(script: &str) -> Vec<String> {
    ["cmd", "/C", script].map(str::to_owned).into()
}

/// Splits into words at blanks; quotes and backslashes keep blanks within words, as in a shell.
/// Nothing else has a meaning. `None` if a quote never ends.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            // On Windows it separates directories.
            (None | Some('"'), '\\') if cfg!(not(windows)) => {
                // Within double quotes only these are escaped; before others it stands for itself.
                let next = characters.next_if(|next| quote.is_none() || "\"\\$`".contains(*next));
                word.get_or_insert_default().push(next.unwrap_or('\\'));
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use mailmove_core::model::Endpoint;

    use super::*;

    fn command(text: &str) -> TokenCommand {
        TokenCommand::new(Side::Source, "ann", text).unwrap()
    }

    fn request() -> CredentialRequest {
        CredentialRequest::new(Endpoint::new("imap", "host", None, "ann"))
    }

    async fn token(command: &TokenCommand, request: CredentialRequest) -> Result<String> {
        match command.credential(request).await? {
            Credential::BearerToken { user, token } => {
                assert_eq!(user, "ann");
                Ok(token.expose().to_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_are_split_as_in_a_shell() {
        for (text, words) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            (r#"a 'b c' "d e"f"#, &["a", "b c", "d ef"]),
            (r"a\ b \'c", &["a b", "'c"]),
            (r#""a\"b\c" '\'"#, &["a\"b\\c", "\\"]),
            ("a '' b", &["a", "", "b"]),
            ("$(rm -rf x); y | z", &["$(rm", "-rf", "x);", "y", "|", "z"]),
            ("", &[]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        assert_eq!(split("a 'b"), None);
        for bad in ["", "  ", "'", "''"] {
            let error = TokenCommand::new(Side::Source, "ann", bad).unwrap_err();
            assert_eq!(error.code(), "config/oauth-command", "{bad}");
        }
    }

    #[tokio::test]
    async fn no_shell_runs_unless_asked() {
        let plain = command("echo $HOME;x");
        let printed = token(&plain, request()).await.unwrap();
        assert_eq!(printed, "$HOME;x");
        let shell = command("sh: printf '%s' $MAILMOVE_OAUTH_USER.$MAILMOVE_OAUTH_HOST");
        assert_eq!(token(&shell, request()).await.unwrap(), "ann.host");
    }

    #[tokio::test]
    async fn a_token_is_kept_until_it_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("runs");
        let script = format!(
            "sh: echo $MAILMOVE_OAUTH_REFUSED >> '{0}'; wc -l < '{0}' | tr -d ' '",
            file.display()
        );
        let command = command(&script);
        for (refused, expected) in [(false, "1"), (false, "1"), (true, "2"), (false, "2")] {
            let request = match refused {
                true => request().after_refusal(),
                false => request(),
            };
            assert_eq!(token(&command, request).await.unwrap(), expected);
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "0\n1\n");
    }

    #[tokio::test]
    async fn what_is_no_token_is_an_error_that_does_not_repeat_it() {
        for (text, says) in [
            ("no-such-program-s3cret", "cannot be run"),
            ("sh: echo s3cret; exit 3", "failed"),
            ("true s3cret", "printed none"),
            ("echo s3cret s3cret", "something else"),
            ("sh: printf 's3cret\\001x'", "something else"),
            ("sh: printf 's3cret\\nx\\n'", "something else"),
            ("sh: printf 's3cret\\377'", "printed none"),
        ] {
            let error = token(&command(text), request()).await.unwrap_err();
            assert_eq!(error.code(), "config/oauth-command");
            assert!(error.to_string().contains(says), "{error}");
            let shown = format!("{error:?} {}", error.chain());
            let program = text.starts_with("no-such");
            assert!(program || !shown.contains("s3cret"), "{shown}");
            assert!(
                error
                    .remedy()
                    .unwrap()
                    .contains("--from-oauth-token-command")
            );
        }
    }
}
