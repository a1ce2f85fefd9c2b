//! The extensions the server knows.

/// An extension that can be switched off; then it is neither advertised nor accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// RFC 4959: AUTHENTICATE with the first answer on its line.
    SaslIr,
    /// RFC 2971.
    Id,
    /// RFC 5161.
    Enable,
    /// RFC 2342.
    Namespace,
    /// RFC 5258.
    ListExtended,
    /// RFC 5819; needs LIST-EXTENDED's return options.
    ListStatus,
    /// RFC 8438.
    StatusSize,
    /// RFC 6154: attributes in LIST.
    SpecialUse,
    /// RFC 6154: `CREATE (USE …)`.
    CreateSpecialUse,
    /// RFC 4315.
    UidPlus,
    /// RFC 7888: non-synchronising literals of any size. Excludes the next.
    LiteralPlus,
    /// RFC 7888: non-synchronising literals up to 4096 bytes. Off at first.
    LiteralMinus,
    /// RFC 3502.
    MultiAppend,
    /// RFC 7162.
    Condstore,
    /// RFC 7162; needs CONDSTORE and ENABLE.
    Qresync,
    /// RFC 6851.
    Move,
    /// RFC 4731.
    Esearch,
    /// RFC 3691.
    Unselect,
    /// RFC 2177.
    Idle,
    /// RFC 8474.
    ObjectId,
    /// RFC 3348.
    Children,
    /// RFC 9208.
    Quota,
    /// RFC 7889.
    AppendLimit,
    /// RFC 4314: MYRIGHTS alone.
    Acl,
    /// RFC 8440; needs ACL and LIST-EXTENDED.
    ListMyRights,
    /// RFC 6855.
    Utf8Accept,
    /// RFC 6855: nothing that names a mailbox goes before `ENABLE UTF8=ACCEPT`. Off at first.
    Utf8Only,
    /// RFC 3516: `~{n}` in APPEND, `BINARY[]` of a whole message in FETCH.
    Binary,
    /// RFC 5464: annotations of mailboxes.
    Metadata,
    /// RFC 9738; see [`Builder::message_limit`](crate::Builder::message_limit). Off at first.
    MessageLimit,
    /// RFC 9586: `ENABLE UIDONLY`. Off at first.
    UidOnly,
    /// RFC 4978.
    Compress,
    /// RFC 3501: upgrade of a plain connection.
    StartTls,
    /// RFC 4616 over AUTHENTICATE.
    AuthPlain,
    /// Google's and Microsoft's mechanism for OAuth tokens. Off at first.
    AuthXoauth2,
    /// RFC 7628: OAuth tokens. Off at first.
    AuthOauthBearer,
    /// Google's X-GM-MSGID, X-GM-THRID and X-GM-LABELS, and that labels are folders over one store of
    /// messages. Off at first; see [`Builder::gmail`](crate::Builder::gmail).
    GmailExt,
}

impl Capability {
    /// Every extension.
    pub const ALL: [Self; 37] = [
        Self::SaslIr,
        Self::Id,
        Self::Enable,
        Self::Namespace,
        Self::ListExtended,
        Self::ListStatus,
        Self::StatusSize,
        Self::SpecialUse,
        Self::CreateSpecialUse,
        Self::UidPlus,
        Self::LiteralPlus,
        Self::LiteralMinus,
        Self::MultiAppend,
        Self::Condstore,
        Self::Qresync,
        Self::Move,
        Self::Esearch,
        Self::Unselect,
        Self::Idle,
        Self::ObjectId,
        Self::Children,
        Self::Quota,
        Self::AppendLimit,
        Self::Acl,
        Self::ListMyRights,
        Self::Utf8Accept,
        Self::Utf8Only,
        Self::Binary,
        Self::Metadata,
        Self::MessageLimit,
        Self::UidOnly,
        Self::Compress,
        Self::StartTls,
        Self::AuthPlain,
        Self::AuthXoauth2,
        Self::AuthOauthBearer,
        Self::GmailExt,
    ];

    /// How CAPABILITY spells it (APPENDLIMIT and MESSAGELIMIT also carry a number).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SaslIr => "SASL-IR",
            Self::Id => "ID",
            Self::Enable => "ENABLE",
            Self::Namespace => "NAMESPACE",
            Self::ListExtended => "LIST-EXTENDED",
            Self::ListStatus => "LIST-STATUS",
            Self::StatusSize => "STATUS=SIZE",
            Self::SpecialUse => "SPECIAL-USE",
            Self::CreateSpecialUse => "CREATE-SPECIAL-USE",
            Self::UidPlus => "UIDPLUS",
            Self::LiteralPlus => "LITERAL+",
            Self::LiteralMinus => "LITERAL-",
            Self::MultiAppend => "MULTIAPPEND",
            Self::Condstore => "CONDSTORE",
            Self::Qresync => "QRESYNC",
            Self::Move => "MOVE",
            Self::Esearch => "ESEARCH",
            Self::Unselect => "UNSELECT",
            Self::Idle => "IDLE",
            Self::ObjectId => "OBJECTID",
            Self::Children => "CHILDREN",
            Self::Quota => "QUOTA",
            Self::AppendLimit => "APPENDLIMIT",
            Self::Acl => "ACL",
            Self::ListMyRights => "LIST-MYRIGHTS",
            Self::Utf8Accept => "UTF8=ACCEPT",
            Self::Utf8Only => "UTF8=ONLY",
            Self::Binary => "BINARY",
            Self::Metadata => "METADATA",
            Self::MessageLimit => "MESSAGELIMIT",
            Self::UidOnly => "UIDONLY",
            Self::Compress => "COMPRESS=DEFLATE",
            Self::StartTls => "STARTTLS",
            Self::AuthPlain => "AUTH=PLAIN",
            Self::AuthXoauth2 => "AUTH=XOAUTH2",
            Self::AuthOauthBearer => "AUTH=OAUTHBEARER",
            Self::GmailExt => "X-GM-EXT-1",
        }
    }
}
