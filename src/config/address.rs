//! What addresses and URLs mean: this host or another, encrypted or not, with a password or without.

/// A user name or a password stands in the URL.
pub(super) fn has_credentials(url: &reqwest::Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// `host:port` means this host and no other.
pub(super) fn is_loopback(server: &str) -> bool {
    let address = server.trim().split_once("://").map_or(server.trim(), |(_, address)| address);
    address.rsplit_once(':').is_some_and(|(host, _)| is_own_host(host))
}

/// A name or address of this host. A name such as 127.example.org is not ours.
pub(super) fn is_own_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `host:port`, with an optional `PROTOCOL://` before it. An IPv6 host stands in brackets.
pub(super) fn is_server(server: &str) -> bool {
    let server = server.trim();
    let address = server.split_once("://").map_or(server, |(_, address)| address);
    address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(char::is_whitespace)
            && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')))
            && port.parse::<u16>().is_ok()
    })
}

/// `https`, or `http` to this host.
pub(super) fn is_safe_url(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| match url.scheme() {
        "https" => true,
        "http" => is_own_host(url.host_str().unwrap_or_default()),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_this_host() {
        for own in ["localhost:9092", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "SSL://localhost:1"]
        {
            assert!(is_loopback(own) && is_server(own), "{own}");
        }
        for other in ["127.example.org:1", "localhost.example.org:1", "0.0.0.0:1", "[::]:1", "x:1"]
        {
            assert!(!is_loopback(other) && is_server(other), "{other}");
        }
    }

    #[test]
    fn a_secret_may_go_to_https_or_to_this_host() {
        for safe in ["https://a.example.org/t", "http://localhost:1/t", "http://[::1]/t"] {
            assert!(is_safe_url(safe), "{safe}");
        }
        for unsafe_url in
            ["http://a.example.org/t", "http://127.example.org", "ftp://localhost", "x"]
        {
            assert!(!is_safe_url(unsafe_url), "{unsafe_url}");
        }
    }
}
