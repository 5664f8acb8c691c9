//! The device that networks are computed on: one for the whole process.

pub use consilience_nn::backend::{Choice, choose, device_name as name};

/// The devices that this build knows, and of those that it does not know how to get them.
pub fn known() -> String {
    let of =
        |name: &str, built: bool| if built { name.to_owned() } else { format!("{name}: not in this build") };
    ["cpu".to_owned(), of("cuda", cfg!(feature = "cuda")), of("wgpu", cfg!(feature = "wgpu"))].join("; ")
}
