//! The research workflow: find sources, ask them, pay those that want to be paid as long as the budget lasts, tell what is known.
//!
//! What was obtained and what it cost stands in the journal's steps and payment events; [`facts`] reads it from there, so that
//! also a task that was cut short has its report. A payment that may have been made is never sent again.

pub mod facts;
pub mod report;

use facts::{Facts, Payment};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tutti_agents::agent::AgentDefinition;
use tutti_agents::market::{AUTHENTICATION, Answer, AskSource, Discover, GetToken, Pay, Proof, Source, VerifyVoice};
use tutti_agents::payment::{self, Dialect, Offer};
use tutti_agents::team::{Asking, Message, Rules, Team};
use tutti_agents::turn::Turn;
use tutti_engine::event::Kind;
use tutti_engine::{Amounts, Ctx, Error, Need, Registry, Result, Share};

/// The workflow's name.
pub const NAME: &str = "research";
/// The workflow in which a person settles a payment.
pub const SETTLEMENT: &str = "research.settlement";
/// The label with the task that a settlement belongs to.
pub const TASK: &str = "task";
/// Sources under way at once.
const AT_ONCE: usize = 4;
/// Most characters of one source's data that the report's author reads.
const DATA_CHARS_MAX: usize = 2_000;

/// What a task is given. Addresses stand here as the configuration had them, so that a run keeps them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// What to find out.
    pub theme: String,
    /// The most that may be paid.
    pub budget: u64,
    /// The unit of budget and prices.
    pub unit: String,
    /// Where the voice is kept.
    pub voice: Voice,
    /// Where sources are found and bought; nothing where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marketplace: Option<String>,
    /// Who hands out tokens; nothing where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payments: Option<String>,
    /// Who checks voices, where somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<String>,
}

/// A voice, without the voice.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Voice {
    /// The vault's handle, good until the task has ended.
    pub handle: String,
    /// Its keyed hash.
    pub hmac: String,
}

/// How a task ended. What it found is in its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Sources that gave their data.
    pub obtained: usize,
    /// What was paid.
    pub spent: u64,
    /// What may have been paid.
    pub held: u64,
}

/// A person's word about a payment whose outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The task.
    pub task_id: String,
    /// The source.
    pub source: String,
    /// Whether it was paid.
    pub is_paid: bool,
    /// For colleagues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who says so.
    pub by: String,
}

/// Adds both to a registry.
#[must_use]
pub fn register(registry: Registry, asking: &Asking) -> Registry {
    let asking = asking.clone();
    registry
        .with(NAME, 1, move |ctx: Ctx, input: Input| {
            let asking = asking.clone();
            async move { Box::pin(Task { ctx: &ctx, input: &input, asking }.work()).await }
        })
        .with(SETTLEMENT, 1, async |_: Ctx, settlement: Settlement| Ok(settlement))
}

struct Task<'r> {
    ctx: &'r Ctx,
    input: &'r Input,
    asking: Asking,
}

