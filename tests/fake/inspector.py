#!/usr/bin/env python3
"""A scripted inspector: speaks like Node's, or fails like none should.

    inspector.py [--port N] [--behaviour NAME] [--list]

Imported by the end-to-end tests, which make an Inspector with a Behaviour and
look at what it was asked afterwards.  By hand it serves until Ctrl-C, so that
a failure can be looked at with podprof or with curl.

A Behaviour is a class; BEHAVIOURS names the ones that lie, stall, split and
close.  Everything blocks on the client or on the inspector's end, never on a
timer of its own, so that what is measured is podprof's patience alone.
"""
import argparse
import base64
import functools
import hashlib
import json
import os
import random
import re
import select
import signal
import socket
import struct
import threading
import uuid

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HEAD_MAX = 65536
FRAME_MAX = 1 << 20


class Gone(Exception):
    """The client has left, or the inspector is being ended."""


def small_snapshot(names=("Order", "Łódź", "\U0001f600"), padding=0):
    """A whole heap snapshot, as text: one root with an object per name, and
    so many bytes of padding in a further string."""
    meta = {
        "node_fields": ["type", "name", "id", "self_size", "edge_count"],
        "node_types": [["hidden", "object"], "string", "number", "number",
                       "number"],
        "edge_fields": ["type", "name_or_index", "to_node"],
        "edge_types": [["context", "element", "property"], "string_or_number",
                       "node"],
    }
    width = len(meta["node_fields"])
    strings = ["", *names, "p" * padding]
    nodes = [0, 0, 1, 0, len(names)]
    edges = []
    for i in range(len(names)):
        nodes += [1, i + 1, 2 * i + 3, 40, 0]
        edges += [1, i, width * (i + 1)]
    return json.dumps({
        "snapshot": {"meta": meta, "node_count": len(names) + 1,
                     "edge_count": len(names)},
        "nodes": nodes, "edges": edges, "strings": strings})


NAMES = 64
BLOCK_NODES = 4096
# So many blocks differ: what is repeated lies farther apart than a
# compressor looks back.
BLOCKS = 256


@functools.lru_cache(BLOCKS)
def node_block(seed):
    """Nodes as V8 writes them, some 70 KB, that no other seed has."""
    dice = random.Random(seed)
    first = 3 + 2 * BLOCK_NODES * dice.randrange(1000)
    return "".join(
        f"\n,1,{dice.randrange(NAMES)},{first + 2 * i},"
        f"{dice.choice((16, 24, 32, 40, 56, 120))},0"
        for i in range(BLOCK_NODES))


def noise_strings(seed, count):
    """So many strings of 1000 characters that hardly compress."""
    data = base64.b64encode(random.Random(seed).randbytes(750 * count))
    text = data.decode()
    return "".join(f',\n"{text[at:at + 1000]}"'
                   for at in range(0, len(text), 1000))


