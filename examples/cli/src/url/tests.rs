use super::*;

fn ews_of(url: MailboxUrl) -> Ews {
    match url.system {
        System::Ews(ews) => ews,
        other => panic!("{other:?}"),
    }
}

fn graph_of(url: MailboxUrl) -> Graph {
    match url.system {
        System::Graph(graph) => graph,
        other => panic!("{other:?}"),
    }
}

fn parse(text: &str) -> Result<MailboxUrl> {
    MailboxUrl::parse("--from", text)
}

#[test]
fn reads_what_people_write() {
    for (text, shown) in [
        (
            "imaps://ann@mail.example.com",
            "imaps://ann@mail.example.com:993",
        ),
        (
            "imap://ann@mail.example.com",
            "imap://ann@mail.example.com:143",
        ),
        (
            "IMAPS://ann@Mail.Example.COM./",
            "imaps://ann@mail.example.com:993",
        ),
        (
            "imaps://ann%40example.com@host:1993",
            "imaps://ann@example.com@host:1993",
        ),
        (
            "imaps://ann@example.com@host",
            "imaps://ann@example.com@host:993",
        ),
        ("imaps://EXAMPLE\\ann@host", "imaps://EXAMPLE\\ann@host:993"),
        ("imaps://a%3Ab%25c@host", "imaps://a:b%c@host:993"),
        ("imaps://m%C3%BCller@host", "imaps://müller@host:993"),
        ("imaps://ann@192.0.2.7:993", "imaps://ann@192.0.2.7:993"),
        ("imaps://ann@[2001:db8::1]", "imaps://ann@[2001:db8::1]:993"),
        ("imap://ann@[::1]:1143", "imap://ann@[::1]:1143"),
        (
            "imaps://admin@host?as=ann%40example.com",
            "imaps://admin@host:993 (as ann@example.com)",
        ),
        (
            "imaps://admin@host?authzid=ann",
            "imaps://admin@host:993 (as ann)",
        ),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
    }
}

#[test]
fn exchange_is_reached_by_the_address_of_outlook_on_the_web() {
    for (text, shown, path) in [
        (
            "ews://ann@mail.example.com",
            "ews://ann@mail.example.com:443",
            "",
        ),
        (
            "ews://EXAMPLE\\ann@h/owa/#path=/mail",
            "ews://EXAMPLE\\ann@h:443",
            "owa/",
        ),
        ("ews://a@127.0.0.1:81?tls=off", "ews://a@127.0.0.1:81", ""),
        (
            "ews://admin@h?as=ann%40example.com",
            "ews://admin@h:443 (as ann@example.com)",
            "",
        ),
    ] {
        let url = parse(text).unwrap();
        assert_eq!(url.to_string(), shown);
        assert_eq!(ews_of(url).path, path);
    }
    let odd = parse("ews://a@192.0.2.7/owa?name=Mail.example.com&auth=ntlm&archive=on").unwrap();
    let ews = ews_of(odd);
    assert_eq!(ews.name.as_deref(), Some("mail.example.com"));
    assert_eq!((ews.login, ews.archive), (EwsLogin::Ntlm, true));
    for bad in [
        "ews://a:pw@h",
        "ews://a@h?auth=md5",
        "ews://a@h?style=master",
        "ews://a@h?name=h:1",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn styles_of_administrators_are_read() {
    let style = |text: &str| parse(&format!("imaps://a@h?as=b{text}")).map(|url| url.system);
    for (text, expected) in [
        ("", System::Imap(Style::Authzid)),
        ("&style=authzid", System::Imap(Style::Authzid)),
        ("&style=master", System::Imap(Style::Master('*'))),
        ("&style=master:%25", System::Imap(Style::Master('%'))),
        ("&style=exchange", System::Imap(Style::Exchange)),
        ("&style=proxyauth", System::Imap(Style::ProxyAuth)),
    ] {
        assert_eq!(style(text).unwrap(), expected, "{text}");
    }
    for bad in [
        "&style=",
        "&style=x",
        "&style=master:",
        "&style=master:ab",
        "&style=master:%00",
    ] {
        assert_eq!(style(bad).unwrap_err().code(), "config/url", "{bad}");
    }
    assert!(parse("imaps://a@h?style=master").is_err());
}

#[test]
fn a_mailbox_in_microsoft_365_is_in_a_tenant() {
    for (text, shown) in [
        (
            "graph://Example.COM/ann@example.com",
            "graph://example.com/ann@example.com",
        ),
        (
            "graph://ann@example.com",
            "graph://example.com/ann@example.com",
        ),
        (
            "graph://example.com/a%2Bb@example.com/",
            "graph://example.com/a+b@example.com",
        ),
        (
            "graph://72f988bf-86f1-41af-91ab-2d7cd011db47/ann@example.com?auth=device",
            "graph://72f988bf-86f1-41af-91ab-2d7cd011db47/ann@example.com",
        ),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), shown);
    }
    let url = parse("graph://t/u?client=ab-1&auth=certificate&cloud=china&route=imap").unwrap();
    assert_eq!((url.host.as_str(), url.port), ("partner.outlook.cn", 993));
    let graph = graph_of(url);
    assert_eq!(graph.client.as_deref(), Some("ab-1"));
    assert_eq!(
        (graph.login, graph.route),
        (GraphLogin::Certificate, GraphRoute::Imap)
    );
    let own = parse("graph://t/u?at=127.0.0.1:8443&signed=as-plain").unwrap();
    assert_eq!((own.host.as_str(), own.port), ("127.0.0.1", 8443));
    let own = graph_of(own);
    assert!(own.unsigned && !own.mime_drafts);
    assert!(graph_of(parse("graph://t/u?drafts=mime").unwrap()).mime_drafts);
    let own = graph_of(parse("graph://t/u?requests=5000&upload=75").unwrap());
    assert_eq!((own.requests, own.upload), (Some(5000), Some(75)));
    for bad in [
        "graph://",
        "graph://t",
        "graph://t/",
        "graph://t/a/b",
        "graph://t/a%0a",
        "graph://a@t/b",
        "graph://t:1/a",
        "graph://t_/a",
        "graph://t/a?client=",
        "graph://t/a?client=a%20b",
        "graph://t/a?cloud=mine",
        "graph://t/a?route=drafts",
        "graph://t/a?drafts=",
        "graph://t/a?requests=0",
        "graph://t/a?upload=-1",
        "graph://t/a?tls=off",
    ] {
        assert!(parse(bad).unwrap_err().remedy().is_some(), "{bad}");
    }
}

