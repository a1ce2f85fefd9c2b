"""Uploads messages into folders that are there, by exchangelib; says how many, and in how many seconds.

Usage: URL USER PASSWORD DIRECTORY: a directory for each folder, a file for each message.
"""

import pathlib
import sys
import time

from exchangelib import (
    BASIC,
    DELEGATE,
    Account,
    Build,
    Configuration,
    Credentials,
    FaultTolerance,
    Message,
    Version,
)

url, user, password, directory = sys.argv[1:]
folders = {
    folder.name: [mail.read_bytes() for mail in sorted(folder.iterdir())]
    for folder in sorted(pathlib.Path(directory).iterdir())
}
begun = time.perf_counter()
account = Account(
    primary_smtp_address=f"{user}@example.com",
    config=Configuration(
        service_endpoint=url,
        credentials=Credentials(user, password),
        auth_type=BASIC,
        version=Version(build=Build(15, 1, 2507, 6)),
        retry_policy=FaultTolerance(max_wait=10),
    ),
    autodiscover=False,
    access_type=DELEGATE,
)
created = 0
for name, mails in folders.items():
    folder = account.msg_folder_root / name
    items = [
        Message(account=account, folder=folder, mime_content=mail, is_read=True)
        for mail in mails
    ]
    made = account.bulk_create(folder=folder, items=items, message_disposition="SaveOnly")
    created += sum(1 for one in made if not isinstance(one, Exception))
print(created, time.perf_counter() - begun)
