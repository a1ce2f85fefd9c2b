"""Reads a mailbox with exchangelib. Arguments: URL, name of a folder below the root.

Prints one JSON object for each item, oldest first.
"""

import json
import sys

import exchangelib
from exchangelib import DELEGATE, Account, Configuration, Credentials, ExtendedProperty, Message
from exchangelib.version import EXCHANGE_2016, Version

URL, NAME = sys.argv[1:3]


class FlagStatus(ExtendedProperty):
    property_tag = 0x1090
    property_type = "Integer"


class LastVerb(ExtendedProperty):
    property_tag = 0x1081
    property_type = "Integer"


Message.register("mm_flagged", FlagStatus)
Message.register("mm_verb", LastVerb)

config = Configuration(
    service_endpoint=URL,
    credentials=Credentials("ann@example.com", "secret"),
    auth_type=exchangelib.BASIC,
    version=Version(build=EXCHANGE_2016),
)
account = Account("ann@example.com", config=config, autodiscover=False, access_type=DELEGATE)
folder = account.msg_folder_root / NAME
for item in folder.all().order_by("datetime_received"):
    print(
        json.dumps(
            {
                "subject": item.subject,
                "from": item.sender.email_address,
                "to": [to.email_address for to in item.to_recipients or []],
                "received": str(item.datetime_received.astimezone(exchangelib.UTC)),
                "sent": str(item.datetime_sent.astimezone(exchangelib.UTC)),
                "draft": item.is_draft,
                "read": item.is_read,
                "categories": item.categories or [],
                "flagged": item.mm_flagged,
                "verb": item.mm_verb,
                "attachments": {a.name: a.content.hex() for a in item.attachments},
                "text": item.text_body or item.body,
            }
        )
    )
