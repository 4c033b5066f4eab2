public import Billing
internal import Engine
public import Hashing

/// A key as the daemon keeps it: who it is for and the hash of its secret, never the secret.
public struct Key: Hashable, Sendable {
    /// 12 hex digits, the public part of the key's text.
    public var id: String
    public var name: Name
    /// SHA-256 of the secret. A fast hash is right for 256 random bits.
    public var secretHash: Digest
    public var scopes: Set<Scope>
    /// The org it is confined to: any other answers as if it did not exist.
    public var org: Name?
    /// The owner of what it posts without one.
    public var defaultOrg: Name?
    /// Whether a Lago subscription id that no plan names is taken as a user instead of an org.
    public var lagoOwnerIsUser: Bool
    public var createdAt: Timestamp
    public var expiresAt: Timestamp?
    public var revokedAt: Timestamp?

    public init(
        id: String, name: Name, secretHash: Digest, scopes: Set<Scope>, org: Name? = nil, defaultOrg: Name? = nil,
        lagoOwnerIsUser: Bool = false, createdAt: Timestamp, expiresAt: Timestamp? = nil, revokedAt: Timestamp? = nil
    ) {
        self.id = id
        self.name = name
        self.secretHash = secretHash
        self.scopes = scopes
        self.org = org
        self.defaultOrg = defaultOrg
        self.lagoOwnerIsUser = lagoOwnerIsUser
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
    }

    public func allows(_ scope: Scope) -> Bool {
        scopes.contains(scope) || (scope == .ingest && scopes.contains(.admin))
    }

    /// Whether it opens anything at `now`.
    public func isLive(at now: Timestamp) -> Bool {
        if revokedAt != nil { return false }
        if let expiresAt, expiresAt <= now { return false }
        return true
    }
}
