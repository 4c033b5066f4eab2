import Billing
import Hashing
import Platform
import Testing

@testable import API

struct KeyTests {
    private let now = Timestamp(microseconds: 1_795_334_400_000_000)

    /// Until the store looks at its file again.
    private func waitForLook() {
        let end = SteadyClock.nanoseconds() + KeyStore.lookNanoseconds + 1
        while SteadyClock.nanoseconds() <= end {}
    }

    private func withStore(_ body: (KeyStore) throws -> Void) throws {
        let folder = try Folder.makeTemporary(prefix: "keys-test")
        defer { try? Folder.remove(folder) }
        try body(KeyStore(folder: folder))
    }

    private func add(
        _ store: KeyStore, _ name: String, scopes: Set<Scope> = [.read], expiresAt: Timestamp? = nil
    ) throws -> KeyText {
        try store.add(
            name: Name(checked: name), scopes: scopes, org: nil, defaultOrg: nil, lagoOwnerIsUser: false,
            expiresAt: expiresAt, now: now)
    }

    @Test func `a key's text is read back, and any change of one character is no key`() {
        let key = KeyText()
        #expect(KeyText(key.text.utf8)?.secretHash == key.secretHash)
        let bytes = Array(key.text.utf8)
        for index in bytes.indices {
            var changed = bytes
            changed[index] = changed[index] == 0x61 ? 0x62 : 0x61
            #expect(KeyText(changed) == nil, "character \(index)")
        }
        #expect(KeyText(bytes.dropLast()) == nil)
        #expect(KeyText(bytes + [0x61]) == nil)
        #expect(KeyText([]) == nil)
        #expect(KeyText().text != key.text)
    }

    @Test func `the file keeps the hash and never the secret`() throws {
        try withStore { store in
            let text = try add(store, "one").text
            let file = String(decoding: try File.read(store.path, bytesMax: 1 << 20), as: UTF8.self)
            #expect(file.contains("secret_sha256"))
            #expect(!file.contains(text.dropFirst(20).prefix(40)))
        }
    }

    @Test func `a key opens until it is revoked, from another program too`() throws {
        try withStore { store in
            let text = try add(store, "one")
            #expect(store.key(for: text.text.utf8, at: now)?.name == Name("one"))
            #expect(store.key(for: KeyText().text.utf8, at: now) == nil)
            // As `tallystick keys revoke` does beside a running daemon.
            try KeyStore(folder: Folder.parent(of: store.path)).revoke(name: Name(checked: "one"), now: now)
            #expect(store.key(for: text.text.utf8, at: now) == nil)
        }
    }

    @Test func `a key opens until its end, not after`() throws {
        try withStore { store in
            let text = try add(store, "one", expiresAt: now.adding(seconds: 10))
            #expect(store.key(for: text.text.utf8, at: now.adding(seconds: 9)) != nil)
            #expect(store.key(for: text.text.utf8, at: now.adding(seconds: 10)) == nil)
        }
    }

    @Test func `a live key's name is taken, a revoked one's is free`() throws {
        try withStore { store in
            _ = try add(store, "one")
            #expect(throws: KeyStore.StoreError.self) { _ = try add(store, "one") }
            try store.revoke(name: Name(checked: "one"), now: now)
            #expect(throws: Never.self) { _ = try add(store, "one") }
            #expect(throws: KeyStore.StoreError.self) { try store.revoke(name: Name(checked: "two"), now: now) }
        }
    }

    @Test func `a file that cannot be read opens nothing and says why`() throws {
        try withStore { store in
            let text = try add(store, "one")
            #expect(store.fault == nil)
            try DurableFile.replace(store.path, with: Array("{\"version\":9,\"keys\":[]}".utf8))
            waitForLook()
            #expect(store.key(for: text.text.utf8, at: now) == nil)
            #expect(store.fault?.contains("version 9") == true)
        }
    }

    @Test func `every member of a key survives the file`() throws {
        let key = Key(
            id: "0123456789ab", name: Name(checked: "n"), secretHash: SHA256.hash([1]), scopes: [.lago, .admin],
            org: Name("acme"), defaultOrg: Name("acme"), lagoOwnerIsUser: true, createdAt: now,
            expiresAt: now.adding(seconds: 1), revokedAt: now.adding(seconds: 2))
        #expect(try KeyFile.parse(KeyFile.write([key])) == [key])
    }

    @Test func `admin includes ingest, and no other scope includes any`() {
        for held in Scope.allCases {
            let key = Key(id: "", name: Name(checked: "n"), secretHash: .zero, scopes: [held], createdAt: now)
            for asked in Scope.allCases {
                #expect(key.allows(asked) == (asked == held || (held == .admin && asked == .ingest)))
            }
        }
    }

