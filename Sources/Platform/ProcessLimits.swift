internal import CLinux

/// The process as the system sees it.
public enum ProcessLimits {
    /// Descriptors that it may have open, once the soft limit is raised to the hard one (getrlimit(2)); 0 when the
    /// system does not say.
    public static func descriptorsMax() -> UInt64 {
        tally_descriptors_max()
    }
}
