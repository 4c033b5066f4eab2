import Testing

/// The modules and what each may import of ours. An arrow that is not here needs its noun moved, or a decision page.
private let arrows: [String: Set<String>] = [
    "tallystick": [
        "API", "Server", "Engine", "Projections", "Audit", "EventLog", "Platform", "Billing", "Formats", "JSON", "HTTP",
        "Hashing",
    ],
    "tallystick-alerts": ["Hashing", "JSON", "Platform", "Foundation", "FoundationNetworking"],
    "API": [
        "HTTP", "JSON", "Billing", "Formats", "Records", "Engine", "Projections", "Audit", "EventLog", "Schemas",
        "Hashing", "Platform",
    ],
    "Snapshots": ["Billing", "Records", "EventLog", "Projections", "JSON", "Hashing", "Platform"],
    "Projections": ["Billing", "Records", "EventLog", "SQLite", "Schemas", "Hashing", "Platform"],
    "Engine": ["Billing", "Records", "EventLog", "Hashing", "Platform"],
    "Audit": ["EventLog", "Hashing", "Platform"],
    "Server": ["HTTP", "Platform", "CLinux"],
    "EventLog": ["CLMDB", "Hashing", "Platform"],
    "SQLite": ["CSQLite"],
    "Platform": ["CLinux"],
    "Records": ["Billing", "Hashing"],
    "Formats": ["Billing", "JSON", "Hashing", "Records"],
    "Hashing": ["CHashing"],
    // One atomic flag, which sees that a piece of a streamed body is given once.
    "HTTP": ["Synchronization"],
    "JSON": [],
    "Billing": [],
    "CLinux": [],
    "CHashing": [],
    "CSchemas": [],
    "CLMDB": [],
    "CSQLite": [],
]

/// No input or output, no clock, no actor: the same answer from the same bytes, on every machine.
private let pure: Set<String> = ["Billing", "JSON", "HTTP", "Records", "Formats", "Hashing"]

/// Modules of the toolchain that machinery may use.
private let system: Set<String> = ["Glibc", "Synchronization", "_Concurrency"]

private let files = Repository.shared.swift.filter { $0.module != nil }

/// The module that a line imports: "internal import struct CLMDB.X" gives CLMDB.
private func imported(_ line: Substring) -> String? {
    let words = code(line).split(whereSeparator: { $0 == " " || $0 == "." })
    guard let at = words.firstIndex(of: "import"), words.count > at + 1 else { return nil }
    let before = words[..<at]
    guard
        before.allSatisfy({
            $0.hasPrefix("@") || ["public", "internal", "package", "fileprivate", "private"].contains($0)
        })
    else { return nil }
    let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
    let name = kinds.contains(words[at + 1]) && words.count > at + 2 ? words[at + 2] : words[at + 1]
    return String(name)
}

@Test func `every module in Sources is in the table`() {
    let found = Set(files.compactMap(\.module))
    #expect(found.isSubset(of: arrows.keys), "not in the table: \(found.subtracting(arrows.keys).sorted())")
    #expect(!found.isEmpty)
}

@Test func `imports follow the arrows`() {
    var faults: [String] = []
    for file in files {
        guard let module = file.module, let allowed = arrows[module] else { continue }
        for (index, line) in file.lines.enumerated() {
            guard let name = imported(line), !allowed.contains(name) else { continue }
            if arrows[name] == nil && system.contains(name) && !pure.contains(module) { continue }
            faults.append("\(file.place(index)): \(module) may not import \(name)")
        }
    }
    #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
}

@Test func `an import line is recognised however it is written`() {
    #expect(imported("import Glibc") == "Glibc")
    #expect(imported("public import Billing // for Name") == "Billing")
    #expect(imported("@preconcurrency internal import struct CLMDB.MDB_val") == "CLMDB")
    #expect(imported("// import Foundation") == nil)
    #expect(imported("let text = \"import X\"") == nil)
    #expect(imported("    important += 1") == nil)
}

@Test func `the arrows only go downwards`() {
    func below(_ module: String, _ path: [String]) -> [String]? {
        if path.contains(module) { return path + [module] }
        for next in arrows[module] ?? [] {
            if let circle = below(next, path + [module]) { return circle }
        }
        return nil
    }
    for module in arrows.keys.sorted() {
        #expect(below(module, []) == nil)
    }
}

@Test func `pure targets know no machine and no binary fractions`() {
    let banned: Set<Substring> = [
        "Foundation", "Glibc", "Double", "Float", "Float16", "Float32", "Float64", "Float80", "CGFloat", "actor",
        "Task", "ContinuousClock", "SystemRandomNumberGenerator",
    ]
    var faults: [String] = []
    for file in files where pure.contains(file.module ?? "") {
        for (index, line) in file.lines.enumerated() {
            for word in words(code(line)) where banned.contains(word) {
                faults.append("\(file.place(index)): \(word)")
            }
        }
    }
    #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
}

@Test func `no library uses Foundation or prints`() {
    var faults: [String] = []
    // It speaks https to the outside, and is no library.
    for file in files where file.module != "tallystick-alerts" {
        for (index, line) in file.lines.enumerated() {
            let text = code(line)
            if words(text).contains(where: { $0.hasPrefix("Foundation") }) {
                faults.append("\(file.place(index)): Foundation")
            }
            if file.module != "tallystick", calls("print", in: text) || calls("debugPrint", in: text) {
                faults.append("\(file.place(index)): print")
            }
        }
    }
    #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
}

/// Whether the code calls a free function of this name.
private func calls(_ name: String, in code: String) -> Bool {
    var rest = code[...]
    while let found = rest.range(of: name + "(") {
        let before = found.lowerBound == code.startIndex ? " " : code[code.index(before: found.lowerBound)]
        if !(before.isLetter || before.isNumber || before == "_" || before == ".") { return true }
        rest = code[found.upperBound...]
    }
    return false
}

extension Substring {
    /// The first place of a piece of text.
    fileprivate func range(of piece: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(piece) { return start..<index(start, offsetBy: piece.count) }
            start = index(after: start)
        }
        return nil
    }
}
