//! Files that were made to do harm, or are cut, or hold nonsense: each is refused with an error that says what it is, within the
//! bound on memory.

use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use consilience_core::weights::Checkpoint;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::allocations::peak;
use crate::checkpoints::golden;

/// The bound that is promised: 64 MiB and four times what lies on the disk.
pub fn bound(bytes: usize) -> usize {
    (64 << 20) + 4 * bytes
}

fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An archive of a pickle and one storage of four floats.
fn pth(pickle: &[u8]) -> Vec<u8> {
    let storage = [0u8; 16];
    archive(&[("a/data.pkl", pickle), ("a/data/0", &storage)], CompressionMethod::Stored)
}

/// Opens a file of these bytes and reads all of it; what went wrong, as text.
pub fn refused(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pth");
    std::fs::write(&path, bytes).unwrap();
    let mut error = String::new();
    let start = Instant::now();
    let taken = peak(|| error = read_all(&path).map_or_else(|e| e.to_string(), |()| String::new()));
    assert!(taken <= bound(bytes.len()), "{taken} bytes for a file of {}: {error}", bytes.len());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}: {error}", start.elapsed());
    error
}

/// Reads every tensor that has numbers.
pub fn read_all(path: &Path) -> consilience_core::Result<()> {
    let checkpoint = Checkpoint::open(path)?;
    for tensor in checkpoint.tensors().iter().filter(|t| t.dtype().is_real()) {
        let numbers = checkpoint.read_f32(tensor.name())?;
        assert_eq!(numbers.len(), tensor.len());
    }
    Ok(())
}

fn text(text: &str) -> Vec<u8> {
    let mut out = vec![b'X'];
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out
}

fn int(n: i64) -> Vec<u8> {
    let mut out = vec![0x8a, 8];
    out.extend(n.to_le_bytes());
    out
}

fn tuple(values: &[i64]) -> Vec<u8> {
    let mut out = vec![b'('];
    values.iter().for_each(|&n| out.extend(int(n)));
    out.push(b't');
    out
}

/// A tensor over a storage that claims `size` floats.
fn tensor(size: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let mut out = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    out.extend(text("storage"));
    out.extend(b"ctorch\nFloatStorage\n");
    out.extend(text("0"));
    out.extend(text("cpu"));
    out.extend(int(size));
    out.extend(b"tQ");
    out.extend(int(offset));
    out.extend(tuple(shape));
    out.extend(tuple(strides));
    out.extend(b"\x89}tR");
    out
}

/// A pickle of a dictionary with one item.
fn dict(key: &str, value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}".to_vec(), text(key), value.to_vec(), b"s.".to_vec()].concat()
}

#[test]
fn a_tensor_made_by_hand_is_read() {
    assert_eq!(refused(&pth(&dict("a", &tensor(4, 0, &[2, 2], &[2, 1])))), "");
}

#[test]
fn a_turned_tensor_is_read_in_windows() {
    // 36 MB, more than is held of a storage at once.
    let n = 3000;
    let storage: Vec<u8> = (0..n * n).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let pickle = dict("a", &tensor((n * n) as i64, 0, &[n as i64, n as i64], &[1, n as i64]));
    let entries = [("a/data.pkl", pickle.as_slice()), ("a/data/0", &storage)];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pth");
    std::fs::write(&path, archive(&entries, CompressionMethod::Stored)).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let (mut numbers, mut row) = (Vec::new(), vec![0.0; n]);
    let taken = peak(|| numbers = checkpoint.read_f32("a").unwrap());
    assert!(taken <= (4 * n * n) + (33 << 20), "{taken}");
    assert!((0..n * n).all(|i| numbers[i] == (i % n * n + i / n) as f32));
    checkpoint.read_into("a", 2 * n, &mut row).unwrap();
    assert_eq!(row, numbers[2 * n..3 * n]);
}

