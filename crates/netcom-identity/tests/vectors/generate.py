#!/usr/bin/env python3
"""Writes the vectors beside it, by an implementation of its own: python3 generate.py

Needs nothing but Python. Slow and not safe for real keys, but easy to compare with RFC 8032,
BIP 350 and libp2p's peer id specification.
"""
import hashlib
import json
import pathlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def sha512(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def recover_x(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * I % P
    if (x * x - x2) % P:
        return None
    return P - x if x and x & 1 != sign else x


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P


def multiply(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


BASE = (recover_x(4 * pow(5, P - 2, P) % P, 0), 4 * pow(5, P - 2, P) % P)


def compress(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decompress(data):
    y = int.from_bytes(data, "little")
    return recover_x(y & (1 << 255) - 1, y >> 255), y & (1 << 255) - 1


def le(number):
    return number.to_bytes(32, "little")


class Key:
    def __init__(self, seed):
        digest = bytearray(hashlib.sha512(seed).digest())
        digest[0] &= 248
        digest[31] &= 127
        digest[31] |= 64
        self.scalar = int.from_bytes(digest[:32], "little")
        self.prefix = bytes(digest[32:])
        self.public = compress(multiply(self.scalar, BASE))

    def sign_bare(self, message, r_point=None):
        """With r_point, a signature whose R is that point, as if its discrete logarithm were 0."""
        r = 0 if r_point else sha512(self.prefix, message) % L
        big_r = r_point or compress(multiply(r, BASE))
        return big_r + le((r + sha512(big_r, self.public, message) * self.scalar) % L)

    def sign(self, context, message):
        return self.sign_bare(separated(context, message))

    def netid(self):
        return b"\x01" + self.public

    def peer_id(self):
        return bytes([0, 36, 8, 1, 18, 32]) + self.public


def separated(context, message):
    return b"netcom-signature-v1:" + len(context).to_bytes(8, "big") + context.encode() + message


# Texts

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def bech32(prefix, data, constant=0x2BC830A3, padding=0):
    bits = int.from_bytes(data, "big")
    spare = -len(data) * 8 % 5
    bits = bits << spare | padding
    count = (len(data) * 8 + spare) // 5
    values = [bits >> 5 * (count - 1 - i) & 31 for i in range(count)]
    head = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = 1
    for value in head + values + [0] * 6:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]):
            check ^= generator if top >> i & 1 else 0
    check ^= constant
    values += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(BECH32[value] for value in values)


# Protobuf

def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def statement(netid, subject, start, end, sequence, roles, metadata, delegations):
    entries = [field(7, field(1, k) + field(2, v)) for k, v in sorted(metadata.items())]
    numbers = [field(3, start), field(4, end), field(5, sequence), field(6, roles)]
    body = field(1, netid) + field(2, subject) + b"".join(numbers + entries)
    return body + field(8, delegations)


def signed(key, context, body):
    return field(1, body) + field(2, key.sign(context, body))


def representation(steps):
    return field(1, len(steps)) + b"".join(field(2, step) for step in steps)


def signatures():
    key = Key(bytes(range(32)))
    context, message = "vectors/1", b"message"
    good = key.sign(context, message)
    r, s = good[:32], int.from_bytes(good[32:], "little")
    bare = separated(context, message)
    cases = []

    def case(name, result, signature, public=key.public, context=context, message=message):
        cases.append({
            "name": name, "result": result, "public_key": public.hex(), "context": context,
            "message": message.hex(), "signature": signature.hex(),
        })

    case("valid", "valid", good)
    for length in (0, 1, 1023):
        text = bytes(i % 251 for i in range(length))
        case(f"valid over {length} bytes", "valid", key.sign("", text), context="", message=text)
    for times in range(1, 16):
        if s + times * L < 2**256:
            case(f"S + {times} L", "mismatch", r + le(s + times * L))
    case("S = L", "mismatch", r + le(L))
    case("S = L - 1", "mismatch", r + le(L - 1))
    case("S = 0", "mismatch", r + le(0))
    case("S all ones", "mismatch", r + b"\xff" * 32)
    case("-S", "mismatch", r + le(L - s))
    case("R negated", "mismatch", r[:31] + bytes([r[31] ^ 0x80]) + good[32:])
    case("R of another message", "mismatch", key.sign(context, b"other")[:32] + good[32:])
    case("R off the curve", "mismatch", b"\x02" + bytes(31) + good[32:])
    case("cut", "length", good[:63])
    case("one byte more", "length", good + b"\0")
    case("empty", "length", b"")
    case("other message", "mismatch", good, message=b"messagf")
    case("other context", "mismatch", good, context="vectors/2")
    case("boundary moved into context", "mismatch", good, context="vectors/1m", message=b"essage")
    case("boundary moved into message", "mismatch", good, context="vectors/", message=b"1message")
    case("not separated", "mismatch", key.sign_bare(message))
    case("other key", "mismatch", good, public=Key(b"\1" * 32).public)
    # These pass the plain check of RFC 8032 for R of order 1 and must not pass the strict one.
    identity = le(1)
    case("R the identity", "mismatch", key.sign_bare(bare, identity))
    case("R the identity, not canonical", "mismatch", key.sign_bare(bare, le(P + 1)))
    eighth = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    torsion = [multiply(i, decompress(eighth)) for i in range(8)]
    for order, point in enumerate(torsion):
        encoded = compress(point)
        case(f"R small, {order}/8", "mismatch", key.sign_bare(bare, encoded))
        case(f"A small, {order}/8, S = 0", "weak", identity + le(0), public=encoded)
    for name, encoded in [
        ("0, y = p", le(P)), ("0 negative, y = p", le(P | 1 << 255)),
        ("1, y = p + 1", le(P + 1)), ("1 negative, y = p + 1", le(P + 1 | 1 << 255)),
        ("y = 2^255 - 1", le(2**255 - 1)), ("y = p + 3", le(P + 3)),
    ]:
        case(f"A not canonical: {name}", "not a point", good, public=encoded)
    case("A small, the identity with a sign", "weak", good, public=le(1 | 1 << 255))
    case("A small, -1 with a sign", "weak", good, public=le(P - 1 | 1 << 255))
    case("A off the curve", "not a point", good, public=le(2))
    return cases


def names():
    keys = [Key(bytes([i]) * 32) for i in (1, 7, 200)]
    valid = [{"bytes": k.netid().hex(), "netid": bech32("n", k.netid()),
              "peer_id": base58(k.peer_id())} for k in keys]
    # The generator of secp256k1, compressed.
    point = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    valid.append({"bytes": (b"\x02" + point).hex(), "netid": bech32("n", b"\x02" + point),
                  "peer_id": base58(bytes([0, 37, 8, 2, 18, 33]) + point)})
    good = valid[0]["netid"]
    netid = keys[0].netid()
    swapped = good[:20] + ("q" if good[20] != "q" else "p") + good[21:]
    invalid = [
        ["", "empty"], ["alice", "prefix"], [good[1:], "prefix"], [good[2:], "prefix"],
        ["b" + good[1:], "prefix"], [" " + good, "prefix"], [valid[0]["peer_id"], "prefix"],
        [good[:60], "length"], [good[:30], "length"], ["n1", "length"], [good + "q", "length"],
        [good + good[2:], "length"], [good[:-1] + "b", "character"], [good + " ", "character"],
        [good[:30] + "i" + good[31:], "character"], [good[:30] + "é" + good[31:], "character"],
        [good[:31].upper() + good[31:], "mixed case"], ["N" + good[1:], "mixed case"],
        [swapped, "checksum"], [good[:-3] + good[-2] + good[-3] + good[-1], "checksum"],
        [good[:10] + good[11] + good[10] + good[12:], "checksum"],
        [bech32("n", netid, constant=1), "checksum"],
        [bech32("n", netid, padding=1), "checksum"],
        [bech32("n", b"\x01" + netid[1:20] + b"\0" * 14), "key"],
        [bech32("n", b"\x00" + netid[1:]), "key"], [bech32("n", b"\x03" + netid[1:]), "key"],
        [bech32("n", b"\x02" + netid[1:]), "key"], [bech32("n", netid + b"\0"), "key"],
        [bech32("n", b"\x01" + le(1)), "key"],
    ]
    return {"valid": valid, "invalid": [{"text": t, "error": e} for t, e in invalid]}


def proofs():
    alice, server, helper, last = (Key(bytes([i]) * 32) for i in (1, 2, 3, 4))
    netid = alice.netid()
    issue, delegate = "netcom/representation/1", "netcom/delegation/1"
    first = statement(netid, server.peer_id(), 1000, 2000, 5, 7, {"region": "north"}, 2)
    second = statement(netid, helper.peer_id(), 1100, 1900, 6, 3, {}, 1)
    third = statement(netid, last.peer_id(), 1200, 1800, 7, 1, {"a": "1", "b": "2"}, 0)
    steps = [signed(alice, issue, first), signed(server, delegate, second),
             signed(helper, delegate, third)]
    chains = [representation(steps[: n + 1]) for n in range(3)]
    extension = field(1, chains[0]) + field(2, 1) + field(3, 1)
    address = bytes([4, 192, 0, 2, 1, 6]) + (4001).to_bytes(2, "big")
    address += b"\xa5\x03" + varint(38) + server.peer_id()
    service = field(1, "example/chat") + field(2, "1") + field(2, "2")
    record = field(1, server.peer_id()) + field(2, 9) + field(3, 2000) + field(4, 2)
    record += field(5, address) + field(6, service)
    record += field(7, field(1, "region") + field(2, "north")) + field(8, chains[0])
    body = f"netcom:{base58(server.peer_id())},id={bech32('n', netid)},at=/ip4/192.0.2.1/tcp/4001"
    check = hashlib.sha256(body[7:].encode()).hexdigest()[:8]
    tls = server.sign_bare(b"libp2p-tls-handshake:" + b"certificate key")
    return {
        "representations": [chain.hex() for chain in chains],
        "certificate_extension": extension.hex(),
        "node_record": signed(server, "netcom/node-record/1", record).hex(),
        "ticket": f"{body},sum={check}",
        "libp2p_tls_signature": tls.hex(),
    }


for name, vectors in [("signatures", signatures()), ("netids", names()), ("proofs", proofs())]:
    path = pathlib.Path(__file__).with_name(f"{name}.json")
    path.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
