//! Runs the test server until it is interrupted, to try a client by hand.
//!
//! `cargo run -p mailmove-ews-testserver --example serve -- ann:secret bob:secret`

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mailmove_ews_testserver::{Scheme, Server};
use mailmove_testkit::mailbox::Store;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Server::builder(Store::new())
        .schemes(&[Scheme::Basic, Scheme::Ntlm, Scheme::Negotiate])
        .without_shape_gate();
    if let Ok(path) = std::env::var("MAILMOVE_EWS_TRANSCRIPT") {
        builder = builder.transcript(path);
    }
    let mut users: Vec<String> = std::env::args().skip(1).collect();
    if users.is_empty() {
        users.push("user:password".to_owned());
    }
    for user in &users {
        let (name, password) = user.split_once(':').ok_or("expected NAME:PASSWORD")?;
        builder = builder.user(name, password);
    }
    let server = builder.start().await?;
    println!("{}", server.url());
    println!("{}", server.tls_url());
    println!("{}", server.ca_pem());
    std::future::pending::<()>().await;
    Ok(())
}
