public import Billing

/// Names of tests are literals. Traps (in debug) on a text that is no name.
extension Name: ExpressibleByStringLiteral {
    public init(stringLiteral text: String) {
        self.init(checked: text)
    }
}
