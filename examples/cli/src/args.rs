//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mailmove_core::model::{FolderPath, Timestamp};

use crate::value;

/// Moves a mailbox from one mail server to another: nothing lost, nothing doubled, every message
/// accounted for.
///
/// Messages are copied; the source is never changed. Run it again at any time: what was copied is
/// known, only what is new is brought over. It may be interrupted, or killed, at any moment.
#[derive(Debug, Parser)]
#[command(name = "mailmove", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    complete: every message is accounted for
  1    complete, but messages failed (verify: something differs)
  2    wrong input
  3    stopped: cannot connect, cannot log in, mailbox full, …
  4    the ledger does not close: a server counts other messages than it shows
  130  interrupted; the same command goes on";

const URLS: &str = "\
URLs:
  imaps://USER@HOST[:PORT]            TLS from the start (port 993)
  imap://USER@HOST[:PORT]             STARTTLS, required (port 143)
  imap://USER@HOST[:PORT]?tls=off     no protection at all
  ...?as=OTHER                        log in as USER, open OTHER's mailbox
  ...?as=OTHER&style=STYLE            how the login says so: authzid (usual), master (Dovecot:
                                      OTHER*USER; another sign: master:SIGN), exchange
                                      (USER\\OTHER), proxyauth (Sun, Oracle)
  ews://USER@HOST[/PATH]              Exchange; USER is DOMAIN\\NAME or an address; ?as=MAILBOX,
                                      ?auth=ntlm, negotiate or basic, ?archive=on, ?name=HOST, ?tls=off
  graph://TENANT/USER?client=ID       Microsoft 365, as the application ID; &auth=secret (usual),
                                      certificate or device, &route=imap, &signed=as-plain,
                                      &drafts=mime, &cloud=usgov, dod or china
  USER may hold an @; other special characters are written as %XX.

Folders are written as paths, e.g. Archive/2019. Patterns match whole paths: * stands for any
characters within a name, ? for one, ** for anything over levels; re:REGEX is a regular expression.

Passwords, in this order:
  --from-password-file, --to-password-file   first line of a file; the whole file where it holds
                                             certificate and key (&auth=certificate)
  MAILMOVE_FROM_PASSWORD, MAILMOVE_TO_PASSWORD
  a prompt, if there is a terminal
OAuth tokens instead of passwords:
  --from-oauth-token-command, --to-oauth-token-command   a command that prints an access token.
  It is split into words and run without a shell, unless it begins with sh:, and run again when
  the server refuses the token; MAILMOVE_OAUTH_REFUSED is 1 then.";

const MIGRATE_EXAMPLES: &str = "\
Examples:
  mailmove migrate --from imaps://ann@old.example.com --to imaps://ann@example.com@new.example.net
  mailmove migrate --from … --to … --exclude Trash --exclude '**/Old*' --since 2020-01-01
  mailmove migrate --from … --to … --map 'Sent Items=Sent' --max-size 25MB --json

";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy a mailbox, or what is new in it since the last run
    #[command(after_help = format!("{MIGRATE_EXAMPLES}{URLS}\n\n{EXIT_CODES}"))]
    Migrate(MigrateArgs),
    /// Show what migrate would do, and change nothing
    #[command(after_help = format!("{URLS}\n\n{EXIT_CODES}"))]
    Plan(MigrateArgs),
    /// Try again what failed, and nothing else
    #[command(after_help = format!("\
Takes up the messages that failed in earlier runs, without listing any folder. What the source does not
have any more is taken from its dead letter.

{URLS}\n\n{EXIT_CODES}"))]
    Retry(MigrateArgs),
    /// Tell what became of a message: state, repairs, where it is, where it is kept
    #[command(after_help = "\
Reads the ledger alone: no server is asked, no password needed. A message is named by its UID (17), by
its id in the ledger, or by a digest; --file takes the digests of a saved message.

