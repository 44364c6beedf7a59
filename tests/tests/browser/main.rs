//! The dashboard in a real browser. The programs that it shows are in `guests/shown.rs`.

mod cost;
mod flags;
mod looks;
mod program;
mod views;
