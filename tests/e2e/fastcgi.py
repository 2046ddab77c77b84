"""A FastCGI client that can also be wrong: records straight to the pool."""
import socket
import struct

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
RESPONDER = 1


def record(kind, content=b"", request_id=1, version=1, length=None):
    size = len(content) if length is None else length
    return struct.pack(">BBHHBx", version, kind, request_id, size, 0) + content


def begin(role=RESPONDER, flags=0):
    return record(BEGIN, struct.pack(">HB5x", role, flags))


def pair(name, value):
    out = b""
    for text in (name, value):
        out += (bytes([len(text)]) if len(text) < 128
                else struct.pack(">I", len(text) | 1 << 31))
    return out + name + value


def params(**variables):
    return b"".join(pair(name.encode(), value.encode())
                    for name, value in variables.items())


def request(path, method="GET", body=b"", **more):
    """All records of a sound request."""
    variables = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": path, "REQUEST_URI": path,
        "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1",
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1", **more}
    if body:
        variables.setdefault("CONTENT_LENGTH", str(len(body)))
    data = params(**variables)
    out = begin()
    for at in range(0, len(data), 65000):
        out += record(PARAMS, data[at:at + 65000])
    out += record(PARAMS)
    for at in range(0, len(body), 65000):
        out += record(STDIN, body[at:at + 65000])
    return out + record(STDIN)


def connect(path, timeout=30):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(str(path))
    return connection


def read_all(connection):
    data = b""
    while True:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not part:
            return data
        data += part


def stdout_of(data):
    """The STDOUT bytes of an answer."""
    out = b""
    while len(data) >= 8:
        _, kind, _, size, padding = struct.unpack(">BBHHBx", data[:8])
        if kind == STDOUT:
            out += data[8:8 + size]
        data = data[8 + size + padding:]
    return out


def call(path, records, timeout=30):
    """Send bytes, half-close nothing, read to the end: the STDOUT bytes."""
    with connect(path, timeout) as connection:
        connection.sendall(records)
        return stdout_of(read_all(connection))