Exit codes: 0 found, 1 not in the ledger, 2 wrong input, 3 the ledger cannot be read")]
    Explain(ExplainArgs),
    /// Compare what was copied with what the destination holds now, and repair it if asked
    #[command(after_help = format!("{URLS}\n\n{EXIT_CODES}"))]
    Verify(VerifyArgs),
    /// Try it without any account: two servers inside the program, some thousand messages
    #[command(after_help = "\
Starts two servers (TLS) on this machine, IMAP unless you say otherwise, fills one with generated mail,
migrates it, lets new mail arrive, flags change and messages move, migrates again, and verifies every
message: by its bytes, or, where Exchange or Microsoft 365 made it anew, by what it means.")]
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Whether a message that the destination refuses is tried once more, repaired: line ends, NUL, odd
    /// or 8-bit headers, long lines (messages up to 32 MiB)
    #[arg(
        long,
        value_name = "on|off",
        value_enum,
        default_value = "on",
        num_args = 0..=1,
        default_missing_value = "on",
        hide_possible_values = true,
        help_heading = "What is copied"
    )]
    pub(crate) repair: Switch,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// UID, id or digest of the message
    #[arg(value_name = "ITEM", required_unless_present = "file")]
    pub(crate) item: Option<String>,
    /// The message itself, saved to a file: found by its content, else by its header
    #[arg(long, value_name = "FILE", conflicts_with = "item")]
    pub(crate) file: Option<PathBuf>,
    /// Only in this folder of the source
    #[arg(long, value_name = "FOLDER", value_parser = value::folder)]
    pub(crate) folder: Option<FolderPath>,
    /// Mailbox that was copied from
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,
    /// Mailbox that was copied to
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Read every message at the destination and compare its digest, instead of presence, size,
    /// flags and date
    #[arg(long)]
    pub(crate) full: bool,
    /// Send again what is missing or damaged at the destination, and compare once more. Flags that
    /// differ are the destination's own, and stay
    #[arg(long)]
    pub(crate) repair: bool,
    /// With --repair: also bring back what was removed at the destination, on purpose or not
    #[arg(long, requires = "repair")]
    pub(crate) restore_removed: bool,
}

