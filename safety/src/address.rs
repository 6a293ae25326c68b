//! Which IP addresses are somebody's on the internet.
//!
//! The registries are IANA's special-purpose ones (RFC 6890 and its updates). An IPv6 address that carries an IPv4 one is
//! judged by that as well, so that no notation hides a private address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one that a machine on the internet can have: neither private, loopback, link-local (with the
/// clouds' metadata services), shared, documentation, benchmarking, multicast nor reserved.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        // This network, private, loopback.
        (0 | 10 | 127, _, _)
        // Shared by carriers (RFC 6598).
        | (100, 64..=127, _)
        // Link-local.
        | (169, 254, _)
        // Private.
        | (172, 16..=31, _) | (192, 168, _)
        // Protocol assignments, documentation (RFC 5737), the 6to4 relays' old anycast.
        | (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99)
        // Benchmarking (RFC 2544).
        | (198, 18 | 19, _)
        // Multicast, reserved, broadcast.
        | (224..=255, _, _) => true,
        _ => false,
    };
    !special
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_global_v4(inner) && !is_compatible(address);
    }
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is given out; of that not 2001::/23 (protocol assignments), documentation (RFC 3849, RFC 9637).
    a & 0xe000 == 0x2000 && !(a == 0x2001 && (b < 0x200 || b == 0x0db8)) && !(a == 0x3fff && b < 0x1000)
}

/// The deprecated `::a.b.c.d`, which also covers `::` and `::1`.
fn is_compatible(address: Ipv6Addr) -> bool {
    address.segments()[..6].iter().all(|segment| *segment == 0)
}

/// The IPv4 address within a mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056) one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_told_in_every_notation() {
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5165:6c58::1",
        ] {
            assert!(!is_global(special.parse().unwrap()), "{special}");
        }
        for global in [
            "1.1.1.1",
            "8.8.8.8",
            "11.0.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.1.0.1",
            "223.255.255.255",
            "2607:fb90:f27:4512::1",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2001:4860::1",
        ] {
            assert!(is_global(global.parse().unwrap()), "{global}");
        }
    }
}
