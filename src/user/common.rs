//! Passwords that are guessed first: well-known ones, and what people do to them to make them longer.
//!
//! A list of well-known passwords has few that satisfy a minimum of 15 characters, while what people choose then is a
//! short one written twice, or followed by digits in their order. So a password is weighed by what a guesser still has
//! to guess: a well-known password or a run of neighbouring keys, wherever it stands, weighs no more than
//! [`WEIGHT_OF_A_PIECE`] characters, and the same again weighs nothing.

/// One lower-case entry a line, sorted by bytes, each of eight or more characters. Its origin: `common-passwords.md`.
const LIST: &str = include_str!("common-passwords.txt");

/// In code points, of the list's shortest entry, which is the shortest password that any policy takes.
const SHORTEST_ENTRY: usize = 8;
/// In code points, of the list's longest entry.
const LONGEST_ENTRY: usize = 21;
/// Neighbours so many are a run; fewer stand in ordinary words.
const SHORTEST_RUN: usize = 5;
/// Whoever has the list needs no more guesses for an entry than for two characters chosen at random.
const WEIGHT_OF_A_PIECE: usize = 2;
/// What weighs less than so many characters is guessed first.
const LEAST_WEIGHT: usize = 8;

/// Keys in the order of their rows and columns, on the keyboards most in use. After the last comes the first.
const KEYBOARDS: [&str; 14] = [
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "йцукенгшщзхъ",
    "фывапролджэ",
];

/// Whether a password, given in lower case, is among the first that are guessed.
pub(super) fn is_common(lowered: &[char]) -> bool {
    let unit = repeated_unit(lowered);
    let is_short_and_repeated = unit.len() < lowered.len() && unit.len() < SHORTEST_ENTRY;
    is_short_and_repeated || weight(lowered).min(weight(unit)) < LEAST_WEIGHT.min(lowered.len())
}

/// The shortest text that the whole is repetitions of, the last of which may be cut off; the whole if it is written
/// once only. By the failure function of Knuth, Morris and Pratt: linear in the length.
fn repeated_unit(text: &[char]) -> &[char] {
    let mut borders = vec![0_usize; text.len()];
    for end in 1..text.len() {
        let mut border = borders[end - 1];
        while border > 0 && text[border] != text[end] {
            border = borders[border - 1];
        }
        borders[end] = border + usize::from(text[border] == text[end]);
    }
    let period = text.len() - borders.last().copied().unwrap_or_default();
    if 2 * period <= text.len() { &text[..period] } else { text }
}

/// How many characters a guesser has to guess.
fn weight(text: &[char]) -> usize {
    let mut pieces: Vec<&[char]> = Vec::new();
    let mut weight = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let length = run_length(rest).max(entry_length(rest));
        let (piece, after) = rest.split_at(length.max(1));
        if length == 0 {
            weight += 1;
        } else if !pieces.contains(&piece) {
            pieces.push(piece);
            weight += WEIGHT_OF_A_PIECE;
        }
        rest = after;
    }
    weight
}

/// How long the run is that `text` begins with; 0 if it begins with none.
fn run_length(text: &[char]) -> usize {
    let length_by =
        |follows: &dyn Fn(char, char) -> bool| 1 + text.windows(2).take_while(|pair| follows(pair[0], pair[1])).count();
    let by_code_point =
        [-1, 0, 1].map(|step| length_by(&|one, next| i64::from(u32::from(one)) + step == i64::from(u32::from(next))));
    let by_key = KEYBOARDS.map(|keys| {
        let forwards = length_by(&|one, next| is_next_key(keys, one, next));
        forwards.max(length_by(&|one, next| is_next_key(keys, next, one)))
    });
    by_code_point.into_iter().chain(by_key).max().filter(|length| *length >= SHORTEST_RUN).unwrap_or_default()
}

fn is_next_key(keys: &str, one: char, next: char) -> bool {
    let mut after = keys.chars().skip_while(|key| *key != one);
    after.next().is_some() && after.next().or_else(|| keys.chars().next()) == Some(next)
}

