//! The page that Prometheus reads: text exposition format 0.0.4.

use std::fmt::{Display, Write as _};

/// What a metric is, in the words of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

impl Kind {
    /// The word of the format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page under way.
#[derive(Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// An empty page with room for about this many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes) }
    }

    /// The lines above a metric's series.
    pub(super) fn head(&mut self, name: &str, kind: Kind, help: &str) {
        self.put(format_args!("# HELP {name} "));
        for character in help.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                other => self.text.push(other),
            }
        }
        self.put(format_args!("\n# TYPE {name} {}\n", kind.as_str()));
    }

    /// One line: `name`, `suffix`, labels, the `le` label of a bucket, and the value.
    pub(super) fn sample<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(N, V)],
        edge: Option<&str>,
        value: impl Display,
    ) {
        self.put(format_args!("{name}{suffix}"));
        let mut before = '{';
        let labels = labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        for (name, value) in labels.chain(edge.map(|edge| ("le", edge))) {
            self.put(format_args!("{before}{name}=\""));
            before = ',';
            for character in value.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if before == ',' {
            self.text.push('}');
        }
        self.put(format_args!(" {value}\n"));
    }

    /// The series of a histogram: `counts` has one element per edge and one more, and is not cumulative.
    pub(super) fn histogram<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        name: &str,
        labels: &[(N, V)],
        edges: &[String],
        counts: &[u64],
        sum: &str,
    ) {
        let mut total = 0_u64;
        for (edge, count) in edges.iter().map(String::as_str).chain(["+Inf"]).zip(counts) {
            total += count;
            self.sample(name, "_bucket", labels, Some(edge), total);
        }
        self.sample(name, "_sum", labels, None, sum);
        self.sample(name, "_count", labels, None, total);
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.text.write_fmt(arguments).expect("writing to a String cannot fail");
    }
}

impl Page {
    /// One line without labels.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) {
        self.sample::<&str, &str>(name, "", &[], None, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_format_reserves_is_escaped() {
        let mut page = Page::default();
        page.head("a_total", Kind::Counter, "one \\ two\nthree \"four\"");
        page.sample("a_total", "", &[("path", "C:\\x"), ("said", "\"no\"\n")], None, 3);
        assert_eq!(
            page.finish(),
            "# HELP a_total one \\\\ two\\nthree \"four\"\n# TYPE a_total counter\n\
             a_total{path=\"C:\\\\x\",said=\"\\\"no\\\"\\n\"} 3\n"
        );
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_infinity() {
        let mut page = Page::default();
        let edges = ["0.1".to_owned(), "1".to_owned()];
        page.histogram("wait_seconds", &[("by", "me")], &edges, &[2, 0, 1], "3.2");
        assert_eq!(
            page.finish(),
            "wait_seconds_bucket{by=\"me\",le=\"0.1\"} 2\nwait_seconds_bucket{by=\"me\",le=\"1\"} 2\n\
             wait_seconds_bucket{by=\"me\",le=\"+Inf\"} 3\nwait_seconds_sum{by=\"me\"} 3.2\n\
             wait_seconds_count{by=\"me\"} 3\n"
        );
    }
}
