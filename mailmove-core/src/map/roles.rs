//! What a folder is for, where its server does not say.

use std::collections::HashMap;

use crate::model::{Folder, FolderPath, Namespace, Role};

/// A folder's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) role: Role,
    /// The server says so; else the name does.
    pub(super) explicit: bool,
}

/// Names of folders that mail programs and servers make by themselves, in lower case. Only names
/// that hardly mean anything else: a wrong guess puts mail where nobody looks for it.
const NAMES: [(Role, &[&str]); 5] = [
    (
        Role::Sent,
        &[
            "sent",
            "sent items",
            "sent messages",
            "sent mail",
            "sent-mail",
            "gesendet",
            "gesendete elemente",
            "gesendete objekte",
            "gesendete nachrichten",
            "envoyés",
            "éléments envoyés",
            "messages envoyés",
            "enviados",
            "elementos enviados",
            "itens enviados",
            "mensagens enviadas",
            "inviata",
            "posta inviata",
            "elementi inviati",
            "messaggi inviati",
            "verzonden",
            "verzonden items",
            "verzonden berichten",
            "skickat",
            "skickade objekt",
            "sendt post",
            "sendte elementer",
            "lähetetyt",
            "wysłane",
            "elementy wysłane",
            "odeslaná pošta",
            "odoslaná pošta",
            "elküldött elemek",
            "gönderilmiş öğeler",
            "отправленные",
            "送信済み",
            "送信済みアイテム",
            "已发送",
            "已发送邮件",
            "寄件備份",
            "보낸 편지함",
        ],
    ),
    (
        Role::Trash,
        &[
            "trash",
            "deleted items",
            "deleted messages",
            "papierkorb",
            "gelöschte elemente",
            "gelöschte objekte",
            "corbeille",
            "éléments supprimés",
            "papelera",
            "elementos eliminados",
            "lixeira",
            "itens excluídos",
            "cestino",
            "posta eliminata",
            "elementi eliminati",
            "prullenbak",
            "verwijderde items",
            "papperskorgen",
            "borttagna objekt",
            "papirkurv",
            "slettet post",
            "slettede elementer",
            "roskakori",
            "kosz",
            "elementy usunięte",
            "odstraněná pošta",
            "odstránená pošta",
            "törölt elemek",
            "silinmiş öğeler",
            "корзина",
            "удаленные",
            "ゴミ箱",
            "削除済みアイテム",
            "已删除",
            "已删除邮件",
            "刪除的郵件",
            "지운 편지함",
        ],
    ),
    (
        Role::Junk,
        &[
            "junk",
            "junk e-mail",
            "junk email",
            "junk mail",
            "spam",
            "bulk mail",
            "spamverdacht",
            "unerwünschte werbung",
            "courrier indésirable",
            "indésirables",
            "pourriel",
            "correo no deseado",
            "correo basura",
            "lixo eletrônico",
            "lixo eletrónico",
            "posta indesiderata",
            "ongewenste e-mail",
            "skräppost",
            "søppelpost",
            "uønsket mail",
            "uønsket e-post",
            "roskaposti",
            "wiadomości-śmieci",
            "nevyžádaná pošta",
            "levélszemét",
            "спам",
            "нежелательная почта",
            "迷惑メール",
            "垃圾邮件",
            "垃圾郵件",
            "정크 메일",
        ],
    ),
    (
        Role::Drafts,
        &[
            "drafts",
            "draft",
            "entwürfe",
            "brouillons",
            "borradores",
            "rascunhos",
            "bozze",
            "concepten",
            "utkast",
            "kladder",
            "luonnokset",
            "wersje robocze",
            "szkice",
            "koncepty",
            "piszkozatok",
            "taslaklar",
            "черновики",
            "下書き",
            "草稿",
            "草稿箱",
            "임시 보관함",
        ],
    ),
    (
        Role::Archive,
        &[
            "archive",
            "archives",
            "archiv",
            "archivo",
            "arquivo",
            "archivio",
            "archief",
            "arkiv",
            "archiwum",
            "архив",
        ],
    ),
];

/// The roles of these folders, in their order. A name counts only where no folder has the role by
/// the server's word, and only if no second folder could be meant as well.
pub(super) fn known(folders: &[Folder]) -> Vec<Option<Known>> {
    let personal = |folder: &&Folder| folder.namespace == Namespace::Personal;
    let mut out: Vec<_> = folders
        .iter()
        .map(|folder| {
            let role = Some(folder)
                .filter(personal)
                .and_then(|folder| folder.role)
                // The inbox is nothing else, whatever is said: what has that role would end up in it.
                .filter(|role| *role == Role::Inbox || !folder.path.is_inbox())?;
            let explicit = true;
            Some(Known { role, explicit })
        })
        .collect();
    for (role, names) in NAMES {
        if out.iter().flatten().any(|known| known.role == role) {
            continue;
        }
        let mut named = folders.iter().enumerate().filter(|(_, folder)| {
            let free = folder.role.is_none() && folder.selectable && personal(folder);
            free && is_named(&folder.path, names)
        });
        if let (Some((index, _)), None) = (named.next(), named.next())
            && let Some(place) = out.get_mut(index)
        {
            let explicit = false;
            *place = Some(Known { role, explicit });
        }
    }
    out
}

/// The roles of the source's folders. One with all messages that keeps just what no other folder has
/// is an archive, unless there is a better one, or (`all_there`) the destination has the like of it.
pub(super) fn of_source(folders: &[Folder], all_there: bool) -> Vec<Option<Known>> {
    let mut out = known(folders);
    let archive = out
        .iter()
        .flatten()
        .any(|known| known.role == Role::Archive);
    if archive || all_there {
        return out;
    }
    let rest = folders.iter().position(keeps_the_rest);
    if let Some(place) = rest.and_then(|at| out.get_mut(at)) {
        let (role, explicit) = (Role::Archive, false);
        *place = Some(Known { role, explicit });
    }
    out
}

/// A folder with all messages that knows what other folders show.
pub(super) fn keeps_the_rest(folder: &Folder) -> bool {
    folder.knows_others && folder.role == Some(Role::All)
}

/// At the top, or right below the inbox where some servers keep everything.
fn is_named(path: &FolderPath, names: &[&str]) -> bool {
    let name = match path.names() {
        [name] => name,
        [first, name] if first.eq_ignore_ascii_case("INBOX") => name,
        _ => return false,
    };
    let name = name.trim().to_lowercase();
    names.contains(&name.as_str())
}

/// The destination's folders by role: those that mail can be put into.
pub(super) fn by_role(folders: &[Folder]) -> HashMap<Role, Vec<&FolderPath>> {
    let mut out: HashMap<_, Vec<_>> = HashMap::new();
    for (folder, known) in folders.iter().zip(known(folders)) {
        if let Some(known) = known.filter(|_| folder.selectable) {
            out.entry(known.role).or_default().push(&folder.path);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_lower_case_and_unambiguous() {
        let mut all: Vec<_> = NAMES.iter().flat_map(|(_, names)| names.iter()).collect();
        assert!(all.iter().all(|name| name.to_lowercase() == ***name));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
