"""Logs in to the test server with msal, Microsoft's own library, which knows nothing of it.

Arguments: origin with TLS, tenant, file with the authority's certificate, file with the app's certificate,
file with its key. Prints what came of each way as JSON: the status of a request with the token, or the
number of the error. The code of a device is to be agreed to elsewhere.
"""

import json
import pathlib
import sys

import msal
import requests

ORIGIN, TENANT, CA, CERTIFICATE, KEY = sys.argv[1:6]
SCOPE = ["https://graph.microsoft.com/.default"]
session = requests.Session()
session.trust_env, session.verify = False, CA
COMMON = {"authority": f"{ORIGIN}/{TENANT}", "instance_discovery": False, "http_client": session}


def tell(name, result, what):
    if "access_token" in result:
        header = {"Authorization": "Bearer " + result["access_token"]}
        said = session.get(f"{ORIGIN}/v1.0/{what}", headers=header).status_code
    else:
        said = result["error_codes"][0]
    print(json.dumps({name: said}), flush=True)


def app(client, credential):
    application = msal.ConfidentialClientApplication(client, client_credential=credential, **COMMON)
    return application.acquire_token_for_client(SCOPE)


certificate = {
    "private_key": pathlib.Path(KEY).read_text(encoding="ascii"),
    "public_certificate": pathlib.Path(CERTIFICATE).read_text(encoding="ascii"),
}
tell("secret", app("client", "secret"), "users/ann")
tell("wrong secret", app("client", "other"), "users/ann")
tell("certificate", app("client", certificate), "users/ann")
tell("other app", app("other", certificate), "users/ann")

public = msal.PublicClientApplication("public", **COMMON)
flow = public.initiate_device_flow(["https://graph.microsoft.com/Mail.ReadWrite"])
print(json.dumps({"code": flow["user_code"]}), flush=True)
flow["interval"] = 1
result = public.acquire_token_by_device_flow(flow)
tell("device", result, "me")
renewed = public.acquire_token_by_refresh_token(result["refresh_token"], ["https://graph.microsoft.com/Mail.ReadWrite"])
tell("renewed", renewed, "me")
