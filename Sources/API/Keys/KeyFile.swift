internal import Billing
internal import Hashing
internal import JSON

/// The form of `keys.json`: version 2, one key a line, each with a checksum of its own.
/// ```
/// {"version":2,"keys":[
/// {"id":"...", ... ,"checksum":"64 hex digits"},
/// {"id":"...", ... ,"checksum":"64 hex digits"}
/// ]}
/// ```
/// A line counts only when it is, byte for byte, what would be written for the key it says: a turned bit makes it no
/// other key but a damaged line, and leaves the lines beside it good. Version 1, one object without checksums, is read;
/// the next change writes version 2.
enum KeyFile {
    static let version = 2
    private static let header = Array("{\"version\":2,\"keys\":[".utf8)
    private static let end = Array("]}".utf8)
    /// What a checksum is over begins with this, so that no line of another version can be good in this one.
    private static let domain = Array("tallystick keys.json 2\n".utf8)

    struct FormError: Error, CustomStringConvertible {
        var description: String
    }

    /// What a file holds.
    struct Content: Equatable {
        /// Of good lines, in their order.
        var keys: [Key] = []
        /// By number, the first line is 1; the line after the last one where the end is missing.
        var damagedLines: [Int] = []
    }

    static func write(_ keys: [Key]) -> [UInt8] {
        let lines = keys.map(line).joined(separator: [0x2C, 0x0A])
        return header + [0x0A] + lines + (keys.isEmpty ? [] : [0x0A]) + end + [0x0A]
    }

    private static func line(_ key: Key) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("id", string: key.id)
        writer.member("name", string: key.name.text)
        writer.member("secret_sha256", string: key.secretHash.hex)
        writer.key("scopes")
        writer.beginArray()
        for scope in Scope.allCases where key.scopes.contains(scope) { writer.string(scope.rawValue) }
        writer.endArray()
        if let org = key.org { writer.member("org", string: org.text) }
        if let org = key.defaultOrg { writer.member("default_org", string: org.text) }
        if key.lagoOwnerIsUser { writer.member("lago_owner", string: "user") }
        writer.member("created_at", string: key.createdAt.rfc3339)
        if let time = key.expiresAt { writer.member("expires_at", string: time.rfc3339) }
        if let time = key.revokedAt { writer.member("revoked_at", string: time.rfc3339) }
        let checksum = SHA256.hash(domain + writer.bytes)
        writer.member("checksum", string: checksum.hex)
        writer.endObject()
        return writer.bytes
    }

    /// Throws when it is no file of keys at all; a file of this version of which a part is damaged gives the rest.
    static func parse(_ bytes: [UInt8]) throws -> Content {
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        let found = lines.map(key(onLine:))
        // Each good line says by itself that the file is of this version, whatever became of the first one.
        guard lines.first?.elementsEqual(header) == true || found.contains(where: { $0 != nil }) else {
            return Content(keys: try version1(bytes))
        }
        var content = Content()
        var hasEnded = false
        for (index, line) in lines.enumerated() {
            if index == 0, !line.elementsEqual(header) { content.damagedLines.append(1) }
            if let key = found[index] {
                content.keys.append(key)
            } else if line.elementsEqual(end) && !hasEnded {
                hasEnded = true
            } else if index > 0 && !line.isEmpty {
                content.damagedLines.append(index + 1)
            }
        }
        if !hasEnded { content.damagedLines.append(lines.count + 1) }
        return content
    }

    /// A comma too few or too many is nothing: lines may be deleted by hand.
    private static func key(onLine line: ArraySlice<UInt8>) -> Key? {
        let object = line.last == 0x2C ? line.dropLast() : line
        guard object.first == 0x7B, let value = try? JSONValue.parse(Array(object)),
            let key = try? key(of: value, named: ""), KeyFile.line(key).elementsEqual(object)
        else { return nil }
        return key
    }

    private static func version1(_ bytes: [UInt8]) throws -> [Key] {
        let document = try JSONValue.parse(bytes)
        guard case .number(let written)? = document["version"] else { throw FormError(description: "no version") }
        guard written == "1" else {
            throw FormError(description: "version \(written) is not one this program reads (1, \(version))")
        }
        guard case .array(let items)? = document["keys"] else { throw FormError(description: "no list of keys") }
        return try items.enumerated().map { index, item in
            guard item["checksum"] == nil else {
                throw FormError(description: "keys[\(index)].checksum is not of version 1")
            }
            return try key(of: item, named: "keys[\(index)]")
        }
    }

    private static func key(of item: JSONValue, named place: String) throws -> Key {
        func text(_ name: String) throws -> String? {
            guard let value = item[name] else { return nil }
            guard case .string(let text) = value else {
                throw FormError(description: "\(place).\(name) is not a string")
            }
            return text
        }
        func name(_ member: String) throws -> Name? {
            guard let text = try text(member) else { return nil }
            guard let name = Name(text) else { throw FormError(description: "\(place).\(member) is not a valid id") }
            return name
        }
        func time(_ member: String) throws -> Timestamp? {
            guard let text = try text(member) else { return nil }
            guard let time = Timestamp(rfc3339: text) else {
                throw FormError(description: "\(place).\(member) is not a time")
            }
            return time
        }
        guard let id = try text("id"), let keyName = try name("name"),
            let hash = try text("secret_sha256").flatMap({ Digest(hex: $0) }), let created = try time("created_at"),
            case .array(let scopeItems)? = item["scopes"]
        else { throw FormError(description: "\(place) lacks id, name, secret_sha256, scopes or created_at") }
        var scopes: Set<Scope> = []
        for scope in scopeItems {
            guard case .string(let text) = scope, let scope = Scope(rawValue: text) else {
                throw FormError(description: "\(place).scopes holds an unknown scope")
            }
            scopes.insert(scope)
        }
        return Key(
            id: id, name: keyName, secretHash: hash, scopes: scopes, org: try name("org"),
            defaultOrg: try name("default_org"), lagoOwnerIsUser: try text("lago_owner") == "user",
            createdAt: created, expiresAt: try time("expires_at"), revokedAt: try time("revoked_at"))
    }
}