    @Test func `a rotated key and its successor open together, then the successor alone`() throws {
        try withStore { store in
            let name = Name(checked: "gate")
            let old = try store.add(
                name: name, scopes: [.ingest], org: Name("acme"), defaultOrg: Name("acme"), lagoOwnerIsUser: true,
                expiresAt: nil, now: now)
            let new = try store.rotate(name: name, overlapSeconds: 3600, expiresAt: nil, now: now.adding(seconds: 5))
            let (before, end) = (now.adding(seconds: 3604), now.adding(seconds: 3605))
            let (first, second) = (store.key(for: old.text.utf8, at: before), store.key(for: new.text.utf8, at: before))
            #expect(first?.expiresAt == end && second?.expiresAt == nil)
            #expect(second?.name == name && second?.scopes == [.ingest] && second?.org == Name("acme"))
            #expect(second?.defaultOrg == Name("acme") && second?.lagoOwnerIsUser == true && second?.id != first?.id)
            #expect(store.key(for: old.text.utf8, at: end) == nil)
            #expect(store.key(for: new.text.utf8, at: end) != nil)
        }
    }

    @Test func `rotation without overlap ends the old key at once, and no rotation lengthens a life`() throws {
        try withStore { store in
            let old = try add(store, "one", expiresAt: now.adding(seconds: 100))
            let name = Name(checked: "one")
            let second = try store.rotate(
                name: name, overlapSeconds: 1000, expiresAt: nil, now: now.adding(seconds: 40))
            #expect(store.key(for: old.text.utf8, at: now.adding(seconds: 100)) == nil)
            // Made for 100 s as the old one was.
            #expect(store.key(for: second.text.utf8, at: now.adding(seconds: 139)) != nil)
            #expect(store.key(for: second.text.utf8, at: now.adding(seconds: 140)) == nil)
            let third = try store.rotate(
                name: name, overlapSeconds: 0, expiresAt: now.adding(seconds: 900), now: now.adding(seconds: 50))
            #expect(store.key(for: old.text.utf8, at: now.adding(seconds: 50)) == nil)
            #expect(store.key(for: second.text.utf8, at: now.adding(seconds: 50)) == nil)
            #expect(store.key(for: third.text.utf8, at: now.adding(seconds: 899)) != nil)
            #expect(throws: KeyStore.StoreError.self) {
                _ = try store.rotate(name: name, overlapSeconds: 0, expiresAt: nil, now: now.adding(seconds: 900))
            }
        }
    }

    @Test func `a name is revoked with every key that has it, an id alone`() throws {
        try withStore { store in
            let old = try add(store, "one")
            let name = Name(checked: "one")
            let new = try store.rotate(name: name, overlapSeconds: 1000, expiresAt: nil, now: now)
            try store.revoke(id: old.id, now: now)
            #expect(store.key(for: old.text.utf8, at: now) == nil && store.key(for: new.text.utf8, at: now) != nil)
            #expect(throws: KeyStore.StoreError.self) { try store.revoke(id: old.id, now: now) }
            let newest = try store.rotate(name: name, overlapSeconds: 1000, expiresAt: nil, now: now)
            try store.revoke(name: name, now: now)
            #expect(store.key(for: new.text.utf8, at: now) == nil && store.key(for: newest.text.utf8, at: now) == nil)
        }
    }

    @Test func `the last use of a key is kept beside the keys, also by the next daemon`() throws {
        try withStore { store in
            let folder = Folder.parent(of: store.path)
            let (used, unused) = (try add(store, "one"), try add(store, "two"))
            #expect(store.key(for: used.text.utf8, at: now) != nil)
            #expect(store.key(for: used.text.utf8, at: now.adding(seconds: 7)) != nil)
            #expect(store.key(for: KeyText().text.utf8, at: now.adding(seconds: 8)) == nil)
            let keys = try File.read(store.path, bytesMax: 1 << 20)
            // Not yet written: another program knows nothing.
            #expect(KeyUses(folder: folder).lastUses == [:])
            try store.uses.write()
            #expect(KeyUses(folder: folder).lastUses == [used.id: now.adding(seconds: 7)])
            #expect(store.uses.lastUses[unused.id] == nil)
            #expect(try File.read(store.path, bytesMax: 1 << 20) == keys)
            let next = KeyStore(folder: folder)
            #expect(next.key(for: unused.text.utf8, at: now.adding(seconds: 9)) != nil)
            try next.uses.write()
            #expect(KeyUses(folder: folder).lastUses.count == 2)
        }
    }

    @Test func `uses are written by a thread of their own when it stops, and a broken file is begun anew`() throws {
        try withStore { store in
            let folder = Folder.parent(of: store.path)
            try DurableFile.replace(folder + "/key-uses.json", with: Array("{".utf8))
            let key = try add(store, "one")
            let next = KeyStore(folder: folder)
            next.uses.start()
            #expect(next.key(for: key.text.utf8, at: now) != nil)
            next.uses.stop()
            #expect(KeyUses(folder: folder).lastUses == [key.id: now])
        }
    }
}
