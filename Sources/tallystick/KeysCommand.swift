import API
import Billing
import Glibc
import JSON
import Platform

/// `tallystick keys add|list|rotate|revoke`: works on `keys.json`, which a running daemon follows.
func keysCommand(_ arguments: [String]) {
    do {
        switch arguments.first {
        case "add": try addKey(Flags(arguments.dropFirst(), known: keysAddFlags))
        case "list": try listKeys(Flags(arguments.dropFirst(), known: ["data"], switches: ["json"]))
        case "rotate":
            try rotateKey(
                Flags(arguments.dropFirst(), known: ["data", "name", "overlap", "expires"], positional: "name"))
        case "revoke": try revokeKey(Flags(arguments.dropFirst(), known: ["data", "name", "id"], positional: "name"))
        default: fail("keys takes add, list, rotate or revoke; see `tallystick help`")
        }
    } catch let fault as Settings.Fault {
        fail(fault.text)
    } catch let error as KeyStore.StoreError {
        guard case .notOurs(_, let owner) = error else { fail("\(error)", code: 74) }
        let command = CommandLine.arguments.map(shellQuoted).joined(separator: " ")
        fail("\(error). Type\n  sudo -u \(shellQuoted(owner.userName)) \(command)", code: 74)
    } catch {
        fail("\(error)", code: 74)
    }
}

/// A word as a shell takes it for itself.
private func shellQuoted(_ word: String) -> String {
    let plain = word.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x25, 0x2B, 0x2C, 0x2D, 0x2E, 0x2F, 0x3A, 0x3D, 0x40, 0x5F: true
        default: false
        }
    }
    if plain && !word.isEmpty { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
}

private let keysAddFlags = ["data", "name", "scopes", "org", "default-org", "lago-owner", "expires"]

/// Flags of a small command: `--name value` or `--name=value`, or for a switch `--name`, each once, and at most one
/// positional argument.
struct Flags {
    private var values: [String: String] = [:]

    init(
        _ arguments: ArraySlice<String>, known: [String], switches: [String] = [], positional: String? = nil
    ) throws {
        var rest = arguments
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("--") else {
                guard let positional, values[positional] == nil else {
                    throw Settings.Fault(text: "unexpected argument \(argument)")
                }
                values[positional] = argument
                continue
            }
            let body = argument.dropFirst(2)
            let equals = body.firstIndex(of: "=")
            let name = String(body[..<(equals ?? body.endIndex)])
            guard values[name] == nil else { throw Settings.Fault(text: "--\(name) is given twice") }
            if switches.contains(name), equals == nil {
                values[name] = ""
                continue
            }
            guard known.contains(name) else { throw Settings.Fault(text: "unknown option --\(name)") }
            if let equals {
                values[name] = String(body[body.index(after: equals)...])
            } else {
                guard let value = rest.popFirst() else { throw Settings.Fault(text: "--\(name) needs a value") }
                values[name] = value
            }
        }
    }

    subscript(name: String) -> String? { values[name] }

    func isOn(_ name: String) -> Bool { values[name] != nil }

    func required(_ name: String) throws -> String {
        guard let value = values[name], !value.isEmpty else { throw Settings.Fault(text: "--\(name) is needed") }
        return value
    }

    func id(_ name: String) throws -> Name? {
        guard let text = values[name] else { return nil }
        guard let id = Name(text) else {
            throw Settings.Fault(text: "--\(name) must be 1 to 256 bytes without control characters")
        }
        return id
    }
}

private func addKey(_ flags: Flags) throws {
    let folder = try flags.required("data")
    _ = try flags.required("name")
    guard let name = try flags.id("name") else { return }
    var scopes: Set<Scope> = []
    for text in try flags.required("scopes").split(separator: ",") {
        guard let scope = Scope(rawValue: String(text)) else {
            throw Settings.Fault(text: "unknown scope \(text): choose from ingest, read, lago, admin")
        }
        scopes.insert(scope)
    }
    guard !scopes.isEmpty else { throw Settings.Fault(text: "--scopes needs at least one scope") }
    let lagoOwner = flags["lago-owner"] ?? "org"
    guard lagoOwner == "org" || lagoOwner == "user" else {
        throw Settings.Fault(text: "--lago-owner is org or user")
    }
    let org = try flags.id("org")
    let defaultOrg = try flags.id("default-org")
    if let org, let defaultOrg, org != defaultOrg {
        throw Settings.Fault(text: "--default-org must be the org that the key is confined to")
    }
    let text = try KeyStore(folder: folder).add(
        name: name, scopes: scopes, org: org, defaultOrg: defaultOrg, lagoOwnerIsUser: lagoOwner == "user",
        expiresAt: try expires(flags), now: currentTime())
    print(text.text)
}

private func currentTime() -> Timestamp { Timestamp(microseconds: WallClock.microseconds()) }

private func expires(_ flags: Flags) throws -> Timestamp? {
    guard let text = flags["expires"] else { return nil }
    guard let time = Timestamp(rfc3339: text) else {
        throw Settings.Fault(text: "--expires must be an RFC 3339 time such as 2027-01-01T00:00:00Z")
    }
    return time
}

