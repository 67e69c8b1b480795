//! `docs/api.md`, written from the descriptions.

pub fn page() -> String {
    String::new()
}
