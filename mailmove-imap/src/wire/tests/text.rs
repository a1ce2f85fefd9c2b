//! Dates and modified UTF-7.

use super::*;

fn date(text: &str) -> Option<(i64, i16)> {
    InternalDate::parse(text.as_bytes()).map(|date| (date.unix_seconds(), date.offset_minutes()))
}

#[test]
fn dates_are_read_generously() {
    let expected = Some((837_596_665, -420));
    assert_eq!(date("17-Jul-1996 02:44:25 -0700"), expected);
    assert_eq!(date("17-JULY-1996  02:44:25 -0700"), expected);
    assert_eq!(date(" 1-Jan-1970 00:00:00 +0000"), Some((0, 0)));
    assert_eq!(date("1-Jan-1970 0:00:00"), Some((0, 0)));
    assert_eq!(date("1-Jan-1970 00:00 GMT"), Some((0, 0)));
    assert_eq!(date("01-Jan-1970 00:00:00 +0530"), Some((-19_800, 330)));
    assert_eq!(date("31-Dec-2016 23:59:60 +0000"), Some((1_483_228_800, 0)));
    assert_eq!(date("29-Feb-2024 00:00:00 +0000"), Some((1_709_164_800, 0)));
    for bad in [
        "",
        "NIL",
        "29-Feb-2023 00:00:00 +0000",
        "00-Jan-2020 00:00:00 +0000",
        "01-Jan-0000 00:00:00 +0000",
        "01-Jan-20 00:00:00 +0000",
        "01-Foo-2020 00:00:00 +0000",
        "01-Jan-2020 24:00:00 +0000",
        "01-Jan-2020 00:00:61 +0000",
        "01-Jan-2020 00:00:00 +2400",
        "01-Jan-2020 00:00:00 +00",
        "01-Jan-2020",
        "01-Jan-2020 00:00:00 EST",
        "01-Jan-2020 00:00:00 +0000 x",
        "01-Jan-2020-1 00:00:00",
        "1-J-2020 00:00:00",
        "01-Jan-2020 00:60:00",
        "+1-Jan-2020 00:00:00",
        "01-Jan-2020 00:00:00 +0060",
        "01-Jan-0001 00:00:00 +0001x",
    ] {
        assert_eq!(date(bad), None, "{bad}");
    }
}

#[test]
fn dates_are_written_strictly_and_within_bounds() {
    let show = |seconds, offset| InternalDate::new(seconds, offset).map(|date| date.to_string());
    assert_eq!(show(0, 0).as_deref(), Ok("01-Jan-1970 00:00:00 +0000"));
    assert_eq!(
        show(837_596_665, -420).as_deref(),
        Ok("17-Jul-1996 02:44:25 -0700")
    );
    assert_eq!(
        show(-62_135_596_800, 0).as_deref(),
        Ok("01-Jan-0001 00:00:00 +0000")
    );
    assert_eq!(show(-62_135_596_801, 0), Err(DateError));
    assert_eq!(
        show(-62_135_596_801, 1).as_deref(),
        Ok("01-Jan-0001 00:00:59 +0001")
    );
    assert_eq!(
        show(253_402_300_799, 0).as_deref(),
        Ok("31-Dec-9999 23:59:59 +0000")
    );
    assert_eq!(show(253_402_300_800, 0), Err(DateError));
    assert_eq!(show(i64::MAX, 1439), Err(DateError));
    assert_eq!(show(i64::MIN, -1439), Err(DateError));
    assert_eq!(show(0, 1440), Err(DateError));
    assert_eq!(show(0, -1439).as_deref(), Ok("31-Dec-1969 00:01:00 -2359"));
    // Every day of 400 years follows the one before.
    let mut last = String::new();
    for day in 0..146_097 {
        let text = SearchDate::from_unix(day * 86_400)
            .expect("a day")
            .to_string();
        let padded = format!("{text} 00:00:00 +0000");
        assert_eq!(
            InternalDate::parse(padded.as_bytes()).map(InternalDate::unix_seconds),
            Some(day * 86_400)
        );
        assert_ne!(text, last);
        last = text;
    }
}

#[test]
fn names_in_modified_utf7() {
    let table = [
        (
            "~peter/mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}",
            "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
        ),
        ("Entw\u{fc}rfe", "Entw&APw-rfe"),
        ("a & b", "a &- b"),
        ("&", "&-"),
        ("\u{1f600}!", "&2D3eAA-!"),
        ("\u{e9}\u{e9}", "&AOkA6Q-"),
        ("tab\t", "tab&AAk-"),
        ("", ""),
        ("\u{7f}", "&AH8-"),
        ("\u{e9}&", "&AOk-&-"),
    ];
    for (text, encoded) in table {
        assert_eq!(utf7::encode(text), encoded);
        assert_eq!(utf7::decode(encoded.as_bytes()).as_deref(), Ok(text));
    }
    // Second ways to write a name: understood, but not taken for the name.
    for (second, text) in [
        ("&AGE-", "a"),
        ("&AOk-&AOk-", "\u{e9}\u{e9}"),
        ("&AOl-", "\u{e9}"),
    ] {
        assert!(utf7::decode(second.as_bytes()).is_err(), "{second}");
        assert_eq!(utf7::decode_lenient(second.as_bytes()).as_deref(), Ok(text));
    }
    for bad in [
        &b"&"[..],
        b"a&AOk",
        b"&!!!-",
        b"&A-",
        b"&AO-",
        b"&2D3-",
        b"&2D0-",
        b"&3gA-",
        b"caf\xe9",
        b"a\x00",
        b"&AO/-",
        b"&AOkA-",
    ] {
        assert!(utf7::decode_lenient(bad).is_err(), "{}", bad.escape_ascii());
    }
}
