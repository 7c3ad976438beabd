//! Where a webhook is, and where none may be. A name is resolved once, and what is connected to is the
//! address that was looked at.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use url::{Host, Url};

use super::{Loopback, NotifyConfig};

/// Characters of a webhook's address at most.
const URL_CHARS: usize = 2048;

/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// Where the clouds that speak IPv6 tell a machine's credentials.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// A webhook's address. Printed, it shows its host alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`codes::BAD_WEBHOOK`], without repeating what was read.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let bad = |what: &str| {
            let fault = Diagnostic::error(codes::BAD_WEBHOOK, format!("a webhook's address {what}"));
            let fault = fault.with_remedy("write it as `https://host/path`, its secret parts with `secret('…')`");
            Err(Box::new(fault))
        };
        if text.len() > URL_CHARS {
            return bad("is too long");
        }
        let Ok(mut url) = Url::parse(text.trim()) else {
            return bad("cannot be read");
        };
        if !matches!(url.scheme(), "http" | "https") {
            return bad("is neither http nor https");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return bad("holds a user's name or password before its host, which are not sent");
        }
        if url.host().is_none() || url.port_or_known_default().is_none_or(|port| port == 0) {
            return bad("names no host and port");
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// All of it.
    pub(crate) fn secret(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host as it is written in a request.
    pub(crate) fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The host's name, or its address without brackets.
    pub(crate) fn name(&self) -> String {
        match self.0.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => String::new(),
        }
    }

    /// The path and the query.
    pub(crate) fn target(&self) -> String {
        match self.0.query() {
            Some(query) => format!("{}?{query}", self.0.path()),
            None => self.0.path().to_owned(),
        }
    }

    /// Where a redirect leads, if that is the same host, port and scheme.
    pub(crate) fn redirected(&self, location: &str) -> Option<Self> {
        let next = self.0.join(location).ok()?;
        let next = Self::parse(next.as_str()).ok()?;
        (next.0.origin() == self.0.origin()).then_some(next)
    }

    /// The addresses to connect to, in order: what its name means now, without those that are denied.
    pub(crate) async fn resolve(&self, config: &NotifyConfig) -> Result<Vec<SocketAddr>, Fault> {
        let port = self.0.port_or_known_default().unwrap_or_default();
        let found: Vec<SocketAddr> = match self.0.host() {
            Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
            Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
            Some(Host::Domain(name)) => match tokio::net::lookup_host((name, port)).await {
                Ok(found) => found.collect(),
                Err(error) => return Err(self.unknown(&error.to_string())),
            },
            None => Vec::new(),
        };
        if found.is_empty() {
            return Err(self.unknown("the name has no address"));
        }
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| is_allowed(*address, config))
            .take(ADDRESSES)
            .collect();
        if allowed.is_empty() {
            Err(self.denied())
        } else {
            Ok(allowed)
        }
    }

    fn unknown(&self, why: &str) -> Fault {
        let fault = Diagnostic::error(codes::WEBHOOK_FAILED, format!("the host of {self} is not known: {why}"));
        Box::new(
            fault
                .with_remedy("look at the webhook's address and at this machine's name service")
                .with_retry(Retry::Later),
        )
    }

    fn denied(&self) -> Fault {
        let fault = Diagnostic::error(
            codes::WEBHOOK_DENIED,
            format!("{self} leads to an address that notices do not go to"),
        );
        Box::new(
            fault
                .with_remedy("notices go to no link-local address, and to this machine only where that is allowed")
                .with_retry(Retry::AfterHumanFix),
        )
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.0.scheme(), self.host())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({self})")
    }
}

fn is_allowed(address: SocketAddr, config: &NotifyConfig) -> bool {
    // Told inside of IPv6, the address is what it is.
    let ip = inner(address.ip());
    if ip.is_loopback() {
        return config.loopback == Loopback::Allowed && !config.own_ports.contains(&address.port());
    }
    match ip {
        IpAddr::V4(ip) => {
            let is_this_network = ip.octets()[0] == 0;
            !(is_this_network || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast() || ip == METADATA_V6)
        }
    }
}

