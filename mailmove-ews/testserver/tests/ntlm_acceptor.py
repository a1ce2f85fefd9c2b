"""Takes logins by pyspnego, over TLS, and says what it thinks of each.

Arguments: file with certificate and key, hash of the binding, file with the credentials
(DOMAIN:user:password). Prints its port, then one JSON object for each login that came to an end.
"""

import base64
import hashlib
import http.server
import json
import os
import ssl
import sys

CERTIFICATE, HASH, CREDENTIALS = sys.argv[1:4]
os.environ["NTLM_USER_FILE"] = CREDENTIALS

import spnego  # noqa: E402
from spnego.channel_bindings import GssChannelBindings  # noqa: E402

with open(CERTIFICATE) as file:
    pem = file.read()
start = pem.index("-----BEGIN CERTIFICATE-----")
end = pem.index("-----END CERTIFICATE-----", start) + len("-----END CERTIFICATE-----\n")
der = ssl.PEM_cert_to_DER_cert(pem[start:end])
BINDINGS = GssChannelBindings(
    application_data=b"tls-server-end-point:" + hashlib.new(HASH, der).digest()
)


def tell(what):
    print(json.dumps(what), flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    context = None

    def log_message(self, *args):
        pass

    def answer(self, status, *challenges):
        self.send_response(status)
        for challenge in challenges:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme not in ("NTLM", "Negotiate"):
            return self.answer(401, "Negotiate", "NTLM")
        if self.context is None:
            self.context = spnego.server(
                protocol=scheme.lower(),
                channel_bindings=BINDINGS,
                options=spnego.NegotiateOptions.use_ntlm
                if scheme == "NTLM"
                else spnego.NegotiateOptions.use_negotiate,
            )
        try:
            answer = self.context.step(base64.b64decode(token))
        except Exception as error:
            tell({"scheme": scheme, "refused": type(error).__name__})
            self.context = None
            return self.answer(401, "Negotiate", "NTLM")
        said = scheme if answer is None else f"{scheme} {base64.b64encode(answer).decode()}"
        if not self.context.complete:
            return self.answer(401, said)
        tell({"scheme": scheme, "accepted": self.context.client_principal})
        return self.answer(503, said)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(CERTIFICATE)
server.socket = tls.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
