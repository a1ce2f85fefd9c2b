//! By way of Exchange and of Microsoft 365, which make each message anew whenever it is read: from Dovecot, from one of
//! them to the other, and from each to Cyrus.

use std::{collections::BTreeMap, time::Duration};

use mailmove_core::identity::{Loss, Meaning, MeaningReader};
use mailmove_ews_testserver::{Scheme, Server as Exchange};
use mailmove_graph_testserver::Server as Graph;
use mailmove_testkit::mailbox::Store;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{
    compare::{flags_between, sum},
    corpora, made_up,
    world::{Job, Mail, Mailbox, Message, Server, Side, fresh, number},
};

/// Whose mailboxes are gone through. Nobody migrates a mailbox into itself.
const USERS: [&str; 4] = ["ann", "bob", "cara", "dan"];
const PASSWORD: &str = "horse battery";

enum Kind {
    Exchange(Exchange),
    Graph(Graph),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Exchange(_) => "exchange",
            Self::Graph(_) => "graph",
        }
    }
}

/// A mailbox that is gone through.
struct Way {
    kind: Kind,
    user: &'static str,
}

impl Way {
    fn exchange(runtime: &Runtime, user: &'static str) -> Self {
        let builder = Exchange::builder(Store::new()).user(user, PASSWORD);
        let builder = builder
            .schemes(&[Scheme::Ntlm])
            .rebuilds_mime()
            .without_default_folders();
        // Corpora say what nobody foresaw.
        let started = runtime.block_on(builder.without_shape_gate().start());
        let kind = Kind::Exchange(started.unwrap());
        Self { kind, user }
    }

    fn graph(runtime: &Runtime, user: &'static str) -> Self {
        let builder = Graph::builder(Store::new()).user(user);
        let builder = builder
            .client("app", PASSWORD)
            .request_budget(1_000_000, Duration::from_secs(600))
            .upload_budget(1 << 40, Duration::from_secs(300))
            .rebuilds_mime()
            .without_default_folders();
        let started = runtime.block_on(builder.without_shape_gate().start());
        let kind = Kind::Graph(started.unwrap());
        Self { kind, user }
    }

    fn side(&self) -> Side {
        let user = format!("{}@example.com", self.user);
        let (url, ca_pem) = match &self.kind {
            Kind::Exchange(server) => {
                let port = server.tls_address().port();
                (
                    format!("ews://{user}@127.0.0.1:{port}/owa"),
                    server.ca_pem(),
                )
            }
            Kind::Graph(server) => {
                let port = server.tls_address().port();
                // Ten thousand requests would have to do for ten minutes.
                let limits = "requests=1000000&upload=1000000";
                let options = format!("client=app&at=127.0.0.1:{port}&signed=as-plain&{limits}");
                let url = format!("graph://{}/{user}?{options}", server.tenant());
                (url, server.ca_pem())
            }
        };
        Side {
            url,
            password: PASSWORD.to_owned(),
            ca_pem: ca_pem.to_owned(),
        }
    }
}

fn meaning(message: &Message) -> Meaning {
    let mut reader = MeaningReader::new();
    reader.update(&message.body);
    reader.finish()
}

/// What became of a mailbox.
#[derive(Debug, Default)]
struct Became {
    /// How often which known loss.
    losses: BTreeMap<&'static str, usize>,
    /// Received at another time.
    dates: usize,
    /// Flags that are gone.
    flags: usize,
    /// What has no equal on the other side, and flags that nobody set.
    unequal: Vec<String>,
}

/// A message that arrived.
struct Arrived {
    meaning: Meaning,
    message: Message,
}

/// How the sent message differs, all of it known losses; `None` if anything else does.
fn known(sent: &Meaning, arrived: &Meaning) -> Option<Vec<Loss>> {
    let deviations = sent.deviations(arrived).into_iter();
    deviations.map(|one| one.loss).collect()
}

impl Became {
    /// `of_fields`: the messages after were fields on their way.
    fn between(before: Mailbox, mut after: Mailbox, of_fields: bool) -> Self {
        let mut out = Self::default();
        for (folder, mails) in before {
            let there = after.remove(&folder).unwrap_or_default().into_iter();
            let there = there.map(|message| Arrived {
                meaning: match of_fields {
                    true => meaning(&message).made_of_fields(),
                    false => meaning(&message),
                },
                message,
            });
            out.folder(&folder, mails, there.collect());
        }
        for (folder, mails) in after {
            out.came(&folder, mails.iter());
        }
        out
    }

    fn folder(&mut self, folder: &str, mails: Vec<Message>, mut there: Vec<Arrived>) {
        for mail in mails {
            let own = meaning(&mail);
            let fits = |one: &Arrived, flags: bool, date: bool| {
                (!flags || one.message.flags == mail.flags)
                    && (!date || one.message.received.seconds() == mail.received.seconds())
                    && known(&own, &one.meaning).is_some()
            };
            let tries = [(true, true), (false, true), (true, false), (false, false)];
            let mut tries = tries.into_iter();
            let found =
                tries.find_map(|(flags, date)| there.iter().position(|one| fits(one, flags, date)));
            let Some(at) = found else {
                let text = String::from_utf8_lossy(&mail.body);
                let start: String = text.chars().take(700).collect();
                let mut dated = there
                    .iter()
                    .filter(|one| one.message.received.seconds() == mail.received.seconds());
                let nearest = dated.next().map(|one| own.deviations(&one.meaning));
                let differs = format!("{folder} {}: {nearest:?}: {start}", mail.uid);
                self.unequal.push(differs);
                continue;
            };
            let Arrived { meaning, message } = there.swap_remove(at);
            self.dates += usize::from(message.received.seconds() != mail.received.seconds());
            let (lost, gained) = flags_between(&mail, &message);
            self.flags += lost.len();
            let gained = gained.into_iter();
            self.unequal
                .extend(gained.map(|flag| format!("{folder} {}: nobody set {flag}", mail.uid)));
            for loss in known(&own, &meaning).unwrap_or_default() {
                *self.losses.entry(loss.as_str()).or_default() += 1;
            }
        }
        self.came(folder, there.iter().map(|one| &one.message));
    }

