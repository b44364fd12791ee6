//! Documents, and passages by their words.

use super::{Empty, document, good, ids, put, search, tagged, texts};
use crate::conformance::{Case, promises};
use crate::ports::index::Filter;
use serde_json::{Value, json};

promises! { Empty, "words":
    what_was_written_is_read_as_it_was,
    writing_again_replaces_text_and_passages,
    what_is_deleted_is_found_no_more,
    revisions_are_never_given_twice,
    nothing_crosses_a_tenant,
    ids_are_listed_in_the_order_of_their_bytes,
    a_question_finds_passages_that_share_its_words,
    forms_and_cases_of_a_word_are_one,
    a_title_counts_for_every_passage,
    a_filter_leaves_out_what_does_not_fit,
    nothing_in_a_question_is_a_command,
    passages_are_found_by_where_they_stand,
    a_document_without_passages_is_kept,
}

pub(super) fn cases() -> &'static [Case<Empty>] {
    CASES
}

async fn what_was_written_is_read_as_it_was(index: Empty) {
    let metadata = json!({"lang": "de", "pages": 3, "tags": ["a", null], "of": {"x": true}});
    let written = tagged(document("a", "Grüße 🦀", "Eins.\nZwei \"und\" 'drei'. \\ $1 %s"), metadata);
    let stored = put(&index, "acme", written.clone()).await;
    assert_eq!(stored.replaced, None);
    assert_eq!(good(index.get("acme", "a")).await, Some(written));
    assert_eq!(good(index.get("acme", "A")).await, None);
}

async fn writing_again_replaces_text_and_passages(index: Empty) {
    let first = put(&index, "acme", document("a", "Cards", "A lost card.\nA stolen card.")).await;
    let second = put(&index, "acme", document("a", "Fees", "A transfer costs a fee.")).await;
    assert_eq!(second.replaced, Some(first.revision));
    assert!(search(&index, "acme", "stolen card").await.is_empty());
    assert_eq!(ids(&search(&index, "acme", "transfer fee").await), ["a"]);
    let listed = good(index.list("acme", None, 10)).await;
    let shown: Vec<_> = listed.iter().map(|l| (l.id.as_str(), l.title.as_str(), l.chars, l.passages)).collect();
    assert_eq!(shown, [("a", "Fees", 23, 1)]);
}

async fn what_is_deleted_is_found_no_more(index: Empty) {
    let stored = put(&index, "acme", document("a", "Cards", "A lost card.")).await;
    assert_eq!(good(index.delete("acme", "a")).await, Some(stored.revision));
    assert_eq!(good(index.delete("acme", "a")).await, None);
    assert_eq!(good(index.get("acme", "a")).await, None);
    assert!(search(&index, "acme", "lost card").await.is_empty());
    assert!(good(index.passages("acme", vec![(stored.revision, 0)], &Filter::default())).await.is_empty());
}

async fn revisions_are_never_given_twice(index: Empty) {
    let mut given = Vec::new();
    for n in 0..4 {
        given.push(put(&index, "acme", document("a", "A", "alpha")).await.revision);
        given.push(put(&index, "other", document("a", "A", "alpha")).await.revision);
        if n % 2 == 0 {
            good(index.delete("acme", "a")).await;
            good(index.delete("other", "a")).await;
        }
    }
    let count = given.len();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), count);
}

async fn nothing_crosses_a_tenant(index: Empty) {
    let stored = put(&index, "acme", document("a", "Cards", "A lost card.")).await;
    put(&index, "umbrella", document("b", "Cards", "A lost card, too.")).await;
    assert_eq!(ids(&search(&index, "acme", "lost card").await), ["a"]);
    assert!(search(&index, "acm", "lost card").await.is_empty());
    assert_eq!(good(index.get("umbrella", "a")).await, None);
    assert_eq!(good(index.delete("umbrella", "a")).await, None);
    assert!(good(index.passages("umbrella", vec![(stored.revision, 0)], &Filter::default())).await.is_empty());
    assert_eq!(good(index.list("umbrella", None, 10)).await.len(), 1);
}

async fn ids_are_listed_in_the_order_of_their_bytes(index: Empty) {
    let names = [" ", "-", "A", "B", "Z", "_", "a", "a b", "a-b", "aB", "ab", "b", "é", "🦀"];
    for name in names.iter().rev() {
        put(&index, "acme", document(name, "T", "text")).await;
    }
    let page = |after: Option<&str>, limit| index.list("acme", after.map(String::from), limit);
    let names_of = |page: Vec<crate::ports::index::Listed>| page.into_iter().map(|l| l.id).collect::<Vec<_>>();
    assert_eq!(names_of(good(page(None, 100)).await), names);
    assert_eq!(names_of(good(page(Some("Zz"), 2)).await), ["_", "a"], "after a name that is not there");
    assert!(good(page(None, 0)).await.is_empty());
}

