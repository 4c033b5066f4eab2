

# The pack

def belongs(record, org, users, wallets):
    """Whether a record may be in the pack of this org: its own, what all share, and its users' own."""
    d, call = record["data"], record["data"].get("call", record["data"])
    orgs = {one.get("org") for one in (d, call, record.get("standing", {}))} - {None}
    if record["type"] == "plan.assigned" and d["owner"][0] == "user":
        return d["owner"][1] in users
    if "owner" in d:
        orgs |= {d["owner"][1]} if d["owner"][0] == "org" else set()
        return orgs <= {org} and (d["owner"][0] == "org" or d["owner"][1] in wallets)
    if record["type"].startswith("llm") and not orgs:
        return (call.get("user") or record["standing"].get("user")) in wallets
    return orgs <= {org}


def verify(files, manifest, held):
    org, start, end = manifest["org"], micros(manifest["start"]), micros(manifest["end"])
    claims = json.loads(files["claims.json"], parse_float=Fraction)
    proof = json.loads(files["proof.json"])
    records, leaves = [], {}
    for line in files["records.ndjson"].splitlines():
        data = base64.b64decode(line, validate=True)
        record = read_record(data)
        if records and record["position"] <= records[-1]["position"]:
            raise Difference(f"records.ndjson: {record['position']} is not in its place")
        if not belongs(record, org, set(claims["users"]), set(claims["wallet_users"])):
            raise Difference(f"record {record['position']} is not of {org}")
        records.append(record)
        leaves[record["position"]] = leaf(data)
    for one in claims["withheld"]:
        leaves[one["position"]] = base64.b64decode(one["record_hash"])
    origin, size, root = read_checkpoint(files["checkpoint"], "checkpoint")
    expect(manifest["position"], size, "manifest.json: position")
    if any(position > size for position in leaves):
        raise Difference("a record is past the checkpoint")
    tree = Tree(size, leaves, [base64.b64decode(one) for one in proof["others"]])
    if tree.root != root:
        raise Difference("the records and proof.json do not give the root of the checkpoint")
    roots = {size: root}
    for one in proof["consistency"]:
        roots[one["first"]] = first_root = base64.b64decode(one["root"])
        if not consistent(one["first"], first_root, size, root, [base64.b64decode(h) for h in one["hashes"]]):
            raise Difference(f"proof.json: the log of {one['first']} records is not the beginning of that of {size}")
    period = read_checkpoint(files["checkpoint.period"], "checkpoint.period")
    if period[0] != origin or roots.get(period[1]) != period[2]:
        raise Difference("checkpoint.period is not of this log")
    if held:
        held_origin, held_size, held_root = held
        if held_size not in roots:
            raise Difference(f"your checkpoint is of {held_size} records; ask for a pack made with --checkpoint, to be "
                             f"compared: this one knows {sorted(roots)}")
        if held_origin != origin or held_root != roots[held_size]:
            raise Difference("your checkpoint is of another log: this pack was made of another history")

    books = Books(org, start, end, claims)
    for record in sorted(records + claims["withheld"], key=lambda one: one["position"]):
        if "record_hash" in record:
            books.withheld(record)
        else:
            books.take(record)
    compare(files, books, claims)
    return books, records, tree, roots, origin, claims


def compare(files, books, claims):
    written = [json.loads(line) for line in files["charges.ndjson"].splitlines()]
    for found, wanted in zip(written, books.charges):
        expect(found, wanted, f"charges.ndjson: record {wanted['position']}")
    expect(len(written), len(books.charges), "charges.ndjson: how many charges")
    expect(json.loads(files["statement.json"]), books.statement(), "statement.json")
    lines = books.lines()
    for line in json.loads(files["lines.json"]):
        key = (line["window_start"], line["window_seconds"], line["subscription"], line["provider"], line["model"],
               line["operation"])
        told = {name: value for name, value in line.items() if name not in ("line", "batch")}
        wanted = lines.pop((line["sealed_at"], key), None)
        if line["subscription"] not in claims["shared_subscriptions"]:
            expect(told, wanted, f"lines.json: {line['line'] or key}")
    for (_, key), line in lines.items():
        if key[2] not in claims["shared_subscriptions"]:
            expect(None, line, f"lines.json: {key}")


def main(words):
    options, plain_words = {}, []
    while words:
        word = words.pop(0)
        if word in ("--checkpoint", "--proof"):
            if not words:
                raise SystemExit(f"{word} takes a value")
            options[word] = words.pop(0)
        elif word in ("-h", "--help"):
            print(__doc__)
            return 0
        elif word == "--events":
            options[word] = True
        else:
            plain_words.append(word)
    path = plain_words[0] if plain_words else os.path.dirname(os.path.abspath(__file__))
    try:
        held = None
        if "--checkpoint" in options:
            with open(options["--checkpoint"], "rb") as file:
                held = read_checkpoint(file.read(), options["--checkpoint"])
        files = read_folder(path) if os.path.isdir(path) else read_tar(path)
    except OSError as error:
        print(f"verify.py: {error}", file=sys.stderr)
        return 2
    except Difference as difference:
        print(f"FAIL {difference}")
        return 1
    try:
        manifest, manifest_hash = check_files(files)
        books, records, tree, roots, origin, claims = verify(files, manifest, held)
    except Difference as difference:
        print(f"FAIL {difference}")
        return 1
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        print(f"FAIL the pack is not in the form of one: {type(error).__name__} {error}")
        return 1
    if "--events" in options:
        for record in records:
            print(json.dumps(record, default=str))
        return 0
    size = manifest["position"]
    if "--proof" in options:
        position = int(options["--proof"])
        if position not in tree.leaves:
            print(f"FAIL record {position} is not in this pack")
            return 1
        print(json.dumps({"position": position, "size": size,
                          "record_hash": base64.b64encode(tree.leaves[position]).decode(),
                          "hashes": [base64.b64encode(one).decode() for one in tree.proof(position - 1, 0, size)]}))
        return 0
    told = books.statement()
    print(f"PASS {manifest['org']}, {manifest['start']} to {manifest['end']}")
    print(f"  {len(records)} records are in the log {origin} of {size} records, root "
          f"{base64.b64encode(roots[size]).decode()}")
    print(f"  {len(books.charges)} charges, {len(books.lines())} lines and {len(told['lines'])} movements follow from "
          f"them; balance {told['opening_credits']} to {told['closing_credits']} credits")
    print(f"  manifest sha256 {manifest_hash}")
    if not held:
        print("  not compared with a checkpoint of yours (--checkpoint FILE): the pack is whole in itself")
    for what, items in (("records of which only the hash is here, since they name another owner", claims["withheld"]),
                        ("users whose wallets others' calls draw on: what they paid is taken as written",
                         claims["shared_users"]),
                        ("subscriptions that others use too: their lines are not recomputed",
                         claims["shared_subscriptions"])):
        if items:
            print(f"  on trust: {len(items)} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
