//! Hours of the week: `{ days = "mon-fri", from = "06:00", to = "23:00" }`.

use haggle_domain::Daypart;

use super::document::Node;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 24 * 60;

pub(super) fn read_all(node: &Node<'_>) -> Option<Vec<Daypart>> {
    let list = node.list()?;
    if list.is_empty() {
        node.fail("is empty, so the campaign would never bid; leave it out to bid around the clock");
        return None;
    }
    // Read each before giving up, so that every mistake is reported.
    let read: Vec<_> = list.iter().map(read_one).collect();
    read.into_iter().collect()
}

fn read_one(node: &Node<'_>) -> Option<Daypart> {
    let mut table = node.table()?;
    let weekdays = table.need("days", "\"mon-fri\"").and_then(|node| node.read(weekdays));
    let from = table.need("from", "\"06:00\"").and_then(|node| node.read(minute_of_day));
    let to_node = table.need("to", "\"23:00\"");
    let to = to_node.as_ref().and_then(|node| node.read(minute_of_day));
    table.finish();
    let (weekdays, from_minute, to_minute) = (weekdays?, from?, to?);
    if from_minute >= to_minute {
        to_node?.fail("is not after from; for hours over midnight write two dayparts, one up to \"24:00\"");
        return None;
    }
    Some(Daypart { weekdays, from_minute, to_minute })
}

/// As it could be written: `mon-fri 06:00-23:00`.
pub(super) fn show(daypart: &Daypart) -> String {
    let on = |day: usize| daypart.weekdays >> day & 1 == 1;
    let mut days: Vec<String> = Vec::new();
    let mut day = 0;
    while day < DAYS.len() {
        let length = (day..DAYS.len()).take_while(|day| on(*day)).count();
        match length {
            0 => {}
            1 => days.push(DAYS[day].to_owned()),
            _ => days.push(format!("{}-{}", DAYS[day], DAYS[day + length - 1])),
        }
        day += length.max(1);
    }
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{} {}-{}", days.join(","), clock(daypart.from_minute), clock(daypart.to_minute))
}

/// Reads `mon-fri`, `mon,wed,sat-sun`, `sat-mon`; bit 0 is Monday.
fn weekdays(text: &str) -> Result<u8, String> {
    let day = |name: &str| {
        DAYS.iter().position(|day| *day == name.trim()).ok_or_else(|| {
            format!("{text:?} does not name days; write them like \"mon-fri\" or \"mon,wed,sat-sun\"")
        })
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let mut at = first;
        loop {
            bits |= 1 << at;
            if at == last {
                break;
            }
            at = (at + 1) % DAYS.len();
        }
    }
    Ok(bits)
}

/// Reads `HH:MM` from `00:00` to `24:00`.
fn minute_of_day(text: &str) -> Result<u16, String> {
    let two_digits = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u16>().ok()).flatten()
    };
    text.split_once(':')
        .and_then(|(hours, minutes)| Some((two_digits(hours)?, two_digits(minutes)?)))
        .filter(|(_, minutes)| *minutes < 60)
        .map(|(hours, minutes)| hours * 60 + minutes)
        .filter(|minute| *minute <= DAY)
        .ok_or_else(|| format!("{text:?} is not a time of day; write it like \"06:00\", at most \"24:00\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_hours_read_as_written() {
        assert_eq!(weekdays("mon-fri"), Ok(0b001_1111));
        assert_eq!(weekdays("mon, wed,sat-sun"), Ok(0b110_0101));
        assert_eq!(weekdays("sun-mon"), Ok(0b100_0001));
        assert_eq!(weekdays("mon-sun"), Ok(0b111_1111));
        for (text, shown) in [("mon-fri", "mon-fri"), ("sat-mon", "mon,sat-sun"), ("wed", "wed")] {
            let daypart = Daypart { weekdays: weekdays(text).unwrap(), from_minute: 390, to_minute: 1440 };
            assert_eq!(show(&daypart), format!("{shown} 06:30-24:00"));
        }
        assert!(weekdays("").is_err() && weekdays("monday").is_err() && weekdays("mon-").is_err());
        assert_eq!(minute_of_day("06:30"), Ok(390));
        assert_eq!(minute_of_day("24:00"), Ok(1440));
        for wrong in ["24:01", "25:00", "6:00", "06:60", "0600", "+6:00", ""] {
            assert!(minute_of_day(wrong).is_err(), "{wrong:?}");
        }
    }
}
