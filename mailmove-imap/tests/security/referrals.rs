//! A server that sends us elsewhere (RFC 2221, RFC 2193): nobody goes there.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use mailmove_core::{Destination as _, Edges, Error, edge::NetworkPolicy};

use crate::hostile::{Answer, hostile};

/// Lets everything through and remembers it.
#[derive(Debug, Default)]
struct Watch(Mutex<Vec<(String, SocketAddr)>>);

impl NetworkPolicy for Watch {
    fn judge(&self, host: &str, address: SocketAddr) -> Result<(), Error> {
        self.0.lock().unwrap().push((host.to_owned(), address));
        Ok(())
    }
}

#[tokio::test]
async fn referrals_are_not_followed() {
    for (verb, answer) in [
        (
            "",
            "* BYE [REFERRAL imap://ann;AUTH=*@localhost/] go there\r\n",
        ),
        (
            "",
            "* OK [REFERRAL imap://ann;AUTH=*@localhost/] go there\r\n",
        ),
        (
            "LOGIN",
            "TAG NO [REFERRAL imap://ann;AUTH=*@localhost/] go there\r\n",
        ),
        (
            "LOGIN",
            "TAG OK [REFERRAL imap://ann;AUTH=*@localhost/] or there\r\n",
        ),
        (
            "LIST",
            "* LIST (\\Remote \\Noselect) \"/\" far\r\nTAG NO [REFERRAL imap://localhost/] go\r\n",
        ),
        (
            "STATUS",
            "TAG NO [REFERRAL imap://localhost/INBOX] go there\r\n",
        ),
    ] {
        let server = hostile(move |command| {
            let word = command.split(' ').next().unwrap_or_default();
            if word == verb {
                Answer::text(answer)
            } else {
                Answer::Usual
            }
        })
        .await;
        let watch = Arc::new(Watch::default());
        let edges = Edges::new().with_network(Arc::<Watch>::clone(&watch));
        let _ = server.destination(edges).folders().await;
        let asked = watch.0.lock().unwrap().clone();
        assert!(!asked.is_empty());
        for (host, address) in asked {
            assert_eq!(
                (host.as_str(), address),
                ("127.0.0.1", server.address),
                "{answer}"
            );
        }
    }
}
