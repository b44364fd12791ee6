//! What the model providers offer, and whether they answer.

use crate::Shared;
use crate::asked::Asked;
use crate::failure::Answer;
use crate::openapi::Doc;
use crate::routes::json;
use axum::extract::{Request, State};
use http::StatusCode;

pub const LIST: Doc = Doc::new("models", "Every provider and route with the models that it offers")
    .detail("Providers are asked now, all at once, for 5 s at most; one that fails is listed with its `error`.")
    .answers(200, "All of them, by name", "ModelPage");

/// `GET /v1/llm/models`
pub async fn list(State(shared): State<Shared>) -> Answer {
    json(StatusCode::OK, &shared.app.models().await)
}

pub const TEST: Doc = Doc::new("models", "Ask a model one short question")
    .detail(
        "Says how long the answer took and which model gave it, or why none came. It costs what a short answer costs.",
    )
    .may_take("ModelTestRequest")
    .answers(200, "How it went", "ModelTest");

/// `POST /v1/llm/test-connection`
pub async fn test(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.body(&shared).await?;
    let tried = shared.app.try_model(&asked.caller, &body).await;
    json(StatusCode::OK, &asked.settle(tried)?)
}

pub const COUNT: Doc = Doc::new("models", "How many tokens a prompt has")
    .detail("Counted with OpenAI's vocabulary where a model of theirs would answer, else estimated: see `exact`.")
    .takes("TokenCountRequest")
    .answers(200, "So many", "TokenCount");

/// `POST /v1/llm/count-tokens`
pub async fn count(State(shared): State<Shared>, request: Request) -> Answer {
    let mut asked = Asked::new(request);
    let body = asked.required_body(&shared).await?;
    let counted = shared.app.count_tokens(&body).await;
    json(StatusCode::OK, &asked.settle(counted)?)
}
