import API
import HTTP
import Platform
import Server

/// The server's limits out of the settings.
func serverConfiguration(_ settings: Settings, _ texts: TextSettings) -> ServerConfiguration {
    var configuration = ServerConfiguration(listen: [texts.address])
    if !settings.text("socket").isEmpty { configuration.listen.append(.unix(path: settings.text("socket"))) }
    configuration.connectionsMax = connectionsMax(wanted: settings.integer("connections-max"))
    configuration.connectionsPerAddressMax = settings.integer("connections-per-address-max")
    configuration.trustedProxies = texts.trustedProxies
    configuration.pipelinedRequestsMax = settings.integer("pipelined-requests-max")
    configuration.request.requestLineBytesMax = settings.integer("request-line-bytes-max")
    configuration.request.headerBytesMax = settings.integer("header-bytes-max")
    configuration.request.headersCountMax = settings.integer("headers-max")
    configuration.pendingBytesMax = max(configuration.pendingBytesMax, configuration.request.headBytesMax)
    configuration.connection.headMilliseconds = milliseconds(settings, "head-seconds")
    configuration.connection.idleMilliseconds = milliseconds(settings, "idle-seconds")
    configuration.connection.bodyStallMilliseconds = milliseconds(settings, "body-stall-seconds")
    configuration.connection.writeStallMilliseconds = milliseconds(settings, "write-stall-seconds")
    configuration.connection.bytesPerSecondMin = UInt64(settings.integer("bytes-per-second-min"))
    // One whole body of events must fit.
    let bodies = max(settings.integer("bodies-mib-max"), settings.integer("events-body-mib-max"))
    configuration.bodiesBytesMax = bodies << 20
    return configuration
}

private func milliseconds(_ settings: Settings, _ name: String) -> UInt64 {
    UInt64(settings.integer(name)) * 1000
}

/// As many connections as there are descriptors for, after those that the daemon's own files need: a flood of
/// connections must not keep a read model from being opened.
private func connectionsMax(wanted: Int) -> Int {
    let descriptors = Int(clamping: ProcessLimits.descriptorsMax())
    let most = max(descriptors - ownDescriptorsMax, 4)
    if wanted > most {
        LogLine.write(
            .warning, "fewer connections than asked for: the limit of open files is low",
            ["connections_max": String(most), "open_files": String(descriptors)])
    }
    return min(wanted, most)
}

/// Descriptors that the log, the index, the read models with their journals, and the listeners take.
private let ownDescriptorsMax = 128

extension ServerConfiguration {
    /// Name and value of each limit, for the log.
    var figures: [(String, Int)] {
        [
            ("connections_max", connectionsMax), ("connections_per_address_max", connectionsPerAddressMax),
            ("request_line_bytes_max", request.requestLineBytesMax), ("header_bytes_max", request.headerBytesMax),
            ("headers_max", request.headersCountMax), ("pipelined_requests_max", pipelinedRequestsMax),
            ("pipelined_bytes_max", pendingBytesMax), ("bodies_bytes_max", bodiesBytesMax),
            ("head_milliseconds", Int(connection.headMilliseconds)),
            ("idle_milliseconds", Int(connection.idleMilliseconds)),
            ("body_stall_milliseconds", Int(connection.bodyStallMilliseconds)),
            ("write_stall_milliseconds", Int(connection.writeStallMilliseconds)),
            ("bytes_per_second_min", Int(connection.bytesPerSecondMin)),
        ]
    }
}

extension APILimits {
    var figures: [(String, Int)] {
        [
            ("callback_item_bytes_max", callbackItemBytesMax), ("callback_group_items", callbackGroupItems),
            ("events_per_request_max", eventsPerRequestMax), ("events_body_bytes_max", eventsBodyBytesMax),
            ("callback_body_bytes_max", callbackBodyBytesMax), ("small_body_bytes_max", smallBodyBytesMax),
            ("key_requests_per_second", keyRequestsPerSecond), ("key_requests_burst", keyRequestsBurst),
        ]
    }
}

/// The server's lines of `/metrics`, and the API's limits among them.
func serverMetrics(_ statistics: ServerStatistics, apiHits: [(String, UInt64)]) -> String {
    var page = MetricsPage()
    page.gauge("tallystick_http_connections", "Open connections.", UInt64(statistics.connectionsOpen))
    page.counter("tallystick_http_connections_total", "Connections accepted.", statistics.connectionsAccepted)
    page.counter("tallystick_http_requests_total", "Whole requests.", statistics.requests)
    page.counter("tallystick_http_responses_2xx_total", "Answers 2xx.", statistics.responses2xx)
    page.counter("tallystick_http_responses_4xx_total", "Answers 4xx.", statistics.responses4xx)
    page.counter("tallystick_http_responses_5xx_total", "Answers 5xx.", statistics.responses5xx)
    page.counter("tallystick_http_received_bytes_total", "Bytes received.", statistics.bytesIn)
    page.counter("tallystick_http_sent_bytes_total", "Bytes sent.", statistics.bytesOut)
    page.gauge("tallystick_http_body_bytes", "Bytes of bodies held.", UInt64(statistics.bodyBytesHeld))
    page.counter("tallystick_http_framing_errors_total", "Requests that were not HTTP.", statistics.framingErrors)
    page.counter("tallystick_http_timeouts_total", "Connections closed by a deadline.", statistics.timeouts)
    page.counter("tallystick_http_bodies_refused_total", "Bodies over a limit.", statistics.bodiesRefused)
    page.counter("tallystick_http_accept_pauses_total", "Times accepting paused.", statistics.acceptPauses)
    page.labelled(
        "tallystick_http_limit_hits_total", "Times a limit of the server was hit.", "counter", label: "limit",
        ServerLimit.allCases.map { ($0.rawValue, statistics.limitHits[$0]) } + apiHits)
    return page.text
}
