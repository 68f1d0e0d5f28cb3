"""A real picture, made without a library."""

import struct
import zlib


def png(width: int, height: int) -> bytes:
    """A PNG of crates in rows: eight bits of grey for each pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(
        b"\0" + bytes(40 if x % 40 < 3 or y % 25 < 3 else 120 + (x * y) % 90 for x in range(width))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
