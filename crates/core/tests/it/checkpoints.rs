//! Files that PyTorch and safetensors wrote give the numbers that they gave (`testdata/gen/checkpoints.py`), exactly: types of less
//! than 32 bits fit, and wider ones are rounded to the nearest by both.

use std::path::PathBuf;

use consilience_core::weights::Checkpoint;
use serde_json::Value;

pub fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden/checkpoints").join(name)
}

fn numbers(of: &Value) -> Vec<f32> {
    let number = |v: &Value| v.as_f64().map_or_else(|| v.as_str().unwrap().parse().unwrap(), |v| v as f32);
    of["numbers"].as_array().unwrap().iter().map(number).collect()
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    // All that are no number count as one.
    numbers.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

#[test]
fn files_give_the_numbers_that_pytorch_gave() {
    let expected: Value = serde_json::from_slice(&std::fs::read(golden("expected.json")).unwrap()).unwrap();
    let types = [("float64", "F64"), ("bfloat16", "BF16"), ("uint16", "U16"), ("bool", "BOOL")];
    let mut files = 0;
    for (file, tensors) in expected.as_object().unwrap().iter().filter(|(name, _)| *name != "versions") {
        let checkpoint = Checkpoint::open(&golden(file)).unwrap();
        let tensors = tensors.as_object().unwrap();
        assert_eq!(checkpoint.tensors().len(), tensors.len(), "{file}");
        for (name, told) in tensors {
            let tensor = checkpoint.tensor(name).unwrap_or_else(|| panic!("{file}: {name}"));
            assert_eq!(serde_json::json!(tensor.shape()), told["shape"], "{file}: {name}");
            if let Some((_, short)) = types.iter().find(|(long, _)| told["dtype"] == *long) {
                assert_eq!(tensor.dtype().to_string(), *short, "{file}: {name}");
            }
            let read = checkpoint.read_f32(name).unwrap();
            assert_eq!(bits(&read), bits(&numbers(told)), "{file}: {name}");
            for from in 0..read.len() {
                let mut block = vec![0.0; (read.len() - from).min(5)];
                checkpoint.read_into(name, from, &mut block).unwrap();
                assert_eq!(bits(&block), bits(&read[from..from + block.len()]), "{file}: {name} from {from}");
            }
        }
        files += 1;
    }
    assert_eq!(files, 9);
}

#[test]
fn tensors_stand_in_the_order_of_the_file() {
    let names = |file: &str| -> Vec<String> {
        let checkpoint = Checkpoint::open(&golden(file)).unwrap();
        checkpoint.tensors().iter().map(|t| t.name().to_owned()).collect()
    };
    let state = names("state.pth");
    assert_eq!(state[..2], ["conv1.weight", "bn1.weight"]);
    assert_eq!(state[6..], ["layer1.0.downsample.0.weight", "fc.weight", "fc.bias"]);
    assert_eq!(names("old.pth"), state);
    assert_eq!(names("nested.pth"), ["generator.weight", "others.0", "others.1.ema.0"]);
}

#[test]
fn a_training_checkpoint_is_opened_at_its_model() {
    let checkpoint = Checkpoint::open(&golden("training.pth")).unwrap();
    assert_eq!(checkpoint.entry(), Some("state_dict"));
    let optimizer = Checkpoint::open_entry(&golden("training.pth"), "optimizer").unwrap();
    assert_eq!(optimizer.tensor("state.0.exp_avg").unwrap().shape(), [2, 1, 3, 3]);
    assert_eq!(Checkpoint::open(&golden("state.pth")).unwrap().entry(), None);

    let error = |file: &str, entry| Checkpoint::open_entry(&golden(file), entry).unwrap_err().to_string();
    assert!(
        error("training.pth", "ema").contains("one of state_dict, optimizer, arguments"),
        "{}",
        error("training.pth", "ema")
    );
    assert!(error("types.safetensors", "ema").contains("only files of torch.save"));
    let two = Checkpoint::open(&golden("two.pth")).unwrap_err().to_string();
    assert!(two.contains("several entries") && two.contains("state_dict, model"), "{two}");
    assert!(Checkpoint::open_entry(&golden("two.pth"), "model").is_ok());
}

#[test]
fn what_holds_more_than_tensors_is_refused_with_a_remedy() {
    for (file, told) in [
        ("module.pth", &["torch.nn.modules.linear.Linear", "state_dict()"][..]),
        ("conjugated.pth", &["\"a\"", "conjugated", "resolve_conj"]),
        ("expanded.pth", &["\"a\"", "expanded", "contiguous()"]),
        ("nameless.pth", &["without a name"]),
    ] {
        let error = Checkpoint::open(&golden(file)).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let error = error.to_string();
        assert!(error.contains(file), "{error}");
        for told in told {
            assert!(error.contains(told), "{told}: {error}");
        }
    }
}

#[test]
fn numbers_that_are_not_there_are_not_read() {
    let checkpoint = Checkpoint::open(&golden("state.pth")).unwrap();
    let mut out = [0.0; 3];
    let error = checkpoint.read_into("fc.bias", 0, &mut out).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(checkpoint.read_into("fc.bias", usize::MAX, &mut out).is_err());
    assert!(checkpoint.read_f32("fc").unwrap_err().to_string().contains("no tensor \"fc\""));
}
