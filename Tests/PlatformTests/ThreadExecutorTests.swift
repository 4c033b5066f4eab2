import Glibc
import Platform
import Testing

private actor Worker {
    private nonisolated let executor = ThreadExecutor(name: "test worker")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private var sum = 0

    func add(_ number: Int) -> Int {
        sum += number
        return sum
    }

    func thread() -> pthread_t { pthread_self() }

    nonisolated func isHere() -> Bool { executor.isIsolatingCurrentContext() ?? false }

    func isIsolated() -> Bool {
        executor.checkIsolated()
        return assumeIsolated { _ in isHere() }
    }
}

@Suite struct ThreadExecutorTests {
    @Test func `jobs run one after the other on one thread that is not the pool's`() async {
        let worker = Worker()
        let thread = await worker.thread()
        await withTaskGroup(of: pthread_t.self) { group in
            for number in 1...1000 {
                group.addTask {
                    _ = await worker.add(number)
                    return await worker.thread()
                }
            }
            for await other in group { #expect(other == thread) }
        }
        #expect(await worker.add(0) == 500_500)
        #expect(pthread_equal(pthread_self(), thread) == 0)
    }

    @Test func `the executor knows its own thread`() async {
        let worker = Worker()
        #expect(await worker.isIsolated())
        #expect(!worker.isHere())
    }

    @Test(arguments: [0, 2, 5])
    func `a thread steps back behind the one that makes it`(niceness: Int) {
        let found = Condition<Int?>(nil)
        let thread = Thread(name: "test nice", niceness: niceness) {
            let value = Thread.niceness
            found.signal { $0 = value }
        }
        let value = found.wait(until: { $0 })
        thread.join()
        #expect(value == min(19, Thread.niceness + niceness))
    }

    @Test func `threads end with their executors`() async throws {
        for _ in 0..<2000 { _ = await Worker().add(1) }
        // 2,000 threads of 8 MiB of stack each would not fit here if they stayed; and they are counted.
        var count = Int.max
        for _ in 0..<100 where count > 200 {
            try await Task.sleep(for: .milliseconds(20))
            count = threadCount()
        }
        #expect(count <= 200)
    }

    private func threadCount() -> Int {
        guard let folder = opendir("/proc/self/task") else { return 0 }
        defer { closedir(folder) }
        var count = -2
        while readdir(folder) != nil { count += 1 }
        return count
    }
}
