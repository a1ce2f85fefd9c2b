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
                let _ = tell.send((all, ended)).await;
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
