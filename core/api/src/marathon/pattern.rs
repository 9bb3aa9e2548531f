//! The patterns of LIKE and UNLIKE: regular expressions that a whole value fits or not, with look-around and references
//! back, as Java's have. Never which values there are.

use fancy_regex::{Regex, RegexBuilder};

/// Steps back before an expression that has look-around or references back is given up on, for one value.
const BACKTRACKS_MAX: usize = 100_000;

/// A pattern for whole values.
#[derive(Clone, Debug)]
pub struct Pattern {
    said: String,
    regex: Regex,
}

impl Pattern {
    /// None = this is no regular expression.
    pub fn new(text: &str) -> Option<Self> {
        // by itself first: what closes a bracket that was not its own is none
        Regex::new(text).ok()?;
        let whole = format!("^(?:{text})$");
        let regex = RegexBuilder::new(&whole).backtrack_limit(BACKTRACKS_MAX).build().ok()?;
        Some(Self { said: text.to_owned(), regex })
    }
    /// Whether a whole value fits; none = that would take too long to find out.
    pub fn fits(&self, value: &str) -> Option<bool> {
        self.regex.is_match(value).ok()
    }
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_fit() {
        for (pattern, value, fits) in [
            ("a|b", "b", true),
            ("a|b", "bb", false),
            ("rack-[1-3]", "rack-2", true),
            ("(?=a)b", "b", false),
            ("(?=.*[0-9])[a-z0-9]+", "ab1", true),
            ("(?=.*[0-9])[a-z0-9]+", "abc", false),
            ("(?!test-).*", "test-1", false),
            ("(?!test-).*", "prod-1", true),
            ("(?<!x)y", "y", true),
            (r"(a+)-\1", "aa-aa", true),
            (r"(a+)-\1", "aa-a", false),
            ("", "", true),
            ("a", "a\n", false),
        ] {
            let read = Pattern::new(pattern).unwrap_or_else(|| panic!("{pattern}"));
            assert_eq!((read.fits(value), read.as_str()), (Some(fits), pattern), "{pattern} of {value}");
        }
        for wrong in ["(", "a)|(b", "[z-a]", "*", "(?=a"] {
            assert!(Pattern::new(wrong).is_none(), "{wrong}");
        }
        // two ways for each letter
        let slow = Pattern::new("(?:(?=a)a|(?=.)a)*[cd](?=x)").expect("a pattern");
        assert_eq!(slow.fits(&format!("{}c", "a".repeat(60))), None, "it is given up on");
    }
}
