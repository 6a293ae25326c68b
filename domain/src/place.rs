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

/// The sides of a grid's fields, in millionths of a degree; whole numbers of them go round the globe.
const SIDES: [i32; 2] = [250_000, 4_000_000];
/// A circle that touches more fields than this is in none of the grids.
const MOST_FIELDS: i64 = 48;
/// Circles are taken this much larger, in degrees, so that no rounding leaves a field out.
const MARGIN: f64 = 1e-5;

/// The number of a field, unlike that of any other in any grid.
fn field(grid: usize, row: i64, column: i64) -> u64 {
    (grid as u64) << 60 | (row as u64 & 0xff_ffff) << 24 | (column as u64 & 0xff_ffff)
}

impl Place {
    /// The fields that the place lies in: one of each grid.
    pub fn fields(self) -> [u64; SIDES.len()] {
        std::array::from_fn(|grid| {
            let side = SIDES[grid];
            let columns = 360_000_000 / side;
            let column = (self.longitude + 180_000_000).div_euclid(side) % columns;
            field(grid, i64::from((self.latitude + 90_000_000).div_euclid(side)), i64::from(column))
        })
    }

    /// The fields of the finest grid in which a circle around this place touches few, at least all of those that it does touch;
    /// `None` where it is too large for any.
    pub fn fields_within(self, metres: f64) -> Option<Vec<u64>> {
        let reach = (metres / EARTH_RADIUS).to_degrees() + MARGIN;
        let (north, east) = self.degrees();
        // How far east and west a circle reaches that holds no pole.
        let ratio = reach.to_radians().sin() / north.to_radians().cos();
        if !(reach < 90.0 && north.abs() + reach < 90.0 && ratio < 1.0) {
            return None;
        }
        let width = ratio.asin().to_degrees() + MARGIN;
        SIDES.iter().enumerate().find_map(|(grid, side)| {
            let (side, columns) = (f64::from(*side) / 1e6, i64::from(360_000_000 / side));
            let between = |from: f64, to: f64| ((from / side).floor() as i64, (to / side).floor() as i64);
            let (bottom, top) = between(north - reach + 90.0, north + reach + 90.0);
            let (left, right) = between(east - width + 180.0, east + width + 180.0);
            let right = right.min(left + columns - 1);
            if (top - bottom + 1).saturating_mul(right - left + 1) > MOST_FIELDS {
                return None;
            }
            let fields = (bottom..=top).flat_map(|row| {
                (left..=right).map(move |column| field(grid, row, column.rem_euclid(columns)))
            });
            Some(fields.collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whoever_is_near_is_in_one_of_the_fields(
            north in -90.0f64..90.0,
            east in -180.0f64..=180.0,
            way in 0.0f64..1.0,
            direction in 0.0f64..std::f64::consts::TAU,
            metres in prop_oneof![0.0f64..50_000.0, 0.0f64..2_000_000.0],
        ) {
            let Some(centre) = Place::from_degrees(north, east) else { return Ok(()) };
            // Where one comes to on a great circle.
            let (angle, north) = (metres * way / EARTH_RADIUS, north.to_radians());
            let there = (north.sin() * angle.cos() + north.cos() * angle.sin() * direction.cos()).clamp(-1.0, 1.0).asin();
            let turn = (direction.sin() * angle.sin() * north.cos()).atan2(angle.cos() - north.sin() * there.sin());
            let east = (east + turn.to_degrees() + 540.0).rem_euclid(360.0) - 180.0;
            let Some(place) = Place::from_degrees(there.to_degrees(), east) else { return Ok(()) };
            prop_assume!(centre.metres_to(place) <= metres);
            if let Some(fields) = centre.fields_within(metres) {
                prop_assert!(place.fields().iter().any(|field| fields.contains(field)), "{centre:?} {place:?}");
            }
        }
    }

    #[test]
    fn a_town_has_few_fields_and_a_continent_none() {
        let place = |north, east| Place::from_degrees(north, east).unwrap();
        let fields =
            |north, east, metres| place(north, east).fields_within(metres).map(|fields| fields.len());
        assert!(fields(52.52, 13.405, 10_000.0).is_some_and(|count| count <= 6));
        assert!(fields(52.52, 13.405, 300_000.0).is_some_and(|count| count <= 12));
        assert_eq!(fields(52.52, 13.405, 5_000_000.0), None);
        assert_eq!(fields(89.99, 13.405, 10_000.0), None, "around a pole");
        // Across the line at which the day begins.
        let there = place(0.0, -179.99).fields()[0];
        assert!(place(0.0, 179.99).fields_within(5_000.0).unwrap().contains(&there));
        assert_eq!(place(1.0, 180.0).fields(), place(1.0, -180.0).fields());
    }

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