/// How long the longest entry of the list is that `text` begins with; 0 if it begins with none.
fn entry_length(text: &[char]) -> usize {
    // The list is ASCII: a text is looked up as far as it is, and no further than its entries are long.
    let mut bytes = [0; LONGEST_ENTRY];
    let mut length = 0;
    for (byte, character) in bytes.iter_mut().zip(text) {
        let Ok(ascii) = u8::try_from(*character) else { break };
        *byte = ascii;
        length += 1;
    }
    (SHORTEST_ENTRY..=length).rev().find(|length| is_listed(&bytes[..*length])).unwrap_or_default()
}

fn is_listed(entry: &[u8]) -> bool {
    let list = LIST.as_bytes();
    let (mut from, mut to) = (0, list.len());
    while from < to {
        let middle = usize::midpoint(from, to);
        let start = memchr::memrchr(b'\n', &list[from..middle]).map_or(from, |newline| from + newline + 1);
        let end = memchr::memchr(b'\n', &list[middle..to]).map_or(to, |newline| middle + newline);
        match list[start..end].cmp(entry) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => from = end + 1,
            std::cmp::Ordering::Greater => to = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(text: &str) -> bool {
        is_common(&text.chars().collect::<Vec<_>>())
    }

    #[test]
    fn asvs_6_2_4_the_list_is_sorted_and_has_the_top_three_thousand_and_more() {
        let entries: Vec<&str> = LIST.lines().collect();
        assert!(entries.len() >= 3_000);
        assert!(entries.is_sorted_by(|one, next| one < next));
        assert!(entries.iter().all(|entry| entry.is_ascii() && *entry == entry.to_lowercase()));
        assert_eq!(entries.iter().map(|entry| entry.len()).min(), Some(SHORTEST_ENTRY));
        assert_eq!(entries.iter().map(|entry| entry.len()).max(), Some(LONGEST_ENTRY));
        for entry in entries {
            assert!(is_listed(entry.as_bytes()), "{entry}");
            assert!(common(entry), "{entry}");
        }
        for absent in ["", "\n", "zzzzzzzzzzzzzzzzzzzz", "!", "passwor", "password\npassword1", "\u{e4}"] {
            assert!(!is_listed(absent.as_bytes()), "{absent}");
        }
    }

    #[test]
    fn asvs_6_2_4_what_is_well_known_does_not_get_better_by_being_longer() {
        for text in [
            "passwordpassword",
            "password1234567",
            "123456789012345",
            "aaaaaaaaaaaaaaa",
            "qwertyuiopqwertyuiop",
            "qwertyuiopasdfghjkl",
            "1qaz2wsx3edc4rfv",
            "abcdefghijklmnopqrstuvwxyz",
            "zyxwvutsrqponmlkjihgfedcba",
            "987654321987654321",
            "sunshine football",
            "iloveyou!iloveyou!",
            "abcabcabcabcabcab",
            "k9$k9$k9$k9$k9$k9$",
            "!!!password123!!",
            "11111111122222222",
            "йцукенгшщзхъфывапролджэ",
            "🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑",
        ] {
            assert!(common(text), "{text}");
        }
    }

    #[test]
    fn what_has_to_be_guessed_is_not_refused() {
        for text in [
            "correct horse battery staple",
            "sunshine football princess",
            "k9$wq2z!k9$wq2z!",
            "k9$wq2z!",
            "mellow lantern brook",
            "1234 and then seven",
            "hijklm is a run in here",
        ] {
            assert!(!common(text), "{text}");
        }
    }

    #[test]
    fn units_may_be_cut_off_at_the_end() {
        let unit = |text: &str| repeated_unit(&text.chars().collect::<Vec<_>>()).len();
        assert_eq!(
            ["", "a", "aa", "abab", "ababa", "aba", "abcabd", "aab", "aabaabaa"].map(unit),
            [0, 1, 1, 2, 2, 3, 6, 3, 3]
        );
    }

    #[test]
    fn runs_are_found_in_every_direction() {
        let run = |text: &str| run_length(&text.chars().collect::<Vec<_>>());
        assert_eq!(
            ["abcd", "abcdef", "fedcb!", "aaaaaa", "90123x", "poiuy", "vfr4cde3", "1a", "a"].map(run),
            [0, 6, 5, 6, 5, 5, 8, 0, 0]
        );
    }
}
