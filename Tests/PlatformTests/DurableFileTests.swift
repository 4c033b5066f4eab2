import Glibc
import Platform
import Testing

@Suite struct DurableFileTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = try Folder.makeTemporary(prefix: "tallystick-file")
        defer { try? Folder.remove(folder) }
        try body(folder)
    }

    private func mode(_ path: String) -> UInt32 {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    @Test func `a replaced file is the new one, private, with nothing beside it`() throws {
        try withFolder { folder in
            let path = folder + "/keys.json"
            try DurableFile.replace(path, with: Array("one".utf8))
            try DurableFile.replace(path, with: Array("second".utf8))
            #expect(try File.read(path, bytesMax: 6) == Array("second".utf8))
            #expect(mode(path) == 0o600)
            #expect(try Folder.list(folder) == ["keys.json"])
            try DurableFile.replace(path, with: [])
            #expect(try File.read(path, bytesMax: 0) == [])
        }
    }

    @Test func `what a crash left of a replacement is in nobody's way`() throws {
        try withFolder { folder in
            let path = folder + "/keys.json"
            // A link planted where the new file is written must not be followed either.
            #expect(symlink("/dev/full", path + ".new") == 0)
            try DurableFile.replace(path, with: [1, 2, 3])
            #expect(try File.read(path, bytesMax: 9) == [1, 2, 3])
        }
    }

    @Test func `a replacement that fails leaves the old file`() throws {
        try withFolder { folder in
            let error = #expect(throws: FileError.self) { try DurableFile.replace(folder + "/none/file", with: [1]) }
            #expect(error?.operation == "open" && error?.code == ENOENT)
            // A folder is in the way of the rename.
            try Folder.make(folder + "/taken/inside")
            #expect(throws: FileError.self) { try DurableFile.replace(folder + "/taken", with: [1]) }
            #expect(try Folder.list(folder) == ["taken"])
        }
    }

    @Test func `a file longer than the limit is refused`() throws {
        try withFolder { folder in
            try DurableFile.replace(folder + "/f", with: [UInt8](repeating: 7, count: 200_000))
            #expect(try File.read(folder + "/f", bytesMax: 200_000).count == 200_000)
            let error = #expect(throws: FileError.self) { try File.read(folder + "/f", bytesMax: 199_999) }
            #expect(error?.code == EFBIG)
            #expect(try File.size(folder + "/f") == 200_000)
        }
    }

    @Test func `appends add up, also after a restart`() throws {
        try withFolder { folder in
            let path = folder + "/parked.ndjson"
            do {
                let file = try AppendFile(path: path)
                try file.append(Array("a\n".utf8))
                try file.append(Array("b\n".utf8))
            }
            try AppendFile(path: path).append(Array("c\n".utf8))
            #expect(try File.read(path, bytesMax: 99) == Array("a\nb\nc\n".utf8))
            #expect(mode(path) == 0o600)
        }
    }

    @Test func `a full disk is an error of the append`() throws {
        let file = try AppendFile(path: "/dev/full")
        let error = #expect(throws: FileError.self) { try file.append([0x0A]) }
        #expect(error?.operation == "write" && error?.code == ENOSPC)
        #expect(error?.description == "write /dev/full: No space left on device (errno 28)")
    }

    @Test func `folders are private, made with their parents, listed in order and removed whole`() throws {
        try withFolder { folder in
            try Folder.make(folder + "/x/y/z")
            try Folder.make(folder + "/x/y/z/")
            #expect(mode(folder + "/x") == 0o700 && mode(folder + "/x/y/z") == 0o700)
            for name in ["b", "a", "B"] { try DurableFile.replace(folder + "/x/y/" + name, with: [1]) }
            #expect(try Folder.list(folder + "/x/y") == ["B", "a", "b", "z"])
            // A link out of the folder is removed, what it points to is not.
            try DurableFile.replace(folder + "/kept", with: [1])
            #expect(symlink(folder + "/kept", folder + "/x/link") == 0)
            try Folder.remove(folder + "/x")
            try Folder.remove(folder + "/x")
            #expect(try Folder.list(folder) == ["kept"])
            #expect(throws: FileError.self) { try Folder.make(folder + "/kept") }
            #expect(throws: FileError.self) { try Folder.make(folder + "/kept/inside") }
        }
    }

    @Test func `the parent of a path is found in its bytes`() {
        let rows = [("a", "."), ("a/b", "a"), ("/a", "/"), ("/", "/"), ("a/b/", "a"), ("/a//b", "/a"), ("./a", ".")]
        for (path, parent) in rows { #expect(Folder.parent(of: path) == parent, "\(path)") }
    }

    @Test func `a folder is locked by one at a time`() async throws {
        let folder = try Folder.makeTemporary(prefix: "tallystick-file")
        var lock = try FolderLock(folder: folder)
        #expect(lock != nil)
        #expect(try FolderLock(folder: folder) == nil)
        #expect(try FolderLock(folder: folder, name: "other") != nil)
        // Another process is refused, and its death gives back what it held.
        await #expect(processExitsWith: .exitCode(7)) { [folder = folder as String] in
            guard try FolderLock(folder: folder) == nil else { return }
            guard let held = try FolderLock(folder: folder, name: "third") else { return }
            _ = held
            _exit(7)
        }
        #expect(try FolderLock(folder: folder, name: "third") != nil)
        _ = lock
        lock = nil
        #expect(try FolderLock(folder: folder) != nil)
        try Folder.remove(folder)
    }
}
