"""Works against the test server with exchangelib, which knows nothing of it.

Arguments: URL of the endpoint, file with the authority's certificate, scheme (basic, NTLM).
Prints one line for each thing that was found, as JSON.
"""

import datetime
import json
import sys

import exchangelib
from exchangelib import (
    DELEGATE,
    Account,
    Configuration,
    Credentials,
    ExtendedProperty,
    FileAttachment,
    Mailbox,
    Message,
)
from exchangelib.folders import Folder
from exchangelib.items import SAVE_ONLY
from exchangelib.protocol import BaseProtocol
from exchangelib.version import EXCHANGE_2016, Version

URL, CA, SCHEME = sys.argv[1:4]


class Flags(ExtendedProperty):
    property_tag = 0x0E07
    property_type = "Integer"


class Received(ExtendedProperty):
    property_tag = 0x0E06
    property_type = "SystemTime"


class Key(ExtendedProperty):
    property_set_id = "a4a5b2c0-1111-4222-8333-444455556666"
    property_name = "Key"
    property_type = "String"


for name, cls in (("mm_flags", Flags), ("mm_received", Received), ("mm_key", Key)):
    Message.register(name, cls)

if URL.startswith("https"):

    class Adapter(BaseProtocol.HTTP_ADAPTER_CLS):
        def cert_verify(self, conn, url, verify, cert):
            super().cert_verify(conn=conn, url=url, verify=CA, cert=cert)

    BaseProtocol.HTTP_ADAPTER_CLS = Adapter


def tell(what, value):
    print(json.dumps({what: value}, default=str))


config = Configuration(
    service_endpoint=URL,
    credentials=Credentials("u@example.com", "p"),
    auth_type={"basic": exchangelib.BASIC, "NTLM": exchangelib.NTLM}[SCHEME],
    version=Version(build=EXCHANGE_2016),
)
account = Account(
    "u@example.com", config=config, autodiscover=False, access_type=DELEGATE
)

tell("inbox", account.inbox.name)
tell("tree", sorted(f.name for f in account.msg_folder_root.walk()))

folder = Folder(parent=account.inbox, name="made/here")
folder.save()
tell("folder", folder.folder_class)

MIME = (
    b"From: A <a@example.com>\r\nTo: b@example.com\r\nSubject: by exchangelib\r\n"
    b"Date: Sat, 3 Feb 2001 05:05:06 +0100\r\nMessage-ID: <x1@example.com>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\n\r\nhello\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n"
    b"Content-Disposition: attachment; filename=a.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--b--\r\n"
)
when = exchangelib.EWSDateTime(2001, 2, 3, 4, 5, 7, tzinfo=exchangelib.UTC)
made = account.bulk_create(
    folder,
    [
        Message(
            mime_content=MIME,
            mm_flags=1,
            mm_received=when,
            mm_key=f"key {n}",
            categories=["Red"],
            is_read=True,
        )
        for n in range(3)
    ],
    message_disposition=SAVE_ONLY,
)
tell("made", len(made))

item = folder.get(mm_key="key 1")
tell("subject", item.subject)
tell("sender", item.sender.email_address)
tell("received", item.datetime_received.astimezone(exchangelib.UTC))
tell("sent", item.datetime_sent.astimezone(exchangelib.UTC))
tell("draft", item.is_draft)
tell("read", item.is_read)
tell("categories", item.categories)
tell("flags", item.mm_flags)
tell("mime", item.mime_content == MIME)
tell("attachments", [a.name for a in item.attachments])
tell("attached", item.attachments[0].content == b"\0\1\2\3")

changes = list(folder.sync_items())
tell("synced", sorted(change for change, _ in changes))
state = folder.item_sync_state
item.is_read = False
item.save(update_fields=["is_read"])
folder.item_sync_state = state
tell("changed", [change for change, _ in folder.sync_items()])

streams = list(account.export(made[:2]))
uploaded = account.upload([(account.inbox, stream) for stream in streams])
tell("uploaded", len(list(uploaded)))
tell("in inbox", account.inbox.all().count())

item.move(account.trash)
tell("left", folder.all().count())
draft = Message(
    account=account,
    folder=account.drafts,
    subject="ein Entwurf – ü",
    body="text",
    to_recipients=[Mailbox(email_address="c@example.com")],
)
draft.save()
tell("draft made", account.drafts.get(subject="ein Entwurf – ü").is_draft)
