//! Runs the test server until it is interrupted, to try a client by hand.
//!
//! `cargo run -p mailmove-graph-testserver --example serve -- ann bob`
//!
//! Users have tokens that are called like them, and any mailbox opens to the token `app` and to the client
//! `client` with the secret `secret`.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mailmove_graph_testserver::{Server, fixture};
use mailmove_testkit::mailbox::Store;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Server::builder(Store::new())
        .client("client", "secret")
        .client_certificate("client", &fixture::certificate_der())
        .public_client("public")
        .app_token("app")
        .url_safe_ids()
        .without_shape_gate();
    if let Ok(path) = std::env::var("MAILMOVE_GRAPH_TRANSCRIPT") {
        builder = builder.transcript(path);
    }
    let mut users: Vec<String> = std::env::args().skip(1).collect();
    if users.is_empty() {
        users.push("user".to_owned());
    }
    for user in &users {
        builder = builder.user(user).token(user, user);
    }
    let server = builder.start().await?;
    println!("{}", server.url());
    println!("{}", server.tls_url());
    println!("{}", server.tenant());
    println!("{}", server.ca_pem());
    std::future::pending::<()>().await;
    Ok(())
}
