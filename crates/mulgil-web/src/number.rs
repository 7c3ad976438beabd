//! Counts and sizes as people read them.

/// `41,220`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.2 MB`: decimal units, as disks are sold.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    // What would be rounded to 1000 of a unit is 1.0 of the next.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if value < 9.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// A part of a whole in hundredths, rounded down; all of nothing is 0.
pub fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 100).checked_div(u128::from(whole)).unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, percent};

    #[test]
    fn counts_have_a_comma_each_three_digits() {
        let written: Vec<String> = [0, 999, 1_000, 41_220, 1_000_000].map(count).to_vec();
        assert_eq!(written, ["0", "999", "1,000", "41,220", "1,000,000"]);
    }

    #[test]
    fn sizes_take_the_unit_in_which_they_are_short() {
        let written: Vec<String> = [0, 999, 1_000, 9_960, 999_600, 1_234_567, u64::MAX].map(bytes).to_vec();
        assert_eq!(written, ["0 B", "999 B", "1.0 kB", "10 kB", "1.0 MB", "1.2 MB", "18 EB"]);
    }

    #[test]
    fn a_part_of_nothing_is_nothing() {
        assert_eq!((percent(1, 3), percent(u64::MAX, u64::MAX), percent(1, 0)), (33, 100, 0));
    }
}
