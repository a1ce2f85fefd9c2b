"""Logs in by pyspnego, in all ways, and says what came of it.

Arguments: address of the server, file with the authority's certificate, hash of the binding
(sha256, sha384, none, wrong), protocol (ntlm, negotiate). Prints one JSON object.
"""

import base64
import hashlib
import http.client
import json
import ssl
import sys

import spnego
from spnego.channel_bindings import GssChannelBindings

ADDRESS, CA, HASH, PROTOCOL = sys.argv[1:5]
BODY = b"""<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"
 xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><s:Body><m:GetFolder><m:FolderShape>
<t:BaseShape>IdOnly</t:BaseShape></m:FolderShape><m:FolderIds><t:DistinguishedFolderId Id="inbox"/></m:FolderIds>
</m:GetFolder></s:Body></s:Envelope>"""

host, port = ADDRESS.split(":")
connection = http.client.HTTPSConnection(
    host, int(port), context=ssl.create_default_context(cafile=CA)
)
connection.connect()
certificate = connection.sock.getpeercert(binary_form=True)
if HASH == "none":
    bindings = None
elif HASH == "wrong":
    bindings = GssChannelBindings(application_data=b"tls-server-end-point:wrong")
else:
    digest = hashlib.new(HASH, certificate).digest()
    bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + digest)

# Without this, what is asked for as Negotiate would be bare NTLM.
options = {
    "ntlm": spnego.NegotiateOptions.use_ntlm,
    "negotiate": spnego.NegotiateOptions.use_negotiate,
}[PROTOCOL]
client = spnego.client(
    "u", "p", protocol=PROTOCOL, channel_bindings=bindings, options=options
)
scheme = {"ntlm": "NTLM", "negotiate": "Negotiate"}[PROTOCOL]
statuses = []


def post(token):
    headers = {"Content-Type": "text/xml; charset=utf-8"}
    if token is not None:
        headers["Authorization"] = f"{scheme} {base64.b64encode(token).decode()}"
    connection.request("POST", "/EWS/Exchange.asmx", BODY, headers)
    reply = connection.getresponse()
    reply.read()
    statuses.append(reply.status)
    for value in reply.headers.get_all("WWW-Authenticate") or []:
        if value.startswith(scheme + " "):
            return base64.b64decode(value.split(" ", 1)[1])
    return None


answer = post(client.step())
last = post(client.step(answer))
if last is not None:
    client.step(last)
# The connection is logged in now, or it is not.
post(None)
mechanism = client.negotiated_protocol
print(json.dumps({"statuses": statuses, "complete": client.complete, "mechanism": mechanism, "code": last is not None}))
