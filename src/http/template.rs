//! Paths with something to be filled in, as `/sessions/{id}`: what the routers look up is what the description names.

/// The most that a path may have to be filled in.
pub const MOST: usize = 2;

/// What stands in a path where its template has braces; `None` when the path is not one of the template. Each part is a
/// whole segment, and none is empty.
pub fn captured<'path>(template: &str, path: &'path str) -> Option<[&'path str; MOST]> {
    let mut captured = [""; MOST];
    let mut places = captured.iter_mut();
    let mut segments = path.split('/');
    for wanted in template.split('/') {
        let segment = segments.next()?;
        if wanted.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            *places.next()? = segment;
        } else if wanted != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(captured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_takes_whole_segments_and_as_many_as_it_has() {
        let template = "/admin/users/{id}/sessions/{session}";
        assert_eq!(captured(template, "/admin/users/a/sessions/b"), Some(["a", "b"]));
        assert_eq!(captured("/sessions", "/sessions"), Some(["", ""]));
        for other in [
            "",
            "/admin/users/a/sessions",
            "/admin/users/a/sessions/",
            "/admin/users//sessions/b",
            "/admin/users/a/s/b",
            "/admin/users/a/sessions/b/",
            "admin/users/a/sessions/b",
        ] {
            assert_eq!(captured(template, other), None, "{other}");
        }
    }
}
