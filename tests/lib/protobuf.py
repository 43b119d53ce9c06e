# SPDX-License-Identifier: MIT
"""Protobuf as writers of logs put it on the wire, field by field."""


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def part(tag, value):
    """A field: of bytes or text with their length, of a number as a varint."""
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(tag << 3 | 2) + varint(len(value)) + value


def fixed(tag, number):
    """A field of eight bytes."""
    return varint(tag << 3 | 1) + number.to_bytes(8, "little")


def logs_request(*records):
    """OTLP's ExportLogsServiceRequest of one resource and scope."""
    return part(1, part(2, b"".join(part(2, record) for record in records)))
