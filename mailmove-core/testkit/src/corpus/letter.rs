//! Ordinary mail: what most of a mailbox is.

use bytes::Bytes;
use mailmove_core::model::Timestamp;

use super::{
    Kind,
    mime::{Mail, base64_lines, boundary, quoted_printable, rfc5322},
    rng::Rng,
    text::{PEOPLE, Pools, words},
};

/// What a message is made from.
#[derive(Debug)]
pub(super) struct Recipe<'a> {
    pub(super) rng: Rng,
    pub(super) pools: &'a Pools,
    pub(super) received: Timestamp,
    pub(super) message_id: String,
    /// Bytes it shall have, roughly.
    pub(super) size: usize,
}

impl Recipe<'_> {
    /// The header fields that nearly all mail has.
    pub(super) fn mail(&mut self) -> Mail {
        let subject = words(&mut self.rng, 5);
        self.mail_with(&subject)
    }

    /// The same with that subject.
    pub(super) fn mail_with(&mut self, subject: &str) -> Mail {
        let date = rfc5322(self.received);
        let id = self.message_id.clone();
        let mut mail = self.unsigned(subject);
        mail.field("Date", date).field("Message-ID", id);
        mail
    }

    /// Without Date and Message-ID.
    pub(super) fn unsigned(&mut self, subject: &str) -> Mail {
        let rng = &mut self.rng;
        let (name, user) = *rng.pick(&PEOPLE);
        let (to_name, to) = *rng.pick(&PEOPLE);
        let mut mail = Mail::default();
        mail.field("Return-Path", format!("<{user}@example.org>"));
        let at = rfc5322(self.received);
        for hop in 0..rng.between(1, 4) {
            let (host, id) = (rng.below(250), rng.next() >> 24);
            mail.field(
                "Received",
                format!(
                    "from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{host}])\r\n\tby \
                     mail.example.com with ESMTPS id {id:x};\r\n\t{at}"
                ),
            );
        }
        mail.field("From", format!("{name} <{user}@example.org>"))
            .field("To", format!("\"{to_name}\" <{to}@example.com>"));
        if rng.chance(200) {
            let (name, user) = *rng.pick(&PEOPLE);
            mail.field("Cc", format!("{name} <{user}@example.com>"));
        }
        mail.field("Subject", subject);
        if rng.chance(300) {
            let id = rng.next();
            mail.field("In-Reply-To", format!("<{id:x}@example.com>"))
                .field(
                    "References",
                    format!("<{id:x}@example.com>\r\n <{:x}@example.org>", id ^ 1),
                );
        }
        mail
    }

    pub(super) fn ascii(&mut self) -> Vec<u8> {
        self.pools.ascii(&mut self.rng, self.size)
    }

    /// A text in ASCII.
    pub(super) fn letter(&mut self) -> Bytes {
        let text = self.ascii();
        let mut mail = self.mail();
        plain(&mut mail, "us-ascii", "7bit").text(text);
        mail.build()
    }
}

/// MIME fields of a text.
pub(super) fn plain<'a>(mail: &'a mut Mail, charset: &str, encoding: &str) -> &'a mut Mail {
    mail.field("MIME-Version", "1.0")
        .field("Content-Type", format!("text/plain; charset={charset}"))
        .field("Content-Transfer-Encoding", encoding)
}

/// Makes a message of a common kind; any other kind becomes a letter.
pub(super) fn common(kind: Kind, mut recipe: Recipe<'_>) -> Bytes {
    let recipe = &mut recipe;
    match kind {
        Kind::Utf8 => utf8(recipe),
        Kind::Latin1 => latin1(recipe),
        Kind::Iso2022Jp => iso_2022_jp(recipe),
        Kind::EncodedWords => encoded_words(recipe),
        Kind::Html => html_alone(recipe),
        Kind::Alternative => alternative(recipe),
        Kind::Attachment => attachment(recipe),
        Kind::Smime => smime(recipe),
        Kind::Pgp => pgp(recipe),
        Kind::Invitation => invitation(recipe),
        _ => recipe.letter(),
    }
}

