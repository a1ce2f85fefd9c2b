//! By way of Exchange and of Microsoft 365, which make each message anew whenever it is read: from Dovecot, and on
//! to Cyrus.

use std::collections::BTreeMap;

use mailmove_core::identity::{Meaning, MeaningReader};
use mailmove_ews_testserver::{Scheme, Server as Exchange};
use mailmove_graph_testserver::Server as Graph;
use mailmove_testkit::mailbox::Store;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{
    compare::sum,
    corpora, made_up,
    world::{Job, Mail, Mailbox, Message, Server, Side, fresh, number},
};

const USER: &str = "ann@example.com";
const PASSWORD: &str = "horse battery";

/// What is gone through.
enum Way {
    Exchange(Exchange),
    Graph(Graph),
}

impl Way {
    fn exchange(runtime: &Runtime) -> Self {
        let builder = Exchange::builder(Store::new()).user("ann", PASSWORD);
        let builder = builder
            .schemes(&[Scheme::Ntlm])
            .rebuilds_mime()
            .without_default_folders();
        // Corpora say what nobody foresaw.
        let started = runtime.block_on(builder.without_shape_gate().start());
        Self::Exchange(started.unwrap())
    }

    fn graph(runtime: &Runtime) -> Self {
        let builder = Graph::builder(Store::new()).user("ann");
        let builder = builder
            .client("app", PASSWORD)
            .rebuilds_mime()
            .without_default_folders();
        let started = runtime.block_on(builder.without_shape_gate().start());
        Self::Graph(started.unwrap())
    }

    fn side(&self) -> Side {
        let (url, ca_pem) = match self {
            Self::Exchange(server) => {
                let port = server.tls_address().port();
                (
                    format!("ews://{USER}@127.0.0.1:{port}/owa"),
                    server.ca_pem(),
                )
            }
            Self::Graph(server) => {
                let port = server.tls_address().port();
                let options = format!("client=app&at=127.0.0.1:{port}&signed=as-plain");
                let url = format!("graph://{}/{USER}?{options}", server.tenant());
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
    /// What has no equal on the other side.
    unequal: Vec<String>,
}

/// `of_fields`: the messages after were fields on their way.
fn compare(before: Mailbox, mut after: Mailbox, of_fields: bool) -> Became {
    let mut out = Became::default();
    for (folder, mails) in before {
        let there = after.remove(&folder).unwrap_or_default().into_iter();
        let mut there: Vec<_> = there
            .map(|message| match (of_fields, meaning(&message)) {
                (true, meaning) => (meaning.made_of_fields(), message),
                (false, meaning) => (meaning, message),
            })
            .collect();
        for mail in mails {
            let own = meaning(&mail);
            let known = |(meaning, _): &(Meaning, Message)| {
                let deviations = own.deviations(meaning);
                deviations
                    .iter()
                    .map(|one| one.loss)
                    .collect::<Option<Vec<_>>>()
            };
            let dated = |(_, other): &(Meaning, Message)| {
                mail.received.seconds() == other.received.seconds()
            };
            let best = there
                .iter()
                .position(|one| dated(one) && known(one).is_some());
            let found = best.or_else(|| there.iter().position(|one| known(one).is_some()));
            let Some(at) = found else {
                let text = String::from_utf8_lossy(&mail.body);
                let start: String = text.chars().take(700).collect();
                out.unequal.push(format!("{folder} {}: {start}", mail.uid));
                continue;
            };
            let one = there.swap_remove(at);
            out.dates += usize::from(!dated(&one));
            for loss in known(&one).unwrap_or_default() {
                *out.losses.entry(loss.as_str()).or_default() += 1;
            }
        }
        let came = there
            .iter()
            .map(|(_, message)| format!("{folder}: {} came", message.uid));
        out.unequal.extend(came);
    }
    out.unequal
        .extend(after.into_iter().flat_map(|(folder, mails)| {
            mails
                .into_iter()
                .map(move |message| format!("{folder}: {} came", message.uid))
        }));
    out
}

fn dates_told(report: &Value) -> u64 {
    let folders = report["folders"].as_array().into_iter().flatten();
    folders
        .filter_map(|folder| folder["altered"]["date-replaced"].as_u64())
        .sum()
}

fn failures(report: &Value) -> usize {
    report["failures"].as_array().map_or(0, Vec::len)
}

fn goes_by(name: &str, way: impl Fn(&Runtime) -> Way, what: &str, mails: &[Mail]) {
    let (Some(source), Some(destination)) = (Server::find("a"), Server::find("cyrus")) else {
        return;
    };
    let runtime = Runtime::new().unwrap();
    let way = way(&runtime);
    let of_fields = matches!(way, Way::Graph(_));
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    let taken = source.fill(&ann, mails);
    let there = Job::between(source.side(&ann), way.side());
    let first = there.migrate();
    assert_eq!(sum(&first, "found") as usize, taken);
    let (code, verified) = there.run("verify", &["--full"]);
    let unknown = verified["differences"].as_array().into_iter().flatten();
    let unknown: Vec<&Value> = unknown.filter(|one| one["known"] != true).collect();
    assert!(code == 0 || failures(&first) > 0, "{unknown:#?}");
    let back = Job::between(way.side(), destination.side(&bob));
    let second = back.migrate();
    let became = compare(source.dump(&ann), destination.dump(&bob), of_fields);
    let Became {
        losses,
        dates,
        unequal,
    } = &became;
    println!(
        "CHAIN {what:8} a -> {name} -> cyrus: taken {taken}, refused {} and {}; dates {dates}; losses: {losses:?}",
        failures(&first),
        failures(&second)
    );
    let failed = failures(&first) + failures(&second);
    assert!(unequal.len() <= failed, "{failed} failed: {unequal:#?}");
    assert_eq!(*dates as u64, dates_told(&first) + dates_told(&second));
    for job in [there, back] {
        let again = job.migrate();
        assert_eq!(
            sum(&again, "copied"),
            0,
            "copied by a second run: {again:#}"
        );
    }
}

fn everything_goes_by(name: &str, way: impl Fn(&Runtime) -> Way) {
    goes_by(name, &way, "made-up", &made_up(19));
    if let Some(mails) = corpora::mails(number("MAILMOVE_PAIR_MAILS", 200)) {
        goes_by(name, &way, "real", &mails);
    }
}

#[test]
fn dovecot_to_exchange_to_cyrus() {
    everything_goes_by("exchange", Way::exchange);
}

#[test]
fn dovecot_to_microsoft_365_to_cyrus() {
    everything_goes_by("graph", Way::graph);
}
