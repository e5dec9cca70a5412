//! Little-endian fields at fixed offsets, so that each structure reads like its table in the format.

/// Whether every byte is zero: reserved space must be, and a slot that was never written is.
pub fn all_zero(bytes: &[u8]) -> bool {
    // Without an early end the compiler takes many bytes at a time; what is looked at usually is zero.
    bytes.iter().fold(0, |seen, byte| seen | byte) == 0
}

/// `N` bytes at `offset`; the caller has checked the length.
pub fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

/// A 32-bit number at `offset`.
pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array(bytes, offset))
}

/// A 64-bit number at `offset`.
pub fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array(bytes, offset))
}

/// Writes `field` at `offset`.
pub fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    bytes[offset..offset + field.len()].copy_from_slice(field);
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
