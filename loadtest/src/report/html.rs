//! A page that needs nothing but itself: no script, no font, no network.

use std::fmt::Write as _;

use super::quantiles::Quantiles;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse}th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}\
    .warning{background:#fde8e6;padding:.5rem 1rem;border-left:4px solid #c0392b}pre{overflow:auto}\
    svg{max-width:100%;height:auto;margin:1rem 0}svg text{font:12px sans-serif;fill:#444}";

/// The whole page around a body.
pub(crate) fn page(body: &str) -> String {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <style>{STYLE}</style></head>\n<body><h1>{name} {version}</h1>\n{body}</body></html>\n"
    )
}

/// A paragraph.
pub(crate) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// Something that must not be overlooked.
pub(crate) fn warning(text: &str) -> String {
    format!("<p class=\"warning\">{}</p>\n", escape(text))
}

/// Text in columns.
pub(crate) fn preformatted(text: &str) -> String {
    format!("<pre>{}</pre>\n", escape(text))
}

/// Quantiles as rows, in microseconds.
pub(crate) fn figures_table(rows: &[(&str, Quantiles)]) -> String {
    let mut table = String::from("<table><tr><th></th>");
    for head in ["p50", "p90", "p99", "p99.9", "max"] {
        let _ = write!(table, "<th>{head}</th>");
    }
    for (name, figures) in rows {
        let Quantiles { p50, p90, p99, p999, max } = figures;
        let _ = write!(table, "</tr>\n<tr><th>{} (us)</th>", escape(name));
        for figure in [p50, p90, p99, p999, max] {
            let _ = write!(table, "<td>{figure:.0}</td>");
        }
    }
    table + "</tr></table>\n"
}

/// Text within markup.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_page_comes_from_elsewhere_or_runs() {
        let page = page(&paragraph("<script>&\"'"));
        assert!(page.contains("&lt;script&gt;&amp;&quot;"));
        for outside in ["<script", "http:", "https:", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
