//! Measures the link itself: what it carries, what share of a core its thread takes and how late
//! it hands packets over.
//!
//! `cargo run --release -p netcom-lab --example link_speed [SECONDS]`, as root. The machine should
//! have nothing else to do.
#![expect(clippy::print_stdout, reason = "this is what it is for")]

#[cfg(target_os = "linux")]
mod measure;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |seconds| seconds.parse())?;
    measure::measure(std::time::Duration::from_secs(seconds))
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("The link needs Linux.");
}
