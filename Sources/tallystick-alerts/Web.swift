import Foundation
import FoundationNetworking
import Platform

/// HTTP requests, one at a time, each answered or given up within a limit. Redirects are answers, not followed.
final class Web: Sendable {
    struct Answer: Sendable {
        var status: Int
        var retryAfter: String?
        var body: [UInt8]
    }

    struct Failure: Error, CustomStringConvertible, Sendable {
        var description: String
    }

    static let timeoutSeconds = 30

    private let session: URLSession

    init() {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForRequest = TimeInterval(Web.timeoutSeconds)
        configuration.timeoutIntervalForResource = TimeInterval(Web.timeoutSeconds)
        configuration.httpShouldSetCookies = false
        configuration.requestCachePolicy = .reloadIgnoringLocalCacheData
        session = URLSession(configuration: configuration, delegate: NoRedirects(), delegateQueue: nil)
    }

    /// Whether a text is an address that can be asked.
    static func isAddress(_ text: String) -> Bool {
        guard let url = URL(string: text), let scheme = url.scheme?.lowercased() else { return false }
        return (scheme == "http" || scheme == "https") && !(url.host ?? "").isEmpty
    }

    func get(_ address: String, headers: [(String, String)]) throws(Failure) -> Answer {
        try send("GET", address, headers: headers, body: nil)
    }

    func post(_ address: String, headers: [(String, String)], body: [UInt8]) throws(Failure) -> Answer {
        try send("POST", address, headers: headers, body: body)
    }

    private func send(
        _ method: String, _ address: String, headers: [(String, String)], body: [UInt8]?
    ) throws(Failure) -> Answer {
        guard let url = URL(string: address) else { throw Failure(description: "\(address) is not an address") }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.httpBody = body.map { Data($0) }
        for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
        let outcome = Condition<Result<Answer, Failure>?>(nil)
        let task = session.dataTask(with: request) { data, response, error in
            let result: Result<Answer, Failure>
            if let response = response as? HTTPURLResponse {
                result = .success(
                    Answer(
                        status: response.statusCode,
                        retryAfter: response.value(forHTTPHeaderField: "Retry-After"),
                        body: data.map { Array($0) } ?? []))
            } else {
                result = .failure(Failure(description: error?.localizedDescription ?? "no answer"))
            }
            outcome.signal { $0 = result }
        }
        task.resume()
        // The session has its own limit; this one holds even if that does not.
        let result = outcome.wait(milliseconds: (Web.timeoutSeconds + 5) * 1000) { $0 }
        guard let result else {
            task.cancel()
            throw Failure(description: "no answer in \(Web.timeoutSeconds) s")
        }
        return try result.get()
    }
}

private final class NoRedirects: NSObject, URLSessionTaskDelegate {
    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest, completionHandler: @escaping (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }
}