fn utf8(recipe: &mut Recipe<'_>) -> Bytes {
    let text = recipe.pools.utf8(&mut recipe.rng, recipe.size);
    let mut mail = recipe.mail();
    plain(&mut mail, "utf-8", "8bit").text(text);
    mail.build()
}

fn latin1(recipe: &mut Recipe<'_>) -> Bytes {
    let mut text = b"Sch\xf6ne Gr\xfc\xdfe \xe0 la carte, se\xf1or.\r\n".repeat(3);
    text.extend(recipe.ascii());
    let mut mail = recipe.mail_with("=?iso-8859-1?Q?Sch=F6ne_Gr=FC=DFe?=");
    plain(&mut mail, "iso-8859-1", "quoted-printable").text(quoted_printable(&text));
    mail.build()
}

fn iso_2022_jp(recipe: &mut Recipe<'_>) -> Bytes {
    // "Konnichiwa" and "meeting" in JIS X 0208, with the escapes into it and back.
    const LINE: &[u8] = b"\x1b$B$3$s$K$A$O\x1b(B, \x1b$B2q5D\x1b(B 10:00\r\n";
    let mut mail = recipe.mail_with("=?ISO-2022-JP?B?GyRCMnE1RBsoQg==?=");
    plain(&mut mail, "ISO-2022-JP", "7bit");
    let lines = (recipe.size / LINE.len()).max(1);
    mail.text(LINE.repeat(lines));
    mail.build()
}

fn encoded_words(recipe: &mut Recipe<'_>) -> Bytes {
    const SUBJECTS: [&str; 4] = [
        "=?utf-8?B?RW50d8O8cmZlIGbDvHIgc3DDpHRlcg==?=",
        "=?UTF-8?Q?D=C3=A9j=C3=A0_vu=3A_=C3=A9t=C3=A9?=\r\n =?UTF-8?Q?_2024?=",
        "=?koi8-r?B?8NLJ18XU?= from Moscow",
        "Re: =?gb2312?B?u+HS6Q==?= =?iso-8859-15?Q?100_=A4?=",
    ];
    let subject = *recipe.rng.pick(&SUBJECTS);
    let text = recipe.pools.utf8(&mut recipe.rng, recipe.size);
    let mut mail = recipe.mail_with(subject);
    mail.field(
        "Sender",
        "=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <jm@example.org>",
    );
    plain(&mut mail, "utf-8", "quoted-printable").text(quoted_printable(&text));
    mail.build()
}

/// The text as HTML.
fn html(text: &[u8]) -> Vec<u8> {
    let mut out = b"<!DOCTYPE html>\r\n<html><body style=\"margin: 0\">\r\n<p>".to_vec();
    out.extend_from_slice(text);
    out.extend_from_slice(b"</p>\r\n</body></html>\r\n");
    out
}

fn html_alone(recipe: &mut Recipe<'_>) -> Bytes {
    let text = recipe.pools.utf8(&mut recipe.rng, recipe.size);
    let mut mail = recipe.mail();
    mail.field("MIME-Version", "1.0")
        .field("Content-Type", "text/html; charset=\"utf-8\"")
        .field("Content-Transfer-Encoding", "quoted-printable")
        .text(quoted_printable(&html(&text)));
    mail.build()
}

fn alternative(recipe: &mut Recipe<'_>) -> Bytes {
    let text = recipe.pools.utf8(&mut recipe.rng, recipe.size / 2);
    let mark = boundary(&mut recipe.rng);
    let mut mail = recipe.mail();
    mail.multipart("alternative", &mark)
        .text("This is a message in MIME format.\r\n\r\n")
        .part(
            &mark,
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
            &text,
        )
        .part(
            &mark,
            "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: \
             quoted-printable\r\n",
            quoted_printable(&html(&text)),
        )
        .close(&mark);
    mail.build()
}

