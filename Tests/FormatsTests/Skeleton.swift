@testable import Formats
