// swift-tools-version: 6.2
import PackageDescription

/// What every target of ours is built with: Swift 6 mode, and imports that say what they expose.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// A target of ours. The arrows of the design are the `uses` lists: they only go downwards.
func module(_ name: String, uses: [String] = [], path: String? = nil) -> Target {
    .target(
        name: name, dependencies: uses.map { .init(stringLiteral: $0) },
        path: path ?? "Sources/\(name)", swiftSettings: settings)
}

func program(_ name: String, uses: [String], path: String, exclude: [String] = []) -> Target {
    .executableTarget(
        name: name, dependencies: uses.map { .init(stringLiteral: $0) }, path: path, exclude: exclude,
        swiftSettings: settings)
}

func tests(_ name: String, uses: [String], exclude: [String] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: uses.map { .init(stringLiteral: $0) },
        path: "Tests/\(name)Tests", exclude: exclude, swiftSettings: settings)
}

let package = Package(
    name: "tallystick",
    products: [
        .executable(name: "tallystick", targets: ["tallystick"]),
        .executable(name: "tallystick-replay", targets: ["tallystick-replay"]),
        .executable(name: "tallystick-alerts", targets: ["tallystick-alerts"]),
    ],
    targets: [
        // Programs.
        program(
            "tallystick",
            uses: [
                "API", "Server", "Engine", "Projections", "Audit", "EventLog", "Platform", "Billing", "Formats", "JSON",
                "HTTP", "Hashing",
            ],
            path: "Sources/tallystick"),
        program(
            "tallystick-replay",
            uses: [
                "Snapshots", "Projections", "Audit", "EventLog", "Records", "Formats", "Schemas", "Billing", "JSON",
                "Hashing", "Platform", "Engine",
            ],
            path: "Replay"),
        // The one that uses FoundationNetworking: https to the outside, which the daemon has no need of.
        program(
            "tallystick-alerts", uses: ["Hashing", "JSON", "Platform"], path: "Sources/tallystick-alerts"),
        program(
            "tallystick-bench", uses: ["Platform"], path: "ops/bench",
            exclude: ["RESULTS.md", "run", "http", "http-server"]),
        program(
            "tallystick-bench-http",
            uses: [
                "API", "Audit", "Billing", "Server", "HTTP", "Engine", "EventLog", "Projections", "Hashing", "Platform",
            ],
            path: "ops/bench/http-server"),

        // Machinery.
        module(
            "API",
            uses: [
                "HTTP", "JSON", "Billing", "Formats", "Records", "Engine", "Audit", "EventLog", "Projections",
                "Schemas", "Hashing", "Platform",
            ]),
        module(
            "Snapshots",
            uses: ["Billing", "Records", "EventLog", "Projections", "JSON", "Hashing", "Platform"]),
        module(
            "Projections",
            uses: ["Billing", "Records", "EventLog", "SQLite", "Schemas", "Hashing", "Platform"]),
        module("Engine", uses: ["Billing", "Records", "EventLog", "Hashing", "Platform"]),
        module("Audit", uses: ["EventLog", "Hashing", "Platform"]),
        module("Server", uses: ["HTTP", "Platform", "CLinux"]),
        module("EventLog", uses: ["CLMDB", "Hashing", "Platform"]),
        module("SQLite", uses: ["CSQLite"]),
        module("Platform", uses: ["CLinux"]),

        // Pure: no I/O, no clock, no actor, no Foundation.
        module("Records", uses: ["Billing", "Hashing"]),
        module("Formats", uses: ["Billing", "JSON", "Hashing", "Records"]),
        module("HTTP"),
        module("JSON"),
        module("Billing"),
        module("Hashing", uses: ["CHashing"]),

        // Files that are the truth, embedded as bytes.
        module("Schemas", uses: ["CSchemas"], path: "Schemas/embed/Schemas"),
        .target(name: "CSchemas", path: "Schemas/embed/CSchemas"),

        // Doors to C.
        .target(name: "CLinux", path: "Sources/CLinux"),
        .target(name: "CHashing", path: "Sources/CHashing"),
        .systemLibrary(
            name: "CLMDB", path: "Sources/CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
        .systemLibrary(
            name: "CSQLite", path: "Sources/CSQLite", pkgConfig: "sqlite3",
            providers: [.apt(["libsqlite3-dev"])]),

        // Tests.
        module("TestEvents", uses: ["Billing"], path: "Tests/TestEvents"),
        tests("Billing", uses: ["Billing", "TestEvents"]),
        tests("JSON", uses: ["JSON"]),
        tests("HTTP", uses: ["HTTP"]),
        tests("Hashing", uses: ["Hashing", "CHashing"]),
        tests("Records", uses: ["Records", "Billing", "Hashing", "TestEvents"], exclude: ["Fixtures"]),
        tests("Formats", uses: ["Formats", "Billing", "JSON", "Hashing", "Records", "TestEvents"]),
        tests("Platform", uses: ["Platform"]),
        tests("EventLog", uses: ["EventLog", "CLMDB", "Hashing", "Platform"], exclude: ["Fixtures"]),
        tests("Audit", uses: ["Audit", "EventLog", "Hashing", "Platform"]),
        tests("SQLite", uses: ["SQLite"]),
        tests(
            "Projections",
            uses: ["Projections", "EventLog", "SQLite", "Records", "Billing", "Hashing", "Platform", "TestEvents"]),
        tests(
            "Snapshots",
            uses: [
                "Snapshots", "Projections", "EventLog", "Records", "Billing", "Hashing", "Platform", "TestEvents",
            ]),
        tests("Engine", uses: ["Engine", "EventLog", "Records", "Billing", "Hashing", "Platform"]),
        tests("Server", uses: ["Server", "HTTP", "Platform"]),
        tests(
            "API",
            uses: [
                "API", "HTTP", "JSON", "Billing", "Formats", "Hashing", "Schemas", "Platform", "Engine", "EventLog",
                "Projections", "Records", "SQLite", "Audit",
            ]),
        tests("Courier", uses: ["tallystick-alerts"]),
        tests("Tidy", uses: []),
    ]
)