/// What a key is at `now`: "live", "expired" or "revoked".
private func stateName(of key: Key, at now: Timestamp) -> String {
    key.isLive(at: now) ? "live" : key.revokedAt == nil ? "expired" : "revoked"
}

private func listKeys(_ flags: Flags) throws {
    let store = KeyStore(folder: try flags.required("data"))
    let ((keys, damagedLines), uses, now) = (try store.listed(), store.uses.lastUses, currentTime())
    if flags.isOn("json") {
        Console.output(String(decoding: json(keys, uses, now), as: UTF8.self) + "\n")
    } else {
        listTable(keys, uses, now)
    }
    if !damagedLines.isEmpty { throw store.damage(damagedLines) }
}

private func listTable(_ keys: [Key], _ uses: [String: Timestamp], _ now: Timestamp) {
    var rows = [["NAME", "ID", "SCOPES", "ORG", "DEFAULT ORG", "CREATED", "LAST USED", "STATE"]]
    for key in keys {
        var state = stateName(of: key, at: now)
        if let time = key.revokedAt ?? key.expiresAt { state += (state == "live" ? " until " : " ") + time.rfc3339 }
        rows.append([
            key.name.text, key.id,
            Scope.allCases.filter { key.scopes.contains($0) }.map(\.rawValue).joined(separator: ","),
            key.org?.text ?? "-", key.defaultOrg?.text ?? "-", key.createdAt.rfc3339,
            uses[key.id]?.rfc3339 ?? "never", state,
        ])
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    for row in rows {
        let cells = zip(row, widths).map { cell, width in cell + String(repeating: " ", count: width - cell.count) }
        print(cells.joined(separator: "  "))
    }
}

private func json(_ keys: [Key], _ uses: [String: Timestamp], _ now: Timestamp) -> [UInt8] {
    var writer = JSONWriter()
    func time(_ name: StaticString, _ time: Timestamp?) {
        if let time { writer.member(name, string: time.rfc3339) } else { writer.member(null: name) }
    }
    writer.beginArray()
    for key in keys {
        writer.beginObject()
        writer.member("name", string: key.name.text)
        writer.member("id", string: key.id)
        writer.key("scopes")
        writer.beginArray()
        for scope in Scope.allCases where key.scopes.contains(scope) { writer.string(scope.rawValue) }
        writer.endArray()
        writer.member("org", string: key.org?.text)
        writer.member("default_org", string: key.defaultOrg?.text)
        writer.member("lago_owner", string: key.lagoOwnerIsUser ? "user" : "org")
        writer.member("created_at", string: key.createdAt.rfc3339)
        time("expires_at", key.expiresAt)
        time("revoked_at", key.revokedAt)
        time("last_used_at", uses[key.id])
        writer.member("state", string: stateName(of: key, at: now))
        writer.endObject()
    }
    writer.endArray()
    return writer.bytes
}

private let overlapSecondsMax: Int64 = 366 * 86_400

/// "24h": digits and one of s, m, h, d; "0" is none.
private func overlapSeconds(_ text: String) throws -> Int64 {
    let units: [UInt8: Int64] = [0x73: 1, 0x6D: 60, 0x68: 3600, 0x64: 86_400]
    let digits = text.utf8.prefix { (0x30...0x39).contains($0) }
    let unit = text.utf8.dropFirst(digits.count)
    guard let number = Int64(String(decoding: digits, as: UTF8.self)), number <= overlapSecondsMax,
        let factor = unit.isEmpty && number == 0 ? 1 : unit.count == 1 ? units[unit[unit.startIndex]] : nil,
        number * factor <= overlapSecondsMax
    else { throw Settings.Fault(text: "--overlap is a time such as 30m, 24h or 7d, at most 366d; 0 for none") }
    return number * factor
}

/// Prints the new key alone on standard output, and on standard error until when the old one opens.
private func rotateKey(_ flags: Flags) throws {
    let folder = try flags.required("data")
    _ = try flags.required("name")
    guard let name = try flags.id("name") else { return }
    let (overlap, now) = (try overlapSeconds(flags["overlap"] ?? "24h"), currentTime())
    let text = try KeyStore(folder: folder).rotate(
        name: name, overlapSeconds: overlap, expiresAt: try expires(flags), now: now)
    print(text.text)
    Console.error("the old key \(name) opens until \(now.adding(seconds: overlap).rfc3339) at the latest\n")
}

private func revokeKey(_ flags: Flags) throws {
    let store = KeyStore(folder: try flags.required("data"))
    if let id = flags["id"] {
        guard !flags.isOn("name") else { throw Settings.Fault(text: "revoke takes a name or --id, not both") }
        try store.revoke(id: id, now: currentTime())
        print("revoked \(id)")
        return
    }
    _ = try flags.required("name")
    guard let name = try flags.id("name") else { return }
    try store.revoke(name: name, now: currentTime())
    print("revoked \(name)")
}
