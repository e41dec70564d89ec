//! Links in words.

use std::time::Duration;

use serde_json::Value;

use crate::output::{bytes, plain};

/// One link: what it is, its role, its figures, and why it has that role.
pub(super) fn link_line(link: &Value) -> String {
    let text = |name: &str| plain(link[name].as_str().unwrap_or("-"));
    let number = |name: &str| link[name].as_u64();
    let mut line = format!("{} {}: {}", text("kind"), text("remote"), text("role"));
    if let Some(rtt) = number("rtt_us") {
        line.push_str(&format!(", {:.1?}", Duration::from_micros(rtt)));
    }
    let (sent, received) = (number("bytes_sent"), number("bytes_received"));
    let (sent, received) = (bytes(sent.unwrap_or(0)), bytes(received.unwrap_or(0)));
    line.push_str(&format!(", {sent} sent, {received} received"));
    match number("bytes_resent") {
        None | Some(0) => {}
        Some(resent) => line.push_str(&format!(", {} sent again", bytes(resent))),
    }
    if let (Some(sent), Some(lost)) = (number("packets_sent"), number("packets_lost")) {
        line.push_str(&format!(", {lost} of {sent} packets lost"));
    }
    format!("{line}; {}", text("reason"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_link_is_told_with_its_role_its_figures_and_the_reason() {
        let link = json!({
            "kind": "quic",
            "remote": "/ip4/192.0.2.1/udp/1/quic-v1",
            "role": "suspect",
            "rtt_us": 20_500,
            "bytes_sent": 2048,
            "bytes_received": 3,
            "bytes_resent": 1024,
            "packets_sent": 9,
            "packets_lost": 4,
            "reason": "it has not answered",
        });
        let expected = "quic /ip4/192.0.2.1/udp/1/quic-v1: suspect, 20.5ms, 2.0 KiB sent, \
                        3 B received, 1.0 KiB sent again, 4 of 9 packets lost; it has not answered";
        assert_eq!(link_line(&link), expected);
    }
}
