/// Runs an asynchronous function from a thread that is no part of any executor (the main one of a program), and waits
/// for it. From a task it would hold the thread that the function may need.
@available(*, noasync, message: "await it instead")
public func blocking<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) throws -> Result {
    let done = Condition<Swift.Result<Result, any Error>?>(nil)
    Task {
        do {
            let result = try await body()
            done.signal { $0 = .success(result) }
        } catch {
            done.signal { $0 = .failure(error) }
        }
    }
    guard let result = done.wait(until: { $0 }) else { preconditionFailure("woken without a result") }
    return try result.get()
}

/// The same for one that cannot fail.
@available(*, noasync, message: "await it instead")
public func blocking(_ body: @escaping @Sendable () async -> Void) {
    let done = Condition(false)
    Task {
        await body()
        done.signal { $0 = true }
    }
    _ = done.wait { $0 ? true : nil }
}
