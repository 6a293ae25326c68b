//! Where users are.

/// A city with what an exchange says of it.
#[derive(Debug)]
pub(crate) struct City {
    pub(crate) country: &'static str,
    pub(crate) region: &'static str,
    pub(crate) name: &'static str,
    pub(crate) language: &'static str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    /// How many users, relative to the others.
    pub(crate) weight: f64,
    /// An aisle that is dearer to people here than elsewhere.
    pub(crate) loves: &'static str,
}

impl City {
    /// Whether its people fall under the GDPR or the UK's version of it. The world's exchanges ask nobody for
    /// consent, so there such a request comes without a basis to use user-level data.
    pub(crate) fn under_gdpr(&self) -> bool {
        matches!(self.country, "DEU" | "GBR")
    }
}

macro_rules! city {
    ($country:literal, $region:literal, $name:literal, $language:literal, $latitude:literal, $longitude:literal,
     $weight:literal, $loves:literal) => {
        City {
            country: $country,
            region: $region,
            name: $name,
            language: $language,
            latitude: $latitude,
            longitude: $longitude,
            weight: $weight,
            loves: $loves,
        }
    };
}

pub(crate) const CITIES: [City; 16] = [
    city!("USA", "NY", "New York", "en", 40.71, -74.01, 13.0, "decor"),
    city!("USA", "WA", "Seattle", "en", 47.61, -122.33, 8.0, "hiking"),
    city!("USA", "CO", "Denver", "en", 39.74, -104.99, 7.0, "skiing"),
    city!("USA", "TX", "Austin", "en", 30.27, -97.74, 8.0, "gardening"),
    city!("USA", "IL", "Chicago", "en", 41.88, -87.63, 9.0, "running"),
    city!("USA", "OR", "Portland", "en", 45.52, -122.68, 6.0, "cycling"),
    city!("USA", "FL", "Miami", "es", 25.76, -80.19, 7.0, "cooking"),
    city!("CAN", "ON", "Toronto", "en", 43.65, -79.38, 9.0, "cooking"),
    city!("CAN", "BC", "Vancouver", "en", 49.28, -123.12, 7.0, "skiing"),
    city!("CAN", "QC", "Montreal", "fr", 45.5, -73.57, 6.0, "skiing"),
    city!("AUS", "NSW", "Sydney", "en", -33.87, 151.21, 7.0, "camping"),
    city!("AUS", "VIC", "Melbourne", "en", -37.81, 144.96, 6.0, "gardening"),
    city!("GBR", "LND", "London", "en", 51.51, -0.13, 2.0, "gardening"),
    city!("GBR", "MAN", "Manchester", "en", 53.48, -2.24, 1.2, "cycling"),
    city!("DEU", "BE", "Berlin", "de", 52.52, 13.4, 1.7, "cycling"),
    city!("DEU", "BY", "Munich", "de", 48.14, 11.58, 1.2, "hiking"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::AISLES;

    #[test]
    fn every_city_loves_an_aisle_of_the_shop() {
        for city in &CITIES {
            assert!(AISLES.iter().any(|aisle| aisle.word == city.loves), "{}", city.name);
        }
    }
}
