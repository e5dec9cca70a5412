//! What authenticates the header.

use std::sync::Arc;

/// The MACs of one database.
pub trait Mac {
    /// The MAC of a superblock copy.
    fn superblock_mac(&self, bytes: &[u8]) -> [u8; 32];

    /// The MAC of a cell.
    fn cell_mac(&self, bytes: &[u8]) -> [u8; 32];

    /// Those of the data key before, while it is being changed.
    fn older(&self) -> Option<&dyn Mac>;
}

impl<T: Mac + ?Sized> Mac for Arc<T> {
    fn superblock_mac(&self, bytes: &[u8]) -> [u8; 32] {
        (**self).superblock_mac(bytes)
    }

    fn cell_mac(&self, bytes: &[u8]) -> [u8; 32] {
        (**self).cell_mac(bytes)
    }

    fn older(&self) -> Option<&dyn Mac> {
        (**self).older()
    }
}