impl Task<'_> {
    async fn work(self) -> Result<Output> {
        self.verify().await?;
        let market = self.input.marketplace.as_ref().ok_or_else(|| unset("MARKETPLACE_URL"))?;
        let found = self.discover(market).await?;
        if found.is_empty() {
            return Err(Error::workflow("DataError", "the marketplace knows no source for this theme"));
        }
        let mut facts = Facts::new(self.input, found.clone());
        let asked = self.ctx.map("source", found.iter().collect(), AT_ONCE, async |ctx, source| {
            Ok(self.ask(&ctx, market, source, None).await)
        });
        for (at, answer) in asked.await?.into_iter().enumerate() {
            facts.asked(at, answer);
        }
        if facts.asks().iter().any(|(_, offer)| offer.is_some()) {
            self.buy(market, &mut facts).await?;
        }
        if facts.obtained() == 0 {
            return Err(facts.nothing_obtained());
        }
        self.summarise(&facts).await;
        Ok(Output { obtained: facts.obtained(), spent: facts.spent(), held: facts.held() })
    }

    /// Whether the voice is who it says it is, where somebody checks that.
    async fn verify(&self) -> Result<()> {
        let Some(url) = &self.input.verify else { return Ok(()) };
        let (voice, task_id) = (self.input.voice.handle.clone(), self.ctx.run_id().0.to_string());
        let ask = VerifyVoice { url: url.clone(), voice, task_id };
        if self.ctx.call("verify", ask).retry(self.asking.retry).timeout(self.asking.http_timeout).await? {
            return Ok(());
        }
        Err(Error::workflow(AUTHENTICATION, "the voice was not verified; nothing was spent"))
    }

    async fn discover(&self, market: &str) -> Result<Vec<Source>> {
        let discover = Discover { base: market.to_owned(), theme: self.input.theme.clone() };
        self.ctx.call("discover", discover).retry(self.asking.retry).timeout(self.asking.http_timeout).await
    }

    async fn ask(&self, ctx: &Ctx, market: &str, source: &Source, proof: Option<Proof>) -> Result<Answer> {
        let ask = AskSource { base: market.to_owned(), id: source.id.clone(), proof };
        ctx.call("ask", ask).retry(self.asking.retry).timeout(self.asking.http_timeout).await
    }

    /// Pays those that asked to be paid. Without a token those that want one have to do without; the free ones are there.
    async fn buy(&self, market: &str, facts: &mut Facts) -> Result<()> {
        let token = if facts.wants_token() { Some(self.token().await) } else { None };
        let token = match token.transpose() {
            Ok(token) => token,
            Err(error) if error.class() == AUTHENTICATION => return Err(error),
            Err(error) => {
                facts.without_token(&error.to_string());
                None
            }
        };
        let asks = facts.asks();
        // A till that takes tokens does not hear what was paid for: one after the other, so that data is a proof.
        let limit = if token.is_some() { 1 } else { AT_ONCE };
        let bought = self.ctx.map("buy", asks, limit, async |ctx, (source, offer)| {
            let Some(offer) = offer else { return Ok(None) };
            let proof = match (offer.dialect, &token) {
                (Dialect::Seed, None) => return Ok(None),
                (Dialect::Seed, Some(token)) => Ok(Proof::Token(token.clone())),
                _ => self.signed(&ctx, &offer).await?,
            };
            let proof = match proof {
                Ok(proof) => proof,
                Err(reason) => return Ok(Some((self.refused(&ctx, &source, &offer, reason), None))),
            };
            let (payment, data) = self.pay(&ctx, market, &proof, &source, &offer).await?;
            // Also what may have been paid is asked for: data is the proof that it was.
            let data = match (&payment, data) {
                (Payment::Refused { .. }, _) => None,
                (_, Some(data)) => Some(Ok(Answer::Data(data))),
                (_, None) => Some(self.ask(&ctx, market, &source, Some(proof)).await),
            };
            Ok(Some((payment, data)))
        });
        for (at, outcome) in bought.await?.into_iter().enumerate() {
            if let Some((payment, data)) = outcome {
                facts.paid(at, payment);
                if let Some(data) = data {
                    facts.asked_again(at, data);
                }
            }
        }
        Ok(())
    }

    /// Signs a payment, once: whatever happens later, this is what is sent.
    async fn signed(&self, ctx: &Ctx, offer: &Offer) -> Result<std::result::Result<Proof, String>> {
        let mut nonce = [0; 32];
        nonce.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&ctx.random().to_be_bytes()));
        let now = ctx.now().0 / 1_000;
        ctx.step("sign", || payment::sign(offer, nonce, now).map(Proof::Signed)).await
    }

    fn refused(&self, ctx: &Ctx, source: &Source, offer: &Offer, reason: String) -> Payment {
        let (source, name, amount) = (&source.id, &source.name, offer.price);
        ctx.emit(Kind::PaymentRefused, &json!({"source": source, "name": name, "amount": amount, "reason": reason}));
        Payment::Refused { reason }
    }

    /// One for the whole task.
    async fn token(&self) -> Result<String> {
        let base = self.input.payments.clone().ok_or_else(|| unset("PAYMENT_MANAGER_URL"))?;
        let get = GetToken { base, budget: self.input.budget, voice: self.input.voice.handle.clone() };
        self.ctx.call("token", get).retry(self.asking.retry).timeout(self.asking.http_timeout).await
    }

    /// What came of a payment, and what came with it.
    async fn pay(
        &self,
        ctx: &Ctx,
        market: &str,
        proof: &Proof,
        source: &Source,
        offer: &Offer,
    ) -> Result<(Payment, Option<Value>)> {
        let price = offer.price;
        let about = json!({"source": source.id, "name": source.name, "amount": price});
        ctx.emit(Kind::PaymentRequired, &about);
        let amount = Amounts { purchases: price, ..Amounts::default() };
        let need = Need { want: amount, least: amount, share: Share::Ordinary, siblings: 1 };
        let grant = match ctx.reserve("budget", need) {
            Ok(grant) => grant,
            Err(error) => return Ok((self.refused(ctx, source, offer, error.into_run_error().message), None)),
        };
        let pay = Pay { base: market.to_owned(), proof: proof.clone(), amount: price, source: source.id.clone() };
        let call = ctx.call("pay", pay).retry(self.asking.retry).timeout(self.asking.http_timeout);
        match call.about(&about).paid_by(grant).await {
            Ok(paid) => {
                ctx.emit(Kind::PaymentPaid, &about);
                Ok((Payment::Paid, paid.data))
            }
            Err(Error::Step { error, .. }) if error.may_have_cost => {
                let reason = error.message;
                let (source, name) = (&source.id, &source.name);
                let told = json!({"source": source, "name": name, "amount": price, "reason": reason});
                ctx.emit(Kind::PaymentUnknown, &told);
                Ok((Payment::Unknown { reason }, None))
            }
            Err(Error::Step { error, .. }) => Ok((self.refused(ctx, source, offer, error.message), None)),
            Err(error) => Err(error),
        }
    }

    /// A few sentences over what was found. A report without them is a report.
    async fn summarise(&self, facts: &Facts) {
        let author = AgentDefinition::llm(
            "report_builder",
            "You write the summary of a research report: three to six sentences that answer the question from the data alone. \
             Name the source of each fact in brackets. Do not invent anything; say what is missing.",
        );
        let rules = Rules { asking: self.asking.clone(), approve: None, earlier: Vec::new(), context: None };
        let team = Team::new(vec![author], Vec::new(), rules);
        let data: String = facts.data().map(|(name, data)| format!("{}\n", short(&sentence(name, data)))).collect();
        let said = [Message::input(format!("{}\n\n{data}", self.input.theme))];
        if let Some(author) = team.members().first() {
            // What went wrong stands in the journal.
            let _ = Box::pin(author.turn(&self.ctx.scope("summary", 1), Turn::of(&said))).await;
        }
    }
}

fn unset(name: &str) -> Error {
    let message = format!("{name} is not set, and its default belongs to another service here; set it");
    Error::workflow("WorkflowError", message)
}

/// A source's data as people would say it.
fn sentence(name: &str, data: &Value) -> String {
    let Some(fields) = data.as_object() else { return format!("{name} says {data}.") };
    let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key} {value}").replace(['_', '"'], " ")).collect();
    format!("{name}: {}.", fields.join(", "))
}

fn short(text: &str) -> &str {
    text.char_indices().nth(DATA_CHARS_MAX).map_or(text, |(at, _)| &text[..at])
}
