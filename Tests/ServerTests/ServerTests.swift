import Glibc
import HTTP
import Platform
import Server
import Testing

@Suite(.serialized) struct ServerTests {
    @Test func `one connection serves many requests`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            for index in 0..<10 {
                #expect(client.ask(get("/a\(index)"))?.body == "get /a\(index) ")
                let answer = client.ask(post("/p", "body \(index)"))
                #expect(answer?.body == "post /p body \(index)")
                #expect(answer?.header("Content-Type") == "text/plain")
                #expect(answer?.header("Date")?.utf8.count == 29)
            }
            #expect(server.eventually { $0.requests == 20 && $0.responses2xx == 20 && $0.connectionsAccepted == 1 })
        }
    }

    @Test func `pipelined requests are answered in order, also when the answers come late`() throws {
        try withServer { server, handler in
            let client = Client(port: server.port)
            client.send(get("/held/1") + get("/now") + post("/held/2", "two") + get("/thread"))
            for index in 1...2 {
                let all = handler.takeHeld(1)
                #expect(all.map(\.0.target) == ["/held/\(index)"])
                for (request, responder) in all { responder.send(TestHandler.echo(request)) }
            }
            #expect(client.answer()?.body == "get /held/1 ")
            #expect(client.answer()?.body == "get /now ")
            #expect(client.answer()?.body == "post /held/2 two")
            #expect(client.answer()?.body == "get /thread ")
        }
    }

    @Test func `answers out of order find their connections`() throws {
        try withServer { server, handler in
            let clients = (0..<20).map { _ in Client(port: server.port) }
            for (index, client) in clients.enumerated() { client.send(post("/held", "\(index)")) }
            for (request, responder) in handler.takeHeld(20).reversed() { responder.send(TestHandler.echo(request)) }
            for (index, client) in clients.enumerated() { #expect(client.answer()?.body == "post /held \(index)") }
        }
    }

    @Test func `clients on several threads and answers from others all meet`() throws {
        try withServer { server, handler in
            let port = server.port
            let wrong = Lock(0)
            let clients = (0..<4).map { number in
                Thread(name: "client \(number)") {
                    for index in 0..<50 {
                        let client = Client(port: port)
                        let paths = ["/thread", "/held", "/now", "/stream", "/turn"]
                        client.send(paths.map { post($0, "\(number) \(index)") }.joined())
                        for path in paths {
                            let body = client.answer()?.body
                            let isRight =
                                path == "/stream" ? body?.hasSuffix("piece 5\n") : body?.hasSuffix("\(number) \(index)")
                            if isRight != true { wrong.withLock { $0 += 1 } }
                        }
                    }
                }
            }
            for _ in 0..<200 {
                let all = handler.held.wait(milliseconds: 5000) { $0.isEmpty ? nil : $0.removeFirst() }
                guard let (request, responder) = all else { break }
                responder.send(TestHandler.echo(request))
            }
            for client in clients { client.join() }
            #expect(wrong.withLock { $0 } == 0)
        }
    }

    @Test func `many pipelined requests of a flood are all answered`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            client.send(String(repeating: get("/x"), count: 3000))
            for _ in 0..<3000 {
                guard client.answer()?.body == "get /x " else {
                    Issue.record("an answer is missing")
                    return
                }
            }
        }
    }

    @Test func `more pipelined bytes than are kept push back and arrive in the end`() throws {
        try withServer { server, handler in
            let client = Client(port: server.port)
            let other = Client(port: server.port)
            let body = String(repeating: "b", count: 100_000)
            let sender = Thread(name: "sender") {
                client.send(get("/held") + String(repeating: post("/len", body), count: 100) + get("/last"))
            }
            let all = handler.takeHeld(1)
            #expect(server.eventually { $0.bytesIn >= 65536 })
            // Enough turns for the loop to have read on, if it did not wait for the answer.
            for _ in 0..<100 { #expect(other.ask(get("/"))?.status == 200) }
            #expect(server.statistics().bytesIn < 3 * 65536)
            for (request, responder) in all { responder.send(TestHandler.echo(request)) }
            #expect(client.answer()?.body == "get /held ")
            for _ in 0..<100 { #expect(client.answer()?.body.utf8.count == 100_010) }
            #expect(client.answer()?.body == "get /last ")
            sender.join()
        }
    }

    @Test func `a chunked body arrives whole`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            let answer = client.ask(
                "POST /c HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n")
            #expect(answer?.body == "post /c abcde")
            #expect(client.ask(get("/next"))?.body == "get /next ")
        }
    }

    @Test func `HEAD has the headers of GET and no body`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            let head = client.ask("HEAD /x HTTP/1.1\r\nHost: t\r\n\r\n", isHead: true)
            #expect(head?.header("Content-Length") == "\("head /x ".utf8.count)")
            #expect(client.ask(get("/y"))?.body == "get /y ")
            // What fails after a HEAD is answered with a body again.
            client.send("HEAD /x HTTP/1.1\r\nHost: t\r\n\r\n" + "bad\r\n\r\n")
            #expect(client.answer(isHead: true)?.status == 200)
            #expect(client.answer()?.body.contains("malformed_request") == true)
        }
    }

    @Test func `100 Continue is sent before the body, and not when the body is refused`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            let expect = "Host: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
            #expect(client.ask("POST /x HTTP/1.1\r\n\(expect)")?.status == 100)
            #expect(client.ask("abc")?.body == "post /x abc")
            #expect(client.ask("POST /denied HTTP/1.1\r\n\(expect)")?.status == 401)
            #expect(client.isClosed())
        }
    }

    @Test func `a body over the limit is refused before it is read`() throws {
        try withServer { server, handler in
            let client = Client(port: server.port)
            let length = TestHandler.bodyBytesMax + 1
            let answer = client.ask("POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: \(length)\r\n\r\n")
            #expect(answer?.status == 413)
            #expect(answer?.header("Connection") == "close")
            #expect(answer?.header("Content-Type") == "application/problem+json")
            #expect(client.isClosed())
            #expect(server.eventually { $0.requests == 0 && $0.framingErrors == 1 && $0.responses4xx == 1 })
        }
    }

    @Test func `an answer to the head alone keeps the connection when no body follows`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            #expect(client.ask(get("/denied"))?.status == 401)
            #expect(client.ask(get("/x"))?.status == 200)
            #expect(client.ask(post("/denied", "secret"))?.header("Connection") == "close")
            #expect(client.isClosed())
        }
    }

    @Test func `a malformed request is answered once and the connection closes`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            client.send(get("/fine") + "GET / HTTP/1.1\r\nHost : t\r\n\r\n" + get("/smuggled"))
            #expect(client.answer()?.status == 200)
            let answer = client.answer()
            #expect(answer?.status == 400)
            #expect(answer?.body.contains("\"code\":\"malformed_request\"") == true)
            #expect(client.isClosed())
            #expect(server.eventually { $0.requests == 1 && $0.framingErrors == 1 })
        }
    }

    @Test func `HTTP 1 0 and Connection close end the connection after the answer`() throws {
        try withServer { server, _ in
            for request in ["GET /x HTTP/1.0\r\n\r\n", get("/x", "Connection: close\r\n")] {
                let client = Client(port: server.port)
                #expect(client.ask(request)?.header("Connection") == "close")
                #expect(client.isClosed())
            }
        }
    }

    @Test func `a client that ends its side still gets its answer`() throws {
        try withServer { server, handler in
            let client = Client(port: server.port)
            client.send(get("/held") + get("/second"))
            client.shutdownWrite()
            for (request, responder) in handler.takeHeld(1) { responder.send(TestHandler.echo(request)) }
            #expect(client.answer()?.body == "get /held ")
            #expect(client.answer()?.body == "get /second ")
            #expect(client.isClosed())
        }
    }

    @Test func `a client that is gone before its answer harms nobody`() throws {
        try withServer { server, handler in
            let other = Client(port: server.port)
            for _ in 0..<20 {
                let client = Client(port: server.port)
                client.send(get("/held"))
                let all = handler.takeHeld(1)
                client.close()
                for (_, responder) in all {
                    responder.send(Response(status: 200, body: [UInt8](repeating: 1, count: 1 << 20)))
                }
            }
            #expect(other.ask(get("/x"))?.status == 200)
            #expect(server.eventually { $0.connectionsOpen == 1 })
        }
    }

    @Test func `a dropped responder answers 500`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            let answer = client.ask(get("/dropped"))
            #expect(answer?.status == 500)
            #expect(answer?.body.contains("no_answer") == true)
            #expect(client.ask(get("/x"))?.status == 200)
        }
    }

    @Test func `a second answer to one request traps`() async {
        await #expect(processExitsWith: .failure) {
            // An error thrown, or the end, is no trap.
            defer { exit(0) }
            try withServer { server, handler in
                let client = Client(port: server.port)
                client.send(get("/held"))
                for (request, responder) in handler.takeHeld(1) {
                    responder.send(TestHandler.echo(request))
                    responder.send(TestHandler.echo(request))
                }
            }
        }
    }

    @Test func `the end of a turn sees everything that came in it`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            for _ in 0..<5 { #expect(client.ask(get("/turn"))?.header("X-Extra") == "1") }
            // Answers given at the end of a turn let the next pipelined request in, which has a turn's end of its own.
            client.send(String(repeating: get("/turn"), count: 5))
            for _ in 0..<5 { #expect(client.answer()?.header("X-Extra") == "1") }
        }
    }

    @Test(arguments: ["/stream", "/stream?inline"])
    func `a streamed answer arrives in chunks and the connection lives on`(_ path: String) throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            client.send(get(path) + get("/next"))
            let answer = client.answer()
            #expect(answer?.header("Transfer-Encoding") == "chunked")
            #expect(answer?.body == (1...5).map { "piece \($0)\n" }.joined())
            #expect(client.answer()?.body == "get /next ")
            let old = Client(port: server.port)
            old.send("GET \(path) HTTP/1.0\r\n\r\n")
            #expect(old.rest()?.hasSuffix("\r\n\r\n" + (1...5).map { "piece \($0)\n" }.joined()) == true)
        }
    }

    @Test func `a producer that gives up breaks the answer off`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            client.send(get("/broken"))
            #expect(client.answer() == nil)
            #expect(server.eventually { $0.connectionsOpen == 0 })
        }
    }

    @Test func `a big answer reaches a client that reads late`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            client.send(get("/big") + get("/after"))
            #expect(server.eventually { $0.bytesOut > 0 })
            #expect(client.answer()?.body.utf8.count == 8 << 20)
            #expect(client.answer()?.body == "get /after ")
        }
    }

    /// The client may take the rest of an answer at any moment, also between two looks of the loop: what waits behind
    /// it goes on all the same. Enough of them that the moment is met.
    @Test func `what waits behind a big answer goes on whenever the client takes it`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            let count = 40
            client.send(String(repeating: get("/big"), count: count) + get("/after"))
            for _ in 0..<count { #expect(client.answer()?.body.utf8.count == 8 << 20) }
            #expect(client.answer()?.body == "get /after ")
            for _ in 0..<5 {
                #expect(client.ask(get("/bigstream/8"))?.body.utf8.count == 8 * 8 << 20)
            }
        }
    }

    @Test func `a Unix socket serves beside the port, and its file goes with the server`() throws {
        let path = "/tmp/tally-\(getpid())-\(WallClock.microseconds()).sock"
        try withServer({ $0.listen.append(.unix(path: path)) }) { server, _ in
            #expect(Client(path: path).ask(get("/u"))?.body == "get /u ")
            #expect(Client(port: server.port).ask(get("/t"))?.body == "get /t ")
            // A second server does not take the socket of a living one.
            let second = Server(configuration: ServerConfiguration(listen: [.unix(path: path)]), handler: TestHandler())
            #expect(throws: ServerError.self) { try second.start() }
        }
        #expect(access(path, F_OK) != 0)
    }

    @Test func `the file of a dead Unix socket is taken over, any other file is not`() throws {
        let path = "/tmp/tally-\(getpid())-\(WallClock.microseconds()).sock"
        defer { unlink(path) }
        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        withUnsafePointer(to: &address) { pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(dead, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        close(dead)
        try withServer({ $0.listen = [.unix(path: path)] }) { _, _ in
            #expect(Client(path: path).ask(get("/u"))?.status == 200)
        }
        close(open(path, O_CREAT | O_WRONLY, 0o600))
        let server = Server(configuration: ServerConfiguration(listen: [.unix(path: path)]), handler: TestHandler())
        #expect(throws: ServerError.self) { try server.start() }
        #expect(access(path, F_OK) == 0)
    }

    @Test func `an address in use or not numeric is said`() throws {
        try withServer { server, _ in
            let taken = Server(
                configuration: ServerConfiguration(listen: [.tcp(host: "127.0.0.1", port: server.port)]),
                handler: TestHandler())
            let error = #expect(throws: ServerError.self) { try taken.start() }
            #expect(error?.description.contains("127.0.0.1:\(server.port)") == true)
            let named = Server(
                configuration: ServerConfiguration(listen: [.tcp(host: "a.example", port: 1)]), handler: TestHandler())
            #expect(throws: ServerError.addressInvalid(.tcp(host: "a.example", port: 1))) { try named.start() }
        }
    }

    @Test(
        arguments: [
            ("127.0.0.1:8787", .tcp(host: "127.0.0.1", port: 8787)), ("[::1]:0", .tcp(host: "::1", port: 0)),
            ("localhost:1", .tcp(host: "localhost", port: 1)), ("::1:80", nil), ("127.0.0.1", nil), (":80", nil),
            ("a:65536", nil), ("a:+1", nil), ("a:", nil), ("", nil),
        ] as [(String, ListenAddress?)])
    func `an address is host and port`(_ text: String, _ address: ListenAddress?) {
        #expect(ListenAddress(text) == address)
    }
}
