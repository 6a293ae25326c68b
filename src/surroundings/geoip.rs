//! Where an IP address is, from a database in MaxMind's format (MaxMind DB File Format Specification 2.0).
//!
//! What a request says itself is never overruled: the address fills what is missing, and where it lies in another country
//! than the request says, nothing.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use haggle_domain::time::Zone;
use haggle_domain::{Basis, Context, Place, Postcode, Tag, Timestamp};
use haggle_safety::file;
use maxminddb::Reader;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::SurroundingsError;
use crate::config::countries;

/// The largest database that is read, in bytes: it stays in memory.
const MAX_BYTES: u64 = 1 << 30;

/// What is read of an entry; everything may be missing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    country: Country<'a>,
    #[serde(borrow)]
    subdivisions: First<'a>,
    #[serde(borrow)]
    city: City<'a>,
    #[serde(borrow)]
    postal: Postal<'a>,
    #[serde(borrow)]
    location: Location<'a>,
}

/// A country, or a part of one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Country<'a> {
    iso_code: &'a str,
}

/// The first of a list: of a country's parts the greatest. The rest is passed over, and nothing allocated for it.
#[derive(Default)]
struct First<'a>(Country<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FirstOfList)
    }
}

struct FirstOfList;

impl<'de> Visitor<'de> for FirstOfList {
    type Value = First<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of a country's parts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<'de>, A::Error> {
        let first = list.next_element()?.unwrap_or_default();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(First(first))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct City<'a> {
    #[serde(borrow)]
    names: Names<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names<'a> {
    en: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Postal<'a> {
    code: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location<'a> {
    latitude: Option<f64>,
    longitude: Option<f64>,
    time_zone: &'a str,
}

/// The same of a country alone.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CountryOnly<'a> {
    #[serde(borrow)]
    country: Country<'a>,
}

/// Where addresses are.
#[derive(Debug)]
pub(super) struct GeoIp {
    reader: Reader<Vec<u8>>,
    /// Three letters for two, and three letters for three.
    countries: HashMap<&'static str, (&'static str, Tag)>,
    zones: HashMap<String, Zone>,
}

/// Whether an address could add something to what a request says and its basis allows.
pub(super) fn is_incomplete(context: &Context) -> bool {
    let rough = !context.country.is_some() || !context.region.is_some() || context.utc_offset.is_none();
    let precise = !context.city.is_some() || context.postcodes.is_empty() || context.place.is_none();
    rough || (may_place(context) && precise)
}

/// As for the city that a request says.
fn may_place(context: &Context) -> bool {
    context.basis.allows(Basis::TARGET.or(Basis::PRECISE_PLACE))
}

impl GeoIp {
    /// Reads a database.
    pub(super) fn open(path: &Path) -> Result<Self, SurroundingsError> {
        let bytes = file::read(path, MAX_BYTES)
            .map_err(|error| SurroundingsError::File("geoip_file".to_owned(), error))?;
        let reader = Reader::from_source(bytes).map_err(|error| SurroundingsError::GeoIp {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        let countries = countries::pairs().map(|(two, three)| (two, (three, Tag::of(three)))).collect();
        let zones = Zone::all().collect();
        Ok(Self { reader, countries, zones })
    }

    /// An address's country, ISO 3166-1 alpha-3; empty where it is not known.
    pub(super) fn country(&self, address: IpAddr) -> &'static str {
        let entry: CountryOnly<'_> = self.find(address).unwrap_or_default();
        self.countries.get(entry.country.iso_code).map_or("", |(three, _)| three)
    }

    /// Fills what is missing in a context with what is known of an address, as far as the basis allows.
    pub(super) fn complete(&self, address: IpAddr, context: &mut Context, now: Timestamp) {
        let Some(entry) = self.find::<Entry<'_>>(address) else { return };
        let Some((_, country)) = self.countries.get(entry.country.iso_code) else { return };
        if context.country.is_some() && context.country != *country {
            return;
        }
        let region = Tag::of(entry.subdivisions.0.iso_code);
        // Within another region the rest would be of another place.
        let same_region = !context.region.is_some() || context.region == region;
        context.country = *country;
        fill(&mut context.region, region);
        if !same_region {
            return;
        }
        if context.utc_offset.is_none() {
            context.utc_offset = self.zones.get(entry.location.time_zone).map(|zone| zone.minutes_ahead(now));
        }
        if !may_place(context) {
            return;
        }
        let city = Tag::of(entry.city.names.en);
        if context.city.is_some() && context.city != city {
            return;
        }
        context.city = city;
        if context.postcodes.is_empty()
            && let Some(postcode) = Postcode::of(entry.postal.code)
        {
            context.postcodes.extend(postcode.beginnings());
        }
        let (north, east) = (entry.location.latitude, entry.location.longitude);
        let place = || north.zip(east).and_then(|(north, east)| Place::from_degrees(north, east));
        context.place = context.place.or_else(place);
    }

    /// None too where the database is damaged there: a bid does not fail for it.
    fn find<'a, T: Deserialize<'a>>(&'a self, address: IpAddr) -> Option<T> {
        self.reader.lookup(address).ok()?.decode().ok().flatten()
    }
}

fn fill(place: &mut Tag, found: Tag) {
    if !place.is_some() {
        *place = found;
    }
}
