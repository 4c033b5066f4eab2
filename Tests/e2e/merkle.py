"""RFC 6962 proofs and C2SP signed notes, checked by code that shares nothing with the daemon's. Standard library only;
Ed25519 through openssl."""

import base64
import hashlib
import os
import subprocess
import tempfile


def leaf(record):
    return hashlib.sha256(b"\0" + record).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root_from_inclusion(hash, index, size, proof):
    """The root that the audit path leads to, by the recursion of RFC 6962 section 2.1.1; None when it does not fit."""
    if size == 1:
        return hash if not proof and index == 0 else None
    if not proof:
        return None
    k = 1
    while k * 2 < size:
        k *= 2
    if index < k:
        left = root_from_inclusion(hash, index, k, proof[:-1])
        return left and node(left, proof[-1])
    right = root_from_inclusion(hash, index - k, size - k, proof[:-1])
    return right and node(proof[-1], right)


def roots_from_consistency(first, second, first_root, proof):
    """(root of first, root of second) that the proof leads to, by the recursion of RFC 6962 section 2.1.2."""
    def walk(m, n, known, left):
        if m == n:
            if known:
                return first_root, first_root, left
            return left[-1], left[-1], left[:-1]
        k = 1
        while k * 2 < n:
            k *= 2
        end = left[-1]
        if m <= k:
            old, new, rest = walk(m, k, known, left[:-1])
            return old, node(new, end), rest
        old, new, rest = walk(m - k, n - k, False, left[:-1])
        return node(end, old), node(end, new), rest

    old, new, rest = walk(first, second, True, proof)
    return (old, new) if not rest else (None, None)


class Checkpoint:
    def __init__(self, text):
        self.text = text
        lines = text.split("\n")
        assert len(lines) == 4 and lines[3] == "", text
        self.origin, self.size, self.root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        assert len(self.root) == 32 and lines[1] == str(self.size)


def includes(checkpoint, proof):
    """Whether an answer of /v1/log/proofs/inclusion proves its record to be in the checkpoint's tree."""
    hashes = [base64.b64decode(one, validate=True) for one in proof["hashes"]]
    hash = base64.b64decode(proof["record_hash"], validate=True)
    if proof["size"] != checkpoint.size or any(len(one) != 32 for one in hashes):
        return False
    return root_from_inclusion(hash, proof["position"] - 1, proof["size"], hashes) == checkpoint.root


def grew(before, after, proof):
    """Whether an answer of /v1/log/proofs/consistency proves that `after` begins with `before`."""
    hashes = [base64.b64decode(one, validate=True) for one in proof["hashes"]]
    if (proof["first"], proof["second"]) != (before.size, after.size):
        return False
    if before.size in (0, after.size):
        return not hashes and (before.size == 0 or before.root == after.root)
    try:
        return roots_from_consistency(before.size, after.size, before.root, hashes) == (before.root, after.root)
    except IndexError:
        return False


def signed_by(vkey, note):
    """The text of a C2SP signed note when the Ed25519 key of `vkey` (name+id+key) signed it, else None."""
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    assert key[0] == 1 and len(key) == 33
    assert hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() == key_id
    text, _, signatures = note.partition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, blob = line.split(" ")
        blob = base64.b64decode(blob, validate=True)
        if dash != "\u2014" or signer != name or blob[:4].hex() != key_id:
            continue
        with tempfile.TemporaryDirectory() as folder:
            def put(name, content):
                path = os.path.join(folder, name)
                with open(path, "wb") as file:
                    file.write(content)
                return path
            # RFC 8410: the DER form of an Ed25519 public key is this prefix and the key.
            done = subprocess.run(
                ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER",
                 "-inkey", put("key", bytes.fromhex("302a300506032b6570032100") + key[1:]),
                 "-in", put("text", text.encode()), "-sigfile", put("signature", blob[4:])],
                capture_output=True)
        return text if done.returncode == 0 else None
    return None
