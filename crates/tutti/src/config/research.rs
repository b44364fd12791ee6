//! Paid research: where sources are found and bought, and who pays.

use super::form::{Maybe, Seconds, Text, WebUrl};
use super::setting::concern;
use reqwest::Url;
use std::time::Duration;

concern! {
    /// Paid research.
    Research, "Research" {
        MARKETPLACE_URL: marketplace: Url = WebUrl, Some("http://localhost:8002"),
            "Where research tasks find and buy sources.";
        PAYMENT_MANAGER_URL: payment_manager: Url = WebUrl, Some("http://localhost:8001"),
            "Where research tasks get payment tokens.";
        VOICE_VERIFY_URL: voice_verify: Option<Url> = Maybe(WebUrl), None,
            "Who checks a voice before a payment token is asked for; nobody if absent.";
        WORKFLOW_TIMEOUT: timeout: Duration = Seconds { min_ms: 100, max_s: 86_400 }, Some("300"),
            "How long a research task may take.";
        BUDGET_UNIT: unit: String = Text, Some("USD-cent"),
            "Unit of budgets and prices.";
    }
}
