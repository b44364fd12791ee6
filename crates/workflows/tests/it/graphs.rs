//! Graphs: what each kind of node does, what holds around it, and every fault that can be told before a run.

use crate::options::{echo, gone, play, play_with, whos};
use crate::simulation::{STORM, run, seeds};
use crate::teams::{graph_of, request};
use crate::told::Told;
use serde_json::{Value, json};
use tutti_agents::agent::AgentBook;
use tutti_agents::yaml::yaml_to_json;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::Verdict;
use tutti_engine::run::{Status, Submit};
use tutti_workflows::graph::draw;
use tutti_workflows::patterns::Setting;

fn yaml(text: &str) -> Value {
    yaml_to_json(text).unwrap()
}

/// A graph with every kind of node, to be told through storms.
pub fn everything() -> Submit {
    let graph = yaml(include_str!("graphs/everything.yaml"));
    request(&json!({"graph": graph, "input": {"topic": "cards", "items": [1, 2, 3]}}))
}

#[test]
fn sim_storms_break_no_promise_of_a_graph() {
    let mut faults = 0;
    // A graph is long: a quarter of the seeds takes as long as all of them of the patterns.
    for seed in 0..seeds() / 4 {
        let report = run(seed, vec![everything(), everything()], STORM, None, None)
            .unwrap_or_else(|v| panic!("seed {seed}: {v}"));
        let told: Vec<_> = report.journals.iter().map(Told::of).collect();
        let wrong = told.iter().find(|t| !matches!(t.status, Status::Completed | Status::Cancelled));
        assert!(wrong.is_none(), "seed {seed}: {:?}", wrong.map(|t| (t.status, t.error())));
        faults += report.faults;
    }
    println!("{} seeds, {faults} faults", seeds() / 4);
}

fn body(nodes: &str, more: Value) -> Value {
    let mut graph = json!({"name": "g", "start": "a", "nodes": yaml(nodes)});
    for (name, value) in more.as_object().unwrap() {
        graph[name] = value.clone();
    }
    json!({"graph": graph, "input": {"text": "hello", "n": 2}})
}

fn output(nodes: &str, more: Value) -> Value {
    play(body(nodes, more), echo).0.output()
}

