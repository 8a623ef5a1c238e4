//! Wire times to UNIX nanoseconds and back.

/// RFC 3339 text to UNIX nanoseconds: 0 to 9 fractional digits (more are cut), `Z` or an offset.
#[inline]
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    if text.len() < 20 || text[4] != b'-' || text[7] != b'-' || text[13] != b':' || text[16] != b':' {
        return None;
    }
    if !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = i64::from(pair(text, 0)?) * 100 + i64::from(pair(text, 2)?);
    let (month, day) = (pair(text, 5)?, pair(text, 8)?);
    let (hour, minute, second) = (pair(text, 11)?, pair(text, 14)?, pair(text, 17)?);
    if !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut at = 19;
    let mut nanos: i64 = 0;
    if text[at] == b'.' {
        at += 1;
        let start = at;
        if let Some(eight) = text.get(at..at + 8).and_then(eight_digits) {
            nanos = eight;
            at += 8;
        }
        while at < text.len() && text[at].is_ascii_digit() {
            if at - start < 9 {
                nanos = nanos * 10 + i64::from(text[at] - b'0');
            }
            at += 1;
        }
        let digits = at - start;
        if digits == 0 {
            return None;
        }
        for _ in digits..9 {
            nanos *= 10;
        }
    }
    let offset_s = parse_offset(&text[at..])?;
    let seconds = days_from_civil(year, month, day) * 86_400
        + i64::from(hour) * 3600
        + i64::from(minute) * 60
        + i64::from(second)
        - offset_s;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Eight digits at once.
#[inline]
fn eight_digits(text: &[u8]) -> Option<i64> {
    let word = u64::from_le_bytes(text.try_into().ok()?);
    let high = 0xf0f0_f0f0_f0f0_f0f0;
    if word & high != 0x3030_3030_3030_3030 || word.wrapping_add(0x0606_0606_0606_0606) & high != 0x3030_3030_3030_3030
    {
        return None;
    }
    // Neighbours are joined: digits to pairs, pairs to fours, fours to the whole.
    let digits = word & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some(((fours & 0xffff) * 10_000 + (fours >> 32)) as i64)
}

fn parse_offset(text: &[u8]) -> Option<i64> {
    let sign = match text.first()? {
        b'Z' | b'z' if text.len() == 1 => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let minutes_at = match text.len() {
        6 if text[3] == b':' => 4,
        5 => 3,
        _ => return None,
    };
    let (hours, minutes) = (pair(text, 1)?, pair(text, minutes_at)?);
    (hours <= 23 && minutes <= 59).then(|| sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))
}

#[inline]
fn pair(text: &[u8], at: usize) -> Option<u32> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years counted from March, so that leap days come last.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// UNIX nanoseconds as RFC 3339 in UTC, with no more fractional digits than are needed.
pub fn format_rfc3339(ns: i64) -> String {
    let (seconds, nanos) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let mut text =
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    if nanos != 0 {
        let fraction = format!("{nanos:09}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// The system's clock in UNIX nanoseconds.
pub fn now_ns() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ns(text: &str) -> Option<i64> {
        parse_rfc3339(text.as_bytes())
    }

    #[test]
    fn utc_with_any_number_of_digits() {
        assert_eq!(ns("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(ns("2021-02-22T15:51:44.208Z"), Some(1_614_009_104_208_000_000));
        assert_eq!(ns("2021-02-22T15:51:45.335689322Z"), Some(1_614_009_105_335_689_322));
        assert_eq!(ns("2021-02-22T15:51:45.3356893229Z"), Some(1_614_009_105_335_689_322));
    }

    #[test]
    fn offsets_are_taken_off() {
        assert_eq!(ns("2013-10-07T09:30:00-04:00"), ns("2013-10-07T13:30:00Z"));
        assert_eq!(ns("2013-10-07T09:30:00.5-0400"), ns("2013-10-07T13:30:00.5Z"));
        assert_eq!(ns("2024-01-01T05:30:00+05:30"), ns("2024-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2021-02-22",
            "2021-02-22T15:51:44",
            "2021-02-22T15:51:44.Z",
            "2021-13-22T15:51:44Z",
            "2021-02-29T15:51:44Z",
            "2021-02-22T24:51:44Z",
            "2021-02-22T15:51:44+4:00",
            "2021-02-22T15:51:44Zx",
            "9999-02-22T15:51:44Z",
            "xxxx-02-22T15:51:44Z",
        ] {
            assert_eq!(ns(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn formatting_and_parsing_are_inverse(value in -2_000_000_000_000_000_000_i64..8_000_000_000_000_000_000) {
            prop_assert_eq!(ns(&format_rfc3339(value)), Some(value));
        }

        #[test]
        fn a_date_is_as_many_days_as_a_calendar_counts(year in 1970_i64..2262, month in 1_u32..=12, day in 1_u32..=31, second in 0_i64..86_400, nanos in 0_i64..1_000_000_000) {
            let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            let lengths = |year| [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let before: i64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
            let months: i64 = lengths(year)[..month as usize - 1].iter().sum();
            let text = format!("{year}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{nanos:09}Z", second / 3600, second / 60 % 60, second % 60);
            let days = before + months + i64::from(day) - 1;
            let exists = i64::from(day) <= lengths(year)[month as usize - 1];
            prop_assert_eq!(ns(&text), exists.then(|| (days * 86_400 + second) * 1_000_000_000 + nanos));
        }

        #[test]
        fn an_offset_moves_the_instant_by_itself(value in 0_i64..4_000_000_000, hours in 0_i64..=23, minutes in 0_i64..=59) {
            let utc = format_rfc3339(value * 1_000_000_000);
            let behind = format!("{}-{hours:02}:{minutes:02}", utc.trim_end_matches('Z'));
            prop_assert_eq!(ns(&behind), Some((value + hours * 3600 + minutes * 60) * 1_000_000_000));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_rfc3339(&bytes);
        }
    }
}
