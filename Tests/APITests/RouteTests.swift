import HTTP
import JSON
import Platform
import Schemas
import Testing

@testable import API

struct RouteTests {
    @Test func `every route is described in openapi.json, and nothing else is`() throws {
        let document = try JSONValue.parse(Schema.openapi)
        guard case .object(let paths)? = document["paths"] else {
            Issue.record("no paths")
            return
        }
        var described: Set<String> = []
        for path in paths {
            guard case .object(let operations) = path.value else { continue }
            for operation in operations where operation.name != "parameters" {
                described.insert(operation.name.uppercased() + " " + path.name)
            }
        }
        let routes = Set(Route.table.map { $0.method.name + " " + $0.path })
        #expect(routes.subtracting(described).isEmpty, "not described")
        #expect(described.subtracting(routes).isEmpty, "described and not there")
    }

    /// Whoever adds a route says what a key confined to one org gets from it, and that is then tested from outside.
    @Test func `every route has a row in the matrix of who may do what`() throws {
        let path = Folder.parent(of: Folder.parent(of: #filePath)) + "/e2e/test_access.py"
        let matrix = String(decoding: try File.read(path, bytesMax: 1 << 20), as: UTF8.self)
        for route in Route.table {
            let row = "\"\(route.method.name) \(route.path)\": Row("
            #expect(
                matrix.contains(row),
                """
                \(route.method.name) \(route.path) has no row in Tests/e2e/test_access.py. Add one to ROUTES, \
                saying what a key that is confined to one org gets (own path, own only, writes, refused, shared, \
                open); then run: (cd Tests/e2e && python3 -m unittest test_access)
                """)
        }
    }

    @Test func `every name has one row in the table`() {
        for name in Route.Name.allCases {
            #expect(Route.table.count { $0.name == name } == 1, "\(name)")
        }
    }

    @Test func `a path is matched with its parameters, whole`() {
        guard case .route(let route, let parameters) = Route.match(.get, ["v1", "orgs", "a/b", "users", "u", "credits"])
        else {
            Issue.record("no match")
            return
        }
        #expect(route.name == .getOrgUserCredits)
        #expect(parameters == ["a/b", "u"])
        for path in [["v1"], ["v1", "orgs"], ["v1", "orgs", "a", "nothing"], ["v1", "events", "1", "2"]] {
            guard case .none = Route.match(.get, path) else {
                Issue.record("\(path) matched")
                continue
            }
        }
    }

    @Test func `a fixed path comes before one with a parameter`() {
        guard case .methodNotAllowed = Route.match(.get, ["api", "v1", "events"]) else {
            Issue.record("GET of Lago's events is not ours")
            return
        }
        guard case .route(let route, _) = Route.match(.post, ["api", "v1", "events", "batch"]) else {
            Issue.record("no batch")
            return
        }
        #expect(route.name == .postLagoBatch)
    }

    @Test func `a wrong method says which ones there are, HEAD with GET`() {
        guard case .methodNotAllowed(let allow) = Route.match(.delete, ["v1", "events"]) else {
            Issue.record("allowed")
            return
        }
        #expect(allow == "POST, GET, HEAD, OPTIONS")
        guard case .route(let route, _) = Route.match(.head, ["healthz"]) else {
            Issue.record("no HEAD")
            return
        }
        #expect(route.name == .healthz)
    }
}