async fn a_question_finds_passages_that_share_its_words(index: Empty) {
    put(&index, "acme", document("cards", "Help", "Block a lost card in the app.\nOrder a new one there.")).await;
    put(&index, "acme", document("fees", "Help", "Transfers abroad cost a fee.")).await;
    let hits = search(&index, "acme", "I lost my card, what now?").await;
    let Some(hit) = hits.first() else { panic!("nothing is found") };
    assert_eq!((hit.document.as_str(), hit.text.as_str()), ("cards", "Block a lost card in the app."));
    assert_eq!((hit.start, hit.end, hit.at.1), (0, 29, 0));
    assert!(hits.iter().all(|hit| hit.document != "fees"));
    assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
    assert!(search(&index, "acme", "zebra").await.is_empty());
}

async fn forms_and_cases_of_a_word_are_one(index: Empty) {
    put(&index, "acme", document("a", "Help", "TRANSFER abroad")).await;
    assert_eq!(ids(&search(&index, "acme", "transfer ABROAD").await), ["a"]);
}

async fn a_title_counts_for_every_passage(index: Empty) {
    put(&index, "acme", document("a", "Refunds", "Ten days.\nAsk us then.")).await;
    assert_eq!(search(&index, "acme", "refunds").await.len(), 2);
}

async fn a_filter_leaves_out_what_does_not_fit(index: Empty) {
    let of = |id: &str, lang: Value| tagged(document(id, "Cards", "A lost card."), json!({"lang": lang, "n": 1}));
    for (id, lang) in [("a", json!("de")), ("b", json!("en")), ("c", json!(1)), ("d", Value::Null)] {
        put(&index, "acme", of(id, lang)).await;
    }
    let found = async |filter: Filter| {
        let hits = good(index.by_words("acme", "lost card", &filter, 10)).await;
        let mut ids: Vec<_> = hits.into_iter().map(|hit| hit.document).collect();
        ids.sort();
        ids
    };
    let lang = |word: &str| Filter { metadata: [("lang".into(), word.into())].into(), ..Filter::default() };
    assert_eq!(found(lang("de")).await, ["a"]);
    assert!(found(lang("1")).await.is_empty(), "a number is no text");
    assert!(found(Filter { metadata: [("no\"' such".into(), "de".into())].into(), ..lang("de") }).await.is_empty());
    let only = |ids: &[&str]| Filter { documents: ids.iter().map(ToString::to_string).collect(), ..lang("en") };
    assert_eq!(found(only(&["a", "b"])).await, ["b"]);
    let only = Filter { metadata: [].into(), ..only(&["c", "a", "nobody"]) };
    assert_eq!(found(only).await, ["a", "c"]);
}

async fn nothing_in_a_question_is_a_command(index: Empty) {
    put(&index, "acme", document("a", "Cards", "A lost card.")).await;
    let odd = [
        "",
        "\"",
        "a OR b NEAR(c)",
        "card* AND",
        "💳 card",
        "'; DROP TABLE documents; --",
        "card & ! | ()",
        ":*",
        "title:card",
        "- ^ {card}",
    ];
    for odd in odd {
        let _ = search(&index, "acme", odd).await;
    }
    let _ = search(&index, "acme", &"card ".repeat(20_000)).await;
    assert_eq!(search(&index, "acme", "lost & card | !\"' OR").await.len(), 1);
}

async fn passages_are_found_by_where_they_stand(index: Empty) {
    let a = put(&index, "acme", document("a", "A", "one\ntwo\nthree")).await.revision;
    let b = put(&index, "acme", document("b", "B", "four")).await.revision;
    let all = vec![(b, 0), (a, 2), (a, 7), (u64::from(u32::MAX), 0), (a, 0)];
    let hits = good(index.passages("acme", all.clone(), &Filter::default())).await;
    assert_eq!(texts(&hits), ["four", "three", "one"]);
    assert_eq!((hits[1].at, hits[1].start, hits[1].end), ((a, 2), 8, 13));
    let only = Filter { documents: vec!["b".into()], ..Filter::default() };
    assert_eq!(texts(&good(index.passages("acme", all, &only)).await), ["four"]);
    assert!(good(index.passages("acme", Vec::new(), &only)).await.is_empty());
}

async fn a_document_without_passages_is_kept(index: Empty) {
    good(index.put("acme", document("a", "Empty", ""), Vec::new())).await;
    let listed = good(index.list("acme", None, 10)).await;
    assert_eq!((listed.len(), listed[0].passages, listed[0].chars), (1, 0, 0));
}
