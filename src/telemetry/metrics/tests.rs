//! Tests of the list and of the page.
