import Foundation
import JSON
import Testing

/// Recorded requests under Tests/Fixtures/captures, found from this file's place.
struct Capture: CustomTestStringConvertible, Sendable {
    var folder: String
    var number: Int
    var label: String
    var body: [UInt8]

    var testDescription: String { "\(folder)/\(number) \(label)" }

    static let folders = ["litellm_generic", "litellm_lago", "litellm_openmeter", "lago_agent_sdk"]
    static let all: [Capture] = folders.flatMap { read($0) }

    static func of(_ folder: String, _ label: String? = nil) -> [Capture] {
        all.filter { $0.folder == folder && (label == nil || $0.label == label) }
    }

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/captures")

    static func document(_ name: String) -> JSONValue {
        try! JSONValue.parse([UInt8](try! Data(contentsOf: root.appendingPathComponent(name))))
    }

    private static func read(_ folder: String) -> [Capture] {
        let root = root.appendingPathComponent(folder)
        let index = try! String(contentsOf: root.appendingPathComponent("index.jsonl"), encoding: .utf8)
        let files = try! FileManager.default.contentsOfDirectory(atPath: root.path).sorted()
        return index.split(separator: "\n").map { line in
            let entry = try! JSONValue.parse(Array(line.utf8))
            let number = Int(entry["n"]!.number!)!
            let label = entry["label"]!.string!
            let prefix = String(repeating: "0", count: 4 - String(number).count) + "\(number)_\(label).body."
            let name = files.first { $0.hasPrefix(prefix) }!
            return Capture(
                folder: folder, number: number, label: label,
                body: [UInt8](try! Data(contentsOf: root.appendingPathComponent(name))))
        }
    }
}

/// A generator whose numbers are the same in every run.
struct Seeded {
    var state: UInt64

    mutating func below(_ count: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(truncatingIfNeeded: (state >> 33) % UInt64(count))
    }
}