/// The IPv4 address that an IPv6 address stands for, in any of the ways that a network may unwrap.
fn inner(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let part = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        // The unspecified address and loopback are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => ip,
        // Mapped, compatible, and translated by NAT64.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => part(high, low),
        // 6to4.
        [0x2002, high, low, ..] => part(high, low),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{NotifyLimits, Roots};

    fn config(loopback: Loopback) -> NotifyConfig {
        NotifyConfig {
            version: "0".to_owned(),
            clock: || mulgil_core::interval::Instant(0),
            loopback,
            own_ports: vec![4680],
            roots: Roots::System,
            limits: NotifyLimits::default(),
        }
    }

    #[test]
    fn what_leads_to_credentials_or_to_nowhere_is_denied() {
        for denied in [
            "169.254.169.254:80",
            "169.254.0.1:443",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "127.0.0.1:80",
            "127.9.9.9:80",
            "[::1]:80",
            "[::]:80",
            "[fe80::1]:80",
            "[ff02::1]:80",
            "[fd00:ec2::254]:80",
            "[::ffff:169.254.169.254]:80",
            "[::ffff:127.0.0.1]:80",
            "[::169.254.169.254]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
        ] {
            assert!(
                !is_allowed(denied.parse().unwrap(), &config(Loopback::Denied)),
                "{denied}"
            );
        }
        for allowed in [
            "10.0.0.7:80",
            "192.168.1.1:8080",
            "93.184.216.34:443",
            "[fd00::7]:80",
            "[2606:2800::1]:443",
        ] {
            assert!(
                is_allowed(allowed.parse().unwrap(), &config(Loopback::Denied)),
                "{allowed}"
            );
        }
        let local = config(Loopback::Allowed);
        assert!(is_allowed("127.0.0.1:8080".parse().unwrap(), &local));
        assert!(!is_allowed("127.0.0.1:4680".parse().unwrap(), &local));
        assert!(!is_allowed("[::ffff:127.0.0.1]:4680".parse().unwrap(), &local));
        assert!(!is_allowed("169.254.169.254:80".parse().unwrap(), &local));
    }

    #[test]
    fn what_is_printed_is_the_host_alone() {
        let url = WebhookUrl::parse("https://hooks.example.com/services/T0/SECRET?key=SECRET#x").unwrap();
        assert_eq!(url.to_string(), "https://hooks.example.com/…");
        assert_eq!(format!("{url:?}"), "WebhookUrl(https://hooks.example.com/…)");
        assert_eq!(url.target(), "/services/T0/SECRET?key=SECRET");
        for bad in [
            "ftp://SECRET.example.com/",
            "SECRET",
            "https://user:SECRET@example.com/",
            "http://",
            "http://example.com:0/SECRET",
            &format!("https://example.com/{}", "SECRET".repeat(400)),
        ] {
            let fault = WebhookUrl::parse(bad).unwrap_err();
            assert_eq!(fault.code, codes::BAD_WEBHOOK);
            assert!(!fault.to_string().contains("SECRET"), "{fault}");
        }
    }

    #[test]
    fn an_address_is_read_in_every_way_it_can_be_written() {
        for text in [
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://169.254.43518/",
            "http://0251.254.169.254/",
        ] {
            let url = WebhookUrl::parse(text).unwrap();
            assert_eq!(url.name(), "169.254.169.254", "{text}");
        }
    }

    #[test]
    fn a_redirect_stays_where_it_was_or_is_none() {
        let url = WebhookUrl::parse("https://example.com/a").unwrap();
        let to = |location| url.redirected(location).map(|url| url.secret().to_owned());
        assert_eq!(to("/b?c=1").as_deref(), Some("https://example.com/b?c=1"));
        assert_eq!(
            to("https://example.com:443/b").as_deref(),
            Some("https://example.com/b")
        );
        for elsewhere in [
            "http://example.com/b",
            "https://evil.example/",
            "//evil.example/",
            "https://example.com:8443/",
        ] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }
}
