//! Passphrases that people can read and type: words of two made-up syllables.

use crate::random;

const CONSONANTS: [&str; 18] =
    ["b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "y", "z"];
const FIRST: [&str; 4] = ["a", "e", "i", "o"];
const LAST: [&str; 6] = ["a", "e", "i", "o", "on", "ar"];

/// 6^5, as many as five dice tell apart: 12.9 bits each.
const WORDS: u32 = 7776;

/// `words` words, each drawn evenly, joined with `-`.
pub(super) fn passphrase(words: usize) -> String {
    let drawn: Vec<String> = (0..words).map(|_| word(draw())).collect();
    drawn.join("-")
}

/// `n`: below `WORDS`; each gives another word.
fn word(n: u32) -> String {
    let mut rest = n as usize;
    let mut take = |from: &[&'static str]| {
        let part = from[rest % from.len()];
        rest /= from.len();
        part
    };
    [take(&CONSONANTS), take(&FIRST), take(&CONSONANTS), take(&LAST)].concat()
}

fn draw() -> u32 {
    loop {
        let n = u32::from_le_bytes(random::bytes());
        // The rest above would favour the first words.
        if n < u32::MAX - u32::MAX % WORDS {
            return n % WORDS;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_as_many_words_as_numbers() {
        let words: HashSet<String> = (0..WORDS).map(word).collect();
        assert_eq!(words.len(), WORDS as usize);
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
        assert_eq!(passphrase(3).split('-').filter(|part| words.contains(*part)).count(), 3);
    }
}
