internal import CLinux
import Glibc

/// A named operating-system thread that runs one function to its end.
///
/// `@unchecked Sendable`: both fields are set once, before anyone else can see the object.
public final class Thread: @unchecked Sendable {
    private let handle: pthread_t

    private final class Start {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// `name`: at most 15 bytes, what `top -H` shows. Stack of 8 MiB, as the main thread has.
    public init(name: String, _ body: @escaping @Sendable () -> Void) {
        precondition(name.utf8.count <= 15, "a thread name has at most 15 bytes: \(name)")
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, 8 << 20)
        defer { pthread_attr_destroy(&attributes) }
        let start = Unmanaged.passRetained(Start(name: name, body: body)).toOpaque()
        var handle = pthread_t()
        let code = pthread_create(
            &handle, &attributes,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                tally_thread_set_name(start.name)
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
