"""Pictures of the page in fewer bytes: PNG with a palette.

The browser writes three bytes a pixel, though a page has few colours but for
the edges of its letters.
"""
import collections
import struct
import zlib

HEAD = b"\x89PNG\r\n\x1a\n"
RGB, PALETTE = 2, 3


def chunks(data):
    at = len(HEAD)
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at:at + 8])
        yield name, data[at + 8:at + 8 + length]
        at += length + 12


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(
        ">I", zlib.crc32(name + body))


def predict(kind, left, up, corner):
    """What a filter of PNG takes a byte for."""
    if kind == 4:
        guess = left + up - corner
        return min((left, up, corner), key=lambda one: abs(guess - one))
    return (0, left, up, (left + up) // 2)[kind]


def read_rows(raw, stride):
    above = bytes(stride)
    for at in range(0, len(raw), stride + 1):
        kind, row = raw[at], bytearray(raw[at + 1:at + 1 + stride])
        for i in range(stride if kind else 0):
            left, corner = (row[i - 3], above[i - 3]) if i >= 3 else (0, 0)
            row[i] = (row[i] + predict(kind, left, above[i], corner)) & 255
        above = bytes(row)
        yield list(struct.iter_unpack("3B", above))


def shrink(data):
    """The same picture with the 256 colours that it has most of; the others
    become the one of them that is nearest."""
    parts = list(chunks(data))
    width, height, depth, kind = struct.unpack(">IIBB", parts[0][1][:10])
    assert (depth, kind, parts[0][1][12]) == (8, RGB, 0), parts[0]
    raw = zlib.decompress(b"".join(body for name, body in parts
                                   if name == b"IDAT"))
    rows = list(read_rows(raw, 3 * width))
    counts = collections.Counter(pixel for row in rows for pixel in row)
    palette = [colour for colour, _ in counts.most_common(256)]
    index = {colour: number for number, colour in enumerate(palette)}
    for colour in counts:
        if colour not in index:
            index[colour] = min(range(len(palette)), key=lambda number: sum(
                (a - b) ** 2 for a, b in zip(palette[number], colour)))
    packed = b"".join(b"\0" + bytes(index[pixel] for pixel in row)
                      for row in rows)
    return HEAD + chunk(b"IHDR", struct.pack(
        ">IIBBBBB", width, height, 8, PALETTE, 0, 0, 0)) + chunk(
        b"PLTE", bytes(part for colour in palette for part in colour)
        ) + chunk(b"IDAT", zlib.compress(packed, 9)) + chunk(b"IEND", b"")
