//! Histograms in the formats of `HdrHistogram`, so that other tools can merge and plot them.
//!
//! The compressed form is the V2 encoding within a zlib stream (RFC 1950). The stream is made of stored blocks (RFC
//! 1951 section 3.2.4): the encoding is short already, as it counts runs of empty buckets, and every reader of zlib
//! takes it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::times::Times;
use crate::number::fraction;

const COOKIE: u32 = 0x1c84_9303 | 0x10;
const COMPRESSED_COOKIE: u32 = 0x1c84_9304 | 0x10;

/// The compressed V2 encoding in base64; its values are nanoseconds.
pub(crate) fn v2(times: &Times) -> String {
    let stream = zlib(&encode(times));
    let mut bytes = COMPRESSED_COOKIE.to_be_bytes().to_vec();
    bytes.extend(length(&stream).to_be_bytes());
    bytes.extend(stream);
    STANDARD.encode(bytes)
}

/// The percentile distribution as text (`.hgrm`); its values are microseconds.
pub(crate) fn hgrm(times: &Times) -> String {
    /// Lines for each halving of the distance to 100 per cent.
    const TICKS: u32 = 5;
    const MICROSECOND: f64 = 1000.0;
    let histogram = times.histogram();
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS) {
        let value = fraction(step.value_iterated_to()) / MICROSECOND;
        let share = step.quantile_iterated_to();
        total += step.count_since_last_iteration();
        let _ = write!(text, "{value:12.3} {share:14.12} {total:10}");
        if share < 1.0 {
            let _ = write!(text, " {:14.2}", 1.0 / (1.0 - share));
        }
        text.push('\n');
    }
    let micro = |nanoseconds: f64| nanoseconds / MICROSECOND;
    let (mean, deviation) = (micro(histogram.mean()), micro(histogram.stdev()));
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let (max, count) = (micro(fraction(histogram.max())), histogram.len());
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    text
}

fn encode(times: &Times) -> Vec<u8> {
    let histogram = times.histogram();
    let mut counts = Vec::new();
    let mut empty = 0;
    let mut left = histogram.len();
    for step in histogram.iter_all() {
        if left == 0 {
            break;
        }
        let count = step.count_at_value();
        if count == 0 {
            empty += 1;
            continue;
        }
        if empty > 0 {
            // A run of empty buckets is its length, below zero.
            put(&mut counts, -empty);
            empty = 0;
        }
        put(&mut counts, i64::try_from(count).unwrap_or(i64::MAX));
        left -= count;
    }
    let mut bytes = COOKIE.to_be_bytes().to_vec();
    bytes.extend(length(&counts).to_be_bytes());
    bytes.extend(0_i32.to_be_bytes());
    bytes.extend(u32::from(histogram.sigfig()).to_be_bytes());
    bytes.extend(histogram.low().to_be_bytes());
    bytes.extend(histogram.high().to_be_bytes());
    bytes.extend(1.0_f64.to_be_bytes());
    bytes.extend(counts);
    bytes
}

/// A number in zigzag and LEB128, the ninth byte whole.
fn put(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    for _ in 0..8 {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return bytes.push(low & 0x7f);
        }
        bytes.push(low | 0x80);
    }
    bytes.push(rest.to_le_bytes()[0]);
}

fn zlib(data: &[u8]) -> Vec<u8> {
    const LONGEST_BLOCK: usize = 0xffff;
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(LONGEST_BLOCK).peekable();
    while let Some(block) = blocks.next() {
        let size = u16::try_from(block.len()).expect("blocks are cut to fit");
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(size.to_le_bytes());
        stream.extend((!size).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(data).to_be_bytes());
    stream
}

fn adler32(data: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (low, high) = data.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % MODULUS;
        (low, (high + low) % MODULUS)
    });
    high << 16 | low
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a histogram takes some hundred thousand bytes at most")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rfc1950_9_adler_vector() {
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
        assert_eq!(zlib(b"ab"), [0x78, 0x01, 1, 2, 0, 0xfd, 0xff, b'a', b'b', 0x01, 0x26, 0x00, 0xc4]);
        assert_eq!(zlib(&vec![0; 70_000]).len(), 2 + 5 + 65_535 + 5 + 4_465 + 4);
    }

    #[test]
    fn numbers_are_zigzag_and_leb128() {
        let encoded = |number| {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            bytes
        };
        assert_eq!((encoded(0), encoded(-1), encoded(1)), (vec![0], vec![1], vec![2]));
        assert_eq!(encoded(64), [0x80, 1]);
        assert_eq!(encoded(-300), [0xd7, 4]);
        assert_eq!(encoded(i64::MIN), [0xff; 9]);
    }

    #[test]
    fn a_histogram_is_header_and_counts() {
        let mut times = Times::coarse();
        for nanoseconds in [1, 1, 3] {
            times.add(Duration::from_nanos(nanoseconds));
        }
        let bytes = encode(&times);
        assert_eq!(bytes[..8], [0x1c, 0x84, 0x93, 0x13, 0, 0, 0, 4]);
        assert_eq!(bytes[8..16], [0, 0, 0, 0, 0, 0, 0, 2]);
        // Nothing at 0, two at 1, nothing at 2, one at 3.
        assert_eq!(bytes[40..], [1, 4, 1, 2]);
    }

    #[test]
    fn the_text_has_its_percentiles() {
        let mut times = Times::new();
        for micros in 1..=1000 {
            times.add(Duration::from_micros(micros));
        }
        let text = hgrm(&times);
        assert!(text.contains("0.500000000000        500           2.00"), "{text}");
        assert!(text.contains("1.000000000000       1000\n"), "{text}");
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }
}
