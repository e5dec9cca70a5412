//! What suites are made of where no library has it.

pub mod adiantum;
pub mod length_preserving;
pub mod libaegis;
pub mod nh;
pub mod poly1305;
pub mod xts;
