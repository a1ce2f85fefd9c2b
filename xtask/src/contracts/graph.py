"""Holds requests and answers against the OpenAPI description of Graph's mail.

usage: graph.py CONTRACT DIRECTORY

Each file of the directory is one request or answer, with the operation it belongs to. For each a line is
printed: `valid NAME`, or `error NAME: WHY` (as many as there are reasons).

Types and enumerations are the validator's affair. That members are known is checked here: Microsoft calls
the types of items open, so that a schema lets any member pass, and a misspelt one with it.
"""

import json
import pathlib
import re
import sys

from openapi_schema_validator import OAS30Validator, oas30_format_checker

# Annotations that OData allows (OData JSON 4.01 section 4.6), and what delta queries answer with.
ANNOTATIONS = {
    "@odata.context", "@odata.count", "@odata.deltaLink", "@odata.etag", "@odata.id",
    "@odata.mediaContentType", "@odata.nextLink", "@odata.type", "@removed",
}

# What the description lacks and Microsoft's pages have, by operation. Options of queries:
DOCUMENTED_OPTIONS = {
    # user-list-mailfolders
    "GET /users/{id}/mailFolders": {"includeHiddenFolders"},
    "GET /users/{id}/mailFolders/{id}/childFolders": {"includeHiddenFolders"},
    # attachment-list
    "GET /users/{id}/messages/{id}/attachments": {"$expand"},
    # delta-query-overview, message-delta
    "GET /users/{id}/mailFolders/{id}/messages/delta":
        {"$select", "$expand", "$filter", "$top", "$orderby", "$deltatoken", "$skiptoken"},
    "GET /users/{id}/mailFolders/delta": {"$select", "$top", "$deltatoken", "$skiptoken"},
    "GET /admin/exchange/mailboxes/{id}/folders/delta": {"$select", "$top", "$deltatoken", "$skiptoken"},
    "GET /admin/exchange/mailboxes/{id}/folders/{id}/items/delta":
        {"$select", "$expand", "$top", "$deltatoken", "$skiptoken"},
    # mailboxfolder-delete-items
    "DELETE /admin/exchange/mailboxes/{id}/folders/{id}/items/{id}": {"disposalType"},
}
# attachment-get, attachment-list: the item within an attachment; extended-properties-overview.
DOCUMENTED_EXPANSIONS = {
    "attachments": {"microsoft.graph.itemattachment/item"},
    "messages": {"singleValueExtendedProperties", "multiValueExtendedProperties", "attachments"},
    "items": {"singleValueExtendedProperties", "multiValueExtendedProperties"},
}
# Members: `sizeInBytes` is in recorded answers; mailboxFolder has a `wellKnownName` (resources/mailboxfolder); errors have `innerError` (concepts/errors); an update may set
# extended properties (singlevaluelegacyextendedproperty-post-…).
DOCUMENTED_MEMBERS = {
    "mailFolder": {"sizeInBytes"},
    "mailboxFolder": {"wellKnownName"},
    "error": {"innerError"},
    "message": {"singleValueExtendedProperties", "multiValueExtendedProperties"},
}

REF = "#/components/schemas/"
ENTITY = lambda name: {"$ref": REF + "microsoft.graph." + name}
TEXT, FLAG, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}


def closed(required, **members):
    members["@odata.context"] = TEXT
    return {"type": "object", "properties": members, "required": required, "additionalProperties": False}


# Answers that the description has otherwise than the pages that are named.
DOCUMENTED_ANSWERS = {
    # message-update, mailfolder-update: 200 with the whole
    ("PATCH /users/{id}/messages/{id}", 200): ENTITY("message"),
    ("PATCH /users/{id}/mailFolders/{id}", 200): ENTITY("mailFolder"),
    # attachment-createuploadsession, message-move, message-copy: 201
    ("POST /users/{id}/messages/{id}/attachments/createUploadSession", 201): ENTITY("uploadSession"),
    ("POST /users/{id}/messages/{id}/move", 201): ENTITY("message"),
    ("POST /users/{id}/messages/{id}/copy", 201): ENTITY("message"),
    ("POST /users/{id}/mailFolders/{id}/move", 201): ENTITY("mailFolder"),
    # attachment-get: the raw content
    ("GET /users/{id}/messages/{id}/attachments/{id}/$value", 200): None,
    # outlook-large-attachments
    ("PUT /UploadRange", 200): closed(
        ["nextExpectedRanges"], nextExpectedRanges={"type": "array", "items": TEXT}, expirationDateTime=TEXT),
    ("PUT /UploadRange", 201): None,
    ("DELETE /CancelUpload", 204): None,
    # import-exchange-mailbox-item
    ("POST /ImportItem", 200): closed(["itemId", "changeKey"], itemId=TEXT, changeKey=TEXT),
    # json-batching
    ("POST /$batch", 200): closed(["responses"], responses={"type": "array", "items": closed(
        ["id", "status"], id=TEXT, status=NUMBER, headers={"type": "object"}, body={})}),
    # outlook-immutable-id: 200 with nothing is what is seen of MIME that is too large
    ("POST /users/{id}/messages", 200): None,
    ("POST /users/{id}/mailFolders/{id}/messages", 200): None,
}
DOCUMENTED_REQUESTS = {
    "POST /ImportItem": closed(
        ["FolderId", "Mode", "Data"], FolderId=TEXT, Mode={"enum": ["create", "update"]}, Data=TEXT,
        ItemId=TEXT, ChangeKey=TEXT),
    "POST /$batch": closed(["requests"], requests={"type": "array", "maxItems": 20, "items": closed(
        ["id", "method", "url"], id=TEXT, method=TEXT, url=TEXT, headers={"type": "object"}, body={},
        dependsOn={"type": "array", "items": TEXT})}),
}
NO_SCHEMA = {"PUT /UploadRange", "DELETE /CancelUpload",
             "GET /users/{id}/messages/{id}/attachments/{id}/$value"}