fn attachment(recipe: &mut Recipe<'_>) -> Bytes {
    const NAMES: [&str; 4] = [
        "name=\"report.pdf\"",
        "name*=utf-8''%E2%82%AC%20rates.xlsx",
        "name=\"=?utf-8?Q?M=C3=A4rz.docx?=\"",
        "name=\"scan 0001.tiff\"",
    ];
    let text = recipe.pools.ascii(&mut recipe.rng, recipe.size.min(3000));
    let count = recipe.rng.between(1, 3);
    let each = recipe.size.saturating_sub(text.len()) / count;
    let mark = boundary(&mut recipe.rng);
    let mut mail = recipe.mail();
    mail.multipart("mixed", &mark)
        .part(&mark, "Content-Type: text/plain\r\n", &text);
    for _ in 0..count {
        let name = recipe.rng.pick(&NAMES);
        let header = format!(
            "Content-Type: application/octet-stream; {name}\r\nContent-Transfer-Encoding: \
             base64\r\nContent-Disposition: attachment; file{name}\r\n"
        );
        let content = recipe.pools.base64(&mut recipe.rng, each.max(100));
        mail.part(&mark, &header, content);
    }
    mail.close(&mark);
    mail.build()
}

/// Some bytes that look as a signature does: not even the shape is checked when mail is moved.
fn signature(recipe: &mut Recipe<'_>) -> Vec<u8> {
    recipe.pools.base64(&mut recipe.rng, 1600)
}

fn smime(recipe: &mut Recipe<'_>) -> Bytes {
    let text = recipe.ascii();
    let signature = signature(recipe);
    let mark = boundary(&mut recipe.rng);
    let mut mail = recipe.mail();
    let kind = "signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256";
    mail.multipart(kind, &mark)
        .part(&mark, "Content-Type: text/plain\r\n", text)
        .part(
            &mark,
            "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n\
             Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; \
             filename=smime.p7s\r\n",
            signature,
        )
        .close(&mark);
    mail.build()
}

fn pgp(recipe: &mut Recipe<'_>) -> Bytes {
    // Blanks at line ends and `- ` must survive, or the signature breaks.
    let mut text = b"Signed, with trailing blanks:   \r\n- \r\n-- \r\n".to_vec();
    text.extend(recipe.ascii());
    let mut armour = b"-----BEGIN PGP SIGNATURE-----\r\n\r\n".to_vec();
    armour.extend(signature(recipe));
    armour.extend_from_slice(b"=AbCd\r\n-----END PGP SIGNATURE-----\r\n");
    let mark = boundary(&mut recipe.rng);
    let mut mail = recipe.mail();
    let kind = "signed; micalg=pgp-sha512; protocol=\"application/pgp-signature\"";
    mail.multipart(kind, &mark)
        .part(&mark, "Content-Type: text/plain; charset=utf-8\r\n", text)
        .part(
            &mark,
            "Content-Type: application/pgp-signature; name=\"signature.asc\"\r\n",
            armour,
        )
        .close(&mark);
    mail.build()
}

fn invitation(recipe: &mut Recipe<'_>) -> Bytes {
    let uid = recipe.rng.next();
    let calendar = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example//EN\r\nMETHOD:REQUEST\r\n\
         BEGIN:VEVENT\r\nUID:{uid:x}@example.org\r\nDTSTAMP:20240301T080000Z\r\n\
         DTSTART:20240304T090000Z\r\nDTEND:20240304T100000Z\r\nSUMMARY:Besprechung über alles\r\n\
         ORGANIZER:mailto:ann@example.org\r\nATTENDEE;RSVP=TRUE:mailto:bob@example.com\r\n\
         END:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    let mark = boundary(&mut recipe.rng);
    let mut mail = recipe.mail_with("Invitation: the weekly meeting");
    mail.multipart("mixed", &mark)
        .part(&mark, "Content-Type: text/plain\r\n", "You are invited.")
        .part(
            &mark,
            "Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n\
             Content-Transfer-Encoding: 8bit\r\n",
            &calendar,
        )
        .part(
            &mark,
            "Content-Type: application/ics; name=\"invite.ics\"\r\nContent-Transfer-Encoding: \
             base64\r\n",
            base64_lines(calendar.as_bytes()),
        )
        .close(&mark);
    mail.build()
}