#[test]
fn paths_follow_cases_and_what_was_said_goes_on() {
    let nodes = "
a: {type: llm, instructions: You are a., prompt: '{{ input.text }}', next: way}
way: {type: switch, cases: [{when: 'input.n > 2', next: b}, {when: \"'hello' in last\", next: c}], default: b}
b: {type: llm, instructions: You are b.}
c: {type: llm, instructions: You are c.}";
    let (told, asked) = play(body(nodes, json!({})), echo);
    assert_eq!((told.output(), whos(&asked)), (json!("c: a: hello"), vec!["a", "c"]));
    assert_eq!(told.outcome().path, ["a", "way", "c"]);
    // The answer stands once; the outcome points at it.
    assert_eq!(json!(told.outcome().output), json!({"from": "node[c]/ask"}));
    let ways = told.keys(Kind::StepValue);
    assert_eq!(ways, ["node[a]/next", "node[way]/next", "node[c]/next"], "each choice of a way is told");
}

#[test]
fn state_is_typed_and_joined_by_reducers() {
    let nodes = "
a: {type: set, values: {n: '{{ input.n + 1 }}', list: one, text: x}, next: b}
b: {type: set, values: {n: 4, list: [two, three], text: '{{ state.text }}y'}}";
    let state = json!({"n": {"type": "integer", "reducer": "sum"}, "list": {"type": "array", "reducer": "append"},
        "text": {"type": "string"}, "first": {"type": "string", "default": "d"}});
    let whole = json!({"state": state, "output": "{{ state }}"});
    assert_eq!(output(nodes, whole), json!({"n": 7, "list": ["one", "two", "three"], "text": "xy", "first": "d"}));
    let wrong = "a: {type: set, values: {n: '{{ input.text }}'}}";
    let (told, _) = play(body(wrong, json!({"state": {"n": {"type": "integer"}}})), echo);
    assert!(told.error()["message"].as_str().unwrap().contains("\"n\" holds integer, not string"), "{}", told.error());
}

#[test]
fn branches_work_at_the_same_time_and_meet() {
    let nodes = "
a: {type: set, values: {}, next: [b, c]}
b: {type: llm, instructions: You are b., prompt: go, save: said, next: meet}
c: {type: llm, instructions: You are c., prompt: go, save: said, next: [d, e]}
d: {type: set, values: {said: d}, next: inner}
e: {type: set, values: {said: e}, next: inner}
inner: {type: join, next: meet}
meet: {type: join}"
        .replace("values: {}", "values: {said: a}");
    let whole = json!({"state": {"said": {"type": "array", "reducer": "append"}}, "output": "{{ state.said }}"});
    let (told, asked) = play(body(&nodes, whole), echo);
    assert_eq!((told.output(), whos(&asked)), (json!(["a", "b: go", "c: go", "d", "e"]), vec!["b", "c"]));
}

#[test]
fn maps_and_loops_repeat_within_their_bounds() {
    let nodes = "
a: {type: map, over: 'range(4)', go: one, max_parallel: 2, next: b}
one: {type: llm, instructions: You are one., prompt: '{{ index }} {{ item * 10 }}'}
b: {type: loop, go: two, until: 'state.n >= 3', max: 10}
two: {type: set, values: {n: '{{ state.n + 1 }}'}}";
    let whole = json!({"state": {"n": {"type": "integer", "default": 0}}, "output": {"all": "{{ nodes.a }}", "n": "{{ state.n }}"}});
    let all = json!(["one: 0 0", "one: 1 10", "one: 2 20", "one: 3 30"]);
    assert_eq!(output(nodes, whole.clone()), json!({"all": all, "n": 3}));
    let many = nodes.replace("range(4)", "range(101)");
    let (told, _) = play(body(&many, whole.clone()), echo);
    assert!(told.error()["message"].as_str().unwrap().contains("max_items"), "{}", told.error());
    let (told, _) = play(body(nodes, json!({"state": whole["state"], "max_steps": 4})), echo);
    assert!(told.error()["message"].as_str().unwrap().contains("max_steps"), "{}", told.error());
}

#[test]
fn failures_are_retried_replaced_caught_or_fatal() {
    let node = |more: &str| {
        format!(
            "
a: {{type: llm, instructions: You are a., prompt: go, next: end{more}}}
b: {{type: llm, instructions: You are b., prompt: '{{{{ error.class if error else 1 }}}}'}}"
        )
    };
    let broken = |a: &crate::teams::Asked| if a.who == "a" { gone() } else { echo(a) };
    let told = |more: &str| play(body(&node(more), json!({})), broken);
    let (fatal, asked) = play(body(&node("").replace("\nb:", "\n#"), json!({})), broken);
    assert_eq!((fatal.status, asked.len()), (Status::Failed, 1));
    let (caught, asked) = told(", on_error: b, retry: {times: 2, delay_seconds: 1}");
    assert_eq!((caught.output(), whos(&asked)), (json!("b: LlmError"), vec!["a", "a", "a", "b"]));
    let (replaced, asked) = told(", fallback: b");
    assert_eq!((replaced.output(), whos(&asked)), (json!("b: 1"), vec!["a", "b"]));
    let (passed, _) = play(body(&node(", on_error: continue").replace("\nb:", "\n#"), json!({})), broken);
    assert_eq!((passed.status, passed.output()), (Status::Completed, Value::Null));
}

#[test]
fn people_are_asked_and_answer_with_data() {
    let nodes = "
a: {type: human, ask: 'Pay {{ input.n }}?', cases: [{when: \"output.decision == 'approve'\", next: b}], default: c}
b: {type: set, values: {got: '{{ nodes.a.input.amount }}'}}
c: {type: set, values: {got: -1}}";
    let whole = json!({"state": {"got": {"type": "integer"}}, "output": "{{ state.got }}"});
    let yes = |request: &Value| {
        assert_eq!(request["ask"], "Pay 2?");
        Some((Verdict::Approve, None, Some(json!({"amount": 7}))))
    };
    assert_eq!(play_with(body(nodes, whole.clone()), echo, yes).0.output(), json!(7));
    let no = |_: &Value| Some((Verdict::Reject, None, None));
    assert_eq!(play_with(body(nodes, whole.clone()), echo, no).0.output(), json!(-1));
    let silent =
        nodes.replace("Pay {{ input.n }}?'", "Pay {{ input.n }}?', patience: {timeout_seconds: 5, default: approve}");
    let (told, _) = play(body(&silent.replace("nodes.a.input.amount", "nodes.a.answered | int"), whole), echo);
    assert_eq!(told.output(), json!(0), "nobody answered, and that counts as a yes");
}

#[test]
fn tools_patterns_and_graphs_are_nodes() {
    let nodes = "
a: {type: tool, tool: calculate, arguments: {expression: '1 + {{ input.n }}'}, next: b}
b:
  type: pattern
  pattern: concurrent
  agents: [{name: x, instructions: You are x.}, {name: y, instructions: You are y.}]
  options: {aggregate: concat}
  input: '{{ nodes.a.result }}'
  next: c
c: {type: workflow, workflow: noop, input: {steps: 2}}";
    let (told, mut asked) = play(body(nodes, json!({"output": ["{{ nodes.b }}", "{{ last }}"]})), echo);
    asked.sort_by(|a, b| a.who.cmp(&b.who));
    let output = told.output();
    assert_eq!(output[0], "x:\nx: 42\n\ny:\ny: 42");
    assert_eq!(whos(&asked), ["x", "y"]);
    assert_eq!(told.keys(Kind::ToolCalled), ["node[a]/call"]);
}

#[test]
fn intents_and_plans_are_forms_that_a_model_fills() {
    let nodes = "
a:
  type: intent
  intents: {refund: Money back., lost: A lost card.}
  input: '{{ input.text }}'
  examples: ['I lost it: lost']
  cases: [{when: \"output.intent == 'lost'\", next: b}]
b: {type: plan, input: '{{ input.text }}', save: plan, next: c}
c: {type: llm, instructions: You are c.}";
    let answers = |a: &crate::teams::Asked| match (a.wants("intent"), a.wants("steps")) {
        (true, _) => {
            assert!(
                a.last().contains("- lost: A lost card.") && a.last().contains("- I lost it: lost"),
                "{}",
                a.last()
            );
            crate::teams::data(json!({"intent": "lost"}))
        }
        (_, true) => crate::teams::data(json!({"steps": ["block", "send"]})),
        _ => echo(a),
    };
    let whole =
        json!({"state": {"plan": {"type": "array"}}, "output": {"plan": "{{ state.plan }}", "said": "{{ last }}"}});
    let (told, _) = play(body(nodes, whole), answers);
    assert_eq!(
        told.output(),
        json!({"plan": ["block", "send"], "said": "c: {\"text\":\"hello\",\"n\":2}"}),
        "an intent and a plan are nothing that the next one is asked"
    );
    assert_eq!(told.bodies(Kind::PlanCreated).len(), 1);
}

#[test]
fn answers_are_grounded_and_cite_what_they_name() {
    let nodes = "
a: {type: ground, query: '{{ input.text }}', agent: {name: a, instructions: You are a.}, next: b}
b: {type: remember, mode: recall, user: ann}";
    let cites = |a: &crate::teams::Asked| {
        assert!(a.last().contains("[1] D\nIt is so."), "{}", a.last());
        crate::teams::text("So it is [1].")
    };
    let (told, _) = play(body(nodes, json!({"output": ["{{ nodes.a }}", "{{ nodes.b }}"]})), cites);
    let output = told.output();
    assert_eq!((&output[0]["answer"], &output[1]), (&json!("So it is [1]."), &json!([])));
    let source = &output[0]["sources"][0];
    assert_eq!(
        (&source["number"], &source["is_cited"], &source["document_id"]),
        (&json!(1), &json!(true), &json!("d"))
    );
}

#[test]
fn a_nodes_budget_holds_in_a_run_of_its_own() {
    let nodes = "
a: {type: llm, instructions: You are a., prompt: '{{ state.word }}', budget: {tokens: 5000}, next: b}
b: {type: llm, instructions: You are b., budget: {tokens: 1}, on_error: c}
c: {type: set, values: {word: '{{ error.class }}'}}";
    let whole = json!({"state": {"word": {"type": "string", "default": "{{ no template }}"}}, "output": ["{{ nodes.a }}", "{{ state.word }}"]});
    let (told, asked) = play(body(nodes, whole), echo);
    assert_eq!(told.output(), json!(["a: {{ no template }}", "BudgetExceeded"]), "what was said is no template");
    assert_eq!(whos(&asked), ["a"]);
}

/// What is wrong with a graph, as `path: sentence`.
fn wrongs(graph: &Value) -> Vec<String> {
    let book = AgentBook::default();
    let setting = Setting { agents: &book, iterations_max: 10, depth: 0, named: None, tools: None };
    match graph_of(graph, &setting) {
        Ok(_) => Vec::new(),
        Err(wrong) => wrong.iter().map(|e| format!("{}: {}", e.path(), e.msg)).collect(),
    }
}

#[test]
fn every_fault_is_told_at_once() {
    let found = wrongs(&yaml(include_str!("graphs/faulty.yaml")));
    let expected = include_str!("graphs/faulty.txt");
    if std::env::var_os("UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/graphs/faulty.txt");
        std::fs::write(file, found.join("\n") + "\n").unwrap();
        return;
    }
    assert_eq!(found.join("\n") + "\n", expected);
}

#[test]
fn what_does_not_hang_together_is_told() {
    let of = |nodes: &str| wrongs(&body(nodes, json!({}))["graph"]).join("\n");
    assert!(of("a: {type: switch, default: a}").contains("the circle a has no way out"));
    assert!(
        of("a: {type: wait, seconds: 1, next: b}\nb: {type: wait, seconds: 1, next: a}")
            .contains("a → b has no way out")
    );
    assert_eq!(of("a: {type: wait, seconds: 1, cases: [{when: 'true', next: end}], default: a}"), "");
    assert!(of("a: {type: wait, seconds: 1}\nb: {type: wait, seconds: 1}").contains("nothing leads to \"b\""));
    let split = "a: {type: wait, seconds: 1, next: [b, c]}\nb: {type: wait, seconds: 1, next: m}\nc: {type: wait, seconds: 1}\nm: {type: join}";
    assert!(of(split).contains("end at different places"), "{}", of(split));
    let shared = "a: {type: loop, go: b, max: 2, next: b}\nb: {type: wait, seconds: 1}";
    assert!(of(shared).contains("stands on the main path, too"), "{}", of(shared));
    assert!(of("a: {type: switch}").contains("when no case holds"));
    let idle = "a: {type: loop, go: b, max: 2, budget: {tokens: 5}}\nb: {type: wait, seconds: 1}";
    assert!(of(idle).contains("spends nothing itself"), "{}", of(idle));
    let dear = body("a: {type: llm, instructions: x, budget: {tokens: 10}}", json!({"budget": {"tokens": 5}}));
    assert!(wrongs(&dear["graph"])[0].contains("more than the whole graph"));
}

#[test]
fn graphs_are_drawn() {
    let book = AgentBook::default();
    let setting = Setting { agents: &book, iterations_max: 10, depth: 0, named: None, tools: None };
    let graph = graph_of(&yaml(include_str!("graphs/everything.yaml")), &setting).unwrap().graph;
    let (mermaid, svg) = (draw::mermaid(&graph), draw::svg(&graph));
    for id in graph.nodes.keys() {
        assert!(mermaid.contains(&format!("n_{id}")) && svg.contains(&format!(">{id}<")), "{id}");
    }
    assert!(mermaid.starts_with("flowchart TD") && svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert!(!svg.contains("state.n <"), "what people wrote is escaped");
}

#[test]
fn the_published_schema_takes_what_is_read() {
    let schema = tutti_workflows::graph::schema();
    assert_eq!(schema["properties"]["nodes"]["additionalProperties"]["oneOf"].as_array().unwrap().len(), 17);
    let told: Told = play(
        json!({"graph": yaml(include_str!("graphs/everything.yaml")), "input": {"topic": "x", "items": []}}),
        echo,
    )
    .0;
    assert!(matches!(told.status, Status::Failed | Status::Completed));
}
