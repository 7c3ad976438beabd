//! The room where files lie, and when it is too little.

/// Less of the disk than this is too little, in percent.
const PERCENT: u128 = 5;
/// So many bytes are enough, however large the disk is: 10 GiB.
const ENOUGH_BYTES: u64 = 10 << 30;
/// So many files that can still be made are enough.
const ENOUGH_FILES: u64 = 10_000;

/// The room where a folder lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
    /// Files that can still be made.
    pub free_files: u64,
    /// All files that there may be; 0 where their number has no bound.
    pub total_files: u64,
}

impl Room {
    /// Why it is too little: in part, and not only as a part of a large disk.
    pub fn shortage(&self) -> Option<String> {
        let few = |free: u64, all: u64, enough: u64| {
            let is_small_part = u128::from(free) * 100 < u128::from(all) * PERCENT;
            is_small_part && free < enough
        };
        let (free, all) = (self.free_bytes, self.total_bytes);
        if few(free, all, ENOUGH_BYTES) {
            return Some(format!("{free} of {all} bytes are free, less than {PERCENT} %"));
        }
        let (free, all) = (self.free_files, self.total_files);
        few(free, all, ENOUGH_FILES).then(|| format!("{free} of {all} files can still be made, less than {PERCENT} %"))
    }
}
