"""What conf/openapi.json says an address answers, held against what it did.

    Document   the document
    .find()    the operation of a request, if it has one
    .check()   Mismatch if a reply is not one that is described there

Strict where a client must not be: a member that no schema names is a mismatch,
too, as the document would be behind the program.
"""
import json
import math
import re

TYPES = {
    "null": lambda v: v is None,
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and
    not isinstance(v, bool) and math.isfinite(v),
    "string": lambda v: isinstance(v, str),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}
# Keywords that say nothing about a value, or nothing that is looked at here.
SILENT = {"description", "default", "format", "contentMediaType"}
# Every answer of podprof has it; those of the web server alone have not.
MARK = "X-Request-Id"


class Mismatch(Exception):
    """A reply is not what the document says, and where."""


def refuse(condition, message):
    if condition:
        raise Mismatch(message)


class Document:
    def __init__(self, text):
        self.root = json.loads(text)
        self.paths = [
            (re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))),
             path, operations)
            for path, operations in self.root["paths"].items()]

    def resolve(self, value):
        while "$ref" in value:
            found = self.root
            for part in value["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            value = found
        return value

    def find(self, method, path):
        """(path, operation), or None if there is no such address; operation
        is None where the address has no such method."""
        for pattern, name, operations in self.paths:
            if pattern.fullmatch(path):
                return name, operations.get(method.lower())
        return None

    def operations(self):
        return [(method, path, operation)
                for path, operations in self.root["paths"].items()
                for method, operation in operations.items()]

    def check(self, method, target, reply):
        """reply has status, headers, body and seconds."""
        if reply.headers.get(MARK) is None:
            return
        found = self.find(method, target.split("?")[0])
        if found is None:
            return
        path, operation = found
        where = f"{method} {target} ({path}): {reply.status}"
        if operation is None:
            refuse(reply.status not in (401, 404, 405, 503),
                   f"{where}: the method is not described")
            return
        described = operation["responses"].get(str(reply.status))
        refuse(described is None, f"{where}: the status is not described")
        self.check_headers(self.resolve(described), reply, where)
        self.check_body(self.resolve(described), method, reply, where)

    def check_headers(self, described, reply, where):
        """Those of podprof's own are named, where they come."""
        for name in reply.headers.keys():
            refuse(name.lower() in {n.lower() for n in
                                    self.root["components"]["headers"]} and
                   name.lower() not in {n.lower() for n in
                                        described.get("headers", ())},
                   f"{where}: the header {name} is not described")

    def check_body(self, described, method, reply, where):
        content = described.get("content")
        if method == "HEAD" or content is None:
            refuse(reply.body != b"", f"{where}: a body is not described")
            return
        kind = (reply.headers.get("Content-Type") or "").split(";")[0]
        refuse(kind not in content,
               f"{where}: the type {kind!r} is not described")
        schema = content[kind]["schema"]
        if kind.endswith("json"):
            self.check_value(schema, json.loads(reply.body), f"{where}: body")
        elif kind.startswith("text/"):
            self.check_value(schema, reply.body.decode(), f"{where}: body")

    def check_value(self, schema, value, where):
        schema = self.resolve(schema)
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        refuse(types and not any(TYPES[name](value) for name in types),
               f"{where}: {value!r} is not of type {types}")
        for keyword, wanted in schema.items():
            if keyword in SILENT or keyword in ("type", "additionalProperties",
                                                "required"):
                continue
            getattr(self, f"check_{keyword}")(schema, wanted, value, where)

    def check_enum(self, schema, wanted, value, where):
        refuse(value not in wanted, f"{where}: {value!r} is none of {wanted}")

    def check_const(self, schema, wanted, value, where):
        refuse(value != wanted, f"{where}: {value!r} is not {wanted!r}")

    def check_pattern(self, schema, wanted, value, where):
        refuse(isinstance(value, str) and not re.search(wanted, value),
               f"{where}: {value!r} does not match {wanted}")

    def check_minimum(self, schema, wanted, value, where):
        refuse(value is not None and value < wanted,
               f"{where}: {value!r} is below {wanted}")

    def check_maximum(self, schema, wanted, value, where):
        refuse(value is not None and value > wanted,
               f"{where}: {value!r} is above {wanted}")

    def check_items(self, schema, wanted, value, where):
        for i, item in enumerate(value or ()):
            self.check_value(wanted, item, f"{where}[{i}]")

    def check_properties(self, schema, wanted, value, where):
        if value is None:
            return
        for name in schema.get("required", ()):
            refuse(name not in value, f"{where}: {name} is missing")
        for name, member in value.items():
            refuse(name not in wanted, f"{where}: {name} is not described")
            self.check_value(wanted[name], member, f"{where}.{name}")

    def check_oneOf(self, schema, wanted, value, where):
        faults = []
        for choice in wanted:
            try:
                self.check_value(choice, value, where)
            except Mismatch as fault:
                faults.append(str(fault))
        refuse(len(wanted) - len(faults) != 1, "; or ".join(faults) or
               f"{where}: more than one of oneOf")
