//! The one door to the system's randomness: keys and nonces. Decisions draw from hashes instead.

/// Fills with bytes from the operating system.
pub fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(bytes)
}
