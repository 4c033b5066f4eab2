import Glibc
import HTTP
import Platform
import Server
import Testing

/// Bodies that go to a sink while they come in.
@Suite(.serialized) struct StreamTests {
    static func chunked(_ path: String, _ chunks: [String]) -> String {
        "POST \(path) HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunks.map { String($0.utf8.count, radix: 16) + "\r\n" + $0 + "\r\n" }.joined() + "0\r\n\r\n"
    }

    @Test func `a sink gets the body and nothing else, with pipelined requests around it`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            let body = (0..<50_000).map { "\($0 % 7)\n" }.joined()
            let sender = Thread(name: "sender") {
                client.send(
                    get("/before") + post("/sink", body) + post("/sink", "") + Self.chunked("/sink", ["abc", body])
                        + get("/after"))
            }
            #expect(client.answer()?.body == "get /before ")
            #expect(client.answer()?.body == TestSink.sum(body))
            #expect(client.answer()?.body == TestSink.sum(""))
            #expect(client.answer()?.body == TestSink.sum("abc" + body))
            #expect(client.answer()?.body == "get /after ")
            sender.join()
            #expect(server.eventually { $0.requests == 5 && $0.bodyBytesHeld == 0 })
        }
    }

    @Test func `a body of 8 MB passes with little of it held`() throws {
        try withServer({ $0.bodiesBytesMax = 200_000 }) { server, _ in
            let client = Client(port: server.port)
            let body = String(repeating: "0123456789abcdef", count: 1 << 19)
            let sender = Thread(name: "sender") { client.send(post("/sink", body)) }
            #expect(client.answer()?.body == TestSink.sum(body))
            sender.join()
        }
    }

    @Test func `a sink that has enough stops the reading, and its deadline`() throws {
        try withServer({ $0.connection.bodyStallMilliseconds = 50 }) { server, handler in
            let client = Client(port: server.port)
            let body = String(repeating: "b", count: 3 << 20)
            let sender = Thread(name: "sender") { client.send(post("/sink/held", body) + get("/after")) }
            func next() -> Responder? {
                handler.sinkWakes.wait(milliseconds: 5000) { $0.isEmpty ? nil : $0.removeFirst() }
            }
            let first = next()
            let other = Client(port: server.port)
            let read = server.statistics().bytesIn
            // Ten times the deadline, by the sweeps of the loop rather than by a sleep.
            let start = SteadyClock.nanoseconds()
            while SteadyClock.nanoseconds() - start < 500_000_000 { #expect(other.ask(get("/"))?.status == 200) }
            #expect(server.statistics().bytesIn - read < 2 << 20)
            first?.wake()
            let answered = Condition(false)
            let waker = Thread(name: "waker") {
                while answered.withLock({ !$0 }) {
                    handler.sinkWakes.wait(milliseconds: 20) { $0.isEmpty ? nil : $0.removeFirst() }?.wake()
                }
            }
            #expect(client.answer()?.body == TestSink.sum(body))
            answered.signal { $0 = true }
            #expect(client.answer()?.body == "get /after ")
            waker.join()
            sender.join()
        }
    }

    @Test func `a sink may answer before the end, and the connection closes after it`() throws {
        try withServer { server, _ in
            let client = Client(port: server.port)
            let body = String(repeating: "b", count: 4 << 20)
            let sender = Thread(name: "sender") { client.send(post("/sink/early", body) + get("/never")) }
            let answer = client.answer()
            #expect(answer?.status == 507)
            #expect(answer?.header("Connection") == "close")
            sender.join()
            #expect(client.answer() == nil)
            client.close()
            #expect(server.eventually { $0.connectionsOpen == 0 && $0.bodyBytesHeld == 0 })
            #expect(server.statistics().requests == 0)
        }
    }

    @Test func `a body that breaks off, stalls or is malformed lets its sink go`() throws {
        try withServer({ $0.connection.bodyStallMilliseconds = 50 }) { server, handler in
            let gone = Client(port: server.port)
            gone.send("POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
            gone.close()
            let slow = Client(port: server.port)
            #expect(slow.ask("POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")?.status == 408)
            #expect(slow.isClosed())
            let bad = Client(port: server.port)
            let head = "POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            #expect(bad.ask(head + "1\r\na\r\nx")?.status == 400)
            #expect(bad.isClosed())
            let held = Client(port: server.port)
            held.send("POST /sink/held HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
            let responder = handler.sinkWakes.wait(milliseconds: 5000) { $0.isEmpty ? nil : $0.removeFirst() }
            held.close()
            #expect(server.eventually { $0.connectionsOpen <= 1 })
            // Whoever comes late with a word for a connection that is gone is not heard.
            responder?.wake()
            #expect(Client(port: server.port).ask(get("/x"))?.status == 200)
        }
    }

    @Test func `a client that ends its side after the body is still answered, held back or not`() throws {
        try withServer { server, handler in
            let client = Client(port: server.port)
            client.send(post("/sink/held", String(repeating: "c", count: 300_000)))
            client.shutdownWrite()
            let answered = Condition(false)
            let waker = Thread(name: "waker") {
                while answered.withLock({ !$0 }) {
                    handler.sinkWakes.wait(milliseconds: 20) { $0.isEmpty ? nil : $0.removeFirst() }?.wake()
                }
            }
            #expect(client.answer()?.body == TestSink.sum(String(repeating: "c", count: 300_000)))
            answered.signal { $0 = true }
            waker.join()
        }
    }
}