    /// What is not as it was is in the report of how it came there, or of how it was looked at.
    #[track_caller]
    fn is_explained(&self, line: &str, reports: [&Value; 2]) {
        let refused = reports.map(failures);
        let Self {
            losses,
            dates,
            flags,
            unequal,
        } = self;
        println!(
            "CHAIN {line}: found {}, refused {refused:?}; dates {dates}, flags {flags}; losses: {losses:?}",
            sum(reports[0], "found")
        );
        let failed: usize = refused.iter().sum();
        assert!(unequal.len() <= failed, "{failed} failed: {unequal:#?}");
        let all = |kind| reports.map(|one| told(one, kind)).iter().sum::<u64>();
        assert!(*dates as u64 <= all("date-replaced"), "{self:?}");
        assert!(*flags as u64 <= all("flag-dropped"), "{self:?}");
    }

    fn came<'a>(&mut self, folder: &str, messages: impl Iterator<Item = &'a Message>) {
        let came = messages.map(|message| format!("{folder}: {} came", message.uid));
        self.unequal.extend(came);
    }
}

/// How often a report says that something of a message was not taken.
fn told(report: &Value, kind: &str) -> u64 {
    let folders = report["folders"].as_array().into_iter().flatten();
    folders
        .filter_map(|folder| folder["altered"][kind].as_u64())
        .sum()
}

fn failures(report: &Value) -> usize {
    report["failures"].as_array().map_or(0, Vec::len)
}

/// One leg of a way: what is at its source has an equal at its destination, or the report says why not.
fn goes(job: &Job) -> Value {
    let report = job.migrate();
    let (code, verified) = job.run("verify", &["--full"]);
    let unknown = verified["differences"].as_array().into_iter().flatten();
    let unknown: Vec<&Value> = unknown.filter(|one| one["known"] != true).collect();
    assert!(code == 0 || failures(&report) > 0, "{unknown:#?}");
    report
}

/// A mailbox as Cyrus shows it, and by which migration it got there.
struct Seen {
    mailbox: Mailbox,
    job: Job,
    report: Value,
}

fn seen(way: &Way, cyrus: &Server) -> Seen {
    let user = fresh("bob");
    let job = Job::between(way.side(), cyrus.side(&user));
    let report = goes(&job);
    let mailbox = cyrus.dump(&user);
    Seen {
        mailbox,
        job,
        report,
    }
}

/// From Dovecot by way of all these in turn; what arrived at each is looked at by way of Cyrus.
fn goes_by(ways: &[Way], what: &str, mails: &[Mail]) {
    let (Some(dovecot), Some(cyrus)) = (Server::find("a"), Server::find("cyrus")) else {
        return;
    };
    let ann = fresh("ann");
    let taken = dovecot.fill(&ann, mails);
    let mut jobs = Vec::new();
    let mut from = (dovecot.name.clone(), dovecot.side(&ann));
    let mut before = None;
    for way in ways {
        let to = (way.kind.name().to_owned(), way.side());
        let job = Job::between(from.1, to.1.clone());
        let report = goes(&job);
        let seen = seen(way, &cyrus);
        let of_fields = matches!(way.kind, Kind::Graph(_));
        // Dovecot tells dates before 1970 otherwise from the second time on: it is asked last.
        let left = before.unwrap_or_else(|| dovecot.dump(&ann));
        let became = Became::between(left, seen.mailbox.clone(), of_fields);
        let line = format!("{what:8} {} -> {}", from.0, to.0);
        became.is_explained(&line, [&report, &seen.report]);
        if jobs.is_empty() {
            assert_eq!(sum(&report, "found") as usize, taken);
        }
        (from, before) = (to, Some(seen.mailbox));
        jobs.extend([job, seen.job]);
    }
    for job in jobs {
        let again = job.migrate();
        assert_eq!(
            sum(&again, "copied"),
            0,
            "copied by a second run: {again:#}"
        );
    }
}

fn everything_goes_by(ways: &[fn(&Runtime, &'static str) -> Way]) {
    let runtime = Runtime::new().unwrap();
    let go = |what, mails: &[Mail]| {
        let ways = ways.iter().zip(USERS);
        let ways: Vec<Way> = ways.map(|(start, user)| start(&runtime, user)).collect();
        goes_by(&ways, what, mails);
    };
    go("made-up", &made_up(19));
    if let Some(mails) = corpora::mails(number("MAILMOVE_PAIR_MAILS", 200)) {
        go("real", &mails);
    }
}

#[test]
fn dovecot_to_exchange_to_cyrus() {
    everything_goes_by(&[Way::exchange]);
}

/// Each ordered pair that has Microsoft 365 in it, at one go.
#[test]
fn dovecot_to_microsoft_365_to_all_there_are() {
    everything_goes_by(&[Way::graph, Way::graph, Way::exchange, Way::graph]);
}
