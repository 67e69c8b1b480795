//! How numbers are written on the command line.

use std::time::Duration;

/// A whole number and its unit: `us`, `ms`, `s`, `m` or `h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| "must be a whole number and its unit, as 250ms".to_owned())?;
    match unit {
        "us" => Ok(Duration::from_micros(number.into())),
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_mins(number.into())),
        "h" => Ok(Duration::from_hours(number.into())),
        _ => Err("its unit must be us, ms, s, m or h".to_owned()),
    }
}

/// Requests a second, or another number above 0.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    /// Beyond what one machine can send.
    const MOST: f64 = 1e8;
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= MOST => Ok(rate),
        _ => Err(format!("must be a number above 0, and at most {MOST}")),
    }
}

/// A share, as `5%` or `0.05`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    match number.parse::<f64>().map(|number| number / unit) {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be from 0% to 100%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for bad in ["", "10", "s", "-1s", "1.5s", "1d", "99999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_and_shares_have_their_bounds() {
        assert_eq!((rate("0.5"), rate("2000")), (Ok(0.5), Ok(2000.0)));
        assert_eq!((share("5%"), share("0.05")), (Ok(0.05), Ok(0.05)));
        for bad in ["0", "-1", "nan", "inf", "1e9", ""] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        for bad in ["101%", "-1%", "nan", ""] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
