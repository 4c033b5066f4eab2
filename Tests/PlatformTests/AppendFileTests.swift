import Glibc
import Platform
import Testing

@Suite struct AppendFileTests {
    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = try Folder.makeTemporary(prefix: "tallystick-append")
        defer { try? Folder.remove(folder) }
        try body(folder + "/lines")
    }

    private static func lines(_ file: AppendFile, bytesMax: Int = 1 << 20) throws -> [String] {
        var lines: [String] = []
        try file.lines(bytesMax: bytesMax) { lines.append(String(decoding: $0, as: UTF8.self)) }
        return lines
    }

    @Test func `a file cut off at any byte keeps its whole lines, and the next one is a line of its own`() throws {
        let whole = Array("first\n\nthird line\nlast\n".utf8)
        for cut in 0...whole.count {
            try Self.withFolder { path in
                try DurableFile.replace(path, with: Array(whole[..<cut]))
                let file = try AppendFile(path: path)
                let kept = whole[..<cut].lastIndex(of: 0x0A).map { Array(whole[...$0]) } ?? []
                #expect(try File.read(path, bytesMax: 99) == kept)
                try file.append(Array("new\n".utf8))
                #expect(try File.read(path, bytesMax: 99) == kept + Array("new\n".utf8))
                #expect(
                    try Self.lines(file) == String(decoding: kept, as: UTF8.self).split(
                        separator: "\n", omittingEmptySubsequences: false
                    ).dropLast().map(String.init) + ["new"], "cut at \(cut)")
            }
        }
    }

    @Test(arguments: [0, 1, 65_534, 65_535, 65_536, 65_537, 200_000])
    func `a line of any length is handed over as it is, or as much of it as is wanted`(length: Int) throws {
        try Self.withFolder { path in
            let long = [UInt8](repeating: 0x78, count: length) + [0x0A]
            let file = try AppendFile(path: path)
            try file.append(Array("a\n".utf8) + long)
            try file.append(long + Array("b\n".utf8))
            let text = String(decoding: long.dropLast(), as: UTF8.self)
            #expect(try Self.lines(file) == ["a", text, text, "b"])
            #expect(try Self.lines(file, bytesMax: 7) == ["a", String(text.prefix(7)), String(text.prefix(7)), "b"])
            // A torn line longer than a piece goes, too.
            try DurableFile.replace(path, with: Array("a\n".utf8) + long.dropLast())
            #expect(try Self.lines(AppendFile(path: path)) == ["a"])
            #expect(try File.size(path) == 2)
        }
    }

    @Test func `what a full disk left of an addition is cut off at once`() async throws {
        let folder = try Folder.makeTemporary(prefix: "tallystick-append")
        await #expect(processExitsWith: .success) { [folder = folder as String] in
            signal(SIGXFSZ, SIG_IGN)
            let path = folder + "/lines"
            let file = try AppendFile(path: path)
            var kept: [UInt8] = []
            // Room for more and more bytes of the addition, but for the last.
            let line = Array("0123456789\n".utf8)
            for room in 0..<line.count {
                try limit(kept.count + room)
                let error = #expect(throws: FileError.self) { try file.append(line) }
                #expect(error?.code == EFBIG)
                #expect(try File.read(path, bytesMax: 999) == kept)
                try limit(1 << 20)
                try file.append(Array("\(room)\n".utf8))
                kept += Array("\(room)\n".utf8)
                #expect(try File.read(path, bytesMax: 999) == kept)
            }
            // Nor does other lines' room come from these.
            try limit(kept.count - 1)
            var pieces = [kept, line]
            #expect(throws: FileError.self) { try file.rewrite { pieces.isEmpty ? nil : pieces.removeFirst() } }
            #expect(try File.read(path, bytesMax: 999) == kept)
            #expect(try Folder.list(folder) == ["lines"])
        }
        try Folder.remove(folder)
    }

    @Test func `other lines take the place of all, and the next one comes behind them`() throws {
        try Self.withFolder { path in
            let file = try AppendFile(path: path)
            try file.append(Array("one\ntwo\n".utf8))
            try DurableFile.replace(path + AppendFile.suffixOfNew, with: Array("left by a crash".utf8))
            var pieces = ["a\n", "b\nc\n"].map { Array($0.utf8) }
            try file.rewrite { pieces.isEmpty ? nil : pieces.removeFirst() }
            try file.append(Array("d\n".utf8))
            #expect(try Self.lines(file) == ["a", "b", "c", "d"])
            #expect(try Self.lines(AppendFile(path: path)) == ["a", "b", "c", "d"])
            #expect(!File.exists(path + AppendFile.suffixOfNew))
            try file.rewrite { nil }
            #expect(try File.size(path) == 0)
        }
    }
}

private func limit(_ bytes: Int) throws {
    var limit = rlimit(rlim_cur: rlim_t(bytes), rlim_max: .max)
    guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else {
        throw FileError(operation: "setrlimit", path: "", code: errno)
    }
}