#[test]
fn code_is_named_and_never_run() {
    let system = b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.";
    for bytes in [pth(system), system.to_vec(), b"cos\nsystem\n(S'ls'\ntR.".to_vec()] {
        let error = refused(&bytes);
        assert!(error.contains("os.system") && error.contains("nothing was run"), "{error}");
    }
    let hidden = dict("a", b"cbuiltins\neval\nX\x01\0\0\x001\x85R");
    assert!(refused(&pth(&hidden)).contains("builtins.eval"));
    let protocol_four = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02ls\x94\x85\x94R\x94.";
    for bytes in [pth(protocol_four), protocol_four.to_vec()] {
        assert!(refused(&bytes).contains("posix.system"));
    }
    // A name that is allowed is not called with whatever comes.
    assert!(refused(&pth(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.")).contains("malformed"));
    assert!(refused(&pth(b"\x80\x02ccollections\nOrderedDict\nK\x01R.")).contains("malformed"));
    let in_old = std::fs::read(golden("old.pth")).unwrap();
    let at = in_old.windows(13).position(|w| w == b"ccollections\n").unwrap();
    let in_old = [&in_old[..at], b"cos\nsystem\n", &in_old[at..]].concat();
    assert!(refused(&in_old).contains("os.system"));
}

#[test]
fn archives_that_grow_are_refused() {
    let zeros = vec![0u8; 64 << 20];
    let packed = archive(&[("a/data.pkl", b"\x80\x02}."), ("a/data/0", &zeros)], CompressionMethod::Deflated);
    assert!(packed.len() < 1 << 20);
    assert!(refused(&packed).contains("an entry of the archive is packed"));
    let pickle = dict("a", &tensor(16 << 20, 0, &[16 << 20], &[1]));
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, method) in [
        ("a/data.pkl", pickle.as_slice(), CompressionMethod::Stored),
        ("a/data/0", &zeros, CompressionMethod::Deflated),
    ] {
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    assert!(
        refused(&writer.finish().unwrap().into_inner())
            .contains("a/data/0: an entry of the archive is packed")
    );

    // An entry that claims 2 GiB, in both of its sizes.
    let mut claims = pth(&dict("a", &tensor(4, 0, &[4], &[1])));
    let at = claims.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    claims[at + 20..at + 24].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    claims[at + 24..at + 28].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    assert!(refused(&claims).contains("claims more bytes than the file has"));
}

#[test]
fn an_archive_names_each_entry_once_and_holds_one_checkpoint() {
    let pickle = dict("a", &tensor(4, 0, &[4], &[1]));
    let mut twice = archive(
        &[("a/data.pkl", &pickle), ("a/data/0", &[0; 16]), ("a/data/1", &[1; 16])],
        CompressionMethod::Stored,
    );
    let at = twice.windows(8).rposition(|w| w == b"a/data/1").unwrap();
    twice[at + 7] = b'0';
    assert!(refused(&twice).contains("two entries called \"a/data/0\""));
    let two = [("a/data.pkl", pickle.as_slice()), ("b/data.pkl", &pickle)];
    for entries in [&two[..], &[("readme", b"")]] {
        assert!(refused(&archive(entries, CompressionMethod::Stored)).contains("one data.pkl"));
    }
    let big = [("a/data.pkl", pickle.as_slice()), ("a/data/0", &[0; 16]), ("a/byteorder", b"big")];
    assert!(refused(&archive(&big, CompressionMethod::Stored)).contains("little-endian"));
}

#[test]
fn tensors_lie_in_their_storage() {
    let huge = 1 << 62;
    for (told, pickle) in [
        ("cut short", tensor(5, 0, &[5], &[1])),
        ("cut short", tensor(huge / 4, 0, &[1], &[1])),
        ("malformed", tensor(huge, 0, &[1], &[1])),
        ("malformed", tensor(-4, 0, &[1], &[1])),
        ("malformed", tensor(4, -1, &[1], &[1])),
        ("malformed", tensor(4, 0, &[-1], &[1])),
        ("malformed", tensor(4, 3, &[4], &[-1])),
        ("malformed", tensor(4, 0, &[4], &[])),
        ("beyond its storage", tensor(4, 1, &[4], &[1])),
        ("beyond its storage", tensor(4, huge, &[4], &[1])),
        ("beyond its storage", tensor(4, 0, &[2], &[4])),
        ("larger than any memory", tensor(4, 0, &[huge, huge], &[0, 0])),
        ("expanded", tensor(4, 0, &[huge], &[0])),
        ("too many dimensions", tensor(4, 0, &[1; 9], &[1; 9])),
    ] {
        let error = refused(&pth(&dict("a", &pickle)));
        assert!(error.contains(told), "{told}: {error}");
    }
    let missing =
        archive(&[("a/data.pkl", &dict("a", &tensor(4, 0, &[4], &[1])))], CompressionMethod::Stored);
    assert!(refused(&missing).contains("the storage \"0\" is missing"));
}

#[test]
fn pickles_cannot_exhaust_memory_or_the_stack() {
    // Lists in lists, ten million deep and held; each value twice in the next; a list that holds itself.
    let deep = |n: usize| [&b"\x80\x02"[..], &b"]".repeat(n), &b"a".repeat(n - 1), b"."].concat();
    assert!(refused(&pth(&deep(10_000_000))).contains("more values than its tensors need"));
    assert!(refused(&pth(&deep(1000))).contains("too deep"));
    let mut doubling = b"\x80\x02]q\0".to_vec();
    for i in 0..14 {
        doubling.extend([b']', b'q', i + 1, b'(', b'h', i, b'h', i, b'e']);
    }
    doubling.push(b'.');
    assert_eq!(refused(&pth(&doubling)), "");
    let mut bomb = b"\x80\x02]q\0(".to_vec();
    bomb.extend(tensor(4, 0, &[4], &[1]));
    bomb.extend(b"e");
    for i in 0..14 {
        bomb.extend([b']', b'q', i + 1, b'(']);
        bomb.extend([b'h', i].repeat(8));
        bomb.push(b'e');
    }
    bomb.push(b'.');
    assert!(refused(&pth(&bomb)).contains("more values than its tensors need"));
    assert!(refused(&pth(b"\x80\x02]q\0h\0a.")).contains("too deep"));
    assert!(
        refused(&pth(&[&b"\x80\x02"[..], &b"N".repeat(10_000_000), b"."].concat())).contains("more values")
    );
    assert!(
        refused(&pth(&[&b"\x80\x02"[..], &b"(".repeat(30_000_000), b"."].concat())).contains("more values")
    );
    // A long key, and a long shape, each used a hundred thousand times; an entry that is there as often.
    let mut keys =
        [b"\x80\x02]q\0(ctorch\nFloatStorage\nq\x01".to_vec(), text("storage"), b"q\x02".to_vec()].concat();
    keys.extend([text(&"k".repeat(1 << 20)), b"q\x03".to_vec()].concat());
    keys.extend(b"(h\x02h\x01h\x03h\x03K\x01tQ".repeat(100_000));
    keys.extend(b"e.");
    assert!(refused(&pth(&keys)).contains("malformed"));
    let mut shapes = [b"\x80\x02]((".to_vec(), b"K\x01".repeat(300_000), b"tq\0".to_vec()].concat();
    shapes.extend(text("storage"));
    shapes.extend(b"q\x01ctorch\nFloatStorage\nq\x02");
    shapes.extend([text("0"), b"q\x03(h\x01h\x02h\x03h\x03K\x01tQq\x04".to_vec()].concat());
    shapes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(h\x04K\0h\0h\0Nh\x03tR".repeat(100_000));
    shapes.extend(b"e.");
    assert!(refused(&pth(&shapes)).contains("malformed"));
    let mut entries = [b"\x80\x02}q\0(".to_vec(), text("model"), b"q\x01]q\x02(".to_vec()].concat();
    entries.extend(b"N".repeat(100_000));
    entries.extend(b"e");
    entries.extend(b"h\x01h\x02".repeat(100_000));
    entries.extend(b"u.");
    assert!(refused(&pth(&entries)).contains("more values"));
    // Counts that no file can keep.
    assert!(refused(&pth(b"\x80\x02Nr\xff\xff\xff\xff.")).contains("malformed"));
    assert!(refused(&pth(b"\x80\x02X\xff\xff\xff\xffa.")).contains("malformed"));
    for broken in [
        &b"\x80\x02."[..],
        b"\x80\x02h\0.",
        b"\x80\x02t.",
        b"\x80\x02(a.",
        b"\x80\x02K\x01(Nu.",
        b"\x80\x02NNR.",
    ] {
        assert!(refused(&pth(broken)).contains("malformed"), "{broken:?}");
    }
}

#[test]
fn long_names_are_read_and_told_in_short() {
    let name = "n".repeat(5 << 20);
    let value = tensor(4, 0, &[4], &[1]);
    assert_eq!(refused(&pth(&dict(&name, &value))), "");
    let error = refused(&pth(&dict(&name, &tensor(4, 1, &[4], &[1]))));
    assert!(error.len() < 2000 && error.contains("beyond its storage"), "{}", error.len());
    let twice =
        [b"\x80\x02}".to_vec(), text("a"), value.clone(), b"s".to_vec(), text("a"), value, b"s.".to_vec()]
            .concat();
    assert!(refused(&pth(&twice)).contains("two tensors have the name \"a\""));
}

#[test]
fn files_that_are_cut_are_refused_at_every_byte() {
    for file in ["state.pth", "old.pth", "types.safetensors"] {
        let bytes = std::fs::read(golden(file)).unwrap();
        for end in (0..bytes.len()).step_by(7) {
            assert!(!refused(&bytes[..end]).is_empty(), "{file} cut at {end}");
        }
    }
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn headers_that_lie_are_refused() {
    let one = |dtype: &str, shape: &str, begin: u64, end: u64| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}}}"#)
    };
    let two = |second: u64| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}},"b":{{"dtype":"U8","shape":[2],"data_offsets":[{second},{}]}}}}"#,
            second + 2
        )
    };
    for (told, header) in [
        ("do not fit its shape", one("F32", "[2]", 0, 4)),
        ("do not fit its shape", one("F32", "[1]", 4, 0)),
        ("do not fit its shape", one("F32", "[9223372036854775807,2]", 0, 4)),
        ("overlap or leave a gap", one("U8", "[3]", 1, 4)),
        ("overlap or leave a gap", two(1)),
        ("overlap or leave a gap", two(3)),
        ("bytes follow", one("U8", "[3]", 0, 3)),
        ("cut short", one("U8", "[5]", 0, 5)),
        ("unknown type F4", one("F4", "[4]", 0, 4)),
        ("expected at most 8 sizes", one("U8", "[1,1,1,1,1,1,1,1,4]", 0, 4)),
        ("invalid value", one("U8", "[-4]", 0, 4)),
        ("invalid type", r#"{"a":3}"#.to_owned()),
        ("EOF while parsing a list", format!("{{\"__metadata__\":{}", "[".repeat(100_000))),
    ] {
        let error = refused(&safetensors(&header, &[0; 4]));
        assert!(error.contains(told), "{told}: {error}");
    }
    let same = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#;
    assert!(refused(&safetensors(same, &[0; 4])).contains("two tensors have the name"));
    let mut long = safetensors("{}", &[]);
    long[..8].copy_from_slice(&(90_000_000u64).to_le_bytes());
    assert!(refused(&long).contains("cut short"));
    // As many tensors as are allowed, and more.
    let empty: Vec<String> =
        (0..250_000).map(|i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)).collect();
    assert!(refused(&safetensors(&format!("{{{}}}", empty.join(",")), &[])).contains("more than 200000"));
    assert_eq!(refused(&safetensors(&format!("{{{}}}", empty[..199_999].join(",")), &[])), "");
}

