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
    format!("{year:04}-{month:02}-{date:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", rest % 1000)
}
