"""Which bytes of an LMDB 0.9 file are live: a reader of its pages of its own, standard library only. 64 bits,
little-endian. What is between the two ends of a page, or after a value on its last page, is slack and means nothing."""

import struct

BRANCH, LEAF, OVERFLOW = 1, 2, 4
BIG, SUBTREE = 1, 2
NONE = 2 ** 64 - 1


class File:
    def __init__(self, data):
        self.data = data
        metas = []
        for page in (0, 1):
            base = page * 4096
            magic, version = struct.unpack_from("<II", data, base + 16)
            assert (magic, version) == (0xBEEFC0DE, 1)
            metas.append((struct.unpack_from("<Q", data, base + 144)[0], base))
        _, self.meta = max(metas)
        self.size = struct.unpack_from("<I", data, self.meta + 40)[0]

    def trees(self):
        """{name: [(offset, length) of structure or key, ...], ...} with the values apart, under (name, "values")."""
        found = {}
        main = self.walk(self.meta + 88, "main", found)
        for key, offset, length in main:
            assert length == 48
            self.walk(offset, key.decode(), found)
        return found

    def walk(self, tree, name, found):
        depth = struct.unpack_from("<H", self.data, tree + 6)[0]
        root = struct.unpack_from("<Q", self.data, tree + 40)[0]
        structure, values, entries = [], [], []
        found[name], found[name, "values"] = structure, values
        if root != NONE:
            self.page(root, 1, depth, structure, values, entries)
        return entries

    def page(self, number, level, depth, structure, values, entries):
        base = number * self.size
        own, pad, flags, lower, upper = struct.unpack_from("<QHHHH", self.data, base)
        assert own == number and flags == (LEAF if level == depth else BRANCH)
        structure.append((base, lower))
        for index in range((lower - 16) // 2):
            node = base + struct.unpack_from("<H", self.data, base + 16 + 2 * index)[0]
            low, high, node_flags, key_size = struct.unpack_from("<HHHH", self.data, node)
            key = self.data[node + 8:node + 8 + key_size]
            structure.append((node, 8 + key_size))
            if flags == BRANCH:
                self.page(low | high << 16 | node_flags << 32, level + 1, depth, structure, values, entries)
                continue
            length, offset = low | high << 16, node + 8 + key_size
            if node_flags & BIG:
                structure.append((offset, 8))
                page = struct.unpack_from("<Q", self.data, offset)[0]
                structure.append((page * self.size, 16))
                offset = page * self.size + 16
            values.append((offset, length))
            entries.append((key, offset, length))