/// Which mailboxes, and how to reach them.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// Mailbox to copy from
    #[arg(long, value_name = "URL", help_heading = "Mailboxes")]
    // Read later, so that a message about a bad URL cannot repeat a password in it.
    pub(crate) from: String,
    /// Mailbox to copy to
    #[arg(long, value_name = "URL", help_heading = "Mailboxes")]
    pub(crate) to: String,
    /// File whose first line is the source's password; or certificate and key of an application in Microsoft 365
    #[arg(long, value_name = "FILE", help_heading = "Mailboxes")]
    pub(crate) from_password_file: Option<PathBuf>,
    /// The same for the destination
    #[arg(long, value_name = "FILE", help_heading = "Mailboxes")]
    pub(crate) to_password_file: Option<PathBuf>,
    /// Command that prints an OAuth access token for the source
    #[arg(
        long,
        value_name = "CMD",
        help_heading = "Mailboxes",
        conflicts_with = "from_password_file"
    )]
    pub(crate) from_oauth_token_command: Option<String>,
    /// Command that prints an OAuth access token for the destination
    #[arg(
        long,
        value_name = "CMD",
        help_heading = "Mailboxes",
        conflicts_with = "to_password_file"
    )]
    pub(crate) to_oauth_token_command: Option<String>,

    /// Also trust the certificates in this file (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Connections")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Accept exactly the certificate with this SHA-256 fingerprint, on both sides
    #[arg(long, value_name = "SHA256", help_heading = "Connections")]
    pub(crate) pin: Option<String>,
    /// The same for the source alone
    #[arg(long, value_name = "SHA256", help_heading = "Connections")]
    pub(crate) from_pin: Option<String>,
    /// The same for the destination alone
    #[arg(long, value_name = "SHA256", help_heading = "Connections")]
    pub(crate) to_pin: Option<String>,
    /// Most connections to each side (Microsoft 365: requests at once)
    #[arg(long, value_name = "N", help_heading = "Connections",
          value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) connections: Option<u8>,
    /// Messages of a folder may arrive in any order: a large folder goes over all connections at once
    #[arg(long, help_heading = "Connections")]
    pub(crate) any_order: bool,
    /// Between two Exchange servers, or two mailboxes of Microsoft 365: mail as MIME, instead of Exchange's own exports
    #[arg(long, help_heading = "Connections")]
    pub(crate) as_mime: bool,
    /// Between EWS and Microsoft 365: as Exchange's own exports, everything of every class. Nobody has tried that with
    /// a tenant
    #[arg(long, help_heading = "Connections", conflicts_with = "as_mime")]
    pub(crate) as_exports: bool,
    /// Compress connections to servers that offer it (COMPRESS=DEFLATE): helps on slow lines
    #[arg(long, help_heading = "Connections")]
    pub(crate) compress: bool,
    /// Most bytes a second, both directions together, e.g. 2MB/s
    #[arg(long, value_name = "RATE", help_heading = "Connections", value_parser = value::rate)]
    pub(crate) bandwidth: Option<u64>,
    /// Most bytes of messages fetched in a day, e.g. 2500MB; 0 for no limit [default: what is known of
    /// the provider: 2500MB for Gmail]
    #[arg(long, value_name = "SIZE", help_heading = "Connections", value_parser = value::size_or_none)]
    pub(crate) daily_down: Option<u64>,
    /// Most bytes of messages sent in a day; 0 for no limit [default: 500MB for Gmail]
    #[arg(long, value_name = "SIZE", help_heading = "Connections", value_parser = value::size_or_none)]
    pub(crate) daily_up: Option<u64>,
    /// End when the bytes of the day are used up, instead of waiting for the next day
    #[arg(long, help_heading = "Connections")]
    pub(crate) no_wait: bool,
    /// Where a connection broke and something was sent again: how long the end waits for first copies
    /// that the server may still store, to remove the surplus [default: 100]
    #[arg(long, value_name = "SECONDS", help_heading = "Connections",
          value_parser = clap::value_parser!(u32))]
    pub(crate) late: Option<u32>,
}

/// What shall be copied.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is copied")]
pub(crate) struct SelectArgs {
    /// Only this folder and those below it, or those that match a pattern (repeatable)
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Vec<String>,
    /// Not this folder and those below it, or those that match a pattern (repeatable)
    #[arg(long, value_name = "FOLDER")]
    pub(crate) exclude: Vec<String>,
    /// Also public and shared folders, and those of other users; a --folder that names one by its
    /// first name takes it too
    #[arg(long)]
    pub(crate) shared: bool,
    /// Put a folder, and those below it, elsewhere (repeatable)
    #[arg(long, value_name = "FROM=TO")]
    pub(crate) map: Vec<String>,
    /// Put everything below this folder
    #[arg(long, value_name = "FOLDER", value_parser = value::folder)]
    pub(crate) into: Option<FolderPath>,
    /// Only messages received on that day (UTC) or later
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = value::date)]
    pub(crate) since: Option<Timestamp>,
    /// Only messages received before that day (UTC)
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = value::date)]
    pub(crate) before: Option<Timestamp>,
    /// Only messages up to this size, e.g. 25MB or 25MiB
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    pub(crate) max_size: Option<u64>,
    /// Whether flags and keywords are carried over, and their changes followed
    #[arg(
        long,
        value_name = "on|off",
        value_enum,
        default_value = "on",
        hide_possible_values = true
    )]
    pub(crate) flags: Switch,
    /// Also carry over what is noted about folders (IMAP METADATA): comments and the like; what the
    /// destination has noted itself stands
    #[arg(long)]
    pub(crate) annotations: bool,
    /// Accept that messages were lost at the destination: go on without sending them again
    #[arg(long)]
    pub(crate) accept_lost: bool,
}

