//! Evaluating models whose provenance does not tell all.

use consilience_core::model::{Record, Stop, load_parts, save_parts};
use consilience_engine::evaluate::{Evaluation, evaluate};
use consilience_engine::predict::open;
use serde_json::{Value, json};

use crate::place::{HALVES, Place, csv, recipe};

/// A run on 400 rows; the model is saved again as `name` with a changed provenance.
fn changed(place: &Place, name: &str, change: &dyn Fn(&mut Value)) {
    let done = place.run(&recipe("validation", HALVES, ""));
    let (parts, record) = load_parts(&done.dir.join("model")).unwrap();
    let mut provenance = record.provenance.clone();
    change(&mut provenance);
    save_parts(&place.path().join(name), &parts, &Record { provenance, ..record }).unwrap();
}

fn scored(place: &Place, name: &str, unseen: bool) -> consilience_core::Result<Evaluation> {
    let opened = open(&place.path().join(name), &place.path().join("rows.csv"), None)?;
    evaluate(&opened, &["accuracy".to_owned()], unseen, &Stop::default())
}

#[test]
fn a_provenance_that_does_not_tell_all_is_said() {
    let place = Place::new();
    place.write("rows.csv", csv(1, 0, 400));
    changed(&place, "whole", &|_| {});
    let whole = scored(&place, "whole", false).unwrap();
    // The rows for fitting: half of all.
    assert_eq!((whole.rows, whole.known.learned, &whole.known.unknown), (400, 200, &None));
    assert_eq!(scored(&place, "whole", true).unwrap().rows, 200);
    for (name, says, learned, change) in [
        (
            "part",
            "does not name all rows",
            200,
            &(|p: &mut Value| p["fitting_rows_known"] = json!(false)) as &dyn Fn(&mut Value),
        ),
        ("none", "holds no digests", 0, &|p| drop(p.as_object_mut().unwrap().remove("fitting_row_digests"))),
        ("old", "holds no digests", 0, &|p| drop(p.as_object_mut().unwrap().remove("digested"))),
        ("damaged", "cannot be read", 0, &|p| p["fitting_row_digests"] = json!("zz")),
    ] {
        changed(&place, name, change);
        let said = scored(&place, name, false).unwrap();
        assert_eq!((said.rows, said.known.learned), (400, learned), "{name}");
        assert!(said.known.unknown.as_ref().unwrap().contains(says), "{name}: {:?}", said.known);
        assert_eq!(said.scores, whole.scores);
        let error = scored(&place, name, true).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("cannot be told") && error.to_string().contains(says), "{error}");
    }
}
