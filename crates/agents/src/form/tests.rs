use super::*;
use serde_json::json;

fn errors(read: impl FnOnce(&Form<'_>), body: &Value) -> Vec<Value> {
    let errors = Errors::default();
    if let Some(form) = Form::body(body, &errors) {
        read(&form);
    }
    errors.into_vec().iter().map(|e| json!(e)).collect()
}

#[test]
fn all_errors_of_a_request_come_at_once() {
    let found = errors(
        |f| {
            let _ = f.field("theme").required().text(10);
            let _ = f.field("budget").required().integer(1, 1_000);
            let _ = f.field("voice").required().string();
            let _ = f.field("mode").choice(&[("all", 1), ("last", 2)]);
            for item in f.field("names").list(3).iter().flat_map(List::items) {
                let _ = item.text(5);
            }
        },
        &json!({"theme": "  ", "budget": "100", "mode": "frist", "names": ["ok", 7, null]}),
    );
    assert_eq!(
        found,
        [
            json!({"loc": ["body", "theme"], "msg": "theme must not be empty", "type": "value_error"}),
            json!({"loc": ["body", "budget"], "msg": "value is not a valid integer", "type": "type_error.integer"}),
            json!({"loc": ["body", "voice"], "msg": "field required", "type": "value_error.missing"}),
            json!({"loc": ["body", "mode"], "msg": "\"frist\" is not one of: all, last", "type": "value_error"}),
            json!({"loc": ["body", "names", 1], "msg": "str type expected", "type": "type_error.str"}),
            json!({"loc": ["body", "names", 2], "msg": "none is not an allowed value", "type": "type_error.none.not_allowed"}),
        ]
    );
}

#[test]
fn nothing_is_coerced() {
    for wrong in [json!("100"), json!(100.0), json!(true), json!([100])] {
        let found = errors(|f| assert_eq!(f.field("n").integer(0, 1_000), None), &json!({ "n": wrong }));
        assert_eq!(found[0]["type"], "type_error.integer", "{wrong}");
    }
    for wrong in [json!(1), json!("true")] {
        assert_eq!(errors(|f| assert_eq!(f.field("b").boolean(), None), &json!({ "b": wrong })).len(), 1);
    }
    for wrong in [json!(0), json!(-1), json!(301), json!(1e300)] {
        let found = errors(|f| assert_eq!(f.field("t").seconds(300), None), &json!({ "t": wrong }));
        assert_eq!(found[0]["msg"], "t must be above 0 and at most 300 seconds", "{wrong}");
    }
    assert!(errors(|f| assert_eq!(f.field("t").seconds(300), Some(1_500)), &json!({"t": 1.5})).is_empty());
    let huge = errors(|f| assert_eq!(f.field("n").integer(0, 9), None), &json!({"n": u64::MAX}));
    assert_eq!(huge[0]["msg"], "n must be an integer from 0 to 9");
}

#[test]
fn a_mistyped_key_names_the_nearest_known_one() {
    let found = errors(
        |f| {
            let _ = (f.field("max_parallel").integer(1, 9), f.field("quorum").integer(1, 9));
            f.not_supported("budget", "budgets are");
            f.no_others();
        },
        &json!({"maxparalel": 2, "budget": {"tokens": 1}}),
    );
    assert_eq!(found[0]["msg"], "budgets are not supported in this version");
    assert_eq!(found[1]["msg"], "unknown key \"maxparalel\"; did you mean \"max_parallel\"?");
    assert_eq!(found[1]["loc"], json!(["body", "maxparalel"]));
}

#[test]
fn a_body_that_is_no_object_is_one_error() {
    assert_eq!(
        errors(|_| {}, &json!([1])),
        [json!({"loc": ["body"], "msg": "value is not a valid dict", "type": "type_error.dict"})]
    );
}

#[test]
fn paths_read_well() {
    let error = FieldError::value(vec!["body".into(), "agents".into(), 2.into(), "name".into()], "x");
    assert_eq!(error.path(), "agents[2].name");
}
