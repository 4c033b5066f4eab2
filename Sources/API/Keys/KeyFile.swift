internal import Billing
internal import Hashing
internal import JSON

/// The form of `keys.json`: version 1, one object a key.
enum KeyFile {
    static let version = 1

    struct FormError: Error, CustomStringConvertible {
        var description: String
    }

    static func write(_ keys: [Key]) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("version", integer: version)
        writer.key("keys")
        writer.beginArray()
        for key in keys {
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
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        return writer.bytes + [0x0A]
    }

    static func parse(_ bytes: [UInt8]) throws -> [Key] {
        let document = try JSONValue.parse(bytes)
        guard case .number(let written)? = document["version"] else { throw FormError(description: "no version") }
        guard written == String(version) else {
            throw FormError(description: "version \(written) is not one this program reads (\(version))")
        }
        guard case .array(let items)? = document["keys"] else { throw FormError(description: "no list of keys") }
        return try items.enumerated().map { index, item in
            func text(_ name: String) throws -> String? {
                guard let value = item[name] else { return nil }
                guard case .string(let text) = value else {
                    throw FormError(description: "keys[\(index)].\(name) is not a string")
                }
                return text
            }
            func name(_ member: String) throws -> Name? {
                guard let text = try text(member) else { return nil }
                guard let name = Name(text) else {
                    throw FormError(description: "keys[\(index)].\(member) is not a valid id")
                }
                return name
            }
            func time(_ member: String) throws -> Timestamp? {
                guard let text = try text(member) else { return nil }
                guard let time = Timestamp(rfc3339: text) else {
                    throw FormError(description: "keys[\(index)].\(member) is not a time")
                }
                return time
            }
            guard let id = try text("id"), let keyName = try name("name"),
                let hash = try text("secret_sha256").flatMap({ Digest(hex: $0) }), let created = try time("created_at"),
                case .array(let scopeItems)? = item["scopes"]
            else { throw FormError(description: "keys[\(index)] lacks id, name, secret_sha256, scopes or created_at") }
            var scopes: Set<Scope> = []
            for scope in scopeItems {
                guard case .string(let text) = scope, let scope = Scope(rawValue: text) else {
                    throw FormError(description: "keys[\(index)].scopes holds an unknown scope")
                }
                scopes.insert(scope)
            }
            return Key(
                id: id, name: keyName, secretHash: hash, scopes: scopes, org: try name("org"),
                defaultOrg: try name("default_org"), lagoOwnerIsUser: try text("lago_owner") == "user",
                createdAt: created, expiresAt: try time("expires_at"), revokedAt: try time("revoked_at"))
        }
    }
}
