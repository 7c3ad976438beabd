//! Removing the folders of attempts that ended long ago.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mulgil_core::interval::Instant;

use crate::folder;

/// Removes the folders of attempts in `attempts` that ended before a moment; gives how many. Those that have no
/// exit record stay: they run, or are still to be taken up.
///
/// # Errors
/// Where the folder cannot be read, or one of an attempt cannot be removed; the others are removed all the same.
pub fn forget_attempts(attempts: &Path, before: Instant) -> io::Result<u64> {
    let entries = match fs::read_dir(attempts) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let before = UNIX_EPOCH + Duration::from_micros(before.0.max(0).unsigned_abs());
    let (mut forgotten, mut failed) = (0, None);
    for entry in entries {
        let dir = entry?.path();
        if ended_at(&dir).is_none_or(|at| at >= before) {
            continue;
        }
        match fs::remove_dir_all(&dir) {
            Ok(()) => forgotten += 1,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(forgotten), Err)
}

/// Renames the folders of attempts whose numbers are higher than `last`: they are of a ledger that was taken away
/// or is newer than this one, which will give their numbers again. Gives how many.
///
/// # Errors
/// Where the folder cannot be read, or one cannot be renamed.
pub fn set_aside(attempts: &Path, last: i64) -> io::Result<u64> {
    let entries = match fs::read_dir(attempts) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut moved = 0;
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<i64>().ok());
        let Some(number) = number.filter(|number| *number > last) else {
            continue;
        };
        let free = (1_u32..).map(|n| attempts.join(format!("{number}-of-another-ledger-{n}")));
        let mut free = free.filter(|path| !path.exists());
        if let Some(aside) = free.next() {
            fs::rename(attempts.join(name), aside)?;
            moved += 1;
        }
    }
    Ok(moved)
}

fn ended_at(dir: &Path) -> Option<SystemTime> {
    fs::metadata(dir.join(folder::EXIT)).ok()?.modified().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use super::*;

    #[test]
    fn only_what_ended_before_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let day = |day: u64| UNIX_EPOCH + Duration::from_hours(24 * day);
        for (name, ended) in [("1", Some(day(10))), ("2", Some(day(30))), ("3", None)] {
            let dir = folder.path().join(name);
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join(folder::LOG), "line").unwrap();
            if let Some(at) = ended {
                let file = fs::File::create(dir.join(folder::EXIT)).unwrap();
                file.set_modified(at).unwrap();
            }
        }
        let before = Instant(20 * 86_400_000_000);
        assert_eq!(forget_attempts(folder.path(), before).unwrap(), 1);
        assert!(!folder.path().join("1").exists());
        assert!(folder.path().join("2").exists() && folder.path().join("3").exists());
        assert_eq!(forget_attempts(&folder.path().join("none"), before).unwrap(), 0);
    }

    #[test]
    fn folders_of_another_ledger_are_set_aside_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1", "7", "8", "8-of-another-ledger-1", "lifeline"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join(folder::LOG), name).unwrap();
        }
        assert_eq!(set_aside(folder.path(), 6).unwrap(), 2);
        assert_eq!(set_aside(folder.path(), 6).unwrap(), 0);
        let log = |name: &str| fs::read_to_string(folder.path().join(name).join(folder::LOG)).unwrap();
        assert_eq!(log("1"), "1");
        assert_eq!(log("7-of-another-ledger-1"), "7");
        assert_eq!(log("8-of-another-ledger-2"), "8");
        assert!(!folder.path().join("8").exists());
    }
}