#[test]
fn shards_lie_beside_their_index_and_hold_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("model");
    std::fs::create_dir(&root).unwrap();
    let shard = safetensors(r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, &[1, 2]);
    std::fs::write(root.join("one.safetensors"), &shard).unwrap();
    std::fs::write(dir.path().join("outside.safetensors"), &shard).unwrap();
    let path = root.join("model.safetensors.index.json");
    let open = |map: &str| {
        std::fs::write(&path, format!(r#"{{"metadata":{{}},"weight_map":{map}}}"#)).unwrap();
        Checkpoint::open(&path).map_err(|e| e.to_string())
    };
    assert_eq!(open(r#"{"a":"one.safetensors"}"#).unwrap().read_f32("a").unwrap(), [1.0, 2.0]);
    for (told, map) in [
        ("outside", r#"{"a":"../outside.safetensors"}"#),
        ("outside", r#"{"a":"/etc/passwd"}"#),
        ("that the index names is missing", r#"{"a":"two.safetensors"}"#),
        ("\"b\" is in no shard", r#"{"a":"one.safetensors","b":"one.safetensors"}"#),
        ("\"a\" is in a shard that it does not name", r#"{"b":"one.safetensors"}"#),
        ("damaged", r#"{"a":"model.safetensors.index.json"}"#),
        ("invalid type", r#"{"a":1}"#),
        ("\"a\" twice", r#"{"a":"one.safetensors","a":"one.safetensors"}"#),
        ("no valid index", "7"),
    ] {
        let error = open(map).unwrap_err();
        assert!(error.contains(told), "{told}: {error}");
    }
}

#[test]
fn other_files_are_told_apart() {
    for (told, bytes) in [
        ("the file is empty", &b""[..]),
        ("no checkpoint", b"\x89HDF\r\n\x1a\n"),
        ("git lfs pull", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ("no valid index", b"{\"a\": 1}"),
        ("damaged", b"PK\x03\x04"),
        ("no checkpoint", b"\x80\x02}."),
        ("no checkpoint", b"column,other\n1,2\n"),
    ] {
        assert!(refused(bytes).contains(told), "{told}: {}", refused(bytes));
    }
    let folder = Checkpoint::open(&golden("")).unwrap_err().to_string();
    assert!(folder.contains("this is no file"), "{folder}");
    assert!(Checkpoint::open(&golden("none.pth")).unwrap_err().to_string().contains("none.pth"));
}
