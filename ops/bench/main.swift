// Posts events to a running daemon as fast as it takes them, and says how fast that was.
import Glibc

guard let options = Options(Array(CommandLine.arguments.dropFirst())) else {
    print(Options.usage)
    exit(2)
}

let started = monotonic()
let measurement = Load(options: options, now: started).measure()
print(measurement.line(options: options, nanoseconds: monotonic() - started))
exit(measurement.failures == 0 ? 0 : 1)
