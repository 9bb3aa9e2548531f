//! Versions: instants in ms since 1970, as text. Pure.

/// What `when` was made of; none = it is no such text.
pub fn millis(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, date) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hours, minutes, seconds, rest) =
        (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
    // the same eras: years begin on a first of March
    let year = year.checked_sub(u64::from(month <= 2))?;
    let part = if month > 2 { month.checked_sub(3)? } else { month + 9 };
    let of_year = (153 * part + 2) / 5 + date.checked_sub(1)?;
    let days = year / 400 * 146_097 + year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    let days = days.checked_sub(719_468)?;
    Some(days * 86_400_000 + hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + rest)
}

/// A version as ours are written; clients may write the same instant in other ways. None = it is no instant.
pub fn version_of(text: &str) -> Option<String> {
    api::marathon::instant(text).map(when)
}

/// Milliseconds since 1970 as `2014-09-12T23:28:21.737Z`.
pub fn when(ms: u64) -> String {
    let mut text = Vec::with_capacity(24);
    write_when(ms, &mut text);
    text.into_iter().map(char::from).collect()
}

/// The same, written: a list of tasks has two for each of them.
pub(crate) fn write_when(ms: u64, out: &mut Vec<u8>) {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    // civil date from days, counted in eras of 400 years that begin on a first of March
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let part = (5 * of_year + 2) / 153;
    let date = of_year - (153 * part + 2) / 5 + 1;
    let month = if part < 10 { part + 3 } else { part - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    for (number, least, behind) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (date, 2, b'T'),
        (hours, 2, b':'),
        (minutes, 2, b':'),
        (seconds, 2, b'.'),
        (rest % 1000, 3, b'Z'),
    ] {
        write_digits(number, least, out);
        out.push(behind);
    }
}

/// A number in decimal, with zeros before it up to this length.
pub(crate) fn write_digits(number: u64, least: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let (mut at, mut left) = (digits.len(), number);
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - least)..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_410_564_501_737, "2014-09-12T23:28:21.737Z"),
            (951_826_154_009, "2000-02-29T12:09:14.009Z"),
            (253_402_300_800_000, "10000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(when(ms), text);
            assert_eq!(millis(text), Some(ms).filter(|_| text.len() == 24), "{text}");
        }
        let mut out = Vec::new();
        for (number, least) in [(0, 1), (7, 3), (u64::MAX, 1)] {
            write_digits(number, least, &mut out);
            out.push(b' ');
        }
        assert_eq!(out, format!("0 007 {} ", u64::MAX).as_bytes());
    }
}
