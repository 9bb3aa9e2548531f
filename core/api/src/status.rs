//! HTTP statuses as people read them. Never what one means.

/// The number, with its name if it has one: `503 Service Unavailable`.
pub fn status_text(status: u16) -> String {
    let name = http::StatusCode::from_u16(status).ok().and_then(|known| known.canonical_reason());
    name.map_or_else(|| status.to_string(), |name| format!("{status} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_name_behind_it() {
        let said = [200, 503, 599, 7].map(status_text);
        assert_eq!(said, ["200 OK", "503 Service Unavailable", "599", "7"]);
    }
}
