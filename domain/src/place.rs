//! Points on the globe.

/// The earth's mean radius (IUGG), in metres.
const EARTH_RADIUS: f64 = 6_371_008.8;

/// A point, in millionths of a degree: a tenth of a metre.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// North of the equator, in -90 000 000..=90 000 000.
    latitude: i32,
    /// East of Greenwich, in -180 000 000..=180 000 000.
    longitude: i32,
}

impl Place {
    /// From degrees; `None` for what is on no globe, and for 0/0, which stands for "not known" far more often than for a
    /// point in the Gulf of Guinea.
    pub fn from_degrees(latitude: f64, longitude: f64) -> Option<Self> {
        let on_globe = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        // Both are far within an i32.
        let place =
            Self { latitude: (latitude * 1e6).round() as i32, longitude: (longitude * 1e6).round() as i32 };
        (on_globe && place != Self::default()).then_some(place)
    }

    /// Degrees north and degrees east.
    pub fn degrees(self) -> (f64, f64) {
        (f64::from(self.latitude) / 1e6, f64::from(self.longitude) / 1e6)
    }

    /// The way over the ground in metres, on a sphere: within 0.6 % of the ellipsoid's (haversine formula; Sinnott 1984).
    pub fn metres_to(self, other: Self) -> f64 {
        let ((north, east), (other_north, other_east)) = (self.degrees(), other.degrees());
        let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
        let chord = half(north, other_north)
            + north.to_radians().cos() * other_north.to_radians().cos() * half(east, other_east);
        2.0 * EARTH_RADIUS * chord.clamp(0.0, 1.0).sqrt().asin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_an_atlas() {
        let place = |north, east| Place::from_degrees(north, east).unwrap();
        let (berlin, paris) = (place(52.52, 13.405), place(48.8566, 2.3522));
        assert!((berlin.metres_to(paris) - 877_500.0).abs() < 1_500.0, "{}", berlin.metres_to(paris));
        assert!(berlin.metres_to(berlin) < 1e-3);
        let half_round = place(0.0, 180.0).metres_to(place(0.0, 1e-6));
        assert!((half_round - EARTH_RADIUS * std::f64::consts::PI).abs() < 1.0, "{half_round}");
    }

    #[test]
    fn what_is_on_no_globe_is_no_place() {
        for (north, east) in [(91.0, 0.0), (0.0, -180.1), (f64::NAN, 1.0), (1.0, f64::INFINITY), (0.0, 0.0)] {
            assert_eq!(Place::from_degrees(north, east), None, "{north} {east}");
        }
    }
}
