//! Memory for secrets: locked into RAM and left out of core dumps, as far as the system allows.
//!
//! Secrets of up to [`CELL`] bytes share pages, 64 to a page; longer ones get pages of their own. The
//! free cells are one atomic word per page instead of a lock, because a lock that another thread holds
//! during `fork` would stay locked in the child for ever.

use std::alloc::{Layout, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use zeroize::Zeroize;

/// Bytes in one cell: a 512-bit key, or a passphrase of ordinary length.
const CELL: usize = 64;
/// Cells in one shared page, as many as bits in the word that tracks them.
const CELLS: usize = u64::BITS as usize;

/// A page cut into cells. Never freed: the head of the list and the `next` links stay valid for ever.
struct Page {
    base: NonNull<u8>,
    used: AtomicU64,
    next: *const Page,
}

/// The newest page; the others hang off it.
static PAGES: AtomicPtr<Page> = AtomicPtr::new(null_mut());

/// An exclusively owned, zero-initialised block of locked memory, zeroed again when dropped.
pub(crate) struct Locked {
    start: NonNull<u8>,
    len: usize,
    /// The page and bit that the block occupies, or `None` if it is a mapping of its own.
    cell: Option<(&'static Page, u64)>,
}

// SAFETY: a `Locked` is the only handle to its bytes, like a `Box<[u8]>`; the page it may point to is
// never freed and is touched only through its atomic word.
unsafe impl Send for Locked {}
// SAFETY: a shared `Locked` gives out only shared references to its bytes.
unsafe impl Sync for Locked {}

impl Locked {
    /// `len` zero bytes. Out of memory ends the process, as with any small allocation in Rust; a refusal
    /// to lock (`RLIMIT_MEMLOCK`) is ignored.
    pub(crate) fn zeroed(len: usize) -> Self {
        if len > CELL {
            return Locked { start: map(len), len, cell: None };
        }
        let mut page = PAGES.load(Ordering::Acquire).cast_const();
        // SAFETY: pages are leaked boxes published with release ordering, hence valid and initialised.
        while let Some(shared) = unsafe { page.as_ref() } {
            if let Some(found) = Self::take_cell(shared, len) {
                return found;
            }
            page = shared.next;
        }
        Self::take_cell_of_new_page(len)
    }

    fn take_cell(page: &'static Page, len: usize) -> Option<Self> {
        let mut used = page.used.load(Ordering::Acquire);
        while used != u64::MAX {
            let bit = 1u64 << used.trailing_ones();
            match page.used.compare_exchange_weak(used, used | bit, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // SAFETY: the bit is below CELLS, so the cell lies within the page's mapping.
                    let start = unsafe { page.base.add(bit.trailing_zeros() as usize * CELL) };
                    return Some(Locked { start, len, cell: Some((page, bit)) });
                }
                Err(now) => used = now,
            }
        }
        None
    }

    fn take_cell_of_new_page(len: usize) -> Self {
        let page = Box::leak(Box::new(Page {
            base: map(CELL * CELLS),
            used: AtomicU64::new(1), // the first cell is ours before anybody else sees the page
            next: null_mut(),
        }));
        let raw: *mut Page = page;
        let mut head = PAGES.load(Ordering::Acquire);
        loop {
            // SAFETY: the page is not published yet, so this thread alone may write to it.
            unsafe { (*raw).next = head };
            match PAGES.compare_exchange_weak(head, raw, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // SAFETY: the page was leaked above and is only read from now on.
        let page: &'static Page = unsafe { &*raw };
        Locked { start: page.base, len, cell: Some((page, 1)) }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is valid for `len` initialised bytes that this value alone owns.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The bytes, for writing.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// A value in locked memory: a key schedule, which is as secret as the key.
pub(crate) struct LockedBox<T> {
    place: Locked,
    value: PhantomData<T>,
}

impl<T> LockedBox<T> {
    /// Moves `value` there.
    pub(crate) fn new(value: T) -> Self {
        const { assert!(align_of::<T>() <= CELL) };
        let mut place = Locked::zeroed(size_of::<T>());
        // SAFETY: the block is as large as a `T`, exclusively ours, and aligned: mappings are to pages, cells to
        // their own length.
        unsafe { place.bytes_mut().as_mut_ptr().cast::<T>().write(value) };
        LockedBox { place, value: PhantomData }
    }
}

impl<T> std::ops::Deref for LockedBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: written by `new` and not moved out before the drop.
        unsafe { &*self.place.start.as_ptr().cast::<T>() }
    }
}

impl<T> Drop for LockedBox<T> {
    fn drop(&mut self) {
        // SAFETY: written by `new` and dropped only here; the block itself is wiped and freed afterwards.
        unsafe { std::ptr::drop_in_place(self.place.start.as_ptr().cast::<T>()) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        match self.cell {
            Some((page, bit)) => {
                page.used.fetch_and(!bit, Ordering::AcqRel);
            }
            None => unmap(self.start, self.len),
        }
    }
}

/// Zeroed pages of their own for `len` bytes, locked and kept out of core dumps if possible.
#[cfg(unix)]
fn map(len: usize) -> NonNull<u8> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no memory of ours.
    let page = unsafe {
        libc::mmap(
            null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        handle_alloc_error(Layout::array::<u8>(len).unwrap_or(Layout::new::<u8>()));
    }
    // SAFETY: the range is the mapping just made. Both calls are best effort: their failure (a limit on
    // locked memory, an old kernel) costs protection against swap and core dumps, nothing else.
    unsafe {
        libc::mlock(page, len);
        #[cfg(target_os = "linux")]
        libc::madvise(page, len, libc::MADV_DONTDUMP);
    }
    NonNull::new(page.cast()).expect("mmap returned the null page")
}

#[cfg(unix)]
fn unmap(start: NonNull<u8>, len: usize) {
    // SAFETY: `start` and `len` are those of a mapping made by `map` whose only owner is being dropped.
    unsafe { libc::munmap(start.as_ptr().cast(), len) };
}

#[cfg(not(unix))]
fn map(len: usize) -> NonNull<u8> {
    let layout = Layout::array::<u8>(len).expect("secrets are small");
    // SAFETY: the layout has a nonzero size.
    let start = unsafe { std::alloc::alloc_zeroed(layout) };
    NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(not(unix))]
fn unmap(start: NonNull<u8>, len: usize) {
    let layout = Layout::array::<u8>(len).expect("secrets are small");
    // SAFETY: allocated by `map` with the same layout; the only owner is being dropped.
    unsafe { std::alloc::dealloc(start.as_ptr(), layout) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_start_zeroed_and_do_not_overlap() {
        let mut blocks: Vec<Locked> = (0..300).map(|i| Locked::zeroed(1 + i % 100)).collect();
        for (i, block) in blocks.iter_mut().enumerate() {
            assert!(block.bytes().iter().all(|&b| b == 0), "block {i} is not zero");
            block.bytes_mut().fill(i as u8 | 1);
        }
        for (i, block) in blocks.iter().enumerate() {
            assert!(block.bytes().iter().all(|&b| b == i as u8 | 1), "block {i} was overwritten");
        }
        drop(blocks);
        assert!(Locked::zeroed(CELL).bytes().iter().all(|&b| b == 0));
    }

    #[test]
    fn small_blocks_share_pages() {
        let blocks: Vec<Locked> = (0..CELLS).map(|_| Locked::zeroed(32)).collect();
        let mut pages: Vec<usize> = blocks.iter().map(|b| b.start.as_ptr() as usize / 4096).collect();
        pages.sort_unstable();
        pages.dedup();
        // Other tests hold cells at the same time, so not necessarily one page; far fewer than blocks.
        assert!(pages.len() <= 16, "{} pages for {CELLS} blocks", pages.len());
    }

    #[test]
    fn cells_survive_contention() {
        std::thread::scope(|scope| {
            for t in 0..8u8 {
                scope.spawn(move || {
                    for round in 0..500 {
                        let mut block = Locked::zeroed(48);
                        block.bytes_mut().fill(t + 1);
                        if round % 7 == 0 {
                            std::thread::yield_now();
                        }
                        assert!(block.bytes().iter().all(|&b| b == t + 1));
                    }
                });
            }
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pages_are_left_out_of_core_dumps() {
        let block = Locked::zeroed(32);
        let address = block.start.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            if let Some((range, _)) = line.split_once(' ')
                && let Some((from, to)) = range.split_once('-')
            {
                let at = |s| usize::from_str_radix(s, 16).unwrap_or(0);
                inside = (at(from)..at(to)).contains(&address);
            }
            if inside && line.starts_with("VmFlags:") {
                assert!(line.split_whitespace().any(|flag| flag == "dd"), "{line}");
                return;
            }
        }
        panic!("the mapping was not listed");
    }
}