/// Where the ledger is kept, and what is shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "State and output")]
pub(crate) struct OutputArgs {
    /// Directory of the ledger [default: named after both mailboxes, below ~/.local/state/mailmove]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Print events and the report as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// What speaks on one side of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    Imap,
    /// Exchange
    Ews,
    /// Microsoft 365
    Graph,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The server that mail comes from
    #[arg(
        long,
        value_name = "imap|ews|graph",
        value_enum,
        default_value = "imap",
        hide_possible_values = true
    )]
    pub(crate) from: Protocol,
    /// The server that it goes to: Exchange and Microsoft 365 make each message anew, and what that loses is told by name
    #[arg(
        long,
        value_name = "imap|ews|graph",
        value_enum,
        default_value = "imap",
        hide_possible_values = true
    )]
    pub(crate) to: Protocol,
    /// How many messages
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(crate) messages: u32,
    /// Print events and reports as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Keep both servers running afterwards, so that a mail program can look, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn offers_no_way_to_give_a_password() {
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(
                    !name.contains("password") || name.ends_with("_file"),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn reads_all_options() {
        let cli = Cli::try_parse_from([
            "mailmove",
            "verify",
            "--from",
            "a",
            "--to",
            "b",
            "--state",
            "s",
            "--json",
            "--folder",
            "x",
            "--folder",
            "y",
            "--exclude",
            "z",
            "--map",
            "a=b",
            "--since",
            "2024-01-01",
            "--before",
            "2024-02-01",
            "--max-size",
            "25MB",
            "--ca-file",
            "f",
            "--pin",
            "p",
            "--from-pin",
            "q",
            "--to-pin",
            "r",
            "--connections",
            "4",
            "--compress",
            "--any-order",
            "--as-mime",
            "--annotations",
            "--bandwidth",
            "2MB/s",
            "--daily-down",
            "2GB",
            "--daily-up",
            "0",
            "--no-wait",
            "--late=20",
            "--flags=off",
            "--full",
        ])
        .unwrap();
        let Command::Verify(args) = cli.command else {
            panic!("not verify")
        };
        assert_eq!(args.select.folder, ["x", "y"]);
        assert_eq!(args.select.flags, Switch::Off);
        assert_eq!(args.job.bandwidth, Some(2_000_000));
        assert_eq!(args.job.daily_down, Some(2_000_000_000));
        assert_eq!((args.job.daily_up, args.job.no_wait), (Some(0), true));
        assert_eq!(args.job.late, Some(20));
        assert!(args.job.compress && args.job.any_order && args.select.annotations);
        assert!(args.job.as_mime);
        assert!(args.full && args.output.json);
    }

    #[test]
    fn repairs_unless_told_otherwise() {
        for (args, expected) in [
            (&[][..], Switch::On),
            (&["--repair", "--json"], Switch::On),
            (&["--repair", "off"], Switch::Off),
            (&["--repair=off"], Switch::Off),
        ] {
            let all = ["mailmove", "retry", "--from", "a", "--to", "b"];
            let cli = Cli::try_parse_from(all.iter().chain(args)).unwrap();
            let Command::Retry(read) = cli.command else {
                panic!("not retry")
            };
            assert_eq!(read.repair, expected, "{args:?}");
        }
    }

    #[test]
    fn refuses_nonsense() {
        for bad in [
            "--connections=0",
            "--connections=x",
            "--flags=maybe",
            "--repair=perhaps",
            "--since=yesterday",
            "--max-size=big",
            "--daily-up=much",
            "--password=x",
        ] {
            let args = ["mailmove", "migrate", "--from", "a", "--to", "b", bad];
            assert_eq!(
                Cli::try_parse_from(args).unwrap_err().exit_code(),
                2,
                "{bad}"
            );
        }
    }
}
