//! Dates and times as Marathon's clients write them, in any offset. Never how ours are written, nor what the time is.
//!
//! The form is java.time's ISO_OFFSET_DATE_TIME, which upstream reads versions with (Timestamp, RAML's `datetime`).

/// Milliseconds since 1970; what was before is 0, for no version is that old. Finer parts are left out.
pub fn instant(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = match numbers(date, '-', &[4, 2, 2])?.as_slice() {
        [year, month, day] => (*year, *month, *day),
        _ => return None,
    };
    let rest = rest.strip_prefix(['T', 't'])?;
    let (time, offset_s) = match rest.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let at = rest.find(['+', '-'])?;
            let (time, offset) = rest.split_at(at);
            let seconds = clock(&offset[1..], OFFSET_HOURS_MAX)?;
            (time, if offset.starts_with('-') { -seconds } else { seconds })
        }
    };
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) if time.len() == 8 => (time, fraction),
        Some(_) => return None,
        None => (time, "0"),
    };
    if !(1..=9).contains(&fraction.len()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let seconds = days(year, month, day)? * 86_400 + clock(time, 23)? - offset_s;
    Some(u64::try_from(seconds * 1000 + ms).unwrap_or(0))
}

/// The farthest offset there is.
const OFFSET_HOURS_MAX: i64 = 18;

/// Numbers of just so many digits.
fn numbers(text: &str, between: char, digits: &[usize]) -> Option<Vec<i64>> {
    let parts: Vec<&str> = text.split(between).collect();
    let number = |(part, digits): (&&str, &usize)| {
        let plain = part.len() == *digits && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten()
    };
    (parts.len() == digits.len()).then(|| parts.iter().zip(digits).map(number).collect())?
}

/// Seconds of `HH:MM` or `HH:MM:SS`.
fn clock(text: &str, hours_max: i64) -> Option<i64> {
    let parts = numbers(text, ':', &[2, 2]).or_else(|| numbers(text, ':', &[2, 2, 2]))?;
    let right = parts[0] <= hours_max && parts[1..].iter().all(|part| *part < 60);
    right.then(|| parts[0] * 3600 + parts[1] * 60 + parts.get(2).copied().unwrap_or(0))
}

/// Days since 1970, counted in eras of 400 years that begin on a first of March.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_is_written_in_many_ways() {
        let at = Some(1_410_564_501_607);
        for same in [
            "2014-09-12T23:28:21.607Z",
            "2014-09-12T23:28:21.607000Z",
            "2014-09-12t23:28:21.607999999z",
            "2014-09-12T23:28:21.607+00:00",
            "2014-09-13T01:28:21.607+02:00",
            "2014-09-12T17:58:21.607-05:30",
            "2014-09-12T23:28:21.607+00:00:00",
        ] {
            assert_eq!(instant(same), at, "{same}");
        }
        for (text, ms) in [
            ("1970-01-01T00:00Z", 0),
            ("1969-01-01T00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2020-03-01T00:00:00.5Z", 1_583_020_800_500),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(instant(text), Some(ms), "{text}");
        }
        for wrong in [
            "",
            "foo",
            "yesterday",
            "2014-09-12",
            "2014-09-12T23:28:21.607",
            "2014-09-12 23:28:21Z",
            "2014-02-29T00:00:00Z",
            "2014-13-01T00:00:00Z",
            "2014-09-12T24:00:00Z",
            "2014-09-12T23:28:21.Z",
            "2014-09-12T23:28.5Z",
            "2014-09-12T23:28:21+25:00",
            "2014-09-12T23:28:21+02",
            "2014-09-1ü2T23:28:21Z",
            "+014-09-12T23:28:21Z",
        ] {
            assert_eq!(instant(wrong), None, "{wrong}");
        }
    }
}
