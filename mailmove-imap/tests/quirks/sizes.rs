//! RFC822.SIZE is a guess (Exchange), the literal's length is not.

use mailmove_core::destination::Depth;

use crate::{
    twist::{Twist, between, find, replace},
    world::{World, mail, mails},
};

/// Says other sizes than there are: each as many as `wrong` makes of it.
fn sizes(wrong: fn(u64) -> u64) -> Twist {
    Twist::responses(move |response| {
        // Not what looks like it within a mail.
        let end = find(&response, b"\r\n").unwrap_or(response.len());
        let (head, rest) = response.split_at(end);
        let Some(digits) = between(&[head, b" "].concat(), "RFC822.SIZE ", " ")
            .map(|digits| digits.trim_end_matches(')').to_owned())
        else {
            return response;
        };
        let told = format!("RFC822.SIZE {}", wrong(digits.parse().unwrap()));
        let head = replace(
            head,
            format!("RFC822.SIZE {digits}").as_bytes(),
            told.as_bytes(),
        );
        [head, rest.to_vec()].concat()
    })
}

const WRONG: [fn(u64) -> u64; 3] = [|size| size - 7, |size| size * 2 + 1, |_| 0];

#[tokio::test]
async fn a_source_that_guesses_sizes() {
    for wrong in WRONG {
        let mut world = World::odd_source(sizes(wrong)).await;
        world.from.add(&["INBOX"], mails(0..20));
        world.from.add(&["Sent"], mails(20..25));
        let report = world.run().await;
        assert_eq!(report.total().copied, 25);
        world.assert_equal();
        for stored in world.rows() {
            let digest = stored.row.digest;
            assert!(stored.row.size > 100 && digest.is_some(), "{stored:?}");
        }
        let bytes: u64 = world.rows().iter().map(|stored| stored.row.size).sum();
        let expected = world.from.bodies(&["INBOX"]).into_iter();
        let expected = expected.chain(world.from.bodies(&["Sent"]));
        assert_eq!(bytes, expected.map(|body| body.len() as u64).sum::<u64>());
        for depth in [Depth::Meta, Depth::Content] {
            assert!(world.verify(depth).await.is_clean());
        }
        world.run_again().await;
        // Listed anew, they are the same messages; so they are to somebody who remembers nothing.
        world.from.add(&["INBOX"], vec![mail(99)]);
        assert_eq!(world.run().await.total().copied, 1);
        world.forget();
        let report = world.run().await;
        assert_eq!(
            (report.total().copied, report.total().already_there),
            (0, 26)
        );
        world.assert_equal();
    }
}

#[tokio::test]
async fn a_destination_that_guesses_sizes() {
    for wrong in WRONG {
        let mut world = World::odd_destination(sizes(wrong)).await;
        world.from.add(&["INBOX"], mails(0..20));
        world.run().await;
        world.assert_equal();
        for depth in [Depth::Meta, Depth::Content] {
            let found = world.verify(depth).await;
            assert!(found.is_clean(), "{:?}", found.differences);
        }
        world.run_again().await;
        world.forget();
        let report = world.run().await;
        assert_eq!(
            (report.total().copied, report.total().already_there),
            (0, 20)
        );
        world.assert_equal();
    }
}
