internal import CLinux
internal import Glibc
internal import HTTP
internal import Platform

/// What other threads want of the loop.
enum Mail: Sendable {
    case response(ConnectionID, Response)
    case piece(ConnectionID, ChunkSink.Piece)
    /// The sink of the body that is being read wants to be asked again.
    case wake(ConnectionID)
    case stopAccepting
    /// Finish what is under way until the deadline on the steady clock.
    case drain(deadline: UInt64)
}

/// Mail for the loop thread and the eventfd that wakes it: written only when the box was empty.
final class Mailbox: Sendable {
    let eventFD: Int32
    private let mail = Lock<[Mail]>([])

    init?() {
        eventFD = tally_eventfd()
        if eventFD < 0 { return nil }
    }

    deinit {
        close(eventFD)
    }

    func put(_ item: Mail) {
        let wasEmpty = mail.withLock { mail in
            mail.append(item)
            return mail.count == 1
        }
        if wasEmpty {
            var one: UInt64 = 1
            // Cannot fail: the counter is far from its maximum, since it is reset with every taking.
            _ = write(eventFD, &one, 8)
        }
    }

    /// Everything put so far, in order.
    func take() -> [Mail] {
        var count: UInt64 = 0
        _ = read(eventFD, &count, 8)
        return mail.withLock { mail in
            var all: [Mail] = []
            swap(&all, &mail)
            return all
        }
    }
}
