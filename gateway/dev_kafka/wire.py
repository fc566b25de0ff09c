"""One question in Kafka's own protocol, without a client library: which brokers take part?"""

import secrets
import socket
import struct

METADATA, VERSION = 3, 1
BIGGEST = 1 << 20


def brokers(port: int, timeout: float = 1.0) -> dict[int, int]:
    """Node id -> port of the brokers that the one at 127.0.0.1:`port` counts in; empty when it does not answer."""
    correlation = secrets.randbits(31)
    # Version 1: no client id (-1), an empty list of topics.
    request = struct.pack(">hhihi", METADATA, VERSION, correlation, -1, 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", _exactly(connection, 4))
            if not 8 <= length <= BIGGEST:
                return {}
            answer = _exactly(connection, length)
        return _read(answer, correlation)
    except (OSError, EOFError, struct.error):
        return {}


def _read(answer: bytes, correlation: int) -> dict[int, int]:
    echoed, count = struct.unpack_from(">ii", answer)
    if echoed != correlation:
        return {}
    place, found = 8, {}
    for _ in range(count):
        node, host = struct.unpack_from(">ih", answer, place)
        (port,) = struct.unpack_from(">i", answer, place + 6 + host)
        (rack,) = struct.unpack_from(">h", answer, place + 10 + host)
        found[node] = port
        place += 12 + host + max(rack, 0)
    return found


def _exactly(connection: socket.socket, length: int) -> bytes:
    parts = b""
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts
