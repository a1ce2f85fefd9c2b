//! By way of Exchange, which makes each message anew whenever it is read: from Dovecot, and on to Cyrus.

use std::collections::BTreeMap;

use mailmove_core::identity::{Meaning, MeaningReader};
use mailmove_ews_testserver::{Scheme, Server as Exchange};
use mailmove_testkit::mailbox::Store;
use serde_json::Value;

use crate::{
    compare::sum,
    corpora, made_up,
    world::{Job, Mail, Mailbox, Message, Server, Side, fresh, number},
};

const USER: &str = "ann@example.com";
const PASSWORD: &str = "horse battery";

fn side(server: &Exchange) -> Side {
    Side {
        url: format!("ews://{USER}@127.0.0.1:{}/owa", server.tls_address().port()),
        password: PASSWORD.to_owned(),
        ca_pem: server.ca_pem().to_owned(),
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

fn compare(before: Mailbox, mut after: Mailbox) -> Became {
    let mut out = Became::default();
    for (folder, mails) in before {
        let there = after.remove(&folder).unwrap_or_default().into_iter();
        let mut there: Vec<_> = there.map(|message| (meaning(&message), message)).collect();
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

fn goes_by_exchange(what: &str, mails: &[Mail]) {
    let (Some(source), Some(destination)) = (Server::find("a"), Server::find("cyrus")) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let builder = Exchange::builder(Store::new()).user("ann", PASSWORD);
    let builder = builder
        .schemes(&[Scheme::Ntlm])
        .rebuilds_mime()
        .without_default_folders();
    // Corpora say what nobody foresaw.
    let exchange = runtime
        .block_on(builder.without_shape_gate().start())
        .unwrap();
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    let taken = source.fill(&ann, mails);
    let there = Job::between(source.side(&ann), side(&exchange));
    let first = there.migrate();
    assert_eq!(sum(&first, "found") as usize, taken);
    let (code, verified) = there.run("verify", &["--full"]);
    let unknown = verified["differences"].as_array().into_iter().flatten();
    let unknown: Vec<&Value> = unknown.filter(|one| one["known"] != true).collect();
    assert!(code == 0 || failures(&first) > 0, "{unknown:#?}");
    let back = Job::between(side(&exchange), destination.side(&bob));
    let second = back.migrate();
    let became = compare(source.dump(&ann), destination.dump(&bob));
    let Became {
        losses,
        dates,
        unequal,
    } = &became;
    println!(
        "CHAIN {what:8} a -> exchange -> cyrus: taken {taken}, refused {} and {}; dates {dates}; losses: {losses:?}",
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

#[test]
fn dovecot_to_exchange_to_cyrus() {
    goes_by_exchange("made-up", &made_up(19));
    if let Some(mails) = corpora::mails(number("MAILMOVE_PAIR_MAILS", 200)) {
        goes_by_exchange("real", &mails);
    }
}
