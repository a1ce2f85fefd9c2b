//! What servers name things is shown on terminals, and must not command them.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{Run, USER, World, run};

/// Clears the screen, moves up, sets the title, turns the direction of writing; as they are, and in
/// modified UTF-7.
const NAMES: [&str; 6] = [
    "a\u{1b}[2Jb",
    "a&ABs-[2Jc",
    "d&AJs-1Ae",
    "f&ABs-]0;title&AAc-g",
    "h&IC4-fdp.exe",
    "i\u{7f}j",
];

/// A mailbox with folders of these names, all of them empty.
fn talk(mut socket: TcpStream) -> std::io::Result<()> {
    socket.write_all(b"* OK \x1b[2Jhello\r\n")?;
    for line in BufReader::new(socket.try_clone()?).lines() {
        let line = line?;
        let mut words = line.split(' ');
        let tag = words.next().unwrap_or_default();
        let verb = words.next().unwrap_or_default();
        let mut answer = String::new();
        match verb {
            "CAPABILITY" => answer.push_str("* CAPABILITY IMAP4rev1\r\n"),
            "LIST" => {
                for name in NAMES {
                    let len = name.len();
                    answer.push_str(&format!("* LIST () \"/\" {{{len}}}\r\n{name}\r\n"));
                }
            }
            "STATUS" => {
                let name = line.split('"').nth(1).or(words.next()).unwrap_or_default();
                answer = format!("* STATUS \"{name}\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)\r\n");
            }
            "EXAMINE" => {
                answer.push_str("* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 1] x\r\n");
            }
            "LSUB" => answer.push_str("* NO [ALERT] \x1b[2J\r\n"),
            _ => {}
        }
        socket.write_all(format!("{answer}{tag} OK \x1b[1A\r\n").as_bytes())?;
    }
    Ok(())
}

fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || talk(socket));
        }
    });
    port
}

#[track_caller]
fn harmless(run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(harmful), "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_do_not_command_the_terminal() {
    let world = World::new().await;
    let from = format!("imap://{USER}@127.0.0.1:{}?tls=off", server());
    for (command, more) in [
        ("plan", &[][..]),
        ("plan", &["--json"]),
        ("migrate", &[]),
        ("migrate", &["--json"]),
    ] {
        let command = world.between(command, &from, &world.destination_url(), more);
        let run = run(command).await;
        harmless(&run);
        assert!(run.stdout.contains("fdp.exe"), "{run:#?}");
    }
}
