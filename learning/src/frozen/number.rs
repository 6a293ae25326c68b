//! Numbers in 16 and 8 bits.

/// A number of a table or an ad's part, in however many bits.
pub(super) trait Number: Copy + Default {
    fn get(self) -> f32;
}

impl Number for f32 {
    #[inline(always)]
    fn get(self) -> f32 {
        self
    }
}

/// An IEEE 754 half: a sign, 5 bits of exponent and 11 of precision, up to 65504. Below 2^-14 there is only 0: numbers
/// without a leading one would become such in single precision on the way, which some machines are slow at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Half(u16);

impl Half {
    const LARGEST: f32 = 65504.0;
    const LEAST: f32 = 1.0 / 16384.0;

    /// The nearest; what is no number is 0, what is too large the largest.
    pub(super) fn of(number: f32) -> Self {
        let number = if number.is_nan() { 0.0 } else { number.clamp(-Self::LARGEST, Self::LARGEST) };
        if number.abs() < Self::LEAST {
            return Self(0);
        }
        let bits = number.to_bits();
        // A tie goes to the even neighbour. The exponents' zeros are 112 apart.
        let rounded = bits + 0xfff + (bits >> 13 & 1);
        let size = ((rounded & 0x7fff_ffff) - (112 << 23)) >> 13;
        Self((bits >> 16 & 0x8000 | size) as u16)
    }

    pub(super) fn to_le_bytes(self) -> [u8; 2] {
        self.0.to_le_bytes()
    }

    /// `None` of what [`Half::of`] never gives.
    pub(super) fn from_le_bytes(bytes: [u8; 2]) -> Option<Self> {
        let half = Self(u16::from_le_bytes(bytes));
        (Self::of(half.get()) == half).then_some(half)
    }
}

impl Number for Half {
    #[inline(always)]
    fn get(self) -> f32 {
        let bits = u32::from(self.0);
        // Exponents' zeros are 112 apart: times 2^112.
        let size = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
        f32::from_bits(size.to_bits() | (bits & 0x8000) << 16)
    }
}

/// The nearest number that 16 bits hold.
pub(super) fn rounded(number: f32) -> f32 {
    Half::of(number).get()
}

/// Numbers in bytes lie closer to each other the nearer they are to 0, where most are: a byte `b` is `b |b|` times a scale,
/// which all numbers of a table share.
#[inline(always)]
pub(super) fn from_byte(byte: i8, scale: f32) -> f32 {
    let number = f32::from(byte);
    number * number.abs() * scale
}

/// The scale at which the largest number is the largest byte.
pub(super) fn scale(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0f32, |most, number| most.max(number.abs())) / (127.0 * 127.0)
}

/// The nearest byte on the scale; what is no number is 0.
pub(super) fn to_byte(number: f32, scale: f32) -> i8 {
    if scale <= 0.0 || number.is_nan() {
        return 0;
    }
    let low = (number.abs() / scale).sqrt().floor().min(127.0);
    let high = (low + 1.0).min(127.0);
    let nearer_high = high * high * scale - number.abs() < number.abs() - low * low * scale;
    (if nearer_high { high } else { low }).copysign(number) as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_are_those_of_the_standard() {
        let known = [(1.0, 0x3c00), (-2.0, 0xc000), (65504.0, 0x7bff), (1.0 / 16384.0, 0x0400), (0.0, 0)];
        for (number, bits) in known {
            assert_eq!(Half::of(number), Half(bits));
            assert_eq!(Half(bits).get().to_bits(), number.to_bits());
        }
        // Ties go to even: 1 + 2^-11 lies between 1 and 1 + 2^-10, 1 + 3 * 2^-11 between that and the next.
        assert_eq!([1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0].map(Half::of), [Half(0x3c00), Half(0x3c02)]);
        assert_eq!([f32::NAN, 1e-5, -1e-9].map(Half::of), [Half(0); 3]);
        assert_eq!([f32::INFINITY, -1e9].map(Half::of), [Half(0x7bff), Half(0xfbff)]);
        for bits in 0..=u16::MAX {
            let exponent = bits >> 10 & 31;
            let ours = bits == 0 || (1..31).contains(&exponent);
            assert_eq!(Half::from_le_bytes(bits.to_le_bytes()).is_some(), ours, "{bits:x}");
        }
    }

    proptest! {
        #[test]
        fn halves_are_near(number in -60000f32..60000.0, small in -1f32..1.0) {
            for number in [number, small] {
                let error = (rounded(number) - number).abs();
                prop_assert!(error <= number.abs() / 2048.0 || error < 1.0 / 16384.0, "{number}");
            }
        }

        #[test]
        fn a_byte_is_the_nearest(numbers in prop::collection::vec(-9f32..9.0, 1..50)) {
            let scale = scale(&numbers);
            for number in numbers {
                let error = |byte| (from_byte(byte, scale) - number).abs();
                let best = (-127..=127).map(error).fold(f32::MAX, f32::min);
                prop_assert!(error(to_byte(number, scale)) <= best + 1e-6, "{number}");
            }
        }
    }
}
