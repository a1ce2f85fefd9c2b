//! Tokens and mailboxes, by HTTP.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mailmove_graph_testserver::{Action, Server};
use mailmove_testkit::clock::TestClock;
use serde_json::Value;
use support::{Reply, builder, client, fill, raw, start};

async fn token(server: &Server, form: &str) -> Reply {
    login(server, "token", form).await
}

async fn login(server: &Server, what: &str, form: &str) -> Reply {
    let head = format!(
        "POST /{}/oauth2/v2.0/{what} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        server.tenant(),
        form.len()
    );
    raw(server, &head, form.as_bytes()).await.unwrap()
}

const SECRET: &str = "client_id=app&client_secret=s%2Be&grant_type=client_credentials&\
                      scope=https%3A%2F%2Fgraph.microsoft.com%2F.default";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_gives_a_token_that_ends() {
    let clock = TestClock::new(Duration::from_secs(1_767_225_600));
    let server = builder()
        .client("app", "s+e")
        .clock(Arc::new(clock.clone()))
        .start()
        .await
        .unwrap();
    let given = token(&server, SECRET).await.ok(200);
    let mut client = client(&server);
    client.token = given["access_token"].as_str().unwrap().to_owned();
    client.get("/users/ann").await.ok(200);
    assert_eq!(client.get("/me").await.status, 400);
    clock.advance(Duration::from_secs(3600));
    let refused = client.get("/users/ann").await;
    assert_eq!(
        refused.error(),
        (401, "InvalidAuthenticationToken".to_owned())
    );
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );
    let wrong = token(&server, &SECRET.replace("s%2Be", "other"))
        .await
        .ok(401);
    assert_eq!(wrong["error"], "invalid_client");
    assert_eq!(wrong["error_codes"][0], 7_000_215);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_log_in_on_another_device() {
    let clock = TestClock::new(Duration::from_secs(1_767_225_600));
    let server = builder()
        .public_client("pc")
        .clock(Arc::new(clock.clone()))
        .start()
        .await
        .unwrap();
    let begun = login(
        &server,
        "devicecode",
        "client_id=pc&scope=Mail.ReadWrite%20offline_access",
    )
    .await
    .ok(200);
    let poll = format!(
        "client_id=pc&grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code={}",
        begun["device_code"].as_str().unwrap()
    );
    assert_eq!(
        token(&server, &poll).await.ok(400)["error"],
        "authorization_pending"
    );
    assert_eq!(token(&server, &poll).await.ok(400)["error"], "slow_down");
    assert!(server.approve_device(begun["user_code"].as_str().unwrap(), "ann"));
    clock.advance(Duration::from_secs(5));
    let given = token(&server, &poll).await.ok(200);
    let mut own = client(&server);
    own.token = given["access_token"].as_str().unwrap().to_owned();
    own.get("/me/mailFolders").await.ok(200);
    server.revoke_tokens();
    assert_eq!(own.get("/me/mailFolders").await.status, 401);
    let renew = format!(
        "client_id=pc&grant_type=refresh_token&refresh_token={}",
        given["refresh_token"].as_str().unwrap()
    );
    let again = token(&server, &renew).await.ok(200);
    own.token = again["access_token"].as_str().unwrap().to_owned();
    own.get("/me/mailFolders").await.ok(200);
    server.revoke_refresh_tokens();
    assert_eq!(
        token(&server, &renew).await.ok(400)["error"],
        "invalid_grant"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_reach_their_own_mailbox_alone() {
    let server = builder()
        .token("t", "ann")
        .denied("bob")
        .start()
        .await
        .unwrap();
    let mut own = client(&server);
    own.token = "t".to_owned();
    own.get("/me/mailFolders").await.ok(200);
    own.get("/users/ANN@example.com/mailFolders").await.ok(200);
    assert_eq!(
        own.get("/users/bob/mailFolders").await.error().1,
        "ErrorAccessDenied"
    );
    let app = client(&server);
    assert_eq!(
        app.get("/users/bob/mailFolders").await.error().1,
        "ErrorAccessDenied"
    );
    assert_eq!(
        app.get("/users/eve/mailFolders").await.error().1,
        "ErrorInvalidUser"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_serves_so_many_at_a_time_and_says_when_to_come_again() {
    let server = builder().concurrency(2).start().await.unwrap();
    server.faults().arm_from("GetFolder", 1, Action::Hold);
    let client = client(&server);
    let held = async { client.get("/users/ann/mailFolders/inbox").await.status };
    let other = async {
        while server.counters().peak_slots < 2 {
            tokio::task::yield_now().await;
        }
        let refused = client.get("/users/ann/mailFolders").await;
        assert_eq!(refused.error(), (429, "ApplicationThrottled".to_owned()));
        assert_eq!(refused.header("retry-after"), Some("1"));
        client.get("/users/bob/mailFolders").await.ok(200);
        server.faults().release();
    };
    let (first, second, ()) = tokio::join!(
        held,
        async { client.get("/users/ann/mailFolders/drafts").await.status },
        other
    );
    assert_eq!((first, second), (200, 200));
    assert_eq!(server.counters().over_concurrency, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_refill_with_time() {
    let clock = TestClock::new(Duration::from_secs(1_767_225_600));
    let server = builder()
        .request_budget(3, Duration::from_secs(600))
        .clock(Arc::new(clock.clone()))
        .start()
        .await
        .unwrap();
    let client = client(&server);
    for _ in 0..3 {
        client.get("/users/ann/mailFolders").await.ok(200);
        clock.advance(Duration::from_secs(1));
    }
    let refused = client.get("/users/ann/mailFolders").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("597"))
    );
    clock.advance(Duration::from_secs(596));
    assert_eq!(client.get("/users/ann/mailFolders").await.status, 429);
    clock.advance(Duration::from_secs(1));
    client.get("/users/ann/mailFolders").await.ok(200);
    assert_eq!(server.counters().during_backoff, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_strike_where_they_are_armed() {
    let server = start().await;
    fill(&server, &["INBOX"], 3);
    let client = client(&server);
    let faults = server.faults();
    let make = serde_json::json!({"subject": "x"});
    let target = "/users/ann/mailFolders/inbox/messages";
    faults.arm("CreateMessage", 1, Action::StatusAfter(504));
    assert_eq!(client.post(target, &make).await.status, 504);
    assert_eq!(server.counters().created, 1);
    faults.arm("CreateMessage", 1, Action::LandOnRelease);
    let json = client.clone().with("Content-Type: application/json");
    assert!(json.try_send("POST", target, b"{}").await.is_none());
    assert_eq!(server.counters().created, 1);
    faults.release();
    while server.counters().created < 2 {
        tokio::task::yield_now().await;
    }
    faults.arm("MessageDelta", 1, Action::Claims("{\"x\":1}".to_owned()));
    let challenge = client.get(&format!("{target}/delta")).await;
    assert!(
        challenge
            .header("www-authenticate")
            .unwrap()
            .contains("insufficient_claims")
    );
    assert!(server.poison_item("ann", &["INBOX"], 2, "ErrorCorruptData"));
    assert_eq!(
        client.get(&format!("{target}?$top=50")).await.error().1,
        "ErrorCorruptData"
    );
    let ids = client.get(&format!("{target}?$top=50&$select=id")).await;
    assert_eq!(ids.ok(200)["value"].as_array().unwrap().len(), 5);
    let page: Value = client
        .get(&format!("{target}?$top=1&$orderby=receivedDateTime"))
        .await
        .ok(200);
    assert_eq!(page["value"][0]["subject"], "number 1");
}
