//! Paid research: where sources are found and bought, and who pays.

use super::form::{Maybe, Seconds, Secret, Text, WebUrl};
use super::setting::concern;
use reqwest::Url;
use secrecy::SecretString;
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
        PAYMENT_SIGNER_SECRET: signer: Option<SecretString> = Maybe(Secret), None,
            "Secret that signs x402 and MPP payments for test networks; only the token dialect is paid if absent.";
        WORKFLOW_TIMEOUT: timeout: Duration = Seconds { min_ms: 100, max_s: 86_400 }, Some("300"),
            "How long a research task may take.";
        BUDGET_UNIT: unit: String = Text, Some("USD-cent"),
            "Unit of budgets and prices.";
    }
}

impl Research {
    /// The marketplace and the payment manager, without those defaults that another service's address takes: the seeds'
    /// ports collide. And what to say about those.
    #[must_use]
    pub fn roles(&self, is_default: impl Fn(&str) -> bool, others: &[Url]) -> (Option<Url>, Option<Url>, Vec<String>) {
        let mut notes = Vec::new();
        let mut role = |name: &str, url: &Url, taken: &[&Url]| {
            let collides = is_default(name) && taken.iter().any(|other| other.origin() == url.origin());
            if collides {
                notes.push(format!(
                    "the default of {name} ({url}) is another service's address; research needs {name} set"
                ));
            }
            (!collides).then(|| url.clone())
        };
        let others: Vec<&Url> = others.iter().collect();
        let with = |one| others.iter().copied().chain([one]).collect::<Vec<_>>();
        let marketplace = role("MARKETPLACE_URL", &self.marketplace, &with(&self.payment_manager));
        let payments = role("PAYMENT_MANAGER_URL", &self.payment_manager, &with(&self.marketplace));
        (marketplace, payments, notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_gives_way_to_who_was_named() {
        let url = |text: &str| Url::parse(text).unwrap();
        let research = Research {
            marketplace: url("http://localhost:8002"),
            payment_manager: url("http://localhost:8001"),
            voice_verify: None,
            signer: None,
            timeout: Duration::from_secs(300),
            unit: "USD-cent".into(),
        };
        let (market, payments, notes) = research.roles(|_| true, &[]);
        assert!(market.is_some() && payments.is_some() && notes.is_empty());
        let router = url("http://localhost:8001/agents");
        let (market, payments, notes) = research.roles(|_| true, std::slice::from_ref(&router));
        assert!(market.is_some() && payments.is_none() && notes[0].contains("PAYMENT_MANAGER_URL"), "{notes:?}");
        let (_, payments, notes) = research.roles(|_| false, &[router]);
        assert!(payments.is_some() && notes.is_empty(), "who names it means it");
    }
}
