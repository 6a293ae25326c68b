//! Networks of data centres and proxies: sorted ranges of addresses, found by bisection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::file::{self, LineError};

/// The largest file of networks that is read, in bytes: some ten million lines.
pub const MAX_NETWORKS_BYTES: u64 = 256 << 20;

/// Ranges of addresses, disjoint and in order.
#[derive(Debug, Default)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// Reads a list with one network a line: `192.0.2.0/24`, `2001:db8::/32`, a single address, or two addresses as
    /// `FIRST-LAST` or `FIRST,LAST`. Further fields behind a comma (a name, a country) are passed over, and so is what
    /// follows `#`.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, LineError> {
        let mut networks = Self::default();
        for entry in file::lines(bytes) {
            let (line, text) = entry?;
            let text = file::without_comment(text);
            match range(text) {
                Some((IpAddr::V4(first), IpAddr::V4(last))) if first <= last => {
                    networks.v4.push((first.to_bits(), last.to_bits()));
                }
                Some((IpAddr::V6(first), IpAddr::V6(last))) if first <= last => {
                    networks.v6.push((first.to_bits(), last.to_bits()));
                }
                _ => {
                    let shown: String = text.chars().take(60).collect();
                    let problem = format!(
                        "{shown:?} is no network; write it like 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1-192.0.2.9"
                    );
                    return Err(LineError { line, problem });
                }
            }
        }
        merge(&mut networks.v4);
        merge(&mut networks.v6);
        Ok(networks)
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => holds(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => holds(&self.v6, v6.to_bits()),
        }
    }

    /// How many ranges are left after what overlaps is joined.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
}

/// Sorts ranges and joins those that overlap.
fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let joins = next.0 <= kept.1;
        if joins {
            kept.1 = kept.1.max(next.1);
        }
        joins
    });
    ranges.shrink_to_fit();
}

fn range(text: &str) -> Option<(IpAddr, IpAddr)> {
    let mut fields = text.split(',').map(str::trim);
    let first = fields.next()?;
    if let Some(last) = fields.next().and_then(|last| last.parse().ok()) {
        return Some((first.parse().ok()?, last));
    }
    if let Some((first, last)) = first.split_once('-') {
        return Some((first.trim().parse().ok()?, last.trim().parse().ok()?));
    }
    let Some((network, bits)) = first.split_once('/') else {
        let single: IpAddr = first.parse().ok()?;
        return Some((single, single));
    };
    let bits: u32 = bits.trim().parse().ok()?;
    match network.trim().parse().ok()? {
        IpAddr::V4(network) if bits <= 32 => {
            // A shift by the whole width is none in Rust, hence the check.
            let host = u32::MAX.checked_shr(bits).unwrap_or(0);
            let first = network.to_bits() & !host;
            Some((Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(first | host).into()))
        }
        IpAddr::V6(network) if bits <= 128 => {
            let host = u128::MAX.checked_shr(bits).unwrap_or(0);
            let first = network.to_bits() & !host;
            Some((Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(first | host).into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(networks: &Networks, address: &str) -> bool {
        networks.contains(address.parse().unwrap())
    }

    #[test]
    fn every_notation_is_read() {
        let list = b"# cloud\n192.0.2.0/25\n198.51.100.7 # one\n203.0.113.4-203.0.113.6\r\n\
            10.0.0.1,10.0.0.3,Hoster,http://hoster.example\n2001:db8::/33\n11.0.0.0/8,Somebody\n";
        let networks = Networks::parse(list).unwrap();
        assert_eq!(networks.len(), 6);
        for inside in [
            "192.0.2.127",
            "198.51.100.7",
            "203.0.113.5",
            "10.0.0.3",
            "2001:db8:7fff::1",
            "11.255.0.0",
            "::ffff:192.0.2.1",
        ] {
            assert!(contains(&networks, inside), "{inside}");
        }
        for outside in
            ["192.0.2.128", "198.51.100.8", "203.0.113.7", "10.0.0.4", "2001:db8:8000::1", "12.0.0.0"]
        {
            assert!(!contains(&networks, outside), "{outside}");
        }
        assert!(contains(&Networks::parse(b"0.0.0.0/0\n::/0").unwrap(), "255.255.255.255"));
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        for wrong in [
            "192.0.2.0/33",
            "cloud",
            "192.0.2.9-192.0.2.1",
            "192.0.2.1-2001:db8::1",
            "1.2.3",
            "/8",
            "2001:db8::/129",
        ] {
            let error = Networks::parse(format!("192.0.2.1\n{wrong}\n").as_bytes()).unwrap_err();
            assert_eq!(error.line, 2, "{wrong}");
            assert!(error.problem.contains("is no network; write it like"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn bisection_finds_what_a_scan_finds(
            ranges in prop::collection::vec((0u32..300, 0u32..40), 0..40),
            addresses in prop::collection::vec(0u32..360, 1..60),
        ) {
            let show = |bits: u32| Ipv4Addr::from_bits(bits);
            let text: String = ranges
                .iter()
                .map(|(first, length)| format!("{}-{}\n", show(*first), show(first + length)))
                .collect();
            let networks = Networks::parse(text.as_bytes()).unwrap();
            for address in addresses {
                let expected = ranges.iter().any(|(first, length)| (*first..=first + length).contains(&address));
                prop_assert_eq!(networks.contains(show(address).into()), expected);
            }
            // The same numbers, as the last bits of IPv6 addresses.
            let v6: String = ranges
                .iter()
                .map(|(first, length)| format!("2a00::{first:x}-2a00::{:x}\n", first + length))
                .collect();
            let networks = Networks::parse(v6.as_bytes()).unwrap();
            for last in 0..360u32 {
                let expected = ranges.iter().any(|(first, length)| (*first..=first + length).contains(&last));
                prop_assert_eq!(contains(&networks, &format!("2a00::{last:x}")), expected);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), near in "[0-9a-f:./, -]{0,60}") {
            let _ = Networks::parse(&bytes);
            let _ = Networks::parse(near.as_bytes());
        }
    }
}
