import Testing

private let columnsMax = 120
private let linesListed = 500
private let linesMax = 700

private let repository = Repository.shared
private let sources = repository.files.filter { file in
    [".swift", ".c", ".h", ".py"].contains { file.path.hasSuffix($0) }
}

@Test func `no line is longer than 120 columns`() {
    var faults: [String] = []
    for file in sources {
        for (index, line) in file.lines.enumerated() where line.utf8.count > columnsMax && line.count > columnsMax {
            // A row of a test's table stays on its line, however long what it feeds in is.
            if file.path.hasPrefix("Tests/") && line.contains("\"") { continue }
            faults.append("\(file.place(index)): \(line.count) columns")
        }
    }
    #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
}

@Test func `no file is longer than 700 lines`() {
    for file in sources.sorted(by: { $0.lines.count > $1.lines.count }) where file.lines.count > linesListed {
        print("long file: \(file.path), \(file.lines.count) lines")
        #expect(file.lines.count <= linesMax, "\(file.path) has \(file.lines.count) lines: it holds more than one noun")
    }
}

@Test func `no merge is left half done`() {
    let marks = [String(repeating: "<", count: 7) + " ", String(repeating: ">", count: 7) + " "]
    for file in repository.files {
        for (index, line) in file.lines.enumerated() where marks.contains(where: { line.hasPrefix($0) }) {
            Issue.record("a mark of a merge: \(file.place(index))")
        }
    }
}

@Test func `nothing is left for later`() {
    // In two parts, so that this file is not found.
    let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
    var faults: [String] = []
    for file in sources {
        for (index, line) in file.lines.enumerated() {
            if words(String(line)).contains(where: { marks.contains(String($0)) }) { faults.append(file.place(index)) }
        }
    }
    #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
}

@Test func `every unchecked Sendable says why it holds`() {
    let mark = "@unchecked " + "Sendable"
    var faults: [String] = []
    for file in repository.swift where !file.path.hasPrefix("Tests/") {
        let lines = file.lines
        for (index, line) in lines.enumerated() where code(line).contains(mark) {
            let above = lines[max(0, index - 6)..<index]
            let said = above.contains { above in
                above.drop(while: { $0 == " " }).hasPrefix("//") && above.contains("unchecked")
            }
            if !said { faults.append(file.place(index)) }
        }
    }
    #expect(faults.isEmpty, "no comment with the reason within 6 lines above: \(faults.joined(separator: "\n"))")
}

@Test func `no path of somebody's machine is in a file`() {
    let marks = ["/ho" + "me/", "/ro" + "ot/", "/Use" + "rs/"]
    var faults: [String] = []
    for file in repository.files {
        for mark in marks where file.text.contains(mark) { faults.append("\(file.path): \(mark)") }
    }
    #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
}

@Test func `the top level holds what belongs there`() {
    let allowed: Set<Substring> = ["Package.swift", "README.md", "Sources", "Replay", "Schemas", "Tests", "ops"]
    let found = Set(repository.files.compactMap { $0.path.split(separator: "/").first })
    let others = found.subtracting(allowed).filter { !$0.hasPrefix(".") }
    #expect(others.isEmpty, "does not belong at the top: \(others.sorted())")
}

@Test func `links in the documents lead somewhere`() {
    var faults: [String] = []
    for file in repository.files where file.path.hasSuffix(".md") {
        let folder = file.path.split(separator: "/").dropLast().joined(separator: "/")
        for target in links(file.text) where !target.contains("://") && !target.hasPrefix("#") {
            let path = String(target.prefix { $0 != "#" })
            if !repository.has(folder.isEmpty ? path : "\(folder)/\(path)") {
                faults.append("\(file.path): \(target)")
            }
        }
    }
    #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    #expect(links("see [a](x/y.md) and [b](#c)") == ["x/y.md", "#c"])
}

@Test func `comments and strings are not taken for code`() {
    #expect(code("let a = 1 // Double") == "let a = 1 ")
    #expect(code("let a = \"Double // \\\" Float\" + b") == "let a =  + b")
    #expect(words("a.b(Double_2)") == ["a", "b", "Double_2"])
}

/// The targets of Markdown links.
private func links(_ text: String) -> [String] {
    var found: [String] = []
    var rest = text[...]
    while let close = rest.firstIndex(of: "]") {
        rest = rest[rest.index(after: close)...]
        guard rest.first == "(", let end = rest.firstIndex(of: ")") else { continue }
        found.append(String(rest[rest.index(after: rest.startIndex)..<end]))
        rest = rest[end...]
    }
    return found
}
