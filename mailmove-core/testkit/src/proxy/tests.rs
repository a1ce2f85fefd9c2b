use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A server that answers everything with the same, and tells what it got when the client ended.
async fn echo() -> (SocketAddr, tokio::sync::mpsc::Receiver<(Vec<u8>, bool)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let (mut all, mut buffer) = (Vec::new(), [0; 100]);
                let ended = loop {
                    match stream.read(&mut buffer).await {
                        Ok(0) => break true,
                        Err(_) => break false,
                        Ok(len) => all.extend_from_slice(&buffer[..len]),
                    }
                    if stream.write_all(&buffer[..1]).await.is_err() {
                        break false;
                    }
                };
                // Where nobody asks, the connection ends all the same.
                let _ = tell.try_send((all, ended));
            });
        }
    });
    (address, told)
}

async fn say(proxy: &FaultProxy, text: &[u8]) -> (TcpStream, std::io::Result<Vec<u8>>) {
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(text).await.unwrap();
    let mut heard = Vec::new();
    let result = client.read_to_end(&mut heard).await;
    (client, result.map(|_| heard))
}

#[tokio::test]
async fn the_server_gets_exactly_what_was_sent_before_the_cut() {
    let (server, mut told) = echo().await;
    for after in [0, 1, 4, 5] {
        let proxy = FaultProxy::start(server).await.unwrap();
        proxy.record();
        proxy.arm(Trip::new(Way::ToServer, after, Fault::Cut));
        let (_client, heard) = say(&proxy, b"abcde").await;
        heard.unwrap();
        let kept = &b"abcde"[..usize::try_from(after).unwrap()];
        assert_eq!(told.recv().await, Some((kept.to_vec(), true)));
        let tripped = proxy.tripped().await;
        assert_eq!(
            (tripped.way, tripped.sent.as_slice()),
            (Way::ToServer, kept)
        );
        assert_eq!((proxy.passed(Way::ToServer), proxy.faults()), (after, 1));
    }
}

#[tokio::test]
async fn a_reset_is_an_error_on_both_sides() {
    let (server, mut told) = echo().await;
    let proxy = FaultProxy::start(server).await.unwrap();
    proxy.arm(Trip::new(Way::ToServer, 3, Fault::Reset));
    let (_client, heard) = say(&proxy, b"abcde").await;
    assert!(heard.is_err(), "{heard:?}");
    assert!(!told.recv().await.unwrap().1);
}

#[tokio::test]
async fn after_a_half_close_answers_still_arrive() {
    let (server, mut told) = echo().await;
    let proxy = FaultProxy::start(server).await.unwrap();
    proxy.arm(Trip::new(Way::ToServer, 3, Fault::HalfClose));
    let (_client, heard) = say(&proxy, b"abcde").await;
    assert_eq!(heard.unwrap(), b"a");
    assert_eq!(told.recv().await, Some((b"abc".to_vec(), true)));
}

#[tokio::test]
async fn a_changed_byte_and_single_bytes_keep_the_connection() {
    let (server, mut told) = echo().await;
    let proxy = FaultProxy::start(server).await.unwrap();
    proxy.arm(Trip::new(Way::ToServer, 1, Fault::Corrupt));
    proxy.arm(Trip::new(Way::ToServer, 2, Fault::Trickle));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"abcde").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(told.recv().await, Some((b"a\x37cde".to_vec(), true)));
    assert_eq!(proxy.faults(), 2);
}

#[tokio::test]
async fn refused_connections_end_at_once_and_later_ones_pass() {
    let (server, _told) = echo().await;
    let proxy = FaultProxy::start(server).await.unwrap();
    proxy.refuse(1);
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(!matches!(refused.read(&mut [0; 1]).await, Ok(1)));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 1);
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_stalled_connection_is_silent_until_the_proxy_ends() {
    let (server, mut told) = echo().await;
    let proxy = FaultProxy::start(server).await.unwrap();
    proxy.arm(Trip::new(Way::ToServer, 2, Fault::Stall));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"abc").await.unwrap();
    proxy.tripped().await;
    client.write_all(b"def").await.unwrap();
    assert!(told.try_recv().is_err());
    drop(proxy);
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert_eq!(told.recv().await.unwrap().0, b"ab");
}

#[tokio::test]
async fn words_are_found_wherever_they_are_said() {
    let (server, mut told) = echo().await;
    // In one packet or in single bytes; before the words, within them, and after them.
    for (pieces, after, kept) in [
        (1, 0, "one APPEND two "),
        (99, 0, "one APPEND two APPEN"),
        (99, 3, "one APPEND two APPEN"),
        (1, 3, "one APPEND two APP"),
        (1, 8, "one APPEND two APPEND x"),
        (99, 8, "one APPEND two APPEND x"),
    ] {
        let proxy = FaultProxy::start(server).await.unwrap();
        proxy.cue(Cue::new(Way::ToServer, "APPEND", 2, Fault::Cut).with_after(after));
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let text = b"one APPEND two APPEND xy";
        if pieces == 1 {
            client.write_all(text).await.unwrap();
        } else {
            for n in 0..text.len() {
                if client.write_all(&text[n..=n]).await.is_err() {
                    break;
                }
                while proxy.passed(Way::ToServer) <= n as u64 && proxy.faults() == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        let heard = told.recv().await.unwrap().0;
        let heard = String::from_utf8(heard).unwrap();
        assert_eq!(heard, kept, "{pieces} {after}");
    }
}

#[tokio::test]
async fn the_nth_connection_is_refused() {
    let (server, _told) = echo().await;
    let proxy = FaultProxy::start(server).await.unwrap();
    proxy.refuse_nth(2);
    let mut answered = Vec::new();
    for _ in 0..3 {
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let _ = client.write_all(b"x").await;
        answered.push(matches!(client.read(&mut [0; 1]).await, Ok(1)));
    }
    assert_eq!(answered, [true, false, true]);
}

/// What a client hears of 3,000 bytes, over as many connections as that takes.
async fn with_schedule(server: SocketAddr, schedule: Schedule) -> (Vec<usize>, u64) {
    let proxy = FaultProxy::start(server).await.unwrap();
    proxy.schedule(schedule);
    let mut passed = Vec::new();
    for _ in 0..30 {
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let mut count = 0;
        // One byte and its echo at a time: the same traffic in each run.
        while count < 100 && client.write_all(b"x").await.is_ok() {
            match client.read(&mut [0; 1]).await {
                Ok(1) => count += 1,
                _ => break,
            }
        }
        passed.push(count);
    }
    (passed, proxy.faults())
}

#[tokio::test]
async fn a_seed_gives_the_same_faults_again() {
    let (server, _told) = echo().await;
    let plan = |seed| Schedule::by_bytes(seed, 40..=600).with_refused(7);
    let first = with_schedule(server, plan(3)).await;
    assert_eq!(first, with_schedule(server, plan(3)).await);
    assert_ne!(first, with_schedule(server, plan(4)).await);
    assert!(first.1 >= 5, "{first:?}");
    assert!(first.0.contains(&0), "none was refused: {first:?}");
    assert!(first.0.contains(&100), "none passed: {first:?}");
}

#[tokio::test]
async fn faults_come_as_time_passes() {
    let (server, _told) = echo().await;
    let often = Duration::from_millis(1)..=Duration::from_millis(3);
    let plan = Schedule::by_time(1, often).with_faults(&[Fault::Cut]);
    assert!(with_schedule(server, plan).await.1 > 0);
}
