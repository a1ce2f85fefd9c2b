//! Dovecot's configuration, in the syntax of the version at hand.

use std::path::Path;

use super::daemon::Ports;
use super::dovecot::{Instance, MASTER_PASSWORD, PASSWORD};
use super::place::Account;

/// The configuration languages known here.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Syntax {
    /// Debian 12.
    V23,
    /// Debian 13.
    V24,
}

/// The whole configuration of an instance; `libexec` is where an unpacked Dovecot's programs are.
pub(crate) fn configuration(
    syntax: Syntax,
    libexec: Option<&Path>,
    instance: &Instance<'_>,
) -> String {
    let specific = match syntax {
        Syntax::V23 => v23(instance),
        Syntax::V24 => v24(instance),
    };
    let paths = match libexec {
        Some(libexec) => format!(
            "libexec_dir = {libexec}\nmail_plugin_dir = {libexec}/modules\n",
            libexec = libexec.display()
        ),
        None => String::new(),
    };
    format!("{specific}{paths}{}", common(instance))
}

/// What both syntaxes say in the same words.
fn common(instance: &Instance<'_>) -> String {
    let dir = instance.place.dir.display();
    let Account { user, group, .. } = instance.place.account;
    let Ports { imap, imaps } = instance.place.ports;
    let (prefix, separator) = (instance.spec.prefix, instance.spec.separator);
    let connections = instance.spec.connections;
    let special: String = ["Drafts", "Sent", "Trash", "Junk"]
        .iter()
        .map(|name| {
            format!("  mailbox {name} {{\n    special_use = \\{name}\n    auto = create\n  }}\n")
        })
        .collect();
    format!(
        "\
base_dir = {dir}/base
state_dir = {dir}/state
log_path = {dir}/log
listen = 127.0.0.1
ssl = yes
auth_mechanisms = plain login
auth_master_user_separator = *
# Wrong passwords are part of the tests; they need not wait.
auth_failure_delay = 0

# Everything runs as the user who started it.
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1

mail_max_userip_connections = {connections}
# Tests kill processes, not machines.
mail_fsync = never
# With fcntl the kernel takes two processes that wait for each other's turn at two files for a deadlock, now and then: the
# one that is told so panics.
lock_method = flock

namespace inbox {{
  inbox = yes
  prefix = {prefix}
  separator = {separator}
{special}  mailbox Archive {{
    special_use = \\Archive
  }}
}}

service anvil {{
  chroot =
  # Without this socket failed logins do not slow down the next ones from the same address.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  process_min_avail = 1
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  process_min_avail = 1
  # The index of a folder of a million does not fit into the usual 256 MB: the process would die in the midst of it.
  vsz_limit = 4G
}}
"
    )
}

fn v23(instance: &Instance<'_>) -> String {
    let Account { uid, gid, .. } = instance.place.account;
    let (base, mail) = (instance.base(), instance.mail());
    let (base, mail) = (base.display(), mail.display());
    let cert = instance.place.certificate.cert.display();
    let key = instance.place.certificate.key.display();
    let (format, quota) = (instance.spec.format, instance.place.quota);
    let capability = match instance.spec.capability {
        Some(words) => format!("  imap_capability = {words}\n"),
        None => String::new(),
    };
    let shared = shared_v23(instance);
    format!(
        "\
import_environment = LD_LIBRARY_PATH
protocols = imap
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no

passdb {{
  driver = static
  master = yes
  args = password={MASTER_PASSWORD}
}}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  # Mail processes go to the home directory, and must find their modules there.
  args = uid={uid} gid={gid} home={base}
}}

mail_location = {format}:{mail}/%u
mail_plugins = quota acl zlib
plugin {{
  acl = vfile
  # Who logs in as another user has that user's rights.
  acl_user = %u
  quota = count:User quota
  quota_vsizes = yes
  quota_grace = 0
  quota_rule = *:storage=%{{if;%u;*;quota*;{quota};0}}
}}
protocol imap {{
  mail_plugins = quota acl zlib imap_quota imap_acl imap_zlib
{capability}}}
{shared}"
    )
}

/// Folders for all, which the user `publisher` may make and give rights to, those of other users, who
/// say by ACL whom they let in, and annotations of folders.
fn shared_v23(instance: &Instance<'_>) -> String {
    if !instance.spec.shared {
        return String::new();
    }
    let (dir, mail) = (instance.place.dir.display(), instance.mail());
    let mail = mail.display();
    format!(
        "\
namespace public {{
  type = public
  prefix = Public/
  separator = /
  location = maildir:{mail}/public
  subscriptions = no
  list = children
}}
namespace shared {{
  type = shared
  prefix = shared/%%u/
  separator = /
  location = maildir:{mail}/%%u
  subscriptions = no
  list = children
}}
plugin {{
  acl_shared_dict = file:{dir}/state/shared-mailboxes
}}
mail_attribute_dict = file:{mail}/%u/dovecot-attributes
protocol imap {{
  imap_metadata = yes
}}
"
    )
}

fn v24(instance: &Instance<'_>) -> String {
    let Account { uid, gid, .. } = instance.place.account;
    let (base, mail) = (instance.base(), instance.mail());
    let (base, mail) = (base.display(), mail.display());
    let cert = instance.place.certificate.cert.display();
    let key = instance.place.certificate.key.display();
    let (format, quota) = (instance.spec.format, instance.place.quota);
    let capability = match instance.spec.capability {
        Some(words) => format!("  imap_capability = {words}\n"),
        None => String::new(),
    };
    format!(
        "\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
import_environment {{
  LD_LIBRARY_PATH = %{{env:LD_LIBRARY_PATH}}
}}
protocols {{
  imap = yes
}}
ssl_server_cert_file = {cert}
ssl_server_key_file = {key}
auth_allow_cleartext = yes

passdb master {{
  driver = static
  master = yes
  passdb_static_password = {MASTER_PASSWORD}
}}
passdb static {{
  passdb_static_password = {PASSWORD}
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    # Mail processes go to the home directory, and must find their modules there.
    home = {base}
    quota_storage_size = %{{user | if('*', 'quota*', '{quota}', 'unlimited')}}
  }}
}}

mail_driver = {format}
mail_path = {mail}/%{{user}}
mail_plugins {{
  quota = yes
  acl = yes
}}
acl_driver = vfile
# Who logs in as another user has that user's rights.
acl_user = %{{user}}
quota \"User quota\" {{
  driver = count
  quota_storage_grace = 0
}}
protocol imap {{
  mail_plugins {{
    imap_quota = yes
    imap_acl = yes
  }}
{capability}}}
"
    )
}
