import API
import Billing
import Glibc
import Platform

/// `tallystick keys add|list|revoke`: works on `keys.json`, which a running daemon follows.
func keysCommand(_ arguments: [String]) {
    do {
        switch arguments.first {
        case "add": try addKey(Flags(arguments.dropFirst(), known: keysAddFlags))
        case "list": try listKeys(Flags(arguments.dropFirst(), known: ["data"]))
        case "revoke": try revokeKey(Flags(arguments.dropFirst(), known: ["data", "name"], positional: "name"))
        default: fail("keys takes add, list or revoke; see `tallystick help`")
        }
    } catch let fault as Settings.Fault {
        fail(fault.text)
    } catch {
        fail("\(error)", code: 74)
    }
}

private let keysAddFlags = ["data", "name", "scopes", "org", "default-org", "lago-owner", "expires"]

/// Flags of a small command: `--name value` or `--name=value`, each once, and at most one positional argument.
struct Flags {
    private var values: [String: String] = [:]

    init(_ arguments: ArraySlice<String>, known: [String], positional: String? = nil) throws {
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
            guard known.contains(name) else { throw Settings.Fault(text: "unknown option --\(name)") }
            guard values[name] == nil else { throw Settings.Fault(text: "--\(name) is given twice") }
            if let equals {
                values[name] = String(body[body.index(after: equals)...])
            } else {
                guard let value = rest.popFirst() else { throw Settings.Fault(text: "--\(name) needs a value") }
                values[name] = value
            }
        }
    }

    subscript(name: String) -> String? { values[name] }

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
    var expiresAt: Timestamp?
    if let text = flags["expires"] {
        guard let time = Timestamp(rfc3339: text) else {
            throw Settings.Fault(text: "--expires must be an RFC 3339 time such as 2027-01-01T00:00:00Z")
        }
        expiresAt = time
    }
    let org = try flags.id("org")
    let defaultOrg = try flags.id("default-org")
    if let org, let defaultOrg, org != defaultOrg {
        throw Settings.Fault(text: "--default-org must be the org that the key is confined to")
    }
    try Folder.make(folder)
    let text = try KeyStore(folder: folder).add(
        name: name, scopes: scopes, org: org, defaultOrg: defaultOrg, lagoOwnerIsUser: lagoOwner == "user",
        expiresAt: expiresAt, now: Timestamp(microseconds: WallClock.microseconds()))
    print(text.text)
}

private func listKeys(_ flags: Flags) throws {
    let now = Timestamp(microseconds: WallClock.microseconds())
    var rows = [["NAME", "ID", "SCOPES", "ORG", "DEFAULT ORG", "CREATED", "STATE"]]
    for key in try KeyStore(folder: try flags.required("data")).all() {
        let state: String
        if let revoked = key.revokedAt {
            state = "revoked " + revoked.rfc3339
        } else if let expires = key.expiresAt {
            state = (expires <= now ? "expired " : "live until ") + expires.rfc3339
        } else {
            state = "live"
        }
        rows.append([
            key.name.text, key.id,
            Scope.allCases.filter { key.scopes.contains($0) }.map(\.rawValue).joined(separator: ","),
            key.org?.text ?? "-", key.defaultOrg?.text ?? "-", key.createdAt.rfc3339, state,
        ])
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    for row in rows {
        let cells = zip(row, widths).map { cell, width in cell + String(repeating: " ", count: width - cell.count) }
        print(cells.joined(separator: "  "))
    }
}

private func revokeKey(_ flags: Flags) throws {
    let folder = try flags.required("data")
    _ = try flags.required("name")
    guard let name = try flags.id("name") else { return }
    try KeyStore(folder: folder).revoke(name: name, now: Timestamp(microseconds: WallClock.microseconds()))
    print("revoked \(name)")
}
