internal import CLinux
import Glibc

/// A named operating-system thread that runs one function to its end.
///
/// `@unchecked Sendable`: both fields are set once, before anyone else can see the object.
public final class Thread: @unchecked Sendable {
    private let handle: pthread_t

    private final class Start {
        let name: String
        let niceness: Int32
        let body: @Sendable () -> Void

        init(name: String, niceness: Int32, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.niceness = niceness
            self.body = body
        }
    }

    /// What a thread may be given: it only ever steps back behind others.
    /// Of the calling thread, -20...19.
    public static var niceness: Int { Int(tally_thread_niceness()) }

    public static let nicenessRange = 0...19

    /// `name`: at most 15 bytes, what `top -H` shows. Stack of 8 MiB, as the main thread has.
    /// - Parameter niceness: how far it steps back behind the thread that makes it when processors are short
    ///   (setpriority(2)), 0 to 19. A system that forbids it leaves it where it was.
    public init(name: String, niceness: Int = 0, _ body: @escaping @Sendable () -> Void) {
        precondition(name.utf8.count <= 15, "a thread name has at most 15 bytes: \(name)")
        precondition(Thread.nicenessRange.contains(niceness), "niceness \(niceness) of thread \(name)")
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, 8 << 20)
        defer { pthread_attr_destroy(&attributes) }
        let start = Unmanaged.passRetained(Start(name: name, niceness: Int32(niceness), body: body)).toOpaque()
        var handle = pthread_t()
        let code = pthread_create(
            &handle, &attributes,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                tally_thread_set_name(start.name)
                if start.niceness > 0 { _ = tally_thread_step_back(start.niceness) }
                start.body()
                return nil
            }, start)
        precondition(code == 0, "pthread_create \(name): \(code)")
        self.handle = handle
    }

    /// Waits for the thread to end. Once only.
    public func join() {
        pthread_join(handle, nil)
    }
}
