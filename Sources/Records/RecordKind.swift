public import Billing

/// The kind tag of a record: one for each event type. Never renumbered, since it is in every record.
public enum RecordKind: UInt8, CaseIterable, Sendable {
    case call = 1
    case usage = 2
    case callVoided = 3
    case callAmended = 4
    case creditsGranted = 5
    case creditsVoided = 6
    case creditsAllocated = 7
    case creditsAdjusted = 8
    case creditsExpired = 9
    case planDefined = 10
    case planAssigned = 11
    case pricesPublished = 12
    case lagoWindowClosed = 13
    case lagoBatchDelivered = 14
    case lagoBatchFailed = 15
    case authorizationGranted = 16
    case authorizationDenied = 17
    case authorizationReleased = 18
    case authorizationExpired = 19
    case alertDefined = 20

    public init(_ fact: Fact) {
        self =
            switch fact {
            case .call: .call
            case .usage: .usage
            case .callVoided: .callVoided
            case .callAmended: .callAmended
            case .creditsGranted: .creditsGranted
            case .creditsVoided: .creditsVoided
            case .creditsAllocated: .creditsAllocated
            case .creditsAdjusted: .creditsAdjusted
            case .creditsExpired: .creditsExpired
            case .planDefined: .planDefined
            case .planAssigned: .planAssigned
            case .pricesPublished: .pricesPublished
            case .lagoWindowClosed: .lagoWindowClosed
            case .lagoBatchDelivered: .lagoBatchDelivered
            case .lagoBatchFailed: .lagoBatchFailed
            case .authorizationGranted: .authorizationGranted
            case .authorizationDenied: .authorizationDenied
            case .authorizationReleased: .authorizationReleased
            case .authorizationExpired: .authorizationExpired
            case .alertDefined: .alertDefined
            }
    }

    /// True for `plan.*`, `prices.*`, `credits.*`, `lago.*` and `alert.*`; false for `llm.*` and `authorization.*`,
    /// which come with every call.
    public var isControl: Bool {
        switch self {
        case .call, .usage, .callVoided, .callAmended, .authorizationGranted, .authorizationDenied,
            .authorizationReleased, .authorizationExpired:
            false
        default: true
        }
    }
}
