//! IP addresses short enough to name no one, for what is done without a basis: the country, and traffic that no human
//! makes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address with its last octet at zero (IPv4), or the first 48 bits of it (IPv6): a network of hundreds of hosts,
/// or of one customer's site. An IPv4 address in the dress of an IPv6 one is shortened as what it is.
pub fn truncated(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & !0xff)),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !0 << 80)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_host_is_gone() {
        for (whole, short) in [
            ("203.0.113.77", "203.0.113.0"),
            ("255.255.255.255", "255.255.255.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff::"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
            ("::1", "::"),
        ] {
            assert_eq!(truncated(whole.parse().unwrap()), short.parse::<IpAddr>().unwrap());
        }
    }

    proptest! {
        #[test]
        fn addresses_of_one_network_become_one(network: u32, one: u8, other: u8) {
            let ip = |host: u8| IpAddr::V4(Ipv4Addr::from_bits(network & !0xff | u32::from(host)));
            prop_assert_eq!(truncated(ip(one)), truncated(ip(other)));
        }

        #[test]
        fn nothing_below_the_first_48_bits_is_left(bits: u128) {
            let IpAddr::V6(short) = truncated(IpAddr::V6(Ipv6Addr::from_bits(bits))) else { return Ok(()) };
            prop_assert_eq!(short.to_bits() << 48, 0);
            prop_assert_eq!(short.to_bits() >> 80, bits >> 80);
        }
    }
}