def nullable(schema):
    """`allOf` beside `nullable` is meant to admit null; to the letter of OpenAPI 3.0 it does not."""
    if isinstance(schema, list):
        return [nullable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {name: nullable(part) for name, part in schema.items()}
    if whole.get("nullable") is True and "allOf" in whole:
        return {"anyOf": [{"allOf": whole["allOf"]}, {"enum": [None], "nullable": True}]}
    return whole


class Contract:
    def __init__(self, text):
        self.whole = json.loads(text)
        self.schemas = self.whole["components"]["schemas"]
        self.typed = nullable(self.whole["components"])
        self.operations = {}
        for path, methods in self.whole["paths"].items():
            template = re.sub(r"\{[^}]*\}", "{id}", path)
            for method, operation in methods.items():
                if method in ("get", "post", "patch", "put", "delete"):
                    self.operations.setdefault(f"{method.upper()} {template}", operation)

    def operation(self, name):
        """Items are the same in a folder as in the mailbox."""
        if name in self.operations:
            return self.operations[name]
        return None

    def resolve(self, schema):
        while "$ref" in schema:
            at = self.whole
            for part in schema["$ref"].removeprefix("#/").split("/"):
                at = at[part]
            schema = at
        return schema

    def types(self, schema, value, errors, place):
        root = {"components": self.typed, "allOf": [nullable(schema)]}
        validator = OAS30Validator(root, format_checker=oas30_format_checker)
        for error in validator.iter_errors(value):
            path = "/".join(str(part) for part in error.absolute_path)
            errors.append(f"{place}{path}: {error.message[:200]}")

    def members(self, schema, kind):
        """Names of members with their schemas; with those of the derived type that is named."""
        schema = self.resolve(schema)
        found = dict(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            found.update(self.members(part, kind))
        for part in schema.get("anyOf", []) + schema.get("oneOf", []):
            name = part.get("$ref", "").removeprefix(REF)
            if name and re.sub(r"-(create|update)$", "", name) == kind:
                found.update(self.members(part, kind))
        return found

    def title(self, schema):
        schema = self.resolve(schema)
        title = schema.get("title", "")
        for part in schema.get("allOf", []):
            title = title or self.title(part)
        return title.split(" ")[0]

    def names(self, schema, value, errors, place):
        """That members are known, by the type that holds them."""
        if isinstance(value, list):
            items = self.resolve(schema).get("items", {})
            for entry in value:
                self.names(items, entry, errors, place)
            return
        if not isinstance(value, dict):
            return
        kind = value.get("@odata.type", "").removeprefix("#")
        known = self.members(schema, kind)
        if kind and kind not in self.schemas:
            errors.append(f"{place}: {kind} is no type")
        more = DOCUMENTED_MEMBERS.get(self.title(schema), set())
        if place.endswith("error/"):
            more = more | DOCUMENTED_MEMBERS["error"]
        for name, member in value.items():
            if name in known:
                self.names(known[name], member, errors, f"{place}{name}/")
            elif name in ANNOTATIONS or name in more or name.endswith("@odata.type"):
                pass
            elif known or self.resolve(schema).get("additionalProperties") is False:
                errors.append(f"{place}{name} is no member of {self.title(schema) or 'this'}")

    def hold(self, schema, value, errors, place):
        self.types(schema, value, errors, place)
        self.names(schema, value, errors, place)


def query(contract, name, operation, options, errors):
    parameters = [contract.resolve(p) for p in operation.get("parameters", [])]
    known = {p["name"]: p["schema"] for p in parameters if p["in"] == "query"}
    more = DOCUMENTED_OPTIONS.get(name, set())
    what = name.rstrip("/").removesuffix("/{id}").removesuffix("/delta").rsplit("/", 1)[1]
    for option, value in options:
        if option not in known and option not in more:
            errors.append(f"?{option} is no option of {name}")
            continue
        schema = known.get(option, {})
        allowed = set(contract.resolve(schema.get("items", {})).get("enum", []))
        if option == "$expand":
            parts = [p.split("(")[0].strip() for p in re.split(r",(?![^(]*\))", value)]
            allowed |= DOCUMENTED_EXPANSIONS.get(what, set())
        elif option in ("$select", "$orderby"):
            parts = [p.strip() for p in value.split(",")]
            if not allowed and what in ("messages", "items", "mailFolders"):
                entity = {"messages": "message", "items": "mailboxItem", "mailFolders": "mailFolder"}[what]
                members = set(contract.schemas["microsoft.graph." + entity]["properties"])
                allowed = members | {m + " desc" for m in members} | {m + " asc" for m in members}
        elif schema.get("type") in ("integer", "boolean"):
            typed = json.loads(value) if re.fullmatch(r"\d+|true|false", value) else value
            contract.types(schema, typed, errors, f"?{option} ")
            continue
        else:
            continue
        for part in parts:
            if part not in allowed:
                errors.append(f"?{option}={part} is no member that can be named there")


def request(contract, document, errors):
    name = f"{document['method']} {document['template']}"
    operation = contract.operation(name)
    kind, body = document["kind"], document["body"]
    if name in DOCUMENTED_REQUESTS:
        return contract.hold(DOCUMENTED_REQUESTS[name], body, errors, "")
    if name in NO_SCHEMA:
        return None
    if operation is None:
        return errors.append(f"{name} is no operation")
    query(contract, name, operation, document["query"], errors)
    described = contract.resolve(operation.get("requestBody", {})).get("content", {})
    if kind and not described and body not in (None, {}):
        return errors.append(f"{name} takes no body")
    if not kind:
        required = contract.resolve(operation.get("requestBody", {})).get("required", False)
        return errors.append(f"{name} needs a body") if required else None
    if described and kind not in described:
        return errors.append(f"{name} does not take {kind}")
    if kind == "application/json" and described:
        contract.hold(lenient(contract, described[kind]["schema"], body), body, errors, "")
    return None


def lenient(contract, schema, body):
    """Parameters of actions are described in capitals, and documented with a small letter."""
    schema = contract.resolve(schema)
    members = schema.get("properties", {})
    if "title" in schema or not isinstance(body, dict):
        return schema
    small = {name[:1].lower() + name[1:]: member for name, member in members.items()}
    return {**schema, "properties": {**members, **small}}


def answer(contract, document, errors):
    name = f"{document['method']} {document['template']}"
    status, kind, body = document["status"], document["kind"], document["body"]
    if status >= 400:
        return contract.hold({"$ref": REF + "error"}, body, errors, "")
    if (name, status) in DOCUMENTED_ANSWERS:
        schema = DOCUMENTED_ANSWERS[(name, status)]
        return contract.hold(schema, body, errors, "") if schema else None
    operation = contract.operation(name)
    if operation is None:
        return errors.append(f"{name} is no operation")
    described = operation["responses"].get(str(status))
    if described is None:
        return errors.append(f"{name} is not answered with {status}")
    content = contract.resolve(described).get("content", {})
    if not content:
        return errors.append(f"{name} is answered with nothing") if kind else None
    if kind not in content:
        return errors.append(f"{name} is not answered with {kind}")
    if kind == "application/json":
        contract.hold(content[kind]["schema"], body, errors, "")
    return None


# What has to be refused, or the validation is worth nothing.
MESSAGES, ATTACHMENTS = "/users/{id}/mailFolders/{id}/messages", "/users/{id}/messages/{id}/attachments"
WRONG = [
    ("POST", MESSAGES, [], {"subjekt": "x"}),
    ("POST", MESSAGES, [], {"subject": 5}),
    ("POST", MESSAGES, [], {"importance": "urgent"}),
    ("POST", MESSAGES, [], {"flag": {"flagStatus": "starred"}}),
    ("GET", MESSAGES, [["$select", "subjekt"]], None),
    ("GET", "/users/{id}/mailfolders", [], None),
    ("POST", ATTACHMENTS, [], {"@odata.type": "#microsoft.graph.fileAttachment", "contentByte": "x"}),
    ("POST", ATTACHMENTS, [], {"@odata.type": "#microsoft.graph.itemAttachment",
                               "item": {"@odata.type": "#microsoft.graph.message", "subjekt": "x"}}),
    ("POST", "/users/{id}/messages/{id}/move", [], {"destinationID": "x"}),
]


def main(contract, directory):
    contract = Contract(pathlib.Path(contract).read_text(encoding="utf-8"))
    for method, template, options, body in WRONG:
        errors = []
        kind = "" if body is None else "application/json"
        wrong = {"method": method, "template": template, "query": options, "kind": kind, "body": body}
        request(contract, wrong, errors)
        if not errors:
            sys.exit(f"this is wrong, and passes: {wrong}")
    for file in sorted(pathlib.Path(directory).glob("*.json")):
        document = json.loads(file.read_text(encoding="utf-8"))
        errors = []
        (answer if "status" in document else request)(contract, document, errors)
        for error in errors:
            print(f"error {file.name}: {document['method']} {document['template']}: {error}")
        if not errors:
            print(f"valid {file.name}")


main(*sys.argv[1:])
