use super::*;
use crate::model::ToolSpec;
use proptest::prelude::*;
use serde_json::json;

const SYSTEM: &str = "You are a bank support agent who helps with cards. Explain how card delivery works. \
    Cards arrive within 5 working days. Transfers take one hour. Be brief.";

fn request(system: &str, user: &str) -> ChatRequest {
    ChatRequest { messages: vec![ChatMessage::system(system), ChatMessage::user(user)], ..ChatRequest::default() }
}

#[test]
fn it_answers_from_its_instructions_and_says_its_focus() {
    let reply = answer(&request(SYSTEM, "When will my new card arrive?"));
    assert_eq!(
        reply.text,
        "Bank support agent on “When will my new card arrive?”: Cards arrive within 5 working days. \
         Focus: explain how card delivery works. Key points: new, card, arrive."
    );
    assert_eq!((reply.model.as_str(), reply.finish), (MODEL, Finish::Stop));
    assert!(reply.usage.estimated && reply.usage.input_tokens > 0 && reply.usage.output_tokens > 0);
}

#[test]
fn a_chain_keeps_the_question_and_what_was_found() {
    let first = answer(&request(SYSTEM, "When will my new card arrive?")).text;
    let second = answer(&request("You are the editor. Make it friendly.", &first)).text;
    assert_eq!(
        second,
        "Editor on “When will my new card arrive?”, after Bank support agent: Cards arrive within 5 working days. \
         Focus: make it friendly. Key points: new, card, arrive."
    );
    let both = answer(&request("You are the judge. Pick the best.", &format!("a: {first}\n\nb: {second}"))).text;
    assert!(both.contains("after Bank support agent and Editor:") && both.matches('“').count() == 1, "{both}");
}

#[test]
fn a_tool_that_fits_is_asked_once_and_its_result_is_the_answer() {
    let mut request = request("You are a helper.", "Search the knowledge base for card delivery times");
    let tool = |name: &str, about: &str| ToolSpec {
        name: name.into(),
        description: about.into(),
        parameters: json!({"type": "object", "required": ["query"], "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}}}),
    };
    request.tools = vec![tool("weather", "Forecast for a city"), tool("search_kb", "Search the knowledge base")];
    let reply = answer(&request);
    assert_eq!(reply.finish, Finish::ToolCalls);
    let call = reply.tool_calls[0].clone();
    assert_eq!(call.name, "search_kb");
    assert_eq!(call.arguments, json!({"query": "Search the knowledge base for card delivery times", "limit": 1}));
    request.messages.push(ChatMessage { tool_calls: vec![call], ..ChatMessage::assistant("") });
    let result = json!({"articles": [{"id": 7, "content": "Delivery of a card takes 5 days."}]});
    request.messages.push(ChatMessage::tool("call_1", result.to_string()));
    let reply = answer(&request);
    assert!(reply.tool_calls.is_empty() && reply.text.contains("Delivery of a card takes 5 days."), "{}", reply.text);
    request.messages.truncate(1);
    request.messages.push(ChatMessage::user("Hello there"));
    assert!(answer(&request).tool_calls.is_empty(), "nothing fits");
}

#[test]
fn a_schema_is_filled_and_a_bound_is_kept() {
    let mut form = request("Classify.", "I lost my card");
    form.output_schema = Some(json!({"type": "object", "properties": {"intent": {"enum": ["top_up", "lost_card"]}}}));
    let reply = answer(&form);
    assert_eq!(reply.output, Some(json!({"intent": "lost_card"})));
    assert_eq!(reply.text, r#"{"intent":"lost_card"}"#);
    let short = ChatRequest { max_tokens: Some(5), ..request(SYSTEM, "When?") };
    assert_eq!(answer(&short).text.chars().count(), 20);
    assert_eq!(answer(&short).finish, Finish::Length);
}

#[test]
fn empty_and_long_inputs_are_answered() {
    assert_eq!(answer(&ChatRequest::default()).text, "On an empty message:");
    let long = "The card did not arrive. ".repeat(20_000);
    let text = answer(&request(SYSTEM, &long)).text;
    assert!(text.chars().count() < 2_000, "{text}");
}

fn message() -> impl Strategy<Value = ChatMessage> {
    let role = prop::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Tool]);
    let text = "[ -~]{0,60}|.{0,40}|(You are )?[a-z ,.]{0,30}|[A-Za-z]{0,9} on “[a-z”]{0,9}: ?[a-z. \n“”]{0,20}";
    (role, text).prop_map(|(role, text)| ChatMessage::new(role, text))
}

proptest! {
    #[test]
    fn it_never_panics_and_says_the_same_again(messages in prop::collection::vec(message(), 0..6), max_tokens in prop::option::of(0_u32..40)) {
        let spec = ToolSpec { name: "find".into(), description: "find things".into(), parameters: json!(true) };
        let request = ChatRequest { messages, max_tokens, tools: vec![spec], ..ChatRequest::default() };
        prop_assert_eq!(answer(&request), answer(&request));
    }
}