#[test]
fn protection_follows_scheme_and_option() {
    let protection = |text| parse(text).unwrap().protection;
    assert_eq!(protection("imaps://a@h"), Protection::Tls);
    assert_eq!(protection("imap://a@h"), Protection::StartTls);
    assert_eq!(protection("imap://a@h?tls=off"), Protection::Off);
    assert!(parse("imaps://a@h?tls=off").is_err());
    assert!(parse("imap://a@h?tls=no").is_err());
}

#[test]
fn refuses_with_a_remedy() {
    for text in [
        "",
        "mail.example.com",
        "ann@host",
        "ftp://ann@host",
        "https://ann@host",
        "imaps://host",
        "imaps://@host",
        "imaps://ann@",
        "imaps://ann@host:0",
        "imaps://ann@host:70000",
        "imaps://ann@host:+993",
        "imaps://ann@host:",
        "imaps://ann@ho st",
        "imaps://ann@::1",
        "imaps://ann@[::1",
        "imaps://ann@[::1]x",
        "imaps://ann@hôte",
        "imaps://ann@host/INBOX",
        "imaps://ann@host#x",
        "imaps://ann@host?x=y",
        "imaps://a%@host",
        "imaps://a%zz@host",
        "imaps://a%ff@host",
        "imaps://a%0d%0ab@host",
        "imaps://a@host?as=",
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        assert!(error.remedy().is_some(), "{text}");
    }
}

#[test]
fn a_password_is_refused_and_never_repeated() {
    for text in [
        "imaps://ann:hunter2@host",
        "imaps://ann@example.com:hunter2@host",
        "imaps://ann:hun@ter2@host",
        "imaps://ann:hunter2@host/x?y",
        "ann:hunter2@host",
        "hunter2",
        "imaps://ann:hun/ter2@host",
        "imaps://:hunter2@host",
        "graph://ann:hunter2@example.com",
        "graph://t:hunter2/ann",
    ] {
        let error = parse(text).unwrap_err();
        let shown = format!("{} {:?}", error.chain(), error);
        assert!(
            !shown.contains("hunter2") && !shown.contains("ter2"),
            "{shown}"
        );
    }
    assert_eq!(
        parse("imaps://ann:x@host").unwrap_err().code(),
        "config/password-in-url"
    );
}

#[test]
fn suspects_the_port() {
    assert!(parse("imaps://a@h:143").unwrap().suspicion().is_some());
    assert!(parse("imap://a@h:993").unwrap().suspicion().is_some());
    assert!(parse("imaps://a@h").unwrap().suspicion().is_none());
}
