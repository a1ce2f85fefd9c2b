//! Response codes that make no sense, and responses that nobody asked for.

use mailmove_imap_testserver::{Builder, Capability};

use crate::{
    twist::{Act, Twist, between, replace},
    world::{Side, World, mails},
};

/// Each row names the destination message that holds its content.
#[track_caller]
fn assert_targets(world: &World) {
    let to = world.to.account.folder(&["INBOX"]).unwrap().id;
    let from = world.from.account.folder(&["INBOX"]).unwrap().id;
    let uid = |id: &str| id.rsplit('-').next().unwrap().parse::<u32>().unwrap();
    for stored in world.rows() {
        let there = uid(stored.row.target.as_ref().unwrap().1.as_str());
        let here = uid(stored.row.id.as_str());
        let has = world.to.account.fetch(to, &[there]).unwrap();
        let had = world.from.account.fetch(from, &[here]).unwrap();
        assert_eq!(has[0].body, had[0].body, "UID {here} is not UID {there}");
    }
}

#[tokio::test]
async fn an_id_that_makes_no_sense_is_looked_up() {
    let codes = [
        "[APPENDUID 0 5]",
        "[APPENDUID V 0]",
        "[APPENDUID V *]",
        "[APPENDUID V 4294967296]",
        "[APPENDUID V 3:4000000000]",
        "[APPENDUID V 77,78]",
        // There was such a message, before.
        "[APPENDUID V 1]",
        "[APPENDUID 99999999999 5]",
        "[APPENDUID V 5",
        "[APPENDUID]",
        "[COPYUID V * 5]",
        "[]",
        "[",
        "[X (",
    ];
    let single = |it: Builder| it.without(Capability::MultiAppend);
    for code in codes {
        let twist = Twist::responses(move |response| {
            let Some(validity) = between(&response, "[APPENDUID ", " ") else {
                return response;
            };
            let rest = between(&response, "[APPENDUID ", "]").unwrap();
            let told = code.replace('V', validity);
            replace(
                &response,
                format!("[APPENDUID {rest}]").as_bytes(),
                told.as_bytes(),
            )
        });
        let to = Side::new(single, Some(twist)).await;
        let world = World::of(Side::new(|it| it, None).await, to);
        world.to.add(&["INBOX"], mails(90..92));
        world.from.add(&["INBOX"], mails(0..5));
        let report = world.run().await;
        assert_eq!(report.total().copied, 5, "{code}");
        assert_targets(&world);
        assert_eq!(world.to.bodies(&["INBOX"]).len(), 7, "{code}");
        world.run_again().await;
    }
}

#[tokio::test]
async fn what_nobody_asked_for_changes_nothing() {
    let noise = "* OK still here\n\
        * OK [X-VENDOR (1 2)] x\n\
        * NO [ALERT] disk is nearly full\n\
        * 0 RECENT\n\
        * FLAGS (\\Seen \\Odd $x)\n\
        * OK [PERMANENTFLAGS ()] x\n\
        * 1 FETCH (FLAGS (\\Flagged \\Deleted))\n\
        * 1 FETCH (MODSEQ (1))\n\
        * SEARCH 1 2 3\n\
        * ESEARCH (TAG \"zz\") UID ALL 1:3\n\
        * VANISHED (EARLIER) 7000:7001\n\
        * STATUS ghost (MESSAGES 5 UIDNEXT 9 UIDVALIDITY 4)\n\
        * LSUB () \"/\" ghost\n\
        * XLATER (a (b \"c\") {3}\n";
    let noise = noise.replace("{3}", "d)");
    let twist = || {
        let noise = noise.clone();
        Twist::commands(move |command| {
            let early = ["AUTHENTICATE", "CAPABILITY"];
            match early.iter().any(|name| command.starts_with(name)) {
                true => Act::Pass,
                false => Act::Before(noise.clone()),
            }
        })
    };
    let from = Side::new(|it| it, Some(twist())).await;
    let world = World::of(from, Side::new(|it| it, Some(twist())).await);
    world.from.add(&["INBOX"], mails(0..20));
    world.from.add(&["Other"], mails(20..40));
    world.run().await;
    world.assert_equal();
    world.run_again().await;
    world.from.add(&["Other"], mails(40..42));
    assert_eq!(world.run().await.total().copied, 2);
    world.assert_equal();
}
