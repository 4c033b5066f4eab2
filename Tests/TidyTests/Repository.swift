import Glibc

/// The project's own files, as text, found from where this file is.
struct Repository {
    struct File {
        /// From the project's root: "Sources/Billing/Name.swift".
        let path: String
        let text: String

        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

        /// The library it belongs to: "Billing" for Sources/Billing/..., nil outside Sources/.
        var module: String? {
            let parts = path.split(separator: "/")
            return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
        }

        /// "path:12" for the line with this index.
        func place(_ index: Int) -> String { "\(path):\(index + 1)" }
    }

    let root: String
    /// Every file of ours that is text: what git follows or would follow, else (no git) what is there.
    let files: [File]

    var swift: [File] { files.filter { $0.path.hasSuffix(".swift") } }

    static let shared = Repository()

    private init(file: String = #filePath) {
        root = file.split(separator: "/").dropLast(3).reduce(into: "") { $0 += "/" + $1 }
        let root = root
        var paths = Repository.output(
            "git -C '\(root)' ls-files --cached --others --exclude-standard 2>/dev/null"
        ).split(separator: "\n").map(String.init)
        if paths.isEmpty {
            paths = Repository.output("cd '\(root)' && find . -type f -not -path './.*' -print")
                .split(separator: "\n").map { String($0.dropFirst(2)) }
        }
        files = paths.sorted().compactMap { path in
            Repository.read("\(root)/\(path)").map { File(path: path, text: $0) }
        }
        precondition(files.count > 20, "no files found under \(root)")
    }

    func has(_ path: String) -> Bool { access("\(root)/\(path)", F_OK) == 0 }

    private static func output(_ command: String) -> String {
        guard let pipe = popen(command, "r") else { return "" }
        defer { pclose(pipe) }
        return contents(of: pipe)
    }

    private static func read(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        return contents(of: file)
    }

    private static func contents(of file: UnsafeMutablePointer<FILE>) -> String {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&part, 1, part.count, file)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += part[..<count]
        }
    }
}

/// A line of Swift without its comment and without what its string literals say.
func code(_ line: some StringProtocol) -> String {
    var kept = ""
    var quoted = false
    var previous: Character = " "
    for character in line {
        if quoted {
            if character == "\"" && previous != "\\" { quoted = false }
        } else if character == "\"" {
            quoted = true
        } else if character == "/" && previous == "/" {
            kept.removeLast()
            return kept
        } else {
            kept.append(character)
        }
        previous = character
    }
    return kept
}

/// The identifiers of a piece of code, in order.
func words(_ code: String) -> [Substring] {
    code.split { !($0.isLetter || $0.isNumber || $0 == "_") }
}
