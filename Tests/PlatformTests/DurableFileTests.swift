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

    private func owner(_ path: String) -> [UInt32] {
        var status = stat()
        return stat(path, &status) == 0 ? [status.st_uid, status.st_gid] : []
    }

    @Test func `a replaced file keeps its mode, and the bits of permission alone`() throws {
        try withFolder { folder in
            let path = folder + "/keys.json"
            try DurableFile.replace(path, with: [1])
            for mode: UInt32 in [0o640, 0o644, 0o400, 0o600] {
                #expect(chmod(path, mode | 0o4000) == 0)
                try DurableFile.replace(path, with: [2])
                #expect(mode == self.mode(path))
                var status = stat()
                #expect(stat(path, &status) == 0 && status.st_mode & 0o7000 == 0)
            }
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root may give a file to somebody"))
    func `what root makes belongs to whoever has the folder, what it replaces to who had it`() throws {
        try withFolder { folder in
            #expect(chown(folder, 65_534, 65_533) == 0)
            let path = folder + "/keys.json"
            try DurableFile.replace(path, with: [1])
            _ = try FolderLock(folder: folder)
            _ = try AppendFile(path: folder + "/appended")
            _ = try PlacedFile(path: folder + "/placed", writable: true)
            _ = try NewFile(path: folder + "/new")
            File.makeForFolder(folder + "/library's")
            try Folder.make(folder + "/above/below")
            try DurableFile.replace(folder + "/above/below/file", with: [1])
            let names = try Folder.list(folder)
            #expect(names == ["above", "appended", "keys.json", "library's", "lock", "new", "placed"])
            for name in names + ["above/below", "above/below/file"] {
                #expect(owner(folder + "/" + name) == [65_534, 65_533], "\(name)")
            }
            #expect(chown(path, 65_532, 65_531) == 0)
            try DurableFile.replace(path, with: [2])
            #expect(owner(path) == [65_532, 65_531])
            // One that was there is nobody else's for being opened.
            #expect(chown(folder + "/lock", 0, 0) == 0)
            _ = try FolderLock(folder: folder)
            File.makeForFolder(folder + "/lock")
            #expect(owner(folder + "/lock") == [0, 0])
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can be somebody else"))
    func `who may not give a file back to its owner leaves it`() async throws {
        let folder = try Folder.makeTemporary(prefix: "tallystick-file")
        defer { try? Folder.remove(folder) }
        let path = folder + "/keys.json"
        try DurableFile.replace(path, with: [1])
        #expect(chmod(folder, 0o777) == 0 && chown(path, 65_532, 65_532) == 0)
        await #expect(processExitsWith: .exitCode(7)) { [path = path as String] in
            guard setgid(65_533) == 0, setuid(65_534) == 0 else { return }
            do throws(FileError) {
                try DurableFile.replace(path, with: [2])
            } catch {
                _exit(error.code == EPERM && error.path == path && error.operation == "fchown to #65532" ? 7 : 8)
            }
        }
        #expect(try File.read(path, bytesMax: 1) == [1])
        #expect(try Folder.list(folder) == ["keys.json"])
        // A group that has no rights in it is no reason.
        #expect(chown(path, 65_534, 65_532) == 0)
        await #expect(processExitsWith: .exitCode(7)) { [path = path as String] in
            guard setgid(65_533) == 0, setuid(65_534) == 0 else { return }
            try DurableFile.replace(path, with: [3])
            _exit(7)
        }
        #expect(try File.read(path, bytesMax: 1) == [3])
        #expect(owner(path)[0] == 65_534)
        #expect(chmod(path, 0o640) == 0 && chown(path, 65_534, 65_532) == 0)
        await #expect(processExitsWith: .exitCode(7)) { [path = path as String] in
            guard setgid(65_533) == 0, setuid(65_534) == 0 else { return }
            do throws(FileError) { try DurableFile.replace(path, with: [4]) } catch { _exit(7) }
        }
        #expect(try File.read(path, bytesMax: 1) == [3])
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
        // A process that another test is starting has a copy of the descriptor until it runs its own program.
        var again: FolderLock?
        for _ in 0..<500 where again == nil {
            again = try FolderLock(folder: folder)
            if again == nil { usleep(10_000) }
        }
        #expect(again != nil)
        try Folder.remove(folder)
    }
}
