//! The names that a pickle of tensors may use. None of them is ever looked up or called: each stands for a rule here.

use super::super::dtype::Dtype;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// A dictionary.
    Dict,
    /// A tensor over a storage whose type says what its numbers are.
    Tensor,
    /// A tensor over a storage of bytes.
    TypedTensor,
    /// A parameter around a tensor.
    Parameter,
    /// A tensor with attributes: which of the rules above made it, its class, and what it was made of.
    Attributed,
    /// The class of a storage; without a type it holds bytes.
    Storage(Option<Dtype>),
    /// The type of a tensor's numbers, if it is one that we know.
    Dtype(Option<Dtype>),
    /// What can hold no tensor that belongs to a model: a device, a size, a text as bytes.
    Plain,
}

/// The rule for a name; `None` if it is not allowed.
pub(super) fn allowed(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::Dict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::Tensor,
        ("torch._utils", "_rebuild_tensor_v3") => Global::TypedTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::Parameter,
        ("torch._tensor", "_rebuild_from_type_v2") => Global::Attributed,
        ("torch.storage", "UntypedStorage") => Global::Storage(None),
        ("torch", "Size" | "device" | "Tensor")
        | ("torch.nn.parameter", "Parameter" | "Buffer")
        | ("torch.serialization", "_get_layout")
        | ("collections", "Counter")
        | ("_codecs", "encode")
        | ("builtins" | "__builtin__", "set" | "bytearray" | "complex") => Global::Plain,
        ("torch", class) if class.ends_with("Storage") => Global::Storage(Some(Dtype::in_storage(class)?)),
        ("torch", name) if is_dtype(name) => Global::Dtype(Dtype::in_torch(name)),
        _ => return None,
    })
}

fn is_dtype(name: &str) -> bool {
    let kinds = ["float", "bfloat", "int", "uint", "complex", "qint", "quint", "bool"];
    let rest = kinds.iter().find_map(|kind| name.strip_prefix(kind));
    rest.is_some_and(|r| !r.contains('.') && (r.is_empty() || r.starts_with(|c: char| c.is_ascii_digit())))
}

/// Whether a name belongs to what runs programs or code.
pub(super) fn is_code(module: &str) -> bool {
    let room = module.split('.').next().unwrap_or_default();
    [
        "os",
        "posix",
        "nt",
        "sys",
        "subprocess",
        "builtins",
        "__builtin__",
        "runpy",
        "socket",
        "shutil",
        "importlib",
    ]
    .contains(&room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_tensors_are_allowed() {
        assert_eq!(allowed("torch", "HalfStorage"), Some(Global::Storage(Some(Dtype::F16))));
        assert_eq!(allowed("torch", "uint16"), Some(Global::Dtype(Some(Dtype::U16))));
        assert_eq!(allowed("torch", "float8_e8m0fnu"), Some(Global::Dtype(None)));
        for (module, name) in [
            ("os", "system"),
            ("builtins", "eval"),
            ("torch", "load"),
            ("torch", "QInt8Storage"),
            ("torch", "hub.load"),
            ("torch", "float.__class__"),
            ("torch.nn.modules.linear", "Linear"),
            ("numpy.core.multiarray", "scalar"),
        ] {
            assert_eq!(allowed(module, name), None, "{module}.{name}");
        }
    }
}