def snapshot_pieces(size, noise=False, seed=0):
    """A whole heap snapshot of about so many bytes, as pieces of some 70 KB.
    It shrinks as V8's own do; with noise hardly."""
    head = small_snapshot([f"name-{seed}-{i}" for i in range(NAMES - 1)])
    snapshot = json.loads(head)
    count = max(1, size // len(node_block(seed * BLOCKS)))
    names = ",\n".join(map(json.dumps, snapshot["strings"]))
    blocks = 1 if noise else count
    snapshot["snapshot"]["node_count"] += blocks * BLOCK_NODES

    def array(name):
        return ",".join(map(str, snapshot[name]))
    yield (f'{{"snapshot":{json.dumps(snapshot["snapshot"])},\n'
           f'"nodes":[{array("nodes")}')
    for number in range(blocks):
        yield node_block(seed * BLOCKS + number % BLOCKS)
    yield f'],\n"edges":[{array("edges")}],\n"strings":[{names}'
    for number in range(count if noise else 0):
        yield noise_strings(seed * BLOCKS + number, 70)
    yield "]}"


def endless_head():
    """What a snapshot begins with whose last string has no end."""
    *pieces, _ = snapshot_pieces(1)
    return "".join(pieces) + ',"'


def small_profile(functions=(("hotLoopOfSample", 50),)):
    """A whole CPU profile of functions that have so many samples each, beside
    each other."""
    frame = {"scriptId": "1", "url": "", "lineNumber": 0, "columnNumber": 0}
    nodes = [{"id": 2 + i, "callFrame": dict(frame, functionName=name),
              "hitCount": hits} for i, (name, hits) in enumerate(functions)]
    samples = [node["id"] for node in nodes for _ in range(node["hitCount"])]
    root = {"id": 1, "callFrame": dict(frame, functionName="(root)"),
            "hitCount": 0, "children": [node["id"] for node in nodes]}
    return {
        "nodes": [root, *nodes],
        "startTime": 1000, "endTime": 1000 + 1000 * len(samples),
        "samples": samples, "timeDeltas": [1000] * len(samples)}


def small_heap_profile(function="keepOfSample"):
    """A whole heap profile with all bytes in one function."""
    frame = {"scriptId": "1", "url": "", "lineNumber": 0, "columnNumber": 0}
    leaf = {"callFrame": dict(frame, functionName=function), "id": 2,
            "selfSize": 4096, "children": []}
    return {"head": {"callFrame": dict(frame, functionName="(root)"), "id": 1,
                     "selfSize": 0, "children": [leaf]},
            "samples": [{"size": 4096, "nodeId": 2, "ordinal": 1}]}


class Session:
    """One WebSocket connection, seen from the inspector's side."""

    def __init__(self, inspector, connection, piece):
        self.inspector = inspector
        self.connection = connection
        self.piece = piece
        self.lock = threading.Lock()
        self.is_over = False

    def send_bytes(self, data):
        """Raw bytes; in TCP pieces of self.piece, if that is set."""
        step = self.piece or len(data)
        with self.lock:
            try:
                for at in range(0, len(data), step):
                    self.connection.sendall(data[at:at + step])
            except OSError as error:
                raise Gone from error

    def send_frame(self, payload, opcode=TEXT, final=True):
        head = bytes([(0x80 if final else 0) | opcode])
        if len(payload) < 126:
            head += bytes([len(payload)])
        elif len(payload) < 65536:
            head += b"\x7e" + struct.pack(">H", len(payload))
        else:
            head += b"\x7f" + struct.pack(">Q", len(payload))
        self.send_bytes(head + payload)

    def send(self, message):
        # As V8 writes it: ASCII, everything else as \uXXXX.
        self.send_frame(json.dumps(message).encode())

    def reply(self, command, result):
        self.send({"id": command["id"], "result": result})

    def event(self, method, params):
        self.send({"method": method, "params": params})

    def chunk(self, text):
        self.event("HeapProfiler.addHeapSnapshotChunk", {"chunk": text})

    def close(self):
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        raise Gone

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.connection.recv(count - len(data))
            except OSError as error:
                raise Gone from error
            if not part:
                raise Gone
            data += part
        return data

    def read_frame(self):
        """(opcode, payload) of one frame; Gone if the client breaks a rule
        on which Node's inspector would drop it."""
        first, second = self.read_exactly(2)
        size = second & 0x7f
        if size == 126:
            size, = struct.unpack(">H", self.read_exactly(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.read_exactly(8))
        if not second & 0x80 or not first & 0x80 or size > FRAME_MAX:
            self.inspector.offences.append(f"frame {first:02x} {second:02x}")
            raise Gone
        mask = self.read_exactly(4)
        payload = bytes(byte ^ mask[i % 4]
                        for i, byte in enumerate(self.read_exactly(size)))
        return first & 0x0f, payload

    def stall(self):
        """Say nothing more; returns never, ends with the client."""
        while True:
            self.read_exactly(1)


ARCH = {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, "?")
CALL = re.compile(r'(?s)\((.*)\)\(((?:"(?:[^"\\]|\\.)*",?)*)\)')


def split_call(expression):
    """(function, arguments) of "(function)(arguments)", all of them strings."""
    function, args = CALL.fullmatch(expression).groups()
    return function, json.loads(f"[{args}]")


class Behaviour:
    """Node as it should be, with a heap of a few objects.

    hold  a threading.Event or None: a heap snapshot stops after its first
          chunk until it is set.
    """
    piece = None
    chunks = 4
    # As large a snapshot as podprof is to expect, by what is told of the heap.
    expected = 13 << 20
    # What is told besides, see target.c.
    more_facts = {}
    functions = (("hotLoopOfSample", 50),)    # of a CPU profile

    def __init__(self, hold=None):
        self.hold = hold
        self.started = threading.Event()    # a capture has begun
        self.sampler = None    # the session whose heap sampler it is

    # HTTP: raw bytes of the answer.
    def list(self, inspector, host):
        targets = [{
            "description": "node.js instance", "id": inspector.id,
            "title": "fake", "type": "node", "url": "file:///fake.js",
            "webSocketDebuggerUrl": f"ws://{host}/{inspector.id}"}]
        return http_answer(200, json.dumps(targets))

    def on_list(self, session, host):
        session.send_bytes(self.list(session.inspector, host))

    def on_upgrade(self, session, key):
        accept = base64.b64encode(
            hashlib.sha1((key + GUID).encode()).digest()).decode()
        session.send_bytes(
            ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
             f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
             ).encode())

    # CDP.
    def on_command(self, session, command):
        handlers = {
            "Runtime.evaluate": self.on_evaluate,
            "HeapProfiler.takeHeapSnapshot": self.on_snapshot,
            "Profiler.start": self.on_profile_start,
            "Profiler.stop": self.on_profile_stop,
            "HeapProfiler.startSampling": self.on_sampling_start,
            "HeapProfiler.getSamplingProfile": self.on_sampling_look,
            "HeapProfiler.stopSampling": self.on_sampling_stop,
        }
        method = command["method"]
        if method in handlers:
            handlers[method](session, command)
        elif method.split(".")[0] in ("Profiler", "HeapProfiler",
                                      "NodeRuntime", "Runtime"):
            session.reply(command, {})
        else:
            session.send({"id": command["id"], "error": {
                "code": -32601, "message": f"'{method}' wasn't found"}})

    def on_evaluate(self, session, command):
        text = self.evaluate(session, *split_call(
            command["params"]["expression"]))
        session.reply(command, {"result": {"type": "string", "value": text}})

    def evaluate(self, session, function, args):
        """What a function of podprof's returns in the app."""
        return json.dumps({
            "pid": 4711, "node": "v20.0.0-fake", "arch": ARCH,
            "rss": 64 << 20, "heapUsed": self.expected * 5 // 12,
            **self.more_facts})

    def snapshot_text(self):
        return small_snapshot()

    def on_snapshot(self, session, command):
        text = self.snapshot_text()
        step = max(1, -(-len(text) // self.chunks))
        for number, at in enumerate(range(0, len(text), step)):
            session.event("HeapProfiler.reportHeapSnapshotProgress",
                          {"done": at, "total": len(text)})
            session.chunk(text[at:at + step])
            if number == 0:
                self.started.set()
                self.wait_for_hold(session)
        session.event("HeapProfiler.reportHeapSnapshotProgress",
                      {"done": len(text), "total": len(text),
                       "finished": True})
        session.reply(command, {})

    def wait_for_hold(self, session):
        while self.hold is not None and not self.hold.wait(0.02):
            if session.inspector.ended.is_set():
                raise Gone

    def on_profile_start(self, session, command):
        self.started.set()
        session.reply(command, {})

    def on_profile_stop(self, session, command):
        session.reply(command, {"profile": small_profile(self.functions)})

    # V8 has one sampler, whoever asks for it, and it ends with the session
    # that began it.
    def on_sampling_start(self, session, command):
        self.started.set()
        if self.sampler is None or self.sampler.is_over:
            self.sampler = session
        session.reply(command, {})

    def on_sampling_look(self, session, command):
        if self.sampler is None or self.sampler.is_over:
            session.send({"id": command["id"], "error": {
                "code": -32000,
                "message": "V8 sampling heap profiler was not started."}})
        else:
            session.reply(command, {"profile": small_heap_profile()})

    def on_sampling_stop(self, session, command):
        self.on_sampling_look(session, command)
        self.sampler = None


def http_answer(status, body, head=""):
    return (f"HTTP/1.0 {status} OK\r\nContent-Type: application/json; "
            f"charset=UTF-8\r\nContent-Length: {len(body.encode())}\r\n"
            f"{head}\r\n{body}").encode()


class StallList(Behaviour):
    def on_list(self, session, host):
        session.stall()


class CloseList(Behaviour):
    def on_list(self, session, host):
        session.close()


class GarbageList(Behaviour):
    def list(self, inspector, host):
        return http_answer(200, "[{\"type\":\"node\"")


class NotHttp(Behaviour):
    def on_list(self, session, host):
        session.send_bytes(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        session.stall()


class HugeList(Behaviour):
    """Two megabytes where a few hundred bytes are due."""

    def list(self, inspector, host):
        return http_answer(200, "[" + " " * (2 << 20) + "]")


class EmptyList(Behaviour):
    def list(self, inspector, host):
        return http_answer(200, "[]")


class HiddenList(Behaviour):
    """As with --inspect-publish-uid=stderr."""

    def list(self, inspector, host):
        return http_answer(404, "")


class StallUpgrade(Behaviour):
    def on_upgrade(self, session, key):
        session.stall()


class RefuseUpgrade(Behaviour):
    def on_upgrade(self, session, key):
        session.send_bytes(b"HTTP/1.0 400 Bad Request\r\n\r\n"
                           b"WebSockets request was expected\r\n")
        session.close()


class WrongAccept(Behaviour):
    def on_upgrade(self, session, key):
        super().on_upgrade(session, "not the key")


class StallEvaluate(Behaviour):
    def on_evaluate(self, session, command):
        session.stall()


class HoldEvaluate(Behaviour):
    """Right, but tells nothing of itself until its hold is set."""

    def on_evaluate(self, session, command):
        self.started.set()
        self.wait_for_hold(session)
        super().on_evaluate(session, command)


class GarbageEvaluate(Behaviour):
    def on_evaluate(self, session, command):
        session.send_frame(b'{"id":' + str(command["id"]).encode() +
                           b',"result":{"result":\xff\xfe')
        session.stall()


class FactsNoJson(Behaviour):
    def on_evaluate(self, session, command):
        session.reply(command, {"result": {"type": "string", "value": "v8"}})


class ErrorReply(Behaviour):
    def on_snapshot(self, session, command):
        session.send({"id": command["id"], "error": {
            "code": -32000, "message": "Cannot take a snapshot\u001b[31m"}})


class WrongId(Behaviour):
    """Answers a question nobody asked, then nothing."""

    def on_snapshot(self, session, command):
        session.reply({"id": command["id"] + 1000}, {})
        session.stall()


class StallSnapshot(Behaviour):
    def on_snapshot(self, session, command):
        session.stall()


class StallMidSnapshot(Behaviour):
    def on_snapshot(self, session, command):
        session.chunk(self.snapshot_text()[:100])
        self.started.set()
        session.stall()


class CloseMidChunk(Behaviour):
    """A frame that promises more than it brings."""

    def on_snapshot(self, session, command):
        session.send_bytes(b"\x81\x7e\x40\x00" +
                           b'{"method":"HeapProfiler.addHeapSnapshotChunk",'
                           b'"params":{"chunk":"' + b"x" * 1000)
        session.close()


class CloseFrame(Behaviour):
    """Leaves politely, as inspector.close() in the app does."""

    def on_snapshot(self, session, command):
        session.chunk(self.snapshot_text()[:100])
        session.send_frame(b"", CLOSE)
        session.close()


class TruncatedSnapshot(Behaviour):
    """Half a snapshot, and the word that it is whole."""

    def snapshot_text(self):
        text = small_snapshot()
        return text[:len(text) // 2]


class EmptySnapshot(Behaviour):
    def on_snapshot(self, session, command):
        session.reply(command, {})


class GarbageSnapshot(Behaviour):
    """A chunk whose JSON is broken in the middle of the text."""

    def on_snapshot(self, session, command):
        session.send_frame(b'{"method":"HeapProfiler.addHeapSnapshotChunk",'
                           b'"params":{"chunk":"abc\\q"}}')
        session.stall()


class ChunkNoText(Behaviour):
    def on_snapshot(self, session, command):
        session.event("HeapProfiler.addHeapSnapshotChunk", {"chunk": 17})
        session.reply(command, {})


class HugeControl(Behaviour):
    """An event of two megabytes that is no chunk."""

    def on_snapshot(self, session, command):
        session.event("HeapProfiler.heapStatsUpdate",
                      {"statsUpdate": "x" * (2 << 20)})
        session.stall()


class EndlessChunk(Behaviour):
    """One chunk in one frame that never ends."""

    def on_snapshot(self, session, command):
        session.send_bytes(
            b"\x81\x7f" + struct.pack(">Q", 1 << 40) +
            b'{"method":"HeapProfiler.addHeapSnapshotChunk",'
            b'"params":{"chunk":' + json.dumps(endless_head())[:-1].encode())
        while True:
            session.send_bytes(b"x" * 65536)


class Deep(Behaviour):
    """An event nested a hundred thousand levels deep."""

    def on_snapshot(self, session, command):
        session.send_frame(b'{"method":"HeapProfiler.lastSeenObjectId",'
                           b'"params":' + b"[" * 100000 + b"]" * 100000 + b"}")
        session.stall()


class ErrorProfile(Behaviour):
    def on_profile_start(self, session, command):
        session.send({"id": command["id"], "error": {
            "code": -32000, "message": "Profiler is not enabled"}})


class NoProfile(Behaviour):
    def on_profile_stop(self, session, command):
        session.reply(command, {})


class CloseInProfile(Behaviour):
    def on_profile_start(self, session, command):
        session.reply(command, {})
        session.close()


class StallProfileStop(Behaviour):
    def on_profile_stop(self, session, command):
        session.stall()


class TruncatedProfile(Behaviour):
    """The connection ends in the middle of the profile."""

    def on_profile_stop(self, session, command):
        text = json.dumps({"id": command["id"],
                           "result": {"profile": small_profile()}}).encode()
        session.send_bytes(b"\x81\x7e" + struct.pack(">H", len(text)) +
                           text[:len(text) // 2])
        session.close()


class BytePieces(Behaviour):
    """Right, but every byte comes in a TCP segment of its own."""
    piece = 1
    chunks = 40


class Fragments(Behaviour):
    """Right, but every message comes in WebSocket fragments of 7 bytes."""

    def on_snapshot(self, session, command):
        text = self.snapshot_text()
        message = json.dumps({
            "method": "HeapProfiler.addHeapSnapshotChunk",
            "params": {"chunk": text}}).encode()
        for at in range(0, len(message), 7):
            session.send_frame(message[at:at + 7], TEXT if at == 0 else 0,
                               at + 7 >= len(message))
        session.reply(command, {})


class Pings(Behaviour):
    """Right, but with ping frames between the chunks."""

    def on_snapshot(self, session, command):
        text = self.snapshot_text()
        session.send_frame(b"are you there", PING)
        session.chunk(text[:50])
        session.send_frame(b"", PING)
        session.chunk(text[50:])
        session.reply(command, {})


class Strangers(Behaviour):
    """Right, but with events and a reply that nobody asked for."""

    def on_snapshot(self, session, command):
        session.event("Debugger.scriptParsed", {"scriptId": "1", "chunk": "x"})
        session.reply({"id": 99}, {"chunk": "y"})
        super().on_snapshot(session, command)


class KeysReversed(Behaviour):
    """A chunk whose params stand before its method, as V8 never writes."""

    def on_snapshot(self, session, command):
        text = self.snapshot_text()
        session.send_frame(
            b' { "params" : { "x":[1,{"chunk":"no"}], "chunk" : ' +
            json.dumps(text).encode() +
            b' } , "method" : "HeapProfiler.addHeapSnapshotChunk" } ')
        session.reply(command, {})


class Large(Behaviour):
    """Right, with a snapshot of 16 MB in three chunks."""
    chunks = 3

    def snapshot_text(self):
        return small_snapshot(padding=16 << 20)


class Big(Behaviour):
    """Right, with a snapshot as large as it is told.

    size, noise, seed  of snapshot_pieces()
    expected  the size that the app leads podprof to expect
    """
    size = 12 << 20
    noise = False
    seed = 0
    expected = 18 << 20

    def pieces(self):
        return snapshot_pieces(self.size, self.noise, self.seed)

    def sha256(self):
        """The digest that the snapshot has in the end."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece.encode())
        return digest.hexdigest()

    def may_send(self, session):
        """Returns when the next piece is due."""

    def on_snapshot(self, session, command):
        self.started.set()
        for number, piece in enumerate(self.pieces()):
            self.may_send(session)
            session.event("HeapProfiler.reportHeapSnapshotProgress",
                          {"done": number, "total": number + 1})
            session.chunk(piece)
            if number == 0:
                self.wait_for_hold(session)
        session.reply(command, {})


class Stepwise(Big):
    """As Big, but each piece waits for a permit of its semaphore, steps."""

    def __init__(self, hold=None):
        super().__init__(hold)
        self.steps = threading.Semaphore(0)

    def may_send(self, session):
        while not self.steps.acquire(timeout=0.02):
            if session.inspector.ended.is_set():
                raise Gone


class Meeting(Behaviour):
    """Sees exchange_dir, loads the addon, forks a copy of itself and writes by
    itself; all as it should.  A thread plays the copy.

    copies  how many were forked
    killed  how many podprof has given up
    """

    def __init__(self, hold=None):
        super().__init__(hold)
        self.copies = self.killed = 0

    def evaluate(self, session, function, args):
        if "writeHeapSnapshot" in function:
            self.started.set()
            forks = ".fork(" in function
            return (self.fork if forks else self.write)(session, *args)
        if ".kill()" in function:
            self.killed += 1
            return ""
        if ".state()" in function:
            return self.state
        if "dlopen" in function or "lstatSync" in function:
            return ""
        return super().evaluate(session, function, args)

    def fork(self, session, data, status, *_):
        self.copies += 1
        thread = threading.Thread(target=self.run_copy,
                                  args=(session, data, status), daemon=True)
        session.inspector.threads.append(thread)
        thread.start()
        return "4712 1500"

    def run_copy(self, session, data, status):
        with open_fifo(data) as bytes_out, open_fifo(status) as lines_out:
            try:
                self.copy(session, bytes_out, lines_out)
            except (BrokenPipeError, Gone):
                pass

    def copy(self, session, data, status):
        status.write(b"begun 4712\n")
        self.direct(session, data)
        status.write(b"alive 120 40960\ndone\n")

    # What the app knows of a copy that has ended.
    state = "exited 0"

    def write(self, session, data, *_):
        with open_fifo(data) as out:
            try:
                self.direct(session, out)
            except BrokenPipeError:
                pass
        return ""

    def direct(self, session, out):
        text = self.snapshot_text().encode()
        out.write(text[:len(text) // 2])
        self.wait_for_hold(session)
        out.write(text[len(text) // 2:])


def open_fifo(path):
    """For writing; podprof reads it already."""
    return os.fdopen(os.open(path, os.O_WRONLY), "wb", buffering=0)


def is_reader_gone(file, within_ms):
    """Whether nobody reads the FIFO any more."""
    poll = select.poll()
    poll.register(file, 0)
    return bool(poll.poll(within_ms))


class GarbageCopy(Meeting):
    """Writes what is no snapshot; so does the app."""

    def direct(self, session, out):
        out.write(b"<html>" * 1000)


class EndlessCopy(Meeting):
    """Writes what begins like a snapshot, and has no end; so does the app."""

    def direct(self, session, out):
        out.write(endless_head().encode())
        while True:
            out.write(b"x" * 65536)


class HalfCopy(Meeting):
    """Writes half a snapshot, and the word that it is whole."""

    def direct(self, session, out):
        text = self.snapshot_text()
        out.write(text[:len(text) // 2].encode())


class SilentCopy(Meeting):
    """Begins, and does nothing more but say that it lives; nor does the app."""

    def copy(self, session, data, status):
        cpu_ms = 10
        status.write(b"begun 4712\n")
        while not is_reader_gone(status, 500):
            status.write(b"alive %d 4096\n" % cpu_ms)
            cpu_ms += 1

    def direct(self, session, out):
        session.stall()


class BabblingCopy(Meeting):
    """Lines that nobody knows, without end, and without a byte of data."""

    def copy(self, session, data, status):
        number = 0
        while True:
            number += 1
            status.write(b"alive %d 99999999999999999999\nalive %d 1\n\0\n"
                         b"crashstuckfailed\nx" % (number, number) +
                         b"y" * 3000 + b"\n")


class LyingCopy(Meeting):
    """Says that it is done before it has written a byte."""

    def copy(self, session, data, status):
        status.write(b"done\nalive -1 -1\n")


class CrashingCopy(Meeting):
    """Ends by a signal, as its handler tells."""

    def copy(self, session, data, status):
        data.write(self.snapshot_text()[:100].encode())
        status.write(b"begun 4712\ncrash 11 -1\n")


class StuckCopy(Meeting):
    """Waits for a thread that it does not have."""

    def copy(self, session, data, status):
        status.write(b"begun 4712\nstuck pthread_cond_wait\n")


class SpentCopy(Meeting):
    """Crashes with nothing left of the memory that it may have."""
    more_facts = {"memAvailable": 1 << 30}

    def copy(self, session, data, status):
        status.write(b"begun 4712\nalive 900 700000\ncrash 6 3\n")


class VanishingCopy(Meeting):
    """Ends without a word; the app has seen it killed."""
    state = "killed 9"

    def copy(self, session, data, status):
        status.write(b"begun 4712\n")


class NoFork(Meeting):
    """Cannot fork."""

    def fork(self, session, data, status, *_):
        return "! fork: Cannot allocate memory"


class NoAddon(Meeting):
    """Cannot load the addon."""

    def evaluate(self, session, function, args):
        if "dlopen" in function:
            return args[0] + ": failed to map segment from shared object"
        return super().evaluate(session, function, args)


class NoMeeting(Meeting):
    """Sees no exchange_dir."""

    def evaluate(self, session, function, args):
        if "lstatSync" in function:
            return "ENOENT user 20203, groups 20204"
        return super().evaluate(session, function, args)


class NonsenseFork(Meeting):
    """Answers to the fork what makes no sense."""

    def fork(self, session, data, status, *_):
        return "-1 of us"


BEHAVIOURS = {cls.__name__: cls for cls in (
    Behaviour, StallList, CloseList, GarbageList, NotHttp, HugeList, EmptyList,
    HiddenList, StallUpgrade, RefuseUpgrade, WrongAccept, StallEvaluate,
    HoldEvaluate, GarbageEvaluate, FactsNoJson, ErrorReply, WrongId,
    StallSnapshot, StallMidSnapshot, CloseMidChunk, CloseFrame,
    TruncatedSnapshot, EmptySnapshot, GarbageSnapshot, ChunkNoText,
    HugeControl, EndlessChunk, Deep, ErrorProfile, NoProfile, CloseInProfile,
    StallProfileStop, TruncatedProfile, BytePieces, Fragments, Pings,
    Strangers, KeysReversed, Large, Big, Stepwise, Meeting, GarbageCopy,
    EndlessCopy, HalfCopy, SilentCopy, BabblingCopy, LyingCopy, CrashingCopy,
    StuckCopy, SpentCopy, VanishingCopy, NoFork, NoAddon, NoMeeting,
    NonsenseFork)}


class Inspector:
    """Listens on 127.0.0.1; one thread a connection.

    commands  (method, params) of every CDP command, in order of arrival
    offences  what a client did that makes Node's inspector drop it
    """

    def __init__(self, behaviour=None, port=0):
        self.behaviour = behaviour or Behaviour()
        self.id = str(uuid.uuid4())
        self.commands = []
        self.offences = []
        self.ended = threading.Event()
        self.connections = set()
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.add(connection)
            thread = threading.Thread(target=self.serve, args=(connection,),
                                      daemon=True)
            self.threads.append(thread)
            thread.start()

    def serve(self, connection):
        behaviour = self.behaviour
        session = Session(self, connection, behaviour.piece)
        try:
            self.serve_http(session, behaviour)
        except Gone:
            pass
        finally:
            session.is_over = True
            self.connections.discard(connection)
            connection.close()

    def serve_http(self, session, behaviour):
        head = b""
        while not head.endswith(b"\r\n\r\n") and len(head) < HEAD_MAX:
            head += session.read_exactly(1)
        line, *rest = head.decode("latin-1").split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in
                  (field.partition(":") for field in rest)}
        path = line.split(" ")[1]
        if "sec-websocket-key" in fields and path == f"/{self.id}":
            behaviour.on_upgrade(session, fields["sec-websocket-key"])
            self.serve_commands(session, behaviour)
        elif path == "/json/list":
            behaviour.on_list(session, fields.get("host", ""))
        else:
            session.send_bytes(b"HTTP/1.0 400 Bad Request\r\n\r\n"
                               b"WebSockets request was expected\r\n")

    def serve_commands(self, session, behaviour):
        while True:
            opcode, payload = session.read_frame()
            if opcode == CLOSE:
                return
            # Node drops the session on a ping, and so do we; a pong may only
            # follow a ping of ours.
            if opcode == PONG and isinstance(behaviour, Pings):
                continue
            if opcode != TEXT:
                self.offences.append(f"opcode {opcode}")
                return
            command = json.loads(payload)
            self.commands.append((command["method"], command.get("params")))
            behaviour.on_command(session, command)

    def close(self):
        self.ended.set()
        for stop in (lambda: self.listener.shutdown(socket.SHUT_RDWR),
                     self.listener.close):
            try:
                stop()
            except OSError:
                pass
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(5)
        for thread in self.threads:
            thread.join(5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--behaviour", default="Behaviour",
                        choices=sorted(BEHAVIOURS), metavar="NAME")
    parser.add_argument("--list", action="store_true",
                        help="print the behaviours and end")
    options = parser.parse_args()
    if options.list:
        for name, cls in BEHAVIOURS.items():
            print(f"{name:18} {(cls.__doc__ or '').strip().split(chr(10))[0]}")
        return
    inspector = Inspector(BEHAVIOURS[options.behaviour](), options.port)
    print(f"inspector {options.behaviour} at {inspector.address}", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        inspector.close()


if __name__ == "__main__":
    main()
