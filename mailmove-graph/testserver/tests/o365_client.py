"""Works against the test server with O365, which knows nothing of it.

Arguments: origin with TLS, user, token, file with the authority's certificate.
Prints one line for each thing that was found, as JSON.
"""

import datetime
import json
import sys

import requests
from O365 import Account, MSGraphProtocol

ORIGIN, USER, TOKEN, CA = sys.argv[1:5]


def tell(what, value):
    print(json.dumps({what: value}, default=str))


class Protocol(MSGraphProtocol):
    _protocol_url = ORIGIN + "/"


account = Account(("client", "secret"), auth_flow_type="credentials", tenant_id="x",
                  protocol=Protocol(default_resource="users/" + USER))
session = requests.Session()
session.trust_env, session.verify = False, CA
session.headers["Authorization"] = "Bearer " + TOKEN
account.connection.session = session
account.connection.update_session_auth_header = lambda *args, **kwargs: None
account.connection.get_session = lambda *args, **kwargs: session

mailbox = account.mailbox()
tell("folders", sorted(folder.name for folder in mailbox.get_folders()))
inbox = mailbox.inbox_folder()
tell("inbox", sorted(message.subject for message in inbox.get_messages(limit=30, batch=5)))
query = mailbox.new_query().equals("subject", "number 3")
tell("found", [message.subject for message in inbox.get_messages(query=query)])
message = inbox.get_message(query=query)
tell("mime", message.get_mime_content().decode().split("\r\n")[0])
draft = mailbox.new_message()
draft.to.add("bob@example.com")
draft.subject, draft.body = "by O365", "<p>hello</p>"
tell("saved", draft.save_draft())
saved = next(iter(mailbox.drafts_folder().get_messages(limit=1)))
tell("draft", [saved.subject, saved.is_draft, [r.address for r in saved.to]])
message.mark_as_read()
message.flag.set_flagged()
tell("flagged", message.save_message())
read = mailbox.get_message(message.object_id)
tell("state", [read.is_read, read.flag.status.value, read.received.astimezone(datetime.timezone.utc).isoformat()])
tell("moved", message.move(mailbox.junk_folder()))
tell("junk", [m.subject for m in mailbox.junk_folder().get_messages()])
folder = mailbox.create_child_folder("By O365")
tell("made", folder.name)
tell("deleted", folder.delete())
