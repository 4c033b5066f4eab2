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

    @Test func `a file that cannot be read takes no key away and says why`() throws {
        try withStore { store in
            let (text, revoked) = (try add(store, "one"), try add(store, "two"))
            try store.revoke(name: Name(checked: "two"), now: now)
            func opens() -> [Bool] { [text, revoked].map { store.key(for: $0.text.utf8, at: now) != nil } }
            #expect(opens() == [true, false] && store.fault == nil)
            let whole = try File.read(store.path, bytesMax: 1 << 20)
            for content in ["{\"version\":9,\"keys\":[]}", "{}", "", "\0"] {
                try DurableFile.replace(store.path, with: Array(content.utf8))
                waitForLook()
                #expect(opens() == [true, false])
                guard case .unreadable(let reason)? = store.fault else {
                    Issue.record("\(content): \(String(describing: store.fault))")
                    continue
                }
                #expect(content.contains("9") == reason.contains("version 9"))
                // Nothing was read here before, so that nothing can be kept.
                let next = KeyStore(folder: Folder.parent(of: store.path))
                #expect(next.key(for: text.text.utf8, at: now) == nil && next.fault == store.fault)
                try DurableFile.replace(store.path, with: whole)
                waitForLook()
                #expect(opens() == [true, false] && store.fault == nil)
            }
            try File.remove(store.path)
            waitForLook()
            #expect(opens() == [true, false] && store.fault == .unreadable("it is gone"))
            #expect(KeyStore(folder: Folder.parent(of: store.path)).fault == .unreadable("it is gone"))
        }
        try withStore { #expect($0.fault == nil) }
    }

    @Test func `a damaged line takes no other key away, and nobody writes over it`() throws {
        try withStore { store in
            let texts = try ["one", "two", "three"].map { try add(store, $0) }
            #expect(store.key(for: texts[1].text.utf8, at: now) != nil)
            // The third is revoked by a program that sees the file whole; then the second's line is hit.
            try store.revoke(name: Name(checked: "three"), now: now)
            var bytes = try File.read(store.path, bytesMax: 1 << 20)
            let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
            bytes[lines[2].startIndex + 9] ^= 1
            try DurableFile.replace(store.path, with: bytes)
            waitForLook()
            #expect(texts.map { store.key(for: $0.text.utf8, at: now) != nil } == [true, true, false])
            #expect(store.fault == .damaged(lines: [3]))
            let next = KeyStore(folder: Folder.parent(of: store.path))
            #expect(texts.map { next.key(for: $0.text.utf8, at: now) != nil } == [true, false, false])
            #expect(next.fault == store.fault)
            let error = #expect(throws: KeyStore.StoreError.self) { try next.revoke(id: texts[0].id, now: now) }
            #expect(error?.description.contains("damaged in line 3:") == true)
            #expect(throws: KeyStore.StoreError.self) { _ = try add(next, "four") }
            #expect(try File.read(store.path, bytesMax: 1 << 20) == bytes)
            #expect(try next.listed().keys.map(\.name.text) == ["one", "three"])
        }
    }

    /// Keys that use every member, and every state.
    private var keys: [Key] {
        [
            Key(
                id: "0123456789ab", name: Name(checked: "n\u{7c}\"\\"), secretHash: SHA256.hash([1]),
                scopes: [.lago, .ingest], org: Name("acme"), defaultOrg: Name("acme"), lagoOwnerIsUser: true,
                createdAt: now, expiresAt: now.adding(seconds: 1)),
            Key(
                id: "ba9876543210", name: Name(checked: "n"), secretHash: SHA256.hash([2]), scopes: [.read],
                org: Name("acmf"), createdAt: now, revokedAt: now.adding(seconds: 2)),
        ]
    }

    @Test func `no turned bit makes a key another one, and each is noticed in its line`() throws {
        let bytes = KeyFile.write(keys)
        let known = Set(keys)
        var line = 1
        for index in bytes.indices {
            for bit in 0..<8 {
                var turned = bytes
                turned[index] ^= 1 << bit
                let content = try KeyFile.parse(turned)
                #expect(known.isSuperset(of: content.keys) && content.keys.count >= (bytes[index] == 0x0A ? 0 : 1))
                #expect(content.damagedLines.contains(line), "byte \(index), bit \(bit): \(content.damagedLines)")
                if line == 1 || line == 4 { #expect(content.keys == keys || bytes[index] == 0x0A) }
            }
            if bytes[index] == 0x0A { line += 1 }
        }
        #expect(line == 5)
        let content = try KeyFile.parse(bytes)
        #expect(content == KeyFile.Content(keys: keys))
    }

    @Test func `a file that was cut, or edited by hand, gives its whole lines`() throws {
        let bytes = KeyFile.write(keys)
        let lines = bytes.split(separator: 0x0A).map(Array.init)
        for end in bytes.indices where end > lines[0].count {
            let content = try KeyFile.parse(Array(bytes[..<end]))
            #expect(content.keys.elementsEqual(keys.prefix(content.keys.count)))
            // Without the last line feed alone it is whole.
            #expect(content.damagedLines.isEmpty == (end == bytes.count - 1), "cut at \(end)")
        }
        func joined(_ lines: [[UInt8]]) -> [UInt8] { Array(lines.joined(separator: [0x0A])) }
        #expect(try KeyFile.parse(joined([lines[0], lines[1], lines[3]])) == KeyFile.Content(keys: [keys[0]]))
        #expect(try KeyFile.parse(joined([lines[0], lines[2], lines[1], lines[3]])).keys == keys.reversed())
        #expect(try KeyFile.parse(joined([lines[0], lines[3]])) == KeyFile.Content())
        #expect(try KeyFile.parse(KeyFile.write([])) == KeyFile.Content())
        // Written in another way it is not what was written.
        let spaced = String(decoding: bytes, as: UTF8.self).replacing("\"name\":", with: "\"name\": ")
        #expect(try KeyFile.parse(Array(spaced.utf8)) == KeyFile.Content(keys: [], damagedLines: [2, 3]))
    }

    @Test func `version 1 is read, and none of a later form in its name`() throws {
        let old = """
            {"version":1,"keys":[{"id":"0123456789ab","name":"n","secret_sha256":"\(SHA256.hash([3]).hex)",\
            "scopes":["read"],"org":"acme","created_at":"\(now.rfc3339)"}]}

            """
        let key = Key(
            id: "0123456789ab", name: Name(checked: "n"), secretHash: SHA256.hash([3]), scopes: [.read],
            org: Name("acme"), createdAt: now)
        #expect(try KeyFile.parse(Array(old.utf8)) == KeyFile.Content(keys: [key]))
        let later = old.replacing("\"org\"", with: "\"checksum\":\"\",\"org\"")
        #expect(throws: KeyFile.FormError.self) { try KeyFile.parse(Array(later.utf8)) }
        for version in ["0", "3", "\"1\""] {
            let other = old.replacing("\"version\":1", with: "\"version\":\(version)")
            #expect(throws: KeyFile.FormError.self) { try KeyFile.parse(Array(other.utf8)) }
        }
        try withStore { store in
            try DurableFile.replace(store.path, with: Array(old.utf8))
            _ = try add(store, "two")
            let content = try KeyFile.parse(try File.read(store.path, bytesMax: 1 << 20))
            #expect(content.keys.count == 2 && content.keys[0] == key && content.damagedLines.isEmpty)
        }
    }

    @Test func `every member of a key survives the file`() throws {
        let key = Key(
            id: "0123456789ab", name: Name(checked: "n"), secretHash: SHA256.hash([1]), scopes: [.lago, .admin],
            org: Name("acme"), defaultOrg: Name("acme"), lagoOwnerIsUser: true, createdAt: now,
            expiresAt: now.adding(seconds: 1), revokedAt: now.adding(seconds: 2))
        #expect(try KeyFile.parse(KeyFile.write([key])) == KeyFile.Content(keys: [key]))
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
